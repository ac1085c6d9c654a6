//! The hash: a listpack of alternating fields and values while it is small, a hash table of fields
//! from then on.
//!
//! ```text
//! listpack   | field | value | field | value | ...      in order of insertion
//!    |
//! table      one allocation per field, holding name and value, see `Field`
//! ```
//!
//! Invariants: names are distinct; a listpack has as many values as fields; a table never becomes
//! a listpack again; `owned` of a table is the sum of what its fields allocate.
//!
//! An empty hash is a valid value; that a key with an empty hash does not exist is the business of
//! the database.

use std::fmt;

use crate::release::release_table;
use crate::thin::Thin;
use crate::{
    ArrayStatistics, EncodingLimits, Entry, HashTable, Listpack, LpPos, LpValue, Rng, hashtable,
    listpack, pick,
};

/// A map from byte strings to byte strings.
#[derive(Clone)]
pub struct Hash(Repr);

#[derive(Clone)]
enum Repr {
    Listpack(Listpack),
    Table(Box<Fields>),
}

#[derive(Clone)]
struct Fields {
    table: HashTable<Field>,
    owned: usize,
}

/// A field of a hash that is kept in a table.
///
/// ```text
/// | length of the name: u8, or 255 and u64 | name | value |
/// ```
#[derive(Clone)]
struct Field(Thin<0>);

/// First byte of the length of a name that does not fit into one.
const LONG_NAME: u8 = u8::MAX;

impl Entry for Field {
    #[inline]
    fn key(&self) -> &[u8] {
        self.name()
    }
}

impl Field {
    fn new(name: &[u8], value: &[u8]) -> Self {
        Field(if name.len() < usize::from(LONG_NAME) {
            Thin::new([], [&[name.len() as u8], name, value])
        } else {
            let [a, b, c, d, e, f, g, h] = (name.len() as u64).to_ne_bytes();
            Thin::new([], [&[LONG_NAME, a, b, c, d, e, f, g, h], name, value])
        })
    }

    /// Name and value.
    #[inline]
    fn parts(&self) -> (&[u8], &[u8]) {
        let content = self.0.bytes();
        match content {
            [LONG_NAME, rest @ ..] => {
                let (len, rest) = rest.split_first_chunk().unwrap_or((&[0; 8], rest));
                rest.split_at(u64::from_ne_bytes(*len) as usize)
            }
            [len, rest @ ..] => rest.split_at(usize::from(*len)),
            [] => (content, content),
        }
    }

    #[inline]
    fn name(&self) -> &[u8] {
        self.parts().0
    }

    #[inline]
    fn value(&self) -> &[u8] {
        self.parts().1
    }

    /// Name and value as a hash gives them.
    #[inline]
    fn pair(&self) -> (LpValue<'_>, LpValue<'_>) {
        let (name, value) = self.parts();
        (LpValue::Str(name), LpValue::Str(value))
    }

    fn set_value(&mut self, value: &[u8]) {
        let present = self.value().len();
        if present == value.len() {
            let at = self.0.bytes().len() - present;
            self.0.bytes_mut()[at..].copy_from_slice(value);
        } else {
            *self = Field::new(self.name(), value);
        }
    }

    fn allocated(&self) -> usize {
        self.0.allocated()
    }
}

impl Fields {
    fn with_capacity(fields: usize) -> Self {
        Fields { table: HashTable::with_capacity(fields), owned: 0 }
    }

    fn set(&mut self, name: &[u8], value: &[u8]) -> bool {
        let (field, created) = self.table.get_or_insert_with(name, || Field::new(name, value));
        if !created {
            self.owned -= field.allocated();
            field.set_value(value);
        }
        self.owned += field.allocated();
        created
    }

    fn remove(&mut self, name: &[u8]) -> bool {
        let removed = self.table.remove(name);
        self.owned -= removed.as_ref().map_or(0, Field::allocated);
        removed.is_some()
    }
}

impl Default for Hash {
    fn default() -> Self {
        Hash::new()
    }
}

impl Hash {
    /// An empty hash.
    pub fn new() -> Self {
        Hash(Repr::Listpack(Listpack::new()))
    }

    /// An empty hash to which `fields` fields are about to be added.
    pub fn with_capacity(fields: usize, limits: &EncodingLimits) -> Self {
        if fields > limits.hash_max_listpack_entries {
            Hash(Repr::Table(Box::new(Fields::with_capacity(fields))))
        } else {
            Hash::new()
        }
    }

    /// A hash of the alternating fields and values of a listpack, or nothing if a field has no
    /// value or stands there twice.
    pub fn from_listpack(words: Listpack) -> Option<Self> {
        if !words.len().is_multiple_of(2) {
            return None;
        }
        let mut seen = HashTable::<Thin<0>>::with_capacity(words.len() / 2);
        let mut digits = itoa::Buffer::new();
        let distinct = words.iter().step_by(2).all(|name| {
            let name = name.as_slice(&mut digits);
            seen.get_or_insert_with(name, || Thin::new([], [name])).1
        });
        distinct.then_some(Hash(Repr::Listpack(words)))
    }

    /// The same without a look whether a field stands there twice. One that does counts twice and
    /// has the first value, until it is removed or the hash leaves its compact encoding.
    pub fn from_trusted_listpack(words: Listpack) -> Option<Self> {
        words.len().is_multiple_of(2).then_some(Hash(Repr::Listpack(words)))
    }

    /// Prepares for the alternating fields and values `words`: a hash that they would certainly
    /// drive out of its compact encoding leaves it at once.
    pub fn expect<'a>(
        &mut self,
        words: impl ExactSizeIterator<Item = &'a [u8]>,
        limits: &EncodingLimits,
    ) {
        let Repr::Listpack(present) = &self.0 else { return };
        let fields = words.len().div_ceil(2);
        if fields > limits.hash_max_listpack_entries {
            self.become_table(fields);
            return;
        }
        let (mut total, mut too_long) = (0_usize, false);
        for word in words {
            too_long |= word.len() > limits.hash_max_listpack_value;
            total = total.saturating_add(word.len());
        }
        if too_long || !present.can_take(total) {
            self.become_table(0);
        }
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Listpack(words) => words.len() / 2,
            Repr::Table(fields) => fields.table.len(),
        }
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a field.
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<LpValue<'_>> {
        match &self.0 {
            Repr::Listpack(words) => Some(words.get(words.next(words.find(name, 1)?)?)),
            Repr::Table(fields) => fields.table.get(name).map(|field| LpValue::Str(field.value())),
        }
    }

    /// Whether there is such a field.
    pub fn contains(&self, name: &[u8]) -> bool {
        match &self.0 {
            Repr::Listpack(words) => words.find(name, 1).is_some(),
            Repr::Table(fields) => fields.table.contains(name),
        }
    }

    /// Length of a field's value in bytes, zero if there is no such field.
    pub fn value_len(&self, name: &[u8]) -> usize {
        self.get(name).map_or(0, |value| value.text_len())
    }

    /// Gives a field a value; returns whether the field is new.
    pub fn set(&mut self, name: &[u8], value: &[u8], limits: &EncodingLimits) -> bool {
        if let Repr::Listpack(words) = &self.0 {
            let longest = name.len().max(value.len());
            if longest > limits.hash_max_listpack_value
                || !words.can_take(name.len().saturating_add(value.len()))
            {
                self.become_table(1);
            }
        }
        match &mut self.0 {
            Repr::Listpack(words) => {
                if let Some(present) = value_of(words, name) {
                    words.replace(present, value);
                    return false;
                }
                words.push_back(name);
                words.push_back(value);
                if words.len() / 2 > limits.hash_max_listpack_entries {
                    self.become_table(0);
                }
                true
            }
            Repr::Table(fields) => fields.set(name, value),
        }
    }

    /// Removes a field; returns whether it was there.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        match &mut self.0 {
            Repr::Listpack(words) => match words.find(name, 1) {
                Some(found) => {
                    words.remove_from(found, 2);
                    true
                }
                None => false,
            },
            Repr::Table(fields) => fields.remove(name),
        }
    }

    /// Every field with its value: in order of insertion in a listpack.
    pub fn iter(&self) -> HashIter<'_> {
        HashIter(match &self.0 {
            Repr::Listpack(words) => IterRepr::Listpack(words.iter()),
            Repr::Table(fields) => IterRepr::Table(fields.table.iter()),
        })
    }

    /// Hands the fields and values at `cursor` to `visit`; returns the next cursor, zero at the
    /// end. A compact hash is reported whole. See [`HashTable::scan`].
    pub fn scan<'a>(
        &'a self,
        cursor: u64,
        visit: &mut impl FnMut(LpValue<'a>, LpValue<'a>),
    ) -> u64 {
        match &self.0 {
            Repr::Table(fields) => fields.table.scan(cursor, &mut |field| {
                let (name, value) = field.pair();
                visit(name, value);
            }),
            Repr::Listpack(_) => {
                self.iter().for_each(|(name, value)| visit(name, value));
                0
            }
        }
    }

    /// A random field with its value.
    pub fn random(&self, rng: &mut Rng) -> Option<(LpValue<'_>, LpValue<'_>)> {
        match &self.0 {
            Repr::Listpack(words) => {
                let name = words.seek(2 * rng.below(words.len() / 2) as i64)?;
                Some((words.get(name), words.get(words.next(name)?)))
            }
            Repr::Table(fields) => fields.table.random(rng).map(Field::pair),
        }
    }

    /// Hands `count` different random fields with their values, or all if there are fewer, to
    /// `visit`.
    pub fn random_distinct(
        &self,
        count: usize,
        rng: &mut Rng,
        mut visit: impl FnMut((LpValue<'_>, LpValue<'_>)),
    ) {
        let len = self.len();
        if count >= len {
            self.iter().for_each(visit);
        } else if matches!(self.0, Repr::Listpack(_)) {
            pick::in_order(self.iter(), len, count, rng, visit, |_| {});
        } else {
            let random = |rng: &mut Rng| self.random(rng);
            pick::distinct(len, count, rng, self.iter(), random, |field| field.0, &mut visit);
        }
    }

    /// Hands `count` random fields with their values to `visit`; the same one may come again.
    pub fn random_repeated(
        &self,
        count: usize,
        rng: &mut Rng,
        mut visit: impl FnMut((LpValue<'_>, LpValue<'_>)),
    ) {
        if matches!(self.0, Repr::Listpack(_)) && count > 1 {
            pick::repeated(self.iter(), count, rng, visit);
        } else {
            for _ in 0..count {
                self.random(rng).into_iter().for_each(&mut visit);
            }
        }
    }

    /// The name of the encoding, as clients know it.
    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Repr::Listpack(_) => "listpack",
            Repr::Table(_) => "hashtable",
        }
    }

    /// The alternating fields and values as a listpack, if the hash is one.
    pub fn as_listpack(&self) -> Option<&Listpack> {
        match &self.0 {
            Repr::Listpack(words) => Some(words),
            Repr::Table(_) => None,
        }
    }

    /// How the fields are spread over the buckets of the table, if this is one.
    pub fn table_statistics(&self) -> Option<(ArrayStatistics, Option<ArrayStatistics>)> {
        match &self.0 {
            Repr::Listpack(_) => None,
            Repr::Table(table) => Some(table.table.statistics()),
        }
    }

    /// Bytes allocated by the hash.
    pub fn memory_usage(&self) -> usize {
        match &self.0 {
            Repr::Listpack(words) => words.heap_size(),
            Repr::Table(fields) => size_of::<Fields>() + fields.table.memory_usage() + fields.owned,
        }
    }

    /// Allocations that freeing the hash gives back, roughly.
    pub fn free_effort(&self) -> usize {
        match &self.0 {
            Repr::Listpack(_) => 1,
            Repr::Table(fields) => fields.table.free_effort(),
        }
    }

    /// Frees it in steps; see [`Release`](crate::Release).
    pub(crate) fn release(self, step: &mut dyn FnMut()) {
        if let Repr::Table(fields) = self.0 {
            release_table(fields.table, step, |field, _| drop(field));
        }
    }

    /// Goes on with a resize of the table, by up to `buckets` buckets; tells whether there is more.
    pub fn rehash_step(&mut self, buckets: usize) -> bool {
        match &mut self.0 {
            Repr::Listpack(_) => false,
            Repr::Table(fields) => fields.table.rehash_step(buckets),
        }
    }

    /// Becomes a table with room for `more` fields more.
    fn become_table(&mut self, more: usize) {
        let mut fields = Fields::with_capacity(self.len() + more);
        let (mut name_digits, mut value_digits) = (itoa::Buffer::new(), itoa::Buffer::new());
        for (name, value) in self.iter() {
            fields.set(name.as_slice(&mut name_digits), value.as_slice(&mut value_digits));
        }
        self.0 = Repr::Table(Box::new(fields));
    }

    /// Panics unless the invariants of the structure hold; for tests.
    pub fn check_invariants(&self) {
        match &self.0 {
            Repr::Listpack(words) => {
                words.check_invariants();
                assert!(Hash::from_listpack(words.clone()).is_some(), "fields are distinct");
            }
            Repr::Table(fields) => {
                fields.table.check_invariants();
                let owned = fields.table.iter().map(|field| field.allocated()).sum();
                assert_eq!(fields.owned, owned);
            }
        }
    }
}

/// Where the value of a field stands.
fn value_of(words: &Listpack, name: &[u8]) -> Option<LpPos> {
    words.next(words.find(name, 1)?)
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Every field of a hash with its value; see [`Hash::iter`].
#[derive(Clone)]
pub struct HashIter<'a>(IterRepr<'a>);

#[derive(Clone)]
enum IterRepr<'a> {
    Listpack(listpack::Iter<'a>),
    Table(hashtable::Iter<'a, Field>),
}

impl<'a> Iterator for HashIter<'a> {
    type Item = (LpValue<'a>, LpValue<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            IterRepr::Listpack(words) => Some((words.next()?, words.next()?)),
            IterRepr::Table(fields) => fields.next().map(Field::pair),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::Rng;

    fn tight() -> EncodingLimits {
        EncodingLimits {
            hash_max_listpack_entries: 8,
            hash_max_listpack_value: 30,
            ..EncodingLimits::default()
        }
    }

    fn word() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            8 => (-5..12_i64).prop_map(|number| number.to_string().into_bytes()),
            1 => any::<i64>().prop_map(|number| number.to_string().into_bytes()),
            1 => prop::collection::vec(b'a'..b'c', 0..40),
        ]
    }

    fn fields(hash: &Hash) -> BTreeMap<Vec<u8>, Vec<u8>> {
        hash.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
    }

    proptest! {
        #[test]
        fn behaves_as_a_map(steps in prop::collection::vec((0..3_u8, word(), word()), 0..120)) {
            let limits = tight();
            let (mut hash, mut model) = (Hash::new(), BTreeMap::new());
            for (action, name, value) in steps {
                if action == 0 {
                    prop_assert_eq!(hash.remove(&name), model.remove(&name).is_some());
                } else {
                    let created = hash.set(&name, &value, &limits);
                    prop_assert_eq!(created, model.insert(name.clone(), value).is_none());
                }
                hash.check_invariants();
                let expected = model.get(&name);
                let got = hash.get(&name).map(|value| value.to_vec());
                prop_assert_eq!(got.as_ref(), expected);
                prop_assert_eq!(hash.contains(&name), expected.is_some());
                prop_assert_eq!(hash.value_len(&name), expected.map_or(0, Vec::len));
                prop_assert_eq!(hash.len(), model.len());
            }
            prop_assert_eq!(&fields(&hash), &model);
            let picked = hash.random(&mut Rng::new(3)).map(|(n, v)| (n.to_vec(), v.to_vec()));
            let is_one = picked.is_some_and(|(name, value)| model.get(&name) == Some(&value));
            prop_assert_eq!(is_one, !model.is_empty());
            let (mut scanned, mut cursor) = (BTreeMap::new(), 0);
            loop {
                cursor = hash.scan(cursor, &mut |name, value| {
                    scanned.insert(name.to_vec(), value.to_vec());
                });
                if cursor == 0 {
                    break;
                }
            }
            prop_assert_eq!(&scanned, &model);
        }
    }

    #[test]
    fn leaves_the_listpack_where_redis_does() {
        let limits = EncodingLimits::default();
        let mut hash = Hash::new();
        for number in 0..512_u32 {
            hash.set(number.to_string().as_bytes(), &[b'v'; 64], &limits);
        }
        assert_eq!(hash.encoding(), "listpack");
        let mut other = hash.clone();
        hash.set(b"one more", b"", &limits);
        assert_eq!((hash.encoding(), hash.len()), ("hashtable", 513));
        other.set(b"1", &[b'v'; 65], &limits);
        assert_eq!((other.encoding(), other.len()), ("hashtable", 512));
    }

    #[test]
    fn expected_words_choose_the_encoding() {
        let limits = tight();
        let encoding = |words: &[&[u8]]| {
            let mut hash = Hash::new();
            hash.expect(words.iter().copied(), &limits);
            hash.encoding()
        };
        assert_eq!(encoding(&[&b"a"[..]; 16]), "listpack");
        assert_eq!(encoding(&[&b"a"[..]; 18]), "hashtable");
        assert_eq!(encoding(&[b"a", &[b'b'; 31]]), "hashtable");
        assert_eq!(Hash::with_capacity(8, &limits).encoding(), "listpack");
        assert_eq!(Hash::with_capacity(9, &limits).encoding(), "hashtable");
    }

    #[test]
    fn only_pairs_of_distinct_fields_make_a_hash() {
        let listpack = |texts: &[&str]| texts.iter().collect::<Listpack>();
        assert!(Hash::from_listpack(listpack(&["a", "1", "b", "1"])).is_some());
        assert!(Hash::from_listpack(listpack(&["a", "1", "b"])).is_none());
        assert!(Hash::from_listpack(listpack(&["a", "1", "a", "2"])).is_none());
    }

    #[test]
    fn random_picks_are_fields_and_distinct_where_promised() {
        let (wide, mut rng) = (EncodingLimits::default(), Rng::new(17));
        for limits in [wide, tight()] {
            let mut hash = Hash::new();
            for number in 0..100_u32 {
                let text = number.to_string();
                hash.set(text.as_bytes(), format!("v{text}").as_bytes(), &limits);
            }
            let all = fields(&hash);
            for count in [0, 1, 5, 40, 99, 100, 500] {
                let (mut distinct, mut repeated) = (BTreeMap::new(), 0);
                hash.random_distinct(count, &mut rng, |(name, value)| {
                    assert!(distinct.insert(name.to_vec(), value.to_vec()).is_none());
                });
                assert_eq!(distinct.len(), count.min(100));
                assert!(distinct.iter().all(|(name, value)| all.get(name) == Some(value)));
                hash.random_repeated(count, &mut rng, |(name, value)| {
                    assert_eq!(all.get(&name.to_vec()), Some(&value.to_vec()));
                    repeated += 1;
                });
                assert_eq!(repeated, count);
            }
        }
    }
}
