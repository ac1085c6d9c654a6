//! The hostile corpus in `tests/hostile`: scripts that attack the server, and what became of each.
//!
//! A file is a group of cases. A case begins with `--- NAME`, with the word `forever` behind it if
//! the script cannot end by itself; `--- then` begins another script of the same case, which runs
//! on a connection of its own. A script that is a library is loaded, and its function `FUNCTION` is
//! called. `--> TEXT` says what the reply must contain; where TEXT begins with
//! the sign of a status, error or number, how it must begin.
//!
//! While a script runs another client asks for signs of life and, once told that the server is
//! busy, has the script killed. Afterwards the connection must be in step, a key of old must be
//! there, and an ordinary script must work. The same runner works on any Redis-compatible server.

use crate::{Server, ServerBuilder, repository};
use perilune_resp::Value;
use perilune_testkit::Connection;
use std::io;
use std::time::{Duration, Instant};

/// Between two looks at the script's own connection.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// What is asked before a case and after it.
const SENTINEL: [&str; 2] = ["hostile:sentinel", "still here"];
/// An ordinary script, and its answer.
const ORDINARY: (&str, &str) =
    ("return redis.call('get', KEYS[1]) .. #ARGV .. cjson.encode({1})", "still here1[1]");
/// What the first line of a library begins with, and the function of it that is called.
const LIBRARY: &str = "#!lua name=";
const FUNCTION: &str = "hostile";
/// Memory that scripts of the group `memory` may take, where the server knows the parameter.
const MEMORY_LIMIT: &str = "64mb";

/// One attack.
#[derive(Debug, Clone)]
pub struct Case {
    /// The file it is from.
    pub group: String,
    /// What it attacks.
    pub name: String,
    /// It cannot end by itself.
    pub forever: bool,
    /// Scripts that run one after another.
    pub steps: Vec<Step>,
}

/// A script and what is known of its reply.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// The script.
    pub code: String,
    /// What the reply must contain, or begin with.
    pub expected: Option<String>,
}

/// Every case, by group.
///
/// # Panics
/// If the files cannot be read.
pub fn corpus() -> Vec<Case> {
    let folder = repository().join("tests/hostile");
    let files = std::fs::read_dir(folder).expect("the corpus is in the repository");
    let mut files: Vec<_> = files.map(|file| file.expect("readable").path()).collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let group = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).expect("scripts are text");
        parse(&group, &text, &mut cases);
    }
    cases
}

fn parse(group: &str, text: &str, cases: &mut Vec<Case>) {
    let mut is_inside = false;
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("--- ") {
            let (name, forever) = match head.strip_suffix(" forever") {
                Some(name) => (name, true),
                None => (head, false),
            };
            match cases.last_mut() {
                Some(case) if name == "then" => case.steps.push(Step::default()),
                _ => {
                    let (group, name) = (group.to_owned(), name.to_owned());
                    cases.push(Case { group, name, forever, steps: vec![Step::default()] });
                }
            }
            is_inside = true;
            continue;
        }
        let step = cases.last_mut().and_then(|case| case.steps.last_mut());
        let Some(step) = step.filter(|_| is_inside) else { continue };
        match line.strip_prefix("--> ") {
            Some(expected) => step.expected = Some(expected.to_owned()),
            None => step.code = step.code.clone() + line + "\n",
        }
    }
}

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The script ended by itself.
    Ended,
    /// It was killed.
    Killed,
    /// The server did not answer others, or did not kill the script, within the bound.
    Hung,
    /// The server is gone.
    Crashed,
    /// The server lives, but something is not as it must be.
    Wrong(String),
}

/// How a case went.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What became of it.
    pub outcome: Outcome,
    /// The longest that another client waited for an answer.
    pub worst_answer: Duration,
    /// How long the script went on after it was to be killed.
    pub worst_kill: Duration,
}

/// Runs cases on one server, which is started anew when a case was its end.
#[derive(Debug)]
pub struct Runner {
    builder: ServerBuilder,
    server: Option<Server>,
    bound: Duration,
}

/// Why a step went no further.
enum Stop {
    Hung,
    Crashed,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Stop::Hung,
            _ => Stop::Crashed,
        }
    }
}

/// Stands for a reply that nests deeper, or whose lines are longer, than a client takes.
fn unreadable() -> Value {
    Value::Push(Vec::new())
}

/// The reply, unless it is still to come.
fn received(victim: &mut Connection) -> Result<Option<Value>, Stop> {
    match victim.receive() {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Some(unreadable())),
        Err(error) => match Stop::from(error) {
            Stop::Hung => Ok(None),
            stop => Err(stop),
        },
    }
}

impl Runner {
    /// A runner for servers that this starts. Nothing may take longer than `bound`.
    pub fn new(builder: ServerBuilder, bound: Duration) -> Self {
        let builder = builder.set("busy-reply-threshold", "20");
        Self { builder, server: None, bound }
    }

    /// Runs one case.
    pub fn run(&mut self, case: &Case) -> Finding {
        let mut finding = Finding {
            outcome: Outcome::Ended,
            worst_answer: Duration::ZERO,
            worst_kill: Duration::ZERO,
        };
        if let Err(stop) = self.steps(case, &mut finding) {
            finding.outcome = match stop {
                Stop::Hung => Outcome::Hung,
                Stop::Crashed => Outcome::Crashed,
            };
            self.server = None;
        }
        finding
    }

    fn steps(&mut self, case: &Case, finding: &mut Finding) -> Result<(), Stop> {
        let bound = self.bound;
        let server = self.server.get_or_insert_with(|| self.builder.clone().start());
        let mut other = server.connect();
        other.reply_within(bound)?;
        other.run(&["SET", SENTINEL[0], SENTINEL[1]])?;
        let limit = if case.group == "memory" { MEMORY_LIMIT } else { "0" };
        let is_limited = other.run(&["CONFIG", "SET", "lua-memory-limit", limit])?;
        // Without a limit nothing but its end keeps such a script from taking all memory.
        let patience = match (case.group.as_str(), is_limited.as_error()) {
            ("memory", None) if !case.forever => bound,
            ("time" | "memory" | "functions", _) => Duration::ZERO,
            _ => bound / 4,
        };
        for step in &case.steps {
            let mut victim = server.connect();
            victim.reply_within(LOOK_EVERY)?;
            let mut reply = Value::Null;
            let is_library = step.code.starts_with(LIBRARY);
            if is_library {
                victim.send(&["FUNCTION", "LOAD", "REPLACE", &step.code])?;
                reply = watch(&mut victim, &mut other, bound, bound, finding)?;
            }
            if reply.as_error().is_none() {
                match is_library {
                    true => victim.send(&["FCALL", FUNCTION, "0"])?,
                    false => victim.send(&["EVAL", &step.code, "0"])?,
                }
                reply = watch(&mut victim, &mut other, patience, bound, finding)?;
            }
            if reply == unreadable() {
                victim = server.connect();
            }
            victim.reply_within(bound)?;
            if let Err(what) = check(step, &reply, &mut victim, &mut other)? {
                finding.outcome = Outcome::Wrong(what);
                return Ok(());
            }
        }
        other.run(&["FUNCTION", "FLUSH"])?;
        if case.forever && finding.outcome == Outcome::Ended {
            finding.outcome = Outcome::Wrong("ended by itself".to_owned());
        }
        Ok(())
    }
}

/// Asks for signs of life until the script's reply is there.
fn watch(
    victim: &mut Connection,
    other: &mut Connection,
    patience: Duration,
    bound: Duration,
    finding: &mut Finding,
) -> Result<Value, Stop> {
    let start = Instant::now();
    let mut killed_at: Option<Instant> = None;
    loop {
        if let Some(reply) = received(victim)? {
            if let Some(at) = killed_at {
                finding.worst_kill = finding.worst_kill.max(at.elapsed());
                finding.outcome = Outcome::Killed;
            }
            return Ok(reply);
        }
        let asked = Instant::now();
        let is_busy = other.run(&["PING"])?.as_error().is_some();
        finding.worst_answer = finding.worst_answer.max(asked.elapsed());
        let is_late = killed_at.is_some_and(|at| at.elapsed() > bound);
        if is_late || start.elapsed() > bound * 4 {
            return Err(Stop::Hung);
        }
        if is_busy && killed_at.is_none() && start.elapsed() >= patience {
            for kind in ["SCRIPT", "FUNCTION"] {
                if other.run(&[kind, "KILL"])?.as_error().is_none() {
                    killed_at = Some(asked);
                    break;
                }
            }
        }
    }
}

/// Checks the reply and that nothing else has changed.
fn check(
    step: &Step,
    reply: &Value,
    victim: &mut Connection,
    other: &mut Connection,
) -> Result<Result<(), String>, Stop> {
    let shown = show(reply);
    if let Some(expected) = &step.expected {
        let fits = match expected.starts_with(['+', '-', ':']) {
            true => shown.starts_with(expected),
            false => shown.contains(expected),
        };
        if !fits {
            return Ok(Err(format!("answered {shown:.100}")));
        }
    }
    for client in [victim, other] {
        if client.run(&["ECHO", "in step"])? != Value::bulk("in step") {
            return Ok(Err("the connection is out of step".to_owned()));
        }
        if client.run(&["GET", SENTINEL[0]])? != Value::bulk(SENTINEL[1]) {
            return Ok(Err("the keyspace has changed".to_owned()));
        }
        let answer = client.run(&["EVAL", ORDINARY.0, "1", SENTINEL[0], "argument"])?;
        if answer != Value::bulk(ORDINARY.1) {
            return Ok(Err(format!("the next script answered {:.100}", show(&answer))));
        }
    }
    Ok(Ok(()))
}

/// A reply as text, with the sign of its kind.
fn show(reply: &Value) -> String {
    match reply {
        Value::Status(text) => format!("+{}", String::from_utf8_lossy(text)),
        Value::Error(text) => format!("-{}", String::from_utf8_lossy(text)),
        Value::Int(value) => format!(":{value}"),
        other => match other.as_bytes() {
            Some(text) => String::from_utf8_lossy(text).into_owned(),
            None => format!("{other:?}"),
        },
    }
}
