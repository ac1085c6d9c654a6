//! Where the workspace is and what `cargo metadata` says about its packages.
//!
//! Only declared dependencies are read (`--no-deps`): the resolved graph of outside crates is none
//! of the tasks' business.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A workspace member.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One dependency as a manifest declares it.
#[derive(Debug, Clone)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// The table of the manifest in which a dependency stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Dev,
    Build,
}

/// The root folder of the workspace this binary was built from.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// A `cargo` command that runs in the workspace root, with the cargo that started this task.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs a command with its output passed through; fails unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let status = command.status().with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// The command as one would type it.
pub(crate) fn show(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
    let args = command.get_args().map(|arg| arg.to_string_lossy());
    std::iter::once(name).chain(args).collect::<Vec<_>>().join(" ")
}

/// Every member of the workspace.
pub(crate) fn packages() -> Result<Vec<Package>> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .context("cannot start `cargo metadata`")?;
    if !output.status.success() {
        bail!("`cargo metadata` failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8(output.stdout).context("`cargo metadata` printed no UTF-8")?;
    parse_metadata(&text)
}

fn parse_metadata(text: &str) -> Result<Vec<Package>> {
    let metadata: Value = serde_json::from_str(text).context("`cargo metadata` printed no JSON")?;
    metadata["packages"].as_array().context("no packages")?.iter().map(parse_package).collect()
}

fn parse_package(value: &Value) -> Result<Package> {
    let name = text_of(value, "name")?;
    let manifest = PathBuf::from(text_of(value, "manifest_path")?);
    let declared = value["dependencies"].as_array().context("package without dependencies")?;
    let dependencies = declared.iter().map(parse_dependency).collect::<Result<_>>()?;
    Ok(Package { name, manifest, dependencies })
}

fn parse_dependency(value: &Value) -> Result<Dependency> {
    let kind = match value["kind"].as_str() {
        None => Kind::Normal,
        Some("dev") => Kind::Dev,
        Some("build") => Kind::Build,
        Some(other) => bail!("unknown kind of dependency: {other}"),
    };
    Ok(Dependency { name: text_of(value, "name")?, kind })
}

fn text_of(value: &Value, field: &str) -> Result<String> {
    Ok(value[field].as_str().with_context(|| format!("metadata without {field}"))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_keep_their_kind() {
        let text = r#"{"packages":[{"name":"a","manifest_path":"/w/a/Cargo.toml","dependencies":[
            {"name":"x","kind":null},{"name":"y","kind":"dev"},{"name":"z","kind":"build"}]}]}"#;
        let packages = parse_metadata(text).unwrap();
        let kinds: Vec<_> =
            packages[0].dependencies.iter().map(|d| (d.name.as_str(), d.kind)).collect();
        assert_eq!(packages[0].name, "a");
        assert_eq!(kinds, [("x", Kind::Normal), ("y", Kind::Dev), ("z", Kind::Build)]);
    }

    #[test]
    fn metadata_that_is_not_understood_is_an_error() {
        assert!(parse_metadata("").is_err());
        assert!(parse_metadata(r#"{"packages":[{"name":"a"}]}"#).is_err());
    }
}
