//! Reading a stream by id.

use super::{id, write_entry};
use crate::args::Args;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::Stream;
use perilune_keyspace::stream::Entries;
use perilune_resp::{DeferredKind, ReplyWriter};

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "xlen",
        arity: 2,
        flags: "readonly fast",
        acl: "stream",
        keys: &[KeySpec::one("RO", 1)],
        since: "5.0.0",
        group: "stream",
        complexity: "O(1)",
        summary: "Counts the entries of a stream.",
        args: "key:key",
        handler: xlen,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "xrange",
        arity: -4,
        flags: "readonly",
        acl: "stream",
        keys: &[KeySpec::one("RO access", 1)],
        since: "5.0.0",
        group: "stream",
        complexity: "O(log(N)+M) with N the size of the stream and M the entries returned",
        summary: "Lists the entries of a stream between two ids.",
        args: "key:key start end [COUNT count:int]",
        handler: xrange,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "xrevrange",
        arity: -4,
        flags: "readonly",
        acl: "stream",
        keys: &[KeySpec::one("RO access", 1)],
        since: "5.0.0",
        group: "stream",
        complexity: "O(log(N)+M) with N the size of the stream and M the entries returned",
        summary: "Lists the entries of a stream between two ids, the last one first.",
        args: "key:key end start [COUNT count:int]",
        handler: xrevrange,
        ..CommandSpec::EMPTY
    },
];

fn xlen(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let len = ctx.read_as::<Stream>(args[1])?.map_or(0, Stream::len);
    out.int(len as i64);
    Ok(())
}

fn xrange(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    range(ctx, args, false, out)
}

fn xrevrange(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    range(ctx, args, true, out)
}

fn range(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    backwards: bool,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let (start, end) = if backwards { (args[3], args[2]) } else { (args[2], args[3]) };
    let (first, last) = (id::parse_start(start)?, id::parse_end(end)?);
    let (mut count, mut at) = (None, 4);
    while at < args.len() {
        if !args.is(at, "count") || at + 1 >= args.len() {
            return Err(errors::SYNTAX);
        }
        count = Some(usize::try_from(args.int(at + 1)?).unwrap_or(0));
        at += 2;
    }
    match ctx.read_as::<Stream>(args[1])? {
        None => out.array(0),
        Some(_) if count == Some(0) => out.null_array(),
        Some(stream) => {
            write_entries(stream.range(first, last, backwards), count.unwrap_or(usize::MAX), out);
        }
    }
    Ok(())
}

/// Writes up to `count` entries as an array.
pub(super) fn write_entries(entries: Entries<'_>, count: usize, out: &mut dyn ReplyWriter) {
    let array = out.begin_deferred(DeferredKind::Array);
    let mut written = 0;
    for entry in entries.take(count) {
        write_entry(out, &entry);
        written += 1;
    }
    out.end_deferred(array, written);
}
