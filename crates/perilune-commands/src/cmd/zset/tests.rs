//! Sorted set commands through an engine.

use crate::session::ClientSlot;
use crate::test_support::TestEngine;

const NO_ARRAY: &str = "*-1\r\n";

fn engine() -> (TestEngine, ClientSlot) {
    let mut test = TestEngine::new();
    let client = test.client();
    (test, client)
}

/// A reply of RESP2 bulk strings.
fn bulks(texts: &[&str]) -> String {
    let bulk = |text: &&str| format!("${}\r\n{text}\r\n", text.len());
    format!("*{}\r\n{}", texts.len(), texts.iter().map(bulk).collect::<String>())
}

#[test]
fn zadd_options_decide_what_is_added_and_counted() {
    let (mut test, client) = engine();
    for (command, reply) in [
        ("ZADD z XX 1 a", ":0\r\n"),
        ("EXISTS z", ":0\r\n"),
        ("ZADD z 1 a 2 b", ":2\r\n"),
        ("ZADD z NX 9 a 3 c", ":1\r\n"),
        ("ZADD z XX CH 5 a 6 d", ":1\r\n"),
        ("ZADD z GT CH 4 a 7 b 8 e", ":2\r\n"),
        ("ZADD z LT INCR 1 a", "$-1\r\n"),
        ("ZADD z INCR 1.5 a", "$3\r\n6.5\r\n"),
        ("ZADD z INCR 1 a 2 b", "-ERR INCR option supports a single increment-element pair\r\n"),
        ("ZADD z 1 a x b", "-ERR value is not a valid float\r\n"),
        ("ZADD z +inf i", ":1\r\n"),
        ("ZINCRBY z -inf i", "-ERR resulting score is not a number (NaN)\r\n"),
        ("ZCARD z", ":5\r\n"),
    ] {
        assert_eq!(test.run(client, command), reply, "{command}");
    }
}

#[test]
fn ranges_by_rank_score_and_name() {
    let (mut test, client) = engine();
    test.run(client, "ZADD z 1 a 2 b 3 c 4 d");
    for (command, members) in [
        ("ZRANGE z 1 -2", &["b", "c"][..]),
        ("ZRANGE z 0 1 REV WITHSCORES", &["d", "4", "c", "3"]),
        ("ZRANGE z (1 3 BYSCORE", &["b", "c"]),
        ("ZRANGE z +inf (1 BYSCORE REV LIMIT 1 1", &["c"]),
        ("ZREVRANGEBYSCORE z 4 1 LIMIT 0 -1", &["d", "c", "b", "a"]),
        ("ZRANGEBYSCORE z 1 4 LIMIT -1 10", &[]),
        ("ZRANGE z 3 1", &[]),
    ] {
        assert_eq!(test.run(client, command), bulks(members), "{command}");
    }
    test.run(client, "ZADD n 0 a 0 b 0 c");
    assert_eq!(test.run(client, "ZRANGEBYLEX n (a +"), bulks(&["b", "c"]));
    assert_eq!(test.run(client, "ZREVRANGEBYLEX n [b -"), bulks(&["b", "a"]));
    assert_eq!(test.run(client, "ZLEXCOUNT n - [b"), ":2\r\n");
}

#[test]
fn resp3_pairs_members_with_doubles() {
    let (mut test, client) = engine();
    test.run(client, "HELLO 3");
    test.run(client, "ZADD z 1.5 a 2 b");
    let pairs = "*2\r\n*2\r\n$1\r\na\r\n,1.5\r\n*2\r\n$1\r\nb\r\n,2\r\n";
    assert_eq!(test.run(client, "ZRANGE z 0 -1 WITHSCORES"), pairs);
    assert_eq!(test.run(client, "ZUNION 1 z WITHSCORES"), pairs);
    assert_eq!(test.run(client, "ZPOPMIN z"), "*2\r\n$1\r\na\r\n,1.5\r\n");
    assert_eq!(test.run(client, "ZPOPMIN z 5"), "*1\r\n*2\r\n$1\r\nb\r\n,2\r\n");
    assert_eq!(test.run(client, "EXISTS z"), ":0\r\n");
}

#[test]
fn set_operations_weigh_and_aggregate() {
    let (mut test, client) = engine();
    test.run(client, "ZADD x 1 a 2 b -inf i");
    test.run(client, "ZADD y 10 b 20 c inf i");
    for (command, reply) in [
        ("ZUNION 2 x y WITHSCORES", &["i", "0", "a", "1", "b", "12", "c", "20"][..]),
        ("ZINTER 2 x y WEIGHTS 3 1 AGGREGATE MAX WITHSCORES", &["b", "10", "i", "inf"]),
        ("ZINTER 2 x y WEIGHTS 0 0 WITHSCORES", &["b", "0", "i", "0"]),
        ("ZDIFF 2 x y WITHSCORES", &["a", "1"]),
        ("ZDIFF 2 x x", &[]),
    ] {
        assert_eq!(test.run(client, command), bulks(reply), "{command}");
    }
    assert_eq!(test.run(client, "ZINTERCARD 2 x y LIMIT 1"), ":1\r\n");
    assert_eq!(test.run(client, "ZUNIONSTORE x 2 x y"), ":4\r\n");
    assert_eq!(test.run(client, "ZDIFFSTORE x 2 x x"), ":0\r\n");
    assert_eq!(test.run(client, "EXISTS x"), ":0\r\n");
    let none = "-ERR at least 1 input key is needed for 'zunion' command\r\n";
    assert_eq!(test.run(client, "ZUNION 0 x"), none);
}

#[test]
fn many_small_inputs_subtract_as_few_do() {
    let (mut test, client) = engine();
    let members: String = (0..50).map(|i| format!(" {i} m{i}")).collect();
    test.run(client, &format!("ZADD big{members}"));
    let keys: String = (0..48).map(|i| format!(" k{i}")).collect();
    for i in 0..48 {
        test.run(client, &format!("ZADD k{i} 1 m{i}"));
    }
    assert_eq!(test.run(client, &format!("ZDIFF 49 big{keys}")), bulks(&["m48", "m49"]));
}

#[test]
fn waiters_get_what_arrives_and_not_twice() {
    let (mut test, client) = engine();
    let (first, second) = (test.client(), test.client());
    assert_eq!(test.run(first, "BZPOPMAX a b 0"), "");
    assert_eq!(test.run(second, "BZMPOP 0.5 1 b MIN COUNT 2"), "");
    assert_eq!(test.run(client, "ZADD b 1 x"), ":1\r\n");
    assert_eq!(test.late(first), bulks(&["b", "x", "1"]));
    assert_eq!(test.late(second), "");
    test.pass_ms(501);
    assert_eq!(test.late(second), NO_ARRAY);
    for command in ["MULTI", "BZPOPMIN a 0", "BZMPOP 0 1 a MIN"] {
        test.run(client, command);
    }
    assert_eq!(test.run(client, "EXEC"), format!("*2\r\n{NO_ARRAY}{NO_ARRAY}"));
}

#[test]
fn random_members_are_members_and_the_scan_sees_all() {
    let (mut test, client) = engine();
    test.run(client, "ZADD z 1 a 2 b 0.1 c");
    assert_eq!(test.run(client, "ZRANDMEMBER z 9"), bulks(&["b", "a", "c"]));
    assert!(test.run(client, "ZRANDMEMBER z -5 WITHSCORES").starts_with("*10\r\n"));
    let all = format!("*2\r\n$1\r\n0\r\n{}", bulks(&["c", "0.1", "a", "1", "b", "2"]));
    assert_eq!(test.run(client, "ZSCAN z 0"), all);
}
