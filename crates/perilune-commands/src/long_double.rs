//! Arithmetic on 80-bit extended floating point numbers, for `INCRBYFLOAT` and `HINCRBYFLOAT`.
//!
//! Redis computes these with the `long double` of x86: a 64-bit mantissa and a 15-bit exponent.
//! Clients see the result as text, so a sum in 64-bit floats would show other digits. Here a number
//! is the integer `mantissa * 2^exponent`; reading and adding compute exactly with big integers and
//! round once, half to even, as the hardware does.
//!
//! Invariant: a mantissa has its highest bit set, or the exponent is [`EXPONENT_MIN`] (denormal
//! numbers and zero). Infinity is known while reading and never a result; there is no NaN.

use crate::errors::{self, CommandError};
use std::cmp::Ordering;

/// Exponent of the smallest denormal number.
const EXPONENT_MIN: i64 = -16445;
/// Exponent of the numbers of the largest binade.
const EXPONENT_MAX: i64 = 16320;
/// Longest text that is read, as in Redis.
const TEXT_MAX: usize = 5 * 1024 - 1;
/// Decimal exponents beyond this, either way, leave the range of the format for any text that is
/// read: the range is 10^±4951 and the text adds at most [`TEXT_MAX`] digits.
const DECIMAL_EXPONENT_MAX: i64 = 11_000;
/// The same for binary exponents.
const BINARY_EXPONENT_MAX: i64 = 40_000;
/// Digits shown behind the point.
const FRACTION_DIGITS: usize = 17;

/// Why two texts have no sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddError {
    /// The first text is no number.
    First,
    /// The second text is no number.
    Second,
    /// The second number is infinite.
    SecondInfinite,
    /// The sum is not finite.
    NotFinite,
}

impl From<AddError> for CommandError {
    fn from(error: AddError) -> CommandError {
        match error {
            AddError::First | AddError::Second => errors::NOT_A_FLOAT,
            AddError::SecondInfinite | AddError::NotFinite => errors::INCREMENT_NOT_FINITE,
        }
    }
}

/// Tells whether [`add`] takes a text as its second number.
pub(crate) fn check_second(text: &[u8]) -> Result<(), AddError> {
    match Number::parse(text).ok_or(AddError::Second)? {
        Number::Infinite => Err(AddError::SecondInfinite),
        Number::Finite(_) => Ok(()),
    }
}

/// Adds two numbers given as text and returns the sum as Redis shows it: plain decimal, up to 17
/// digits behind the point, without trailing zeros.
pub(crate) fn add(first: &[u8], second: &[u8]) -> Result<Vec<u8>, AddError> {
    let first = Number::parse(first).ok_or(AddError::First)?;
    let second = match Number::parse(second).ok_or(AddError::Second)? {
        Number::Infinite => return Err(AddError::SecondInfinite),
        Number::Finite(second) => second,
    };
    let Number::Finite(first) = first else { return Err(AddError::NotFinite) };
    match first.plus(second) {
        Number::Finite(sum) => Ok(sum.to_text()),
        Number::Infinite => Err(AddError::NotFinite),
    }
}

/// A finite number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extended {
    negative: bool,
    mantissa: u64,
    exponent: i64,
}

/// Whether Redis would read this text as a number of this format.
pub(crate) fn is_number(text: &[u8]) -> bool {
    Number::parse(text).is_some()
}

/// A number that may be too large for the format. The sign of infinity does not matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Finite(Extended),
    Infinite,
}

impl Number {
    /// Reads a whole text as the C function `strtold` does, and refuses what Redis refuses of it:
    /// NaN, surrounding spaces, finite texts whose value overflows or vanishes.
    fn parse(text: &[u8]) -> Option<Number> {
        if text.len() > TEXT_MAX {
            return None;
        }
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        if text.eq_ignore_ascii_case(b"inf") || text.eq_ignore_ascii_case(b"infinity") {
            return Some(Number::Infinite);
        }
        let (digits, rounded) = match text {
            [b'0', b'x' | b'X', rest @ ..] => parse_scaled(rest, 16, b'p', negative)?,
            _ => parse_scaled(text, 10, b'e', negative)?,
        };
        match rounded {
            Number::Infinite => None,
            Number::Finite(number) if number.mantissa == 0 && !digits.is_zero() => None,
            finite => Some(finite),
        }
    }
}

/// Reads digits with an optional point and an optional exponent. Returns the digits as an integer
/// beside the value, to tell a zero from a number that vanished.
fn parse_scaled(text: &[u8], base: u32, mark: u8, negative: bool) -> Option<(Big, Number)> {
    let is_mark = |byte: &u8| byte.eq_ignore_ascii_case(&mark);
    let (body, power) = match text.iter().position(is_mark) {
        Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let mut digits = Big::default();
    let (mut count, mut behind_point) = (0, None);
    for &byte in body {
        if byte == b'.' && behind_point.is_none() {
            behind_point = Some(0);
            continue;
        }
        digits.multiply_add(base, char::from(byte).to_digit(base)?);
        count += 1;
        behind_point = behind_point.map(|places: i64| places + 1);
    }
    if count == 0 {
        return None;
    }
    let places = behind_point.unwrap_or(0);
    let number = if base == 16 {
        let exponent = (power - 4 * places).clamp(-BINARY_EXPONENT_MAX, BINARY_EXPONENT_MAX);
        digits.round(exponent, false, negative)
    } else {
        let power = (power - places).clamp(-DECIMAL_EXPONENT_MAX, DECIMAL_EXPONENT_MAX);
        scale_decimal(digits.clone(), power, negative)
    };
    Some((digits, number))
}

/// Reads an exponent. One that is too long for any result is cut to one that is too large.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value: i64 = 0;
    for byte in digits {
        let digit = char::from(*byte).to_digit(10)?;
        value = value.saturating_mul(10).saturating_add(i64::from(digit)).min(1 << 40);
    }
    Some(if negative { -value } else { value })
}

/// Rounds `digits * 10^power`.
fn scale_decimal(mut digits: Big, power: i64, negative: bool) -> Number {
    const STEP: u32 = 1_000_000_000;
    if power >= 0 {
        for _ in 0..power / 9 {
            digits.multiply_add(STEP, 0);
        }
        digits.multiply_add(10u32.pow((power % 9) as u32), 0);
        return digits.round(0, false, negative);
    }
    let power = -power;
    // Enough bits ahead of the division that more than a mantissa is left behind it:
    // log2(10) is less than 10/3.
    let shift = power * 10 / 3 + 70;
    digits.shift_left(shift as usize);
    let mut inexact = false;
    for _ in 0..power / 9 {
        inexact |= digits.divide(STEP) != 0;
    }
    inexact |= digits.divide(10u32.pow((power % 9) as u32)) != 0;
    digits.round(-shift, inexact, negative)
}

impl Extended {
    fn plus(self, other: Extended) -> Number {
        let exponent = self.exponent.min(other.exponent);
        let aligned = |number: Extended| {
            let mut big = Big::from(number.mantissa);
            big.shift_left((number.exponent - exponent) as usize);
            big
        };
        let (mut a, mut b) = (aligned(self), aligned(other));
        if self.negative == other.negative {
            a.add(&b);
            return a.round(exponent, false, self.negative);
        }
        match a.compare(&b) {
            Ordering::Less => {
                b.subtract(&a);
                b.round(exponent, false, other.negative)
            }
            _ => {
                a.subtract(&b);
                a.round(exponent, false, self.negative)
            }
        }
    }

    /// The number as `%.17Lf` shows it, without trailing zeros and without a negative zero.
    fn to_text(self) -> Vec<u8> {
        let (whole, fraction) = self.split();
        let mut text = Vec::new();
        if self.negative && (!whole.is_zero() || fraction != 0) {
            text.push(b'-');
        }
        whole.write_decimal(&mut text);
        if fraction != 0 {
            let digits = format!("{fraction:0width$}", width = FRACTION_DIGITS);
            text.push(b'.');
            text.extend_from_slice(digits.trim_end_matches('0').as_bytes());
        }
        text
    }

    /// The magnitude rounded to 17 decimal places: its whole part, and the rest in units of 10^-17.
    fn split(self) -> (Big, u64) {
        const UNIT: u128 = 10u128.pow(FRACTION_DIGITS as u32);
        if self.exponent >= 0 {
            let mut whole = Big::from(self.mantissa);
            whole.shift_left(self.exponent as usize);
            return (whole, 0);
        }
        // At most 64 + 57 bits.
        let scaled = u128::from(self.mantissa) * UNIT;
        let shift = -self.exponent;
        if shift >= 128 {
            return (Big::default(), 0);
        }
        let (mut units, rest) = (scaled >> shift, scaled & ((1 << shift) - 1));
        let half = 1u128 << (shift - 1);
        if rest > half || (rest == half && units & 1 == 1) {
            units += 1;
        }
        // The whole part is at most the mantissa plus one.
        let whole = units / UNIT;
        let mut big = Big::from((whole >> 32) as u64);
        big.shift_left(32);
        big.add(&Big::from((whole & 0xffff_ffff) as u64));
        (big, (units % UNIT) as u64)
    }
}

/// An unsigned integer of any size: limbs of 32 bits, lowest first, the last one not zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Big(Vec<u32>);

impl From<u64> for Big {
    fn from(value: u64) -> Big {
        let mut big = Big(vec![value as u32, (value >> 32) as u32]);
        big.trim();
        big
    }
}

impl Big {
    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn bits(&self) -> usize {
        self.0.last().map_or(0, |top| self.0.len() * 32 - top.leading_zeros() as usize)
    }

    fn multiply_add(&mut self, factor: u32, term: u32) {
        let mut carry = u64::from(term);
        for limb in &mut self.0 {
            carry += u64::from(*limb) * u64::from(factor);
            *limb = carry as u32;
            carry >>= 32;
        }
        if carry != 0 {
            self.0.push(carry as u32);
        }
    }

    /// Divides by a number that is not zero and returns the remainder.
    fn divide(&mut self, divisor: u32) -> u32 {
        let mut rest = 0u64;
        for limb in self.0.iter_mut().rev() {
            let part = rest << 32 | u64::from(*limb);
            *limb = (part / u64::from(divisor)) as u32;
            rest = part % u64::from(divisor);
        }
        self.trim();
        rest as u32
    }

    fn shift_left(&mut self, bits: usize) {
        if self.is_zero() || bits == 0 {
            return;
        }
        if !bits.is_multiple_of(32) {
            self.multiply_add(1 << (bits % 32), 0);
        }
        self.0.splice(0..0, std::iter::repeat_n(0, bits / 32));
    }

    fn add(&mut self, other: &Big) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        let mut carry = 0u64;
        for (at, limb) in self.0.iter_mut().enumerate() {
            carry += u64::from(*limb) + u64::from(other.0.get(at).copied().unwrap_or(0));
            *limb = carry as u32;
            carry >>= 32;
        }
        if carry != 0 {
            self.0.push(carry as u32);
        }
    }

    /// Subtracts a number that is not larger.
    fn subtract(&mut self, other: &Big) {
        let mut borrow = false;
        for (at, limb) in self.0.iter_mut().enumerate() {
            let term = other.0.get(at).copied().unwrap_or(0);
            let (part, first) = limb.overflowing_sub(term);
            let (part, second) = part.overflowing_sub(u32::from(borrow));
            (*limb, borrow) = (part, first || second);
        }
        self.trim();
    }

    fn compare(&self, other: &Big) -> Ordering {
        let by_length = self.0.len().cmp(&other.0.len());
        by_length.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    fn bit(&self, at: usize) -> bool {
        self.0.get(at / 32).is_some_and(|limb| limb >> (at % 32) & 1 == 1)
    }

    fn any_bit_below(&self, at: usize) -> bool {
        let (limbs, bits) = (at / 32, at % 32);
        self.0.iter().take(limbs).any(|limb| *limb != 0)
            || self.0.get(limbs).is_some_and(|limb| limb & ((1 << bits) - 1) != 0)
    }

    /// The 64 bits from bit `at` on.
    fn window(&self, at: usize) -> u64 {
        let limb = |index: usize| u128::from(self.0.get(index).copied().unwrap_or(0));
        let first = at / 32;
        let wide = limb(first) | limb(first + 1) << 32 | limb(first + 2) << 64;
        (wide >> (at % 32)) as u64
    }

    /// Rounds `self * 2^exponent`, half to even. `inexact`: the true value is a little larger, by
    /// less than the lowest bit.
    fn round(&self, exponent: i64, inexact: bool, negative: bool) -> Number {
        let bits = self.bits() as i64;
        let target = (bits - 64 + exponent).max(EXPONENT_MIN);
        let drop = target - exponent;
        let finite = |mantissa, exponent| Number::Finite(Extended { negative, mantissa, exponent });
        if bits == 0 {
            return finite(0, EXPONENT_MIN);
        }
        if target > EXPONENT_MAX {
            return Number::Infinite;
        }
        if drop <= 0 {
            return finite(self.window(0) << -drop, target);
        }
        if drop > bits {
            return finite(0, EXPONENT_MIN);
        }
        let drop = drop as usize;
        let kept = self.window(drop);
        let half = self.bit(drop - 1);
        let beyond_half = inexact || self.any_bit_below(drop - 1);
        if !half || (!beyond_half && kept & 1 == 0) {
            return finite(kept, target);
        }
        match kept.checked_add(1) {
            Some(mantissa) => finite(mantissa, target),
            None if target == EXPONENT_MAX => Number::Infinite,
            None => finite(1 << 63, target + 1),
        }
    }

    fn write_decimal(mut self, out: &mut Vec<u8>) {
        let mut groups = Vec::new();
        while !self.is_zero() {
            groups.push(self.divide(1_000_000_000));
        }
        let first = groups.pop().unwrap_or(0);
        out.extend_from_slice(first.to_string().as_bytes());
        for group in groups.iter().rev() {
            out.extend_from_slice(format!("{group:09}").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(a: &str, b: &str) -> String {
        match add(a.as_bytes(), b.as_bytes()) {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => format!("{error:?}"),
        }
    }

    #[test]
    fn sums_read_as_on_x86() {
        let cases = [
            ("3.0", "1.1", "4.1"),
            ("1", "0.1", "1.1"),
            ("1.5", "1.5", "3"),
            ("0.1", "0.2", "0.3"),
            ("10.5", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("17179869184", "1.5", "17179869185.5"),
            ("1", "-1.5", "-0.5"),
            ("-1e-30", "0", "0"),
            ("0x1.8p1", "0", "3"),
            ("3", ".5", "3.5"),
            ("3", "5.", "8"),
            ("9223372036854775807", "1", "9223372036854775808"),
            ("18446744073709551615", "1", "18446744073709551616"),
            ("123456789012345678901234567890", "0", "123456789012345678899921813504"),
        ];
        for (a, b, expected) in cases {
            assert_eq!(sum(a, b), expected, "{a} + {b}");
        }
    }

    #[test]
    fn refuses_what_is_no_finite_number() {
        for text in
            ["", " 1", "1 ", "1e", "e1", ".", "0x", "1e5000", "1e-5000", "nan", "--1", "1..2"]
        {
            assert_eq!(sum(text, "1"), "First", "{text}");
            assert_eq!(sum("1", text), "Second", "{text}");
        }
        assert_eq!(sum("inf", "1"), "NotFinite");
        assert_eq!(sum("1", "-Infinity"), "SecondInfinite");
        assert_eq!(sum("1.1e4932", "1.1e4932"), "NotFinite");
    }

    fn text(letters: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(letters), 0..12)
    }

    proptest! {
        #[test]
        fn integers_of_a_mantissa_are_exact(a: i64, b: i64) {
            let expected = i128::from(a) + i128::from(b);
            // A sum of 65 bits would be rounded.
            prop_assume!(expected.unsigned_abs() < 1 << 64);
            prop_assert_eq!(sum(&a.to_string(), &b.to_string()), expected.to_string());
        }

        #[test]
        fn every_double_is_read_and_shown_exactly(a in -1e15..1e15f64) {
            let shown = sum(&format!("{a:e}"), "0");
            prop_assert!((shown.parse::<f64>().unwrap_or(f64::NAN) - a).abs() <= a.abs() * 1e-15 + 1e-17);
        }

        #[test]
        fn no_text_breaks_it(a in text(b"-+019.eExXpPaf"), b in text(b"-+09.e")) {
            let _ = add(&a, &b);
        }
    }
}
