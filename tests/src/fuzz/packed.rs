//! Listpacks and ziplists that are changed element by element, so that most of them are still read
//! and it is what they mean that is wrong.

use crate::random::Random;

/// Bytes before the first element: length in bytes, number of elements.
const HEADER: usize = 6;
const END: u8 = 0xFF;

/// A listpack as its elements: encoding and data of each, without the length behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Elements(Vec<Vec<u8>>);

impl Elements {
    /// A listpack of these elements.
    pub(super) fn new(elements: Vec<Vec<u8>>) -> Elements {
        Elements(elements)
    }

    /// The elements of a listpack, if it is one.
    pub(super) fn of(bytes: &[u8]) -> Option<Elements> {
        let mut rest = bytes.get(HEADER..)?;
        let mut elements = Vec::new();
        while *rest.first()? != END {
            let len = element_len(rest)?;
            elements.push(rest.get(..len)?.to_vec());
            rest = rest.get(len + link(len).len()..)?;
        }
        (rest.len() == 1).then_some(Elements(elements))
    }

    /// The listpack, sound in all but what the elements mean.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        for element in &self.0 {
            bytes.extend_from_slice(element);
            bytes.extend_from_slice(&link(element.len()));
        }
        bytes.push(END);
        let total = bytes.len() as u32;
        bytes[..4].copy_from_slice(&total.to_le_bytes());
        let count = self.0.len().min(usize::from(u16::MAX)) as u16;
        bytes[4..HEADER].copy_from_slice(&count.to_le_bytes());
        bytes
    }

    /// Changes a few elements.
    pub(super) fn mutate(&mut self, random: &mut Random) {
        let elements = &mut self.0;
        for _ in 0..1 + random.below(3) {
            let (at, other) = (random.below(elements.len()), random.below(elements.len()));
            let end = (at + 1 + random.below(6)).min(elements.len());
            match random.below(8) {
                _ if elements.is_empty() => elements.push(element(random)),
                0 => drop(elements.remove(at)),
                1 => drop(elements.drain(at..end)),
                2 => elements.insert(other, elements[at].clone()),
                3 => {
                    let run = elements[at..end].to_vec();
                    elements.splice(other..other, run);
                }
                4 => elements.swap(at, other),
                5 => elements.insert(at, element(random)),
                6 if matches!(elements[at][..], [0..0x80]) => {
                    let step = random.below(5) as u8;
                    elements[at][0] = elements[at][0].wrapping_add(step).wrapping_sub(2) & 0x7F;
                }
                _ => elements[at] = element(random),
            }
        }
    }

    /// The ziplist with these elements as texts, which is what Redis wrote before 7.0.
    pub(super) fn ziplist(texts: &[Vec<u8>]) -> Vec<u8> {
        let (mut entries, mut before, mut tail) = (Vec::new(), 0, 10);
        for text in texts {
            tail = 10 + entries.len() as u32;
            let start = entries.len();
            match before {
                0..254 => entries.push(before as u8),
                _ => {
                    entries.push(254);
                    entries.extend_from_slice(&(before as u32).to_le_bytes());
                }
            }
            match text.len() {
                len @ 0..64 => entries.push(len as u8),
                len => entries.extend_from_slice(&(0x4000 | len as u16).to_be_bytes()),
            }
            entries.extend_from_slice(text);
            before = entries.len() - start;
        }
        let mut bytes = (11 + entries.len() as u32).to_le_bytes().to_vec();
        bytes.extend_from_slice(&tail.to_le_bytes());
        bytes.extend_from_slice(&(texts.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&entries);
        bytes.push(END);
        bytes
    }
}

/// Length of the element at the begin of `bytes`, without the length behind it.
fn element_len(bytes: &[u8]) -> Option<usize> {
    let number = |at: usize| bytes.get(at).map(|byte| usize::from(*byte));
    Some(match number(0)? {
        0..0x80 => 1,
        first @ 0x80..0xC0 => 1 + (first & 0x3F),
        0xC0..0xE0 => 2,
        first @ 0xE0..0xF0 => 2 + ((first & 0x0F) << 8 | number(1)?),
        0xF0 => 5 + u32::from_le_bytes(*bytes.get(1..)?.first_chunk()?) as usize,
        0xF1 => 3,
        0xF2 => 4,
        0xF3 => 5,
        0xF4 => 9,
        _ => return None,
    })
}

/// What stands behind an element of `len` bytes.
fn link(len: usize) -> Vec<u8> {
    let mut groups = vec![(len & 0x7F) as u8 | 0x80];
    let mut rest = len >> 7;
    while rest > 0 {
        groups.push((rest & 0x7F) as u8 | 0x80);
        rest >>= 7;
    }
    groups.reverse();
    groups[0] &= 0x7F;
    groups
}

/// An element with an unusual value, or a usual one in an unusual encoding.
fn element(random: &mut Random) -> Vec<u8> {
    let numbers = [0, 1, 2, 3, -1, 127, 128, 4095, -4096, 65535, 1 << 31, i64::MAX, i64::MIN];
    let number = *random.pick(&numbers);
    match random.below(6) {
        0 => vec![random.below(128) as u8],
        1 => int(number),
        2 => [&[0xF1][..], &number.to_le_bytes()[..2]].concat(),
        3 => vec![0xC0 | random.below(32) as u8, random.next() as u8],
        4 => string(number.to_string().as_bytes()),
        _ => string(&text(random)),
    }
}

/// The encoding of a number.
pub(super) fn int(number: i64) -> Vec<u8> {
    match number {
        0..128 => vec![number as u8],
        _ => [&[0xF4][..], &number.to_le_bytes()].concat(),
    }
}

/// The encoding of a text as a text, whatever it reads as.
pub(super) fn string(text: &[u8]) -> Vec<u8> {
    let len = text.len();
    let head = match len {
        0..64 => vec![0x80 | len as u8],
        64..4096 => vec![0xE0 | (len >> 8) as u8, len as u8],
        _ => [&[0xF0][..], &(len as u32).to_le_bytes()].concat(),
    };
    [head, text.to_vec()].concat()
}

/// A text that some reader may take for something special.
pub(super) fn text(random: &mut Random) -> Vec<u8> {
    const TEXTS: &[&str] = &[
        "",
        "a",
        "1",
        "01",
        "-0",
        "nan",
        "inf",
        "-inf",
        "1e400",
        "0x10",
        "1.5",
        "-1e-320",
        "1 ",
        "9223372036854775808",
        "HYLL",
        "g",
        "alice",
    ];
    match random.below(8) {
        0 => vec![b'x'; *random.pick(&[20, 63, 64, 65, 254, 4095, 4096])],
        1 => random.next().to_le_bytes()[..random.below(9)].to_vec(),
        _ => random.pick(TEXTS).as_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perilune_keyspace::Listpack;

    #[test]
    fn elements_are_what_the_listpack_holds() {
        let mut listpack = Listpack::new();
        for length in [0, 1, 63, 64, 127, 128, 4095, 4096, 20000] {
            listpack.push_back(&vec![b'x'; length]);
            listpack.push_back_int(length as i64 * 7919);
        }
        let elements = Elements::of(listpack.as_bytes()).expect("a listpack");
        assert_eq!(elements.into_bytes(), listpack.as_bytes());
    }

    #[test]
    fn what_is_changed_is_still_a_listpack() {
        let mut random = Random::new(3);
        let mut elements = Elements::of(Listpack::new().as_bytes()).expect("a listpack");
        for _ in 0..2000 {
            elements.mutate(&mut random);
            let bytes = elements.clone().into_bytes();
            assert!(Listpack::from_bytes(bytes.clone()).is_ok(), "{}", bytes.escape_ascii());
        }
    }
}
