//! The sending side: clients that asked for the stream.
//!
//! ```text
//! Talking --SYNC, PSYNC--> Waiting --snapshot made--> Sending --all sent--> Online
//!         \--PSYNC with an offset in the log---------------------------------^
//! ```
//!
//! A replica takes its bytes itself: whenever its connection visits the engine with room in its
//! buffer, it gets the next piece of the snapshot, then the next piece of the stream from its
//! cursor on. One that takes too little is closed by `client-output-buffer-limit replica`.

use super::disk::SnapshotFile;
use super::log::StreamLog;
use super::shipment::{Reader, Shipment};
use crate::engine::Engine;
use crate::errors::{self, CommandError};
use crate::persistence::{Job, Pace, Purpose};
use crate::session::{ClientSlot, ReplyMode, Session};
use perilune_persist::RdbFormat;
use perilune_rdb::{Meta, write_snapshot};
use std::io;

/// Bytes handed to a connection at once.
const PIECE_BYTES: usize = 256 * 1024;

/// How long a snapshot may take at once before it goes on in slices, microseconds.
const QUICK_US: u64 = 1000;

/// How far a replica has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stage {
    /// It said something a replica says.
    #[default]
    Talking,
    /// It waits for a snapshot.
    Waiting,
    /// It gets the snapshot.
    Sending,
    /// It has the snapshot, or needs none, and gets the stream.
    Online,
}

/// Where the snapshot for a replica comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// From whoever makes it.
    Shipment(Reader),
    /// From the snapshot file; none until that is complete.
    File(Option<SnapshotFile>),
}

impl Source {
    /// The length, once it is known.
    fn length(&self) -> Option<u64> {
        match self {
            Source::Shipment(reader) => reader.length(),
            Source::File(file) => file.as_ref().map(SnapshotFile::length),
        }
    }

    /// Whether there is something to take, or nothing will ever follow.
    fn has_more(&self) -> bool {
        match self {
            Source::Shipment(reader) => reader.has_more(),
            Source::File(file) => file.is_some(),
        }
    }

    fn is_done(&self) -> bool {
        match self {
            Source::Shipment(reader) => reader.is_done(),
            Source::File(file) => file.as_ref().is_some_and(SnapshotFile::is_done),
        }
    }

    /// Appends at most `room` bytes to `out`.
    fn take(&mut self, room: usize, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Source::Shipment(reader) => {
                reader.take(room, out);
                Ok(())
            }
            Source::File(file) => file.as_mut().map_or(Ok(()), |file| file.take(room, out)),
        }
    }
}

/// A snapshot on its way to one replica.
#[derive(Debug)]
struct Bulk {
    source: Source,
    /// What follows it, where its length was not told.
    mark: Option<String>,
    /// What stands before it has been sent.
    announced: bool,
}

/// A client that asked for the stream of effects, or is about to.
#[derive(Debug, Default)]
pub struct Replica {
    /// How far it has got.
    pub stage: Stage,
    /// Port it says it listens on, 0 when it said nothing.
    pub listening_port: u16,
    /// Address it says it has, if it said so.
    pub announced_ip: String,
    /// It can take a snapshot whose length is not told.
    pub takes_marks: bool,
    /// It knows that ids may change.
    pub takes_new_ids: bool,
    /// It wants the snapshot and then nothing.
    pub snapshot_only: bool,
    /// It wants no keys.
    pub without_keys: bool,
    /// It wants no libraries.
    pub without_libraries: bool,
    /// It speaks the old protocol and confirms nothing.
    pub confirms_nothing: bool,
    /// Offset of the stream it has confirmed.
    pub confirmed_offset: u64,
    /// Offset of the stream it has confirmed to have on disk.
    pub confirmed_disk_offset: u64,
    /// Unix time of the confirmation, milliseconds.
    pub confirmed_ms: i64,
    /// Since when it waits, Unix milliseconds.
    waiting_since_ms: i64,
    /// When it last took something of the snapshot, Unix milliseconds.
    pub(super) taken_ms: i64,
    /// The stream begins when it has confirmed the snapshot.
    awaits_confirmation: bool,
    bulk: Option<Bulk>,
    /// Offset of the next byte of the stream to be sent.
    cursor: u64,
}

impl Replica {
    /// Whether it gets the stream or is to get it.
    pub fn is_attached(&self) -> bool {
        self.stage != Stage::Talking
    }

    /// The word for its stage in `INFO`.
    pub fn stage_name(&self) -> &'static str {
        match self.stage {
            Stage::Talking => "none",
            Stage::Waiting => "wait_bgsave",
            Stage::Sending if self.waits_for_end() => "wait_bgsave",
            Stage::Sending => "send_bulk",
            Stage::Online => "online",
        }
    }

    /// The address it announced, or the one `session` comes from.
    pub fn ip<'s>(&'s self, session: &'s Session) -> &'s str {
        let from = session.peer.addr.as_str();
        match self.announced_ip.as_str() {
            "" => from.rsplit_once(':').map_or(from, |(ip, _)| ip),
            announced => announced,
        }
    }

    /// Seconds since it last confirmed anything.
    pub fn lag_s(&self, now_ms: i64) -> i64 {
        match self.stage {
            Stage::Online => now_ms.div_euclid(1000) - self.confirmed_ms.div_euclid(1000),
            _ => 0,
        }
    }

    /// Offset from which on the log must be kept for it.
    fn needs_from(&self) -> Option<u64> {
        matches!(self.stage, Stage::Sending | Stage::Online).then_some(self.cursor)
    }

    /// Bytes of the stream that wait for its connection.
    pub(crate) fn backlog_bytes(&self, offset: u64) -> u64 {
        self.needs_from().map_or(0, |cursor| offset.saturating_sub(cursor))
    }

    /// Whether the snapshot it gets is still being made.
    fn waits_for_end(&self) -> bool {
        self.bulk.as_ref().is_some_and(|bulk| bulk.source.length().is_none())
    }

    /// Whether it waits for the snapshot file.
    pub(super) fn waits_for_file(&self) -> bool {
        self.bulk.as_ref().is_some_and(|bulk| matches!(bulk.source, Source::File(None)))
    }

    /// Where the snapshot it waits for comes from is known now.
    pub(super) fn begin_with(&mut self, source: Source) {
        if let Some(bulk) = &mut self.bulk {
            bulk.source = source;
        }
    }

    /// Whether nothing of a snapshot was sent yet, so that empty lines can be.
    pub(super) fn awaits_snapshot(&self) -> bool {
        self.stage == Stage::Waiting
            || self.bulk.as_ref().is_some_and(|bulk| !bulk.announced && self.waits_for_end())
    }

    /// Whether it has all that was made of its snapshot so far, and more is to come.
    pub(super) fn waits_for_more(&self) -> bool {
        self.bulk.as_ref().is_some_and(|bulk| !bulk.has_more())
    }

    /// Whether its connection could take something now.
    fn has_piece(&self, offset: u64) -> bool {
        self.bulk.as_ref().is_some_and(Bulk::has_more)
            || (self.stage == Stage::Online && !self.awaits_confirmation && self.cursor < offset)
    }

    /// Appends the next pieces to `out`. True when the snapshot is over with them.
    fn take(&mut self, log: Option<&StreamLog>, out: &mut Vec<u8>) -> io::Result<bool> {
        let mut completed = false;
        while out.len() < PIECE_BYTES {
            let room = PIECE_BYTES - out.len();
            if let Some(bulk) = &mut self.bulk {
                if bulk.take(room, out)? {
                    self.bulk = None;
                    completed = true;
                    continue;
                }
                if out.len() < PIECE_BYTES {
                    break;
                }
                continue;
            }
            if self.stage != Stage::Online && !completed || self.awaits_confirmation {
                break;
            }
            let stream = log.map(|log| log.read(self.cursor)).unwrap_or_default();
            if stream.is_empty() || self.snapshot_only {
                break;
            }
            let piece = &stream[..stream.len().min(room)];
            out.extend_from_slice(piece);
            self.cursor += piece.len() as u64;
        }
        Ok(completed)
    }
}

impl Bulk {
    fn has_more(&self) -> bool {
        let may_begin = self.announced || self.mark.is_some() || self.source.length().is_some();
        may_begin && self.source.has_more()
    }

    /// Appends the next pieces to `out`. True when it is over with them.
    fn take(&mut self, room: usize, out: &mut Vec<u8>) -> io::Result<bool> {
        if !self.announced {
            let announcement = match (&self.mark, self.source.length()) {
                (Some(mark), _) => format!("$EOF:{mark}\r\n"),
                (None, Some(length)) => format!("${length}\r\n"),
                (None, None) => return Ok(false),
            };
            out.extend_from_slice(announcement.as_bytes());
            self.announced = true;
        }
        self.source.take(room, out)?;
        if self.source.is_done() {
            out.extend_from_slice(self.mark.take().unwrap_or_default().as_bytes());
            return Ok(true);
        }
        Ok(false)
    }
}

/// How a server is called in the log.
fn peer_name(session: &Session, replica: &Replica) -> String {
    let ip = replica.ip(session);
    match replica.listening_port {
        0 => format!("{ip}:<unknown-replica-port>"),
        port => format!("{ip}:{port}"),
    }
}

impl Engine {
    /// How a replica is called in the log.
    pub(crate) fn replica_name(&self, client: ClientSlot) -> String {
        let Some(session) = self.sessions.get(client) else { return String::new() };
        match &session.replica {
            Some(replica) => peer_name(session, replica),
            None => peer_name(session, &Replica::default()),
        }
    }

    /// The clients that get the stream or wait for it.
    pub fn replicas(&self) -> impl Iterator<Item = (&Session, &Replica)> {
        self.replication.replicas.iter().filter_map(|slot| {
            let session = self.sessions.get(*slot)?;
            Some((session, session.replica.as_deref()?))
        })
    }

    fn replica_mut(&mut self, client: ClientSlot) -> Option<&mut Replica> {
        self.sessions.get_mut(client)?.replica.as_deref_mut()
    }

    /// Adds effects of this server's commands to the stream.
    pub(crate) fn feed_replicas(&mut self, stream: &[u8]) {
        if self.replication.is_replica() {
            return;
        }
        self.replication.extend(stream, self.config.repl_backlog_size);
        self.wake_replicas();
    }

    /// Lets the replicas take what is new, and forgets what none of them needs.
    pub(super) fn wake_replicas(&mut self) {
        // From the last to the first, because one that is over its limit leaves.
        for index in (0..self.replication.replicas.len()).rev() {
            let Some(slot) = self.replication.replicas.get(index).copied() else { continue };
            if let Some(session) = self.sessions.get(slot)
                && session.replica.as_ref().is_some_and(|replica| replica.stage == Stage::Online)
                && self.current_client != Some(slot)
            {
                session.wake();
            }
            self.enforce_output_limit(slot);
        }
        self.trim_log();
    }

    /// Forgets what is neither needed by a replica nor within `repl-backlog-size`.
    pub(crate) fn trim_log(&mut self) {
        let needed = self.replicas().filter_map(|(_, replica)| replica.needs_from()).min();
        let size = self.config.repl_backlog_size;
        if let Some(log) = &mut self.replication.log {
            log.trim(size, needed);
        }
    }

    /// Appends to `out` what a replica's connection is to send next.
    pub(crate) fn take_stream(&mut self, client: ClientSlot, out: &mut Vec<u8>) {
        let (before, now_ms) = (out.len(), self.now_ms());
        let Some(session) = self.sessions.get_mut(client) else { return };
        let Some(replica) = session.replica.as_deref_mut() else { return };
        if !replica.is_attached() {
            return;
        }
        let completed = replica.take(self.replication.log.as_ref(), out);
        if out.len() > before {
            replica.taken_ms = now_ms;
        }
        self.replication.stats.output_bytes += (out.len() - before) as u64;
        match completed {
            Ok(true) => self.snapshot_sent(client),
            Ok(false) => {}
            Err(error) => {
                self.log_warning(&format!("Read error sending DB to replica: {error}"));
                self.kill(client);
            }
        }
    }

    /// Whether a replica's connection should come again as soon as its buffer is empty.
    pub fn has_stream_for(&self, client: ClientSlot) -> bool {
        let replica = self.sessions.get(client).and_then(|session| session.replica.as_ref());
        replica.is_some_and(|replica| replica.has_piece(self.replication.offset))
    }

    /// The last byte of the snapshot is with the connection.
    fn snapshot_sent(&mut self, client: ClientSlot) {
        let now_ms = self.now_ms();
        let name = self.replica_name(client);
        let Some(session) = self.sessions.get_mut(client) else { return };
        let Some(replica) = session.replica.as_deref_mut() else { return };
        replica.stage = Stage::Online;
        replica.confirmed_ms = now_ms;
        if replica.snapshot_only {
            session.close_after_reply = true;
            session.wake();
        }
        self.log_notice(&format!("Synchronization with replica {name} succeeded"));
    }

    /// Makes a client a replica that waits for its snapshot.
    pub(crate) fn attach_replica(&mut self, client: ClientSlot, confirms_nothing: bool) {
        let now_ms = self.now_ms();
        self.replication.stats.full += 1;
        if self.replication.log.is_none() {
            // What happened without a log is in no stream.
            self.new_stream_id();
            self.replication.log = Some(StreamLog::new(self.replication.offset));
            self.replication.pinged_ms = now_ms;
            let id = &self.replication.id;
            let message = format!(
                "Replication backlog created, my new replication IDs are '{id}' and '{}'",
                super::NO_ID
            );
            self.log_notice(&message);
        }
        let Some(session) = self.sessions.get_mut(client) else { return };
        // The stream is all it gets; what it sends is not answered.
        session.reply_mode = ReplyMode::Off;
        session.gathers_packets = self.config.repl_disable_tcp_nodelay;
        let replica = session.replica.get_or_insert_default();
        replica.stage = Stage::Waiting;
        replica.waiting_since_ms = now_ms;
        replica.confirms_nothing = confirms_nothing;
        self.replication.replicas.push(client);
        self.update_recording();
        let Some(replica) = self.replica_mut(client) else { return };
        let marks = replica.takes_marks;
        if self.config.repl_diskless_sync && marks && self.config.repl_diskless_sync_delay > 0 {
            self.log_notice("Delay next BGSAVE for diskless SYNC");
        } else {
            self.start_shipment();
        }
    }

    /// Sends a snapshot to the replicas that have waited for company long enough.
    pub(super) fn serve_waiting_replicas(&mut self) {
        let now_ms = self.now_ms();
        let waiting: Vec<(ClientSlot, i64)> = self
            .replication
            .replicas
            .iter()
            .filter_map(|slot| {
                let replica = self.sessions.get(*slot)?.replica.as_deref()?;
                let waits = replica.stage == Stage::Waiting;
                waits.then_some((*slot, now_ms - replica.waiting_since_ms))
            })
            .collect();
        let longest_ms = waiting.iter().map(|(_, ms)| *ms).max().unwrap_or(0);
        let delay_ms = i64::from(self.config.repl_diskless_sync_delay) * 1000;
        let enough = self.config.repl_diskless_sync_max_replicas as usize;
        let complete = enough > 0 && waiting.len() >= enough;
        let delayed = self.config.repl_diskless_sync;
        if !waiting.is_empty() && (!delayed || longest_ms >= delay_ms || complete) {
            self.start_shipment();
        }
    }

    /// Begins a snapshot for all that wait for one, unless another is being made: then they wait
    /// for its end. Those that want parts of one get theirs in turn.
    fn start_shipment(&mut self) {
        if self.persistence.job.is_some() {
            self.log_notice("Waiting for the end of the present BGSAVE for SYNC");
            return;
        }
        if self.scripting.is_running() {
            // What a slow script has done so far would be in the snapshot and in the stream behind it.
            return;
        }
        let replicas = self.replication.replicas.iter().copied();
        let waiting = replicas.filter(|slot| {
            let replica = self.sessions.get(*slot).and_then(|session| session.replica.as_ref());
            replica.is_some_and(|replica| replica.stage == Stage::Waiting)
        });
        let waiting: Vec<ClientSlot> = waiting.collect();
        let Some(parts) = waiting.first().map(|first| self.parts(*first)) else { return };
        // Who has to know the length first gets a file: all of the snapshot would have to be kept for
        // it. A file with parts of the data would be in the place of one with all of them.
        let find_ends = waiting.iter().all(|slot| self.finds_end(*slot));
        let by_file = !(self.config.repl_diskless_sync && find_ends) && parts == (true, true);
        let shipment = (!by_file).then(Shipment::default);
        self.replication.shipped_to.clear();
        for slot in waiting {
            if self.parts(slot) == parts {
                self.send_shipment(slot, shipment.as_ref());
                self.replication.shipped_to.push(slot);
            }
        }
        let begun = match shipment {
            Some(shipment) => self.make_shipment(parts, shipment),
            None => self.start_file_for_replicas(),
        };
        if let Err(error) = begun {
            self.log_warning(error.text());
            let error = io::Error::other(error.text().to_owned());
            self.shipment_ended(Err(error));
            return;
        }
        // What follows the snapshot says where it belongs.
        self.propagation.forget_selection();
        self.begin_quickly();
    }

    /// Begins to make a snapshot with keys, libraries or both.
    fn make_shipment(
        &mut self,
        parts: (bool, bool),
        shipment: Shipment,
    ) -> Result<(), CommandError> {
        self.replication.shipment = Some(shipment.clone());
        let meta = self.replica_meta();
        match parts {
            (true, true) => {
                let options = self.write_options();
                let format = Box::new(RdbFormat::new(&self.keyspace, options, false));
                self.start_snapshot(Purpose::Replicas, format, shipment.sink(), &meta)?;
                let pid = std::process::id();
                self.log_notice(&format!("Background RDB transfer started by pid {pid}"));
            }
            (keys, libraries) => {
                let bytes = self.snapshot_of(keys, libraries)?;
                let mut sink = shipment.sink();
                sink.push(bytes);
                sink.finish();
                self.replication.shipment = None;
            }
        }
        Ok(())
    }

    /// A small snapshot is complete before anybody waits for it.
    fn begin_quickly(&mut self) {
        let start_us = self.clock.monotonic_us();
        while self.persistence.job.as_ref().is_some_and(|job| job.purpose == Purpose::Replicas)
            && self.clock.monotonic_us().saturating_sub(start_us) < QUICK_US
        {
            let walked = self.persistence.job.as_ref().is_some_and(Job::is_walked);
            if self.snapshot_cycle(QUICK_US) == Pace::Wait && walked {
                break;
            }
            let walks = self.persistence.job.as_ref().is_some_and(|job| !job.is_walked());
            if walks && self.config.rdb_key_save_delay != 0 {
                break;
            }
        }
    }

    /// The snapshot for replicas is made, or was given up.
    pub(crate) fn shipment_ended(&mut self, outcome: io::Result<u64>) {
        self.replication.shipment = None;
        match outcome {
            Ok(bytes) => {
                if self.config.repl_diskless_sync {
                    let up = self.replication.shipped_to.len();
                    self.log_notice(&format!(
                        "Diskless rdb transfer, done reading from pipe, {up} replicas still up."
                    ));
                }
                self.log_notice(&format!("Background RDB transfer made {bytes} bytes"));
            }
            Err(error) => {
                self.log_warning(&format!("Background transfer error: {error}"));
                for slot in self.replication.replicas.clone() {
                    let replica = self.sessions.get(slot).and_then(|it| it.replica.as_ref());
                    if replica.is_some_and(|replica| replica.waits_for_end()) {
                        self.kill(slot);
                    }
                }
            }
        }
    }

    /// Gives the snapshot for replicas up when none of them is left.
    pub(super) fn drop_abandoned_shipment(&mut self) {
        let abandoned = self.replication.shipment.as_ref().is_some_and(Shipment::is_abandoned);
        let makes_it =
            self.persistence.job.as_ref().is_some_and(|job| job.purpose == Purpose::Replicas);
        if abandoned && makes_it {
            self.log_warning("Diskless rdb transfer, last replica dropped, killing fork child.");
            self.cancel_snapshot();
        }
    }

    /// Whether a replica wants keys and whether it wants libraries.
    fn parts(&self, client: ClientSlot) -> (bool, bool) {
        let replica = self.sessions.get(client).and_then(|session| session.replica.as_ref());
        replica.map_or((true, true), |it| (!it.without_keys, !it.without_libraries))
    }

    /// Whether a replica finds the end of a snapshot without having been told its length.
    fn finds_end(&self, client: ClientSlot) -> bool {
        let replica = self.sessions.get(client).and_then(|session| session.replica.as_ref());
        replica.is_some_and(|it| it.takes_marks)
    }

    /// Greets a replica that gets a shipment, or else the snapshot file when it is complete.
    fn send_shipment(&mut self, client: ClientSlot, shipment: Option<&Shipment>) {
        let mark = super::random_id(&mut self.rng);
        let (id, offset) = (self.replication.id.clone(), self.replication.offset);
        let (diskless, now_ms) = (self.config.repl_diskless_sync, self.now_ms());
        let target = if shipment.is_some() { "replicas sockets" } else { "disk" };
        self.log_notice(&format!("Starting BGSAVE for SYNC with target: {target}"));
        let current = self.current_client;
        let Some(session) = self.sessions.get_mut(client) else { return };
        let waker = session.waker.clone();
        let Some(replica) = session.replica.as_deref_mut() else { return };
        if !replica.confirms_nothing {
            let greeting = format!("+FULLRESYNC {id} {offset}\r\n");
            session.outbox.extend_from_slice(greeting.as_bytes());
        }
        let marked = diskless && shipment.is_some() && replica.takes_marks;
        replica.stage = Stage::Sending;
        replica.cursor = offset;
        replica.confirmed_offset = offset;
        replica.taken_ms = now_ms;
        // One that looks for the mark at the end of what it read must not read more.
        replica.awaits_confirmation = marked;
        let source = match shipment {
            Some(shipment) => Source::Shipment(shipment.reader(waker, !marked)),
            None => Source::File(None),
        };
        replica.bulk = Some(Bulk { source, mark: marked.then_some(mark), announced: false });
        if current != Some(client) {
            session.wake();
        }
    }

    fn replica_meta(&self) -> Meta {
        Meta {
            // A master names the database again after a snapshot; one in between cannot.
            stream_db: self.replication.is_replica().then_some(self.replication.stream_db),
            ..self.snapshot_meta()
        }
    }

    /// The data as an RDB file.
    pub(crate) fn snapshot(&self) -> Result<Vec<u8>, CommandError> {
        self.snapshot_of(true, true)
    }

    fn snapshot_of(&self, keys: bool, libraries: bool) -> Result<Vec<u8>, CommandError> {
        let meta = self.replica_meta();
        let empty = perilune_keyspace::Keyspace::new(0);
        let keyspace = if keys { &self.keyspace } else { &empty };
        let codes = self.scripting.libraries().iter().map(|library| &*library.code);
        let codes = codes.filter(|_| libraries);
        let mut file = Vec::new();
        match write_snapshot(keyspace, codes, &meta, &mut file) {
            Ok(()) => Ok(file),
            Err(error) => Err(errors::snapshot_failed(&error)),
        }
    }

    /// Lets a client go on with the stream from `offset` on, if that is possible.
    pub(crate) fn resume_replica(&mut self, client: ClientSlot, id: &[u8], next: i64) -> bool {
        let name = self.replica_name(client);
        let Some(shared) = self.replication.shared_with(id) else {
            let message = match id.first() {
                Some(b'?') => format!("Full resync requested by replica {name}"),
                _ => format!(
                    "Partial resynchronization not accepted: Replication ID mismatch (Replica \
                     asked for '{}', my replication IDs are '{}' and '{}')",
                    String::from_utf8_lossy(id),
                    self.replication.id,
                    self.replication.former.as_ref().map_or(super::NO_ID, |former| &former.id),
                ),
            };
            self.log_notice(&message);
            return false;
        };
        // It names the first byte it misses, counted from one.
        let offset = u64::try_from(next).ok().and_then(|next| next.checked_sub(1));
        let held = self.replication.log.as_ref();
        let offset = offset
            .filter(|offset| *offset <= shared && held.is_some_and(|log| log.reaches(*offset)));
        let Some(offset) = offset else {
            let message = format!(
                "Unable to partial resync with replica {name} for lack of backlog (Replica \
                 request was: {next})."
            );
            self.log_notice(&message);
            return false;
        };
        self.go_on(client, offset);
        let bytes = self.replication.offset - offset;
        self.log_notice(&format!(
            "Partial resynchronization request from {name} accepted. Sending {bytes} bytes of \
             backlog starting from offset {next}."
        ));
        true
    }

    fn go_on(&mut self, client: ClientSlot, offset: u64) {
        let now_ms = self.now_ms();
        let id = self.replication.id.clone();
        let Some(session) = self.sessions.get_mut(client) else { return };
        session.reply_mode = ReplyMode::Off;
        let replica = session.replica.get_or_insert_default();
        replica.stage = Stage::Online;
        replica.confirmed_ms = now_ms;
        replica.cursor = offset;
        let greeting = match replica.takes_new_ids {
            true => format!("+CONTINUE {id}\r\n"),
            false => "+CONTINUE\r\n".to_owned(),
        };
        session.outbox.extend_from_slice(greeting.as_bytes());
        self.replication.stats.partial += 1;
        self.replication.replicas.push(client);
        self.update_recording();
    }

    /// Takes the offsets that a replica confirms: what it has, and what it has on disk.
    pub(crate) fn replica_confirms(&mut self, client: ClientSlot, offset: u64, disk: Option<u64>) {
        let now_ms = self.now_ms();
        let Some(replica) = self.replica_mut(client).filter(|replica| replica.is_attached()) else {
            return;
        };
        replica.confirmed_offset = replica.confirmed_offset.max(offset);
        if let Some(disk) = disk {
            replica.confirmed_disk_offset = replica.confirmed_disk_offset.max(disk);
        }
        replica.confirmed_ms = now_ms;
        if replica.stage == Stage::Online {
            replica.awaits_confirmation = false;
        }
        self.serve_confirmation_waiters();
        self.serve_sync_waiters();
    }

    /// Closes a replica whose command made a reply: there is no place for one in the stream.
    #[cold]
    pub(crate) fn close_talking_replica(&mut self, client: ClientSlot, reply: &[u8]) {
        let Some(session) = self.sessions.get(client) else { return };
        let (command, addr) = (session.last_command, session.peer.addr.clone());
        if reply.first() == Some(&b'-') {
            let reply = String::from_utf8_lossy(reply);
            self.log_warning(&format!(
                "== CRITICAL == This master is sending an error to its replica: '{}' after \
                 processing the command '{command}'",
                reply.trim_end(),
            ));
        }
        self.log_warning(&format!(
            "Replica generated a reply to command '{command}', disconnecting it: {addr}"
        ));
        self.kill(client);
    }

    /// An empty line of a replica that is busy: it lives.
    pub(crate) fn replica_lives(&mut self, client: ClientSlot) {
        let now_ms = self.now_ms();
        if let Some(replica) = self.replica_mut(client) {
            replica.confirmed_ms = now_ms;
        }
    }

    /// Number of replicas that have confirmed the stream up to `offset`.
    pub(crate) fn count_confirmations(&self, offset: u64) -> usize {
        let confirmed = |replica: &Replica| {
            replica.stage == Stage::Online && replica.confirmed_offset >= offset
        };
        self.replicas().filter(|(_, replica)| confirmed(replica)).count()
    }

    /// Number of replicas that have the stream up to `offset` on disk.
    pub(crate) fn count_disk_confirmations(&self, offset: u64) -> usize {
        let confirmed = |replica: &Replica| {
            replica.stage == Stage::Online && replica.confirmed_disk_offset >= offset
        };
        self.replicas().filter(|(_, replica)| confirmed(replica)).count()
    }

    /// Number of replicas that are not too far behind for `min-replicas-max-lag`.
    pub(crate) fn count_good_replicas(&self) -> usize {
        let now_ms = self.now_ms();
        let lag_max = i64::from(self.config.min_replicas_max_lag);
        let good =
            |replica: &Replica| replica.stage == Stage::Online && replica.lag_s(now_ms) <= lag_max;
        self.replicas().filter(|(_, replica)| good(replica)).count()
    }

    /// Ends the stream to a client.
    pub(crate) fn stop_replicating(&mut self, client: ClientSlot) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        if session.replica.take().is_some_and(|replica| replica.is_attached()) {
            self.replication.replicas.retain(|slot| *slot != client);
            self.replication.shipped_to.retain(|slot| *slot != client);
            if self.replication.replicas.is_empty() {
                self.replication.unattended_since_ms = self.now_ms();
            }
            self.trim_log();
            self.drop_abandoned_shipment();
        }
    }

    /// Closes all replicas, which will come back and hear of the new state.
    pub(crate) fn disconnect_replicas(&mut self) {
        for client in self.replication.replicas.clone() {
            self.kill(client);
        }
    }
}
