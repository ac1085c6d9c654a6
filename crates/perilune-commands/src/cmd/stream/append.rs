//! Adding entries to a stream, trimming it, deleting from it.

use super::id::{self, NewId};
use super::trim::{OutcomeText, TrimOutcome, TrimParser};
use super::write_id;
use crate::args::Args;
use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::stream::{AppendError, ID_TEXT_MAX, Trim};
use perilune_keyspace::{EncodingLimits, Stream, StreamId, ValueType};
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "xadd",
        arity: -5,
        flags: "write denyoom fast",
        acl: "stream",
        keys: &[KeySpec {
            notes: "UPDATE instead of INSERT because of the optional trimming feature",
            ..KeySpec::one("RW update", 1)
        }],
        since: "5.0.0",
        group: "stream",
        complexity: "O(1) for the entry, and O(N) with N the entries trimmed",
        summary: "Adds an entry to the end of a stream, and may trim its head.",
        args: "key:key [NOMKSTREAM@6.2.0] [trim={strategy=(MAXLEN|MINID@6.2.0) [operator=(equal:'='|approximately:'~')] threshold [LIMIT count:int@6.2.0]}] id-selector=(auto-id:'*'|id) data={field value}...",
        tips: &["nondeterministic_output"],
        handler: xadd,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "xdel",
        arity: -3,
        flags: "write fast",
        acl: "stream",
        keys: &[KeySpec::one("RW delete", 1)],
        since: "5.0.0",
        group: "stream",
        complexity: "O(N) with N the entries deleted",
        summary: "Deletes entries of a stream.",
        args: "key:key id...",
        handler: xdel,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "xsetid",
        arity: -3,
        flags: "write denyoom fast",
        acl: "stream",
        keys: &[KeySpec::one("RW update", 1)],
        since: "5.0.0",
        group: "stream",
        complexity: "O(1)",
        summary: "Sets the last id of a stream and its counters, as replication needs it.",
        args: "key:key last-id [ENTRIESADDED entries-added:int@7.0.0] [MAXDELETEDID max-deleted-id@7.0.0]",
        handler: xsetid,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "xtrim",
        arity: -4,
        flags: "write",
        acl: "stream",
        keys: &[KeySpec::one("RW delete", 1)],
        since: "5.0.0",
        group: "stream",
        complexity: "O(N) with N the entries removed, whole nodes of them at a time",
        summary: "Removes entries from the head of a stream.",
        args: "key:key trim={strategy=(MAXLEN|MINID@6.2.0) [operator=(equal:'='|approximately:'~')] threshold [LIMIT count:int@6.2.0]}",
        tips: &["nondeterministic_output"],
        handler: xtrim,
        ..CommandSpec::EMPTY
    },
];

/// The options of `XADD`.
struct AddOptions {
    id: NewId,
    /// Index of the id; fields and values follow.
    id_at: usize,
    must_exist: bool,
    trim: Option<Trim>,
}

impl AddOptions {
    fn parse(
        args: Args<'_>,
        limits: &EncodingLimits,
        repeated: bool,
    ) -> Result<Self, CommandError> {
        let (mut trim, mut must_exist, mut at) = (TrimParser::default(), false, 2);
        let mut id = NewId::Choose;
        while let Some(word) = args.get(at) {
            if word == b"*" {
                break;
            }
            if let Some(next) = trim.option(args, at)? {
                at = next;
            } else if args.is(at, "nomkstream") {
                must_exist = true;
                at += 1;
            } else {
                id = id::parse_new(word)?;
                break;
            }
        }
        let trim = trim.finish(limits, repeated)?;
        let pieces = args.from(at + 1).len();
        if pieces < 2 || pieces % 2 == 1 {
            return Err(errors::wrong_arity(b"xadd"));
        }
        if id == NewId::Given(StreamId::MIN) {
            return Err(errors::XADD_ID_ZERO);
        }
        Ok(AddOptions { id, id_at: at, must_exist, trim })
    }
}

/// What `XADD` did.
struct Added {
    id: StreamId,
    trimmed: bool,
    trimming: Option<TrimOutcome>,
}

fn xadd(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let limits = ctx.limits();
    let options = AddOptions::parse(args, &limits, ctx.repeats_record())?;
    let (key, now_ms) = (args[1], ctx.now_ms());
    let pairs = args.from(options.id_at + 1);
    let added = match ctx.write_as::<Stream>(key)? {
        Some(stream) => add(stream, &options, pairs, now_ms, &limits)?,
        None if options.must_exist => {
            out.null();
            return Ok(());
        }
        None => {
            let mut stream = Stream::new();
            let added = add(&mut stream, &options, pairs, now_ms, &limits)?;
            ctx.put(key, stream.into_value());
            added
        }
    };
    write_id(out, added.id);
    ctx.modified(key, NotifyFlags::STREAM, "xadd");
    if added.trimmed {
        ctx.notify(NotifyFlags::STREAM, "xtrim", key);
    }
    if ctx.propagates() {
        propagate_added(ctx, args, &options, &added);
    }
    Ok(())
}

fn add(
    stream: &mut Stream,
    options: &AddOptions,
    pairs: &[&[u8]],
    now_ms: i64,
    limits: &EncodingLimits,
) -> Result<Added, CommandError> {
    let last = stream.last_id();
    if last == StreamId::MAX {
        return Err(errors::XADD_IDS_EXHAUSTED);
    }
    let id = match options.id {
        NewId::Choose => stream.next_id(u64::try_from(now_ms).unwrap_or_default()),
        NewId::ChooseSequence(ms) if ms == last.ms => {
            last.seq.checked_add(1).map(|seq| StreamId::new(ms, seq))
        }
        NewId::ChooseSequence(ms) => Some(StreamId::new(ms, 0)),
        NewId::Given(id) => Some(id),
    };
    let id = id.ok_or(errors::XADD_ID_NOT_GREATER)?;
    stream.append(id, pairs, limits).map_err(|error| match error {
        AppendError::TooLarge => errors::XADD_TOO_LARGE,
        _ => errors::XADD_ID_NOT_GREATER,
    })?;
    let trimmed = options.trim.is_some_and(|trim| stream.trim(&trim) > 0);
    let trimming = options.trim.and_then(|trim| TrimOutcome::of(&trim, stream));
    Ok(Added { id, trimmed, trimming })
}

/// Passes the command on with the id that was chosen and what an approximate trimming came to.
#[cold]
fn propagate_added(ctx: &mut Ctx<'_>, args: Args<'_>, options: &AddOptions, added: &Added) {
    let (mut id, mut text) = ([0; ID_TEXT_MAX], OutcomeText::new());
    let id = added.id.as_text(&mut id);
    let mut argv = match added.trimming {
        None => args.all()[..options.id_at].to_vec(),
        Some(outcome) => {
            // The limit of a trimming has had its effect.
            let mut argv = vec![args[0], args[1]];
            argv.extend(options.must_exist.then_some(&b"NOMKSTREAM"[..]));
            argv.extend(outcome.argv(&mut text));
            argv
        }
    };
    argv.push(id);
    argv.extend(args.from(options.id_at + 1));
    ctx.propagate_as(&argv);
}

fn xtrim(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let (mut parser, mut at) = (TrimParser::default(), 2);
    while at < args.len() {
        at = parser.option(args, at)?.ok_or(errors::SYNTAX)?;
    }
    let trim =
        parser.finish(&ctx.limits(), ctx.repeats_record())?.ok_or(errors::TRIM_TO_NOTHING)?;
    let key = args[1];
    let Some(stream) = ctx.write_as::<Stream>(key)? else {
        out.int(0);
        return Ok(());
    };
    let removed = stream.trim(&trim);
    if removed > 0 {
        let outcome = TrimOutcome::of(&trim, stream);
        ctx.notify(NotifyFlags::STREAM, "xtrim", key);
        ctx.break_watches(key);
        ctx.engine.dirty += removed;
        if let Some(outcome) = outcome {
            let mut text = OutcomeText::new();
            let [strategy, operator, threshold] = outcome.argv(&mut text);
            ctx.propagate_as(&[b"XTRIM", key, strategy, operator, threshold]);
        }
    }
    out.int(removed as i64);
    Ok(())
}

fn xdel(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let key = args[1];
    let Some(stream) = ctx.write_as::<Stream>(key)? else {
        out.int(0);
        return Ok(());
    };
    let ids = args.from(2).iter().map(|id| id::parse(id, 0));
    let ids = ids.collect::<Result<Vec<_>, _>>()?;
    let deleted = stream.delete(&ids);
    if deleted > 0 {
        ctx.break_watches(key);
        ctx.notify(NotifyFlags::STREAM, "xdel", key);
        ctx.engine.dirty += deleted;
    }
    out.int(deleted as i64);
    Ok(())
}

fn xsetid(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let id = id::parse(args[2], 0)?;
    let (mut entries_added, mut max_deleted, mut at) = (None, StreamId::MIN, 3);
    while at < args.len() {
        let has_value = at + 1 < args.len();
        if has_value && args.is(at, "entriesadded") {
            let count = u64::try_from(args.int(at + 1)?);
            entries_added = Some(count.map_err(|_| errors::XSETID_ENTRIES_NEGATIVE)?);
        } else if has_value && args.is(at, "maxdeletedid") {
            max_deleted = id::parse(args[at + 1], 0)?;
            if id < max_deleted {
                return Err(errors::XSETID_BELOW_GIVEN_DELETED);
            }
        } else {
            return Err(errors::SYNTAX);
        }
        at += 2;
    }
    let stream = ctx.write_as::<Stream>(args[1])?.ok_or(errors::NO_SUCH_KEY)?;
    if id < stream.max_deleted_id() {
        return Err(errors::XSETID_BELOW_DELETED);
    }
    if stream.last_entry_id().is_some_and(|top| id < top) {
        return Err(errors::XSETID_BELOW_TOP);
    }
    if entries_added.is_some_and(|count| !stream.is_empty() && count < stream.len()) {
        return Err(errors::XSETID_BELOW_LENGTH);
    }
    stream.set_last_id(id);
    if let Some(count) = entries_added {
        stream.set_entries_added(count);
    }
    if !max_deleted.is_zero() {
        stream.set_max_deleted_id(max_deleted);
    }
    ctx.notify(NotifyFlags::STREAM, "xsetid", args[1]);
    ctx.engine.dirty += 1;
    out.ok();
    Ok(())
}
