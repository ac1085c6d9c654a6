//! Commands that run scripts and functions, and that manage them.

pub(crate) mod eval;
pub(crate) mod fcall;
pub(crate) mod function;
pub(crate) mod script;
pub(crate) mod statistics;

use crate::args::Args;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::scripting::{RunKind, RunRequest};
use perilune_resp::ReplyWriter;
use perilune_script::{Invocation, LogLevel};

/// Where the keys of a call begin: after name, script and number of keys.
const FIRST_KEY: usize = 3;

/// Shows a call to the clients under `MONITOR` before the commands it will run.
#[inline]
fn announce(ctx: &mut Ctx<'_>, args: Args<'_>) {
    if ctx.engine.monitors > 0 {
        ctx.engine.feed_monitors(ctx.client, ctx.command, args);
    }
}

/// Checks a number of keys against the arguments there are.
#[inline]
fn key_count(args: Args<'_>, count: i64) -> Result<usize, CommandError> {
    match usize::try_from(count) {
        Err(_) => Err(errors::NUMKEYS_NEGATIVE),
        Ok(count) if count > args.len() - FIRST_KEY => Err(errors::NUMKEYS_TOO_LARGE),
        Ok(count) => Ok(count),
    }
}

/// The keys and arguments of a call whose [`key_count`] was checked.
#[inline]
fn input(args: Args<'_>, keys: usize) -> Invocation<'_> {
    let (keys, args) = args.from(FIRST_KEY).split_at(keys);
    Invocation { keys, args }
}

#[inline]
fn run(
    ctx: &mut Ctx<'_>,
    request: RunRequest<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    ctx.engine.run_script(ctx.client, &request, out)
}

/// Reads the optional mode of a `FLUSH`: whether to free memory in the background.
fn lazy_flush(
    ctx: &Ctx<'_>,
    args: Args<'_>,
    wrong_mode: CommandError,
) -> Result<bool, CommandError> {
    match args.len() {
        2 => Ok(ctx.engine.config.lazyfree_lazy_user_flush),
        3 if args.is(2, "sync") => Ok(false),
        3 if args.is(2, "async") => Ok(true),
        _ => Err(wrong_mode),
    }
}

/// Asks the running script to end, if it is of that kind and has not written or is
/// being debugged.
fn kill(ctx: &mut Ctx<'_>, kind: RunKind, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let busy = ctx.engine.scripting.busy_error();
    let Some(run) = ctx.engine.scripting.running_mut() else { return Err(errors::NOT_BUSY) };
    if run.wrote && !run.debugged {
        return Err(errors::UNKILLABLE);
    }
    if run.kind.kill_command() != kind.kill_command() {
        return Err(busy.unwrap_or(errors::NOT_BUSY));
    }
    run.kill = true;
    ctx.engine.env.log(LogLevel::Notice, "The running script is killed at a user's request.");
    out.ok();
    Ok(())
}
