//! What is counted about scripts and functions: [`ScriptStatistics`].
//!
//! A table from script to [`ScriptStats`]. Scripts and functions are one kind of thing here: both
//! are named by the index of their engine and the [`Handle`] it gave them, which is never used
//! twice. Entries are made by the first run that ends; whoever has an engine forget a handle
//! removes its entry too, so there are never more entries than scripts and functions.
//!
//! Run times are kept in a [`TimeHistogram`] of less than a kilobyte. All that a run costs is one
//! lookup and a few additions; only the first run of a script, and the first error of a class,
//! allocate.

use crate::engine::Handle;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Slots for each doubling of a time; a slot is never wider than an eighth of its times.
const SLOTS_PER_DOUBLING: usize = 8;
/// log2 of [`SLOTS_PER_DOUBLING`].
const DOUBLING_BITS: u32 = 3;
/// Longest time told apart, microseconds: more than an hour.
const TIME_US_MAX: u64 = (1 << 32) - 1;
/// Slots for times up to [`TIME_US_MAX`].
const SLOTS: usize = slot_of(TIME_US_MAX) + 1;
/// Most classes of errors that are counted apart; a script can invent classes without end.
const CLASSES_MAX: usize = 16;
/// Longest name of a class, bytes.
const CLASS_BYTES_MAX: usize = 32;
/// The class of errors that have no class of their own left.
const OTHER_ERRORS: &str = "OTHER";

/// Number of doublings before the slot of `us` begins.
const fn scale_of(us: u64) -> u32 {
    let least = 2 * SLOTS_PER_DOUBLING as u64 - 1;
    (u64::BITS - DOUBLING_BITS - 1).saturating_sub((us | least).leading_zeros())
}

const fn slot_of(us: u64) -> usize {
    let scale = scale_of(us);
    scale as usize * SLOTS_PER_DOUBLING + (us >> scale) as usize
}

/// The longest time in a slot.
const fn slot_end(slot: usize) -> u64 {
    if slot < 2 * SLOTS_PER_DOUBLING {
        return slot as u64;
    }
    let scale = slot / SLOTS_PER_DOUBLING - 1;
    let start = ((slot - scale * SLOTS_PER_DOUBLING) as u64) << scale;
    start + (1 << scale) - 1
}

/// How many runs took how long, with one significant digit.
#[derive(Debug, Clone)]
pub struct TimeHistogram {
    slots: [u32; SLOTS],
}

impl Default for TimeHistogram {
    fn default() -> Self {
        TimeHistogram { slots: [0; SLOTS] }
    }
}

impl TimeHistogram {
    /// Counts a run. A slot that is full stays full.
    #[inline]
    fn record(&mut self, us: u64) {
        if let Some(count) = self.slots.get_mut(slot_of(us.min(TIME_US_MAX))) {
            *count = count.saturating_add(1);
        }
    }

    /// The time, microseconds, that `percent` of the runs did not exceed. 0 without runs.
    pub fn percentile(&self, percent: f64) -> u64 {
        let total: u64 = self.slots.iter().copied().map(u64::from).sum();
        let wanted = (percent.clamp(0.0, 100.0) / 100.0 * total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let slot = self.slots.iter().position(|count| {
            seen += u64::from(*count);
            seen >= wanted
        });
        slot.map_or(0, slot_end)
    }
}

/// What one run came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFigures {
    /// Microseconds.
    pub took_us: u64,
    /// Unix time of its end, microseconds.
    pub ended_us: i64,
    /// It was slow enough for the slow log.
    pub slow: bool,
    /// Commands it executed.
    pub commands: u64,
    /// Keys its caller declared.
    pub keys_declared: u64,
    /// Uses of keys by its commands.
    pub keys_used: u64,
    /// Those of them that name a key the caller did not declare.
    pub keys_undeclared: u64,
    /// Bytes of its reply, where they are known.
    pub reply_bytes: u64,
    /// How far the heap of its engine grew.
    pub memory_bytes: u64,
    /// Class of the error that ended it: the first word of its text.
    pub error: Option<Box<[u8]>>,
}

/// The counters of a script or function.
#[derive(Debug, Clone, Default)]
pub struct ScriptStats {
    /// Runs.
    pub calls: u64,
    /// Runs that were slow enough for the slow log.
    pub slow_calls: u64,
    /// Runs that ended with an error, by class.
    pub errors: Vec<(Box<str>, u64)>,
    /// Microseconds of all runs.
    pub usec: u64,
    /// Microseconds of the longest.
    pub usec_max: u64,
    /// Times of the runs.
    pub times: TimeHistogram,
    /// Commands executed.
    pub commands: u64,
    /// Keys declared by callers.
    pub keys_declared: u64,
    /// Uses of keys by commands.
    pub keys_used: u64,
    /// Those of them that name a key which was not declared.
    pub keys_undeclared: u64,
    /// Bytes of replies.
    pub reply_bytes: u64,
    /// The furthest that a run made the heap of the engine grow.
    pub memory_bytes_max: u64,
    /// Unix time of the end of the last run, microseconds.
    pub last_used_us: i64,
}

impl ScriptStats {
    /// Runs that ended with an error.
    pub fn failed_calls(&self) -> u64 {
        self.errors.iter().map(|(_, count)| count).sum()
    }

    /// Mean microseconds of a run.
    pub fn usec_per_call(&self) -> f64 {
        if self.calls == 0 { 0.0 } else { self.usec as f64 / self.calls as f64 }
    }

    #[inline]
    fn record(&mut self, run: &RunFigures) {
        self.calls += 1;
        self.slow_calls += u64::from(run.slow);
        self.usec += run.took_us;
        self.usec_max = self.usec_max.max(run.took_us);
        self.times.record(run.took_us);
        self.commands += run.commands;
        self.keys_declared += run.keys_declared;
        self.keys_used += run.keys_used;
        self.keys_undeclared += run.keys_undeclared;
        self.reply_bytes += run.reply_bytes;
        self.memory_bytes_max = self.memory_bytes_max.max(run.memory_bytes);
        self.last_used_us = run.ended_us;
        if let Some(class) = &run.error {
            self.count_error(class);
        }
    }

    #[cold]
    fn count_error(&mut self, class: &[u8]) {
        let class = class.get(..CLASS_BYTES_MAX).unwrap_or(class);
        let class = String::from_utf8_lossy(class);
        let full = self.errors.len() + 1 >= CLASSES_MAX;
        let known = self.errors.iter().any(|(name, _)| **name == *class);
        let class = if known || !full { &*class } else { OTHER_ERRORS };
        match self.errors.iter_mut().find(|(name, _)| **name == *class) {
            Some((_, count)) => *count += 1,
            None => self.errors.push((class.into(), 1)),
        }
    }
}

/// The class of an error: the first word of its text.
pub fn error_class(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == b' ').next().unwrap_or_default()
}

/// Hashes names of scripts. Engines choose them, and no client can, so this need not be hard to
/// guess; it is computed in every run.
#[derive(Default)]
struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64((*byte).into()));
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        // The multiplier of Fibonacci hashing: 2^64 divided by the golden ratio.
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    #[inline]
    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

/// The counters of all scripts and functions that ran.
#[derive(Debug, Default)]
pub struct ScriptStatistics {
    entries: HashMap<(usize, Handle), Box<ScriptStats>, BuildHasherDefault<NameHasher>>,
}

impl ScriptStatistics {
    /// Counts a run of a script: the index of its engine and its handle there.
    #[inline]
    pub fn record(&mut self, script: (usize, Handle), run: &RunFigures) {
        match self.entries.get_mut(&script) {
            Some(stats) => stats.record(run),
            None => self.record_first(script, run),
        }
    }

    #[cold]
    fn record_first(&mut self, script: (usize, Handle), run: &RunFigures) {
        self.entries.entry(script).or_default().record(run);
    }

    /// The counters of a script; `None` before its first run ended.
    pub fn get(&self, script: (usize, Handle)) -> Option<&ScriptStats> {
        self.entries.get(&script).map(|stats| &**stats)
    }

    /// Removes the counters of a script that is forgotten.
    pub fn forget(&mut self, script: (usize, Handle)) {
        self.entries.remove(&script);
    }

    /// Removes all counters.
    pub fn reset(&mut self) {
        self.entries.clear();
    }

    /// Number of scripts with counters.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: (usize, Handle) = (0, Handle(7));

    fn run(took_us: u64, error: Option<&[u8]>) -> RunFigures {
        RunFigures { took_us, error: error.map(Into::into), ..RunFigures::default() }
    }

    #[test]
    fn slots_follow_each_other_without_gaps() {
        let mut us = 0;
        for slot in 0..SLOTS {
            assert_eq!(slot_of(us), slot);
            assert_eq!(slot_of(slot_end(slot)), slot);
            us = slot_end(slot) + 1;
        }
        assert_eq!(us, TIME_US_MAX + 1);
    }

    #[test]
    fn percentiles_are_at_most_an_eighth_too_high() {
        let mut times = TimeHistogram::default();
        assert_eq!(times.percentile(99.0), 0);
        (1..=1000).for_each(|us| times.record(us));
        for (percent, exact) in [(0.0, 1), (50.0, 500), (99.0, 990), (100.0, 1000)] {
            let shown = times.percentile(percent);
            assert!((exact..=exact + exact / 8).contains(&shown), "{percent} {shown}");
        }
        times.record(u64::MAX);
        assert_eq!(times.percentile(100.0), TIME_US_MAX);
    }

    #[test]
    fn runs_add_up_until_the_script_is_forgotten() {
        let mut statistics = ScriptStatistics::default();
        assert!(statistics.get(SCRIPT).is_none());
        let first = RunFigures { commands: 2, memory_bytes: 9, ended_us: 5, ..run(10, None) };
        statistics.record(SCRIPT, &first);
        let second =
            RunFigures { slow: true, memory_bytes: 4, ended_us: 8, ..run(30, Some(b"ERR")) };
        statistics.record(SCRIPT, &second);
        let stats = statistics.get(SCRIPT).expect("it ran");
        assert_eq!((stats.calls, stats.slow_calls, stats.failed_calls()), (2, 1, 1));
        assert_eq!((stats.usec, stats.usec_max, stats.usec_per_call()), (40, 30, 20.0));
        assert_eq!((stats.commands, stats.memory_bytes_max, stats.last_used_us), (2, 9, 8));
        assert_eq!(statistics.len(), 1);
        statistics.forget(SCRIPT);
        assert!(statistics.is_empty());
    }

    #[test]
    fn classes_of_errors_are_bounded() {
        let mut stats = ScriptStats::default();
        for number in 0..100 {
            stats.record(&run(1, Some(format!("E{number}").as_bytes())));
            stats.record(&run(1, Some(&[b'x'; 100])));
        }
        assert_eq!(stats.errors.len(), CLASSES_MAX);
        assert_eq!(stats.failed_calls(), 200);
        assert!(stats.errors.iter().all(|(name, _)| name.len() <= CLASS_BYTES_MAX));
        assert_eq!(stats.errors.last().map(|(name, _)| &**name), Some(OTHER_ERRORS));
        assert_eq!(error_class(b"WRONGTYPE Operation"), b"WRONGTYPE");
        assert_eq!(error_class(b""), b"");
    }
}
