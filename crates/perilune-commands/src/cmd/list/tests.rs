//! List commands through an engine, the blocking ones first of all.

use crate::test_support::TestEngine;

const NO_ARRAY: &str = "*-1\r\n";

fn popped(key: &str, element: &str) -> String {
    format!("*2\r\n${}\r\n{key}\r\n${}\r\n{element}\r\n", key.len(), element.len())
}

#[test]
fn waiters_are_served_in_the_order_they_came() {
    let mut test = TestEngine::new();
    let (pusher, first, second) = (test.client(), test.client(), test.client());
    assert_eq!(test.run(first, "BLPOP k 0"), "");
    assert_eq!(test.run(second, "BRPOP k 0"), "");
    assert_eq!(test.run(pusher, "RPUSH k a"), ":1\r\n");
    assert_eq!((test.late(first), test.late(second)), (popped("k", "a"), String::new()));
    test.run(pusher, "RPUSH k b c");
    assert_eq!(test.late(second), popped("k", "c"));
    assert_eq!(test.run(pusher, "LLEN k"), ":1\r\n");
}

#[test]
fn a_transaction_is_over_before_waiters_see_it() {
    let mut test = TestEngine::new();
    let (pusher, waiter) = (test.client(), test.client());
    test.run(waiter, "BLPOP a b 0");
    for command in ["MULTI", "RPUSH b 1", "RPUSH a 2", "RPUSH c 3", "LPOP c", "EXEC"] {
        test.run(pusher, command);
    }
    // The order of the waiter's keys counts, not the order of the pushes.
    assert_eq!(test.late(waiter), popped("a", "2"));
    test.run(waiter, "BLPOP a 0");
    for command in ["MULTI", "RPUSH a 1", "LPOP a", "EXEC"] {
        test.run(pusher, command);
    }
    assert_eq!(test.late(waiter), "");
}

#[test]
fn inside_of_a_transaction_nobody_waits() {
    let mut test = TestEngine::new();
    let client = test.client();
    for command in ["MULTI", "BLPOP a 0", "BLMOVE a b LEFT LEFT 0", "BLMPOP 0 1 a LEFT"] {
        test.run(client, command);
    }
    assert_eq!(test.run(client, "EXEC"), "*3\r\n*-1\r\n$-1\r\n*-1\r\n");
}

#[test]
fn moves_wake_each_other() {
    let mut test = TestEngine::new();
    let (pusher, first, second) = (test.client(), test.client(), test.client());
    test.run(first, "BRPOPLPUSH a b 0");
    test.run(second, "BLMOVE b c LEFT RIGHT 0");
    test.run(pusher, "RPUSH a x");
    assert_eq!(test.late(first), "$1\r\nx\r\n");
    assert_eq!(test.late(second), "$1\r\nx\r\n");
    assert_eq!(test.run(pusher, "LRANGE c 0 -1"), "*1\r\n$1\r\nx\r\n");
}

#[test]
fn a_move_to_another_type_fails_and_leaves_the_element() {
    let mut test = TestEngine::new();
    let (pusher, waiter) = (test.client(), test.client());
    test.run(pusher, "HSET h f v");
    test.run(waiter, "BLMOVE a h LEFT LEFT 0");
    test.run(pusher, "RPUSH a x");
    assert!(test.late(waiter).starts_with("-WRONGTYPE "));
    assert_eq!(test.run(pusher, "LLEN a"), ":1\r\n");
}

#[test]
fn another_type_does_not_wake() {
    let mut test = TestEngine::new();
    let (pusher, waiter) = (test.client(), test.client());
    test.run(waiter, "BLPOP a b 0");
    test.run(pusher, "HSET a f v");
    assert_eq!(test.late(waiter), "");
    // Woken by `b`, it finds the wrong type under the key it asks for first.
    test.run(pusher, "RPUSH b x");
    assert!(test.late(waiter).starts_with("-WRONGTYPE "));
}

#[test]
fn waiting_ends_in_time() {
    let mut test = TestEngine::new();
    let client = test.client();
    assert_eq!(test.run(client, "BLPOP a 0.5"), "");
    test.pass_ms(499);
    assert_eq!(test.late(client), "");
    test.pass_ms(1);
    assert_eq!(test.late(client), NO_ARRAY);
    assert_eq!(test.run(client, "BLMOVE a b LEFT LEFT 0.0001"), "");
    test.pass_ms(1);
    assert_eq!(test.late(client), NO_ARRAY);
    for (timeout, error) in [
        ("x", "-ERR timeout is not a float or out of range\r\n"),
        ("-0.5", "-ERR timeout is negative\r\n"),
        ("-1", "-ERR timeout is negative\r\n"),
        ("inf", "-ERR timeout is out of range\r\n"),
        ("9223372036854775", "-ERR timeout is out of range\r\n"),
    ] {
        let other = test.client();
        let reply = test.run(other, &format!("BLPOP a {timeout}"));
        assert_eq!(reply, error, "{timeout}");
    }
}

#[test]
fn a_command_that_waits_counts_once() {
    let mut test = TestEngine::new();
    let (pusher, waiter) = (test.client(), test.client());
    let calls = |test: &TestEngine| {
        let commands = &test.engine.commands;
        commands.by_name(b"blpop").map(|id| commands.get(id).stats.calls)
    };
    test.run(waiter, "BLPOP a 1");
    assert_eq!(calls(&test), Some(0));
    test.run(pusher, "RPUSH a x");
    assert_eq!(calls(&test), Some(1));
    test.run(waiter, "BLPOP a 1");
    test.pass_ms(1000);
    assert_eq!((test.late(waiter), calls(&test)), (NO_ARRAY.to_owned(), Some(2)));
}

#[test]
fn a_skipped_reply_stays_skipped_after_the_wait() {
    let mut test = TestEngine::new();
    let (pusher, waiter) = (test.client(), test.client());
    test.run(waiter, "CLIENT REPLY SKIP");
    test.run(waiter, "BLPOP a 0");
    test.run(pusher, "RPUSH a x");
    assert_eq!(test.late(waiter), "");
    assert_eq!(test.run(waiter, "PING"), "+PONG\r\n");
}

#[test]
fn a_list_that_is_emptied_is_gone() {
    let mut test = TestEngine::new();
    let client = test.client();
    for emptying in ["LPOP k 5", "LREM k 0 x", "LTRIM k 1 0", "LMPOP 1 k LEFT COUNT 9"] {
        test.run(client, "RPUSH k x x");
        test.run(client, emptying);
        assert_eq!(test.run(client, "RPUSHX k y"), ":0\r\n", "after {emptying}");
    }
}

#[test]
fn a_list_can_be_rotated() {
    let mut test = TestEngine::new();
    let client = test.client();
    test.run(client, "RPUSH k a");
    assert_eq!(test.run(client, "RPOPLPUSH k k"), "$1\r\na\r\n");
    test.run(client, "RPUSH k b");
    assert_eq!(test.run(client, "LMOVE k k LEFT RIGHT"), "$1\r\na\r\n");
    assert_eq!(test.run(client, "LRANGE k 0 -1"), "*2\r\n$1\r\nb\r\n$1\r\na\r\n");
}

#[test]
fn arguments_are_judged_in_order() {
    let mut test = TestEngine::new();
    let client = test.client();
    for (command, error) in [
        ("LPOP k x", "ERR value is out of range, must be positive"),
        ("LMPOP 0 k LEFT", "ERR numkeys should be greater than 0"),
        ("LMPOP 2 k LEFT", "ERR syntax error"),
        ("LMPOP 1 k LEFT COUNT 0", "ERR count should be greater than 0"),
        ("LMPOP 1 k LEFT COUNT 1 COUNT 1", "ERR syntax error"),
        ("LPOS k e COUNT -1 RANK 0", "ERR COUNT can't be negative"),
        ("LPOS k e MAXLEN", "ERR syntax error"),
        ("LSET k x e", "ERR no such key"),
        ("LINSERT k UPON p e", "ERR syntax error"),
        ("LMOVE k k UP LEFT", "ERR syntax error"),
    ] {
        assert_eq!(test.run(client, command), format!("-{error}\r\n"), "{command}");
    }
    // The index of a list that does not exist is not looked at.
    assert_eq!(test.run(client, "LINDEX k x"), "$-1\r\n");
}

#[test]
fn a_key_named_twice_is_waited_for_once() {
    let mut test = TestEngine::new();
    let (pusher, waiter) = (test.client(), test.client());
    test.run(waiter, "BLPOP a b a b 0");
    assert_eq!((test.engine.waiters.keys(), test.engine.waiters.clients()), (2, 1));
    test.run(pusher, "RPUSH a x y");
    assert_eq!(test.late(waiter), popped("a", "x"));
    assert_eq!(test.engine.waiters.keys(), 0);
}

#[test]
fn a_key_watched_twice_is_watched_once() {
    let mut test = TestEngine::new();
    let client = test.client();
    test.run(client, "WATCH a b a");
    test.run(client, "WATCH a");
    assert_eq!(test.engine.watchers.values().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
    test.run(client, "UNWATCH");
    assert!(test.engine.watchers.is_empty());
}
