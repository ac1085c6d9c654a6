//! Freeing big things a little at a time.
//!
//! To free ten million keys takes a second. Whoever does it beside something that must answer soon
//! wants to stop often: to let that go first, and to tell how much memory has come back so far.
//!
//! Nothing here knows of threads or clocks: what is freed calls `step` after every few hundred
//! allocations, and what that does is up to the caller.

use crate::hashtable::HashTable;
use crate::{Db, Value};

/// Allocations freed between two steps, about.
const ALLOCATIONS: usize = 256;

/// What can be freed a little at a time.
pub trait Release: Send {
    /// Frees it, calling `step` often.
    fn release(self: Box<Self>, step: &mut dyn FnMut());
}

/// Something that is freed as a whole.
#[derive(Debug)]
pub struct Whole<T>(pub T);

impl<T: Send> Release for Whole<T> {
    fn release(self: Box<Self>, step: &mut dyn FnMut()) {
        drop(self);
        step();
    }
}

impl Release for Value {
    fn release(self: Box<Self>, step: &mut dyn FnMut()) {
        release_value(*self, step);
    }
}

impl Release for Db {
    fn release(self: Box<Self>, step: &mut dyn FnMut()) {
        self.release_entries(step, |entry, step| {
            if entry.value().free_effort() > ALLOCATIONS {
                release_value(entry.into_value(), step);
            }
        });
    }
}

impl Release for Vec<Db> {
    fn release(self: Box<Self>, step: &mut dyn FnMut()) {
        self.into_iter().for_each(|db| Box::new(db).release(step));
    }
}

fn release_value(value: Value, step: &mut dyn FnMut()) {
    match value {
        Value::Int(_) | Value::Str(_) | Value::Raw(_) => {}
        Value::List(list) => list.release(step),
        Value::Hash(hash) => hash.release(step),
        Value::Set(set) => set.release(step),
        Value::ZSet(zset) => zset.release(step),
        Value::Stream(stream) => stream.release(step),
    }
    step();
}

/// Frees a table, each entry by `release`.
pub(crate) fn release_table<E>(
    table: HashTable<E>,
    step: &mut dyn FnMut(),
    release: impl Fn(E, &mut dyn FnMut()),
) {
    for (at, entry) in table.into_iter().enumerate() {
        release(entry, step);
        if at % ALLOCATIONS == 0 {
            step();
        }
    }
}

/// Drops what `all` gives, which is larger than an entry of a table.
pub(crate) fn release_all<T>(all: impl IntoIterator<Item = T>, step: &mut dyn FnMut()) {
    for item in all {
        drop(item);
        step();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EncodingLimits, End, Hash, List, Set, Stream, StreamId, ValueType, ZSet};

    const COUNT: u64 = 5_000;

    fn steps(garbage: impl Release) -> usize {
        let mut count = 0;
        Box::new(garbage).release(&mut || count += 1);
        count
    }

    #[test]
    fn big_things_are_freed_in_many_steps() {
        let limits = EncodingLimits::default();
        let mut db = Db::default();
        let (mut list, mut hash) = (List::default(), Hash::default());
        let (mut set, mut zset) = (Set::default(), ZSet::default());
        let mut stream = Stream::default();
        for number in 0..COUNT {
            let text = format!("{number:08}-what there is to free");
            let bytes = text.as_bytes();
            db.insert_text(bytes, bytes, 0);
            list.push(End::Tail, &[bytes], &limits);
            hash.set(bytes, bytes, &limits);
            set.add(bytes, &limits);
            zset.add(bytes, number as f64, &limits);
            let id = StreamId { ms: number + 1, seq: 0 };
            let added = stream.append(id, &[bytes, bytes], &limits);
            assert!(added.is_ok());
        }
        let least = COUNT as usize / ALLOCATIONS;
        for value in [hash.into_value(), set.into_value(), zset.into_value()] {
            db.insert(value.as_ref().encoding().as_bytes(), value.as_ref().to_value(), 0);
            assert!(steps(value) >= least);
        }
        for value in [list.into_value(), stream.into_value()] {
            assert!(steps(value) > 10);
        }
        // Those of the entries, and of the values in them.
        assert!(steps(db) >= 3 * least);
        assert_eq!(steps(Whole(vec![0; 100])), 1);
    }
}
