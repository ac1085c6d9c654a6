//! From elements to registers and from registers to a count.
//!
//! The estimator is the improved one of Otmar Ertl, "New cardinality estimation algorithms for
//! HyperLogLog sketches" (2017, arXiv:1702.01284): from the histogram of the registers, without
//! tables and without a correction for small counts.

use super::REGISTERS;

/// Values that a register of six bits can have.
pub(super) const REGISTER_VALUES: usize = 64;
/// Bits of the hash that choose the register.
const INDEX_BITS: u32 = REGISTERS.trailing_zeros();
/// Bits of the hash whose zeros are counted.
const RUN_BITS: u32 = 64 - INDEX_BITS;
/// The limit of the bias correction for many registers, 0.5 / ln 2, as Redis writes it.
#[allow(clippy::excessive_precision)]
const ALPHA_INFINITE: f64 = 0.721347520444481703680;
/// Seed of the hash.
const HASH_SEED: u64 = 0xadc8_3b19;

/// The register an element belongs to, and the value it asks for.
pub(super) fn register_of(element: &[u8]) -> (usize, u8) {
    let hash = murmur_hash_64a(element, HASH_SEED);
    let register = hash as usize & (REGISTERS - 1);
    // The added bit ends a run that would be too long.
    let run = (hash >> INDEX_BITS | 1 << RUN_BITS).trailing_zeros() + 1;
    (register, run as u8)
}

/// MurmurHash2 in its 64-bit form for 64-bit machines, by Austin Appleby (public domain), reading
/// bytes in little endian order everywhere.
fn murmur_hash_64a(bytes: &[u8], seed: u64) -> u64 {
    const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
    const SHIFT: u32 = 47;
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(MULTIPLIER);
    let words = bytes.chunks_exact(8);
    let rest = words.remainder();
    for word in words {
        let mut word = word.try_into().map_or(0, u64::from_le_bytes).wrapping_mul(MULTIPLIER);
        word ^= word >> SHIFT;
        hash = (hash ^ word.wrapping_mul(MULTIPLIER)).wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| tail << 8 | u64::from(*byte));
        hash = (hash ^ tail).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ hash >> SHIFT).wrapping_mul(MULTIPLIER);
    hash ^ hash >> SHIFT
}

/// Estimates a count from how many registers have each value.
pub(super) fn count(histogram: &[u64; REGISTER_VALUES]) -> u64 {
    let m = REGISTERS as f64;
    let full = histogram[RUN_BITS as usize + 1] as f64;
    let mut z = m * tau((m - full) / m);
    for registers in histogram[1..=RUN_BITS as usize].iter().rev() {
        z += *registers as f64;
        z *= 0.5;
    }
    z += m * sigma(histogram[0] as f64 / m);
    let estimate = (ALPHA_INFINITE * m * m / z).round();
    // Registers that no element could have raised so high: the number Redis shows on x86.
    if estimate < i64::MAX as f64 { estimate as u64 } else { 1 << 63 }
}

/// The function sigma of the paper, for registers that are zero.
fn sigma(x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut x, mut y, mut z) = (x, 1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// The function tau of the paper, for registers that are full.
fn tau(x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut x, mut y, mut z) = (x, 1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}
