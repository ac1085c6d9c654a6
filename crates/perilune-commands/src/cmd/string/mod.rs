//! Commands on strings, by what they do: store and fetch whole strings ([`whole`]), parts of them
//! ([`parts`]), numbers in them ([`counters`]), and comparing two of them ([`lcs`]).

pub(super) mod counters;
pub(super) mod lcs;
pub(super) mod parts;
pub(super) mod whole;

#[cfg(test)]
mod tests;

use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use perilune_keyspace::ValueRef;
use perilune_resp::ReplyWriter;

/// Answers with the string in `value`.
#[inline]
fn reply_string(value: ValueRef<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    match value {
        ValueRef::Int(int) => out.bulk_int(int),
        ValueRef::Str(content) => out.bulk(content),
        ValueRef::Raw(content) => out.bulk(content),
        _ => return Err(errors::WRONG_TYPE),
    }
    Ok(())
}

/// Answers with the string at `key`, or null. True when there was one.
#[inline]
fn reply_key(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    out: &mut dyn ReplyWriter,
) -> Result<bool, CommandError> {
    match ctx.read(key) {
        None => {
            out.null();
            Ok(false)
        }
        Some(value) => reply_string(value, out).map(|()| true),
    }
}

/// Refuses a string of `len` bytes that grows by `more` beyond what the protocol can carry.
fn check_length(ctx: &Ctx<'_>, len: usize, more: usize) -> Result<(), CommandError> {
    match len.checked_add(more) {
        Some(total) if total as u64 <= ctx.engine.config.proto_max_bulk_len => Ok(()),
        _ => Err(errors::STRING_TOO_LONG),
    }
}
