//! The argument notation, word by word.

use super::*;

fn one(notation: &str) -> ArgSpec<'_> {
    let mut args = parse(notation).expect(notation);
    assert_eq!(args.len(), 1, "{notation}");
    args.remove(0)
}

#[test]
fn types_follow_a_colon() {
    for (notation, kind) in [
        ("value", ArgKind::String),
        ("value:int", ArgKind::Integer),
        ("value:double", ArgKind::Double),
        ("value:key", ArgKind::Key),
        ("value:pattern", ArgKind::Pattern),
        ("value:unix-time", ArgKind::UnixTime),
    ] {
        let arg = one(notation);
        assert_eq!((&*arg.name, arg.kind, arg.token), ("value", kind, None));
    }
}

#[test]
fn words_stand_alone_or_introduce() {
    let alone = one("KEEPTTL");
    assert_eq!((&*alone.name, alone.token), ("keepttl", Some("KEEPTTL")));
    assert_eq!(alone.kind, ArgKind::PureToken);
    let renamed = one("change:'CH'");
    assert_eq!((&*renamed.name, renamed.token), ("change", Some("CH")));
    assert_eq!(renamed.kind, ArgKind::PureToken);
    let behind = one("LIB-NAME libname");
    assert_eq!((&*behind.name, behind.token), ("libname", Some("LIB-NAME")));
    assert_eq!(behind.kind, ArgKind::String);
    assert_eq!(one("empty:''").token, Some(""));
}

#[test]
fn a_key_belongs_to_the_first_spec_unless_numbered() {
    assert_eq!(one("a:key").key_spec, Some(0));
    assert_eq!(one("a:key#2").key_spec, Some(2));
    assert_eq!(one("a:pattern#1").key_spec, Some(1));
    assert_eq!(one("a").key_spec, None);
}

#[test]
fn repetition_may_include_the_word() {
    let plain = one("[WEIGHTS weight:int...]");
    assert!(plain.optional && plain.multiple && !plain.multiple_token);
    let worded = one("[GET pattern]...");
    assert!(worded.optional && worded.multiple && worded.multiple_token);
    let required = one("key:key...");
    assert!(!required.optional && required.multiple && !required.multiple_token);
}

#[test]
fn all_marks_together() {
    let arg = one("[KEYS keys:key#1<key>@3.0.6...]");
    assert_eq!((arg.since, arg.display, arg.key_spec), (Some("3.0.6"), Some("key"), Some(1)));
    assert!(arg.multiple && arg.optional);
    let old = one("old-format<ip:port>@1.0.0!2.8.12");
    assert_eq!((old.since, old.deprecated_since), (Some("1.0.0"), Some("2.8.12")));
}

#[test]
fn alternatives_and_blocks_nest() {
    let arg = one("filter@7.0.0=(old|new={[ID id:int] [TYPE type=(A|B)]})");
    assert_eq!(arg.since, Some("7.0.0"));
    let ArgKind::OneOf(ways) = arg.kind else { panic!("alternatives") };
    let ArgKind::Block(block) = &ways[1].kind else { panic!("a block") };
    assert!(matches!(&block[1].kind, ArgKind::OneOf(types) if types.len() == 2));
}

#[test]
fn malformed_notation_is_refused() {
    for notation in
        [" ", "a  b", "a:", "a:float", "[a", "a]", "a=(b", "a={b", "a:'x", "a#", "a@", "a@x", "a<b"]
    {
        assert!(parse(notation).is_err(), "{notation}");
    }
    let deep = "a=(".repeat(1000);
    assert!(parse(&deep).is_err());
}

#[test]
fn synopsis_reads_like_a_call() {
    for (name, notation, shown) in [
        ("dbsize", "", "DBSIZE"),
        ("config|get", "parameter...", "CONFIG GET parameter [parameter ...]"),
        (
            "set",
            "key:key value [condition=(NX|XX)] [GET] [expiration=(EX seconds:int|KEEPTTL)]",
            "SET key value [NX | XX] [GET] [EX seconds | KEEPTTL]",
        ),
        ("linsert", "where=(BEFORE|AFTER) pivot", "LINSERT <BEFORE | AFTER> pivot"),
        ("mset", "data={key:key value}...", "MSET key value [key value ...]"),
        (
            "sort",
            "[LIMIT limit={offset:int count:int}] [GET get<pattern>]...",
            "SORT [LIMIT offset count] [GET pattern [GET pattern ...]]",
        ),
        ("zunion", "[AGGREGATE how=(SUM|MIN)]", "ZUNION [AGGREGATE <SUM | MIN>]"),
        ("migrate", "which=(key:key|empty-string:'')", "MIGRATE <key | \"\">"),
    ] {
        assert_eq!(synopsis(name, notation).as_deref(), Ok(shown));
    }
}
