//! The load that a server is given while it counts what it executes, for the profile of release
//! builds: every case of the benchmark, and a few of each of the other commands that servers get all
//! day, so that those are not built as if they never came.

use std::path::Path;

use anyhow::Result;

use super::requests::Pool;
use super::server::{Client, Server, Setup};
use super::{cells, load, prepare};

/// Requests of each case that a server is trained with.
const TRAINING: u64 = 20_000;

/// The other commands.
const OTHERS: &[&str] = &[
    "MSET other:1 a other:2 b",
    "MGET other:1 other:2 other:3",
    "EXISTS other:1 other:3",
    "SETEX other:3 100 value",
    "SET other:4 value NX PX 100000",
    "EXPIRE other:1 1000",
    "TTL other:1",
    "TYPE other:1",
    "APPEND other:5 text",
    "STRLEN other:5",
    "GETRANGE other:5 0 3",
    "INCRBYFLOAT other:6 1.5",
    "DECRBY other:7 3",
    "SETBIT other:8 7 1",
    "HMSET other:h a 1 b 2 c three",
    "HGET other:h a",
    "HMGET other:h a b d",
    "HINCRBY other:h a 2",
    "HEXISTS other:h a",
    "HDEL other:h c",
    "RPUSH other:l a b c",
    "LRANGE other:l 0 10",
    "LINDEX other:l 1",
    "LPOP other:l",
    "RPOP other:l",
    "LMOVE other:l other:m LEFT RIGHT",
    "LTRIM other:m 0 20",
    "BLPOP other:m 1",
    "SMEMBERS other:s",
    "SADD other:s a b c 1",
    "SISMEMBER other:s b",
    "SREM other:s c",
    "SPOP other:s",
    "SCARD other:s",
    "ZADD other:z 1 a 2 b 3 c",
    "ZINCRBY other:z 1.5 a",
    "ZSCORE other:z b",
    "ZRANK other:z c",
    "ZRANGE other:z 0 -1 WITHSCORES",
    "ZPOPMIN other:z",
    "ZREM other:z b",
    "ZREMRANGEBYSCORE other:z 5 6",
    "XADD other:x MAXLEN ~ 100 * field value",
    "XLEN other:x",
    "XREVRANGE other:x + - COUNT 5",
    "XREAD COUNT 3 STREAMS other:x 0",
    "MULTI",
    "SET other:1 queued",
    "INCR other:7",
    "EXEC",
    "WATCH other:1",
    "UNWATCH",
    "PUBLISH channel message",
    "SCAN 0 COUNT 20",
    "PING",
    "DEL other:5 other:8",
    "UNLINK other:6",
];

/// How often [`OTHERS`] are sent.
const ROUNDS: usize = 500;

/// Sends a server that counts what it executes every case, a fixed number of requests each, and
/// ends it, upon which it writes its counts into `folder`.
pub(crate) fn train(binary: &Path, folder: &Path) -> Result<()> {
    let variable = format!("LLVM_PROFILE_FILE={}/%p.profraw", folder.display());
    let under = ["env", &variable];
    let (name, cores, extra) = ("trained server", None, &[][..]);
    let server =
        Server::start_with(&Setup { name, binary, cores, folder: None, extra, under: &under })?;
    for cell in cells() {
        let pool = Pool::new(&prepare(&cell, &server)?, cell.depth);
        load::send(&server, &pool, cell.depth, 50, TRAINING).map_err(anyhow::Error::msg)?;
    }
    let mut client = Client::connect(server.address)?;
    for line in std::iter::repeat_n(OTHERS, ROUNDS).flatten() {
        client.call(&line.split(' ').collect::<Vec<_>>())?;
    }
    server.shut_down()
}
