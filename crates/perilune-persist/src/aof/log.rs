//! The file at the end of an append-only file: bytes are appended by whoever holds the log, and made
//! safe by a job that needs nobody's lock.
//!
//! ```text
//! write, write, write           the log: in the order of the stream, whole units or nothing
//!        request_sync -> job    elsewhere: sync, publish how far the stream is safe, again if more
//!                               was asked for meanwhile, so that one sync serves many writers
//! ```
//!
//! The stream goes on from file to file and from log to log; an offset counts its bytes since the
//! server was started.
//!
//! Invariants:
//! - a file holds nothing but whole writes, except when taking back a failed one failed, too; then
//!   the next write has to go on where that one stopped, see [`WriteError::kept`];
//! - `synced` moves past the end of a file only after that file was synced;
//! - at most one job is under way;
//! - after a failed sync nothing is synced until the owner took the failure: the system reports lost
//!   bytes once, and the next sync would pass for a proof that they are safe.

use crate::storage::{Storage, StorageFile};
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The pause between two syncs is this share of the time that the first one took.
const PAUSE_SHARE: u32 = 8;
/// But never longer.
const PAUSE_MAX: Duration = Duration::from_millis(2);

/// Hears up to which offset the stream is safe, on the thread that made it so.
pub type SyncListener = Arc<dyn Fn(u64) + Send + Sync>;

/// Work that takes long and needs no lock.
pub type SyncJob = Box<dyn FnOnce() + Send>;

/// A write that failed.
#[derive(Debug)]
pub struct WriteError {
    /// Why.
    pub error: io::Error,
    /// Bytes that had been written when it failed.
    pub short: usize,
    /// Bytes that are in the file nevertheless, because they could not be taken back.
    pub kept: usize,
    /// Why they could not.
    pub truncate_error: Option<io::Error>,
}

/// A file to be synced, and the offset at which the stream leaves it.
struct SyncFile {
    file: Arc<Mutex<Box<dyn StorageFile>>>,
    end: u64,
}

/// What the log and its jobs share.
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    listener: SyncListener,
}

struct State {
    /// Oldest first; the stream is in the last one.
    files: VecDeque<SyncFile>,
    synced: u64,
    wanted: u64,
    running: bool,
    /// A sync failed, and none has worked since.
    failed: bool,
    /// Why, until the owner takes it.
    failure: Option<String>,
}

impl State {
    /// Whether something is to be synced.
    fn is_behind(&self) -> bool {
        self.synced < self.wanted || self.files.len() > 1
    }
}

/// An open log.
pub struct AppendLog {
    file: Box<dyn StorageFile>,
    /// Bytes in the file.
    size: u64,
    /// Offset in the stream.
    written: u64,
    shared: Arc<Shared>,
}

impl AppendLog {
    /// Opens the log at the end of a file, which is created if there is none. The stream goes on at
    /// `offset`.
    pub fn open(
        storage: &dyn Storage,
        path: &Path,
        offset: u64,
        listener: SyncListener,
    ) -> io::Result<AppendLog> {
        let (file, to_sync) = open_twice(storage, path)?;
        let state = State {
            files: VecDeque::from([to_sync]),
            synced: offset,
            wanted: offset,
            running: false,
            failed: false,
            failure: None,
        };
        let shared = Shared { state: Mutex::new(state), changed: Condvar::new(), listener };
        Ok(AppendLog { size: file.size()?, file, written: offset, shared: Arc::new(shared) })
    }

    /// Goes on in another file. What is in the one before still becomes safe.
    pub fn switch_to(&mut self, storage: &dyn Storage, path: &Path) -> io::Result<()> {
        let (file, to_sync) = open_twice(storage, path)?;
        self.size = file.size()?;
        self.file = file;
        let mut state = self.shared.lock();
        if let Some(last) = state.files.back_mut() {
            last.end = self.written;
        }
        state.files.push_back(to_sync);
        if state.synced >= self.written && !state.running {
            // Nothing of the earlier ones is missing.
            let earlier = state.files.len() - 1;
            state.files.drain(..earlier);
        }
        Ok(())
    }

    /// Appends bytes: all, or none.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let mut short = 0;
        while short < bytes.len() {
            let error = match self.file.write(&bytes[short..]) {
                Ok(0) => io::Error::from(io::ErrorKind::WriteZero),
                Ok(written) => {
                    short += written;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            return Err(self.take_back(short, error));
        }
        self.count(short);
        Ok(())
    }

    fn count(&mut self, bytes: usize) {
        self.size += bytes as u64;
        self.written += bytes as u64;
    }

    #[cold]
    fn take_back(&mut self, short: usize, error: io::Error) -> WriteError {
        let truncated = if short > 0 { self.file.truncate(self.size) } else { Ok(()) };
        let kept = if truncated.is_ok() { 0 } else { short };
        self.count(kept);
        WriteError { error, short, kept, truncate_error: truncated.err() }
    }

    /// Asks for everything written so far to become safe. The job, if there is one, must be run; when
    /// there is none, one that was asked for before does it, or a failure waits to be taken.
    #[must_use]
    pub fn request_sync(&self) -> Option<SyncJob> {
        let mut state = self.shared.lock();
        state.wanted = self.written;
        if state.running || state.failure.is_some() {
            return None;
        }
        if state.synced >= state.wanted && state.files.len() == 1 {
            return None;
        }
        state.running = true;
        let shared = Arc::clone(&self.shared);
        Some(Box::new(move || shared.run()))
    }

    /// Makes everything written so far safe, here and now, or says why not. A job under way is
    /// awaited. A failure that nobody took yet is the answer, without another attempt.
    pub fn sync(&self) -> Result<(), String> {
        let mut state = self.shared.lock();
        while state.running {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        if let Some(job) = self.request_sync() {
            job();
        }
        self.failure().map_or(Ok(()), Err)
    }

    /// Whether all files before this one are safe. Until then nothing should be written: a crash could
    /// leave what is new without what it rests on.
    pub fn is_settled(&self) -> bool {
        self.shared.lock().files.len() == 1
    }

    /// Whether a job is under way.
    pub fn is_syncing(&self) -> bool {
        self.shared.lock().running
    }

    /// Offset up to which the stream was written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Offset up to which the stream is safe.
    pub fn synced(&self) -> u64 {
        self.shared.lock().synced
    }

    /// Why a sync failed, if one did and nobody took that yet.
    pub fn failure(&self) -> Option<String> {
        self.shared.lock().failure.clone()
    }

    /// The same, once. Syncs are possible again afterwards; what was written before may be
    /// lost even if they work.
    pub fn take_failure(&self) -> Option<String> {
        self.shared.lock().failure.take()
    }

    /// Whether the last sync, if there was one, worked.
    pub fn is_sound(&self) -> bool {
        !self.shared.lock().failed
    }

    /// Looks how large the file is, because somebody else may have cut it.
    pub fn measure(&mut self) -> io::Result<()> {
        self.size = self.file.size()?;
        Ok(())
    }

    /// Bytes in the file.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Syncs until everything that is wanted is safe.
    ///
    /// Whoever waited for a sync has the next request soon, and whoever came too late for it wants
    /// another one at once. Without a pause between the two the writers would fall into two groups
    /// that wait for each other's syncs forever.
    fn run(&self) {
        let mut pause = Duration::ZERO;
        loop {
            if !pause.is_zero() && self.is_behind() {
                std::thread::sleep(pause);
            }
            let mut state = self.lock();
            let (wanted, front) = (state.wanted, state.files.front());
            let Some(front) = front.filter(|_| state.is_behind()) else {
                state.running = false;
                self.changed.notify_all();
                return;
            };
            let file = Arc::clone(&front.file);
            drop(state);
            let started = Instant::now();
            let outcome = file.lock().unwrap_or_else(PoisonError::into_inner).sync();
            pause = (started.elapsed() / PAUSE_SHARE).min(PAUSE_MAX);
            match outcome {
                Ok(()) => self.advance(wanted),
                Err(error) => return self.fail(&error),
            }
        }
    }

    fn is_behind(&self) -> bool {
        self.lock().is_behind()
    }

    /// Takes note that the first file was synced when `wanted` was.
    fn advance(&self, wanted: u64) {
        let mut state = self.lock();
        let Some(end) = state.files.front().map(|front| front.end) else { return };
        // What was wanted then may be in later files.
        state.synced = state.synced.max(wanted.min(end));
        if end <= wanted {
            state.files.pop_front();
        }
        state.failed = false;
        let synced = state.synced;
        drop(state);
        (self.listener)(synced);
    }

    #[cold]
    fn fail(&self, error: &io::Error) {
        let mut state = self.lock();
        state.failed = true;
        state.failure = Some(error.to_string());
        state.running = false;
        self.changed.notify_all();
    }
}

/// Opens a file for appending, and again for syncing.
fn open_twice(storage: &dyn Storage, path: &Path) -> io::Result<(Box<dyn StorageFile>, SyncFile)> {
    let file = storage.append(path)?;
    let to_sync = storage.append(path)?;
    Ok((file, SyncFile { file: Arc::new(Mutex::new(to_sync)), end: u64::MAX }))
}
