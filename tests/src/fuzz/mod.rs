//! Broken inputs for everything that reads what it cannot trust.
//!
//! A [`Target`] brings valid inputs, made by our own writers, and reads any. [`fuzz`] mutates
//! inputs and keeps those that had a new effect, as told by the target: an error that was not seen
//! before, another kind of value. A target that knows what its inputs are made of changes that:
//! one whose bytes are changed at random would mostly see the first check of its reader. A find is
//! a panic, an input that takes too long, or one that takes far more memory than it has bytes.
//!
//! Times are CPU times of this process: other work on the machine neither shortens a run nor makes
//! an input look slow. Only an input that never ends is told by the clock on the wall.
//!
//! There is no feedback from the compiled code: this runs on stable Rust and needs no tools.

mod data;
mod mutate;
mod node;
mod packed;
mod payload;
mod script;
mod text;

pub use mutate::mutate;

use crate::random::Random;
use nix::time::{ClockId, clock_gettime};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long one input may take in a debug build.
const INPUT_TIME_MAX: Duration = Duration::from_secs(10);
/// After so long an input is taken to run forever, and the process ends.
const INPUT_NEVER_ENDS: Duration = Duration::from_secs(60);
/// Memory that a run may add to what the process had at its beginning, in kilobytes.
const MEMORY_KB_MAX: u64 = 700 * 1024;
/// Inputs that are kept for having had a new effect.
const CORPUS_MAX: usize = 4096;
/// Longest input in bytes.
const INPUT_MAX: usize = 16 * 1024;

/// Something that reads inputs.
pub trait Target {
    /// Valid inputs.
    fn seeds(&mut self) -> Vec<Vec<u8>>;

    /// Words that mean something in an input.
    fn words(&self) -> &'static [&'static str] {
        &[]
    }

    /// Changes an input a little. `others` are inputs to take pieces of.
    fn change(&self, random: &mut Random, input: &mut Vec<u8>, others: &[Vec<u8>]) {
        mutate(random, input, others, self.words());
    }

    /// Reads an input, walks over what was read, and says in one number what came of it.
    fn run(&mut self, input: &[u8]) -> u64;
}

/// Makes a target.
pub type Make = fn() -> Box<dyn Target>;

/// All targets by name.
pub const TARGETS: &[(&str, Make)] = &[
    ("request", || Box::new(text::Requests)),
    ("restore", || Box::new(data::Restore::new())),
    ("rdb", || Box::new(data::Snapshot)),
    ("listpack", || Box::new(data::Packed)),
    ("stream", || Box::new(data::StreamNode)),
    ("acl", || Box::new(text::AclRules::new())),
    ("config", || Box::new(text::ConfigFile)),
    ("aof", || Box::new(text::AppendOnly)),
    ("lua", || Box::new(script::Source::new())),
    ("lualib", || Box::new(script::Libraries::new())),
];

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Inputs read.
    pub inputs: u64,
    /// Inputs with different effects.
    pub effects: usize,
}

/// An input that must not have the effect it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Find {
    /// What happens.
    pub what: String,
    /// The input.
    pub input: Vec<u8>,
}

impl std::fmt::Display for Find {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: b\"{}\"", self.what, self.input.escape_ascii())
    }
}

/// One number for something that was seen.
pub(crate) fn effect_of(seen: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    seen.hash(&mut hasher);
    hasher.finish()
}

/// Runs a target for so much CPU time.
pub fn fuzz(target: &mut dyn Target, time: Duration, seed: u64) -> Result<Outcome, Find> {
    let start = cpu_time();
    let mut random = Random::new(seed);
    let (watched, memory_before) = (Watched::begin(), memory_kb());
    let mut corpus = Vec::new();
    let (mut seen, mut inputs) = (HashSet::new(), 0);
    for input in target.seeds() {
        seen.insert(one(target, &watched, &input, memory_before)?);
        inputs += 1;
        corpus.push(input);
    }
    while cpu_time() - start < time {
        let mut input = random.pick(&corpus).clone();
        target.change(&mut random, &mut input, &corpus);
        input.truncate(INPUT_MAX);
        let effect = one(target, &watched, &input, memory_before)?;
        inputs += 1;
        if seen.insert(effect) && corpus.len() < CORPUS_MAX {
            corpus.push(input);
        }
    }
    Ok(Outcome { inputs, effects: seen.len() })
}

fn one(
    target: &mut dyn Target,
    watched: &Watched,
    input: &[u8],
    memory_before: u64,
) -> Result<u64, Find> {
    let find = |what: String| Find { what, input: input.to_vec() };
    let start = cpu_time();
    watched.set(Some(input));
    let outcome = catch_unwind(AssertUnwindSafe(|| target.run(input)));
    watched.set(None);
    let effect = outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("of another type");
        find(format!("panic {text}"))
    })?;
    let time = cpu_time() - start;
    if time > INPUT_TIME_MAX {
        return Err(find(format!("takes {time:?}")));
    }
    let memory = memory_kb().saturating_sub(memory_before);
    if memory > MEMORY_KB_MAX {
        return Err(find(format!("memory grew by {memory} kB")));
    }
    Ok(effect)
}

/// CPU time that this process has used, in all its threads.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID);
    time.expect("every process has this clock").into()
}

/// The most memory this process ever had resident, in kilobytes; 0 where nobody says.
fn memory_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The input that is being read and since when, for a thread that ends the process when it never
/// ends.
struct Watched(Arc<Mutex<Current>>);

/// Since when which input is read.
type Current = Option<(Instant, Vec<u8>)>;

impl Watched {
    fn begin() -> Self {
        let current: Arc<Mutex<Current>> = Arc::default();
        let watched = Arc::downgrade(&current);
        std::thread::spawn(move || {
            while let Some(current) = watched.upgrade() {
                let current = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some((since, input)) = current
                    && since.elapsed() > INPUT_NEVER_ENDS
                {
                    eprintln!("never ends: b\"{}\"", input.escape_ascii());
                    std::process::exit(1);
                }
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        Watched(current)
    }

    fn set(&self, input: Option<&[u8]>) {
        let now = input.map(|input| (Instant::now(), input.to_vec()));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fragile;

    impl Target for Fragile {
        fn seeds(&mut self) -> Vec<Vec<u8>> {
            vec![b"sound".to_vec()]
        }

        fn run(&mut self, input: &[u8]) -> u64 {
            assert!(input.is_ascii(), "no ASCII");
            effect_of(input.len())
        }
    }

    #[test]
    fn a_panic_is_found_with_its_input() {
        let found = fuzz(&mut Fragile, Duration::from_secs(20), 1).expect_err("it is easy to find");
        assert!(found.what.contains("no ASCII") && !found.input.is_ascii());
    }

    #[test]
    fn every_target_stands_a_moment_of_it() {
        for (name, make) in TARGETS {
            let outcome = fuzz(&mut *make(), Duration::from_secs(1), 1);
            let outcome = outcome.unwrap_or_else(|found| panic!("{name}: {found}"));
            assert!(outcome.inputs > 10, "{name}: {outcome:?}");
        }
    }
}
