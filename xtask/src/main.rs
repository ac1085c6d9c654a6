//! Developer tasks of the workspace, run as `cargo xtask TASK`.
//!
//! Each task is one module with one `run` function; nothing here is part of the server. The list of
//! what CI checks stands in [`ci`] and nowhere else: `.ci/run` only prepares a machine and calls it.

mod bench;
mod ci;
mod differential;
mod fuzz;
mod hostile;
mod profile;
mod tidy;
mod upstream;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer tasks of the Perilune workspace")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run everything CI runs: tests, formatting, lints, documentation, tidy.
    Ci,
    /// Check the layering of the crates and the conventions of the sources.
    Tidy,
    /// Load-test a server side by side with other Redis-compatible servers.
    Bench(bench::Options),
    /// Run generated commands against our server and a real Redis, comparing replies.
    Differential(differential::Options),
    /// Feed broken inputs to one of the readers of the product.
    Fuzz(fuzz::Options),
    /// Run the hostile scripts on a server and print what became of it.
    Hostile(hostile::Options),
    /// Make the profile anew by which release builds are laid out.
    Profile,
    /// Run Redis' own Tcl test suite against a release build of the server.
    UpstreamSuite(upstream::Options),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Ci => ci::run(),
        Task::Tidy => tidy::run(),
        Task::Bench(options) => bench::run(&options),
        Task::Differential(options) => differential::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Hostile(options) => hostile::run(&options),
        Task::Profile => profile::run(),
        Task::UpstreamSuite(options) => upstream::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
