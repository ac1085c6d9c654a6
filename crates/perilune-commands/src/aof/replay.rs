//! Running the commands that a file tells of.
//!
//! They take the road of all commands from [`Engine::call`] on; the checks before it are about
//! clients. What they come to was decided when they were written: nothing expires on its own
//! meanwhile, nobody waits, and nothing is recorded again.

use crate::acl::{RuleContext, User};
use crate::args::Args;
use crate::config::PropagationErrorBehavior;
use crate::engine::Engine;
use crate::owned_args::OwnedArgs;
use crate::session::{ClientSlot, PeerInfo};
use perilune_resp::RespWriter;
use perilune_script::LogLevel;
use std::sync::Arc;

/// The client whose commands a file tells.
#[derive(Debug)]
pub(super) struct Player {
    client: ClientSlot,
    /// Replies, of which only errors are looked at.
    replies: Vec<u8>,
}

/// What became of a command.
pub(super) enum Played {
    /// It ran, whatever it answered.
    Done,
    /// There is no such command.
    Unknown,
    /// What follows would change other data than it should.
    Misled(String),
}

impl Player {
    /// A client that nobody sees. It must be [dismissed](Self::dismiss).
    pub(super) fn new(engine: &mut Engine) -> Player {
        let now_ms = engine.now_ms();
        // What was allowed when it happened stays allowed.
        let context = RuleContext::new(&engine.commands, &engine.config);
        let user = Arc::new(User::all_powerful_default(&context));
        let client = engine.sessions.add(PeerInfo::default(), None, now_ms, user);
        if let Some(session) = engine.sessions.get_mut(client) {
            session.authenticated = true;
        }
        engine.aof.replaying = true;
        engine.propagation.muted = true;
        Player { client, replies: Vec::new() }
    }

    /// Runs or, within `MULTI`, queues a command.
    pub(super) fn play(&mut self, engine: &mut Engine, argv: &[&[u8]]) -> Played {
        let args = Args::new(argv);
        let id = match engine.commands.resolve(args) {
            Ok(id) => id,
            Err(_) => return Played::Unknown,
        };
        let name = engine.commands.get(id).full_name;
        let open = engine.sessions.get_mut(self.client).and_then(|s| s.transaction.as_mut());
        if let Some(transaction) = open.filter(|_| name != "exec") {
            transaction.queue.push(OwnedArgs::new(argv));
            return Played::Done;
        }
        self.replies.clear();
        let mut out = RespWriter::new(&mut self.replies, perilune_resp::Protocol::Resp2);
        engine.call(self.client, id, args, &mut out);
        if self.replies.first() == Some(&b'-') {
            engine.note_failed_replay(name, &self.replies);
        }
        if name == "select" && self.replies.first() == Some(&b'-') {
            return Played::Misled(String::from_utf8_lossy(&self.replies[1..]).trim().to_owned());
        }
        Played::Done
    }

    /// Whether a transaction is open.
    pub(super) fn is_in_transaction(&self, engine: &Engine) -> bool {
        engine.sessions.get(self.client).is_some_and(|session| session.transaction.is_some())
    }

    /// Ends the client. A transaction that is open has not happened.
    pub(super) fn dismiss(self, engine: &mut Engine) {
        engine.disconnect(self.client);
        engine.aof.replaying = false;
        engine.propagation.muted = false;
    }
}

impl Engine {
    /// A command of the file that fails is a sign that the data differ from what they were.
    #[cold]
    fn note_failed_replay(&mut self, name: &str, reply: &[u8]) {
        let reply = String::from_utf8_lossy(reply);
        let message = format!(
            "== CRITICAL == This server is sending an error to its AOF-loading-client: '{}' after \
             processing the command '{name}'",
            reply.trim_end(),
        );
        self.env.log(LogLevel::Warning, &message);
        if self.config.propagation_error_behavior == PropagationErrorBehavior::Panic {
            let message = format!(
                "This server panicked sending an error to its AOF-loading-client after processing \
                 the command '{name}'"
            );
            self.env.log(LogLevel::Warning, &message);
            self.env.abort();
        }
    }
}
