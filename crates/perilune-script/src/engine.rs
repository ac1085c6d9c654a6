//! What an engine does: [`ScriptEngine`].

use crate::debug::Debugger;
use crate::host::ScriptHost;
use perilune_resp::ReplyWriter;
use std::fmt;

/// Names a compiled script or a registered function inside of the engine that made it. Never
/// reused by that engine, so a stale handle is answered with an error, not with another script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle(pub u64);

/// The permissions a script declares (`#!lua flags=...`, `redis.register_function`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScriptFlags(u8);

impl ScriptFlags {
    /// No flag.
    pub const NONE: ScriptFlags = ScriptFlags(0);
    /// `no-writes`: never changes the data set.
    pub const NO_WRITES: ScriptFlags = ScriptFlags(1);
    /// `allow-oom`: runs when the server is over its memory limit.
    pub const ALLOW_OOM: ScriptFlags = ScriptFlags(1 << 1);
    /// `allow-stale`: runs on a replica with stale data.
    pub const ALLOW_STALE: ScriptFlags = ScriptFlags(1 << 2);
    /// `no-cluster`: refused in cluster mode.
    pub const NO_CLUSTER: ScriptFlags = ScriptFlags(1 << 3);
    /// `allow-cross-slot-keys`: may touch keys of several slots.
    pub const ALLOW_CROSS_SLOT: ScriptFlags = ScriptFlags(1 << 4);
    /// Not a declared flag: the script has no `#!` line, so the rules of old scripts apply.
    pub const COMPAT: ScriptFlags = ScriptFlags(1 << 5);

    /// Every declarable flag with its name, in the order `FUNCTION LIST` shows them.
    pub const NAMES: [(ScriptFlags, &'static str); 5] = [
        (ScriptFlags::NO_WRITES, "no-writes"),
        (ScriptFlags::ALLOW_OOM, "allow-oom"),
        (ScriptFlags::ALLOW_STALE, "allow-stale"),
        (ScriptFlags::NO_CLUSTER, "no-cluster"),
        (ScriptFlags::ALLOW_CROSS_SLOT, "allow-cross-slot-keys"),
    ];

    /// The flag called `name`.
    pub fn by_name(name: &[u8]) -> Option<ScriptFlags> {
        Self::NAMES.iter().find(|(_, n)| n.as_bytes() == name).map(|(flag, _)| *flag)
    }

    /// Whether all flags of `other` are set.
    pub fn contains(self, other: ScriptFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    #[must_use]
    pub fn union(self, other: ScriptFlags) -> ScriptFlags {
        ScriptFlags(self.0 | other.0)
    }

    /// Names of the declared flags.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| *name)
    }
}

/// The input of one run.
#[derive(Debug, Clone, Copy)]
pub struct Invocation<'a> {
    /// The declared key names (`KEYS`).
    pub keys: &'a [&'a [u8]],
    /// The other arguments (`ARGV`).
    pub args: &'a [&'a [u8]],
}

/// A function that a library registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionSpec {
    /// The name `FCALL` uses.
    pub name: Vec<u8>,
    /// Free text, if the library gave one.
    pub description: Option<Vec<u8>>,
    /// Declared permissions.
    pub flags: ScriptFlags,
    /// What [`ScriptEngine::call`] takes.
    pub handle: Handle,
}

/// A script or library that could not be compiled or loaded: the engine's message, without code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// What is wrong, as the engine says it: `user_script:1: '=' expected near 'x'`.
    pub message: String,
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CompileError {}

/// A script that ended with an error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScriptError {
    /// The error text with its code first (`ERR ...`, `WRONGTYPE ...`), not yet naming the script.
    pub text: Vec<u8>,
    /// Chunk and line where it was raised (`@user_script`, `12`), where the engine knows. Without a
    /// place the text is complete: the script returned an error as its reply, or the engine has
    /// named the script already.
    pub place: Option<(Vec<u8>, Vec<u8>)>,
    /// The error came out of a command that has counted it already.
    pub counted: bool,
}

/// Runs scripts of one language. Object-safe; used from one thread at a time.
///
/// An engine keeps no state between runs but what it compiled: nothing a script does outlives it
/// except through [`ScriptHost::call`].
pub trait ScriptEngine: Send {
    /// The name after `#!`, in lower case: `lua`.
    fn name(&self) -> &'static str;

    /// Compiles `source` (without its `#!` line, but with that line's line break so that line
    /// numbers hold). `id` is the script's SHA-1 in hexadecimal, for messages. `host` only serves
    /// interrupt, which a compiler that takes long must ask.
    fn compile(
        &mut self,
        source: &[u8],
        id: &str,
        host: &mut dyn ScriptHost,
    ) -> Result<Handle, CompileError>;

    /// Runs a compiled script or calls a registered function and writes exactly one reply to `out`,
    /// or returns an error and has written nothing.
    fn call(
        &mut self,
        handle: Handle,
        input: Invocation<'_>,
        host: &mut dyn ScriptHost,
        out: &mut dyn ReplyWriter,
    ) -> Result<(), ScriptError>;

    /// As [`call`](Self::call), with a debugger that sees every line of the program. The default is
    /// an engine whose scripts cannot be debugged: it answers an error.
    fn call_debugged(
        &mut self,
        handle: Handle,
        input: Invocation<'_>,
        host: &mut dyn ScriptHost,
        debugger: &dyn Debugger,
        out: &mut dyn ReplyWriter,
    ) -> Result<(), ScriptError> {
        let _ = (handle, input, host, debugger, out);
        let text = b"ERR the script engine has no debugger".to_vec();
        Err(ScriptError { text, ..ScriptError::default() })
    }

    /// Another engine of the same kind and settings, with nothing compiled. The default is an
    /// engine of which there can be only one.
    fn fresh(&self) -> Option<Box<dyn ScriptEngine>> {
        None
    }

    /// Runs the code of a library (without its `#!` line, as for [`compile`](Self::compile)) and
    /// returns what it registered. On error nothing of it stays. `host` serves log and interrupt;
    /// commands cannot be called while loading.
    fn load_library(
        &mut self,
        code: &[u8],
        host: &mut dyn ScriptHost,
    ) -> Result<Vec<FunctionSpec>, CompileError>;

    /// Lets go of a script or function. Unknown handles are ignored.
    fn forget(&mut self, handle: Handle);

    /// Gives memory back that nothing needs any more. Called when all scripts or all libraries were
    /// forgotten, never while a script runs.
    fn trim(&mut self) {}

    /// Sets the bytes its heap may grow to while a script runs; none: as many as there are. A script
    /// that wants more is ended with an error, and the engine is usable afterwards. What one command
    /// or library call needs may go beyond it. An engine without a heap of its own has no limit.
    fn set_memory_limit(&mut self, bytes: Option<usize>) {
        let _ = bytes;
    }

    /// Bytes the engine's heap uses.
    fn memory_used(&self) -> usize;

    /// The most bytes by which its heap exceeded, since the last run began, what it was at that
    /// begin. The default is an engine that does not watch.
    fn memory_growth(&self) -> usize {
        0
    }

    /// Approximate bytes of engine-side bookkeeping of one compiled script.
    fn overhead(&self) -> usize {
        0
    }
}
