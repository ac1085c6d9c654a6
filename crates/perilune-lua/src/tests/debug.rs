//! Programs under a debugger.

use std::cell::{Cell, RefCell};

use perilune_resp::{Protocol, RespWriter};
use perilune_script::{
    DebugFrame, DebugValue, Debugger, Handle, Interrupt, Invocation, ScriptEngine, ScriptError,
    Verdict,
};

use super::FakeHost;
use crate::LuaEngine;

/// Does what the test says before each line.
struct Watcher<F> {
    at: F,
    lines: RefCell<Vec<u32>>,
    told: RefCell<Vec<String>>,
    ticks: Cell<u32>,
    on_tick: Verdict,
}

impl<F: Fn(&mut dyn DebugFrame) -> Verdict> Watcher<F> {
    fn new(at: F) -> Self {
        Watcher {
            at,
            lines: RefCell::default(),
            told: RefCell::default(),
            ticks: Cell::new(0),
            on_tick: Verdict::Continue,
        }
    }

    fn tell(&self, text: String) {
        self.told.borrow_mut().push(text);
    }
}

impl<F: Fn(&mut dyn DebugFrame) -> Verdict> Debugger for Watcher<F> {
    fn on_line(&self, frame: &mut dyn DebugFrame) -> Verdict {
        self.lines.borrow_mut().push(frame.line());
        (self.at)(frame)
    }

    fn on_tick(&self, _: &mut dyn DebugFrame) -> Verdict {
        self.ticks.set(self.ticks.get() + 1);
        self.on_tick
    }

    fn on_breakpoint(&self) {
        self.tell("breakpoint".into());
    }

    fn on_print(&self, values: &[DebugValue]) {
        self.tell(format!("{values:?}"));
    }

    fn on_error(&self, message: &[u8]) {
        self.tell(String::from_utf8_lossy(message).into_owned());
    }
}

const INPUT: Invocation<'_> = Invocation { keys: &[b"k"], args: &[b"a"] };

fn compile(engine: &mut LuaEngine, source: &str) -> Handle {
    engine.compile(source.as_bytes(), "sha", &mut FakeHost::new()).expect("it compiles")
}

/// Runs a script under a debugger; its reply as bytes.
fn debug(
    source: &str,
    debugger: &dyn Debugger,
    host: &mut FakeHost,
) -> Result<String, ScriptError> {
    let mut engine = LuaEngine::new();
    let handle = compile(&mut engine, source);
    let mut out = Vec::new();
    let mut writer = RespWriter::new(&mut out, Protocol::Resp2);
    engine.call_debugged(handle, INPUT, host, debugger, &mut writer)?;
    // The debugger is gone with its run.
    let lines_before = out.len();
    let again = engine.call(handle, INPUT, host, &mut RespWriter::new(&mut out, Protocol::Resp2));
    assert!(again.is_ok() && out.len() > lines_before);
    out.truncate(lines_before);
    Ok(String::from_utf8(out).expect("text"))
}

fn text(text: &str) -> DebugValue {
    DebugValue::Text(text.as_bytes().to_vec())
}

#[test]
fn every_line_is_seen_also_those_of_coroutines() {
    let watcher = Watcher::new(|_| Verdict::Continue);
    let source = "local co = coroutine.wrap(function(a)\n  local b = a + 1\n  coroutine.yield(b)\n  \
                  return 7\nend)\nlocal x = co(1)\nlocal y = co()\nreturn x + y";
    assert_eq!(debug(source, &watcher, &mut FakeHost::new()).as_deref(), Ok(":9\r\n"));
    assert_eq!(*watcher.lines.borrow(), [1, 5, 1, 6, 2, 3, 7, 4, 8]);
}

#[test]
fn code_that_is_no_script_is_not_seen() {
    let watcher = Watcher::new(|_| Verdict::Continue);
    let source = "local f = loadstring('local a = 1\\nlocal b = 2\\nreturn a + b')\nreturn f()";
    assert_eq!(debug(source, &watcher, &mut FakeHost::new()).as_deref(), Ok(":3\r\n"));
    assert_eq!(*watcher.lines.borrow(), [1, 2]);
}

#[test]
fn variables_are_those_of_the_language() {
    let seen = RefCell::new(Vec::new());
    let watcher = Watcher::new(|frame: &mut dyn DebugFrame| {
        if frame.line() == 5 {
            let names = ["x", "up", "inner", "KEYS", "ARGV", "gone", "print"];
            seen.borrow_mut().extend(names.map(|name| frame.variable(name)));
            let locals = frame.locals(0);
            assert_eq!(locals[0], ("x".to_owned(), DebugValue::Number(3.0)));
            assert_eq!(locals[1], ("inner".to_owned(), DebugValue::Nil));
            assert_eq!(locals.len(), 2);
            let stack: Vec<_> = frame.stack().into_iter().map(|l| (l.name, l.line)).collect();
            assert_eq!(stack, [(Some("f".to_owned()), 5), (None, 8)]);
        }
        Verdict::Continue
    });
    let source = "local up, x = 'u', 1\nlocal function f(x)\n  do local gone = 1 end\n  local inner\n  \
                  inner = up\n  return inner\nend\nlocal r = f(3)\nreturn r";
    assert_eq!(debug(source, &watcher, &mut FakeHost::new()).as_deref(), Ok("$1\r\nu\r\n"));
    let list = |item: &str| Some(DebugValue::Table(vec![(DebugValue::Number(1.0), text(item))]));
    let (x, up, inner) = (DebugValue::Number(3.0), text("u"), DebugValue::Nil);
    let expected = [Some(x), Some(up), Some(inner), list("k"), list("a"), None, None];
    assert_eq!(*seen.borrow(), expected);
}

#[test]
fn functions_of_the_stack_are_seen_and_changed() {
    let watcher = Watcher::new(|frame: &mut dyn DebugFrame| {
        if frame.line() != 4 {
            return Verdict::Continue;
        }
        let number = |value: f64| Ok(DebugValue::Number(value));
        // `pcall` is between the two and no level of the program.
        let names: Vec<_> = frame.locals(1).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b", "f"]);
        assert_eq!(frame.locals(2), []);
        assert_eq!(frame.evaluate_in(0, b"a + b + c"), number(10.0 + 2.0 + 5.0));
        assert_eq!(frame.evaluate_in(1, b"a + b"), number(3.0));
        assert_eq!(frame.evaluate_in(0, b"a = 7 return a"), number(7.0));
        assert_eq!(frame.evaluate_in(0, b"none"), Ok(DebugValue::Nil));
        assert_eq!(frame.evaluate_in(0, b"KEYS[1]"), Ok(text("k")));
        assert!(frame.evaluate_in(0, b"error('x')").is_err());
        assert!(frame.evaluate_in(1, b"c").is_err(), "it is not seen there");
        assert_eq!(frame.assign(0, "a", b"a * 2"), number(20.0));
        assert_eq!(frame.assign(0, "b", b"c + 1"), number(6.0));
        assert_eq!(frame.assign(1, "b", b"b + 1"), number(7.0));
        assert!(frame.assign(0, "nobody", b"1").is_err());
        assert!(frame.assign(0, "a", b"1 +").is_err());
        Verdict::Continue
    });
    let source = "local a, b = 1, 2\nlocal function f(c)\n  local a, none = 10\n  \
                  return a + b + c\nend\nlocal _, r = pcall(f, 5)\nreturn {r, a, b}";
    let reply = debug(source, &watcher, &mut FakeHost::new());
    assert_eq!(reply.as_deref(), Ok("*3\r\n:32\r\n:1\r\n:7\r\n"));
}

#[test]
fn values_are_copied_within_limits() {
    let seen = RefCell::new(Vec::new());
    let watcher = Watcher::new(|frame: &mut dyn DebugFrame| {
        for code in ["deep", "wide", "'x'", "nil", "true", "function() end", "redis"] {
            if frame.line() == 4 {
                let value =
                    frame.variable(code).map_or_else(|| frame.evaluate(code.as_bytes()), Ok);
                seen.borrow_mut().push(value.expect("a value"));
            }
        }
        Verdict::Continue
    });
    let source = "local deep, wide = {}, {}\ndeep.deep = deep\nfor i = 1, 1e5 do wide[i] = {i} end\n\
                  return 1";
    assert!(debug(source, &watcher, &mut FakeHost::new()).is_ok());
    let seen = seen.into_inner();
    let (mut deep, mut depth) = (&seen[0], 0);
    while let DebugValue::Table(pairs) = deep {
        (deep, depth) = (&pairs[0].1, depth + 1);
    }
    assert_eq!((deep, depth), (&DebugValue::TooDeep, perilune_script::DEBUG_DEPTH_MAX));
    let DebugValue::Table(pairs) = &seen[1] else { panic!("a table") };
    assert!(pairs.len() < perilune_script::DEBUG_VALUES_MAX / 2);
    assert_eq!(pairs.last(), Some(&(DebugValue::TooMany, DebugValue::TooMany)));
    assert_eq!(seen[2..5], [text("x"), DebugValue::Nil, DebugValue::Bool(true)]);
    assert!(matches!(seen[5], DebugValue::Opaque { kind: "function", .. }));
    let DebugValue::Table(api) = &seen[6] else { panic!("a table") };
    assert!(api.iter().any(|(name, _)| *name == text("call")));
}

#[test]
fn evaluated_code_is_a_script_of_its_own() {
    let results = RefCell::new(Vec::new());
    let watcher = Watcher::new(|frame: &mut dyn DebugFrame| {
        for code in [
            "1 + 1",
            "local a = 5; return a",
            "redis.call('get', 'v')",
            "x",
            "nosuch.field",
            "syntax error",
            "coroutine.yield()",
            "redis.breakpoint()",
            "redis.debug(1, nil)",
            "error({err = 'mine'})",
            "KEYS[1]",
        ] {
            results.borrow_mut().push(frame.evaluate(code.as_bytes()));
        }
        Verdict::Continue
    });
    let mut host = FakeHost::new();
    assert_eq!(debug("return 1", &watcher, &mut host).as_deref(), Ok(":1\r\n"));
    let results = results.borrow();
    assert_eq!(results[0], Ok(DebugValue::Number(2.0)));
    assert_eq!(results[1], Ok(DebugValue::Number(5.0)));
    assert_eq!(results[2], Ok(text("v")));
    assert!(results[3..7].iter().all(Result::is_err), "{results:?}");
    assert_eq!(results[7], Ok(DebugValue::Bool(true)));
    assert_eq!(results[8], Ok(DebugValue::Nil));
    assert_eq!(results[9], Err(b"mine".to_vec()));
    assert_eq!(results[10], Ok(text("k")));
    assert_eq!(*watcher.told.borrow(), ["breakpoint", "[Number(1.0), Nil]"]);
    // None of it counts as a line of the program.
    assert_eq!(*watcher.lines.borrow(), [1]);
}

#[test]
fn evaluated_code_can_be_stopped() {
    for code in ["while true do pcall(string.rep, 'x', 100) end", "while true do end"] {
        let watcher = Watcher::new(|frame: &mut dyn DebugFrame| {
            assert!(frame.evaluate(code.as_bytes()).is_err());
            Verdict::Continue
        });
        let mut host = FakeHost { interrupts_max: 3, ..FakeHost::new() };
        let error = debug("return 1", &watcher, &mut host).expect_err("it was killed");
        assert!(error.text.starts_with(b"ERR Script killed"), "{error:?}");
    }
}

#[test]
fn an_abort_cannot_be_caught() {
    let source = "local function f()\n  return 1\nend\nwhile true do\n  pcall(f)\nend";
    let watcher = Watcher::new(|frame: &mut dyn DebugFrame| match frame.line() {
        2 => Verdict::Abort("ERR over"),
        _ => Verdict::Continue,
    });
    let error = debug(source, &watcher, &mut FakeHost::new()).expect_err("it was ended");
    assert_eq!(error.text, b"ERR over");
    assert_eq!(watcher.lines.borrow().last(), Some(&2));
}

#[test]
fn loops_without_lines_are_seen_by_ticks() {
    let mut watcher = Watcher::new(|_: &mut dyn DebugFrame| Verdict::Continue);
    watcher.on_tick = Verdict::Abort("ERR slow");
    let error = debug("while true do end", &watcher, &mut FakeHost::new()).expect_err("ended");
    assert_eq!((&*error.text, watcher.ticks.get()), (&b"ERR slow"[..], 1));
}

#[test]
fn the_debugger_may_use_the_server() {
    let watcher = Watcher::new(|frame: &mut dyn DebugFrame| {
        let mut out = Vec::new();
        frame.host().call(&[b"get", b"x"], &mut RespWriter::new(&mut out, Protocol::Resp2));
        assert_eq!((out, frame.host().interrupt()), (b"$1\r\nx\r\n".to_vec(), Interrupt::Continue));
        Verdict::Continue
    });
    let mut host = FakeHost::new();
    assert!(debug("return 1", &watcher, &mut host).is_ok());
    assert_eq!(host.commands.len(), 1);
}

#[test]
fn wrong_use_of_the_api_is_told() {
    let watcher = Watcher::new(|_| Verdict::Continue);
    let source =
        "pcall(redis.call)\nredis.error_reply('My err')\nredis.pcall('wrongtype')\nreturn 1";
    assert!(debug(source, &watcher, &mut FakeHost::new()).is_ok());
    let told = watcher.told.borrow();
    assert_eq!(*told, ["Please specify at least one argument for this redis lib call", "-My err"]);
}

#[test]
fn functions_are_debugged_by_the_lines_of_their_library() {
    let watcher = Watcher::new(|frame: &mut dyn DebugFrame| {
        if frame.line() == 3 {
            assert_eq!(frame.variable("shared"), Some(DebugValue::Number(4.0)));
            assert_eq!(frame.variable("keys").map(|_| ()), Some(()));
            assert_eq!(frame.variable("KEYS"), None);
        }
        Verdict::Continue
    });
    let mut engine = LuaEngine::new();
    let mut host = FakeHost::new();
    let code = b"local shared = 4\nredis.register_function('f', function(keys, args)\n  return shared\nend)";
    let functions = engine.load_library(code, &mut host).expect("it loads");
    let mut out = Vec::new();
    let mut writer = RespWriter::new(&mut out, Protocol::Resp2);
    let called = engine.call_debugged(functions[0].handle, INPUT, &mut host, &watcher, &mut writer);
    assert_eq!((called, &*out), (Ok(()), &b":4\r\n"[..]));
    assert_eq!(*watcher.lines.borrow(), [3]);
}

#[test]
fn a_fresh_engine_knows_no_script() {
    let mut engine = LuaEngine::new();
    let handle = compile(&mut engine, "return 1");
    let mut fresh = engine.fresh().expect("as many as one likes");
    let mut out = Vec::new();
    let mut writer = RespWriter::new(&mut out, Protocol::Resp2);
    assert!(fresh.call(handle, INPUT, &mut FakeHost::new(), &mut writer).is_err());
    assert_eq!(fresh.name(), engine.name());
}
