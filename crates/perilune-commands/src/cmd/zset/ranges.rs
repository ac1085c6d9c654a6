//! Reading and storing ranges: `ZRANGE` with its predecessors, and `ZRANGESTORE`.

use super::bounds::{Bounds, By};
use super::{Layout, store};
use crate::args::Args;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::reply::bulk_value;
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::zset::Iter;
use perilune_keyspace::{EncodingLimits, ZSet};
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "zrange",
        arity: -4,
        flags: "readonly",
        acl: "sortedset",
        keys: &[KeySpec::one("RO access", 1)],
        since: "1.2.0",
        group: "sorted-set",
        complexity: "O(log(N)+M) with N the size of the sorted set and M the members returned",
        summary: "Lists members by rank, by score or by byte order.",
        args: "key:key start stop [sortby@6.2.0=(BYSCORE|BYLEX)] [REV@6.2.0] [LIMIT limit@6.2.0={offset:int count:int}] [WITHSCORES]",
        handler: zrange,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zrangebylex",
        arity: -4,
        flags: "readonly",
        acl: "sortedset",
        keys: &[KeySpec::one("RO access", 1)],
        since: "2.8.9",
        group: "sorted-set",
        complexity: "O(log(N)+M) with N the size of the sorted set and M the members returned",
        summary: "Lists the members that lie between two others in byte order.",
        args: "key:key min max [LIMIT limit={offset:int count:int}]",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `BYLEX` argument")),
        handler: zrangebylex,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zrangebyscore",
        arity: -4,
        flags: "readonly",
        acl: "sortedset",
        keys: &[KeySpec::one("RO access", 1)],
        since: "1.0.5",
        group: "sorted-set",
        complexity: "O(log(N)+M) with N the size of the sorted set and M the members returned",
        summary: "Lists the members whose scores lie between two bounds.",
        args: "key:key min:double max:double [WITHSCORES@2.0.0] [LIMIT limit={offset:int count:int}]",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `BYSCORE` argument")),
        handler: zrangebyscore,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zrangestore",
        arity: -5,
        flags: "write denyoom",
        acl: "sortedset",
        keys: &[KeySpec::one("OW update", 1), KeySpec::one("RO access", 2)],
        since: "6.2.0",
        group: "sorted-set",
        complexity: "O(log(N)+M) with N the size of the sorted set and M the members stored",
        summary: "Stores members chosen by rank, by score or by byte order.",
        args: "dst:key src:key#1 min max [sortby=(BYSCORE|BYLEX)] [REV] [LIMIT limit={offset:int count:int}]",
        handler: zrangestore,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zrevrange",
        arity: -4,
        flags: "readonly",
        acl: "sortedset",
        keys: &[KeySpec::one("RO access", 1)],
        since: "1.2.0",
        group: "sorted-set",
        complexity: "O(log(N)+M) with N the size of the sorted set and M the members returned",
        summary: "Lists members by rank, the highest score first.",
        args: "key:key start:int stop:int [WITHSCORES]",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` argument")),
        handler: zrevrange,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zrevrangebylex",
        arity: -4,
        flags: "readonly",
        acl: "sortedset",
        keys: &[KeySpec::one("RO access", 1)],
        since: "2.8.9",
        group: "sorted-set",
        complexity: "O(log(N)+M) with N the size of the sorted set and M the members returned",
        summary: "Lists the members that lie between two others, in backward byte order.",
        args: "key:key max min [LIMIT limit={offset:int count:int}]",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments")),
        handler: zrevrangebylex,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zrevrangebyscore",
        arity: -4,
        flags: "readonly",
        acl: "sortedset",
        keys: &[KeySpec::one("RO access", 1)],
        since: "2.2.0",
        group: "sorted-set",
        complexity: "O(log(N)+M) with N the size of the sorted set and M the members returned",
        summary: "Lists the members whose scores lie between two bounds, the highest first.",
        args: "key:key max:double min:double [WITHSCORES] [LIMIT limit={offset:int count:int}]",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments")),
        handler: zrevrangebyscore,
        ..CommandSpec::EMPTY
    },
];

/// What a command's name already says about its range.
#[derive(Clone, Copy, Default)]
struct Form {
    /// What the bounds are; otherwise options say it.
    by: Option<By>,
    /// Whether the order is descending; otherwise an option says it.
    reverse: Option<bool>,
}

/// A range of members in an order.
struct Query<'a> {
    bounds: Bounds<'a>,
    reverse: bool,
    with_scores: bool,
    offset: i64,
    limit: i64,
}

impl<'a> Query<'a> {
    /// Reads the bounds and options that follow the key at `key`.
    fn parse(args: Args<'a>, key: usize, form: Form, storing: bool) -> Result<Self, CommandError> {
        let Form { mut by, mut reverse } = form;
        let (mut with_scores, mut offset, mut limit) = (false, 0, -1);
        let mut at = key + 3;
        while at < args.len() {
            if !storing && args.is(at, "withscores") {
                with_scores = true;
            } else if args.is(at, "limit") && args.len() - at > 2 {
                (offset, limit) = (args.int(at + 1)?, args.int(at + 2)?);
                at += 2;
            } else if reverse.is_none() && args.is(at, "rev") {
                reverse = Some(true);
            } else if by.is_none() && args.is(at, "bylex") {
                by = Some(By::Lex);
            } else if by.is_none() && args.is(at, "byscore") {
                by = Some(By::Score);
            } else {
                return Err(errors::SYNTAX);
            }
            at += 1;
        }
        let (by, reverse) = (by.unwrap_or(By::Rank), reverse.unwrap_or(false));
        if limit != -1 && by == By::Rank {
            return Err(errors::RANGE_LIMIT_OF_RANKS);
        }
        if with_scores && by == By::Lex {
            return Err(errors::RANGE_SCORES_OF_NAMES);
        }
        let (first, second) = (args[key + 1], args[key + 2]);
        let swapped = reverse && by != By::Rank;
        let (min, max) = if swapped { (second, first) } else { (first, second) };
        let bounds = Bounds::parse(by, min, max)?;
        Ok(Query { bounds, reverse, with_scores, offset, limit })
    }

    /// The members of a set that are asked for.
    fn select<'z>(&self, zset: &'z ZSet) -> Iter<'z> {
        let reverse = self.reverse;
        let limit = usize::try_from(self.limit).ok();
        match (&self.bounds, usize::try_from(self.offset)) {
            (Bounds::Rank(start, stop), _) => zset.range_by_rank(*start, *stop, reverse),
            (_, Err(_)) => zset.range(0..0, reverse),
            (Bounds::Score(range), Ok(offset)) => {
                zset.range_by_score(range, reverse, offset, limit)
            }
            (Bounds::Lex(range), Ok(offset)) => zset.range_by_lex(range, reverse, offset, limit),
        }
    }

    /// The selected members as a new set. As in Redis, only the number of members of a range by
    /// rank is known early enough to choose the small encoding.
    fn copy(&self, zset: &ZSet, limits: &EncodingLimits) -> ZSet {
        let members = self.select(zset);
        let longest = if matches!(self.bounds, Bounds::Rank(..)) { 0 } else { usize::MAX };
        let mut copy = ZSet::with_hint(members.len(), longest, limits);
        let mut digits = itoa::Buffer::new();
        for pair in members {
            copy.add(pair.member.as_slice(&mut digits), pair.score, limits);
        }
        copy
    }
}

fn reply_range(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    form: Form,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let query = Query::parse(args, 1, form, false)?;
    let Some(zset) = ctx.read_as::<ZSet>(args[1])? else {
        out.array(0);
        return Ok(());
    };
    let members = query.select(zset);
    let layout = Layout::of(query.with_scores, out);
    layout.begin(members.len(), out);
    for pair in members {
        layout.member(pair.score, out, |out| bulk_value(out, pair.member));
    }
    Ok(())
}

fn zrangestore(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let query = Query::parse(args, 2, Form::default(), true)?;
    let limits = ctx.limits();
    let source = ctx.read_as::<ZSet>(args[2])?;
    let result = source.map_or_else(ZSet::new, |zset| query.copy(zset, &limits));
    store(ctx, args[1], result, "zrangestore", out);
    Ok(())
}

fn zrange(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    reply_range(ctx, args, Form::default(), out)
}

fn zrevrange(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    reply_range(ctx, args, Form { by: Some(By::Rank), reverse: Some(true) }, out)
}

fn zrangebyscore(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    reply_range(ctx, args, Form { by: Some(By::Score), reverse: Some(false) }, out)
}

fn zrevrangebyscore(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    reply_range(ctx, args, Form { by: Some(By::Score), reverse: Some(true) }, out)
}

fn zrangebylex(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    reply_range(ctx, args, Form { by: Some(By::Lex), reverse: Some(false) }, out)
}

fn zrevrangebylex(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    reply_range(ctx, args, Form { by: Some(By::Lex), reverse: Some(true) }, out)
}
