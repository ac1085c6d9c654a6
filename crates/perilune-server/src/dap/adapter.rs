//! The adapter: what each request of the editor does.

use super::Input;
use super::breakpoints::Breakpoint;
use super::launch::Launch;
use super::link::Link;
use super::values::{Opened, Shown};
use super::wire;
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
pub(super) type Answer = Result<Value, String>;

pub(super) const NOT_STOPPED: &str = "the program does not stand still";

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
    pub(super) launch: Option<Launch>,
    link: Option<Link>,
    pub(super) state: State,
    /// Number that the editor gives to the first line.
    pub(super) first_line: u64,
    /// At most one a line.
    pub(super) breakpoints: Vec<Breakpoint>,
    /// The session does not know `breakpoints` yet.
    breakpoints_changed: bool,
    /// The program was told to stand still for its breakpoints, and not by the user.
    pub(super) breakpoints_pause: bool,
    /// Number of the last breakpoint.
    last_breakpoint: u64,
    /// Breakpoints that the editor is to be told of when the session knows them.
    delayed: Vec<Value>,
    /// The session knows our own commands; see the module.
    pub(super) is_ours: bool,
    /// The user wants the program to stand still, which it does not yet.
    pub(super) pause_asked: bool,
    /// The program was told to run one line.
    pub(super) stepping: bool,
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
            breakpoints_pause: false,
            last_breakpoint: 0,
            delayed: Vec::new(),
            is_ours: false,
            pause_asked: false,
            stepping: false,
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
            "setVariable" => self.set_variable(arguments)?,
            "evaluate" => self.evaluate(arguments)?,
            "continue" | "next" | "stepIn" | "stepOut" => self.go_on(command)?,
            "pause" => self.pause(),
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
            "supportsConditionalBreakpoints": true,
            "supportsHitConditionalBreakpoints": true,
            "supportsLogPoints": true,
            "supportsSetVariable": true,
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
        let mut breakpoints = Vec::new();
        let mut answers = Vec::new();
        for wanted in arguments["breakpoints"].as_array().into_iter().flatten() {
            let read = match is_program {
                true => self.breakpoint_line(wanted),
                false => Err("this is not the program"),
            };
            match read.and_then(|line| Breakpoint::read(line, wanted)) {
                Ok(read) => {
                    let line = read.line + self.first_line - 1;
                    self.last_breakpoint += 1;
                    let answer = json!({
                        "id": self.last_breakpoint, "verified": true, "line": line,
                    });
                    answers.push(answer);
                    breakpoints.push(read);
                }
                Err(problem) => answers.push(json!({ "verified": false, "message": problem })),
            }
        }
        if is_program {
            breakpoints.dedup_by_key(|breakpoint| breakpoint.line);
            self.breakpoints = breakpoints;
            self.breakpoints_changed = true;
            self.delayed.clear();
            match self.state {
                State::Stopped => self.apply_breakpoints()?,
                // It says when it stands still, gets the breakpoints and goes on.
                State::Running if self.is_ours => {
                    self.breakpoints_pause = true;
                    self.send(&[b"pause".to_vec()]);
                }
                State::Running => self.delay(&mut answers),
                _ => {}
            }
        }
        Ok(Ok(json!({ "breakpoints": answers })))
    }

    /// The line, from 1, at which the program stops for what the editor wants.
    fn breakpoint_line(&self, wanted: &Value) -> Result<u64, &'static str> {
        let launch = self.launch.as_ref().ok_or("there is no program")?;
        let line = wanted["line"].as_u64().and_then(|line| (line + 1).checked_sub(self.first_line));
        let line = line.filter(|line| (1..=launch.line_count()).contains(line));
        let line = line.ok_or("there is no such line in the program")?;
        launch.code_line(line).ok_or("there is no code at this line or behind it")
    }

    /// Tells the editor that breakpoints have no effect before the program stands still.
    fn delay(&mut self, answers: &mut [Value]) {
        for answer in answers.iter_mut().filter(|answer| answer["verified"] == true) {
            self.delayed.push(answer.clone());
            answer["verified"] = false.into();
            answer["message"] = "this server takes it when the program stops the next time".into();
        }
    }

    /// Lets the session know the breakpoints, if they have changed.
    pub(super) fn apply_breakpoints(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.breakpoints_changed) {
            let mut words = vec!["break".to_owned(), "0".to_owned()];
            words.extend(self.breakpoints.iter().map(|breakpoint| breakpoint.line.to_string()));
            self.ask(&words)?;
        }
        for breakpoint in std::mem::take(&mut self.delayed) {
            self.event("breakpoint", json!({ "reason": "changed", "breakpoint": breakpoint }))?;
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

    /// Asks a program that runs to stand still; it does so a little later.
    fn pause(&mut self) -> Answer {
        match self.state {
            State::Running => {}
            State::Starting => {
                self.pause_asked = true;
                return Ok(json!({}));
            }
            _ => return Err("the program does not run".to_owned()),
        }
        if !self.is_ours {
            return Err("on this server a running program stops at breakpoints, and by itself \
                        when it runs longer than 'busy-reply-threshold'"
                .to_owned());
        }
        self.pause_asked = true;
        self.send(&[b"pause".to_vec()]);
        Ok(json!({}))
    }

    /// Ends a program that stands still. The session says so, and what comes of it.
    pub(super) fn abort(&mut self) {
        if self.state == State::Stopped {
            self.state = State::Running;
            self.opened.clear();
            self.send(&[b"abort".to_vec()]);
        }
    }

    pub(super) fn resume(&mut self, word: &str) -> io::Result<()> {
        self.state = State::Running;
        self.stepping = word == "step";
        self.opened.clear();
        self.send(&[word.as_bytes().to_vec()]);
        Ok(())
    }
}
