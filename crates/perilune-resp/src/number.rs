//! Reading numbers as Redis reads them.

/// Longest text that can be an `i64`, in bytes.
const INT_TEXT_BYTES_MAX: usize = 20;

/// Reads an integer in the one form in which it would be written: no leading zeros, no plus sign,
/// no blanks.
///
/// ```
/// use perilune_resp::parse_int;
///
/// assert_eq!(parse_int(b"-12"), Some(-12));
/// assert_eq!(parse_int(b"012"), None);
/// ```
pub fn parse_int(text: &[u8]) -> Option<i64> {
    if text.len() > INT_TEXT_BYTES_MAX {
        return None;
    }
    let (negative, digits) = match text {
        b"0" => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if !matches!(digits.first(), Some(b'1'..=b'9')) {
        return None;
    }
    let mut value = 0_u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    if negative { 0_i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() }
}

/// Reads a double as the C library's `strtod` does: decimal or hexadecimal, with exponent, or an
/// infinity. Refuses NaN, blanks, anything that follows, and what is out of a double's range, be it
/// too large or too small to be told from zero.
///
/// ```
/// use perilune_resp::parse_double;
///
/// assert_eq!(parse_double(b"1e3"), Some(1000.0));
/// assert_eq!(parse_double(b"0x1.8p1"), Some(3.0));
/// assert_eq!(parse_double(b"nan"), None);
/// ```
pub fn parse_double(text: &[u8]) -> Option<f64> {
    let (negative, magnitude) = match text {
        [b'-', magnitude @ ..] => (true, magnitude),
        [b'+', magnitude @ ..] => (false, magnitude),
        magnitude => (false, magnitude),
    };
    let value = match magnitude {
        [b'0', b'x' | b'X', hex @ ..] => parse_hex(hex)?,
        [b'0'..=b'9' | b'.', ..] => parse_decimal(magnitude)?,
        word if word.eq_ignore_ascii_case(b"inf") => f64::INFINITY,
        word if word.eq_ignore_ascii_case(b"infinity") => f64::INFINITY,
        _ => return None,
    };
    Some(if negative { -value } else { value })
}

fn parse_decimal(text: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let underflow = value == 0.0 && {
        let mut significand = text.iter().take_while(|byte| !matches!(byte, b'e' | b'E'));
        significand.any(|byte| matches!(byte, b'1'..=b'9'))
    };
    (value.is_finite() && !underflow).then_some(value)
}

/// Reads what follows `0x`: hexadecimal digits with an optional point and binary exponent.
fn parse_hex(text: &[u8]) -> Option<f64> {
    let exponent_at = text.iter().position(|byte| matches!(byte, b'p' | b'P'));
    let (digits, exponent) = match exponent_at {
        Some(at) => (text.get(..at)?, parse_exponent(text.get(at + 1..)?)?),
        None => (text, 0),
    };
    let mut significand = 0_u64;
    let mut sticky = false;
    let mut exponent = exponent;
    let (mut point_seen, mut digit_seen) = (false, false);
    for byte in digits {
        if *byte == b'.' && !point_seen {
            point_seen = true;
            continue;
        }
        let digit = (*byte as char).to_digit(16)?;
        digit_seen = true;
        if significand >> 60 == 0 {
            significand = significand << 4 | u64::from(digit);
            exponent -= if point_seen { 4 } else { 0 };
        } else {
            // Beyond 60 bits only rounding can depend on a digit.
            sticky |= digit != 0;
            exponent += if point_seen { 0 } else { 4 };
        }
    }
    if !digit_seen {
        return None;
    }
    if significand == 0 {
        return Some(0.0);
    }
    round_binary(significand, sticky, exponent)
}

/// A decimal exponent with an optional sign, cut off far beyond what a double can hold.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    const CUT_OFF: i64 = 1 << 40;
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0_i64;
    for byte in digits {
        let digit = (*byte as char).to_digit(10)?;
        value = (value * 10 + i64::from(digit)).min(CUT_OFF);
    }
    Some(if negative { -value } else { value })
}

/// `significand`, which is not zero, times two to the `exponent`, rounded half to even. `sticky`
/// says that something below the significand was dropped. `None` out of range.
fn round_binary(significand: u64, sticky: bool, exponent: i64) -> Option<f64> {
    const PRECISION: i64 = 53;
    const EXPONENT_MIN: i64 = -1074;
    let bits = 64 - i64::from(significand.leading_zeros());
    // The exponent of the last place a double keeps of this number.
    let last_place = (exponent + bits - PRECISION).max(EXPONENT_MIN);
    let dropped = last_place - exponent;
    let (kept, exponent) = if dropped <= 0 {
        (significand, exponent)
    } else if dropped > 64 {
        (0, last_place)
    } else {
        let wide = u128::from(significand);
        let (kept, half) = (wide >> dropped, 1_u128 << (dropped - 1));
        let lost = wide & ((1_u128 << dropped) - 1);
        let up = lost > half || (lost == half && (sticky || kept & 1 == 1));
        ((kept as u64) + u64::from(up), last_place)
    };
    // Now `kept` is exact in a double, and so is every step of the scaling.
    let mut value = kept as f64;
    let mut exponent = exponent.clamp(-4096, 4096);
    while exponent > 0 && value.is_finite() {
        let step = exponent.min(1000);
        value *= f64::powi(2.0, step as i32);
        exponent -= step;
    }
    while exponent < 0 && value != 0.0 {
        let step = exponent.max(-1000);
        value *= f64::powi(2.0, step as i32);
        exponent -= step;
    }
    (value.is_finite() && value != 0.0).then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn strict_integers() {
        assert_eq!(parse_int(b"0"), Some(0));
        assert_eq!(parse_int(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(parse_int(b"-9223372036854775808"), Some(i64::MIN));
        for text in [
            &b""[..],
            b"-",
            b"+1",
            b"01",
            b"-0",
            b"-01",
            b" 1",
            b"1 ",
            b"1a",
            b"0x1",
            b"1.0",
            b"9223372036854775808",
            b"-9223372036854775809",
            b"18446744073709551616",
            b"99999999999999999999",
            b"000000000000000000001",
            b"1\0",
        ] {
            assert_eq!(parse_int(text), None, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn doubles_as_strtod_reads_them() {
        for (text, expected) in [
            ("1", 1.0),
            ("+1", 1.0),
            ("-1.5", -1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e2", 100.0),
            ("1E+2", 100.0),
            ("007", 7.0),
            ("inf", f64::INFINITY),
            ("-INF", f64::NEG_INFINITY),
            ("+Infinity", f64::INFINITY),
            ("0x10", 16.0),
            ("-0X1.8p1", -3.0),
            ("0x.8", 0.5),
            ("0x1.", 1.0),
            ("0x1p-1074", 5e-324),
            ("0e999999", 0.0),
            ("0x0p99999", 0.0),
            ("4.9e-324", 5e-324),
            ("0x1.fffffffffffff8p0", 2.0),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.000000000000080000001p0", 1.0000000000000002),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("0x3p-1075", 1e-323),
        ] {
            assert_eq!(parse_double(text.as_bytes()), Some(expected), "{text}");
        }
        assert!(parse_double(b"-0").is_some_and(|zero| zero.is_sign_negative()));
    }

    #[test]
    fn refused_doubles() {
        for text in [
            "",
            " 1",
            "1 ",
            "nan",
            "-nan",
            "NaN(1)",
            ".",
            "+",
            "-",
            "e5",
            "1e",
            "1e+",
            "1x",
            "0x",
            "0x.",
            "0xg",
            "0x1p",
            "0x1p+",
            "1e309",
            "-1e309",
            "1e-400",
            "0x1p1024",
            "0x1p-1076",
            "0x1.fffffffffffff8p1023",
            "infi",
            "++1",
            "+-1",
            "1.2.3",
            "0x1.2.3",
            "1\0",
            "é",
            "1e99999999999999999999",
            "0x1p99999999999999999999",
            "0x1p-99999999999999999999",
        ] {
            assert_eq!(parse_double(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_integer_is_read_back(value: i64) {
            prop_assert_eq!(parse_int(value.to_string().as_bytes()), Some(value));
        }

        #[test]
        fn every_double_is_read_back(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(!value.is_nan());
            let text = format!("{value:e}");
            prop_assert_eq!(parse_double(text.as_bytes()).map(f64::to_bits), Some(bits));
        }

        #[test]
        fn every_hexadecimal_double_is_read_back(bits: u64) {
            let value = f64::from_bits(bits & !(1 << 63));
            prop_assume!(value.is_finite() && value != 0.0);
            let exponent = ((bits >> 52) & 0x7ff) as i64;
            let fraction = bits & ((1 << 52) - 1);
            let text = match exponent {
                0 => format!("0x0.{fraction:013x}p-1022"),
                _ => format!("0x1.{fraction:013x}p{}", exponent - 1023),
            };
            prop_assert_eq!(parse_double(text.as_bytes()), Some(value));
        }

        #[test]
        fn garbage_is_no_trouble(text: Vec<u8>) {
            parse_int(&text);
            parse_double(&text);
        }
    }
}
