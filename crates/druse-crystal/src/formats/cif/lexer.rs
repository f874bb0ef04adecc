//! Splits CIF text into tokens (CIF 1.1 grammar) without copying it.

use crate::formats::error::{FormatError, FormatErrorKind};

/// One CIF token with the line it begins on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Token<'a> {
    pub line: usize,
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
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text: text.strip_prefix('\u{feff}').unwrap_or(text), pos: 0, line: 1 }
    }

    /// The next token; `None` at the end of the text.
    pub fn next_token(&mut self) -> Result<Option<Token<'a>>, FormatError> {
        self.skip_blank();
        let bytes = self.text.as_bytes();
        let Some(&first) = bytes.get(self.pos) else { return Ok(None) };
        let line = self.line;
        let at_line_start = self.pos == 0 || matches!(bytes[self.pos - 1], b'\n' | b'\r');
        let kind = match first {
            b';' if at_line_start => TokenKind::Value(self.text_field()?),
            b'\'' | b'"' => TokenKind::Value(self.quoted(first)?),
            _ => self.bare()?,
        };
        Ok(Some(Token { line, kind }))
    }

    /// Skips white space and comments, counting lines.
    fn skip_blank(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(&b) = bytes.get(self.pos) {
            match b {
                b'\n' => self.line += 1,
                // A lone carriage return ends a line too (classic Mac OS).
                b'\r' if bytes.get(self.pos + 1) != Some(&b'\n') => self.line += 1,
                b' ' | b'\t' | b'\r' => {}
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
        Err(FormatError::at(
            self.line,
            FormatErrorKind::Syntax(format!(
                "quoted value {} is not closed on its line",
                shorten(&self.text[self.pos..i])
            )),
        ))
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
