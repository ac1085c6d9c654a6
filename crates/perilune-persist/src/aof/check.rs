//! Checking the files of an append-only file, and cutting off what is not sound.
//!
//! Only the last file may be cut: what follows a gap would be applied to data that are not there.
//! The report is written as `redis-check-aof` writes it, which scripts of users look into.

use super::manifest::{FileKind, Manifest};
use super::record::{Record, RecordError, Records, timestamp};
use crate::storage::{Storage, StorageFile, read_file};
use perilune_keyspace::{EncodingLimits, Keyspace};
use perilune_rdb::{ReadOptions, SnapshotReader, begins_snapshot};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

/// Databases that a snapshot may have.
const DATABASES_MAX: usize = 1 << 14;
const BUFFER_BYTES: usize = 256 * 1024;

/// What is to be done besides looking.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// Cut off what is not sound.
    pub fix: bool,
    /// Cut off what happened after this Unix time, seconds.
    pub until_s: Option<i64>,
}

/// Asks whether to go on; the text is a question.
pub type Confirm<'a> = &'a mut dyn FnMut(&str) -> bool;

/// What became of a file.
enum Verdict {
    Valid,
    Empty,
    Truncated,
    TruncatedToTime,
}

/// A check under way.
struct Check<'a> {
    storage: &'a dyn Storage,
    options: CheckOptions,
    out: &'a mut dyn Write,
    confirm: Confirm<'a>,
}

/// Why a check ended early; what there is to say has been written.
struct Invalid;

/// Checks a manifest and its files, or a single file. True when everything is sound, or was made so.
pub fn check(
    storage: &dyn Storage,
    path: &Path,
    options: CheckOptions,
    out: &mut dyn Write,
    confirm: Confirm<'_>,
) -> io::Result<bool> {
    let is_manifest = {
        let mut input = BufReader::new(storage.open(path)?);
        is_manifest(&mut input)?
    };
    let mut check = Check { storage, options, out, confirm };
    let outcome = match is_manifest {
        true => check.manifest(path)?,
        false => check.old_style(path)?,
    };
    Ok(outcome.is_ok())
}

/// Whether the first line that is no comment names a file.
fn is_manifest(input: &mut dyn BufRead) -> io::Result<bool> {
    loop {
        let begin = input.fill_buf()?;
        if begin.first() != Some(&b'#') {
            return Ok(begin.starts_with(b"file"));
        }
        input.skip_until(b'\n')?;
    }
}

impl Check<'_> {
    fn manifest(&mut self, path: &Path) -> io::Result<Result<(), Invalid>> {
        writeln!(self.out, "Start checking Multi Part AOF")?;
        let manifest = match Manifest::parse(&read_file(self.storage, path)?) {
            Ok(manifest) => manifest,
            Err(error) => {
                writeln!(self.out, "The manifest is not valid: {error}")?;
                return Ok(Err(Invalid));
            }
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let count = manifest.files().count();
        let mut incrs_announced = false;
        for (index, (kind, entry)) in manifest.files().enumerate() {
            let file = folder.join(&entry.name);
            let what = match kind {
                FileKind::Incr | FileKind::History => {
                    if !std::mem::replace(&mut incrs_announced, true) {
                        writeln!(self.out, "Start to check INCR files.")?;
                    }
                    "INCR AOF"
                }
                FileKind::Base => {
                    let mut input = BufReader::new(self.storage.open(&file)?);
                    let format = if is_snapshot(&mut input)? { "RDB" } else { "RESP" };
                    writeln!(self.out, "Start to check BASE AOF ({format} format).")?;
                    "BASE AOF"
                }
            };
            if self.file(&file, &entry.name, what, index + 1 == count)?.is_err() {
                return Ok(Err(Invalid));
            }
        }
        writeln!(self.out, "All AOF files and manifest are valid")?;
        Ok(Ok(()))
    }

    fn old_style(&mut self, path: &Path) -> io::Result<Result<(), Invalid>> {
        writeln!(self.out, "Start checking Old-Style AOF")?;
        let name = path.display().to_string();
        self.file(path, &name, "AOF", true)
    }

    fn file(
        &mut self,
        path: &Path,
        name: &str,
        what: &str,
        is_last: bool,
    ) -> io::Result<Result<(), Invalid>> {
        let verdict = match self.examine(path, name, is_last)? {
            Ok(verdict) => verdict,
            Err(Invalid) => return Ok(Err(Invalid)),
        };
        let until_s = self.options.until_s.unwrap_or_default();
        match verdict {
            Verdict::Valid => writeln!(self.out, "{what} {name} is valid")?,
            Verdict::Empty => writeln!(self.out, "{what} {name} is empty")?,
            Verdict::Truncated => writeln!(self.out, "Successfully truncated AOF {name}")?,
            Verdict::TruncatedToTime => {
                writeln!(self.out, "Successfully truncated AOF {name} to timestamp {until_s}")?;
            }
        }
        Ok(Ok(()))
    }

    fn examine(
        &mut self,
        path: &Path,
        name: &str,
        is_last: bool,
    ) -> io::Result<Result<Verdict, Invalid>> {
        let file = self.storage.open(path)?;
        let size = file.size()?;
        if size == 0 {
            return Ok(Ok(Verdict::Empty));
        }
        let Some((input, offset)) = self.preamble(file)? else { return Ok(Err(Invalid)) };
        let mut records = Records::new(input, offset);
        let mut place = Place { sound: offset, lines: 0, in_transaction: false };
        let wrong = loop {
            let before = records.offset();
            match place.note(&mut records, self.options.until_s) {
                Ok(Seen::Record) => {}
                Ok(Seen::End) => break None,
                Ok(Seen::TooLate) => return self.cut_to_time(path, name, is_last, before),
                Err(reason) => break Some(reason),
            }
        };
        if let Some(reason) = wrong {
            writeln!(self.out, "{reason}")?;
        }
        let rest = size.saturating_sub(place.sound);
        if let (0, Some(until_s)) = (rest, self.options.until_s) {
            writeln!(self.out, "Truncate nothing in AOF {name} to timestamp {until_s}")?;
            return Ok(Ok(Verdict::Valid));
        }
        writeln!(
            self.out,
            "AOF analyzed: filename={name}, size={size}, ok_up_to={}, ok_up_to_line={}, diff={rest}",
            place.sound,
            place.lines + 1,
        )?;
        match rest {
            0 => Ok(Ok(Verdict::Valid)),
            _ => self.repair(path, name, is_last, size, place.sound),
        }
    }

    /// Checks the snapshot at a file's beginning, if there is one. What follows it, and where; none
    /// when it is not sound.
    #[allow(clippy::type_complexity)]
    fn preamble(
        &mut self,
        file: Box<dyn StorageFile>,
    ) -> io::Result<Option<(BufReader<Box<dyn StorageFile>>, u64)>> {
        let mut input = BufReader::with_capacity(BUFFER_BYTES, file);
        if !is_snapshot(&mut input)? {
            return Ok(Some((input, 0)));
        }
        let options = ReadOptions { limits: EncodingLimits::default(), ..ReadOptions::default() };
        let mut keyspace = Keyspace::new(DATABASES_MAX);
        let read = SnapshotReader::new(input, options).and_then(|mut reader| {
            while reader.step(&mut keyspace)? {}
            Ok(reader)
        });
        match read {
            Ok(reader) => {
                writeln!(self.out, "RDB preamble is OK, proceeding with AOF tail...")?;
                let offset = reader.bytes_read();
                Ok(Some((reader.into_parts().1, offset)))
            }
            Err(error) => {
                writeln!(self.out, "RDB preamble of AOF file is not sane, aborting: {error}")?;
                Ok(None)
            }
        }
    }

    fn cut_to_time(
        &mut self,
        path: &Path,
        name: &str,
        is_last: bool,
        offset: u64,
    ) -> io::Result<Result<Verdict, Invalid>> {
        let until_s = self.options.until_s.unwrap_or_default();
        if offset == 0 {
            let message = "has nothing before timestamp";
            writeln!(self.out, "AOF {name} {message} {until_s}, aborting...")?;
            return Ok(Err(Invalid));
        }
        if !is_last {
            writeln!(
                self.out,
                "Failed to truncate AOF {name} to timestamp {until_s} to offset {offset} because it \
                 is not the last file.\nTo cut it all the same, remove the files that follow it, take \
                 them out of the manifest, and try again."
            )?;
            return Ok(Err(Invalid));
        }
        self.storage.truncate(path, offset)?;
        Ok(Ok(Verdict::TruncatedToTime))
    }

    fn repair(
        &mut self,
        path: &Path,
        name: &str,
        is_last: bool,
        size: u64,
        sound: u64,
    ) -> io::Result<Result<Verdict, Invalid>> {
        if !self.options.fix {
            let message = "is not valid. Use the --fix option to try fixing it.";
            writeln!(self.out, "AOF {name} {message}")?;
            return Ok(Err(Invalid));
        }
        if !is_last {
            let message = "because it is not the last file";
            writeln!(self.out, "Failed to truncate AOF {name} {message}")?;
            return Ok(Err(Invalid));
        }
        let rest = size - sound;
        writeln!(
            self.out,
            "This will shrink the AOF {name} from {size} bytes, with {rest} bytes, to {sound} bytes"
        )?;
        if !(self.confirm)("Continue? [y/N]: ") {
            writeln!(self.out, "Aborting...")?;
            return Ok(Err(Invalid));
        }
        self.storage.truncate(path, sound)?;
        Ok(Ok(Verdict::Truncated))
    }
}

fn is_snapshot(input: &mut dyn BufRead) -> io::Result<bool> {
    Ok(begins_snapshot(input.fill_buf()?))
}

/// What was read.
enum Seen {
    Record,
    End,
    TooLate,
}

/// How far a file is sound.
struct Place {
    /// Offset behind the last whole unit.
    sound: u64,
    /// Lines up to there.
    lines: u64,
    in_transaction: bool,
}

impl Place {
    /// Reads a record. `Err` is why the file is not sound.
    fn note(
        &mut self,
        records: &mut Records<impl io::Read>,
        until_s: Option<i64>,
    ) -> Result<Seen, String> {
        let begin = records.offset();
        match records.read() {
            Ok(None) if self.in_transaction => {
                return Err("Reached EOF before reading EXEC for MULTI".to_owned());
            }
            Ok(None) => return Ok(Seen::End),
            Ok(Some(Record::Annotation(line))) => {
                if let (Some(until_s), Some(time)) = (until_s, timestamp(line)) {
                    let time_s = time.map_err(|()| "Invalid timestamp annotation".to_owned())?;
                    if time_s > until_s {
                        return Ok(Seen::TooLate);
                    }
                }
            }
            Ok(Some(Record::Command(args))) => {
                let opens = args.name().eq_ignore_ascii_case(b"multi");
                let closes = args.name().eq_ignore_ascii_case(b"exec");
                if opens && self.in_transaction {
                    return Err(format!("0x{begin:x}: Unexpected MULTI"));
                }
                if closes && !self.in_transaction {
                    return Err(format!("0x{begin:x}: Unexpected EXEC"));
                }
                self.in_transaction = opens || (self.in_transaction && !closes);
            }
            Err(RecordError::Truncated) => {
                return Err(format!("0x{begin:x}: Unexpected end of file"));
            }
            Err(RecordError::Format { offset, reason }) => {
                return Err(format!("0x{offset:x}: {reason}"));
            }
            Err(RecordError::Io(error)) => return Err(error.to_string()),
        }
        if !self.in_transaction {
            self.sound = records.offset();
            self.lines = records.lines();
        }
        Ok(Seen::Record)
    }
}
