//! `MONITOR`: clients that see every command as it runs.

use crate::args::Args;
use crate::engine::Engine;
use crate::redact::redacted;
use crate::session::ClientSlot;
use crate::table::CommandId;

impl Engine {
    /// Sends a command to the clients under `MONITOR`.
    pub(crate) fn feed_monitors(&mut self, client: ClientSlot, id: CommandId, args: Args<'_>) {
        let in_script = client == ClientSlot::SCRIPT;
        let Some(session) = self.sessions.get(client) else { return };
        let mut line = Vec::new();
        let (seconds, micros) = (self.now_us / 1_000_000, self.now_us % 1_000_000);
        line.extend_from_slice(format!("{seconds}.{micros:06} [{} ", session.db).as_bytes());
        let from = if in_script {
            "lua"
        } else if session.peer.unix_socket {
            line.extend_from_slice(b"unix:");
            session.peer.laddr.split(':').next().unwrap_or_default()
        } else {
            &session.peer.addr
        };
        line.extend_from_slice(from.as_bytes());
        line.push(b']');
        for arg in redacted(self.commands.get(id).full_name, args) {
            line.push(b' ');
            perilune_resp::append_quoted(&mut line, arg);
        }
        let targets: Vec<ClientSlot> = self
            .sessions
            .iter()
            .filter(|(_, s)| s.monitor && !s.close_after_reply)
            .map(|(slot, _)| slot)
            .collect();
        for target in targets {
            self.push(target, |out| out.status(&line));
        }
    }
}
