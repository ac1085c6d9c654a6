//! Runs that must end.

use super::Bench;

const KILLED: &str = "!ERR Script killed by user with SCRIPT KILL...";

fn check_killed(source: &str) {
    let mut bench = Bench::new();
    bench.host.interrupts_max = 2;
    let reply = bench.eval(source);
    assert!(reply.starts_with(KILLED), "{source}: {reply}");
    assert!(bench.host.interrupts <= 4, "{source}: went on after the kill");
    bench.host.interrupts_max = u32::MAX;
    assert_eq!(bench.eval("return 1"), ":1");
}

#[test]
fn loops_end() {
    check_killed("while true do end");
    check_killed("local function f() return f() end f()");
    check_killed("while true do redis.call('ping') end");
    check_killed("repeat local t = {} until false");
}

#[test]
fn catching_does_not_help() {
    check_killed("while true do pcall(function() while true do end end) end");
    check_killed(
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
    );
    check_killed("local function f() pcall(f) f() end while true do pcall(f) end");
    check_killed("while true do redis.pcall('nosuch') end");
    check_killed("local r while true do r = load(function() while true do end end) end");
}

#[test]
fn coroutines_and_metamethods_end() {
    check_killed(
        "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
    );
    check_killed("while true do pcall(coroutine.wrap(function() while true do end end)) end");
    check_killed(
        "local t = setmetatable({}, {__index=function() while true do end end}) while true do pcall(function() return t.x end) end",
    );
    check_killed(
        "local p = newproxy(true) getmetatable(p).__tostring = function() while true do end end
         error(p)",
    );
}

#[test]
fn library_functions_end() {
    check_killed("string.find(string.rep('a', 100000), string.rep('a-', 30) .. 'b')");
    check_killed("while true do pcall(table.sort, {3,2,1}, function() while true do end end) end");
    check_killed(
        "while true do pcall(string.gsub, 'aaa', 'a', function() while true do end end) end",
    );
    check_killed("while true do collectgarbage() end");
}

#[test]
fn deep_coroutines_do_not_exhaust_the_native_stack() {
    let mut bench = Bench::new();
    let reply = bench.eval("local function f() return coroutine.wrap(f)() end return f()");
    assert!(reply.contains("C stack overflow"), "{reply}");
    let reply = bench.eval("local function f() return pcall(f) end return f()");
    assert!(reply.starts_with(':') || reply.starts_with('!'), "{reply}");
    let reply = bench.eval("local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end return t.x");
    assert!(reply.contains("stack overflow"), "{reply}");
}
