//! Tests of tests: what passes, what fails and how that is told.

use super::*;
use perilune_lua::LuaEngine;
use std::sync::atomic::{AtomicU32, Ordering};

fn make_engine() -> Box<dyn ScriptEngine> {
    Box::new(LuaEngine::new())
}

fn setup() -> Setup {
    Setup::new(make_engine, None)
}

/// Runs a test file; names with the problems of those that failed.
fn results(source: &str) -> Vec<(String, Option<String>)> {
    results_with(source, &setup())
}

fn results_with(source: &str, setup: &Setup) -> Vec<(String, Option<String>)> {
    let results = run_file(Path::new("x_test.lua"), source.as_bytes(), setup);
    results.into_iter().map(|result| (result.name, result.problem)).collect()
}

/// The problem of a file with one test of this body.
fn problem(body: &str) -> Option<String> {
    let mut results = results(&format!("test('one', function()\n{body}\nend)"));
    assert_eq!(results.len(), 1);
    results.pop().and_then(|(_, problem)| problem)
}

fn problem_of(body: &str) -> String {
    problem(body).unwrap_or_else(|| panic!("it passed: {body}"))
}

/// A folder of a test's own.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("perilune-test-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
        Folder(folder)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).expect("written");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left over harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn every_test_has_a_server_of_its_own() {
    let found = results(
        "before_each(function() redis.call('incr', 'b') end)
         test('first', function()
           redis.call('set', 'a', 1) assert_equal('1', redis.call('get', 'b'))
         end)
         test('second', function()
           assert_nil(redis.call('get', 'a')) assert_equal('1', redis.call('get', 'b'))
         end)",
    );
    assert_eq!(found, [("first".into(), None), ("second".into(), None)]);
}

#[test]
fn every_test_begins_with_the_protocol_of_scripts() {
    let found = results(
        "test('first', function()
           redis.call('hset', 'h', 'a', '1') redis.setresp(3)
           assert_equal({map = {a = '1'}}, redis.call('hgetall', 'h'))
         end)
         test('second', function()
           redis.call('hset', 'h', 'a', '1') assert_equal({'a', '1'}, redis.call('hgetall', 'h'))
         end)",
    );
    assert_eq!(found, [("first".into(), None), ("second".into(), None)]);
}

#[test]
fn time_passes_when_it_is_told_to() {
    assert_eq!(
        problem(
            "redis.call('set', 'k', 'v', 'px', 1500)
             advance(1000) assert_equal(500, redis.call('pttl', 'k'))
             advance(501) assert_equal(0, redis.call('exists', 'k'))
             advance(1e300)"
        ),
        None
    );
    assert!(problem_of("advance(-1)").contains("advance takes a number"));
}

#[test]
fn assertions_tell_place_and_difference() {
    assert_eq!(problem_of("assert_equal(1, 2)"), "x_test.lua:2: value: expected 1, got 2");
    assert_eq!(
        problem_of("assert_equal({'a', {1, 2}}, {'a', {1, 3}}, 'list')"),
        "x_test.lua:2: list: value[2][2]: expected 2, got 3\n  expected: {\"a\", {1, 2}}\n  \
         actual:   {\"a\", {1, 3}}"
    );
    assert_eq!(problem("assert_equal('OK', redis.call('set', 'k', 'v'))"), None);
    assert!(problem_of("assert_equal({1}, {1, 2})").contains("value[2]: expected nothing, got 2"));
    assert!(problem_of("assert_true(false)").contains("expected a true value, got false"));
    assert!(problem_of("assert_error('x', function() end)").contains("expected an error"));
    assert_eq!(
        problem(
            "assert_error('WRONGTYPE', function()
        redis.call('lpush', 'k', 1) redis.call('get', 'k') end)"
        ),
        None
    );
    let uncaught = problem_of("redis.call('nosuchcommand')");
    assert!(uncaught.contains("unknown command"), "{uncaught}");
}

#[test]
fn what_is_no_test_fails() {
    let outside = |source: &str| {
        let found = results(source);
        assert_eq!((found.len(), found[0].0.as_str()), (1, "(outside of tests)"), "{source}");
        found[0].1.clone().unwrap_or_default()
    };
    assert_eq!(outside(""), "the file has no tests");
    assert!(outside("local = 1").starts_with("x_test.lua:1: "));
    assert_eq!(outside("\nerror('oh no')"), "x_test.lua:2: oh no");
    assert!(problem_of("redis.call('blpop', 'k', 0)").contains("the command waits"));
    assert!(problem_of("read_file('no/such/file.lua')").contains("no/such/file.lua"));
}

#[test]
fn tests_behind_one_that_is_stopped_are_run() {
    let limits = Setup { time_max: Duration::from_millis(300), memory_max: 16 << 20, ..setup() };
    let found = results_with(
        "test('before', function() end)
         test('endless', function()
           redis.call('set', 'k', 'v') redis.setresp(3)
           while true do pcall(function() while true do end end) end
         end)
         test('between', function() assert_nil(redis.call('get', 'k')) end)
         test('hungry', function()
           local t = {}
           while true do t[#t + 1] = {} end
         end)
         test('endless script', function()
           while true do redis.pcall('eval', 'while true do end', 0) end
         end)
         test('failing', function() error('oh no') end)
         test('after', function() assert_nil(redis.call('get', 'k')) end)",
        &limits,
    );
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["before", "endless", "between", "hungry", "endless script", "failing", "after"]
    );
    let failed: Vec<bool> = found.iter().map(|(_, problem)| problem.is_some()).collect();
    assert_eq!(failed, [false, true, false, true, true, true, false], "{found:?}");
    let problem = found[1].1.as_deref().unwrap_or_default();
    assert!(problem.contains("the test takes too long"), "{problem}");
}

#[test]
fn a_file_that_does_not_end_outside_of_its_tests_is_run_once() {
    let limits = Setup { time_max: Duration::from_millis(300), ..setup() };
    let found = results_with("test('a', function() end) while true do end", &limits);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "(outside of tests)");
    let found = results_with("", &limits);
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn lines_that_were_run_are_known() {
    let folder = Folder::new();
    let write = |name: &str, text: &str| folder.write(name, text);
    write("s.lua", "if KEYS[1] then\n  return 1\nend\nreturn 2\n");
    write(
        "l.lua",
        "#!lua name=l\nlocal function f()\n  return 3\nend\nredis.register_function('f', f)\n",
    );
    write(
        "s_test.lua",
        "test('one', function() assert_equal(2, eval_file('s.lua')) end)
         test('two', function()
           load_library('l.lua') assert_equal(3, redis.call('fcall', 'f', 0))
         end)",
    );
    let report = run(&folder.0, true, make_engine).expect("a report");
    assert!(report.is_success(), "{:?}", report.results);
    let files = report.coverage.as_ref().expect("coverage");
    let of = |name: &str| {
        let (_, file) = files.iter().find(|(path, _)| path.ends_with(name)).expect("covered");
        let list = |lines: &std::collections::BTreeSet<u32>| lines.iter().copied().collect();
        let (lines, run): (Vec<u32>, Vec<u32>) = (list(&file.lines), list(&file.run));
        (lines, run)
    };
    assert_eq!(of("s.lua"), (vec![1, 2, 4], vec![1, 4]));
    assert_eq!(of("l.lua"), (vec![3], vec![3]));
    let mut text = Vec::new();
    write_text(&report, &mut text).expect("written");
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("s.lua: 2 of 3 lines, not run: 2\n"), "{text}");
    assert!(text.ends_with("2 passed, 0 failed\n"), "{text}");
}

/// Statements that stand on several lines, with code anywhere but on the first.
const LONG_STATEMENTS: &str = "local x =
  tonumber(ARGV[1])
local r = (function()
  return x
end)()
x =
  r
local t =
{ q = 1 }
t.q
  = 3
for k, v in
  pairs(t) do
  x = x + 1
end
for i =
  1, 2 do
  x = x + i
end
if
  x > 1
then
  while
    x > 1
  do
    x = 0
  end
elseif x or
  r then
  x = 1
else
  x = 2
end
repeat
  local y
  x = nil
until
  not x
return
  r
";

#[test]
fn statements_may_stand_on_several_lines() {
    let folder = Folder::new();
    folder.write("s.lua", LONG_STATEMENTS);
    folder.write("s_test.lua", "test('a', function() eval_file('s.lua', {}, {1}) end)");
    let report = run(&folder.0, true, make_engine).expect("a report");
    assert!(report.is_success(), "{:?}", report.results);
    let files = report.coverage.as_ref().expect("coverage");
    let file = files.values().next().expect("one file");
    let missed: Vec<u32> = file.lines.difference(&file.run).copied().collect();
    assert_eq!(missed, [28, 30, 32], "what was not run, and nothing else");
}

#[test]
fn code_is_found_where_lua_has_it() {
    let scripts = [
        LONG_STATEMENTS,
        "local function f()\n  local a\n  -- nothing\nend\n\nf(\n  1,\n  2\n)\n",
        "local a = {}\nfunction a.b(...)\n  return\nend\nfunction a:c()\nend\na.b(a:c())\ndo\nend",
        "while true do\n  if ARGV then\n    break\n  end\nend\nlocal x\nif false then\nend\n",
        "for i = 1,\n 2,\n 1\ndo\n  local f = function()\n    return i\n  end\n  f()\nend\n",
        "if ARGV then\n  for i = 1, 2 do\n  end\nelse\nend\nlocal a, b = 1\nlocal c = a\n",
        "local s = [[\n\n]] .. 1\nlocal t = {\n  s,\n  a = {\n  },\n}\nreturn #t == 1 and\n  s\n",
        "local function f(...)\n  local a =\n    ...\n  return\n    a\nend\nf(1)\n",
        "local n = 0\nwhile n < 3 do\n  n = n + 1\n  if n > 1 then\n    n = n\n  end\nend\n",
    ];
    for script in scripts {
        let mut engine = make_engine();
        let mut host = FileHost::new(Path::new("x_test.lua"), setup());
        let handle = engine.compile(script.as_bytes(), "x", &mut host).expect("valid");
        let notes = coverage::LineNotes::default();
        let mut reply = ValueWriter::new(Protocol::Resp2);
        let nothing = Invocation { keys: &[], args: &[b"2"] };
        let ran = engine.call_debugged(handle, nothing, &mut host, &notes, &mut reply);
        ran.unwrap_or_else(|error| panic!("{script}: {error:?}"));
        let code = perilune_lint::code_lines(script.as_bytes()).expect("valid");
        let unknown: Vec<u32> = notes.lines().difference(&code).copied().collect();
        assert!(unknown.is_empty(), "{unknown:?} in {script}");
    }
}

#[test]
fn a_script_is_one_file_by_whatever_path() {
    let folder = Folder::new();
    folder.write("s.lua", "return 1\n");
    for (name, path) in [("t1", "../s.lua"), ("t2", "./../s.lua"), ("t3", "../t1/../s.lua")] {
        std::fs::create_dir(folder.0.join(name)).expect("a folder");
        let test = format!("test('a', function() eval_file('{path}') end)");
        folder.write(&format!("{name}/s_test.lua"), &test);
    }
    let report = run(&folder.0, true, make_engine).expect("a report");
    assert!(report.is_success(), "{:?}", report.results);
    let files = report.coverage.as_ref().expect("coverage");
    let paths: Vec<&str> = files.keys().map(String::as_str).collect();
    let whole = folder.0.join("s.lua").canonicalize().expect("it is there");
    assert_eq!(paths, [whole.display().to_string()]);
    // What is below the current folder is named from there.
    let (file, source) =
        (Path::new("x_test.lua"), "test('a', function() read_file('src/lib.rs') end)");
    let covered = Arc::new(Coverage::default());
    run_file(file, source.as_bytes(), &Setup::new(make_engine, Some(Arc::clone(&covered))));
    let paths: Vec<String> = covered.files().into_keys().collect();
    assert_eq!(paths, ["src/lib.rs"]);
}

#[test]
fn junit_is_well_formed() {
    let source = "test('a <&> \"b\"', function() error('\\1<x>') end)";
    let results = run_file(Path::new("x_test.lua"), source.as_bytes(), &setup());
    let report = Report { results, coverage: None };
    let mut text = Vec::new();
    write_junit(&report, &mut text).expect("written");
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains(r#"<testsuites tests="1" failures="1">"#), "{text}");
    assert!(text.contains(r#"name="a &lt;&amp;&gt; &quot;b&quot;""#), "{text}");
    assert!(text.contains("\u{fffd}&lt;x&gt;</failure>"), "{text}");
}
