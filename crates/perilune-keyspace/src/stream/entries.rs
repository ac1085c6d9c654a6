//! Walking over the entries of a stream, forwards or backwards, without copying anything.

use super::StreamId;
use super::node::{Node, RawEntry};
use crate::listpack::{Listpack, LpPos, LpValue};
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
            lp: self.node.lp,
            left: self.raw.fields,
            names: same.then_some(self.node.master_fields),
            at: Some(self.raw.body),
        }
    }
}

/// The fields of an entry with their values.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    lp: &'a Listpack,
    left: usize,
    /// The next master field, for an entry that has them.
    names: Option<LpPos>,
    at: Option<LpPos>,
}

impl<'a> Fields<'a> {
    #[inline]
    fn piece(&mut self) -> Option<LpValue<'a>> {
        let at = self.at?;
        self.at = self.lp.next(at);
        Some(self.lp.get(at))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (LpValue<'a>, LpValue<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let name = match self.names {
            Some(at) => {
                self.names = self.lp.next(at);
                self.lp.get(at)
            }
            None => self.piece()?,
        };
        Some((name, self.piece()?))
    }
}

/// The entries of a range of ids, in one direction.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    nodes: btree_map::Range<'a, StreamId, Listpack>,
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
        nodes: btree_map::Range<'a, StreamId, Listpack>,
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
            let (master, lp) =
                if self.backwards { self.nodes.next_back() } else { self.nodes.next() }?;
            self.node = Node::open(*master, lp);
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
