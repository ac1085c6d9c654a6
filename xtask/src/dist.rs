//! The build for distribution: `cargo xtask dist`.
//!
//! A release build is laid out by the compiler's guesses of what is often executed. Here a server
//! that counts it is built, gets the load of `cargo xtask bench`, and is built again with its counts
//! (profile-guided optimisation): what is called often is inlined, what is not lies apart. Lua,
//! which is C, is built as always.
//!
//! The counts are merged by `llvm-profdata`, of rustup's component `llvm-tools` or of LLVM 19 and
//! later: older ones cannot read them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{bench, workspace};

/// Names the program that merges, if it is none of those that are looked for.
const MERGER_VARIABLE: &str = "LLVM_PROFDATA";
/// The versions of LLVM under whose names `llvm-profdata` is looked for, the first is preferred.
const LLVM_VERSIONS: [u32; 6] = [24, 23, 22, 21, 20, 19];
/// Where the server is put, from the root of the workspace.
const PLACE: &str = "target/dist/perilune";

/// Builds, trains, builds again, and says where the server is.
pub(crate) fn run() -> Result<()> {
    let host = compiler("host: ")?;
    let merger = find_merger(&host)?;
    let folder = workspace::root().join("target/dist");
    let counts = folder.join("counts");
    // Counts of another build would be merged with those of this one.
    let _ = std::fs::remove_dir_all(&counts);
    std::fs::create_dir_all(&counts)?;

    println!("=== a server that counts");
    let counting = build(&host, &folder.join("counting"), "-Cprofile-generate")?;
    println!("=== its training");
    bench::train(&counting, &counts)?;
    let profile = folder.join("perilune.profdata");
    workspace::run(Command::new(merger).arg("merge").arg("-o").arg(&profile).arg(&counts))?;
    println!("=== the server");
    let flag = format!("-Cprofile-use={}", profile.display());
    let built = build(&host, &folder.join("guided"), &flag)?;
    let place = workspace::root().join(PLACE);
    std::fs::copy(&built, &place).with_context(|| format!("cannot write {}", place.display()))?;
    println!("{}", place.display());
    Ok(())
}

/// A release build of the server with one more flag for the compiler, besides those of
/// `.cargo/config.toml`. As it names its target, build scripts and macros do not get the flag.
fn build(host: &str, folder: &Path, flag: &str) -> Result<PathBuf> {
    let mut command = workspace::cargo();
    command.args(["build", "--release", "--package", "perilune-server", "--target", host]);
    command.arg("--target-dir").arg(folder);
    command.arg("--config").arg(format!("target.{host}.rustflags=[{flag:?}]"));
    workspace::run(&mut command)?;
    Ok(folder.join(host).join("release/perilune"))
}

/// What `rustc -vV` says behind `field`.
fn compiler(field: &str) -> Result<String> {
    let text = output(Command::new("rustc").arg("-vV"))?;
    let value = text.lines().find_map(|line| line.strip_prefix(field));
    value.map(str::to_owned).with_context(|| format!("`rustc -vV` names no {field}"))
}

/// `llvm-profdata`: the one that is named, the compiler's own, or the newest that is on `PATH`.
fn find_merger(host: &str) -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(MERGER_VARIABLE) {
        return Ok(named.into());
    }
    let root = output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let own = Path::new(root.trim()).join(format!("lib/rustlib/{host}/bin/llvm-profdata"));
    let others = LLVM_VERSIONS.map(|version| PathBuf::from(format!("llvm-profdata-{version}")));
    let works = |program: &PathBuf| {
        let status = Command::new(program).arg("--version").stdout(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    std::iter::once(own).chain(others).find(works).with_context(|| {
        format!(
            "no llvm-profdata of LLVM 19 or later: `rustup component add llvm-tools`, \
             `apt-get install llvm-19`, or name one in {MERGER_VARIABLE}"
        )
    })
}

fn output(command: &mut Command) -> Result<String> {
    let shown = workspace::show(command);
    let output = command.output().with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}` ended with {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` printed no UTF-8"))
}
