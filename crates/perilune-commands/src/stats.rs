//! What the server counts about itself: totals, errors by code, the slow log, latency spikes.

use crate::owned_args::OwnedArgs;
use crate::session::PeerInfo;
use perilune_keyspace::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// Totals since the start or the last `CONFIG RESETSTAT`.
#[derive(Debug, Clone, Default)]
pub struct ServerStats {
    /// Connections accepted.
    pub connections_received: u64,
    /// Connections refused at `maxclients`.
    pub connections_rejected: u64,
    /// Commands run.
    pub commands_processed: u64,
    /// Bytes read from clients.
    pub net_input_bytes: u64,
    /// Bytes written to clients.
    pub net_output_bytes: u64,
    /// Reads from sockets of clients that brought something.
    pub net_reads: u64,
    /// Writes to sockets of clients that were taken, in part at least.
    pub net_writes: u64,
    /// Time spent expiring keys that nobody asked for, microseconds.
    pub expire_cycle_us: u64,
    /// Payloads of `RESTORE` that were checked in depth.
    pub payload_checks: u64,
    /// Keys removed because their time was up.
    pub expired_keys: u64,
    /// Times the active expiry stopped at its time limit.
    pub expired_time_cap_reached: u64,
    /// Keys removed for memory.
    pub evicted_keys: u64,
    /// Clients closed for memory.
    pub evicted_clients: u64,
    /// Microseconds over the memory limit, the present stretch left out.
    pub eviction_exceeded_us: u64,
    /// Scripts removed from the cache for room.
    pub evicted_scripts: u64,
    /// Lookups that found a key.
    pub keyspace_hits: u64,
    /// Lookups that found none.
    pub keyspace_misses: u64,
    /// Error replies.
    pub error_replies: u64,
    /// Error replies by code.
    pub errors_by_code: BTreeMap<String, u64>,
    /// Clients closed for output limits.
    pub output_limit_disconnections: u64,
    /// Clients closed for query buffer limits.
    pub query_limit_disconnections: u64,
    /// Values given to the background for freeing.
    pub lazy_freed: u64,
    /// Highest memory use seen, bytes. Not reset with the rest.
    pub peak_memory: usize,
    /// Turns of work under the engine.
    pub loops: LoopStats,
    /// Samples of commands per second, newest last.
    pub ops_samples: OpsSamples,
}

/// How often the engine was taken, and for how long.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoopStats {
    /// Batches of commands, and ticks of the timer.
    pub cycles: u64,
    /// Microseconds spent in batches.
    pub commands_us: u64,
    /// Microseconds spent in ticks.
    pub timers_us: u64,
    /// Longest batch or tick, microseconds.
    pub longest_us: u64,
    /// Most commands in one batch.
    pub commands_max: u64,
}

impl LoopStats {
    /// Counts a batch.
    pub fn batch(&mut self, took_us: u64, commands: u64) {
        self.cycles += 1;
        self.commands_us += took_us;
        self.longest_us = self.longest_us.max(took_us);
        self.commands_max = self.commands_max.max(commands);
    }

    /// Counts a tick.
    pub fn tick(&mut self, took_us: u64) {
        self.cycles += 1;
        self.timers_us += took_us;
        self.longest_us = self.longest_us.max(took_us);
    }
}

/// Most error codes that are counted apart; a script can invent codes without end.
const ERROR_CODES_MAX: usize = 128;

/// Longest error code, bytes.
const ERROR_CODE_BYTES_MAX: usize = 30;

impl ServerStats {
    /// Counts an error reply under its code, the first word of its text. What is no code, because
    /// it is too long or nothing follows it, counts as `ERR`.
    pub fn count_error(&mut self, text: &[u8]) {
        self.error_replies += 1;
        let end = text.iter().take(ERROR_CODE_BYTES_MAX + 1).position(|byte| *byte == b' ');
        let code = end.map_or(&b"ERR"[..], |end| &text[..end]);
        let code = String::from_utf8_lossy(code);
        if let Some(count) = self.errors_by_code.get_mut(&*code) {
            *count += 1;
        } else if self.errors_by_code.len() < ERROR_CODES_MAX {
            self.errors_by_code.insert(code.into_owned(), 1);
        }
    }

    /// `CONFIG RESETSTAT`.
    pub fn reset(&mut self) {
        *self = ServerStats { peak_memory: self.peak_memory, ..ServerStats::default() };
    }
}

/// A short history of rates, for the `instantaneous_*` fields of `INFO`.
#[derive(Debug, Clone, Default)]
pub struct OpsSamples {
    last: Option<(u64, Totals)>,
    rates: VecDeque<[f64; TOTALS]>,
}

/// Commands, input bytes, output bytes, cycles, microseconds of work, input and output bytes of
/// replication.
pub type Totals = [u64; TOTALS];
const TOTALS: usize = 7;

/// Number of samples averaged.
const SAMPLES: usize = 16;

impl OpsSamples {
    /// Adds a sample: monotonic microseconds and the totals.
    pub fn sample(&mut self, now_us: u64, totals: Totals) {
        if let Some((then_us, then)) = self.last {
            let seconds = now_us.saturating_sub(then_us) as f64 / 1e6;
            if seconds > 0.0 {
                let rate = |at: usize| totals[at].saturating_sub(then[at]) as f64 / seconds;
                self.rates.push_back(std::array::from_fn(rate));
                if self.rates.len() > SAMPLES {
                    self.rates.pop_front();
                }
            }
        }
        self.last = Some((now_us, totals));
    }

    /// Mean of the samples, each total per second.
    pub fn rates(&self) -> [f64; TOTALS] {
        let mut sum = [0.0; TOTALS];
        for rate in &self.rates {
            sum.iter_mut().zip(rate).for_each(|(sum, rate)| *sum += rate);
        }
        sum.map(|total| total / self.rates.len().max(1) as f64)
    }
}

/// An entry of the slow log.
#[derive(Debug, Clone)]
pub struct SlowEntry {
    /// Number, never reused.
    pub id: u64,
    /// Unix time, seconds.
    pub time_s: i64,
    /// Duration in microseconds.
    pub duration_us: u64,
    /// The command, shortened.
    pub argv: OwnedArgs,
    /// `ip:port` of the client.
    pub addr: String,
    /// Name of the client.
    pub client_name: Bytes,
}

/// `SLOWLOG`: the newest slow commands, newest first.
#[derive(Debug, Default)]
pub struct SlowLog {
    /// Newest first.
    pub entries: VecDeque<SlowEntry>,
    next_id: u64,
}

/// Most arguments an entry keeps.
const SLOW_ARGS_MAX: usize = 32;
/// Longest argument an entry keeps, bytes.
const SLOW_ARG_BYTES_MAX: usize = 128;

impl SlowLog {
    /// Adds an entry and drops the oldest beyond `max_len`.
    #[allow(clippy::too_many_arguments)]
    pub fn add(
        &mut self,
        max_len: usize,
        time_s: i64,
        duration_us: u64,
        argv: &[&[u8]],
        peer: &PeerInfo,
        client_name: &Bytes,
    ) {
        let entry = SlowEntry {
            id: self.next_id,
            time_s,
            duration_us,
            argv: shorten(argv),
            addr: peer.addr.clone(),
            client_name: client_name.clone(),
        };
        self.next_id += 1;
        self.entries.push_front(entry);
        self.entries.truncate(max_len);
    }
}

/// Keeps the first arguments and the first bytes of each, and says how much is missing.
fn shorten(argv: &[&[u8]]) -> OwnedArgs {
    let kept = if argv.len() > SLOW_ARGS_MAX { SLOW_ARGS_MAX - 1 } else { argv.len() };
    let mut short: Vec<Vec<u8>> = argv[..kept]
        .iter()
        .map(|arg| {
            if arg.len() <= SLOW_ARG_BYTES_MAX {
                return arg.to_vec();
            }
            let mut cut = arg[..SLOW_ARG_BYTES_MAX].to_vec();
            let more = arg.len() - SLOW_ARG_BYTES_MAX;
            cut.extend_from_slice(format!("... ({more} more bytes)").as_bytes());
            cut
        })
        .collect();
    if kept < argv.len() {
        short.push(format!("... ({} more arguments)", argv.len() - kept).into_bytes());
    }
    let views: Vec<&[u8]> = short.iter().map(Vec::as_slice).collect();
    OwnedArgs::new(&views)
}

/// `LATENCY`: spikes of one event, oldest first, one per second at most.
#[derive(Debug, Clone, Default)]
pub struct LatencySeries {
    /// Unix time in seconds and milliseconds of the spike.
    pub samples: VecDeque<(i64, u64)>,
    /// Highest spike ever.
    pub max_ms: u64,
}

/// Samples kept per event.
const LATENCY_SAMPLES: usize = 160;

/// All latency events.
#[derive(Debug, Default)]
pub struct LatencyMonitor {
    /// By event name.
    pub events: BTreeMap<String, LatencySeries>,
}

impl LatencyMonitor {
    /// Adds a spike.
    pub fn add(&mut self, event: &str, time_s: i64, ms: u64) {
        let series = self.events.entry(event.to_owned()).or_default();
        series.max_ms = series.max_ms.max(ms);
        if let Some(last) = series.samples.back_mut()
            && last.0 == time_s
        {
            last.1 = last.1.max(ms);
            return;
        }
        series.samples.push_back((time_s, ms));
        if series.samples.len() > LATENCY_SAMPLES {
            series.samples.pop_front();
        }
    }
}
