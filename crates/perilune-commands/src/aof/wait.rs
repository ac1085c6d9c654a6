//! Clients that wait for disks (`WAITAOF`).

use super::Aof;
use crate::args::Args;
use crate::blocking::{UnblockReason, WaitKind};
use crate::engine::Engine;
use crate::session::ClientSlot;
use perilune_resp::ReplyWriter;

/// How many disks have what a client changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SafeDisks {
    /// This server's: one or none.
    pub(crate) local: i64,
    /// Replicas'.
    pub(crate) replicas: i64,
}

impl SafeDisks {
    /// The reply of `WAITAOF`.
    pub(crate) fn reply(self, out: &mut dyn ReplyWriter) {
        out.array(2);
        out.int(self.local);
        out.int(self.replicas);
    }
}

impl Aof {
    /// Has a client answered when enough disks have what it changed.
    pub(crate) fn wait_for_sync(&mut self, client: ClientSlot) {
        if !self.waiting.contains(&client) {
            self.waiting.push(client);
        }
    }
}

impl Engine {
    /// Remembers how far the stream is after a client's command.
    #[inline]
    pub(crate) fn note_aof_offset(&mut self, client: ClientSlot) {
        if self.propagation.aof.is_some()
            && let Some(offset) = self.aof_offset()
            && let Some(session) = self.sessions.get_mut(client)
        {
            session.aof_offset = offset;
        }
    }

    /// How many disks have what a client changed.
    pub(crate) fn disks_with_effects_of(&self, client: ClientSlot) -> SafeDisks {
        let offset = self.sessions.get(client).map_or(0, |session| session.aof_offset);
        let local = self.aof_synced_offset().is_some_and(|synced| synced >= offset);
        SafeDisks { local: local.into(), replicas: 0 }
    }

    /// Answers the clients that wait for disks and need not any more.
    pub fn serve_sync_waiters(&mut self) {
        for client in self.aof.waiting.clone() {
            let wanted = self.sessions.get(client).and_then(|session| {
                let blocked = session.blocked.as_ref()?;
                let view = blocked.argv.view();
                let args = Args::new(&view);
                let wanted = (args.int(1).ok()?, args.int(2).ok()?);
                (blocked.kind == WaitKind::Fsync).then_some(wanted)
            });
            let safe = self.disks_with_effects_of(client);
            match wanted {
                Some((local, replicas)) if safe.local < local || safe.replicas < replicas => {}
                Some((local, _)) => {
                    self.aof.waiting.retain(|waiting| *waiting != client);
                    let reason = match local > 0 && !self.aof_is_enabled() {
                        true => UnblockReason::Error,
                        false => UnblockReason::Timeout,
                    };
                    self.unblock(client, reason);
                }
                None => self.aof.waiting.retain(|waiting| *waiting != client),
            }
        }
    }
}
