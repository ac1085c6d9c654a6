//! Servers that follow each other, over real sockets, with links that break.

use perilune_resp::Value;
use perilune_testkit::Connection;
use perilune_tests::{Server, eventually, int, ok};

fn server() -> Server {
    let builder = Server::builder().set("repl-diskless-sync-delay", "0");
    builder.set("enable-debug-command", "yes").start()
}

fn follow(replica: &Server, master: &Server) {
    let port = master.port().to_string();
    run(&mut replica.connect(), &["REPLICAOF", "127.0.0.1", &port]);
}

fn run(client: &mut Connection, command: &[&str]) -> Value {
    client.run(command).expect("the server answers")
}

/// A field of `INFO`.
fn info(client: &mut Connection, name: &str) -> String {
    let Value::Bulk(text) = run(client, &["INFO", "all"]) else { panic!("no text") };
    let text = String::from_utf8(text.to_vec()).expect("INFO is text");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no field {name}")).to_owned()
}

/// Waits until a replica has all of its master's stream; the digests are the same then.
fn until_same(master: &mut Connection, replica: &mut Connection) {
    eventually("the replica to catch up", || {
        let up = info(replica, "master_link_status") == "up";
        let theirs = info(master, "master_repl_offset");
        (up && info(replica, "master_repl_offset") == theirs).then_some(())
    });
    let digest = run(master, &["DEBUG", "DIGEST"]);
    assert_eq!(run(replica, &["DEBUG", "DIGEST"]), digest);
}

fn write_some(client: &mut Connection, round: usize) {
    for number in 0..200 {
        let (key, value) = (format!("key{}", number % 37), format!("value {round} {number}"));
        run(client, &["RPUSH", &key, &value]);
        run(client, &["HSET", &format!("hash{}", number % 5), &key, &value]);
    }
    run(client, &["EVAL", "return redis.call('spop', KEYS[1], 3)", "1", "set"]);
    run(client, &["SADD", "set", "a", "b", "c", "d", "e", "f"]);
}

#[test]
fn a_replica_follows_through_cut_links() {
    let (first, second) = (server(), server());
    let (mut there, mut here) = (first.connect(), second.connect());
    write_some(&mut there, 0);
    follow(&second, &first);
    until_same(&mut there, &mut here);
    for round in 1..4 {
        run(&mut here, &["CLIENT", "KILL", "TYPE", "master"]);
        write_some(&mut there, round);
        until_same(&mut there, &mut here);
    }
    assert_eq!(info(&mut there, "sync_full"), "1");
    assert_eq!(info(&mut there, "sync_partial_ok"), "3");
    assert!(matches!(run(&mut here, &["SET", "k", "v"]), Value::Error(_)));
    assert_eq!(run(&mut there, &["WAIT", "1", "5000"]), int(1));
}

#[test]
fn a_snapshot_takes_the_way_of_files_and_leaves_none() {
    let start = || {
        let builder = Server::builder().set("repl-diskless-sync", "no");
        builder.set("rdb-del-sync-files", "yes").set("enable-debug-command", "yes").start()
    };
    let (first, second) = (start(), start());
    let (mut there, mut here) = (first.connect(), second.connect());
    write_some(&mut there, 0);
    run(&mut here, &["SET", "old", "data"]);
    follow(&second, &first);
    until_same(&mut there, &mut here);
    for server in [&first, &second] {
        let left = || {
            let names = std::fs::read_dir(server.folder()).expect("a folder");
            names.flatten().any(|name| name.path().extension().is_some_and(|it| it == "rdb"))
        };
        eventually("the file to go", || (!left()).then_some(()));
    }
    assert!(first.log().contains("Removing the RDB file used to feed replicas"));
    assert!(second.log().contains("Removing the RDB file obtained from the master"));
}

#[test]
fn a_chain_goes_on_under_a_new_master() {
    let (top, middle, bottom) = (server(), server(), server());
    let (mut first, mut second, mut third) = (top.connect(), middle.connect(), bottom.connect());
    write_some(&mut first, 0);
    follow(&middle, &top);
    until_same(&mut first, &mut second);
    follow(&bottom, &middle);
    until_same(&mut second, &mut third);
    write_some(&mut first, 1);
    until_same(&mut first, &mut second);
    until_same(&mut second, &mut third);
    drop(top);
    let full = info(&mut second, "sync_full");
    run(&mut second, &["REPLICAOF", "NO", "ONE"]);
    write_some(&mut second, 2);
    until_same(&mut second, &mut third);
    assert_eq!(info(&mut second, "sync_full"), full);
}

#[test]
fn a_master_that_is_gone_costs_no_data() {
    let (first, second) = (server(), server());
    let (mut there, mut here) = (first.connect(), second.connect());
    write_some(&mut there, 0);
    follow(&second, &first);
    until_same(&mut there, &mut here);
    let digest = run(&mut there, &["DEBUG", "DIGEST"]);
    drop(first);
    eventually("the link to break", || {
        (info(&mut here, "master_link_status") == "down").then_some(())
    });
    assert_eq!(run(&mut here, &["DEBUG", "DIGEST"]), digest);
    assert_eq!(run(&mut here, &["REPLICAOF", "NO", "ONE"]), ok());
    assert_eq!(run(&mut here, &["DEBUG", "DIGEST"]), digest);
}
