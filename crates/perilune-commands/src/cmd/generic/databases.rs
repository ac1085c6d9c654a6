//! Commands on whole databases.

use super::existing_database;
use crate::args::Args;
use crate::ctx::Ctx;
use crate::engine::Engine;
use crate::errors::{self, CommandError};
use crate::spec::CommandSpec;
use perilune_keyspace::Db;
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "dbsize",
        arity: 1,
        flags: "readonly fast",
        acl: "keyspace",
        group: "server",
        complexity: "O(1)",
        summary: "Counts the keys of the database.",
        tips: &["request_policy:all_shards", "response_policy:agg_sum"],
        handler: dbsize,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "flushall",
        flags: "write",
        acl: "keyspace dangerous",
        group: "server",
        complexity: "O(N) with N the keys of all databases",
        summary: "Removes the keys of all databases.",
        args: "[flush-type=(ASYNC@4.0.0|SYNC@6.2.0)]",
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        handler: flushall,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "flushdb",
        flags: "write",
        acl: "keyspace dangerous",
        group: "server",
        complexity: "O(N) with N the keys of the database",
        summary: "Removes the keys of the database.",
        args: "[flush-type=(ASYNC@4.0.0|SYNC@6.2.0)]",
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        handler: flushdb,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "swapdb",
        arity: 3,
        flags: "write fast",
        acl: "keyspace dangerous",
        since: "4.0.0",
        group: "server",
        complexity: "O(N) with N the clients that watch or wait for keys of the two",
        summary: "Exchanges two databases.",
        args: "index1:int index2:int",
        handler: swapdb,
        ..CommandSpec::EMPTY
    },
];

/// A database of this many keys or fewer is freed on the spot: handing it over costs as much.
const FREE_HERE_MAX: usize = 64;

fn dbsize(ctx: &mut Ctx<'_>, _: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    out.int(ctx.engine.keyspace.db(ctx.db_index()).len() as i64);
    Ok(())
}

fn flushdb(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let background = parse_background(ctx, args)?;
    let db = ctx.db_index();
    ctx.engine.flush_db(db, background);
    ctx.engine.invalidate_all(background);
    ctx.propagate_anyway();
    out.ok();
    Ok(())
}

fn flushall(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let background = parse_background(ctx, args)?;
    ctx.engine.flush_all(background);
    ctx.engine.save_after_flush();
    ctx.engine.invalidate_all(background);
    ctx.propagate_anyway();
    out.ok();
    Ok(())
}

/// Whether the data are freed in the background, by the option or the configuration.
fn parse_background(ctx: &Ctx<'_>, args: Args<'_>) -> Result<bool, CommandError> {
    match args.len() {
        1 => Ok(ctx.engine.config.lazyfree_lazy_user_flush),
        2 if args.is(1, "sync") => Ok(false),
        2 if args.is(1, "async") => Ok(true),
        _ => Err(errors::SYNTAX),
    }
}

fn swapdb(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let number = |index, error: CommandError| {
        let number = args.int(index).ok().filter(|number| i32::try_from(*number).is_ok());
        number.ok_or(error)
    };
    let first = number(1, errors::INVALID_FIRST_DB_INDEX)?;
    let second = number(2, errors::INVALID_SECOND_DB_INDEX)?;
    let first = existing_database(ctx, first)?;
    let second = existing_database(ctx, second)?;
    if first != second {
        ctx.engine.swap_dbs(first, second);
    }
    ctx.engine.dirty += 1;
    out.ok();
    Ok(())
}

impl Engine {
    /// Empties all databases.
    pub(crate) fn flush_all(&mut self, background: bool) {
        for db in 0..self.keyspace.count() {
            self.flush_db(db, background);
        }
    }

    /// Empties a database, breaking the watches of its keys.
    fn flush_db(&mut self, db: usize, background: bool) {
        self.break_watches_of_replaced(db, None);
        let garbage = self.keyspace.take(db);
        self.waiters.db_changed(db);
        self.dirty += garbage.len() as u64;
        if background && garbage.len() > FREE_HERE_MAX {
            self.stats.lazy_freed += garbage.len() as u64;
            self.env.dispose(Box::new(garbage));
        }
    }

    /// Exchanges two databases, under the feet of those who watch or wait for their keys.
    fn swap_dbs(&mut self, first: usize, second: usize) {
        self.break_watches_of_replaced(first, Some(second));
        self.break_watches_of_replaced(second, Some(first));
        self.keyspace.swap(first, second);
        self.waiters.db_changed(first);
        self.waiters.db_changed(second);
    }

    /// Breaks the watches of the keys of `db` whose content becomes another when the content of
    /// `replacement`, or nothing, takes its place. A key that was past its time and goes away is no
    /// change.
    fn break_watches_of_replaced(&mut self, db: usize, replacement: Option<usize>) {
        let now_ms = self.now_ms();
        let expired = |db: &Db, key: &[u8]| db.get(key).map(|entry| entry.is_expired(now_ms));
        for ((_, key), clients) in self.watchers.iter().filter(|((at, _), _)| *at == db) {
            let before = expired(self.keyspace.db(db), key);
            let after = replacement.and_then(|other| expired(self.keyspace.db(other), key));
            let changes = before == Some(false) || after == Some(false);
            for client in clients {
                let Some(session) = self.sessions.get_mut(*client) else { continue };
                let watched = session.watched.iter_mut().find(|w| w.db == db && w.key == *key);
                match watched {
                    Some(watched) if !changes && (watched.expired || before.is_none()) => {
                        watched.expired = after.is_some();
                    }
                    _ => session.watch_broken = true,
                }
            }
        }
    }
}
