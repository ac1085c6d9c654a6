//! Commands about the server as a whole.

use crate::args::Args;
use crate::blocking::WaitKind;
use crate::ctx::Ctx;
use crate::environment::ShutdownRequest;
use crate::errors::{self, CommandError};
use crate::replication::peers::Stage;
use crate::spec::CommandSpec;
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "lolwut",
        flags: "readonly fast",
        since: "5.0.0",
        group: "server",
        complexity: "O(1)",
        summary: "Draws a picture and names the version.",
        args: "[VERSION version:int]",
        handler: lolwut,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "monitor",
        arity: 1,
        flags: "admin noscript loading stale",
        group: "server",
        complexity: "O(1)",
        summary: "Streams every command the server runs.",
        handler: monitor,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "role",
        arity: 1,
        flags: "noscript loading stale fast",
        acl: "admin dangerous",
        since: "2.8.12",
        group: "server",
        complexity: "O(1)",
        summary: "Tells whether the server is master or replica.",
        handler: role,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "shutdown",
        flags: "admin noscript loading stale no_multi allow_busy",
        group: "server",
        complexity: "O(N) with N the keys of all databases when saving, else O(1)",
        summary: "Ends the server, saving the data if so configured.",
        args: "[save-selector=(NOSAVE|SAVE)] [NOW@7.0.0] [FORCE@7.0.0] [ABORT@7.0.0]",
        handler: shutdown,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "time",
        arity: 1,
        flags: "loading stale fast",
        since: "2.6.0",
        group: "server",
        complexity: "O(1)",
        summary: "Tells the time of the server's clock.",
        tips: &["nondeterministic_output"],
        handler: time,
        ..CommandSpec::EMPTY
    },
];

fn time(ctx: &mut Ctx<'_>, _: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    // The time of a script stands still, but not for one that waits for it to pass.
    let now_us = match ctx.engine.scripting.is_slow() {
        true => ctx.engine.wall_clock_us(),
        false => ctx.engine.now_us,
    };
    out.array(2);
    out.bulk_int(now_us / 1_000_000);
    out.bulk_int(now_us % 1_000_000);
    Ok(())
}

fn monitor(ctx: &mut Ctx<'_>, _: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    if ctx.deny_blocking() {
        return Err(errors::MONITOR_DENIED);
    }
    let Some(session) = ctx.session() else { return Err(errors::NOAUTH) };
    if session.monitor || session.is_replica() {
        // It is one already, and what it is told would be out of step with a reply.
        return Ok(());
    }
    session.monitor = true;
    ctx.engine.monitors += 1;
    out.ok();
    Ok(())
}

fn role(ctx: &mut Ctx<'_>, _: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let engine = &*ctx.engine;
    if let Some(upstream) = &engine.replication.upstream {
        out.array(5);
        out.bulk(b"slave");
        out.bulk(upstream.host.as_bytes());
        out.int(upstream.port.into());
        out.bulk(upstream.state.name().as_bytes());
        out.int(if upstream.is_connected() { engine.replication.offset as i64 } else { -1 });
        return Ok(());
    }
    out.array(3);
    out.bulk(b"master");
    out.int(engine.replication.offset as i64);
    let online = || engine.replicas().filter(|(_, replica)| replica.stage == Stage::Online);
    out.array(online().count());
    for (session, replica) in online() {
        out.array(3);
        out.bulk(replica.ip(session).as_bytes());
        out.bulk_int(replica.listening_port.into());
        out.bulk_int(replica.confirmed_offset as i64);
    }
    Ok(())
}

fn shutdown(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let mut request = ShutdownRequest { save: None, now: false, force: false };
    let mut abort = false;
    for at in 1..args.len() {
        if args.is(at, "nosave") && request.save != Some(true) {
            request.save = Some(false);
        } else if args.is(at, "save") && request.save != Some(false) {
            request.save = Some(true);
        } else if args.is(at, "now") {
            request.now = true;
        } else if args.is(at, "force") {
            request.force = true;
        } else if args.is(at, "abort") {
            abort = true;
        } else {
            return Err(errors::SYNTAX);
        }
    }
    if abort {
        if args.len() > 2 {
            return Err(errors::SYNTAX);
        }
        ctx.engine.abort_shutdown()?;
        out.ok();
        return Ok(());
    }
    if let Some(error) = ctx.engine.scripting.busy_error()
        && request.save != Some(false)
    {
        return Err(error);
    }
    if let Some(run) = ctx.engine.scripting.running_mut() {
        run.kill = true;
        request.now = true;
    }
    ctx.engine.begin_shutdown(request);
    // No reply: the connection stays open until the server is gone, which is how clients notice.
    ctx.wait_for_keys(WaitKind::Exit, &[], 0, args.all());
    Ok(())
}

/// Columns and rows of the picture.
const ORBIT: (usize, usize) = (40, 15);

fn lolwut(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    if args.is(1, "version") && args.len() > 2 {
        args.int(2)?;
    }
    let (columns, rows) = ORBIT;
    let phase = ctx.engine.rng.below(360) as f64;
    let mut picture = vec![vec![b' '; columns]; rows];
    let (cx, cy) = (columns as f64 / 2.0, rows as f64 / 2.0);
    let mut plot = |degrees: f64, mark: u8| {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let x = (cx + cos * (cx - 2.0)).round() as usize;
        let y = (cy + sin * (cy - 1.5)).round() as usize;
        if let Some(cell) = picture.get_mut(y).and_then(|row| row.get_mut(x)) {
            *cell = mark;
        }
    };
    (0..120).for_each(|step| plot(f64::from(step) * 3.0, b'.'));
    plot(phase, b'*');
    picture[rows / 2][columns / 2 + 8] = b'O';
    let mut text: Vec<u8> = Vec::new();
    for row in picture {
        text.extend_from_slice(row.trim_ascii_end());
        text.push(b'\n');
    }
    text.extend_from_slice(b"\nThe point of an orbit nearest the moon. Redis ver. ");
    text.extend_from_slice(super::connection::REDIS_VERSION.as_bytes());
    text.push(b'\n');
    out.verbatim(b"txt", &text);
    Ok(())
}
