//! What the editor is told unasked: stops, output, the end; and the lines of the session that it
//! is made of.

use super::Input;
use super::adapter::{Adapter, State};
use super::breakpoints::Piece;
use super::values::Shown;
use perilune_resp::{Value, format_cli};
use serde_json::json;
use std::io::{self, Write};

/// Replies of commands that can be looked at.
const REPLIES_MAX: usize = 200;

/// The text of every line of a message.
pub(super) fn lines(items: &[Value]) -> Vec<String> {
    let text = |item: &Value| item.as_bytes().map(|text| String::from_utf8_lossy(text).into());
    items.iter().filter_map(text).collect()
}

impl<W: Write> Adapter<W> {
    /// Something the session said while it was not asked: a stop, or the end.
    pub(super) fn on_session(&mut self, reply: &Value) -> io::Result<()> {
        match (self.state, reply) {
            (State::Ending, reply) => self.on_reply(reply),
            (_, Value::Array(items)) => self.on_lines(&lines(items)),
            // A server that refuses the command has no session.
            (_, reply) => self.on_reply(reply),
        }
    }

    fn on_lines(&mut self, lines: &[String]) -> io::Result<()> {
        let mut stop = None;
        for line in lines {
            if let Some(rest) = line.strip_prefix("* Stopped at ") {
                let parts = rest.split_once(", stop reason = ");
                stop = parts.and_then(|(at, why)| Some((at.parse().ok()?, why.to_owned())));
            } else if line == "<endsession>" {
                self.state = State::Ending;
            } else if !line.starts_with("->") {
                self.tell_line(line)?;
            }
        }
        match stop {
            Some((line, why)) => self.on_stop(line, &why),
            None => Ok(()),
        }
    }

    /// Remembers the reply that a line of the session tells of, for the replies' scope.
    pub(super) fn remember(&mut self, line: &str) {
        if let Some(command) = line.strip_prefix("<redis> ") {
            self.command = command.to_owned();
        } else if let Some(reply) = line.strip_prefix("<reply> ") {
            if self.replies.len() == REPLIES_MAX {
                self.replies.remove(0);
            }
            let shown = Shown { text: reply.to_owned(), children: Vec::new() };
            self.replies.push((std::mem::take(&mut self.command), shown));
        }
    }

    /// Shows a line of the session.
    pub(super) fn tell_line(&mut self, line: &str) -> io::Result<()> {
        self.remember(line);
        match line.strip_prefix("<debug> ") {
            Some(said) => self.tell("stdout", &format!("{said}\n")),
            None => self.tell("console", &format!("{line}\n")),
        }
    }

    /// Shows a text to the user.
    pub(super) fn tell(&mut self, category: &str, text: &str) -> io::Result<()> {
        self.event("output", json!({ "category": category, "output": text }))
    }

    fn on_stop(&mut self, line: u64, why: &str) -> io::Result<()> {
        let is_first = self.state == State::Starting;
        self.state = State::Stopped;
        self.opened.clear();
        if is_first {
            self.ask(&["maxlen", "0"])?;
            let answer = self.ask(&["locals", "0"])?;
            self.is_ours = !answer.iter().any(|line| line.starts_with("<error> Unknown"));
        }
        self.apply_breakpoints()?;
        let is_asked = std::mem::take(&mut self.pause_asked);
        let for_breakpoints = std::mem::take(&mut self.breakpoints_pause) && !is_asked;
        let (reason, text) = match why {
            // A session stops at the first line, whether the user wants it or not.
            _ if is_first || why == "break point" => {
                let stops = self.breakpoint_stops(line)?;
                if self.state != State::Stopped {
                    return Ok(());
                }
                match stops {
                    true => ("breakpoint", None),
                    false if is_first && self.stops_on_entry() => ("entry", None),
                    false if is_asked => ("pause", None),
                    false if !is_first && self.stepping => ("step", None),
                    false => return self.resume("continue"),
                }
            }
            "step over" => ("step", None),
            "redis.breakpoint() called" => ("breakpoint", Some(why)),
            // It stopped for its breakpoints, which it has now. A session that got the command
            // together with another one heeds it only when the program has run for long.
            _ if for_breakpoints => {
                return self.resume(if self.stepping { "step" } else { "continue" });
            }
            "pause requested" => ("pause", None),
            _ => ("pause", Some(why)),
        };
        self.tell_stop(reason, text)
    }

    /// Whether the breakpoint at a line, if there is one, stops the program this time. One with a
    /// message says it instead.
    fn breakpoint_stops(&mut self, line: u64) -> io::Result<bool> {
        let found = self.breakpoints.iter().position(|breakpoint| breakpoint.line == line);
        let Some(at) = found else { return Ok(false) };
        if let Some(condition) = self.breakpoints[at].condition.clone() {
            match self.value_of(0, &condition)? {
                Ok(shown) if matches!(&*shown.text, "nil" | "false") => return Ok(false),
                Ok(_) => {}
                Err(error) => {
                    let text = format!("The condition of line {line} fails: {error}\n");
                    self.tell("console", &text)?;
                    return Ok(true);
                }
            }
        }
        if !self.breakpoints[at].hit() {
            return Ok(false);
        }
        let Some(pieces) = self.breakpoints[at].message.clone() else { return Ok(true) };
        let mut said = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => said.push_str(&text),
                Piece::Expression(code) => match self.value_of(0, &code)? {
                    Ok(shown) => said.push_str(&shown.text),
                    Err(error) => said.push_str(&format!("<{error}>")),
                },
            }
        }
        self.tell("console", &format!("{said}\n"))?;
        Ok(false)
    }

    fn tell_stop(&mut self, reason: &str, text: Option<&str>) -> io::Result<()> {
        let mut body = json!({ "reason": reason, "threadId": 1, "allThreadsStopped": true });
        if let Some(text) = text {
            body["text"] = text.into();
        }
        self.event("stopped", body)
    }

    /// The reply of the program, which is the last thing that comes.
    fn on_reply(&mut self, reply: &Value) -> io::Result<()> {
        let failed = matches!(reply, Value::Error(_));
        self.tell(if failed { "stderr" } else { "stdout" }, &format_cli(reply))?;
        self.on_end(i32::from(failed))
    }

    /// The session is over, in whatever way.
    pub(super) fn on_end(&mut self, exit_code: i32) -> io::Result<()> {
        if self.state == State::Over {
            return Ok(());
        }
        self.state = State::Over;
        self.event("terminated", json!({}))?;
        self.event("exited", json!({ "exitCode": exit_code }))
    }

    /// Sends a command to the session, which stands still, and waits for its lines. What else
    /// comes meanwhile waits its turn.
    pub(super) fn ask<T: AsRef<[u8]>>(&mut self, words: &[T]) -> io::Result<Vec<String>> {
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_ref().to_vec()).collect();
        self.send(&words);
        while let Ok(input) = self.inputs.recv() {
            match input {
                Input::Session(Value::Array(items)) => {
                    let lines = lines(&items);
                    if lines.iter().any(|line| line == "<endsession>") {
                        self.state = State::Ending;
                    }
                    return Ok(lines);
                }
                Input::SessionClosed => {
                    self.backlog.push_back(Input::SessionClosed);
                    break;
                }
                other => self.backlog.push_back(other),
            }
        }
        Ok(Vec::new())
    }
}
