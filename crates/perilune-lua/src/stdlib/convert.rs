//! Conversions of Lua numbers to integers, and of numbers to text.
//!
//! C leaves conversions out of range undefined; scripts depend on what x86-64 does, so that is
//! what happens here on every machine: the result is the lowest integer of the width converted
//! to.

use std::ffi::{CStr, c_int};

/// 2^63, the first value above `i64`.
const TWO_63: f64 = 9_223_372_036_854_775_808.0;

/// A double cut to `i64`.
pub(super) fn f64_to_i64(number: f64) -> i64 {
    match (-TWO_63..TWO_63).contains(&number) {
        true => number as i64,
        false => i64::MIN,
    }
}

/// A double cut to `i32`.
pub(super) fn f64_to_i32(number: f64) -> i32 {
    match number > -2_147_483_649.0 && number < 2_147_483_648.0 {
        true => number as i32,
        false => i32::MIN,
    }
}

/// A double cut to `u64`, where negative numbers wrap around.
pub(super) fn f64_to_u64(number: f64) -> u64 {
    match number >= TWO_63 {
        true => f64_to_i64(number - TWO_63) as u64 ^ (1 << 63),
        false => f64_to_i64(number) as u64,
    }
}

/// The low 32 bits, as a C cast to `int` takes them.
pub(super) fn i64_to_i32(number: i64) -> i32 {
    number as i32
}

/// Longest text [`printf_f64`] and its siblings make: width and precision are below 100 and a
/// double has at most 309 digits before the point.
const PRINTF_BYTES_MAX: usize = 512;

/// Text made by the C library's `printf`.
pub(super) struct Printed {
    bytes: [u8; PRINTF_BYTES_MAX],
}

impl Printed {
    /// The text up to its first NUL, as C sees it.
    pub(super) fn as_bytes(&self) -> &[u8] {
        let end = self.bytes.iter().position(|&b| b == 0);
        &self.bytes[..end.unwrap_or(self.bytes.len())]
    }

    fn fill(print: impl FnOnce(*mut libc::c_char, usize) -> c_int) -> Self {
        let mut bytes = [0; PRINTF_BYTES_MAX];
        print(bytes.as_mut_ptr().cast(), bytes.len());
        Self { bytes }
    }
}

/// Formats a double.
///
/// # Safety
/// `spec` is one conversion for a `double`.
pub(super) unsafe fn printf_f64(spec: &CStr, number: f64) -> Printed {
    Printed::fill(|out, room| libc::snprintf(out, room, spec.as_ptr(), number))
}

/// Formats a 64 bit integer.
///
/// # Safety
/// `spec` is one conversion for a `long long`, signed or not.
pub(super) unsafe fn printf_i64(spec: &CStr, number: i64) -> Printed {
    Printed::fill(|out, room| libc::snprintf(out, room, spec.as_ptr(), number))
}

/// Formats one character.
///
/// # Safety
/// `spec` is one `%c` conversion.
pub(super) unsafe fn printf_char(spec: &CStr, character: c_int) -> Printed {
    Printed::fill(|out, room| libc::snprintf(out, room, spec.as_ptr(), character))
}

/// Formats a string.
///
/// # Safety
/// `spec` is one `%s` conversion; `text` ends with a NUL.
pub(super) unsafe fn printf_str(spec: &CStr, text: *const u8) -> Printed {
    Printed::fill(|out, room| libc::snprintf(out, room, spec.as_ptr(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_become_the_lowest_integer() {
        assert_eq!(f64_to_i64(-3.9), -3);
        assert_eq!(f64_to_i64(f64::NAN), i64::MIN);
        assert_eq!(f64_to_i64(1e300), i64::MIN);
        assert_eq!(f64_to_i32(2_147_483_647.9), i32::MAX);
        assert_eq!(f64_to_i32(2_147_483_648.0), i32::MIN);
        assert_eq!(f64_to_i32(f64::NAN), i32::MIN);
    }

    #[test]
    fn negative_numbers_wrap_when_cut_to_unsigned() {
        assert_eq!(f64_to_u64(-1.0), u64::MAX);
        assert_eq!(f64_to_u64(9.3e18), 9_300_000_000_000_000_000);
        assert_eq!(f64_to_u64(1e300), 0);
    }
}
