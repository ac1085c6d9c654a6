//! The Redis serialization protocol: requests in, replies out.
//!
//! - [`ReplyWriter`] is the one way a command answers. It says what the reply *is* (an integer, a
//!   map of three pairs); the implementation decides what becomes of it: bytes of RESP2 or RESP3,
//!   a value, or something a script engine understands.
//!
//! This crate knows no command and does no I/O.

mod writer;

pub use writer::{Deferred, DeferredKind, Protocol, ReplyWriter};
