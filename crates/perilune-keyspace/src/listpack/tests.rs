//! Listpacks: their exact bytes, their limits, and damaged ones.

use super::*;
use proptest::prelude::*;

fn texts(lp: &Listpack) -> Vec<Vec<u8>> {
    lp.iter().map(|value| value.to_vec()).collect()
}

#[test]
fn stored_form_is_byte_exact() {
    let lp: Listpack = ["1", "hello", "-5", "4096"].into_iter().collect();
    let expected = b"\x17\0\0\0\x04\0\x01\x01\x85hello\x06\xdf\xfb\x02\xf1\x00\x10\x03\xff";
    assert_eq!(lp.as_bytes(), expected);
    let mut empty = Listpack::new();
    assert_eq!(empty.as_bytes(), b"\x07\0\0\0\0\0\xff");
    empty.push_back(b"");
    assert_eq!(empty.as_bytes(), b"\x09\0\0\0\x01\0\x80\x01\xff");
}

#[test]
fn integers_of_every_width_survive() {
    let mut edges = vec![0i64, i64::MIN, i64::MAX];
    for bit in [7, 12, 15, 23, 31, 62] {
        let edge = 1i64 << bit;
        edges.extend([edge - 1, edge, edge + 1, -edge - 1, -edge, -edge + 1]);
    }
    for value in edges {
        let mut lp = Listpack::new();
        lp.push_back(value.to_string().as_bytes());
        lp.check_invariants();
        assert_eq!(lp.iter().next(), Some(LpValue::Int(value)));
        assert_eq!(lp.iter().next_back(), Some(LpValue::Int(value)));
    }
}

#[test]
fn only_canonical_integers_are_integers() {
    for text in ["", "-", "-0", "00", "01", "+1", " 1", "1 ", "1.0", "9223372036854775808"] {
        assert_eq!(parse_int(text.as_bytes()), None, "{text:?}");
    }
    assert_eq!(parse_int(b"-9223372036854775808"), Some(i64::MIN));
    assert_eq!(parse_int(b"-9223372036854775809"), None);
    assert_eq!(parse_int(b"99999999999999999999"), None);
}

#[test]
fn strings_survive_at_every_length_step() {
    for len in [0, 63, 64, 125, 126, 127, 4095, 4096, 16_377, 16_378, 2_097_146] {
        let text = vec![b'x'; len];
        let mut lp = Listpack::new();
        lp.push_back(b"a");
        lp.push_back(&text);
        lp.push_back(b"b");
        lp.check_invariants();
        let middle = lp.prev(lp.last().unwrap()).unwrap();
        assert_eq!(lp.get(middle), LpValue::Str(&text));
        assert_eq!(lp.prev(middle), lp.first());
        assert_eq!(entry_size(&text) + 7 + 3 + 3, lp.byte_len());
    }
}

#[test]
fn more_entries_than_the_header_counts() {
    let mut lp = Listpack::new();
    for i in 0..65_600 {
        lp.push_back_int(i % 100);
    }
    assert_eq!(lp.len(), 65_600);
    assert_eq!(lp.seek(-1), lp.last());
    assert_eq!(lp.seek(65_600), None);
    lp.check_invariants();
    lp.remove_range(0, 65_590);
    assert_eq!(lp.len(), 10);
}

#[test]
fn find_can_leave_out_values() {
    let lp: Listpack = ["a", "b", "b", "1", "c", "a"].into_iter().collect();
    assert_eq!(lp.find(b"b", 1), lp.seek(2));
    assert_eq!(lp.find(b"1", 1), None);
    assert_eq!(lp.find(b"1", 0), lp.seek(3));
    assert_eq!(lp.find_from(lp.seek(1).unwrap(), b"a", 0), lp.seek(5));
}

#[test]
fn text_of_an_integer_is_found_even_where_it_is_stored_as_text() {
    let lp = Listpack::from_bytes(b"\x0b\0\0\0\x01\0\x8212\x03\xff".to_vec()).unwrap();
    assert_eq!(lp.find(b"12", 0), lp.first());
    assert_eq!(lp.iter().next().unwrap().as_int(), Some(12));
}

#[test]
fn malformed_bytes_are_refused() {
    let cases: [(&[u8], LpError); 9] = [
        (b"", LpError::Frame),
        (b"\x06\0\0\0\0\0", LpError::Frame),
        (b"\x08\0\0\0\0\0\xff", LpError::Frame),
        (b"\x07\0\0\0\0\0\xfe", LpError::Frame),
        (b"\x07\0\0\0\x01\0\xff", LpError::Count),
        (b"\x09\0\0\0\x01\0\x01\x02\xff", LpError::Entry),
        (b"\x09\0\0\0\x01\0\x85\x01\xff", LpError::Entry),
        (b"\x08\0\0\0\x01\0\xf0\xff", LpError::Entry),
        (b"\x09\0\0\0\x01\0\xff\x01\xff", LpError::Entry),
    ];
    for (bytes, error) in cases {
        assert_eq!(Listpack::from_bytes(bytes.to_vec()).err(), Some(error), "{bytes:?}");
    }
}

#[derive(Clone, Debug)]
enum Op {
    PushBack(Vec<u8>),
    PushFront(Vec<u8>),
    InsertBefore(usize, Vec<u8>),
    InsertAfter(usize, Vec<u8>),
    Replace(usize, Vec<u8>),
    Remove(usize),
    RemoveRange(i64, usize),
    Append(Vec<Vec<u8>>),
}

fn any_text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        (-5000i64..5000).prop_map(|n| n.to_string().into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..200),
        (0usize..20_000).prop_map(|len| vec![b'q'; len]),
    ]
}

fn any_op() -> impl Strategy<Value = Op> {
    let at = 0usize..64;
    prop_oneof![
        any_text().prop_map(Op::PushBack),
        any_text().prop_map(Op::PushFront),
        (at.clone(), any_text()).prop_map(|(i, t)| Op::InsertBefore(i, t)),
        (at.clone(), any_text()).prop_map(|(i, t)| Op::InsertAfter(i, t)),
        (at.clone(), any_text()).prop_map(|(i, t)| Op::Replace(i, t)),
        at.prop_map(Op::Remove),
        (-20i64..20, 0usize..6).prop_map(|(i, n)| Op::RemoveRange(i, n)),
        proptest::collection::vec(any_text(), 0..4).prop_map(Op::Append),
    ]
}

fn apply(lp: &mut Listpack, model: &mut Vec<Vec<u8>>, op: Op) {
    let pos = |lp: &Listpack, i: usize| lp.seek((i % lp.len()) as i64).unwrap();
    match op {
        Op::PushBack(t) => {
            lp.push_back(&t);
            model.push(t);
        }
        Op::PushFront(t) => {
            lp.push_front(&t);
            model.insert(0, t);
        }
        Op::Append(list) => {
            lp.append(&list.iter().collect());
            model.extend(list);
        }
        Op::RemoveRange(i, n) => {
            lp.remove_range(i, n);
            let from = if i < 0 { i + model.len() as i64 } else { i };
            if (0..model.len() as i64).contains(&from) {
                let from = from as usize;
                model.drain(from..(from + n).min(model.len()));
            }
        }
        _ if model.is_empty() => {}
        Op::InsertBefore(i, t) => {
            let new = lp.insert_before(pos(lp, i), &t);
            assert!(lp.get(new).eq_bytes(&t));
            model.insert(i % model.len(), t);
        }
        Op::InsertAfter(i, t) => {
            let new = lp.insert_after(pos(lp, i), &t);
            assert!(lp.get(new).eq_bytes(&t));
            model.insert(i % model.len() + 1, t);
        }
        Op::Replace(i, t) => {
            lp.replace(pos(lp, i), &t);
            let i = i % model.len();
            model[i] = t;
        }
        Op::Remove(i) => {
            let next = lp.remove(pos(lp, i));
            let i = i % model.len();
            model.remove(i);
            assert_eq!(next.map(|p| lp.get(p).to_vec()).as_ref(), model.get(i));
        }
    }
}

proptest! {
    #[test]
    fn behaves_as_a_vector(ops in proptest::collection::vec(any_op(), 0..60)) {
        let (mut lp, mut model) = (Listpack::new(), Vec::new());
        for op in ops {
            apply(&mut lp, &mut model, op);
            lp.check_invariants();
            prop_assert_eq!(lp.len(), model.len());
            prop_assert_eq!(&texts(&lp), &model);
        }
        let backwards: Vec<_> = lp.iter().rev().map(|value| value.to_vec()).collect();
        prop_assert!(backwards.iter().eq(model.iter().rev()));
        let rebuilt: Listpack = model.iter().collect();
        prop_assert_eq!(rebuilt.as_bytes(), lp.as_bytes());
    }

    #[test]
    fn bytes_from_outside_never_break_a_walk(
        mut bytes in proptest::collection::vec(any::<u8>(), 7..60),
        fix in any::<bool>(),
    ) {
        if fix {
            let len = bytes.len();
            bytes[..4].copy_from_slice(&(len as u32).to_le_bytes());
            bytes[4..6].copy_from_slice(&[255, 255]);
            bytes[len - 1] = END;
        }
        if let Ok(lp) = Listpack::from_bytes(bytes) {
            prop_assert_eq!(lp.iter().count(), lp.iter().rev().count());
        }
    }
}
