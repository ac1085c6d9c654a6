//! Bit commands through an engine.

use crate::test_support::TestEngine;

#[test]
fn counting_and_finding_in_bytes_and_bits() {
    let mut server = TestEngine::new();
    let client = server.client();
    server.run(client, "SET k foobar");
    for (command, reply) in [
        ("BITCOUNT k", ":26\r\n"),
        ("BITCOUNT k 1 1", ":6\r\n"),
        ("BITCOUNT k 5 30 BIT", ":17\r\n"),
        ("BITCOUNT k -1 -5", ":0\r\n"),
        ("BITCOUNT k 0", "-ERR syntax error\r\n"),
        ("BITCOUNT missing 0", ":0\r\n"),
        ("BITPOS k 1", ":1\r\n"),
        ("BITPOS k 0 1", ":8\r\n"),
        ("BITPOS k 1 11 -1 BIT", ":12\r\n"),
        ("BITPOS missing 0", ":0\r\n"),
        ("BITPOS missing 1", ":-1\r\n"),
        ("BITPOS k 2", "-ERR The bit argument must be 1 or 0.\r\n"),
    ] {
        assert_eq!(server.run(client, command), reply, "{command}");
    }
}

#[test]
fn only_an_open_end_goes_on_with_zeros() {
    let mut server = TestEngine::new();
    let client = server.client();
    server.run_words(client, &[b"SET", b"k", b"\xff\xff"]);
    assert_eq!(server.run(client, "BITPOS k 0"), ":16\r\n");
    assert_eq!(server.run(client, "BITPOS k 0 1"), ":16\r\n");
    assert_eq!(server.run(client, "BITPOS k 0 0 -1"), ":-1\r\n");
    assert_eq!(server.run(client, "BITPOS k 0 2"), ":-1\r\n");
}

#[test]
fn an_empty_result_removes_the_target() {
    let mut server = TestEngine::new();
    let client = server.client();
    server.run(client, "SET target 1");
    assert_eq!(server.run(client, "BITOP XOR target a b"), ":0\r\n");
    assert_eq!(server.run(client, "EXISTS target"), ":0\r\n");
    server.run(client, "SET a abc");
    assert_eq!(server.run(client, "BITOP NOT target a b"), {
        "-ERR BITOP NOT must be called with a single source key.\r\n"
    });
    assert_eq!(server.run(client, "BITOP AND target a b"), ":3\r\n");
    assert_eq!(server.run(client, "GET target"), "$3\r\n\0\0\0\r\n");
}

#[test]
fn fields_wrap_saturate_and_fail() {
    let mut server = TestEngine::new();
    let client = server.client();
    assert_eq!(
        server
            .run(client, "BITFIELD k SET u8 #1 200 INCRBY u8 #1 100 OVERFLOW SAT INCRBY u8 8 250"),
        "*3\r\n:0\r\n:44\r\n:255\r\n"
    );
    assert_eq!(
        server.run(client, "BITFIELD k OVERFLOW FAIL INCRBY u8 8 1 GET i8 8"),
        "*2\r\n$-1\r\n:-1\r\n"
    );
    assert_eq!(
        server.run(client, "BITFIELD_RO k SET u8 0 1"),
        "-ERR BITFIELD_RO only supports the GET subcommand\r\n"
    );
    assert_eq!(server.run(client, "BITFIELD_RO k GET u8 1000 GET u4 12"), "*2\r\n:0\r\n:15\r\n");
    assert_eq!(server.run(client, "BITFIELD k"), "*0\r\n");
}
