//! Time and the process around an engine, in a test's hands.

use perilune_commands::clock::Clock;
use perilune_commands::config::{Config, ParamId};
use perilune_commands::environment::{
    CpuFigures, Environment, MemoryFigures, Refusal, ShutdownRequest,
};
use perilune_keyspace::Release;
use perilune_script::LogLevel;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A clock that moves by [`advance_us`](Self::advance_us), and by a step at every reading if told
/// so: a loop that looks at the clock comes to an end.
#[derive(Debug)]
pub struct ManualClock {
    now_us: AtomicU64,
    step_us: AtomicU64,
}

impl Default for ManualClock {
    fn default() -> Self {
        ManualClock { now_us: AtomicU64::new(1_700_000_000_000_000), step_us: AtomicU64::new(0) }
    }
}

impl ManualClock {
    /// Lets time pass.
    pub fn advance_us(&self, us: u64) {
        self.now_us.fetch_add(us, Ordering::Relaxed);
    }

    /// How much time passes with every reading from now on.
    pub fn set_step_us(&self, us: u64) {
        self.step_us.store(us, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn unix_us(&self) -> i64 {
        self.monotonic_us() as i64
    }

    fn monotonic_us(&self) -> u64 {
        self.now_us.fetch_add(self.step_us.load(Ordering::Relaxed), Ordering::Relaxed)
    }
}

/// Lines of the log that are kept: a fuzzer makes more than fit into memory.
const LOG_LINES_MAX: usize = 10_000;

/// What a test can see and set of its [`FakeProcess`].
#[derive(Debug, Default)]
pub struct Observed {
    log: Mutex<Vec<String>>,
    allocated: AtomicUsize,
    disposed: AtomicUsize,
    shutdowns: AtomicUsize,
}

impl Observed {
    /// The lines logged so far.
    pub fn log_lines(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets the bytes that the allocator seems to have handed out.
    pub fn set_allocated(&self, bytes: usize) {
        self.allocated.store(bytes, Ordering::Relaxed);
    }

    /// How many things were given away for dropping.
    pub fn disposed(&self) -> usize {
        self.disposed.load(Ordering::Relaxed)
    }

    /// How often the server was asked to end.
    pub fn shutdowns(&self) -> usize {
        self.shutdowns.load(Ordering::Relaxed)
    }
}

/// A process without files, whose doings are [`Observed`].
#[derive(Debug, Default)]
pub struct FakeProcess {
    observed: Arc<Observed>,
}

impl FakeProcess {
    /// A process that `observed` sees.
    pub fn new(observed: Arc<Observed>) -> Self {
        FakeProcess { observed }
    }
}

impl Environment for FakeProcess {
    fn log(&mut self, _: LogLevel, message: &str) {
        let mut log = self.observed.log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == LOG_LINES_MAX {
            log.drain(..LOG_LINES_MAX / 2);
        }
        log.push(message.to_owned());
    }

    fn memory(&self) -> MemoryFigures {
        let allocated = self.observed.allocated.load(Ordering::Relaxed);
        MemoryFigures { allocated, ..MemoryFigures::default() }
    }

    fn cpu(&self) -> CpuFigures {
        CpuFigures::default()
    }

    fn dispose(&mut self, garbage: Box<dyn Release>) {
        self.observed.disposed.fetch_add(1, Ordering::Relaxed);
        drop(garbage);
    }

    fn pending_disposals(&self) -> usize {
        0
    }

    fn apply_config(&mut self, _: &Config, _: &[ParamId]) -> Result<(), Refusal> {
        Ok(())
    }

    fn rewrite_config_file(&mut self, _: &dyn Fn(&str) -> String) -> Result<(), String> {
        Err("there is no file".into())
    }

    fn config_file(&self) -> Option<String> {
        None
    }

    fn read_file(&mut self, _: &str) -> Result<Vec<u8>, String> {
        Err("there is no file".into())
    }

    fn replace_file(&mut self, _: &str, _: &[u8]) -> Result<(), String> {
        Err("there is no file".into())
    }

    fn secret_bytes(&mut self, _: &mut [u8]) -> Result<(), String> {
        Err("there is no randomness".into())
    }

    fn executable(&self) -> String {
        "test".into()
    }

    fn shutdown(&mut self, _: ShutdownRequest) {
        self.observed.shutdowns.fetch_add(1, Ordering::Relaxed);
    }
}
