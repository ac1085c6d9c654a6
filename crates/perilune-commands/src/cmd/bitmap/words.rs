//! The loops over long strings: counting bits and skipping bytes that are all alike.
//!
//! Bits are counted after Harley and Seal: a carry-save adder takes two words and the bits of weight
//! one that are left from before, and gives the sum as bits of weight one and two. A tree of them
//! takes 16 words at a time, so that only one of 16 words has its bits counted:
//!
//! ```text
//! words --> ones --> twos --> fours --> eights --> sixteens, counted
//! ```
//!
//! Everything is done for four words side by side, which compilers make vector instructions of.
//! Each function exists twice, for the processor that the build is for and for one with AVX2, and
//! the first call chooses.

use multiversion::multiversion;

/// Words that are added side by side.
const LANES: usize = 4;
const LANES_BYTES: usize = LANES * 8;
/// Bytes between two counts.
const BLOCK_BYTES: usize = LANES_BYTES * 16;
/// Bytes that are compared at once. More of them would be read needlessly where the search ends.
const SKIP_BYTES: usize = 128;

type Words = [u64; LANES];

/// Counts the bits that are set.
#[multiversion(targets("x86_64+avx2+popcnt"))]
pub(super) fn count_ones(content: &[u8]) -> u64 {
    let mut sums = Sums::default();
    let blocks = content.chunks_exact(BLOCK_BYTES);
    let rest = blocks.remainder();
    for block in blocks {
        sums.add(block);
    }
    let words = rest.chunks_exact(8);
    let last: u32 = words.remainder().iter().map(|byte| byte.count_ones()).sum();
    let rest: u32 = words.map(|word| word_of(word).count_ones()).sum();
    sums.total() + u64::from(rest + last)
}

/// How many bytes at the begin can be skipped because they are `byte`: a multiple of a block, and
/// not always all of them.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn skip(content: &[u8], byte: u8) -> usize {
    let alike = |block: &&[u8]| block.iter().fold(0, |found, other| found | (other ^ byte)) == 0;
    content.chunks_exact(SKIP_BYTES).take_while(alike).count() * SKIP_BYTES
}

/// Bits that were counted, by their weight.
#[derive(Default)]
struct Sums {
    ones: Words,
    twos: Words,
    fours: Words,
    eights: Words,
    /// How many times 16, in each lane.
    sixteens: Words,
}

impl Sums {
    #[inline(always)]
    fn add(&mut self, block: &[u8]) {
        let (left, right) = block.split_at(block.len() / 2);
        let a = self.add_half(left);
        let b = self.add_half(right);
        let sixteens = carry_save(&mut self.eights, a, b);
        for (sum, word) in self.sixteens.iter_mut().zip(sixteens) {
            *sum += u64::from(word.count_ones());
        }
    }

    /// Adds half a block: the bits of weight eight.
    #[inline(always)]
    fn add_half(&mut self, half: &[u8]) -> Words {
        let (left, right) = half.split_at(half.len() / 2);
        let a = self.add_quarter(left);
        let b = self.add_quarter(right);
        carry_save(&mut self.fours, a, b)
    }

    /// Adds a quarter of a block: the bits of weight four.
    #[inline(always)]
    fn add_quarter(&mut self, quarter: &[u8]) -> Words {
        let a = carry_save(&mut self.ones, lanes(quarter, 0), lanes(quarter, 1));
        let b = carry_save(&mut self.ones, lanes(quarter, 2), lanes(quarter, 3));
        carry_save(&mut self.twos, a, b)
    }

    fn total(&self) -> u64 {
        let ones = |words: &Words| words.iter().map(|word| u64::from(word.count_ones())).sum();
        let weighted = [&self.ones, &self.twos, &self.fours, &self.eights].map(ones);
        let sixteens: u64 = self.sixteens.iter().sum();
        weighted.iter().rev().fold(sixteens, |sum, ones: &u64| sum * 2 + ones)
    }
}

/// Adds three bits at every place: `sum` keeps the low bit, the carry is the result.
#[inline(always)]
fn carry_save(sum: &mut Words, a: Words, b: Words) -> Words {
    let mut carry = [0; LANES];
    for lane in 0..LANES {
        let either = a[lane] ^ b[lane];
        carry[lane] = (a[lane] & b[lane]) | (either & sum[lane]);
        sum[lane] ^= either;
    }
    carry
}

/// The words of `bytes` that begin at a multiple of the lanes.
#[inline(always)]
fn lanes(bytes: &[u8], index: usize) -> Words {
    let bytes = &bytes[index * LANES_BYTES..][..LANES_BYTES];
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
    std::array::from_fn(|lane| word(&bytes[lane * 8..][..8]))
}

/// Eight bytes as a word whose highest bit is the first bit of the string.
#[inline(always)]
pub(super) fn word_of(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counting_agrees_with_counting_each_byte(
            content in prop::collection::vec(any::<u8>(), 0..3 * BLOCK_BYTES),
            full: bool,
        ) {
            let content = if full { vec![0xff; content.len()] } else { content };
            let expected: u64 = content.iter().map(|byte| u64::from(byte.count_ones())).sum();
            prop_assert_eq!(count_ones(&content), expected);
        }

        #[test]
        fn what_is_skipped_is_alike(len in 0..1000usize, at in 0..1000usize, byte: u8) {
            let mut content = vec![byte; len];
            if let Some(other) = content.get_mut(at) {
                *other = !byte;
            }
            let skipped = skip(&content, byte);
            prop_assert!(skipped <= len.min(at));
            prop_assert!(len.min(at) - skipped < SKIP_BYTES);
        }
    }
}
