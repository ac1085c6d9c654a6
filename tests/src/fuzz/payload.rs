//! Payloads of values that are changed piece by piece: the type, a length, a text, a number of fixed
//! width. Lengths of texts stay right, so that most of a changed payload is read.

use super::node::node;
use super::packed::{Elements, text};
use crate::random::Random;
use perilune_keyspace::lzf;

/// Types of values, by the first byte of a payload.
mod kind {
    pub(super) const STRING: u8 = 0;
    pub(super) const LIST: u8 = 1;
    pub(super) const SET: u8 = 2;
    pub(super) const ZSET: u8 = 3;
    pub(super) const HASH: u8 = 4;
    pub(super) const ZSET_2: u8 = 5;
    pub(super) const HASH_ZIPMAP: u8 = 9;
    pub(super) const LIST_ZIPLIST: u8 = 10;
    pub(super) const SET_INTSET: u8 = 11;
    pub(super) const ZSET_ZIPLIST: u8 = 12;
    pub(super) const HASH_ZIPLIST: u8 = 13;
    pub(super) const LIST_QUICKLIST: u8 = 14;
    pub(super) const STREAM: u8 = 15;
    pub(super) const LIST_QUICKLIST_2: u8 = 18;
    pub(super) const STREAM_2: u8 = 19;
    pub(super) const STREAM_3: u8 = 21;
    /// Types whose payload is one text.
    pub(super) const OF_ONE_TEXT: &[u8] =
        &[STRING, HASH_ZIPMAP, LIST_ZIPLIST, SET_INTSET, ZSET_ZIPLIST, HASH_ZIPLIST, 16, 17, 20];
    pub(super) const ALL: &[u8] =
        &[0, 1, 2, 3, 4, 5, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21];
}

/// Most pieces of a payload that is taken apart.
const PIECES_MAX: usize = 4000;

/// A part of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// A number of things that follow, or another number written like one.
    Length(u64),
    Text(Vec<u8>),
    /// Bytes without a length.
    Fixed(Vec<u8>),
}

/// A payload without version and checksum, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Payload {
    kind: u8,
    pieces: Vec<Piece>,
}

impl Payload {
    /// Takes a payload apart; nothing if it is not sound enough.
    pub(super) fn of(bytes: &[u8]) -> Option<Payload> {
        let (kind, rest) = bytes.split_first()?;
        let mut reader = Reader { rest, pieces: Vec::new() };
        reader.value(*kind)?;
        reader.rest.is_empty().then_some(Payload { kind: *kind, pieces: reader.pieces })
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        let mut bytes = vec![self.kind];
        for piece in &self.pieces {
            match piece {
                Piece::Length(length) => write_length(&mut bytes, *length),
                Piece::Fixed(fixed) => bytes.extend_from_slice(fixed),
                Piece::Text(text) => {
                    write_length(&mut bytes, text.len() as u64);
                    bytes.extend_from_slice(text);
                }
            }
        }
        bytes
    }

    /// Changes a few pieces.
    pub(super) fn mutate(&mut self, random: &mut Random) {
        for _ in 0..1 + random.below(3) {
            if self.pieces.is_empty() || random.percent(3) {
                self.kind = match kind::OF_ONE_TEXT.contains(&self.kind) {
                    true => *random.pick(kind::OF_ONE_TEXT),
                    false => *random.pick(kind::ALL),
                };
                continue;
            }
            let pieces = &mut self.pieces;
            let (at, other) = (random.below(pieces.len()), random.below(pieces.len()));
            match random.below(10) {
                0 => pieces.swap(at, other),
                1 if same_shape(&pieces[at], &pieces[other]) => pieces[at] = pieces[other].clone(),
                2 => {
                    let end = (at + 1 + random.below(5)).min(pieces.len());
                    let run = pieces[at..end].to_vec();
                    pieces.splice(end..end, run);
                    recount(&mut pieces[..at], random, 1);
                }
                3 => {
                    let end = (at + 1 + random.below(5)).min(pieces.len());
                    drop(pieces.drain(at..end));
                    recount(&mut pieces[..at], random, u64::MAX);
                }
                4 if is_stream(self.kind) && is_listpack(&pieces[at]) => {
                    pieces[at] = Piece::Text(node(random));
                }
                _ => mutate_piece(&mut pieces[at], random),
            }
        }
    }

    /// Payloads of the types that Redis wrote long ago and nobody writes any more.
    pub(super) fn of_old_types() -> Vec<Vec<u8>> {
        let texts =
            |words: &str| words.split(' ').map(|it| it.as_bytes().to_vec()).collect::<Vec<_>>();
        let pairs = texts("a 1 b 2.5 c -7");
        let ziplist = || Piece::Text(Elements::ziplist(&pairs));
        let mut zipmap = vec![3];
        for (at, text) in pairs.iter().enumerate() {
            zipmap.push(text.len() as u8);
            zipmap.extend((at % 2 == 1).then_some(0));
            zipmap.extend_from_slice(text);
        }
        zipmap.push(0xFF);
        let each = |count: u64| {
            let texts = pairs.iter().cloned().map(Piece::Text);
            [Piece::Length(count)].into_iter().chain(texts).collect::<Vec<_>>()
        };
        let scored = |score: &[u8]| {
            let pair = |name: &str| [Piece::Text(name.into()), Piece::Fixed(score.to_vec())];
            [vec![Piece::Length(2)], pair("a").into(), pair("b").into()].concat()
        };
        let made = [
            (kind::LIST, each(6)),
            (kind::SET, each(6)),
            (kind::HASH, each(3)),
            (kind::ZSET, scored(b"\x031.5")),
            (kind::ZSET_2, scored(&1.5f64.to_le_bytes())),
            (kind::HASH_ZIPMAP, vec![Piece::Text(zipmap)]),
            (kind::LIST_ZIPLIST, vec![ziplist()]),
            (kind::ZSET_ZIPLIST, vec![ziplist()]),
            (kind::HASH_ZIPLIST, vec![ziplist()]),
            (kind::LIST_QUICKLIST, vec![Piece::Length(2), ziplist(), ziplist()]),
        ];
        made.into_iter().map(|(kind, pieces)| Payload { kind, pieces }.into_bytes()).collect()
    }
}

fn is_stream(kind: u8) -> bool {
    matches!(kind, kind::STREAM | kind::STREAM_2 | kind::STREAM_3)
}

fn is_listpack(piece: &Piece) -> bool {
    matches!(piece, Piece::Text(bytes) if Elements::of(bytes).is_some())
}

/// Often lets the last number of some pieces change, which may well count what follows.
fn recount(before: &mut [Piece], random: &mut Random, by: u64) {
    let mut lengths = before.iter_mut().rev().filter_map(|piece| match piece {
        Piece::Length(length) => Some(length),
        _ => None,
    });
    if let Some(length) = lengths.next().filter(|_| random.percent(70)) {
        *length = length.wrapping_add(by);
    }
}

fn same_shape(a: &Piece, b: &Piece) -> bool {
    match (a, b) {
        (Piece::Fixed(a), Piece::Fixed(b)) => a.len() == b.len(),
        _ => std::mem::discriminant(a) == std::mem::discriminant(b),
    }
}

fn mutate_piece(piece: &mut Piece, random: &mut Random) {
    const EDGES: &[u64] = &[0, 1, 2, 63, 64, 16384, u32::MAX as u64, 1 << 32, 1 << 63, u64::MAX];
    match piece {
        Piece::Length(length) => match random.below(4) {
            0 => *length = *random.pick(EDGES),
            1 => *length = length.wrapping_sub(1),
            _ => *length = length.wrapping_add(1),
        },
        Piece::Fixed(bytes) => {
            let number = match random.below(3) {
                0 => random.pick(&[f64::NAN, f64::INFINITY, -0.0, 1e308]).to_bits(),
                1 => *random.pick(EDGES),
                _ => random.next(),
            };
            // An id is two numbers with the most significant byte first; all others are the other way.
            let number =
                if bytes.len() == 16 { number.to_be_bytes() } else { number.to_le_bytes() };
            let start = bytes.len().saturating_sub(8) * random.below(2);
            for (byte, changed) in bytes[start..].iter_mut().zip(number) {
                *byte = changed;
            }
        }
        Piece::Text(bytes) => match Elements::of(bytes) {
            Some(mut elements) => {
                elements.mutate(random);
                *bytes = elements.into_bytes();
            }
            // The id of a node, an intset, a ziplist or just a text.
            None if random.percent(60) && !bytes.is_empty() => {
                let at = random.below(bytes.len());
                bytes[at] = match random.below(3) {
                    0 => bytes[at] ^ 1 << random.below(8),
                    1 => bytes[at].wrapping_add(1),
                    _ => *random.pick(&[0, 1, 0x7F, 0x80, 0xFE, 0xFF]),
                };
            }
            None => *bytes = text(random),
        },
    }
}

fn write_length(out: &mut Vec<u8>, length: u64) {
    match length {
        0..64 => out.push(length as u8),
        64..0x4000 => out.extend_from_slice(&(0x4000 | length as u16).to_be_bytes()),
        0x4000..0x1_0000_0000 => {
            out.push(0x80);
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
        _ => {
            out.push(0x81);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
}

/// Takes the rest of a payload apart.
struct Reader<'a> {
    rest: &'a [u8],
    pieces: Vec<Piece>,
}

impl<'a> Reader<'a> {
    fn value(&mut self, kind: u8) -> Option<()> {
        match kind {
            _ if kind::OF_ONE_TEXT.contains(&kind) => self.text(),
            kind::LIST | kind::SET | kind::LIST_QUICKLIST => self.each(Self::text),
            kind::HASH => self.each(|it| it.text().and_then(|()| it.text())),
            kind::ZSET => self.each(|it| it.text().and_then(|()| it.text_score())),
            kind::ZSET_2 => self.each(|it| it.text().and_then(|()| it.fixed(8))),
            kind::LIST_QUICKLIST_2 => self.each(|it| it.length().and_then(|_| it.text())),
            _ if is_stream(kind) => self.stream(kind),
            _ => None,
        }
    }

    fn stream(&mut self, kind: u8) -> Option<()> {
        self.each(|it| it.text().and_then(|()| it.text()))?;
        let numbers = if kind == kind::STREAM { 3 } else { 8 };
        self.lengths(numbers)?;
        self.each(|it| {
            it.text()?;
            it.lengths(if kind == kind::STREAM { 2 } else { 3 })?;
            it.each(|it| {
                it.fixed(16)?;
                it.fixed(8)?;
                it.lengths(1)
            })?;
            it.each(|it| {
                it.text()?;
                it.fixed(8)?;
                if kind == kind::STREAM_3 {
                    it.fixed(8)?;
                }
                it.each(|it| it.fixed(16))
            })
        })
    }

    /// A number, and so many of what `one` reads.
    fn each(&mut self, mut one: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        let count = self.length()?;
        for _ in 0..count {
            one(self)?;
            if self.pieces.len() > PIECES_MAX {
                return None;
            }
        }
        Some(())
    }

    fn lengths(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.length().map(|_| ()))
    }

    fn length(&mut self) -> Option<u64> {
        let length = self.number()?;
        self.pieces.push(Piece::Length(length));
        Some(length)
    }

    fn fixed(&mut self, len: usize) -> Option<()> {
        let bytes = self.take(len)?.to_vec();
        self.pieces.push(Piece::Fixed(bytes));
        Some(())
    }

    /// A score as text, with its length in one byte.
    fn text_score(&mut self) -> Option<()> {
        let len = match *self.rest.first()? {
            253.. => 0,
            len => usize::from(len),
        };
        self.fixed(1 + len)
    }

    fn text(&mut self) -> Option<()> {
        let text = match *self.rest.first()? {
            0xC3 => {
                self.take(1)?;
                let (packed, len) = (self.number()?, self.number()?);
                let packed = self.take(usize::try_from(packed).ok()?)?;
                lzf::decompress(packed, usize::try_from(len).ok()?)?
            }
            // A number that is stored as one.
            first @ 0xC0..=0xC2 => return self.fixed([2, 3, 5][usize::from(first & 3)]),
            _ => {
                let len = usize::try_from(self.number()?).ok()?;
                self.take(len)?.to_vec()
            }
        };
        self.pieces.push(Piece::Text(text));
        Some(())
    }

    fn number(&mut self) -> Option<u64> {
        let first = *self.take(1)?.first()?;
        Some(match first {
            0..0x40 => u64::from(first),
            0x40..0x80 => u64::from(first & 0x3F) << 8 | u64::from(*self.take(1)?.first()?),
            0x80 => u64::from(u32::from_be_bytes(*self.take(4)?.first_chunk()?)),
            0x81 => u64::from_be_bytes(*self.take(8)?.first_chunk()?),
            _ => return None,
        })
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Target;
    use super::super::data::Restore;
    use super::*;

    #[test]
    fn payloads_are_taken_apart_and_put_together() {
        let mut target = Restore::new();
        let seeds = target.seeds();
        assert!(seeds.len() > 25);
        for seed in seeds {
            let payload = Payload::of(&seed).unwrap_or_else(|| panic!("{}", seed.escape_ascii()));
            let again = payload.clone().into_bytes();
            assert_eq!(Payload::of(&again), Some(payload));
            assert_eq!(target.run(&again), target.run(&seed), "{}", seed.escape_ascii());
        }
    }

    #[test]
    fn many_changed_payloads_are_read() {
        let mut target = Restore::new();
        let seeds = target.seeds();
        let mut random = Random::new(5);
        let read = (0..300).filter(|_| {
            let mut payload = Payload::of(random.pick::<Vec<u8>>(&seeds)).expect("a seed");
            payload.mutate(&mut random);
            target.restores(&payload.into_bytes())
        });
        let read = read.count();
        assert!(read > 60, "{read} of 300");
    }
}
