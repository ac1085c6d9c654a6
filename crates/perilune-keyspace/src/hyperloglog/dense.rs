//! The dense encoding: numbers of six bits without gaps, from the lowest bit of each byte up.
//!
//! ```text
//! byte     0        1        2        3
//!      |11000000|22221111|33333322|55444444|      the digits are registers
//! ```

use super::REGISTERS;

/// Bits of a register.
const BITS: usize = 6;
/// Bytes of all registers.
pub(super) const LEN: usize = REGISTERS * BITS / 8;
/// Largest value of a register.
pub(super) const VALUE_MAX: u8 = (1 << BITS) - 1;

/// The byte a register begins in and the bit there.
fn place(register: usize) -> (usize, usize) {
    (register * BITS / 8, register * BITS % 8)
}

/// The value of a register.
fn get(registers: &[u8], register: usize) -> u8 {
    let (byte, bit) = place(register);
    let at = |index: usize| u16::from(registers.get(index).copied().unwrap_or(0));
    ((at(byte) | at(byte + 1) << 8) >> bit) as u8 & VALUE_MAX
}

/// Gives a register a value.
pub(super) fn set(registers: &mut [u8], register: usize, value: u8) {
    let (byte, bit) = place(register);
    let mask = u16::from(VALUE_MAX) << bit;
    let placed = u16::from(value & VALUE_MAX) << bit;
    let mut change = |index: usize, mask: u8, placed: u8| {
        if let Some(byte) = registers.get_mut(index) {
            *byte = *byte & !mask | placed;
        }
    };
    change(byte, mask as u8, placed as u8);
    // Nothing for a register that ends with its first byte, such as the last of all.
    if mask >> 8 != 0 {
        change(byte + 1, (mask >> 8) as u8, (placed >> 8) as u8);
    }
}

/// Gives a register a value if that is higher; whether it was.
pub(super) fn raise(registers: &mut [u8], register: usize, value: u8) -> bool {
    let higher = value > get(registers, register);
    if higher {
        set(registers, register, value);
    }
    higher
}

/// The values of all registers: four to every three bytes.
pub(super) fn values(registers: &[u8]) -> impl Iterator<Item = u8> {
    registers.chunks_exact(3).flat_map(|bytes| {
        let word = bytes.iter().rev().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        [0, 6, 12, 18].map(|bit| (word >> bit) as u8 & VALUE_MAX)
    })
}
