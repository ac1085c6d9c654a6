//! The hostile corpus of `tests/hostile` on our server or on others, as a table.

use std::path::PathBuf;

use anyhow::Result;

use crate::workspace;

/// Options of `cargo xtask hostile`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Servers to attack [default: ours].
    #[arg(long, value_name = "BIN")]
    server: Vec<PathBuf>,
    /// Only cases whose GROUP/NAME contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

/// Runs the corpus on each server in turn.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut command = workspace::cargo();
    command.args(["run", "--quiet", "--package", "perilune-tests", "--example", "hostile", "--"]);
    if let Some(only) = &options.only {
        command.arg("--only").arg(only);
    }
    for server in &options.server {
        command.arg(std::path::absolute(server)?);
    }
    workspace::run(&mut command)
}
