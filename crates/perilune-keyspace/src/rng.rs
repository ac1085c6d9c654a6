//! A small seedable generator for picks that must be fair but need not be secret.
//!
//! It is a Weyl sequence mixed by a 128-bit multiplication ("wyrand"): one addition and one
//! multiplication per number, 64 bits of state, every seed equally good. It is a value that the
//! caller owns and passes in, so the same seed repeats the same picks; there is no global. It
//! must not be used where an adversary gains from guessing the next number.

/// A pseudo-random number generator.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// A generator whose numbers depend on nothing but `seed`.
    pub fn new(seed: u64) -> Self {
        Rng { state: seed }
    }

    /// The next number, uniform over all 64-bit values.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0xa076_1d64_78bd_642f);
        let wide = u128::from(self.state) * u128::from(self.state ^ 0xe703_7ed1_a0b4_28db);
        (wide >> 64) as u64 ^ wide as u64
    }

    /// A number below `bound`, or zero if `bound` is zero.
    ///
    /// The bias of the multiplication is below `bound / 2^64`, far under what picks can show.
    #[inline]
    pub fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.next_u64()) * bound as u128;
        (wide >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_numbers_and_others_do_not() {
        let (mut one, mut same, mut other) = (Rng::new(7), Rng::new(7), Rng::new(8));
        let first: Vec<u64> = (0..100).map(|_| one.next_u64()).collect();
        assert!(first.iter().all(|&n| n == same.next_u64()));
        assert!(first.iter().any(|&n| n != other.next_u64()));
    }

    #[test]
    fn below_reaches_every_value_evenly() {
        let mut rng = Rng::new(1);
        let mut hits = [0_u32; 10];
        for _ in 0..100_000 {
            hits[rng.below(10)] += 1;
        }
        assert!(hits.iter().all(|&n| (9_500..10_500).contains(&n)), "{hits:?}");
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.below(1), 0);
    }
}
