//! Splits CIF text into tokens without copying it: the grammar of CIF 1.1, and of CIF 2.0 its strings in triple quotes and its
//! lists and tables, each of which is one value.

use crate::formats::error::{FormatError, FormatErrorKind};

/// One CIF token with the line it begins on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Token<'a> {
    pub line: usize,
    /// Bytes of the text that it fills, delimiters included.
    pub start: usize,
    pub end: usize,
    pub kind: TokenKind<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum TokenKind<'a> {
    /// `data_NAME`
    Data(&'a str),
    /// `loop_`
    Loop,
    /// `_tag`, with the underscore
    Tag(&'a str),
    /// A value; bare `?` and `.` mean "unknown" and "not applicable".
    Value(Value<'a>),
}

/// A data value and whether quotes or semicolons delimited it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Value<'a> {
    pub text: &'a str,
    pub quoted: bool,
}

impl<'a> Value<'a> {
    /// The text, unless it is a bare `?` or `.`.
    pub fn known(&self) -> Option<&'a str> {
        (self.quoted || !matches!(self.text, "?" | ".")).then_some(self.text)
    }
}

pub(super) struct Lexer<'a> {
    text: &'a str,
    pos: usize,
    line: usize,
    /// Whether the file says that it is CIF 2.0, in which a value that begins with a bracket is a list.
    version_2: bool,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self { text, pos: 0, line: 1, version_2: text.starts_with("#\\#CIF_2") }
    }

    /// The next token; `None` at the end of the text.
    pub fn next_token(&mut self) -> Result<Option<Token<'a>>, FormatError> {
        self.skip_blank();
        let bytes = self.text.as_bytes();
        let Some(&first) = bytes.get(self.pos) else { return Ok(None) };
        let (line, start) = (self.line, self.pos);
        let at_line_start = self.pos == 0 || matches!(bytes[self.pos - 1], b'\n' | b'\r');
        let kind = match first {
            b';' if at_line_start => TokenKind::Value(self.text_field()?),
            b'\'' | b'"' => TokenKind::Value(self.quoted(first)?),
            b'[' | b'{' => match self.list()? {
                Some(value) => TokenKind::Value(value),
                None => self.bare()?,
            },
            _ => self.bare()?,
        };
        Ok(Some(Token { line, start, end: self.pos, kind }))
    }

    /// What stands between two places of the text.
    pub fn between(&self, start: usize, end: usize) -> &'a str {
        &self.text[start..end]
    }

    /// Skips white space and comments, counting lines.
    fn skip_blank(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(&b) = bytes.get(self.pos) {
            match b {
                b'\n' => self.line += 1,
                // A lone carriage return ends a line too (classic Mac OS).
                b'\r' if bytes.get(self.pos + 1) != Some(&b'\n') => self.line += 1,
                // Form feeds, and the mark with which DOS ended a file.
                b' ' | b'\t' | b'\r' | b'\x0b' | b'\x0c' | b'\x1a' => {}
                b'#' => {
                    while self.pos + 1 < bytes.len() && !matches!(bytes[self.pos + 1], b'\n' | b'\r') {
                        self.pos += 1;
                    }
                }
                _ => return,
            }
            self.pos += 1;
        }
    }

    /// A `;` text field: ends at the next line that begins with `;`.
    fn text_field(&mut self) -> Result<Value<'a>, FormatError> {
        let bytes = self.text.as_bytes();
        let start = self.pos + 1;
        let opened = self.line;
        let mut i = start;
        while i < bytes.len() {
            let ends_line = bytes[i] == b'\n' || (bytes[i] == b'\r' && bytes.get(i + 1) != Some(&b'\n'));
            if ends_line {
                self.line += 1;
                if bytes.get(i + 1) == Some(&b';') {
                    let end = if bytes[i] == b'\n' && i > start && bytes[i - 1] == b'\r' { i - 1 } else { i };
                    self.pos = i + 2;
                    return Ok(Value { text: &self.text[start..end], quoted: true });
                }
            }
            i += 1;
        }
        Err(FormatError::at(
            opened,
            FormatErrorKind::Truncated("the text field that begins here with `;` is never closed".into()),
        ))
    }

    /// A quoted value: the closing quote is followed by white space or the end.
    fn quoted(&mut self, quote: u8) -> Result<Value<'a>, FormatError> {
        let bytes = self.text.as_bytes();
        let start = self.pos + 1;
        if self.version_2
            && let Some(value) = self.triple_quoted(quote)
        {
            return Ok(value);
        }
        let mut i = start;
        while i < bytes.len() && !matches!(bytes[i], b'\n' | b'\r') {
            let closes = bytes[i] == quote
                && bytes.get(i + 1).is_none_or(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'));
            if closes {
                self.pos = i + 1;
                return Ok(Value { text: &self.text[start..i], quoted: true });
            }
            i += 1;
        }
        // CIF 2.0 that does not say so.
        if let Some(value) = self.triple_quoted(quote) {
            return Ok(value);
        }
        Err(FormatError::at(
            self.line,
            FormatErrorKind::Syntax(format!(
                "quoted value {} is not closed on its line",
                shorten(&self.text[self.pos..i])
            )),
        ))
    }

    /// A value between three quotes on either side, which may span lines.
    fn triple_quoted(&mut self, quote: u8) -> Option<Value<'a>> {
        let end = end_of_triple(self.text.as_bytes(), self.pos, quote)?;
        let text = &self.text[self.pos + 3..end - 3];
        self.line += line_ends(&self.text[self.pos..end]);
        self.pos = end;
        Some(Value { text, quoted: true })
    }

    /// A list or table of CIF 2.0 as one value, brackets included. `None` where the bracket begins a bare word of CIF 1.1
    /// (`[Fe(CN)6]`): in a file that does not say that it is CIF 2.0, a list has blanks and ends before the next line
    /// that begins a tag, a loop or a block.
    fn list(&mut self) -> Result<Option<Value<'a>>, FormatError> {
        let bytes = self.text.as_bytes();
        let (mut depth, mut i, mut blanks) = (0usize, self.pos, false);
        let closed = loop {
            let Some(&b) = bytes.get(i) else { break None };
            let after_blank = i > 0 && matches!(bytes[i - 1], b' ' | b'\t' | b'\n' | b'\r');
            match b {
                b'[' | b'{' => depth += 1,
                b']' | b'}' => {
                    depth -= 1;
                    if depth == 0 {
                        break Some(i + 1);
                    }
                }
                b'\'' | b'"' if after_blank || matches!(bytes[i - 1], b'[' | b'{' | b':') => {
                    let one_line =
                        bytes[i + 1..].iter().position(|&c| c == b || c == b'\n').map(|n| i + 1 + n);
                    i = match (end_of_triple(bytes, i, b), one_line) {
                        (Some(end), _) => end - 1,
                        (None, Some(end)) => end,
                        (None, None) => break None,
                    };
                }
                b'#' if after_blank => {
                    while i + 1 < bytes.len() && !matches!(bytes[i + 1], b'\n' | b'\r') {
                        i += 1;
                    }
                }
                b' ' | b'\t' | b'\n' | b'\r' => {
                    blanks = true;
                    let rest = &bytes[i + 1..];
                    let keyword =
                        |word: &[u8]| rest.get(..word.len()).is_some_and(|w| w.eq_ignore_ascii_case(word));
                    let line_begins = matches!(b, b'\n' | b'\r');
                    if line_begins && (rest.first() == Some(&b'_') || keyword(b"loop_") || keyword(b"data_"))
                    {
                        break None;
                    }
                }
                _ => {}
            }
            i += 1;
        };
        match closed {
            Some(end) if self.version_2 || blanks => {
                let text = &self.text[self.pos..end];
                self.line += line_ends(text);
                self.pos = end;
                Ok(Some(Value { text, quoted: true }))
            }
            None if self.version_2 => Err(FormatError::at(
                self.line,
                FormatErrorKind::Truncated("the list that begins here is never closed".into()),
            )),
            _ => Ok(None),
        }
    }

    fn bare(&mut self) -> Result<TokenKind<'a>, FormatError> {
        let bytes = self.text.as_bytes();
        let start = self.pos;
        while self.pos < bytes.len() && !matches!(bytes[self.pos], b' ' | b'\t' | b'\n' | b'\r') {
            self.pos += 1;
        }
        let word = &self.text[start..self.pos];
        if word.as_bytes()[0] == b'_' {
            return Ok(TokenKind::Tag(word));
        }
        let prefix = |p: &str| word.get(..p.len()).is_some_and(|w| w.eq_ignore_ascii_case(p));
        if prefix("data_") {
            return Ok(TokenKind::Data(&word[5..]));
        }
        if word.eq_ignore_ascii_case("loop_") {
            return Ok(TokenKind::Loop);
        }
        if prefix("save_") || word.eq_ignore_ascii_case("global_") || word.eq_ignore_ascii_case("stop_") {
            return Err(FormatError::at(
                self.line,
                FormatErrorKind::Unsupported(format!(
                    "`{}` belongs to dictionaries and STAR files, not to a CIF with a structure",
                    shorten(word)
                )),
            ));
        }
        Ok(TokenKind::Value(Value { text: word, quoted: false }))
    }
}

/// Where a value that begins here with three quotes ends, the closing ones included.
fn end_of_triple(bytes: &[u8], start: usize, quote: u8) -> Option<usize> {
    let three = [quote; 3];
    if bytes.get(start..start + 3) != Some(&three[..]) {
        return None;
    }
    let inner = &bytes[start + 3..];
    inner.windows(3).position(|w| w == three).map(|n| start + 3 + n + 3)
}

/// Lines that end within a text.
fn line_ends(text: &str) -> usize {
    let bytes = text.as_bytes();
    let lone_return = |i: usize| bytes[i] == b'\r' && bytes.get(i + 1) != Some(&b'\n');
    (0..bytes.len()).filter(|&i| bytes[i] == b'\n' || lone_return(i)).count()
}

/// At most 40 characters of a text, for messages.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<TokenKind<'_>> {
        let mut lexer = Lexer::new(text);
        std::iter::from_fn(|| lexer.next_token().unwrap().map(|t| t.kind)).collect()
    }

    fn bare(text: &str) -> TokenKind<'_> {
        TokenKind::Value(Value { text, quoted: false })
    }

    fn quoted(text: &str) -> TokenKind<'_> {
        TokenKind::Value(Value { text, quoted: true })
    }

    #[test]
    fn tokens_of_every_kind() {
        let text = "\u{feff}# comment\r\nDATA_x y#z\r\n_a 'it's' \"q\" '?' ?\nLoop_ _b #\n;one\r\n two\r\n;\n;;x\n; .";
        let expected = [
            TokenKind::Data("x"),
            bare("y#z"),
            TokenKind::Tag("_a"),
            quoted("it's"),
            quoted("q"),
            quoted("?"),
            bare("?"),
            TokenKind::Loop,
            TokenKind::Tag("_b"),
            quoted("one\r\n two"),
            quoted(";x"),
            bare("."),
        ];
        assert_eq!(all(text), expected);
    }

    #[test]
    fn values_of_cif_2() {
        let body = "_a \"\"\"one\n\"two\"\nthree\"\"\" _b [[1 0] ['a b' ]\n [x]] _c {'k':1 'l':[2 3]} z";
        let expected = [
            TokenKind::Tag("_a"),
            quoted("one\n\"two\"\nthree"),
            TokenKind::Tag("_b"),
            quoted("[[1 0] ['a b' ]\n [x]]"),
            TokenKind::Tag("_c"),
            quoted("{'k':1 'l':[2 3]}"),
            bare("z"),
        ];
        assert_eq!(all(&format!("#\\#CIF_2.0\n{body}")), expected);
        assert_eq!(all(body), expected, "also in a file that does not say which version it is");
        // Bare words of CIF 1.1, and a quote inside of quotes.
        assert_eq!(all("[Fe(CN)6] [a\n_b"), [bare("[Fe(CN)6]"), bare("[a"), TokenKind::Tag("_b")]);
        assert_eq!(all("''' x"), [quoted("'"), bare("x")]);
        let mut lexer = Lexer::new("#\\#CIF_2.0\n[1\n2] x");
        lexer.next_token().unwrap();
        assert_eq!(lexer.next_token().unwrap().unwrap().line, 3);
        assert!(Lexer::new("#\\#CIF_2.0\n[1 [2]\n").next_token().is_err());
    }

    #[test]
    fn lines_are_counted_for_every_line_ending() {
        for ending in ["\n", "\r\n", "\r"] {
            let text = ["a", ";t", ";", "# c", "b"].join(ending);
            let mut lexer = Lexer::new(&text);
            let lines: Vec<usize> =
                std::iter::from_fn(|| lexer.next_token().unwrap().map(|t| t.line)).collect();
            assert_eq!(lines, [1, 2, 5], "{ending:?}");
        }
    }

    #[test]
    fn open_delimiters_are_errors_with_their_line() {
        for text in ["x\n'abc\n", "x\n\"abc d'", "x\n;abc\nd"] {
            let mut lexer = Lexer::new(text);
            lexer.next_token().unwrap();
            assert_eq!(lexer.next_token().unwrap_err().line, Some(2), "{text:?}");
        }
    }
}
