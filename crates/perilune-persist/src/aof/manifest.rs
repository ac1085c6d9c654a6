//! The manifest: which files make up an append-only file, and in which order they are read.
//!
//! ```text
//! file appendonly.aof.2.base.rdb seq 2 type b      at most one, read first
//! file appendonly.aof.1.incr.aof seq 1 type h      replaced by the base, may be removed
//! file appendonly.aof.2.incr.aof seq 2 type i      read after the base, in order
//! ```
//!
//! Invariants: the numbers of incremental files grow; a new file has no name that the manifest tells
//! already, history included, or removing the history would remove it.

use perilune_resp::{append_quoted, split_args};
use std::fmt;

/// Longest line of a manifest, its line break included.
const LINE_BYTES_MAX: usize = 1024;

/// Numbers of files are below this.
const SEQ_END: u64 = 1 << 63;

/// What the data of a file is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Everything up to the moment it was begun.
    Base,
    /// What happened afterwards.
    Incr,
    /// Nothing any more.
    History,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Its name within the folder.
    pub name: String,
    /// Its number.
    pub seq: u64,
}

/// The files of an append-only file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The file that is read first.
    pub base: Option<FileEntry>,
    /// Files that are not needed any more, the last to become so first.
    pub history: Vec<FileEntry>,
    /// The files that are read afterwards; the last one is written to.
    pub incrs: Vec<FileEntry>,
    base_seq: u64,
    incr_seq: u64,
}

/// Why a text is no manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError {
    /// Number and text of the line that is wrong, where one is.
    pub line: Option<(usize, String)>,
    /// What is wrong.
    pub reason: &'static str,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.line {
            Some((number, text)) => write!(f, "line {number} '{text}': {}", self.reason),
            None => f.write_str(self.reason),
        }
    }
}

impl std::error::Error for ManifestError {}

const INVALID: &str = "Invalid AOF manifest file format";

impl Manifest {
    /// Reads a manifest. Keys of a line that are not known are passed over.
    pub fn parse(text: &[u8]) -> Result<Manifest, ManifestError> {
        let mut manifest = Manifest::default();
        if text.is_empty() {
            return Err(ManifestError { line: None, reason: "Found an empty AOF manifest" });
        }
        for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
            if line.starts_with(b"#") {
                continue;
            }
            if line.len() > LINE_BYTES_MAX || !line.ends_with(b"\n") {
                let reason = "The AOF manifest file contains too long line";
                return Err(ManifestError { line: None, reason });
            }
            manifest.add_line(line.trim_ascii()).map_err(|reason| {
                let text = String::from_utf8_lossy(line.trim_ascii()).into_owned();
                ManifestError { line: Some((index + 1, text)), reason }
            })?;
        }
        Ok(manifest)
    }

    fn add_line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let (entry, kind) = parse_line(line)?;
        match kind {
            b'b' if self.base.is_some() => return Err("Found duplicate base file information"),
            b'b' => {
                self.base_seq = entry.seq;
                self.base = Some(entry);
            }
            b'h' => self.history.push(entry),
            b'i' if entry.seq <= self.incr_seq => {
                return Err("Found a non-monotonic sequence number");
            }
            b'i' => {
                self.incr_seq = entry.seq;
                self.incrs.push(entry);
            }
            _ => return Err("Unknown AOF file type"),
        }
        Ok(())
    }

    /// The manifest of an append-only file from before there were manifests: a base of that name.
    pub fn of_single_file(name: &str) -> Manifest {
        let base = Some(FileEntry { name: name.to_owned(), seq: 1 });
        Manifest { base, base_seq: 1, ..Manifest::default() }
    }

    /// The text of the manifest.
    pub fn format(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let base = self.base.iter().map(|entry| (entry, 'b'));
        let history = self.history.iter().map(|entry| (entry, 'h'));
        let incrs = self.incrs.iter().map(|entry| (entry, 'i'));
        for (entry, kind) in base.chain(history).chain(incrs) {
            text.extend_from_slice(b"file ");
            append_name(&mut text, entry.name.as_bytes());
            text.extend_from_slice(format!(" seq {} type {kind}\n", entry.seq).as_bytes());
        }
        text
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.base.is_none() && self.incrs.is_empty()
    }

    /// The files that are read, in order.
    pub fn files(&self) -> impl Iterator<Item = (FileKind, &FileEntry)> {
        let base = self.base.iter().map(|entry| (FileKind::Base, entry));
        base.chain(self.incrs.iter().map(|entry| (FileKind::Incr, entry)))
    }

    /// Names a new base of the append-only file `prefix`; the present one becomes history.
    pub fn begin_base(&mut self, prefix: &str, is_snapshot: bool) -> String {
        let suffix = if is_snapshot { "rdb" } else { "aof" };
        let entry = self.fresh(self.base_seq, |seq| format!("{prefix}.{seq}.base.{suffix}"));
        let name = entry.name.clone();
        self.base_seq = entry.seq;
        if let Some(old) = self.base.replace(entry) {
            self.history.insert(0, old);
        }
        name
    }

    /// Names a new incremental file of the append-only file `prefix` behind all others.
    pub fn begin_incr(&mut self, prefix: &str) -> String {
        let entry = self.fresh(self.incr_seq, |seq| format!("{prefix}.{seq}.incr.aof"));
        let name = entry.name.clone();
        self.incr_seq = entry.seq;
        self.incrs.push(entry);
        name
    }

    /// The first file behind number `last` whose name is not taken.
    fn fresh(&self, last: u64, name_of: impl Fn(u64) -> String) -> FileEntry {
        let mut seq = last;
        loop {
            seq += 1;
            let name = name_of(seq);
            let mut told = self.history.iter().chain(&self.base).chain(&self.incrs);
            if told.all(|entry| entry.name != name) {
                return FileEntry { name, seq };
            }
        }
    }

    /// Makes all incremental files but the last `keep` history.
    pub fn retire_incrs(&mut self, keep: usize) {
        let keep_from = self.incrs.len().saturating_sub(keep);
        let kept = self.incrs.split_off(keep_from);
        for entry in std::mem::replace(&mut self.incrs, kept).into_iter().rev() {
            self.history.insert(0, entry);
        }
    }

    /// Forgets the files that are not needed any more; they can be removed once this is safe.
    pub fn take_history(&mut self) -> Vec<FileEntry> {
        std::mem::take(&mut self.history)
    }
}

/// The file of a line and the letter of its type.
fn parse_line(line: &[u8]) -> Result<(FileEntry, u8), &'static str> {
    let words = split_args(line).ok_or(INVALID)?;
    if words.len() < 6 || !words.len().is_multiple_of(2) {
        return Err(INVALID);
    }
    let (mut name, mut seq, mut kind) = (None, 0, None);
    for pair in words.chunks_exact(2) {
        let (key, value) = (&pair[0], &pair[1]);
        if key.eq_ignore_ascii_case(b"file") {
            if value.iter().any(|byte| matches!(byte, b'/' | b'\\')) {
                return Err("File can't be a path, just a filename");
            }
            name = Some(String::from_utf8(value.clone()).map_err(|_| INVALID)?);
        } else if key.eq_ignore_ascii_case(b"seq") {
            let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            // There is always a next one.
            seq = number.filter(|number| *number < SEQ_END).unwrap_or(0);
        } else if key.eq_ignore_ascii_case(b"type") {
            kind = value.first().copied();
        }
    }
    match (name, seq, kind) {
        (Some(name), 1.., Some(kind)) => Ok((FileEntry { name, seq }, kind)),
        _ => Err(INVALID),
    }
}

/// Appends a name, in quotes where it would not read back without.
fn append_name(text: &mut Vec<u8>, name: &[u8]) {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'\'');
    if !name.is_empty() && name.iter().all(plain) {
        text.extend_from_slice(name);
    } else {
        append_quoted(text, name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reason(text: &str) -> &'static str {
        Manifest::parse(text.as_bytes()).expect_err("no manifest").reason
    }

    #[test]
    fn files_grow_older() {
        let mut manifest = Manifest::default();
        assert_eq!(manifest.begin_base("a", true), "a.1.base.rdb");
        assert_eq!(manifest.begin_incr("a"), "a.1.incr.aof");
        manifest.begin_incr("a");
        manifest.begin_base("a", false);
        manifest.retire_incrs(1);
        let expected = "file a.2.base.aof seq 2 type b\nfile a.1.incr.aof seq 1 type h\n\
                        file a.1.base.rdb seq 1 type h\nfile a.2.incr.aof seq 2 type i\n";
        assert_eq!(String::from_utf8(manifest.format()).expect("text"), expected);
        assert_eq!(Manifest::parse(expected.as_bytes()), Ok(manifest.clone()));
        assert_eq!(manifest.take_history().len(), 2);
        assert_eq!(manifest.files().count(), 2);
        manifest.retire_incrs(0);
        assert!(manifest.incrs.is_empty() && !manifest.is_empty());
    }

    #[test]
    fn numbers_go_on_after_reading() {
        let text = b"# comment\nFILE x seq 7 type base more keys\nfile y seq 3 type i\n";
        let mut manifest = Manifest::parse(text).expect("a manifest");
        assert_eq!(manifest.begin_base("x", true), "x.8.base.rdb");
        assert_eq!(manifest.begin_incr("x"), "x.4.incr.aof");
    }

    #[test]
    fn names_of_the_history_are_not_used_again() {
        let text = b"file x.1.base.rdb seq 1 type h\nfile x.2.incr.aof seq 2 type h\n\
                     file x.1.incr.aof seq 1 type h\n";
        let mut manifest = Manifest::parse(text).expect("a manifest");
        assert_eq!(manifest.begin_incr("x"), "x.3.incr.aof");
        assert_eq!(manifest.begin_base("x", true), "x.2.base.rdb");
        assert_eq!(manifest.begin_incr("x"), "x.4.incr.aof");
        assert_eq!(Manifest::parse(&manifest.format()), Ok(manifest));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let base = "file a seq 1 type b\n";
        assert_eq!(reason(""), "Found an empty AOF manifest");
        assert_eq!(reason("\n"), INVALID);
        assert_eq!(reason("file a seq 1 type b"), "The AOF manifest file contains too long line");
        assert_eq!(
            reason(&format!("file {} seq 1 type b\n", "a".repeat(2000))),
            "The AOF manifest file contains too long line"
        );
        assert_eq!(reason(&base.repeat(2)), "Found duplicate base file information");
        assert_eq!(
            reason("file a seq 2 type i\nfile b seq 2 type i\n"),
            "Found a non-monotonic sequence number"
        );
        assert_eq!(reason("file a seq 1 type x\n"), "Unknown AOF file type");
        assert_eq!(reason("file a/b seq 1 type b\n"), "File can't be a path, just a filename");
        for line in [
            "filx a seq 1 type b\n",
            "file a type i\n",
            "file a seq 1 type i odd\n",
            "file a seq 0 type i\n",
            "file a seq 9223372036854775808 type i\n",
            "file \"a seq 1 type i\n",
        ] {
            assert_eq!(reason(line), INVALID, "{line}");
        }
        let error = Manifest::parse(format!("{base}nonsense\n").as_bytes()).expect_err("wrong");
        assert_eq!(error.line, Some((2, "nonsense".to_owned())));
    }

    proptest! {
        #[test]
        fn any_name_reads_back(name in "[^/\\\\]{1,40}") {
            let mut manifest = Manifest::default();
            manifest.begin_base(&name, true);
            manifest.begin_incr(&name);
            prop_assert_eq!(Manifest::parse(&manifest.format()), Ok(manifest));
        }

        #[test]
        fn nothing_makes_it_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Manifest::parse(&text);
        }
    }
}
