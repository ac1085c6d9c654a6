//! Random members of a set: `SPOP`, `SRANDMEMBER`.

use crate::args::Args;
use crate::cmd::random_count::{RandomCount, bytes_in_reply, pick_in_rounds};
use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::propagation::SREM_MEMBERS_MAX;
use crate::reply::{bulk_value, bulk_value_or_null};
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::{Bytes, LpValue, Set, ValueType};
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "spop",
        arity: -2,
        flags: "write fast",
        acl: "set",
        keys: &[KeySpec::one("RW access delete", 1)],
        group: "set",
        complexity: "O(N) with N the number of members returned",
        summary: "Takes random members out of a set.",
        args: "key:key [count:int@3.2.0]",
        tips: &["nondeterministic_output"],
        handler: spop,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "srandmember",
        arity: -2,
        flags: "readonly",
        acl: "set",
        keys: &[KeySpec::one("RO access", 1)],
        group: "set",
        complexity: "O(N) with N the number of members returned",
        summary: "Picks members of a set at random.",
        args: "key:key [count:int@2.6.0]",
        tips: &["nondeterministic_output"],
        handler: srandmember,
        ..CommandSpec::EMPTY
    },
];

fn spop(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    match args.len() {
        2 => spop_one(ctx, args[1], out),
        3 => spop_many(ctx, args, out),
        _ => Err(errors::SYNTAX),
    }
}

fn spop_one(ctx: &mut Ctx<'_>, key: &[u8], out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let mut rng = ctx.fork_rng();
    let Some(set) = ctx.write_as::<Set>(key)? else {
        out.null();
        return Ok(());
    };
    let popped = set.pop_random(&mut rng);
    let emptied = set.is_empty();
    ctx.modified(key, NotifyFlags::SET, "spop");
    if emptied {
        ctx.remove_emptied(key);
    }
    if let Some(member) = &popped {
        ctx.propagate_as(&[b"SREM", key, member]);
    }
    bulk_value_or_null(out, popped.as_deref().map(LpValue::Str));
    Ok(())
}

fn spop_many(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let key = args[1];
    let count = args.int(2).ok().and_then(|count| usize::try_from(count).ok());
    let count = count.ok_or(errors::NOT_POSITIVE)?;
    let (limits, propagates) = (ctx.limits(), ctx.propagates());
    let mut rng = ctx.fork_rng();
    let Some(set) = ctx.write_as::<Set>(key)? else {
        out.set(0);
        return Ok(());
    };
    let all = count >= set.len();
    let count = count.min(set.len());
    out.set(count);
    if count == 0 {
        return Ok(());
    }
    let mut popped = Vec::new();
    let rest = set.pop_random_many(count, &mut rng, &limits, |member| {
        if propagates && !all {
            popped.push(Bytes::new(member.as_slice(&mut itoa::Buffer::new())));
        }
        bulk_value(out, member);
    });
    let emptied = set.is_empty();
    if let Some(rest) = rest {
        let lazy = ctx.engine.config.lazyfree_lazy_server_del;
        ctx.engine.dispose_value(rest.into_value(), lazy);
    }
    ctx.modified_times(key, NotifyFlags::SET, "spop", count as u64);
    if emptied {
        ctx.remove_emptied(key);
    }
    if all {
        let lazy = ctx.engine.config.lazyfree_lazy_server_del;
        ctx.propagate_removal(key, lazy);
    } else {
        propagate_removed(ctx, key, &popped);
    }
    Ok(())
}

/// Records which members went, as removals of a bounded size.
fn propagate_removed(ctx: &mut Ctx<'_>, key: &[u8], members: &[Bytes]) {
    for some in members.chunks(SREM_MEMBERS_MAX) {
        let argv: Vec<&[u8]> =
            [b"SREM", key].into_iter().chain(some.iter().map(|member| &member[..])).collect();
        ctx.propagate_as(&argv);
    }
}

fn srandmember(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let mut rng = ctx.fork_rng();
    if args.len() == 2 {
        let set = ctx.read_as::<Set>(args[1])?;
        bulk_value_or_null(out, set.and_then(|set| set.random(&mut rng)));
        return Ok(());
    }
    if args.len() > 3 {
        return Err(errors::SYNTAX);
    }
    let count = RandomCount::parse(args, 2)?;
    let bytes_max = ctx.engine.reply_bytes_max(ctx.client);
    let Some(set) = ctx.read_as::<Set>(args[1])? else {
        out.array(0);
        return Ok(());
    };
    let picks = count.of(set.len(), bytes_max)?;
    out.array(picks);
    if let RandomCount::Distinct(_) = count {
        set.random_distinct(picks, &mut rng, |member| bulk_value(out, member));
        return Ok(());
    }
    let all = pick_in_rounds(picks, bytes_max, |some| {
        let mut bytes = 0;
        set.random_repeated(some, &mut rng, |member| {
            bytes += bytes_in_reply(member);
            bulk_value(out, member);
        });
        bytes
    });
    if !all {
        ctx.engine.close_for_output(ctx.client);
    }
    Ok(())
}
