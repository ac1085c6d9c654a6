//! A snapshot that comes from the master.
//!
//! ```text
//! repl-diskless-load   while it comes                        then
//! disabled             written to a file, old data in use    old data freed, file read
//! on-empty-db          read, if there are no old data; otherwise as with disabled
//! swapdb               read aside of the old data            old data replaced
//! ```
//!
//! With `swapdb` and data of the same stream clients are served from the old data until the end; in
//! all other cases they hear that the server is loading while the snapshot is read. It is read into
//! a keyspace of its own in any case, so the data in use are always either all of the old ones, all
//! of the new ones or none.
//!
//! The network belongs to somebody else, who asks for a [`LoadOrder`] and follows it.

use super::handshake::Introduction;
use super::payload::Payload;
use crate::config::ReplDisklessLoad;
use crate::engine::Engine;
use crate::persistence::Loading;
use perilune_keyspace::Keyspace;
use perilune_persist::{Storage, StorageFile, folder_of};
use perilune_rdb::{Loaded, ReadOptions, read_snapshot};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// Received bytes are made safe in pieces of this size, so that the last sync has little left to do.
const SYNC_EVERY_BYTES: u64 = 8 << 20;

/// Written to the file at once.
const CHUNK_BYTES: u64 = 256 * 1024;

/// What becomes of a snapshot while it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It is written to the snapshot file.
    File,
    /// It is read; there are no other data.
    Empty,
    /// It is read aside of the old data, which clients are served from if they are of the same
    /// stream.
    Aside {
        /// Clients are served.
        serves: bool,
    },
}

/// A snapshot that is coming.
#[derive(Debug, Clone, Copy)]
pub struct Transfer {
    /// Its length, 0 when it is unknown.
    pub length: u64,
    /// Bytes of it received.
    pub received: u64,
    /// What becomes of it.
    pub way: Way,
}

/// What a received snapshot is to be read with, and whether from a file.
#[derive(Debug, Clone)]
pub struct LoadOrder {
    /// Number of databases.
    pub databases: usize,
    /// How to read it.
    pub options: ReadOptions,
    /// Where it is to be stored first.
    pub store: Option<SnapshotStore>,
}

/// A snapshot that was read.
pub struct Received {
    pub(super) keyspace: Keyspace,
    pub(super) loaded: Loaded,
}

impl LoadOrder {
    /// Reads a snapshot. Takes long; no engine is needed for it.
    pub fn read(&self, input: &mut impl Read) -> Result<Received, String> {
        let mut keyspace = Keyspace::new(self.databases);
        let loaded = read_snapshot(input, &mut keyspace, &self.options);
        loaded.map(|loaded| Received { keyspace, loaded }).map_err(|error| error.to_string())
    }
}

/// Where a snapshot is to be stored.
#[derive(Debug, Clone)]
pub struct SnapshotStore {
    storage: Arc<dyn Storage>,
    temporary: PathBuf,
    path: PathBuf,
}

impl SnapshotStore {
    /// Writes all of a snapshot to a temporary file and makes it safe.
    pub fn write(self, input: &mut impl Read) -> io::Result<StoredSnapshot> {
        let mut file = self.storage.create(&self.temporary)?;
        let mut stored = StoredSnapshot { store: self, bytes: 0 };
        let mut chunk = Vec::new();
        let mut unsafe_bytes = 0;
        while input.take(CHUNK_BYTES).read_to_end(&mut chunk)? > 0 {
            file.write_all(&chunk)?;
            stored.bytes += chunk.len() as u64;
            unsafe_bytes += chunk.len() as u64;
            if unsafe_bytes >= SYNC_EVERY_BYTES {
                file.sync()?;
                unsafe_bytes = 0;
            }
            chunk.clear();
        }
        file.flush()?;
        file.sync()?;
        Ok(stored)
    }
}

/// A snapshot in a temporary file, which goes when this does.
#[derive(Debug)]
pub struct StoredSnapshot {
    store: SnapshotStore,
    bytes: u64,
}

impl StoredSnapshot {
    /// Its length.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts it in the place of the snapshot file and opens that.
    pub fn place(self) -> io::Result<Box<dyn StorageFile>> {
        let SnapshotStore { storage, temporary, path } = &self.store;
        storage.rename(temporary, path)?;
        storage.sync_folder(&folder_of(path))?;
        storage.open(path)
    }
}

impl Drop for StoredSnapshot {
    fn drop(&mut self) {
        // There is none any more when it was put in its place.
        let _ = self.store.storage.remove(&self.store.temporary);
    }
}

impl Engine {
    /// Whether a snapshot of the master is being read while clients are served from the old data.
    pub(crate) fn loads_aside(&self) -> bool {
        self.way().is_some_and(|way| way == Way::Aside { serves: true })
    }

    fn way(&self) -> Option<Way> {
        Some(self.replication.upstream.as_ref()?.transfer?.way)
    }

    /// Decides what becomes of a snapshot that was announced.
    pub(super) fn begin_transfer(&mut self, stream: &Introduction, payload: &Payload) {
        let is_empty = self.keyspace.iter().all(|(_, db)| db.is_empty());
        let way = match self.config.repl_diskless_load {
            ReplDisklessLoad::SwapDb => Way::Aside { serves: stream.id == self.replication.id },
            ReplDisklessLoad::OnEmptyDb if is_empty => Way::Empty,
            ReplDisklessLoad::OnEmptyDb | ReplDisklessLoad::Disabled => Way::File,
        };
        let to = if way == Way::File { "disk" } else { "parser" };
        let length = payload.length();
        self.log_notice(&match length {
            Some(bytes) => {
                format!("MASTER <-> REPLICA sync: receiving {bytes} bytes from master to {to}")
            }
            None => format!(
                "MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF to {to}"
            ),
        });
        let length = length.unwrap_or(0);
        if let Some(upstream) = &mut self.replication.upstream {
            upstream.transfer = Some(Transfer { length, received: 0, way });
        }
        match way {
            Way::File => {}
            Way::Empty => {
                self.leave_old_stream();
                self.begin_reading(length);
            }
            Way::Aside { serves: true } => {
                self.log_notice("MASTER <-> REPLICA sync: Loading DB in memory");
            }
            Way::Aside { serves: false } => self.begin_reading(length),
        }
    }

    /// From here on clients hear that the server is loading.
    fn begin_reading(&mut self, length: u64) {
        self.log_notice("MASTER <-> REPLICA sync: Loading DB in memory");
        self.persistence.loading = Some(Loading::from_master(self, length));
    }

    /// There is no way back to the stream that the old data are of.
    fn leave_old_stream(&mut self) {
        self.replication.resumable = false;
        self.disconnect_replicas();
    }

    /// Notes how much of the snapshot there is.
    pub fn link_transfers(&mut self, payload: &Payload) {
        self.link_heard();
        let Some(upstream) = &mut self.replication.upstream else { return };
        let Some(transfer) = &mut upstream.transfer else { return };
        self.replication.stats.input_bytes += payload.received() - transfer.received;
        transfer.received = payload.received();
        if let Some(loading) = &mut self.persistence.loading {
            loading.loaded_bytes = payload.received();
        }
    }

    /// Notes how many bytes of the stored snapshot were read. The master says nothing meanwhile.
    pub fn link_reads(&mut self, epoch: u64, bytes: u64) {
        if !self.wants_link(epoch) {
            return;
        }
        self.link_heard();
        if let Some(loading) = &mut self.persistence.loading {
            loading.loaded_bytes = loading.loaded_bytes.max(bytes);
        }
    }

    /// What is to be done with the snapshot that was announced. Keys whose time is up are kept: the
    /// master removes them.
    pub fn load_order(&self) -> LoadOrder {
        let temporary = format!("temp-{}.{}.rdb", self.replication.epoch, std::process::id());
        let store = (self.way() == Some(Way::File)).then(|| SnapshotStore {
            storage: Arc::clone(&self.storage),
            temporary: self.data_path(&temporary),
            path: self.data_path(&self.config.dbfilename),
        });
        LoadOrder {
            databases: self.keyspace.count(),
            options: ReadOptions {
                limits: self.limits,
                now_s: (self.now_us / 1_000_000) as u32,
                expired_at_ms: None,
                frequency: self.counter_packing(),
                check: self.check_of_files(),
                ..ReadOptions::default()
            },
            store,
        }
    }

    /// All of the snapshot is stored: makes room for it. False: the link of this epoch is no longer
    /// wanted.
    pub fn link_stored(&mut self, epoch: u64, bytes: u64) -> bool {
        if !self.wants_link(epoch) {
            return false;
        }
        if self.persistence.is_saving() {
            self.log_notice("A snapshot is being made of data that are replaced: giving it up");
            self.cancel_snapshot();
        }
        self.leave_old_stream();
        self.log_notice("MASTER <-> REPLICA sync: Flushing old data");
        let lazy = self.config.replica_lazy_flush;
        self.replace_keyspace(Keyspace::new(self.keyspace.count()), lazy);
        self.begin_reading(bytes);
        true
    }

    /// The snapshot is in use: nothing of its transfer remains.
    pub(super) fn transfer_succeeded(&mut self, loaded: &Loaded) {
        self.persistence.loading = None;
        self.log_loaded(loaded);
        match self.way() {
            Some(Way::File) => self.remove_received_file(),
            // What is on disk is older.
            _ => self.dirty += 1,
        }
    }

    /// The link is over before the snapshot is in use, if one was coming.
    pub(super) fn transfer_failed(&mut self) {
        let Some(way) = self.way() else { return };
        if self.persistence.loading.take().is_some() && way == Way::File {
            self.remove_received_file();
        }
    }

    /// Takes other data in the place of what there is, and frees the old ones here and now unless
    /// it may be done in the background.
    pub(super) fn replace_keyspace(&mut self, keyspace: Keyspace, lazy: bool) {
        let old = self.keyspace.replace(keyspace);
        match lazy {
            true => self.env.dispose(Box::new(old)),
            false => drop(old),
        }
        let watched: Vec<_> = self.watchers.keys().cloned().collect();
        for (db, key) in watched {
            self.touch(db, &key);
        }
        for db in 0..self.keyspace.count() {
            self.waiters.db_changed(db);
        }
        self.replication.own_volatile.clear();
        self.restart_append_only();
    }

    /// Whether the data that a snapshot replaces are freed in the background.
    pub(super) fn frees_lazily(&self) -> bool {
        matches!(self.way(), Some(Way::Aside { .. })) || self.config.replica_lazy_flush
    }
}
