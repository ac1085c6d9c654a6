//! A sorted set of integers in one allocation, byte for byte in the format Redis keeps in memory
//! and writes into its snapshots.
//!
//! ```text
//! | width u32 LE | members u32 LE | member | member | ... |     ascending, `width` bytes each
//! ```
//!
//! Invariants, checked by [`Intset::check_invariants`] and, for content from outside, by
//! [`Intset::from_bytes`] before an intset exists:
//! - the width is 2, 4 or 8 and the buffer is exactly as long as width and count say;
//! - members ascend strictly.
//!
//! The width is that of the widest member ever added; it does not narrow again. An insertion moves
//! what is behind it, so a caller bounds the number of members; an intset never converts itself.

use std::fmt;

use crate::Rng;

const HEADER: usize = 8;

/// A sorted set of integers.
#[derive(Clone, PartialEq, Eq)]
pub struct Intset {
    buf: Vec<u8>,
}

/// What is wrong with bytes that were to be an intset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IntsetError {
    /// The width is not one that exists, or it and the count do not give the length.
    Header,
    /// The members do not ascend.
    Order,
}

impl fmt::Display for IntsetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IntsetError::Header => "intset header does not match its length",
            IntsetError::Order => "intset members are not in order",
        })
    }
}

impl std::error::Error for IntsetError {}

impl Default for Intset {
    fn default() -> Self {
        Intset::new()
    }
}

impl Intset {
    /// An empty set.
    pub fn new() -> Self {
        Intset { buf: vec![2, 0, 0, 0, 0, 0, 0, 0] }
    }

    /// Takes bytes from outside, after checking all of them.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, IntsetError> {
        validate(&bytes)?;
        Ok(Intset { buf: bytes })
    }

    /// The set in its stored format.
    pub fn as_bytes(&self) -> &[u8] {
        &self.buf
    }

    /// Bytes allocated.
    pub fn heap_size(&self) -> usize {
        self.buf.capacity()
    }

    /// Number of members.
    #[inline]
    pub fn len(&self) -> usize {
        (self.buf.len() - HEADER) / self.width()
    }

    /// Whether there are no members.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.buf.len() == HEADER
    }

    /// The member number `index` in ascending order.
    #[inline]
    pub fn get(&self, index: usize) -> Option<i64> {
        (index < self.len()).then(|| decode(&self.buf, self.width(), index))
    }

    /// The smallest member.
    pub fn min(&self) -> Option<i64> {
        self.get(0)
    }

    /// The greatest member.
    pub fn max(&self) -> Option<i64> {
        self.get(self.len().checked_sub(1)?)
    }

    /// Whether `value` is a member.
    #[inline]
    pub fn contains(&self, value: i64) -> bool {
        width_of(value) <= self.width() && self.search(value).is_ok()
    }

    /// Every member, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator + Clone + '_ {
        let width = self.width();
        (0..self.len()).map(move |index| decode(&self.buf, width, index))
    }

    /// A random member.
    pub fn random(&self, rng: &mut Rng) -> Option<i64> {
        self.get(rng.below(self.len()))
    }

    /// Adds `value`; returns whether it was new.
    pub fn insert(&mut self, value: i64) -> bool {
        let width = width_of(value);
        if width > self.width() {
            self.widen(width);
        }
        let Err(index) = self.search(value) else { return false };
        let width = self.width();
        let at = HEADER + index * width;
        // One more and no slack, as long as sets are small; a large one grows by an eighth.
        if self.buf.capacity() - self.buf.len() < width {
            self.buf.reserve_exact(width + self.buf.len() / 8 / width * width);
        }
        self.buf.splice(at..at, value.to_le_bytes()[..width].iter().copied());
        self.store_len();
        true
    }

    /// Removes `value`; returns whether it was a member.
    pub fn remove(&mut self, value: i64) -> bool {
        if width_of(value) > self.width() {
            return false;
        }
        let Ok(index) = self.search(value) else { return false };
        let width = self.width();
        let at = HEADER + index * width;
        self.buf.drain(at..at + width);
        self.store_len();
        if self.buf.len() < self.buf.capacity() / 2 {
            self.buf.shrink_to_fit();
        }
        true
    }

    /// The index of `value`, or the one where it belongs.
    fn search(&self, value: i64) -> Result<usize, usize> {
        let width = self.width();
        let (mut low, mut high) = (0, self.len());
        // Ascending insertion is the common way to fill a set.
        if high > 0 && decode(&self.buf, width, high - 1) < value {
            return Err(high);
        }
        while low < high {
            let middle = low + (high - low) / 2;
            match decode(&self.buf, width, middle).cmp(&value) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    fn widen(&mut self, width: usize) {
        let mut wide = Vec::with_capacity(HEADER + (self.len() + 1) * width);
        wide.extend_from_slice(&(width as u32).to_le_bytes());
        wide.extend_from_slice(&self.buf[4..HEADER]);
        for member in self.iter() {
            wide.extend_from_slice(&member.to_le_bytes()[..width]);
        }
        self.buf = wide;
    }

    /// Bytes per member.
    #[inline]
    fn width(&self) -> usize {
        usize::from(self.buf[0])
    }

    fn store_len(&mut self) {
        let len = self.len() as u32;
        self.buf[4..HEADER].copy_from_slice(&len.to_le_bytes());
    }

    /// Panics unless the invariants of the structure hold; for tests.
    pub fn check_invariants(&self) {
        assert_eq!(validate(&self.buf), Ok(()));
    }
}

impl fmt::Debug for Intset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Bytes that `value` needs.
#[inline]
fn width_of(value: i64) -> usize {
    if i16::try_from(value).is_ok() {
        2
    } else if i32::try_from(value).is_ok() {
        4
    } else {
        8
    }
}

/// The member number `index`, which must exist.
#[inline]
fn decode(buf: &[u8], width: usize, index: usize) -> i64 {
    let member = &buf[HEADER + index * width..][..width];
    match *member {
        [a, b] => i64::from(i16::from_le_bytes([a, b])),
        [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => 0,
    }
}

fn validate(bytes: &[u8]) -> Result<(), IntsetError> {
    let Some((&[w0, w1, w2, w3, l0, l1, l2, l3], members)) = bytes.split_first_chunk::<HEADER>()
    else {
        return Err(IntsetError::Header);
    };
    let width = u32::from_le_bytes([w0, w1, w2, w3]) as usize;
    let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if !matches!(width, 2 | 4 | 8) || len.checked_mul(width) != Some(members.len()) {
        return Err(IntsetError::Header);
    }
    let ascends =
        (1..len).all(|index| decode(bytes, width, index - 1) < decode(bytes, width, index));
    if ascends { Ok(()) } else { Err(IntsetError::Order) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::Rng;

    fn member() -> impl Strategy<Value = i64> {
        prop_oneof![
            -20..20_i64,
            any::<i16>().prop_map(i64::from),
            any::<i32>().prop_map(i64::from),
            any::<i64>(),
        ]
    }

    proptest! {
        #[test]
        fn behaves_as_a_set(steps in prop::collection::vec((any::<bool>(), member()), 0..200)) {
            let (mut set, mut model) = (Intset::new(), BTreeSet::new());
            for (add, value) in steps {
                if add {
                    prop_assert_eq!(set.insert(value), model.insert(value));
                } else {
                    prop_assert_eq!(set.remove(value), model.remove(&value));
                }
                set.check_invariants();
                prop_assert_eq!(set.contains(value), add);
            }
            prop_assert!(set.iter().eq(model.iter().copied()));
            prop_assert_eq!(set.min(), model.first().copied());
            prop_assert_eq!(set.max(), model.last().copied());
            let picked = set.random(&mut Rng::new(1));
            prop_assert_eq!(picked.is_some_and(|value| model.contains(&value)), !model.is_empty());
            prop_assert_eq!(Intset::from_bytes(set.as_bytes().to_vec()), Ok(set));
        }

        #[test]
        fn bytes_from_outside_are_refused_or_sound(bytes in prop::collection::vec(0..9_u8, 0..40)) {
            if let Ok(set) = Intset::from_bytes(bytes) {
                set.check_invariants();
            }
        }
    }

    #[test]
    fn is_stored_as_redis_does() {
        let mut set = Intset::new();
        set.insert(5);
        set.insert(-1);
        assert_eq!(set.as_bytes(), [2, 0, 0, 0, 2, 0, 0, 0, 0xff, 0xff, 5, 0]);
        set.insert(70_000);
        assert_eq!(set.as_bytes()[..12], [4, 0, 0, 0, 3, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        set.remove(70_000);
        assert_eq!(set.as_bytes()[0], 4, "a set does not narrow");
    }

    #[test]
    fn wrong_bytes_are_told_apart() {
        let header = |width, len| vec![width, 0, 0, 0, len, 0, 0, 0];
        assert_eq!(Intset::from_bytes(header(3, 0)), Err(IntsetError::Header));
        assert_eq!(Intset::from_bytes(header(2, 1)), Err(IntsetError::Header));
        let twice = [header(2, 2), vec![1, 0, 1, 0]].concat();
        assert_eq!(Intset::from_bytes(twice), Err(IntsetError::Order));
    }
}
