//! What several sets have in common, together, or one alone.
//!
//! An intersection walks the smallest set and asks the others. A difference does that with the
//! first set, or copies it and takes the members of the others away, whichever promises less work.
//! A union, and any result that is stored, is built as a set of its own, and ends in the encoding
//! that adding its members in that order leads to; a stored intersection becomes an intset again
//! where it can.

use crate::args::Args;
use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::reply::bulk_value;
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::{EncodingLimits, LpValue, Set, SetEncoding, ValueType};
use perilune_resp::{DeferredKind, ReplyWriter};
use std::cmp::Reverse;
use std::ops::ControlFlow;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "sdiff",
        arity: -2,
        flags: "readonly",
        acl: "set",
        keys: &[KeySpec::range("RO access", 1, -1, 1, 0)],
        group: "set",
        complexity: "O(N) with N the members of all sets",
        summary: "Lists what the first set has and the others have not.",
        args: "key:key...",
        tips: &["nondeterministic_output_order"],
        handler: sdiff,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "sdiffstore",
        arity: -3,
        flags: "write denyoom",
        acl: "set",
        keys: &[KeySpec::one("OW update", 1), KeySpec::range("RO access", 2, -1, 1, 0)],
        group: "set",
        complexity: "O(N) with N the members of all sets",
        summary: "Stores what the first set has and the others have not.",
        args: "destination:key key:key#1...",
        handler: sdiffstore,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "sinter",
        arity: -2,
        flags: "readonly",
        acl: "set",
        keys: &[KeySpec::range("RO access", 1, -1, 1, 0)],
        group: "set",
        complexity: "O(N*M) with N the size of the smallest set and M the number of sets",
        summary: "Lists what all sets have in common.",
        args: "key:key...",
        tips: &["nondeterministic_output_order"],
        handler: sinter,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "sintercard",
        arity: -3,
        flags: "readonly",
        acl: "set",
        keys: &[KeySpec::keynum("RO access", 1)],
        since: "7.0.0",
        group: "set",
        complexity: "O(N*M) with N the size of the smallest set and M the number of sets",
        summary: "Counts what all sets have in common, up to a limit.",
        args: "numkeys:int key:key... [LIMIT limit:int]",
        handler: sintercard,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "sinterstore",
        arity: -3,
        flags: "write denyoom",
        acl: "set",
        keys: &[KeySpec::one("RW update", 1), KeySpec::range("RO access", 2, -1, 1, 0)],
        group: "set",
        complexity: "O(N*M) with N the size of the smallest set and M the number of sets",
        summary: "Stores what all sets have in common.",
        args: "destination:key key:key#1...",
        handler: sinterstore,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "sunion",
        arity: -2,
        flags: "readonly",
        acl: "set",
        keys: &[KeySpec::range("RO access", 1, -1, 1, 0)],
        group: "set",
        complexity: "O(N) with N the members of all sets",
        summary: "Lists what any of the sets has.",
        args: "key:key...",
        tips: &["nondeterministic_output_order"],
        handler: sunion,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "sunionstore",
        arity: -3,
        flags: "write denyoom",
        acl: "set",
        keys: &[KeySpec::one("OW update", 1), KeySpec::range("RO access", 2, -1, 1, 0)],
        group: "set",
        complexity: "O(N) with N the members of all sets",
        summary: "Stores what any of the sets has.",
        args: "destination:key key:key#1...",
        handler: sunionstore,
        ..CommandSpec::EMPTY
    },
];

fn sinter(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let sets = look_up(ctx, args.from(1))?;
    let at = out.begin_deferred(DeferredKind::Set);
    let mut len = 0;
    intersect(sets, |member| {
        bulk_value(out, member);
        len += 1;
        ControlFlow::Continue(())
    });
    out.end_deferred(at, len);
    Ok(())
}

fn sintercard(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let keys = args.int_in(1, 1..=i64::MAX, errors::NUMKEYS_NOT_POSITIVE);
    let keys = keys.map_err(|_| errors::NUMKEYS_NOT_POSITIVE)?;
    let given = args.from(2);
    let keys = usize::try_from(keys).ok().filter(|keys| *keys <= given.len());
    let (keys, _) = given.split_at(keys.ok_or(errors::NUMKEYS_TOO_LARGE)?);
    let mut limit = 0;
    for at in (2 + keys.len()..args.len()).step_by(2) {
        if !args.is(at, "limit") || at + 1 == args.len() {
            return Err(errors::SYNTAX);
        }
        limit = args.int(at + 1).unwrap_or(-1);
        if limit < 0 {
            return Err(errors::LIMIT_NEGATIVE);
        }
    }
    let mut found = 0;
    intersect(look_up(ctx, keys)?, |_| {
        found += 1;
        if found == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    out.int(found);
    Ok(())
}

fn sinterstore(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let limits = ctx.limits();
    let result = intersection(look_up(ctx, args.from(2))?, &limits);
    store(ctx, args[1], result, "sinterstore", out);
    Ok(())
}

fn sunion(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let limits = ctx.limits();
    let result = union(&look_up(ctx, args.from(1))?, &limits);
    reply(ctx, result, out);
    Ok(())
}

fn sunionstore(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let limits = ctx.limits();
    let result = union(&look_up(ctx, args.from(2))?, &limits);
    store(ctx, args[1], result, "sunionstore", out);
    Ok(())
}

fn sdiff(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let limits = ctx.limits();
    let result = difference(&look_up(ctx, args.from(1))?, &limits);
    reply(ctx, result, out);
    Ok(())
}

fn sdiffstore(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let limits = ctx.limits();
    let result = difference(&look_up(ctx, args.from(2))?, &limits);
    store(ctx, args[1], result, "sdiffstore", out);
    Ok(())
}

/// The sets of `keys` in their order, `None` where there is no key.
fn look_up<'c>(ctx: &'c mut Ctx<'_>, keys: &[&[u8]]) -> Result<Vec<Option<&'c Set>>, CommandError> {
    for key in keys {
        ctx.read_as::<Set>(key)?;
    }
    // Each access above may have removed an expired key; from here on nothing changes.
    let db = ctx.engine.keyspace.db(ctx.db_index());
    Ok(keys.iter().map(|key| Set::of(db.get(key)?.value())).collect())
}

/// Hands the members that are in all sets to `visit` until it breaks.
fn intersect<'s>(
    sets: Vec<Option<&'s Set>>,
    mut visit: impl FnMut(LpValue<'s>) -> ControlFlow<()>,
) {
    let Some(mut sets) = sets.into_iter().collect::<Option<Vec<&Set>>>() else { return };
    sets.sort_by_key(|set| set.len());
    let Some((smallest, others)) = sets.split_first() else { return };
    let in_all = |member: &LpValue<'_>| {
        others.iter().all(|set| std::ptr::eq(*set, *smallest) || set.contains_value(*member))
    };
    for member in smallest.iter().filter(in_all) {
        if visit(member).is_break() {
            return;
        }
    }
}

/// The members that are in all sets, as a set to store.
fn intersection(sets: Vec<Option<&Set>>, limits: &EncodingLimits) -> Set {
    let smallest = sets.iter().flatten().min_by_key(|set| set.len());
    let mut result = Set::new(match smallest.map(|set| set.kind()) {
        Some(SetEncoding::Intset) => SetEncoding::Intset,
        _ => SetEncoding::Listpack,
    });
    intersect(sets, |member| {
        result.add_value(member, limits);
        ControlFlow::Continue(())
    });
    result.compact_to_intset(limits);
    result
}

/// The members of any of the sets.
fn union(sets: &[Option<&Set>], limits: &EncodingLimits) -> Set {
    let mut result = Set::default();
    for member in sets.iter().flatten().flat_map(|set| set.iter()) {
        result.add_value(member, limits);
    }
    result
}

/// The members of the first set that are in none of the others.
fn difference(sets: &[Option<&Set>], limits: &EncodingLimits) -> Set {
    let mut result = Set::default();
    let Some((Some(first), others)) = sets.split_first() else { return result };
    let mut others: Vec<&Set> = others.iter().copied().flatten().collect();
    if others.iter().any(|set| std::ptr::eq(*set, *first)) {
        return result;
    }
    let asked = first.len().saturating_mul(others.len() + 1);
    let walked = first.len() + others.iter().map(|set| set.len()).sum::<usize>();
    // Asking counts half: it ends with the first set that has the member.
    if asked / 2 <= walked {
        // A larger set is likelier to have it.
        others.sort_by_key(|set| Reverse(set.len()));
        let alone = |member: &LpValue<'_>| !others.iter().any(|set| set.contains_value(*member));
        for member in first.iter().filter(alone) {
            result.add_value(member, limits);
        }
        return result;
    }
    for member in first.iter() {
        result.add_value(member, limits);
    }
    for set in others {
        if result.is_empty() {
            break;
        }
        for member in set.iter() {
            result.remove_value(member);
        }
    }
    result
}

/// Answers with the members of `result`.
fn reply(ctx: &mut Ctx<'_>, result: Set, out: &mut dyn ReplyWriter) {
    out.set(result.len());
    result.iter().for_each(|member| bulk_value(out, member));
    let lazy = ctx.engine.config.lazyfree_lazy_server_del;
    ctx.engine.dispose_value(result.into_value(), lazy);
}

/// Puts `result` at `key`, or removes the key if there are no members, and answers with their
/// number.
fn store(ctx: &mut Ctx<'_>, key: &[u8], result: Set, event: &str, out: &mut dyn ReplyWriter) {
    let len = result.len();
    if len > 0 {
        ctx.put(key, result.into_value());
        ctx.modified(key, NotifyFlags::SET, event);
    } else {
        let lazy = ctx.engine.config.lazyfree_lazy_server_del;
        if ctx.remove(key, lazy) {
            ctx.modified(key, NotifyFlags::GENERIC, "del");
        }
    }
    out.int(len as i64);
}
