//! A stream as the commands that build it, in the form that Redis gives them.
//!
//! ```text
//! XADD ...            each entry; an empty stream is one entry that is trimmed away at once
//! XSETID ...          the last id, the number of entries ever added, the greatest deleted id
//! XGROUP CREATE ...   each group; then each of its consumers:
//!   XGROUP CREATECONSUMER ...   one with nothing pending
//!   XCLAIM ... JUSTID FORCE     each entry pending for it
//! ```
//!
//! Commands do not tell when a consumer was last seen. They cannot tell either that an entry is
//! pending which the stream does not hold any more; see [`can_be_told`].

use perilune_keyspace::stream::{Consumer, Group, ID_TEXT_MAX, Stream, StreamEntry, StreamId};
use perilune_resp::encode_request;

/// Number of entries read that stands for an unknown one.
const UNKNOWN: i64 = -1;

/// Whether commands rebuild all of the stream. Claiming an entry that was deleted has no effect.
pub(super) fn can_be_told(stream: &Stream) -> bool {
    stream.groups().all(|(_, group)| group.pending_range(..).all(|(id, _)| stream.contains(id)))
}

/// Appends the commands that build a stream.
pub(super) fn write_stream(key: &[u8], stream: &Stream, out: &mut Vec<u8>) {
    for entry in stream.iter() {
        write_entry(key, &entry, out);
    }
    if stream.is_empty() {
        encode_request([&b"XADD"[..], key, b"MAXLEN", b"0", b"0-1", b"x", b"y"], out);
    }
    let (mut last, mut deleted) = ([0; ID_TEXT_MAX], [0; ID_TEXT_MAX]);
    let mut added = itoa::Buffer::new();
    let words: [&[u8]; 7] = [
        b"XSETID",
        key,
        stream.last_id().as_text(&mut last),
        b"ENTRIESADDED",
        added.format(stream.entries_added()).as_bytes(),
        b"MAXDELETEDID",
        stream.max_deleted_id().as_text(&mut deleted),
    ];
    encode_request(words, out);
    for (name, group) in stream.groups() {
        write_group(key, name, group, out);
    }
}

fn write_entry(key: &[u8], entry: &StreamEntry<'_>, out: &mut Vec<u8>) {
    let mut words = vec![b"XADD".to_vec(), key.to_vec(), id_text(entry.id())];
    for (field, value) in entry.fields() {
        words.extend([field.to_vec(), value.to_vec()]);
    }
    encode_request(words.iter().map(Vec::as_slice), out);
}

fn write_group(key: &[u8], name: &[u8], group: &Group, out: &mut Vec<u8>) {
    let mut read = itoa::Buffer::new();
    let words: [&[u8]; 7] = [
        b"XGROUP",
        b"CREATE",
        key,
        name,
        &id_text(group.last_id),
        b"ENTRIESREAD",
        read.format(group.entries_read.unwrap_or(UNKNOWN)).as_bytes(),
    ];
    encode_request(words, out);
    for consumer in group.consumers() {
        if consumer.pending_len() == 0 {
            let words = [&b"XGROUP"[..], b"CREATECONSUMER", key, name, consumer.name()];
            encode_request(words, out);
        }
        write_pending(key, name, group, consumer, out);
    }
}

fn write_pending(key: &[u8], group_name: &[u8], group: &Group, of: &Consumer, out: &mut Vec<u8>) {
    for id in of.pending_from(StreamId::MIN) {
        let Some(pending) = group.pending(id) else { continue };
        let (mut delivered, mut deliveries) = (itoa::Buffer::new(), itoa::Buffer::new());
        let words: [&[u8]; 12] = [
            b"XCLAIM",
            key,
            group_name,
            of.name(),
            b"0",
            &id_text(id),
            b"TIME",
            delivered.format(pending.delivered_ms).as_bytes(),
            b"RETRYCOUNT",
            deliveries.format(pending.deliveries).as_bytes(),
            b"JUSTID",
            b"FORCE",
        ];
        encode_request(words, out);
    }
}

fn id_text(id: StreamId) -> Vec<u8> {
    id.as_text(&mut [0; ID_TEXT_MAX]).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aof::{Record, Records};
    use perilune_keyspace::stream::Pending;

    fn commands(stream: &Stream) -> Vec<String> {
        let mut out = Vec::new();
        write_stream(b"key", stream, &mut out);
        let mut records = Records::new(&out[..], 0);
        let mut commands = Vec::new();
        while let Some(Record::Command(args)) = records.read().expect("records") {
            let words: Vec<_> = args.iter().map(|arg| String::from_utf8_lossy(arg)).collect();
            commands.push(words.join(" "));
        }
        commands
    }

    #[test]
    fn an_empty_stream_is_an_entry_that_goes_at_once() {
        let mut stream = Stream::new();
        stream.set_last_id(StreamId::new(7, 1));
        stream.set_entries_added(3);
        stream.set_max_deleted_id(StreamId::new(7, 0));
        let expected =
            ["XADD key MAXLEN 0 0-1 x y", "XSETID key 7-1 ENTRIESADDED 3 MAXDELETEDID 7-0"];
        assert_eq!(commands(&stream), expected);
    }

    #[test]
    fn groups_with_what_is_pending() {
        let mut stream = Stream::new();
        let limits = perilune_keyspace::EncodingLimits::default();
        for seq in 1..=2 {
            stream.append(StreamId::new(5, seq), &[b"f", b"12"], &limits).expect("a greater id");
        }
        let mut group = Group::new(StreamId::new(5, 1), None);
        group.create_consumer(b"idle", 50);
        let consumer = group.create_consumer(b"busy", 50).expect("a new name");
        let pending = Pending { delivered_ms: 40, deliveries: 2, consumer };
        group.assign(StreamId::new(5, 1), pending);
        stream.add_group(b"g", group);
        assert!(can_be_told(&stream));
        let expected = [
            "XADD key 5-1 f 12",
            "XADD key 5-2 f 12",
            "XSETID key 5-2 ENTRIESADDED 2 MAXDELETEDID 0-0",
            "XGROUP CREATE key g 5-1 ENTRIESREAD -1",
            "XCLAIM key g busy 0 5-1 TIME 40 RETRYCOUNT 2 JUSTID FORCE",
            "XGROUP CREATECONSUMER key g idle",
        ];
        assert_eq!(commands(&stream), expected);
        stream.delete(&[StreamId::new(5, 1)]);
        assert!(!can_be_told(&stream));
    }
}
