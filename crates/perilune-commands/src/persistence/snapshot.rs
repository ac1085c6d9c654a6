//! Making a snapshot in slices.

use super::Persistence;
use crate::engine::Engine;
use crate::errors::{self, CommandError};
use perilune_keyspace::{SharedSink, Step};
use perilune_persist::{Progress, Recorder, SnapshotFormat, SnapshotSink};
use perilune_rdb::Meta;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Buckets handed over between two looks at the clock.
const STEPS: usize = 16;

/// While more waits to be written, keys are handed over only because they change.
const QUEUED_BYTES_MAX: usize = 8 << 20;

/// What a snapshot is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// The snapshot file.
    Save,
    /// The base of the append-only file.
    Rewrite,
    /// Replicas that begin with it.
    Replicas,
}

/// How a snapshot goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// There is none.
    Idle,
    /// It waits for something else, for a moment at least.
    Wait,
    /// There is more to do at once.
    More,
}

/// A snapshot that is being made.
pub struct Job {
    /// What it is for.
    pub purpose: Purpose,
    /// Number of keys when it began.
    pub keys_total: u64,
    /// Unix time of its begin, seconds.
    pub started_s: i64,
    /// Changes that it contains and that nobody has saved yet.
    pub(super) dirty: u64,
    recorder: Arc<Mutex<Recorder>>,
    /// Everything was handed over.
    is_walked: bool,
    /// And the sink was told so.
    is_finished: bool,
    started_us: u64,
    /// How long each key is to take at least, for tests.
    key_delay_us: u64,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = (self.purpose, self.keys_total, self.is_walked);
        f.debug_tuple("Job").field(&shown).finish()
    }
}

impl Job {
    pub(super) fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether everything was handed over.
    pub(crate) fn is_walked(&self) -> bool {
        self.is_walked
    }

    /// Keys recorded so far, and the bytes of those that had to be recorded early.
    pub fn progress(&self) -> (u64, u64) {
        let recorder = self.recorder();
        (recorder.keys(), recorder.early_bytes())
    }

    /// Bytes that are made and wait to be written, or to be sent.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.recorder().queued_bytes()
    }

    /// Whether it is time for the next key, and there is room.
    fn may_go_on(&self, now_us: u64) -> bool {
        self.took_its_time(now_us) && self.queued_bytes() <= QUEUED_BYTES_MAX
    }

    /// Whether the keys so far have taken as long as they are to.
    fn took_its_time(&self, now_us: u64) -> bool {
        let due = now_us.saturating_sub(self.started_us).checked_div(self.key_delay_us);
        due.is_none_or(|due| self.recorder().keys() <= due)
    }
}

impl Persistence {
    /// Whether a snapshot is being made for the snapshot file or for replicas.
    pub fn makes_snapshot(&self) -> bool {
        let purpose = self.job.as_ref().map(|job| job.purpose);
        matches!(purpose, Some(Purpose::Save | Purpose::Replicas))
    }

    /// Whether a snapshot is being made for the snapshot file.
    pub fn is_saving(&self) -> bool {
        self.job.as_ref().is_some_and(|job| job.purpose == Purpose::Save)
    }
}

impl Engine {
    /// Begins a snapshot of the data as they are now. There must be none under way.
    pub fn start_snapshot(
        &mut self,
        purpose: Purpose,
        format: Box<dyn SnapshotFormat>,
        sink: Box<dyn SnapshotSink>,
        meta: &Meta,
    ) -> Result<(), CommandError> {
        if self.persistence.job.is_some() {
            return Err(errors::SNAPSHOT_RUNNING);
        }
        self.persistence.snapshots += 1;
        let recorder = Recorder::new(format, sink, meta, &self.library_codes());
        let recorder = Arc::new(Mutex::new(recorder));
        let shared: SharedSink = Arc::clone(&recorder) as _;
        self.keyspace.preserve(&shared);
        let keys_total = self.keyspace.iter().map(|(_, db)| db.len() as u64).sum();
        self.persistence.job = Some(Job {
            purpose,
            keys_total,
            started_s: self.now_us / 1_000_000,
            dirty: self.dirty,
            recorder,
            is_walked: false,
            is_finished: false,
            started_us: self.clock.monotonic_us(),
            key_delay_us: self.key_delay_us(),
        });
        self.drive_snapshot();
        Ok(())
    }

    /// Has [`snapshot_cycle`](Self::snapshot_cycle) called again and again until it says that there
    /// is nothing to do.
    pub(crate) fn drive_snapshot(&mut self) {
        if !std::mem::replace(&mut self.persistence.is_driven, true) {
            self.env.drive_snapshot();
        }
    }

    /// `rdb-key-save-delay`, microseconds; negative ones are no delay here.
    fn key_delay_us(&self) -> u64 {
        u64::try_from(self.config.rdb_key_save_delay).unwrap_or(0)
    }

    /// Facts about the server for a snapshot made now.
    pub fn snapshot_meta(&self) -> Meta {
        Meta {
            now_s: self.now_us / 1_000_000,
            used_memory: self.env.used_memory() as u64,
            ..Meta::default()
        }
    }

    /// The codes of the function libraries.
    pub(crate) fn library_codes(&self) -> Vec<Vec<u8>> {
        self.scripting.libraries().iter().map(|library| library.code.to_vec()).collect()
    }

    /// Goes on with the snapshot for about `budget_us`, and with the rewrite that it belongs to.
    pub fn snapshot_cycle(&mut self, budget_us: u64) -> Pace {
        if self.persistence.job.is_none() {
            self.advance_rewrite();
        }
        let pace = self.snapshot_slice(budget_us);
        match pace {
            Pace::Idle if self.rewrite_waits() => Pace::Wait,
            Pace::Idle => {
                self.persistence.is_driven = false;
                Pace::Idle
            }
            pace => pace,
        }
    }

    fn snapshot_slice(&mut self, budget_us: u64) -> Pace {
        let start_us = self.clock.monotonic_us();
        let key_delay_us = self.key_delay_us();
        let Some(job) = &mut self.persistence.job else { return Pace::Idle };
        // There is no child process with a setting of its own: one that is lowered counts at once.
        job.key_delay_us = job.key_delay_us.min(key_delay_us);
        let progress = job.recorder().poll();
        match progress {
            Progress::Running => {}
            Progress::Done(bytes) => return self.snapshot_over(Ok(bytes)),
            Progress::Failed(error) => return self.snapshot_over(Err(error)),
        }
        let mut now_us = start_us;
        while !job.is_walked {
            if !job.may_go_on(now_us) {
                return Pace::Wait;
            }
            let steps = if job.key_delay_us > 0 { 1 } else { STEPS };
            for _ in 0..steps {
                match self.keyspace.preserve_step() {
                    Step::More => {}
                    Step::Replaced(db) => self.env.dispose(Box::new(db)),
                    Step::Done => {
                        job.is_walked = true;
                        break;
                    }
                }
            }
            if job.is_walked {
                break;
            }
            now_us = self.clock.monotonic_us();
            if now_us.saturating_sub(start_us) > budget_us {
                return Pace::More;
            }
        }
        // The last key takes its time as well.
        if !job.is_finished && job.took_its_time(now_us) {
            job.recorder().finish();
            job.is_finished = true;
        }
        Pace::Wait
    }

    /// Gives the snapshot up and waits until nothing is left of it.
    pub fn cancel_snapshot(&mut self) {
        let Some(job) = &self.persistence.job else { return };
        let mut recorder = job.recorder();
        recorder.abort();
        let outcome = recorder.wait();
        drop(recorder);
        // It may have been complete already.
        self.snapshot_over(outcome);
    }

    /// Gives the snapshot up that a panic cut short. It counts as failed.
    #[cold]
    pub fn snapshot_panicked(&mut self) {
        if let Some(job) = &self.persistence.job {
            let mut recorder = job.recorder();
            recorder.abort();
            // What counts is why it was aborted.
            let _ = recorder.wait();
            drop(recorder);
            self.snapshot_over(Err(io::Error::other("a bug of the server")));
        }
    }

    fn snapshot_over(&mut self, outcome: io::Result<u64>) -> Pace {
        let Some(job) = self.persistence.job.take() else { return Pace::Idle };
        for db in self.keyspace.stop_preserving() {
            self.env.dispose(Box::new(db));
        }
        match job.purpose {
            Purpose::Save => self.save_ended(&job, outcome),
            Purpose::Rewrite => self.rewrite_ended(outcome),
            Purpose::Replicas => self.shipment_ended(outcome),
        }
        Pace::Idle
    }
}
