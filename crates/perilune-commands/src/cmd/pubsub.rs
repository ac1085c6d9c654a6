//! Publish/subscribe.

use crate::args::Args;
use crate::cmd::help;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::glob;
use crate::pubsub::Subscription;
use crate::session::{ReplyMode, Session};
use crate::spec::{ChannelSpec, CommandSpec, KeySpec};
use perilune_keyspace::Bytes;
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "psubscribe",
        arity: -2,
        flags: "pubsub noscript loading stale",
        since: "2.0.0",
        group: "pubsub",
        complexity: "O(N) with N the number of patterns",
        summary: "Subscribes to all channels that match patterns.",
        args: "pattern:pattern...",
        channels: Some(ChannelSpec::PATTERNS),
        handler: psubscribe,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "publish",
        arity: 3,
        flags: "pubsub loading stale fast may_replicate",
        since: "2.0.0",
        group: "pubsub",
        complexity: "O(N+M) with N the subscribers of the channel and M the number of patterns",
        summary: "Sends a message to the subscribers of a channel.",
        args: "channel message",
        channels: Some(ChannelSpec::FIRST),
        handler: publish,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "pubsub",
        arity: -2,
        since: "2.8.0",
        group: "pubsub",
        complexity: "depends on the subcommand",
        summary: "Looks at channels and subscriptions; see its subcommands.",
        subcommands: &[
            CommandSpec {
                name: "channels",
                arity: -2,
                flags: "pubsub loading stale",
                since: "2.8.0",
                group: "pubsub",
                complexity: "O(N) with N the number of active channels",
                summary: "Lists the channels that have subscribers.",
                args: "[pattern:pattern]",
                handler: pubsub_channels,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "help",
                arity: 2,
                flags: "loading stale",
                since: "6.2.0",
                group: "pubsub",
                complexity: "O(1)",
                summary: "Explains the subcommands of PUBSUB.",
                help: HELP,
                handler: help::answer,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "numpat",
                arity: 2,
                flags: "pubsub loading stale",
                since: "2.8.0",
                group: "pubsub",
                complexity: "O(1)",
                summary: "Counts the distinct patterns subscribed to.",
                handler: pubsub_numpat,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "numsub",
                arity: -2,
                flags: "pubsub loading stale",
                since: "2.8.0",
                group: "pubsub",
                complexity: "O(N) with N the number of channels asked for",
                summary: "Counts the subscribers of channels.",
                args: "[channel...]",
                handler: pubsub_numsub,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "shardchannels",
                arity: -2,
                flags: "pubsub loading stale",
                since: "7.0.0",
                group: "pubsub",
                complexity: "O(N) with N the number of active shard channels",
                summary: "Lists the shard channels that have subscribers.",
                args: "[pattern:pattern]",
                handler: pubsub_shardchannels,
                ..CommandSpec::EMPTY
            },
            CommandSpec {
                name: "shardnumsub",
                arity: -2,
                flags: "pubsub loading stale",
                since: "7.0.0",
                group: "pubsub",
                complexity: "O(N) with N the number of channels asked for",
                summary: "Counts the subscribers of shard channels.",
                args: "[shardchannel...]",
                handler: pubsub_shardnumsub,
                ..CommandSpec::EMPTY
            },
        ],
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "punsubscribe",
        flags: "pubsub noscript loading stale",
        since: "2.0.0",
        group: "pubsub",
        complexity: "O(N) with N the number of patterns",
        summary: "Cancels subscriptions to patterns.",
        args: "[pattern:pattern...]",
        handler: punsubscribe,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "spublish",
        arity: 3,
        flags: "pubsub loading stale fast may_replicate",
        keys: &[KeySpec::one("not_key", 1)],
        since: "7.0.0",
        group: "pubsub",
        complexity: "O(N) with N the subscribers of the channel",
        summary: "Sends a message to the subscribers of a shard channel.",
        args: "shardchannel message",
        channels: Some(ChannelSpec::FIRST),
        handler: spublish,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "ssubscribe",
        arity: -2,
        flags: "pubsub noscript loading stale",
        keys: &[KeySpec::range("not_key", 1, -1, 1, 0)],
        since: "7.0.0",
        group: "pubsub",
        complexity: "O(N) with N the number of channels",
        summary: "Subscribes to shard channels.",
        args: "shardchannel...",
        channels: Some(ChannelSpec::ALL),
        handler: ssubscribe,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "subscribe",
        arity: -2,
        flags: "pubsub noscript loading stale",
        since: "2.0.0",
        group: "pubsub",
        complexity: "O(N) with N the number of channels",
        summary: "Subscribes to channels.",
        args: "channel...",
        channels: Some(ChannelSpec::ALL),
        handler: subscribe,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "sunsubscribe",
        flags: "pubsub noscript loading stale",
        keys: &[KeySpec::range("not_key", 1, -1, 1, 0)],
        since: "7.0.0",
        group: "pubsub",
        complexity: "O(N) with N the number of channels",
        summary: "Cancels subscriptions to shard channels.",
        args: "[shardchannel...]",
        handler: sunsubscribe,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "unsubscribe",
        flags: "pubsub noscript loading stale",
        since: "2.0.0",
        group: "pubsub",
        complexity: "O(N) with N the number of channels",
        summary: "Cancels subscriptions to channels.",
        args: "[channel...]",
        handler: unsubscribe,
        ..CommandSpec::EMPTY
    },
];

const HELP: &[&str] = &[
    "CHANNELS [<pattern>]",
    "    List the channels somebody is subscribed to, all or those that match.",
    "NUMPAT",
    "    Count the patterns somebody is subscribed to.",
    "NUMSUB [<channel> ...]",
    "    Count the subscribers of each channel, pattern subscribers aside.",
    "SHARDCHANNELS [<pattern>]",
    "    List the shard channels somebody is subscribed to, all or those that match.",
    "SHARDNUMSUB [<shardchannel> ...]",
    "    Count the subscribers of each shard channel.",
];

/// Number of subscriptions that the confirmation of one kind reports.
fn reported_count(session: &Session, kind: Subscription) -> usize {
    match kind {
        Subscription::Shard => session.shard_channels.len(),
        _ => session.channels.len() + session.patterns.len(),
    }
}

/// One confirmation: kind of change, name, number of subscriptions left.
fn confirm(
    ctx: &mut Ctx<'_>,
    word: &str,
    kind: Subscription,
    name: Option<&[u8]>,
    out: &mut dyn ReplyWriter,
) {
    let Some(session) = ctx.session() else { return };
    let (count, replies) = (reported_count(session, kind), session.reply_mode == ReplyMode::On);
    let write = |out: &mut dyn ReplyWriter| {
        out.push(3);
        out.bulk(word.as_bytes());
        match name {
            Some(name) => out.bulk(name),
            None => out.null(),
        }
        out.int(count as i64);
    };
    // `CLIENT REPLY` silences replies, not pushes, and a confirmation is the latter.
    match replies {
        true => write(out),
        false => ctx.engine.push(ctx.client, write),
    }
}

fn subscribe_all(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    kind: Subscription,
    word: &str,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    for name in args.from(1) {
        ctx.engine.subscribe(ctx.client, kind, name);
        confirm(ctx, word, kind, Some(name), out);
    }
    Ok(())
}

fn unsubscribe_all(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    kind: Subscription,
    word: &str,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    for name in args.from(1) {
        ctx.engine.unsubscribe(ctx.client, kind, name);
        confirm(ctx, word, kind, Some(name), out);
    }
    if args.len() > 1 {
        return Ok(());
    }
    let Some(session) = ctx.session() else { return Err(errors::NOAUTH) };
    let names: Vec<Bytes> = match kind {
        Subscription::Channel => session.channels.iter().cloned().collect(),
        Subscription::Pattern => session.patterns.iter().cloned().collect(),
        Subscription::Shard => session.shard_channels.iter().cloned().collect(),
    };
    if names.is_empty() {
        confirm(ctx, word, kind, None, out);
    }
    for name in names {
        ctx.engine.unsubscribe(ctx.client, kind, &name);
        confirm(ctx, word, kind, Some(&name), out);
    }
    Ok(())
}

fn subscribe(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    subscribe_all(ctx, args, Subscription::Channel, "subscribe", out)
}

fn psubscribe(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    subscribe_all(ctx, args, Subscription::Pattern, "psubscribe", out)
}

fn ssubscribe(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    if ctx.deny_blocking() {
        return Err(errors::SSUBSCRIBE_DENIED);
    }
    subscribe_all(ctx, args, Subscription::Shard, "ssubscribe", out)
}

fn unsubscribe(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    unsubscribe_all(ctx, args, Subscription::Channel, "unsubscribe", out)
}

fn punsubscribe(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    unsubscribe_all(ctx, args, Subscription::Pattern, "punsubscribe", out)
}

fn sunsubscribe(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    unsubscribe_all(ctx, args, Subscription::Shard, "sunsubscribe", out)
}

fn publish(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let receivers = ctx.engine.publish(args[1], args[2], false);
    ctx.propagate_to_replicas();
    out.int(receivers as i64);
    Ok(())
}

fn spublish(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let receivers = ctx.engine.publish(args[1], args[2], true);
    ctx.propagate_to_replicas();
    out.int(receivers as i64);
    Ok(())
}

fn channel_names(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    kind: Subscription,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    if args.len() > 3 {
        return Err(errors::wrong_subcommand_arity("PUBSUB", args[1]));
    }
    let names: Vec<Bytes> = ctx
        .engine
        .pubsub
        .names(kind)
        .filter(|name| args.get(2).is_none_or(|pattern| glob::matches(pattern, name, false)))
        .cloned()
        .collect();
    out.array(names.len());
    names.iter().for_each(|name| out.bulk(name));
    Ok(())
}

fn listener_counts(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    kind: Subscription,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let names = args.from(2);
    out.array(names.len() * 2);
    for name in names {
        out.bulk(name);
        out.int(ctx.engine.pubsub.listeners(kind, name) as i64);
    }
    Ok(())
}

fn pubsub_channels(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    channel_names(ctx, args, Subscription::Channel, out)
}

fn pubsub_shardchannels(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    channel_names(ctx, args, Subscription::Shard, out)
}

fn pubsub_numsub(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    listener_counts(ctx, args, Subscription::Channel, out)
}

fn pubsub_shardnumsub(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    listener_counts(ctx, args, Subscription::Shard, out)
}

fn pubsub_numpat(
    ctx: &mut Ctx<'_>,
    _: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    out.int(ctx.engine.pubsub.count(Subscription::Pattern) as i64);
    Ok(())
}
