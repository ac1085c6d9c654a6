//! The Lua debugger over a socket, and under `redis-cli --ldb`.

use perilune_resp::Value;
use perilune_testkit::Connection;
use perilune_tests::{Server, eventually, ok};
use std::io::Write;
use std::process::{Command, Stdio};

const SCRIPT: &str = "local a = 1\nredis.call('set', KEYS[1], ARGV[1])\nreturn a + 1";

const FIRST_STOP: &[&str] = &["* Stopped at 1, stop reason = step over", "-> 1   local a = 1"];

/// The lines of a message of the debugger.
fn lines(reply: Value) -> Vec<String> {
    let Value::Array(items) = reply else { panic!("the debugger sends arrays, not {reply:?}") };
    let text = |item: &Value| match item {
        Value::Status(text) => String::from_utf8_lossy(text).into_owned(),
        other => panic!("the debugger sends lines, not {other:?}"),
    };
    items.iter().map(text).collect()
}

fn say(client: &mut Connection, words: &[&str]) -> Vec<String> {
    lines(client.run(words).expect("an answer"))
}

/// Begins to debug and waits for the first stop.
fn debug(server: &Server, mode: &str, words: &[&str]) -> Connection {
    let mut client = server.connect();
    assert_eq!(client.run(&["SCRIPT", "DEBUG", mode]).expect("a reply"), ok());
    assert_eq!(say(&mut client, words), FIRST_STOP);
    client
}

/// Runs to the end of the script, whose reply comes last.
fn finish(mut client: Connection) -> Value {
    let last = say(&mut client, &["continue"]);
    assert_eq!(last.last().map(String::as_str), Some("<endsession>"), "{last:?}");
    let reply = client.receive().expect("the reply of the script");
    assert_eq!(client.read_to_end().expect("the server closes"), b"");
    reply
}

fn get(server: &Server, key: &str) -> Value {
    server.connect().run(&["GET", key]).expect("a reply")
}

fn is_busy(reply: &Value) -> bool {
    reply.as_error().is_some_and(|text| text.starts_with(b"BUSY"))
}

#[test]
fn in_sync_mode_the_data_change_and_others_are_told_to_wait() {
    let server = Server::start();
    let mut client = debug(&server, "sync", &["EVAL", SCRIPT, "1", "k", "v"]);
    assert!(is_busy(&get(&server, "k")));
    assert_eq!(say(&mut client, &["print", "ARGV"]), [r#"<value> {"v"}"#]);
    assert_eq!(say(&mut client, &["step"])[1], "-> 2   redis.call('set', KEYS[1], ARGV[1])");
    let stop = say(&mut client, &["next"]);
    assert_eq!(stop[..2], ["<redis> set k v", "<reply> \"+OK\""]);
    assert_eq!(say(&mut client, &["redis", "get", "k"])[1], "<reply> \"v\"");
    assert_eq!(say(&mut client, &["eval", "KEYS[1]"]), ["<retval> \"k\""]);
    assert_eq!(finish(client), Value::Int(2));
    assert_eq!(get(&server, "k"), Value::bulk("v"));
}

#[test]
fn in_yes_mode_nobody_notices() {
    let server = Server::start();
    let mut other = server.connect();
    assert_eq!(other.run(&["SET", "seen", "x"]).expect("a reply"), ok());
    let mut client = debug(&server, "yes", &["EVAL", SCRIPT, "1", "k", "v"]);
    assert_eq!(say(&mut client, &["redis", "get", "seen"])[1], "<reply> \"x\"");
    say(&mut client, &["step"]);
    assert_eq!(say(&mut client, &["step"])[1], "<reply> \"+OK\"");
    assert_eq!(say(&mut client, &["redis", "get", "k"])[1], "<reply> \"v\"");
    assert_eq!(get(&server, "k"), Value::Null);
    assert_eq!(other.run(&["SET", "k", "mine"]).expect("a reply"), ok());
    assert_eq!(finish(client), Value::Int(2));
    assert_eq!(get(&server, "k"), Value::bulk("mine"));
    // The connection is forgotten like any other.
    eventually("the client to be gone", || {
        let list = other.run(&["CLIENT", "LIST"]).expect("a reply");
        let text = String::from_utf8_lossy(list.as_bytes().unwrap_or_default()).into_owned();
        (text.lines().count() == 1).then_some(())
    });
}

#[test]
fn functions_are_debugged_too() {
    let server = Server::start();
    let library = "#!lua name=lib\nlocal n = 5\nredis.register_function('f', function(keys)\n  \
                   local sum = n + #keys\n  return sum\nend)";
    let mut admin = server.connect();
    assert_eq!(admin.run(&["FUNCTION", "LOAD", library]).expect("a reply"), Value::bulk("lib"));
    for mode in ["sync", "yes"] {
        let mut client = server.connect();
        assert_eq!(client.run(&["SCRIPT", "DEBUG", mode]).expect("a reply"), ok());
        let stop = say(&mut client, &["FCALL", "f", "1", "key"]);
        assert_eq!(stop[1], "-> 4     local sum = n + #keys");
        assert_eq!(say(&mut client, &["print", "n"]), ["<value> 5"]);
        assert_eq!(say(&mut client, &["print", "KEYS"]), [r#"<value> {"key"}"#]);
        assert_eq!(say(&mut client, &["break", "5"])[1], "  #5     return sum");
        let stop = say(&mut client, &["continue"]);
        assert_eq!(stop[0], "* Stopped at 5, stop reason = break point");
        assert_eq!(say(&mut client, &["print", "sum"]), ["<value> 6"]);
        assert_eq!(finish(client), Value::Int(6));
    }
}

#[test]
fn a_session_ends_with_its_client() {
    let server = Server::start();
    for mode in ["sync", "yes"] {
        let client = debug(&server, mode, &["EVAL", SCRIPT, "1", "k", "v"]);
        drop(client);
        eventually("the engine to be free", || (!is_busy(&get(&server, "k"))).then_some(()));
        assert_eq!(get(&server, "k"), Value::Null, "the script did not go on");
    }
}

#[test]
fn others_can_end_a_session() {
    let server = Server::start();
    let mut client = debug(&server, "sync", &["EVAL", SCRIPT, "1", "k", "v"]);
    say(&mut client, &["step"]);
    say(&mut client, &["step"]);
    // Its user could abort it after the write, and so may others.
    assert_eq!(server.connect().run(&["SCRIPT", "KILL"]).expect("a reply"), ok());
    assert_eq!(lines(client.receive().expect("the end")), ["<endsession>"]);
    let reply = client.receive().expect("a reply");
    assert!(reply.as_error().is_some_and(|text| text.starts_with(b"ERR Script killed")));
    assert_eq!(get(&server, "k"), Value::bulk("v"));

    let mut client = debug(&server, "yes", &["EVAL", SCRIPT, "1", "k", "v"]);
    let killed = server.connect().run(&["CLIENT", "KILL", "TYPE", "normal"]).expect("a reply");
    assert_eq!(killed, Value::Int(1));
    assert_eq!(lines(client.receive().expect("the end")), ["<endsession>"]);
}

#[test]
fn copies_are_few() {
    let server = Server::start();
    let words = ["EVAL", SCRIPT, "1", "k", "v"];
    let sessions: Vec<_> = (0..4).map(|_| debug(&server, "yes", &words)).collect();
    let mut client = server.connect();
    assert_eq!(client.run(&["SCRIPT", "DEBUG", "yes"]).expect("a reply"), ok());
    assert_eq!(say(&mut client, &words), ["<endsession>"]);
    let reply = client.receive().expect("a reply");
    assert!(reply.as_error().is_some_and(|text| text.starts_with(b"ERR too many")), "{reply:?}");
    for session in sessions {
        assert_eq!(finish(session), Value::Int(2));
    }
}

#[test]
fn the_debugger_wants_the_connection_for_itself() {
    let server = Server::start();
    let mut client = server.connect();
    client.send_raw(b"PING\r\nSCRIPT DEBUG sync\r\n").expect("sent");
    client.receive().expect("a reply");
    let reply = client.receive().expect("a reply");
    assert!(reply.as_error().is_some_and(|text| text.ends_with(b"outside a pipeline")));
    assert_eq!(client.run(&["SCRIPT", "DEBUG", "yes"]).expect("a reply"), ok());
    assert_eq!(client.run(&["MULTI"]).expect("a reply"), ok());
    let reply = client.run(&["EVAL", "return 1", "0"]).expect("a reply");
    assert!(reply.as_error().is_some_and(|text| text.starts_with(b"ERR a script inside of")));
    client.run(&["DISCARD"]).expect("a reply");
    let reply = client.run(&["EVALSHA", &"a".repeat(40), "0"]).expect("a reply");
    assert!(reply.as_error().is_some_and(|text| text.starts_with(b"ERR Please use EVAL")));
    assert_eq!(client.run(&["SCRIPT", "DEBUG", "no"]).expect("a reply"), ok());
    assert_eq!(client.run(&["EVAL", "return 1", "0"]).expect("a reply"), Value::Int(1));
}

#[test]
fn a_script_that_does_not_compile_has_no_session() {
    let server = Server::start();
    let mut client = server.connect();
    assert_eq!(client.run(&["SCRIPT", "DEBUG", "sync"]).expect("a reply"), ok());
    assert_eq!(say(&mut client, &["EVAL", "retur 1", "0"]), ["<endsession>"]);
    assert!(client.receive().expect("a reply").as_error().is_some());
    assert_eq!(client.read_to_end().expect("the server closes"), b"");
}

/// What `redis-cli` prints in a debugging session with these commands.
fn redis_cli(server: &Server, mode: &str, commands: &str) -> Option<String> {
    let file = server.folder().join("script.lua");
    std::fs::write(&file, SCRIPT).expect("written");
    let mut child = Command::new("redis-cli")
        .args(["-p", &server.port().to_string(), mode, "--eval"])
        .arg(file)
        .args(["k", ",", "v"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(commands.as_bytes()).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // Without the colours.
    let mut plain = String::new();
    for (at, part) in text.split('\u{1b}').enumerate() {
        plain.push_str(if at == 0 { part } else { part.split_once('m').map_or("", |(_, it)| it) });
    }
    Some(plain)
}

#[test]
fn redis_cli_drives_it() {
    let server = Server::start();
    for (mode, after, told) in [
        ("--ldb", Value::Null, "(Lua debugging session ended -- dataset changes rolled back)"),
        ("--ldb-sync-mode", Value::bulk("v"), "(Lua debugging session ended)"),
    ] {
        let Some(text) = redis_cli(&server, mode, "step\nprint a\nnext\ncontinue\nquit\n") else {
            println!("redis-cli is not installed");
            return;
        };
        for wanted in [
            "Lua debugging session started",
            "* Stopped at 1, stop reason = step over",
            "<value> 1",
            "<redis> set k v",
            "<reply> \"+OK\"",
            "(integer) 2",
            told,
        ] {
            assert!(text.contains(wanted), "no {wanted:?} in {text}");
        }
        assert_eq!(get(&server, "k"), after);
    }
}
