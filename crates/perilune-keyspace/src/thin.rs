//! An owned byte string behind an address of six bytes: everything about it, its length included,
//! stands in one allocation of exactly the bytes that it takes.
//!
//! ```text
//! | length: u8 | head: HEAD bytes | content |                    up to 254 bytes of content
//! | 255 | length: u64 | head: HEAD bytes | content |
//! ```
//!
//! A `Box<[u8]>` is two words and a `Bytes` three. In tables of millions of entries, where the owner
//! of this one is a slot of a bucket, the difference is a fifth of the memory: this is why the
//! module is written with raw pointers. What is in the content is the business of safe code.
//!
//! Invariants, on which every `unsafe` block here relies:
//! - the address is that of an allocation of `prefix + HEAD + length` bytes aligned to
//!   [`ALIGN`](Thin::ALIGN), owned by this value alone, and the prefix never changes, so the size can be
//!   told from it at any time;
//! - the head is only ever accessed as cells, and no reference to the content covers it.
#![allow(unsafe_code)]

use crate::hashtable::Entry;
use crate::slim::Address;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::slice;

/// First byte where the length does not fit into one.
const WIDE: u8 = u8::MAX;

/// A byte string of six bytes, with `HEAD` bytes that can be changed through a shared reference.
pub(crate) struct Thin<const HEAD: usize> {
    address: Address,
    /// It owns what is there, and is not to be shared between threads unless that is said below.
    owned: PhantomData<NonNull<u8>>,
}

// SAFETY: it owns its bytes, which refer to nothing that belongs to a thread.
unsafe impl<const HEAD: usize> Send for Thin<HEAD> {}

// SAFETY: without a head there is nothing that changes through a shared reference.
unsafe impl Sync for Thin<0> {}

impl<const HEAD: usize> Thin<HEAD> {
    /// What the allocation is aligned to. With a head it is a word, since an owner that has one may put
    /// values of other types among the content; the allocator gives that to all but the smallest sizes.
    const ALIGN: usize = if HEAD == 0 { 1 } else { 8 };

    /// Bytes between the start of the allocation, which is aligned, and a content of `len` bytes.
    pub(crate) const fn before_content(len: usize) -> usize {
        prefix_of(len) + HEAD
    }

    /// The concatenation of `parts`.
    #[inline]
    pub(crate) fn new<const PARTS: usize>(head: [u8; HEAD], parts: [&[u8]; PARTS]) -> Self {
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
        let layout = Self::layout(Self::before_content(len) + len);
        // SAFETY: with the prefix there is at least one byte.
        let Some(start) = NonNull::new(unsafe { alloc(layout) }) else {
            handle_alloc_error(layout)
        };
        let mut at = start;
        let mut put = |bytes: &[u8]| {
            // SAFETY: what is put is prefix, head and parts, once each, and the allocation is as
            // large as they are together; it is new, so nothing else is there.
            unsafe {
                at.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
                at = at.add(bytes.len());
            }
        };
        if len < usize::from(WIDE) {
            put(&[len as u8]);
        } else {
            put(&[WIDE]);
            put(&(len as u64).to_le_bytes());
        }
        put(&head);
        parts.into_iter().for_each(put);
        match Address::of(start) {
            Some(address) => Thin { address, owned: PhantomData },
            None => handle_alloc_error(layout),
        }
    }

    /// The layout of an allocation of so many bytes.
    #[inline]
    fn layout(size: usize) -> Layout {
        // No allocation is larger than this, as the parts of one are in memory already.
        const { assert!(Self::ALIGN.is_power_of_two()) };
        // SAFETY: the alignment is a power of two, and the sum of the lengths of slices that are in
        // memory together does not reach the largest size.
        unsafe { Layout::from_size_align_unchecked(size, Self::ALIGN) }
    }

    /// Where the allocation starts.
    #[inline]
    fn start(&self) -> NonNull<u8> {
        self.address.place()
    }

    /// Where the head begins, and the length of the content.
    #[inline]
    fn shape(&self) -> (usize, usize) {
        let start = self.start().as_ptr();
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
        unsafe { &*self.start().as_ptr().add(prefix).cast::<[Cell<u8>; HEAD]>() }
    }

    /// The content.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        let (prefix, len) = self.shape();
        // SAFETY: `len` bytes, all written when it was made, follow prefix and head, live as long
        // as `self`, and change only through `&mut self`.
        unsafe { slice::from_raw_parts(self.start().as_ptr().add(prefix + HEAD), len) }
    }

    /// The content, to change.
    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let (prefix, len) = self.shape();
        // SAFETY: as for `bytes`, and `&mut self` keeps all others away.
        unsafe { slice::from_raw_parts_mut(self.start().as_ptr().add(prefix + HEAD), len) }
    }

    /// The place `at` bytes into the content. What lies there may be used through it as it might be
    /// through `self`.
    ///
    /// # Safety
    ///
    /// The content is not shorter than `at`.
    #[inline]
    pub(crate) unsafe fn place(&self, at: usize) -> NonNull<u8> {
        let (prefix, len) = self.shape();
        debug_assert!(at <= len, "a place in the content");
        // SAFETY: it is within the allocation, or at its end, as the caller says.
        unsafe { self.start().add(prefix + HEAD + at) }
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
        let layout = Self::layout(self.allocated());
        // SAFETY: the allocation was made with this layout, and nothing uses it from here on.
        unsafe { dealloc(self.start().as_ptr(), layout) };
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
const fn prefix_of(len: usize) -> usize {
    if len < WIDE as usize { 1 } else { 9 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn is_of_six_bytes_with_a_niche() {
        assert_eq!(size_of::<Option<Thin<4>>>(), 6);
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
