//! The scripts of `tests/hostile` in this process: what a sanitizer sees of them is Lua's memory
//! and nothing else. What they must answer is the end-to-end test's business.

use super::{Bench, FakeHost};
use perilune_script::ScriptEngine;
use std::path::Path;

/// Questions after which a script is killed.
const INTERRUPTS_MAX: u32 = 30;
/// Small enough for a process without any more memory than tests should need.
const MEMORY_LIMIT: usize = 64 << 20;

/// The line that makes a library of what follows.
const LIBRARY: &str = "\n#!lua name=hostile";

/// The scripts of all files, in order.
fn scripts() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/hostile");
    let files = std::fs::read_dir(folder).expect("the corpus is in the repository");
    let mut files: Vec<_> = files.map(|file| file.expect("readable").path()).collect();
    files.sort();
    let mut scripts = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).expect("scripts are text");
        // Each begins with a line of three dashes and its name, which is a comment in Lua; so is
        // the line with what it must answer.
        scripts.extend(text.split("\n--- ").skip(1).map(|script| format!("-- {script}")));
    }
    scripts
}

/// Loads a library, if it can be loaded, and calls its functions.
fn run_library(bench: &mut Bench, code: &str) {
    let loaded = bench.engine.load_library(code.as_bytes(), &mut bench.host);
    for function in loaded.unwrap_or_default() {
        bench.call(function.handle, &[], &[]);
        bench.engine.forget(function.handle);
    }
}

#[test]
fn one_engine_survives_all_of_them() {
    let mut bench = Bench::new();
    bench.engine.set_memory_limit(Some(MEMORY_LIMIT));
    for script in scripts() {
        bench.host = FakeHost::new();
        bench.host.interrupts_max = INTERRUPTS_MAX;
        match script.split_once(LIBRARY) {
            Some((_, code)) => run_library(&mut bench, code),
            None => {
                let reply = bench.eval(&script);
                assert!(!reply.starts_with('?'), "{script}: {reply}");
            }
        }
        bench.host.interrupts_max = u32::MAX;
        assert_eq!(bench.eval("return cjson.encode({1})"), "$3 [1]", "after {script}");
    }
}
