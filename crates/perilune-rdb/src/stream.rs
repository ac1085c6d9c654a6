//! Streams within snapshots.
//!
//! ```text
//! number of nodes; each: id (16 bytes big endian, as a string), listpack as a string
//! number of entries
//! last id ms, seq
//! first id ms, seq; greatest deleted id ms, seq; entries ever added       from version 2 on
//! number of groups; each:
//!   name; last id ms, seq
//!   entries read                                                          from version 2 on
//!   number of pending entries; each: id (16 bytes), delivery time (i64), deliveries
//!   number of consumers; each:
//!     name; seen time (i64)
//!     active time (i64)                                                   from version 3 on
//!     number of pending entries; each: id (16 bytes)
//! ```
//!
//! Numbers are lengths except where a width is told. An unknown number of entries read is all ones.

use crate::decode::{read_array, read_length, read_string};
use crate::encode::{Output, write_length, write_string};
use crate::error::ReadError;
use crate::format::kind;
use perilune_keyspace::Listpack;
use perilune_keyspace::stream::{
    Consumer, Group, GroupParts, PartsError, Stream, StreamId, StreamParts,
};
use std::io::{self, Read};

/// Stands for an unknown number of entries read.
const UNKNOWN: u64 = u64::MAX;

pub(crate) fn write_stream(stream: &Stream, out: &mut impl Output) -> io::Result<()> {
    write_length(out, stream.node_count() as u64)?;
    for (master, lp) in stream.nodes() {
        write_string(out, &master.to_bytes())?;
        write_string(out, lp.as_bytes())?;
    }
    write_length(out, stream.len())?;
    write_id(out, stream.last_id())?;
    write_id(out, stream.first_id())?;
    write_id(out, stream.max_deleted_id())?;
    write_length(out, stream.entries_added())?;
    write_length(out, stream.group_count() as u64)?;
    for (name, group) in stream.groups() {
        write_string(out, name)?;
        write_group(group, out)?;
    }
    Ok(())
}

fn write_id(out: &mut impl Output, id: StreamId) -> io::Result<()> {
    write_length(out, id.ms)?;
    write_length(out, id.seq)
}

fn write_group(group: &Group, out: &mut impl Output) -> io::Result<()> {
    write_id(out, group.last_id)?;
    write_length(out, group.entries_read.map_or(UNKNOWN, |read| read as u64))?;
    write_length(out, group.pending_len() as u64)?;
    for (id, pending) in group.pending_range(..) {
        out.write_all(&id.to_bytes())?;
        out.write_all(&pending.delivered_ms.to_le_bytes())?;
        write_length(out, pending.deliveries)?;
    }
    write_length(out, group.consumer_count() as u64)?;
    group.consumers().try_for_each(|consumer| write_consumer(consumer, out))
}

fn write_consumer(consumer: &Consumer, out: &mut impl Output) -> io::Result<()> {
    write_string(out, consumer.name())?;
    out.write_all(&consumer.seen_ms.to_le_bytes())?;
    out.write_all(&consumer.active_ms.to_le_bytes())?;
    write_length(out, consumer.pending_len() as u64)?;
    for id in consumer.pending_from(StreamId::MIN) {
        out.write_all(&id.to_bytes())?;
    }
    Ok(())
}

pub(crate) fn read_stream(version: u8, input: &mut impl Read) -> Result<Stream, ReadError> {
    let mut parts = StreamParts::default();
    for _ in 0..read_length(input)? {
        let master = read_string(input)?;
        let master = <[u8; 16]>::try_from(master).map_err(|_| PartsError::Node)?;
        let lp = Listpack::from_bytes(read_string(input)?)?;
        parts.add_node(StreamId::from_bytes(master), lp)?;
    }
    let len = read_length(input)?;
    let last_id = read_id(input)?;
    let mut stream = parts.finish(len, last_id)?;
    if version != kind::STREAM_LISTPACKS {
        // The first id follows from the nodes.
        read_id(input)?;
        stream.set_max_deleted_id(read_id(input)?);
        stream.set_entries_added(read_length(input)?);
    }
    for _ in 0..read_length(input)? {
        let name = read_string(input)?;
        let group = read_group(version, &stream, input)?;
        if !stream.add_group(&name, group) {
            return Err(PartsError::Group.into());
        }
    }
    Ok(stream)
}

fn read_id(input: &mut impl Read) -> Result<StreamId, ReadError> {
    Ok(StreamId::new(read_length(input)?, read_length(input)?))
}

fn read_time(input: &mut impl Read) -> Result<i64, ReadError> {
    read_array(input).map(i64::from_le_bytes)
}

fn read_group(version: u8, stream: &Stream, input: &mut impl Read) -> Result<Group, ReadError> {
    let last_id = read_id(input)?;
    let entries_read = if version == kind::STREAM_LISTPACKS {
        stream.entries_up_to(last_id)
    } else {
        match read_length(input)? {
            UNKNOWN => None,
            // Counters wrap around, as they do in Redis.
            read => Some(read as i64),
        }
    };
    let mut parts = GroupParts::new(last_id, entries_read);
    for _ in 0..read_length(input)? {
        let id = StreamId::from_bytes(read_array(input)?);
        parts.add_pending(id, read_time(input)?, read_length(input)?)?;
    }
    for _ in 0..read_length(input)? {
        let name = read_string(input)?;
        let seen_ms = read_time(input)?;
        let active_ms =
            if version == kind::STREAM_LISTPACKS_3 { read_time(input)? } else { seen_ms };
        let consumer = parts.add_consumer(&name, seen_ms, active_ms)?;
        for _ in 0..read_length(input)? {
            parts.own(consumer, StreamId::from_bytes(read_array(input)?))?;
        }
    }
    Ok(parts.finish()?)
}
