//! `SCRIPT`: the script cache.

use super::{lazy_flush, statistics};
use crate::args::Args;
use crate::cmd::help;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::scripting::RunKind;
use crate::session::DebugMode;
use crate::spec::CommandSpec;
use perilune_resp::ReplyWriter;
use perilune_script::Digest;

pub(crate) const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "script",
    arity: -2,
    since: "2.6.0",
    group: "scripting",
    complexity: "depends on the subcommand",
    summary: "Manages the script cache; see its subcommands.",
    subcommands: &[
        CommandSpec {
            name: "debug",
            arity: 3,
            flags: "noscript",
            acl: "scripting",
            since: "3.2.0",
            group: "scripting",
            complexity: "O(1)",
            summary: "Chooses how the next script of the connection is debugged.",
            args: "mode=(YES|SYNC|NO)",
            handler: debug,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "exists",
            arity: -3,
            flags: "noscript",
            acl: "scripting",
            since: "2.6.0",
            group: "scripting",
            complexity: "O(N) with N the number of digests",
            summary: "Tells which scripts are in the cache.",
            args: "sha1...",
            tips: &["request_policy:all_shards", "response_policy:agg_logical_and"],
            handler: exists,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "flush",
            arity: -2,
            flags: "noscript",
            acl: "scripting",
            since: "2.6.0",
            group: "scripting",
            complexity: "O(N) with N the number of cached scripts",
            summary: "Empties the script cache.",
            args: "[flush-type@6.2.0=(ASYNC|SYNC)]",
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            handler: flush,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "help",
            arity: 2,
            flags: "loading stale",
            acl: "scripting",
            since: "5.0.0",
            group: "scripting",
            complexity: "O(1)",
            summary: "Explains the subcommands of SCRIPT.",
            help: HELP,
            handler: help::answer,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "kill",
            arity: 2,
            flags: "noscript allow_busy",
            acl: "scripting",
            since: "2.6.0",
            group: "scripting",
            complexity: "O(1)",
            summary: "Stops the running script, if it has not written yet.",
            tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
            handler: kill,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "list",
            arity: 2,
            flags: "noscript allow_busy",
            acl: "scripting",
            since: "7.2.4",
            group: "scripting",
            complexity: "O(N*log(N)) with N the number of cached scripts",
            summary: "Describes the cached scripts.",
            tips: &["nondeterministic_output"],
            handler: statistics::list,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "load",
            arity: 3,
            flags: "noscript stale",
            acl: "scripting",
            since: "2.6.0",
            group: "scripting",
            complexity: "O(N) with N the length of the source",
            summary: "Puts a script into the cache and answers its digest.",
            args: "script",
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            handler: load,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "show",
            arity: 3,
            flags: "noscript allow_busy",
            acl: "scripting",
            since: "7.2.4",
            group: "scripting",
            complexity: "O(N) with N the length of the source",
            summary: "Answers the source of a cached script.",
            args: "sha1",
            tips: &["nondeterministic_output"],
            handler: statistics::show,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "stats",
            arity: -2,
            flags: "noscript allow_busy",
            acl: "scripting",
            since: "7.2.4",
            group: "scripting",
            complexity: "O(N*log(N)) with N the number of scripts and functions",
            summary: "Tells what scripts and functions did.",
            args: "[name]",
            tips: &["nondeterministic_output"],
            handler: statistics::stats,
            ..CommandSpec::EMPTY
        },
    ],
    ..CommandSpec::EMPTY
}];

const HELP: &[&str] = &[
    "DEBUG (YES|SYNC|NO)",
    "    Debug the next script of this connection:",
    "    * YES: on a copy of the data; what it changes is lost.",
    "    * SYNC: on the data, while other clients are answered with BUSY.",
    "EXISTS <sha1> [<sha1> ...]",
    "    Tell for every digest whether its script is cached.",
    "FLUSH [ASYNC|SYNC]",
    "    Empty the script cache. Without a mode, lazyfree-lazy-user-flush decides:",
    "    * ASYNC: free the memory in the background.",
    "    * SYNC: free the memory before answering.",
    "KILL",
    "    Stop the running script, unless it has written.",
    "LIST",
    "    Describe the cached scripts: digest, size, calls, and whether they stay.",
    "LOAD <script>",
    "    Compile a script and keep it in the cache without running it.",
    "SHOW <sha1>",
    "    Show the source of a cached script.",
    "STATS [<sha1>|<function>]",
    "    Tell what a script or function did since it came; without a name, what all of them",
    "    did, those that took most time first.",
];

fn load(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let digest = Digest::of(args[2]);
    ctx.engine.define_script(ctx.client, args.all(), args[2], digest, true)?;
    out.bulk(digest.as_bytes());
    Ok(())
}

fn exists(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let cache = ctx.engine.scripting.cache();
    out.array(args.len() - 2);
    for text in args.from(2) {
        let known = Digest::parse(text).is_some_and(|digest| cache.peek(&digest).is_some());
        out.int(known.into());
    }
    Ok(())
}

fn flush(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let lazy = lazy_flush(ctx, args, errors::SCRIPT_FLUSH_MODE)?;
    ctx.engine.flush_scripts(lazy);
    out.ok();
    Ok(())
}

fn kill(ctx: &mut Ctx<'_>, _: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    super::kill(ctx, RunKind::Script, out)
}

fn debug(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    // The debugger takes the connection over, so nothing may be on its way.
    if ctx.engine.replies_wait || ctx.session().is_some_and(|session| session.in_exec) {
        return Err(errors::DEBUG_IN_PIPELINE);
    }
    let mode = match args[2].to_ascii_lowercase().as_slice() {
        b"no" => DebugMode::Off,
        b"yes" => DebugMode::Copy,
        b"sync" => DebugMode::Sync,
        _ => return Err(errors::DEBUG_MODE),
    };
    if let Some(session) = ctx.session() {
        session.debug_mode = mode;
    }
    out.ok();
    Ok(())
}
