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
//! - [`write_snapshot`] writes all of it; [`SnapshotEncoder`] makes it piece by piece for those who
//!   cannot look at the whole keyspace at once.
//! - [`read_snapshot`] reads one into a keyspace, [`SnapshotReader`] key by key.
//! - [`dump_payload`] makes the payload of one value, [`dump_functions`] that of libraries;
//!   [`restore_payload`] and [`restore_functions`] read them.
//!
//! Values are written in the encoding they have in memory, so that most are copied as they are.
//! What is read is not trusted: every structure is checked before it becomes a value, and memory is
//! taken only for content that is really there. Snapshots of all versions of
//! Redis up to 8.2 and of Valkey up to 9.1 are read, but for what this server has no type for:
//! modules, and hashes whose fields have times to live.
//!
//! This crate opens no file, reads no clock and knows no command.

mod crc64;
mod decode;
mod encode;
mod error;
mod format;
mod functions;
mod payload;
mod read;
mod read_value;
mod snapshot;
mod stream;
#[cfg(test)]
mod tests;
mod value;
mod ziplist;

pub use crc64::{Crc64, crc64};
pub use error::ReadError;
pub use format::{REDIS_VERSION, VERSION, begins_snapshot, structure_name};
pub use functions::{FunctionsError, dump_functions, restore_functions};
pub use payload::{dump_payload, restore_payload, restore_unsigned_payload};
pub use read::{ExpiredKey, Loaded, ReadOptions, SnapshotReader, Version, Writer, read_snapshot};
pub use read_value::Check;
pub use snapshot::{AccessFacts, Meta, SnapshotEncoder, StreamPoint, WriteOptions, write_snapshot};
