//! The scripting seam: what a script engine must do for the server, and the server for an engine.
//!
//! - [`ScriptEngine`] compiles and runs scripts of one language. Engines are values handed to the
//!   server's builder; `#!name` on a script's first line selects one.
//! - [`ScriptHost`] is what a running script may ask of the server: run a command, log, change
//!   the reply protocol, and be told to stop.
//!
//! This crate names no language, opens nothing and knows no command.

mod engine;
mod host;

pub use engine::{
    CompileError, FunctionSpec, Handle, Invocation, ScriptEngine, ScriptError, ScriptFlags,
};
pub use host::{AclCheckError, Interrupt, LogLevel, ReplFlags, ScriptHost};
