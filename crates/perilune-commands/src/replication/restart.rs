//! Going on with a stream after a restart.
//!
//! A snapshot file names the stream and the moment of it that its data are of. A server that reads it
//! at the start is at that moment again: as a replica it asks its master for what follows, as a master
//! it goes on under a new id, so that replicas that are at the same moment go on as well.
//!
//! A master drops keys whose time was up while it was away. Its replicas have them still, so their
//! end is the first thing in the stream that follows.
//!
//! What is absent: an append-only file says nothing of the stream, so a restart from one is a new
//! beginning.

use super::log::StreamLog;
use super::{Former, ID_LEN};
use crate::engine::Engine;
use crate::propagation::append_command;
use perilune_rdb::{Meta, StreamPoint};

impl Engine {
    /// Facts about the server for a snapshot file: among them the moment of the stream, if there is
    /// one that can be gone on with.
    pub(crate) fn file_meta(&self) -> Meta {
        let stream = &self.replication;
        let continues = match stream.is_replica() {
            true => stream.resumable,
            false => stream.log.is_some(),
        };
        let db = match stream.is_replica() {
            true => Some(stream.stream_db),
            false => self.propagation.selected(),
        };
        // In the middle of a unit the data are ahead of the stream.
        let continues = continues && !self.propagation.has_ops();
        let id = <[u8; ID_LEN]>::try_from(stream.id.as_bytes()).ok().filter(|_| continues);
        Meta {
            stream: id.map(|id| StreamPoint { id, offset: stream.offset }),
            stream_db: id.map(|_| db.unwrap_or(0)),
            ..self.snapshot_meta()
        }
    }

    /// The data that are being read are those of this moment of a stream.
    pub(crate) fn return_to_stream(&mut self, point: &StreamPoint, stream_db: usize) {
        let (id, offset) = (point.id_text(), point.offset);
        self.replication.offset = offset;
        self.replication.log = Some(StreamLog::new(offset));
        self.replication.pinged_ms = self.now_ms();
        if self.replication.is_replica() {
            self.replication.id = id;
            self.replication.stream_db = stream_db;
            self.replication.resumable = true;
        } else {
            self.replication.former = Some(Former { id, offset });
            self.replication.unattended_since_ms = self.now_ms();
        }
        self.update_recording();
    }

    /// Tells replicas that will come back of keys that ended while this server was away.
    pub(crate) fn replicate_expired(&mut self, keys: &[(usize, Vec<u8>)]) {
        if self.replication.log.is_none() || self.replication.is_replica() {
            return;
        }
        let mut selected = None;
        for (db, key) in keys {
            let mut stream = Vec::new();
            if selected.replace(*db) != Some(*db) {
                append_command(&mut stream, &[b"SELECT", db.to_string().as_bytes()]);
            }
            append_command(&mut stream, &[b"DEL", key]);
            self.feed_replicas(&stream);
        }
        self.propagation.forget_selection();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ReplicaOf};
    use crate::test_support::TestEngine;
    use perilune_testkit::CrashStorage;
    use std::sync::Arc;

    fn engine_on(storage: &CrashStorage, config: Config) -> TestEngine {
        TestEngine::on(Arc::new(storage.clone()), config).expect("a consistent table")
    }

    /// A master with a replica and the keys `a`, and `e` for ten milliseconds, in a file.
    fn saved(storage: &CrashStorage) -> (StreamPoint, TestEngine) {
        let mut test = engine_on(storage, Config { save: Vec::new(), ..Config::default() });
        let (client, replica) = (test.client(), test.client());
        test.run(client, "CONFIG SET repl-diskless-sync-delay 0");
        test.run(replica, "REPLCONF capa eof");
        test.run(replica, "SYNC");
        test.run(client, "SELECT 3");
        test.run(client, "SET a 1");
        test.run(client, "SET e 1 PX 10");
        assert_eq!(test.run(client, "SAVE"), "+OK\r\n");
        let stream = &test.engine.replication;
        let id = stream.id.as_bytes().try_into().expect("40 digits");
        (StreamPoint { id, offset: stream.offset }, test)
    }

    fn load(test: &mut TestEngine) {
        test.engine.begin_loading().expect("a readable file");
        while test.engine.load_cycle(0).expect("a readable file") {}
    }

    #[test]
    fn a_master_goes_on_with_its_stream_under_a_new_id() {
        let storage = CrashStorage::new();
        let (point, _) = saved(&storage);
        let mut again = engine_on(&storage, Config { save: Vec::new(), ..Config::default() });
        load(&mut again);
        let stream = &again.engine.replication;
        assert_ne!(stream.id, point.id_text());
        assert_eq!(stream.offset, point.offset);
        assert_eq!(stream.former, Some(Former { id: point.id_text(), offset: point.offset }));
        let replica = again.client();
        let psync = format!("PSYNC {} {}", point.id_text(), point.offset + 1);
        assert!(again.run(replica, &psync).starts_with("+CONTINUE"), "no snapshot is needed");
    }

    #[test]
    fn replicas_hear_of_keys_that_ended_meanwhile() {
        let storage = CrashStorage::new();
        let (point, old) = saved(&storage);
        let mut again = engine_on(&storage, Config { save: Vec::new(), ..Config::default() });
        again.pass_ms(1000);
        drop(old);
        load(&mut again);
        let log = again.engine.replication.log.as_ref().expect("a log");
        let stream = String::from_utf8_lossy(log.read(point.offset)).into_owned();
        assert_eq!(stream, "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*2\r\n$3\r\nDEL\r\n$1\r\ne\r\n");
    }

    #[test]
    fn a_replica_asks_for_what_follows() {
        let storage = CrashStorage::new();
        let (point, _) = saved(&storage);
        let replicaof = Some(ReplicaOf { host: "master".into(), port: 1 });
        let config = Config { save: Vec::new(), replicaof, ..Config::default() };
        let mut again = engine_on(&storage, config);
        load(&mut again);
        let stream = &again.engine.replication;
        assert!(stream.resumable);
        assert_eq!((&stream.id, stream.offset), (&point.id_text(), point.offset));
        assert_eq!(stream.stream_db, 3);
    }
}
