//! Lengths and strings, the two things of which everything in a snapshot consists.
//!
//! A string is stored in the shortest of three ways: as an integer of up to 32 bits if it is the
//! canonical text of one, compressed if that saves enough, else as its length and its bytes.

use crate::format::length;
use perilune_keyspace::{LpValue, canonical_int, lzf};
use std::io::{self, Write};

/// Where a snapshot goes.
pub(crate) trait Output: Write {
    /// Whether strings are compressed where that saves enough.
    fn compresses(&self) -> bool;
}

/// A writer as an [`Output`].
pub(crate) struct Target<W> {
    pub(crate) writer: W,
    pub(crate) compress: bool,
}

impl<W: Write> Write for Target<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl<W: Write> Output for Target<W> {
    fn compresses(&self) -> bool {
        self.compress
    }
}

/// Payloads in memory are always compressed.
impl Output for Vec<u8> {
    fn compresses(&self) -> bool {
        true
    }
}

/// Longest text of an integer of 32 bits.
const INT32_TEXT_MAX: usize = 11;
/// Shorter strings are not worth an attempt at compression.
const COMPRESS_MIN: usize = 21;
/// Bytes that compression must save to be kept.
const COMPRESS_GAIN_MIN: usize = 4;

pub(crate) fn write_length(out: &mut impl Write, len: u64) -> io::Result<()> {
    if len < 1 << 6 {
        out.write_all(&[len as u8])
    } else if len < 1 << 14 {
        out.write_all(&(length::BITS_14 | len as u16).to_be_bytes())
    } else if let Ok(len) = u32::try_from(len) {
        out.write_all(&[length::BITS_32])?;
        out.write_all(&len.to_be_bytes())
    } else {
        out.write_all(&[length::BITS_64])?;
        out.write_all(&len.to_be_bytes())
    }
}

pub(crate) fn write_string(out: &mut impl Output, text: &[u8]) -> io::Result<()> {
    if text.len() <= INT32_TEXT_MAX
        && let Some(int) = canonical_int(text).and_then(|int| i32::try_from(int).ok())
    {
        return write_small_int(out, int);
    }
    if out.compresses()
        && text.len() >= COMPRESS_MIN
        && let Some(packed) = lzf::compress(text, text.len() - COMPRESS_GAIN_MIN)
    {
        return write_compressed(out, &packed, text.len());
    }
    write_plain(out, text)
}

/// A string that is the text of an integer.
pub(crate) fn write_int(out: &mut impl Write, int: i64) -> io::Result<()> {
    match i32::try_from(int) {
        Ok(int) => write_small_int(out, int),
        Err(_) => write_plain(out, itoa::Buffer::new().format(int).as_bytes()),
    }
}

pub(crate) fn write_element(out: &mut impl Output, element: LpValue<'_>) -> io::Result<()> {
    match element {
        LpValue::Int(int) => write_int(out, int),
        LpValue::Str(text) => write_string(out, text),
    }
}

/// A string of `size` bytes that is compressed already.
pub(crate) fn write_compressed(out: &mut impl Write, packed: &[u8], size: usize) -> io::Result<()> {
    out.write_all(&[length::LZF])?;
    write_length(out, packed.len() as u64)?;
    write_length(out, size as u64)?;
    out.write_all(packed)
}

fn write_plain(out: &mut impl Write, text: &[u8]) -> io::Result<()> {
    write_length(out, text.len() as u64)?;
    out.write_all(text)
}

fn write_small_int(out: &mut impl Write, int: i32) -> io::Result<()> {
    if let Ok(int) = i8::try_from(int) {
        out.write_all(&[length::INT8, int as u8])
    } else if let Ok(int) = i16::try_from(int) {
        out.write_all(&[length::INT16])?;
        out.write_all(&int.to_le_bytes())
    } else {
        out.write_all(&[length::INT32])?;
        out.write_all(&int.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_string(&mut out, text).unwrap();
        out
    }

    #[test]
    fn lengths_take_the_fewest_bytes() {
        for (len, bytes) in [
            (0, &[0][..]),
            (63, &[63]),
            (64, &[0x40, 64]),
            (16_383, &[0x7F, 0xFF]),
            (16_384, &[0x80, 0, 0, 0x40, 0]),
            (u64::from(u32::MAX), &[0x80, 0xFF, 0xFF, 0xFF, 0xFF]),
            (1 << 32, &[0x81, 0, 0, 0, 1, 0, 0, 0, 0]),
        ] {
            let mut out = Vec::new();
            write_length(&mut out, len).unwrap();
            assert_eq!(out, bytes, "{len}");
        }
    }

    #[test]
    fn integers_are_stored_as_such() {
        assert_eq!(string(b"-128"), b"\xC0\x80");
        assert_eq!(string(b"128"), b"\xC1\x80\x00");
        assert_eq!(string(b"-2147483648"), b"\xC2\x00\x00\x00\x80");
        assert_eq!(string(b"2147483648"), b"\x0A2147483648");
        assert_eq!(string(b"007"), b"\x03007");
        for int in [i64::MIN, -1, 0, 70_000, i64::MAX] {
            let mut out = Vec::new();
            write_int(&mut out, int).unwrap();
            assert_eq!(out, string(int.to_string().as_bytes()));
        }
    }

    #[test]
    fn repetition_is_compressed() {
        assert_eq!(string(&[b'a'; 20])[..2], [20, b'a']);
        let packed = string(&[b'a'; 2000]);
        assert_eq!((packed[0], packed.len() < 40), (length::LZF, true));
        let noise: Vec<u8> = (0..60).collect();
        assert_eq!(string(&noise)[1..], noise);
    }
}
