//! `FUNCTION`: the libraries.

use super::lazy_flush;
use crate::args::Args;
use crate::cmd::help;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::glob;
use crate::scripting::{RestorePolicy, RunKind, Scripting};
use crate::spec::CommandSpec;
use perilune_resp::{DeferredKind, ReplyWriter};
use perilune_script::{Function, Library};

pub(crate) const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "function",
    arity: -2,
    since: "7.0.0",
    group: "scripting",
    complexity: "depends on the subcommand",
    summary: "Manages function libraries; see its subcommands.",
    subcommands: &[
        CommandSpec {
            name: "delete",
            arity: 3,
            flags: "write noscript",
            acl: "scripting",
            since: "7.0.0",
            group: "scripting",
            complexity: "O(1)",
            summary: "Removes a library with its functions.",
            args: "library-name",
            tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
            handler: delete,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "dump",
            arity: 2,
            flags: "noscript",
            acl: "scripting",
            since: "7.0.0",
            group: "scripting",
            complexity: "O(N) with N the number of functions",
            summary: "Serialises all libraries.",
            handler: dump,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "flush",
            arity: -2,
            flags: "write noscript",
            acl: "scripting",
            since: "7.0.0",
            group: "scripting",
            complexity: "O(N) with N the number of functions",
            summary: "Removes all libraries.",
            args: "[flush-type=(ASYNC|SYNC)]",
            tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
            handler: flush,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "help",
            arity: 2,
            flags: "loading stale",
            acl: "scripting",
            since: "7.0.0",
            group: "scripting",
            complexity: "O(1)",
            summary: "Explains the subcommands of FUNCTION.",
            help: HELP,
            handler: help::answer,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "kill",
            arity: 2,
            flags: "noscript allow_busy",
            acl: "scripting",
            since: "7.0.0",
            group: "scripting",
            complexity: "O(1)",
            summary: "Stops the running function, if it has not written yet.",
            tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
            handler: kill,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "list",
            arity: -2,
            flags: "noscript",
            acl: "scripting",
            since: "7.0.0",
            group: "scripting",
            complexity: "O(N) with N the number of functions",
            summary: "Describes the loaded libraries.",
            args: "[LIBRARYNAME library-name-pattern] [WITHCODE]",
            tips: &["nondeterministic_output_order"],
            handler: list,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "load",
            arity: -3,
            flags: "write denyoom noscript",
            acl: "scripting",
            since: "7.0.0",
            group: "scripting",
            complexity: "O(1)",
            summary: "Compiles a library and makes its functions callable.",
            args: "[replace:'REPLACE'] function-code",
            tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
            handler: load,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "restore",
            arity: -3,
            flags: "write denyoom noscript",
            acl: "scripting",
            since: "7.0.0",
            group: "scripting",
            complexity: "O(N) with N the number of functions in the payload",
            summary: "Loads libraries out of a serialised payload.",
            args: "serialized-value [policy=(FLUSH|APPEND|REPLACE)]",
            tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
            handler: restore,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "stats",
            arity: 2,
            flags: "noscript allow_busy",
            acl: "scripting",
            since: "7.0.0",
            group: "scripting",
            complexity: "O(1)",
            summary: "Describes the running function and the engines.",
            tips: &[
                "nondeterministic_output",
                "request_policy:all_shards",
                "response_policy:special",
            ],
            handler: stats,
            ..CommandSpec::EMPTY
        },
    ],
    ..CommandSpec::EMPTY
}];

const HELP: &[&str] = &[
    "DELETE <library-name>",
    "    Remove a library with its functions.",
    "DUMP",
    "    Serialise all libraries, for FUNCTION RESTORE.",
    "FLUSH [ASYNC|SYNC]",
    "    Remove all libraries. Without a mode, lazyfree-lazy-user-flush decides:",
    "    * ASYNC: free the memory in the background.",
    "    * SYNC: free the memory before answering.",
    "KILL",
    "    Stop the running function, unless it has written.",
    "LIST [LIBRARYNAME <pattern>] [WITHCODE]",
    "    Describe the libraries: name, engine, functions and, WITHCODE, their code.",
    "LOAD [REPLACE] <code>",
    "    Compile a library and make its functions callable.",
    "RESTORE <payload> [FLUSH|APPEND|REPLACE]",
    "    Load the libraries of a FUNCTION DUMP. What is there already is",
    "    * FLUSH: removed.",
    "    * APPEND: kept; a library of the same name fails the command. The default.",
    "    * REPLACE: replaced by a library of the same name.",
    "STATS",
    "    Describe the running function, or nil, and the engines.",
];

fn load(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let (code_at, mut replace) = (args.len() - 1, false);
    for at in 2..code_at {
        if !args.is(at, "replace") {
            return Err(errors::unknown_load_option(args[at]));
        }
        replace = true;
    }
    let name = ctx.engine.load_library(ctx.client, args.all(), args[code_at], replace)?;
    out.bulk(&name);
    Ok(())
}

fn delete(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    if !ctx.engine.delete_library(args[2]) {
        return Err(errors::LIBRARY_NOT_FOUND);
    }
    out.ok();
    Ok(())
}

fn flush(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    if args.len() > 3 {
        return Err(errors::subcommand_syntax(args));
    }
    let lazy = lazy_flush(ctx, args, errors::FUNCTION_FLUSH_MODE)?;
    ctx.engine.flush_libraries(lazy);
    out.ok();
    Ok(())
}

fn dump(ctx: &mut Ctx<'_>, _: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    out.bulk(&ctx.engine.dump_libraries());
    Ok(())
}

fn restore(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    if args.len() > 4 {
        return Err(errors::subcommand_syntax(args));
    }
    let policy = match args.get(3) {
        None => RestorePolicy::Append,
        Some(_) if args.is(3, "append") => RestorePolicy::Append,
        Some(_) if args.is(3, "replace") => RestorePolicy::Replace,
        Some(_) if args.is(3, "flush") => RestorePolicy::Flush,
        Some(_) => return Err(errors::RESTORE_POLICY),
    };
    ctx.engine.restore_libraries(ctx.client, args.all(), args[2], policy)?;
    out.ok();
    Ok(())
}

fn list(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let (mut with_code, mut pattern) = (false, None);
    let mut at = 2;
    while let Some(word) = args.get(at) {
        if !with_code && args.is(at, "withcode") {
            with_code = true;
        } else if pattern.is_none() && args.is(at, "libraryname") {
            at += 1;
            pattern = Some(args.get(at).ok_or(errors::LIBRARY_NAME_MISSING)?);
        } else {
            return Err(errors::unknown_list_argument(word));
        }
        at += 1;
    }
    let scripting = &ctx.engine.scripting;
    let wanted = |library: &&Library| {
        pattern.is_none_or(|pattern| glob::matches(pattern, &library.name, true))
    };
    let start = out.begin_deferred(DeferredKind::Array);
    let mut count = 0;
    for library in scripting.libraries().iter().filter(wanted) {
        write_library(scripting, library, with_code, out);
        count += 1;
    }
    out.end_deferred(start, count);
    Ok(())
}

fn write_library(
    scripting: &Scripting,
    library: &Library,
    with_code: bool,
    out: &mut dyn ReplyWriter,
) {
    out.map(if with_code { 4 } else { 3 });
    out.bulk(b"library_name");
    out.bulk(&library.name);
    out.bulk(b"engine");
    let engine = scripting.engine_names().get(library.engine).copied().unwrap_or_default();
    out.bulk(engine.to_ascii_uppercase().as_bytes());
    out.bulk(b"functions");
    out.array(library.functions.len());
    library.functions.iter().for_each(|function| write_function(function, out));
    if with_code {
        out.bulk(b"library_code");
        out.bulk(&library.code);
    }
}

fn write_function(function: &Function, out: &mut dyn ReplyWriter) {
    out.map(3);
    out.bulk(b"name");
    out.bulk(&function.name);
    out.bulk(b"description");
    match &function.description {
        Some(text) => out.bulk(text),
        None => out.null(),
    }
    out.bulk(b"flags");
    out.set(function.flags.names().count());
    function.flags.names().for_each(|flag| out.status(flag.as_bytes()));
}

fn stats(ctx: &mut Ctx<'_>, _: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let now_us = ctx.engine.clock.monotonic_us();
    let scripting = &ctx.engine.scripting;
    let run = scripting.running();
    if run.is_some_and(|run| run.kind == RunKind::Script) {
        return Err(errors::BUSY_SCRIPT);
    }
    out.map(2);
    out.bulk(b"running_script");
    match run {
        None => out.null(),
        Some(run) => {
            out.map(3);
            out.bulk(b"name");
            out.bulk(run.name.as_bytes());
            out.bulk(b"command");
            let command = run.command.view();
            out.array(command.len());
            command.iter().for_each(|arg| out.bulk(arg));
            out.bulk(b"duration_ms");
            out.int((now_us.saturating_sub(run.started_us) / 1000) as i64);
        }
    }
    out.bulk(b"engines");
    out.map(scripting.engine_names().len());
    for (index, name) in scripting.engine_names().iter().enumerate() {
        let (libraries, functions) = scripting.libraries().count_of(index);
        out.bulk(name.to_ascii_uppercase().as_bytes());
        out.map(2);
        out.bulk(b"libraries_count");
        out.int(libraries as i64);
        out.bulk(b"functions_count");
        out.int(functions as i64);
    }
    Ok(())
}

fn kill(ctx: &mut Ctx<'_>, _: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    super::kill(ctx, RunKind::Function, out)
}
