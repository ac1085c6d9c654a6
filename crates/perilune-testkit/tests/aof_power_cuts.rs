//! Power cuts at every step of appending, rewriting and switching files. What was acknowledged with
//! `appendfsync always` is there afterwards; with `everysec` what was acknowledged more than a second
//! before. Of a transaction all or nothing is there.
//!
//! `PERILUNE_POWER_CUTS` sets the least number of cuts; runs that differ are added until it is reached.

use perilune_commands::config::{AppendFsync, Config};
use perilune_commands::persistence::Pace;
use perilune_resp::Value;
use perilune_testkit::{Client, CrashStorage, FakeEngine, TestServer};
use std::sync::Arc;

/// Transactions per run.
const UNITS: i64 = 12;
/// Transactions per run with `everysec`, which has to see seconds pass.
const UNITS_EVERYSEC: i64 = 30;
/// Time between two of them.
const UNIT_MS: i64 = 100;
/// How many may be lost with `everysec`: those of a second, and the one under way.
const LOST_MAX: i64 = 1000 / UNIT_MS + 1;
/// What a disk may have written beyond its promise.
const KEPT_BYTES: [usize; 4] = [0, 7, 90, 100_000];
/// Cuts of the runs that are always made, at least.
const CUTS: usize = 1000;

/// What a run is like.
#[derive(Debug, Clone, Copy)]
struct Plan {
    policy: AppendFsync,
    preamble: bool,
    kept: usize,
    /// A rewrite begins after so many transactions.
    rewrite_at: [i64; 2],
}

impl Plan {
    fn units(&self) -> i64 {
        if self.policy == AppendFsync::Always { UNITS } else { UNITS_EVERYSEC }
    }

    /// How many of so many acknowledged transactions may be lost.
    fn may_lose(&self) -> i64 {
        if self.policy == AppendFsync::Always { 0 } else { LOST_MAX }
    }

    /// A plan unlike others.
    fn varied(number: usize) -> Plan {
        let first = 1 + number as i64 % 9;
        Plan {
            policy: if number % 3 == 2 { AppendFsync::Everysec } else { AppendFsync::Always },
            preamble: number.is_multiple_of(2),
            kept: number * 7919 % 400,
            rewrite_at: [first, first + 1 + (number / 9) as i64 % 4],
        }
    }
}

fn config(plan: &Plan) -> Config {
    Config {
        dir: "/data".into(),
        appendonly: true,
        appendfsync: plan.policy,
        aof_use_rdb_preamble: plan.preamble,
        ..Config::default()
    }
}

/// A server on this disk, if what is on it can be read and there is power for as long.
fn start(storage: &CrashStorage, plan: &Plan) -> Option<TestServer> {
    let engines: Vec<Box<dyn perilune_script::ScriptEngine>> = vec![Box::new(FakeEngine::new())];
    let shared = Arc::new(storage.clone());
    let mut server = TestServer::build_on(engines, shared, config(plan)).expect("an engine");
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
fn work(storage: &CrashStorage, plan: &Plan) -> Option<i64> {
    let mut server = start(storage, plan)?;
    let client = server.connect();
    let mut acknowledged = 0;
    for unit in 1..=plan.units() {
        for line in ["MULTI", "INCR a", "RPUSH l x", "INCR b", "EXEC"] {
            run(&mut server, client, line);
        }
        if plan.rewrite_at.contains(&unit) {
            run(&mut server, client, "BGREWRITEAOF");
        }
        server.engine.write_effects();
        if server.engine.reply_barrier().is_none() {
            acknowledged = unit;
        }
        server.advance_ms(UNIT_MS.unsigned_abs());
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
fn survivors(storage: &CrashStorage, plan: &Plan) -> [i64; 3] {
    let mut server = start(storage, plan).expect("the files can be read");
    let client = server.connect();
    ["INCRBY a 0", "INCRBY b 0", "LLEN l"].map(|line| match run(&mut server, client, line) {
        Value::Int(value) => value,
        other => panic!("{other:?}"),
    })
}

/// The number of steps that a run without a power cut takes is found by trying.
fn cut_everywhere(plan: &Plan) -> usize {
    for steps in 0.. {
        let storage = CrashStorage::new();
        storage.fail_power_after(steps);
        let acknowledged = work(&storage, plan);
        let finished = !storage.is_dark();
        storage.crash_keeping(plan.kept);
        let [a, b, list] = survivors(&storage, plan);
        assert!(a == b && b == list, "half a unit after {steps} steps: {a} {b} {list}, {plan:?}");
        let promised = acknowledged.unwrap_or(0) - plan.may_lose();
        assert!(a >= promised, "{promised} promised, {a} kept after {steps} steps, {plan:?}");
        assert!(a <= plan.units());
        // What was read back must be good enough to go on from, through another crash.
        storage.crash();
        assert_eq!(survivors(&storage, plan), [a, b, list], "{steps} steps, {plan:?}");
        if finished {
            assert_eq!(acknowledged, Some(plan.units()));
            return steps;
        }
    }
    unreachable!("a run has an end")
}

#[test]
fn whatever_the_moment_nothing_promised_is_lost() {
    let wanted = std::env::var("PERILUNE_POWER_CUTS").ok().and_then(|text| text.parse().ok());
    let mut cuts = 0;
    for policy in [AppendFsync::Always, AppendFsync::Everysec] {
        for preamble in [true, false] {
            for kept in KEPT_BYTES {
                cuts += cut_everywhere(&Plan { policy, preamble, kept, rewrite_at: [3, 7] });
            }
        }
    }
    assert!(cuts > CUTS, "{cuts} cuts");
    let mut number = 0;
    while cuts < wanted.unwrap_or(0) {
        cuts += cut_everywhere(&Plan::varied(number));
        number += 1;
    }
    println!("{cuts} power cuts");
}
