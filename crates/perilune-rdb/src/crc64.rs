//! CRC-64 with the polynomial of Jones, reflected, as Redis signs snapshots and payloads.
//!
//! Eight bytes are taken at a time, with one table for each of them: table `n` tells what a byte
//! does to the sum once `n` more bytes have followed.

/// A checksum in the making.
#[derive(Clone, Copy, Debug, Default)]
pub struct Crc64(u64);

impl Crc64 {
    /// The checksum of nothing.
    pub fn new() -> Self {
        Crc64(0)
    }

    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            let mixed = (self.0 ^ u64::from_le_bytes(*word)).to_le_bytes();
            self.0 = mixed
                .iter()
                .zip(TABLES.iter().rev())
                .fold(0, |sum, (byte, table)| sum ^ table[usize::from(*byte)]);
        }
        for byte in rest {
            self.0 = TABLES[0][usize::from(self.0 as u8 ^ byte)] ^ self.0 >> 8;
        }
    }

    /// The checksum of all bytes so far.
    pub fn value(self) -> u64 {
        self.0
    }
}

/// The checksum of `bytes`.
pub fn crc64(bytes: &[u8]) -> u64 {
    let mut sum = Crc64::new();
    sum.update(bytes);
    sum.value()
}

static TABLES: [[u64; 256]; 8] = tables();

const fn tables() -> [[u64; 256]; 8] {
    /// The polynomial 0xad93d23594c935a9, lowest bit first.
    const POLYNOMIAL: u64 = 0xad93_d235_94c9_35a9_u64.reverse_bits();
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ POLYNOMIAL } else { sum >> 1 };
            bit += 1;
        }
        tables[0][byte] = sum;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let sum = tables[table - 1][byte];
            tables[table][byte] = tables[0][(sum & 0xFF) as usize] ^ sum >> 8;
            byte += 1;
        }
        table += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn checksum_is_the_one_of_redis() {
        assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        assert_eq!(crc64(b""), 0);
    }

    proptest! {
        #[test]
        fn pieces_sum_up_to_the_whole(pieces: Vec<Vec<u8>>) {
            let mut sum = Crc64::new();
            pieces.iter().for_each(|piece| sum.update(piece));
            let mut bytewise = Crc64::new();
            pieces.concat().iter().for_each(|byte| bytewise.update(&[*byte]));
            prop_assert_eq!(sum.value(), crc64(&pieces.concat()));
            prop_assert_eq!(sum.value(), bytewise.value());
        }
    }
}
