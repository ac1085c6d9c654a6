//! HyperLogLog: how many different elements were added, from at most 12 KiB, within about 0.8 %.
//!
//! An element is hashed to 64 bits. The lowest 14 choose one of 16384 registers; the register keeps
//! the longest run of zeros, plus one, that was seen at the low end of the remaining 50. The
//! registers alone tell the count, see `estimate`.
//!
//! The structure is a string like any other, byte for byte that of Redis, so that it survives
//! `GET`, `SET`, `DUMP` and a move between servers:
//!
//! ```text
//! | 'H' 'Y' 'L' 'L' | encoding | 0 0 0 | cached count | registers ... |
//!   4 bytes           1          3       8, little endian
//! ```
//!
//! The highest bit of the cached count says that it is out of date. The encodings:
//! - 0, dense: 16384 numbers of 6 bits, the first in the lowest bits of the first byte (`dense`);
//! - 1, sparse: run lengths, for registers that are mostly zero (`sparse`).
//!
//! Invariants of what this module builds (not of what a client may have set):
//! - a sparse structure is at most `hll_sparse_max_bytes` long when it grows and covers exactly
//!   16384 registers; it holds no register above 32;
//! - a structure becomes dense and never sparse again;
//! - the cached count is marked when a register changed.
//!
//! A client can set any string, so a structure is checked when it is taken ([`Hll::new`],
//! [`HllMut::new`]) and its sparse runs are checked whenever they are walked. Nothing here panics on
//! a damaged one.

mod dense;
mod estimate;
mod sparse;
#[cfg(test)]
mod tests;

use crate::Rng;
pub use sparse::{Run, Runs};
use std::fmt;

/// Number of registers.
pub const REGISTERS: usize = 1 << 14;

/// Bytes ahead of the registers.
const HEADER_LEN: usize = 16;
/// Bytes of a dense structure.
const DENSE_LEN: usize = HEADER_LEN + dense::LEN;
const MAGIC: &[u8; 4] = b"HYLL";
/// Where the encoding stands.
const ENCODING_AT: usize = 4;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
/// Where the cached count stands.
const COUNT_AT: usize = 8;
/// The byte of the cached count whose highest bit marks it.
const COUNT_MARK_AT: usize = 15;
const COUNT_MARK: u8 = 0x80;

/// Why a string is no usable structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HllError {
    /// It does not have the header or the length of one.
    NotHll,
    /// Its sparse runs do not cover the registers.
    Corrupt,
}

impl fmt::Display for HllError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HllError::NotHll => "not a HyperLogLog",
            HllError::Corrupt => "a damaged HyperLogLog",
        })
    }
}

impl std::error::Error for HllError {}

/// An empty structure.
pub fn empty() -> Vec<u8> {
    let mut content = Vec::with_capacity(HEADER_LEN + 2);
    content.extend_from_slice(MAGIC);
    content.extend_from_slice(&[SPARSE, 0, 0, 0]);
    content.extend_from_slice(&[0; 8]);
    sparse::push_zeros(&mut content, REGISTERS);
    content
}

/// A structure to read.
#[derive(Debug, Clone, Copy)]
pub struct Hll<'a>(&'a [u8]);

impl<'a> Hll<'a> {
    /// Takes a string that has the header of a structure.
    pub fn new(content: &'a [u8]) -> Result<Self, HllError> {
        let fits = content.len() >= HEADER_LEN && content.starts_with(MAGIC);
        match content.get(ENCODING_AT) {
            Some(&DENSE) if fits && content.len() == DENSE_LEN => Ok(Hll(content)),
            Some(&SPARSE) if fits => Ok(Hll(content)),
            _ => Err(HllError::NotHll),
        }
    }

    /// Whether the encoding is the dense one.
    pub fn is_dense(self) -> bool {
        self.0.get(ENCODING_AT) == Some(&DENSE)
    }

    /// The count that was computed last, unless a register has changed since.
    pub fn cached_count(self) -> Option<u64> {
        let bytes = self.0.get(COUNT_AT..HEADER_LEN)?.try_into().ok()?;
        let count = u64::from_le_bytes(bytes);
        (count >> 63 == 0).then_some(count)
    }

    /// Estimates how many different elements were added.
    pub fn count(self) -> Result<u64, HllError> {
        let mut histogram = [0; estimate::REGISTER_VALUES];
        if self.is_dense() {
            dense::values(self.registers()).for_each(|value| histogram[usize::from(value)] += 1);
            return Ok(estimate::count(&histogram));
        }
        let mut covered = 0;
        for run in self.runs() {
            histogram[usize::from(run.value)] += run.len as u64;
            covered += run.len;
        }
        if covered == REGISTERS { Ok(estimate::count(&histogram)) } else { Err(HllError::Corrupt) }
    }

    /// The runs of a sparse structure; none if it is dense.
    pub fn runs(self) -> Runs<'a> {
        Runs::new(if self.is_dense() { &[] } else { self.registers() })
    }

    fn registers(self) -> &'a [u8] {
        self.0.get(HEADER_LEN..).unwrap_or_default()
    }
}

/// A structure to change.
#[derive(Debug)]
pub struct HllMut<'a>(&'a mut Vec<u8>);

impl<'a> HllMut<'a> {
    /// Takes a string that has the header of a structure.
    pub fn new(content: &'a mut Vec<u8>) -> Result<Self, HllError> {
        Hll::new(content)?;
        Ok(HllMut(content))
    }

    /// The structure to read.
    pub fn view(&self) -> Hll<'_> {
        Hll(self.0)
    }

    /// Adds an element; whether that changed a register. A structure that would become longer than
    /// `sparse_max` bytes becomes dense.
    pub fn add(&mut self, element: &[u8], sparse_max: usize) -> Result<bool, HllError> {
        let (register, value) = estimate::register_of(element);
        self.raise(register, value, sparse_max)
    }

    /// Raises a register to `value` if it is lower; whether it was.
    fn raise(&mut self, register: usize, value: u8, sparse_max: usize) -> Result<bool, HllError> {
        if !self.view().is_dense() {
            match sparse::raise(self.0, register, value, sparse_max)? {
                sparse::Raised::Yes => {
                    self.mark_changed();
                    return Ok(true);
                }
                sparse::Raised::WasHigher => return Ok(false),
                sparse::Raised::DoesNotFit => {
                    self.make_dense()?;
                }
            }
        }
        Ok(dense::raise(&mut self.0[HEADER_LEN..], register, value))
    }

    /// Raises every register to that of `registers`.
    pub fn raise_all(&mut self, registers: &Registers, sparse_max: usize) -> Result<(), HllError> {
        for (register, value) in registers.0.iter().enumerate().filter(|(_, value)| **value > 0) {
            self.raise(register, *value, sparse_max)?;
        }
        Ok(())
    }

    /// Turns to the dense encoding; whether it was the other one.
    pub fn make_dense(&mut self) -> Result<bool, HllError> {
        if self.view().is_dense() {
            return Ok(false);
        }
        let mut dense = vec![0; DENSE_LEN];
        dense[..HEADER_LEN].copy_from_slice(&self.0[..HEADER_LEN]);
        dense[ENCODING_AT] = DENSE;
        let registers = &mut dense[HEADER_LEN..];
        self.view().runs().visit_values(|register, value| {
            dense::set(registers, register, value);
        })?;
        *self.0 = dense;
        Ok(true)
    }

    /// Marks the cached count as out of date.
    pub fn mark_changed(&mut self) {
        self.0[COUNT_MARK_AT] |= COUNT_MARK;
    }

    /// Keeps a count for [`Hll::cached_count`].
    pub fn cache_count(&mut self, count: u64) {
        self.0[COUNT_AT..HEADER_LEN].copy_from_slice(&count.to_le_bytes());
    }
}

/// The registers of one or more structures, a byte each.
#[derive(Clone)]
pub struct Registers(Box<[u8; REGISTERS]>);

impl Default for Registers {
    fn default() -> Self {
        Registers(Box::new([0; REGISTERS]))
    }
}

impl fmt::Debug for Registers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter()).finish()
    }
}

impl Registers {
    /// Raises every register to that of `hll`: what results stands for the elements of both.
    pub fn merge(&mut self, hll: Hll<'_>) -> Result<(), HllError> {
        let mut raise = |register: usize, value: u8| {
            let mine = &mut self.0[register];
            *mine = (*mine).max(value);
        };
        if hll.is_dense() {
            dense::values(hll.registers()).enumerate().for_each(|(at, value)| raise(at, value));
            return Ok(());
        }
        hll.runs().visit_values(raise)
    }

    /// Estimates how many different elements were added.
    pub fn count(&self) -> u64 {
        let mut histogram = [0; estimate::REGISTER_VALUES];
        self.0.iter().for_each(|value| histogram[usize::from(value & dense::VALUE_MAX)] += 1);
        estimate::count(&histogram)
    }

    /// The registers.
    pub fn values(&self) -> &[u8] {
        &self.0[..]
    }
}

/// Largest number of elements the self test adds.
const SELF_TEST_ELEMENTS: u64 = 1_000_000;

/// Checks at run time that dense registers hold what they are given, that both encodings count the
/// same, and that counts are as close as promised. The error says what is wrong.
pub fn self_test(rng: &mut Rng, sparse_max: usize) -> Result<(), String> {
    let mut registers = vec![0; dense::LEN];
    let values: Vec<u8> = (0..REGISTERS).map(|_| rng.next_u64() as u8 & dense::VALUE_MAX).collect();
    values.iter().enumerate().for_each(|(at, value)| dense::set(&mut registers, at, *value));
    for (register, (found, value)) in dense::values(&registers).zip(&values).enumerate() {
        if found != *value {
            return Err(format!("Register {register} should be {value} but is {found}"));
        }
    }
    let seed = rng.next_u64();
    let (mut dense, mut sparse) = (empty(), empty());
    let broken = |error: HllError| error.to_string();
    let mut dense = HllMut::new(&mut dense).map_err(broken)?;
    let mut sparse = HllMut::new(&mut sparse).map_err(broken)?;
    dense.make_dense().map_err(broken)?;
    let mut checkpoint = 1;
    for added in 1..=SELF_TEST_ELEMENTS {
        let element = (added ^ seed).to_le_bytes();
        dense.add(&element, sparse_max).map_err(broken)?;
        sparse.add(&element, sparse_max).map_err(broken)?;
        if added == checkpoint {
            check_counts(added, dense.view(), sparse.view(), sparse_max)?;
            checkpoint *= 10;
        }
    }
    Ok(())
}

/// The part of [`self_test`] that is done for some numbers of elements.
fn check_counts(
    added: u64,
    dense: Hll<'_>,
    sparse: Hll<'_>,
    sparse_max: usize,
) -> Result<(), String> {
    if added < sparse_max as u64 / 2 && sparse.is_dense() {
        return Err("sparse encoding not used".into());
    }
    let counted = dense.count().map_err(|error| error.to_string())?;
    if sparse.count() != Ok(counted) {
        return Err("dense/sparse disagree".into());
    }
    // Six times the standard error. One collision is likely enough among ten elements.
    let standard_error = 1.04 / (REGISTERS as f64).sqrt();
    let tolerance = (standard_error * 6.0 * added as f64).ceil() as u64;
    let error = counted.abs_diff(added);
    if error > tolerance {
        return Err(format!("Too big error. card:{added} abserr:{error}"));
    }
    Ok(())
}
