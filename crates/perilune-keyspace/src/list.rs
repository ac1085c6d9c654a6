//! The list value: a sequence of strings that is cheap to change at both ends.
//!
//! ```text
//! listpack   one listpack ........................ while it fits into a single node
//! quicklist  [ node ] [ node ] ... [ node ] ...... see `quicklist`
//! ```
//!
//! Growing is decided before elements are added, from the length of the texts to be added and the
//! setting `list-max-listpack-size`. Shrinking is decided after elements were removed: a quicklist
//! of one node becomes a listpack again below half of that size, so that a list that changes
//! around the limit does not convert back and forth.
//!
//! Elements of compressed nodes exist only while they are looked at, so elements are handed to
//! closures instead of being returned by reference.

mod quicklist;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use crate::listpack::{Listpack, LpValue};
use crate::{Bytes, EncodingLimits};
use quicklist::Quicklist;

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Index 0.
    Head,
    /// Index -1.
    Tail,
}

/// A list value.
#[derive(Clone, Debug)]
pub struct List(Repr);

#[derive(Clone, Debug)]
enum Repr {
    Listpack(Listpack),
    Quicklist(Box<Quicklist>),
}

/// A node of a list, as snapshots store it.
#[derive(Clone, Copy, Debug)]
pub enum ListNode<'a> {
    /// Several elements.
    Packed(&'a Listpack),
    /// One element, as it is.
    Plain(&'a [u8]),
    /// A listpack of `size` bytes, compressed.
    Lzf {
        /// The compressed listpack.
        data: &'a [u8],
        /// Its size when expanded.
        size: usize,
    },
}

/// What the debugging commands tell about a quicklist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuicklistInfo {
    /// Number of nodes.
    pub nodes: usize,
    /// Sum of the node sizes without compression.
    pub expanded_size: usize,
    /// The `list-max-listpack-size` that the list keeps to.
    pub node_size: i64,
    /// The `list-compress-depth` that the list keeps to.
    pub compress_depth: usize,
}

impl Default for List {
    fn default() -> Self {
        List::new()
    }
}

impl List {
    /// An empty list.
    pub fn new() -> Self {
        List(Repr::Listpack(Listpack::new()))
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Listpack(lp) => lp.len(),
            Repr::Quicklist(ql) => ql.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name that `OBJECT ENCODING` answers.
    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Repr::Listpack(_) => "listpack",
            Repr::Quicklist(_) => "quicklist",
        }
    }

    /// Bytes allocated, estimated from `samples` nodes; zero looks at every node.
    pub fn memory_usage(&self, samples: usize) -> usize {
        match &self.0 {
            Repr::Listpack(lp) => lp.heap_size(),
            Repr::Quicklist(ql) => size_of::<Quicklist>() + ql.memory_usage(samples),
        }
    }

    /// Number of allocations to free, roughly.
    pub fn free_effort(&self) -> usize {
        match &self.0 {
            Repr::Listpack(_) => 1,
            Repr::Quicklist(ql) => ql.node_count(),
        }
    }

    /// Frees it in steps; see [`Release`](crate::Release).
    pub(crate) fn release(self, step: &mut dyn FnMut()) {
        if let Repr::Quicklist(ql) = self.0 {
            ql.release(step);
        }
    }

    /// Figures about the nodes, if the encoding is "quicklist".
    pub fn quicklist_info(&self) -> Option<QuicklistInfo> {
        match &self.0 {
            Repr::Listpack(_) => None,
            Repr::Quicklist(ql) => {
                let (node_size, compress_depth) = ql.settings();
                Some(QuicklistInfo {
                    nodes: ql.node_count(),
                    expanded_size: ql.expanded_size(),
                    node_size,
                    compress_depth,
                })
            }
        }
    }

    /// The listpack, if the encoding is "listpack".
    pub fn as_listpack(&self) -> Option<&Listpack> {
        match &self.0 {
            Repr::Listpack(lp) => Some(lp),
            Repr::Quicklist(_) => None,
        }
    }

    /// The nodes from head to tail; a list encoded as a listpack is a single node.
    pub fn nodes(&self) -> impl Iterator<Item = ListNode<'_>> {
        let (single, nodes) = match &self.0 {
            Repr::Listpack(lp) => (Some(ListNode::Packed(lp)), None),
            Repr::Quicklist(ql) => (None, Some(ql.nodes())),
        };
        single.into_iter().chain(nodes.into_iter().flatten())
    }

    /// Adds `items` one after the other at an end.
    pub fn push<T: AsRef<[u8]>>(&mut self, end: End, items: &[T], limits: &EncodingLimits) {
        let bytes = items.iter().map(|item| item.as_ref().len()).sum();
        self.prepare_growth(bytes, items.len(), limits);
        for item in items {
            match (&mut self.0, end) {
                (Repr::Listpack(lp), End::Head) => lp.push_front(item.as_ref()),
                (Repr::Listpack(lp), End::Tail) => lp.push_back(item.as_ref()),
                (Repr::Quicklist(ql), end) => ql.push(end, item.as_ref(), limits),
            }
        }
    }

    /// Adds an element before the first.
    pub fn push_front(&mut self, item: &[u8], limits: &EncodingLimits) {
        self.push(End::Head, &[item], limits);
    }

    /// Adds an element after the last.
    pub fn push_back(&mut self, item: &[u8], limits: &EncodingLimits) {
        self.push(End::Tail, &[item], limits);
    }

    /// Removes and returns the element at an end.
    pub fn pop(&mut self, end: End, limits: &EncodingLimits) -> Option<Bytes> {
        self.pop_with(end, limits, |value| Bytes::new(value.as_slice(&mut itoa::Buffer::new())))
    }

    /// Removes the element at an end after handing it to `take`.
    pub fn pop_with<R>(
        &mut self,
        end: End,
        limits: &EncodingLimits,
        take: impl FnOnce(LpValue<'_>) -> R,
    ) -> Option<R> {
        let taken = self.take(end, take);
        self.try_shrink(limits);
        taken
    }

    /// Removes and returns the first element.
    pub fn pop_front(&mut self, limits: &EncodingLimits) -> Option<Bytes> {
        self.pop(End::Head, limits)
    }

    /// Removes and returns the last element.
    pub fn pop_back(&mut self, limits: &EncodingLimits) -> Option<Bytes> {
        self.pop(End::Tail, limits)
    }

    /// Moves the element at one end to an end and returns it. The size of the list is judged
    /// afterwards only.
    pub fn rotate(&mut self, from: End, to: End, limits: &EncodingLimits) -> Option<Bytes> {
        let text = |value: LpValue<'_>| Bytes::new(value.as_slice(&mut itoa::Buffer::new()));
        let moved = self.take(from, text)?;
        self.push(to, &[&moved[..]], limits);
        self.try_shrink(limits);
        Some(moved)
    }

    /// Hands the element at `index` to `read`; a negative index counts from the tail.
    pub fn get<R>(&self, index: i64, read: impl FnOnce(LpValue<'_>) -> R) -> Option<R> {
        let index = self.position(index)?;
        let (mut read, mut answer) = (Some(read), None);
        self.visit(index, false, &mut |value| {
            answer = read.take().map(|read| read(value));
            false
        });
        answer
    }

    /// Replaces the element at `index`; answers whether there is one.
    pub fn set(&mut self, index: i64, item: &[u8], limits: &EncodingLimits) -> bool {
        self.prepare_growth(item.len(), 1, limits);
        let Some(index) = self.position(index) else { return false };
        match &mut self.0 {
            Repr::Listpack(lp) => {
                if let Some(pos) = lp.seek(index as i64) {
                    lp.replace(pos, item);
                }
            }
            Repr::Quicklist(ql) => ql.set(index, item, limits),
        }
        self.try_shrink(limits);
        true
    }

    /// Inserts `item` before the first element equal to `pivot`; answers whether there is one.
    pub fn insert_before(&mut self, pivot: &[u8], item: &[u8], limits: &EncodingLimits) -> bool {
        self.insert(pivot, item, false, limits)
    }

    /// Inserts `item` after the first element equal to `pivot`; answers whether there is one.
    pub fn insert_after(&mut self, pivot: &[u8], item: &[u8], limits: &EncodingLimits) -> bool {
        self.insert(pivot, item, true, limits)
    }

    /// Removes elements equal to `item`: the first `count`, or the last if `count` is negative,
    /// or all if it is zero. Returns how many were removed.
    pub fn remove(&mut self, count: i64, item: &[u8], limits: &EncodingLimits) -> usize {
        let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        let backward = count < 0;
        let removed = match &mut self.0 {
            Repr::Listpack(lp) => {
                let wanted = if wanted == 0 { usize::MAX } else { wanted };
                quicklist::remove_from_listpack(lp, item, wanted, backward)
            }
            Repr::Quicklist(ql) => ql.remove_equal(item, wanted, backward),
        };
        if removed > 0 {
            self.try_shrink(limits);
        }
        removed
    }

    /// Removes up to `count` elements at an end.
    pub fn drop_end(&mut self, end: End, count: usize, limits: &EncodingLimits) {
        self.drop_end_raw(end, count);
        self.try_shrink(limits);
    }

    /// Keeps the elements from index `start` to index `stop`, both included, negative ones
    /// counting from the tail. Returns how many were removed.
    pub fn trim(&mut self, start: i64, stop: i64, limits: &EncodingLimits) -> usize {
        let before = self.len();
        let (start, count) = self.clamp_range(start, stop);
        if count == 0 {
            *self = List::new();
            return before;
        }
        self.drop_end_raw(End::Tail, before - start - count);
        self.drop_end_raw(End::Head, start);
        self.try_shrink(limits);
        before - count
    }

    /// What a range of indexes, negative ones counting from the tail, means for this list: where
    /// it starts and how many elements it has.
    pub fn clamp_range(&self, start: i64, stop: i64) -> (usize, usize) {
        let len = i64::try_from(self.len()).unwrap_or(i64::MAX);
        let from_head = |index: i64| if index < 0 { index.saturating_add(len) } else { index };
        let (start, stop) = (from_head(start).max(0), from_head(stop).min(len - 1));
        if start > stop { (0, 0) } else { (start as usize, (stop - start + 1) as usize) }
    }

    /// Hands up to `count` elements to `visit`, from the one at `start` (counted from the head)
    /// towards the tail, or towards the head if `backward`.
    pub fn for_range(
        &self,
        start: usize,
        count: usize,
        backward: bool,
        mut visit: impl FnMut(LpValue<'_>),
    ) {
        let mut left = count;
        if left == 0 {
            return;
        }
        self.visit(start, backward, &mut |value| {
            visit(value);
            left -= 1;
            left > 0
        });
    }

    /// Hands every element to `visit` from head to tail, until it breaks.
    pub fn for_each(&self, mut visit: impl FnMut(LpValue<'_>) -> ControlFlow<()>) {
        self.visit(0, false, &mut |value| visit(value).is_continue());
    }

    /// Indexes of elements equal to `item`: up to `count` of them (all if zero) from the match
    /// number `rank` on, where a negative rank searches from the tail, comparing at most
    /// `compare_max` elements (all if zero). Rank zero finds nothing.
    pub fn find(&self, item: &[u8], rank: i64, count: usize, compare_max: usize) -> Vec<usize> {
        let (mut found, backward) = (Vec::new(), rank < 0);
        let Some(mut skip) = rank.unsigned_abs().checked_sub(1) else { return found };
        let len = self.len();
        let Some(last) = len.checked_sub(1) else { return found };
        let mut seen = 0;
        self.visit(if backward { last } else { 0 }, backward, &mut |value| {
            if value.eq_bytes(item) {
                if skip > 0 {
                    skip -= 1;
                } else {
                    found.push(if backward { last - seen } else { seen });
                    if found.len() == count {
                        return false;
                    }
                }
            }
            seen += 1;
            seen != compare_max
        });
        found
    }

    /// Builds a list of nodes read from a snapshot, then picks its encoding.
    pub fn builder(limits: &EncodingLimits) -> ListBuilder<'_> {
        ListBuilder { nodes: Quicklist::new(limits), limits }
    }

    /// A list of elements that were there all at once. If it is long, its nodes have 8 KiB whatever
    /// the settings are, now and later, as Redis makes them of what `SORT` stores.
    pub fn from_elements<T: AsRef<[u8]>>(elements: &[T], limits: &EncodingLimits) -> Self {
        let nodes =
            EncodingLimits { list_max_listpack_size: -2, list_compress_depth: 0, ..*limits };
        let mut builder = ListBuilder { nodes: Quicklist::new(&nodes), limits };
        elements.iter().for_each(|element| builder.push(element.as_ref()));
        builder.finish()
    }

    /// Panics unless the module's invariants hold.
    #[doc(hidden)]
    pub fn check_invariants(&self) {
        match &self.0 {
            Repr::Listpack(lp) => lp.check_invariants(),
            Repr::Quicklist(ql) => ql.check_invariants(),
        }
    }

    /// Removes the element at an end after handing it to `take`, whatever size is left.
    fn take<R>(&mut self, end: End, take: impl FnOnce(LpValue<'_>) -> R) -> Option<R> {
        match &mut self.0 {
            Repr::Listpack(lp) => {
                let pos = if end == End::Head { lp.first() } else { lp.last() }?;
                let taken = take(lp.get(pos));
                lp.remove(pos);
                Some(taken)
            }
            Repr::Quicklist(ql) => ql.pop(end, take),
        }
    }

    fn visit(&self, index: usize, backward: bool, f: &mut impl FnMut(LpValue<'_>) -> bool) {
        match &self.0 {
            Repr::Quicklist(ql) => ql.visit(index, backward, f),
            Repr::Listpack(lp) => {
                let mut next = lp.seek(index as i64);
                while let Some(pos) = next {
                    if !f(lp.get(pos)) {
                        return;
                    }
                    next = if backward { lp.prev(pos) } else { lp.next(pos) };
                }
            }
        }
    }

    /// The index counted from the head, if there is such an element.
    fn position(&self, index: i64) -> Option<usize> {
        let len = self.len();
        let index = if index < 0 {
            len.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?
        } else {
            usize::try_from(index).ok()?
        };
        (index < len).then_some(index)
    }

    fn insert(&mut self, pivot: &[u8], item: &[u8], after: bool, limits: &EncodingLimits) -> bool {
        self.prepare_growth(item.len(), 1, limits);
        match &mut self.0 {
            Repr::Listpack(lp) => {
                let Some(pos) = lp.find(pivot, 0) else { return false };
                if after {
                    lp.insert_after(pos, item);
                } else {
                    lp.insert_before(pos, item);
                }
            }
            Repr::Quicklist(_) => {
                let Some(&index) = self.find(pivot, 1, 1, 0).first() else { return false };
                if let Repr::Quicklist(ql) = &mut self.0 {
                    ql.insert(index, after, item, limits);
                }
            }
        }
        true
    }

    fn drop_end_raw(&mut self, end: End, count: usize) {
        match &mut self.0 {
            Repr::Listpack(lp) => {
                let count = count.min(lp.len());
                if count > 0 {
                    lp.remove_range(if end == End::Head { 0 } else { -(count as i64) }, count);
                }
            }
            Repr::Quicklist(ql) => ql.drop_end(end, count),
        }
    }

    /// Converts to a quicklist if a listpack would not take so much more.
    fn prepare_growth(&mut self, more_bytes: usize, more: usize, limits: &EncodingLimits) {
        let fill = limits.list_max_listpack_size;
        if let Repr::Listpack(lp) = &mut self.0
            && quicklist::exceeds(fill, lp.byte_len() + more_bytes, lp.len() + more)
        {
            let mut ql = Quicklist::new(limits);
            ql.append_listpack(std::mem::take(lp));
            self.0 = Repr::Quicklist(Box::new(ql));
        }
    }

    fn try_shrink(&mut self, limits: &EncodingLimits) {
        let (bytes, count) = quicklist::node_limit(limits.list_max_listpack_size);
        self.convert_if_within(bytes / 2, count / 2);
    }

    fn convert_if_within(&mut self, bytes_max: usize, count_max: usize) {
        if let Repr::Quicklist(ql) = &mut self.0
            && let Some(lp) = ql.take_single(bytes_max, count_max)
        {
            self.0 = Repr::Listpack(lp);
        }
    }
}

/// Collects the content of a list read from a snapshot.
#[derive(Debug)]
pub struct ListBuilder<'a> {
    nodes: Quicklist,
    limits: &'a EncodingLimits,
}

impl ListBuilder<'_> {
    /// Adds one element.
    pub fn push(&mut self, item: &[u8]) {
        self.nodes.push(End::Tail, item, self.limits);
    }

    /// Adds a whole node; an empty one is left out.
    pub fn push_listpack(&mut self, lp: Listpack) {
        self.nodes.append_listpack(lp);
    }

    /// Adds an element as a node of its own.
    pub fn push_plain(&mut self, item: Vec<u8>) {
        self.nodes.append_plain(item.into());
    }

    /// The list, as a listpack if it has one node that is small enough.
    pub fn finish(self) -> List {
        if self.nodes.len() == 0 {
            return List::new();
        }
        let (bytes, count) = quicklist::node_limit(self.limits.list_max_listpack_size);
        let mut list = List(Repr::Quicklist(Box::new(self.nodes)));
        list.convert_if_within(bytes, count);
        list
    }
}
