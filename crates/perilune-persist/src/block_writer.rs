//! A file written by a thread of its own, block by block.
//!
//! ```text
//! owner --push--> queue --thread--> temporary file --finish--> sync, rename, sync of the folder
//! ```
//!
//! The owner hands over blocks and goes on at once while less than `queued_bytes_max` wait; with
//! more it waits for the disk, so that memory stays bounded. The file gets its name only after all
//! of it is safe: whatever happens before, the old file is untouched, and the temporary one is
//! removed unless the process dies.
//!
//! Invariant: `State::queued_bytes` is the sum of the lengths in `State::blocks` and of the block
//! being written; after the end both stay empty, and further blocks are dropped.

use crate::storage::{Storage, StorageFile, folder_of};
use perilune_rdb::Crc64;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// How a file is written.
#[derive(Debug, Clone)]
pub struct BlockWriterOptions {
    /// Where the file will be.
    pub path: PathBuf,
    /// Its name until it is complete, in the same folder.
    pub temporary: PathBuf,
    /// Make the content safe every so many bytes, so that the last sync has little left to do.
    pub sync_every_bytes: Option<u64>,
    /// End the file with the CRC-64 of all blocks, eight bytes in little endian.
    pub checksum: bool,
    /// More than this is not kept waiting: [`BlockWriter::push`] waits itself.
    pub queued_bytes_max: usize,
}

/// What became of a file.
#[derive(Debug)]
pub enum Progress {
    /// It is being written.
    Running,
    /// It is in its place; this many bytes.
    Done(u64),
    /// It was given up, by its owner or for an error, and nothing of it remains.
    Failed(io::Error),
}

/// The owner's end.
#[derive(Debug)]
pub struct BlockWriter {
    shared: Arc<Shared>,
    queued_bytes_max: usize,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Something was queued, or the end was said.
    wanted: Condvar,
    /// Something was written, or everything is over.
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    blocks: VecDeque<Vec<u8>>,
    queued_bytes: usize,
    end: Option<End>,
    outcome: Option<io::Result<u64>>,
    over: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Finish,
    Abort,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlockWriter {
    /// Creates the temporary file and starts the thread.
    pub fn start(storage: Arc<dyn Storage>, options: BlockWriterOptions) -> io::Result<Self> {
        let file = storage.create(&options.temporary)?;
        let shared = Arc::new(Shared::default());
        let queued_bytes_max = options.queued_bytes_max;
        let work = Work { storage, file, options, shared: Arc::clone(&shared), sum: Crc64::new() };
        std::thread::Builder::new().name("block-writer".into()).spawn(move || work.run())?;
        Ok(BlockWriter { shared, queued_bytes_max })
    }

    /// Hands a block over. Waits while too much is queued already.
    pub fn push(&self, block: Vec<u8>) {
        let mut state = self.shared.lock();
        while !state.over && state.queued_bytes > self.queued_bytes_max {
            state = self.shared.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if !state.over && state.end.is_none() {
            state.queued_bytes += block.len();
            state.blocks.push_back(block);
            self.shared.wanted.notify_one();
        }
    }

    /// Number of bytes that were handed over and are not written yet.
    pub fn queued_bytes(&self) -> usize {
        self.shared.lock().queued_bytes
    }

    /// Says that there are no more blocks.
    pub fn finish(&self) {
        self.end(End::Finish);
    }

    /// Gives the file up.
    pub fn abort(&self) {
        self.end(End::Abort);
    }

    fn end(&self, end: End) {
        let mut state = self.shared.lock();
        if state.end != Some(End::Abort) {
            state.end = Some(end);
        }
        self.shared.wanted.notify_one();
    }

    /// What became of the file. The end is told once; afterwards it counts as running.
    pub fn poll(&self) -> Progress {
        match self.shared.lock().outcome.take() {
            None => Progress::Running,
            Some(Ok(bytes)) => Progress::Done(bytes),
            Some(Err(error)) => Progress::Failed(error),
        }
    }

    /// Waits for the end, which must have been said; answers the size of the file.
    pub fn wait(&self) -> io::Result<u64> {
        let mut state = self.shared.lock();
        while !state.over {
            state = self.shared.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let told = || Err(io::Error::other("the end was told already"));
        state.outcome.take().unwrap_or_else(told)
    }
}

impl Drop for BlockWriter {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        // Nobody is left to say that the file is complete.
        if state.end.is_none() {
            state.end = Some(End::Abort);
        }
        self.shared.wanted.notify_one();
    }
}

/// The thread's end.
struct Work {
    storage: Arc<dyn Storage>,
    file: Box<dyn StorageFile>,
    options: BlockWriterOptions,
    shared: Arc<Shared>,
    sum: Crc64,
}

impl Work {
    fn run(mut self) {
        let outcome = self.write();
        if outcome.is_err() {
            // The first failure is the one to tell.
            let _ = self.storage.remove(&self.options.temporary);
        }
        let mut state = self.shared.lock();
        state.blocks.clear();
        state.queued_bytes = 0;
        state.outcome = Some(outcome);
        state.over = true;
        self.shared.moved.notify_all();
    }

    fn write(&mut self) -> io::Result<u64> {
        let (mut written, mut unsafe_bytes) = (0, 0);
        while let Some(block) = self.next_block()? {
            if self.options.checksum {
                self.sum.update(&block);
            }
            self.file.write_all(&block)?;
            written += block.len() as u64;
            unsafe_bytes += block.len() as u64;
            if self.options.sync_every_bytes.is_some_and(|every| unsafe_bytes >= every) {
                self.file.sync()?;
                unsafe_bytes = 0;
            }
            self.written(block.len());
        }
        if self.options.checksum {
            self.file.write_all(&self.sum.value().to_le_bytes())?;
            written += 8;
        }
        self.file.flush()?;
        self.file.sync()?;
        self.storage.rename(&self.options.temporary, &self.options.path)?;
        self.storage.sync_folder(&folder_of(&self.options.path))?;
        Ok(written)
    }

    /// Waits for a block. None at the end.
    fn next_block(&self) -> io::Result<Option<Vec<u8>>> {
        let mut state = self.shared.lock();
        loop {
            if state.end == Some(End::Abort) {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "given up"));
            }
            // It counts as queued until it is written.
            if let Some(block) = state.blocks.pop_front() {
                return Ok(Some(block));
            }
            if state.end.is_some() {
                return Ok(None);
            }
            state = self.shared.wanted.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn written(&self, bytes: usize) {
        self.shared.lock().queued_bytes -= bytes;
        self.shared.moved.notify_all();
    }
}
