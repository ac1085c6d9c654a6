//! What was delivered to the consumers of a group and not acknowledged.

use super::{id, write_id};
use crate::args::Args;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::stream::{Consumer, Group, Pending};
use perilune_keyspace::{Stream, StreamId};
use perilune_resp::{DeferredKind, ReplyWriter};

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "xack",
        arity: -4,
        flags: "write fast",
        acl: "stream",
        keys: &[KeySpec::one("RW update", 1)],
        since: "5.0.0",
        group: "stream",
        complexity: "O(log(N)) for each id with N the entries pending for the group",
        summary: "Acknowledges entries that a group was given.",
        args: "key:key group id...",
        handler: xack,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "xpending",
        arity: -3,
        flags: "readonly",
        acl: "stream",
        keys: &[KeySpec::one("RO access", 1)],
        since: "5.0.0",
        group: "stream",
        complexity: "O(N) with N the entries looked at, or the consumers for the overview",
        summary: "Lists the entries that a group was given and has not acknowledged.",
        args: "key:key group [filters={[IDLE min-idle-time:int@6.2.0] start end count:int [consumer]}]",
        tips: &["nondeterministic_output"],
        handler: xpending,
        ..CommandSpec::EMPTY
    },
];

fn xack(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    // Redis counts this as reading the key.
    ctx.read_as::<Stream>(args[1])?;
    let stream = ctx.write_as::<Stream>(args[1])?;
    let Some(group) = stream.and_then(|stream| stream.group_mut(args[2])) else {
        out.int(0);
        return Ok(());
    };
    let ids = args.from(3).iter().map(|id| id::parse(id, 0));
    // All or nothing: an id that is none must not leave others acknowledged.
    let ids = ids.collect::<Result<Vec<_>, _>>()?;
    let acknowledged = ids.into_iter().filter(|id| group.acknowledge(*id)).count();
    ctx.engine.dirty += acknowledged as u64;
    out.int(acknowledged as i64);
    Ok(())
}

/// Which pending entries are asked for.
struct Filter<'a> {
    min_idle_ms: i64,
    first: StreamId,
    last: StreamId,
    count: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> Filter<'a> {
    /// None where an overview is asked for.
    fn parse(args: Args<'a>) -> Result<Option<Self>, CommandError> {
        if args.len() == 3 {
            return Ok(None);
        }
        if !(6..=9).contains(&args.len()) {
            return Err(errors::SYNTAX);
        }
        let (mut min_idle_ms, mut at) = (0, 3);
        if args.is(3, "idle") {
            min_idle_ms = args.int(4)?;
            if args.len() < 8 {
                return Err(errors::SYNTAX);
            }
            at = 5;
        }
        let count = usize::try_from(args.int(at + 2)?).unwrap_or(0);
        let (first, last) = (id::parse_start(args[at])?, id::parse_end(args[at + 1])?);
        Ok(Some(Filter { min_idle_ms, first, last, count, consumer: args.get(at + 3) }))
    }

    fn takes(&self, pending: &Pending, now_ms: i64) -> bool {
        self.min_idle_ms == 0 || now_ms.wrapping_sub(pending.delivered_ms) >= self.min_idle_ms
    }
}

fn xpending(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let filter = Filter::parse(args)?;
    let now_ms = ctx.now_ms();
    let stream = ctx.read_as::<Stream>(args[1])?;
    let group = stream
        .and_then(|stream| stream.group(args[2]))
        .ok_or_else(|| errors::no_key_or_group(args[1], args[2], ""))?;
    match filter {
        None => write_overview(group, out),
        Some(filter) => write_filtered(group, &filter, now_ms, out),
    }
    Ok(())
}

fn write_overview(group: &Group, out: &mut dyn ReplyWriter) {
    out.array(4);
    out.int(group.pending_len() as i64);
    let mut pending = group.pending_range(..).map(|(id, _)| id);
    let Some(first) = pending.next() else {
        out.null();
        out.null();
        out.null_array();
        return;
    };
    write_id(out, first);
    write_id(out, pending.next_back().unwrap_or(first));
    let owners = || group.consumers().filter(|consumer| consumer.pending_len() > 0);
    out.array(owners().count());
    for consumer in owners() {
        out.array(2);
        out.bulk(consumer.name());
        out.bulk_int(consumer.pending_len() as i64);
    }
}

fn write_filtered(group: &Group, filter: &Filter<'_>, now_ms: i64, out: &mut dyn ReplyWriter) {
    let consumer: Option<&Consumer> = match filter.consumer {
        None => None,
        Some(name) => match group.find_consumer(name).and_then(|id| group.consumer(id)) {
            Some(consumer) => Some(consumer),
            None => return out.array(0),
        },
    };
    let array = out.begin_deferred(DeferredKind::Array);
    let mut written = 0;
    let mut write = |(id, pending): (StreamId, &Pending)| {
        out.array(4);
        write_id(out, id);
        out.bulk(group.owner_name(pending));
        out.int(now_ms.wrapping_sub(pending.delivered_ms).max(0));
        out.int(pending.deliveries as i64);
        written += 1;
    };
    let takes = |(_, pending): &(StreamId, &Pending)| filter.takes(pending, now_ms);
    match consumer {
        Some(consumer) => consumer
            .pending_from(filter.first)
            .take_while(|id| *id <= filter.last)
            .filter_map(|id| Some((id, group.pending(id)?)))
            .filter(takes)
            .take(filter.count)
            .for_each(&mut write),
        None => group
            .pending_range(filter.first..)
            .take_while(|(id, _)| *id <= filter.last)
            .filter(takes)
            .take(filter.count)
            .for_each(&mut write),
    }
    out.end_deferred(array, written);
}
