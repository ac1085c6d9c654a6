//! Commands on one set and its members, and `SMOVE`.

use crate::args::Args;
use crate::cmd::scan;
use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use crate::errors::CommandError;
use crate::reply::bulk_value;
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::Set;
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "sadd",
        arity: -3,
        flags: "write denyoom fast",
        acl: "set",
        keys: &[KeySpec::one("RW insert", 1)],
        group: "set",
        complexity: "O(N) with N the number of members",
        summary: "Puts members into a set.",
        args: "key:key member...",
        handler: sadd,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "scard",
        arity: 2,
        flags: "readonly fast",
        acl: "set",
        keys: &[KeySpec::one("RO", 1)],
        group: "set",
        complexity: "O(1)",
        summary: "Counts the members of a set.",
        args: "key:key",
        handler: scard,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "sismember",
        arity: 3,
        flags: "readonly fast",
        acl: "set",
        keys: &[KeySpec::one("RO", 1)],
        group: "set",
        complexity: "O(1)",
        summary: "Tells whether a member is in a set.",
        args: "key:key member",
        handler: sismember,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "smembers",
        arity: 2,
        flags: "readonly",
        acl: "set",
        keys: &[KeySpec::one("RO access", 1)],
        group: "set",
        complexity: "O(N) with N the size of the set",
        summary: "Lists the members of a set.",
        args: "key:key",
        tips: &["nondeterministic_output_order"],
        handler: smembers,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "smismember",
        arity: -3,
        flags: "readonly fast",
        acl: "set",
        keys: &[KeySpec::one("RO access", 1)],
        since: "6.2.0",
        group: "set",
        complexity: "O(N) with N the number of members asked for",
        summary: "Tells for several members whether they are in a set.",
        args: "key:key member...",
        handler: smismember,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "smove",
        arity: 4,
        flags: "write fast",
        acl: "set",
        keys: &[KeySpec::one("RW access delete", 1), KeySpec::one("RW insert", 2)],
        group: "set",
        complexity: "O(1)",
        summary: "Moves a member from one set to another.",
        args: "source:key destination:key#1 member",
        handler: smove,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "srem",
        arity: -3,
        flags: "write fast",
        acl: "set",
        keys: &[KeySpec::one("RW delete", 1)],
        group: "set",
        complexity: "O(N) with N the number of members",
        summary: "Takes members out of a set.",
        args: "key:key member...",
        handler: srem,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "sscan",
        arity: -3,
        flags: "readonly",
        acl: "set",
        keys: &[KeySpec::one("RO access", 1)],
        since: "2.8.0",
        group: "set",
        complexity: "O(1) a call, O(N) for the whole set",
        summary: "Walks over a set a few members at a time.",
        args: "key:key cursor:int [MATCH pattern:pattern] [COUNT count:int]",
        tips: &["nondeterministic_output"],
        handler: sscan,
        ..CommandSpec::EMPTY
    },
];

fn sadd(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let (key, members) = (args[1], args.from(2));
    let limits = ctx.limits();
    let fresh = || Set::for_members(args[2], members.len(), &limits);
    let set = ctx.write_or_create(key, fresh)?;
    set.expect(members.len(), &limits);
    let added = members.iter().filter(|member| set.add(member, &limits)).count();
    if added > 0 {
        ctx.modified_times(key, NotifyFlags::SET, "sadd", added as u64);
    }
    out.int(added as i64);
    Ok(())
}

fn srem(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let key = args[1];
    let Some(set) = ctx.write_as::<Set>(key)? else {
        out.int(0);
        return Ok(());
    };
    let removed = args.from(2).iter().filter(|member| set.remove(member)).count();
    let emptied = set.is_empty();
    if removed > 0 {
        ctx.modified_times(key, NotifyFlags::SET, "srem", removed as u64);
    }
    if emptied {
        ctx.remove_emptied(key);
    }
    out.int(removed as i64);
    Ok(())
}

fn smove(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let (from, to, member) = (args[1], args[2], args[3]);
    if !ctx.exists(from) {
        out.int(0);
        return Ok(());
    }
    ctx.write_as::<Set>(to)?;
    let Some(source) = ctx.write_as::<Set>(from)? else {
        out.int(0);
        return Ok(());
    };
    if from == to {
        out.int(source.contains(member).into());
        return Ok(());
    }
    if !source.remove(member) {
        out.int(0);
        return Ok(());
    }
    let emptied = source.is_empty();
    ctx.modified(from, NotifyFlags::SET, "srem");
    if emptied {
        ctx.remove_emptied(from);
    }
    let limits = ctx.limits();
    let target = ctx.write_or_create(to, || Set::for_members(member, 1, &limits))?;
    if target.add(member, &limits) {
        ctx.modified(to, NotifyFlags::SET, "sadd");
    }
    out.int(1);
    Ok(())
}

fn scard(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let set = ctx.read_as::<Set>(args[1])?;
    out.int(set.map_or(0, Set::len) as i64);
    Ok(())
}

fn sismember(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let set = ctx.read_as::<Set>(args[1])?;
    out.int(set.is_some_and(|set| set.contains(args[2])).into());
    Ok(())
}

fn smismember(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let set = ctx.read_as::<Set>(args[1])?;
    let members = args.from(2);
    out.array(members.len());
    for member in members {
        out.int(set.is_some_and(|set| set.contains(member)).into());
    }
    Ok(())
}

fn smembers(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let set = ctx.read_as::<Set>(args[1])?;
    out.set(set.map_or(0, Set::len));
    set.into_iter().flat_map(Set::iter).for_each(|member| bulk_value(out, member));
    Ok(())
}

fn sscan(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let cursor = scan::parse_cursor(args[2])?;
    let Some(set) = ctx.read_as::<Set>(args[1])? else {
        scan::begin_reply(out, 0, 0);
        return Ok(());
    };
    let (cursor, found) = scan::elements(args, cursor, |cursor, each| {
        set.scan(cursor, &mut |member| each(member, member))
    })?;
    scan::begin_reply(out, cursor, found.len());
    found.into_iter().for_each(|member| bulk_value(out, member));
    Ok(())
}
