//! `EVAL` and `EVALSHA`, and their read-only variants.

use super::{key_count, run};
use crate::args::Args;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::scripting::{RunName, RunRequest};
use crate::session::DebugMode;
use crate::spec::{CommandSpec, KeySpec};
use perilune_resp::ReplyWriter;
use perilune_script::Digest;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "eval",
        arity: -3,
        flags: "noscript stale skip_monitor no_mandatory_keys may_replicate",
        acl: "scripting",
        keys: &[KeySpec {
            notes: "We cannot tell how the keys will be used so we assume the worst, RW and UPDATE",
            ..KeySpec::keynum("RW access update", 2)
        }],
        since: "2.6.0",
        group: "scripting",
        complexity: "depends on the script",
        summary: "Runs a script given by its source.",
        args: "script numkeys:int [key:key...] [arg...]",
        handler: eval,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "eval_ro",
        arity: -3,
        flags: "readonly noscript stale skip_monitor no_mandatory_keys",
        acl: "scripting",
        keys: &[KeySpec {
            notes: "We cannot tell how the keys will be used so we assume the worst, RO and ACCESS",
            ..KeySpec::keynum("RO access", 2)
        }],
        since: "7.0.0",
        group: "scripting",
        complexity: "depends on the script",
        summary: "Runs a script given by its source that may not write.",
        args: "script numkeys:int [key:key...] [arg...]",
        handler: eval_ro,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "evalsha",
        arity: -3,
        flags: "noscript stale skip_monitor no_mandatory_keys may_replicate",
        acl: "scripting",
        keys: &[KeySpec::keynum("RW access update", 2)],
        since: "2.6.0",
        group: "scripting",
        complexity: "depends on the script",
        summary: "Runs a cached script given by its digest.",
        args: "sha1 numkeys:int [key:key...] [arg...]",
        handler: evalsha,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "evalsha_ro",
        arity: -3,
        flags: "readonly noscript stale skip_monitor no_mandatory_keys",
        acl: "scripting",
        keys: &[KeySpec::keynum("RO access", 2)],
        since: "7.0.0",
        group: "scripting",
        complexity: "depends on the script",
        summary: "Runs a cached script given by its digest that may not write.",
        args: "sha1 numkeys:int [key:key...] [arg...]",
        handler: evalsha_ro,
        ..CommandSpec::EMPTY
    },
];

fn eval(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    by_source(ctx, args, out, false)
}

fn eval_ro(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    by_source(ctx, args, out, true)
}

fn evalsha(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    by_digest(ctx, args, out, false)
}

fn evalsha_ro(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    by_digest(ctx, args, out, true)
}

fn by_source(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
    read_only: bool,
) -> Result<(), CommandError> {
    super::announce(ctx, args);
    let keys = key_count(args, args.int(2)?)?;
    let digest = Digest::of(args[1]);
    let script = ctx.engine.define_script(ctx.client, args.all(), args[1], digest, false)?;
    let (input, name) = (super::input(args, keys), RunName::Script(digest));
    run(ctx, RunRequest { script, input, name, command: args.all(), read_only }, out)
}

fn by_digest(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
    read_only: bool,
) -> Result<(), CommandError> {
    super::announce(ctx, args);
    if args[1].len() != Digest::LEN {
        return Err(errors::NOSCRIPT);
    }
    if ctx.session().is_some_and(|session| session.debug_mode != DebugMode::Off) {
        return Err(errors::DEBUG_EVALSHA);
    }
    let keys = key_count(args, args.int(2)?)?;
    let digest = Digest::parse(args[1]).ok_or(errors::NOSCRIPT)?;
    let script = ctx.engine.scripting.touch_script(&digest).ok_or(errors::NOSCRIPT)?;
    let (input, name) = (super::input(args, keys), RunName::Script(digest));
    run(ctx, RunRequest { script, input, name, command: args.all(), read_only }, out)
}
