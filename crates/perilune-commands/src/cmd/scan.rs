//! What `SCAN`, `SSCAN`, `HSCAN` and `ZSCAN` share: the cursor, the options and the bounded walk.
//!
//! A call visits whole buckets of the hash table until it has seen `COUNT` elements, matching or
//! not, so its cost is bounded even when nothing matches. Compact encodings have no buckets and
//! are visited whole in the first call.

use crate::args::Args;
use crate::errors::{self, CommandError};
use crate::glob;
use perilune_keyspace::LpValue;
use perilune_resp::ReplyWriter;

/// Elements a call looks at when the client does not say.
const COUNT_DEFAULT: i64 = 10;

/// Buckets a call visits at most for each element asked for: a sparse table is not searched to
/// its end.
const BUCKETS_PER_ELEMENT: i64 = 10;

/// The options of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScanOptions<'a> {
    count: i64,
    pattern: Option<&'a [u8]>,
    /// `TYPE`, which only `SCAN` knows.
    pub(crate) type_name: Option<&'a [u8]>,
}

/// Reads a cursor as Redis does, with C's `strtoul`: an empty text is zero, a sign is allowed and
/// a negative number wraps.
pub(crate) fn parse_cursor(text: &[u8]) -> Result<u64, CommandError> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Ok(0);
    }
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(errors::INVALID_CURSOR);
    }
    let value = digits.iter().try_fold(0_u64, |value, digit| {
        value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    });
    let value = value.ok_or(errors::INVALID_CURSOR)?;
    Ok(if negative { value.wrapping_neg() } else { value })
}

impl<'a> ScanOptions<'a> {
    /// Reads the options from the argument at `first` on. `TYPE` is one where `with_type`.
    pub(crate) fn parse(
        args: Args<'a>,
        first: usize,
        with_type: bool,
    ) -> Result<Self, CommandError> {
        let mut options = ScanOptions { count: COUNT_DEFAULT, pattern: None, type_name: None };
        for at in (first..args.len()).step_by(2) {
            let value = args.get(at + 1).ok_or(errors::SYNTAX)?;
            if args.is(at, "count") {
                options.count = args.int(at + 1)?;
                if options.count < 1 {
                    return Err(errors::SYNTAX);
                }
            } else if args.is(at, "match") {
                // Also spares empty names, which no pattern but the empty one matches.
                options.pattern = (value != b"*").then_some(value);
            } else if args.is(at, "type") && with_type {
                options.type_name = Some(value);
            } else {
                return Err(errors::SYNTAX);
            }
        }
        Ok(options)
    }

    /// Whether an element of this name is wanted.
    pub(crate) fn wants(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name, false))
    }

    /// Calls `step` with the cursor until enough was seen; returns the cursor to go on from, zero
    /// at the end. `step` returns the next cursor and how many elements it visited.
    pub(crate) fn walk(&self, cursor: u64, mut step: impl FnMut(u64) -> (u64, usize)) -> u64 {
        let mut cursor = cursor;
        let mut steps_left = self.count.saturating_mul(BUCKETS_PER_ELEMENT);
        let mut elements_left = usize::try_from(self.count).unwrap_or(usize::MAX);
        loop {
            let (next, seen) = step(cursor);
            cursor = next;
            elements_left = elements_left.saturating_sub(seen);
            if cursor == 0 || steps_left == 0 || elements_left == 0 {
                return cursor;
            }
            steps_left -= 1;
        }
    }
}

/// The elements of a value that a call of `HSCAN`, `SSCAN` or `ZSCAN` answers, and the cursor to go on
/// from. `visit` hands over each element at a cursor with its name, and returns the next cursor.
pub(crate) fn elements<'v, E>(
    args: Args<'_>,
    cursor: u64,
    mut visit: impl FnMut(u64, &mut dyn FnMut(LpValue<'v>, E)) -> u64,
) -> Result<(u64, Vec<E>), CommandError> {
    let options = ScanOptions::parse(args, 3, false)?;
    let (mut found, mut digits) = (Vec::new(), itoa::Buffer::new());
    let cursor = options.walk(cursor, |cursor| {
        let mut seen = 0;
        let next = visit(cursor, &mut |name, element| {
            seen += 1;
            if options.wants(name.as_slice(&mut digits)) {
                found.push(element);
            }
        });
        (next, seen)
    });
    Ok((cursor, found))
}

/// Begins the reply of a call; `len` elements follow.
pub(crate) fn begin_reply(out: &mut dyn ReplyWriter, cursor: u64, len: usize) {
    out.array(2);
    let mut digits = itoa::Buffer::new();
    out.bulk(digits.format(cursor).as_bytes());
    out.array(len);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options<'a>(words: &'a [&'a [u8]]) -> Result<ScanOptions<'a>, CommandError> {
        ScanOptions::parse(Args::new(words), 0, false)
    }

    #[test]
    fn cursors_are_read_as_strtoul_does() {
        for (text, value) in [
            ("0", 0),
            ("", 0),
            ("+7", 7),
            ("-1", u64::MAX),
            ("18446744073709551615", u64::MAX),
            ("007", 7),
        ] {
            assert_eq!(parse_cursor(text.as_bytes()), Ok(value), "{text}");
        }
        for text in [" 1", "1 ", "x", "1x", "-", "+", "18446744073709551616", "--1"] {
            assert_eq!(parse_cursor(text.as_bytes()), Err(errors::INVALID_CURSOR), "{text}");
        }
    }

    #[test]
    fn options_that_do_not_exist_or_lack_a_value_are_refused() {
        assert_eq!(options(&[b"COUNT", b"0"]), Err(errors::SYNTAX));
        assert_eq!(options(&[b"COUNT", b"x"]), Err(errors::NOT_AN_INTEGER));
        assert_eq!(options(&[b"COUNT"]), Err(errors::SYNTAX));
        assert_eq!(options(&[b"TYPE", b"set"]), Err(errors::SYNTAX));
        let type_name = |words| ScanOptions::parse(Args::new(words), 0, true).map(|o| o.type_name);
        assert_eq!(type_name(&[b"type", b"set"]), Ok(Some(&b"set"[..])));
    }

    #[test]
    fn a_star_wants_even_the_empty_name() {
        assert!(options(&[b"MATCH", b"*"]).is_ok_and(|options| options.wants(b"")));
        assert!(options(&[b"MATCH", b"a*"]).is_ok_and(|options| options.wants(b"ab")));
        assert!(options(&[b"match", b"a*"]).is_ok_and(|options| !options.wants(b"b")));
    }

    #[test]
    fn a_walk_ends_with_the_table_the_elements_or_the_steps() {
        let steps = |count: &[u8], seen: usize, end: u64| {
            let words: [&[u8]; 2] = [b"COUNT", count];
            let mut steps = 0;
            if let Ok(options) = options(&words) {
                options.walk(1, |cursor| {
                    steps += 1;
                    (if cursor == end { 0 } else { cursor + 1 }, seen)
                });
            }
            steps
        };
        assert_eq!(steps(b"10", 1, 3), 3);
        assert_eq!(steps(b"10", 1, 1000), 10);
        assert_eq!(steps(b"10", 0, 1000), 101);
        assert_eq!(steps(b"9223372036854775807", 0, 1000), 1000);
    }
}
