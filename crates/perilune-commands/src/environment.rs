//! What the engine needs from the process around it, injected by the server or by a test.

use crate::config::{Config, ParamId};
use crate::engine::Engine;
use crate::links::{Link, LinkError};
use perilune_keyspace::Release;
use perilune_script::LogLevel;
use std::time::Duration;

/// Memory figures of the process, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct MemoryFigures {
    /// Bytes handed out by the allocator.
    pub allocated: usize,
    /// Bytes of pages with live allocations.
    pub active: usize,
    /// Bytes the allocator holds from the system.
    pub resident: usize,
    /// Resident set size as the system counts it.
    pub rss: usize,
    /// Physical memory of the machine.
    pub system_total: usize,
}

/// Processor time in microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct CpuFigures {
    /// In the kernel, whole process.
    pub sys_us: u64,
    /// In user space, whole process.
    pub user_us: u64,
}

/// How the server was asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShutdownRequest {
    /// Whether to save first, when said.
    pub save: Option<bool>,
    /// Skip waiting for replicas.
    pub now: bool,
    /// Ignore errors.
    pub force: bool,
}

/// A thread of the process for work that would hold up everybody else. The jobs of one lane run in
/// their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Makes the append-only file safe.
    Sync,
    /// Makes and removes files.
    Files,
}

/// A parameter that could not take effect, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The parameter.
    pub parameter: ParamId,
    /// The reason, as `CONFIG SET` tells it.
    pub reason: String,
}

/// The process around the engine.
pub trait Environment: Send {
    /// Writes a log line.
    fn log(&mut self, level: LogLevel, message: &str);

    /// Current memory figures.
    fn memory(&self) -> MemoryFigures;

    /// Bytes handed out by the allocator: the one figure that is needed often, before every command
    /// and around every key that is evicted.
    fn used_memory(&self) -> usize {
        self.memory().allocated
    }

    /// All that the allocator tells about itself, as text (`MEMORY MALLOC-STATS`); none where it
    /// tells nothing.
    fn allocator_report(&self) -> Option<Vec<u8>> {
        None
    }

    /// Processor time so far.
    fn cpu(&self) -> CpuFigures;

    /// Drops something big without holding the engine.
    fn dispose(&mut self, garbage: Box<dyn Release>);

    /// Number of things given to [`dispose`](Self::dispose) and not yet dropped.
    fn pending_disposals(&self) -> usize;

    /// Asks for [`Engine::snapshot_cycle`] to be called until it answers that there is
    /// nothing to do.
    fn drive_snapshot(&mut self) {}

    /// Waits until everything given to [`dispose`](Self::dispose) is dropped, but not longer than
    /// this many microseconds.
    fn await_disposals(&mut self, _at_most_us: u64) {}

    /// Runs a job that waits for a disk, without holding the engine. Where there are no threads it
    /// runs here and now.
    fn run_aside(&mut self, lane: Lane, job: Box<dyn FnOnce() + Send>) {
        let _ = lane;
        job();
    }

    /// Has the allocator give unused pages back to the system. `None` where nobody can ask it to.
    fn purge_memory(&mut self) -> Option<()> {
        None
    }

    /// Ends the process at once, as a failure: a promise to clients cannot be kept. Where there is no
    /// process the engine just acknowledges nothing any more.
    fn abort(&mut self) {}

    /// Ends the process in the way a crash does, with a report in the log: for tests of what watches
    /// the server. It is one by a signal, or the server gave up by itself. Where there is no process
    /// nothing happens.
    fn crash(&mut self, _why: &str, _by_signal: bool) {}

    /// Makes changed parameters take effect outside of the engine (listeners, limits, log). A
    /// refusal undoes the change of all of them.
    fn apply_config(&mut self, config: &Config, changed: &[ParamId]) -> Result<(), Refusal>;

    /// Replaces the configuration file; `edit` gets its present text.
    fn rewrite_config_file(&mut self, edit: &dyn Fn(&str) -> String) -> Result<(), String>;

    /// Path of the configuration file, if the server was started with one.
    fn config_file(&self) -> Option<String>;

    /// Reads a whole file that the configuration names. `Err` is the reason in the system's words.
    fn read_file(&mut self, path: &str) -> Result<Vec<u8>, String>;

    /// Replaces a file that the configuration names, so that the old or the new content is there
    /// whatever happens. `Err` is the reason in the system's words.
    fn replace_file(&mut self, path: &str, content: &[u8]) -> Result<(), String>;

    /// Fills a buffer with random bytes that nobody can guess.
    fn secret_bytes(&mut self, buffer: &mut [u8]) -> Result<(), String>;

    /// Connects to another server, within a time.
    fn connect(
        &mut self,
        _host: &str,
        _port: u16,
        _timeout: Duration,
    ) -> Result<Box<dyn Link>, LinkError> {
        Err(LinkError::Failed)
    }

    /// Path of the running program.
    fn executable(&self) -> String;

    /// An environment for a private copy of the engine: it shares log and figures, and refuses
    /// whatever reaches beyond the engine. The default is a process that has room for one engine
    /// only.
    fn detached(&self) -> Option<Box<dyn Environment>> {
        None
    }

    /// Says that another link to a master is to be made, or none: see
    /// [`Engine::link_order`](crate::Engine::link_order).
    fn replication_changed(&mut self) {}

    /// Lets go of the listening sockets: from now on nobody may find the server.
    fn stop_listening(&mut self) {}

    /// Asks the server to end once the current command has been answered.
    fn shutdown(&mut self, request: ShutdownRequest);
}

/// Serves other clients while a script that is over its time limit holds the engine.
///
/// The engine calls it from the script's interrupt check; it runs whatever is waiting through
/// [`Engine::execute`], where everything but the allow-busy commands is answered with `-BUSY`.
pub trait BusyPort: Send {
    /// Called once when the running script crosses `busy-reply-threshold`, before the first
    /// [`serve`](Self::serve): the place to give the network another thread.
    fn script_is_slow(&mut self);

    /// Runs what is waiting.
    fn serve(&mut self, engine: &mut Engine);

    /// Called when that script has ended.
    fn script_ended(&mut self);
}
