//! The process around the engine: memory and processor figures, the log, background freeing,
//! configuration changes that reach beyond the engine.

use crate::config_file::system_words;
use crate::listen::{Held, ListenerChange};
use crate::memory;
use crate::oom::OomScore;
use crate::process;
use crate::{log, peer_link};
use nix::sys::resource::{UsageWho, getrusage};
use perilune_commands::config::{Config, LogLevel as ConfigLevel, ParamId};
use perilune_commands::environment::{
    CpuFigures, Environment, Lane, MemoryFigures, Refusal, ShutdownRequest,
};
use perilune_commands::links::{Link, LinkError};
use perilune_keyspace::Release;
use perilune_script::LogLevel;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tikv_jemalloc_ctl::{stats, stats_print};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

/// What the server is asked to do by the engine.
#[derive(Debug)]
pub(crate) enum Request {
    /// End, after making the data safe like this.
    Shutdown(ShutdownRequest),
    /// Go on with a snapshot until it is made.
    Snapshot,
    /// Serve these sockets instead.
    Listen(ListenerChange),
}

/// Why a copy of the engine cannot change its process.
const DETACHED: &str = "a copy of the data can't change the server";

/// How long to sleep between two looks at the background thread's work.
const DISPOSAL_STEP: Duration = Duration::from_micros(100);

/// Work for a thread that may wait for a disk.
type Job = Box<dyn FnOnce() + Send>;

/// Starts a thread that runs jobs one after the other.
fn start_lane(name: &str) -> std::io::Result<mpsc::Sender<Job>> {
    let (sender, jobs) = mpsc::channel::<Job>();
    std::thread::Builder::new().name(name.into()).spawn(move || {
        for job in jobs {
            job();
        }
    })?;
    Ok(sender)
}

/// The real process.
pub(crate) struct ProcessEnvironment {
    requests: UnboundedSender<Request>,
    garbage: mpsc::Sender<Box<dyn Release>>,
    syncs: mpsc::Sender<Job>,
    files: mpsc::Sender<Job>,
    pending: Arc<AtomicUsize>,
    config_file: Option<String>,
    system_total: usize,
    /// The sockets that are served.
    listening: Held,
    oom: OomScore,
    /// Rings when another link to a master is to be made.
    master_changed: Arc<Notify>,
}

impl ProcessEnvironment {
    /// Starts the thread that frees big values. `listening` are the sockets that will be served.
    pub(crate) fn start(
        requests: UnboundedSender<Request>,
        config: &Config,
        listening: Held,
    ) -> std::io::Result<Self> {
        memory::start();
        let (garbage, bin) = mpsc::channel::<Box<dyn Release>>();
        let pending = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&pending);
        std::thread::Builder::new().name("lazy-free".into()).spawn(move || {
            for garbage in bin {
                // It does not give way: what comes faster than it is freed would pile up.
                garbage.release(&mut || _ = memory::used());
                counter.fetch_sub(1, Ordering::Relaxed);
            }
        })?;
        let config_file = config.config_file.clone();
        let mut oom = OomScore::default();
        if let Err(error) = oom.apply(config) {
            log::write(LogLevel::Warning, &format!("Unable to write oom_score_adj: {error}"));
        }
        Ok(ProcessEnvironment {
            requests,
            garbage,
            syncs: start_lane("aof-sync")?,
            files: start_lane("aof-files")?,
            pending,
            config_file,
            system_total: system_memory(),
            listening,
            oom,
            master_changed: Arc::default(),
        })
    }

    /// Binds the sockets that the configuration names, if that is what changed.
    fn bind_as_configured(
        &self,
        config: &Config,
        changed: &[ParamId],
    ) -> Result<Option<ListenerChange>, Refusal> {
        if !changed.iter().any(|id| matches!(id, ParamId::port | ParamId::bind)) {
            return Ok(None);
        }
        let (parameter, reason) = match changed.contains(&ParamId::port) {
            true => (ParamId::port, "Unable to listen on this port. Check server logs."),
            false => (ParamId::bind, "Failed to bind to specified addresses."),
        };
        let change = ListenerChange::prepare_over(&self.listening, config).map_err(|error| {
            log::write(LogLevel::Warning, &error);
            Refusal { parameter, reason: reason.to_owned() }
        })?;
        Ok(Some(change))
    }

    /// Serves other sockets.
    fn listen(&mut self, change: ListenerChange, config: &Config) {
        self.listening = change.held(config);
        let _ = self.requests.send(Request::Listen(change));
    }

    fn adjust_oom_score(&mut self, config: &Config, changed: &[ParamId]) -> Result<(), Refusal> {
        let scores = [ParamId::oom_score_adj, ParamId::oom_score_adj_values, ParamId::replicaof];
        if changed.iter().any(|id| scores.contains(id))
            && let Err(error) = self.oom.apply(config)
        {
            log::write(LogLevel::Warning, &format!("Unable to write oom_score_adj: {error}"));
            let reason = "Failed to set current oom_score_adj. Check server logs.".to_owned();
            return Err(Refusal { parameter: ParamId::oom_score_adj, reason });
        }
        Ok(())
    }

    /// Makes the changes that can fail. After a refusal all of them are undone.
    fn apply_refusable(&mut self, config: &Config, changed: &[ParamId]) -> Result<(), Refusal> {
        if changed.contains(&ParamId::maxclients) {
            make_room(config.maxclients)?;
        }
        let score = self.oom.save();
        let sockets = self.bind_as_configured(config, changed)?;
        // Nothing comes after the folder: there may be no way back to the old one.
        let outcome =
            self.adjust_oom_score(config, changed).and_then(|()| change_folder(config, changed));
        match (sockets, outcome) {
            (sockets, Ok(())) => {
                if let Some(change) = sockets {
                    self.listen(change, config);
                }
                Ok(())
            }
            (sockets, Err(refusal)) => {
                if let Some(change) = sockets {
                    change.give_up(&self.listening);
                }
                if let Err(error) = self.oom.restore(&score) {
                    log::write(
                        LogLevel::Warning,
                        &format!("Unable to write oom_score_adj: {error}"),
                    );
                }
                Err(refusal)
            }
        }
    }

    /// Rings when another link to a master is to be made.
    pub(crate) fn master_changed(&self) -> Arc<Notify> {
        Arc::clone(&self.master_changed)
    }
}

/// The level of the configuration as the log takes it.
pub(crate) fn log_threshold(config: &Config) -> Option<LogLevel> {
    match config.loglevel {
        ConfigLevel::Debug => Some(LogLevel::Debug),
        ConfigLevel::Verbose => Some(LogLevel::Verbose),
        ConfigLevel::Notice => Some(LogLevel::Notice),
        ConfigLevel::Warning => Some(LogLevel::Warning),
        ConfigLevel::Nothing => None,
    }
}

/// Raises the limit of open files for so many clients.
fn make_room(clients: u32) -> Result<(), Refusal> {
    crate::files::raise_limit(clients).map_err(|possible| Refusal {
        parameter: ParamId::maxclients,
        reason: format!(
            "The operating system is not able to handle the specified number of clients, try with \
             {possible}"
        ),
    })
}

/// Goes to the folder that the configuration names, if that is what changed.
fn change_folder(config: &Config, changed: &[ParamId]) -> Result<(), Refusal> {
    if !changed.contains(&ParamId::dir) {
        return Ok(());
    }
    std::env::set_current_dir(&config.dir)
        .map_err(|error| Refusal { parameter: ParamId::dir, reason: system_words(&error) })
}

/// Physical memory in bytes, 0 where the system does not tell.
fn system_memory() -> usize {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("MemTotal:"));
    let kib: usize = line
        .and_then(|line| line.split_whitespace().nth(1))
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(0);
    kib * 1024
}

/// Resident set size in bytes, 0 where the system does not tell.
fn resident_set() -> usize {
    const PAGE: usize = 4096;
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0) * PAGE
}

impl Environment for ProcessEnvironment {
    fn log(&mut self, level: LogLevel, message: &str) {
        log::write(level, message);
    }

    fn memory(&self) -> MemoryFigures {
        memory_figures(self.system_total)
    }

    fn used_memory(&self) -> usize {
        memory::used()
    }

    fn cpu(&self) -> CpuFigures {
        cpu_figures()
    }

    fn dispose(&mut self, garbage: Box<dyn Release>) {
        self.pending.fetch_add(1, Ordering::Relaxed);
        if self.garbage.send(garbage).is_err() {
            // The thread is gone; the value was dropped here with the error.
            self.pending.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn pending_disposals(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    fn await_disposals(&mut self, at_most_us: u64) {
        let started = Instant::now();
        let at_most = Duration::from_micros(at_most_us);
        while self.pending_disposals() > 0 && started.elapsed() < at_most {
            std::thread::sleep(DISPOSAL_STEP);
        }
    }

    fn run_aside(&mut self, lane: Lane, job: Job) {
        let sender = match lane {
            Lane::Sync => &self.syncs,
            Lane::Files => &self.files,
        };
        if let Err(refused) = sender.send(job) {
            // The thread is gone; late is better than never.
            (refused.0)();
        }
    }

    fn purge_memory(&mut self) -> Option<()> {
        memory::purge()
    }

    fn abort(&mut self) {
        std::process::exit(1);
    }

    fn crash(&mut self, why: &str, by_signal: bool) {
        match by_signal {
            true => process::crash(why, nix::sys::signal::Signal::SIGSEGV),
            false => process::give_up(why),
        }
    }

    fn apply_config(&mut self, config: &Config, changed: &[ParamId]) -> Result<(), Refusal> {
        self.apply_refusable(config, changed)?;
        let of_process = [
            ParamId::crash_log_enabled,
            ParamId::jemalloc_bg_thread,
            ParamId::proc_title_template,
            ParamId::use_exit_on_panic,
        ];
        if changed.iter().any(|id| of_process.contains(id)) {
            process::apply(config);
        }
        if changed.contains(&ParamId::loglevel) {
            log::set_level(log_threshold(config));
        }
        Ok(())
    }

    fn rewrite_config_file(&mut self, edit: &dyn Fn(&str) -> String) -> Result<(), String> {
        let Some(path) = &self.config_file else {
            return Err("The server is running without a config file".into());
        };
        let old = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error.to_string()),
        };
        replace_file(Path::new(path), edit(&old).as_bytes()).map_err(|error| error.to_string())
    }

    fn config_file(&self) -> Option<String> {
        self.config_file.clone()
    }

    fn read_file(&mut self, path: &str) -> Result<Vec<u8>, String> {
        std::fs::read(path).map_err(|error| system_words(&error))
    }

    fn replace_file(&mut self, path: &str, content: &[u8]) -> Result<(), String> {
        replace_file(Path::new(path), content).map_err(|error| system_words(&error))
    }

    fn secret_bytes(&mut self, buffer: &mut [u8]) -> Result<(), String> {
        secret_bytes(buffer)
    }

    fn connect(
        &mut self,
        host: &str,
        port: u16,
        timeout: Duration,
    ) -> Result<Box<dyn Link>, LinkError> {
        peer_link::connect(host, port, timeout)
    }

    fn executable(&self) -> String {
        executable()
    }

    fn detached(&self) -> Option<Box<dyn Environment>> {
        Some(Box::new(Detached { system_total: self.system_total, log: None }))
    }

    fn replication_changed(&mut self) {
        self.master_changed.notify_one();
    }

    fn drive_snapshot(&mut self) {
        let _ = self.requests.send(Request::Snapshot);
    }

    fn allocator_report(&self) -> Option<Vec<u8>> {
        let mut report = Vec::new();
        stats_print::stats_print(&mut report, stats_print::Options::default()).ok()?;
        Some(report)
    }

    fn stop_listening(&mut self) {
        self.listening = Held::default();
    }

    fn shutdown(&mut self, request: ShutdownRequest) {
        let _ = self.requests.send(Request::Shutdown(request));
    }
}

/// The process as a private copy of the engine sees it.
pub(crate) struct Detached {
    system_total: usize,
    /// Gets the lines that would go to the server's log.
    log: Option<LogSink>,
}

/// Takes lines of a log.
pub(crate) type LogSink = Box<dyn Fn(&str) + Send>;

impl Detached {
    /// A process for an engine without a server, whose log goes to `log`.
    pub(crate) fn with_log(log: LogSink) -> Self {
        Detached { system_total: system_memory(), log: Some(log) }
    }
}

impl Environment for Detached {
    fn log(&mut self, level: LogLevel, message: &str) {
        match &self.log {
            Some(log) => log(message),
            None => log::write(level, message),
        }
    }

    fn memory(&self) -> MemoryFigures {
        memory_figures(self.system_total)
    }

    fn used_memory(&self) -> usize {
        memory::used()
    }

    fn cpu(&self) -> CpuFigures {
        cpu_figures()
    }

    fn dispose(&mut self, garbage: Box<dyn Release>) {
        drop(garbage);
    }

    fn pending_disposals(&self) -> usize {
        0
    }

    fn apply_config(&mut self, _: &Config, changed: &[ParamId]) -> Result<(), Refusal> {
        match changed.first() {
            Some(&parameter) => Err(Refusal { parameter, reason: DETACHED.into() }),
            None => Ok(()),
        }
    }

    fn rewrite_config_file(&mut self, _: &dyn Fn(&str) -> String) -> Result<(), String> {
        Err(DETACHED.into())
    }

    fn config_file(&self) -> Option<String> {
        None
    }

    fn read_file(&mut self, _: &str) -> Result<Vec<u8>, String> {
        Err(DETACHED.into())
    }

    fn replace_file(&mut self, _: &str, _: &[u8]) -> Result<(), String> {
        Err(DETACHED.into())
    }

    fn secret_bytes(&mut self, buffer: &mut [u8]) -> Result<(), String> {
        secret_bytes(buffer)
    }

    fn executable(&self) -> String {
        executable()
    }

    fn shutdown(&mut self, _: ShutdownRequest) {
        log::write(LogLevel::Warning, "A copy of the data was asked to shut the server down.");
    }
}

fn secret_bytes(buffer: &mut [u8]) -> Result<(), String> {
    let mut source = std::fs::File::open("/dev/urandom").map_err(|e| system_words(&e))?;
    source.read_exact(buffer).map_err(|error| system_words(&error))
}

fn memory_figures(system_total: usize) -> MemoryFigures {
    let allocated = memory::settle();
    MemoryFigures {
        allocated,
        active: stats::active::read().unwrap_or(0),
        resident: stats::resident::read().unwrap_or(0),
        rss: resident_set(),
        system_total,
    }
}

fn cpu_figures() -> CpuFigures {
    let micros = |time: nix::sys::time::TimeVal| {
        (time.tv_sec().max(0) as u64) * 1_000_000 + time.tv_usec().max(0) as u64
    };
    match getrusage(UsageWho::RUSAGE_SELF) {
        Ok(usage) => {
            CpuFigures { sys_us: micros(usage.system_time()), user_us: micros(usage.user_time()) }
        }
        Err(_) => CpuFigures::default(),
    }
}

fn executable() -> String {
    let path = std::env::current_exe();
    path.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Replaces a file so that either the old or the new content is there, whatever happens.
fn replace_file(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = Path::new(&name);
    let written = (|| {
        let mut file = std::fs::File::create(temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(temporary, path)
    })();
    if let Err(error) = written {
        // It may never have been created, and the first failure is the one to tell.
        let _ = std::fs::remove_file(temporary);
        return Err(error);
    }
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => std::fs::File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_replaced_leaves_nothing_behind() {
        let folder = std::env::temp_dir().join(format!("perilune-env-{}", std::process::id()));
        // A folder has the name.
        std::fs::create_dir_all(folder.join("users.acl")).expect("made");
        assert!(replace_file(&folder.join("users.acl"), b"user default on").is_err());
        assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 1);
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
