//! Replication: one stream of effects that servers share.
//!
//! A master numbers the bytes of its stream from the first one on and calls the stream by an id. A
//! replica that has the data as of an offset of a stream needs only what follows; any other one gets
//! a snapshot first. A server that follows a master continues that master's stream for its own
//! replicas, byte for byte, so that all servers of a chain speak of the same id and offset, and one
//! that takes over as master remembers up to which offset the old id is also true of its data.
//!
//! - `admission` is what a replica refuses to its clients.
//! - `log` keeps the latest stretch of the stream.
//! - `peers` is the sending side: sessions that asked for the stream.
//! - `shipment` is a snapshot on its way to them, `disk` one that takes the way of a file.
//! - `handshake` and [`payload`] are what a replica says and hears before the stream.
//! - `upstream` is the receiving side: whom this server follows, and what comes from there;
//!   `transfer` is a snapshot that comes.
//! - `timers` is what both sides do every second.
//!
//! Invariants:
//! - With a log, its end is [`offset`](Replication::offset). A server that follows somebody has one
//!   from the moment it does; a master from its first replica until it has been without one for
//!   `repl-backlog-ttl`. A master without a log does not count its changes, so it gives up its id.
//! - Effects of own commands enter the stream only on a master; on a replica only what came from
//!   the master does, a whole transaction at a time.

mod admission;
mod disk;
pub(crate) mod failover;
pub mod handshake;
pub mod log;
pub mod payload;
pub mod peers;
mod restart;
mod shipment;
#[cfg(test)]
mod tests;
mod timers;
pub mod transfer;
pub mod upstream;

use crate::engine::Engine;
use crate::session::ClientSlot;
use log::StreamLog;
use perilune_keyspace::Rng;
use upstream::Upstream;

/// Number of hexadecimal digits of an id.
pub const ID_LEN: usize = 40;

/// The furthest a stream is taken up: none gets there, and what follows can still be counted.
pub(crate) const OFFSET_MAX: u64 = i64::MAX as u64;

/// An id that no stream has.
pub const NO_ID: &str = "0000000000000000000000000000000000000000";

/// The stream this server's data came from before it got its present id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// Its id.
    pub id: String,
    /// Number of its bytes that are also in the present stream.
    pub offset: u64,
}

/// The state of replication.
#[derive(Debug)]
pub struct Replication {
    /// Id of the stream.
    pub id: String,
    /// The stream that this one continues.
    pub former: Option<Former>,
    /// Bytes of the stream so far.
    pub offset: u64,
    /// Its latest stretch.
    pub log: Option<StreamLog>,
    /// The clients that get the stream or wait for it, first come first.
    pub replicas: Vec<ClientSlot>,
    /// Whom this server follows.
    pub upstream: Option<Upstream>,
    /// The data is that of `offset` bytes of the stream, so a master may continue from there.
    pub resumable: bool,
    /// Database that the stream has selected, as far as it came from a master.
    pub stream_db: usize,
    /// The snapshot that is being made for replicas.
    shipment: Option<shipment::Shipment>,
    /// The replicas it is for, as far as they are there still.
    shipped_to: Vec<ClientSlot>,
    /// The snapshot file was made for replicas, and `rdb-del-sync-files` was in force.
    made_sync_file: bool,
    /// Clients that wait for confirmations of replicas.
    pub(crate) waiting: Vec<ClientSlot>,
    /// A client began to wait: the replicas are to be asked.
    pub(crate) ask_replicas: bool,
    /// The role is being handed to a replica.
    pub(crate) failover: Option<failover::Failover>,
    /// When it was last logged that a command of the master could not be kept, Unix milliseconds.
    pub(crate) disk_warned_ms: i64,
    /// Counters.
    pub stats: ReplicationStats,
    /// Since when there is no replica, Unix milliseconds.
    pub(crate) unattended_since_ms: i64,
    /// When the replicas got their last `PING`, Unix milliseconds.
    pub(crate) pinged_ms: i64,
    /// When the timers ran last, Unix milliseconds.
    pub(crate) timers_ms: i64,
    /// Goes up with every link that is to be made.
    pub(crate) epoch: u64,
    /// Keys with a deadline that a client set on this replica, which no master removes.
    pub(crate) own_volatile: std::collections::HashSet<(usize, perilune_keyspace::Bytes)>,
}

/// Counters of replication.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReplicationStats {
    /// Replicas that got a snapshot.
    pub full: u64,
    /// Replicas that went on from where they were.
    pub partial: u64,
    /// Replicas that wanted to go on and could not.
    pub partial_refused: u64,
    /// Bytes that came from the master.
    pub input_bytes: u64,
    /// Bytes that were sent to replicas.
    pub output_bytes: u64,
    /// Commands of the master that failed here.
    pub failed_commands: u64,
}

impl Replication {
    /// A master without replicas.
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Replication {
            id: random_id(rng),
            former: None,
            offset: 0,
            log: None,
            replicas: Vec::new(),
            upstream: None,
            resumable: false,
            stream_db: 0,
            shipment: None,
            shipped_to: Vec::new(),
            made_sync_file: false,
            waiting: Vec::new(),
            ask_replicas: false,
            failover: None,
            disk_warned_ms: 0,
            stats: ReplicationStats::default(),
            unattended_since_ms: 0,
            pinged_ms: 0,
            timers_ms: 0,
            epoch: 0,
            own_volatile: std::collections::HashSet::new(),
        }
    }

    /// Whether this server follows a master.
    #[inline]
    pub fn is_replica(&self) -> bool {
        self.upstream.is_some()
    }

    /// Whether it follows a master and the stream flows.
    pub fn is_linked(&self) -> bool {
        self.upstream.as_ref().is_some_and(Upstream::is_connected)
    }

    /// Adds to the stream.
    fn extend(&mut self, bytes: &[u8], log_bytes: u64) {
        self.offset += bytes.len() as u64;
        if let Some(log) = &mut self.log {
            log.append(bytes, log_bytes);
        }
    }

    /// Offset up to which a stream of this id is the same as this one, if it is at all.
    fn shared_with(&self, id: &[u8]) -> Option<u64> {
        if id.eq_ignore_ascii_case(self.id.as_bytes()) {
            return Some(self.offset);
        }
        let former = self.former.as_ref()?;
        id.eq_ignore_ascii_case(former.id.as_bytes()).then_some(former.offset)
    }
}

/// A new id.
pub(crate) fn random_id(rng: &mut Rng) -> String {
    let mut id: String = (0..3).map(|_| format!("{:016x}", rng.next_u64())).collect();
    id.truncate(ID_LEN);
    id
}

impl Engine {
    /// Begins a stream that has nothing to do with what was before.
    pub(crate) fn new_stream_id(&mut self) {
        self.replication.id = random_id(&mut self.rng);
        self.replication.former = None;
    }

    /// Puts a command into the stream that nobody ran: `DEBUG REPLICATE`.
    pub(crate) fn replicate_anything(&mut self, argv: &[&[u8]]) {
        let mut stream = Vec::new();
        crate::propagation::append_command(&mut stream, argv);
        if self.replication.log.is_some() {
            self.feed_replicas(&stream);
        }
    }

    /// Begins a stream that continues the present one under another id.
    fn fork_stream(&mut self) {
        let id = random_id(&mut self.rng);
        let stream = &mut self.replication;
        let id = std::mem::replace(&mut stream.id, id);
        stream.former = Some(Former { id, offset: stream.offset });
    }

    /// Lets commands record their effects if the stream is made of them.
    fn update_recording(&mut self) {
        let wanted = self.replication.log.is_some() && !self.replication.is_replica();
        self.propagation.record_for_replicas(wanted);
    }

    fn log_notice(&mut self, message: &str) {
        self.env.log(perilune_script::LogLevel::Notice, message);
    }

    fn log_warning(&mut self, message: &str) {
        self.env.log(perilune_script::LogLevel::Warning, message);
    }
}
