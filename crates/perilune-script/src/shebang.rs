//! The first line of a script or library: `#!engine option=value ...`.
//!
//! A script may have one, and then names its engine and its flags; without it the default engine
//! runs it under the rules of old scripts ([`ScriptFlags::COMPAT`]). A library must have one, with
//! a name. The line is split into words as a configuration line is; a NUL byte ends the text, as
//! it does in Redis.

use crate::engine::ScriptFlags;
use perilune_resp::split_args;
use std::fmt;

/// What is wrong with a first line. Displays as the error text, without code.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShebangError {
    /// A script's line does not end.
    InvalidShebang,
    /// A script's line cannot be split into words.
    InvalidEngine,
    /// No engine of that name; the word as it stands, `#!` included.
    UnexpectedEngine(Vec<u8>),
    /// Flags are the only option of scripts. Engine and option.
    UnknownOption(String, Vec<u8>),
    /// There is no such flag.
    UnexpectedFlag(Vec<u8>),
    /// A library without `#!` line.
    MissingMetadata,
    /// A library's line does not end or cannot be split.
    InvalidMetadata,
    /// The name is the only option of libraries.
    InvalidValue(Vec<u8>),
    /// More than one name.
    NameTwice,
    /// No name.
    NoName,
    /// The name has other characters than letters, digits and underscores, or none.
    BadName,
    /// There is no such engine.
    EngineNotFound(Vec<u8>),
}

impl fmt::Display for ShebangError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self {
            Self::InvalidShebang => f.write_str("Invalid script shebang"),
            Self::InvalidEngine => f.write_str("Invalid engine in script shebang"),
            Self::UnexpectedEngine(word) => {
                write!(f, "Unexpected engine in script shebang: {}", text(word))
            }
            Self::UnknownOption(engine, option) => {
                write!(f, "Unknown {engine} shebang option: {}", text(option))
            }
            Self::UnexpectedFlag(flag) => {
                write!(f, "Unexpected flag in script shebang: {}", text(flag))
            }
            Self::MissingMetadata => f.write_str("Missing library metadata"),
            Self::InvalidMetadata => f.write_str("Invalid library metadata"),
            Self::InvalidValue(word) => write!(f, "Invalid metadata value given: {}", text(word)),
            Self::NameTwice => {
                f.write_str("Invalid metadata value, name argument was given multiple times")
            }
            Self::NoName => f.write_str("Library name was not given"),
            Self::BadName => f.write_str(
                "Library names can only contain letters, numbers, or underscores(_) and must be \
                 at least one character long",
            ),
            Self::EngineNotFound(name) => write!(f, "Engine '{}' not found", text(name)),
        }
    }
}

impl std::error::Error for ShebangError {}

/// What a script says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScriptHeader {
    /// Index of its engine; `None` without `#!` line.
    pub engine: Option<usize>,
    /// Its flags; [`ScriptFlags::COMPAT`] without `#!` line.
    pub flags: ScriptFlags,
    /// Bytes of the `#!` line without its line break; the code goes on from there, so that line
    /// numbers hold.
    pub len: usize,
}

/// What a library says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryHeader {
    /// Its name.
    pub name: Vec<u8>,
    /// Index of its engine.
    pub engine: usize,
    /// As [`ScriptHeader::len`].
    pub len: usize,
}

/// Reads the first line of a script. `engines` are the names of the engines, which scripts must
/// write exactly so.
pub fn parse_script_header(
    source: &[u8],
    engines: &[&'static str],
) -> Result<ScriptHeader, ShebangError> {
    if !source.starts_with(b"#!") {
        return Ok(ScriptHeader { engine: None, flags: ScriptFlags::COMPAT, len: 0 });
    }
    let len = first_line(source).ok_or(ShebangError::InvalidShebang)?;
    let words = split_args(&source[..len]).unwrap_or_default();
    let Some((word, options)) = words.split_first() else {
        return Err(ShebangError::InvalidEngine);
    };
    let named = |name: &&str| word.strip_prefix(b"#!") == Some(name.as_bytes());
    let engine = engines
        .iter()
        .position(named)
        .ok_or_else(|| ShebangError::UnexpectedEngine(word.clone()))?;
    let mut flags = ScriptFlags::NONE;
    for option in options {
        let Some(list) = option.strip_prefix(b"flags=") else {
            return Err(ShebangError::UnknownOption(engines[engine].to_owned(), option.clone()));
        };
        if list.is_empty() {
            continue;
        }
        for name in list.split(|byte| *byte == b',') {
            let flag = ScriptFlags::by_name(name);
            flags = flags.union(flag.ok_or_else(|| ShebangError::UnexpectedFlag(name.to_vec()))?);
        }
    }
    Ok(ScriptHeader { engine: Some(engine), flags, len })
}

/// Reads the first line of a library. `engines` are the names of the engines, which libraries may
/// write in any letter case.
pub fn parse_library_header(
    code: &[u8],
    engines: &[&'static str],
) -> Result<LibraryHeader, ShebangError> {
    if !code.starts_with(b"#!") {
        return Err(ShebangError::MissingMetadata);
    }
    let len = first_line(code).ok_or(ShebangError::InvalidMetadata)?;
    let words = split_args(&code[..len]).unwrap_or_default();
    let Some((word, options)) = words.split_first() else {
        return Err(ShebangError::InvalidMetadata);
    };
    let wanted = word.strip_prefix(b"#!").unwrap_or_default();
    let mut name: Option<&[u8]> = None;
    for option in options {
        match option.split_at_checked(5) {
            Some((key, value)) if key.eq_ignore_ascii_case(b"name=") => {
                if name.replace(value).is_some() {
                    return Err(ShebangError::NameTwice);
                }
            }
            _ => return Err(ShebangError::InvalidValue(option.clone())),
        }
    }
    let name = name.ok_or(ShebangError::NoName)?;
    if !is_valid_name(name) {
        return Err(ShebangError::BadName);
    }
    let engine = engines
        .iter()
        .position(|engine| wanted.eq_ignore_ascii_case(engine.as_bytes()))
        .ok_or_else(|| ShebangError::EngineNotFound(wanted.to_vec()))?;
    Ok(LibraryHeader { name: name.to_vec(), engine, len })
}

/// Whether a library or function may be called that: letters, digits and underscores.
pub fn is_valid_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// Length of the first line, if it ends.
fn first_line(text: &[u8]) -> Option<usize> {
    let end = text.iter().position(|byte| matches!(byte, b'\n' | 0))?;
    (text[end] == b'\n').then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGINES: &[&str] = &["lua", "fake"];

    fn script(source: &str) -> Result<ScriptHeader, String> {
        parse_script_header(source.as_bytes(), ENGINES).map_err(|error| error.to_string())
    }

    fn library(code: &str) -> Result<LibraryHeader, String> {
        parse_library_header(code.as_bytes(), ENGINES).map_err(|error| error.to_string())
    }

    #[test]
    fn scripts_without_the_line_are_old() {
        let old = ScriptHeader { engine: None, flags: ScriptFlags::COMPAT, len: 0 };
        assert_eq!(script("return 1"), Ok(old));
        assert_eq!(script(""), Ok(old));
        assert_eq!(script("\n#!lua\n"), Ok(old));
    }

    #[test]
    fn scripts_name_engine_and_flags() {
        let header = script("#!fake flags=no-writes,allow-oom \nreturn 1").unwrap();
        assert_eq!((header.engine, header.len), (Some(1), 33));
        let names: Vec<_> = header.flags.names().collect();
        assert_eq!(names, ["no-writes", "allow-oom"]);
        assert_eq!(script("#!lua flags=\n").unwrap().flags, ScriptFlags::NONE);
        let both = script("#!lua flags=no-cluster flags=allow-stale\n").unwrap().flags;
        assert_eq!(both, ScriptFlags::NO_CLUSTER.union(ScriptFlags::ALLOW_STALE));
    }

    #[test]
    fn faulty_lines_of_scripts() {
        for (source, text) in [
            ("#!lua", "Invalid script shebang"),
            ("#!lua\0\n", "Invalid script shebang"),
            ("#!lua 'x\n", "Invalid engine in script shebang"),
            ("#!LUA\n", "Unexpected engine in script shebang: #!LUA"),
            ("#!not-lua\n", "Unexpected engine in script shebang: #!not-lua"),
            ("#!lua name=a\n", "Unknown lua shebang option: name=a"),
            ("#!fake x=1\n", "Unknown fake shebang option: x=1"),
            ("#!lua flags=bad-flag\n", "Unexpected flag in script shebang: bad-flag"),
            ("#!lua flags=no-writes,,\n", "Unexpected flag in script shebang: "),
        ] {
            assert_eq!(script(source), Err(text.to_owned()), "{source:?}");
        }
    }

    #[test]
    fn libraries_have_a_name() {
        let header = library("#!LUA NAME=my_lib1\ncode").unwrap();
        assert_eq!(header, LibraryHeader { name: b"my_lib1".to_vec(), engine: 0, len: 18 });
    }

    #[test]
    fn faulty_lines_of_libraries() {
        for (code, text) in [
            ("return 1", "Missing library metadata"),
            ("#!lua name=a", "Invalid library metadata"),
            ("#!lua name=\"a\n", "Invalid library metadata"),
            ("#!lua\n", "Library name was not given"),
            (
                "#!lua name=a name=b\n",
                "Invalid metadata value, name argument was given multiple times",
            ),
            ("#!lua name=a foo=b\n", "Invalid metadata value given: foo=b"),
            ("#!lua na\n", "Invalid metadata value given: na"),
            ("#!luau name=a\n", "Engine 'luau' not found"),
        ] {
            assert_eq!(library(code), Err(text.to_owned()), "{code:?}");
        }
        for code in ["#!lua name=\n", "#!lua name=a-b\n", "#!none name=\"a b\"\n"] {
            assert_eq!(library(code), Err(ShebangError::BadName.to_string()), "{code:?}");
        }
    }
}
