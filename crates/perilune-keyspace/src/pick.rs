//! Several random picks out of one collection.
//!
//! Which way is cheap depends on the collection: one that can only be walked is walked once
//! ([`in_order`]); one with cheap random access is asked again and again until enough different
//! items came, unless most of it is wanted anyway ([`distinct`]); picks that may repeat need no
//! memory at all, but a collection that must be walked is walked once for all of them
//! ([`repeated`]).
//!
//! Every way is fair: each selection of the asked size is as likely as any other, as far as the
//! collection's own random access is fair.

use ahash::AHashSet;
use std::hash::Hash;

use crate::Rng;

/// A collection of fewer than this many times the wanted items is copied and shuffled: asking it
/// for random items would too often give one that is there already.
const SHUFFLE_FACTOR: usize = 3;

/// Hands `count` of the `len` items to `visit`, in their order, and the others to `leave`.
pub fn in_order<T>(
    items: impl IntoIterator<Item = T>,
    len: usize,
    count: usize,
    rng: &mut Rng,
    mut visit: impl FnMut(T),
    mut leave: impl FnMut(T),
) {
    let (mut left, mut wanted) = (len, count);
    for item in items {
        if rng.below(left) < wanted {
            wanted -= 1;
            visit(item);
        } else {
            leave(item);
        }
        left = left.saturating_sub(1);
    }
}

/// Hands `count` different items, or all if there are fewer, to `visit`, in no particular order.
/// `len` is the number of items, `all` walks them, `random` picks one and `key` tells them apart.
pub fn distinct<T, K: Hash + Eq>(
    len: usize,
    count: usize,
    rng: &mut Rng,
    all: impl Iterator<Item = T>,
    mut random: impl FnMut(&mut Rng) -> Option<T>,
    key: impl Fn(&T) -> K,
    mut visit: impl FnMut(T),
) {
    if count.saturating_mul(SHUFFLE_FACTOR) > len {
        let mut items: Vec<T> = all.collect();
        for _ in 0..count.min(items.len()) {
            let picked = rng.below(items.len());
            visit(items.swap_remove(picked));
        }
        return;
    }
    let mut seen = AHashSet::with_capacity(count);
    while seen.len() < count {
        let Some(item) = random(rng) else { return };
        if seen.insert(key(&item)) {
            visit(item);
        }
    }
}

/// Hands `count` items to `visit`, each a random one of `all`: the same one may come again.
pub fn repeated<T: Copy>(
    all: impl Iterator<Item = T>,
    count: usize,
    rng: &mut Rng,
    mut visit: impl FnMut(T),
) {
    let items: Vec<T> = all.collect();
    for _ in 0..count {
        if let Some(item) = items.get(rng.below(items.len())) {
            visit(*item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Picks `count` of `0..len` many times and counts how often each item comes.
    fn hits(len: usize, count: usize, pick: impl Fn(&mut Rng, &mut dyn FnMut(usize))) -> Vec<u32> {
        let (mut rng, mut hits) = (Rng::new(5), vec![0; len]);
        for _ in 0..20_000 {
            let mut picked = Vec::new();
            pick(&mut rng, &mut |item| picked.push(item));
            assert_eq!(picked.len(), count);
            picked.iter().for_each(|item| hits[*item] += 1);
            picked.sort_unstable();
            picked.dedup();
            assert_eq!(picked.len(), count, "picked one twice");
        }
        hits
    }

    fn assert_even(hits: &[u32], count: usize) {
        let expected = (20_000 * count / hits.len()) as f64;
        let far = hits.iter().any(|&n| (f64::from(n) - expected).abs() > expected * 0.08);
        assert!(!far, "{hits:?} should be about {expected}");
    }

    #[test]
    fn picks_in_order_are_even_and_ordered() {
        for count in [1, 3, 9] {
            let hits = hits(10, count, |rng, visit| {
                let (mut picked, mut left) = (Vec::new(), 0);
                in_order(0..10, 10, count, rng, |item| picked.push(item), |_| left += 1);
                assert!(picked.is_sorted());
                assert_eq!(left, 10 - count);
                picked.into_iter().for_each(visit);
            });
            assert_even(&hits, count);
        }
    }

    #[test]
    fn distinct_picks_are_even_whichever_way_is_taken() {
        for count in [2, 3, 4, 7, 10] {
            let hits = hits(10, count, |rng, visit| {
                distinct(10, count, rng, 0..10, |rng| Some(rng.below(10)), |item| *item, visit);
            });
            assert_even(&hits, count);
        }
    }

    #[test]
    fn more_than_there_is_gives_all() {
        let mut picked = Vec::new();
        let visit = |item: usize| picked.push(item);
        distinct(3, usize::MAX, &mut Rng::new(1), 0..3, |_| None, |item| *item, visit);
        picked.sort_unstable();
        assert_eq!(picked, [0, 1, 2]);
    }

    #[test]
    fn repeated_picks_repeat() {
        let mut hits = [0_u32; 4];
        repeated(0..4, 40_000, &mut Rng::new(9), |item: usize| hits[item] += 1);
        assert!(hits.iter().all(|n| (9_500..10_500).contains(n)), "{hits:?}");
        repeated(0..0, 5, &mut Rng::new(9), |_: usize| unreachable!("nothing to pick"));
    }
}
