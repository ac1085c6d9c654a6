//! Transactions: commands are queued between `MULTI` and `EXEC` and run as one.
//!
//! The queue lives in the session; dispatch fills it. `WATCH` makes `EXEC` conditional: the first
//! change of a watched key by anybody marks the session, see `Engine::touch`.

use crate::args::Args;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::session::WatchedKey;
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::Bytes;
use perilune_resp::{ReplyWriter, ValueWriter};

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "discard",
        arity: 1,
        flags: "noscript loading stale fast allow_busy",
        acl: "transaction",
        since: "2.0.0",
        group: "transactions",
        complexity: "O(N) with N the number of queued commands",
        summary: "Drops the transaction.",
        handler: discard,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "exec",
        arity: 1,
        flags: "noscript loading stale skip_slowlog",
        acl: "transaction",
        since: "1.2.0",
        group: "transactions",
        complexity: "depends on the queued commands",
        summary: "Runs the transaction.",
        handler: exec,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "multi",
        arity: 1,
        flags: "noscript loading stale fast allow_busy",
        acl: "transaction",
        since: "1.2.0",
        group: "transactions",
        complexity: "O(1)",
        summary: "Opens a transaction: the commands that follow are queued.",
        handler: multi,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "unwatch",
        arity: 1,
        flags: "noscript loading stale fast allow_busy",
        acl: "transaction",
        since: "2.2.0",
        group: "transactions",
        complexity: "O(1)",
        summary: "Stops watching keys.",
        handler: unwatch,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "watch",
        arity: -2,
        flags: "noscript loading stale fast allow_busy",
        acl: "transaction",
        keys: &[KeySpec::range("RO", 1, -1, 1, 0)],
        since: "2.2.0",
        group: "transactions",
        complexity: "O(N) with N the number of keys",
        summary: "Watches keys: the next transaction runs only if they stay unchanged.",
        args: "key:key...",
        handler: watch,
        ..CommandSpec::EMPTY
    },
];

fn multi(ctx: &mut Ctx<'_>, _: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let Some(session) = ctx.session() else { return Err(errors::NOAUTH) };
    if session.transaction.is_some() {
        return Err(errors::NESTED_MULTI);
    }
    session.transaction = Some(Default::default());
    out.ok();
    Ok(())
}

fn discard(ctx: &mut Ctx<'_>, _: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    if ctx.session().is_none_or(|session| session.transaction.is_none()) {
        return Err(errors::DISCARD_WITHOUT_MULTI);
    }
    ctx.engine.discard_transaction(ctx.client);
    out.ok();
    Ok(())
}

fn exec(ctx: &mut Ctx<'_>, _: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let broken = ctx.engine.watch_is_broken(ctx.client);
    let Some(session) = ctx.session() else { return Err(errors::NOAUTH) };
    let Some(transaction) = session.transaction.take() else {
        return Err(errors::EXEC_WITHOUT_MULTI);
    };
    ctx.propagate_nothing();
    ctx.engine.unwatch_all(ctx.client);
    if transaction.aborted {
        return Err(errors::EXECABORT);
    }
    if broken {
        out.null_array();
        return Ok(());
    }
    if let Some(session) = ctx.session() {
        session.in_exec = true;
        session.exec_len = transaction.queue.len();
    }
    out.array(transaction.queue.len());
    for owned in &transaction.queue {
        let view = owned.view();
        let args = Args::new(&view);
        let resolved = ctx.engine.commands.resolve(args).and_then(|id| {
            // Rights may have changed since the command was queued.
            ctx.engine.check_queued_rights(ctx.client, id, args).map(|()| id)
        });
        match resolved {
            Ok(id) if ctx.session().is_some_and(|session| session.close_after_reply) => {
                // The connection ends with what was written before; the effects are wanted.
                let mut unheard = ValueWriter::new(out.protocol());
                ctx.engine.call(ctx.client, id, args, &mut unheard);
            }
            Ok(id) => {
                ctx.engine.call(ctx.client, id, args, out);
            }
            Err(error) => {
                ctx.engine.stats.count_error(error.text().as_bytes());
                out.error(&error.bytes());
            }
        }
    }
    if let Some(session) = ctx.session() {
        session.in_exec = false;
    }
    Ok(())
}

fn watch(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let (db, client, now_ms) = (ctx.db_index(), ctx.client, ctx.now_ms());
    for key in args.from(1) {
        let expired =
            ctx.engine.keyspace.db(db).get(key).is_some_and(|entry| entry.is_expired(now_ms));
        let watched = WatchedKey { db, key: Bytes::new(key), expired };
        let Some(session) = ctx.session() else { return Err(errors::NOAUTH) };
        if session.transaction.is_some() {
            return Err(errors::WATCH_IN_MULTI);
        }
        // Asked here and not in the session, whose keys may be many.
        let watchers = ctx.engine.watchers.entry((db, watched.key.clone())).or_default();
        if watchers.contains(&client) {
            continue;
        }
        watchers.push(client);
        if let Some(session) = ctx.session() {
            session.watched.push(watched);
        }
    }
    out.ok();
    Ok(())
}

fn unwatch(ctx: &mut Ctx<'_>, _: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    ctx.engine.unwatch_all(ctx.client);
    out.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::test_support::TestEngine;

    #[test]
    fn a_key_that_was_past_its_time_under_watch_may_go() {
        let mut test = TestEngine::new();
        let client = test.client();
        test.run(client, "debug set-active-expire 0");
        test.run(client, "set x foo px 1");
        test.pass_ms(5);
        test.run(client, "watch x");
        assert_eq!(test.run(client, "exists x"), ":0\r\n");
        test.run(client, "multi");
        assert_eq!(test.run(client, "exec"), "*0\r\n");
    }

    #[test]
    fn a_key_that_expires_under_watch_aborts() {
        let mut test = TestEngine::new();
        let client = test.client();
        test.run(client, "set x foo px 10");
        test.run(client, "watch x");
        test.pass_ms(20);
        test.run(client, "exists x");
        test.run(client, "multi");
        assert_eq!(test.run(client, "exec"), "*-1\r\n");
    }

    #[test]
    fn swapping_in_a_dead_key_is_no_change() {
        let mut test = TestEngine::new();
        let client = test.client();
        test.run(client, "set x foo px 1");
        test.pass_ms(5);
        test.run(client, "select 1");
        test.run(client, "watch x");
        test.run(client, "swapdb 0 1");
        test.run(client, "multi");
        assert_eq!(test.run(client, "exec"), "*0\r\n");
    }

    #[test]
    fn writes_need_the_replicas_that_were_asked_for() {
        let mut test = TestEngine::new();
        let client = test.client();
        test.run(client, "config set min-replicas-to-write 1");
        assert!(test.run(client, "set x 1").starts_with("-NOREPLICAS"));
        assert_eq!(test.run(client, "get x"), "$-1\r\n");
        test.run(client, "config set min-replicas-to-write 0");
        test.run(client, "multi");
        test.run(client, "set x 1");
        let other = test.client();
        test.run(other, "config set min-replicas-to-write 1");
        assert!(test.run(client, "exec").starts_with("-EXECABORT"));
    }
}
