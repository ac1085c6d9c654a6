//! A node: up to some hundred entries of a stream in one allocation.
//!
//! ```text
//! header   live u32 LE | deleted u32 LE | size u32 LE | n | bytes | field 1 | ... | field n
//! entries  flags u8 [| ms] [| seq]     | value 1 | ... | value n                     | length
//!          flags u8 [| ms] [| seq] | m | field 1 | value 1 | ... | field m | value m | length
//!
//! flags    1           the entry is deleted
//!          2           its fields are those of the header
//!          4, 8        `ms` is there, is to be subtracted
//!          16, 32      `seq` is there, is to be subtracted
//! ```
//!
//! - `live` and `deleted` count the entries; a deleted one stays where it is, marked by a flag.
//! - The fields of the first entry stand in the header, `bytes` long. An entry with the same ones is
//!   flagged and stores its values only.
//! - `ms` and `seq` are the differences from the id under which the node is stored, the id that its
//!   first entry had: sign in the flags, magnitude as a varint, and nothing at all for zero. One of
//!   them mostly is: `seq` where entries come slowly, `ms` where they come at once.
//! - Fields and values are written as in a listpack, without the lengths behind them.
//! - `length` is that of the entry before it, written as the one behind the element of a listpack, so
//!   that entries are found from the end, too.
//! - `n`, `m` and `bytes` are varints: seven bits a byte, least first, the top bit set in all but the
//!   last byte.
//!
//! Snapshots have nodes in the format of Redis; see [`convert`](super::convert). `size` is how large
//! this node is there, its first two elements left out: by that it is decided when a node is full,
//! and where nodes end can be seen from outside.
//!
//! Invariants, checked by [`convert::check_invariants`](super::convert::check_invariants): everything is as above, numbers take as few
//! bytes as they can, `live`, `deleted` and `size` are right, and the ids of the live entries rise,
//! none of them below the id under which the node is stored.
//!
//! A node is made here, entry by entry, also from a snapshot; so it is read without further checks.

use super::StreamId;
use crate::listpack::element::{
    Encoded, backlen_size, content_size, decode, entry_start, push_backlen, text_head_size,
};
use crate::listpack::{EMPTY_BYTES, LpValue, size_class};

pub(super) const DELETED: u8 = 1;
pub(super) const SAME_FIELDS: u8 = 2;
/// Where in the flags the two bits about each difference are.
const MS_SHIFT: u32 = 2;
const SEQ_SHIFT: u32 = 4;
/// Those two bits.
const PRESENT: u8 = 1;
const NEGATIVE: u8 = 2;

/// Offsets in the header.
const LIVE: usize = 0;
const GONE: usize = 4;
const SIZE: usize = 8;
const HEADER: usize = 12;

/// A node and its memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeBuf {
    bytes: Vec<u8>,
}

impl NodeBuf {
    /// A new node for a first entry with these fields and values in turn, which is not in it yet.
    /// `capacity` is how large the node will probably become.
    pub(super) fn for_entry(pairs: &[&[u8]], capacity: usize) -> Self {
        let fields = pairs.iter().step_by(2).map(|field| Encoded::text(field));
        NodeBuf::create(fields, entry_bound((0, 0), pairs, true), capacity)
    }

    /// A node with these fields in its header, and room for `more` bytes or for `capacity` in all.
    pub(super) fn create<'a>(
        fields: impl Iterator<Item = Encoded<'a>> + Clone,
        more: usize,
        capacity: usize,
    ) -> Self {
        let (mut count, mut content, mut size) = (0u64, 0, EMPTY_BYTES + int_size(0));
        for field in fields.clone() {
            count += 1;
            content += field.content_len();
            size += field.len();
        }
        size += int_size(count as i64);
        let header = HEADER + varint_size(count) + varint_size(content as u64) + content;
        let mut bytes = Vec::with_capacity(size_class(capacity.max(header + more)));
        bytes.resize(HEADER, 0);
        push_varint(&mut bytes, count);
        push_varint(&mut bytes, content as u64);
        fields.for_each(|field| field.push_content(&mut bytes));
        let mut node = NodeBuf { bytes };
        node.store(SIZE, size);
        node
    }

    /// Adds an entry at the end. `master` is the id that the node is stored under.
    pub(super) fn append(&mut self, master: StreamId, id: StreamId, pairs: &[&[u8]]) {
        let (same, difference) = (self.has_fields_of(pairs), id.minus(master));
        self.reserve(entry_bound(difference, pairs, same));
        let (flags, own) = if same { (SAME_FIELDS, None) } else { (0, Some(pairs.len() / 2)) };
        let mut entry = self.begin_entry(flags, difference, own);
        let (skip, step) = if same { (1, 2) } else { (0, 1) };
        pairs.iter().skip(skip).step_by(step).for_each(|piece| entry.push(&Encoded::text(piece)));
        entry.finish();
    }

    /// Begins an entry at the end. `own_fields` is their number unless they are those of the header.
    pub(super) fn begin_entry(
        &mut self,
        flags: u8,
        (ms, seq): (i64, i64),
        own_fields: Option<usize>,
    ) -> EntryWriter<'_> {
        let start = self.bytes.len();
        let (ms_flags, seq_flags) = (sign_flags(ms), sign_flags(seq));
        self.bytes.push(flags | ms_flags << MS_SHIFT | seq_flags << SEQ_SHIFT);
        for difference in [ms, seq] {
            if difference != 0 {
                push_varint(&mut self.bytes, difference.unsigned_abs());
            }
        }
        let mut writer = EntryWriter { start, flags, elements: 3, size: 0, node: self };
        writer.size = int_size(flags.into()) + int_size(ms) + int_size(seq);
        if let Some(count) = own_fields {
            push_varint(&mut writer.node.bytes, count as u64);
            writer.size += int_size(count as i64);
            writer.elements += 1;
        }
        writer
    }

    /// Whether the fields of `pairs` are those in the header.
    fn has_fields_of(&self, pairs: &[&[u8]]) -> bool {
        let node = Node::open(StreamId::MIN, self);
        let mut at = node.fields_at;
        node.field_count == pairs.len() / 2
            && pairs.iter().step_by(2).all(|field| read_piece(&self.bytes, &mut at).eq_bytes(field))
    }

    /// Number of live entries.
    pub(super) fn live(&self) -> u64 {
        self.load(LIVE) as u64
    }

    /// Number of entries, deleted ones included.
    pub(super) fn entry_count(&self) -> u64 {
        (self.load(LIVE) + self.load(GONE)) as u64
    }

    /// How many bytes the node takes as a listpack.
    pub(super) fn listpack_size(&self) -> usize {
        let counts = [self.load(LIVE), self.load(GONE)];
        self.load(SIZE) + counts.map(|count| int_size(count as i64)).iter().sum::<usize>()
    }

    /// Bytes in use.
    pub(super) fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes allocated outside of the value itself.
    pub(super) fn heap_size(&self) -> usize {
        self.bytes.capacity()
    }

    /// Gives back memory kept for growth.
    pub(super) fn shrink_to_fit(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// Deletes a live entry.
    pub(super) fn delete(&mut self, entry: &RawEntry) {
        self.bytes[entry.at] |= DELETED;
        self.store(LIVE, self.load(LIVE).saturating_sub(1));
        self.store(GONE, self.load(GONE) + 1);
    }

    /// Makes room for `more` bytes, up to a size the allocator would round up to anyway.
    fn reserve(&mut self, more: usize) {
        let want = self.bytes.len() + more;
        if want > self.bytes.capacity() {
            self.bytes.reserve_exact(size_class(want) - self.bytes.len());
        }
    }

    fn load(&self, at: usize) -> usize {
        let bytes = [0, 1, 2, 3].map(|i| self.bytes[at + i]);
        u32::from_le_bytes(bytes) as usize
    }

    /// Nothing stored here reaches 2^32: a listpack is smaller, and takes eight bytes for an entry.
    fn store(&mut self, at: usize, value: usize) {
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
}

/// An entry being written at the end of a node.
pub(super) struct EntryWriter<'a> {
    node: &'a mut NodeBuf,
    start: usize,
    flags: u8,
    /// Number and size of its elements in a listpack.
    elements: usize,
    size: usize,
}

impl EntryWriter<'_> {
    /// Adds a field or a value.
    #[inline]
    pub(super) fn push(&mut self, piece: &Encoded<'_>) {
        piece.push_content(&mut self.node.bytes);
        self.size += piece.len();
        self.elements += 1;
    }

    /// Completes the entry.
    pub(super) fn finish(self) {
        let node = self.node;
        let length = node.bytes.len() - self.start;
        push_backlen(&mut node.bytes, length);
        let size = self.size + int_size(self.elements as i64);
        node.store(SIZE, node.load(SIZE) + size);
        let count = if self.flags & DELETED != 0 { GONE } else { LIVE };
        node.store(count, node.load(count) + 1);
    }
}

/// An entry within a node: where it is and what stands before its fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawEntry {
    /// The flags, where it begins.
    at: usize,
    pub(super) id: StreamId,
    /// Number of fields.
    pub(super) fields: usize,
    /// The first field or value.
    pub(super) body: usize,
    flags: u8,
}

impl RawEntry {
    pub(super) fn is_deleted(&self) -> bool {
        self.flags & DELETED != 0
    }

    /// Whether its fields are those in the header of the node.
    pub(super) fn has_master_fields(&self) -> bool {
        self.flags & SAME_FIELDS != 0
    }

    /// Number of fields and values in its body.
    pub(super) fn body_len(&self) -> usize {
        if self.has_master_fields() { self.fields } else { 2 * self.fields }
    }
}

/// A node being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'a> {
    master: StreamId,
    pub(super) bytes: &'a [u8],
    /// The first field in the header.
    pub(super) fields_at: usize,
    pub(super) field_count: usize,
    entries_at: usize,
}

impl<'a> Node<'a> {
    /// The node that is stored under `master`.
    pub(super) fn open(master: StreamId, node: &'a NodeBuf) -> Self {
        let (bytes, mut at) = (node.bytes.as_slice(), HEADER);
        let field_count = read_varint(bytes, &mut at) as usize;
        let content = read_varint(bytes, &mut at) as usize;
        Node { master, bytes, fields_at: at, field_count, entries_at: at + content }
    }

    /// The first entry, deleted or not.
    pub(super) fn first(&self) -> Option<RawEntry> {
        self.entry_at(self.entries_at)
    }

    /// The last entry, deleted or not.
    pub(super) fn last(&self) -> Option<RawEntry> {
        self.entry_before(self.bytes.len())
    }

    /// The entry after `entry`.
    #[inline]
    pub(super) fn after(&self, entry: &RawEntry) -> Option<RawEntry> {
        let mut end = entry.body;
        for _ in 0..entry.body_len() {
            end += content_size(self.bytes, end);
        }
        self.entry_at(end + backlen_size(end - entry.at))
    }

    /// The entry before `entry`.
    #[inline]
    pub(super) fn before(&self, entry: &RawEntry) -> Option<RawEntry> {
        self.entry_before(entry.at)
    }

    fn entry_before(&self, end: usize) -> Option<RawEntry> {
        if end <= self.entries_at {
            return None;
        }
        self.entry_at(entry_start(self.bytes, end))
    }

    #[inline]
    fn entry_at(&self, at: usize) -> Option<RawEntry> {
        let flags = *self.bytes.get(at)?;
        let mut body = at + 1;
        let ms = read_difference(self.bytes, &mut body, flags >> MS_SHIFT);
        let seq = read_difference(self.bytes, &mut body, flags >> SEQ_SHIFT);
        let fields = match flags & SAME_FIELDS {
            0 => read_varint(self.bytes, &mut body) as usize,
            _ => self.field_count,
        };
        Some(RawEntry { at, id: self.master.plus((ms, seq)), fields, body, flags })
    }
}

/// The field or value at `at`, which moves on behind it.
#[inline]
pub(super) fn read_piece<'a>(bytes: &'a [u8], at: &mut usize) -> LpValue<'a> {
    let value = decode(bytes, *at);
    *at += content_size(bytes, *at);
    value
}

/// Most bytes that an entry takes; more than it takes only if values become integers.
fn entry_bound((ms, seq): (i64, i64), pairs: &[&[u8]], same: bool) -> usize {
    let differences: usize = [ms, seq].map(|one| varint_size(one.unsigned_abs())).iter().sum();
    let (skip, step) = if same { (1, 2) } else { (0, 1) };
    let pieces = pairs.iter().skip(skip).step_by(step);
    let body: usize = pieces.map(|piece| text_head_size(piece.len()) + piece.len()).sum();
    let own = if same { 0 } else { varint_size(pairs.len() as u64 / 2) };
    let length = 1 + differences + own + body;
    length + backlen_size(length)
}

/// Bytes that an integer takes in a listpack.
fn int_size(value: i64) -> usize {
    Encoded::int(value).len()
}

/// What the flags say about a difference.
fn sign_flags(difference: i64) -> u8 {
    match difference.signum() {
        0 => 0,
        1 => PRESENT,
        _ => PRESENT | NEGATIVE,
    }
}

#[inline]
fn read_difference(bytes: &[u8], at: &mut usize, flags: u8) -> i64 {
    if flags & PRESENT == 0 {
        return 0;
    }
    // The magnitude of the least i64 reads as the same number, which is its own negation.
    let magnitude = read_varint(bytes, at) as i64;
    if flags & NEGATIVE == 0 { magnitude } else { magnitude.wrapping_neg() }
}

fn varint_size(value: u64) -> usize {
    value.max(1).ilog2() as usize / 7 + 1
}

#[inline]
fn push_varint(out: &mut Vec<u8>, value: u64) {
    let mut rest = value;
    while rest >= 128 {
        out.push(rest as u8 | 128);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[inline]
fn read_varint(bytes: &[u8], at: &mut usize) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return value;
        }
        shift += 7;
    }
}
