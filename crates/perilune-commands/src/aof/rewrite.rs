//! Replacing base and older files by a new base.
//!
//! ```text
//! Preparing   a new file for effects is made and named in the manifest     job
//!             effects go there, the base is begun: one moment, no waiting   cycle
//! Writing     the base is written
//! Adopting    the manifest names the base, older files are removed          job
//! ```
//!
//! The cycle of snapshots looks every millisecond whether a job is done, so that the rewrite of a
//! small data set is over before anybody asks. The moment between two files must lie between two
//! units, or the base would hold half of what the new file tells in full: it comes with the cycle
//! and never within a command.

use super::{Promise, Rewrite, State};
use crate::engine::Engine;
use crate::environment::Lane;
use crate::persistence::Purpose;
use perilune_keyspace::EntrySink;
use perilune_persist::aof::{AofFolder, AppendLog, CommandFormat, Manifest, ManifestLoadError};
use perilune_persist::{BlockWriter, BlockWriterOptions, RdbFormat, Recorder, SnapshotFormat};
use perilune_rdb::Meta;
use perilune_script::LogLevel;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// How often a base that is being written is made safe, bytes.
const SYNC_EVERY_BYTES: u64 = 16 << 20;
/// Most bytes of it that wait to be written.
const QUEUED_BYTES_MAX: usize = 16 << 20;
/// Failures in a row after which automatic rewrites become rare.
const LIMIT_FAILURES: u32 = 3;
/// Longest time between two of them then, minutes.
const LIMIT_MINUTES_MAX: i64 = 60;
/// A first base that failed is begun again after so many seconds.
const RETRY_S: i64 = 1;

/// Keeps automatic rewrites that fail again and again apart.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    delay_minutes: i64,
    next_s: Option<i64>,
    /// No attempt at a first base before this Unix time, seconds.
    pub(super) retry_s: i64,
}

/// What is ready when a base can be begun.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The file for effects that follow; none: they are not recorded.
    incr: Option<PathBuf>,
    manifest: Manifest,
}

/// What `BGREWRITEAOF` came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RewriteRequest {
    /// It is under way.
    Started,
    /// It will begin as soon as it can.
    Scheduled,
    /// One was under way already.
    Running,
}

impl Engine {
    /// Begins a rewrite now, or when nothing stands in its way any more.
    pub(crate) fn request_rewrite(&mut self, in_transaction: bool) -> RewriteRequest {
        if self.aof.is_rewriting() {
            return RewriteRequest::Running;
        }
        if self.background_write_runs() || in_transaction {
            self.aof.scheduled = true;
            self.aof.failures_in_a_row = 0;
            return RewriteRequest::Scheduled;
        }
        self.begin_rewrite();
        RewriteRequest::Started
    }

    /// Whether a base or a snapshot is being written.
    pub(super) fn background_write_runs(&self) -> bool {
        self.aof.is_rewriting() || self.persistence.job.is_some()
    }

    /// Begins the rewrite that is scheduled, or that the files' growth asks for.
    pub(super) fn begin_due_rewrite(&mut self) {
        let now_s = self.now_us / 1_000_000;
        if self.background_write_runs()
            || self.scripting.is_running()
            || self.persistence.loading.is_some()
        {
            return;
        }
        if self.aof.scheduled {
            if now_s >= self.aof.limiter.retry_s {
                self.begin_rewrite();
            }
            return;
        }
        let (percentage, bytes) = (self.config.auto_aof_rewrite_percentage, self.aof_bytes());
        if self.aof.state != State::On
            || percentage == 0
            || bytes <= self.config.auto_aof_rewrite_min_size
        {
            return;
        }
        let base = self.aof.rewritten_bytes.max(1);
        let growth = (u128::from(bytes) * 100 / u128::from(base)).saturating_sub(100);
        if growth >= u128::from(percentage) && !self.rewrite_is_limited(now_s) {
            let message = format!("Starting automatic rewriting of AOF on {growth}% growth");
            self.env.log(LogLevel::Notice, &message);
            self.begin_rewrite();
        }
    }

    fn rewrite_is_limited(&mut self, now_s: i64) -> bool {
        let limiter = &mut self.aof.limiter;
        if self.aof.failures_in_a_row < LIMIT_FAILURES {
            limiter.delay_minutes = 0;
            limiter.next_s = None;
            return false;
        }
        if let Some(next_s) = limiter.next_s {
            if now_s >= next_s {
                limiter.next_s = None;
            }
            return now_s < next_s;
        }
        limiter.delay_minutes = (limiter.delay_minutes * 2).clamp(1, LIMIT_MINUTES_MAX);
        limiter.next_s = Some(now_s + limiter.delay_minutes * 60);
        let message = format!(
            "Background AOF rewrite has repeatedly failed and triggered the limit, will retry in \
             {} minutes",
            limiter.delay_minutes
        );
        self.warn(&message);
        true
    }

    fn begin_rewrite(&mut self) {
        self.aof.scheduled = false;
        self.aof.rewrites += 1;
        self.aof.rewrite_began_s = Some(self.now_us / 1_000_000);
        let folder = self.aof_folder();
        let (state, manifest) = (self.aof.state, self.aof.manifest.clone());
        let (promise, job) = Promise::of(move || prepare(&folder, state, &manifest));
        self.aof.rewrite = Rewrite::Preparing(promise);
        self.env.run_aside(Lane::Files, job);
        self.drive_snapshot();
        let message = "Background append only file rewriting started";
        self.env.log(LogLevel::Notice, message);
    }

    /// Goes on with the rewrite if the step under way is over.
    pub(crate) fn advance_rewrite(&mut self) {
        if self.persistence.loading.is_some() {
            return;
        }
        match &self.aof.rewrite {
            // A snapshot for somebody else has to end first, and so has the unit of a slow script.
            Rewrite::Preparing(_)
                if self.persistence.job.is_some() || self.scripting.is_running() => {}
            // The snapshot says itself when it is over.
            Rewrite::Idle | Rewrite::Writing => {}
            Rewrite::Preparing(promise) => match promise.take() {
                None => {}
                Some(Ok(prepared)) => {
                    if let Err(error) = self.begin_base(prepared) {
                        self.rewrite_failed(&error.to_string());
                    }
                }
                Some(Err(error)) => self.rewrite_failed(&error.to_string()),
            },
            Rewrite::Adopting(promise) => {
                if let Some(result) = promise.take() {
                    self.base_adopted(result);
                }
            }
        }
    }

    /// Whether a step of a rewrite waits for the end of its job.
    pub(crate) fn rewrite_waits(&self) -> bool {
        matches!(self.aof.rewrite, Rewrite::Preparing(_) | Rewrite::Adopting(_))
    }

    /// Lets effects go to the new file and begins the base of everything before it.
    fn begin_base(&mut self, prepared: Prepared) -> io::Result<()> {
        if let Some(path) = &prepared.incr {
            self.switch_aof(path)?;
        }
        self.aof.manifest = prepared.manifest;
        let folder = self.aof_folder();
        let is_snapshot = self.config.aof_use_rdb_preamble;
        self.aof.base_is_snapshot = is_snapshot;
        let name = self.aof.manifest.clone().begin_base(folder.prefix(), is_snapshot);
        let sink = self.open_base(&folder, &name)?;
        let meta = self.base_meta();
        let format = self.base_format();
        self.start_snapshot(Purpose::Rewrite, format, sink, &meta)
            .map_err(|error| io::Error::other(error.text().to_owned()))?;
        self.aof.rewrite = Rewrite::Writing;
        Ok(())
    }

    /// Lets effects go to another file from now on.
    fn switch_aof(&mut self, path: &std::path::Path) -> io::Result<()> {
        let storage = Arc::clone(&self.storage);
        if self.aof.log.is_some() {
            self.write_aof(true);
            if self.propagation.aof.as_ref().is_some_and(|feed| !feed.pending.is_empty()) {
                return Err(io::Error::other("the present file could not be written"));
            }
        }
        match &mut self.aof.log {
            Some(log) => {
                let left = log.size();
                log.switch_to(&*storage, path)?;
                self.aof.settled_bytes += left;
            }
            None => {
                let (offset, listener) = (self.aof.stream_end, Arc::clone(&self.aof.listener));
                self.aof.log = Some(AppendLog::open(&*storage, path, offset, listener)?);
            }
        }
        if let Some(job) = self.aof.log.as_ref().and_then(AppendLog::request_sync) {
            self.env.run_aside(Lane::Sync, job);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let message = format!("Creating AOF incr file {name} on background rewrite");
        self.env.log(LogLevel::Notice, &message);
        self.propagation.open_aof();
        Ok(())
    }

    fn base_meta(&self) -> Meta {
        Meta { aof_base: true, ..self.snapshot_meta() }
    }

    fn base_format(&self) -> Box<dyn SnapshotFormat> {
        match self.config.aof_use_rdb_preamble {
            true => {
                let (options, checksum) = (self.write_options(), self.config.rdbchecksum);
                Box::new(RdbFormat::new(&self.keyspace, options, checksum))
            }
            false => Box::new(CommandFormat::new(self.config.aof_timestamp_enabled)),
        }
    }

    /// Begins the file of a base.
    fn open_base(&self, folder: &AofFolder, name: &str) -> io::Result<Box<BlockWriter>> {
        let sync = self.config.aof_rewrite_incremental_fsync.then_some(SYNC_EVERY_BYTES);
        let options = BlockWriterOptions {
            path: folder.path(name),
            temporary: folder.path(&format!("temp-rewriteaof-bg-{}.aof", std::process::id())),
            sync_every_bytes: sync,
            checksum: self.config.aof_use_rdb_preamble && self.config.rdbchecksum,
            queued_bytes_max: QUEUED_BYTES_MAX,
        };
        BlockWriter::start(Arc::clone(&self.storage), options).map(Box::new)
    }

    /// Writes a base while everybody waits. The number of its bytes.
    pub(super) fn write_base_now(&self, folder: &AofFolder, name: &str) -> io::Result<u64> {
        let sink = self.open_base(folder, name)?;
        let (meta, libraries) = (self.base_meta(), self.library_codes());
        let mut recorder = Recorder::new(self.base_format(), sink, &meta, &libraries);
        for (index, db) in self.keyspace.iter() {
            db.iter().for_each(|entry| recorder.entry(index, entry));
        }
        recorder.finish();
        recorder.wait()
    }

    /// Puts a base that was written into force.
    pub(crate) fn rewrite_ended(&mut self, result: io::Result<u64>) {
        if !matches!(self.aof.rewrite, Rewrite::Writing) {
            // It was given up.
            return;
        }
        match result {
            Ok(bytes) => {
                let message = "Background AOF rewrite terminated with success";
                self.env.log(LogLevel::Notice, message);
                let folder = self.aof_folder();
                let manifest = self.aof.manifest.clone();
                let is_snapshot = self.aof.base_is_snapshot;
                let first = self.aof.state == State::Starting;
                let writing = self.aof.log.is_some();
                let keep_history = self.config.aof_disable_auto_gc;
                let (promise, job) = Promise::of(move || {
                    let manifest = folder.adopt_base(&manifest, is_snapshot, first, writing)?;
                    if keep_history {
                        return Ok((manifest, bytes));
                    }
                    // Files that stay longer than they are needed do no harm.
                    let cleaned = folder.remove_history(manifest.clone());
                    Ok((cleaned.unwrap_or(manifest), bytes))
                });
                self.aof.rewrite = Rewrite::Adopting(promise);
                self.env.run_aside(Lane::Files, job);
            }
            Err(error) => self.rewrite_failed(&error.to_string()),
        }
    }

    fn base_adopted(&mut self, result: io::Result<(Manifest, u64)>) {
        let (manifest, bytes) = match result {
            Ok(adopted) => adopted,
            Err(error) => return self.rewrite_failed(&error.to_string()),
        };
        self.aof.manifest = manifest;
        self.aof.settled_bytes = bytes;
        self.aof.rewritten_bytes = self.aof_bytes();
        self.aof.last_rewrite_ok = true;
        self.aof.failures_in_a_row = 0;
        if self.aof.state == State::Starting && self.aof.log.is_some() {
            self.aof.state = State::On;
        }
        self.env.log(LogLevel::Notice, "Background AOF rewrite finished successfully");
        self.end_rewrite();
    }

    fn rewrite_failed(&mut self, reason: &str) {
        self.warn(&format!("Background AOF rewrite terminated with error: {reason}"));
        self.aof.last_rewrite_ok = false;
        self.aof.failures_in_a_row += 1;
        if self.aof.state == State::Starting {
            // Without a base the effects that were collected mean nothing.
            self.drop_first_file();
            self.aof.scheduled = true;
            self.aof.limiter.retry_s = self.now_us / 1_000_000 + RETRY_S;
        }
        self.end_rewrite();
    }

    fn end_rewrite(&mut self) {
        self.aof.rewrite = Rewrite::Idle;
        if let Some(began_s) = self.aof.rewrite_began_s.take() {
            self.aof.last_rewrite_took_s = self.now_us / 1_000_000 - began_s;
        }
    }

    /// Removes the file that collected effects for a first base that did not come.
    pub(super) fn drop_first_file(&mut self) {
        self.close_aof_log();
        let folder = self.aof_folder();
        let message = format!(
            "Removing the temp incr aof file {} in the background",
            folder.temporary_incr()
        );
        self.env.log(LogLevel::Notice, &message);
        let job = move || {
            // The next attempt begins with an empty one anyway.
            let _ = folder.remove_temporary_incr();
        };
        self.env.run_aside(Lane::Files, Box::new(job));
    }

    /// Gives up the rewrite that is under way.
    pub(super) fn abort_rewrite(&mut self) {
        if self.aof.is_rewriting() {
            self.env.log(LogLevel::Notice, "Killing running AOF rewrite child");
            let writing = matches!(self.aof.rewrite, Rewrite::Writing);
            self.end_rewrite();
            if writing {
                self.cancel_snapshot();
            }
        }
    }
}

/// Makes what is needed before a base can be begun.
fn prepare(folder: &AofFolder, state: State, manifest: &Manifest) -> io::Result<Prepared> {
    folder.create()?;
    if state == State::On {
        let fresh = folder.begin_incr(Some(manifest))?;
        let manifest = fresh.manifest.unwrap_or_default();
        return Ok(Prepared { incr: Some(fresh.path), manifest });
    }
    let manifest = folder.load_manifest().map_err(|error| match error {
        ManifestLoadError::Io(error) => error,
        ManifestLoadError::Format(error) => io::Error::other(error),
    })?;
    let incr = match state {
        State::Starting => Some(folder.begin_incr(None)?.path),
        _ => None,
    };
    Ok(Prepared { incr, manifest })
}
