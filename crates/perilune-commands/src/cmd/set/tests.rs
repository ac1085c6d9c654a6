//! Set commands through an engine.

use crate::test_support::TestEngine;

fn check(cases: &[(&str, &str)]) {
    let mut test = TestEngine::new();
    let client = test.client();
    for (command, reply) in cases {
        assert_eq!(test.run(client, command), reply.replace(' ', "\r\n") + "\r\n", "{command}");
    }
}

fn filled(sets: &[(&str, &str)]) -> TestEngine {
    let mut test = TestEngine::new();
    let client = test.client();
    for (key, members) in sets {
        test.run(client, &format!("SADD {key} {members}"));
    }
    test
}

#[test]
fn a_set_lives_as_long_as_it_has_members() {
    check(&[
        ("SADD s 1 2 1", ":2"),
        ("SREM s 1 9", ":1"),
        ("SMOVE s t 2", ":1"),
        ("EXISTS s", ":0"),
        ("SPOP t", "$1 2"),
        ("EXISTS t", ":0"),
        ("SADD t a", ":1"),
        ("SPOP t 7", "*1 $1 a"),
        ("EXISTS t", ":0"),
        ("SPOP t", "$-1"),
        ("SPOP t 1", "*0"),
    ]);
}

#[test]
fn a_random_reply_ends_where_its_client_is_cut_off() {
    let mut test = filled(&[("s", "a b c")]);
    let client = test.client();
    let too_many = "SRANDMEMBER s -999999999";
    assert_eq!(test.run(client, too_many), "-ERR value is out of range\r\n");
    test.run_words(client, &[b"CONFIG", b"SET", b"client-output-buffer-limit", b"normal 1000 0 0"]);
    assert!(test.run(client, "SRANDMEMBER s -100").starts_with("*100\r\n"));
    assert!(test.run(client, too_many).len() < 100_000);
    assert!(test.engine.sessions.get(client).is_some_and(|session| session.killed));
    assert_eq!(test.engine.stats.output_limit_disconnections, 1);
}

#[test]
fn sets_are_compared() {
    check(&[
        ("SADD a 1 2 3", ":3"),
        ("SADD b 2 3 4", ":3"),
        ("SADD c 3 x", ":2"),
        ("SINTER a b c", "*1 $1 3"),
        ("SINTER a none", "*0"),
        ("SINTERCARD 2 a b LIMIT 1", ":1"),
        ("SINTERCARD 2 a b", ":2"),
        ("SUNION a b", "*4 $1 1 $1 2 $1 3 $1 4"),
        ("SDIFF a b c", "*1 $1 1"),
        ("SDIFF a none a", "*0"),
        ("SDIFF none a", "*0"),
        ("SDIFFSTORE a a b", ":1"),
        ("SMEMBERS a", "*1 $1 1"),
        ("SINTERSTORE b a b", ":0"),
        ("EXISTS b", ":0"),
    ]);
}

#[test]
fn both_ways_to_a_difference_agree() {
    // One large and many small sets: walking all of them is less work than asking each.
    let mut test = filled(&[("large", "1 2 3 4 5 6 7 8 9 10 11 12")]);
    let client = test.client();
    for number in 1..=10 {
        test.run(client, &format!("SADD small{number} {number}"));
    }
    let smalls: String = (1..=10).map(|number| format!(" small{number}")).collect();
    let walked = test.run(client, &format!("SDIFF large{smalls}"));
    assert_eq!(walked, "*2\r\n$2\r\n11\r\n$2\r\n12\r\n");
    test.run(client, &format!("SUNIONSTORE all{smalls}"));
    assert_eq!(test.run(client, "SDIFF large all"), walked);
}

#[test]
fn a_stored_intersection_of_integers_is_an_intset() {
    let mut test = filled(&[("a", "1 2 x"), ("b", "1 2 y")]);
    let client = test.client();
    assert_eq!(test.run(client, "SINTERSTORE c a b"), ":2\r\n");
    assert_eq!(test.run(client, "OBJECT ENCODING c"), "$6\r\nintset\r\n");
    assert_eq!(test.run(client, "SUNIONSTORE c a b"), ":4\r\n");
    assert_eq!(test.run(client, "OBJECT ENCODING c"), "$8\r\nlistpack\r\n");
}

#[test]
fn counts_that_make_no_sense_are_refused() {
    let mut test = filled(&[("s", "a")]);
    let client = test.client();
    for (command, error) in [
        ("SPOP s -1", "-ERR value is out of range, must be positive\r\n"),
        ("SPOP s x", "-ERR value is out of range, must be positive\r\n"),
        ("SPOP s 1 2", "-ERR syntax error\r\n"),
        ("SRANDMEMBER s x", "-ERR value is not an integer or out of range\r\n"),
        ("SRANDMEMBER s -9000000000000000000", "-ERR value is out of range\r\n"),
        ("SINTERCARD 0 s", "-ERR numkeys should be greater than 0\r\n"),
        ("SINTERCARD 2 s", "-ERR Number of keys can't be greater than number of args\r\n"),
        ("SINTERCARD 1 s LIMIT -1", "-ERR LIMIT can't be negative\r\n"),
        ("SINTERCARD 1 s LIMIT", "-ERR syntax error\r\n"),
    ] {
        assert_eq!(test.run(client, command), error, "{command}");
    }
    assert_eq!(test.run(client, "SCARD s"), ":1\r\n");
}

#[test]
fn resp3_tells_sets_from_arrays() {
    let mut test = filled(&[("s", "a")]);
    let client = test.client();
    test.run(client, "HELLO 3");
    for (command, reply) in [
        ("SMEMBERS s", "~1\r\n$1\r\na\r\n"),
        ("SINTER s s", "~1\r\n$1\r\na\r\n"),
        ("SUNION s none", "~1\r\n$1\r\na\r\n"),
        ("SDIFF none s", "~0\r\n"),
        ("SRANDMEMBER s 2", "*1\r\n$1\r\na\r\n"),
        ("SMISMEMBER s a b", "*2\r\n:1\r\n:0\r\n"),
        ("SPOP s 1", "~1\r\n$1\r\na\r\n"),
        ("SPOP s 1", "~0\r\n"),
        ("SRANDMEMBER s", "_\r\n"),
    ] {
        assert_eq!(test.run(client, command), reply, "{command}");
    }
}
