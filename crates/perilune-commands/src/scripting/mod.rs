//! Scripts and functions as the engine runs them.
//!
//! [`Scripting`] owns the script engines and knows what is running. While a script runs, its
//! engine is taken out of its place and handed the rest of the [`Engine`] as a
//! [`host::Host`], so a script's commands take the same road as everybody's, and the borrow
//! checker sees that no script can reach its own engine.

mod host;

use crate::args::Args;
use crate::engine::Engine;
use crate::errors::{self, CommandError};
use crate::session::ClientSlot;
use perilune_resp::{Protocol, ReplyWriter};
use perilune_script::{Handle, Invocation, ReplFlags, ScriptEngine, ScriptError, ScriptFlags};

/// How a script was called; decides error texts and who may kill it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunKind {
    /// `EVAL` and its relatives.
    Script,
    /// `FCALL`, `FCALL_RO`.
    Function,
    /// `FUNCTION LOAD`: commands cannot be called.
    Load,
}

/// A script that is running.
#[derive(Debug)]
pub struct Run {
    /// Who called it.
    pub caller: ClientSlot,
    /// How it was called.
    pub kind: RunKind,
    /// Name of the function, or the SHA-1 of the script.
    pub name: Vec<u8>,
    /// The command that started it, for `FUNCTION STATS`.
    pub command: Vec<Vec<u8>>,
    /// What the script declared.
    pub flags: ScriptFlags,
    /// Called by a read-only variant, or declared `no-writes`.
    pub read_only: bool,
    /// Monotonic time of its start, microseconds.
    pub started_us: u64,
    /// It changed the data set.
    pub wrote: bool,
    /// Somebody asked to kill it.
    pub kill: bool,
    /// The server is to end now.
    pub shutdown: bool,
    /// It crossed `busy-reply-threshold`.
    pub slow: bool,
    /// The server was over its memory limit when it started.
    pub over_memory: bool,
    /// Where effects go.
    pub repl: ReplFlags,
}

/// All script engines and the state of scripting.
pub struct Scripting {
    engines: Vec<EngineSlot>,
    run: Option<Run>,
    over_memory: bool,
}

struct EngineSlot {
    name: &'static str,
    /// Absent while it runs a script.
    engine: Option<Box<dyn ScriptEngine>>,
}

/// What [`Engine::run_script`] is told about a run.
pub struct RunRequest<'a> {
    /// Index of the engine.
    pub engine: usize,
    /// What to call.
    pub handle: Handle,
    /// Keys and arguments.
    pub input: Invocation<'a>,
    /// How it was called.
    pub kind: RunKind,
    /// Name of the function, or the SHA-1 of the script.
    pub name: &'a [u8],
    /// The whole command.
    pub command: &'a [&'a [u8]],
    /// What it declared.
    pub flags: ScriptFlags,
    /// Whether writes are refused.
    pub read_only: bool,
}

impl Scripting {
    /// Takes the engines; refuses two of one name.
    pub fn new(engines: Vec<Box<dyn ScriptEngine>>) -> Result<Self, String> {
        let mut slots: Vec<EngineSlot> = Vec::with_capacity(engines.len());
        for engine in engines {
            let name = engine.name();
            if slots.iter().any(|slot| slot.name.eq_ignore_ascii_case(name)) {
                return Err(format!("two script engines are called '{name}'"));
            }
            slots.push(EngineSlot { name, engine: Some(engine) });
        }
        Ok(Scripting { engines: slots, run: None, over_memory: false })
    }

    /// Names of the engines; the first is the default.
    pub fn engine_names(&self) -> impl Iterator<Item = &'static str> {
        self.engines.iter().map(|slot| slot.name)
    }

    /// Index of the engine called `name`, in any letter case.
    pub fn engine_by_name(&self, name: &[u8]) -> Option<usize> {
        self.engines.iter().position(|slot| slot.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// The engine at `index`, unless it is running a script.
    pub fn engine(&mut self, index: usize) -> Option<&mut (dyn ScriptEngine + 'static)> {
        self.engines.get_mut(index)?.engine.as_deref_mut()
    }

    /// Bytes the engines' heaps use, not counting one that runs right now.
    pub fn engine_memory(&self) -> usize {
        self.engines.iter().filter_map(|slot| slot.engine.as_ref()).map(|e| e.memory_used()).sum()
    }

    /// The script that is running.
    pub fn running(&self) -> Option<&Run> {
        self.run.as_ref()
    }

    /// The script that is running, to change.
    pub fn running_mut(&mut self) -> Option<&mut Run> {
        self.run.as_mut()
    }

    /// Whether a script is running.
    #[inline]
    pub fn is_running(&self) -> bool {
        self.run.is_some()
    }

    /// Who called the script that is running.
    pub fn caller(&self) -> Option<ClientSlot> {
        self.run.as_ref().map(|run| run.caller)
    }

    /// The `-BUSY` error, when a script is over its time limit.
    #[inline]
    pub fn busy_error(&self) -> Option<CommandError> {
        let run = self.run.as_ref()?;
        run.slow.then_some(match run.kind {
            RunKind::Function => errors::BUSY_FUNCTION,
            _ => errors::BUSY_SCRIPT,
        })
    }

    /// Remembers whether the server was over its memory limit before the current command.
    pub(crate) fn note_memory(&mut self, over: bool) {
        self.over_memory = over;
    }

    /// For a command that runs a script: whether that script promises not to write. `None` for
    /// other commands.
    pub(crate) fn promises_read_only(&self, name: &str, args: Args<'_>) -> Option<bool> {
        let _ = args;
        match name {
            "eval_ro" | "evalsha_ro" | "fcall_ro" => Some(true),
            _ => None,
        }
    }
}

impl Engine {
    /// Runs a script or function for a client. The reply goes to `out` unless it ends in error.
    pub(crate) fn run_script(
        &mut self,
        client: ClientSlot,
        request: RunRequest<'_>,
        out: &mut dyn ReplyWriter,
    ) -> Result<(), ScriptError> {
        let slot = self.scripting.engines.get_mut(request.engine);
        let Some(mut engine) = slot.and_then(|slot| slot.engine.take()) else {
            return Err(ScriptError {
                text: errors::ENGINE_BUSY.text().as_bytes().to_vec(),
                ..ScriptError::default()
            });
        };
        self.begin_run(client, &request);
        let result = engine.call(request.handle, request.input, &mut host::Host::new(self), out);
        self.end_run();
        if let Some(slot) = self.scripting.engines.get_mut(request.engine) {
            slot.engine = Some(engine);
        }
        result
    }

    /// Runs library code for `FUNCTION LOAD`.
    pub(crate) fn load_library_code(
        &mut self,
        client: ClientSlot,
        engine_index: usize,
        code: &[u8],
    ) -> Result<Vec<perilune_script::FunctionSpec>, perilune_script::CompileError> {
        let slot = self.scripting.engines.get_mut(engine_index);
        let Some(mut engine) = slot.and_then(|slot| slot.engine.take()) else {
            let message = errors::ENGINE_BUSY.text().to_owned();
            return Err(perilune_script::CompileError { message });
        };
        let request = RunRequest {
            engine: engine_index,
            handle: Handle(0),
            input: Invocation { keys: &[], args: &[] },
            kind: RunKind::Load,
            name: b"",
            command: &[],
            flags: ScriptFlags::NONE,
            read_only: true,
        };
        self.begin_run(client, &request);
        let result = engine.load_library(code, &mut host::Host::new(self));
        self.end_run();
        if let Some(slot) = self.scripting.engines.get_mut(engine_index) {
            slot.engine = Some(engine);
        }
        result
    }

    fn begin_run(&mut self, client: ClientSlot, request: &RunRequest<'_>) {
        let (db, authenticated) = self
            .sessions
            .get(client)
            .map_or((0, true), |session| (session.db, session.authenticated));
        if let Some(script) = self.sessions.get_mut(ClientSlot::SCRIPT) {
            script.db = db;
            script.authenticated = authenticated;
            script.protocol = Protocol::Resp2;
        }
        self.scripting.run = Some(Run {
            caller: client,
            kind: request.kind,
            name: request.name.to_vec(),
            command: Vec::new(),
            flags: request.flags,
            read_only: request.read_only,
            started_us: self.mono_us,
            wrote: false,
            kill: false,
            shutdown: false,
            slow: false,
            over_memory: self.config.maxmemory > 0 && self.scripting.over_memory,
            repl: ReplFlags::ALL,
        });
        if let Some(run) = &mut self.scripting.run {
            run.command = request.command.iter().map(|arg| arg.to_vec()).collect();
        }
    }

    fn end_run(&mut self) {
        let run = self.scripting.run.take();
        if run.is_some_and(|run| run.slow)
            && let Some(port) = &mut self.busy_port
        {
            port.script_ended();
        }
    }
}
