//! Targets in Lua: sources of scripts, and what the libraries read.
//!
//! Scripts may run forever. Time passes with every look at the clock, so they soon count as slow,
//! and another client then kills them. They cannot write, so they can be killed.

use super::data::kind_of;
use super::{Target, effect_of};
use perilune_lua::LuaEngine;
use perilune_testkit::{Client, TestServer};

/// Time that passes with each look at the clock.
const CLOCK_STEP_US: u64 = 50_000;
/// Memory of scripts.
const MEMORY: &str = "64mb";
/// Requests to kill that wait for a slow script.
const KILLS: usize = 4;

/// A server that ends scripts that do not end.
struct Killing {
    server: TestServer,
    client: Client,
    killer: Client,
    waiting: usize,
}

impl Killing {
    fn new() -> Self {
        let mut server = TestServer::new(vec![Box::new(LuaEngine::new())]);
        let (client, killer) = (server.connect(), server.connect());
        server.reply(client, &["CONFIG", "SET", "lua-memory-limit", MEMORY]);
        server.clock.set_step_us(CLOCK_STEP_US);
        Killing { server, client, killer, waiting: 0 }
    }

    fn run(&mut self, script: &[u8], arguments: &[&[u8]]) -> u64 {
        while self.waiting < KILLS {
            self.server.while_slow(self.killer, &["SCRIPT", "KILL"]);
            self.waiting += 1;
        }
        let mut words: Vec<&[u8]> = vec![b"EVAL_RO", script, b"0"];
        words.extend_from_slice(arguments);
        let effect = kind_of(&self.server.reply(self.client, &words));
        self.waiting -= self.server.replies_while_slow().len();
        // Scripts are kept for `EVALSHA`.
        self.server.reply(self.client, &["SCRIPT", "FLUSH", "SYNC"]);
        effect
    }
}

/// Sources.
pub(super) struct Source(Killing);

impl Source {
    pub(super) fn new() -> Self {
        Source(Killing::new())
    }
}

impl Target for Source {
    fn seeds(&mut self) -> Vec<Vec<u8>> {
        [
            "local t = {} for i = 1, 10 do t[#t + 1] = i * 2 end return t",
            "return redis.call('get', 'k') or redis.pcall('nosuch')",
            "local s = string.rep('x', 100) return {s:sub(2, 5), s:find('x+'), (s:gsub('x', 'y', 3))}",
            "local f = function(...) return select('#', ...), ... end return {f(1, nil, 3)}",
            "local c = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) return {c(), c()}",
            "return pcall(error, {err = 'ERR x'})",
            "local m = setmetatable({}, {__index = function(t, k) return k end}) return m.x .. tostring(1.5)",
            "return {cjson.encode({a = {1, 2}}), cmsgpack.pack(1, 'x'), struct.pack('>I2', 7), bit.bor(1, 2)}",
            "local t = {3, 1, 2} table.sort(t, function(a, b) return a < b end) return table.concat(t, ',')",
            "redis.setresp(3) return {double = 1.5, map = {a = 1}} -- end",
            "#!lua flags=no-writes,allow-stale\nreturn string.format('%5.2f %q %s', 1.5, 'a\\n', 'x')",
            "while true do end",
            "local s = 'x' while true do s = s .. s end",
            "repeat local ok = pcall(function() while true do end end) until false",
            "return loadstring('return ' .. 1)() + tonumber('0x10') % 3 ^ 2",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            " and ",
            " or ",
            " not ",
            "(",
            ")",
            "{",
            "}",
            "[[",
            "]]",
            " end ",
            " function(",
            "local ",
            "return ",
            " .. ",
            "#",
            "nil",
            "0/0",
            "1e308",
            "-1",
            "..., ",
            "redis.",
            "string.rep(",
            "('%s'):",
            "unpack(",
            "pcall(",
            "coroutine.",
            "math.huge",
            "table.",
            "2^53",
            "KEYS",
            "--[==[",
            "\\",
            "'",
            "\"",
            "0x",
            "string.char(255)",
            "setmetatable(",
            "__gc",
            "__index",
            "getmetatable('')",
            "_G",
            "loadstring(",
        ]
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        self.0.run(input, &[])
    }
}

/// What libraries read: the first byte of an input chooses the function.
pub(super) struct Libraries(Killing);

impl Libraries {
    pub(super) fn new() -> Self {
        Libraries(Killing::new())
    }
}

/// The functions, as scripts with the input in two halves.
const SCRIPTS: &[&str] = &[
    "return cjson.encode(cjson.decode(ARGV[1] .. ARGV[2]))",
    "return #cmsgpack.pack(cmsgpack.unpack(ARGV[1] .. ARGV[2]))",
    "return {struct.unpack(ARGV[1], ARGV[2])}",
    "return struct.pack(ARGV[1], 1, ARGV[2], 3)",
    "return {string.find(ARGV[2], ARGV[1])}",
    "return {string.gsub(ARGV[2], ARGV[1], '%1%0')}",
    "local n = {} for a, b in string.gmatch(ARGV[2], ARGV[1]) do n[#n + 1] = a end return n",
    "return string.format(ARGV[1], 1.5, ARGV[2], -7, 'x')",
    "return {cmsgpack.unpack_limit(ARGV[2], 2, #ARGV[1])}",
    "return {tonumber(ARGV[1]), tonumber(ARGV[2], 16)}",
    "return redis.sha1hex(ARGV[1]) .. #struct.pack('>s', ARGV[2])",
    "return {redis.pcall(ARGV[1], ARGV[2])}",
];

impl Target for Libraries {
    fn seeds(&mut self) -> Vec<Vec<u8>> {
        let texts: &[(usize, &[u8], &[u8])] = &[
            (0, b"{\"a\":[1,2.5,null,true,\"x\\u00e9\"],", b"\"b\":{\"c\":-1e10}}"),
            (0, b"[[[[[[[[1]]]]]]]", b"]"),
            (
                1,
                b"\x93\x01\xa2ab\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00",
                b"\x81\xa1k\xc0\xcd\x01\x00",
            ),
            (2, b">I2s<i4d!8bx", b"\x01\x02text\x00\x01\x00\x00\x00abcdefgh\x07"),
            (3, b">I4sI8", b"some text"),
            (4, b"^(%a+)%s*=%s*(.-)$", b"name = value"),
            (5, b"[%w_]+%f[%s]", b"one two three"),
            (6, b"(%d+)-?", b"1-22-333"),
            (7, b"%5.3f|%-10s|%05d|%q", b"quoted \"x\"\n"),
            (8, b"xx", b"\x01\x02\x03\x04"),
            (9, b"0x1F", b"ff"),
            (11, b"get", b"key"),
        ];
        texts.iter().map(|(which, a, b)| [&[*which as u8], *a, b"|", *b].concat()).collect()
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "%b()", "%f[", "[^", "]", "(()", "*", "-", "%1", "%s", "%99d", ">", "<", "!16", "i33",
            "c0", "s", "\\u", "\\ud800", "{\"", "[[[[",
        ]
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let Some((which, rest)) = input.split_first() else { return 0 };
        let cut = rest.iter().rposition(|byte| *byte == b'|').unwrap_or(rest.len());
        let (first, second) = (&rest[..cut], rest.get(cut + 1..).unwrap_or_default());
        let which = usize::from(*which) % SCRIPTS.len();
        effect_of((which, self.0.run(SCRIPTS[which].as_bytes(), &[first, second])))
    }
}
