//! Extended XYZ: frames of `count`, a comment line of `key=value` pairs with `Lattice` and `Properties`, and one line
//! an atom. Several frames may follow one another.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::error::{FormatError, FormatErrorKind};
use super::number;
use super::site::{self, MAX_SITES};
use super::species::{SpeciesReader, symbol};
use super::{Block, CoincidentSites, Parsed, Warning, WarningKind, enumerate};
use crate::{Element, Lattice, Structure};

/// Whether a text begins an extended XYZ file: a number of atoms, and a line with a lattice.
pub(super) fn recognize(head: &str) -> bool {
    let first = head.lines().map(str::trim).find(|l| !l.is_empty());
    first.is_some_and(|first| first.parse::<usize>().is_ok())
        && head.lines().nth(1).is_some_and(|second| {
            let (second, key) = (second.to_ascii_lowercase(), "lattice");
            second.find(key).is_some_and(|k| {
                second[k + key.len()..].trim_start_matches(['"', '\'', ' ', '\t']).starts_with('=')
            })
        })
}

/// The frames of a file. A line where the number of atoms is expected and missing ends the list with the rest of the file as
/// one (broken) frame.
pub(super) fn split(text: &str) -> Vec<Block<'_>> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut frames = Vec::new();
    let (mut k, mut offset) = (0, 0);
    while k < lines.len() {
        if lines[k].trim().is_empty() {
            offset += lines[k].len();
            k += 1;
            continue;
        }
        let left = lines.len() - k;
        let length =
            lines[k].trim().parse::<usize>().ok().and_then(|n| n.checked_add(2)).unwrap_or(left).min(left);
        let bytes: usize = lines[k..k + length].iter().map(|l| l.len()).sum();
        frames.push(Block { line: k + 1, name: None, text: &text[offset..offset + bytes] });
        offset += bytes;
        k += length;
    }
    frames
}

/// Reads all frames. Keys other than `Lattice`, `Properties`, `pbc` and `name` become properties of the structure;
/// atom columns other than species and position are not kept.
pub(super) fn read(text: &str, coincident: CoincidentSites) -> Result<Vec<Parsed>, FormatError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines().zip(1..).peekable();
    let mut frames = Vec::new();
    loop {
        while lines.next_if(|(text, _)| text.trim().is_empty()).is_some() {}
        let Some((first, line)) = lines.next() else { break };
        let count: usize = first.trim().parse().map_err(|_| {
            let message = format!(
                "frame {}: expected the number of atoms, found `{}`",
                frames.len() + 1,
                shorten(first)
            );
            FormatError::at(line, FormatErrorKind::Syntax(message))
        })?;
        if count == 0 {
            return Err(FormatError::at(line, FormatErrorKind::NoStructure("the frame has no atoms".into())));
        }
        if count > MAX_SITES {
            return Err(FormatError::at(line, FormatErrorKind::TooManySites));
        }
        let truncated = |what: &str| {
            let message =
                format!("frame {} announces {count} atoms, but {what} is missing", frames.len() + 1);
            FormatError::at(line, FormatErrorKind::Truncated(message))
        };
        let (comment, comment_line) = lines.next().ok_or_else(|| truncated("its comment line"))?;
        let header = Header::read(comment, comment_line)?;
        let mut species = Vec::new();
        let mut coords = Vec::new();
        let mut reader = SpeciesReader::default();
        for i in 0..count {
            let (text, line) = lines.next().ok_or_else(|| truncated(&format!("atom {}", i + 1)))?;
            let (element, position) = header.atom(text, line, &mut reader)?;
            species.push(element);
            coords.push(header.lattice.to_fractional(position));
        }
        let mut warnings = header.warnings;
        reader.warnings(&mut warnings);
        let mut structure =
            Structure::new(header.lattice, species, coords).map_err(|e| FormatError::at(line, e))?;
        site::check_coincident(
            &structure,
            coincident,
            |i| site::default_label(&structure, i),
            |j| Some(comment_line + 1 + j),
        )?;
        structure.properties = header.properties;
        frames.push(Parsed { structure, name: header.name, warnings });
    }
    if frames.is_empty() {
        return Err(FormatError::whole(FormatErrorKind::NoStructure("the file is empty".into())));
    }
    Ok(frames)
}

struct Header {
    lattice: Lattice,
    name: String,
    properties: BTreeMap<String, Value>,
    warnings: Vec<Warning>,
    /// Column of the species: symbols or atomic numbers.
    species: usize,
    /// Column of the x coordinate.
    position: usize,
}

impl Header {
    fn read(comment: &str, line: usize) -> Result<Self, FormatError> {
        let mut pairs = match key_values(comment, line) {
            // A remark of a plain XYZ file, which is no list of keys.
            Err(_) if !comment.to_ascii_lowercase().contains("lattice") => BTreeMap::new(),
            pairs => pairs?,
        };
        let mut take = |name: &str| {
            let key = pairs.keys().find(|k| k.eq_ignore_ascii_case(name))?.clone();
            pairs.remove(&key)
        };
        let lattice = take("Lattice").ok_or_else(|| {
            let what =
                "`Lattice=\"ax ay az bx by bz cx cy cz\"` on the comment line (a molecule is no crystal)";
            FormatError::at(line, FormatErrorKind::Missing(what.into()))
        })?;
        let lattice = lattice_of(&lattice, line)?;
        let layout = take("Properties").filter(|layout| !layout.trim().is_empty());
        let layout = layout.unwrap_or_else(|| "species:S:1:pos:R:3".into());
        if let Some(pbc) = take("pbc") {
            check_periodic(&pbc).map_err(|kind| FormatError::at(line, kind))?;
        }
        let name = take("name").unwrap_or_default();
        let (mut species, mut position, mut dropped) = (None, None, Vec::new());
        let syntax = |message: String| FormatError::at(line, FormatErrorKind::Syntax(message));
        let fields: Vec<&str> = layout.split(':').collect();
        let mut column = 0usize;
        for field in fields.chunks(3) {
            let &[field, kind, width] = field else {
                return Err(syntax(format!(
                    "Properties=`{}` is not a list of name:type:columns",
                    shorten(&layout)
                )));
            };
            let width: usize = match width.trim().parse() {
                Ok(n @ 1..=1000) => n,
                _ => return Err(syntax(format!("Properties: `{}` is no number of columns", shorten(width)))),
            };
            match (
                field.trim().to_ascii_lowercase().as_str(),
                kind.trim().to_ascii_uppercase().as_str(),
                width,
            ) {
                ("species", "S", 1) => species = Some(column),
                ("z" | "numbers" | "atomic_numbers", "I", 1) if species.is_none() => {
                    species = Some(column);
                }
                ("pos", "R", 3) => position = Some(column),
                _ => dropped.push(field),
            }
            column += width;
        }
        let missing =
            |what: &str| FormatError::at(line, FormatErrorKind::Missing(format!("Properties: {what}")));
        let mut warnings = Vec::new();
        if !dropped.is_empty() {
            let text = format!("atom columns not kept: {}", dropped.join(", "));
            warnings.push(Warning::new(WarningKind::NotKept, text));
        }
        Ok(Self {
            lattice,
            name,
            properties: pairs.into_iter().map(|(k, v)| (k, value_of(&v))).collect(),
            warnings,
            species: species.ok_or_else(|| missing("species:S:1"))?,
            position: position.ok_or_else(|| missing("pos:R:3"))?,
        })
    }

    /// Element and Cartesian position (Å) of one atom line.
    fn atom(
        &self,
        text: &str,
        line: usize,
        reader: &mut SpeciesReader,
    ) -> Result<(Element, [f64; 3]), FormatError> {
        let words = |column: usize| {
            let message = || format!("the atom line has too few columns: `{}`", shorten(text));
            text.split_whitespace()
                .nth(column)
                .ok_or_else(|| FormatError::at(line, FormatErrorKind::Syntax(message())))
        };
        let name = words(self.species)?;
        // No symbol begins with a digit, so that a number can mean nothing else.
        let element = match name.parse::<i64>().ok().and_then(|z| Element::from_z(z).ok()) {
            Some(e) => e,
            None => reader.species(symbol(name), "").map_err(|kind| FormatError::at(line, kind))?,
        };
        let mut position = [0.0; 3];
        for (k, x) in position.iter_mut().enumerate() {
            *x = number::number(words(self.position + k)?, "position")
                .map_err(|kind| FormatError::at(line, kind))?;
        }
        Ok((element, position))
    }
}

/// What may stand around and between the items of a list.
const BRACKETS: [char; 9] = [',', '[', ']', '{', '}', '(', ')', '"', '\''];

/// Refuses frames that are not periodic in all directions. The list may be written in any way: `T T T`, `[T, T, T]`,
/// `TTT`, `["True", "True", "True"]`, `{1 1 1}`, `T`.
fn check_periodic(pbc: &str) -> Result<(), FormatErrorKind> {
    let is_separator = |c: char| c.is_whitespace() || BRACKETS.contains(&c);
    let mut words: Vec<&str> = pbc.split(is_separator).filter(|w| !w.is_empty()).collect();
    if let [one] = words.as_slice()
        && one.len() == 3
        && one.bytes().all(|b| matches!(b, b'T' | b't' | b'F' | b'f' | b'0' | b'1'))
    {
        words = vec![&one[..1], &one[1..2], &one[2..]];
    }
    let truth = |word: &&str| match word.trim_matches('.').to_ascii_lowercase().as_str() {
        "t" | "true" | "1" | "y" | "yes" => Some(true),
        "f" | "false" | "0" | "n" | "no" => Some(false),
        _ => None,
    };
    let axes: Option<Vec<bool>> = words.iter().map(truth).collect();
    let shown = shorten(pbc);
    match axes.as_deref() {
        Some([true] | [true, true, true]) => Ok(()),
        Some(axes @ ([false] | [_, _, _])) => {
            let open: Vec<&str> = axes
                .iter()
                .zip(["a", "b", "c"])
                .filter(|(periodic, _)| !**periodic)
                .map(|(_, axis)| axis)
                .collect();
            let along = if axes.len() == 1 { "any direction".to_owned() } else { enumerate(open, "and") };
            Err(FormatErrorKind::Unsupported(format!(
                "pbc=\"{shown}\": not periodic along {along}; only structures periodic in all directions are read"
            )))
        }
        _ => Err(FormatErrorKind::Syntax(format!(
            "pbc=\"{shown}\" does not say for three directions whether (T) or not (F) the structure is periodic"
        ))),
    }
}

/// Nested lists are rows: each inner one is a vector, as three numbers in a row are without brackets.
fn lattice_of(text: &str, line: usize) -> Result<Lattice, FormatError> {
    let numbers = text
        .split(|c: char| c.is_whitespace() || BRACKETS.contains(&c))
        .filter(|w| !w.is_empty())
        .map(|w| number::number(w, "Lattice").map_err(|kind| FormatError::at(line, kind)))
        .collect::<Result<Vec<f64>, _>>()?;
    let rows = match *numbers.as_slice() {
        [a, b, c] => [[a, 0.0, 0.0], [0.0, b, 0.0], [0.0, 0.0, c]],
        [ax, ay, az, bx, by, bz, cx, cy, cz] => [[ax, ay, az], [bx, by, bz], [cx, cy, cz]],
        _ => {
            let message = format!("Lattice has {} numbers, expected 9", numbers.len());
            return Err(FormatError::at(line, FormatErrorKind::Syntax(message)));
        }
    };
    Lattice::from_rows(rows).map_err(|e| FormatError::at(line, e))
}

/// Splits `key=value key="quoted value" flag`; a bare key is `T`, blanks may surround `=`. `\"` and `\\` are escapes inside
/// quotes.
fn key_values(comment: &str, line: usize) -> Result<BTreeMap<String, String>, FormatError> {
    let mut pairs = BTreeMap::new();
    let mut chars = comment.chars().peekable();
    loop {
        skip_blanks(&mut chars);
        if chars.peek().is_none() {
            return Ok(pairs);
        }
        let key = word(&mut chars, |c| c == '=' || c.is_whitespace(), line)?;
        let mut ahead = chars.clone();
        skip_blanks(&mut ahead);
        let value = if ahead.next_if_eq(&'=').is_some() {
            chars = ahead;
            if has_value(chars.clone()) {
                skip_blanks(&mut chars);
                word(&mut chars, char::is_whitespace, line)?
            } else {
                String::new()
            }
        } else {
            "T".into()
        };
        if !key.is_empty() {
            pairs.entry(key).or_insert(value);
        }
    }
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn skip_blanks(chars: &mut Chars<'_>) {
    while chars.next_if(|c| c.is_whitespace()).is_some() {}
}

/// Whether a value follows `=`: in `a= b=1` the word behind the blank is the next key.
fn has_value(mut chars: Chars<'_>) -> bool {
    if chars.peek().is_none_or(|c| !c.is_whitespace()) {
        return true;
    }
    skip_blanks(&mut chars);
    if chars.peek().is_none_or(|c| matches!(c, '"' | '\'' | '[' | '{')) {
        return chars.peek().is_some();
    }
    while chars.next_if(|&c| c != '=' && !c.is_whitespace()).is_some() {}
    skip_blanks(&mut chars);
    chars.peek() != Some(&'=')
}

/// A quoted, bracketed or bare word that ends before a character of `end`.
fn word(chars: &mut Chars<'_>, end: impl Fn(char) -> bool, line: usize) -> Result<String, FormatError> {
    let mut text = String::new();
    let close = match chars.peek() {
        Some(&q @ ('"' | '\'')) => q,
        Some('{') => '}',
        Some('[') => ']',
        _ => {
            while let Some(c) = chars.next_if(|&c| !end(c)) {
                text.push(c);
            }
            return Ok(text);
        }
    };
    let open = chars.next().unwrap_or(close);
    let mut depth = 1usize;
    while let Some(c) = chars.next() {
        match c {
            '\\' if open == close => text.extend(chars.next()),
            c if c == close => {
                depth -= 1;
                if depth == 0 {
                    return Ok(text);
                }
                text.push(c);
            }
            c => {
                depth += usize::from(c == open);
                text.push(c);
            }
        }
    }
    let message = format!("`{open}` on the comment line is never closed");
    Err(FormatError::at(line, FormatErrorKind::Syntax(message)))
}

/// A value as ASE reads it: booleans, numbers, lists of numbers, else text.
fn value_of(text: &str) -> Value {
    if let Some(json) = text.strip_prefix("_JSON ")
        && let Ok(value) = serde_json::from_str(json)
    {
        return value;
    }
    let scalar = |t: &str| match t {
        "T" | "True" => Some(Value::Bool(true)),
        "F" | "False" => Some(Value::Bool(false)),
        t => match t.parse::<i64>() {
            Ok(n) => Some(Value::from(n)),
            // NaN and infinities have no JSON number and stay text.
            Err(_) => t.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number),
        },
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        [one] => scalar(one).unwrap_or_else(|| Value::from(text)),
        [] => Value::from(text),
        many => {
            many.iter().map(|w| scalar(w)).collect::<Option<Vec<_>>>().map_or(Value::from(text), Value::Array)
        }
    }
}

fn shorten(text: &str) -> String {
    text.trim().chars().take(40).collect()
}

/// The structure as one frame; properties become `key=value` pairs, those that are neither numbers, booleans nor text
/// as JSON in ASE's notation.
pub(super) fn write(structure: &Structure, name: &str) -> String {
    let mut out = format!("{}\nLattice=\"", structure.len());
    let mut push = |text: std::fmt::Arguments| out.write_fmt(text).expect("writing to a string cannot fail");
    for (i, x) in structure.lattice.rows().as_flattened().iter().enumerate() {
        push(format_args!("{}{x:.12}", if i > 0 { " " } else { "" }));
    }
    push(format_args!("\" Properties=species:S:1:pos:R:3 pbc=\"T T T\""));
    if !name.is_empty() {
        push(format_args!(" name={}", quote(name)));
    }
    const RESERVED: [&str; 4] = ["lattice", "properties", "pbc", "name"];
    for (key, value) in &structure.properties {
        if key.is_empty() || RESERVED.contains(&key.to_ascii_lowercase().as_str()) {
            continue;
        }
        let text = match value {
            Value::Bool(true) => "T".into(),
            Value::Bool(false) => "F".into(),
            Value::Number(n) => n.to_string(),
            Value::String(s) if value_of(s) == *value => quote(s),
            other => quote(&format!("_JSON {other}")),
        };
        push(format_args!(" {}={text}", quote(key)));
    }
    push(format_args!("\n"));
    for (e, [x, y, z]) in structure.species.iter().zip(structure.cart_coords()) {
        push(format_args!("{:<2} {x:20.12} {y:20.12} {z:20.12}\n", e.symbol()));
    }
    out
}

/// The text bare where that is unambiguous, else in quotes; line breaks become blanks.
fn quote(text: &str) -> String {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '.' | ':' | '/' | '(' | ')');
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' | '\r' => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
