//! What makes data durable, below all commands.
//!
//! - [`Storage`] is where durable data lives: files in folders, with the calls that decide what
//!   survives a crash. [`FileStorage`] is the file system; [`NoStorage`] refuses everything, for
//!   engines that keep nothing.
//! - [`aof`] holds the parts of the append-only file: its manifest, its records, its log.
//! - A [`Recorder`] makes blocks of the entries of a snapshot, in a [`SnapshotFormat`], for a
//!   [`SnapshotSink`].
//! - [`BlockWriter`] writes a file on a thread of its own, block by block, with an upper bound for
//!   what waits to be written, and puts it in its place only when all of it is safe.
//!
//! Nothing in here knows a command, the engine or a runtime: what is written are bytes, and whoever
//! wants them decides when.

pub mod aof;
mod block_writer;
mod file_storage;
mod snapshot;
mod storage;

pub use block_writer::{BlockWriter, BlockWriterOptions, Progress};
pub use file_storage::FileStorage;
pub use snapshot::{RdbFormat, Recorder, SnapshotFormat, SnapshotSink};
pub use storage::{NoStorage, Storage, StorageFile, folder_of, read_file, replace_file};
