//! What streams, their groups and consumers look like.

use super::{write_entry, write_id, write_known};
use crate::args::Args;
use crate::cmd::help;
use crate::cmd::stream::range::write_entries;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::stream::{Consumer, Group};
use perilune_keyspace::{Stream, StreamId};
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "xinfo",
    arity: -2,
    since: "5.0.0",
    group: "stream",
    complexity: "Depends on the subcommand.",
    summary: "Describes streams, consumer groups and consumers.",
    subcommands: &[
        CommandSpec {
            name: "consumers",
            arity: 4,
            flags: "readonly",
            acl: "stream",
            keys: &[KeySpec::one("RO access", 2)],
            since: "5.0.0",
            group: "stream",
            complexity: "O(N) with N the consumers",
            summary: "Lists the consumers of a group.",
            args: "key:key group",
            tips: &["nondeterministic_output"],
            handler: xinfo_consumers,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "groups",
            arity: 3,
            flags: "readonly",
            acl: "stream",
            keys: &[KeySpec::one("RO access", 2)],
            since: "5.0.0",
            group: "stream",
            complexity: "O(N) with N the groups",
            summary: "Lists the consumer groups of a stream.",
            args: "key:key",
            handler: xinfo_groups,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "help",
            arity: 2,
            flags: "loading stale",
            acl: "stream",
            since: "5.0.0",
            group: "stream",
            complexity: "O(1)",
            summary: "Explains the subcommands of XINFO.",
            help: HELP,
            handler: help::answer,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "stream",
            arity: -3,
            flags: "readonly",
            acl: "stream",
            keys: &[KeySpec::one("RO access", 2)],
            since: "5.0.0",
            group: "stream",
            complexity: "O(N) with N the nodes of the stream and the entries shown",
            summary: "Describes a stream.",
            args: "key:key [full-block={FULL [COUNT count:int]}]",
            handler: xinfo_stream,
            ..CommandSpec::EMPTY
        },
    ],
    ..CommandSpec::EMPTY
}];

const HELP: &[&str] = &[
    "CONSUMERS <key> <group>",
    "    List the consumers of a group.",
    "GROUPS <key>",
    "    List the consumer groups of a stream.",
    "STREAM <key> [FULL [COUNT <count>]]",
    "    Describe a stream, in full with its entries and what is pending.",
];

/// Entries that `FULL` shows unless told otherwise.
const FULL_COUNT_DEFAULT: i64 = 10;

/// The stream at the key of a subcommand, which must exist.
fn stream<'c>(ctx: &'c mut Ctx<'_>, args: Args<'_>) -> Result<&'c Stream, CommandError> {
    ctx.read_as::<Stream>(args[2])?.ok_or(errors::NO_SUCH_KEY)
}

fn xinfo_consumers(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let now_ms = ctx.now_ms();
    let group = stream(ctx, args)?.group(args[3]);
    let group = group.ok_or_else(|| errors::no_group(args[2], args[3]))?;
    out.array(group.consumer_count());
    for consumer in group.consumers() {
        out.map(4);
        out.bulk(b"name");
        out.bulk(consumer.name());
        out.bulk(b"pending");
        out.int(consumer.pending_len() as i64);
        out.bulk(b"idle");
        out.int(now_ms.wrapping_sub(consumer.seen_ms).max(0));
        out.bulk(b"inactive");
        out.int(match consumer.active_ms {
            -1 => -1,
            active_ms => now_ms.wrapping_sub(active_ms),
        });
    }
    Ok(())
}

fn xinfo_groups(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let stream = stream(ctx, args)?;
    out.array(stream.group_count());
    for (name, group) in stream.groups() {
        out.map(6);
        out.bulk(b"name");
        out.bulk(name);
        out.bulk(b"consumers");
        out.int(group.consumer_count() as i64);
        out.bulk(b"pending");
        out.int(group.pending_len() as i64);
        write_position(stream, group, out);
    }
    Ok(())
}

/// How far a group has read: three pairs of a map.
fn write_position(stream: &Stream, group: &Group, out: &mut dyn ReplyWriter) {
    out.bulk(b"last-delivered-id");
    write_id(out, group.last_id);
    out.bulk(b"entries-read");
    write_known(out, group.entries_read);
    out.bulk(b"lag");
    write_known(out, stream.lag(group));
}

/// Most elements of each list that `FULL` shows; none where `FULL` was not asked for.
fn parse_full(args: Args<'_>) -> Result<Option<usize>, CommandError> {
    let count = match args.len() {
        3 => return Ok(None),
        4 if args.is(3, "full") => FULL_COUNT_DEFAULT,
        6 if args.is(3, "full") && args.is(4, "count") => match args.int(5)? {
            ..0 => FULL_COUNT_DEFAULT,
            count => count,
        },
        _ => return Err(errors::subcommand_syntax(args)),
    };
    let count = usize::try_from(count).ok().filter(|count| *count > 0);
    Ok(Some(count.unwrap_or(usize::MAX)))
}

fn xinfo_stream(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let stream = stream(ctx, args)?;
    match parse_full(args)? {
        None => {
            out.map(10);
            write_facts(stream, out);
            write_ends(stream, out);
        }
        Some(count) => {
            out.map(9);
            write_facts(stream, out);
            out.bulk(b"entries");
            write_entries(stream.iter(), count, out);
            out.bulk(b"groups");
            out.array(stream.group_count());
            for (name, group) in stream.groups() {
                write_group(stream, name, group, count, out);
            }
        }
    }
    Ok(())
}

/// Seven pairs of a map.
fn write_facts(stream: &Stream, out: &mut dyn ReplyWriter) {
    out.bulk(b"length");
    out.int(stream.len() as i64);
    out.bulk(b"radix-tree-keys");
    out.int(stream.node_count() as i64);
    out.bulk(b"radix-tree-nodes");
    out.int(stream.radix_tree_nodes() as i64);
    out.bulk(b"last-generated-id");
    write_id(out, stream.last_id());
    out.bulk(b"max-deleted-entry-id");
    write_id(out, stream.max_deleted_id());
    out.bulk(b"entries-added");
    out.int(stream.entries_added() as i64);
    out.bulk(b"recorded-first-entry-id");
    write_id(out, stream.first_id());
}

/// Three pairs of a map.
fn write_ends(stream: &Stream, out: &mut dyn ReplyWriter) {
    out.bulk(b"groups");
    out.int(stream.group_count() as i64);
    for (name, backwards) in [("first-entry", false), ("last-entry", true)] {
        out.bulk(name.as_bytes());
        match stream.range(StreamId::MIN, StreamId::MAX, backwards).next() {
            Some(entry) => write_entry(out, &entry),
            None => out.null(),
        }
    }
}

fn write_group(
    stream: &Stream,
    name: &[u8],
    group: &Group,
    count: usize,
    out: &mut dyn ReplyWriter,
) {
    out.map(7);
    out.bulk(b"name");
    out.bulk(name);
    write_position(stream, group, out);
    out.bulk(b"pel-count");
    out.int(group.pending_len() as i64);
    out.bulk(b"pending");
    out.array(group.pending_len().min(count));
    for (id, pending) in group.pending_range(..).take(count) {
        out.array(4);
        write_id(out, id);
        out.bulk(group.owner_name(pending));
        out.int(pending.delivered_ms);
        out.int(pending.deliveries as i64);
    }
    out.bulk(b"consumers");
    out.array(group.consumer_count());
    group.consumers().for_each(|consumer| write_consumer(group, consumer, count, out));
}

fn write_consumer(group: &Group, consumer: &Consumer, count: usize, out: &mut dyn ReplyWriter) {
    out.map(5);
    out.bulk(b"name");
    out.bulk(consumer.name());
    out.bulk(b"seen-time");
    out.int(consumer.seen_ms);
    out.bulk(b"active-time");
    out.int(consumer.active_ms);
    out.bulk(b"pel-count");
    out.int(consumer.pending_len() as i64);
    out.bulk(b"pending");
    let shown = consumer.pending_from(StreamId::MIN).take(count);
    let shown: Vec<_> = shown.filter_map(|id| Some((id, group.pending(id)?))).collect();
    out.array(shown.len());
    for (id, pending) in shown {
        out.array(3);
        write_id(out, id);
        out.int(pending.delivered_ms);
        out.int(pending.deliveries as i64);
    }
}
