//! The sending side of replication: a client asks for a snapshot and the stream of effects that
//! follows it (see [`crate::propagation`]). Every attempt starts from a full snapshot; this server
//! is nobody's replica.

use crate::args::Args;
use crate::ctx::Ctx;
use crate::engine::Engine;
use crate::errors::{self, CommandError};
use crate::propagation::Replica;
use crate::spec::CommandSpec;
use perilune_rdb::{Meta, write_snapshot};
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
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

fn sync(ctx: &mut Ctx<'_>, _: Args<'_>, _: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    start(ctx, b"")
}

fn psync(ctx: &mut Ctx<'_>, args: Args<'_>, _: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    // The offset is checked, but there is no backlog to go on from.
    args.int(2)?;
    let (id, offset) = (&ctx.engine.run_id, ctx.engine.propagation.offset);
    let greeting = format!("+FULLRESYNC {id} {offset}\r\n");
    start(ctx, greeting.as_bytes())
}

/// Sends the snapshot after `greeting`. A client that has it already gets nothing.
fn start(ctx: &mut Ctx<'_>, greeting: &[u8]) -> Result<(), CommandError> {
    let Some(session) = ctx.session() else { return Err(errors::NOAUTH) };
    if session.is_replica() {
        return Ok(());
    }
    if !session.outbox.is_empty() {
        return Err(errors::SYNC_WITH_OUTPUT);
    }
    let snapshot = ctx.engine.snapshot()?;
    ctx.engine.begin_stream(ctx.client, greeting, &snapshot);
    Ok(())
}

impl Engine {
    /// The data as an RDB file.
    pub(crate) fn snapshot(&self) -> Result<Vec<u8>, CommandError> {
        let meta =
            Meta { now_s: self.now_us / 1_000_000, used_memory: self.env.used_memory() as u64 };
        let libraries = self.scripting.libraries().iter().map(|library| &*library.code);
        let mut file = Vec::new();
        match write_snapshot(&self.keyspace, libraries, &meta, &mut file) {
            Ok(()) => Ok(file),
            Err(error) => Err(errors::snapshot_failed(&error)),
        }
    }
}

/// `REPLICAOF NO ONE` is what this server always is; following a master is refused.
fn replicaof(
    _: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    if args.is(1, "no") && args.is(2, "one") {
        out.ok();
        return Ok(());
    }
    args.int_in(2, 0..=65535, errors::INVALID_MASTER_PORT)?;
    Err(errors::REPLICAOF_UNSUPPORTED)
}

fn replconf(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    if args.len().is_multiple_of(2) {
        return Err(errors::SYNTAX);
    }
    let now_ms = ctx.now_ms();
    let Some(session) = ctx.session() else { return Err(errors::NOAUTH) };
    for at in (1..args.len()).step_by(2) {
        let replica = session.replica.get_or_insert_default();
        if args.is(at, "ack") {
            acknowledge(replica, args, at + 1, now_ms);
            return Ok(());
        }
        negotiate(replica, args, at)?;
    }
    out.ok();
    Ok(())
}

/// Takes the offset a replica confirms. It gets no answer, not even to nonsense.
fn acknowledge(replica: &mut Replica, args: Args<'_>, at: usize, now_ms: i64) {
    if replica.online
        && let Ok(offset) = args.int(at)
        && let Ok(offset) = u64::try_from(offset)
    {
        replica.confirmed_offset = replica.confirmed_offset.max(offset);
        replica.confirmed_ms = now_ms;
    }
}

/// Takes one option and its value.
fn negotiate(replica: &mut Replica, args: Args<'_>, at: usize) -> Result<(), CommandError> {
    if args.is(at, "listening-port") {
        let port = args.int(at + 1)?;
        replica.listening_port = u16::try_from(port).map_err(|_| errors::OUT_OF_RANGE)?;
    } else if args.is(at, "ip-address") {
        let ip = args.get(at + 1).unwrap_or_default();
        if ip.len() > MAX_ADDRESS_BYTES {
            return Err(errors::replconf_address_too_long(ip));
        }
        replica.announced_ip = String::from_utf8_lossy(ip).into_owned();
    } else if !args.is(at, "capa") {
        // What a replica is capable of makes no difference: the plainest form suits them all.
        return Err(errors::unknown_replconf_option(args.get(at).unwrap_or_default()));
    }
    Ok(())
}

/// Longest address a replica may announce.
const MAX_ADDRESS_BYTES: usize = 46;
