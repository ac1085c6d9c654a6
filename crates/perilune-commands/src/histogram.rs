//! A histogram of run times with two significant digits: the bucket layout of HdrHistogram, which
//! Redis uses, so that the numbers shown are the same.
//!
//! Values are nanoseconds up to `MAX`. The first 256 values have a slot each; after that every
//! doubling of the value has 128 slots, so a slot is never wider than 1/128 of its values.
//! Recording is a few bit operations and one increment; the slots (24 KiB) are one allocation, made
//! for the first value.
//!
//! Invariant: `total` is the sum of `slots`.

/// Largest value told apart; larger ones count as this: one second.
const MAX: u64 = 1_000_000_000;
/// Slots per doubling.
const HALF: usize = 128;
/// log2 of [`HALF`].
const HALF_BITS: u32 = 7;
/// Slots for values up to [`MAX`].
const SLOTS: usize = slot_of(MAX) + 1;
/// First step of [`Histogram::steps`], nanoseconds: the nearest there is to a microsecond.
const STEP_FIRST: u64 = 1024;

/// How many runs took how long.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    slots: Vec<u64>,
    total: u64,
}

/// Number of doublings before the slot of `value` begins.
const fn scale_of(value: u64) -> u32 {
    (u64::BITS - HALF_BITS - 1).saturating_sub((value | (2 * HALF as u64 - 1)).leading_zeros())
}

const fn slot_of(value: u64) -> usize {
    let scale = scale_of(value);
    (scale as usize) * HALF + (value >> scale) as usize
}

/// The largest value that shares its slot with `value`.
const fn slot_end(value: u64) -> u64 {
    let scale = scale_of(value);
    (((value >> scale) + 1) << scale) - 1
}

/// The smallest value of a slot.
fn slot_start(slot: usize) -> u64 {
    if slot < 2 * HALF {
        return slot as u64;
    }
    let scale = slot / HALF - 1;
    ((slot - scale * HALF) as u64) << scale
}

impl Histogram {
    /// Counts a run of `ns` nanoseconds.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        if self.slots.is_empty() {
            self.slots = vec![0; SLOTS];
        }
        if let Some(count) = self.slots.get_mut(slot_of(ns.clamp(1, MAX))) {
            *count += 1;
            self.total += 1;
        }
    }

    /// Number of runs.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The time, nanoseconds, that `percent` of the runs did not exceed. 0 without runs.
    pub fn percentile(&self, percent: f64) -> u64 {
        let wanted = (percent.clamp(0.0, 100.0) / 100.0 * self.total as f64 + 0.5) as u64;
        let wanted = wanted.max(1);
        let mut seen = 0;
        let slot = self.slots.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        slot.map_or(0, |slot| slot_end(slot_start(slot)))
    }

    /// The cumulative distribution in doubling steps, those without runs of their own left out:
    /// upper bound in nanoseconds, runs up to there.
    pub fn steps(&self) -> Vec<(u64, u64)> {
        let mut steps = Vec::new();
        let (mut from, mut seen, mut bound) = (0, 0, STEP_FIRST);
        while seen < self.total {
            let end = (slot_of(bound) + 1).min(self.slots.len());
            let within: u64 = self.slots.get(from..end).into_iter().flatten().sum();
            if within > 0 {
                seen += within;
                steps.push((slot_end(bound), seen));
            }
            (from, bound) = (end, bound * 2);
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_follow_each_other_without_gaps() {
        let mut value = 0;
        for slot in 0..SLOTS {
            assert_eq!(slot_of(value), slot);
            assert_eq!(slot_start(slot), value);
            assert_eq!(slot_of(slot_end(value)), slot);
            value = slot_end(value) + 1;
        }
        assert!(value > MAX);
    }

    #[test]
    fn percentiles_are_those_of_hdr_histogram() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(50.0), 0);
        (1..=100).for_each(|us| histogram.record(us * 1000));
        assert_eq!(histogram.total(), 100);
        // The end of the slot that holds the exact value.
        assert_eq!(histogram.percentile(50.0), slot_end(50_000));
        assert_eq!(histogram.percentile(100.0), slot_end(100_000));
        assert_eq!(histogram.percentile(0.0), 1003);
    }

    #[test]
    fn longer_than_the_longest_counts_as_the_longest() {
        let mut histogram = Histogram::default();
        histogram.record(u64::MAX);
        histogram.record(0);
        assert_eq!(histogram.total(), 2);
        assert_eq!(histogram.percentile(100.0), slot_end(MAX));
        assert_eq!(histogram.percentile(1.0), 1);
    }

    #[test]
    fn steps_are_cumulative_and_cover_everything() {
        let mut histogram = Histogram::default();
        assert!(histogram.steps().is_empty());
        for us in [1, 1, 3, 40, 1_000_000] {
            histogram.record(us * 1000);
        }
        let steps: Vec<_> = histogram.steps().iter().map(|(ns, n)| (ns / 1000, *n)).collect();
        assert_eq!(steps, [(1, 2), (4, 3), (66, 4), (1_082_130, 5)]);
    }
}
