//! Walking over the entries of a stream, forwards or backwards, without copying anything.

use super::StreamId;
use super::node::{Node, NodeBuf, RawEntry, read_piece};
use crate::listpack::LpValue;
use std::collections::btree_map;

/// An entry, borrowed from its stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamEntry<'a> {
    node: Node<'a>,
    raw: RawEntry,
}

impl<'a> StreamEntry<'a> {
    /// Its id.
    pub fn id(&self) -> StreamId {
        self.raw.id
    }

    /// Number of fields.
    pub fn field_count(&self) -> usize {
        self.raw.fields
    }

    /// Fields and values.
    pub fn fields(&self) -> Fields<'a> {
        let same = self.raw.has_master_fields();
        Fields {
            bytes: self.node.bytes,
            left: self.raw.fields,
            names: same.then_some(self.node.fields_at),
            at: self.raw.body,
        }
    }
}

/// The fields of an entry with their values.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    /// The node they are in.
    bytes: &'a [u8],
    left: usize,
    /// The next field of the header, for an entry that has those.
    names: Option<usize>,
    at: usize,
}

impl<'a> Iterator for Fields<'a> {
    type Item = (LpValue<'a>, LpValue<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let name = read_piece(self.bytes, self.names.as_mut().unwrap_or(&mut self.at));
        Some((name, read_piece(self.bytes, &mut self.at)))
    }
}

/// The entries of a range of ids, in one direction.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    nodes: btree_map::Range<'a, StreamId, NodeBuf>,
    node: Option<Node<'a>>,
    /// The entry that was looked at last in `node`.
    last: Option<RawEntry>,
    first_id: StreamId,
    last_id: StreamId,
    backwards: bool,
}

impl<'a> Entries<'a> {
    /// `nodes` are all that can hold an entry of the range.
    pub(super) fn new(
        nodes: btree_map::Range<'a, StreamId, NodeBuf>,
        first_id: StreamId,
        last_id: StreamId,
        backwards: bool,
    ) -> Self {
        Entries { nodes, node: None, last: None, first_id, last_id, backwards }
    }

    /// The next entry of any node, deleted or not, within the range or not.
    fn step(&mut self) -> Option<(Node<'a>, RawEntry)> {
        loop {
            if let Some(node) = self.node {
                let entry = match (self.last, self.backwards) {
                    (None, false) => node.first(),
                    (None, true) => node.last(),
                    (Some(last), false) => node.after(&last),
                    (Some(last), true) => node.before(&last),
                };
                self.last = entry;
                if let Some(entry) = entry {
                    return Some((node, entry));
                }
            }
            self.node = None;
            let (master, node) =
                if self.backwards { self.nodes.next_back() } else { self.nodes.next() }?;
            self.node = Some(Node::open(*master, node));
        }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = StreamEntry<'a>;

    fn next(&mut self) -> Option<StreamEntry<'a>> {
        loop {
            let (node, raw) = self.step()?;
            if raw.is_deleted() {
                continue;
            }
            let (before, beyond) = match self.backwards {
                false => (raw.id < self.first_id, raw.id > self.last_id),
                true => (raw.id > self.last_id, raw.id < self.first_id),
            };
            if beyond {
                return None;
            }
            if !before {
                return Some(StreamEntry { node, raw });
            }
        }
    }
}
