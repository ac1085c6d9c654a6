//! The deadlines of a database in their order, each with as much of the hash of its key as it takes to
//! find the key again.
//!
//! ```text
//! leaves   BTreeMap (deadline, short hash) -> leaf          up to 112 deadlines to a leaf
//! leaf     | deadline - that of the leaf: u32 BE | short hash: 40 bits BE | ... ascending
//! short    | top byte of the hash | low 32 bits |           tag and bucket in the table of keys
//! ```
//!
//! So a deadline takes 9 bytes where leaves are full, which they are when deadlines mostly come in
//! order, and 13 where they come in any order; a `BTreeSet` would take twice to three times as much.
//!
//! Invariants:
//! - no leaf is empty or longer than [`LEAF_MAX`];
//! - all elements of a leaf are at or above its key in the map, less than 2^32 ms above, and below
//!   the key of the next leaf;
//! - elements of a leaf ascend strictly, and `len` counts them all.

use std::collections::BTreeMap;

/// Most elements of a leaf.
const LEAF_MAX: usize = 112;
/// Elements that a full leaf allocation grows by.
const LEAF_STEP: usize = 16;
/// A leaf of fewer elements is joined with the next one if both have room in one.
const LEAF_MIN: usize = LEAF_MAX / 4;

/// Bytes of the deadline in an element.
const OFFSET: usize = 4;

/// Deadline and short hash, packed so that the order of the bytes is that of both.
type Element = [u8; 9];

/// A deadline in Unix milliseconds, and a short hash.
type Key = (i64, u64);

type Leaf = Vec<Element>;

/// Deadlines in their order.
#[derive(Default)]
pub(crate) struct Deadlines {
    leaves: BTreeMap<Key, Leaf>,
    len: usize,
}

/// What is kept of a hash: its top byte, and the low 32 bits.
pub(crate) fn short(hash: u64) -> u64 {
    hash >> 56 << 32 | u64::from(hash as u32)
}

/// A hash that [`short`] makes the same of, and that leads to the same bucket with the same tag.
fn lengthened(short: u64) -> u64 {
    short >> 32 << 56 | u64::from(short as u32)
}

/// The element for `key` in a leaf whose deadlines begin at `base`, if they reach that far.
fn pack(key: Key, base: i64) -> Option<Element> {
    let offset = u32::try_from(i128::from(key.0) - i128::from(base)).ok()?;
    let mut element = [0; 9];
    element[..OFFSET].copy_from_slice(&offset.to_be_bytes());
    element[OFFSET..].copy_from_slice(&key.1.to_be_bytes()[3..]);
    Some(element)
}

fn unpack(element: &Element, base: i64) -> Key {
    let [a, b, c, d, hash @ ..] = *element;
    let [e, f, g, h, i] = hash;
    let offset = i64::from(u32::from_be_bytes([a, b, c, d]));
    (base.wrapping_add(offset), u64::from_be_bytes([0, 0, 0, e, f, g, h, i]))
}

/// Adds an element to a leaf that is not full.
fn insert_at(leaf: &mut Leaf, at: usize, element: Element) {
    if leaf.len() == leaf.capacity() {
        leaf.reserve_exact(LEAF_STEP);
    }
    leaf.insert(at, element);
}

impl Deadlines {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds a deadline for a key of this hash. Nothing happens if there is one of its short hash.
    pub(crate) fn insert(&mut self, at: i64, hash: u64) {
        let key = (at, short(hash));
        let Some((&first, leaf)) = self.leaves.range_mut(..=key).next_back() else {
            self.insert_below_all(key);
            return;
        };
        let Some(element) = pack(key, first.0) else {
            // Beyond the reach of the leaf, and so behind all of its elements.
            self.insert_leaf(key);
            return;
        };
        let Err(place) = leaf.binary_search(&element) else { return };
        if leaf.len() < LEAF_MAX {
            insert_at(leaf, place, element);
            self.len += 1;
            return;
        }
        if place == LEAF_MAX {
            self.insert_leaf(key);
            self.join_next(key);
            return;
        }
        self.split(first, place);
        self.insert(at, hash);
    }

    /// Removes the deadline of a key of this hash.
    pub(crate) fn remove(&mut self, at: i64, hash: u64) {
        let key = (at, short(hash));
        let Some((&first, leaf)) = self.leaves.range_mut(..=key).next_back() else { return };
        let Some(element) = pack(key, first.0) else { return };
        let Ok(place) = leaf.binary_search(&element) else { return };
        leaf.remove(place);
        self.len -= 1;
        let left = leaf.len();
        if leaf.capacity() > 2 * left + LEAF_STEP {
            leaf.shrink_to(left + LEAF_STEP);
        }
        match left {
            0 => drop(self.leaves.remove(&first)),
            1..LEAF_MIN => self.join_next(first),
            _ => {}
        }
    }

    /// The first deadline, and a hash that leads to its key.
    pub(crate) fn first(&self) -> Option<(i64, u64)> {
        self.iter().next()
    }

    /// All deadlines in their order, each with a hash that leads to its key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, u64)> {
        self.leaves.iter().flat_map(|(first, leaf)| {
            leaf.iter().map(|element| {
                let (at, short) = unpack(element, first.0);
                (at, lengthened(short))
            })
        })
    }

    /// Bytes allocated, roughly.
    pub(crate) fn memory_usage(&self) -> usize {
        // Nodes of the map are on average three quarters full, and leaves have half a step unused.
        let leaf = (size_of::<Key>() + size_of::<Leaf>()) * 4 / 3;
        let unused = LEAF_STEP / 2 * size_of::<Element>();
        self.len * size_of::<Element>() + self.leaves.len() * (leaf + unused)
    }

    /// Adds a key that is less than all others.
    fn insert_below_all(&mut self, key: Key) {
        let reaches = |(first, leaf): (&Key, &Leaf)| {
            let last = leaf.last().map(|last| unpack(last, first.0))?;
            (leaf.len() < LEAF_MAX).then(|| pack(last, key.0))?.map(|_| *first)
        };
        let Some(first) = self.leaves.first_key_value().and_then(reaches) else {
            self.insert_leaf(key);
            return;
        };
        // The first leaf begins earlier from now on.
        let old = self.leaves.remove(&first).unwrap_or_default();
        let mut leaf = Leaf::with_capacity(old.len() + LEAF_STEP);
        leaf.extend(pack(key, key.0));
        leaf.extend(old.iter().filter_map(|element| pack(unpack(element, first.0), key.0)));
        self.leaves.insert(key, leaf);
        self.len += 1;
    }

    fn insert_leaf(&mut self, key: Key) {
        self.leaves.insert(key, Leaf::from_iter(pack(key, key.0)));
        self.len += 1;
    }

    /// Makes two leaves of the one at `first`, which is full and is to take an element at `place`.
    fn split(&mut self, first: Key, place: usize) {
        // Where deadlines come in order but for a few, the left part stays as it is for long.
        let near_end = self.leaves.range(first..).nth(2).is_none();
        let cut = if near_end && place > LEAF_MAX / 2 { LEAF_MAX / 8 * 7 } else { LEAF_MAX / 2 };
        let Some(leaf) = self.leaves.get_mut(&first) else { return };
        let right = leaf.split_off(cut);
        leaf.shrink_to(cut);
        if let Some(right) = self.add_leaf(first.0, &right) {
            self.join_next(right);
        }
    }

    /// Makes a leaf of elements that were in one beginning at `base`; returns its key.
    fn add_leaf(&mut self, base: i64, elements: &[Element]) -> Option<Key> {
        let first = unpack(elements.first()?, base);
        let mut leaf = Leaf::with_capacity(elements.len() + LEAF_STEP);
        leaf.extend(elements.iter().filter_map(|element| pack(unpack(element, base), first.0)));
        self.leaves.insert(first, leaf);
        Some(first)
    }

    /// Joins the leaf at `first` with the next one if both have room in one.
    fn join_next(&mut self, first: Key) {
        let mut from = self.leaves.range(first..);
        let (Some((_, leaf)), Some((&next, right))) = (from.next(), from.next()) else { return };
        let moved: Option<Leaf> =
            right.iter().map(|element| pack(unpack(element, next.0), first.0)).collect();
        let Some(moved) = moved.filter(|moved| moved.len() + leaf.len() <= LEAF_MAX / 4 * 3) else {
            return;
        };
        self.leaves.remove(&next);
        if let Some(leaf) = self.leaves.get_mut(&first) {
            leaf.reserve_exact(moved.len());
            leaf.extend(moved);
        }
    }

    /// Panics unless the invariants hold; for tests.
    pub(crate) fn check_invariants(&self) {
        let mut before = None;
        for (first, leaf) in &self.leaves {
            assert!((1..=LEAF_MAX).contains(&leaf.len()));
            for element in leaf {
                let key = unpack(element, first.0);
                assert!(key >= *first && Some(key) > before, "elements ascend");
                before = Some(key);
            }
        }
        assert_eq!(self.leaves.values().map(Vec::len).sum::<usize>(), self.len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const FAR: i64 = 1 << 33;

    fn deadline() -> impl Strategy<Value = i64> {
        prop_oneof![
            8 => 0..400_i64,
            1 => (0..400_i64).prop_map(|at| at * (FAR / 100)),
            1 => prop::sample::select(vec![i64::MIN, -1, i64::MAX - 1]),
        ]
    }

    fn same(deadlines: &Deadlines, model: &BTreeSet<Key>) {
        deadlines.check_invariants();
        assert!(deadlines.iter().map(|(at, hash)| (at, short(hash))).eq(model.iter().copied()));
        assert_eq!(deadlines.len(), model.len());
        assert_eq!(deadlines.first().map(|(at, _)| at), model.first().map(|key| key.0));
    }

    proptest! {
        #[test]
        fn behaves_like_an_ordered_set(
            steps in prop::collection::vec((any::<bool>(), deadline(), 0..4_u64), 0..1500),
        ) {
            let (mut deadlines, mut model) = (Deadlines::default(), BTreeSet::new());
            for (adds, at, hash) in &steps {
                let hash = hash | hash << 56;
                if *adds {
                    deadlines.insert(*at, hash);
                    model.insert((*at, short(hash)));
                } else {
                    deadlines.remove(*at, hash);
                    model.remove(&(*at, short(hash)));
                }
                prop_assert_eq!(deadlines.len(), model.len());
            }
            same(&deadlines, &model);
            while let Some((at, hash)) = deadlines.first() {
                deadlines.remove(at, hash);
                prop_assert!(model.remove(&(at, short(hash))));
                deadlines.check_invariants();
            }
            prop_assert!(model.is_empty());
        }
    }

    #[test]
    fn any_order_of_insertion_gives_the_same() {
        let keys =
            || (0..2000_i64).map(|at| (at / 3, (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let model: BTreeSet<Key> = keys().map(|(at, hash)| (at, short(hash))).collect();
        let (mut up, mut down) = (Deadlines::default(), Deadlines::default());
        keys().for_each(|(at, hash)| up.insert(at, hash));
        keys().collect::<Vec<_>>().into_iter().rev().for_each(|(at, hash)| down.insert(at, hash));
        same(&up, &model);
        same(&down, &model);
        // Deadlines that come nearly in order leave nearly full leaves.
        assert!(up.leaves.len() <= 2000 / (LEAF_MAX / 4 * 3), "{}", up.leaves.len());
    }

    #[test]
    fn a_short_hash_leads_to_the_same_place() {
        let hash = 0xab12_3456_789a_bcde;
        assert_eq!(short(hash), 0xab_789a_bcde);
        assert_eq!(short(lengthened(short(hash))), short(hash));
        assert_eq!(lengthened(short(hash)) >> 56, 0xab);
    }
}
