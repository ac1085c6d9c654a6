//! Splits Rust source into code and comments, line by line.
//!
//! Just enough of a lexer that a word in a string literal counts neither as code nor as comment: it
//! knows line and nested block comments, plain, byte and raw strings, character literals and
//! lifetimes. It does not know tokens, macros or `cfg`.

/// One line of a source file; what is left of string and character literals are their quotes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) code: String,
    pub(super) comment: String,
}

#[derive(Clone, Copy)]
enum State {
    Code,
    LineComment,
    /// Holds how deeply block comments are nested.
    BlockComment(u32),
    Text,
    /// Holds how many `#` close the raw string.
    RawText(usize),
}

/// Splits a file into its lines.
pub(super) fn split(source: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut line = Line::default();
    let mut state = State::Code;
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        if first == '\n' {
            lines.push(std::mem::take(&mut line));
            if matches!(state, State::LineComment) {
                state = State::Code;
            }
            rest = &rest[1..];
            continue;
        }
        let (next, taken) = match state {
            State::Code => step_code(rest, first, &mut line),
            State::LineComment => {
                line.comment.push(first);
                (state, first.len_utf8())
            }
            State::BlockComment(depth) => step_block_comment(rest, first, depth, &mut line),
            State::Text => step_text(rest, first),
            State::RawText(hashes) => step_raw_text(rest, first, hashes),
        };
        state = next;
        rest = &rest[taken..];
    }
    if line != Line::default() {
        lines.push(line);
    }
    lines
}

fn step_code(rest: &str, first: char, line: &mut Line) -> (State, usize) {
    if rest.starts_with("//") {
        line.comment.push_str("//");
        return (State::LineComment, 2);
    }
    if rest.starts_with("/*") {
        line.comment.push_str("/*");
        return (State::BlockComment(1), 2);
    }
    if let Some((hashes, taken)) = raw_string_start(rest, &line.code) {
        line.code.push_str(&rest[..taken]);
        return (State::RawText(hashes), taken);
    }
    if first == '"' {
        line.code.push('"');
        return (State::Text, 1);
    }
    if let Some(taken) = (first == '\'').then(|| char_literal(rest)).flatten() {
        line.code.push_str("''");
        return (State::Code, taken);
    }
    line.code.push(first);
    (State::Code, first.len_utf8())
}

fn step_block_comment(rest: &str, first: char, depth: u32, line: &mut Line) -> (State, usize) {
    if rest.starts_with("/*") {
        line.comment.push_str("/*");
        return (State::BlockComment(depth + 1), 2);
    }
    if rest.starts_with("*/") {
        line.comment.push_str("*/");
        let outer = if depth > 1 { State::BlockComment(depth - 1) } else { State::Code };
        return (outer, 2);
    }
    line.comment.push(first);
    (State::BlockComment(depth), first.len_utf8())
}

fn step_text(rest: &str, first: char) -> (State, usize) {
    match first {
        '"' => (State::Code, 1),
        // The escaped character cannot end the string; an escaped line end must stay visible.
        '\\' => match rest[1..].chars().next() {
            Some(escaped) if escaped != '\n' => (State::Text, 1 + escaped.len_utf8()),
            _ => (State::Text, 1),
        },
        _ => (State::Text, first.len_utf8()),
    }
}

fn step_raw_text(rest: &str, first: char, hashes: usize) -> (State, usize) {
    let closes =
        first == '"' && rest[1..].bytes().take(hashes).filter(|b| *b == b'#').count() == hashes;
    if closes { (State::Code, 1 + hashes) } else { (State::RawText(hashes), first.len_utf8()) }
}

/// If a raw string starts here: its number of `#` and the length of its opening.
fn raw_string_start(rest: &str, before: &str) -> Option<(usize, usize)> {
    let after = rest
        .strip_prefix('r')
        .or_else(|| rest.strip_prefix("br").or_else(|| rest.strip_prefix("cr")))?;
    if before.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let hashes = after.bytes().take_while(|b| *b == b'#').count();
    let opening = rest.len() - after.len() + hashes + 1;
    after[hashes..].starts_with('"').then_some((hashes, opening))
}

/// The length of the character literal that starts here; `None` for a lifetime.
fn char_literal(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first != '\\' {
        let (end, quote) = chars.next()?;
        return (quote == '\'').then_some(end + 1);
    }
    chars.next()?;
    chars.take_while(|(_, c)| *c != '\n').find(|(_, c)| *c == '\'').map(|(end, _)| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(source: &str) -> Vec<String> {
        split(source).into_iter().map(|line| line.code.trim().to_owned()).collect()
    }

    fn comments(source: &str) -> Vec<String> {
        split(source).into_iter().map(|line| line.comment.trim().to_owned()).collect()
    }

    #[test]
    fn comments_are_apart_from_code() {
        let source = "let a = 1; // one\n/* two\n/* inner */ still */ let b;\n";
        assert_eq!(code(source), ["let a = 1;", "", "let b;"]);
        assert_eq!(comments(source), ["// one", "/* two", "/* inner */ still */"]);
    }

    #[test]
    fn strings_are_neither() {
        let source = "f(\"// \\\" unsafe\", b\"x\"); g(r#\"a \" unsafe\n// b\"#, 1);\n";
        assert_eq!(code(source), ["f(\", b\"); g(r#\"", ", 1);"]);
        assert_eq!(comments(source), ["", ""]);
    }

    #[test]
    fn a_string_over_two_lines_keeps_the_count_of_lines() {
        assert_eq!(code("a(\"x \\\n  y\");\nb\n"), ["a(\"", ");", "b"]);
    }

    #[test]
    fn a_quote_may_be_a_character_or_a_lifetime() {
        let source =
            "let q = '\"'; let e = '\\''; let u = '\\u{41}'; fn f<'a>(x: &'a str) {} // c\n";
        assert_eq!(code(source), ["let q = ''; let e = ''; let u = ''; fn f<'a>(x: &'a str) {}"]);
        assert_eq!(comments(source), ["// c"]);
    }

    #[test]
    fn a_name_that_ends_in_r_does_not_start_a_raw_string() {
        assert_eq!(code("for\"x // y\" z"), ["for\" z"]);
        assert_eq!(code("r\"x\\\" z"), ["r\" z"]);
    }

    #[test]
    fn broken_source_is_split_all_the_same() {
        for source in ["'", "\"", "r#\"", "/*", "'\\", "\"\\", "b'"] {
            assert_eq!(split(source).len(), 1, "{source:?}");
        }
        assert!(split("").is_empty());
    }
}
