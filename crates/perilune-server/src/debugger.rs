//! Debugging sessions: a script's call that talks to its client while it runs.
//!
//! A connection task that meets [`Flow::Debug`](perilune_commands::Flow::Debug) hands its socket
//! over to a thread of its own, which blocks: on the socket, and in `SYNC` mode with the engine in
//! its hands (other connections then meet a slow script, see `gate`). In `YES` mode the thread owns
//! a private copy of the engine and the gate is free. The task waits for the thread and then lets
//! the client go.
//!
//! A client that is closed by the server is noticed by its bell, where the session does not hold
//! the engine that would know.

use crate::connection::Bell;
use crate::gate::Gate;
use crate::socket::{BlockingSocket, Socket};
use perilune_commands::Engine;
use perilune_commands::scripting::DebugCall;
use perilune_commands::session::{ClientSlot, DebugMode};
use perilune_script::{DebugTransport, LogLevel, Received};
use std::io::{ErrorKind, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// How long to wait for the client before others are served.
const READ_WAIT: Duration = Duration::from_millis(5);
/// How long a client may take to accept what is sent to it.
const WRITE_WAIT: Duration = Duration::from_secs(5);
/// Bytes read at once.
const READ_BYTES: usize = 4096;

/// The reply when the session failed for a bug of the server.
const INTERNAL_ERROR: &[u8] = b"-ERR internal error, the debugging session is over\r\n";

/// Runs the parked call of a client to its end.
pub(crate) async fn serve(socket: Socket, gate: &Gate, slot: ClientSlot, bell: &Arc<Bell>) {
    let socket = match socket.into_blocking(READ_WAIT, WRITE_WAIT) {
        Ok(socket) => socket,
        Err(error) => {
            let text = format!("A debugging session can't use its socket: {error}");
            return crate::log::write(LogLevel::Warning, &text);
        }
    };
    let session = Session { gate: gate.clone(), slot, bell: Arc::clone(bell) };
    let (done, finished) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("debugger".into()).spawn(move || {
        session.run(socket);
        // The task is gone only at shutdown.
        let _ = done.send(());
    });
    match thread {
        Ok(_) => {
            let _ = finished.await;
        }
        Err(error) => {
            let text = format!("A debugging session can't have a thread: {error}");
            crate::log::write(LogLevel::Warning, &text);
        }
    }
}

struct Session {
    gate: Gate,
    slot: ClientSlot,
    bell: Arc<Bell>,
}

impl Session {
    fn run(&self, socket: BlockingSocket) {
        let slot = self.slot;
        let Some(call) = self.gate.hold(|engine| engine.take_debug_call(slot)).flatten() else {
            return;
        };
        let Ok(mut last_words) = socket.try_clone() else { return };
        crate::log::write(LogLevel::Notice, "A debugging session started.");
        let reply = match call.mode {
            DebugMode::Copy => self.run_on_copy(&call, socket),
            _ => self.run_here(&call, socket),
        };
        // A client that is gone misses its reply.
        let _ = last_words.write_all(&reply);
        crate::log::write(LogLevel::Notice, "A debugging session ended.");
    }

    fn run_here(&self, call: &DebugCall, socket: BlockingSocket) -> Vec<u8> {
        let transport = Transport { socket, client: None };
        let slot = self.slot;
        let reply = self.gate.hold(|engine| run_call(engine, slot, call, transport));
        reply.unwrap_or_else(|| INTERNAL_ERROR.to_vec())
    }

    fn run_on_copy(&self, call: &DebugCall, socket: BlockingSocket) -> Vec<u8> {
        let slot = self.slot;
        let copy = match self.gate.hold(|engine| engine.copy_for_debugging(slot)) {
            Some(Ok(copy)) => copy,
            Some(Err(error)) => return refusal(socket, error.text()),
            None => return INTERNAL_ERROR.to_vec(),
        };
        let (mut engine, client) = match copy.build() {
            Ok(built) => built,
            Err(error) => return refusal(socket, &format!("ERR {error}")),
        };
        let watched = (self.gate.clone(), slot, Arc::clone(&self.bell));
        let transport = Transport { socket, client: Some(watched) };
        let run = || run_call(&mut engine, client, call, transport);
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| INTERNAL_ERROR.to_vec())
    }
}

/// Tells the client that there is no session, and why.
fn refusal(socket: BlockingSocket, error: &str) -> Vec<u8> {
    perilune_script::Ldb::refuse(&mut Transport { socket, client: None });
    format!("-{error}\r\n").into_bytes()
}

/// Runs a command under the debugger on an engine of the caller's, and answers its reply.
pub(crate) fn run_on(
    engine: &mut Engine,
    client: ClientSlot,
    argv: &[&[u8]],
    socket: BlockingSocket,
) -> Vec<u8> {
    let mut reply = Vec::new();
    if let Err(error) = socket.set_waits(READ_WAIT, WRITE_WAIT) {
        return format!("-ERR {error}\r\n").into_bytes();
    }
    let transport = Transport { socket, client: None };
    engine.run_debug_call(client, argv, Box::new(transport), &mut reply);
    reply
}

fn run_call(
    engine: &mut Engine,
    client: ClientSlot,
    call: &DebugCall,
    transport: Transport,
) -> Vec<u8> {
    let mut reply = Vec::new();
    engine.run_debug_call(client, &call.command.view(), Box::new(transport), &mut reply);
    reply
}

/// The socket of a client, as a session uses it.
struct Transport {
    socket: BlockingSocket,
    /// Whom to look after in the server's engine, when the session runs on another one.
    client: Option<(Gate, ClientSlot, Arc<Bell>)>,
}

impl Transport {
    /// Whether the server has closed the client.
    fn is_closed(&self) -> bool {
        let Some((gate, slot, bell)) = &self.client else { return false };
        if !bell.take_ring() {
            return false;
        }
        match gate.try_hold(|engine| engine.sessions.get(*slot).is_none_or(|s| s.killed)) {
            Some(closed) => closed,
            None => {
                // Somebody else has the engine: look again later.
                bell.put_ring_back();
                false
            }
        }
    }
}

impl DebugTransport for Transport {
    fn send(&mut self, bytes: &[u8]) {
        if self.socket.write_all(bytes).is_err() {
            // Half of a message is worse than none; reading then tells that it is over.
            let _ = self.socket.shutdown();
        }
    }

    fn receive(&mut self, input: &mut Vec<u8>) -> Received {
        if self.is_closed() {
            return Received::Closed;
        }
        let mut bytes = [0; READ_BYTES];
        let result = self.socket.read(&mut bytes);
        received(result, &bytes, input)
    }

    fn poll(&mut self, input: &mut Vec<u8>) -> Received {
        let mut bytes = [0; READ_BYTES];
        let result = self.socket.read_now(&mut bytes);
        received(result, &bytes, input)
    }
}

/// What a read into `bytes` came to.
fn received(result: std::io::Result<usize>, bytes: &[u8], input: &mut Vec<u8>) -> Received {
    match result {
        Ok(0) => Received::Closed,
        Ok(n) => {
            input.extend_from_slice(&bytes[..n]);
            Received::Bytes
        }
        Err(error) => match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {
                Received::Nothing
            }
            _ => Received::Closed,
        },
    }
}
