//! The hash table against a std map, and its guarantees while it is being resized.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{Rng, Slim};

type Table = HashTable<Slim<Box<Bytes>>>;

fn boxed(number: u32) -> Slim<Box<Bytes>> {
    Slim::from(Box::new(Bytes::new(&number.to_be_bytes())))
}

fn number(entry: &Bytes) -> u32 {
    entry.iter().fold(0, |number, &byte| number << 8 | u32::from(byte))
}

fn filled(numbers: std::ops::Range<u32>) -> Table {
    let mut table = Table::new();
    for number in numbers {
        table.insert_unique(boxed(number));
    }
    table
}

/// An entry with a value, to see which of two equal keys is in the table.
struct Pair(Vec<u8>, u32);

impl Entry for Pair {
    fn key(&self) -> &[u8] {
        &self.0
    }
}

fn pair(name: Vec<u8>, value: u32) -> Slim<Box<Pair>> {
    Slim::from(Box::new(Pair(name, value)))
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u16, u32),
    InsertMany(u16, u16),
    GetOrInsert(u16, u32),
    Change(u16, u32),
    Remove(u16),
    RemoveMany(u16, u16),
    PopRandom(u64),
    Retain(u32),
    Rehash(usize),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..2000_u16;
    prop_oneof![
        8 => (key.clone(), any::<u32>()).prop_map(|(key, value)| Step::Insert(key, value)),
        4 => (key.clone(), 1..500_u16).prop_map(|(key, count)| Step::InsertMany(key, count)),
        8 => (key.clone(), any::<u32>()).prop_map(|(key, value)| Step::GetOrInsert(key, value)),
        4 => (key.clone(), any::<u32>()).prop_map(|(key, value)| Step::Change(key, value)),
        8 => key.clone().prop_map(Step::Remove),
        4 => (key, 1..500_u16).prop_map(|(key, count)| Step::RemoveMany(key, count)),
        4 => any::<u64>().prop_map(Step::PopRandom),
        1 => (1..4_u32).prop_map(Step::Retain),
        2 => (0..40_usize).prop_map(Step::Rehash),
        1 => Just(Step::Clear),
    ]
}

fn apply(table: &mut HashTable<Slim<Box<Pair>>>, model: &mut BTreeMap<Vec<u8>, u32>, step: Step) {
    let name = |key: u16| key.to_string().into_bytes();
    match step {
        Step::Insert(key, value) => {
            let replaced = table.insert(pair(name(key), value));
            assert_eq!(replaced.map(|pair| pair.1), model.insert(name(key), value));
        }
        Step::InsertMany(from, count) => {
            for key in from..from + count {
                table.insert(pair(name(key), 1));
                model.insert(name(key), 1);
            }
        }
        Step::GetOrInsert(key, value) => {
            let created = !model.contains_key(&name(key));
            let expected = *model.entry(name(key)).or_insert(value);
            let (pair, made) = table.get_or_insert_with(&name(key), || pair(name(key), value));
            assert_eq!((pair.1, made), (expected, created));
        }
        Step::Change(key, value) => {
            let pair = table.get_mut(&name(key));
            assert_eq!(pair.is_some(), model.contains_key(&name(key)));
            if let Some(pair) = pair {
                pair.1 = value;
                model.insert(name(key), value);
            }
        }
        Step::Remove(key) => {
            let removed = table.remove(&name(key)).map(|pair| pair.1);
            assert_eq!(removed, model.remove(&name(key)));
        }
        Step::RemoveMany(from, count) => {
            for key in from..from + count {
                let removed = table.remove(&name(key)).map(|pair| pair.1);
                assert_eq!(removed, model.remove(&name(key)));
            }
        }
        Step::PopRandom(seed) => {
            let popped = table.pop_random(&mut Rng::new(seed));
            assert_eq!(popped.is_some(), !model.is_empty());
            if let Some(pair) = popped {
                assert_eq!(model.remove(&pair.0), Some(pair.1));
            }
        }
        Step::Retain(divisor) => {
            table.retain(|pair| pair.1 % divisor == 0);
            model.retain(|_, value| *value % divisor == 0);
        }
        Step::Rehash(buckets) => {
            table.rehash_step(buckets);
        }
        Step::Clear => {
            table.clear();
            model.clear();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn behaves_as_a_map(steps in prop::collection::vec(step(), 1..80), capacity in 0..3000_usize) {
        let mut table = HashTable::with_capacity(capacity);
        let mut model = BTreeMap::new();
        for step in steps {
            apply(&mut table, &mut model, step);
            table.check_invariants();
            prop_assert_eq!(table.len(), model.len());
        }
        let listed: BTreeMap<_, _> = table.iter().map(|pair| (pair.0.clone(), pair.1)).collect();
        prop_assert_eq!(&listed, &model);
        prop_assert_eq!(table.iter().len(), model.len());
        let given: BTreeMap<_, _> = table.into_iter().map(|pair| (pair.0.clone(), pair.1)).collect();
        prop_assert_eq!(&given, &model);
    }

    /// Entries that are there from the first call to the last are reported, whatever else comes
    /// and goes between the calls and however the table is resized.
    #[test]
    fn a_scan_reports_everything_that_stays(
        stay in 1..400_u32,
        phases in prop::collection::vec((any::<bool>(), 0..60_u32, 0..4_usize), 1..200),
    ) {
        let mut table = filled(0..stay);
        let mut extra = stay;
        let mut seen = BTreeSet::new();
        let mut cursor = 0;
        let mut phases = phases.into_iter();
        loop {
            cursor = table.scan(cursor, &mut |entry| {
                seen.insert(number(entry));
            });
            if cursor == 0 {
                break;
            }
            match phases.next() {
                Some((true, count, _)) => (0..count * 8).for_each(|_| {
                    table.insert_unique(boxed(extra));
                    extra += 1;
                }),
                Some((false, count, _)) => (0..count * 20).for_each(|_| {
                    if extra > stay {
                        extra -= 1;
                        table.remove(&extra.to_be_bytes());
                    }
                }),
                None => {}
            }
            if let Some((_, _, steps)) = phases.next() {
                table.rehash_step(steps);
            }
        }
        prop_assert!((0..stay).all(|number| seen.contains(&number)));
    }
}

#[test]
fn a_scan_of_a_still_table_reports_each_entry_once() {
    for len in [0, 1, 5, 6, 100, 5000] {
        let mut table = filled(0..len);
        while table.rehash_step(100) {}
        let mut seen = Vec::new();
        let mut cursor = 0;
        let mut calls = 0;
        loop {
            cursor = table.scan(cursor, &mut |entry| seen.push(number(entry)));
            calls += 1;
            if cursor == 0 {
                break;
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..len).collect::<Vec<_>>());
        assert_eq!(calls, table.bucket_count().max(1));
    }
}

#[test]
fn a_scan_of_a_table_that_was_emptied_is_over_at_once() {
    let table = Table::with_capacity(10_000);
    assert_eq!(table.scan(0, &mut |_| {}), 0);
    assert_eq!(table.scan(99, &mut |_| {}), 0);
}

#[test]
fn any_cursor_ends_a_scan() {
    let table = filled(0..1000);
    for mut cursor in [1, 77, u64::MAX, 1 << 63, 0xdead_beef] {
        let mut calls = 0;
        loop {
            cursor = table.scan(cursor, &mut |_| {});
            calls += 1;
            assert!(calls <= 2 * table.bucket_count());
            if cursor == 0 {
                break;
            }
        }
    }
}

#[test]
fn an_insertion_never_moves_more_than_one_bucket() {
    let mut table = filled(0..65_536);
    assert!(!table.is_rehashing());
    table.insert_unique(boxed(65_536));
    assert!(table.is_rehashing());
    let mut before = table.moved;
    for number in 100_000.. {
        table.insert_unique(boxed(number));
        if !table.is_rehashing() {
            break;
        }
        assert!(table.moved - before <= EMPTY_VISITS);
        before = table.moved;
    }
    table.check_invariants();
}

#[test]
fn a_resize_gives_the_old_array_back_as_it_goes() {
    let mut table = filled(0..65_537);
    let full = table.old.memory_usage();
    table.rehash_step(SEGMENT_BUCKETS * 6);
    assert!(table.is_rehashing());
    assert!(table.old.memory_usage() < full / 2);
    table.check_invariants();
}

#[test]
fn a_table_that_empties_shrinks() {
    let mut table = filled(0..10_000);
    let large = table.memory_usage();
    for number in 100..10_000 {
        table.remove(&u32::to_be_bytes(number));
    }
    while table.rehash_step(1000) {}
    table.check_invariants();
    assert!(table.memory_usage() < large / 8, "{} of {large}", table.memory_usage());
    assert!((0..100).all(|number| table.contains(&u32::to_be_bytes(number))));
}

fn assert_fair(table: &Table, entries: u32) {
    let mut rng = Rng::new(99);
    let mut hits = BTreeMap::new();
    for _ in 0..entries * 1000 {
        let picked = table.random(&mut rng).map(|entry| number(entry));
        *hits.entry(picked).or_insert(0_u32) += 1;
    }
    assert_eq!(hits.len(), entries as usize);
    // A chain of more than sixteen is the one thing that may fall behind, and is rare.
    let unfair = hits.values().filter(|&&count| !(850..1150).contains(&count)).count();
    assert!(unfair <= 16, "{hits:?}");
}

#[test]
fn random_entries_are_fair_also_during_a_resize() {
    let mut table = filled(0..129);
    assert!(table.is_rehashing());
    for _ in 0..3 {
        assert_fair(&table, 129);
        table.rehash_step(4);
    }
    assert!(table.is_rehashing());

    let mut sparse = Table::with_capacity(1024);
    (0..128).for_each(|number| sparse.insert_unique(boxed(number)));
    sparse.remove(&127_u32.to_be_bytes());
    assert!(sparse.is_rehashing());
    sparse.rehash_step(20);
    assert!(sparse.is_rehashing());
    assert_fair(&sparse, 127);
}

#[test]
fn random_finds_the_only_entry_of_a_large_table() {
    let mut table = Table::with_capacity(100_000);
    assert!(table.random(&mut Rng::new(1)).is_none());
    table.insert(boxed(7));
    for seed in 0..20 {
        assert_eq!(table.random(&mut Rng::new(seed)).map(|entry| number(entry)), Some(7));
    }
    assert!(table.pop_random(&mut Rng::new(3)).is_some());
    assert!(table.pop_random(&mut Rng::new(3)).is_none());
}

#[test]
fn a_sample_is_bounded_and_of_distinct_entries() {
    let table = filled(0..1000);
    for seed in 0..100 {
        let mut seen = Vec::new();
        table.sample(&mut Rng::new(seed), 10, &mut |entry| seen.push(number(entry)));
        assert!(!seen.is_empty() && seen.len() <= 10);
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len());
    }
}

#[test]
fn a_table_that_is_held_grows_later() {
    let mut table = filled(0..4096);
    assert!(!table.is_rehashing());
    assert_eq!(table.growth(), 2 * table.bucket_count() * 64);
    table.hold_growth(true);
    table.insert_unique(boxed(4096));
    table.insert_unique(boxed(4097));
    assert!(!table.is_rehashing());
    table.hold_growth(false);
    table.insert_unique(boxed(4098));
    assert!(table.is_rehashing());
    assert_eq!(table.growth(), 0);

    let mut held = filled(0..64);
    let buckets = held.bucket_count();
    held.hold_growth(true);
    for number in 64..1000 {
        held.insert_unique(boxed(number));
        held.check_invariants();
        if held.bucket_count() > buckets {
            assert_eq!(held.len() - 1, buckets * HELD_MAX);
            return;
        }
    }
    panic!("it must grow at some time");
}
