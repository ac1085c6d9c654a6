//! `MODULE`: this server loads no modules, so there are none to list or to unload. New commands are
//! written as functions (`FUNCTION LOAD`).

use crate::args::Args;
use crate::cmd::help;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::CommandSpec;
use perilune_resp::ReplyWriter;
use perilune_script::LogLevel;

pub(crate) const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "module",
    arity: -2,
    since: "4.0.0",
    group: "server",
    complexity: "depends on the subcommand",
    summary: "Manages modules; see its subcommands.",
    subcommands: &[
        CommandSpec {
            name: "help",
            arity: 2,
            flags: "loading stale",
            since: "5.0.0",
            group: "server",
            complexity: "O(1)",
            summary: "Explains the subcommands of MODULE.",
            help: HELP,
            handler: help::answer,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "list",
            arity: 2,
            flags: "admin noscript",
            since: "4.0.0",
            group: "server",
            complexity: "O(N) with N the number of modules",
            summary: "Lists the loaded modules.",
            tips: &["nondeterministic_output_order"],
            handler: list,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "load",
            arity: -3,
            flags: "admin noscript no_async_loading protected",
            since: "4.0.0",
            group: "server",
            complexity: "O(1)",
            summary: "Loads a module.",
            args: "path [arg...]",
            handler: load,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "loadex",
            arity: -3,
            flags: "admin noscript no_async_loading protected",
            since: "7.0.0",
            group: "server",
            complexity: "O(1)",
            summary: "Loads a module with configuration and arguments.",
            args: "path [CONFIG configs={name value}]... [ARGS args...]",
            handler: load,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "unload",
            arity: 3,
            flags: "admin noscript no_async_loading protected",
            since: "4.0.0",
            group: "server",
            complexity: "O(1)",
            summary: "Removes a module.",
            args: "name",
            handler: unload,
            ..CommandSpec::EMPTY
        },
    ],
    ..CommandSpec::EMPTY
}];

const HELP: &[&str] = &[
    "LIST",
    "    List the loaded modules. There are none: this server loads no modules.",
    "LOAD <path> [<arg> ...]",
    "    Refused, with the reason in the log.",
    "LOADEX <path> [CONFIG <name> <value> ...] [ARGS ...]",
    "    Refused, with the reason in the log.",
    "UNLOAD <name>",
    "    Refused, because no module is loaded.",
];

fn list(_: &mut Ctx<'_>, _: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    out.array(0);
    Ok(())
}

fn load(ctx: &mut Ctx<'_>, args: Args<'_>, _: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let path = String::from_utf8_lossy(args[2]);
    let message = format!("Module {path} failed to load: modules are not supported by this build");
    ctx.engine.env.log(LogLevel::Warning, &message);
    Err(errors::MODULE_NOT_LOADED)
}

fn unload(_: &mut Ctx<'_>, _: Args<'_>, _: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    Err(errors::MODULE_NOT_FOUND)
}
