//! What a running script may ask of the server: [`ScriptHost`].

use perilune_resp::{Protocol, ReplyWriter};

/// Severity of `redis.log`, and of the server's own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// `redis.LOG_DEBUG`
    Debug,
    /// `redis.LOG_VERBOSE`
    Verbose,
    /// `redis.LOG_NOTICE`
    Notice,
    /// `redis.LOG_WARNING`
    Warning,
}

/// Where the effects of a script's commands go (`redis.set_repl`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplFlags(pub u8);

impl ReplFlags {
    /// Nowhere.
    pub const NONE: ReplFlags = ReplFlags(0);
    /// The append-only file.
    pub const AOF: ReplFlags = ReplFlags(1);
    /// The replicas.
    pub const REPLICA: ReplFlags = ReplFlags(2);
    /// Both; the default of every run.
    pub const ALL: ReplFlags = ReplFlags(3);

    /// Whether any of `others` is among these.
    #[inline]
    pub fn intersects(self, others: ReplFlags) -> bool {
        self.0 & others.0 != 0
    }
}

/// The host's answer at an interrupt check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// Go on.
    Continue,
    /// Stop now, whatever the script wants, with this error text (code first).
    Kill(&'static str),
}

/// Why [`ScriptHost::acl_check`] has no yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AclCheckError {
    /// There is no such command.
    UnknownCommand,
}

/// The server, as a running script sees it.
pub trait ScriptHost {
    /// Runs a command (name first) and writes its reply, or an error, to `out`. All checks apply:
    /// existence, arity, script permission, memory, read-only.
    fn call(&mut self, argv: &[&[u8]], out: &mut dyn ReplyWriter);

    /// Must be called at least once per millisecond of work; engines stop on
    /// [`Interrupt::Kill`] even where the script would catch the error.
    fn interrupt(&mut self) -> Interrupt;

    /// Writes a line to the server's log. `line` is where in the script that was asked for, if the
    /// engine knows.
    fn log(&mut self, level: LogLevel, message: &[u8], line: Option<u32>);

    /// The protocol that replies of [`call`](Self::call) are shaped in; RESP2 at the start.
    fn protocol(&self) -> Protocol;

    /// `redis.setresp`.
    fn set_protocol(&mut self, protocol: Protocol);

    /// `redis.set_repl`.
    fn set_repl(&mut self, flags: ReplFlags);

    /// The script's reply contains an error among other things: its text, and whether it was
    /// `counted` when it arose. An error that is the whole reply ends the run as one instead.
    fn note_error(&mut self, text: &[u8], counted: bool) {
        let _ = (text, counted);
    }

    /// `redis.acl_check_cmd`: whether the caller may run this command on these arguments.
    fn acl_check(&mut self, argv: &[&[u8]]) -> Result<bool, AclCheckError>;
}
