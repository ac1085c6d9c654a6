//! Work that no client asked for: expiry, rehashing, samples. The server calls in regularly; every
//! call does a bounded amount and says whether there is more.

use crate::engine::Engine;
use crate::session::{ClientSlot, Tidy};

/// Bounds of the number of ticks per second.
const HZ_MIN: u32 = 1;
const HZ_MAX: u32 = 500;
/// More clients than this per tick ask for more ticks (`dynamic-hz`).
const CLIENTS_PER_TICK: usize = 200;
/// Share of a core that expiry may take at `active-expire-effort` 1, in percent.
const EXPIRE_PERCENT: u64 = 25;
/// What every further step of the effort adds.
const EXPIRE_EFFORT_PERCENT: u64 = 2;
/// Keys expired between two looks at the clock.
const EXPIRE_BATCH: usize = 32;
/// Buckets moved per table between two looks at the clock.
const REHASH_BATCH: usize = 256;
/// Clients looked after per tick, at least.
const CLIENTS_MIN: usize = 5;
/// Unused bytes of a read buffer that are not worth a visit.
const SPARE_BYTES_MAX: usize = 4 * 1024;
/// A read buffer up to this size is kept while its client is busy.
const QUERY_BUFFER_BYTES: usize = 32 * 1024;
/// How long a client must be idle before it loses its buffers, milliseconds.
const BUFFER_IDLE_MS: i64 = 2000;
/// How long the longest reply of a client is remembered.
pub(crate) const REPLY_PEAK_RESET_MS: i64 = 5000;

impl Engine {
    /// Removes expired keys, oldest first, for at most `budget_us`. True when more are due.
    pub fn expire_cycle(&mut self, budget_us: u64) -> bool {
        self.refresh_clock();
        let start_us = self.mono_us;
        let more = self.expire_some(budget_us);
        let took_us = self.clock.monotonic_us().saturating_sub(start_us);
        self.stats.expire_cycle_us += took_us;
        self.note_latency("expire-cycle", took_us);
        more
    }

    /// Records an event of the server itself if it took so long that the latency monitor wants it.
    pub(crate) fn note_latency(&mut self, event: &'static str, took_us: u64) {
        let threshold_ms = self.config.latency_monitor_threshold;
        if threshold_ms > 0 && took_us / 1000 >= threshold_ms {
            self.latency.add(event, self.now_us / 1_000_000, took_us / 1000);
        }
    }

    fn expire_some(&mut self, budget_us: u64) -> bool {
        if self.persistence.loading.is_some()
            || !self.active_expire
            || self.cron_paused
            || self.pause_holds_expiry()
            || self.replication.is_replica()
        {
            return false;
        }
        let (start_us, now_ms) = (self.mono_us, self.now_ms());
        let count = self.keyspace.count();
        for _ in 0..count {
            let db = self.expire_cursor % count;
            loop {
                let mut removed = 0;
                while removed < EXPIRE_BATCH
                    && let Some(key) = self.keyspace.db(db).next_expired(now_ms)
                {
                    self.expire_key(db, &key);
                    removed += 1;
                }
                if removed < EXPIRE_BATCH {
                    break;
                }
                if self.clock.monotonic_us().saturating_sub(start_us) > budget_us {
                    self.stats.expired_time_cap_reached += 1;
                    self.write_effects();
                    return true;
                }
            }
            self.expire_cursor = (db + 1) % count;
        }
        self.after_command();
        self.send_broadcasts();
        self.write_effects();
        false
    }

    /// Moves buckets of tables that grow or shrink, for at most `budget_us`. True when there is
    /// more to move.
    pub fn rehash_cycle(&mut self, budget_us: u64) -> bool {
        let start_us = self.clock.monotonic_us();
        for db in 0..self.keyspace.count() {
            while self.keyspace.db_mut(db).rehash_step(REHASH_BATCH) {
                if self.clock.monotonic_us().saturating_sub(start_us) > budget_us {
                    return true;
                }
            }
        }
        false
    }

    /// How often per second [`sample_cycle`](Self::sample_cycle) should run: `hz`, and with
    /// `dynamic-hz` twice as often until there are enough runs for all clients.
    pub fn tick_rate(&self) -> u32 {
        let mut hz = self.config.hz.clamp(HZ_MIN, HZ_MAX);
        if self.config.dynamic_hz {
            let clients = self.sessions.connected();
            while hz < HZ_MAX && clients / hz as usize > CLIENTS_PER_TICK {
                hz = (hz * 2).min(HZ_MAX);
            }
        }
        hz
    }

    /// How many slices of `slice_us` the work behind [`expire_cycle`](Self::expire_cycle) and its
    /// like may take per tick while there is more of it: a quarter of the time, and up to 43 % with
    /// `active-expire-effort`, as in Redis.
    pub fn slices_per_tick(&self, slice_us: u64) -> u64 {
        let effort = u64::from(self.config.active_expire_effort).saturating_sub(1);
        let percent = EXPIRE_PERCENT + EXPIRE_EFFORT_PERCENT * effort;
        let tick_us = 1_000_000 / u64::from(self.tick_rate());
        (tick_us * percent / 100 / slice_us.max(1)).max(1)
    }

    /// Samples rates and peaks, and looks after some of the clients.
    pub fn sample_cycle(&mut self) {
        self.follow_wall_clock();
        let start_us = self.mono_us;
        let loops = self.stats.loops;
        let totals = [
            self.stats.commands_processed,
            self.stats.net_input_bytes,
            self.stats.net_output_bytes,
            loops.cycles,
            loops.commands_us + loops.timers_us,
            self.replication.stats.input_bytes,
            self.replication.stats.output_bytes,
        ];
        self.stats.ops_samples.sample(self.mono_us, totals);
        let allocated = self.env.used_memory();
        self.stats.peak_memory = self.stats.peak_memory.max(allocated);
        if !self.cron_paused {
            self.look_after_clients();
            self.evict_clients();
            self.replication_timers();
            self.save_tick();
            self.shutdown_tick();
            self.aof_tick();
            self.close_idle_links();
        }
        self.limit_tracking();
        self.send_broadcasts();
        self.stats.loops.tick(self.clock.monotonic_us().saturating_sub(start_us));
    }

    /// Looks after so many clients that each has its turn once a second.
    fn look_after_clients(&mut self) {
        let slots = self.sessions.slot_count();
        let share = slots.div_ceil(self.tick_rate() as usize).max(CLIENTS_MIN).min(slots);
        for _ in 0..share {
            self.client_cursor = (self.client_cursor + 1) % slots;
            self.look_after(ClientSlot(self.client_cursor as u32));
        }
    }

    /// Closes a client that has been idle for `timeout` seconds or has not taken its replies for
    /// too long; asks its connection to give back memory that it does not use.
    fn look_after(&mut self, client: ClientSlot) {
        let timeout_ms = i64::from(self.config.timeout) * 1000;
        let now_ms = self.now_ms();
        let Some(session) = self.sessions.get_mut(client) else { return };
        if client == ClientSlot::SCRIPT || session.killed {
            return;
        }
        session.note_traffic(now_ms);
        let exempt = session.blocked.is_some() || session.subscriptions() > 0 || session.monitor;
        let exempt = exempt || session.is_replica() || session.is_master || session.has_copy;
        let idle_ms = now_ms - session.last_interaction_ms;
        if timeout_ms > 0 && !exempt && idle_ms > timeout_ms {
            self.env.log(perilune_script::LogLevel::Verbose, "Closing idle client");
            self.kill(client);
            return;
        }
        let peak_reset_ms = self.reply_peak_reset_ms;
        if peak_reset_ms.is_some_and(|after| now_ms - session.reply_peak_since_ms >= after) {
            session.reply_peak = session.pending_output();
            session.reply_peak_since_ms = now_ms;
        }
        let buffers = session.buffer_figures();
        let wanted = if buffers.query_free <= SPARE_BYTES_MAX {
            None
        } else if idle_ms > BUFFER_IDLE_MS {
            Some(Tidy::Idle)
        } else if buffers.query + buffers.query_free > QUERY_BUFFER_BYTES {
            Some(Tidy::Oversized)
        } else {
            None
        };
        if wanted.is_some() && !self.buffers_fixed {
            session.tidy = wanted;
            session.wake();
        }
        self.count_any_client(client);
        if self.sessions.get(client).is_some_and(|session| session.soft_limit_since_ms.is_some()) {
            self.enforce_output_limit(client);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::session::{PeerInfo, Waker};
    use crate::test_support::TestEngine;
    use std::sync::Arc;

    /// A connection over which bytes move.
    struct Busy;

    impl Waker for Busy {
        fn wake(&self) {}

        fn take_traffic(&self) -> bool {
            true
        }
    }

    #[test]
    fn whoever_sends_or_takes_anything_is_not_idle() {
        let config = Config { timeout: 1, ..Config::default() };
        let mut server = TestEngine::with_config(config).expect("a table");
        let (idle, waiting, refused) = (server.client(), server.client(), server.client());
        let busy = server.engine.connect(PeerInfo::default(), Some(Arc::new(Busy)));
        server.run(waiting, "BLPOP k 1.5");
        for _ in 0..5 {
            server.pass_ms(700);
            server.run(refused, "NOTHING");
            server.engine.begin_batch(waiting, &mut Vec::new());
            server.engine.sample_cycle();
        }
        let killed = |client| server.engine.sessions.get(client).is_none_or(|it| it.killed);
        let all = [idle, waiting, refused, busy].map(killed);
        assert_eq!(all, [true, true, false, false], "the wait was over for two seconds");
        let client = server.client();
        server.run(client, "BLPOP k 1.5");
        server.pass_ms(1600);
        server.engine.begin_batch(client, &mut Vec::new());
        server.engine.sample_cycle();
        assert!(server.engine.sessions.get(client).is_some_and(|it| !it.killed));
    }

    #[test]
    fn effort_gives_expiry_more_of_the_time() {
        let mut server = TestEngine::new();
        let client = server.client();
        assert_eq!(server.engine.slices_per_tick(1000), 25);
        assert_eq!(server.run(client, "CONFIG SET active-expire-effort 10"), "+OK\r\n");
        assert_eq!(server.engine.slices_per_tick(1000), 43);
        assert_eq!(server.run(client, "CONFIG SET hz 500"), "+OK\r\n");
        assert_eq!(server.engine.slices_per_tick(1000), 1, "never none");
    }
}
