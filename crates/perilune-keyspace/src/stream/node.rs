//! A node: up to some hundred entries of a stream in one listpack, laid out as in Redis.
//!
//! ```text
//! master entry   live | deleted | n | field 1 | ... | field n | 0
//! then entries   flags | ms | seq |     value 1 | ... | value n                     | pieces
//!                flags | ms | seq | m | field 1 | value 1 | ... | field m | value m | pieces
//! ```
//!
//! - `live` and `deleted` count the entries; a deleted one stays where it is, marked by a flag.
//! - The fields of the first entry are the master fields. An entry with the same ones is flagged and
//!   stores its values only.
//! - `ms` and `seq` are the differences from the id under which the node is stored: the id that its
//!   first entry had.
//! - `pieces` is the number of elements of the entry before it, so that entries are found from the
//!   end, too; the 0 of the master entry ends that search.
//!
//! Invariants, checked by [`inspect`] for content from outside: everything is as above, `live` and
//! `deleted` are right, and the ids of the live entries rise.

use super::StreamId;
use crate::listpack::{Listpack, LpPos, LpValue};

const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;

/// What an empty node costs besides its fields.
const MASTER_BYTES: usize = 8;

/// An entry within a node: where it is and what stands before its fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawEntry {
    /// The flags, its first element.
    pub(super) at: LpPos,
    pub(super) id: StreamId,
    /// Number of fields.
    pub(super) fields: usize,
    /// The first field or value.
    pub(super) body: LpPos,
    flags: i64,
}

impl RawEntry {
    pub(super) fn is_deleted(&self) -> bool {
        self.flags & DELETED != 0
    }

    /// Whether its fields are the master fields.
    pub(super) fn has_master_fields(&self) -> bool {
        self.flags & SAME_FIELDS != 0
    }

    /// Number of elements in its body.
    fn body_len(&self) -> usize {
        if self.has_master_fields() { self.fields } else { self.fields.saturating_mul(2) }
    }
}

/// A node being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'a> {
    pub(super) master: StreamId,
    pub(super) lp: &'a Listpack,
    /// The first master field, or the 0 behind none.
    pub(super) master_fields: LpPos,
    master_len: usize,
}

impl<'a> Node<'a> {
    /// None only for a listpack that is no node.
    pub(super) fn open(master: StreamId, lp: &'a Listpack) -> Option<Self> {
        let count = lp.next(lp.next(lp.first()?)?)?;
        let master_len = usize::try_from(int_at(lp, count)?).ok()?;
        Some(Node { master, lp, master_fields: lp.next(count)?, master_len })
    }

    /// The first entry, deleted or not.
    pub(super) fn first(&self) -> Option<RawEntry> {
        let terminator = skip(self.lp, self.master_fields, self.master_len)?;
        self.entry_at(self.lp.next(terminator)?)
    }

    /// The last entry, deleted or not.
    pub(super) fn last(&self) -> Option<RawEntry> {
        self.entry_before_pieces(self.lp.last()?)
    }

    /// The entry after `entry`.
    pub(super) fn after(&self, entry: &RawEntry) -> Option<RawEntry> {
        let pieces = skip(self.lp, entry.body, entry.body_len())?;
        self.entry_at(self.lp.next(pieces)?)
    }

    /// The entry before `entry`.
    pub(super) fn before(&self, entry: &RawEntry) -> Option<RawEntry> {
        self.entry_before_pieces(self.lp.prev(entry.at)?)
    }

    fn entry_before_pieces(&self, pieces: LpPos) -> Option<RawEntry> {
        let mut at = pieces;
        match int_at(self.lp, pieces)? {
            // The end of the master entry.
            0 => return None,
            count => {
                for _ in 0..count {
                    at = self.lp.prev(at)?;
                }
            }
        }
        self.entry_at(at)
    }

    fn entry_at(&self, at: LpPos) -> Option<RawEntry> {
        let lp = self.lp;
        let flags = int_at(lp, at)?;
        let ms = lp.next(at)?;
        let seq = lp.next(ms)?;
        let id = self.master.plus((int_at(lp, ms)?, int_at(lp, seq)?));
        let next = lp.next(seq)?;
        if flags & SAME_FIELDS != 0 {
            return Some(RawEntry { at, id, fields: self.master_len, body: next, flags });
        }
        let fields = usize::try_from(int_at(lp, next)?).ok()?;
        Some(RawEntry { at, id, fields, body: lp.next(next)?, flags })
    }
}

/// A new node for a first entry with these fields and values in turn. `capacity` is how large the
/// node will probably become.
pub(super) fn create(pairs: &[&[u8]], capacity: usize) -> Listpack {
    let mut lp = Listpack::with_capacity(capacity.max(MASTER_BYTES));
    lp.push_back_int(0);
    lp.push_back_int(0);
    lp.push_back_int((pairs.len() / 2) as i64);
    pairs.iter().step_by(2).for_each(|field| lp.push_back(field));
    lp.push_back_int(0);
    lp
}

/// Appends an entry to the node under `master`.
pub(super) fn append(lp: &mut Listpack, master: StreamId, id: StreamId, pairs: &[&[u8]]) {
    let Some(live) = lp.first() else { return };
    let fields = (pairs.len() / 2) as i64;
    let same = has_master_fields(lp, pairs);
    let count = int_at(lp, live).unwrap_or_default();
    lp.replace_int(live, count + 1);
    let (ms, seq) = id.minus(master);
    lp.push_back_int(if same { SAME_FIELDS } else { 0 });
    lp.push_back_int(ms);
    lp.push_back_int(seq);
    if same {
        pairs.iter().skip(1).step_by(2).for_each(|value| lp.push_back(value));
        lp.push_back_int(fields + 3);
    } else {
        lp.push_back_int(fields);
        pairs.iter().for_each(|piece| lp.push_back(piece));
        lp.push_back_int(2 * fields + 4);
    }
}

/// Whether the fields of `pairs` are the master fields.
fn has_master_fields(lp: &Listpack, pairs: &[&[u8]]) -> bool {
    let mut elements = lp.iter().skip(2);
    let count = elements.next().and_then(|count| count.as_int());
    count == Some((pairs.len() / 2) as i64)
        && pairs
            .iter()
            .step_by(2)
            .all(|field| elements.next().is_some_and(|element| element.eq_bytes(field)))
}

/// Number of live and of deleted entries.
pub(super) fn counts(lp: &Listpack) -> (u64, u64) {
    let mut elements = lp.iter();
    let mut count = || {
        let count = elements.next().and_then(|count| count.as_int());
        count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default()
    };
    (count(), count())
}

/// Marks an entry as deleted, leaving the counts alone.
pub(super) fn mark_deleted(lp: &mut Listpack, entry: &RawEntry) {
    lp.replace_int(entry.at, entry.flags | DELETED);
}

/// Moves `count` entries from the live to the deleted ones.
pub(super) fn count_deleted(lp: &mut Listpack, count: u64) {
    let (live, deleted) = counts(lp);
    let Some(first) = lp.first() else { return };
    lp.replace_int(first, live.saturating_sub(count) as i64);
    if let Some(second) = lp.next(first) {
        lp.replace_int(second, deleted.saturating_add(count) as i64);
    }
}

/// What [`inspect`] finds out about a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeFacts {
    pub(super) live: u64,
    /// First and last live entry.
    pub(super) ends: Option<(StreamId, StreamId)>,
}

/// Checks a listpack from outside; none if it is not a node.
pub(super) fn inspect(master: StreamId, lp: &Listpack) -> Option<NodeFacts> {
    let node = Node::open(master, lp)?;
    let (live, deleted) = {
        let first = lp.first()?;
        (int_at(lp, first)?, int_at(lp, lp.next(first)?)?)
    };
    let terminator = skip(lp, node.master_fields, node.master_len)?;
    if int_at(lp, terminator)? != 0 {
        return None;
    }
    let (mut found, mut gone, mut ends) = (0, 0, None);
    let mut at = lp.next(terminator);
    while let Some(start) = at {
        let entry = node.entry_at(start)?;
        let pieces = skip(lp, entry.body, entry.body_len())?;
        let head = if entry.has_master_fields() { 3 } else { 4 };
        // The body lies within the listpack, so its length is far from overflowing.
        if int_at(lp, pieces)? != (entry.body_len() + head) as i64 {
            return None;
        }
        if entry.is_deleted() {
            gone += 1;
        } else {
            found += 1;
            ends = match ends {
                None if entry.id >= master => Some((entry.id, entry.id)),
                Some((first, last)) if entry.id > last => Some((first, entry.id)),
                _ => return None,
            };
        }
        at = lp.next(pieces);
    }
    let sound = (found, gone) == (live, deleted);
    sound.then_some(NodeFacts { live: u64::try_from(live).ok()?, ends })
}

/// The element `count` places after `at`.
fn skip(lp: &Listpack, at: LpPos, count: usize) -> Option<LpPos> {
    let mut at = at;
    for _ in 0..count {
        at = lp.next(at)?;
    }
    Some(at)
}

#[inline]
fn int_at(lp: &Listpack, at: LpPos) -> Option<i64> {
    match lp.get(at) {
        LpValue::Int(int) => Some(int),
        text => text.as_int(),
    }
}
