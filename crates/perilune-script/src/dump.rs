//! The payload of `FUNCTION DUMP` and `FUNCTION RESTORE`, as Redis writes it.
//!
//! ```text
//! 245 length code    for every library
//! version            two bytes, little endian
//! checksum           eight bytes, little endian: CRC-64/Jones of all before
//! ```
//!
//! Lengths and strings are encoded as in snapshots. Written strings are plain; read strings may
//! also be integers or compressed, for which the caller brings the decompressor.
//!
//! Payloads are untrusted: nothing is reserved by an announced length.

use std::fmt;

/// Marks a library.
const FUNCTION2: u8 = 245;
/// Marks a library in the format of release candidates of Redis 7.0.
const FUNCTION_PRE_GA: u8 = 246;
/// Version of the snapshot format; a newer one is not read.
const VERSION: u16 = 11;
/// Version and checksum.
const FOOTER_BYTES: usize = 10;

/// Decompresses LZF data that must come out at the given size.
pub type Decompress = fn(&[u8], usize) -> Option<Vec<u8>>;

/// What is wrong with a payload. Displays as the error text, without code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DumpError {
    /// Too short, too new or damaged.
    Footer,
    /// A library in a format that is not read.
    PreGa,
    /// Something that is no library.
    NotAFunction,
    /// The code of a library cannot be read.
    Code,
}

impl fmt::Display for DumpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Footer => "DUMP payload version or checksum are wrong",
            Self::PreGa => "Pre-GA function format not supported",
            Self::NotAFunction => "given type is not a function",
            Self::Code => "Failed loading library payload",
        })
    }
}

impl std::error::Error for DumpError {}

/// The payload of libraries with these codes.
pub fn write_dump<'a>(codes: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for code in codes {
        out.push(FUNCTION2);
        write_length(&mut out, code.len());
        out.extend_from_slice(code);
    }
    out.extend_from_slice(&VERSION.to_le_bytes());
    let checksum = crc64(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// The codes in a payload.
pub fn read_dump(payload: &[u8], decompress: Decompress) -> Result<Vec<Vec<u8>>, DumpError> {
    let body_len = payload.len().checked_sub(FOOTER_BYTES).ok_or(DumpError::Footer)?;
    let (summed, checksum) = payload.split_at(body_len + 2);
    let (body, version) = summed.split_at(body_len);
    let version = u16::from_le_bytes([version[0], version[1]]);
    if version > VERSION || checksum != crc64(summed).to_le_bytes() {
        return Err(DumpError::Footer);
    }
    let mut codes = Vec::new();
    let mut rest = body;
    while let Some((kind, tail)) = rest.split_first() {
        match *kind {
            FUNCTION2 => {}
            FUNCTION_PRE_GA => return Err(DumpError::PreGa),
            _ => return Err(DumpError::NotAFunction),
        }
        let (code, tail) = read_string(tail, decompress).ok_or(DumpError::Code)?;
        codes.push(code);
        rest = tail;
    }
    Ok(codes)
}

fn write_length(out: &mut Vec<u8>, len: usize) {
    if len < 1 << 6 {
        out.push(len as u8);
    } else if len < 1 << 14 {
        out.extend_from_slice(&(0x4000 | len as u16).to_be_bytes());
    } else if let Ok(len) = u32::try_from(len) {
        out.push(0x80);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(0x81);
        out.extend_from_slice(&(len as u64).to_be_bytes());
    }
}

/// A length, or the kind of a string that is no plain one.
enum Length {
    Plain(usize),
    Special(u8),
}

fn read_length(input: &[u8]) -> Option<(Length, &[u8])> {
    let (&first, rest) = input.split_first()?;
    let (length, rest) = match (first >> 6, first) {
        (0, _) => (u64::from(first), rest),
        (1, _) => {
            let (low, rest) = rest.split_first()?;
            (u64::from(first & 0x3F) << 8 | u64::from(*low), rest)
        }
        (3, _) => return Some((Length::Special(first & 0x3F), rest)),
        (_, 0x80) => {
            let (bytes, rest) = rest.split_first_chunk::<4>()?;
            (u64::from(u32::from_be_bytes(*bytes)), rest)
        }
        (_, 0x81) => {
            let (bytes, rest) = rest.split_first_chunk::<8>()?;
            (u64::from_be_bytes(*bytes), rest)
        }
        _ => return None,
    };
    Some((Length::Plain(usize::try_from(length).ok()?), rest))
}

fn read_plain_length(input: &[u8]) -> Option<(usize, &[u8])> {
    match read_length(input)? {
        (Length::Plain(len), rest) => Some((len, rest)),
        _ => None,
    }
}

fn read_string(input: &[u8], decompress: Decompress) -> Option<(Vec<u8>, &[u8])> {
    let digits = |value: i32| value.to_string().into_bytes();
    match read_length(input)? {
        (Length::Plain(len), rest) => {
            let (text, rest) = rest.split_at_checked(len)?;
            Some((text.to_vec(), rest))
        }
        (Length::Special(0), rest) => {
            let (bytes, rest) = rest.split_first_chunk::<1>()?;
            Some((digits(i8::from_le_bytes(*bytes).into()), rest))
        }
        (Length::Special(1), rest) => {
            let (bytes, rest) = rest.split_first_chunk::<2>()?;
            Some((digits(i16::from_le_bytes(*bytes).into()), rest))
        }
        (Length::Special(2), rest) => {
            let (bytes, rest) = rest.split_first_chunk::<4>()?;
            Some((digits(i32::from_le_bytes(*bytes)), rest))
        }
        (Length::Special(3), rest) => {
            let (packed, rest) = read_plain_length(rest)?;
            let (size, rest) = read_plain_length(rest)?;
            let (data, rest) = rest.split_at_checked(packed)?;
            Some((decompress(data, size)?, rest))
        }
        _ => None,
    }
}

/// CRC-64 with the polynomial of Jones, reflected, as Redis signs payloads and snapshots.
pub fn crc64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, byte| CRC_TABLE[usize::from(sum as u8 ^ byte)] ^ sum >> 8)
}

static CRC_TABLE: [u64; 256] = crc_table();

const fn crc_table() -> [u64; 256] {
    /// The polynomial 0xad93d23594c935a9, lowest bit first.
    const POLYNOMIAL: u64 = 0xad93_d235_94c9_35a9_u64.reverse_bits();
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ POLYNOMIAL } else { sum >> 1 };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn none(_: &[u8], _: usize) -> Option<Vec<u8>> {
        None
    }

    /// A payload with this body.
    fn sealed(body: &[u8]) -> Vec<u8> {
        let mut payload = [body, &VERSION.to_le_bytes()].concat();
        let checksum = crc64(&payload);
        payload.extend_from_slice(&checksum.to_le_bytes());
        payload
    }

    #[test]
    fn checksum_is_the_one_of_redis() {
        assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        assert_eq!(crc64(b""), 0);
    }

    #[test]
    fn strings_of_every_kind_are_read() {
        fn doubled(data: &[u8], size: usize) -> Option<Vec<u8>> {
            let text = data.repeat(2);
            (text.len() == size).then_some(text)
        }
        let body =
            b"\xf5\x02ab\xf5\xc0\xff\xf5\xc1\x39\x30\xf5\xc2\x15\xcd\x5b\x07\xf5\xc3\x02\x04xy";
        let codes = read_dump(&sealed(body), doubled).unwrap();
        assert_eq!(codes, [&b"ab"[..], b"-1", b"12345", b"123456789", b"xyxy"]);
    }

    #[test]
    fn faulty_payloads() {
        for payload in [&b""[..], b"123456789", b"bad payload, and long"] {
            assert_eq!(read_dump(payload, none), Err(DumpError::Footer));
        }
        let mut damaged = write_dump([&b"code"[..]].into_iter());
        damaged[3] ^= 1;
        assert_eq!(read_dump(&damaged, none), Err(DumpError::Footer));
        let mut newer = b"\xf5\x01a\x0c\x00".to_vec();
        newer.extend_from_slice(&crc64(&newer.clone()).to_le_bytes());
        assert_eq!(read_dump(&newer, none), Err(DumpError::Footer));
        for (body, error) in [
            (&b"\xf6\x01a"[..], DumpError::PreGa),
            (b"\x00\x01a", DumpError::NotAFunction),
            (b"\xf5", DumpError::Code),
            (b"\xf5\x05abc", DumpError::Code),
            (b"\xf5\x81\xff\xff\xff\xff\xff\xff\xff\xffa", DumpError::Code),
            (b"\xf5\xc3\x01\x01a", DumpError::Code),
            (b"\xf5\xc4", DumpError::Code),
            (b"\xf5\x82", DumpError::Code),
        ] {
            assert_eq!(read_dump(&sealed(body), none), Err(error), "{}", body.escape_ascii());
        }
        assert_eq!(read_dump(&sealed(b""), none), Ok(vec![]));
    }

    #[test]
    fn long_codes_survive() {
        let codes = [vec![b'a'; 63], vec![b'b'; 64], vec![b'c'; 16_383], vec![b'd'; 16_384]];
        let payload = write_dump(codes.iter().map(Vec::as_slice));
        assert_eq!(read_dump(&payload, none).unwrap(), codes);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(codes: Vec<Vec<u8>>) {
            let payload = write_dump(codes.iter().map(Vec::as_slice));
            prop_assert_eq!(read_dump(&payload, none), Ok(codes));
        }

        #[test]
        fn garbage_does_no_harm(pieces: Vec<(u8, Vec<u8>)>) {
            let mut body = Vec::new();
            for (byte, text) in pieces {
                body.push(FUNCTION2);
                body.push(byte);
                body.extend_from_slice(&text);
            }
            let _ = read_dump(&sealed(&body), none);
        }
    }
}
