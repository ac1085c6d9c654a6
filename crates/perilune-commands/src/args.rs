//! The arguments of one command: borrowed byte strings, the name first.

use crate::errors::{self, CommandError};
use std::ops::Index;

/// The argument vector of a command, including its name at index 0.
///
/// Borrows from whatever brought the command: a connection's read buffer, a transaction's queue, a
/// script's stack.
#[derive(Debug, Clone, Copy)]
pub struct Args<'a>(&'a [&'a [u8]]);

impl<'a> Args<'a> {
    /// Wraps an argument vector. `argv` must not be empty; an empty one reads as an empty name.
    pub fn new(argv: &'a [&'a [u8]]) -> Self {
        Args(argv)
    }

    /// Number of arguments including the name.
    // A command always has its name, so `is_empty` would be a question without an asker.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// The command name as it was sent.
    pub fn name(self) -> &'a [u8] {
        self.0.first().copied().unwrap_or_default()
    }

    /// The argument at `index`, if there is one.
    pub fn get(self, index: usize) -> Option<&'a [u8]> {
        self.0.get(index).copied()
    }

    /// The arguments from `index` on (none when it is past the end).
    pub fn from(self, index: usize) -> &'a [&'a [u8]] {
        self.0.get(index..).unwrap_or_default()
    }

    /// All arguments.
    pub fn all(self) -> &'a [&'a [u8]] {
        self.0
    }

    /// Iterates over all arguments, the name first.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator {
        self.0.iter().copied()
    }

    /// The argument at `index` as a 64-bit integer, or the error that it is none.
    pub fn int(self, index: usize) -> Result<i64, CommandError> {
        self.get(index).and_then(parse_int).ok_or(errors::NOT_AN_INTEGER)
    }

    /// The argument at `index` as an integer within `range`; outside of it, `error`.
    pub fn int_in(
        self,
        index: usize,
        range: std::ops::RangeInclusive<i64>,
        error: CommandError,
    ) -> Result<i64, CommandError> {
        let value = self.int(index)?;
        if range.contains(&value) { Ok(value) } else { Err(error) }
    }

    /// The argument at `index` as a floating point number.
    pub fn float(self, index: usize) -> Result<f64, CommandError> {
        self.get(index).and_then(perilune_resp::parse_double).ok_or(errors::NOT_A_FLOAT)
    }

    /// The timeout at `index` of a blocking command: seconds, possibly with a fraction. In
    /// milliseconds, rounded up; zero means no end. `now_ms` is what it will be added to.
    pub fn timeout_ms(self, index: usize, now_ms: i64) -> Result<i64, CommandError> {
        let text = self.get(index).ok_or(errors::TIMEOUT_NOT_A_FLOAT)?;
        // A number that only a wider format can hold is out of range in one of two ways.
        let wide = || match text.first() {
            _ if !crate::long_double::is_number(text) => Err(errors::TIMEOUT_NOT_A_FLOAT),
            Some(b'-') => Err(errors::TIMEOUT_NEGATIVE),
            _ => Err(errors::TIMEOUT_OUT_OF_RANGE),
        };
        let seconds = perilune_resp::parse_double(text).map_or_else(wide, Ok)?;
        // The cast saturates, so what is too large for an integer fails the addition below.
        let timeout_ms = (seconds * 1000.0).ceil() as i64;
        if timeout_ms < 0 {
            return Err(errors::TIMEOUT_NEGATIVE);
        }
        if timeout_ms == i64::MAX || timeout_ms.checked_add(now_ms).is_none() {
            return Err(errors::TIMEOUT_OUT_OF_RANGE);
        }
        Ok(timeout_ms)
    }

    /// Whether the argument at `index` is `word`, in any letter case.
    pub fn is(self, index: usize, word: &str) -> bool {
        self.get(index).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    }
}

impl<'a> Index<usize> for Args<'a> {
    type Output = &'a [u8];

    /// The argument at `index`. Dispatch has checked the arity, so the positions a command's arity
    /// promises are there; anything beyond goes through [`Args::get`].
    fn index(&self, index: usize) -> &&'a [u8] {
        &self.0[index]
    }
}

/// Reads a decimal integer exactly as Redis does: no leading zeros, spaces or plus sign.
pub fn parse_int(text: &[u8]) -> Option<i64> {
    perilune_resp::parse_int(text)
}
