//! Snapshots on their way from the databases to wherever they go.
//!
//! ```text
//! keyspace --entry--> Recorder: SnapshotFormat --blocks--> SnapshotSink
//! ```
//!
//! The [`Recorder`] is the [`EntrySink`] that the keyspace hands entries to. The format makes bytes
//! of them (an RDB file, commands), the sink takes the bytes (a file, a replica). All three run
//! while the engine is held, so a sink must pass blocks on and not do the work there.

use crate::block_writer::{BlockWriter, Progress};
use perilune_keyspace::{EntrySink, KeyEntry, Keyspace};
use perilune_rdb::{Meta, SnapshotEncoder, WriteOptions};
use std::io;

/// Size of a block, about.
const BLOCK_BYTES: usize = 64 * 1024;

/// Looks at elements for the size of a value.
const SIZE_SAMPLES: usize = 5;

/// What a snapshot looks like.
pub trait SnapshotFormat: Send {
    /// Writes what comes before the first key.
    fn begin(&mut self, meta: &Meta, libraries: &[Vec<u8>], out: &mut Vec<u8>);

    /// Writes a key of the database at `db`. Keys come in no order.
    fn entry(&mut self, db: usize, entry: &KeyEntry, out: &mut Vec<u8>);

    /// Writes what comes after the last key.
    fn end(&mut self, out: &mut Vec<u8>);
}

/// Where a snapshot goes.
pub trait SnapshotSink: Send {
    /// Takes the next block. May wait if far too much was not passed on yet.
    fn push(&mut self, block: Vec<u8>);

    /// Number of bytes taken and not passed on yet. Who produces blocks for no urgent reason stops
    /// while there are many.
    fn queued_bytes(&self) -> usize;

    /// Says that there are no more blocks.
    fn finish(&mut self);

    /// Gives the snapshot up.
    fn abort(&mut self);

    /// What became of it.
    fn poll(&mut self) -> Progress;

    /// Waits for the end, which must have been said; answers the number of bytes.
    fn wait(&mut self) -> io::Result<u64>;
}

impl SnapshotSink for BlockWriter {
    fn push(&mut self, block: Vec<u8>) {
        BlockWriter::push(self, block);
    }

    fn queued_bytes(&self) -> usize {
        BlockWriter::queued_bytes(self)
    }

    fn finish(&mut self) {
        BlockWriter::finish(self);
    }

    fn abort(&mut self) {
        BlockWriter::abort(self);
    }

    fn poll(&mut self) -> Progress {
        BlockWriter::poll(self)
    }

    fn wait(&mut self) -> io::Result<u64> {
        BlockWriter::wait(self)
    }
}

/// An RDB file. The sink adds the checksum, or the format says that there is none.
#[derive(Debug)]
pub struct RdbFormat {
    encoder: SnapshotEncoder,
    checksum: bool,
}

impl RdbFormat {
    /// The format for a keyspace as it is now. Without `checksum` the sink adds nothing.
    pub fn new(keyspace: &Keyspace, options: WriteOptions, checksum: bool) -> Self {
        RdbFormat { encoder: SnapshotEncoder::new(keyspace, options), checksum }
    }
}

// Writing to a vector does not fail.
impl SnapshotFormat for RdbFormat {
    fn begin(&mut self, meta: &Meta, libraries: &[Vec<u8>], out: &mut Vec<u8>) {
        let _ = self.encoder.begin(meta, out);
        for code in libraries {
            let _ = self.encoder.library(code, out);
        }
    }

    fn entry(&mut self, db: usize, entry: &KeyEntry, out: &mut Vec<u8>) {
        let _ = self.encoder.entry(db, entry, out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let _ = self.encoder.end(out);
        if !self.checksum {
            out.extend_from_slice(&[0; 8]);
        }
    }
}

/// Makes blocks of entries.
pub struct Recorder {
    format: Box<dyn SnapshotFormat>,
    sink: Box<dyn SnapshotSink>,
    block: Vec<u8>,
    keys: u64,
    early_bytes: u64,
}

impl Recorder {
    /// Begins a snapshot.
    pub fn new(
        mut format: Box<dyn SnapshotFormat>,
        sink: Box<dyn SnapshotSink>,
        meta: &Meta,
        libraries: &[Vec<u8>],
    ) -> Self {
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        format.begin(meta, libraries, &mut block);
        Recorder { format, sink, block, keys: 0, early_bytes: 0 }
    }

    /// Number of keys recorded.
    pub fn keys(&self) -> u64 {
        self.keys
    }

    /// Bytes of memory of the entries that were recorded because they were about to change.
    pub fn early_bytes(&self) -> u64 {
        self.early_bytes
    }

    /// Number of bytes recorded and not passed on by the sink yet.
    pub fn queued_bytes(&self) -> usize {
        self.sink.queued_bytes()
    }

    /// Ends a snapshot that is complete. The sink has an outcome later.
    pub fn finish(&mut self) {
        self.format.end(&mut self.block);
        self.pass_on();
        self.sink.finish();
    }

    /// Gives the snapshot up.
    pub fn abort(&mut self) {
        self.sink.abort();
    }

    /// What became of it.
    pub fn poll(&mut self) -> Progress {
        self.sink.poll()
    }

    /// Waits for the end, which must have been said.
    pub fn wait(&mut self) -> io::Result<u64> {
        self.sink.wait()
    }

    fn pass_on(&mut self) {
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK_BYTES));
        self.sink.push(block);
    }
}

impl EntrySink for Recorder {
    fn entry(&mut self, db: usize, entry: &KeyEntry) {
        self.format.entry(db, entry, &mut self.block);
        self.keys += 1;
        if self.block.len() >= BLOCK_BYTES {
            self.pass_on();
        }
    }

    fn changing_entry(&mut self, db: usize, entry: &KeyEntry) {
        self.early_bytes += entry.memory_usage(SIZE_SAMPLES) as u64;
        self.entry(db, entry);
    }
}
