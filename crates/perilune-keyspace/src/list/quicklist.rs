//! A long list: a sequence of listpack nodes, the inner ones compressed if so configured.
//!
//! ```text
//! head                                                              tail
//! [ packed ] [ packed ] [ lzf ] [ lzf ] [ plain ] ... [ lzf ] [ packed ] [ packed ]
//! '--- depth = 2 ----'  '--- compressed if that gains ---'    '--- depth = 2 ----'
//! ```
//!
//! Invariants:
//! - no node is empty, and `count` is the number of elements of all nodes;
//! - the first and the last node are never compressed;
//! - a plain node holds one element and is neither merged with others nor compressed.
//!
//! A node takes an element while it stays within the size of `list-max-listpack-size`; a node that
//! is full where an element is to be inserted is split, and small neighbours are merged. What the
//! settings said when the quicklist was made holds for all its life, as in Redis: only the size
//! from which an element has a node of its own comes with every call.

use crate::release::release_all;
use std::collections::VecDeque;
use std::ops::Range;

use super::{End, ListNode};
use crate::listpack::{Listpack, LpValue};
use crate::{EncodingLimits, lzf};

/// Node sizes in bytes that the settings -1 to -5 of `list-max-listpack-size` stand for.
const SIZE_CLASSES: [usize; 5] = [4096, 8192, 16_384, 32_768, 65_536];
/// Most bytes of a node whose size is bounded by a number of elements.
const COUNTED_NODE_BYTES_MAX: usize = 8192;
/// Bytes that an element is taken to need besides its text.
const ELEMENT_OVERHEAD: usize = 8;
/// A node smaller than this is not compressed.
const COMPRESS_MIN: usize = 48;
/// Compression that saves no more than this is not kept.
const COMPRESS_GAIN_MIN: usize = 8;

/// Most bytes and most elements of a node, by a value of `list-max-listpack-size`.
pub(super) fn node_limit(fill: i64) -> (usize, usize) {
    match usize::try_from(fill) {
        Ok(count) => (usize::MAX, count.max(1)),
        Err(_) => {
            let class = fill.unsigned_abs().min(SIZE_CLASSES.len() as u64) as usize;
            (SIZE_CLASSES[class - 1], usize::MAX)
        }
    }
}

/// Whether a node of this size is too large.
pub(super) fn exceeds(fill: i64, bytes: usize, count: usize) -> bool {
    match node_limit(fill) {
        (usize::MAX, count_max) => bytes > COUNTED_NODE_BYTES_MAX || count > count_max,
        (bytes_max, _) => bytes > bytes_max,
    }
}

#[derive(Clone, Debug)]
enum Node {
    Packed(Listpack),
    Plain(Box<[u8]>),
    /// A compressed listpack: its data, and its size and number of elements when expanded.
    Lzf {
        data: Box<[u8]>,
        size: u32,
        count: u32,
    },
}

impl Node {
    fn single(text: &[u8]) -> Self {
        let mut lp = Listpack::new();
        lp.push_back(text);
        Node::Packed(lp)
    }

    fn count(&self) -> usize {
        match self {
            Node::Packed(lp) => lp.len(),
            Node::Plain(_) => 1,
            Node::Lzf { count, .. } => *count as usize,
        }
    }

    /// Size when expanded.
    fn size(&self) -> usize {
        match self {
            Node::Packed(lp) => lp.byte_len(),
            Node::Plain(text) => text.len(),
            Node::Lzf { size, .. } => *size as usize,
        }
    }

    fn heap_size(&self) -> usize {
        match self {
            Node::Packed(lp) => lp.heap_size(),
            Node::Plain(data) | Node::Lzf { data, .. } => data.len(),
        }
    }

    fn is_plain(&self) -> bool {
        matches!(self, Node::Plain(_))
    }

    fn takes(&self, fill: i16, text: &[u8], limits: &EncodingLimits) -> bool {
        !self.is_plain() && takes(fill, (self.size(), self.count()), text, limits)
    }

    fn compress(&mut self) {
        let Node::Packed(lp) = self else { return };
        let size = lp.byte_len();
        if size < COMPRESS_MIN {
            return;
        }
        let gain = lzf::compress(lp.as_bytes(), size - COMPRESS_GAIN_MIN - 1);
        if let (Some(data), Ok(size)) = (gain, u32::try_from(size)) {
            *self = Node::Lzf { data: data.into(), size, count: lp.len() as u32 };
        }
    }

    fn expand(&mut self) {
        if let Node::Lzf { data, size, .. } = self {
            *self = Node::Packed(expanded(data, *size));
        }
    }

    /// The listpack, expanded in place; nothing if the node is plain.
    fn packed(&mut self) -> Option<&mut Listpack> {
        self.expand();
        match self {
            Node::Packed(lp) => Some(lp),
            _ => None,
        }
    }

    /// Calls `visit` with the elements in the order wanted; stops when it answers `false`.
    fn visit(
        &self,
        skip: usize,
        backward: bool,
        visit: &mut impl FnMut(LpValue<'_>) -> bool,
    ) -> bool {
        match self {
            Node::Plain(text) => skip > 0 || visit(LpValue::Str(text)),
            Node::Packed(lp) => visit_listpack(lp, skip, backward, visit),
            Node::Lzf { data, size, .. } => {
                visit_listpack(&expanded(data, *size), skip, backward, visit)
            }
        }
    }
}

/// Expands what this module compressed. The bytes were a listpack and memory does not change, so
/// the empty listpack stands for what cannot happen.
fn expanded(data: &[u8], size: u32) -> Listpack {
    let bytes = lzf::decompress(data, size as usize);
    let lp = bytes.and_then(|bytes| Listpack::from_bytes(bytes).ok());
    debug_assert!(lp.is_some());
    lp.unwrap_or_default()
}

fn visit_listpack(
    lp: &Listpack,
    skip: usize,
    backward: bool,
    visit: &mut impl FnMut(LpValue<'_>) -> bool,
) -> bool {
    // Seeking starts from the nearer end.
    let at = if backward { -1 - skip as i64 } else { skip as i64 };
    let mut next = lp.seek(at);
    while let Some(pos) = next {
        if !visit(lp.get(pos)) {
            return false;
        }
        next = if backward { lp.prev(pos) } else { lp.next(pos) };
    }
    true
}

/// The nodes of a long list.
#[derive(Clone, Debug)]
pub(super) struct Quicklist {
    nodes: VecDeque<Node>,
    count: usize,
    /// The `list-max-listpack-size` it was made under.
    fill: i16,
    /// The `list-compress-depth` it was made under.
    depth: u16,
}

impl Quicklist {
    /// Frees it node by node.
    pub(super) fn release(self, step: &mut dyn FnMut()) {
        release_all(self.nodes, step);
    }

    /// An empty one, which keeps these settings, or the nearest to them that it can.
    pub(super) fn new(limits: &EncodingLimits) -> Self {
        let size_class_max = -(SIZE_CLASSES.len() as i64);
        let fill = limits.list_max_listpack_size.clamp(size_class_max, i64::from(i16::MAX));
        let depth = limits.list_compress_depth.min(usize::from(u16::MAX));
        Quicklist { nodes: VecDeque::new(), count: 0, fill: fill as i16, depth: depth as u16 }
    }

    /// The settings it was made under: the size of a node, and the nodes at each end that are not
    /// compressed.
    pub(super) fn settings(&self) -> (i64, usize) {
        (i64::from(self.fill), usize::from(self.depth))
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Sum of the node sizes without compression.
    pub(super) fn expanded_size(&self) -> usize {
        self.nodes.iter().map(Node::size).sum()
    }

    /// Bytes allocated, from the sizes of the first `samples` nodes; zero looks at all.
    pub(super) fn memory_usage(&self, samples: usize) -> usize {
        let samples = if samples == 0 { usize::MAX } else { samples }.min(self.nodes.len());
        let looked: usize = self.nodes.iter().take(samples).map(Node::heap_size).sum();
        let heap = (looked as f64 / samples.max(1) as f64 * self.nodes.len() as f64) as usize;
        heap + self.nodes.capacity() * size_of::<Node>()
    }

    pub(super) fn nodes(&self) -> impl ExactSizeIterator<Item = ListNode<'_>> {
        self.nodes.iter().map(|node| match node {
            Node::Packed(lp) => ListNode::Packed(lp),
            Node::Plain(text) => ListNode::Plain(text),
            Node::Lzf { data, size, .. } => ListNode::Lzf { data, size: *size as usize },
        })
    }

    pub(super) fn append_listpack(&mut self, lp: Listpack) {
        if !lp.is_empty() {
            self.count += lp.len();
            self.add_node(self.nodes.len(), Node::Packed(lp));
        }
    }

    pub(super) fn append_plain(&mut self, text: Box<[u8]>) {
        self.count += 1;
        self.add_node(self.nodes.len(), Node::Plain(text));
    }

    pub(super) fn push(&mut self, end: End, text: &[u8], limits: &EncodingLimits) {
        let node = match end {
            End::Head => self.nodes.front_mut(),
            End::Tail => self.nodes.back_mut(),
        };
        self.count += 1;
        if let Some(Node::Packed(lp)) = node
            && takes(self.fill, (lp.byte_len(), lp.len()), text, limits)
        {
            match end {
                End::Head => lp.push_front(text),
                End::Tail => lp.push_back(text),
            }
            return;
        }
        let at = if end == End::Head { 0 } else { self.nodes.len() };
        self.add_node(at, new_node(text, limits));
    }

    /// Removes the element at an end and hands it to `take`.
    pub(super) fn pop<R>(&mut self, end: End, take: impl FnOnce(LpValue<'_>) -> R) -> Option<R> {
        let at = if end == End::Head { 0 } else { self.nodes.len().checked_sub(1)? };
        let node = self.nodes.get_mut(at)?;
        let taken = match node {
            Node::Plain(text) => take(LpValue::Str(text)),
            node => {
                let lp = node.packed()?;
                let pos = if end == End::Head { lp.first() } else { lp.last() }?;
                let taken = take(lp.get(pos));
                lp.remove(pos);
                if !lp.is_empty() {
                    self.count -= 1;
                    return Some(taken);
                }
                taken
            }
        };
        self.count -= 1;
        self.drop_node(at);
        Some(taken)
    }

    /// Calls `visit` with elements from the one at `index` on, towards the tail or the head, until
    /// it answers `false`.
    pub(super) fn visit(
        &self,
        index: usize,
        backward: bool,
        visit: &mut impl FnMut(LpValue<'_>) -> bool,
    ) {
        let Some((node, offset)) = self.locate(index) else { return };
        if backward {
            let mut skip = self.nodes[node].count() - 1 - offset;
            for node in self.nodes.range(..=node).rev() {
                if !node.visit(skip, true, visit) {
                    return;
                }
                skip = 0;
            }
        } else {
            let mut skip = offset;
            for node in self.nodes.range(node..) {
                if !node.visit(skip, false, visit) {
                    return;
                }
                skip = 0;
            }
        }
    }

    /// Replaces the element at `index`, which exists.
    pub(super) fn set(&mut self, index: usize, text: &[u8], limits: &EncodingLimits) {
        let Some((at, offset)) = self.locate(index) else { return };
        let large = is_large(text, limits);
        match &mut self.nodes[at] {
            Node::Plain(old) if large => *old = text.into(),
            Node::Plain(_) => {
                self.insert_at(at, 0, true, text, limits);
                self.count -= 1;
                self.drop_node(at);
            }
            node if !large => {
                if let Some(lp) = node.packed()
                    && let Some(pos) = lp.seek(offset as i64)
                {
                    lp.replace(pos, text);
                }
                self.settle(at..at + 1);
            }
            _ => {
                // After this the old element is the last of its node.
                self.insert_at(at, offset, true, text, limits);
                self.count -= 1;
                if let Some(lp) = self.nodes[at].packed() {
                    lp.remove_range(-1, 1);
                    if lp.is_empty() {
                        self.drop_node(at);
                    } else {
                        self.settle(at..at + 1);
                    }
                }
            }
        }
    }

    /// Inserts `text` beside the element at `index`, which exists.
    pub(super) fn insert(
        &mut self,
        index: usize,
        after: bool,
        text: &[u8],
        limits: &EncodingLimits,
    ) {
        if let Some((at, offset)) = self.locate(index) {
            self.insert_at(at, offset, after, text, limits);
        }
    }

    /// Removes up to `count` elements equal to `text` (all if zero), from the head or the tail on.
    pub(super) fn remove_equal(&mut self, text: &[u8], count: usize, backward: bool) -> usize {
        let wanted = if count == 0 { usize::MAX } else { count };
        let (mut removed, last) = (0, self.nodes.len());
        let mut emptied = false;
        for step in 0..last {
            if removed == wanted {
                break;
            }
            let at = if backward { last - 1 - step } else { step };
            let here = remove_from_node(&mut self.nodes[at], text, wanted - removed, backward);
            removed += here;
            match &self.nodes[at] {
                Node::Packed(lp) if lp.is_empty() => emptied = true,
                Node::Plain(_) if here > 0 => {
                    self.nodes[at] = Node::Packed(Listpack::new());
                    emptied = true;
                }
                _ if here > 0 => self.settle(at..at + 1),
                _ => {}
            }
        }
        self.count -= removed;
        if emptied {
            self.nodes.retain(|node| node.count() > 0);
            self.settle(0..0);
        }
        removed
    }

    /// Removes up to `count` elements at an end.
    pub(super) fn drop_end(&mut self, end: End, count: usize) {
        let mut left = count;
        while left > 0 {
            let node = match end {
                End::Head => self.nodes.front_mut(),
                End::Tail => self.nodes.back_mut(),
            };
            let Some(node) = node else { break };
            let here = node.count();
            if here > left {
                if let Some(lp) = node.packed() {
                    lp.remove_range(if end == End::Head { 0 } else { -(left as i64) }, left);
                }
                self.count -= left;
                break;
            }
            left -= here;
            self.count -= here;
            match end {
                End::Head => self.nodes.pop_front(),
                End::Tail => self.nodes.pop_back(),
            };
        }
        self.settle(0..0);
    }

    /// The only node's listpack, if there is just one and it is within the given size.
    pub(super) fn take_single(&mut self, bytes_max: usize, count_max: usize) -> Option<Listpack> {
        if self.nodes.len() != 1 || self.count > count_max {
            return None;
        }
        match self.nodes.front_mut()? {
            Node::Packed(lp) if lp.byte_len() <= bytes_max => {
                self.count = 0;
                let lp = std::mem::take(lp);
                self.nodes.clear();
                Some(lp)
            }
            _ => None,
        }
    }

    pub(super) fn check_invariants(&self) {
        let total: usize = self.nodes.iter().map(Node::count).sum();
        assert_eq!(total, self.count);
        assert!(self.nodes.iter().all(|node| node.count() > 0));
        for node in &self.nodes {
            match node {
                Node::Packed(lp) => lp.check_invariants(),
                Node::Lzf { data, size, count } => {
                    assert_eq!(expanded(data, *size).len(), *count as usize);
                }
                Node::Plain(_) => {}
            }
        }
        for end in [self.nodes.front(), self.nodes.back()] {
            assert!(!matches!(end, Some(Node::Lzf { .. })));
        }
    }

    /// The node that holds the element at `index`, and its offset there.
    fn locate(&self, index: usize) -> Option<(usize, usize)> {
        if index >= self.count {
            return None;
        }
        if index < self.count / 2 {
            let mut before = 0;
            for (at, node) in self.nodes.iter().enumerate() {
                let count = node.count();
                if index < before + count {
                    return Some((at, index - before));
                }
                before += count;
            }
        } else {
            let mut before = self.count;
            for (at, node) in self.nodes.iter().enumerate().rev() {
                before -= node.count();
                if index >= before {
                    return Some((at, index - before));
                }
            }
        }
        None
    }

    /// Inserts beside the element at `offset` of node `at`.
    fn insert_at(
        &mut self,
        at: usize,
        offset: usize,
        after: bool,
        text: &[u8],
        limits: &EncodingLimits,
    ) {
        self.count += 1;
        let node = &mut self.nodes[at];
        let at_edge = if after { offset + 1 == node.count() } else { offset == 0 };
        // Where the new element goes within the node.
        let place = if after { offset + 1 } else { offset };
        if is_large(text, limits) {
            let new = Node::Plain(text.into());
            if node.is_plain() || at_edge {
                self.add_node(at + usize::from(after), new);
            } else {
                self.split(at, place);
                self.add_node(at + 1, new);
                self.settle(at..at + 3);
            }
            return;
        }
        if node.takes(self.fill, text, limits) {
            insert_in_node(node, place, text);
            self.settle(at..at + 1);
            return;
        }
        if at_edge {
            let neighbour = if after { Some(at + 1) } else { at.checked_sub(1) };
            let room = neighbour.filter(|&i| {
                self.nodes.get(i).is_some_and(|node| node.takes(self.fill, text, limits))
            });
            if let Some(i) = room {
                let place = if after { 0 } else { self.nodes[i].count() };
                insert_in_node(&mut self.nodes[i], place, text);
                self.settle(i..i + 1);
            } else {
                self.add_node(at + usize::from(after), Node::single(text));
            }
            return;
        }
        self.split(at, place);
        // The half that does not hold the reference element takes the new one.
        let (taker, centre) = if after { (at + 1, at) } else { (at, at + 1) };
        let place = if after { 0 } else { self.nodes[taker].count() };
        insert_in_node(&mut self.nodes[taker], place, text);
        self.merge_around(centre);
        self.settle(at.saturating_sub(2)..at + 4);
    }

    /// Splits node `at` so that its elements from `place` on form the next node.
    fn split(&mut self, at: usize, place: usize) {
        if let Some(left) = self.nodes[at].packed() {
            let mut right = left.clone();
            right.remove_range(0, place);
            left.remove_range(place as i64, usize::MAX);
            self.insert_node(at + 1, Node::Packed(right));
        }
    }

    /// Merges the neighbours on each side of `centre`, then `centre` with what is beside it.
    fn merge_around(&mut self, mut centre: usize) {
        if centre >= 2 && self.merge_next(centre - 2) {
            centre -= 1;
        }
        self.merge_next(centre + 1);
        if centre >= 1 && self.merge_next(centre - 1) {
            centre -= 1;
        }
        self.merge_next(centre);
    }

    /// Appends node `at + 1` to node `at` if both exist and the result is within the limits.
    fn merge_next(&mut self, at: usize) -> bool {
        let (Some(a), Some(b)) = (self.nodes.get(at), self.nodes.get(at + 1)) else { return false };
        // The merged listpack has one header and one end marker less.
        let size = (a.size() + b.size()).saturating_sub(7);
        if a.is_plain()
            || b.is_plain()
            || exceeds(i64::from(self.fill), size, a.count() + b.count())
        {
            return false;
        }
        let Some(mut right) = self.nodes.remove(at + 1) else { return false };
        if let (Some(left), Some(right)) = (self.nodes[at].packed(), right.packed()) {
            left.append(right);
        }
        true
    }

    /// Inserts a node. The sequence of nodes grows by an eighth: doubled, it would be half empty.
    fn insert_node(&mut self, at: usize, node: Node) {
        if self.nodes.len() == self.nodes.capacity() {
            self.nodes.reserve_exact(self.nodes.len() / 8 + 1);
        }
        self.nodes.insert(at, node);
    }

    fn add_node(&mut self, at: usize, node: Node) {
        self.insert_node(at, node);
        self.settle(at.saturating_sub(1)..at + 2);
    }

    fn drop_node(&mut self, at: usize) {
        self.nodes.remove(at);
        self.settle(0..0);
    }

    /// Restores what compression asks for after nodes came, went or were expanded: the ends are
    /// expanded; `touched` nodes and the first ones beyond the ends are compressed.
    fn settle(&mut self, touched: Range<usize>) {
        let (len, depth) = (self.nodes.len(), usize::from(self.depth));
        for i in 0..depth.min(len) {
            self.nodes[i].expand();
            self.nodes[len - 1 - i].expand();
        }
        if depth == 0 || len <= depth * 2 {
            return;
        }
        let inner = depth..len - depth;
        for i in touched.chain([depth, len - 1 - depth]) {
            if inner.contains(&i) {
                self.nodes[i].compress();
            }
        }
    }
}

fn is_large(text: &[u8], limits: &EncodingLimits) -> bool {
    text.len() >= limits.list_packed_threshold
}

fn new_node(text: &[u8], limits: &EncodingLimits) -> Node {
    if is_large(text, limits) { Node::Plain(text.into()) } else { Node::single(text) }
}

/// Whether a node of this size takes the text.
fn takes(fill: i16, (size, count): (usize, usize), text: &[u8], limits: &EncodingLimits) -> bool {
    let size = size + text.len() + ELEMENT_OVERHEAD;
    !is_large(text, limits) && !exceeds(i64::from(fill), size, count + 1)
}

fn insert_in_node(node: &mut Node, place: usize, text: &[u8]) {
    if let Some(lp) = node.packed() {
        match lp.seek(place as i64) {
            Some(pos) => {
                lp.insert_before(pos, text);
            }
            None => lp.push_back(text),
        }
    }
}

/// Removes up to `wanted` elements equal to `text`; a plain node is only counted.
fn remove_from_node(node: &mut Node, text: &[u8], wanted: usize, backward: bool) -> usize {
    let mut found = false;
    node.visit(0, false, &mut |value| {
        found = value.eq_bytes(text);
        !found
    });
    if !found {
        return 0;
    }
    node.packed().map_or(1, |lp| remove_from_listpack(lp, text, wanted, backward))
}

/// Removes up to `wanted` elements equal to `text`, from the front or the back.
pub(super) fn remove_from_listpack(
    lp: &mut Listpack,
    text: &[u8],
    wanted: usize,
    backward: bool,
) -> usize {
    let mut removed = 0;
    let mut next = if backward { lp.last() } else { lp.first() };
    while let Some(pos) = next
        && removed < wanted
    {
        let hit = lp.get(pos).eq_bytes(text);
        next = match (hit, backward) {
            (false, true) => lp.prev(pos),
            (false, false) => lp.next(pos),
            (true, true) => {
                lp.remove(pos);
                lp.prev(pos)
            }
            (true, false) => lp.remove(pos),
        };
        removed += usize::from(hit);
    }
    removed
}
