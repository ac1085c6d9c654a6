//! Requests that look at a program that stands still, and change its variables.

use super::adapter::{Adapter, Answer, NOT_STOPPED, State};
use super::values::Shown;
use perilune_resp::split_args;
use perilune_script::EVALUATION_TOO_LONG;
use serde_json::{Value, json};
use std::io::{self, Write};

/// The level of the stack that a request is about; frames are counted from 1.
fn level_of(arguments: &Value) -> usize {
    let frame = arguments["frameId"].as_u64().unwrap_or(1);
    usize::try_from(frame).unwrap_or(usize::MAX).saturating_sub(1)
}

impl<W: Write> Adapter<W> {
    pub(super) fn stack_trace(&mut self, arguments: &Value) -> io::Result<Answer> {
        let (State::Stopped, Some(launch)) = (self.state, &self.launch) else {
            return Ok(Err(NOT_STOPPED.to_owned()));
        };
        let name = launch.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let source = json!({ "name": name, "path": launch.program.to_string_lossy() });
        let trace = self.ask(&["trace"])?;
        let mut frames = Vec::new();
        for pair in trace.chunks(2) {
            let [head, at] = pair else { break };
            let function = head.trim_start_matches("In ").trim_start_matches("From ");
            let digits = at.get(3..).unwrap_or_default().split(' ').next().unwrap_or_default();
            let line = digits.parse::<u64>().unwrap_or(1) + self.first_line - 1;
            frames.push(json!({
                "id": frames.len() + 1,
                "name": function.trim_end_matches(':'),
                "line": line,
                "column": 1,
                "source": source,
            }));
        }
        let total = frames.len();
        let start = arguments["startFrame"].as_u64().unwrap_or(0) as usize;
        let levels = match arguments["levels"].as_u64() {
            None | Some(0) => total,
            Some(levels) => levels as usize,
        };
        let frames: Vec<Value> = frames.into_iter().skip(start).take(levels).collect();
        Ok(Ok(json!({ "stackFrames": frames, "totalFrames": total })))
    }

    pub(super) fn scopes(&mut self, arguments: &Value) -> io::Result<Answer> {
        if self.state != State::Stopped {
            return Ok(Err(NOT_STOPPED.to_owned()));
        }
        let mut scopes = Vec::new();
        let level = level_of(arguments);
        let lines = match self.is_ours {
            true => self.ask(&["locals".to_owned(), level.to_string()])?,
            // Others show the variables of the innermost function only.
            false if level == 0 => self.ask(&["print"])?,
            false => Vec::new(),
        };
        if self.is_ours || level == 0 {
            let local = |line: &String| {
                let (name, value) = line.strip_prefix("<value> ")?.split_once(" = ")?;
                Some((name.to_owned(), Shown::read(value)))
            };
            let locals: Vec<_> = lines.iter().filter_map(local).collect();
            scopes.push(json!({
                "name": "Locals",
                "presentationHint": "locals",
                "variablesReference": self.opened.add_locals(level, &locals),
                "expensive": false,
            }));
        }
        let mut inputs = Vec::new();
        for name in ["KEYS", "ARGV"] {
            let lines = self.ask(&["print", name])?;
            let value = lines.first().and_then(|line| line.strip_prefix("<value> "));
            inputs.extend(value.map(|value| (name.to_owned(), Shown::read(value))));
        }
        let replies = self.replies.clone();
        for (name, hint, values) in
            [("KEYS and ARGV", "arguments", inputs), ("Replies", "registers", replies)]
        {
            scopes.push(json!({
                "name": name,
                "presentationHint": hint,
                "variablesReference": self.opened.add(&values),
                "expensive": false,
            }));
        }
        Ok(Ok(json!({ "scopes": scopes })))
    }

    pub(super) fn variables(&mut self, arguments: &Value) -> Answer {
        let number = arguments["variablesReference"].as_u64().unwrap_or(0);
        let values = self.opened.get(number).ok_or("there is nothing behind this number")?;
        let variable = |(name, shown): &(String, Shown)| {
            json!({
                "name": name,
                "value": shown.text,
                "variablesReference": self.opened.add(&shown.children),
            })
        };
        let variables: Vec<Value> = values.iter().map(variable).collect();
        Ok(json!({ "variables": variables }))
    }

    pub(super) fn evaluate(&mut self, arguments: &Value) -> io::Result<Answer> {
        if self.state != State::Stopped {
            return Ok(Err(NOT_STOPPED.to_owned()));
        }
        let expression = arguments["expression"].as_str().unwrap_or_default().trim();
        if let Some(command) = expression.strip_prefix("redis ") {
            return self.run_command(command);
        }
        let answer = self.value_of(level_of(arguments), expression)?;
        Ok(answer.map(|shown| {
            let reference = self.opened.add(&shown.children);
            json!({ "result": shown.text, "variablesReference": reference })
        }))
    }

    /// What an expression comes to in the function of a level, or why it cannot be known.
    pub(super) fn value_of(
        &mut self,
        level: usize,
        expression: &str,
    ) -> io::Result<Result<Shown, String>> {
        if self.is_ours {
            let lines = self.ask(&["inspect", &level.to_string(), expression])?;
            return self.shown(&lines);
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut lines = Vec::new();
        if expression.chars().all(is_name) && !expression.starts_with(|c: char| c.is_numeric()) {
            lines = self.ask(&["print", expression])?;
            lines.retain(|line| line != "No such variable.");
        }
        if lines.is_empty() {
            // Code that is a statement has no value.
            lines = self.ask(&["eval", expression])?;
        }
        self.shown(&lines)
    }

    /// The value or error among the lines of an answer.
    fn shown(&mut self, lines: &[String]) -> io::Result<Result<Shown, String>> {
        let mut answer = Err("the session is over".to_owned());
        let mut is_endless = false;
        for line in lines {
            let value = line.strip_prefix("<value> ").or_else(|| line.strip_prefix("<retval> "));
            if let Some(value) = value {
                answer = Ok(Shown::read(value));
            } else if let Some(error) = line.strip_prefix("<error> ") {
                answer = Err(error.to_owned());
                is_endless |= error.contains(EVALUATION_TOO_LONG.trim_start_matches("ERR "));
            } else if line != "<endsession>" {
                self.tell_line(line)?;
            }
        }
        if is_endless {
            // The server has given up the program with the expression.
            self.abort();
        }
        Ok(answer)
    }

    /// Gives a local variable another value.
    pub(super) fn set_variable(&mut self, arguments: &Value) -> io::Result<Answer> {
        if self.state != State::Stopped {
            return Ok(Err(NOT_STOPPED.to_owned()));
        }
        if !self.is_ours {
            return Ok(Err("this server cannot change variables".to_owned()));
        }
        let number = arguments["variablesReference"].as_u64().unwrap_or(0);
        let text = |name: &str| arguments[name].as_str().unwrap_or_default();
        let (name, value) = (text("name"), text("value"));
        let Some(level) = self.opened.level(number) else {
            return Ok(Err("only local variables can be changed".to_owned()));
        };
        let lines = self.ask(&["assign", &level.to_string(), name, value])?;
        let answer = self.shown(&lines)?;
        Ok(answer.map(|shown| {
            self.opened.set(number, name, &shown);
            let reference = self.opened.add(&shown.children);
            json!({ "value": shown.text, "variablesReference": reference })
        }))
    }

    /// `redis CMD...` in the editor's console.
    fn run_command(&mut self, command: &str) -> io::Result<Answer> {
        let Some(words) = split_args(command.as_bytes()).filter(|words| !words.is_empty()) else {
            return Ok(Err("unbalanced quotes".to_owned()));
        };
        let words: Vec<Vec<u8>> = std::iter::once(b"redis".to_vec()).chain(words).collect();
        let lines = self.ask(&words)?;
        lines.iter().for_each(|line| self.remember(line));
        let shown = lines.iter().rev().find_map(|line| line.strip_prefix("<reply> "));
        let error = lines.iter().find_map(|line| line.strip_prefix("<error> "));
        Ok(match (shown, error) {
            (Some(reply), _) => Ok(json!({ "result": reply, "variablesReference": 0 })),
            (None, Some(error)) => Err(error.to_owned()),
            (None, None) => Err("the session is over".to_owned()),
        })
    }
}
