//! Databases as they were at one moment, while they go on changing.
//!
//! ```text
//! epoch of the database   5            the snapshot begins: 6
//! epochs of entries       5 5 5 5      handed over or made since: 6 5 6 5
//! ```
//!
//! Beginning a snapshot makes every entry one of an earlier epoch. A walk over the table hands over
//! entries of earlier epochs and brings them into the present one; whoever wants to change or
//! remove an entry of an earlier epoch hands it over first, and a new entry is born in the present
//! epoch. So every entry is handed over once, as it was when the snapshot began.
//!
//! Invariant: when nothing is being preserved after a walk that was completed, all entries have
//! the epoch of their database; entries of a walk that was given up have one of the
//! `epochs_in_use` last ones.
//!
//! What is absent: the format of a snapshot, and where it goes.

use crate::KeyEntry;
use crate::hashtable::HashTable;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Takes entries as they were when a snapshot began, in no order, each once.
pub trait EntrySink: Send {
    /// An entry of the database that had this index then.
    fn entry(&mut self, db: usize, entry: &KeyEntry);

    /// The same for an entry whose turn has not come, because it is about to change.
    fn changing_entry(&mut self, db: usize, entry: &KeyEntry) {
        self.entry(db, entry);
    }
}

/// A sink for the walk and for those who are about to change something.
pub type SharedSink = Arc<Mutex<dyn EntrySink>>;

/// A database's part of a snapshot.
pub(crate) struct Preserving {
    home: usize,
    sink: SharedSink,
    cursor: u64,
}

impl Preserving {
    pub(crate) fn new(home: usize, sink: SharedSink) -> Self {
        Preserving { home, sink, cursor: 0 }
    }

    /// Hands over the entry unless that was done.
    #[inline]
    pub(crate) fn preserve(&self, epoch: u8, entry: &KeyEntry) {
        if entry.enter_epoch(epoch) {
            self.hand_over(entry);
        }
    }

    #[cold]
    fn hand_over(&self, entry: &KeyEntry) {
        lock(&self.sink).changing_entry(self.home, entry);
    }

    /// Hands over the next bucket. False at the end.
    pub(crate) fn walk(&mut self, epoch: u8, table: &HashTable<KeyEntry>) -> bool {
        let mut sink = lock(&self.sink);
        // The entries of a bucket are all looked at before the first one is handed over: so their
        // memory is fetched at once, and not one after the other with much work in between.
        let mut due = Vec::new();
        self.cursor = table.scan(self.cursor, &mut |entry| {
            if entry.enter_epoch(epoch) {
                due.push(entry);
            }
        });
        due.into_iter().for_each(|entry| sink.entry(self.home, entry));
        self.cursor != 0
    }
}

fn lock(sink: &SharedSink) -> MutexGuard<'_, dyn EntrySink + 'static> {
    sink.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Keyspace, Step, Value};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Database and name.
    type Place = (usize, Vec<u8>);
    /// Value and deadline.
    type What = (Vec<u8>, Option<i64>);
    type Content = BTreeMap<Place, What>;

    #[derive(Default)]
    struct Collector(Content);

    impl EntrySink for Collector {
        fn entry(&mut self, db: usize, entry: &KeyEntry) {
            let (at, what) = describe(db, entry);
            assert!(self.0.insert(at, what).is_none(), "an entry was handed over twice");
        }
    }

    fn describe(db: usize, entry: &KeyEntry) -> (Place, What) {
        let value = entry.value().as_string().unwrap_or_default().into_owned();
        ((db, entry.name().to_vec()), (value, entry.expire_at()))
    }

    fn content(keyspace: &Keyspace) -> Content {
        let entries = keyspace.iter().flat_map(|(index, db)| db.iter().map(move |e| (index, e)));
        entries.map(|(index, entry)| describe(index, entry)).collect()
    }

    #[derive(Debug, Clone)]
    enum Op {
        Put(usize, u8, u8),
        Change(usize, u8, u8),
        Access(usize, u8),
        Remove(usize, u8),
        Expire(usize, u8, Option<u8>),
        Rename(usize, u8, usize, u8),
        Swap(usize, usize),
        Empty(usize),
        Rehash,
        Begin,
        Steps(u8),
        GiveUp,
    }

    const DBS: usize = 3;

    fn op() -> impl Strategy<Value = Op> {
        let db = || 0..DBS;
        prop_oneof![
            6 => (db(), any::<u8>(), any::<u8>()).prop_map(|(db, key, to)| Op::Put(db, key, to)),
            4 => (db(), any::<u8>(), any::<u8>()).prop_map(|(db, key, to)| Op::Change(db, key, to)),
            1 => (db(), any::<u8>()).prop_map(|(db, key)| Op::Access(db, key)),
            4 => (db(), any::<u8>()).prop_map(|(db, key)| Op::Remove(db, key)),
            2 => (db(), any::<u8>(), any::<Option<u8>>())
                .prop_map(|(db, key, at)| Op::Expire(db, key, at)),
            2 => (db(), any::<u8>(), db(), any::<u8>())
                .prop_map(|(db, key, to, name)| Op::Rename(db, key, to, name)),
            1 => (db(), db()).prop_map(|(a, b)| Op::Swap(a, b)),
            1 => db().prop_map(Op::Empty),
            1 => Just(Op::Rehash),
            1 => Just(Op::Begin),
            4 => any::<u8>().prop_map(|count| Op::Steps(count % 8)),
            1 => Just(Op::GiveUp),
        ]
    }

    fn apply(keyspace: &mut Keyspace, op: &Op) {
        match *op {
            Op::Put(db, key, to) => {
                keyspace.db_mut(db).insert(&[key], Value::string(&[to]), 0);
            }
            Op::Change(db, key, to) => {
                if let Some(entry) = keyspace.db_mut(db).get_mut(&[key]) {
                    entry.set_value(Value::string(&[to]));
                }
            }
            Op::Access(db, key) => {
                keyspace.db_mut(db).get_accessed(&[key], |entry| {
                    entry.set_access(entry.access() + 1);
                });
            }
            Op::Remove(db, key) => drop(keyspace.db_mut(db).remove(&[key])),
            Op::Expire(db, key, at) => {
                keyspace.db_mut(db).set_expire(&[key], at.map(i64::from));
            }
            Op::Rename(db, key, to, name) => {
                if let Some(entry) = keyspace.db_mut(db).remove(&[key]) {
                    keyspace.db_mut(to).insert(&[name], entry.into_value(), 0);
                }
            }
            Op::Swap(a, b) => keyspace.swap(a, b),
            Op::Empty(db) => drop(keyspace.take(db)),
            Op::Rehash => drop(keyspace.db_mut(0).rehash_step(4)),
            Op::Begin | Op::Steps(_) | Op::GiveUp => {}
        }
    }

    fn steps(keyspace: &mut Keyspace, count: usize) -> bool {
        (0..count).any(|_| matches!(keyspace.preserve_step(), Step::Done))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn a_snapshot_is_of_one_moment(ops in prop::collection::vec(op(), 0..400)) {
            let mut keyspace = Keyspace::new(DBS);
            let mut running: Option<(Arc<Mutex<Collector>>, Content)> = None;
            for op in ops {
                apply(&mut keyspace, &op);
                match op {
                    Op::Begin => {
                        let collector = Arc::new(Mutex::new(Collector::default()));
                        running = Some((Arc::clone(&collector), content(&keyspace)));
                        let sink: SharedSink = collector;
                        keyspace.preserve(&sink);
                    }
                    Op::GiveUp => {
                        keyspace.stop_preserving();
                        running = None;
                    }
                    Op::Steps(count) if steps(&mut keyspace, count.into()) => {
                        if let Some((collector, expected)) = running.take() {
                            prop_assert_eq!(&collector.lock().expect("whole").0, &expected);
                            keyspace.stop_preserving();
                        }
                    }
                    _ => {}
                }
            }
            if let Some((collector, expected)) = running {
                steps(&mut keyspace, usize::MAX);
                prop_assert_eq!(&collector.lock().expect("whole").0, &expected);
            }
        }
    }

    #[test]
    fn many_snapshots_that_are_given_up_do_not_wear_the_epochs_out() {
        let mut keyspace = Keyspace::new(1);
        for key in 0..200u8 {
            keyspace.db_mut(0).insert(&[key], Value::Int(0), 0);
        }
        for round in 0..600usize {
            let collector = Arc::new(Mutex::new(Collector::default()));
            let sink: SharedSink = Arc::clone(&collector) as _;
            keyspace.preserve(&sink);
            steps(&mut keyspace, round % 7);
            if round % 255 == 254 {
                steps(&mut keyspace, usize::MAX);
                assert_eq!(collector.lock().expect("whole").0.len(), 200, "{round}");
            }
        }
    }
}
