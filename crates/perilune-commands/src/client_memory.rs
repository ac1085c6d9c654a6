//! What clients take, and the eviction of the largest while they take more than `maxmemory-clients`
//! together.
//!
//! ```text
//! total      Σ counted, over the normal and subscribed clients
//! classes    (⌊log₂ counted⌋, client), for those of them that may be evicted
//! ```
//!
//! A client's figure is counted anew when something of it grows: behind each of its commands, when
//! its read buffer has grown, when it is sent a message, when it leaves replies untaken; and once a
//! second, which is the only time for those that may not be evicted. Order within a class does not
//! matter, so most changes of a figure leave the tree alone.
//!
//! Invariants, while `maxmemory-clients` is set; otherwise all of it is empty:
//! - `total` is the sum of the `counted` of all sessions;
//! - a session is in `classes` exactly under its `memory_class`.
//!
//! At all times `leaving` is the sum of the `leaving_memory` of all sessions.
//!
//! Figures lag behind what buffers really hold, so a client is counted once more before it is
//! evicted.

use crate::engine::Engine;
use crate::session::{ClientSlot, Session, WatchedKey};
use perilune_keyspace::Bytes;
use perilune_script::LogLevel;
use std::collections::BTreeSet;

/// The smallest limit that is heeded: with less nobody could talk to the server any more.
const LIMIT_MIN: usize = 128 * 1024;
/// Bytes of a registry's entry for one name that a client listens to, watches or tracks.
const REGISTRY_ENTRY: usize = 2 * size_of::<Bytes>() + 2 * size_of::<usize>();

/// Figures of the clients' memory.
#[derive(Debug, Default)]
pub struct ClientMemory {
    total: usize,
    classes: BTreeSet<(u32, ClientSlot)>,
    /// Bytes of clients that were closed and whose connections have not noticed yet.
    leaving: usize,
}

impl ClientMemory {
    /// Bytes that are as good as free: those of clients that were closed a moment ago.
    pub(crate) fn leaving(&self) -> usize {
        self.leaving
    }

    /// Takes the figures of a client that goes away out.
    fn forget(&mut self, client: ClientSlot, session: &mut Session) {
        self.total -= std::mem::take(&mut session.counted_memory);
        self.leaving -= std::mem::take(&mut session.leaving_memory);
        if let Some(class) = session.memory_class.take() {
            self.classes.remove(&(class, client));
        }
    }

    /// Counts a client anew. Its figure is `bytes`; it is in a class if it is `evictable`.
    fn count(&mut self, client: ClientSlot, session: &mut Session, bytes: usize, evictable: bool) {
        self.total = self.total - session.counted_memory + bytes;
        session.counted_memory = bytes;
        let class = evictable.then(|| bytes.max(1).ilog2());
        if class != session.memory_class {
            if let Some(old) = session.memory_class {
                self.classes.remove(&(old, client));
            }
            if let Some(new) = class {
                self.classes.insert((new, client));
            }
            session.memory_class = class;
        }
    }
}

impl Session {
    /// Bytes of the open transaction and of the keys under watch.
    pub fn transaction_memory(&self) -> usize {
        let queued = self.transaction.as_ref().map_or(0, |transaction| {
            transaction.bytes + transaction.queue.len() * size_of::<crate::owned_args::OwnedArgs>()
        });
        queued + self.watched.len() * (size_of::<WatchedKey>() + REGISTRY_ENTRY)
    }

    /// Bytes of arguments that are kept: of a command that waits, of a request half received.
    pub fn argument_memory(&self) -> usize {
        let waiting = self.blocked.as_ref().map_or(0, |blocked| blocked.argv.byte_len());
        self.buffer_figures().arguments + waiting
    }

    /// Bytes that the client takes, all in all. Of replies the buffers count, and not what is in
    /// them: they grow by doubling, and `maxmemory` sees all of that.
    pub fn memory(&self) -> usize {
        let buffers = self.buffer_figures();
        let prefixes = self.tracking.as_ref().map_or(0, |state| state.prefixes.len());
        size_of::<Session>()
            + buffers.query
            + buffers.query_free
            + self.argument_memory()
            + self.pending_output().max(buffers.reply)
            + self.transaction_memory()
            + (self.subscriptions() + prefixes) * REGISTRY_ENTRY
    }
}

impl Engine {
    /// The bytes that clients may take together, if that is limited.
    pub fn client_memory_limit(&self) -> Option<usize> {
        let limit = match self.config.maxmemory_clients {
            0 => return None,
            bytes @ 1.. => usize::try_from(bytes).unwrap_or(usize::MAX),
            _ if self.config.maxmemory == 0 => return None,
            percent => (self.config.maxmemory as f64 * -(percent as f64) / 100.0) as usize,
        };
        Some(limit.max(LIMIT_MIN))
    }

    /// Counts the memory of a client anew, where it is limited.
    #[inline]
    pub fn count_client(&mut self, client: ClientSlot) {
        if self.config.maxmemory_clients != 0 {
            self.count_client_now(client);
        }
    }

    #[cold]
    fn count_client_now(&mut self, client: ClientSlot) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        if client == ClientSlot::SCRIPT || session.killed {
            return;
        }
        if session.is_replica() || session.is_master {
            // The limits of replicas are others, and without the master nothing would be gained.
            self.client_memory.forget(client, session);
            return;
        }
        // What cannot be evicted would only drive others out, so it is counted late, as in Redis:
        // by the timer. A client that is gone again by then has cost nobody the connection.
        let bytes = match session.no_evict {
            true => session.counted_memory,
            false => session.memory(),
        };
        let evictable = !session.no_evict;
        self.client_memory.count(client, session, bytes, evictable);
    }

    /// Counts the memory of a client anew, whether it can be evicted or not: the timer's way, and
    /// that of a new limit.
    pub(crate) fn count_any_client(&mut self, client: ClientSlot) {
        self.count_client(client);
        let Some(session) = self.sessions.get_mut(client) else { return };
        let counts = !(session.killed || session.is_replica() || session.is_master);
        if counts && session.no_evict && self.config.maxmemory_clients != 0 {
            let bytes = session.memory();
            self.client_memory.count(client, session, bytes, false);
        }
    }

    /// Takes a client out of the figures.
    pub(crate) fn uncount_client(&mut self, client: ClientSlot) {
        if let Some(session) = self.sessions.get_mut(client) {
            self.client_memory.forget(client, session);
        }
    }

    /// Notes what a closed client will give back as soon as its connection notices.
    pub(crate) fn expect_memory_of(&mut self, client: ClientSlot) {
        if let Some(session) = self.sessions.get_mut(client) {
            self.client_memory.forget(client, session);
            session.leaving_memory = session.memory();
            self.client_memory.leaving += session.leaving_memory;
        }
    }

    /// Starts or ends counting, after `maxmemory-clients` was set.
    pub(crate) fn recount_clients(&mut self) {
        let slots: Vec<ClientSlot> = self.sessions.iter().map(|(slot, _)| slot).collect();
        for client in slots {
            match self.config.maxmemory_clients {
                0 => self.uncount_client(client),
                _ => self.count_any_client(client),
            }
        }
    }

    /// Counts a client that has not taken its replies, or has sent a large part of a request, and
    /// closes clients if that was too much. Its connection calls this.
    pub fn settle_client_memory(&mut self, client: ClientSlot) {
        self.count_client(client);
        self.evict_clients();
    }

    /// Closes clients, the largest first, until all together are within their limit.
    #[inline]
    pub(crate) fn evict_clients(&mut self) {
        if self.config.maxmemory_clients != 0
            && let Some(limit) = self.client_memory_limit()
            && self.client_memory.total >= limit
        {
            self.evict_largest_clients(limit);
        }
    }

    #[cold]
    fn evict_largest_clients(&mut self, limit: usize) {
        // Another count can put a client into a lower class, but hardly ever into a higher one.
        let mut rounds = 2 * self.client_memory.classes.len() + 1;
        while self.client_memory.total >= limit && rounds > 0 {
            rounds -= 1;
            let Some(&(class, client)) = self.client_memory.classes.last() else { break };
            self.count_client(client);
            let now = self.sessions.get(client).and_then(|session| session.memory_class);
            if now.is_none_or(|now| now < class) || self.client_memory.total < limit {
                continue;
            }
            if let Some(session) = self.sessions.get(client) {
                let line = crate::cmd::describe_client(session, self.now_ms());
                let line = format!("Evicting client: {}", String::from_utf8_lossy(&line));
                self.env.log(LogLevel::Notice, &line);
            }
            self.kill(client);
            self.stats.evicted_clients += 1;
        }
    }

    /// Bytes that clients take, and that replicas take.
    pub fn client_memory_by_kind(&self) -> (usize, usize) {
        let sessions = self.sessions.iter().map(|(_, session)| session);
        sessions.filter(|session| !session.killed).fold((0, 0), |(clients, replicas), session| {
            match session.is_replica() {
                true => (clients, replicas + session.memory()),
                false => (clients + session.memory(), replicas),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::session::{BufferFigures, ClientSlot, PeerInfo, Waker};
    use crate::test_support::TestEngine;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A connection with a read buffer of this size.
    struct Buffer(AtomicUsize);

    impl Waker for Buffer {
        fn wake(&self) {}

        fn buffers(&self) -> BufferFigures {
            let query = self.0.load(Ordering::Relaxed);
            BufferFigures { query, ..BufferFigures::default() }
        }
    }

    fn client(test: &mut TestEngine, bytes: usize) -> (ClientSlot, Arc<Buffer>) {
        let buffer = Arc::new(Buffer(AtomicUsize::new(bytes)));
        let client = test.engine.connect(PeerInfo::default(), Some(Arc::clone(&buffer) as _));
        (client, buffer)
    }

    fn check(test: &TestEngine) {
        let engine = &test.engine;
        let sum: usize = engine.sessions.iter().map(|(_, session)| session.counted_memory).sum();
        assert_eq!(engine.client_memory.total, sum);
        let classes = engine.sessions.iter();
        let classes = classes.filter_map(|(slot, session)| Some((session.memory_class?, slot)));
        assert_eq!(engine.client_memory.classes, classes.collect());
    }

    fn alive(test: &TestEngine, client: ClientSlot) -> bool {
        test.engine.sessions.get(client).is_some_and(|session| !session.killed)
    }

    #[test]
    fn the_largest_go_until_the_rest_fits() {
        let mut test = TestEngine::new();
        let control = test.client();
        let sizes = [100_000, 3_000_000, 1_000_000, 3_100_000];
        let clients = sizes.map(|size| client(&mut test, size).0);
        test.run(control, "config set maxmemory-clients 2000000");
        check(&test);
        test.run(control, "ping");
        check(&test);
        assert_eq!(clients.map(|client| alive(&test, client)), [true, false, true, false]);
        assert_eq!(test.engine.stats.evicted_clients, 2);
        test.run(control, "config set maxmemory-clients 0");
        check(&test);
        assert_eq!(test.engine.client_memory.total, 0);
    }

    #[test]
    fn a_figure_that_is_out_of_date_costs_nobody_the_connection() {
        let mut test = TestEngine::new();
        let control = test.client();
        test.run(control, "config set maxmemory-clients 1000000");
        let (shrunk, buffer) = client(&mut test, 2_000_000);
        buffer.0.store(10, Ordering::Relaxed);
        test.run(control, "ping");
        assert!(alive(&test, shrunk));
        check(&test);
    }

    #[test]
    fn some_are_exempt_and_the_limit_has_a_lower_bound() {
        let mut test = TestEngine::new();
        let (control, exempt) = (test.client(), client(&mut test, 3_000_000).0);
        test.run(exempt, "client no-evict on");
        test.run(control, "config set maxmemory-clients 1");
        test.run(control, "ping");
        assert!(alive(&test, exempt) && !alive(&test, control));
        let control = test.client();
        assert_eq!(test.engine.client_memory_limit(), Some(128 * 1024));
        test.engine.config.maxmemory_clients = -10;
        assert_eq!(test.engine.client_memory_limit(), None);
        test.engine.config.maxmemory = 100_000_000;
        assert_eq!(test.engine.client_memory_limit(), Some(10_000_000));
        test.run(exempt, "client no-evict off");
        assert!(alive(&test, control) && alive(&test, exempt));
        test.engine.config.maxmemory_clients = 1_000_000;
        assert_eq!(test.run(exempt, "ping"), "");
        assert!(!alive(&test, exempt));
        check(&test);
    }

    #[test]
    fn messages_watches_and_queued_commands_count() {
        let mut test = TestEngine::new();
        let (control, listener) = (test.client(), test.client());
        test.run(control, "config set maxmemory-clients 300000");
        test.run(listener, "subscribe c");
        let message = "x".repeat(400_000);
        test.run(control, &format!("publish c {message}"));
        test.run(control, "ping");
        assert!(!alive(&test, listener) && alive(&test, control));
        let watcher = test.client();
        let before = test.engine.sessions.get(watcher).map_or(0, |session| session.memory());
        test.run(watcher, "watch a b c");
        test.run(watcher, "multi");
        test.run(watcher, "set a b");
        let after = test.engine.sessions.get(watcher).map_or(0, |session| session.memory());
        assert!(after > before + 100);
        check(&test);
    }
}
