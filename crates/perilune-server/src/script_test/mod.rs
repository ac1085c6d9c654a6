//! `perilune test`: runs tests of scripts that are themselves written in Lua.
//!
//! Every `*_test.lua` below a folder is one script, run by an engine of its own: what `redis.call`
//! means there is decided by `host`, which sends commands, as a client would, to a server in this
//! process. Each test gets a [`bench`]: a fresh server whose clock stands still until the test moves
//! it. The words that tests are written in (`test`, `assert_equal`, `advance`...) are local
//! functions of `prelude.lua`, put in front of the file on its first line, so that line numbers
//! hold.
//!
//! A test that has to be stopped takes its script with it. The file is then run again, and tests that
//! were begun before are passed over.
//!
//! With coverage, `coverage` stands between the server and its script engine and runs every
//! script through the seam for debuggers, with a debugger that never stops and notes lines.

mod bench;
mod coverage;
mod host;
mod report;

pub use coverage::{CoverageByFile, FileCoverage};
pub use report::{Report, TestResult, write_junit, write_text};

use bench::TEST_TIME_MAX;
use coverage::Coverage;
use host::FileHost;
use perilune_commands::config::Config;
use perilune_resp::{Protocol, ValueWriter};
use perilune_script::{Digest, Invocation, ScriptEngine};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What test files end with.
const SUFFIX: &str = "_test.lua";
/// Deepest nesting of folders that are searched.
const FOLDERS_MAX: usize = 32;
/// The words of tests.
const PRELUDE: &str = include_str!("prelude.lua");

/// Makes an engine for scripts.
pub type MakeEngine = fn() -> Box<dyn ScriptEngine>;

/// How test files are run.
#[derive(Clone)]
struct Setup {
    make_engine: MakeEngine,
    coverage: Option<Arc<Coverage>>,
    /// Longest time that a test may really take.
    time_max: Duration,
    /// Memory that the engine of a test file may use, in bytes; 0 is any.
    memory_max: usize,
}

impl Setup {
    /// The limits that servers have.
    fn new(make_engine: MakeEngine, coverage: Option<Arc<Coverage>>) -> Self {
        let memory_max = Config::default().lua_memory_limit;
        Setup { make_engine, coverage, time_max: TEST_TIME_MAX, memory_max }
    }
}

/// Runs all tests of a folder or of one file. `Err` is a folder that cannot be read.
pub fn run(path: &Path, with_coverage: bool, make_engine: MakeEngine) -> io::Result<Report> {
    let mut files = Vec::new();
    if path.is_dir() {
        find_files(path, 0, &mut files)?;
        files.sort();
    } else {
        files.push(path.to_owned());
    }
    let coverage = with_coverage.then(|| Arc::new(Coverage::default()));
    let setup = Setup::new(make_engine, coverage.clone());
    let mut report = Report::default();
    for file in files {
        let source = std::fs::read(&file).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", file.display()))
        })?;
        report.results.extend(run_file(&file, &source, &setup));
    }
    report.coverage = coverage.map(|coverage| coverage.files());
    Ok(report)
}

fn find_files(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // A link is not followed, so folders form a tree.
        if entry.file_type()?.is_dir() {
            if depth < FOLDERS_MAX {
                find_files(&entry.path(), depth + 1, files)?;
            }
        } else if entry.file_name().to_string_lossy().ends_with(SUFFIX) {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Runs the tests of one file.
fn run_file(file: &Path, source: &[u8], setup: &Setup) -> Vec<TestResult> {
    let mut host = FileHost::new(file, setup.clone());
    // Every further run begins at least one more test.
    while let Err(problem) = run_chunk(source, setup, &mut host) {
        let in_test = host.is_in_test();
        host.fail(&problem);
        if !in_test {
            break;
        }
        host.start_over();
    }
    host.into_results()
}

fn run_chunk(source: &[u8], setup: &Setup, host: &mut FileHost) -> Result<(), String> {
    let lossy = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    let mut chunk = PRELUDE.replace('\n', " ").into_bytes();
    chunk.extend_from_slice(b"local function __file() ");
    chunk.extend_from_slice(source);
    chunk.extend_from_slice(b"\nend __file() __run()");
    let mut engine = (setup.make_engine)();
    engine.set_memory_limit((setup.memory_max > 0).then_some(setup.memory_max));
    let id = Digest::of(&chunk);
    let handle = engine.compile(&chunk, id.as_str(), host).map_err(|error| error.message)?;
    let mut reply = ValueWriter::new(Protocol::Resp2);
    let nothing = Invocation { keys: &[], args: &[] };
    engine.call(handle, nothing, host, &mut reply).map_err(|error| {
        let text = lossy(&error.text);
        let bare = text.strip_prefix("ERR ").unwrap_or(&text);
        match error.place {
            // The message of `error` begins with its place.
            Some((_, line)) if !bare.starts_with("user_script:") => {
                format!("user_script:{}: {text}", lossy(&line))
            }
            _ => bare.to_owned(),
        }
    })
}

#[cfg(test)]
mod tests;
