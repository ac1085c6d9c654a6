//! A key with everything that belongs to it, in one allocation of exactly the bytes that it takes.
//!
//! ```text
//! head      | access: 24 bits | epoch: u8 |                           see `thin` for what is before
//! shape     | kind, has a deadline? | length of the key: u8, or 255 and u64 |
//! deadline  | i64 |                            if it has one
//! value     | i64 | or | one unused byte | a `List`, `Hash` ... |     unless it is text
//! bytes     | key | text of the value |
//! ```
//!
//! A text of up to [`TEXT_MAX`] bytes stands behind the key, so that a key of 16 bytes with a value of
//! 16 bytes takes 40 bytes, and whoever compared the key has the value in the cache. Longer texts and
//! texts that are changed in place are a `Vec<u8>`. That and all other types lie in the entry as they are,
//! and own what they refer to: a small hash is two allocations, the entry and its listpack.
//!
//! Invariants:
//! - the length of the content is that of the parts above;
//! - an entry of a kind from `Raw` to `Stream` has a live value of the type that the kind names in its
//!   place, which is aligned. Every `unsafe` block here relies on this and only on this.
#![allow(unsafe_code)]

use std::fmt;
use std::ptr::NonNull;

use crate::hashtable::Entry;
use crate::thin::Thin;
use crate::value::{Value, ValueRef, canonical_int};
use crate::{Hash, List, Set, Stream, ZSet};

/// Longest text that is kept in the entry. A longer one has little to gain, and would have to be
/// copied when the entry is given a deadline or another name.
const TEXT_MAX: usize = 512;

/// First byte of the length of a key that does not fit into one.
const LONG_KEY: u8 = u8::MAX;

/// The bit of the shape that tells of a deadline.
const HAS_DEADLINE: u8 = 0x80;

/// Bytes of a deadline, and of an integer.
const WORD: usize = 8;

/// The byte before a value that lies in the entry: with it everything before is a multiple of
/// [`VALUE_ALIGN`], however long key and entry are and whether there is a deadline.
const GAP: usize = 1;
const VALUE_ALIGN: usize = 8;
const _: () = {
    let shape = 2;
    assert!((Thin::<HEAD>::before_content(0) + shape + GAP).is_multiple_of(VALUE_ALIGN));
    assert!((Thin::<HEAD>::before_content(usize::MAX) + shape + GAP).is_multiple_of(VALUE_ALIGN));
    assert!(WORD.is_multiple_of(VALUE_ALIGN));
};

/// Bytes before the content that can be changed through a shared reference.
const HEAD: usize = 4;

/// The bits of an access figure.
const ACCESS_MASK: u32 = 0x00ff_ffff;

/// Longest time without an access that is told, 182 days.
const IDLE_MAX_S: u32 = 182 * 24 * 3600;

/// The deadline of a key that lives forever.
pub(crate) const FOREVER: i64 = i64::MAX;

/// A key with everything that belongs to it.
pub struct KeyEntry(Thin<HEAD>);

// SAFETY: the entry owns its bytes and its value alone, and `Contained` only admits types that may go
// to another thread.
unsafe impl Send for KeyEntry {}

/// What stands behind the head of an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Text behind the key.
    Text,
    Int,
    /// The value was taken; nothing is done with such an entry but to free it.
    Gone,
    Raw,
    List,
    Hash,
    Set,
    ZSet,
    Stream,
}

impl Kind {
    #[inline]
    const fn of_shape(shape: u8) -> Kind {
        match shape & !HAS_DEADLINE {
            0 => Kind::Text,
            1 => Kind::Int,
            2 => Kind::Gone,
            3 => Kind::Raw,
            4 => Kind::List,
            5 => Kind::Hash,
            6 => Kind::Set,
            7 => Kind::ZSet,
            _ => Kind::Stream,
        }
    }

    /// Bytes that the value takes before the key.
    #[inline]
    const fn room(self) -> usize {
        match self {
            Kind::Text | Kind::Gone => 0,
            Kind::Int => WORD,
            Kind::Raw => GAP + size_of::<Vec<u8>>(),
            Kind::List => GAP + size_of::<List>(),
            Kind::Hash => GAP + size_of::<Hash>(),
            Kind::Set => GAP + size_of::<Set>(),
            Kind::ZSet => GAP + size_of::<ZSet>(),
            Kind::Stream => GAP + size_of::<Stream>(),
        }
    }
}

/// A type that lies in entries, and the one kind of entries that it lies in.
///
/// # Safety
///
/// The kind is that of no other type, and has room for this one.
pub(crate) unsafe trait Contained: Send {
    /// The kind.
    #[expect(private_interfaces, reason = "nobody but this module asks for it")]
    const KIND: Kind;
}

macro_rules! contained {
    ($($kind:ident $type:ty),*) => { $(
        const _: () = assert!(
            align_of::<$type>() <= VALUE_ALIGN && Kind::$kind.room() == GAP + size_of::<$type>()
        );
        // SAFETY: each kind stands here once; the assertion is about the room.
        unsafe impl Contained for $type {
            #[expect(private_interfaces, reason = "nobody but this module asks for it")]
            const KIND: Kind = Kind::$kind;
        }
    )* };
}

contained!(Raw Vec<u8>, List List, Hash Hash, Set Set, ZSet ZSet, Stream Stream);

/// What stands where the value does when an entry is laid out.
enum Packed<'a> {
    Text(&'a [u8]),
    Int(i64),
    /// Room for a value of the kind, which comes later.
    Room(Kind),
}

/// As much of nothing as any value takes.
const ROOM: [u8; 256] = [0; 256];

/// Lays out an entry.
#[inline]
fn lay_out(head: [u8; HEAD], deadline: i64, key: &[u8], value: &Packed<'_>) -> Thin<HEAD> {
    let int_bytes;
    let (kind, before, text): (_, &[u8], &[u8]) = match value {
        Packed::Text(text) => (Kind::Text, &[], text),
        Packed::Int(int) => {
            int_bytes = int.to_ne_bytes();
            (Kind::Int, &int_bytes, &[])
        }
        Packed::Room(kind) => (*kind, &ROOM[..kind.room()], &[]),
    };
    let deadline_bytes = deadline.to_ne_bytes();
    let (mark, deadline): (_, &[u8]) = match deadline {
        FOREVER => (0, &[]),
        _ => (HAS_DEADLINE, &deadline_bytes),
    };
    let shape = kind as u8 | mark;
    if key.len() < usize::from(LONG_KEY) {
        let start = [shape, key.len() as u8];
        return Thin::new(head, [&start, deadline, before, key, text]);
    }
    let [a, b, c, d, e, f, g, h] = (key.len() as u64).to_ne_bytes();
    let start = [shape, LONG_KEY, a, b, c, d, e, f, g, h];
    Thin::new(head, [&start, deadline, before, key, text])
}

/// Lays out an entry with a value that lies in it.
fn lay_out_with<T: Contained>(head: [u8; HEAD], deadline: i64, key: &[u8], value: T) -> Thin<HEAD> {
    let thin = lay_out(head, deadline, key, &Packed::Room(T::KIND));
    // SAFETY: there is room for a value of the type, aligned, and none is there yet.
    unsafe { place_of::<T>(&thin).write(value) };
    thin
}

/// Lays out an entry with any value.
fn lay_out_value(head: [u8; HEAD], deadline: i64, key: &[u8], value: Value) -> Thin<HEAD> {
    match value {
        Value::Int(int) => lay_out(head, deadline, key, &Packed::Int(int)),
        Value::Str(text) if text.len() <= TEXT_MAX => {
            lay_out(head, deadline, key, &Packed::Text(&text))
        }
        Value::Str(text) => lay_out_with::<Vec<u8>>(head, deadline, key, text.into()),
        Value::Raw(content) => lay_out_with(head, deadline, key, content),
        Value::List(list) => lay_out_with(head, deadline, key, list),
        Value::Hash(hash) => lay_out_with(head, deadline, key, hash),
        Value::Set(set) => lay_out_with(head, deadline, key, set),
        Value::ZSet(zset) => lay_out_with(head, deadline, key, zset),
        Value::Stream(stream) => lay_out_with(head, deadline, key, *stream),
    }
}

/// Where the value of an entry lies.
///
/// # Safety
///
/// The entry is one of the kind of `T`.
#[inline]
unsafe fn place_of<T: Contained>(thin: &Thin<HEAD>) -> NonNull<T> {
    // SAFETY: the content of such an entry goes on beyond its value.
    unsafe { thin.place(Places::of(thin.bytes()).value + GAP).cast() }
}

/// Bytes of deadline and value before the key, by the shape. Every comparison of a key asks for it.
const BEFORE_KEY: [u8; 256] = {
    let mut table = [0; 256];
    let mut shape = 0;
    while shape < table.len() {
        let deadline = if shape as u8 & HAS_DEADLINE == 0 { 0 } else { WORD };
        let bytes = deadline + Kind::of_shape(shape as u8).room();
        assert!(bytes <= u8::MAX as usize);
        table[shape] = bytes as u8;
        shape += 1;
    }
    table
};

/// Where the parts of an entry begin in its content. Every part ends where the next begins.
#[derive(Clone, Copy)]
struct Places {
    deadline: usize,
    value: usize,
    key: usize,
    text: usize,
}

impl Places {
    #[inline]
    fn of(content: &[u8]) -> Places {
        let (deadline, key_len) = match content[1] {
            LONG_KEY => (10, u64::from_ne_bytes(array(content, 2)) as usize),
            len => (2, usize::from(len)),
        };
        let value = deadline + if content[0] & HAS_DEADLINE == 0 { 0 } else { WORD };
        let key = deadline + usize::from(BEFORE_KEY[usize::from(content[0])]);
        Places { deadline, value, key, text: key + key_len }
    }
}

/// The bytes of `content` from `at` on.
#[inline]
fn array<const N: usize>(content: &[u8], at: usize) -> [u8; N] {
    content.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

fn head_of(access: u32, epoch: u8) -> [u8; HEAD] {
    let [low, middle, high, _] = access.to_le_bytes();
    [low, middle, high, epoch]
}

impl KeyEntry {
    /// An entry of a key that lives forever.
    pub(crate) fn new(key: &[u8], value: Value, access: u32, epoch: u8) -> Self {
        KeyEntry(lay_out_value(head_of(access, epoch), FOREVER, key, value))
    }

    /// [`KeyEntry::new`] with the value that [`Value::string`] makes of `text`.
    #[inline]
    pub(crate) fn of_text(key: &[u8], text: &[u8], access: u32, epoch: u8) -> Self {
        let head = head_of(access, epoch);
        KeyEntry(match canonical_int(text) {
            Some(int) => lay_out(head, FOREVER, key, &Packed::Int(int)),
            None if text.len() <= TEXT_MAX => lay_out(head, FOREVER, key, &Packed::Text(text)),
            None => lay_out_with(head, FOREVER, key, text.to_vec()),
        })
    }

    /// The name of the key.
    #[inline]
    pub fn name(&self) -> &[u8] {
        let content = self.0.bytes();
        let places = Places::of(content);
        &content[places.key..places.text]
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> ValueRef<'_> {
        let content = self.0.bytes();
        let found = match Kind::of_shape(content[0]) {
            Kind::Text => Some(ValueRef::Str(&content[Places::of(content).text..])),
            Kind::Int => Some(ValueRef::Int(self.int())),
            Kind::Gone => None,
            Kind::Raw => self.contained().map(ValueRef::Raw),
            Kind::List => self.contained().map(ValueRef::List),
            Kind::Hash => self.contained().map(ValueRef::Hash),
            Kind::Set => self.contained().map(ValueRef::Set),
            Kind::ZSet => self.contained().map(ValueRef::ZSet),
            Kind::Stream => self.contained().map(ValueRef::Stream),
        };
        // Each kind was asked for its own type, so there is one.
        found.unwrap_or(ValueRef::Int(0))
    }

    /// Replaces the value and keeps everything else. Returns what was the value.
    pub fn set_value(&mut self, value: Value) -> Value {
        if let Value::Int(int) = value
            && let Some(present) = self.int_mut()
        {
            let old = i64::from_ne_bytes(*present);
            *present = int.to_ne_bytes();
            return Value::Int(old);
        }
        let thin = lay_out_value(self.head(), self.deadline(), self.name(), value);
        let old = self.take_value();
        self.0 = thin;
        old
    }

    /// Changes a string that is kept as an integer: `change` gets it and says what it becomes. `None` for
    /// any other value.
    #[inline]
    pub fn change_int<E>(
        &mut self,
        change: impl FnOnce(i64) -> Result<i64, E>,
    ) -> Option<Result<i64, E>> {
        let int = self.int_mut()?;
        let changed = change(i64::from_ne_bytes(*int));
        if let Ok(new) = &changed {
            *int = new.to_ne_bytes();
        }
        Some(changed)
    }

    /// The bytes of the integer of an entry that has one.
    #[inline]
    fn int_mut(&mut self) -> Option<&mut [u8; WORD]> {
        let content = self.0.bytes_mut();
        if Kind::of_shape(content[0]) != Kind::Int {
            return None;
        }
        let at = Places::of(content).value;
        content.get_mut(at..)?.first_chunk_mut()
    }

    /// A string as a buffer that can be changed in place (it is `raw` from then on).
    pub fn string_mut(&mut self) -> Option<&mut Vec<u8>> {
        if self.contained::<Vec<u8>>().is_none() {
            let content = self.value().as_string()?.into_owned();
            // What it had is copied, and lies nowhere but in the old allocation.
            self.0 = lay_out_with(self.head(), self.deadline(), self.name(), content);
        }
        self.contained_mut()
    }

    /// Takes the value out of an entry that was removed.
    pub fn into_value(mut self) -> Value {
        self.take_value()
    }

    /// The access figure, 24 bits that only the caller understands.
    #[inline]
    pub fn access(&self) -> u32 {
        let [low, middle, high, _] = self.0.head();
        u32::from_le_bytes([low.get(), middle.get(), high.get(), 0])
    }

    /// Sets the access figure to the low 24 bits of `access`.
    #[inline]
    pub fn set_access(&mut self, access: u32) {
        for (cell, byte) in self.0.head().iter().zip(access.to_le_bytes()).take(HEAD - 1) {
            cell.set(byte);
        }
    }

    /// Seconds since the time that the access figure is, in seconds since the epoch. It is one of 24
    /// bits, so time beyond 182 days is not told from that of a clock that was set back, and is zero.
    #[inline]
    pub fn idle_s(&self, now_s: u32) -> u32 {
        let idle_s = now_s.wrapping_sub(self.access()) & ACCESS_MASK;
        if idle_s <= IDLE_MAX_S { idle_s } else { 0 }
    }

    /// Makes the access figure a time `idle_s` before `now_s`, as far as [`KeyEntry::idle_s`] reaches.
    pub fn set_idle(&mut self, idle_s: u32, now_s: u32) {
        self.set_access(now_s.wrapping_sub(idle_s.min(IDLE_MAX_S)));
    }

    /// Unix time in milliseconds when the key ends, if it does.
    #[inline]
    pub fn expire_at(&self) -> Option<i64> {
        let content = self.0.bytes();
        let has_deadline = content[0] & HAS_DEADLINE != 0;
        has_deadline.then(|| i64::from_ne_bytes(array(content, Places::of(content).deadline)))
    }

    /// Whether the key's time was up at `now_ms`.
    #[inline]
    pub fn is_expired(&self, now_ms: i64) -> bool {
        self.expire_at().is_some_and(|at| at < now_ms)
    }

    /// Bytes allocated for the entry; `samples` as for [`ValueRef::memory_usage`].
    pub fn memory_usage(&self, samples: usize) -> usize {
        let value = match self.value() {
            ValueRef::Str(_) => 0,
            value => value.memory_usage(samples),
        };
        self.0.allocated() + value
    }

    /// The deadline; [`FOREVER`] is none.
    #[inline]
    pub(crate) fn deadline(&self) -> i64 {
        self.expire_at().unwrap_or(FOREVER)
    }

    /// Sets the deadline; [`FOREVER`] takes it away.
    pub(crate) fn set_deadline(&mut self, deadline: i64) {
        if deadline == self.deadline() {
            return;
        }
        let content = self.0.bytes();
        let places = Places::of(content);
        if content[0] & HAS_DEADLINE != 0 && deadline != FOREVER {
            let at = places.deadline;
            self.0.bytes_mut()[at..at + WORD].copy_from_slice(&deadline.to_ne_bytes());
            return;
        }
        let kind = Kind::of_shape(content[0]);
        let value = match kind {
            Kind::Text => Packed::Text(&content[places.text..]),
            Kind::Int => Packed::Int(self.int()),
            _ => Packed::Room(kind),
        };
        let thin = lay_out(self.head(), deadline, &content[places.key..places.text], &value);
        if let Packed::Room(_) = value {
            let (from, to) = (places.value, Places::of(thin.bytes()).value);
            // SAFETY: the value of the kind moves from the old entry to the room that the new one has
            // for it, with the gap before it. The old one is freed without looking at it.
            unsafe { thin.place(to).copy_from_nonoverlapping(self.0.place(from), kind.room()) };
        }
        self.0 = thin;
    }

    /// Enters that it belongs to `epoch` now. False when it did already.
    #[inline]
    pub(crate) fn enter_epoch(&self, epoch: u8) -> bool {
        self.0.head()[HEAD - 1].replace(epoch) != epoch
    }

    fn head(&self) -> [u8; HEAD] {
        self.0.head().each_ref().map(|cell| cell.get())
    }

    /// The integer of an entry that has one.
    #[inline]
    fn int(&self) -> i64 {
        let content = self.0.bytes();
        i64::from_ne_bytes(array(content, Places::of(content).value))
    }

    /// The value that lies in the entry, if it is of this type.
    #[inline]
    pub(crate) fn contained<T: Contained>(&self) -> Option<&T> {
        let is_kind = Kind::of_shape(self.0.bytes()[0]) == T::KIND;
        // SAFETY: an entry of the kind has a live value of `T` there, and the borrow of the entry is
        // one of the value.
        is_kind.then(|| unsafe { place_of(&self.0).as_ref() })
    }

    /// The value that lies in the entry, to change, if it is of this type.
    #[inline]
    pub(crate) fn contained_mut<T: Contained>(&mut self) -> Option<&mut T> {
        let is_kind = Kind::of_shape(self.0.bytes()[0]) == T::KIND;
        // SAFETY: as for `contained`, and the entry is borrowed by nobody else.
        is_kind.then(|| unsafe { place_of(&self.0).as_mut() })
    }

    /// Takes the value if it is of this type, and nothing may be done with the entry from then on but
    /// to free it.
    fn take<T: Contained>(&mut self) -> Option<T> {
        self.contained::<T>()?;
        // SAFETY: a live value of the type lies there, and as the kind says next that none does, nobody
        // else will take it for one.
        let value = unsafe { place_of(&self.0).read() };
        self.0.bytes_mut()[0] = Kind::Gone as u8;
        Some(value)
    }

    /// Takes a value that lies in the entry, upon which nothing may be done with it but to free it.
    /// What does not lie in it is copied.
    fn take_value(&mut self) -> Value {
        let taken = match Kind::of_shape(self.0.bytes()[0]) {
            Kind::Raw => self.take().map(Value::Raw),
            Kind::List => self.take().map(Value::List),
            Kind::Hash => self.take().map(Value::Hash),
            Kind::Set => self.take().map(Value::Set),
            Kind::ZSet => self.take().map(Value::ZSet),
            Kind::Stream => self.take().map(|stream| Value::Stream(Box::new(stream))),
            Kind::Text | Kind::Int | Kind::Gone => None,
        };
        taken.unwrap_or_else(|| match self.value() {
            ValueRef::Str(text) => Value::Str(text.into()),
            ValueRef::Int(int) => Value::Int(int),
            _ => Value::Int(0),
        })
    }

    /// Ends the life of the value that lies in the entry, as [`KeyEntry::take`] does.
    fn drop_contained<T: Contained>(&mut self) {
        drop(self.take::<T>());
    }

    /// Panics unless the parts fit the allocation; for tests.
    pub(crate) fn check_invariants(&self) {
        let content = self.0.bytes();
        let places = Places::of(content);
        assert!(places.text <= content.len());
        let is_text = Kind::of_shape(content[0]) == Kind::Text;
        assert!(is_text || places.text == content.len(), "text stands behind keys of texts only");
        assert!(content.len() - places.text <= TEXT_MAX);
    }
}

impl Drop for KeyEntry {
    #[inline]
    fn drop(&mut self) {
        match Kind::of_shape(self.0.bytes()[0]) {
            Kind::Text | Kind::Int | Kind::Gone => {}
            Kind::Raw => self.drop_contained::<Vec<u8>>(),
            Kind::List => self.drop_contained::<List>(),
            Kind::Hash => self.drop_contained::<Hash>(),
            Kind::Set => self.drop_contained::<Set>(),
            Kind::ZSet => self.drop_contained::<ZSet>(),
            Kind::Stream => self.drop_contained::<Stream>(),
        }
    }
}

impl Entry for KeyEntry {
    #[inline]
    fn key(&self) -> &[u8] {
        self.name()
    }
}

impl fmt::Debug for KeyEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyEntry")
            .field("name", &self.name().escape_ascii().to_string())
            .field("value", &self.value())
            .field("expire_at", &self.expire_at())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ValueType;
    use proptest::prelude::*;

    /// What an entry should hold.
    struct Model {
        key: Vec<u8>,
        text: Option<Vec<u8>>,
        deadline: i64,
        access: u32,
        epoch: u8,
    }

    #[derive(Debug, Clone)]
    enum Op {
        Text(Vec<u8>),
        Set(u8),
        Append(u8),
        Deadline(Option<i64>),
        Access(u32),
        Epoch(u8),
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => prop::collection::vec(any::<u8>(), 0..60),
            2 => any::<i32>().prop_map(|int| int.to_string().into_bytes()),
            1 => (TEXT_MAX - 2..TEXT_MAX + 3).prop_map(|len| vec![b'x'; len]),
            1 => (240..260_usize).prop_map(|len| vec![b'y'; len]),
        ]
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            3 => text().prop_map(Op::Text),
            1 => any::<u8>().prop_map(Op::Set),
            2 => any::<u8>().prop_map(Op::Append),
            3 => any::<Option<i64>>().prop_map(Op::Deadline),
            1 => any::<u32>().prop_map(Op::Access),
            1 => any::<u8>().prop_map(Op::Epoch),
        ]
    }

    fn set_of(member: u8) -> Value {
        let mut set = Set::default();
        set.add(&[member], &crate::EncodingLimits::default());
        set.into_value()
    }

    fn check(entry: &KeyEntry, model: &Model) {
        entry.check_invariants();
        assert_eq!(entry.name(), model.key);
        assert_eq!(entry.value().as_string().map(|text| text.into_owned()), model.text);
        assert_eq!(entry.deadline(), model.deadline);
        assert_eq!(entry.access(), model.access);
        assert!(!entry.enter_epoch(model.epoch));
    }

    proptest! {
        #[test]
        fn the_parts_do_not_get_into_each_others_way(
            key in prop_oneof![Just(Vec::new()), text(), Just(vec![b'k'; 70_000])],
            first in text(),
            ops in prop::collection::vec(op(), 0..30),
        ) {
            let mut entry = KeyEntry::of_text(&key, &first, 7, 1);
            let mut model =
                Model { key, text: Some(first), deadline: FOREVER, access: 7, epoch: 1 };
            check(&entry, &model);
            for op in ops {
                match op {
                    Op::Text(text) => {
                        let old = entry.set_value(Value::string(&text));
                        let old = old.as_ref().as_string().map(|text| text.into_owned());
                        prop_assert_eq!(old, model.text.replace(text));
                    }
                    Op::Set(member) => {
                        entry.set_value(set_of(member));
                        model.text = None;
                        let set = Set::of_mut(&mut entry);
                        prop_assert!(set.is_some_and(|set| set.contains(&[member])));
                    }
                    Op::Append(byte) => {
                        let content = entry.string_mut();
                        prop_assert_eq!(content.is_some(), model.text.is_some());
                        content.into_iter().for_each(|content| content.push(byte));
                        model.text.iter_mut().for_each(|text| text.push(byte));
                    }
                    Op::Deadline(at) => {
                        model.deadline = at.unwrap_or(FOREVER);
                        entry.set_deadline(model.deadline);
                    }
                    Op::Access(access) => {
                        model.access = access & ACCESS_MASK;
                        entry.set_access(access);
                    }
                    Op::Epoch(epoch) => {
                        prop_assert_eq!(entry.enter_epoch(epoch), epoch != model.epoch);
                        model.epoch = epoch;
                    }
                }
                check(&entry, &model);
            }
            let value = entry.into_value();
            prop_assert_eq!(value.as_ref().as_string().map(|text| text.into_owned()), model.text);
        }
    }

    /// One value of each type that lies in an entry.
    fn all_types() -> Vec<Value> {
        let limits = crate::EncodingLimits::default();
        let (mut list, mut hash, mut zset) = (List::default(), Hash::default(), ZSet::default());
        list.push(crate::list::End::Tail, &[b"item"], &limits);
        hash.set(b"field", b"value", &limits);
        zset.add(b"member", 1.5, &limits);
        let raw = Value::Raw(vec![b'r'; 1000]);
        let stream = Box::<Stream>::default();
        let others = [list.into_value(), hash.into_value(), zset.into_value(), set_of(7)];
        others.into_iter().chain([raw, Value::Stream(stream)]).collect()
    }

    #[test]
    fn values_of_all_types_move_with_their_entry() {
        let show = |value: ValueRef<'_>| format!("{value:?}");
        for key_len in [0, 16, 254, 255, 300] {
            for value in all_types() {
                let key = vec![b'k'; key_len];
                let shown = show(value.as_ref());
                let mut entry = KeyEntry::new(&key, value, 0, 0);
                for deadline in [1, 2, FOREVER, 3] {
                    entry.set_deadline(deadline);
                    entry.check_invariants();
                    assert_eq!(entry.deadline(), deadline);
                    assert_eq!(entry.name(), key);
                    assert_eq!(show(entry.value()), shown);
                }
                let copy = entry.set_value(entry.value().to_value());
                assert_eq!(show(copy.as_ref()), shown);
                assert_eq!(show(entry.value()), shown);
                assert_eq!(show(entry.into_value().as_ref()), shown);
            }
        }
    }

    #[test]
    fn takes_no_more_than_its_parts() {
        let mut entry = KeyEntry::of_text(&[b'k'; 16], &[b'v'; 16], 0, 0);
        assert_eq!(entry.memory_usage(0), 39);
        entry.set_deadline(1);
        assert_eq!(entry.memory_usage(0), 47);
        entry.set_deadline(FOREVER);
        entry.set_value(Value::Int(1));
        assert_eq!(entry.memory_usage(0), 31);
        assert_eq!(size_of::<Option<KeyEntry>>(), 6);
        let hash = KeyEntry::new(&[b'k'; 16], Hash::default().into_value(), 0, 0);
        assert_eq!(hash.0.allocated(), 40);
    }

    #[test]
    fn idle_time_does_not_jump_when_the_clock_goes_back() {
        let mut entry = KeyEntry::of_text(b"key", b"value", 1_700_000_000, 0);
        assert_eq!(entry.idle_s(1_700_000_010), 10);
        assert_eq!(entry.idle_s(1_699_999_990), 0);
        entry.set_idle(1_000, 1_700_000_000);
        assert_eq!(entry.idle_s(1_700_000_000), 1_000);
        entry.set_idle(u32::MAX, 1_700_000_000);
        assert_eq!(entry.idle_s(1_700_000_000), IDLE_MAX_S);
    }
}
