//! A listpack: a sequence of short strings and integers in one allocation, byte for byte in the
//! format Redis keeps in memory and writes into its snapshots.
//!
//! ```text
//! | total bytes u32 LE | elements u16 LE | entry | entry | ... | 0xFF |
//!
//! entry    | encoding + data .............................. | backlen |
//!   0xxxxxxx                        unsigned integer of 7 bits
//!   10xxxxxx  data                  string of up to 63 bytes
//!   110xxxxx yyyyyyyy               signed integer of 13 bits
//!   1110xxxx yyyyyyyy data          string of up to 4095 bytes
//!   F0 u32    data                  string of up to 2^32-1 bytes
//!   F1 / F2 / F3 / F4               signed integer of 16 / 24 / 32 / 64 bits, little endian
//! backlen  length of "encoding + data" in groups of 7 bits, most significant first, where every
//!          byte but the first has its top bit set: it is read from right to left
//! ```
//!
//! Invariants, checked by [`Listpack::check_invariants`] and, for content from outside, by
//! [`Listpack::from_bytes`] before a listpack exists:
//! - the buffer ends in `0xFF`, entries follow one another without a gap up to it, and every
//!   backlen matches the entry before it;
//! - the stored total is the length of all this; the stored number of elements is exact, or 65535,
//!   which means "walk and count".
//!
//! The allocation may be larger than the stored total, up to the next size that the allocator would
//! round it up to, so that a listpack is two words and nevertheless grows in place.
//!
//! Text that reads as a canonical decimal `i64` is stored as an integer. Everything is found by
//! walking, so a caller bounds the number of entries; a listpack never converts itself. It does not
//! check that it stays below 4 GiB: callers ask [`Listpack::can_take`] first.

pub(crate) mod builder;
pub(crate) mod element;

pub use element::entry_size;

use element::{Encoded, content_size, decode, entry_end, entry_start, validate_entry};
use std::fmt;

const HEADER: usize = 6;
const END: u8 = 0xFF;
/// Bytes of a listpack without an entry.
pub(crate) const EMPTY_BYTES: usize = HEADER + 1;
const COUNT_UNKNOWN: u16 = u16::MAX;
/// A listpack never grows beyond this many bytes.
const BYTES_MAX: usize = 1 << 30;
/// Longest decimal text of an `i64`.
const INT_TEXT_MAX: usize = 20;

/// A sequence of strings and integers in one allocation.
pub struct Listpack {
    /// The stored form, and unused bytes behind it.
    buf: Box<[u8]>,
}

/// Where an entry starts. It is valid until the listpack is next changed, except as stated by the
/// changing method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LpPos(usize);

/// The value of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LpValue<'a> {
    /// A value stored as an integer.
    Int(i64),
    /// A value stored as text.
    Str(&'a [u8]),
}

/// Why bytes from outside are not a listpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LpError {
    /// The header or the end marker is wrong.
    Frame,
    /// An entry is cut off, has an unknown encoding or a wrong back length.
    Entry,
    /// The number of elements differs from the header.
    Count,
}

impl fmt::Display for LpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LpError::Frame => "listpack header or end marker is wrong",
            LpError::Entry => "listpack entry is malformed",
            LpError::Count => "listpack element count is wrong",
        })
    }
}

impl std::error::Error for LpError {}

impl<'a> LpValue<'a> {
    /// Whether the value reads as `text`.
    #[inline]
    pub fn eq_bytes(&self, text: &[u8]) -> bool {
        match *self {
            LpValue::Str(s) => s == text,
            LpValue::Int(n) => parse_int(text) == Some(n),
        }
    }

    /// Appends the text of the value to `out`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_slice(&mut itoa::Buffer::new()));
    }

    /// The text of the value.
    pub fn to_vec(&self) -> Vec<u8> {
        self.as_slice(&mut itoa::Buffer::new()).to_vec()
    }

    /// The text of the value, without an allocation: an integer is written into `scratch`.
    #[inline]
    pub fn as_slice<'b>(&self, scratch: &'b mut itoa::Buffer) -> &'b [u8]
    where
        'a: 'b,
    {
        match *self {
            LpValue::Str(s) => s,
            LpValue::Int(n) => scratch.format(n).as_bytes(),
        }
    }

    /// The value as an integer: stored as one, or text that reads as one.
    pub fn as_int(&self) -> Option<i64> {
        match *self {
            LpValue::Int(n) => Some(n),
            LpValue::Str(s) => parse_int(s),
        }
    }

    /// Length of the text of the value in bytes.
    pub fn text_len(&self) -> usize {
        self.as_slice(&mut itoa::Buffer::new()).len()
    }
}

impl Default for Listpack {
    fn default() -> Self {
        Listpack::new()
    }
}

impl Listpack {
    /// An empty listpack.
    pub fn new() -> Self {
        Listpack::with_capacity(0)
    }

    /// An empty listpack with room for `entry_bytes` of encoded entries.
    pub fn with_capacity(entry_bytes: usize) -> Self {
        let mut buf = vec![0; size_class(HEADER + 1 + entry_bytes)].into_boxed_slice();
        buf[0] = HEADER as u8 + 1;
        buf[HEADER] = END;
        Listpack { buf }
    }

    /// Takes over bytes from outside after checking every one of them.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, LpError> {
        validate(&bytes)?;
        Ok(Listpack { buf: bytes.into_boxed_slice() })
    }

    /// The whole listpack in its stored form.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.buf[..self.byte_len()]
    }

    /// Length of the stored form.
    #[inline]
    pub fn byte_len(&self) -> usize {
        self.buf.first_chunk().map_or(0, |total| u32::from_le_bytes(*total) as usize)
    }

    /// Bytes allocated outside of the value itself.
    pub fn heap_size(&self) -> usize {
        self.buf.len()
    }

    /// Whether `more` bytes of content can be added without growing beyond the size limit.
    pub fn can_take(&self, more: usize) -> bool {
        self.byte_len().saturating_add(more) <= BYTES_MAX
    }

    /// Number of entries. Constant time below 65535 entries.
    pub fn len(&self) -> usize {
        match self.stored_count() {
            COUNT_UNKNOWN => self.iter().count(),
            count => usize::from(count),
        }
    }

    /// Whether there is no entry.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.byte_len() == HEADER + 1
    }

    /// Removes every entry.
    pub fn clear(&mut self) {
        *self = Listpack::new();
    }

    /// Gives back memory kept for growth.
    pub fn shrink_to_fit(&mut self) {
        self.resize(self.byte_len());
    }

    /// The first entry.
    #[inline]
    pub fn first(&self) -> Option<LpPos> {
        (!self.is_empty()).then_some(LpPos(HEADER))
    }

    /// The last entry.
    #[inline]
    pub fn last(&self) -> Option<LpPos> {
        self.before(self.end())
    }

    /// The entry after `pos`.
    #[inline]
    pub fn next(&self, pos: LpPos) -> Option<LpPos> {
        let next = entry_end(&self.buf, pos.0);
        (next < self.end()).then_some(LpPos(next))
    }

    /// The entry before `pos`.
    #[inline]
    pub fn prev(&self, pos: LpPos) -> Option<LpPos> {
        self.before(pos.0)
    }

    /// The value at `pos`.
    #[inline]
    pub fn get(&self, pos: LpPos) -> LpValue<'_> {
        decode(&self.buf, pos.0)
    }

    /// Encoding and data of the value at `pos`.
    #[inline]
    pub(crate) fn content(&self, pos: LpPos) -> &[u8] {
        &self.buf[pos.0..pos.0 + content_size(&self.buf, pos.0)]
    }

    /// The entry with the given index; a negative one counts from the end, -1 being the last.
    pub fn seek(&self, index: i64) -> Option<LpPos> {
        let (mut index, known) = match self.stored_count() {
            COUNT_UNKNOWN => (index, None),
            count => {
                let count = i64::from(count);
                let index = if index < 0 { index.checked_add(count)? } else { index };
                if index < 0 || index >= count {
                    return None;
                }
                // Walk from the nearer end.
                (if index > count / 2 { index - count } else { index }, Some(count))
            }
        };
        debug_assert!(known.is_none_or(|count| index < count));
        let mut pos;
        if index >= 0 {
            pos = self.first()?;
            while index > 0 {
                pos = self.next(pos)?;
                index -= 1;
            }
        } else {
            pos = self.last()?;
            while index < -1 {
                pos = self.prev(pos)?;
                index += 1;
            }
        }
        Some(pos)
    }

    /// The values in order.
    pub fn iter(&self) -> Iter<'_> {
        Iter { buf: &self.buf, front: HEADER, back: self.end() }
    }

    /// The first entry that reads as `text`, looking at one entry and then leaving out `skip`.
    pub fn find(&self, text: &[u8], skip: usize) -> Option<LpPos> {
        self.find_from(self.first()?, text, skip)
    }

    /// Like [`Listpack::find`], starting with the entry at `pos`.
    pub fn find_from(&self, pos: LpPos, text: &[u8], skip: usize) -> Option<LpPos> {
        let number = parse_int(text);
        let (end, mut at) = (self.end(), pos.0);
        while at < end {
            let hit = match decode(&self.buf, at) {
                LpValue::Str(s) => s == text,
                LpValue::Int(n) => number == Some(n),
            };
            if hit {
                return Some(LpPos(at));
            }
            for _ in 0..=skip {
                at = entry_end(&self.buf, at);
                if at >= end {
                    return None;
                }
            }
        }
        None
    }

    /// Appends `text`.
    pub fn push_back(&mut self, text: &[u8]) {
        self.splice(self.end(), 0, &Encoded::text(text), 1);
    }

    /// Appends an integer.
    pub fn push_back_int(&mut self, value: i64) {
        self.splice(self.end(), 0, &Encoded::int(value), 1);
    }

    /// Prepends `text`.
    pub fn push_front(&mut self, text: &[u8]) {
        self.splice(HEADER, 0, &Encoded::text(text), 1);
    }

    /// Inserts `text` before the entry at `pos` and returns the new entry.
    pub fn insert_before(&mut self, pos: LpPos, text: &[u8]) -> LpPos {
        self.splice(pos.0, 0, &Encoded::text(text), 1);
        pos
    }

    /// Inserts `text` after the entry at `pos` and returns the new entry.
    pub fn insert_after(&mut self, pos: LpPos, text: &[u8]) -> LpPos {
        let at = entry_end(&self.buf, pos.0);
        self.splice(at, 0, &Encoded::text(text), 1);
        LpPos(at)
    }

    /// Puts `text` in the place of the entry at `pos`, which stays valid.
    pub fn replace(&mut self, pos: LpPos, text: &[u8]) {
        self.replace_encoded(pos, &Encoded::text(text));
    }

    /// Puts an integer in the place of the entry at `pos`, which stays valid.
    pub fn replace_int(&mut self, pos: LpPos, value: i64) {
        self.replace_encoded(pos, &Encoded::int(value));
    }

    /// Removes the entry at `pos`; returns the one that followed it.
    pub fn remove(&mut self, pos: LpPos) -> Option<LpPos> {
        self.remove_from(pos, 1)
    }

    /// Removes up to `count` entries starting at `pos`; returns the one that followed them.
    pub fn remove_from(&mut self, pos: LpPos, count: usize) -> Option<LpPos> {
        let (mut to, mut removed) = (pos.0, 0);
        while removed < count && to < self.end() {
            to = entry_end(&self.buf, to);
            removed += 1;
        }
        let len = self.byte_len();
        self.buf.copy_within(to..len, pos.0);
        self.add_to_count(-(removed as i64));
        self.store_total(len - (to - pos.0));
        self.give_back();
        (pos.0 < self.end()).then_some(pos)
    }

    /// Removes up to `count` entries starting at an index, negative counting from the end.
    pub fn remove_range(&mut self, index: i64, count: usize) {
        if let Some(pos) = self.seek(index) {
            self.remove_from(pos, count);
        }
    }

    /// Appends the entries of `other`.
    pub fn append(&mut self, other: &Listpack) {
        let entries = &other.buf[HEADER..other.end()];
        let (end, new_end) = (self.end(), self.end() + entries.len());
        self.reserve(entries.len());
        self.buf[end..new_end].copy_from_slice(entries);
        self.buf[new_end] = END;
        let count = match (self.stored_count(), other.stored_count()) {
            (COUNT_UNKNOWN, _) | (_, COUNT_UNKNOWN) => COUNT_UNKNOWN,
            (a, b) => a.saturating_add(b),
        };
        self.store_count(count);
        self.store_total(new_end + 1);
    }

    /// Panics unless the module's invariants hold.
    #[doc(hidden)]
    pub fn check_invariants(&self) {
        assert_eq!(validate(self.as_bytes()), Ok(()));
    }

    fn replace_encoded(&mut self, pos: LpPos, entry: &Encoded<'_>) {
        let old = entry_end(&self.buf, pos.0) - pos.0;
        self.splice(pos.0, old, entry, 0);
    }

    /// Offset of the end marker.
    #[inline]
    fn end(&self) -> usize {
        self.byte_len() - 1
    }

    #[inline]
    fn before(&self, at: usize) -> Option<LpPos> {
        (at > HEADER).then(|| LpPos(entry_start(&self.buf, at)))
    }

    fn stored_count(&self) -> u16 {
        u16::from_le_bytes([self.buf[4], self.buf[5]])
    }

    fn store_count(&mut self, count: u16) {
        self.buf[4..6].copy_from_slice(&count.to_le_bytes());
    }

    fn add_to_count(&mut self, delta: i64) {
        let count = self.stored_count();
        if count != COUNT_UNKNOWN {
            let count = (i64::from(count) + delta).clamp(0, i64::from(COUNT_UNKNOWN));
            self.store_count(count as u16);
        }
    }

    fn store_total(&mut self, total: usize) {
        let total = u32::try_from(total).unwrap_or(u32::MAX);
        self.buf[..4].copy_from_slice(&total.to_le_bytes());
    }

    /// Makes room for `more` bytes, up to a size the allocator would round up to anyway.
    fn reserve(&mut self, more: usize) {
        let want = self.byte_len() + more;
        if want > self.buf.len() {
            self.resize(size_class(want));
        }
    }

    /// Makes the allocation one of `bytes`, not fewer than are in use.
    fn resize(&mut self, bytes: usize) {
        let mut buf = std::mem::take(&mut self.buf).into_vec();
        if bytes > buf.len() {
            buf.reserve_exact(bytes - buf.len());
        }
        buf.resize(bytes, 0);
        self.buf = buf.into_boxed_slice();
    }

    /// Shrinks the allocation when more than half of it is unused.
    fn give_back(&mut self) {
        if self.buf.len() > 64 && self.byte_len() * 2 < self.buf.len() {
            self.resize(size_class(self.byte_len()));
        }
    }

    /// Replaces `old` bytes at `at` by `entry` and adds `added` to the number of elements.
    fn splice(&mut self, at: usize, old: usize, entry: &Encoded<'_>, added: i64) {
        let (new, tail, len) = (entry.len(), at + old, self.byte_len());
        self.reserve(new.saturating_sub(old));
        if new != old {
            self.buf.copy_within(tail..len, at + new);
        }
        entry.write_to(&mut self.buf[at..at + new]);
        self.add_to_count(added);
        self.store_total(len - old + new);
    }
}

impl Clone for Listpack {
    fn clone(&self) -> Self {
        Listpack { buf: self.as_bytes().into() }
    }
}

impl PartialEq for Listpack {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Listpack {}

impl fmt::Debug for Listpack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for &'a Listpack {
    type Item = LpValue<'a>;
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for Listpack {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut lp = Listpack::new();
        items.into_iter().for_each(|item| lp.push_back(item.as_ref()));
        lp
    }
}

/// The values of a listpack, from either end.
#[derive(Clone)]
pub struct Iter<'a> {
    buf: &'a [u8],
    front: usize,
    back: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = LpValue<'a>;

    #[inline]
    fn next(&mut self) -> Option<LpValue<'a>> {
        if self.front >= self.back {
            return None;
        }
        let value = decode(self.buf, self.front);
        self.front = entry_end(self.buf, self.front);
        Some(value)
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        self.back = entry_start(self.buf, self.back);
        Some(decode(self.buf, self.back))
    }
}

/// Reads the canonical decimal form of an `i64`: no plus sign, no leading zero, no `-0`.
#[inline]
pub fn parse_int(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [] => return None,
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() < INT_TEXT_MAX => {}
        _ => return None,
    }
    let mut magnitude: u64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        magnitude = magnitude.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// The size the allocator rounds a request up to: multiples of 8 up to 64 bytes, then four steps per
/// doubling. Growing to it costs no memory and saves reallocations.
pub(crate) fn size_class(bytes: usize) -> usize {
    let step = if bytes <= 64 { 8 } else { bytes.next_power_of_two() / 8 };
    bytes.next_multiple_of(step)
}

fn validate(buf: &[u8]) -> Result<(), LpError> {
    let total = buf.first_chunk::<4>().map(|raw| u32::from_le_bytes(*raw) as usize);
    if buf.len() <= HEADER || total != Some(buf.len()) || buf.last() != Some(&END) {
        return Err(LpError::Frame);
    }
    let (end, mut at, mut count) = (buf.len() - 1, HEADER, 0usize);
    while at < end {
        at = validate_entry(buf, at, end)?;
        count += 1;
    }
    match u16::from_le_bytes([buf[4], buf[5]]) {
        COUNT_UNKNOWN => Ok(()),
        stored if usize::from(stored) == count => Ok(()),
        _ => Err(LpError::Count),
    }
}

#[cfg(test)]
mod tests;
