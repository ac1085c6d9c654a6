//! Cases about one run of a script.

use super::{Bench, Dialect, Entry, Step, error_text};
use perilune_resp::Value;

/// Checks all cases about runs.
///
/// # Panics
/// When one does not hold.
pub fn check_runs(dialect: &dyn Dialect) {
    for entry in [Entry::Eval, Entry::EvalSha, Entry::Fcall] {
        let cases: [fn(&mut Bench<'_>); 15] = [
            replies,
            commands_see_the_clients_database,
            errors_name_script_and_place,
            errors_of_commands_are_counted_once,
            refused_commands,
            the_rights_of_the_caller_bind,
            what_a_run_does_is_counted,
            slow_runs_are_named,
            read_only_variants_do_not_write,
            declared_flags_bind,
            memory_limit,
            replies_in_resp3,
            nothing_blocks,
            wrong_key_counts,
            slow_scripts_can_be_killed,
        ];
        for case in cases {
            case(&mut Bench::new(dialect, entry));
        }
        written_scripts_end_with_the_server(&mut Bench::new(dialect, entry));
    }
}

fn ok() -> Value {
    Value::Status(b"OK".to_vec())
}

fn replies(bench: &mut Bench<'_>) {
    assert_eq!(bench.call(&[Step::Return(7)]), Value::Int(7));
    assert_eq!(bench.call(&[]), Value::Null);
    let keys = Value::Array(vec![Value::bulk("k1"), Value::bulk("k2")]);
    assert_eq!(bench.call(&[Step::EchoKeys]), keys);
    assert_eq!(bench.call(&[Step::EchoArgs]), Value::Array(vec![Value::bulk("a1")]));
    bench.call(&[Step::Log("seen by a test"), Step::Return(1)]);
    // The line names who said it and where.
    let is_placed = |line: &String| {
        let place = line.strip_prefix("seen by a test [").and_then(|rest| rest.strip_suffix(']'));
        let number = place.and_then(|place| place.rsplit_once(':'));
        number.is_some_and(|(_, number)| number.parse::<u32>().is_ok())
    };
    let lines = bench.server.observed.log_lines();
    assert!(lines.iter().any(is_placed), "{lines:?}");
}

fn commands_see_the_clients_database(bench: &mut Bench<'_>) {
    bench.run("select 3");
    assert_eq!(bench.call(&[Step::Call("set $k1 $a1")]), ok());
    assert_eq!(bench.run("get k1"), Value::bulk("a1"));
    bench.call(&[Step::Try("select 5"), Step::Call("set k2 elsewhere")]);
    assert_eq!(bench.run("get k2"), Value::Null);
    bench.run("select 5");
    assert_eq!(bench.run("get k2"), Value::bulk("elsewhere"));
    assert_eq!(bench.call(&[Step::Call("get k1")]), Value::Null);
}

fn errors_name_script_and_place(bench: &mut Bench<'_>) {
    let steps = [Step::Error("MYCODE what is wrong")];
    let text = bench.error(&steps);
    let name = match bench.entry {
        Entry::Fcall => "Func".to_owned(),
        _ => perilune_script::Digest::of(bench.source(None, &steps).as_bytes()).to_string(),
    };
    let start = format!("MYCODE what is wrong script: {name}, on @");
    assert!(text.starts_with(&start) && text.ends_with('.'), "{text}");
    assert_eq!(bench.server.engine.stats.errors_by_code.get("MYCODE"), Some(&1));
}

fn errors_of_commands_are_counted_once(bench: &mut Bench<'_>) {
    bench.run("set k1 text");
    let text = bench.error(&[Step::Call("llen $k1")]);
    assert!(text.starts_with("WRONGTYPE Operation against a key"), "{text}");
    assert!(text.contains(" script: "), "{text}");
    assert_eq!(bench.server.engine.stats.error_replies, 1);
    assert_eq!(bench.call(&[Step::Try("llen $k1"), Step::Return(1)]), Value::Int(1));
    assert_eq!(bench.server.engine.stats.error_replies, 2);
    let id = bench.server.engine.commands.by_name(bench.command(false).as_bytes()).unwrap();
    let stats = bench.server.engine.commands.get(id).stats;
    assert_eq!((stats.calls, stats.failed, stats.rejected), (2, 1, 0));
}

fn refused_commands(bench: &mut Bench<'_>) {
    for (command, start) in [
        ("nosuch a", "ERR Unknown Redis command called from script script: "),
        ("config nosuch", "ERR Unknown Redis command called from script script: "),
        ("get", "ERR Wrong number of args calling Redis command from script script: "),
        ("multi", "ERR This Redis command is not allowed from script script: "),
        ("eval x 0", "ERR This Redis command is not allowed from script script: "),
    ] {
        let text = bench.error(&[Step::Call(command)]);
        assert!(text.starts_with(start), "{command}: {text}");
    }
    let get = bench.server.engine.commands.by_name(b"get").unwrap();
    assert_eq!(bench.server.engine.commands.get(get).stats.rejected, 1);
}

fn the_rights_of_the_caller_bind(bench: &mut Bench<'_>) {
    bench.run("set other 1");
    bench.run("acl setuser default resetkeys ~k* -llen");
    assert_eq!(bench.call(&[Step::Call("set $k1 $a1")]), ok());
    let key = bench.error(&[Step::Call("get other")]);
    assert!(key.starts_with("ERR ACL failure in script: No permissions to access a key"), "{key}");
    let command = bench.error(&[Step::Call("llen $k1")]);
    let start = "ERR ACL failure in script: User default has no permissions to run the 'llen'";
    assert!(command.starts_with(start), "{command}");
    let denied = bench.server.engine.acl.denied;
    assert_eq!((denied.key, denied.command), (1, 1));
    bench.run("acl setuser default ~*");
    assert_eq!(bench.call(&[Step::Call("get other")]), Value::bulk("1"));
}

/// The field of a map that was answered as an array.
fn field(reply: &Value, name: &str) -> Value {
    let Value::Array(items) = reply else { panic!("no map but {reply:?}") };
    let mut pairs = items.chunks_exact(2);
    let found = pairs.find(|pair| pair[0] == Value::bulk(name));
    found.unwrap_or_else(|| panic!("no field {name} in {reply:?}"))[1].clone()
}

/// The name by which statistics know what [`Bench::call`] runs.
fn name_of(bench: &Bench<'_>, steps: &[Step<'_>]) -> String {
    match bench.entry {
        Entry::Fcall => "Func".into(),
        _ => perilune_script::Digest::of(bench.source(None, steps).as_bytes()).to_string(),
    }
}

fn what_a_run_does_is_counted(bench: &mut Bench<'_>) {
    let steps = [Step::Try("get $k1"), Step::Try("mget other $k1"), Step::Return(7)];
    bench.call(&steps);
    let command = format!("script stats {}", name_of(bench, &steps));
    let stats = bench.run(&command);
    let expected = [
        ("calls", 1),
        ("failed_calls", 0),
        ("commands", 2),
        ("keys_declared", 2),
        ("keys_used", 3),
        ("keys_undeclared", 1),
        ("reply_bytes", 4),
    ];
    for (name, number) in expected {
        assert_eq!(field(&stats, name), Value::Int(number), "{name}");
    }
    let info = bench.run("info scriptstats");
    let info = String::from_utf8_lossy(info.as_bytes().unwrap_or_default()).into_owned();
    assert!(info.contains(&format!("stat_{}:calls=1,", name_of(bench, &steps))), "{info}");
    bench.run("config resetstat");
    assert_eq!(field(&bench.run(&command), "calls"), Value::Int(0));
    let fails = [Step::Error("MYCODE text")];
    bench.call(&fails);
    let stats = bench.run(&format!("script stats {}", name_of(bench, &fails)));
    let errors = Value::Array(vec![Value::bulk("MYCODE"), Value::Int(1)]);
    assert_eq!((field(&stats, "failed_calls"), field(&stats, "errors")), (Value::Int(1), errors));
    let Value::Array(all) = bench.run("script stats") else { panic!("no array") };
    assert_eq!(all.len(), 1);
    bench.run("script flush");
    bench.run("function flush");
    assert_eq!(bench.run("script stats"), Value::Array(Vec::new()));
    assert!(matches!(bench.run(&command), Value::Error(_)));
}

fn slow_runs_are_named(bench: &mut Bench<'_>) {
    bench.run("config set slowlog-log-slower-than 0");
    let steps = [Step::Return(1)];
    bench.call(&steps);
    let name = name_of(bench, &steps);
    let stats = bench.run(&format!("script stats {name}"));
    assert_eq!(field(&stats, "slow_calls"), Value::Int(1));
    let lines = bench.server.observed.log_lines();
    let named = |line: &&String| line.starts_with("Slow ") && line.contains(&name);
    assert_eq!(lines.iter().filter(named).count(), 1);
}

fn read_only_variants_do_not_write(bench: &mut Bench<'_>) {
    let flags = (bench.entry == Entry::Fcall).then_some("no-writes");
    bench.run("set k1 v");
    let found = bench.call_as(true, flags, &[Step::Call("get $k1")]);
    assert_eq!(found, Value::bulk("v"));
    for command in ["set $k1 x", "publish channel x"] {
        let text = error_text(&bench.call_as(true, flags, &[Step::Call(command)]));
        let start = "ERR Write commands are not allowed from read-only scripts. script: ";
        assert!(text.starts_with(start), "{text}");
    }
    assert_eq!(bench.run("get k1"), Value::bulk("v"));
    let text = error_text(&bench.call_as(true, Some("allow-oom"), &[Step::Return(1)]));
    assert_eq!(text, "ERR Can not execute a script with write flag using *_ro command.");
}

fn declared_flags_bind(bench: &mut Bench<'_>) {
    let flags = Some("no-writes,allow-stale");
    assert_eq!(bench.call_as(false, flags, &[Step::Return(1)]), Value::Int(1));
    let text = error_text(&bench.call_as(false, flags, &[Step::Call("set $k1 x")]));
    assert!(text.starts_with("ERR Write commands are not allowed from read-only"), "{text}");
    assert_eq!(bench.call_as(false, Some("no-cluster"), &[Step::Call("set $k1 x")]), ok());
}

fn memory_limit(bench: &mut Bench<'_>) {
    let (write, read) = ([Step::Call("set $k1 x")], [Step::Call("get $k1")]);
    // Defined first: FUNCTION LOAD itself needs memory.
    let mut texts = Vec::new();
    for (flags, steps, old) in [
        (None, &write, "OOM command not allowed when used memory > 'maxmemory'. script: "),
        (Some(""), &read, "OOM command not allowed when used memory > 'maxmemory'."),
        (Some("allow-oom"), &write, ""),
        (Some("no-writes"), &read, ""),
    ] {
        if flags.is_none() && bench.entry == Entry::Fcall {
            continue;
        }
        let what = bench.define(flags, steps);
        bench.server.observed.set_allocated(2000);
        bench.server.engine.config.maxmemory = 1000;
        let reply = bench.server.reply(bench.client, &[bench.command(false), &what, "1", "k1"]);
        bench.server.engine.config.maxmemory = 0;
        match old {
            "" => assert!(!matches!(reply, Value::Error(_)), "{flags:?}: {reply:?}"),
            start => assert!(error_text(&reply).starts_with(start), "{flags:?}: {reply:?}"),
        }
        texts.push(reply);
    }
    assert!(texts.len() >= 3);
}

fn replies_in_resp3(bench: &mut Bench<'_>) {
    bench.run("hello 3");
    bench.run("hset k1 f v");
    let pair = (Value::bulk("f"), Value::bulk("v"));
    let flat = Value::Array(vec![pair.0.clone(), pair.1.clone()]);
    assert_eq!(bench.call(&[Step::Call("hgetall $k1")]), flat);
    let map = bench.call(&[Step::Resp3, Step::Call("hgetall $k1")]);
    assert_eq!(map, Value::Map(vec![pair]));
    // The choice ends with the run.
    assert_eq!(bench.call(&[Step::Call("hgetall $k1")]), flat);
}

fn nothing_blocks(bench: &mut Bench<'_>) {
    // Not every language tells the two kinds of nothing apart.
    let reply = bench.call(&[Step::Call("blpop nolist 0")]);
    assert!(matches!(reply, Value::Null | Value::NullArray), "{reply:?}");
}

fn wrong_key_counts(bench: &mut Bench<'_>) {
    let what = bench.define(None, &[Step::Return(1)]);
    let no_number = match bench.entry {
        Entry::Fcall => "ERR Bad number of keys provided",
        _ => "ERR value is not an integer or out of range",
    };
    for (count, text) in [
        ("x", no_number),
        ("-1", "ERR Number of keys can't be negative"),
        ("2", "ERR Number of keys can't be greater than number of args"),
    ] {
        let reply = bench.server.reply(bench.client, &[bench.command(false), &what, count, "k"]);
        assert_eq!(error_text(&reply), text);
    }
}

/// What kills this kind of script, and the other kind.
fn killers(entry: Entry) -> [[&'static str; 2]; 2] {
    match entry {
        Entry::Fcall => [["function", "kill"], ["script", "kill"]],
        _ => [["script", "kill"], ["function", "kill"]],
    }
}

fn slow_scripts_can_be_killed(bench: &mut Bench<'_>) {
    let idle = error_text(&bench.run("script kill"));
    assert_eq!(idle, "NOTBUSY No scripts in execution right now.");
    let [own, wrong] = killers(bench.entry);
    let what = bench.define_compiled(&[Step::Try("get k1"), Step::Loop]);
    let other = bench.other;
    bench.server.while_slow(other, &["ping"]);
    bench.server.while_slow(other, &wrong);
    bench.server.while_slow(other, &["function", "stats"]);
    bench.server.while_slow(other, &own);
    // Every look at the clock is past the limit.
    bench.server.clock.set_step_us(60_000_000);
    let reply = bench.server.reply(bench.client, &[bench.command(false), &what, "1", "k1"]);
    bench.server.clock.set_step_us(0);
    let text = error_text(&reply);
    assert!(text.starts_with("ERR Script killed by user with SCRIPT KILL..."), "{text}");
    let replies = bench.server.replies_while_slow();
    let [ping, wrong, stats, own] = &replies[..] else { panic!("{replies:?}") };
    assert!(error_text(ping).starts_with("BUSY Redis is busy running a script."));
    assert_eq!(wrong, ping);
    assert_eq!(own, &ok());
    match (bench.entry, stats) {
        (Entry::Fcall, Value::Array(fields)) => {
            let Some(Value::Array(running)) = fields.get(1) else { panic!("{stats:?}") };
            let words = ["fcall", "Func", "1", "k1"].map(Value::bulk).to_vec();
            assert_eq!(running.get(1), Some(&Value::bulk("Func")));
            assert_eq!(running.get(3), Some(&Value::Array(words)));
        }
        (Entry::Fcall, other) => panic!("{other:?}"),
        (_, busy) => assert_eq!(busy, ping),
    }
    assert_eq!(bench.run("ping"), Value::Status(b"PONG".to_vec()));
    assert_eq!(bench.call(&[Step::Return(1)]), Value::Int(1));
}

fn written_scripts_end_with_the_server(bench: &mut Bench<'_>) {
    let [own, _] = killers(bench.entry);
    let what = bench.define_compiled(&[Step::Try("set k1 x"), Step::Loop]);
    let other = bench.other;
    bench.server.while_slow(other, &own);
    bench.server.while_slow(other, &["shutdown", "nosave"]);
    bench.server.clock.set_step_us(60_000_000);
    let reply = bench.server.reply(bench.client, &[bench.command(false), &what, "1", "k1"]);
    assert!(matches!(reply, Value::Error(_)));
    let replies = bench.server.replies_while_slow();
    assert!(error_text(&replies[0]).starts_with("UNKILLABLE Sorry the script already executed"));
    assert_eq!(bench.server.observed.shutdowns(), 1);
}
