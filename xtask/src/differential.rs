//! The same generated commands against our server and a real Redis, for as long as one likes.
//!
//! The generator and the comparison are in the `tests` package; this builds the server and hands
//! over the options.

use std::path::PathBuf;

use anyhow::Result;

use crate::workspace;

/// Options of `cargo xtask differential`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Commands to run.
    #[arg(long, default_value_t = 100_000)]
    commands: u64,
    /// Seed of the first sequence [default: another one each time].
    #[arg(long)]
    seed: Option<u64>,
    /// The binary of a Redis 7.2 or 7.0 [default: PERILUNE_REDIS or redis-server on the search path].
    #[arg(long, value_name = "BIN")]
    against: Option<PathBuf>,
    /// Print all differences as they are instead of making the first one short.
    #[arg(long, requires = "seed")]
    survey: bool,
    /// Run release builds, for many commands.
    #[arg(long)]
    release: bool,
}

/// Builds the server and runs the comparison.
pub(crate) fn run(options: &Options) -> Result<()> {
    let profile = options.release.then_some("--release");
    let mut build = workspace::cargo();
    workspace::run(build.args(["build", "--package", "perilune-server"]).args(profile))?;
    let mut command = workspace::cargo();
    command.args(["run", "--quiet", "--package", "perilune-tests", "--bin", "differential"]);
    command.args(profile).arg("--").arg(options.commands.to_string());
    command.args(options.seed.map(|seed| seed.to_string()));
    command.args(options.survey.then_some("survey"));
    let folder = if options.release { "release" } else { "debug" };
    let server = workspace::root().join("target").join(folder).join("perilune");
    command.env("PERILUNE_TEST_SERVER", server);
    if let Some(binary) = &options.against {
        command.env("PERILUNE_REDIS", binary);
    }
    workspace::run(&mut command)
}
