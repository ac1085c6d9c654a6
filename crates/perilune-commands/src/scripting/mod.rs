//! Scripts and functions as the engine runs them.
//!
//! [`Scripting`] owns the script engines, the script cache and the libraries, and knows what is
//! running. Beside it, methods of [`Engine`](crate::Engine):
//!
//! - `store`: scripts and libraries come and go;
//! - `debug`: a script runs under a debugger, here or on a private `copy` of the engine;
//! - `run`: a script runs. Meanwhile its engine is taken out of its place and handed the rest of
//!   the [`Engine`](crate::Engine) as a `host::Host`, so a script's commands take the same road
//!   as everybody's, and the borrow checker sees that no script can reach its own engine.
//! - `tally`: what a run came to, for the statistics.
//!
//! Nothing here allocates when a cached script runs and ends well.

mod copy;
mod debug;
mod host;
mod run;
mod store;
mod tally;

pub use copy::EngineCopy;
pub use debug::DebugCall;
pub(crate) use run::RunRequest;
pub(crate) use store::RestorePolicy;

use crate::args::Args;
use crate::errors::{self, CommandError};
use crate::owned_args::OwnedArgs;
use crate::session::ClientSlot;
use crate::spec::CommandFlags;
use perilune_script::{
    Digest, Libraries, ReplFlags, RunPlace, ScriptCache, ScriptEngine, ScriptFlags,
    ScriptStatistics, parse_script_header,
};
use std::fmt;
use std::sync::Arc;

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

impl RunKind {
    /// The command that ends such a run. Code of libraries is ended as their functions are.
    pub(crate) fn kill_command(self) -> &'static str {
        match self {
            RunKind::Script => "SCRIPT KILL",
            RunKind::Function | RunKind::Load => "FUNCTION KILL",
        }
    }
}

/// Longest time it may take to load a library, microseconds.
const LOAD_TIME_US_MAX: u64 = 500_000;

/// What a run is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunName {
    /// A script, by digest.
    Script(Digest),
    /// A function, by name.
    Function(Arc<[u8]>),
    /// Code of a library, by its name.
    Library(Arc<[u8]>),
}

impl RunName {
    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            RunName::Script(digest) => digest.as_bytes(),
            RunName::Function(name) | RunName::Library(name) => name,
        }
    }

    fn kind(&self) -> RunKind {
        match self {
            RunName::Script(_) => RunKind::Script,
            RunName::Function(_) => RunKind::Function,
            RunName::Library(_) => RunKind::Load,
        }
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunName::Script(digest) => write!(f, "script {digest}"),
            RunName::Function(name) => write!(f, "function {}", String::from_utf8_lossy(name)),
            RunName::Library(name) => write!(f, "library {}", String::from_utf8_lossy(name)),
        }
    }
}

/// A script that is running.
#[derive(Debug)]
pub struct Run {
    /// Who called it.
    pub caller: ClientSlot,
    /// How it was called.
    pub kind: RunKind,
    /// Name of the function, or the SHA-1 of the script.
    pub name: RunName,
    /// The command that started it. Kept only once the run is [slow](Self::slow): before that
    /// nobody can ask.
    pub command: OwnedArgs,
    /// What the script declared.
    pub flags: ScriptFlags,
    /// Called by a read-only variant, or declared `no-writes`.
    pub read_only: bool,
    /// Monotonic time of its start, microseconds.
    pub started_us: u64,
    /// It changed the data set, or was about to.
    pub wrote: bool,
    /// Somebody asked to kill it.
    pub kill: bool,
    /// It crossed `busy-reply-threshold`.
    pub slow: bool,
    /// The caller's rights have to be looked at for every command.
    pub restricted: bool,
    /// A debugger is attached. Its user may end it at any time, and so may others.
    pub debugged: bool,
    /// The server was over its memory limit when it started.
    pub over_memory: bool,
    /// Where effects go.
    pub repl: ReplFlags,
    /// A command needs a closer look than its number of arguments if it has one of these flags,
    /// or if [`checks_all`](Self::checks_all).
    pub(super) checks: CommandFlags,
    /// Every command needs a closer look.
    pub(super) checks_all: bool,
}

impl Run {
    /// Finds out which commands need a closer look. To be repeated when the run first writes.
    pub(super) fn set_checks(&mut self, is_replica: bool, calls_anything: bool) {
        self.checks_all = self.restricted || is_replica || self.kind == RunKind::Load;
        let mut checks = CommandFlags::empty();
        checks.set(CommandFlags::NOSCRIPT, !calls_anything);
        checks.set(CommandFlags::WRITE, !self.wrote);
        if self.read_only {
            checks |= CommandFlags::WRITE | CommandFlags::MAY_REPLICATE;
        }
        checks.set(CommandFlags::DENYOOM, self.over_memory && !self.wrote);
        self.checks = checks;
    }
}

/// Figures for `INFO`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScriptingFigures {
    /// Heaps of the engines, shared by scripts and functions; one that runs right now is missing.
    pub vm_bytes: usize,
    /// The script cache.
    pub scripts_bytes: usize,
    /// Scripts in the cache.
    pub scripts: usize,
    /// The libraries.
    pub functions_bytes: usize,
    /// Functions.
    pub functions: usize,
    /// Libraries.
    pub libraries: usize,
}

/// All script engines and the state of scripting.
pub struct Scripting {
    engines: Vec<EngineSlot>,
    /// Names of the engines, in their order.
    names: Vec<&'static str>,
    cache: ScriptCache,
    libraries: Libraries,
    run: Option<Run>,
    /// Monotonic time, microseconds, of the first interrupt check of a library that is being
    /// loaded. One command may load many; its [start](Run::started_us) is that of the first.
    load_began_us: Option<u64>,
    /// Where the run that ended last was counted, until its time is known.
    ended: Option<RunPlace>,
    /// A reply had an error in it: its command counts as failed.
    told_error: bool,
    statistics: ScriptStatistics,
    over_memory: bool,
    /// The client of a debugger, which the next run takes.
    transport: Option<debug::Transport>,
}

struct EngineSlot {
    /// Absent while it runs a script.
    engine: Option<Box<dyn ScriptEngine>>,
}

impl Scripting {
    /// Takes the engines; refuses none at all and two of one name.
    pub fn new(engines: Vec<Box<dyn ScriptEngine>>) -> Result<Self, String> {
        if engines.is_empty() {
            return Err("a server needs at least one script engine".into());
        }
        let mut names: Vec<&'static str> = Vec::with_capacity(engines.len());
        for engine in &engines {
            let name = engine.name();
            if names.iter().any(|other| other.eq_ignore_ascii_case(name)) {
                return Err(format!("two script engines are called '{name}'"));
            }
            names.push(name);
        }
        Ok(Scripting {
            engines: engines.into_iter().map(|e| EngineSlot { engine: Some(e) }).collect(),
            names,
            cache: ScriptCache::default(),
            libraries: Libraries::default(),
            run: None,
            load_began_us: None,
            ended: None,
            told_error: false,
            statistics: ScriptStatistics::default(),
            over_memory: false,
            transport: None,
        })
    }

    /// Bounds the heap of every engine; 0 is no bound (`lua-memory-limit`).
    pub(crate) fn limit_memory(&mut self, bytes: usize) {
        let limit = (bytes > 0).then_some(bytes);
        let engines = self.engines.iter_mut().filter_map(|slot| slot.engine.as_mut());
        engines.for_each(|engine| engine.set_memory_limit(limit));
    }

    /// Names of the engines; the first is the default.
    pub fn engine_names(&self) -> &[&'static str] {
        &self.names
    }

    /// The cached scripts.
    pub fn cache(&self) -> &ScriptCache {
        &self.cache
    }

    /// The loaded libraries.
    pub fn libraries(&self) -> &Libraries {
        &self.libraries
    }

    /// What scripts and functions did.
    pub fn statistics(&self) -> &ScriptStatistics {
        &self.statistics
    }

    /// Forgets what scripts and functions did.
    pub(crate) fn reset_statistics(&mut self) {
        self.statistics.reset();
    }

    /// Figures for `INFO`.
    pub fn figures(&self) -> ScriptingFigures {
        ScriptingFigures {
            vm_bytes: self.engine_memory(),
            scripts_bytes: self.cache.memory(),
            scripts: self.cache.len(),
            functions_bytes: self.libraries.memory(),
            functions: self.libraries.functions_len(),
            libraries: self.libraries.len(),
        }
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
            RunKind::Function | RunKind::Load => errors::BUSY_FUNCTION,
            RunKind::Script => errors::BUSY_SCRIPT,
        })
    }

    /// Whether the library that is being loaded took too long.
    fn load_is_late(&mut self, mono_us: u64) -> bool {
        let began_us = *self.load_began_us.get_or_insert(mono_us);
        mono_us.saturating_sub(began_us) > LOAD_TIME_US_MAX
    }

    /// Remembers whether the server was over its memory limit before the current command.
    pub(crate) fn note_memory(&mut self, over: bool) {
        self.over_memory = over;
    }

    /// For a command that runs a script: whether that script promises not to write. `None` for
    /// other commands.
    pub(crate) fn promises_read_only(&self, name: &str, args: Args<'_>) -> Option<bool> {
        let read_only_variant = match name {
            "eval" | "evalsha" | "fcall" => false,
            "eval_ro" | "evalsha_ro" | "fcall_ro" => true,
            _ => return None,
        };
        Some(match self.declared_flags(name, args) {
            Some(flags) => flags.contains(ScriptFlags::NO_WRITES),
            None => read_only_variant,
        })
    }

    /// Whether a command runs a script that must not start while the server is over its memory
    /// limit.
    pub(crate) fn denies_oom(&self, name: &str, args: Args<'_>) -> bool {
        self.declared_flags(name, args).is_some_and(run::needs_memory)
    }

    /// Whether the reply of the command that is over had an error in it. Commands of others that
    /// are served while a reply is being written leave that to the command it is of.
    #[inline]
    pub(crate) fn take_told_error(&mut self) -> bool {
        self.told_error && self.run.is_none() && std::mem::take(&mut self.told_error)
    }

    /// Whether a script runs that others need not wait for any more.
    pub(crate) fn is_slow(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.slow)
    }

    /// The flags of a command, of which a script that declares its own decides some.
    pub(crate) fn effective_flags(
        &self,
        mut flags: CommandFlags,
        name: &str,
        args: Args<'_>,
    ) -> CommandFlags {
        if let Some(declared) = self.declared_flags(name, args) {
            flags.set(CommandFlags::WRITE, !declared.contains(ScriptFlags::NO_WRITES));
            flags.set(CommandFlags::STALE, declared.contains(ScriptFlags::ALLOW_STALE));
        }
        flags
    }

    /// The flags of the script that a command runs, where it declares any.
    fn declared_flags(&self, name: &str, args: Args<'_>) -> Option<ScriptFlags> {
        let subject = args.get(1)?;
        let flags = match name {
            "eval" | "eval_ro" => match self.cache.peek(&Digest::of(subject)) {
                Some(script) => script.flags,
                None => parse_script_header(subject, &self.names).ok()?.flags,
            },
            "evalsha" | "evalsha_ro" => self.cache.peek(&Digest::parse(subject)?)?.flags,
            "fcall" | "fcall_ro" => self.libraries.function(subject)?.script.flags,
            _ => return None,
        };
        (!flags.contains(ScriptFlags::COMPAT)).then_some(flags)
    }
}
