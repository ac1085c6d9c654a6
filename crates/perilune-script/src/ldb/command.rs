//! What the commands of the debugger do.

use super::{ABORTED, BREAKPOINTS_MAX, Ldb, show};
use crate::debug::{DebugFrame, DebugValue, Verdict};
use perilune_resp::{Protocol, ValueWriter, parse_int};
use std::time::Instant;

/// Lines shown on both sides of the current one.
const CONTEXT_LINES: i64 = 5;
/// Fewest bytes that values can be cut to.
const SHOWN_BYTES_MIN: i64 = 60;

pub(super) const UNKNOWN: &str =
    "<error> Unknown Redis Lua debugger command or wrong number of arguments.";

const HELP: &[&str] = &[
    "Commands, each with its first letter or in full:",
    "[h]elp               This text.",
    "[s]tep               Run the current line and stop at the next.",
    "[n]ext               The same.",
    "[c]ontinue           Run to the next breakpoint.",
    "[l]ist               Show the source around the current line.",
    "[l]ist [line]        Show the source around a line; 0 is the current one.",
    "[l]ist [line] [ctx]  The same with that many lines before and after it.",
    "[w]hole              Show all of the source.",
    "[p]rint              Show the local variables.",
    "[p]rint <var>        Show one variable, or KEYS or ARGV.",
    "[b]reak              Show the breakpoints.",
    "[b]reak <line>       Set a breakpoint.",
    "[b]reak -<line>      Remove a breakpoint.",
    "[b]reak 0            Remove all breakpoints.",
    "[t]race              Show the functions that are being called.",
    "[e]val <code>        Run Lua code. It does not see local variables.",
    "[r]edis <cmd>        Run a command of the server.",
    "[m]axlen [len]       Show or set the length at which values are cut; 0 is never.",
    "locals <level>       Show the local variables of a function; 0 is the innermost.",
    "inspect <level> <code>  Run Lua code that sees the variables of a function.",
    "assign <level> <var> <code>  Change a variable of a function.",
    "pause                While the script runs: stop where it is.",
    "[a]bort              End the script. What it changed in sync mode stays changed.",
    "",
    "In scripts:",
    "redis.debug(...)     Shows its arguments here.",
    "redis.breakpoint()   Stops before the next line.",
];

impl Ldb<'_> {
    /// Carries out one command. `None` when the program still stands still.
    pub(super) fn obey(&self, words: &[Vec<u8>], frame: &mut dyn DebugFrame) -> Option<Verdict> {
        let (name, args) = words.split_first()?;
        match name.to_ascii_lowercase().as_slice() {
            b"s" | b"step" | b"n" | b"next" => {
                self.step.set(true);
                return Some(Verdict::Continue);
            }
            b"c" | b"continue" => return Some(Verdict::Continue),
            b"a" | b"abort" => return Some(Verdict::Abort(ABORTED)),
            b"h" | b"help" => HELP.iter().for_each(|line| self.say(*line)),
            b"t" | b"trace" => self.trace(frame),
            b"m" | b"maxlen" => self.maxlen(args),
            b"b" | b"break" => self.set_breakpoints(args),
            b"e" | b"eval" if !args.is_empty() => self.eval(args, frame),
            b"r" | b"redis" if !args.is_empty() => self.redis(args, frame),
            b"p" | b"print" => match args {
                [name] => self.print(name, frame),
                _ => self.print_all(0, frame),
            },
            b"l" | b"list" => self.list(args),
            b"locals" | b"inspect" | b"assign" => match args.split_first() {
                Some((level, rest)) => self.at_level(&words[0], level, rest, frame),
                None => self.say(UNKNOWN),
            },
            b"w" | b"whole" => (1..=self.last_line()).for_each(|line| self.say_source(line)),
            _ => self.say(UNKNOWN),
        }
        None
    }

    fn last_line(&self) -> u32 {
        u32::try_from(self.source.len()).unwrap_or(u32::MAX)
    }

    fn list(&self, args: &[Vec<u8>]) {
        let number = |at: usize| args.get(at).map(|word| parse_int(word).unwrap_or(0));
        let around = number(0).filter(|line| *line > 0).unwrap_or(self.line.get().into());
        let context = number(1).unwrap_or(CONTEXT_LINES).max(0);
        self.list_around(around, context);
    }

    fn list_around(&self, line: i64, context: i64) {
        let first = line.saturating_sub(context).max(1);
        let last = line.saturating_add(context).min(self.last_line().into());
        for line in first..=last {
            self.say_source(line as u32);
        }
    }

    fn trace(&self, frame: &mut dyn DebugFrame) {
        for (at, level) in frame.stack().iter().enumerate() {
            let preposition = if at == 0 { "In" } else { "From" };
            let name = level.name.as_deref().unwrap_or("top level");
            self.say(format!("{preposition} {name}:"));
            self.say_source(level.line);
        }
    }

    fn maxlen(&self, args: &[Vec<u8>]) {
        if let [length] = args {
            let length = match parse_int(length).unwrap_or(0) {
                0 => 0,
                length => length.max(SHOWN_BYTES_MIN),
            };
            self.hinted.set(true);
            self.shown_bytes.set(usize::try_from(length).unwrap_or(usize::MAX));
        }
        match self.shown_bytes.get() {
            0 => self.say("<value> replies are unlimited."),
            bytes => self.say(format!("<value> replies are truncated at {bytes} bytes.")),
        }
    }

    fn set_breakpoints(&self, args: &[Vec<u8>]) {
        if args.is_empty() {
            return self.list_breakpoints();
        }
        for word in args {
            match parse_int(word) {
                None => self.say([b"Invalid argument:'", &word[..], b"'"].concat()),
                Some(0) => {
                    self.breakpoints.borrow_mut().clear();
                    self.say("All breakpoints removed.");
                }
                Some(line @ 1..) => self.add_breakpoint(line),
                Some(line) => self.remove_breakpoint(line.saturating_neg()),
            }
        }
    }

    fn list_breakpoints(&self) {
        let lines = self.breakpoints.borrow().clone();
        if lines.is_empty() {
            return self.say("No breakpoints set. Use 'b <line>' to add one.");
        }
        self.say(format!("{} breakpoints set:", lines.len()));
        lines.into_iter().for_each(|line| self.say_source(line));
    }

    fn add_breakpoint(&self, line: i64) {
        if self.breakpoints.borrow().len() == BREAKPOINTS_MAX {
            return self.say("Too many breakpoints set.");
        }
        let valid = u32::try_from(line).ok().filter(|line| *line <= self.last_line());
        match valid.filter(|line| !self.is_breakpoint(*line)) {
            None => self.say("Wrong line number."),
            Some(valid) => {
                self.breakpoints.borrow_mut().push(valid);
                self.list_around(line, 1);
            }
        }
    }

    fn remove_breakpoint(&self, line: i64) {
        let mut lines = self.breakpoints.borrow_mut();
        let found = lines.iter().position(|set| i64::from(*set) == line);
        match found {
            Some(at) => {
                lines.remove(at);
                self.say("Breakpoint removed.");
            }
            None => self.say("No breakpoint in the specified line."),
        }
    }

    fn say_value(&self, prefix: &str, value: &DebugValue) {
        let mut line = prefix.as_bytes().to_vec();
        show::append_value(&mut line, value);
        self.say_cut(line);
    }

    fn print(&self, name: &[u8], frame: &mut dyn DebugFrame) {
        let name = String::from_utf8_lossy(name);
        match frame.variable(&name).or_else(|| self.argument(&name)) {
            Some(value) => self.say_value("<value> ", &value),
            None => self.say("No such variable."),
        }
    }

    /// Keys and arguments by the names scripts have for them, for programs that get them otherwise.
    fn argument(&self, name: &str) -> Option<DebugValue> {
        let texts = match name {
            "KEYS" => self.arguments.keys,
            "ARGV" => self.arguments.args,
            _ => return None,
        };
        let pair = |(at, text): (u32, &&[u8])| {
            (DebugValue::Number(at.into()), DebugValue::Text(text.to_vec()))
        };
        Some(DebugValue::Table((1..).zip(texts).map(pair).collect()))
    }

    fn print_all(&self, level: usize, frame: &mut dyn DebugFrame) {
        let locals = frame.locals(level);
        if locals.is_empty() {
            self.say("No local variables in the current context.");
        }
        for (name, value) in &locals {
            self.say_value(&format!("<value> {name} = "), value);
        }
    }

    fn eval(&self, args: &[Vec<u8>], frame: &mut dyn DebugFrame) {
        self.say_result(|| frame.evaluate(&args.join(&b' ')));
    }

    /// The commands for a function of the trace, by its number.
    fn at_level(&self, name: &[u8], level: &[u8], args: &[Vec<u8>], frame: &mut dyn DebugFrame) {
        let levels = frame.stack().len();
        let level = parse_int(level).and_then(|level| usize::try_from(level).ok());
        let Some(level) = level.filter(|level| *level < levels) else {
            return self.say("<error> There is no such level, see 'trace'.");
        };
        match (name.to_ascii_lowercase().as_slice(), args) {
            (b"locals", []) => self.print_all(level, frame),
            (b"inspect", code @ [_, ..]) => {
                self.say_result(|| frame.evaluate_in(level, &code.join(&b' ')));
            }
            (b"assign", [variable, code @ ..]) if !code.is_empty() => {
                let variable = String::from_utf8_lossy(variable);
                self.say_result(|| frame.assign(level, &variable, &code.join(&b' ')));
            }
            _ => self.say(UNKNOWN),
        }
    }

    /// Says what an evaluation comes to, which may be ended when it takes too long.
    fn say_result(&self, evaluation: impl FnOnce() -> Result<DebugValue, Vec<u8>>) {
        self.evaluating.set(Some(Instant::now()));
        let result = evaluation();
        self.evaluating.set(None);
        match result {
            Ok(value) => self.say_value("<retval> ", &value),
            Err(message) => self.say([b"<error> ", &message[..]].concat()),
        }
    }

    fn redis(&self, args: &[Vec<u8>], frame: &mut dyn DebugFrame) {
        let argv: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let host = frame.host();
        // While it steps the session tells of commands and their replies.
        self.step.set(true);
        host.call(&argv, &mut ValueWriter::new(Protocol::Resp2));
        self.step.set(false);
    }
}
