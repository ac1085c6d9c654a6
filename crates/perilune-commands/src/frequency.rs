//! How often a key is used, on the logarithmic scale of Redis' LFU policies.
//!
//! ```text
//! access figure   minutes since the epoch (16 bits) | counter (8 bits)
//! ```
//!
//! Under any other policy the access figure of a key is the time of its last access in seconds. When
//! the policy changes from one kind to the other, figures mean nothing until the next access, as in
//! Redis.
//!
//! The counter starts at [`INITIAL`], rises with a probability that falls with its value, and sinks
//! by one for every `lfu-decay-time` minutes since it was last looked at. Zero as a whole is a key
//! that was never counted.

use crate::config::{Config, MaxmemoryPolicy};
use perilune_keyspace::{KeyEntry, Rng};

/// The counter of a new key: high enough that it is not the first to go.
const INITIAL: u8 = 5;

/// Whether the configuration asks for counting.
#[inline]
pub(crate) fn is_counted(config: &Config) -> bool {
    matches!(config.maxmemory_policy, MaxmemoryPolicy::AllKeysLfu | MaxmemoryPolicy::VolatileLfu)
}

/// The counter as of `now_s`.
pub(crate) fn counter(stored: u32, now_s: u32, config: &Config) -> u8 {
    if stored == 0 {
        return INITIAL;
    }
    let periods = match config.lfu_decay_time {
        0 => 0,
        minutes => elapsed_minutes(stored, now_s) / minutes,
    };
    (stored as u8).saturating_sub(u8::try_from(periods).unwrap_or(u8::MAX))
}

/// Enters an access to a key.
#[inline]
pub(crate) fn access(entry: &mut KeyEntry, now_s: u32, config: &Config, rng: &mut Rng) {
    let access = match is_counted(config) {
        true => accessed(entry.access(), now_s, config, rng),
        false => now_s,
    };
    entry.set_access(access);
}

/// What is stored after one more access.
#[cold]
fn accessed(stored: u32, now_s: u32, config: &Config, rng: &mut Rng) -> u32 {
    let before = counter(stored, now_s, config);
    let above = u64::from(before.saturating_sub(INITIAL));
    // Rises with a probability of one in `odds`.
    let odds = above.saturating_mul(u64::from(config.lfu_log_factor)).saturating_add(1);
    let rises = rng.below(usize::try_from(odds).unwrap_or(usize::MAX)) == 0;
    let after = before.saturating_add(u8::from(rises));
    pack(after, now_s)
}

/// What is stored for a key that is new, or whose value is replaced: `before` is what was stored.
#[cold]
pub(crate) fn placed(before: Option<u32>, now_s: u32, config: &Config, rng: &mut Rng) -> u32 {
    match before {
        Some(stored) => accessed(stored, now_s, config, rng),
        None => pack(INITIAL, now_s),
    }
}

/// What is stored for a counter that was last looked at now.
pub(crate) fn pack(counter: u8, now_s: u32) -> u32 {
    ((now_s / 60) & 0xffff) << 8 | u32::from(counter)
}

fn elapsed_minutes(stored: u32, now_s: u32) -> u32 {
    (now_s / 60).wrapping_sub(stored >> 8) & 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_with_accesses_and_sinks_with_time() {
        let (config, mut rng) = (Config::default(), Rng::new(1));
        let now_s = 1_700_000_000;
        assert_eq!(counter(0, now_s, &config), INITIAL);
        let mut stored = 0;
        for _ in 0..1000 {
            stored = accessed(stored, now_s, &config, &mut rng);
        }
        let busy = counter(stored, now_s, &config);
        assert!((10..60).contains(&busy), "{busy}");
        assert_eq!(counter(stored, now_s + 120, &config), busy - 2);
        assert_eq!(counter(stored, now_s + 60 * 1000, &config), 0);
    }
}
