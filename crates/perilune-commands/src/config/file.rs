//! Configuration texts: the syntax of `redis.conf`, of stdin and of command line options.
//!
//! A text is lines of a directive and its words; `#` starts a comment line. Texts are read one after
//! the other into one [`Loader`], later values win, and `save` lines add up across all of them (the
//! first one replaces the default points, `save ""` drops all).

use std::io;

use perilune_resp::split_args;

use super::error::{self, ConfigFileError, Reason};
use super::values::Origin;
use super::{Config, ParamFlags, ParamId};

/// Reads the files an `include` line names (a path, or a pattern for any number of files) and gives
/// their names and texts.
pub type Include<'a> = dyn FnMut(&str) -> io::Result<Vec<(String, Vec<u8>)>> + 'a;

/// Includes may be nested this deep.
const INCLUDE_DEPTH_MAX: usize = 16;

/// Directives of the past that are accepted and have had no effect for several versions of Redis,
/// each with exactly one word.
const OBSOLETE: [&[u8]; 3] =
    [b"list-max-ziplist-entries", b"list-max-ziplist-value", b"lua-replicate-commands"];

/// Reads one configuration text over the defaults.
pub fn parse_config(
    text: &[u8],
    source_name: &str,
    include: &mut Include<'_>,
) -> Result<Config, ConfigFileError> {
    let mut loader = Loader::default();
    loader.read(text, source_name, include)?;
    loader.finish()
}

/// A configuration that is being read from one or more texts.
#[derive(Debug, Default)]
pub struct Loader {
    config: Config,
    /// A `save` line has replaced the default points.
    save_seen: bool,
    depth: usize,
}

impl Loader {
    /// Reads one text. After an error the loader is of no further use.
    pub fn read(
        &mut self,
        text: &[u8],
        source_name: &str,
        include: &mut Include<'_>,
    ) -> Result<(), ConfigFileError> {
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = trimmed(line);
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            self.line(line, include).map_err(|failure| match failure {
                Failure::Nested(inner) => inner,
                Failure::Here(reason) => ConfigFileError {
                    source_name: source_name.to_owned(),
                    line: Some((index + 1, String::from_utf8_lossy(line).into_owned())),
                    reason,
                },
            })?;
        }
        Ok(())
    }

    /// The configuration, when its parameters fit together.
    pub fn finish(mut self) -> Result<Config, ConfigFileError> {
        self.config.settle().map_err(|(id, reason)| ConfigFileError {
            source_name: String::new(),
            line: None,
            reason: format!("{}: {reason}", id.name()).into(),
        })?;
        Ok(self.config)
    }

    fn line(&mut self, line: &[u8], include: &mut Include<'_>) -> Result<(), Failure> {
        let words = split_args(line).ok_or(error::UNBALANCED)?;
        let Some((directive, args)) = words.split_first() else { return Ok(()) };
        let directive = directive.to_ascii_lowercase();
        if let Some(id) = ParamId::from_name(&directive) {
            return Ok(self.parameter(id, args)?);
        }
        match (directive.as_slice(), args) {
            (name, [_]) if OBSOLETE.contains(&name) => Ok(()),
            (b"include", [path]) => self.include(path, include),
            (b"rename-command", [old, new]) => {
                let renamed = (text(old)?, text(new)?);
                self.config.renamed_commands.push(renamed);
                Ok(())
            }
            (b"user", [_, ..]) => {
                self.config.users.push(args.to_vec());
                Ok(())
            }
            (b"loadmodule", [_, ..]) => Err(error::NO_MODULES.into()),
            (b"sentinel", _) => Err(error::NO_SENTINEL.into()),
            (name, _) if name.contains(&b'.') => Err(error::NO_MODULES.into()),
            _ => Err(error::BAD_DIRECTIVE.into()),
        }
    }

    fn parameter(&mut self, id: ParamId, args: &[Vec<u8>]) -> Result<(), Reason> {
        if id == ParamId::save && !std::mem::replace(&mut self.save_seen, true) {
            self.config.save.clear();
        }
        let resplit;
        let args = match args {
            // A single word of a parameter with many may itself hold them all.
            [only] if id.flags().contains(ParamFlags::MULTI_ARG) && !only.is_empty() => {
                resplit = split_args(only).ok_or(error::UNBALANCED)?;
                resplit.as_slice()
            }
            args => args,
        };
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        self.config.assign(id, &args, Origin::Text)
    }

    fn include(&mut self, path: &[u8], include: &mut Include<'_>) -> Result<(), Failure> {
        if self.depth == INCLUDE_DEPTH_MAX {
            return Err(error::NESTED_INCLUDES.into());
        }
        let path = text(path)?;
        let files = include(&path).map_err(|failed| cannot_open(&path, &failed))?;
        self.depth += 1;
        for (name, content) in files {
            self.read(&content, &name, include).map_err(Failure::Nested)?;
        }
        self.depth -= 1;
        Ok(())
    }
}

/// Why a line was refused.
enum Failure {
    /// The line itself is wrong.
    Here(Reason),
    /// A line of an included text is wrong.
    Nested(ConfigFileError),
}

impl<T: Into<Reason>> From<T> for Failure {
    fn from(reason: T) -> Self {
        Self::Here(reason.into())
    }
}

/// The message for a file that cannot be opened; the system's words without Rust's error number.
pub(super) fn cannot_open(path: &str, failed: &io::Error) -> Reason {
    let words = failed.to_string();
    let words = words.split(" (os error").next().unwrap_or(&words);
    format!("Fatal error, can't open config file '{path}': {words}").into()
}

fn text(word: &[u8]) -> Result<String, Reason> {
    std::str::from_utf8(word).map(str::to_owned).map_err(|_| error::NOT_TEXT.into())
}

pub(super) fn trimmed(line: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let start = line.iter().position(|byte| !blank(byte)).unwrap_or(line.len());
    let end = line.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &line[start..end]
}
