//! Counting and removing the members between two bounds.

use super::bounds::{Bounds, By};
use crate::args::Args;
use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use crate::errors::CommandError;
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::ZSet;
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "zcount",
        arity: 4,
        flags: "readonly fast",
        acl: "sortedset",
        keys: &[KeySpec::one("RO access", 1)],
        since: "2.0.0",
        group: "sorted-set",
        complexity: "O(log(N)) with N the size of the sorted set",
        summary: "Counts the members whose scores lie between two bounds.",
        args: "key:key min:double max:double",
        handler: zcount,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zlexcount",
        arity: 4,
        flags: "readonly fast",
        acl: "sortedset",
        keys: &[KeySpec::one("RO access", 1)],
        since: "2.8.9",
        group: "sorted-set",
        complexity: "O(log(N)) with N the size of the sorted set",
        summary: "Counts the members that lie between two others in byte order.",
        args: "key:key min max",
        handler: zlexcount,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zremrangebylex",
        arity: 4,
        flags: "write",
        acl: "sortedset",
        keys: &[KeySpec::one("RW delete", 1)],
        since: "2.8.9",
        group: "sorted-set",
        complexity: "O(log(N)+M) with N the size of the sorted set and M the members removed",
        summary: "Removes the members that lie between two others in byte order.",
        args: "key:key min max",
        handler: zremrangebylex,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zremrangebyrank",
        arity: 4,
        flags: "write",
        acl: "sortedset",
        keys: &[KeySpec::one("RW delete", 1)],
        since: "2.0.0",
        group: "sorted-set",
        complexity: "O(log(N)+M) with N the size of the sorted set and M the members removed",
        summary: "Removes the members whose ranks lie between two bounds.",
        args: "key:key start:int stop:int",
        handler: zremrangebyrank,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zremrangebyscore",
        arity: 4,
        flags: "write",
        acl: "sortedset",
        keys: &[KeySpec::one("RW delete", 1)],
        since: "1.2.0",
        group: "sorted-set",
        complexity: "O(log(N)+M) with N the size of the sorted set and M the members removed",
        summary: "Removes the members whose scores lie between two bounds.",
        args: "key:key min:double max:double",
        handler: zremrangebyscore,
        ..CommandSpec::EMPTY
    },
];

fn count(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    by: By,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let bounds = Bounds::parse(by, args[2], args[3])?;
    let zset = ctx.read_as::<ZSet>(args[1])?;
    out.int(zset.map_or(0, |zset| bounds.ranks(zset).len()) as i64);
    Ok(())
}

fn remove(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    by: By,
    event: &str,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let key = args[1];
    let bounds = Bounds::parse(by, args[2], args[3])?;
    let Some(zset) = ctx.write_as::<ZSet>(key)? else {
        out.int(0);
        return Ok(());
    };
    let removed = zset.remove_range(bounds.ranks(zset));
    let emptied = zset.is_empty();
    if removed > 0 {
        ctx.modified_times(key, NotifyFlags::ZSET, event, removed as u64);
    }
    if emptied {
        ctx.remove_emptied(key);
    }
    out.int(removed as i64);
    Ok(())
}

fn zcount(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    count(ctx, args, By::Score, out)
}

fn zlexcount(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    count(ctx, args, By::Lex, out)
}

fn zremrangebyrank(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    remove(ctx, args, By::Rank, "zremrangebyrank", out)
}

fn zremrangebyscore(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    remove(ctx, args, By::Score, "zremrangebyscore", out)
}

fn zremrangebylex(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    remove(ctx, args, By::Lex, "zremrangebylex", out)
}
