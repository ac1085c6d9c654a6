//! What a command handler works with: the engine as one client's command sees it.
//!
//! Handlers reach keys only through here, because four things must happen around every access:
//! a key whose time is up is removed first, hits and misses are counted, a change breaks `WATCH`es
//! and wakes waiting clients, and a change is announced to listeners. The last three are one call,
//! [`Ctx::modified`], which a handler makes after it changed a key.

use crate::args::Args;
use crate::blocking::{Blocked, WaitKind};
use crate::config::NotifyFlags;
use crate::engine::Engine;
use crate::errors::{self, CommandError};
use crate::frequency;
use crate::owned_args::OwnedArgs;
use crate::session::{ClientSlot, Session};
use crate::table::CommandId;
use ahash::AHashSet;
use perilune_keyspace::{
    Bytes, EncodingLimits, KeyEntry, Rng, Value, ValueRef, ValueType, hash_bytes,
};
use perilune_resp::ReplyWriter;

/// One run of a command.
pub struct Ctx<'e> {
    /// Everything.
    pub engine: &'e mut Engine,
    /// Who runs it. [`ClientSlot::SCRIPT`] inside of a script.
    pub client: ClientSlot,
    /// The command.
    pub command: CommandId,
    db: usize,
}

/// Values that take more allocations than this are freed in the background where the
/// configuration allows it.
const LAZY_FREE_EFFORT: usize = 64;

/// Values that take more allocations than this are freed in the background whatever the
/// configuration says.
const FREE_HERE_EFFORT_MAX: usize = 16 * 1024;

impl<'e> Ctx<'e> {
    /// A context for a command of `client`.
    #[inline]
    pub fn new(engine: &'e mut Engine, client: ClientSlot, command: CommandId) -> Self {
        let db = engine.sessions.get(client).map_or(0, |session| session.db);
        Ctx { engine, client, command, db }
    }

    /// Index of the selected database.
    #[inline]
    pub fn db_index(&self) -> usize {
        self.db
    }

    /// Selects another database for this run only: `COPY ... DB`, `MOVE`. Does not change the
    /// session.
    pub fn with_db<R>(&mut self, db: usize, run: impl FnOnce(&mut Self) -> R) -> R {
        let before = std::mem::replace(&mut self.db, db);
        let result = run(self);
        self.db = before;
        result
    }

    /// Selects another database for the session (`SELECT`).
    pub fn select(&mut self, db: usize) {
        self.db = db;
        if let Some(session) = self.session() {
            session.db = db;
        }
    }

    /// The client's session. `None` only for a client that vanished.
    pub fn session(&mut self) -> Option<&mut Session> {
        self.engine.sessions.get_mut(self.client)
    }

    /// Unix time of the command, milliseconds. The same for all commands of a script.
    #[inline]
    pub fn now_ms(&self) -> i64 {
        self.engine.now_us / 1000
    }

    /// The encoding thresholds in force.
    #[inline]
    pub fn limits(&self) -> EncodingLimits {
        self.engine.limits
    }

    /// Random numbers for this command, which can be drawn while a value is borrowed.
    #[inline]
    pub fn fork_rng(&mut self) -> Rng {
        Rng::new(self.engine.rng.next_u64())
    }

    /// Whether the command runs inside of `EXEC` or a script and so must not wait.
    pub fn deny_blocking(&mut self) -> bool {
        self.client == ClientSlot::SCRIPT
            || self.engine.aof.is_replaying()
            || self.session().is_none_or(|session| session.in_exec)
    }

    /// Whether the command repeats what another server did and recorded as an effect.
    #[inline]
    pub fn repeats_record(&self) -> bool {
        self.engine.obeys_master()
    }

    // ---- looking up ------------------------------------------------------------------------

    /// Removes the key if its time is up, unless `CLIENT PAUSE` forbids changes. True when it was
    /// up: the key must then be treated as absent.
    #[inline]
    pub fn expire_if_needed(&mut self, key: &[u8]) -> bool {
        let any = self.engine.keyspace.db(self.db).volatile_len() > 0;
        any && self.expire_hashed(hash_bytes(key), key)
    }

    /// [`Ctx::expire_if_needed`] for a key whose hash the caller needs, too.
    #[inline]
    fn expire_hashed(&mut self, hash: u64, key: &[u8]) -> bool {
        let now_ms = self.now_ms();
        let db = self.engine.keyspace.db(self.db);
        let is_expired = |entry: &KeyEntry| entry.is_expired(now_ms);
        if db.volatile_len() == 0 || !db.get_hashed(hash, key).is_some_and(is_expired) {
            return false;
        }
        self.expire(key)
    }

    /// What becomes of a key whose time is up; see [`Ctx::expire_if_needed`].
    #[cold]
    fn expire(&mut self, key: &[u8]) -> bool {
        if self.engine.aof.is_replaying() {
            // What became of the key stands in the file.
            return false;
        }
        if self.engine.replication.is_replica() {
            // The master removes it. Its own commands were meant for the data as it is there.
            return !self.engine.obeys_master();
        }
        if !self.engine.pause_holds_expiry() {
            self.engine.expire_key(self.db, key);
        }
        true
    }

    /// The entry of a key, without counting the access or refreshing its age.
    #[inline]
    pub fn peek(&mut self, key: &[u8]) -> Option<&KeyEntry> {
        let hash = hash_bytes(key);
        if self.expire_hashed(hash, key) {
            return None;
        }
        self.engine.keyspace.db(self.db).get_hashed(hash, key)
    }

    /// Whether a key exists, without counting the access.
    #[inline]
    pub fn exists(&mut self, key: &[u8]) -> bool {
        self.peek(key).is_some()
    }

    /// The entry of a key for reading: counts hit or miss, refreshes the age.
    #[inline]
    pub fn read_entry(&mut self, key: &[u8]) -> Option<&KeyEntry> {
        let hash = hash_bytes(key);
        if self.expire_hashed(hash, key) {
            self.count_miss(key);
            return None;
        }
        let now_s = (self.engine.now_us / 1_000_000) as u32;
        let no_touch =
            self.engine.sessions.get(self.client).is_some_and(|session| session.no_touch);
        if self.engine.config.notify_keyspace_events.contains(NotifyFlags::KEY_MISS)
            && self.engine.keyspace.db(self.db).get(key).is_none()
        {
            self.notify(NotifyFlags::KEY_MISS, "keymiss", key);
        }
        let engine = &mut *self.engine;
        let entry = engine.keyspace.db_mut(self.db).get_accessed_hashed(hash, key, |entry| {
            if !no_touch {
                frequency::access(entry, now_s, &engine.config, &mut engine.rng);
            }
        });
        match entry {
            Some(_) => engine.stats.keyspace_hits += 1,
            None => engine.stats.keyspace_misses += 1,
        }
        entry
    }

    /// The entry of a key for commands that read about it and not its value: counts hit or miss,
    /// leaves its age alone.
    pub fn inspect(&mut self, key: &[u8]) -> Option<&KeyEntry> {
        if self.exists(key) {
            self.engine.stats.keyspace_hits += 1;
        } else {
            self.count_miss(key);
            return None;
        }
        self.engine.keyspace.db(self.db).get(key)
    }

    #[cold]
    fn count_miss(&mut self, key: &[u8]) {
        self.engine.stats.keyspace_misses += 1;
        self.notify(NotifyFlags::KEY_MISS, "keymiss", key);
    }

    /// The value of a key for reading.
    #[inline]
    pub fn read(&mut self, key: &[u8]) -> Option<ValueRef<'_>> {
        self.read_entry(key).map(KeyEntry::value)
    }

    /// The value of a key for reading as one type; another type is an error.
    #[inline]
    pub fn read_as<T: ValueType>(&mut self, key: &[u8]) -> Result<Option<&T>, CommandError> {
        match self.read(key) {
            None => Ok(None),
            Some(value) => T::of(value).map(Some).ok_or(errors::WRONG_TYPE),
        }
    }

    /// The entry of a key for writing its value. Counts nothing, refreshes the age. The caller says
    /// [`modified`](Self::modified) when it changed something.
    #[inline]
    pub fn write(&mut self, key: &[u8]) -> Option<&mut KeyEntry> {
        let hash = hash_bytes(key);
        if self.expire_hashed(hash, key) {
            if self.engine.replication.is_replica() && !self.engine.is_read_only() {
                self.engine.expire_key(self.db, key);
            }
            return None;
        }
        let now_s = (self.engine.now_us / 1_000_000) as u32;
        let engine = &mut *self.engine;
        let entry = engine.keyspace.db_mut(self.db).get_mut_hashed(hash, key)?;
        frequency::access(entry, now_s, &engine.config, &mut engine.rng);
        Some(entry)
    }

    /// The value of a key for writing as one type; another type is an error.
    #[inline]
    pub fn write_as<T: ValueType>(&mut self, key: &[u8]) -> Result<Option<&mut T>, CommandError> {
        match self.write(key) {
            None => Ok(None),
            Some(entry) => T::of_mut(entry).map(Some).ok_or(errors::WRONG_TYPE),
        }
    }

    /// The value of a key for writing as one type, made with `fresh` when there is none. The
    /// caller must put something into a fresh one: empty aggregates do not exist.
    #[inline]
    pub fn write_or_create<T: ValueType>(
        &mut self,
        key: &[u8],
        fresh: impl FnOnce() -> T,
    ) -> Result<&mut T, CommandError> {
        if self.write(key).is_none() {
            self.put(key, fresh().into_value());
        }
        // Just looked up or just put.
        self.write_as::<T>(key)?.ok_or(errors::NO_SUCH_KEY)
    }

    // ---- changing --------------------------------------------------------------------------

    /// Sets a key to a value, replacing value and time to live. Says nothing to anybody.
    pub fn put(&mut self, key: &[u8], value: Value) {
        let now_s = (self.engine.now_us / 1_000_000) as u32;
        let old = self.engine.keyspace.db_mut(self.db).insert(key, value, now_s);
        self.after_put(key, old, now_s);
    }

    /// [`put`](Self::put) of the string value of `text`.
    #[inline]
    pub fn put_text(&mut self, key: &[u8], text: &[u8]) {
        let now_s = (self.engine.now_us / 1_000_000) as u32;
        let old = self.engine.keyspace.db_mut(self.db).insert_text(key, text, now_s);
        self.after_put(key, old, now_s);
    }

    fn after_put(&mut self, key: &[u8], old: Option<KeyEntry>, now_s: u32) {
        if frequency::is_counted(&self.engine.config) {
            let before = old.as_ref().map(|old| old.access());
            let Engine { keyspace, config, rng, .. } = &mut *self.engine;
            keyspace.db_mut(self.db).get_accessed(key, |entry| {
                entry.set_access(frequency::placed(before, now_s, config, rng));
            });
        }
        match old {
            // What has no box is freed here in any case.
            Some(old) if old.value().is_string() => drop(old),
            Some(old) => {
                let lazy = self.engine.config.lazyfree_lazy_server_del;
                self.engine.dispose_value(old.into_value(), lazy);
            }
            None => self.notify(NotifyFlags::NEW, "new", key),
        }
    }

    /// Sets a key to a value and keeps its time to live.
    pub fn put_keeping_ttl(&mut self, key: &[u8], value: Value) {
        if let Some(entry) = self.write(key) {
            let old = entry.set_value(value);
            let lazy = self.engine.config.lazyfree_lazy_server_del;
            self.engine.dispose_value(old, lazy);
        } else {
            self.put(key, value);
        }
    }

    /// Removes a key and frees its value here, or in the background when `lazy`. Says nothing to
    /// anybody. False when there was none.
    pub fn remove(&mut self, key: &[u8], lazy: bool) -> bool {
        match self.engine.keyspace.db_mut(self.db).remove(key) {
            Some(entry) => {
                self.engine.dispose_value(entry.into_value(), lazy);
                true
            }
            None => false,
        }
    }

    /// Removes a key that has become empty, with its `del` event. Its own change must have been
    /// announced before.
    pub fn remove_emptied(&mut self, key: &[u8]) {
        if self.remove(key, false) {
            self.notify(NotifyFlags::GENERIC, "del", key);
        }
    }

    /// Sets or clears the deadline of a key (Unix milliseconds).
    pub fn set_expire(&mut self, key: &[u8], at: Option<i64>) -> bool {
        if at.is_some() && self.engine.replication.is_replica() && !self.engine.obeys_master() {
            self.engine.replication.own_volatile.insert((self.db, Bytes::new(key)));
        }
        self.engine.keyspace.db_mut(self.db).set_expire(key, at)
    }

    /// Says that a key was changed: breaks watches, wakes waiters, publishes the event, counts
    /// one change.
    #[inline]
    pub fn modified(&mut self, key: &[u8], class: NotifyFlags, event: &str) {
        self.touch(key);
        self.notify(class, event, key);
        self.engine.dirty += 1;
    }

    /// Like [`modified`](Self::modified) for a command that counts as several changes.
    #[inline]
    pub fn modified_times(&mut self, key: &[u8], class: NotifyFlags, event: &str, times: u64) {
        self.touch(key);
        self.notify(class, event, key);
        self.engine.dirty += times;
    }

    /// The part of [`modified`](Self::modified) that concerns watches and waiters.
    #[inline]
    pub fn touch(&mut self, key: &[u8]) {
        self.engine.touch_by(Some(self.client), self.db, key);
    }

    /// The part of [`touch`](Self::touch) that concerns watches: for changes that nobody waits for.
    pub fn break_watches(&mut self, key: &[u8]) {
        if !self.engine.watchers.is_empty() {
            self.engine.break_watches(self.db, key);
        }
    }

    /// Publishes a keyspace event if its class is switched on.
    #[inline]
    pub fn notify(&mut self, class: NotifyFlags, event: &str, key: &[u8]) {
        self.engine.notify(self.db, class, event, key);
    }

    /// Whether a key with this deadline is as good as removed. On a replica it is not: the master
    /// removes it; nor while a file is read back, which tells what became of it.
    pub fn ends_at_once(&self, deadline: i64) -> bool {
        deadline <= self.now_ms()
            && !self.engine.replication.is_replica()
            && !self.engine.aof.is_replaying()
    }

    // ---- waiting ---------------------------------------------------------------------------

    /// Makes the client wait until one of the keys is changed to hold what `kind` says, and then
    /// run the command again. Only where [`deny_blocking`](Self::deny_blocking) is false; the
    /// handler then returns without a reply. `timeout_ms` 0 waits forever.
    pub fn wait_for_keys(
        &mut self,
        kind: WaitKind,
        keys: &[&[u8]],
        timeout_ms: i64,
        argv: &[&[u8]],
    ) {
        let mut seen = AHashSet::with_capacity(keys.len());
        let distinct = keys.iter().filter(|key| seen.insert(**key)).map(|key| Bytes::new(key));
        let distinct: Vec<Bytes> = distinct.collect();
        let deadline_ms = (timeout_ms > 0).then(|| self.now_ms().saturating_add(timeout_ms));
        let argv = OwnedArgs::new(argv);
        let blocked = Blocked { kind, db: self.db, keys: distinct, deadline_ms, argv };
        self.engine.block(self.client, blocked);
    }
}

impl Ctx<'_> {
    /// [`wait_for_keys`](Self::wait_for_keys) where the client may wait, the null array where it
    /// must not.
    pub fn wait_or_null(
        &mut self,
        kind: WaitKind,
        keys: &[&[u8]],
        timeout_ms: i64,
        args: Args<'_>,
        out: &mut dyn ReplyWriter,
    ) -> Result<(), CommandError> {
        if self.deny_blocking() {
            out.null_array();
        } else {
            self.wait_for_keys(kind, keys, timeout_ms, args.all());
        }
        Ok(())
    }
}

impl Engine {
    /// Breaks watches of a key that nobody in particular changed, wakes who waits for it, and
    /// tells who may hold a copy.
    #[inline]
    pub fn touch(&mut self, db: usize, key: &[u8]) {
        self.touch_by(None, db, key);
    }

    /// [`touch`](Self::touch) for a change that a client made.
    #[inline]
    pub fn touch_by(&mut self, changer: Option<ClientSlot>, db: usize, key: &[u8]) {
        self.invalidate(key, changer);
        if !self.watchers.is_empty() {
            self.break_watches(db, key);
        }
        self.waiters.key_changed(db, key);
    }

    fn break_watches(&mut self, db: usize, key: &[u8]) {
        let Some(clients) = self.watchers.get(&(db, Bytes::new(key))) else { return };
        for client in clients.clone() {
            if let Some(session) = self.sessions.get_mut(client) {
                session.watch_broken = true;
            }
        }
    }

    /// Breaks watches of a key that is removed because its time is up. For a client that found it
    /// past its time already when it began to watch, nothing changes.
    fn break_watches_of_expired(&mut self, db: usize, key: &[u8]) {
        let Some(clients) = self.watchers.get(&(db, Bytes::new(key))) else { return };
        for client in clients {
            let Some(session) = self.sessions.get_mut(*client) else { continue };
            let watched = session.watched.iter_mut().find(|w| w.db == db && *w.key == *key);
            match watched {
                Some(watched) if watched.expired => watched.expired = false,
                _ => session.watch_broken = true,
            }
        }
    }

    /// Publishes a keyspace event if its class is switched on.
    #[inline]
    pub fn notify(&mut self, db: usize, class: NotifyFlags, event: &str, key: &[u8]) {
        if self.config.notify_keyspace_events.intersects(class) {
            self.publish_event(db, event, key);
        }
    }

    #[cold]
    fn publish_event(&mut self, db: usize, event: &str, key: &[u8]) {
        let switches = self.config.notify_keyspace_events;
        if switches.contains(NotifyFlags::KEYSPACE) {
            let mut channel = format!("__keyspace@{db}__:").into_bytes();
            channel.extend_from_slice(key);
            self.publish(&channel, event.as_bytes(), false);
        }
        if switches.contains(NotifyFlags::KEYEVENT) {
            let channel = format!("__keyevent@{db}__:{event}");
            self.publish(channel.as_bytes(), key, false);
        }
    }

    /// Removes a key whose time is up, with its event.
    #[cold]
    pub fn expire_key(&mut self, db: usize, key: &[u8]) {
        if let Some(entry) = self.keyspace.db_mut(db).remove(key) {
            let lazy = self.config.lazyfree_lazy_expire;
            self.dispose_value(entry.into_value(), lazy);
            self.stats.expired_keys += 1;
            self.break_watches_of_expired(db, key);
            self.waiters.key_changed(db, key);
            self.invalidate(key, None);
            self.notify(db, NotifyFlags::EXPIRED, "expired", key);
            self.propagate_deletion(db, key, lazy);
        }
    }

    /// Frees a value: a big one in the background when `lazy`, a huge one there in any case, because
    /// freeing it here would hold up everybody.
    #[inline]
    pub fn dispose_value(&mut self, value: Value, lazy: bool) {
        if lazy && value.free_effort() > LAZY_FREE_EFFORT {
            self.stats.lazy_freed += 1;
            self.env.dispose(Box::new(value));
        } else if value.free_effort() > FREE_HERE_EFFORT_MAX {
            self.env.dispose(Box::new(value));
        }
    }

    /// Whether a watched key was changed, or has expired since it was watched.
    pub(crate) fn watch_is_broken(&self, client: ClientSlot) -> bool {
        let Some(session) = self.sessions.get(client) else { return true };
        let now_ms = self.now_ms();
        session.watch_broken
            || session.watched.iter().any(|watched| {
                let entry = self.keyspace.db(watched.db).get(&watched.key);
                !watched.expired && entry.is_some_and(|entry| entry.is_expired(now_ms))
            })
    }

    /// Lets go of all keys a client watches.
    pub(crate) fn unwatch_all(&mut self, client: ClientSlot) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        session.watch_broken = false;
        for watched in std::mem::take(&mut session.watched) {
            let at = (watched.db, watched.key);
            if let Some(clients) = self.watchers.get_mut(&at) {
                clients.retain(|other| *other != client);
                if clients.is_empty() {
                    self.watchers.remove(&at);
                }
            }
        }
    }
}
