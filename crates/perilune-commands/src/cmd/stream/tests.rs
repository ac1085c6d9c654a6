//! What the commands on streams answer, to one client and to several.

use crate::test_support::TestEngine;

/// An engine whose client has run these commands, and what the last one answered, with spaces for
/// the ends of lines and without lengths of strings.
fn answers(commands: &[&str]) -> String {
    let mut test = TestEngine::new();
    let client = test.client();
    let mut last = String::new();
    for command in commands {
        last = test.run(client, command);
    }
    plain(&last)
}

fn plain(reply: &str) -> String {
    let words: Vec<&str> = reply
        .split("\r\n")
        .filter(|word| !word.is_empty() && (!word.starts_with('$') || *word == "$-1"))
        .collect();
    words.join(" ")
}

#[test]
fn ids_are_chosen_and_never_fall_back() {
    assert_eq!(answers(&["XADD s * f v"]), "1000000000-0");
    assert_eq!(answers(&["XADD s * f v", "XADD s * f v"]), "1000000000-1");
    assert_eq!(answers(&["XADD s 2000000000-5 f v", "XADD s * f v"]), "2000000000-6");
    assert_eq!(answers(&["XADD s 5-* f v", "XADD s 5-* f v"]), "5-1");
    assert_eq!(
        answers(&["XADD s 5-5 f v", "XADD s 5-5 f v"]),
        "-ERR The ID specified in XADD is equal or smaller than the target stream top item"
    );
    assert_eq!(
        answers(&["XADD s 0-0 f v"]),
        "-ERR The ID specified in XADD must be greater than 0-0"
    );
    assert_eq!(answers(&["XADD s NOMKSTREAM * f v", "EXISTS s"]), ":0");
    assert_eq!(answers(&["XADD s * f v g"]), "-ERR wrong number of arguments for 'xadd' command");
}

#[test]
fn ranges_go_both_ways() {
    let add = ["XADD s 1-1 a 1", "XADD s 1-2 a 2", "XADD s 2-0 b 3"];
    let with = |command| answers(&[&add[..], &[command]].concat());
    assert_eq!(with("XRANGE s 1 1"), "*2 *2 1-1 *2 a 1 *2 1-2 *2 a 2");
    assert_eq!(with("XREVRANGE s + (1-1 COUNT 1"), "*1 *2 2-0 *2 b 3");
    assert_eq!(with("XRANGE s - + COUNT 0"), "*-1");
    assert_eq!(with("XRANGE none - +"), "*0");
    assert_eq!(with("XLEN s"), ":3");
}

#[test]
fn readers_wait_for_what_comes_next() {
    let mut test = TestEngine::new();
    let (reader, writer) = (test.client(), test.client());
    test.run(writer, "XADD s 1-0 a 1");
    assert_eq!(test.run(reader, "XREAD BLOCK 0 STREAMS s t $ 0"), "");
    test.run(writer, "LPUSH t x");
    assert_eq!(test.late(reader), "");
    test.run(writer, "DEL t");
    test.run(writer, "XADD s 2-0 a 2");
    assert_eq!(plain(&test.late(reader)), "*1 *2 s *1 *2 2-0 *2 a 2");
    assert_eq!(test.run(reader, "XREAD BLOCK 20 STREAMS s $"), "");
    test.pass_ms(20);
    assert_eq!(test.late(reader), "*-1\r\n");
    test.run(reader, "MULTI");
    test.run(reader, "XREAD BLOCK 0 STREAMS s $");
    assert_eq!(test.run(reader, "EXEC"), "*1\r\n*-1\r\n");
}

#[test]
fn members_are_told_when_their_group_goes() {
    let gone = "NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option";
    let wrong = "WRONGTYPE Operation against a key holding the wrong kind of value";
    for (command, told) in [
        ("XGROUP DESTROY s g", gone),
        ("DEL s", gone),
        ("FLUSHALL", gone),
        ("SET s text", wrong),
        ("PEXPIRE s 0", gone),
    ] {
        let mut test = TestEngine::new();
        let (reader, writer) = (test.client(), test.client());
        test.run(writer, "XGROUP CREATE s g $ MKSTREAM");
        assert_eq!(test.run(reader, "XREADGROUP GROUP g c BLOCK 0 STREAMS s >"), "");
        test.run(writer, "XADD other * a b");
        assert_eq!(test.late(reader), "");
        test.run(writer, command);
        assert_eq!(test.late(reader), format!("-{told}\r\n"), "{command}");
    }
}

#[test]
fn a_group_shares_what_arrives() {
    let mut test = TestEngine::new();
    let (a, b) = (test.client(), test.client());
    test.run(a, "XGROUP CREATE s g $ MKSTREAM");
    for number in 1..=3 {
        test.run(a, &format!("XADD s {number}-0 f {number}"));
    }
    let mut run = |client, command| plain(&test.run(client, command));
    let read = "XREADGROUP GROUP g a COUNT 1 STREAMS s >";
    assert_eq!(run(a, read), "*1 *2 s *1 *2 1-0 *2 f 1");
    let read = "XREADGROUP GROUP g b STREAMS s >";
    assert_eq!(run(b, read), "*1 *2 s *2 *2 2-0 *2 f 2 *2 3-0 *2 f 3");
    assert_eq!(run(b, read), "*-1");
    assert_eq!(run(a, "XPENDING s g"), "*4 :3 1-0 3-0 *2 *2 a 1 *2 b 2");
    assert_eq!(run(a, "XACK s g 1-0 2-0 9-9"), ":2");
    run(a, "XDEL s 3-0");
    assert_eq!(run(b, "XREADGROUP GROUP g b STREAMS s 0"), "*1 *2 s *1 *2 3-0 *-1");
    assert_eq!(run(a, "XAUTOCLAIM s g a 0 -"), "*3 0-0 *0 *1 3-0");
    assert_eq!(run(a, "XCLAIM s g a 0 1-0 FORCE JUSTID"), "*1 1-0");
    assert_eq!(run(a, "XPENDING s g - + 10"), "*1 *4 1-0 a :0 :1");
    assert_eq!(run(a, "XGROUP DELCONSUMER s g a"), ":1");
    assert_eq!(
        run(a, "XINFO GROUPS s"),
        "*1 *12 name g consumers :1 pending :0 last-delivered-id 3-0 entries-read :3 lag :0"
    );
}

#[test]
fn trimming_refuses_options_that_make_no_sense() {
    for (command, error) in [
        ("XTRIM s MAXLEN -1", "The MAXLEN argument must be >= 0."),
        (
            "XTRIM s MAXLEN 1 LIMIT 3",
            "syntax error, LIMIT cannot be used without the special ~ option",
        ),
        ("XTRIM s MAXLEN ~ 1 LIMIT -3", "The LIMIT argument must be >= 0."),
        (
            "XTRIM s LIMIT 1",
            "syntax error, LIMIT cannot be used without specifying a trimming strategy",
        ),
        ("XTRIM s LIMIT 0", "syntax error, XTRIM must be called with a trimming strategy"),
        (
            "XTRIM s MINID 1 MAXLEN 2",
            "syntax error, MAXLEN and MINID options at the same time are not compatible",
        ),
        ("XTRIM s NOMKSTREAM MAXLEN 2", "syntax error"),
    ] {
        assert_eq!(answers(&[command]), format!("-ERR {error}"), "{command}");
    }
    assert_eq!(answers(&["XADD s 1 f v", "XADD s 2 f v", "XTRIM s MAXLEN = 1"]), ":1");
}
