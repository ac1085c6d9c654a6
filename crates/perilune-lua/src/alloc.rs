//! The allocator of a Lua state: Rust's global allocator, counted and optionally limited.
//!
//! Lua passes a block's old size with every request, so counting costs one addition and nothing
//! is stored per block. Memory is refused only while bytecode runs: native code of this crate and
//! the server behind it own Rust values, and the `longjmp` by which Lua reports a refusal would
//! skip their destructors. There, and between runs, a limit may be overshot by what one command or
//! library call needs. That is noted, and the next native function is refused until less is used;
//! one that takes as much again as the limit is refused when it next asks the host.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::cell::Cell;
use std::ffi::c_void;

use crate::state::EngineContext;

/// What `malloc` guarantees and Lua relies on.
const ALIGN: usize = 16;

/// Blocks from this size on can make single instructions slow: comparing or joining strings,
/// rehashing a table.
const LARGE_BLOCK_BYTES: usize = 64 << 10;

/// The pages of blocks from this size on are made piece by piece, with a question to the host
/// between two pieces: that the system makes them takes most of the time that a long string costs.
const SLOW_BLOCK_BYTES: usize = 4 << 20;
/// Blocks of more than this make single instructions so slow that they are seldom left unasked.
pub(crate) const HUGE_BLOCK_BYTES: usize = 32 << 20;
/// A piece of a slow block.
const PIECE_BYTES: usize = 1 << 20;
/// No system has smaller pages.
const PAGE_BYTES: usize = 4 << 10;

/// The books of one allocator.
pub(crate) struct Heap {
    /// Bytes in live blocks.
    pub(crate) used_bytes: Cell<usize>,
    /// The value of `used_bytes` when the last run began.
    pub(crate) begin_bytes: Cell<usize>,
    /// Its largest value since.
    pub(crate) peak_bytes: Cell<usize>,
    /// Largest value `used_bytes` may reach while bytecode runs.
    pub(crate) limit_bytes: Cell<usize>,
    /// No block is larger: what one instruction may have to go through. A run begins with what is
    /// known from earlier ones, as far as it can be true of the blocks that are left.
    pub(crate) largest_block_bytes: Cell<usize>,
    /// A huge block was made, which had better not outlive its use.
    pub(crate) made_huge: Cell<bool>,
}

impl Heap {
    pub(crate) fn new() -> Self {
        Heap {
            used_bytes: Cell::new(0),
            begin_bytes: Cell::new(0),
            peak_bytes: Cell::new(0),
            limit_bytes: Cell::new(usize::MAX),
            largest_block_bytes: Cell::new(0),
            made_huge: Cell::new(false),
        }
    }

    /// Whether more is used than may be.
    pub(crate) fn is_overfull(&self) -> bool {
        self.used_bytes.get() > self.limit_bytes.get()
    }

    /// Whether so much of the limit is used that the next script might miss it.
    pub(crate) fn is_crowded(&self) -> bool {
        self.used_bytes.get() > self.limit_bytes.get() / 4
    }
}

/// Lua's `lua_Alloc`.
///
/// # Safety
/// `data` is the [`EngineContext`] of the state that asks, and `block` is null or was answered by
/// this function for `old_size` bytes.
pub(crate) unsafe extern "C" fn allocate(
    data: *mut c_void,
    block: *mut c_void,
    old_size: usize,
    new_size: usize,
) -> *mut c_void {
    // SAFETY: promised by the caller; the context is only ever shared.
    let context = unsafe { &*data.cast::<EngineContext>() };
    let old_size = if block.is_null() { 0 } else { old_size };
    let used = context.heap.used_bytes.get().wrapping_sub(old_size);
    let may_refuse = context.running.get() && !context.base.hooks.in_host.get();
    if may_refuse
        && new_size > old_size
        && used.saturating_add(new_size) > context.heap.limit_bytes.get()
    {
        return std::ptr::null_mut();
    }
    // SAFETY: `block` and `old_size` belong together, as promised.
    let new_block = unsafe { resize(block.cast(), old_size, new_size) };
    if new_size > 0 && new_block.is_null() {
        if may_refuse {
            return std::ptr::null_mut();
        }
        handle_alloc_error(Layout::new::<[u8; ALIGN]>());
    }
    let used = used.wrapping_add(new_size);
    context.heap.used_bytes.set(used);
    if !may_refuse && used > context.heap.limit_bytes.get() {
        context.base.hooks.is_short.set(true);
    }
    if used > context.heap.peak_bytes.get() {
        context.heap.peak_bytes.set(used);
    }
    if new_size >= LARGE_BLOCK_BYTES {
        let largest = &context.heap.largest_block_bytes;
        largest.set(largest.get().max(new_size));
        if new_size > HUGE_BLOCK_BYTES {
            context.heap.made_huge.set(true);
        }
        context.ask_soon();
        if new_size >= SLOW_BLOCK_BYTES && new_size > old_size && context.running.get() {
            // SAFETY: the bytes from the old size on are fresh.
            unsafe { make_pages(context, new_block, old_size, new_size) };
        }
    }
    new_block.cast()
}

/// Writes to each page of a block's bytes `from..to`, and lets the host see to others meanwhile.
///
/// # Safety
/// Those bytes are allocated and hold nothing yet.
unsafe fn make_pages(context: &EngineContext, block: *mut u8, from: usize, to: usize) {
    let mut at = from;
    while at < to {
        let end = to.min(at + PIECE_BYTES);
        while at < end {
            // SAFETY: as promised.
            unsafe { block.add(at).write_volatile(0) };
            at += PAGE_BYTES;
        }
        // A run that is to end goes on to its next question: whoever asked for memory gets it, and
        // fills it in one step, which takes many times longer if that has to make the pages.
        // SAFETY: the host is alive, as the run is.
        unsafe { context.serve_others() };
    }
}

/// # Safety
/// `block` is a live block of `old_size` bytes, or null and `old_size` is zero.
unsafe fn resize(block: *mut u8, old_size: usize, new_size: usize) -> *mut u8 {
    let Ok(wanted) = Layout::from_size_align(new_size, ALIGN) else {
        return std::ptr::null_mut();
    };
    // SAFETY: `Lua` blocks are never of size zero, so a null block is the only one without a
    // layout; the old layout is the one the block was allocated with.
    unsafe {
        if old_size == 0 {
            return if new_size == 0 { std::ptr::null_mut() } else { alloc(wanted) };
        }
        let current = Layout::from_size_align_unchecked(old_size, ALIGN);
        if new_size == 0 {
            dealloc(block, current);
            return std::ptr::null_mut();
        }
        realloc(block, current, new_size)
    }
}
