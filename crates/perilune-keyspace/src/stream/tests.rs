//! Streams against a map of entries, and nodes against what Redis would hold.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

#[derive(Debug, Clone)]
enum Op {
    Append { ms: u8, seq: u8, fields: Vec<(u8, u32)> },
    Delete(Vec<(u8, u8)>),
    Trim { to: Result<u8, (u8, u8)>, approximate: bool, limit: u8 },
    Range { first: (u8, u8), last: (u8, u8), backwards: bool },
}

fn op() -> impl Strategy<Value = Op> {
    let id = || (any::<u8>(), 0u8..3);
    let fields = prop::collection::vec((0u8..4, any::<u32>()), 1..4);
    prop_oneof![
        8 => (0u8..3, 0u8..3, fields).prop_map(|(ms, seq, fields)| Op::Append { ms, seq, fields }),
        2 => prop::collection::vec(id(), 1..6).prop_map(Op::Delete),
        1 => (prop_oneof![any::<u8>().prop_map(Ok), id().prop_map(Err)], any::<bool>(), 0u8..9)
            .prop_map(|(to, approximate, limit)| Op::Trim { to, approximate, limit }),
        1 => (id(), id(), any::<bool>())
            .prop_map(|(first, last, backwards)| Op::Range { first, last, backwards }),
    ]
}

fn id((ms, seq): (u8, u8)) -> StreamId {
    StreamId::new(ms.into(), seq.into())
}

fn content(entry: &StreamEntry<'_>) -> (StreamId, Fields) {
    let fields: Fields =
        entry.fields().map(|(field, value)| (field.to_vec(), value.to_vec())).collect();
    assert_eq!(fields.len(), entry.field_count());
    (entry.id(), fields)
}

fn append(stream: &mut Stream, id: StreamId, fields: &Fields, limits: &EncodingLimits) -> bool {
    let pairs: Vec<&[u8]> =
        fields.iter().flat_map(|(field, value)| [field.as_slice(), value.as_slice()]).collect();
    stream.append(id, &pairs, limits).is_ok()
}

/// What `trim` may leave: exactly what was asked for, or more if it was approximate.
fn check_trim(stream: &mut Stream, model: &mut BTreeMap<StreamId, Fields>, trim: &Trim) {
    let before = model.len() as u64;
    let wanted = match trim.to {
        TrimTo::Length(length) => before.saturating_sub(length),
        TrimTo::From(id) => model.range(..id).count() as u64,
    };
    let removed = stream.trim(trim);
    if trim.approximate || trim.limit > 0 {
        assert!(removed <= wanted);
        assert!(trim.limit == 0 || removed <= trim.limit);
    } else {
        assert_eq!(removed, wanted);
    }
    for _ in 0..removed {
        model.pop_first();
    }
}

proptest! {
    #[test]
    fn behaves_like_a_map_of_entries(
        entries_max in prop_oneof![Just(0usize), 1usize..12],
        bytes_max in prop_oneof![Just(0usize), 20usize..200],
        ops in prop::collection::vec(op(), 0..150),
    ) {
        let limits = EncodingLimits {
            stream_node_max_entries: entries_max,
            stream_node_max_bytes: bytes_max,
            ..EncodingLimits::default()
        };
        let (mut stream, mut model) = (Stream::new(), BTreeMap::new());
        let (mut last, mut added) = (StreamId::MIN, 0);
        for op in ops {
            match op {
                Op::Append { ms, seq, fields } => {
                    let id = StreamId::new(last.ms + u64::from(ms), seq.into());
                    let fields: Fields = fields
                        .into_iter()
                        .map(|(name, value)| (vec![b'a' + name], value.to_string().into_bytes()))
                        .collect();
                    prop_assert_eq!(append(&mut stream, id, &fields, &limits), id > last);
                    if id > last {
                        model.insert(id, fields);
                        (last, added) = (id, added + 1);
                    }
                }
                Op::Delete(ids) => {
                    let ids: Vec<StreamId> = ids.into_iter().map(id).collect();
                    let there = ids.iter().filter(|id| model.remove(id).is_some()).count();
                    prop_assert_eq!(stream.delete(&ids), there as u64);
                }
                Op::Trim { to, approximate, limit } => {
                    let to = match to {
                        Ok(length) => TrimTo::Length(u64::from(length) / 8),
                        Err(from) => TrimTo::From(id(from)),
                    };
                    let trim = Trim { to, approximate, limit: limit.into() };
                    check_trim(&mut stream, &mut model, &trim);
                }
                Op::Range { first, last, backwards } => {
                    let (first, last) = (id(first), id(last));
                    let found: Vec<_> =
                        stream.range(first, last, backwards).map(|entry| content(&entry)).collect();
                    let mut expected: Vec<(StreamId, Fields)> = Vec::new();
                    if first <= last {
                        let range = model.range(first..=last);
                        expected.extend(range.map(|(id, fields)| (*id, fields.clone())));
                    }
                    if backwards {
                        expected.reverse();
                    }
                    prop_assert_eq!(found, expected);
                }
            }
            stream.check_invariants();
            prop_assert_eq!((stream.len(), stream.entries_added()), (model.len() as u64, added));
            prop_assert_eq!(stream.last_id(), last);
            prop_assert_eq!(stream.last_entry_id(), model.keys().next_back().copied());
        }
    }

    #[test]
    fn groups_keep_both_of_their_lists(
        ops in prop::collection::vec((0u8..4, 0u8..12, 0u8..4), 0..200),
    ) {
        let mut group = Group::new(StreamId::MIN, None);
        let mut model: BTreeMap<StreamId, Vec<u8>> = BTreeMap::new();
        for (what, entry, who) in ops {
            let (id, name) = (StreamId::new(entry.into(), 0), vec![b'a' + who]);
            match what {
                0 => {
                    group.create_consumer(&name, 0);
                }
                1 => {
                    if let Some(consumer) = group.find_consumer(&name) {
                        group.assign(id, Pending { delivered_ms: 0, deliveries: 1, consumer });
                        model.insert(id, name);
                    }
                }
                2 => prop_assert_eq!(group.acknowledge(id), model.remove(&id).is_some()),
                _ => {
                    let known = group.find_consumer(&name).is_some();
                    let before = model.len();
                    model.retain(|_, owner| *owner != name);
                    let lost = before - model.len();
                    prop_assert_eq!(group.remove_consumer(&name), known.then_some(lost));
                }
            }
            group.check_invariants();
            let owners: BTreeMap<StreamId, Vec<u8>> = group
                .pending_range(..)
                .map(|(id, pending)| (id, group.owner_name(pending).to_vec()))
                .collect();
            prop_assert_eq!(&owners, &model);
        }
    }

    #[test]
    fn damaged_nodes_are_found_out_or_harmless(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut stream = Stream::new();
        for number in 1..9u64 {
            let value = number.to_string();
            let name: &[u8] = if number % 3 == 0 { b"other" } else { b"field" };
            let pairs = [name, value.as_bytes()];
            stream.append(StreamId::new(number, 0), &pairs, &EncodingLimits::default()).unwrap();
        }
        stream.delete(&[StreamId::new(3, 0)]);
        let (master, lp) = stream.nodes().next().unwrap();
        let mut bytes = lp.as_bytes().to_vec();
        for (place, byte) in flips {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let Ok(lp) = Listpack::from_bytes(bytes) else { return Ok(()) };
        let mut parts = StreamParts::default();
        if parts.add_node(master, lp).is_ok() {
            let len = parts.len();
            let mut stream = parts.finish(len, StreamId::MAX).unwrap();
            stream.check_invariants();
            prop_assert_eq!(stream.iter().count() as u64, len);
            let ids: Vec<StreamId> = stream.iter().map(|entry| content(&entry).0).collect();
            stream.delete(&ids);
            prop_assert!(stream.is_empty());
        }
    }

    #[test]
    fn radix_tree_nodes_are_those_of_the_tree(
        mut keys in prop::collection::vec((0u64..4, 0u64..700), 0..40),
    ) {
        keys.sort_unstable();
        keys.dedup();
        let keys: Vec<[u8; 16]> =
            keys.iter().map(|(ms, seq)| StreamId::new(*ms, *seq).to_bytes()).collect();
        prop_assert_eq!(radix_tree_nodes(keys.iter().copied()), slow_tree_nodes(&keys, 0));
    }
}

/// Nodes of a compressed tree of distinct keys that share their first `depth` bytes.
fn slow_tree_nodes(keys: &[[u8; 16]], depth: usize) -> usize {
    let Some(first) = keys.first() else { return 1 };
    let common = (depth..16).find(|at| keys.iter().any(|key| key[*at] != first[*at]));
    let Some(branch) = common else { return usize::from(depth < 16) + 1 };
    let mut children: BTreeMap<u8, Vec<[u8; 16]>> = BTreeMap::new();
    keys.iter().for_each(|key| children.entry(key[branch]).or_default().push(*key));
    let below: usize = children.values().map(|keys| slow_tree_nodes(keys, branch + 1)).sum();
    usize::from(branch > depth) + 1 + below
}

/// A stream of so many entries `1-0`, `2-0` ... in nodes of three.
fn numbered(count: u64) -> Stream {
    let limits = EncodingLimits { stream_node_max_entries: 3, ..EncodingLimits::default() };
    let mut stream = Stream::new();
    for ms in 1..=count {
        stream.append(StreamId::new(ms, 0), &[b"field", b"value"], &limits).unwrap();
    }
    stream
}

#[test]
fn nodes_are_laid_out_as_in_redis() {
    let (mut stream, limits) = (Stream::new(), EncodingLimits::default());
    stream.append(StreamId::new(5, 1), &[b"a", b"1", b"b", b"x"], &limits).unwrap();
    stream.append(StreamId::new(7, 0), &[b"a", b"2", b"b", b"y"], &limits).unwrap();
    stream.append(StreamId::new(7, 3), &[b"c", b"3"], &limits).unwrap();
    stream.delete(&[StreamId::new(7, 0)]);
    let (master, lp) = stream.nodes().next().unwrap();
    let elements: Vec<String> =
        lp.iter().map(|element| String::from_utf8(element.to_vec()).unwrap()).collect();
    assert_eq!(master, StreamId::new(5, 1));
    assert_eq!(elements.join(" "), "2 1 2 a b 0 2 0 0 1 x 5 3 2 -1 2 y 5 0 2 2 1 c 3 6");
}

#[test]
fn lag_is_told_where_nothing_was_deleted_ahead() {
    let mut stream = numbered(5);
    let at = |ms| StreamId::new(ms, 0);
    let mut group = Group::new(at(2), Some(2));
    assert_eq!(stream.lag(&group), Some(3));
    group.entries_read = None;
    assert_eq!(stream.lag(&group), None);
    assert_eq!(
        [0, 1, 2, 5, 6].map(|ms| stream.entries_up_to(at(ms))),
        [Some(0), Some(1), None, Some(5), None]
    );
    stream.delete(&[at(4)]);
    group.entries_read = Some(2);
    assert_eq!(stream.lag(&group), None);
    (group.last_id, group.entries_read) = (at(5), None);
    assert_eq!(stream.lag(&group), Some(0));
    stream.trim(&Trim { to: TrimTo::Length(0), approximate: false, limit: 0 });
    assert_eq!((stream.first_id(), stream.entries_up_to(at(3))), (StreamId::MIN, Some(5)));
}

#[test]
fn whole_nodes_go_when_trimming_is_approximate() {
    let mut stream = numbered(10);
    let trim = |to, limit| Trim { to, approximate: true, limit };
    assert_eq!(stream.trim(&trim(TrimTo::Length(5), 0)), 3);
    assert_eq!(stream.trim(&trim(TrimTo::Length(0), 5)), 3);
    assert_eq!(stream.trim(&trim(TrimTo::From(StreamId::new(9, 1)), 2)), 0);
    assert_eq!(stream.trim(&trim(TrimTo::From(StreamId::new(9, 1)), 0)), 3);
    assert_eq!((stream.len(), stream.first_id()), (1, StreamId::new(10, 0)));
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let nodes: Vec<(StreamId, Listpack)> = numbered(6).nodes().collect();
    let build = |order: &[usize], len, last| {
        let mut parts = StreamParts::default();
        for index in order {
            let (id, lp) = nodes[*index].clone();
            parts.add_node(id, lp)?;
        }
        parts.finish(len, StreamId::new(last, 0)).map(|stream| stream.len())
    };
    assert_eq!(build(&[0, 1], 6, 6), Ok(6));
    assert_eq!(build(&[1, 0], 6, 6), Err(PartsError::Node));
    assert_eq!(build(&[0, 0], 6, 6), Err(PartsError::Node));
    assert_eq!(build(&[0], 4, 6), Err(PartsError::Facts));
    assert_eq!(build(&[0, 1], 6, 5), Err(PartsError::Facts));
    let mut group = GroupParts::new(StreamId::MIN, None);
    let (one, two) = (StreamId::new(1, 0), StreamId::new(2, 0));
    group.add_pending(one, 0, 1).unwrap();
    group.add_pending(two, 0, 1).unwrap();
    assert_eq!(group.add_pending(one, 0, 1), Err(PartsError::Pending));
    let consumer = group.add_consumer(b"c", 0, 0).unwrap();
    assert_eq!(group.add_consumer(b"c", 0, 0), Err(PartsError::Consumer));
    group.own(consumer, one).unwrap();
    assert_eq!(group.own(consumer, one), Err(PartsError::Pending));
    assert!(matches!(group.finish(), Err(PartsError::Pending)));
}
