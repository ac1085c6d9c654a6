//! `COMMAND`: the table describes itself.

use crate::acl::Categories;
use crate::args::Args;
use crate::cmd::help;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::keys::{KeyPosition, find_keys};
use crate::spec::CommandSpec;
use crate::table::{Command, CommandId, CommandTable};
use crate::{glob, introspect};
use perilune_resp::{DeferredKind, ReplyWriter};

pub(crate) const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "command",
    flags: "loading stale",
    acl: "connection",
    since: "2.8.13",
    group: "server",
    complexity: "O(N) with N the number of commands",
    summary: "Describes all commands.",
    tips: &["nondeterministic_output_order"],
    handler: command,
    subcommands: &[
        CommandSpec {
            name: "count",
            arity: 2,
            flags: "loading stale",
            acl: "connection",
            since: "2.8.13",
            group: "server",
            complexity: "O(1)",
            summary: "Counts the commands.",
            handler: command_count,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "docs",
            arity: -2,
            flags: "loading stale",
            acl: "connection",
            since: "7.0.0",
            group: "server",
            complexity: "O(N) with N the number of commands asked for",
            summary: "Documents commands for people and tools.",
            args: "[command-name...]",
            tips: &["nondeterministic_output_order"],
            handler: command_docs,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "getkeys",
            arity: -3,
            flags: "loading stale",
            acl: "connection",
            since: "2.8.13",
            group: "server",
            complexity: "O(N) with N the number of arguments",
            summary: "Finds the keys among the arguments of a command.",
            args: "command [arg...]",
            handler: command_getkeys,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "getkeysandflags",
            arity: -3,
            flags: "loading stale",
            acl: "connection",
            since: "7.0.0",
            group: "server",
            complexity: "O(N) with N the number of arguments",
            summary: "Finds the keys among the arguments of a command and how each is used.",
            args: "command [arg...]",
            handler: command_getkeysandflags,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "help",
            arity: 2,
            flags: "loading stale",
            acl: "connection",
            since: "5.0.0",
            group: "server",
            complexity: "O(1)",
            summary: "Explains the subcommands of COMMAND.",
            help: HELP,
            handler: help::answer,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "info",
            arity: -2,
            flags: "loading stale",
            acl: "connection",
            since: "2.8.13",
            group: "server",
            complexity: "O(N) with N the number of commands asked for",
            summary: "Describes the given commands.",
            args: "[command-name...]",
            tips: &["nondeterministic_output_order"],
            handler: command_info,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "list",
            arity: -2,
            flags: "loading stale",
            acl: "connection",
            since: "7.0.0",
            group: "server",
            complexity: "O(N) with N the number of commands",
            summary: "Lists the names of commands.",
            args: "[FILTERBY filterby=(MODULE module-name|ACLCAT category|PATTERN pattern:pattern)]",
            tips: &["nondeterministic_output_order"],
            handler: command_list,
            ..CommandSpec::EMPTY
        },
    ],
    ..CommandSpec::EMPTY
}];

type Outcome = Result<(), CommandError>;

const HELP: &[&str] = &[
    "(no subcommand)",
    "    Describe every command.",
    "COUNT",
    "    Count the commands.",
    "LIST [FILTERBY MODULE <name>|ACLCAT <category>|PATTERN <pattern>]",
    "    List the names of commands, all or those of a module, a category or a pattern.",
    "INFO [<command-name> ...]",
    "    Describe the given commands, or every command, for client libraries.",
    "DOCS [<command-name> ...]",
    "    Document the given commands, or every command, for people and tools.",
    "GETKEYS <full-command>",
    "    Find the keys among the arguments of a command.",
    "GETKEYSANDFLAGS <full-command>",
    "    Find the keys and tell what the command does to each.",
];

/// Top-level commands, in the order of the rows.
fn top_level(table: &CommandTable) -> impl Iterator<Item = (CommandId, &Command)> {
    table.iter().filter(|(_, command)| command.parent.is_none())
}

fn command(ctx: &mut Ctx<'_>, _: Args<'_>, out: &mut dyn ReplyWriter) -> Outcome {
    let table = &ctx.engine.commands;
    out.array(table.len());
    for (id, _) in top_level(table) {
        introspect::write_info(table, id, out);
    }
    Ok(())
}

fn command_count(ctx: &mut Ctx<'_>, _: Args<'_>, out: &mut dyn ReplyWriter) -> Outcome {
    out.int(ctx.engine.commands.len() as i64);
    Ok(())
}

fn command_info(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Outcome {
    let names = args.from(2);
    if names.is_empty() {
        return command(ctx, args, out);
    }
    let table = &ctx.engine.commands;
    out.array(names.len());
    for name in names {
        match table.by_full_name(name) {
            Some(id) => introspect::write_info(table, id, out),
            None => out.null(),
        }
    }
    Ok(())
}

fn command_docs(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Outcome {
    let table = &ctx.engine.commands;
    let ids: Vec<CommandId> = match args.from(2) {
        [] => top_level(table).map(|(id, _)| id).collect(),
        names => names.iter().filter_map(|name| table.by_full_name(name)).collect(),
    };
    out.map(ids.len());
    for id in ids {
        out.bulk(table.get(id).full_name.as_bytes());
        introspect::write_docs(table, id, out);
    }
    Ok(())
}

/// Which names `COMMAND LIST` tells.
enum Filter<'a> {
    All,
    /// No module adds commands, so none is ever listed.
    Module,
    /// `None`: a category nobody knows, which holds no command.
    Category(Option<Categories>),
    Pattern(&'a [u8]),
}

impl<'a> Filter<'a> {
    fn parse(args: Args<'a>) -> Result<Self, CommandError> {
        match args.from(2) {
            [] => Ok(Filter::All),
            [_, _, value] if args.is(2, "FILTERBY") => {
                if args.is(3, "MODULE") {
                    Ok(Filter::Module)
                } else if args.is(3, "ACLCAT") {
                    let name = std::str::from_utf8(value).unwrap_or_default();
                    Ok(Filter::Category(Categories::by_name(name)))
                } else if args.is(3, "PATTERN") {
                    Ok(Filter::Pattern(value))
                } else {
                    Err(errors::SYNTAX)
                }
            }
            _ => Err(errors::SYNTAX),
        }
    }

    fn admits(&self, command: &Command) -> bool {
        match self {
            Filter::All => true,
            Filter::Module => false,
            Filter::Category(category) => {
                category.is_some_and(|category| command.categories.contains(category))
            }
            Filter::Pattern(pattern) => glob::matches(pattern, command.full_name.as_bytes(), true),
        }
    }
}

fn command_list(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Outcome {
    let filter = Filter::parse(args)?;
    let list = out.begin_deferred(DeferredKind::Array);
    let mut len = 0;
    for (_, command) in ctx.engine.commands.iter().filter(|(_, c)| filter.admits(c)) {
        out.bulk(command.full_name.as_bytes());
        len += 1;
    }
    out.end_deferred(list, len);
    Ok(())
}

/// The keys of the command that stands behind the subcommand's name.
fn keys_of(table: &CommandTable, args: Args<'_>) -> Result<Vec<KeyPosition>, CommandError> {
    let inner = Args::new(args.from(2));
    let id = table.find(inner).map_err(|_| errors::COMMAND_INVALID)?;
    Ok(find_keys(table.get(id).spec, inner)?)
}

fn command_getkeys(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Outcome {
    let keys = keys_of(&ctx.engine.commands, args)?;
    out.array(keys.len());
    keys.iter().for_each(|key| out.bulk(args.get(key.index + 2).unwrap_or_default()));
    Ok(())
}

fn command_getkeysandflags(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Outcome {
    let keys = keys_of(&ctx.engine.commands, args)?;
    out.array(keys.len());
    for key in keys {
        out.array(2);
        out.bulk(args.get(key.index + 2).unwrap_or_default());
        introspect::write_key_flags(key.flags, out);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> CommandTable {
        CommandTable::new(super::super::GROUPS).expect("the rows fit")
    }

    fn listed(line: &str) -> Result<Vec<&'static str>, CommandError> {
        let argv: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let filter = Filter::parse(Args::new(&argv))?;
        let table = table();
        let names = table.iter().filter(|(_, c)| filter.admits(c)).map(|(_, c)| c.full_name);
        Ok(names.collect())
    }

    fn keys(line: &str) -> Result<Vec<usize>, CommandError> {
        let argv: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let keys = keys_of(&table(), Args::new(&argv))?;
        Ok(keys.iter().map(|key| key.index).collect())
    }

    #[test]
    fn list_filters() {
        assert_eq!(listed("COMMAND LIST").map(|all| all.len()), Ok(table().iter().count()));
        assert_eq!(listed("COMMAND LIST filterby pattern command|c*"), Ok(vec!["command|count"]));
        assert_eq!(listed("COMMAND LIST FILTERBY MODULE any"), Ok(vec![]));
        assert_eq!(listed("COMMAND LIST FILTERBY ACLCAT nonsense"), Ok(vec![]));
        let connection = listed("COMMAND LIST FILTERBY ACLCAT connection");
        assert!(connection.is_ok_and(|names| names.contains(&"ping") && !names.contains(&"exec")));
        for malformed in ["FILTERBY", "FILTERBY ACLCAT", "FILTERBY AGE 3", "FILTERBY ACLCAT a b"] {
            let line = format!("COMMAND LIST {malformed}");
            assert_eq!(listed(&line), Err(errors::SYNTAX), "{line}");
        }
    }

    #[test]
    fn getkeys_looks_at_the_inner_command() {
        assert_eq!(keys("COMMAND GETKEYS watch a b"), Ok(vec![1, 2]));
        assert_eq!(keys("COMMAND GETKEYS watch"), Err(errors::COMMAND_ARITY_INVALID));
        assert_eq!(keys("COMMAND GETKEYS ping"), Err(errors::COMMAND_HAS_NO_KEYS));
        assert_eq!(keys("COMMAND GETKEYS nonsense"), Err(errors::COMMAND_INVALID));
        assert_eq!(keys("COMMAND GETKEYS command nonsense"), Err(errors::COMMAND_INVALID));
        assert_eq!(keys("COMMAND GETKEYS command info"), Err(errors::COMMAND_HAS_NO_KEYS));
    }
}
