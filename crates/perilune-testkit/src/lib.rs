//! What tests stand on: a script engine of another language, a clock and a process in the test's
//! hands, and an in-process server put together from them.
//!
//! - [`FakeEngine`] runs a language of a few words; it proves that the scripting seam names none.
//! - [`ManualClock`] stands still until it is moved; [`FakeProcess`] keeps what is logged.
//! - [`TestServer`] is an engine with clients and no sockets.
//! - [`conformance`] runs the same cases of scripting against every script engine.
//!
//! Panics are how helpers here report a broken test.

pub mod conformance;
mod fake_engine;
mod process;
mod server;

pub use fake_engine::FakeEngine;
pub use process::{FakeProcess, ManualClock, Observed};
pub use server::{Client, TestServer};
