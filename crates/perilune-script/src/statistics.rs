//! What is counted about scripts and functions: [`ScriptStatistics`].
//!
//! A table from script to place, and [`ScriptStats`] in the places. Scripts and functions are one
//! kind of thing here: both are named by the index of their engine and the [`Handle`] it gave them,
//! which is never used twice. Entries are made by the first run that ends; whoever has an engine
//! forget a handle removes its entry too, so there are never more entries than scripts and
//! functions.
//!
//! A run is counted in two steps, for its time is known last: [`ScriptStatistics::record`] answers
//! the [`RunPlace`] that [`ScriptStatistics::record_time`] needs, and nothing else has to be kept
//! in between. Run times are in a [`TimeHistogram`] of less than a kilobyte. All that a run costs
//! is a few additions, and a lookup if another script ran before; only the first run of a script,
//! and the first error of a class, allocate.
//!
//! Invariant: the table names every place in use exactly once, under the script that stands there.

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

/// What one run came to, but for its time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunFigures<'a> {
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
    pub error: Option<&'a [u8]>,
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

    #[inline(always)]
    fn record(&mut self, run: &RunFigures<'_>) {
        self.calls += 1;
        self.commands += run.commands;
        self.keys_declared += run.keys_declared;
        self.keys_used += run.keys_used;
        self.keys_undeclared += run.keys_undeclared;
        self.reply_bytes += run.reply_bytes;
        self.memory_bytes_max = self.memory_bytes_max.max(run.memory_bytes);
        if let Some(class) = run.error {
            self.count_error(class);
        }
    }

    #[inline]
    fn record_time(&mut self, took_us: u64, ended_us: i64) {
        self.usec += took_us;
        self.usec_max = self.usec_max.max(took_us);
        self.times.record(took_us);
        self.last_used_us = ended_us;
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

/// A script as the statistics name it: the index of its engine and its handle there.
type ScriptKey = (usize, Handle);

/// Where a run was counted, until its time is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunPlace(u32);

/// A script and its counters.
#[derive(Debug)]
struct Entry {
    script: ScriptKey,
    stats: ScriptStats,
}

/// The counters of all scripts and functions that ran.
#[derive(Debug, Default)]
pub struct ScriptStatistics {
    by_script: HashMap<ScriptKey, RunPlace, BuildHasherDefault<NameHasher>>,
    entries: Vec<Option<Box<Entry>>>,
    free: Vec<RunPlace>,
    /// Where the last run was counted: most often the next is of the same script.
    last: RunPlace,
}

impl ScriptStatistics {
    /// Counts a run of a script: the index of its engine and its handle there. Its time is told
    /// with the place that is answered.
    #[inline(always)]
    pub fn record(&mut self, script: (usize, Handle), run: &RunFigures<'_>) -> RunPlace {
        if let Some(Some(entry)) = self.entries.get_mut(self.last.0 as usize)
            && entry.script == script
        {
            entry.stats.record(run);
        } else {
            self.record_other(script, run);
        }
        self.last
    }

    /// Counts a run of another script than the last.
    #[inline(never)]
    fn record_other(&mut self, script: ScriptKey, run: &RunFigures<'_>) {
        self.last = self.place_of(script);
        if let Some(Some(entry)) = self.entries.get_mut(self.last.0 as usize) {
            entry.stats.record(run);
        }
    }

    fn place_of(&mut self, script: ScriptKey) -> RunPlace {
        match self.by_script.get(&script) {
            Some(place) => *place,
            None => self.add(script),
        }
    }

    /// Adds the time of the run that was counted last at that place: microseconds, and the Unix
    /// time of its end in microseconds.
    #[inline]
    pub fn record_time(&mut self, place: RunPlace, took_us: u64, ended_us: i64) {
        if let Some(Some(entry)) = self.entries.get_mut(place.0 as usize) {
            entry.stats.record_time(took_us, ended_us);
        }
    }

    /// Counts the run at that place as slow enough for the slow log.
    pub fn record_slow(&mut self, place: RunPlace) {
        if let Some(Some(entry)) = self.entries.get_mut(place.0 as usize) {
            entry.stats.slow_calls += 1;
        }
    }

    #[cold]
    fn add(&mut self, script: (usize, Handle)) -> RunPlace {
        let entry = Some(Box::new(Entry { script, stats: ScriptStats::default() }));
        let place = self.free.pop().unwrap_or(RunPlace(self.entries.len() as u32));
        match self.entries.get_mut(place.0 as usize) {
            Some(free) => *free = entry,
            None => self.entries.push(entry),
        }
        self.by_script.insert(script, place);
        place
    }

    #[inline]
    fn entry(&self, place: RunPlace) -> Option<&Entry> {
        self.entries.get(place.0 as usize)?.as_deref()
    }

    /// The counters of a script; `None` before its first run ended.
    pub fn get(&self, script: (usize, Handle)) -> Option<&ScriptStats> {
        let place = *self.by_script.get(&script)?;
        self.entry(place).map(|entry| &entry.stats)
    }

    /// The script whose run was counted at that place, unless it was forgotten since.
    pub fn script_at(&self, place: RunPlace) -> Option<(usize, Handle)> {
        self.entry(place).map(|entry| entry.script)
    }

    /// Removes the counters of a script that is forgotten.
    pub fn forget(&mut self, script: (usize, Handle)) {
        let Some(place) = self.by_script.remove(&script) else { return };
        if let Some(entry) = self.entries.get_mut(place.0 as usize) {
            *entry = None;
            self.free.push(place);
        }
    }

    /// Removes all counters.
    pub fn reset(&mut self) {
        *self = ScriptStatistics::default();
    }

    /// Number of scripts with counters.
    pub fn len(&self) -> usize {
        self.by_script.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_script.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: (usize, Handle) = (0, Handle(7));

    fn failed(class: &[u8]) -> RunFigures<'_> {
        RunFigures { error: Some(class), ..RunFigures::default() }
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
        let first = RunFigures { commands: 2, memory_bytes: 9, ..RunFigures::default() };
        let place = statistics.record(SCRIPT, &first);
        statistics.record_time(place, 10, 5);
        let second = RunFigures { memory_bytes: 4, ..failed(b"ERR") };
        assert_eq!(statistics.record(SCRIPT, &second), place);
        statistics.record_time(place, 30, 8);
        statistics.record_slow(place);
        let stats = statistics.get(SCRIPT).expect("it ran");
        assert_eq!((stats.calls, stats.slow_calls, stats.failed_calls()), (2, 1, 1));
        assert_eq!((stats.usec, stats.usec_max, stats.usec_per_call()), (40, 30, 20.0));
        assert_eq!((stats.commands, stats.memory_bytes_max, stats.last_used_us), (2, 9, 8));
        assert_eq!(statistics.len(), 1);
        statistics.forget(SCRIPT);
        assert!(statistics.is_empty());
    }

    #[test]
    fn a_place_is_used_again_by_another_script() {
        let mut statistics = ScriptStatistics::default();
        let place = statistics.record(SCRIPT, &failed(b"ERR"));
        assert_eq!(statistics.script_at(place), Some(SCRIPT));
        statistics.forget(SCRIPT);
        assert_eq!(statistics.script_at(place), None);
        statistics.record_time(place, 1, 1);
        statistics.record_slow(place);
        let other = (0, Handle(8));
        assert_eq!(statistics.record(other, &RunFigures::default()), place);
        assert_eq!(statistics.script_at(place), Some(other));
        let stats = statistics.get(other).expect("it ran");
        assert_eq!((stats.calls, stats.slow_calls, stats.failed_calls()), (1, 0, 0));
        assert!(statistics.get(SCRIPT).is_none());
        statistics.reset();
        assert_eq!((statistics.len(), statistics.script_at(place)), (0, None));
    }

    #[test]
    fn classes_of_errors_are_bounded() {
        let mut stats = ScriptStats::default();
        for number in 0..100 {
            stats.record(&failed(format!("E{number}").as_bytes()));
            stats.record(&failed(&[b'x'; 100]));
        }
        assert_eq!(stats.errors.len(), CLASSES_MAX);
        assert_eq!(stats.failed_calls(), 200);
        assert!(stats.errors.iter().all(|(name, _)| name.len() <= CLASS_BYTES_MAX));
        assert_eq!(stats.errors.last().map(|(name, _)| &**name), Some(OTHER_ERRORS));
        assert_eq!(error_class(b"WRONGTYPE Operation"), b"WRONGTYPE");
        assert_eq!(error_class(b""), b"");
    }
}
