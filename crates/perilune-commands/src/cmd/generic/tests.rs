//! Keys, expiry, `SCAN`, `SORT` and whole databases through an engine.

use crate::test_support::TestEngine;
use std::collections::BTreeSet;

#[test]
fn a_rename_takes_the_time_to_live_along() {
    let mut test = TestEngine::new();
    let client = test.client();
    test.run(client, "SET a 1 EX 100");
    test.run(client, "SET b 2");
    assert_eq!(test.run(client, "RENAMENX a b"), ":0\r\n");
    assert_eq!(test.run(client, "RENAME a b"), "+OK\r\n");
    assert_eq!(test.run(client, "TTL b"), ":100\r\n");
    assert_eq!(test.run(client, "EXISTS a b b"), ":2\r\n");
    assert_eq!(test.run(client, "RENAME a b"), "-ERR no such key\r\n");
}

#[test]
fn copies_and_moves_reach_other_databases() {
    let mut test = TestEngine::new();
    let client = test.client();
    test.run(client, "SET a 1 EX 100");
    assert_eq!(
        test.run(client, "COPY a a"),
        "-ERR source and destination objects are the same\r\n"
    );
    assert_eq!(test.run(client, "COPY a a DB 1"), ":1\r\n");
    assert_eq!(test.run(client, "MOVE a 1"), ":0\r\n");
    assert_eq!(test.run(client, "COPY a b DB 1 REPLACE"), ":1\r\n");
    assert_eq!(test.run(client, "MOVE a 2"), ":1\r\n");
    assert_eq!(test.run(client, "COPY a b DB 16"), "-ERR DB index is out of range\r\n");
    assert_eq!(test.run(client, "DBSIZE"), ":0\r\n");
    test.run(client, "SELECT 2");
    assert_eq!(test.run(client, "TTL a"), ":100\r\n");
    test.run(client, "SWAPDB 2 1");
    assert_eq!(test.run(client, "DBSIZE"), ":2\r\n");
}

#[test]
fn an_expiry_in_the_past_deletes() {
    let mut test = TestEngine::new();
    let client = test.client();
    for command in ["EXPIRE k 0", "PEXPIRE k -1", "EXPIREAT k 1", "PEXPIREAT k 1"] {
        test.run(client, "SET k v");
        assert_eq!(test.run(client, command), ":1\r\n");
        assert_eq!(test.run(client, "EXISTS k"), ":0\r\n", "{command}");
    }
    assert_eq!(test.run(client, "TTL k"), ":-2\r\n");
}

#[test]
fn expired_keys_are_in_no_listing() {
    let mut test = TestEngine::new();
    let client = test.client();
    test.run(client, "SET gone 1 PX 10");
    test.run(client, "SET here 1");
    test.pass_ms(11);
    assert_eq!(test.run(client, "KEYS *"), "*1\r\n$4\r\nhere\r\n");
    assert_eq!(test.run(client, "SCAN 0"), "*2\r\n$1\r\n0\r\n*1\r\n$4\r\nhere\r\n");
    assert_eq!(test.run(client, "RANDOMKEY"), "$4\r\nhere\r\n");
}

#[test]
fn a_full_scan_finds_every_key() {
    let mut test = TestEngine::new();
    let client = test.client();
    let mut left: BTreeSet<String> = (0..1000).map(|i| format!("key:{i}")).collect();
    for key in &left {
        test.run(client, &format!("SET {key} 1"));
    }
    let mut cursor = String::from("0");
    loop {
        let reply = test.run(client, &format!("SCAN {cursor} COUNT 7"));
        let mut lines = reply.lines().skip(2);
        cursor = lines.next().unwrap_or("0").to_owned();
        lines.for_each(|line| {
            left.remove(line);
        });
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(left, BTreeSet::new());
}

#[test]
fn flushes_and_swaps_break_watches_of_keys_that_change() {
    for (command, broken) in [("FLUSHALL", true), ("SWAPDB 0 1", true), ("SWAPDB 2 3", false)] {
        let mut test = TestEngine::new();
        let (client, other) = (test.client(), test.client());
        test.run(client, "SET k v");
        for words in ["WATCH k", "MULTI", "PING"] {
            test.run(client, words);
        }
        test.run(other, command);
        let reply = test.run(client, "EXEC");
        assert_eq!(reply == "*-1\r\n", broken, "{command}: {reply}");
    }
}

#[test]
fn sort_follows_patterns() {
    let mut test = TestEngine::new();
    let client = test.client();
    test.run(client, "RPUSH l 1 2 3");
    test.run(client, "MSET w_1 30 w_2 20 w_3 10 name_3 three");
    test.run(client, "HSET h_1 f one");
    let by = "*3\r\n$1\r\n3\r\n$1\r\n2\r\n$1\r\n1\r\n";
    assert_eq!(test.run(client, "SORT l BY w_*"), by);
    assert_eq!(test.run(client, "SORT l DESC"), by);
    let get = test.run(client, "SORT l GET h_*->f GET name_* LIMIT 0 1");
    assert_eq!(get, "*2\r\n$3\r\none\r\n$-1\r\n");
    assert_eq!(test.run(client, "SORT l BY w_* GET name_* STORE dst"), ":3\r\n");
    assert_eq!(test.run(client, "LINDEX dst 0"), "$5\r\nthree\r\n");
    assert_eq!(test.run(client, "SORT nothing STORE dst"), ":0\r\n");
    assert_eq!(test.run(client, "EXISTS dst"), ":0\r\n");
    let refused = "-ERR One or more scores can't be converted into double\r\n";
    assert_eq!(test.run(client, "SORT l BY name_*"), refused);
}

#[test]
fn waiting_for_replicas_ends_with_the_timeout() {
    let mut test = TestEngine::new();
    let client = test.client();
    assert_eq!(test.run(client, "WAIT 0 0"), ":0\r\n");
    assert_eq!(test.run(client, "WAIT 1 50"), "");
    test.pass_ms(51);
    assert_eq!(test.late(client), ":0\r\n");
    for command in ["MULTI", "WAIT 1 0", "WAITAOF 0 1 0"] {
        test.run(client, command);
    }
    assert!(test.run(client, "EXEC").starts_with("*2\r\n:0\r\n*2\r\n"));
}
