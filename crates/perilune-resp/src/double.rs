//! Doubles as text, byte for byte as Redis writes them.
//!
//! Whole numbers up to half the range of an `i64` are written as integers. Everything else gets
//! the digits of [Grisu2](crate::grisu), plain while that is not much longer than the digits
//! themselves, with an exponent otherwise (`1e+21`, `1.5e-9`).

use crate::grisu::shortest_digits;

/// Whole numbers up to this magnitude are written as integers.
const INTEGER_MAX: f64 = (i64::MAX / 2) as f64;

/// Appends `value` as Redis prints a score or a RESP3 double.
///
/// ```
/// let mut text = Vec::new();
/// perilune_resp::format_double(0.1, &mut text);
/// assert_eq!(text, b"0.1");
/// ```
pub fn format_double(value: f64, out: &mut Vec<u8>) {
    if value.is_nan() {
        return out.extend_from_slice(b"nan");
    }
    if (-INTEGER_MAX..=INTEGER_MAX).contains(&value) && value as i64 as f64 == value {
        if value == 0.0 && value.is_sign_negative() {
            out.push(b'-');
        }
        let mut digits = itoa::Buffer::new();
        return out.extend_from_slice(digits.format(value as i64).as_bytes());
    }
    format_double_digits(value, out);
}

/// Appends `value` by its shortest digits, also where it is a large whole number: 100000000 is
/// `100000000`, but 10 to the 17th is `1e+17`.
pub fn format_double_digits(value: f64, out: &mut Vec<u8>) {
    if value.is_nan() {
        return out.extend_from_slice(b"nan");
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    if value == 0.0 {
        return out.push(b'0');
    }
    if value.is_infinite() {
        return out.extend_from_slice(b"inf");
    }
    let digits = shortest_digits(value.abs());
    let significant_max = if value < 0.0 { 17 } else { 18 };
    place_point(digits.as_bytes(), digits.exponent, significant_max, out);
}

/// Writes the integer `digits` times ten to the `exponent`.
fn place_point(digits: &[u8], exponent: i32, significant_max: usize, out: &mut Vec<u8>) {
    let len = digits.len() as i32;
    let magnitude = (exponent + len - 1).abs();
    if exponent >= 0 && magnitude < len + 7 {
        out.extend_from_slice(digits);
        out.extend(std::iter::repeat_n(b'0', exponent as usize));
    } else if exponent < 0 && (exponent > -7 || magnitude < 4) {
        let (whole, fraction) = digits.split_at(usize::try_from(len + exponent).unwrap_or(0));
        if whole.is_empty() {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', (-exponent - len) as usize));
        } else {
            out.extend_from_slice(whole);
            out.push(b'.');
        }
        out.extend_from_slice(fraction);
    } else {
        let digits = digits.get(..significant_max).unwrap_or(digits);
        scientific(digits, exponent, magnitude, out);
    }
}

fn scientific(digits: &[u8], exponent: i32, magnitude: i32, out: &mut Vec<u8>) {
    let (first, more) = digits.split_at(digits.len().min(1));
    out.extend_from_slice(first);
    if !more.is_empty() {
        out.push(b'.');
        out.extend_from_slice(more);
    }
    let negative = exponent + (digits.len() as i32) - 1 < 0;
    out.extend_from_slice(if negative { b"e-" } else { b"e+" });
    let mut text = itoa::Buffer::new();
    out.extend_from_slice(text.format(magnitude).as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(value: f64) -> String {
        let mut out = Vec::new();
        format_double(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_texts() {
        for (value, expected) in [
            (3.0, "3"),
            (-3.0, "-3"),
            (0.0, "0"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (-0.25, "-0.25"),
            (1e21, "1e+21"),
            (1e20, "1e+20"),
            (1e-7, "1e-7"),
            (1e-6, "0.000001"),
            (1.5e-9, "1.5e-9"),
            (0.00012345, "1.2345e-4"),
            (4611686018427387904.0, "4611686018427387904"),
            (9223372036854775808.0, "9223372036854776000"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (-1039514241563211.8, "-1039514241563211.7"),
            (226797932753915008.0, "226797932753915008"),
            (1.0e100, "1e+100"),
        ] {
            assert_eq!(text(value), expected);
        }
    }

    proptest! {
        #[test]
        fn text_reads_back_as_the_same_double(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(!value.is_nan());
            prop_assert_eq!(text(value).parse::<f64>().unwrap().to_bits(), bits);
        }

        #[test]
        fn short_decimals_stay_short(whole in -100_000_i64..100_000, cents in 1_u32..100) {
            let decimal = format!("{whole}.{cents:02}");
            let value: f64 = decimal.parse().unwrap();
            let expected = decimal.trim_end_matches('0').trim_end_matches('.');
            prop_assert_eq!(text(value), expected);
        }
    }
}
