//! Compiled code ends when it must, and what LuaJIT has beyond Lua 5.1 is out of reach.

use mlua::ffi::*;
use perilune_script::ScriptEngine;

use crate::tests::{Bench, check};

const KILLED: &str = "!ERR Script killed by user with SCRIPT KILL...";

/// Whether LuaJIT compiled anything.
fn has_compiled(bench: &Bench) -> bool {
    let lua = bench.engine.state.lua();
    // SAFETY: nothing runs; the library's functions were put where `require` would look for them.
    unsafe {
        let height = lua_gettop(lua);
        lua_getfield_(lua, LUA_REGISTRYINDEX, c"_PRELOAD".as_ptr());
        lua_getfield_(lua, -1, c"jit.util".as_ptr());
        lua_checkstack(lua, 200);
        lua_call(lua, 0, 1);
        let found = (1..100).any(|trace| {
            lua_getfield_(lua, height + 2, c"traceinfo".as_ptr());
            lua_pushnumber(lua, f64::from(trace));
            lua_call(lua, 1, 1);
            lua_type(lua, -1) == LUA_TTABLE
        });
        lua_settop(lua, height);
        found
    }
}

#[test]
fn compiled_loops_are_killed() {
    let sources = [
        "while true do end",
        "local x = 0 while true do x = x + 1 end",
        "for i = 1, 1e15 do end",
        "repeat local t = {} until false",
        "::again:: goto again",
        "local function f() return f() end f()",
        "local function f(n) if n > 0 then return 1 + f(n - 1) end return 0 end
         while true do f(100) end",
        "local f = function(x) return x + 1 end local x = 0 while true do x = f(x) end",
        "local t = {} for i = 1, 100 do t[i] = i end
         while true do for k, v in pairs(t) do t[k] = v + 1 end end",
        "local t = {} for i = 1, 100 do t[i] = i end
         while true do for i, v in ipairs(t) do t[i] = v + 1 end end",
        "local s = 0 while true do for i = 1, 3 do s = s + i end end",
        "local x = 1 while true do if x % 2 == 0 then x = x + 1 else x = x + 3 end end",
        "local n = 0 while true do pcall(function() for i = 1, 1000 do n = n + i end end) end",
        "local c = coroutine.wrap(function() local x = 0 while true do x = x + 1 end end)
         while true do pcall(c) end",
        "local s = '' for i = 1, 1e15 do s = 'a' .. i end",
    ];
    for source in sources {
        let mut bench = Bench::new();
        bench.host.interrupts_max = 20;
        let reply = bench.eval(source);
        assert!(reply.starts_with(KILLED), "{source}: {reply}");
        assert!(bench.host.interrupts <= 22, "{source}: went on after the kill");
        assert!(has_compiled(&bench), "{source}");
        bench.host.interrupts_max = u32::MAX;
        assert_eq!(
            bench.eval("local x = 0 for i = 1, 1e6 do x = x + i end return x"),
            ":500000500000"
        );
    }
}

#[test]
fn compiled_loops_go_on_after_questions() {
    let mut bench = Bench::new();
    let source = "local x = 0 for i = 1, 1e8 do x = x + i % 3 end return x";
    assert_eq!(bench.eval(source), ":100000000");
    assert!(bench.host.interrupts > 10, "{}", bench.host.interrupts);
}

#[test]
fn compiled_remainders_are_those_of_lua() {
    let edges: [i64; 13] = [
        0,
        1,
        -1,
        3,
        7,
        -7,
        46341,
        65536,
        -65536,
        1_000_003,
        2_147_483_646,
        2_147_483_647,
        -2_147_483_648,
    ];
    let list = edges.map(|edge| edge.to_string()).join(", ");
    let mut bench = Bench::new();
    for divisor in edges.into_iter().filter(|edge| *edge != 0) {
        let source = format!(
            "local edges, seen = {{{list}}}, {{}}
             for turn = 1, 100 do
                 for i = 1, #edges do seen[i] = edges[i] % {divisor} end
             end
             for i = -1000, 1000 do seen[#edges + 1] = i % {divisor} end
             return table.concat(seen, ' ')"
        );
        let numbers = edges.into_iter().chain([1000]);
        let expected = numbers.map(|it| {
            let remainder = it.rem_euclid(divisor.abs());
            if divisor < 0 && remainder > 0 { remainder + divisor } else { remainder }.to_string()
        });
        let text = expected.collect::<Vec<_>>().join(" ");
        assert_eq!(bench.eval(&source), format!("${} {text}", text.len()), "% {divisor}");
    }
    assert!(has_compiled(&bench));
    assert_eq!(
        bench.eval("local n = 0 for i = 1, 500 do n = i % 0 end return tostring(n)"),
        "$3 nan"
    );
}

#[test]
fn memory_is_limited_in_compiled_loops() {
    let sources = [
        "local t = {} local i = 0 while true do i = i + 1 t[i] = i end",
        "local t while true do t = {t} end",
        "local t = {} for i = 1, 1e15 do t['k' .. i] = {} end",
    ];
    for source in sources {
        let mut bench = Bench::new();
        bench.engine.set_memory_limit(Some(32 << 20));
        let reply = bench.eval(source);
        assert_eq!(reply, "!ERR Error running script f_sha, not enough memory", "{source}");
        assert!(has_compiled(&bench), "{source}");
        assert!(bench.engine.memory_growth() <= 33 << 20, "{source}");
        assert_eq!(bench.eval("return 1"), ":1");
    }
}

#[test]
fn the_byte_of_the_hook_is_found() {
    let bench = Bench::new();
    assert!(!bench.engine.state.context().base.machine.hook_mask.get().is_null());
}

#[test]
fn what_is_not_of_lua_is_out_of_reach() {
    check(&[
        ("return {type(rawget(_G, 'jit')), type(rawget(_G, 'ffi'))}", "*2 $3 nil $3 nil"),
        ("return {type(rawget(_G, 'require')), type(rawget(_G, 'package'))}", "*2 $3 nil $3 nil"),
        ("return type(table.new)", "$3 nil"),
        (
            "return select(2, loadstring('return 1LL'))",
            "$52 [string \"return 1LL\"]:1: malformed number near '1LL'",
        ),
        (
            "return select(2, loadstring(string.char(27) .. 'LJ'))",
            "$51 [string \"...\"]:1: unexpected symbol near 'char(27)'",
        ),
    ]);
}
