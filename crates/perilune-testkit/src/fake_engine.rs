//! A script engine for tests: [`FakeEngine`].

use perilune_resp::{Protocol, ReplyWriter, Value, ValueWriter};
use perilune_script::{
    CompileError, FunctionSpec, Handle, Interrupt, Invocation, LogLevel, ScriptEngine, ScriptError,
    ScriptFlags, ScriptHost,
};
use std::collections::BTreeMap;

/// An engine for a language of a few words, called `fake`.
///
/// A script is a sequence of lines, run one after the other until one replies; without a reply it
/// answers null.
///
/// ```text
/// return 5            replies with an integer
/// echo keys           replies with the keys; or args
/// call set $k1 $a1    runs a command and replies with its reply; an error ends the script
/// try get x           runs a command and forgets its reply
/// resp 3              chooses the protocol of replies
/// log text            writes to the log
/// error CODE text     ends the script with an error
/// loop                runs until it is killed
/// ```
///
/// A library has a line `function NAME [flags=a,b]` before the lines of each function. Lines
/// before the first one run when the library is loaded.
#[derive(Debug, Default)]
pub struct FakeEngine {
    programs: BTreeMap<u64, Program>,
    next: u64,
}

/// What a script may run in without naming a place.
#[derive(Debug)]
struct Program {
    /// With their line numbers.
    steps: Vec<(usize, Step)>,
    chunk: &'static str,
}

#[derive(Debug)]
enum Step {
    Return(i64),
    EchoKeys,
    EchoArgs,
    Call(Vec<String>),
    Try(Vec<String>),
    Resp(Protocol),
    Log(String),
    Error(String),
    Loop,
}

impl Step {
    fn parse(line: &str) -> Option<Step> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words = || rest.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        Some(match (word, rest) {
            ("return", number) => Step::Return(number.parse().ok()?),
            ("echo", "keys") => Step::EchoKeys,
            ("echo", "args") => Step::EchoArgs,
            ("call", _) => Step::Call(words()),
            ("try", _) => Step::Try(words()),
            ("resp", "2") => Step::Resp(Protocol::Resp2),
            ("resp", "3") => Step::Resp(Protocol::Resp3),
            ("log", text) => Step::Log(text.to_owned()),
            ("error", text) => Step::Error(text.to_owned()),
            ("loop", "") => Step::Loop,
            _ => return None,
        })
    }
}

impl Program {
    fn run(
        &self,
        input: Invocation<'_>,
        host: &mut dyn ScriptHost,
        out: &mut dyn ReplyWriter,
    ) -> Result<(), ScriptError> {
        for (line, step) in &self.steps {
            let place = Some((self.chunk.as_bytes().to_vec(), line.to_string().into_bytes()));
            let fail = |text: &[u8], counted| ScriptError { text: text.to_vec(), place, counted };
            match step {
                Step::Return(number) => {
                    out.int(*number);
                    return Ok(());
                }
                Step::EchoKeys => {
                    echo(input.keys, out);
                    return Ok(());
                }
                Step::EchoArgs => {
                    echo(input.args, out);
                    return Ok(());
                }
                Step::Call(words) => {
                    return match call(words, input, host) {
                        Value::Error(text) => Err(fail(&text, true)),
                        reply => {
                            reply.write(out);
                            Ok(())
                        }
                    };
                }
                Step::Try(words) => drop(call(words, input, host)),
                Step::Resp(protocol) => host.set_protocol(*protocol),
                Step::Log(text) => {
                    host.log(LogLevel::Notice, text.as_bytes(), u32::try_from(*line).ok())
                }
                Step::Error(text) => return Err(fail(text.as_bytes(), false)),
                Step::Loop => loop {
                    if let Interrupt::Kill(text) = host.interrupt() {
                        return Err(fail(text.as_bytes(), false));
                    }
                },
            }
        }
        out.null();
        Ok(())
    }
}

fn echo(values: &[&[u8]], out: &mut dyn ReplyWriter) {
    out.array(values.len());
    values.iter().for_each(|value| out.bulk(value));
}

/// Runs a command, with `$k1` and `$a1` replaced by the first key and argument.
fn call(words: &[String], input: Invocation<'_>, host: &mut dyn ScriptHost) -> Value {
    let from = |values: &[&[u8]], number: &str| {
        let index = number.parse::<usize>().ok()?.checked_sub(1)?;
        values.get(index).map(|value| value.to_vec())
    };
    let argument = |word: &String| {
        let keyed = word.strip_prefix("$k").and_then(|number| from(input.keys, number));
        let given = || word.strip_prefix("$a").and_then(|number| from(input.args, number));
        keyed.or_else(given).unwrap_or_else(|| word.as_bytes().to_vec())
    };
    let argv: Vec<Vec<u8>> = words.iter().map(argument).collect();
    let argv: Vec<&[u8]> = argv.iter().map(Vec::as_slice).collect();
    let mut reply = ValueWriter::new(host.protocol());
    host.call(&argv, &mut reply);
    reply.into_value().unwrap_or(Value::Null)
}

impl FakeEngine {
    /// An engine without scripts.
    pub fn new() -> Self {
        FakeEngine::default()
    }

    /// Number of scripts and functions it remembers.
    pub fn remembered(&self) -> usize {
        self.programs.len()
    }

    fn add(&mut self, program: Program) -> Handle {
        self.next += 1;
        self.programs.insert(self.next, program);
        Handle(self.next)
    }
}

/// Reads the lines of a program, or of a library whose functions start at `function` lines.
fn parse(source: &[u8], chunk: &'static str) -> Result<Vec<(String, Program)>, CompileError> {
    let text = String::from_utf8_lossy(source);
    let mut parts = vec![(String::new(), Program { steps: Vec::new(), chunk })];
    for (at, line) in text.lines().enumerate() {
        let (number, line) = (at + 1, line.trim());
        if let Some(head) = line.strip_prefix("function ") {
            parts.push((head.to_owned(), Program { steps: Vec::new(), chunk }));
        } else if !line.is_empty() {
            let step = Step::parse(line).ok_or_else(|| CompileError {
                message: format!("{chunk}:{number}: unknown word in '{line}'"),
            })?;
            if let Some((_, part)) = parts.last_mut() {
                part.steps.push((number, step));
            }
        }
    }
    Ok(parts)
}

/// Reads `NAME [flags=a,b]`.
fn parse_head(head: &str) -> Result<(Vec<u8>, ScriptFlags), CompileError> {
    let (name, options) = head.split_once(' ').unwrap_or((head, ""));
    let mut flags = ScriptFlags::NONE;
    for flag in options.strip_prefix("flags=").unwrap_or_default().split(',') {
        match ScriptFlags::by_name(flag.as_bytes()) {
            Some(known) => flags = flags.union(known),
            None if flag.is_empty() => {}
            None => return Err(CompileError { message: format!("unknown flag given: {flag}") }),
        }
    }
    Ok((name.as_bytes().to_vec(), flags))
}

impl ScriptEngine for FakeEngine {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn compile(
        &mut self,
        source: &[u8],
        _id: &str,
        _host: &mut dyn ScriptHost,
    ) -> Result<Handle, CompileError> {
        let mut parts = parse(source, "@user_script")?;
        match (parts.pop(), parts.is_empty()) {
            (Some((_, program)), true) => Ok(self.add(program)),
            _ => Err(CompileError { message: "a script has no functions".to_owned() }),
        }
    }

    fn call(
        &mut self,
        handle: Handle,
        input: Invocation<'_>,
        host: &mut dyn ScriptHost,
        out: &mut dyn ReplyWriter,
    ) -> Result<(), ScriptError> {
        match self.programs.get(&handle.0) {
            Some(program) => program.run(input, host, out),
            None => {
                Err(ScriptError { text: b"ERR unknown script".to_vec(), ..ScriptError::default() })
            }
        }
    }

    fn load_library(
        &mut self,
        code: &[u8],
        host: &mut dyn ScriptHost,
    ) -> Result<Vec<FunctionSpec>, CompileError> {
        let refuse = |what: &str| CompileError { message: format!("Error {what}") };
        let mut parts = parse(code, "@user_function")
            .map_err(|error| refuse(&format!("compiling function: {error}")))?
            .into_iter();
        if let Some((_, start)) = parts.next() {
            let none = Invocation { keys: &[], args: &[] };
            start.run(none, host, &mut ValueWriter::new(Protocol::Resp2)).map_err(|error| {
                let text = String::from_utf8_lossy(&error.text).into_owned();
                refuse(&format!("registering functions: {text}"))
            })?;
        }
        let parts: Vec<_> = parts
            .map(|(head, program)| Ok((parse_head(&head)?, program)))
            .collect::<Result<_, CompileError>>()?;
        let register = |((name, flags), program)| FunctionSpec {
            name,
            description: None,
            flags,
            handle: self.add(program),
        };
        Ok(parts.into_iter().map(register).collect())
    }

    fn forget(&mut self, handle: Handle) {
        self.programs.remove(&handle.0);
    }

    fn memory_used(&self) -> usize {
        self.programs.len() * size_of::<Program>()
    }
}
