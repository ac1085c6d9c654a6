//! Many sequences one after the other, and what to do about one that differs.

use super::catalogue::Catalogue;
use super::generate::{Generator, Step};
use super::play::{Difference, Sides, one_line};
use crate::repository;
use perilune_resp::split_args;
use std::fmt::Write as _;
use std::io;
use std::time::{Duration, Instant};

/// Steps of one sequence.
const SEQUENCE: usize = 250;
/// How long a sequence that differs is made shorter.
const SHRINK_FOR: Duration = Duration::from_secs(40);

/// Where sequences of past finds are kept.
const REGRESSIONS: &str = "tests/differential/regressions.txt";

/// How long to go on.
#[derive(Debug, Clone, Copy)]
pub struct Campaign {
    /// Seed of the first sequence; the others count up from it.
    pub seed: u64,
    /// So many commands.
    pub commands: usize,
    /// Or so long, if that is less.
    pub time_max: Duration,
    /// Whether to print differences as they are and go on, instead of looking for a short sequence
    /// that shows the first.
    pub survey: bool,
}

/// What a campaign came to.
#[derive(Debug)]
pub struct Report {
    /// Commands whose replies were equal.
    pub commands: usize,
    /// The first difference, with a short sequence that shows it.
    pub difference: Option<String>,
}

impl Campaign {
    /// Runs until the end or the first difference.
    pub fn run(&self, sides: &mut Sides, catalogue: &Catalogue) -> io::Result<Report> {
        let start = Instant::now();
        let (mut commands, mut seed) = (0, self.seed);
        while commands < self.commands && start.elapsed() < self.time_max {
            let steps = Generator::new(catalogue, seed).steps(SEQUENCE);
            let style = (seed % Sides::STYLES as u64) as usize;
            let found = sides.play(style, &steps)?;
            if let Some(found) = found.as_ref().filter(|_| self.survey) {
                println!("seed {seed} {found}");
            } else if let Some(found) = found {
                let difference = Some(explain(sides, seed, style, &steps, found)?);
                return Ok(Report { commands, difference });
            }
            commands += steps.iter().map(|step| step.inner.len().max(1)).sum::<usize>();
            seed += 1;
        }
        Ok(Report { commands, difference: None })
    }
}

fn explain(
    sides: &mut Sides,
    seed: u64,
    style: usize,
    steps: &[Step],
    found: Difference,
) -> io::Result<String> {
    let (steps, found) = shrink(sides, style, steps, found)?;
    let mut text = format!("seed {seed}\n\n== style {style}\n");
    for step in &steps {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", one_line(step));
    }
    let _ = write!(text, "\n{found}");
    Ok(text)
}

/// Leaves out steps as long as there is a difference: first many at a time, then one by one.
fn shrink(
    sides: &mut Sides,
    style: usize,
    steps: &[Step],
    found: Difference,
) -> io::Result<(Vec<Step>, Difference)> {
    let start = Instant::now();
    let mut kept: Vec<Step> = steps[..steps.len().min(found.at + 1)].to_vec();
    let mut found = found;
    let mut size = kept.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < kept.len() && start.elapsed() < SHRINK_FOR {
            let mut fewer = kept.clone();
            fewer.drain(at..kept.len().min(at + size));
            match sides.play(style, &fewer)? {
                Some(still) => {
                    fewer.truncate(still.at + 1);
                    (kept, found) = (fewer, still);
                }
                None => at += size,
            }
        }
        size /= 2;
    }
    Ok((kept, found))
}

/// The kept sequences, each with its style.
///
/// ```text
/// == style 1
/// SET key value
/// GET key
/// ```
///
/// # Panics
/// If the file is not there or a line makes no sense.
pub fn regressions() -> Vec<(usize, Vec<Step>)> {
    let path = repository().join(REGRESSIONS);
    let text = std::fs::read_to_string(&path).expect("the regressions are in the repository");
    let mut sequences: Vec<(usize, Vec<Step>)> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(style) = line.strip_prefix("== style ") {
            sequences.push((style.trim().parse().expect("a style is a number"), Vec::new()));
            continue;
        }
        let words = split_args(line.as_bytes()).expect("quotes are closed");
        let (_, steps) = sequences.last_mut().expect("a style stands first");
        steps.push(Step::plain(words));
    }
    sequences
}
