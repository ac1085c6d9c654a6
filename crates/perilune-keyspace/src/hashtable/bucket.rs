//! One cache line of a hash table, and the chain that grows behind it when it overflows.
//!
//! Invariants of a chain: slots are filled from the front, every bucket but the last is full,
//! and no chained bucket is empty. A tag is zero exactly where its slot is empty.

use std::iter;
use std::mem;

use super::Entry;

/// Entries in one bucket.
pub(super) const SLOTS: usize = 8;

/// One in every byte.
const LANE_LOW: u64 = 0x0101_0101_0101_0101;
/// The top bit of every byte.
const LANE_HIGH: u64 = LANE_LOW << 7;

/// A cache line of entries.
#[derive(Clone)]
#[repr(align(64))]
pub(super) struct Bucket<E> {
    tags: [u8; SLOTS],
    slots: [Option<E>; SLOTS],
    next: Option<Box<Bucket<E>>>,
}

/// Where an entry stands in a chain.
#[derive(Clone, Copy)]
pub(super) struct Place {
    depth: usize,
    slot: usize,
}

/// What removing an entry gave back.
pub(super) struct Removed<E> {
    tag: u8,
    pub(super) entry: E,
    /// Whether the last bucket of the chain was freed.
    pub(super) freed: bool,
}

/// The tag of a hash: its top byte, which no bucket index uses, and never zero.
#[inline]
fn tag_of(hash: u64) -> u8 {
    ((hash >> 56) as u8).max(1)
}

/// The lanes of `tags` that equal `tag`, as the top bit of each.
///
/// The lowest bit set is always right. A lane above a match may be set wrongly, by the borrow of
/// the subtraction, so a caller that takes more than the lowest compares keys as well.
#[inline]
fn lanes_equal(tags: [u8; SLOTS], tag: u8) -> u64 {
    let differences = u64::from_le_bytes(tags) ^ (u64::from(tag) * LANE_LOW);
    differences.wrapping_sub(LANE_LOW) & !differences & LANE_HIGH
}

impl<E> Bucket<E> {
    pub(super) fn empty() -> Self {
        const { assert!(size_of::<Bucket<E>>() == 64, "an entry takes six bytes and has a niche") };
        Bucket { tags: [0; SLOTS], slots: [const { None }; SLOTS], next: None }
    }

    /// Something of the cache line.
    #[inline]
    pub(super) fn glance(&self) -> u8 {
        self.tags[0]
    }

    /// The bucket and those chained behind it.
    pub(super) fn chain(&self) -> impl Iterator<Item = &Bucket<E>> {
        iter::successors(Some(self), |bucket| bucket.next.as_deref())
    }

    pub(super) fn next(&self) -> Option<&Bucket<E>> {
        self.next.as_deref()
    }

    pub(super) fn slots(&self) -> &[Option<E>] {
        &self.slots
    }

    /// Entries in the whole chain.
    pub(super) fn chain_len(&self) -> usize {
        self.chain().map(Bucket::used).sum()
    }

    /// Every entry of the chain, front to back.
    pub(super) fn entries(&self) -> impl Iterator<Item = &E> {
        self.chain().flat_map(|bucket| bucket.slots.iter().flatten())
    }

    /// The place of the entry number `index` of the chain; there may be none there.
    pub(super) fn nth_place(index: usize) -> Place {
        Place { depth: index / SLOTS, slot: index % SLOTS }
    }

    pub(super) fn get(&self, place: Place) -> Option<&E> {
        self.chain().nth(place.depth)?.slots.get(place.slot)?.as_ref()
    }

    /// Adds an entry at the end of the chain; tells whether a bucket was chained for it.
    pub(super) fn push(&mut self, hash: u64, entry: E) -> (&mut E, bool) {
        let mut bucket = self;
        let mut chained = false;
        while bucket.used() == SLOTS {
            chained = bucket.next.is_none();
            bucket = bucket.next.get_or_insert_with(|| Box::new(Bucket::empty()));
        }
        let slot = bucket.used();
        bucket.tags[slot] = tag_of(hash);
        (bucket.slots[slot].insert(entry), chained)
    }

    /// The entry at `place`, where [`Bucket::find_place`] found one of that hash. (Nothing is made
    /// then; but this way there is no case of a missing entry to answer for.)
    pub(super) fn get_or_make(
        &mut self,
        place: Place,
        hash: u64,
        make: impl FnOnce() -> E,
    ) -> &mut E {
        let mut bucket = self;
        for _ in 0..place.depth {
            bucket = bucket.next.get_or_insert_with(|| Box::new(Bucket::empty()));
        }
        bucket.tags[place.slot] = tag_of(hash);
        bucket.slots[place.slot].get_or_insert_with(make)
    }

    /// Removes the entry at `place`; the last of the chain takes its slot.
    pub(super) fn remove(&mut self, place: Place) -> Option<Removed<E>> {
        self.get(place)?;
        let mut removed = self.pop()?;
        if let Some(bucket) = self.link_mut(place.depth)
            && let Some(slot @ Some(_)) = bucket.slots.get_mut(place.slot)
        {
            bucket.tags[place.slot] = removed.tag;
            if let Some(wanted) = slot.replace(removed.entry) {
                removed.entry = wanted;
                return Some(removed);
            }
            return None;
        }
        Some(removed)
    }

    /// Removes the last entry of the chain.
    pub(super) fn pop(&mut self) -> Option<Removed<E>> {
        if let Some(next) = self.next.as_deref_mut() {
            let mut removed = next.pop()?;
            if next.used() == 0 {
                self.next = None;
                removed.freed = true;
            }
            return Some(removed);
        }
        let slot = self.used().checked_sub(1)?;
        let tag = mem::take(&mut self.tags[slot]);
        self.slots[slot].take().map(|entry| Removed { tag, entry, freed: false })
    }

    #[inline]
    fn link_mut(&mut self, depth: usize) -> Option<&mut Bucket<E>> {
        let mut bucket = self;
        for _ in 0..depth {
            bucket = bucket.next.as_deref_mut()?;
        }
        Some(bucket)
    }

    /// Entries in this bucket alone.
    #[inline]
    fn used(&self) -> usize {
        let free = lanes_equal(self.tags, 0);
        if free == 0 { SLOTS } else { free.trailing_zeros() as usize / 8 }
    }
}

impl<E: Entry> Bucket<E> {
    /// The entry in the chain whose tag fits `hash` and that `is_it` accepts.
    #[inline]
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(&E) -> bool) -> Option<&E> {
        let tag = tag_of(hash);
        let mut bucket = self;
        loop {
            if let Some(slot) = bucket.slot_of(tag, &is_it) {
                return bucket.slots[slot].as_ref();
            }
            bucket = bucket.next.as_deref()?;
        }
    }

    /// The entry of the first bucket that one of this hash would be, nearly always.
    #[inline]
    pub(super) fn likely(&self, hash: u64) -> Option<&E> {
        let lanes = lanes_equal(self.tags, tag_of(hash));
        self.slots.get(lanes.trailing_zeros() as usize / 8)?.as_ref()
    }

    /// The place of the entry of `key` in the chain.
    #[inline]
    pub(super) fn find_place(&self, hash: u64, key: &[u8]) -> Option<Place> {
        let tag = tag_of(hash);
        let is_it = |entry: &E| entry.key() == key;
        let slot_at =
            |(depth, bucket): (_, &Self)| Some(Place { depth, slot: bucket.slot_of(tag, is_it)? });
        self.chain().enumerate().find_map(slot_at)
    }

    /// The entry of `key` in the chain.
    #[inline]
    pub(super) fn find_mut(&mut self, hash: u64, key: &[u8]) -> Option<&mut E> {
        let tag = tag_of(hash);
        let mut bucket = self;
        loop {
            if let Some(slot) = bucket.slot_of(tag, |entry| entry.key() == key) {
                return bucket.slots[slot].as_mut();
            }
            bucket = bucket.next.as_deref_mut()?;
        }
    }

    /// Which slot of this bucket alone has the entry of that tag that `is_it` accepts. Lanes that are
    /// equal by mistake, see [`lanes_equal`], do not matter: it does not accept what is there.
    #[inline]
    fn slot_of(&self, tag: u8, is_it: impl Fn(&E) -> bool) -> Option<usize> {
        let mut lanes = lanes_equal(self.tags, tag);
        while lanes != 0 {
            let slot = lanes.trailing_zeros() as usize / 8;
            if self.slots[slot].as_ref().is_some_and(&is_it) {
                return Some(slot);
            }
            lanes &= lanes - 1;
        }
        None
    }

    /// Panics unless the invariants of the chain hold and every entry's hash satisfies `belongs`.
    pub(super) fn check_invariants(&self, belongs: impl Fn(u64) -> bool) {
        for (depth, bucket) in self.chain().enumerate() {
            let used = bucket.used();
            assert!(bucket.next.is_none() || used == SLOTS, "a bucket before the last is full");
            assert!(depth == 0 || used > 0, "a chained bucket is not empty");
            for (slot, entry) in bucket.slots.iter().enumerate() {
                assert_eq!(entry.is_some(), slot < used, "slots are filled from the front");
                let hash = entry.as_ref().map(|entry| super::hash_bytes(entry.key()));
                assert_eq!(bucket.tags[slot], hash.map_or(0, tag_of));
                assert!(hash.is_none_or(&belongs), "an entry stands in the bucket of its hash");
            }
        }
    }
}
