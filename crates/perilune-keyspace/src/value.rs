//! The value of a key: one of the data types, in one of its encodings.
//!
//! ```text
//! Int    a string that is a canonical 64-bit integer        "int"
//! Str    a string as it was set, at most 22 bytes in place   "embstr" up to 44 bytes, else "raw"
//! Raw    a string that was changed in place and may again    "raw"
//! List, Hash, Set, ZSet, Stream                               boxed, see their modules
//! ```
//!
//! Invariant: 24 bytes, so that a key with a small value is one allocation of one cache line.

use crate::Bytes;
use crate::hash::Hash;
use crate::list::List;
use crate::set::Set;
use crate::stream::Stream;
use crate::zset::ZSet;
use std::borrow::Cow;

/// Longest string, in bytes, that Redis reports as `embstr`.
const EMBSTR_MAX: usize = 44;

/// Longest text of a 64-bit integer.
const INT_TEXT_MAX: usize = 20;

/// The value of a key.
#[derive(Debug, Clone)]
pub enum Value {
    /// A string holding a canonical decimal integer.
    Int(i64),
    /// A string as it was set.
    Str(Bytes),
    /// A string that was changed in place.
    Raw(Box<Vec<u8>>),
    /// A list.
    List(Box<List>),
    /// A hash.
    Hash(Box<Hash>),
    /// A set.
    Set(Box<Set>),
    /// A sorted set.
    ZSet(Box<ZSet>),
    /// A stream.
    Stream(Box<Stream>),
}

/// A data type that a [`Value`] can hold besides strings.
pub trait ValueType: Sized {
    /// The value as this type.
    fn of(value: &Value) -> Option<&Self>;
    /// The value as this type, to change.
    fn of_mut(value: &mut Value) -> Option<&mut Self>;
    /// Makes a value of it.
    fn into_value(self) -> Value;
}

macro_rules! value_type {
    ($($kind:ident)*) => { $(
        impl ValueType for $kind {
            #[inline]
            fn of(value: &Value) -> Option<&Self> {
                match value {
                    Value::$kind(inner) => Some(inner),
                    _ => None,
                }
            }
            #[inline]
            fn of_mut(value: &mut Value) -> Option<&mut Self> {
                match value {
                    Value::$kind(inner) => Some(inner),
                    _ => None,
                }
            }
            fn into_value(self) -> Value {
                Value::$kind(Box::new(self))
            }
        }
    )* };
}

value_type!(Hash List Set Stream ZSet);

impl Value {
    /// A string value: an integer where the text is a canonical one.
    #[inline]
    pub fn string(content: &[u8]) -> Value {
        match canonical_int(content) {
            Some(int) => Value::Int(int),
            None => Value::Str(Bytes::new(content)),
        }
    }

    /// Name of the type as `TYPE` answers.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Int(_) | Value::Str(_) | Value::Raw(_) => "string",
            Value::List(_) => "list",
            Value::Hash(_) => "hash",
            Value::Set(_) => "set",
            Value::ZSet(_) => "zset",
            Value::Stream(_) => "stream",
        }
    }

    /// Name of the encoding as `OBJECT ENCODING` answers.
    pub fn encoding(&self) -> &'static str {
        match self {
            Value::Int(_) => "int",
            Value::Str(content) if content.len() <= EMBSTR_MAX => "embstr",
            Value::Str(_) | Value::Raw(_) => "raw",
            Value::List(list) => list.encoding(),
            Value::Hash(hash) => hash.encoding(),
            Value::Set(set) => set.encoding(),
            Value::ZSet(zset) => zset.encoding(),
            Value::Stream(stream) => stream.encoding(),
        }
    }

    /// Whether it is a string of any encoding.
    #[inline]
    pub fn is_string(&self) -> bool {
        matches!(self, Value::Int(_) | Value::Str(_) | Value::Raw(_))
    }

    /// The content of a string; integers are written out.
    pub fn as_string(&self) -> Option<Cow<'_, [u8]>> {
        match self {
            Value::Int(int) => {
                Some(Cow::Owned(itoa::Buffer::new().format(*int).as_bytes().to_vec()))
            }
            Value::Str(content) => Some(Cow::Borrowed(content)),
            Value::Raw(content) => Some(Cow::Borrowed(content)),
            _ => None,
        }
    }

    /// Length of a string in bytes.
    pub fn string_len(&self) -> Option<usize> {
        match self {
            Value::Int(int) => Some(itoa::Buffer::new().format(*int).len()),
            Value::Str(content) => Some(content.len()),
            Value::Raw(content) => Some(content.len()),
            _ => None,
        }
    }

    /// A string as a buffer that can be changed in place (it is `raw` from then on).
    pub fn string_mut(&mut self) -> Option<&mut Vec<u8>> {
        if !matches!(self, Value::Raw(_)) {
            let content = self.as_string()?.into_owned();
            *self = Value::Raw(Box::new(content));
        }
        match self {
            Value::Raw(content) => Some(content),
            _ => None,
        }
    }

    /// Number of allocations that freeing it takes, roughly: what decides about lazy freeing.
    pub fn free_effort(&self) -> usize {
        match self {
            Value::Int(_) | Value::Str(_) | Value::Raw(_) => 1,
            Value::List(list) => list.free_effort(),
            Value::Hash(hash) => hash.free_effort(),
            Value::Set(set) => set.free_effort(),
            Value::ZSet(zset) => zset.free_effort(),
            Value::Stream(stream) => stream.free_effort(),
        }
    }

    /// Bytes allocated for it, not counting the value itself. Types whose size is not kept are
    /// estimated from `samples` of their nodes; zero looks at all.
    pub fn memory_usage(&self, samples: usize) -> usize {
        match self {
            Value::Int(_) => 0,
            Value::Str(content) => content.heap_size(),
            Value::Raw(content) => size_of::<Vec<u8>>() + content.capacity(),
            Value::List(list) => list.memory_usage(samples),
            Value::Hash(hash) => hash.memory_usage(),
            Value::Set(set) => set.memory_usage(),
            Value::ZSet(zset) => zset.memory_usage(samples),
            Value::Stream(stream) => stream.memory_usage(samples),
        }
    }
}

/// The integer that `text` is the canonical decimal form of: no sign but a minus, no leading
/// zeros, no `-0`, within 64 bits.
#[inline]
pub fn canonical_int(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > INT_TEXT_MAX {
        return None;
    }
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [] => return None,
        [b'0'] if !negative => return Some(0),
        [b'0', ..] => return None,
        _ => {}
    }
    let mut value: i64 = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Counting below zero reaches i64::MIN, which has no positive counterpart.
        value = value.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_integers_are_integers() {
        for text in ["0", "-1", "1", "9223372036854775807", "-9223372036854775808", "42"] {
            assert_eq!(canonical_int(text.as_bytes()), text.parse().ok(), "{text}");
        }
        for text in
            ["", "-", "-0", "01", "+1", " 1", "1 ", "1.0", "9223372036854775808", "1e3", "-01"]
        {
            assert_eq!(canonical_int(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn is_three_words() {
        assert_eq!(size_of::<Value>(), 24);
    }

    #[test]
    fn a_changed_string_is_raw() {
        let mut value = Value::string(b"12");
        assert_eq!(value.encoding(), "int");
        if let Some(content) = value.string_mut() {
            content.push(b'3');
        }
        assert_eq!((value.encoding(), value.as_string().as_deref()), ("raw", Some(&b"123"[..])));
    }
}
