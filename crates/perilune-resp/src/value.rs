//! Replies as values: what a client sees of a reply, with every kind of RESP2 and RESP3.

use crate::{Protocol, ReplyWriter};

/// A reply, or a part of one.
///
/// Comparison is structural. A NaN equals nothing, as everywhere.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value: RESP3 null or RESP2 null bulk.
    Null,
    /// No aggregate: RESP2 null array. RESP3 knows only [`Value::Null`].
    NullArray,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating point number.
    Double(f64),
    /// An integer of any size, in decimal digits.
    BigNumber(Vec<u8>),
    /// A status line such as `OK`.
    Status(Vec<u8>),
    /// An error with its code, without the leading `-`.
    Error(Vec<u8>),
    /// A binary-safe string.
    Bulk(Vec<u8>),
    /// Text in a format such as `txt` or `mkd`.
    Verbatim {
        /// Three letters that name the format.
        format: [u8; 3],
        /// The text.
        text: Vec<u8>,
    },
    /// A sequence.
    Array(Vec<Value>),
    /// Pairs in the order they were sent.
    Map(Vec<(Value, Value)>),
    /// Members in the order they were sent.
    Set(Vec<Value>),
    /// A message outside of the order of requests and replies.
    Push(Vec<Value>),
    /// A reply with something to say about it.
    Attributed(Box<Attributed>),
}

/// A reply and the attributes that were sent before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Attributed {
    /// The attributes.
    pub attributes: Vec<(Value, Value)>,
    /// The reply proper.
    pub value: Value,
}

impl Value {
    /// A bulk string.
    pub fn bulk(text: impl AsRef<[u8]>) -> Self {
        Self::Bulk(text.as_ref().to_vec())
    }

    /// The text of an error reply.
    pub fn as_error(&self) -> Option<&[u8]> {
        match self {
            Self::Error(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes of a string of any kind: bulk, status or verbatim.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bulk(text) | Self::Status(text) | Self::Verbatim { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Tells `writer` this reply. Attributes are left out where the reader expects RESP2, which
    /// has no room for them.
    pub fn write(&self, writer: &mut dyn ReplyWriter) {
        match self {
            Self::Null => writer.null(),
            Self::NullArray => writer.null_array(),
            Self::Bool(value) => writer.bool(*value),
            Self::Int(value) => writer.int(*value),
            Self::Double(value) => writer.double(*value),
            Self::BigNumber(digits) => writer.big_number(digits),
            Self::Status(text) => writer.status(text),
            Self::Error(text) => writer.error(text),
            Self::Bulk(text) => writer.bulk(text),
            Self::Verbatim { format, text } => writer.verbatim(format, text),
            Self::Array(items) => {
                writer.array(items.len());
                items.iter().for_each(|item| item.write(writer));
            }
            Self::Map(pairs) => {
                writer.map(pairs.len());
                write_pairs(pairs, writer);
            }
            Self::Set(items) => {
                writer.set(items.len());
                items.iter().for_each(|item| item.write(writer));
            }
            Self::Push(items) => {
                writer.push(items.len());
                items.iter().for_each(|item| item.write(writer));
            }
            Self::Attributed(attributed) => {
                if writer.protocol() == Protocol::Resp3 {
                    writer.attribute(attributed.attributes.len());
                    write_pairs(&attributed.attributes, writer);
                }
                attributed.value.write(writer);
            }
        }
    }
}

fn write_pairs(pairs: &[(Value, Value)], writer: &mut dyn ReplyWriter) {
    for (key, value) in pairs {
        key.write(writer);
        value.write(writer);
    }
}

/// Puts a flat list of keys and values into pairs. A last key without value gets null.
pub(crate) fn into_pairs(items: Vec<Value>) -> Vec<(Value, Value)> {
    let mut pairs = Vec::with_capacity(items.len() / 2);
    let mut items = items.into_iter();
    while let Some(key) = items.next() {
        pairs.push((key, items.next().unwrap_or(Value::Null)));
    }
    pairs
}

#[cfg(test)]
pub(crate) mod strategies {
    //! Values for property tests.

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
        vec(any::<u8>(), 0..20)
    }

    /// Text that stays as it is on a line of its own.
    fn any_line() -> impl Strategy<Value = Vec<u8>> {
        any_bytes().prop_map(|mut text| {
            text.retain(|byte| !matches!(byte, b'\r' | b'\n'));
            text
        })
    }

    /// Any value of RESP3 that equals itself.
    pub(crate) fn any_value() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (-200_i64..200).prop_map(Value::Int),
            any::<f64>().prop_filter("NaN", |value| !value.is_nan()).prop_map(Value::Double),
            "-?[1-9][0-9]{0,30}".prop_map(|digits| Value::BigNumber(digits.into_bytes())),
            any_line().prop_map(Value::Status),
            any_line().prop_map(Value::Error),
            any_bytes().prop_map(Value::Bulk),
            any_bytes().prop_map(|text| Value::Verbatim { format: *b"txt", text }),
        ];
        scalar.prop_recursive(5, 64, 6, |inner| {
            let pairs = || vec((inner.clone(), inner.clone()), 0..4);
            prop_oneof![
                vec(inner.clone(), 0..6).prop_map(Value::Array),
                vec(inner.clone(), 0..6).prop_map(Value::Set),
                vec(inner.clone(), 0..6).prop_map(Value::Push),
                pairs().prop_map(Value::Map),
                (pairs(), inner.clone()).prop_map(|(attributes, value)| {
                    Value::Attributed(Box::new(Attributed { attributes, value }))
                }),
            ]
        })
    }
}
