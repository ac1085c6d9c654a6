//! String commands through an engine.

use crate::test_support::TestEngine;

const OK: &str = "+OK\r\n";
const NULL: &str = "$-1\r\n";

#[test]
fn set_keeps_replaces_or_clears_the_time_to_live() {
    let mut test = TestEngine::new();
    let client = test.client();
    test.run(client, "SET k a EX 10");
    test.run(client, "SET k b KEEPTTL");
    assert_eq!(test.run(client, "TTL k"), ":10\r\n");
    test.run(client, "SET k c");
    assert_eq!(test.run(client, "TTL k"), ":-1\r\n");
    test.run(client, "SET k d PX 1500");
    test.pass_ms(1499);
    assert_eq!(test.run(client, "GET k"), "$1\r\nd\r\n");
    test.pass_ms(2);
    assert_eq!(test.run(client, "GET k"), NULL);
}

#[test]
fn set_answers_for_its_conditions() {
    let mut test = TestEngine::new();
    let client = test.client();
    assert_eq!(test.run(client, "SET k a XX"), NULL);
    assert_eq!(test.run(client, "SET k a NX"), OK);
    assert_eq!(test.run(client, "SET k b NX"), NULL);
    assert_eq!(test.run(client, "SET k b NX GET"), "$1\r\na\r\n");
    assert_eq!(test.run(client, "SET k b XX GET"), "$1\r\na\r\n");
    assert_eq!(test.run(client, "GET k"), "$1\r\nb\r\n");
    for options in ["NX XX", "EX 1 PX 1", "EX 1 KEEPTTL", "KEEPTTL EX 1", "EX", "PERSIST"] {
        assert_eq!(test.run(client, &format!("SET k c {options}")), "-ERR syntax error\r\n");
    }
    for options in ["EX 0", "PX -1", "EX 9223372036854775807", "PX 9223372036854775807"] {
        let reply = test.run(client, &format!("SET k c {options}"));
        assert_eq!(reply, "-ERR invalid expire time in 'set' command\r\n", "{options}");
    }
    assert_eq!(test.run(client, "GET k"), "$1\r\nb\r\n");
}

#[test]
fn getex_changes_only_the_time_to_live() {
    let mut test = TestEngine::new();
    let client = test.client();
    test.run(client, "SET k a");
    assert_eq!(test.run(client, "GETEX k EX 100"), "$1\r\na\r\n");
    test.run(client, "GETEX k");
    assert_eq!(test.run(client, "TTL k"), ":100\r\n");
    test.run(client, "GETEX k PERSIST");
    assert_eq!(test.run(client, "TTL k"), ":-1\r\n");
    assert_eq!(test.run(client, "GETEX k PXAT 1"), "$1\r\na\r\n");
    assert_eq!(test.run(client, "EXISTS k"), ":0\r\n");
}

#[test]
fn a_string_changed_in_place_is_raw_until_it_is_a_number_again() {
    let mut test = TestEngine::new();
    let client = test.client();
    assert_eq!(test.run(client, "APPEND k 12"), ":2\r\n");
    assert_eq!(test.run(client, "OBJECT ENCODING k"), "$3\r\nint\r\n");
    assert_eq!(test.run(client, "APPEND k 3"), ":3\r\n");
    assert_eq!(test.run(client, "OBJECT ENCODING k"), "$3\r\nraw\r\n");
    assert_eq!(test.run(client, "INCRBY k 7"), ":130\r\n");
    assert_eq!(test.run(client, "OBJECT ENCODING k"), "$3\r\nint\r\n");
    assert_eq!(test.run(client, "INCRBYFLOAT k 1"), "$3\r\n131\r\n");
    assert_eq!(test.run(client, "OBJECT ENCODING k"), "$6\r\nembstr\r\n");
    assert_eq!(test.run(client, "SETRANGE k 5 x"), ":6\r\n");
    assert_eq!(test.run(client, "GET k"), "$6\r\n131\0\0x\r\n");
}

#[test]
fn sums_that_leave_64_bits_change_nothing() {
    let mut test = TestEngine::new();
    let client = test.client();
    let overflow = "-ERR increment or decrement would overflow\r\n";
    test.run(client, "SET k 9223372036854775807");
    assert_eq!(test.run(client, "INCR k"), overflow);
    assert_eq!(test.run(client, "DECRBY k -1"), overflow);
    let no_negative = "-ERR decrement would overflow\r\n";
    assert_eq!(test.run(client, "DECRBY k -9223372036854775808"), no_negative);
    assert_eq!(test.run(client, "GET k"), "$19\r\n9223372036854775807\r\n");
    test.run(client, "SET k 011");
    assert_eq!(test.run(client, "INCR k"), "-ERR value is not an integer or out of range\r\n");
}

#[test]
fn msetnx_stores_all_or_nothing() {
    let mut test = TestEngine::new();
    let client = test.client();
    assert_eq!(test.run(client, "MSETNX a 1 b 2 a 3"), ":1\r\n");
    assert_eq!(test.run(client, "MSETNX c 1 b 2"), ":0\r\n");
    assert_eq!(test.run(client, "MGET a b c"), "*3\r\n$1\r\n3\r\n$1\r\n2\r\n$-1\r\n");
    let arity = "-ERR wrong number of arguments for 'mset' command\r\n";
    assert_eq!(test.run(client, "MSET a 1 b"), arity);
}

#[test]
fn other_types_are_refused_and_kept() {
    let mut test = TestEngine::new();
    let client = test.client();
    test.run(client, "RPUSH l a");
    let commands = ["GET l", "SET l x GET", "GETSET l x", "GETDEL l", "GETEX l PERSIST", "INCR l"];
    let more = ["APPEND l x", "STRLEN l", "SETRANGE l 0 x", "GETRANGE l 0 1", "INCRBYFLOAT l 1"];
    for command in commands.iter().chain(&more) {
        assert!(test.run(client, command).starts_with("-WRONGTYPE"), "{command}");
    }
    assert_eq!(test.run(client, "LLEN l"), ":1\r\n");
}
