//! The server as a running script sees it: [`Host`].

use super::RunKind;
use super::tally::Tally;
use crate::args::Args;
use crate::engine::Engine;
use crate::errors::{self, CommandError};
use crate::owned_args::OwnedArgs;
use crate::session::ClientSlot;
use crate::spec::CommandFlags;
use crate::table::CommandId;
use perilune_resp::{Protocol, ReplyWriter};
use perilune_script::{AclCheckError, Interrupt, LogLevel, ReplFlags, ScriptFlags, ScriptHost};

/// The engine, lent to a script.
pub(super) struct Host<'e, 'k> {
    engine: &'e mut Engine,
    /// The command that started the script.
    command: &'e [&'e [u8]],
    /// What its commands do to keys.
    tally: &'e mut Tally<'k>,
}

impl<'e, 'k> Host<'e, 'k> {
    pub(super) fn new(
        engine: &'e mut Engine,
        command: &'e [&'e [u8]],
        tally: &'e mut Tally<'k>,
    ) -> Self {
        Host { engine, command, tally }
    }

    /// The checks that stand between a script and a command. A command that exists and is refused
    /// is counted as such.
    #[inline]
    pub(super) fn admit(&mut self, args: Args<'_>) -> Result<CommandId, CommandError> {
        let found = self.engine.commands.find(args);
        let id = found.map_err(|_| errors::SCRIPT_UNKNOWN_COMMAND)?;
        match self.check(id, args) {
            Ok(()) => Ok(id),
            Err(error) => {
                self.engine.commands.get_mut(id).stats.rejected += 1;
                Err(error)
            }
        }
    }

    /// Runs a command that was admitted.
    #[inline]
    pub(super) fn run(&mut self, id: CommandId, args: Args<'_>, out: &mut dyn ReplyWriter) {
        self.tally.count(self.engine.commands.get(id), args);
        self.engine.call(ClientSlot::SCRIPT, id, args, out);
    }

    /// Replies to a command that was not admitted.
    pub(super) fn refuse(&mut self, error: &CommandError, out: &mut dyn ReplyWriter) {
        self.engine.stats.count_error(error.text().as_bytes());
        out.error(&error.bytes());
    }

    /// Whether the connection of the client that called the script is to be closed.
    pub(super) fn caller_is_gone(&self) -> bool {
        let caller = self.engine.scripting.caller();
        let session = caller.and_then(|caller| self.engine.sessions.get(caller));
        session.is_none_or(|session| session.killed)
    }

    /// Serves others from now on, whatever time the script took.
    pub(super) fn begin_serving(&mut self) {
        let Some(run) = self.engine.scripting.running_mut().filter(|run| !run.slow) else {
            return;
        };
        run.slow = true;
        run.command = OwnedArgs::new(self.command);
        if let Some(port) = &mut self.engine.busy_port {
            port.script_is_slow();
        }
    }

    #[inline]
    fn check(&mut self, id: CommandId, args: Args<'_>) -> Result<(), CommandError> {
        let command = self.engine.commands.get(id);
        if !command.takes(args.len()) {
            return Err(errors::SCRIPT_WRONG_ARITY);
        }
        let flags = command.flags;
        match self.engine.scripting.running() {
            Some(run) if !run.checks_all && !flags.intersects(run.checks) => Ok(()),
            _ => self.check_closely(id, flags, args),
        }
    }

    /// The checks in Redis' order.
    #[inline(never)]
    fn check_closely(
        &mut self,
        id: CommandId,
        flags: CommandFlags,
        args: Args<'_>,
    ) -> Result<(), CommandError> {
        let Some(run) = self.engine.scripting.running().filter(|run| run.kind != RunKind::Load)
        else {
            return Err(errors::SCRIPT_NO_COMMANDS);
        };
        let (read_only, over_memory, wrote) = (run.read_only, run.over_memory, run.wrote);
        let (restricted, script_flags) = (run.restricted, run.flags);
        if flags.contains(CommandFlags::NOSCRIPT) && !self.engine.scripts_call_anything {
            return Err(errors::SCRIPT_NOT_ALLOWED);
        }
        if !flags.contains(CommandFlags::STALE) && self.engine.is_stale() {
            return Err(errors::SCRIPT_STALE_COMMAND);
        }
        if restricted {
            self.engine.check_script_rights(id, args)?;
        }
        if read_only && flags.intersects(CommandFlags::WRITE | CommandFlags::MAY_REPLICATE) {
            return Err(errors::SCRIPT_READ_ONLY);
        }
        // A script that has written must be able to finish what it began.
        let forgiving = wrote || script_flags.contains(ScriptFlags::ALLOW_OOM);
        let needs_memory = over_memory && !forgiving && flags.contains(CommandFlags::DENYOOM);
        if needs_memory && !self.engine.ignores_maxmemory() {
            return Err(errors::OOM);
        }
        // The same holds for these: they may have come true while it ran.
        if flags.contains(CommandFlags::WRITE) && !wrote {
            self.check_first_write()?;
            let engine = &mut *self.engine;
            let is_replica = engine.replication.is_replica();
            if let Some(run) = engine.scripting.running_mut() {
                run.wrote = true;
                run.set_checks(is_replica, engine.scripts_call_anything);
            }
        }
        Ok(())
    }

    /// What may stand against the first write of a script.
    fn check_first_write(&self) -> Result<(), CommandError> {
        if self.engine.is_read_only() && !self.engine.obeys_master() {
            return Err(errors::READONLY);
        }
        if let Some(error) = self.engine.disk_refuses_writes() {
            return Err(error);
        }
        match self.engine.lacks_replicas() {
            true => Err(errors::NOREPLICAS),
            false => Ok(()),
        }
    }

    /// The first interrupt check past `busy-reply-threshold`: from now on others are served.
    #[cold]
    fn become_slow(&mut self, took_us: u64) {
        let Some(run) = self.engine.scripting.running() else { return };
        let message = format!(
            "Slow script detected: still in execution after {} milliseconds. You can try killing \
             the script using the {} command. Script name is: {}.",
            took_us / 1000,
            run.kind.kill_command(),
            String::from_utf8_lossy(run.name.as_bytes()),
        );
        self.engine.env.log(LogLevel::Warning, &message);
        self.begin_serving();
    }
}

impl ScriptHost for Host<'_, '_> {
    #[inline]
    fn call(&mut self, argv: &[&[u8]], out: &mut dyn ReplyWriter) {
        let args = Args::new(argv);
        match self.admit(args) {
            Ok(id) => self.run(id, args, out),
            Err(error) => self.refuse(&error, out),
        }
    }

    fn interrupt(&mut self) -> Interrupt {
        let engine = &mut *self.engine;
        let mono_us = engine.clock.monotonic_us();
        let threshold_us = engine.config.busy_reply_threshold.saturating_mul(1000);
        let Some(run) = engine.scripting.running() else { return Interrupt::Continue };
        let slow = run.slow;
        let took_us = mono_us.saturating_sub(run.started_us);
        if run.kind == RunKind::Load && engine.scripting.load_is_late(mono_us) {
            return Interrupt::Kill(errors::LOAD_TIMEOUT);
        }
        if !slow {
            if threshold_us == 0 || took_us < threshold_us {
                return Interrupt::Continue;
            }
            self.become_slow(took_us);
        }
        let engine = &mut *self.engine;
        if let Some(mut port) = engine.busy_port.take() {
            port.serve(engine);
            engine.busy_port = Some(port);
        }
        match engine.scripting.running() {
            Some(run) if run.kill => Interrupt::Kill(errors::SCRIPT_KILLED),
            _ => Interrupt::Continue,
        }
    }

    fn note_error(&mut self, text: &[u8], counted: bool) {
        if !counted {
            self.engine.stats.count_error(text);
        }
        self.engine.scripting.told_error = true;
    }

    fn log(&mut self, level: LogLevel, message: &[u8], line: Option<u32>) {
        let run = self.engine.scripting.running();
        let name = run.map_or_else(String::new, |run| run.name.to_string());
        let line = line.map_or_else(String::new, |line| format!(":{line}"));
        let message = String::from_utf8_lossy(message);
        self.engine.env.log(level, &format!("{message} [{name}{line}]"));
    }

    fn protocol(&self) -> Protocol {
        self.engine.sessions.get(ClientSlot::SCRIPT).map_or(Protocol::Resp2, |s| s.protocol)
    }

    fn set_protocol(&mut self, protocol: Protocol) {
        if let Some(session) = self.engine.sessions.get_mut(ClientSlot::SCRIPT) {
            session.protocol = protocol;
        }
    }

    fn set_repl(&mut self, flags: ReplFlags) {
        if let Some(run) = self.engine.scripting.running_mut() {
            run.repl = flags;
        }
    }

    fn acl_check(&mut self, argv: &[&[u8]]) -> Result<bool, AclCheckError> {
        let args = Args::new(argv);
        match self.engine.commands.find(args) {
            Ok(id) => Ok(self.engine.script_may_run(id, args)),
            Err(_) => Err(AclCheckError::UnknownCommand),
        }
    }
}
