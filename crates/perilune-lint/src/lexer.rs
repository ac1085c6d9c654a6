//! Source text to tokens, by the rules of Lua 5.1.
//!
//! Works on bytes, as Lua does; a column counts bytes from 1. Every byte of the source is looked at
//! a bounded number of times, and nothing here recurses.

use crate::{Finding, Position};

/// Reserved words.
const KEYWORDS: [&str; 21] = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local",
    "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
];

/// Operators and punctuation, longer ones first.
const SYMBOLS: [&str; 27] = [
    "...", "..", "==", "~=", "<=", ">=", "+", "-", "*", "/", "%", "^", "#", "<", ">", "=", "(",
    ")", "{", "}", "[", "]", ";", ":", ",", ".", "\0",
];

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// An identifier.
    Name(String),
    /// A string, its escapes resolved.
    Text(Vec<u8>),
    /// A number as it is written.
    Number(String),
    /// A reserved word, an operator or punctuation.
    Symbol(&'static str),
    /// The end of the source.
    End,
}

/// Reads one token after the other.
pub(crate) struct Lexer<'s> {
    source: &'s [u8],
    at: usize,
    position: Position,
}

impl<'s> Lexer<'s> {
    /// Starts at the beginning, or behind a `#!` line.
    pub(crate) fn new(source: &'s [u8]) -> Self {
        let mut lexer = Lexer { source, at: 0, position: Position { line: 1, column: 1 } };
        if source.starts_with(b"#!") {
            lexer.skip_line();
        }
        lexer
    }

    /// The line that was reached.
    pub(crate) fn line(&self) -> u32 {
        self.position.line
    }

    fn peek(&self) -> Option<u8> {
        self.source.get(self.at).copied()
    }

    fn rest(&self) -> &'s [u8] {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn bump(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        if byte == b'\n' {
            self.position = Position { line: self.position.line + 1, column: 1 };
        } else {
            self.position.column += 1;
        }
        Some(byte)
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.bump();
        }
    }

    fn skip_line(&mut self) {
        while self.peek().is_some_and(|byte| byte != b'\n') {
            self.bump();
        }
    }

    /// The next token and where it begins.
    pub(crate) fn next(&mut self) -> Result<(Position, Token), Finding> {
        self.skip_space()?;
        let start = self.position;
        let token = match self.peek() {
            None => Token::End,
            Some(b'"' | b'\'') => Token::Text(self.short_string()?),
            Some(b'0'..=b'9') => Token::Number(self.number()?),
            Some(b'.') if self.rest().get(1).is_some_and(u8::is_ascii_digit) => {
                Token::Number(self.number()?)
            }
            Some(byte) if byte == b'_' || byte.is_ascii_alphabetic() => self.word(),
            Some(b'[') => match self.long_bracket() {
                Some(level) => Token::Text(self.long_string(level, start)?),
                None if self.rest().starts_with(b"[=") => {
                    return Err(start.says("invalid long string delimiter"));
                }
                None => self.symbol()?,
            },
            Some(_) => self.symbol()?,
        };
        Ok((start, token))
    }

    /// Skips white space and comments.
    fn skip_space(&mut self) -> Result<(), Finding> {
        loop {
            if self.rest().starts_with(b"--") {
                let start = self.position;
                self.skip(2);
                match self.long_bracket() {
                    Some(level) => drop(self.long_string(level, start)?),
                    None => self.skip_line(),
                }
            } else if self.peek().is_some_and(|byte| byte.is_ascii_whitespace() || byte == 0x0b) {
                self.bump();
            } else {
                return Ok(());
            }
        }
    }

    /// The number of equal signs of a long bracket that opens here.
    fn long_bracket(&self) -> Option<usize> {
        let inside = self.rest().strip_prefix(b"[")?;
        let level = inside.iter().take_while(|byte| **byte == b'=').count();
        (inside.get(level) == Some(&b'[')).then_some(level)
    }

    fn long_string(&mut self, level: usize, start: Position) -> Result<Vec<u8>, Finding> {
        self.skip(level + 2);
        if self.peek() == Some(b'\r') {
            self.bump();
        }
        if self.peek() == Some(b'\n') {
            self.bump();
        }
        let mut text = Vec::new();
        loop {
            let rest = self.rest();
            let closes = rest.first() == Some(&b']')
                && rest.get(level + 1) == Some(&b']')
                && rest.get(1..=level).is_some_and(|signs| signs.iter().all(|s| *s == b'='));
            if closes {
                self.skip(level + 2);
                return Ok(text);
            }
            if level == 0 && rest.starts_with(b"[[") {
                return Err(self.position.says("nesting of [[...]] is deprecated"));
            }
            match self.bump() {
                Some(byte) => text.push(byte),
                None => return Err(start.says("unfinished long string or comment")),
            }
        }
    }

    fn short_string(&mut self) -> Result<Vec<u8>, Finding> {
        let start = self.position;
        let quote = self.bump();
        let mut text = Vec::new();
        loop {
            match self.peek() {
                None | Some(b'\n' | b'\r') => return Err(start.says("unfinished string")),
                Some(b'\\') => self.escape(start, &mut text)?,
                byte if byte == quote => {
                    self.bump();
                    return Ok(text);
                }
                Some(byte) => {
                    text.push(byte);
                    self.bump();
                }
            }
        }
    }

    fn escape(&mut self, start: Position, text: &mut Vec<u8>) -> Result<(), Finding> {
        let at = self.position;
        self.bump();
        let Some(byte) = self.peek() else { return Err(start.says("unfinished string")) };
        if byte.is_ascii_digit() {
            let mut value = 0u32;
            for _ in 0..3 {
                let Some(digit) = self.peek().filter(u8::is_ascii_digit) else { break };
                value = value * 10 + u32::from(digit - b'0');
                self.bump();
            }
            text.push(u8::try_from(value).map_err(|_| at.says("escape sequence too large"))?);
            return Ok(());
        }
        self.bump();
        text.push(match byte {
            b'a' => 7,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            // The two characters of a line end are one.
            b'\r' if self.peek() == Some(b'\n') => {
                self.bump();
                b'\n'
            }
            other => other,
        });
        Ok(())
    }

    /// Reads as much as Lua takes for a number, and checks it as C's `strtod` does.
    fn number(&mut self) -> Result<String, Finding> {
        let start = self.position;
        let mut text = String::new();
        self.move_while(&mut text, |byte| byte.is_ascii_digit() || byte == b'.');
        if self.move_one(&mut text, b"eE") {
            self.move_one(&mut text, b"+-");
        }
        self.move_while(&mut text, |byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let valid = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) => is_hexadecimal(digits),
            // Rust reads words such as "inf", but a number begins with a digit or a point.
            None => text.parse::<f64>().is_ok(),
        };
        if valid { Ok(text) } else { Err(start.says(format!("malformed number near '{text}'"))) }
    }

    fn move_while(&mut self, text: &mut String, is_part: impl Fn(u8) -> bool) {
        while let Some(byte) = self.peek().filter(|byte| is_part(*byte)) {
            text.push(char::from(byte));
            self.bump();
        }
    }

    /// Takes one of these bytes if it comes next.
    fn move_one(&mut self, text: &mut String, bytes: &[u8]) -> bool {
        let Some(byte) = self.peek().filter(|byte| bytes.contains(byte)) else { return false };
        text.push(char::from(byte));
        self.bump();
        true
    }

    fn word(&mut self) -> Token {
        let rest = self.rest();
        let is_part = |byte: &&u8| **byte == b'_' || byte.is_ascii_alphanumeric();
        let len = rest.iter().take_while(is_part).count();
        let word = String::from_utf8_lossy(rest.get(..len).unwrap_or_default()).into_owned();
        self.skip(len);
        match KEYWORDS.iter().find(|keyword| **keyword == word) {
            Some(keyword) => Token::Symbol(keyword),
            None => Token::Name(word),
        }
    }

    fn symbol(&mut self) -> Result<Token, Finding> {
        let found = SYMBOLS.iter().find(|symbol| self.rest().starts_with(symbol.as_bytes()));
        match found {
            // A NUL in the source ends it, as it does for Lua.
            Some(&"\0") => {
                self.at = self.source.len();
                Ok(Token::End)
            }
            Some(symbol) => {
                self.skip(symbol.len());
                Ok(Token::Symbol(symbol))
            }
            None => {
                let byte = self.peek().unwrap_or_default();
                let shown = byte.escape_ascii();
                Err(self.position.says(format!("unexpected symbol near '{shown}'")))
            }
        }
    }
}

/// Whether these are the digits of a hexadecimal number, with a binary exponent if there is a `p`.
fn is_hexadecimal(text: &str) -> bool {
    let (digits, exponent) = match text.split_once(['p', 'P']) {
        Some((digits, exponent)) => (digits, Some(exponent)),
        None => (text, None),
    };
    let are = |text: &str, is_digit: fn(&u8) -> bool| {
        !text.is_empty() && text.bytes().all(|byte| is_digit(&byte))
    };
    are(digits, u8::is_ascii_hexdigit)
        && exponent.is_none_or(|exponent| are(exponent, u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(source: &str) -> Vec<Token> {
        let mut lexer = Lexer::new(source.as_bytes());
        let mut tokens = Vec::new();
        loop {
            match lexer.next().expect("valid tokens").1 {
                Token::End => return tokens,
                token => tokens.push(token),
            }
        }
    }

    fn mistake(source: &str) -> String {
        let mut lexer = Lexer::new(source.as_bytes());
        loop {
            match lexer.next() {
                Ok((_, Token::End)) => panic!("no mistake in {source}"),
                Ok(_) => {}
                Err(finding) => return finding.to_string(),
            }
        }
    }

    #[test]
    fn strings_come_without_their_escapes() {
        let text = |text: &str| Token::Text(text.as_bytes().to_vec());
        assert_eq!(
            tokens(
                r#"'a\n\65\'' "\
x""#
            ),
            [text("a\nA'"), text("\nx")]
        );
        assert_eq!(tokens("[[\na]b]] [==[ ]] ]=] ]==]"), [text("a]b"), text(" ]] ]=] ")]);
    }

    #[test]
    fn comments_and_the_first_line_are_skipped() {
        assert_eq!(
            tokens("#!lua x\n--[[ a\nb ]] 1 -- c\n--[=[ ]] ]=] 2"),
            [Token::Number("1".into()), Token::Number("2".into())]
        );
    }

    #[test]
    fn symbols_are_as_long_as_possible() {
        assert_eq!(
            tokens("a...b"),
            [Token::Name("a".into()), Token::Symbol("..."), Token::Name("b".into())]
        );
        assert_eq!(tokens("0x1F 3. .5 1e-3").len(), 4);
        assert_eq!(tokens("0x1p4 0XaP10 1E+3").len(), 3);
        let pieces = |text: &str, count| {
            assert_eq!(tokens(text).len(), count, "{text}");
        };
        pieces("0x1..'a'", 3);
        pieces("0x1-1", 3);
    }

    #[test]
    fn mistakes_are_placed() {
        assert_eq!(mistake("x = 'a\n'"), "1:5: unfinished string");
        assert_eq!(mistake("\n 3x"), "2:2: malformed number near '3x'");
        for wrong in ["0x", "0x1p", "0xp4", "0x1pa", "0x1p4p", "1e", "1..2", "1_000"] {
            assert_eq!(mistake(wrong), format!("1:1: malformed number near '{wrong}'"));
        }
        assert_eq!(mistake("0x1p-4"), "1:1: malformed number near '0x1p'");
        assert_eq!(mistake("'\\999'"), "1:2: escape sequence too large");
        assert_eq!(mistake("a ~ b"), "1:3: unexpected symbol near '~'");
        assert_eq!(mistake("--[["), "1:1: unfinished long string or comment");
        assert_eq!(mistake("[=x"), "1:1: invalid long string delimiter");
    }
}
