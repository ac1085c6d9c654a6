//! The table of parameters: one row per parameter, and everything derived from it.
//!
//! A row reads `field: type = default; "name" ["alias"] FLAGS => kind only [values] "reason";`. The
//! macro turns the rows into the [`Config`] struct with its defaults, the [`ParamId`] enumeration and
//! [`PARAMS`], which holds for each parameter how to read, write and print it. `only` lists the values
//! a parameter may take while the feature behind it is missing (`default` stands for that value);
//! every other valid value is refused with the reason. Adding a parameter means adding one row.

use bitflags::bitflags;

use super::check;
use super::error::{self, Reason};
use super::number::NumberFormat;
use super::values::*;

const I32_MIN: i128 = i32::MIN as i128;
const I32_MAX: i128 = i32::MAX as i128;
const U32_MAX: i128 = u32::MAX as i128;
const I64_MAX: i128 = i64::MAX as i128;
const U64_MAX: i128 = u64::MAX as i128;
const MIB: i128 = 1 << 20;

// Why parameters of missing features are refused.
const NO_CLUSTER: &str = "cluster mode is not supported by this build";
const NO_TLS: &str = "TLS is not supported by this build";
const NO_DEFRAG: &str = "active defragmentation is not supported by this build";
const NO_SYSLOG: &str = "logging to syslog is not supported by this build";
const NO_CPULIST: &str = "CPU affinity is not supported by this build";

bitflags! {
    /// Properties of a parameter.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct ParamFlags: u8 {
        /// No property.
        const NONE = 0;
        /// Can only be set before the server starts.
        const IMMUTABLE = 1 << 0;
        /// Its value must not appear in logs.
        const SENSITIVE = 1 << 1;
        /// Shown in crash reports.
        const DEBUG = 1 << 2;
        /// Takes any number of words.
        const MULTI_ARG = 1 << 3;
        /// Answers `CONFIG GET` only by its exact name.
        const HIDDEN = 1 << 4;
        /// Needs `enable-protected-configs` to be set at run time.
        const PROTECTED = 1 << 5;
        /// Cannot be set while the data set is loaded.
        const DENY_LOADING = 1 << 6;
        /// An empty text means that the parameter is not set.
        const EMPTY_IS_UNSET = 1 << 7;
    }
}

/// A text parameter: UTF-8 where other parts of the server need a string, bytes for secrets.
pub(super) trait Text {
    fn assign_text(&mut self, value: &[u8]) -> Result<(), Reason>;
    fn bytes(&self) -> &[u8];
}

impl Text for String {
    fn assign_text(&mut self, value: &[u8]) -> Result<(), Reason> {
        *self = std::str::from_utf8(value).map_err(|_| error::NOT_UTF8)?.to_owned();
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Text for Vec<u8> {
    fn assign_text(&mut self, value: &[u8]) -> Result<(), Reason> {
        *self = value.to_vec();
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        self
    }
}

/// Assigns a value of several words.
type AssignWords = fn(&mut Config, &[&[u8]], Origin) -> Result<(), Reason>;

/// How one parameter is read, written and printed.
pub(super) enum Kind {
    YesNo {
        get: fn(&Config) -> bool,
        set: fn(&mut Config, bool),
    },
    Number {
        bounds: (i128, i128),
        format: NumberFormat,
        get: fn(&Config) -> i128,
        set: fn(&mut Config, i128),
    },
    Text {
        check: fn(&[u8]) -> Result<(), &'static str>,
        get: fn(&Config) -> &[u8],
        set: fn(&mut Config, &[u8]) -> Result<(), Reason>,
    },
    Choice {
        get: fn(&Config) -> &'static str,
        set: fn(&mut Config, &[u8]) -> Result<(), Reason>,
    },
    Special {
        get: fn(&Config) -> Vec<u8>,
        set: AssignWords,
        lines: fn(&Config, &Config) -> Vec<(String, bool)>,
    },
}

/// The values a parameter may take while the feature behind it is missing.
pub(super) struct Only {
    /// Without any it is the default.
    pub(super) values: &'static [&'static str],
    pub(super) reason: &'static str,
}

impl Only {
    /// Whether the parameter `id` may have this value.
    pub(super) fn allows(&self, id: ParamId, value: &[u8]) -> bool {
        match self.values {
            [] => Config::default().get(id) == value,
            values => values.iter().any(|allowed| allowed.as_bytes() == value),
        }
    }
}

/// One parameter.
pub(super) struct Param {
    pub(super) id: ParamId,
    pub(super) name: &'static str,
    pub(super) alias: Option<&'static str>,
    pub(super) flags: ParamFlags,
    pub(super) kind: Kind,
    pub(super) only: Option<Only>,
}

macro_rules! kind {
    (@number $field:ident, $ty:ty, $lower:expr, $upper:expr, $format:ident) => {
        Kind::Number {
            bounds: ($lower, $upper),
            format: NumberFormat::$format,
            get: |config| config.$field as i128,
            // The bounds lie within the type of the field, so nothing is cut off.
            set: |config, value| config.$field = value as $ty,
        }
    };
    ($field:ident, $ty:ty, int($lower:expr, $upper:expr)) => {
        kind!(@number $field, $ty, $lower, $upper, Plain)
    };
    ($field:ident, $ty:ty, octal($lower:expr, $upper:expr)) => {
        kind!(@number $field, $ty, $lower, $upper, Octal)
    };
    ($field:ident, $ty:ty, memory($lower:expr, $upper:expr)) => {
        kind!(@number $field, $ty, $lower, $upper, Memory)
    };
    ($field:ident, $ty:ty, percent($lower:expr, $upper:expr)) => {
        kind!(@number $field, $ty, $lower, $upper, MemoryOrPercent)
    };
    ($field:ident, $ty:ty, yesno) => {
        Kind::YesNo { get: |config| config.$field, set: |config, value| config.$field = value }
    };
    ($field:ident, $ty:ty, text) => {
        kind!($field, $ty, text(|_| Ok(())))
    };
    ($field:ident, $ty:ty, text($check:expr)) => {
        Kind::Text {
            check: $check,
            get: |config| config.$field.bytes(),
            set: |config, value| config.$field.assign_text(value),
        }
    };
    ($field:ident, $ty:ty, choice) => {
        Kind::Choice {
            get: |config| config.$field.word(),
            set: |config, word| {
                let unknown = || not_a_choice(<$ty>::WORDS.iter().map(|(word, _)| *word));
                config.$field = <$ty>::from_word(word).ok_or_else(unknown)?;
                Ok(())
            },
        }
    };
    ($field:ident, $ty:ty, special) => {
        Kind::Special {
            get: |config| config.$field.text(),
            set: |config, args, origin| config.$field.assign(args, origin),
            lines: |config, default| config.$field.lines(&default.$field),
        }
    };
}

macro_rules! only {
    () => {
        None
    };
    (default $reason:expr) => {
        Some(Only { values: &[], reason: $reason })
    };
    ([$($value:literal),+] $reason:expr) => {
        Some(Only { values: &[$($value),+], reason: $reason })
    };
}

macro_rules! alias {
    () => {
        None
    };
    ($alias:literal) => {
        Some($alias)
    };
}

macro_rules! parameters {
    ($(
        $field:ident: $ty:ty = $default:expr; $name:literal $([$alias:literal])? $($flag:ident)|+
        => $kind:ident $(($($arg:expr),*))? $(only $values:tt $reason:expr)?;
    )+) => {
        /// The configuration of a server: one field per parameter, named like it.
        ///
        /// A `Config` always holds valid values as long as it is only changed through its methods.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Config {
            $(#[doc = concat!("The `", $name, "` parameter.")] pub $field: $ty,)+
            /// Commands to rename, as (old name, new name); an empty new name removes the command.
            pub renamed_commands: Vec<(String, String)>,
            /// ACL users declared with `user` lines: the words behind `user`.
            pub users: Vec<Vec<Vec<u8>>>,
            /// Absolute path of the file the server was started with.
            pub config_file: Option<String>,
        }

        impl Default for Config {
            fn default() -> Self {
                Self {
                    $($field: $default,)+
                    renamed_commands: Vec::new(),
                    users: Vec::new(),
                    config_file: None,
                }
            }
        }

        /// A parameter. Variants are named like the fields of [`Config`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(non_camel_case_types)]
        pub enum ParamId {
            $(#[doc = concat!("`", $name, "`")] $field,)+
        }

        /// Every parameter, in the order of [`ParamId`].
        pub(super) static PARAMS: &[Param] = &[$(Param {
            id: ParamId::$field,
            name: $name,
            alias: alias!($($alias)?),
            flags: ParamFlags::from_bits_retain($(ParamFlags::$flag.bits())|+),
            kind: kind!($field, $ty, $kind $(($($arg),*))?),
            only: only!($($values $reason)?),
        }),+];
    };
}

#[rustfmt::skip]
parameters! {
    // Network
    bind: BindAddresses = BindAddresses::default(); "bind" MULTI_ARG => special;
    bind_source_addr: String = String::new(); "bind-source-addr" EMPTY_IS_UNSET => text;
    io_threads: u32 = 1; "io-threads" DEBUG | IMMUTABLE => int(1, 128);
    // With one thread there is nobody else to read; `no` for several is refused.
    io_threads_do_reads: bool = true; "io-threads-do-reads" DEBUG | IMMUTABLE => yesno;
    port: u16 = 6379; "port" NONE => int(0, 65535);
    socket_mark_id: u32 = 0; "socket-mark-id" IMMUTABLE => int(0, U32_MAX)
        only ["0"] "socket marks are not supported by this build";
    tcp_backlog: u32 = 511; "tcp-backlog" IMMUTABLE => int(0, I32_MAX);
    tcp_keepalive: u32 = 300; "tcp-keepalive" NONE => int(0, I32_MAX);
    unixsocket: String = String::new(); "unixsocket" IMMUTABLE | EMPTY_IS_UNSET => text;
    unixsocketperm: u32 = 0; "unixsocketperm" IMMUTABLE => octal(0, 0o777);

    // Clients
    client_output_buffer_limit: OutputBufferLimits = OutputBufferLimits::default();
        "client-output-buffer-limit" MULTI_ARG => special;
    client_query_buffer_limit: usize = 1_073_741_824; "client-query-buffer-limit" DEBUG
        => memory(MIB, I64_MAX);
    maxclients: u32 = 10000; "maxclients" NONE => int(1, U32_MAX);
    proto_max_bulk_len: u64 = 536_870_912; "proto-max-bulk-len" DEBUG => memory(MIB, I64_MAX);
    timeout: u32 = 0; "timeout" NONE => int(0, I32_MAX);

    // Server process
    always_show_logo: bool = false; "always-show-logo" IMMUTABLE => yesno;
    bio_cpulist: String = String::new(); "bio_cpulist" IMMUTABLE | EMPTY_IS_UNSET => text
        only [""] NO_CPULIST;
    daemonize: bool = false; "daemonize" IMMUTABLE => yesno;
    dir: String = String::new(); "dir" PROTECTED | DENY_LOADING => special;
    dynamic_hz: bool = true; "dynamic-hz" NONE => yesno;
    hz: u32 = 10; "hz" NONE => int(0, I32_MAX);
    // The one warning that Redis has a name for is about forks of the process.
    ignore_warnings: String = String::new(); "ignore-warnings" NONE => text
        only ["", "ARM64-COW-BUG"] "no other warning can be ignored";
    locale_collate: String = String::new(); "locale-collate" NONE => text
        only ["", "C", "POSIX"] "collation by locale is not supported by this build";
    pidfile: String = String::new(); "pidfile" IMMUTABLE | EMPTY_IS_UNSET => text;
    proc_title_template: String = String::from("{title} {listen-addr} {server-mode}");
        "proc-title-template" NONE => text(check::proc_title);
    server_cpulist: String = String::new(); "server_cpulist" IMMUTABLE | EMPTY_IS_UNSET => text
        only [""] NO_CPULIST;
    set_proc_title: bool = true; "set-proc-title" IMMUTABLE => yesno;
    shutdown_on_sigint: ShutdownFlags = ShutdownFlags::empty(); "shutdown-on-sigint" MULTI_ARG
        => special;
    shutdown_on_sigterm: ShutdownFlags = ShutdownFlags::empty(); "shutdown-on-sigterm" MULTI_ARG
        => special;
    shutdown_timeout: u32 = 10; "shutdown-timeout" NONE => int(0, I32_MAX);
    supervised: Supervised = Supervised::No; "supervised" IMMUTABLE => choice
        only ["no"] "talking to a supervisor is not supported by this build";
    use_exit_on_panic: bool = false; "use-exit-on-panic" HIDDEN => yesno;
    watchdog_period: u32 = 0; "watchdog-period" HIDDEN => int(0, I32_MAX)
        only ["0"] "the software watchdog is not supported by this build";

    // Keyspace
    active_expire_effort: u32 = 1; "active-expire-effort" NONE => int(1, 10);
    activerehashing: bool = true; "activerehashing" NONE => yesno;
    databases: u32 = 16; "databases" IMMUTABLE => int(1, I32_MAX);

    // Encodings
    hash_max_listpack_entries: usize = 512;
        "hash-max-listpack-entries" ["hash-max-ziplist-entries"] NONE => int(0, I64_MAX);
    hash_max_listpack_value: usize = 64; "hash-max-listpack-value" ["hash-max-ziplist-value"] NONE
        => memory(0, I64_MAX);
    hll_sparse_max_bytes: usize = 3000; "hll-sparse-max-bytes" NONE => memory(0, I64_MAX);
    list_compress_depth: u32 = 0; "list-compress-depth" DEBUG => int(0, I32_MAX);
    list_max_listpack_size: i32 = -2; "list-max-listpack-size" ["list-max-ziplist-size"] NONE
        => int(I32_MIN, I32_MAX);
    set_max_intset_entries: usize = 512; "set-max-intset-entries" NONE => int(0, I64_MAX);
    set_max_listpack_entries: usize = 128; "set-max-listpack-entries" NONE => int(0, I64_MAX);
    set_max_listpack_value: usize = 64; "set-max-listpack-value" NONE => int(0, I64_MAX);
    stream_node_max_bytes: usize = 4096; "stream-node-max-bytes" NONE => memory(0, I64_MAX);
    stream_node_max_entries: u64 = 100; "stream-node-max-entries" NONE => int(0, I64_MAX);
    zset_max_listpack_entries: usize = 128;
        "zset-max-listpack-entries" ["zset-max-ziplist-entries"] NONE => int(0, I64_MAX);
    zset_max_listpack_value: usize = 64; "zset-max-listpack-value" ["zset-max-ziplist-value"] NONE
        => memory(0, I64_MAX);

    // Memory
    active_defrag_cycle_max: u32 = 25; "active-defrag-cycle-max" NONE => int(1, 99)
        only default NO_DEFRAG;
    active_defrag_cycle_min: u32 = 1; "active-defrag-cycle-min" NONE => int(1, 99)
        only default NO_DEFRAG;
    active_defrag_ignore_bytes: usize = 104_857_600; "active-defrag-ignore-bytes" NONE
        => memory(1, I64_MAX)
        only default NO_DEFRAG;
    active_defrag_max_scan_fields: usize = 1000; "active-defrag-max-scan-fields" NONE
        => int(1, I64_MAX)
        only default NO_DEFRAG;
    active_defrag_threshold_lower: u32 = 10; "active-defrag-threshold-lower" NONE => int(0, 1000)
        only default NO_DEFRAG;
    active_defrag_threshold_upper: u32 = 100; "active-defrag-threshold-upper" NONE => int(0, 1000)
        only default NO_DEFRAG;
    activedefrag: bool = false; "activedefrag" DEBUG => yesno
        only ["no"] NO_DEFRAG;
    disable_thp: bool = true; "disable-thp" IMMUTABLE => yesno;
    jemalloc_bg_thread: bool = true; "jemalloc-bg-thread" NONE => yesno;
    lazyfree_lazy_eviction: bool = false; "lazyfree-lazy-eviction" DEBUG => yesno;
    lazyfree_lazy_expire: bool = false; "lazyfree-lazy-expire" DEBUG => yesno;
    lazyfree_lazy_server_del: bool = false; "lazyfree-lazy-server-del" DEBUG => yesno;
    lazyfree_lazy_user_del: bool = false; "lazyfree-lazy-user-del" DEBUG => yesno;
    lazyfree_lazy_user_flush: bool = false; "lazyfree-lazy-user-flush" DEBUG => yesno;
    lfu_decay_time: u32 = 1; "lfu-decay-time" NONE => int(0, I32_MAX);
    lfu_log_factor: u32 = 10; "lfu-log-factor" NONE => int(0, I32_MAX);
    maxmemory: u64 = 0; "maxmemory" NONE => memory(0, U64_MAX);
    maxmemory_clients: i64 = 0; "maxmemory-clients" NONE => percent(-100, I64_MAX);
    maxmemory_eviction_tenacity: u32 = 10; "maxmemory-eviction-tenacity" NONE => int(0, 100);
    maxmemory_policy: MaxmemoryPolicy = MaxmemoryPolicy::NoEviction; "maxmemory-policy" NONE
        => choice;
    maxmemory_samples: u32 = 5; "maxmemory-samples" NONE => int(1, I32_MAX);
    oom_score_adj: OomScoreAdj = OomScoreAdj::No; "oom-score-adj" NONE => choice;
    oom_score_adj_values: OomScoreAdjValues = OomScoreAdjValues::default();
        "oom-score-adj-values" MULTI_ARG => special;

    // Observability
    crash_log_enabled: bool = true; "crash-log-enabled" NONE => yesno;
    crash_memcheck_enabled: bool = false; "crash-memcheck-enabled" NONE => yesno
        only ["no"] "testing memory after a crash is not supported by this build";
    latency_monitor_threshold: u64 = 0; "latency-monitor-threshold" NONE => int(0, I64_MAX);
    latency_tracking: bool = true; "latency-tracking" NONE => yesno;
    latency_tracking_info_percentiles: Percentiles = Percentiles::default();
        "latency-tracking-info-percentiles" MULTI_ARG => special;
    logfile: String = String::new(); "logfile" IMMUTABLE => text;
    loglevel: LogLevel = LogLevel::Notice; "loglevel" NONE => choice;
    slowlog_log_slower_than: i64 = 10000; "slowlog-log-slower-than" NONE => int(-1, I64_MAX);
    slowlog_max_len: usize = 128; "slowlog-max-len" NONE => int(0, I64_MAX);
    syslog_enabled: bool = false; "syslog-enabled" IMMUTABLE => yesno
        only ["no"] NO_SYSLOG;
    syslog_facility: SyslogFacility = SyslogFacility::Local0; "syslog-facility" IMMUTABLE => choice
        only default NO_SYSLOG;
    syslog_ident: String = String::from("redis"); "syslog-ident" IMMUTABLE => text
        only default NO_SYSLOG;

    // Commands and scripts
    busy_reply_threshold: u64 = 5000; "busy-reply-threshold" ["lua-time-limit"] NONE
        => int(0, I64_MAX);
    lua_memory_limit: usize = 1 << 30; "lua-memory-limit" NONE => memory(0, I64_MAX);
    notify_keyspace_events: NotifyFlags = NotifyFlags::empty(); "notify-keyspace-events" NONE
        => special;
    propagation_error_behavior: PropagationErrorBehavior = PropagationErrorBehavior::Ignore;
        "propagation-error-behavior" NONE => choice;
    tracking_table_max_keys: usize = 1_000_000; "tracking-table-max-keys" NONE => int(0, I64_MAX);

    // Security
    acl_pubsub_default: AclPubsubDefault = AclPubsubDefault::ResetChannels;
        "acl-pubsub-default" NONE => choice;
    aclfile: String = String::new(); "aclfile" IMMUTABLE => text;
    acllog_max_len: usize = 128; "acllog-max-len" NONE => int(0, I64_MAX);
    enable_debug_command: ProtectedAction = ProtectedAction::No; "enable-debug-command" IMMUTABLE
        => choice;
    enable_module_command: ProtectedAction = ProtectedAction::No; "enable-module-command" IMMUTABLE
        => choice;
    enable_protected_configs: ProtectedAction = ProtectedAction::No;
        "enable-protected-configs" IMMUTABLE => choice;
    protected_mode: bool = true; "protected-mode" NONE => yesno;
    requirepass: Vec<u8> = Vec::new(); "requirepass" SENSITIVE | EMPTY_IS_UNSET => text;

    // Snapshots
    bgsave_cpulist: String = String::new(); "bgsave_cpulist" IMMUTABLE | EMPTY_IS_UNSET => text
        only [""] NO_CPULIST;
    dbfilename: String = String::from("dump.rdb"); "dbfilename" PROTECTED
        => text(check::dbfilename);
    key_load_delay: i32 = 0; "key-load-delay" HIDDEN => int(I32_MIN, I32_MAX);
    loading_process_events_interval_bytes: u64 = 2_097_152;
        "loading-process-events-interval-bytes" HIDDEN => int(1024, I32_MAX);
    rdb_del_sync_files: bool = false; "rdb-del-sync-files" NONE => yesno;
    rdb_key_save_delay: i32 = 0; "rdb-key-save-delay" HIDDEN => int(I32_MIN, I32_MAX);
    rdb_save_incremental_fsync: bool = true; "rdb-save-incremental-fsync" NONE => yesno;
    rdbchecksum: bool = true; "rdbchecksum" IMMUTABLE => yesno;
    rdbcompression: bool = true; "rdbcompression" NONE => yesno;
    sanitize_dump_payload: SanitizeDumpPayload = SanitizeDumpPayload::No;
        "sanitize-dump-payload" DEBUG => choice;
    save: Vec<SavePoint> = SavePoint::defaults(); "save" MULTI_ARG => special;
    stop_writes_on_bgsave_error: bool = true; "stop-writes-on-bgsave-error" NONE => yesno;

    // Append-only file
    aof_disable_auto_gc: bool = false; "aof-disable-auto-gc" HIDDEN => yesno;
    aof_load_truncated: bool = true; "aof-load-truncated" NONE => yesno;
    aof_rewrite_incremental_fsync: bool = true; "aof-rewrite-incremental-fsync" NONE => yesno;
    aof_timestamp_enabled: bool = false; "aof-timestamp-enabled" NONE => yesno;
    aof_use_rdb_preamble: bool = true; "aof-use-rdb-preamble" NONE => yesno;
    aof_rewrite_cpulist: String = String::new(); "aof_rewrite_cpulist" IMMUTABLE | EMPTY_IS_UNSET
        => text
        only [""] NO_CPULIST;
    appenddirname: String = String::from("appendonlydir"); "appenddirname" IMMUTABLE
        => text(check::appenddirname);
    appendfilename: String = String::from("appendonly.aof"); "appendfilename" IMMUTABLE
        => text(check::appendfilename);
    appendfsync: AppendFsync = AppendFsync::Everysec; "appendfsync" NONE => choice;
    appendonly: bool = false; "appendonly" DENY_LOADING => yesno;
    auto_aof_rewrite_min_size: u64 = 67_108_864; "auto-aof-rewrite-min-size" NONE
        => memory(0, I64_MAX);
    auto_aof_rewrite_percentage: u32 = 100; "auto-aof-rewrite-percentage" NONE => int(0, I32_MAX);
    no_appendfsync_on_rewrite: bool = false; "no-appendfsync-on-rewrite" NONE => yesno;

    // Replication
    masterauth: Vec<u8> = Vec::new(); "masterauth" SENSITIVE | EMPTY_IS_UNSET => text;
    masteruser: Vec<u8> = Vec::new(); "masteruser" SENSITIVE | EMPTY_IS_UNSET => text;
    min_replicas_max_lag: u32 = 10; "min-replicas-max-lag" ["min-slaves-max-lag"] NONE
        => int(0, I32_MAX);
    min_replicas_to_write: u32 = 0; "min-replicas-to-write" ["min-slaves-to-write"] NONE
        => int(0, I32_MAX);
    repl_backlog_size: u64 = 1_048_576; "repl-backlog-size" NONE => memory(1, I64_MAX);
    repl_backlog_ttl: u64 = 3600; "repl-backlog-ttl" NONE => int(0, I64_MAX);
    repl_disable_tcp_nodelay: bool = false; "repl-disable-tcp-nodelay" NONE => yesno;
    repl_diskless_load: ReplDisklessLoad = ReplDisklessLoad::Disabled;
        "repl-diskless-load" DEBUG | DENY_LOADING => choice;
    repl_diskless_sync: bool = true; "repl-diskless-sync" DEBUG => yesno;
    repl_diskless_sync_delay: u32 = 5; "repl-diskless-sync-delay" NONE => int(0, I32_MAX);
    repl_diskless_sync_max_replicas: u32 = 0; "repl-diskless-sync-max-replicas" NONE
        => int(0, I32_MAX);
    repl_ping_replica_period: u32 = 10; "repl-ping-replica-period" ["repl-ping-slave-period"] NONE
        => int(1, I32_MAX);
    repl_timeout: u32 = 60; "repl-timeout" NONE => int(1, I32_MAX);
    replica_announce_ip: String = String::new();
        "replica-announce-ip" ["slave-announce-ip"] EMPTY_IS_UNSET => text;
    replica_announce_port: u16 = 0; "replica-announce-port" ["slave-announce-port"] NONE
        => int(0, 65535);
    replica_announced: bool = true; "replica-announced" NONE => yesno;
    replica_ignore_disk_write_errors: bool = false; "replica-ignore-disk-write-errors" NONE
        => yesno;
    replica_ignore_maxmemory: bool = true;
        "replica-ignore-maxmemory" ["slave-ignore-maxmemory"] NONE => yesno;
    replica_lazy_flush: bool = false; "replica-lazy-flush" ["slave-lazy-flush"] NONE => yesno;
    replica_priority: u32 = 100; "replica-priority" ["slave-priority"] NONE => int(0, I32_MAX);
    replica_read_only: bool = true; "replica-read-only" ["slave-read-only"] DEBUG => yesno;
    replica_serve_stale_data: bool = true;
        "replica-serve-stale-data" ["slave-serve-stale-data"] NONE => yesno;
    replicaof: Option<ReplicaOf> = None; "replicaof" ["slaveof"] IMMUTABLE | MULTI_ARG => special;

    // Cluster
    cluster_allow_pubsubshard_when_down: bool = true; "cluster-allow-pubsubshard-when-down" NONE
        => yesno
        only default NO_CLUSTER;
    cluster_allow_reads_when_down: bool = false; "cluster-allow-reads-when-down" NONE => yesno
        only default NO_CLUSTER;
    cluster_allow_replica_migration: bool = true; "cluster-allow-replica-migration" NONE => yesno
        only default NO_CLUSTER;
    cluster_announce_bus_port: u16 = 0; "cluster-announce-bus-port" NONE => int(0, 65535)
        only default NO_CLUSTER;
    cluster_announce_hostname: String = String::new(); "cluster-announce-hostname" EMPTY_IS_UNSET
        => text(check::hostname)
        only default NO_CLUSTER;
    cluster_announce_human_nodename: String = String::new();
        "cluster-announce-human-nodename" EMPTY_IS_UNSET => text(check::nodename)
        only default NO_CLUSTER;
    cluster_announce_ip: String = String::new(); "cluster-announce-ip" EMPTY_IS_UNSET => text
        only default NO_CLUSTER;
    cluster_announce_port: u16 = 0; "cluster-announce-port" NONE => int(0, 65535)
        only default NO_CLUSTER;
    cluster_announce_tls_port: u16 = 0; "cluster-announce-tls-port" NONE => int(0, 65535)
        only default NO_CLUSTER;
    cluster_config_file: String = String::from("nodes.conf"); "cluster-config-file" IMMUTABLE
        => text
        only default NO_CLUSTER;
    cluster_enabled: bool = false; "cluster-enabled" IMMUTABLE => yesno
        only ["no"] NO_CLUSTER;
    cluster_link_sendbuf_limit: u64 = 0; "cluster-link-sendbuf-limit" NONE => memory(0, U64_MAX)
        only default NO_CLUSTER;
    cluster_migration_barrier: u32 = 1; "cluster-migration-barrier" NONE => int(0, I32_MAX)
        only default NO_CLUSTER;
    cluster_node_timeout: u64 = 15000; "cluster-node-timeout" NONE => int(0, I64_MAX)
        only default NO_CLUSTER;
    cluster_ping_interval: u64 = 0; "cluster-ping-interval" HIDDEN => int(0, I64_MAX)
        only default NO_CLUSTER;
    cluster_port: u16 = 0; "cluster-port" IMMUTABLE => int(0, 65535)
        only default NO_CLUSTER;
    cluster_preferred_endpoint_type: EndpointType = EndpointType::Ip;
        "cluster-preferred-endpoint-type" NONE => choice
        only default NO_CLUSTER;
    cluster_replica_no_failover: bool = false;
        "cluster-replica-no-failover" ["cluster-slave-no-failover"] NONE => yesno
        only default NO_CLUSTER;
    cluster_replica_validity_factor: u32 = 10;
        "cluster-replica-validity-factor" ["cluster-slave-validity-factor"] NONE => int(0, I32_MAX)
        only default NO_CLUSTER;
    cluster_require_full_coverage: bool = true; "cluster-require-full-coverage" NONE => yesno
        only default NO_CLUSTER;

    // TLS
    tls_auth_clients: TlsAuthClients = TlsAuthClients::Yes; "tls-auth-clients" NONE => choice
        only default NO_TLS;
    tls_ca_cert_dir: String = String::new(); "tls-ca-cert-dir" EMPTY_IS_UNSET => text
        only default NO_TLS;
    tls_ca_cert_file: String = String::new(); "tls-ca-cert-file" EMPTY_IS_UNSET => text
        only default NO_TLS;
    tls_cert_file: String = String::new(); "tls-cert-file" EMPTY_IS_UNSET => text
        only default NO_TLS;
    tls_ciphers: String = String::new(); "tls-ciphers" EMPTY_IS_UNSET => text
        only default NO_TLS;
    tls_ciphersuites: String = String::new(); "tls-ciphersuites" EMPTY_IS_UNSET => text
        only default NO_TLS;
    tls_client_cert_file: String = String::new(); "tls-client-cert-file" EMPTY_IS_UNSET => text
        only default NO_TLS;
    tls_client_key_file: String = String::new(); "tls-client-key-file" EMPTY_IS_UNSET => text
        only default NO_TLS;
    tls_client_key_file_pass: String = String::new(); "tls-client-key-file-pass" EMPTY_IS_UNSET
        => text
        only default NO_TLS;
    tls_cluster: bool = false; "tls-cluster" NONE => yesno
        only ["no"] NO_TLS;
    tls_dh_params_file: String = String::new(); "tls-dh-params-file" EMPTY_IS_UNSET => text
        only default NO_TLS;
    tls_key_file: String = String::new(); "tls-key-file" EMPTY_IS_UNSET => text
        only default NO_TLS;
    tls_key_file_pass: String = String::new(); "tls-key-file-pass" EMPTY_IS_UNSET => text
        only default NO_TLS;
    tls_port: u16 = 0; "tls-port" NONE => int(0, 65535)
        only ["0"] NO_TLS;
    tls_prefer_server_ciphers: bool = false; "tls-prefer-server-ciphers" NONE => yesno
        only default NO_TLS;
    tls_protocols: String = String::new(); "tls-protocols" EMPTY_IS_UNSET => text
        only default NO_TLS;
    tls_replication: bool = false; "tls-replication" NONE => yesno
        only ["no"] NO_TLS;
    tls_session_cache_size: u32 = 20480; "tls-session-cache-size" NONE => int(0, I32_MAX)
        only default NO_TLS;
    tls_session_cache_timeout: u32 = 300; "tls-session-cache-timeout" NONE => int(0, I32_MAX)
        only default NO_TLS;
    tls_session_caching: bool = true; "tls-session-caching" NONE => yesno
        only default NO_TLS;
}
