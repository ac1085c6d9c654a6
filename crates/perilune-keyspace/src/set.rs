//! The set: an intset while every member is an integer, a listpack while it is small, a hash table
//! from then on.
//!
//! ```text
//! intset    sorted integers                          all members are canonical integers
//!    |  \
//!    |   listpack   members in order of insertion    few members, all of them short
//!    |  /
//! table     one allocation per member, of its length and a byte
//! ```
//!
//! Invariants: members are distinct; the arrows are followed downwards only, except by
//! [`Set::compact_to_intset`]; `owned` of a table is the sum of what its members allocate.
//!
//! An empty set is a valid value; that a key with an empty set does not exist is the business of
//! the database.

use std::{fmt, mem};

use crate::listpack::parse_int;
use crate::release::release_table;
use crate::thin::Thin;
use crate::{
    ArrayStatistics, Bytes, EncodingLimits, HashTable, Intset, Listpack, LpValue, Rng, hashtable,
    listpack, pick,
};

/// No setting allows an intset of more members.
const INTSET_MEMBERS_MAX: usize = 1 << 30;

/// The longest decimal text of an `i64`.
const INT_TEXT_MAX: usize = 20;

/// Popping so many members that fewer than one for this many popped ones stay, moves those that
/// stay instead.
const POP_REBUILD_FACTOR: usize = 5;

/// A set of byte strings.
#[derive(Clone)]
pub struct Set(Repr);

#[derive(Clone)]
enum Repr {
    Intset(Intset),
    Listpack(Listpack),
    Table(Box<Members>),
}

#[derive(Clone)]
struct Members {
    table: HashTable<Thin<0>>,
    owned: usize,
}

/// The structures a set can be kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetEncoding {
    /// Sorted integers.
    Intset,
    /// A listpack of members.
    Listpack,
    /// A hash table.
    Table,
}

impl Members {
    fn with_capacity(members: usize) -> Self {
        Members { table: HashTable::with_capacity(members), owned: 0 }
    }

    fn add(&mut self, member: &[u8]) -> bool {
        let (entry, added) = self.table.get_or_insert_with(member, || Thin::new([], [member]));
        if added {
            self.owned += entry.allocated();
        }
        added
    }

    /// Counts a member that was taken out of the table.
    fn forget(&mut self, removed: Option<Thin<0>>) -> Option<Thin<0>> {
        self.owned -= removed.as_ref().map_or(0, Thin::allocated);
        removed
    }
}

impl Default for Set {
    fn default() -> Self {
        Set::new(SetEncoding::Intset)
    }
}

impl Set {
    /// An empty set that starts in `encoding`.
    pub fn new(encoding: SetEncoding) -> Self {
        Set(match encoding {
            SetEncoding::Intset => Repr::Intset(Intset::new()),
            SetEncoding::Listpack => Repr::Listpack(Listpack::new()),
            SetEncoding::Table => Repr::Table(Box::new(Members::with_capacity(0))),
        })
    }

    /// An empty set to which `members` members are about to be added, beginning with `first`.
    pub fn for_members(first: &[u8], members: usize, limits: &EncodingLimits) -> Self {
        if members <= limits.set_max_intset_entries && parse_int(first).is_some() {
            Set::new(SetEncoding::Intset)
        } else if members <= limits.set_max_listpack_entries {
            Set::new(SetEncoding::Listpack)
        } else {
            Set(Repr::Table(Box::new(Members::with_capacity(members))))
        }
    }

    /// A set of the members of an intset.
    pub fn from_intset(members: Intset) -> Self {
        Set(Repr::Intset(members))
    }

    /// A set of the entries of a listpack, or nothing if two of them are equal.
    pub fn from_listpack(members: Listpack) -> Option<Self> {
        let mut seen = Members::with_capacity(members.len());
        let mut digits = itoa::Buffer::new();
        let distinct = members.iter().all(|member| seen.add(member.as_slice(&mut digits)));
        distinct.then_some(Set(Repr::Listpack(members)))
    }

    /// The same without a look whether two are equal. A member that is there twice counts twice,
    /// until it is removed or the set leaves its compact encoding.
    pub fn from_trusted_listpack(members: Listpack) -> Self {
        Set(Repr::Listpack(members))
    }

    /// Prepares for `members` more: a set that would certainly outgrow its compact encoding leaves
    /// it at once.
    pub fn expect(&mut self, members: usize, limits: &EncodingLimits) {
        let limit = match &self.0 {
            Repr::Intset(_) => limits.set_max_intset_entries,
            Repr::Listpack(_) => limits.set_max_listpack_entries,
            Repr::Table(_) => return,
        };
        if members > limit {
            self.become_table(members, None);
        }
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Intset(members) => members.len(),
            Repr::Listpack(members) => members.len(),
            Repr::Table(members) => members.table.len(),
        }
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `member` is one.
    pub fn contains(&self, member: &[u8]) -> bool {
        match &self.0 {
            Repr::Intset(members) => parse_int(member).is_some_and(|n| members.contains(n)),
            Repr::Listpack(members) => members.find(member, 0).is_some(),
            Repr::Table(members) => members.table.contains(member),
        }
    }

    /// Whether a member of another set is one of this set too.
    pub fn contains_value(&self, member: LpValue<'_>) -> bool {
        match (&self.0, member) {
            (Repr::Intset(members), LpValue::Int(number)) => members.contains(number),
            _ => self.contains(member.as_slice(&mut itoa::Buffer::new())),
        }
    }

    /// Adds `member`; returns whether it was new.
    pub fn add(&mut self, member: &[u8], limits: &EncodingLimits) -> bool {
        match &mut self.0 {
            Repr::Intset(_) => match parse_int(member) {
                Some(number) => self.add_int_to_intset(number, limits),
                None => self.add_text_to_intset(member, limits),
            },
            Repr::Listpack(members) => {
                if members.find(member, 0).is_some() {
                    return false;
                }
                if members.len() < limits.set_max_listpack_entries
                    && member.len() <= limits.set_max_listpack_value
                    && members.can_take(member.len())
                {
                    members.push_back(member);
                    return true;
                }
                self.become_table(1, Some(member));
                true
            }
            Repr::Table(members) => members.add(member),
        }
    }

    /// Adds a member of another set; returns whether it was new.
    pub fn add_value(&mut self, member: LpValue<'_>, limits: &EncodingLimits) -> bool {
        match (&self.0, member) {
            (Repr::Intset(_), LpValue::Int(number)) => self.add_int_to_intset(number, limits),
            _ => self.add(member.as_slice(&mut itoa::Buffer::new()), limits),
        }
    }

    /// Removes a member of another set; returns whether it was one of this set too.
    pub fn remove_value(&mut self, member: LpValue<'_>) -> bool {
        match (&mut self.0, member) {
            (Repr::Intset(members), LpValue::Int(number)) => members.remove(number),
            _ => self.remove(member.as_slice(&mut itoa::Buffer::new())),
        }
    }

    /// Removes `member`; returns whether it was one.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match &mut self.0 {
            Repr::Intset(members) => parse_int(member).is_some_and(|n| members.remove(n)),
            Repr::Listpack(members) => match members.find(member, 0) {
                Some(found) => {
                    members.remove(found);
                    true
                }
                None => false,
            },
            Repr::Table(members) => {
                let removed = members.table.remove(member);
                members.forget(removed).is_some()
            }
        }
    }

    /// Every member: ascending in an intset, in order of insertion in a listpack.
    pub fn iter(&self) -> SetIter<'_> {
        SetIter(match &self.0 {
            Repr::Intset(members) => IterRepr::Intset { members, index: 0 },
            Repr::Listpack(members) => IterRepr::Listpack(members.iter()),
            Repr::Table(members) => IterRepr::Table(members.table.iter()),
        })
    }

    /// Hands the members at `cursor` to `visit`; returns the next cursor, zero at the end. A
    /// compact set is reported whole. See [`HashTable::scan`].
    pub fn scan<'a>(&'a self, cursor: u64, visit: &mut impl FnMut(LpValue<'a>)) -> u64 {
        match &self.0 {
            Repr::Table(members) => {
                members.table.scan(cursor, &mut |member| visit(LpValue::Str(member.bytes())))
            }
            _ => {
                self.iter().for_each(visit);
                0
            }
        }
    }

    /// A random member.
    pub fn random(&self, rng: &mut Rng) -> Option<LpValue<'_>> {
        match &self.0 {
            Repr::Intset(members) => members.random(rng).map(LpValue::Int),
            Repr::Listpack(members) => {
                let picked = members.seek(rng.below(members.len()) as i64)?;
                Some(members.get(picked))
            }
            Repr::Table(members) => {
                members.table.random(rng).map(|member| LpValue::Str(member.bytes()))
            }
        }
    }

    /// Removes a random member.
    pub fn pop_random(&mut self, rng: &mut Rng) -> Option<Bytes> {
        match &mut self.0 {
            Repr::Intset(members) => {
                let number = members.random(rng)?;
                members.remove(number);
                Some(Bytes::new(itoa::Buffer::new().format(number).as_bytes()))
            }
            Repr::Listpack(members) => {
                let picked = members.seek(rng.below(members.len()) as i64)?;
                let member = Bytes::new(members.get(picked).as_slice(&mut itoa::Buffer::new()));
                members.remove(picked);
                Some(member)
            }
            Repr::Table(members) => {
                let removed = members.table.pop_random(rng);
                members.forget(removed).map(|member| Bytes::new(member.bytes()))
            }
        }
    }

    /// Hands `count` different random members, or all if there are fewer, to `visit`.
    pub fn random_distinct(&self, count: usize, rng: &mut Rng, mut visit: impl FnMut(LpValue<'_>)) {
        let len = self.len();
        if count >= len {
            self.iter().for_each(visit);
        } else if matches!(self.0, Repr::Listpack(_)) {
            pick::in_order(self.iter(), len, count, rng, visit, |_| {});
        } else {
            let random = |rng: &mut Rng| self.random(rng);
            pick::distinct(len, count, rng, self.iter(), random, |member| *member, &mut visit);
        }
    }

    /// Hands `count` random members to `visit`; the same one may come again.
    pub fn random_repeated(&self, count: usize, rng: &mut Rng, mut visit: impl FnMut(LpValue<'_>)) {
        if matches!(self.0, Repr::Listpack(_)) && count > 1 {
            pick::repeated(self.iter(), count, rng, visit);
        } else {
            for _ in 0..count {
                self.random(rng).into_iter().for_each(&mut visit);
            }
        }
    }

    /// Removes `count` random members, or all if there are fewer, and hands them to `visit`.
    ///
    /// When little stays, it moves to a fresh, compact set; what is left of the old one is
    /// returned, to be freed when it suits.
    pub fn pop_random_many(
        &mut self,
        count: usize,
        rng: &mut Rng,
        limits: &EncodingLimits,
        mut visit: impl FnMut(LpValue<'_>),
    ) -> Option<Set> {
        let stay = self.len().saturating_sub(count);
        let kept = if let Repr::Listpack(members) = &self.0 {
            let mut kept = Listpack::with_capacity(members.byte_len());
            let keep = |member: LpValue<'_>| match member {
                LpValue::Int(number) => kept.push_back_int(number),
                LpValue::Str(text) => kept.push_back(text),
            };
            pick::in_order(members.iter(), members.len(), count, rng, visit, keep);
            kept.shrink_to_fit();
            Set(Repr::Listpack(kept))
        } else if stay.saturating_mul(POP_REBUILD_FACTOR) > count {
            for _ in 0..count {
                let Some(member) = self.pop_random(rng) else { break };
                visit(LpValue::Str(&member));
            }
            return None;
        } else {
            let mut kept = Set::new(match self.kind() {
                SetEncoding::Intset => SetEncoding::Intset,
                _ => SetEncoding::Listpack,
            });
            for _ in 0..stay {
                let Some(member) = self.pop_random(rng) else { break };
                kept.add(&member, limits);
            }
            self.iter().for_each(visit);
            kept
        };
        Some(mem::replace(self, kept))
    }

    /// Becomes an intset if every member is an integer and their number allows it, as the result
    /// of a set operation does.
    pub fn compact_to_intset(&mut self, limits: &EncodingLimits) {
        let limit = limits.set_max_intset_entries.min(INTSET_MEMBERS_MAX);
        if matches!(self.0, Repr::Intset(_)) || self.len() > limit {
            return;
        }
        let number = |member: LpValue<'_>| match member {
            LpValue::Int(number) => Some(number),
            LpValue::Str(text) => parse_int(text),
        };
        let Some(mut numbers) = self.iter().map(number).collect::<Option<Vec<i64>>>() else {
            return;
        };
        // Ascending, so that each is appended.
        numbers.sort_unstable();
        let mut members = Intset::new();
        for number in numbers {
            members.insert(number);
        }
        self.0 = Repr::Intset(members);
    }

    /// The structure the set is kept in.
    pub fn kind(&self) -> SetEncoding {
        match &self.0 {
            Repr::Intset(_) => SetEncoding::Intset,
            Repr::Listpack(_) => SetEncoding::Listpack,
            Repr::Table(_) => SetEncoding::Table,
        }
    }

    /// The name of the encoding, as clients know it.
    pub fn encoding(&self) -> &'static str {
        match self.kind() {
            SetEncoding::Intset => "intset",
            SetEncoding::Listpack => "listpack",
            SetEncoding::Table => "hashtable",
        }
    }

    /// The members as an intset, if the set is one.
    pub fn as_intset(&self) -> Option<&Intset> {
        match &self.0 {
            Repr::Intset(members) => Some(members),
            _ => None,
        }
    }

    /// The members as a listpack, if the set is one.
    pub fn as_listpack(&self) -> Option<&Listpack> {
        match &self.0 {
            Repr::Listpack(members) => Some(members),
            _ => None,
        }
    }

    /// How the members are spread over the buckets of the table, if this is one.
    pub fn table_statistics(&self) -> Option<(ArrayStatistics, Option<ArrayStatistics>)> {
        match &self.0 {
            Repr::Table(table) => Some(table.table.statistics()),
            _ => None,
        }
    }

    /// Bytes allocated by the set.
    pub fn memory_usage(&self) -> usize {
        match &self.0 {
            Repr::Intset(members) => members.heap_size(),
            Repr::Listpack(members) => members.heap_size(),
            Repr::Table(members) => {
                size_of::<Members>() + members.table.memory_usage() + members.owned
            }
        }
    }

    /// Allocations that freeing the set gives back, roughly.
    pub fn free_effort(&self) -> usize {
        match &self.0 {
            Repr::Intset(_) | Repr::Listpack(_) => 1,
            Repr::Table(members) => members.table.free_effort(),
        }
    }

    /// Frees it in steps; see [`Release`](crate::Release).
    pub(crate) fn release(self, step: &mut dyn FnMut()) {
        if let Repr::Table(members) = self.0 {
            release_table(members.table, step, |member, _| drop(member));
        }
    }

    /// Goes on with a resize of the table, by up to `buckets` buckets; tells whether there is more.
    pub fn rehash_step(&mut self, buckets: usize) -> bool {
        match &mut self.0 {
            Repr::Table(members) => members.table.rehash_step(buckets),
            _ => false,
        }
    }

    fn add_int_to_intset(&mut self, number: i64, limits: &EncodingLimits) -> bool {
        let Repr::Intset(members) = &mut self.0 else { return false };
        let added = members.insert(number);
        let limit = limits.set_max_intset_entries.min(INTSET_MEMBERS_MAX);
        if added && members.len() > limit {
            self.become_table(0, None);
        }
        added
    }

    fn add_text_to_intset(&mut self, text: &[u8], limits: &EncodingLimits) -> bool {
        let Repr::Intset(numbers) = &self.0 else { return false };
        let digits = |number: Option<i64>| {
            number.map_or(0, |number| itoa::Buffer::new().format(number).len())
        };
        let longest = digits(numbers.min()).max(digits(numbers.max()));
        let size_max = numbers.len() * (INT_TEXT_MAX + 1);
        let mut members = Listpack::new();
        if numbers.len() < limits.set_max_listpack_entries
            && text.len().max(longest) <= limits.set_max_listpack_value
            && members.can_take(size_max.saturating_add(text.len()))
        {
            numbers.iter().for_each(|number| members.push_back_int(number));
            members.push_back(text);
            members.shrink_to_fit();
            self.0 = Repr::Listpack(members);
            return true;
        }
        self.become_table(1, Some(text));
        true
    }

    /// Becomes a table with room for `more` members more, of which `added` is one already.
    fn become_table(&mut self, more: usize, added: Option<&[u8]>) {
        let mut members = Members::with_capacity(self.len() + more);
        let mut digits = itoa::Buffer::new();
        for member in self.iter() {
            members.add(member.as_slice(&mut digits));
        }
        if let Some(member) = added {
            members.add(member);
        }
        self.0 = Repr::Table(Box::new(members));
    }

    /// Panics unless the invariants of the structure hold; for tests.
    pub fn check_invariants(&self) {
        match &self.0 {
            Repr::Intset(members) => members.check_invariants(),
            Repr::Listpack(members) => {
                members.check_invariants();
                assert!(Set::from_listpack(members.clone()).is_some(), "members are distinct");
            }
            Repr::Table(members) => {
                members.table.check_invariants();
                let owned = members.table.iter().map(Thin::allocated).sum();
                assert_eq!(members.owned, owned);
            }
        }
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Every member of a set; see [`Set::iter`].
#[derive(Clone)]
pub struct SetIter<'a>(IterRepr<'a>);

#[derive(Clone)]
enum IterRepr<'a> {
    Intset { members: &'a Intset, index: usize },
    Listpack(listpack::Iter<'a>),
    Table(hashtable::Iter<'a, Thin<0>>),
}

impl<'a> Iterator for SetIter<'a> {
    type Item = LpValue<'a>;

    #[inline]
    fn next(&mut self) -> Option<LpValue<'a>> {
        match &mut self.0 {
            IterRepr::Intset { members, index } => {
                let number = members.get(*index)?;
                *index += 1;
                Some(LpValue::Int(number))
            }
            IterRepr::Listpack(members) => members.next(),
            IterRepr::Table(members) => members.next().map(|member| LpValue::Str(member.bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::Rng;

    fn tight() -> EncodingLimits {
        EncodingLimits {
            set_max_intset_entries: 8,
            set_max_listpack_entries: 6,
            set_max_listpack_value: 10,
            ..EncodingLimits::default()
        }
    }

    fn member() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => (-10..30_i64).prop_map(|number| number.to_string().into_bytes()),
            1 => any::<i64>().prop_map(|number| number.to_string().into_bytes()),
            1 => prop::collection::vec(b'0'..b'3', 0..4),
            1 => prop::collection::vec(b'a'..b'c', 0..40),
        ]
    }

    fn members(set: &Set) -> BTreeSet<Vec<u8>> {
        set.iter().map(|member| member.to_vec()).collect()
    }

    proptest! {
        #[test]
        fn behaves_as_a_set(
            steps in prop::collection::vec((0..10_u8, member()), 0..120),
            seed in any::<u64>(),
        ) {
            let (limits, mut rng) = (tight(), Rng::new(seed));
            let (mut set, mut model) = (Set::default(), BTreeSet::new());
            for (action, member) in steps {
                match action {
                    0..=5 => prop_assert_eq!(set.add(&member, &limits), model.insert(member)),
                    6..=7 => prop_assert_eq!(set.remove(&member), model.remove(&member)),
                    8 => {
                        let popped = set.pop_random(&mut rng);
                        prop_assert_eq!(popped.is_some(), !model.is_empty());
                        prop_assert!(popped.is_none_or(|member| model.remove(&*member)));
                    }
                    _ => set.compact_to_intset(&limits),
                }
                set.check_invariants();
                prop_assert_eq!(set.len(), model.len());
            }
            prop_assert_eq!(&members(&set), &model);
            prop_assert!(model.iter().all(|member| set.contains(member)));
            let picked = set.random(&mut rng).map(|member| member.to_vec());
            prop_assert_eq!(picked.is_some_and(|member| model.contains(&member)), !model.is_empty());
            let (mut scanned, mut cursor) = (BTreeSet::new(), 0);
            loop {
                cursor = set.scan(cursor, &mut |member| {
                    scanned.insert(member.to_vec());
                });
                if cursor == 0 {
                    break;
                }
            }
            prop_assert_eq!(&scanned, &model);
        }
    }

    fn encoding_after(added: &[&str], limits: &EncodingLimits) -> &'static str {
        let mut set = Set::default();
        added.iter().for_each(|member| assert!(set.add(member.as_bytes(), limits)));
        set.check_invariants();
        set.encoding()
    }

    #[test]
    fn leaves_a_compact_encoding_where_redis_does() {
        let limits = tight();
        let numbers: Vec<String> = (0..9).map(|number| number.to_string()).collect();
        let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
        assert_eq!(encoding_after(&numbers[..8], &limits), "intset");
        assert_eq!(encoding_after(&numbers, &limits), "hashtable");
        let with_text = |count: usize, text| [&numbers[..count], &[text]].concat();
        assert_eq!(encoding_after(&with_text(5, "a"), &limits), "listpack");
        assert_eq!(encoding_after(&with_text(6, "a"), &limits), "hashtable");
        assert_eq!(encoding_after(&["a", "b", "c", "d", "e", "6", "7"], &limits), "hashtable");
        assert_eq!(encoding_after(&["1", "abcdefghij"], &limits), "listpack");
        assert_eq!(encoding_after(&["1", "abcdefghijk"], &limits), "hashtable");
        assert_eq!(encoding_after(&["12345678901", "a"], &limits), "hashtable");
        assert_eq!(encoding_after(&["01"], &limits), "listpack");
    }

    #[test]
    fn the_expected_size_chooses_the_first_encoding() {
        let limits = EncodingLimits::default();
        let encoding =
            |first: &str, members| Set::for_members(first.as_bytes(), members, &limits).encoding();
        assert_eq!(encoding("1", 512), "intset");
        assert_eq!(encoding("1", 513), "hashtable");
        assert_eq!(encoding("a", 128), "listpack");
        assert_eq!(encoding("a", 129), "hashtable");
        let mut set = Set::default();
        set.expect(513, &limits);
        assert_eq!(set.encoding(), "hashtable");
    }

    #[test]
    fn equal_entries_do_not_make_a_set() {
        let listpack = |texts: &[&str]| texts.iter().collect::<Listpack>();
        assert!(Set::from_listpack(listpack(&["a", "1", "b"])).is_some());
        assert!(Set::from_listpack(listpack(&["a", "1", "a"])).is_none());
    }

    /// Sets of `len` members in each encoding.
    fn of_every_encoding(len: usize) -> [(Set, EncodingLimits); 3] {
        let wide = EncodingLimits { set_max_listpack_entries: 4096, ..EncodingLimits::default() };
        let narrow = EncodingLimits { set_max_listpack_entries: 16, ..EncodingLimits::default() };
        let filled = |prefix: &str, encoding, limits: EncodingLimits| {
            let mut set = Set::new(encoding);
            (0..len).for_each(|n| assert!(set.add(format!("{prefix}{n}").as_bytes(), &limits)));
            assert_eq!(set.kind(), encoding);
            (set, limits)
        };
        [
            filled("", SetEncoding::Intset, wide),
            filled("m", SetEncoding::Listpack, wide),
            filled("m", SetEncoding::Table, narrow),
        ]
    }

    #[test]
    fn popped_and_kept_members_are_the_whole_set() {
        let mut rng = Rng::new(3);
        for count in [0, 1, 10, 60, 90, 95, 100, 1000] {
            for (mut set, limits) in of_every_encoding(100) {
                let (all, before) = (members(&set), set.kind());
                let mut popped = BTreeSet::new();
                set.pop_random_many(count, &mut rng, &limits, |member| {
                    assert!(popped.insert(member.to_vec()));
                });
                set.check_invariants();
                assert_eq!(popped.len(), count.min(100));
                assert_eq!(set.len(), 100 - popped.len());
                assert!(popped.is_disjoint(&members(&set)));
                assert_eq!(&popped | &members(&set), all);
                if before == SetEncoding::Table && count < 100 {
                    let rebuilt = if count >= 90 { "listpack" } else { "hashtable" };
                    assert_eq!(set.encoding(), rebuilt, "after {count} pops");
                }
            }
        }
    }

    #[test]
    fn random_picks_are_members_and_distinct_where_promised() {
        let mut rng = Rng::new(11);
        for count in [0, 1, 5, 40, 99, 100, 500] {
            for (set, _) in of_every_encoding(100) {
                let (all, mut distinct, mut repeated) = (members(&set), BTreeSet::new(), 0);
                set.random_distinct(count, &mut rng, |member| {
                    assert!(distinct.insert(member.to_vec()));
                });
                assert_eq!(distinct.len(), count.min(100));
                assert!(distinct.is_subset(&all));
                set.random_repeated(count, &mut rng, |member| {
                    assert!(all.contains(&member.to_vec()));
                    repeated += 1;
                });
                assert_eq!(repeated, count);
            }
        }
    }

    #[test]
    fn members_move_between_encodings() {
        let sets = of_every_encoding(20).map(|(set, _)| set);
        let limits = EncodingLimits::default();
        for from in &sets {
            for to in &sets {
                let (mut to, before) = (to.clone(), members(to));
                for member in from.iter() {
                    let known = before.contains(&member.to_vec());
                    assert_eq!(to.contains_value(member), known);
                    assert_eq!(to.add_value(member, &limits), !known);
                }
                to.check_invariants();
                assert_eq!(members(&to), &before | &members(from));
                assert!(from.iter().all(|member| to.remove_value(member)));
                assert_eq!(members(&to), &before - &members(from));
            }
        }
    }
}
