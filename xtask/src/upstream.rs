//! Redis' own Tcl test suite against a release build, through the runner that scores it.
//!
//! The runner and the suite live outside of this repository: the suite is Redis' property.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace;

const RUNNER: &str = "shared/upstream-suite/run.py";

/// Options of `cargo xtask upstream-suite`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// A checkout of Redis 7.2.4; only its `tests` folder is used.
    #[arg(long, value_name = "DIR")]
    suite: PathBuf,
    /// Units to run, as globs separated by commas.
    #[arg(long, value_name = "GLOB,..")]
    units: Option<String>,
    /// The runner script [default: shared/upstream-suite/run.py beside the workspace or above].
    #[arg(long, value_name = "PATH")]
    runner: Option<PathBuf>,
}

/// Builds the server and hands it to the runner.
pub(crate) fn run(options: &Options) -> Result<()> {
    let runner = match &options.runner {
        Some(path) => path.clone(),
        None => find_runner().with_context(|| {
            format!("no {RUNNER} beside the workspace or above: name it with --runner")
        })?,
    };
    if !options.suite.join("tests").is_dir() {
        bail!("{} has no tests folder", options.suite.display());
    }
    workspace::run(workspace::cargo().args([
        "build",
        "--release",
        "--package",
        "perilune-server",
    ]))?;

    let mut command = Command::new("python3");
    command.arg(runner).arg("--suite").arg(&options.suite);
    command.arg("--server").arg(workspace::root().join("target/release/perilune"));
    if let Some(units) = &options.units {
        command.arg("--units").arg(units);
    }
    workspace::run(&mut command)
}

fn find_runner() -> Option<PathBuf> {
    let above = workspace::root().ancestors().skip(1);
    above.map(|folder| folder.join(RUNNER)).find(|path| path.is_file())
}
