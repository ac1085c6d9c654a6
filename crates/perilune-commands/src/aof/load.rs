//! Reading an append-only file back.
//!
//! The base is a snapshot or commands, what follows are commands. A tail that a crash left behind is
//! cut off where the last whole unit ended, if `aof-load-truncated` allows it and nothing follows;
//! everything else that is wrong ends the load, because what comes after it would build on data that
//! is not there.
//!
//! [`AofLoader`] reads in steps, so that its owner can serve others in between.

use super::replay::{Played, Player};
use crate::engine::Engine;
use crate::owned_args::ArgVec;
use perilune_persist::StorageFile;
use perilune_persist::aof::{
    AofFolder, FileEntry, FileKind, Manifest, ManifestLoadError, Record, RecordError, Records,
};
use perilune_rdb::{ReadOptions, SnapshotReader, begins_snapshot};
use perilune_script::LogLevel;
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader};

/// Bytes read from a file at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// A load that failed. Why is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadFailed;

impl std::fmt::Display for LoadFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Can't load the append-only file")
    }
}

type Input = BufReader<Box<dyn StorageFile>>;

/// A load under way.
#[derive(Debug)]
pub struct AofLoader {
    folder: AofFolder,
    manifest: Manifest,
    left: VecDeque<(FileKind, FileEntry)>,
    /// Number of files up to the last one with anything in it, those that are read included.
    filled: usize,
    begun: usize,
    file: Option<OpenFile>,
    /// Bytes in all files.
    total_bytes: u64,
    /// Bytes in the files that are read.
    finished_bytes: u64,
    base_bytes: u64,
}

/// The file that is being read.
#[derive(Debug)]
struct OpenFile {
    entry: FileEntry,
    kind: FileKind,
    /// The snapshot at its beginning, until that is read.
    snapshot: Option<SnapshotReader<Input>>,
    records: Option<Records<Input>>,
    player: Player,
    /// Offset behind the last unit that was read.
    sound: u64,
    bytes: u64,
    started_us: u64,
}

impl AofLoader {
    /// Finds out what there is to read, taking over a file of before there were manifests.
    pub fn new(engine: &mut Engine) -> Result<AofLoader, LoadFailed> {
        let folder = engine.aof_folder();
        let mut manifest = engine.load_aof_manifest(&folder)?;
        let failed = |engine: &mut Engine, error: io::Error| {
            engine.warn(&format!("Can't take over the old AOF file: {error}"));
            LoadFailed
        };
        match folder.has_old_file(&manifest) {
            Ok(false) => {}
            Ok(true) => {
                manifest = folder.adopt_old_file().map_err(|error| failed(engine, error))?;
                let (name, into) = (&engine.config.appendfilename, &engine.config.appenddirname);
                let message = format!(
                    "Successfully migrated an old-style AOF file ({name}) into the AOF directory \
                     ({into})."
                );
                engine.env.log(LogLevel::Notice, &message);
            }
            Err(error) => return Err(failed(engine, error)),
        }
        let left: VecDeque<_> =
            manifest.files().map(|(kind, entry)| (kind, entry.clone())).collect();
        let mut loader = AofLoader {
            folder,
            manifest,
            left,
            filled: 0,
            begun: 0,
            file: None,
            total_bytes: 0,
            finished_bytes: 0,
            base_bytes: 0,
        };
        loader.measure(engine)?;
        Ok(loader)
    }

    /// Sums up the sizes of the files. One that is missing is a failure.
    fn measure(&mut self, engine: &mut Engine) -> Result<(), LoadFailed> {
        for (index, (kind, entry)) in self.left.iter().enumerate() {
            let opened = self.folder.storage().open(&self.folder.path(&entry.name));
            let bytes = opened.and_then(|file| file.size()).map_err(|error| {
                engine.warn(&format!(
                    "Unable to obtain the AOF file {} length. stat: {error}",
                    entry.name
                ));
                LoadFailed
            })?;
            self.total_bytes += bytes;
            if bytes > 0 {
                self.filled = index + 1;
            }
            if *kind == FileKind::Base {
                self.base_bytes = bytes;
            }
        }
        Ok(())
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.total_bytes == 0
    }

    /// Bytes to read.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Bytes read so far.
    pub fn loaded_bytes(&self) -> u64 {
        self.finished_bytes + self.file.as_ref().map_or(0, OpenFile::offset)
    }

    /// Reads on: so many keys or commands. False when everything is read.
    pub fn step(&mut self, engine: &mut Engine, count: usize) -> Result<bool, LoadFailed> {
        let Some(mut file) = self.file.take() else { return self.open_next(engine) };
        for _ in 0..count {
            match file.step(engine) {
                Ok(true) => {}
                Ok(false) => {
                    self.finish_file(engine, file);
                    return Ok(true);
                }
                Err(stop) => {
                    self.stopped(engine, file, stop)?;
                    return Ok(true);
                }
            }
        }
        self.file = Some(file);
        Ok(true)
    }

    fn open_next(&mut self, engine: &mut Engine) -> Result<bool, LoadFailed> {
        let Some((kind, entry)) = self.left.pop_front() else {
            self.take_effect(engine);
            return Ok(false);
        };
        self.begun += 1;
        let opened = self.folder.storage().open(&self.folder.path(&entry.name));
        let (file, bytes) =
            opened.and_then(|file| file.size().map(|bytes| (file, bytes))).map_err(|error| {
                engine.warn(&format!(
                    "Fatal error: can't open the append log file {} for reading: {error}",
                    entry.name
                ));
                LoadFailed
            })?;
        let started_us = engine.clock.monotonic_us();
        let mut input = BufReader::with_capacity(BUFFER_BYTES, file);
        let is_snapshot = input.fill_buf().is_ok_and(begins_snapshot);
        let (snapshot, records) = match is_snapshot {
            true => (Some(self.open_snapshot(engine, &entry, input)?), None),
            false => (None, Some(Records::new(input, 0))),
        };
        let player = Player::new(engine);
        let file = OpenFile { entry, kind, snapshot, records, player, sound: 0, bytes, started_us };
        self.file = Some(file);
        Ok(true)
    }

    /// Begins to read the snapshot at the beginning of a file.
    fn open_snapshot(
        &self,
        engine: &mut Engine,
        entry: &FileEntry,
        input: Input,
    ) -> Result<SnapshotReader<Input>, LoadFailed> {
        let message = match entry.name == self.folder.prefix() {
            true => "Reading RDB preamble from AOF file...",
            false => "Reading RDB base file on AOF loading...",
        };
        engine.env.log(LogLevel::Notice, message);
        // Commands that follow may be about keys whose time is up by now.
        let options = ReadOptions { expired_at_ms: None, ..engine.read_options(false) };
        SnapshotReader::new(input, options).map_err(|error| {
            engine.warn(&unreadable_base(&entry.name, &error.to_string()));
            LoadFailed
        })
    }

    fn finish_file(&mut self, engine: &mut Engine, file: OpenFile) {
        let took_s = engine.clock.monotonic_us().saturating_sub(file.started_us) as f64 / 1e6;
        let kind = if file.kind == FileKind::Base { "base" } else { "incr" };
        let name = &file.entry.name;
        let message = format!("DB loaded from {kind} file {name}: {took_s:.3} seconds");
        engine.env.log(LogLevel::Notice, &message);
        self.finished_bytes += file.bytes;
        file.player.dismiss(engine);
    }

    /// Decides what becomes of a file that could not be read to its end.
    fn stopped(
        &mut self,
        engine: &mut Engine,
        mut file: OpenFile,
        stop: Stop,
    ) -> Result<(), LoadFailed> {
        let name = file.entry.name.clone();
        let sound = file.sound;
        let message = match stop {
            Stop::Truncated => match self.cut_off(engine, &name, sound) {
                true => {
                    self.total_bytes = self.total_bytes.saturating_sub(file.bytes - sound);
                    file.bytes = sound;
                    self.finish_file(engine, file);
                    return Ok(());
                }
                false if self.begun < self.filled => {
                    "Fatal error: the truncated file is not the last file".to_owned()
                }
                false => format!(
                    "Unexpected end of file reading the append only file {name}. You can: 1) Make \
                     a backup of your AOF file, then use check-aof --fix <filename.manifest>. 2) \
                     Alternatively you can set the 'aof-load-truncated' configuration option to \
                     yes and restart the server. The file is sound up to offset {sound}."
                ),
            },
            Stop::Format { offset, reason } => format!(
                "Bad file format reading the append only file {name}: make a backup of your AOF \
                 file, then use check-aof --fix <filename.manifest>. At offset {offset}: {reason}"
            ),
            Stop::Snapshot(reason) => unreadable_base(&name, &reason),
            Stop::Io(error) => {
                format!("Unrecoverable error reading the append only file {name}: {error}")
            }
            Stop::Unknown { offset, command } => format!(
                "Unknown command '{command}' reading the append only file {name}, at offset \
                 {offset}"
            ),
        };
        file.player.dismiss(engine);
        engine.warn(&message);
        Err(LoadFailed)
    }

    /// Cuts the last file off behind its last unit, if that is allowed.
    fn cut_off(&self, engine: &mut Engine, name: &str, sound: u64) -> bool {
        // An empty file may follow: it was made for what would have been written next.
        if !engine.config.aof_load_truncated || self.begun < self.filled {
            return false;
        }
        engine.warn(&format!("!!! Warning: short read while loading the AOF file {name}!!!"));
        engine.warn(&format!("!!! Truncating the AOF {name} at offset {sound} !!!"));
        if let Err(error) = self.folder.storage().truncate(&self.folder.path(name), sound) {
            engine.warn(&format!("Error truncating the AOF file {name}: {error}"));
            return false;
        }
        engine.warn(&format!("AOF {name} loaded anyway because aof-load-truncated is enabled"));
        true
    }

    /// Lets the engine go on from what was read.
    fn take_effect(&mut self, engine: &mut Engine) {
        engine.aof.manifest = std::mem::take(&mut self.manifest);
        engine.aof.settled_bytes = self.total_bytes;
        engine.aof.rewritten_bytes = self.base_bytes;
    }
}

/// Why a file was not read to its end.
enum Stop {
    Snapshot(String),
    Truncated,
    Format { offset: u64, reason: String },
    Io(io::Error),
    Unknown { offset: u64, command: String },
}

impl OpenFile {
    /// Bytes read so far.
    fn offset(&self) -> u64 {
        match (&self.snapshot, &self.records) {
            (Some(snapshot), _) => snapshot.bytes_read(),
            (None, records) => records.as_ref().map_or(0, Records::offset),
        }
    }

    /// Reads one key or runs one record. False at the end of the file.
    fn step(&mut self, engine: &mut Engine) -> Result<bool, Stop> {
        if let Some(snapshot) = &mut self.snapshot {
            let more = snapshot
                .step(&mut engine.keyspace)
                .map_err(|error| Stop::Snapshot(format!("{}: {error}", snapshot.place())))?;
            if !more {
                self.end_snapshot(engine)?;
            }
            return Ok(true);
        }
        if !self.play_next(engine)? {
            return Ok(false);
        }
        if !self.player.is_in_transaction(engine) {
            self.sound = self.offset();
        }
        Ok(true)
    }

    /// Takes over what the snapshot held besides keys, and goes on behind it.
    fn end_snapshot(&mut self, engine: &mut Engine) -> Result<(), Stop> {
        let Some(snapshot) = self.snapshot.take() else { return Ok(()) };
        let offset = snapshot.bytes_read();
        let (loaded, input) = snapshot.into_parts();
        engine
            .take_over_loaded(&loaded)
            .map_err(|error| Stop::Snapshot(error.text().to_owned()))?;
        if self.kind == FileKind::Base && offset < self.bytes {
            engine.env.log(LogLevel::Notice, "Reading the remaining AOF tail...");
        }
        self.records = Some(Records::new(input, offset));
        self.sound = offset;
        Ok(())
    }

    /// Runs the next record. False at the end of the file.
    fn play_next(&mut self, engine: &mut Engine) -> Result<bool, Stop> {
        let Some(records) = &mut self.records else { return Ok(false) };
        let offset = records.offset();
        let argv: ArgVec<'_> = match records.read() {
            Ok(Some(Record::Command(args))) => args.iter().collect(),
            Ok(Some(Record::Annotation(_))) => return Ok(true),
            Ok(None) if self.player.is_in_transaction(engine) => {
                let name = &self.entry.name;
                engine
                    .warn(&format!("Revert incomplete MULTI/EXEC transaction in AOF file {name}"));
                return Err(Stop::Truncated);
            }
            Ok(None) => return Ok(false),
            Err(RecordError::Truncated) => return Err(Stop::Truncated),
            Err(RecordError::Format { offset, reason }) => {
                return Err(Stop::Format { offset, reason });
            }
            Err(RecordError::Io(error)) => return Err(Stop::Io(error)),
        };
        match self.player.play(engine, &argv) {
            Played::Done => {}
            Played::Unknown => {
                let command = argv.first().copied().unwrap_or_default();
                let command = String::from_utf8_lossy(command).into_owned();
                return Err(Stop::Unknown { offset, command });
            }
            Played::Misled(reason) => return Err(Stop::Format { offset, reason }),
        }
        Ok(true)
    }
}

impl Engine {
    /// The manifest in force.
    fn load_aof_manifest(&mut self, folder: &AofFolder) -> Result<Manifest, LoadFailed> {
        let error = match folder.load_manifest() {
            Ok(manifest) => return Ok(manifest),
            Err(ManifestLoadError::Io(error)) => {
                self.warn(&format!("Fatal error: can't read the AOF manifest file: {error}"));
                return Err(LoadFailed);
            }
            Err(ManifestLoadError::Format(error)) => error,
        };
        self.warn("*** FATAL AOF MANIFEST FILE ERROR ***");
        if let Some((number, text)) = &error.line {
            self.warn(&format!("Reading the manifest file, at line {number}"));
            self.warn(&format!(">>> '{text}'"));
        }
        self.warn(error.reason);
        Err(LoadFailed)
    }

    pub(super) fn warn(&mut self, message: &str) {
        self.env.log(LogLevel::Warning, message);
    }
}

fn unreadable_base(name: &str, reason: &str) -> String {
    format!("Error reading the RDB base file {name}, AOF loading aborted: {reason}")
}
