//! Sessions with a scripted client and a program that stands where the test puts it.

use super::*;
use crate::debug::StackLevel;
use crate::host::{AclCheckError, LogLevel, ReplFlags, ScriptHost};
use perilune_resp::{ReplyWriter, encode_request, parse_reply};
use std::collections::VecDeque;

const SOURCE: &[u8] = b"local a = 1\nlocal b = 2\nredis.call('get', 'k')\nreturn a + b\n\r\n";

/// A client that has said everything beforehand.
#[derive(Default)]
struct Client {
    says: VecDeque<Vec<u8>>,
    heard: Vec<u8>,
}

impl Client {
    fn saying(commands: &[&str]) -> Self {
        let says = commands.iter().map(|command| {
            let mut request = Vec::new();
            encode_request(&command.split(' ').collect::<Vec<_>>(), &mut request);
            request
        });
        Client { says: says.collect(), heard: Vec::new() }
    }

    /// The lines of each message, joined by `|`.
    fn heard(&self) -> Vec<String> {
        let (mut rest, mut messages) = (&self.heard[..], Vec::new());
        while let Some((Value::Array(lines), length)) = parse_reply(rest).expect("RESP") {
            let text =
                |line: &Value| String::from_utf8_lossy(line.as_bytes().unwrap_or(b"?")).into();
            messages.push(lines.iter().map(text).collect::<Vec<String>>().join("|"));
            rest = &rest[length..];
        }
        messages
    }
}

impl DebugTransport for Client {
    fn send(&mut self, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
    }

    fn receive(&mut self, input: &mut Vec<u8>) -> Received {
        match self.says.pop_front() {
            None => Received::Closed,
            Some(bytes) if bytes.is_empty() => Received::Nothing,
            Some(bytes) => {
                input.extend_from_slice(&bytes);
                Received::Bytes
            }
        }
    }

    /// All but a pause is said while the program stands still.
    fn poll(&mut self, input: &mut Vec<u8>) -> Received {
        match self.says.front() {
            Some(bytes) if bytes.ends_with(b"pause\r\n") => self.receive(input),
            _ => Received::Nothing,
        }
    }
}

/// A server that replies to every command with a status, and ends the program when it was asked
/// often enough.
struct Server<'s, 't> {
    session: Option<&'s Ldb<'t>>,
    questions_left: usize,
}

impl ScriptHost for Server<'_, '_> {
    fn call(&mut self, argv: &[&[u8]], out: &mut dyn ReplyWriter) {
        if let Some(session) = self.session.filter(|session| session.shows_commands()) {
            session.show_command(argv);
            session.show_reply(&Value::Status(b"OK".to_vec()), Protocol::Resp2);
        }
        out.ok();
    }

    fn interrupt(&mut self) -> Interrupt {
        match self.questions_left.checked_sub(1) {
            None => Interrupt::Kill("ERR enough"),
            Some(left) => {
                self.questions_left = left;
                Interrupt::Continue
            }
        }
    }

    fn log(&mut self, _: LogLevel, _: &[u8], _: Option<u32>) {}

    fn protocol(&self) -> Protocol {
        Protocol::Resp2
    }

    fn set_protocol(&mut self, _: Protocol) {}

    fn set_repl(&mut self, _: ReplFlags) {}

    fn acl_check(&mut self, _: &[&[u8]]) -> Result<bool, AclCheckError> {
        Ok(true)
    }
}

struct Program<'s, 't> {
    line: u32,
    server: Server<'s, 't>,
}

impl DebugFrame for Program<'_, '_> {
    fn line(&self) -> u32 {
        self.line
    }

    fn locals(&mut self, level: usize) -> Vec<(String, DebugValue)> {
        let value = |line: u32| (format!("v{line}"), DebugValue::Number(line.into()));
        let first = level as u32 + 1;
        (first..self.line).map(value).collect()
    }

    fn variable(&mut self, name: &str) -> Option<DebugValue> {
        (name == "long").then(|| DebugValue::Text(vec![b'x'; 1000]))
    }

    fn stack(&mut self) -> Vec<StackLevel> {
        let level = |name: Option<&str>, line| StackLevel { name: name.map(str::to_owned), line };
        vec![level(Some("f"), self.line), level(None, 99)]
    }

    fn evaluate(&mut self, code: &[u8]) -> Result<DebugValue, Vec<u8>> {
        match code {
            b"bad code" => Err(b"what?".to_vec()),
            code => Ok(DebugValue::Text(code.to_vec())),
        }
    }

    fn evaluate_in(&mut self, level: usize, code: &[u8]) -> Result<DebugValue, Vec<u8>> {
        self.evaluate(&[code, format!(" at {level}").as_bytes()].concat())
    }

    fn assign(&mut self, level: usize, name: &str, code: &[u8]) -> Result<DebugValue, Vec<u8>> {
        self.evaluate(&[format!("{name} at {level} is ").as_bytes(), code].concat())
    }

    fn host(&mut self) -> &mut dyn ScriptHost {
        &mut self.server
    }
}

const INPUT: Invocation<'_> = Invocation { keys: &[b"k1"], args: &[b"a1", b"a2"] };

/// Lets a program of these lines run under a client that says these commands. What the client
/// heard, and the verdict on the last line that ran.
fn run(lines: &[u32], commands: &[&str]) -> (Vec<String>, Verdict) {
    let mut client = Client::saying(commands);
    let session = Ldb::new(&mut client, SOURCE, INPUT, 1000);
    let mut verdict = Verdict::Continue;
    for &line in lines {
        let server = Server { session: None, questions_left: 100 };
        verdict = session.on_line(&mut Program { line, server });
        if verdict != Verdict::Continue {
            break;
        }
    }
    session.finish();
    (client.heard(), verdict)
}

/// What the client heard in reply to one command at the second line.
fn reply_to(command: &str) -> String {
    let (heard, _) = run(&[2], &[command, "continue"]);
    assert_eq!(heard.len(), 3, "{heard:?}");
    heard[1].clone()
}

#[test]
fn a_program_runs_from_stop_to_stop() {
    let (heard, verdict) = run(&[1, 2, 3, 4], &["break 4", "s", "c", "n"]);
    assert_eq!(
        heard,
        [
            "* Stopped at 1, stop reason = step over|-> 1   local a = 1",
            "   3   redis.call('get', 'k')|  #4   return a + b",
            "* Stopped at 2, stop reason = step over|-> 2   local b = 2",
            "* Stopped at 4, stop reason = break point|->#4   return a + b",
            "<endsession>",
        ]
    );
    assert_eq!(verdict, Verdict::Continue);
}

#[test]
fn the_client_may_end_the_program_and_so_does_its_absence() {
    assert_eq!(run(&[1, 2], &["s", "abort"]).1, Verdict::Abort(ABORTED));
    assert_eq!(run(&[1, 2], &["s"]).1, Verdict::Abort(CLIENT_GONE));
}

#[test]
fn a_waiting_session_asks_the_server() {
    let says = (0..10).map(|_| Vec::new()).collect();
    let mut client = Client { says, ..Client::default() };
    let session = Ldb::new(&mut client, SOURCE, INPUT, 1000);
    let server = Server { session: None, questions_left: 3 };
    assert!(!session.is_waiting());
    let verdict = session.on_line(&mut Program { line: 1, server });
    assert_eq!(verdict, Verdict::Abort("ERR enough"));
    assert!(!session.is_waiting());
}

#[test]
fn what_is_no_command_ends_the_program() {
    let mut client = Client::default();
    client.says.push_back(b"step\r\n".to_vec());
    let session = Ldb::new(&mut client, SOURCE, INPUT, 1000);
    let server = Server { session: None, questions_left: 3 };
    let verdict = session.on_line(&mut Program { line: 1, server });
    assert_eq!(verdict, Verdict::Abort(PROTOCOL_ERROR));
    // An unknown word is only an unknown word.
    assert!(reply_to("nonsense").starts_with("<error> Unknown"));
    assert!(reply_to("eval").starts_with("<error> Unknown"));
}

#[test]
fn several_commands_may_come_at_once() {
    let mut both = Vec::new();
    encode_request(&["print", "v1"], &mut both);
    encode_request(&["continue"], &mut both);
    let mut client = Client::default();
    client.says.push_back(both);
    let session = Ldb::new(&mut client, SOURCE, INPUT, 1000);
    let server = Server { session: None, questions_left: 3 };
    assert_eq!(session.on_line(&mut Program { line: 1, server }), Verdict::Continue);
    drop(session);
    assert_eq!(client.heard()[1], "No such variable.");
}

#[test]
fn variables_are_shown() {
    assert_eq!(reply_to("p"), "<value> v1 = 1");
    assert_eq!(run(&[1], &["p", "c"]).0[1], "No local variables in the current context.");
    assert_eq!(reply_to("print nothing"), "No such variable.");
    // The program does not know them; the session does.
    assert_eq!(reply_to("p KEYS"), r#"<value> {"k1"}"#);
    assert_eq!(reply_to("p ARGV"), r#"<value> {"a1"; "a2"}"#);
}

#[test]
fn long_lines_are_cut_and_the_client_is_told_once_how_to_avoid_it() {
    let (heard, _) = run(&[1], &["p long", "p long", "m 10", "p long", "m 0", "p long", "c"]);
    let lengths: Vec<_> = heard.iter().map(String::len).collect();
    assert!(heard[1].contains(" ...|<hint> "));
    assert!(heard[2].ends_with("xx ...") && lengths[2] == SHOWN_BYTES + 4);
    assert_eq!(heard[3], "<value> replies are truncated at 60 bytes.");
    assert_eq!(lengths[4], 64);
    assert_eq!(heard[5], "<value> replies are unlimited.");
    assert_eq!(lengths[6], "<value> ".len() + 1002);
}

#[test]
fn the_source_is_listed() {
    let all =
        "   1   local a = 1|-> 2   local b = 2|   3   redis.call('get', 'k')|   4   return a + b";
    assert_eq!(reply_to("whole"), all);
    assert_eq!(reply_to("l"), all);
    assert_eq!(reply_to("list 4 1"), "   3   redis.call('get', 'k')|   4   return a + b");
    assert_eq!(reply_to("list 0 0"), "-> 2   local b = 2");
    assert_eq!(reply_to("list 100"), "");
    assert_eq!(
        reply_to("trace"),
        "In f:|-> 2   local b = 2|From top level:|   99  <out of range source code line>"
    );
}

#[test]
fn breakpoints_come_and_go() {
    assert_eq!(reply_to("b"), "No breakpoints set. Use 'b <line>' to add one.");
    assert_eq!(reply_to("b 0"), "All breakpoints removed.");
    assert_eq!(reply_to("b 5"), "Wrong line number.");
    assert_eq!(reply_to("b -1"), "No breakpoint in the specified line.");
    assert_eq!(reply_to("b x"), "Invalid argument:'x'");
    let many: Vec<String> = (0..=BREAKPOINTS_MAX).map(|line| line.to_string()).collect();
    let source = "x\n".repeat(BREAKPOINTS_MAX + 9);
    let all = format!("b {}", many.join(" "));
    let mut client = Client::saying(&[&all, "b 70", "b -7", "b", "c"]);
    let session = Ldb::new(&mut client, source.as_bytes(), INPUT, 1000);
    let server = Server { session: None, questions_left: 9 };
    session.on_line(&mut Program { line: 1, server });
    drop(session);
    let heard = client.heard();
    assert_eq!((&*heard[2], &*heard[3]), ("Too many breakpoints set.", "Breakpoint removed."));
    assert!(heard[4].starts_with("63 breakpoints set:|->#1 "));
}

#[test]
fn code_is_evaluated() {
    assert_eq!(reply_to("eval a + b"), r#"<retval> "a + b""#);
    assert_eq!(reply_to("e bad code"), "<error> what?");
}

#[test]
fn functions_of_the_trace_have_numbers() {
    assert_eq!(reply_to("locals 0"), "<value> v1 = 1");
    assert_eq!(reply_to("locals 1"), "No local variables in the current context.");
    assert_eq!(reply_to("inspect 1 a + b"), r#"<retval> "a + b at 1""#);
    assert_eq!(reply_to("ASSIGN 0 v1 1 + 2"), r#"<retval> "v1 at 0 is 1 + 2""#);
    for unknown in ["locals 2", "inspect -1 a", "assign x v1 2"] {
        assert_eq!(reply_to(unknown), "<error> There is no such level, see 'trace'.");
    }
    for wrong in ["locals", "locals 0 a", "inspect 0", "assign 0 v1"] {
        assert_eq!(reply_to(wrong), command::UNKNOWN);
    }
}

#[test]
fn a_program_that_runs_is_paused() {
    // The last pause comes when the program stands still already, and has no answer.
    let mut client = Client::saying(&["c", "pause", "pause", "p", "c"]);
    let session = Ldb::new(&mut client, SOURCE, INPUT, 60_000);
    let server = Server { session: None, questions_left: 9 };
    let mut program = Program { line: 1, server };
    session.on_line(&mut program);
    program.line = 2;
    assert_eq!(session.on_tick(&mut program), Verdict::Continue);
    assert_eq!(session.on_tick(&mut program), Verdict::Continue);
    drop(session);
    let heard = client.heard();
    assert_eq!(heard[1], "* Stopped at 2, stop reason = pause requested|-> 2   local b = 2");
    assert_eq!((&*heard[2], heard.len()), ("<value> v1 = 1", 3));
}

#[test]
fn commands_are_shown_while_stepping() {
    let mut client = Client::saying(&["redis set k v", "c"]);
    let session = Ldb::new(&mut client, SOURCE, INPUT, 1000);
    let server = Server { session: Some(&session), questions_left: 9 };
    let mut program = Program { line: 1, server };
    session.on_line(&mut program);
    // On the way to the next breakpoint nothing is shown.
    program.server.call(&[b"get", b"k"], &mut perilune_resp::ValueWriter::new(Protocol::Resp2));
    session.send();
    session.step.set(true);
    let words: Vec<&[u8]> = (0..13).map(|_| &b"w"[..]).collect();
    session.show_command(&words);
    session.show_refusal("ERR no");
    session.show_reply(&Value::Error(b"WRONG x".to_vec()), Protocol::Resp2);
    session.on_error(b"-ERR y");
    session.on_print(&[DebugValue::Nil, DebugValue::Text(b"a\nb".to_vec())]);
    session.send();
    drop(session);
    let heard = String::from_utf8(client.heard).expect("text");
    assert!(heard.contains("+<redis> set k v\r\n+<reply> \"+OK\"\r\n*0\r\n*6\r\n"), "{heard}");
    assert!(heard.contains("+<redis> w w w w w w w w w w ... (2 more)\r\n+<error> no\r\n"));
    assert!(heard.contains("+<error> -WRONG x\r\n+<reply> \"-WRONG x\"\r\n+<error> -ERR y\r\n"));
    assert!(heard.ends_with("+<debug> line 1: nil, \"a\\nb\"\r\n"));
}

#[test]
fn a_program_that_does_not_end_is_stopped() {
    let mut client = Client::saying(&["c", "c"]);
    let session = Ldb::new(&mut client, SOURCE, INPUT, 60_000);
    let server = Server { session: None, questions_left: 9 };
    let mut program = Program { line: 1, server };
    session.on_line(&mut program);
    assert_eq!(session.on_tick(&mut program), Verdict::Continue);
    let long_ago = Instant::now().checked_sub(Duration::from_secs(61)).expect("the clock runs");
    session.resumed.set(long_ago);
    program.line = 3;
    session.on_tick(&mut program);
    drop(session);
    let heard = client.heard();
    assert!(heard[1].starts_with("* Stopped at 3, stop reason = timeout reached, infinite loop?"));
}
