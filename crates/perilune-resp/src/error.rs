//! What can be wrong with bytes from a peer, and the texts that say so on the wire.
//!
//! Every text of this crate that reaches a peer stands here.

use std::borrow::Cow;
use std::fmt;

/// Stands in a reply for an aggregate that is nested deeper than a [`Value`](crate::Value) may be.
pub(crate) const NESTED_TOO_DEEPLY: &str = "ERR reply is nested too deeply";

/// A violation of the protocol. After one the position in the stream is lost: the peer gets the
/// [message](ProtocolError::message) as its last reply and the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The number of arguments is not a number or is out of range.
    InvalidMultibulkLength,
    /// More arguments than a peer may send before it has authenticated.
    UnauthenticatedMultibulkLength,
    /// A longer argument than a peer may send before it has authenticated.
    UnauthenticatedBulkLength,
    /// The line with the number of arguments does not end.
    TooBigMultibulkCount,
    /// The line with the length of an argument does not end.
    TooBigBulkCount,
    /// An argument must start with `$`, but starts with this byte.
    ExpectedDollar(u8),
    /// The length of an argument is not a number or is out of range.
    InvalidBulkLength,
    /// An inline request does not end.
    TooBigInline,
    /// A quote in an inline request is not closed, or is closed inside of a word.
    UnbalancedQuotes,
    /// A reply starts with a byte that names no type.
    InvalidReplyType(u8),
    /// A length in a reply is not a number or is out of range.
    InvalidReplyLength,
    /// The text of a scalar in a reply is not what its type asks for.
    InvalidReplyValue,
    /// A reply nests deeper than the limit.
    ReplyTooDeep,
}

impl ProtocolError {
    /// The error reply for the peer, as [`ReplyWriter::error`](crate::ReplyWriter::error) takes it.
    pub fn message(&self) -> Cow<'static, [u8]> {
        match self {
            Self::ExpectedDollar(got) => {
                let mut text = b"ERR Protocol error: expected '$', got '".to_vec();
                text.extend_from_slice(&[*got, b'\'']);
                Cow::Owned(text)
            }
            other => Cow::Borrowed(other.fixed_message().as_bytes()),
        }
    }

    fn fixed_message(&self) -> &'static str {
        match self {
            Self::InvalidMultibulkLength => "ERR Protocol error: invalid multibulk length",
            Self::UnauthenticatedMultibulkLength => {
                "ERR Protocol error: unauthenticated multibulk length"
            }
            Self::UnauthenticatedBulkLength => "ERR Protocol error: unauthenticated bulk length",
            Self::TooBigMultibulkCount => "ERR Protocol error: too big mbulk count string",
            Self::TooBigBulkCount => "ERR Protocol error: too big bulk count string",
            Self::ExpectedDollar(_) => "ERR Protocol error: expected '$'",
            Self::InvalidBulkLength => "ERR Protocol error: invalid bulk length",
            Self::TooBigInline => "ERR Protocol error: too big inline request",
            Self::UnbalancedQuotes => "ERR Protocol error: unbalanced quotes in request",
            Self::InvalidReplyType(_) => "ERR Protocol error: invalid reply type",
            Self::InvalidReplyLength => "ERR Protocol error: invalid length in reply",
            Self::InvalidReplyValue => "ERR Protocol error: invalid value in reply",
            Self::ReplyTooDeep => "ERR Protocol error: reply is nested too deeply",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.message();
        let text = message.strip_prefix(b"ERR ").unwrap_or(&message);
        write!(f, "{}", text.escape_ascii())
    }
}

impl std::error::Error for ProtocolError {}
