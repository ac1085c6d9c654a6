//! What a test file's script may ask of its surroundings: [`FileHost`].
//!
//! Commands go to the server of the test, but for a few that the prelude needs: `TEST.BEGIN` and
//! `TEST.END` around a test, the first of which tells whether it is to be run, `TEST.FILE` to read a file that is named relative to the test file, and
//! `TEST.ADVANCE` to move the clock.

use super::Setup;
use super::bench::Bench;
use super::report::TestResult;
use perilune_resp::{Protocol, ReplyWriter};
use perilune_script::{AclCheckError, Interrupt, LogLevel, ReplFlags, ScriptHost};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The name of the part of a file that is outside of its tests.
const OUTSIDE: &str = "(outside of tests)";
/// Ends a test file that does not end.
const TOO_LONG: &str = "ERR the test takes too long";

/// Runs a file's commands and collects its results.
pub(super) struct FileHost {
    file: PathBuf,
    setup: Setup,
    bench: Option<Bench>,
    protocol: Protocol,
    /// The test that runs.
    current: Option<String>,
    /// Tests that this run of the file has come to.
    reached: usize,
    /// Tests that earlier runs of the file have begun.
    passed_over: usize,
    begun: Instant,
    results: Vec<TestResult>,
}

impl FileHost {
    pub(super) fn new(file: &Path, setup: Setup) -> Self {
        FileHost {
            file: file.to_owned(),
            setup,
            bench: None,
            protocol: Protocol::Resp2,
            current: None,
            reached: 0,
            passed_over: 0,
            begun: Instant::now(),
            results: Vec::new(),
        }
    }

    /// Ends the test that runs, or the file, with a problem.
    pub(super) fn fail(&mut self, problem: &str) {
        self.finish(Some(problem));
    }

    /// Whether a test runs.
    pub(super) fn is_in_test(&self) -> bool {
        self.current.is_some()
    }

    /// Prepares for another run of the file, which goes on behind the last test that was begun.
    pub(super) fn start_over(&mut self) {
        self.passed_over = self.reached;
        self.reached = 0;
        self.bench = None;
        self.protocol = Protocol::Resp2;
    }

    /// The results; a file without any is one that failed.
    pub(super) fn into_results(mut self) -> Vec<TestResult> {
        if self.results.is_empty() {
            self.finish(Some("the file has no tests"));
        }
        self.results
    }

    fn finish(&mut self, problem: Option<&str>) {
        let file = self.file.display().to_string();
        // Lua knows the chunk by the name of every script.
        let told = |problem: &str| match problem.strip_prefix("user_script:") {
            Some(rest) => format!("{file}:{rest}"),
            None => problem.to_owned(),
        };
        self.results.push(TestResult {
            name: self.current.take().unwrap_or_else(|| OUTSIDE.to_owned()),
            problem: problem.map(told),
            took: self.begun.elapsed(),
            file,
        });
        // What comes next has its own time.
        self.begun = Instant::now();
    }

    fn bench(&mut self) -> Result<&mut Bench, String> {
        let bench = match self.bench.take() {
            Some(bench) => bench,
            None => Bench::new(&self.setup)?,
        };
        Ok(self.bench.insert(bench))
    }

    /// Runs a command of the prelude. `None` is a command for the server.
    fn own_command(
        &mut self,
        argv: &[&[u8]],
        out: &mut dyn ReplyWriter,
    ) -> Option<Result<(), String>> {
        let (name, argument) = (argv.first()?, argv.get(1).copied());
        let text = argument.map(String::from_utf8_lossy);
        Some(match *name {
            b"TEST.BEGIN" => {
                self.begin(text.unwrap_or_default().into_owned(), out);
                Ok(())
            }
            b"TEST.END" => {
                self.finish(text.as_deref());
                out.ok();
                Ok(())
            }
            b"TEST.FILE" => self.read_file(&text.unwrap_or_default(), out),
            b"TEST.ADVANCE" => self.advance(argument.unwrap_or_default(), out),
            _ => return None,
        })
    }

    /// Begins a test, or answers that its turn was in an earlier run.
    fn begin(&mut self, name: String, out: &mut dyn ReplyWriter) {
        self.reached += 1;
        self.bench = None;
        self.protocol = Protocol::Resp2;
        self.begun = Instant::now();
        let runs = self.reached > self.passed_over;
        self.current = runs.then_some(name);
        out.int(i64::from(runs));
    }

    fn read_file(&mut self, name: &str, out: &mut dyn ReplyWriter) -> Result<(), String> {
        let path = self.file.parent().unwrap_or(Path::new("")).join(name);
        let content =
            std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        if let Some(coverage) = &self.setup.coverage {
            coverage.expect(&path, &content);
        }
        out.bulk(&content);
        Ok(())
    }

    fn advance(&mut self, ms: &[u8], out: &mut dyn ReplyWriter) -> Result<(), String> {
        let ms = std::str::from_utf8(ms).ok().and_then(|ms| ms.parse::<f64>().ok());
        // A fraction of a millisecond is dropped, as is what does not fit.
        let ms = ms.filter(|ms| *ms >= 0.0).ok_or("advance takes a number of milliseconds")?;
        self.bench()?.advance_ms(ms as u64);
        out.ok();
        Ok(())
    }
}

impl ScriptHost for FileHost {
    fn call(&mut self, argv: &[&[u8]], out: &mut dyn ReplyWriter) {
        let done = match self.own_command(argv, out) {
            Some(done) => done,
            None => self.bench().map(|bench| bench.run(argv, out)),
        };
        if let Err(problem) = done {
            out.error(format!("ERR {problem}").as_bytes());
        }
    }

    fn interrupt(&mut self) -> Interrupt {
        match self.begun.elapsed() > 2 * self.setup.time_max {
            true => Interrupt::Kill(TOO_LONG),
            false => Interrupt::Continue,
        }
    }

    fn log(&mut self, _: LogLevel, message: &[u8], line: Option<u32>) {
        let line = line.map_or_else(String::new, |line| format!(":{line}"));
        eprintln!("{}{line}: {}", self.file.display(), String::from_utf8_lossy(message));
    }

    fn protocol(&self) -> Protocol {
        self.protocol
    }

    fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    // A test file is a client: what it does is not replicated apart.
    fn set_repl(&mut self, _: ReplFlags) {}

    fn acl_check(&mut self, _: &[&[u8]]) -> Result<bool, AclCheckError> {
        Ok(true)
    }
}
