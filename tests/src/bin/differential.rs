//! A long differential run: `differential COMMANDS [SEED [survey]]`.
//!
//! `cargo xtask differential` builds the server and calls this.

use perilune_testkit::{FakeEngine, TestServer};
use perilune_tests::differential::{Campaign, Catalogue, Sides, oracle};
use perilune_tests::random::Random;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Commands between two lines of progress.
const STRETCH: usize = 50_000;

fn main() -> ExitCode {
    let survey = std::env::args().nth(3).is_some_and(|word| word == "survey");
    let mut arguments = std::env::args().skip(1).take(2).map(|argument| argument.parse::<u64>());
    let (commands, seed) = match (arguments.next(), arguments.next()) {
        (Some(Ok(commands)), None) => (commands, Random::seed_of_the_moment()),
        (Some(Ok(commands)), Some(Ok(seed))) => (commands, seed),
        _ => {
            eprintln!("usage: differential COMMANDS [SEED [survey]]");
            return ExitCode::FAILURE;
        }
    };
    match run(commands as usize, seed, survey) {
        Ok(()) => ExitCode::SUCCESS,
        Err(difference) => {
            eprintln!("{difference}");
            ExitCode::FAILURE
        }
    }
}

fn run(commands: usize, seed: u64, survey: bool) -> Result<(), String> {
    let mut sides = Sides::start(&oracle()?);
    let server = TestServer::new(vec![Box::new(FakeEngine::new())]);
    let catalogue = Catalogue::for_sides(&server.engine.commands, &mut sides);
    let (start, mut done, mut next) = (Instant::now(), 0, seed);
    let [major, minor] = sides.version();
    let rows = catalogue.rows().count();
    println!("{commands} commands of {rows} rows against Redis {major}.{minor} from seed {seed}");
    while done < commands {
        let stretch = STRETCH.min(commands - done);
        let campaign = Campaign { seed: next, commands: stretch, time_max: Duration::MAX, survey };
        let report = campaign.run(&mut sides, &catalogue).map_err(|error| error.to_string())?;
        done += report.commands;
        if let Some(difference) = report.difference {
            return Err(format!("after {done} commands: {difference}"));
        }
        // Sequences are numbered; a stretch uses far fewer numbers than it has commands.
        next = next.wrapping_add(stretch as u64);
        println!("{done} commands are equal, {:.0} s", start.elapsed().as_secs_f64());
    }
    Ok(())
}
