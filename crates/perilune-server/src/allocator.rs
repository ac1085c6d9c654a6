//! The allocator of the process: jemalloc, built with size classes in steps of 8 bytes.
//!
//! Its usual steps are 16 bytes, for the sake of types that must be aligned to 16. Keys with their
//! values, members and fields are allocations of any small size, and lose 4 bytes each on average to
//! the finer steps instead of 8: a tenth of the memory of a set.
//!
//! Allocations of one size class lie in slabs, of which each has a description of 128 bytes. By default
//! a slab is as few pages as come out even: for 128 bytes one page, so that each of the 32 allocations in
//! it costs 4 bytes more. Slabs of up to 64 KiB make that a quarter of a byte.
//!
//! `.cargo/config.toml` asks for both when jemalloc is built.
//!
//! With fine steps an allocation is aligned to 16 if its size is a multiple of 16, but not otherwise,
//! and `tikv-jemallocator` asks for no alignment up to 16. So sizes are rounded up here where a
//! type is aligned to more than 8.
//!
//! Invariant: a block is freed and resized with the size that it was made with, rounded alike.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use tikv_jemallocator::Jemalloc;

/// Alignment of every size class.
const STEP: usize = 8;

/// The allocator; see the module.
#[derive(Debug)]
pub struct Allocator;

/// The layout as jemalloc is asked for it.
#[inline]
fn rounded(layout: Layout) -> Layout {
    if layout.align() <= STEP { layout } else { layout.pad_to_align() }
}

// SAFETY: everything is done by jemalloc, with layouts at least as large as those asked for. The
// rounding depends on the layout alone, so a block is given back with the layout it was made with.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promised; a size that is not zero stays so.
        unsafe { Jemalloc.alloc(rounded(layout)) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`.
        unsafe { Jemalloc.alloc_zeroed(rounded(layout)) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block was made with the layout rounded in the same way.
        unsafe { Jemalloc.dealloc(block, rounded(layout)) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let size =
            if layout.align() <= STEP { size } else { size.next_multiple_of(layout.align()) };
        // SAFETY: as for `dealloc`; the caller promised that the new size rounded up to the
        // alignment does not overflow.
        unsafe { Jemalloc.realloc(block, rounded(layout), size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Something aligned to 16, as the control bytes of a hash map are.
    #[derive(Clone, Copy)]
    #[repr(align(16))]
    struct Aligned([u8; 16]);

    #[test]
    fn blocks_are_aligned_whatever_their_size() {
        for size in 1..400 {
            let layout = Layout::from_size_align(size, 16).expect("a layout");
            let blocks: Vec<*mut u8> = (0..20)
                // SAFETY: the size is not zero, and every block is given back below.
                .map(|_| unsafe { Allocator.alloc(layout) })
                // SAFETY: the same block, before it is given back.
                .map(|block| unsafe { Allocator.realloc(block, layout, size + 8) })
                .collect();
            for block in blocks {
                assert_eq!(block.addr() % 16, 0, "{size}");
                let grown = Layout::from_size_align(size + 8, 16).expect("a layout");
                // SAFETY: it was made above and resized to this layout.
                unsafe { Allocator.dealloc(block, grown) };
            }
        }
    }

    #[test]
    fn vectors_of_aligned_things_grow() {
        let mut things = Vec::new();
        for number in 0..1000_u32 {
            things.push(Aligned([number as u8; 16]));
        }
        assert!(things.iter().enumerate().all(|(at, thing)| thing.0 == [at as u8; 16]));
    }
}
