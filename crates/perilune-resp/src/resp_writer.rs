//! Replies as bytes of RESP2 or RESP3.
//!
//! The writer appends to a buffer it borrows, so several replies of one connection share one
//! allocation. A deferred aggregate remembers where its header belongs; the header is appended when
//! the length is known and rotated into place, which moves the elements by the header's few bytes.
//! Deferred aggregates end in the reverse order of their begin, so an outer position always lies
//! before everything an inner one moves.

use crate::double::format_double;
use crate::{Deferred, DeferredKind, Protocol, ReplyWriter};

/// Writes replies into a byte buffer.
///
/// ```
/// use perilune_resp::{Protocol, ReplyWriter, RespWriter};
///
/// let mut out = Vec::new();
/// let mut writer = RespWriter::new(&mut out, Protocol::Resp3);
/// writer.map(1);
/// writer.bulk(b"pi");
/// writer.double(3.14);
/// assert_eq!(out, b"%1\r\n$2\r\npi\r\n,3.14\r\n");
/// ```
#[derive(Debug)]
pub struct RespWriter<'a> {
    out: &'a mut Vec<u8>,
    protocol: Protocol,
}

impl<'a> RespWriter<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self { out, protocol }
    }

    /// Changes the protocol of what is written from now on (`HELLO` answers in the new one).
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// What was written so far, with all that was in the buffer before.
    pub fn written(&self) -> &[u8] {
        self.out
    }

    fn is_resp3(&self) -> bool {
        self.protocol == Protocol::Resp3
    }

    /// An aggregate of RESP3, or the array of `len * factor` elements it is in RESP2.
    fn aggregate(&mut self, marker: u8, len: usize, factor: usize) {
        match self.protocol {
            Protocol::Resp3 => header(self.out, marker, len),
            Protocol::Resp2 => header(self.out, b'*', len.saturating_mul(factor)),
        }
    }

    fn line(&mut self, marker: u8, text: &[u8]) {
        self.out.reserve(text.len() + 3);
        self.out.push(marker);
        if text.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
            let line_break = |byte: &u8| matches!(byte, b'\r' | b'\n');
            self.out.extend(text.iter().map(|byte| if line_break(byte) { b' ' } else { *byte }));
        } else {
            self.out.extend_from_slice(text);
        }
        self.out.extend_from_slice(b"\r\n");
    }
}

/// Appends `marker`, `len` and the line end.
#[inline]
fn header(out: &mut Vec<u8>, marker: u8, len: usize) {
    match u8::try_from(len) {
        Ok(len @ 0..=9) => out.extend_from_slice(&[marker, b'0' + len, b'\r', b'\n']),
        Ok(len @ 10..=99) => {
            out.extend_from_slice(&[marker, b'0' + len / 10, b'0' + len % 10, b'\r', b'\n']);
        }
        _ => {
            let mut digits = itoa::Buffer::new();
            out.push(marker);
            out.extend_from_slice(digits.format(len).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Longest header of a bulk or aggregate, in bytes.
const HEADER_BYTES_MAX: usize = 24;

/// Appends `value` as a bulk string.
#[inline]
pub(crate) fn bulk(out: &mut Vec<u8>, value: &[u8]) {
    out.reserve(value.len() + HEADER_BYTES_MAX);
    header(out, b'$', value.len());
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends a request as clients send it: an array of bulk strings.
///
/// ```
/// let mut out = Vec::new();
/// perilune_resp::encode_request(["GET", "k"], &mut out);
/// assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
/// ```
pub fn encode_request<I>(args: I, out: &mut Vec<u8>)
where
    I: IntoIterator<Item: AsRef<[u8]>, IntoIter: ExactSizeIterator>,
{
    let args = args.into_iter();
    header(out, b'*', args.len());
    for arg in args {
        bulk(out, arg.as_ref());
    }
}

impl ReplyWriter for RespWriter<'_> {
    fn protocol(&self) -> Protocol {
        self.protocol
    }

    fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    #[inline]
    fn buffered(&self) -> usize {
        self.out.len()
    }

    fn status(&mut self, text: &[u8]) {
        self.line(b'+', text);
    }

    fn error(&mut self, text: &[u8]) {
        self.line(b'-', text);
    }

    fn int(&mut self, value: i64) {
        match usize::try_from(value) {
            Ok(value) => header(self.out, b':', value),
            Err(_) => {
                let mut digits = itoa::Buffer::new();
                self.out.push(b':');
                self.out.extend_from_slice(digits.format(value).as_bytes());
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    #[inline]
    fn bulk(&mut self, value: &[u8]) {
        bulk(self.out, value);
    }

    fn null(&mut self) {
        let text: &[u8] = if self.is_resp3() { b"_\r\n" } else { b"$-1\r\n" };
        self.out.extend_from_slice(text);
    }

    fn null_array(&mut self) {
        let text: &[u8] = if self.is_resp3() { b"_\r\n" } else { b"*-1\r\n" };
        self.out.extend_from_slice(text);
    }

    fn double(&mut self, value: f64) {
        let start = self.out.len();
        if self.is_resp3() {
            self.out.push(b',');
            format_double(value, self.out);
            self.out.extend_from_slice(b"\r\n");
        } else {
            format_double(value, self.out);
            let text_len = self.out.len() - start;
            self.out.extend_from_slice(b"\r\n");
            insert_header(self.out, start, b'$', text_len);
        }
    }

    fn double_text(&mut self, text: &[u8]) {
        match self.protocol {
            Protocol::Resp3 => self.line(b',', text),
            Protocol::Resp2 => self.bulk(text),
        }
    }

    fn bool(&mut self, value: bool) {
        let text: &[u8] = match (self.protocol, value) {
            (Protocol::Resp3, true) => b"#t\r\n",
            (Protocol::Resp3, false) => b"#f\r\n",
            (Protocol::Resp2, true) => b":1\r\n",
            (Protocol::Resp2, false) => b":0\r\n",
        };
        self.out.extend_from_slice(text);
    }

    fn big_number(&mut self, digits: &[u8]) {
        if self.is_resp3() {
            self.line(b'(', digits);
        } else {
            self.bulk(digits);
        }
    }

    fn verbatim(&mut self, format: &[u8; 3], text: &[u8]) {
        if !self.is_resp3() {
            return self.bulk(text);
        }
        let len = text.len() + format.len() + 1;
        self.out.reserve(len + HEADER_BYTES_MAX);
        header(self.out, b'=', len);
        self.out.extend_from_slice(format);
        self.out.push(b':');
        self.out.extend_from_slice(text);
        self.out.extend_from_slice(b"\r\n");
    }

    fn array(&mut self, len: usize) {
        header(self.out, b'*', len);
    }

    fn map(&mut self, pairs: usize) {
        self.aggregate(b'%', pairs, 2);
    }

    fn set(&mut self, len: usize) {
        self.aggregate(b'~', len, 1);
    }

    fn push(&mut self, len: usize) {
        self.aggregate(b'>', len, 1);
    }

    fn attribute(&mut self, pairs: usize) {
        header(self.out, b'|', pairs);
    }

    fn begin_deferred(&mut self, kind: DeferredKind) -> Deferred {
        Deferred { kind, position: self.out.len() }
    }

    fn end_deferred(&mut self, at: Deferred, len: usize) {
        let (marker, len) = match (self.protocol, at.kind) {
            (_, DeferredKind::Array) => (b'*', len),
            (Protocol::Resp3, DeferredKind::Map) => (b'%', len),
            (Protocol::Resp3, DeferredKind::Set) => (b'~', len),
            (Protocol::Resp2, DeferredKind::Map) => (b'*', len.saturating_mul(2)),
            (Protocol::Resp2, DeferredKind::Set) => (b'*', len),
        };
        insert_header(self.out, at.position, marker, len);
    }
}

/// Puts a header at `position`, before what was written since.
fn insert_header(out: &mut Vec<u8>, position: usize, marker: u8, len: usize) {
    let end = out.len();
    header(out, marker, len);
    let header_len = out.len() - end;
    if let Some(tail) = out.get_mut(position..) {
        tail.rotate_right(header_len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl FnOnce(&mut RespWriter<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut RespWriter::new(&mut out, protocol));
        String::from_utf8(out).unwrap()
    }

    /// Asserts the bytes of both protocols.
    fn check(write: impl Fn(&mut RespWriter<'_>), resp2: &str, resp3: &str) {
        assert_eq!(written(Protocol::Resp2, &write), resp2);
        assert_eq!(written(Protocol::Resp3, &write), resp3);
    }

    #[test]
    fn scalars() {
        check(|w| w.ok(), "+OK\r\n", "+OK\r\n");
        check(|w| w.error(b"ERR a\r\nb"), "-ERR a  b\r\n", "-ERR a  b\r\n");
        check(|w| w.null(), "$-1\r\n", "_\r\n");
        check(|w| w.null_array(), "*-1\r\n", "_\r\n");
        check(|w| w.bool(true), ":1\r\n", "#t\r\n");
        check(|w| w.bool(false), ":0\r\n", "#f\r\n");
        check(|w| w.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n");
        check(|w| w.double(f64::INFINITY), "$3\r\ninf\r\n", ",inf\r\n");
        check(|w| w.double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n");
        check(|w| w.double(f64::NAN), "$3\r\nnan\r\n", ",nan\r\n");
        check(|w| w.big_number(b"123"), "$3\r\n123\r\n", "(123\r\n");
        check(
            |w| w.verbatim(b"txt", b"Some text.."),
            "$11\r\nSome text..\r\n",
            "=15\r\ntxt:Some text..\r\n",
        );
        check(|w| w.bulk(b""), "$0\r\n\r\n", "$0\r\n\r\n");
        check(|w| w.bulk_int(-12), "$3\r\n-12\r\n", "$3\r\n-12\r\n");
    }

    #[test]
    fn integers_of_every_length() {
        for value in [0, 9, 10, 99, 100, 255, 256, 12_345, i64::MAX, -1, -10, i64::MIN] {
            assert_eq!(written(Protocol::Resp2, |w| w.int(value)), format!(":{value}\r\n"));
        }
    }

    #[test]
    fn aggregates() {
        check(|w| w.array(0), "*0\r\n", "*0\r\n");
        check(|w| w.map(50), "*100\r\n", "%50\r\n");
        check(|w| w.set(12), "*12\r\n", "~12\r\n");
        check(|w| w.push(3), "*3\r\n", ">3\r\n");
        assert_eq!(written(Protocol::Resp3, |w| w.attribute(1)), "|1\r\n");
    }

    #[test]
    fn deferred_aggregates_nest() {
        check(
            |w| {
                w.int(7);
                let outer = w.begin_deferred(DeferredKind::Map);
                w.bulk(b"k");
                let inner = w.begin_deferred(DeferredKind::Set);
                w.bulk(b"a");
                w.bulk(b"b");
                w.end_deferred(inner, 2);
                w.bulk(b"e");
                let empty = w.begin_deferred(DeferredKind::Array);
                w.end_deferred(empty, 0);
                w.end_deferred(outer, 2);
                w.int(8);
            },
            ":7\r\n*4\r\n$1\r\nk\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\ne\r\n*0\r\n:8\r\n",
            ":7\r\n%2\r\n$1\r\nk\r\n~2\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\ne\r\n*0\r\n:8\r\n",
        );
    }
}
