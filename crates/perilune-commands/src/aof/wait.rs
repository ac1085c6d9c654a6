//! Clients that wait for disks (`WAITAOF`).

use super::Aof;
use crate::args::Args;
use crate::blocking::{UnblockReason, WaitKind};
use crate::engine::Engine;
use crate::errors;
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
        let Some(session) = self.sessions.get(client) else { return SafeDisks::default() };
        let synced = self.aof_synced_offset();
        let local = synced.is_some_and(|synced| synced >= session.aof_offset);
        let replicas = self.count_disk_confirmations(session.stream_offset) as i64;
        SafeDisks { local: local.into(), replicas }
    }

    /// Offset of the replication stream up to which it is safe in the append-only file of this
    /// server, as far as that is known. None: there is no file.
    pub(crate) fn stream_offset_on_disk(&mut self) -> Option<u64> {
        let synced = self.aof_synced_offset()?;
        if self.aof_offset().is_some_and(|end| synced >= end) {
            self.aof.stream_on_disk = self.replication.offset;
            self.aof.stream_mark = None;
        } else if let Some((end, offset)) = self.aof.stream_mark
            && synced >= end
        {
            self.aof.stream_on_disk = offset;
            self.aof.stream_mark = None;
        }
        if self.aof.stream_mark.is_none() {
            self.aof.stream_mark = self.aof_offset().map(|end| (end, self.replication.offset));
        }
        Some(self.aof.stream_on_disk)
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
            // There is no file any more that it could wait for.
            let hopeless = wanted.is_some_and(|(local, _)| local > 0) && !self.aof_is_enabled();
            match wanted {
                Some((local, replicas))
                    if !hopeless && (safe.local < local || safe.replicas < replicas) => {}
                Some(_) => {
                    self.aof.waiting.retain(|waiting| *waiting != client);
                    if hopeless {
                        self.fail_waiter(client, &errors::WAITAOF_WITHOUT_AOF);
                    } else {
                        self.unblock(client, UnblockReason::Timeout);
                    }
                }
                None => self.aof.waiting.retain(|waiting| *waiting != client),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::aof::State;
    use crate::config::{AppendFsync, Config};
    use crate::persistence::Pace;
    use crate::test_support::TestEngine;

    #[test]
    fn what_is_on_disk_of_one_stream_says_nothing_of_the_next() {
        let config = Config { appendonly: true, appendfsync: AppendFsync::No, ..Config::default() };
        let mut test = TestEngine::with_config(config).expect("an engine");
        test.engine.open_append_only_file().expect("files");
        let client = test.client();
        test.engine.replication.offset = 1000;
        assert_eq!(test.engine.stream_offset_on_disk(), Some(1000));
        test.run(client, "SET a 1");
        test.engine.write_effects();
        test.engine.replication.offset = 2000;
        assert_eq!(test.engine.stream_offset_on_disk(), Some(1000));

        test.engine.restart_append_only();
        test.engine.replication.offset = 10;
        assert_eq!(test.engine.stream_offset_on_disk(), None);
        while test.engine.snapshot_cycle(u64::MAX) != Pace::Idle {
            std::thread::yield_now();
        }
        assert_eq!(test.engine.aof.state, State::On);
        test.run(client, "SET b 1");
        test.engine.write_effects();
        assert_eq!(test.engine.stream_offset_on_disk(), Some(0));
        test.engine.flush_append_only_file().expect("synced");
        assert_eq!(test.engine.stream_offset_on_disk(), Some(10));
    }
}
