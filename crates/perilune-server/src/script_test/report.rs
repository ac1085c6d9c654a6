//! What came of tests: [`Report`], as text and as JUnit XML.

use super::coverage::CoverageByFile;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

/// What came of one test.
#[derive(Debug, Clone)]
pub struct TestResult {
    /// The file it stands in.
    pub file: String,
    /// Its name.
    pub name: String,
    /// Why it failed, if it did.
    pub problem: Option<String>,
    /// How long it took.
    pub took: Duration,
}

/// What came of all tests.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The tests in the order they ran.
    pub results: Vec<TestResult>,
    /// Lines that were run, if that was asked for.
    pub coverage: Option<CoverageByFile>,
}

impl Report {
    /// Number of tests that failed.
    pub fn failed(&self) -> usize {
        self.results.iter().filter(|result| result.problem.is_some()).count()
    }

    /// Whether there were tests and none failed.
    pub fn is_success(&self) -> bool {
        !self.results.is_empty() && self.failed() == 0
    }
}

/// Writes a line per test, the problems of those that failed, and sums.
pub fn write_text(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    for TestResult { file, name, problem, .. } in &report.results {
        match problem {
            None => writeln!(out, "ok    {file}: {name}")?,
            Some(problem) => {
                writeln!(out, "FAIL  {file}: {name}")?;
                problem.lines().try_for_each(|line| writeln!(out, "      {line}"))?;
            }
        }
    }
    if report.results.is_empty() {
        writeln!(out, "no tests found")?;
    }
    for (path, file) in report.coverage.iter().flatten() {
        let (run, all) = (file.run.len(), file.lines.len());
        let percent = if all == 0 { 100.0 } else { 100.0 * run as f64 / all as f64 };
        let missed: Vec<u32> = file.lines.difference(&file.run).copied().collect();
        let missed = match missed.is_empty() {
            true => String::new(),
            false => format!(", not run: {}", ranges(&missed)),
        };
        writeln!(out, "{percent:5.1}%  {path}: {run} of {all} lines{missed}")?;
    }
    let (failed, all) = (report.failed(), report.results.len());
    writeln!(out, "{} passed, {failed} failed", all - failed)
}

/// Ascending numbers with neighbours joined: `3, 5-7`.
fn ranges(numbers: &[u32]) -> String {
    let joined = numbers.chunk_by(|a, b| a + 1 == *b).map(|chunk| match chunk {
        [first, .., last] => format!("{first}-{last}"),
        _ => chunk.iter().map(u32::to_string).collect(),
    });
    joined.collect::<Vec<_>>().join(", ")
}

/// Writes the report as JUnit does, a suite per file.
pub fn write_junit(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut suites: BTreeMap<&str, Vec<&TestResult>> = BTreeMap::new();
    for result in &report.results {
        suites.entry(&result.file).or_default().push(result);
    }
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    let (all, failed) = (report.results.len(), report.failed());
    writeln!(out, r#"<testsuites tests="{all}" failures="{failed}">"#)?;
    for (file, results) in suites {
        let failed = results.iter().filter(|result| result.problem.is_some()).count();
        let (file, all) = (escaped(file), results.len());
        writeln!(out, r#"  <testsuite name="{file}" tests="{all}" failures="{failed}">"#)?;
        for result in results {
            let (name, took) = (escaped(&result.name), result.took.as_secs_f64());
            write!(out, r#"    <testcase classname="{file}" name="{name}" time="{took:.6}""#)?;
            match &result.problem {
                None => writeln!(out, "/>")?,
                Some(problem) => {
                    let text = escaped(problem);
                    writeln!(out, "><failure>{text}</failure></testcase>")?;
                }
            }
        }
        writeln!(out, "  </testsuite>")?;
    }
    writeln!(out, "</testsuites>")
}

/// Text as it may stand in XML, where most control characters may not stand at all.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' | '\t' => safe.push(character),
            control if control.is_control() || control == '\u{fffe}' || control == '\u{ffff}' => {
                safe.push('\u{fffd}');
            }
            other => safe.push(other),
        }
    }
    safe
}
