//! Snapshots of the data: writing them, in the background or at once, reading one at start, and
//! ending with one.
//!
//! - `snapshot`: one snapshot at a time is made in slices while commands go on (see
//!   [`Keyspace::preserve`](perilune_keyspace::Keyspace::preserve)), for whatever purpose.
//! - `save`: `SAVE`, `BGSAVE`, save points; the file is replaced only when the new one is safe.
//! - `load`: the file is read in slices too, so that clients hear that the server is loading.
//! - `shutdown`: what is done before the server may end, and calling it off.
//!
//! What is absent: threads and timers. The server calls the cycles; a
//! [`SnapshotSink`](perilune_persist::SnapshotSink) brings its own thread.

mod load;
mod save;
mod shutdown;
mod snapshot;
#[cfg(test)]
mod tests;

pub use load::Loading;
pub use save::is_unfinished_save;
pub use snapshot::{Job, Pace, Purpose};

use shutdown::Ending;

impl Persistence {
    /// Whether commands have to wait for an end that is on its way.
    pub(crate) fn holds_commands(&self) -> bool {
        self.is_leaving || self.is_over
    }
}

/// What is known about snapshots.
#[derive(Debug, Default)]
pub struct Persistence {
    /// The snapshot that is being made.
    pub job: Option<Job>,
    /// Somebody calls [`Engine::snapshot_cycle`](crate::Engine::snapshot_cycle) until it is over.
    is_driven: bool,
    /// The data that are being read.
    pub loading: Option<Loading>,
    /// A snapshot was asked for that has to wait for another one.
    pub scheduled: bool,
    /// Unix time in seconds of the last snapshot on disk, or of the start.
    pub last_save_s: i64,
    /// Unix time in seconds of the last attempt in the background.
    last_try_s: i64,
    /// Whether that attempt failed.
    last_failed: bool,
    /// How long it took, seconds.
    last_took_s: Option<i64>,
    /// Bytes that it had to copy early.
    last_early_bytes: u64,
    /// The most bytes that any had to copy early.
    early_bytes_max: u64,
    /// Number of snapshots begun, for whatever purpose: what a server that forks counts as forks.
    pub snapshots: u64,
    /// Number of snapshots written.
    saves: u64,
    /// Number of snapshot files begun, whatever became of them.
    files_begun: u64,
    /// Keys taken over and keys left out when the data were read last.
    last_load: (usize, usize),
    /// `DEBUG SET-SKIP-CHECKSUM-VALIDATION`: checksums of what is read are not looked at.
    pub trusts_checksums: bool,
    /// The end was asked for and has not come.
    ending: Option<Ending>,
    /// The process was told to end and comes for the data next: nobody's command runs before.
    is_leaving: bool,
    /// The data are safe and the server ends: nothing may be changed any more.
    pub is_over: bool,
}
