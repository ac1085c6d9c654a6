//! Starting and ending: signals, exit codes, and what is said when it does not start.

use nix::sys::signal::Signal;
use perilune_resp::Value;
use perilune_testkit::Connection;
use perilune_tests::{Server, error, server_binary};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs the server with arguments that keep it from starting.
fn refused(folder: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(server_binary())
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("the server is executable");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    output
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat()
}

#[test]
fn sigterm_ends_it_cleanly() {
    let mut server = Server::start();
    let mut client = server.connect();
    client.run(&["SET", "k", "v"]).expect("a reply");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    assert!(client.read_to_end().expect("closed").is_empty());
    assert!(server.log().contains("SIGTERM"), "{}", server.log());
    assert!(!server.folder().join("server.sock").exists(), "the socket file is gone");
}

#[test]
fn shutdown_ends_it_cleanly_and_without_a_reply() {
    let mut server = Server::start();
    let mut client = server.connect();
    client.send(&["SHUTDOWN", "NOSAVE"]).expect("sent");
    assert!(client.read_to_end().expect("closed").is_empty());
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn nobody_is_answered_who_asks_after_a_shutdown() {
    let mut server = Server::start();
    let (mut first, mut second) = (server.connect(), server.connect());
    second.run(&["PING"]).expect("a reply");
    first.run(&["PING"]).expect("a reply");
    // Both requests are there when the server looks.
    server.halt();
    first.send(&["SHUTDOWN", "NOSAVE"]).expect("sent");
    second.send(&["INFO"]).expect("sent");
    server.signal(Signal::SIGCONT);
    assert!(second.read_to_end().expect("closed").is_empty());
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_shutdown_that_fails_lets_everybody_go_on() {
    let server = Server::start();
    let (mut first, mut second) = (server.connect(), server.connect());
    // The name of the snapshot file is taken by a folder.
    std::fs::create_dir(server.folder().join("dump.rdb")).expect("made");
    server.halt();
    first.send(&["SHUTDOWN", "SAVE"]).expect("sent");
    second.send(&["PING"]).expect("sent");
    server.signal(Signal::SIGCONT);
    assert_eq!(
        first.receive().expect("a reply"),
        error("ERR Errors trying to SHUTDOWN. Check logs.")
    );
    assert_eq!(second.receive().expect("a reply"), Value::Status(b"PONG".to_vec()));
}

#[test]
fn waiting_clients_do_not_keep_it_from_ending() {
    let mut server = Server::start();
    let mut waiting = server.connect();
    waiting.send(&["BLPOP", "queue", "0"]).expect("sent");
    let mut idle = server.connect();
    idle.run(&["PING"]).expect("a reply");
    server.signal(Signal::SIGINT);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_port_in_use() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let output =
        refused(&std::env::temp_dir(), &["--port", &port, "--bind", "127.0.0.1", "--save", ""]);
    let said = said(&output);
    assert!(said.contains(&port) && said.contains("Address already in use"), "{said}");
}

#[test]
fn wrong_lines_of_a_configuration_file() {
    let server = Server::start();
    let file = server.folder().join("bad.conf");
    let cases = [
        ("port 0\nmaxmemory lots\n", 2, "maxmemory lots"),
        ("# fine\n\nno-such-directive 1\n", 3, "no-such-directive 1"),
        ("port 0\nbind \"127.0.0.1\n", 2, "bind \"127.0.0.1"),
        ("port 70000\n", 1, "port 70000"),
        ("appendonly maybe\n", 1, "appendonly maybe"),
    ];
    for (text, line, content) in cases {
        std::fs::write(&file, text).expect("written");
        let said = said(&refused(server.folder(), &["bad.conf"]));
        assert!(said.contains("bad.conf"), "{said}");
        assert!(said.contains(&line.to_string()) && said.contains(content), "{said}");
    }
}

#[test]
fn a_missing_configuration_file() {
    let said = said(&refused(&std::env::temp_dir(), &["/nowhere/redis.conf"]));
    assert!(said.contains("/nowhere/redis.conf"), "{said}");
    assert!(said.contains("No such file or directory"), "{said}");
}

#[test]
fn a_unix_socket_that_cannot_be_made() {
    let output = refused(
        &std::env::temp_dir(),
        &["--port", "0", "--save", "", "--unixsocket", "/nowhere/server.sock"],
    );
    let said = said(&output);
    assert!(said.contains("/nowhere/server.sock"), "{said}");
    assert!(said.contains("No such file or directory"), "{said}");
}

#[test]
fn a_folder_that_is_not_there() {
    let said = said(&refused(&std::env::temp_dir(), &["--port", "0", "--dir", "/nowhere"]));
    assert!(said.contains("/nowhere"), "{said}");
}

#[test]
fn a_configuration_file_is_obeyed_and_rewritten() {
    let server = Server::start();
    let path = server.folder().join("good.conf");
    let text = "# kept\nport 0\nunixsocket good.sock\nmaxmemory 100mb\nsave \"\"\n";
    std::fs::write(&path, text).expect("written");
    let mut child = Command::new(server_binary())
        .arg("good.conf")
        .current_dir(server.folder())
        .stdout(Stdio::null())
        .spawn()
        .expect("starts");
    let address = perilune_testkit::Address::Unix(server.folder().join("good.sock"));
    let mut client = perilune_tests::eventually("the socket", || Connection::open(&address).ok());
    let got = client.run(&["CONFIG", "GET", "maxmemory"]).expect("a reply");
    assert_eq!(got, perilune_tests::bulks(&["maxmemory", "104857600"]));
    client.run(&["CONFIG", "SET", "maxmemory", "50mb"]).expect("a reply");
    assert_eq!(client.run(&["CONFIG", "REWRITE"]).expect("a reply"), perilune_tests::ok());
    client.send(&["SHUTDOWN", "NOSAVE"]).expect("sent");
    let status = perilune_tests::eventually("its end", || child.try_wait().expect("our child"));
    assert_eq!(status.code(), Some(0));
    let rewritten = std::fs::read_to_string(&path).expect("still there");
    assert!(rewritten.starts_with("# kept\nport 0\n"), "{rewritten}");
    assert!(rewritten.contains("maxmemory 50mb"), "{rewritten}");
}

#[test]
fn a_refused_parameter_undoes_the_port_before_it() {
    let server = Server::builder().set("enable-protected-configs", "yes").start();
    let mut client = server.connect();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let free = listener.local_addr().expect("bound").port();
    drop(listener);
    let change = ["CONFIG", "SET", "port", &free.to_string(), "dir", "/nowhere/at/all"];
    let reply = client.run(&change).expect("a reply");
    let reason = "ERR CONFIG SET failed (possibly related to argument 'dir') - No such file or \
                  directory";
    assert_eq!(reply, error(reason));
    let port = client.run(&["CONFIG", "GET", "port"]).expect("a reply");
    let shown = ["port".to_owned(), server.port().to_string()];
    assert_eq!(port, Value::Array(shown.map(|word| Value::Bulk(word.into_bytes())).to_vec()));
    server.connect().run(&["PING"]).expect("the old port is served");
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, free)).is_err());
}
