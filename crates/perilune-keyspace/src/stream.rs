//! Streams: an append-only log of entries with fields, and the groups that read it together.
//!
//! ```text
//! nodes     id of a node's first entry -> its entries (see `node`), in the order of ids
//! groups    name -> last delivered id, pending entries, consumers (see `group`)
//! first_id  last_id  max_deleted_id  entries_added  len
//! ```
//!
//! Nodes hold up to some hundred entries each. Entries are only ever added at the end; one that is
//! deleted stays in its node, marked, until the node has no other and goes as a whole. So a stream
//! that is trimmed at its head and grows at its tail frees whole nodes and never moves an entry.
//!
//! Invariants, checked by [`Stream::check_invariants`]:
//! - every node is sound, `len` is the number of live entries in all of them, and ids rise over all;
//! - `first_id` is the id of the first live entry, 0-0 if there is none;
//! - `last_id` is at least that of the last live entry; new ids are greater than it;
//! - every group is sound.
//!
//! A stream may be empty. It reads no clock: who adds an entry or a consumer says when.

mod convert;
mod entries;
mod group;
mod id;
mod node;
mod parts;
#[cfg(test)]
mod tests;

pub use entries::{Entries, Fields, StreamEntry};
pub use group::{Consumer, ConsumerId, Group, Pending};
pub use id::{ID_TEXT_MAX, StreamId};
pub use parts::{GroupParts, PartsError, StreamParts};

use crate::Bytes;
use crate::limits::EncodingLimits;
use crate::listpack::Listpack;
use crate::release::release_all;
use node::{Node, NodeBuf, RawEntry};
use std::collections::BTreeMap;

/// Most bytes of one entry, and of a node whatever the limits say.
const NODE_BYTES_MAX: usize = 1 << 30;

/// Most fields and values of one entry. With the ten bytes that each may take besides its text the
/// largest node is still far from the 4 GiB that a listpack can have.
const PIECES_MAX: usize = 1 << 27;

/// Most bytes reserved for a new node.
const NODE_RESERVE_MAX: usize = 4096;

/// A stream.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    nodes: BTreeMap<StreamId, NodeBuf>,
    len: u64,
    first_id: StreamId,
    last_id: StreamId,
    max_deleted_id: StreamId,
    entries_added: u64,
    groups: BTreeMap<Bytes, Group>,
}

/// Why an entry was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppendError {
    /// The id is not greater than all before it.
    NotGreater,
    /// The fields and values are too large for a node.
    TooLarge,
}

/// How far a stream is to be trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimTo {
    /// To at most so many entries.
    Length(u64),
    /// To entries with ids not below this one.
    From(StreamId),
}

/// What may be trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    /// How far.
    pub to: TrimTo,
    /// Whole nodes only, so that something may be left over.
    pub approximate: bool,
    /// Most entries to remove; zero is no limit.
    pub limit: u64,
}

impl Stream {
    /// An empty stream.
    pub fn new() -> Self {
        Stream::default()
    }

    /// Name of the encoding.
    pub fn encoding(&self) -> &'static str {
        "stream"
    }

    /// Number of entries.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first entry's id, 0-0 if there is none.
    pub fn first_id(&self) -> StreamId {
        self.first_id
    }

    /// The greatest id that ever was, or was set by [`set_last_id`](Self::set_last_id).
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// Sets what new ids must be greater than. It must not be below the last entry's.
    pub fn set_last_id(&mut self, id: StreamId) {
        self.last_id = id;
    }

    /// The greatest id that was deleted from between others.
    pub fn max_deleted_id(&self) -> StreamId {
        self.max_deleted_id
    }

    /// Notes that an entry with this id was deleted.
    pub fn set_max_deleted_id(&mut self, id: StreamId) {
        self.max_deleted_id = id;
    }

    /// Number of entries ever added.
    pub fn entries_added(&self) -> u64 {
        self.entries_added
    }

    /// Sets the number of entries ever added.
    pub fn set_entries_added(&mut self, count: u64) {
        self.entries_added = count;
    }

    /// The id for an entry that is added at `now_ms`; none if ids are exhausted.
    pub fn next_id(&self, now_ms: u64) -> Option<StreamId> {
        if now_ms > self.last_id.ms { Some(StreamId::new(now_ms, 0)) } else { self.last_id.next() }
    }

    /// Whether these fields and values together fit an entry.
    pub fn fits(pairs: &[&[u8]]) -> bool {
        pairs.len() <= PIECES_MAX
            && pairs.iter().map(|piece| piece.len()).sum::<usize>() <= NODE_BYTES_MAX
    }

    /// Adds an entry with the fields and values that stand in turn in `pairs`.
    pub fn append(
        &mut self,
        id: StreamId,
        pairs: &[&[u8]],
        limits: &EncodingLimits,
    ) -> Result<(), AppendError> {
        if id <= self.last_id {
            return Err(AppendError::NotGreater);
        }
        if !Stream::fits(pairs) {
            return Err(AppendError::TooLarge);
        }
        // A stream that has outgrown its first node will most likely fill the next one, too.
        let mut reserve = 0;
        let tail = self.nodes.last_entry().and_then(|tail| {
            let master = *tail.key();
            let node = tail.into_mut();
            if has_room(node, pairs, limits) {
                return Some((master, node));
            }
            reserve = node.byte_len().min(NODE_RESERVE_MAX);
            node.shrink_to_fit();
            None
        });
        match tail {
            Some((master, node)) => node.append(master, id, pairs),
            None => {
                let mut node = NodeBuf::for_entry(pairs, reserve);
                node.append(id, id, pairs);
                self.nodes.insert(id, node);
            }
        }
        self.len += 1;
        self.entries_added = self.entries_added.wrapping_add(1);
        self.last_id = id;
        if self.len == 1 {
            self.first_id = id;
        }
        Ok(())
    }

    /// Deletes entries; tells how many there were. Remembers the greatest of their ids.
    pub fn delete(&mut self, ids: &[StreamId]) -> u64 {
        let (mut deleted, mut first_gone) = (0, false);
        for id in ids {
            if !self.delete_one(*id) {
                continue;
            }
            first_gone |= *id == self.first_id;
            self.max_deleted_id = self.max_deleted_id.max(*id);
            deleted += 1;
        }
        if first_gone || self.len == 0 {
            self.find_first();
        }
        deleted
    }

    fn delete_one(&mut self, id: StreamId) -> bool {
        let Some((&master, node)) = self.nodes.range_mut(..=id).next_back() else { return false };
        let Some(entry) = find_in_node(master, node, id) else { return false };
        if node.live() <= 1 {
            self.nodes.remove(&master);
        } else {
            node.delete(&entry);
        }
        self.len -= 1;
        true
    }

    fn find_first(&mut self) {
        self.first_id = self.iter().next().map(|entry| entry.id()).unwrap_or_default();
    }

    /// Removes entries from the head; tells how many.
    pub fn trim(&mut self, trim: &Trim) -> u64 {
        let mut removed = 0;
        while let Some(mut head) = self.nodes.first_entry() {
            if matches!(trim.to, TrimTo::Length(length) if self.len <= length) {
                break;
            }
            let live = head.get().live();
            if trim.limit > 0 && removed + live > trim.limit {
                break;
            }
            let whole = match trim.to {
                TrimTo::Length(length) => self.len.saturating_sub(live) >= length,
                TrimTo::From(id) => last_of_node(*head.key(), head.get()) < id,
            };
            if whole {
                head.remove();
                self.len = self.len.saturating_sub(live);
                removed += live;
                continue;
            }
            if !trim.approximate {
                let master = *head.key();
                let taken = trim_node(master, head.get_mut(), self.len, trim.to);
                self.len = self.len.saturating_sub(taken);
                removed += taken;
            }
            break;
        }
        if removed > 0 || self.len == 0 {
            self.find_first();
        }
        removed
    }

    /// All entries in order.
    pub fn iter(&self) -> Entries<'_> {
        Entries::new(self.nodes.range(..), StreamId::MIN, StreamId::MAX, false)
    }

    /// The entries from `first` to `last`, both included, from the end if `backwards`.
    pub fn range(&self, first: StreamId, last: StreamId, backwards: bool) -> Entries<'_> {
        // The node that begins before the range may reach into it.
        let start = self.nodes.range(..=first).next_back().map_or(StreamId::MIN, |(id, _)| *id);
        let nodes = self.nodes.range(start..=last.max(start));
        Entries::new(nodes, first, last, backwards)
    }

    /// The entry with this id.
    pub fn get(&self, id: StreamId) -> Option<StreamEntry<'_>> {
        self.range(id, id, false).next()
    }

    /// Whether there is an entry with this id.
    pub fn contains(&self, id: StreamId) -> bool {
        self.get(id).is_some()
    }

    /// The id of the last entry there is.
    pub fn last_entry_id(&self) -> Option<StreamId> {
        Some(self.range(StreamId::MIN, StreamId::MAX, true).next()?.id())
    }

    /// The first id in the first node, which may have been deleted.
    pub fn first_stored_id(&self) -> Option<StreamId> {
        let (master, node) = self.nodes.first_key_value()?;
        Some(Node::open(*master, node).first()?.id)
    }

    /// Number of nodes.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The nodes as Redis has them: the id each is stored under, and a listpack, made on the way.
    pub fn nodes(&self) -> impl Iterator<Item = (StreamId, Listpack)> {
        self.nodes.iter().map(|(master, node)| (*master, convert::to_listpack(node)))
    }

    /// Number of consumer groups.
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// The consumer groups with their names, in the order of these.
    pub fn groups(&self) -> impl Iterator<Item = (&Bytes, &Group)> {
        self.groups.iter()
    }

    /// A consumer group.
    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.groups.get(name)
    }

    /// A consumer group, to change.
    pub fn group_mut(&mut self, name: &[u8]) -> Option<&mut Group> {
        self.groups.get_mut(name)
    }

    /// Works on a consumer group with the entries at hand; none if there is no such group.
    pub fn with_group<R>(
        &mut self,
        name: &[u8],
        work: impl FnOnce(&Stream, &mut Group) -> R,
    ) -> Option<R> {
        let mut group = std::mem::take(self.groups.get_mut(name)?);
        let result = work(self, &mut group);
        if let Some(place) = self.groups.get_mut(name) {
            *place = group;
        }
        Some(result)
    }

    /// Adds a consumer group; false if there is one of that name.
    pub fn add_group(&mut self, name: &[u8], group: Group) -> bool {
        let vacant = !self.groups.contains_key(name);
        if vacant {
            self.groups.insert(Bytes::new(name), group);
        }
        vacant
    }

    /// Removes a consumer group; none if there is no such group.
    pub fn remove_group(&mut self, name: &[u8]) -> Option<Group> {
        self.groups.remove(name)
    }

    /// Whether an entry that is not the last was deleted at or after `id`.
    fn has_gaps_from(&self, id: StreamId) -> bool {
        let gap = self.max_deleted_id;
        self.len > 0 && !gap.is_zero() && self.first_id <= gap && id <= gap
    }

    /// How many entries the stream ever had up to and including `id`; none if that cannot be told
    /// from what is kept.
    pub fn entries_up_to(&self, id: StreamId) -> Option<i64> {
        let (added, len) = (self.entries_added as i64, self.len as i64);
        if added == 0 {
            return Some(0);
        }
        if self.len == 0 && id <= self.last_id || id == self.last_id {
            return Some(added);
        }
        let whole = self.max_deleted_id.is_zero() || self.max_deleted_id < self.first_id;
        if id > self.last_id || !whole {
            return None;
        }
        match id.cmp(&self.first_id) {
            std::cmp::Ordering::Less => Some(added.wrapping_sub(len)),
            std::cmp::Ordering::Equal => Some(added.wrapping_sub(len).wrapping_add(1)),
            std::cmp::Ordering::Greater => None,
        }
    }

    /// How many entries a group has not read yet; none if that is not known.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        if self.entries_added == 0 {
            return Some(0);
        }
        let read = match group.entries_read {
            Some(read) if !self.has_gaps_from(group.last_id) => read,
            _ => self.entries_up_to(group.last_id)?,
        };
        Some((self.entries_added as i64).wrapping_sub(read))
    }

    /// How many entries a group has read once it has read `id`, the next one for it.
    pub fn entries_read_after(&self, read: Option<i64>, id: StreamId) -> Option<i64> {
        match read {
            Some(read) if !self.has_gaps_from(id) => Some(read.wrapping_add(1)),
            read if self.entries_added == 0 => read,
            _ => self.entries_up_to(id),
        }
    }

    /// Number of nodes of the radix tree in which Redis would keep these nodes: one per key, one
    /// where paths part, one for each stretch without a branch.
    pub fn radix_tree_nodes(&self) -> usize {
        radix_tree_nodes(self.nodes.keys().map(|id| id.to_bytes()))
    }

    /// Number of allocations that freeing it takes, roughly.
    pub fn free_effort(&self) -> usize {
        let pending = self.groups.values().next().map_or(0, Group::pending_len);
        self.nodes.len() + self.groups.len() * (1 + pending)
    }

    /// Frees it in steps; see [`Release`](crate::Release).
    pub(crate) fn release(self, step: &mut dyn FnMut()) {
        release_all(self.nodes, step);
        release_all(self.groups, step);
    }

    /// Bytes allocated, with nodes and groups estimated from `samples` of them; zero looks at all.
    pub fn memory_usage(&self, samples: usize) -> usize {
        let samples = if samples == 0 { usize::MAX } else { samples };
        let slot = size_of::<(StreamId, NodeBuf)>() * 4 / 3;
        let nodes = self.nodes.values().map(NodeBuf::heap_size);
        let groups = self
            .groups
            .iter()
            .map(|(name, group)| size_of::<Bytes>() + name.heap_size() + group.memory_usage());
        self.nodes.len() * slot
            + extrapolate(nodes, self.nodes.len(), samples)
            + extrapolate(groups, self.groups.len(), samples)
    }

    /// Panics unless the module's invariants hold.
    #[doc(hidden)]
    pub fn check_invariants(&self) {
        let (mut len, mut before) = (0, None);
        for (master, node) in &self.nodes {
            let facts = convert::check_invariants(*master, node);
            len += facts.live;
            if let Some((first, last)) = facts.ends {
                assert!(before.is_none_or(|before| before < first));
                before = Some(last);
            }
        }
        assert_eq!(self.len, len);
        assert!(before.unwrap_or_default() <= self.last_id);
        let first = self.iter().next().map(|entry| entry.id()).unwrap_or_default();
        assert_eq!(self.first_id, first);
        self.groups.values().for_each(Group::check_invariants);
    }
}

/// Whether a node takes another entry. In bytes it counts as what it is for Redis, so that nodes end
/// where they would there.
fn has_room(node: &NodeBuf, pairs: &[&[u8]], limits: &EncodingLimits) -> bool {
    let bytes_max = match limits.stream_node_max_bytes {
        0 => NODE_BYTES_MAX,
        bytes => bytes.min(NODE_BYTES_MAX),
    };
    let more: usize = pairs.iter().map(|piece| piece.len()).sum();
    if node.listpack_size() + more >= bytes_max {
        return false;
    }
    let entries_max = limits.stream_node_max_entries as u64;
    entries_max == 0 || node.entry_count() < entries_max
}

/// The live entry with this id, if the node has it.
fn find_in_node(master: StreamId, node: &NodeBuf, id: StreamId) -> Option<RawEntry> {
    let node = Node::open(master, node);
    let mut entry = node.first()?;
    while entry.id < id || entry.is_deleted() {
        entry = node.after(&entry)?;
    }
    (entry.id == id).then_some(entry)
}

/// The last id in a node, which may have been deleted.
fn last_of_node(master: StreamId, node: &NodeBuf) -> StreamId {
    Node::open(master, node).last().map(|entry| entry.id).unwrap_or_default()
}

/// Deletes entries at the head of a node of a stream with `len` entries; tells how many.
fn trim_node(master: StreamId, node: &mut NodeBuf, len: u64, to: TrimTo) -> u64 {
    let mut taken = 0;
    let mut next = Node::open(master, node).first();
    while let Some(entry) = next {
        let enough = match to {
            TrimTo::Length(length) => len.saturating_sub(taken) <= length,
            TrimTo::From(id) => entry.id >= id,
        };
        if enough {
            break;
        }
        if !entry.is_deleted() {
            node.delete(&entry);
            taken += 1;
        }
        next = Node::open(master, node).after(&entry);
    }
    taken
}

fn extrapolate(sizes: impl Iterator<Item = usize>, count: usize, samples: usize) -> usize {
    let sum: usize = sizes.take(samples).sum();
    match count {
        count if count <= samples => sum,
        count => (sum as f64 / samples as f64 * count as f64) as usize,
    }
}

/// Number of nodes of a compressed radix tree with these keys, which come in order.
fn radix_tree_nodes(keys: impl Iterator<Item = [u8; 16]>) -> usize {
    let stretch = |depth: usize, parent: usize| usize::from(depth > parent);
    // Depths of the branches on the way to the last key, and the last key itself.
    let mut path: Vec<usize> = Vec::new();
    let (mut total, mut last) = (0, None::<[u8; 16]>);
    for key in keys {
        if let Some(last) = last {
            let common = key.iter().zip(&last).take_while(|(a, b)| a == b).count();
            // Everything deeper than the new branch is complete.
            while let Some(depth) = path.pop_if(|depth| *depth > common) {
                let parent = path.last().map_or(common, |parent| (*parent).max(common));
                total += 1 + stretch(depth, parent + 1);
            }
            if path.last() != Some(&common) {
                path.push(common);
            }
        }
        path.push(key.len());
        last = Some(key);
    }
    while let Some(depth) = path.pop() {
        total += 1 + stretch(depth, path.last().map_or(0, |parent| parent + 1));
    }
    // An empty tree still has its root.
    total.max(1)
}
