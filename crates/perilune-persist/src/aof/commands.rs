//! Keys as the commands that build them: the base of an append-only file without a snapshot.
//!
//! An aggregate is built by commands of at most [`ITEMS_MAX`] elements each, so that reading one
//! back never takes long at once. A stream that commands cannot build in full is restored from the
//! payload of `DUMP`.

use super::record::append_timestamp;
use super::stream_commands;
use crate::snapshot::SnapshotFormat;
use perilune_keyspace::{Hash, KeyEntry, List, LpValue, Set, ValueRef, ZSet};
use perilune_rdb::{Meta, dump_payload};
use perilune_resp::{encode_request, format_double};
use std::ops::ControlFlow;

/// Elements per command.
const ITEMS_MAX: usize = 64;

/// A base of commands.
#[derive(Debug, Default)]
pub struct CommandFormat {
    timestamp: bool,
    selected: Option<usize>,
}

impl CommandFormat {
    /// The format of a base that begins with its time if `timestamp`.
    pub fn new(timestamp: bool) -> Self {
        CommandFormat { timestamp, selected: None }
    }
}

impl SnapshotFormat for CommandFormat {
    fn begin(&mut self, meta: &Meta, libraries: &[Vec<u8>], out: &mut Vec<u8>) {
        if self.timestamp {
            append_timestamp(out, meta.now_s);
        }
        for code in libraries {
            encode_request([&b"FUNCTION"[..], b"LOAD", code], out);
        }
    }

    fn entry(&mut self, db: usize, entry: &KeyEntry, out: &mut Vec<u8>) {
        if self.selected != Some(db) {
            encode_request([&b"SELECT"[..], itoa::Buffer::new().format(db).as_bytes()], out);
            self.selected = Some(db);
        }
        write_entry(entry, out);
    }

    fn end(&mut self, _: &mut Vec<u8>) {}
}

/// Appends the commands that build a key in the database selected last.
fn write_entry(entry: &KeyEntry, out: &mut Vec<u8>) {
    let key = entry.name();
    match entry.value() {
        ValueRef::List(list) => write_list(key, list, out),
        ValueRef::Set(set) => write_set(key, set, out),
        ValueRef::ZSet(zset) => write_zset(key, zset, out),
        ValueRef::Hash(hash) => write_hash(key, hash, out),
        ValueRef::Stream(stream) if stream_commands::can_be_told(stream) => {
            stream_commands::write_stream(key, stream, out);
        }
        value => match value.as_string() {
            Some(content) => encode_request([&b"SET"[..], key, &content], out),
            None => encode_request([&b"RESTORE"[..], key, b"0", &dump_payload(value, true)], out),
        },
    }
    if let Some(at_ms) = entry.expire_at() {
        let mut digits = itoa::Buffer::new();
        encode_request([&b"PEXPIREAT"[..], key, digits.format(at_ms).as_bytes()], out);
    }
}

/// The command `name key item...` in parts of [`ITEMS_MAX`] elements.
struct Parts<'a> {
    name: &'a [u8],
    key: &'a [u8],
    /// Elements that no command has yet.
    left: usize,
    /// Elements that the command begun last still takes.
    room: usize,
    out: &'a mut Vec<u8>,
}

impl<'a> Parts<'a> {
    fn new(name: &'a [u8], key: &'a [u8], elements: usize, out: &'a mut Vec<u8>) -> Self {
        Parts { name, key, left: elements, room: 0, out }
    }

    /// Appends one element of so many words, each written by `words`.
    fn element(&mut self, words: &[&[u8]]) {
        if self.room == 0 {
            self.room = self.left.min(ITEMS_MAX);
            self.left -= self.room;
            let count = 2 + self.room * words.len();
            self.out.extend_from_slice(format!("*{count}\r\n").as_bytes());
            self.word(self.name);
            self.word(self.key);
        }
        self.room -= 1;
        for word in words {
            self.word(word);
        }
    }

    fn word(&mut self, word: &[u8]) {
        self.out.push(b'$');
        self.out.extend_from_slice(itoa::Buffer::new().format(word.len()).as_bytes());
        self.out.extend_from_slice(b"\r\n");
        self.out.extend_from_slice(word);
        self.out.extend_from_slice(b"\r\n");
    }
}

fn with_text<R>(value: LpValue<'_>, then: impl FnOnce(&[u8]) -> R) -> R {
    then(value.as_slice(&mut itoa::Buffer::new()))
}

fn write_list(key: &[u8], list: &List, out: &mut Vec<u8>) {
    let mut parts = Parts::new(b"RPUSH", key, list.len(), out);
    list.for_each(|item| {
        with_text(item, |item| parts.element(&[item]));
        ControlFlow::Continue(())
    });
}

fn write_set(key: &[u8], set: &Set, out: &mut Vec<u8>) {
    let mut parts = Parts::new(b"SADD", key, set.len(), out);
    for member in set.iter() {
        with_text(member, |member| parts.element(&[member]));
    }
}

fn write_zset(key: &[u8], zset: &ZSet, out: &mut Vec<u8>) {
    let mut parts = Parts::new(b"ZADD", key, zset.len(), out);
    let mut score = Vec::new();
    for scored in zset.iter() {
        score.clear();
        format_double(scored.score, &mut score);
        with_text(scored.member, |member| parts.element(&[&score, member]));
    }
}

fn write_hash(key: &[u8], hash: &Hash, out: &mut Vec<u8>) {
    let mut parts = Parts::new(b"HMSET", key, hash.len(), out);
    for (field, value) in hash.iter() {
        with_text(field, |field| with_text(value, |value| parts.element(&[field, value])));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aof::{Record, Records};
    use perilune_keyspace::{EncodingLimits, Keyspace, Value, ValueType};

    /// The commands of a key with this value, as words.
    fn commands(value: Value, expire_at: Option<i64>) -> Vec<Vec<String>> {
        let mut keyspace = Keyspace::new(1);
        keyspace.db_mut(0).insert(b"key", value, 0);
        keyspace.db_mut(0).set_expire(b"key", expire_at);
        let mut out = Vec::new();
        write_entry(keyspace.db(0).get(b"key").expect("the key"), &mut out);
        let mut records = Records::new(&out[..], 0);
        let mut commands = Vec::new();
        while let Some(Record::Command(args)) = records.read().expect("records") {
            commands.push(args.iter().map(|arg| String::from_utf8_lossy(arg).into()).collect());
        }
        commands
    }

    #[test]
    fn strings_and_deadlines() {
        let expected = [vec!["SET", "key", "12"], vec!["PEXPIREAT", "key", "99"]];
        assert_eq!(commands(Value::string(b"12"), Some(99)), expected);
        assert_eq!(commands(Value::string(b"a b"), None), [["SET", "key", "a b"]]);
    }

    #[test]
    fn aggregates_come_in_parts() {
        let limits = EncodingLimits::default();
        let mut list = List::new();
        for item in 0..130 {
            list.push_back(item.to_string().as_bytes(), &limits);
        }
        let list = commands(list.into_value(), None);
        let sizes: Vec<usize> = list.iter().map(Vec::len).collect();
        assert_eq!(sizes, [66, 66, 4]);
        assert_eq!(list[2], ["RPUSH", "key", "128", "129"]);
        let mut hash = Hash::new();
        for field in 0..65 {
            hash.set(field.to_string().as_bytes(), b"v", &limits);
        }
        let sizes: Vec<usize> = commands(hash.into_value(), None).iter().map(Vec::len).collect();
        assert_eq!(sizes, [130, 4]);
        let mut zset = ZSet::new();
        zset.add(b"m", 1.5, &limits);
        zset.add(b"n", f64::INFINITY, &limits);
        let expected = [["ZADD", "key", "1.5", "m", "inf", "n"]];
        assert_eq!(commands(zset.into_value(), None), expected);
        let mut set = Set::for_members(b"1", 1, &limits);
        set.add(b"1", &limits);
        assert_eq!(commands(set.into_value(), None), [["SADD", "key", "1"]]);
    }
}
