//! Sorted sets against a map and a sorted vector.

use super::*;
use crate::Rng;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Pairs = Vec<(Vec<u8>, f64)>;

fn pairs<'a>(iter: impl Iterator<Item = Scored<'a>>) -> Pairs {
    iter.map(|pair| (pair.member.to_vec(), pair.score)).collect()
}

fn sorted(model: &BTreeMap<Vec<u8>, f64>) -> Pairs {
    let mut all: Pairs = model.iter().map(|(name, score)| (name.clone(), *score)).collect();
    all.sort_by(|a, b| tree::order((a.1, &a.0), (b.1, &b.0)));
    all
}

fn limits(entries: usize) -> EncodingLimits {
    EncodingLimits { zset_max_listpack_entries: entries, ..EncodingLimits::default() }
}

#[test]
fn leaves_the_listpack_beyond_its_limits() {
    let limits = EncodingLimits::default();
    let mut set = ZSet::new();
    for i in 0..128 {
        assert_eq!(set.add(format!("m{i}").as_bytes(), f64::from(i), &limits), ZAdded::Added);
    }
    assert_eq!(set.add(b"m5", 2.5, &limits), ZAdded::Updated);
    assert_eq!(set.encoding(), "listpack");
    set.add(b"one more", 0.5, &limits);
    assert_eq!((set.encoding(), set.len()), ("skiplist", 129));
    set.check_invariants();
    set.compact(&limits);
    assert_eq!(set.encoding(), "skiplist");
    set.pop_max();
    set.compact(&limits);
    assert_eq!((set.encoding(), set.len()), ("listpack", 128));
    set.check_invariants();

    let mut set = ZSet::new();
    set.add(&[b'x'; 64], 1.0, &limits);
    assert_eq!(set.encoding(), "listpack");
    set.add(&[b'y'; 65], 1.0, &limits);
    assert_eq!(set.encoding(), "skiplist");
}

#[test]
fn a_sorted_result_takes_the_smallest_encoding() {
    let limits = limits(3);
    let mut members: Vec<(Bytes, f64)> =
        (0..3).map(|i| (Bytes::new(format!("m{i}").as_bytes()), f64::from(i))).collect();
    assert_eq!(ZSet::from_sorted(&members, &limits).encoding(), "listpack");
    members.push((Bytes::new(b"last"), 3.0));
    let set = ZSet::from_sorted(&members, &limits);
    set.check_invariants();
    assert_eq!((set.encoding(), set.len()), ("skiplist", 4));
    let set = ZSet::from_sorted(&[(Bytes::new(&[b'x'; 65]), 1.0)], &limits);
    assert_eq!(set.encoding(), "skiplist");
}

#[test]
fn random_picks_are_members_and_as_many_as_asked_for() {
    for limits in [limits(128), limits(0)] {
        let mut set = ZSet::new();
        for i in 0..20 {
            set.add(format!("m{i}").as_bytes(), f64::from(i), &limits);
        }
        let mut rng = Rng::new(3);
        for count in [0, 1, 2, 12, 20, 30] {
            let mut picked = BTreeMap::new();
            set.random_distinct(count, &mut rng, |pair| {
                assert_eq!(set.score(&pair.member.to_vec()), Some(pair.score));
                picked.insert(pair.member.to_vec(), ());
            });
            assert_eq!(picked.len(), count.min(20));
            let mut repeated = 0;
            set.random_repeated(count, &mut rng, |pair| {
                assert_eq!(set.score(&pair.member.to_vec()), Some(pair.score));
                repeated += 1;
            });
            assert_eq!(repeated, count);
        }
    }
}

#[test]
fn equal_scores_are_ordered_by_bytes_and_zeros_are_equal() {
    for limits in [limits(128), limits(0)] {
        let mut set = ZSet::new();
        for name in ["10", "9", "a", "", "1"] {
            set.add(name.as_bytes(), if name == "9" { -0.0 } else { 0.0 }, &limits);
        }
        assert_eq!(set.add(b"a", -0.0, &limits), ZAdded::Unchanged);
        let names: Vec<_> = set.iter().map(|pair| pair.member.to_vec()).collect();
        assert_eq!(names, [&b""[..], b"1", b"10", b"9", b"a"]);
        let range = LexRange { min: LexBound::Exclusive(b"1"), max: LexBound::Inclusive(b"9") };
        assert_eq!(set.lex_count(&range), 2);
        let wrong = LexRange { min: LexBound::Max, max: LexBound::Min };
        assert_eq!(set.lex_count(&wrong), 0);
    }
}

#[test]
fn infinities_bound_everything_and_nan_is_refused() {
    for limits in [limits(128), limits(0)] {
        let mut set = ZSet::new();
        set.add(b"low", f64::NEG_INFINITY, &limits);
        set.add(b"high", f64::INFINITY, &limits);
        set.add(b"middle", 1e300, &limits);
        assert_eq!(set.add(b"x", f64::NAN, &limits), ZAdded::Unchanged);
        assert_eq!(set.rank(b"low", true), Some(2));
        assert_eq!(set.score(b"high"), Some(f64::INFINITY));
        let all = ScoreRange::inclusive(f64::NEG_INFINITY, f64::INFINITY);
        assert_eq!(set.count(&all), 3);
        let inner = ScoreRange { min_exclusive: true, max_exclusive: true, ..all };
        assert_eq!(set.count(&inner), 1);
    }
}

#[test]
fn a_malformed_listpack_is_refused() {
    let limits = EncodingLimits::default();
    let cases: [&[&str]; 5] =
        [&["a"], &["a", "x"], &["b", "1", "a", "1"], &["a", "1", "a", "2"], &["a", "nan"]];
    for case in cases {
        assert!(ZSet::from_listpack(case.iter().collect(), &limits).is_none(), "{case:?}");
    }
    let twice: Listpack = ["a", "1", "a", "2"].into_iter().collect();
    let trusted = ZSet::from_trusted_listpack(twice.clone(), &limits).expect("it ascends");
    assert_eq!((trusted.len(), trusted.score(b"a")), (2, Some(1.0)));
    let tight = EncodingLimits { zset_max_listpack_entries: 1, ..limits };
    let indexed = ZSet::from_trusted_listpack(twice, &tight).expect("it ascends");
    indexed.check_invariants();
    assert_eq!((indexed.len(), indexed.score(b"a")), (1, Some(2.0)));
    let good: Listpack = ["a", "1", "b", "1.5", "7", "inf"].into_iter().collect();
    assert_eq!(ZSet::from_listpack(good, &limits).map(|set| set.len()), Some(3));
}

#[test]
fn of_a_listpack_only_the_count_is_held_against_the_limits() {
    let pairs = || -> Listpack { ["member", "1", "name", "2"].into_iter().collect() };
    for (entries, encoding) in [(2, "listpack"), (1, "skiplist")] {
        let limits = EncodingLimits {
            zset_max_listpack_entries: entries,
            zset_max_listpack_value: 0,
            ..EncodingLimits::default()
        };
        let set = ZSet::from_listpack(pairs(), &limits).expect("it is one");
        assert_eq!(set.encoding(), encoding);
    }
}

#[test]
fn small_members_stay_below_eighty_bytes() {
    let limits = EncodingLimits::default();
    let (mut set, mut rng) = (ZSet::new(), Rng::new(3));
    let count = 100_000;
    for i in 0..count {
        set.add(format!("member:{i}").as_bytes(), rng.next_u64() as f64, &limits);
    }
    set.check_invariants();
    let each = set.memory_usage(0) / count;
    assert!(each < 80, "{each}");
}

#[test]
fn a_clone_is_independent() {
    let mut set = ZSet::new();
    for i in 0..500u32 {
        set.add(&i.to_be_bytes(), f64::from(i), &limits(0));
    }
    let before = set.clone();
    for i in 0..500u32 {
        set.add(&i.to_be_bytes(), -f64::from(i) - 1.0, &limits(0));
    }
    set.remove_range(0..100);
    before.check_invariants();
    set.check_invariants();
    assert_eq!(before.len(), 500);
    assert!(before.iter().enumerate().all(|(i, pair)| pair.score == i as f64));
}

#[test]
fn large_sets_shrink_and_grow_in_every_direction() {
    let mut rng = Rng::new(9);
    let mut set = ZSet::new();
    for i in 0..20_000u32 {
        set.add(&i.to_be_bytes(), f64::from(i), &limits(0));
    }
    set.check_invariants();
    for _ in 0..19_000 {
        set.remove_range({
            let rank = rng.below(set.len());
            rank..rank + 1
        });
    }
    set.check_invariants();
    for i in (0..5_000u32).rev() {
        set.add(&i.to_be_bytes(), -f64::from(i), &limits(0));
    }
    set.check_invariants();
    while set.len() > 1 {
        set.pop_min();
        set.pop_max();
    }
    set.check_invariants();
}

#[derive(Clone, Debug)]
enum Op {
    Add(Vec<u8>, f64),
    Remove(Vec<u8>),
    RemoveRanks(i64, i64),
    RemoveScores(ScoreRange),
    Pop(bool),
    Compact,
}

fn any_name() -> impl Strategy<Value = Vec<u8>> {
    (0u16..400).prop_map(|n| n.to_string().into_bytes())
}

fn any_score() -> impl Strategy<Value = f64> {
    prop_oneof![
        (-20i32..20).prop_map(f64::from),
        (-2000i32..2000).prop_map(|n| f64::from(n) / 100.0),
        any::<f64>().prop_filter("scores are numbers", |n| !n.is_nan()),
        Just(f64::INFINITY),
        Just(-0.0),
    ]
}

fn any_range() -> impl Strategy<Value = ScoreRange> {
    (any_score(), any_score(), any::<bool>(), any::<bool>()).prop_map(
        |(min, max, min_exclusive, max_exclusive)| ScoreRange {
            min,
            max,
            min_exclusive,
            max_exclusive,
        },
    )
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        40 => (any_name(), any_score()).prop_map(|(name, score)| Op::Add(name, score)),
        10 => any_name().prop_map(Op::Remove),
        1 => (-9i64..9, -9i64..9).prop_map(|(start, stop)| Op::RemoveRanks(start, stop)),
        1 => any_range().prop_map(|mut range| {
            range.max = range.min + 1.0;
            Op::RemoveScores(range)
        }),
        4 => any::<bool>().prop_map(Op::Pop),
        1 => Just(Op::Compact),
    ]
}

fn apply(set: &mut ZSet, model: &mut BTreeMap<Vec<u8>, f64>, op: Op, limits: &EncodingLimits) {
    match op {
        Op::Add(name, score) => {
            let expected = match model.get(&name) {
                None => ZAdded::Added,
                Some(old) if *old == score => ZAdded::Unchanged,
                Some(_) => ZAdded::Updated,
            };
            assert_eq!(set.add(&name, score, limits), expected);
            model.insert(name, score);
        }
        Op::Remove(name) => assert_eq!(set.remove(&name), model.remove(&name)),
        Op::RemoveRanks(start, stop) => {
            let ranks = set.ranks_by_index(start, stop, false);
            let gone = sorted(model)[ranks].to_vec();
            assert_eq!(set.remove_range_by_rank(start, stop), gone.len());
            for (name, _) in gone {
                model.remove(&name);
            }
        }
        Op::RemoveScores(range) => {
            let before = model.len();
            model.retain(|_, score| !range.contains(*score));
            assert_eq!(set.remove_range_by_score(&range), before - model.len());
        }
        Op::Pop(max) => {
            let all = sorted(model);
            let expected = if max { all.last() } else { all.first() };
            let popped = if max { set.pop_max() } else { set.pop_min() };
            assert_eq!(popped.map(|(name, score)| (name.to_vec(), score)), expected.cloned());
            expected.map(|(name, _)| model.remove(name));
        }
        Op::Compact => set.compact(limits),
    }
}

fn check_reads(set: &ZSet, all: &Pairs, range: &ScoreRange, offset: usize) {
    let within: Pairs = all.iter().filter(|(_, score)| range.contains(*score)).cloned().collect();
    assert_eq!(set.count(range), within.len());
    let found = pairs(set.range_by_score(range, false, offset, Some(3)));
    assert!(found.iter().eq(within.iter().skip(offset).take(3)));
    let found = pairs(set.range_by_score(range, true, offset, None));
    assert!(found.iter().eq(within.iter().rev().skip(offset)));
    for (rank, (name, score)) in all.iter().enumerate() {
        assert_eq!(set.rank(name, false), Some(rank));
        assert_eq!(set.rank(name, true), Some(all.len() - 1 - rank));
        assert_eq!(set.score(name), Some(*score));
    }
    let mut scanned = BTreeMap::new();
    let mut cursor = 0;
    loop {
        cursor = set.scan(cursor, &mut |pair| {
            scanned.insert(pair.member.to_vec(), pair.score);
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(sorted(&scanned), *all);
}

proptest! {
    #[test]
    fn behaves_as_a_sorted_map(
        entries in prop_oneof![Just(0usize), Just(20), Just(1000)],
        ops in proptest::collection::vec(any_op(), 0..500),
        range in any_range(),
        offset in 0usize..5,
    ) {
        let limits = limits(entries);
        let (mut set, mut model) = (ZSet::new(), BTreeMap::new());
        for (i, op) in ops.into_iter().enumerate() {
            apply(&mut set, &mut model, op, &limits);
            if i % 16 == 0 {
                set.check_invariants();
            }
        }
        set.check_invariants();
        let all = sorted(&model);
        prop_assert_eq!(&pairs(set.iter()), &all);
        let mut backward = pairs(set.range_by_rank(0, -1, true));
        backward.reverse();
        prop_assert_eq!(&backward, &all);
        check_reads(&set, &all, &range, offset);
    }
}
