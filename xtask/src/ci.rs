//! What CI runs, step by step, each with its time.
//!
//! A failing step does not hide the later ones: all run, and the task fails if any did.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::{tidy, workspace};

/// A cargo invocation and what it needs in its environment.
struct Step {
    args: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
}

const STEPS: &[Step] = &[
    Step { args: &["fmt", "--all", "--check"], env: &[] },
    Step { args: &["test", "--workspace"], env: &[] },
    Step { args: &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], env: &[] },
    Step { args: &["test", "--package", "perilune-lua", "--features", "luajit"], env: &[] },
    Step {
        args: &[
            "clippy",
            "--package",
            "perilune-lua",
            "--all-targets",
            "--features",
            "luajit",
            "--",
            "-D",
            "warnings",
        ],
        env: &[],
    },
    Step { args: &["doc", "--workspace", "--no-deps"], env: &[("RUSTDOCFLAGS", "-D warnings")] },
];

/// Runs every step and prints a summary.
pub(crate) fn run() -> Result<()> {
    let mut summary = Vec::new();
    for step in STEPS {
        let mut command = workspace::cargo();
        command.args(step.args).envs(step.env.iter().copied());
        let name = workspace::show(&command);
        timed(&mut summary, name, || workspace::run(&mut command));
    }
    timed(&mut summary, "tidy".to_owned(), tidy::run);

    println!("\n   time  step");
    for (name, seconds, passed) in &summary {
        println!("{seconds:6.1}s  {name}{}", if *passed { "" } else { "  FAILED" });
    }
    let failed = summary.iter().filter(|(_, _, passed)| !passed).count();
    if failed > 0 {
        bail!("{failed} of {} steps failed", summary.len());
    }
    Ok(())
}

fn timed(summary: &mut Vec<(String, f64, bool)>, name: String, step: impl FnOnce() -> Result<()>) {
    println!("\n=== {name}");
    let start = Instant::now();
    let outcome = step();
    if let Err(error) = &outcome {
        eprintln!("{error:#}");
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("=== {seconds:.1}s");
    summary.push((name, seconds, outcome.is_ok()));
}
