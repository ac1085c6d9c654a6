//! Latency at a fixed rate: `cargo xtask bench --latency`.
//!
//! Every server gets half of what the first rival manages: single requests at half of its peak
//! without pipelining, and while the keyspace grows pipelines of 16 at half of its peak with them.
//! A server that forks, or frees and saves in threads, does so on the one core it has, so that the
//! load generator on the other one is not disturbed.
//!
//! Servers take turns in every round; the figures are medians over the rounds.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::cases::KEYS;
use super::requests::{Pool, Random, encode, expand, owned};
use super::server::{Client, Server, bulk_body};
use super::{Options, Report, durability, figures, fixed_rate, load, paced};

/// Commands in a pipeline while the keyspace grows.
const GROWTH_DEPTH: u64 = 16;
/// When the keyspace is flushed.
const EVENT_AFTER: Duration = Duration::from_millis(500);
/// How often is looked whether a snapshot is done.
const STEP: Duration = Duration::from_millis(200);
/// A snapshot that takes longer is a failure.
const SNAPSHOT_TIME_MAX: Duration = Duration::from_secs(300);

/// What happens while the latency is measured.
const SCENES: [&str; 4] = ["GET and SET", "the keyspace grows", "BGSAVE", "FLUSHALL ASYNC"];
/// The columns: shares of the requests, and the slowest of all.
const SHARES: [(&str, f64); 4] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

type Figures = [f64; SHARES.len()];

/// Measures all servers and writes the table.
pub(super) fn run(
    options: &Options,
    servers: &[(String, PathBuf)],
    core: Option<usize>,
    report: &mut Report,
) -> Result<()> {
    let (name, binary) = servers.get(1).or(servers.first()).context("no server")?;
    let [single, piped] = peaks(&Server::start(name, binary, core)?, options)?;
    let rates = Rates { single: single / 2.0, growth: piped / 2.0 };
    report.add(&format!(
        "Half of the peak of {name}: {:.0} requests/s one by one, {:.0} in pipelines of \
         {GROWTH_DEPTH} while {} keys are added. Times in milliseconds, from when a pipeline was due \
         until its last reply.\n",
        rates.single, rates.growth, options.keys
    ));
    let mut samples = vec![vec![Vec::new(); SCENES.len()]; servers.len()];
    for _ in 0..options.rounds {
        for ((name, binary), samples) in servers.iter().zip(&mut samples) {
            let server = Server::start(name, binary, core)?;
            let scenes = scenes(&server, &rates, options).with_context(|| name.clone())?;
            samples.iter_mut().zip(scenes).for_each(|(samples, figures)| samples.push(figures));
        }
    }
    write_table(servers, &samples, report);
    Ok(())
}

struct Rates {
    /// Requests per second, one by one.
    single: f64,
    /// Requests per second while keys are added.
    growth: f64,
}

/// The most requests per second, one by one and in pipelines.
fn peaks(server: &Server, options: &Options) -> Result<[f64; 2]> {
    let words = ["SET", "key:{rand}", "{value}"];
    let window = Duration::from_secs_f64(options.seconds.min(1.0));
    let mut peaks = [0.0; 2];
    for (peak, depth) in peaks.iter_mut().zip([1, GROWTH_DEPTH as usize]) {
        let pool = Pool::new(&vec![owned(&words)], depth);
        let sample = load::measure(server, &pool, depth, options.clients as usize, window);
        *peak = sample.map_err(anyhow::Error::msg)?.requests_per_second;
    }
    Ok(peaks)
}

fn scenes(server: &Server, rates: &Rates, options: &Options) -> Result<[Figures; SCENES.len()]> {
    let mut control = Client::connect(server.address)?;
    durability::write_all(&mut control, KEYS, 1)?;
    let window = Duration::from_secs_f64(options.seconds);
    let steady = requests(server, rates, options, KEYS, || {
        std::thread::sleep(window);
        Ok(())
    })?;
    control.call(&["FLUSHALL", "SYNC"])?;
    let growth = growth(server, rates, options)?;
    let reply = control.call(&["DBSIZE"])?;
    if reply != format!(":{}\r\n", options.keys).as_bytes() {
        bail!("there are {} of {} keys", reply.escape_ascii(), options.keys);
    }
    let saving = requests(server, rates, options, options.keys, || save(&mut control))?;
    let flushing = requests(server, rates, options, options.keys, || {
        std::thread::sleep(EVENT_AFTER);
        control.call(&["FLUSHALL", "ASYNC"])?;
        std::thread::sleep(window);
        Ok(())
    })?;
    Ok([steady, growth, saving, flushing])
}

/// Makes a snapshot.
fn save(control: &mut Client) -> Result<()> {
    let begin = Instant::now();
    control.call(&["BGSAVE"])?;
    while !bulk_body(&control.call(&["INFO", "persistence"])?)?.contains("bgsave_in_progress:0") {
        if begin.elapsed() > SNAPSHOT_TIME_MAX {
            bail!("BGSAVE takes more than {} s", SNAPSHOT_TIME_MAX.as_secs());
        }
        std::thread::sleep(STEP);
    }
    Ok(())
}

/// GET and SET in turn, of random keys among the first `keys`, as long as `event` takes.
fn requests(
    server: &Server,
    rates: &Rates,
    options: &Options,
    keys: u64,
    event: impl FnOnce() -> Result<()> + Send,
) -> Result<Figures> {
    let mut random = Random::new(3);
    let (outcome, times) = std::thread::scope(|scope| {
        let event = scope.spawn(event);
        let times = paced::run(&mut paced::Load {
            address: server.address,
            clients: options.clients as usize,
            depth: 1,
            pipelines_per_second: rates.single,
            write: &mut |number, out| {
                let key = format!("key:{:012}", random.below(keys));
                match number % 2 {
                    0 => encode(&["GET", &key], out),
                    _ => encode(&["SET", &key, "abcdefghijklmnopqrstuvwxyz012345"], out),
                }
            },
            is_over: &mut |_| event.is_finished(),
        });
        (event.join(), times)
    });
    outcome.map_err(|_| anyhow!("the event panicked"))??;
    figures(&mut times.map_err(anyhow::Error::msg)?)
}

/// Adds all keys.
fn growth(server: &Server, rates: &Rates, options: &Options) -> Result<Figures> {
    let keys = options.keys.div_ceil(GROWTH_DEPTH) * GROWTH_DEPTH;
    if keys != options.keys {
        bail!("--keys is to be a multiple of {GROWTH_DEPTH}");
    }
    let mut random = Random::new(5);
    let times = paced::run(&mut paced::Load {
        address: server.address,
        clients: options.clients as usize,
        depth: GROWTH_DEPTH,
        pipelines_per_second: rates.growth / GROWTH_DEPTH as f64,
        write: &mut |number, out| {
            let value = expand("{value}", 0, &mut random);
            for index in number * GROWTH_DEPTH..(number + 1) * GROWTH_DEPTH {
                encode(&["SET", &format!("key:{index:012}"), &value], out);
            }
        },
        is_over: &mut |sent| sent * GROWTH_DEPTH == keys,
    });
    figures(&mut times.map_err(anyhow::Error::msg)?)
}

fn figures(times: &mut [Duration]) -> Result<Figures> {
    let mut figures = [0.0; SHARES.len()];
    for (figure, (_, share)) in figures.iter_mut().zip(SHARES) {
        let time = fixed_rate::percentile(times, share).context("no requests")?;
        *figure = time.as_secs_f64() * 1e3;
    }
    Ok(figures)
}

fn write_table(servers: &[(String, PathBuf)], samples: &[Vec<Vec<Figures>>], report: &mut Report) {
    let titles = SHARES.map(|(title, _)| format!(" {title} |")).concat();
    report.add(&format!("| while | server |{titles}\n|---|---|{}", "---:|".repeat(SHARES.len())));
    for (scene, title) in SCENES.iter().enumerate() {
        for ((name, _), samples) in servers.iter().zip(samples) {
            let median = |column: usize| {
                let values: Vec<f64> = samples[scene].iter().map(|round| round[column]).collect();
                format!(" {:.3} |", figures::median(&values))
            };
            let columns: String = (0..SHARES.len()).map(median).collect();
            report.add(&format!("| {title} | {name} |{columns}"));
        }
    }
}
