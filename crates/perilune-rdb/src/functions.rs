//! The payload of `FUNCTION DUMP`: every library as in a snapshot, then the footer of a payload.

use crate::decode::read_string;
use crate::encode::{Target, write_string};
use crate::format::opcode;
use crate::payload::{seal, unseal};
use std::fmt;

/// What is wrong with a payload of libraries. Displays as the error text, without code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FunctionsError {
    /// Too short, too new or damaged.
    Footer,
    /// A library in a format that is not read.
    PreGa,
    /// Something that is no library.
    NotAFunction,
    /// The code of a library cannot be read.
    Code,
}

impl fmt::Display for FunctionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Footer => "DUMP payload version or checksum are wrong",
            Self::PreGa => "Pre-GA function format not supported",
            Self::NotAFunction => "given type is not a function",
            Self::Code => "Failed loading library payload",
        })
    }
}

impl std::error::Error for FunctionsError {}

/// The payload of libraries with these codes, compressed where that saves enough if `compress`
/// says so.
pub fn dump_functions<'a>(codes: impl Iterator<Item = &'a [u8]>, compress: bool) -> Vec<u8> {
    let mut out = Target { writer: Vec::new(), compress };
    for code in codes {
        out.writer.push(opcode::FUNCTION2);
        // Writing to a vector does not fail.
        let _ = write_string(&mut out, code);
    }
    seal(out.writer)
}

/// The codes in a payload.
pub fn restore_functions(payload: &[u8]) -> Result<Vec<Vec<u8>>, FunctionsError> {
    let mut rest = unseal(payload).ok_or(FunctionsError::Footer)?;
    let mut codes = Vec::new();
    while let Some((opcode, tail)) = rest.split_first() {
        rest = tail;
        match *opcode {
            opcode::FUNCTION2 => {}
            opcode::FUNCTION_PRE_GA => return Err(FunctionsError::PreGa),
            _ => return Err(FunctionsError::NotAFunction),
        }
        codes.push(read_string(&mut rest).map_err(|_| FunctionsError::Code)?);
    }
    Ok(codes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crc64;
    use proptest::prelude::*;

    #[test]
    fn strings_of_every_kind_are_read() {
        // The last one is two literals and a copy of two bytes more of them.
        let body = b"\xf5\x02ab\xf5\xc0\xff\xf5\xc1\x39\x30\xf5\xc2\x15\xcd\x5b\x07\
                     \xf5\xc3\x05\x05\x01xy\x20\x01";
        let codes = restore_functions(&seal(body.to_vec())).unwrap();
        assert_eq!(codes, [&b"ab"[..], b"-1", b"12345", b"123456789", b"xyxyx"]);
    }

    #[test]
    fn faulty_payloads() {
        for payload in [&b""[..], b"123456789", b"bad payload, and long"] {
            assert_eq!(restore_functions(payload), Err(FunctionsError::Footer));
        }
        let mut damaged = dump_functions([&b"code"[..]].into_iter(), true);
        damaged[3] ^= 1;
        assert_eq!(restore_functions(&damaged), Err(FunctionsError::Footer));
        let mut newer = b"\xf5\x01a\x0c\x00".to_vec();
        newer.extend_from_slice(&crc64(&newer.clone()).to_le_bytes());
        assert_eq!(restore_functions(&newer), Err(FunctionsError::Footer));
        for (body, error) in [
            (&b"\xf6\x01a"[..], FunctionsError::PreGa),
            (b"\x00\x01a", FunctionsError::NotAFunction),
            (b"\xf5", FunctionsError::Code),
            (b"\xf5\x05abc", FunctionsError::Code),
            (b"\xf5\x81\xff\xff\xff\xff\xff\xff\xff\xffa", FunctionsError::Code),
            (b"\xf5\xc3\x01\x01a", FunctionsError::Code),
            (b"\xf5\xc4", FunctionsError::Code),
            (b"\xf5\x82", FunctionsError::Code),
        ] {
            let outcome = restore_functions(&seal(body.to_vec()));
            assert_eq!(outcome, Err(error), "{}", body.escape_ascii());
        }
        assert_eq!(restore_functions(&seal(vec![])), Ok(vec![]));
    }

    #[test]
    fn long_codes_survive() {
        let codes = [vec![b'a'; 63], vec![b'b'; 64], vec![b'c'; 16_383], vec![b'd'; 16_384]];
        let payload = dump_functions(codes.iter().map(Vec::as_slice), true);
        assert_eq!(restore_functions(&payload).unwrap(), codes);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(codes: Vec<Vec<u8>>) {
            let payload = dump_functions(codes.iter().map(Vec::as_slice), true);
            prop_assert_eq!(restore_functions(&payload), Ok(codes));
        }

        #[test]
        fn garbage_does_no_harm(pieces: Vec<(u8, Vec<u8>)>) {
            let mut body = Vec::new();
            for (byte, text) in pieces {
                body.push(opcode::FUNCTION2);
                body.push(byte);
                body.extend_from_slice(&text);
            }
            let _ = restore_functions(&seal(body));
        }
    }
}
