//! What goes over the wire, byte by byte: cuts, pipelines, inline requests, errors, sizes.

use nix::sys::signal::Signal;
use perilune_resp::{Value, encode_request};
use perilune_testkit::Connection;
use perilune_tests::{Server, array, bulks, error, int, ok};

fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_request(words, &mut bytes);
    bytes
}

fn pong() -> Value {
    Value::Status(b"PONG".to_vec())
}

/// What the server says before it closes on a connection that sent this.
fn last_words(server: &Server, sent: &[u8]) -> String {
    let mut client = server.connect();
    client.send_raw(sent).expect("sent");
    String::from_utf8_lossy(&client.read_to_end().expect("the server closes")).into_owned()
}

#[test]
fn a_request_may_be_cut_anywhere() {
    let server = Server::start();
    let mut client = server.connect();
    let mut bytes = request(&[b"SET", b"k", b"a\r\nb"]);
    bytes.extend(request(&[b"GET", b"k"]));
    bytes.extend_from_slice(b"PING\r\n");
    bytes.extend(request(&[b"STRLEN", b"k"]));
    for cut in 1..bytes.len() {
        client.send_raw(&bytes[..cut]).expect("sent");
        client.send_raw(&bytes[cut..]).expect("sent");
        let replies = [ok(), Value::bulk("a\r\nb"), pong(), int(4)];
        for expected in replies {
            assert_eq!(client.receive().expect("a reply"), expected, "cut at {cut}");
        }
    }
    for byte in &bytes {
        client.send_raw(&[*byte]).expect("sent");
    }
    assert_eq!(client.receive().expect("a reply"), ok());
    assert_eq!(client.receive().expect("a reply"), Value::bulk("a\r\nb"));
}

#[test]
fn a_long_pipeline_is_answered_in_order() {
    const DEPTH: i64 = 10_000;
    let server = Server::start();
    let mut client = server.connect();
    let incr = request(&[b"INCR", b"n"]);
    client.send_raw(&incr.repeat(DEPTH as usize)).expect("sent without reading");
    for expected in 1..=DEPTH {
        assert_eq!(client.receive().expect("a reply"), int(expected));
    }
}

#[test]
fn a_pipeline_of_scripts_is_answered_in_order() {
    let server = Server::start();
    let mut client = server.connect();
    let loaded = client.run(&["SCRIPT", "LOAD", "return redis.call('incr', KEYS[1])"]);
    let digest = loaded.expect("a digest");
    let digest = digest.as_bytes().expect("a string").to_vec();
    let call = request(&[b"EVALSHA", &digest, b"1", b"n"]);
    client.send_raw(&call.repeat(1000)).expect("sent");
    for expected in 1..=1000 {
        assert_eq!(client.receive().expect("a reply"), int(expected));
    }
}

#[test]
fn replies_nobody_reads_wait_for_their_reader() {
    let server = Server::start();
    let mut client = server.connect();
    let big = vec![b'x'; 100_000];
    client.run(&[&b"SET"[..], b"big", &big]).expect("a reply");
    client.send_raw(&request(&[b"GET", b"big"]).repeat(300)).expect("sent without reading");
    // Somebody else is served while 30 MB wait in the first connection.
    assert_eq!(server.connect().run(&["PING"]).expect("a reply"), pong());
    for _ in 0..300 {
        assert_eq!(client.receive().expect("a reply"), Value::Bulk(big.clone()));
    }
}

#[test]
fn inline_requests() {
    let server = Server::start();
    let mut client = server.connect();
    client
        .send_raw(b"PING\n\r\n  set k 'two words' \r\nGET k\r\nECHO \"\\x41\\n\"\r\n")
        .expect("sent");
    for expected in [pong(), ok(), Value::bulk("two words"), Value::bulk("A\n")] {
        assert_eq!(client.receive().expect("a reply"), expected);
    }
}

#[test]
fn a_string_of_64_megabytes() {
    let server = Server::start();
    let mut client = server.connect();
    let big: Vec<u8> =
        (0..64 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    assert_eq!(client.run(&[&b"SET"[..], b"big", &big]).expect("a reply"), ok());
    assert_eq!(client.run(&["STRLEN", "big"]).expect("a reply"), int(64 << 20));
    assert!(client.run(&["GET", "big"]).expect("a reply") == Value::Bulk(big));
    let length = client.run(&["EVAL", "return #redis.call('get', KEYS[1])", "1", "big"]);
    assert_eq!(length.expect("a reply"), int(64 << 20));
}

#[test]
fn broken_requests_are_told_and_end_the_connection() {
    let server = Server::start();
    let cases: [(&[u8], &str); 7] = [
        (b"*x\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
        (b"*3000000000\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
        (b"*1\r\n+PING\r\n", "-ERR Protocol error: expected '$', got '+'\r\n"),
        (b"*1\r\n$-5\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        (b"*1\r\n$99999999999\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        (b"SET k \"x\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"),
        (
            b"*1\r\n$4\r\nPING\r\n*1\r\n!\r\n",
            "+PONG\r\n-ERR Protocol error: expected '$', got '!'\r\n",
        ),
    ];
    for (sent, expected) in cases {
        assert_eq!(last_words(&server, sent), expected, "{}", sent.escape_ascii());
    }
    let endless = last_words(&server, &vec![b'a'; 70_000]);
    assert_eq!(endless, "-ERR Protocol error: too big inline request\r\n");
}

#[test]
fn before_authentication_requests_are_small() {
    let server = Server::builder().set("requirepass", "secret").start();
    let many = last_words(&server, b"*11\r\n");
    assert_eq!(many, "-ERR Protocol error: unauthenticated multibulk length\r\n");
    let long = last_words(&server, b"*1\r\n$20000\r\n");
    assert_eq!(long, "-ERR Protocol error: unauthenticated bulk length\r\n");
}

#[test]
fn a_password_is_asked_for() {
    let server = Server::builder().set("requirepass", "secret").start();
    let mut client = server.connect();
    let mut run = |words: &[&str]| client.run(words).expect("a reply");
    assert_eq!(run(&["GET", "a"]), error("NOAUTH Authentication required."));
    let wrong = "WRONGPASS invalid username-password pair or user is disabled.";
    assert_eq!(run(&["AUTH", "wrong"]), error(wrong));
    assert_eq!(run(&["HELLO", "3", "AUTH", "default", "wrong"]), error(wrong));
    assert_eq!(run(&["AUTH", "secret"]), ok());
    assert_eq!(run(&["GET", "a"]), Value::Null);
    assert_eq!(run(&["RESET"]), Value::Status(b"RESET".to_vec()));
    assert_eq!(run(&["GET", "a"]), error("NOAUTH Authentication required."));
    assert!(matches!(run(&["HELLO", "3", "AUTH", "default", "secret"]), Value::Map(_)));
    assert_eq!(run(&["GET", "a"]), Value::Null);
}

#[test]
fn reset_forgets_the_state_of_a_client() {
    let server = Server::start();
    let mut client = server.connect();
    let mut run = |words: &[&str]| client.run(words).expect("a reply");
    run(&["HELLO", "3", "SETNAME", "someone"]);
    assert_eq!(run(&["SELECT", "3"]), ok());
    assert_eq!(run(&["SET", "k", "v"]), ok());
    assert_eq!(run(&["MULTI"]), ok());
    assert_eq!(run(&["RESET"]), Value::Status(b"RESET".to_vec()));
    assert_eq!(run(&["GET", "k"]), Value::Null);
    assert_eq!(run(&["CLIENT", "GETNAME"]), Value::Null);
    assert_eq!(run(&["EXEC"]), error("ERR EXEC without MULTI"));
    run(&["HSET", "h", "f", "v"]);
    assert_eq!(run(&["HGETALL", "h"]), bulks(&["f", "v"]), "RESP2 again");
}

#[test]
fn a_unix_socket_serves_the_same_data() {
    let server = Server::start();
    assert_eq!(server.connect().run(&["SET", "k", "v"]).expect("a reply"), ok());
    let mut local = Connection::open(&server.unix_address()).expect("connects");
    assert_eq!(local.run(&["GET", "k"]).expect("a reply"), Value::bulk("v"));
    let info = local.run(&["CLIENT", "INFO"]).expect("a reply");
    let info = String::from_utf8_lossy(info.as_bytes().expect("text")).into_owned();
    assert!(info.contains("server.sock:0"), "{info}");
}

#[test]
fn client_reply_silences_replies() {
    let server = Server::start();
    let mut client = server.connect();
    for words in [
        &["CLIENT", "REPLY", "SKIP"][..],
        &["INCR", "n"],
        &["INCR", "n"],
        &["CLIENT", "REPLY", "OFF"],
        &["INCR", "n"],
        &["NOSUCH"],
        &["CLIENT", "REPLY", "ON"],
        &["INCR", "n"],
    ] {
        client.send(words).expect("sent");
    }
    for expected in [int(2), ok(), int(4)] {
        assert_eq!(client.receive().expect("a reply"), expected);
    }
}

#[test]
fn what_was_sent_before_closing_is_executed() {
    let server = Server::start();
    let mut client = server.connect();
    client.send_raw(&request(&[b"INCR", b"n"]).repeat(100)).expect("sent");
    client.send(&["QUIT"]).expect("sent");
    client.send(&["INCR", "n"]).expect("sent");
    let replies = client.read_to_end().expect("the server closes");
    assert!(replies.ends_with(b":100\r\n+OK\r\n"), "{}", replies.escape_ascii());
    assert_eq!(server.connect().run(&["GET", "n"]).expect("a reply"), Value::bulk("100"));
}

#[test]
fn many_clients_at_once() {
    let server = Server::start();
    let mut clients: Vec<Connection> = (0..200).map(|_| server.connect()).collect();
    for round in 0..3 {
        for client in &mut clients {
            client.send(&["INCR", "n"]).expect("sent");
        }
        let mut got: Vec<i64> = Vec::new();
        for client in &mut clients {
            match client.receive().expect("a reply") {
                Value::Int(n) => got.push(n),
                other => panic!("{other:?}"),
            }
        }
        got.sort_unstable();
        let expected: Vec<i64> = (round * 200 + 1..=round * 200 + 200).collect();
        assert_eq!(got, expected);
    }
}

#[test]
fn monitor_shows_every_command() {
    let server = Server::start();
    let mut monitor = server.connect();
    assert_eq!(monitor.run(&["MONITOR"]).expect("a reply"), ok());
    let mut client = server.connect();
    client.run(&["SET", "k", "a b\n"]).expect("a reply");
    client.run(&["EVAL", "return redis.call('get', KEYS[1])", "1", "k"]).expect("a reply");
    let mut next = || match monitor.receive().expect("a line") {
        Value::Status(line) => String::from_utf8_lossy(&line).into_owned(),
        other => panic!("{other:?}"),
    };
    assert!(next().ends_with("\"SET\" \"k\" \"a b\\n\""));
    assert!(next().contains("\"EVAL\""));
    let inner = next();
    assert!(inner.ends_with("[0 lua] \"get\" \"k\""), "{inner}");
}

#[test]
fn several_replies_of_one_transaction_in_one_piece() {
    let server = Server::start();
    let mut client = server.connect();
    let mut bytes = request(&[b"MULTI"]);
    for _ in 0..500 {
        bytes.extend(request(&[b"INCR", b"n"]));
    }
    bytes.extend(request(&[b"EXEC"]));
    client.send_raw(&bytes).expect("sent");
    assert_eq!(client.receive().expect("a reply"), ok());
    for _ in 0..500 {
        assert_eq!(client.receive().expect("a reply"), Value::Status(b"QUEUED".to_vec()));
    }
    assert_eq!(client.receive().expect("a reply"), array((1..=500).map(int)));
}

#[test]
fn connections_are_served_in_the_order_in_which_they_asked() {
    let server = Server::start();
    let mut clients: Vec<Connection> = (0..5).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.run(&["PING"]).expect("a reply"), pong());
    }
    for count in 2..=clients.len() {
        server.halt();
        for (number, client) in clients[..count].iter_mut().enumerate() {
            client.send(&["RPUSH", &format!("order{count}"), &number.to_string()]).expect("sent");
        }
        server.signal(Signal::SIGCONT);
        for (number, client) in clients[..count].iter_mut().enumerate() {
            assert_eq!(client.receive().expect("a reply"), int(number as i64 + 1));
        }
    }
}

#[test]
fn a_browser_is_not_answered() {
    let server = Server::start();
    for sent in [
        &b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nSET k v\r\n"[..],
        b"host: localhost\r\nSET k v\r\n",
        b"*1\r\n$4\r\npost\r\n*1\r\n$4\r\nPING\r\n",
    ] {
        assert_eq!(last_words(&server, sent), "", "{}", sent.escape_ascii());
    }
    assert_eq!(server.connect().run(&["EXISTS", "k"]).expect("a reply"), int(0));
}

#[test]
fn an_error_shows_no_end_of_line() {
    let server = Server::start();
    for sent in [&b"*1\r\n\r\n"[..], b"*1\r\n\nPING\r\n"] {
        let expected = "-ERR Protocol error: expected '$', got ' '\r\n";
        assert_eq!(last_words(&server, sent), expected, "{}", sent.escape_ascii());
    }
}
