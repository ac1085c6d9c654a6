//! Writing effects and making them safe.

use super::{Aof, State};
use crate::config::AppendFsync;
use crate::engine::Engine;
use crate::environment::Lane;
use crate::errors::{self, CommandError};
use perilune_persist::aof::{AppendLog, WriteError};
use perilune_script::LogLevel;

/// How long a write may wait for a sync to end.
const POSTPONED_S_MAX: i64 = 2;
/// Errors are logged at most once in so many seconds.
const ERROR_LOG_S: i64 = 30;

impl Engine {
    /// Whether something was changed that the file does not have yet. Until
    /// [`write_effects`](Self::write_effects) nobody may be told of it.
    #[inline]
    pub fn effects_wait(&self) -> bool {
        self.propagation.aof.as_ref().is_some_and(|feed| !feed.pending.is_empty())
    }

    /// Hands what was changed to the file.
    #[inline]
    pub fn write_effects(&mut self) {
        if self.effects_wait() {
            self.write_aof(false);
            self.sync_aof();
        }
    }

    /// Writes everything that is pending and makes it safe, before the server ends. An error has
    /// been logged.
    pub fn flush_append_only_file(&mut self) -> Result<(), String> {
        self.write_aof(true);
        self.note_sync_failure();
        let Some(log) = &self.aof.log else { return Ok(()) };
        if let Some(feed) = &self.propagation.aof
            && !feed.pending.is_empty()
        {
            return Err(self.aof.error.clone().unwrap_or_default());
        }
        self.env.log(LogLevel::Notice, "Calling fsync() on the AOF file.");
        log.sync().inspect_err(|error| {
            self.env.log(LogLevel::Warning, &format!("Fail to fsync the AOF file: {error}."));
        })
    }

    /// The part of the regular tick that looks after the file: what was postponed, the sync of every
    /// second, errors that are over, rewrites.
    pub(crate) fn aof_tick(&mut self) {
        if self.aof.log.is_some() {
            self.write_aof(false);
            self.sync_aof();
            self.note_sync_failure();
        }
        self.advance_rewrite();
        self.begin_due_rewrite();
        self.serve_sync_waiters();
    }

    /// Writes what is pending, unless it is better to wait: while a sync of `everysec` is under way
    /// the write would have to wait for the disk.
    pub(crate) fn write_aof(&mut self, force: bool) {
        let now_s = self.now_us / 1_000_000;
        let policy = self.config.appendfsync;
        let (Some(feed), Some(log)) = (&self.propagation.aof, &self.aof.log) else { return };
        if feed.pending.is_empty() {
            return;
        }
        if !log.is_settled() && (!force || !self.settle_log()) {
            return;
        }
        let (Some(feed), Some(log)) = (&mut self.propagation.aof, &mut self.aof.log) else {
            return;
        };
        if policy == AppendFsync::Everysec && !force && log.is_syncing() {
            let since = *self.aof.postponed_since_s.get_or_insert(now_s);
            if now_s - since < POSTPONED_S_MAX {
                return;
            }
            self.aof.delayed_syncs += 1;
            let message = "Asynchronous AOF fsync is taking too long (disk is busy?). Writing the \
                           AOF buffer without waiting for fsync to complete, this may slow down \
                           the server.";
            self.env.log(LogLevel::Notice, message);
        }
        self.aof.postponed_since_s = None;
        if !self.aof.flush_sleep.is_zero() {
            std::thread::sleep(self.aof.flush_sleep);
        }
        let started_us = self.clock.monotonic_us();
        match log.write(&feed.pending) {
            Ok(()) => {
                feed.taken();
                self.note_write_time(started_us);
                if self.aof.error.is_some() && log_is_sound(&self.aof) {
                    self.aof.error = None;
                    let message = "AOF write error looks solved, the server can write again.";
                    self.env.log(LogLevel::Notice, message);
                }
            }
            Err(failure) => {
                feed.pending.drain(..failure.kept);
                self.write_failed(&failure);
            }
        }
    }

    /// Makes the files before this one safe, here and now. Whether that worked.
    #[cold]
    fn settle_log(&mut self) -> bool {
        self.note_sync_failure();
        self.aof.log.as_ref().is_some_and(|log| log.sync().is_ok())
    }

    fn note_write_time(&mut self, started_us: u64) {
        let took_ms = self.clock.monotonic_us().saturating_sub(started_us) / 1000;
        let threshold_ms = self.config.latency_monitor_threshold;
        if threshold_ms > 0 && took_ms >= threshold_ms {
            let event = match self.aof.is_rewriting() {
                true => "aof-write-active-child",
                false => "aof-write-alone",
            };
            self.latency.add(event, self.now_us / 1_000_000, took_ms);
            self.latency.add("aof-write", self.now_us / 1_000_000, took_ms);
        }
    }

    #[cold]
    fn write_failed(&mut self, failure: &WriteError) {
        let now_s = self.now_us / 1_000_000;
        if now_s - self.aof.error_logged_s > ERROR_LOG_S {
            self.aof.error_logged_s = now_s;
            let expected = self.propagation.aof.as_ref().map_or(0, |feed| feed.pending.len());
            let message = match failure.short {
                0 => format!("Error writing to the AOF file: {}", failure.error),
                short => format!(
                    "Short write while writing to the AOF file: (nwritten={short}, \
                     expected={}): {}",
                    expected + failure.kept,
                    failure.error
                ),
            };
            self.env.log(LogLevel::Warning, &message);
            if let Some(error) = &failure.truncate_error {
                let message = format!(
                    "Could not remove short write from the append-only file. The server may \
                     refuse to load the AOF the next time it starts. ftruncate: {error}"
                );
                self.env.log(LogLevel::Warning, &message);
            }
        }
        self.aof.error = Some(plain_text(&failure.error.to_string()));
        if self.config.appendfsync == AppendFsync::Always {
            self.give_up(
                "Can't recover from AOF write error when the AOF fsync policy is 'always'. \
                 Exiting...",
            );
        }
    }

    /// Has what was written made safe, as the configuration wants it.
    pub(super) fn sync_aof(&mut self) {
        let now_s = self.now_us / 1_000_000;
        let Some(log) = &self.aof.log else { return };
        if self.postpones_syncs() {
            return;
        }
        let due = match self.config.appendfsync {
            AppendFsync::Always => true,
            AppendFsync::Everysec => now_s > self.aof.last_sync_s && !log.is_syncing(),
            AppendFsync::No => !log.is_settled(),
        };
        if !due {
            return;
        }
        // With `always` the log syncs no more after one.
        self.note_sync_failure();
        self.aof.promised = self.config.appendfsync == AppendFsync::Always;
        self.aof.last_sync_s = now_s;
        if let Some(job) = self.aof.log.as_ref().and_then(AppendLog::request_sync) {
            self.env.run_aside(Lane::Sync, job);
        }
    }

    /// Whether syncs are left out because a rewrite keeps the disk busy and the configuration says
    /// so.
    fn postpones_syncs(&self) -> bool {
        self.config.no_appendfsync_on_rewrite && self.background_write_runs()
    }

    /// Makes true before the file, or `always`, is left what clients were promised: that the disk
    /// has what they wrote.
    pub(super) fn keep_promises(&mut self) {
        if !self.aof.promised && self.config.appendfsync != AppendFsync::Always {
            return;
        }
        if self.aof.log.as_ref().is_some_and(|log| log.sync().is_err()) {
            self.note_sync_failure();
        }
        self.aof.promised = false;
    }

    /// Refuses writes after a failed sync, and accepts them again after one that worked. With
    /// `always` the failure stays in the log, so that no later sync hides it.
    pub(super) fn note_sync_failure(&mut self) {
        if self.aof.dead {
            return;
        }
        let always = self.aof.promised || self.config.appendfsync == AppendFsync::Always;
        let log = self.aof.log.as_ref();
        let failure = log.and_then(|log| if always { log.failure() } else { log.take_failure() });
        let Some(failure) = failure else {
            let written = self.propagation.aof.as_ref().is_none_or(|feed| feed.pending.is_empty());
            if self.aof.error.is_some() && written && log_is_sound(&self.aof) {
                self.aof.error = None;
                self.env.log(LogLevel::Notice, "AOF fsync error looks solved.");
            }
            return;
        };
        let failure = plain_text(&failure);
        if always {
            let message = format!(
                "Can't persist AOF for fsync error when the AOF fsync policy is 'always': \
                 {failure}. Exiting..."
            );
            self.give_up(&message);
        } else if self.aof.error.is_none() {
            self.env.log(LogLevel::Warning, &format!("Fail to fsync the AOF file: {failure}"));
        }
        self.aof.error = Some(failure);
    }

    /// Ends the process: clients were, or are about to be, told of effects that may be lost.
    #[cold]
    fn give_up(&mut self, message: &str) {
        if !self.aof.dead {
            self.aof.dead = true;
            self.env.log(LogLevel::Warning, message);
            self.env.abort();
        }
    }

    /// Offset up to which the stream must be safe before replies may leave. None: they may now.
    #[inline]
    pub fn reply_barrier(&self) -> Option<u64> {
        if self.aof.dead {
            return Some(u64::MAX);
        }
        let log = self.aof.log.as_ref()?;
        if self.config.appendfsync != AppendFsync::Always || self.postpones_syncs() {
            return None;
        }
        // What is pending counts, too: it may wait for the file before this one to be safe.
        let offset = self.aof_offset()?;
        (log.synced() < offset).then_some(offset)
    }

    /// What the last write or sync of the file failed of, while that refuses writes.
    #[inline]
    pub(crate) fn aof_failure(&self) -> Option<&str> {
        self.aof.error.as_deref().filter(|_| self.aof.state != State::Off)
    }

    /// Why commands that write must be refused.
    #[inline]
    pub(crate) fn aof_refuses_writes(&self) -> Option<CommandError> {
        self.aof_failure().map(errors::aof_write_failed)
    }
}

/// Whether syncs work, as far as is known.
fn log_is_sound(aof: &Aof) -> bool {
    aof.log.as_ref().is_none_or(AppendLog::is_sound)
}

/// An error's text without the number that Rust adds to the system's words.
fn plain_text(error: &str) -> String {
    error.split(" (os error").next().unwrap_or(error).to_owned()
}
