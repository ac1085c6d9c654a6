//! Commands on lists.
//!
//! - `ends`: pushing, popping and moving at the ends.
//! - `elements`: looking at and changing elements anywhere.
//! - `waiting`: the popping commands that wait for an element.
//!
//! Redis tells watchers and listeners the same things in a slightly different order from command
//! to command; the handlers keep its order, because subscribers to keyspace events see it.

pub(crate) mod elements;
pub(crate) mod ends;
#[cfg(test)]
mod tests;
pub(crate) mod waiting;

use crate::args::Args;
use crate::errors::{self, CommandError};
use perilune_keyspace::{End, LpValue};
use perilune_resp::ReplyWriter;

/// Writes an element of a list as a bulk string.
fn write_element(out: &mut dyn ReplyWriter, element: LpValue<'_>) {
    match element {
        LpValue::Int(number) => out.bulk_int(number),
        LpValue::Str(text) => out.bulk(text),
    }
}

/// Reads the word `LEFT` or `RIGHT` at `index`.
fn end_at(args: Args<'_>, index: usize) -> Result<End, CommandError> {
    if args.is(index, "left") {
        Ok(End::Head)
    } else if args.is(index, "right") {
        Ok(End::Tail)
    } else {
        Err(errors::SYNTAX)
    }
}

/// The event of a push at `end`.
fn push_event(end: End) -> &'static str {
    if end == End::Head { "lpush" } else { "rpush" }
}

/// The event of a pop at `end`.
fn pop_event(end: End) -> &'static str {
    if end == End::Head { "lpop" } else { "rpop" }
}
