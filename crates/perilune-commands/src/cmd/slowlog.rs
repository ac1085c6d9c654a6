//! `SLOWLOG`: the commands that took longest.

use crate::args::Args;
use crate::cmd::help;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::CommandSpec;
use perilune_resp::ReplyWriter;

/// Entries that `SLOWLOG GET` answers without a count.
const DEFAULT_COUNT: usize = 10;

pub(crate) const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "slowlog",
    arity: -2,
    since: "2.2.12",
    group: "server",
    complexity: "depends on the subcommand",
    summary: "Reports slow commands; see its subcommands.",
    subcommands: &[
        CommandSpec {
            name: "get",
            arity: -2,
            flags: "admin loading stale",
            since: "2.2.12",
            group: "server",
            complexity: "O(N) with N the number of entries",
            summary: "Lists the newest slow commands.",
            args: "[count:int]",
            tips: &["request_policy:all_nodes", "nondeterministic_output"],
            handler: slowlog_get,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "help",
            arity: 2,
            flags: "loading stale",
            since: "6.2.0",
            group: "server",
            complexity: "O(1)",
            summary: "Explains the subcommands of SLOWLOG.",
            help: HELP,
            handler: help::answer,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "len",
            arity: 2,
            flags: "admin loading stale",
            since: "2.2.12",
            group: "server",
            complexity: "O(1)",
            summary: "Counts the entries of the slow log.",
            tips: &[
                "request_policy:all_nodes",
                "response_policy:agg_sum",
                "nondeterministic_output",
            ],
            handler: slowlog_len,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "reset",
            arity: 2,
            flags: "admin loading stale",
            since: "2.2.12",
            group: "server",
            complexity: "O(N) with N the number of entries",
            summary: "Empties the slow log.",
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            handler: slowlog_reset,
            ..CommandSpec::EMPTY
        },
    ],
    ..CommandSpec::EMPTY
}];

const HELP: &[&str] = &[
    "GET [<count>]",
    "    Tell the newest entries (default: 10, -1: all). An entry is made of:",
    "    id, timestamp, time in microseconds, arguments array, client IP and port,",
    "    client name",
    "LEN",
    "    Tell the number of entries.",
    "RESET",
    "    Remove all entries.",
];

fn slowlog_get(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let count = match args.len() {
        2 => DEFAULT_COUNT,
        3 => match args.int(2).ok().filter(|count| *count >= -1).ok_or(errors::SLOWLOG_COUNT)? {
            -1 => usize::MAX,
            count => count as usize,
        },
        _ => return Err(errors::wrong_subcommand_arity("SLOWLOG", args[1])),
    };
    let entries = &ctx.engine.slowlog.entries;
    out.array(entries.len().min(count));
    for entry in entries.iter().take(count) {
        out.array(6);
        out.int(entry.id as i64);
        out.int(entry.time_s);
        out.int(entry.duration_us as i64);
        let argv = entry.argv.view();
        out.array(argv.len());
        argv.iter().for_each(|arg| out.bulk(arg));
        out.bulk(entry.addr.as_bytes());
        out.bulk(&entry.client_name);
    }
    Ok(())
}

fn slowlog_len(
    ctx: &mut Ctx<'_>,
    _: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    out.int(ctx.engine.slowlog.entries.len() as i64);
    Ok(())
}

fn slowlog_reset(
    ctx: &mut Ctx<'_>,
    _: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    ctx.engine.slowlog.entries.clear();
    out.ok();
    Ok(())
}
