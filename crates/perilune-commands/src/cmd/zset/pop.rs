//! Taking members from either end of the first of several sorted sets, with and without waiting.

use super::Layout;
use crate::args::Args;
use crate::blocking::WaitKind;
use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::{Bytes, ZSet};
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "bzmpop",
        arity: -5,
        flags: "write blocking",
        acl: "sortedset",
        keys: &[KeySpec::keynum("RW access delete", 2)],
        since: "7.0.0",
        group: "sorted-set",
        complexity: "O(K+M*log(N)) with K the number of keys, M the members popped and N the size of the set",
        summary: "Pops the lowest or highest members of the first sorted set that has any, waiting for one to arrive.",
        args: "timeout:double numkeys:int key:key... where=(MIN|MAX) [COUNT count:int]",
        handler: bzmpop,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "bzpopmax",
        arity: -3,
        flags: "write blocking fast",
        acl: "sortedset",
        keys: &[KeySpec::range("RW access delete", 1, -2, 1, 0)],
        since: "5.0.0",
        group: "sorted-set",
        complexity: "O(log(N)) with N the size of the sorted set",
        summary: "Pops the highest member of the first sorted set that has one, waiting for one to arrive.",
        args: "key:key... timeout:double",
        handler: bzpopmax,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "bzpopmin",
        arity: -3,
        flags: "write blocking fast",
        acl: "sortedset",
        keys: &[KeySpec::range("RW access delete", 1, -2, 1, 0)],
        since: "5.0.0",
        group: "sorted-set",
        complexity: "O(log(N)) with N the size of the sorted set",
        summary: "Pops the lowest member of the first sorted set that has one, waiting for one to arrive.",
        args: "key:key... timeout:double",
        handler: bzpopmin,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zmpop",
        arity: -4,
        flags: "write",
        acl: "sortedset",
        keys: &[KeySpec::keynum("RW access delete", 1)],
        since: "7.0.0",
        group: "sorted-set",
        complexity: "O(K+M*log(N)) with K the number of keys, M the members popped and N the size of the set",
        summary: "Pops the lowest or highest members of the first sorted set that has any.",
        args: "numkeys:int key:key... where=(MIN|MAX) [COUNT count:int]",
        handler: zmpop,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zpopmax",
        arity: -2,
        flags: "write fast",
        acl: "sortedset",
        keys: &[KeySpec::one("RW access delete", 1)],
        since: "5.0.0",
        group: "sorted-set",
        complexity: "O(M*log(N)) with N the size of the sorted set and M the members popped",
        summary: "Pops the highest members of a sorted set.",
        args: "key:key [count:int]",
        handler: zpopmax,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zpopmin",
        arity: -2,
        flags: "write fast",
        acl: "sortedset",
        keys: &[KeySpec::one("RW access delete", 1)],
        since: "5.0.0",
        group: "sorted-set",
        complexity: "O(M*log(N)) with N the size of the sorted set and M the members popped",
        summary: "Pops the lowest members of a sorted set.",
        args: "key:key [count:int]",
        handler: zpopmin,
        ..CommandSpec::EMPTY
    },
];

/// Which end to take from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// The lowest score.
    Min,
    /// The highest score.
    Max,
}

impl Side {
    fn event(self) -> &'static str {
        match self {
            Side::Min => "zpopmin",
            Side::Max => "zpopmax",
        }
    }

    /// The command that takes from this end.
    fn command(self) -> &'static [u8] {
        match self {
            Side::Min => b"ZPOPMIN",
            Side::Max => b"ZPOPMAX",
        }
    }

    fn pop(self, zset: &mut ZSet) -> Option<(Bytes, f64)> {
        match self {
            Side::Min => zset.pop_min(),
            Side::Max => zset.pop_max(),
        }
    }
}

/// The first of `keys` that exists. It must be a sorted set; what comes after it may be anything.
fn first_zset<'k>(ctx: &mut Ctx<'_>, keys: &[&'k [u8]]) -> Result<Option<&'k [u8]>, CommandError> {
    for key in keys {
        if ctx.write_as::<ZSet>(key)?.is_some() {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// Takes up to `count` members, removing the key with the last one.
fn take(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    side: Side,
    count: usize,
) -> Result<Vec<(Bytes, f64)>, CommandError> {
    let Some(zset) = ctx.write_as::<ZSet>(key)? else { return Ok(Vec::new()) };
    let count = count.min(zset.len());
    let mut taken = Vec::with_capacity(count);
    taken.extend((0..count).map_while(|_| side.pop(zset)));
    let emptied = zset.is_empty();
    if !taken.is_empty() {
        ctx.modified_times(key, NotifyFlags::ZSET, side.event(), taken.len() as u64);
    }
    if emptied {
        ctx.remove_emptied(key);
    }
    Ok(taken)
}

fn write_taken(layout: Layout, taken: &[(Bytes, f64)], out: &mut dyn ReplyWriter) {
    for (name, score) in taken {
        layout.member(*score, out, |out| out.bulk(name));
    }
}

fn zpopmin(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    pop_one_key(ctx, args, Side::Min, out)
}

fn zpopmax(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    pop_one_key(ctx, args, Side::Max, out)
}

fn pop_one_key(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    side: Side,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    // Without a count even RESP3 gets one flat pair.
    let (count, layout) = match args.len() {
        2 => (1, Layout::Flat),
        3 => {
            let count = args.int(2).ok().and_then(|count| usize::try_from(count).ok());
            (count.ok_or(errors::NOT_POSITIVE)?, Layout::of(true, out))
        }
        _ => return Err(errors::SYNTAX),
    };
    let taken = take(ctx, args[1], side, count)?;
    layout.begin(taken.len(), out);
    write_taken(layout, &taken, out);
    Ok(())
}

/// The arguments of `ZMPOP` and `BZMPOP`.
struct MultiPop<'a> {
    keys: &'a [&'a [u8]],
    side: Side,
    count: usize,
}

impl<'a> MultiPop<'a> {
    /// Reads them, from the number of keys at `at` on.
    fn parse(args: Args<'a>, at: usize) -> Result<Self, CommandError> {
        let positive = |index, error: CommandError| {
            let number = args.int(index).ok().filter(|number| *number > 0);
            number.and_then(|number| usize::try_from(number).ok()).ok_or(error)
        };
        let numkeys = positive(at, errors::NUMKEYS_NOT_POSITIVE)?;
        let where_at = numkeys.checked_add(at + 1).ok_or(errors::SYNTAX)?;
        let side = if args.is(where_at, "min") {
            Side::Min
        } else if args.is(where_at, "max") {
            Side::Max
        } else {
            return Err(errors::SYNTAX);
        };
        let mut count = None;
        let mut option = where_at + 1;
        while option < args.len() {
            if count.is_some() || !args.is(option, "count") || option + 1 == args.len() {
                return Err(errors::SYNTAX);
            }
            count = Some(positive(option + 1, errors::COUNT_NOT_POSITIVE)?);
            option += 2;
        }
        Ok(MultiPop { keys: &args.all()[at + 1..where_at], side, count: count.unwrap_or(1) })
    }

    /// Takes from `key` and replies with it.
    fn reply(
        &self,
        ctx: &mut Ctx<'_>,
        key: &[u8],
        out: &mut dyn ReplyWriter,
    ) -> Result<(), CommandError> {
        let taken = take(ctx, key, self.side, self.count)?;
        out.array(2);
        out.bulk(key);
        Layout::Pairs.begin(taken.len(), out);
        write_taken(Layout::Pairs, &taken, out);
        let mut digits = itoa::Buffer::new();
        ctx.propagate_as(&[self.side.command(), key, digits.format(taken.len()).as_bytes()]);
        Ok(())
    }
}

fn zmpop(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let request = MultiPop::parse(args, 1)?;
    match first_zset(ctx, request.keys)? {
        Some(key) => request.reply(ctx, key, out),
        None => {
            out.null_array();
            Ok(())
        }
    }
}

fn bzmpop(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let request = MultiPop::parse(args, 2)?;
    let timeout_ms = args.timeout_ms(1, ctx.now_ms())?;
    match first_zset(ctx, request.keys)? {
        Some(key) => request.reply(ctx, key, out),
        None => ctx.wait_or_null(WaitKind::SortedSet, request.keys, timeout_ms, args, out),
    }
}

fn bzpopmin(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    pop_or_wait(ctx, args, Side::Min, out)
}

fn bzpopmax(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    pop_or_wait(ctx, args, Side::Max, out)
}

fn pop_or_wait(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    side: Side,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let last = args.len() - 1;
    let timeout_ms = args.timeout_ms(last, ctx.now_ms())?;
    let keys = &args.all()[1..last];
    let Some(key) = first_zset(ctx, keys)? else {
        return ctx.wait_or_null(WaitKind::SortedSet, keys, timeout_ms, args, out);
    };
    let taken = take(ctx, key, side, 1)?;
    out.array(1 + 2 * taken.len());
    out.bulk(key);
    write_taken(Layout::Flat, &taken, out);
    ctx.propagate_as(&[side.command(), key]);
    Ok(())
}
