//! Beginning and ending to record effects.

use super::{Rewrite, State};
use crate::config::AppendFsync;
use crate::engine::Engine;
use crate::environment::Lane;
use perilune_persist::aof::{AofFolder, AppendLog};
use perilune_script::LogLevel;
use std::io;
use std::sync::Arc;

impl Engine {
    /// Opens the files for what will be changed, if the configuration wants them: the server calls
    /// this once the data set is loaded and before it serves anybody.
    pub fn open_append_only_file(&mut self) -> Result<(), String> {
        if !self.config.appendonly {
            return Ok(());
        }
        let folder = self.aof_folder();
        self.open_files(&folder)
            .map_err(|error| format!("Can't open the append-only file: {error}"))
    }

    fn open_files(&mut self, folder: &AofFolder) -> io::Result<()> {
        folder.create()?;
        let mut manifest = std::mem::take(&mut self.aof.manifest);
        let fresh = manifest.is_empty();
        if fresh {
            let name = manifest.begin_base(folder.prefix(), self.config.aof_use_rdb_preamble);
            self.aof.settled_bytes = self.write_base_now(folder, &name)?;
            self.aof.rewritten_bytes = self.aof.settled_bytes;
            let message = format!("Creating AOF base file {name} on server start");
            self.env.log(LogLevel::Notice, &message);
        }
        let (name, verb) = match manifest.incrs.last() {
            Some(last) => (last.name.clone(), "Opening"),
            None => (manifest.begin_incr(folder.prefix()), "Creating"),
        };
        let (offset, listener) = (self.aof.stream_end, Arc::clone(&self.aof.listener));
        let log = AppendLog::open(&*self.storage, &folder.path(&name), offset, listener)?;
        folder.save_manifest(&manifest)?;
        if !fresh {
            // The load counted this file, too.
            self.aof.settled_bytes = self.aof.settled_bytes.saturating_sub(log.size());
        }
        self.aof.manifest = manifest;
        self.aof.log = Some(log);
        self.aof.state = State::On;
        self.aof.last_sync_s = self.now_us / 1_000_000;
        self.propagation.open_aof();
        self.env.log(LogLevel::Notice, &format!("{verb} AOF incr file {name} on server start"));
        self.clean_aof_history();
        Ok(())
    }

    /// Lets a change of the parameters about the file take effect.
    pub(crate) fn apply_aof_parameters(&mut self, in_transaction: bool) {
        if self.config.appendfsync != AppendFsync::Always {
            self.keep_promises();
        }
        match (self.config.appendonly, self.aof.state) {
            (true, State::Off) => self.start_append_only(in_transaction),
            (false, State::Starting | State::On) => {
                self.stop_append_only();
                self.serve_sync_waiters();
            }
            _ => {}
        }
        self.clean_aof_history();
    }

    /// Writes what is pending before the server ends. False when it must not end: the first base is
    /// being written, and nothing of what was recorded could be read back without it. One that has
    /// not begun, or that waits for data from a master, may never come: it holds nothing up.
    pub(crate) fn finish_append_only(&mut self, force: bool) -> bool {
        let loading = self.persistence.loading.is_some();
        if self.aof.state == State::Starting && self.aof.is_rewriting() && !loading {
            let message = match force {
                true => "Writing initial AOF. Exit anyway.",
                false => "Writing initial AOF, can't exit.",
            };
            self.env.log(LogLevel::Warning, message);
            if !force {
                return false;
            }
        }
        self.abort_rewrite();
        // Why it failed is in the log; it does not keep the server from ending.
        let _ = self.flush_append_only_file();
        true
    }

    /// Begins anew because the data are others now, without commands that tell how.
    pub(crate) fn restart_append_only(&mut self) {
        if self.aof.state != State::Off {
            self.stop_append_only();
            self.start_append_only(false);
        }
    }

    fn start_append_only(&mut self, in_transaction: bool) {
        self.aof.state = State::Starting;
        self.aof.error = None;
        self.aof.limiter.retry_s = 0;
        self.aof.last_sync_s = self.now_us / 1_000_000;
        // One that is under way records no effects that go with it.
        self.abort_rewrite();
        if self.background_write_runs() || in_transaction {
            self.aof.scheduled = true;
            let message = "AOF was enabled but there is another background operation or a \
                           transaction. An AOF background was scheduled to start when possible.";
            self.env.log(LogLevel::Notice, message);
        } else {
            self.request_rewrite(false);
        }
    }

    fn stop_append_only(&mut self) {
        self.write_aof(true);
        self.keep_promises();
        self.abort_rewrite();
        match self.aof.state {
            State::Starting => self.drop_first_file(),
            _ => self.close_aof_log(),
        }
        self.aof.state = State::Off;
        self.aof.scheduled = false;
        self.aof.error = None;
    }

    /// Ends the recording of effects. What was written becomes safe, and whoever waits for that goes
    /// on in any case: nobody can be promised more any more.
    pub(super) fn close_aof_log(&mut self) {
        self.propagation.aof = None;
        self.aof.postponed_since_s = None;
        // The next file may be of another replication stream.
        self.aof.stream_on_disk = 0;
        self.aof.stream_mark = None;
        let Some(log) = self.aof.log.take() else { return };
        self.aof.settled_bytes += log.size();
        self.aof.stream_end = log.written();
        let (listener, dead) = (Arc::clone(&self.aof.listener), self.aof.dead);
        let job = move || {
            // The file is not in use any more, so there is nobody to tell.
            let _ = log.sync();
            if !dead {
                listener(log.written());
            }
        };
        self.env.run_aside(Lane::Sync, Box::new(job));
    }

    /// Notes what reading the files back, this one among them, may have changed.
    pub(crate) fn aof_was_reloaded(&mut self) {
        if let Some(log) = &mut self.aof.log {
            // A torn tail may have been cut off. A size that cannot be told shows with the next write.
            let _ = log.measure();
            self.aof.settled_bytes = self.aof.settled_bytes.saturating_sub(log.size());
        }
    }

    /// Removes files that the manifest in force does not need.
    fn clean_aof_history(&mut self) {
        let idle = matches!(self.aof.rewrite, Rewrite::Idle);
        if !idle || self.config.aof_disable_auto_gc || self.aof.manifest.history.is_empty() {
            return;
        }
        match self.aof_folder().remove_history(self.aof.manifest.clone()) {
            Ok(manifest) => self.aof.manifest = manifest,
            Err(error) => self.warn(&format!("Can't remove old AOF files: {error}")),
        }
    }
}
