//! `ACL`: users and their rights. The model itself is in [`crate::acl`].

use crate::acl::{Acl, Categories, Context, Reason, Request, Selector, has_spaces};
use crate::args::Args;
use crate::cmd::help;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::CommandSpec;
use perilune_resp::ReplyWriter;
use perilune_script::LogLevel;

pub(crate) const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "acl",
    arity: -2,
    since: "6.0.0",
    group: "server",
    complexity: "depends on the subcommand",
    summary: "Manages users and their rights; see its subcommands.",
    subcommands: &[
        CommandSpec {
            name: "cat",
            arity: -2,
            flags: "noscript loading stale",
            since: "6.0.0",
            group: "server",
            complexity: "O(1)",
            summary: "Lists the command categories, or the commands of one.",
            args: "[category]",
            handler: acl_cat,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "deluser",
            arity: -3,
            flags: "admin noscript loading stale",
            since: "6.0.0",
            group: "server",
            complexity: "O(N) with N the number of users named",
            summary: "Removes users and closes their connections.",
            args: "username...",
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            handler: acl_deluser,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "dryrun",
            arity: -4,
            flags: "admin noscript loading stale",
            since: "7.0.0",
            group: "server",
            complexity: "O(1)",
            summary: "Tells whether a user might run a command, without running it.",
            args: "username command [arg...]",
            handler: acl_dryrun,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "genpass",
            arity: -2,
            flags: "noscript loading stale",
            since: "6.0.0",
            group: "server",
            complexity: "O(1)",
            summary: "Makes up a random password.",
            args: "[bits:int]",
            handler: acl_genpass,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "getuser",
            arity: 3,
            flags: "admin noscript loading stale",
            since: "6.0.0",
            group: "server",
            complexity: "O(N) with N the number of rules",
            summary: "Describes the rights of a user.",
            args: "username",
            handler: acl_getuser,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "help",
            arity: 2,
            flags: "loading stale",
            since: "6.0.0",
            group: "server",
            complexity: "O(1)",
            summary: "Explains the subcommands of ACL.",
            help: HELP,
            handler: help::answer,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "list",
            arity: 2,
            flags: "admin noscript loading stale",
            since: "6.0.0",
            group: "server",
            complexity: "O(N) with N the number of users",
            summary: "Lists all users as lines of an ACL file.",
            handler: acl_list,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "load",
            arity: 2,
            flags: "admin noscript loading stale",
            since: "6.0.0",
            group: "server",
            complexity: "O(N) with N the number of users",
            summary: "Reads the ACL file again.",
            handler: acl_load,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "log",
            arity: -2,
            flags: "admin noscript loading stale",
            since: "6.0.0",
            group: "server",
            complexity: "O(N) with N the number of entries",
            summary: "Shows or clears the record of refused commands and logins.",
            args: "[operation=(count:int|RESET)]",
            handler: acl_log,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "save",
            arity: 2,
            flags: "admin noscript loading stale",
            since: "6.0.0",
            group: "server",
            complexity: "O(N) with N the number of users",
            summary: "Writes the users to the ACL file.",
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            handler: acl_save,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "setuser",
            arity: -3,
            flags: "admin noscript loading stale",
            since: "6.0.0",
            group: "server",
            complexity: "O(N) with N the number of rules",
            summary: "Creates a user or changes its rights.",
            args: "username [rule...]",
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            handler: acl_setuser,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "users",
            arity: 2,
            flags: "admin noscript loading stale",
            since: "6.0.0",
            group: "server",
            complexity: "O(N) with N the number of users",
            summary: "Lists the names of all users.",
            handler: acl_users,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "whoami",
            arity: 2,
            flags: "noscript loading stale",
            since: "6.0.0",
            group: "server",
            complexity: "O(1)",
            summary: "Names the user of the connection.",
            handler: acl_whoami,
            ..CommandSpec::EMPTY
        },
    ],
    ..CommandSpec::EMPTY
}];

const HELP: &[&str] = &[
    "CAT [<category>]",
    "    List the command categories, or the commands of one of them.",
    "DELUSER <username> [<username> ...]",
    "    Remove users and close their connections.",
    "DRYRUN <username> <command> [<arg> ...]",
    "    Tell whether a user might run a command, without running it.",
    "GETUSER <username>",
    "    Describe the rights of a user.",
    "GENPASS [<bits>]",
    "    Make up a random password of 256 or the given number of bits.",
    "LIST",
    "    List all users as lines of an ACL file.",
    "LOAD",
    "    Read the ACL file again.",
    "LOG [<count> | RESET]",
    "    Show or clear the record of refused commands and logins.",
    "SAVE",
    "    Write the users to the ACL file.",
    "SETUSER <username> <attribute> [<attribute> ...]",
    "    Create a user or change its rights.",
    "USERS",
    "    List the names of all users.",
    "WHOAMI",
    "    Name the user of the connection.",
];

#[cfg(test)]
mod tests;

/// Most bits of a password of `ACL GENPASS`.
const GENPASS_BITS_MAX: i64 = 4096;

/// Number of entries that `ACL LOG` shows unless asked for another.
const LOG_ENTRIES_SHOWN: i64 = 10;

fn acl_cat(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let Some(name) = args.get(2) else {
        out.array(Categories::NAMES.len());
        Categories::NAMES.iter().for_each(|name| out.bulk(name.as_bytes()));
        return Ok(());
    };
    if args.len() > 3 {
        return Err(errors::subcommand_syntax(args));
    }
    let category = std::str::from_utf8(name).ok().and_then(Categories::by_name);
    let category = category.ok_or_else(|| errors::acl_unknown_category(name))?;
    let commands = ctx.engine.commands.iter().map(|(_, command)| command);
    let members: Vec<&str> =
        commands.filter(|c| c.categories.contains(category)).map(|c| c.full_name).collect();
    out.array(members.len());
    members.iter().for_each(|name| out.bulk(name.as_bytes()));
    Ok(())
}

fn acl_deluser(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    if args.from(2).contains(&ctx.engine.acl.default_user().name()) {
        return Err(errors::ACL_DEFAULT_STAYS);
    }
    let removed = args.from(2).iter().filter(|name| ctx.engine.remove_user(name)).count();
    out.int(removed as i64);
    Ok(())
}

fn acl_dryrun(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let user = ctx.engine.acl.get(args[2]).ok_or_else(|| errors::acl_user_not_found(args[2]))?;
    let (commands, tried) = (&ctx.engine.commands, Args::new(args.from(3)));
    let id = commands.find(tried).map_err(|_| errors::acl_command_not_found(args[3]))?;
    let command = commands.get(id);
    if !command.takes(tried.len()) {
        return Err(errors::wrong_arity(command.full_name.as_bytes()));
    }
    let Err(denial) = user.check(&mut Request::new(commands, id, tried)) else {
        out.ok();
        return Ok(());
    };
    let kind = match denial.reason {
        Reason::Key => "key",
        Reason::Channel => "channel",
        Reason::Command | Reason::Auth => {
            let text = errors::acl_denial(denial.reason, user.name(), command.full_name);
            out.bulk(text.as_bytes());
            return Ok(());
        }
    };
    let mut text = b"User ".to_vec();
    text.extend_from_slice(user.name());
    text.extend_from_slice(b" has no permissions to access the '");
    text.extend_from_slice(tried.get(denial.index).unwrap_or_default());
    text.extend_from_slice(format!("' {kind}").as_bytes());
    out.bulk(&text);
    Ok(())
}

fn acl_genpass(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let bits = match args.len() {
        2 => 256,
        3 => args.int_in(2, 1..=GENPASS_BITS_MAX, errors::ACL_GENPASS_BITS)?,
        _ => return Err(errors::subcommand_syntax(args)),
    };
    let digits = (bits as usize).div_ceil(4);
    let mut secret = vec![0; digits.div_ceil(2)];
    ctx.engine.env.secret_bytes(&mut secret).map_err(errors::plain)?;
    let mut text: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(digits);
    out.bulk(text.as_bytes());
    Ok(())
}

fn acl_getuser(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let Some(user) = ctx.engine.acl.get(args[2]) else {
        out.null();
        return Ok(());
    };
    out.map(6);
    out.bulk(b"flags");
    let flags = user.flags();
    out.set(flags.len());
    flags.iter().for_each(|flag| out.bulk(flag.as_bytes()));
    out.bulk(b"passwords");
    out.array(user.passwords().len());
    user.passwords().iter().for_each(|hash| out.bulk(hash.to_string().as_bytes()));
    write_selector(user.root(), out);
    out.bulk(b"selectors");
    out.array(user.selectors().len());
    for selector in user.selectors() {
        out.map(3);
        write_selector(selector, out);
    }
    Ok(())
}

/// Three entries of a map.
fn write_selector(selector: &Selector, out: &mut dyn ReplyWriter) {
    out.bulk(b"commands");
    out.bulk(&selector.command_words().join(&b' '));
    out.bulk(b"keys");
    out.bulk(&selector.key_words().join(&b' '));
    out.bulk(b"channels");
    out.bulk(&selector.channel_words().join(&b' '));
}

fn acl_list(ctx: &mut Ctx<'_>, _: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    out.array(ctx.engine.acl.count());
    ctx.engine.acl.iter().for_each(|user| out.bulk(&user.file_line()));
    Ok(())
}

fn acl_users(
    ctx: &mut Ctx<'_>,
    _: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    out.array(ctx.engine.acl.count());
    ctx.engine.acl.iter().for_each(|user| out.bulk(user.name()));
    Ok(())
}

fn acl_whoami(
    ctx: &mut Ctx<'_>,
    _: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    match ctx.session() {
        Some(session) => out.bulk(session.user().name()),
        None => out.null(),
    }
    Ok(())
}

fn acl_load(ctx: &mut Ctx<'_>, _: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    if ctx.engine.config.aclfile.is_empty() {
        return Err(errors::ACL_NO_FILE);
    }
    ctx.engine.load_acl_file().map_err(errors::plain)?;
    out.ok();
    Ok(())
}

fn acl_save(ctx: &mut Ctx<'_>, _: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    if ctx.engine.config.aclfile.is_empty() {
        return Err(errors::ACL_NO_FILE);
    }
    if let Err(reason) = ctx.engine.save_acl_file() {
        let message = format!("Writing the ACL file for ACL SAVE: {reason}");
        ctx.engine.env.log(LogLevel::Warning, &message);
        return Err(errors::ACL_NOT_SAVED);
    }
    out.ok();
    Ok(())
}

fn acl_log(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let count = match args.len() {
        2 => LOG_ENTRIES_SHOWN,
        3 if args.is(2, "reset") => {
            ctx.engine.acl.log.clear();
            out.ok();
            return Ok(());
        }
        3 => args.int(2)?,
        _ => return Err(errors::subcommand_syntax(args)),
    };
    let now_ms = ctx.now_ms();
    write_log(&ctx.engine.acl, usize::try_from(count).unwrap_or(0), now_ms, out);
    Ok(())
}

fn write_log(acl: &Acl, count: usize, now_ms: i64, out: &mut dyn ReplyWriter) {
    let entries = acl.log.entries();
    out.array(entries.len().min(count));
    for entry in entries.take(count) {
        out.map(10);
        out.bulk(b"count");
        out.int(entry.count as i64);
        out.bulk(b"reason");
        out.bulk(match entry.reason {
            Reason::Command => b"command",
            Reason::Key => b"key",
            Reason::Auth => b"auth",
            Reason::Channel => b"channel",
        });
        out.bulk(b"context");
        out.bulk(match entry.context {
            Context::Toplevel => b"toplevel",
            Context::Multi => b"multi",
            Context::Script => b"lua",
        });
        out.bulk(b"object");
        out.bulk(&entry.object);
        out.bulk(b"username");
        out.bulk(&entry.username);
        out.bulk(b"age-seconds");
        out.double((now_ms - entry.updated_ms) as f64 / 1000.0);
        out.bulk(b"client-info");
        out.bulk(&entry.client_info);
        out.bulk(b"entry-id");
        out.int(entry.id as i64);
        out.bulk(b"timestamp-created");
        out.int(entry.created_ms);
        out.bulk(b"timestamp-last-updated");
        out.int(entry.updated_ms);
    }
}

fn acl_setuser(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    if has_spaces(args[2]) {
        return Err(errors::ACL_USERNAME);
    }
    ctx.engine
        .change_user(args[2], args.from(3))
        .map_err(|wrong| errors::acl_wrong_rule(&wrong))?;
    out.ok();
    Ok(())
}
