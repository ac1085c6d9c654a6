//! The members of a large sorted set in order: a B+tree that counts.
//!
//! ```text
//!                     | first 40 | first 35 |                       inner: count and
//!                     /                     \                       separator per child
//!    | first 20 | first 20 |                | first 18 | first 17 |
//!      |             |                          |            |
//!    | m m m .. |  | m m m .. |               | m .. |     | m .. |  leaf: one pointer per member
//! ```
//!
//! Invariants:
//! - all leaves are at the same depth; no node but the root of an empty tree is empty, and none
//!   is wider than [`LEAF_MAX`] or [`INNER_MAX`];
//! - members ascend strictly by (score, name);
//! - a child's `count` is the number of members under it, so ranks cost one descent;
//! - a separator is not greater than any member under its child and greater than every member
//!   before it. It may be a member long gone. The separator of a node's first child is unused and
//!   may be wrong.
//!
//! A node that becomes narrow is merged with a neighbour that has room for it. There is no lower
//! bound on width beyond that, and none is needed for correctness. A leaf that is full is split
//! in halves, except when a new last member fills it: members that come in order leave full leaves.

use std::cmp::Ordering;
use std::mem;
use std::ops::Range;
use std::sync::Arc;

use crate::hashtable::Entry;
use crate::{Bytes, Slim, listpack::LpValue};

/// Most members of a leaf.
const LEAF_MAX: usize = 64;
/// Most children of an inner node.
const INNER_MAX: usize = 32;
/// Members of a leaf that a search in it skips at a time.
const LEAF_STRIDE: usize = 8;
/// Members that a full leaf allocation grows by. Doubling would leave a third of it unused.
const LEAF_STEP: usize = 8;

/// A member that the table and the tree share.
pub(super) type Shared = Slim<Arc<Member>>;

/// A member of a sorted set.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) score: f64,
    pub(super) name: Bytes,
}

impl Member {
    fn order(&self, other: &Member) -> Ordering {
        order(self.place(), other.place())
    }

    /// What orders it: score and name.
    fn place(&self) -> (f64, &[u8]) {
        (self.score, &self.name)
    }

    pub(super) fn value(&self) -> LpValue<'_> {
        LpValue::Str(&self.name)
    }
}

impl Entry for Member {
    fn key(&self) -> &[u8] {
        &self.name
    }
}

/// The order of a sorted set. Scores are numbers, and the two zeros are equal.
#[inline]
pub(super) fn order(a: (f64, &[u8]), b: (f64, &[u8])) -> Ordering {
    a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal).then_with(|| a.1.cmp(b.1))
}

/// Members in order.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    root: Node,
    len: usize,
}

#[derive(Clone, Debug)]
enum Node {
    Leaf(Vec<Shared>),
    Inner(Vec<Child>),
}

#[derive(Clone, Debug)]
struct Child {
    first: Shared,
    /// That of `first`: most descents are decided by scores, and need not look at the member.
    score: f64,
    count: usize,
    node: Node,
}

impl Child {
    fn new(first: Shared, count: usize, node: Node) -> Self {
        Child { score: first.score, first, count, node }
    }

    /// Score and name of the separator.
    fn place(&self) -> (f64, &[u8]) {
        (self.score, &self.first.name)
    }
}

impl Tree {
    pub(super) fn new() -> Self {
        Tree { root: Node::Leaf(Vec::new()), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Frees it leaf by leaf.
    pub(super) fn release(self, step: &mut dyn FnMut()) {
        self.root.release(step);
    }

    /// Adds a member that is not in the tree.
    pub(super) fn insert(&mut self, member: Shared) {
        let first = member.clone();
        if let Some(right) = self.root.insert(member) {
            let left = mem::replace(&mut self.root, Node::Leaf(Vec::new()));
            let left = Child::new(first, self.len + 1 - right.count, left);
            self.root = Node::Inner(vec![left, right]);
        }
        self.len += 1;
    }

    /// How many members `before` holds for, which is given score and name. It must hold for a prefix
    /// of the order.
    pub(super) fn partition(&self, before: impl Fn(f64, &[u8]) -> bool) -> usize {
        let (mut node, mut rank) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(members) => return rank + partition_leaf(members, before),
                Node::Inner(children) => {
                    let is_before = |child: &Child| before(child.score, &child.first.name);
                    let at = children[1..].partition_point(is_before);
                    rank += children[..at].iter().map(|child| child.count).sum::<usize>();
                    node = &children[at].node;
                }
            }
        }
    }

    /// The rank of a member of the tree.
    pub(super) fn rank(&self, member: &Member) -> usize {
        let key = member.place();
        self.partition(|score, name| order((score, name), key) == Ordering::Less)
    }

    /// The leaf that holds the member of a rank, and its place there.
    pub(super) fn leaf_at(&self, rank: usize) -> Option<(&[Shared], usize)> {
        let (mut node, mut rank) = (&self.root, rank);
        loop {
            match node {
                Node::Leaf(members) => return (rank < members.len()).then_some((members, rank)),
                Node::Inner(children) => {
                    let at = child_of_rank(children, &mut rank)?;
                    node = &children[at].node;
                }
            }
        }
    }

    /// The member of a rank.
    pub(super) fn get(&self, rank: usize) -> Option<&Shared> {
        self.leaf_at(rank).map(|(leaf, at)| &leaf[at])
    }

    /// Removes the member of a rank.
    pub(super) fn remove_at(&mut self, rank: usize) -> Option<Shared> {
        let removed = self.root.remove_at(rank)?;
        self.len -= 1;
        while let Node::Inner(children) = &mut self.root {
            match children.len() {
                0 => self.root = Node::Leaf(Vec::new()),
                1 => match children.pop() {
                    Some(only) => self.root = only.node,
                    None => break,
                },
                _ => break,
            }
        }
        Some(removed)
    }

    /// Bytes allocated by the nodes, estimated from the first `samples` leaves.
    pub(super) fn memory_usage(&self, samples: usize) -> usize {
        let (mut looked, mut bytes, mut leaves) = (0, 0, 0);
        while leaves < samples
            && let Some((leaf, _)) = self.leaf_at(looked)
        {
            looked += leaf.len();
            bytes += leaf.len().next_multiple_of(LEAF_STEP) * size_of::<Shared>();
            bytes += size_of::<Child>();
            leaves += 1;
        }
        (bytes as f64 / looked.max(1) as f64 * self.len as f64) as usize
    }

    pub(super) fn check_invariants(&self) {
        let mut members = Vec::new();
        let mut depths = Vec::new();
        self.root.check(0, None, &mut members, &mut depths);
        assert_eq!(members.len(), self.len);
        assert!(members.windows(2).all(|pair| pair[0].order(&pair[1]) == Ordering::Less));
        assert!(depths.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

/// How many members of a leaf `before` holds for.
///
/// Not a binary search: each member lies elsewhere in memory, and its steps would wait for one after
/// the other. Steps that mostly go on are guessed right, and fetch the next members meanwhile.
fn partition_leaf(members: &[Shared], before: impl Fn(f64, &[u8]) -> bool) -> usize {
    let is_before = |member: &Shared| before(member.score, &member.name);
    let mut at = 0;
    while members.get(at + LEAF_STRIDE - 1).is_some_and(is_before) {
        at += LEAF_STRIDE;
    }
    while members.get(at).is_some_and(is_before) {
        at += 1;
    }
    at
}

/// The child under which the member of `rank` is; `rank` becomes the rank under it.
fn child_of_rank(children: &[Child], rank: &mut usize) -> Option<usize> {
    for (at, child) in children.iter().enumerate() {
        if *rank < child.count {
            return Some(at);
        }
        *rank -= child.count;
    }
    None
}

impl Node {
    fn release(self, step: &mut dyn FnMut()) {
        match self {
            Node::Leaf(members) => drop(members),
            Node::Inner(children) => {
                children.into_iter().for_each(|child| child.node.release(step));
            }
        }
        step();
    }

    fn width(&self) -> usize {
        match self {
            Node::Leaf(members) => members.len(),
            Node::Inner(children) => children.len(),
        }
    }

    fn width_max(&self) -> usize {
        match self {
            Node::Leaf(_) => LEAF_MAX,
            Node::Inner(_) => INNER_MAX,
        }
    }

    /// Adds a member; if the node was full, returns what was split off to its right.
    fn insert(&mut self, member: Shared) -> Option<Child> {
        match self {
            Node::Leaf(members) => insert_in_leaf(members, member),
            Node::Inner(children) => {
                let key = member.place();
                let after = |child: &Child| order(child.place(), key) != Ordering::Greater;
                let at = children[1..].partition_point(after);
                let child = &mut children[at];
                child.count += 1;
                let right = child.node.insert(member)?;
                child.count -= right.count;
                children.insert(at + 1, right);
                if children.len() <= INNER_MAX {
                    return None;
                }
                let is_last = at + 2 == children.len();
                let cut = if is_last { children.len() - 2 } else { children.len() / 2 };
                let right = children.split_off(cut);
                let count = right.iter().map(|child| child.count).sum();
                Some(Child::new(right[0].first.clone(), count, Node::Inner(right)))
            }
        }
    }

    fn remove_at(&mut self, mut rank: usize) -> Option<Shared> {
        match self {
            Node::Leaf(members) => {
                let removed = (rank < members.len()).then(|| members.remove(rank));
                if members.len() * 2 + LEAF_STEP < members.capacity() {
                    members.shrink_to(members.len() + LEAF_STEP);
                }
                removed
            }
            Node::Inner(children) => {
                let at = child_of_rank(children, &mut rank)?;
                let removed = children[at].node.remove_at(rank)?;
                children[at].count -= 1;
                mend(children, at);
                Some(removed)
            }
        }
    }

    fn check(
        &self,
        depth: usize,
        bounds: Option<&Member>,
        members: &mut Vec<Shared>,
        depths: &mut Vec<usize>,
    ) {
        assert!(self.width() <= self.width_max());
        assert!(self.width() > 0 || depth == 0);
        match self {
            Node::Leaf(own) => {
                depths.push(depth);
                if let (Some(separator), Some(first)) = (bounds, own.first()) {
                    assert_ne!(separator.order(first), Ordering::Greater);
                }
                members.extend(own.iter().cloned());
            }
            Node::Inner(children) => {
                for (at, child) in children.iter().enumerate() {
                    let before = members.len();
                    if at > 0
                        && let Some(last) = members.last()
                    {
                        assert_eq!(last.order(&child.first), Ordering::Less);
                    }
                    assert_eq!(child.score, child.first.score);
                    let separator = if at > 0 { Some(&*child.first) } else { bounds };
                    child.node.check(depth + 1, separator, members, depths);
                    assert_eq!(members.len() - before, child.count);
                }
            }
        }
    }
}

fn insert_in_leaf(members: &mut Vec<Shared>, member: Shared) -> Option<Child> {
    let key = member.place();
    let at = partition_leaf(members, |score, name| order((score, name), key) == Ordering::Less);
    if members.len() < LEAF_MAX {
        if members.len() == members.capacity() {
            members.reserve_exact(LEAF_STEP);
        }
        members.insert(at, member);
        return None;
    }
    let right = if at == LEAF_MAX {
        vec![member]
    } else {
        let mut right = members.split_off(LEAF_MAX / 2);
        members.shrink_to(LEAF_MAX / 2 + LEAF_STEP);
        right.reserve_exact(LEAF_STEP);
        match at.checked_sub(LEAF_MAX / 2) {
            Some(at) if at > 0 => right.insert(at, member),
            _ => members.insert(at, member),
        }
        right
    };
    Some(Child::new(right[0].clone(), right.len(), Node::Leaf(right)))
}

/// Removes child `at` if it is empty, or merges it with a neighbour if it became narrow.
fn mend(children: &mut Vec<Child>, at: usize) {
    let (width, width_max) = (children[at].node.width(), children[at].node.width_max());
    if width == 0 {
        children.remove(at);
        return;
    }
    if width >= width_max / 4 {
        return;
    }
    let room = width_max * 3 / 4;
    let fits = |left: usize| {
        children
            .get(left + 1)
            .is_some_and(|right| children[left].node.width() + right.node.width() <= room)
    };
    let left = match at.checked_sub(1) {
        Some(left) if fits(left) => left,
        _ if fits(at) => at,
        _ => return,
    };
    let right = children.remove(left + 1);
    children[left].count += right.count;
    match (&mut children[left].node, right.node) {
        (Node::Leaf(members), Node::Leaf(mut more)) => members.append(&mut more),
        (Node::Inner(own), Node::Inner(mut more)) => {
            // What was a first child is now between others and needs a true separator.
            (more[0].first, more[0].score) = (right.first, right.score);
            own.append(&mut more);
        }
        _ => debug_assert!(false, "siblings are at the same depth"),
    }
}

/// The members of a range of ranks, in order or backward. It walks leaf by leaf and descends once
/// for each.
#[derive(Clone, Debug)]
pub(super) struct TreeIter<'a> {
    tree: &'a Tree,
    /// Ranks not yet given.
    ranks: Range<usize>,
    backward: bool,
    leaf: &'a [Shared],
    /// Forward, the place of the next member; backward, one more than that.
    at: usize,
}

impl<'a> TreeIter<'a> {
    pub(super) fn new(tree: &'a Tree, ranks: Range<usize>, backward: bool) -> Self {
        TreeIter { tree, ranks, backward, leaf: &[], at: 0 }
    }

    pub(super) fn left(&self) -> usize {
        self.ranks.len()
    }
}

impl<'a> Iterator for TreeIter<'a> {
    type Item = &'a Shared;

    fn next(&mut self) -> Option<&'a Shared> {
        let rank = if self.backward { self.ranks.next_back() } else { self.ranks.next() }?;
        if self.backward {
            if self.at == 0 {
                let (leaf, at) = self.tree.leaf_at(rank)?;
                (self.leaf, self.at) = (leaf, at + 1);
            }
            self.at -= 1;
            self.leaf.get(self.at)
        } else {
            if self.at == self.leaf.len() {
                (self.leaf, self.at) = self.tree.leaf_at(rank)?;
            }
            self.at += 1;
            self.leaf.get(self.at - 1)
        }
    }
}
