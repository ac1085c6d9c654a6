//! Published flaws of Redis and Valkey that take more than one script: a replica, a blocked client,
//! a connection that is not told who it is. Those that one script can attack are in
//! `tests/hostile/cve.lua`.

use perilune_resp::Value;
use perilune_testkit::Connection;
use perilune_tests::{Server, array, bulks, error, eventually, int, ok};
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::Duration;

fn run(client: &mut Connection, words: &[&str]) -> Value {
    client.run(words).expect("the server answers")
}

fn begins(reply: &Value, code: &str) -> bool {
    reply.as_error().is_some_and(|text| text.starts_with(code.as_bytes()))
}

fn until_answered(client: &mut Connection, words: &[&str], expected: &Value) {
    eventually("the answer", || (run(client, words) == *expected).then_some(()));
}

/// Two masters with other data and another library each, and a replica of the first that scripts
/// may be run on.
fn masters_and_replica() -> (Server, Server, Server) {
    let server = || Server::builder().set("repl-diskless-sync-delay", "0");
    let masters = [server().start(), server().start()];
    for (number, master) in masters.iter().enumerate() {
        let mut client = master.connect();
        run(&mut client, &["SET", "who", &number.to_string()]);
        let code = format!(
            "#!lua name=lib\nredis.register_function{{function_name='spin', flags={{'no-writes'}},
             callback=function() while redis.call('get', 'who') do end return {number} end}}"
        );
        assert_eq!(run(&mut client, &["FUNCTION", "LOAD", &code]), Value::bulk("lib"));
    }
    let replica = server().set("busy-reply-threshold", "20").set("replica-read-only", "no").start();
    let port = masters[0].port().to_string();
    run(&mut replica.connect(), &["REPLICAOF", "127.0.0.1", &port]);
    until_answered(&mut replica.connect(), &["GET", "who"], &Value::bulk("0"));
    let [first, second] = masters;
    (first, second, replica)
}

#[test]
fn cve_2026_23631_a_full_synchronization_while_a_script_runs() {
    const SCRIPT: &str = "while redis.call('get', 'who') do end return 'gone'";
    for words in [&["EVAL", SCRIPT, "0"][..], &["FCALL", "spin", "0"]] {
        let (first, second, replica) = masters_and_replica();
        let mut running = replica.connect();
        running.send(words).expect("sent");
        let mut other = replica.connect();
        eventually("the script to be slow", || {
            begins(&run(&mut other, &["PING"]), "BUSY").then_some(())
        });
        // Its master follows another one, whose data come as a whole.
        let port = second.port().to_string();
        run(&mut first.connect(), &["REPLICAOF", "127.0.0.1", &port]);
        until_answered(&mut first.connect(), &["GET", "who"], &Value::bulk("1"));
        let kill = if words[0] == "EVAL" { "SCRIPT" } else { "FUNCTION" };
        assert!(begins(&run(&mut other, &["PING"]), "BUSY"), "the script has its data");
        assert_eq!(run(&mut other, &[kill, "KILL"]), ok());
        assert!(begins(&running.receive().expect("a reply"), "ERR"));
        until_answered(&mut other, &["GET", "who"], &Value::bulk("1"));
        assert_eq!(
            run(&mut other, &["EVAL", "return redis.call('get', 'who')", "0"]),
            Value::bulk("1")
        );
        run(&mut other, &["REPLICAOF", "NO", "ONE"]);
        run(&mut other, &["DEL", "who"]);
        assert_eq!(run(&mut other, &["FCALL", "spin", "0"]), int(1), "the new master's function");
    }
}

#[test]
fn cve_2026_23479_a_waiting_client_is_evicted_when_it_is_served() {
    let server = Server::start();
    let mut other = server.connect();
    for round in 0..4 {
        let names: Vec<String> = (0..500).map(|n| format!("{n:01000}")).collect();
        let mut words = vec!["BLPOP"];
        words.extend(names.iter().map(String::as_str));
        words.extend(["queue", "0"]);
        let mut waiting: Vec<Connection> = (0..4).map(|_| server.connect()).collect();
        for (at, client) in waiting.iter_mut().enumerate() {
            client.send(&words).expect("sent");
            server.until_waiting(at + 1);
        }
        // Too little for all of them, and served within the same command.
        let script = "redis.call('rpush', 'queue', 1, 2, 3, 4) return 'pushed'";
        other.send_raw(b"MULTI\r\nCONFIG SET maxmemory-clients 1mb\r\n").expect("sent");
        other.send(&["EVAL", script, "0"]).expect("sent");
        other.send_raw(b"EXEC\r\n").expect("sent");
        for expected in ["OK", "QUEUED", "QUEUED"] {
            let reply = other.receive().expect("a reply");
            assert_eq!(reply, Value::Status(expected.as_bytes().to_vec()), "round {round}");
        }
        assert_eq!(other.receive().expect("a reply"), array([ok(), Value::bulk("pushed")]));
        for mut client in waiting {
            // Served or evicted; either way to the end.
            let _ = client.finish_sending();
            let _ = client.read_to_end();
        }
        server.until_waiting(0);
        run(&mut other, &["CONFIG", "SET", "maxmemory-clients", "0"]);
        run(&mut other, &["DEL", "queue"]);
        assert_eq!(run(&mut other, &["ECHO", "in step"]), Value::bulk("in step"));
    }
}

#[test]
fn cve_2025_21605_replies_to_nobody_do_not_pile_up() {
    let server = Server::builder().set("requirepass", "secret").start();
    let mut flood = TcpStream::connect(("127.0.0.1", server.port())).expect("connected");
    flood.set_write_timeout(Some(Duration::from_millis(500))).expect("set");
    let requests = b"GET a\r\n".repeat(10_000);
    let mut sent = 0;
    let end = loop {
        match flood.write(&requests) {
            Ok(bytes) => sent += bytes,
            Err(error) => break error.kind(),
        }
        assert!(sent < 256 << 20, "more was taken than anybody may pile up");
    };
    assert!(
        matches!(end, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::WouldBlock),
        "{end:?}"
    );
    let mut client = server.connect();
    assert_eq!(run(&mut client, &["AUTH", "secret"]), ok());
    let Value::Bulk(list) = run(&mut client, &["CLIENT", "LIST"]) else { panic!("no list") };
    let list = String::from_utf8(list.to_vec()).expect("text");
    let waiting = list.split_whitespace().filter_map(|word| word.strip_prefix("omem="));
    let waiting: usize = waiting.map(|bytes| bytes.parse::<usize>().expect("a number")).sum();
    assert!(waiting < 1 << 20, "{waiting} bytes wait for somebody unknown");
}

#[test]
fn cve_2026_27623_empty_requests_leave_nothing_behind() {
    let server = Server::start();
    let mut client = server.connect();
    let pong = Value::Status(b"PONG".to_vec());
    for empty in ["*0\r\n", "*-1\r\n", "\r\n", "\n", "   \r\n", "*0\r\n\r\n*-7\r\n"] {
        for request in ["PING\r\n", "*1\r\n$4\r\nPING\r\n"] {
            client.send_raw(format!("{empty}{request}{empty}").as_bytes()).expect("sent");
            assert_eq!(client.receive().expect("a reply"), pong, "{empty:?} {request:?}");
        }
    }
    assert_eq!(run(&mut client, &["ECHO", "in step"]), Value::bulk("in step"));
}

#[test]
fn ghsa_fq2f_crmw_q97r_the_debugger_outlives_no_interpreter() {
    let server = Server::start();
    let mut other = server.connect();
    for round in 0..3 {
        for mode in ["yes", "sync"] {
            let mut client = server.connect();
            assert_eq!(run(&mut client, &["SCRIPT", "DEBUG", mode]), ok());
            let stop = run(&mut client, &["EVAL", "local a = 1\nreturn a", "0"]);
            assert!(matches!(&stop, Value::Array(lines) if lines.len() == 2), "{stop:?}");
            for words in [&["SCRIPT", "FLUSH", "SYNC"][..], &["FUNCTION", "FLUSH", "ASYNC"]] {
                let reply = run(&mut other, words);
                assert_eq!(begins(&reply, "BUSY"), mode == "sync", "round {round} {reply:?}");
            }
            run(&mut client, &["redis", "ping"]);
            run(&mut client, &["eval", "return redis.call('ping')"]);
            run(&mut client, &["continue"]);
            assert_eq!(client.receive().expect("the reply of the script"), int(1));
        }
        run(&mut other, &["SCRIPT", "FLUSH", "ASYNC"]);
        assert_eq!(run(&mut other, &["EVAL", "return 1", "0"]), int(1));
    }
}

#[test]
fn rights_that_are_taken_away_count_for_what_is_queued() {
    let server = Server::start();
    let mut admin = server.connect();
    let user = ["ACL", "SETUSER", "eve", "on", "nopass", "~*", "+@all"];
    assert_eq!(run(&mut admin, &user), ok());
    let mut eve = server.connect();
    assert_eq!(run(&mut eve, &["AUTH", "eve", "x"]), ok());
    run(&mut eve, &["MULTI"]);
    run(&mut eve, &["SET", "secret", "1"]);
    run(&mut eve, &["EVAL", "return redis.pcall('set', KEYS[1], 2)", "1", "secret"]);
    run(&mut eve, &["EVAL", "return redis.call('set', 'secret', 3)", "0"]);
    assert_eq!(run(&mut admin, &["ACL", "SETUSER", "eve", "resetkeys", "~mine"]), ok());
    let Value::Array(replies) = run(&mut eve, &["EXEC"]) else { panic!("no array") };
    assert_eq!(replies.len(), 3);
    assert!(begins(&replies[0], "NOPERM") && begins(&replies[1], "NOPERM"), "{replies:?}");
    assert!(replies[2].as_error().is_some(), "{replies:?}");
    assert_eq!(run(&mut admin, &["GET", "secret"]), Value::Null);
    assert_eq!(run(&mut eve, &["GET", "secret"]), error("NOPERM No permissions to access a key"));
    assert_eq!(run(&mut admin, &["LRANGE", "none", "0", "-1"]), bulks(&[]));
}
