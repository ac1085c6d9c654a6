//! Waiting for replicas and disks. The server has neither: no replica will ever confirm anything,
//! so these commands wait for their timeout and answer zero, as Redis without replicas does.

use crate::args::Args;
use crate::blocking::WaitKind;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::CommandSpec;
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "wait",
        arity: 3,
        acl: "connection",
        since: "3.0.0",
        complexity: "O(1)",
        summary: "Waits until replicas have received the connection's writes.",
        args: "numreplicas:int timeout:int",
        tips: &["request_policy:all_shards", "response_policy:agg_min"],
        handler: wait,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "waitaof",
        arity: 4,
        flags: "noscript",
        acl: "connection",
        since: "7.2.0",
        complexity: "O(1)",
        summary: "Waits until the connection's writes are on disk, here or on replicas.",
        args: "numlocal:int numreplicas:int timeout:int",
        tips: &["request_policy:all_shards", "response_policy:agg_min"],
        handler: waitaof,
        ..CommandSpec::EMPTY
    },
];

fn wait(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let replicas = args.int(1)?;
    let timeout_ms = timeout_argument(ctx, args, 2)?;
    if replicas <= 0 || ctx.deny_blocking() {
        WaitKind::Replicas.reply_timeout(out);
    } else {
        ctx.wait_for_keys(WaitKind::Replicas, &[], timeout_ms, args.all());
    }
    Ok(())
}

fn waitaof(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let local = args.int_in(1, 0..=1, errors::OUTSIDE_0_1)?;
    let replicas = args.int_in(2, 0..=i64::MAX, errors::NOT_POSITIVE)?;
    let timeout_ms = timeout_argument(ctx, args, 3)?;
    if local > 0 {
        return Err(errors::WAITAOF_WITHOUT_AOF);
    }
    if replicas == 0 || ctx.deny_blocking() {
        WaitKind::Fsync.reply_timeout(out);
    } else {
        ctx.wait_for_keys(WaitKind::Fsync, &[], timeout_ms, args.all());
    }
    Ok(())
}

/// A timeout in milliseconds.
fn timeout_argument(ctx: &Ctx<'_>, args: Args<'_>, index: usize) -> Result<i64, CommandError> {
    let timeout_ms = args.int(index).map_err(|_| errors::TIMEOUT_NOT_AN_INTEGER)?;
    if timeout_ms < 0 {
        return Err(errors::TIMEOUT_NEGATIVE);
    }
    match timeout_ms.checked_add(ctx.now_ms()) {
        Some(_) => Ok(timeout_ms),
        None => Err(errors::TIMEOUT_OUT_OF_RANGE),
    }
}
