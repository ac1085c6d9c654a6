//! Numbers as configuration texts write them: plain, octal, memory sizes with units, percentages.

use perilune_resp::parse_int;

use super::error::{self, Reason};

/// How the number of a parameter is read and printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberFormat {
    Plain,
    Octal,
    /// Bytes, with an optional unit.
    Memory,
    /// Bytes, or a percentage, which is kept as a negative number.
    MemoryOrPercent,
}

impl NumberFormat {
    /// Reads a number, or says what was expected.
    pub(super) fn parse(self, text: &[u8]) -> Result<i128, Reason> {
        match self {
            Self::Plain => parse_int(text).map(i128::from).ok_or(error::NOT_AN_INTEGER.into()),
            Self::Octal => octal(text).map(i128::from).ok_or(error::NOT_OCTAL.into()),
            Self::Memory => memory_bytes(text).map(i128::from).ok_or(error::NOT_MEMORY.into()),
            Self::MemoryOrPercent => memory_bytes(text)
                .map(i128::from)
                .or_else(|| percent(text).map(|percent| -i128::from(percent)))
                .ok_or(error::NOT_MEMORY_OR_PERCENT.into()),
        }
    }

    /// Checks the bounds (inclusive).
    pub(super) fn check(self, value: i128, (lower, upper): (i128, i128)) -> Result<(), Reason> {
        if (lower..=upper).contains(&value) {
            return Ok(());
        }
        Err(match self {
            Self::MemoryOrPercent if value < 0 => {
                format!("percentage argument must be less or equal to {}", -lower)
            }
            Self::Octal => format!("argument must be between {lower:o} and {upper:o} inclusive"),
            _ => format!("argument must be between {lower} and {upper} inclusive"),
        }
        .into())
    }

    /// The number as `CONFIG GET` prints it.
    pub(super) fn text(self, value: i128) -> String {
        match self {
            Self::Octal => format!("{value:o}"),
            Self::MemoryOrPercent if value < 0 => format!("{}%", -value),
            _ => value.to_string(),
        }
    }

    /// The number as `CONFIG REWRITE` writes it: memory sizes take the largest unit that divides.
    pub(super) fn line(self, value: i128) -> String {
        match (self, u64::try_from(value)) {
            (Self::Memory | Self::MemoryOrPercent, Ok(bytes)) => memory_text(bytes),
            _ => self.text(value),
        }
    }
}

/// Splits leading blanks and a sign off, as the C library does.
fn signed(text: &[u8]) -> Option<(bool, &str)> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    match text.as_bytes().first() {
        Some(b'-') => Some((true, &text[1..])),
        Some(b'+') => Some((false, &text[1..])),
        _ => Some((false, text)),
    }
}

/// A number in base 8; nothing at all is zero, too large is no number.
fn octal(text: &[u8]) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let (negative, digits) = signed(text)?;
    if !digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit)) {
        return None;
    }
    let magnitude = i64::from_str_radix(digits, 8).ok()?;
    Some(if negative { -magnitude } else { magnitude })
}

/// A decimal number as `strtoll` reads it when it has to use up the whole text: nothing at all is
/// zero, and too large a number is the largest one.
pub(super) fn strtoll(text: &[u8]) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let (negative, digits) = signed(text)?;
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let magnitude = digits.parse::<i64>().unwrap_or(i64::MAX);
    Some(if negative { -magnitude } else { magnitude })
}

/// A memory size: digits and an optional unit (`k` is 1000, `kb` is 1024, ...). No digits are zero.
pub(crate) fn memory_bytes(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    if number.is_empty() {
        return Some(0);
    }
    let number = std::str::from_utf8(number).ok()?.parse::<u64>().unwrap_or(u64::MAX);
    // Wraps as Redis does: clients rely on 2^64-1 bytes being accepted and on nothing above it.
    Some(number.wrapping_mul(factor))
}

/// A percentage such as `5%`.
fn percent(text: &[u8]) -> Option<i64> {
    let (sign, number) = text.split_last()?;
    parse_int(number).filter(|percent| *sign == b'%' && *percent >= 0)
}

/// Bytes with the largest unit that divides them.
pub(super) fn memory_text(bytes: u64) -> String {
    for (unit, shift) in [("gb", 30), ("mb", 20), ("kb", 10)] {
        if bytes != 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}
