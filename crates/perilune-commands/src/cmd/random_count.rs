//! The count of the commands that pick random elements (`SRANDMEMBER`, `HRANDFIELD`,
//! `ZRANDMEMBER`): positive asks for different elements, negative for ones that may repeat.

use crate::args::Args;
use crate::errors::{self, CommandError};

/// Most elements that may be asked for with repetition. Nothing else bounds such a reply: the
/// collection may have a single element, and the whole reply stands in memory.
const REPEATED_MAX: u64 = 1 << 26;

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

    /// Number of elements of the reply out of `len`; an error if that is more than any reply has.
    pub(crate) fn of(self, len: usize) -> Result<usize, CommandError> {
        match self {
            RandomCount::Distinct(count) => Ok(count.min(len)),
            RandomCount::Repeated(count) if count <= REPEATED_MAX => Ok(count as usize),
            RandomCount::Repeated(_) => Err(errors::OUT_OF_RANGE),
        }
    }
}
