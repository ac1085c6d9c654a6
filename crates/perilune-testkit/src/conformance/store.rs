//! Cases about the script cache and the libraries.

use super::{Bench, Dialect, Entry, Step, error_text};
use perilune_resp::Value;
use perilune_script::{Digest, UNPINNED_MAX};

/// Checks all cases about what is kept between runs.
///
/// # Panics
/// When one does not hold.
pub fn check_store(dialect: &dyn Dialect) {
    let cases: [fn(&mut Bench<'_>, &dyn Dialect); 5] =
        [cached_scripts, evicted_scripts, nonsense_is_refused, libraries, dumps];
    for case in cases {
        case(&mut Bench::new(dialect, Entry::Eval), dialect);
    }
}

fn ok() -> Value {
    Value::Status(b"OK".to_vec())
}

fn ints(values: &[i64]) -> Value {
    Value::Array(values.iter().copied().map(Value::Int).collect())
}

fn cached_scripts(bench: &mut Bench<'_>, _: &dyn Dialect) {
    let source = bench.source(None, &[Step::Return(5)]);
    let digest = Digest::of(source.as_bytes()).to_string();
    let upper = digest.to_ascii_uppercase();
    let none = error_text(&bench.run(&format!("evalsha {digest} 0")));
    assert_eq!(none, "NOSCRIPT No matching script. Please use EVAL.");
    assert_eq!(bench.server.reply(bench.client, &["eval", &source, "0"]), Value::Int(5));
    assert_eq!(bench.run(&format!("evalsha {upper} 0")), Value::Int(5));
    assert_eq!(bench.run(&format!("script exists {digest} abc {upper}")), ints(&[1, 0, 1]));
    assert_eq!(bench.run(&format!("script show {upper}")), Value::bulk(&source));
    assert!(error_text(&bench.run("script show abc")).starts_with("NOSCRIPT"));
    let Value::Array(listed) = bench.run("script list") else { panic!("no array") };
    let Some(Value::Array(fields)) = listed.first() else { panic!("{listed:?}") };
    assert_eq!((listed.len(), &fields[..2]), (1, &[Value::bulk("sha1"), Value::bulk(&digest)][..]));
    let has = |pair: [Value; 2]| fields.chunks_exact(2).any(|found| found == pair);
    assert!(has([Value::bulk("pinned"), Value::Int(0)]), "{fields:?}");
    assert!(has([Value::bulk("size"), Value::Int(source.len() as i64)]), "{fields:?}");
    assert!(has([Value::bulk("calls"), Value::Int(2)]), "{fields:?}");
    let figures = bench.server.engine.scripting.figures();
    assert!(figures.scripts == 1 && figures.scripts_bytes > source.len());
    assert_eq!(bench.run("script flush async"), ok());
    assert_eq!(bench.run(&format!("script exists {digest}")), ints(&[0]));
    assert_eq!(bench.server.engine.scripting.figures().scripts, 0);
    assert_eq!(bench.server.observed.disposed(), 1);
    assert!(error_text(&bench.run("evalsha abc x")).starts_with("NOSCRIPT"));
    assert!(error_text(&bench.run("script flush now")).contains("SYNC|ASYNC"));
    assert!(error_text(&bench.run("script debug later")).contains("YES/SYNC/NO"));
}

fn evicted_scripts(bench: &mut Bench<'_>, _: &dyn Dialect) {
    let loaded = bench.source(None, &[Step::Return(-1)]);
    bench.server.reply(bench.client, &["script", "load", &loaded]);
    for number in 0..UNPINNED_MAX as i64 + 10 {
        let source = bench.source(None, &[Step::Return(number)]);
        let reply = bench.server.reply(bench.client, &["eval", &source, "0"]);
        assert_eq!(reply, Value::Int(number));
    }
    let Value::Array(counted) = bench.run("script stats") else { panic!("no array") };
    assert_eq!(counted.len(), UNPINNED_MAX);
    let digest = |source: String| Digest::of(source.as_bytes()).to_string();
    let (first, last) = (
        digest(bench.source(None, &[Step::Return(0)])),
        digest(bench.source(None, &[Step::Return(UNPINNED_MAX as i64)])),
    );
    let loaded = digest(loaded);
    let exist = bench.run(&format!("script exists {first} {last} {loaded}"));
    assert_eq!(exist, ints(&[0, 1, 1]));
    assert_eq!(bench.server.engine.stats.evicted_scripts, 10);
    assert_eq!(bench.server.engine.scripting.figures().scripts, UNPINNED_MAX + 1);
}

fn nonsense_is_refused(bench: &mut Bench<'_>, dialect: &dyn Dialect) {
    let nonsense = dialect.nonsense();
    for argv in [&["eval", nonsense.as_str(), "0"][..], &["script", "load", &nonsense]] {
        let text = error_text(&bench.server.reply(bench.client, argv));
        assert!(text.starts_with("ERR Error compiling script (new function): "), "{text}");
    }
    let code = format!("{}\n{nonsense}", bench.code("lib", &[]).lines().next().unwrap_or_default());
    let text = error_text(&bench.server.reply(bench.client, &["function", "load", &code]));
    assert!(text.starts_with("ERR Error compiling function: "), "{text}");
    assert_eq!(bench.server.engine.scripting.figures().scripts, 0);
    for (source, text) in [
        ("#!nothing\n", "ERR Unexpected engine in script shebang: #!nothing"),
        ("#!", "ERR Invalid script shebang"),
    ] {
        assert_eq!(error_text(&bench.server.reply(bench.client, &["eval", source, "0"])), text);
    }
    for (code, text) in [
        ("nothing", "ERR Missing library metadata"),
        ("#!nothing name=lib\n", "ERR Engine 'nothing' not found"),
    ] {
        let reply = bench.server.reply(bench.client, &["function", "load", code]);
        assert_eq!(error_text(&reply), text);
    }
}

/// Loads a library; its name or error.
fn load(bench: &mut Bench<'_>, code: &str, replace: bool) -> Value {
    let argv = ["function", "load", "replace", code];
    let argv: Vec<&str> = argv.into_iter().filter(|word| replace || *word != "replace").collect();
    bench.server.reply(bench.client, &argv)
}

fn libraries(bench: &mut Bench<'_>, _: &dyn Dialect) {
    let (one, two) = ([Step::Return(1)], [Step::Return(2)]);
    let first = bench.code("first", &[("f", "no-writes,allow-oom", &one), ("g", "", &two)]);
    assert_eq!(load(bench, &first, false), Value::bulk("first"));
    assert_eq!(bench.run("fcall F 0"), Value::Int(1));
    let taken = error_text(&load(bench, &first, false));
    assert_eq!(taken, "ERR Library 'first' already exists");
    let rival = bench.code("second", &[("G", "", &one)]);
    assert_eq!(error_text(&load(bench, &rival, false)), "ERR Function G already exists");
    let empty = bench.code("second", &[]);
    assert_eq!(error_text(&load(bench, &empty, false)), "ERR No functions registered");
    let code = bench.code("first", &[("g", "", &one)]);
    assert_eq!(load(bench, &code, true), Value::bulk("first"));
    assert_eq!(error_text(&bench.run("fcall f 0")), "ERR Function not found");
    assert_eq!(bench.run("fcall g 0"), Value::Int(1));
    let figures = bench.server.engine.scripting.figures();
    assert_eq!((figures.libraries, figures.functions), (1, 1));
    assert!(figures.functions_bytes > code.len());
    let engine = bench.server.engine.scripting.engine_names()[0].to_ascii_uppercase();
    let Value::Array(listed) = bench.run("function list libraryname F*T withcode") else {
        panic!("no list")
    };
    let [Value::Array(fields)] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!(fields[1], Value::bulk("first"));
    assert_eq!(fields[3], Value::bulk(engine));
    assert_eq!(fields[7], Value::bulk(code));
    assert_eq!(bench.run("function delete first"), ok());
    assert_eq!(error_text(&bench.run("function delete first")), "ERR Library not found");
    assert_eq!(bench.run("function list"), Value::Array(vec![]));
}

fn dumps(bench: &mut Bench<'_>, _: &dyn Dialect) {
    let (one, two) = ([Step::Return(1)], [Step::Return(2)]);
    let (a, b) = (bench.code("a", &[("f", "", &one)]), bench.code("b", &[("g", "", &one)]));
    load(bench, &a, false);
    load(bench, &b, false);
    let Value::Bulk(payload) = bench.run("function dump") else { panic!("no payload") };
    let restore = |bench: &mut Bench<'_>, policy: &str| {
        let argv = [&b"function"[..], b"restore", &payload, policy.as_bytes()];
        bench.server.reply(bench.client, &argv)
    };
    assert_eq!(error_text(&restore(bench, "append")), "ERR Library a already exists");
    assert!(error_text(&restore(bench, "sometimes")).starts_with("ERR Wrong restore policy"));
    let changed = bench.code("b", &[("g", "", &two)]);
    load(bench, &changed, true);
    assert_eq!(bench.run("fcall g 0"), Value::Int(2));
    assert_eq!(restore(bench, "replace"), ok());
    assert_eq!(bench.run("fcall g 0"), Value::Int(1));
    // A name taken by a library that is not in the payload: nothing changes.
    bench.run("function flush sync");
    let rival = bench.code("c", &[("F", "", &two)]);
    load(bench, &rival, false);
    assert_eq!(error_text(&restore(bench, "replace")), "ERR Function f already exists");
    assert_eq!(bench.server.engine.scripting.figures().libraries, 1);
    assert_eq!(restore(bench, "flush"), ok());
    assert_eq!(bench.run("fcall f 0"), Value::Int(1));
    assert_eq!(bench.server.engine.scripting.figures().libraries, 2);
    let text = error_text(&bench.run("function restore nothing"));
    assert_eq!(text, "ERR DUMP payload version or checksum are wrong");
    assert_eq!(bench.run("function flush async"), ok());
    assert_eq!(error_text(&bench.run("fcall f 0")), "ERR Function not found");
}
