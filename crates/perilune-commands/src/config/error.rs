//! What can go wrong with a configuration, and the texts that say so.

use std::borrow::Cow;
use std::fmt;

/// Why a value was refused, in the words a client or an operator reads.
pub type Reason = Cow<'static, str>;

pub(super) const YES_OR_NO: &str = "argument must be 'yes' or 'no'";
pub(super) const NOT_AN_INTEGER: &str = "argument couldn't be parsed into an integer";
pub(super) const NOT_OCTAL: &str = "argument couldn't be parsed as an octal number";
pub(super) const NOT_MEMORY: &str = "argument must be a memory value";
pub(super) const NOT_MEMORY_OR_PERCENT: &str = "argument must be a memory or percent value";
pub(super) const NOT_UTF8: &str = "argument must be valid UTF-8 text";
pub(super) const WRONG_NUMBER: &str = "wrong number of arguments";
pub(super) const BAD_SAVE: &str = "Invalid save parameters";
pub(super) const BAD_MASTER_PORT: &str = "Invalid master port";
pub(super) const BAD_EVENT_CLASS: &str = "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.";
pub(super) const BAD_OOM_VALUES: &str =
    "Invalid oom-score-adj-values, elements must be between -2000 and 2000.";
pub(super) const TOO_MANY_ADDRESSES: &str = "Too many bind addresses specified.";
pub(super) const BAD_PERCENTILES: &str = "Invalid latency-tracking-info-percentiles parameters";
pub(super) const PERCENTILE_RANGE: &str =
    "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]";
pub(super) const BUFFER_LIMIT_COUNT: &str =
    "Wrong number of arguments in buffer limit configuration.";
pub(super) const BUFFER_LIMIT_CLASS: &str =
    "Invalid client class specified in buffer limit configuration.";
pub(super) const BUFFER_LIMIT_VALUE: &str =
    "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
pub(super) const SAVE_AND_NOSAVE: &str =
    "shutdown options SAVE and NOSAVE can't be used simultaneously";
pub(super) const IMMUTABLE: &str = "can't set immutable config";
pub(super) const PROTECTED: &str = "can't set protected config";
pub(super) const DUPLICATE: &str = "duplicate parameter";
pub(super) const THREADS_READ: &str = "the threads of io-threads always read what they serve";
pub(super) const UNBALANCED: &str = "Unbalanced quotes in configuration line";
pub(super) const BAD_DIRECTIVE: &str = "Bad directive or wrong number of arguments";
pub(super) const NO_MODULES: &str = "modules are not supported by this build";
pub(super) const NO_SENTINEL: &str = "sentinel directive while not in sentinel mode";
pub(super) const NESTED_INCLUDES: &str = "include directives are nested too deeply";
pub(super) const NOT_TEXT: &str = "configuration text must be valid UTF-8 here";

/// A refused `CONFIG SET`. Its `Display` is the error reply, code word included.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// No parameter has this name.
    Unknown(String),
    /// The parameter exists, but the change was refused.
    Refused {
        /// The name the client used.
        name: String,
        /// Why.
        reason: Reason,
    },
    /// The parameter cannot change while the data set is being loaded.
    Loading,
}

impl ConfigError {
    /// The error of a change that was valid but could not be put into effect.
    pub fn refused(name: impl Into<String>, reason: impl Into<Reason>) -> Self {
        Self::Refused { name: name.into(), reason: reason.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => {
                write!(f, "ERR Unknown option or number of arguments for CONFIG SET - '{name}'")
            }
            Self::Refused { name, reason } => write!(
                f,
                "ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}"
            ),
            Self::Loading => f.write_str("LOADING Redis is loading the dataset in memory"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// A configuration text that cannot be used: which text, which line, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigFileError {
    /// Where the text came from: a path, `stdin`, or the command line.
    pub source_name: String,
    /// The line (counted from 1) and its text; `None` when the whole text is at fault.
    pub line: Option<(usize, String)>,
    /// What is wrong.
    pub reason: Reason,
}

impl fmt::Display for ConfigFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = env!("CARGO_PKG_VERSION");
        writeln!(f, "\n*** FATAL CONFIG FILE ERROR (Perilune {version}) ***")?;
        if let Some((number, text)) = &self.line {
            writeln!(
                f,
                "Reading the configuration file, at line {number} of {}",
                self.source_name
            )?;
            writeln!(f, ">>> '{text}'")?;
        }
        write!(f, "{}", self.reason)
    }
}

impl std::error::Error for ConfigFileError {}
