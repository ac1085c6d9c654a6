//! The engine: all state of a server that commands work on, with one total order of commands.
//!
//! Whoever holds `&mut Engine` runs commands; there is no lock in here. The server keeps its
//! engine behind one mutex and takes it once per batch of pipelined commands.
//!
//! The road of a command through this crate: [`Engine::execute`] (`dispatch`) resolves it in the
//! table, checks it, and calls its handler with a [`Ctx`](crate::ctx::Ctx). Transactions,
//! scripts and woken clients join the same road at `dispatch::call`.
//!
//! What is absent: sockets, files, threads, timers, the script language. They come in as values:
//! [`Environment`], [`Clock`], [`ScriptEngine`], [`BusyPort`].

use crate::acl::{Acl, RuleContext};
use crate::aof::Aof;
use crate::blocking::Waiters;
use crate::client_memory::ClientMemory;
use crate::clock::Clock;
use crate::config::{BufferLimit, Config};
use crate::environment::{BusyPort, Environment};
use crate::evict::Eviction;
use crate::links::Links;
use crate::pause::Pauses;
use crate::persistence::Persistence;
use crate::propagation::Propagation;
use crate::pubsub::PubSub;
use crate::replication::Replication;
use crate::scripting::Scripting;
use crate::session::{ClientSlot, PeerInfo, Session, Sessions, Waker};
use crate::stats::{LatencyMonitor, ServerStats, SlowLog};
use crate::table::CommandTable;
use crate::tracking::Tracking;
use ahash::AHashMap;
use perilune_keyspace::{Bytes, EncodingLimits, Keyspace, Rng};
use perilune_persist::aof::SyncListener;
use perilune_persist::{NoStorage, Storage};
use perilune_script::ScriptEngine;
use std::sync::Arc;

/// Most bytes of replies that wait for a client which has not logged in.
const UNKNOWN_OUTPUT_MAX: usize = 64 << 10;
/// Bytes of replies that no limit counts: what the buffer takes that every client has in Redis.
const OUTPUT_UNCOUNTED: usize = 16 << 10;

/// All state that commands work on.
pub struct Engine {
    /// Source of time.
    pub clock: Arc<dyn Clock>,
    /// Unix time of the current command, microseconds. Stands still within a script.
    pub now_us: i64,
    /// Monotonic time of the last reading, microseconds.
    pub mono_us: u64,
    /// What turns `mono_us` into Unix time; renewed with every batch.
    pub(crate) wall_offset_us: i64,
    /// Monotonic time of the running batch's start, microseconds.
    pub(crate) batch_started_us: u64,
    /// Monotonic time of the engine's start, microseconds.
    pub started_us: u64,
    /// Configuration.
    pub config: Config,
    /// Encoding thresholds of the configuration.
    pub limits: EncodingLimits,
    /// The databases.
    pub keyspace: Keyspace,
    /// Until when requests of HTTP are not logged again, Unix milliseconds.
    pub(crate) http_silent_until_ms: i64,
    /// Bytes allocated when the server had just been built.
    pub startup_memory: usize,
    /// Changes of the data set since the last save.
    pub dirty: u64,
    /// The users and their rights.
    pub acl: Acl,
    /// The clients.
    pub sessions: Sessions,
    /// The client whose command runs; its pushes need no wake-up.
    pub current_client: Option<ClientSlot>,
    /// The commands.
    pub commands: CommandTable,
    /// Scripts and functions.
    pub scripting: Scripting,
    /// Subscriptions.
    pub pubsub: PubSub,
    /// Waiting clients.
    pub waiters: Waiters,
    /// Who watches which key.
    pub watchers: AHashMap<(usize, Bytes), Vec<ClientSlot>>,
    /// Effects on their way to the replicas.
    pub propagation: Propagation,
    /// The stream they become part of, and the one that comes from a master.
    pub replication: Replication,
    /// Who may hold copies of which keys.
    pub tracking: Tracking,
    /// What the clients take together.
    pub client_memory: ClientMemory,
    /// What eviction remembers.
    pub eviction: Eviction,
    /// Connections to other servers that commands made.
    pub links: Links,
    /// Number of clients under `MONITOR`.
    pub monitors: usize,
    /// Who holds commands back, and for how long.
    pub(crate) pauses: Pauses,
    /// Counters.
    pub stats: ServerStats,
    /// Slow commands.
    pub slowlog: SlowLog,
    /// Latency spikes.
    pub latency: LatencyMonitor,
    /// Random numbers.
    pub rng: Rng,
    /// Names this run of the server: 40 hexadecimal digits.
    pub run_id: String,
    /// `DEBUG SET-ACTIVE-EXPIRE`.
    pub active_expire: bool,
    /// `DEBUG SET-DISABLE-DENY-SCRIPTS`: scripts may call what is forbidden to them.
    pub scripts_call_anything: bool,
    /// Whether the active expiry has work; index of the database where it goes on.
    pub expire_cursor: usize,
    /// Slot of the client that the next tick looks at first.
    pub(crate) client_cursor: usize,
    /// Replies of the running command's client wait to be sent.
    pub(crate) replies_wait: bool,
    /// `DEBUG PAUSE-CRON`.
    pub cron_paused: bool,
    /// `DEBUG REPLYBUFFER RESIZING 0`: connections keep buffers that they do not use.
    pub buffers_fixed: bool,
    /// After so long the longest reply of a client is forgotten.
    pub reply_peak_reset_ms: Option<i64>,
    /// Snapshots.
    pub persistence: Persistence,
    /// Where durable data lives.
    pub storage: Arc<dyn Storage>,
    /// The append-only file.
    pub aof: Aof,
    /// The process around.
    pub env: Box<dyn Environment>,
    /// Serves others while a script is slow.
    pub busy_port: Option<Box<dyn BusyPort>>,
}

/// Everything an engine is made of. [`EngineBuilder::build`] refuses what does not fit together.
pub struct EngineBuilder {
    config: Config,
    clock: Arc<dyn Clock>,
    env: Box<dyn Environment>,
    storage: Arc<dyn Storage>,
    sync_listener: SyncListener,
    engines: Vec<Box<dyn ScriptEngine>>,
    seed: u64,
    busy_port: Option<Box<dyn BusyPort>>,
}

impl EngineBuilder {
    /// Starts from what every engine needs.
    pub fn new(config: Config, clock: Arc<dyn Clock>, env: Box<dyn Environment>) -> Self {
        let storage = Arc::new(NoStorage);
        EngineBuilder {
            config,
            clock,
            env,
            storage,
            sync_listener: Arc::new(|_| {}),
            engines: Vec::new(),
            seed: 0,
            busy_port: None,
        }
    }

    /// Adds a script engine. The first one runs scripts without a `#!` line.
    #[must_use]
    pub fn script_engine(mut self, engine: Box<dyn ScriptEngine>) -> Self {
        self.engines.push(engine);
        self
    }

    /// Keeps durable data there. Without it nothing can be saved.
    #[must_use]
    pub fn storage(mut self, storage: Arc<dyn Storage>) -> Self {
        self.storage = storage;
        self
    }

    /// Tells how far the append-only file is safe, from the thread that makes it so; see
    /// [`Engine::reply_barrier`].
    #[must_use]
    pub fn sync_listener(mut self, listener: SyncListener) -> Self {
        self.sync_listener = listener;
        self
    }

    /// Seeds the random numbers (`RANDOMKEY`, `SPOP`, run id).
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Serves other clients while a script is slow. Without it they wait for its end.
    #[must_use]
    pub fn busy_port(mut self, port: Box<dyn BusyPort>) -> Self {
        self.busy_port = Some(port);
        self
    }

    /// Puts the engine together.
    pub fn build(self) -> Result<Engine, String> {
        let mut scripting = Scripting::new(self.engines)?;
        scripting.limit_memory(self.config.lua_memory_limit);
        let mut commands = CommandTable::builtin()?;
        for (old, new) in &self.config.renamed_commands {
            commands.rename(old.as_bytes(), new.as_bytes())?;
        }
        let acl = configured_users(&self.config, &commands)?;
        let mut rng = Rng::new(self.seed);
        let run_id = (0..3).map(|_| format!("{:016x}", rng.next_u64())).collect::<String>();
        let replication = Replication::new(&mut rng);
        let mono_us = self.clock.monotonic_us();
        let mut engine = Engine {
            now_us: self.clock.unix_us(),
            mono_us,
            wall_offset_us: self.clock.unix_us() - mono_us as i64,
            batch_started_us: mono_us,
            started_us: mono_us,
            limits: self.config.encoding_limits(),
            keyspace: Keyspace::new(self.config.databases as usize),
            http_silent_until_ms: 0,
            startup_memory: 0,
            dirty: 0,
            sessions: Sessions::new(Arc::clone(acl.default_user())),
            acl,
            current_client: None,
            commands,
            scripting,
            pubsub: PubSub::default(),
            waiters: Waiters::default(),
            watchers: AHashMap::new(),
            propagation: Propagation::default(),
            replication,
            tracking: Tracking::default(),
            client_memory: ClientMemory::default(),
            eviction: Eviction::default(),
            links: Links::default(),
            monitors: 0,
            pauses: Pauses::default(),
            stats: ServerStats::default(),
            slowlog: SlowLog::default(),
            latency: LatencyMonitor::default(),
            rng,
            run_id: run_id[..40].to_owned(),
            active_expire: true,
            scripts_call_anything: false,
            expire_cursor: 0,
            client_cursor: 0,
            replies_wait: false,
            cron_paused: false,
            buffers_fixed: false,
            reply_peak_reset_ms: Some(crate::cron::REPLY_PEAK_RESET_MS),
            persistence: Persistence::default(),
            storage: self.storage,
            aof: Aof::new(self.sync_listener),
            env: self.env,
            busy_port: self.busy_port,
            clock: self.clock,
            config: self.config,
        };
        engine.startup_memory = engine.env.used_memory();
        if !engine.config.aclfile.is_empty() {
            engine
                .load_acl_file()
                .map_err(|wrong| format!("Aborting startup because of ACL errors: {wrong}"))?;
        }
        engine.warn_of_disabled_users();
        engine.follow_configured();
        Ok(engine)
    }
}

/// The users that the configuration itself declares.
fn configured_users(config: &Config, commands: &CommandTable) -> Result<Acl, String> {
    if !config.aclfile.is_empty() && !config.users.is_empty() {
        return Err("users can be declared in the configuration file or in an ACL file, but not \
                    in both"
            .into());
    }
    let context = RuleContext::new(commands, config);
    let mut acl = Acl::new(&context);
    acl.set_default_password(&config.requirepass);
    acl.declare(&config.users, &context)?;
    Ok(acl)
}

impl Engine {
    /// Reads the clock; once per batch. Within a script Unix time stands still, because its commands
    /// must all see the same time.
    #[inline]
    pub fn refresh_clock(&mut self) {
        self.mono_us = self.clock.monotonic_us();
        if !self.scripting.is_running() {
            self.now_us = self.mono_us as i64 + self.wall_offset_us;
        }
    }

    /// Unix time now, microseconds, also while a script's stands still.
    pub(crate) fn wall_clock_us(&self) -> i64 {
        self.clock.monotonic_us() as i64 + self.wall_offset_us
    }

    /// Follows the wall clock. [`refresh_clock`](Self::refresh_clock) derives Unix time from the
    /// monotonic clock, so this must be called regularly, or whenever a test moves its clock.
    pub fn follow_wall_clock(&mut self) {
        self.mono_us = self.clock.monotonic_us();
        self.wall_offset_us = self.clock.unix_us() - self.mono_us as i64;
        self.refresh_clock();
    }

    /// Unix time of the current command, milliseconds.
    #[inline]
    pub fn now_ms(&self) -> i64 {
        self.now_us / 1000
    }

    /// Adds a client. It must be removed with [`disconnect`](Self::disconnect).
    pub fn connect(&mut self, peer: PeerInfo, waker: Option<Arc<dyn Waker>>) -> ClientSlot {
        self.refresh_clock();
        let now_ms = self.now_ms();
        let user = Arc::clone(self.acl.default_user());
        let slot = self.sessions.add(peer, waker, now_ms, user);
        self.stats.connections_received += 1;
        self.count_client(slot);
        slot
    }

    /// Forgets a client and everything it held.
    pub fn disconnect(&mut self, client: ClientSlot) {
        self.unsubscribe_all(client);
        self.unwatch_all(client);
        self.stop_tracking(client);
        self.stop_waiting(client);
        self.stop_monitoring(client);
        self.stop_replicating(client);
        self.uncount_client(client);
        self.sessions.remove(client);
    }

    /// Ends `MONITOR` for a client.
    pub(crate) fn stop_monitoring(&mut self, client: ClientSlot) {
        if let Some(session) = self.sessions.get_mut(client)
            && std::mem::take(&mut session.monitor)
        {
            self.monitors -= 1;
        }
    }

    /// Closes a client's connection as soon as it notices.
    pub fn kill(&mut self, client: ClientSlot) {
        if self.sessions.kill(client) {
            // What it held is free at once, not only when its connection has noticed.
            self.unsubscribe_all(client);
            self.unwatch_all(client);
            self.stop_tracking(client);
            self.stop_waiting(client);
            self.stop_monitoring(client);
            self.stop_replicating(client);
            self.expect_memory_of(client);
        }
    }

    /// Closes a client whose pending output is over its class's limit.
    pub(crate) fn enforce_output_limit(&mut self, client: ClientSlot) {
        let now_ms = self.now_ms();
        let offset = self.replication.offset;
        let Some(session) = self.sessions.get_mut(client) else { return };
        if session.is_master || session.killed {
            return;
        }
        let mut limit = output_limit(&self.config, session);
        let mut size = session.pending_output() as u64;
        if let Some(replica) = session.replica.as_ref().filter(|replica| replica.is_attached()) {
            size += replica.backlog_bytes(offset);
            // One that may go on from the log must not be closed for what it missed.
            if limit.hard_bytes > 0 {
                limit.hard_bytes = limit.hard_bytes.max(self.config.repl_backlog_size);
            }
        }
        let over_hard = limit.hard_bytes > 0 && size > limit.hard_bytes;
        let over_soft = limit.soft_bytes > 0 && size > limit.soft_bytes;
        let soft_for_too_long = match (over_soft, session.soft_limit_since_ms) {
            (false, _) => {
                session.soft_limit_since_ms = None;
                false
            }
            (true, None) => {
                session.soft_limit_since_ms = Some(now_ms);
                false
            }
            (true, Some(since)) => {
                now_ms.saturating_sub(since) as u64 > limit.soft_seconds.saturating_mul(1000)
            }
        };
        if over_hard || soft_for_too_long {
            self.close_for_output(client);
        }
    }

    /// Bytes that a single reply to a client may have, where that is limited.
    pub(crate) fn reply_bytes_max(&self, client: ClientSlot) -> Option<u64> {
        let session = self.sessions.get(client).filter(|_| client != ClientSlot::SCRIPT)?;
        let limit = output_limit(&self.config, session);
        (limit.hard_bytes > 0 && !session.is_master).then_some(limit.hard_bytes)
    }

    /// Closes a client whose output is over its limit.
    pub(crate) fn close_for_output(&mut self, client: ClientSlot) {
        let id = self.sessions.get(client).map_or(0, |session| session.id);
        self.kill(client);
        self.stats.output_limit_disconnections += 1;
        let message = format!("Client id={id} closed for overcoming of output buffer limits.");
        self.env.log(perilune_script::LogLevel::Warning, &message);
    }

    /// Begins a batch of a client's commands: the clock, what the connection knows, what waits for
    /// it. Tells what the connection does next.
    pub fn begin_batch(&mut self, client: ClientSlot, out: &mut Vec<u8>) -> crate::Flow {
        self.refresh_clock();
        self.batch_started_us = self.mono_us;
        if self.persistence.holds_commands() {
            // Its connection closes with the listening sockets: who sees it closed must not find
            // the server again. If the end fails everybody is woken.
            return crate::Flow::Blocked;
        }
        let Some(session) = self.sessions.get_mut(client) else { return crate::Flow::Close };
        if session.blocked.is_some() {
            self.check_deadline(client);
        }
        self.visit(client, out)
    }

    /// Ends a client's batch of so many commands: what was gathered over it is sent. Answers how
    /// long they took, microseconds.
    ///
    /// While [`effects_wait`](Self::effects_wait), replies must not leave; a batch without commands
    /// has nothing to gain from company and writes at once.
    pub fn end_batch(&mut self, client: ClientSlot, commands: usize, out: &mut Vec<u8>) -> u64 {
        if commands == 0 {
            self.write_effects();
        }
        let took_us = self.mono_us.saturating_sub(self.batch_started_us);
        self.stats.loops.batch(took_us, commands as u64);
        if self.replication.ask_replicas {
            self.ask_for_confirmations();
        }
        if self.tracking.has_broadcasts() {
            let before = self.current_client.replace(client);
            self.send_broadcasts();
            self.current_client = before;
            self.visit(client, out);
        }
        took_us
    }

    /// Appends what waits in a client's outbox to `out` and tells what the connection does next.
    pub fn visit(&mut self, client: ClientSlot, out: &mut Vec<u8>) -> crate::Flow {
        if let Some(session) = self.sessions.get_mut(client) {
            session.take_outbox(out);
        }
        self.take_stream(client, out);
        self.flow_of(client)
    }

    /// Closes a client that does not take its replies, by the limits of its class, or by a narrow one
    /// while nobody knows who it is. True when it is closed now.
    pub fn check_output(&mut self, client: ClientSlot) -> bool {
        let Some(session) = self.sessions.get(client) else { return true };
        let pending = session.pending_output();
        let is_under_watch = session.replica.is_some() || session.soft_limit_since_ms.is_some();
        if pending <= OUTPUT_UNCOUNTED && !is_under_watch {
            return session.killed;
        }
        if pending > UNKNOWN_OUTPUT_MAX && self.auth_required(client) {
            self.close_for_output(client);
        } else {
            self.enforce_output_limit(client);
        }
        self.sessions.get(client).is_none_or(|session| session.killed)
    }

    /// Counts a client that is closed because its requests do not fit the query buffer.
    pub fn over_query_limit(&mut self, client: ClientSlot) {
        self.stats.query_limit_disconnections += 1;
        let id = self.sessions.get(client).map_or(0, |session| session.id);
        let message = format!("Closing client id={id} that reached max query buffer length");
        self.env.log(perilune_script::LogLevel::Warning, &message);
    }

    /// Counts bytes that a connection read and wrote.
    pub fn count_network(&mut self, traffic: Traffic) {
        self.stats.net_input_bytes += traffic.bytes_read as u64;
        self.stats.net_output_bytes += traffic.bytes_written as u64;
        self.stats.net_reads += traffic.reads;
        self.stats.net_writes += traffic.writes;
    }
}

/// What went over a client's socket since it was counted last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that came in.
    pub bytes_read: usize,
    /// Bytes that the socket took.
    pub bytes_written: usize,
    /// Reads that brought something.
    pub reads: u64,
    /// Writes that the socket took something of.
    pub writes: u64,
}

/// The limit of the output of a client's class.
fn output_limit(config: &Config, session: &Session) -> BufferLimit {
    let limits = &config.client_output_buffer_limit;
    if session.is_replica() {
        limits.replica
    } else if session.subscriptions() > 0 {
        limits.pubsub
    } else {
        limits.normal
    }
}
