//! The sorted set value: unique members, each with a score, ordered by score and then by name.
//!
//! ```text
//! listpack   member, score, member, score ... ascending        see `compact`
//! skiplist   table: name -> member        tree: ordered members, see `tree`
//!                      \                 /
//!                       Arc<{score, name}>
//! ```
//!
//! The large encoding is called "skiplist" for clients, as in Redis, but is a table and a counting
//! B+tree that share their members.
//!
//! Invariants:
//! - members have distinct names and ascend by (score, name); no score is NaN;
//! - the table and the tree hold the same members.
//!
//! A set grows out of the listpack by itself. It goes back only when asked ([`ZSet::compact`]), as
//! Redis does for the results of set operations. Every range is a range of ranks: ranges by score and
//! by name are first turned into ranks, at the price of two searches.

mod compact;
mod range;
#[cfg(test)]
mod tests;
mod tree;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::hashtable::{ArrayStatistics, HashTable, hash_bytes};
use crate::listpack::{Listpack, LpPos, LpValue};
use crate::release::release_table;
use crate::{Bytes, EncodingLimits, Rng, pick};
pub use range::{LexBound, LexRange, ScoreRange};
use tree::{Member, Shared, Tree, TreeIter};

/// A sorted set value.
#[derive(Clone)]
pub struct ZSet(Repr);

#[derive(Clone)]
enum Repr {
    Listpack(Listpack),
    Indexed(Box<Indexed>),
}

/// What [`ZSet::add`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZAdded {
    /// The member is new.
    Added,
    /// The member has another score now.
    Updated,
    /// The member had that score already.
    Unchanged,
}

/// A member and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored<'a> {
    /// The member.
    pub member: LpValue<'a>,
    /// Its score.
    pub score: f64,
}

impl Default for ZSet {
    fn default() -> Self {
        ZSet::new()
    }
}

impl ZSet {
    /// An empty set.
    pub fn new() -> Self {
        ZSet(Repr::Listpack(Listpack::new()))
    }

    /// An empty set in the encoding for `len` members, the first of them `member_len` bytes long.
    pub fn with_hint(len: usize, member_len: usize, limits: &EncodingLimits) -> Self {
        if len <= limits.zset_max_listpack_entries && member_len <= limits.zset_max_listpack_value {
            ZSet::new()
        } else {
            ZSet(Repr::Indexed(Box::new(Indexed::with_capacity(len))))
        }
    }

    /// Takes over a listpack of member and score pairs from a snapshot; nothing if it is not one.
    pub fn from_listpack(lp: Listpack, limits: &EncodingLimits) -> Option<Self> {
        let distinct = compact::is_distinct(&lp);
        distinct.then(|| Self::from_trusted_listpack(lp, limits)).flatten()
    }

    /// The same without a look whether a member is there with two scores. One that is counts twice
    /// and has the lower score, until it is removed or the set leaves its compact encoding.
    pub fn from_trusted_listpack(lp: Listpack, limits: &EncodingLimits) -> Option<Self> {
        if !compact::is_ascending(&lp) {
            return None;
        }
        // Lengths of members are not looked at: Redis leaves that to the next write.
        let fits = compact::len(&lp) <= limits.zset_max_listpack_entries;
        Some(ZSet(if fits {
            Repr::Listpack(lp)
        } else {
            Repr::Indexed(Box::new(Indexed::from_listpack(&lp, 0)))
        }))
    }

    /// A set of members with distinct names that ascend by score and then by name, in the smallest
    /// encoding that takes them: the result of a set operation.
    pub fn from_sorted(members: &[(Bytes, f64)], limits: &EncodingLimits) -> Self {
        let fits = members.len() <= limits.zset_max_listpack_entries
            && members.iter().all(|(name, _)| name.len() <= limits.zset_max_listpack_value);
        let mut lp = Listpack::new();
        if fits && lp.can_take(members.iter().map(|(name, _)| name.len()).sum()) {
            members.iter().for_each(|(name, score)| compact::push(&mut lp, name, *score));
            return ZSet(Repr::Listpack(lp));
        }
        let mut set = Indexed::with_capacity(members.len());
        for (name, score) in members {
            set.add(name, *score);
        }
        ZSet(Repr::Indexed(Box::new(set)))
    }

    /// The listpack, if that is the encoding.
    pub fn as_listpack(&self) -> Option<&Listpack> {
        match &self.0 {
            Repr::Listpack(lp) => Some(lp),
            Repr::Indexed(_) => None,
        }
    }

    /// How the members are spread over the buckets of the table, if there is one.
    pub fn table_statistics(&self) -> Option<(ArrayStatistics, Option<ArrayStatistics>)> {
        match &self.0 {
            Repr::Listpack(_) => None,
            Repr::Indexed(indexed) => Some(indexed.table.statistics()),
        }
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Listpack(lp) => compact::len(lp),
            Repr::Indexed(set) => set.tree.len(),
        }
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name that `OBJECT ENCODING` answers.
    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Repr::Listpack(_) => "listpack",
            Repr::Indexed(_) => "skiplist",
        }
    }

    /// Bytes allocated, estimated from `samples` members; zero looks at every member.
    pub fn memory_usage(&self, samples: usize) -> usize {
        match &self.0 {
            Repr::Listpack(lp) => lp.heap_size(),
            Repr::Indexed(set) => set.memory_usage(samples),
        }
    }

    /// Number of allocations to free, roughly.
    pub fn free_effort(&self) -> usize {
        match &self.0 {
            Repr::Listpack(_) => 1,
            Repr::Indexed(set) => set.tree.len(),
        }
    }

    /// Frees it in steps; see [`Release`](crate::Release).
    pub(crate) fn release(self, step: &mut dyn FnMut()) {
        if let Repr::Indexed(set) = self.0 {
            set.tree.release(step);
            release_table(set.table, step, |member, _| drop(member));
        }
    }

    /// Gives `member` a score, adding it if needed. A score that is not a number changes nothing.
    pub fn add(&mut self, member: &[u8], score: f64, limits: &EncodingLimits) -> ZAdded {
        if score.is_nan() {
            return ZAdded::Unchanged;
        }
        let lp = match &mut self.0 {
            Repr::Indexed(set) => return set.add(member, score),
            Repr::Listpack(lp) => lp,
        };
        if let Some((pos, old)) = compact::find(lp, member) {
            if old == score {
                return ZAdded::Unchanged;
            }
            lp.remove_from(pos, 2);
            compact::insert(lp, member, score);
            return ZAdded::Updated;
        }
        if compact::len(lp) < limits.zset_max_listpack_entries
            && member.len() <= limits.zset_max_listpack_value
            && lp.can_take(member.len())
        {
            compact::insert(lp, member, score);
        } else {
            let mut set = Indexed::from_listpack(lp, 1);
            set.add(member, score);
            self.0 = Repr::Indexed(Box::new(set));
        }
        ZAdded::Added
    }

    /// Leaves the listpack encoding if `more` members are about to be too many for it.
    pub fn reserve(&mut self, more: usize, limits: &EncodingLimits) {
        if let Repr::Listpack(lp) = &self.0
            && more > limits.zset_max_listpack_entries
        {
            self.0 = Repr::Indexed(Box::new(Indexed::from_listpack(lp, more)));
        }
    }

    /// Leaves the listpack encoding for good, however few members there are.
    pub fn index(&mut self) {
        if let Repr::Listpack(lp) = &self.0 {
            self.0 = Repr::Indexed(Box::new(Indexed::from_listpack(lp, 0)));
        }
    }

    /// Returns to the listpack encoding if the set is within its limits.
    pub fn compact(&mut self, limits: &EncodingLimits) {
        let Repr::Indexed(set) = &self.0 else { return };
        if set.tree.len() > limits.zset_max_listpack_entries {
            return;
        }
        let mut lp = Listpack::new();
        for member in TreeIter::new(&set.tree, 0..set.tree.len(), false) {
            if member.name.len() > limits.zset_max_listpack_value || !lp.can_take(member.name.len())
            {
                return;
            }
            compact::push(&mut lp, &member.name, member.score);
        }
        self.0 = Repr::Listpack(lp);
    }

    /// The score of `member`.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.0 {
            Repr::Listpack(lp) => compact::find(lp, member).map(|(_, score)| score),
            Repr::Indexed(set) => set.table.get(member).map(|member| member.score),
        }
    }

    /// Removes `member` and returns its score.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match &mut self.0 {
            Repr::Listpack(lp) => {
                let (pos, score) = compact::find(lp, member)?;
                lp.remove_from(pos, 2);
                Some(score)
            }
            Repr::Indexed(set) => {
                let member = set.table.remove(member)?;
                set.tree.remove_at(set.tree.rank(&member));
                Some(member.score)
            }
        }
    }

    /// The rank of `member`, counted from the highest score if `reverse`.
    pub fn rank(&self, member: &[u8], reverse: bool) -> Option<usize> {
        let rank = match &self.0 {
            Repr::Indexed(set) => set.tree.rank(set.table.get(member)?),
            Repr::Listpack(lp) => lp.iter().step_by(2).position(|other| other.eq_bytes(member))?,
        };
        Some(if reverse { self.len() - 1 - rank } else { rank })
    }

    /// The member of a rank.
    pub fn at(&self, rank: usize) -> Option<Scored<'_>> {
        match &self.0 {
            Repr::Listpack(lp) => compact::at_rank(lp, rank).map(|pos| pair_at(lp, pos)),
            Repr::Indexed(set) => set.tree.get(rank).map(scored),
        }
    }

    /// Every member, ascending.
    pub fn iter(&self) -> Iter<'_> {
        self.range(0..self.len(), false)
    }

    /// The members of a range of ranks, descending if `reverse`. Ranks count from the lowest score.
    pub fn range(&self, ranks: Range<usize>, reverse: bool) -> Iter<'_> {
        let end = ranks.end.min(self.len());
        let ranks = ranks.start.min(end)..end;
        Iter(match &self.0 {
            Repr::Indexed(set) => Source::Tree(TreeIter::new(&set.tree, ranks, reverse)),
            Repr::Listpack(lp) => {
                let start = if reverse { ranks.end.saturating_sub(1) } else { ranks.start };
                let next = compact::at_rank(lp, start);
                Source::Listpack { lp, next, left: ranks.len(), reverse }
            }
        })
    }

    /// The ranks that indexes from `start` to `stop`, both included, stand for. Negative indexes
    /// count from the end. If `reverse`, index 0 is the highest score; the ranks returned still
    /// count from the lowest.
    pub fn ranks_by_index(&self, start: i64, stop: i64, reverse: bool) -> Range<usize> {
        let len = i64::try_from(self.len()).unwrap_or(i64::MAX);
        let from_front = |index: i64| if index < 0 { index.saturating_add(len) } else { index };
        let (start, stop) = (from_front(start).max(0), from_front(stop).min(len - 1));
        if start > stop {
            return 0..0;
        }
        if reverse {
            (len - 1 - stop) as usize..(len - start) as usize
        } else {
            start as usize..stop as usize + 1
        }
    }

    /// The ranks of the members whose scores are in `range`.
    pub fn ranks_by_score(&self, range: &ScoreRange) -> Range<usize> {
        let start = self.partition(|score, _| range.is_below(score));
        let end = match range.is_below_end(f64::INFINITY) {
            // No score is above it.
            true => self.len(),
            false => self.partition(|score, _| range.is_below_end(score)),
        };
        start..end.max(start)
    }

    /// The ranks of the members whose names are in `range`; all members must have one score.
    pub fn ranks_by_lex(&self, range: &LexRange<'_>) -> Range<usize> {
        let start = self.partition(|_, name| range.is_below(name));
        let end = self.partition(|_, name| range.is_below_end(name));
        start..end.max(start)
    }

    /// The members with indexes from `start` to `stop`; see [`ZSet::ranks_by_index`].
    pub fn range_by_rank(&self, start: i64, stop: i64, reverse: bool) -> Iter<'_> {
        self.range(self.ranks_by_index(start, stop, reverse), reverse)
    }

    /// The members with scores in `range`, leaving out the first `offset` and ending after `limit`.
    pub fn range_by_score(
        &self,
        range: &ScoreRange,
        reverse: bool,
        offset: usize,
        limit: Option<usize>,
    ) -> Iter<'_> {
        self.range(window(self.ranks_by_score(range), reverse, offset, limit), reverse)
    }

    /// The members with names in `range`, leaving out the first `offset` and ending after `limit`.
    pub fn range_by_lex(
        &self,
        range: &LexRange<'_>,
        reverse: bool,
        offset: usize,
        limit: Option<usize>,
    ) -> Iter<'_> {
        self.range(window(self.ranks_by_lex(range), reverse, offset, limit), reverse)
    }

    /// How many members have scores in `range`.
    pub fn count(&self, range: &ScoreRange) -> usize {
        self.ranks_by_score(range).len()
    }

    /// How many members have names in `range`.
    pub fn lex_count(&self, range: &LexRange<'_>) -> usize {
        self.ranks_by_lex(range).len()
    }

    /// Removes the members of a range of ranks; returns how many there were.
    pub fn remove_range(&mut self, ranks: Range<usize>) -> usize {
        let end = ranks.end.min(self.len());
        let count = end.saturating_sub(ranks.start);
        match &mut self.0 {
            Repr::Listpack(lp) if count > 0 => {
                lp.remove_range(ranks.start as i64 * 2, count * 2);
            }
            Repr::Listpack(_) => {}
            Repr::Indexed(set) => {
                for _ in 0..count {
                    set.remove_at(ranks.start);
                }
            }
        }
        count
    }

    /// Removes the members with indexes from `start` to `stop`.
    pub fn remove_range_by_rank(&mut self, start: i64, stop: i64) -> usize {
        self.remove_range(self.ranks_by_index(start, stop, false))
    }

    /// Removes the members with scores in `range`.
    pub fn remove_range_by_score(&mut self, range: &ScoreRange) -> usize {
        self.remove_range(self.ranks_by_score(range))
    }

    /// Removes the members with names in `range`.
    pub fn remove_range_by_lex(&mut self, range: &LexRange<'_>) -> usize {
        self.remove_range(self.ranks_by_lex(range))
    }

    /// Removes and returns the first member.
    pub fn pop_min(&mut self) -> Option<(Bytes, f64)> {
        self.pop_at(0)
    }

    /// Removes and returns the last member.
    pub fn pop_max(&mut self) -> Option<(Bytes, f64)> {
        self.pop_at(self.len().checked_sub(1)?)
    }

    /// A random member, each as likely as any other.
    pub fn random(&self, rng: &mut Rng) -> Option<Scored<'_>> {
        self.at(rng.below(self.len()))
    }

    /// Hands `count` different random members to `visit`, or all, descending, if there are not more.
    pub fn random_distinct(&self, count: usize, rng: &mut Rng, mut visit: impl FnMut(Scored<'_>)) {
        let len = self.len();
        if count >= len {
            self.range(0..len, true).for_each(visit);
        } else if matches!(self.0, Repr::Listpack(_)) {
            pick::in_order(self.iter(), len, count, rng, visit, |_| {});
        } else {
            let random = |rng: &mut Rng| self.random(rng);
            pick::distinct(len, count, rng, self.iter(), random, |pair| pair.member, &mut visit);
        }
    }

    /// Hands `count` random members to `visit`; the same one may come again.
    pub fn random_repeated(&self, count: usize, rng: &mut Rng, mut visit: impl FnMut(Scored<'_>)) {
        if matches!(self.0, Repr::Listpack(_)) && count > 1 {
            pick::repeated(self.iter(), count, rng, visit);
        } else {
            for _ in 0..count {
                self.random(rng).into_iter().for_each(&mut visit);
            }
        }
    }

    /// Hands some members to `visit` and returns where to go on: start with zero, zero ends. A
    /// member that stays from start to end is visited at least once. A listpack is visited whole.
    pub fn scan<'a>(&'a self, cursor: u64, visit: &mut impl FnMut(Scored<'a>)) -> u64 {
        match &self.0 {
            Repr::Listpack(_) => {
                self.iter().for_each(visit);
                0
            }
            Repr::Indexed(set) => set.table.scan(cursor, &mut |member| visit(scored(member))),
        }
    }

    /// Panics unless the module's invariants hold.
    #[doc(hidden)]
    pub fn check_invariants(&self) {
        match &self.0 {
            Repr::Listpack(lp) => {
                lp.check_invariants();
                assert!(compact::is_ascending(lp) && compact::is_distinct(lp));
            }
            Repr::Indexed(set) => {
                set.tree.check_invariants();
                assert_eq!(set.table.len(), set.tree.len());
                for member in TreeIter::new(&set.tree, 0..set.tree.len(), false) {
                    let filed = set.table.get(&member.name);
                    assert!(filed.is_some_and(|filed| std::ptr::eq::<Member>(&**filed, &**member)));
                }
            }
        }
    }

    /// How many members, from the first, `before` holds for.
    fn partition(&self, before: impl Fn(f64, &[u8]) -> bool) -> usize {
        match &self.0 {
            Repr::Listpack(lp) => compact::partition(lp, before),
            Repr::Indexed(set) => set.tree.partition(before),
        }
    }

    fn pop_at(&mut self, rank: usize) -> Option<(Bytes, f64)> {
        match &mut self.0 {
            Repr::Indexed(set) => {
                set.remove_at(rank).map(|member| (member.name.clone(), member.score))
            }
            Repr::Listpack(lp) => {
                let pos = compact::at_rank(lp, rank)?;
                let pair = pair_at(lp, pos);
                let name = Bytes::new(pair.member.as_slice(&mut itoa::Buffer::new()));
                let score = pair.score;
                lp.remove_from(pos, 2);
                Some((name, score))
            }
        }
    }
}

impl fmt::Debug for ZSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|pair| (pair.member, pair.score))).finish()
    }
}

/// The large encoding.
#[derive(Clone)]
struct Indexed {
    table: HashTable<Shared>,
    tree: Tree,
}

impl Indexed {
    fn with_capacity(len: usize) -> Self {
        Indexed { table: HashTable::with_capacity(len), tree: Tree::new() }
    }

    fn from_listpack(lp: &Listpack, more: usize) -> Self {
        let mut set = Indexed::with_capacity(compact::len(lp) + more);
        let (mut scratch, mut next) = (itoa::Buffer::new(), lp.first());
        while let Some(pos) = next {
            let pair = pair_at(lp, pos);
            set.add(pair.member.as_slice(&mut scratch), pair.score);
            next = compact::after_pair(lp, pos);
        }
        set
    }

    fn add(&mut self, name: &[u8], score: f64) -> ZAdded {
        let hash = hash_bytes(name);
        let Some(member) = self.table.get_mut_hashed(hash, name) else {
            let member = Shared::from(Arc::new(Member { score, name: Bytes::new(name) }));
            self.tree.insert(member.clone());
            self.table.insert_unique_hashed(hash, member);
            return ZAdded::Added;
        };
        if member.score == score {
            return ZAdded::Unchanged;
        }
        self.tree.remove_at(self.tree.rank(member));
        // A new member only if a clone of this set, or a separator in the tree, still has the old.
        member.make_mut().score = score;
        self.tree.insert(member.clone());
        ZAdded::Updated
    }

    fn remove_at(&mut self, rank: usize) -> Option<Shared> {
        let member = self.tree.remove_at(rank)?;
        self.table.remove(&member.name);
        Some(member)
    }

    fn memory_usage(&self, samples: usize) -> usize {
        let samples = if samples == 0 { self.tree.len() } else { samples }.min(self.tree.len());
        let heap: usize =
            TreeIter::new(&self.tree, 0..samples, false).map(|m| m.name.heap_size()).sum();
        // An `Arc` has two counters beside its content.
        let fixed = size_of::<Member>() + 2 * size_of::<usize>();
        let members = (fixed as f64 + heap as f64 / samples.max(1) as f64) * self.tree.len() as f64;
        size_of::<Indexed>()
            + members as usize
            + self.table.memory_usage()
            + self.tree.memory_usage(samples)
    }
}

fn scored(member: &Shared) -> Scored<'_> {
    Scored { member: member.value(), score: member.score }
}

fn pair_at(lp: &Listpack, pos: LpPos) -> Scored<'_> {
    Scored { member: lp.get(pos), score: compact::score_after(lp, pos) }
}

/// The part of `ranks` without its first `offset`, and at most `limit` long; from the other end
/// if `reverse`.
fn window(ranks: Range<usize>, reverse: bool, offset: usize, limit: Option<usize>) -> Range<usize> {
    let offset = offset.min(ranks.len());
    let count = (ranks.len() - offset).min(limit.unwrap_or(usize::MAX));
    if reverse {
        let end = ranks.end - offset;
        end - count..end
    } else {
        let start = ranks.start + offset;
        start..start + count
    }
}

/// Members of a set, ascending or descending.
#[derive(Clone, Debug)]
pub struct Iter<'a>(Source<'a>);

#[derive(Clone, Debug)]
enum Source<'a> {
    Listpack { lp: &'a Listpack, next: Option<LpPos>, left: usize, reverse: bool },
    Tree(TreeIter<'a>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = Scored<'a>;

    fn next(&mut self) -> Option<Scored<'a>> {
        match &mut self.0 {
            Source::Tree(members) => members.next().map(scored),
            Source::Listpack { lp, next, left, reverse } => {
                *left = left.checked_sub(1)?;
                let pos = (*next)?;
                let step = if *reverse { compact::before_pair } else { compact::after_pair };
                *next = step(lp, pos);
                Some(pair_at(lp, pos))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.0 {
            Source::Tree(members) => members.left(),
            Source::Listpack { left, .. } => *left,
        };
        (left, Some(left))
    }
}

impl ExactSizeIterator for Iter<'_> {}
