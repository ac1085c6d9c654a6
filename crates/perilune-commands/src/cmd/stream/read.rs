//! `XREAD` and `XREADGROUP`: what comes after given ids, of several streams, waiting if need be.
//!
//! Both try, and wait if there is nothing; when one of their streams grows they run again from the
//! start (see [`crate::blocking`]). The id `$` means "from now on", so it is replaced by the last id
//! before the command waits. A reader in a group also runs again when its key goes away or becomes
//! something else, to be told that there is no such group any more.

use super::effects::{Claim, propagate_claims, propagate_consumer, propagate_position};
use super::id;
use super::range::write_entries;
use super::{write_entry, write_id};
use crate::args::Args;
use crate::blocking::WaitKind;
use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::session::ClientSlot;
use crate::spec::{BeginSearch, CommandSpec, FindKeys, KeySpec};
use perilune_keyspace::stream::{ConsumerId, Group, ID_TEXT_MAX, Pending};
use perilune_keyspace::{Stream, StreamId};
use perilune_resp::{Deferred, DeferredKind, Protocol, ReplyWriter};

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "xread",
        arity: -4,
        flags: "readonly blocking",
        acl: "stream",
        keys: &[KeySpec {
            flags: "RO access",
            begin: BeginSearch::Keyword("STREAMS", 1),
            find: FindKeys::Range { last: -1, step: 1, limit: 2 },
            notes: "",
        }],
        key_finder: Some(crate::keys::xread_keys),
        since: "5.0.0",
        group: "stream",
        complexity: "O(N) with N the entries returned",
        summary: "Reads what streams have after given ids, waiting for something to arrive.",
        args: "[COUNT count:int] [BLOCK milliseconds:int] STREAMS streams={key:key... id...}",
        handler: xread,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "xreadgroup",
        arity: -7,
        flags: "write blocking",
        acl: "stream",
        keys: &[KeySpec {
            flags: "RO access",
            begin: BeginSearch::Keyword("STREAMS", 4),
            find: FindKeys::Range { last: -1, step: 1, limit: 2 },
            notes: "",
        }],
        key_finder: Some(crate::keys::xread_keys),
        since: "5.0.0",
        group: "stream",
        complexity: "O(N*log(P)) with N the entries returned and P those pending for the group",
        summary: "Reads entries that no other consumer of a group was given, waiting for some to arrive, or those pending for this one.",
        args: "GROUP group-block={group consumer} [COUNT count:int] [BLOCK milliseconds:int] [NOACK] STREAMS streams={key:key... id...}",
        handler: xreadgroup,
        ..CommandSpec::EMPTY
    },
];

/// Who reads.
#[derive(Debug, Clone, Copy)]
struct Reader<'a> {
    group: &'a [u8],
    consumer: &'a [u8],
    /// Entries count as acknowledged when they are delivered.
    no_ack: bool,
}

/// The arguments of both commands.
struct Request<'a> {
    block_ms: Option<i64>,
    /// Most entries of each stream.
    count: usize,
    reader: Option<Reader<'a>>,
    keys: &'a [&'a [u8]],
    /// The ids as they were given.
    ids: &'a [&'a [u8]],
    /// Index of the first id.
    ids_at: usize,
}

/// The id that stands for "what nobody in the group was given".
const UNDELIVERED: StreamId = StreamId::MAX;

impl<'a> Request<'a> {
    fn parse(ctx: &Ctx<'_>, args: Args<'a>, in_group: bool) -> Result<Self, CommandError> {
        let (mut block_ms, mut count, mut group, mut no_ack) = (None, 0, None, false);
        let mut at = 1;
        let first_key = loop {
            if at >= args.len() {
                return Err(errors::SYNTAX);
            }
            let more = args.len() - at - 1;
            if more >= 1 && args.is(at, "block") {
                if ctx.client == ClientSlot::SCRIPT {
                    return Err(errors::block_in_script(args.name()));
                }
                block_ms = Some(timeout_ms(args, at + 1, ctx.now_ms())?);
                at += 2;
            } else if more >= 1 && args.is(at, "count") {
                count = args.int(at + 1)?;
                at += 2;
            } else if more >= 1 && args.is(at, "streams") {
                break at + 1;
            } else if more >= 2 && args.is(at, "group") {
                if !in_group {
                    return Err(errors::XREAD_GROUP);
                }
                group = Some((args[at + 1], args[at + 2]));
                at += 3;
            } else if args.is(at, "noack") {
                if !in_group {
                    return Err(errors::XREAD_NOACK);
                }
                no_ack = true;
                at += 1;
            } else {
                return Err(errors::SYNTAX);
            }
        };
        let streams = args.from(first_key);
        if streams.len() % 2 == 1 {
            let (name, placeholder) = if in_group { ("xreadgroup", '>') } else { ("xread", '$') };
            return Err(errors::unbalanced_streams(name, placeholder));
        }
        if in_group && group.is_none() {
            return Err(errors::XREADGROUP_WITHOUT_GROUP);
        }
        let (keys, ids) = streams.split_at(streams.len() / 2);
        let reader = group.map(|(group, consumer)| Reader { group, consumer, no_ack });
        // Zero and less stand for all.
        let count = usize::try_from(count).ok().filter(|count| *count > 0).unwrap_or(usize::MAX);
        Ok(Request { block_ms, count, reader, keys, ids, ids_at: first_key + keys.len() })
    }

    /// The ids behind which the streams are to be read.
    fn resolve(&self, ctx: &mut Ctx<'_>) -> Result<Vec<StreamId>, CommandError> {
        let streams = self.keys.iter().zip(self.ids);
        streams.map(|(key, id)| self.resolve_one(ctx, key, id)).collect()
    }

    fn resolve_one(
        &self,
        ctx: &mut Ctx<'_>,
        key: &[u8],
        id: &[u8],
    ) -> Result<StreamId, CommandError> {
        let stream = ctx.read_as::<Stream>(key)?;
        if let Some(Reader { group, .. }) = self.reader
            && stream.is_none_or(|stream| stream.group(group).is_none())
        {
            return Err(errors::no_key_or_group(key, group, " in XREADGROUP with GROUP option"));
        }
        match (id, self.reader) {
            (b"$", None) => Ok(stream.map(Stream::last_id).unwrap_or_default()),
            (b"$", Some(_)) => Err(errors::XREADGROUP_FROM_NOW),
            (b">", Some(_)) => Ok(UNDELIVERED),
            (b">", None) => Err(errors::XREAD_UNDELIVERED),
            _ => id::parse(id, 0),
        }
    }

    /// Waits, or answers as if it had waited in vain.
    fn wait(&self, ctx: &mut Ctx<'_>, args: Args<'_>, ids: &[StreamId], out: &mut dyn ReplyWriter) {
        let Some(timeout_ms) = self.block_ms.filter(|_| !ctx.deny_blocking()) else {
            out.null_array();
            return;
        };
        let mut texts = vec![[0; ID_TEXT_MAX]; ids.len()];
        let mut argv = args.all().to_vec();
        let places = argv.iter_mut().skip(self.ids_at);
        for ((place, id), text) in places.zip(ids).zip(&mut texts) {
            if *place == b"$" {
                *place = id.as_text(text);
            }
        }
        let kind = if self.reader.is_some() { WaitKind::Group } else { WaitKind::Stream };
        ctx.wait_for_keys(kind, self.keys, timeout_ms, &argv);
    }
}

/// The timeout at `index` in milliseconds.
fn timeout_ms(args: Args<'_>, index: usize, now_ms: i64) -> Result<i64, CommandError> {
    let timeout_ms = args.int(index).map_err(|_| errors::TIMEOUT_NOT_AN_INTEGER)?;
    if timeout_ms < 0 {
        return Err(errors::TIMEOUT_NEGATIVE);
    }
    match timeout_ms.checked_add(now_ms) {
        Some(_) => Ok(timeout_ms),
        None => Err(errors::TIMEOUT_OUT_OF_RANGE),
    }
}

/// The reply: what is read of each stream, if anything is. RESP2 has an array of pairs for it,
/// RESP3 a map.
#[derive(Default)]
struct Reply {
    open: Option<Deferred>,
    streams: usize,
}

impl Reply {
    /// Begins a stream; its entries follow.
    fn begin_stream(&mut self, key: &[u8], out: &mut dyn ReplyWriter) {
        let pairs = out.protocol() == Protocol::Resp2;
        if self.open.is_none() {
            let kind = if pairs { DeferredKind::Array } else { DeferredKind::Map };
            self.open = Some(out.begin_deferred(kind));
        }
        if pairs {
            out.array(2);
        }
        out.bulk(key);
        self.streams += 1;
    }

    /// Ends the reply; false if there was nothing to reply.
    fn end(self, out: &mut dyn ReplyWriter) -> bool {
        match self.open {
            Some(open) => {
                out.end_deferred(open, self.streams);
                true
            }
            None => false,
        }
    }
}

fn xread(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let request = Request::parse(ctx, args, false)?;
    let ids = request.resolve(ctx)?;
    let mut reply = Reply::default();
    for (key, after) in request.keys.iter().zip(&ids) {
        let Some(stream) = ctx.read_as::<Stream>(key)? else { continue };
        if let Some(start) = after.next()
            && stream.last_entry_id().is_some_and(|last| last >= start)
        {
            reply.begin_stream(key, out);
            write_entries(stream.range(start, StreamId::MAX, false), request.count, out);
        }
    }
    if !reply.end(out) {
        request.wait(ctx, args, &ids, out);
    }
    Ok(())
}

fn xreadgroup(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let request = Request::parse(ctx, args, true)?;
    let ids = request.resolve(ctx)?;
    ctx.propagate_nothing();
    let mut reply = Reply::default();
    let Some(reader) = request.reader else { return Err(errors::XREADGROUP_WITHOUT_GROUP) };
    for (key, after) in request.keys.iter().zip(&ids) {
        read_as_consumer(ctx, key, *after, &reader, request.count, &mut reply, out)?;
    }
    if !reply.end(out) {
        request.wait(ctx, args, &ids, out);
    }
    Ok(())
}

/// Reads one stream for a consumer, making it first if there is no such consumer.
fn read_as_consumer(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    after: StreamId,
    reader: &Reader<'_>,
    count: usize,
    reply: &mut Reply,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let (now_ms, record) = (ctx.now_ms(), ctx.propagates());
    // Counts as reading the key, and gives access for writing.
    ctx.read_as::<Stream>(key)?;
    let Some(stream) = ctx.write_as::<Stream>(key)? else { return Ok(()) };
    let done = stream.with_group(reader.group, |stream, group| {
        let created = group.create_consumer(reader.consumer, now_ms).is_some();
        let mut done = Done { created, ..Done::default() };
        let Some(consumer) = group.find_consumer(reader.consumer) else { return done };
        if let Some(consumer) = group.consumer_mut(consumer) {
            consumer.seen_ms = now_ms;
        }
        if after != UNDELIVERED {
            reply.begin_stream(key, out);
            read_history(stream, group, consumer, after, count, now_ms, out);
            done.served = true;
        } else if stream.last_entry_id().is_some_and(|last| last > group.last_id) {
            reply.begin_stream(key, out);
            let delivery = Delivery { consumer, no_ack: reader.no_ack, now_ms, record, count };
            delivery.run(stream, group, &mut done, out);
            done.served = true;
        }
        done
    });
    if let Some(done) = done {
        settle(ctx, key, reader, &done);
    }
    Ok(())
}

/// What reading a stream for a consumer came to.
#[derive(Default)]
struct Done {
    /// The consumer was made.
    created: bool,
    /// Something was answered.
    served: bool,
    /// The entries that are pending now, if that is to be recorded.
    claims: Vec<Claim>,
    /// How far the group has read, if no claim tells.
    position: Option<(StreamId, Option<i64>)>,
}

/// Tells listeners and replicas what was done.
fn settle(ctx: &mut Ctx<'_>, key: &[u8], reader: &Reader<'_>, done: &Done) {
    if done.created {
        ctx.notify(NotifyFlags::STREAM, "xgroup-createconsumer", key);
        if reader.no_ack {
            propagate_consumer(ctx, key, reader.group, reader.consumer);
        }
    }
    ctx.engine.dirty += u64::from(done.created) + u64::from(done.served);
    propagate_claims(ctx, key, reader.group, &done.claims);
    if let Some((last_id, entries_read)) = done.position {
        propagate_position(ctx, key, reader.group, last_id, entries_read);
    }
}

/// Delivery of new entries to a consumer.
struct Delivery {
    consumer: ConsumerId,
    no_ack: bool,
    now_ms: i64,
    record: bool,
    count: usize,
}

impl Delivery {
    fn run(&self, stream: &Stream, group: &mut Group, done: &mut Done, out: &mut dyn ReplyWriter) {
        let array = out.begin_deferred(DeferredKind::Array);
        let mut written = 0;
        let first = group.last_id.next().unwrap_or(StreamId::MAX);
        for entry in stream.range(first, StreamId::MAX, false).take(self.count) {
            let id = entry.id();
            group.entries_read = stream.entries_read_after(group.entries_read, id);
            group.last_id = id;
            write_entry(out, &entry);
            if !self.no_ack {
                self.assign(group, id, done);
            }
            written += 1;
        }
        out.end_deferred(array, written);
        if self.no_ack && written > 0 {
            done.position = Some((group.last_id, group.entries_read));
        }
    }

    fn assign(&self, group: &mut Group, id: StreamId, done: &mut Done) {
        let (delivered_ms, consumer) = (self.now_ms, self.consumer);
        let pending = Pending { delivered_ms, deliveries: 1, consumer };
        group.assign(id, pending);
        if let Some(consumer) = group.consumer_mut(consumer) {
            consumer.active_ms = self.now_ms;
        }
        if self.record {
            done.claims.push(Claim::new(group, id, pending));
        }
    }
}

/// Writes what is pending for a consumer after an id; an entry that was deleted meanwhile has no
/// fields any more.
fn read_history(
    stream: &Stream,
    group: &mut Group,
    consumer: ConsumerId,
    after: StreamId,
    count: usize,
    now_ms: i64,
    out: &mut dyn ReplyWriter,
) {
    let ids: Vec<StreamId> = match (group.consumer(consumer), after.next()) {
        (Some(consumer), Some(start)) => consumer.pending_from(start).take(count).collect(),
        _ => Vec::new(),
    };
    out.array(ids.len());
    for id in ids {
        match stream.get(id) {
            Some(entry) => {
                write_entry(out, &entry);
                group.deliver_again(id, now_ms);
            }
            None => {
                out.array(2);
                write_id(out, id);
                out.null_array();
            }
        }
    }
}
