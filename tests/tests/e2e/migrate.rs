//! Keys that move from one server to another.

use perilune_resp::Value;
use perilune_tests::{Server, int, ok};

#[test]
fn keys_move_with_their_time_to_live() {
    let (from, to) = (Server::start(), Server::start());
    let (mut here, mut there) = (from.connect(), to.connect());
    let port = to.port().to_string();
    here.run(&["SET", "a", "1", "EX", "100"]).expect("a reply");
    here.run(&["RPUSH", "b", "x", "y"]).expect("a reply");
    let migrate = ["MIGRATE", "127.0.0.1", &port, "", "2", "5000", "KEYS", "a", "b", "missing"];
    assert_eq!(here.run(&migrate).expect("a reply"), ok());
    assert_eq!(here.run(&["DBSIZE"]).expect("a reply"), int(0));
    there.run(&["SELECT", "2"]).expect("a reply");
    assert_eq!(there.run(&["LLEN", "b"]).expect("a reply"), int(2));
    let Ok(Value::Int(ttl)) = there.run(&["TTL", "a"]) else { panic!("no time to live") };
    assert!((90..=100).contains(&ttl), "{ttl}");
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for() {
    let server = Server::start();
    let mut client = server.connect();
    client.run(&["SET", "k", "v"]).expect("a reply");
    // The command holds the very server it talks to.
    let port = server.port().to_string();
    let reply = client.run(&["MIGRATE", "127.0.0.1", &port, "k", "1", "100"]).expect("a reply");
    let text = b"IOERR error or timeout reading to target instance".to_vec();
    assert_eq!(reply, Value::Error(text));
    assert_eq!(client.run(&["EXISTS", "k"]).expect("a reply"), int(1));
}
