//! `FAILOVER`: a master hands its role to one of its replicas, and nothing is lost.
//!
//! ```text
//! FAILOVER --> WaitingForSync --a replica has everything--> InProgress --it takes the role--> over
//!   (writes      |  time is up, without FORCE                 |  it refuses
//!    pause)      v                                            v
//!              aborted: writes go on                        aborted: master again
//! ```
//!
//! In progress the server follows its target already, and asks for the stream with the word
//! `FAILOVER`, on which the target becomes a master. So at no time there are two.
//!
//! Invariant: writes are paused exactly while there is a [`Failover`].

use super::peers::Stage;
use crate::engine::Engine;
use crate::errors::{self, CommandError};
use crate::pause::{Pause, PausePurpose};

/// Where a failover is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    WaitingForSync,
    InProgress,
}

/// A failover that was begun and is not over.
#[derive(Debug)]
pub(crate) struct Failover {
    phase: Phase,
    /// Who is to take over; none: the first that can.
    target: Option<(String, u16)>,
    /// When waiting ends, Unix milliseconds.
    until_ms: Option<i64>,
    /// The target is to take over then, whatever it lacks.
    force: bool,
}

/// What a client asks for.
#[derive(Debug, Default)]
pub(crate) struct FailoverRequest {
    pub(crate) target: Option<(String, u16)>,
    pub(crate) timeout_ms: Option<i64>,
    pub(crate) force: bool,
}

impl Failover {
    fn target_name(&self) -> String {
        match &self.target {
            Some((host, port)) => format!("{host}:{port}"),
            None => "any replica".to_owned(),
        }
    }
}

impl super::Replication {
    /// The word for the state of a failover in `INFO`.
    pub(crate) fn failover_state(&self) -> &'static str {
        match self.failover.as_ref().map(|failover| failover.phase) {
            None => "no-failover",
            Some(Phase::WaitingForSync) => "waiting-for-sync",
            Some(Phase::InProgress) => "failover-in-progress",
        }
    }

    /// Whether this server follows the one that is to take its role.
    pub(crate) fn hands_over(&self) -> bool {
        self.failover.as_ref().is_some_and(|failover| failover.phase == Phase::InProgress)
    }
}

impl Engine {
    /// Begins to hand the role over.
    pub(crate) fn begin_failover(&mut self, request: FailoverRequest) -> Result<(), CommandError> {
        if self.replication.failover.is_some() {
            return Err(errors::FAILOVER_RUNS);
        }
        if self.replication.is_replica() {
            return Err(errors::FAILOVER_OF_REPLICA);
        }
        if self.replication.replicas.is_empty() {
            return Err(errors::FAILOVER_WITHOUT_REPLICAS);
        }
        if request.force && (request.timeout_ms.is_none() || request.target.is_none()) {
            return Err(errors::FAILOVER_FORCE);
        }
        if let Some(target) = &request.target {
            let (stage, _) = self.place_of(target).ok_or(errors::FAILOVER_TARGET)?;
            if stage != Stage::Online {
                return Err(errors::FAILOVER_TARGET_OFFLINE);
            }
        }
        let failover = Failover {
            phase: Phase::WaitingForSync,
            target: request.target,
            until_ms: request.timeout_ms.map(|timeout| self.now_ms().saturating_add(timeout)),
            force: request.force,
        };
        self.log_notice(&format!("FAILOVER requested to {}.", failover.target_name()));
        self.replication.failover = Some(failover);
        self.begin_pause(PausePurpose::Failover, Pause { until_ms: i64::MAX, all: false });
        Ok(())
    }

    /// The stage of a replica, and the offset it has confirmed.
    fn place_of(&self, (host, port): &(String, u16)) -> Option<(Stage, u64)> {
        let mut replicas = self.replicas();
        let found = replicas.find(|(session, replica)| {
            replica.listening_port == *port && replica.ip(session) == host
        });
        found.map(|(_, replica)| (replica.stage, replica.confirmed_offset))
    }

    /// A replica that has everything there is, and may take over.
    fn synced_target(&self, failover: &Failover) -> Option<(String, u16)> {
        let end = self.replication.offset;
        if let Some(target) = &failover.target {
            return self.place_of(target).filter(|(_, at)| *at == end).map(|_| target.clone());
        }
        let mut replicas = self.replicas();
        let found = replicas
            .find(|(_, replica)| replica.stage == Stage::Online && replica.confirmed_offset == end);
        found.map(|(session, replica)| (replica.ip(session).to_owned(), replica.listening_port))
    }

    /// Hands over if somebody can take over now, and gives up when the time is up.
    pub(crate) fn failover_tick(&mut self) {
        let Some(failover) = &self.replication.failover else { return };
        if failover.phase != Phase::WaitingForSync {
            return;
        }
        let is_late = failover.until_ms.is_some_and(|until_ms| until_ms <= self.now_ms());
        let target = match is_late {
            true if !failover.force => {
                return self.abort_failover("Replica never caught up before timeout");
            }
            true => failover.target.clone(),
            false => self.synced_target(failover),
        };
        let Some((host, port)) = target else { return };
        self.log_notice(&match is_late {
            true => format!("FAILOVER to {host}:{port} time out exceeded, failing over."),
            false => format!("Failover target {host}:{port} is synced, failing over."),
        });
        if let Some(failover) = &mut self.replication.failover {
            failover.phase = Phase::InProgress;
            failover.target = Some((host.clone(), port));
        }
        self.follow(host, port);
    }

    /// The target took the role over.
    pub(crate) fn failover_done(&mut self) {
        if self.replication.failover.take().is_some() {
            self.end_pause(PausePurpose::Failover);
        }
    }

    /// Calls a failover off. This server is the master again, or still.
    pub(crate) fn abort_failover(&mut self, why: &str) {
        let Some(failover) = self.replication.failover.take() else { return };
        let target = failover.target_name();
        self.log_notice(&format!("FAILOVER to {target} aborted: {why}"));
        if failover.phase == Phase::InProgress {
            self.stop_following();
        }
        self.end_pause(PausePurpose::Failover);
    }

    /// Takes over the role of the master, who asks for it. `id` is that of the stream it has.
    pub(crate) fn take_over(&mut self, id: &[u8]) -> Result<(), CommandError> {
        if !self.replication.is_replica() {
            return Err(errors::FAILOVER_TO_MASTER);
        }
        if !id.eq_ignore_ascii_case(self.replication.id.as_bytes()) {
            return Err(errors::FAILOVER_ID);
        }
        self.stop_following();
        Ok(())
    }
}
