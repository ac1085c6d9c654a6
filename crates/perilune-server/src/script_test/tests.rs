//! Tests of tests: what passes, what fails and how that is told.

use super::*;
use perilune_lua::LuaEngine;

fn make_engine() -> Box<dyn ScriptEngine> {
    Box::new(LuaEngine::new())
}

/// Runs a test file; names with the problems of those that failed.
fn results(source: &str) -> Vec<(String, Option<String>)> {
    let results = run_file(Path::new("x_test.lua"), source.as_bytes(), make_engine, None);
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
fn lines_that_were_run_are_known() {
    let folder = std::env::temp_dir().join(format!("perilune-test-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("written");
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
    let report = run(&folder, true, make_engine).expect("a report");
    std::fs::remove_dir_all(&folder).expect("removed");
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

#[test]
fn junit_is_well_formed() {
    let source = "test('a <&> \"b\"', function() error('\\1<x>') end)";
    let results = run_file(Path::new("x_test.lua"), source.as_bytes(), make_engine, None);
    let report = Report { results, coverage: None };
    let mut text = Vec::new();
    write_junit(&report, &mut text).expect("written");
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains(r#"<testsuites tests="1" failures="1">"#), "{text}");
    assert!(text.contains(r#"name="a &lt;&amp;&gt; &quot;b&quot;""#), "{text}");
    assert!(text.contains("\u{fffd}&lt;x&gt;</failure>"), "{text}");
}
