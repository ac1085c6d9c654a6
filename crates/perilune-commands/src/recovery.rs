//! Order after a panic.
//!
//! No input should make a command panic. If one does, the server must not die with everybody's
//! data: whoever runs the engine catches the panic and calls [`Engine::recover`], which ends the
//! clients whose commands stopped midway. A change that was half made stays half made.

use crate::engine::Engine;
use crate::session::ClientSlot;
use perilune_script::LogLevel;

impl Engine {
    /// Ends the clients whose commands a panic cut short. `before` is the
    /// [`current_client`](Engine::current_client) of the time before the work that panicked.
    #[cold]
    pub fn recover(&mut self, before: Option<ClientSlot>) {
        let running = std::mem::replace(&mut self.current_client, before);
        // A waiter that was served by the command lost its reply with it.
        let mut victims: Vec<ClientSlot> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.reexecuting)
            .map(|(slot, _)| slot)
            .collect();
        victims.extend(running.filter(|_| running != before));
        for client in victims {
            if let Some(session) = self.sessions.get_mut(client) {
                session.in_exec = false;
                session.reexecuting = false;
            }
            self.kill(client);
        }
        if before.is_none() {
            self.abandon_unit();
        }
        let message = "A command failed for a bug of the server; its client is disconnected.";
        self.env.log(LogLevel::Warning, message);
    }
}
