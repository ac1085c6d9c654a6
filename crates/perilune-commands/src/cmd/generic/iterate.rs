//! Iterating over the keys of a database.

use crate::args::Args;
use crate::cmd::scan::{self, ScanOptions};
use crate::ctx::Ctx;
use crate::errors::CommandError;
use crate::glob;
use crate::spec::CommandSpec;
use perilune_keyspace::Bytes;
use perilune_resp::{DeferredKind, ReplyWriter};

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "keys",
        arity: 2,
        flags: "readonly",
        acl: "keyspace dangerous",
        complexity: "O(N) with N the keys of the database",
        summary: "Lists the keys that match a pattern.",
        args: "pattern:pattern",
        tips: &["request_policy:all_shards", "nondeterministic_output_order"],
        handler: keys,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "randomkey",
        arity: 1,
        flags: "readonly touches_arbitrary_keys",
        acl: "keyspace",
        complexity: "O(1)",
        summary: "Picks a key of the database at random.",
        tips: &["request_policy:all_shards", "response_policy:special", "nondeterministic_output"],
        handler: randomkey,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "scan",
        arity: -2,
        flags: "readonly touches_arbitrary_keys",
        acl: "keyspace",
        since: "2.8.0",
        complexity: "O(1) a call, O(N) for the whole database",
        summary: "Walks over the keys of the database a few at a time.",
        args: "cursor:int [MATCH pattern:pattern] [COUNT count:int] [TYPE type@6.0.0]",
        tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
        handler: scan,
        ..CommandSpec::EMPTY
    },
];

fn keys(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let (pattern, now_ms) = (args[1], ctx.now_ms());
    let everything = pattern == b"*";
    let deferred = out.begin_deferred(DeferredKind::Array);
    let mut count = 0;
    for entry in ctx.engine.keyspace.db(ctx.db_index()).iter() {
        let wanted = everything || glob::matches(pattern, entry.name(), false);
        if wanted && !entry.is_expired(now_ms) {
            out.bulk(entry.name());
            count += 1;
        }
    }
    out.end_deferred(deferred, count);
    Ok(())
}

/// How often `RANDOMKEY` passes by expired keys that stay in place: `CLIENT PAUSE`, or the master
/// removes them.
const STAYING_TRIES: usize = 100;

fn randomkey(
    ctx: &mut Ctx<'_>,
    _: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let (db, now_ms) = (ctx.db_index(), ctx.now_ms());
    let mut tries = STAYING_TRIES;
    loop {
        // Every turn but the last removes a key, or uses up a try while nothing may be removed.
        let engine = &mut *ctx.engine;
        let expired = match engine.keyspace.db(db).random(&mut engine.rng) {
            None => {
                out.null();
                return Ok(());
            }
            Some(entry) if entry.is_expired(now_ms) && tries > 0 => Bytes::new(entry.name()),
            Some(entry) => {
                out.bulk(entry.name());
                return Ok(());
            }
        };
        ctx.expire_if_needed(&expired);
        let stays = ctx.engine.pause_holds_expiry() || ctx.engine.replication.is_replica();
        tries -= usize::from(stays);
    }
}

fn scan(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let cursor = scan::parse_cursor(args[1])?;
    let options = ScanOptions::parse(args, 2, true)?;
    let now_ms = ctx.now_ms();
    let db = ctx.engine.keyspace.db(ctx.db_index());
    let (mut found, mut expired): (Vec<Bytes>, Vec<Bytes>) = (Vec::new(), Vec::new());
    let cursor = options.walk(cursor, |cursor| {
        let mut seen = 0;
        let next = db.scan(cursor, &mut |entry| {
            seen += 1;
            if !options.wants(entry.name()) {
                return;
            }
            let type_name = entry.value().type_name().as_bytes();
            if entry.is_expired(now_ms) {
                expired.push(Bytes::new(entry.name()));
            } else if options.type_name.is_none_or(|name| name.eq_ignore_ascii_case(type_name)) {
                found.push(Bytes::new(entry.name()));
            }
        });
        (next, seen)
    });
    scan::begin_reply(out, cursor, found.len());
    found.iter().for_each(|name| out.bulk(name));
    for name in expired {
        ctx.expire_if_needed(&name);
    }
    Ok(())
}
