//! The count of the commands that pick random elements (`SRANDMEMBER`, `HRANDFIELD`,
//! `ZRANDMEMBER`): positive asks for different elements, negative for ones that may repeat.

use crate::args::Args;
use crate::errors::{self, CommandError};
use perilune_keyspace::LpValue;

/// Most elements that may be asked for with repetition. Nothing else bounds such a reply: the
/// collection may have a single element, and the whole reply stands in memory.
const REPEATED_MAX: u64 = 1 << 26;

/// Repeated elements that are picked between two looks at the length of the reply.
const ROUND: usize = 1024;

/// How many random elements a command asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RandomCount {
    /// So many different ones, or all.
    Distinct(usize),
    /// Exactly so many, each picked among all.
    Repeated(u64),
}

impl RandomCount {
    /// Reads the argument at `index`.
    pub(crate) fn parse(args: Args<'_>, index: usize) -> Result<Self, CommandError> {
        let count = args.int_in(index, -i64::MAX..=i64::MAX, errors::RANDOM_COUNT_OUT_OF_RANGE)?;
        Ok(match usize::try_from(count) {
            Ok(count) => RandomCount::Distinct(count),
            Err(_) => RandomCount::Repeated(count.unsigned_abs()),
        })
    }

    /// Whether each element may be answered with two, without the length of the reply overflowing.
    pub(crate) fn may_double(self) -> bool {
        const HALF: u64 = i64::MAX as u64 / 2;
        match self {
            RandomCount::Distinct(count) => count as u64 <= HALF,
            RandomCount::Repeated(count) => count <= HALF,
        }
    }

    /// Number of elements of the reply out of `len`; an error if that is more than any reply has. A
    /// reply that may have `bytes_max` bytes ends there, however many elements it should have.
    pub(crate) fn of(self, len: usize, bytes_max: Option<u64>) -> Result<usize, CommandError> {
        match self {
            RandomCount::Distinct(count) => Ok(count.min(len)),
            RandomCount::Repeated(count) if count <= REPEATED_MAX || bytes_max.is_some() => {
                usize::try_from(count).map_err(|_| errors::OUT_OF_RANGE)
            }
            RandomCount::Repeated(_) => Err(errors::OUT_OF_RANGE),
        }
    }
}

/// Has `round` pick elements that may repeat, some at a time, until there are `picks` of them or the
/// reply has more than `bytes_max` bytes. `round` gets a number of elements and tells their bytes.
/// False when the reply became too long.
pub(crate) fn pick_in_rounds(
    picks: usize,
    bytes_max: Option<u64>,
    mut round: impl FnMut(usize) -> u64,
) -> bool {
    let (mut left, mut bytes) = (picks, 0u64);
    while left > 0 {
        let some = left.min(ROUND);
        bytes += round(some);
        left -= some;
        if bytes_max.is_some_and(|max| bytes > max) {
            return false;
        }
    }
    true
}

/// Bytes that a value takes in a reply, at least.
pub(crate) fn bytes_in_reply(value: LpValue<'_>) -> u64 {
    const FRAME: u64 = "$0\r\n\r\n".len() as u64;
    match value {
        LpValue::Str(text) => FRAME + text.len() as u64,
        LpValue::Int(_) => FRAME + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_ends_when_it_is_too_long() {
        let mut picked = 0;
        let mut round = |some: usize| {
            picked += some;
            10 * some as u64
        };
        assert!(pick_in_rounds(3000, None, &mut round));
        assert!(pick_in_rounds(3000, Some(30_000), &mut round));
        assert!(!pick_in_rounds(usize::MAX, Some(30_000), &mut round));
        assert_eq!(picked, 3000 + 3000 + 3 * ROUND);
    }
}
