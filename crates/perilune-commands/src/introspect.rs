//! The command table as clients see it: entries of `COMMAND INFO` and `COMMAND DOCS`, and the
//! command reference as a page of text.
//!
//! Everything here is derived from the rows; there is no second list of anything. The order of
//! subcommands is that of the rows.

use crate::keys::legacy_range;
use crate::spec::{BeginSearch, CommandFlags, CommandSpec, FindKeys, KeySpec};
use crate::syntax::{self, ArgKind, ArgSpec};
use crate::table::{Command, CommandId, CommandTable};
use perilune_resp::ReplyWriter;
use std::fmt::Write;

/// The words of [`KeySpec::flags`] in the order replies list them.
const KEY_WORDS: [&str; 11] = [
    "RO",
    "RW",
    "OW",
    "RM",
    "access",
    "update",
    "insert",
    "delete",
    "not_key",
    "incomplete",
    "variable_flags",
];

// ---- COMMAND INFO ----------------------------------------------------------------------------

/// Writes what `COMMAND INFO` tells about a command.
pub(crate) fn write_info(table: &CommandTable, id: CommandId, out: &mut dyn ReplyWriter) {
    let command = table.get(id);
    let spec = command.spec;
    let (range, _) = legacy_range(spec.keys);
    out.array(10);
    out.bulk(command.full_name.as_bytes());
    out.int(i64::from(spec.arity));
    let shown = CommandFlags::SHOWN.iter().filter(|(flag, _)| command.flags.contains(*flag));
    write_words(&shown.map(|(_, name)| *name).collect::<Vec<_>>(), out);
    out.int(i64::from(range.first));
    out.int(i64::from(range.last));
    out.int(i64::from(range.step));
    let categories: Vec<String> = command.categories.names().map(|n| format!("@{n}")).collect();
    write_words(&categories, out);
    out.set(spec.tips.len());
    spec.tips.iter().for_each(|tip| out.bulk(tip.as_bytes()));
    out.set(spec.keys.len());
    spec.keys.iter().for_each(|key| write_key_spec(key, out));
    if command.subcommands.is_empty() {
        out.set(0);
        return;
    }
    out.array(command.subcommands.len());
    for (_, sub) in &command.subcommands {
        write_info(table, *sub, out);
    }
}

fn write_words(words: &[impl AsRef<str>], out: &mut dyn ReplyWriter) {
    out.set(words.len());
    words.iter().for_each(|word| out.status(word.as_ref().as_bytes()));
}

/// Writes the flags of a key as a set of words.
pub(crate) fn write_key_flags(flags: &str, out: &mut dyn ReplyWriter) {
    let has = |word: &&&str| flags.split_whitespace().any(|flag| flag == **word);
    write_words(&KEY_WORDS.iter().filter(has).collect::<Vec<_>>(), out);
}

fn write_key_spec(key: &KeySpec, out: &mut dyn ReplyWriter) {
    out.map(if key.notes.is_empty() { 3 } else { 4 });
    if !key.notes.is_empty() {
        write_text("notes", key.notes, out);
    }
    out.bulk(b"flags");
    write_key_flags(key.flags, out);
    out.bulk(b"begin_search");
    match key.begin {
        BeginSearch::Index(index) => write_search("index", &[("index", index)], out),
        BeginSearch::Keyword(word, from) => {
            write_search_head("keyword", 2, out);
            write_text("keyword", word, out);
            write_int("startfrom", i64::from(from), out);
        }
        BeginSearch::Unknown => write_search("unknown", &[], out),
    }
    out.bulk(b"find_keys");
    match key.find {
        FindKeys::Range { last, step, limit } => {
            write_search("range", &[("lastkey", last), ("keystep", step), ("limit", limit)], out);
        }
        FindKeys::KeyNum { keynum, first, step } => {
            let fields = [("keynumidx", keynum), ("firstkey", first), ("keystep", step)];
            write_search("keynum", &fields, out);
        }
        FindKeys::Unknown => write_search("unknown", &[], out),
    }
}

fn write_search(kind: &str, fields: &[(&str, i32)], out: &mut dyn ReplyWriter) {
    write_search_head(kind, fields.len(), out);
    fields.iter().for_each(|(name, value)| write_int(name, i64::from(*value), out));
}

fn write_search_head(kind: &str, fields: usize, out: &mut dyn ReplyWriter) {
    out.map(2);
    write_text("type", kind, out);
    out.bulk(b"spec");
    out.map(fields);
}

fn write_text(name: &str, value: &str, out: &mut dyn ReplyWriter) {
    out.bulk(name.as_bytes());
    out.bulk(value.as_bytes());
}

fn write_int(name: &str, value: i64, out: &mut dyn ReplyWriter) {
    out.bulk(name.as_bytes());
    out.int(value);
}

// ---- COMMAND DOCS ----------------------------------------------------------------------------

/// Writes what `COMMAND DOCS` tells about a command.
pub(crate) fn write_docs(table: &CommandTable, id: CommandId, out: &mut dyn ReplyWriter) {
    let command = table.get(id);
    let spec = command.spec;
    let texts = [
        ("summary", spec.summary),
        ("since", spec.since),
        ("group", spec.group),
        ("complexity", spec.complexity),
    ];
    let doc_flags = doc_flags(command);
    let args = arguments(spec);
    let fields = texts.iter().filter(|(_, text)| !text.is_empty()).count()
        + usize::from(!doc_flags.is_empty())
        + spec.deprecated.map_or(0, |_| 2)
        + usize::from(!spec.history.is_empty())
        + usize::from(!args.is_empty())
        + usize::from(!command.subcommands.is_empty());
    out.map(fields);
    for (name, text) in texts.iter().filter(|(_, text)| !text.is_empty()) {
        write_text(name, text, out);
    }
    if !doc_flags.is_empty() {
        out.bulk(b"doc_flags");
        write_words(&doc_flags, out);
    }
    if let Some((since, instead)) = spec.deprecated {
        write_text("deprecated_since", since, out);
        write_text("replaced_by", instead, out);
    }
    if !spec.history.is_empty() {
        out.bulk(b"history");
        out.set(spec.history.len());
        for (version, change) in spec.history {
            out.array(2);
            write_text(version, change, out);
        }
    }
    if !args.is_empty() {
        out.bulk(b"arguments");
        write_arguments(&args, out);
    }
    if !command.subcommands.is_empty() {
        out.bulk(b"subcommands");
        out.map(command.subcommands.len());
        for (_, sub) in &command.subcommands {
            out.bulk(table.get(*sub).full_name.as_bytes());
            write_docs(table, *sub, out);
        }
    }
}

fn doc_flags(command: &Command) -> Vec<&'static str> {
    let deprecated = command.spec.deprecated.map(|_| "deprecated");
    let system = command.flags.contains(CommandFlags::SYSCMD).then_some("syscmd");
    deprecated.into_iter().chain(system).collect()
}

/// The arguments of a row. The table refuses rows whose notation cannot be read.
fn arguments(spec: &CommandSpec) -> Vec<ArgSpec<'static>> {
    syntax::parse(spec.args).unwrap_or_default()
}

fn write_arguments(args: &[ArgSpec<'_>], out: &mut dyn ReplyWriter) {
    out.array(args.len());
    args.iter().for_each(|arg| write_argument(arg, out));
}

fn write_argument(arg: &ArgSpec<'_>, out: &mut dyn ReplyWriter) {
    let children = match &arg.kind {
        ArgKind::OneOf(children) | ArgKind::Block(children) => Some(children),
        _ => None,
    };
    let flags: Vec<&str> = [
        (arg.optional, "optional"),
        (arg.multiple, "multiple"),
        (arg.multiple_token, "multiple_token"),
    ]
    .into_iter()
    .filter_map(|(set, name)| set.then_some(name))
    .collect();
    // Name and type, and either the children or the text to display.
    let fields = 3
        + usize::from(arg.key_spec.is_some())
        + usize::from(arg.token.is_some())
        + usize::from(arg.since.is_some())
        + usize::from(arg.deprecated_since.is_some())
        + usize::from(!flags.is_empty());
    out.map(fields);
    write_text("name", &arg.name, out);
    write_text("type", arg.kind.name(), out);
    if children.is_none() {
        write_text("display_text", arg.display.unwrap_or(&arg.name), out);
    }
    if let Some(index) = arg.key_spec {
        write_int("key_spec_index", i64::from(index), out);
    }
    if let Some(token) = arg.token {
        write_text("token", token, out);
    }
    if let Some(since) = arg.since {
        write_text("since", since, out);
    }
    if let Some(version) = arg.deprecated_since {
        write_text("deprecated_since", version, out);
    }
    if !flags.is_empty() {
        out.bulk(b"flags");
        write_words(&flags, out);
    }
    if let Some(children) = children {
        out.bulk(b"arguments");
        write_arguments(children, out);
    }
}

// ---- reference -------------------------------------------------------------------------------

/// All commands of the table as a Markdown page, a section per group and an entry per command:
/// how to call it, what it does, what it costs, what it belongs to.
pub fn command_reference() -> Result<String, String> {
    let table = CommandTable::new(crate::cmd::GROUPS)?;
    // Containers without a form of their own show only through their subcommands.
    let mut commands: Vec<&Command> =
        table.iter().map(|(_, c)| c).filter(|c| !is_pure_container(c)).collect();
    commands.sort_by_key(|command| (command.spec.group, command.full_name));
    let mut page = String::from("# Command reference\n");
    let mut group = "";
    for command in commands {
        if command.spec.group != group {
            group = command.spec.group;
            push(&mut page, format_args!("\n## {}\n", title(group)));
        }
        push_entry(&mut page, command)?;
    }
    Ok(page)
}

fn is_pure_container(command: &Command) -> bool {
    // Such a container insists on the name of a subcommand.
    !command.subcommands.is_empty() && command.spec.arity < -1
}

fn push_entry(page: &mut String, command: &Command) -> Result<(), String> {
    let spec = command.spec;
    let synopsis = syntax::synopsis(command.full_name, spec.args)?;
    let name = command.full_name.to_ascii_uppercase().replace('|', " ");
    push(page, format_args!("\n### {name}\n\n```text\n{synopsis}\n```\n"));
    if !spec.summary.is_empty() {
        push(page, format_args!("\n{}\n", spec.summary));
    }
    push(page, format_args!("\n- Since: {}\n", spec.since));
    if let Some((since, instead)) = spec.deprecated {
        push(page, format_args!("- Deprecated since {since}; use {instead}\n"));
    }
    if !spec.complexity.is_empty() {
        push(page, format_args!("- Cost: {}\n", spec.complexity));
    }
    let categories: Vec<String> = command.categories.names().map(|n| format!("`@{n}`")).collect();
    push(page, format_args!("- Categories: {}\n", categories.join(", ")));
    for (version, change) in spec.history {
        push(page, format_args!("- {version}: {change}\n"));
    }
    Ok(())
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = page.write_fmt(text);
}

/// Heading of a group: `sorted-set` becomes `Sorted set`.
fn title(group: &str) -> String {
    let words = group.replace('-', " ");
    let mut letters = words.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

#[cfg(test)]
mod tests;
