//! Making, moving and removing consumer groups and consumers.

use super::id;
use crate::args::Args;
use crate::cmd::help;
use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::stream::Group;
use perilune_keyspace::{Stream, StreamId, ValueType};
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "xgroup",
    arity: -2,
    since: "5.0.0",
    group: "stream",
    complexity: "Depends on the subcommand.",
    summary: "Manages the consumer groups of streams.",
    subcommands: &[
        CommandSpec {
            name: "create",
            arity: -5,
            flags: "write denyoom",
            acl: "stream",
            keys: &[KeySpec::one("RW insert", 2)],
            since: "5.0.0",
            group: "stream",
            complexity: "O(1)",
            summary: "Makes a consumer group.",
            args: "key:key group id-selector=(id|new-id:'$') [MKSTREAM] [ENTRIESREAD entries-read:int]",
            handler: xgroup_create,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "createconsumer",
            arity: 5,
            flags: "write denyoom",
            acl: "stream",
            keys: &[KeySpec::one("RW insert", 2)],
            since: "6.2.0",
            group: "stream",
            complexity: "O(1)",
            summary: "Makes a consumer of a group.",
            args: "key:key group consumer",
            handler: xgroup_createconsumer,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "delconsumer",
            arity: 5,
            flags: "write",
            acl: "stream",
            keys: &[KeySpec::one("RW delete", 2)],
            since: "5.0.0",
            group: "stream",
            complexity: "O(N) with N the entries pending for the consumer",
            summary: "Removes a consumer of a group and forgets what is pending for it.",
            args: "key:key group consumer",
            handler: xgroup_delconsumer,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "destroy",
            arity: 4,
            flags: "write",
            acl: "stream",
            keys: &[KeySpec::one("RW delete", 2)],
            since: "5.0.0",
            group: "stream",
            complexity: "O(N) with N the entries pending for the group",
            summary: "Removes a consumer group.",
            args: "key:key group",
            handler: xgroup_destroy,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "help",
            arity: 2,
            flags: "loading stale",
            acl: "stream",
            since: "5.0.0",
            group: "stream",
            complexity: "O(1)",
            summary: "Explains the subcommands of XGROUP.",
            help: HELP,
            handler: help::answer,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "setid",
            arity: -5,
            flags: "write",
            acl: "stream",
            keys: &[KeySpec::one("RW update", 2)],
            since: "5.0.0",
            group: "stream",
            complexity: "O(1)",
            summary: "Sets the id after which a consumer group reads on.",
            args: "key:key group id-selector=(id|new-id:'$') [ENTRIESREAD entriesread:int<entries-read>]",
            handler: xgroup_setid,
            ..CommandSpec::EMPTY
        },
    ],
    ..CommandSpec::EMPTY
}];

const HELP: &[&str] = &[
    "CREATE <key> <group> <id|$> [MKSTREAM] [ENTRIESREAD <n>]",
    "    Make a consumer group that reads on after the id. MKSTREAM makes the stream, too,",
    "    ENTRIESREAD tells how many entries it counts as having read.",
    "CREATECONSUMER <key> <group> <consumer>",
    "    Make a consumer of a group.",
    "DELCONSUMER <key> <group> <consumer>",
    "    Remove a consumer; what is pending for it is forgotten.",
    "DESTROY <key> <group>",
    "    Remove a consumer group.",
    "SETID <key> <group> <id|$> [ENTRIESREAD <n>]",
    "    Let a group read on after another id.",
];

/// The last arguments of `CREATE` and `SETID`.
#[derive(Default)]
struct Options {
    make_stream: bool,
    entries_read: Option<i64>,
}

impl Options {
    fn parse(args: Args<'_>, may_make_stream: bool) -> Result<Self, CommandError> {
        let (mut options, mut at) = (Options::default(), 5);
        while at < args.len() {
            if may_make_stream && args.is(at, "mkstream") {
                options.make_stream = true;
                at += 1;
            } else if args.is(at, "entriesread") && at + 1 < args.len() {
                options.entries_read = match args.int(at + 1)? {
                    -1 => None,
                    read if read < 0 => return Err(errors::ENTRIESREAD_NEGATIVE),
                    read => Some(read),
                };
                at += 2;
            } else {
                return Err(errors::subcommand_syntax(args));
            }
        }
        Ok(options)
    }
}

/// The stream at the key of a subcommand, which must exist.
fn stream<'c>(ctx: &'c mut Ctx<'_>, args: Args<'_>) -> Result<&'c mut Stream, CommandError> {
    ctx.write_as::<Stream>(args[2])?.ok_or(errors::XGROUP_NO_KEY)
}

/// The group of a subcommand, which must exist.
fn group<'c>(ctx: &'c mut Ctx<'_>, args: Args<'_>) -> Result<&'c mut Group, CommandError> {
    let group = stream(ctx, args)?.group_mut(args[3]);
    group.ok_or_else(|| errors::no_group(args[2], args[3]))
}

/// Tells listeners that a group was changed. Watches of the key are not broken, since its entries
/// are as they were.
fn changed(ctx: &mut Ctx<'_>, key: &[u8], event: &str) {
    ctx.engine.dirty += 1;
    ctx.notify(NotifyFlags::STREAM, event, key);
}

fn xgroup_create(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let options = Options::parse(args, true)?;
    let key = args[2];
    let last_id = match ctx.write_as::<Stream>(key)? {
        Some(stream) => Some(stream.last_id()),
        None if options.make_stream => None,
        None => return Err(errors::XGROUP_NO_KEY),
    };
    if args.len() > 8 {
        return Err(errors::subcommand_syntax(args));
    }
    let id = match args[4] {
        b"$" => last_id.unwrap_or_default(),
        text => id::parse(text, 0)?,
    };
    if last_id.is_none() {
        ctx.put(key, Stream::new().into_value());
        ctx.touch(key);
    }
    let fresh = Group::new(id, options.entries_read);
    if !stream(ctx, args)?.add_group(args[3], fresh) {
        return Err(errors::BUSY_GROUP);
    }
    changed(ctx, key, "xgroup-create");
    out.ok();
    Ok(())
}

fn xgroup_setid(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let options = Options::parse(args, false)?;
    let top: StreamId = stream(ctx, args)?.last_id();
    let group = group(ctx, args)?;
    if args.len() > 7 {
        return Err(errors::subcommand_syntax(args));
    }
    group.last_id = match args[4] {
        b"$" => top,
        text => id::parse_or_end(text, 0)?,
    };
    group.entries_read = options.entries_read;
    changed(ctx, args[2], "xgroup-setid");
    out.ok();
    Ok(())
}

fn xgroup_destroy(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let removed = stream(ctx, args)?.remove_group(args[3]).is_some();
    if removed {
        changed(ctx, args[2], "xgroup-destroy");
        // Those who wait as members are told that there is no such group.
        let db = ctx.db_index();
        ctx.engine.waiters.key_changed(db, args[2]);
    }
    out.int(removed.into());
    Ok(())
}

fn xgroup_createconsumer(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let now_ms = ctx.now_ms();
    let created = group(ctx, args)?.create_consumer(args[4], now_ms).is_some();
    if created {
        changed(ctx, args[2], "xgroup-createconsumer");
    }
    out.int(created.into());
    Ok(())
}

fn xgroup_delconsumer(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let pending = group(ctx, args)?.remove_consumer(args[4]);
    if pending.is_some() {
        changed(ctx, args[2], "xgroup-delconsumer");
    }
    out.int(pending.unwrap_or(0) as i64);
    Ok(())
}
