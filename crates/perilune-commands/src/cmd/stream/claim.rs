//! Giving pending entries to another consumer, because the one that got them seems to be gone.

use super::effects::{Claim, propagate_claims, propagate_position};
use super::{id, write_entry, write_id};
use crate::args::Args;
use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::stream::{ConsumerId, Group, Pending, StreamEntry};
use perilune_keyspace::{Stream, StreamId};
use perilune_resp::{DeferredKind, ReplyWriter};

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "xautoclaim",
        arity: -6,
        flags: "write fast",
        acl: "stream",
        keys: &[KeySpec::one("RW delete", 1)],
        since: "6.2.0",
        group: "stream",
        complexity: "O(1) if COUNT is small",
        summary: "Gives a consumer what has been pending for others for too long.",
        args: "key:key group consumer min-idle-time start [COUNT count:int] [JUSTID]",
        tips: &["nondeterministic_output"],
        handler: xautoclaim,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "xclaim",
        arity: -6,
        flags: "write fast",
        acl: "stream",
        keys: &[KeySpec::one("RW update", 1)],
        since: "5.0.0",
        group: "stream",
        complexity: "O(log(N)) for each id with N the entries pending for the group",
        summary: "Gives a consumer entries that are pending for others.",
        args: "key:key group consumer min-idle-time id... [IDLE ms:int] [TIME unix-time-milliseconds:unix-time] [RETRYCOUNT count:int] [FORCE] [JUSTID] [LASTID lastid]",
        tips: &["nondeterministic_output"],
        handler: xclaim,
        ..CommandSpec::EMPTY
    },
];

/// Entries that `XAUTOCLAIM` claims at most unless told otherwise.
const COUNT_DEFAULT: i64 = 100;

/// The largest `COUNT` that Redis reads.
const COUNT_MAX: i64 = i64::MAX / 16;

/// A larger `COUNT` would need more memory for its reply than any machine has.
const COUNT_ANSWERABLE_MAX: i64 = 1 << 43;

/// Entries that `XAUTOCLAIM` looks at for each one that it may claim.
const ATTEMPTS_PER_CLAIM: i64 = 10;

/// How entries are claimed.
#[derive(Debug, Clone, Copy, Default)]
struct Terms {
    now_ms: i64,
    min_idle_ms: i64,
    /// What becomes the time of the delivery.
    delivered_ms: i64,
    /// What becomes the number of deliveries; one more if none.
    deliveries: Option<u64>,
    /// Only ids are answered, and this is no delivery.
    just_id: bool,
    /// What was not pending becomes so.
    force: bool,
}

/// What claiming came to.
#[derive(Default)]
struct Done {
    created: bool,
    changes: u64,
    claims: Vec<Claim>,
    /// How far the group has read, if that changed and no claim tells.
    position: Option<(StreamId, Option<i64>)>,
}

/// A consumer claiming entries of its group.
struct Claimant<'a> {
    stream: &'a Stream,
    group: &'a mut Group,
    consumer: ConsumerId,
    terms: Terms,
    record: bool,
    done: Done,
}

/// What became of an entry.
enum Outcome<'a> {
    Claimed(StreamEntry<'a>),
    /// It is not in the stream any more, and so is not pending any more.
    Gone,
    Untouched,
}

impl<'a> Claimant<'a> {
    /// Makes the consumer if there is none of that name.
    fn new(
        stream: &'a Stream,
        group: &'a mut Group,
        name: &[u8],
        terms: Terms,
        record: bool,
    ) -> Option<Self> {
        let created = group.create_consumer(name, terms.now_ms);
        let consumer = created.or_else(|| group.find_consumer(name))?;
        group.consumer_mut(consumer)?.seen_ms = terms.now_ms;
        let done = Done { created: created.is_some(), ..Done::default() };
        Some(Claimant { stream, group, consumer, terms, record, done })
    }

    fn note(&mut self, id: StreamId, pending: Pending) {
        self.done.changes += 1;
        self.done.position = None;
        if self.record {
            self.done.claims.push(Claim::new(self.group, id, pending));
        }
    }

    /// Claims an entry if the terms allow it.
    fn claim(&mut self, id: StreamId) -> Outcome<'a> {
        let before = self.group.pending(id).copied();
        let Some(entry) = self.stream.get(id) else {
            let Some(before) = before else { return Outcome::Untouched };
            self.note(id, before);
            self.group.acknowledge(id);
            return Outcome::Gone;
        };
        let terms = self.terms;
        let deliveries = match before {
            Some(before) => {
                let idle_ms = terms.now_ms.wrapping_sub(before.delivered_ms);
                if terms.min_idle_ms > 0 && idle_ms < terms.min_idle_ms {
                    return Outcome::Untouched;
                }
                before.deliveries
            }
            None if terms.force => 1,
            None => return Outcome::Untouched,
        };
        let more = u64::from(!terms.just_id);
        let deliveries = terms.deliveries.unwrap_or(deliveries.wrapping_add(more));
        let (delivered_ms, consumer) = (terms.delivered_ms, self.consumer);
        let pending = Pending { delivered_ms, deliveries, consumer };
        self.group.assign(id, pending);
        if let Some(consumer) = self.group.consumer_mut(consumer) {
            consumer.active_ms = terms.now_ms;
        }
        self.note(id, pending);
        Outcome::Claimed(entry)
    }

    /// Writes a claimed entry.
    fn write(&self, entry: &StreamEntry<'_>, out: &mut dyn ReplyWriter) {
        if self.terms.just_id {
            write_id(out, entry.id());
        } else {
            write_entry(out, entry);
        }
    }
}

/// Tells listeners and replicas what was done.
fn settle(ctx: &mut Ctx<'_>, key: &[u8], group: &[u8], done: &Done) {
    if done.created {
        ctx.notify(NotifyFlags::STREAM, "xgroup-createconsumer", key);
    }
    let moved = u64::from(done.position.is_some());
    ctx.engine.dirty += u64::from(done.created) + done.changes + moved;
    ctx.propagate_nothing();
    propagate_claims(ctx, key, group, &done.claims);
    if let Some((last_id, entries_read)) = done.position {
        propagate_position(ctx, key, group, last_id, entries_read);
    }
}

/// The options of `XCLAIM`.
struct ClaimOptions {
    ids: Vec<StreamId>,
    terms: Terms,
    last_id: StreamId,
}

impl ClaimOptions {
    fn parse(args: Args<'_>, now_ms: i64) -> Result<Self, CommandError> {
        let min_idle_ms = args.int(4).map_err(|_| errors::XCLAIM_MIN_IDLE)?.max(0);
        let ids = args.from(5).iter().map_while(|text| id::parse(text, 0).ok());
        let ids: Vec<StreamId> = ids.collect();
        let mut terms = Terms { now_ms, min_idle_ms, ..Terms::default() };
        let (mut delivered_ms, mut last_id, mut at) = (None, StreamId::MIN, 5 + ids.len());
        while at < args.len() {
            let has_value = at + 1 < args.len();
            at += 1;
            if args.is(at - 1, "force") {
                terms.force = true;
                continue;
            } else if args.is(at - 1, "justid") {
                terms.just_id = true;
                continue;
            } else if has_value && args.is(at - 1, "idle") {
                let idle_ms = args.int(at).map_err(|_| errors::XCLAIM_IDLE)?;
                delivered_ms = Some(now_ms.wrapping_sub(idle_ms));
            } else if has_value && args.is(at - 1, "time") {
                delivered_ms = Some(args.int(at).map_err(|_| errors::XCLAIM_TIME)?);
            } else if has_value && args.is(at - 1, "retrycount") {
                let count = args.int(at).map_err(|_| errors::XCLAIM_RETRYCOUNT)?;
                terms.deliveries = u64::try_from(count).ok();
            } else if has_value && args.is(at - 1, "lastid") {
                last_id = id::parse(args[at], 0)?;
            } else {
                return Err(errors::unknown_xclaim_option(args[at - 1]));
            }
            at += 1;
        }
        // A time that makes no sense is not worth an error: clocks of clients are often wrong.
        let sane = delivered_ms.filter(|at| (0..=now_ms).contains(at));
        terms.delivered_ms = sane.unwrap_or(now_ms);
        Ok(ClaimOptions { ids, terms, last_id })
    }
}

fn xclaim(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let (key, group, now_ms, record) = (args[1], args[2], ctx.now_ms(), ctx.propagates());
    let found = ctx.read_as::<Stream>(key)?;
    if found.is_none_or(|stream| stream.group(group).is_none()) {
        return Err(errors::no_key_or_group(key, group, ""));
    }
    let options = ClaimOptions::parse(args, now_ms)?;
    let Some(stream) = ctx.write_as::<Stream>(key)? else { return Ok(()) };
    let done = stream.with_group(group, |stream, group| {
        let moves = options.last_id > group.last_id;
        if moves {
            group.last_id = options.last_id;
        }
        let mut claimant = Claimant::new(stream, group, args[3], options.terms, record)?;
        if moves {
            let group = &claimant.group;
            claimant.done.position = Some((group.last_id, group.entries_read));
        }
        let array = out.begin_deferred(DeferredKind::Array);
        let mut written = 0;
        for id in &options.ids {
            if let Outcome::Claimed(entry) = claimant.claim(*id) {
                claimant.write(&entry, out);
                written += 1;
            }
        }
        out.end_deferred(array, written);
        Some(claimant.done)
    });
    if let Some(done) = done.flatten() {
        settle(ctx, key, group, &done);
    }
    Ok(())
}

/// The options of `XAUTOCLAIM`.
struct AutoOptions {
    start: StreamId,
    count: i64,
    terms: Terms,
}

impl AutoOptions {
    fn parse(args: Args<'_>, now_ms: i64) -> Result<Self, CommandError> {
        let min_idle_ms = args.int(4).map_err(|_| errors::XAUTOCLAIM_MIN_IDLE)?.max(0);
        let start = id::parse_start(args[5])?;
        let (mut count, mut just_id, mut at) = (COUNT_DEFAULT, false, 6);
        while at < args.len() {
            if args.is(at, "count") && at + 1 < args.len() {
                let wanted = args.int(at + 1).ok();
                let fits = wanted.filter(|count| (1..=COUNT_MAX).contains(count));
                count = fits.ok_or(errors::XAUTOCLAIM_COUNT)?;
                at += 2;
            } else if args.is(at, "justid") {
                just_id = true;
                at += 1;
            } else {
                return Err(errors::SYNTAX);
            }
        }
        let delivered_ms = now_ms;
        let terms = Terms { now_ms, min_idle_ms, delivered_ms, just_id, ..Terms::default() };
        Ok(AutoOptions { start, count, terms })
    }
}

fn xautoclaim(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let (key, group, record) = (args[1], args[2], ctx.propagates());
    let options = AutoOptions::parse(args, ctx.now_ms())?;
    let found = ctx.read_as::<Stream>(key)?;
    if found.is_none_or(|stream| stream.group(group).is_none()) {
        return Err(errors::no_key_or_group(key, group, ""));
    }
    if options.count > COUNT_ANSWERABLE_MAX {
        return Err(errors::XAUTOCLAIM_COUNT_TOO_HIGH);
    }
    let Some(stream) = ctx.write_as::<Stream>(key)? else { return Ok(()) };
    let done = stream.with_group(group, |stream, group| {
        let mut claimant = Claimant::new(stream, group, args[3], options.terms, record)?;
        claim_idle(&mut claimant, &options, out);
        Some(claimant.done)
    });
    if let Some(done) = done.flatten() {
        settle(ctx, key, group, &done);
    }
    Ok(())
}

/// Claims what has been pending for long enough, and writes the reply: where to go on, what was
/// claimed, what was found to be gone.
fn claim_idle(claimant: &mut Claimant<'_>, options: &AutoOptions, out: &mut dyn ReplyWriter) {
    let (mut claimed, mut gone) = (Vec::new(), Vec::new());
    let (mut attempts, mut count) = (options.count * ATTEMPTS_PER_CLAIM, options.count);
    let mut next = first_pending(claimant.group, Some(options.start));
    while attempts > 0
        && count > 0
        && let Some(id) = next
    {
        match claimant.claim(id) {
            Outcome::Claimed(entry) => claimed.push(entry),
            Outcome::Gone => gone.push(id),
            Outcome::Untouched => count += 1,
        }
        attempts -= 1;
        count -= 1;
        next = first_pending(claimant.group, id.next());
    }
    out.array(3);
    write_id(out, next.unwrap_or(StreamId::MIN));
    out.array(claimed.len());
    claimed.iter().for_each(|entry| claimant.write(entry, out));
    out.array(gone.len());
    gone.iter().for_each(|id| write_id(out, *id));
}

/// The first pending entry from `start` on; none behind the greatest id.
fn first_pending(group: &Group, start: Option<StreamId>) -> Option<StreamId> {
    group.pending_range(start?..).next().map(|(id, _)| id)
}
