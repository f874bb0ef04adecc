//! Numbers as Fortran programs write and read them: `1.0D+00`, `3*0.0`, and columns that run together.

use super::error::FormatErrorKind;
use super::site;

/// A finite number, also with the exponent letter `D`; `what` names it in the error.
pub(super) fn number(text: &str, what: &str) -> Result<f64, FormatErrorKind> {
    if let Some(plain) = with_e(text) {
        return site::number(&plain, what);
    }
    site::number(text, what)
}

/// Whether [`number`] would read the text, whether or not it is finite.
pub(super) fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok() || with_e(text).is_some_and(|t| t.parse::<f64>().is_ok())
}

/// The text with `e` for an exponent letter `D`, where there is one behind a digit or a point.
fn with_e(text: &str) -> Option<String> {
    let place = text.find(['d', 'D'])?;
    let begins = text[..place].ends_with(|c: char| c.is_ascii_digit() || c == '.');
    begins.then(|| format!("{}e{}", &text[..place], &text[place + 1..]))
}

/// The first `N` numbers of a line and what follows them. Numbers are separated by blanks or commas; `3*0.0` is three
/// of them; numbers that run together are told apart by their signs where each has a decimal point
/// (`-0.123-10.456`). `Ok(None)` when the line has fewer words.
///
/// # Errors
/// [`FormatErrorKind::Number`] or [`FormatErrorKind::NotFinite`] for a word that is none, with `what` it should be.
pub(super) fn leading<'a, const N: usize>(
    line: &'a str,
    what: &str,
) -> Result<Option<([f64; N], &'a str)>, FormatErrorKind> {
    let mut found = [0.0; N];
    let mut count = 0;
    let mut rest = line;
    let separator = |c: char| c.is_whitespace() || c == ',';
    while count < N {
        rest = rest.trim_start_matches(separator);
        if rest.is_empty() {
            return Ok(None);
        }
        let end = rest.find(separator).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        let numbers = match is_number(word) {
            true => vec![number(word, what)?],
            false => several(word, N - count).map_or_else(|| number(word, what).map(|x| vec![x]), Ok)?,
        };
        for x in numbers {
            found[count] = x;
            count += 1;
        }
        rest = behind;
    }
    Ok(Some((found, rest)))
}

/// The numbers of a word that holds at least two and at most `most`.
fn several(word: &str, most: usize) -> Option<Vec<f64>> {
    let finite = |t: &str| number(t, "").ok();
    if let Some((count, value)) = word.split_once('*') {
        let count: usize = count.parse().ok()?;
        return (1..=most).contains(&count).then(|| finite(value)).flatten().map(|x| vec![x; count]);
    }
    let bytes = word.as_bytes();
    let begins = |k: usize| {
        k > 0 && matches!(bytes[k], b'+' | b'-') && !matches!(bytes[k - 1], b'e' | b'E' | b'd' | b'D')
    };
    let starts: Vec<usize> = std::iter::once(0).chain((1..bytes.len()).filter(|&k| begins(k))).collect();
    if !(2..=most).contains(&starts.len()) {
        return None;
    }
    let ends = starts.iter().skip(1).copied().chain([word.len()]);
    // Without its point `0.123-100` may be one number with an exponent.
    starts
        .iter()
        .zip(ends)
        .map(|(&s, e)| word.get(s..e).filter(|t| t.contains('.')).and_then(finite))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_of_fortran() {
        for (text, expected) in
            [("1.0D+00", 1.0), ("0.5d0", 0.5), ("-2.5D-1", -0.25), (".5D1", 5.0), ("1.D0", 1.0), ("3", 3.0)]
        {
            assert_eq!(number(text, "x"), Ok(expected), "{text}");
            assert!(is_number(text));
        }
        for text in ["D", "D1", "1D", "Direct", "0.5Dy", "", "1.0E"] {
            assert!(number(text, "x").is_err() && !is_number(text), "{text}");
        }
    }

    #[test]
    fn three_numbers_of_a_line() {
        fn three(line: &str) -> Result<Option<([f64; 3], &str)>, FormatErrorKind> {
            leading::<3>(line, "x").map(|found| found.map(|(x, rest)| (x, rest.trim())))
        }
        for (line, expected, rest) in [
            ("0 0.5 1 T T F", [0.0, 0.5, 1.0], "T T F"),
            ("0.1,0.2 , 0.3 Fe", [0.1, 0.2, 0.3], "Fe"),
            ("3*0.0", [0.0; 3], ""),
            ("0.25 2*0.5 Na", [0.25, 0.5, 0.5], "Na"),
            ("-0.123-0.456 0.5", [-0.123, -0.456, 0.5], ""),
            ("-1.5D-2-0.456+0.5", [-0.015, -0.456, 0.5], ""),
        ] {
            assert_eq!(three(line), Ok(Some((expected, rest))), "{line}");
        }
        assert_eq!(three("0.5 0.5"), Ok(None));
        for line in [
            "0.123-100 0 0",
            "0 0 x",
            "0 0 2*0.0",
            "4*0.0",
            "0 nan 0",
            "0.1-0.2-0.3-0.4",
            "0 - 0",
            "é-0.1 0 0",
        ] {
            assert!(three(line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn numbers_that_run_together_are_told_apart(x in prop::array::uniform3(-999.0..0.0f64)) {
            let line: String = x.iter().map(|x| format!("{x:.8}")).collect();
            let (found, _) = leading::<3>(&line, "x").unwrap().unwrap();
            for (a, b) in found.iter().zip(x) {
                prop_assert!((a - b).abs() < 1e-7);
            }
        }

        #[test]
        fn any_line_is_numbers_or_an_error(line in "[-+.0-9dDeE*, x]{0,40}") {
            let _ = leading::<3>(&line, "x");
        }
    }
}
