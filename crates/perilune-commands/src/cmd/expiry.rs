//! Times to live as arguments: how they are read, and what makes one invalid.

use crate::args::parse_int;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};

/// What the number of an expiry argument means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExpiryUnit {
    /// Seconds from now (`EX`).
    Seconds,
    /// Milliseconds from now (`PX`).
    Millis,
    /// Unix time in seconds (`EXAT`).
    UnixSeconds,
    /// Unix time in milliseconds (`PXAT`).
    UnixMillis,
}

impl ExpiryUnit {
    /// The unit that an option word stands for.
    pub(crate) fn by_option(word: &[u8]) -> Option<ExpiryUnit> {
        let options = [
            ("ex", ExpiryUnit::Seconds),
            ("px", ExpiryUnit::Millis),
            ("exat", ExpiryUnit::UnixSeconds),
            ("pxat", ExpiryUnit::UnixMillis),
        ];
        let found = options.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, unit)| *unit)
    }

    /// Whether the number is a point in time and not a distance from now.
    pub(crate) fn is_absolute(self) -> bool {
        matches!(self, ExpiryUnit::UnixSeconds | ExpiryUnit::UnixMillis)
    }

    /// The number as milliseconds, and as Unix time when added to `now_ms`. `None` where it
    /// leaves 64 bits.
    pub(crate) fn deadline(self, number: i64, now_ms: i64) -> Option<i64> {
        let in_seconds = matches!(self, ExpiryUnit::Seconds | ExpiryUnit::UnixSeconds);
        let millis = if in_seconds { number.checked_mul(1000)? } else { number };
        if self.is_absolute() { Some(millis) } else { millis.checked_add(now_ms) }
    }
}

/// Reads the time of `SET ... EX` and its relatives, which must be positive, as Unix milliseconds.
/// `command` is named in the error.
pub(crate) fn positive_deadline(
    ctx: &Ctx<'_>,
    text: &[u8],
    unit: ExpiryUnit,
    command: &[u8],
) -> Result<i64, CommandError> {
    let number = parse_int(text).ok_or(errors::NOT_AN_INTEGER)?;
    let deadline = unit.deadline(number, ctx.now_ms());
    deadline.filter(|_| number > 0).ok_or_else(|| errors::invalid_expire_time(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_leaves_64_bits_is_none() {
        assert_eq!(ExpiryUnit::Seconds.deadline(2, 500), Some(2500));
        assert_eq!(ExpiryUnit::UnixSeconds.deadline(2, 500), Some(2000));
        assert_eq!(ExpiryUnit::Millis.deadline(i64::MAX, 1), None);
        assert_eq!(ExpiryUnit::UnixMillis.deadline(i64::MAX, 1), Some(i64::MAX));
        assert_eq!(ExpiryUnit::Seconds.deadline(i64::MAX / 1000 + 1, 0), None);
        assert_eq!(ExpiryUnit::UnixSeconds.deadline(i64::MIN, 0), None);
    }
}
