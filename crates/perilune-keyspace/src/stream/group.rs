//! A consumer group: who reads a stream together, and what was delivered but not acknowledged.
//!
//! ```text
//! pending     id -> when, how often and to whom an entry was delivered      the group's list
//! by_name     name of a consumer -> its number, in the order of names
//! consumers   number -> name, times, ids pending for it                     the consumers' lists
//! ```
//!
//! Consumers are referred to by number, so that a pending entry is small and changes hands without
//! a copy of a name. Numbers of removed consumers are used again.
//!
//! Invariants, checked by [`Group::check_invariants`]: the consumer of every pending entry exists
//! and lists its id, and a consumer lists nothing else.

use super::StreamId;
use crate::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeBounds;

/// The number of a consumer within its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerId(u32);

/// A delivered entry that was not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Unix time of the last delivery, milliseconds.
    pub delivered_ms: i64,
    /// Number of deliveries.
    pub deliveries: u64,
    /// To whom.
    pub consumer: ConsumerId,
}

/// A member of a group.
#[derive(Clone, Debug)]
pub struct Consumer {
    name: Bytes,
    /// Unix time when it last asked for something, milliseconds.
    pub seen_ms: i64,
    /// Unix time when it last got something, milliseconds; -1 if it never did.
    pub active_ms: i64,
    pending: BTreeSet<StreamId>,
}

impl Consumer {
    /// Its name.
    pub fn name(&self) -> &Bytes {
        &self.name
    }

    /// Number of entries pending for it.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// The ids of the entries pending for it, from `start` on.
    pub fn pending_from(&self, start: StreamId) -> impl Iterator<Item = StreamId> + '_ {
        self.pending.range(start..).copied()
    }
}

/// A consumer group.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The last entry that was delivered.
    pub last_id: StreamId,
    /// How many entries of the stream, counted from the first it ever had, end with `last_id`;
    /// none if that is not known.
    pub entries_read: Option<i64>,
    pending: BTreeMap<StreamId, Pending>,
    by_name: BTreeMap<Bytes, ConsumerId>,
    consumers: Vec<Option<Consumer>>,
    free: Vec<ConsumerId>,
}

impl Group {
    /// A group without consumers.
    pub fn new(last_id: StreamId, entries_read: Option<i64>) -> Self {
        Group { last_id, entries_read, ..Group::default() }
    }

    /// Number of consumers.
    pub fn consumer_count(&self) -> usize {
        self.by_name.len()
    }

    /// The consumers in the order of their names.
    pub fn consumers(&self) -> impl Iterator<Item = &Consumer> {
        self.by_name.values().filter_map(|id| self.consumer(*id))
    }

    /// A consumer by its name.
    pub fn find_consumer(&self, name: &[u8]) -> Option<ConsumerId> {
        self.by_name.get(name).copied()
    }

    /// A consumer by its number.
    pub fn consumer(&self, id: ConsumerId) -> Option<&Consumer> {
        self.consumers.get(id.0 as usize)?.as_ref()
    }

    /// A consumer by its number, to change.
    pub fn consumer_mut(&mut self, id: ConsumerId) -> Option<&mut Consumer> {
        self.consumers.get_mut(id.0 as usize)?.as_mut()
    }

    /// Name of the consumer that an entry is pending for.
    pub fn owner_name(&self, pending: &Pending) -> &[u8] {
        self.consumer(pending.consumer).map_or(&[], |consumer| &consumer.name)
    }

    /// Adds a consumer that asked for something at `now_ms`; none if there is one of that name.
    pub fn create_consumer(&mut self, name: &[u8], now_ms: i64) -> Option<ConsumerId> {
        if self.by_name.contains_key(name) {
            return None;
        }
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                let id = ConsumerId(u32::try_from(self.consumers.len()).ok()?);
                self.consumers.push(None);
                id
            }
        };
        let name = Bytes::new(name);
        self.by_name.insert(name.clone(), id);
        let pending = BTreeSet::new();
        let consumer = Consumer { name, seen_ms: now_ms, active_ms: -1, pending };
        if let Some(slot) = self.consumers.get_mut(id.0 as usize) {
            *slot = Some(consumer);
        }
        Some(id)
    }

    /// Removes a consumer with all that is pending for it, and tells how much that was; none if
    /// there is no such consumer.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let id = self.by_name.remove(name)?;
        let consumer = self.consumers.get_mut(id.0 as usize)?.take()?;
        self.free.push(id);
        for entry in &consumer.pending {
            self.pending.remove(entry);
        }
        Some(consumer.pending.len())
    }

    /// Number of pending entries.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// A pending entry.
    pub fn pending(&self, id: StreamId) -> Option<&Pending> {
        self.pending.get(&id)
    }

    /// The pending entries with ids of a range, in order.
    pub fn pending_range(
        &self,
        range: impl RangeBounds<StreamId>,
    ) -> impl DoubleEndedIterator<Item = (StreamId, &Pending)> {
        self.pending.range(range).map(|(id, pending)| (*id, pending))
    }

    /// Makes an entry pending as told, taking it from whom it was pending for.
    pub fn assign(&mut self, id: StreamId, pending: Pending) {
        let before = self.pending.insert(id, pending);
        if before.is_some_and(|before| before.consumer == pending.consumer) {
            return;
        }
        if let Some(before) = before
            && let Some(consumer) = self.consumer_mut(before.consumer)
        {
            consumer.pending.remove(&id);
        }
        match self.consumer_mut(pending.consumer) {
            Some(consumer) => {
                consumer.pending.insert(id);
            }
            // Nobody could ever acknowledge it.
            None => {
                self.pending.remove(&id);
            }
        }
    }

    /// Notes another delivery of a pending entry to the same consumer.
    pub fn deliver_again(&mut self, id: StreamId, now_ms: i64) {
        if let Some(pending) = self.pending.get_mut(&id) {
            pending.delivered_ms = now_ms;
            pending.deliveries = pending.deliveries.wrapping_add(1);
        }
    }

    /// Takes an entry out of the pending ones. False if it is not pending.
    pub fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(pending) = self.pending.remove(&id) else { return false };
        if let Some(consumer) = self.consumer_mut(pending.consumer) {
            consumer.pending.remove(&id);
        }
        true
    }

    /// Bytes allocated, roughly.
    pub(super) fn memory_usage(&self) -> usize {
        // Nodes of B-trees are on average three quarters full.
        let pending =
            self.pending.len() * (size_of::<(StreamId, Pending)>() + size_of::<StreamId>()) * 4 / 3;
        let consumers = self.consumers.capacity() * size_of::<Option<Consumer>>();
        let names: usize = self.by_name.keys().map(|name| 2 * name.heap_size() + 48).sum();
        size_of::<Group>() + pending + consumers + names
    }

    /// Panics unless the module's invariants hold.
    #[doc(hidden)]
    pub fn check_invariants(&self) {
        let mut listed = 0;
        for (name, id) in &self.by_name {
            let consumer = self.consumer(*id).expect("a consumer with a name exists");
            assert_eq!(consumer.name, *name);
            for entry in &consumer.pending {
                assert_eq!(self.pending[entry].consumer, *id);
            }
            listed += consumer.pending.len();
        }
        assert_eq!(listed, self.pending.len());
        let living = self.consumers.iter().flatten().count();
        assert_eq!(living, self.by_name.len());
        assert_eq!(living + self.free.len(), self.consumers.len());
    }
}
