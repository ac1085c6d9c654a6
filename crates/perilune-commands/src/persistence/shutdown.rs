//! The end of the server: what must be safe before, and calling it off.
//!
//! ```text
//! SHUTDOWN --------------------------> Environment::shutdown --> server --> finish_shutdown
//! signal --> request_shutdown --tick-->                                     Ok: it ends
//!                                                                           Err: it goes on
//! ```

use crate::blocking::WaitKind;
use crate::config::ShutdownFlags;
use crate::engine::Engine;
use crate::environment::ShutdownRequest;
use crate::errors::{self, CommandError};
use crate::session::ClientSlot;
use perilune_script::LogLevel;

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
        self.persistence.shutdown = Some(request);
    }

    /// Passes on that the end was asked for.
    pub(crate) fn shutdown_tick(&mut self) {
        let Some(mut request) = self.persistence.shutdown.take() else { return };
        if let Some(run) = self.scripting.running_mut() {
            // It would hold up the end, and what it has done so far is not to be kept.
            run.kill = true;
            request.save = Some(false);
        }
        self.env.shutdown(request);
    }

    /// Calls the end off, if nothing was done about it yet.
    pub(crate) fn abort_shutdown(&mut self) -> Result<(), CommandError> {
        if self.persistence.shutdown.take().is_none() {
            return Err(errors::NO_SHUTDOWN);
        }
        self.env.log(LogLevel::Notice, "Shutdown manually aborted.");
        Ok(())
    }

    /// Makes the data safe as `request` and the configuration say. After `Ok` nothing changes any
    /// more and the server must end; after `Err` it goes on.
    pub fn finish_shutdown(&mut self, request: ShutdownRequest) -> Result<(), ()> {
        self.env.log(LogLevel::Notice, "User requested shutdown...");
        if !self.finish_append_only(request.force) {
            self.shutdown_failed();
            return Err(());
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
        if save && !self.save_at_the_end(request.force) {
            let message =
                "Errors trying to shut down the server. Check the logs for more information.";
            self.env.log(LogLevel::Warning, message);
            self.shutdown_failed();
            return Err(());
        }
        self.persistence.is_over = true;
        Ok(())
    }

    /// Whether the server may end for all that the snapshot is concerned.
    fn save_at_the_end(&mut self, force: bool) -> bool {
        let message = "Saving the final RDB snapshot before exiting.";
        self.env.log(LogLevel::Notice, message);
        if self.save_now().is_ok() {
            return true;
        }
        self.env.log(
            LogLevel::Warning,
            match force {
                true => "Error trying to save the DB. Exit anyway.",
                false => "Error trying to save the DB, can't exit.",
            },
        );
        force
    }

    /// Answers those who asked for an end that does not come.
    fn shutdown_failed(&mut self) {
        let waits = |session: &crate::session::Session| {
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
