//! The scripting seam: what a script engine must do for the server, and the server for an engine;
//! and what the server knows about scripts whatever their language.
//!
//! - [`ScriptEngine`] compiles and runs scripts of one language. Engines are values handed to the
//!   server's builder; `#!name` on a script's first line selects one.
//! - [`ScriptHost`] is what a running script may ask of the server: run a command, log, change
//!   the reply protocol, and be told to stop.
//! - [`ScriptStatistics`] counts what scripts and functions do.
//! - [`ScriptCache`] holds scripts by [`Digest`], [`Libraries`] the functions; [`parse_script_header`]
//!   and [`parse_library_header`] read first lines.
//! - [`Debugger`] and [`DebugFrame`] are the two sides of a program that stands still; [`Ldb`] is
//!   the debugger that `redis-cli --ldb` speaks to.
//!
//! This crate names no language, opens nothing and knows no command.

mod cache;
mod debug;
mod digest;
mod engine;
mod host;
mod ldb;
mod library;
mod shebang;
mod statistics;

pub use cache::{CachedScript, Emptied, ScriptCache, ScriptRef, UNPINNED_MAX};
pub use debug::{
    DEBUG_DEPTH_MAX, DEBUG_VALUES_MAX, DebugFrame, DebugValue, Debugger, StackLevel, Verdict,
};
pub use digest::Digest;
pub use engine::{
    CompileError, FunctionSpec, Handle, Invocation, ScriptEngine, ScriptError, ScriptFlags,
};
pub use host::{AclCheckError, Interrupt, LogLevel, ReplFlags, ScriptHost};
pub use ldb::{DebugTransport, EVALUATION_TOO_LONG, Ldb, Received};
pub use library::{Function, FunctionRef, Libraries, Library, LibraryError};
pub use shebang::{
    LibraryHeader, ScriptHeader, ShebangError, is_valid_name, parse_library_header,
    parse_script_header,
};
pub use statistics::{
    RunFigures, RunPlace, ScriptStatistics, ScriptStats, TimeHistogram, error_class,
};
