//! Runs that must end.

use super::Bench;
#[cfg(not(feature = "luajit"))]
use perilune_script::ScriptEngine;

const KILLED: &str = "!ERR Script killed by user with SCRIPT KILL...";

fn check_killed(source: &str) {
    let mut bench = Bench::new();
    bench.host.interrupts_max = 2;
    let reply = bench.eval(source);
    assert!(reply.starts_with(KILLED), "{source}: {reply}");
    // Others are served, and so the host is asked, while a block that is being made is completed.
    assert!(bench.host.interrupts <= 100, "{source}: went on after the kill");
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

#[test]
fn coroutines_that_never_fill_an_instruction_count_end() {
    check_killed(
        "local function a() for i = 1, 200 do end end
         local function b() for i = 1, 100 do coroutine.wrap(a)() end end
         while true do coroutine.wrap(b)() end",
    );
    check_killed("local function f() return coroutine.wrap(f)() end while true do pcall(f) end");
    check_killed(
        "local c = coroutine.wrap(function() while true do coroutine.yield() end end)
         while true do c() end",
    );
}

#[test]
fn instructions_over_large_values_end() {
    let cases = [
        "local y = s .. s while true do local x = s .. s end",
        "while true do local x = s .. s end",
        "local a, b = s .. 'a', s .. 'b' while true do local x = a < b end",
        "for i = 1, 1000000 do end while true do local x = s + 0 end",
        "while true do tonumber(s) end",
        "local n = 0 while true do n = (n + 1) % 1000 local x = s:sub(n) end",
        "while true do struct.pack('s', s) end",
        "while true do redis.log(redis.LOG_DEBUG, s) redis.call('echo', s) end",
    ];
    for case in cases {
        check_killed(&format!("local s = string.rep('1', 10000000) {case}"));
    }
    let cases = [
        "for i = 1, 1000000 do t[i] = nil end while true do next(t) end",
        "local k = 0 while true do k = k + 1 t['a' .. k] = 1 t['a' .. k] = nil end",
    ];
    for case in cases {
        check_killed(&format!("local t = {{}} for i = 1, 1000000 do t[i] = 1 end {case}"));
    }
}

/// Compares a long string with itself, after enough short instructions to make questions rare, and
/// returns how often the host was asked meanwhile.
#[cfg(not(feature = "luajit"))]
const COMPARE: &str = "
    for i = 1, 1000000 do end
    local before = redis.call('interrupts')
    for i = 1, 32 do if s < s then return 0 end end
    return redis.call('interrupts') - before";

#[cfg(not(feature = "luajit"))]
#[test]
fn strings_that_libraries_hold_are_known_to_be_long() {
    let mut bench = Bench::new();
    let code = format!(
        "local s = 'x' for i = 1, 27 do s = s .. s end
         redis.register_function('f', function() {COMPARE} end)"
    );
    let functions = bench.engine.load_library(code.as_bytes(), &mut bench.host).unwrap();
    for _ in 0..2 {
        let reply = bench.call(functions[0].handle, &[], &[]);
        let asked: u32 = reply.trim_start_matches(':').parse().unwrap();
        assert!(asked >= 8, "asked {asked} times");
    }
}

#[cfg(not(feature = "luajit"))]
#[test]
fn few_slow_instructions_run_unasked_after_many_fast_ones() {
    let mut bench = Bench::new();
    let reply = bench.eval(&format!("local s = string.rep('x', 134217728) {COMPARE}"));
    let asked: u32 = reply.trim_start_matches(':').parse().unwrap();
    // Two instructions for each of 32 turns: the first question comes early, and the others often.
    assert!(asked >= 24, "asked {asked} times");
}

#[cfg(not(feature = "luajit"))]
#[test]
fn huge_garbage_slows_no_later_script_down() {
    let mut bench = Bench::new();
    assert_eq!(bench.eval("return #string.rep('x', 67108864)"), ":67108864");
    assert!(bench.engine.memory_used() < 8 << 20);
    bench.host.interrupts = 0;
    assert_eq!(bench.eval("local n = 0 for i = 1, 1000 do n = n + i end return n"), ":500500");
    assert!(bench.host.interrupts < 20, "asked {} times", bench.host.interrupts);
}

#[test]
fn compilation_of_quadratic_programs_ends() {
    check_killed(
        "local s = 'while 1 do ' .. string.rep('do break end ', 60000) .. ' end'
         while true do loadstring(s) end",
    );
}

#[test]
fn replies_of_shared_tables_end() {
    let shared = "local t = {1} for i = 1, 60 do t = {t, t} end return t";
    let itself = "local t = {} t[1] = t t[2] = t return t";
    let map = "redis.setresp(3) local t = {} t.map = {a = t, b = t} return t";
    for script in [shared, itself, map] {
        let mut bench = Bench::new();
        bench.host.interrupts_max = 100;
        assert!(bench.eval(script).starts_with(KILLED), "{script}");
        bench.host.interrupts_max = u32::MAX;
        assert_eq!(bench.eval("return {1, {2}}"), "*2 :1 *1 :2");
    }
}

#[test]
fn replies_that_are_too_large_are_refused() {
    let mut bench = Bench::new();
    let too_large = "!ERR the reply of the script is too large";
    let script = "local s = string.rep('a', 1000000) local t = {} for i = 1, 2000 do t[i] = s end";
    assert_eq!(bench.eval(&format!("{script} return t")), too_large);
    assert_eq!(bench.eval("return {'after', {true}}"), "*2 $5 after *1 :1");
}

/// `fill` leaves less memory than a short string takes.
#[cfg(not(feature = "luajit"))]
const FILLER: &str = "
    local list, last = {}, 0
    for i = 1, 100000 do list[i] = false end
    local function grow() while true do last = last + 1 list[last] = function() end end end
    local function fill() pcall(grow) end";

#[cfg(not(feature = "luajit"))]
#[test]
fn errors_that_lua_makes_unprotected_need_no_memory() {
    let mut bench = Bench::new();
    bench.engine.set_memory_limit(Some(5 << 20));
    let chain = |last: usize, action: &str| {
        format!(
            "{FILLER}
             local resume, text = coroutine.resume, 'none'
             local deep = setmetatable({{}}, {{__index = function(t, k)
               if k == FULL then fill() end
               return t[k + 1]
             end}})
             local co = {{}}
             for i = 1, {last} do
               co[i] = coroutine.create(function()
                 {action}
                 local ok, why = resume(co[i + 1])
                 if not ok and text == 'none' then text = why end
               end)
             end
             resume(co[1])
             list = nil
             return text"
        )
    };
    let reply = bench.eval(&chain(250, "if i == 190 then fill() end"));
    assert!(reply.ends_with("C stack overflow"), "{reply}");
    // A thread that begins at the limit of nested calls is past the call that would be refused, and
    // goes on to the other error.
    let mut in_handling = 0;
    for (last, full) in (197..=200).flat_map(|last| (8..25).map(move |full| (last, full))) {
        let script = chain(last, &format!("if i == {last} then return deep[1] end"));
        let reply = bench.eval(&script.replace("FULL", &full.to_string()));
        let texts = ["C stack overflow", "not enough memory", "error in error handling"];
        assert!(texts.iter().any(|text| reply.ends_with(text)), "{last} {full}: {reply}");
        in_handling += u32::from(reply.ends_with("error in error handling"));
        assert_eq!(bench.eval("return 1"), ":1");
    }
    assert!(in_handling > 0);
}
