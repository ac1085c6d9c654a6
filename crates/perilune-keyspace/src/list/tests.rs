//! Lists against a deque, in every encoding.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

fn texts(list: &List) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    list.for_range(0, usize::MAX, false, |value| out.push(value.to_vec()));
    out
}

fn limits(size: i64, depth: usize, packed_threshold: usize) -> EncodingLimits {
    EncodingLimits {
        list_max_listpack_size: size,
        list_compress_depth: depth,
        list_packed_threshold: packed_threshold,
        ..EncodingLimits::default()
    }
}

#[test]
fn converts_when_full_and_back_below_half() {
    let limits = limits(4, 0, 1 << 30);
    let mut list = List::new();
    list.push(End::Tail, &["1", "2", "3", "4"], &limits);
    assert_eq!(list.encoding(), "listpack");
    list.push_back(b"5", &limits);
    assert_eq!(list.encoding(), "quicklist");
    assert_eq!(list.quicklist_info().map(|info| info.nodes), Some(2));
    list.pop_back(&limits);
    list.pop_back(&limits);
    assert_eq!((list.len(), list.encoding()), (3, "quicklist"));
    list.pop_back(&limits);
    assert_eq!((list.len(), list.encoding()), (2, "listpack"));
}

#[test]
fn an_element_that_moves_does_not_convert_the_list() {
    let limits = limits(4, 0, 1 << 30);
    let mut list = List::new();
    list.push(End::Tail, &["1", "2", "3"], &limits);
    // Counts as one more element than there is then.
    list.set(0, b"x", &limits);
    list.push_back(b"4", &limits);
    list.set(0, b"1", &limits);
    assert_eq!(list.encoding(), "quicklist");
    list.pop_back(&limits);
    assert_eq!(list.rotate(End::Tail, End::Head, &limits).as_deref(), Some(&b"3"[..]));
    assert_eq!(
        (texts(&list), list.encoding()),
        (vec![b"3".to_vec(), b"1".to_vec(), b"2".to_vec()], "quicklist")
    );
    list.pop_back(&limits);
    assert_eq!(list.encoding(), "listpack");
}

#[test]
fn size_classes_bound_the_bytes() {
    for (class, bytes) in [(-1, 4096), (-2, 8192), (-5, 65_536), (-6, 65_536)] {
        let limits = limits(class, 0, 1 << 30);
        let mut list = List::new();
        // An empty listpack has seven bytes.
        list.push_back(&vec![b'x'; bytes - 7], &limits);
        assert_eq!(list.encoding(), "listpack");
        let mut list = List::new();
        list.push_back(&vec![b'x'; bytes - 6], &limits);
        assert_eq!(list.encoding(), "quicklist");
    }
}

#[test]
fn a_failed_insert_may_convert_but_changes_no_element() {
    let limits = limits(2, 0, 1 << 30);
    let mut list = List::new();
    list.push(End::Tail, &["a", "b"], &limits);
    assert!(!list.insert_before(b"c", b"x", &limits));
    assert_eq!((texts(&list), list.encoding()), (vec![b"a".to_vec(), b"b".to_vec()], "quicklist"));
    assert!(!list.set(2, b"x", &limits));
}

#[test]
fn inner_nodes_are_compressed_and_ends_are_not() {
    let limits = limits(-1, 1, 1 << 30);
    let mut list = List::new();
    for i in 0..4000 {
        list.push_back(format!("some text that repeats {i}").as_bytes(), &limits);
    }
    let kinds: Vec<bool> = list.nodes().map(|node| matches!(node, ListNode::Lzf { .. })).collect();
    let last = kinds.len() - 1;
    assert!(kinds.len() > 10);
    assert!(kinds.iter().enumerate().all(|(i, &lzf)| lzf == (i > 0 && i < last)));
    list.check_invariants();
    assert_eq!(list.get(2000, |v| v.to_vec()).unwrap(), b"some text that repeats 2000");
    assert!(list.memory_usage(0) < list.quicklist_info().unwrap().expanded_size / 2);
}

#[test]
fn large_elements_have_nodes_of_their_own() {
    let limits = limits(2, 0, 10);
    let mut list = List::new();
    list.push(End::Tail, &["a", "b", "0123456789"], &limits);
    assert!(list.nodes().any(|node| matches!(node, ListNode::Plain(b"0123456789"))));
    assert!(list.set(0, b"abcdefghijk", &limits));
    assert!(list.set(-1, b"small", &limits));
    assert_eq!(texts(&list), [&b"abcdefghijk"[..], b"b", b"small"]);
    list.check_invariants();
}

#[test]
fn find_honours_rank_count_and_bound() {
    let limits = limits(3, 0, 1 << 30);
    let mut list = List::new();
    list.push(End::Tail, &["a", "b", "c", "1", "2", "3", "c", "c"], &limits);
    assert_eq!(list.find(b"c", 1, 0, 0), [2, 6, 7]);
    assert_eq!(list.find(b"c", 2, 1, 0), [6]);
    assert_eq!(list.find(b"c", -1, 2, 0), [7, 6]);
    assert_eq!(list.find(b"c", 1, 0, 7), [2, 6]);
    assert_eq!(list.find(b"c", -3, 0, 0), [2]);
    assert_eq!(list.find(b"x", 1, 0, 0), [0usize; 0]);
}

#[test]
fn a_built_list_has_the_encoding_of_its_size() {
    let limits = limits(4, 0, 1 << 30);
    let mut small = List::builder(&limits);
    small.push_listpack(["a", "b", "c", "d"].into_iter().collect());
    assert_eq!(small.finish().encoding(), "listpack");
    let mut large = List::builder(&limits);
    large.push_listpack(["a", "b", "c", "d", "e"].into_iter().collect());
    large.push_listpack(Listpack::new());
    large.push(b"f");
    large.push_plain(b"plain".to_vec());
    let large = large.finish();
    large.check_invariants();
    assert_eq!((large.len(), large.encoding()), (7, "quicklist"));
}

#[test]
fn elements_that_were_there_at_once_share_large_nodes() {
    let limits = limits(4, 0, 1 << 30);
    assert_eq!(List::from_elements(&["a", "b", "c", "d"], &limits).encoding(), "listpack");
    let list = List::from_elements(&["a", "b", "c", "d", "e"], &limits);
    assert_eq!(list.quicklist_info().map(|info| info.nodes), Some(1));
    assert_eq!(list.len(), 5);
    list.check_invariants();
}

#[test]
fn a_long_list_keeps_the_settings_it_became_long_under() {
    let (small, large) = (limits(2, 1, 1 << 30), limits(-2, 0, 1 << 30));
    let mut list = List::new();
    list.push(End::Tail, &["a", "b", "c"], &small);
    list.push(End::Tail, &["d", "e", "f", "g"], &large);
    let settings = |list: &List| {
        list.quicklist_info().map(|info| (info.nodes, info.node_size, info.compress_depth))
    };
    assert_eq!(settings(&list), Some((4, 2, 1)));
    assert_eq!(settings(&list.clone()), Some((4, 2, 1)));
    // When it becomes short again is decided by the settings of the moment.
    list.drop_end(End::Tail, 5, &large);
    assert_eq!(list.encoding(), "listpack");
    list.push(End::Tail, &["c", "d", "e", "f", "g"], &limits(4, 0, 1 << 30));
    assert_eq!(settings(&list), Some((2, 4, 0)));

    let mut stored = List::from_elements(&["a", "b", "c"], &small);
    stored.push(End::Head, &["d"], &small);
    assert_eq!(settings(&stored), Some((1, -2, 0)));
}

#[derive(Clone, Debug)]
enum Op {
    Push(bool, Vec<Vec<u8>>),
    Pop(bool),
    Set(i64, Vec<u8>),
    Insert(bool, Vec<u8>, Vec<u8>),
    Remove(i64, Vec<u8>),
    Trim(i64, i64),
    Settings(i64, usize),
}

fn any_text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0i64..12).prop_map(|n| n.to_string().into_bytes()),
        1 => (0usize..40).prop_map(|len| vec![b'z'; len]),
    ]
}

fn any_size() -> impl Strategy<Value = i64> {
    prop_oneof![-5i64..0, 1i64..8]
}

fn any_op() -> impl Strategy<Value = Op> {
    let end = any::<bool>();
    prop_oneof![
        6 => (end, proptest::collection::vec(any_text(), 1..20)).prop_map(|(e, t)| Op::Push(e, t)),
        1 => end.prop_map(Op::Pop),
        3 => (-40i64..40, any_text()).prop_map(|(i, t)| Op::Set(i, t)),
        6 => (end, any_text(), any_text()).prop_map(|(a, p, t)| Op::Insert(a, p, t)),
        1 => (-3i64..3, any_text()).prop_map(|(n, t)| Op::Remove(n, t)),
        1 => (-60i64..10, -10i64..60).prop_map(|(a, b)| Op::Trim(a, b)),
        1 => (any_size(), 0usize..4).prop_map(|(s, d)| Op::Settings(s, d)),
    ]
}

fn end(head: bool) -> End {
    if head { End::Head } else { End::Tail }
}

fn apply(list: &mut List, model: &mut VecDeque<Vec<u8>>, op: Op, limits: &mut EncodingLimits) {
    match op {
        Op::Settings(size, depth) => {
            (limits.list_max_listpack_size, limits.list_compress_depth) = (size, depth);
        }
        Op::Push(head, items) => {
            list.push(end(head), &items, limits);
            for item in items {
                if head { model.push_front(item) } else { model.push_back(item) }
            }
        }
        Op::Pop(head) => {
            let expected = if head { model.pop_front() } else { model.pop_back() };
            assert_eq!(list.pop(end(head), limits).map(|b| b.to_vec()), expected);
        }
        Op::Set(index, item) => {
            let at = if index < 0 { index + model.len() as i64 } else { index };
            let slot = usize::try_from(at).ok().and_then(|at| model.get_mut(at));
            assert_eq!(list.set(index, &item, limits), slot.is_some());
            if let Some(slot) = slot {
                *slot = item;
            }
        }
        Op::Insert(after, pivot, item) => {
            let at = model.iter().position(|t| *t == pivot);
            let done = if after {
                list.insert_after(&pivot, &item, limits)
            } else {
                list.insert_before(&pivot, &item, limits)
            };
            assert_eq!(done, at.is_some());
            if let Some(at) = at {
                model.insert(at + usize::from(after), item);
            }
        }
        Op::Remove(count, item) => {
            let mut hits: Vec<usize> = (0..model.len()).filter(|&i| model[i] == item).collect();
            if count < 0 {
                hits.reverse();
            }
            hits.truncate(if count == 0 { usize::MAX } else { count.unsigned_abs() as usize });
            assert_eq!(list.remove(count, &item, limits), hits.len());
            hits.sort_unstable();
            hits.iter().rev().for_each(|&i| drop(model.remove(i)));
        }
        Op::Trim(start, stop) => {
            let len = model.len() as i64;
            let absolute = |i: i64| if i < 0 { i + len } else { i };
            let (start, stop) = (absolute(start).max(0), absolute(stop));
            let kept: VecDeque<_> = (start..=stop.min(len - 1))
                .filter_map(|i| model.get(i as usize).cloned())
                .collect();
            list.trim(start, if stop < 0 { -len - 1 } else { stop }, limits);
            *model = kept;
        }
    }
}

proptest! {
    #[test]
    fn behaves_as_a_deque(
        size in any_size(),
        packed_threshold in prop_oneof![Just(20usize), Just(1 << 30)],
        ops in proptest::collection::vec(any_op(), 0..80),
    ) {
        let mut limits = limits(size, 0, packed_threshold);
        let (mut list, mut model) = (List::new(), VecDeque::new());
        for op in ops {
            apply(&mut list, &mut model, op, &mut limits);
            list.check_invariants();
            prop_assert!(texts(&list).iter().eq(model.iter()), "{:?} {:?}", texts(&list), model);
        }
        let mut backwards = Vec::new();
        list.for_range(model.len().saturating_sub(1), usize::MAX, true, |v| backwards.push(v.to_vec()));
        prop_assert!(backwards.iter().eq(model.iter().rev()));
        for (i, item) in model.iter().enumerate() {
            for index in [i as i64, i as i64 - model.len() as i64] {
                let found = list.get(index, |value| value.to_vec());
                prop_assert_eq!(found.as_ref(), Some(item));
            }
        }
    }
}
