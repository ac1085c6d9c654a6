//! The debugger that `redis-cli --ldb` speaks to: [`Ldb`].
//!
//! A session belongs to one call of a script. The client sends commands as requests; everything it
//! gets are arrays of status lines, one array whenever the program stands still or a command was
//! answered. The beginning of a line tells a client what it is: `* Stopped`, `->` and `#` mark
//! stops and source, `<redis>`, `<reply>`, `<value>`, `<retval>`, `<debug>`, `<error>` and
//! `<hint>` the rest. `<endsession>` is the last line; the reply of the script follows it.
//!
//! - `request`: commands of the debugger, taken from bytes;
//! - `command`: what each of them does;
//! - `show`: values and replies as text.
//!
//! The program runs from one stop to the next. Invariant: lines written meanwhile wait in
//! `pending` and leave with the next stop or answer, so a client that sent a command waits for
//! exactly one array.
//!
//! The session reads and writes through a [`DebugTransport`]. While it waits it asks the host
//! whether the program may live on, which is where the server serves its other clients. A client
//! that is gone ends the program.

mod command;
mod request;
mod show;
#[cfg(test)]
mod tests;

use crate::debug::{DebugFrame, DebugValue, Debugger, Verdict};
use crate::engine::Invocation;
use crate::host::Interrupt;
use perilune_resp::{Protocol, Value};
use request::Request;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// Longest that a debugger command may be, all its words together.
const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Most breakpoints.
const BREAKPOINTS_MAX: usize = 64;
/// Bytes of a value or reply that are shown unless the client asks for more.
const SHOWN_BYTES: usize = 256;
/// Words of a command that are shown.
const SHOWN_WORDS: usize = 10;
/// Time the program may run without a stop, and an evaluation may take, when the configuration
/// sets no limit for scripts.
const RUN_TIME: Duration = Duration::from_secs(5);

const ABORTED: &str = "ERR script aborted for user request";
const PROTOCOL_ERROR: &str = "ERR protocol error";
const REQUEST_TOO_LONG: &str = "ERR max client buffer reached";
const CLIENT_GONE: &str = "ERR script aborted because the debugging client is gone";
/// An evaluation ran for too long.
pub const EVALUATION_TOO_LONG: &str = "ERR script aborted because the debugger's eval did not end";

/// What a transport has for the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// Bytes were added.
    Bytes,
    /// Nothing came for a short time.
    Nothing,
    /// Nothing will come any more.
    Closed,
}

/// The two ways between a session and its client.
pub trait DebugTransport {
    /// Sends bytes. A client that is gone shows at the next [`receive`](Self::receive).
    fn send(&mut self, bytes: &[u8]);

    /// Waits a short time, some milliseconds, for bytes and appends them to `input`.
    fn receive(&mut self, input: &mut Vec<u8>) -> Received;

    /// Appends what has come to `input` without waiting.
    fn poll(&mut self, input: &mut Vec<u8>) -> Received;
}

/// A debugging session.
pub struct Ldb<'a> {
    transport: RefCell<&'a mut dyn DebugTransport>,
    /// Bytes of the client that no command was made of yet.
    input: RefCell<Vec<u8>>,
    /// Lines that wait for the next stop or answer.
    pending: RefCell<Vec<Vec<u8>>>,
    source: Vec<&'a [u8]>,
    arguments: Invocation<'a>,
    breakpoints: RefCell<Vec<u32>>,
    /// Stop at the next line, and tell of commands until then.
    step: Cell<bool>,
    /// `redis.breakpoint()` was called.
    stop_asked: Cell<bool>,
    line: Cell<u32>,
    /// 0 is no limit.
    shown_bytes: Cell<usize>,
    hinted: Cell<bool>,
    resumed: Cell<Instant>,
    run_time: Duration,
    /// Waits for its client.
    waiting: Cell<bool>,
    /// Start of the evaluation that runs.
    evaluating: Cell<Option<Instant>>,
}

impl<'a> Ldb<'a> {
    /// A session that stops at the first line. `source` is the whole text of the program;
    /// `run_time_ms` how long it may run without a stop, 0 for a default.
    pub fn new(
        transport: &'a mut dyn DebugTransport,
        source: &'a [u8],
        arguments: Invocation<'a>,
        run_time_ms: u64,
    ) -> Self {
        let end = source.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
        let source = source.get(..end.map_or(0, |at| at + 1)).unwrap_or_default();
        Ldb {
            transport: RefCell::new(transport),
            input: RefCell::default(),
            pending: RefCell::default(),
            source: source.split(|byte| *byte == b'\n').collect(),
            arguments,
            breakpoints: RefCell::default(),
            step: Cell::new(true),
            stop_asked: Cell::new(false),
            line: Cell::new(0),
            shown_bytes: Cell::new(SHOWN_BYTES),
            hinted: Cell::new(false),
            resumed: Cell::new(Instant::now()),
            run_time: match run_time_ms {
                0 => RUN_TIME,
                ms => Duration::from_millis(ms),
            },
            waiting: Cell::new(false),
            evaluating: Cell::new(None),
        }
    }

    /// Whether the client is told of commands that run now.
    pub fn shows_commands(&self) -> bool {
        self.step.get()
    }

    /// Whether the program stands still until the client says something.
    pub fn is_waiting(&self) -> bool {
        self.waiting.get()
    }

    /// Whether an evaluation runs that should have ended.
    pub fn evaluates_too_long(&self) -> bool {
        self.evaluating.get().is_some_and(|start| start.elapsed() > self.run_time)
    }

    /// Tells of a command that is about to run.
    pub fn show_command(&self, argv: &[&[u8]]) {
        let mut line = b"<redis>".to_vec();
        for (at, word) in argv.iter().enumerate() {
            if at == SHOWN_WORDS {
                line.extend_from_slice(format!(" ... ({} more)", argv.len() - at - 1).as_bytes());
                break;
            }
            line.push(b' ');
            line.extend_from_slice(word);
        }
        self.say(line);
    }

    /// Tells of a command that was refused.
    pub fn show_refusal(&self, error: &str) {
        self.say(format!("<error> {}", error.strip_prefix("ERR ").unwrap_or(error)));
    }

    /// Tells of the reply of a command, given in `protocol`.
    pub fn show_reply(&self, reply: &Value, protocol: Protocol) {
        if let Some(text) = reply.as_error() {
            self.say([b"<error> -", text].concat());
        }
        let mut line = b"<reply> ".to_vec();
        show::append_reply(&mut line, reply, protocol);
        self.say_cut(line);
    }

    /// Ends the session: what is pending, and the mark of the end.
    pub fn finish(self) {
        self.say("<endsession>");
        self.send();
    }

    /// Ends a session that never began: the program could not be started.
    pub fn refuse(transport: &mut dyn DebugTransport) {
        transport.send(b"*1\r\n+<endsession>\r\n");
    }

    fn say(&self, line: impl Into<Vec<u8>>) {
        self.pending.borrow_mut().push(line.into());
    }

    /// Says a line that may be long.
    fn say_cut(&self, mut line: Vec<u8>) {
        let limit = self.shown_bytes.get();
        let is_cut = limit != 0 && line.len() > limit;
        if is_cut {
            line.truncate(limit);
            line.extend_from_slice(b" ...");
        }
        self.say(line);
        if is_cut && !self.hinted.replace(true) {
            self.say("<hint> The above reply was trimmed. Use 'maxlen 0' to disable trimming.");
        }
    }

    /// Sends the pending lines as one array.
    fn send(&self) {
        let lines = std::mem::take(&mut *self.pending.borrow_mut());
        let mut out = format!("*{}\r\n", lines.len()).into_bytes();
        for line in lines {
            out.push(b'+');
            let is_break = |byte: &u8| matches!(byte, b'\r' | b'\n');
            out.extend(line.iter().map(|byte| if is_break(byte) { b' ' } else { *byte }));
            out.extend_from_slice(b"\r\n");
        }
        self.transport.borrow_mut().send(&out);
    }

    fn is_breakpoint(&self, line: u32) -> bool {
        self.breakpoints.borrow().contains(&line)
    }

    /// Says a line of the source with its number and what is special about it.
    fn say_source(&self, line: u32) {
        let text = (line as usize).checked_sub(1).and_then(|at| self.source.get(at));
        let text = text.copied().unwrap_or(b"<out of range source code line>");
        let mark = match (line == self.line.get(), self.is_breakpoint(line)) {
            (true, true) => "->#",
            (true, false) => "-> ",
            (false, true) => "  #",
            (false, false) => "   ",
        };
        self.say([format!("{mark}{line:<3} ").as_bytes(), text].concat());
    }

    /// Lets the client look at the program until it says how to go on.
    fn stop(&self, frame: &mut dyn DebugFrame, reason: &str) -> Verdict {
        self.step.set(false);
        self.stop_asked.set(false);
        let line = self.line.get();
        self.say(format!("* Stopped at {line}, stop reason = {reason}"));
        self.say_source(line);
        self.send();
        let verdict = self.serve(frame);
        self.resumed.set(Instant::now());
        verdict
    }

    /// Carries out commands until one lets the program go on.
    fn serve(&self, frame: &mut dyn DebugFrame) -> Verdict {
        loop {
            self.waiting.set(true);
            let request = self.next_request(frame);
            self.waiting.set(false);
            let words = match request {
                // The program stopped before it could be told to.
                Ok(words) if is_pause(&words) => continue,
                Ok(words) => words,
                Err(text) => return Verdict::Abort(text),
            };
            match self.obey(&words, frame) {
                Some(verdict) => return verdict,
                None => self.send(),
            }
        }
    }

    /// The next command of the client. An error ends the program.
    fn next_request(&self, frame: &mut dyn DebugFrame) -> Result<Vec<Vec<u8>>, &'static str> {
        let mut input = self.input.borrow_mut();
        loop {
            match Request::parse(&input) {
                Request::Complete { words, length } => {
                    input.drain(..length);
                    return Ok(words);
                }
                Request::Broken => return Err(PROTOCOL_ERROR),
                Request::Unfinished if input.len() > REQUEST_BYTES_MAX => {
                    return Err(REQUEST_TOO_LONG);
                }
                Request::Unfinished => {}
            }
            let received = self.transport.borrow_mut().receive(&mut input);
            if received == Received::Closed {
                return Err(CLIENT_GONE);
            }
            if let Interrupt::Kill(text) = frame.host().interrupt() {
                return Err(text);
            }
        }
    }
}

impl Ldb<'_> {
    /// Whether the client wants a program that runs to stand still. An error ends the program.
    fn is_pause_asked(&self) -> Result<bool, &'static str> {
        let mut input = self.input.borrow_mut();
        if input.len() > REQUEST_BYTES_MAX {
            return Ok(false);
        }
        match self.transport.borrow_mut().poll(&mut input) {
            Received::Nothing if input.is_empty() => return Ok(false),
            Received::Closed => return Err(CLIENT_GONE),
            // What came with the last request may be one itself.
            Received::Nothing | Received::Bytes => {}
        }
        match Request::parse(&input) {
            Request::Complete { words, length } if is_pause(&words) => {
                input.drain(..length);
                Ok(true)
            }
            // It waits for the next stop.
            _ => Ok(false),
        }
    }
}

/// The only command that is heard while the program runs.
fn is_pause(words: &[Vec<u8>]) -> bool {
    matches!(words, [word] if word.eq_ignore_ascii_case(b"pause"))
}

impl Debugger for Ldb<'_> {
    fn on_line(&self, frame: &mut dyn DebugFrame) -> Verdict {
        let line = frame.line();
        self.line.set(line);
        if self.stop_asked.get() {
            self.stop(frame, "redis.breakpoint() called")
        } else if self.is_breakpoint(line) {
            self.stop(frame, "break point")
        } else if self.step.get() {
            self.stop(frame, "step over")
        } else {
            Verdict::Continue
        }
    }

    fn on_tick(&self, frame: &mut dyn DebugFrame) -> Verdict {
        match self.is_pause_asked() {
            Ok(false) => {}
            Ok(true) => {
                self.line.set(frame.line());
                return self.stop(frame, "pause requested");
            }
            Err(text) => return Verdict::Abort(text),
        }
        if self.step.get() || self.resumed.get().elapsed() < self.run_time {
            return Verdict::Continue;
        }
        self.line.set(frame.line());
        self.stop(frame, "timeout reached, infinite loop?")
    }

    fn on_breakpoint(&self) {
        self.stop_asked.set(true);
    }

    fn on_print(&self, values: &[DebugValue]) {
        let mut line = format!("<debug> line {}: ", self.line.get()).into_bytes();
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                line.extend_from_slice(b", ");
            }
            show::append_value(&mut line, value);
        }
        self.say(line);
    }

    fn on_error(&self, message: &[u8]) {
        if self.shows_commands() {
            self.say([b"<error> ", message].concat());
        }
    }
}
