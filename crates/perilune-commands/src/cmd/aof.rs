//! The append-only file: rewriting it, and waiting for it.

use super::generic::wait::timeout_argument;
use crate::aof::RewriteRequest;
use crate::args::Args;
use crate::blocking::WaitKind;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::CommandSpec;
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "bgrewriteaof",
        arity: 1,
        flags: "admin noscript no_async_loading",
        group: "server",
        complexity: "O(1)",
        summary: "Starts to rewrite the append-only file in the background.",
        handler: bgrewriteaof,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "waitaof",
        arity: 4,
        flags: "noscript",
        acl: "connection",
        since: "7.2.0",
        group: "generic",
        complexity: "O(1)",
        summary: "Waits until the connection's writes are on disk, here or on replicas.",
        args: "numlocal:int numreplicas:int timeout:int",
        tips: &["request_policy:all_shards", "response_policy:agg_min"],
        handler: waitaof,
        ..CommandSpec::EMPTY
    },
];

fn bgrewriteaof(
    ctx: &mut Ctx<'_>,
    _: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let in_transaction = ctx.session().is_some_and(|session| session.in_exec);
    match ctx.engine.request_rewrite(in_transaction) {
        RewriteRequest::Started => out.status(b"Background append only file rewriting started"),
        RewriteRequest::Scheduled => out.status(b"Background append only file rewriting scheduled"),
        RewriteRequest::Running => return Err(errors::REWRITE_RUNNING),
    }
    Ok(())
}

fn waitaof(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    if ctx.engine.replication.is_replica() {
        return Err(errors::WAITAOF_ON_REPLICA);
    }
    let local = args.int_in(1, 0..=1, errors::OUTSIDE_0_1)?;
    let replicas = args.int_in(2, 0..=i64::MAX, errors::NOT_POSITIVE)?;
    let timeout_ms = timeout_argument(ctx, args, 3)?;
    if local > 0 && !ctx.engine.aof_is_enabled() {
        return Err(errors::WAITAOF_WITHOUT_AOF);
    }
    let safe = ctx.engine.disks_with_effects_of(ctx.client);
    if (safe.local >= local && safe.replicas >= replicas) || ctx.deny_blocking() {
        safe.reply(out);
    } else {
        ctx.engine.replication.ask_replicas |= replicas > 0;
        ctx.wait_for_keys(WaitKind::Fsync, &[], timeout_ms, args.all());
        ctx.engine.aof.wait_for_sync(ctx.client);
    }
    Ok(())
}
