//! The command table: one row and one handler per command, and the engine they work on.
//!
//! Top down: [`Engine`] holds all state; `dispatch` is the road a command takes
//! through it; [`spec`] and [`table`] describe commands; [`ctx`] is what handlers see; `cmd` holds
//! the rows with their handlers, a file per group.
//!
//! This crate opens no socket and no file, starts no thread and names no script language. Those
//! come in as values: [`environment::Environment`], [`clock::Clock`],
//! [`perilune_script::ScriptEngine`].

pub mod acl;
pub mod aof;
pub mod args;
pub mod blocking;
pub mod client_memory;
pub mod clock;
mod cmd;
pub mod config;
mod cron;
pub mod ctx;
mod digest;
mod dispatch;
pub mod engine;
pub mod environment;
pub mod errors;
pub mod evict;
mod frequency;
pub mod glob;
pub mod histogram;
mod introspect;
pub mod keys;
pub mod links;
mod long_double;
mod monitor;
mod names;
pub mod owned_args;
mod pause;
pub mod persistence;
pub mod propagation;
pub mod pubsub;
mod recovery;
mod redact;
pub mod replication;
mod reply;
pub mod scripting;
pub mod session;
pub mod spec;
pub mod stats;
pub mod syntax;
pub mod table;
#[cfg(test)]
pub(crate) mod test_support;
pub mod tracking;
mod warm;

pub use dispatch::Flow;
pub use engine::{Engine, EngineBuilder, Traffic};
pub use introspect::command_reference;
pub use warm::WARM_REQUESTS;
