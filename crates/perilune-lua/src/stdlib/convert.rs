//! Conversions of Lua numbers to integers, and of integers to digits.
//!
//! C leaves conversions out of range undefined; scripts depend on what x86-64 does, so that is
//! what happens here on every machine: the result is the lowest integer of the width converted
//! to.

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

/// The digits of `value` to the base 16, with noughts before them.
pub(super) fn hex_digits(value: u64, is_upper: bool) -> [u8; 16] {
    let digits = if is_upper { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
    std::array::from_fn(|at| digits[(value >> (60 - 4 * at)) as usize & 15])
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
    fn hexadecimal_digits_have_noughts_before_them() {
        assert_eq!(&hex_digits(0xDEAD_BEEF, false), b"00000000deadbeef");
        assert_eq!(&hex_digits(u64::MAX - 5, true), b"FFFFFFFFFFFFFFFA");
    }

    #[test]
    fn negative_numbers_wrap_when_cut_to_unsigned() {
        assert_eq!(f64_to_u64(-1.0), u64::MAX);
        assert_eq!(f64_to_u64(9.3e18), 9_300_000_000_000_000_000);
        assert_eq!(f64_to_u64(1e300), 0);
    }
}
