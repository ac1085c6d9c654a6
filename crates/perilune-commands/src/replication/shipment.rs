//! A snapshot on its way to replicas, which begin to take it while it is still being made.
//!
//! ```text
//! Recorder --push--> blocks --take--> connection of each replica
//! ```
//!
//! Every replica has its own place. A block goes when all of them have taken it. Whoever makes the
//! snapshot waits for the slowest replica, except for replicas that must be told the length first:
//! for them all of it is kept.
//!
//! Invariant: `readers` counts the replicas, each of which has a place between `start` and `end`,
//! and `readers_left` of a block counts those whose place is before its end.

use crate::session::Waker;
use perilune_persist::{Progress, SnapshotSink};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

struct Block {
    bytes: Vec<u8>,
    readers_left: usize,
}

#[derive(Default)]
struct State {
    blocks: VecDeque<Block>,
    /// Bytes before the first block.
    start: u64,
    /// Bytes so far.
    end: u64,
    complete: bool,
    given_up: bool,
    readers: usize,
    /// Some reader has to know the length before it begins.
    kept: bool,
    wakers: Vec<Arc<dyn Waker>>,
}

impl State {
    fn wake_readers(&self) {
        self.wakers.iter().for_each(|waker| waker.wake());
    }

    fn drop_taken(&mut self) {
        while let Some(first) = self.blocks.front()
            && first.readers_left == 0
        {
            self.start += first.bytes.len() as u64;
            self.blocks.pop_front();
        }
    }
}

/// The shared snapshot.
#[derive(Clone, Default)]
pub(super) struct Shipment(Arc<Mutex<State>>);

impl fmt::Debug for Shipment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_tuple("Shipment").field(&(state.start, state.end, state.complete)).finish()
    }
}

/// A replica's place in a shipment.
#[derive(Debug)]
pub(super) struct Reader {
    shipment: Shipment,
    taken: u64,
}

impl Shipment {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a replica, before the first block. One that has to know the length first waits for the
    /// end of the snapshot.
    pub(super) fn reader(&self, waker: Option<Arc<dyn Waker>>, needs_length: bool) -> Reader {
        let mut state = self.state();
        state.readers += 1;
        state.kept |= needs_length;
        state.wakers.extend(waker);
        Reader { shipment: self.clone(), taken: 0 }
    }

    /// The end that makes it.
    pub(super) fn sink(&self) -> Box<dyn SnapshotSink> {
        Box::new(Sink(self.clone()))
    }

    /// Whether nobody wants it any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.state().readers == 0
    }
}

impl Reader {
    /// The length, once it is known.
    pub(super) fn length(&self) -> Option<u64> {
        let state = self.shipment.state();
        state.complete.then_some(state.end)
    }

    /// Whether there is something to take, or nothing will ever follow.
    pub(super) fn has_more(&self) -> bool {
        let state = self.shipment.state();
        self.taken < state.end || state.complete
    }

    /// Whether all of it was taken.
    pub(super) fn is_done(&self) -> bool {
        let state = self.shipment.state();
        state.complete && self.taken == state.end
    }

    /// Appends at most `room` bytes to `out`; how many there were.
    pub(super) fn take(&mut self, room: usize, out: &mut Vec<u8>) -> usize {
        let mut guard = self.shipment.state();
        let state = &mut *guard;
        let mut position = state.start;
        let mut taken = 0;
        for block in &mut state.blocks {
            let end = position + block.bytes.len() as u64;
            if taken == room {
                break;
            }
            if self.taken < end {
                let skipped = (self.taken - position) as usize;
                let rest = &block.bytes[skipped..];
                let piece = &rest[..rest.len().min(room - taken)];
                out.extend_from_slice(piece);
                taken += piece.len();
                self.taken += piece.len() as u64;
                block.readers_left -= usize::from(self.taken == end);
            }
            position = end;
        }
        state.drop_taken();
        taken
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut guard = self.shipment.state();
        let state = &mut *guard;
        state.readers -= 1;
        let mut end = state.start;
        for block in &mut state.blocks {
            end += block.bytes.len() as u64;
            block.readers_left -= usize::from(self.taken < end);
        }
        state.drop_taken();
    }
}

struct Sink(Shipment);

impl SnapshotSink for Sink {
    fn push(&mut self, block: Vec<u8>) {
        let mut state = self.0.state();
        if block.is_empty() {
            return;
        }
        state.end += block.len() as u64;
        if state.readers == 0 {
            state.start = state.end;
            return;
        }
        let readers_left = state.readers;
        state.blocks.push_back(Block { bytes: block, readers_left });
        state.wake_readers();
    }

    fn queued_bytes(&self) -> usize {
        let state = self.0.state();
        if state.kept { 0 } else { (state.end - state.start) as usize }
    }

    fn finish(&mut self) {
        let mut state = self.0.state();
        state.complete = true;
        state.wake_readers();
    }

    fn abort(&mut self) {
        self.0.state().given_up = true;
    }

    fn poll(&mut self) -> Progress {
        let state = self.0.state();
        match (state.complete, state.given_up) {
            (true, _) => Progress::Done(state.end),
            (false, true) => Progress::Failed(given_up()),
            (false, false) => Progress::Running,
        }
    }

    fn wait(&mut self) -> io::Result<u64> {
        match self.poll() {
            Progress::Done(bytes) => Ok(bytes),
            Progress::Running => Err(given_up()),
            Progress::Failed(error) => Err(error),
        }
    }
}

fn given_up() -> io::Error {
    io::Error::other("the snapshot for replicas was given up")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_reader_gets_all_of_it(
            blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..12),
            rooms in proptest::collection::vec((0usize..3, 0usize..70), 0..60),
            gone in 0usize..60,
        ) {
            let shipment = Shipment::default();
            let mut readers: Vec<_> =
                (0..3).map(|_| Some((shipment.reader(None, false), Vec::new()))).collect();
            let mut sink = shipment.sink();
            let mut left = blocks.iter();
            for (step, (who, room)) in rooms.into_iter().enumerate() {
                if let Some(block) = left.next() {
                    sink.push(block.clone());
                }
                if step == gone {
                    readers[0] = None;
                }
                if let Some((reader, got)) = &mut readers[who] {
                    reader.take(room, got);
                }
            }
            left.for_each(|block| sink.push(block.clone()));
            sink.finish();
            let all = blocks.concat();
            for (reader, got) in readers.iter_mut().flatten() {
                while reader.take(7, got) > 0 {}
                prop_assert!(reader.is_done());
                prop_assert_eq!(&*got, &all);
                prop_assert_eq!(reader.length(), Some(all.len() as u64));
            }
            prop_assert_eq!(sink.queued_bytes(), 0);
            readers.clear();
            prop_assert!(shipment.is_abandoned());
        }
    }
}
