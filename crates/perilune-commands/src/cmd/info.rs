//! `INFO`: the figures of the server, by section.
//!
//! A section is a function that writes its lines; [`SECTIONS`] is the one list of them. Fields keep
//! Redis' names and order. A field of something this server does not have (a fork, a replica) is
//! written with the figure that is true for it: zero or "no".

use crate::args::Args;
use crate::blocking::WaitKind;
use crate::cmd::connection::REDIS_VERSION;
use crate::ctx::Ctx;
use crate::engine::Engine;
use crate::errors::CommandError;
use crate::persistence::Job;
use crate::pubsub::Subscription;
use crate::spec::CommandSpec;
use perilune_resp::ReplyWriter;
use std::fmt::Write as _;

pub(crate) const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "info",
    flags: "loading stale",
    acl: "dangerous",
    group: "server",
    complexity: "O(1)",
    summary: "Reports the state and the statistics of the server.",
    args: "[section...]",
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    handler: info,
    ..CommandSpec::EMPTY
}];

/// A section: its name in any letter case, its title, whether it is part of the default answer.
struct Section {
    title: &'static str,
    default: bool,
    write: fn(&mut Engine, &mut String),
}

const SECTIONS: &[Section] = &[
    Section { title: "Server", default: true, write: server },
    Section { title: "Clients", default: true, write: clients },
    Section { title: "Memory", default: true, write: memory },
    Section { title: "Persistence", default: true, write: persistence },
    Section { title: "Stats", default: true, write: stats },
    Section { title: "Replication", default: true, write: super::info_replication::replication },
    Section { title: "CPU", default: true, write: cpu },
    Section { title: "Modules", default: true, write: |_, _| {} },
    Section { title: "Commandstats", default: false, write: command_stats },
    Section { title: "Errorstats", default: true, write: error_stats },
    Section { title: "Latencystats", default: false, write: latency_stats },
    Section { title: "Scriptstats", default: false, write: super::scripting::statistics::section },
    Section { title: "Cluster", default: true, write: cluster },
    Section { title: "Keyspace", default: true, write: keyspace },
    Section { title: HIDDEN, default: false, write: debug },
];

/// The section that is shown only when it is named.
const HIDDEN: &str = "Debug";

fn info(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let asked = args.from(1);
    let any = |names: &[&str]| {
        asked.iter().any(|arg| names.iter().any(|name| arg.eq_ignore_ascii_case(name.as_bytes())))
    };
    let everything = any(&["all", "everything"]);
    let defaults = asked.is_empty() || any(&["default"]);
    let mut text = String::new();
    for section in SECTIONS {
        if (everything && section.title != HIDDEN)
            || (defaults && section.default)
            || any(&[section.title])
        {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            line(&mut text, format_args!("# {}", section.title));
            (section.write)(ctx.engine, &mut text);
        }
    }
    out.verbatim(b"txt", text.as_bytes());
    Ok(())
}

pub(super) fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{content}\r\n");
}

macro_rules! fields {
    ($text:ident, $($name:ident: $value:expr),+ $(,)?) => {
        { $(line($text, format_args!(concat!(stringify!($name), ":{}"), $value));)+ }
    };
}

pub(super) use fields;

/// A size as people read it: `1.50M`.
pub(crate) fn human(bytes: usize) -> String {
    let units = [(1usize << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    match units.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.2}{name}", bytes as f64 / *unit as f64),
        None => format!("{bytes}B"),
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn server(engine: &mut Engine, text: &mut String) {
    let uptime_s = engine.mono_us.saturating_sub(engine.started_us) / 1_000_000;
    let config_file = engine.env.config_file().unwrap_or_default();
    fields!(text,
        redis_version: REDIS_VERSION,
        redis_git_sha1: "00000000",
        redis_git_dirty: 0,
        redis_build_id: "0",
        perilune_version: env!("CARGO_PKG_VERSION"),
        redis_mode: "standalone",
        os: std::env::consts::OS,
        arch_bits: usize::BITS,
        monotonic_clock: engine.clock.monotonic_source(),
        multiplexing_api: "epoll",
        atomicvar_api: "c11-builtin",
        process_id: std::process::id(),
        process_supervised: "no",
        run_id: engine.run_id,
        tcp_port: engine.config.port,
        server_time_usec: engine.now_us,
        uptime_in_seconds: uptime_s,
        uptime_in_days: uptime_s / 86_400,
        hz: engine.tick_rate(),
        configured_hz: engine.config.hz,
        lru_clock: (engine.now_us / 1_000_000) & 0xff_ffff,
        executable: engine.env.executable(),
        config_file: config_file,
        io_threads_active: u8::from(engine.config.io_threads > 1),
    );
    if let Some(ms) = engine.shutdown_in_ms() {
        fields!(text, shutdown_in_milliseconds: ms);
    }
}

fn clients(engine: &mut Engine, text: &mut String) {
    let sessions = || engine.sessions.iter().map(|(_, session)| session);
    let blocked = sessions().filter(|session| session.blocked.is_some()).count();
    let timed = sessions()
        .filter_map(|session| session.blocked.as_ref())
        .filter(|blocked| blocked.kind != WaitKind::Pause && blocked.deadline_ms.is_some())
        .count();
    let input = sessions().map(|session| session.buffer_figures().query).max().unwrap_or(0);
    let output = sessions().map(|session| session.pending_output()).max().unwrap_or(0);
    fields!(text,
        connected_clients: engine.sessions.connected().saturating_sub(engine.replicas().count()),
        cluster_connections: 0,
        maxclients: engine.config.maxclients,
        client_recent_max_input_buffer: input,
        client_recent_max_output_buffer: output,
        blocked_clients: blocked,
        tracking_clients: engine.tracking.clients(),
        clients_in_timeout_table: timed,
        total_blocking_keys: engine.waiters.keys(),
        total_blocking_keys_on_nokey: engine.waiters.keys_with_members(),
    );
}

fn memory(engine: &mut Engine, text: &mut String) {
    let figures = engine.env.memory();
    let used = figures.allocated;
    engine.stats.peak_memory = engine.stats.peak_memory.max(used);
    let peak = engine.stats.peak_memory;
    let startup = engine.startup_memory;
    let overhead: usize = engine.keyspace.iter().map(|(_, db)| db.overhead()).sum();
    let overhead = overhead + startup;
    let dataset = used.saturating_sub(overhead);
    let (clients, replicas) = engine.client_memory_by_kind();
    let policy = String::from_utf8_lossy(
        &engine.config.get_by_name(b"maxmemory-policy").unwrap_or_default(),
    )
    .into_owned();
    fields!(text,
        used_memory: used,
        used_memory_human: human(used),
        used_memory_rss: figures.rss,
        used_memory_rss_human: human(figures.rss),
        used_memory_peak: peak,
        used_memory_peak_human: human(peak),
        used_memory_peak_perc: format_args!("{:.2}%", ratio(used, peak) * 100.0),
        used_memory_overhead: overhead,
        used_memory_startup: startup,
        used_memory_dataset: dataset,
        used_memory_dataset_perc: format_args!("{:.2}%", ratio(dataset, used.saturating_sub(startup)) * 100.0),
        allocator_allocated: figures.allocated,
        allocator_active: figures.active,
        allocator_resident: figures.resident,
        total_system_memory: figures.system_total,
        total_system_memory_human: human(figures.system_total),
    );
    scripting_memory(engine, text);
    let stream_memory = engine.replication.log.as_ref().map_or(0, |log| log.memory());
    let surplus = engine.surplus_stream_memory();
    fields!(text,
        maxmemory: engine.config.maxmemory,
        maxmemory_human: human(engine.config.maxmemory as usize),
        maxmemory_policy: policy,
        allocator_frag_ratio: format_args!("{:.2}", ratio(figures.active, figures.allocated)),
        allocator_frag_bytes: figures.active.saturating_sub(figures.allocated),
        allocator_rss_ratio: format_args!("{:.2}", ratio(figures.resident, figures.active)),
        allocator_rss_bytes: figures.resident.saturating_sub(figures.active),
        rss_overhead_ratio: format_args!("{:.2}", ratio(figures.rss, figures.resident)),
        rss_overhead_bytes: figures.rss as i64 - figures.resident as i64,
        mem_fragmentation_ratio: format_args!("{:.2}", ratio(figures.rss, used)),
        mem_fragmentation_bytes: figures.rss as i64 - used as i64,
        mem_not_counted_for_evict: engine.uncounted_memory(),
        mem_replication_backlog: stream_memory - surplus,
        mem_total_replication_buffers: stream_memory,
        mem_clients_slaves: replicas + surplus,
        mem_clients_normal: clients,
        mem_cluster_links: 0,
        mem_aof_buffer: engine.aof_figures().pending_bytes,
        mem_allocator: "jemalloc",
        active_defrag_running: 0,
        lazyfree_pending_objects: engine.env.pending_disposals(),
        lazyfreed_objects: engine
            .stats
            .lazy_freed
            .saturating_sub(engine.env.pending_disposals() as u64),
    );
}

fn scripting_memory(engine: &mut Engine, text: &mut String) {
    let figures = engine.scripting.figures();
    let (vm, stored) = (figures.vm_bytes, figures.scripts_bytes + figures.functions_bytes);
    fields!(text,
        used_memory_lua: vm,
        used_memory_vm_eval: vm,
        used_memory_lua_human: human(vm),
        used_memory_scripts_eval: figures.scripts_bytes,
        number_of_cached_scripts: figures.scripts,
        number_of_functions: figures.functions,
        number_of_libraries: figures.libraries,
        used_memory_vm_functions: 0,
        used_memory_vm_total: vm,
        used_memory_vm_total_human: human(vm),
        used_memory_functions: figures.functions_bytes,
        used_memory_scripts: stored,
        used_memory_scripts_human: human(stored),
    );
}

fn persistence(engine: &mut Engine, text: &mut String) {
    let state = &engine.persistence;
    let now_s = engine.now_us / 1_000_000;
    let (keys, early_bytes) = state.job.as_ref().map_or((0, 0), Job::progress);
    let total = state.job.as_ref().map_or(0, |job| job.keys_total);
    let (last_early_bytes, early_bytes_max) = state.early_bytes();
    let saving_since = state.job.as_ref().filter(|_| state.is_saving()).map(|job| job.started_s);
    let (keys_loaded, keys_expired) = engine.last_load();
    fields!(text,
        loading: u8::from(state.loading.is_some()),
        async_loading: u8::from(engine.loads_aside()),
        current_cow_peak: early_bytes_max.max(early_bytes),
        current_cow_size: early_bytes,
        current_cow_size_age: 0,
        current_fork_perc: format_args!("{:.2}", ratio(keys as usize, total as usize) * 100.0),
        current_save_keys_processed: keys,
        current_save_keys_total: total,
        rdb_changes_since_last_save: engine.dirty,
        rdb_bgsave_in_progress: u8::from(state.makes_snapshot()),
        rdb_last_save_time: state.last_save_s,
        rdb_last_bgsave_status: if state.last_failed() { "err" } else { "ok" },
        rdb_last_bgsave_time_sec: state.last_took_s(),
        rdb_current_bgsave_time_sec: saving_since.map_or(-1, |since| now_s - since),
        rdb_saves: state.saves(),
        rdb_last_cow_size: last_early_bytes,
        rdb_last_load_keys_expired: keys_expired,
        rdb_last_load_keys_loaded: keys_loaded,
    );
    append_only_file(engine, text);
    loading(engine, text);
}

/// How far the reading of the data is, while they are read.
fn loading(engine: &Engine, text: &mut String) {
    let Some(loading) = &engine.persistence.loading else { return };
    let (total, loaded) = (loading.total_bytes, loading.loaded_bytes);
    fields!(text,
        loading_start_time: loading.started_s,
        loading_total_bytes: total,
        loading_rdb_used_mem: loading.used_memory,
        loading_loaded_bytes: loaded,
        loading_loaded_perc: format_args!("{:.2}", ratio(loaded as usize, total as usize) * 100.0),
        loading_eta_seconds: loading.eta_s(engine.now_us / 1_000_000),
    );
}

fn append_only_file(engine: &Engine, text: &mut String) {
    let word = |ok: bool| if ok { "ok" } else { "err" };
    let aof = engine.aof_figures();
    fields!(text,
        aof_enabled: u8::from(aof.enabled),
        aof_rewrite_in_progress: u8::from(aof.rewriting),
        aof_rewrite_scheduled: u8::from(aof.scheduled),
        aof_last_rewrite_time_sec: aof.last_rewrite_took_s,
        aof_current_rewrite_time_sec: aof.rewrite_takes_s,
        aof_last_bgrewrite_status: word(aof.last_rewrite_ok),
        aof_rewrites: aof.rewrites,
        aof_rewrites_consecutive_failures: aof.failures_in_a_row,
        aof_last_write_status: word(aof.last_write_ok),
        aof_last_cow_size: 0,
    );
    if aof.enabled {
        fields!(text,
            aof_current_size: aof.current_bytes,
            aof_base_size: aof.base_bytes,
            aof_pending_rewrite: u8::from(aof.scheduled),
            aof_buffer_length: aof.pending_bytes,
            aof_pending_bio_fsync: u8::from(aof.syncing),
            aof_delayed_fsync: aof.delayed_syncs,
        );
    }
}

fn stats(engine: &mut Engine, text: &mut String) {
    let [ops, input, output, cycles, busy, followed, fed] = engine.stats.ops_samples.rates();
    let cycle_us = if cycles > 0.0 { busy / cycles } else { 0.0 };
    let (stats, pubsub) = (&engine.stats, &engine.pubsub);
    let replication = &engine.replication.stats;
    let exceeded_us = engine.eviction.exceeded_us(engine.mono_us);
    fields!(text,
        total_connections_received: stats.connections_received,
        total_commands_processed: stats.commands_processed,
        instantaneous_ops_per_sec: ops.round(),
        total_net_input_bytes: stats.net_input_bytes,
        total_net_output_bytes: stats.net_output_bytes,
        total_net_repl_input_bytes: replication.input_bytes,
        total_net_repl_output_bytes: replication.output_bytes,
        instantaneous_input_kbps: format_args!("{:.2}", input / 1024.0),
        instantaneous_output_kbps: format_args!("{:.2}", output / 1024.0),
        instantaneous_input_repl_kbps: format_args!("{:.2}", followed / 1024.0),
        instantaneous_output_repl_kbps: format_args!("{:.2}", fed / 1024.0),
        rejected_connections: stats.connections_rejected,
        sync_full: replication.full,
        sync_partial_ok: replication.partial,
        sync_partial_err: replication.partial_refused,
        expired_keys: stats.expired_keys,
        expired_stale_perc: "0.00",
        expired_time_cap_reached_count: stats.expired_time_cap_reached,
        expire_cycle_cpu_milliseconds: stats.expire_cycle_us / 1000,
        evicted_keys: stats.evicted_keys,
        evicted_clients: stats.evicted_clients,
        evicted_scripts: stats.evicted_scripts,
        total_eviction_exceeded_time: (stats.eviction_exceeded_us + exceeded_us) / 1000,
        current_eviction_exceeded_time: exceeded_us / 1000,
        keyspace_hits: stats.keyspace_hits,
        keyspace_misses: stats.keyspace_misses,
        pubsub_channels: pubsub.count(Subscription::Channel),
        pubsub_patterns: pubsub.count(Subscription::Pattern),
        pubsubshard_channels: pubsub.count(Subscription::Shard),
        latest_fork_usec: 0,
        total_forks: engine.persistence.snapshots,
        migrate_cached_sockets: engine.links.len(),
        slave_expires_tracked_keys: engine.replication.own_volatile.len(),
        tracking_total_keys: engine.tracking.keys(),
        tracking_total_items: engine.tracking.items(),
        tracking_total_prefixes: engine.tracking.prefixes(),
        unexpected_error_replies: replication.failed_commands,
        total_error_replies: stats.error_replies,
        dump_payload_sanitizations: stats.payload_checks,
        total_reads_processed: stats.net_reads,
        total_writes_processed: stats.net_writes,
        client_query_buffer_limit_disconnections: stats.query_limit_disconnections,
        client_output_buffer_limit_disconnections: stats.output_limit_disconnections,
        acl_access_denied_auth: engine.acl.denied.auth,
        acl_access_denied_cmd: engine.acl.denied.command,
        acl_access_denied_key: engine.acl.denied.key,
        acl_access_denied_channel: engine.acl.denied.channel,
        eventloop_cycles: stats.loops.cycles,
        eventloop_duration_sum: stats.loops.commands_us + stats.loops.timers_us,
        eventloop_duration_cmd_sum: stats.loops.commands_us,
        instantaneous_eventloop_cycles_per_sec: cycles.round(),
        instantaneous_eventloop_duration_usec: cycle_us.round(),
    );
}

fn cpu(engine: &mut Engine, text: &mut String) {
    let figures = engine.env.cpu();
    let seconds = |us: u64| us as f64 / 1e6;
    fields!(text,
        used_cpu_sys: format_args!("{:.6}", seconds(figures.sys_us)),
        used_cpu_user: format_args!("{:.6}", seconds(figures.user_us)),
        used_cpu_sys_children: "0.000000",
        used_cpu_user_children: "0.000000",
    );
}

fn command_stats(engine: &mut Engine, text: &mut String) {
    for (_, command) in engine.commands.iter() {
        let stats = command.stats;
        if stats.calls == 0 && stats.rejected == 0 && stats.failed == 0 {
            continue;
        }
        let per_call = if stats.calls == 0 { 0.0 } else { stats.usec as f64 / stats.calls as f64 };
        line(
            text,
            format_args!(
                "cmdstat_{}:calls={},usec={},usec_per_call={per_call:.2},rejected_calls={},\
                 failed_calls={}",
                command.full_name, stats.calls, stats.usec, stats.rejected, stats.failed
            ),
        );
    }
}

fn error_stats(engine: &mut Engine, text: &mut String) {
    for (code, count) in &engine.stats.errors_by_code {
        line(text, format_args!("errorstat_{code}:count={count}"));
    }
}

/// Run times that the configured percentages of the calls did not exceed.
fn latency_stats(engine: &mut Engine, text: &mut String) {
    if !engine.config.latency_tracking {
        return;
    }
    let percentiles = &engine.config.latency_tracking_info_percentiles.0;
    for (_, command) in engine.commands.iter().filter(|(_, c)| c.latency.total() > 0) {
        let figures: Vec<String> = percentiles
            .iter()
            .map(|percent| {
                let us = command.latency.percentile(*percent) as f64 / 1000.0;
                format!("p{percent}={us:.3}")
            })
            .collect();
        let figures = figures.join(",");
        line(text, format_args!("latency_percentiles_usec_{}:{figures}", command.full_name));
    }
}

/// What the loop around the engine did, for developers.
fn debug(engine: &mut Engine, text: &mut String) {
    let loops = &engine.stats.loops;
    fields!(text,
        eventloop_duration_aof_sum: 0,
        eventloop_duration_cron_sum: loops.timers_us,
        eventloop_duration_max: loops.longest_us,
        eventloop_cmd_per_cycle_max: loops.commands_max,
    );
}

fn cluster(_: &mut Engine, text: &mut String) {
    fields!(text, cluster_enabled: 0);
}

fn keyspace(engine: &mut Engine, text: &mut String) {
    let now_ms = engine.now_ms();
    for (index, db) in engine.keyspace.iter().filter(|(_, db)| !db.is_empty()) {
        let (keys, expires, ttl) = (db.len(), db.volatile_len(), db.average_ttl(now_ms));
        line(text, format_args!("db{index}:keys={keys},expires={expires},avg_ttl={ttl}"));
    }
}
