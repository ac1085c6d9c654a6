//! Libraries and their functions.

use super::Bench;
use perilune_script::{ScriptEngine, ScriptFlags};

fn load_error(code: &str) -> String {
    let mut bench = Bench::new();
    match bench.engine.load_library(code.as_bytes(), &mut bench.host) {
        Ok(functions) => format!("{} functions", functions.len()),
        Err(error) => error.message.replace("Error registering functions: ", "!"),
    }
}

#[test]
fn functions_are_registered_and_called() {
    let mut bench = Bench::new();
    let code = "local n = 0
        redis.register_function('first', function(keys, args) n = n + 1 return {n, keys[1], args[1]} end)
        redis.register_function{function_name='second', description='d', flags={'no-writes','allow-stale'},
            callback=function(keys) return redis.call('get', keys[1]) end}";
    let functions = bench.engine.load_library(code.as_bytes(), &mut bench.host).unwrap();
    assert_eq!(functions[0].name, b"first");
    assert_eq!(functions[1].description.as_deref(), Some(&b"d"[..]));
    assert_eq!(functions[1].flags, ScriptFlags::NO_WRITES.union(ScriptFlags::ALLOW_STALE));
    assert_eq!(bench.call(functions[0].handle, &[b"k"], &[b"a"]), "*3 :1 $1 k $1 a");
    assert_eq!(bench.call(functions[0].handle, &[], &[]), "*1 :2");
    assert_eq!(bench.call(functions[1].handle, &[b"k"], &[]), "$1 k");
}

#[test]
fn what_functions_keep_of_their_arguments_stays() {
    let mut bench = Bench::new();
    let code = "local kept = {}
        redis.register_function('keep', function(keys) kept[#kept + 1] = keys return #kept end)
        redis.register_function('read', function(keys, args)
            if args[1] then return keys[1] .. #args end
            return {kept[1][1], kept[2] and kept[2][1], #keys}
        end)";
    let functions = bench.engine.load_library(code.as_bytes(), &mut bench.host).unwrap();
    let [keep, read] = [0, 1].map(|at| functions[at].handle);
    assert_eq!(bench.call(keep, &[b"a", b"b"], &[]), ":1");
    assert_eq!(bench.call(read, &[b"c"], &[b"d", b"e"]), "$2 c2");
    assert_eq!(bench.call(keep, &[b"f"], &[]), ":2");
    assert_eq!(bench.call(read, &[], &[]), "*3 $1 a $1 f :0");
    assert_eq!(bench.eval_with("return {#KEYS, #ARGV, ARGV[1]}", &[], &[b"g"]), "*3 :0 :1 $1 g");
    assert_eq!(bench.call(read, &[], &[]), "*3 $1 a $1 f :0");
}

#[test]
fn functions_see_their_own_globals() {
    let mut bench = Bench::new();
    let mut run = |body: &str| {
        let code = format!("redis.register_function('f', function(keys, args) {body} end)");
        let functions = bench.engine.load_library(code.as_bytes(), &mut bench.host).unwrap();
        bench.call(functions[0].handle, &[], &[])
    };
    let place = " on @user_function:1";
    let missing = "user_function:1: Script attempted to access nonexistent global variable";
    assert_eq!(run("return KEYS"), format!("!ERR {missing} 'KEYS'{place}"));
    assert_eq!(
        run("x = 1"),
        format!("!ERR user_function:1: Attempt to modify a readonly table{place}")
    );
    assert_eq!(run("return type(math.abs)"), "$8 function");
    assert_eq!(run("return redis.breakpoint"), "$-1");
    assert_eq!(
        run("redis.register_function('g', function() end)"),
        format!(
            "!ERR user_function:1: attempt to call field 'register_function' (a nil value){place}"
        )
    );
    assert_eq!(bench.eval("return type(KEYS)"), "$5 table");
}

#[test]
fn libraries_see_little_while_they_are_loaded() {
    let missing = |name: &str| {
        format!(
            "!ERR user_function:1: Script attempted to access nonexistent global variable '{name}'"
        )
    };
    assert_eq!(load_error("math.abs(1)"), missing("math"));
    assert_eq!(load_error("_G.x = 1"), missing("_G"));
    assert_eq!(load_error("redis.call('ping')"), missing("call"));
    let refused = "!ERR user_function:1: Attempt to modify a readonly table";
    assert_eq!(load_error("x = 1"), refused);
    assert_eq!(load_error("redis.x = 1"), refused);
}

#[test]
fn failed_loads_leave_the_globals_of_functions_alone() {
    let mut bench = Bench::new();
    let code = b"local at_load = redis
        redis.register_function('f', function()
            local ok = pcall(function() return at_load.call end)
            return {type(math), type(redis.call), tostring(_G.redis == redis), tostring(ok)}
        end)";
    let functions = bench.engine.load_library(code, &mut bench.host).unwrap();
    let seen = "*4 $5 table $8 function $4 true $5 false";
    assert_eq!(bench.call(functions[0].handle, &[], &[]), seen);
    for code in ["math.abs(1)", "error({})", "local function f() return 1 + f() end f()", "("] {
        assert!(bench.engine.load_library(code.as_bytes(), &mut bench.host).is_err());
        assert_eq!(bench.call(functions[0].handle, &[], &[]), seen, "{code}");
    }
}

#[test]
fn bad_registrations_are_refused() {
    let cases = [
        ("redis.register_function()", "!ERR wrong number of arguments to redis.register_function"),
        (
            "redis.register_function(1,2,3)",
            "!ERR wrong number of arguments to redis.register_function",
        ),
        (
            "redis.register_function('f')",
            "!ERR calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).",
        ),
        (
            "redis.register_function({}, function() end)",
            "!ERR first argument to redis.register_function must be a string",
        ),
        (
            "redis.register_function('f', 1)",
            "!ERR second argument to redis.register_function must be a function",
        ),
        (
            "redis.register_function('a-b', function() end)",
            "!ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long",
        ),
        (
            "redis.register_function('f', function() end) redis.register_function('f', function() end)",
            "!ERR Function already exists in the library",
        ),
        (
            "redis.register_function{callback=function() end}",
            "!ERR redis.register_function must get a function name argument",
        ),
        (
            "redis.register_function{function_name='f'}",
            "!ERR redis.register_function must get a callback argument",
        ),
        (
            "redis.register_function{function_name='f', callback=1}",
            "!ERR callback argument given to redis.register_function must be a function",
        ),
        (
            "redis.register_function{function_name={}}",
            "!ERR function_name argument given to redis.register_function must be a string",
        ),
        (
            "redis.register_function{description={}}",
            "!ERR description argument given to redis.register_function must be a string",
        ),
        (
            "redis.register_function{flags=1}",
            "!ERR flags argument to redis.register_function must be a table representing function flags",
        ),
        ("redis.register_function{flags={'nope'}}", "!ERR unknown flag given"),
        (
            "redis.register_function{nope=1}",
            "!ERR unknown argument given to redis.register_function",
        ),
        (
            "redis.register_function{1}",
            "!ERR named argument key given to redis.register_function is not a string",
        ),
        ("x", "Error compiling function: user_function:1: '=' expected near '<eof>'"),
        (
            "error('x')",
            "!ERR user_function:1: Script attempted to access nonexistent global variable 'error'",
        ),
        (
            "redis.call('get','x')",
            "!ERR user_function:1: Script attempted to access nonexistent global variable 'call'",
        ),
        ("x = 1", "!ERR user_function:1: Attempt to modify a readonly table"),
        ("redis.x = 1", "!ERR user_function:1: Attempt to modify a readonly table"),
        ("redis.log(redis.LOG_NOTICE, 'hi')", "0 functions"),
        ("local r = redis.register_function r('f', function() end)", "1 functions"),
    ];
    for (code, expected) in cases {
        assert_eq!(load_error(code), expected, "{code}");
    }
}

#[test]
fn registration_ends_with_the_load() {
    let mut bench = Bench::new();
    let code = "local r = redis.register_function r('f', function() r('g', function() end) end)";
    let functions = bench.engine.load_library(code.as_bytes(), &mut bench.host).unwrap();
    assert_eq!(
        bench.call(functions[0].handle, &[], &[]),
        "!ERR redis.register_function can only be called on FUNCTION LOAD command on @user_function:1"
    );
}

#[test]
fn a_load_that_does_not_end_is_stopped() {
    let mut bench = Bench::new();
    bench.host.interrupts_max = 1;
    let error = bench.engine.load_library(b"while true do end", &mut bench.host).unwrap_err();
    assert!(error.message.contains("SCRIPT KILL"), "{error}");
    bench.host.interrupts_max = u32::MAX;
    assert_eq!(bench.eval("return 1"), ":1");
}

#[test]
fn long_lists_of_flags_are_paid_for() {
    let mut bench = Bench::new();
    let flags = "'no-writes',".repeat(400_000);
    let mut asked = |registered: &str| {
        let code = format!(
            "local all, one = {{{flags}}}, {{'no-writes'}}
             redis.register_function{{function_name='f', callback=function() end, flags={registered}}}"
        );
        bench.host.interrupts = 0;
        let functions = bench.engine.load_library(code.as_bytes(), &mut bench.host).unwrap();
        assert_eq!(functions[0].flags, ScriptFlags::NO_WRITES);
        bench.host.interrupts
    };
    let (one, all) = (asked("one"), asked("all"));
    assert!(all > one + 32, "asked {one} times for one flag, {all} times for all");
}
