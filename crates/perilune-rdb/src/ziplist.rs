//! The compact structures of Redis before 7.0: ziplists and zipmaps. They are only read.
//!
//! ```text
//! ziplist  bytes u32, offset of the last entry u32, entries u16, entries..., 0xFF
//!   entry  size of the entry before: u8, or 0xFE u32
//!          00llllll | 01llllll u8 | 10...... u32 (big endian)   text of that length
//!          C0 i16, D0 i32, E0 i64, F0 i24, FE i8, F1..FD 0..12  integer
//! zipmap   entries u8, then for each: length, key, length, unused u8, value, unused bytes; 0xFF
//!   length u8 below 254, or 0xFE u32
//! ```
//!
//! Everything that can be checked is: sizes, the links backwards, the end, the count.

use perilune_keyspace::Listpack;

/// Bytes of a ziplist before its entries.
const HEADER_BYTES: usize = 10;
/// The byte after the last entry.
const END: u8 = 0xFF;
/// What stands in the place of a length of one byte before one of four.
const LONG: u8 = 0xFE;
/// A count that says that there are at least as many entries.
const MANY: u16 = u16::MAX;

/// The entries of a ziplist. None if it is malformed.
pub(crate) fn read_ziplist(bytes: &[u8]) -> Option<Listpack> {
    let size = u32::from_le_bytes(*bytes.first_chunk()?);
    let tail = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
    let count = u16::from_le_bytes(*bytes.get(8..)?.first_chunk()?);
    if bytes.len() != usize::try_from(size).ok()? {
        return None;
    }
    let mut listpack = Listpack::new();
    let (mut at, mut entries, mut last, mut previous) = (HEADER_BYTES, 0u64, HEADER_BYTES, 0);
    loop {
        let mut rest = bytes.get(at..)?;
        if rest[..] == [END] {
            break;
        }
        if read_size_before(&mut rest)? != previous {
            return None;
        }
        read_entry(&mut rest, &mut listpack)?;
        last = at;
        previous = bytes.len() - rest.len() - at;
        at += previous;
        entries += 1;
    }
    let counted = count == MANY || u64::from(count) == entries;
    (counted && last == tail as usize).then_some(listpack)
}

/// Takes `N` bytes from the front.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn take_slice<'b>(rest: &mut &'b [u8], len: usize) -> Option<&'b [u8]> {
    let (head, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    Some(head)
}

fn read_size_before(rest: &mut &[u8]) -> Option<usize> {
    match take::<1>(rest)? {
        [END] => None,
        [LONG] => usize::try_from(u32::from_le_bytes(take(rest)?)).ok(),
        [size] => Some(size.into()),
    }
}

fn read_entry(rest: &mut &[u8], to: &mut Listpack) -> Option<()> {
    let [first] = take::<1>(rest)?;
    let text_len = match first >> 6 {
        0 => usize::from(first),
        1 => usize::from(first & 0x3F) << 8 | usize::from(take::<1>(rest)?[0]),
        2 => usize::try_from(u32::from_be_bytes(take(rest)?)).ok()?,
        _ => {
            to.push_back_int(read_int(first, rest)?);
            return Some(());
        }
    };
    to.push_back(take_slice(rest, text_len)?);
    Some(())
}

fn read_int(kind: u8, rest: &mut &[u8]) -> Option<i64> {
    Some(match kind {
        0xC0 => i16::from_le_bytes(take(rest)?).into(),
        0xD0 => i32::from_le_bytes(take(rest)?).into(),
        0xE0 => i64::from_le_bytes(take(rest)?),
        0xF0 => {
            let [low, middle, high] = take(rest)?;
            // Into the upper bytes and back, for the sign.
            i64::from(i32::from_le_bytes([0, low, middle, high]) >> 8)
        }
        0xFE => i8::from_le_bytes(take(rest)?).into(),
        0xF1..=0xFD => i64::from(kind & 0x0F) - 1,
        _ => return None,
    })
}

/// The keys and values of a zipmap, in turns. None if it is malformed.
pub(crate) fn read_zipmap(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let (&count, mut rest) = bytes.split_first()?;
    let mut words = Vec::new();
    while rest.first() != Some(&END) {
        let key_len = read_map_length(&mut rest)?;
        words.push(take_slice(&mut rest, key_len)?);
        let value_len = read_map_length(&mut rest)?;
        let [unused] = take(&mut rest)?;
        words.push(take_slice(&mut rest, value_len)?);
        take_slice(&mut rest, unused.into())?;
    }
    let counted = count >= LONG || usize::from(count) == words.len() / 2;
    (counted && rest.len() == 1).then_some(words)
}

fn read_map_length(rest: &mut &[u8]) -> Option<usize> {
    match take::<1>(rest)? {
        [END] => None,
        [LONG] => usize::try_from(u32::from_le_bytes(take(rest)?)).ok(),
        [len] => Some(len.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A ziplist of entries that are encoded already.
    fn ziplist(entries: &[&[u8]]) -> Vec<u8> {
        let (mut body, mut tail, mut previous) = (Vec::new(), HEADER_BYTES, 0u8);
        for entry in entries {
            tail = HEADER_BYTES + body.len();
            body.push(previous);
            body.extend_from_slice(entry);
            previous = 1 + entry.len() as u8;
        }
        let mut bytes = (HEADER_BYTES as u32 + body.len() as u32 + 1).to_le_bytes().to_vec();
        bytes.extend_from_slice(&(tail as u32).to_le_bytes());
        bytes.extend_from_slice(&(entries.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes.push(END);
        bytes
    }

    fn texts(listpack: &Listpack) -> Vec<String> {
        listpack.iter().map(|value| String::from_utf8_lossy(&value.to_vec()).into_owned()).collect()
    }

    #[test]
    fn entries_of_every_kind_are_read() {
        let bytes = ziplist(&[
            b"\x02ab",
            b"\x40\x03abc",
            b"\x80\0\0\0\x01x",
            b"\xC0\xFE\xFF",
            b"\xD0\0\0\0\x80",
            b"\xE0\0\0\0\0\0\0\0\x80",
            b"\xF0\0\0\x80",
            b"\xFE\x80",
            b"\xF1",
            b"\xFD",
        ]);
        let expected = [
            "ab",
            "abc",
            "x",
            "-2",
            "-2147483648",
            "-9223372036854775808",
            "-8388608",
            "-128",
            "0",
            "12",
        ];
        assert_eq!(texts(&read_ziplist(&bytes).expect("sound")), expected);
        assert!(read_ziplist(&ziplist(&[])).is_some_and(|listpack| listpack.is_empty()));
    }

    #[test]
    fn a_long_entry_is_followed_by_a_long_link() {
        let text = [b'x'; 300];
        let mut bytes = vec![0; 10];
        bytes.extend_from_slice(b"\0\x41\x2C");
        bytes.extend_from_slice(&text);
        bytes.extend_from_slice(b"\xFE\x2F\x01\0\0\xF2\xFF");
        let size = bytes.len() as u32;
        bytes[..4].copy_from_slice(&size.to_le_bytes());
        bytes[4..8].copy_from_slice(&313u32.to_le_bytes());
        bytes[8] = 2;
        let listpack = read_ziplist(&bytes).expect("sound");
        assert_eq!(texts(&listpack)[1], "1");
        bytes[314] += 1;
        assert!(read_ziplist(&bytes).is_none(), "a link that leads elsewhere");
    }

    #[test]
    fn zipmaps_are_read() {
        let words = read_zipmap(b"\x02\x01a\x02\x01bb!\x02cc\xFE\x01\0\0\0\0d\xFF").expect("sound");
        assert_eq!(words, [&b"a"[..], b"bb", b"cc", b"d"]);
        for malformed in
            [&b""[..], b"\x01", b"\x01\xFF", b"\0\x01a\x01\0b", b"\x01\x01a\x02\0b\xFF"]
        {
            assert!(read_zipmap(malformed).is_none(), "{}", malformed.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn damage_does_no_harm(
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5)
        ) {
            let mut bytes = ziplist(&[b"\x02ab", b"\xF0\0\0\x80", b"\x40\x03abc", b"\xF1"]);
            for (place, byte) in flips {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            if let Some(listpack) = read_ziplist(&bytes) {
                listpack.check_invariants();
            }
            let _ = read_zipmap(&bytes);
        }
    }
}
