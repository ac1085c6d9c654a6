//! Which lines of scripts were run: [`Coverage`], and the [`CoveredEngine`] that finds out.
//!
//! A script is known by its text: a file that a test reads is expected, and a script or library of
//! the same text is that file, however tests name it. Lines that can be run are those at which a
//! statement begins that does something, and it was run if any of its own lines was; the definition of a function does something only when the function is called. The
//! code of a library outside of its functions runs while it is loaded, where no debugger looks, so
//! it does not count.

use perilune_lint::StatementLines;
use perilune_resp::ReplyWriter;
use perilune_script::{
    CompileError, DebugFrame, DebugValue, Debugger, FunctionSpec, Handle, Invocation, ScriptEngine,
    ScriptError, ScriptHost, Verdict,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The lines of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileCoverage {
    /// Lines that can be run.
    pub lines: BTreeSet<u32>,
    /// Those of them that were.
    pub run: BTreeSet<u32>,
}

/// Lines of all files by path, which is relative to the current folder where that contains them.
pub type CoverageByFile = BTreeMap<String, FileCoverage>;

#[derive(Default)]
struct Books {
    files: CoverageByFile,
    statements: HashMap<String, StatementLines>,
    /// Paths by the text that an engine is given: the file without its `#!` line.
    by_code: HashMap<Vec<u8>, String>,
}

/// What was run so far, over all tests.
#[derive(Default)]
pub(super) struct Coverage {
    books: Mutex<Books>,
}

impl Coverage {
    fn with<T>(&self, action: impl FnOnce(&mut Books) -> T) -> T {
        action(&mut self.books.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A test has read this file and may run it.
    pub(super) fn expect(&self, path: &Path, content: &[u8]) {
        let path = name_of(path);
        self.with(|books| {
            if !books.files.contains_key(&path) {
                let statements = StatementLines::of(content);
                let lines = statements.first_lines().clone();
                books.files.insert(path.clone(), FileCoverage { lines, ..Default::default() });
                books.statements.insert(path.clone(), statements);
            }
            books.by_code.insert(code_of(content).to_vec(), path);
        });
    }

    /// The lines of all files that tests have read.
    pub(super) fn files(&self) -> CoverageByFile {
        self.with(|books| books.files.clone())
    }

    fn path_of(&self, code: &[u8]) -> Option<String> {
        self.with(|books| books.by_code.get(code).cloned())
    }

    fn note(&self, path: &str, lines: &BTreeSet<u32>) {
        self.with(|books| {
            if let (Some(file), Some(statements)) =
                (books.files.get_mut(path), books.statements.get(path))
            {
                file.run.extend(statements.run_by(lines));
            }
        });
    }
}

/// The one name of a file: its path without links and dots, from the current folder on if the file
/// is below it.
fn name_of(path: &Path) -> String {
    let Ok(whole) = path.canonicalize() else { return path.display().to_string() };
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    let below = here.as_ref().ok().and_then(|here| whole.strip_prefix(here).ok());
    below.unwrap_or(&whole).display().to_string()
}

/// The part of a file that is given to an engine.
fn code_of(content: &[u8]) -> &[u8] {
    let end = content.iter().position(|byte| *byte == b'\n').unwrap_or(content.len());
    if content.starts_with(b"#!") { content.get(end..).unwrap_or_default() } else { content }
}

/// Notes lines, and never stops.
#[derive(Default)]
pub(super) struct LineNotes(RefCell<BTreeSet<u32>>);

impl LineNotes {
    /// The lines so far.
    pub(super) fn lines(&self) -> BTreeSet<u32> {
        self.0.borrow().clone()
    }
}

impl Debugger for LineNotes {
    fn on_line(&self, frame: &mut dyn DebugFrame) -> Verdict {
        self.0.borrow_mut().insert(frame.line());
        Verdict::Continue
    }

    fn on_tick(&self, _: &mut dyn DebugFrame) -> Verdict {
        Verdict::Continue
    }

    fn on_breakpoint(&self) {}

    fn on_print(&self, _: &[DebugValue]) {}

    fn on_error(&self, _: &[u8]) {}
}

/// A script engine that tells which lines it runs.
pub(super) struct CoveredEngine {
    inner: Box<dyn ScriptEngine>,
    coverage: Arc<Coverage>,
    /// Files of the scripts and functions that come from one.
    paths: HashMap<Handle, String>,
}

impl CoveredEngine {
    pub(super) fn new(inner: Box<dyn ScriptEngine>, coverage: Arc<Coverage>) -> Self {
        CoveredEngine { inner, coverage, paths: HashMap::new() }
    }
}

impl ScriptEngine for CoveredEngine {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn compile(
        &mut self,
        source: &[u8],
        id: &str,
        host: &mut dyn ScriptHost,
    ) -> Result<Handle, CompileError> {
        let handle = self.inner.compile(source, id, host)?;
        self.paths.extend(self.coverage.path_of(source).map(|path| (handle, path)));
        Ok(handle)
    }

    fn call(
        &mut self,
        handle: Handle,
        input: Invocation<'_>,
        host: &mut dyn ScriptHost,
        out: &mut dyn ReplyWriter,
    ) -> Result<(), ScriptError> {
        let Some(path) = self.paths.get(&handle) else {
            return self.inner.call(handle, input, host, out);
        };
        let notes = LineNotes::default();
        let result = self.inner.call_debugged(handle, input, host, &notes, out);
        self.coverage.note(path, &notes.lines());
        result
    }

    fn load_library(
        &mut self,
        code: &[u8],
        host: &mut dyn ScriptHost,
    ) -> Result<Vec<FunctionSpec>, CompileError> {
        let functions = self.inner.load_library(code, host)?;
        if let Some(path) = self.coverage.path_of(code) {
            self.paths.extend(functions.iter().map(|function| (function.handle, path.clone())));
        }
        Ok(functions)
    }

    fn forget(&mut self, handle: Handle) {
        self.paths.remove(&handle);
        self.inner.forget(handle);
    }

    fn trim(&mut self) {
        self.inner.trim();
    }

    fn set_memory_limit(&mut self, bytes: Option<usize>) {
        self.inner.set_memory_limit(bytes);
    }

    fn memory_used(&self) -> usize {
        self.inner.memory_used()
    }

    fn memory_growth(&self) -> usize {
        self.inner.memory_growth()
    }

    fn overhead(&self) -> usize {
        self.inner.overhead()
    }
}
