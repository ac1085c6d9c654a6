//! Puts a server together and runs it: engine, listeners, timers, signals.
//!
//! [`Server::start`] binds and wires; [`Server::run`] serves until it is asked to end. The script
//! engines are given by the caller, so that this crate works with any.

use crate::clock::TickClock;
use crate::env::{self, ProcessEnvironment, Request};
use crate::gate::{Gate, GateBuilder};
use crate::listen::{Acceptors, ListenerChange};
use crate::log;
use crate::master;
use perilune_commands::clock::Clock;
use perilune_commands::config::{Config, ShutdownFlags};
use perilune_commands::environment::ShutdownRequest;
use perilune_commands::persistence::{Pace, is_unfinished_save};
use perilune_commands::{Engine, EngineBuilder};
use perilune_persist::FileStorage;
use perilune_script::{LogLevel, ScriptEngine};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

/// Time a periodic job may hold the engine at once, microseconds.
const SLICE_US: u64 = 1000;
/// The same for a snapshot, which wants many of them.
const SNAPSHOT_SLICE_US: u64 = 300;
/// The same while the data are read, when there is little else to do.
const LOAD_SLICE_US: u64 = 5000;

/// A server that listens.
pub struct Server {
    gate: Gate,
    acceptors: Acceptors,
    requests: UnboundedReceiver<Request>,
    master_changed: Arc<Notify>,
    addresses: Vec<SocketAddr>,
    unix_socket: String,
}

impl Server {
    /// Builds the engine, binds the sockets and starts accepting. Must run inside of a
    /// multi-threaded tokio runtime. `Err` is what to print before giving up.
    pub fn start(config: Config, engines: Vec<Box<dyn ScriptEngine>>) -> Result<Server, String> {
        let (sender, requests) = unbounded_channel();
        let change = ListenerChange::prepare(&config)?;
        let process = ProcessEnvironment::start(sender, &config, change.held(&config))
            .map_err(|error| error.to_string())?;
        let addresses = change.addresses();
        let master_changed = process.master_changed();
        let clock: Arc<dyn Clock> = Arc::new(TickClock::new());
        let gate = GateBuilder::default();
        let mut builder = EngineBuilder::new(config.clone(), Arc::clone(&clock), Box::new(process))
            .storage(Arc::new(FileStorage))
            .sync_listener(gate.sync_listener())
            .seed(random_seed(&*clock))
            .busy_port(Box::new(gate.port()));
        for engine in engines {
            builder = builder.script_engine(engine);
        }
        let mut engine = builder.build()?;
        // Before anybody can connect and take the absence of data for their end.
        engine.begin_loading()?;
        let gate = gate.build(engine);
        let mut acceptors = Acceptors::default();
        acceptors.listen_tcp(change, &gate).map_err(|error| error.to_string())?;
        acceptors.listen_unix(&config, &gate)?;
        let unix_socket = config.unixsocket.clone();
        Ok(Server { gate, acceptors, requests, master_changed, addresses, unix_socket })
    }

    /// The TCP addresses it listens on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The engine, for embedding and tests.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Reads the data and serves until `SHUTDOWN`, SIGTERM or SIGINT. `Err` is why the data could
    /// not be read or the server could not go on.
    pub async fn run(mut self) -> Result<(), String> {
        log::write(LogLevel::Notice, "Server initialized");
        let timers = tokio::spawn(run_timers(self.gate.clone()));
        let changed = Arc::clone(&self.master_changed);
        let master = tokio::spawn(master::run(self.gate.clone(), changed));
        let outcome = self.serve().await;
        self.acceptors.close().await;
        timers.abort();
        master.abort();
        if !self.unix_socket.is_empty() {
            // The last line of the log is why the server could not go on.
            if outcome.is_ok() {
                log::write(LogLevel::Notice, "Removing the unix socket file.");
            }
            let _ = std::fs::remove_file(&self.unix_socket);
        }
        if outcome.is_ok() {
            log::write(LogLevel::Warning, "Perilune is now ready to exit, bye bye...");
        }
        outcome
    }

    async fn serve(&mut self) -> Result<(), String> {
        let system = |error: std::io::Error| error.to_string();
        let mut terminate = signal(SignalKind::terminate()).map_err(system)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(system)?;
        let mut loading = tokio::spawn(run_loader(self.gate.clone()));
        let mut is_loaded = false;
        let mut ending: Option<JoinHandle<bool>> = None;
        let mut asked_again = None;
        loop {
            tokio::select! {
                _ = terminate.recv() => self.signalled("SIGTERM", |config| config.shutdown_on_sigterm),
                _ = interrupt.recv() => {
                    if ending.is_some() {
                        insist();
                    }
                    self.signalled("SIGINT", |config| config.shutdown_on_sigint);
                }
                outcome = &mut loading, if !is_loaded => {
                    outcome.map_err(|error| error.to_string())??;
                    is_loaded = true;
                    self.announce();
                }
                request = self.requests.recv() => match request {
                    Some(Request::Listen(change)) => {
                        self.addresses = change.addresses();
                        self.acceptors.listen_tcp(change, &self.gate).map_err(system)?;
                    }
                    Some(Request::Snapshot) => drop(tokio::spawn(run_snapshot(self.gate.clone()))),
                    Some(Request::Shutdown(request)) if ending.is_none() => {
                        ending = Some(tokio::spawn(finish(self.gate.clone(), request)));
                    }
                    // It is on its way to the end; if that fails, this one is tried.
                    Some(Request::Shutdown(request)) => asked_again = Some(request),
                    None => return Ok(()),
                },
                may_end = outcome_of(&mut ending) => {
                    if may_end {
                        return Ok(());
                    }
                    let gate = &self.gate;
                    ending = asked_again
                        .take()
                        .map(|request| tokio::spawn(finish(gate.clone(), request)));
                }
            }
        }
    }

    /// Tells that clients are served.
    fn announce(&self) {
        if !self.addresses.is_empty() {
            log::write(LogLevel::Notice, "Ready to accept connections tcp");
        }
        if !self.unix_socket.is_empty() {
            log::write(LogLevel::Notice, "Ready to accept connections unix");
        }
    }

    /// Has a signal end the server as the configuration says.
    fn signalled(&self, name: &str, flags: fn(&Config) -> ShutdownFlags) {
        let message = format!("Received {name} scheduling shutdown...");
        log::write(LogLevel::Warning, &message);
        let gate = self.gate.clone();
        tokio::spawn(async move {
            gate.run(flags, |flags, engine| {
                let request = ShutdownRequest::of_signal(flags(&engine.config));
                engine.request_shutdown(request);
            })
            .await;
        });
    }
}

/// Ends the process at once, because somebody does not want to wait for the data to be safe.
fn insist() -> ! {
    log::write(LogLevel::Warning, "You insist... exiting now.");
    // The working directory is the folder of the data.
    for entry in std::fs::read_dir(".").into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_unfinished_save) {
            // What stays does no harm.
            let _ = std::fs::remove_file(entry.path());
        }
    }
    std::process::exit(1);
}

/// Whether the server may end, when that is known.
async fn outcome_of(ending: &mut Option<JoinHandle<bool>>) -> bool {
    match ending {
        Some(task) => task.await.unwrap_or(false),
        None => std::future::pending().await,
    }
}

/// Makes the data safe. Whether that went well.
async fn finish(gate: Gate, request: ShutdownRequest) -> bool {
    match gate.run_aside(move |engine| engine.finish_shutdown(request)).await {
        Ok(may_end) => may_end,
        Err(_) => {
            gate.run((), |(), engine| engine.shutdown_failed()).await;
            false
        }
    }
}

/// Reads the data in slices, between which clients are told that the server is loading.
async fn run_loader(gate: Gate) -> Result<(), String> {
    loop {
        // What stays of it after a panic: a part of the data must not pass for all of them.
        let failed = Err("Reading the data failed for a bug of the server".to_owned());
        let outcome = gate.run(failed, |more, engine| *more = engine.load_cycle(LOAD_SLICE_US));
        if !outcome.await? {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

/// Makes a snapshot in slices, between which clients are served.
async fn run_snapshot(gate: Gate) {
    loop {
        let slice = gate.run(None, |pace, engine| {
            *pace = Some(engine.snapshot_cycle(SNAPSHOT_SLICE_US));
        });
        match slice.await {
            Some(Pace::Idle) => return,
            Some(Pace::Wait) => tokio::time::sleep(Duration::from_millis(1)).await,
            Some(Pace::More) => tokio::task::yield_now().await,
            // A panic: without an end of this snapshot there would never be another one.
            None => return gate.run((), |(), engine| engine.snapshot_panicked()).await,
        }
    }
}

/// A seed that differs from run to run.
fn random_seed(clock: &dyn Clock) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_i64(clock.unix_us());
    hasher.finish()
}

/// Expiry, rehashing, samples and care for clients, `hz` times a second.
async fn run_timers(gate: Gate) {
    let mut hz = gate.lock().tick_rate();
    loop {
        tokio::time::sleep(Duration::from_millis(u64::from(1000 / hz))).await;
        let (rate, slices) = gate
            .run((hz, 0), |plan, engine| {
                engine.sample_cycle();
                *plan = (engine.tick_rate(), engine.slices_per_tick(SLICE_US));
            })
            .await;
        hz = rate;
        for _ in 0..slices {
            let more = gate.run(false, run_slice).await;
            if !more {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
}

fn run_slice(more: &mut bool, engine: &mut Engine) {
    if engine.scripting.is_running() {
        // A slow script serves its waiters; this can wait longer.
        return;
    }
    let evicts = engine.evict_cycle();
    let expires = engine.expire_cycle(SLICE_US);
    let rehashes = engine.config.activerehashing && engine.rehash_cycle(SLICE_US);
    *more = evicts || expires || rehashes;
}

/// The level of the log that a configuration asks for.
pub fn log_threshold(config: &Config) -> Option<LogLevel> {
    env::log_threshold(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use perilune_commands::session::PeerInfo;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Stands still, or panics.
    #[derive(Default)]
    struct BrokenClock(AtomicBool);

    impl Clock for BrokenClock {
        fn unix_us(&self) -> i64 {
            0
        }

        fn monotonic_us(&self) -> u64 {
            assert!(!self.0.load(Ordering::Relaxed), "a bug");
            0
        }
    }

    fn engine(config: Config) -> (Engine, Arc<BrokenClock>) {
        let clock = Arc::new(BrokenClock::default());
        let (sender, _) = unbounded_channel();
        let process = ProcessEnvironment::start(sender, &config, Default::default());
        let process = Box::new(process.expect("threads"));
        let builder = EngineBuilder::new(config, Arc::clone(&clock) as _, process);
        let builder = builder.script_engine(Box::new(perilune_lua::LuaEngine::new()));
        (builder.build().expect("an engine"), clock)
    }

    #[tokio::test]
    async fn a_load_that_panics_is_no_load() {
        let (mut engine, clock) = engine(Config { appendonly: true, ..Config::default() });
        engine.begin_loading().expect("begun");
        let gate = GateBuilder::default().build(engine);
        clock.0.store(true, Ordering::Relaxed);
        assert!(run_loader(gate).await.is_err());
    }

    #[tokio::test]
    async fn a_snapshot_that_panics_makes_room_for_another() {
        let config =
            Config { rdb_key_save_delay: 1000, repl_diskless_sync_delay: 0, ..Config::default() };
        let (mut engine, clock) = engine(config);
        let (client, replica) = (PeerInfo::default(), PeerInfo::default());
        let (client, replica) = (engine.connect(client, None), engine.connect(replica, None));
        let mut out = Vec::new();
        for key in 0..100 {
            engine.execute(client, &[b"SET", key.to_string().as_bytes(), b"v"], &mut out);
        }
        engine.execute(replica, &[b"REPLCONF", b"capa", b"eof"], &mut out);
        engine.execute(replica, &[b"SYNC"], &mut out);
        assert!(engine.persistence.job.is_some());
        let gate = GateBuilder::default().build(engine);
        clock.0.store(true, Ordering::Relaxed);
        run_snapshot(gate.clone()).await;
        assert!(gate.lock().persistence.job.is_none());
    }
}
