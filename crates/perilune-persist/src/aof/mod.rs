//! The append-only file: everything that was changed, as commands, in several files.
//!
//! - [`Manifest`] says which files there are; [`Records`] reads the commands in one.
//! - [`AofFolder`] changes which files there are, step by step.
//! - [`AppendLog`] writes the last file and makes it safe.
//! - [`check`] looks whether files are sound, and repairs them.
//! - [`CommandFormat`] makes a base of commands, for those who want no snapshot in it.

mod check;
mod commands;
mod folder;
mod log;
mod manifest;
mod record;
mod stream_commands;

pub use check::{CheckOptions, Confirm, check};
pub use commands::CommandFormat;
pub use folder::{AofFolder, FreshIncr, ManifestLoadError};
pub use log::{AppendLog, SyncJob, SyncListener, WriteError};
pub use manifest::{FileEntry, FileKind, Manifest, ManifestError};
pub use record::{Arguments, Record, RecordError, Records, append_timestamp, timestamp};
