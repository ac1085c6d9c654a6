//! The same random commands to our server and to a real `redis-server`: the replies are equal.
//!
//! Sequences come from fixed seeds. They leave out whatever depends on the moment, such as a TTL,
//! and everything in which versions of Redis differ, so that any from 7.0 on can be the other side.

use perilune_resp::{Value, format_cli};
use perilune_testkit::Connection;
use perilune_tests::{Server, ServerBuilder, redis_server};
use std::time::{Duration, Instant};

const SEEDS: u64 = 8;
const COMMANDS_PER_SEED: usize = 1500;
/// The seeds left after this are not run, so that a slow machine is not held up.
const TIME_MAX: Duration = Duration::from_secs(20);

/// A small generator (xorshift64*): the same sequence for the same seed, everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

/// Commands with holes: `K` a key, `V` a value, `M` a member or field, `I` an integer, `F` a
/// number, `S` a score bound, `D` an end of a list, `X` and `Y` scripts. Some are wrong.
const TEMPLATES: &str = "
    | SET K V | SET K V NX | SET K V XX GET | SETRANGE K 3 V | GET K | GETDEL K | APPEND K V
    | STRLEN K | INCRBY K I | DECR K | INCRBYFLOAT K F | GETRANGE K I I | MSET K V K V
    | MGET K K K | SETNX K V | GETSET K V | SETBIT K 7 1 | GETBIT K 6 | BITCOUNT K
    | LPUSH K V V | RPUSH K V | LPUSHX K V | LPOP K | RPOP K 2 | LRANGE K I I | LINDEX K I
    | LSET K I V | LINSERT K BEFORE V V | LREM K I V | LTRIM K I I | LLEN K | LPOS K V
    | LMOVE K K D D | RPOPLPUSH K K | LMPOP 2 K K D COUNT 2 | SADD K M M | SREM K M
    | SISMEMBER K M | SMISMEMBER K M M | SCARD K | SMOVE K K M | SINTERCARD 2 K K
    | SINTERSTORE K K K | SUNIONSTORE K K K | SDIFFSTORE K K K | HSET K M V M V | HGET K M
    | HDEL K M | HEXISTS K M | HLEN K | HMGET K M M | HINCRBY K M I | HINCRBYFLOAT K M F
    | HSETNX K M V | HSTRLEN K M | ZADD K F M F M | ZADD K GT CH F M | ZADD K NX F M
    | ZADD K INCR F M | ZREM K M | ZSCORE K M | ZMSCORE K M M | ZCARD K | ZRANK K M
    | ZREVRANK K M | ZINCRBY K F M | ZRANGE K I I | ZRANGE K I I WITHSCORES | ZREVRANGE K I I
    | ZCOUNT K S S | ZRANGEBYSCORE K S S WITHSCORES | ZRANGE K S S BYSCORE LIMIT 1 2
    | ZREMRANGEBYRANK K I I | ZREMRANGEBYSCORE K S S | ZPOPMIN K | ZPOPMAX K 2
    | ZUNIONSTORE K 2 K K WEIGHTS 2 3 | ZINTERSTORE K 2 K K AGGREGATE MAX | ZINTERCARD 2 K K
    | ZDIFFSTORE K 2 K K | ZRANGESTORE K K I I | ZLEXCOUNT K - + | DEL K | EXISTS K K | TYPE K
    | RENAME K K | RENAMENX K K | COPY K K | COPY K K REPLACE | PERSIST K | EXPIRETIME K
    | EXPIREAT K 9999999999 XX | PEXPIREAT K 8888888888888 NX | EXPIREAT K 9999999999 | DBSIZE
    | SORT K ALPHA | SORT K LIMIT 0 2 DESC ALPHA | TOUCH K K | UNLINK K | EVAL X 1 K V
    | EVAL Y 2 K K M | SET K | GET | LPUSH K | ZADD K V M | NOSUCH K | SET K V EX 0
    | LSET K V V | HSET K M | PFADD K M M | PFCOUNT K | SETBIT K 7 0 | BITOP AND K K K
    | BITPOS K 1 | GEOADD K 1 2 M | XADD K 5-1 a V | XLEN K | XRANGE K - +
";

const SCRIPTS: [(&str, &str); 2] = [
    (
        "X",
        "local t = redis.pcall('type', KEYS[1])['ok'] return {t, redis.pcall('set', KEYS[1], ARGV[1], 'NX')}",
    ),
    (
        "Y",
        "local n = redis.pcall('sadd', KEYS[1], ARGV[1]) return {n, redis.pcall('scard', KEYS[2])}",
    ),
];

/// The templates of commands that both servers have, and of one that neither has.
fn templates(clients: [&mut Connection; 2]) -> Vec<&'static str> {
    let mut templates: Vec<&str> = TEMPLATES.split('|').map(str::trim).collect();
    templates.retain(|template| !template.is_empty());
    for client in clients {
        templates.retain(|template| {
            let name = template.split(' ').next().unwrap_or_default();
            let info = client.run(&["COMMAND", "INFO", name]).expect("a reply");
            name == "NOSUCH"
                || matches!(&info, Value::Array(rows) if matches!(rows[..], [Value::Array(_)]))
        });
    }
    templates
}

fn command(random: &mut Random, templates: &[&str]) -> Vec<String> {
    let template = random.pick(templates);
    let words = template.split(' ').map(|word| match word {
        "K" => random.pick(&["k1", "k2", "k3", "k4", "k5", "k6"]).to_owned(),
        "V" => random
            .pick(&[
                "a",
                "b",
                "10",
                "-7",
                "3.25",
                "",
                "longer than an embedded string may be, by far",
            ])
            .to_owned(),
        "M" => random.pick(&["a", "b", "c", "1", "2", "300", "member"]).to_owned(),
        "I" => random.pick(&["0", "1", "2", "-1", "-2", "5", "100", "x"]).to_owned(),
        "F" => random.pick(&["0", "1", "-1.5", "2.25", "1e3", "inf", "nope"]).to_owned(),
        "S" => random.pick(&["-inf", "+inf", "(1", "0", "2", "(1e3", "x"]).to_owned(),
        "D" => random.pick(&["LEFT", "RIGHT", "UP"]).to_owned(),
        word => match SCRIPTS.iter().find(|(name, _)| *name == word) {
            Some((_, script)) => (*script).to_owned(),
            None => word.to_owned(),
        },
    });
    words.collect()
}

/// Everything in the data set, in an order that both servers share.
fn content(client: &mut Connection) -> String {
    let mut text = String::new();
    for key in ["k1", "k2", "k3", "k4", "k5", "k6"] {
        let kind = format_cli(&client.run(&["TYPE", key]).expect("a reply"));
        let read: &[&str] = match kind.trim() {
            "string" => &["GET", key],
            "list" => &["LRANGE", key, "0", "-1"],
            "set" => &["SORT", key, "ALPHA"],
            "zset" => &["ZRANGE", key, "0", "-1", "WITHSCORES"],
            "hash" => &["HGETALL", key],
            _ => continue,
        };
        let mut reply = client.run(read).expect("a reply");
        if let (true, Value::Array(items)) = (kind.trim() == "hash", &mut reply) {
            let mut pairs: Vec<String> =
                items.chunks(2).map(|pair| pair.iter().map(format_cli).collect()).collect();
            pairs.sort();
            *items = pairs.iter().map(Value::bulk).collect();
        }
        text.push_str(&format!("{key} {kind}{}", format_cli(&reply)));
    }
    text
}

fn compare(ours: &mut Connection, theirs: &mut Connection, templates: &[&str], seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    for client in [&mut *ours, &mut *theirs] {
        client.run(&["FLUSHALL"]).expect("a reply");
        client.run(&["HELLO", if seed.is_multiple_of(2) { "2" } else { "3" }]).expect("a reply");
    }
    let mut history = Vec::new();
    for number in 0..COMMANDS_PER_SEED {
        let words = command(&mut random, templates);
        history.push(words.join(" "));
        let (our, their) =
            (ours.run(&words).expect("a reply"), theirs.run(&words).expect("a reply"));
        if our != their {
            let tail = &history[history.len().saturating_sub(12)..];
            panic!(
                "seed {seed}, command {number}\n{}\nours:\n{}theirs:\n{}",
                tail.join("\n"),
                format_cli(&our),
                format_cli(&their)
            );
        }
    }
    assert_eq!(content(ours), content(theirs), "seed {seed}");
}

#[test]
fn random_commands_have_equal_replies() {
    let Some(redis) = redis_server() else {
        println!("no redis-server on the search path: nothing to compare with");
        return;
    };
    let (ours, theirs) = (Server::start(), ServerBuilder::of(&redis).start());
    let (mut ours, mut theirs) = (ours.connect(), theirs.connect());
    let templates = templates([&mut ours, &mut theirs]);
    assert!(templates.len() > 100, "only {} kinds of commands", templates.len());
    let start = Instant::now();
    for seed in (0..SEEDS).take_while(|_| start.elapsed() < TIME_MAX) {
        compare(&mut ours, &mut theirs, &templates, seed);
    }
}

#[test]
fn tables_of_scripts_are_walked_in_the_same_order() {
    let Some(redis) = redis_server() else {
        println!("no redis-server on the search path: nothing to compare with");
        return;
    };
    let (ours, theirs) = (Server::start(), ServerBuilder::of(&redis).start());
    let (mut ours, mut theirs) = (ours.connect(), theirs.connect());
    let script = include_str!("../../../crates/perilune-lua/src/tables/orders.lua");
    for seed in ["4", "5", "6"] {
        let words = ["EVAL", script, "0", seed];
        let answer = ours.run(&words).expect("a reply");
        assert!(matches!(answer, Value::Bulk(_)), "{}", format_cli(&answer));
        assert_eq!(answer, theirs.run(&words).expect("a reply"), "seed {seed}");
    }
}
