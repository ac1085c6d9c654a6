//! All databases of a server, and the walk over them that makes a snapshot.
//!
//! A snapshot belongs to the databases that were there when it began, wherever they are now:
//! `SWAPDB` moves them, and one that is emptied before all of it was handed over is kept aside until
//! it was.

use crate::db::Db;
use crate::preserve::SharedSink;
use std::sync::Arc;

/// What a step of a snapshot came to.
pub enum Step {
    /// There are more.
    More,
    /// A database that is in use no longer was handed over completely; it can be dropped.
    Replaced(Db),
    /// Everything was handed over.
    Done,
}

/// All databases of a server.
pub struct Keyspace {
    dbs: Vec<Db>,
    /// Databases that were emptied or replaced before a snapshot had all of them.
    replaced: Vec<Db>,
    /// Databases before this one are not looked at by the next step of a snapshot.
    preserved: usize,
}

impl Keyspace {
    /// `count` empty databases, at least one.
    pub fn new(count: usize) -> Self {
        let dbs = (0..count.max(1)).map(|_| Db::default()).collect();
        Keyspace { dbs, replaced: Vec::new(), preserved: 0 }
    }

    /// Number of databases.
    pub fn count(&self) -> usize {
        self.dbs.len()
    }

    /// The database at `index`, which must be below [`count`](Self::count); sessions only ever
    /// select such.
    #[inline]
    pub fn db(&self, index: usize) -> &Db {
        &self.dbs[index]
    }

    /// The database at `index`, to change.
    #[inline]
    pub fn db_mut(&mut self, index: usize) -> &mut Db {
        &mut self.dbs[index]
    }

    /// All databases with their indices.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Db)> {
        self.dbs.iter().enumerate()
    }

    /// Lets the tables of all databases grow as they like; see [`Db::limit_growth`].
    pub fn unlimit_growth(&mut self) {
        self.dbs.iter_mut().for_each(|db| db.limit_growth(None));
    }

    /// Exchanges the content of two databases.
    pub fn swap(&mut self, a: usize, b: usize) {
        self.dbs.swap(a, b);
        self.preserved = 0;
    }

    /// Empties a database and returns what was in it, to be dropped wherever it suits. A database
    /// that a snapshot still needs stays here until [`preserve_step`](Self::preserve_step) returns
    /// it, and an empty one is returned in its place.
    pub fn take(&mut self, index: usize) -> Db {
        let taken = std::mem::take(&mut self.dbs[index]);
        if taken.is_preserving() {
            self.replaced.push(taken);
            return Db::default();
        }
        taken
    }

    /// Takes over all databases of another keyspace with as many, which no snapshot is made of.
    /// Returns those that were here as [`take`](Self::take) does.
    pub fn replace(&mut self, other: Keyspace) -> Vec<Db> {
        let taken = (0..self.dbs.len()).map(|index| self.take(index)).collect();
        for (db, other) in self.dbs.iter_mut().zip(other.dbs) {
            *db = other;
        }
        taken
    }

    /// Begins a snapshot: every entry goes to `sink` as it is now, on one of the next
    /// [steps](Self::preserve_step) or before it changes. One that was under way is given up.
    pub fn preserve(&mut self, sink: &SharedSink) {
        self.stop_preserving();
        for (home, db) in self.dbs.iter_mut().enumerate() {
            db.preserve_all(home, Arc::clone(sink));
        }
    }

    /// Goes on with a snapshot by one bucket of a table.
    pub fn preserve_step(&mut self) -> Step {
        while let Some(db) = self.dbs.get_mut(self.preserved) {
            if db.preserve_step() {
                return Step::More;
            }
            self.preserved += 1;
        }
        let Some(db) = self.replaced.last_mut() else { return Step::Done };
        if db.preserve_step() {
            return Step::More;
        }
        self.replaced.pop().map_or(Step::Done, Step::Replaced)
    }

    /// Gives a snapshot up. Returns the databases that were kept for it.
    pub fn stop_preserving(&mut self) -> Vec<Db> {
        self.dbs.iter_mut().for_each(Db::stop_preserving);
        self.preserved = 0;
        std::mem::take(&mut self.replaced)
    }
}
