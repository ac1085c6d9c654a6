//! Commands on single keys: removing, finding, renaming, copying, moving.

use super::database_argument;
use crate::args::Args;
use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::frequency;
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::Value;
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "copy",
        arity: -3,
        flags: "write denyoom",
        acl: "keyspace",
        keys: &[KeySpec::one("RO access", 1), KeySpec::one("OW update", 2)],
        since: "6.2.0",
        complexity: "O(N) with N the number of elements of the value",
        summary: "Copies a value to another key.",
        args: "source:key destination:key#1 [DB destination-db:int] [REPLACE]",
        handler: copy,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "del",
        arity: -2,
        flags: "write",
        acl: "keyspace",
        keys: &[KeySpec::range("RM delete", 1, -1, 1, 0)],
        complexity: "O(N) with N the number of keys, and of the elements they hold",
        summary: "Removes keys.",
        args: "key:key...",
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        handler: del,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "exists",
        arity: -2,
        flags: "readonly fast",
        acl: "keyspace",
        keys: &[KeySpec::range("RO", 1, -1, 1, 0)],
        complexity: "O(N) with N the number of keys",
        summary: "Counts how many of the given keys exist.",
        args: "key:key...",
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        handler: exists,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "move",
        arity: 3,
        flags: "write fast",
        acl: "keyspace",
        keys: &[KeySpec::one("RW access update", 1)],
        complexity: "O(1)",
        summary: "Moves a key to another database.",
        args: "key:key db:int",
        handler: move_,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "rename",
        arity: 3,
        flags: "write",
        acl: "keyspace",
        keys: &[KeySpec::one("RW access delete", 1), KeySpec::one("OW update", 2)],
        complexity: "O(1)",
        summary: "Gives a key another name, replacing what stood there.",
        args: "key:key newkey:key#1",
        handler: rename,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "renamenx",
        arity: 3,
        flags: "write fast",
        acl: "keyspace",
        keys: &[KeySpec::one("RW access delete", 1), KeySpec::one("OW insert", 2)],
        complexity: "O(1)",
        summary: "Gives a key another name unless that name is taken.",
        args: "key:key newkey:key#1",
        handler: renamenx,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "touch",
        arity: -2,
        flags: "readonly fast",
        acl: "keyspace",
        keys: &[KeySpec::range("RO", 1, -1, 1, 0)],
        since: "3.2.1",
        complexity: "O(N) with N the number of keys",
        summary: "Marks keys as just used and counts those that exist.",
        args: "key:key...",
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        handler: touch,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "type",
        arity: 2,
        flags: "readonly fast",
        acl: "keyspace",
        keys: &[KeySpec::one("RO", 1)],
        complexity: "O(1)",
        summary: "Names the type of a value.",
        args: "key:key",
        handler: type_,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "unlink",
        arity: -2,
        flags: "write fast",
        acl: "keyspace",
        keys: &[KeySpec::range("RM delete", 1, -1, 1, 0)],
        since: "4.0.0",
        complexity: "O(N) with N the number of keys",
        summary: "Removes keys and frees their values in the background.",
        args: "key:key...",
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        handler: unlink,
        ..CommandSpec::EMPTY
    },
];

fn del(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let lazy = ctx.engine.config.lazyfree_lazy_user_del;
    remove_all(ctx, args, lazy, out);
    Ok(())
}

fn unlink(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    remove_all(ctx, args, true, out);
    Ok(())
}

fn remove_all(ctx: &mut Ctx<'_>, args: Args<'_>, lazy: bool, out: &mut dyn ReplyWriter) {
    let mut removed = 0;
    for key in args.from(1) {
        ctx.expire_if_needed(key);
        if ctx.remove(key, lazy) {
            ctx.modified(key, NotifyFlags::GENERIC, "del");
            removed += 1;
        }
    }
    out.int(removed);
}

fn exists(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let found = args.from(1).iter().filter(|key| ctx.inspect(key).is_some()).count();
    out.int(found as i64);
    Ok(())
}

fn touch(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let now_s = (ctx.engine.now_us / 1_000_000) as u32;
    let counted = frequency::is_counted(&ctx.engine.config);
    let mut found = 0;
    for key in args.from(1) {
        if ctx.read_entry(key).is_some() {
            found += 1;
            // The command is there to refresh the age, also for clients that otherwise do not.
            let db = ctx.db_index();
            let db = ctx.engine.keyspace.db_mut(db);
            db.get_accessed(key, |entry| {
                if !counted {
                    entry.set_access(now_s);
                }
            });
        }
    }
    out.int(found);
    Ok(())
}

fn type_(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let name = ctx.inspect(args[1]).map_or("none", |entry| entry.value().type_name());
    out.status(name.as_bytes());
    Ok(())
}

/// Takes a key out of the selected database with its deadline, to put the value elsewhere.
fn take(ctx: &mut Ctx<'_>, key: &[u8]) -> Option<(Value, Option<i64>)> {
    let db = ctx.db_index();
    let entry = ctx.engine.keyspace.db_mut(db).remove(key)?;
    let deadline = entry.expire_at();
    Some((entry.into_value(), deadline))
}

/// Puts a value at a key that does not exist.
fn place(ctx: &mut Ctx<'_>, key: &[u8], value: Value, deadline: Option<i64>) {
    ctx.put(key, value);
    if deadline.is_some() {
        ctx.set_expire(key, deadline);
    }
}

fn rename(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    rename_key(ctx, args, false)?;
    out.ok();
    Ok(())
}

fn renamenx(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let renamed = rename_key(ctx, args, true)?;
    out.int(i64::from(renamed));
    Ok(())
}

/// Renames a key; with `only_if_free` not over another one. Whether it did.
fn rename_key(ctx: &mut Ctx<'_>, args: Args<'_>, only_if_free: bool) -> Result<bool, CommandError> {
    let (from, to) = (args[1], args[2]);
    if ctx.write(from).is_none() {
        return Err(errors::NO_SUCH_KEY);
    }
    if from == to {
        return Ok(false);
    }
    if ctx.exists(to) {
        if only_if_free {
            return Ok(false);
        }
        let lazy = ctx.engine.config.lazyfree_lazy_server_del;
        ctx.remove(to, lazy);
    }
    if let Some((value, deadline)) = take(ctx, from) {
        place(ctx, to, value, deadline);
    }
    ctx.touch(from);
    ctx.touch(to);
    ctx.notify(NotifyFlags::GENERIC, "rename_from", from);
    ctx.notify(NotifyFlags::GENERIC, "rename_to", to);
    ctx.engine.dirty += 1;
    Ok(true)
}

fn move_(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let key = args[1];
    let to = database_argument(ctx, args, 2)?;
    if to == ctx.db_index() {
        return Err(errors::SAME_OBJECT);
    }
    let free = ctx.write(key).is_some() && !ctx.with_db(to, |ctx| ctx.exists(key));
    if free && let Some((value, deadline)) = take(ctx, key) {
        ctx.with_db(to, |ctx| place(ctx, key, value, deadline));
        ctx.touch(key);
        ctx.with_db(to, |ctx| ctx.touch(key));
        ctx.notify(NotifyFlags::GENERIC, "move_from", key);
        ctx.with_db(to, |ctx| ctx.notify(NotifyFlags::GENERIC, "move_to", key));
        ctx.engine.dirty += 1;
    }
    out.int(i64::from(free));
    Ok(())
}

fn copy(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let (from, to) = (args[1], args[2]);
    let (mut db, mut replace, mut at) = (ctx.db_index(), false, 3);
    while at < args.len() {
        if args.is(at, "replace") {
            replace = true;
        } else if args.is(at, "db") && at + 1 < args.len() {
            at += 1;
            db = database_argument(ctx, args, at)?;
        } else {
            return Err(errors::SYNTAX);
        }
        at += 1;
    }
    if db == ctx.db_index() && from == to {
        return Err(errors::SAME_OBJECT);
    }
    let Some(entry) = ctx.read_entry(from) else {
        out.int(0);
        return Ok(());
    };
    // Copied only when the destination is known to take it.
    let deadline = entry.expire_at();
    let taken = ctx.with_db(db, |ctx| ctx.exists(to));
    if taken && !replace {
        out.int(0);
        return Ok(());
    }
    if let Some(value) = ctx.peek(from).map(|entry| entry.value().to_value()) {
        ctx.with_db(db, |ctx| {
            let lazy = ctx.engine.config.lazyfree_lazy_server_del;
            ctx.remove(to, lazy);
            place(ctx, to, value, deadline);
            ctx.modified(to, NotifyFlags::GENERIC, "copy_to");
        });
    }
    out.int(1);
    Ok(())
}
