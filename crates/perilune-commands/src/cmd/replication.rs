//! Replication between servers: following a master, and what replicas ask for. The mechanism is in
//! [`crate::replication`].

use crate::args::Args;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::replication::failover::FailoverRequest;
use crate::replication::peers::Replica;
use crate::spec::CommandSpec;
use perilune_resp::{ReplyWriter, split_args};
use perilune_script::LogLevel;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "failover",
        arity: -1,
        flags: "admin noscript stale",
        since: "6.2.0",
        group: "server",
        complexity: "O(1)",
        summary: "Hands the master's role to a replica that has all data.",
        args: "[TO target={host port:int [FORCE]}] [ABORT] [TIMEOUT milliseconds:int]",
        handler: failover,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "psync",
        arity: -3,
        flags: "admin noscript no_async_loading no_multi",
        since: "2.8.0",
        group: "server",
        complexity: "O(N) with N the number of keys",
        summary: "Starts replication; used between servers.",
        args: "replicationid offset:int",
        handler: psync,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "replconf",
        flags: "admin noscript loading stale allow_busy syscmd",
        since: "3.0.0",
        group: "server",
        complexity: "O(1)",
        summary: "Negotiates replication; used between servers.",
        handler: replconf,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "sync",
        arity: 1,
        flags: "admin noscript no_async_loading no_multi",
        group: "server",
        complexity: "O(N) with N the number of keys",
        summary: "Starts replication from scratch; used between servers.",
        handler: sync,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "replicaof",
        arity: 3,
        flags: "admin noscript stale no_async_loading",
        since: "5.0.0",
        group: "server",
        complexity: "O(1)",
        summary: "Makes the server a replica of another, or a master.",
        args: "args=(host-port={host port:int}|no-one={NO ONE})",
        handler: replicaof,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "slaveof",
        arity: 3,
        flags: "admin noscript stale no_async_loading",
        group: "server",
        complexity: "O(1)",
        summary: "Makes the server a replica of another, or a master (older name of REPLICAOF).",
        args: "args=(host-port={host port:int}|no-one={NO ONE})",
        deprecated: Some(("5.0.0", "`REPLICAOF`")),
        handler: replicaof,
        ..CommandSpec::EMPTY
    },
];

fn failover(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    if args.len() == 2 && args.is(1, "abort") {
        if ctx.engine.replication.failover.is_none() {
            return Err(errors::NO_FAILOVER);
        }
        ctx.engine.abort_failover("Failover manually aborted");
        out.ok();
        return Ok(());
    }
    ctx.engine.begin_failover(failover_request(args)?)?;
    out.ok();
    Ok(())
}

fn failover_request(args: Args<'_>) -> Result<FailoverRequest, CommandError> {
    let mut request = FailoverRequest::default();
    let mut at = 1;
    while at < args.len() {
        if args.is(at, "timeout") && at + 1 < args.len() && request.timeout_ms.is_none() {
            let timeout_ms = args.int(at + 1)?;
            if timeout_ms <= 0 {
                return Err(errors::FAILOVER_TIMEOUT);
            }
            request.timeout_ms = Some(timeout_ms);
            at += 2;
        } else if args.is(at, "to") && at + 2 < args.len() && request.target.is_none() {
            let host = String::from_utf8_lossy(args[at + 1]).into_owned();
            // No replica listens on another.
            let port = u16::try_from(args.int(at + 2)?).map_err(|_| errors::FAILOVER_TARGET)?;
            request.target = Some((host, port));
            at += 3;
        } else if args.is(at, "force") && !request.force {
            request.force = true;
            at += 1;
        } else {
            return Err(errors::SYNTAX);
        }
    }
    Ok(request)
}

fn sync(ctx: &mut Ctx<'_>, _: Args<'_>, _: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    if may_attach(ctx)? {
        ctx.engine.attach_replica(ctx.client, true);
    }
    Ok(())
}

fn psync(ctx: &mut Ctx<'_>, args: Args<'_>, _: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    if args.is(3, "failover") && !ctx.session().is_some_and(|session| session.is_replica()) {
        ctx.engine.take_over(args[1])?;
        let who = ctx.session().map(|session| session.peer.addr.clone()).unwrap_or_default();
        let message = format!("MASTER MODE enabled (failover request from '{who}')");
        ctx.engine.env.log(LogLevel::Notice, &message);
    }
    if !may_attach(ctx)? {
        return Ok(());
    }
    let next = args.int(2).inspect_err(|_| {
        let name = ctx.engine.replica_name(ctx.client);
        let message = format!("Replica {name} asks for synchronization but with a wrong offset");
        ctx.engine.env.log(LogLevel::Warning, &message);
    })?;
    if ctx.engine.resume_replica(ctx.client, args[1], next) {
        return Ok(());
    }
    if args[1].first() != Some(&b'?') {
        ctx.engine.replication.stats.partial_refused += 1;
    }
    ctx.engine.attach_replica(ctx.client, false);
    Ok(())
}

/// Whether a client can become a replica now. One that is one already is left alone.
fn may_attach(ctx: &mut Ctx<'_>) -> Result<bool, CommandError> {
    let Some(session) = ctx.session() else { return Err(errors::NOAUTH) };
    if session.is_replica() {
        return Ok(false);
    }
    let filtered = session
        .replica
        .as_ref()
        .is_some_and(|it| (it.without_keys || it.without_libraries) && !it.takes_marks);
    let has_output = !session.outbox.is_empty();
    if ctx.engine.replication.failover.is_some() {
        return Err(errors::SYNC_DURING_FAILOVER);
    }
    if ctx.engine.replication.is_replica() && !ctx.engine.replication.is_linked() {
        return Err(errors::NOMASTERLINK);
    }
    if has_output {
        return Err(errors::SYNC_WITH_OUTPUT);
    }
    if filtered {
        return Err(errors::FILTER_NEEDS_EOF);
    }
    let name = ctx.engine.replica_name(ctx.client);
    let message = format!("Replica {name} asks for synchronization");
    ctx.engine.env.log(LogLevel::Notice, &message);
    Ok(true)
}

fn replicaof(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    if ctx.engine.replication.failover.is_some() {
        return Err(errors::REPLICAOF_DURING_FAILOVER);
    }
    if args.is(1, "no") && args.is(2, "one") {
        if ctx.engine.stop_following() {
            log_request(ctx, "MASTER MODE enabled");
        }
        out.ok();
        return Ok(());
    }
    if ctx.session().is_some_and(|session| session.is_replica()) {
        return Err(errors::REPLICAOF_BY_REPLICA);
    }
    let port = args.int(2).ok().and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or(errors::INVALID_MASTER_PORT)?;
    let host = String::from_utf8_lossy(args[1]).into_owned();
    let same =
        ctx.engine.replication.upstream.as_ref().is_some_and(|upstream| {
            upstream.host.eq_ignore_ascii_case(&host) && upstream.port == port
        });
    if same {
        out.status(b"OK Already connected to specified master");
        return Ok(());
    }
    let message = format!("REPLICAOF {host}:{port} enabled");
    ctx.engine.follow(host, port);
    log_request(ctx, &message);
    out.ok();
    Ok(())
}

fn log_request(ctx: &mut Ctx<'_>, what: &str) {
    let who = ctx.session().map(|session| session.peer.addr.clone()).unwrap_or_default();
    ctx.engine.env.log(LogLevel::Notice, &format!("{what} (user request from '{who}')"));
}

fn replconf(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    if args.len().is_multiple_of(2) {
        return Err(errors::SYNTAX);
    }
    for at in (1..args.len()).step_by(2) {
        if args.is(at, "ack") {
            confirm(ctx, args, at + 1);
            return Ok(());
        }
        if args.is(at, "getack") {
            ctx.engine.confirm_upstream();
            return Ok(());
        }
        let Some(session) = ctx.session() else { return Err(errors::NOAUTH) };
        negotiate(session.replica.get_or_insert_default(), args, at)?;
    }
    out.ok();
    Ok(())
}

/// Takes the offsets a replica confirms. It gets no answer, not even to nonsense.
fn confirm(ctx: &mut Ctx<'_>, args: Args<'_>, at: usize) {
    let offset = |at| args.int(at).ok().and_then(|offset| u64::try_from(offset).ok());
    let Some(confirmed) = offset(at) else { return };
    let disk = args.is(at + 1, "fack").then(|| offset(at + 2)).flatten();
    ctx.engine.replica_confirms(ctx.client, confirmed, disk);
}

/// Takes one option and its value.
fn negotiate(replica: &mut Replica, args: Args<'_>, at: usize) -> Result<(), CommandError> {
    let value = args.get(at + 1).unwrap_or_default();
    if args.is(at, "listening-port") {
        let port = args.int(at + 1)?;
        replica.listening_port = u16::try_from(port).map_err(|_| errors::OUT_OF_RANGE)?;
    } else if args.is(at, "ip-address") {
        if value.len() > MAX_ADDRESS_BYTES {
            return Err(errors::replconf_address_too_long(value));
        }
        replica.announced_ip = String::from_utf8_lossy(value).into_owned();
    } else if args.is(at, "capa") {
        // Others are for masters that know them.
        replica.takes_marks |= args.is(at + 1, "eof");
        replica.takes_new_ids |= args.is(at + 1, "psync2");
    } else if args.is(at, "rdb-only") {
        replica.snapshot_only = args.int_in(at + 1, 0..=1, errors::OUT_OF_RANGE)? == 1;
    } else if args.is(at, "rdb-filter-only") {
        let parts = split_args(value).unwrap_or_default();
        if let Some(other) = parts.iter().find(|part| !part.eq_ignore_ascii_case(b"functions")) {
            return Err(errors::unsupported_snapshot_part(other));
        }
        replica.without_keys = true;
        replica.without_libraries = parts.is_empty();
    } else {
        return Err(errors::unknown_replconf_option(args.get(at).unwrap_or_default()));
    }
    Ok(())
}

/// Longest address a replica may announce.
const MAX_ADDRESS_BYTES: usize = 255;
