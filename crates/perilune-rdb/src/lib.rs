//! Snapshots in the RDB format of Redis 7.2 (version 11), and the payloads that `DUMP` and
//! `FUNCTION DUMP` answer, which are pieces of it.
//!
//! ```text
//! "REDIS0011"
//! AUX name value                          facts about the writer
//! FUNCTION2 code                          every function library
//! SELECTDB index, RESIZEDB keys volatile  every database that is not empty, followed by
//!   [EXPIRETIME_MS i64] type key value    every key of it
//! EOF, CRC-64/Jones of all before
//! ```
//!
//! - [`write_snapshot`] writes all of it; [`SnapshotWriter`] writes it piece by piece for those who
//!   cannot look at the whole keyspace at once.
//! - [`dump_payload`] makes the payload of one value, [`dump_functions`] that of libraries.
//!
//! Values are written in the encoding they have in memory, so that most are copied as they are.
//! This crate opens no file, reads no clock and knows no command.

mod crc64;
mod decode;
mod encode;
mod error;
mod format;
mod functions;
mod payload;
mod snapshot;
#[cfg(test)]
mod tests;
mod value;

pub use crc64::{Crc64, crc64};
pub use error::ReadError;
pub use format::{REDIS_VERSION, VERSION};
pub use functions::{FunctionsError, dump_functions, restore_functions};
pub use payload::dump_payload;
pub use snapshot::{Meta, SnapshotWriter, write_snapshot};
pub use value::write_value;
