//! `FCALL` and `FCALL_RO`.

use super::{key_count, run};
use crate::args::{Args, parse_int};
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::scripting::{RunName, RunRequest};
use crate::spec::{CommandSpec, KeySpec};
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "fcall",
        arity: -3,
        flags: "noscript stale skip_monitor no_mandatory_keys may_replicate",
        acl: "scripting",
        keys: &[KeySpec {
            notes: "We cannot tell how the keys will be used so we assume the worst, RW and UPDATE",
            ..KeySpec::keynum("RW access update", 2)
        }],
        since: "7.0.0",
        group: "scripting",
        complexity: "depends on the function",
        summary: "Calls a function of a loaded library.",
        args: "function numkeys:int [key:key...] [arg...]",
        handler: fcall,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "fcall_ro",
        arity: -3,
        flags: "readonly noscript stale skip_monitor no_mandatory_keys",
        acl: "scripting",
        keys: &[KeySpec {
            notes: "We cannot tell how the keys will be used so we assume the worst, RO and ACCESS",
            ..KeySpec::keynum("RO access", 2)
        }],
        since: "7.0.0",
        group: "scripting",
        complexity: "depends on the function",
        summary: "Calls a function of a loaded library that may not write.",
        args: "function numkeys:int [key:key...] [arg...]",
        handler: fcall_ro,
        ..CommandSpec::EMPTY
    },
];

fn fcall(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    call_function(ctx, args, out, false)
}

fn fcall_ro(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    call_function(ctx, args, out, true)
}

fn call_function(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
    read_only: bool,
) -> Result<(), CommandError> {
    super::announce(ctx, args);
    let libraries = ctx.engine.scripting.libraries();
    let function = libraries.function(args[1]).ok_or(errors::FUNCTION_NOT_FOUND)?.clone();
    let keys = key_count(args, parse_int(args[2]).ok_or(errors::BAD_KEY_COUNT)?)?;
    let (script, name) = (function.script, RunName::Function(function.name));
    let input = super::input(args, keys);
    run(ctx, RunRequest { script, input, name, command: args.all(), read_only }, out)
}
