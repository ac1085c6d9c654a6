//! The value of a key: one of the data types, in one of its encodings.
//!
//! ```text
//! Int    a string that is a canonical 64-bit integer        "int"
//! Str    a string as it was set                              "embstr" up to 44 bytes, else "raw"
//! Raw    a string that was changed in place and may again    "raw"
//! List, Hash, Set, ZSet, Stream                               see their modules
//! ```
//!
//! A [`Value`] is on its way into a database or out of it. There it is part of a [`KeyEntry`], which
//! packs it tighter, and is looked at as a [`ValueRef`].

use crate::Bytes;
use crate::entry::KeyEntry;
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
    Raw(Vec<u8>),
    /// A list.
    List(List),
    /// A hash.
    Hash(Hash),
    /// A set.
    Set(Set),
    /// A sorted set.
    ZSet(ZSet),
    /// A stream.
    Stream(Box<Stream>),
}

/// The value of a key that is in a database.
#[derive(Debug, Clone, Copy)]
pub enum ValueRef<'a> {
    /// A string holding a canonical decimal integer.
    Int(i64),
    /// A string as it was set.
    Str(&'a [u8]),
    /// A string that was changed in place, or is long.
    Raw(&'a Vec<u8>),
    /// A list.
    List(&'a List),
    /// A hash.
    Hash(&'a Hash),
    /// A set.
    Set(&'a Set),
    /// A sorted set.
    ZSet(&'a ZSet),
    /// A stream.
    Stream(&'a Stream),
}

/// A data type that a [`Value`] can hold besides strings.
pub trait ValueType: Sized {
    /// The value as this type.
    fn of(value: ValueRef<'_>) -> Option<&Self>;
    /// The value of an entry as this type, to change.
    fn of_mut(entry: &mut KeyEntry) -> Option<&mut Self>;
    /// Makes a value of it.
    fn into_value(self) -> Value;
}

macro_rules! value_type {
    ($($kind:ident($($boxed:path)?))*) => { $(
        impl ValueType for $kind {
            #[inline]
            fn of(value: ValueRef<'_>) -> Option<&Self> {
                match value {
                    ValueRef::$kind(inner) => Some(inner),
                    _ => None,
                }
            }
            #[inline]
            fn of_mut(entry: &mut KeyEntry) -> Option<&mut Self> {
                entry.contained_mut()
            }
            fn into_value(self) -> Value {
                Value::$kind($($boxed)?(self))
            }
        }
    )* };
}

value_type!(Hash() List() Set() Stream(Box::new) ZSet());

impl Value {
    /// A string value: an integer where the text is a canonical one.
    #[inline]
    pub fn string(content: &[u8]) -> Value {
        match canonical_int(content) {
            Some(int) => Value::Int(int),
            None => Value::Str(Bytes::new(content)),
        }
    }

    /// The value, to look at.
    #[inline]
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Value::Int(int) => ValueRef::Int(*int),
            Value::Str(content) => ValueRef::Str(content),
            Value::Raw(content) => ValueRef::Raw(content),
            Value::List(list) => ValueRef::List(list),
            Value::Hash(hash) => ValueRef::Hash(hash),
            Value::Set(set) => ValueRef::Set(set),
            Value::ZSet(zset) => ValueRef::ZSet(zset),
            Value::Stream(stream) => ValueRef::Stream(stream),
        }
    }

    /// Number of allocations that freeing it takes, roughly: what decides about lazy freeing.
    pub fn free_effort(&self) -> usize {
        self.as_ref().free_effort()
    }
}

impl<'a> ValueRef<'a> {
    /// A copy.
    pub fn to_value(self) -> Value {
        match self {
            ValueRef::Int(int) => Value::Int(int),
            ValueRef::Str(content) => Value::Str(content.into()),
            ValueRef::Raw(content) => Value::Raw(content.clone()),
            ValueRef::List(list) => Value::List(list.clone()),
            ValueRef::Hash(hash) => Value::Hash(hash.clone()),
            ValueRef::Set(set) => Value::Set(set.clone()),
            ValueRef::ZSet(zset) => Value::ZSet(zset.clone()),
            ValueRef::Stream(stream) => Value::Stream(Box::new(stream.clone())),
        }
    }

    /// Name of the type as `TYPE` answers.
    pub fn type_name(self) -> &'static str {
        match self {
            ValueRef::Int(_) | ValueRef::Str(_) | ValueRef::Raw(_) => "string",
            ValueRef::List(_) => "list",
            ValueRef::Hash(_) => "hash",
            ValueRef::Set(_) => "set",
            ValueRef::ZSet(_) => "zset",
            ValueRef::Stream(_) => "stream",
        }
    }

    /// Name of the encoding as `OBJECT ENCODING` answers.
    pub fn encoding(self) -> &'static str {
        match self {
            ValueRef::Int(_) => "int",
            ValueRef::Str(content) if content.len() <= EMBSTR_MAX => "embstr",
            ValueRef::Str(_) | ValueRef::Raw(_) => "raw",
            ValueRef::List(list) => list.encoding(),
            ValueRef::Hash(hash) => hash.encoding(),
            ValueRef::Set(set) => set.encoding(),
            ValueRef::ZSet(zset) => zset.encoding(),
            ValueRef::Stream(stream) => stream.encoding(),
        }
    }

    /// Whether it is a string of any encoding.
    #[inline]
    pub fn is_string(self) -> bool {
        matches!(self, ValueRef::Int(_) | ValueRef::Str(_) | ValueRef::Raw(_))
    }

    /// The content of a string; integers are written out.
    pub fn as_string(self) -> Option<Cow<'a, [u8]>> {
        match self {
            ValueRef::Int(int) => {
                Some(Cow::Owned(itoa::Buffer::new().format(int).as_bytes().to_vec()))
            }
            ValueRef::Str(content) => Some(Cow::Borrowed(content)),
            ValueRef::Raw(content) => Some(Cow::Borrowed(content)),
            _ => None,
        }
    }

    /// Length of a string in bytes.
    pub fn string_len(self) -> Option<usize> {
        match self {
            ValueRef::Int(int) => Some(itoa::Buffer::new().format(int).len()),
            ValueRef::Str(content) => Some(content.len()),
            ValueRef::Raw(content) => Some(content.len()),
            _ => None,
        }
    }

    /// Number of allocations that freeing it takes, roughly: what decides about lazy freeing.
    pub fn free_effort(self) -> usize {
        match self {
            ValueRef::Int(_) | ValueRef::Str(_) | ValueRef::Raw(_) => 1,
            ValueRef::List(list) => list.free_effort(),
            ValueRef::Hash(hash) => hash.free_effort(),
            ValueRef::Set(set) => set.free_effort(),
            ValueRef::ZSet(zset) => zset.free_effort(),
            ValueRef::Stream(stream) => stream.free_effort(),
        }
    }

    /// Bytes allocated for it besides what an entry has of every value. Types whose size is not kept are
    /// estimated from `samples` of their nodes; zero looks at all.
    pub fn memory_usage(self, samples: usize) -> usize {
        match self {
            ValueRef::Int(_) => 0,
            ValueRef::Str(content) => content.len(),
            ValueRef::Raw(content) => content.capacity(),
            ValueRef::List(list) => list.memory_usage(samples),
            ValueRef::Hash(hash) => hash.memory_usage(),
            ValueRef::Set(set) => set.memory_usage(),
            ValueRef::ZSet(zset) => zset.memory_usage(samples),
            ValueRef::Stream(stream) => stream.memory_usage(samples),
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
    fn encodings_are_those_of_redis() {
        let encoding = |text: &[u8]| Value::string(text).as_ref().encoding();
        assert_eq!([encoding(b"12"), encoding(b"x")], ["int", "embstr"]);
        assert_eq!([encoding(&[b'x'; 44]), encoding(&[b'x'; 45])], ["embstr", "raw"]);
    }
}
