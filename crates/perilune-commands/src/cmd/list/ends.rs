//! Pushing, popping and moving elements at the ends of lists.

use super::{end_at, pop_event, push_event, write_element};
use crate::args::Args;
use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::{Bytes, End, List};
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "lmove",
        arity: 5,
        flags: "write denyoom",
        acl: "list",
        keys: &[KeySpec::one("RW access delete", 1), KeySpec::one("RW insert", 2)],
        since: "6.2.0",
        group: "list",
        complexity: "O(1)",
        summary: "Moves an element between the ends of two lists.",
        args: "source:key destination:key#1 wherefrom=(LEFT|RIGHT) whereto=(LEFT|RIGHT)",
        handler: lmove,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "lmpop",
        arity: -4,
        flags: "write",
        acl: "list",
        keys: &[KeySpec::keynum("RW access delete", 1)],
        since: "7.0.0",
        group: "list",
        complexity: "O(N+M) with N the number of keys and M the elements returned",
        summary: "Pops elements off the first list that has any.",
        args: "numkeys:int key:key... where=(LEFT|RIGHT) [COUNT count:int]",
        handler: lmpop,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "lpop",
        arity: -2,
        flags: "write fast",
        acl: "list",
        keys: &[KeySpec::one("RW access delete", 1)],
        group: "list",
        complexity: "O(N) with N the number of elements returned",
        summary: "Pops elements off the head of a list.",
        args: "key:key [count:int@6.2.0]",
        handler: lpop,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "lpush",
        arity: -3,
        flags: "write denyoom fast",
        acl: "list",
        keys: &[KeySpec::one("RW insert", 1)],
        group: "list",
        complexity: "O(N) with N the number of elements",
        summary: "Puts elements at the head of a list.",
        args: "key:key element...",
        handler: lpush,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "lpushx",
        arity: -3,
        flags: "write denyoom fast",
        acl: "list",
        keys: &[KeySpec::one("RW insert", 1)],
        since: "2.2.0",
        group: "list",
        complexity: "O(N) with N the number of elements",
        summary: "Puts elements at the head of a list that exists.",
        args: "key:key element...",
        handler: lpushx,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "rpop",
        arity: -2,
        flags: "write fast",
        acl: "list",
        keys: &[KeySpec::one("RW access delete", 1)],
        group: "list",
        complexity: "O(N) with N the number of elements returned",
        summary: "Pops elements off the tail of a list.",
        args: "key:key [count:int@6.2.0]",
        handler: rpop,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "rpoplpush",
        arity: 3,
        flags: "write denyoom",
        acl: "list",
        keys: &[KeySpec::one("RW access delete", 1), KeySpec::one("RW insert", 2)],
        since: "1.2.0",
        group: "list",
        complexity: "O(1)",
        summary: "Moves the tail of a list to the head of another.",
        args: "source:key destination:key#1",
        deprecated: Some(("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments")),
        handler: rpoplpush,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "rpush",
        arity: -3,
        flags: "write denyoom fast",
        acl: "list",
        keys: &[KeySpec::one("RW insert", 1)],
        group: "list",
        complexity: "O(N) with N the number of elements",
        summary: "Puts elements at the tail of a list.",
        args: "key:key element...",
        handler: rpush,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "rpushx",
        arity: -3,
        flags: "write denyoom fast",
        acl: "list",
        keys: &[KeySpec::one("RW insert", 1)],
        since: "2.2.0",
        group: "list",
        complexity: "O(N) with N the number of elements",
        summary: "Puts elements at the tail of a list that exists.",
        args: "key:key element...",
        handler: rpushx,
        ..CommandSpec::EMPTY
    },
];

fn lpush(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    push(ctx, args, End::Head, out)
}

fn rpush(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    push(ctx, args, End::Tail, out)
}

fn lpushx(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    push_existing(ctx, args, End::Head, out)
}

fn rpushx(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    push_existing(ctx, args, End::Tail, out)
}

fn push_existing(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    end: End,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    if ctx.write_as::<List>(args[1])?.is_none() {
        out.int(0);
        return Ok(());
    }
    push(ctx, args, end, out)
}

fn push(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    end: End,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let (key, items, limits) = (args[1], args.from(2), ctx.limits());
    let list = ctx.write_or_create(key, List::new)?;
    list.push(end, items, &limits);
    out.int(list.len() as i64);
    ctx.modified(key, NotifyFlags::LIST, push_event(end));
    ctx.engine.dirty += items.len() as u64 - 1;
    Ok(())
}

fn lpop(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    pop(ctx, args, End::Head, out)
}

fn rpop(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    pop(ctx, args, End::Tail, out)
}

fn pop(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    end: End,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    if args.len() > 3 {
        return Err(errors::wrong_arity(args.name()));
    }
    let key = args[1];
    let count = match args.get(2) {
        Some(_) => Some(positive(args, 2, errors::NOT_POSITIVE)?),
        None => None,
    };
    let found = ctx.write_as::<List>(key)?.is_some();
    match count {
        None if found => pop_one(ctx, key, end, out),
        None => {
            out.null();
            Ok(())
        }
        Some(0) if found => {
            out.array(0);
            Ok(())
        }
        Some(count) if found => pop_many(ctx, key, end, count, out),
        Some(_) => {
            out.null_array();
            Ok(())
        }
    }
}

/// The number at `index`, zero or above; anything else is `error`.
pub(super) fn positive(
    args: Args<'_>,
    index: usize,
    error: CommandError,
) -> Result<usize, CommandError> {
    args.int(index).ok().and_then(|count| usize::try_from(count).ok()).ok_or(error)
}

/// Pops an element of a list that exists and replies with it.
pub(super) fn pop_one(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    end: End,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let limits = ctx.limits();
    let Some(list) = ctx.write_as::<List>(key)? else {
        out.null();
        return Ok(());
    };
    if list.pop_with(end, &limits, |element| write_element(out, element)).is_none() {
        out.null();
        return Ok(());
    }
    popped(ctx, key, end, 1);
    Ok(())
}

/// Pops up to `count` elements of a list that exists and replies with an array of them.
pub(super) fn pop_many(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    end: End,
    count: usize,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let limits = ctx.limits();
    let Some(list) = ctx.write_as::<List>(key)? else {
        out.null_array();
        return Ok(());
    };
    let count = count.min(list.len());
    out.array(count);
    let first = if end == End::Head { 0 } else { list.len() - 1 };
    list.for_range(first, count, end == End::Tail, |element| write_element(out, element));
    list.drop_end(end, count, &limits);
    popped(ctx, key, end, count);
    Ok(())
}

/// The command that pops from one end.
pub(super) fn pop_name(end: End) -> &'static [u8] {
    match end {
        End::Head => b"LPOP",
        End::Tail => b"RPOP",
    }
}

/// What follows a pop of `count` elements: the list goes when it is empty, and everybody hears.
fn popped(ctx: &mut Ctx<'_>, key: &[u8], end: End, count: usize) {
    ctx.notify(NotifyFlags::LIST, pop_event(end), key);
    remove_if_empty(ctx, key);
    ctx.touch(key);
    ctx.engine.dirty += count as u64;
}

/// Removes a list without elements, with its `del` event.
pub(super) fn remove_if_empty(ctx: &mut Ctx<'_>, key: &[u8]) {
    if let Ok(Some(list)) = ctx.write_as::<List>(key)
        && list.is_empty()
    {
        ctx.remove_emptied(key);
    }
}

fn lmove(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let (from, to) = (end_at(args, 3)?, end_at(args, 4)?);
    move_element(ctx, args, from, to, out)
}

fn rpoplpush(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    move_element(ctx, args, End::Tail, End::Head, out)
}

/// Moves an element from the list at argument 1 to the one at argument 2, which may be the same.
pub(super) fn move_element(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    from: End,
    to: End,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let (source, destination, limits) = (args[1], args[2], ctx.limits());
    if ctx.write_as::<List>(source)?.is_none() {
        out.null();
        return Ok(());
    }
    // The destination is judged before anything changes.
    ctx.write_as::<List>(destination)?;
    let within_one = source == destination;
    let element = ctx.write_as::<List>(source)?.and_then(|list| match within_one {
        true => list.rotate(from, to, &limits),
        false => list.pop(from, &limits),
    });
    let element: Bytes = element.ok_or(errors::NO_SUCH_KEY)?;
    if !within_one {
        ctx.write_or_create(destination, List::new)?.push(to, &[&element[..]], &limits);
    }
    ctx.touch(destination);
    ctx.notify(NotifyFlags::LIST, push_event(to), destination);
    out.bulk(&element);
    popped(ctx, source, from, 1);
    Ok(())
}

fn lmpop(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let MultiPop { keys, end, count } = MultiPop::parse(args, 1)?;
    match first_list(ctx, keys)? {
        Some(key) => pop_many_with_key(ctx, key, end, count, out),
        None => {
            out.null_array();
            Ok(())
        }
    }
}

/// The arguments of `LMPOP` and `BLMPOP`.
pub(super) struct MultiPop<'a> {
    pub(super) keys: &'a [&'a [u8]],
    pub(super) end: End,
    pub(super) count: usize,
}

impl<'a> MultiPop<'a> {
    /// Reads the arguments from the number of keys on, which stands at `at`.
    pub(super) fn parse(args: Args<'a>, at: usize) -> Result<Self, CommandError> {
        let error = errors::NUMKEYS_NOT_POSITIVE;
        let numkeys = positive(args, at, error.clone())?;
        if numkeys == 0 {
            return Err(error);
        }
        let keys = args.from(at + 1).get(..numkeys).ok_or(errors::SYNTAX)?;
        let end_index = at + 1 + numkeys;
        let end = end_at(args, end_index)?;
        let count = match args.from(end_index + 1) {
            [] => 1,
            [word, _] if word.eq_ignore_ascii_case(b"count") => {
                match positive(args, end_index + 2, errors::COUNT_NOT_POSITIVE)? {
                    0 => return Err(errors::COUNT_NOT_POSITIVE),
                    count => count,
                }
            }
            // Redis reads the number of a first `COUNT` before it stumbles over what follows.
            [word, _, ..] if word.eq_ignore_ascii_case(b"count") => {
                let count = positive(args, end_index + 2, errors::COUNT_NOT_POSITIVE)?;
                let error = if count == 0 { errors::COUNT_NOT_POSITIVE } else { errors::SYNTAX };
                return Err(error);
            }
            _ => return Err(errors::SYNTAX),
        };
        Ok(MultiPop { keys, end, count })
    }
}

/// The first of `keys` that exists; it is an error if that is no list.
pub(super) fn first_list<'a>(
    ctx: &mut Ctx<'_>,
    keys: &[&'a [u8]],
) -> Result<Option<&'a [u8]>, CommandError> {
    for key in keys {
        if ctx.write_as::<List>(key)?.is_some() {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// Pops up to `count` elements of a list that exists and replies with its name and an array.
pub(super) fn pop_many_with_key(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    end: End,
    count: usize,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let len = ctx.write_as::<List>(key)?.map_or(0, |list| list.len());
    out.array(2);
    out.bulk(key);
    pop_many(ctx, key, end, count, out)?;
    let mut digits = itoa::Buffer::new();
    ctx.propagate_as(&[pop_name(end), key, digits.format(count.min(len)).as_bytes()]);
    Ok(())
}
