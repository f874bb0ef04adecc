//! Known symbols that resemble an unknown one.

use super::spelling;
use super::tables::{names, settings};

/// Most symbols that are proposed.
const MOST: usize = 3;

/// Longest symbol that is compared.
const LONGEST: usize = 40;

/// `; did you mean …?`, or nothing where no symbol is near. Symbols of the space group `number`, if given, come first.
pub(super) fn suggestion(symbol: &str, number: Option<i32>) -> String {
    let Some(wanted) = spelling::base(symbol).filter(|base| base.len() <= LONGEST) else {
        return String::new();
    };
    let mut near: Vec<(usize, usize)> = names()
        .iter()
        .flat_map(|(joined, all)| {
            let distance = edits(wanted.as_bytes(), joined.as_bytes());
            all.iter().map(move |name| (distance, name.setting))
        })
        .filter(|(distance, _)| *distance <= 1 + wanted.len() / 4)
        .collect();
    let other = |setting: usize| number.is_some_and(|n| settings()[setting].number != n);
    near.sort_by_key(|&(distance, setting)| (other(setting), distance, setting));
    if let Some(&(_, first)) = near.first()
        && !other(first)
    {
        near.retain(|&(_, setting)| !other(setting));
    }
    let mut symbols: Vec<String> = Vec::new();
    for (_, setting) in near {
        let symbol = format!("`{}`", settings()[setting].symbol());
        if !symbols.contains(&symbol) && symbols.len() < MOST {
            symbols.push(symbol);
        }
    }
    match &symbols[..] {
        [] => String::new(),
        [only] => format!("; did you mean {only}?"),
        [before @ .., last] => format!("; did you mean {} or {last}?", before.join(", ")),
    }
}

/// Fewest insertions, deletions and replacements that turn one text into the other.
fn edits(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (a, b, n) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "axc", 1),
            ("abc", "bc", 1),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(edits(a.as_bytes(), b.as_bytes()), n, "{a} {b}");
            assert_eq!(edits(b.as_bytes(), a.as_bytes()), n, "{a} {b}");
        }
    }

    #[test]
    fn near_symbols_are_proposed() {
        for (symbol, number, expected) in [
            ("Q 9", None, ""),
            ("P 21/q", None, "P 1 21/"),
            ("P 21/q", Some(14), "P 1 21/"),
            ("F m -3 mm", None, "F m -3 m"),
            ("P -3 m", Some(164), "P -3 m 1"),
            ("", None, ""),
            ("é", None, ""),
        ] {
            let found = suggestion(symbol, number);
            assert!(
                found.contains(expected) && (expected.is_empty() == found.is_empty()),
                "{symbol}: {found}"
            );
        }
    }
}
