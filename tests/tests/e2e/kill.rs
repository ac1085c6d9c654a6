//! `kill -9` under load, also in the middle of `BGREWRITEAOF` and `BGSAVE`.
//!
//! Writers send units by turns: a transaction, a script, a function. Each unit adds one to three
//! counters of its writer, of different types. After each kill a server is started on what is there:
//!
//! - the three counters are equal: each unit is there whole or not at all;
//! - with `appendfsync always` no unit that was acknowledged is missing;
//! - with `everysec` no unit that was acknowledged more than a second before the kill is missing;
//! - without an append-only file there is the last whole snapshot, as of one moment;
//! - units are there that nobody was told of only as far as they were under way: one per writer;
//! - keys that nobody writes any more are all there, and so is the function.
//!
//! `PERILUNE_KILL_ROUNDS` sets the number of kills for each of the three.

use nix::sys::signal::Signal;
use perilune_resp::Value;
use perilune_testkit::Connection;
use perilune_tests::{Server, int, ok, server_binary};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const WRITERS: usize = 4;
/// Keys that are written once, so that a snapshot takes its time.
const FILLERS: i64 = 2000;
/// With which a snapshot takes longer than a server lives, and one that it outlives.
const KEY_DELAYS_US: [&str; 2] = ["3000", "10"];
/// What may be lost with `everysec`.
const SECOND: Duration = Duration::from_secs(1);
/// Adds one to each of the counters.
const SCRIPT: &str = "redis.call('INCR', KEYS[1]) redis.call('HINCRBY', KEYS[2], 'units', 1) \
                      redis.call('ZINCRBY', KEYS[3], 1, 'units') return 1";
const FILL: &str = "for i = 1, ARGV[1] do redis.call('SET', 'filler:' .. i, i) end";

/// How the data are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeping {
    Always,
    Everysec,
    Snapshots,
}

/// What the kills met.
#[derive(Debug, Clone, Copy, Default)]
struct Figures {
    rewriting: u32,
    saving: u32,
    units: i64,
    /// Most units of one writer that were acknowledged and are missing.
    lost_max: i64,
}

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(keeping: Keeping) -> Self {
        let name = format!("perilune-kill-{keeping:?}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("the temporary folder is writable");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn start(folder: &Path, keeping: Keeping) -> Server {
    let _ = std::fs::remove_file(folder.join("server.log"));
    let builder = Server::builder().within(folder).set("auto-aof-rewrite-percentage", "0");
    match keeping {
        Keeping::Always => builder.set("appendonly", "yes").set("appendfsync", "always"),
        Keeping::Everysec => builder.set("appendonly", "yes").set("appendfsync", "everysec"),
        Keeping::Snapshots => builder,
    }
    .start()
}

fn keys(writer: usize) -> [String; 3] {
    ["text", "hash", "zset"].map(|kind| format!("{kind}:{writer}"))
}

/// The counters of a writer.
fn counters(client: &mut Connection, writer: usize) -> [i64; 3] {
    let [text, hash, zset] = keys(writer);
    [vec!["GET", &text], vec!["HGET", &hash, "units"], vec!["ZSCORE", &zset, "units"]].map(
        |words| match client.run(&words).expect("a reply") {
            Value::Null => 0,
            Value::Bulk(text) => std::str::from_utf8(&text)
                .ok()
                .and_then(|text| text.parse().ok())
                .expect("a number"),
            other => panic!("{other:?}"),
        },
    )
}

/// What a writer was told: how many units there were when it began, and when it heard of each
/// further one.
struct Told {
    before: i64,
    at: Vec<Instant>,
}

impl Told {
    fn until(&self, moment: Instant) -> i64 {
        self.before + self.at.partition_point(|at| *at <= moment) as i64
    }
}

/// Writes until the server is gone.
fn write(mut client: Connection, writer: usize, before: i64) -> Told {
    let [text, hash, zset] = keys(writer);
    let mut told = Told { before, at: Vec::new() };
    let mut unit = |number: usize| -> std::io::Result<()> {
        let reply = match number % 3 {
            0 => {
                client.run(&["MULTI"])?;
                client.run(&["INCR", &text])?;
                client.run(&["HINCRBY", &hash, "units", "1"])?;
                client.run(&["ZINCRBY", &zset, "1", "units"])?;
                client.run(&["EXEC"])?
            }
            1 => client.run(&["EVAL", SCRIPT, "3", &text, &hash, &zset])?,
            _ => client.run(&["FCALL", "add", "3", &text, &hash, &zset])?,
        };
        assert!(reply.as_error().is_none(), "{reply:?}");
        told.at.push(Instant::now());
        Ok(())
    };
    let mut number = 0;
    while unit(number).is_ok() {
        number += 1;
    }
    told
}

/// Writes what stays as it is.
fn fill(client: &mut Connection, keeping: Keeping) {
    let library = format!(
        "#!lua name=units\nredis.register_function('add', function(KEYS, ARGV) {SCRIPT} end)"
    );
    assert_eq!(client.run(&["FUNCTION", "LOAD", &library]).expect("told"), Value::bulk("units"));
    let count = FILLERS.to_string();
    client.run(&["EVAL", FILL, "0", &count]).expect("told");
    if keeping == Keeping::Snapshots {
        assert_eq!(client.run(&["SAVE"]).expect("told"), ok());
    }
}

/// Looks at what is there after a kill. The units of each writer.
fn survivors(client: &mut Connection, round: u64, at_least: &[i64], at_most: &[i64]) -> Vec<i64> {
    let mut there = Vec::new();
    for writer in 0..WRITERS {
        let [text, hash, zset] = counters(client, writer);
        assert!(text == hash && hash == zset, "{text}, {hash}, {zset}: half a unit, round {round}");
        let (least, most) = (at_least[writer], at_most[writer]);
        assert!((least..=most).contains(&text), "{text} not in {least}..={most}, round {round}");
        there.push(text);
    }
    let begun = there.iter().filter(|units| **units > 0).count() as i64;
    assert_eq!(client.run(&["DBSIZE"]).expect("a reply"), int(FILLERS + 3 * begun));
    let [text, hash, zset] = keys(WRITERS);
    let call = ["FCALL", "add", "3", &text, &hash, &zset];
    assert_eq!(client.run(&call).expect("a reply"), int(1));
    client.run(&["DEL", &text, &hash, &zset]).expect("a reply");
    there
}

/// Has a snapshot or a rewrite begun, by turns, and says what is under way a little later.
fn disturb(client: &mut Connection, keeping: Keeping, round: u64, figures: &mut Figures) {
    let delay = KEY_DELAYS_US[(round / 3 % 2) as usize];
    client.run(&["CONFIG", "SET", "rdb-key-save-delay", delay]).expect("a reply");
    match round % 3 {
        0 if keeping != Keeping::Snapshots => return,
        1 if keeping != Keeping::Snapshots => client.run(&["BGREWRITEAOF"]).expect("a reply"),
        _ => client.run(&["BGSAVE"]).expect("a reply"),
    };
    std::thread::sleep(Duration::from_millis(round * 53 % 200));
    let info = client.run(&["INFO", "persistence"]).expect("a reply");
    let Value::Bulk(info) = info else { panic!("{info:?}") };
    let info = String::from_utf8_lossy(&info);
    figures.rewriting += u32::from(info.contains("aof_rewrite_in_progress:1"));
    figures.saving += u32::from(info.contains("rdb_bgsave_in_progress:1"));
}

/// Whatever the moment of the kill, there is no half of a snapshot under the name of one.
fn check_snapshot(folder: &Path) {
    let path = folder.join("dump.rdb");
    if path.exists() {
        let checked = Command::new(server_binary()).arg("check-rdb").arg(&path).output();
        let checked = checked.expect("the server's binary starts");
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }
}

fn kill_often(keeping: Keeping, rounds: u64) {
    let wanted = std::env::var("PERILUNE_KILL_ROUNDS").ok().and_then(|text| text.parse().ok());
    let rounds = wanted.unwrap_or(rounds);
    let folder = Folder::new(keeping);
    let mut figures = Figures::default();
    let (mut at_least, mut at_most) = ([0; WRITERS], [0; WRITERS]);
    let mut acknowledged = [0; WRITERS];
    for round in 0..=rounds {
        let mut server = start(&folder.0, keeping);
        let mut client = server.connect();
        if round == 0 {
            fill(&mut client, keeping);
        }
        let there = survivors(&mut client, round, &at_least, &at_most);
        for (told, there) in acknowledged.iter().zip(&there) {
            figures.lost_max = figures.lost_max.max(told - there);
        }
        if round == rounds {
            break;
        }
        let writers: Vec<JoinHandle<Told>> = there
            .iter()
            .enumerate()
            .map(|(writer, before)| {
                let (client, before) = (server.connect(), *before);
                std::thread::spawn(move || write(client, writer, before))
            })
            .collect();
        // Under way for longer than what may be lost, or it could be everything.
        let least = if keeping == Keeping::Everysec { SECOND } else { Duration::ZERO };
        std::thread::sleep(least + Duration::from_millis(20 + round * 37 % 150));
        disturb(&mut client, keeping, round, &mut figures);
        let killed_at = Instant::now();
        server.signal(Signal::SIGKILL);
        server.wait();
        for (writer, handle) in writers.into_iter().enumerate() {
            let told = handle.join().expect("writers end with the server");
            acknowledged[writer] = told.before + told.at.len() as i64;
            figures.units += told.at.len() as i64;
            at_most[writer] = acknowledged[writer] + 1;
            at_least[writer] = match keeping {
                Keeping::Always => acknowledged[writer],
                Keeping::Everysec => told.until(killed_at - SECOND),
                Keeping::Snapshots => told.before,
            };
        }
        check_snapshot(&folder.0);
    }
    println!("{keeping:?}: {rounds} kills, {figures:?}");
    let disturbed = if keeping == Keeping::Snapshots { 1 } else { figures.rewriting };
    assert!(disturbed > 0 && figures.saving > 0, "kills came too late: {figures:?}");
}

#[test]
fn nothing_acknowledged_is_lost() {
    kill_often(Keeping::Always, 12);
}

#[test]
fn at_most_the_last_second_is_lost() {
    kill_often(Keeping::Everysec, 6);
}

#[test]
fn the_last_snapshot_is_whole() {
    kill_often(Keeping::Snapshots, 8);
}
