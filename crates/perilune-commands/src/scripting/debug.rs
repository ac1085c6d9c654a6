//! Scripts under a debugger.
//!
//! A session of the debugger lasts as long as the call it belongs to, and reads what its user says
//! from the client's connection; a command cannot do that. So the call of a client that did
//! `SCRIPT DEBUG` is not run but *parked*: the connection is told by
//! [`Flow::Debug`](crate::Flow::Debug), takes the call with [`Engine::take_debug_call`], and runs
//! it with [`Engine::run_debug_call`] from a place where it may wait.
//!
//! - In `SYNC` mode that is done on this engine, which is held meanwhile. Other clients are served
//!   as those of a slow script are, from the first moment on that the session waits.
//! - In `YES` mode it is done on a copy of the engine (see [`copy`](super::copy)), which is dropped
//!   afterwards.
//!
//! Either way the client is let go with the reply of the script.

use super::RunName;
use super::host::Host;
use super::run::RunRequest;
use crate::args::Args;
use crate::engine::Engine;
use crate::errors::{self, CommandError};
use crate::owned_args::OwnedArgs;
use crate::session::{ClientSlot, DebugMode};
use perilune_resp::{Protocol, ReplyWriter, RespWriter, Value, ValueWriter};
use perilune_script::{
    AclCheckError, DebugTransport, EVALUATION_TOO_LONG, Interrupt, Ldb, LogLevel, ReplFlags,
    ScriptHost,
};

/// A call that waits for its debugger.
#[derive(Debug)]
pub struct DebugCall {
    /// Where it is to be run.
    pub mode: DebugMode,
    /// The whole command.
    pub command: OwnedArgs,
}

/// The client's side of a session, until the call takes it.
pub(super) type Transport = Box<dyn DebugTransport + Send>;

impl Engine {
    /// Leaves a call to the connection of its client.
    #[cold]
    pub(crate) fn park_debug_call(&mut self, client: ClientSlot, args: Args<'_>) {
        if let Some(session) = self.sessions.get_mut(client) {
            session.debug_call = Some(Box::new(OwnedArgs::new(args.all())));
        }
    }

    /// The call that a client parked. Its connection runs it, here or on a copy.
    pub fn take_debug_call(&mut self, client: ClientSlot) -> Option<DebugCall> {
        let session = self.sessions.get_mut(client)?;
        let command = *session.debug_call.take()?;
        let mode = std::mem::take(&mut session.debug_mode);
        Some(DebugCall { mode, command })
    }

    /// Runs a parked call with a debugger that speaks through `transport`. Its reply is appended to
    /// `out`, after which the connection is to be closed.
    pub fn run_debug_call(
        &mut self,
        client: ClientSlot,
        argv: &[&[u8]],
        transport: Box<dyn DebugTransport + Send>,
        out: &mut Vec<u8>,
    ) {
        self.refresh_clock();
        let Some(session) = self.sessions.get_mut(client) else { return };
        session.close_after_reply = true;
        let protocol = session.protocol;
        self.scripting.transport = Some(transport);
        let before = self.current_client.replace(client);
        self.process_parked(client, argv, &mut RespWriter::new(out, protocol));
        self.current_client = before;
        if let Some(mut unused) = self.scripting.transport.take() {
            Ldb::refuse(&mut *unused);
        }
    }

    /// Runs a script in a session of the debugger.
    #[cold]
    pub(super) fn debug_script(
        &mut self,
        client: ClientSlot,
        request: &RunRequest<'_>,
        mut transport: Transport,
        out: &mut dyn ReplyWriter,
    ) -> Result<(), CommandError> {
        let source = self.scripting.source_of(&request.name);
        let run_time_ms = self.config.busy_reply_threshold;
        let session = Ldb::new(&mut *transport, &source, request.input, run_time_ms);
        let result = self.run_with(client, request, Some(&session), out);
        session.finish();
        result
    }
}

impl super::Scripting {
    /// The whole source of the program that a run executes.
    fn source_of(&self, name: &RunName) -> Vec<u8> {
        let source = match name {
            RunName::Script(digest) => self.cache.source(digest),
            RunName::Function(name) => self.libraries.code_of(name),
            RunName::Library(_) => None,
        };
        source.unwrap_or_default().to_vec()
    }
}

/// The engine, lent to a script under a debugger.
pub(super) struct DebugHost<'e, 'k, 's, 't> {
    host: Host<'e, 'k>,
    session: &'s Ldb<'t>,
}

impl<'e, 'k, 's, 't> DebugHost<'e, 'k, 's, 't> {
    pub(super) fn new(host: Host<'e, 'k>, session: &'s Ldb<'t>) -> Self {
        DebugHost { host, session }
    }
}

impl ScriptHost for DebugHost<'_, '_, '_, '_> {
    fn call(&mut self, argv: &[&[u8]], out: &mut dyn ReplyWriter) {
        if !self.session.shows_commands() {
            return self.host.call(argv, out);
        }
        self.session.show_command(argv);
        let mut writer = ValueWriter::new(self.host.protocol());
        match self.host.admit(Args::new(argv)) {
            Ok(id) => self.host.run(id, Args::new(argv), &mut writer),
            Err(error) => {
                self.session.show_refusal(error.text());
                return self.host.refuse(&error, out);
            }
        }
        let reply = writer.into_value().unwrap_or(Value::Null);
        self.session.show_reply(&reply, self.host.protocol());
        reply.write(out);
    }

    fn interrupt(&mut self) -> Interrupt {
        if self.session.is_waiting() {
            self.host.begin_serving();
        } else if self.session.evaluates_too_long() {
            return Interrupt::Kill(EVALUATION_TOO_LONG);
        }
        match self.host.interrupt() {
            Interrupt::Continue if self.host.caller_is_gone() => {
                Interrupt::Kill(errors::DEBUG_CLIENT_KILLED)
            }
            answer => answer,
        }
    }

    fn note_error(&mut self, text: &[u8], counted: bool) {
        self.host.note_error(text, counted);
    }

    fn log(&mut self, level: LogLevel, message: &[u8], line: Option<u32>) {
        self.host.log(level, message, line);
    }

    fn protocol(&self) -> Protocol {
        self.host.protocol()
    }

    fn set_protocol(&mut self, protocol: Protocol) {
        self.host.set_protocol(protocol);
    }

    fn set_repl(&mut self, flags: ReplFlags) {
        self.host.set_repl(flags);
    }

    fn acl_check(&mut self, argv: &[&[u8]]) -> Result<bool, AclCheckError> {
        self.host.acl_check(argv)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Flow;
    use crate::test_support::TestEngine;
    use perilune_script::Received;
    use std::sync::{Arc, Mutex, PoisonError};

    /// Keeps what is sent; has nothing to say.
    #[derive(Clone, Default)]
    struct Ear(Arc<Mutex<Vec<u8>>>);

    impl DebugTransport for Ear {
        fn send(&mut self, bytes: &[u8]) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        }

        fn receive(&mut self, _: &mut Vec<u8>) -> Received {
            Received::Closed
        }

        fn poll(&mut self, _: &mut Vec<u8>) -> Received {
            Received::Nothing
        }
    }

    fn flow(test: &mut TestEngine, client: ClientSlot, words: &[&[u8]]) -> (Flow, Vec<u8>) {
        let mut out = Vec::new();
        let flow = test.engine.execute(client, words, &mut out);
        (flow, out)
    }

    #[test]
    fn a_call_is_parked_once() {
        let mut test = TestEngine::new();
        let client = test.client();
        assert_eq!(test.run(client, "script debug SYNC"), "+OK\r\n");
        assert_eq!(test.run(client, "ping"), "+PONG\r\n");
        let parked = flow(&mut test, client, &[b"eval", b"x", b"0"]);
        assert_eq!(parked, (Flow::Debug, Vec::new()));
        let call = test.engine.take_debug_call(client).expect("a call");
        assert_eq!((call.mode, call.command.view().len()), (DebugMode::Sync, 3));
        assert!(test.engine.take_debug_call(client).is_none());
        // What is no script of this engine has no session, and its client is closed all the same.
        let (ear, mut out) = (Ear::default(), Vec::new());
        test.engine.run_debug_call(client, &call.command.view(), Box::new(ear.clone()), &mut out);
        assert_eq!(*ear.0.lock().expect("no panic"), b"*1\r\n+<endsession>\r\n");
        assert!(out.starts_with(b"-ERR Error compiling script"));
        assert_eq!(flow(&mut test, client, &[b"ping"]).0, Flow::Close);
    }

    #[test]
    fn the_mode_can_be_left_and_must_exist() {
        let mut test = TestEngine::new();
        let client = test.client();
        test.run(client, "script debug yes");
        assert!(test.run(client, "script debug maybe").starts_with("-ERR Use SCRIPT DEBUG"));
        assert!(
            test.run(client, "evalsha 0123456789012345678901234567890123456789 0")
                .starts_with("-ERR Please use EVAL")
        );
        assert_eq!(test.run(client, "script debug no"), "+OK\r\n");
        assert_eq!(flow(&mut test, client, &[b"eval", b"x", b"0"]).0, Flow::Continue);
    }

    #[test]
    fn neither_transactions_nor_pipelines_are_debugged() {
        let mut test = TestEngine::new();
        let client = test.client();
        let mut out = b"+OK\r\n".to_vec();
        test.engine.execute(client, &[b"script", b"debug", b"yes"], &mut out);
        assert!(out.ends_with(b"-ERR SCRIPT DEBUG must be called outside a pipeline\r\n"));
        test.run(client, "multi");
        test.run(client, "script debug yes");
        assert!(test.run(client, "exec").contains("outside a pipeline"));
        test.run(client, "script debug yes");
        test.run(client, "multi");
        assert!(test.run(client, "eval x 0").starts_with("-ERR a script inside of"));
        assert!(test.run(client, "exec").starts_with("-EXECABORT"));
    }

    #[test]
    fn an_engine_that_cannot_be_copied_says_so() {
        let mut test = TestEngine::new();
        let client = test.client();
        let error = test.engine.copy_for_debugging(client).err().expect("no copy");
        assert_eq!(error, errors::NO_COPY);
    }
}
