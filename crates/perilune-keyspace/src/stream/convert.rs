//! Nodes as Redis has them in memory and in snapshots: listpacks.
//!
//! ```text
//! master entry   live | deleted | n | field 1 | ... | field n | 0
//! then entries   flags | ms | seq |     value 1 | ... | value n                     | pieces
//!                flags | ms | seq | m | field 1 | value 1 | ... | field m | value m | pieces
//! ```
//!
//! Everything means what it means in a [node](super::node). `pieces` is the number of elements of the
//! entry before it; the 0 of the master entry ends a search from the end.
//!
//! Fields and values are taken over as they are encoded, so that a node which came from outside goes
//! out again with the same bytes. Only its numbers are written anew, if they were not in the fewest
//! bytes, and flags that mean nothing are left out; neither makes the listpack larger.

use super::StreamId;
use super::node::{DELETED, Node, NodeBuf, RawEntry, SAME_FIELDS, read_piece};
use crate::listpack::builder::Builder;
use crate::listpack::element::Encoded;
use crate::listpack::{Listpack, LpPos};

/// What is found out about a node on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeFacts {
    pub(super) live: u64,
    /// First and last live entry.
    pub(super) ends: Option<(StreamId, StreamId)>,
}

/// The elements of a listpack that are yet to be read.
#[derive(Clone)]
struct Elements<'a> {
    lp: &'a Listpack,
    at: Option<LpPos>,
}

impl<'a> Elements<'a> {
    /// The next one, which must be an integer or the text of one.
    fn int(&mut self) -> Option<i64> {
        let at = self.at?;
        self.at = self.lp.next(at);
        self.lp.get(at).as_int()
    }

    /// The next one, which must be a length.
    fn length(&mut self) -> Option<usize> {
        usize::try_from(self.int()?).ok()
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Encoded<'a>;

    fn next(&mut self) -> Option<Encoded<'a>> {
        let at = self.at?;
        self.at = self.lp.next(at);
        Some(Encoded::content(self.lp.content(at)))
    }
}

/// The node that a listpack from outside is; none if it is not a node.
pub(super) fn from_listpack(master: StreamId, lp: &Listpack) -> Option<(NodeBuf, NodeFacts)> {
    let mut elements = Elements { lp, at: lp.first() };
    let counts = (elements.int()?, elements.int()?);
    let field_count = elements.length()?;
    let fields = elements.clone().take(field_count);
    for _ in 0..field_count {
        elements.next()?;
    }
    if elements.int()? != 0 {
        return None;
    }
    let mut node = NodeBuf::create(fields, 0, lp.byte_len());
    let (mut found, mut gone, mut ends) = (0, 0, None);
    while elements.at.is_some() {
        let (id, deleted) = take_entry(master, field_count, &mut elements, &mut node)?;
        if deleted {
            gone += 1;
            continue;
        }
        found += 1;
        ends = match ends {
            None if id >= master => Some((id, id)),
            Some((first, last)) if id > last => Some((first, id)),
            _ => return None,
        };
    }
    node.shrink_to_fit();
    let facts = NodeFacts { live: node.live(), ends };
    ((found, gone) == counts).then_some((node, facts))
}

/// Moves one entry; gives its id and whether it is deleted.
fn take_entry(
    master: StreamId,
    field_count: usize,
    elements: &mut Elements<'_>,
    node: &mut NodeBuf,
) -> Option<(StreamId, bool)> {
    let flags = (elements.int()? & i64::from(DELETED | SAME_FIELDS)) as u8;
    let difference = (elements.int()?, elements.int()?);
    let own = match flags & SAME_FIELDS {
        0 => Some(elements.length()?),
        _ => None,
    };
    let (body, head) = match own {
        Some(count) => (count.checked_mul(2)?, 4),
        None => (field_count, 3),
    };
    let mut entry = node.begin_entry(flags, difference, own);
    for _ in 0..body {
        entry.push(&elements.next()?);
    }
    entry.finish();
    // The body lies within the listpack, so its length is far from overflowing.
    if elements.int()? != (body + head) as i64 {
        return None;
    }
    Some((master.plus(difference), flags & DELETED != 0))
}

/// The listpack that Redis would have in the place of a node.
pub(super) fn to_listpack(buf: &NodeBuf) -> Listpack {
    // Ids are stored as differences, which is what they are from the least id.
    let node = Node::open(StreamId::MIN, buf);
    let mut lp = Builder::new(buf.listpack_size());
    let live = buf.live();
    lp.push_int(live as i64);
    lp.push_int((buf.entry_count() - live) as i64);
    lp.push_int(node.field_count as i64);
    push_pieces(&mut lp, &node, node.fields_at, node.field_count);
    lp.push_int(0);
    let mut next = node.first();
    while let Some(entry) = next {
        push_entry(&mut lp, &node, &entry);
        next = node.after(&entry);
    }
    lp.finish()
}

fn push_entry(lp: &mut Builder, node: &Node<'_>, entry: &RawEntry) {
    let flag = |set: bool, flag: u8| if set { i64::from(flag) } else { 0 };
    let same = entry.has_master_fields();
    lp.push_int(flag(entry.is_deleted(), DELETED) | flag(same, SAME_FIELDS));
    let (ms, seq) = entry.id.minus(StreamId::MIN);
    lp.push_int(ms);
    lp.push_int(seq);
    if !same {
        lp.push_int(entry.fields as i64);
    }
    push_pieces(lp, node, entry.body, entry.body_len());
    lp.push_int((entry.body_len() + if same { 3 } else { 4 }) as i64);
}

/// Copies fields or values that follow one another.
fn push_pieces(lp: &mut Builder, node: &Node<'_>, at: usize, count: usize) {
    let mut end = at;
    for _ in 0..count {
        let start = end;
        read_piece(node.bytes, &mut end);
        lp.push_content(&node.bytes[start..end]);
    }
}

/// Panics unless the invariants of a node hold; tells what is found out on the way.
pub(super) fn check_invariants(master: StreamId, node: &NodeBuf) -> NodeFacts {
    let lp = to_listpack(node);
    lp.check_invariants();
    assert_eq!(lp.byte_len(), node.listpack_size());
    let (again, facts) = from_listpack(master, &lp).expect("a node is sound");
    assert_eq!(again, *node);
    facts
}

#[cfg(test)]
mod tests;
