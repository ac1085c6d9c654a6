//! Snapshots of an engine, on disks that work, fail and crash.

use super::{Loading, Pace};
use crate::config::{Config, SavePoint};
use crate::digest::Digest;
use crate::engine::Engine;
use crate::environment::ShutdownRequest;
use crate::test_support::TestEngine;
use perilune_keyspace::Rng;
use perilune_persist::Storage;
use perilune_testkit::{CrashStorage, FailingStorage, Step};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

fn engine_on(storage: &(impl Storage + Clone + 'static), config: Config) -> TestEngine {
    TestEngine::on(Arc::new(storage.clone()), config).expect("the table of commands is consistent")
}

/// Without save points, so that nothing is saved unless a test wants it.
fn quiet() -> Config {
    Config { save: Vec::new(), ..Config::default() }
}

/// Lets the snapshot that is being made come to its end.
fn end_snapshot(engine: &mut Engine) {
    while engine.snapshot_cycle(u64::MAX) != Pace::Idle {
        std::thread::yield_now();
    }
}

fn load(engine: &mut Engine) {
    engine.begin_loading().expect("a readable file");
    while engine.load_cycle(0).expect("a readable file") {}
}

/// Everything the databases hold.
fn content(engine: &Engine) -> BTreeMap<(usize, Vec<u8>), (String, Option<i64>)> {
    let entries = engine.keyspace.iter().flat_map(|(index, db)| db.iter().map(move |e| (index, e)));
    entries
        .map(|(index, entry)| {
            let mut digest = Digest::default();
            digest.add_entry(entry);
            let value = format!("{} {}", entry.value().type_name(), digest.hex());
            ((index, entry.name().to_vec()), (value, entry.expire_at()))
        })
        .collect()
}

/// A command that changes something, or nothing.
fn random_command(rng: &mut Rng) -> String {
    let mut key = || format!("k{}", rng.below(40));
    let (a, b) = (key(), key());
    let n = rng.below(1000);
    match rng.below(24) {
        0 | 1 => format!("SET {a} value-{n}"),
        2 => format!("APPEND {a} {n}"),
        3 => format!("DEL {a} {b}"),
        4 => format!("PEXPIRE {a} {}", 5 + n),
        5 => format!("PERSIST {a}"),
        6 => format!("RENAME {a} {b}"),
        7 => format!("RPUSH {a} {n} x{n}"),
        8 => format!("LPOP {a}"),
        9 => format!("HSET {a} f{n} {n}"),
        10 => format!("SADD {a} {n}"),
        11 => format!("SPOP {a}"),
        12 => format!("ZADD {a} {n} m{n}"),
        13 => format!("ZPOPMIN {a}"),
        14 => format!("COPY {a} {b} DB {} REPLACE", rng.below(3)),
        15 => format!("MOVE {a} {}", rng.below(3)),
        16 => format!("SWAPDB {} {}", rng.below(3), rng.below(3)),
        17 if n < 300 => "FLUSHDB".to_owned(),
        18 => format!("SORT {a} BY nosort STORE {b}"),
        19 => format!("INCR {a}"),
        20 => format!("SETRANGE {a} {} y", n % 50),
        21 => format!("GET {a}"),
        22 => format!("UNLINK {a}"),
        _ => format!("SELECT {}", rng.below(3)),
    }
}

#[test]
fn a_snapshot_is_of_the_moment_it_was_asked_for() {
    for seed in 0..150 {
        let storage = CrashStorage::new();
        let mut test = engine_on(&storage, quiet());
        let client = test.client();
        let mut rng = Rng::new(seed);
        test.run(client, "CONFIG SET rdb-key-save-delay 1000");
        for _ in 0..rng.below(300) {
            test.run(client, &random_command(&mut rng));
        }
        assert_eq!(test.run(client, "BGSAVE"), "+Background saving started\r\n");
        let expected = content(&test.engine);
        while test.engine.persistence.is_saving() {
            test.engine.snapshot_cycle(u64::MAX);
            for _ in 0..rng.below(4) {
                test.run(client, &random_command(&mut rng));
            }
            test.pass_ms(rng.below(3) as u64);
            test.engine.expire_cycle(u64::MAX);
        }
        assert!(!test.engine.persistence.last_failed());
        storage.crash();
        let mut again = engine_on(&storage, quiet());
        // Keys whose time was up later are there, too.
        again.engine.config.replicaof =
            Some(crate::config::ReplicaOf { host: "master".to_owned(), port: 1 });
        load(&mut again.engine);
        assert_eq!(content(&again.engine), expected, "seed {seed}");
    }
}

#[test]
fn a_failed_snapshot_stops_writes_until_one_succeeds() {
    let storage = FailingStorage::new(Arc::new(CrashStorage::new()));
    let mut test = engine_on(&storage, Config::default());
    let client = test.client();
    test.run(client, "SET k v");
    storage.fail(Step::Sync, 0);
    test.run(client, "BGSAVE");
    end_snapshot(&mut test.engine);
    assert!(test.run(client, "SET k w").starts_with("-MISCONF Redis is configured to save RDB"));
    assert!(test.run(client, "PING").starts_with("-MISCONF"));
    assert_eq!(test.run(client, "GET k"), "$1\r\nv\r\n");
    assert!(test.run(client, "INFO persistence").contains("rdb_last_bgsave_status:err"));
    test.run(client, "MULTI");
    test.run(client, "SET k w");
    assert!(test.run(client, "EXEC").starts_with("-EXECABORT"));
    test.run(client, "CONFIG SET stop-writes-on-bgsave-error no");
    assert_eq!(test.run(client, "SET k w"), "+OK\r\n");
    test.run(client, "CONFIG SET stop-writes-on-bgsave-error yes");
    storage.heal();
    test.run(client, "BGSAVE");
    end_snapshot(&mut test.engine);
    assert_eq!(test.run(client, "SET k x"), "+OK\r\n");
}

#[test]
fn a_file_that_cannot_be_made_is_told() {
    let storage = FailingStorage::new(Arc::new(CrashStorage::new()));
    storage.fail(Step::Create, 0);
    let mut test = engine_on(&storage, quiet());
    let client = test.client();
    assert_eq!(test.run(client, "SAVE"), "-ERR\r\n");
    assert_eq!(test.run(client, "BGSAVE"), "-ERR\r\n");
    assert!(test.run(client, "INFO persistence").contains("rdb_last_bgsave_status:err"));
}

#[test]
fn changes_are_counted_from_the_begin_of_a_snapshot() {
    let mut test = engine_on(&CrashStorage::new(), quiet());
    let client = test.client();
    test.run(client, "SET a 1");
    test.run(client, "SET b 1");
    test.run(client, "BGSAVE");
    assert!(test.run(client, "BGSAVE").starts_with("-ERR Background save already"));
    assert!(test.run(client, "SAVE").starts_with("-ERR Background save already"));
    test.run(client, "SET a 2");
    end_snapshot(&mut test.engine);
    assert_eq!(test.engine.dirty, 1);
    test.pass_ms(5000);
    test.run(client, "SAVE");
    assert_eq!(test.engine.dirty, 0);
    let now_s = test.engine.now_us / 1_000_000;
    assert_eq!(test.run(client, "LASTSAVE"), format!(":{now_s}\r\n"));
}

#[test]
fn a_reload_during_a_snapshot_does_not_lose_count_of_changes() {
    let mut test = engine_on(&CrashStorage::new(), quiet());
    test.engine.config.enable_debug_command = crate::config::ProtectedAction::Yes;
    let client = test.client();
    test.run(client, "SET a 1");
    test.run(client, "SET b 1");
    test.run(client, "BGSAVE");
    assert_eq!(test.run(client, "DEBUG RELOAD"), "+OK\r\n");
    test.run(client, "SET c 1");
    end_snapshot(&mut test.engine);
    assert_eq!(test.engine.dirty, 1, "the snapshot lacks the last one");
}

#[test]
fn save_points_and_schedules_begin_snapshots() {
    let storage = CrashStorage::new();
    let point = SavePoint { seconds: 10, changes: 2 };
    let mut test = engine_on(&storage, Config { save: vec![point], ..Config::default() });
    test.engine.begin_loading().expect("nothing to load");
    let client = test.client();
    test.run(client, "SET a 1");
    test.pass_ms(11_000);
    test.engine.sample_cycle();
    assert!(!test.engine.persistence.is_saving(), "too few changes");
    test.run(client, "SET a 2");
    test.engine.sample_cycle();
    assert!(test.engine.persistence.is_saving());
    end_snapshot(&mut test.engine);
    test.run(client, "MULTI");
    test.run(client, "BGSAVE");
    assert_eq!(test.run(client, "EXEC"), "*1\r\n+Background saving scheduled\r\n");
    test.engine.sample_cycle();
    assert!(test.engine.persistence.is_saving() && !test.engine.persistence.scheduled);
    end_snapshot(&mut test.engine);
    assert!(storage.exists(Path::new("dump.rdb")).expect("known"));
}

#[test]
fn flushall_calls_a_snapshot_off_and_replaces_the_file() {
    let storage = CrashStorage::new();
    let mut test = engine_on(&storage, quiet());
    let client = test.client();
    test.run(client, "SET a 1");
    test.run(client, "BGSAVE");
    test.run(client, "FLUSHALL");
    assert!(!test.engine.persistence.is_saving() && !test.engine.persistence.last_failed());
    assert_eq!(storage.list(Path::new("")).expect("listed"), [""; 0]);
    test.run(client, "SET a 1");
    test.run(client, "SAVE");
    test.run_words(client, &[b"CONFIG", b"SET", b"save", b"900 1"]);
    test.run(client, "FLUSHALL");
    let mut again = engine_on(&storage, quiet());
    load(&mut again.engine);
    assert!(content(&again.engine).is_empty());
}

#[test]
fn while_the_data_are_read_most_commands_are_refused() {
    let storage = CrashStorage::new();
    let mut test = engine_on(&storage, quiet());
    let client = test.client();
    for n in 0..10 {
        test.run(client, &format!("SET k{n} v PX 100"));
    }
    test.run(client, "SET kept v");
    test.run(client, "SAVE");
    let mut again = engine_on(&storage, Config { key_load_delay: 1000, ..quiet() });
    again.pass_ms(101);
    let client = again.client();
    again.engine.begin_loading().expect("a readable file");
    assert!(again.engine.load_cycle(u64::MAX).expect("a readable file"));
    for command in ["GET kept", "PING", "SAVE", "DBSIZE"] {
        let reply = again.run(client, command);
        assert_eq!(reply, "-LOADING Redis is loading the dataset in memory\r\n", "{command}");
    }
    assert!(again.run(client, "INFO persistence").contains("\r\nloading:1\r\n"));
    assert!(again.run(client, "INFO").contains("\r\nloading_total_bytes:"));
    assert_eq!(again.run(client, "MULTI"), "+OK\r\n");
    assert!(again.run(client, "PING").starts_with("-LOADING"));
    again.run(client, "DISCARD");
    while again.engine.load_cycle(u64::MAX).expect("a readable file") {
        again.pass_ms(1);
    }
    assert_eq!(again.run(client, "GET kept"), "$1\r\nv\r\n");
    let info = again.run(client, "INFO persistence");
    assert!(info.contains("rdb_last_load_keys_expired:10\r\nrdb_last_load_keys_loaded:1\r\n"));
    assert_eq!(again.engine.dirty, 0);
}

#[test]
fn clients_are_served_after_so_many_bytes_were_read() {
    let storage = CrashStorage::new();
    let mut test = engine_on(&storage, quiet());
    let client = test.client();
    for n in 0..500 {
        test.run(client, &format!("SET k{n} 0123456789"));
    }
    test.run(client, "SAVE");
    let often = Config { loading_process_events_interval_bytes: 1024, ..quiet() };
    let mut slices = [quiet(), often].map(|config| {
        let mut again = engine_on(&storage, config);
        again.engine.begin_loading().expect("a readable file");
        let mut slices = 1;
        while again.engine.load_cycle(u64::MAX).expect("a readable file") {
            slices += 1;
        }
        slices
    });
    slices.sort_unstable();
    assert!(slices[0] == 1 && slices[1] > 5, "{slices:?}");
}

#[test]
fn a_damaged_file_keeps_the_server_from_starting() {
    let storage = CrashStorage::new();
    let mut test = engine_on(&storage, quiet());
    let client = test.client();
    test.run(client, "SET k v");
    test.run(client, "SAVE");
    let path = Path::new("dump.rdb");
    let size = storage.open(path).and_then(|file| file.size()).expect("a file");
    storage.truncate(path, size - 1).expect("cut");
    let mut again = engine_on(&storage, quiet());
    again.engine.begin_loading().expect("a header");
    let error = loop {
        match again.engine.load_cycle(u64::MAX) {
            Ok(more) => assert!(more, "the end was not missed"),
            Err(error) => break error,
        }
    };
    assert!(error.starts_with("Fatal error loading the DB: Unexpected EOF"), "{error}");
}

#[test]
fn reload_takes_options() {
    let storage = CrashStorage::new();
    let mut test = engine_on(&storage, quiet());
    let client = test.client();
    test.engine.config.enable_debug_command = crate::config::ProtectedAction::Yes;
    test.run(client, "SET a saved");
    assert_eq!(test.run(client, "DEBUG RELOAD"), "+OK\r\n");
    test.run(client, "SET a changed");
    test.run(client, "SET b added");
    assert!(test.run(client, "DEBUG RELOAD NOSAVE NOFLUSH").starts_with("-ERR Error trying"));
    assert_eq!(test.run(client, "DEBUG RELOAD NOSAVE NOFLUSH MERGE"), "+OK\r\n");
    assert_eq!(test.run(client, "MGET a b"), "*2\r\n$5\r\nsaved\r\n$5\r\nadded\r\n");
    assert_eq!(test.run(client, "DEBUG RELOAD NOSAVE"), "+OK\r\n");
    assert_eq!(test.run(client, "MGET a b"), "*2\r\n$5\r\nsaved\r\n$-1\r\n");
    assert!(test.run(client, "DEBUG RELOAD OTHER").starts_with("-ERR DEBUG RELOAD only"));
}

#[test]
fn a_reload_does_not_disturb_the_snapshot_that_is_being_made() {
    let storage = CrashStorage::new();
    let mut test = engine_on(&storage, quiet());
    let client = test.client();
    test.engine.config.enable_debug_command = crate::config::ProtectedAction::Yes;
    for n in 0..100 {
        test.run(client, &format!("SET k{n} v"));
    }
    test.run(client, "BGSAVE");
    let expected = content(&test.engine);
    test.run(client, "SET later v");
    assert_eq!(test.run(client, "DEBUG RELOAD"), "+OK\r\n");
    assert_eq!(test.run(client, "GET later"), "$1\r\nv\r\n");
    assert!(test.engine.persistence.is_saving());
    end_snapshot(&mut test.engine);
    assert!(!test.engine.persistence.last_failed());
    assert_eq!(storage.list(Path::new("")).expect("a folder"), ["dump.rdb"]);
    let mut again = engine_on(&storage, quiet());
    load(&mut again.engine);
    assert_eq!(content(&again.engine), expected);
}

#[test]
fn the_last_key_takes_its_time_as_well() {
    let mut test = engine_on(&CrashStorage::new(), quiet());
    let client = test.client();
    test.run(client, "SET k v");
    test.run(client, "CONFIG SET rdb-key-save-delay 1000000");
    test.run(client, "BGSAVE");
    test.pass_ms(999);
    assert_eq!(test.engine.snapshot_cycle(u64::MAX), Pace::Wait);
    assert!(test.engine.persistence.is_saving());
    test.pass_ms(1);
    end_snapshot(&mut test.engine);
    assert!(!test.engine.persistence.last_failed());
}

#[test]
fn a_delay_that_is_lowered_counts_for_the_running_snapshot() {
    let mut test = engine_on(&CrashStorage::new(), quiet());
    let client = test.client();
    test.run(client, "SET k v");
    test.run(client, "CONFIG SET rdb-key-save-delay 1000000");
    test.run(client, "BGSAVE");
    test.run(client, "CONFIG SET rdb-key-save-delay 0");
    end_snapshot(&mut test.engine);
    assert!(!test.engine.persistence.last_failed());
}

#[test]
fn a_snapshot_that_panicked_failed_and_makes_room_for_the_next() {
    let mut test = engine_on(&CrashStorage::new(), quiet());
    let client = test.client();
    test.run(client, "SET k v");
    test.run(client, "BGSAVE");
    test.engine.snapshot_panicked();
    assert!(!test.engine.persistence.is_saving() && test.engine.persistence.last_failed());
    assert_eq!(test.run(client, "BGSAVE"), "+Background saving started\r\n");
    end_snapshot(&mut test.engine);
    assert!(!test.engine.persistence.last_failed());
}

#[test]
fn the_end_waits_for_the_data_to_be_safe() {
    let crashing = CrashStorage::new();
    let storage = FailingStorage::new(Arc::new(crashing.clone()));
    let mut test = engine_on(&storage, Config::default());
    let (client, other) = (test.client(), test.client());
    test.run(client, "SET k v");
    storage.fail(Step::Rename, 0);
    assert_eq!(test.run(other, "SHUTDOWN"), "");
    let plain = ShutdownRequest { save: None, now: false, force: false };
    assert!(!test.engine.finish_shutdown(plain));
    assert_eq!(test.late(other), "-ERR Errors trying to SHUTDOWN. Check logs.\r\n");
    assert_eq!(test.run(client, "GET k"), "$1\r\nv\r\n");
    storage.heal();
    assert!(test.engine.finish_shutdown(plain));
    assert!(test.engine.persistence.is_over);
    crashing.crash();
    let mut again = engine_on(&crashing, quiet());
    load(&mut again.engine);
    assert_eq!(content(&again.engine).len(), 1);
}

/// Does not write a snapshot.
const END: ShutdownRequest = ShutdownRequest { save: Some(false), now: false, force: false };

#[test]
fn the_end_waits_for_a_first_base_that_is_being_written() {
    let mut test = engine_on(&CrashStorage::new(), quiet());
    let client = test.client();
    test.run(client, "CONFIG SET appendonly yes");
    assert!(!test.engine.finish_shutdown(END));
    end_snapshot(&mut test.engine);
    assert!(test.engine.finish_shutdown(END));
}

#[test]
fn the_end_does_not_wait_for_a_first_base_behind_another_snapshot() {
    let mut test = engine_on(&CrashStorage::new(), quiet());
    let client = test.client();
    test.run(client, "BGSAVE");
    test.run(client, "CONFIG SET appendonly yes");
    assert!(test.engine.finish_shutdown(END));
}

#[test]
fn the_end_does_not_wait_for_a_first_base_that_failed() {
    let storage = FailingStorage::new(Arc::new(CrashStorage::new()));
    let mut test = engine_on(&storage, quiet());
    let client = test.client();
    storage.fail(Step::Create, 0);
    test.run(client, "CONFIG SET appendonly yes");
    end_snapshot(&mut test.engine);
    assert!(test.run(client, "INFO persistence").contains("aof_rewrite_scheduled:1"));
    assert!(test.engine.finish_shutdown(END));
}

#[test]
fn the_end_does_not_wait_for_a_first_base_of_data_that_are_read() {
    let mut test = engine_on(&CrashStorage::new(), quiet());
    let client = test.client();
    test.run(client, "CONFIG SET appendonly yes");
    test.engine.persistence.loading = Some(Loading::from_master(&test.engine, 0));
    assert!(test.engine.finish_shutdown(END));
}

#[test]
fn an_end_that_was_asked_for_can_be_called_off() {
    let mut test = TestEngine::new();
    let client = test.client();
    assert_eq!(test.run(client, "SHUTDOWN ABORT"), "-ERR No shutdown in progress.\r\n");
    test.engine.request_shutdown(ShutdownRequest { save: None, now: false, force: false });
    assert_eq!(test.run(client, "SHUTDOWN ABORT"), "+OK\r\n");
    assert_eq!(test.run(client, "SHUTDOWN ABORT"), "-ERR No shutdown in progress.\r\n");
    assert_eq!(test.run(client, "SHUTDOWN ABORT NOW"), "-ERR syntax error\r\n");
    assert_eq!(test.run(client, "SHUTDOWN SAVE NOSAVE"), "-ERR syntax error\r\n");
}

#[test]
fn nothing_can_be_saved_and_read() {
    let storage = CrashStorage::new();
    let mut test = engine_on(&storage, quiet());
    let client = test.client();
    assert_eq!(test.run(client, "SAVE"), "+OK\r\n");
    test.run(client, "BGSAVE");
    end_snapshot(&mut test.engine);
    let mut again = engine_on(&storage, quiet());
    load(&mut again.engine);
    assert!(content(&again.engine).is_empty());
}
