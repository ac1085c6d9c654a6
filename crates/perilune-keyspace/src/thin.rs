//! An owned byte string behind a single word: everything about it, its length included, stands in
//! one allocation of exactly the bytes that it takes.
//!
//! ```text
//! | length: u8 | head: HEAD bytes | content |                    up to 254 bytes of content
//! | 255 | length: u64 | head: HEAD bytes | content |
//! ```
//!
//! A `Box<[u8]>` is two words and a `Bytes` three. In tables of millions of entries, where the owner
//! of this one is a slot of a bucket, the difference is a fifth of the memory: this is why the
//! module is written with raw pointers. It is all there is of them in this structure; what is in
//! the content is the business of safe code.
//!
//! Invariants, on which every `unsafe` block here relies:
//! - the pointer comes from a `Box<[u8]>` of `prefix + HEAD + length` bytes, is owned by this value
//!   alone, and the prefix never changes, so the size can be told from it at any time;
//! - the head is only ever accessed as cells, and no reference to the content covers it.
#![allow(unsafe_code)]

use crate::hashtable::Entry;
use std::cell::Cell;
use std::fmt;
use std::ptr::{self, NonNull};
use std::slice;

/// First byte where the length does not fit into one.
const WIDE: u8 = u8::MAX;

/// A byte string of one word, with `HEAD` bytes that can be changed through a shared reference.
pub(crate) struct Thin<const HEAD: usize>(NonNull<u8>);

// SAFETY: it owns its bytes, which refer to nothing that belongs to a thread.
unsafe impl<const HEAD: usize> Send for Thin<HEAD> {}

// SAFETY: without a head there is nothing that changes through a shared reference.
unsafe impl Sync for Thin<0> {}

impl<const HEAD: usize> Thin<HEAD> {
    /// The concatenation of `parts`.
    #[inline]
    pub(crate) fn new<const PARTS: usize>(head: [u8; HEAD], parts: [&[u8]; PARTS]) -> Self {
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
        let mut bytes = Vec::with_capacity(prefix_of(len) + HEAD + len);
        if len < usize::from(WIDE) {
            bytes.push(len as u8);
        } else {
            bytes.push(WIDE);
            bytes.extend_from_slice(&(len as u64).to_le_bytes());
        }
        bytes.extend_from_slice(&head);
        for part in parts {
            bytes.extend_from_slice(part);
        }
        let owned = Box::into_raw(bytes.into_boxed_slice());
        // SAFETY: `Box::into_raw` gives no null pointer.
        Thin(unsafe { NonNull::new_unchecked(owned.cast::<u8>()) })
    }

    /// Where the head begins, and the length of the content.
    #[inline]
    fn shape(&self) -> (usize, usize) {
        let start = self.0.as_ptr();
        // SAFETY: there is a first byte.
        match unsafe { start.read() } {
            WIDE => {
                // SAFETY: eight bytes of length follow this mark.
                let len = unsafe { start.add(1).cast::<[u8; 8]>().read() };
                (9, u64::from_le_bytes(len) as usize)
            }
            len => (1, usize::from(len)),
        }
    }

    /// The head.
    #[inline]
    pub(crate) fn head(&self) -> &[Cell<u8>; HEAD] {
        let (prefix, _) = self.shape();
        // SAFETY: `HEAD` bytes follow the prefix, live as long as `self`, and no other reference
        // covers them. A `Cell<u8>` has the layout of a `u8`.
        unsafe { &*self.0.as_ptr().add(prefix).cast::<[Cell<u8>; HEAD]>() }
    }

    /// The content.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        let (prefix, len) = self.shape();
        // SAFETY: `len` bytes, all written when it was made, follow prefix and head, live as long
        // as `self`, and change only through `&mut self`.
        unsafe { slice::from_raw_parts(self.0.as_ptr().add(prefix + HEAD), len) }
    }

    /// The content, to change.
    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let (prefix, len) = self.shape();
        // SAFETY: as for `bytes`, and `&mut self` keeps all others away.
        unsafe { slice::from_raw_parts_mut(self.0.as_ptr().add(prefix + HEAD), len) }
    }

    /// Bytes allocated.
    #[inline]
    pub(crate) fn allocated(&self) -> usize {
        let (prefix, len) = self.shape();
        prefix + HEAD + len
    }
}

impl<const HEAD: usize> Drop for Thin<HEAD> {
    #[inline]
    fn drop(&mut self) {
        let all = ptr::slice_from_raw_parts_mut(self.0.as_ptr(), self.allocated());
        // SAFETY: the pointer and the size are those of the box that it was made from, and nothing
        // uses it from here on.
        drop(unsafe { Box::from_raw(all) });
    }
}

impl<const HEAD: usize> Clone for Thin<HEAD> {
    fn clone(&self) -> Self {
        Thin::new(self.head().each_ref().map(Cell::get), [self.bytes()])
    }
}

impl Entry for Thin<0> {
    #[inline]
    fn key(&self) -> &[u8] {
        self.bytes()
    }
}

impl<const HEAD: usize> fmt::Debug for Thin<HEAD> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.bytes().escape_ascii())
    }
}

/// Bytes that the length of a content of `len` bytes takes.
#[inline]
fn prefix_of(len: usize) -> usize {
    if len < usize::from(WIDE) { 1 } else { 9 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn is_a_word_with_a_niche() {
        assert_eq!(size_of::<Option<Thin<4>>>(), 8);
    }

    #[test]
    fn content_survives_where_the_length_becomes_wide() {
        for len in [0, 1, 253, 254, 255, 256, 70_000] {
            let content = vec![b'x'; len];
            let thin = Thin::<0>::new([], [&content]);
            assert_eq!(thin.bytes(), content);
            assert_eq!(thin.allocated(), len + if len < 255 { 1 } else { 9 });
        }
    }

    proptest! {
        #[test]
        fn parts_and_head_are_kept_apart(
            head in any::<[u8; 4]>(),
            first in prop::collection::vec(any::<u8>(), 0..300),
            second in prop::collection::vec(any::<u8>(), 0..300),
            change in any::<(u8, u8)>(),
        ) {
            let mut thin = Thin::new(head, [&first, &second]);
            let mut content = [first, second].concat();
            let copy = thin.clone();
            thin.head()[2].set(change.0);
            if let Some(byte) = thin.bytes_mut().last_mut() {
                *byte = change.1;
            }
            prop_assert_eq!(copy.bytes(), &content);
            if let Some(byte) = content.last_mut() {
                *byte = change.1;
            }
            prop_assert_eq!(thin.bytes(), &content);
            let heads = |thin: &Thin<4>| thin.head().each_ref().map(Cell::get);
            prop_assert_eq!(heads(&copy), head);
            prop_assert_eq!(heads(&thin), [head[0], head[1], change.0, head[3]]);
        }
    }
}
