//! Snapshots for replicas by way of the snapshot file, with `repl-diskless-sync no`.
//!
//! The file is made like any other background save. When it is complete, each replica that waited
//! for it gets a handle on it and is sent its bytes from there, piece by piece, so that no more than
//! a piece is in memory; a new file under the same name makes no difference to those that still read
//! the old one. With `rdb-del-sync-files` a server that keeps nothing on disk removes the file when
//! nobody needs it any more.
//!
//! The same holds on the other side: what a replica received by way of a file is removed there.

use super::peers::{Source, Stage};
use crate::engine::Engine;
use crate::errors::CommandError;
use crate::session::ClientSlot;
use perilune_keyspace::Whole;
use perilune_persist::StorageFile;
use std::io::{self, Read};

/// A snapshot file on its way to one replica.
#[derive(Debug)]
pub(super) struct SnapshotFile {
    file: Box<dyn StorageFile>,
    length: u64,
    taken: u64,
}

impl SnapshotFile {
    fn new(file: Box<dyn StorageFile>) -> io::Result<Self> {
        Ok(SnapshotFile { length: file.size()?, file, taken: 0 })
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn is_done(&self) -> bool {
        self.taken == self.length
    }

    /// Appends at most `room` bytes to `out`. A file that ends too early is an error.
    pub(super) fn take(&mut self, room: usize, out: &mut Vec<u8>) -> io::Result<()> {
        let wanted = (self.length - self.taken).min(room as u64);
        let read = (&mut self.file).take(wanted).read_to_end(out)? as u64;
        self.taken += read;
        if read < wanted { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

impl Engine {
    /// Begins to make the file that the waiting replicas get.
    pub(super) fn start_file_for_replicas(&mut self) -> Result<(), CommandError> {
        self.start_save()?;
        self.replication.made_sync_file |= self.config.rdb_del_sync_files;
        Ok(())
    }

    /// A snapshot file is complete, or will not be: the replicas that wait for it begin, or leave.
    pub(crate) fn file_for_replicas_ended(&mut self, saved: bool) {
        let mut waiting: Vec<ClientSlot> = self.replication.replicas.clone();
        waiting.retain(|slot| {
            let replica = self.sessions.get(*slot).and_then(|session| session.replica.as_ref());
            replica.is_some_and(|replica| replica.waits_for_file())
        });
        let path = self.data_path(&self.config.dbfilename);
        let now_ms = self.now_ms();
        for slot in waiting {
            let opened = match saved {
                true => self.storage.open(&path).and_then(SnapshotFile::new),
                false => Err(io::Error::other("the snapshot file was not written")),
            };
            match opened {
                Ok(file) => {
                    let Some(session) = self.sessions.get_mut(slot) else { continue };
                    let Some(replica) = session.replica.as_deref_mut() else { continue };
                    replica.taken_ms = now_ms;
                    replica.begin_with(Source::File(Some(file)));
                    session.wake();
                }
                Err(error) => {
                    self.log_warning(&format!(
                        "SYNC failed. BGSAVE child returned an error: {error}"
                    ));
                    self.kill(slot);
                }
            }
        }
    }

    /// Removes the file that replicas began with, if `rdb-del-sync-files` says so and neither they
    /// nor this server need it.
    pub(super) fn remove_sync_file(&mut self) {
        if !self.config.rdb_del_sync_files {
            // One that was made meanwhile is kept when the parameter comes back.
            self.replication.made_sync_file = false;
            return;
        }
        let needed = self
            .replicas()
            .any(|(_, replica)| matches!(replica.stage, Stage::Waiting | Stage::Sending));
        if !self.replication.made_sync_file
            || needed
            || self.persistence.is_saving()
            || self.keeps_data_on_disk()
        {
            return;
        }
        self.replication.made_sync_file = false;
        let message = "Removing the RDB file used to feed replicas in a persistence-less instance";
        self.log_notice(message);
        self.remove_snapshot_file();
    }

    /// Removes the file that came from the master, if `rdb-del-sync-files` says so and this server
    /// keeps nothing on disk.
    pub(super) fn remove_received_file(&mut self) {
        if self.config.rdb_del_sync_files && !self.keeps_data_on_disk() {
            let message = "Removing the RDB file obtained from the master. This replica has \
                           persistence disabled";
            self.log_notice(message);
            self.remove_snapshot_file();
        }
    }

    fn keeps_data_on_disk(&self) -> bool {
        self.config.appendonly || !self.config.save.is_empty()
    }

    fn remove_snapshot_file(&mut self) {
        let path = self.data_path(&self.config.dbfilename);
        // While a handle is open only the name goes; a big file takes its time to be freed.
        let handle = self.storage.open(&path);
        if let Err(error) = self.storage.remove(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            self.log_warning(&format!("Removing {} failed: {error}", path.display()));
        }
        if let Ok(file) = handle {
            self.env.dispose(Box::new(Whole(file)));
        }
    }
}
