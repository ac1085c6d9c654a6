//! Looking at and changing the elements of a list, wherever they stand.

use super::ends::{positive, remove_if_empty};
use super::write_element;
use crate::args::Args;
use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::List;
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "lindex",
        arity: 3,
        flags: "readonly",
        acl: "list",
        keys: &[KeySpec::one("RO access", 1)],
        group: "list",
        complexity: "O(N) with N the distance to the nearer end",
        summary: "Reads the element of a list at an index.",
        args: "key:key index:int",
        handler: lindex,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "linsert",
        arity: 5,
        flags: "write denyoom",
        acl: "list",
        keys: &[KeySpec::one("RW insert", 1)],
        since: "2.2.0",
        group: "list",
        complexity: "O(N) with N the distance from the head to the pivot",
        summary: "Puts an element next to another one of a list.",
        args: "key:key where=(BEFORE|AFTER) pivot element",
        handler: linsert,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "llen",
        arity: 2,
        flags: "readonly fast",
        acl: "list",
        keys: &[KeySpec::one("RO", 1)],
        group: "list",
        complexity: "O(1)",
        summary: "Counts the elements of a list.",
        args: "key:key",
        handler: llen,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "lpos",
        arity: -3,
        flags: "readonly",
        acl: "list",
        keys: &[KeySpec::one("RO access", 1)],
        since: "6.0.6",
        group: "list",
        complexity: "O(N) with N the length of the list",
        summary: "Finds where an element stands in a list.",
        args: "key:key element [RANK rank:int] [COUNT num-matches:int] [MAXLEN len:int]",
        handler: lpos,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "lrange",
        arity: 4,
        flags: "readonly",
        acl: "list",
        keys: &[KeySpec::one("RO access", 1)],
        group: "list",
        complexity: "O(S+N) with S the distance to the first element and N the elements returned",
        summary: "Reads the elements of a list between two indexes.",
        args: "key:key start:int stop:int",
        handler: lrange,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "lrem",
        arity: 4,
        flags: "write",
        acl: "list",
        keys: &[KeySpec::one("RW delete", 1)],
        group: "list",
        complexity: "O(N+M) with N the length of the list and M the elements removed",
        summary: "Removes elements equal to a value from a list.",
        args: "key:key count:int element",
        handler: lrem,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "lset",
        arity: 4,
        flags: "write denyoom",
        acl: "list",
        keys: &[KeySpec::one("RW update", 1)],
        group: "list",
        complexity: "O(N) with N the distance to the nearer end",
        summary: "Replaces the element of a list at an index.",
        args: "key:key index:int element",
        handler: lset,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "ltrim",
        arity: 4,
        flags: "write",
        acl: "list",
        keys: &[KeySpec::one("RW delete", 1)],
        group: "list",
        complexity: "O(N) with N the number of elements removed",
        summary: "Keeps only the elements of a list between two indexes.",
        args: "key:key start:int stop:int",
        handler: ltrim,
        ..CommandSpec::EMPTY
    },
];

fn llen(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let len = ctx.read_as::<List>(args[1])?.map_or(0, List::len);
    out.int(len as i64);
    Ok(())
}

fn lindex(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    // The index of a list that does not exist is not even read.
    let Some(list) = ctx.read_as::<List>(args[1])? else {
        out.null();
        return Ok(());
    };
    let index = args.int(2)?;
    if list.get(index, |element| write_element(out, element)).is_none() {
        out.null();
    }
    Ok(())
}

fn lrange(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let (start, stop) = (args.int(2)?, args.int(3)?);
    let Some(list) = ctx.read_as::<List>(args[1])? else {
        out.array(0);
        return Ok(());
    };
    let (first, count) = list.clamp_range(start, stop);
    out.array(count);
    list.for_range(first, count, false, |element| write_element(out, element));
    Ok(())
}

fn lset(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let (key, limits) = (args[1], ctx.limits());
    let list = ctx.write_as::<List>(key)?.ok_or(errors::NO_SUCH_KEY)?;
    if !list.set(args.int(2)?, args[3], &limits) {
        return Err(errors::INDEX_OUT_OF_RANGE);
    }
    out.ok();
    ctx.modified(key, NotifyFlags::LIST, "lset");
    Ok(())
}

fn linsert(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let (key, limits) = (args[1], ctx.limits());
    let after = args.is(2, "after");
    if !after && !args.is(2, "before") {
        return Err(errors::SYNTAX);
    }
    let Some(list) = ctx.write_as::<List>(key)? else {
        out.int(0);
        return Ok(());
    };
    let (pivot, element) = (args[3], args[4]);
    let done = match after {
        true => list.insert_after(pivot, element, &limits),
        false => list.insert_before(pivot, element, &limits),
    };
    if done {
        out.int(list.len() as i64);
        ctx.modified(key, NotifyFlags::LIST, "linsert");
    } else {
        out.int(-1);
    }
    Ok(())
}

fn lrem(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let (key, count, limits) = (args[1], args.int(2)?, ctx.limits());
    let removed = match ctx.write_as::<List>(key)? {
        Some(list) => list.remove(count, args[3], &limits),
        None => 0,
    };
    out.int(removed as i64);
    if removed > 0 {
        ctx.touch(key);
        ctx.notify(NotifyFlags::LIST, "lrem", key);
        ctx.engine.dirty += removed as u64;
        remove_if_empty(ctx, key);
    }
    Ok(())
}

fn ltrim(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let (key, limits) = (args[1], ctx.limits());
    let (start, stop) = (args.int(2)?, args.int(3)?);
    if let Some(list) = ctx.write_as::<List>(key)? {
        let removed = list.trim(start, stop, &limits);
        ctx.notify(NotifyFlags::LIST, "ltrim", key);
        remove_if_empty(ctx, key);
        ctx.touch(key);
        ctx.engine.dirty += removed as u64;
    }
    out.ok();
    Ok(())
}

fn lpos(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let LposOptions { rank, count, compare_max } = LposOptions::parse(args)?;
    let found = match ctx.read_as::<List>(args[1])? {
        Some(list) => list.find(args[2], rank, count.unwrap_or(1), compare_max),
        None => Vec::new(),
    };
    match (count, found.first()) {
        (Some(_), _) => {
            out.array(found.len());
            found.iter().for_each(|index| out.int(*index as i64));
        }
        (None, Some(index)) => out.int(*index as i64),
        (None, None) => out.null(),
    }
    Ok(())
}

/// The options of `LPOS`.
struct LposOptions {
    rank: i64,
    count: Option<usize>,
    compare_max: usize,
}

impl LposOptions {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut options = LposOptions { rank: 1, count: None, compare_max: 0 };
        let mut at = 3;
        while at < args.len() {
            if at + 1 == args.len() {
                return Err(errors::SYNTAX);
            }
            if args.is(at, "rank") {
                options.rank =
                    args.int_in(at + 1, -i64::MAX..=i64::MAX, errors::LPOS_RANK_RANGE)?;
                if options.rank == 0 {
                    return Err(errors::LPOS_RANK_ZERO);
                }
            } else if args.is(at, "count") {
                options.count = Some(positive(args, at + 1, errors::LPOS_COUNT_NEGATIVE)?);
            } else if args.is(at, "maxlen") {
                options.compare_max = positive(args, at + 1, errors::LPOS_MAXLEN_NEGATIVE)?;
            } else {
                return Err(errors::SYNTAX);
            }
            at += 2;
        }
        Ok(options)
    }
}
