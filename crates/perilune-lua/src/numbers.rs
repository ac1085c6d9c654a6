//! Numbers as text and back, where the result is known to be that of C's `strtod` and `printf`.
//!
//! Both take a long way for every number, an integer of two digits included. What is read and
//! written here is what scripts have: integers and decimals. All else is left to C.

use std::fmt::Write;

/// Up to so many digits every decimal is another `f64`, and every integer is one.
const EXACT_DIGITS: usize = 15;

/// Exponents of more digits are cut by Rust's parser.
const EXPONENT_DIGITS_MAX: usize = 5;

/// Reads the longest decimal number at the start: its value and its length in bytes. `None` if there is
/// none, and for what is left to `strtod`: blanks or a `+` before it, hexadecimal numbers, infinities, and
/// exponents of more than [`EXPONENT_DIGITS_MAX`] digits.
pub(crate) fn read_plain(text: &[u8]) -> Option<(f64, usize)> {
    let count = |from: usize| text[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let sign = usize::from(text.first() == Some(&b'-'));
    let whole = count(sign);
    let mut end = sign + whole;
    let next = text.get(end).copied().unwrap_or(0);
    // "0x" begins a hexadecimal number.
    if whole == 0 && next != b'.' || next | 0x20 == b'x' {
        return None;
    }
    if next != b'.' && next | 0x20 != b'e' && whole <= EXACT_DIGITS {
        let value =
            text[sign..end].iter().fold(0u64, |value, digit| value * 10 + u64::from(digit - b'0'));
        let value = value as f64;
        return Some((if sign == 1 { -value } else { value }, end));
    }
    if next == b'.' {
        let fraction = count(end + 1);
        if whole + fraction == 0 {
            return None;
        }
        end += 1 + fraction;
    }
    if text.get(end).is_some_and(|b| b | 0x20 == b'e') {
        let signed = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        let digits = text.get(end + 1 + signed..).map_or(0, |_| count(end + 1 + signed));
        if digits > EXPONENT_DIGITS_MAX {
            return None;
        }
        if digits > 0 {
            end += 1 + signed + digits;
        }
    }
    let number = std::str::from_utf8(&text[..end]).ok()?.parse().ok()?;
    Some((number, end))
}

/// More significant digits tell nothing more of an `f64`.
const PRECISION_MAX: i32 = 17;

/// Room for the text of a number.
pub(crate) struct PlainText {
    integer: itoa::Buffer,
    decimal: zmij::Buffer,
    other: Text,
}

impl PlainText {
    #[inline]
    pub(crate) fn new() -> Self {
        Self { integer: itoa::Buffer::new(), decimal: zmij::Buffer::new(), other: Text::new() }
    }

    /// `%.{precision}g`. `None` for infinities and what is not a number, and for more than
    /// [`PRECISION_MAX`] digits.
    #[inline]
    pub(crate) fn write(&mut self, number: f64, precision: i32) -> Option<&[u8]> {
        if !(1..=PRECISION_MAX).contains(&precision) || !number.is_finite() {
            return None;
        }
        let is_small_integer = number.floor() == number
            && number.abs() < 10f64.powi(precision)
            && !(number == 0.0 && number.is_sign_negative());
        if is_small_integer {
            return Some(self.integer.format(number as i64).as_bytes());
        }
        if let Some(text) = short_decimal(number, precision, &mut self.decimal) {
            return Some(text.as_bytes());
        }
        write_general(number, precision as usize, &mut self.other);
        Some(self.other.as_bytes())
    }
}

/// `%.{precision}g` of a finite number: its digits, correctly rounded, without noughts at the end; with an
/// exponent if that is less than -4 or there would be noughts for digits that were not asked for.
#[inline(never)]
fn write_general(number: f64, precision: usize, text: &mut Text) {
    let mut scientific = Text::new();
    // It fits: a sign, `PRECISION_MAX` digits and a point, and an exponent of up to three digits.
    let _ = write!(scientific, "{:.*e}", precision - 1, number);
    let mut parts = scientific.as_bytes().splitn(2, |&byte| byte == b'e');
    let mantissa = parts.next().unwrap_or_default();
    let exponent = parts.next().and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    let exponent: i32 = exponent.unwrap_or(0);
    let mut digits = Text::new();
    mantissa.iter().filter(|byte| byte.is_ascii_digit()).for_each(|&digit| digits.push(&[digit]));
    let count =
        digits.as_bytes().iter().rposition(|&digit| digit != b'0').map_or(1, |last| last + 1);
    let digits = &digits.as_bytes()[..count];
    if mantissa.starts_with(b"-") {
        text.push(b"-");
    }
    if exponent < -4 || exponent >= precision as i32 {
        text.push_split(digits, 1);
        let _ = write!(text, "e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
    } else if exponent < 0 {
        text.push(&b"0.000"[..(1 - exponent) as usize]);
        text.push(digits);
    } else {
        text.push_split(digits, exponent as usize + 1);
    }
}

/// A short text.
struct Text {
    bytes: [u8; Self::BYTES_MAX],
    len: usize,
}

impl Text {
    const BYTES_MAX: usize = 40;

    #[inline]
    fn new() -> Self {
        Self { bytes: [0; Self::BYTES_MAX], len: 0 }
    }

    /// Adds what there is room for.
    fn push(&mut self, more: &[u8]) {
        let room = &mut self.bytes[self.len..];
        let len = more.len().min(room.len());
        room[..len].copy_from_slice(&more[..len]);
        self.len += len;
    }

    /// Adds digits with a point behind the first `whole` of them, noughts standing for those that are
    /// missing, and no point at the end.
    fn push_split(&mut self, digits: &[u8], whole: usize) {
        let (before, behind) = digits.split_at(whole.min(digits.len()));
        self.push(before);
        (before.len()..whole).for_each(|_| self.push(b"0"));
        if !behind.is_empty() {
            self.push(b".");
            self.push(behind);
        }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl std::fmt::Write for Text {
    fn write_str(&mut self, more: &str) -> std::fmt::Result {
        self.push(more.as_bytes());
        Ok(())
    }
}

/// Places behind the point that [`FixedText`] writes at most: as many as an `f64` has significant digits in any
/// case. The power of ten fits into 64 bits, and its product with 53 bits into 128.
const PLACES_MAX: usize = 15;

/// A number with a given number of digits behind the point: a sign, the digits of a `u64`, a point, and
/// what is behind it.
pub(crate) struct FixedText(Text);

impl FixedText {
    /// `%.{places}f`: the number is scaled by a power of ten in integers, so nothing is lost, and
    /// halves go to the even neighbour. `None` for large numbers, infinities and what is not a number,
    /// and for more than [`PLACES_MAX`].
    pub(crate) fn new(number: f64, places: usize) -> Option<Self> {
        const FRACTION_BITS: u32 = 52;
        let bits = number.to_bits();
        let fraction = bits & ((1 << FRACTION_BITS) - 1);
        let exponent = (bits >> FRACTION_BITS) as u32 & 0x7FF;
        // The number is `mantissa / 2^shift`.
        let mantissa = if exponent == 0 { fraction } else { fraction | 1 << FRACTION_BITS };
        let shift = 1075u32.checked_sub(exponent.max(1)).filter(|&shift| shift > 0)?;
        if places > PLACES_MAX {
            return None;
        }
        let unit = 10u64.pow(places as u32);
        let scaled = u128::from(mantissa) * u128::from(unit);
        let rounded = match shift < u128::BITS {
            true => {
                let (whole, rest) = (scaled >> shift, scaled & ((1 << shift) - 1));
                let half = 1 << (shift - 1);
                whole + u128::from(rest > half || rest == half && whole & 1 == 1)
            }
            // Less than half of the last place.
            false => 0,
        };
        let rounded = u64::try_from(rounded).ok()?;
        let mut text = Text::new();
        if number.is_sign_negative() {
            text.push(b"-");
        }
        text.push(itoa::Buffer::new().format(rounded / unit).as_bytes());
        if places > 0 {
            let mut digits = itoa::Buffer::new();
            let digits = digits.format(rounded % unit).as_bytes();
            text.push(b".");
            text.push(&[b'0'; PLACES_MAX][..places - digits.len()]);
            text.push(digits);
        }
        Some(Self(text))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The shortest text that stands for a number, where `%.{precision}g` gives the same: it has no
/// more digits than that asks for, and needs no exponent. Beyond [`EXACT_DIGITS`] another text may
/// be nearer than the shortest one.
fn short_decimal(number: f64, precision: i32, buffer: &mut zmij::Buffer) -> Option<&str> {
    let is_exact = usize::try_from(precision).is_ok_and(|precision| precision <= EXACT_DIGITS);
    if !is_exact || !(1e-4..10f64.powi(precision)).contains(&number.abs()) {
        return None;
    }
    let text = buffer.format(number);
    let digits = text.trim_start_matches(['-', '0', '.']).bytes().filter(u8::is_ascii_digit);
    (digits.count() <= precision as usize && !text.contains('e')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ffi::{CStr, CString};

    /// What `printf` makes of a number.
    fn printed(number: f64, precision: i32) -> String {
        printed_by(number, &format!("%.{precision}g"))
    }

    fn printed_by(number: f64, spec: &str) -> String {
        let mut bytes = [0u8; 400];
        let spec = CString::new(spec).unwrap();
        // SAFETY: a conversion for a double; the room is told.
        unsafe { libc::snprintf(bytes.as_mut_ptr().cast(), bytes.len(), spec.as_ptr(), number) };
        CStr::from_bytes_until_nul(&bytes).unwrap().to_str().unwrap().to_owned()
    }

    const ODD: [f64; 21] = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.1,
        1e-4,
        9.9e-5,
        99_999_999_999_999.0,
        1e14,
        1e15,
        9_007_199_254_740_992.0,
        1e22,
        1e300,
        5e-324,
        f64::MAX,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        1.0 / 3.0,
        0.1 + 0.2,
        1_700_000_000.123,
    ];

    /// What `strtod` makes of a text, and how much of it.
    fn converted(text: &str) -> (f64, usize) {
        let text = CString::new(text).unwrap();
        let mut end = std::ptr::null_mut();
        // SAFETY: the text ends with a NUL.
        let number = unsafe { libc::strtod(text.as_ptr(), &mut end) };
        (number, end as usize - text.as_ptr() as usize)
    }

    fn assert_read_as_by_c(text: &str) {
        if let Some((number, len)) = read_plain(text.as_bytes()) {
            let (expected, expected_len) = converted(text);
            assert_eq!((number.to_bits(), len), (expected.to_bits(), expected_len), "{text:?}");
        }
    }

    #[test]
    fn odd_texts_are_read_as_by_c() {
        for text in [
            "",
            "-",
            ".",
            "-.",
            "0",
            "-0",
            "007",
            "1.",
            ".5",
            "-.5",
            "1.e2",
            "1e",
            "1e+",
            "1e5x",
            "0x1F",
            "-0x1F",
            "0x",
            "1x",
            "+1",
            " 1",
            "1 ",
            "nan",
            "inf",
            "-inf",
            "1e400",
            "1e-400",
            "1e99999",
            "1e-99999",
            "0e655360",
            "999999999999999",
            "9007199254740993",
            "123456789012345678901234567890",
            "1..2",
        ] {
            assert_read_as_by_c(text);
        }
        assert_eq!(read_plain(b"0x1F"), None);
        assert_eq!(read_plain(b"+1"), None);
        assert_eq!(read_plain(b"-12 "), Some((-12.0, 3)));
    }

    #[test]
    fn odd_numbers_are_written_as_by_c() {
        for number in ODD {
            for precision in 1..30 {
                if let Some(text) = PlainText::new().write(number, precision) {
                    assert_eq!(text, printed(number, precision).as_bytes(), "{number} {precision}");
                }
            }
        }
        assert_eq!(PlainText::new().write(-0.0, 14), Some(&b"-0"[..]));
        assert_eq!(PlainText::new().write(f64::NAN, 14), None);
    }

    #[test]
    fn odd_numbers_have_the_places_that_c_gives_them() {
        let halves = [0.5, 1.5, 2.5, 0.125, 0.375, 1e-300, 9_007_199_254_740_991.5 / 4.0];
        for number in ODD.into_iter().chain(halves) {
            for places in 0..18 {
                let expected = printed_by(number, &format!("%.{places}f"));
                if let Some(text) = FixedText::new(number, places) {
                    assert_eq!(text.as_bytes(), expected.as_bytes());
                }
            }
        }
        for number in halves {
            assert!((0..3).all(|places| FixedText::new(number, places).is_some()), "{number}");
        }
    }

    proptest! {
        #[test]
        fn texts_are_read_as_by_c(text in "-?[0-9]{0,20}(\\.[0-9]{0,12})?([eE][-+]?[0-9]{0,3})?[ x]?") {
            assert_read_as_by_c(&text);
        }

        #[test]
        fn numbers_are_written_as_by_c(
            scaled in -1_000_000_000_000_000_i64..1_000_000_000_000_000,
            places in 0..20,
            precision in 1..18,
        ) {
            let number = scaled as f64 / 10f64.powi(places);
            let mut buffer = PlainText::new();
            if let Some(text) = buffer.write(number, precision) {
                let expected = printed(number, precision);
                prop_assert_eq!(text, expected.as_bytes());
            }
        }

        #[test]
        fn numbers_have_the_places_that_c_gives_them(
            bits in any::<u64>(),
            small in -1e9..1e9,
            places in 0..16_usize,
        ) {
            for number in [f64::from_bits(bits), small, small * 1e-9] {
                if let Some(text) = FixedText::new(number, places) {
                    let expected = printed_by(number, &format!("%.{places}f"));
                    prop_assert_eq!(text.as_bytes(), expected.as_bytes());
                }
            }
            prop_assert!(FixedText::new(small, places.min(9)).is_some());
        }

        #[test]
        fn all_numbers_are_written_as_by_c(bits in any::<u64>(), half in any::<u32>(), shift in 0..60) {
            // Those of the second kind end in a 5 more often: halves go to the even neighbour.
            let odd = f64::from(half | 1) / 2f64.powi(shift);
            for number in [f64::from_bits(bits), odd, 1.0 / odd] {
                for precision in 1..18 {
                    match PlainText::new().write(number, precision) {
                        Some(text) => {
                            let expected = printed(number, precision);
                            prop_assert_eq!(text, expected.as_bytes());
                        }
                        None => prop_assert!(!number.is_finite()),
                    }
                }
            }
        }
    }
}
