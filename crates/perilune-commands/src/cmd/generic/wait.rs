//! Waiting for replicas and disks.
//!
//! `WAIT` is over when so many replicas have confirmed the stream up to the client's last command.
//! They are asked for it as soon as the server has a moment.

use crate::args::Args;
use crate::blocking::{UnblockReason, WaitKind};
use crate::ctx::Ctx;
use crate::engine::Engine;
use crate::errors::{self, CommandError};
use crate::spec::CommandSpec;
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[CommandSpec {
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
}];

fn wait(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    if ctx.engine.replication.is_replica() {
        return Err(errors::WAIT_ON_REPLICA);
    }
    let wanted = args.int(1)?;
    let timeout_ms = timeout_argument(ctx, args, 2)?;
    let offset = ctx.session().map_or(0, |session| session.stream_offset);
    let confirmed = ctx.engine.count_confirmations(offset) as i64;
    if confirmed >= wanted || ctx.deny_blocking() {
        out.int(confirmed);
    } else {
        ctx.engine.replication.ask_replicas = true;
        ctx.wait_for_keys(WaitKind::Replicas, &[], timeout_ms, args.all());
        if !ctx.engine.replication.waiting.contains(&ctx.client) {
            let client = ctx.client;
            ctx.engine.replication.waiting.push(client);
        }
    }
    Ok(())
}

impl Engine {
    /// Ends the waits of `WAIT` that enough replicas have confirmed.
    pub(crate) fn serve_confirmation_waiters(&mut self) {
        if self.replication.waiting.is_empty() {
            return;
        }
        for client in self.replication.waiting.clone() {
            let wait = self.sessions.get(client).and_then(|session| {
                let blocked = session.blocked.as_ref()?;
                let view = blocked.argv.view();
                let wanted = Args::new(&view).int(1).ok()?;
                (blocked.kind == WaitKind::Replicas).then_some((session.stream_offset, wanted))
            });
            match wait {
                None => self.replication.waiting.retain(|waiting| *waiting != client),
                Some((offset, wanted)) if self.count_confirmations(offset) as i64 >= wanted => {
                    self.replication.waiting.retain(|waiting| *waiting != client);
                    self.unblock(client, UnblockReason::Timeout);
                }
                Some(_) => {}
            }
        }
    }
}

/// A timeout in milliseconds.
pub(in crate::cmd) fn timeout_argument(
    ctx: &Ctx<'_>,
    args: Args<'_>,
    index: usize,
) -> Result<i64, CommandError> {
    let timeout_ms = args.int(index).map_err(|_| errors::TIMEOUT_NOT_AN_INTEGER)?;
    if timeout_ms < 0 {
        return Err(errors::TIMEOUT_NEGATIVE);
    }
    match timeout_ms.checked_add(ctx.now_ms()) {
        Some(_) => Ok(timeout_ms),
        None => Err(errors::TIMEOUT_OUT_OF_RANGE),
    }
}
