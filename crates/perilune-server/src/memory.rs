//! How much memory the allocator has handed out, cheap enough to ask before every command.
//!
//! jemalloc's own sum takes tens of microseconds, because it visits every arena. But each thread has
//! two counters of its own, bytes ever allocated and bytes ever freed, that are read like variables.
//! A thread that asks adds what its counters moved since it asked last to one shared sum:
//!
//! ```text
//! USED = allocator's sum at the start + Σ over threads (allocated - freed, as of its last question)
//! ```
//!
//! Every thread that works on the engine asks before each command while there is a limit, and the
//! one that frees values in the background asks after each of them, so the sum lags behind only by
//! what threads do between two questions. Threads that never ask would make it drift;
//! [`settle`] looks at the allocator's sum from time to time and starts over from there when the two
//! are further apart than the allocator's caches explain.

use std::cell::Cell;
use std::sync::atomic::{AtomicI64, Ordering};
use tikv_jemalloc_ctl::thread::{ThreadLocal, allocatedp, deallocatedp};
use tikv_jemalloc_ctl::{Access, AsName, arenas, epoch, stats};

/// Difference from the allocator's sum that is left alone, bytes: it counts what its caches hold as
/// handed out.
const DRIFT_MAX: i64 = 8 * 1024 * 1024;

static USED: AtomicI64 = AtomicI64::new(0);

/// The counters of one thread.
struct Counters {
    allocated: ThreadLocal<u64>,
    freed: ThreadLocal<u64>,
    /// What the counters said at the last question.
    seen: Cell<u64>,
}

impl Counters {
    fn of_this_thread() -> Option<Counters> {
        let (allocated, freed) = (allocatedp::read().ok()?, deallocatedp::read().ok()?);
        Some(Counters { allocated, freed, seen: Cell::new(0) })
    }

    /// Bytes that this thread allocated more than it freed since the last call.
    fn moved(&self) -> i64 {
        let now = self.allocated.get().wrapping_sub(self.freed.get());
        now.wrapping_sub(self.seen.replace(now)) as i64
    }
}

thread_local! {
    static COUNTERS: Option<Counters> = Counters::of_this_thread();
}

/// Bytes handed out by the allocator.
#[inline]
pub(crate) fn used() -> usize {
    let moved = COUNTERS.try_with(|counters| counters.as_ref().map_or(0, Counters::moved));
    let moved = moved.unwrap_or(0);
    (USED.fetch_add(moved, Ordering::Relaxed) + moved).max(0) as usize
}

/// Compares the sum with the allocator's, which it must not stray from, and returns it.
pub(crate) fn settle() -> usize {
    let counted = used() as i64;
    // Figures are as of the last epoch; an allocator without statistics reads as zero.
    let _ = epoch::advance();
    let Ok(allocated) = stats::allocated::read() else { return counted as usize };
    let drift = allocated as i64 - counted;
    if drift.abs() <= DRIFT_MAX {
        return counted as usize;
    }
    USED.fetch_add(drift, Ordering::Relaxed);
    allocated
}

/// Takes the allocator's sum as the starting point. Once, before other threads ask.
pub(crate) fn start() {
    let _ = epoch::advance();
    let allocated = stats::allocated::read().unwrap_or(0) as i64;
    let drift = allocated - used() as i64;
    USED.fetch_add(drift, Ordering::Relaxed);
}

/// Gives pages that are not in use back to the system. The allocator does so by itself, too, but
/// takes its time.
pub(crate) fn purge() -> Option<()> {
    for arena in 0..arenas::narenas::read().ok()? {
        for pages in ["dirty", "muzzy"] {
            let name = format!("arena.{arena}.{pages}_decay_ms\0");
            let name = name.as_str().name();
            // Setting the time that they are kept to nothing ends it for those that are kept now. An
            // arena that was never used has none and refuses.
            if let Ok(kept_ms) = Access::<isize>::update(name, 0) {
                name.write(kept_ms).ok()?;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocator::Allocator;
    use parking_lot::Mutex;

    #[global_allocator]
    static ALLOCATOR: Allocator = Allocator;

    /// There is one sum for the whole process.
    static ALONE: Mutex<()> = Mutex::new(());

    #[test]
    fn follows_what_this_thread_allocates() {
        let _alone = ALONE.lock();
        start();
        let before = used();
        let big = vec![1u8; 64 * 1024 * 1024];
        assert!(used() >= before + big.len());
        drop(big);
        assert!(used() < before + DRIFT_MAX as usize);
    }

    #[test]
    fn purging_gives_pages_back() {
        let _alone = ALONE.lock();
        let kept = vec![vec![1u8; 1024 * 1024]; 64];
        drop(kept);
        let resident = || {
            epoch::advance().expect("an allocator with statistics");
            stats::resident::read().expect("a figure")
        };
        let before = resident();
        assert_eq!(purge(), Some(()));
        assert!(resident() < before.saturating_sub(32 * 1024 * 1024) || before < 64 * 1024 * 1024);
        let kept_ms: isize = b"arena.0.dirty_decay_ms\0".name().read().expect("a time");
        assert!(kept_ms > 0);
    }

    #[test]
    fn a_thread_that_never_asks_is_found_out() {
        let _alone = ALONE.lock();
        start();
        let before = used();
        let big = std::thread::spawn(|| vec![1u8; 64 * 1024 * 1024]).join().expect("a thread");
        assert!(settle() + DRIFT_MAX as usize > before + big.len());
        assert!(used() + DRIFT_MAX as usize > before + big.len());
    }
}
