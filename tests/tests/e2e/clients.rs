//! Clients that people use, each in a program of its own in `tests/clients`.
//!
//! They are installed on first use, into folders that git ignores. Only a machine without the
//! language's interpreter does without; a client that cannot be installed fails the test.

use perilune_tests::{Server, repository};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Once;

fn folder() -> PathBuf {
    repository().join("tests/clients")
}

fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        println!("{program} is not installed: its clients are not tested");
    }
    found
}

fn set_up() {
    static SET_UP: Once = Once::new();
    SET_UP.call_once(|| {
        let output = Command::new("sh").arg(folder().join("setup.sh")).output().expect("sh starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "tests/clients/setup.sh failed:\n{said}");
    });
}

/// Runs a program against a new server; it says what failed and exits with 1.
fn run(program: &str, script: &str) {
    let server = Server::start();
    let output = Command::new(program)
        .arg(script)
        .arg(server.port().to_string())
        .arg(repository().join("docs/examples"))
        .current_dir(folder())
        .output()
        .expect("the interpreter starts");
    let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat();
    assert!(output.status.success(), "{script}:\n{said}\nserver:\n{}", server.log());
}

#[test]
fn redis_py() {
    if has("python3") {
        set_up();
        let python = folder().join(".venv/bin/python");
        run(&python.to_string_lossy(), "redis_py.py");
    }
}

#[test]
fn ioredis() {
    if has("node") {
        set_up();
        run("node", "ioredis.mjs");
    }
}

#[test]
fn node_redis() {
    if has("node") {
        set_up();
        run("node", "node_redis.mjs");
    }
}

#[test]
fn redis_rs() {
    let server = Server::start();
    let client = redis::Client::open(format!("redis://127.0.0.1:{}/", server.port()));
    let mut connection = client.and_then(|client| client.get_connection()).expect("connects");
    let script = redis::Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    let first: i64 = script.key("n").arg(5).invoke(&mut connection).expect("a number");
    let second: i64 = script.key("n").arg(7).invoke(&mut connection).expect("a number");
    assert_eq!((first, second), (5, 12));

    let flushed: () = redis::cmd("SCRIPT").arg("FLUSH").query(&mut connection).expect("flushed");
    assert_eq!(flushed, ());
    let again: i64 = script.key("n").arg(1).invoke(&mut connection).expect("loaded again");
    assert_eq!(again, 13);

    let mut pipeline = redis::pipe();
    pipeline.atomic().cmd("SET").arg("a").arg("x").ignore();
    for _ in 0..100 {
        pipeline.cmd("EVALSHA").arg(script.get_hash()).arg(1).arg("n").arg(1);
    }
    let replies: Vec<i64> = pipeline.query(&mut connection).expect("all replies");
    assert_eq!(replies, (14..114).collect::<Vec<_>>());

    let error = redis::cmd("INCR").arg("a").query::<i64>(&mut connection).expect_err("no number");
    assert_eq!(error.detail(), Some("value is not an integer or out of range"));
}
