//! What every script engine must do, whatever its language, however a script is called.
//!
//! A [`Dialect`] says an engine's words for a few [`Step`]s. [`check_runs`] runs each case through
//! every [`Entry`]; [`check_store`] is about what is kept between runs.

mod runs;
mod store;

pub use runs::check_runs;
pub use store::check_store;

use crate::server::{Client, TestServer};
use perilune_resp::Value;
use perilune_script::ScriptEngine;

/// Something that scripts of every language can do. Steps run one after the other until one
/// replies.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// Replies with a number.
    Return(i64),
    /// Replies with the keys.
    EchoKeys,
    /// Replies with the arguments.
    EchoArgs,
    /// Runs a command and replies with its reply; an error ends the script. Words `$k1` and `$a1`
    /// stand for the first key and argument.
    Call(&'a str),
    /// Runs a command and forgets its reply.
    Try(&'a str),
    /// Chooses RESP3 for replies of commands.
    Resp3,
    /// Writes to the log.
    Log(&'a str),
    /// Ends the script with an error of this text, code first.
    Error(&'a str),
    /// Never ends.
    Loop,
}

/// A function of a library: name, declared flags separated by commas, body.
pub type FunctionText<'a> = (&'a str, &'a str, &'a [Step<'a>]);

/// An engine and its language.
pub trait Dialect {
    /// A fresh engine.
    fn engine(&self) -> Box<dyn ScriptEngine>;

    /// The source of a script, without `#!` line.
    fn script(&self, steps: &[Step<'_>]) -> String;

    /// The code of a library, without `#!` line.
    fn library(&self, functions: &[FunctionText<'_>]) -> String;

    /// Text that is no script.
    fn nonsense(&self) -> String;
}

/// A way to call a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// `EVAL`, `EVAL_RO`.
    Eval,
    /// `EVALSHA`, `EVALSHA_RO`.
    EvalSha,
    /// `FCALL`, `FCALL_RO`.
    Fcall,
}

/// A server with one engine and one client, for one entry.
pub(crate) struct Bench<'d> {
    pub(crate) server: TestServer,
    pub(crate) client: Client,
    pub(crate) other: Client,
    pub(crate) entry: Entry,
    dialect: &'d dyn Dialect,
    engine: &'static str,
}

impl<'d> Bench<'d> {
    pub(crate) fn new(dialect: &'d dyn Dialect, entry: Entry) -> Self {
        let engine = dialect.engine();
        let name = engine.name();
        let mut server = TestServer::new(vec![engine]);
        let (client, other) = (server.connect(), server.connect());
        Bench { server, client, other, entry, dialect, engine: name }
    }

    /// Runs a command of space-separated words.
    pub(crate) fn run(&mut self, command: &str) -> Value {
        let words: Vec<&str> = command.split(' ').collect();
        self.server.reply(self.client, &words)
    }

    /// Source of a script with these flags; without any, a script of the old kind.
    pub(crate) fn source(&self, flags: Option<&str>, steps: &[Step<'_>]) -> String {
        let body = self.dialect.script(steps);
        match flags {
            None => body,
            Some(flags) => format!("#!{} flags={flags}\n{body}", self.engine),
        }
    }

    /// Code of a library.
    pub(crate) fn code(&self, name: &str, functions: &[FunctionText<'_>]) -> String {
        format!("#!{} name={name}\n{}", self.engine, self.dialect.library(functions))
    }

    /// Makes a script callable; answers what it is called in commands and messages.
    pub(crate) fn define(&mut self, flags: Option<&str>, steps: &[Step<'_>]) -> String {
        let client = self.client;
        if self.entry == Entry::Fcall {
            let code = self.code("lib", &[("Func", flags.unwrap_or_default(), steps)]);
            let name = self.server.reply(client, &["function", "load", "replace", &code]);
            assert_eq!(name, Value::bulk("lib"));
            return "Func".into();
        }
        let source = self.source(flags, steps);
        let digest = perilune_script::Digest::of(source.as_bytes()).to_string();
        if self.entry == Entry::Eval {
            return source;
        }
        let loaded = self.server.reply(client, &["script", "load", &source]);
        assert_eq!(loaded, Value::bulk(&digest));
        digest
    }

    /// Makes a script callable and has it compiled before it is called.
    pub(crate) fn define_compiled(&mut self, steps: &[Step<'_>]) -> String {
        let what = self.define(None, steps);
        if self.entry == Entry::Eval {
            self.server.reply(self.client, &["script", "load", &what]);
        }
        what
    }

    /// The name of the command.
    pub(crate) fn command(&self, read_only: bool) -> &'static str {
        match (self.entry, read_only) {
            (Entry::Eval, false) => "eval",
            (Entry::Eval, true) => "eval_ro",
            (Entry::EvalSha, false) => "evalsha",
            (Entry::EvalSha, true) => "evalsha_ro",
            (Entry::Fcall, false) => "fcall",
            (Entry::Fcall, true) => "fcall_ro",
        }
    }

    /// Defines a script and calls it with two keys and an argument: `k1 k2 a1`.
    pub(crate) fn call_as(
        &mut self,
        read_only: bool,
        flags: Option<&str>,
        steps: &[Step<'_>],
    ) -> Value {
        let what = self.define(flags, steps);
        let argv = [self.command(read_only), &what, "2", "k1", "k2", "a1"];
        self.server.reply(self.client, &argv)
    }

    /// [`call_as`](Self::call_as) for scripts without flags that may write.
    pub(crate) fn call(&mut self, steps: &[Step<'_>]) -> Value {
        self.call_as(false, None, steps)
    }

    /// Text of the error that a script ends with.
    pub(crate) fn error(&mut self, steps: &[Step<'_>]) -> String {
        error_text(&self.call(steps))
    }
}

/// The text of an error reply.
pub(crate) fn error_text(reply: &Value) -> String {
    match reply {
        Value::Error(text) => String::from_utf8_lossy(text).into_owned(),
        other => panic!("no error but {other:?}"),
    }
}
