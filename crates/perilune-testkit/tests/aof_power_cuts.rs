//! Power cuts at every step of appending, rewriting and switching files: what was acknowledged with
//! `appendfsync always` is there afterwards, and of a transaction all or nothing.

use perilune_commands::config::{AppendFsync, Config};
use perilune_commands::persistence::Pace;
use perilune_resp::Value;
use perilune_testkit::{Client, CrashStorage, FakeEngine, TestServer};
use std::sync::Arc;

/// Transactions per run.
const UNITS: i64 = 12;
/// A rewrite begins after so many of them, once per run.
const REWRITE_AT: [i64; 2] = [3, 7];
/// What a disk may have written beyond its promise.
const KEPT_BYTES: [usize; 4] = [0, 7, 90, 100_000];

fn config(preamble: bool) -> Config {
    Config {
        dir: "/data".into(),
        appendonly: true,
        appendfsync: AppendFsync::Always,
        aof_use_rdb_preamble: preamble,
        ..Config::default()
    }
}

/// A server on this disk, if what is on it can be read and there is power for as long.
fn start(storage: &CrashStorage, preamble: bool) -> Option<TestServer> {
    let engines: Vec<Box<dyn perilune_script::ScriptEngine>> = vec![Box::new(FakeEngine::new())];
    let shared = Arc::new(storage.clone());
    let mut server = TestServer::build_on(engines, shared, config(preamble)).expect("an engine");
    server.engine.begin_loading().expect("nothing is read yet");
    loop {
        match server.engine.load_cycle(u64::MAX) {
            Ok(true) => {}
            Ok(false) => return Some(server),
            Err(_) if storage.is_dark() => return None,
            Err(_) => panic!("{:?}", server.observed.log_lines()),
        }
    }
}

fn run(server: &mut TestServer, client: Client, line: &str) -> Value {
    let words: Vec<&str> = line.split(' ').collect();
    server.reply(client, &words)
}

/// Runs transactions that add one to two counters each, and a rewrite in between, until the power
/// fails. The number of those that were acknowledged; none: there was no server to begin with.
fn work(storage: &CrashStorage, preamble: bool) -> Option<i64> {
    let mut server = start(storage, preamble)?;
    let client = server.connect();
    let mut acknowledged = 0;
    for unit in 1..=UNITS {
        for line in ["MULTI", "INCR a", "RPUSH l x", "INCR b", "EXEC"] {
            run(&mut server, client, line);
        }
        if REWRITE_AT.contains(&unit) {
            run(&mut server, client, "BGREWRITEAOF");
        }
        server.engine.write_effects();
        if server.engine.reply_barrier().is_none() {
            acknowledged = unit;
        }
        server.advance_ms(100);
        server.engine.sample_cycle();
        while server.engine.snapshot_cycle(u64::MAX) != Pace::Idle {
            std::thread::yield_now();
        }
        server.engine.write_effects();
        if storage.is_dark() {
            break;
        }
    }
    Some(acknowledged)
}

/// What is there after the power came back: the counters and the length of the list.
fn survivors(storage: &CrashStorage, preamble: bool) -> [i64; 3] {
    let mut server = start(storage, preamble).expect("the files can be read");
    let client = server.connect();
    ["INCRBY a 0", "INCRBY b 0", "LLEN l"].map(|line| match run(&mut server, client, line) {
        Value::Int(value) => value,
        other => panic!("{other:?}"),
    })
}

/// The number of steps that a run without a power cut takes is found by trying.
fn cut_everywhere(preamble: bool, kept: usize) -> usize {
    for steps in 0.. {
        let storage = CrashStorage::new();
        storage.fail_power_after(steps);
        let acknowledged = work(&storage, preamble);
        let finished = !storage.is_dark();
        storage.crash_keeping(kept);
        let [a, b, list] = survivors(&storage, preamble);
        assert!(a == b && b == list, "half a unit after {steps} steps: {a} {b} {list}");
        let acknowledged = acknowledged.unwrap_or(0);
        assert!(a >= acknowledged, "{acknowledged} acknowledged, {a} kept after {steps} steps");
        assert!(a <= UNITS);
        // What was read back must be good enough to go on from, through another crash.
        storage.crash();
        assert_eq!(survivors(&storage, preamble), [a, b, list]);
        if finished {
            assert_eq!(acknowledged, UNITS);
            return steps;
        }
    }
    unreachable!("a run has an end")
}

#[test]
fn whatever_the_moment_nothing_acknowledged_is_lost() {
    let mut cuts = 0;
    for preamble in [true, false] {
        for kept in KEPT_BYTES {
            cuts += cut_everywhere(preamble, kept);
        }
    }
    assert!(cuts > 500, "{cuts} cuts");
}
