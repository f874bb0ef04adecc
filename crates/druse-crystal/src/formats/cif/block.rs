//! From CIF tokens to data blocks: tags with their values, and loops.

use super::lexer::{Lexer, Token, TokenKind, Value, shorten};
use crate::formats::error::{FormatError, FormatErrorKind};
use crate::formats::site;

/// A value with its line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Datum<'a> {
    pub value: Value<'a>,
    pub line: usize,
}

#[derive(Debug, Default)]
pub(super) struct Loop<'a> {
    pub line: usize,
    pub tags: Vec<&'a str>,
    pub values: Vec<Datum<'a>>,
}

impl<'a> Loop<'a> {
    /// Index of the first of these columns.
    pub fn column(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| self.tags.iter().position(|tag| same_tag(tag, name)))
    }

    pub fn rows(&self) -> impl Iterator<Item = &[Datum<'a>]> {
        self.values.chunks_exact(self.tags.len().max(1))
    }
}

/// A data block.
#[derive(Debug)]
pub(super) struct Block<'a> {
    pub name: &'a str,
    pub line: usize,
    pub items: Vec<(&'a str, Datum<'a>)>,
    pub loops: Vec<Loop<'a>>,
}

/// Tags are case-insensitive; `_cell.length_a` of newer dictionaries is `_cell_length_a`.
fn same_tag(tag: &str, lower: &str) -> bool {
    tag.len() == lower.len() && tag_begins(tag, lower)
}

/// Whether a tag begins with these lower-case letters, `.` for `_` included.
fn tag_begins(tag: &str, lower: &str) -> bool {
    tag.len() >= lower.len()
        && tag
            .bytes()
            .zip(lower.bytes())
            .all(|(a, b)| a.to_ascii_lowercase() == b || (a == b'.' && b == b'_'))
}

impl<'a> Block<'a> {
    /// The value of the first of these tags that has one.
    pub fn item(&self, names: &[&str]) -> Option<(&'a str, usize)> {
        names.iter().find_map(|name| {
            let (_, datum) = self.items.iter().find(|(tag, _)| same_tag(tag, name))?;
            Some((datum.value.known()?, datum.line))
        })
    }

    /// The first loop with one of these columns, and the index of the column.
    pub fn loop_with(&self, names: &[&str]) -> Option<(&Loop<'a>, usize)> {
        self.loops.iter().find_map(|l| Some((l, l.column(names)?)))
    }

    /// The known values of the first of these tags, be it a column or a single item, with their lines.
    pub fn values(&self, names: &[&str]) -> Vec<(&'a str, usize)> {
        match self.loop_with(names) {
            Some((table, column)) => table
                .rows()
                .filter_map(|row| row[column].value.known().map(|text| (text, row[column].line)))
                .collect(),
            None => self.item(names).into_iter().collect(),
        }
    }

    /// The first tag, of an item or of a column, that begins with one of these, with its line.
    pub fn tag_that_begins(&self, beginnings: &[&str]) -> Option<(&'a str, usize)> {
        let begins = |tag: &str| beginnings.iter().any(|b| tag_begins(tag, b));
        let item = self.items.iter().find(|(tag, datum)| begins(tag) && datum.value.known().is_some());
        item.map(|&(tag, datum)| (tag, datum.line)).or_else(|| {
            self.loops.iter().find_map(|l| Some((l.tags.iter().copied().find(|tag| begins(tag))?, l.line)))
        })
    }

    /// The atom of a block that gives its only site as plain items instead of a loop.
    pub fn single_atom(&self) -> Loop<'a> {
        let mut table = Loop { line: self.line, ..Loop::default() };
        for &(tag, datum) in &self.items {
            if tag_begins(tag, "_atom_site") {
                table.tags.push(tag);
                table.values.push(datum);
            }
        }
        table
    }

    /// The error about an entry that the block lacks.
    pub fn missing(&self, what: &str) -> FormatError {
        let what = format!("data block `{}`: {what}", shorten(self.name));
        FormatError::at(self.line, FormatErrorKind::Missing(what))
    }
}

/// Whether the value of a tag is a text, which may have blanks.
fn is_text(tag: &str, value: Value) -> bool {
    let numeric = ["_cell", "_atom"].iter().any(|b| tag_begins(tag, b));
    !numeric && !value.quoted && number((value.text, 0), tag).is_err() && value.known().is_some()
}

fn syntax(line: usize, message: String) -> FormatError {
    FormatError::at(line, FormatErrorKind::Syntax(message))
}

/// A CIF number: `5.43`, `5.43(2)`.
pub(super) fn number(datum: (&str, usize), what: &str) -> Result<f64, FormatError> {
    let (text, line) = datum;
    site::number(without_uncertainty(text), what).map_err(|kind| FormatError::at(line, kind))
}

/// `5.43` of `5.43(2)`.
pub(super) fn without_uncertainty(text: &str) -> &str {
    match text.split_once('(') {
        Some((digits, su)) if su.strip_suffix(')').is_some_and(|s| s.bytes().all(|b| b.is_ascii_digit())) => {
            digits
        }
        _ => text,
    }
}

/// Reads the data blocks one after another and hands each to `finish`.
///
/// # Errors
/// Broken grammar, with its line; what `finish` returns.
pub(super) fn for_each_block<'a>(
    text: &'a str,
    mut finish: impl FnMut(&Block<'a>) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    let mut lexer = Lexer::new(text);
    let mut next = lexer.next_token()?;
    let mut current: Option<Block> = None;
    while let Some(token) = next {
        next = lexer.next_token()?;
        let Some(block) = current.as_mut() else {
            let TokenKind::Data(name) = token.kind else {
                let message = "expected `data_NAME` before anything else; is this a CIF?";
                return Err(syntax(token.line, message.into()));
            };
            let (items, loops) = (Vec::with_capacity(16), Vec::with_capacity(2));
            current = Some(Block { name, line: token.line, items, loops });
            continue;
        };
        match token.kind {
            TokenKind::Data(name) => {
                finish(block)?;
                *block = Block { name, line: token.line, items: Vec::new(), loops: Vec::new() };
            }
            TokenKind::Tag(tag) => {
                let Some(Token { kind: TokenKind::Value(mut value), line, start, .. }) = next else {
                    return Err(syntax(token.line, format!("`{}` has no value", shorten(tag))));
                };
                next = lexer.next_token()?;
                // A text of several words without quotes, as in `_symmetry_space_group_name_H-M P 21/c`.
                while let Some(Token { kind: TokenKind::Value(word), line: of_word, end, .. }) = next
                    && of_word == line
                    && !word.quoted
                    && is_text(tag, value)
                {
                    value.text = lexer.between(start, end);
                    next = lexer.next_token()?;
                }
                block.items.push((tag, Datum { value, line }));
            }
            TokenKind::Loop => block.loops.push(read_loop(token.line, &mut lexer, &mut next)?),
            TokenKind::Value(value) => {
                let message = format!("value `{}` belongs to no tag", shorten(value.text));
                return Err(syntax(token.line, message));
            }
        }
    }
    match current {
        Some(block) => finish(&block),
        None => Err(FormatError::whole(FormatErrorKind::NoStructure("the file is empty".into()))),
    }
}

/// The loop that begins on `line`, from its first tag on.
fn read_loop<'a>(
    line: usize,
    lexer: &mut Lexer<'a>,
    next: &mut Option<Token<'a>>,
) -> Result<Loop<'a>, FormatError> {
    let mut table = Loop { line, ..Loop::default() };
    while let Some(TokenKind::Tag(tag)) = next.map(|t| t.kind) {
        table.tags.push(tag);
        *next = lexer.next_token()?;
    }
    let mut last = line;
    while let Some(Token { kind: TokenKind::Value(value), line, .. }) = *next {
        table.values.push(Datum { value, line });
        last = line;
        *next = lexer.next_token()?;
    }
    if table.tags.is_empty() {
        return Err(syntax(line, "`loop_` names no columns".into()));
    }
    if !table.values.len().is_multiple_of(table.tags.len()) {
        let message = format!(
            "the loop that begins on line {line} has {} columns but {} values: its last row is incomplete",
            table.tags.len(),
            table.values.len()
        );
        return Err(FormatError::at(last, FormatErrorKind::Truncated(message)));
    }
    Ok(table)
}
