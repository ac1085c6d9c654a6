//! An engine in a test's hands: no sockets, no scripts, and a clock that the test moves.

use crate::clock::Clock;
use crate::config::{Config, ParamId};
use crate::engine::{Engine, EngineBuilder};
use crate::environment::{
    BusyPort, CpuFigures, Environment, MemoryFigures, Refusal, ShutdownRequest,
};
use crate::session::{ClientSlot, PeerInfo};
use perilune_keyspace::Release;
use perilune_persist::Storage;
use perilune_resp::ReplyWriter;
use perilune_script::{
    CompileError, FunctionSpec, Handle, Invocation, LogLevel, ScriptEngine, ScriptError, ScriptHost,
};
use perilune_testkit::CrashStorage;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An engine with its clock.
pub(crate) struct TestEngine {
    pub(crate) engine: Engine,
    clock: Arc<HandClock>,
}

impl TestEngine {
    /// An empty engine with the default configuration.
    pub(crate) fn new() -> Self {
        TestEngine::with_config(Config::default()).expect("the table of commands is consistent")
    }

    /// An empty engine with a configuration.
    pub(crate) fn with_config(config: Config) -> Result<Self, String> {
        TestEngine::on(Arc::new(CrashStorage::new()), config)
    }

    /// An empty engine with a storage and a configuration.
    pub(crate) fn on(storage: Arc<dyn Storage>, config: Config) -> Result<Self, String> {
        let (builder, clock) = builder(config);
        let engine = builder.storage(storage).script_engine(Box::new(NoScripts)).build()?;
        Ok(TestEngine { engine, clock })
    }

    /// An empty engine with scripts, and somebody it serves while they are slow.
    pub(crate) fn with_scripts(
        scripts: impl FnOnce(Arc<HandClock>) -> Box<dyn ScriptEngine>,
        port: impl BusyPort + 'static,
    ) -> Self {
        let (builder, clock) = builder(Config::default());
        let builder = builder.busy_port(Box::new(port)).script_engine(scripts(Arc::clone(&clock)));
        TestEngine { engine: builder.build().expect("the table is consistent"), clock }
    }

    /// A new client.
    pub(crate) fn client(&mut self) -> ClientSlot {
        self.engine.connect(PeerInfo::default(), None)
    }

    /// Runs a command, its words separated by single spaces; what the client sees at once.
    pub(crate) fn run(&mut self, client: ClientSlot, command: &str) -> String {
        let words: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
        String::from_utf8_lossy(&self.run_words(client, &words)).into_owned()
    }

    /// Runs a command of any words; what the client sees at once.
    pub(crate) fn run_words(&mut self, client: ClientSlot, words: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        self.engine.refresh_clock();
        self.engine.execute(client, words, &mut out);
        out
    }

    /// What a client got since it was last asked, without asking for it.
    pub(crate) fn late(&mut self, client: ClientSlot) -> String {
        let mut out = Vec::new();
        self.engine.visit(client, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Lets time pass and deadlines with it.
    pub(crate) fn pass_ms(&mut self, ms: u64) {
        self.clock.advance_ms(ms);
        let clients: Vec<ClientSlot> = self.engine.sessions.iter().map(|(slot, _)| slot).collect();
        for client in clients {
            self.engine.check_deadline(client);
        }
    }
}

/// The beginning of an engine with a clock.
fn builder(config: Config) -> (EngineBuilder, Arc<HandClock>) {
    let clock = Arc::new(HandClock(AtomicU64::new(1_000_000_000_000)));
    let process = Box::new(NoProcess::default());
    (EngineBuilder::new(config, Arc::clone(&clock) as _, process), clock)
}

/// Stands still until it is moved; microseconds.
pub(crate) struct HandClock(AtomicU64);

impl HandClock {
    /// Moves it.
    pub(crate) fn advance_ms(&self, ms: u64) {
        self.0.fetch_add(ms * 1000, Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn unix_us(&self) -> i64 {
        self.0.load(Ordering::Relaxed) as i64
    }

    fn monotonic_us(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A process of which nothing is known, with room for one file. What it is to free stays.
#[derive(Default)]
struct NoProcess {
    file: Option<Vec<u8>>,
    garbage: Vec<Box<dyn Release>>,
}

impl Environment for NoProcess {
    fn log(&mut self, _: LogLevel, _: &str) {}

    fn memory(&self) -> MemoryFigures {
        MemoryFigures { allocated: 1 << 20, ..MemoryFigures::default() }
    }

    fn cpu(&self) -> CpuFigures {
        CpuFigures::default()
    }

    fn dispose(&mut self, garbage: Box<dyn Release>) {
        self.garbage.push(garbage);
    }

    fn pending_disposals(&self) -> usize {
        self.garbage.len()
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
        self.file.clone().ok_or_else(|| "No such file or directory".into())
    }

    fn replace_file(&mut self, _: &str, content: &[u8]) -> Result<(), String> {
        self.file = Some(content.to_vec());
        Ok(())
    }

    fn secret_bytes(&mut self, buffer: &mut [u8]) -> Result<(), String> {
        buffer.fill(0xa5);
        Ok(())
    }

    fn executable(&self) -> String {
        String::new()
    }

    fn shutdown(&mut self, _: ShutdownRequest) {}
}

/// A language without a single valid script.
struct NoScripts;

impl NoScripts {
    fn refuse<T>() -> Result<T, CompileError> {
        Err(CompileError { message: "there is no such language".into() })
    }
}

impl ScriptEngine for NoScripts {
    fn name(&self) -> &'static str {
        "none"
    }

    fn compile(
        &mut self,
        _: &[u8],
        _: &str,
        _: &mut dyn ScriptHost,
    ) -> Result<Handle, CompileError> {
        Self::refuse()
    }

    fn call(
        &mut self,
        _: Handle,
        _: Invocation<'_>,
        _: &mut dyn ScriptHost,
        _: &mut dyn ReplyWriter,
    ) -> Result<(), ScriptError> {
        Err(ScriptError::default())
    }

    fn load_library(
        &mut self,
        _: &[u8],
        _: &mut dyn ScriptHost,
    ) -> Result<Vec<FunctionSpec>, CompileError> {
        Self::refuse()
    }

    fn forget(&mut self, _: Handle) {}

    fn memory_used(&self) -> usize {
        0
    }
}
