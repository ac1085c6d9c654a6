//! The snapshot file: `SAVE`, `BGSAVE` and the save points.
//!
//! A new file is written under a temporary name and gets the name of the old one when all of it is
//! safe; a failure or a crash leaves the old file. The temporary name is used once, because a file
//! can be written at once while another one is made in the background.

use super::Persistence;
use super::snapshot::{Job, Purpose};
use crate::config::MaxmemoryPolicy;
use crate::engine::Engine;
use crate::errors::{self, CommandError};
use crate::frequency;
use perilune_keyspace::EntrySink;
use perilune_persist::{BlockWriter, BlockWriterOptions, RdbFormat, Recorder};
use perilune_rdb::{AccessFacts, WriteOptions};
use perilune_script::LogLevel;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// After a failure the save points rest for so long, seconds.
const RETRY_S: i64 = 5;

/// With `rdb-save-incremental-fsync` the file is made safe in pieces of this size.
const SYNC_EVERY_BYTES: u64 = 16 << 20;

/// More than this does not wait to be written: who changes keys then waits for the disk.
const QUEUED_BYTES_MAX: usize = 64 << 20;

const END: &str = ".rdb";

/// What the names of files that this process is writing begin with.
fn temporary_begin() -> String {
    format!("temp-{}", std::process::id())
}

/// Whether a name in the folder of the data is that of a snapshot which this process has not
/// completed.
pub fn is_unfinished_save(name: &str) -> bool {
    let rest = name.strip_prefix(&temporary_begin()).and_then(|rest| rest.strip_suffix(END));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

impl Persistence {
    /// Seconds the last background snapshot took.
    pub fn last_took_s(&self) -> i64 {
        self.last_took_s.unwrap_or(-1)
    }

    /// Whether the last background snapshot failed.
    pub fn last_failed(&self) -> bool {
        self.last_failed
    }

    /// Number of snapshots written.
    pub fn saves(&self) -> u64 {
        self.saves
    }

    /// Bytes that the last background snapshot had to copy early, and the most that any had.
    pub fn early_bytes(&self) -> (u64, u64) {
        (self.last_early_bytes, self.early_bytes_max)
    }
}

impl Engine {
    /// Path of a file in the folder of durable data.
    pub(crate) fn data_path(&self, name: &str) -> PathBuf {
        PathBuf::from(&self.config.dir).join(name)
    }

    /// How snapshots are written, as the configuration says.
    pub(crate) fn write_options(&self) -> WriteOptions {
        let now_s = (self.now_us / 1_000_000) as u32;
        let access = match self.config.maxmemory_policy {
            MaxmemoryPolicy::AllKeysLru | MaxmemoryPolicy::VolatileLru => AccessFacts::Idle(now_s),
            MaxmemoryPolicy::AllKeysLfu | MaxmemoryPolicy::VolatileLfu => {
                let config = self.config.clone();
                let counter = move |stored| frequency::counter(stored, now_s, &config);
                AccessFacts::Frequency(Box::new(counter))
            }
            _ => AccessFacts::None,
        };
        WriteOptions { compress: self.config.rdbcompression, access }
    }

    fn rdb_format(&self) -> Box<RdbFormat> {
        let options = self.write_options();
        Box::new(RdbFormat::new(&self.keyspace, options, self.config.rdbchecksum))
    }

    /// Begins a new snapshot file. One that everybody waits for has the name that tools know; in the
    /// background there can be several at a time.
    fn open_snapshot_file(&mut self, background: bool) -> io::Result<Box<BlockWriter>> {
        let begin = temporary_begin();
        let temporary = if background {
            self.persistence.files_begun += 1;
            format!("{begin}-{}{END}", self.persistence.files_begun)
        } else {
            format!("{begin}{END}")
        };
        let sync = self.config.rdb_save_incremental_fsync.then_some(SYNC_EVERY_BYTES);
        let options = BlockWriterOptions {
            path: self.data_path(&self.config.dbfilename),
            temporary: self.data_path(&temporary),
            sync_every_bytes: sync,
            checksum: self.config.rdbchecksum,
            queued_bytes_max: QUEUED_BYTES_MAX,
        };
        BlockWriter::start(Arc::clone(&self.storage), options).map(Box::new)
    }

    /// Writes the snapshot file while everybody waits.
    pub(crate) fn save_now(&mut self) -> io::Result<()> {
        let outcome = self.write_snapshot_file();
        match &outcome {
            Ok(()) => {
                self.env.log(LogLevel::Notice, "DB saved on disk");
                self.nothing_is_unsaved();
                self.persistence.last_save_s = self.now_us / 1_000_000;
                self.persistence.last_failed = false;
                self.persistence.saves += 1;
            }
            Err(error) => self.log_failed_save(error),
        }
        outcome
    }

    /// Counts changes anew: a file has them all, or what they changed is gone. A snapshot that is
    /// under way then saves none that still count.
    pub(super) fn nothing_is_unsaved(&mut self) {
        self.dirty = 0;
        if let Some(job) = &mut self.persistence.job {
            job.dirty = 0;
        }
    }

    fn write_snapshot_file(&mut self) -> io::Result<()> {
        let sink = self.open_snapshot_file(false)?;
        let (meta, libraries) = (self.file_meta(), self.library_codes());
        let mut recorder = Recorder::new(self.rdb_format(), sink, &meta, &libraries);
        let delay_us = u64::try_from(self.config.rdb_key_save_delay).unwrap_or(0);
        for (index, db) in self.keyspace.iter() {
            for entry in db.iter() {
                recorder.entry(index, entry);
                if delay_us > 0 {
                    std::thread::sleep(Duration::from_micros(delay_us));
                }
            }
        }
        recorder.finish();
        recorder.wait().map(|_| ())
    }

    fn log_failed_save(&mut self, error: &io::Error) {
        let message = format!("Write error saving DB on disk: {error}");
        self.env.log(LogLevel::Warning, &message);
    }

    /// Begins to write the snapshot file in the background.
    pub(crate) fn start_save(&mut self) -> Result<(), CommandError> {
        self.persistence.last_try_s = self.now_us / 1_000_000;
        let sink = match self.open_snapshot_file(true) {
            Ok(sink) => sink,
            Err(error) => {
                self.log_failed_save(&error);
                self.persistence.last_failed = true;
                return Err(errors::UNNAMED);
            }
        };
        let meta = self.file_meta();
        self.start_snapshot(Purpose::Save, self.rdb_format(), sink, &meta)?;
        let message = format!("Background saving started by pid {}", std::process::id());
        self.env.log(LogLevel::Notice, &message);
        Ok(())
    }

    /// What follows when the snapshot for the file is over.
    pub(super) fn save_ended(&mut self, job: &Job, outcome: io::Result<u64>) {
        let now_s = self.now_us / 1_000_000;
        let (_, early_bytes) = job.progress();
        let state = &mut self.persistence;
        state.last_took_s = Some(now_s - job.started_s);
        state.last_early_bytes = early_bytes;
        state.early_bytes_max = state.early_bytes_max.max(early_bytes);
        let saved = outcome.is_ok();
        match outcome {
            Ok(_) => {
                self.dirty = self.dirty.saturating_sub(job.dirty);
                state.last_save_s = now_s;
                state.last_failed = false;
                state.saves += 1;
                self.env.log(LogLevel::Notice, "DB saved on disk");
                self.env.log(LogLevel::Notice, "Background saving terminated with success");
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                // Nobody has failed: it was called off.
                self.env.log(LogLevel::Warning, "Background saving terminated by signal 10");
            }
            Err(error) => {
                state.last_failed = true;
                self.log_failed_save(&error);
                self.env.log(LogLevel::Warning, "Background saving error");
            }
        }
        self.file_for_replicas_ended(saved);
    }

    /// Starts what the save points or somebody who had to wait ask for.
    pub(crate) fn save_tick(&mut self) {
        // What a slow script has done so far is not to be seen.
        let busy = self.persistence.loading.is_some() || self.scripting.is_running();
        if busy || self.persistence.job.is_some() {
            return;
        }
        let now_s = self.now_us / 1_000_000;
        let state = &self.persistence;
        let rested = !state.last_failed || now_s - state.last_try_s > RETRY_S;
        let age_s = now_s - state.last_save_s;
        let reached = self.config.save.iter().find(|point| {
            self.dirty >= point.changes && age_s > i64::try_from(point.seconds).unwrap_or(i64::MAX)
        });
        if !rested {
            return;
        }
        let outcome = if let Some(point) = reached {
            let (changes, seconds) = (point.changes, point.seconds);
            let message = format!("{changes} changes in {seconds} seconds. Saving...");
            self.env.log(LogLevel::Notice, &message);
            self.start_save()
        } else if self.persistence.scheduled {
            self.start_save()
        } else {
            return;
        };
        // A failure is in the log and in the figures.
        self.persistence.scheduled &= outcome.is_err();
    }

    /// What the snapshot file has to do with `FLUSHALL`: one in the making is of no use any more, and
    /// the one on disk must not bring the data back.
    pub(crate) fn save_after_flush(&mut self) {
        if self.persistence.is_saving() {
            self.cancel_snapshot();
        }
        if !self.config.save.is_empty() {
            // A failure is in the log; the data in memory are gone in any case.
            let _ = self.save_now();
        }
    }

    /// Why writes are refused while snapshots fail, if they are.
    #[inline]
    pub(crate) fn rdb_refuses_writes(&self) -> Option<CommandError> {
        let refuses = self.persistence.last_failed
            && self.config.stop_writes_on_bgsave_error
            && !self.config.save.is_empty();
        refuses.then_some(errors::SNAPSHOTS_FAIL)
    }
}
