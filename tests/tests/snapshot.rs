//! A snapshot written by Perilune, loaded by a real `redis-server` if a fitting one is on PATH.

use perilune_keyspace::{EncodingLimits, Hash, Keyspace, List, Set, SetEncoding, Value, ZSet};
use perilune_rdb::{Meta, write_snapshot};
use perilune_resp::Value as Reply;
use perilune_testkit::{Address, Connection};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// First version that loads the format written.
const REDIS_MIN: (u32, u32) = (7, 2);
/// How long the server may take to load.
const LOAD_WITHIN: Duration = Duration::from_secs(30);
const DEADLINE_MS: i64 = 4_000_000_000_123;

/// Version of the `redis-server` on PATH.
fn redis_version() -> Option<(u32, u32)> {
    let output = Command::new("redis-server").arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut numbers = text.split_once("v=")?.1.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// A server in a directory of its own; both go away with it.
struct RealRedis {
    process: Child,
    directory: PathBuf,
}

impl RealRedis {
    fn load(snapshot: &[u8]) -> RealRedis {
        let name = format!("perilune-snapshot-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("dump.rdb"), snapshot).unwrap();
        let process = Command::new("redis-server")
            .args(["--port", "0", "--unixsocket", "socket", "--dbfilename", "dump.rdb"])
            .args(["--save", "", "--sanitize-dump-payload", "yes"])
            .current_dir(&directory)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        RealRedis { process, directory }
    }

    fn connect(&mut self) -> Connection {
        let address = Address::Unix(self.directory.join("socket"));
        let start = Instant::now();
        loop {
            if let Ok(mut connection) = Connection::open(&address)
                && connection.run(&["PING"]).is_ok_and(|reply| !matches!(reply, Reply::Error(_)))
            {
                return connection;
            }
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("redis-server refused the snapshot: {status}");
            }
            assert!(start.elapsed() < LOAD_WITHIN, "redis-server does not answer");
            thread::yield_now();
        }
    }
}

impl Drop for RealRedis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn text_of(number: usize) -> Vec<u8> {
    match number % 5 {
        0 => number.to_string().into_bytes(),
        1 => format!("-{number}000000000").into_bytes(),
        2 => format!("text {number} ").repeat(number % 7 + 1).into_bytes(),
        3 => vec![0, 0xFF, number as u8, (number >> 8) as u8],
        _ => format!("{:040}", number * 7919).into_bytes(),
    }
}

fn list(len: usize, limits: &EncodingLimits) -> Value {
    let mut list = List::new();
    (0..len).for_each(|number| list.push_back(&text_of(number), limits));
    Value::List(list)
}

fn hash(len: usize, limits: &EncodingLimits) -> Value {
    let mut hash = Hash::new();
    for number in 0..len {
        hash.set(number.to_string().as_bytes(), &text_of(number % 3), limits);
    }
    Value::Hash(hash)
}

fn set(members: impl Iterator<Item = Vec<u8>>, limits: &EncodingLimits) -> Value {
    let mut set = Set::new(SetEncoding::Intset);
    members.for_each(|member| _ = set.add(&member, limits));
    Value::Set(set)
}

fn zset(len: usize, limits: &EncodingLimits) -> Value {
    let mut zset = ZSet::new();
    for number in 0..len {
        zset.add(number.to_string().as_bytes(), (number as f64 - 50.0) / 8.0, limits);
    }
    zset.add(b"low", f64::NEG_INFINITY, limits);
    zset.add(b"high", f64::INFINITY, limits);
    Value::ZSet(zset)
}

/// Values by key, each in the encoding that Redis chooses for it by default.
fn values() -> BTreeMap<&'static str, Value> {
    let limits = EncodingLimits::default();
    let compressed = EncodingLimits { list_compress_depth: 1, ..limits };
    let plain = EncodingLimits { list_packed_threshold: 5000, ..limits };
    let mut large = List::new();
    large.push_back(b"before", &plain);
    large.push_back(&b"0123456789".repeat(2000), &plain);
    large.push_back(b"after", &plain);
    let numbers =
        |count: i64| (0..count).map(|n| (n * 1_000_003 - 70_000).to_string().into_bytes());
    BTreeMap::from([
        ("int8", Value::Int(-128)),
        ("int16", Value::Int(32_767)),
        ("int32", Value::Int(-2_147_483_648)),
        ("int64", Value::Int(i64::MAX)),
        ("empty", Value::string(b"")),
        ("short", Value::string(b"short")),
        ("noise", Value::string(&(0..=255).collect::<Vec<u8>>())),
        ("long", Value::string(&b"again and ".repeat(10_000))),
        ("list-small", list(10, &limits)),
        ("list-large", list(5000, &limits)),
        ("list-compressed", list(5000, &compressed)),
        ("list-plain", Value::List(large)),
        ("hash-small", hash(10, &limits)),
        ("hash-large", hash(1000, &limits)),
        ("set-ints", set(numbers(300), &limits)),
        ("set-small", set((0..50).map(text_of), &limits)),
        ("set-large", set((0..2000).map(text_of), &limits)),
        ("zset-small", zset(10, &limits)),
        ("zset-large", zset(1000, &limits)),
    ])
}

fn keyspace() -> Keyspace {
    let mut keyspace = Keyspace::new(16);
    for (index, volatile) in [(0, false), (7, true), (15, false)] {
        for (key, value) in values() {
            keyspace.db_mut(index).insert(key.as_bytes(), value, 0);
            if volatile {
                keyspace.db_mut(index).set_expire(key.as_bytes(), Some(DEADLINE_MS));
            }
        }
    }
    keyspace
}

/// The command that reads a whole value, and its reply; unordered content is sorted.
fn content(value: &Value) -> (Vec<&'static str>, Vec<Vec<u8>>) {
    let mut words = Vec::new();
    match value {
        Value::List(list) => {
            list.for_range(0, list.len(), false, |element| words.push(element.to_vec()));
            (vec!["LRANGE", "0", "-1"], words)
        }
        Value::Hash(hash) => {
            hash.iter().for_each(|(name, value)| words.extend([name.to_vec(), value.to_vec()]));
            (vec!["HGETALL"], words)
        }
        Value::Set(set) => {
            set.iter().for_each(|member| words.push(member.to_vec()));
            (vec!["SMEMBERS"], words)
        }
        Value::ZSet(zset) => {
            for scored in zset.iter() {
                words.extend([scored.member.to_vec(), scored.score.to_string().into_bytes()]);
            }
            (vec!["ZRANGE", "0", "-1", "WITHSCORES"], words)
        }
        string => (vec!["GET"], vec![string.as_ref().as_string().unwrap().into_owned()]),
    }
}

fn sorted(value: &Value, words: Vec<Vec<u8>>) -> Vec<Vec<Vec<u8>>> {
    let width = if matches!(value, Value::Hash(_) | Value::ZSet(_)) { 2 } else { 1 };
    let mut entries: Vec<_> = words.chunks(width).map(<[_]>::to_vec).collect();
    if matches!(value, Value::Hash(_) | Value::Set(_)) {
        entries.sort();
    }
    entries
}

fn texts(reply: Reply) -> Vec<Vec<u8>> {
    match reply {
        Reply::Array(items) => items.into_iter().flat_map(texts).collect(),
        Reply::Bulk(text) => vec![text.to_vec()],
        other => panic!("unexpected reply {other:?}"),
    }
}

fn check_value(redis: &mut Connection, key: &str, value: &Value) {
    let encoding = redis.run(&["OBJECT", "ENCODING", key]).unwrap();
    assert_eq!(texts(encoding), [value.as_ref().encoding().as_bytes()], "{key}");
    let (mut request, expected) = content(value);
    request.insert(1, key);
    let found = texts(redis.run(&request).unwrap());
    assert!(sorted(value, found) == sorted(value, expected), "{key} has another content");
}

#[test]
fn redis_loads_what_we_write() {
    match redis_version() {
        None => return println!("skipped: there is no redis-server on PATH"),
        Some(version) if version < REDIS_MIN => {
            return println!("skipped: redis-server {version:?} is older than {REDIS_MIN:?}");
        }
        Some(_) => {}
    }
    let library =
        b"#!lua name=answers\nredis.register_function('answer', function() return 42 end)";
    let mut snapshot = Vec::new();
    let meta = Meta { now_s: 1_700_000_000, used_memory: 1 << 20, ..Meta::default() };
    let libraries = [&library[..]].into_iter();
    write_snapshot(&keyspace(), libraries, &meta, &mut snapshot).unwrap();
    let mut server = RealRedis::load(&snapshot);
    let mut redis = server.connect();
    assert_eq!(redis.run(&["FCALL", "answer", "0"]).unwrap(), Reply::Int(42));
    for (index, deadline) in [("0", -1), ("7", DEADLINE_MS), ("15", -1)] {
        redis.run(&["SELECT", index]).unwrap();
        assert_eq!(redis.run(&["DBSIZE"]).unwrap(), Reply::Int(values().len() as i64));
        for (key, value) in values() {
            check_value(&mut redis, key, &value);
            assert_eq!(redis.run(&["PEXPIRETIME", key]).unwrap(), Reply::Int(deadline), "{key}");
        }
    }
}
