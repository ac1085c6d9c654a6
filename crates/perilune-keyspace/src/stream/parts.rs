//! A stream put together from what a snapshot says, which is not trusted.

use super::convert::{NodeFacts, from_listpack};
use super::group::{ConsumerId, Group, Pending};
use super::node::NodeBuf;
use super::{Stream, StreamId};
use crate::listpack::Listpack;
use std::collections::BTreeMap;
use std::fmt;

/// Why the parts make no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartsError {
    /// A listpack is not a node, or its ids are not greater than those before.
    Node,
    /// Lengths or ids contradict the entries.
    Facts,
    /// A group is there twice.
    Group,
    /// A consumer is there twice.
    Consumer,
    /// A pending entry is there twice, or without its consumer, or a consumer's entry is not pending.
    Pending,
}

impl PartsError {
    /// What it says.
    pub fn text(self) -> &'static str {
        match self {
            PartsError::Node => "a stream node is malformed",
            PartsError::Facts => "a stream contradicts itself",
            PartsError::Group => "a consumer group is there twice",
            PartsError::Consumer => "Duplicate stream consumer detected",
            PartsError::Pending => "pending entries and consumers do not fit",
        }
    }
}

impl fmt::Display for PartsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for PartsError {}

/// A stream under construction: first nodes, then [`finish`](Self::finish), then groups.
#[derive(Debug, Default)]
pub struct StreamParts {
    nodes: BTreeMap<StreamId, NodeBuf>,
    len: u64,
    first: Option<StreamId>,
    last: Option<StreamId>,
}

impl StreamParts {
    /// Adds the next node, with the id it is stored under.
    pub fn add_node(&mut self, master: StreamId, lp: Listpack) -> Result<(), PartsError> {
        let (node, facts) = from_listpack(master, &lp).ok_or(PartsError::Node)?;
        let NodeFacts { live, ends } = facts;
        if self.nodes.last_key_value().is_some_and(|(before, _)| *before >= master) {
            return Err(PartsError::Node);
        }
        if let Some((first, last)) = ends {
            if self.last.is_some_and(|before| before >= first) {
                return Err(PartsError::Node);
            }
            self.first = self.first.or(Some(first));
            self.last = Some(last);
        }
        self.len = self.len.saturating_add(live);
        self.nodes.insert(master, node);
        Ok(())
    }

    /// Number of entries so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is no entry so far.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The stream, without groups. `len` and `last_id` must fit the nodes.
    pub fn finish(self, len: u64, last_id: StreamId) -> Result<Stream, PartsError> {
        if len != self.len || self.last.is_some_and(|last| last > last_id) {
            return Err(PartsError::Facts);
        }
        Ok(Stream {
            nodes: self.nodes,
            len,
            first_id: self.first.unwrap_or_default(),
            last_id,
            max_deleted_id: StreamId::MIN,
            entries_added: len,
            groups: BTreeMap::new(),
        })
    }
}

/// A pending entry whose consumer is yet to come.
type Orphan = (i64, u64);

/// A consumer group under construction: all pending entries, then the consumers with theirs.
#[derive(Debug)]
pub struct GroupParts {
    group: Group,
    orphans: BTreeMap<StreamId, Orphan>,
}

impl GroupParts {
    /// A group with these facts.
    pub fn new(last_id: StreamId, entries_read: Option<i64>) -> Self {
        GroupParts { group: Group::new(last_id, entries_read), orphans: BTreeMap::new() }
    }

    /// Adds a pending entry.
    pub fn add_pending(
        &mut self,
        id: StreamId,
        delivered_ms: i64,
        deliveries: u64,
    ) -> Result<(), PartsError> {
        match self.orphans.insert(id, (delivered_ms, deliveries)) {
            None => Ok(()),
            Some(_) => Err(PartsError::Pending),
        }
    }

    /// Adds a consumer.
    pub fn add_consumer(
        &mut self,
        name: &[u8],
        seen_ms: i64,
        active_ms: i64,
    ) -> Result<ConsumerId, PartsError> {
        let id = self.group.create_consumer(name, seen_ms).ok_or(PartsError::Consumer)?;
        if let Some(consumer) = self.group.consumer_mut(id) {
            consumer.active_ms = active_ms;
        }
        Ok(id)
    }

    /// Gives a pending entry to its consumer.
    pub fn own(&mut self, consumer: ConsumerId, id: StreamId) -> Result<(), PartsError> {
        let (delivered_ms, deliveries) = self.orphans.remove(&id).ok_or(PartsError::Pending)?;
        self.group.assign(id, Pending { delivered_ms, deliveries, consumer });
        Ok(())
    }

    /// The group, if every pending entry has its consumer.
    pub fn finish(self) -> Result<Group, PartsError> {
        if self.orphans.is_empty() { Ok(self.group) } else { Err(PartsError::Pending) }
    }
}
