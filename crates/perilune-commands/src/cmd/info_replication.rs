//! The replication section of `INFO`.

use super::info::{fields, line};
use crate::engine::Engine;
use crate::replication::NO_ID;
use crate::replication::upstream::{LinkState, Upstream};

pub(super) fn replication(engine: &mut Engine, text: &mut String) {
    match &engine.replication.upstream {
        Some(upstream) => {
            fields!(text, role: "slave");
            followed(engine, upstream, text);
        }
        None => fields!(text, role: "master"),
    }
    fields!(text, connected_slaves: engine.replication.replicas.len());
    if engine.config.min_replicas_to_write > 0 && engine.config.min_replicas_max_lag > 0 {
        fields!(text, min_slaves_good_slaves: engine.count_good_replicas());
    }
    replicas(engine, text);
    let stream = &engine.replication;
    let former = stream.former.as_ref();
    let held = stream.log.as_ref();
    fields!(text,
        master_failover_state: stream.failover_state(),
        master_replid: stream.id,
        master_replid2: former.map_or(NO_ID, |former| &former.id),
        master_repl_offset: stream.offset,
        second_repl_offset: former.map_or(-1, |former| former.offset as i64 + 1),
        repl_backlog_active: u8::from(held.is_some()),
        repl_backlog_size: engine.config.repl_backlog_size,
        repl_backlog_first_byte_offset: held.map_or(0, |log| log.start() + 1),
        repl_backlog_histlen: held.map_or(0, |log| log.len()),
    );
}

/// The lines about the master.
fn followed(engine: &Engine, upstream: &Upstream, text: &mut String) {
    let now_ms = engine.now_ms();
    let seconds_since = |ms: i64| (now_ms - ms).max(0) / 1000;
    let connected = upstream.is_connected();
    let offset = match connected || engine.replication.resumable {
        true => engine.replication.offset,
        false => 1,
    };
    let last_io = if connected { seconds_since(upstream.last_io_ms) } else { -1 };
    fields!(text,
        master_host: upstream.host,
        master_port: upstream.port,
        master_link_status: if connected { "up" } else { "down" },
        master_last_io_seconds_ago: last_io,
        master_sync_in_progress: u8::from(upstream.state == LinkState::Sync),
        slave_read_repl_offset: offset + upstream.pending_bytes(),
        slave_repl_offset: offset,
    );
    if upstream.state == LinkState::Sync {
        let (length, received) = upstream.transfer.map_or((0, 0), |it| (it.length, it.received));
        let share = if length == 0 { 0.0 } else { received as f64 / length as f64 * 100.0 };
        fields!(text,
            master_sync_total_bytes: length,
            master_sync_read_bytes: received,
            master_sync_left_bytes: length.saturating_sub(received),
            master_sync_perc: format_args!("{share:.2}"),
            master_sync_last_io_seconds_ago: seconds_since(upstream.last_io_ms),
        );
    }
    if !connected {
        let since = upstream.down_since_ms.map_or(-1, seconds_since);
        fields!(text, master_link_down_since_seconds: since);
    }
    let config = &engine.config;
    fields!(text,
        slave_priority: config.replica_priority,
        slave_read_only: u8::from(config.replica_read_only),
        replica_announced: u8::from(config.replica_announced),
    );
}

/// A line for each replica.
fn replicas(engine: &Engine, text: &mut String) {
    let now_ms = engine.now_ms();
    for (index, (session, replica)) in engine.replicas().enumerate() {
        let (ip, stage) = (replica.ip(session), replica.stage_name());
        let (port, offset) = (replica.listening_port, replica.confirmed_offset);
        let lag = replica.lag_s(now_ms);
        line(
            text,
            format_args!(
                "slave{index}:ip={ip},port={port},state={stage},offset={offset},lag={lag}"
            ),
        );
    }
}
