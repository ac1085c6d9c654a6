//! Every script engine through the same cases.

use perilune_lua::LuaEngine;
use perilune_resp::Value;
use perilune_script::ScriptEngine;
use perilune_testkit::conformance::{Dialect, FunctionText, Step, check_runs, check_store};
use perilune_testkit::{FakeEngine, TestServer};

struct Fake;

impl Dialect for Fake {
    fn engine(&self) -> Box<dyn ScriptEngine> {
        Box::new(FakeEngine::new())
    }

    fn script(&self, steps: &[Step<'_>]) -> String {
        let line = |step: &Step<'_>| match step {
            Step::Return(number) => format!("return {number}\n"),
            Step::EchoKeys => "echo keys\n".into(),
            Step::EchoArgs => "echo args\n".into(),
            Step::Call(words) => format!("call {words}\n"),
            Step::Try(words) => format!("try {words}\n"),
            Step::Resp3 => "resp 3\n".into(),
            Step::Log(text) => format!("log {text}\n"),
            Step::Error(text) => format!("error {text}\n"),
            Step::Loop => "loop\n".into(),
        };
        steps.iter().map(line).collect()
    }

    fn library(&self, functions: &[FunctionText<'_>]) -> String {
        let function = |(name, flags, steps): &FunctionText<'_>| {
            format!("function {name} flags={flags}\n{}", self.script(steps))
        };
        functions.iter().map(function).collect()
    }

    fn nonsense(&self) -> String {
        "sing a song".into()
    }
}

struct Lua;

/// The arguments of `redis.call`.
fn lua_words(words: &str) -> String {
    let word = |word: &str| match (word.strip_prefix("$k"), word.strip_prefix("$a")) {
        (Some(number), _) => format!("KEYS[{number}]"),
        (_, Some(number)) => format!("ARGV[{number}]"),
        _ => format!("'{word}'"),
    };
    words.split(' ').map(word).collect::<Vec<_>>().join(", ")
}

impl Dialect for Lua {
    fn engine(&self) -> Box<dyn ScriptEngine> {
        Box::new(LuaEngine::new())
    }

    fn script(&self, steps: &[Step<'_>]) -> String {
        let line = |step: &Step<'_>| match step {
            Step::Return(number) => format!("return {number}\n"),
            Step::EchoKeys => "return KEYS\n".into(),
            Step::EchoArgs => "return ARGV\n".into(),
            Step::Call(words) => format!("return redis.call({})\n", lua_words(words)),
            Step::Try(words) => format!("redis.pcall({})\n", lua_words(words)),
            Step::Resp3 => "redis.setresp(3)\n".into(),
            Step::Log(text) => format!("redis.log(redis.LOG_NOTICE, '{text}')\n"),
            Step::Error(text) => format!("error({{err = '{text}'}})\n"),
            Step::Loop => "while true do end\n".into(),
        };
        steps.iter().map(line).collect()
    }

    fn library(&self, functions: &[FunctionText<'_>]) -> String {
        let function = |(name, flags, steps): &FunctionText<'_>| {
            let flags: String =
                flags.split(',').filter(|f| !f.is_empty()).map(|f| format!("'{f}',")).collect();
            format!(
                "redis.register_function{{function_name='{name}', flags={{{flags}}}, \
                 callback=function(KEYS, ARGV)\n{} end}}\n",
                self.script(steps)
            )
        };
        functions.iter().map(function).collect()
    }

    fn nonsense(&self) -> String {
        "return +".into()
    }
}

#[test]
fn runs_of_the_fake_engine() {
    check_runs(&Fake);
}

#[test]
fn store_of_the_fake_engine() {
    check_store(&Fake);
}

#[test]
fn runs_of_lua() {
    check_runs(&Lua);
}

#[test]
fn store_of_lua() {
    check_store(&Lua);
}

#[test]
fn engines_live_side_by_side() {
    let mut server = TestServer::new(vec![Lua.engine(), Fake.engine()]);
    let client = server.connect();
    for (source, number) in [("return 1 + 1", 2), ("#!lua\nreturn 3", 3), ("#!fake\nreturn 4", 4)] {
        assert_eq!(server.reply(client, &["eval", source, "0"]), Value::Int(number));
    }
    for code in [
        "#!FAKE name=a\nfunction f\nreturn 5",
        "#!lua name=b\nredis.register_function('g', function() return 6 end)",
    ] {
        assert!(matches!(server.reply(client, &["function", "load", code]), Value::Bulk(_)));
    }
    assert_eq!(server.reply(client, &["fcall", "f", "0"]), Value::Int(5));
    assert_eq!(server.reply(client, &["fcall", "g", "0"]), Value::Int(6));
    let stats = server.reply(client, &["function", "stats"]);
    let counts = |engine: &str| {
        let one = [Value::bulk("libraries_count"), Value::Int(1), Value::bulk("functions_count")];
        let mut fields = one.to_vec();
        fields.push(Value::Int(1));
        [Value::bulk(engine), Value::Array(fields)]
    };
    let engines = Value::Array([counts("LUA"), counts("FAKE")].concat());
    let expected = [Value::bulk("running_script"), Value::Null, Value::bulk("engines"), engines];
    assert_eq!(stats, Value::Array(expected.to_vec()));
}

#[test]
fn a_server_refuses_engines_that_do_not_go_together() {
    let none = TestServer::build(vec![]).err();
    assert_eq!(none.as_deref(), Some("a server needs at least one script engine"));
    let twins = TestServer::build(vec![Fake.engine(), Fake.engine()]).err();
    assert_eq!(twins.as_deref(), Some("two script engines are called 'fake'"));
}
