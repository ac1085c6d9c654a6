//! Replies built as [`Value`]s, for embedding and tests.
//!
//! Aggregates that were begun and wait for elements form a stack. Each value that is complete goes
//! into the top one; an aggregate that got its last element is a complete value itself and goes
//! into the one below. A deferred aggregate waits for its end instead of a count, and its position
//! is its place in the stack.
//!
//! The writer builds what a client of its protocol would have read: parsing what
//! [`RespWriter`](crate::RespWriter) wrote gives the same value.

use crate::double::format_double;
use crate::error::NESTED_TOO_DEEPLY;
use crate::value::{Attributed, into_pairs};
use crate::{Deferred, DeferredKind, Protocol, ReplyWriter, Value};

/// How deep values nest at most. An aggregate below becomes an error, so that no reply builds a
/// tree on which a recursion (comparison, drop) would overflow the stack.
pub(crate) const VALUE_DEPTH_MAX: usize = 128;

/// Capacity an announced length gets at once; what is longer grows as elements come.
const CAPACITY_MAX: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Array,
    Map,
    Set,
    Push,
    /// Keys and values, and last the reply they belong to.
    Attributed,
}

/// An aggregate that is not complete.
#[derive(Debug)]
struct Frame {
    kind: Kind,
    items: Vec<Value>,
    /// Elements still to come; unknown while the aggregate is deferred.
    missing: Option<usize>,
}

impl Frame {
    fn into_value(mut self) -> Value {
        match self.kind {
            Kind::Array => Value::Array(self.items),
            Kind::Map => Value::Map(into_pairs(self.items)),
            Kind::Set => Value::Set(self.items),
            Kind::Push => Value::Push(self.items),
            Kind::Attributed => {
                let value = self.items.pop().unwrap_or(Value::Null);
                let attributes = into_pairs(self.items);
                Value::Attributed(Box::new(Attributed { attributes, value }))
            }
        }
    }
}

/// Builds values from what a command replies.
///
/// ```
/// use perilune_resp::{Protocol, ReplyWriter, Value, ValueWriter};
///
/// let mut writer = ValueWriter::new(Protocol::Resp3);
/// writer.array(2);
/// writer.int(1);
/// writer.null();
/// assert_eq!(writer.into_value(), Some(Value::Array(vec![Value::Int(1), Value::Null])));
/// ```
#[derive(Debug)]
pub struct ValueWriter {
    protocol: Protocol,
    complete: Vec<Value>,
    open: Vec<Frame>,
}

impl ValueWriter {
    /// A writer that builds what a client of `protocol` would read.
    pub fn new(protocol: Protocol) -> Self {
        Self { protocol, complete: Vec::new(), open: Vec::new() }
    }

    /// The first complete reply. A command that replied nothing gives `None`.
    pub fn into_value(self) -> Option<Value> {
        self.complete.into_iter().next()
    }

    /// All complete replies; some commands (`SUBSCRIBE a b`) send more than one.
    pub fn into_values(self) -> Vec<Value> {
        self.complete
    }

    fn is_resp3(&self) -> bool {
        self.protocol == Protocol::Resp3
    }

    /// Adds a complete value, which may complete the aggregates around it.
    fn add(&mut self, mut value: Value) {
        loop {
            let Some(frame) = self.open.last_mut() else {
                return self.complete.push(value);
            };
            frame.items.push(value);
            match &mut frame.missing {
                Some(missing) if *missing > 1 => {
                    *missing -= 1;
                    return;
                }
                Some(_) => {}
                None => return,
            }
            match self.close() {
                Some(closed) => value = closed,
                None => return,
            }
        }
    }

    fn close(&mut self) -> Option<Value> {
        let value = self.open.pop()?.into_value();
        let too_deep = self.open.len() >= VALUE_DEPTH_MAX;
        Some(if too_deep { Value::Error(NESTED_TOO_DEEPLY.as_bytes().to_vec()) } else { value })
    }

    fn begin(&mut self, kind: Kind, missing: usize) {
        let items = Vec::with_capacity(missing.min(CAPACITY_MAX));
        self.open.push(Frame { kind, items, missing: Some(missing) });
        if missing == 0
            && let Some(value) = self.close()
        {
            self.add(value);
        }
    }

    /// An aggregate of RESP3 or the array it is in RESP2.
    fn shape(&self, kind: Kind) -> Kind {
        if self.is_resp3() { kind } else { Kind::Array }
    }
}

fn one_line(text: &[u8]) -> Vec<u8> {
    text.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect()
}

impl ReplyWriter for ValueWriter {
    fn protocol(&self) -> Protocol {
        self.protocol
    }

    fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    fn status(&mut self, text: &[u8]) {
        self.add(Value::Status(one_line(text)));
    }

    fn error(&mut self, text: &[u8]) {
        self.add(Value::Error(one_line(text)));
    }

    fn int(&mut self, value: i64) {
        self.add(Value::Int(value));
    }

    fn bulk(&mut self, value: &[u8]) {
        self.add(Value::bulk(value));
    }

    fn null(&mut self) {
        self.add(Value::Null);
    }

    fn null_array(&mut self) {
        let value = if self.is_resp3() { Value::Null } else { Value::NullArray };
        self.add(value);
    }

    fn double(&mut self, value: f64) {
        if self.is_resp3() {
            return self.add(Value::Double(value));
        }
        let mut text = Vec::new();
        format_double(value, &mut text);
        self.add(Value::Bulk(text));
    }

    fn bool(&mut self, value: bool) {
        let value = if self.is_resp3() { Value::Bool(value) } else { Value::Int(value.into()) };
        self.add(value);
    }

    fn big_number(&mut self, digits: &[u8]) {
        let resp3 = self.is_resp3();
        self.add(if resp3 { Value::BigNumber(one_line(digits)) } else { Value::bulk(digits) });
    }

    fn verbatim(&mut self, format: &[u8; 3], text: &[u8]) {
        let text = text.to_vec();
        let resp3 = self.is_resp3();
        self.add(if resp3 { Value::Verbatim { format: *format, text } } else { Value::Bulk(text) });
    }

    fn array(&mut self, len: usize) {
        self.begin(Kind::Array, len);
    }

    fn map(&mut self, pairs: usize) {
        self.begin(self.shape(Kind::Map), pairs.saturating_mul(2));
    }

    fn set(&mut self, len: usize) {
        self.begin(self.shape(Kind::Set), len);
    }

    fn push(&mut self, len: usize) {
        self.begin(self.shape(Kind::Push), len);
    }

    fn attribute(&mut self, pairs: usize) {
        self.begin(Kind::Attributed, pairs.saturating_mul(2).saturating_add(1));
    }

    fn begin_deferred(&mut self, kind: DeferredKind) -> Deferred {
        let position = self.open.len();
        let frame_kind = match kind {
            DeferredKind::Array => Kind::Array,
            DeferredKind::Map => self.shape(Kind::Map),
            DeferredKind::Set => self.shape(Kind::Set),
        };
        self.open.push(Frame { kind: frame_kind, items: Vec::new(), missing: None });
        Deferred { kind, position }
    }

    fn end_deferred(&mut self, at: Deferred, len: usize) {
        debug_assert_eq!(self.open.len(), at.position + 1, "aggregates end like brackets");
        let elements = if at.kind == DeferredKind::Map { len.saturating_mul(2) } else { len };
        let written = self.open.last().map(|frame| frame.items.len());
        debug_assert_eq!(written, Some(elements), "the length is that of what was written");
        self.open.truncate(at.position + 1);
        if let Some(value) = self.close() {
            self.add(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::strategies::any_value;
    use crate::{RespWriter, parse_reply};

    /// Passes on what it hears, with every announced aggregate deferred.
    fn write_deferred(value: &Value, writer: &mut dyn ReplyWriter) {
        let (kind, items): (_, Vec<&Value>) = match value {
            Value::Array(items) => (DeferredKind::Array, items.iter().collect()),
            Value::Set(items) => (DeferredKind::Set, items.iter().collect()),
            Value::Map(pairs) => {
                (DeferredKind::Map, pairs.iter().flat_map(|(key, value)| [key, value]).collect())
            }
            other => return other.write(writer),
        };
        let at = writer.begin_deferred(kind);
        items.iter().for_each(|item| write_deferred(item, writer));
        let len = if kind == DeferredKind::Map { items.len() / 2 } else { items.len() };
        writer.end_deferred(at, len);
    }

    #[test]
    fn several_replies_and_none() {
        let mut writer = ValueWriter::new(Protocol::Resp2);
        writer.array(0);
        writer.ok();
        let expected = vec![Value::Array(vec![]), Value::Status(b"OK".to_vec())];
        assert_eq!(writer.into_values(), expected);
        assert_eq!(ValueWriter::new(Protocol::Resp2).into_value(), None);
    }

    #[test]
    fn nesting_is_bounded() {
        let mut writer = ValueWriter::new(Protocol::Resp2);
        (0..100_000).for_each(|_| writer.array(1));
        writer.int(1);
        let mut value = writer.into_value().unwrap();
        let mut depth = 0;
        while let Value::Array(mut items) = value {
            value = items.remove(0);
            depth += 1;
        }
        assert_eq!(depth, VALUE_DEPTH_MAX);
        assert_eq!(value.as_error(), Some(NESTED_TOO_DEEPLY.as_bytes()));
    }

    proptest! {
        #[test]
        fn builds_what_a_client_reads(value in any_value(), resp3: bool) {
            let protocol = if resp3 { Protocol::Resp3 } else { Protocol::Resp2 };
            let mut bytes = Vec::new();
            value.write(&mut RespWriter::new(&mut bytes, protocol));
            let mut writer = ValueWriter::new(protocol);
            value.write(&mut writer);
            let read = parse_reply(&bytes).unwrap();
            prop_assert_eq!(read, writer.into_value().map(|value| (value, bytes.len())));
        }

        #[test]
        fn deferred_is_the_same_as_announced(value in any_value(), resp3: bool) {
            let protocol = if resp3 { Protocol::Resp3 } else { Protocol::Resp2 };
            let (mut announced, mut deferred) = (Vec::new(), Vec::new());
            value.write(&mut RespWriter::new(&mut announced, protocol));
            write_deferred(&value, &mut RespWriter::new(&mut deferred, protocol));
            prop_assert_eq!(announced, deferred);

            let mut announced = ValueWriter::new(protocol);
            let mut deferred = ValueWriter::new(protocol);
            value.write(&mut announced);
            write_deferred(&value, &mut deferred);
            prop_assert_eq!(announced.into_values(), deferred.into_values());
        }
    }
}
