//! The dictionary: what finding, adding and walking keys costs without any command around it.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use perilune_keyspace::{Db, Value};

/// Keys of the dictionary that is read: more than a cache holds.
const KEYS: u64 = 1 << 20;
/// Keys added to an empty dictionary, which grows several times meanwhile.
const GROWTH: u64 = 100_000;
/// Keys looked up in one go, spread over the dictionary.
const LOOKUPS: u64 = 1024;
/// Distance between two of them; odd, so that none comes twice.
const STRIDE: u64 = 104_729;

fn name(index: u64) -> Vec<u8> {
    format!("key:{index:012}").into_bytes()
}

fn filled(keys: u64) -> Db {
    let mut db = Db::default();
    for index in 0..keys {
        db.insert(&name(index), Value::string(b"xxxxxxxxxxxxxxxx"), 0);
    }
    db
}

fn get(c: &mut Criterion) {
    let db = filled(KEYS);
    let mut group = c.benchmark_group("get");
    group.throughput(Throughput::Elements(LOOKUPS));
    for (case, first) in [("hit", 0), ("miss", KEYS)] {
        let names: Vec<_> = (0..LOOKUPS).map(|index| name(first + index * STRIDE % KEYS)).collect();
        group.bench_function(case, |bencher| {
            bencher.iter(|| names.iter().filter(|name| db.get(black_box(name)).is_some()).count());
        });
    }
    group.finish();
}

fn insert(c: &mut Criterion) {
    let names: Vec<_> = (0..GROWTH).map(name).collect();
    let mut group = c.benchmark_group("insert");
    group.throughput(Throughput::Elements(GROWTH));
    group.bench_function("growing", |bencher| {
        bencher.iter_batched(
            Db::default,
            |mut db| {
                for name in &names {
                    db.insert(black_box(name), Value::Int(1), 0);
                }
                db
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn scan(c: &mut Criterion) {
    let db = filled(GROWTH);
    let mut group = c.benchmark_group("scan");
    group.throughput(Throughput::Elements(GROWTH));
    group.bench_function("whole", |bencher| {
        bencher.iter(|| {
            let (mut cursor, mut bytes) = (0, 0);
            loop {
                cursor = db.scan(cursor, &mut |entry| bytes += entry.name().len());
                if cursor == 0 {
                    return bytes;
                }
            }
        });
    });
    group.finish();
}

criterion_group!(benches, get, insert, scan);
criterion_main!(benches);
