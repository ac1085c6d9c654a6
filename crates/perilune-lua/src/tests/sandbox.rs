//! Errors, protection and isolation.

use super::{Bench, check};
use perilune_script::{Invocation, LogLevel, ReplFlags, ScriptEngine};

const PLACE: &str = " on @user_script:1";

/// Texts of which each Lua has its own.
const YIELD_ERROR: &str = match cfg!(feature = "luajit") {
    true => "ERR attempt to yield across C-call boundary",
    false => "ERR attempt to yield across metamethod/C-call boundary",
};
const BYTECODE_ERROR: &str = match cfg!(feature = "luajit") {
    true => "$51 [string \"...\"]:1: unexpected symbol near 'char(27)'",
    false => "$52 [string \"\u{1b}Lua\"]:1: unexpected symbol near 'char(27)'",
};

#[test]
fn errors_have_redis_texts() {
    let cases = [
        ("error({err='My Err'})", "My Err"),
        ("error()", "ERR nil"),
        ("error('x')", "ERR user_script:1: x"),
        ("error('x',0)", "ERR x"),
        ("error(true)", "ERR true"),
        ("error({})", "ERR unknown error"),
        ("error({err=5})", "5"),
        ("error(setmetatable({},{__index=function() error('x') end}))", "ERR unknown error"),
        ("redis.call()", "ERR Please specify at least one argument for this redis lib call"),
        (
            "redis.call('get', nil)",
            "ERR Lua redis lib command arguments must be strings or integers",
        ),
        ("redis.call({})", "ERR Lua redis lib command arguments must be strings or integers"),
        ("redis.sha1hex()", "ERR wrong number of arguments"),
        ("redis.setresp(4)", "ERR RESP version must be 2 or 3."),
        ("redis.setresp()", "ERR redis.setresp() requires one argument."),
        ("redis.log(1)", "ERR redis.log() requires two arguments or more."),
        ("redis.log('x','y')", "ERR First argument must be a number (log level)."),
        ("redis.log(7,'x')", "ERR Invalid debug level."),
        ("redis.set_repl()", "ERR redis.set_repl() requires one argument."),
        ("redis.acl_check_cmd('foo')", "ERR Invalid command passed to redis.acl_check_cmd()"),
        ("assert(false,'boo')", "ERR user_script:1: boo"),
        ("string.x()", "ERR user_script:1: attempt to call field 'x' (a nil value)"),
        ("local function f() return 1+f() end return f()", "ERR user_script:1: stack overflow"),
        ("coroutine.yield(1)", YIELD_ERROR),
        (
            "_G[{}]()",
            "ERR user_script:1: Second argument to luaProtectedTableError must be a string or number",
        ),
        (
            "return x",
            "ERR user_script:1: Script attempted to access nonexistent global variable 'x'",
        ),
    ];
    let mut bench = Bench::new();
    for (source, text) in cases {
        assert_eq!(bench.eval(source), format!("!{text}{PLACE}"), "{source}");
    }
    assert_eq!(
        bench.eval("redis.call('nosuch')"),
        format!("!ERR Unknown Redis command called from script{PLACE} counted")
    );
    assert_eq!(bench.eval("foo"), "?user_script:1: '=' expected near '<eof>'");
    assert_eq!(bench.eval("\n\nerror('x')"), "!ERR user_script:3: x on @user_script:3");
}

#[test]
fn errors_can_be_caught() {
    check(&[
        (
            "return {pcall(redis.call,'nosuch')}",
            "*2 $-1 $44 ERR Unknown Redis command called from script",
        ),
        (
            "return {xpcall(function() redis.call('nosuch') end, function(e) return type(e) end)}",
            "*2 $-1 $5 table",
        ),
        (
            "return {xpcall(function() error('a') end, function(e) return e end)}",
            "*2 $-1 $16 user_script:1: a",
        ),
        (
            "return {xpcall(function() return 1, 2 end, print or type)}",
            "!ERR user_script:1: Script attempted to access nonexistent global variable 'print' on @user_script:1",
        ),
        ("return {xpcall(function() return 1, 2 end, type)}", "*3 :1 :1 :2"),
        ("return select('#', pcall(error))", ":2"),
        ("return {pcall(error,{err='x',a=1})}", "*2 $-1 $1 x"),
        (
            "return select(2, coroutine.resume(coroutine.create(function() error('x') end)))",
            "$16 user_script:1: x",
        ),
        ("return coroutine.wrap(function() return redis.call('ping') end)()", "+PONG"),
        (
            "local c=coroutine.wrap(function(a) local b=coroutine.yield(a) return a+b end) return {c(1), c(2)}",
            "*2 :1 :3",
        ),
        (
            "local c=coroutine.create(function() end) local s=coroutine.status(c) coroutine.resume(c) return {s, coroutine.status(c), select(2, coroutine.resume(c))}",
            "*3 $9 suspended $4 dead $28 cannot resume dead coroutine",
        ),
    ]);
}

#[test]
fn shared_tables_are_readonly() {
    let with_place = [
        "redis.call=1",
        "string.foo=1",
        "x=1",
        "_G.x=1",
        "KEYS=1",
        "server.x=1",
        "getmetatable(_G).__index=nil",
        "getmetatable('').__index=nil",
        "getmetatable('').__index.x=nil",
        "function string.rep() end",
        "os.x=1",
        "getfenv(1).x=1",
        "getfenv(0).x=1",
        "_G[nil]=1",
        "string[0/0]=1",
        "redis.call=nil",
        "redis.nosuch=nil",
        "setmetatable({},{__newindex=string}).x=1",
    ];
    let without = [
        "rawset(string,'a',1)",
        "rawset(_G,'x',1)",
        "setmetatable(_G,{})",
        "setmetatable(redis,nil)",
        "table.insert(string,'x')",
        "rawset(getmetatable(''),'a',1)",
        "rawset(string,'__gc',1)",
        "setmetatable(getmetatable(_G),{})",
    ];
    let mut bench = Bench::new();
    let text = "Attempt to modify a readonly table";
    for source in with_place {
        assert_eq!(bench.eval(source), format!("!ERR user_script:1: {text}{PLACE}"), "{source}");
    }
    for source in without {
        assert_eq!(bench.eval(source), format!("!ERR {text}{PLACE}"), "{source}");
    }
}

/// Walks all that code can reach and raises what of it can be changed.
const TOUCH_EVERYTHING: &str = "
    local seen, changed, tables = {}, {}, 0
    local refused = 'Attempt to modify a readonly table'
    local function touch(name, action, ...)
        local ok, text = pcall(action, ...)
        if ok or text ~= refused then changed[#changed + 1] = name end
    end
    local visit
    local function visit_table(t, name)
        tables = tables + 1
        for key, value in pairs(t) do
            visit(key, name)
            visit(value, name .. '.' .. tostring(key))
        end
        touch(name, rawset, t, 'new', 1)
        touch(name, rawset, t, next(t) or 1, nil)
        touch(name, table.insert, t, 1)
        touch(name, setmetatable, t, nil)
    end
    function visit(value, name)
        if value == nil or seen[value] then return end
        seen[value] = true
        if type(value) == 'table' then visit_table(value, name) end
        if type(value) == 'function' then visit(getfenv(value), name .. ' env') end
        visit(getmetatable(value), name .. ' meta')
    end
    if rawget(_G, 'KEYS') then seen[KEYS], seen[ARGV] = true, true end
    for value, name in pairs({[_G] = '_G', [getfenv(0)] = 'env', [''] = 'text', [1] = 'number'}) do
        visit(value, name)
    end
    if #changed > 0 or tables < 12 then error(table.concat(changed, ' ') .. tables) end
";

#[test]
fn nothing_that_can_be_reached_can_be_changed() {
    let mut bench = Bench::new();
    let script = format!("{TOUCH_EVERYTHING} return redis.status_reply('OK')");
    assert_eq!(bench.eval_with(&script, &[b"k"], &[b"a"]), "+OK");
    let code = format!("redis.register_function('f', function() {script} end)");
    let functions = bench.engine.load_library(code.as_bytes(), &mut bench.host).unwrap();
    assert_eq!(bench.call(functions[0].handle, &[], &[]), "+OK");
}

#[test]
fn shared_tables_can_be_read() {
    check(&[
        ("for k,v in pairs(string) do if k == 'rep' then return k end end", "$3 rep"),
        ("local n=0 for k in pairs(_G) do n=n+1 end return n > 30", ":1"),
        ("return type(next(redis))", "$6 string"),
        ("return rawget(_G,'x')", "$-1"),
        ("return type(rawget(redis,'call'))", "$8 function"),
        ("return redis == server and _G._G == _G and getfenv(0) == _G", ":1"),
        ("return getmetatable(string)", "$-1"),
        ("return type(getmetatable(_G).__index)", "$8 function"),
        ("return getmetatable('').__index == string", ":1"),
        ("return {#redis, table.maxn(redis), tostring(next(bit) ~= nil)}", "*3 :0 :0 $4 true"),
        ("local n=0 table.foreach(bit, function() n=n+1 end) return n", ":12"),
        ("return redis", "*0"),
        ("return ('x'):rep(3)", "$3 xxx"),
        ("return redis.REDIS_VERSION_NUM", ":459268"),
        ("return type(os.clock())", "$6 number"),
        ("return os.time", "$-1"),
        ("return _VERSION", "$7 Lua 5.1"),
        ("return redis.breakpoint()", "$-1"),
        ("return redis.replicate_commands()", ":1"),
        ("return redis.sha1hex('')", "$40 da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ("return redis.error_reply('a')", "!ERR a"),
        ("return redis.error_reply('-a b')", "!a b"),
        ("return redis.status_reply('OK')", "+OK"),
        ("return redis.status_reply(1)", "!ERR wrong number or type of arguments"),
        ("return redis.acl_check_cmd('flushall')", "$-1"),
    ]);
}

#[test]
fn nothing_outlives_a_run() {
    let mut bench = Bench::new();
    let handle = bench
        .engine
        .compile(
            b"local e, s = type(redis), setfenv s(1,{x=1}) s(0,{}) return e",
            "",
            &mut bench.host,
        )
        .unwrap();
    for _ in 0..3 {
        assert_eq!(bench.call(handle, &[], &[]), "$5 table");
        assert_eq!(bench.eval("return type(loadstring('return redis')())"), "$5 table");
    }
    bench.eval("KEYS.x=1 KEYS[7]=2 setmetatable(ARGV,{__index=function() return 1 end})");
    assert_eq!(
        bench.eval("return {tostring(KEYS.x), #KEYS, tostring(ARGV.y)}"),
        "*3 $3 nil :0 $3 nil"
    );
    assert_eq!(
        bench.eval_with("return {#KEYS, KEYS[1], ARGV[2]}", &[b"k"], &[b"a", b"b"]),
        "*3 :1 $1 k $1 b"
    );
    assert_eq!(bench.eval("return #KEYS + #ARGV"), ":0");
    bench.eval("collectgarbage('stop') collectgarbage('setpause', 100000)");
    for _ in 0..200 {
        bench.eval("local s = string.rep('x', 100000) return #s");
    }
    assert!(bench.engine.memory_used() < 8 << 20);
}

#[test]
fn many_runs_do_not_grow_the_heap() {
    let mut bench = Bench::new();
    let handle =
        bench.engine.compile(b"return redis.call('get', KEYS[1])", "", &mut bench.host).unwrap();
    let key: [&[u8]; 1] = [b"key"];
    let before = bench.engine.memory_used();
    for _ in 0..20_000 {
        bench.call(handle, &key, &[]);
        bench.host.commands.clear();
    }
    assert!(bench.engine.memory_used() < before + (1 << 20));
}

#[test]
fn bytecode_and_finalizers_are_refused() {
    check(&[
        ("return select(2,loadstring('\\27Lua'))", BYTECODE_ERROR),
        ("return loadstring('return 1+1')()", ":2"),
        ("return loadstring('x x', 'chunk') == nil", ":1"),
        ("local n=0 return load(function() n=n+1 return ({'return ', '4', '2'})[n] end)()", ":42"),
        ("return select(2, load(function() error('a') end))", "$16 user_script:1: a"),
        (
            "return select(2, load(function() return {} end))",
            "$36 reader function must return a string",
        ),
        ("local p=newproxy(true) getmetatable(p).__index=function() return 5 end return p.x", ":5"),
        (
            "local p=newproxy(true) getmetatable(p).__gc=function() end",
            "!ERR user_script:1: finalizers are not available on @user_script:1",
        ),
        (
            "rawset(getmetatable(newproxy(true)),'__gc',1)",
            "!ERR user_script:1: finalizers are not available on @user_script:1",
        ),
        (
            "setmetatable(getmetatable(newproxy(true)),nil)",
            "!ERR user_script:1: cannot change a protected metatable on @user_script:1",
        ),
    ]);
}

#[test]
fn settings_reach_the_host() {
    let mut bench = Bench::new();
    bench.eval("\n redis.log(redis.LOG_WARNING, 'a', 1, {}, 'b') redis.set_repl(redis.REPL_AOF)");
    assert_eq!(bench.host.log_line, Some(2));
    assert_eq!(bench.host.log, [(LogLevel::Warning, b"a 1 b".to_vec())]);
    assert_eq!(bench.host.repl, ReplFlags::AOF);
}

#[test]
fn stale_handles_are_refused() {
    let mut bench = Bench::new();
    let first = bench.engine.compile(b"return 1", "", &mut bench.host).unwrap();
    bench.engine.forget(first);
    bench.engine.forget(first);
    let second = bench.engine.compile(b"return 2", "", &mut bench.host).unwrap();
    assert_ne!(first, second);
    assert_eq!(bench.call(first, &[], &[]), "!ERR the script engine does not know this script");
    assert_eq!(bench.call(second, &[], &[]), ":2");
}

#[test]
fn memory_is_limited() {
    let mut bench = Bench::new();
    bench.engine.set_memory_limit(Some(16 << 20));
    let reply = bench.eval("local t={} for i=1,1e9 do t[i]={i} end");
    assert_eq!(reply, "!ERR Error running script f_sha, not enough memory");
    assert_eq!(bench.eval("return 1"), ":1");
}

/// An engine that may use so many bytes.
fn limited(bytes: usize) -> Bench {
    let mut bench = Bench::new();
    bench.engine.set_memory_limit(Some(bytes));
    bench
}

#[test]
fn memory_that_native_functions_take_is_limited() {
    const LIMIT: usize = 16 << 20;
    let mut bench = limited(LIMIT);
    let refused = "!ERR Error running script f_sha, not enough memory";
    let cases = [
        "local t = {0,0,0,0,0,0,0,0,0,0,0,0}
         for i = 1, 12 do t[i] = string.rep(string.char(64 + i), 8388608) end",
        "local t = {0,0,0,0} for i = 1, 4 do t[i] = redis.call('wide', 1000000) end",
        "return #cmsgpack.unpack('\\221\\0\\16\\0\\0' .. string.rep('\\144', 1048576))",
        "return #cjson.decode('[' .. string.rep('[],', 1000000) .. '1]')",
    ];
    for case in cases {
        let before = bench.engine.memory_used();
        let reply = bench.eval(case);
        // In LuaJIT the handler of errors, which finds no memory either, has the last word.
        let by_handler = reply.ends_with("error in error handling");
        assert!(reply == refused || cfg!(feature = "luajit") && by_handler, "{case}: {reply}");
        let peak = before + bench.engine.memory_growth();
        assert!(peak > LIMIT && peak < 3 * LIMIT, "{case}: {peak}");
        assert_eq!(bench.eval("return #string.rep('a', 5000000)"), ":5000000");
    }
}

#[test]
fn garbage_is_not_what_memory_is_refused_for() {
    let mut bench = limited(16 << 20);
    let reply = bench.eval(
        "local n = 0
         for i = 1, 40 do
           local s = string.rep(string.char(i), 6000000)
           n = n + string.len(s) + #redis.call('wide', 100000)
         end
         return n",
    );
    assert_eq!(reply, ":244000000");
}

#[test]
fn scripts_can_give_memory_back() {
    let mut bench = limited(16 << 20);
    for release in ["collectgarbage()", "collectgarbage('step')", ""] {
        for function in ["redis.pcall, 'ping'", "string.len, 'a'", "string.gsub, 'a', 'a', 'a'"] {
            let reply = bench.eval(&format!(
                "local reply = redis.call('wide', 4000000)
                 local ok, text = pcall({function})
                 reply = nil {release}
                 local s = string.rep('b', 9)
                 return tostring(ok) .. text"
            ));
            assert_eq!(reply, "$22 falsenot enough memory", "{function}: {release}");
        }
    }
}

#[test]
fn scripts_without_memory_can_be_killed() {
    let mut bench = limited(16 << 20);
    bench.host.interrupts_max = 300;
    for turn in ["pcall(string.len, 'a')", "collectgarbage()", "pcall(redis.pcall, 'ping')"] {
        let reply = bench
            .eval(&format!("local reply = redis.call('wide', 4000000) while true do {turn} end"));
        assert!(reply.starts_with("!ERR Script killed by user"), "{turn}: {reply}");
        assert!(bench.host.interrupts <= 310, "{turn}: went on after the kill");
        bench.host.interrupts = 0;
    }
}

#[test]
fn a_panic_of_the_host_goes_past_the_script() {
    let mut bench = Bench::new();
    let handle =
        bench.engine.compile(b"pcall(redis.call, 'panic') return 1", "", &mut bench.host).unwrap();
    let input = Invocation { keys: &[], args: &[] };
    let mut bytes = Vec::new();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut out = perilune_resp::RespWriter::new(&mut bytes, bench.client);
        bench.engine.call(handle, input, &mut bench.host, &mut out)
    }));
    assert!(caught.is_err());
    assert_eq!(bench.eval("return 1"), ":1");
}

#[test]
fn seeds_do_not_outlive_their_script() {
    let mut bench = Bench::new();
    let draw = "return tostring(math.random())";
    let seeded = "math.randomseed(5) return tostring(math.random())";
    let from_seed = bench.eval(seeded);
    let first = bench.eval(draw);
    let second = bench.eval(draw);
    assert_ne!(first, second);
    let mut other = Bench::new();
    assert_eq!(other.eval(draw), first);
    assert_eq!(other.eval(seeded), from_seed);
    assert_eq!(other.eval(draw), second);
}

#[test]
fn a_compiler_that_takes_long_can_be_killed() {
    let mut bench = Bench::new();
    // Every `or` walks the list of jumps of all before it.
    let source = format!("return a{}", " or a".repeat(400_000));
    bench.host.interrupts_max = 1000;
    let error = bench.engine.compile(source.as_bytes(), "", &mut bench.host).unwrap_err();
    assert_eq!(error.message, "Script killed by user with SCRIPT KILL...");
    bench.host.interrupts_max = u32::MAX;
    assert_eq!(bench.eval("return 1"), ":1");
}
