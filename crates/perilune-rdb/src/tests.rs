//! Whole snapshots and payloads of every type and encoding.

use crate::*;
use perilune_keyspace::{EncodingLimits, End, Hash, Keyspace, List, Set, SetEncoding, Value, ZSet};

/// Limits that drive values out of their compact encodings, and compress the middle of lists.
fn tight() -> EncodingLimits {
    EncodingLimits {
        hash_max_listpack_entries: 2,
        set_max_intset_entries: 2,
        set_max_listpack_entries: 2,
        zset_max_listpack_entries: 2,
        list_max_listpack_size: 50,
        list_packed_threshold: 1000,
        list_compress_depth: 1,
        ..EncodingLimits::default()
    }
}

fn list(elements: usize, limits: &EncodingLimits) -> Value {
    let mut list = List::new();
    for number in 0..elements {
        list.push_back(format!("element {}", number / 2).as_bytes(), limits);
    }
    list.push_back(&[b'x'; 1500], limits);
    Value::List(Box::new(list))
}

fn hash(limits: &EncodingLimits) -> Value {
    let mut hash = Hash::new();
    for number in 0..20 {
        hash.set(format!("field {number}").as_bytes(), number.to_string().as_bytes(), limits);
    }
    Value::Hash(Box::new(hash))
}

fn set(prefix: &str, limits: &EncodingLimits) -> Value {
    let mut set = Set::new(SetEncoding::Intset);
    for number in 0..20 {
        set.add(format!("{prefix}{number}").as_bytes(), limits);
    }
    Value::Set(Box::new(set))
}

fn zset(limits: &EncodingLimits) -> Value {
    let mut zset = ZSet::new();
    for number in 0..20 {
        zset.add(format!("member {number}").as_bytes(), f64::from(number) / 3.0, limits);
    }
    for (name, score) in [("low", f64::NEG_INFINITY), ("high", f64::INFINITY), ("whole", 7.0)] {
        zset.add(name.as_bytes(), score, limits);
    }
    Value::ZSet(Box::new(zset))
}

/// A value of every type in every encoding, with the name of the encoding.
pub(crate) fn values() -> Vec<(&'static str, Value)> {
    let (wide, tight) = (EncodingLimits::default(), tight());
    let values = vec![
        ("int", Value::Int(i64::MIN)),
        ("int", Value::Int(-7)),
        ("embstr", Value::string(b"text")),
        ("embstr", Value::string(b"")),
        ("raw", Value::string(&b"over and over ".repeat(500))),
        ("raw", Value::Raw(Box::new(b"12".to_vec()))),
        ("listpack", list(10, &wide)),
        ("quicklist", list(1000, &tight)),
        ("listpack", hash(&wide)),
        ("hashtable", hash(&tight)),
        ("intset", set("", &wide)),
        ("listpack", set("m", &wide)),
        ("hashtable", set("m", &tight)),
        ("listpack", zset(&wide)),
        ("skiplist", zset(&tight)),
    ];
    for (encoding, value) in &values {
        assert_eq!(value.encoding(), *encoding);
    }
    values
}

/// Two databases with every value, the ones at odd places with a deadline.
pub(crate) fn keyspace() -> Keyspace {
    let mut keyspace = Keyspace::new(4);
    for (place, (encoding, value)) in values().into_iter().enumerate() {
        for index in [0, 3] {
            let name = format!("{}:{encoding}:{place}", value.type_name()).into_bytes();
            keyspace.db_mut(index).insert(&name, value.clone(), 0);
            if place % 2 == 1 {
                keyspace.db_mut(index).set_expire(&name, Some(4_000_000_000_000 + place as i64));
            }
        }
    }
    keyspace
}

pub(crate) const META: Meta = Meta { now_s: 1_700_000_000, used_memory: 123_456_789_012 };

pub(crate) fn snapshot(keyspace: &Keyspace, libraries: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    write_snapshot(keyspace, libraries.iter().copied(), &META, &mut out).unwrap();
    out
}

#[test]
fn an_empty_snapshot_is_header_facts_and_checksum() {
    let bytes = snapshot(&Keyspace::new(16), &[]);
    let expected = b"REDIS0011\xfa\x09redis-ver\x057.2.4\xfa\x0aredis-bits\xc0\x40\
                     \xfa\x05ctime\xc2\x00\xf1\x53\x65\xfa\x08used-mem\x0c123456789012\
                     \xfa\x08aof-base\xc0\x00\xff";
    let (body, checksum) = bytes.split_at(bytes.len() - 8);
    assert_eq!(body.escape_ascii().to_string(), expected.escape_ascii().to_string());
    assert_eq!(checksum, crc64(body).to_le_bytes());
}

#[test]
fn libraries_databases_and_keys_follow_the_facts() {
    let mut keyspace = Keyspace::new(16);
    keyspace.db_mut(9).insert(b"key", Value::string(b"value"), 0);
    keyspace.db_mut(9).set_expire(b"key", Some(0x0102_0304));
    let bytes = snapshot(&keyspace, &[b"#!lua name=x"]);
    let facts = snapshot(&Keyspace::new(16), &[]).len() - 9;
    assert_eq!(
        bytes[facts..bytes.len() - 8].escape_ascii().to_string(),
        b"\xf5\x0c#!lua name=x\xfe\x09\xfb\x01\x01\
          \xfc\x04\x03\x02\x01\0\0\0\0\x00\x03key\x05value\xff"
            .escape_ascii()
            .to_string()
    );
}

#[test]
fn payloads_are_those_of_redis() {
    let limits = EncodingLimits::default();
    let mut list = List::new();
    list.push(End::Tail, &["a", "1", "xyz"], &limits);
    let mut zset = ZSet::new();
    zset.add(b"a", 1.5, &limits);
    // What Redis 7.2.4 answers to DUMP.
    let pairs: [(Value, &[u8]); 3] = [
        (Value::Int(10), b"\x00\xc0\n\x0b\x00\x07@\xea6\xf31\x8a2"),
        (Value::List(Box::new(list)), b"\x12\x01\x02\x11\x11\x00\x00\x00\x03\x00\x81a\x02\x01\x01\x83xyz\x04\xff\x0b\x00\x9aV\xa3\xb0\x17g\xff\xf8"),
        (Value::ZSet(Box::new(zset)), b"\x11\x0f\x0f\x00\x00\x00\x02\x00\x81a\x02\x831.5\x04\xff\x0b\x00a\xd3\xd3j}\x11\x94\x11"),
    ];
    for (value, payload) in pairs {
        assert_eq!(
            dump_payload(&value).escape_ascii().to_string(),
            payload.escape_ascii().to_string()
        );
    }
}

#[test]
fn a_writer_that_fails_is_reported() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let outcome = write_snapshot(&keyspace(), std::iter::empty(), &META, &mut Full);
    assert_eq!(outcome.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
}
