//! Instructions per request: `cargo xtask bench --instructions`.
//!
//! Each server runs under valgrind's callgrind, which counts the instructions of the process outside
//! of the kernel. They do not depend on what else the machine does, so that two builds can be
//! compared to a percent; what they cost does depend on caches and branches.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::requests::Pool;
use super::server::{Server, Setup};
use super::{Cell, Report, load, prepare};

/// Requests that are counted, after as many to warm up.
const REQUESTS: u64 = 10_000;
/// Few connections: there is nothing to be gained from more.
const CLIENTS: usize = 5;
/// Callgrind numbers its files after this one.
const FILE: &str = "counts";

/// Counts every case on every server and writes the table.
pub(super) fn run(
    chosen: &[Cell],
    servers: &[(String, PathBuf)],
    report: &mut Report,
) -> Result<()> {
    let names = servers.iter().map(|(name, _)| format!(" {name} |")).collect::<String>();
    let ratios =
        servers.iter().skip(1).map(|(name, _)| format!(" {name} ÷ ours |")).collect::<String>();
    let columns = "---:|".repeat(servers.len() * 2);
    report
        .add(&format!("Instructions per request.\n\n| case | P |{names}{ratios}\n|---|{columns}"));
    let under =
        ["valgrind", "--quiet", "--tool=callgrind", &format!("--callgrind-out-file={FILE}")];
    let start = |(name, binary): &(String, PathBuf)| {
        let (cores, folder, extra) = (None, None, &[][..]);
        Server::start_with(&Setup { name, binary, cores, folder, extra, under: &under })
    };
    let servers = servers.iter().map(start).collect::<Result<Vec<_>>>()?;
    let mut dumps = vec![0; servers.len()];
    for cell in chosen {
        let counts =
            servers.iter().zip(&mut dumps).map(|(server, dumps)| count(cell, server, dumps));
        let counts = counts.collect::<Result<Vec<_>>>()?;
        let mut line = format!("| {} | {} |", cell.name, cell.depth);
        counts.iter().for_each(|count| line += &format!(" {count:.0} |"));
        counts.iter().skip(1).for_each(|count| line += &format!(" {:.2} |", count / counts[0]));
        report.add(&line);
    }
    Ok(())
}

/// The instructions of one request. `dumps` is how often callgrind wrote its counts before.
fn count(cell: &Cell, server: &Server, dumps: &mut u32) -> Result<f64> {
    let templates = prepare(cell, server)?;
    let pool = Pool::new(&templates, cell.depth);
    let send =
        || load::send(server, &pool, cell.depth, CLIENTS, REQUESTS).map_err(anyhow::Error::msg);
    send()?;
    dump(server, dumps)?;
    let requests = send()?;
    Ok(dump(server, dumps)? as f64 / requests as f64)
}

/// Has callgrind write what it counted since it last did, and sums it up.
fn dump(server: &Server, dumps: &mut u32) -> Result<u64> {
    *dumps += 1;
    // `callgrind_control` does not find servers that have changed their process title.
    let status = Command::new("vgdb")
        .args([&format!("--pid={}", server.process()), "dump"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("cannot start vgdb (valgrind)")?;
    let file = server.folder().join(format!("{FILE}.{dumps}"));
    if !status.success() {
        bail!("vgdb did not reach {}", server.name);
    }
    total(&file)
}

fn total(file: &Path) -> Result<u64> {
    let text = std::fs::read_to_string(file).with_context(|| format!("no {}", file.display()))?;
    let total = text.lines().rev().find_map(|line| line.strip_prefix("totals: "));
    total.and_then(|total| total.trim().parse().ok()).context("callgrind has counted nothing")
}
