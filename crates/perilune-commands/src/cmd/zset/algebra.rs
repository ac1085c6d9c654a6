//! Union, intersection and difference of sorted sets and plain sets.
//!
//! Plain sets take part as if every member had the score 1. Results are collected as a vector and
//! sorted once, whether they are sent or stored.

use super::{Layout, store};
use crate::args::Args;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::{CommandSpec, KeySpec};
use ahash::{AHashMap, AHashSet};
use perilune_keyspace::zset::Scored;
use perilune_keyspace::{Bytes, Set, ValueRef, ZSet};
use perilune_resp::ReplyWriter;
use std::cmp::Ordering;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "zdiff",
        arity: -3,
        flags: "readonly",
        acl: "sortedset",
        keys: &[KeySpec::keynum("RO access", 1)],
        since: "6.2.0",
        group: "sorted-set",
        complexity: "O(L+(N-K)*log(N)) with L the members of all sets, N the size of the first and K of the result",
        summary: "Lists what the first sorted set has and the others have not.",
        args: "numkeys:int key:key... [WITHSCORES]",
        handler: zdiff,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zdiffstore",
        arity: -4,
        flags: "write denyoom",
        acl: "sortedset",
        keys: &[KeySpec::one("OW update", 1), KeySpec::keynum("RO access", 2)],
        since: "6.2.0",
        group: "sorted-set",
        complexity: "O(L+(N-K)*log(N)) with L the members of all sets, N the size of the first and K of the result",
        summary: "Stores what the first sorted set has and the others have not.",
        args: "destination:key numkeys:int key:key#1...",
        handler: zdiffstore,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zinter",
        arity: -3,
        flags: "readonly",
        acl: "sortedset",
        keys: &[KeySpec::keynum("RO access", 1)],
        since: "6.2.0",
        group: "sorted-set",
        complexity: "O(N*K+M*log(M)) with N the size of the smallest set, K the number of sets and M the size of the result",
        summary: "Lists what all sorted sets have in common, with combined scores.",
        args: "numkeys:int key:key... [WEIGHTS weight:int...] [AGGREGATE aggregate=(SUM|MIN|MAX)] [WITHSCORES]",
        handler: zinter,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zintercard",
        arity: -3,
        flags: "readonly",
        acl: "sortedset",
        keys: &[KeySpec::keynum("RO access", 1)],
        since: "7.0.0",
        group: "sorted-set",
        complexity: "O(N*K) with N the size of the smallest set and K the number of sets",
        summary: "Counts what all sorted sets have in common, up to a limit.",
        args: "numkeys:int key:key... [LIMIT limit:int]",
        handler: zintercard,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zinterstore",
        arity: -4,
        flags: "write denyoom",
        acl: "sortedset",
        keys: &[KeySpec::one("OW update", 1), KeySpec::keynum("RO access", 2)],
        since: "2.0.0",
        group: "sorted-set",
        complexity: "O(N*K+M*log(M)) with N the size of the smallest set, K the number of sets and M the size of the result",
        summary: "Stores what all sorted sets have in common, with combined scores.",
        args: "destination:key numkeys:int key:key#1... [WEIGHTS weight:int...] [AGGREGATE aggregate=(SUM|MIN|MAX)]",
        handler: zinterstore,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zunion",
        arity: -3,
        flags: "readonly",
        acl: "sortedset",
        keys: &[KeySpec::keynum("RO access", 1)],
        since: "6.2.0",
        group: "sorted-set",
        complexity: "O(N+M*log(M)) with N the members of all sets and M the size of the result",
        summary: "Lists what any of the sorted sets has, with combined scores.",
        args: "numkeys:int key:key... [WEIGHTS weight:int...] [AGGREGATE aggregate=(SUM|MIN|MAX)] [WITHSCORES]",
        handler: zunion,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zunionstore",
        arity: -4,
        flags: "write denyoom",
        acl: "sortedset",
        keys: &[KeySpec::one("OW update", 1), KeySpec::keynum("RO access", 2)],
        since: "2.0.0",
        group: "sorted-set",
        complexity: "O(N+M*log(M)) with N the members of all sets and M the size of the result",
        summary: "Stores what any of the sorted sets has, with combined scores.",
        args: "destination:key numkeys:int key:key#1... [WEIGHTS weight:int...] [AGGREGATE aggregate=(SUM|MIN|MAX)]",
        handler: zunionstore,
        ..CommandSpec::EMPTY
    },
];

/// Members with their scores.
type Pairs = Vec<(Bytes, f64)>;

/// What the command of a request does with its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
    /// Counts the intersection.
    Count,
}

/// How the scores of a member in several inputs become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn combine(self, score: &mut f64, other: f64) {
        match self {
            // Opposite infinities have no sum; by convention it is zero.
            Aggregate::Sum => *score = zero_if_nan(*score + other),
            Aggregate::Min if other < *score => *score = other,
            Aggregate::Max if other > *score => *score = other,
            Aggregate::Min | Aggregate::Max => {}
        }
    }
}

fn zero_if_nan(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// The value of an input key.
#[derive(Clone, Copy)]
enum Source<'c> {
    Missing,
    Plain(&'c Set),
    Scored(&'c ZSet),
}

impl<'c> Source<'c> {
    fn len(self) -> usize {
        match self {
            Source::Missing => 0,
            Source::Plain(set) => set.len(),
            Source::Scored(zset) => zset.len(),
        }
    }

    fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Source::Missing => None,
            Source::Plain(set) => set.contains(member).then_some(1.0),
            Source::Scored(zset) => zset.score(member),
        }
    }

    fn iter(self) -> impl Iterator<Item = Scored<'c>> {
        let (plain, scored) = match self {
            Source::Missing => (None, None),
            Source::Plain(set) => (Some(set), None),
            Source::Scored(zset) => (None, Some(zset)),
        };
        let plain = plain.into_iter().flat_map(|set| set.iter());
        let plain = plain.map(|member| Scored { member, score: 1.0 });
        plain.chain(scored.into_iter().flat_map(|zset| zset.iter()))
    }

    fn is_same(self, other: Source<'_>) -> bool {
        match (self, other) {
            (Source::Plain(a), Source::Plain(b)) => std::ptr::eq(a, b),
            (Source::Scored(a), Source::Scored(b)) => std::ptr::eq(a, b),
            _ => false,
        }
    }
}

/// An input with its weight.
#[derive(Clone, Copy)]
struct Input<'c> {
    source: Source<'c>,
    weight: f64,
}

/// A command of this file with its inputs looked up.
struct Request<'c> {
    inputs: Vec<Input<'c>>,
    aggregate: Aggregate,
    with_scores: bool,
    /// Where `ZINTERCARD` stops counting; zero is never.
    limit: usize,
}

/// The keys of a command whose number stands at `at`.
fn key_arguments<'a>(args: Args<'a>, at: usize) -> Result<&'a [&'a [u8]], CommandError> {
    let count = args.int(at)?;
    if count < 1 {
        return Err(errors::no_input_key(args.name()));
    }
    let count = usize::try_from(count).map_err(|_| errors::SYNTAX)?;
    args.from(at + 1).get(..count).ok_or(errors::SYNTAX)
}

impl<'c> Request<'c> {
    /// Reads the arguments from the number of keys at `at` on. The keys are looked up before the
    /// options are read, so a wrong type is reported first.
    fn parse(
        ctx: &'c mut Ctx<'_>,
        args: Args<'_>,
        at: usize,
        operation: Operation,
        storing: bool,
    ) -> Result<Self, CommandError> {
        let keys = key_arguments(args, at)?;
        let inputs = look_up(ctx, keys)?;
        let weighs = matches!(operation, Operation::Union | Operation::Intersection);
        let counts = operation == Operation::Count;
        let mut request =
            Request { inputs, aggregate: Aggregate::Sum, with_scores: false, limit: 0 };
        let mut at = at + 1 + keys.len();
        while at < args.len() {
            let values = args.len() - at - 1;
            if weighs && values >= keys.len() && args.is(at, "weights") {
                for input in &mut request.inputs {
                    at += 1;
                    input.weight = args.float(at).map_err(|_| errors::WEIGHT_NOT_A_FLOAT)?;
                }
            } else if weighs && values >= 1 && args.is(at, "aggregate") {
                at += 1;
                request.aggregate = match args[at] {
                    word if word.eq_ignore_ascii_case(b"sum") => Aggregate::Sum,
                    word if word.eq_ignore_ascii_case(b"min") => Aggregate::Min,
                    word if word.eq_ignore_ascii_case(b"max") => Aggregate::Max,
                    _ => return Err(errors::SYNTAX),
                };
            } else if !storing && !counts && args.is(at, "withscores") {
                request.with_scores = true;
            } else if counts && values >= 1 && args.is(at, "limit") {
                at += 1;
                let limit = args.int(at).ok().and_then(|limit| usize::try_from(limit).ok());
                request.limit = limit.ok_or(errors::LIMIT_NEGATIVE)?;
            } else {
                return Err(errors::SYNTAX);
            }
            at += 1;
        }
        if operation != Operation::Difference {
            // A sum of floats depends on the order, so the order is part of the behaviour.
            request.inputs.sort_by_key(|input| input.source.len());
        }
        Ok(request)
    }

    /// The result, ascending by score and then by name.
    fn run(&self, operation: Operation) -> Pairs {
        let mut result = match operation {
            Operation::Union => self.union(),
            Operation::Intersection | Operation::Count => self.intersection(),
            Operation::Difference => self.difference(),
        };
        result.sort_unstable_by(|a, b| {
            a.1.partial_cmp(&b.1).unwrap_or(Ordering::Equal).then_with(|| a.0.cmp(&b.0))
        });
        result
    }

    fn union(&self) -> Pairs {
        let largest = self.inputs.last().map_or(0, |input| input.source.len());
        let mut scores: AHashMap<Bytes, f64> = AHashMap::with_capacity(largest);
        let mut digits = itoa::Buffer::new();
        for input in &self.inputs {
            for pair in input.source.iter() {
                let name = pair.member.as_slice(&mut digits);
                let score = zero_if_nan(input.weight * pair.score);
                match scores.get_mut(name) {
                    Some(sum) => self.aggregate.combine(sum, score),
                    None => drop(scores.insert(Bytes::new(name), score)),
                }
            }
        }
        scores.into_iter().collect()
    }

    /// The score of a member of the smallest input in the intersection, if the other inputs have
    /// it, too.
    fn common_score(&self, name: &[u8], score: f64) -> Option<f64> {
        let (smallest, others) = self.inputs.split_first()?;
        let mut sum = zero_if_nan(smallest.weight * score);
        for other in others {
            let score = other.source.score(name)?;
            self.aggregate.combine(&mut sum, score * other.weight);
        }
        Some(sum)
    }

    fn intersection(&self) -> Pairs {
        let Some(smallest) = self.inputs.first() else { return Vec::new() };
        let (mut result, mut digits) = (Vec::new(), itoa::Buffer::new());
        for pair in smallest.source.iter() {
            let name = pair.member.as_slice(&mut digits);
            if let Some(score) = self.common_score(name, pair.score) {
                result.push((Bytes::new(name), score));
            }
        }
        result
    }

    fn intersection_len(&self) -> usize {
        let Some(smallest) = self.inputs.first() else { return 0 };
        let mut digits = itoa::Buffer::new();
        let mut is_common = |pair: &Scored<'_>| {
            self.common_score(pair.member.as_slice(&mut digits), pair.score).is_some()
        };
        let limit = if self.limit == 0 { usize::MAX } else { self.limit };
        smallest.source.iter().filter(|pair| is_common(pair)).take(limit).count()
    }

    fn difference(&self) -> Pairs {
        let Some((first, others)) = self.inputs.split_first() else { return Vec::new() };
        if first.source.len() == 0 || others.iter().any(|o| o.source.is_same(first.source)) {
            return Vec::new();
        }
        let mut others: Vec<Source<'_>> = others.iter().map(|input| input.source).collect();
        // The larger an input, the likelier it has a member.
        others.sort_by_key(|source| std::cmp::Reverse(source.len()));
        let lookups = first.source.len().saturating_mul(others.len());
        let gathered: usize = others.iter().map(|source| source.len()).sum();
        let mut digits = itoa::Buffer::new();
        let mut taken: AHashSet<Bytes> = AHashSet::new();
        let gather = lookups / 2 > gathered.saturating_add(first.source.len());
        if gather {
            // Many small inputs: one table of them all is asked once for each member.
            let members = others.iter().flat_map(|source| source.iter());
            taken.extend(members.map(|pair| Bytes::new(pair.member.as_slice(&mut digits))));
        }
        let mut result = Vec::new();
        for pair in first.source.iter() {
            let name = pair.member.as_slice(&mut digits);
            let elsewhere = match gather {
                true => taken.contains(name),
                false => others.iter().any(|source| source.score(name).is_some()),
            };
            if !elsewhere {
                result.push((Bytes::new(name), pair.score));
            }
        }
        result
    }
}

/// The values of `keys` in their order, each with the weight 1.
fn look_up<'c>(ctx: &'c mut Ctx<'_>, keys: &[&[u8]]) -> Result<Vec<Input<'c>>, CommandError> {
    for key in keys {
        match ctx.read(key) {
            None | Some(ValueRef::Set(_) | ValueRef::ZSet(_)) => {}
            Some(_) => return Err(errors::WRONG_TYPE),
        }
    }
    // Each access above may have removed an expired key; from here on nothing changes.
    let db = ctx.engine.keyspace.db(ctx.db_index());
    let source = |key: &&[u8]| match db.get(key).map(|entry| entry.value()) {
        Some(ValueRef::Set(set)) => Source::Plain(set),
        Some(ValueRef::ZSet(zset)) => Source::Scored(zset),
        _ => Source::Missing,
    };
    Ok(keys.iter().map(|key| Input { source: source(key), weight: 1.0 }).collect())
}

fn reply_result(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    operation: Operation,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let request = Request::parse(ctx, args, 1, operation, false)?;
    let result = request.run(operation);
    let layout = Layout::of(request.with_scores, out);
    layout.begin(result.len(), out);
    for (name, score) in &result {
        layout.member(*score, out, |out| out.bulk(name));
    }
    Ok(())
}

fn store_result(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    operation: Operation,
    event: &str,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let limits = ctx.limits();
    let result = Request::parse(ctx, args, 2, operation, true)?.run(operation);
    store(ctx, args[1], ZSet::from_sorted(&result, &limits), event, out);
    Ok(())
}

fn zintercard(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let request = Request::parse(ctx, args, 1, Operation::Count, false)?;
    out.int(request.intersection_len() as i64);
    Ok(())
}

fn zunion(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    reply_result(ctx, args, Operation::Union, out)
}

fn zunionstore(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    store_result(ctx, args, Operation::Union, "zunionstore", out)
}

fn zinter(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    reply_result(ctx, args, Operation::Intersection, out)
}

fn zinterstore(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    store_result(ctx, args, Operation::Intersection, "zinterstore", out)
}

fn zdiff(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    reply_result(ctx, args, Operation::Difference, out)
}

fn zdiffstore(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    store_result(ctx, args, Operation::Difference, "zdiffstore", out)
}
