//! Client-side caching: which client may hold which key, and who wants to hear of which prefix.
//!
//! ```text
//! keys       key -> ids of the clients that read it            CLIENT TRACKING ON
//! prefixes   prefix -> ids of its clients,                     CLIENT TRACKING ON BCAST
//!                      keys changed since the last message -> who changed them last
//! lengths    length of a prefix -> number of prefixes that long
//! changed    prefixes with changed keys
//! ```
//!
//! A read enters the client at the key; a change takes the key out of the table and tells its
//! clients. A change is looked up in the prefix index once for every *length* of a prefix there is,
//! so ten thousand prefixes of a few lengths cost a few look-ups; their messages are gathered and
//! sent when a batch of commands or a tick of the timer ends.
//!
//! The table holds ids and not slots: a client that is gone, or has stopped tracking, leaves its ids
//! behind, which are found to mean nobody when their key changes. That makes leaving cheap.
//!
//! Invariants:
//! - `items` is the number of ids in `keys`; an entry of `keys` has at least one id, in order.
//! - a prefix is in `prefixes` exactly while it has a client, and then stands in the prefixes of that
//!   client's [`ClientTracking`]; `lengths` counts exactly these prefixes.
//! - `changed` holds exactly the prefixes whose `keys` are not empty.
//! - `clients` is the number of sessions with a [`ClientTracking`].
//!
//! Messages never stand inside of a reply: those for the client whose command runs wait in its
//! outbox, which is sent behind the reply. What eviction has to say before the command is sent
//! before its reply, because it concerns what the client knew before.

use crate::args::Args;
use crate::engine::Engine;
use crate::keys::key_positions;
use crate::session::ClientSlot;
use crate::spec::CommandFlags;
use crate::table::CommandId;
use perilune_keyspace::{Bytes, Entry, HashTable, Rng, Slim, Whole};
use perilune_resp::{Protocol, ReplyWriter};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};

/// The channel that RESP2 clients hear of invalidations on.
const CHANNEL: &[u8] = b"__redis__:invalidate";
/// Keys taken out of a table that is too large before one command; more every time it still is.
const LIMIT_EFFORT: usize = 100;
/// A table of this many keys or fewer is freed on the spot.
const FREE_HERE_MAX: usize = 64;

/// Ids of clients, ascending.
type Ids = SmallVec<[u64; 2]>;

/// A key that some client may hold.
struct TrackedKey {
    key: Bytes,
    ids: Ids,
}

impl Entry for TrackedKey {
    fn key(&self) -> &[u8] {
        &self.key
    }
}

/// [`TrackedKey`] as the table has it.
type Tracked = Slim<Box<TrackedKey>>;

/// A prefix that some client wants to hear of.
#[derive(Default)]
struct Prefix {
    clients: BTreeSet<u64>,
    /// Changed keys, with the id of the client that changed them last; 0 is nobody.
    keys: BTreeMap<Bytes, u64>,
}

/// Which keys a client hears of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrackingMode {
    /// All that it reads.
    Default,
    /// Those it reads right after `CLIENT CACHING YES`.
    OptIn,
    /// Those it reads, but not right after `CLIENT CACHING NO`.
    OptOut,
    /// Those with one of its prefixes, read or not.
    Broadcast,
}

/// A client under `CLIENT TRACKING`.
#[derive(Debug)]
pub struct ClientTracking {
    /// Which keys it hears of.
    pub mode: TrackingMode,
    /// Does not hear of its own changes.
    pub noloop: bool,
    /// Id of the client that gets the messages, 0 for itself.
    pub redirect: u64,
    /// That client was found to be gone.
    pub broken: bool,
    /// `CLIENT CACHING` was given for the next command.
    pub caching: bool,
    /// What it hears of in [`TrackingMode::Broadcast`].
    pub prefixes: BTreeSet<Bytes>,
}

impl ClientTracking {
    /// Whether what the client reads now is entered in the table.
    fn remembers(&self) -> bool {
        match self.mode {
            TrackingMode::Default => true,
            TrackingMode::OptIn => self.caching,
            TrackingMode::OptOut => !self.caching,
            TrackingMode::Broadcast => false,
        }
    }
}

/// What [`Engine::start_tracking`] is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrackingRequest<'a> {
    pub(crate) mode: TrackingMode,
    pub(crate) noloop: bool,
    pub(crate) redirect: u64,
    pub(crate) prefixes: &'a [&'a [u8]],
}

/// A message that is due: who gets it, and the changed keys with who changed them.
type Broadcast = (BTreeSet<u64>, BTreeMap<Bytes, u64>);

/// All that the server knows about its clients' caches.
#[derive(Default)]
pub struct Tracking {
    keys: HashTable<Tracked>,
    items: usize,
    prefixes: BTreeMap<Bytes, Prefix>,
    lengths: BTreeMap<usize, usize>,
    changed: BTreeSet<Bytes>,
    clients: usize,
    /// How many times in a row the table was found too large.
    over_limit: usize,
}

impl Tracking {
    /// Number of clients under tracking.
    pub fn clients(&self) -> usize {
        self.clients
    }

    /// Number of keys some client may hold.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Number of pairs of a client and a key it may hold.
    pub fn items(&self) -> usize {
        self.items
    }

    /// Number of prefixes some client wants to hear of.
    pub fn prefixes(&self) -> usize {
        self.prefixes.len()
    }

    /// Whether a change of a key concerns nobody.
    #[inline]
    fn is_idle(&self) -> bool {
        self.keys.is_empty() && self.prefixes.is_empty()
    }

    /// Whether messages were gathered that are not sent yet.
    #[inline]
    pub(crate) fn has_broadcasts(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Enters that a client may hold a key.
    fn remember(&mut self, key: &[u8], id: u64) {
        let make = || Box::new(TrackedKey { key: Bytes::new(key), ids: Ids::new() }).into();
        let ids = &mut self.keys.get_or_insert_with(key, make).0.ids;
        if let Err(at) = ids.binary_search(&id) {
            ids.insert(at, id);
            self.items += 1;
        }
    }

    /// Takes a key out of the table. Returns who may hold it.
    fn forget(&mut self, key: &[u8]) -> Ids {
        let removed = self.keys.remove(key);
        self.count_out(removed).map_or_else(Ids::new, |entry| entry.into_inner().ids)
    }

    /// Takes any key out of the table.
    fn forget_any(&mut self, rng: &mut Rng) -> Option<Tracked> {
        let removed = self.keys.pop_random(rng);
        self.count_out(removed)
    }

    fn count_out(&mut self, removed: Option<Tracked>) -> Option<Tracked> {
        self.items -= removed.as_ref().map_or(0, |entry| entry.ids.len());
        removed
    }

    fn add_prefix(&mut self, prefix: &Bytes, id: u64) {
        let known = self.prefixes.entry(prefix.clone()).or_insert_with(|| {
            *self.lengths.entry(prefix.len()).or_default() += 1;
            Prefix::default()
        });
        known.clients.insert(id);
    }

    fn remove_prefix(&mut self, prefix: &Bytes, id: u64) {
        let Some(known) = self.prefixes.get_mut(prefix) else { return };
        known.clients.remove(&id);
        if !known.clients.is_empty() {
            return;
        }
        self.prefixes.remove(prefix);
        self.changed.remove(prefix);
        if let Some(count) = self.lengths.get_mut(&prefix.len()) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&prefix.len());
            }
        }
    }

    /// Notes a change for the messages to the clients of the key's prefixes.
    fn note_change(&mut self, key: &[u8], changer: u64) {
        for (&len, _) in self.lengths.range(..=key.len()) {
            let Some(prefix) = self.prefixes.get_mut(&key[..len]) else { continue };
            if prefix.keys.is_empty() {
                self.changed.insert(Bytes::new(&key[..len]));
            }
            prefix.keys.insert(Bytes::new(key), changer);
        }
    }

    /// The messages that are due, in the order of their prefixes.
    fn take_broadcasts(&mut self) -> Vec<Broadcast> {
        let changed = std::mem::take(&mut self.changed);
        let due = changed.iter().filter_map(|name| {
            let prefix = self.prefixes.get_mut(name)?;
            Some((prefix.clients.clone(), std::mem::take(&mut prefix.keys)))
        });
        due.collect()
    }

    /// How many keys the table has to lose before the next command, when `max` are allowed. The
    /// longer it has been too large, the more.
    fn surplus(&mut self, max: usize) -> usize {
        let surplus = match max {
            0 => 0,
            max => self.keys.len().saturating_sub(max),
        };
        if surplus == 0 {
            self.over_limit = 0;
            return 0;
        }
        self.over_limit += 1;
        let effort = LIMIT_EFFORT.saturating_mul(self.over_limit);
        if surplus <= effort {
            self.over_limit = 0;
        }
        surplus.min(effort)
    }
}

impl Engine {
    /// Puts a client under tracking, or changes how it is. The prefixes are added to those it has.
    pub(crate) fn start_tracking(&mut self, client: ClientSlot, request: TrackingRequest<'_>) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        let before = session.tracking.take();
        self.tracking.clients += usize::from(before.is_none());
        let (caching, mut prefixes) = match before {
            Some(before) => (before.caching, before.prefixes),
            None => Default::default(),
        };
        if request.mode == TrackingMode::Broadcast {
            let all: &[&[u8]] = &[b""];
            let wanted = if request.prefixes.is_empty() { all } else { request.prefixes };
            for prefix in wanted {
                let prefix = Bytes::new(prefix);
                self.tracking.add_prefix(&prefix, session.id);
                prefixes.insert(prefix);
            }
        }
        let TrackingRequest { mode, noloop, redirect, .. } = request;
        let state = ClientTracking { mode, noloop, redirect, broken: false, caching, prefixes };
        session.tracking = Some(Box::new(state));
    }

    /// Takes a client out of tracking.
    pub(crate) fn stop_tracking(&mut self, client: ClientSlot) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        let Some(state) = session.tracking.take() else { return };
        self.tracking.clients -= 1;
        for prefix in &state.prefixes {
            self.tracking.remove_prefix(prefix, session.id);
        }
    }

    /// Enters the keys of a reading command for the client that runs it, itself or by a script.
    #[inline]
    pub(crate) fn remember_reads(&mut self, id: CommandId, args: Args<'_>) {
        if self.tracking.clients > 0 && self.commands.get(id).flags.contains(CommandFlags::READONLY)
        {
            self.remember_keys(id, args);
        }
    }

    #[cold]
    fn remember_keys(&mut self, id: CommandId, args: Args<'_>) {
        let command = self.commands.get(id);
        // Of a script, what its commands read is entered and not what it was given.
        let runs_script = matches!(command.full_name, "eval_ro" | "evalsha_ro" | "fcall_ro");
        if runs_script || command.flags.contains(CommandFlags::PUBSUB) {
            return;
        }
        let reader = self.current_client.and_then(|client| self.sessions.get(client));
        let Some(session) = reader else { return };
        if session.tracking.as_ref().is_some_and(|state| state.remembers()) {
            for position in key_positions(command.spec, args) {
                if let Some(key) = args.get(position.index) {
                    self.tracking.remember(key, session.id);
                }
            }
        }
    }

    /// Ends the effect of `CLIENT CACHING` with the command behind it.
    #[inline]
    pub(crate) fn end_caching(&mut self, client: ClientSlot) {
        if self.tracking.clients == 0 {
            return;
        }
        let Some(session) = self.sessions.get_mut(client) else { return };
        if session.transaction.is_none()
            && !session.last_command.starts_with("client|")
            && let Some(state) = &mut session.tracking
        {
            state.caching = false;
        }
    }

    /// Tells the clients that may hold a key, or want to hear of it, that `changer` changed it.
    #[inline]
    pub(crate) fn invalidate(&mut self, key: &[u8], changer: Option<ClientSlot>) {
        if !self.tracking.is_idle() {
            let changer = changer.and_then(|client| self.sessions.get(client));
            self.tracking.note_change(key, changer.map_or(0, |session| session.id));
            let ids = self.tracking.forget(key);
            self.tell_holders(key, &ids);
        }
    }

    /// Tells clients that they do not hold a key any more.
    fn tell_holders(&mut self, key: &[u8], ids: &[u64]) {
        for id in ids {
            let Some(client) = self.sessions.by_id(*id) else { continue };
            let state = self.sessions.get(client).and_then(|session| session.tracking.as_ref());
            let hears = state.is_some_and(|state| {
                state.mode != TrackingMode::Broadcast
                    && !(state.noloop && self.current_client == Some(client))
            });
            if hears {
                self.send_invalidation(client, Some(&[key]));
            }
        }
    }

    /// Tells every client under tracking that it holds nothing any more.
    pub(crate) fn invalidate_all(&mut self, background: bool) {
        if self.tracking.clients > 0 {
            let holders = self.sessions.iter().filter(|(_, session)| session.tracking.is_some());
            let holders: Vec<ClientSlot> = holders.map(|(client, _)| client).collect();
            for client in holders {
                self.send_invalidation(client, None);
            }
        }
        let keys = std::mem::take(&mut self.tracking.keys);
        self.tracking.items = 0;
        if background && keys.len() > FREE_HERE_MAX {
            self.env.dispose(Box::new(Whole(keys)));
        }
    }

    /// Takes keys out of the table that is larger than `tracking-table-max-keys`, telling those that
    /// may hold them.
    #[inline]
    pub(crate) fn limit_tracking(&mut self) {
        if self.tracking.clients > 0 {
            let max = self.config.tracking_table_max_keys;
            for _ in 0..self.tracking.surplus(max) {
                let Some(entry) = self.tracking.forget_any(&mut self.rng) else { return };
                self.tell_holders(&entry.key, &entry.ids);
            }
        }
    }

    /// Sends the gathered messages of [`TrackingMode::Broadcast`].
    #[inline]
    pub(crate) fn send_broadcasts(&mut self) {
        // What a slow script has done so far is not to be seen.
        if self.tracking.has_broadcasts() && !self.scripting.is_running() {
            self.send_due_broadcasts();
        }
    }

    #[cold]
    fn send_due_broadcasts(&mut self) {
        for (clients, changes) in self.tracking.take_broadcasts() {
            for id in clients {
                let Some(client) = self.sessions.by_id(id) else { continue };
                let Some(session) = self.sessions.get(client) else { continue };
                let noloop = session.tracking.as_ref().is_some_and(|state| state.noloop);
                let concerns = changes.iter().filter(|(_, changer)| !(noloop && **changer == id));
                let keys: Vec<&[u8]> = concerns.map(|(key, _)| &**key).collect();
                if !keys.is_empty() {
                    self.send_invalidation(client, Some(&keys));
                }
            }
        }
    }

    /// Sends a message about `keys`, or about all there are, to where a client wants it. A client
    /// that speaks RESP2 and has named no other that listens cannot be told.
    fn send_invalidation(&mut self, client: ClientSlot, keys: Option<&[&[u8]]>) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        let Some(state) = &mut session.tracking else { return };
        let redirect = state.redirect;
        let mut receiver = client;
        if redirect != 0 {
            let protocol = session.protocol;
            let found = self.sessions.by_id(redirect);
            let Some(found) = found else { return self.redirect_is_broken(client, protocol) };
            receiver = found;
        }
        let Some(session) = self.sessions.get(receiver) else { return };
        if session.protocol == Protocol::Resp3 {
            self.push(receiver, |out| {
                out.push(2);
                out.bulk(b"invalidate");
                write_keys(keys, out);
            });
        } else if redirect != 0 && session.subscriptions() > 0 {
            self.push(receiver, |out| {
                out.push(3);
                out.bulk(b"message");
                out.bulk(CHANNEL);
                write_keys(keys, out);
            });
        }
    }

    /// Notes, and tells a client, that the one it named for its messages is gone.
    fn redirect_is_broken(&mut self, client: ClientSlot, protocol: Protocol) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        let Some(state) = &mut session.tracking else { return };
        state.broken = true;
        let redirect = state.redirect;
        if protocol == Protocol::Resp3 {
            self.push(client, |out| {
                out.push(2);
                out.bulk(b"tracking-redir-broken");
                out.int(redirect as i64);
            });
        }
    }

    /// The first two of `wanted`, or of `wanted` and what the client has, of which one begins with
    /// the other: the same key would be told of twice.
    pub(crate) fn overlapping_prefixes<'a>(
        &self,
        client: ClientSlot,
        wanted: &[&'a [u8]],
    ) -> Option<PrefixOverlap<'a>> {
        let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
        let state = self.sessions.get(client).and_then(|session| session.tracking.as_ref());
        for (at, prefix) in wanted.iter().enumerate() {
            let own = state.and_then(|state| {
                state.prefixes.iter().find(|known| overlap(known, prefix)).cloned()
            });
            if let Some(own) = own {
                return Some(PrefixOverlap { prefix, other: own, present: true });
            }
            if let Some(other) = wanted[at + 1..].iter().find(|other| overlap(other, prefix)) {
                return Some(PrefixOverlap { prefix, other: Bytes::new(other), present: false });
            }
        }
        None
    }
}

/// Two prefixes that a client must not have both.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PrefixOverlap<'a> {
    pub(crate) prefix: &'a [u8],
    pub(crate) other: Bytes,
    /// The client has the other one already.
    pub(crate) present: bool,
}

fn write_keys(keys: Option<&[&[u8]]>, out: &mut dyn ReplyWriter) {
    match keys {
        None => out.null(),
        Some(keys) => {
            out.array(keys.len());
            keys.iter().for_each(|key| out.bulk(key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors::{self, CommandError};
    use crate::test_support::TestEngine;
    use proptest::prelude::*;

    const INVALIDATE_K: &str = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n";

    /// A client that speaks RESP3 and tracks with these options, and one that changes things.
    fn tracked(options: &str) -> (TestEngine, ClientSlot, ClientSlot) {
        let mut test = TestEngine::new();
        let (reader, writer) = (test.client(), test.client());
        test.run(reader, "hello 3");
        assert_eq!(test.run(reader, &format!("client tracking on{options}")), "+OK\r\n");
        test.run(writer, "set k v");
        (test, reader, writer)
    }

    #[test]
    fn a_reader_hears_once_of_a_change() {
        let (mut test, reader, writer) = tracked("");
        test.run(reader, "get k");
        assert_eq!((test.engine.tracking.keys(), test.engine.tracking.items()), (1, 1));
        test.run(writer, "set k w");
        assert_eq!(test.late(reader), INVALIDATE_K);
        test.run(writer, "set k w");
        assert_eq!(test.late(reader), "");
        assert_eq!(test.engine.tracking.items(), 0);
    }

    #[test]
    fn own_changes_are_told_behind_the_reply_and_not_with_noloop() {
        let (mut test, reader, _) = tracked("");
        test.run(reader, "get k");
        assert_eq!(test.run(reader, "append k x"), format!(":2\r\n{INVALIDATE_K}"));
        test.run(reader, "client tracking on noloop");
        test.run(reader, "get k");
        assert_eq!(test.run(reader, "append k x"), ":3\r\n");
        assert_eq!(test.engine.tracking.keys(), 0);
    }

    #[test]
    fn caching_concerns_the_next_command_only() {
        let (mut test, reader, writer) = tracked(" optin");
        test.run(reader, "get k");
        assert_eq!(test.engine.tracking.keys(), 0);
        test.run(reader, "client caching yes");
        test.run(reader, "client id");
        test.run(reader, "mget k l");
        test.run(reader, "get m");
        assert_eq!(test.engine.tracking.keys(), 2);
        test.run(writer, "set k w");
        assert_eq!(test.late(reader), INVALIDATE_K);
    }

    #[test]
    fn broadcasts_are_gathered_until_the_end_of_a_batch() {
        let (mut test, reader, writer) = tracked(" bcast prefix k prefix x");
        test.run(writer, "mset k 1 k2 1 l 1 x 1");
        assert_eq!(test.late(reader), "");
        test.engine.end_batch(writer, 1, &mut Vec::new());
        let expected = ">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\nk\r\n$2\r\nk2\r\n\
                        >2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nx\r\n";
        assert_eq!(test.late(reader), expected);
        test.run(reader, "client tracking off");
        assert_eq!(test.engine.tracking.prefixes(), 0);
    }

    #[test]
    fn resp2_hears_through_another_client() {
        let mut test = TestEngine::new();
        let (reader, listener) = (test.client(), test.client());
        test.run(listener, "subscribe __redis__:invalidate");
        test.run(reader, "client tracking on redirect 2");
        test.run(reader, "get k");
        test.run(reader, "set k v");
        let channel = "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n";
        assert_eq!(test.late(listener), format!("{channel}*1\r\n$1\r\nk\r\n"));
        test.run(reader, "flushall");
        assert_eq!(test.late(listener), format!("{channel}$-1\r\n"));
        test.run(reader, "hello 3");
        test.run(reader, "get k");
        test.engine.disconnect(listener);
        let broken = ">2\r\n$21\r\ntracking-redir-broken\r\n:2\r\n";
        assert_eq!(test.run(reader, "set k v"), format!("+OK\r\n{broken}"));
        assert!(test.run(reader, "client info").contains(" flags=tR "));
    }

    #[test]
    fn expired_and_evicted_keys_are_changes() {
        let (mut test, reader, writer) = tracked("");
        test.run(writer, "set k v px 5");
        test.run(reader, "get k");
        test.pass_ms(10);
        test.run(writer, "exists k");
        assert_eq!(test.late(reader), INVALIDATE_K);
        test.run(writer, "set k v");
        test.run(reader, "get k");
        test.run(writer, "config set maxmemory-policy allkeys-lru maxmemory 1000");
        // Before the reply: it concerns what the client knew before its command.
        assert_eq!(test.run(reader, "get k"), format!("{INVALIDATE_K}_\r\n"));
    }

    #[test]
    fn a_table_that_is_too_large_shrinks_faster_and_faster() {
        let (mut test, reader, writer) = tracked("");
        for number in 0..400 {
            test.run(reader, &format!("get key{number}"));
        }
        test.run(writer, "config set tracking-table-max-keys 10");
        let mut sizes = Vec::new();
        for _ in 0..3 {
            test.run(writer, "ping");
            sizes.push(test.engine.tracking.keys());
        }
        assert_eq!(sizes, [300, 100, 10]);
    }

    #[test]
    fn options_that_do_not_go_together_are_refused() {
        let (mut test, client, _) = tracked("");
        let run = |test: &mut TestEngine, options: &str| {
            let reply = test.run(client, &format!("client tracking {options}"));
            reply.trim_end().to_owned()
        };
        let text = |error: CommandError| format!("-{}", error.text());
        assert_eq!(run(&mut test, "on prefix a"), text(errors::TRACKING_PREFIX_WITHOUT_BCAST));
        assert_eq!(run(&mut test, "on bcast"), text(errors::TRACKING_BCAST_SWITCH));
        assert_eq!(run(&mut test, "on optin optout"), text(errors::TRACKING_OPTIN_AND_OPTOUT));
        assert_eq!(run(&mut test, "on redirect 77"), text(errors::TRACKING_NO_SUCH_REDIRECT));
        assert_eq!(run(&mut test, "off"), "+OK");
        assert_eq!(run(&mut test, "on bcast optin"), text(errors::TRACKING_BCAST_AND_OPT));
        let overlap = errors::tracking_prefixes_overlap(b"ab", b"a", false);
        assert_eq!(run(&mut test, "on bcast prefix ab prefix a"), text(overlap));
        assert_eq!(run(&mut test, "on bcast prefix ab"), "+OK");
        let overlap = errors::tracking_prefixes_overlap(b"abc", b"ab", true);
        assert_eq!(run(&mut test, "on bcast prefix abc"), text(overlap));
        assert_eq!(run(&mut test, "maybe"), text(errors::SYNTAX));
    }

    #[derive(Debug, Clone)]
    enum Op {
        Read(u64, Vec<u8>),
        Change(u64, Vec<u8>),
        Subscribe(u64, Vec<u8>),
        Unsubscribe(u64, Vec<u8>),
        Send,
        ForgetAny,
    }

    /// The clients of a prefix and the changed keys with their changers.
    type ModelPrefix = (BTreeSet<u64>, BTreeMap<Vec<u8>, u64>);

    /// Short words of two letters, so that prefixes are met often.
    fn word() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(b'a'..=b'b', 0..4)
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (1u64..4, word()).prop_map(|(id, key)| Op::Read(id, key)),
            (1u64..4, word()).prop_map(|(id, key)| Op::Change(id, key)),
            (1u64..4, word()).prop_map(|(id, prefix)| Op::Subscribe(id, prefix)),
            (1u64..4, word()).prop_map(|(id, prefix)| Op::Unsubscribe(id, prefix)),
            Just(Op::Send),
            Just(Op::ForgetAny),
        ]
    }

    fn check_invariants(tracking: &Tracking) {
        let items: usize = tracking.keys.iter().map(|entry| entry.ids.len()).sum();
        assert_eq!(tracking.items, items);
        assert!(tracking.keys.iter().all(|entry| entry.ids.is_sorted() && !entry.ids.is_empty()));
        let mut lengths: BTreeMap<usize, usize> = BTreeMap::new();
        tracking.prefixes.keys().for_each(|name| *lengths.entry(name.len()).or_default() += 1);
        assert_eq!(tracking.lengths, lengths);
        let changed = tracking.prefixes.iter().filter(|(_, prefix)| !prefix.keys.is_empty());
        assert!(changed.map(|(name, _)| name).eq(&tracking.changed));
        assert!(tracking.prefixes.values().all(|prefix| !prefix.clients.is_empty()));
    }

    proptest! {
        #[test]
        fn behaves_like_plain_maps(ops in prop::collection::vec(op(), 0..200)) {
            let mut tracking = Tracking::default();
            let mut rng = perilune_keyspace::Rng::new(1);
            let mut readers: BTreeSet<(Vec<u8>, u64)> = BTreeSet::new();
            let mut prefixes: BTreeMap<Vec<u8>, ModelPrefix> = BTreeMap::new();
            for op in ops {
                match op {
                    Op::Read(id, key) => {
                        tracking.remember(&key, id);
                        readers.insert((key, id));
                    }
                    Op::Change(id, key) => {
                        tracking.note_change(&key, id);
                        let told = tracking.forget(&key);
                        let of_key = readers.iter().filter(|(name, _)| *name == key);
                        let expected: Vec<u64> = of_key.map(|(_, id)| *id).collect();
                        prop_assert_eq!(told.to_vec(), expected);
                        readers.retain(|(name, _)| *name != key);
                        for (prefix, (_, keys)) in &mut prefixes {
                            if key.starts_with(prefix) {
                                keys.insert(key.clone(), id);
                            }
                        }
                    }
                    Op::Subscribe(id, prefix) => {
                        tracking.add_prefix(&Bytes::new(&prefix), id);
                        prefixes.entry(prefix).or_default().0.insert(id);
                    }
                    Op::Unsubscribe(id, prefix) => {
                        tracking.remove_prefix(&Bytes::new(&prefix), id);
                        if let Some((clients, _)) = prefixes.get_mut(&prefix) {
                            clients.remove(&id);
                        }
                        prefixes.retain(|_, (clients, _)| !clients.is_empty());
                    }
                    Op::Send => {
                        let due = prefixes.values_mut().filter(|(_, keys)| !keys.is_empty());
                        let expected: Vec<_> = due
                            .map(|(clients, keys)| (clients.clone(), std::mem::take(keys)))
                            .collect();
                        let sent: Vec<_> = tracking
                            .take_broadcasts()
                            .into_iter()
                            .map(|(clients, keys)| {
                                let keys = keys.into_iter().map(|(key, id)| (key.to_vec(), id));
                                (clients, keys.collect::<BTreeMap<_, _>>())
                            })
                            .collect();
                        prop_assert_eq!(sent, expected);
                    }
                    Op::ForgetAny => {
                        if let Some(entry) = tracking.forget_any(&mut rng) {
                            readers.retain(|(name, _)| **name != *entry.key);
                        }
                    }
                }
                check_invariants(&tracking);
                prop_assert_eq!(tracking.items(), readers.len());
            }
        }
    }
}
