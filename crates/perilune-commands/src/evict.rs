//! Eviction: keys are removed while the server holds more memory than `maxmemory` allows.
//!
//! It happens before a command on the one road, and in the ticks of the timer while there is more to
//! remove than one command's share of time. How a victim is found depends on the policy:
//!
//! ```text
//! *-lru, *-lfu     the best of a pool of candidates, which every search refills with samples
//! volatile-ttl     the first of the deadlines, which are in order
//! *-random         any key of the next database that has one
//! ```
//!
//! Invariant: the pool holds at most `POOL_MAX` candidates in ascending order of their score, the
//! best to evict last. A candidate is a name only: its key may be gone or no longer volatile, which
//! is found out when its turn comes.
//!
//! What is not here: memory is never measured by walking data. The allocator's figure is all that
//! counts, less what grows by evicting itself, see [`Engine::uncounted_memory`].

use crate::config::{Config, MaxmemoryPolicy, NotifyFlags};
use crate::engine::Engine;
use crate::frequency;
use crate::session::ClientSlot;
use perilune_keyspace::{Bytes, KeyEntry};

/// Candidates kept from one search to the next.
const POOL_MAX: usize = 16;
/// Keys evicted between two looks at the clock.
const BATCH: u64 = 16;
/// Attempts to fill an empty pool from a table so sparse that samples come back empty.
const REFILLS_MAX: usize = 64;
/// Nodes of a big value that are looked at to tell what its release in the background will free.
const SIZE_SAMPLES: usize = 5;

/// The log of the stream may exceed its size by this part of it: it grows and shrinks by blocks.
const LOG_SLACK: usize = 8;

/// What [`Engine::evict`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvictionOutcome {
    /// The memory is within its limit, or nothing may be evicted now.
    Within,
    /// The time was up; the timer goes on.
    Unfinished,
    /// Over the limit and nothing left that the policy lets go.
    Exhausted,
}

/// A key that might be the next to go.
#[derive(Debug)]
struct Candidate {
    score: u64,
    db: usize,
    key: Bytes,
}

/// What eviction remembers between its rounds.
#[derive(Debug, Default)]
pub struct Eviction {
    pool: Vec<Candidate>,
    /// Database that a random victim was taken from last.
    last_db: usize,
    /// The last round ran out of time.
    unfinished: bool,
    /// Monotonic time since when the limit is exceeded, microseconds.
    exceeded_since_us: Option<u64>,
}

impl Eviction {
    /// Microseconds for which the limit has been exceeded without a break.
    pub fn exceeded_us(&self, mono_us: u64) -> u64 {
        self.exceeded_since_us.map_or(0, |since| mono_us.saturating_sub(since))
    }

    /// Counts the time of exceeding anew.
    pub(crate) fn reset_times(&mut self) {
        self.exceeded_since_us = None;
    }

    /// Takes a candidate into the pool unless all in there are better.
    fn offer(&mut self, score: u64, db: usize, key: &[u8]) {
        let at = self.pool.partition_point(|known| known.score < score);
        if self.pool.len() == POOL_MAX {
            if at == 0 {
                return;
            }
            self.pool.remove(0);
            self.pool.insert(at - 1, Candidate { score, db, key: Bytes::new(key) });
        } else {
            self.pool.insert(at, Candidate { score, db, key: Bytes::new(key) });
        }
    }
}

/// How much a key deserves to go under an LRU or LFU policy.
fn score(entry: &KeyEntry, now_s: u32, config: &Config) -> u64 {
    if frequency::is_counted(config) {
        u64::from(u8::MAX - frequency::counter(entry.access(), now_s, config))
    } else {
        u64::from(entry.idle_s(now_s))
    }
}

/// Time for one round in microseconds, by `maxmemory-eviction-tenacity`: up to half a millisecond
/// for the lower values, from there growing by 15 % each, without bound at 100.
fn time_limit_us(tenacity: u32) -> u64 {
    match tenacity {
        0..=10 => 50 * u64::from(tenacity),
        11..=99 => (500.0 * 1.15_f64.powi(tenacity as i32 - 10)) as u64,
        _ => u64::MAX,
    }
}

impl Engine {
    /// Memory of the allocator that does not count against `maxmemory`: buffers of replicas and of
    /// the append-only file, which take the removals that eviction makes, so that counting them would
    /// evict ever more; the queue of a snapshot, where old values wait that writes push out; and what
    /// clients closed a moment ago are about to give back.
    pub fn uncounted_memory(&self) -> usize {
        let slots = self.replication.replicas.iter();
        let sessions = slots.filter_map(|slot| self.sessions.get(*slot));
        // Buffers grow by doubling.
        let buffer = |pending: usize| if pending == 0 { 0 } else { pending.next_power_of_two() };
        let replicas: usize = sessions.map(|session| buffer(session.pending_output())).sum();
        let log = self.surplus_stream_memory();
        let aof = self.propagation.aof.as_ref().map_or(0, |feed| feed.pending.capacity());
        let snapshot = self.persistence.job.as_ref().map_or(0, |job| job.queued_bytes());
        replicas + log + aof + snapshot + self.client_memory.leaving()
    }

    /// What slow replicas make the log of the stream take beyond the backlog, which is a part of the
    /// server.
    pub fn surplus_stream_memory(&self) -> usize {
        if self.replication.replicas.is_empty() {
            return 0;
        }
        let log = self.replication.log.as_ref().map_or(0, |log| log.memory());
        let backlog = usize::try_from(self.config.repl_backlog_size).unwrap_or(usize::MAX);
        log.saturating_sub(backlog.saturating_add(backlog / LOG_SLACK))
    }

    /// Bytes above `maxmemory`; zero where it is not exceeded.
    pub fn excess_memory(&self) -> u64 {
        let limit = self.config.maxmemory;
        let used = self.env.used_memory() as u64;
        if limit == 0 || used <= limit {
            return 0;
        }
        used.saturating_sub(self.uncounted_memory() as u64).saturating_sub(limit)
    }

    /// Tells the client's database how much larger its table may become: where a larger one does not fit
    /// into `maxmemory`, the table is filled further, which makes lookups slower, and no keys are evicted
    /// to make room for it.
    pub(crate) fn limit_growth(&mut self, client: ClientSlot) {
        let Some(db) = self.sessions.get(client).map(|session| session.db) else { return };
        let counted = self.env.used_memory().saturating_sub(self.uncounted_memory()) as u64;
        let left = self.config.maxmemory.saturating_sub(counted);
        self.keyspace.db_mut(db).limit_growth(usize::try_from(left).ok());
    }

    /// What follows from another limit: tables may grow until it is known whether there is room for
    /// that, and the timer finds out what has to go.
    pub(crate) fn limit_changed(&mut self) {
        self.keyspace.unlimit_growth();
        self.eviction.unfinished = true;
    }

    /// Removes keys until the memory is within `maxmemory`, the time for it is up, or none is left.
    /// Not to be called while a command or a script runs.
    pub fn evict(&mut self) -> EvictionOutcome {
        if self.pause_holds_expiry() {
            return EvictionOutcome::Within;
        }
        let excess = self.excess_memory();
        let outcome = if excess == 0 {
            EvictionOutcome::Within
        } else if self.config.maxmemory_policy == MaxmemoryPolicy::NoEviction {
            EvictionOutcome::Exhausted
        } else {
            self.evict_keys(excess)
        };
        self.eviction.unfinished = outcome == EvictionOutcome::Unfinished;
        let mono_us = self.mono_us;
        if outcome != EvictionOutcome::Within {
            self.eviction.exceeded_since_us.get_or_insert(mono_us);
        } else if self.eviction.exceeded_since_us.is_some() {
            self.stats.eviction_exceeded_us += self.eviction.exceeded_us(mono_us);
            self.eviction.exceeded_since_us = None;
        }
        outcome
    }

    /// Goes on with an eviction that ran out of time. True when there is still more to do.
    pub fn evict_cycle(&mut self) -> bool {
        if !self.eviction.unfinished || self.scripting.is_running() {
            return false;
        }
        self.refresh_clock();
        let unfinished = self.evict() == EvictionOutcome::Unfinished;
        self.after_command();
        self.send_broadcasts();
        unfinished
    }

    #[cold]
    fn evict_keys(&mut self, excess: u64) -> EvictionOutcome {
        let started_us = self.clock.monotonic_us();
        let limit_us = time_limit_us(self.config.maxmemory_eviction_tenacity);
        if self.env.pending_disposals() > 0 {
            // What was removed a moment ago is not to be paid for with other keys.
            self.env.await_disposals(limit_us);
        }
        let (mut freed, mut removed) = (0i64, 0);
        let outcome = loop {
            if freed >= excess as i64 {
                break EvictionOutcome::Within;
            }
            let Some((db, key)) = self.choose_victim() else {
                break EvictionOutcome::Exhausted;
            };
            freed += self.evict_key(db, &key);
            removed += 1;
            if removed % BATCH == 0 {
                if self.config.lazyfree_lazy_eviction && self.excess_memory() == 0 {
                    break EvictionOutcome::Within;
                }
                if self.clock.monotonic_us().saturating_sub(started_us) > limit_us {
                    break EvictionOutcome::Unfinished;
                }
            }
        };
        self.mono_us = self.clock.monotonic_us();
        self.note_latency("eviction-cycle", self.mono_us.saturating_sub(started_us));
        if outcome == EvictionOutcome::Exhausted && self.excess_memory() == 0 {
            return EvictionOutcome::Within;
        }
        outcome
    }

    /// Removes a key with all that follows. Returns the bytes that this freed or will free.
    fn evict_key(&mut self, db: usize, key: &Bytes) -> i64 {
        let lazy = self.config.lazyfree_lazy_eviction;
        let (before, disposals) = (self.env.used_memory(), self.env.pending_disposals());
        let started_us = self.clock.monotonic_us();
        let Some(entry) = self.keyspace.db_mut(db).remove(key) else { return 0 };
        let size = entry.memory_usage(SIZE_SAMPLES);
        self.dispose_value(entry.into_value(), lazy);
        let took_us = self.clock.monotonic_us().saturating_sub(started_us);
        self.note_latency("eviction-del", took_us);
        let mut freed = before as i64 - self.env.used_memory() as i64;
        if self.env.pending_disposals() > disposals {
            freed = freed.max(size as i64);
        }
        self.stats.evicted_keys += 1;
        self.touch(db, key);
        self.notify(db, NotifyFlags::EVICTED, "evicted", key);
        self.propagate_deletion(db, key, lazy);
        freed
    }

    fn choose_victim(&mut self) -> Option<(usize, Bytes)> {
        match self.config.maxmemory_policy {
            MaxmemoryPolicy::NoEviction => None,
            MaxmemoryPolicy::AllKeysRandom => self.random_victim(false),
            MaxmemoryPolicy::VolatileRandom => self.random_victim(true),
            MaxmemoryPolicy::VolatileTtl => self.soonest_victim(),
            MaxmemoryPolicy::AllKeysLru | MaxmemoryPolicy::AllKeysLfu => self.best_victim(false),
            MaxmemoryPolicy::VolatileLru | MaxmemoryPolicy::VolatileLfu => self.best_victim(true),
        }
    }

    /// Any key of the next database that has one.
    fn random_victim(&mut self, volatile: bool) -> Option<(usize, Bytes)> {
        let count = self.keyspace.count();
        for _ in 0..count {
            let index = (self.eviction.last_db + 1) % count;
            self.eviction.last_db = index;
            let db = self.keyspace.db(index);
            let mut chosen = None;
            if volatile {
                db.sample_volatile(&mut self.rng, 1, &mut |entry| {
                    chosen = Some(Bytes::new(entry.name()));
                });
            } else {
                chosen = db.random(&mut self.rng).map(|entry| Bytes::new(entry.name()));
            }
            if let Some(key) = chosen {
                return Some((index, key));
            }
        }
        None
    }

    /// The key that would expire first.
    fn soonest_victim(&self) -> Option<(usize, Bytes)> {
        let firsts = self.keyspace.iter().filter_map(|(index, db)| {
            let (key, at) = db.first_deadline()?;
            Some((at, index, key))
        });
        firsts.min_by_key(|(at, ..)| *at).map(|(_, index, key)| (index, key))
    }

    /// The best candidate of the pool, refilled from every database first.
    fn best_victim(&mut self, volatile: bool) -> Option<(usize, Bytes)> {
        for _ in 0..REFILLS_MAX {
            if !self.refill_pool(volatile) {
                return None;
            }
            while let Some(candidate) = self.eviction.pool.pop() {
                let entry = self.keyspace.db(candidate.db).get(&candidate.key);
                if entry.is_some_and(|entry| !volatile || entry.expire_at().is_some()) {
                    return Some((candidate.db, candidate.key));
                }
            }
        }
        self.random_victim(volatile)
    }

    /// Offers samples of every database to the pool. False when no database has a key.
    fn refill_pool(&mut self, volatile: bool) -> bool {
        let Engine { keyspace, eviction, rng, config, .. } = self;
        let now_s = (self.now_us / 1_000_000) as u32;
        let samples = config.maxmemory_samples as usize;
        let mut any = false;
        for (index, db) in keyspace.iter() {
            let keys = if volatile { db.volatile_len() } else { db.len() };
            if keys == 0 {
                continue;
            }
            any = true;
            let mut offer =
                |entry: &KeyEntry| eviction.offer(score(entry, now_s, config), index, entry.name());
            if volatile {
                db.sample_volatile(rng, samples, &mut offer);
            } else {
                db.sample(rng, samples, &mut offer);
            }
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::TestEngine;
    use proptest::prelude::*;

    /// An engine whose allocator seems to hold `excess` bytes too many, whatever is freed.
    fn over_limit(policy: &str) -> TestEngine {
        let mut test = TestEngine::new();
        let client = test.client();
        test.run(client, &format!("config set maxmemory-policy {policy}"));
        for number in 0..40 {
            test.run(client, &format!("set key{number} v"));
            if number % 2 == 0 {
                test.run(client, &format!("pexpire key{number} {}", 100_000 - number));
            }
            test.pass_ms(1000);
        }
        test.run(client, "config set maxmemory 1000");
        test
    }

    fn remaining(policy: &str) -> (EvictionOutcome, usize, usize) {
        let mut test = over_limit(policy);
        let outcome = test.engine.evict();
        let db = test.engine.keyspace.db(0);
        (outcome, db.len(), db.volatile_len())
    }

    #[test]
    fn a_policy_lets_go_of_its_own_keys_only() {
        use EvictionOutcome::Exhausted;
        assert_eq!(remaining("noeviction"), (Exhausted, 40, 20));
        for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random"] {
            assert_eq!(remaining(policy), (Exhausted, 0, 0), "{policy}");
        }
        for policy in ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"] {
            assert_eq!(remaining(policy), (Exhausted, 20, 0), "{policy}");
        }
    }

    /// The keys in the order in which a policy evicts them.
    fn order_of_eviction(policy: &str, samples: &str) -> Vec<usize> {
        let mut test = over_limit(policy);
        let client = test.client();
        test.engine.config.maxmemory = 0;
        test.run(client, &format!("config set maxmemory-samples {samples}"));
        let mut order = Vec::new();
        while let Some((db, key)) = test.engine.choose_victim() {
            test.engine.evict_key(db, &key);
            let name = String::from_utf8_lossy(&key).into_owned();
            order.push(name.trim_start_matches("key").parse().expect("a number"));
        }
        order
    }

    #[test]
    fn with_enough_samples_the_order_is_exact() {
        assert_eq!(order_of_eviction("allkeys-lru", "100"), (0..40).collect::<Vec<_>>());
        let volatile: Vec<usize> = (0..40).step_by(2).collect();
        assert_eq!(order_of_eviction("volatile-lru", "100"), volatile);
        // Every deadline lies 1000 ms minus the age after the one before.
        assert_eq!(order_of_eviction("volatile-ttl", "1"), volatile);
    }

    #[test]
    fn rarely_used_keys_go_first_under_lfu() {
        let mut test = over_limit("allkeys-lfu");
        let client = test.client();
        test.engine.config.maxmemory = 0;
        test.run(client, "config set maxmemory-samples 100");
        for _ in 0..50 {
            test.run(client, "get key7");
        }
        for _ in 0..39 {
            let (db, key) = test.engine.choose_victim().expect("a key");
            assert_ne!(&*key, b"key7");
            test.engine.evict_key(db, &key);
        }
    }

    #[test]
    fn commands_that_need_memory_are_refused_and_others_are_not() {
        let mut test = TestEngine::new();
        let client = test.client();
        test.run(client, "set k v");
        test.run(client, "config set maxmemory 1000");
        let refused = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
        assert_eq!(test.run(client, "set k w"), refused);
        assert_eq!(test.run(client, "get k"), "$1\r\nv\r\n");
        assert_eq!(test.run(client, "multi"), "+OK\r\n");
        assert_eq!(test.run(client, "get k"), refused);
        assert_eq!(test.run(client, "discard"), "+OK\r\n");
        test.run(client, "config set maxmemory-policy volatile-lru");
        assert_eq!(test.run(client, "set k w"), refused);
        assert_eq!(test.run(client, "del k"), ":1\r\n");
    }

    #[test]
    fn evicted_keys_are_announced_and_counted() {
        let mut test = TestEngine::new();
        let (client, listener) = (test.client(), test.client());
        test.run(client, "config set notify-keyspace-events Ee");
        test.run(listener, "subscribe __keyevent@0__:evicted");
        test.run(client, "set k v");
        test.run(client, "config set maxmemory-policy allkeys-lru maxmemory 1000");
        assert_eq!(test.run(client, "dbsize"), ":0\r\n");
        assert!(test.late(listener).ends_with("$1\r\nk\r\n"));
        assert_eq!(test.engine.stats.evicted_keys, 1);
        test.pass_ms(30);
        test.run(client, "ping");
        assert_eq!(test.engine.eviction.exceeded_us(test.engine.mono_us), 30_000);
        test.run(client, "config set maxmemory 0");
        assert!(!test.engine.evict_cycle());
        assert_eq!(test.engine.stats.eviction_exceeded_us, 30_000);
    }

    proptest! {
        #[test]
        fn the_pool_keeps_the_best(scores in prop::collection::vec(0u64..100, 0..100)) {
            let mut eviction = Eviction::default();
            for score in &scores {
                eviction.offer(*score, 0, &Bytes::new(b"k"));
            }
            let kept: Vec<u64> = eviction.pool.iter().map(|candidate| candidate.score).collect();
            let mut best = scores;
            best.sort_unstable();
            let best = best.split_off(best.len().saturating_sub(POOL_MAX));
            prop_assert_eq!(kept, best);
        }
    }

    #[test]
    fn tenacity_sets_the_time() {
        assert_eq!([0, 1, 10].map(time_limit_us), [0, 50, 500]);
        assert_eq!(time_limit_us(11), 575);
        assert!((100_000_000..200_000_000).contains(&time_limit_us(99)));
        assert_eq!(time_limit_us(100), u64::MAX);
    }

    #[test]
    fn a_table_does_not_grow_beyond_the_limit_of_memory() {
        let mut bench = TestEngine::new();
        let client = bench.client();
        // Room for what a table of 32 buckets becomes.
        let limit = bench.engine.env.used_memory() + 64 * 64;
        assert_eq!(bench.run(client, &format!("CONFIG SET maxmemory {limit}")), "+OK\r\n");
        let pairs =
            |from: u32| -> String { (from..from + 600).map(|it| format!(" {it} v")).collect() };
        bench.run(client, &format!("MSET{}", pairs(0)));
        let buckets = |bench: &TestEngine| bench.engine.keyspace.db(0).table_statistics().0.buckets;
        assert_eq!((bench.engine.keyspace.db(0).len(), buckets(&bench)), (600, 64));
        bench.run(client, "CONFIG SET maxmemory 0");
        bench.run(client, &format!("MSET{}", pairs(600)));
        assert_eq!((bench.engine.keyspace.db(0).len(), buckets(&bench)), (1200, 256));
    }
}
