//! The conventions of the source files: how they open, how long they are, and words that have no
//! place in them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::lexer::{self, Line};
use super::{Finding, relative};

/// Folders of the workspace that hold sources.
const FOLDERS: &[&str] = &["crates", "xtask", "tests", "benches"];

/// Where code may stand that the compiler cannot check: the crate that speaks to Lua, the layout of
/// what databases are made of, the allocator, the clock, and what maps the program's code.
const MAY_BE_UNSAFE: &[&str] = &[
    "crates/perilune-lua",
    "crates/perilune-keyspace/src/entry.rs",
    "crates/perilune-keyspace/src/slim.rs",
    "crates/perilune-keyspace/src/thin.rs",
    "crates/perilune-server/src/allocator.rs",
    "crates/perilune-server/src/clock.rs",
    "crates/perilune-server/src/code_pages.rs",
];

const LINES_MAX: usize = 900;

/// A word that is forbidden in code or in comments, and what to say about it.
struct Forbidden {
    word: &'static str,
    place: Place,
    any_case: bool,
    message: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Code,
    Comment,
}

const fn code(word: &'static str, message: &'static str) -> Forbidden {
    Forbidden { word, place: Place::Code, any_case: false, message }
}

const fn comment(word: &'static str, any_case: bool, message: &'static str) -> Forbidden {
    Forbidden { word, place: Place::Comment, any_case, message }
}

const UNFINISHED: &str =
    "unfinished work does not land: finish it or refuse the case with an error";
const HISTORY: &str = "a comment states what holds and why, not where it was discussed";
const FORBIDDEN: &[Forbidden] = &[
    code("todo!", UNFINISHED),
    code("unimplemented!", UNFINISHED),
    code("#[ignore", "a test that is not run is no test: mend or remove it"),
    comment("TODO", false, UNFINISHED),
    comment("FIXME", false, UNFINISHED),
    comment("issue #", true, HISTORY),
    comment("ticket", true, HISTORY),
    comment("tickets", true, HISTORY),
];

/// Checks every Rust source of the workspace and says how many there are.
pub(super) fn check(root: &Path, findings: &mut Vec<Finding>) -> Result<usize> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        collect(&root.join(folder), &mut files)?;
    }
    for file in &files {
        let source = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        check_source(&relative(root, file), &source, findings);
    }
    Ok(files.len())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("cannot list {}", folder.display()))?,
    };
    for entry in entries {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type()?.is_dir() {
            let skipped = name == "target" || name == "node_modules";
            if !skipped && !name.to_string_lossy().starts_with('.') {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn check_source(file: &Path, source: &str, findings: &mut Vec<Finding>) {
    let mut report = |line: usize, message: String| {
        findings.push(Finding { file: file.to_path_buf(), line, message });
    };
    if !source.starts_with("//!") {
        report(1, "a file opens with a `//!` comment that says what it is".to_owned());
    }
    let lines = lexer::split(source);
    if lines.len() > LINES_MAX {
        let message = format!("{} lines, at most {LINES_MAX}: split it by meaning", lines.len());
        report(LINES_MAX + 1, message);
    }
    let unsafe_allowed = MAY_BE_UNSAFE.iter().any(|place| file.starts_with(place));
    for (index, line) in lines.iter().enumerate() {
        if !unsafe_allowed && contains_word(&line.code, "unsafe") {
            report(index + 1, format!("`unsafe` belongs into {} only", MAY_BE_UNSAFE.join(", ")));
        }
        for forbidden in FORBIDDEN.iter().filter(|forbidden| forbidden.stands_in(line)) {
            report(index + 1, format!("`{}`: {}", forbidden.word, forbidden.message));
        }
    }
}

impl Forbidden {
    fn stands_in(&self, line: &Line) -> bool {
        let text = if self.place == Place::Code { &line.code } else { &line.comment };
        if self.any_case {
            contains_word(&text.to_lowercase(), self.word)
        } else {
            contains_word(text, self.word)
        }
    }
}

/// Whether `word` stands in `text` and is not just a part of a longer word.
fn contains_word(text: &str, word: &str) -> bool {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    let open_end = word.ends_with(in_word);
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].ends_with(in_word) && word.starts_with(in_word);
        let after = open_end && text[at + word.len()..].starts_with(in_word);
        !before && !after
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: &str, source: &str) -> Vec<(usize, String)> {
        let mut findings = Vec::new();
        check_source(Path::new(file), source, &mut findings);
        findings
            .into_iter()
            .map(|f| (f.line, f.message.split([':', ' ']).next().unwrap_or_default().to_owned()))
            .collect()
    }

    fn words(source: &str) -> Vec<(usize, String)> {
        found("crates/perilune-resp/src/lib.rs", &format!("//! x\n{source}"))
    }

    #[test]
    fn a_file_opens_with_its_purpose() {
        assert_eq!(found("crates/a/src/lib.rs", "use x;\n"), [(1, "a".to_owned())]);
        assert!(found("crates/a/src/lib.rs", "//! What it is.\n").is_empty());
    }

    #[test]
    fn long_files_are_found() {
        let lines = |count: usize| format!("//! x\n{}", "a;\n".repeat(count - 1));
        assert!(found("crates/a.rs", &lines(LINES_MAX)).is_empty());
        let long = found("crates/a.rs", &lines(LINES_MAX + 1));
        assert_eq!(long, [(LINES_MAX + 1, (LINES_MAX + 1).to_string())]);
    }

    #[test]
    fn the_unsafe_keyword_is_for_few_places() {
        let source = "//! x\nunsafe { f() }\n";
        assert_eq!(found("crates/perilune-resp/src/a.rs", source), [(2, "`unsafe`".to_owned())]);
        assert!(found("crates/perilune-lua/src/a.rs", source).is_empty());
        assert!(words("// unsafe in words\n#![deny(unsafe_code)]\nf(\"unsafe\");\n").is_empty());
    }

    #[test]
    fn unfinished_work_is_found_where_it_counts() {
        let source = "f(); // TODO later\ntodo!()\n#[ignore]\n#[ignore = \"x\"]\n\"TODO\"\n";
        let lines: Vec<_> = words(source).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [2, 3, 4, 5]);
        assert!(words("let mastodon = TODOS; // a todo list\n").is_empty());
    }

    #[test]
    fn comments_do_not_cite_discussions() {
        assert_eq!(words("// see Issue #12\nx(); /* Ticket 3 */\n").len(), 2);
        assert!(words("// the issue is order\nlet ticket = 1;\n").is_empty());
    }
}
