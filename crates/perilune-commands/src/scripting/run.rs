//! Running a script: what must hold before, what is remembered meanwhile, and how its error is
//! told.
//!
//! A panic of a command that the script called passes through here on its way out, so that the
//! script engine is back in its place whatever happens.

use super::debug::DebugHost;
use super::host::Host;
use super::tally::Tally;
use super::{Run, RunName, Scripting};
use crate::engine::Engine;
use crate::errors::{self, CommandError};
use crate::owned_args::OwnedArgs;
use crate::session::ClientSlot;
use crate::spec::CommandFlags;
use perilune_resp::{Protocol, ReplyWriter};
use perilune_script::{
    Invocation, Ldb, ReplFlags, ScriptEngine, ScriptError, ScriptFlags, ScriptHost, ScriptRef,
    error_class,
};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

/// The class, in the statistics, of runs that somebody killed.
const KILLED: &[u8] = b"KILLED";

/// What [`Engine::run_script`] is told about a run.
pub(crate) struct RunRequest<'a> {
    /// What to call.
    pub(crate) script: ScriptRef,
    /// Keys and arguments.
    pub(crate) input: Invocation<'a>,
    /// Name of the function, or the SHA-1 of the script.
    pub(crate) name: RunName,
    /// The whole command.
    pub(crate) command: &'a [&'a [u8]],
    /// Called by a read-only variant.
    pub(crate) read_only: bool,
}

/// Whether a script with these declared flags may write and so may need memory.
pub(super) fn needs_memory(flags: ScriptFlags) -> bool {
    !flags.contains(ScriptFlags::ALLOW_OOM) && !flags.contains(ScriptFlags::NO_WRITES)
}

impl Scripting {
    /// The rules that a script's declared flags set for its start.
    fn check_flags(&self, flags: ScriptFlags, read_only: bool) -> Result<(), CommandError> {
        if flags.contains(ScriptFlags::COMPAT) {
            return Ok(());
        }
        if read_only && !flags.contains(ScriptFlags::NO_WRITES) {
            return Err(errors::SCRIPT_WRITES_IN_RO);
        }
        if self.over_memory && needs_memory(flags) {
            return Err(errors::SCRIPT_DENIED_OOM);
        }
        Ok(())
    }

    /// Takes an engine out of its place. None while a script runs, on whichever engine: there is
    /// room to remember one.
    fn lend(&mut self, index: usize) -> Option<Box<dyn ScriptEngine>> {
        if self.run.is_some() {
            return None;
        }
        self.engines.get_mut(index)?.engine.take()
    }

    fn give_back(&mut self, index: usize, engine: Box<dyn ScriptEngine>) {
        if let Some(slot) = self.engines.get_mut(index) {
            slot.engine = Some(engine);
        }
    }
}

impl Engine {
    /// Runs a script or function for a client and writes its reply, or its error if it has begun.
    pub(crate) fn run_script(
        &mut self,
        client: ClientSlot,
        request: &RunRequest<'_>,
        out: &mut dyn ReplyWriter,
    ) -> Result<(), CommandError> {
        match self.scripting.transport.take() {
            None => self.run_with(client, request, None, out),
            Some(transport) => self.debug_script(client, request, transport, out),
        }
    }

    /// Runs a script with or without a debugger.
    pub(super) fn run_with(
        &mut self,
        client: ClientSlot,
        request: &RunRequest<'_>,
        debugger: Option<&Ldb<'_>>,
        out: &mut dyn ReplyWriter,
    ) -> Result<(), CommandError> {
        let flags = request.script.flags;
        if self.config.maxmemory == 0 {
            self.scripting.over_memory = false;
        }
        self.check_script_role(client, flags)?;
        self.scripting.check_flags(flags, request.read_only)?;
        let index = request.script.engine;
        let Some(mut engine) = self.scripting.lend(index) else { return Err(errors::ENGINE_BUSY) };
        let read_only = request.read_only || flags.contains(ScriptFlags::NO_WRITES);
        self.begin_run(client, request.name.clone(), flags, read_only);
        // What the script runs is recorded, not the script.
        self.propagation.settle();
        self.note_debugger(debugger.is_some());
        let (handle, input) = (request.script.handle, request.input);
        let reply_before = out.buffered();
        let mut tally = Tally::new(input.keys);
        let mut host = Host::new(self, request.command, &mut tally);
        // Boxed, for a result of one word costs less on its way through here.
        let result = catch_unwind(AssertUnwindSafe(|| match debugger {
            None => engine.call(handle, input, &mut host, out).map_err(Box::new),
            Some(session) => {
                let mut host = DebugHost::new(host, session);
                engine.call_debugged(handle, input, &mut host, session, out).map_err(Box::new)
            }
        }));
        let killed = self.end_run();
        let heap_growth = engine.memory_growth();
        self.scripting.give_back(index, engine);
        let result = result.unwrap_or_else(|panic| resume_unwind(panic));
        if debugger.is_none() {
            let mut figures = tally.figures();
            figures.reply_bytes = out.buffered().saturating_sub(reply_before) as u64;
            figures.memory_bytes = heap_growth as u64;
            figures.error = match &result {
                Ok(()) => None,
                Err(_) if killed => Some(KILLED),
                Err(error) => Some(error_class(&error.text)),
            };
            let place = self.scripting.statistics.record((index, handle), &figures);
            self.scripting.ended = Some(place);
        }
        result.map_err(|error| self.tell_script_error(&error, request.name.as_bytes(), out))
    }

    /// The rules of replication for a script's start.
    fn check_script_role(
        &self,
        client: ClientSlot,
        flags: ScriptFlags,
    ) -> Result<(), CommandError> {
        let declares = !flags.contains(ScriptFlags::COMPAT);
        let may_write = declares && !flags.contains(ScriptFlags::NO_WRITES);
        let obeys = self.sessions.get(client).is_some_and(|session| session.is_master);
        if self.replication.is_replica() {
            if self.is_stale() && !(declares && flags.contains(ScriptFlags::ALLOW_STALE)) {
                return Err(match declares {
                    true => errors::SCRIPT_MASTERDOWN,
                    false => errors::MASTERDOWN,
                });
            }
            if may_write && self.is_read_only() && !obeys {
                return Err(errors::SCRIPT_READONLY_REPLICA);
            }
        }
        if may_write && !obeys {
            self.check_script_disk()?;
        }
        match may_write && self.lacks_replicas() {
            true => Err(errors::NOREPLICAS),
            false => Ok(()),
        }
    }

    /// Refuses scripts that may write while that cannot be kept.
    #[inline]
    fn check_script_disk(&self) -> Result<(), CommandError> {
        if self.rdb_refuses_writes().is_some() {
            return Err(errors::SCRIPT_SNAPSHOTS_FAIL);
        }
        self.aof_failure().map_or(Ok(()), |reason| Err(errors::script_aof_failed(reason)))
    }

    /// Writes the error a script ended with, naming script and place.
    #[cold]
    fn tell_script_error(
        &mut self,
        error: &ScriptError,
        name: &[u8],
        out: &mut dyn ReplyWriter,
    ) -> CommandError {
        if !error.counted {
            self.stats.count_error(&error.text);
        }
        match &error.place {
            None => out.error(&error.text),
            Some((chunk, line)) => {
                let (text, name, chunk, line) = (&*error.text, name, &**chunk, &**line);
                out.error(&[text, b" script: ", name, b", on ", chunk, b":", line, b"."].concat());
            }
        }
        CommandError::REPLIED
    }

    /// Lets script engine `index` make something of a source, for `command` of `client`: others
    /// are served once that takes long, as during a run. None while a script runs.
    pub(super) fn prepare<T>(
        &mut self,
        client: ClientSlot,
        command: &[&[u8]],
        (index, name): (usize, RunName),
        action: impl FnOnce(&mut dyn ScriptEngine, &mut dyn ScriptHost) -> T,
    ) -> Option<T> {
        let mut engine = self.scripting.lend(index)?;
        self.begin_run(client, name, ScriptFlags::NONE, true);
        let mut tally = Tally::new(&[]);
        let mut host = Host::new(self, command, &mut tally);
        let result = catch_unwind(AssertUnwindSafe(|| action(&mut *engine, &mut host)));
        self.end_run();
        self.scripting.give_back(index, engine);
        Some(result.unwrap_or_else(|panic| resume_unwind(panic)))
    }

    fn note_debugger(&mut self, attached: bool) {
        if let Some(run) = self.scripting.running_mut() {
            run.debugged = attached;
        }
    }

    fn begin_run(&mut self, client: ClientSlot, name: RunName, flags: ScriptFlags, ro: bool) {
        let Some(caller) = self.sessions.get(client) else { return };
        let (db, no_touch) = (caller.db, caller.no_touch);
        let restricted = !caller.is_unrestricted();
        let same_user = self
            .sessions
            .get(ClientSlot::SCRIPT)
            .is_some_and(|script| Arc::ptr_eq(script.user(), caller.user()));
        let other_user = (!same_user).then(|| Arc::clone(caller.user()));
        if let Some(script) = self.sessions.get_mut(ClientSlot::SCRIPT) {
            script.db = db;
            if let Some(user) = other_user {
                script.set_user(user);
            }
            script.no_touch = no_touch;
            script.protocol = Protocol::Resp2;
        }
        let mut run = Run {
            caller: client,
            kind: name.kind(),
            name,
            command: OwnedArgs::default(),
            flags,
            read_only: ro,
            started_us: self.mono_us,
            wrote: false,
            kill: false,
            slow: false,
            restricted,
            debugged: false,
            over_memory: self.scripting.over_memory,
            repl: ReplFlags::ALL,
            checks: CommandFlags::empty(),
            checks_all: false,
        };
        run.set_checks(self.replication.is_replica(), self.scripts_call_anything);
        self.scripting.run = Some(run);
    }

    /// Forgets the run that is over. True if somebody asked to kill it.
    #[inline]
    fn end_run(&mut self) -> bool {
        let Some(run) = &self.scripting.run else { return false };
        let (slow, killed) = (run.slow, run.kill);
        self.scripting.run = None;
        if slow && let Some(port) = &mut self.busy_port {
            port.script_ended();
        }
        killed
    }
}
