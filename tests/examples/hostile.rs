//! Runs the hostile corpus on Redis-compatible servers and prints what became of it:
//! `cargo run -p perilune-tests --example hostile -- [--only TEXT] [BINARY...]`; without a binary,
//! on ours.

use perilune_tests::hostile::{Outcome, Runner, corpus};
use perilune_tests::{ServerBuilder, server_binary};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// No script, answer or kill may take longer.
const BOUND: Duration = Duration::from_secs(2);

fn main() {
    let mut only = String::new();
    let mut binaries = Vec::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--only" => only = words.next().unwrap_or_default(),
            _ => binaries.push(std::path::absolute(word).expect("a path")),
        }
    }
    if binaries.is_empty() {
        binaries.push(server_binary().to_owned());
    }
    for binary in binaries {
        run(&binary, &only);
    }
}

fn run(binary: &Path, only: &str) {
    println!("{}", binary.display());
    let mut runner = Runner::new(ServerBuilder::of(binary), BOUND);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut worst_answer, mut worst_kill) = (Duration::ZERO, Duration::ZERO);
    for case in corpus() {
        let name = format!("{}/{}", case.group, case.name);
        if !name.contains(only) {
            continue;
        }
        let finding = runner.run(&case);
        let word = match &finding.outcome {
            Outcome::Ended => "ended",
            Outcome::Killed => "killed",
            Outcome::Hung => "hung",
            Outcome::Crashed => "crashed",
            Outcome::Wrong(_) => "wrong",
        };
        *counts.entry(word).or_default() += 1;
        worst_answer = worst_answer.max(finding.worst_answer);
        worst_kill = worst_kill.max(finding.worst_kill);
        let times = format!(
            "answer {} ms, kill {} ms",
            finding.worst_answer.as_millis(),
            finding.worst_kill.as_millis()
        );
        match finding.outcome {
            Outcome::Wrong(what) => println!("  {word:8} {name}: {what}"),
            _ => println!("  {word:8} {name} ({times})"),
        }
    }
    println!("{counts:?}, slowest answer {worst_answer:?}, slowest kill {worst_kill:?}\n");
}
