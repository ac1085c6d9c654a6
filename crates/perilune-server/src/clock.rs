//! The clock of the server: the processor's time stamp counter, set by the system's clock.
//!
//! Every command is timed. The system's clock takes 30 ns on the machine of `docs/benchmarks.md`, the
//! counter 12: of a script that runs 100 commands that is a twentieth.
//!
//! ```text
//! time
//!  |              .-'   system's clock
//!  |          .-*'...   mark, from which the counter goes on for a millisecond
//!  |      .-*'...
//!  +--------------------- ticks
//! ```
//!
//! A **mark** is a reading of both. From the last mark time goes on by the ticks since, at the rate
//! that two of them far enough apart gave. After [`STRETCH_NS`] the next reading makes a mark, so that
//! nothing needs to be known about the counter beforehand and an error does not add up: not of the
//! rate, not of a clock that is being adjusted. Ticks that make no sense as a time since the mark,
//! such as those of a machine that slept or moved, make a mark, too.
//!
//! Invariants:
//! - between marks time goes slower than it does, by a little more than the rate can be wrong, so
//!   it never goes back at a mark;
//! - the parts of a mark are read under [`Mark::version`], which is odd while they are written; who
//!   finds it so asks the system.
//!
//! The counter is used where the kernel itself keeps time by it, hence knows that it is steady and
//! the same on all processors. Elsewhere this is the system's clock.

#![allow(unsafe_code)]

use nix::time::{ClockId, clock_gettime};
use parking_lot::Mutex;
use perilune_commands::clock::{Clock, SystemClock};
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// How long the counter is trusted after a mark.
const STRETCH_NS: u64 = 1_000_000;
/// Time between two marks from which the rate is told. With what a reading takes at most it is known
/// to a ten-thousandth.
const RATE_NS: u64 = 20_000_000;
/// By which part time goes slower between marks: more than the rate is wrong or changes, of which
/// `adjtimex` allows half as much.
const SLOWER: u64 = 1000;
/// Two measurements of the rate agree if they differ by no more than this part.
const AGREEMENT: u64 = 2000;
/// A reading of both clocks that takes longer is none.
const READING_TICKS_MAX: u64 = 5000;
/// Digits behind the point in a rate.
const RATE_BITS: u32 = 32;
/// A counter slower than a tick every nanosecond is too coarse.
const RATE_MAX: u64 = 1 << RATE_BITS;
/// Where Linux tells what it keeps time by.
const SOURCE_FILE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// See the module.
#[derive(Debug)]
pub(crate) struct TickClock {
    system: SystemClock,
    /// None where the counter is not to be used.
    counter: Option<Counter>,
}

#[derive(Debug, Default)]
struct Counter {
    mark: Mark,
    rate: Mutex<Rate>,
}

/// How fast the counter counts.
#[derive(Debug, Default)]
struct Rate {
    /// Where the next measurement begins.
    from: Option<Reading>,
    /// What the last one found, in the unit of [`Mark::rate`].
    measured: u64,
    /// Whether the one before agreed.
    is_sure: bool,
}

/// What both clocks showed at once.
#[derive(Clone, Copy, Debug)]
struct Reading {
    ticks: u64,
    ns: u64,
}

/// The last mark.
#[derive(Debug, Default)]
struct Mark {
    version: AtomicU64,
    ticks: AtomicU64,
    ns: AtomicU64,
    /// Nanoseconds a tick, with [`RATE_BITS`] behind the point.
    rate: AtomicU64,
    /// For so many ticks the mark is good; zero while the rate is not known.
    good_for: AtomicU64,
}

impl Mark {
    /// The time at `ticks`, nanoseconds, if the mark tells.
    #[inline]
    fn time_at(&self, ticks: u64) -> Option<u64> {
        let version = self.version.load(Ordering::Acquire);
        let since = ticks.wrapping_sub(self.ticks.load(Ordering::Relaxed));
        let rate = self.rate.load(Ordering::Relaxed);
        let ns = self.ns.load(Ordering::Relaxed);
        let is_good = since < self.good_for.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        let is_whole = version & 1 == 0 && self.version.load(Ordering::Relaxed) == version;
        // A mark is good for some millions of ticks, so that nothing overflows.
        (is_good && is_whole).then(|| ns + (since.wrapping_mul(rate) >> RATE_BITS))
    }

    /// Replaces the mark. There is one caller at a time.
    fn set(&self, at: Reading, rate: u64, good_for: u64) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.ticks.store(at.ticks, Ordering::Relaxed);
        self.ns.store(at.ns, Ordering::Relaxed);
        self.rate.store(rate, Ordering::Relaxed);
        self.good_for.store(good_for, Ordering::Relaxed);
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }
}

impl Counter {
    #[inline]
    fn ns(&self) -> u64 {
        match self.mark.time_at(ticks()) {
            Some(ns) => ns,
            None => self.ask_system(),
        }
    }

    /// Asks the system, and makes what it says a mark.
    #[cold]
    fn ask_system(&self) -> u64 {
        let before = ticks();
        let ns = system_ns();
        let now = Reading { ticks: ticks(), ns };
        // Otherwise the thread was interrupted, and the two do not belong together.
        if now.ticks.wrapping_sub(before) < READING_TICKS_MAX {
            self.learn(now);
        }
        ns
    }

    /// Goes on from a reading.
    fn learn(&self, now: Reading) {
        // Where somebody else does, that will do.
        let Some(mut rate) = self.rate.try_lock() else { return };
        rate.learn(now);
        let (slow, good_for) = match rate.measured {
            measured if rate.is_sure && measured > 0 => {
                (measured - measured / SLOWER, (STRETCH_NS << RATE_BITS) / measured)
            }
            _ => (0, 0),
        };
        self.mark.set(now, slow, good_for);
    }
}

impl Rate {
    fn learn(&mut self, now: Reading) {
        let Some(from) = self.from else {
            self.from = Some(now);
            return;
        };
        let passed_ns = now.ns.saturating_sub(from.ns);
        if passed_ns < RATE_NS {
            return;
        }
        let ticks = u128::from(now.ticks.wrapping_sub(from.ticks).max(1));
        let measured = (u128::from(passed_ns) << RATE_BITS) / ticks;
        let measured = u64::try_from(measured).ok().filter(|rate| *rate <= RATE_MAX).unwrap_or(0);
        self.is_sure = measured.abs_diff(self.measured) <= self.measured / AGREEMENT;
        (self.measured, self.from) = (measured, Some(now));
    }
}

/// What the system's clock shows, nanoseconds.
fn system_ns() -> u64 {
    match clock_gettime(ClockId::CLOCK_MONOTONIC) {
        Ok(now) => now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64,
        // Every system has this clock.
        Err(_) => 0,
    }
}

/// The time stamp counter.
#[cfg(target_arch = "x86_64")]
#[inline]
fn ticks() -> u64 {
    // SAFETY: every processor of this architecture has the instruction, and Linux lets programs use it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn ticks() -> u64 {
    0
}

impl TickClock {
    /// The counter where the kernel keeps time by it, otherwise the system's clock.
    pub(crate) fn new() -> Self {
        let source = std::fs::read_to_string(SOURCE_FILE).unwrap_or_default();
        let is_kept = cfg!(target_arch = "x86_64") && source.trim() == "tsc";
        TickClock { system: SystemClock, counter: is_kept.then(Counter::default) }
    }
}

impl Clock for TickClock {
    fn unix_us(&self) -> i64 {
        self.system.unix_us()
    }

    #[inline]
    fn monotonic_us(&self) -> u64 {
        match &self.counter {
            Some(counter) => counter.ns() / 1000,
            None => self.system.monotonic_us(),
        }
    }

    fn monotonic_source(&self) -> String {
        let measured = self.counter.as_ref().map(|counter| counter.rate.lock().measured);
        match measured.filter(|measured| *measured > 0) {
            Some(measured) => {
                format!("X86 TSC @ {} ticks/us", (1000 << RATE_BITS) / measured)
            }
            None => self.system.monotonic_source(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The error that the tests allow besides what is lost between marks, nanoseconds.
    const READING_NS: u64 = 1000;

    proptest! {
        #[test]
        fn time_goes_on_and_is_never_ahead(
            ghz in 1.0_f64..6.0,
            start in any::<u64>(),
            steps in prop::collection::vec(prop_oneof![1_u64..5_000, 1_u64..3_000_000, 1_u64..80_000_000], 100..300),
        ) {
            let counter = Counter::default();
            let (mut real, mut last) = (1_000_000_000, 0);
            let mut by_ticks = 0;
            for step in steps {
                real += step;
                let ticks = start.wrapping_add((real as f64 * ghz) as u64);
                let told = match counter.mark.time_at(ticks) {
                    Some(ns) => {
                        by_ticks += 1;
                        ns
                    }
                    None => {
                        counter.learn(Reading { ticks, ns: real });
                        real
                    }
                };
                prop_assert!(told >= last, "back from {last} to {told}");
                prop_assert!(told <= real, "{told} at {real}");
                prop_assert!(real - told <= STRETCH_NS / SLOWER + READING_NS);
                last = told;
            }
            prop_assert!(by_ticks > 0 || counter.rate.lock().measured > 0);
        }
    }

    #[test]
    fn a_counter_that_jumps_is_not_believed() {
        let counter = Counter::default();
        let read = |ms: u64, ticks: u64| counter.learn(Reading { ticks, ns: ms * 1_000_000 });
        let second = 3_000_000_000;
        for ms in (0..=60).step_by(20) {
            read(ms, ms * 3_000_000);
        }
        let now = 60 * 3_000_000;
        assert!(
            counter
                .mark
                .time_at(now + 3000)
                .is_some_and(|ns| (60_000_900..=60_001_000).contains(&ns))
        );
        // A slow processor came back from sleep, or another one is told from.
        assert_eq!(counter.mark.time_at(now + second), None);
        assert_eq!(counter.mark.time_at(now - 1), None);
        // Ticks went on for an hour, the system's clock for 20 ms.
        let later = now + 3600 * second;
        read(80, later);
        assert_eq!(counter.mark.time_at(later), None);
        read(100, later + 20 * 3_000_000);
        assert_eq!(counter.mark.time_at(later + 20 * 3_000_000), None);
        read(120, later + 40 * 3_000_000);
        assert!(counter.mark.time_at(later + 40 * 3_000_000).is_some());
        // One that stands still.
        read(140, later);
        read(160, later);
        assert_eq!(counter.mark.time_at(later), None);
    }

    #[test]
    fn it_agrees_with_the_system() {
        let clock = TickClock::new();
        let end = system_ns() + 100_000_000;
        let mut last = 0;
        loop {
            let before = system_ns() / 1000;
            let told = clock.monotonic_us();
            let after = system_ns();
            assert!(told >= last, "back from {last} to {told}");
            // It may be late by a thousandth of a stretch, and by what is cut off.
            assert!(told + 3 >= before && told <= after / 1000, "{told} in {before}..{after}");
            last = told;
            if after > end {
                return;
            }
        }
    }
}
