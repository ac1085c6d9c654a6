//! Reading lengths and strings, the counterpart of `encode`.
//!
//! The input is untrusted: nothing is reserved by an announced length, so that what is allocated
//! is bounded by a multiple of what the input really holds.

use crate::error::ReadError;
use crate::format::length;
use perilune_keyspace::lzf;
use std::io::Read;

/// A length, or the kind of a string that is not stored as length and bytes.
enum Length {
    Plain(u64),
    Special(u8),
}

pub(crate) fn read_array<const N: usize>(input: &mut impl Read) -> Result<[u8; N], ReadError> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

pub(crate) fn read_byte(input: &mut impl Read) -> Result<u8, ReadError> {
    read_array::<1>(input).map(|[byte]| byte)
}

pub(crate) fn read_length(input: &mut impl Read) -> Result<u64, ReadError> {
    match read_any_length(input)? {
        Length::Plain(len) => Ok(len),
        Length::Special(_) => Err(ReadError::Encoding),
    }
}

pub(crate) fn read_string(input: &mut impl Read) -> Result<Vec<u8>, ReadError> {
    let text = |int: i32| itoa::Buffer::new().format(int).as_bytes().to_vec();
    match read_any_length(input)? {
        Length::Plain(len) => read_bytes(input, len),
        Length::Special(length::INT8) => Ok(text(i8::from_le_bytes(read_array(input)?).into())),
        Length::Special(length::INT16) => Ok(text(i16::from_le_bytes(read_array(input)?).into())),
        Length::Special(length::INT32) => Ok(text(i32::from_le_bytes(read_array(input)?))),
        Length::Special(length::LZF) => {
            let packed_len = read_length(input)?;
            let size = usize::try_from(read_length(input)?).map_err(|_| ReadError::Encoding)?;
            let packed = read_bytes(input, packed_len)?;
            lzf::decompress(&packed, size).ok_or(ReadError::Encoding)
        }
        Length::Special(_) => Err(ReadError::Encoding),
    }
}

fn read_bytes(input: &mut impl Read, len: u64) -> Result<Vec<u8>, ReadError> {
    /// Reserved before any byte has come.
    const TRUSTED_BYTES: u64 = 4096;
    let mut bytes = Vec::with_capacity(len.min(TRUSTED_BYTES) as usize);
    input.by_ref().take(len).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == len { Ok(bytes) } else { Err(ReadError::Truncated) }
}

fn read_any_length(input: &mut impl Read) -> Result<Length, ReadError> {
    let first = read_byte(input)?;
    Ok(match first >> 6 {
        0 => Length::Plain(first.into()),
        1 => Length::Plain(u64::from(first & 0x3F) << 8 | u64::from(read_byte(input)?)),
        3 => Length::Special(first),
        _ => Length::Plain(match first {
            length::BITS_32 => u32::from_be_bytes(read_array(input)?).into(),
            length::BITS_64 => u64::from_be_bytes(read_array(input)?),
            _ => return Err(ReadError::Encoding),
        }),
    })
}
