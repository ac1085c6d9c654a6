//! The words that stand for arguments: by the argument's name where that says what makes sense,
//! otherwise by its type.
//!
//! Deadlines lie a day or more ahead or in the past, so that nothing expires during a run, and are
//! drawn from many values, so that two are hardly ever equal: what `GT` and `LT` make of equal
//! deadlines would depend on the millisecond.

use super::scripts::{LIBRARIES, SCRIPTS};
use crate::random::Random;
use perilune_commands::syntax::{ArgKind, ArgSpec};
use perilune_keyspace::{EncodingLimits, End, List, ValueType, ZSet};
use perilune_script::Digest;

/// Kinds of keys, in the words of documentation groups, with the prefix of their names.
const KEY_KINDS: &[(&str, &str)] = &[
    ("string", "str"),
    ("list", "list"),
    ("set", "set"),
    ("sorted-set", "zset"),
    ("hash", "hash"),
    ("stream", "stream"),
    ("geo", "geo"),
    ("bitmap", "bits"),
    ("hyperloglog", "hll"),
];

/// Keys of each kind. Few, so that they are met again.
const KEYS_PER_KIND: usize = 4;

/// Numbers that are ends of something, or no numbers.
const EDGES: &[&str] = &[
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "2147483648",
    "4294967296",
    "-4294967297",
    "x",
    "",
    "1.5",
    "+1",
    " 1",
    "01",
    "1e2",
    "-0",
    "0x10",
];
const INTS: &[&str] = &["0", "1", "2", "3", "-1", "-2", "5", "10", "-100", "100"];
const SMALL: &[&str] = &["1", "2", "3", "10", "0"];
const DOUBLES: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "3",
    "1.5",
    "-2.25",
    "3.14159265358979",
    "1e3",
    "1e-7",
    "100",
    "inf",
    "-inf",
    "+inf",
    "0.1",
    "1e17",
    "-0",
    "1e308",
    "12345678901234567890",
];
const BAD_DOUBLES: &[&str] = &["nan", "x", "", "1x", " 1", "1e400", "0x1p3", "infinity", "--1"];
const BOUNDS: &[&str] = &["-inf", "+inf", "(1", "(0", "0", "1", "2", "(1e3", "(inf", "-5", "3.5"];
const LEX: &[&str] = &["-", "+", "[a", "(a", "[c", "(m", "[1", "(2", "[member", "[", "("];
const BAD_LEX: &[&str] = &["a", "", "*", "--"];
/// Lengths of long texts: around the limits of encodings, and some that fill a node.
const TEXT_SIZES: &[usize] = &[44, 45, 64, 65, 300, 300, 300, 2000, 5000];
const MEMBERS: &[&str] = &["a", "b", "c", "d", "1", "2", "3", "300", "-7", "member", "m:1", "x y"];
const VALUES: &[&str] = &[
    "a",
    "b",
    "10",
    "-7",
    "3.25",
    "",
    "0",
    "hello world",
    "9223372036854775807",
    "1e5",
    "abcabcab",
    "\u{0}\u{1}",
    "ohmytext",
    "mynewtext",
];
const GLOBS: &[&str] =
    &["*", "str*", "*1", "[a-m]*", "?et1", "h[^x]sh*", "nosuch", "\\*", "[", "*a*"];
const IDS: &[&str] =
    &["0-1", "1-1", "2-0", "2-5", "3-0", "5-1", "7", "9-3", "100-1", "0", "1", "5", "0-0", "50-50"];
const BAD_IDS: &[&str] =
    &["x", "", "1-x", "-", "+", "$", ">", "1-2-3", "18446744073709551615-18446744073709551615"];
const RANGE_IDS: &[&str] = &["-", "+", "0", "1-1", "(1-1", "(2", "3", "5-1", "100", "(-", "x"];
const ENCODINGS: &[&str] =
    &["u8", "i8", "u4", "i5", "u63", "i64", "u1", "i16", "u64", "i65", "u0", "x8", "i"];
const BIT_OFFSETS: &[&str] = &["0", "1", "7", "8", "100", "1000", "#0", "#1", "#3", "-1", "x"];
const LONGITUDES: &[&str] = &["13.361389", "15.087269", "0", "-122.4", "179.9", "-180", "181", "x"];
const LATITUDES: &[&str] = &["38.115556", "37.502669", "0", "37.7", "85.05", "-85", "86", "nan"];
const RADII: &[&str] = &["100", "200", "1", "5000", "0", "30000", "-1", "x", "0.5"];
const SORT_PATTERNS: &[&str] =
    &["str*", "nosort", "hash1->*", "hash*->a", "#", "*", "none*", "str1"];
const TIMEOUTS: &[&str] = &["0.001", "0.002", "0.001", "-1", "x", "inf", "1e400"];
const RULES: &[&str] = &[
    "on",
    "off",
    ">secret",
    "<secret",
    "nopass",
    "resetpass",
    "~*",
    "~str*",
    "%R~list*",
    "%RW~x",
    "%W~set*",
    "allkeys",
    "resetkeys",
    "&*",
    "&news.*",
    "allchannels",
    "resetchannels",
    "+@all",
    "-@all",
    "+get",
    "-get",
    "+@string",
    "-@dangerous",
    "+config|get",
    "-config|get",
    "+select|1",
    "allcommands",
    "nocommands",
    "reset",
    "clearselectors",
    "(~x* +get)",
    "(+@list ~l*)",
    "nosuch",
    "+nosuch",
    "+@nosuch",
    "%X~a",
    "&",
    "~",
    "!abc",
    "#abc",
    "-config|nosuch",
];
const RESTRICTIONS: &[&str] = &[
    "~*",
    "~*",
    "~str*",
    "~list*",
    "%R~*",
    "%R~hash*",
    "%W~set*",
    "%RW~zset*",
    "+@all",
    "+@all",
    "+@read",
    "+@write",
    "+@fast",
    "+@connection",
    "+@scripting",
    "+@transaction",
    "-@list",
    "-@dangerous",
    "-@scripting",
    "-get",
    "-set",
    "-eval",
    "+config|get",
    "+object|encoding",
    "-object|encoding",
    "&*",
    "&a*",
    "resetkeys",
    "(~zset* +@sortedset)",
    "(%R~list* +@list -lrange)",
    "(~* +@keyspace)",
    "-multi",
    "-exec",
];
const PARAMETERS: &[&str] = &[
    "maxmemory*",
    "hash-max-*",
    "list-*",
    "set-*",
    "zset-*",
    "stream-*",
    "timeout",
    "databases",
    "lua-time-limit",
    "appendonly",
    "no-such-parameter",
    "proto-max-bulk-len",
    "notify*",
];

/// Prefix of sorted sets whose members all have one score: ranges of members are defined for no
/// others.
const LEX_PREFIX: &str = "lex";

/// What is said to be odd about keys: nothing, what looks like the end of a line or a text, and what
/// is no text.
const ODD_KEYS: &[&[u8]] = &[b"", b"\xff\x00\r\nkey", b"{str}1 \xc3\xa4", b"123"];

/// A key of a kind, or in some cases of any kind. `name` is that of the argument.
pub(super) fn key(random: &mut Random, name: &str, group: &str) -> Vec<u8> {
    if name == "lexkey" {
        return format!("{LEX_PREFIX}{}", 1 + random.below(KEYS_PER_KIND)).into_bytes();
    }
    let kinds: Option<&[&str]> = match name {
        "sortable" => Some(&["list", "set", "zset", "lex", "str", "stream"]),
        "ordered" => Some(&["list", "zset", "lex", "none"]),
        _ => None,
    };
    if let Some(kinds) = kinds {
        return format!("{}{}", random.pick(kinds), 1 + random.below(KEYS_PER_KIND)).into_bytes();
    }
    if random.percent(1) {
        return random.pick(ODD_KEYS).to_vec();
    }
    let own = KEY_KINDS.iter().find(|(name, _)| *name == group);
    let prefix = match own {
        Some((_, prefix)) if !random.percent(8) => prefix,
        _ => random.pick(KEY_KINDS).1,
    };
    format!("{prefix}{}", 1 + random.below(KEYS_PER_KIND)).into_bytes()
}

/// All keys.
pub(super) fn keys() -> impl Iterator<Item = Vec<u8>> {
    let prefixes = KEY_KINDS.iter().map(|(_, prefix)| *prefix).chain([LEX_PREFIX]);
    prefixes
        .flat_map(|prefix| {
            (1..=KEYS_PER_KIND).map(move |number| format!("{prefix}{number}").into_bytes())
        })
        .chain(ODD_KEYS.iter().map(|key| key.to_vec()))
}

/// A rule for a user who may do something, but not all.
pub(super) fn restriction(random: &mut Random) -> Vec<u8> {
    of(random, RESTRICTIONS)
}

/// A word for an argument of a command of this group.
pub(super) fn word(random: &mut Random, arg: &ArgSpec<'_>, command: &str, group: &str) -> Vec<u8> {
    if let Some(word) = by_name(random, &arg.name, command, group) {
        return word;
    }
    match arg.kind {
        ArgKind::Integer => mostly(random, INTS, EDGES),
        ArgKind::Double => mostly(random, DOUBLES, BAD_DOUBLES),
        ArgKind::Pattern if group == "generic" => of(random, GLOBS),
        ArgKind::Pattern => of(random, GLOBS),
        ArgKind::UnixTime => deadline(random, 2_000_000_000),
        _ => text(random, VALUES),
    }
}

/// What the name of an argument asks for.
fn by_name(random: &mut Random, name: &str, command: &str, group: &str) -> Option<Vec<u8>> {
    let pools: Option<(&[&str], &[&str])> = match (name, group) {
        ("longitude", _) => Some((LONGITUDES, EDGES)),
        ("latitude", _) => Some((LATITUDES, EDGES)),
        ("radius" | "width" | "height", _) => Some((RADII, BAD_DOUBLES)),
        ("encoding", _) => Some((ENCODINGS, EDGES)),
        ("offset", "bitmap") => Some((BIT_OFFSETS, BIT_OFFSETS)),
        ("offset", "string") => Some((&["0", "1", "5", "100"], &["-1", "x", "536870912"])),
        ("bit", _) | ("value", "bitmap") => Some((&["0", "1", "1"], &["2", "x", "-1"])),
        ("min" | "max", _) => Some((BOUNDS, BAD_DOUBLES)),
        ("lexmin" | "lexmax", _) => Some((LEX, BAD_LEX)),
        ("start" | "stop" | "end", "sorted-set") => Some((INTS, EDGES)),
        ("start" | "end", "stream") => Some((RANGE_IDS, BAD_IDS)),
        ("count", _) if command.contains("rand") || command == "spop" => Some((INTS, &["x", ""])),
        ("count" | "limit" | "num-matches", _) => Some((SMALL, EDGES)),
        ("id" | "last-id" | "max-deleted-id" | "lastid" | "group-id", "stream") => {
            Some((IDS, BAD_IDS))
        }
        ("threshold", _) => Some((SMALL, EDGES)),
        ("group", "stream") => Some((&["g1", "g2"], &["nosuch", ""])),
        ("consumer", _) => Some((&["alice", "bob"], &["", "carol"])),
        // Whether an entry is idle for so long is the same a second later.
        ("min-idle-time", _) => Some((&["0"], &["100000000", "-1", "x"])),
        ("retrycount" | "entries-added" | "entries-read" | "entriesread", _) => {
            Some((SMALL, EDGES))
        }
        ("weight-pattern", _) => Some((
            &["str*", "hash*->a", "none*", "hash1->*", "str*->a", "s*r1"],
            &["*", "hash1->*->x"],
        )),
        ("protocol-type", _) => Some((
            &[
                "string", "integer", "double", "null", "array", "set", "map", "true", "false",
                "bignum", "verbatim",
            ],
            &["nosuch"],
        )),
        ("threshold-size", _) => Some((&["x", "-1", "5000000000", "4gb"], &["", "1.5"])),
        ("by-pattern" | "get-pattern", _) => Some((SORT_PATTERNS, GLOBS)),
        ("timeout", "generic") => Some((&["1", "2"], &["-1", "x"])),
        ("timeout", _) => Some((TIMEOUTS, TIMEOUTS)),
        ("milliseconds", "stream") => Some((&["1", "2"], &["-1", "x"])),
        ("script", _) => Some((SCRIPTS, SCRIPTS)),
        ("sha1", _) if random.percent(80) => {
            return Some(Digest::of(random.pick(SCRIPTS).as_bytes()).as_bytes().to_vec());
        }
        ("sha1", _) => Some((&["ffffffffffffffffffffffffffffffffffffffff", "abc"], EDGES)),
        ("function-code", _) => Some((LIBRARIES, LIBRARIES)),
        ("function", _) => Some((&["f1", "f2", "f3", "f4"], &["nosuch"])),
        ("library-name" | "library-name-pattern", _) => {
            Some((&["one", "two", "three", "four", "*"], &["nosuch"]))
        }
        ("username", _) => Some((&["alice", "bob"], &["nosuch"])),
        ("password", _) => Some((&["secret"], &["", "wrong"])),
        ("rule", _) => Some((RULES, RULES)),
        ("command", _) => {
            Some((&["get", "SET", "xread", "nosuch", "mset", "eval"], &["config|get"]))
        }
        ("parameter", _) => Some((PARAMETERS, PARAMETERS)),
        (
            "index" | "index1" | "index2" | "db" | "destination-db",
            "connection" | "server" | "generic",
        ) => Some((&["0", "0", "1"], &["2", "15", "16", "-1", "x"])),
        ("protover", _) => Some((&["2", "3"], &["4", "x"])),
        ("client-id", _) => Some((&["99999999"], &["0", "-1", "x"])),
        ("type", "generic") => Some((&["string", "list", "set", "zset", "hash", "stream"], &["x"])),
        ("numreplicas", _) => Some((&["0"], &["x"])),
        ("numlocal", _) => Some((&["0", "1"], &["x", "2"])),
        ("cursor", _) => Some((&["0"], &["1", "x", "-1", "99999999999999999999999"])),
        // Redis takes an index for a list modulo 2 to the 32nd in some commands.
        ("index", "list") => Some((INTS, &["x", "", "2147483647", "1.5"])),
        ("rank", _) => Some((&["1", "2", "-1", "-2"], EDGES)),
        _ => None,
    };
    if let Some((good, bad)) = pools {
        return Some(mostly(random, good, bad));
    }
    Some(match name {
        "new-id" => new_id(random),
        "ttl" if random.percent(50) => b"0".to_vec(),
        // What overflows when the time is added to it is not defined.
        "ttl" => (100_000_000 + random.below(1_000_000)).to_string().into_bytes(),
        "seconds" | "milliseconds" => deadline(random, 100_000_000),
        "unix-time-seconds" => deadline(random, 2_000_000_000),
        "unix-time-milliseconds" => deadline(random, 2_000_000_000_000),
        "serialized-value" => payload(random),
        _ if name.starts_with("member") || matches!(name, "field" | "pivot") => {
            text(random, MEMBERS)
        }
        "element" => text(random, MEMBERS),
        _ => return None,
    })
}

fn of(random: &mut Random, words: &[&str]) -> Vec<u8> {
    random.pick(words).as_bytes().to_vec()
}

fn mostly(random: &mut Random, good: &[&str], bad: &[&str]) -> Vec<u8> {
    if random.percent(6) { of(random, bad) } else { of(random, good) }
}

/// Any bytes: mostly one of these, else a number, something long, or something binary.
fn text(random: &mut Random, common: &[&str]) -> Vec<u8> {
    match random.below(20) {
        0..13 => of(random, common),
        13..17 => random.below(400).to_string().into_bytes(),
        17 => {
            let (byte, length) = (b'a' + random.below(26) as u8, *random.pick(TEXT_SIZES));
            vec![byte; length]
        }
        18 => (random.next() as i64 >> random.below(63)).to_string().into_bytes(),
        _ => (0..random.below(24)).map(|_| random.next() as u8).collect(),
    }
}

/// A moment, or a time to it, of this size: far enough ahead whether it is meant in seconds or not.
fn deadline(random: &mut Random, size: usize) -> Vec<u8> {
    if random.percent(10) {
        return of(random, &["0", "-1", "x", "9223372036854775807", "-9223372036854775808", ""]);
    }
    (size + random.below(size)).to_string().into_bytes()
}

/// Mostly higher than all before it.
fn new_id(random: &mut Random) -> Vec<u8> {
    match random.below(20) {
        0 => of(random, BAD_IDS),
        1 | 2 => of(random, IDS),
        3 => of(random, &["9-*", "100-*", "0-*", "x-*"]),
        _ => format!("{}-{}", random.below(200), random.below(4)).into_bytes(),
    }
}

/// A payload of `DUMP`, in some cases a damaged one.
fn payload(random: &mut Random) -> Vec<u8> {
    let value = match random.below(4) {
        0 => perilune_keyspace::Value::string(b"restored"),
        1 => perilune_keyspace::Value::string(b"12345"),
        2 => {
            let mut list = List::new();
            list.push(End::Tail, &["a", "1", "-7"], &EncodingLimits::default());
            list.into_value()
        }
        _ => {
            let mut zset = ZSet::new();
            zset.add(b"a", 1.5, &EncodingLimits::default());
            zset.into_value()
        }
    };
    let mut payload = perilune_rdb::dump_payload(value.as_ref(), true);
    if random.percent(20) {
        let at = random.below(payload.len());
        payload[at] ^= 1 << random.below(8);
    }
    payload
}
