//! Commands on keys of any type, by what they do: single keys ([`keys`]), iterating over them
//! ([`iterate`]), times to live ([`expire`]), payloads ([`dump`]), how values are stored ([`object`]), whole databases
//! ([`databases`]), `SORT` ([`sort`]), moving keys to another server ([`migrate`]) and waiting for
//! replicas ([`wait`]).

pub(super) mod databases;
pub(super) mod dump;
pub(super) mod expire;
pub(super) mod iterate;
pub(super) mod keys;
pub(super) mod migrate;
pub(super) mod object;
pub(super) mod sort;
pub(super) mod wait;

#[cfg(test)]
mod tests;

use crate::args::Args;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};

/// The index of an existing database at `index` of the arguments.
fn database_argument(ctx: &Ctx<'_>, args: Args<'_>, index: usize) -> Result<usize, CommandError> {
    let number = args.int(index)?;
    if i32::try_from(number).is_err() {
        return Err(errors::OUTSIDE_32_BITS);
    }
    existing_database(ctx, number)
}

/// A number as the index of an existing database.
fn existing_database(ctx: &Ctx<'_>, number: i64) -> Result<usize, CommandError> {
    let index = usize::try_from(number).map_err(|_| errors::DB_OUT_OF_RANGE)?;
    if index < ctx.engine.keyspace.count() { Ok(index) } else { Err(errors::DB_OUT_OF_RANGE) }
}
