//! Whole snapshots and payloads of every type and encoding.

use crate::*;
use proptest::prelude::{any, prop, prop_assert, proptest};

use perilune_keyspace::stream::{Group, Pending};
use perilune_keyspace::{
    EncodingLimits, End, Hash, Keyspace, List, Set, SetEncoding, Stream, StreamId, Value, ValueRef,
    ZSet,
};

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
        stream_node_max_entries: 5,
        ..EncodingLimits::default()
    }
}

fn list(elements: usize, limits: &EncodingLimits) -> Value {
    let mut list = List::new();
    for number in 0..elements {
        list.push_back(format!("element {}", number / 2).as_bytes(), limits);
    }
    list.push_back(&[b'x'; 1500], limits);
    Value::List(list)
}

fn hash(limits: &EncodingLimits) -> Value {
    let mut hash = Hash::new();
    for number in 0..20 {
        hash.set(format!("field {number}").as_bytes(), number.to_string().as_bytes(), limits);
    }
    Value::Hash(hash)
}

fn set(prefix: &str, limits: &EncodingLimits) -> Value {
    let mut set = Set::new(SetEncoding::Intset);
    for number in 0..20 {
        set.add(format!("{prefix}{number}").as_bytes(), limits);
    }
    Value::Set(set)
}

fn zset(limits: &EncodingLimits) -> Value {
    let mut zset = ZSet::new();
    for number in 0..20 {
        zset.add(format!("member {number}").as_bytes(), f64::from(number) / 3.0, limits);
    }
    for (name, score) in [("low", f64::NEG_INFINITY), ("high", f64::INFINITY), ("whole", 7.0)] {
        zset.add(name.as_bytes(), score, limits);
    }
    Value::ZSet(zset)
}

/// A stream with a deleted entry and a group that has two entries pending.
fn stream(limits: &EncodingLimits) -> Value {
    let mut stream = Stream::new();
    for number in 1..20u64 {
        let text = number.to_string();
        let name: &[u8] = if number % 4 == 0 { b"other" } else { b"field" };
        stream.append(StreamId::new(number, 7), &[name, text.as_bytes()], limits).unwrap();
    }
    stream.delete(&[StreamId::new(3, 7)]);
    let mut group = Group::new(StreamId::new(5, 7), Some(5));
    let consumer = group.create_consumer(b"consumer", 1_700_000_000_000).unwrap();
    group.create_consumer(b"idle", 1).unwrap();
    for number in [4, 5] {
        let pending = Pending { delivered_ms: 1_700_000_000_001, deliveries: number, consumer };
        group.assign(StreamId::new(number, 7), pending);
    }
    stream.add_group(b"group", group);
    stream.add_group(b"lost", Group::new(StreamId::MAX, None));
    Value::Stream(Box::new(stream))
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
        ("raw", Value::Raw(b"12".to_vec())),
        ("listpack", list(10, &wide)),
        ("quicklist", list(1000, &tight)),
        ("listpack", hash(&wide)),
        ("hashtable", hash(&tight)),
        ("intset", set("", &wide)),
        ("listpack", set("m", &wide)),
        ("hashtable", set("m", &tight)),
        ("listpack", zset(&wide)),
        ("skiplist", zset(&tight)),
        ("stream", stream(&wide)),
        ("stream", stream(&tight)),
    ];
    for (encoding, value) in &values {
        assert_eq!(value.as_ref().encoding(), *encoding);
    }
    values
}

/// Two databases with every value, the ones at odd places with a deadline.
pub(crate) fn keyspace() -> Keyspace {
    let mut keyspace = Keyspace::new(4);
    for (place, (encoding, value)) in values().into_iter().enumerate() {
        for index in [0, 3] {
            let name = format!("{}:{encoding}:{place}", value.as_ref().type_name()).into_bytes();
            keyspace.db_mut(index).insert(&name, value.clone(), 0);
            if place % 2 == 1 {
                keyspace.db_mut(index).set_expire(&name, Some(4_000_000_000_000 + place as i64));
            }
        }
    }
    keyspace
}

pub(crate) const META: Meta = Meta {
    now_s: 1_700_000_000,
    used_memory: 123_456_789_012,
    aof_base: false,
    stream_db: None,
    stream: None,
};

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
        (Value::List(list), b"\x12\x01\x02\x11\x11\x00\x00\x00\x03\x00\x81a\x02\x01\x01\x83xyz\x04\xff\x0b\x00\x9aV\xa3\xb0\x17g\xff\xf8"),
        (Value::ZSet(zset), b"\x11\x0f\x0f\x00\x00\x00\x02\x00\x81a\x02\x831.5\x04\xff\x0b\x00a\xd3\xd3j}\x11\x94\x11"),
    ];
    for (value, payload) in pairs {
        assert_eq!(
            dump_payload(value.as_ref(), true).escape_ascii().to_string(),
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

const OPTIONS: fn() -> ReadOptions = || ReadOptions {
    limits: tight(),
    now_s: 1_700_000_000,
    expired_at_ms: None,
    ..ReadOptions::default()
};

fn read(bytes: &[u8]) -> Result<(Keyspace, Loaded), ReadError> {
    let mut keyspace = Keyspace::new(4);
    let loaded = read_snapshot(&mut &bytes[..], &mut keyspace, &OPTIONS())?;
    Ok((keyspace, loaded))
}

/// Everything a value holds, in a fixed order.
/// A group as its users see it, whatever the order its consumers were made in.
fn of_group(name: &perilune_keyspace::Bytes, group: &Group) -> String {
    let mut consumers: Vec<String> = group
        .consumers()
        .map(|it| format!("{:?} {} {}", it.name(), it.seen_ms, it.active_ms))
        .collect();
    consumers.sort();
    let pending: Vec<String> = group
        .pending_range(StreamId::MIN..=StreamId::MAX)
        .map(|(id, it)| {
            let owner = group.owner_name(it).escape_ascii();
            format!("{id:?} {owner} {} {}", it.delivered_ms, it.deliveries)
        })
        .collect();
    let (last, read) = (group.last_id, group.entries_read);
    format!("{name:?} {last:?} {read:?} {consumers:?} {pending:?}")
}

fn content(value: ValueRef<'_>) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    match value {
        ValueRef::List(list) => {
            list.for_range(0, list.len(), false, |element| words.push(element.to_vec()));
        }
        ValueRef::Hash(hash) => {
            words.extend(hash.iter().map(|(name, value)| [name.to_vec(), value.to_vec()].concat()));
            words.sort();
        }
        ValueRef::Set(set) => {
            words.extend(set.iter().map(|member| member.to_vec()));
            words.sort();
        }
        ValueRef::ZSet(zset) => words.extend(
            zset.iter().map(|one| [one.member.to_vec(), one.score.to_le_bytes().to_vec()].concat()),
        ),
        ValueRef::Stream(stream) => {
            words.extend(stream.iter().map(|entry| format!("{:?}", entry.id()).into_bytes()));
            words.extend(stream.iter().flat_map(|entry| {
                let fields = entry.fields().map(|(name, value)| [name.to_vec(), value.to_vec()]);
                fields.map(|pair| pair.concat()).collect::<Vec<_>>()
            }));
            words.extend(stream.groups().map(|(name, group)| of_group(name, group).into_bytes()));
            let ids = (stream.first_id(), stream.last_id(), stream.max_deleted_id());
            words.push(format!("{ids:?} {}", stream.entries_added()).into_bytes());
        }
        string => words.extend(string.as_string().map(|text| text.into_owned())),
    }
    words
}

fn assert_equal(a: ValueRef<'_>, b: ValueRef<'_>) {
    assert_eq!(a.type_name(), b.type_name());
    assert!(content(a) == content(b), "two {} values differ", a.type_name());
}

#[test]
fn snapshots_are_read_back() {
    let original = keyspace();
    let (read, loaded) = read(&snapshot(&original, &[b"one", b"two"])).unwrap();
    assert_eq!(loaded.libraries, [b"one", b"two"]);
    assert_eq!((loaded.keys, loaded.expired, loaded.empty), (2 * values().len(), 0, 0));
    for (index, db) in original.iter() {
        read.db(index).check_invariants();
        assert_eq!(read.db(index).len(), db.len());
        for entry in db.iter() {
            let copy = read.db(index).get(entry.name()).unwrap();
            assert_eq!(copy.expire_at(), entry.expire_at());
            assert_equal(copy.value(), entry.value());
        }
    }
}

#[test]
fn payloads_are_read_back_in_the_encoding_of_the_limits() {
    for (_, value) in values() {
        let payload = dump_payload(value.as_ref(), true);
        for limits in [EncodingLimits::default(), tight()] {
            let copy = restore_payload(&payload, &limits, Check::Full).unwrap();
            assert_equal(copy.as_ref(), value.as_ref());
            match &copy {
                Value::List(list) => list.check_invariants(),
                Value::Hash(hash) => hash.check_invariants(),
                Value::Set(set) => set.check_invariants(),
                Value::ZSet(zset) => zset.check_invariants(),
                Value::Stream(stream) => stream.check_invariants(),
                _ => {}
            }
        }
        // Lists are measured by their nodes, some of which are small.
        if !["string", "list", "stream"].contains(&value.as_ref().type_name()) {
            let restored = restore_payload(&payload, &tight(), Check::Full).unwrap();
            let encoding = restored.as_ref().encoding();
            assert!(["hashtable", "skiplist"].contains(&encoding), "{encoding}");
        }
    }
}

#[test]
fn a_long_member_behind_a_score_of_minus_zero_decides_about_the_encoding() {
    let limits = EncodingLimits::default();
    let mut zset = ZSet::new();
    zset.add(&[b'm'; 100], 1.0, &limits);
    zset.add(b"zero", -0.0, &limits);
    let payload = dump_payload(Value::ZSet(zset).as_ref(), true);
    let Ok(Value::ZSet(copy)) = restore_payload(&payload, &limits, Check::Full) else { panic!() };
    assert_eq!(copy.encoding(), "skiplist");
    assert!(copy.score(b"zero").is_some_and(f64::is_sign_negative));
}

#[test]
fn streams_of_earlier_versions_are_read() {
    let Value::Stream(original) = stream(&EncodingLimits::default()) else { panic!() };
    let nodes = |out: &mut Vec<u8>| {
        out.push(1);
        let (master, lp) = original.nodes().next().unwrap();
        crate::encode::write_string(out, &master.to_bytes()).unwrap();
        crate::encode::write_string(out, lp.as_bytes()).unwrap();
        // Length and last id.
        out.extend_from_slice(&[18, 19, 7]);
    };
    let id = StreamId::new(5, 7).to_bytes();
    let pending = [&[1][..], &id, &2i64.to_le_bytes(), &[9]].concat();
    let consumer = [&[1, 1, b'c'][..], &3i64.to_le_bytes(), &[1], &id].concat();
    let mut first = vec![15];
    nodes(&mut first);
    first.extend_from_slice(&[1, 1, b'g', 19, 7]);
    first.extend([pending.clone(), consumer.clone()].concat());
    let mut second = vec![19];
    nodes(&mut second);
    second.extend_from_slice(&[1, 7, 3, 7, 19, 1, 1, b'g', 5, 7, 4]);
    second.extend([pending, consumer].concat());
    for (body, facts) in [(first, (18, 0, Some(18))), (second, (19, 3, Some(4)))] {
        let payload = crate::payload::seal(body);
        let value = restore_payload(&payload, &EncodingLimits::default(), Check::Full).unwrap();
        let Value::Stream(stream) = value else { panic!() };
        stream.check_invariants();
        let group = stream.group(b"g").unwrap();
        let found = (stream.entries_added(), stream.max_deleted_id().ms, group.entries_read);
        assert_eq!(found, facts);
        let consumer = group.consumers().next().unwrap();
        assert_eq!((consumer.seen_ms, consumer.active_ms), (3, 3));
        let pending = group.pending(StreamId::new(5, 7)).unwrap();
        assert_eq!((pending.delivered_ms, pending.deliveries), (2, 9));
    }
}

#[test]
fn keys_whose_time_is_up_are_left_out() {
    let bytes = snapshot(&keyspace(), &[]);
    let options = ReadOptions { expired_at_ms: Some(i64::MAX), ..OPTIONS() };
    let mut keyspace = Keyspace::new(4);
    let loaded = read_snapshot(&mut &bytes[..], &mut keyspace, &options).unwrap();
    assert_eq!(loaded.expired, 2 * (values().len() / 2));
    assert!(keyspace.db(0).iter().all(|entry| entry.expire_at().is_none()));
}

#[test]
fn records_of_other_writers_are_understood() {
    let bytes = b"REDIS0004\xfd\x01\0\0\0\xf8\x0a\xf9\xff\x01\x01l\x02\x01a\xc0\x07\
                  \x03\x01z\x03\x01a\x031.5\x01b\xfe\x01c\xff\x02\x01e\x00\xff";
    let (keyspace, loaded) = read(bytes).unwrap();
    assert_eq!((loaded.keys, loaded.empty), (2, 1));
    let list = keyspace.db(0).get(b"l").unwrap();
    assert_eq!((list.expire_at(), list.idle_s(1_700_000_000)), (Some(1000), 10));
    assert_eq!(content(list.value()), [&b"a"[..], b"7"]);
    let ValueRef::ZSet(zset) = keyspace.db(0).get(b"z").unwrap().value() else { panic!() };
    let scores: Vec<f64> = zset.iter().map(|one| one.score).collect();
    assert_eq!(scores, [f64::NEG_INFINITY, 1.5, f64::INFINITY]);
}

#[test]
fn faulty_snapshots_are_told_apart() {
    let error = |bytes: &[u8]| match read(bytes) {
        Err(error) => error.to_string(),
        Ok(_) => "none".to_owned(),
    };
    assert_eq!(error(b""), "the input ends too early");
    assert_eq!(error(b"RODIS0011"), "wrong signature");
    assert_eq!(error(b"REDIS001a"), "wrong signature");
    assert_eq!(error(b"REDIS0013"), "format version 13 cannot be read");
    assert_eq!(error(b"REDIS0000"), "format version 0 cannot be read");
    assert_eq!(error(b"REDIS0004\xfe\x04"), "there is no database 4");
    assert_eq!(error(b"VALKEY081"), "format version 81 cannot be read");
    let unknown = "a value or record of unknown kind (type 6) cannot be read";
    assert_eq!(error(b"REDIS0004\x06\x01k"), unknown);
    let expiring = |kind| format!("a hash whose fields expire (type {kind}) cannot be read");
    assert_eq!(error(b"VALKEY080\x16\x01k"), expiring(22));
    assert_eq!(error(b"REDIS0012\x19\x01k"), expiring(25));
    assert_eq!(error(b"VALKEY080\xf3"), "the import of a slot (type 243) cannot be read");
    assert_eq!(error(b"REDIS0004\xf6"), "pre-release function format is not supported");
    let module = b"REDIS0009\x07\x01k\x81\x24\xaa\x71\xa6\x99\xa6\x80\x01";
    assert!(error(module).starts_with("data of the module '"), "{}", error(module));
    assert_eq!(error(b"REDIS0004\0\x01k\x01a\0\x01k\x01b"), "key \"k\" is there twice");
    assert_eq!(error(b"REDIS0004\x02\x01k\x02\x01a\x01a"), "an element is there twice");
    assert_eq!(error(b"REDIS0004\0\x01k\xc7"), "a length or string is malformed");
    assert_eq!(error(b"REDIS0004\x0b\x01k\x01x"), "an intset is malformed");
    assert_eq!(error(b"REDIS0004\x10\x01k\x01x"), "a listpack is malformed");
    let nan = [&b"REDIS0004\x05\x01k\x01\x01a"[..], &f64::NAN.to_le_bytes()].concat();
    assert_eq!(error(&nan), "a score is not a number");
    let mut bytes = snapshot(&keyspace(), &[]);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert!(error(&bytes).starts_with("wrong checksum: expected "));
    bytes[last - 7..].fill(0);
    assert_eq!(error(&bytes), "none");
}

#[test]
fn the_place_of_an_error_is_told() {
    let mut keyspace = Keyspace::new(1);
    let bytes = &b"REDIS0012\0\x01a\x01x\x19\x02\nk"[..];
    let mut reader = SnapshotReader::new(bytes, ReadOptions::default()).unwrap();
    assert!(reader.step(&mut keyspace).unwrap());
    assert!(reader.step(&mut keyspace).is_err());
    assert_eq!(reader.place(), "offset 18 at key \"\\nk\"");
    assert_eq!(keyspace.db(0).len(), 1);
}

proptest! {
    #[test]
    fn damaged_snapshots_do_no_harm(
        cut in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = snapshot(&keyspace(), &[b"code"]);
        for (place, byte) in flips {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let cut = cut.index(2 * bytes.len());
        let _ = read(&bytes[..cut.min(bytes.len())]);
    }

    #[test]
    fn damaged_payloads_make_sound_values_or_none(
        which in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let values = values();
        let mut body = dump_payload(values[which.index(values.len())].1.as_ref(), true);
        body.truncate(body.len() - 10);
        for (place, byte) in flips {
            let place = place.index(body.len());
            body[place] = byte;
        }
        let payload = crate::payload::seal(body);
        if let Ok(value) = restore_payload(&payload, &EncodingLimits::default(), Check::Full) {
            let again = dump_payload(value.as_ref(), true);
            let again = restore_payload(&again, &tight(), Check::Full).unwrap();
            prop_assert!(content(again.as_ref()) == content(value.as_ref()));
        }
    }

    #[test]
    fn garbage_is_no_payload(kind in 0u8..24, body in prop::collection::vec(any::<u8>(), 0..80)) {
        let payload = crate::payload::seal([&[kind][..], &body].concat());
        let _ = restore_payload(&payload, &tight(), Check::Full);
    }
}

#[test]
fn the_moment_of_the_stream_comes_back() {
    let point = StreamPoint { id: *b"0123456789abcdef0123456789abcdef01234567", offset: 1 << 40 };
    for stream in [None, Some(point)] {
        let meta = Meta { stream, stream_db: stream.map(|_| 2), ..META };
        let mut out = Vec::new();
        write_snapshot(&Keyspace::new(4), std::iter::empty(), &meta, &mut out).unwrap();
        let (_, loaded) = read(&out).unwrap();
        assert_eq!((loaded.stream(), loaded.stream_db), (meta.stream, meta.stream_db));
    }
}

#[test]
fn keys_past_their_time_are_named_to_who_asks() {
    let mut keyspace = Keyspace::new(4);
    keyspace.db_mut(1).insert(b"gone", Value::string(b"value"), 0);
    keyspace.db_mut(1).set_expire(b"gone", Some(5));
    let bytes = snapshot(&keyspace, &[]);
    let options = ReadOptions { expired_at_ms: Some(6), names_expired: true, ..OPTIONS() };
    let mut reader = SnapshotReader::new(&bytes[..], options).unwrap();
    let mut target = Keyspace::new(4);
    while reader.step(&mut target).unwrap() {}
    assert_eq!(reader.take_expired(), [(1, b"gone".to_vec())]);
    assert_eq!(reader.take_expired(), []);
}
