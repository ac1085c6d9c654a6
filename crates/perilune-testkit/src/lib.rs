//! What tests stand on: a script engine of another language, a clock and a process in the test's
//! hands, and an in-process server put together from them.
//!
//! - [`FakeEngine`] runs a language of a few words; it proves that the scripting seam names none.
//! - [`ManualClock`] stands still until it is moved; [`FakeProcess`] keeps what is logged.
//! - [`TestServer`] is an engine with clients and no sockets.
//! - [`CrashStorage`] is a disk in memory that forgets in a crash what was not made safe;
//!   [`FailingStorage`] is a disk that fails on request.
//! - [`Connection`] is a client of a server behind a real socket.
//! - [`Transcript`] is a conversation written down as text, played with either of them.
//! - [`conformance`] runs the same cases of scripting against every script engine.
//!
//! Panics are how helpers here report a broken test.

pub mod conformance;
mod connection;
mod crash_storage;
mod failing_storage;
mod fake_engine;
mod process;
mod server;
mod transcript;

pub use connection::{Address, Connection, SocketClients};
pub use crash_storage::CrashStorage;
pub use failing_storage::{FailingStorage, Step};
pub use fake_engine::FakeEngine;
pub use process::{FakeProcess, ManualClock, Observed};
pub use server::{Client, LocalClients, TestServer};
pub use transcript::{Clients, Mismatch, Transcript};
