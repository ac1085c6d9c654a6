//! Tests of the request decoder.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::encode_request;

type Request = Vec<Vec<u8>>;

/// Feeds `stream` in pieces that end at `cuts` and collects the requests up to the first error.
fn decode_in_pieces(
    stream: &[u8],
    cuts: &[usize],
    limits: DecoderLimits,
) -> (Vec<Request>, Option<ProtocolError>) {
    let mut decoder = Decoder::new(limits);
    let mut requests = Vec::new();
    let mut buf = Vec::new();
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    ends.push(stream.len());
    ends.sort_unstable();
    let mut fed = 0;
    for end in ends {
        buf.extend_from_slice(&stream[fed..end]);
        fed = end;
        loop {
            match decoder.decode(&buf) {
                Ok(Some(consumed)) => {
                    requests.push(decoder.args(&buf).map(<[u8]>::to_vec).collect());
                    buf.drain(..consumed);
                }
                Ok(None) => break,
                Err(error) => return (requests, Some(error)),
            }
        }
    }
    (requests, None)
}

fn decode_all(stream: &[u8]) -> (Vec<Request>, Option<ProtocolError>) {
    decode_in_pieces(stream, &[], DecoderLimits::default())
}

fn error_of(stream: &[u8]) -> Option<ProtocolError> {
    decode_all(stream).1
}

fn request(words: &[&str]) -> Request {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

#[test]
fn requests_without_arguments_are_requests() {
    let (requests, error) = decode_all(b"*0\r\n*-1\r\n*-7\r\n\r\n\n  \r\n*1\r\n$0\r\n\r\n");
    assert_eq!(error, None);
    let empty = Request::new();
    assert_eq!(
        requests,
        [
            empty.clone(),
            empty.clone(),
            empty.clone(),
            empty.clone(),
            empty.clone(),
            empty,
            request(&[""])
        ]
    );
}

#[test]
fn inline_requests_are_split_like_a_shell_line() {
    let (requests, error) = decode_all(b"set k \"a\\x20b\" 'c'\r\nget k\nping\r\n");
    assert_eq!(error, None);
    let expected = [request(&["set", "k", "a b", "c"]), request(&["get", "k"]), request(&["ping"])];
    assert_eq!(requests, expected);
    assert_eq!(error_of(b"set \"k\r\n"), Some(ProtocolError::UnbalancedQuotes));
}

#[test]
fn bytes_after_a_bulk_are_skipped_unseen() {
    let (requests, error) = decode_all(b"*2\rX$1\rYaZZ$1\r\nb\r\n");
    assert_eq!((requests, error), (vec![request(&["a", "b"])], None));
}

#[test]
fn a_header_cut_in_its_line_end_leaves_no_trace() {
    for (stream, error) in [
        (&b"*1\rA\r\n"[..], Some(ProtocolError::ExpectedDollar(b'\r'))),
        (b"*1\r\n$\r\n", Some(ProtocolError::InvalidBulkLength)),
        (b"*2\r\n$0\r\n\r\n\r\n", Some(ProtocolError::ExpectedDollar(b'\r'))),
    ] {
        for cut in 0..stream.len() {
            let decoded = decode_in_pieces(stream, &[cut], DecoderLimits::default());
            assert_eq!(decoded, (vec![], error));
        }
    }
}

#[test]
fn errors_say_what_redis_says() {
    for (stream, text) in [
        (&b"*a\r\n"[..], "invalid multibulk length"),
        (b"*\r\n", "invalid multibulk length"),
        (b"*01\r\n", "invalid multibulk length"),
        (b"*2147483648\r\n", "invalid multibulk length"),
        (b"*99999999999999999999\r\n", "invalid multibulk length"),
        (b"*1\r\n:1\r\n", "expected '$', got ':'"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$\r\n", "invalid bulk length"),
        (b"*1\r\n$+1\r\n", "invalid bulk length"),
        (b"*1\r\n$00\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"'\r\n", "unbalanced quotes in request"),
    ] {
        let message = error_of(stream).unwrap().message();
        let expected = format!("ERR Protocol error: {text}");
        assert_eq!(
            message.escape_ascii().to_string(),
            expected.as_bytes().escape_ascii().to_string()
        );
    }
    assert_eq!(error_of(b"*2147483647\r\n$536870912\r\n"), None);
}

#[test]
fn lines_without_end_are_refused_beyond_the_limit() {
    for (start, error) in [
        (&b"*"[..], ProtocolError::TooBigMultibulkCount),
        (b"*1\r\n$", ProtocolError::TooBigBulkCount),
        (b"x", ProtocolError::TooBigInline),
        (b"\0", ProtocolError::TooBigInline),
        (b"*\0", ProtocolError::TooBigMultibulkCount),
        (b"*1\r\n$\0", ProtocolError::TooBigBulkCount),
    ] {
        let mut stream = start.to_vec();
        stream.resize(LINE_BYTES_MAX, b'1');
        assert_eq!(error_of(&stream), None);
        stream.resize(LINE_BYTES_MAX + 5, b'1');
        assert_eq!(error_of(&stream), Some(error));
    }
}

#[test]
fn a_nul_byte_hides_the_line_end() {
    for stream in [&b"\0ping\r\n"[..], b"*\x001\r\n", b"*1\r\n\0$4\r\nping\r\n", b"*1\r\n$4\0\r\n"]
    {
        assert_eq!(decode_all(stream), (vec![], None));
    }
}

#[test]
fn strangers_may_send_little() {
    let limits = DecoderLimits { auth_required: true, ..DecoderLimits::default() };
    let error = |stream: &[u8]| decode_in_pieces(stream, &[], limits).1;
    assert_eq!(error(b"*10\r\n$16384\r\n"), None);
    assert_eq!(error(b"*11\r\n"), Some(ProtocolError::UnauthenticatedMultibulkLength));
    assert_eq!(error(b"*1\r\n$16385\r\n"), Some(ProtocolError::UnauthenticatedBulkLength));

    let mut decoder = Decoder::new(limits);
    decoder.set_limits(DecoderLimits::default());
    assert_eq!(decoder.decode(b"*11\r\n"), Ok(None));
}

#[test]
fn the_missing_bytes_of_a_bulk_are_known() {
    let mut decoder = Decoder::new(DecoderLimits::default());
    assert_eq!(decoder.decode(b""), Ok(None));
    assert!(!decoder.is_mid_request());
    assert_eq!(decoder.decode(b"*1\r\n$1000"), Ok(None));
    assert_eq!(decoder.bytes_missing(), 1);
    assert_eq!(decoder.decode(b"*1\r\n$1000\r\nabc"), Ok(None));
    assert_eq!(decoder.bytes_missing(), 999);
    assert!(decoder.is_mid_request());
}

#[test]
fn memory_of_a_large_request_is_given_back() {
    let mut stream = Vec::new();
    encode_request(vec!["x"; 100_000], &mut stream);
    let mut decoder = Decoder::new(DecoderLimits::default());
    assert_eq!(decoder.decode(&stream), Ok(Some(stream.len())));
    assert_eq!(decoder.arg_count(), 100_000);
    assert_eq!(decoder.decode(b"*1\r\n$1\r\nx\r\n"), Ok(Some(11)));
    assert!(decoder.args.capacity() < 10_000);
}

fn any_request() -> impl Strategy<Value = Request> {
    vec(prop_oneof![4 => vec(any::<u8>(), 0..12), 1 => vec(any::<u8>(), 90..300)], 1..6)
}

/// Bytes that often look like a request.
fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        any_request().prop_map(|request| {
            let mut out = Vec::new();
            encode_request(&request, &mut out);
            out
        }),
        "[ -~]{0,9}\r\n".prop_map(String::into_bytes),
        "[*$][0-9-]{0,3}\r?\n?".prop_map(String::into_bytes),
        vec(any::<u8>(), 0..9),
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn cuts_change_nothing(requests in vec(any_request(), 0..8), cuts: Vec<usize>) {
        let mut stream = Vec::new();
        for request in &requests {
            encode_request(request, &mut stream);
        }
        let decoded = decode_in_pieces(&stream, &cuts, DecoderLimits::default());
        prop_assert_eq!(decoded, (requests, None));
    }

    #[test]
    fn garbage_is_judged_the_same_however_cut(stream in any_stream(), auth_required: bool) {
        let limits = DecoderLimits { auth_required, ..DecoderLimits::default() };
        let whole = decode_in_pieces(&stream, &[], limits);
        let every_byte: Vec<usize> = (0..stream.len()).collect();
        prop_assert_eq!(decode_in_pieces(&stream, &every_byte, limits), whole);
    }

    #[test]
    fn unrelated_buffers_do_no_harm(buffers in vec(any_stream(), 1..6)) {
        let mut decoder = Decoder::new(DecoderLimits::default());
        for buf in &buffers {
            let _ = decoder.decode(buf);
            decoder.args(buf).for_each(drop);
        }
    }
}
