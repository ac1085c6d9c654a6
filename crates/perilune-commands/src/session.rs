//! A client as the engine sees it, and the table of all of them.
//!
//! The connection itself (socket, read buffer, decoder) belongs to the server. What commands can
//! ask about or change stands here: the selected database, the protocol, the open transaction,
//! subscriptions, and the outbox for replies that come without a request of the same moment.

use crate::acl::User;
use crate::blocking::Blocked;
use crate::owned_args::OwnedArgs;
use crate::replication::peers::Replica;
use crate::tracking::ClientTracking;
use ahash::AHashMap;
use perilune_keyspace::Bytes;
use perilune_resp::Protocol;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Index of a session in [`Sessions`]. Valid until the session is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientSlot(pub u32);

impl ClientSlot {
    /// The session that scripts run their commands on. It is no connection.
    pub const SCRIPT: ClientSlot = ClientSlot(0);
}

/// Tells a connection that its session has news: output, an end of blocking, or its death.
pub trait Waker: Send + Sync {
    /// Must not block and must not take the engine.
    fn wake(&self);

    /// Bytes of replies that the connection took and has not written to its socket yet.
    fn unwritten(&self) -> usize {
        0
    }

    /// Whether bytes moved since the last call that belong to no new command: pieces of one, or of
    /// replies that the peer takes slowly.
    fn take_traffic(&self) -> bool {
        false
    }

    /// What the connection's buffers hold.
    fn buffers(&self) -> BufferFigures {
        BufferFigures::default()
    }
}

/// Where a connection comes from.
#[derive(Debug, Clone, Default)]
pub struct PeerInfo {
    /// `ip:port` of the peer, or the path of the Unix socket with `:0`.
    pub addr: String,
    /// `ip:port` of this end.
    pub laddr: String,
    /// File descriptor, -1 when there is none.
    pub fd: i32,
    /// Came over a Unix socket.
    pub unix_socket: bool,
    /// Came from a loopback address or a Unix socket.
    pub local: bool,
}

/// `SCRIPT DEBUG`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DebugMode {
    /// Scripts simply run.
    #[default]
    Off,
    /// `YES`: the next script is debugged on a copy of the data.
    Copy,
    /// `SYNC`: the next script is debugged on the data, while everybody waits.
    Sync,
}

/// `CLIENT REPLY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplyMode {
    /// Replies are sent.
    #[default]
    On,
    /// Replies are dropped.
    Off,
    /// The reply of the command running now is sent, the next one's is dropped.
    SkipNext,
    /// The reply of the command running now is dropped.
    Skip,
}

/// An open `MULTI`.
#[derive(Debug, Default)]
pub struct Transaction {
    /// The queued commands.
    pub queue: Vec<OwnedArgs>,
    /// A command was refused: `EXEC` must abort.
    pub aborted: bool,
    /// Bytes of the queued arguments.
    pub bytes: usize,
}

/// A key under `WATCH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedKey {
    /// Its database.
    pub db: usize,
    /// Its name.
    pub key: Bytes,
    /// It existed but was past its time when it was watched.
    pub expired: bool,
}

/// Figures of the connection that only its owner knows.
#[derive(Debug, Clone, Copy, Default)]
pub struct BufferFigures {
    /// Bytes read and not yet executed.
    pub query: usize,
    /// Bytes read before those: the complete arguments of a request whose long last one is still
    /// coming in.
    pub arguments: usize,
    /// Unused capacity of the read buffer.
    pub query_free: usize,
    /// Capacity of the write buffer.
    pub reply: usize,
}

/// Why a connection should give memory of its buffers back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tidy {
    /// It has been idle for a while: all that is unused can go.
    Idle,
    /// Its read buffer is large: what was not used lately can go.
    Oversized,
}

/// One client.
pub struct Session {
    /// Number that no other client of this server's life has.
    pub id: u64,
    /// Where it comes from.
    pub peer: PeerInfo,
    /// Selected database.
    pub db: usize,
    /// Protocol of its replies.
    pub protocol: Protocol,
    /// Whether it logged in, or came when no login was needed.
    pub authenticated: bool,
    /// Whose rights it has.
    user: Arc<User>,
    /// Its user may do everything. Kept beside the user because every command asks.
    unrestricted: bool,
    /// `CLIENT SETNAME`.
    pub name: Bytes,
    /// `CLIENT SETINFO LIB-NAME`.
    pub lib_name: Bytes,
    /// `CLIENT SETINFO LIB-VER`.
    pub lib_ver: Bytes,
    /// Unix time of the connection, milliseconds.
    pub created_ms: i64,
    /// Unix time, milliseconds, when it sent a command, was woken, or bytes moved between the two.
    pub last_interaction_ms: i64,
    /// Full name of the last command.
    pub last_command: &'static str,
    /// Open transaction.
    pub transaction: Option<Transaction>,
    /// Keys under watch.
    pub watched: Vec<WatchedKey>,
    /// A watched key was changed.
    pub watch_broken: bool,
    /// Inside of `EXEC`.
    pub in_exec: bool,
    /// Number of commands that the running `EXEC` has, or the last one had.
    pub exec_len: usize,
    /// Channels subscribed to.
    pub channels: BTreeSet<Bytes>,
    /// Patterns subscribed to.
    pub patterns: BTreeSet<Bytes>,
    /// Shard channels subscribed to.
    pub shard_channels: BTreeSet<Bytes>,
    /// Waits for something.
    pub blocked: Option<Box<Blocked>>,
    /// Runs its blocked command again.
    pub reexecuting: bool,
    /// Microseconds that the attempts of a command that waits took so far.
    pub attempts_us: u64,
    /// `CLIENT TRACKING`.
    pub tracking: Option<Box<ClientTracking>>,
    /// Receives `MONITOR` lines.
    pub monitor: bool,
    /// What it said as a replica.
    pub replica: Option<Box<Replica>>,
    /// Its connection is to send fewer, fuller packets (`repl-disable-tcp-nodelay`).
    pub gathers_packets: bool,
    /// It is the master that this server follows.
    pub is_master: bool,
    /// Offset of the replication stream behind its last effect.
    pub stream_offset: u64,
    /// `CLIENT REPLY`.
    pub reply_mode: ReplyMode,
    /// `SCRIPT DEBUG`.
    pub debug_mode: DebugMode,
    /// A call that the connection is to run with a debugger.
    pub debug_call: Option<Box<OwnedArgs>>,
    /// Debugs on a copy of the engine.
    pub has_copy: bool,
    /// `CLIENT NO-EVICT`.
    pub no_evict: bool,
    /// `CLIENT NO-TOUCH`.
    pub no_touch: bool,
    /// Close once everything written so far is out.
    pub close_after_reply: bool,
    /// Close at once.
    pub killed: bool,
    /// Replies and pushes that wait for the connection to take them.
    pub outbox: Vec<u8>,
    /// Bytes that the client was counted with last, where the memory of clients is limited.
    pub(crate) counted_memory: usize,
    /// What it had when it was closed, until its connection has noticed.
    pub(crate) leaving_memory: usize,
    /// Its place among those that can be evicted.
    pub(crate) memory_class: Option<u32>,
    /// Asks the connection to give memory back.
    pub tidy: Option<Tidy>,
    /// Offset of the append-only stream after its last command.
    pub aof_offset: u64,
    /// Commands run.
    pub commands: u64,
    /// Since when the output is over its soft limit, milliseconds.
    pub soft_limit_since_ms: Option<i64>,
    /// The most bytes of replies that waited to be sent at once, since a while ago.
    pub reply_peak: usize,
    pub(crate) reply_peak_since_ms: i64,
    /// Wakes the connection.
    pub waker: Option<Arc<dyn Waker>>,
}

impl Session {
    /// A fresh client of database 0, RESP2.
    pub fn new(
        id: u64,
        peer: PeerInfo,
        waker: Option<Arc<dyn Waker>>,
        now_ms: i64,
        user: Arc<User>,
    ) -> Self {
        Session {
            authenticated: user.is_open(),
            unrestricted: user.is_unrestricted(),
            user,
            id,
            peer,
            db: 0,
            protocol: Protocol::Resp2,
            name: Bytes::new(b""),
            lib_name: Bytes::new(b""),
            lib_ver: Bytes::new(b""),
            created_ms: now_ms,
            last_interaction_ms: now_ms,
            last_command: "",
            transaction: None,
            watched: Vec::new(),
            watch_broken: false,
            in_exec: false,
            exec_len: 0,
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            shard_channels: BTreeSet::new(),
            blocked: None,
            reexecuting: false,
            attempts_us: 0,
            tracking: None,
            monitor: false,
            replica: None,
            gathers_packets: false,
            is_master: false,
            stream_offset: 0,
            reply_mode: ReplyMode::On,
            debug_mode: DebugMode::Off,
            debug_call: None,
            has_copy: false,
            no_evict: false,
            no_touch: false,
            close_after_reply: false,
            killed: false,
            outbox: Vec::new(),
            counted_memory: 0,
            leaving_memory: 0,
            memory_class: None,
            tidy: None,
            aof_offset: 0,
            commands: 0,
            soft_limit_since_ms: None,
            reply_peak: 0,
            reply_peak_since_ms: 0,
            waker,
        }
    }

    /// Whose rights it has.
    pub fn user(&self) -> &Arc<User> {
        &self.user
    }

    /// Whether it is a connection of this user. The link to a master is nobody's.
    pub fn belongs_to(&self, name: &[u8]) -> bool {
        !self.is_master && self.user.name() == name
    }

    /// Gives it the rights of a user, or of a new version of its user.
    pub(crate) fn set_user(&mut self, user: Arc<User>) {
        // The master's rights are nobody's to change.
        if self.is_master {
            return;
        }
        self.unrestricted = user.is_unrestricted();
        self.user = user;
    }

    /// Whether its user may do everything, so that nothing need be checked.
    #[inline]
    pub fn is_unrestricted(&self) -> bool {
        self.unrestricted
    }

    /// Whether it gets the stream of effects, or is to get it.
    pub fn is_replica(&self) -> bool {
        self.replica.as_ref().is_some_and(|replica| replica.is_attached())
    }

    /// Number of commands in its transaction, queued or running.
    pub fn transaction_len(&self) -> Option<usize> {
        match &self.transaction {
            Some(transaction) => Some(transaction.queue.len()),
            None => self.in_exec.then_some(self.exec_len),
        }
    }

    /// Number of channels, patterns and shard channels subscribed to.
    pub fn subscriptions(&self) -> usize {
        self.channels.len() + self.patterns.len() + self.shard_channels.len()
    }

    /// Whether only the subscription commands may run: subscribed and speaking RESP2.
    pub fn subscriber_only(&self) -> bool {
        self.protocol == Protocol::Resp2 && self.subscriptions() > 0
    }

    /// Applies `CLIENT REPLY` to the reply that a command wrote to `out` from `start` on. A command
    /// that waits has written none yet and is left to the time when it does.
    pub(crate) fn apply_reply_mode(&mut self, start: usize, out: &mut Vec<u8>) {
        if self.reply_mode == ReplyMode::On || self.blocked.is_some() {
            return;
        }
        if self.reply_mode == ReplyMode::SkipNext {
            self.reply_mode = ReplyMode::Skip;
        } else if !self.takes_reply() {
            out.truncate(start);
        }
    }

    /// Whether `CLIENT REPLY` lets the reply pass of the command that is over now.
    pub(crate) fn takes_reply(&mut self) -> bool {
        let takes = self.reply_mode == ReplyMode::On;
        if self.reply_mode == ReplyMode::Skip {
            self.reply_mode = ReplyMode::On;
        }
        takes
    }

    /// Takes account of bytes that moved without a command.
    pub(crate) fn note_traffic(&mut self, now_ms: i64) {
        if self.waker.as_ref().is_some_and(|waker| waker.take_traffic()) {
            self.last_interaction_ms = now_ms;
        }
    }

    /// How long nothing has come from it and nothing was taken by it, milliseconds.
    pub fn idle_ms(&self, now_ms: i64) -> i64 {
        now_ms - self.last_interaction_ms
    }

    /// Bytes of replies that the peer has not been sent yet.
    pub fn pending_output(&self) -> usize {
        self.outbox.len() + self.waker.as_ref().map_or(0, |waker| waker.unwritten())
    }

    /// Moves what waits for the connection to `out`, with the memory it takes.
    #[inline]
    pub(crate) fn take_outbox(&mut self, out: &mut Vec<u8>) {
        if !self.outbox.is_empty() {
            let outbox = std::mem::take(&mut self.outbox);
            match out.is_empty() {
                true => *out = outbox,
                false => out.extend_from_slice(&outbox),
            }
        }
    }

    /// What the connection's buffers hold.
    pub fn buffer_figures(&self) -> BufferFigures {
        self.waker.as_ref().map_or_else(BufferFigures::default, |waker| waker.buffers())
    }

    /// Tells the connection to look at its session.
    pub fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake();
        }
    }
}

/// All clients, by slot.
pub struct Sessions {
    slots: Vec<Option<Box<Session>>>,
    /// Where the session of an id is; killed ones are not in here.
    ids: AHashMap<u64, ClientSlot>,
    free: Vec<u32>,
    connected: usize,
    next_id: u64,
}

impl Sessions {
    /// A table that holds only the script session, which does not count as connected. It takes
    /// over the user of every script's caller.
    pub fn new(user: Arc<User>) -> Self {
        let mut script = Session::new(0, PeerInfo::default(), None, 0, user);
        script.authenticated = true;
        Sessions {
            slots: vec![Some(Box::new(script))],
            ids: AHashMap::new(),
            free: Vec::new(),
            connected: 0,
            next_id: 1,
        }
    }

    /// Adds a client and gives it an id.
    pub fn add(
        &mut self,
        peer: PeerInfo,
        waker: Option<Arc<dyn Waker>>,
        now_ms: i64,
        user: Arc<User>,
    ) -> ClientSlot {
        let id = self.next_id;
        let session = Some(Box::new(Session::new(id, peer, waker, now_ms, user)));
        self.next_id += 1;
        self.connected += 1;
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = session;
                ClientSlot(slot)
            }
            None => {
                self.slots.push(session);
                ClientSlot((self.slots.len() - 1) as u32)
            }
        };
        self.ids.insert(id, slot);
        slot
    }

    /// Takes a client out.
    pub fn remove(&mut self, slot: ClientSlot) -> Option<Box<Session>> {
        if slot == ClientSlot::SCRIPT {
            return None;
        }
        let session = self.slots.get_mut(slot.0 as usize)?.take()?;
        self.free.push(slot.0);
        self.ids.remove(&session.id);
        self.connected -= usize::from(!session.killed);
        Some(session)
    }

    /// Marks a client as killed: it no longer counts. False when it was, or there is none. The script
    /// session is no client.
    pub(crate) fn kill(&mut self, slot: ClientSlot) -> bool {
        let session = self.get_mut(slot).filter(|session| !session.killed);
        let Some(session) = session.filter(|_| slot != ClientSlot::SCRIPT) else {
            return false;
        };
        session.killed = true;
        session.outbox = Vec::new();
        session.wake();
        let id = session.id;
        self.ids.remove(&id);
        self.connected -= 1;
        true
    }

    /// Slots in use or free; every session's slot is below this.
    pub(crate) fn slot_count(&self) -> usize {
        self.slots.len()
    }

    /// The client at `slot`.
    #[inline]
    pub fn get(&self, slot: ClientSlot) -> Option<&Session> {
        self.slots.get(slot.0 as usize)?.as_deref()
    }

    /// The client at `slot`, to change.
    #[inline]
    pub fn get_mut(&mut self, slot: ClientSlot) -> Option<&mut Session> {
        self.slots.get_mut(slot.0 as usize)?.as_deref_mut()
    }

    /// The client with this id, unless it was killed.
    #[inline]
    pub fn by_id(&self, id: u64) -> Option<ClientSlot> {
        self.ids.get(&id).copied()
    }

    /// All connected clients.
    pub fn iter(&self) -> impl Iterator<Item = (ClientSlot, &Session)> {
        self.slots
            .iter()
            .enumerate()
            .skip(1)
            .filter_map(|(slot, session)| Some((ClientSlot(slot as u32), session.as_deref()?)))
    }

    /// All connected clients, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ClientSlot, &mut Session)> {
        self.slots
            .iter_mut()
            .enumerate()
            .skip(1)
            .filter_map(|(slot, session)| Some((ClientSlot(slot as u32), session.as_deref_mut()?)))
    }

    /// Number of connected clients, killed ones left out.
    pub fn connected(&self) -> usize {
        self.connected
    }
}
