//! How a value is stored.

use crate::args::Args;
use crate::cmd::help;
use crate::config::MaxmemoryPolicy;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::frequency;
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::{KeyEntry, ValueRef};
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "object",
    arity: -2,
    since: "2.2.3",
    complexity: "O(1)",
    summary: "Looks inside the value of a key; see its subcommands.",
    subcommands: &[
        CommandSpec {
            name: "encoding",
            arity: 3,
            flags: "readonly",
            acl: "keyspace",
            keys: &[KeySpec::one("RO", 2)],
            since: "2.2.3",
            complexity: "O(1)",
            summary: "Names the internal representation of a value.",
            args: "key:key",
            tips: &["nondeterministic_output"],
            handler: object_encoding,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "freq",
            arity: 3,
            flags: "readonly",
            acl: "keyspace",
            keys: &[KeySpec::one("RO", 2)],
            since: "4.0.0",
            complexity: "O(1)",
            summary: "Tells how often a key is used, on the logarithmic LFU scale.",
            args: "key:key",
            tips: &["nondeterministic_output"],
            handler: object_freq,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "help",
            arity: 2,
            flags: "loading stale",
            acl: "keyspace",
            since: "6.2.0",
            complexity: "O(1)",
            summary: "Explains the subcommands of OBJECT.",
            help: HELP,
            handler: help::answer,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "idletime",
            arity: 3,
            flags: "readonly",
            acl: "keyspace",
            keys: &[KeySpec::one("RO", 2)],
            since: "2.2.3",
            complexity: "O(1)",
            summary: "Tells for how many seconds a key was not used.",
            args: "key:key",
            tips: &["nondeterministic_output"],
            handler: object_idletime,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "refcount",
            arity: 3,
            flags: "readonly",
            acl: "keyspace",
            keys: &[KeySpec::one("RO", 2)],
            since: "2.2.3",
            complexity: "O(1)",
            summary: "Tells how many references a value has.",
            args: "key:key",
            tips: &["nondeterministic_output"],
            handler: object_refcount,
            ..CommandSpec::EMPTY
        },
    ],
    ..CommandSpec::EMPTY
}];

const HELP: &[&str] = &[
    "ENCODING <key>",
    "    Name the encoding that the value of a key has.",
    "FREQ <key>",
    "    Show the logarithmic access counter of a key.",
    "IDLETIME <key>",
    "    Show for how many seconds a key was not accessed.",
    "REFCOUNT <key>",
    "    Show how many references the value of a key has.",
];

/// Integers below this are one shared object each in Redis, which says so by [`SHARED`].
const SHARED_INTEGERS: i64 = 10_000;
/// The reference count of a shared object.
const SHARED: i64 = i32::MAX as i64;

/// Writes what `show` says about a key, or null.
fn reply_about(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
    show: impl FnOnce(&KeyEntry, &mut dyn ReplyWriter),
) {
    if ctx.exists(args[2]) {
        ctx.engine.stats.keyspace_hits += 1;
    } else {
        // A miss that is counted, but not announced.
        ctx.engine.stats.keyspace_misses += 1;
    }
    match ctx.peek(args[2]) {
        None => out.null(),
        Some(entry) => show(entry, out),
    }
}

fn object_encoding(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    reply_about(ctx, args, out, |entry, out| out.bulk(entry.value().encoding().as_bytes()));
    Ok(())
}

fn object_refcount(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    // Redis shares none under a limit with a policy that keeps a time or a counter per value.
    let config = &ctx.engine.config;
    let shares = config.maxmemory == 0
        || !matches!(
            config.maxmemory_policy,
            MaxmemoryPolicy::AllKeysLru
                | MaxmemoryPolicy::VolatileLru
                | MaxmemoryPolicy::AllKeysLfu
                | MaxmemoryPolicy::VolatileLfu
        );
    reply_about(ctx, args, out, |entry, out| match entry.value() {
        ValueRef::Int(0..SHARED_INTEGERS) if shares => out.int(SHARED),
        _ => out.int(1),
    });
    Ok(())
}

fn object_idletime(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    if frequency::is_counted(&ctx.engine.config) && ctx.exists(args[2]) {
        return Err(errors::IDLE_TIME_NOT_TRACKED);
    }
    let now_s = (ctx.engine.now_us / 1_000_000) as u32;
    reply_about(ctx, args, out, |entry, out| {
        out.int(i64::from(entry.idle_s(now_s)));
    });
    Ok(())
}

fn object_freq(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    if !frequency::is_counted(&ctx.engine.config) && ctx.exists(args[2]) {
        return Err(errors::FREQUENCY_NOT_TRACKED);
    }
    let now_s = (ctx.engine.now_us / 1_000_000) as u32;
    match ctx.peek(args[2]).map(|entry| entry.access()) {
        Some(stored) => {
            out.int(i64::from(frequency::counter(stored, now_s, &ctx.engine.config)));
        }
        None => out.null(),
    }
    Ok(())
}
