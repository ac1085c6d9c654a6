//! Two engines that speak with each other without a network.

use super::handshake::{Handshake, Introduction, Progress};
use super::payload::Payload;
use super::upstream::LinkState;
use crate::config::Config;
use crate::engine::Engine;
use crate::environment::{BusyPort, ShutdownRequest};
use crate::persistence::Pace;
use crate::session::{ClientSlot, PeerInfo, Waker};
use crate::test_support::{HandClock, TestEngine};
use perilune_persist::{NoStorage, Storage};
use perilune_resp::{Decoder, DecoderLimits, Protocol, ReplyWriter, RespWriter};
use perilune_script::{
    CompileError, FunctionSpec, Handle, Invocation, ScriptEngine, ScriptError, ScriptHost,
};
use perilune_testkit::CrashStorage;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Silent;

impl Waker for Silent {
    fn wake(&self) {}
}

/// A replica, its master, and the link between them.
struct Pair {
    master: TestEngine,
    replica: TestEngine,
    /// The link's end at the master.
    there: ClientSlot,
    /// The link's end at the replica.
    here: Option<ClientSlot>,
    /// What is on its way to the replica.
    wire: Vec<u8>,
    client: ClientSlot,
    reader: ClientSlot,
    /// What `GET a` answered at the replica while it took the last snapshot.
    while_loading: String,
}

impl Pair {
    /// A replica that follows its master.
    fn new() -> Self {
        let (mut master, mut replica) = (TestEngine::new(), TestEngine::new());
        let (client, there) = (master.client(), master.client());
        master.run(client, "CONFIG SET repl-diskless-sync-delay 0");
        let reader = replica.client();
        assert_eq!(replica.run(reader, "REPLICAOF master 6379"), "+OK\r\n");
        let mut pair = Pair {
            master,
            replica,
            there,
            here: None,
            wire: vec![],
            client,
            reader,
            while_loading: String::new(),
        };
        pair.link();
        pair
    }

    fn epoch(&self) -> u64 {
        self.replica.engine.replication.epoch
    }

    fn send(&mut self, bytes: &[u8]) {
        let mut decoder = Decoder::new(DecoderLimits::default());
        let mut rest = bytes;
        while let Ok(Some(used)) = decoder.decode(rest) {
            let argv: Vec<&[u8]> = decoder.args(rest).collect();
            let reply = self.master.run_words(self.there, &argv);
            self.wire.extend(reply);
            rest = &rest[used..];
        }
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        let end = self.wire.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.wire.drain(..=end).collect();
        Some(line.strip_suffix(b"\r\n").unwrap_or(&line[..end]).to_vec())
    }

    /// Leads the handshake, and loads the snapshot if there is one. False when it failed.
    fn link(&mut self) -> bool {
        self.wire.clear();
        let engine = &mut self.replica.engine;
        engine.set_link_state(LinkState::Connecting);
        engine.set_link_state(LinkState::Handshake);
        let (mut handshake, first) = Handshake::begin();
        self.send(&first);
        while let Some(line) = self.line() {
            match handshake.line(&mut self.replica.engine, &line) {
                Progress::Send(bytes) => self.send(&bytes),
                Progress::Continue(id) => {
                    let epoch = self.epoch();
                    let engine = &mut self.replica.engine;
                    let peer = PeerInfo::default();
                    self.here = engine.link_continues(epoch, id, peer, Arc::new(Silent));
                    return self.here.is_some();
                }
                Progress::Snapshot(stream, mut payload) => {
                    let (used, part) = payload.take(&self.wire);
                    self.wire.drain(..used);
                    assert!(payload.is_complete());
                    let order = self.replica.engine.load_order();
                    let epoch = self.epoch();
                    let engine = &mut self.replica.engine;
                    if order.store.is_some() {
                        assert!(engine.link_stored(epoch, part.len() as u64));
                    }
                    self.while_loading = self.replica.run(self.reader, "GET a");
                    let engine = &mut self.replica.engine;
                    let received = order.read(&mut part.as_slice());
                    let received = received.unwrap_or_else(|error| panic!("{error}"));
                    let (peer, waker) = (PeerInfo::default(), Arc::new(Silent));
                    self.here = engine.link_loaded(epoch, &stream, received, peer, waker);
                    return self.here.is_some();
                }
                Progress::Failed => return false,
            }
        }
        false
    }

    /// Lets both servers hear all that the other has said.
    fn settle(&mut self) {
        for _ in 0..4 {
            self.wire.extend(self.master.late(self.there).as_bytes());
            let Some(here) = self.here else { return };
            let wire = std::mem::take(&mut self.wire);
            let mut answers = Vec::new();
            self.replica.engine.begin_master_batch(here, wire.len(), &mut answers);
            let mut decoder = Decoder::new(DecoderLimits::default());
            let mut rest = wire.as_slice();
            while let Ok(Some(used)) = decoder.decode(rest) {
                let argv: Vec<&[u8]> = decoder.args(rest).collect();
                self.replica.engine.run_for_master(here, &argv, &rest[..used]);
                rest = &rest[used..];
            }
            self.wire = rest.to_vec();
            self.replica.engine.end_master_batch(here, &mut answers);
            self.send(&answers);
        }
    }

    /// Runs a command on the master and lets the replica hear of it.
    fn write(&mut self, command: &str) -> String {
        let reply = self.master.run(self.client, command);
        self.settle();
        reply
    }

    fn read(&mut self, command: &str) -> String {
        self.replica.run(self.reader, command)
    }

    fn pass_ms(&mut self, ms: u64) {
        self.master.pass_ms(ms);
        self.replica.pass_ms(ms);
    }

    /// The connection breaks.
    fn cut(&mut self) {
        let epoch = self.epoch();
        assert!(self.replica.engine.link_lost(epoch, "cut"));
        self.master.engine.disconnect(self.there);
        self.there = self.master.client();
        self.here = None;
    }

    fn offsets(&self) -> (u64, u64) {
        (self.master.engine.replication.offset, self.replica.engine.replication.offset)
    }

    fn info(server: &mut TestEngine, field: &str) -> String {
        let client = server.client();
        let text = server.run(client, "INFO replication");
        server.engine.disconnect(client);
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or("none").to_owned()
    }
}

#[test]
fn a_replica_has_the_data_and_what_follows() {
    let mut pair = Pair::new();
    pair.write("SET before 1");
    pair.write("SELECT 3");
    pair.write("RPUSH list a b");
    assert_eq!(pair.read("GET before"), "$1\r\n1\r\n");
    assert_eq!(pair.read("SELECT 3"), "+OK\r\n");
    assert_eq!(pair.read("LLEN list"), ":2\r\n");
    let (there, here) = pair.offsets();
    assert!(there > 0 && there == here, "{there} {here}");
}

#[test]
fn clients_of_a_replica_may_read_only() {
    let mut pair = Pair::new();
    assert!(pair.read("SET k v").starts_with("-READONLY You can't write"));
    assert!(pair.read("WAIT 1 0").starts_with("-ERR WAIT cannot be used"));
    pair.read("CONFIG SET replica-read-only no");
    assert_eq!(pair.read("SET k v"), "+OK\r\n");
    assert_eq!(pair.offsets().1, pair.offsets().0);
    let client = pair.client;
    assert_eq!(pair.master.run(client, "GET k"), "$-1\r\n");
}

#[test]
fn a_link_that_was_cut_goes_on_where_it_was() {
    let mut pair = Pair::new();
    pair.write("SET a 1");
    pair.cut();
    pair.write("SET b 2");
    assert!(pair.link());
    pair.settle();
    assert_eq!(pair.read("GET b"), "$1\r\n2\r\n");
    let stats = pair.master.engine.replication.stats;
    assert_eq!((stats.full, stats.partial), (1, 1));
    assert_eq!(pair.offsets().0, pair.offsets().1);
}

#[test]
fn a_link_that_was_cut_in_a_transaction_gets_all_of_it_again() {
    let mut pair = Pair::new();
    pair.write("SELECT 2");
    pair.write("SET n 1");
    let client = pair.client;
    for command in ["MULTI", "INCR n", "INCR n", "EXEC"] {
        pair.master.run(client, command);
    }
    let mut wire = pair.master.late(pair.there).into_bytes();
    let before = pair.offsets().1;
    wire.truncate(wire.len() - 8);
    pair.wire = wire;
    pair.settle();
    assert_eq!(pair.offsets().1, before);
    pair.cut();
    assert!(pair.link());
    pair.settle();
    pair.read("SELECT 2");
    assert_eq!(pair.read("GET n"), "$1\r\n3\r\n");
    assert_eq!(pair.offsets().0, pair.offsets().1);
}

#[test]
fn what_no_longer_is_in_the_log_takes_a_snapshot() {
    let mut pair = Pair::new();
    let client = pair.client;
    pair.master.run(client, "CONFIG SET repl-backlog-size 16384");
    pair.write("SET a 1");
    pair.cut();
    let big = vec![b'x'; 40_000];
    for key in [&b"k1"[..], b"k2", b"k3"] {
        pair.master.run_words(client, &[b"SET", key, &big]);
    }
    assert!(pair.link());
    pair.settle();
    assert_eq!(pair.read("STRLEN k3"), ":40000\r\n");
    assert_eq!(pair.master.engine.replication.stats.full, 2);
}

/// Has the replica lose so much of the stream that it takes a snapshot.
fn take_another_snapshot(pair: &mut Pair) {
    pair.cut();
    pair.master.run_words(pair.client, &[b"SET", b"big", &[b'x'; 2 << 20]]);
    assert!(pair.link());
    pair.settle();
    assert_eq!(pair.read("STRLEN big"), ":2097152\r\n");
}

#[test]
fn what_clients_see_while_a_snapshot_is_taken() {
    const LOADING: &str = "-LOADING Redis is loading the dataset in memory\r\n";
    let mut pair = Pair::new();
    assert_eq!(pair.while_loading, LOADING, "disabled: it is read from a file");
    pair.write("SET a 1");
    pair.replica.run(pair.reader, "CONFIG SET repl-diskless-load swapdb");
    take_another_snapshot(&mut pair);
    assert_eq!(pair.while_loading, "$1\r\n1\r\n", "the old data are of the same stream");
    pair.replica.run(pair.reader, "CONFIG SET repl-diskless-load on-empty-db");
    take_another_snapshot(&mut pair);
    assert_eq!(pair.while_loading, LOADING, "there are old data, so it is read from a file");
    assert_eq!(pair.read("GET a"), "$1\r\n1\r\n");
    // Another stream: the old data are kept and not shown.
    pair.replica.run(pair.reader, "CONFIG SET repl-diskless-load swapdb");
    pair.cut();
    pair.master.run(pair.client, "DEBUG CHANGE-REPL-ID");
    assert!(pair.link());
    assert_eq!(pair.while_loading, LOADING);
    assert_eq!(pair.replica.run(pair.reader, "GET a"), "$1\r\n1\r\n");
}

#[test]
fn a_transfer_that_breaks_leaves_what_there_was() {
    let mut pair = Pair::new();
    pair.write("SET a 1");
    pair.replica.run(pair.reader, "CONFIG SET repl-diskless-load swapdb");
    pair.cut();
    let introduced = Introduction { id: "1".repeat(40), offset: 7 };
    let payload = Payload::announced(b"$100").expect("a length");
    pair.replica.engine.begin_transfer(&introduced, &payload);
    assert!(pair.replica.run(pair.reader, "GET a").starts_with("-LOADING"));
    let epoch = pair.epoch();
    pair.replica.engine.link_lost(epoch, "cut");
    assert_eq!(pair.replica.run(pair.reader, "GET a"), "$1\r\n1\r\n");
}

#[test]
fn replaced_data_are_freed_where_the_parameter_says() {
    for (lazy, freed_later) in [("no", 0), ("yes", 1)] {
        let mut pair = Pair::new();
        pair.replica.run(pair.reader, &format!("CONFIG SET replica-lazy-flush {lazy}"));
        let before = pair.replica.engine.env.pending_disposals();
        take_another_snapshot(&mut pair);
        // The empty data that stood there while the snapshot was read count as well.
        let later = pair.replica.engine.env.pending_disposals() - before;
        assert_eq!(later, 2 * freed_later, "{lazy}");
    }
}

#[test]
fn a_snapshot_by_way_of_the_file() {
    let storage = Arc::new(CrashStorage::new());
    let config = Config { save: Vec::new(), ..Config::default() };
    let mut master = TestEngine::on(Arc::clone(&storage) as _, config).expect("consistent");
    let (client, replica) = (master.client(), master.client());
    master.run(client, "CONFIG SET repl-diskless-sync no rdb-del-sync-files yes");
    master.run(client, "SET a 1");
    master.run(replica, "REPLCONF capa eof");
    assert!(master.run(replica, "PSYNC ? -1").starts_with("+FULLRESYNC"));
    while master.engine.snapshot_cycle(1000) != Pace::Idle {}
    let file = PathBuf::from("dump.rdb");
    let length = storage.open(&file).and_then(|file| file.size()).expect("it is there");
    let sent = master.late(replica);
    assert!(sent.starts_with(&format!("${length}\r\nREDIS0011")), "{sent}");
    // It stays until the replica has all of it, and goes at the next round.
    master.engine.replication_timers();
    master.pass_ms(2000);
    master.engine.refresh_clock();
    master.engine.replication_timers();
    assert!(!storage.exists(&file).expect("known"), "nobody needs it");
}

#[test]
fn who_must_know_the_length_first_gets_a_file() {
    let storage = Arc::new(CrashStorage::new());
    let config = Config { save: Vec::new(), ..Config::default() };
    let mut master = TestEngine::on(storage, config).expect("consistent");
    let (client, replica) = (master.client(), master.client());
    master.run(client, "SET a 1");
    assert_eq!(master.run(replica, "SYNC"), "");
    assert!(master.engine.replication.shipment.is_none(), "it would be kept as a whole");
    while master.engine.snapshot_cycle(1000) != Pace::Idle {}
    let sent = master.late(replica);
    assert!(sent.starts_with('$') && sent.contains("REDIS0011"), "{sent}");
}

#[test]
fn who_waits_for_a_slow_snapshot_is_not_to_blame() {
    let mut master = TestEngine::new();
    let (client, replica) = (master.client(), master.client());
    master.run(client, "CONFIG SET repl-diskless-sync-delay 0 rdb-key-save-delay 2147483647");
    master.run(client, "MSET a 1 b 2 c 3");
    master.run(replica, "REPLCONF capa eof");
    assert!(master.run(replica, "PSYNC ? -1").starts_with("+FULLRESYNC"));
    for _ in 0..65 {
        master.pass_ms(1001);
        master.engine.refresh_clock();
        master.late(replica);
        master.engine.replication_timers();
    }
    assert!(master.engine.sessions.get(replica).is_some_and(|it| !it.killed));
    // What is there must be taken.
    master.run(client, "CONFIG SET rdb-key-save-delay 0");
    while master.engine.snapshot_cycle(1000) != Pace::Idle {}
    master.pass_ms(61_000);
    master.engine.refresh_clock();
    master.engine.replication_timers();
    assert!(master.engine.sessions.get(replica).is_none_or(|it| it.killed));
}

#[test]
fn a_snapshot_file_that_cannot_be_made_ends_those_that_wait() {
    let config = Config { repl_diskless_sync: false, ..Config::default() };
    let mut master = TestEngine::on(Arc::new(NoStorage), config).expect("consistent");
    let replica = master.client();
    master.run(replica, "PSYNC ? -1");
    assert!(master.engine.sessions.get(replica).is_none_or(|session| session.killed));
    assert!(master.engine.replication.replicas.is_empty());
}

#[test]
fn a_stored_snapshot_takes_its_place_or_goes() {
    let storage = Arc::new(CrashStorage::new());
    let mut replica = TestEngine::on(Arc::clone(&storage) as _, Config::default()).expect("one");
    let reader = replica.client();
    replica.run(reader, "REPLICAOF master 6379");
    let introduced = Introduction { id: "1".repeat(40), offset: 7 };
    let payload = Payload::announced(b"$5").expect("a length");
    let names = || storage.list(&PathBuf::new()).expect("a folder");
    for placed in [false, true] {
        replica.engine.begin_transfer(&introduced, &payload);
        let store = replica.engine.load_order().store.expect("disabled");
        let stored = store.write(&mut &b"bytes"[..]).expect("written");
        assert_eq!((stored.bytes(), names().len()), (5, 1));
        if placed {
            let mut text = String::new();
            let mut file = stored.place().expect("a place");
            file.read_to_string(&mut text).expect("read");
            assert_eq!((text.as_str(), names()), ("bytes", vec!["dump.rdb".to_owned()]));
        } else {
            drop(stored);
            assert!(names().is_empty());
        }
    }
}

#[test]
fn keys_past_their_time_are_hidden_until_the_master_removes_them() {
    let mut pair = Pair::new();
    pair.write("SET k v PX 10");
    pair.write("SET n 1 PX 10");
    pair.replica.pass_ms(20);
    assert_eq!(pair.read("GET k"), "$-1\r\n");
    assert_eq!(pair.read("DBSIZE"), ":2\r\n");
    // For the master the key was there.
    pair.write("INCR n");
    assert_eq!(Pair::info(&mut pair.replica, "unexpected_error_replies"), "none");
    assert_eq!(pair.replica.engine.replication.stats.failed_commands, 0);
    pair.master.pass_ms(20);
    pair.write("EXISTS k n");
    assert_eq!(pair.read("DBSIZE"), ":0\r\n");
}

#[test]
fn a_replica_that_takes_over_can_be_followed_by_those_of_its_master() {
    let mut pair = Pair::new();
    pair.write("SET a 1");
    let old = pair.master.engine.replication.id.clone();
    let offset = pair.offsets().1;
    pair.cut();
    assert_eq!(pair.read("REPLICAOF NO ONE"), "+OK\r\n");
    assert_eq!(Pair::info(&mut pair.replica, "role"), "master");
    assert_eq!(Pair::info(&mut pair.replica, "master_replid2"), old);
    let next = (offset + 1).to_string();
    assert_eq!(Pair::info(&mut pair.replica, "second_repl_offset"), next);
    pair.read("SET b 2");
    let follower = pair.replica.client();
    pair.replica.run(follower, "REPLCONF capa psync2");
    let id = pair.replica.engine.replication.id.clone();
    let answer = pair.replica.run(follower, &format!("PSYNC {old} {next}"));
    assert!(answer.starts_with(&format!("+CONTINUE {id}\r\n*2\r\n$6\r\nSELECT")), "{answer}");
}

#[test]
fn waiting_for_confirmations() {
    let mut pair = Pair::new();
    pair.write("SET a 1");
    assert_eq!(pair.write("WAIT 1 0"), "");
    let client = pair.client;
    pair.master.engine.end_batch(client, 1, &mut Vec::new());
    pair.settle();
    assert_eq!(pair.master.late(client), ":1\r\n");
    assert_eq!(pair.master.run(client, "WAIT 1 0"), ":1\r\n");
    pair.master.run(client, "SET a 2");
    assert_eq!(pair.master.run(client, "WAIT 2 10"), "");
    pair.master.pass_ms(20);
    assert_eq!(pair.master.late(client), ":0\r\n");
}

#[test]
fn a_silent_replica_is_closed_and_a_silent_master_given_up() {
    let mut pair = Pair::new();
    pair.write("SET a 1");
    pair.pass_ms(61_500);
    pair.master.engine.sample_cycle();
    assert_eq!(Pair::info(&mut pair.master, "connected_slaves"), "0");
    pair.replica.engine.sample_cycle();
    assert_eq!(Pair::info(&mut pair.replica, "master_link_status"), "down");
    let reader = pair.reader;
    pair.replica.run(reader, "CONFIG SET replica-serve-stale-data no");
    assert!(pair.read("GET a").starts_with("-MASTERDOWN Link with MASTER is down"));
    assert!(pair.read("REPLICAOF NO ONE").starts_with("+OK"));
    assert_eq!(pair.read("GET a"), "$1\r\n1\r\n");
}

#[test]
fn a_master_that_goes_silent_in_the_handshake_fails_it() {
    let mut pair = Pair::new();
    pair.cut();
    let engine = &mut pair.replica.engine;
    let (mut handshake, _) = Handshake::begin();
    assert!(matches!(handshake.line(engine, b"-ERR no"), Progress::Failed));
    let (mut handshake, _) = Handshake::begin();
    assert!(matches!(handshake.line(engine, b"-NOAUTH x"), Progress::Send(_)));
    assert!(matches!(handshake.line(engine, b"+OK"), Progress::Send(_)));
    assert!(matches!(handshake.line(engine, b"-ERR old"), Progress::Send(_)));
    assert!(matches!(handshake.line(engine, b""), Progress::Send(_)));
    assert!(matches!(handshake.line(engine, b"-LOADING x"), Progress::Failed));
}

#[test]
fn a_replica_serves_replicas_with_its_masters_stream() {
    let mut pair = Pair::new();
    pair.write("SELECT 5");
    pair.write("SET a 1");
    let sub = pair.replica.client();
    pair.read("CONFIG SET repl-diskless-sync-delay 0");
    pair.replica.run(sub, "REPLCONF capa eof");
    let greeting = pair.replica.run(sub, "SYNC");
    assert!(greeting.starts_with("$EOF:") && greeting.contains("repl-stream-db"), "{greeting}");
    pair.replica.run(sub, "REPLCONF ACK 0");
    pair.write("SET b 2");
    assert_eq!(pair.replica.late(sub), "*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$1\r\n2\r\n");
    pair.cut();
    let other = pair.replica.client();
    assert!(pair.replica.run(other, "SYNC").starts_with("-NOMASTERLINK"));
}

#[test]
fn waiting_clients_hear_of_the_new_role() {
    let mut server = TestEngine::new();
    let (client, waiter) = (server.client(), server.client());
    server.run(waiter, "BLPOP l 0");
    server.run(client, "REPLICAOF host 1");
    assert!(server.late(waiter).starts_with("-UNBLOCKED force unblock from blocking operation, "));
    assert_eq!(
        server.run(client, "REPLICAOF host 1"),
        "+OK Already connected to specified master\r\n"
    );
    assert!(server.run(client, "ROLE").contains("slave"));
    assert!(server.run(client, "REPLICAOF host x").starts_with("-ERR"));
}

impl Pair {
    /// Leads the handshake of the master, who hands over, with the replica. The last line of it.
    fn hand_over(&mut self) -> String {
        let link = self.replica.client();
        let (mut handshake, first) = Handshake::begin();
        let mut request = first;
        loop {
            let mut decoder = Decoder::new(DecoderLimits::default());
            let used = decoder.decode(&request).expect("a request").expect("all of it");
            assert_eq!(used, request.len());
            let argv: Vec<&[u8]> = decoder.args(&request).collect();
            let reply = self.replica.run_words(link, &argv);
            let line = String::from_utf8_lossy(&reply).into_owned();
            let line = line.lines().next().expect("an answer").to_owned();
            match handshake.line(&mut self.master.engine, line.as_bytes()) {
                Progress::Send(bytes) => request = bytes,
                _ => return line,
            }
        }
    }
}

#[test]
fn a_failover_hands_the_role_to_a_replica_that_has_everything() {
    let mut pair = Pair::new();
    pair.write("SET k 1");
    let client = pair.client;
    assert_eq!(pair.master.run(client, "FAILOVER TIMEOUT 5000"), "+OK\r\n");
    assert_eq!(Pair::info(&mut pair.master, "master_failover_state"), "waiting-for-sync");
    let error = pair.master.run(client, "FAILOVER");
    assert_eq!(error, "-ERR FAILOVER already in progress.\r\n");
    pair.settle();
    pair.replica.engine.confirm_upstream();
    pair.settle();
    pair.master.engine.failover_tick();
    assert_eq!(Pair::info(&mut pair.master, "master_failover_state"), "failover-in-progress");
    assert_eq!(Pair::info(&mut pair.master, "role"), "slave");
    assert!(pair.hand_over().starts_with("+CONTINUE"));
    assert_eq!(Pair::info(&mut pair.master, "master_failover_state"), "no-failover");
    assert_eq!(Pair::info(&mut pair.replica, "role"), "master");
    assert!(!pair.master.engine.pauses.may_hold());
}

/// Ends the server without a snapshot.
const END: ShutdownRequest = ShutdownRequest { save: Some(false), now: false, force: false };

#[test]
fn a_client_cannot_end_the_pause_before_the_end() {
    let mut pair = Pair::new();
    let client = pair.client;
    pair.master.run(client, "SET k 1");
    pair.master.engine.begin_shutdown(END);
    assert!(pair.master.engine.shutdown_in_ms().is_some(), "the replica lags");
    assert_eq!(pair.master.run(client, "CLIENT UNPAUSE"), "+OK\r\n");
    assert_eq!(pair.master.run(client, "SET k 2"), "");
    assert!(pair.master.engine.abort_shutdown().is_ok());
    pair.master.pass_ms(0);
    assert_eq!(pair.master.late(client), "+OK\r\n");
}

#[test]
fn the_pause_of_a_client_outlives_an_end_that_is_called_off() {
    let mut pair = Pair::new();
    let (client, other) = (pair.client, pair.master.client());
    pair.master.run(client, "SET k 1");
    pair.master.run(client, "CLIENT PAUSE 3600000 WRITE");
    pair.master.engine.begin_shutdown(END);
    assert_eq!(pair.master.run(other, "SET k 2"), "");
    assert!(pair.master.engine.abort_shutdown().is_ok());
    pair.master.pass_ms(1000);
    assert_eq!(pair.master.late(other), "");
    assert_eq!(pair.master.run(client, "CLIENT UNPAUSE"), "+OK\r\n");
    pair.master.pass_ms(0);
    assert_eq!(pair.master.late(other), "+OK\r\n");
}

#[test]
fn the_pause_of_a_client_ends_during_a_failover() {
    let mut pair = Pair::new();
    let (client, other) = (pair.client, pair.master.client());
    pair.master.run(client, "SET k 1");
    assert_eq!(pair.master.run(client, "FAILOVER"), "+OK\r\n");
    pair.master.run(client, "CLIENT PAUSE 1000 ALL");
    assert_eq!(pair.master.run(client, "SET k 2"), "");
    assert_eq!(pair.master.run(other, "GET k"), "");
    pair.master.pass_ms(1000);
    assert_eq!(pair.master.late(other), "$1\r\n1\r\n");
    assert_eq!(pair.master.late(client), "", "writes wait for the failover");
    assert_eq!(pair.master.run(other, "FAILOVER ABORT"), "+OK\r\n");
    pair.master.pass_ms(0);
    assert_eq!(pair.master.late(client), "+OK\r\n");
}

#[test]
fn a_failover_that_takes_too_long_or_is_refused_changes_nothing() {
    let mut pair = Pair::new();
    let client = pair.client;
    pair.master.run(client, "SET k 1");
    assert_eq!(pair.master.run(client, "FAILOVER TIMEOUT 100"), "+OK\r\n");
    pair.master.pass_ms(101);
    pair.master.engine.failover_tick();
    assert_eq!(Pair::info(&mut pair.master, "master_failover_state"), "no-failover");
    assert_eq!(pair.master.run(client, "SET k 2"), "+OK\r\n");
    pair.settle();
    assert_eq!(pair.master.run(client, "FAILOVER"), "+OK\r\n");
    pair.replica.engine.confirm_upstream();
    pair.settle();
    pair.master.engine.failover_tick();
    pair.replica.run(pair.reader, "ACL SETUSER default -psync");
    assert!(pair.hand_over().starts_with("-NOPERM"));
    assert_eq!(Pair::info(&mut pair.master, "role"), "master");
    assert_eq!(pair.master.run(client, "SET k 3"), "+OK\r\n");
}

#[test]
fn a_stream_too_far_to_be_counted_on_is_refused() {
    let mut replica = TestEngine::new();
    let client = replica.client();
    replica.run(client, "REPLICAOF master 6379");
    for (offset, accepted) in [(u64::MAX, false), (1 << 63, false), ((1 << 63) - 1, true)] {
        let (mut handshake, _) = Handshake::begin();
        for _ in 0..3 {
            handshake.line(&mut replica.engine, b"+OK");
        }
        let line = format!("+FULLRESYNC {} {offset}", "a".repeat(40));
        let progress = handshake.line(&mut replica.engine, line.as_bytes());
        assert_eq!(matches!(progress, Progress::Send(_)), accepted, "{offset}: {progress:?}");
    }
}

#[test]
fn the_master_is_not_among_the_clients_that_can_be_evicted() {
    let mut pair = Pair::new();
    pair.read("CONFIG SET maxmemory-clients 1000000");
    pair.write("SET k v");
    let sessions = &pair.replica.engine.sessions;
    let master = pair.here.and_then(|here| sessions.get(here)).expect("the link is up");
    assert_eq!((master.counted_memory, master.memory_class), (0, None));
}

/// Counts how often a connection was woken.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Waker for Counter {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn one_that_is_closed_for_its_backlog_keeps_nothing_from_the_next() {
    let mut master = TestEngine::new();
    let (client, slow) = (master.client(), master.client());
    let wakes = Arc::new(Counter::default());
    let waker = Arc::clone(&wakes) as Arc<dyn Waker>;
    let quick = master.engine.connect(PeerInfo::default(), Some(waker));
    master.run(client, "CONFIG SET repl-backlog-size 16384");
    master.run_words(
        client,
        &[b"CONFIG", b"SET", b"client-output-buffer-limit", b"replica 16384 0 0"],
    );
    master.run(client, "CONFIG SET repl-diskless-sync-delay 0");
    for replica in [slow, quick] {
        master.run(replica, "REPLCONF capa eof");
        master.run(replica, "SYNC");
        master.run(replica, "REPLCONF ACK 0");
    }
    let gone = |master: &TestEngine| master.engine.sessions.get(slow).is_none_or(|it| it.killed);
    let value = "x".repeat(1000);
    while !gone(&master) {
        let before = wakes.0.load(Ordering::Relaxed);
        master.run(client, &format!("SET k {value}"));
        assert!(wakes.0.load(Ordering::Relaxed) > before);
        assert!(master.late(quick).contains(&value));
    }
}

#[test]
fn a_client_that_waited_may_wait_for_the_replicas_to_have_what_it_got() {
    let mut pair = Pair::new();
    let waiter = pair.master.client();
    pair.master.run(waiter, "BLPOP list 0");
    let client = pair.client;
    pair.master.run(client, "RPUSH list a");
    let session = pair.master.engine.sessions.get(waiter).expect("connected");
    assert_eq!(session.stream_offset, pair.offsets().0);
}

/// A script that increments a key twice and is slow in between.
struct Increments(Arc<HandClock>);

impl ScriptEngine for Increments {
    fn name(&self) -> &'static str {
        "increments"
    }

    fn compile(
        &mut self,
        _: &[u8],
        _: &str,
        _: &mut dyn ScriptHost,
    ) -> Result<Handle, CompileError> {
        Ok(Handle(1))
    }

    fn call(
        &mut self,
        _: Handle,
        _: Invocation<'_>,
        host: &mut dyn ScriptHost,
        out: &mut dyn ReplyWriter,
    ) -> Result<(), ScriptError> {
        let mut ignored = Vec::new();
        let mut replies = RespWriter::new(&mut ignored, Protocol::Resp2);
        host.call(&[b"INCR", b"n"], &mut replies);
        self.0.advance_ms(60_000);
        host.interrupt();
        host.call(&[b"INCR", b"n"], &mut replies);
        out.null();
        Ok(())
    }

    fn load_library(
        &mut self,
        _: &[u8],
        _: &mut dyn ScriptHost,
    ) -> Result<Vec<FunctionSpec>, CompileError> {
        Ok(Vec::new())
    }

    fn forget(&mut self, _: Handle) {}

    fn memory_used(&self) -> usize {
        0
    }
}

/// Lets the timers run while a script is slow.
struct Timers;

impl BusyPort for Timers {
    fn script_is_slow(&mut self) {}

    fn serve(&mut self, engine: &mut Engine) {
        engine.sample_cycle();
    }

    fn script_ended(&mut self) {}
}

#[test]
fn no_snapshot_holds_the_first_half_of_a_script() {
    let mut master = TestEngine::with_scripts(|clock| Box::new(Increments(clock)), Timers);
    let (client, replica) = (master.client(), master.client());
    master.run(replica, "REPLCONF capa eof");
    master.run(replica, "PSYNC ? -1");
    master.pass_ms(10_000);
    master.run(client, "EVAL twice 0");
    assert_eq!(master.run(client, "GET n"), "$1\r\n2\r\n");
    assert_eq!(master.late(replica).trim(), "");
    master.engine.sample_cycle();
    assert!(master.late(replica).contains("+FULLRESYNC"));
}
