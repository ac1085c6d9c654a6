//! The notation of [`CommandSpec::args`]: what arguments a command takes, as short text beside its
//! handler, and the tree `COMMAND DOCS` shows.
//!
//! Arguments stand in order, separated by single spaces:
//!
//! | notation | meaning |
//! |---|---|
//! | `value` | a string named `value` |
//! | `count:int` | another type: `int`, `double`, `key`, `pattern`, `unix-time` |
//! | `GET` | the word itself; the argument is named `get` |
//! | `change:'CH'` | the word `CH` itself, but the argument is named `change` |
//! | `EX seconds:int` | an argument behind the word `EX` |
//! | `condition=(NX\|XX)` | one of several |
//! | `LIMIT limit={offset:int count:int}` | several together, here behind a word |
//! | `[GET]` | may be left out |
//! | `member...` | may be repeated |
//! | `[GET pattern]...` | may be left out or repeated, each time with its word |
//! | `destination:key#1` | a key that the second key spec finds; without number the first |
//! | `auth<password>` | shown to people as `password` |
//! | `GET@6.2.0` | exists since that version |
//! | `old!2.8.12` | out of use since that version |
//!
//! Marks of one argument stand in the order `name:type#spec<shown>@since!until=(...)`.
//!
//! [`CommandSpec::args`]: crate::spec::CommandSpec::args

use std::borrow::Cow;
use std::fmt::Write;

/// One argument of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgSpec<'a> {
    /// Name, unique within its list.
    pub name: Cow<'a, str>,
    /// What it is.
    pub kind: ArgKind<'a>,
    /// The word that introduces it, or that it is.
    pub token: Option<&'a str>,
    /// Index of the key spec that finds it.
    pub key_spec: Option<u32>,
    /// What people see instead of the name.
    pub display: Option<&'a str>,
    /// The version that introduced it, where the command is older.
    pub since: Option<&'a str>,
    /// The version that put it out of use.
    pub deprecated_since: Option<&'a str>,
    /// May be left out.
    pub optional: bool,
    /// May be repeated.
    pub multiple: bool,
    /// Its word is repeated with it.
    pub multiple_token: bool,
}

/// Type of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgKind<'a> {
    /// Any bytes.
    String,
    /// An integer.
    Integer,
    /// A floating point number.
    Double,
    /// A key.
    Key,
    /// A glob pattern.
    Pattern,
    /// A time since the epoch.
    UnixTime,
    /// A fixed word.
    PureToken,
    /// One of these.
    OneOf(Vec<ArgSpec<'a>>),
    /// All of these, in order.
    Block(Vec<ArgSpec<'a>>),
}

impl ArgKind<'_> {
    /// The name `COMMAND DOCS` has for it.
    pub fn name(&self) -> &'static str {
        match self {
            ArgKind::String => "string",
            ArgKind::Integer => "integer",
            ArgKind::Double => "double",
            ArgKind::Key => "key",
            ArgKind::Pattern => "pattern",
            ArgKind::UnixTime => "unix-time",
            ArgKind::PureToken => "pure-token",
            ArgKind::OneOf(_) => "oneof",
            ArgKind::Block(_) => "block",
        }
    }
}

/// Deepest nesting of alternatives and blocks.
const DEPTH_MAX: usize = 16;

/// Reads the notation; `Err` says what is wrong and where.
pub fn parse(notation: &str) -> Result<Vec<ArgSpec<'_>>, String> {
    if notation.is_empty() {
        return Ok(Vec::new());
    }
    let mut parser = Parser { text: notation, at: 0, depth: 0 };
    let args = parser.list(' ')?;
    if parser.at < notation.len() { Err(parser.wrong("an argument")) } else { Ok(args) }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn wrong(&self, expected: &str) -> String {
        format!("expected {expected} at '{}' of '{}'", self.rest(), self.text)
    }

    fn eat(&mut self, mark: &str) -> bool {
        let found = self.rest().starts_with(mark);
        if found {
            self.at += mark.len();
        }
        found
    }

    fn expect(&mut self, mark: &str) -> Result<(), String> {
        if self.eat(mark) { Ok(()) } else { Err(self.wrong(mark)) }
    }

    /// The longest run of bytes for which `fits` holds; at least one.
    fn run(&mut self, expected: &str, fits: impl Fn(char) -> bool) -> Result<&'a str, String> {
        let rest = self.rest();
        let len = rest.find(|byte| !fits(byte)).unwrap_or(rest.len());
        if len == 0 {
            return Err(self.wrong(expected));
        }
        self.at += len;
        Ok(&rest[..len])
    }

    /// Text up to `end`, which is passed, too.
    fn until(&mut self, end: &str) -> Result<&'a str, String> {
        let len = self.rest().find(end).ok_or_else(|| self.wrong(end))?;
        let text = &self.rest()[..len];
        self.at += len + end.len();
        Ok(text)
    }

    fn list(&mut self, separator: char) -> Result<Vec<ArgSpec<'a>>, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wrong("less nesting"));
        }
        let mut args = vec![self.item()?];
        while self.rest().starts_with(separator) {
            self.at += separator.len_utf8();
            args.push(self.item()?);
        }
        self.depth -= 1;
        Ok(args)
    }

    fn item(&mut self) -> Result<ArgSpec<'a>, String> {
        let optional = self.eat("[");
        let mut arg = self.argument()?;
        arg.multiple = self.eat("...");
        if optional {
            self.expect("]")?;
            arg.optional = true;
            if self.eat("...") {
                arg.multiple = true;
                arg.multiple_token = true;
            }
        }
        Ok(arg)
    }

    fn argument(&mut self) -> Result<ArgSpec<'a>, String> {
        let mut arg = ArgSpec {
            name: Cow::Borrowed(""),
            kind: ArgKind::String,
            token: None,
            key_spec: None,
            display: None,
            since: None,
            deprecated_since: None,
            optional: false,
            multiple: false,
            multiple_token: false,
        };
        if self.rest().starts_with(|first: char| first.is_ascii_uppercase()) {
            let token = self.run("a word", |c| {
                c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, '-' | '_')
            })?;
            arg.token = Some(token);
            let named = self.rest().strip_prefix(' ').is_some_and(|next| next.starts_with(is_name));
            if !named {
                arg.name = Cow::Owned(token.to_ascii_lowercase());
                arg.kind = ArgKind::PureToken;
                arg.since = self.version("@")?;
                arg.deprecated_since = self.version("!")?;
                return Ok(arg);
            }
            self.at += 1;
        }
        arg.name = Cow::Borrowed(self.run("a name", is_name)?);
        self.marks(&mut arg)?;
        Ok(arg)
    }

    /// What follows the name of an argument.
    fn marks(&mut self, arg: &mut ArgSpec<'a>) -> Result<(), String> {
        if self.eat(":'") {
            arg.token = Some(self.until("'")?);
            arg.kind = ArgKind::PureToken;
        } else if self.eat(":") {
            arg.kind = match self.run("a type", is_name)? {
                "int" => ArgKind::Integer,
                "double" => ArgKind::Double,
                "key" => ArgKind::Key,
                "pattern" => ArgKind::Pattern,
                "unix-time" => ArgKind::UnixTime,
                _ => return Err(self.wrong("another type before this")),
            };
        }
        if self.eat("#") {
            let digits = self.run("a number", |c| c.is_ascii_digit())?;
            arg.key_spec = Some(digits.parse().map_err(|_| self.wrong("a smaller number"))?);
        } else if arg.kind == ArgKind::Key {
            arg.key_spec = Some(0);
        }
        if self.eat("<") {
            arg.display = Some(self.until(">")?);
        }
        arg.since = self.version("@")?;
        arg.deprecated_since = self.version("!")?;
        if self.eat("=(") {
            arg.kind = ArgKind::OneOf(self.list('|')?);
            self.expect(")")?;
        } else if self.eat("={") {
            arg.kind = ArgKind::Block(self.list(' ')?);
            self.expect("}")?;
        }
        Ok(())
    }

    /// A version behind `mark`. Dots belong to it only between digits: `...` may follow.
    fn version(&mut self, mark: &str) -> Result<Option<&'a str>, String> {
        if !self.eat(mark) {
            return Ok(None);
        }
        let from = self.at;
        loop {
            self.run("a version", |c| c.is_ascii_digit())?;
            let next = self.rest().strip_prefix('.');
            if !next.is_some_and(|next| next.starts_with(|c: char| c.is_ascii_digit())) {
                return Ok(Some(&self.text[from..self.at]));
            }
            self.at += 1;
        }
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_')
}

/// A line that shows people how to call a command: `SET key value [NX | XX] [GET]`. `name` is the
/// full name, `config|get`; `notation` that of its row.
pub fn synopsis(name: &str, notation: &str) -> Result<String, String> {
    let mut line = name.to_ascii_uppercase().replace('|', " ");
    for arg in parse(notation)? {
        line.push(' ');
        show(&arg, &mut line);
    }
    Ok(line)
}

fn show(arg: &ArgSpec<'_>, line: &mut String) {
    let mut body = String::new();
    let token = arg.token.map(|token| if token.is_empty() { "\"\"" } else { token });
    match &arg.kind {
        ArgKind::OneOf(children) => {
            let framed = !arg.optional || arg.multiple || arg.token.is_some();
            body.push_str(if framed { "<" } else { "" });
            show_all(children, " | ", &mut body);
            body.push_str(if framed { ">" } else { "" });
        }
        ArgKind::Block(children) => show_all(children, " ", &mut body),
        ArgKind::PureToken => body.push_str(token.unwrap_or_default()),
        _ => body.push_str(arg.display.unwrap_or(&arg.name)),
    }
    let worded = match token {
        Some(token) if arg.kind != ArgKind::PureToken => format!("{token} {body}"),
        _ => body.clone(),
    };
    line.push_str(if arg.optional { "[" } else { "" });
    line.push_str(&worded);
    if arg.multiple {
        let again = if arg.multiple_token { &worded } else { &body };
        // Writing to a string cannot fail.
        let _ = write!(line, " [{again} ...]");
    }
    line.push_str(if arg.optional { "]" } else { "" });
}

fn show_all(args: &[ArgSpec<'_>], separator: &str, line: &mut String) {
    for (at, arg) in args.iter().enumerate() {
        line.push_str(if at > 0 { separator } else { "" });
        show(arg, line);
    }
}

#[cfg(test)]
mod tests;
