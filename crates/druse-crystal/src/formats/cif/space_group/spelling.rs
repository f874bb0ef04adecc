//! Ways to write a Hermann–Mauguin symbol: marks of subscripts and bars, blanks, and what follows the symbol.

/// Longest symbol that is tried, in bytes.
const LONGEST: usize = 200;

/// A symbol taken apart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spelled {
    /// What stands between blanks, small letters; the lattice letter alone or with what follows it.
    pub chunks: Vec<String>,
    /// What is said about the setting.
    pub qualifiers: Vec<Qualifier>,
}

/// Something that picks a setting among those of a symbol.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Qualifier {
    /// Choice of origin, `1` or `2`.
    Origin(char),
    /// Hexagonal (`H`) or rhombohedral (`R`) axes.
    Axes(char),
    /// Unique axis `a`, `b` or `c`.
    UniqueAxis(char),
    /// Cell choice of a monoclinic group.
    CellChoice(char),
    /// Code of a setting (`b1`, `-c2`, `cab`, `2cab`); `abc` for the standard one.
    Code(String),
    /// Number of the space group.
    Number(i32),
}

/// Takes a symbol apart; `None` when it holds what belongs to no symbol.
pub(super) fn read(symbol: &str) -> Option<Spelled> {
    let text = plain(symbol)?;
    let (base, rest) = text.split_at(end_of_symbol(&text));
    Some(Spelled { chunks: chunks(base)?, qualifiers: qualifiers(rest)? })
}

/// The symbol without blanks and what follows it.
pub(super) fn base(symbol: &str) -> Option<String> {
    let text = plain(symbol)?;
    Some(chunks(&text[..end_of_symbol(&text)])?.concat())
}

/// The symbol in plain small letters: no markup, bars as `-` before the digit, screw digits behind the axis.
fn plain(symbol: &str) -> Option<String> {
    if symbol.len() > LONGEST {
        return None;
    }
    let mut text = String::new();
    let mut rest = symbol.trim();
    'next: while let Some(c) = rest.chars().next() {
        for (mark, meaning) in [
            ("\\bar", "-"),
            ("\\overline", "-"),
            ("\\=", "-"),
            ("\\mathrm", ""),
            ("\\rm", ""),
            ("\\it", ""),
            ("\\,", " "),
            ("\\ ", " "),
        ] {
            if let Some(after) = rest.strip_prefix(mark) {
                text.push_str(meaning);
                rest = after;
                continue 'next;
            }
        }
        if c == '<' {
            let (tag, after) = rest.split_once('>')?;
            if tag.contains("overline") {
                text.push('-');
            }
            rest = after;
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            // Marks of subscripts and of mathematics, soft hyphens, blanks without width.
            '~' | '$' | '{' | '}' | '\'' | '"' | '’' | '\u{ad}' | '\u{200b}' | '\u{feff}' => {}
            '−' | '–' | '—' | '‐' | '‑' | '¯' | '‾' => text.push('-'),
            '\u{304}' | '\u{305}' => {
                let digit = text.pop().filter(char::is_ascii_digit)?;
                text.extend(['-', digit]);
            }
            '₀'..='₉' => text.push(char::from(b'0' + (u32::from(c) - u32::from('₀')) as u8)),
            c if c.is_whitespace() => text.push(' '),
            c if c.is_ascii() => text.push(c.to_ascii_lowercase()),
            _ => return None,
        }
    }
    Some(bare_screws(&text))
}

/// `2(1)` as `21`, and the `(a)` of an unusual origin as `a`.
fn bare_screws(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut bare = String::new();
    let mut i = 0;
    while i < bytes.len() {
        match &bytes[i..] {
            [b'(', digit @ b'1'..=b'5', b')', ..] if i > 0 && bytes[i - 1].is_ascii_digit() => {
                bare.push(char::from(*digit));
                i += 3;
            }
            [b'(', b'a', b')'] => {
                bare.truncate(bare.trim_end().len());
                bare.push('a');
                i += 3;
            }
            [b'a', b')'] if !bare.contains('(') => {
                bare.push('a');
                i += 2;
            }
            [byte, ..] => {
                bare.push(char::from(*byte));
                i += 1;
            }
            [] => break,
        }
    }
    bare
}

/// Where the symbol ends and words about its setting begin.
fn end_of_symbol(text: &str) -> usize {
    const WORDS: [&str; 9] =
        [" no ", "origin", "hexagonal", "rhombohedral", "unique", "cell", "axis", "no.", "#"];
    let mark = text.find([':', ';', ',', '(', '[']);
    WORDS.iter().filter_map(|word| text.find(word)).chain(mark).min().unwrap_or(text.len())
}

/// Parts between blanks; blanks about `/` and after `-` part nothing. Underscores are blanks, or where all of them
/// stand between digits the marks of screw axes.
fn chunks(base: &str) -> Option<Vec<String>> {
    let bytes = base.trim().as_bytes();
    let digit = |i: Option<usize>| i.and_then(|i| bytes.get(i)).is_some_and(u8::is_ascii_digit);
    let subscripts = bytes
        .iter()
        .enumerate()
        .all(|(i, b)| *b != b'_' || (digit(i.checked_sub(1)) && digit(i.checked_add(1))));
    let mut text = String::new();
    for &b in bytes {
        match b {
            b'_' if subscripts => {}
            b'_' | b' ' => {
                if !text.ends_with([' ', '/', '-']) {
                    text.push(' ');
                }
            }
            b'/' => {
                text.truncate(text.trim_end().len());
                text.push('/');
            }
            b if b.is_ascii_alphanumeric() || b == b'-' => text.push(char::from(b)),
            _ => return None,
        }
    }
    if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let (lattice, rest) = text.split_at(1);
    let attached = !rest.is_empty() && !rest.starts_with(' ');
    let mut chunks: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
    if attached {
        chunks[0].insert_str(0, lattice);
    } else {
        chunks.insert(0, lattice.to_owned());
    }
    Some(with_screws(chunks))
}

/// Joins a screw digit before a stroke with its axis: `2 1/c`, `P6 3/m` (no part begins with `1/` or `3/`, and none
/// with `2/` after a fourfold axis).
fn with_screws(chunks: Vec<String>) -> Vec<String> {
    let mut joined: Vec<String> = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let axis = joined.last().map_or(&b""[..], |before| match before.as_bytes() {
            [b'a'..=b'z', axis @ ..] => axis,
            axis => axis,
        });
        let screw = matches!(
            (axis, chunk.as_bytes()),
            ([b'2' | b'4'], [b'1', b'/', ..]) | ([b'4'], [b'2', b'/', ..]) | ([b'6'], [b'3', b'/', ..])
        );
        match joined.last_mut() {
            Some(before) if screw => before.push_str(&chunk),
            _ => joined.push(chunk),
        }
    }
    joined
}

/// Reads `:2`, `(origin choice 2)`, `:H`, `unique axis b, cell choice 1`, `(no. 62)`.
fn qualifiers(text: &str) -> Option<Vec<Qualifier>> {
    let mut words =
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(|w| !w.is_empty()).peekable();
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        found.push(match word {
            "origin" => {
                words.next_if(|w| matches!(*w, "choice" | "at" | "no"));
                Qualifier::Origin(one_of(words.next()?, "12")?)
            }
            "o1" | "s" => Qualifier::Origin('1'),
            "o2" | "z" => Qualifier::Origin('2'),
            "h" | "hex" | "hexagonal" | "r" | "rh" | "rhombohedral" => {
                words.next_if(|w| matches!(*w, "axes" | "setting" | "cell"));
                Qualifier::Axes(if word.starts_with('h') { 'H' } else { 'R' })
            }
            "unique" | "axis" => {
                words.next_if(|w| *w == "axis");
                Qualifier::UniqueAxis(one_of(words.next()?, "abc")?)
            }
            "cell" => {
                words.next_if(|w| *w == "choice");
                Qualifier::CellChoice(one_of(words.next()?, "123")?)
            }
            "no" => Qualifier::Number(words.next()?.parse().ok()?),
            "a" | "b" | "c" => Qualifier::UniqueAxis(one_of(word, "abc")?),
            "1" | "2" => Qualifier::Origin(one_of(word, "12")?),
            _ if word.bytes().all(|b| b.is_ascii_digit()) => Qualifier::Number(word.parse().ok()?),
            _ if is_code(word) => Qualifier::Code(word.to_owned()),
            _ => return None,
        });
    }
    Some(found)
}

fn one_of(word: &str, of: &str) -> Option<char> {
    let mut chars = word.chars();
    chars.next().filter(|c| of.contains(*c) && chars.next().is_none())
}

/// `b1`, `-c2`; `cab`, `2ba-c`.
fn is_code(word: &str) -> bool {
    let axes = word.strip_prefix(['1', '2']).unwrap_or(word);
    let bytes = word.strip_prefix('-').unwrap_or(word).as_bytes();
    matches!(axes, "abc" | "ba-c" | "cab" | "-cba" | "bca" | "a-cb")
        || matches!(bytes, [b'a'..=b'c', b'1'..=b'9'])
}
