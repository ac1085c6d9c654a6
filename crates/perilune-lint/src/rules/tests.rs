//! What is found, and what is not.

use super::*;
use proptest::prelude::*;
use std::sync::LazyLock;

static COMMANDS: LazyLock<CommandTable> =
    LazyLock::new(|| CommandTable::builtin().expect("a consistent table"));

fn found(source: &str) -> Vec<String> {
    lint(source.as_bytes(), &COMMANDS).iter().map(Finding::to_string).collect()
}

/// Checks sources with one finding each, or none where the text is empty.
fn check(cases: &[(&str, &str)]) {
    for (source, expected) in cases {
        let expected: Vec<&str> = if expected.is_empty() { vec![] } else { vec![expected] };
        assert_eq!(found(source), expected, "{source}");
    }
}

#[test]
fn globals() {
    check(&[
        ("return KESY[1]", "1:8: there is no global 'KESY'; did you mean 'KEYS'?"),
        ("print('x')", "1:1: there is no global 'print'"),
        ("local a = 1\nb = a", "2:1: assignment to global 'b'; declare it with local"),
        ("b = 1 return b", "1:1: assignment to global 'b'; declare it with local"),
        ("function f() end f()", "1:10: assignment to global 'f'; declare it with local"),
        ("local function f() return f end for i = 1, 2 do f(i) end", ""),
        ("do local a end return a", "1:23: there is no global 'a'"),
        ("repeat local a = 1 until a", ""),
        ("local t = {a = 1, [KEYS[1]] = ARGV} t.b = t.a function t.c() end", ""),
        (
            "return redis.cal('get', KEYS[1])",
            "1:14: redis has no field 'cal'; did you mean 'call'?",
        ),
        ("local redis = {} return redis.cal", ""),
        ("#!lua name=x\nlocal a = KEYS", "2:11: there is no global 'KEYS'"),
    ]);
}

#[test]
fn commands() {
    check(&[
        ("redis.call('gett', KEYS[1])", "1:12: unknown command 'gett'; did you mean 'get'?"),
        ("redis.pcall('GET')", "1:13: 'get' takes 1 arguments, not 0"),
        ("redis.call('get', KEYS[1], 1)", "1:12: 'get' takes 1 arguments, not 2"),
        ("redis.call('set', KEYS[1])", "1:12: 'set' takes at least 2 arguments, not 1"),
        ("redis.call('del', unpack(KEYS))", ""),
        ("redis.call('get', KEYS[1], unpack(KEYS))", ""),
        (
            "redis.call('get', KEYS[1], 2, unpack(KEYS))",
            "1:12: 'get' takes 1 arguments, not 3 or more",
        ),
        ("redis.call()", "1:1: a command needs a name"),
        ("redis.call(ARGV[1], 'a')", ""),
        ("redis.call('blah|x')", "1:12: unknown command 'blah|x'"),
        ("redis.call('multi')", "1:12: 'multi' can't be called from a script"),
        (
            "redis.call('object', 'encodin', KEYS[1])",
            "1:22: unknown subcommand 'encodin' of 'object'; did you mean 'encoding'?",
        ),
        (
            "local call = redis.call return call('gett')",
            "1:37: unknown command 'gett'; did you mean 'get'?",
        ),
        ("server.call('nosuchcommand')", "1:13: unknown command 'nosuchcommand'"),
    ]);
}

#[test]
fn keys() {
    let undeclared = |at: &str| format!("{at}: this key is not declared; pass it in KEYS");
    for (source, places) in [
        ("redis.call('get', 'a')", vec!["1:19"]),
        ("redis.call('mset', 'a', 1, KEYS[1], 2, 'b' .. 1, 3)", vec!["1:20", "1:40"]),
        ("redis.call('set', KEYS[1], 'a')", vec![]),
        ("redis.call('get', KEYS[1] .. ':x')", vec![]),
        ("local k = 'a' redis.call('get', k)", vec![]),
        ("redis.call('zunionstore', 'd', 2, KEYS[1], 'b')", vec!["1:27", "1:44"]),
        ("redis.call('xread', 'streams', 'a', 0)", vec!["1:32"]),
        ("redis.call('object', 'encoding', 'a')", vec!["1:34"]),
    ] {
        let expected: Vec<String> = places.into_iter().map(undeclared).collect();
        assert_eq!(found(source), expected, "{source}");
    }
}

#[test]
fn a_library_that_is_loaded_sees_little() {
    let library = "#!lua name=lib
local json, version = cjson, redis.REDIS_VERSION
local now = redis.call('time')
local function f(keys) return cjson.encode(keys) .. redis.call('get', keys[1]) end
redis.register_function('f', f)
redis.register_function('g', function() return string.rep('a', 2) end)";
    assert_eq!(
        found(library),
        [
            "2:23: there is no 'cjson' while a library is loaded",
            "3:13: a library can't call commands while it is loaded",
        ]
    );
    assert!(found("local json = cjson return redis.call('time')").is_empty());
}

#[test]
fn a_library_that_is_loaded_has_little_of_the_api() {
    let found_in = |code: &str| found(&format!("#!lua name=lib\n{code}"));
    for name in ["call", "pcall", "setresp", "sha1hex", "set_repl", "debug", "REPL_ALL"] {
        let expected = format!("2:17: redis has no field '{name}' while a library is loaded");
        assert_eq!(found_in(&format!("local x = redis.{name}")), [expected]);
        assert!(found_in(&format!("local function f() return redis.{name} end")).is_empty());
        assert!(found(&format!("local x = redis.{name}")).is_empty());
    }
    assert_eq!(
        found_in("redis.setresp(3) server.breakpoint()"),
        [
            "2:7: redis has no field 'setresp' while a library is loaded",
            "2:25: redis has no field 'breakpoint' while a library is loaded",
        ]
    );
    let fine = "redis.log(redis.LOG_NOTICE, redis.REDIS_VERSION, redis.REDIS_VERSION_NUM)";
    assert!(found_in(fine).is_empty());
}

#[test]
fn functions_with_any_number_of_arguments_have_arg() {
    check(&[
        ("local function f(...) return #arg + arg.n end f()", ""),
        (
            "local function f(...) return select('#', ...) end return f(arg)",
            "1:60: there is no global 'arg'; did you mean 'ARGV'?",
        ),
        (
            "local function f(a) return arg end f()",
            "1:28: there is no global 'arg'; did you mean 'ARGV'?",
        ),
        ("local function f(...) return function() return arg end end f()", ""),
    ]);
}

#[test]
fn functions_have_a_limited_number_of_variables() {
    let many = |count: usize| "local a ".repeat(count);
    let main = "main function has more than 200 local variables";
    let inner = "function at line 2 has more than 200 local variables";
    check(&[
        (&many(200), ""),
        (&many(201), &format!("1:1607: {main}")),
        (&format!("do {} end {}", many(150), many(200)), ""),
        (&format!("for i = 1, 2 do {} end", many(196)), ""),
        (&format!("for i = 1, 2 do {} end", many(197)), &format!("1:1591: {main}")),
        (&format!("{}\nlocal function f() end", many(200)), &format!("2:16: {main}")),
        (&format!("local f\nf = function(a, ...) {} end {}", many(198), many(199)), ""),
        (&format!("local f\nf = function(a, ...) {} end", many(199)), &format!("2:1612: {inner}")),
        (&format!("local t = {{}}\nfunction t:f() {} end", many(200)), &format!("2:1614: {inner}")),
    ]);
}

#[test]
fn promises_not_to_write() {
    let message = |at: &str| format!("{at}: 'set' writes, in a script with the flag no-writes");
    let call = "redis.call('set', KEYS[1], 1)";
    assert_eq!(found(&format!("#!lua flags=no-writes\n{call}")), [message("2:12")]);
    assert!(found(&format!("#!lua\n{call}")).is_empty());
    let library = "#!lua name=lib
local function f(keys) return redis.call('set', keys[1], 1) end
local function g(keys) return redis.call('set', keys[1], 1) end
redis.register_function{function_name = 'f', callback = f, flags = {'no-writes'}}
redis.register_function{function_name = 'h', flags = {'no-writes'},
  callback = function(keys) return redis.call('set', keys[1], 1) end}
redis.register_function('g', g)";
    assert_eq!(found(library), [message("2:42"), message("6:47")]);
}

#[test]
fn mistakes_of_the_first_line_and_of_syntax() {
    check(&[
        ("#!lua flags=none\nreturn 1", "1:1: Unexpected flag in script shebang: none"),
        (
            "#!lua name=\nreturn 1",
            "1:1: Library names can only contain letters, numbers, or underscores(_) and must be at least one character long",
        ),
        ("#!lua\nreturn return", "2:8: unexpected symbol near 'return'"),
        ("return 'a", "1:8: unfinished string"),
    ]);
}

/// Pieces of Lua, in any order.
fn pieces() -> impl Strategy<Value = String> {
    let words = [
        "local ",
        "function ",
        "end ",
        "if ",
        "then ",
        "else ",
        "while ",
        "do ",
        "for ",
        "in ",
        "repeat ",
        "until ",
        "return ",
        "break ",
        "a ",
        "b ",
        "= ",
        ", ",
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        ".",
        ":",
        "..",
        "...",
        "'x' ",
        "\"",
        "[[",
        "]]",
        "--",
        "\n",
        "1 ",
        "0x",
        "redis.call",
        "('get'",
        "#",
        "not ",
        "and ",
        "\\",
        ";",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..60)
        .prop_map(|list| list.concat())
}

#[test]
fn a_mistake_in_a_function_in_a_loop_is_told() {
    for source in ["repeat (function local local ", "while true do f(function() local end"] {
        assert_eq!(lint(source.as_bytes(), &COMMANDS).len(), 1, "{source}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered(source: Vec<u8>) {
        lint(&source, &COMMANDS);
    }

    #[test]
    fn any_pieces_are_answered(source in pieces()) {
        for finding in lint(source.as_bytes(), &COMMANDS) {
            let lines = source.split('\n').count() as u32;
            prop_assert!((1..=lines + 1).contains(&finding.at.line));
        }
    }
}
