//! The Redis serialization protocol: requests in, replies out.
//!
//! - [`Decoder`] finds the requests in what a client sent, however the bytes were cut.
//! - [`ReplyWriter`] is the one way a command answers. It says what the reply *is* (an integer, a
//!   map of three pairs); the implementation decides what becomes of it: bytes of RESP2 or RESP3
//!   ([`RespWriter`]), a value ([`ValueWriter`]), or something a script engine understands.
//! - [`Value`] is a reply as a client sees it: [`parse_reply`] reads it, [`format_cli`] shows it.
//! - [`encode_request`] writes what a client sends.
//!
//! This crate knows no command and does no I/O.
//!
//! A server's side of one request:
//!
//! ```
//! use perilune_resp::{Decoder, DecoderLimits, Protocol, ReplyWriter, RespWriter};
//!
//! let received = b"*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n";
//! let mut to_send = Vec::new();
//! let mut decoder = Decoder::new(DecoderLimits::default());
//! if let Some(_consumed) = decoder.decode(received)? {
//!     let mut reply = RespWriter::new(&mut to_send, Protocol::Resp2);
//!     match decoder.arg(received, 0) {
//!         b"ECHO" => reply.bulk(decoder.arg(received, 1)),
//!         _ => reply.error(b"ERR unknown command"),
//!     }
//! }
//! assert_eq!(to_send, b"$2\r\nhi\r\n");
//! # Ok::<(), perilune_resp::ProtocolError>(())
//! ```

mod cli;
mod decoder;
mod double;
mod error;
mod grisu;
mod number;
mod quote;
mod reply;
mod resp_writer;
mod split;
mod value;
mod value_writer;
mod writer;

pub use cli::format_cli;
pub use decoder::{ArgRange, Decoder, DecoderLimits};
pub use double::{format_double, format_double_digits};
pub use error::ProtocolError;
pub use number::{parse_double, parse_int};
pub use quote::append_quoted;
pub use reply::{ReplyLimits, parse_reply, parse_reply_within};
pub use resp_writer::{RespWriter, encode_request};
pub use split::split_args;
pub use value::{Attributed, Value};
pub use value_writer::ValueWriter;
pub use writer::{Deferred, DeferredKind, Protocol, ReplyWriter};
