//! Scripts that do not end by themselves: the server stays reachable.

use perilune_resp::Value;
use perilune_testkit::Connection;
use perilune_tests::{Server, bulks, error, eventually, int, ok};
use std::time::{Duration, Instant};

const BUSY_SCRIPT: &str = "BUSY Redis is busy running a script. \
                           You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
const BUSY_FUNCTION: &str = "BUSY Redis is busy running a script. \
                             You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";

fn start() -> Server {
    Server::builder().set("busy-reply-threshold", "50").start()
}

/// Runs a script that does not end, and waits until the server says so.
fn run_forever(server: &Server, words: &[&str]) -> Connection {
    let mut running = server.connect();
    running.send(words).expect("sent");
    until_busy(server);
    running
}

fn until_busy(server: &Server) {
    let mut other = server.connect();
    eventually("the server to be busy", || {
        let reply = other.run(&["PING"]).expect("a reply");
        reply.as_error().is_some_and(|text| text.starts_with(b"BUSY")).then_some(())
    });
}

#[test]
fn others_are_told_and_may_kill_it() {
    let server = start();
    let mut running = run_forever(&server, &["EVAL", "while true do end", "0"]);
    let mut other = server.connect();
    let start = Instant::now();
    assert_eq!(other.run(&["GET", "a"]).expect("a reply"), error(BUSY_SCRIPT));
    assert!(start.elapsed() < Duration::from_secs(5), "answered at once");
    assert_eq!(other.run(&["SET", "a", "1"]).expect("a reply"), error(BUSY_SCRIPT));
    // A pipeline is answered in order, and connections that come now are served, too.
    other.send_raw(b"GET a\r\nHELLO 3\r\nGET b\r\n").expect("sent");
    assert_eq!(other.receive().expect("a reply"), error(BUSY_SCRIPT));
    assert!(matches!(other.receive().expect("a reply"), Value::Map(_)));
    assert_eq!(other.receive().expect("a reply"), error(BUSY_SCRIPT));
    assert_eq!(server.connect().run(&["SCRIPT", "KILL"]).expect("a reply"), ok());
    let reply = running.receive().expect("a reply");
    let text = String::from_utf8_lossy(reply.as_error().expect("an error")).into_owned();
    assert!(text.contains("Script killed by user with SCRIPT KILL"), "{text}");
    assert_eq!(running.run(&["PING"]).expect("a reply"), Value::Status(b"PONG".to_vec()));
    assert_eq!(
        other.run(&["SCRIPT", "KILL"]).expect("a reply"),
        error("NOTBUSY No scripts in execution right now.")
    );
}

#[test]
fn nothing_saves_a_script_from_its_end() {
    let server = start();
    for script in [
        "while true do pcall(function() while true do end end) end",
        "local c = coroutine.wrap(function() while true do end end) while true do pcall(c) end",
        "local t = setmetatable({}, {__index = function() while true do end end}) return t.x",
        "string.find(string.rep('a', 1000000), string.rep('a?', 30) .. string.rep('a*', 30) .. 'b')",
        "while true do redis.pcall('ping') end",
    ] {
        let mut running = run_forever(&server, &["EVAL", script, "0"]);
        let mut other = server.connect();
        assert_eq!(other.run(&["SCRIPT", "KILL"]).expect("a reply"), ok(), "{script}");
        let reply = running.receive().expect("a reply");
        assert!(reply.as_error().is_some(), "{script}: {reply:?}");
    }
}

#[test]
fn a_script_that_wrote_cannot_be_killed_but_the_server_can_end() {
    let mut server = start();
    let script = "redis.call('set', KEYS[1], 'x') while true do end";
    let mut running = run_forever(&server, &["EVAL", script, "1", "k"]);
    let mut other = server.connect();
    let expected = error(
        "UNKILLABLE Sorry the script already executed write commands against the dataset. \
         You can either wait the script termination or kill the server in a hard way using the \
         SHUTDOWN NOSAVE command.",
    );
    assert_eq!(other.run(&["SCRIPT", "KILL"]).expect("a reply"), expected);
    assert_eq!(other.run(&["SHUTDOWN"]).expect("a reply"), error(BUSY_SCRIPT));
    other.send(&["SHUTDOWN", "NOSAVE"]).expect("sent");
    assert_eq!(server.wait().code(), Some(0));
    // The script may be told that it was killed, but it never ends well.
    let last = running.read_to_end().expect("closed");
    assert!(last.is_empty() || last.starts_with(b"-"), "{}", last.escape_ascii());
}

#[test]
fn functions_have_their_own_kill() {
    let server = start();
    let code =
        "#!lua name=slow\nredis.register_function('forever', function() while true do end end)";
    let loaded = server.connect().run(&["FUNCTION", "LOAD", code]).expect("a reply");
    assert_eq!(loaded, Value::bulk("slow"));
    let mut running = run_forever(&server, &["FCALL", "forever", "0"]);
    let mut other = server.connect();
    assert_eq!(other.run(&["GET", "a"]).expect("a reply"), error(BUSY_FUNCTION));
    assert_eq!(other.run(&["SCRIPT", "KILL"]).expect("a reply"), error(BUSY_FUNCTION));
    assert_eq!(other.run(&["FUNCTION", "KILL"]).expect("a reply"), ok());
    assert!(running.receive().expect("a reply").as_error().is_some());
}

#[test]
fn a_compiler_that_takes_long_serves_others_and_may_be_killed() {
    let server = start();
    // Every `or` walks the jumps of all before it.
    let source = format!("return a{}", " or a".repeat(131_000));
    for words in [&["EVAL", &source, "0"][..], &["SCRIPT", "LOAD", &source]] {
        let mut running = run_forever(&server, words);
        let mut other = server.connect();
        assert_eq!(other.run(&["FUNCTION", "KILL"]).expect("a reply"), error(BUSY_SCRIPT));
        assert_eq!(other.run(&["SCRIPT", "KILL"]).expect("a reply"), ok());
        let killed = error(
            "ERR Error compiling script (new function): Script killed by user with SCRIPT KILL...",
        );
        assert_eq!(running.receive().expect("a reply"), killed);
        assert_eq!(running.run(&["EVAL", "return 1", "0"]).expect("a reply"), int(1));
    }
}

#[test]
fn a_library_that_loads_for_long_may_be_killed() {
    let server = start();
    let mut running = server.connect();
    running.reply_within(Duration::from_millis(1)).expect("settable");
    let mut other = server.connect();
    let code = "#!lua name=slow\nwhile true do end";
    // It ends by itself after half a second, so a kill may come too late.
    let reply = eventually("a kill in time", || {
        running.send(&["FUNCTION", "LOAD", code]).expect("sent");
        let mut seen = false;
        eventually("the load to end", || {
            let Value::Array(stats) = other.run(&["FUNCTION", "STATS"]).expect("a reply") else {
                panic!("FUNCTION STATS is answered while a library loads");
            };
            if let Some(Value::Array(run)) = stats.get(1) {
                assert_eq!(run[1], Value::bulk("slow"));
                assert_eq!(run[3], bulks(&["FUNCTION", "LOAD", code]));
                seen = true;
                other.run(&["FUNCTION", "KILL"]).expect("a reply");
            }
            running.receive().ok()
        })
        .as_error()
        .filter(|text| seen && text.ends_with(b"KILL..."))
        .map(<[u8]>::to_vec)
    });
    let expected = "ERR Error registering functions: ERR Script killed by user with SCRIPT KILL...";
    assert_eq!(String::from_utf8_lossy(&reply), expected);
    assert_eq!(other.run(&["FUNCTION", "LIST"]).expect("a reply"), Value::Array(Vec::new()));
}

#[test]
fn what_waited_is_served_after_the_script() {
    let server = start();
    let mut subscriber = server.connect();
    subscriber.run(&["SUBSCRIBE", "c"]).expect("a reply");
    let mut blocked = server.connect();
    blocked.send(&["BLPOP", "queue", "0"]).expect("sent");
    server.until_waiting(1);
    // Pushed early and taken again late: nobody may see it in between.
    let script = "redis.call('rpush', 'queue', 'early') redis.call('publish', 'c', 'm') \
                  for i = 1, 20000000 do end \
                  redis.call('del', 'queue') redis.call('rpush', 'queue', 'late') return 1";
    let mut running = server.connect();
    assert_eq!(running.run(&["EVAL", script, "0"]).expect("a reply"), int(1));
    assert_eq!(blocked.receive().expect("a reply"), bulks(&["queue", "late"]));
    assert_eq!(subscriber.receive().expect("a message"), bulks(&["message", "c", "m"]));
}

#[test]
fn a_script_that_takes_too_much_memory_ends_alone() {
    const GREEDY: &str = "local t = {} while true do t[#t + 1] = {} end";
    let server = Server::builder().set("lua-memory-limit", "8mb").start();
    let mut client = server.connect();
    for _ in 0..3 {
        let reply = client.run(&["EVAL", GREEDY, "0"]).expect("a reply");
        let text = String::from_utf8_lossy(reply.as_error().expect("an error")).into_owned();
        assert!(text.contains("not enough memory"), "{text}");
        assert_eq!(client.run(&["EVAL", "return 7", "0"]).expect("a reply"), int(7));
    }
    assert_eq!(client.run(&["CONFIG", "SET", "lua-memory-limit", "64mb"]).expect("a reply"), ok());
    let fits = "local t = {} for i = 1, 200000 do t[i] = {} end return #t";
    assert_eq!(client.run(&["EVAL", fits, "0"]).expect("a reply"), int(200_000));
}

#[test]
fn a_script_that_waits_for_the_clock_sees_it_move() {
    let server = start();
    let script = "local function now() local t = redis.call('TIME') return t[1] * 1000 + t[2] / 1000 end \
                  redis.call('SET', 'written', 1) \
                  local start = now() while now() - start < 50 do end return 'done'";
    let reply = server.connect().run(&["EVAL", script, "0"]).expect("a reply");
    assert_eq!(reply, Value::bulk("done"));
}
