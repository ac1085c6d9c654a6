//! `perilune lint`: mistakes in files with scripts.

use perilune_commands::table::CommandTable;
use perilune_lint::lint;
use std::io::{self, Write};
use std::path::PathBuf;

/// Writes a line `file:line:column: message` for every mistake, and answers how many there are.
/// `Err` is a file that cannot be read.
pub fn lint_files(files: &[PathBuf], out: &mut dyn Write) -> io::Result<usize> {
    let commands = CommandTable::builtin().map_err(io::Error::other)?;
    let mut count = 0;
    for file in files {
        let source = std::fs::read(file).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", file.display()))
        })?;
        let findings = lint(&source, &commands);
        for finding in &findings {
            writeln!(out, "{}:{finding}", file.display())?;
        }
        count += findings.len();
    }
    Ok(count)
}
