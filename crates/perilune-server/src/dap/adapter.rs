//! The adapter: what each request of the editor does.

use super::Input;
use super::launch::Launch;
use super::link::Link;
use super::values::{Opened, Shown};
use super::wire;
use perilune_resp::split_args;
use perilune_script::ScriptEngine;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender};

/// Where the program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Not launched, or launched and not configured.
    Idle,
    /// On its way to its first line.
    Starting,
    /// Running.
    Running,
    /// Standing still.
    Stopped,
    /// Its session is over, its reply is to come.
    Ending,
    /// Gone.
    Over,
}

/// What a request is answered with: a body, or a message.
type Answer = Result<Value, String>;

const NOT_STOPPED: &str = "the program does not stand still";

/// Serves one editor.
pub(super) struct Adapter<W> {
    output: W,
    /// Number of the last message that was sent.
    sequence: u64,
    pub(super) inputs: Receiver<Input>,
    /// Feeds `inputs`; for sessions to come.
    sender: Sender<Input>,
    /// What came while something else was waited for.
    pub(super) backlog: VecDeque<Input>,
    engines: fn() -> Vec<Box<dyn ScriptEngine>>,
    launch: Option<Launch>,
    link: Option<Link>,
    pub(super) state: State,
    /// Number that the editor gives to the first line.
    first_line: u64,
    /// Lines, from 1.
    pub(super) breakpoints: Vec<u64>,
    /// The session does not know `breakpoints` yet.
    breakpoints_changed: bool,
    pub(super) opened: Opened,
    /// Commands and their replies.
    pub(super) replies: Vec<(String, Shown)>,
    /// The command whose reply is to come.
    pub(super) command: String,
}

impl<W: Write> Adapter<W> {
    pub(super) fn new(
        output: W,
        inputs: Receiver<Input>,
        sender: Sender<Input>,
        engines: fn() -> Vec<Box<dyn ScriptEngine>>,
    ) -> Self {
        Adapter {
            output,
            sequence: 0,
            inputs,
            sender,
            backlog: VecDeque::new(),
            engines,
            launch: None,
            link: None,
            state: State::Idle,
            first_line: 1,
            breakpoints: Vec::new(),
            breakpoints_changed: false,
            opened: Opened::default(),
            replies: Vec::new(),
            command: String::new(),
        }
    }

    /// Serves until the editor disconnects.
    pub(super) fn serve(&mut self) -> io::Result<()> {
        loop {
            let waiting = self.backlog.pop_front();
            let Some(input) = waiting.or_else(|| self.inputs.recv().ok()) else { return Ok(()) };
            match input {
                Input::Request(request) => {
                    if self.handle(&request)? {
                        return Ok(());
                    }
                }
                Input::Session(reply) => self.on_session(&reply)?,
                Input::SessionClosed => self.on_end(1)?,
                Input::Log(line) => self.tell("stdout", &format!("{line}\n"))?,
                Input::EditorGone(error) => {
                    self.end_program();
                    return error.map_or(Ok(()), Err);
                }
            }
        }
    }

    /// Does what a request asks and answers it. True when it was the last.
    fn handle(&mut self, request: &Value) -> io::Result<bool> {
        let command = request["command"].as_str().unwrap_or_default();
        let arguments = &request["arguments"];
        let answer = match command {
            "initialize" => self.initialize(arguments),
            "launch" => self.launch(arguments),
            "setBreakpoints" => self.set_breakpoints(arguments)?,
            // None was offered, so none can be asked for.
            "setExceptionBreakpoints" => Ok(json!({})),
            "configurationDone" => self.start(),
            "threads" => Ok(json!({ "threads": [{ "id": 1, "name": "script" }] })),
            "stackTrace" => self.stack_trace(arguments)?,
            "scopes" => self.scopes(arguments)?,
            "variables" => self.variables(arguments),
            "evaluate" => self.evaluate(arguments)?,
            "continue" | "next" | "stepIn" | "stepOut" => self.go_on(command)?,
            "pause" => Err("a running program stops at breakpoints, and by itself when it runs \
                            longer than 'busy-reply-threshold'"
                .to_owned()),
            "terminate" | "disconnect" => Ok(json!({})),
            _ => Err(format!("'{command}' is not supported")),
        };
        let succeeded = answer.is_ok();
        self.respond(request, command, answer)?;
        match command {
            // Only now does the adapter know the program that breakpoints are for.
            "launch" if succeeded => self.event("initialized", json!({}))?,
            "terminate" => {
                self.end_program();
                self.on_end(1)?;
            }
            "disconnect" => {
                self.end_program();
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }

    fn respond(&mut self, request: &Value, command: &str, answer: Answer) -> io::Result<()> {
        let mut message = json!({
            "type": "response",
            "request_seq": request["seq"],
            "command": command,
            "success": answer.is_ok(),
        });
        match answer {
            Ok(body) => message["body"] = body,
            Err(text) => message["message"] = text.into(),
        }
        self.write(message)
    }

    pub(super) fn event(&mut self, event: &str, body: Value) -> io::Result<()> {
        self.write(json!({ "type": "event", "event": event, "body": body }))
    }

    fn write(&mut self, mut message: Value) -> io::Result<()> {
        self.sequence += 1;
        message["seq"] = self.sequence.into();
        wire::write(&mut self.output, &message)
    }

    /// Sends words to the session. One that is gone is told of by the end of its input.
    pub(super) fn send(&mut self, words: &[Vec<u8>]) {
        if let Some(link) = &mut self.link
            && link.send(words).is_err()
        {
            link.close();
        }
    }

    fn end_program(&mut self) {
        if let Some(link) = &self.link {
            link.close();
        }
    }

    pub(super) fn stops_on_entry(&self) -> bool {
        self.launch.as_ref().is_some_and(|launch| launch.stop_on_entry)
    }

    fn initialize(&mut self, arguments: &Value) -> Answer {
        self.first_line = u64::from(arguments["linesStartAt1"].as_bool().unwrap_or(true));
        Ok(json!({
            "supportsConfigurationDoneRequest": true,
            "supportsEvaluateForHovers": true,
            "supportsTerminateRequest": true,
        }))
    }

    fn launch(&mut self, arguments: &Value) -> Answer {
        if self.launch.is_some() {
            return Err("there is a program already".to_owned());
        }
        let launch = Launch::read(arguments)?;
        self.link = Some(Link::open(&launch, (self.engines)(), &self.sender)?);
        self.launch = Some(launch);
        Ok(json!({}))
    }

    fn start(&mut self) -> Answer {
        let Some(launch) = self.launch.as_ref().filter(|_| self.state == State::Idle) else {
            return Err("there is no program to start".to_owned());
        };
        let command = launch.command();
        self.state = State::Starting;
        self.send(&command);
        Ok(json!({}))
    }

    fn set_breakpoints(&mut self, arguments: &Value) -> io::Result<Answer> {
        let Some(launch) = &self.launch else { return Ok(Err("there is no program".to_owned())) };
        let path = arguments["source"]["path"].as_str().unwrap_or_default();
        let is_program = std::path::Path::new(path) == launch.program;
        let line_count = launch.line_count();
        let mut lines = Vec::new();
        let mut answers = Vec::new();
        for wanted in arguments["breakpoints"].as_array().into_iter().flatten() {
            let line = wanted["line"].as_u64().map(|line| line + 1 - self.first_line);
            let line = line.filter(|line| is_program && (1..=line_count).contains(line));
            let conditions = ["condition", "hitCondition", "logMessage"];
            let problem = match line {
                None => Some("there is no such line in the program"),
                Some(_) if conditions.iter().any(|name| wanted.get(*name).is_some()) => {
                    Some("breakpoints can't have conditions or messages")
                }
                Some(_) => None,
            };
            match (line, problem) {
                (Some(line), None) => {
                    lines.push(line);
                    answers.push(json!({ "verified": true, "line": line + self.first_line - 1 }));
                }
                (_, problem) => answers.push(json!({ "verified": false, "message": problem })),
            }
        }
        if is_program {
            lines.dedup();
            self.breakpoints = lines;
            self.breakpoints_changed = true;
            if self.state == State::Stopped {
                self.apply_breakpoints()?;
            }
        }
        Ok(Ok(json!({ "breakpoints": answers })))
    }

    /// Lets the session know the breakpoints, if they have changed.
    pub(super) fn apply_breakpoints(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.breakpoints_changed) {
            let mut words = vec!["break".to_owned(), "0".to_owned()];
            words.extend(self.breakpoints.iter().map(u64::to_string));
            self.ask(&words)?;
        }
        Ok(())
    }

    fn go_on(&mut self, command: &str) -> io::Result<Answer> {
        if self.state != State::Stopped {
            return Ok(Err(NOT_STOPPED.to_owned()));
        }
        self.resume(if command == "continue" { "continue" } else { "step" })?;
        Ok(Ok(json!({ "allThreadsContinued": true })))
    }

    pub(super) fn resume(&mut self, word: &str) -> io::Result<()> {
        self.state = State::Running;
        self.opened.clear();
        self.send(&[word.as_bytes().to_vec()]);
        Ok(())
    }

    fn stack_trace(&mut self, arguments: &Value) -> io::Result<Answer> {
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

    fn scopes(&mut self, arguments: &Value) -> io::Result<Answer> {
        if self.state != State::Stopped {
            return Ok(Err(NOT_STOPPED.to_owned()));
        }
        let mut scopes = Vec::new();
        // The session shows the variables of the innermost function only.
        if arguments["frameId"] == 1 {
            let lines = self.ask(&["print"])?;
            let local = |line: &String| {
                let (name, value) = line.strip_prefix("<value> ")?.split_once(" = ")?;
                Some((name.to_owned(), Shown::read(value)))
            };
            let locals: Vec<_> = lines.iter().filter_map(local).collect();
            scopes.push(json!({
                "name": "Locals",
                "presentationHint": "locals",
                "variablesReference": self.opened.add(&locals),
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

    fn variables(&mut self, arguments: &Value) -> Answer {
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

    fn evaluate(&mut self, arguments: &Value) -> io::Result<Answer> {
        if self.state != State::Stopped {
            return Ok(Err(NOT_STOPPED.to_owned()));
        }
        let expression = arguments["expression"].as_str().unwrap_or_default().trim();
        if let Some(command) = expression.strip_prefix("redis ") {
            return self.run_command(command);
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
        let mut answer = Err("the session is over".to_owned());
        for line in &lines {
            let value = line.strip_prefix("<value> ").or_else(|| line.strip_prefix("<retval> "));
            if let Some(value) = value {
                answer = Ok(Shown::read(value));
            } else if let Some(error) = line.strip_prefix("<error> ") {
                answer = Err(error.to_owned());
            } else if line != "<endsession>" {
                self.tell_line(line)?;
            }
        }
        Ok(answer.map(|shown| {
            let reference = self.opened.add(&shown.children);
            json!({ "result": shown.text, "variablesReference": reference })
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
