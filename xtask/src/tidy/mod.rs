//! Checks no compiler makes: the layering of the crates ([`layers`]) and the conventions of the
//! sources ([`sources`]).
//!
//! Every finding names a file and a line, so that an editor can jump to it.

mod layers;
mod lexer;
mod sources;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::workspace;

/// Something that breaks a rule, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    file: PathBuf,
    line: usize,
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.message)
    }
}

/// Runs every check; fails if anything was found.
pub(crate) fn run() -> Result<()> {
    let root = workspace::root();
    let packages = workspace::packages()?;
    let mut findings = layers::check(root, &packages);
    let read = sources::check(root, &mut findings)?;
    findings.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("tidy: {} findings", findings.len());
    }
    println!("tidy: {} packages and {read} source files are in order", packages.len());
    Ok(())
}

/// The path as seen from the workspace root.
fn relative(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(root).unwrap_or(path).to_path_buf()
}
