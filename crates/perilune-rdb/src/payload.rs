//! The payload of `DUMP`: type and value as in a snapshot, then a footer.
//!
//! ```text
//! type value
//! version     two bytes, little endian
//! checksum    eight bytes, little endian: CRC-64/Jones of all before
//! ```

use crate::crc64::crc64;
use crate::decode::read_byte;
use crate::encode::Target;
use crate::error::ReadError;
use crate::format::VERSION;
use crate::read_value::{Check, read_value};
use crate::value::{type_of, write_value};
use perilune_keyspace::{EncodingLimits, Value, ValueRef};

/// Version and checksum.
const FOOTER_BYTES: usize = 10;

/// The payload of a value, its strings compressed where that saves enough if `compress` says so.
pub fn dump_payload(value: ValueRef<'_>, compress: bool) -> Vec<u8> {
    let mut out = Target { writer: vec![type_of(value)], compress };
    // Writing to a vector does not fail.
    let _ = write_value(value, &mut out);
    seal(out.writer)
}

/// The value of a payload. A footer that does not fit is [`ReadError::Footer`]; what follows the
/// value is passed over, as Redis does.
pub fn restore_payload(
    payload: &[u8],
    limits: &EncodingLimits,
    check: Check,
) -> Result<Value, ReadError> {
    let mut body = unseal(payload).ok_or(ReadError::Footer)?;
    let kind = read_byte(&mut body)?;
    read_value(kind, &mut body, limits, check)
}

/// The same without a look at the checksum: for tests that damage payloads on purpose.
pub fn restore_unsigned_payload(
    payload: &[u8],
    limits: &EncodingLimits,
    check: Check,
) -> Result<Value, ReadError> {
    let (mut body, _) = split_footer(payload).ok_or(ReadError::Footer)?;
    let kind = read_byte(&mut body)?;
    read_value(kind, &mut body, limits, check)
}

/// Appends the footer.
pub(crate) fn seal(mut body: Vec<u8>) -> Vec<u8> {
    body.extend_from_slice(&VERSION.to_le_bytes());
    let checksum = crc64(&body);
    body.extend_from_slice(&checksum.to_le_bytes());
    body
}

/// What the footer signs; nothing if the payload is too short, too new or damaged.
pub(crate) fn unseal(payload: &[u8]) -> Option<&[u8]> {
    let (body, checksum) = split_footer(payload)?;
    let sound = checksum == crc64(&payload[..body.len() + 2]).to_le_bytes();
    sound.then_some(body)
}

/// What comes before the footer, and the checksum; nothing if the payload is too short or too new.
fn split_footer(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let (body, footer) = payload.split_at_checked(payload.len().checked_sub(FOOTER_BYTES)?)?;
    let (version, checksum) = footer.split_first_chunk::<2>()?;
    (u16::from_le_bytes(*version) <= VERSION).then_some((body, checksum))
}
