//! Clients that wait: wake-ups across connections, timeouts, ends of connections.

use perilune_resp::Value;
use perilune_tests::{Server, bulks, error, int};
use std::time::{Duration, Instant};

#[test]
fn every_waiting_client_gets_one_element() {
    const CLIENTS: usize = 20;
    let server = Server::start();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = server.connect();
        client.send(&["BLPOP", "queue", "0"]).expect("sent");
        clients.push(client);
        server.until_waiting(clients.len());
    }
    let mut pusher = server.connect();
    for number in 0..CLIENTS {
        pusher.run(&["RPUSH", "queue", &number.to_string()]).expect("a reply");
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let reply = client.receive().expect("a reply");
        assert_eq!(reply, bulks(&["queue", &number.to_string()]), "served in the order they came");
    }
    server.until_waiting(0);
}

#[test]
fn a_wait_ends_in_time() {
    let server = Server::start();
    let mut client = server.connect();
    let start = Instant::now();
    assert_eq!(client.run(&["BLPOP", "queue", "0.1"]).expect("a reply"), Value::NullArray);
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(100), "{took:?}");
    assert_eq!(
        client.run(&["BLMOVE", "a", "b", "LEFT", "LEFT", "0.01"]).expect("a reply"),
        Value::NullArray
    );
}

#[test]
fn who_hangs_up_takes_nothing() {
    let server = Server::start();
    let mut gone = server.connect();
    gone.send(&["BLPOP", "queue", "0"]).expect("sent");
    server.until_waiting(1);
    drop(gone);
    server.until_waiting(0);
    let mut client = server.connect();
    assert_eq!(client.run(&["RPUSH", "queue", "a"]).expect("a reply"), int(1));
    assert_eq!(client.run(&["LLEN", "queue"]).expect("a reply"), int(1));
}

#[test]
fn a_pipeline_goes_on_after_the_wait() {
    let server = Server::start();
    let mut client = server.connect();
    client.send_raw(b"BLPOP queue 0\r\nINCR n\r\nBLPOP queue 0\r\nINCR n\r\n").expect("sent");
    server.until_waiting(1);
    let mut other = server.connect();
    assert_eq!(other.run(&["GET", "n"]).expect("a reply"), Value::Null);
    other.run(&["RPUSH", "queue", "a"]).expect("a reply");
    assert_eq!(client.receive().expect("a reply"), bulks(&["queue", "a"]));
    assert_eq!(client.receive().expect("a reply"), int(1));
    server.until_waiting(1);
    other.run(&["RPUSH", "queue", "b"]).expect("a reply");
    assert_eq!(client.receive().expect("a reply"), bulks(&["queue", "b"]));
    assert_eq!(client.receive().expect("a reply"), int(2));
}

#[test]
fn another_client_ends_a_wait() {
    let server = Server::start();
    let mut client = server.connect();
    let id = match client.run(&["CLIENT", "ID"]).expect("a reply") {
        Value::Int(id) => id.to_string(),
        other => panic!("{other:?}"),
    };
    let mut other = server.connect();
    client.send(&["BLPOP", "queue", "0"]).expect("sent");
    server.until_waiting(1);
    assert_eq!(other.run(&["CLIENT", "UNBLOCK", &id]).expect("a reply"), int(1));
    assert_eq!(client.receive().expect("a reply"), Value::NullArray);
    client.send(&["BLPOP", "queue", "0"]).expect("sent");
    server.until_waiting(1);
    assert_eq!(other.run(&["CLIENT", "UNBLOCK", &id, "ERROR"]).expect("a reply"), int(1));
    let expected = error("UNBLOCKED client unblocked via CLIENT UNBLOCK");
    assert_eq!(client.receive().expect("a reply"), expected);
}

#[test]
fn a_subscriber_gets_every_message_in_order() {
    const MESSAGES: usize = 2000;
    let server = Server::start();
    let mut subscriber = server.connect();
    subscriber.run(&["SUBSCRIBE", "c"]).expect("a reply");
    let mut publisher = server.connect();
    for number in 0..MESSAGES {
        publisher.send(&["PUBLISH", "c", &number.to_string()]).expect("sent");
    }
    for number in 0..MESSAGES {
        assert_eq!(publisher.receive().expect("a reply"), int(1));
        let message = subscriber.receive().expect("a message");
        assert_eq!(message, bulks(&["message", "c", &number.to_string()]));
    }
}
