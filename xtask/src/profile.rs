//! The profile of release builds: `cargo xtask profile`.
//!
//! A server that counts what it executes is built, gets the load of `cargo xtask bench` and a few
//! commands besides, and what it counted becomes `.cargo/perilune.profdata`. With that the compiler
//! knows what is called often, to inline it, and what is not, to put it out of the way
//! (profile-guided optimisation, as Go does it with a `default.pgo`). `.cargo/profiled-rustc` gives it
//! to the compiler. Lua, which is C, has a profile of its own, `crates/perilune-lua/profile`: counts as GCC
//! writes them, a file for each of Lua's, which that crate's build script gives to GCC.
//!
//! The counts are merged by `llvm-profdata`, of rustup's component `llvm-tools` or of LLVM 19 and
//! later: older ones cannot read them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{bench, workspace};

/// Names the program that merges, if it is none of those that are looked for.
const MERGER_VARIABLE: &str = "LLVM_PROFDATA";
/// The versions of LLVM under whose names `llvm-profdata` is looked for, the first is preferred.
const LLVM_VERSIONS: [u32; 6] = [24, 23, 22, 21, 20, 19];
/// Has `.cargo/profiled-rustc` build a server that counts.
const COUNT_VARIABLE: &str = "PERILUNE_COUNT";
/// Cargo's configuration, from the root of the workspace, and what is before the profile's name in it.
const CONFIG: &str = ".cargo/config.toml";
const MARK: &str = "perilune_profile=\\\"";
/// The profile, from the root of the workspace.
const PROFILE: &str = ".cargo/perilune.profdata";
/// That of Lua, likewise.
const LUA_PROFILE: &str = "crates/perilune-lua/profile";

/// Makes the profile, and tells cargo that it is another one.
pub(crate) fn run() -> Result<()> {
    let merger = find_merger()?;
    let folder = workspace::root().join("target/counting");
    let counts = folder.join("counts");
    // Counts of another build would be merged with those of this one.
    let _ = std::fs::remove_dir_all(&counts);
    std::fs::create_dir_all(&counts)?;
    for file in lua_counts(&folder)? {
        std::fs::remove_file(file)?;
    }

    println!("=== a server that counts");
    let mut build = workspace::cargo();
    build.args(["build", "--release", "--package", "perilune-server", "--target-dir"]);
    // Another wrapper in the environment would take the place of ours.
    build.arg(&folder).env(COUNT_VARIABLE, "1").env_remove("RUSTC_WRAPPER");
    workspace::run(&mut build)?;
    println!("=== its training");
    bench::train(&folder.join("release/perilune"), &counts)?;
    let profile = workspace::root().join(PROFILE);
    let mut merge = Command::new(merger);
    workspace::run(merge.args(["merge", "--sparse", "-o"]).arg(&profile).arg(&counts))?;
    let name = name_of(&std::fs::read(&profile)?);
    let config = workspace::root().join(CONFIG);
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(&config, with_name(&text, &name).context("the configuration has no mark")?)?;
    println!("{}", profile.display());
    keep_lua_counts(&lua_counts(&folder)?)
}

/// What a server that was built in `folder` counted of Lua. It stands beside the objects.
fn lua_counts(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let Ok(builds) = std::fs::read_dir(folder.join("release/build")) else { return Ok(found) };
    for build in builds {
        let Ok(objects) = std::fs::read_dir(build?.path().join("out/lib")) else { continue };
        for file in objects {
            let path = file?.path();
            if path.extension().is_some_and(|extension| extension == "gcda") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Makes them Lua's profile, under the names of Lua's files: an object's begins with a hash and a dash.
fn keep_lua_counts(counts: &[PathBuf]) -> Result<()> {
    let profile = workspace::root().join(LUA_PROFILE);
    if counts.is_empty() {
        println!("nothing was counted of Lua, as its compiler is not GCC: {LUA_PROFILE} stays");
        return Ok(());
    }
    let _ = std::fs::remove_dir_all(&profile);
    std::fs::create_dir_all(&profile)?;
    for file in counts {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let (_, name) = name.split_once('-').context("an object without a hash")?;
        std::fs::copy(file, profile.join(name))?;
    }
    println!("{}", profile.display());
    Ok(())
}

/// A name for a profile, which another one does not have.
fn name_of(profile: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    profile.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Cargo's configuration with the name of another profile. None if it names none.
fn with_name(config: &str, name: &str) -> Option<String> {
    let (before, rest) = config.split_once(MARK)?;
    let (_, after) = rest.split_once('\\')?;
    Some(format!("{before}{MARK}{name}\\{after}"))
}

/// `llvm-profdata`: the one that is named, the compiler's own, or the newest that is on `PATH`.
fn find_merger() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(MERGER_VARIABLE) {
        return Ok(named.into());
    }
    let version = output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("`rustc -vV` names no host")?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_names_the_profile_once() {
        let config = std::fs::read_to_string(workspace::root().join(CONFIG)).expect("readable");
        let other = with_name(&config, "another").expect("a mark");
        assert_ne!(other, config);
        assert!(other.contains(r#""perilune_profile=\"another\"""#), "{other}");
        assert_eq!(with_name(&other, "another"), Some(other));
    }
}
