//! The dictionary: of the keyspace, and of hashes, sets and sorted sets that outgrew a listpack.
//!
//! ```text
//! current  [ bucket | bucket | bucket | bucket | ... ]     a power of two, in segments
//! old      [ (moved) | (moved) | bucket | ... ]            only while resizing
//!                                 ^ moved
//! bucket   | 8 tags | 8 entries, an address of six bytes each | next |    64 bytes
//! ```
//!
//! An entry owns its key (and whatever else its owner keeps there), so the table holds one
//! address (see [`Slim`](crate::Slim)) and one tag byte per entry. A tag is a byte of the key's hash:
//! nearly every entry that is not the one looked for is passed over without reading it.
//!
//! **Resizing** moves entries from the old array to the new one a few buckets at a time, at
//! every insertion and removal and from [`HashTable::rehash_step`]; no call moves or initialises
//! an amount that grows with the table. Buckets move in the order of their index, and new
//! entries respect that order:
//!
//! - an entry stands in the old array exactly if its bucket there has not been moved yet.
//!
//! So a key has a single possible bucket at any time, and a lookup visits only that one.
//!
//! **Scanning** counts a cursor upwards from its top bit. A bucket of a small table and the buckets
//! it divides into in a larger one are neighbours in that order, so a scan that goes on
//! across any number of resizes reports every entry that stayed, some more than once.
//!
//! Keys are hashed with a state drawn once per process, so a peer cannot choose colliding keys.
//!
//! What it does not do: it knows no expiry, and it does not count the memory of its entries.

mod bucket;
mod directory;
mod statistics;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::iter;
use std::mem;
use std::slice;
use std::sync::LazyLock;
use std::vec;

use ahash::RandomState;

use crate::{Bytes, Rng};
pub use statistics::ArrayStatistics;

use bucket::{Bucket, Place, SLOTS};
use directory::{Directory, SEGMENT_BUCKETS, Segment};

/// Entries per bucket, on average, at which the table doubles. One entry in seven stands in a chained
/// bucket by then, and fewer than one in a hundred after it: dearer to find than with more room, but what
/// lookups lose there they win by a table of half the size in the processor's cache.
const GROW_AT: usize = SLOTS;
/// Entries per bucket, on average, from which a table grows even where that is held
/// ([`HashTable::hold_growth`]): 1.6 times as full as it should be, as in Redis. A cache at its limit of
/// memory is in that state for good, so its lookups must stay cheap.
const HELD_MAX: usize = 13;
/// The table becomes a quarter of its size when it has fewer entries than buckets. It is then one
/// doubling of its entries from growing again, and two halvings from shrinking again.
const SHRINK_BY: usize = 4;
/// A table of this size or smaller does not shrink.
const SHRINK_MIN_BUCKETS: usize = 16;
/// Empty buckets passed over for one that is moved.
const EMPTY_VISITS: usize = 10;
/// Picks of a random bucket before a walk to the next one that is not empty.
const RANDOM_TRIES: usize = 100;

/// What a table holds: something that owns its key.
pub trait Entry {
    /// The key. It must not change while the entry is in a table.
    fn key(&self) -> &[u8];
}

impl Entry for Bytes {
    fn key(&self) -> &[u8] {
        self
    }
}

/// The hash under which every table of this process files `key`.
#[inline]
pub fn hash_bytes(key: &[u8]) -> u64 {
    static STATE: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let mut hasher = STATE.build_hasher();
    hasher.write(key);
    hasher.finish()
}

/// Reads something of every key, so that the memory serves these reads together and the keys are in the
/// processor's cache when they are needed.
#[inline]
fn read_keys<'a, E: Entry + 'a>(entries: impl Iterator<Item = &'a E>) {
    let first_byte = |entry: &E| entry.key().first().copied().unwrap_or(0);
    std::hint::black_box(entries.fold(0, |sum, entry| sum ^ first_byte(entry)));
}

/// A dictionary of entries that own their keys; see the module for its structure.
///
/// `E` takes six bytes and has a niche, as a [`Slim`](crate::Slim) does; another type does not compile.
#[derive(Clone)]
pub struct HashTable<E> {
    current: Directory<E>,
    /// Not empty exactly while resizing.
    old: Directory<E>,
    /// Buckets of `old`, from the first, that have been moved.
    moved: usize,
    len: usize,
    /// Buckets chained behind others, in both arrays.
    chained: usize,
    /// Whether insertions are not to make it grow.
    held: bool,
}

/// An entry's bucket, by any hash that leads there, and its place in the chain.
#[derive(Clone, Copy)]
struct Position {
    hash: u64,
    place: Place,
}

impl<E> Default for HashTable<E> {
    fn default() -> Self {
        HashTable {
            current: Directory::none(),
            old: Directory::none(),
            moved: 0,
            len: 0,
            chained: 0,
            held: false,
        }
    }
}

impl<E: Entry> HashTable<E> {
    /// An empty table, which allocates nothing.
    pub fn new() -> Self {
        HashTable::default()
    }

    /// An empty table that takes `capacity` entries without resizing.
    pub fn with_capacity(capacity: usize) -> Self {
        let mut table = HashTable::new();
        if capacity > 0 {
            table.current = Directory::new(capacity.div_ceil(GROW_AT).next_power_of_two());
        }
        table
    }

    /// Number of entries.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no entries.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The entry of `key`.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<&E> {
        self.get_hashed(hash_bytes(key), key)
    }

    /// The entry of `key`, whose hash ([`hash_bytes`]) the caller has already.
    #[inline]
    pub fn get_hashed(&self, hash: u64, key: &[u8]) -> Option<&E> {
        self.bucket(hash)?.find(hash, |entry| entry.key() == key)
    }

    /// An entry that satisfies `is_it` among those where an entry of this hash would be, for a caller
    /// that kept part of the hash of a key instead of the key: the bits of the bucket and the top
    /// byte. Entries of other hashes may be among them.
    pub fn find_by_tag(&self, hash: u64, is_it: impl Fn(&E) -> bool) -> Option<&E> {
        self.bucket(hash)?.find(hash, is_it)
    }

    /// Reads, for keys of these hashes, what lookups are about to read, so that the lookups find it
    /// in the processor's cache. Here the reads do not depend on each other, and the memory serves
    /// many at a time; lookups one after the other would each wait for their own.
    pub fn warm(&self, hashes: &[u64]) {
        let bucket = |hash: &u64| self.bucket(*hash);
        let lines = hashes.iter().filter_map(bucket).fold(0, |sum, bucket| sum ^ bucket.glance());
        std::hint::black_box(lines);
        read_keys(hashes.iter().filter_map(|hash| self.bucket(*hash)?.likely(*hash)));
    }

    /// The entry of `key`, to change anything in it but the key.
    #[inline]
    pub fn get_mut(&mut self, key: &[u8]) -> Option<&mut E> {
        self.get_mut_hashed(hash_bytes(key), key)
    }

    /// [`HashTable::get_mut`] for a caller that has the hash already.
    #[inline]
    pub fn get_mut_hashed(&mut self, hash: u64, key: &[u8]) -> Option<&mut E> {
        self.bucket_mut(hash)?.find_mut(hash, key)
    }

    /// Whether there is an entry of `key`.
    #[inline]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }

    /// Adds `entry`; an entry of the same key is replaced and returned.
    pub fn insert(&mut self, entry: E) -> Option<E> {
        let hash = hash_bytes(entry.key());
        self.prepare_insert();
        match self.get_mut_hashed(hash, entry.key()) {
            Some(present) => Some(mem::replace(present, entry)),
            None => {
                self.place(hash, entry);
                None
            }
        }
    }

    /// Adds `entry`, whose key must not be in the table.
    pub fn insert_unique(&mut self, entry: E) {
        let hash = hash_bytes(entry.key());
        self.insert_unique_hashed(hash, entry);
    }

    /// [`HashTable::insert_unique`] for a caller that has the hash already.
    pub fn insert_unique_hashed(&mut self, hash: u64, entry: E) {
        debug_assert!(self.get_hashed(hash, entry.key()).is_none());
        self.prepare_insert();
        self.place(hash, entry);
    }

    /// The entry of `key`, made by `make` if there is none; tells whether it was made.
    ///
    /// `make` must give an entry of that key.
    pub fn get_or_insert_with(&mut self, key: &[u8], make: impl FnOnce() -> E) -> (&mut E, bool) {
        let hash = hash_bytes(key);
        self.prepare_insert();
        match self.position(hash, key) {
            Some(found) => (self.touch(hash).get_or_make(found.place, hash, make), false),
            None => {
                let entry = make();
                debug_assert!(entry.key() == key);
                (self.place(hash, entry), true)
            }
        }
    }

    /// Removes the entry of `key`.
    pub fn remove(&mut self, key: &[u8]) -> Option<E> {
        self.remove_hashed(hash_bytes(key), key)
    }

    /// [`HashTable::remove`] for a caller that has the hash already.
    pub fn remove_hashed(&mut self, hash: u64, key: &[u8]) -> Option<E> {
        let position = self.position(hash, key)?;
        self.take(position)
    }

    /// Every entry, in no particular order.
    pub fn iter(&self) -> Iter<'_, E> {
        Iter {
            segments: self.old.segments().iter().chain(self.current.segments()),
            buckets: [].iter(),
            bucket: None,
            slots: [].iter(),
            left: self.len,
        }
    }

    /// Hands the entries of the bucket at `cursor` to `visit`; returns the next cursor, zero when
    /// the scan is complete. It starts at zero; any value is a valid cursor.
    pub fn scan<'a>(&'a self, cursor: u64, visit: &mut impl FnMut(&'a E)) -> u64 {
        if self.is_empty() {
            return 0;
        }
        let mut report = |array: &'a Directory<E>, cursor: u64| {
            if let Some(bucket) = array.get(array.index_of(cursor)) {
                bucket.entries().for_each(&mut *visit);
            }
        };
        if !self.is_rehashing() {
            report(&self.current, cursor);
            return next_cursor(cursor, self.current.buckets());
        }
        let (small, large) = if self.old.buckets() < self.current.buckets() {
            (&self.old, &self.current)
        } else {
            (&self.current, &self.old)
        };
        report(small, cursor);
        // Then the buckets of the larger array that the small one divides into.
        let between = (large.buckets() - small.buckets()) as u64;
        let mut cursor = cursor;
        loop {
            report(large, cursor);
            cursor = next_cursor(cursor, large.buckets());
            if cursor & between == 0 {
                return cursor;
            }
        }
    }

    /// A random entry. All are as likely as each other but for those in buckets of more than sixteen:
    /// one in a hundred buckets of a table that is about to grow, one in six of one that is held
    /// ([`HashTable::hold_growth`]) and as full as can be. In a bucket of twenty they are a fifth less likely.
    pub fn random(&self, rng: &mut Rng) -> Option<&E> {
        let Position { hash, place } = self.random_position(rng)?;
        self.bucket(hash)?.get(place)
    }

    /// Removes a random entry, picked like [`HashTable::random`].
    pub fn pop_random(&mut self, rng: &mut Rng) -> Option<E> {
        let position = self.random_position(rng)?;
        self.take(position)
    }

    /// Hands `count` entries or fewer to `visit`: the ones that stand together at a random
    /// place. Cheaper than as many random entries, and only as random as eviction needs.
    pub fn sample(&self, rng: &mut Rng, count: usize, visit: &mut impl FnMut(&E)) {
        if count >= self.len {
            return self.iter().for_each(visit);
        }
        let (start, mut left, mut first) = (rng.next_u64(), count, true);
        for step in 0..count as u64 * EMPTY_VISITS as u64 {
            let Some(bucket) = self.bucket(start.wrapping_add(step)) else { continue };
            // Begins anywhere in a bucket, or else the last of full buckets would never be seen.
            let skipped = match std::mem::take(&mut first) {
                true => rng.below(bucket.chain_len()),
                false => 0,
            };
            bucket.entries().skip(skipped).take(left).for_each(&mut *visit);
            left = left.saturating_sub(bucket.chain_len() - skipped);
            if left == 0 {
                return;
            }
        }
    }

    /// Keeps the entries for which `keep` is true and drops the others.
    pub fn retain(&mut self, mut keep: impl FnMut(&mut E) -> bool) {
        let (mut len, mut chained) = (0, 0);
        let segments = self.old.segments_mut().iter_mut().chain(self.current.segments_mut());
        for bucket in segments.flatten().flat_map(|segment| segment.iter_mut()) {
            let mut chain = mem::replace(bucket, Bucket::empty());
            while let Some(removed) = chain.pop() {
                let mut entry = removed.entry;
                if keep(&mut entry) {
                    let hash = hash_bytes(entry.key());
                    chained += usize::from(bucket.push(hash, entry).1);
                    len += 1;
                }
            }
        }
        (self.len, self.chained) = (len, chained);
        self.shrink_if_sparse();
    }

    /// Empties the table and frees it.
    pub fn clear(&mut self) {
        *self = HashTable::new();
    }

    /// Whether entries are being moved to an array of another size.
    #[inline]
    pub fn is_rehashing(&self) -> bool {
        self.old.buckets() != 0
    }

    /// Moves up to `buckets` buckets if the table is being resized; returns whether it still is.
    pub fn rehash_step(&mut self, buckets: usize) -> bool {
        let mut to_move = buckets;
        let mut visits = buckets.saturating_mul(EMPTY_VISITS);
        while self.is_rehashing() && to_move > 0 && visits > 0 {
            visits -= 1;
            to_move -= usize::from(self.move_bucket());
        }
        self.is_rehashing()
    }

    /// Buckets of the array that is in use, or is being moved to.
    pub fn bucket_count(&self) -> usize {
        self.current.buckets()
    }

    /// Bytes allocated by the table itself, without what the entries own.
    pub fn memory_usage(&self) -> usize {
        let chained = self.chained * size_of::<Bucket<E>>();
        self.current.memory_usage() + self.old.memory_usage() + chained
    }

    /// Bytes of the larger array that the next insertion would begin to fill; zero if it needs none.
    #[inline]
    pub fn growth(&self) -> usize {
        let buckets = self.current.buckets();
        match !self.is_rehashing() && self.len >= buckets.saturating_mul(GROW_AT) {
            true => buckets.saturating_mul(2 * size_of::<Bucket<E>>()),
            false => 0,
        }
    }

    /// Whether insertions are to do without a larger array for as long as the table works well enough
    /// without: so a limit of memory is not exceeded for a table that is merely slower when it is fuller.
    #[inline]
    pub fn hold_growth(&mut self, held: bool) {
        self.held = held;
    }

    /// Allocations that freeing the table gives back, its entries counted as one each.
    pub fn free_effort(&self) -> usize {
        let segments = self.current.buckets() / SEGMENT_BUCKETS;
        self.len + self.chained + segments
    }

    /// The bucket where an entry of that hash stands if there is one.
    #[inline]
    fn bucket(&self, hash: u64) -> Option<&Bucket<E>> {
        if self.is_rehashing() {
            let index = self.old.index_of(hash);
            if index >= self.moved {
                return self.old.get(index);
            }
        }
        self.current.get(self.current.index_of(hash))
    }

    #[inline]
    fn bucket_mut(&mut self, hash: u64) -> Option<&mut Bucket<E>> {
        if self.is_rehashing() {
            let index = self.old.index_of(hash);
            if index >= self.moved {
                return self.old.get_mut(index);
            }
        }
        self.current.get_mut(self.current.index_of(hash))
    }

    #[inline]
    fn position(&self, hash: u64, key: &[u8]) -> Option<Position> {
        let place = self.bucket(hash)?.find_place(hash, key)?;
        Some(Position { hash, place })
    }

    /// The bucket where an entry of that hash belongs. There must be an array.
    fn touch(&mut self, hash: u64) -> &mut Bucket<E> {
        let old_index = self.old.index_of(hash);
        if self.is_rehashing() && old_index >= self.moved {
            self.old.touch(old_index)
        } else {
            self.current.touch(self.current.index_of(hash))
        }
    }

    /// Adds an entry whose key is not in the table. There must be an array.
    fn place(&mut self, hash: u64, entry: E) -> &mut E {
        self.len += 1;
        // Spelt out rather than by `touch`, so that the counter stays free to be changed.
        let old_index = self.old.index_of(hash);
        let bucket = if self.is_rehashing() && old_index >= self.moved {
            self.old.touch(old_index)
        } else {
            self.current.touch(self.current.index_of(hash))
        };
        let (entry, chained) = bucket.push(hash, entry);
        self.chained += usize::from(chained);
        entry
    }

    fn take(&mut self, position: Position) -> Option<E> {
        let removed = self.bucket_mut(position.hash)?.remove(position.place)?;
        self.chained -= usize::from(removed.freed);
        self.len -= 1;
        self.rehash_step(1);
        self.shrink_if_sparse();
        Some(removed.entry)
    }

    /// Picks a bucket and one of sixteen places in it until an entry stands there, so that an
    /// entry of a full bucket is as likely as one that is alone.
    fn random_position(&self, rng: &mut Rng) -> Option<Position> {
        if self.is_empty() {
            return None;
        }
        for _ in 0..RANDOM_TRIES {
            let hash = rng.next_u64();
            if self.is_repeat(hash) {
                continue;
            }
            let Some(bucket) = self.bucket(hash) else { continue };
            let entries = bucket.chain_len();
            let index = rng.below(entries.max(2 * SLOTS));
            if index < entries {
                return Some(Position { hash, place: Bucket::<E>::nth_place(index) });
            }
        }
        self.random_in_sparse(rng)
    }

    /// Whether another hash stands for the same bucket, and better: during a resize several
    /// buckets of the larger array lead to one of the smaller, which must count only once.
    fn is_repeat(&self, hash: u64) -> bool {
        if !self.is_rehashing() {
            return false;
        }
        let (old, current) = (self.old.buckets(), self.current.buckets());
        let is_moved = self.old.index_of(hash) < self.moved;
        let is_in_small = is_moved == (current < old);
        is_in_small && hash & old.abs_diff(current) as u64 != 0
    }

    /// A random entry of the first bucket that is not empty from a random one on.
    fn random_in_sparse(&self, rng: &mut Rng) -> Option<Position> {
        let start = rng.next_u64();
        let buckets = self.current.buckets().max(self.old.buckets()) as u64;
        (0..buckets).find_map(|step| {
            let hash = start.wrapping_add(step);
            let entries = self.bucket(hash)?.chain_len();
            let place = Bucket::<E>::nth_place(rng.below(entries));
            (entries > 0).then_some(Position { hash, place })
        })
    }

    /// Moves a bucket if a resize is under way, and starts one if the table is full.
    fn prepare_insert(&mut self) {
        if self.rehash_step(1) {
            return;
        }
        let buckets = self.current.buckets();
        if buckets == 0 {
            self.current = Directory::new(1);
        } else {
            let full = if self.held { HELD_MAX } else { GROW_AT };
            if self.len >= buckets.saturating_mul(full) {
                self.start_resize(buckets * 2);
            }
        }
    }

    fn shrink_if_sparse(&mut self) {
        let buckets = self.current.buckets();
        if !self.is_rehashing()
            && buckets > SHRINK_MIN_BUCKETS
            && self.len < buckets / (2 * SHRINK_BY) * GROW_AT
        {
            self.start_resize(buckets / SHRINK_BY);
        }
    }

    fn start_resize(&mut self, buckets: usize) {
        self.old = mem::replace(&mut self.current, Directory::new(buckets));
        self.moved = 0;
    }

    /// Moves the next bucket of the old array, or passes over a segment that was never written;
    /// returns whether there was an entry in it. Frees what has been moved completely.
    fn move_bucket(&mut self) -> bool {
        let index = self.moved;
        let mut any = false;
        match self.old.get_mut(index) {
            Some(bucket) => {
                let mut chain = mem::replace(bucket, Bucket::empty());
                self.moved = index + 1;
                // Before the first is hashed, which each would wait for.
                read_keys(chain.entries());
                while let Some(removed) = chain.pop() {
                    any = true;
                    self.chained -= usize::from(removed.freed);
                    self.len -= 1;
                    let hash = hash_bytes(removed.entry.key());
                    self.place(hash, removed.entry);
                }
            }
            None => self.moved = (index | (SEGMENT_BUCKETS - 1)) + 1,
        }
        if self.moved >= self.old.buckets() {
            self.old = Directory::none();
            self.moved = 0;
        } else if self.moved.is_multiple_of(SEGMENT_BUCKETS) {
            self.old.free_segment_of(index);
        }
        any
    }

    /// Panics unless the invariants of the structure hold; for tests.
    pub fn check_invariants(&self) {
        let (mut len, mut chained) = (0, 0);
        for array in [&self.old, &self.current] {
            assert!(array.buckets() == 0 || array.buckets().is_power_of_two());
            for index in 0..array.buckets() {
                let Some(bucket) = array.get(index) else { continue };
                let is_old = std::ptr::eq(array, &self.old);
                bucket.check_invariants(|hash| {
                    let old_index = self.old.index_of(hash);
                    let stays = self.is_rehashing() && old_index >= self.moved;
                    array.index_of(hash) == index && stays == is_old
                });
                len += bucket.chain_len();
                chained += bucket.chain().count() - 1;
            }
        }
        assert_eq!((len, chained), (self.len, self.chained));
        assert!(self.moved == 0 || self.moved < self.old.buckets());
    }
}

impl<E: Entry + fmt::Debug> fmt::Debug for HashTable<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl<E> IntoIterator for HashTable<E> {
    type Item = E;
    type IntoIter = IntoIter<E>;

    /// Gives every entry away, freeing the table on the way.
    fn into_iter(self) -> IntoIter<E> {
        let segments = self.old.into_segments().into_iter().chain(self.current.into_segments());
        IntoIter { segments, buckets: Vec::new().into_iter(), bucket: Bucket::empty() }
    }
}

/// Every entry of a table that is given up.
pub struct IntoIter<E> {
    segments: iter::Chain<vec::IntoIter<Segment<E>>, vec::IntoIter<Segment<E>>>,
    buckets: vec::IntoIter<Bucket<E>>,
    bucket: Bucket<E>,
}

impl<E> Iterator for IntoIter<E> {
    type Item = E;

    fn next(&mut self) -> Option<E> {
        loop {
            if let Some(removed) = self.bucket.pop() {
                return Some(removed.entry);
            }
            match self.buckets.next() {
                Some(bucket) => self.bucket = bucket,
                None => {
                    self.buckets = self.segments.next()?.unwrap_or_default().into_vec().into_iter()
                }
            }
        }
    }
}

/// The cursor after `cursor` for an array of `buckets` buckets: the bits that make the index are
/// counted upwards from the top one.
fn next_cursor(cursor: u64, buckets: usize) -> u64 {
    let mask = (buckets as u64).saturating_sub(1);
    (cursor | !mask).reverse_bits().wrapping_add(1).reverse_bits()
}

/// Every entry of a table; see [`HashTable::iter`].
#[derive(Clone)]
pub struct Iter<'a, E> {
    segments: iter::Chain<slice::Iter<'a, Segment<E>>, slice::Iter<'a, Segment<E>>>,
    buckets: slice::Iter<'a, Bucket<E>>,
    bucket: Option<&'a Bucket<E>>,
    slots: slice::Iter<'a, Option<E>>,
    left: usize,
}

impl<'a, E> Iterator for Iter<'a, E> {
    type Item = &'a E;

    fn next(&mut self) -> Option<&'a E> {
        loop {
            // Slots are filled from the front: the first empty one ends the chain.
            if let Some(Some(entry)) = self.slots.next() {
                self.left = self.left.saturating_sub(1);
                return Some(entry);
            }
            self.bucket = self.bucket.and_then(Bucket::next).or_else(|| self.buckets.next());
            match self.bucket {
                Some(bucket) => self.slots = bucket.slots().iter(),
                None => self.buckets = self.segments.next()?.as_deref().unwrap_or_default().iter(),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<E> ExactSizeIterator for Iter<'_, E> {}
