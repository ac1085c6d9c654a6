//! The reply seam: what a command says to whoever asked.
//!
//! A reply is a tree. Scalars are written with one call; an aggregate is announced with its number
//! of elements and followed by exactly that many replies (a map of `n` is followed by `2 * n`).
//! Where a command learns the length only while it writes, it opens the aggregate with
//! [`ReplyWriter::begin_deferred`] and closes it with [`ReplyWriter::end_deferred`].
//!
//! Command handlers write the RESP3 meaning of their reply and never look at the protocol, except
//! for the few commands whose RESP2 *shape* differs; those ask [`ReplyWriter::protocol`].

use crate::number::parse_double;

/// Version of the wire protocol a peer asked for with `HELLO`, or a script with `redis.setresp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// RESP2: status, error, integer, bulk and array.
    #[default]
    Resp2,
    /// RESP3: adds null, boolean, double, big number, verbatim string, map, set, push, attribute.
    Resp3,
}

/// What an aggregate of yet unknown length will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeferredKind {
    /// An array; the length counts elements.
    Array,
    /// A map; the length counts pairs. An array of twice the length in RESP2.
    Map,
    /// A set; the length counts members. An array in RESP2.
    Set,
}

/// A place in a reply whose aggregate header is not known yet. Must be handed back to
/// [`ReplyWriter::end_deferred`] of the same writer; deferred aggregates nest like brackets.
#[derive(Debug)]
#[must_use = "an aggregate that was begun must be ended"]
pub struct Deferred {
    /// What the aggregate will be.
    pub kind: DeferredKind,
    /// Where it starts; its meaning belongs to the writer.
    pub position: usize,
}

/// Receives one reply, call by call.
///
/// Object-safe on purpose: handlers take `&mut dyn ReplyWriter`.
pub trait ReplyWriter {
    /// The protocol whose shape the reader of this reply expects.
    fn protocol(&self) -> Protocol;

    /// Shapes what follows for another protocol. Only `HELLO` and `RESET` do this: the reply to
    /// `HELLO 3` already speaks RESP3.
    fn set_protocol(&mut self, protocol: Protocol);

    /// Bytes in the buffer that this writer appends to, so that two answers tell how much was
    /// written in between. 0 for writers of something else than bytes.
    fn buffered(&self) -> usize {
        0
    }

    /// A status line such as `OK`. CR and LF in `text` are replaced by spaces on the wire.
    fn status(&mut self, text: &[u8]);

    /// An error, given without the leading `-` but with its code: `ERR syntax error`. CR and LF
    /// are replaced by spaces on the wire.
    fn error(&mut self, text: &[u8]);

    /// A signed 64-bit integer.
    fn int(&mut self, value: i64);

    /// A binary-safe string.
    fn bulk(&mut self, value: &[u8]);

    /// The absent value: RESP3 null, RESP2 null bulk (`$-1`).
    fn null(&mut self);

    /// The absent aggregate: RESP3 null, RESP2 null array (`*-1`).
    fn null_array(&mut self);

    /// A floating point number: RESP3 double, RESP2 bulk string in Redis' shortest form.
    fn double(&mut self, value: f64);

    /// A floating point number in decimal digits of the caller's choice: RESP3 double, RESP2 bulk
    /// string.
    fn double_text(&mut self, text: &[u8]) {
        match parse_double(text) {
            Some(value) if self.protocol() == Protocol::Resp3 => self.double(value),
            _ => self.bulk(text),
        }
    }

    /// A truth value: RESP3 boolean, RESP2 integer 0 or 1.
    fn bool(&mut self, value: bool);

    /// An integer of any size in decimal digits: RESP3 big number, RESP2 bulk string.
    fn big_number(&mut self, digits: &[u8]);

    /// Text with a three-letter format (`txt`, `mkd`): RESP3 verbatim string, RESP2 bulk string.
    fn verbatim(&mut self, format: &[u8; 3], text: &[u8]);

    /// Announces an array of `len` elements.
    fn array(&mut self, len: usize);

    /// Announces a map of `pairs` pairs; RESP2 array of twice as many elements.
    fn map(&mut self, pairs: usize);

    /// Announces a set of `len` members; RESP2 array.
    fn set(&mut self, len: usize);

    /// Announces an out-of-band push of `len` elements; RESP2 array.
    fn push(&mut self, len: usize);

    /// Announces an attribute of `pairs` pairs that precedes the reply proper. Only meaningful in
    /// RESP3; callers check [`protocol`](Self::protocol) first.
    fn attribute(&mut self, pairs: usize);

    /// Opens an aggregate whose length is told later.
    fn begin_deferred(&mut self, kind: DeferredKind) -> Deferred;

    /// Closes the aggregate `at` with its length (pairs for a map).
    fn end_deferred(&mut self, at: Deferred, len: usize);

    /// The status `OK`.
    fn ok(&mut self) {
        self.status(b"OK");
    }

    /// An integer as a bulk string, as counters inside of otherwise textual replies are sent.
    fn bulk_int(&mut self, value: i64) {
        let mut digits = itoa::Buffer::new();
        self.bulk(digits.format(value).as_bytes());
    }
}
