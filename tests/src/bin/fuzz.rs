//! A fuzz run: `fuzz TARGET SECONDS [SEED]`, seconds of CPU time. `cargo xtask fuzz` calls this.

use perilune_tests::fuzz::{TARGETS, fuzz};
use perilune_tests::random::Random;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
    let named = words.first().and_then(|name| TARGETS.iter().find(|(it, _)| it == name));
    let (Some((name, make)), Some(seconds)) = (named, number(1)) else {
        let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        eprintln!("usage: fuzz {} SECONDS [SEED]", names.join("|"));
        return ExitCode::FAILURE;
    };
    let seed = number(2).unwrap_or_else(Random::seed_of_the_moment);
    match fuzz(&mut *make(), Duration::from_secs(seconds), seed) {
        Ok(outcome) => {
            println!(
                "{name}, {seconds} s of CPU time, seed {seed}: {} inputs, {} effects, no find",
                outcome.inputs, outcome.effects
            );
            ExitCode::SUCCESS
        }
        Err(find) => {
            eprintln!("{name}, seed {seed}: {find}");
            ExitCode::FAILURE
        }
    }
}
