//! Reading ids.
//!
//! An id is `ms-seq`, or `ms` alone where the rest is understood. Numbers are read as generously as
//! Redis does, which takes leading blanks, zeros and signs that its parser of canonical integers refuses.

use crate::errors::{self, CommandError};
use perilune_keyspace::StreamId;

/// Longest text that is looked at.
const TEXT_MAX: usize = 127;

/// The number that stands for a sequence to be chosen.
const CHOOSE: &[u8] = b"*";

/// An id for a new entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NewId {
    /// `*`
    Choose,
    /// `ms-*`
    ChooseSequence(u64),
    /// `ms-seq`
    Given(StreamId),
}

/// Reads an id; `seq` is understood where there is none.
pub(super) fn parse(text: &[u8], seq: u64) -> Result<StreamId, CommandError> {
    let (ms, seq) = split(text, seq)?;
    Ok(StreamId::new(ms, sequence(seq)?))
}

/// Like [`parse`], and `-` and `+` are the least and the greatest id.
pub(super) fn parse_or_end(text: &[u8], seq: u64) -> Result<StreamId, CommandError> {
    match c_text(text) {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        text => parse(text, seq),
    }
}

/// Reads the id of a new entry, other than `*`.
pub(super) fn parse_new(text: &[u8]) -> Result<NewId, CommandError> {
    match split(text, 0)? {
        (ms, Sequence::Text(CHOOSE)) => Ok(NewId::ChooseSequence(ms)),
        (ms, seq) => Ok(NewId::Given(StreamId::new(ms, sequence(seq)?))),
    }
}

/// The first id of a range.
pub(super) fn parse_start(text: &[u8]) -> Result<StreamId, CommandError> {
    match parse_bound(text, 0)? {
        (id, false) => Ok(id),
        (id, true) => id.next().ok_or(errors::INVALID_START_ID),
    }
}

/// The last id of a range.
pub(super) fn parse_end(text: &[u8]) -> Result<StreamId, CommandError> {
    match parse_bound(text, u64::MAX)? {
        (id, false) => Ok(id),
        (id, true) => id.prev().ok_or(errors::INVALID_END_ID),
    }
}

/// An id that bounds a range, and whether it is itself outside of the range.
fn parse_bound(text: &[u8], seq: u64) -> Result<(StreamId, bool), CommandError> {
    match text {
        [b'(', rest @ ..] if !rest.is_empty() => Ok((parse(rest, seq)?, true)),
        _ => Ok((parse_or_end(text, seq)?, false)),
    }
}

enum Sequence<'a> {
    Text(&'a [u8]),
    Understood(u64),
}

fn sequence(seq: Sequence<'_>) -> Result<u64, CommandError> {
    match seq {
        Sequence::Text(text) => parse_u64(text).ok_or(errors::INVALID_STREAM_ID),
        Sequence::Understood(seq) => Ok(seq),
    }
}

fn split(text: &[u8], seq: u64) -> Result<(u64, Sequence<'_>), CommandError> {
    if text.len() > TEXT_MAX {
        return Err(errors::INVALID_STREAM_ID);
    }
    let text = c_text(text);
    let (ms, seq) = match text.iter().position(|byte| *byte == b'-') {
        Some(at) => (&text[..at], Sequence::Text(&text[at + 1..])),
        None => (text, Sequence::Understood(seq)),
    };
    Ok((parse_u64(ms).ok_or(errors::INVALID_STREAM_ID)?, seq))
}

/// What of a text comes before its first zero byte.
fn c_text(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A number as `strtoull` reads it, for which a minus sign wraps around, except that canonical
/// negative numbers are refused.
fn parse_u64(text: &[u8]) -> Option<u64> {
    if let Some(int) = perilune_resp::parse_int(text) {
        return u64::try_from(int).ok();
    }
    let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0B;
    let start = text.iter().position(|byte| !blank(byte))?;
    let (negative, digits) = match &text[start..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let mut value: Option<u64> = None;
    for digit in digits {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        value = Some(value.unwrap_or(0).checked_mul(10)?.checked_add(u64::from(digit))?);
    }
    value.map(|value| if negative { value.wrapping_neg() } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_or_two_parts() {
        let max = u64::MAX;
        for (text, id) in [
            ("0-0", StreamId::MIN),
            ("5", StreamId::new(5, 7)),
            ("5-0", StreamId::new(5, 0)),
            ("18446744073709551615-18446744073709551615", StreamId::MAX),
            ("007- +08", StreamId::new(7, 8)),
            ("1--01", StreamId::new(1, max)),
            ("3-4\0x", StreamId::new(3, 4)),
        ] {
            assert_eq!(parse(text.as_bytes(), 7), Ok(id), "{text}");
        }
        for text in ["", "-", "+", "a", "1-", "-1", "1-a", "1-2-3", "1--1", "1-*", "1 ", " ", "- 1"]
        {
            assert_eq!(parse(text.as_bytes(), 0), Err(errors::INVALID_STREAM_ID), "{text}");
        }
        assert!(parse(b"18446744073709551616", 0).is_err());
        assert!(parse(&[b'0'; 128], 0).is_err());
    }

    #[test]
    fn ranges_may_leave_out_their_bounds() {
        assert_eq!(parse_start(b"(5"), Ok(StreamId::new(5, 1)));
        assert_eq!(parse_end(b"(5-0"), Ok(StreamId::new(4, u64::MAX)));
        assert_eq!((parse_start(b"-"), parse_end(b"+")), (Ok(StreamId::MIN), Ok(StreamId::MAX)));
        let last = b"(18446744073709551615-18446744073709551615";
        assert_eq!(parse_start(last), Err(errors::INVALID_START_ID));
        assert_eq!(parse_end(b"(0-0"), Err(errors::INVALID_END_ID));
        assert_eq!(parse_start(b"(-"), Err(errors::INVALID_STREAM_ID));
    }

    #[test]
    fn new_ids_may_be_left_to_the_server() {
        assert_eq!(parse_new(b"5-*"), Ok(NewId::ChooseSequence(5)));
        assert_eq!(parse_new(b"5"), Ok(NewId::Given(StreamId::new(5, 0))));
        assert_eq!(parse_new(b"*-5"), Err(errors::INVALID_STREAM_ID));
    }
}
