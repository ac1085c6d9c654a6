//! The load that a server is given while it counts what it executes, for the profile of release
//! builds: every case of the benchmark, a few of each of the other commands that servers get all day,
//! and what scripts call of Lua's libraries, so that those are not built as if they never came.

use std::path::Path;

use anyhow::{Result, bail};

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

/// What scripts do, `i` being a number, `s` a text and `t` a table.
const SCRIPTS: &[&str] = &[
    "x = string.format('%s:%d', s, i)",
    "x = string.format('%05d %x %.2f %g %5s', i, i, i / 7, i / 8, 'ab')",
    "x = 'key:' .. i .. ':' .. s",
    "x = tostring(i) .. tostring(i / 3) .. tostring(true)",
    "x = tonumber('17') + tonumber('1.5') + '3' + (tonumber(s) or 0)",
    "x = s:sub(2, 5) .. s:sub(-3) .. s:len() .. #s",
    "x = s:byte(1) + #string.char(65, 66) + s:byte(-1)",
    "x = s:find('wor', 1, true) or s:find('w%a+')",
    "x = s:match('^(%a+) (%a+)$')",
    "x = s:match('[^ ]+') .. (s:match('o(.-)o') or '')",
    "for word in s:gmatch('%w+') do x = word end",
    "x = s:gsub('o', '0'):gsub('%s+', '')",
    "x = s:gsub('%a+', function(word) return word:upper() end)",
    "x = s:upper() .. s:lower() .. s:reverse() .. ('ab'):rep(3)",
    "table.insert(t, i) table.insert(t, 1, i) table.remove(t) table.remove(t, 1)",
    "t[#t + 1] = i if #t > 20 then t = {} end",
    "x = table.concat({'a', i, s}, ',') .. select('#', unpack({1, 2, 3}))",
    "local u = {5, 3, i, 1, 4} table.sort(u) table.sort(u, function(a, b) return a > b end)",
    "local u = {a = 1, b = 2, [i] = 3} for k, v in pairs(u) do x = v end u[s] = i",
    "for k, v in ipairs({1, 2, 3}) do x = v end",
    "x = math.floor(i / 3) + math.max(i, 5) + math.min(i, 7) + math.abs(-i) + math.random(9)",
    "local f = function(y) return y + i end x = f(1) x = pcall(f, 2) x = type(f) == 'function'",
    "local u = setmetatable({}, {__index = function(_, k) return k end}) x = u[i] .. u.y",
    "x = bit.band(i, 255) + bit.bor(i, 1) + bit.lshift(i, 2) x = bit.tohex(i)",
    "x = cjson.encode({a = i, b = s, c = {1, 2.5, true}}) x = cjson.decode(x).c[2]",
    "x = cmsgpack.pack({a = i, b = s, c = {1, 2.5, true}}) x = cmsgpack.unpack(x).c[2]",
    "x = struct.pack('>I4I2', i, 7) x = struct.unpack('>I4I2', x)",
    "x = redis.sha1hex(s)",
    "redis.call('RPUSH', KEYS[1] .. ':l', i) x = redis.call('LRANGE', KEYS[1] .. ':l', 0, -1)
     redis.call('LTRIM', KEYS[1] .. ':l', 0, 5)",
    "redis.call('HSET', KEYS[1] .. ':h', 'f' .. i % 9, i) x = redis.call('HGETALL', KEYS[1] .. ':h')",
    "redis.call('ZADD', KEYS[1] .. ':z', i, 'm' .. i % 9) x = redis.call('ZCARD', KEYS[1] .. ':z')",
    "x = redis.call('ZRANGE', KEYS[1] .. ':z', 0, -1, 'WITHSCORES')",
    "x = redis.call('TIME')[1] x = redis.call('EXISTS', KEYS[1]) == 1",
    "x = redis.pcall('INCR', KEYS[1] .. ':l').err x = redis.status_reply('OK')",
    "local co = coroutine.wrap(function() for j = 1, 3 do coroutine.yield(j) end end) x = co()",
];

/// How often a script does it, and how often it is called.
const STEPS: usize = 50;
const CALLS: usize = 200;

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
    for step in SCRIPTS {
        call_often(&mut client, step)?;
    }
    server.shut_down()
}

/// Runs a script that does `step` often.
fn call_often(client: &mut Client, step: &str) -> Result<()> {
    let script = format!(
        "local s, t, x = ARGV[1], {{}}, nil for i = 1, {STEPS} do {step} end
         return {{tostring(x), #t}}"
    );
    for _ in 0..CALLS {
        let reply = client.call(&["EVAL", &script, "1", "other:script", "hello world"])?;
        if reply.starts_with(b"-") {
            bail!("{step}: {}", reply.escape_ascii());
        }
    }
    Ok(())
}
