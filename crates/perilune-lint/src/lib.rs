//! `perilune lint`: mistakes in Lua scripts, found before they run.
//!
//! [`lint`] takes the text of a script or library and answers [`Finding`]s: mistakes of syntax,
//! globals that do not exist or that are assigned, commands that do not exist or take other numbers
//! of arguments, commands that a script may not call, writes of a script that promises not to write,
//! and keys that are written into the script instead of being passed to it.
//!
//! [`StatementLines`] are the lines of a source that can be run, for coverage; [`code_lines`] those
//! at which a debugger can stop.
//!
//! What is checked is what stands in the source as a constant; whatever is computed is believed.
//! Nothing is run, and any input is answered: depth is bounded in the parser, everything else takes
//! time in proportion to the source. This crate knows Lua's syntax and the command table, and no
//! script engine.
//!
//! ```
//! use perilune_commands::table::CommandTable;
//!
//! let commands = CommandTable::builtin().expect("a consistent table");
//! let findings = perilune_lint::lint(b"return redis.call('gett', KEYS[1])", &commands);
//! assert_eq!(findings[0].to_string(), "1:19: unknown command 'gett'; did you mean 'get'?");
//! ```

mod lexer;
mod lines;
mod parser;
mod rules;
mod similar;
mod syntax;
mod walk;

pub use lines::{StatementLines, code_lines};
pub use rules::lint;

use std::fmt;

/// A place in a source; both count from 1, columns in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl Position {
    fn says(self, message: impl Into<String>) -> Finding {
        Finding { at: self, message: message.into() }
    }
}

/// Something that is wrong with a source. `Display` is `line:column: message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub at: Position,
    /// What.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.at.line, self.at.column, self.message)
    }
}
