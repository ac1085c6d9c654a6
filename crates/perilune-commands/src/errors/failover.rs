//! Error texts of failovers, and of what they rule out meanwhile.

use super::CommandError;

texts! {
    /// `FAILOVER ABORT` without one.
    NO_FAILOVER = "ERR No failover in progress.";
    /// `FAILOVER` during another.
    FAILOVER_RUNS = "ERR FAILOVER already in progress.";
    /// `FAILOVER` on a replica.
    FAILOVER_OF_REPLICA = "ERR FAILOVER is not valid when server is a replica.";
    /// `FAILOVER` with nobody to take over.
    FAILOVER_WITHOUT_REPLICAS = "ERR FAILOVER requires connected replicas.";
    /// `FAILOVER FORCE` without what it needs.
    FAILOVER_FORCE = "ERR FAILOVER with force option requires both a timeout and target HOST and IP.";
    /// `FAILOVER TIMEOUT` of no time.
    FAILOVER_TIMEOUT = "ERR FAILOVER timeout must be greater than 0";
    /// `FAILOVER TO` somebody else.
    FAILOVER_TARGET = "ERR FAILOVER target HOST and PORT is not a replica.";
    /// `FAILOVER TO` a replica that has no data yet.
    FAILOVER_TARGET_OFFLINE = "ERR FAILOVER target replica is not online.";
    /// `PSYNC FAILOVER` to a master.
    FAILOVER_TO_MASTER = "ERR PSYNC FAILOVER can't be sent to a master.";
    /// `PSYNC FAILOVER` with another stream.
    FAILOVER_ID = "ERR PSYNC FAILOVER replid must match my replid.";
    /// `PSYNC` to a server that hands over its role.
    SYNC_DURING_FAILOVER = "NOMASTERLINK Can't SYNC while failing over";
    /// `REPLICAOF` during a failover.
    REPLICAOF_DURING_FAILOVER = "ERR REPLICAOF not allowed while failing over.";
}
