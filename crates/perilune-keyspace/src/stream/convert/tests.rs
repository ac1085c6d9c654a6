//! Nodes against the listpacks that Redis would hold, and nodes made of listpacks from outside.

use super::*;
use crate::EncodingLimits;
use crate::listpack::LpValue;
use crate::listpack::element::decode;
use crate::stream::{NODE_BYTES_MAX, Stream, StreamEntry, StreamParts, Trim, TrimTo};
use proptest::prelude::*;
use std::collections::BTreeMap;

type Pieces = Vec<Vec<u8>>;

fn refs(pieces: &[Vec<u8>]) -> Vec<&[u8]> {
    pieces.iter().map(Vec::as_slice).collect()
}

fn id(ms: u64, seq: u64) -> StreamId {
    StreamId::new(ms, seq)
}

fn content(entry: StreamEntry<'_>) -> (StreamId, Pieces) {
    let fields = entry.fields().flat_map(|(field, value)| [field.to_vec(), value.to_vec()]);
    (entry.id(), fields.collect())
}

/// The entries in order, which must be the same from either end.
fn entries(stream: &Stream) -> Vec<(StreamId, Pieces)> {
    let forwards: Vec<_> = stream.iter().map(content).collect();
    let mut backwards: Vec<_> =
        stream.range(StreamId::MIN, StreamId::MAX, true).map(content).collect();
    backwards.reverse();
    assert_eq!(forwards, backwards);
    forwards
}

/// Nodes as Redis builds them, element by element.
#[derive(Default)]
struct Model {
    nodes: BTreeMap<StreamId, Listpack>,
}

impl Model {
    fn append(&mut self, id: StreamId, pairs: &[Vec<u8>], limits: &EncodingLimits) {
        let more: usize = pairs.iter().map(Vec::len).sum();
        let bytes_max = match limits.stream_node_max_bytes {
            0 => NODE_BYTES_MAX,
            bytes => bytes,
        };
        let entries_max = limits.stream_node_max_entries as i64;
        let room = self.nodes.values().next_back().is_some_and(|lp| {
            let entries = int(lp, 0) + int(lp, 1);
            lp.byte_len() + more < bytes_max && (entries_max == 0 || entries < entries_max)
        });
        if !room {
            let mut lp: Listpack = ["0", "0"].into_iter().collect();
            lp.push_back_int(pairs.len() as i64 / 2);
            pairs.iter().step_by(2).for_each(|field| lp.push_back(field));
            lp.push_back_int(0);
            self.nodes.insert(id, lp);
        }
        let mut last = self.nodes.last_entry().unwrap();
        let master = *last.key();
        let lp = last.get_mut();
        let fields = int(lp, 2);
        let same = fields == pairs.len() as i64 / 2
            && pairs
                .iter()
                .step_by(2)
                .zip(lp.iter().skip(3))
                .all(|(field, master)| master.eq_bytes(field));
        lp.replace_int(lp.first().unwrap(), int(lp, 0) + 1);
        let (ms, seq) = id.minus(master);
        [if same { 2 } else { 0 }, ms, seq].into_iter().for_each(|one| lp.push_back_int(one));
        let (skip, step) = if same { (1, 2) } else { (0, 1) };
        if !same {
            lp.push_back_int(pairs.len() as i64 / 2);
        }
        pairs.iter().skip(skip).step_by(step).for_each(|piece| lp.push_back(piece));
        let body = if same { fields } else { pairs.len() as i64 };
        lp.push_back_int(body + if same { 3 } else { 4 });
    }

    fn delete(&mut self, id: StreamId) -> bool {
        let Some((&master, lp)) = self.nodes.range_mut(..=id).next_back() else { return false };
        let Some(at) = find(master, lp, id) else { return false };
        if int(lp, 0) == 1 {
            self.nodes.remove(&master);
            return true;
        }
        let flags = int(lp, at);
        let set = |lp: &mut Listpack, at: i64, to: i64| lp.replace_int(lp.seek(at).unwrap(), to);
        set(lp, at, flags | 1);
        let (live, deleted) = (int(lp, 0), int(lp, 1));
        set(lp, 0, live - 1);
        set(lp, 1, deleted + 1);
        true
    }
}

fn int(lp: &Listpack, at: i64) -> i64 {
    lp.get(lp.seek(at).unwrap()).as_int().unwrap()
}

/// The index of the flags of a live entry.
fn find(master: StreamId, lp: &Listpack, id: StreamId) -> Option<i64> {
    let fields = int(lp, 2);
    let mut at = 4 + fields;
    while at < lp.len() as i64 {
        let flags = int(lp, at);
        if flags & 1 == 0 && master.plus((int(lp, at + 1), int(lp, at + 2))) == id {
            return Some(at);
        }
        at += if flags & 2 != 0 { 4 + fields } else { 5 + 2 * int(lp, at + 3) };
    }
    None
}

fn any_piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..24),
        3 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        3 => (-5000i64..5000).prop_map(|n| n.to_string().into_bytes()),
        1 => (50usize..300).prop_map(|len| vec![b'q'; len]),
        1 => (4000usize..4200).prop_map(|len| vec![b'r'; len]),
        1 => (16_300usize..16_500).prop_map(|len| vec![b's'; len]),
    ]
}

#[derive(Clone, Debug)]
enum Op {
    /// How much later, and the number within the millisecond.
    Append(u64, u64, Pieces),
    Delete(prop::sample::Index),
}

fn any_op() -> impl Strategy<Value = Op> {
    let later = prop_oneof![Just(0u64), 0u64..3, 0u64..10_000, any::<u64>().prop_map(|n| n >> 8)];
    let seq = prop_oneof![0u64..4, any::<u64>()];
    // Names that come again, one of them an integer, and any.
    let name = (b'9'..b'9' + 2).prop_map(|name| vec![name]);
    let pairs = prop_oneof![
        4 => prop::collection::vec((name, any_piece()), 1..4),
        1 => prop::collection::vec((any_piece(), any_piece()), 0..4),
    ];
    let pieces = pairs.prop_map(|pairs| pairs.into_iter().flat_map(|(f, v)| [f, v]).collect());
    prop_oneof![
        5 => (later, seq, pieces).prop_map(|(ms, seq, pieces)| Op::Append(ms, seq, pieces)),
        1 => any::<prop::sample::Index>().prop_map(Op::Delete),
    ]
}

/// An element that says what it says in more bytes than it needs, in one of some ways.
fn unusual(value: LpValue<'_>, way: u8) -> Vec<u8> {
    match (value, way % 4) {
        (LpValue::Int(n), 0) => [&[0xF4], &n.to_le_bytes()[..]].concat(),
        (LpValue::Int(n), 1) => {
            let text = n.to_string().into_bytes();
            [&[0x80 | text.len() as u8], &text[..]].concat()
        }
        (value, way) => {
            let text = value.to_vec();
            let len = text.len() as u32;
            let long = text.len() >= 4096 || way == 2;
            let head = match long {
                true => [&[0xF0], &len.to_le_bytes()[..]].concat(),
                false => (0xE000 | len as u16).to_be_bytes().to_vec(),
            };
            [head, text].concat()
        }
    }
}

/// What is done to the element at a place.
#[derive(Clone, Debug)]
enum Change {
    Set(i64),
    Text(Vec<u8>),
    Reencode(u8),
    Insert(i64),
    Remove,
}

fn any_change() -> impl Strategy<Value = Change> {
    let number = prop_oneof![
        6 => -3i64..9,
        1 => any::<i64>(),
        1 => prop::sample::select(vec![i64::MIN, i64::MAX, 1 << 32, 1 << 62])
    ];
    prop_oneof![
        3 => number.clone().prop_map(Change::Set),
        1 => any_piece().prop_map(Change::Text),
        4 => any::<u8>().prop_map(Change::Reencode),
        1 => number.prop_map(Change::Insert),
        1 => Just(Change::Remove),
    ]
}

/// The listpack with some of its elements changed.
fn changed(lp: &Listpack, changes: impl IntoIterator<Item = (usize, Change)>) -> Listpack {
    let encode = |value: LpValue<'_>| {
        let mut out = Vec::new();
        Encoded::text(&value.to_vec()).push_content(&mut out);
        out
    };
    let mut elements: Pieces = lp.iter().map(encode).collect();
    for (at, change) in changes {
        let at = at % elements.len();
        match change {
            Change::Set(number) => elements[at] = encode(LpValue::Int(number)),
            Change::Text(text) => elements[at] = encode(LpValue::Str(&text)),
            Change::Reencode(way) => elements[at] = unusual(decode(&elements[at], 0), way),
            Change::Insert(number) => elements.insert(at, encode(LpValue::Int(number))),
            Change::Remove => {
                elements.remove(at);
            }
        }
    }
    let mut lp = Builder::new(0);
    elements.iter().for_each(|element| lp.push_content(element));
    let lp = lp.finish();
    lp.check_invariants();
    lp
}

/// A stream of one node, in which there is some of everything.
fn varied() -> Stream {
    let mut stream = Stream::new();
    for number in 1..9u64 {
        let value = number.to_string();
        let name: &[u8] = if number % 3 == 0 { b"other" } else { b"field" };
        let pairs = [name, value.as_bytes(), b"12", b"text"];
        let id = id(number / 2 * 70, 100 - number / 2 * 9 + number % 2);
        stream.append(id, &pairs, &EncodingLimits::default()).unwrap();
    }
    let gone: Vec<StreamId> =
        [2, 5].iter().map(|at| stream.iter().nth(*at).unwrap().id()).collect();
    assert_eq!(stream.delete(&gone), 2);
    stream
}

fn taken(master: StreamId, lp: Listpack) -> Option<Stream> {
    let mut parts = StreamParts::default();
    parts.add_node(master, lp).ok()?;
    let len = parts.len();
    Some(parts.finish(len, StreamId::MAX).unwrap())
}

proptest! {
    #[test]
    fn nodes_are_those_that_redis_has(
        entries_max in prop_oneof![Just(0usize), 1usize..40],
        bytes_max in prop_oneof![Just(0usize), 20usize..600, 4096usize..5000],
        ops in prop::collection::vec(any_op(), 0..60),
    ) {
        let limits = EncodingLimits {
            stream_node_max_entries: entries_max,
            stream_node_max_bytes: bytes_max,
            ..EncodingLimits::default()
        };
        let (mut stream, mut model) = (Stream::new(), Model::default());
        let mut expected: Vec<(StreamId, Pieces)> = Vec::new();
        for op in ops {
            match op {
                Op::Append(later, seq, pairs) => {
                    let id = id(stream.last_id().ms.saturating_add(later), seq);
                    if stream.append(id, &refs(&pairs), &limits).is_ok() {
                        model.append(id, &pairs, &limits);
                        expected.push((id, pairs));
                    }
                }
                Op::Delete(at) if !expected.is_empty() => {
                    let (id, _) = expected.remove(at.index(expected.len()));
                    prop_assert_eq!((stream.delete(&[id]), model.delete(id)), (1, true));
                    prop_assert!(!stream.contains(id));
                }
                Op::Delete(_) => {}
            }
        }
        stream.check_invariants();
        prop_assert_eq!(&entries(&stream), &expected);
        let nodes: BTreeMap<StreamId, Listpack> = stream.nodes().collect();
        prop_assert!(nodes == model.nodes, "{nodes:?}\n{:?}", model.nodes);
        for (master, lp) in nodes {
            let (node, facts) = from_listpack(master, &lp).unwrap();
            prop_assert_eq!(node.listpack_size(), lp.byte_len());
            prop_assert_eq!(facts.live, int(&lp, 0) as u64);
            prop_assert_eq!(to_listpack(&node), lp);
        }
    }

    #[test]
    fn what_is_no_node_is_refused_and_the_rest_is_consistent(
        changes in prop::collection::vec((any::<usize>(), any_change()), 0..5),
    ) {
        let (master, lp) = varied().nodes().next().unwrap();
        let lp = changed(&lp, changes);
        let Some(mut stream) = taken(master, lp.clone()) else { return Ok(()) };
        stream.check_invariants();
        let found = entries(&stream);
        prop_assert_eq!(found.len() as u64, stream.len());
        let (_, again) = stream.nodes().next().unwrap();
        prop_assert!(again.byte_len() <= lp.byte_len());
        prop_assert_eq!(again.len(), lp.len());
        let ids: Vec<StreamId> = found.iter().map(|(id, _)| *id).collect();
        prop_assert!(ids.iter().all(|id| stream.contains(*id)));
        if let Some(last) = ids.last().filter(|id| **id < StreamId::MAX) {
            stream.set_last_id(*last);
            let next = last.next().unwrap();
            stream.append(next, &[b"field", b"1"], &EncodingLimits::default()).unwrap();
            stream.check_invariants();
            prop_assert_eq!(entries(&stream).len(), found.len() + 1);
            stream.delete(&[next]);
        }
        for id in ids {
            prop_assert_eq!(stream.delete(&[id]), 1);
            stream.check_invariants();
            entries(&stream);
        }
        prop_assert!(stream.is_empty());
    }

    #[test]
    fn fields_and_values_keep_an_unusual_encoding(
        ways in prop::collection::vec(any::<Option<u8>>(), 12),
    ) {
        let stream = varied();
        let (master, lp) = stream.nodes().next().unwrap();
        // Fields and values, wherever they are; no other element has such content.
        let pieces = (0..lp.len()).filter(|at| {
            let value = lp.get(lp.seek(*at as i64).unwrap()).to_vec();
            [&b"field"[..], b"other", b"text", b"12"].contains(&value.as_slice())
        });
        let changes = pieces.zip(ways).filter_map(|(at, way)| Some((at, Change::Reencode(way?))));
        let foreign = changed(&lp, changes);
        let copy = taken(master, foreign.clone()).unwrap();
        copy.check_invariants();
        prop_assert_eq!(entries(&copy), entries(&stream));
        let (_, again) = copy.nodes().next().unwrap();
        prop_assert_eq!(again.as_bytes(), foreign.as_bytes());
    }
}

#[test]
fn ids_at_any_distance_survive() {
    let master = id(1 << 40, 1 << 33);
    let at = [
        master,
        id(master.ms, master.seq + 1),
        id(master.ms, u64::MAX),
        id(master.ms + 1, 0),
        id(master.ms + 1, 1 << 62),
        id(master.ms + 8191, master.seq),
        id(1 << 63, (1 << 63) + master.seq),
        id(u64::MAX, master.seq + i64::MAX as u64),
        StreamId::MAX,
    ];
    let (mut stream, mut model) = (Stream::new(), Model::default());
    let (pairs, limits) = ([b"f".to_vec(), b"v".to_vec()], EncodingLimits::default());
    for id in at {
        stream.append(id, &refs(&pairs), &limits).unwrap();
        model.append(id, &pairs, &limits);
    }
    stream.check_invariants();
    assert_eq!(entries(&stream), at.map(|id| (id, pairs.to_vec())));
    assert_eq!(stream.nodes().collect::<BTreeMap<_, _>>(), model.nodes);
}

#[test]
fn entries_are_found_from_the_end_at_every_length_step() {
    for step in [128, 16_383, 2_097_151] {
        for len in step - 9..step + 1 {
            let (mut stream, value) = (Stream::new(), vec![b'v'; len]);
            let limits = EncodingLimits { stream_node_max_bytes: 0, ..EncodingLimits::default() };
            for ms in 1..4 {
                stream.append(id(ms, 0), &[b"f", &value], &limits).unwrap();
            }
            assert_eq!(stream.node_count(), 1);
            let found = entries(&stream);
            assert!(found.len() == 3 && found.iter().all(|(_, pairs)| pairs[1] == value));
            let (_, lp) = stream.nodes().next().unwrap();
            lp.check_invariants();
        }
    }
}

#[test]
fn flags_without_a_meaning_are_left_out() {
    let (master, lp) = varied().nodes().next().unwrap();
    let flags_at = lp.iter().position(|value| value.as_int() == Some(0)).unwrap() + 1;
    let flags = int(&lp, flags_at as i64);
    let foreign = changed(&lp, [(flags_at, Change::Set(flags | 0x7FFF_FF00))]);
    let (_, again) = taken(master, foreign).unwrap().nodes().next().unwrap();
    assert_eq!(again.as_bytes(), lp.as_bytes());
}

#[test]
fn trimming_a_node_with_unusual_numbers_keeps_the_rest() {
    let stream = varied();
    let (master, lp) = stream.nodes().next().unwrap();
    let all = (0..lp.len()).map(|at| (at, Change::Reencode(1)));
    let mut copy = taken(master, changed(&lp, all)).unwrap();
    assert_eq!(entries(&copy), entries(&stream));
    let to = TrimTo::Length(2);
    copy.trim(&Trim { to, approximate: false, limit: 0 });
    copy.check_invariants();
    assert_eq!(entries(&copy), entries(&stream)[4..]);
}

#[test]
fn a_full_node_of_small_entries_fits_the_allocator() {
    let (mut stream, limits) = (Stream::new(), EncodingLimits::default());
    for number in 0..101u64 {
        let value = format!("value:{number:012}");
        let id = id(1_700_000_000_000 + 50 * number, 0);
        stream.append(id, &[b"field", value.as_bytes()], &limits).unwrap();
    }
    stream.check_invariants();
    let node = stream.nodes.values().next().unwrap();
    assert_eq!((node.live(), node.listpack_size()), (100, 2937));
    assert_eq!((node.byte_len(), node.heap_size()), (2316, 2316));
}
