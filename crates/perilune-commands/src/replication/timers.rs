//! What both sides of replication do every second: signs of life, and the end of those who give
//! none.

use super::peers::Stage;
use super::upstream::LinkState;
use crate::engine::Engine;
use crate::propagation::append_command;
use crate::session::ClientSlot;

/// Time between two rounds, milliseconds.
const ROUND_MS: i64 = 1000;

impl Engine {
    /// Does what is due. Called many times a second.
    pub(crate) fn replication_timers(&mut self) {
        self.ask_for_confirmations();
        self.failover_tick();
        let now_ms = self.now_ms();
        let since_ms = now_ms - self.replication.timers_ms;
        if (0..ROUND_MS).contains(&since_ms) {
            return;
        }
        self.replication.timers_ms = now_ms;
        self.check_upstream();
        self.confirm_upstream();
        if !self.replication.replicas.is_empty() {
            self.ping_replicas();
            self.hearten_waiting_replicas();
            self.close_silent_replicas();
            self.close_stuck_replicas();
            self.serve_waiting_replicas();
        }
        self.remove_sync_file();
        self.drop_unattended_log();
        self.expire_own_keys();
    }

    /// Sends `PING` to the replicas every `repl-ping-replica-period` seconds. Those of a replica
    /// get the master's.
    fn ping_replicas(&mut self) {
        let period_ms = i64::from(self.config.repl_ping_replica_period) * 1000;
        let now_ms = self.now_ms();
        if self.replication.is_replica()
            || self.replication.failover.is_some()
            || now_ms - self.replication.pinged_ms < period_ms
        {
            return;
        }
        self.replication.pinged_ms = now_ms;
        let mut ping = Vec::new();
        append_command(&mut ping, &[b"PING"]);
        self.feed_replicas(&ping);
    }

    /// Replicas that wait for a snapshot take empty lines for signs of life.
    fn hearten_waiting_replicas(&mut self) {
        for slot in self.replication.replicas.clone() {
            if let Some(session) = self.sessions.get_mut(slot)
                && session.replica.as_ref().is_some_and(|replica| replica.awaits_snapshot())
            {
                session.outbox.push(b'\n');
                session.wake();
            }
        }
    }

    /// Closes replicas that have confirmed nothing for `repl-timeout` seconds.
    fn close_silent_replicas(&mut self) {
        let timeout_s = i64::from(self.config.repl_timeout);
        let now_ms = self.now_ms();
        let silent: Vec<ClientSlot> = self
            .replication
            .replicas
            .iter()
            .copied()
            .filter(|slot| {
                let replica = self.sessions.get(*slot).and_then(|s| s.replica.as_ref());
                replica.is_some_and(|it| {
                    it.stage == Stage::Online
                        && !it.confirms_nothing
                        && it.lag_s(now_ms) > timeout_s
                })
            })
            .collect();
        for slot in silent {
            let name = self.replica_name(slot);
            self.log_warning(&format!("Disconnecting timedout replica (streaming sync): {name}"));
            self.kill(slot);
        }
    }

    /// Closes replicas that have taken nothing of their snapshot for `repl-timeout` seconds: others
    /// may be waiting for it to go on, who are not to blame.
    fn close_stuck_replicas(&mut self) {
        let timeout_ms = i64::from(self.config.repl_timeout) * 1000;
        let now_ms = self.now_ms();
        let mut stuck = Vec::new();
        for slot in &self.replication.replicas {
            let Some(session) = self.sessions.get_mut(*slot) else { continue };
            let Some(replica) = session.replica.as_deref_mut() else { continue };
            if replica.stage != Stage::Sending || replica.awaits_snapshot() {
                continue;
            }
            if replica.waits_for_more() {
                replica.taken_ms = now_ms;
            } else if now_ms - replica.taken_ms > timeout_ms {
                stuck.push(*slot);
            }
        }
        for slot in stuck {
            let name = self.replica_name(slot);
            self.log_warning(&format!("Disconnecting timedout replica (full sync): {name}"));
            self.kill(slot);
        }
    }

    /// A master that has been without replicas for `repl-backlog-ttl` seconds gives its log up, and
    /// with it its id.
    fn drop_unattended_log(&mut self) {
        let ttl_s = self.config.repl_backlog_ttl;
        let stream = &self.replication;
        if ttl_s == 0 || stream.is_replica() || stream.log.is_none() || !stream.replicas.is_empty()
        {
            return;
        }
        let alone_s = (self.now_ms() - stream.unattended_since_ms).max(0) as u64 / 1000;
        if alone_s > ttl_s {
            self.new_stream_id();
            self.replication.log = None;
            self.update_recording();
            self.log_notice(&format!(
                "Replication backlog freed after {ttl_s} seconds without connected replicas."
            ));
        }
    }

    /// Asks the replicas for confirmations that somebody waits for.
    pub(crate) fn ask_for_confirmations(&mut self) {
        if std::mem::take(&mut self.replication.ask_replicas) {
            let mut question = Vec::new();
            append_command(&mut question, &[b"REPLCONF", b"GETACK", b"*"]);
            self.feed_replicas(&question);
        }
    }

    /// Gives up a link on which nothing has come for `repl-timeout` seconds.
    fn check_upstream(&mut self) {
        let timeout_s = i64::from(self.config.repl_timeout);
        let now_ms = self.now_ms();
        let Some(upstream) = &mut self.replication.upstream else { return };
        let client = upstream.client.and_then(|client| self.sessions.get(client));
        if client.is_some_and(|session| session.blocked.is_some()) {
            // A pause keeps its commands waiting here, and nothing is read meanwhile.
            upstream.last_io_ms = now_ms;
            return;
        }
        if (now_ms - upstream.last_io_ms) / 1000 <= timeout_s {
            return;
        }
        let message = match upstream.state {
            LinkState::Connect => return,
            LinkState::Connecting | LinkState::Handshake => "Timeout connecting to the MASTER...",
            LinkState::Sync => {
                "Timeout receiving bulk data from MASTER... If the problem persists try to set \
                 the 'repl-timeout' parameter in redis.conf to a larger value."
            }
            LinkState::Connected => "MASTER timeout: no data nor PING received...",
        };
        self.log_warning(message);
        self.renew_link();
    }

    /// Tells the master how far this server has got.
    pub(crate) fn confirm_upstream(&mut self) {
        let Some(client) = self.replication.upstream.as_ref().and_then(|it| it.client) else {
            return;
        };
        let offset = self.replication.offset;
        let on_disk = self.stream_offset_on_disk();
        let current = self.current_client;
        let Some(session) = self.sessions.get_mut(client) else { return };
        let (mut digits, mut disk_digits) = (itoa::Buffer::new(), itoa::Buffer::new());
        let offset = digits.format(offset).as_bytes();
        let mut argv = vec![&b"REPLCONF"[..], b"ACK", offset];
        if let Some(on_disk) = on_disk {
            argv.extend([&b"FACK"[..], disk_digits.format(on_disk).as_bytes()]);
        }
        append_command(&mut session.outbox, &argv);
        if current != Some(client) {
            session.wake();
        }
    }

    /// Removes keys that a client gave a deadline on this replica: the master knows nothing of it.
    fn expire_own_keys(&mut self) {
        if self.replication.own_volatile.is_empty() {
            return;
        }
        let now_ms = self.now_ms();
        let keys: Vec<_> = self.replication.own_volatile.iter().cloned().collect();
        for (db, key) in keys {
            let deadline = self.keyspace.db(db).get(&key).and_then(|entry| entry.expire_at());
            match deadline {
                Some(at) if at > now_ms => continue,
                Some(_) => self.expire_key(db, &key),
                None => {}
            }
            self.replication.own_volatile.remove(&(db, key));
        }
        self.after_command();
    }
}
