//! The scripts of `docs/examples`, as their README says to use them.

use perilune_resp::{Value, format_cli, split_args};
use perilune_testkit::Connection;
use perilune_tests::{Server, array, bulks, eventually, int, ok, repository, server_binary};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

fn text_of(file: &str) -> String {
    let path = repository().join("docs/examples").join(file);
    std::fs::read_to_string(path).expect("the example is there")
}

/// Runs a command line.
fn run(client: &mut Connection, line: &str) -> Value {
    let words = split_args(line.as_bytes()).expect("balanced quotes");
    client.run(&words).expect("a reply")
}

/// Runs an example with the keys and arguments of a `redis-cli --eval` line.
fn eval(client: &mut Connection, file: &str, rest: &str) -> Value {
    let (keys, args) = rest.split_once(" , ").unwrap_or((rest, ""));
    let keys: Vec<&str> = keys.split_whitespace().collect();
    let script = text_of(file);
    let count = keys.len().to_string();
    let mut words = vec!["EVAL", &script, &count];
    words.extend(keys);
    words.extend(args.split_whitespace());
    client.run(&words).expect("a reply")
}

#[test]
fn counter() {
    let server = Server::start();
    let mut clients = [server.connect(), server.connect()];
    for expected in 1..=10 {
        let client = &mut clients[expected as usize % 2];
        assert_eq!(eval(client, "counter.lua", "counter"), int(expected));
    }
    assert_eq!(run(&mut clients[0], "GET counter"), Value::bulk("10"));
}

#[test]
fn push_if_exists() {
    let server = Server::start();
    let mut client = server.connect();
    let line = "mykey mylist , myvalue";
    assert_eq!(eval(&mut client, "push_if_exists.lua", line), int(0));
    assert_eq!(run(&mut client, "EXISTS mylist"), int(0));
    assert_eq!(run(&mut client, "SET mykey x"), ok());
    assert_eq!(eval(&mut client, "push_if_exists.lua", line), int(1));
    assert_eq!(run(&mut client, "LRANGE mylist 0 -1"), bulks(&["myvalue"]));
}

#[test]
fn conditional_delete() {
    let server = Server::start();
    let mut client = server.connect();
    assert_eq!(eval(&mut client, "conditional_delete.lua", "mykey , some_value"), int(0));
    assert_eq!(run(&mut client, "SET mykey some_value"), ok());
    assert_eq!(eval(&mut client, "conditional_delete.lua", "mykey , another_value"), int(0));
    assert_eq!(run(&mut client, "GET mykey"), Value::bulk("some_value"));
    assert_eq!(eval(&mut client, "conditional_delete.lua", "mykey , some_value"), int(1));
    assert_eq!(run(&mut client, "EXISTS mykey"), int(0));
}

#[test]
fn rate_limiter() {
    let server = Server::start();
    let mut client = server.connect();
    for _ in 0..5 {
        assert_eq!(eval(&mut client, "rate_limiter.lua", "user:123 , 5 60"), int(1));
    }
    for _ in 0..3 {
        assert_eq!(eval(&mut client, "rate_limiter.lua", "user:123 , 5 60"), int(0));
    }
    assert_eq!(eval(&mut client, "rate_limiter.lua", "user:124 , 5 60"), int(1));
    assert!(matches!(run(&mut client, "TTL user:123"), Value::Int(1..=60)));
    // The window ends early for this one.
    assert_eq!(run(&mut client, "PEXPIRE user:123 1"), int(1));
    eventually("the end of the window", || {
        (run(&mut client, "EXISTS user:123") == int(0)).then_some(())
    });
    assert_eq!(eval(&mut client, "rate_limiter.lua", "user:123 , 5 60"), int(1));
}

#[test]
fn random_push() {
    // What the documentation shows, which prints fewer digits than the numbers have.
    const SHOWN: [f64; 10] = [
        0.74509509873814,
        0.87390407681181,
        0.36876626981831,
        0.6921941534114,
        0.7857992587545,
        0.57730350670279,
        0.87046522734243,
        0.09637165539729,
        0.74990198051087,
        0.17082803611217,
    ];
    let server = Server::start();
    let mut client = server.connect();
    let mut lists = Vec::new();
    for (key, rest) in [("a", "10 0"), ("b", "10 0"), ("c", "10 77"), ("d", "10"), ("e", "10")] {
        assert_eq!(eval(&mut client, "random_push.lua", &format!("{key} , {rest}")), int(10));
        lists.push(run(&mut client, &format!("LRANGE {key} 0 -1")));
    }
    assert_eq!(lists[0], lists[1], "the same seed");
    assert_ne!(lists[0], lists[2], "another seed");
    assert_ne!(lists[3], lists[4], "no seed");
    let Value::Array(items) = &lists[0] else { panic!("{:?}", lists[0]) };
    for (item, shown) in items.iter().zip(SHOWN) {
        let text = String::from_utf8_lossy(item.as_bytes().expect("a string"));
        let number: f64 = text.parse().expect("a number");
        assert!((number - shown).abs() < 1e-13, "{number} {shown}");
    }
}

/// Runs a subcommand of the program; its output, and whether it succeeded.
fn tool(words: &[&str]) -> (String, bool) {
    let output = Command::new(server_binary()).args(words).current_dir(repository()).output();
    let output = output.expect("the program runs");
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success())
}

#[test]
fn tests_of_the_examples_pass() {
    let junit = std::env::temp_dir().join(format!("perilune-junit-{}.xml", std::process::id()));
    let file = junit.to_string_lossy();
    let (text, success) = tool(&["test", "docs/examples", "--coverage", "--junit", &*file]);
    assert!(success && text.ends_with(" passed, 0 failed\n"), "{text}");
    assert!(text.contains("100.0%  docs/examples/rate_limiter.lua: 8 of 8 lines\n"), "{text}");
    let written = std::fs::read_to_string(&junit).expect("the results");
    std::fs::remove_file(&junit).expect("removed");
    assert!(
        written.contains("<testcase classname=\"docs/examples/examples_test.lua\""),
        "{written}"
    );
}

#[test]
fn nothing_is_wrong_with_the_examples() {
    let names = ["conditional_delete", "counter", "mylib", "push_if_exists", "random_push"];
    let files = names.map(|name| format!("docs/examples/{name}.lua"));
    let words: Vec<&str> =
        std::iter::once("lint").chain(files.iter().map(String::as_str)).collect();
    assert_eq!(tool(&words), (String::new(), true));
    let (text, success) = tool(&["lint", "docs/examples/README.md"]);
    assert!(!success && text.starts_with("docs/examples/README.md:1:1: "), "{text}");
}

fn with_library() -> (Server, Connection) {
    let server = Server::start();
    let mut client = server.connect();
    let loaded = client.run(&["FUNCTION", "LOAD", "REPLACE", &text_of("mylib.lua")]);
    assert_eq!(loaded.expect("a reply"), Value::bulk("mylib"));
    (server, client)
}

/// The elements of a flat list of names and values.
fn pairs(value: &Value) -> BTreeMap<String, Value> {
    let Value::Array(items) = value else { panic!("{value:?}") };
    let text =
        |name: &Value| String::from_utf8_lossy(name.as_bytes().expect("a name")).into_owned();
    items.chunks(2).map(|pair| (text(&pair[0]), pair[1].clone())).collect()
}

#[test]
fn the_library_is_listed() {
    let (_server, mut client) = with_library();
    let list = run(&mut client, "FUNCTION LIST LIBRARYNAME mylib");
    let Value::Array(libraries) = &list else { panic!("{list:?}") };
    assert_eq!(libraries.len(), 1);
    let library = pairs(&libraries[0]);
    assert_eq!(library["library_name"], Value::bulk("mylib"));
    assert_eq!(library["engine"], Value::bulk("LUA"));
    let Value::Array(functions) = &library["functions"] else { panic!("{library:?}") };
    let mut writers = BTreeSet::new();
    let mut readers = BTreeSet::new();
    for function in functions.iter().map(pairs) {
        assert_eq!(function["description"], Value::Null);
        let name = format_cli(&function["name"]).trim().trim_matches('"').to_owned();
        let reads = format_cli(&function["flags"]).contains("no-writes");
        if reads { &mut readers } else { &mut writers }.insert(name);
    }
    assert_eq!(writers.iter().collect::<Vec<_>>(), ["delall", "zAddIncr"]);
    let expected = ["countKeys", "libs", "scanTextChi", "toFix", "ver", "zSumScore"];
    assert_eq!(readers.iter().collect::<Vec<_>>(), expected);
}

#[test]
fn trivial_functions() {
    let (_server, mut client) = with_library();
    for name in ["VER", "ver", "Ver"] {
        assert_eq!(run(&mut client, &format!("FCALL_RO {name} 0")), Value::bulk("7.2.4"));
    }
    assert_eq!(run(&mut client, "FCALL_RO TOFIX 2 123.456 2"), Value::bulk("123.46"));
    assert_eq!(run(&mut client, "FCALL_RO TOFIX 1 123.456"), Value::bulk("123.46"));
    assert_eq!(run(&mut client, "FCALL toFix 2 123.456 0"), Value::bulk("123"));
    assert!(run(&mut client, "FCALL_RO TOFIX 1 many").as_error().is_some());
    let libs = run(&mut client, "FCALL_RO LIBS 0");
    for library in ["cjson", "cmsgpack", "bit", "struct", "string", "table", "math"] {
        let Value::Array(libs) = &libs else { panic!("{libs:?}") };
        assert!(libs.contains(&Value::bulk(library)), "{library}: {libs:?}");
    }
}

#[test]
fn utility_functions() {
    let (_server, mut client) = with_library();
    for number in 0..3000 {
        let line = format!("SET temp:{number} {}", "x".repeat(1000));
        assert_eq!(run(&mut client, &line), ok());
    }
    run(&mut client, "MSET cache:1 a cache:2 b other c");
    let counted = run(&mut client, "FCALL_RO COUNTKEYS 1 temp:*");
    let Value::Array(items) = &counted else { panic!("{counted:?}") };
    assert_eq!(items[0], Value::bulk("3000"));
    let size = String::from_utf8_lossy(items[1].as_bytes().expect("a size")).into_owned();
    let megabytes: f64 = size.strip_suffix('M').expect("megabytes").parse().expect("a number");
    assert!((2.9..4.0).contains(&megabytes), "{size}");
    let all = run(&mut client, "FCALL_RO countKeys 0");
    assert!(format_cli(&all).starts_with("1) \"3003\"\n"), "{all:?}");
    assert_eq!(run(&mut client, "FCALL DELALL 1 temp:*"), int(3000));
    assert_eq!(run(&mut client, "FCALL delAll 1 cache:*"), int(2));
    assert_eq!(run(&mut client, "KEYS *"), bulks(&["other"]));
    // Not through FCALL_RO, because it writes.
    let refused = run(&mut client, "FCALL_RO DELALL 1 temp:*");
    let expected = "ERR Can not execute a script with write flag using *_ro command.";
    assert_eq!(refused, perilune_tests::error(expected));
}

#[test]
fn sorted_sets_that_count() {
    let (_server, mut client) = with_library();
    let members = ["a", "b", "c", "d", "e", "f"];
    for count in (1..=6).rev() {
        let line = format!("FCALL ZADDINCR 1 testz {}", members[..count].join(" "));
        assert_eq!(run(&mut client, &line), int(count as i64));
    }
    assert_eq!(run(&mut client, "FCALL_RO ZSUMSCORE 1 testz"), int(21));
    assert_eq!(run(&mut client, "ZCARD testz"), int(6));
    assert_eq!(run(&mut client, "ZSCORE testz a"), Value::bulk("6"));
    assert_eq!(run(&mut client, "ZSCORE testz g"), Value::Null);
    let expected = bulks(&["a", "6", "b", "5", "c", "4", "d", "3", "e", "2", "f", "1"]);
    assert_eq!(run(&mut client, "ZRANGE testz 0 -1 REV WITHSCORES"), expected);
}

#[test]
fn hashes_found_by_their_text() {
    let (_server, mut client) = with_library();
    for (id, key) in [("11199", "鄭文公"), ("11200", "陳文公"), ("11201", "鄭文公之子")]
    {
        let line = format!(
            "HSET fts:chinese:documents:{id} id {id} key {key} textChi {key}<br/> visited 0"
        );
        assert_eq!(run(&mut client, &line), int(4));
    }
    run(&mut client, "SET fts:chinese:documents:string x");
    let call = "FCALL_RO SCANTEXTCHI";
    let named = format!("{call} 5 fts:chinese:documents:* key 鄭文公 0 10 id textChi visited");
    let expected =
        array([bulks(&["11199", "鄭文公<br/>", "0"]), bulks(&["11201", "鄭文公之子<br/>", "0"])]);
    assert_eq!(run(&mut client, &named), expected);
    let second = format!("{call} 5 fts:chinese:documents:* key 鄭文公 1 1 id");
    assert_eq!(run(&mut client, &second), array([bulks(&["11201"])]));
    let whole = run(&mut client, &format!("{call} 3 fts:chinese:documents:* key 陳文公"));
    let Value::Array(rows) = &whole else { panic!("{whole:?}") };
    assert_eq!(rows.len(), 1);
    let fields = pairs(&rows[0]);
    assert_eq!(fields["id"], Value::bulk("11200"));
    assert_eq!(fields["textChi"], Value::bulk("陳文公<br/>"));
    let none = format!("{call} 3 fts:chinese:documents:* key 趙");
    assert_eq!(run(&mut client, &none), array([]));
}

/// Every `redis-cli --eval` line of the README does what the line below it says.
#[test]
fn the_readme_tells_the_truth() {
    let server = Server::start();
    let mut client = server.connect();
    let readme = text_of("README.md");
    let lines: Vec<&str> = readme.lines().collect();
    let mut checked = 0;
    for pair in lines.windows(2) {
        let Some(command) = pair[0].strip_prefix("$ redis-cli ") else { continue };
        let reply = if let Some(rest) = command.strip_prefix("--eval ") {
            let (file, rest) = rest.split_once(' ').expect("keys");
            eval(&mut client, file, rest)
        } else if let Some(file) = command.strip_prefix("-x FUNCTION LOAD REPLACE < ") {
            client.run(&["FUNCTION", "LOAD", "REPLACE", &text_of(file)]).expect("a reply")
        } else if !command.starts_with('-') && !command.contains("DIGEST") {
            run(&mut client, command)
        } else {
            continue;
        };
        assert!(reply.as_error().is_none(), "{command}: {reply:?}");
        if !pair[1].starts_with(['$', '`']) {
            assert_eq!(format_cli(&reply).trim_end(), pair[1], "{command}");
            checked += 1;
        }
    }
    assert!(checked >= 10, "only {checked} replies were checked");
}
