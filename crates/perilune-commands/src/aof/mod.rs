//! The append-only file: everything that was changed, on disk, as commands.
//!
//! ```text
//! unit of effects -> AofFeed::pending --before replies--> AppendLog --job--> safe on disk
//!                    (propagation)        write(2), here   fsync, on a thread of its own
//! ```
//!
//! No reply leaves while an effect is pending ([`Engine::effects_wait`]). Connections whose requests
//! came together run their batches first; then one of them writes what all of them changed, so the
//! file is in the order of the commands and costs one write however many there are. Nobody waits
//! for the disk while holding the engine: a job syncs and tells how far the stream is safe. With
//! `appendfsync always` a connection keeps its replies back until that is as far as its batch
//! ([`Engine::reply_barrier`]); one sync serves all that wrote meanwhile.
//!
//! A rewrite replaces base and older files by a new base, a snapshot, while effects go to a new
//! file. Steps that wait for the disk are jobs, too; `Rewrite` tells which one is under way and the
//! regular tick moves on from one to the next.
//!
//! Invariants:
//! - `log` is there exactly while effects are recorded for it (`propagation.aof`).
//! - In `State::On` the log is in the last incremental file of the manifest in force. In
//!   `State::Starting` it is in a file that no manifest names, or there is none yet.
//! - After `dead` is set nothing is acknowledged any more.

mod append;
mod figures;
mod load;
mod open;
mod replay;
mod rewrite;
mod wait;

pub use load::{AofLoader, LoadFailed};
pub(crate) use rewrite::RewriteRequest;
pub(crate) use wait::SafeDisks;

use crate::engine::Engine;
use crate::session::ClientSlot;
use perilune_persist::aof::{AofFolder, AppendLog, Manifest, SyncListener};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Whether there is an append-only file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// No.
    #[default]
    Off,
    /// The first base is being written, or will be.
    Starting,
    /// Yes.
    On,
}

/// The step of a rewrite.
#[derive(Debug, Default)]
enum Rewrite {
    #[default]
    Idle,
    /// A file for the effects that follow is being made.
    Preparing(Promise<io::Result<rewrite::Prepared>>),
    /// The base is being written.
    Writing,
    /// The base is being put into force.
    Adopting(Promise<io::Result<(Manifest, u64)>>),
}

/// The append-only file's state and figures.
pub struct Aof {
    state: State,
    manifest: Manifest,
    log: Option<AppendLog>,
    /// Offset of the stream's end while there is no log.
    stream_end: u64,
    listener: SyncListener,
    rewrite: Rewrite,
    /// A rewrite shall begin as soon as nothing stands in its way.
    scheduled: bool,
    /// Whether the base that is being written is a snapshot.
    base_is_snapshot: bool,
    limiter: rewrite::Limiter,
    /// Why writes are refused: the last write or sync failed.
    error: Option<String>,
    /// Unix time of the last line in the log about it, seconds.
    error_logged_s: i64,
    /// Since when a write waits for a sync to end, Unix seconds.
    postponed_since_s: Option<i64>,
    /// Unix time of the last sync that was asked for, seconds.
    last_sync_s: i64,
    /// The last sync was asked for under `always`: replies wait, or waited, for it.
    promised: bool,
    /// A promise was broken that only the end of the process keeps from being seen.
    dead: bool,
    /// A file is being read back.
    replaying: bool,
    /// Bytes in the files before the one that is written to.
    settled_bytes: u64,
    /// Bytes in all files when the last rewrite ended.
    rewritten_bytes: u64,
    last_rewrite_ok: bool,
    rewrites: u64,
    failures_in_a_row: u32,
    /// Unix time when the running rewrite began, seconds.
    rewrite_began_s: Option<i64>,
    last_rewrite_took_s: i64,
    delayed_syncs: u64,
    /// Offset of the replication stream that is known to be safe in the file.
    stream_on_disk: u64,
    /// Offsets of this stream and of the replication stream at one moment: when the first is safe,
    /// so is the second.
    stream_mark: Option<(u64, u64)>,
    /// Clients under `WAITAOF`.
    waiting: Vec<ClientSlot>,
    /// `DEBUG AOF-FLUSH-SLEEP`.
    pub(crate) flush_sleep: Duration,
}

impl Default for Aof {
    fn default() -> Self {
        Aof {
            state: State::Off,
            manifest: Manifest::default(),
            log: None,
            stream_end: 0,
            listener: Arc::new(|_| {}),
            rewrite: Rewrite::Idle,
            scheduled: false,
            base_is_snapshot: true,
            limiter: rewrite::Limiter::default(),
            error: None,
            error_logged_s: 0,
            postponed_since_s: None,
            last_sync_s: 0,
            promised: false,
            dead: false,
            replaying: false,
            settled_bytes: 0,
            rewritten_bytes: 0,
            last_rewrite_ok: true,
            rewrites: 0,
            failures_in_a_row: 0,
            rewrite_began_s: None,
            last_rewrite_took_s: -1,
            delayed_syncs: 0,
            stream_on_disk: 0,
            stream_mark: None,
            waiting: Vec::new(),
            flush_sleep: Duration::ZERO,
        }
    }
}

impl Aof {
    /// The state of a server that has not opened its file yet; `listener` hears how far the stream
    /// is safe.
    pub(crate) fn new(listener: SyncListener) -> Self {
        Aof { listener, ..Aof::default() }
    }

    /// Whether commands are run that a file tells of, and not a client.
    #[inline]
    pub(crate) fn is_replaying(&self) -> bool {
        self.replaying
    }

    /// Whether a rewrite is under way.
    pub(crate) fn is_rewriting(&self) -> bool {
        !matches!(self.rewrite, Rewrite::Idle)
    }
}

impl Engine {
    /// Where the files are, by the configuration.
    fn aof_folder(&self) -> AofFolder {
        let config = &self.config;
        let parent = Path::new(&config.dir);
        let storage = Arc::clone(&self.storage);
        AofFolder::new(storage, parent, &config.appenddirname, &config.appendfilename)
    }
}

/// The result of a job that runs aside, once there is one.
#[derive(Debug)]
struct Promise<T>(Arc<Mutex<Option<T>>>);

impl<T: Send + 'static> Promise<T> {
    /// A job that does `work`, and the promise of its result.
    fn of(work: impl FnOnce() -> T + Send + 'static) -> (Self, Box<dyn FnOnce() + Send>) {
        let place = Arc::new(Mutex::new(None));
        let promise = Promise(Arc::clone(&place));
        let job = move || {
            let result = work();
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        };
        (promise, Box::new(job))
    }

    /// The result, once.
    fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
