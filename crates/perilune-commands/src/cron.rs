//! Work that no client asked for: expiry, rehashing, samples. The server calls in regularly; every
//! call does a bounded amount and says whether there is more.

use crate::engine::Engine;

/// Keys expired between two looks at the clock.
const EXPIRE_BATCH: usize = 32;
/// Buckets moved per table between two looks at the clock.
const REHASH_BATCH: usize = 256;

impl Engine {
    /// Removes expired keys, oldest first, for at most `budget_us`. True when more are due.
    pub fn expire_cycle(&mut self, budget_us: u64) -> bool {
        self.refresh_clock();
        if !self.active_expire || self.pause_holds_expiry() {
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
                    return true;
                }
            }
            self.expire_cursor = (db + 1) % count;
        }
        self.after_command();
        false
    }

    /// A pause of writes also stops expiry, which is a write.
    fn pause_holds_expiry(&self) -> bool {
        self.pause.is_some_and(|pause| pause.until_ms > self.now_ms())
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

    /// Samples rates and peaks, and closes clients that were idle for `timeout` seconds.
    pub fn sample_cycle(&mut self) {
        self.follow_wall_clock();
        let totals = [
            self.stats.commands_processed,
            self.stats.net_input_bytes,
            self.stats.net_output_bytes,
        ];
        self.stats.ops_samples.sample(self.mono_us, totals);
        let allocated = self.env.used_memory();
        self.stats.peak_memory = self.stats.peak_memory.max(allocated);
        self.close_idle_clients();
    }

    fn close_idle_clients(&mut self) {
        let timeout_ms = i64::from(self.config.timeout) * 1000;
        let now_ms = self.now_ms();
        let mut idle = Vec::new();
        for (slot, session) in self.sessions.iter() {
            let waits = session.blocked.is_some() || session.subscriptions() > 0;
            let idle_ms = now_ms - session.last_command_ms;
            if timeout_ms > 0 && !waits && !session.monitor && idle_ms > timeout_ms {
                idle.push(slot);
            }
        }
        for slot in idle {
            self.env.log(perilune_script::LogLevel::Verbose, "Closing idle client");
            self.kill(slot);
        }
        let over_soft: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.soft_limit_since_ms.is_some())
            .map(|(slot, _)| slot)
            .collect();
        for slot in over_soft {
            self.enforce_output_limit(slot);
        }
    }
}
