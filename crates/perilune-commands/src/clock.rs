//! Time as the engine sees it: injected, so that tests own it.

use nix::time::{ClockId, clock_gettime};
use std::time::{SystemTime, UNIX_EPOCH};

/// A source of time.
pub trait Clock: Send + Sync {
    /// Microseconds since the Unix epoch.
    fn unix_us(&self) -> i64;
    /// Microseconds on a clock that never goes back; its zero means nothing.
    fn monotonic_us(&self) -> u64;
    /// What that clock is, as `INFO server` tells it.
    fn monotonic_source(&self) -> String {
        "POSIX clock_gettime".to_owned()
    }
}

/// The machine's clocks.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_us(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            // A clock set before 1970 reads as the epoch.
            Err(_) => 0,
        }
    }

    // Every command is timed. `Instant` can only be asked for differences, which takes three times
    // as many instructions.
    fn monotonic_us(&self) -> u64 {
        match clock_gettime(ClockId::CLOCK_MONOTONIC) {
            Ok(now) => now.tv_sec() as u64 * 1_000_000 + now.tv_nsec() as u64 / 1000,
            // Every system has this clock.
            Err(_) => 0,
        }
    }
}
