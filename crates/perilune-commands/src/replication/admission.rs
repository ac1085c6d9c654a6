//! What a server that follows a master refuses to its clients, and what becomes of keys whose time
//! is up.
//!
//! A key goes when the master says so. Until then this server's clients do not see it any more, but
//! the master's commands do: they were meant for the data as it is there.

use crate::engine::Engine;
use crate::errors::{self, CommandError};
use crate::session::ClientSlot;
use crate::spec::CommandFlags;

/// Time between two warnings that a command of the master could not be kept, milliseconds.
const DISK_WARNING_MS: i64 = 10_000;

impl Engine {
    /// The rules of a replica.
    pub(crate) fn check_as_replica(
        &self,
        client: ClientSlot,
        flags: CommandFlags,
        name: &str,
    ) -> Result<(), CommandError> {
        if self.sessions.get(client).is_some_and(|session| session.is_master) {
            return Ok(());
        }
        let writes = flags.contains(CommandFlags::WRITE)
            || (name == "exec" && self.queue_contains(client, CommandFlags::WRITE));
        if writes && self.config.replica_read_only {
            return Err(errors::READONLY);
        }
        let stale = flags.contains(CommandFlags::STALE)
            && (name != "exec" || !self.queue_lacks(client, CommandFlags::STALE));
        if !stale && self.is_stale() {
            return Err(errors::MASTERDOWN);
        }
        if flags.contains(CommandFlags::NO_ASYNC_LOADING) && self.loads_aside() {
            return Err(errors::LOADING);
        }
        Ok(())
    }

    /// Replicas are exempt from pauses, so they must not use that to get at keys. Clients under
    /// `MONITOR` are taken for replicas here.
    pub(crate) fn check_own_replica(
        &self,
        client: ClientSlot,
        flags: CommandFlags,
    ) -> Result<(), CommandError> {
        let keyspace = CommandFlags::WRITE | CommandFlags::READONLY | CommandFlags::MAY_REPLICATE;
        let session = self.sessions.get(client);
        let is_one = || session.is_some_and(|session| session.is_replica() || session.monitor);
        match flags.intersects(keyspace) && is_one() {
            true => Err(errors::REPLICA_AND_KEYSPACE),
            false => Ok(()),
        }
    }

    /// A command of the master that cannot be kept: what the master did is done, so the server does
    /// it, too, or ends.
    #[cold]
    pub(crate) fn obey_without_disk(&mut self, name: &str) {
        if !self.config.replica_ignore_disk_write_errors && name != "ping" {
            self.log_warning("Replica was unable to write command to disk.");
            self.env.abort();
            return;
        }
        let now_ms = self.now_ms();
        if now_ms > self.replication.disk_warned_ms + DISK_WARNING_MS {
            self.replication.disk_warned_ms = now_ms;
            self.log_warning(
                "Replica is applying a command even though it is unable to write to disk.",
            );
        }
    }

    /// Whether the data may be old and must not be shown.
    pub(crate) fn is_stale(&self) -> bool {
        self.replication.is_replica()
            && !self.config.replica_serve_stale_data
            && !self.replication.is_linked()
            && !self.aof.is_replaying()
    }

    /// Whether clients may not write here.
    pub(crate) fn is_read_only(&self) -> bool {
        self.replication.is_replica() && self.config.replica_read_only && !self.aof.is_replaying()
    }

    /// Whether the memory limit is the master's business.
    #[inline]
    pub(crate) fn ignores_maxmemory(&self) -> bool {
        (self.replication.is_replica() && self.config.replica_ignore_maxmemory)
            || self.aof.is_replaying()
    }

    /// Whether the running command is one of the master.
    #[inline]
    pub(crate) fn obeys_master(&self) -> bool {
        let upstream = self.replication.upstream.as_ref();
        upstream.is_some_and(|it| it.client.is_some() && it.client == self.current_client)
    }
}
