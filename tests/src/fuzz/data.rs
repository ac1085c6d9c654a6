//! Targets that read values: payloads, snapshots, listpacks, nodes of streams.

use super::node::node;
use super::packed::Elements;
use super::payload::Payload;
use super::{Target, effect_of, mutate};
use crate::random::Random;
use perilune_commands::config::Config;
use perilune_keyspace::stream::StreamParts;
use perilune_keyspace::{Keyspace, Listpack, StreamId};
use perilune_rdb::{Meta, ReadOptions, crc64, read_snapshot, write_snapshot};
use perilune_resp::Value;
use perilune_script::ScriptEngine;
use perilune_testkit::{Client, CrashStorage, FakeEngine, TestServer};
use std::sync::Arc;

/// Commands that make values of every type in small and large encodings.
const MAKE: &str = "SET int 12345 | SET text hello | APPEND raw 0123456789012345678901234567890123456789012345678 | \
    RPUSH list a b 1 2 300 -7 100000 | SADD ints 1 2 300 70000 | SADD set a b 1 | HSET hash a 1 b 2 c long-enough | \
    ZADD zset 1 a 2.5 b -inf c | XADD stream 1-1 a 1 b 2 | XADD stream 2-1 a 3 b 4 | XADD stream 3-5 c 5 | \
    XADD stream 4-0 a 6 b 7 | XDEL stream 2-1 | XGROUP CREATE stream g 0 | XGROUP CREATE stream h 2 | \
    XREADGROUP GROUP g alice COUNT 2 STREAMS stream > | XREADGROUP GROUP g bob STREAMS stream > | \
    PFADD hll a b c d | GEOADD geo 13.3 38.1 palermo 15.0 37.5 catania | EXPIREAT int 99999999999";

/// Makers of one element of a large value; `#` is its number.
const MAKE_LARGE: &[&str] = &[
    "RPUSH large-list element-#",
    "SADD large-set member-#",
    "HSET large-hash field-# value-#",
    "ZADD large-zset # member-#",
    "SADD large-ints 1000000#",
];
const LARGE: usize = 200;

/// What is done to a value of whatever type.
const WALK: &str = "TYPE k | OBJECT ENCODING k | MEMORY USAGE k SAMPLES 0 | COPY k copy REPLACE | GET k | STRLEN k | \
    GETRANGE k 0 -1 | BITCOUNT k | PFCOUNT k | LLEN k | LRANGE k 0 -1 | LINDEX k -1 | LPOS k 1 | SCARD k | SMEMBERS k | \
    SISMEMBER k 1 | SRANDMEMBER k 3 | HLEN k | HGETALL k | HGET k a | HRANDFIELD k 3 WITHVALUES | ZCARD k | \
    ZRANGE k 0 -1 WITHSCORES | ZRANGEBYSCORE k -inf +inf | ZRANK k a | ZRANGEBYLEX k - + | ZREVRANGE k 0 2 | XLEN k | \
    XRANGE k - + | XREVRANGE k + - COUNT 3 | XINFO STREAM k FULL | XINFO GROUPS k | XINFO CONSUMERS k g | XPENDING k g | \
    XPENDING k g - + 10 | XAUTOCLAIM k g carol 0 0 | XREADGROUP GROUP g alice STREAMS k > | XACK k g 1-1 | \
    SORT k ALPHA LIMIT 0 5 | GEOPOS k palermo | DUMP k | LINSERT k BEFORE a x | LREM k 0 1 | LSET k 0 y | RPUSH k z | \
    LPOP k | RPOP k | LTRIM k 1 -2 | SADD k new | SREM k a | SPOP k | HSET k new 1 | HDEL k a | HINCRBY k c 1 | \
    ZADD k 1.5 new | ZINCRBY k 1 a | ZREM k b | ZPOPMIN k | ZREMRANGEBYRANK k 0 0 | XADD k * a b | XDEL k 3-5 | XTRIM k MAXLEN 2 | \
    XGROUP DELCONSUMER k g alice | XGROUP SETID k g 0 | XGROUP DESTROY k g | SETRANGE k 2 x | APPEND k x | SETBIT k 9 1 | \
    PFADD k x | INCR k | DUMP k | DEBUG DIGEST-VALUE k";

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// A server with the values, and a client of it.
fn filled() -> (TestServer, Client) {
    let mut server = TestServer::new(vec![Box::new(FakeEngine::new())]);
    let client = server.connect();
    for line in MAKE.split('|') {
        server.reply(client, &words(line));
    }
    for number in 0..LARGE {
        for line in MAKE_LARGE {
            server.reply(client, &words(&line.replace('#', &number.to_string())));
        }
    }
    (server, client)
}

fn keys(server: &mut TestServer, client: Client) -> Vec<Vec<u8>> {
    match server.reply(client, &["KEYS", "*"]) {
        Value::Array(keys) => {
            keys.iter().map(|key| key.as_bytes().unwrap_or_default().to_vec()).collect()
        }
        other => panic!("KEYS answered {other:?}"),
    }
}

/// An error by its text without numbers; of other replies their kind.
pub(super) fn kind_of(reply: &Value) -> u64 {
    match reply {
        Value::Error(text) => effect_of(
            text.iter().filter(|byte| !byte.is_ascii_digit()).take(60).collect::<Vec<_>>(),
        ),
        Value::Status(text) => effect_of(text),
        Value::Array(items) => effect_of(("array", items.len().min(8))),
        other => effect_of(std::mem::discriminant(other)),
    }
}

/// What a reply looks like, down to the first items of its items.
fn shape_of(reply: &Value, depth: usize) -> u64 {
    let magnitude = |number: u64| number.checked_ilog2().map_or(0, |log| 1 + log / 4);
    match reply {
        Value::Int(number) => effect_of(("int", *number < 0, magnitude(number.unsigned_abs()))),
        Value::Bulk(text) => effect_of(("bulk", magnitude(text.len() as u64))),
        Value::Array(items) if depth > 0 => {
            let first = items.iter().take(6).map(|item| shape_of(item, depth - 1));
            effect_of((magnitude(items.len() as u64), first.collect::<Vec<_>>()))
        }
        other => kind_of(other),
    }
}

/// Inputs of which this many in 100 have their bytes changed, whatever they mean.
const BLIND_PERCENT: usize = 20;

/// `RESTORE`, then a walk over the value. The input is a payload without version and checksum.
pub(super) struct Restore {
    server: TestServer,
    client: Client,
}

impl Restore {
    pub(super) fn new() -> Self {
        // With save points every FLUSHALL would save, on a storage that forgets nothing.
        let config = Config { save: Vec::new(), ..Config::default() };
        let engines: Vec<Box<dyn ScriptEngine>> = vec![Box::new(FakeEngine::new())];
        let mut server = TestServer::build_on(engines, Arc::new(CrashStorage::new()), config)
            .unwrap_or_else(|error| panic!("no engine: {error}"));
        let client = server.connect();
        Restore { server, client }
    }

    /// Restores a payload that lacks version and checksum: the reply.
    fn restore(&mut self, input: &[u8]) -> Value {
        let mut payload = input.to_vec();
        payload.extend_from_slice(&perilune_rdb::VERSION.to_le_bytes());
        let checksum = crc64(&payload);
        payload.extend_from_slice(&checksum.to_le_bytes());
        let words_of_restore: [&[u8]; 5] = [b"RESTORE", b"k", b"0", &payload, b"REPLACE"];
        self.server.reply(self.client, &words_of_restore)
    }

    /// Whether a payload that lacks version and checksum is accepted.
    #[cfg(test)]
    pub(super) fn restores(&mut self, input: &[u8]) -> bool {
        self.restore(input) == Value::Status(b"OK".to_vec())
    }
}

/// Bytes of version and checksum behind a payload.
const FOOTER: usize = 10;

impl Target for Restore {
    fn seeds(&mut self) -> Vec<Vec<u8>> {
        let (mut server, client) = filled();
        let keys = keys(&mut server, client);
        let payload = |key: &Vec<u8>| match server.reply(client, &[b"DUMP", key.as_slice()]) {
            Value::Bulk(payload) => payload[..payload.len() - FOOTER].to_vec(),
            other => panic!("DUMP answered {other:?}"),
        };
        let mut seeds: Vec<Vec<u8>> = keys.iter().map(payload).collect();
        seeds.extend(Payload::of_old_types());
        seeds
    }

    fn change(&self, random: &mut Random, input: &mut Vec<u8>, others: &[Vec<u8>]) {
        match Payload::of(input).filter(|_| !random.percent(BLIND_PERCENT)) {
            Some(mut payload) => {
                payload.mutate(random);
                *input = payload.into_bytes();
            }
            None => mutate(random, input, others, self.words()),
        }
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let reply = self.restore(input);
        let mut effect = kind_of(&reply);
        if reply == Value::Status(b"OK".to_vec()) {
            for line in WALK.split('|') {
                let reply = self.server.run(self.client, &words(line));
                let kind = reply.as_ref().map_or(0, |reply| shape_of(reply, 3));
                effect = effect.rotate_left(5) ^ kind;
                if let (Some(Value::Bulk(payload)), true) = (&reply, line.contains("DUMP")) {
                    let again: [&[u8]; 5] = [b"RESTORE", b"again", b"0", payload, b"REPLACE"];
                    let reply = self.server.reply(self.client, &again);
                    assert_eq!(reply, Value::Status(b"OK".to_vec()), "our own payload");
                }
            }
        }
        self.server.reply(self.client, &["FLUSHALL"]);
        effect
    }
}

/// Whole snapshots.
pub(super) struct Snapshot;

impl Target for Snapshot {
    fn seeds(&mut self) -> Vec<Vec<u8>> {
        let (mut server, client) = filled();
        let mut seeds = Vec::new();
        for key in keys(&mut server, client) {
            // Each value alone, so that most changes hit something of interest.
            let mut alone = TestServer::new(vec![Box::new(FakeEngine::new())]);
            let its_client = alone.connect();
            let Value::Bulk(payload) = server.reply(client, &[b"DUMP", key.as_slice()]) else {
                continue;
            };
            alone.reply(its_client, &[b"RESTORE", &key[..], b"0", &payload[..]]);
            seeds.push(written(&alone.engine.keyspace));
        }
        seeds.push(written(&server.engine.keyspace));
        seeds
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let mut keyspace = Keyspace::new(16);
        let options = ReadOptions { unverified: true, ..ReadOptions::default() };
        match read_snapshot(&mut &input[..], &mut keyspace, &options) {
            Err(error) => {
                let text = error.to_string();
                effect_of(
                    text.chars().filter(|it| !it.is_ascii_digit()).take(60).collect::<String>(),
                )
            }
            Ok(loaded) => {
                let again = written(&keyspace);
                let mut copy = Keyspace::new(16);
                let read = read_snapshot(&mut &again[..], &mut copy, &ReadOptions::default());
                assert_eq!(read.map(|it| it.keys).ok(), Some(loaded.keys));
                effect_of((loaded.keys, loaded.empty, loaded.volatile, loaded.libraries.len()))
            }
        }
    }
}

fn written(keyspace: &Keyspace) -> Vec<u8> {
    let mut bytes = Vec::new();
    let library: &[u8] = b"#!lua name=one\nreturn 1";
    let written = write_snapshot(keyspace, [library].into_iter(), &Meta::default(), &mut bytes);
    written.expect("memory takes all");
    bytes
}

/// Listpacks, and changes to them.
pub(super) struct Packed;

impl Target for Packed {
    fn seeds(&mut self) -> Vec<Vec<u8>> {
        let mut small = Listpack::new();
        let mut large = Listpack::new();
        for number in [0, -1, 127, 128, 4095, -4096, 32767, 8_388_607, 2_147_483_647, i64::MIN] {
            small.push_back_int(number);
            small.push_back(b"text");
        }
        for length in [0, 1, 63, 64, 100, 4095, 4096, 5000] {
            large.push_back(&vec![b'x'; length]);
        }
        vec![
            Listpack::new().as_bytes().to_vec(),
            small.as_bytes().to_vec(),
            large.as_bytes().to_vec(),
        ]
    }

    fn change(&self, random: &mut Random, input: &mut Vec<u8>, others: &[Vec<u8>]) {
        match Elements::of(input).filter(|_| !random.percent(BLIND_PERCENT)) {
            Some(mut elements) => {
                elements.mutate(random);
                *input = elements.into_bytes();
            }
            None => mutate(random, input, others, self.words()),
        }
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let mut lp = match Listpack::from_bytes(input.to_vec()) {
            Ok(lp) => lp,
            Err(error) => return effect_of(format!("{error:?}")),
        };
        let texts: Vec<Vec<u8>> = lp.iter().map(|value| value.to_vec()).collect();
        assert_eq!(texts.len(), lp.len());
        let mut backwards = Vec::new();
        let mut pos = lp.last();
        while let Some(here) = pos {
            backwards.push(lp.get(here).to_vec());
            pos = lp.prev(here);
        }
        backwards.reverse();
        assert_eq!(texts, backwards);
        for text in &texts {
            assert!(lp.find(text, 0).is_some());
        }
        let middle = lp.seek((texts.len() / 2) as i64);
        if let Some(middle) = middle {
            let middle = lp.insert_before(middle, b"inserted");
            lp.replace(middle, &[b'y'; 300]);
            lp.remove(middle);
        }
        lp.push_front(b"77");
        lp.remove_range(0, 1);
        lp.check_invariants();
        assert_eq!(lp.iter().map(|value| value.to_vec()).collect::<Vec<_>>(), texts);
        effect_of(("listpack", texts.len().min(32)))
    }
}

/// One node of a stream: its id, then its listpack.
pub(super) struct StreamNode;

impl Target for StreamNode {
    fn seeds(&mut self) -> Vec<Vec<u8>> {
        let (server, _) = filled();
        let mut seeds = Vec::new();
        for entry in server.engine.keyspace.db(0).iter() {
            if let perilune_keyspace::ValueRef::Stream(stream) = entry.value() {
                for (id, node) in stream.nodes() {
                    seeds.push([&id.to_bytes()[..], node.as_bytes()].concat());
                }
            }
        }
        seeds
    }

    fn change(&self, random: &mut Random, input: &mut Vec<u8>, others: &[Vec<u8>]) {
        let parts = input.split_first_chunk::<16>();
        let parts = parts.and_then(|(id, listpack)| Some((*id, Elements::of(listpack)?)));
        match parts.filter(|_| !random.percent(BLIND_PERCENT)) {
            Some((id, _)) if random.percent(40) => *input = [&id[..], &node(random)].concat(),
            Some((id, mut elements)) => {
                elements.mutate(random);
                *input = [&id[..], &elements.into_bytes()].concat();
            }
            None => mutate(random, input, others, self.words()),
        }
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let Some((id, listpack)) = input.split_first_chunk::<16>() else { return 0 };
        let listpack = match Listpack::from_bytes(listpack.to_vec()) {
            Ok(listpack) => listpack,
            Err(_) => return 1,
        };
        let mut parts = StreamParts::default();
        if let Err(error) = parts.add_node(StreamId::from_bytes(*id), listpack) {
            return effect_of(error.to_string());
        }
        let len = parts.len();
        let last = StreamId { ms: u64::MAX, seq: u64::MAX };
        let mut stream = match parts.finish(len, last) {
            Ok(stream) => stream,
            Err(error) => return effect_of(error.to_string()),
        };
        let ids: Vec<StreamId> = stream.iter().map(|entry| entry.id()).collect();
        let shape: Vec<_> = stream.iter().take(6).map(|entry| entry.fields().count()).collect();
        assert_eq!(ids.len() as u64, stream.len());
        for id in &ids {
            assert!(stream.contains(*id));
        }
        let fields: usize = stream.iter().map(|entry| entry.fields().count()).sum();
        stream.check_invariants();
        assert_eq!(stream.delete(&ids[..ids.len() / 2]), ids.len() as u64 / 2);
        stream.check_invariants();
        effect_of((ids.len().min(32), fields.min(64), shape))
    }
}
