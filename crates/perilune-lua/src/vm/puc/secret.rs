//! Hashing that a script cannot foresee.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

/// Secrets of this process.
pub(crate) fn seed() -> [u64; 2] {
    static SEED: OnceLock<[u64; 2]> = OnceLock::new();
    *SEED.get_or_init(|| {
        let random = RandomState::new();
        [random.hash_one(0u8), random.hash_one(1u8)]
    })
}

/// Both halves of a product: every bit of the factors has a part in every bit of it.
pub(crate) fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}
