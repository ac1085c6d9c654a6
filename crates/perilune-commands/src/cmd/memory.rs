//! `MEMORY`: what the data takes.

use crate::args::Args;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::{CommandSpec, KeySpec};
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "memory",
    arity: -2,
    since: "4.0.0",
    group: "server",
    complexity: "depends on the subcommand",
    summary: "Reports the use of memory; see its subcommands.",
    subcommands: &[
        CommandSpec {
            name: "help",
            arity: 2,
            flags: "loading stale",
            since: "4.0.0",
            group: "server",
            complexity: "O(1)",
            summary: "Explains the subcommands of MEMORY.",
            handler: memory_help,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "stats",
            arity: 2,
            since: "4.0.0",
            group: "server",
            complexity: "O(1)",
            summary: "Breaks the used memory down by purpose.",
            tips: &[
                "nondeterministic_output",
                "request_policy:all_shards",
                "response_policy:special",
            ],
            handler: memory_stats,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "usage",
            arity: -3,
            flags: "readonly",
            keys: &[KeySpec::one("RO", 2)],
            since: "4.0.0",
            group: "server",
            complexity: "O(N) with N the number of samples",
            summary: "Estimates how much memory a key takes.",
            args: "key:key [SAMPLES count:int]",
            handler: memory_usage,
            ..CommandSpec::EMPTY
        },
    ],
    ..CommandSpec::EMPTY
}];

/// Nodes of a nested value that `MEMORY USAGE` looks at unless told otherwise.
const DEFAULT_SAMPLES: usize = 5;

fn memory_usage(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let mut samples = DEFAULT_SAMPLES;
    let mut at = 3;
    while at < args.len() {
        if !args.is(at, "samples") || at + 1 >= args.len() {
            return Err(errors::SYNTAX);
        }
        samples = args.int_in(at + 1, 0..=i64::MAX, errors::SYNTAX)? as usize;
        at += 2;
    }
    match ctx.peek(args[2]).map(|entry| entry.memory_usage(samples)) {
        // The slot in the table and its share of free slots.
        Some(bytes) => out.int((bytes + 2 * size_of::<usize>()) as i64),
        None => out.null(),
    }
    Ok(())
}

fn memory_stats(
    ctx: &mut Ctx<'_>,
    _: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let engine = &mut *ctx.engine;
    let figures = engine.env.memory();
    engine.stats.peak_memory = engine.stats.peak_memory.max(figures.allocated);
    let peak = engine.stats.peak_memory;
    let clients: usize = engine.sessions.iter().map(|(_, s)| s.outbox.capacity()).sum();
    let dbs: Vec<(usize, usize)> = engine
        .keyspace
        .iter()
        .filter(|(_, db)| !db.is_empty())
        .map(|(index, db)| (index, db.overhead()))
        .collect();
    let keys: usize = engine.keyspace.iter().map(|(_, db)| db.len()).sum();
    let overhead: usize = dbs.iter().map(|(_, bytes)| bytes).sum();
    let dataset = figures.allocated.saturating_sub(overhead);
    let ratio = |a: usize, b: usize| if b == 0 { 0.0 } else { a as f64 / b as f64 };
    let integers = [
        ("peak.allocated", peak),
        ("total.allocated", figures.allocated),
        ("clients.normal", clients),
        ("lua.caches", engine.scripting.engine_memory()),
        ("overhead.total", overhead),
        ("keys.count", keys),
        ("keys.bytes-per-key", dataset / keys.max(1)),
        ("dataset.bytes", dataset),
        ("allocator.allocated", figures.allocated),
        ("allocator.active", figures.active),
        ("allocator.resident", figures.resident),
    ];
    let ratios = [
        ("dataset.percentage", 100.0 * ratio(dataset, figures.allocated)),
        ("peak.percentage", 100.0 * ratio(figures.allocated, peak)),
        ("allocator-fragmentation.ratio", ratio(figures.active, figures.allocated)),
        ("allocator-rss.ratio", ratio(figures.resident, figures.active)),
        ("rss-overhead.ratio", ratio(figures.rss, figures.resident)),
        ("fragmentation", ratio(figures.rss, figures.allocated)),
    ];
    out.map(integers.len() + ratios.len() + dbs.len());
    for (name, value) in integers {
        out.bulk(name.as_bytes());
        out.int(value as i64);
    }
    for (index, bytes) in dbs {
        out.bulk(format!("db.{index}").as_bytes());
        out.map(1);
        out.bulk(b"overhead.hashtable.main");
        out.int(bytes as i64);
    }
    for (name, value) in ratios {
        out.bulk(name.as_bytes());
        out.double(value);
    }
    Ok(())
}

fn memory_help(
    _: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    super::help::write(
        args,
        out,
        &[
            "STATS",
            "    Tell the memory figures of the server.",
            "USAGE <key> [SAMPLES <count>]",
            "    Estimate the bytes that a key takes, looking at some nodes of a nested value (0: all).",
        ],
    );
    Ok(())
}
