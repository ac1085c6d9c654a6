//! Splitting a line into words, as inline requests and configuration files are written.
//!
//! Words are separated by blanks. `"double quotes"` understand `\n \r \t \b \a`, `\xHH` and a
//! backslash before any other byte as that byte; `'single quotes'` only `\'`. A closing quote must
//! be followed by a blank or the end. A NUL byte ends the line, as it does in Redis.

/// Splits `line` into its words. `None` when quotes do not balance.
///
/// ```
/// let words = perilune_resp::split_args(br#"set "a\x20b" 'it\'s'"#).unwrap();
/// assert_eq!(words, [&b"set"[..], b"a b", b"it's"]);
/// ```
pub fn split_args(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = Cursor::new(line);
    while rest.skip_blanks() {
        let mut word = Vec::new();
        rest.word(&mut word)?;
        words.push(word);
    }
    Some(words)
}

/// Splits `line` like [`split_args`], all words going into one buffer; `word_end` hears where each
/// one ends.
pub(crate) fn split_args_into(
    line: &[u8],
    out: &mut Vec<u8>,
    mut word_end: impl FnMut(usize),
) -> Option<()> {
    let mut rest = Cursor::new(line);
    while rest.skip_blanks() {
        rest.word(out)?;
        word_end(out.len());
    }
    Some(())
}

/// A place in the line. [`peek`](Cursor::peek) gives NUL at the end and beyond, so the end of the
/// line and a NUL byte in it are one case.
struct Cursor<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn new(line: &'a [u8]) -> Self {
        Self { line, at: 0 }
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.line.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// Moves to the next word; false when there is none.
    fn skip_blanks(&mut self) -> bool {
        while is_blank(self.peek(0)) {
            self.at += 1;
        }
        self.peek(0) != 0
    }

    fn word(&mut self, out: &mut Vec<u8>) -> Option<()> {
        loop {
            let byte = self.peek(0);
            match byte {
                0 => return Some(()),
                b' ' | b'\n' | b'\r' | b'\t' => {
                    self.at += 1;
                    return Some(());
                }
                b'"' => return self.double_quoted(out),
                b'\'' => return self.single_quoted(out),
                _ => out.push(byte),
            }
            self.at += 1;
        }
    }

    fn double_quoted(&mut self, out: &mut Vec<u8>) -> Option<()> {
        self.at += 1;
        loop {
            match (self.peek(0), self.peek(1)) {
                (0, _) => return None,
                (b'"', after) => return self.close_quote(after),
                (b'\\', escaped) if escaped != 0 => self.escape(escaped, out),
                (byte, _) => {
                    out.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    fn escape(&mut self, escaped: u8, out: &mut Vec<u8>) {
        if escaped == b'x'
            && let (Some(high), Some(low)) = (hex_digit(self.peek(2)), hex_digit(self.peek(3)))
        {
            out.push(high << 4 | low);
            self.at += 4;
            return;
        }
        out.push(match escaped {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 0x08,
            b'a' => 0x07,
            other => other,
        });
        self.at += 2;
    }

    fn single_quoted(&mut self, out: &mut Vec<u8>) -> Option<()> {
        self.at += 1;
        loop {
            match (self.peek(0), self.peek(1)) {
                (0, _) => return None,
                (b'\\', b'\'') => {
                    out.push(b'\'');
                    self.at += 2;
                }
                (b'\'', after) => return self.close_quote(after),
                (byte, _) => {
                    out.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    fn close_quote(&mut self, after: u8) -> Option<()> {
        self.at += 1;
        (after == 0 || is_blank(after)).then_some(())
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

fn hex_digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[u8]) -> Option<Vec<String>> {
        let words = split_args(line)?;
        Some(words.iter().map(|word| word.escape_ascii().to_string()).collect())
    }

    #[test]
    fn plain_words() {
        assert_eq!(words(b"  a  bc\td \r\n"), Some(vec!["a".into(), "bc".into(), "d".into()]));
        assert_eq!(words(b""), Some(vec![]));
        assert_eq!(words(b" \t "), Some(vec![]));
        assert_eq!(words(b"a\x0bb"), Some(vec!["a\\x0bb".into()]));
        assert_eq!(words(b"a\0b"), Some(vec!["a".into()]));
    }

    #[test]
    fn quoted_words() {
        assert_eq!(words(br#""" ''"#), Some(vec!["".into(), "".into()]));
        assert_eq!(words(br#"fo"o b" x"#), Some(vec!["foo b".into(), "x".into()]));
        assert_eq!(words(br#""\n\r\t\q\"""#), Some(vec![r#"\n\r\tq\""#.into()]));
        assert_eq!(words(br#""\x41\xfF\xg0""#), Some(vec![r"A\xffxg0".into()]));
        assert_eq!(words(br"'\n\''"), Some(vec![r"\\n\'".into()]));
    }

    #[test]
    fn unbalanced_quotes() {
        for line in [&b"\"a"[..], b"'a", b"\"a\"b", b"'a'b", b"\"a\\", b"\"a\\\"", b"\"a\0\""] {
            assert_eq!(split_args(line), None, "{}", line.escape_ascii());
        }
    }
}
