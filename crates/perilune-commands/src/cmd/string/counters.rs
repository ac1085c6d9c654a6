//! Numbers in strings.

use crate::args::{Args, parse_int};
use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::long_double;
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::{Bytes, Value, ValueRef};
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "decr",
        arity: 2,
        flags: "write denyoom fast",
        acl: "string",
        keys: &[KeySpec::one("RW access update", 1)],
        group: "string",
        complexity: "O(1)",
        summary: "Lowers an integer by one; a missing key counts as 0.",
        args: "key:key",
        handler: decr,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "decrby",
        arity: 3,
        flags: "write denyoom fast",
        acl: "string",
        keys: &[KeySpec::one("RW access update", 1)],
        group: "string",
        complexity: "O(1)",
        summary: "Lowers an integer by the given amount; a missing key counts as 0.",
        args: "key:key decrement:int",
        handler: decrby,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "incr",
        arity: 2,
        flags: "write denyoom fast",
        acl: "string",
        keys: &[KeySpec::one("RW access update", 1)],
        group: "string",
        complexity: "O(1)",
        summary: "Raises an integer by one; a missing key counts as 0.",
        args: "key:key",
        handler: incr,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "incrby",
        arity: 3,
        flags: "write denyoom fast",
        acl: "string",
        keys: &[KeySpec::one("RW access update", 1)],
        group: "string",
        complexity: "O(1)",
        summary: "Raises an integer by the given amount; a missing key counts as 0.",
        args: "key:key increment:int",
        handler: incrby,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "incrbyfloat",
        arity: 3,
        flags: "write denyoom fast",
        acl: "string",
        keys: &[KeySpec::one("RW access update", 1)],
        since: "2.6.0",
        group: "string",
        complexity: "O(1)",
        summary: "Raises a floating point number by the given amount; a missing key counts as 0.",
        args: "key:key increment:double",
        handler: incrbyfloat,
        ..CommandSpec::EMPTY
    },
];

fn incr(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    add(ctx, args[1], 1, out)
}

fn decr(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    add(ctx, args[1], -1, out)
}

fn incrby(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let by = args.int(2)?;
    add(ctx, args[1], by, out)
}

fn decrby(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let by = args.int(2)?.checked_neg().ok_or(errors::DECREMENT_OVERFLOW)?;
    add(ctx, args[1], by, out)
}

/// Adds to the integer at a key; a missing key holds 0.
fn add(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    by: i64,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let sum = |old: i64| old.checked_add(by).ok_or(errors::INCREMENT_OVERFLOW);
    let new = match ctx.write(key) {
        Some(entry) => match entry.change_int(sum) {
            Some(new) => new?,
            None => {
                let old = match entry.value() {
                    ValueRef::Str(content) => parse_int(content),
                    ValueRef::Raw(content) => parse_int(content),
                    _ => return Err(errors::WRONG_TYPE),
                };
                let new = sum(old.ok_or(errors::NOT_AN_INTEGER)?)?;
                entry.set_value(Value::Int(new));
                new
            }
        },
        None => {
            ctx.put(key, Value::Int(by));
            by
        }
    };
    ctx.modified(key, NotifyFlags::STRING, "incrby");
    out.int(new);
    Ok(())
}

fn incrbyfloat(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let key = args[1];
    let sum = match ctx.write(key) {
        Some(entry) => {
            let old = entry.value().as_string().ok_or(errors::WRONG_TYPE)?;
            let sum = long_double::add(&old, args[2])?;
            // Stays text even where the sum is an integer, as in Redis.
            entry.set_value(Value::Str(Bytes::new(&sum)));
            sum
        }
        None => {
            let sum = long_double::add(b"0", args[2])?;
            ctx.put(key, Value::Str(Bytes::new(&sum)));
            sum
        }
    };
    ctx.modified(key, NotifyFlags::STRING, "incrbyfloat");
    ctx.propagate_as(&[b"SET", key, &sum, b"KEEPTTL"]);
    out.bulk(&sum);
    Ok(())
}
