//! The request decoder: from the bytes a client sent to the arguments of its command.
//!
//! A request is an array of bulk strings (`*2\r\n$3\r\nGET\r\n$1\r\nk\r\n`) or, when its first byte
//! is no `*`, a line of words for people at a terminal. The decoder never copies a bulk: it
//! remembers where in the caller's buffer each argument lies. Words of a line may be quoted, so
//! they are unescaped into a side buffer; [`Decoder::arg`] hides the difference.
//!
//! Requests come in pieces. The decoder keeps its place, so that bytes are looked at once however
//! they were cut. The invariant that makes this work: between two calls the caller may append to
//! the buffer and may move it, but its first byte stays the first byte of the current request until
//! the request is complete; then the caller drops the consumed bytes.
//!
//! Headers are short and nearly always complete: the fast path reads digits up to `\r\n` in one go.
//! Anything unusual (a cut header, a sign, garbage) takes the slow path, which finds the end of the
//! line first and judges the line as a whole, in the order in which Redis does. As in Redis a line
//! ends with `\r` and whatever byte follows, the two bytes after a bulk are skipped unseen, and a
//! NUL byte hides the rest of a line, so that such a line only ends in an error.

use nom::Parser;
use nom::character::complete::char;
use nom::combinator::{map_opt, rest};
use nom::sequence::preceded;

use crate::ProtocolError;
use crate::number::parse_int;
use crate::split::split_args_into;

/// Arguments a peer may send in one request before it has authenticated.
const UNAUTHENTICATED_ARGS_MAX: i64 = 10;
/// Length of one argument before the peer has authenticated, in bytes.
const UNAUTHENTICATED_BULK_BYTES_MAX: i64 = 16 * 1024;
/// Arguments of one request.
const ARGS_MAX: i64 = i32::MAX as i64;
/// An inline request or a header without an end, in bytes.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Default of `proto-max-bulk-len`, in bytes.
const BULK_BYTES_MAX_DEFAULT: i64 = 512 * 1024 * 1024;
/// Capacity for arguments that is kept from one request to the next.
const ARGS_CAPACITY_KEPT: usize = 1024;
/// Capacity for the words of a line that is kept from one request to the next, in bytes.
const WORDS_CAPACITY_KEPT: usize = 4096;
/// Digits the fast path reads; a longer number takes the slow path.
const FAST_DIGITS_MAX: usize = 10;

/// What a peer may send. May be changed between requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecoderLimits {
    /// Length of one argument in bytes (`proto-max-bulk-len`).
    pub bulk_bytes_max: i64,
    /// Whether the peer has yet to authenticate: then only few and short arguments are taken.
    pub auth_required: bool,
}

impl Default for DecoderLimits {
    fn default() -> Self {
        Self { bulk_bytes_max: BULK_BYTES_MAX_DEFAULT, auth_required: false }
    }
}

/// Where an argument lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArgRange {
    /// Its first byte, counted from the first byte of the request.
    pub start: usize,
    /// Its length in bytes.
    pub len: usize,
}

impl ArgRange {
    /// The argument's bytes in `buf`; empty when `buf` is not the buffer it was found in.
    #[inline]
    pub fn of<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        buf.get(self.start..).and_then(|tail| tail.get(..self.len)).unwrap_or_default()
    }
}

/// What the decoder waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The first byte of a request.
    Start,
    /// The end of an inline request.
    Inline,
    /// The line with the number of arguments.
    Count,
    /// The line with the length of an argument.
    BulkHeader,
    /// An argument of this length.
    Bulk(usize),
    /// Nothing: the request is complete and its arguments may be asked for.
    Complete,
}

/// Decodes the requests of one connection, one after the other.
///
/// ```
/// use perilune_resp::{Decoder, DecoderLimits};
///
/// let mut decoder = Decoder::new(DecoderLimits::default());
/// let mut buf = b"*2\r\n$3\r\nGET\r\n$1".to_vec();
/// assert_eq!(decoder.decode(&buf), Ok(None));
/// buf.extend_from_slice(b"\r\nk\r\nPING\r\n");
/// assert_eq!(decoder.decode(&buf), Ok(Some(20)));
/// assert_eq!(decoder.args(&buf).collect::<Vec<_>>(), [b"GET".as_slice(), b"k"]);
/// buf.drain(..20);
/// assert_eq!(decoder.decode(&buf), Ok(Some(6)));
/// assert_eq!(decoder.arg(&buf, 0), b"PING");
/// ```
#[derive(Debug)]
pub struct Decoder {
    limits: DecoderLimits,
    stage: Stage,
    /// Everything before this was understood.
    position: usize,
    /// Bytes after `position` in which no line end was found.
    scanned: usize,
    /// Arguments that are still to come.
    args_missing: i64,
    args: Vec<ArgRange>,
    /// The words of an inline request.
    words: Vec<u8>,
    /// Whether `args` lie in `words`, not in the caller's buffer.
    args_in_words: bool,
    bytes_missing: usize,
}

impl Decoder {
    /// A decoder at the start of a connection.
    pub fn new(limits: DecoderLimits) -> Self {
        Self {
            limits,
            stage: Stage::Start,
            position: 0,
            scanned: 0,
            args_missing: 0,
            args: Vec::new(),
            words: Vec::new(),
            args_in_words: false,
            bytes_missing: 1,
        }
    }

    /// The limits in force.
    pub fn limits(&self) -> DecoderLimits {
        self.limits
    }

    /// Changes the limits; they hold for every header not yet read. A caller that decodes ahead of
    /// execution must not do so past a request that may change them (`AUTH`, `HELLO`, `CONFIG`).
    pub fn set_limits(&mut self, limits: DecoderLimits) {
        self.limits = limits;
    }

    /// Goes on with the request at the start of `buf`, which holds all its bytes received so far.
    ///
    /// `Some(consumed)`: the request is complete, its arguments are at hand, and the next call
    /// starts with the byte after it. A request without arguments (`*0`, an empty line) is one too,
    /// to be skipped. `None`: more bytes are needed. After an error the stream cannot be decoded
    /// any further.
    #[inline]
    pub fn decode(&mut self, buf: &[u8]) -> Result<Option<usize>, ProtocolError> {
        if matches!(self.stage, Stage::Complete) {
            self.reset();
        }
        self.bytes_missing = 1;
        if matches!(self.stage, Stage::Start) {
            self.stage = match buf.first() {
                None => return Ok(None),
                Some(b'*') => Stage::Count,
                Some(_) => Stage::Inline,
            };
        }
        let complete = match self.stage {
            Stage::Inline => self.decode_inline(buf)?,
            Stage::Count => self.decode_count(buf)? && self.decode_bulks(buf)?,
            _ => self.decode_bulks(buf)?,
        };
        if complete {
            self.stage = Stage::Complete;
        }
        Ok(complete.then_some(self.position))
    }

    /// After `decode` gave `None`: how many bytes the request needs at least to get on. For a long
    /// bulk this is all that is left of it, so that the reader can make room at once.
    pub fn bytes_missing(&self) -> usize {
        self.bytes_missing
    }

    /// Whether a request was begun but is not complete.
    pub fn is_mid_request(&self) -> bool {
        !matches!(self.stage, Stage::Start | Stage::Complete)
    }

    /// Where the argument begins that is coming in, if it is at least `len` bytes long: all before
    /// it is understood.
    pub fn long_bulk_start(&self, len: usize) -> Option<usize> {
        match self.stage {
            Stage::Bulk(missing) if missing >= len => Some(self.position),
            _ => None,
        }
    }

    /// How many arguments the complete request has.
    #[inline]
    pub fn arg_count(&self) -> usize {
        self.args.len()
    }

    /// Argument `index` of the complete request. `buf` is what the last call of
    /// [`decode`](Self::decode) was given. Empty when there is no such argument.
    #[inline]
    pub fn arg<'a>(&'a self, buf: &'a [u8], index: usize) -> &'a [u8] {
        self.args.get(index).map_or(&[], |range| range.of(self.args_source(buf)))
    }

    /// All arguments of the complete request.
    #[inline]
    pub fn args<'a>(&'a self, buf: &'a [u8]) -> impl ExactSizeIterator<Item = &'a [u8]> {
        let source = self.args_source(buf);
        self.args.iter().map(|range| range.of(source))
    }

    /// Where the arguments lie, for a caller that keeps several requests of one buffer apart.
    /// The ranges count from the start of [`args_source`](Self::args_source).
    pub fn arg_ranges(&self) -> &[ArgRange] {
        &self.args
    }

    /// The bytes [`arg_ranges`](Self::arg_ranges) point into: `buf`, or the decoder's own copy
    /// of the words of an inline request.
    #[inline]
    pub fn args_source<'a>(&'a self, buf: &'a [u8]) -> &'a [u8] {
        if self.args_in_words { &self.words } else { buf }
    }

    /// Whether the arguments lie in the decoder, not in the caller's buffer.
    pub fn args_are_unescaped(&self) -> bool {
        self.args_in_words
    }

    fn reset(&mut self) {
        self.stage = Stage::Start;
        self.position = 0;
        self.scanned = 0;
        self.args_missing = 0;
        self.args.clear();
        if self.args.capacity() > ARGS_CAPACITY_KEPT {
            self.args.shrink_to(ARGS_CAPACITY_KEPT);
        }
        if self.args_in_words {
            self.args_in_words = false;
            self.words.clear();
            self.words.shrink_to(WORDS_CAPACITY_KEPT);
        }
    }

    fn decode_inline(&mut self, buf: &[u8]) -> Result<bool, ProtocolError> {
        let Some(end) = self.find_line_end(buf, b'\n') else {
            return if buf.len() > LINE_BYTES_MAX {
                Err(ProtocolError::TooBigInline)
            } else {
                Ok(false)
            };
        };
        let line = buf.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.args_in_words = true;
        let (args, mut start) = (&mut self.args, 0);
        split_args_into(line, &mut self.words, |word_end| {
            args.push(ArgRange { start, len: word_end - start });
            start = word_end;
        })
        .ok_or(ProtocolError::UnbalancedQuotes)?;
        self.position = end + 1;
        Ok(true)
    }

    /// Reads the number of arguments; false when its line is not complete.
    fn decode_count(&mut self, buf: &[u8]) -> Result<bool, ProtocolError> {
        let count = match fast_header(buf) {
            Some((count, header_len)) => {
                self.skip_header(header_len);
                Some(count)
            }
            None => match self.slow_header(buf, ProtocolError::TooBigMultibulkCount)? {
                Some(line) => header_number('*', line),
                None => return Ok(false),
            },
        };
        let count = count.filter(|count| *count <= ARGS_MAX);
        let count = count.ok_or(ProtocolError::InvalidMultibulkLength)?;
        if count > UNAUTHENTICATED_ARGS_MAX && self.limits.auth_required {
            return Err(ProtocolError::UnauthenticatedMultibulkLength);
        }
        self.args_missing = count.max(0);
        self.stage = Stage::BulkHeader;
        Ok(true)
    }

    /// Reads arguments until none is missing; false when the buffer ends before.
    fn decode_bulks(&mut self, buf: &[u8]) -> Result<bool, ProtocolError> {
        if self.stage == Stage::BulkHeader && self.limits.bulk_bytes_max >= SHORT_BULK_BYTES_MAX {
            self.take_short_bulks(buf);
        }
        while self.args_missing > 0 {
            let len = match self.stage {
                Stage::Bulk(len) => len,
                _ => match self.decode_bulk_len(buf)? {
                    Some(len) => len,
                    None => return Ok(false),
                },
            };
            let available = buf.len().saturating_sub(self.position);
            let needed = len.saturating_add(2);
            if available < needed {
                self.stage = Stage::Bulk(len);
                self.bytes_missing = needed - available;
                return Ok(false);
            }
            self.args.push(ArgRange { start: self.position, len });
            self.position += needed;
            self.args_missing -= 1;
            self.stage = Stage::BulkHeader;
        }
        Ok(true)
    }

    /// Takes the next arguments as long as they are short and complete, as nearly all are. What
    /// is left, the long way takes or refuses.
    #[inline]
    fn take_short_bulks(&mut self, buf: &[u8]) {
        let mut at = self.position;
        while self.args_missing > 0 {
            let Some(header) = buf.get(at..).and_then(|tail| tail.first_chunk()) else { break };
            let (len, header_len) = match header {
                [b'$', one @ b'0'..=b'9', b'\r', _, _] => (one - b'0', 4),
                [b'$', ten @ b'1'..=b'9', one @ b'0'..=b'9', b'\r', _] => {
                    ((ten - b'0') * 10 + (one - b'0'), 5)
                }
                _ => break,
            };
            let (start, len) = (at + header_len, usize::from(len));
            let end = start + len + 2;
            if end > buf.len() {
                break;
            }
            self.args.push(ArgRange { start, len });
            self.args_missing -= 1;
            at = end;
        }
        if at > self.position {
            self.position = at;
            self.scanned = 0;
        }
    }

    #[inline]
    fn decode_bulk_len(&mut self, buf: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let tail = buf.get(self.position..).unwrap_or_default();
        let fast = if tail.first() == Some(&b'$') { fast_header(tail) } else { None };
        let len = match fast {
            Some((len, header_len)) => {
                self.skip_header(header_len);
                Some(len)
            }
            None => match self.slow_header(buf, ProtocolError::TooBigBulkCount)? {
                Some(line) => match line.first() {
                    Some(b'$') => header_number('$', line),
                    Some(other) => return Err(ProtocolError::ExpectedDollar(*other)),
                    None => return Err(ProtocolError::ExpectedDollar(b'\r')),
                },
                None => return Ok(None),
            },
        };
        let len = len.filter(|len| (0..=self.limits.bulk_bytes_max).contains(len));
        let len = len.ok_or(ProtocolError::InvalidBulkLength)?;
        if len > UNAUTHENTICATED_BULK_BYTES_MAX && self.limits.auth_required {
            return Err(ProtocolError::UnauthenticatedBulkLength);
        }
        usize::try_from(len).map(Some).map_err(|_| ProtocolError::InvalidBulkLength)
    }

    /// Takes the header line at `position` and moves behind it; `None` when it is not complete,
    /// `too_long` when it should have been by now.
    #[cold]
    fn slow_header<'a>(
        &mut self,
        buf: &'a [u8],
        too_long: ProtocolError,
    ) -> Result<Option<&'a [u8]>, ProtocolError> {
        let Some(end) = self.find_line_end(buf, b'\r') else {
            let pending = buf.len().saturating_sub(self.position);
            return if pending > LINE_BYTES_MAX { Err(too_long) } else { Ok(None) };
        };
        if end + 2 > buf.len() {
            return Ok(None);
        }
        let line = buf.get(self.position..end).unwrap_or_default();
        self.skip_header(line.len() + 2);
        Ok(Some(line))
    }

    /// Moves behind a header, where the search for a line end starts anew.
    #[inline]
    fn skip_header(&mut self, header_len: usize) {
        self.position += header_len;
        self.scanned = 0;
    }

    /// Finds `terminator` after `position`, going on where the last search ended. A NUL byte stops
    /// every search for good.
    fn find_line_end(&mut self, buf: &[u8], terminator: u8) -> Option<usize> {
        let from = self.position + self.scanned;
        let tail = buf.get(from..).unwrap_or_default();
        let found = tail.iter().position(|byte| *byte == terminator || *byte == 0);
        self.scanned += found.unwrap_or(tail.len());
        let at = from + found?;
        (buf.get(at) == Some(&terminator)).then_some(at)
    }
}

/// Longest argument whose length has two digits.
const SHORT_BULK_BYTES_MAX: i64 = 99;

/// Reads a complete header of plain digits: its number and its length with `\r\n`. `None` says
/// nothing: the slow path decides.
#[inline]
fn fast_header(tail: &[u8]) -> Option<(i64, usize)> {
    let digits = tail.get(1..)?;
    let mut value = 0_i64;
    for (index, byte) in digits.iter().take(FAST_DIGITS_MAX + 1).enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            let canonical = index == 1 || (index > 1 && digits[0] != b'0');
            let complete = *byte == b'\r' && digits.len() >= index + 2;
            return (canonical && complete).then_some((value, index + 3));
        }
        value = value * 10 + i64::from(digit);
    }
    None
}

/// The number in a header line, strictly written.
fn header_number(marker: char, line: &[u8]) -> Option<i64> {
    let number = map_opt(rest::<&[u8], nom::error::Error<&[u8]>>, parse_int);
    let parsed = preceded(char(marker), number).parse(line);
    parsed.ok().map(|(_, number)| number)
}

#[cfg(test)]
#[path = "decoder_tests.rs"]
mod tests;
