//! `SAVE`, `BGSAVE`, `LASTSAVE`: the snapshot file. What they start is in [`crate::persistence`].

use crate::args::Args;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::CommandSpec;
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "bgsave",
        flags: "admin noscript no_async_loading",
        group: "server",
        complexity: "O(1)",
        summary: "Starts to write a snapshot in the background.",
        args: "[SCHEDULE@3.2.2]",
        handler: bgsave,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "lastsave",
        arity: 1,
        flags: "loading stale fast",
        acl: "admin dangerous",
        group: "server",
        complexity: "O(1)",
        summary: "Tells when the last snapshot was written.",
        tips: &["nondeterministic_output"],
        handler: lastsave,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "save",
        arity: 1,
        flags: "admin noscript no_async_loading no_multi",
        group: "server",
        complexity: "O(N) with N the keys of all databases",
        summary: "Writes a snapshot and answers when it is done.",
        handler: save,
        ..CommandSpec::EMPTY
    },
];

fn save(ctx: &mut Ctx<'_>, _: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    if ctx.engine.persistence.is_saving() {
        return Err(errors::SAVE_RUNNING);
    }
    // Why it failed is in the log; clients get the bare error of Redis.
    ctx.engine.save_now().map_err(|_| errors::UNNAMED)?;
    ctx.propagate_nothing();
    out.ok();
    Ok(())
}

fn bgsave(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let schedule = match args.len() {
        1 => false,
        2 if args.is(1, "schedule") => true,
        _ => return Err(errors::SYNTAX),
    };
    let in_transaction = ctx.session().is_some_and(|session| session.in_exec);
    let engine = &mut *ctx.engine;
    if engine.persistence.is_saving() {
        return Err(errors::SAVE_RUNNING);
    }
    if in_transaction || (schedule && engine.persistence.job.is_some()) {
        engine.persistence.scheduled = true;
        out.status(b"Background saving scheduled");
        return Ok(());
    }
    engine.start_save()?;
    out.status(b"Background saving started");
    Ok(())
}

fn lastsave(ctx: &mut Ctx<'_>, _: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    out.int(ctx.engine.persistence.last_save_s);
    Ok(())
}
