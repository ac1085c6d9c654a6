//! The receiving side: whom this server follows, and what comes from there.
//!
//! The network belongs to somebody else, who asks [`Engine::link_order`] for a master to connect
//! to, leads the [`Handshake`](super::handshake::Handshake), takes a snapshot (see
//! [`transfer`](super::transfer)), and hands in what comes after it command by command. The data in
//! use stays as it is until a snapshot is complete, so that a transfer that breaks loses nothing.
//!
//! Every link has an epoch. What is reported of an earlier one is not listened to, so nobody has to
//! wait for the end of an old link before a new one is made.
//!
//! Once the stream flows the master is a client of this server, with a session like others: it
//! selects databases, opens transactions and waits through pauses. Its commands go the way of all
//! commands but are not answered, and no state of this server refuses them.

use super::handshake::Introduction;
use super::log::StreamLog;
use super::transfer::{Received, Transfer};
use crate::Flow;
use crate::acl::{RuleContext, User};
use crate::blocking::{UnblockReason, WaitKind};
use crate::config::{ParamId, PropagationErrorBehavior, ReplicaOf};
use crate::engine::Engine;
use crate::scripting::RestorePolicy;
use crate::session::{ClientSlot, PeerInfo, Waker};
use perilune_rdb::dump_functions;
use std::sync::Arc;

/// How far the link to the master is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// It is to be made.
    Connect,
    /// The connection is being opened.
    Connecting,
    /// The two servers introduce themselves.
    Handshake,
    /// A snapshot is coming.
    Sync,
    /// The stream flows.
    Connected,
}

impl LinkState {
    /// The word for it in `ROLE`.
    pub fn name(self) -> &'static str {
        match self {
            LinkState::Connect => "connect",
            LinkState::Connecting => "connecting",
            LinkState::Handshake => "handshake",
            LinkState::Sync => "sync",
            LinkState::Connected => "connected",
        }
    }
}

/// The master that this server follows.
#[derive(Debug)]
pub struct Upstream {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How far the link is.
    pub state: LinkState,
    /// The session of the link, while the stream flows.
    pub client: Option<ClientSlot>,
    /// The snapshot that is coming.
    pub transfer: Option<Transfer>,
    /// When anything came from the master last, Unix milliseconds.
    pub last_io_ms: i64,
    /// Since when the stream does not flow, Unix milliseconds; none: it never did.
    pub down_since_ms: Option<i64>,
    /// What was received and is not part of the stream yet: the commands of an open transaction,
    /// and one that a pause holds back.
    pending: Vec<u8>,
    epoch: u64,
}

impl Upstream {
    /// Whether the stream flows.
    pub fn is_connected(&self) -> bool {
        self.state == LinkState::Connected
    }

    /// Bytes received that are not part of the stream yet.
    pub fn pending_bytes(&self) -> u64 {
        self.pending.len() as u64
    }
}

/// A link that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkOrder {
    /// Names the link in reports about it.
    pub epoch: u64,
    /// Host name or address of the master.
    pub host: String,
    /// Port of the master.
    pub port: u16,
    /// The address to connect from, if it matters.
    pub from: Option<String>,
}

impl Engine {
    /// Follows a master. What the data is the same as stays known, so that the master may spare
    /// this server the snapshot.
    pub(crate) fn follow(&mut self, host: String, port: u16) {
        let was_master = !self.replication.is_replica();
        self.drop_link();
        self.unblock_for_new_role();
        if was_master {
            self.begin_following();
        }
        self.config.replicaof = Some(ReplicaOf { host: host.clone(), port });
        let now_ms = self.now_ms();
        self.replication.epoch += 1;
        self.replication.upstream = Some(Upstream {
            host,
            port,
            state: LinkState::Connect,
            client: None,
            transfer: None,
            last_io_ms: now_ms,
            down_since_ms: None,
            pending: Vec::new(),
            epoch: self.replication.epoch,
        });
        self.update_recording();
        self.tell_role();
    }

    /// Tells the process around that this server follows another master, or none.
    fn tell_role(&mut self) {
        if let Err(refusal) = self.env.apply_config(&self.config, &[ParamId::replicaof]) {
            self.log_warning(&refusal.reason);
        }
        self.env.replication_changed();
    }

    /// Follows the master that the configuration names, from the start on.
    pub(crate) fn follow_configured(&mut self) {
        if let Some(ReplicaOf { host, port }) = self.config.replicaof.clone() {
            self.follow(host, port);
            // An empty server continues nothing.
            self.replication.resumable = false;
        }
    }

    /// The stream of this server's own making ends.
    fn begin_following(&mut self) {
        let offset = self.replication.offset;
        self.replication.resumable = true;
        self.replication.stream_db = 0;
        self.replication.log.get_or_insert_with(|| StreamLog::new(offset));
    }

    /// Becomes a master. The stream goes on under a new id.
    pub(crate) fn stop_following(&mut self) -> bool {
        if !self.replication.is_replica() {
            return false;
        }
        self.drop_link();
        self.replication.upstream = None;
        self.replication.resumable = false;
        self.replication.own_volatile.clear();
        self.replication.epoch += 1;
        self.config.replicaof = None;
        self.fork_stream();
        self.disconnect_replicas();
        self.replication.unattended_since_ms = self.now_ms();
        self.propagation.forget_selection();
        self.update_recording();
        self.tell_role();
        true
    }

    /// Clients that wait for changes by others must hear that they will come from a master.
    fn unblock_for_new_role(&mut self) {
        let waiting: Vec<ClientSlot> = self
            .sessions
            .iter()
            .filter(|(_, session)| {
                session.blocked.as_ref().is_some_and(|blocked| {
                    !matches!(blocked.kind, WaitKind::Pause | WaitKind::Exit)
                })
            })
            .map(|(slot, _)| slot)
            .collect();
        for client in waiting {
            self.unblock(client, UnblockReason::NewRole);
            if let Some(session) = self.sessions.get_mut(client) {
                session.close_after_reply = true;
                session.wake();
            }
        }
    }

    /// Ends the link as it is; a new one is made.
    pub(super) fn renew_link(&mut self) {
        self.drop_link();
        self.replication.epoch += 1;
        let (epoch, now_ms) = (self.replication.epoch, self.now_ms());
        if let Some(upstream) = &mut self.replication.upstream {
            upstream.epoch = epoch;
            upstream.last_io_ms = now_ms;
        }
        self.env.replication_changed();
    }

    /// Forgets what belongs to the link. The place in the stream is kept.
    fn drop_link(&mut self) {
        let now_ms = self.now_ms();
        self.transfer_failed();
        let Some(upstream) = &mut self.replication.upstream else { return };
        if upstream.is_connected() {
            upstream.down_since_ms = Some(now_ms);
        }
        upstream.state = LinkState::Connect;
        upstream.transfer = None;
        // The master sends it again.
        upstream.pending = Vec::new();
        if let Some(client) = upstream.client.take() {
            self.disconnect(client);
        }
    }

    // ---- for the network ------------------------------------------------------------------------

    /// The link that is to be made now, if one is.
    pub fn link_order(&self) -> Option<LinkOrder> {
        if self.persistence.loading.is_some() {
            // The end of it rings.
            return None;
        }
        let upstream = self.replication.upstream.as_ref()?;
        let from = self.config.bind_source_addr.clone();
        Some(LinkOrder {
            epoch: upstream.epoch,
            host: upstream.host.clone(),
            port: upstream.port,
            from: (!from.is_empty()).then_some(from),
        })
    }

    /// A link is being made. False: it is no longer wanted.
    pub fn link_begins(&mut self, order: &LinkOrder) -> bool {
        if !self.wants_link(order.epoch) {
            return false;
        }
        self.log_notice(&format!("Connecting to MASTER {}:{}", order.host, order.port));
        self.set_link_state(LinkState::Connecting);
        self.log_notice("MASTER <-> REPLICA sync started");
        true
    }

    /// Whether the link of this epoch is still wanted.
    pub fn wants_link(&self, epoch: u64) -> bool {
        self.replication.upstream.as_ref().is_some_and(|upstream| upstream.epoch == epoch)
    }

    /// Notes how far the link is.
    pub fn set_link_state(&mut self, state: LinkState) {
        self.refresh_clock();
        let now_ms = self.now_ms();
        if let Some(upstream) = &mut self.replication.upstream {
            upstream.state = state;
            upstream.last_io_ms = now_ms;
        }
    }

    /// Something came from the master.
    pub(super) fn link_heard(&mut self) {
        self.refresh_clock();
        let now_ms = self.now_ms();
        if let Some(upstream) = &mut self.replication.upstream {
            upstream.last_io_ms = now_ms;
        }
    }

    /// The link failed or ended: another one is to be made. True when it had been good, so that it
    /// may be made at once.
    pub fn link_lost(&mut self, epoch: u64, reason: &str) -> bool {
        if !self.wants_link(epoch) {
            return false;
        }
        self.refresh_clock();
        let was_connected = self.replication.is_linked();
        let lost = if was_connected { "Connection with master lost" } else { "No link to master" };
        self.log_warning(&format!("{lost}: {reason}"));
        self.drop_link();
        if was_connected && let Some(upstream) = &self.replication.upstream {
            let message = format!("Reconnecting to MASTER {}:{}", upstream.host, upstream.port);
            self.log_notice(&message);
        }
        was_connected
    }

    /// Takes the data of a snapshot in the place of what there is, and begins with the stream behind
    /// it. `None`: the link of this epoch is no longer wanted, or the libraries do not load.
    pub fn link_loaded(
        &mut self,
        epoch: u64,
        stream: &Introduction,
        received: Received,
        peer: PeerInfo,
        waker: Arc<dyn Waker>,
    ) -> Option<ClientSlot> {
        let Received { keyspace, loaded } = received;
        if !self.wants_link(epoch) || keyspace.count() != self.keyspace.count() {
            return None;
        }
        let libraries = dump_functions(loaded.libraries.iter().map(Vec::as_slice), false);
        let policy = RestorePolicy::Flush;
        if let Err(error) = self.restore_libraries(ClientSlot::SCRIPT, &[], &libraries, policy) {
            let reason = error.text();
            self.log_warning(&format!("Failed loading the functions of the master: {reason}"));
            return None;
        }
        let lazy = self.frees_lazily();
        self.replace_keyspace(keyspace, lazy);
        // They continue a stream that is over for this server.
        self.disconnect_replicas();
        self.replication.id = stream.id.clone();
        self.replication.former = None;
        self.replication.offset = stream.offset;
        self.replication.log = Some(StreamLog::new(stream.offset));
        self.replication.stream_db = loaded.stream_db.unwrap_or(0);
        self.transfer_succeeded(&loaded);
        self.log_notice("MASTER <-> REPLICA sync: Finished with success");
        Some(self.begin_stream(peer, waker))
    }

    /// Goes on with the stream where the last link ended. `None`: the link is no longer wanted.
    pub fn link_continues(
        &mut self,
        epoch: u64,
        id: Option<String>,
        peer: PeerInfo,
        waker: Arc<dyn Waker>,
    ) -> Option<ClientSlot> {
        if !self.wants_link(epoch) {
            return None;
        }
        if let Some(id) = id
            && id != self.replication.id
        {
            self.log_notice(&format!("Master replication ID changed to {id}"));
            let offset = self.replication.offset;
            let former = std::mem::replace(&mut self.replication.id, id);
            self.replication.former = Some(super::Former { id: former, offset });
            // They come back and hear of the new id.
            self.disconnect_replicas();
        }
        Some(self.begin_stream(peer, waker))
    }

    fn begin_stream(&mut self, peer: PeerInfo, waker: Arc<dyn Waker>) -> ClientSlot {
        let client = self.connect(peer, Some(waker));
        // It is this server that connected.
        self.stats.connections_received -= 1;
        let db = self.replication.stream_db;
        let context = RuleContext::new(&self.commands, &self.config);
        let omnipotent = Arc::new(User::all_powerful_default(&context));
        if let Some(session) = self.sessions.get_mut(client) {
            session.set_user(omnipotent);
            session.is_master = true;
            session.authenticated = true;
            session.db = db;
        }
        self.count_client(client);
        self.replication.resumable = true;
        self.set_link_state(LinkState::Connected);
        if let Some(upstream) = &mut self.replication.upstream {
            upstream.client = Some(client);
            upstream.down_since_ms = None;
            upstream.transfer = None;
        }
        // A master that looks for the end of the snapshot waits for this.
        self.confirm_upstream();
        client
    }

    /// Whether commands of the master have to wait: a slow script must not be cut in half by them.
    pub fn link_must_wait(&self) -> bool {
        self.scripting.is_running()
    }

    /// Runs a command of the master. `wire` is all that was received for it.
    pub fn run_for_master(&mut self, client: ClientSlot, argv: &[&[u8]], wire: &[u8]) -> Flow {
        if self.settle_stream(client) == Flow::Close {
            return Flow::Close;
        }
        if let Some(upstream) = &mut self.replication.upstream {
            upstream.pending.extend_from_slice(wire);
        }
        let mut reply = Vec::new();
        let mut flow = Flow::Continue;
        if !argv.is_empty() {
            let mut writer =
                perilune_resp::RespWriter::new(&mut reply, perilune_resp::Protocol::Resp2);
            flow = self.execute_into(client, argv, &mut writer);
        }
        if reply.first() == Some(&b'-') {
            self.note_failed_command(argv, &reply);
        }
        match self.settle_stream(client) {
            Flow::Close => Flow::Close,
            _ => flow,
        }
    }

    /// Makes what is done with part of the stream.
    fn settle_stream(&mut self, client: ClientSlot) -> Flow {
        let Some(session) = self.sessions.get(client).filter(|it| it.is_master && !it.killed)
        else {
            return Flow::Close;
        };
        if session.transaction.is_some() || session.blocked.is_some() {
            return Flow::Continue;
        }
        self.replication.stream_db = session.db;
        let Some(upstream) = &mut self.replication.upstream else { return Flow::Close };
        let mut pending = std::mem::take(&mut upstream.pending);
        self.replication.extend(&pending, self.config.repl_backlog_size);
        pending.clear();
        if let Some(upstream) = &mut self.replication.upstream {
            upstream.pending = pending;
        }
        Flow::Continue
    }

    /// A command of the master that fails here is a sign that the data differs.
    #[cold]
    fn note_failed_command(&mut self, argv: &[&[u8]], reply: &[u8]) {
        self.replication.stats.failed_commands += 1;
        let name = String::from_utf8_lossy(argv.first().copied().unwrap_or_default());
        let reply = String::from_utf8_lossy(reply);
        self.log_warning(&format!(
            "== CRITICAL == This replica is sending an error to its master: '{}' after processing \
             the command '{name}'",
            reply.trim_end(),
        ));
        let behavior = self.config.propagation_error_behavior;
        if behavior != PropagationErrorBehavior::Ignore && self.config.replica_read_only {
            self.log_warning(&format!(
                "This replica panicked sending an error to its master after processing the command \
                 '{name}'"
            ));
            self.env.abort();
        }
    }

    /// Begins with a batch of the master's commands: appends to `out` what it is to be sent.
    pub fn begin_master_batch(
        &mut self,
        client: ClientSlot,
        read: usize,
        out: &mut Vec<u8>,
    ) -> Flow {
        self.link_heard_bytes(read);
        self.check_deadline(client);
        if self.settle_stream(client) == Flow::Close {
            return Flow::Close;
        }
        self.visit(client, out)
    }

    fn link_heard_bytes(&mut self, read: usize) {
        self.refresh_clock();
        if read > 0 {
            self.link_heard();
            self.replication.stats.input_bytes += read as u64;
            self.stats.net_input_bytes += read as u64;
        }
    }

    /// Ends a batch of the master's commands: this server's replicas get them.
    pub fn end_master_batch(&mut self, client: ClientSlot, out: &mut Vec<u8>) -> Flow {
        self.write_effects();
        self.wake_replicas();
        self.send_broadcasts();
        self.visit(client, out)
    }
}
