//! How much memory an entry takes: `cargo xtask bench --memory`.
//!
//! For each kind of data every server is started anew and filled through a socket; the figure is what
//! its proportional set size grew by, divided by the number of entries. That includes what the
//! allocator does not hand out, and the tables, which double: how much of them an entry pays for
//! depends on how many there are.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::figures::{Figure, heading, line, median};
use super::requests::{Random, encode, expand};
use super::server::{Client, Server};
use super::{Options, Report, matches_any};

/// Requests sent at once.
const BATCH: u64 = 1000;
/// What servers do after the last request is over by then: moving entries to a larger table, giving
/// pages back.
const SETTLE: Duration = Duration::from_secs(3);

/// A kind of data: the requests that make it, each one entry.
struct Data {
    name: &'static str,
    entries: u64,
    words: &'static [&'static str],
}

const fn data(name: &'static str, entries: u64, words: &'static [&'static str]) -> Data {
    Data { name, entries, words }
}

const DATA: &[Data] = &[
    data("string of 16 B", 1_000_000, &["SET", "key:{i}", "{value}"]),
    data(
        "string of 100 B",
        500_000,
        &["SET", "key:{i}", "{value}{value}{value}{value}{value}{value}four"],
    ),
    data("string of 16 B, one TTL", 500_000, &["SET", "key:{i}", "{value}", "EX", "100000"]),
    data("string of 16 B, TTLs differ", 500_000, &["SET", "key:{i}", "{value}", "EX", "9{i}"]),
    data(
        "hash of 5 small fields",
        300_000,
        &[
            "HSET", "key:{i}", "f1", "v1234567", "f2", "v1234567", "f3", "v1234567", "f4",
            "v1234567", "f5", "v1234567",
        ],
    ),
    data("hash field", 500_000, &["HSET", "key", "field:{i}", "{value}"]),
    data("set member", 500_000, &["SADD", "key", "member:{i}"]),
    data("sorted set member", 500_000, &["ZADD", "key", "{i}", "member:{i}"]),
    data("list item", 1_000_000, &["RPUSH", "key", "item:{i}"]),
    data("stream entry", 500_000, &["XADD", "key", "*", "field", "value:{i}"]),
];

/// Measures all servers, each a name and a binary, and writes the table.
pub(super) fn run(
    options: &Options,
    servers: &[(String, PathBuf)],
    report: &mut Report,
) -> Result<()> {
    report.add("Bytes of resident memory for each entry.\n");
    report.add(&heading(servers));
    for data in DATA.iter().filter(|data| matches_any(&options.only, data.name)) {
        let mut samples = vec![Vec::new(); servers.len()];
        for _ in 0..options.rounds {
            for ((name, binary), samples) in servers.iter().zip(&mut samples) {
                // Memory does not depend on the core.
                samples.push(bytes_per_entry(&Server::start(name, binary, None)?, data)?);
            }
        }
        let figure = Figure { name: data.name, more_is_better: false };
        let medians: Vec<f64> = samples.iter().map(|samples| median(samples)).collect();
        report.add(&line(&figure, &medians));
    }
    Ok(())
}

fn bytes_per_entry(server: &Server, data: &Data) -> Result<f64> {
    let mut client = Client::connect(server.address)?;
    let mut random = Random::new(1);
    let before = server.memory();
    for first in (0..data.entries).step_by(BATCH as usize) {
        let count = BATCH.min(data.entries - first);
        let mut bytes = Vec::new();
        for index in first..first + count {
            let words: Vec<String> =
                data.words.iter().map(|word| expand(word, index, &mut random)).collect();
            encode(&words, &mut bytes);
        }
        client.exchange(&bytes, count)?;
    }
    std::thread::sleep(SETTLE);
    Ok((server.memory() as f64 - before as f64) / data.entries as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_has_a_place_of_its_own() {
        for data in DATA {
            let is_new = |word: &&str| word.contains("{i}");
            assert!(data.words.iter().any(is_new) || data.words[0] == "XADD", "{}", data.name);
        }
    }
}
