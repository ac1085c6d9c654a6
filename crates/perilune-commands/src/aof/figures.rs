//! What others may know of the append-only file.

use super::State;
use crate::engine::Engine;

/// Figures for `INFO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AofFigures {
    pub(crate) enabled: bool,
    pub(crate) rewriting: bool,
    pub(crate) scheduled: bool,
    pub(crate) last_rewrite_took_s: i64,
    pub(crate) rewrite_takes_s: i64,
    pub(crate) last_rewrite_ok: bool,
    pub(crate) rewrites: u64,
    pub(crate) failures_in_a_row: u32,
    pub(crate) last_write_ok: bool,
    pub(crate) current_bytes: u64,
    pub(crate) base_bytes: u64,
    pub(crate) pending_bytes: usize,
    pub(crate) syncing: bool,
    pub(crate) delayed_syncs: u64,
}

impl Engine {
    /// Figures for `INFO`.
    pub(crate) fn aof_figures(&self) -> AofFigures {
        let (aof, now_s) = (&self.aof, self.now_us / 1_000_000);
        AofFigures {
            enabled: aof.state != State::Off,
            rewriting: aof.is_rewriting(),
            scheduled: aof.scheduled,
            last_rewrite_took_s: aof.last_rewrite_took_s,
            rewrite_takes_s: aof.rewrite_began_s.map_or(-1, |began_s| now_s - began_s),
            last_rewrite_ok: aof.last_rewrite_ok,
            rewrites: aof.rewrites,
            failures_in_a_row: aof.failures_in_a_row,
            last_write_ok: aof.error.is_none(),
            current_bytes: self.aof_bytes(),
            base_bytes: aof.rewritten_bytes,
            pending_bytes: self.propagation.aof.as_ref().map_or(0, |feed| feed.pending.len()),
            syncing: aof.log.as_ref().is_some_and(|log| log.is_syncing()),
            delayed_syncs: aof.delayed_syncs,
        }
    }

    /// Bytes in all files.
    pub(super) fn aof_bytes(&self) -> u64 {
        self.aof.settled_bytes + self.aof.log.as_ref().map_or(0, |log| log.size())
    }

    /// Offset of the end of the stream, what is not written yet included. None: there is no file.
    pub(crate) fn aof_offset(&self) -> Option<u64> {
        let log = self.aof.log.as_ref()?;
        let pending = self.propagation.aof.as_ref().map_or(0, |feed| feed.pending.len());
        Some(log.written() + pending as u64)
    }

    /// Offset up to which the stream is safe. None: there is no file, or it is not in force yet.
    pub(crate) fn aof_synced_offset(&self) -> Option<u64> {
        let log = self.aof.log.as_ref().filter(|_| self.aof.state == State::On)?;
        Some(log.synced())
    }

    /// Whether `WAITAOF` may be asked to wait for the disk of this server.
    pub(crate) fn aof_is_enabled(&self) -> bool {
        self.aof.state != State::Off
    }
}
