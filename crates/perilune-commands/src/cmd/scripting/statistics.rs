//! `SCRIPT LIST`, `SCRIPT SHOW`, `SCRIPT STATS` and `INFO scriptstats`: what is known about scripts
//! and functions.

use crate::args::Args;
use crate::cmd::info::line;
use crate::ctx::Ctx;
use crate::engine::Engine;
use crate::errors::{self, CommandError};
use crate::scripting::Scripting;
use perilune_resp::ReplyWriter;
use perilune_script::{CachedScript, Digest, ScriptRef, ScriptStats};
use std::cmp::Reverse;

/// A script or function with its statistics.
struct Subject<'a> {
    kind: &'static str,
    name: String,
    stats: &'a ScriptStats,
}

impl<'a> Subject<'a> {
    fn script(digest: Digest, stats: &'a ScriptStats) -> Self {
        Subject { kind: "script", name: digest.to_string(), stats }
    }

    fn function(name: &[u8], stats: &'a ScriptStats) -> Self {
        Subject { kind: "function", name: String::from_utf8_lossy(name).into_owned(), stats }
    }

    /// One map.
    fn write(&self, out: &mut dyn ReplyWriter) {
        let stats = self.stats;
        let numbers: [(&str, u64); 13] = [
            ("calls", stats.calls),
            ("slow_calls", stats.slow_calls),
            ("failed_calls", stats.failed_calls()),
            ("usec", stats.usec),
            ("usec_p50", stats.times.percentile(50.0)),
            ("usec_p99", stats.times.percentile(99.0)),
            ("usec_max", stats.usec_max),
            ("commands", stats.commands),
            ("keys_declared", stats.keys_declared),
            ("keys_used", stats.keys_used),
            ("keys_undeclared", stats.keys_undeclared),
            ("reply_bytes", stats.reply_bytes),
            ("memory_bytes_max", stats.memory_bytes_max),
        ];
        out.map(numbers.len() + 4);
        for (name, text) in [("name", &*self.name), ("kind", self.kind)] {
            out.bulk(name.as_bytes());
            out.bulk(text.as_bytes());
        }
        for (name, number) in numbers {
            out.bulk(name.as_bytes());
            out.int(number as i64);
        }
        out.bulk(b"last_used");
        out.int(stats.last_used_us / 1_000_000);
        out.bulk(b"errors");
        out.map(stats.errors.len());
        for (class, count) in &stats.errors {
            out.bulk(class.as_bytes());
            out.int(*count as i64);
        }
    }

    /// One line of `INFO`.
    fn describe(&self, text: &mut String) {
        let (Subject { kind, name, stats }, times) = (self, &self.stats.times);
        line(
            text,
            format_args!(
                "{kind}stat_{name}:calls={},slow_calls={},failed_calls={},usec={},\
                 usec_per_call={:.2},usec_p50={},usec_p99={},usec_max={},commands={},\
                 keys_declared={},keys_used={},keys_undeclared={},reply_bytes={},\
                 memory_bytes_max={},last_used={}",
                stats.calls,
                stats.slow_calls,
                stats.failed_calls(),
                stats.usec,
                stats.usec_per_call(),
                times.percentile(50.0),
                times.percentile(99.0),
                stats.usec_max,
                stats.commands,
                stats.keys_declared,
                stats.keys_used,
                stats.keys_undeclared,
                stats.reply_bytes,
                stats.memory_bytes_max,
                stats.last_used_us / 1_000_000,
            ),
        );
    }
}

fn stats_of(scripting: &Scripting, script: ScriptRef) -> Option<&ScriptStats> {
    scripting.statistics().get((script.engine, script.handle))
}

/// All scripts and functions that ran, those that took most time first.
fn subjects(scripting: &Scripting) -> Vec<Subject<'_>> {
    let scripts = scripting.cache().iter().filter_map(|cached| {
        Some(Subject::script(cached.digest, stats_of(scripting, cached.script)?))
    });
    let functions = scripting.libraries().iter().flat_map(|library| {
        library.functions.iter().filter_map(|function| {
            let stats = scripting.statistics().get((library.engine, function.handle))?;
            Some(Subject::function(&function.name, stats))
        })
    });
    let mut all: Vec<Subject<'_>> = scripts.chain(functions).collect();
    all.sort_by(|a, b| (Reverse(a.stats.usec), &a.name).cmp(&(Reverse(b.stats.usec), &b.name)));
    all
}

/// The section of `INFO`.
pub(crate) fn section(engine: &mut Engine, text: &mut String) {
    subjects(&engine.scripting).iter().for_each(|subject| subject.describe(text));
}

pub(super) fn list(
    ctx: &mut Ctx<'_>,
    _: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let scripting = &ctx.engine.scripting;
    let mut scripts: Vec<CachedScript<'_>> = scripting.cache().iter().collect();
    scripts.sort_by_key(|cached| cached.digest);
    out.array(scripts.len());
    for cached in scripts {
        let stats = stats_of(scripting, cached.script);
        let engine = scripting.engine_names().get(cached.script.engine).copied();
        out.map(7);
        out.bulk(b"sha1");
        out.bulk(cached.digest.as_bytes());
        out.bulk(b"engine");
        out.bulk(engine.unwrap_or_default().as_bytes());
        out.bulk(b"flags");
        out.set(cached.script.flags.names().count());
        cached.script.flags.names().for_each(|name| out.bulk(name.as_bytes()));
        out.bulk(b"pinned");
        out.int(cached.pinned.into());
        out.bulk(b"size");
        out.int(cached.source.len() as i64);
        out.bulk(b"calls");
        out.int(stats.map_or(0, |stats| stats.calls) as i64);
        out.bulk(b"last_used");
        match stats {
            Some(stats) => out.int(stats.last_used_us / 1_000_000),
            None => out.null(),
        }
    }
    Ok(())
}

pub(super) fn show(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let digest = Digest::parse(args[2]).ok_or(errors::NOSCRIPT)?;
    let source = ctx.engine.scripting.cache().source(&digest).ok_or(errors::NOSCRIPT)?;
    out.bulk(source);
    Ok(())
}

pub(super) fn stats(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    if args.len() > 3 {
        return Err(errors::subcommand_syntax(args));
    }
    let scripting = &ctx.engine.scripting;
    let Some(name) = args.get(2) else {
        let all = subjects(scripting);
        out.array(all.len());
        all.iter().for_each(|subject| subject.write(out));
        return Ok(());
    };
    let unused = ScriptStats::default();
    if let Some(function) = scripting.libraries().function(name) {
        let stats = stats_of(scripting, function.script).unwrap_or(&unused);
        Subject::function(&function.name, stats).write(out);
        return Ok(());
    }
    let digest = Digest::parse(name).ok_or(errors::NO_SCRIPT_OR_FUNCTION)?;
    let script = scripting.cache().peek(&digest).ok_or(errors::NO_SCRIPT_OR_FUNCTION)?;
    Subject::script(digest, stats_of(scripting, script).unwrap_or(&unused)).write(out);
    Ok(())
}
