//! The end of the server: what must be safe before, and calling it off.
//!
//! ```text
//! SHUTDOWN -------------------> begin_shutdown --> Environment::shutdown --> finish_shutdown
//! signal --> request_shutdown --tick--^   |               ^                    true: it ends
//!                                         v               |                    false: it goes on
//!                                     replicas lag --tick-+
//! ```
//!
//! While replicas lag, writes are paused and the end waits for `shutdown-timeout` at most.

use crate::blocking::WaitKind;
use crate::config::ShutdownFlags;
use crate::engine::Engine;
use crate::environment::ShutdownRequest;
use crate::errors::{self, CommandError};
use crate::pause::{Pause, PausePurpose};
use crate::replication::peers::Replica;
use crate::session::{ClientSlot, Session};
use perilune_script::LogLevel;

/// An end that was asked for and has not come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending {
    request: ShutdownRequest,
    /// Unix time until which replicas are waited for, milliseconds; none: nothing was begun.
    until_ms: Option<i64>,
}

impl ShutdownRequest {
    /// What the configuration makes of a signal.
    pub fn of_signal(flags: ShutdownFlags) -> Self {
        let save = match () {
            () if flags.contains(ShutdownFlags::SAVE) => Some(true),
            () if flags.contains(ShutdownFlags::NOSAVE) => Some(false),
            () => None,
        };
        ShutdownRequest {
            save,
            now: flags.contains(ShutdownFlags::NOW),
            force: flags.contains(ShutdownFlags::FORCE),
        }
    }
}

impl Engine {
    /// Remembers that the end was asked for; the next tick does something about it.
    pub fn request_shutdown(&mut self, request: ShutdownRequest) {
        self.persistence.ending.get_or_insert(Ending { request, until_ms: None });
    }

    /// Ends the server, when replicas that lag have caught up.
    pub(crate) fn begin_shutdown(&mut self, request: ShutdownRequest) {
        let timeout_ms = i64::from(self.config.shutdown_timeout) * 1000;
        if request.now || timeout_ms == 0 || self.lagging_replicas() == 0 {
            self.leave(request);
            return;
        }
        let until_ms = self.now_ms() + timeout_ms;
        self.begin_pause(PausePurpose::Shutdown, Pause { until_ms, all: false });
        self.persistence.ending = Some(Ending { request, until_ms: Some(until_ms) });
        self.env.log(LogLevel::Notice, "Waiting for replicas before shutting down.");
    }

    /// Goes on with an end that was asked for.
    pub(crate) fn shutdown_tick(&mut self) {
        let Some(ending) = self.persistence.ending else { return };
        let mut request = ending.request;
        if let Some(run) = self.scripting.running_mut() {
            // It would hold up the end, and what it has done so far is not to be kept.
            run.kill = true;
            request.save = Some(false);
            request.now = true;
        }
        match ending.until_ms {
            None => self.begin_shutdown(request),
            Some(until_ms) if self.now_ms() >= until_ms || self.lagging_replicas() == 0 => {
                self.leave(request);
            }
            Some(_) => {}
        }
    }

    /// Tells the process around to end. What others sent later must not be answered first.
    fn leave(&mut self, request: ShutdownRequest) {
        self.persistence.ending = None;
        self.persistence.is_leaving = true;
        self.env.shutdown(request);
    }

    /// Calls the end off, if there still is something to be done before it.
    pub(crate) fn abort_shutdown(&mut self) -> Result<(), CommandError> {
        let Some(ending) = self.persistence.ending.take() else {
            return Err(errors::NO_SHUTDOWN);
        };
        if ending.until_ms.is_some() {
            self.shutdown_failed();
        }
        self.env.log(LogLevel::Notice, "Shutdown manually aborted.");
        Ok(())
    }

    /// Milliseconds for which replicas may still be waited for, if they are.
    pub fn shutdown_in_ms(&self) -> Option<i64> {
        let until_ms = self.persistence.ending?.until_ms?;
        Some((until_ms - self.now_ms()).max(0))
    }

    /// Number of replicas that have not confirmed all of the stream. One that gets a snapshot counts
    /// by what that contains: without it, it just keeps the data it has.
    fn lagging_replicas(&self) -> usize {
        let end = self.replication.offset;
        let lags = |replica: &Replica| replica.is_attached() && replica.confirmed_offset < end;
        self.replicas().filter(|(_, replica)| lags(replica)).count()
    }

    /// Makes the data safe as `request` and the configuration say. After `true` nothing changes any
    /// more and the server must end; after `false` it goes on.
    #[must_use]
    pub fn finish_shutdown(&mut self, request: ShutdownRequest) -> bool {
        self.env.log(LogLevel::Notice, "User requested shutdown...");
        self.log_lagging_replicas();
        if !self.make_all_safe(request) {
            let message =
                "Errors trying to shut down the server. Check the logs for more information.";
            self.env.log(LogLevel::Warning, message);
            self.shutdown_failed();
            return false;
        }
        self.persistence.is_over = true;
        self.env.stop_listening();
        true
    }

    fn log_lagging_replicas(&mut self) {
        let attached = self.replicas().filter(|(_, replica)| replica.is_attached()).count();
        if attached == 0 {
            return;
        }
        let (end, now_ms) = (self.replication.offset, self.now_ms());
        let lines: Vec<String> = self
            .replicas()
            .filter(|(_, replica)| replica.is_attached() && replica.confirmed_offset < end)
            .map(|(session, replica)| {
                format!(
                    "Lagging replica {}:{} reported offset {} behind master, lag={}, state={}.",
                    replica.ip(session),
                    replica.listening_port,
                    end - replica.confirmed_offset,
                    replica.lag_s(now_ms),
                    replica.stage_name(),
                )
            })
            .collect();
        lines.iter().for_each(|line| self.env.log(LogLevel::Notice, line));
        let in_sync = attached - lines.len();
        let message = format!("{in_sync} of {attached} replicas are in sync when shutting down.");
        self.env.log(LogLevel::Notice, &message);
    }

    fn make_all_safe(&mut self, request: ShutdownRequest) -> bool {
        if !self.finish_append_only(request.force) {
            return false;
        }
        if self.persistence.job.is_some() {
            let message = "There is a snapshot being made. Giving it up.";
            self.env.log(LogLevel::Warning, message);
            self.cancel_snapshot();
        }
        let save = match request.save {
            // What is only half in memory must not replace the file.
            _ if self.persistence.loading.is_some() => false,
            Some(save) => save,
            None => !self.config.save.is_empty(),
        };
        !save || self.save_at_the_end(request.force)
    }

    /// Whether the server may end for all that the snapshot is concerned.
    fn save_at_the_end(&mut self, force: bool) -> bool {
        let message = "Saving the final RDB snapshot before exiting.";
        self.env.log(LogLevel::Notice, message);
        if self.save_now().is_ok() {
            return true;
        }
        let message = match force {
            true => "Error trying to save the DB. Exit anyway.",
            false => "Error trying to save the DB, can't exit.",
        };
        self.env.log(LogLevel::Warning, message);
        force
    }

    /// Answers those who asked for an end that does not come, and lets all others go on.
    pub fn shutdown_failed(&mut self) {
        if std::mem::take(&mut self.persistence.is_leaving) {
            self.sessions.iter().for_each(|(_, session)| session.wake());
        }
        self.end_pause(PausePurpose::Shutdown);
        let waits = |session: &Session| {
            session.blocked.as_ref().is_some_and(|blocked| blocked.kind == WaitKind::Exit)
        };
        let clients: Vec<ClientSlot> = self
            .sessions
            .iter()
            .filter(|(_, session)| waits(session))
            .map(|(slot, _)| slot)
            .collect();
        for client in clients {
            self.fail_waiter(client, &errors::SHUTDOWN_FAILED);
        }
    }
}
