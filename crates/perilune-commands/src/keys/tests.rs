//! Key positions of real and made-up rows.

use super::*;

fn positions(spec: &CommandSpec, line: &str) -> Vec<usize> {
    with_flags(spec, line).into_iter().map(|(index, _)| index).collect()
}

fn with_flags(spec: &CommandSpec, line: &str) -> Vec<(usize, &'static str)> {
    let argv: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    key_positions(spec, Args::new(&argv)).iter().map(|key| (key.index, key.flags)).collect()
}

fn found(spec: &CommandSpec, line: &str) -> Result<usize, KeyError> {
    let argv: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    find_keys(spec, Args::new(&argv)).map(|keys| keys.len())
}

/// A row with these specs. Rows are constants; a test may leak one.
fn row(keys: &[KeySpec]) -> CommandSpec {
    CommandSpec { keys: keys.to_vec().leak(), ..CommandSpec::EMPTY }
}

#[test]
fn ranges_count_from_either_end() {
    let mget = row(&[KeySpec::range("RO access", 1, -1, 1, 0)]);
    assert_eq!(positions(&mget, "mget a b c"), [1, 2, 3]);
    let mset = row(&[KeySpec::range("OW update", 1, -1, 2, 0)]);
    assert_eq!(positions(&mset, "mset a 1 b 2"), [1, 3]);
    let blpop = row(&[KeySpec::range("RW access delete", 1, -2, 1, 0)]);
    assert_eq!(positions(&blpop, "blpop a b 0"), [1, 2]);
    assert_eq!(positions(&blpop, "blpop a"), []);
    let rename = row(&[KeySpec::one("RW access delete", 1), KeySpec::one("OW update", 2)]);
    assert_eq!(with_flags(&rename, "rename a b"), [(1, "RW access delete"), (2, "OW update")]);
}

#[test]
fn a_count_tells_how_many_follow() {
    let eval = row(&[KeySpec::keynum("RW access update", 2)]);
    assert_eq!(positions(&eval, "eval s 2 a b arg"), [3, 4]);
    for malformed in ["eval s 0 a", "eval s x a", "eval s 2 a", "eval s -1 a", "eval s"] {
        assert_eq!(positions(&eval, malformed), [], "{malformed}");
    }
    let huge = "eval s 9223372036854775807 a";
    assert_eq!(positions(&eval, huge), []);
}

#[test]
fn a_count_that_is_no_number_is_read_leniently() {
    let eval = row(&[KeySpec::keynum("RW access update", 2)]);
    assert_eq!(with_flags(&eval, "eval s 1e5 a b"), [(3, "")]);
    assert_eq!(positions(&eval, "eval s +2x a b"), [3, 4]);
    assert_eq!(positions(&eval, "eval s 3x a b"), []);
    assert_eq!(positions(&eval, "eval s 4294967297 a b"), [3]);
    let store = row(&[KeySpec::one("OW update", 1), KeySpec::keynum("RO access", 2)]);
    assert_eq!(with_flags(&store, "zunionstore d 2. a b"), [(3, ""), (4, ""), (1, "")]);
    let texts = ["", "-", " 12 ", "-7x", "99999999999999999999", "4294967298"];
    assert_eq!(texts.map(|text| leading_int(text.as_bytes())), [0, 0, 12, -7, -1, 2]);
}

#[test]
fn streams_are_found_behind_the_options() {
    let spec = CommandSpec { key_finder: Some(xread_keys), ..CommandSpec::EMPTY };
    assert_eq!(positions(&spec, "xreadgroup group g c noack streams a b 1 2"), [6, 7]);
    assert_eq!(positions(&spec, "xread streams"), []);
    assert_eq!(positions(&spec, "xread streams a b 0"), []);
    assert_eq!(positions(&spec, "xread nonsense streams a 0"), []);
}

#[test]
fn a_word_introduces_half_of_the_rest() {
    let xread = row(&[KeySpec {
        flags: "RO access",
        begin: BeginSearch::Keyword("STREAMS", 1),
        find: FindKeys::Range { last: -1, step: 1, limit: 2 },
        notes: "",
    }]);
    assert_eq!(positions(&xread, "xread count 2 streams a b 0 0"), [4, 5]);
    assert_eq!(positions(&xread, "xread streams"), []);
    assert_eq!(positions(&xread, "xread count 2"), []);
}

#[test]
fn a_word_is_searched_backwards_from_the_end() {
    let spec = row(&[KeySpec {
        flags: "RW",
        begin: BeginSearch::Keyword("KEYS", -2),
        find: FindKeys::Range { last: -1, step: 1, limit: 0 },
        notes: "",
    }]);
    assert_eq!(positions(&spec, "c x keys keys b"), [4]);
    assert_eq!(positions(&spec, "c x keys a b"), [3, 4]);
    assert_eq!(positions(&spec, "c keys"), []);
}

#[test]
fn finders_answer_where_specs_cannot() {
    const UNKNOWN: KeySpec = KeySpec {
        flags: "OW update",
        begin: BeginSearch::Unknown,
        find: FindKeys::Unknown,
        notes: "",
    };
    let sort = CommandSpec {
        key_finder: Some(sort_keys),
        ..row(&[KeySpec::one("RO access", 1), UNKNOWN])
    };
    assert_eq!(positions(&sort, "sort k"), [1]);
    assert_eq!(positions(&sort, "sort k by store store d"), [1, 5]);
    assert_eq!(positions(&sort, "sort k store a store b"), [1, 5]);
    assert_eq!(positions(&sort, "sort k limit store store"), [1]);
    let set = CommandSpec {
        key_finder: Some(set_keys),
        ..row(&[KeySpec::one("RW access update variable_flags", 1)])
    };
    assert_eq!(with_flags(&set, "set k v"), [(1, "OW update")]);
    assert_eq!(with_flags(&set, "set k v get"), [(1, "RW access update")]);
    let bitfield = CommandSpec { key_finder: Some(bitfield_keys), ..CommandSpec::EMPTY };
    assert_eq!(with_flags(&bitfield, "b k get u8 0 overflow fail"), [(1, "RO access")]);
    assert_eq!(with_flags(&bitfield, "b k get u8 0 set u8 0 1"), [(1, "RW access update")]);
    assert_eq!(with_flags(&bitfield, "b k get u8"), [(1, "RW access update")]);
    let migrate = CommandSpec { key_finder: Some(migrate_keys), ..CommandSpec::EMPTY };
    assert_eq!(positions(&migrate, "migrate h 1 k 0 9"), [3]);
    assert_eq!(positions(&migrate, "migrate h 1  0 9 auth keys keys a b"), [9, 10]);
    assert_eq!(positions(&migrate, "migrate h 1 k 0 9 keys a"), []);
    let georadius = CommandSpec { key_finder: Some(georadius_keys), ..CommandSpec::EMPTY };
    assert_eq!(positions(&georadius, "g k 0 0 1 m store a storedist b"), [1, 9]);
    assert_eq!(positions(&georadius, "g k 0 0 1 m store"), [1]);
}

#[test]
fn a_finder_cannot_point_outside_of_the_arguments() {
    for find in [set_keys, bitfield_keys, sort_keys, sort_ro_keys, migrate_keys, georadius_keys] {
        let spec = CommandSpec { key_finder: Some(find), ..CommandSpec::EMPTY };
        assert_eq!(positions(&spec, "alone"), []);
    }
}

#[test]
fn getkeys_says_why_there_are_none() {
    assert_eq!(found(&CommandSpec::EMPTY, "ping"), Err(KeyError::NoKeys));
    const HIDDEN: KeySpec = KeySpec::one("not_key", 1);
    assert_eq!(found(&row(&[HIDDEN]), "c a"), Err(KeyError::NoKeys));
    let get = CommandSpec { arity: 2, ..row(&[KeySpec::one("RO access", 1)]) };
    assert_eq!(found(&get, "get a"), Ok(1));
    assert_eq!(found(&get, "get a b"), Err(KeyError::Arity));
    let eval = CommandSpec { arity: -3, ..row(&[KeySpec::keynum("RW", 2)]) };
    assert_eq!(found(&eval, "eval s"), Err(KeyError::Arity));
    assert_eq!(found(&eval, "eval s 0"), Err(KeyError::Arguments));
    let lenient = CommandSpec { flags: "no_mandatory_keys", ..eval };
    assert_eq!(found(&lenient, "eval s 0"), Ok(0));
}

#[test]
fn old_clients_see_one_range() {
    let range = |first, last, step| LegacyRange { first, last, step };
    assert_eq!(legacy_range(&[]), (range(0, 0, 0), false));
    assert_eq!(legacy_range(&[KeySpec::one("RO", 1)]), (range(1, 1, 1), false));
    let mset = [KeySpec::range("OW", 1, -1, 2, 0)];
    assert_eq!(legacy_range(&mset), (range(1, -1, 2), false));
    let bitop = [KeySpec::one("OW", 2), KeySpec::range("RO", 3, -1, 1, 0)];
    assert_eq!(legacy_range(&bitop), (range(2, -1, 1), false));
    let zunionstore = [KeySpec::one("OW", 1), KeySpec::keynum("RO", 2)];
    assert_eq!(legacy_range(&zunionstore), (range(1, 1, 1), true));
    assert_eq!(legacy_range(&[KeySpec::keynum("RO", 2)]), (range(0, 0, 0), true));
    let apart = [KeySpec::one("OW", 1), KeySpec::one("RO", 3)];
    assert_eq!(legacy_range(&apart), (range(1, 1, 1), true));
    assert_eq!(legacy_range(&[KeySpec::one("RW incomplete", 1)]), (range(1, 1, 1), true));
}
