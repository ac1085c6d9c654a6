//! The append-only file: everything that was changed, as commands, in several files.
//!
//! - [`Manifest`] says which files there are; [`Records`] reads the commands in one.
//! - [`AofFolder`] changes which files there are, step by step.
//! - [`AppendLog`] writes the last file and makes it safe.
//! - [`CommandFormat`] makes a base of commands, for those who want no snapshot in it.

mod commands;
mod folder;
mod log;
mod manifest;
mod record;

pub use commands::CommandFormat;
pub use folder::{AofFolder, FreshIncr, ManifestLoadError};
pub use log::{AppendLog, SyncJob, SyncListener, WriteError};
pub use manifest::{FileEntry, FileKind, Manifest, ManifestError};
pub use record::{Arguments, Record, RecordError, Records, append_timestamp, timestamp};
