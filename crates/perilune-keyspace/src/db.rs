//! Databases: keys with their values and their times to live.
//!
//! ```text
//! table      HashTable of entries: one allocation per small key, see `entry`
//! deadlines  (deadline, part of the hash of the key), for the keys that have a time to live
//! ```
//!
//! That gives active expiry and `volatile-ttl` the exact order of deadlines, without sampling and
//! without a second copy of the keys. The part of the hash finds the entry again; where two keys share
//! both it and the deadline they share one element, which is why removing one of them looks for the
//! other first.
//!
//! Invariant: `(deadline of e, part of the hash of its key)` is in `deadlines` for exactly the entries
//! with a deadline; `volatile` counts those entries.
//!
//! Databases never look at a clock and never remove an expired key by themselves: the caller
//! decides what "now" is.

use crate::deadlines::{Deadlines, short};
use crate::entry::{FOREVER, KeyEntry};
use crate::hashtable::{ArrayStatistics, HashTable, hash_bytes};
use crate::preserve::{Preserving, SharedSink};
use crate::release::release_table;
use crate::rng::Rng;
use crate::{Bytes, Value};

/// Keys looked at together in search of some with a time to live.
const PROBE_KEYS: usize = 8;

/// How many times the expected number of keys are looked at before the search is given up.
const PROBE_EFFORT: usize = 4;

/// One database.
#[derive(Default)]
pub struct Db {
    table: HashTable<KeyEntry>,
    deadlines: Deadlines,
    volatile: usize,
    epoch: u8,
    /// Snapshots begun since all entries last had the same epoch.
    epochs_in_use: u8,
    preserving: Option<Box<Preserving>>,
    /// Bytes that the table may grow by; none: as many as it likes.
    growth_max: Option<usize>,
}

impl Db {
    /// Number of keys, expired ones included.
    #[inline]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is no key.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Number of keys with a time to live.
    #[inline]
    pub fn volatile_len(&self) -> usize {
        self.volatile
    }

    /// Sets the bytes that new keys may have the table grow by: where that is not enough for a larger
    /// table, the one there is is filled further ([`HashTable::hold_growth`]). None: as many as it likes.
    #[inline]
    pub fn limit_growth(&mut self, growth_max: Option<usize>) {
        self.growth_max = growth_max;
        if growth_max.is_none() {
            self.table.hold_growth(false);
        }
    }

    /// Frees the entries, each by `release`, in steps; see [`Release`](crate::Release).
    pub(crate) fn release_entries(
        self,
        step: &mut dyn FnMut(),
        release: impl Fn(KeyEntry, &mut dyn FnMut()),
    ) {
        release_table(self.table, step, release);
        drop(self.deadlines);
        step();
    }

    /// The entry of a key.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<&KeyEntry> {
        self.table.get(key)
    }

    /// [`Db::get`] for a caller that has the hash of the key ([`hash_bytes`]) already.
    #[inline]
    pub fn get_hashed(&self, hash: u64, key: &[u8]) -> Option<&KeyEntry> {
        self.table.get_hashed(hash, key)
    }

    /// Has the keys of these hashes ([`hash_bytes`]) in the processor's cache when they are looked up;
    /// see [`HashTable::warm`].
    pub fn warm(&self, hashes: &[u64]) {
        self.table.warm(hashes);
    }

    /// The entry of a key, to change. A snapshot that has not got it yet gets it now.
    #[inline]
    pub fn get_mut(&mut self, key: &[u8]) -> Option<&mut KeyEntry> {
        self.get_mut_hashed(hash_bytes(key), key)
    }

    /// [`Db::get_mut`] for a caller that has the hash of the key already.
    #[inline]
    pub fn get_mut_hashed(&mut self, hash: u64, key: &[u8]) -> Option<&mut KeyEntry> {
        let entry = self.table.get_mut_hashed(hash, key)?;
        if let Some(preserving) = &self.preserving {
            preserving.preserve(self.epoch, entry);
        }
        Some(entry)
    }

    /// The entry of a key, after `access` has entered an access to it: neither value nor deadline
    /// may be changed there, because a snapshot does not get to know of it.
    #[inline]
    pub fn get_accessed(
        &mut self,
        key: &[u8],
        access: impl FnOnce(&mut KeyEntry),
    ) -> Option<&KeyEntry> {
        self.get_accessed_hashed(hash_bytes(key), key, access)
    }

    /// [`Db::get_accessed`] for a caller that has the hash of the key already.
    #[inline]
    pub fn get_accessed_hashed(
        &mut self,
        hash: u64,
        key: &[u8],
        access: impl FnOnce(&mut KeyEntry),
    ) -> Option<&KeyEntry> {
        let entry = self.table.get_mut_hashed(hash, key)?;
        access(entry);
        Some(entry)
    }

    /// Sets a key, replacing value and time to live. Returns what was there. Of the access figure
    /// ([`KeyEntry::access`]) the low 24 bits count.
    pub fn insert(&mut self, key: &[u8], value: Value, access: u32) -> Option<KeyEntry> {
        self.put(KeyEntry::new(key, value, access, self.epoch))
    }

    /// [`Db::insert`] with the value that [`Value::string`] makes of `text`.
    #[inline]
    pub fn insert_text(&mut self, key: &[u8], text: &[u8], access: u32) -> Option<KeyEntry> {
        self.put(KeyEntry::of_text(key, text, access, self.epoch))
    }

    fn put(&mut self, entry: KeyEntry) -> Option<KeyEntry> {
        if let Some(growth_max) = self.growth_max {
            self.table.hold_growth(self.table.growth() > growth_max);
        }
        let old = self.table.insert(entry);
        if let Some(old) = &old {
            self.let_go(old);
        }
        old
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &[u8]) -> Option<KeyEntry> {
        let entry = self.table.remove(key)?;
        self.let_go(&entry);
        Some(entry)
    }

    /// What is to be done about an entry that is no longer in the table.
    #[inline]
    fn let_go(&mut self, entry: &KeyEntry) {
        if let Some(preserving) = &self.preserving {
            preserving.preserve(self.epoch, entry);
        }
        self.forget_deadline(entry);
    }

    /// Takes the deadline of an entry that is no longer in the table out of the tree.
    fn forget_deadline(&mut self, entry: &KeyEntry) {
        if entry.deadline() == FOREVER {
            return;
        }
        self.volatile -= 1;
        let hash = hash_bytes(entry.name());
        let at = entry.deadline();
        if self.due(at, hash).is_none() {
            self.deadlines.remove(at, hash);
        }
    }

    /// An entry of this deadline whose hash shares its [`short`] form with this one.
    fn due(&self, at: i64, hash: u64) -> Option<&KeyEntry> {
        let is_short = |entry: &KeyEntry| short(hash_bytes(entry.name())) == short(hash);
        // The deadline first: it is cheaper than hashing the key.
        self.table.find_by_tag(hash, |entry| entry.deadline() == at && is_short(entry))
    }

    /// Gives a key a deadline (Unix milliseconds), or lets it live forever. False when there is no
    /// such key.
    pub fn set_expire(&mut self, key: &[u8], at: Option<i64>) -> bool {
        let hash = hash_bytes(key);
        let Some(entry) = self.table.get_mut_hashed(hash, key) else { return false };
        // The end of time is one millisecond early: its place is taken by no deadline.
        let (old, new) = (entry.deadline(), at.map_or(FOREVER, |at| at.min(FOREVER - 1)));
        if old == new {
            return true;
        }
        if let Some(preserving) = &self.preserving {
            preserving.preserve(self.epoch, entry);
        }
        entry.set_deadline(new);
        if old != FOREVER {
            self.volatile -= 1;
            if self.due(old, hash).is_none() {
                self.deadlines.remove(old, hash);
            }
        }
        if new != FOREVER {
            self.volatile += 1;
            self.deadlines.insert(new, hash);
        }
        true
    }

    /// Name of the key that expires first, if its time is up at `now_ms`.
    pub fn next_expired(&self, now_ms: i64) -> Option<Bytes> {
        let (at, hash) = self.deadlines.first()?;
        if at >= now_ms {
            return None;
        }
        self.due(at, hash).map(|entry| Bytes::new(entry.name()))
    }

    /// Name and deadline of the key that expires first.
    pub fn first_deadline(&self) -> Option<(Bytes, i64)> {
        let (at, hash) = self.deadlines.first()?;
        let entry = self.due(at, hash)?;
        Some((Bytes::new(entry.name()), at))
    }

    /// Mean time to live in milliseconds of the keys that have one, estimated from a bounded
    /// number of them.
    pub fn average_ttl(&self, now_ms: i64) -> i64 {
        const SAMPLES: usize = 64;
        let (mut sum, mut count) = (0i64, 0i64);
        for (at, _) in self.deadlines.iter().take(SAMPLES) {
            sum = sum.saturating_add(at.saturating_sub(now_ms).max(0));
            count += 1;
        }
        if count == 0 { 0 } else { sum / count }
    }

    /// One step of `SCAN`: visits the entries of a bucket and returns the next cursor, 0 at the
    /// end.
    pub fn scan(&self, cursor: u64, visit: &mut impl FnMut(&KeyEntry)) -> u64 {
        self.table.scan(cursor, &mut |entry| visit(entry))
    }

    /// Begins to hand every entry to `sink`, as it is now: on the next steps, or before it changes.
    pub(crate) fn preserve_all(&mut self, home: usize, sink: SharedSink) {
        if self.is_empty() {
            return;
        }
        if self.epochs_in_use == u8::MAX {
            // An entry of the next epoch may have been left over from one that was given up.
            self.iter().for_each(|entry| {
                entry.enter_epoch(self.epoch);
            });
            self.epochs_in_use = 0;
        }
        self.epochs_in_use += 1;
        self.epoch = self.epoch.wrapping_add(1);
        self.preserving = Some(Box::new(Preserving::new(home, sink)));
    }

    /// Hands over the entries of the next bucket. False when there are no more.
    pub(crate) fn preserve_step(&mut self) -> bool {
        let Some(preserving) = &mut self.preserving else { return false };
        if preserving.walk(self.epoch, &self.table) {
            return true;
        }
        // Every entry is of this epoch now.
        self.preserving = None;
        self.epochs_in_use = 0;
        false
    }

    /// Whether entries are still to be handed over.
    pub(crate) fn is_preserving(&self) -> bool {
        self.preserving.is_some()
    }

    /// Stops handing over.
    pub(crate) fn stop_preserving(&mut self) {
        self.preserving = None;
    }

    /// Any key.
    pub fn random(&self, rng: &mut Rng) -> Option<&KeyEntry> {
        self.table.random(rng)
    }

    /// Hands `count` keys or fewer to `visit`, only as random as eviction needs.
    pub fn sample(&self, rng: &mut Rng, count: usize, visit: &mut impl FnMut(&KeyEntry)) {
        self.table.sample(rng, count, &mut |entry| visit(entry));
    }

    /// Hands about `count` random keys that have a time to live to `visit`, at least one if there
    /// is any.
    ///
    /// Either looks at random keys, which takes the longer the fewer of them have one, or walks to
    /// random places of the tree, which takes the longer the more have one. The cheaper way takes
    /// O(√(count · keys)) steps at worst, so that no second index of these keys is needed.
    pub fn sample_volatile(&self, rng: &mut Rng, count: usize, visit: &mut impl FnMut(&KeyEntry)) {
        let count = count.min(self.volatile);
        if count == 0 {
            return;
        }
        let mut left = count;
        let looks = (self.len() / self.volatile + 1).saturating_mul(count);
        if looks < self.volatile {
            for _ in 0..looks.saturating_mul(PROBE_EFFORT) / PROBE_KEYS + 1 {
                self.sample(rng, PROBE_KEYS, &mut |entry| {
                    if left > 0 && entry.deadline() != FOREVER {
                        left -= 1;
                        visit(entry);
                    }
                });
                if left == 0 {
                    return;
                }
            }
        }
        if left == count {
            self.walk_volatile(rng, count, visit);
        }
    }

    /// Hands keys at `count` random ranks of the deadlines to `visit`, in one walk.
    fn walk_volatile(&self, rng: &mut Rng, count: usize, visit: &mut impl FnMut(&KeyEntry)) {
        let len = self.deadlines.len();
        let mut ranks: Vec<usize> = match count < len {
            true => (0..count).map(|_| rng.below(len)).collect(),
            false => (0..len).collect(),
        };
        ranks.sort_unstable();
        ranks.dedup();
        let mut ranks = ranks.into_iter().peekable();
        for (rank, (at, hash)) in self.deadlines.iter().enumerate() {
            if ranks.next_if_eq(&rank).is_some()
                && let Some(entry) = self.due(at, hash)
            {
                visit(entry);
            }
            if ranks.peek().is_none() {
                return;
            }
        }
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &KeyEntry> {
        self.table.iter()
    }

    /// Moves a bounded number of buckets of a growing or shrinking table.
    pub fn rehash_step(&mut self, buckets: usize) -> bool {
        self.table.rehash_step(buckets)
    }

    /// How the entries are spread over the buckets of the table, and of the one that it is being
    /// resized to.
    pub fn table_statistics(&self) -> (ArrayStatistics, Option<ArrayStatistics>) {
        self.table.statistics()
    }

    /// Bytes of the table and the deadline tree, without the entries.
    pub fn overhead(&self) -> usize {
        self.table.memory_usage() + self.deadlines.memory_usage()
    }

    /// Checks the module's invariants. For tests; panics where one is broken.
    pub fn check_invariants(&self) {
        let mut expected: Vec<(i64, u64)> = self
            .table
            .iter()
            .filter(|entry| entry.deadline() != FOREVER)
            .map(|entry| (entry.deadline(), short(hash_bytes(entry.name()))))
            .collect();
        expected.sort_unstable();
        expected.dedup();
        self.deadlines.check_invariants();
        assert!(self.deadlines.iter().map(|(at, hash)| (at, short(hash))).eq(expected));
        let volatile = self.table.iter().filter(|entry| entry.deadline() != FOREVER).count();
        assert_eq!(self.volatile, volatile);
        self.iter().for_each(KeyEntry::check_invariants);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// How often each of `keys` is sampled when every `nth` one has a time to live.
    fn volatile_samples(keys: usize, nth: usize) -> BTreeMap<Vec<u8>, usize> {
        let mut db = Db::default();
        for number in 0..keys {
            let name = number.to_string();
            db.insert(name.as_bytes(), Value::Int(0), 0);
            if number % nth == 0 {
                db.set_expire(name.as_bytes(), Some(number as i64));
            }
        }
        let mut rng = crate::Rng::new(7);
        let mut seen = BTreeMap::new();
        // A hundred times for each of a thousand keys: that one is missed is out of the question.
        for _ in 0..20_000 {
            let mut some = false;
            db.sample_volatile(&mut rng, 5, &mut |entry| {
                assert!(entry.expire_at().is_some());
                some = true;
                *seen.entry(entry.name().to_vec()).or_default() += 1;
            });
            assert!(some);
        }
        seen
    }

    #[test]
    fn samples_of_volatile_keys_reach_all_of_them() {
        for (keys, nth) in [(1, 1), (10, 3), (1000, 1), (1000, 4), (1000, 100), (4000, 3999)] {
            assert_eq!(volatile_samples(keys, nth).len(), keys.div_ceil(nth), "{keys} {nth}");
        }
    }

    #[derive(Debug, Clone)]
    enum Op {
        Insert(u8),
        Remove(u8),
        Expire(u8, Option<u8>),
        Reap(u8),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            any::<u8>().prop_map(|key| Op::Insert(key % 32)),
            any::<u8>().prop_map(|key| Op::Remove(key % 32)),
            (any::<u8>(), any::<Option<u8>>()).prop_map(|(key, at)| Op::Expire(key % 32, at)),
            any::<u8>().prop_map(Op::Reap),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_map_with_deadlines(ops in prop::collection::vec(op(), 0..200)) {
            let mut db = Db::default();
            let mut model: BTreeMap<u8, Option<i64>> = BTreeMap::new();
            for op in ops {
                match op {
                    Op::Insert(key) => {
                        let was = db.insert(&[key], Value::Int(0), 0).is_some();
                        prop_assert_eq!(was, model.insert(key, None).is_some());
                    }
                    Op::Remove(key) => {
                        prop_assert_eq!(db.remove(&[key]).is_some(), model.remove(&key).is_some());
                    }
                    Op::Expire(key, at) => {
                        let at = at.map(i64::from);
                        prop_assert_eq!(db.set_expire(&[key], at), model.contains_key(&key));
                        model.entry(key).and_modify(|deadline| *deadline = at);
                    }
                    Op::Reap(now) => {
                        let now = i64::from(now);
                        while let Some(key) = db.next_expired(now) {
                            prop_assert!(db.remove(&key).is_some());
                        }
                        model.retain(|_, at| at.is_none_or(|at| at >= now));
                    }
                }
                db.check_invariants();
                prop_assert_eq!(db.len(), model.len());
            }
            for (key, at) in model {
                prop_assert_eq!(db.get(&[key]).map(KeyEntry::expire_at), Some(at));
            }
        }
    }
}
