//! The append-only file of a whole engine: what is in it, what is read back from it, and what is
//! left of it when a disk fails.

use perilune_commands::config::{AppendFsync, Config};
use perilune_commands::persistence::Pace;
use perilune_persist::{Storage, read_file};
use perilune_resp::Value;
use perilune_script::ScriptEngine;
use perilune_testkit::{Client, CrashStorage, FailingStorage, FakeEngine, Step, TestServer};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

const FOLDER: &str = "/data/appendonlydir";

fn config(policy: AppendFsync) -> Config {
    Config { dir: "/data".into(), appendonly: true, appendfsync: policy, ..Config::default() }
}

fn engines() -> Vec<Box<dyn ScriptEngine>> {
    vec![Box::new(FakeEngine::new())]
}

/// A server that has not read its files.
fn build(storage: &dyn StorageOf, config: Config) -> TestServer {
    TestServer::build_on(engines(), storage.shared(), config).expect("an engine")
}

/// Storages that a test keeps a hand on.
trait StorageOf {
    fn shared(&self) -> Arc<dyn Storage>;
}

impl StorageOf for CrashStorage {
    fn shared(&self) -> Arc<dyn Storage> {
        Arc::new(self.clone())
    }
}

impl StorageOf for FailingStorage {
    fn shared(&self) -> Arc<dyn Storage> {
        Arc::new(self.clone())
    }
}

/// A server that has read its files and serves.
fn start(storage: &dyn StorageOf, config: Config) -> TestServer {
    let mut server = build(storage, config);
    load(&mut server).unwrap_or_else(|_| panic!("{:?}", log(&server)));
    server
}

fn load(server: &mut TestServer) -> Result<(), String> {
    server.engine.begin_loading()?;
    while server.engine.load_cycle(1000)? {}
    Ok(())
}

fn log(server: &TestServer) -> Vec<String> {
    server.observed.log_lines()
}

fn run(server: &mut TestServer, client: Client, line: &str) -> Value {
    let words: Vec<&str> = line.split(' ').collect();
    let reply = server.reply(client, &words);
    server.engine.write_effects();
    reply
}

/// Lets the regular tick come a few times.
fn tick(server: &mut TestServer) {
    for _ in 0..8 {
        server.advance_ms(600);
        server.engine.sample_cycle();
        while server.engine.snapshot_cycle(u64::MAX) != Pace::Idle {
            std::thread::yield_now();
        }
    }
}

fn content(storage: &dyn Storage, name: &str) -> String {
    let path = Path::new(FOLDER).join(name);
    String::from_utf8_lossy(&read_file(storage, &path).expect(name)).into_owned()
}

fn put(storage: &dyn Storage, path: &str, content: &str) {
    let mut file = storage.create(Path::new(path)).expect("created");
    file.write_all(content.as_bytes()).expect("written");
    file.sync().expect("synced");
}

/// A command as a file tells it.
fn record(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let args: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("*{}\r\n{args}", words.len())
}

const MANIFEST: &str = "/data/appendonlydir/appendonly.aof.manifest";
const INCR: &str = "/data/appendonlydir/appendonly.aof.1.incr.aof";

/// A storage with one incremental file.
fn with_file(text: &str) -> CrashStorage {
    let storage = CrashStorage::new();
    put(&storage, MANIFEST, "file appendonly.aof.1.incr.aof seq 1 type i\n");
    put(&storage, INCR, text);
    storage
}

#[test]
fn effects_are_written_as_units_and_read_back() {
    let storage = CrashStorage::new();
    let mut server = start(&storage, config(AppendFsync::Everysec));
    let client = server.connect();
    for line in ["SET k v", "GET k", "PUBLISH c m", "SELECT 2", "MULTI", "INCR n", "INCR n", "EXEC"]
    {
        run(&mut server, client, line);
    }
    let expected = ["SELECT 0", "SET k v", "MULTI", "SELECT 2", "INCR n", "INCR n", "EXEC"];
    let expected: String = expected.iter().map(|line| record(line)).collect();
    assert_eq!(content(&storage, "appendonly.aof.1.incr.aof"), expected);
    let mut again = start(&storage, config(AppendFsync::Everysec));
    let client = again.connect();
    assert_eq!(run(&mut again, client, "GET k"), Value::bulk("v"));
    run(&mut again, client, "SELECT 2");
    assert_eq!(run(&mut again, client, "INCR n"), Value::Int(3));
}

#[test]
fn a_rewrite_replaces_the_files_and_loses_nothing() {
    for preamble in [true, false] {
        let storage = CrashStorage::new();
        let mut wanted = config(AppendFsync::Everysec);
        wanted.aof_use_rdb_preamble = preamble;
        let mut server = start(&storage, wanted.clone());
        let client = server.connect();
        run(&mut server, client, "RPUSH l a b c");
        run(&mut server, client, "SET k v PX 100000000");
        run(&mut server, client, "BGREWRITEAOF");
        run(&mut server, client, "RPUSH l d");
        tick(&mut server);
        run(&mut server, client, "RPUSH l e");
        let suffix = if preamble { "rdb" } else { "aof" };
        let manifest = format!(
            "file appendonly.aof.2.base.{suffix} seq 2 type b\n\
             file appendonly.aof.2.incr.aof seq 2 type i\n"
        );
        assert_eq!(content(&storage, "appendonly.aof.manifest"), manifest);
        assert_eq!(storage.list(Path::new(FOLDER)).expect("a list").len(), 3);
        let mut again = start(&storage, wanted);
        let client = again.connect();
        assert_eq!(run(&mut again, client, "LLEN l"), Value::Int(5));
        assert!(matches!(run(&mut again, client, "PTTL k"), Value::Int(1..)));
    }
}

#[test]
fn it_can_be_switched_on_and_off() {
    let storage = CrashStorage::new();
    let mut wanted = config(AppendFsync::Everysec);
    wanted.appendonly = false;
    let mut server = build(&storage, wanted);
    let client = server.connect();
    run(&mut server, client, "SET before 1");
    run(&mut server, client, "CONFIG SET appendonly yes");
    run(&mut server, client, "SET meanwhile 1");
    tick(&mut server);
    run(&mut server, client, "SET after 1");
    run(&mut server, client, "CONFIG SET appendonly no");
    run(&mut server, client, "SET lost 1");
    let mut again = start(&storage, config(AppendFsync::Everysec));
    let client = again.connect();
    let keys = run(&mut again, client, "EXISTS before meanwhile after");
    assert_eq!(keys, Value::Int(3));
    assert_eq!(run(&mut again, client, "DBSIZE"), Value::Int(3));
}

#[test]
fn removing_the_history_leaves_the_files_in_use() {
    let storage = CrashStorage::new();
    let mut server = start(&storage, config(AppendFsync::Everysec));
    let client = server.connect();
    let step = |server: &mut TestServer, line: &str| {
        run(server, client, line);
        tick(server);
    };
    step(&mut server, "CONFIG SET aof-disable-auto-gc yes");
    step(&mut server, "SET a 1");
    step(&mut server, "CONFIG SET appendonly no");
    step(&mut server, "BGREWRITEAOF");
    step(&mut server, "CONFIG SET appendonly yes");
    step(&mut server, "SET b 1");
    step(&mut server, "CONFIG SET aof-disable-auto-gc no");
    step(&mut server, "SET c 1");
    let mut again = start(&storage, config(AppendFsync::Everysec));
    let client = again.connect();
    assert_eq!(run(&mut again, client, "EXISTS a b c"), Value::Int(3));
}

#[test]
fn a_torn_tail_is_cut_off() {
    let whole = record("SET a 1");
    for tail in ["*2\r\n$3\r\nGE".to_owned(), record("MULTI") + &record("SET b 1")] {
        let storage = with_file(&(whole.clone() + &tail));
        let mut server = start(&storage, config(AppendFsync::Everysec));
        let client = server.connect();
        assert_eq!(run(&mut server, client, "DBSIZE"), Value::Int(1));
        run(&mut server, client, "SET c 1");
        let expected = whole.clone() + &record("SELECT 0") + &record("SET c 1");
        assert_eq!(content(&storage, "appendonly.aof.1.incr.aof"), expected);
        let cut = format!(
            "!!! Truncating the AOF appendonly.aof.1.incr.aof at offset {} !!!",
            whole.len()
        );
        assert!(log(&server).contains(&cut), "{:?}", log(&server));
        let mut strict = config(AppendFsync::Everysec);
        strict.aof_load_truncated = false;
        let mut server = build(&with_file(&(whole.clone() + &tail)), strict);
        assert!(load(&mut server).is_err());
        assert!(log(&server).last().is_some_and(|line| line.contains("Unexpected end of file")));
    }
}

#[test]
fn what_cannot_be_read_is_told() {
    for (text, told) in [
        (record("SET a 1") + "!!!", "At offset 27: '*' expected, not '!'"),
        (record("NONSENSE a"), "Unknown command 'NONSENSE'"),
        (record("SELECT 99"), "At offset 0: ERR DB index is out of range"),
    ] {
        let mut server = build(&with_file(&text), config(AppendFsync::Everysec));
        assert!(load(&mut server).is_err());
        assert!(log(&server).last().is_some_and(|line| line.contains(told)), "{:?}", log(&server));
    }
    let storage = with_file("");
    put(&storage, MANIFEST, "file x seq 1 type x\n");
    let mut server = build(&storage, config(AppendFsync::Everysec));
    assert!(load(&mut server).is_err());
    assert_eq!(log(&server).last().map(String::as_str), Some("Unknown AOF file type"));
}

#[test]
fn keys_do_not_expire_while_they_are_read() {
    let text = record("RPUSH l a") + &record("PEXPIREAT l 1000") + &record("RPUSH l b");
    let storage = with_file(&text);
    let mut server = start(&storage, config(AppendFsync::Everysec));
    let client = server.connect();
    assert_eq!(run(&mut server, client, "LLEN l"), Value::Int(0));
    assert!(content(&storage, "appendonly.aof.1.incr.aof").ends_with(&record("DEL l")));
}

#[test]
fn a_single_file_of_old_is_taken_over() {
    let storage = CrashStorage::new();
    put(&storage, "/data/appendonly.aof", &(record("SET a 1") + &record("SET b 1")));
    let mut server = start(&storage, config(AppendFsync::Everysec));
    let client = server.connect();
    assert_eq!(run(&mut server, client, "DBSIZE"), Value::Int(2));
    let manifest =
        "file appendonly.aof seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n";
    assert_eq!(content(&storage, "appendonly.aof.manifest"), manifest);
    assert!(!storage.exists(Path::new("/data/appendonly.aof")).expect("known"));
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_room() {
    let disk = FailingStorage::new(Arc::new(CrashStorage::new()));
    let mut server = start(&disk, config(AppendFsync::Everysec));
    let client = server.connect();
    run(&mut server, client, "SET a 1");
    disk.set_space(10);
    run(&mut server, client, "SET b 1");
    let refused =
        Value::Error(b"MISCONF Errors writing to the AOF file: No space left on device".to_vec());
    assert_eq!(run(&mut server, client, "SET c 1"), refused);
    assert_eq!(run(&mut server, client, "PING"), refused);
    assert_eq!(run(&mut server, client, "GET b"), Value::bulk("1"));
    disk.heal();
    tick(&mut server);
    assert_eq!(run(&mut server, client, "SET c 1"), Value::Status(b"OK".to_vec()));
    let expected: String =
        ["SELECT 0", "SET a 1", "SET b 1", "SET c 1"].iter().map(|line| record(line)).collect();
    assert_eq!(content(&disk, "appendonly.aof.1.incr.aof"), expected);
}

#[test]
fn always_keeps_replies_back_until_they_are_true() {
    let disk = FailingStorage::new(Arc::new(CrashStorage::new()));
    let mut server = start(&disk, config(AppendFsync::Always));
    let client = server.connect();
    run(&mut server, client, "SET a 1");
    assert_eq!(server.engine.reply_barrier(), None, "it was synced at once");
    disk.fail(Step::Sync, 0);
    run(&mut server, client, "SET b 1");
    assert!(server.engine.reply_barrier().is_some(), "the reply must not leave");
    tick(&mut server);
    disk.heal();
    tick(&mut server);
    assert_eq!(server.engine.reply_barrier(), Some(u64::MAX), "what the disk has is unknown");
    assert!(log(&server).iter().any(|line| line.contains("Exiting...")));
}

#[test]
fn always_a_sync_that_works_does_not_hide_one_that_failed() {
    let disk = FailingStorage::new(Arc::new(CrashStorage::new()));
    let mut server = start(&disk, config(AppendFsync::Always));
    let (first, second) = (server.connect(), server.connect());
    disk.fail(Step::Sync, 0);
    run(&mut server, first, "SET a 1");
    assert!(server.engine.reply_barrier().is_some(), "the reply must not leave");
    disk.heal();
    run(&mut server, second, "SET b 1");
    assert_eq!(server.engine.reply_barrier(), Some(u64::MAX), "the disk may lack the first");
    assert!(log(&server).iter().any(|line| line.contains("Exiting...")));
}

#[test]
fn always_is_left_only_when_what_was_promised_is_safe() {
    for leaving in ["CONFIG SET appendonly no", "CONFIG SET appendfsync everysec"] {
        let disk = FailingStorage::new(Arc::new(CrashStorage::new()));
        let mut server = start(&disk, config(AppendFsync::Always));
        let client = server.connect();
        disk.fail(Step::Sync, 0);
        run(&mut server, client, "SET a 1");
        disk.heal();
        run(&mut server, client, leaving);
        assert_eq!(server.engine.reply_barrier(), Some(u64::MAX), "{leaving}: the reply waits");
        assert!(log(&server).iter().any(|line| line.contains("Exiting...")), "{leaving}");
    }
}

#[test]
fn everysec_a_failed_sync_refuses_writes_until_one_works() {
    let disk = FailingStorage::new(Arc::new(CrashStorage::new()));
    let mut server = start(&disk, config(AppendFsync::Everysec));
    let client = server.connect();
    server.advance_ms(2000);
    disk.fail(Step::Sync, 0);
    run(&mut server, client, "SET a 1");
    disk.heal();
    server.advance_ms(2000);
    run(&mut server, client, "SET b 1");
    let told = log(&server).iter().filter(|line| line.contains("Fail to fsync")).count();
    assert_eq!(told, 1, "the sync that worked comes after it was noted");
    let refused =
        Value::Error(b"MISCONF Errors writing to the AOF file: Input/output error".into());
    assert_eq!(run(&mut server, client, "SET c 1"), refused);
    tick(&mut server);
    assert_eq!(run(&mut server, client, "SET c 1"), Value::Status(b"OK".to_vec()));
}

#[test]
fn waitaof_is_answered_when_the_disk_has_it() {
    let storage = CrashStorage::new();
    let mut server = start(&storage, config(AppendFsync::No));
    let client = server.connect();
    run(&mut server, client, "SET a 1");
    let late = server.run(client, &["WAITAOF", "1", "0", "0"]);
    assert_eq!(late, None);
    let other = server.connect();
    run(&mut server, other, "CONFIG SET appendfsync always");
    tick(&mut server);
    assert_eq!(
        run(&mut server, other, "WAITAOF 1 0 10"),
        Value::Array(vec![Value::Int(1), Value::Int(0)])
    );
    assert_eq!(server.late(client), Some(Value::Array(vec![Value::Int(1), Value::Int(0)])));
}

#[test]
fn waitaof_fails_when_there_is_no_file_any_more() {
    let storage = CrashStorage::new();
    let mut server = start(&storage, config(AppendFsync::No));
    let client = server.connect();
    run(&mut server, client, "SET a 1");
    assert_eq!(server.run(client, &["WAITAOF", "1", "0", "0"]), None);
    let other = server.connect();
    run(&mut server, other, "CONFIG SET appendonly no");
    let late = server.late(client).expect("it waits no longer");
    let Value::Error(text) = late else { panic!("{late:?}") };
    assert!(String::from_utf8_lossy(&text).ends_with("appendonly is disabled."));
}
