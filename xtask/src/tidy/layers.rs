//! The layers of the crates: which crate may depend on which.
//!
//! Checked are the dependencies that end up in the product (normal and build); a test may reach
//! across layers. A crate without a row is an error, so the table cannot fall behind the tree.

use std::path::Path;

use super::{Finding, relative};
use crate::workspace::{Dependency, Kind, Package};

/// The crate that exists for tests: it may use every other and be used by tests only.
const TESTKIT: &str = "perilune-testkit";

/// Each crate with the crates of the workspace it may depend on, lowest layer first.
const LAYERS: &[(&str, &[&str])] = &[
    ("perilune-resp", &[]),
    ("perilune-keyspace", &[]),
    ("perilune-rdb", &["perilune-keyspace"]),
    ("perilune-persist", &["perilune-keyspace", "perilune-rdb", "perilune-resp"]),
    ("perilune-script", &["perilune-resp"]),
    ("perilune-lua", &["perilune-script", "perilune-resp"]),
    (
        "perilune-commands",
        &[
            "perilune-keyspace",
            "perilune-rdb",
            "perilune-persist",
            "perilune-resp",
            "perilune-script",
        ],
    ),
    ("perilune-lint", &["perilune-script", "perilune-commands"]),
    (
        "perilune-server",
        &[
            "perilune-resp",
            "perilune-keyspace",
            "perilune-rdb",
            "perilune-script",
            "perilune-lua",
            "perilune-commands",
            "perilune-persist",
            "perilune-lint",
        ],
    ),
];

/// Outside packages that belong to one layer, and the one crate that may use them.
const OWNED: &[(&str, &str)] = &[("mlua", "perilune-lua"), ("tokio", "perilune-server")];

/// Checks every package whose manifest is below `crates/`.
pub(super) fn check(root: &Path, packages: &[Package]) -> Vec<Finding> {
    let crates = root.join("crates");
    let mut findings = Vec::new();
    for package in packages.iter().filter(|package| package.manifest.starts_with(&crates)) {
        check_package(root, package, packages, &mut findings);
    }
    findings
}

fn check_package(root: &Path, package: &Package, all: &[Package], findings: &mut Vec<Finding>) {
    let manifest = std::fs::read_to_string(&package.manifest).unwrap_or_default();
    let mut report = |line: usize, message: String| {
        findings.push(Finding { file: relative(root, &package.manifest), line, message });
    };
    let row = LAYERS.iter().find(|(name, _)| *name == package.name).map(|(_, below)| *below);
    if row.is_none() && package.name != TESTKIT {
        report(1, format!("{} has no row in the layer table of xtask", package.name));
        return;
    }
    for dependency in package.dependencies.iter().filter(|d| d.kind != Kind::Dev) {
        let of_workspace = all.iter().any(|member| member.name == dependency.name);
        if let Some(message) = objection(&package.name, row, dependency, of_workspace) {
            report(line_of(&manifest, dependency), message);
        }
    }
}

/// Why `package` may not have this dependency, if it may not. `row` is `None` for the test kit,
/// which may use every crate.
fn objection(
    package: &str,
    row: Option<&[&str]>,
    dependency: &Dependency,
    of_workspace: bool,
) -> Option<String> {
    let name = dependency.name.as_str();
    if name == TESTKIT {
        return Some(format!("{package} may depend on {name} as a dev-dependency only"));
    }
    if let Some((_, owner)) = OWNED.iter().find(|(owned, _)| *owned == name) {
        return (*owner != package).then(|| format!("only {owner} may depend on {name}"));
    }
    let below = row?;
    (of_workspace && !below.contains(&name)).then(|| match below {
        [] => format!("{package} is a lowest layer and may not depend on {name}"),
        _ => format!("{package} may not depend on {name}, only on {}", below.join(", ")),
    })
}

/// The line of the manifest on which the dependency is declared, or the first.
fn line_of(manifest: &str, dependency: &Dependency) -> usize {
    let mut in_table = false;
    for (index, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            in_table = match dependency.kind {
                Kind::Normal => header.ends_with("dependencies]") && !header.contains('-'),
                Kind::Dev => header.ends_with("dev-dependencies]"),
                Kind::Build => header.ends_with("build-dependencies]"),
            };
        } else if in_table
            && line
                .strip_prefix(dependency.name.as_str())
                .is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
        {
            return index + 1;
        }
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[(&str, Kind)]) -> Package {
        let dependencies = dependencies
            .iter()
            .map(|(name, kind)| Dependency { name: (*name).to_owned(), kind: *kind })
            .collect();
        let manifest = format!("/w/crates/{name}/Cargo.toml").into();
        Package { name: name.to_owned(), manifest, dependencies }
    }

    fn messages(packages: &[Package]) -> Vec<String> {
        check(Path::new("/w"), packages).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn an_edge_upwards_is_found_and_an_edge_downwards_is_not() {
        let packages = [
            package("perilune-resp", &[("perilune-script", Kind::Normal), ("nom", Kind::Normal)]),
            package("perilune-script", &[("perilune-resp", Kind::Normal)]),
        ];
        assert_eq!(
            messages(&packages),
            ["perilune-resp is a lowest layer and may not depend on perilune-script"]
        );
    }

    #[test]
    fn the_test_kit_is_for_tests_only() {
        let packages = [
            package("perilune-testkit", &[("perilune-server", Kind::Normal)]),
            package("perilune-commands", &[("perilune-testkit", Kind::Dev)]),
            package("perilune-server", &[("perilune-testkit", Kind::Normal)]),
        ];
        assert_eq!(
            messages(&packages),
            ["perilune-server may depend on perilune-testkit as a dev-dependency only"]
        );
    }

    #[test]
    fn owned_packages_stay_with_their_owner() {
        let packages = [
            package("perilune-lua", &[("mlua", Kind::Normal), ("tokio", Kind::Dev)]),
            package("perilune-server", &[("tokio", Kind::Normal), ("mlua", Kind::Normal)]),
            package("perilune-testkit", &[("tokio", Kind::Build)]),
        ];
        assert_eq!(
            messages(&packages),
            ["only perilune-lua may depend on mlua", "only perilune-server may depend on tokio"]
        );
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        let found = messages(&[package("perilune-new", &[("perilune-server", Kind::Normal)])]);
        assert_eq!(found, ["perilune-new has no row in the layer table of xtask"]);
    }

    #[test]
    fn packages_outside_of_crates_are_free() {
        let mut tests = package("perilune-tests", &[("perilune-testkit", Kind::Normal)]);
        tests.manifest = "/w/tests/Cargo.toml".into();
        assert!(messages(&[tests]).is_empty());
    }

    #[test]
    fn the_line_is_that_of_the_table_of_the_kind() {
        let manifest = "[package]\nname = \"x\"\n[dev-dependencies]\ntokio = \"1\"\n\
                        [dependencies]\ntokio-util = \"1\"\ntokio.workspace = true\n";
        let line = |kind| line_of(manifest, &Dependency { name: "tokio".to_owned(), kind });
        assert_eq!((line(Kind::Normal), line(Kind::Dev), line(Kind::Build)), (7, 4, 1));
    }
}
