//! Command names to command ids, in any letter case.
//!
//! Every command of every client and script passes here, so a name is looked up without a copy, a
//! string hash or a loop over its bytes. A name of up to 16 bytes is two words that may overlap:
//!
//! ```text
//! length 9..16   first 8 bytes | last 8 bytes          INCRBYFLO|NCRBYFLOAT
//! length 4..8    first 4 bytes | last 4 bytes          INCR|INCR
//! length 1..3    first, middle and last byte
//! ```
//!
//! Both words in lower case and the length tell two names apart, and they are what a slot holds:
//! an open-addressed table with linear probing, less than a quarter full. Longer names (a few
//! commands, and names that `rename-command` gives) are in an ordinary hash map.

use crate::table::CommandId;
use ahash::AHashMap;

/// Longest name that is packed.
const PACKED_MAX: usize = 16;
/// Slots to begin with; a power of two.
const SLOTS_MIN: usize = 64;
/// A table with more than one used slot in so many grows.
const SPARSITY: usize = 4;

/// A name of up to [`PACKED_MAX`] bytes in lower case. Equal exactly when the names are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Packed {
    first: u64,
    last: u64,
    len: u8,
}

impl Packed {
    /// Packs a name. None for an empty or a long one.
    #[inline]
    fn new(name: &[u8]) -> Option<Packed> {
        let len = name.len();
        let (first, last) = match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
            (Some(first), Some(last)) if len <= PACKED_MAX => {
                (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
            }
            (Some(_), _) => return None,
            (None, _) => match (name.first_chunk::<4>(), name.last_chunk::<4>()) {
                (Some(first), Some(last)) => {
                    (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
                }
                _ => {
                    let (first, last) = (*name.first()?, *name.last()?);
                    (u64::from(first) | u64::from(name[len / 2]) << 8, last.into())
                }
            },
        };
        Some(Packed { first: to_lower(first), last: to_lower(last), len: len as u8 })
    }

    #[inline]
    fn hash(self) -> usize {
        const A: u64 = 0x9E37_79B9_7F4A_7C15;
        const B: u64 = 0xC2B2_AE3D_27D4_EB4F;
        let mixed = self.first.wrapping_mul(A) ^ self.last.wrapping_mul(B);
        (mixed >> 32) as usize
    }
}

/// Eight ASCII letters to lower case at once; other bytes stay.
#[inline]
fn to_lower(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES * 0x80;
    let low_bits = word & !HIGH;
    // The top bit of a byte says "at least A", and "beyond Z".
    let from_a = low_bits + ONES * u64::from(0x80 - b'A');
    let beyond_z = low_bits + ONES * u64::from(0x7F - b'Z');
    let upper = (from_a ^ beyond_z) & !word & HIGH;
    word | (upper >> 2)
}

/// The map from names to ids.
#[derive(Debug)]
pub(crate) struct NameIndex {
    slots: Vec<Option<(Packed, CommandId)>>,
    packed: usize,
    long: AHashMap<Box<[u8]>, CommandId>,
}

impl Default for NameIndex {
    fn default() -> Self {
        NameIndex { slots: vec![None; SLOTS_MIN], packed: 0, long: AHashMap::new() }
    }
}

impl NameIndex {
    /// The id of a name in any letter case.
    #[inline]
    pub(crate) fn get(&self, name: &[u8]) -> Option<CommandId> {
        let Some(packed) = Packed::new(name) else { return self.get_long(name) };
        let mask = self.slots.len() - 1;
        let mut at = packed.hash() & mask;
        while let Some((known, id)) = self.slots[at] {
            if known == packed {
                return Some(id);
            }
            at = (at + 1) & mask;
        }
        None
    }

    #[cold]
    fn get_long(&self, name: &[u8]) -> Option<CommandId> {
        self.long.get(name.to_ascii_lowercase().as_slice()).copied()
    }

    /// Adds a name and returns the id that had it before.
    pub(crate) fn insert(&mut self, name: &[u8], id: CommandId) -> Option<CommandId> {
        let Some(packed) = Packed::new(name) else {
            return self.long.insert(name.to_ascii_lowercase().into(), id);
        };
        let before = self.remove(name);
        if (self.packed + 1) * SPARSITY > self.slots.len() {
            self.rebuild(self.slots.len() * 2);
        }
        self.place(packed, id);
        before
    }

    /// Takes a name out.
    pub(crate) fn remove(&mut self, name: &[u8]) -> Option<CommandId> {
        let Some(packed) = Packed::new(name) else {
            return self.long.remove(name.to_ascii_lowercase().as_slice());
        };
        let id = self.get(name)?;
        for slot in &mut self.slots {
            if slot.is_some_and(|(known, _)| known == packed) {
                *slot = None;
            }
        }
        // A gap would end the probing for names behind it.
        self.rebuild(self.slots.len());
        Some(id)
    }

    /// Number of names.
    pub(crate) fn len(&self) -> usize {
        self.packed + self.long.len()
    }

    fn place(&mut self, packed: Packed, id: CommandId) {
        let mask = self.slots.len() - 1;
        let mut at = packed.hash() & mask;
        while self.slots[at].is_some() {
            at = (at + 1) & mask;
        }
        self.slots[at] = Some((packed, id));
        self.packed += 1;
    }

    fn rebuild(&mut self, slots: usize) {
        let old = std::mem::replace(&mut self.slots, vec![None; slots]);
        self.packed = 0;
        for (packed, id) in old.into_iter().flatten() {
            self.place(packed, id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn letters_are_lowered_and_nothing_else_changes() {
        for byte in 0..=255u8 {
            let word = u64::from_le_bytes([byte; 8]);
            assert_eq!(to_lower(word), u64::from_le_bytes([byte.to_ascii_lowercase(); 8]));
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_map_of_lower_case_names(
            steps in vec((vec(prop::sample::select(&b"aAbZz@[`{\x00\xc1"[..]), 0..20), any::<bool>()), 0..200),
        ) {
            let (mut index, mut model) = (NameIndex::default(), BTreeMap::new());
            for (at, (name, add)) in steps.iter().enumerate() {
                let lower = name.to_ascii_lowercase();
                if name.is_empty() {
                    prop_assert_eq!(index.get(name), None);
                } else if *add {
                    let id = CommandId(at as u16);
                    prop_assert_eq!(index.insert(name, id), model.insert(lower, id));
                } else {
                    prop_assert_eq!(index.remove(name), model.remove(&lower));
                }
                prop_assert_eq!(index.len(), model.len());
                for (name, id) in &model {
                    prop_assert_eq!(index.get(&name.to_ascii_uppercase()), Some(*id));
                }
            }
        }
    }
}
