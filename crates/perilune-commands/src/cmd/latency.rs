//! `LATENCY`: events that took longer than `latency-monitor-threshold`.

use crate::args::Args;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::CommandSpec;
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
            handler: latency_help,
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

fn latency_help(
    _: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    super::help::write(
        args,
        out,
        &[
            "GRAPH <event>",
            "    Draw the spikes of an event.",
            "HISTORY <event>",
            "    Tell the spikes of an event: time and milliseconds.",
            "LATEST",
            "    Tell the newest and the highest spike of every event.",
            "RESET [<event> ...]",
            "    Forget the spikes of these events, or of all.",
        ],
    );
    Ok(())
}
