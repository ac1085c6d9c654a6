//! The stream of effects, kept once for all replicas.
//!
//! The stream is a sequence of bytes counted from the first one ever sent. The log holds a stretch
//! of it, up to its end, in blocks. Every replica has a cursor, the offset of the next byte that its
//! connection takes; nothing is copied per replica. The stretch serves replicas that come back after
//! a lost connection, too, so it reaches back at least as far as `repl-backlog-size` asks for, and
//! further only as long as a slow replica needs it.
//!
//! Invariants: blocks are not empty and follow each other without a gap; the first one begins at
//! `start`, the last one ends at `end`; `allocated` is the sum of their capacities.

use std::collections::VecDeque;

/// Size of a block, at least.
const BLOCK_BYTES_MIN: usize = 16 * 1024;
/// Size of a block, at most: it is taken at once, and a large log is not to cost what it may hold.
const BLOCK_BYTES_MAX: usize = 1024 * 1024;
/// Number of blocks that a full log has at least: what is dropped at once is a small part of it.
const BLOCKS: usize = 16;

#[derive(Debug)]
struct Block {
    /// Offset of its first byte.
    start: u64,
    bytes: Vec<u8>,
}

impl Block {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

/// The latest stretch of the stream.
#[derive(Debug)]
pub struct StreamLog {
    start: u64,
    end: u64,
    blocks: VecDeque<Block>,
    allocated: usize,
}

impl StreamLog {
    /// An empty stretch that begins after `offset` bytes of the stream.
    pub fn new(offset: u64) -> Self {
        StreamLog { start: offset, end: offset, blocks: VecDeque::new(), allocated: 0 }
    }

    /// Offset of the first byte held.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Offset behind the last byte.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Bytes held.
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory taken.
    pub fn memory(&self) -> usize {
        self.blocks.capacity() * size_of::<Block>() + self.allocated
    }

    /// Whether the stream can be read from `offset` on.
    pub fn reaches(&self, offset: u64) -> bool {
        (self.start..=self.end).contains(&offset)
    }

    /// Appends to the stream. Blocks are made to fit a log of about `size` bytes, so that a big
    /// value does not stay longer than others: a replica that comes back may be sent at most what
    /// is held, and would be closed for its output buffer if that were more than it may have.
    pub fn append(&mut self, mut bytes: &[u8], size: u64) {
        let share = usize::try_from(size / BLOCKS as u64).unwrap_or(usize::MAX);
        let block_bytes = share.clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX);
        while !bytes.is_empty() {
            let room = self.blocks.back().map_or(0, |b| b.bytes.capacity() - b.bytes.len());
            if room == 0 {
                let bytes = Vec::with_capacity(block_bytes);
                self.allocated += bytes.capacity();
                self.blocks.push_back(Block { start: self.end, bytes });
                continue;
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            if let Some(block) = self.blocks.back_mut() {
                block.bytes.extend_from_slice(now);
            }
            self.end += now.len() as u64;
            bytes = later;
        }
    }

    /// Drops blocks that hold neither the last `size` bytes nor anything from `needed` on.
    pub fn trim(&mut self, size: u64, needed: Option<u64>) {
        let keep_from = self.end.saturating_sub(size).min(needed.unwrap_or(u64::MAX));
        while let Some(first) = self.blocks.front()
            && first.end() <= keep_from
        {
            self.start = first.end();
            self.allocated -= first.bytes.capacity();
            self.blocks.pop_front();
        }
        // The index that a slow replica has made grow counts as memory too.
        if self.blocks.capacity() > 4 * self.blocks.len() + BLOCKS {
            self.blocks.shrink_to(2 * self.blocks.len());
        }
    }

    /// The bytes from `offset` on, as many as lie together. Empty at the end, and for what is not
    /// held.
    pub fn read(&self, offset: u64) -> &[u8] {
        let index = self.blocks.partition_point(|block| block.end() <= offset);
        let Some(block) = self.blocks.get(index) else { return &[] };
        offset
            .checked_sub(block.start)
            .and_then(|skipped| usize::try_from(skipped).ok())
            .and_then(|skipped| block.bytes.get(skipped..))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rest(log: &StreamLog, mut offset: u64) -> Vec<u8> {
        let mut all = Vec::new();
        while offset < log.end() {
            let part = log.read(offset);
            assert!(!part.is_empty(), "a hole at {offset}");
            all.extend_from_slice(part);
            offset += part.len() as u64;
        }
        all
    }

    proptest! {
        #[test]
        fn holds_the_end_of_the_stream(
            first in 0u64..1000,
            size in 0u64..200_000,
            lengths in proptest::collection::vec(0usize..40_000, 0..20),
            lag in proptest::option::of(0u64..100_000),
        ) {
            let mut log = StreamLog::new(first);
            let mut stream = Vec::new();
            for (step, length) in lengths.into_iter().enumerate() {
                let bytes = vec![step as u8; length];
                log.append(&bytes, size);
                stream.extend_from_slice(&bytes);
                let needed = lag.map(|lag| log.end().saturating_sub(lag).max(log.start()));
                log.trim(size, needed);
                let held = log.len() as usize;
                prop_assert_eq!(log.end(), first + stream.len() as u64);
                prop_assert!(held as u64 >= size.min(stream.len() as u64));
                prop_assert!(needed.is_none_or(|needed| log.reaches(needed)));
                prop_assert_eq!(rest(&log, log.start()), &stream[stream.len() - held..]);
                prop_assert!(!log.reaches(log.end() + 1));
                let blocks = log.blocks.iter().map(|block| block.bytes.capacity());
                prop_assert_eq!(log.allocated, blocks.sum::<usize>());
            }
        }
    }

    #[test]
    fn a_big_value_leaves_no_more_than_others() {
        let mut log = StreamLog::new(0);
        log.append(&[7; 1 << 20], 16 * 1024);
        log.trim(16 * 1024, None);
        assert!(log.len() <= 32 * 1024 && log.end() == 1 << 20);
    }

    #[test]
    fn a_large_log_costs_what_it_holds() {
        let mut log = StreamLog::new(0);
        log.append(b"x", 1 << 40);
        assert!(log.memory() < 2 * BLOCK_BYTES_MAX);
    }

    #[test]
    fn what_is_not_held_reads_as_nothing() {
        let mut log = StreamLog::new(100);
        log.append(&[7; 20_000], 0);
        log.append(&[8; 20_000], 0);
        assert_eq!(log.read(50), b"");
        assert_eq!(log.read(100 + 39_999), [8]);
        assert_eq!(log.read(100 + 40_000), b"");
        log.trim(0, None);
        assert!(log.is_empty() && log.start() == 100 + 40_000);
    }
}
