//! The bounds of a range: two ranks, two scores or two names.

use crate::args;
use crate::errors::{self, CommandError};
use perilune_keyspace::ZSet;
use perilune_keyspace::zset::{LexBound, LexRange, ScoreRange};
use std::ops::Range;

/// What the bounds of a range are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Ranks, the first being 0 and the last -1.
    Rank,
    /// Scores.
    Score,
    /// Names, among members of one score.
    Lex,
}

/// The bounds of a range, lower first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bounds<'a> {
    /// Ranks from the first to the second, both included.
    Rank(i64, i64),
    /// Scores.
    Score(ScoreRange),
    /// Names.
    Lex(LexRange<'a>),
}

impl<'a> Bounds<'a> {
    /// Reads two bounds.
    pub(super) fn parse(by: By, min: &'a [u8], max: &'a [u8]) -> Result<Self, CommandError> {
        match by {
            By::Rank => {
                let rank = |text| args::parse_int(text).ok_or(errors::NOT_AN_INTEGER);
                Ok(Bounds::Rank(rank(min)?, rank(max)?))
            }
            By::Score => {
                let (min, min_exclusive) = score(min)?;
                let (max, max_exclusive) = score(max)?;
                Ok(Bounds::Score(ScoreRange { min, max, min_exclusive, max_exclusive }))
            }
            By::Lex => Ok(Bounds::Lex(LexRange { min: name(min)?, max: name(max)? })),
        }
    }

    /// The ranks between the bounds.
    pub(super) fn ranks(&self, zset: &ZSet) -> Range<usize> {
        match self {
            Bounds::Rank(start, stop) => zset.ranks_by_index(*start, *stop, false),
            Bounds::Score(range) => zset.ranks_by_score(range),
            Bounds::Lex(range) => zset.ranks_by_lex(range),
        }
    }
}

/// Reads a score that bounds a range, and whether it is left out of the range itself.
fn score(text: &[u8]) -> Result<(f64, bool), CommandError> {
    let (number, exclusive) = match text {
        [b'(', number @ ..] => (number, true),
        number => (number, false),
    };
    Ok((lenient_float(number).ok_or(errors::RANGE_NOT_A_FLOAT)?, exclusive))
}

/// Reads a number as the C library does when nobody looks at its complaints, which is how Redis
/// reads these bounds: nothing is zero, leading blanks are skipped, what is too large is infinite
/// and what is too small is zero.
fn lenient_float(text: &[u8]) -> Option<f64> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let number = &text[text.iter().take_while(|byte| is_blank(byte)).count()..];
    let in_range = perilune_resp::parse_double(number);
    in_range.or_else(|| std::str::from_utf8(number).ok()?.parse().ok()).filter(|n| !n.is_nan())
}

/// Reads a name that bounds a range.
fn name(text: &[u8]) -> Result<LexBound<'_>, CommandError> {
    match text {
        [b'-'] | [b'-', 0, ..] => Ok(LexBound::Min),
        [b'+'] | [b'+', 0, ..] => Ok(LexBound::Max),
        [b'(', name @ ..] => Ok(LexBound::Exclusive(name)),
        [b'[', name @ ..] => Ok(LexBound::Inclusive(name)),
        _ => Err(errors::RANGE_NOT_A_STRING),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_read_as_strtod_does() {
        for (text, bound) in [
            ("1.5", (1.5, false)),
            ("(1.5", (1.5, true)),
            ("", (0.0, false)),
            ("(", (0.0, true)),
            (" \t7", (7.0, false)),
            ("( 7", (7.0, true)),
            ("1e400", (f64::INFINITY, false)),
            ("-1e400", (f64::NEG_INFINITY, false)),
            ("1e-400", (0.0, false)),
            ("(-inf", (f64::NEG_INFINITY, true)),
            ("0x10", (16.0, false)),
        ] {
            assert_eq!(score(text.as_bytes()), Ok(bound), "{text}");
        }
        for text in [" ", "7 ", "nan", "(nan", "x", "((1", "[1"] {
            assert_eq!(score(text.as_bytes()), Err(errors::RANGE_NOT_A_FLOAT), "{text}");
        }
    }

    #[test]
    fn names_need_a_mark() {
        assert_eq!(name(b"-"), Ok(LexBound::Min));
        assert_eq!(name(b"+"), Ok(LexBound::Max));
        assert_eq!(name(b"("), Ok(LexBound::Exclusive(b"")));
        assert_eq!(name(b"[a"), Ok(LexBound::Inclusive(b"a")));
        for text in ["", "a", "-x", "+inf", "1"] {
            assert_eq!(name(text.as_bytes()), Err(errors::RANGE_NOT_A_STRING), "{text}");
        }
    }
}
