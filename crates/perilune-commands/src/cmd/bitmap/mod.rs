//! Strings as arrays of bits. Bit 0 is the most significant bit of the first byte.
//!
//! `single` works on one bit, `range` counts and finds bits, `combine` joins whole strings, `field`
//! reads and writes integers of up to 64 bits at any bit, `words` has the loops over long strings.
//! A missing key is the empty string, and every string goes on with zeros behind its end.

pub(super) mod combine;
pub(super) mod field;
#[cfg(target_arch = "x86_64")]
mod harley_seal;
pub(super) mod range;
pub(super) mod single;
#[cfg(test)]
mod tests;
mod words;

use crate::ctx::Ctx;
use crate::errors::{self, CommandError};

/// Refuses a bit that no string may have: one behind the longest string allowed, or before the
/// first.
fn check_offset(ctx: &Ctx<'_>, offset: i64) -> Result<u64, CommandError> {
    let offset = u64::try_from(offset).map_err(|_| errors::BIT_OFFSET)?;
    if offset / 8 >= ctx.engine.config.proto_max_bulk_len {
        return Err(errors::BIT_OFFSET);
    }
    Ok(offset)
}
