//! The whole server under load, side by side with any Redis-compatible servers, in one run.
//!
//! All servers share one core and the load generator has another, so a ratio compares the work per
//! request and not the number of threads. For each case the servers take turns (A, B, A, B, ...), so
//! that a change of the machine's speed meets all of them; the figures are medians over the rounds.

mod cases;
mod durability;
mod figures;
mod fixed_rate;
mod instructions;
mod latency;
mod load;
mod memory;
mod paced;
mod replies;
mod report;
mod requests;
mod scaling;
mod server;
mod training;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::workspace;
use cases::{CASES, Case, Form, Preload, Work};
use report::Row;
use requests::{Pool, Random, Templates};
use server::{Client, Server};
pub(crate) use training::train;

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// A server to compare with, as NAME=BINARY; may be given several times.
    #[arg(long, value_name = "NAME=BIN", value_parser = parse_rival)]
    against: Vec<(String, PathBuf)>,
    /// The server under test [default: a release build of this workspace].
    #[arg(long, value_name = "BIN")]
    server: Option<PathBuf>,
    /// How often each server is measured per case.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// The time of one measurement.
    #[arg(long, default_value_t = 1.0, value_parser = parse_seconds)]
    seconds: f64,
    /// Only cases whose name matches, as globs with `*` and `?` separated by commas.
    #[arg(long, value_name = "GLOB,..", default_value = "*")]
    only: String,
    /// Connections.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,
    /// Write the report to this file too.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Measure what durability costs instead: snapshots and the append-only file.
    #[arg(long)]
    durability: bool,
    /// Measure latency at a fixed rate instead, also while keys are added, saved and flushed.
    #[arg(long, conflicts_with = "durability")]
    latency: bool,
    /// Count instructions per request instead, with valgrind.
    #[arg(long, conflicts_with_all = ["durability", "latency"])]
    instructions: bool,
    /// Measure how much memory an entry takes instead, for several kinds of data.
    #[arg(long, conflicts_with_all = ["durability", "latency", "instructions"])]
    memory: bool,
    /// Compare one thread with two instead, of which each has a part of a core.
    #[arg(long, conflicts_with_all = ["durability", "latency", "instructions", "memory"])]
    scaling: bool,
    /// With `--durability`, `--latency`: number of keys that are saved, loaded or added.
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    keys: u64,
    /// With `--durability`: where the servers keep their data [default: the temporary folder].
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Print the names of the cases and end.
    #[arg(long)]
    list: bool,
}

/// A case in one form at one depth.
struct Cell {
    name: String,
    case: &'static Case,
    form: Option<Form>,
    depth: usize,
}

/// Measures and prints the report.
pub(crate) fn run(options: &Options) -> Result<()> {
    let chosen: Vec<Cell> =
        cells().into_iter().filter(|cell| matches_any(&options.only, &cell.label())).collect();
    if options.list {
        chosen.iter().for_each(|cell| println!("{}", cell.label()));
        return Ok(());
    }
    if chosen.is_empty() && !options.memory {
        bail!("no case matches {}: see --list", options.only);
    }
    let cores = pin()?;
    let chosen_servers = binaries(options)?;
    let core = cores.map(|(server, _)| server);
    let start = |(name, binary): &(String, PathBuf)| Server::start(name, binary, core);
    let servers = chosen_servers.iter().map(start).collect::<Result<Vec<_>>>()?;

    let mut report = Report::default();
    report.add(&header(options, &servers, cores)?);
    if options.durability {
        // They would be in the way of those that are measured.
        drop(servers);
        durability::run(options, &chosen_servers, cores, &mut report)?;
    } else if options.instructions {
        drop(servers);
        instructions::run(&chosen, &chosen_servers, &mut report)?;
    } else if options.latency {
        drop(servers);
        latency::run(options, &chosen_servers, core, &mut report)?;
    } else if options.memory {
        drop(servers);
        memory::run(options, &chosen_servers, &mut report)?;
    } else if options.scaling {
        drop(servers);
        scaling::run(options, &chosen, &chosen_servers, &mut report)?;
    } else {
        measure_cases(&chosen, &servers, options, &mut report)?;
    }
    if let Some(path) = &options.out {
        std::fs::write(path, report.0)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Measures every case and writes the table.
fn measure_cases(
    chosen: &[Cell],
    servers: &[Server],
    options: &Options,
    report: &mut Report,
) -> Result<()> {
    let names: Vec<String> = servers.iter().map(|server| server.name.clone()).collect();
    report.add(LEGEND);
    report.add(&report::heading(&names));
    let mut rows = Vec::new();
    for cell in chosen {
        let row = measure(cell, servers, options)?;
        report.add(&report::line(&row));
        rows.push(row);
    }
    report.add(&report::means(&rows, servers.len()));
    Ok(())
}

/// The text so far; each piece is also printed at once, since a full run takes minutes.
#[derive(Default)]
struct Report(String);

impl Report {
    fn add(&mut self, text: &str) {
        println!("{text}");
        self.0.push_str(text);
        self.0.push('\n');
    }
}

fn parse_rival(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => {
            Ok((name.to_owned(), PathBuf::from(path)))
        }
        _ => Err("expected NAME=BINARY".to_owned()),
    }
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let range = 0.05..=600.0;
    if range.contains(&seconds) { Ok(seconds) } else { Err("expected 0.05 to 600".to_owned()) }
}

impl Cell {
    fn label(&self) -> String {
        format!("{}/p{}", self.name, self.depth)
    }
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for case in CASES {
        let forms: Vec<Option<Form>> = match &case.work {
            Work::Command(_) => vec![None],
            Work::Script(script) => script.forms.iter().copied().map(Some).collect(),
        };
        for form in forms {
            let name = match form {
                None => case.name.to_owned(),
                Some(form) => format!("{}-{}", form.command().to_lowercase(), case.name),
            };
            for &depth in case.pipelines {
                cells.push(Cell { name: name.clone(), case, form, depth });
            }
        }
    }
    cells
}

/// Moves this process to the last core and says which core is for the servers and which is ours;
/// `None` on a machine with a single core.
fn pin() -> Result<Option<(usize, usize)>> {
    let cores = std::thread::available_parallelism()?.get();
    if cores < 2 {
        return Ok(None);
    }
    let ours = cores - 1;
    let status = Command::new("taskset")
        .args(["-p", "-c", &ours.to_string(), &std::process::id().to_string()])
        .stdout(Stdio::null())
        .status()
        .context("cannot start taskset (util-linux)")?;
    if !status.success() {
        bail!("taskset cannot pin the load generator to core {ours}");
    }
    Ok(Some((0, ours)))
}

/// Names and binaries of the servers, the one under test first.
fn binaries(options: &Options) -> Result<Vec<(String, PathBuf)>> {
    let binary = match &options.server {
        Some(path) => path.clone(),
        None => {
            let built = workspace::root().join("target/release/perilune");
            if !built.is_file() {
                bail!(
                    "{} is missing: cargo build --release, or name one with --server",
                    built.display()
                );
            }
            built
        }
    };
    let name = binary.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok([(name, binary)].into_iter().chain(options.against.iter().cloned()).collect())
}

fn header(options: &Options, servers: &[Server], cores: Option<(usize, usize)>) -> Result<String> {
    let cpu_info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu_info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown CPU", |(_, model)| model);
    let count = cpu_info.lines().filter(|line| line.starts_with("processor")).count();
    let placed = match cores {
        Some((server, ours)) => format!("servers on core {server}, load generator on core {ours}"),
        None => "servers and load generator share the only core".to_owned(),
    };
    let mut text = format!("Machine: {model}, {count} cores; {placed}.\n\nServers:\n\n");
    for server in servers {
        text += &format!("- {}: {}\n", server.name, server.versions()?);
    }
    let flags = "--port N --save \"\" --appendonly no --bind 127.0.0.1 --daemonize no";
    let line: Vec<String> = std::env::args().skip(1).collect();
    text += &format!(
        "\nEach started with `{flags}`.\n\n\
         {} connections, medians of {} rounds of {} s (`cargo xtask {}`).\n",
        options.clients,
        options.rounds,
        options.seconds,
        line.join(" ")
    );
    Ok(text)
}

/// What the columns of the cases mean.
const LEGEND: &str = "P: commands per pipeline; CPU µs: processor time of the server per request; \\*: the \
                      server did not fill its core, so compare CPU only. Ratios are the first server to the \
                      other.\n";

fn measure(cell: &Cell, servers: &[Server], options: &Options) -> Result<Row> {
    let mut samples: Vec<Result<Vec<load::Sample>, String>> = vec![Ok(Vec::new()); servers.len()];
    let window = Duration::from_secs_f64(options.seconds);
    let mut pool: Option<(Templates, Pool)> = None;
    for _ in 0..options.rounds {
        for (server, samples) in servers.iter().zip(&mut samples) {
            let Ok(taken) = samples else { continue };
            let outcome =
                prepare(cell, server).map_err(|error| format!("{error:#}")).and_then(|templates| {
                    if pool.as_ref().is_none_or(|(made_from, _)| *made_from != templates) {
                        let made = Pool::new(&templates, cell.depth);
                        pool = Some((templates, made));
                    }
                    let (_, pool) = pool.as_ref().ok_or("no requests")?;
                    load::measure(server, pool, cell.depth, options.clients as usize, window)
                });
            match outcome {
                Ok(sample) => taken.push(sample),
                Err(error) => *samples = Err(error),
            }
        }
    }
    let median = |samples: Vec<_>| report::median(&samples).ok_or("not measured".to_owned());
    let cells = samples.into_iter().map(|samples| samples.and_then(median)).collect();
    Ok(Row { name: cell.name.clone(), depth: cell.depth, cells })
}

/// Empties the server, loads the data and the script, and returns what is to be sent.
fn prepare(cell: &Cell, server: &Server) -> Result<Templates> {
    let mut client = Client::connect(server.address)?;
    client.call(&["FLUSHALL", "SYNC"])?;
    if let Preload::Repeat(count, words) = cell.case.preload {
        preload(&mut client, count, words)?;
    }
    match (&cell.case.work, cell.form) {
        (Work::Script(script), Some(form)) => {
            let sha = match form {
                Form::EvalSha => {
                    server::bulk_body(&client.call(&["SCRIPT", "LOAD", script.body])?)?
                }
                _ => String::new(),
            };
            if form == Form::Fcall {
                client.call(&["FUNCTION", "LOAD", "REPLACE", &requests::library(script)])?;
            }
            Ok(requests::script_call(script, form, &sha))
        }
        (Work::Command(words), _) => Ok(vec![requests::owned(words)]),
        (Work::Script(_), None) => bail!("a script case without a form"),
    }
}

fn preload(client: &mut Client, count: u64, words: &[&str]) -> Result<()> {
    const BATCH: u64 = 500;
    let mut random = Random::new(1);
    let mut first = 0;
    while first < count {
        let batch = BATCH.min(count - first);
        let mut bytes = Vec::new();
        for index in first..first + batch {
            let words: Vec<_> =
                words.iter().map(|word| requests::expand(word, index, &mut random)).collect();
            requests::encode(&words, &mut bytes);
        }
        client.exchange(&bytes, batch)?;
        first += batch;
    }
    Ok(())
}

/// Whether one of the globs, separated by commas, matches the whole name.
fn matches_any(globs: &str, name: &str) -> bool {
    globs.split(',').any(|glob| matches(glob.as_bytes(), name.as_bytes()))
}

fn matches(glob: &[u8], name: &[u8]) -> bool {
    match (glob.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            matches(rest, name) || name.split_first().is_some_and(|(_, name)| matches(glob, name))
        }
        (Some((wanted, glob)), Some((byte, name))) => {
            (*wanted == b'?' || wanted == byte) && matches(glob, name)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_names() {
        assert!(matches_any("*", "get/p1"));
        assert!(matches_any("set/*,get/p?", "get/p1"));
        assert!(!matches_any("get/p?", "get/p16"));
        assert!(!matches_any("get", "get/p1"));
        assert!(matches_any("*one*p16", "fcall-one-get/p16"));
    }

    #[test]
    fn labels_are_unique() {
        let mut labels: Vec<_> = cells().iter().map(Cell::label).collect();
        let count = labels.len();
        labels.sort();
        labels.dedup();
        assert_eq!(labels.len(), count);
    }

    #[test]
    fn a_rival_has_a_name_and_a_binary() {
        assert_eq!(parse_rival("a=b=c"), Ok(("a".to_owned(), PathBuf::from("b=c"))));
        assert!(parse_rival("redis").is_err());
        assert!(parse_rival("=x").is_err());
    }
}
