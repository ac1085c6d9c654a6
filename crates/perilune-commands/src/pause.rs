//! Pauses: clients whose commands are held back for a while, by one of them or by the server.
//!
//! Every purpose has a pause of its own. They run side by side, and what is held back is what any of
//! them holds back; who ends one ends no other's.
//!
//! Invariant: [`Pauses::in_force`] sums up the pauses that had not ended when it was looked at last,
//! and says when to look again. So a server without pauses looks at one field per command.

use crate::args::Args;
use crate::blocking::{Blocked, WaitKind};
use crate::engine::Engine;
use crate::owned_args::OwnedArgs;
use crate::session::ClientSlot;
use crate::spec::CommandFlags;
use crate::table::CommandId;

/// Why clients are paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PausePurpose {
    /// A client wants it: `CLIENT PAUSE`.
    Client,
    /// Replicas get what there is before the server ends.
    Shutdown,
    /// A replica gets what there is before it takes over.
    Failover,
}

/// Number of purposes.
const PURPOSES: usize = 3;

/// One pause, or what several come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pause {
    /// Unix time of its end, milliseconds.
    pub(crate) until_ms: i64,
    /// Whether reads are paused too.
    pub(crate) all: bool,
}

/// The pauses that were begun and have not ended.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    of: [Option<Pause>; PURPOSES],
    /// All of them together, until the first one ends.
    in_force: Option<Pause>,
}

impl Pauses {
    /// Whether there may be one.
    #[inline]
    pub(crate) fn may_hold(&self) -> bool {
        self.in_force.is_some()
    }

    /// Whether there is one.
    fn holds(&self, now_ms: i64) -> bool {
        self.of.iter().flatten().any(|pause| pause.until_ms > now_ms)
    }

    /// What all of them come to, and until when that is certain.
    fn in_force(&mut self, now_ms: i64) -> Option<Pause> {
        if self.in_force?.until_ms <= now_ms {
            self.look(now_ms);
        }
        self.in_force
    }

    /// Begins one, or makes the one for that purpose longer and wider.
    fn begin(&mut self, purpose: PausePurpose, pause: Pause, now_ms: i64) {
        let place = &mut self.of[purpose as usize];
        let running = place.filter(|running| running.until_ms > now_ms);
        *place = Some(running.map_or(pause, |running| Pause {
            until_ms: running.until_ms.max(pause.until_ms),
            all: running.all || pause.all,
        }));
        self.look(now_ms);
    }

    fn end(&mut self, purpose: PausePurpose, now_ms: i64) {
        self.of[purpose as usize] = None;
        self.look(now_ms);
    }

    fn look(&mut self, now_ms: i64) {
        for pause in &mut self.of {
            *pause = pause.filter(|pause| pause.until_ms > now_ms);
        }
        let running = self.of.iter().flatten().copied();
        self.in_force = running.reduce(|one, other| Pause {
            until_ms: one.until_ms.min(other.until_ms),
            all: one.all || other.all,
        });
    }
}

impl Engine {
    /// Begins a pause; one for the same purpose that is longer or wider stays so.
    pub(crate) fn begin_pause(&mut self, purpose: PausePurpose, pause: Pause) {
        let now_ms = self.now_ms();
        self.pauses.begin(purpose, pause, now_ms);
    }

    /// Ends the pause for a purpose and runs what only that held back.
    pub(crate) fn end_pause(&mut self, purpose: PausePurpose) {
        let now_ms = self.now_ms();
        self.pauses.end(purpose, now_ms);
        let paused: Vec<ClientSlot> = self
            .sessions
            .iter()
            .filter(|(_, s)| s.blocked.as_ref().is_some_and(|b| b.kind == WaitKind::Pause))
            .map(|(slot, _)| slot)
            .collect();
        for client in paused {
            // Their connections run the commands when they wake, in their own turn.
            if let Some(session) = self.sessions.get_mut(client) {
                if let Some(blocked) = &mut session.blocked {
                    blocked.deadline_ms = Some(i64::MIN);
                }
                session.wake();
            }
        }
    }

    /// A pause of writes also stops expiry, which is a write.
    pub(crate) fn pause_holds_expiry(&self) -> bool {
        self.pauses.may_hold() && self.pauses.holds(self.now_ms())
    }

    /// Whether a pause holds this command back.
    pub(crate) fn is_paused(
        &mut self,
        client: ClientSlot,
        id: CommandId,
        flags: CommandFlags,
        args: Args<'_>,
    ) -> bool {
        let now_ms = self.now_ms();
        let Some(pause) = self.pauses.in_force(now_ms) else { return false };
        let exempt = client == ClientSlot::SCRIPT
            || self.sessions.get(client).is_some_and(|session| session.is_replica());
        if exempt {
            return false;
        }
        pause.all || self.may_write(client, id, flags, args)
    }

    /// Holds a command back. It is looked at again when the first pause ends.
    pub(crate) fn postpone(&mut self, client: ClientSlot, args: Args<'_>) {
        let now_ms = self.now_ms();
        let db = self.sessions.get(client).map_or(0, |session| session.db);
        let blocked = Blocked {
            kind: WaitKind::Pause,
            db,
            keys: Vec::new(),
            // Without a pause there is nothing to wait for.
            deadline_ms: Some(self.pauses.in_force(now_ms).map_or(now_ms, |pause| pause.until_ms)),
            argv: OwnedArgs::new(args.all()),
        };
        self.block(client, blocked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::TestEngine;

    const WRITES: Pause = Pause { until_ms: i64::MAX, all: false };

    #[test]
    fn the_widest_of_those_that_run_is_in_force() {
        let mut pauses = Pauses::default();
        assert!(!pauses.may_hold() && !pauses.holds(0));
        pauses.begin(PausePurpose::Failover, WRITES, 0);
        pauses.begin(PausePurpose::Client, Pause { until_ms: 1000, all: true }, 0);
        assert_eq!(pauses.in_force(0), Some(Pause { until_ms: 1000, all: true }));
        assert_eq!(pauses.in_force(1000), Some(WRITES));
        pauses.end(PausePurpose::Client, 1000);
        assert!(pauses.holds(1000));
        pauses.end(PausePurpose::Failover, 1000);
        assert!(!pauses.may_hold() && pauses.in_force(1000).is_none());
    }

    #[test]
    fn transactions_wait_as_well() {
        let mut server = TestEngine::new();
        let (first, second) = (server.client(), server.client());
        server.run(first, "CLIENT PAUSE 5000 WRITE");
        assert_eq!(server.run(second, "MULTI"), "+OK\r\n");
        assert_eq!(server.run(second, "SET k v"), "");
        server.pass_ms(5001);
        assert_eq!(server.late(second), "+QUEUED\r\n");
    }

    #[test]
    fn a_pause_grows_until_it_ends() {
        let mut pauses = Pauses::default();
        pauses.begin(PausePurpose::Client, Pause { until_ms: 100, all: true }, 0);
        pauses.begin(PausePurpose::Client, Pause { until_ms: 50, all: false }, 0);
        assert_eq!(pauses.in_force(99), Some(Pause { until_ms: 100, all: true }));
        pauses.begin(PausePurpose::Client, Pause { until_ms: 150, all: false }, 100);
        assert_eq!(pauses.in_force(100), Some(Pause { until_ms: 150, all: false }));
    }
}
