//! Broken inputs for everything that reads what it cannot trust, on stable Rust.
//!
//! The targets are in the `tests` package; this hands over the options.

use anyhow::Result;

use crate::workspace;

/// Options of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// What reads the inputs; a wrong name is answered with all names.
    target: String,
    /// How long, in CPU time.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Runs a release build: several times as many inputs, without the checks of a debug build.
    #[arg(long)]
    release: bool,
    /// Repeats a run [default: another one each time].
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs the target.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut command = workspace::cargo();
    command.args(["run", "--quiet", "--package", "perilune-tests", "--bin", "fuzz"]);
    command.args(options.release.then_some("--release")).arg("--");
    command.arg(&options.target).arg(options.seconds.to_string());
    command.args(options.seed.map(|seed| seed.to_string()));
    workspace::run(&mut command)
}
