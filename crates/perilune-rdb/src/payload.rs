//! The payload of `DUMP`: type and value as in a snapshot, then a footer.
//!
//! ```text
//! type value
//! version     two bytes, little endian
//! checksum    eight bytes, little endian: CRC-64/Jones of all before
//! ```

use crate::crc64::crc64;
use crate::format::VERSION;
use crate::value::{type_of, write_value};
use perilune_keyspace::Value;

/// Version and checksum.
const FOOTER_BYTES: usize = 10;

/// The payload of a value.
pub fn dump_payload(value: &Value) -> Vec<u8> {
    let mut out = vec![type_of(value)];
    // Writing to a vector does not fail.
    let _ = write_value(value, &mut out);
    seal(out)
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
    let (body, footer) = payload.split_at_checked(payload.len().checked_sub(FOOTER_BYTES)?)?;
    let (version, checksum) = footer.split_first_chunk::<2>()?;
    let sound = u16::from_le_bytes(*version) <= VERSION
        && checksum == crc64(&payload[..body.len() + 2]).to_le_bytes();
    sound.then_some(body)
}
