//! The same random commands to our server and to a real Redis; the replies must be equal.
//!
//! - [`Catalogue`] lists what can be generated: every row of the command table, or the reason why
//!   not. A row that is in neither list fails a test.
//! - [`Generator`] makes arguments from a row's own notation, valid ones and broken ones, and wraps
//!   some commands into transactions and scripts.
//! - [`normal`] says what of a reply is legitimately free: orders, chance and times.
//! - [`Sides`] plays sequences on both servers and compares replies byte for byte, then the content
//!   of the databases by `DEBUG DIGEST` and by payloads exchanged between the servers.
//! - `campaign` runs sequences and shrinks the first one that differs.
//!
//! The other side is Redis 7.2, or 7.0 with less to compare ([`Version`]): [`oracle`] looks for it.

mod campaign;
mod catalogue;
mod contents;
mod generate;
pub mod normal;
mod play;
mod pools;
mod scripts;
mod versions;

pub use campaign::{Campaign, Report, regressions};
pub use catalogue::{Catalogue, Row};
pub use generate::{Generator, Step};
pub use play::{Difference, Sides};
pub use versions::{CURRENT, Version};

use crate::redis_server;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the binary of the Redis to compare with.
pub const ORACLE_VARIABLE: &str = "PERILUNE_REDIS";

/// A Redis to compare with.
#[derive(Debug, Clone)]
pub struct Oracle {
    /// The server's binary.
    pub binary: PathBuf,
    /// What it says it is.
    pub version: Version,
}

/// The Redis to compare with, or why there is none.
pub fn oracle() -> Result<Oracle, String> {
    let named = std::env::var_os(ORACLE_VARIABLE).map(PathBuf::from);
    let binary = named
        .or_else(redis_server)
        .ok_or(format!("no redis-server on the search path; {ORACLE_VARIABLE} may name one"))?;
    match version(&binary) {
        Some(version) if (versions::OLDEST..=CURRENT).contains(&version) => {
            Ok(Oracle { binary, version })
        }
        Some([major, minor]) => Err(format!(
            "{} is Redis {major}.{minor}: before 7.0 there is no enable-debug-command, which the \
             comparison needs, and later than 7.2 too much differs",
            binary.display()
        )),
        None => Err(format!("{} does not tell a version", binary.display())),
    }
}

fn version(binary: &Path) -> Option<Version> {
    let output = Command::new(binary).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let digits = text.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
    let mut numbers = digits.split('.').map(|number| number.parse().ok());
    Some([numbers.next()??, numbers.next()??])
}
