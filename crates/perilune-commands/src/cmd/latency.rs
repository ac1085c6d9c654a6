//! `LATENCY`: events that took longer than `latency-monitor-threshold`.

use crate::args::Args;
use crate::cmd::help;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::CommandSpec;
use crate::table::CommandId;
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "latency",
    arity: -2,
    since: "2.8.13",
    group: "server",
    complexity: "depends on the subcommand",
    summary: "Reports events that took long; see its subcommands.",
    subcommands: &[
        CommandSpec {
            name: "doctor",
            arity: 2,
            flags: "admin noscript loading stale",
            since: "2.8.13",
            group: "server",
            complexity: "O(1)",
            summary: "Reports the latency events in words.",
            tips: &[
                "nondeterministic_output",
                "request_policy:all_nodes",
                "response_policy:special",
            ],
            handler: latency_doctor,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "graph",
            arity: 3,
            flags: "admin noscript loading stale",
            since: "2.8.13",
            group: "server",
            complexity: "O(1)",
            summary: "Draws the latencies of an event.",
            args: "event",
            tips: &[
                "nondeterministic_output",
                "request_policy:all_nodes",
                "response_policy:special",
            ],
            handler: latency_graph,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "help",
            arity: 2,
            flags: "loading stale",
            since: "2.8.13",
            group: "server",
            complexity: "O(1)",
            summary: "Explains the subcommands of LATENCY.",
            help: HELP,
            handler: help::answer,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "histogram",
            arity: -2,
            flags: "admin noscript loading stale",
            since: "7.0.0",
            group: "server",
            complexity: "O(N) with N the number of commands",
            summary: "Shows how the run times of commands are distributed.",
            args: "[command...]",
            tips: &[
                "nondeterministic_output",
                "request_policy:all_nodes",
                "response_policy:special",
            ],
            handler: latency_histogram,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "history",
            arity: 3,
            flags: "admin noscript loading stale",
            since: "2.8.13",
            group: "server",
            complexity: "O(1)",
            summary: "Lists times and latencies of an event.",
            args: "event",
            tips: &[
                "nondeterministic_output",
                "request_policy:all_nodes",
                "response_policy:special",
            ],
            handler: latency_history,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "latest",
            arity: 2,
            flags: "admin noscript loading stale",
            since: "2.8.13",
            group: "server",
            complexity: "O(1)",
            summary: "Lists the newest latency of every event.",
            tips: &[
                "nondeterministic_output",
                "request_policy:all_nodes",
                "response_policy:special",
            ],
            handler: latency_latest,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "reset",
            arity: -2,
            flags: "admin noscript loading stale",
            since: "2.8.13",
            group: "server",
            complexity: "O(N) with N the number of events",
            summary: "Forgets the latencies of events.",
            args: "[event...]",
            tips: &["request_policy:all_nodes", "response_policy:agg_sum"],
            handler: latency_reset,
            ..CommandSpec::EMPTY
        },
    ],
    ..CommandSpec::EMPTY
}];

const HELP: &[&str] = &[
    "DOCTOR",
    "    Report the latency events in words.",
    "GRAPH <event>",
    "    Draw the spikes of an event.",
    "HISTOGRAM [<command> ...]",
    "    Tell how the run times of these commands, or of all, are distributed.",
    "HISTORY <event>",
    "    Tell the spikes of an event: time and milliseconds.",
    "LATEST",
    "    Tell the newest and the highest spike of every event.",
    "RESET [<event> ...]",
    "    Forget the spikes of these events, or of all.",
];

fn latency_latest(
    ctx: &mut Ctx<'_>,
    _: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let events = &ctx.engine.latency.events;
    out.array(events.len());
    for (name, series) in events {
        let (time_s, ms) = series.samples.back().copied().unwrap_or_default();
        out.array(4);
        out.bulk(name.as_bytes());
        out.int(time_s);
        out.int(ms as i64);
        out.int(series.max_ms as i64);
    }
    Ok(())
}

fn latency_history(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let events = &ctx.engine.latency.events;
    let asked = events.iter().find(|(name, _)| name.as_bytes() == args[2]);
    let samples = asked.map(|(_, series)| &series.samples);
    out.array(samples.map_or(0, |samples| samples.len()));
    for (time_s, ms) in samples.into_iter().flatten() {
        out.array(2);
        out.int(*time_s);
        out.int(*ms as i64);
    }
    Ok(())
}

/// Deadlines that are missed by this much are worth a hint, milliseconds.
const LONG_SPIKE_MS: u64 = 500;

/// What the events say about the server, and what to look at.
fn latency_doctor(
    ctx: &mut Ctx<'_>,
    _: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let (config, events) = (&ctx.engine.config, &ctx.engine.latency.events);
    let mut text = String::new();
    if events.is_empty() && config.latency_monitor_threshold == 0 {
        text.push_str(
            "Latency monitoring is off. Switch it on with CONFIG SET latency-monitor-threshold \
             <milliseconds>.\n",
        );
    } else if events.is_empty() {
        text.push_str("No latency spike was observed since monitoring began.\n");
    }
    for (name, series) in events {
        let (samples, max_ms) = (&series.samples, series.max_ms);
        let count = samples.len().max(1) as u64;
        let average = samples.iter().map(|(_, ms)| ms).sum::<u64>() / count;
        let deviation = samples.iter().map(|(_, ms)| ms.abs_diff(average)).sum::<u64>() / count;
        text.push_str(&format!(
            "{name}: {count} latency spikes (average {average} ms, mean deviation {deviation} ms), \
             the worst {max_ms} ms.\n",
        ));
        if name.starts_with("script ") || name.starts_with("function ") {
            text.push_str("  What a script or function does is counted by SCRIPT STATS.\n");
        } else if name.ends_with("command") {
            text.push_str("  Slow commands are listed by SLOWLOG GET");
            if config.slowlog_log_slower_than < 0 {
                text.push_str(", which is switched off by slowlog-log-slower-than");
            }
            text.push_str(".\n");
        }
        if name == "expire-cycle" && max_ms >= LONG_SPIKE_MS {
            text.push_str("  Large values expire: set lazyfree-lazy-expire to free them aside.\n");
        }
    }
    out.verbatim(b"txt", text.as_bytes());
    Ok(())
}

fn latency_histogram(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let commands = &ctx.engine.commands;
    let mut asked: Vec<CommandId> = Vec::new();
    for name in args.from(2) {
        // A container stands for its subcommands.
        let Some(id) = commands.by_full_name(name) else { continue };
        asked.push(id);
        asked.extend(commands.get(id).subcommands.iter().map(|(_, sub)| sub));
    }
    if args.len() == 2 {
        asked.extend(commands.iter().map(|(id, _)| id));
    }
    asked.retain(|id| commands.get(*id).latency.total() > 0);
    out.map(asked.len());
    for id in asked {
        let command = commands.get(id);
        let steps = command.latency.steps();
        out.bulk(command.full_name.as_bytes());
        out.map(2);
        out.bulk(b"calls");
        out.int(command.latency.total() as i64);
        out.bulk(b"histogram_usec");
        out.map(steps.len());
        for (ns, count) in steps {
            out.int((ns / 1000) as i64);
            out.int(count as i64);
        }
    }
    Ok(())
}

fn latency_reset(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let events = &mut ctx.engine.latency.events;
    let before = events.len();
    match args.from(2) {
        [] => events.clear(),
        names => events.retain(|event, _| !names.contains(&event.as_bytes())),
    }
    out.int((before - events.len()) as i64);
    Ok(())
}

/// Columns of the largest graph: one per sample kept.
const GRAPH_ROWS: usize = 4;

fn latency_graph(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let events = &ctx.engine.latency.events;
    let Some((name, series)) = events.iter().find(|(name, _)| name.as_bytes() == args[2]) else {
        return Err(errors::no_latency_samples(args[2]));
    };
    let values: Vec<u64> = series.samples.iter().map(|(_, ms)| *ms).collect();
    let low = values.iter().min().copied().unwrap_or(0);
    let high = values.iter().max().copied().unwrap_or(0);
    let mut text = format!(
        "{name} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        series.max_ms,
        "-".repeat(80)
    );
    let span = (high - low).max(1) as f64;
    let height = |ms: u64| ((ms - low) as f64 / span * (GRAPH_ROWS - 1) as f64).round() as usize;
    for row in (0..GRAPH_ROWS).rev() {
        let mark = |ms: &u64| match height(*ms).cmp(&row) {
            std::cmp::Ordering::Less => ' ',
            std::cmp::Ordering::Equal => '_',
            std::cmp::Ordering::Greater => '|',
        };
        text.extend(values.iter().map(mark));
        text.push('\n');
    }
    out.verbatim(b"txt", text.as_bytes());
    Ok(())
}
