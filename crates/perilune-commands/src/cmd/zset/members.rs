//! Commands on single members: adding, removing, scores and ranks.

use crate::args::Args;
use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::zset::ZAdded;
use perilune_keyspace::{EncodingLimits, ZSet};
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "zadd",
        arity: -4,
        flags: "write denyoom fast",
        acl: "sortedset",
        keys: &[KeySpec::one("RW update", 1)],
        since: "1.2.0",
        group: "sorted-set",
        complexity: "O(log(N)) for each member, with N the size of the sorted set",
        summary: "Puts members into a sorted set or changes their scores.",
        args: "key:key [condition@3.0.2=(NX|XX)] [comparison@6.2.0=(GT|LT)] [change:'CH'@3.0.2] [increment:'INCR'@3.0.2] data={score:double member}...",
        handler: zadd,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zcard",
        arity: 2,
        flags: "readonly fast",
        acl: "sortedset",
        keys: &[KeySpec::one("RO", 1)],
        since: "1.2.0",
        group: "sorted-set",
        complexity: "O(1)",
        summary: "Counts the members of a sorted set.",
        args: "key:key",
        handler: zcard,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zincrby",
        arity: 4,
        flags: "write denyoom fast",
        acl: "sortedset",
        keys: &[KeySpec::one("RW access update", 1)],
        since: "1.2.0",
        group: "sorted-set",
        complexity: "O(log(N)) with N the size of the sorted set",
        summary: "Raises the score of a member, adding it if it is missing.",
        args: "key:key increment:int member",
        handler: zincrby,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zmscore",
        arity: -3,
        flags: "readonly fast",
        acl: "sortedset",
        keys: &[KeySpec::one("RO access", 1)],
        since: "6.2.0",
        group: "sorted-set",
        complexity: "O(N) with N the number of members",
        summary: "Reads the scores of several members.",
        args: "key:key member...",
        handler: zmscore,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zrank",
        arity: -3,
        flags: "readonly fast",
        acl: "sortedset",
        keys: &[KeySpec::one("RO access", 1)],
        since: "2.0.0",
        group: "sorted-set",
        complexity: "O(log(N)) with N the size of the sorted set",
        summary: "Tells the rank of a member, counted from the lowest score.",
        args: "key:key member [WITHSCORE]",
        handler: zrank,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zrem",
        arity: -3,
        flags: "write fast",
        acl: "sortedset",
        keys: &[KeySpec::one("RW delete", 1)],
        since: "1.2.0",
        group: "sorted-set",
        complexity: "O(M*log(N)) with N the size of the sorted set and M the members removed",
        summary: "Takes members out of a sorted set.",
        args: "key:key member...",
        handler: zrem,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zrevrank",
        arity: -3,
        flags: "readonly fast",
        acl: "sortedset",
        keys: &[KeySpec::one("RO access", 1)],
        since: "2.0.0",
        group: "sorted-set",
        complexity: "O(log(N)) with N the size of the sorted set",
        summary: "Tells the rank of a member, counted from the highest score.",
        args: "key:key member [WITHSCORE]",
        handler: zrevrank,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zscore",
        arity: 3,
        flags: "readonly fast",
        acl: "sortedset",
        keys: &[KeySpec::one("RO access", 1)],
        since: "1.2.0",
        group: "sorted-set",
        complexity: "O(1)",
        summary: "Reads the score of a member.",
        args: "key:key member",
        handler: zscore,
        ..CommandSpec::EMPTY
    },
];

bitflags::bitflags! {
    /// The options of `ZADD`.
    #[derive(Clone, Copy)]
    struct AddOptions: u8 {
        /// Only new members.
        const NX = 1;
        /// Only members that are there.
        const XX = 1 << 1;
        /// Only to higher scores.
        const GT = 1 << 2;
        /// Only to lower scores.
        const LT = 1 << 3;
        /// Reply with all changes, not only new members.
        const CH = 1 << 4;
        /// Add to the score instead of setting it.
        const INCR = 1 << 5;
    }
}

impl AddOptions {
    /// The option of this name.
    fn named(word: &[u8]) -> Option<AddOptions> {
        const NAMES: [(&str, AddOptions); 6] = [
            ("nx", AddOptions::NX),
            ("xx", AddOptions::XX),
            ("gt", AddOptions::GT),
            ("lt", AddOptions::LT),
            ("ch", AddOptions::CH),
            ("incr", AddOptions::INCR),
        ];
        let found = NAMES.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, option)| *option)
    }

    /// Refuses options that contradict each other.
    fn check(self, pairs: usize) -> Result<(), CommandError> {
        if self.contains(AddOptions::NX | AddOptions::XX) {
            return Err(errors::ZADD_XX_AND_NX);
        }
        let exclusive = self & (AddOptions::GT | AddOptions::LT | AddOptions::NX);
        if exclusive.bits().count_ones() > 1 {
            return Err(errors::ZADD_GT_LT_AND_NX);
        }
        if self.contains(AddOptions::INCR) && pairs > 1 {
            return Err(errors::ZADD_INCR_PAIRS);
        }
        Ok(())
    }

    /// Gives `member` a score if these options allow it: what that did and the new score, or
    /// nothing if they do not.
    fn apply(
        self,
        zset: &mut ZSet,
        member: &[u8],
        score: f64,
        limits: &EncodingLimits,
    ) -> Result<Option<(ZAdded, f64)>, CommandError> {
        if self.difference(AddOptions::CH).is_empty() {
            return Ok(Some((zset.add(member, score, limits), score)));
        }
        let mut score = score;
        match zset.score(member) {
            None if self.contains(AddOptions::XX) => return Ok(None),
            None => {}
            Some(_) if self.contains(AddOptions::NX) => return Ok(None),
            Some(current) => {
                if self.contains(AddOptions::INCR) {
                    score += current;
                    if score.is_nan() {
                        return Err(errors::SCORE_NOT_A_NUMBER);
                    }
                }
                let too_high = self.contains(AddOptions::LT) && score >= current;
                let too_low = self.contains(AddOptions::GT) && score <= current;
                if too_high || too_low {
                    return Ok(None);
                }
            }
        }
        Ok(Some((zset.add(member, score, limits), score)))
    }
}

/// Adds members with scores; `GEOADD` ends up here, too.
pub(in crate::cmd) fn zadd(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    add_members(ctx, args, AddOptions::empty(), out)
}

fn zincrby(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    add_members(ctx, args, AddOptions::INCR, out)
}

/// What adding several members did.
#[derive(Default)]
struct AddCounts {
    added: u64,
    updated: u64,
    /// Score of the last member that the options allowed to change.
    score: Option<f64>,
}

fn add_members(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    options: AddOptions,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let (key, mut options, mut first) = (args[1], options, 2);
    while let Some(option) = args.get(first).and_then(AddOptions::named) {
        options |= option;
        first += 1;
    }
    let pairs = args.from(first);
    if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
        return Err(errors::SYNTAX);
    }
    options.check(pairs.len() / 2)?;
    // All scores are read before any is used: the command happens whole or not at all.
    let scores = (first..args.len()).step_by(2).map(|at| args.float(at));
    let scores: Vec<f64> = scores.collect::<Result<_, _>>()?;
    let mut counts = AddCounts::default();
    let there = ctx.write_as::<ZSet>(key)?.is_some();
    if there || !options.contains(AddOptions::XX) {
        let limits = ctx.limits();
        let fresh = || ZSet::with_hint(scores.len(), pairs[1].len(), &limits);
        let zset = ctx.write_or_create(key, fresh)?;
        zset.reserve(scores.len(), &limits);
        for (pair, score) in pairs.chunks_exact(2).zip(scores) {
            let Some((done, score)) = options.apply(zset, pair[1], score, &limits)? else {
                continue;
            };
            counts.added += u64::from(done == ZAdded::Added);
            counts.updated += u64::from(done == ZAdded::Updated);
            counts.score = Some(score);
        }
    }
    let changes = counts.added + counts.updated;
    let incr = options.contains(AddOptions::INCR);
    if changes > 0 {
        let event = if incr { "zincr" } else { "zadd" };
        ctx.modified_times(key, NotifyFlags::ZSET, event, changes);
    }
    match counts.score {
        Some(score) if incr => out.double(score),
        None if incr => out.null(),
        _ if options.contains(AddOptions::CH) => out.int(changes as i64),
        _ => out.int(counts.added as i64),
    }
    Ok(())
}

fn zrem(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let key = args[1];
    let Some(zset) = ctx.write_as::<ZSet>(key)? else {
        out.int(0);
        return Ok(());
    };
    let members = args.from(2).iter();
    let removed = members.filter(|member| zset.remove(member).is_some()).count();
    let emptied = zset.is_empty();
    if removed > 0 {
        ctx.modified_times(key, NotifyFlags::ZSET, "zrem", removed as u64);
    }
    if emptied {
        ctx.remove_emptied(key);
    }
    out.int(removed as i64);
    Ok(())
}

fn zcard(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let len = ctx.read_as::<ZSet>(args[1])?.map_or(0, ZSet::len);
    out.int(len as i64);
    Ok(())
}

fn score_or_null(out: &mut dyn ReplyWriter, score: Option<f64>) {
    match score {
        Some(score) => out.double(score),
        None => out.null(),
    }
}

fn zscore(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let zset = ctx.read_as::<ZSet>(args[1])?;
    score_or_null(out, zset.and_then(|zset| zset.score(args[2])));
    Ok(())
}

fn zmscore(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let zset = ctx.read_as::<ZSet>(args[1])?;
    let members = args.from(2);
    out.array(members.len());
    for member in members {
        score_or_null(out, zset.and_then(|zset| zset.score(member)));
    }
    Ok(())
}

fn zrank(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    rank(ctx, args, false, out)
}

fn zrevrank(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    rank(ctx, args, true, out)
}

fn rank(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    reverse: bool,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    if args.len() > 4 {
        return Err(errors::wrong_arity(args.name()));
    }
    let with_score = args.len() == 4;
    if with_score && !args.is(3, "withscore") {
        return Err(errors::SYNTAX);
    }
    let zset = ctx.read_as::<ZSet>(args[1])?;
    let found = zset.and_then(|zset| Some((zset, zset.rank(args[2], reverse)?)));
    match found {
        None if with_score => out.null_array(),
        None => out.null(),
        Some((_, rank)) if !with_score => out.int(rank as i64),
        Some((zset, rank)) => {
            out.array(2);
            out.int(rank as i64);
            score_or_null(out, zset.score(args[2]));
        }
    }
    Ok(())
}
