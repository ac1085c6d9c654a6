//! The reply parser, for clients, tests and replication links.
//!
//! Stateless: a reply is parsed from its first byte, and one that is not complete is parsed anew
//! when more bytes are there. Servers reply in large pieces, so this is cheap where it is used;
//! requests, which come from anybody, have the resumable [`Decoder`](crate::Decoder).
//!
//! RESP2 and RESP3 are one language here, since their type bytes do not collide.

use nom::bytes::streaming::{tag, take, take_until};
use nom::error::{ErrorKind, ParseError};
use nom::number::streaming::u8 as any_byte;
use nom::sequence::terminated;
use nom::{Err, IResult, Parser};

use crate::number::{parse_double, parse_int};
use crate::value::{Attributed, into_pairs};
use crate::value_writer::VALUE_DEPTH_MAX;
use crate::{ProtocolError, Value};

/// Bytes an element takes at least.
const ELEMENT_BYTES_MIN: usize = 3;

/// A line without an end, in bytes.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// What a reply may be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyLimits {
    /// Length of a string in bytes.
    pub bulk_bytes_max: usize,
    /// Elements of one aggregate; a pair counts as two.
    pub elements_max: usize,
    /// Aggregates inside of each other.
    pub depth_max: usize,
}

impl Default for ReplyLimits {
    fn default() -> Self {
        Self {
            bulk_bytes_max: 512 * 1024 * 1024,
            elements_max: i32::MAX as usize,
            depth_max: VALUE_DEPTH_MAX,
        }
    }
}

/// Parses the reply at the start of `input` and says how many bytes it took. `None`: there is not
/// all of it yet.
///
/// ```
/// use perilune_resp::{Value, parse_reply};
///
/// let input = b"*2\r\n:1\r\n$1\r\na\r\n+OK\r\n";
/// let expected = Value::Array(vec![Value::Int(1), Value::bulk("a")]);
/// assert_eq!(parse_reply(input), Ok(Some((expected, 15))));
/// assert_eq!(parse_reply(&input[..14]), Ok(None));
/// ```
pub fn parse_reply(input: &[u8]) -> Result<Option<(Value, usize)>, ProtocolError> {
    parse_reply_within(input, &ReplyLimits::default())
}

/// [`parse_reply`] with other limits.
pub fn parse_reply_within(
    input: &[u8],
    limits: &ReplyLimits,
) -> Result<Option<(Value, usize)>, ProtocolError> {
    match reply(input, limits, limits.depth_max) {
        Ok((rest, value)) => Ok(Some((value, input.len() - rest.len()))),
        Err(Err::Incomplete(_)) => Ok(None),
        Err(Err::Error(fault) | Err::Failure(fault)) => Err(fault.0),
    }
}

/// The error of the parsers, in the form nom asks for.
#[derive(Debug)]
struct Fault(ProtocolError);

impl ParseError<&[u8]> for Fault {
    fn from_error_kind(_: &[u8], _: ErrorKind) -> Self {
        Self(ProtocolError::InvalidReplyValue)
    }

    fn append(_: &[u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}

type Parsed<'a, T> = IResult<&'a [u8], T, Fault>;

fn fail<T>(error: ProtocolError) -> Result<T, Err<Fault>> {
    Err(Err::Failure(Fault(error)))
}

fn reply<'a>(input: &'a [u8], limits: &ReplyLimits, depth_left: usize) -> Parsed<'a, Value> {
    let (input, kind) = any_byte(input)?;
    match kind {
        b'$' | b'!' | b'=' => string(kind, input, limits),
        b'*' | b'~' | b'>' | b'%' | b'|' => aggregate(kind, input, limits, depth_left),
        _ => scalar(kind, input),
    }
}

fn line(input: &[u8]) -> Parsed<'_, &[u8]> {
    match terminated(take_until("\r\n"), tag("\r\n")).parse(input) {
        Err(Err::Incomplete(_)) if input.len() > LINE_BYTES_MAX => {
            fail(ProtocolError::InvalidReplyLength)
        }
        parsed => parsed,
    }
}

fn scalar(kind: u8, input: &[u8]) -> Parsed<'_, Value> {
    if !b"+-:_#,(".contains(&kind) {
        return fail(ProtocolError::InvalidReplyType(kind));
    }
    let (input, text) = line(input)?;
    let value = match (kind, text) {
        (b'+', _) => Some(Value::Status(text.to_vec())),
        (b'-', _) => Some(Value::Error(text.to_vec())),
        (b':', _) => parse_int(text).map(Value::Int),
        (b'_', b"") => Some(Value::Null),
        (b'#', b"t") => Some(Value::Bool(true)),
        (b'#', b"f") => Some(Value::Bool(false)),
        (b',', _) => double(text).map(Value::Double),
        (b'(', _) => is_integer(text).then(|| Value::BigNumber(text.to_vec())),
        _ => None,
    };
    match value {
        Some(value) => Ok((input, value)),
        None => fail(ProtocolError::InvalidReplyValue),
    }
}

fn double(text: &[u8]) -> Option<f64> {
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    if unsigned.eq_ignore_ascii_case(b"nan") { Some(f64::NAN) } else { parse_double(text) }
}

fn is_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// A length line; `None` is the length -1 of RESP2's nulls.
fn length(input: &[u8], max: usize) -> Parsed<'_, Option<usize>> {
    let (input, text) = line(input)?;
    match parse_int(text) {
        Some(-1) => Ok((input, None)),
        Some(len) => match usize::try_from(len) {
            Ok(len) if len <= max => Ok((input, Some(len))),
            _ => fail(ProtocolError::InvalidReplyLength),
        },
        None => fail(ProtocolError::InvalidReplyLength),
    }
}

fn string<'a>(kind: u8, input: &'a [u8], limits: &ReplyLimits) -> Parsed<'a, Value> {
    let (input, len) = length(input, limits.bulk_bytes_max)?;
    let len = match (kind, len) {
        (_, Some(len)) => len,
        (b'$', None) => return Ok((input, Value::Null)),
        _ => return fail(ProtocolError::InvalidReplyLength),
    };
    let (input, text) = terminated(take(len), tag("\r\n")).parse(input)?;
    match (kind, text) {
        (b'!', _) => Ok((input, Value::Error(text.to_vec()))),
        (b'$', _) => Ok((input, Value::bulk(text))),
        (_, [a, b, c, b':', text @ ..]) => {
            Ok((input, Value::Verbatim { format: [*a, *b, *c], text: text.to_vec() }))
        }
        _ => fail(ProtocolError::InvalidReplyValue),
    }
}

fn aggregate<'a>(
    kind: u8,
    input: &'a [u8],
    limits: &ReplyLimits,
    depth_left: usize,
) -> Parsed<'a, Value> {
    let (input, len) = length(input, limits.elements_max)?;
    let Some(len) = len else {
        return match kind {
            b'*' => Ok((input, Value::NullArray)),
            _ => fail(ProtocolError::InvalidReplyLength),
        };
    };
    let Some(depth_left) = depth_left.checked_sub(1) else {
        return fail(ProtocolError::ReplyTooDeep);
    };
    let paired = matches!(kind, b'%' | b'|');
    let count = if paired { len.saturating_mul(2) } else { len };
    if count > limits.elements_max {
        return fail(ProtocolError::InvalidReplyLength);
    }
    let (input, items) = elements(input, count, limits, depth_left)?;
    match kind {
        b'*' => Ok((input, Value::Array(items))),
        b'~' => Ok((input, Value::Set(items))),
        b'>' => Ok((input, Value::Push(items))),
        b'%' => Ok((input, Value::Map(into_pairs(items)))),
        _ => {
            let (input, value) = reply(input, limits, depth_left)?;
            let attributes = into_pairs(items);
            Ok((input, Value::Attributed(Box::new(Attributed { attributes, value }))))
        }
    }
}

fn elements<'a>(
    mut input: &'a [u8],
    count: usize,
    limits: &ReplyLimits,
    depth_left: usize,
) -> Parsed<'a, Vec<Value>> {
    let mut items = Vec::with_capacity(count.min(input.len() / ELEMENT_BYTES_MIN));
    for _ in 0..count {
        let (rest, item) = reply(input, limits, depth_left)?;
        items.push(item);
        input = rest;
    }
    Ok((input, items))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::strategies::any_value;
    use crate::{Protocol, RespWriter};

    fn parsed(input: &[u8]) -> Value {
        let (value, consumed) = parse_reply(input).unwrap().unwrap();
        assert_eq!(consumed, input.len());
        value
    }

    #[test]
    fn kinds_only_a_peer_sends() {
        assert_eq!(parsed(b"$-1\r\n"), Value::Null);
        assert_eq!(parsed(b"*-1\r\n"), Value::NullArray);
        assert_eq!(parsed(b"!8\r\nERR a\r\nb\r\n"), Value::Error(b"ERR a\r\nb".to_vec()));
        assert!(matches!(parsed(b",nan\r\n"), Value::Double(nan) if nan.is_nan()));
        assert_eq!(parsed(b",-inf\r\n"), Value::Double(f64::NEG_INFINITY));
    }

    #[test]
    fn faulty_replies() {
        use ProtocolError::*;
        for (input, error) in [
            (&b"?1\r\n"[..], InvalidReplyType(b'?')),
            (b":1a\r\n", InvalidReplyValue),
            (b"_x\r\n", InvalidReplyValue),
            (b"#x\r\n", InvalidReplyValue),
            (b",1.2.3\r\n", InvalidReplyValue),
            (b"(12a\r\n", InvalidReplyValue),
            (b"$a\r\n", InvalidReplyLength),
            (b"$-2\r\n", InvalidReplyLength),
            (b"$536870913\r\n", InvalidReplyLength),
            (b"*2147483648\r\n", InvalidReplyLength),
            (b"%1073741824\r\n", InvalidReplyLength),
            (b"%-1\r\n", InvalidReplyLength),
            (b"$1\r\nabc\r\n", InvalidReplyValue),
            (b"=3\r\ntxt\r\n", InvalidReplyValue),
        ] {
            assert_eq!(parse_reply(input), Err(error), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| [b"*1\r\n".repeat(depth), b":1\r\n".to_vec()].concat();
        assert!(parse_reply(&nested(VALUE_DEPTH_MAX)).is_ok_and(|reply| reply.is_some()));
        let too_deep = Err(ProtocolError::ReplyTooDeep);
        assert_eq!(parse_reply(&nested(VALUE_DEPTH_MAX + 1)), too_deep);
        assert_eq!(parse_reply(&b"|0\r\n".repeat(1_000_000)), too_deep);
    }

    #[test]
    fn an_announced_length_reserves_nothing() {
        assert_eq!(parse_reply(b"*2147483647\r\n"), Ok(None));
        assert_eq!(parse_reply(b"$536870912\r\n"), Ok(None));
    }

    #[test]
    fn a_line_must_end() {
        let mut line = vec![b'+'; LINE_BYTES_MAX + 1];
        assert_eq!(parse_reply(&line), Ok(None));
        line.push(b'+');
        assert_eq!(parse_reply(&line), Err(ProtocolError::InvalidReplyLength));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in any_value()) {
            let mut bytes = Vec::new();
            value.write(&mut RespWriter::new(&mut bytes, Protocol::Resp3));
            for end in 0..bytes.len() {
                prop_assert_eq!(parse_reply(&bytes[..end]), Ok(None));
            }
            let len = bytes.len();
            bytes.extend_from_slice(b"+more");
            prop_assert_eq!(parse_reply(&bytes), Ok(Some((value, len))));
        }

        #[test]
        fn garbage_does_no_harm(pieces: Vec<(u8, Vec<u8>)>) {
            let mut input = Vec::new();
            for (choice, text) in pieces {
                input.push(b"+-:_#,($!=*%~>|"[usize::from(choice % 15)]);
                input.push(b'0' + choice / 15 % 4);
                input.extend_from_slice(if choice > 200 { &text } else { b"\r\n" });
            }
            let _ = parse_reply(&input);
        }
    }
}
