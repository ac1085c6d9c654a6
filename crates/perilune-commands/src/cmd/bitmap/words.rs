//! The loops over long strings: counting bits and skipping bytes that are all alike.
//!
//! Each function exists twice, for the processor that the build is for and for one with AVX2, and
//! the first call chooses.

use multiversion::{multiversion, target::match_target};

/// Bytes that are compared at once. More of them would be read needlessly where the search ends.
const SKIP_BYTES: usize = 128;

/// Counts the bits that are set.
#[multiversion(targets("x86_64+avx2+popcnt"))]
pub(super) fn count_ones(content: &[u8]) -> u64 {
    let (blocks, rest) = match_target! {
        "x86_64+avx2+popcnt" => super::harley_seal::count_blocks(content),
        _ => (0, content),
    };
    let words = rest.chunks_exact(8);
    let last: u32 = words.remainder().iter().map(|byte| byte.count_ones()).sum();
    let words: u64 = words.map(|word| u64::from(word_of(word).count_ones())).sum();
    blocks + words + u64::from(last)
}

/// How many bytes at the begin can be skipped because they are `byte`: a multiple of a block, and
/// not always all of them.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn skip(content: &[u8], byte: u8) -> usize {
    let alike = |block: &&[u8]| block.iter().fold(0, |found, other| found | (other ^ byte)) == 0;
    content.chunks_exact(SKIP_BYTES).take_while(alike).count() * SKIP_BYTES
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
            content in prop::collection::vec(any::<u8>(), 0..2000),
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
