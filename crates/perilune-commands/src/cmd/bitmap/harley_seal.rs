//! Counting the bits of long strings with AVX2, after Harley and Seal (Muła, Kurz, Lemire: "Faster
//! Population Counts Using AVX2 Instructions", 2018).
//!
//! A carry-save adder takes two vectors and the bits of weight one that are left from before, and
//! gives the sum as bits of weight one and two. A tree of them takes 16 vectors at a time, so that
//! only one of 16 has its bits counted:
//!
//! ```text
//! vectors --> ones --> twos --> fours --> eights --> sixteens, counted
//! ```
//!
//! 12 KiB take 0.24 µs, against 0.36 µs for what the compiler makes of a plain loop over words.

use std::arch::x86_64::*;

const VECTOR_BYTES: usize = size_of::<__m256i>();
/// Bytes between two counts.
const BLOCK_BYTES: usize = VECTOR_BYTES * 16;

/// Counts the bits of all whole blocks, and answers the bytes behind them.
#[target_feature(enable = "avx2")]
pub(super) fn count_blocks(content: &[u8]) -> (u64, &[u8]) {
    let (blocks, rest) = content.as_chunks::<BLOCK_BYTES>();
    let mut sums = Sums([_mm256_setzero_si256(); 4]);
    let mut sixteens = _mm256_setzero_si256();
    for block in blocks {
        sixteens = _mm256_add_epi64(sixteens, count(sums.add_16(block)));
    }
    let [ones, twos, fours, eights] = sums.0.map(|bits| total(count(bits)));
    (total(sixteens) * 16 + eights * 8 + fours * 4 + twos * 2 + ones, rest)
}

/// Bits that were not counted yet: of weight one, two, four and eight.
struct Sums([__m256i; 4]);

impl Sums {
    /// Adds two vectors: the bits of weight two.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn add_2(&mut self, bytes: &[u8]) -> __m256i {
        let (left, right) = bytes.split_at(VECTOR_BYTES);
        carry_save(&mut self.0[0], load(left), load(right))
    }

    /// Adds four vectors: the bits of weight four.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn add_4(&mut self, bytes: &[u8]) -> __m256i {
        let (left, right) = bytes.split_at(VECTOR_BYTES * 2);
        let (left, right) = (self.add_2(left), self.add_2(right));
        carry_save(&mut self.0[1], left, right)
    }

    /// Adds eight vectors: the bits of weight eight.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn add_8(&mut self, bytes: &[u8]) -> __m256i {
        let (left, right) = bytes.split_at(VECTOR_BYTES * 4);
        let (left, right) = (self.add_4(left), self.add_4(right));
        carry_save(&mut self.0[2], left, right)
    }

    /// Adds a block: the bits of weight sixteen.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn add_16(&mut self, block: &[u8; BLOCK_BYTES]) -> __m256i {
        let (left, right) = block.split_at(VECTOR_BYTES * 8);
        let (left, right) = (self.add_8(left), self.add_8(right));
        carry_save(&mut self.0[3], left, right)
    }
}

/// Adds three bits at every place: `sum` keeps the low bit, the carry is the result.
#[target_feature(enable = "avx2")]
#[inline]
fn carry_save(sum: &mut __m256i, a: __m256i, b: __m256i) -> __m256i {
    let either = _mm256_xor_si256(a, b);
    let both = _mm256_and_si256(a, b);
    let carry = _mm256_or_si256(both, _mm256_and_si256(either, *sum));
    *sum = _mm256_xor_si256(either, *sum);
    carry
}

/// Counts the bits in each fourth of a vector, by looking up each half of a byte.
#[target_feature(enable = "avx2")]
#[inline]
fn count(bits: __m256i) -> __m256i {
    let low_half = _mm256_set1_epi8(0x0f);
    let ones_of_half =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    let low = _mm256_and_si256(bits, low_half);
    let high = _mm256_and_si256(_mm256_srli_epi16::<4>(bits), low_half);
    let low = _mm256_shuffle_epi8(ones_of_half, low);
    let high = _mm256_shuffle_epi8(ones_of_half, high);
    _mm256_sad_epu8(_mm256_add_epi8(low, high), _mm256_setzero_si256())
}

/// The sum of the four counts in a vector.
#[target_feature(enable = "avx2")]
#[inline]
fn total(counts: __m256i) -> u64 {
    let pair = _mm256_add_epi64(counts, _mm256_permute4x64_epi64::<0b1110>(counts));
    let pair = _mm256_castsi256_si128(pair);
    (_mm_extract_epi64::<0>(pair) + _mm_extract_epi64::<1>(pair)).cast_unsigned()
}

/// As many bytes as a vector has, in any order of its words: one instruction after optimisation.
#[target_feature(enable = "avx2")]
#[inline]
fn load(bytes: &[u8]) -> __m256i {
    let (words, _) = bytes.as_chunks();
    let word = |at: usize| words.get(at).map_or(0, |word| i64::from_ne_bytes(*word));
    _mm256_set_epi64x(word(3), word(2), word(1), word(0))
}
