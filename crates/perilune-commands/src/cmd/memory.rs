//! `MEMORY`: what the data takes.

use crate::args::Args;
use crate::cmd::help;
use crate::ctx::Ctx;
use crate::engine::Engine;
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
            help: HELP,
            handler: help::answer,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "doctor",
            arity: 2,
            since: "4.0.0",
            group: "server",
            complexity: "O(N) with N the number of clients",
            summary: "Explains the use of memory in words.",
            tips: &[
                "nondeterministic_output",
                "request_policy:all_shards",
                "response_policy:special",
            ],
            handler: memory_doctor,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "malloc-stats",
            arity: 2,
            since: "4.0.0",
            group: "server",
            complexity: "depends on the allocator",
            summary: "Shows what the allocator knows.",
            tips: &[
                "nondeterministic_output",
                "request_policy:all_shards",
                "response_policy:special",
            ],
            handler: memory_malloc_stats,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "purge",
            arity: 2,
            since: "4.0.0",
            group: "server",
            complexity: "depends on the allocator",
            summary: "Asks the allocator to give memory back.",
            tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
            handler: memory_purge,
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

const HELP: &[&str] = &[
    "DOCTOR",
    "    Tell in words what is remarkable about the use of memory.",
    "MALLOC-STATS",
    "    Show what the allocator tells about itself.",
    "PURGE",
    "    Have the allocator give unused memory back to the system now.",
    "STATS",
    "    Tell the memory figures of the server.",
    "USAGE <key> [SAMPLES <count>]",
    "    Estimate the bytes that a key takes, looking at some nodes of a nested value (0: all).",
];

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
    let (clients, replicas) = engine.client_memory_by_kind();
    let log = engine.replication.log.as_ref().map_or(0, |log| log.memory());
    let aof = engine.propagation.aof.as_ref().map_or(0, |feed| feed.pending.capacity());
    let scripting = engine.scripting.figures();
    let dbs: Vec<(usize, usize)> = engine
        .keyspace
        .iter()
        .filter(|(_, db)| !db.is_empty())
        .map(|(index, db)| (index, db.overhead()))
        .collect();
    let keys: usize = engine.keyspace.iter().map(|(_, db)| db.len()).sum();
    let overhead = dbs.iter().map(|(_, bytes)| bytes).sum::<usize>()
        + clients
        + replicas
        + log
        + aof
        + scripting.scripts_bytes
        + scripting.functions_bytes;
    let dataset = figures.allocated.saturating_sub(overhead);
    let ratio = |a: usize, b: usize| if b == 0 { 0.0 } else { a as f64 / b as f64 };
    let integers = [
        ("peak.allocated", peak),
        ("total.allocated", figures.allocated),
        ("replication.backlog", log),
        ("clients.slaves", replicas),
        ("clients.normal", clients),
        ("cluster.links", 0),
        ("aof.buffer", aof),
        ("lua.caches", scripting.vm_bytes + scripting.scripts_bytes),
        ("functions.caches", scripting.functions_bytes),
        ("overhead.total", overhead),
        ("keys.count", keys),
        ("keys.bytes-per-key", dataset / keys.max(1)),
        ("dataset.bytes", dataset),
        ("allocator.allocated", figures.allocated),
        ("allocator.active", figures.active),
        ("allocator.resident", figures.resident),
        ("allocator-fragmentation.bytes", figures.active.saturating_sub(figures.allocated)),
        ("allocator-rss.bytes", figures.resident.saturating_sub(figures.active)),
        ("rss-overhead.bytes", figures.rss.saturating_sub(figures.resident)),
        ("fragmentation.bytes", figures.rss.saturating_sub(figures.allocated)),
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

/// With less than this nothing can be said about the use of memory, bytes.
const DOCTOR_BYTES_MIN: usize = 5 * 1024 * 1024;

/// What is remarkable about the use of memory.
fn findings(engine: &mut Engine) -> Vec<&'static str> {
    let figures = engine.env.memory();
    let used = figures.allocated;
    let peak = engine.stats.peak_memory.max(used);
    let exceeds = |a: usize, b: usize, percent: usize, at_least: usize| {
        a > b / 100 * percent && a.saturating_sub(b) > at_least
    };
    let (clients, replicas) = engine.client_memory_by_kind();
    let count = engine.sessions.connected().max(1);
    let scripts = engine.scripting.figures().scripts;
    let mib = 1024 * 1024;
    let checks = [
        (
            exceeds(peak, used, 150, 0),
            "At its peak the data took more than one and a half times what they take now; the \
             process may keep that memory until it is needed again.",
        ),
        (
            exceeds(figures.rss, used, 140, 10 * mib),
            "The process holds over 40 % more memory than is in use: pages are only partly used, \
             or were not given back yet.",
        ),
        (
            exceeds(figures.active, figures.allocated, 110, 10 * mib),
            "Pages of the allocator are on average less than 90 % full.",
        ),
        (
            exceeds(figures.resident, figures.active, 110, 10 * mib),
            "The allocator keeps over 10 % of its pages for later instead of giving them back.",
        ),
        (
            clients / count > 200 * 1024,
            "Clients take over 200 KiB each: some do not read their replies, or send large \
             requests. See CLIENT LIST and maxmemory-clients.",
        ),
        (replicas > 10 * mib, "Replicas that lag behind make their buffers take over 10 MiB."),
        (
            scripts > 1000,
            "Over a thousand scripts are cached. Scripts should take what varies as arguments \
             instead of having it in their text.",
        ),
    ];
    checks.into_iter().filter(|(found, _)| *found).map(|(_, text)| text).collect()
}

fn memory_doctor(
    ctx: &mut Ctx<'_>,
    _: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let used = ctx.engine.env.used_memory();
    let found = findings(ctx.engine);
    let text = if used < DOCTOR_BYTES_MIN {
        "This server holds so little that its use of memory says nothing.\n".to_owned()
    } else if found.is_empty() {
        "The use of memory shows nothing remarkable.\n".to_owned()
    } else {
        found.iter().map(|text| format!("* {text}\n")).collect()
    };
    out.verbatim(b"txt", text.as_bytes());
    Ok(())
}

fn memory_malloc_stats(
    ctx: &mut Ctx<'_>,
    _: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let report = ctx.engine.env.allocator_report().ok_or(errors::NO_MALLOC_STATS)?;
    out.verbatim(b"txt", &report);
    Ok(())
}

fn memory_purge(
    ctx: &mut Ctx<'_>,
    _: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    ctx.engine.env.purge_memory().ok_or(errors::PURGE_FAILED)?;
    out.ok();
    Ok(())
}
