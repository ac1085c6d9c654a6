//! Puts a server together and runs it: engine, listeners, timers, signals.
//!
//! [`Server::start`] binds and wires; [`Server::run`] serves until it is asked to end. The script
//! engines are given by the caller, so that this crate works with any.

use crate::env::{self, ProcessEnvironment, Request};
use crate::gate::{Gate, GateBuilder};
use crate::listen::{Acceptors, ListenerChange};
use crate::log;
use crate::master;
use perilune_commands::clock::{Clock, SystemClock};
use perilune_commands::config::Config;
use perilune_commands::{Engine, EngineBuilder};
use perilune_persist::FileStorage;
use perilune_script::{LogLevel, ScriptEngine};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Time a periodic job may hold the engine at once, microseconds.
const SLICE_US: u64 = 1000;
/// Most slices per period, so that clients get the larger part of a busy core.
const SLICES_MAX: u32 = 25;

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
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let gate = GateBuilder::default();
        let mut builder = EngineBuilder::new(config.clone(), Arc::clone(&clock), Box::new(process))
            .storage(Arc::new(FileStorage))
            .seed(random_seed(&*clock))
            .busy_port(Box::new(gate.port()));
        for engine in engines {
            builder = builder.script_engine(engine);
        }
        let gate = gate.build(builder.build()?);
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

    /// Serves until `SHUTDOWN`, SIGTERM or SIGINT.
    pub async fn run(mut self) -> std::io::Result<()> {
        log::write(LogLevel::Notice, "Server initialized");
        if !self.addresses.is_empty() {
            log::write(LogLevel::Notice, "Ready to accept connections tcp");
        }
        if !self.unix_socket.is_empty() {
            log::write(LogLevel::Notice, "Ready to accept connections unix");
        }
        let timers = tokio::spawn(run_timers(self.gate.clone()));
        let changed = Arc::clone(&self.master_changed);
        let master = tokio::spawn(master::run(self.gate.clone(), changed));
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        loop {
            tokio::select! {
                _ = terminate.recv() => {
                    log::write(LogLevel::Warning, "Received SIGTERM scheduling shutdown...");
                    break;
                }
                _ = interrupt.recv() => {
                    log::write(LogLevel::Warning, "Received SIGINT scheduling shutdown...");
                    break;
                }
                request = self.requests.recv() => match request {
                    Some(Request::Listen(change)) => {
                        self.addresses = change.addresses();
                        self.acceptors.listen_tcp(change, &self.gate)?;
                    }
                    Some(Request::Shutdown) | None => break,
                },
            }
        }
        log::write(LogLevel::Warning, "User requested shutdown...");
        self.acceptors.close().await;
        timers.abort();
        master.abort();
        if !self.unix_socket.is_empty() {
            log::write(LogLevel::Notice, "Removing the unix socket file.");
            let _ = std::fs::remove_file(&self.unix_socket);
        }
        log::write(LogLevel::Warning, "Perilune is now ready to exit, bye bye...");
        Ok(())
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
        hz = gate
            .run(hz, |hz, engine| {
                engine.sample_cycle();
                *hz = engine.tick_rate();
            })
            .await;
        for _ in 0..SLICES_MAX {
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
    let expires = engine.expire_cycle(SLICE_US);
    let rehashes = engine.config.activerehashing && engine.rehash_cycle(SLICE_US);
    *more = expires || rehashes;
}

/// The level of the log that a configuration asks for.
pub fn log_threshold(config: &Config) -> Option<LogLevel> {
    env::log_threshold(config)
}
