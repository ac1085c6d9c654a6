//! What durability costs: `cargo xtask bench --durability`.
//!
//! A server is filled and then measured: the time of `BGSAVE`, the latency of a fixed rate of writes
//! during it, its memory while every key is overwritten meanwhile, and the time a new process needs
//! until it has read the file. For these the server may use every core, as a fork or a thread that
//! saves would. The throughput of writes into an append-only file is measured as all other
//! throughput is, on one core.
//!
//! Servers take turns in every round; the figures are medians over the rounds.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::figures::{Figure, heading, line, median};
use super::requests::{Pool, Random, encode, expand, owned};
use super::server::{Client, Server, Setup, bulk_body};
use super::{Options, Report, fixed_rate, load};

/// Requests sent at once while a server is filled.
const BATCH: u64 = 1000;
/// Writes per second whose latency is measured.
const RATE: u32 = 5000;
/// Snapshots during which it is measured, one after the other.
const SNAPSHOTS: usize = 3;
/// How often is looked whether a snapshot is done, and how much memory there is.
const STEP: Duration = Duration::from_millis(5);
/// A snapshot that takes longer is a failure.
const SNAPSHOT_TIME_MAX: Duration = Duration::from_secs(120);

const FIGURES: [Figure; 8] = [
    Figure { name: "load, s", more_is_better: false },
    Figure { name: "BGSAVE, s", more_is_better: false },
    Figure { name: "p99.9 during BGSAVE, ms", more_is_better: false },
    Figure { name: "peak memory ÷ before, all keys overwritten", more_is_better: false },
    Figure { name: "SET, AOF everysec, P1, req/s", more_is_better: true },
    Figure { name: "SET, AOF everysec, P16, req/s", more_is_better: true },
    Figure { name: "SET, AOF always, P1, req/s", more_is_better: true },
    Figure { name: "SET, AOF always, P16, req/s", more_is_better: true },
];

/// Measures all servers, each a name and a binary, and writes the table.
pub(super) fn run(
    options: &Options,
    servers: &[(String, PathBuf)],
    cores: Option<(usize, usize)>,
    report: &mut Report,
) -> Result<()> {
    let mut samples = vec![vec![Vec::new(); FIGURES.len()]; servers.len()];
    for _ in 0..options.rounds {
        for ((name, binary), samples) in servers.iter().zip(&mut samples) {
            let place = Place::new(name, binary, cores, options);
            let mut figures = snapshots(&place, options.keys)?.to_vec();
            for policy in ["everysec", "always"] {
                for depth in [1, 16] {
                    figures.push(append_only(&place, policy, depth, options)?);
                }
            }
            for (samples, figure) in samples.iter_mut().zip(figures) {
                samples.push(figure);
            }
        }
    }
    report.add(&heading(servers));
    for (index, figure) in FIGURES.iter().enumerate() {
        let values = samples.iter().map(|samples| median(&samples[index]));
        report.add(&line(figure, &values.collect::<Vec<_>>()));
    }
    Ok(())
}

/// Where a server runs and keeps its data, which go at the end.
struct Place<'a> {
    name: &'a str,
    binary: &'a Path,
    folder: PathBuf,
    one_core: Option<String>,
    all_cores: Option<String>,
}

impl<'a> Place<'a> {
    fn new(
        name: &'a str,
        binary: &'a Path,
        cores: Option<(usize, usize)>,
        options: &Options,
    ) -> Self {
        let parent = options.folder.clone().unwrap_or_else(std::env::temp_dir);
        Place {
            name,
            binary,
            folder: parent.join(format!("xtask-durability-{}", std::process::id())),
            one_core: cores.map(|(server, _)| server.to_string()),
            all_cores: cores.map(|(_, last)| format!("0-{last}")),
        }
    }

    fn start(&self, cores: &Option<String>, extra: &[&str]) -> Result<Server> {
        let (name, binary, folder) = (self.name, self.binary, Some(self.folder.as_path()));
        let cores = cores.as_deref();
        Server::start_with(&Setup { name, binary, cores, folder, extra, under: &[] })
    }

    fn clear(&self) {
        // What is left over is in the temporary folder.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Load time, snapshot time, latency during a snapshot, growth of memory during one.
fn snapshots(place: &Place<'_>, keys: u64) -> Result<[f64; 4]> {
    let server = place.start(&place.all_cores, &[])?;
    let mut client = Client::connect(server.address)?;
    write_all(&mut client, keys, 1)?;
    let saved = save(&mut client, || ())?;
    let latency = latency_during_saves(&server, &mut client)?;
    let growth = growth_during_save(&server, &mut client, keys)?;
    save(&mut client, || ())?;
    drop(server);

    let begin = Instant::now();
    let server = place.start(&place.all_cores, &[])?;
    let loaded = begin.elapsed();
    let reply = Client::connect(server.address)?.call(&["DBSIZE"])?;
    if reply != format!(":{keys}\r\n").as_bytes() {
        bail!("{} has read {} of {keys} keys", place.name, reply.escape_ascii());
    }
    place.clear();
    Ok([loaded.as_secs_f64(), saved.as_secs_f64(), latency, growth])
}

/// Sets every key, to other values for another `seed`.
pub(super) fn write_all(client: &mut Client, keys: u64, seed: u64) -> Result<()> {
    let mut random = Random::new(seed);
    for first in (0..keys).step_by(BATCH as usize) {
        let count = BATCH.min(keys - first);
        let mut bytes = Vec::new();
        for index in first..first + count {
            let words = ["SET", "key:{i}", "{value}{value}"];
            encode(&words.map(|word| expand(word, index, &mut random)), &mut bytes);
        }
        client.exchange(&bytes, count)?;
    }
    Ok(())
}

/// Has the server save in the background, looks on in steps, and says how long it took.
fn save(client: &mut Client, mut look: impl FnMut()) -> Result<Duration> {
    let begin = Instant::now();
    client.call(&["BGSAVE"])?;
    loop {
        let info = bulk_body(&client.call(&["INFO", "persistence"])?)?;
        if info.contains("rdb_bgsave_in_progress:0") {
            if !info.contains("rdb_last_bgsave_status:ok") {
                bail!("BGSAVE failed");
            }
            return Ok(begin.elapsed());
        }
        if begin.elapsed() > SNAPSHOT_TIME_MAX {
            bail!("BGSAVE takes more than {} s", SNAPSHOT_TIME_MAX.as_secs());
        }
        look();
        std::thread::sleep(STEP);
    }
}

/// The 99.9th percentile of the latency of writes while snapshots are made, milliseconds.
fn latency_during_saves(server: &Server, client: &mut Client) -> Result<f64> {
    let pool = Pool::new(&vec![owned(&["SET", "key:{rand}", "{value}{value}"])], 1);
    let stop = AtomicBool::new(false);
    let mut times = std::thread::scope(|scope| {
        let writes = scope.spawn(|| fixed_rate::run(server.address, &pool, RATE, &stop));
        let saved = (0..SNAPSHOTS).try_for_each(|_| save(client, || ()).map(|_| ()));
        stop.store(true, Ordering::Relaxed);
        let times = writes.join().map_err(|_| anyhow::anyhow!("the load panicked"))?;
        saved.and(times)
    })?;
    let worst = fixed_rate::percentile(&mut times, 0.999).context("no requests")?;
    Ok(worst.as_secs_f64() * 1e3)
}

/// How much the memory grows at most, as a factor, while every key is overwritten during a snapshot.
fn growth_during_save(server: &Server, client: &mut Client, keys: u64) -> Result<f64> {
    let before = server.memory();
    let mut peak = before;
    std::thread::scope(|scope| {
        let address = server.address;
        let writes = scope.spawn(move || write_all(&mut Client::connect(address)?, keys, 2));
        save(client, || peak = peak.max(server.memory()))?;
        // The writes that follow the snapshot change nothing of the figure.
        writes.join().map_err(|_| anyhow::anyhow!("the load panicked"))?
    })?;
    Ok(peak as f64 / before.max(1) as f64)
}

/// Writes per second into an append-only file.
fn append_only(place: &Place<'_>, policy: &str, depth: usize, options: &Options) -> Result<f64> {
    let extra = ["--appendonly", "yes", "--appendfsync", policy];
    let server = place.start(&place.one_core, &extra)?;
    let pool = Pool::new(&vec![owned(&["SET", "key:{rand}", "{value}"])], depth);
    let window = Duration::from_secs_f64(options.seconds);
    let sample = load::measure(&server, &pool, depth, options.clients as usize, window);
    drop(server);
    place.clear();
    Ok(sample.map_err(anyhow::Error::msg)?.requests_per_second)
}
