//! Clients that wait: for a key to get something to pop, or for a pause to end.
//!
//! A blocking command tries, and if there is nothing it leaves itself here: its arguments and the
//! keys it waits for. When one of these keys is changed by anybody, the command simply runs again
//! after the command (transaction, script) that changed it, in the order in which the clients came.
//! So there is one implementation of every blocking command, not a second one for waking up.
//!
//! Invariant: a client is in `waiters[key]` for exactly the keys of its [`Blocked`] state.

use crate::owned_args::OwnedArgs;
use crate::session::ClientSlot;
use ahash::AHashMap;
use perilune_keyspace::Bytes;
use perilune_resp::ReplyWriter;
use std::collections::VecDeque;

/// What a waiting client waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitKind {
    /// A list to pop from.
    List,
    /// A sorted set to pop from.
    SortedSet,
    /// A stream to read from.
    Stream,
    /// A stream to read from as a member of a group, or to be told that there is no such group.
    Group,
    /// The end of `CLIENT PAUSE`.
    Pause,
    /// Replicas to confirm writes (`WAIT`).
    Replicas,
    /// Disks to have what the client changed (`WAITAOF`).
    Fsync,
    /// The end of the server (`SHUTDOWN`), which closes the connection.
    Exit,
}

impl WaitKind {
    /// What a client gets that has waited in vain, or for replicas, of which so many confirmed.
    pub(crate) fn reply_timeout(self, confirmed: usize, out: &mut dyn ReplyWriter) {
        match self {
            WaitKind::Replicas => out.int(confirmed as i64),
            WaitKind::List
            | WaitKind::SortedSet
            | WaitKind::Stream
            | WaitKind::Group
            | WaitKind::Pause
            | WaitKind::Fsync
            | WaitKind::Exit => out.null_array(),
        }
    }
}

/// How a client that waits too long, or is unblocked, is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnblockReason {
    /// Its time is up, or `CLIENT UNBLOCK ... TIMEOUT`.
    Timeout,
    /// `CLIENT UNBLOCK ... ERROR`.
    Error,
    /// The server begins to follow a master.
    NewRole,
}

/// State of a waiting client.
#[derive(Debug)]
pub struct Blocked {
    /// What it waits for.
    pub kind: WaitKind,
    /// Database of the keys.
    pub db: usize,
    /// The keys, without doubles.
    pub keys: Vec<Bytes>,
    /// Unix time in milliseconds when it gives up; none: never.
    pub deadline_ms: Option<i64>,
    /// The command.
    pub argv: OwnedArgs,
}

/// The clients that wait for one key, first come first.
#[derive(Debug, Default)]
struct Queue {
    clients: VecDeque<ClientSlot>,
    /// How many of them wait as members of a group, and so want to know when the key goes away.
    members: usize,
    /// The key was changed and stands in `ready`.
    noted: bool,
}

/// Who waits for which key, and which keys were changed meanwhile.
#[derive(Debug, Default)]
pub struct Waiters {
    by_key: AHashMap<(usize, Bytes), Queue>,
    ready: Vec<(usize, Bytes)>,
    clients: usize,
}

impl Waiters {
    /// Whether nobody waits for any key.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Number of clients that wait for keys.
    pub fn clients(&self) -> usize {
        self.clients
    }

    /// Number of keys somebody waits for.
    pub fn keys(&self) -> usize {
        self.by_key.len()
    }

    /// Number of keys somebody waits for who wants to know when they go away.
    pub fn keys_with_members(&self) -> usize {
        self.by_key.values().filter(|queue| queue.members > 0).count()
    }

    /// Whether somebody who waits for a key wants to know when it goes away.
    pub fn has_members(&self, at: &(usize, Bytes)) -> bool {
        self.by_key.get(at).is_some_and(|queue| queue.members > 0)
    }

    /// Adds a client behind those who wait for the same keys already.
    pub fn add(&mut self, client: ClientSlot, blocked: &Blocked) {
        self.clients += 1;
        for key in &blocked.keys {
            let queue = self.by_key.entry((blocked.db, key.clone())).or_default();
            queue.clients.push_back(client);
            queue.members += usize::from(blocked.kind == WaitKind::Group);
        }
    }

    /// Takes a client out.
    pub fn remove(&mut self, client: ClientSlot, blocked: &Blocked) {
        self.clients = self.clients.saturating_sub(1);
        for key in &blocked.keys {
            let at = (blocked.db, key.clone());
            if let Some(queue) = self.by_key.get_mut(&at) {
                // Mostly the first, which is the one that is served.
                if let Some(place) = queue.clients.iter().position(|other| *other == client) {
                    queue.clients.remove(place);
                    queue.members -= usize::from(blocked.kind == WaitKind::Group);
                }
                if queue.clients.is_empty() {
                    self.by_key.remove(&at);
                }
            }
        }
    }

    /// Notes that a key was changed. Cheap when nobody waits.
    #[inline]
    pub fn key_changed(&mut self, db: usize, key: &[u8]) {
        if !self.by_key.is_empty() {
            self.note_ready(db, key);
        }
    }

    fn note_ready(&mut self, db: usize, key: &[u8]) {
        let at = (db, Bytes::new(key));
        if let Some(queue) = self.by_key.get_mut(&at)
            && !std::mem::replace(&mut queue.noted, true)
        {
            self.ready.push(at);
        }
    }

    /// Notes that all keys of a database may have changed (`SWAPDB`).
    pub fn db_changed(&mut self, db: usize) {
        for (at, queue) in self.by_key.iter_mut().filter(|(at, _)| at.0 == db) {
            if !std::mem::replace(&mut queue.noted, true) {
                self.ready.push(at.clone());
            }
        }
    }

    /// The keys changed since the last call.
    pub fn take_ready(&mut self) -> Vec<(usize, Bytes)> {
        let ready = std::mem::take(&mut self.ready);
        for at in &ready {
            if let Some(queue) = self.by_key.get_mut(at) {
                queue.noted = false;
            }
        }
        ready
    }

    /// Who waits for a key, first come first.
    pub fn waiting_for(&self, at: &(usize, Bytes)) -> Vec<ClientSlot> {
        self.by_key.get(at).map(|queue| queue.clients.iter().copied().collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocked(keys: &[&[u8]]) -> Blocked {
        let keys = keys.iter().map(|key| Bytes::new(key)).collect();
        Blocked { kind: WaitKind::List, db: 0, keys, deadline_ms: None, argv: OwnedArgs::default() }
    }

    #[test]
    fn a_changed_key_is_told_once_until_it_changes_again() {
        let (mut waiters, first, second) = (Waiters::default(), ClientSlot(1), ClientSlot(2));
        waiters.add(first, &blocked(&[b"a", b"b"]));
        waiters.add(second, &blocked(&[b"a"]));
        let a = (0, Bytes::new(b"a"));
        waiters.key_changed(0, b"a");
        waiters.key_changed(0, b"a");
        waiters.key_changed(1, b"a");
        waiters.key_changed(0, b"c");
        assert_eq!(waiters.take_ready(), std::slice::from_ref(&a));
        assert_eq!(waiters.take_ready(), []);
        assert_eq!(waiters.waiting_for(&a), [first, second]);
        waiters.remove(first, &blocked(&[b"a", b"b"]));
        waiters.db_changed(0);
        waiters.key_changed(0, b"a");
        assert_eq!(waiters.take_ready(), std::slice::from_ref(&a));
        assert_eq!((waiters.waiting_for(&a), waiters.keys()), (vec![second], 1));
    }
}
