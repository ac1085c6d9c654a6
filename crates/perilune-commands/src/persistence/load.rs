//! Reading the snapshot file: at start in slices, and for `DEBUG RELOAD`.

use crate::aof::{AofLoader, LoadFailed};
use crate::config::SanitizeDumpPayload;
use crate::engine::Engine;
use crate::errors::{self, CommandError};
use crate::frequency;
use crate::scripting::RestorePolicy;
use crate::session::ClientSlot;
use perilune_keyspace::Keyspace;
use perilune_persist::StorageFile;
use perilune_rdb::{
    Check, Loaded, ReadError, ReadOptions, SnapshotReader, Writer, dump_functions, structure_name,
};
use perilune_script::LogLevel;
use std::io::BufReader;
use std::time::Duration;

/// Read from the file at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Keys read between two looks at the clock.
const KEYS: usize = 16;

type Reader = SnapshotReader<BufReader<Box<dyn StorageFile>>>;

/// Data that are being read.
#[derive(Debug)]
pub struct Loading {
    reader: Option<Reader>,
    /// It is the append-only file that is read.
    append_only: Option<Box<AofLoader>>,
    is_append_only: bool,
    /// Size of the file.
    pub total_bytes: u64,
    /// Bytes read.
    pub loaded_bytes: u64,
    /// Memory that the writer used, as far as it is known.
    pub used_memory: u64,
    /// Unix time of the begin, seconds.
    pub started_s: i64,
    started_us: u64,
    steps: u64,
    key_delay_us: u64,
    /// The moment of a replication stream that the data are of has been looked for.
    stream_known: bool,
}

impl Loading {
    /// A snapshot of this length, 0 when it is unknown, that comes from a master. Somebody else
    /// reads it.
    pub(crate) fn from_master(engine: &Engine, total_bytes: u64) -> Self {
        Loading { total_bytes, is_append_only: false, ..engine.loading_of_append_only() }
    }

    /// Seconds until everything will be read, by the speed so far.
    pub fn eta_s(&self, now_s: i64) -> i64 {
        let (elapsed_s, loaded) = ((now_s - self.started_s).max(0) as u64, self.loaded_bytes);
        match loaded {
            0 => 1,
            loaded => {
                let rest = self.total_bytes.saturating_sub(loaded);
                i64::try_from(elapsed_s.saturating_mul(rest) / loaded).unwrap_or(i64::MAX)
            }
        }
    }
}

/// How the reading goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slice {
    More,
    Done,
}

impl Engine {
    /// Opens the snapshot file, if there is one. From here to the end of
    /// [`load_cycle`](Self::load_cycle) most commands are refused. `Err` is why the server cannot
    /// start, which is in the log.
    pub fn begin_loading(&mut self) -> Result<(), String> {
        self.follow_wall_clock();
        let now_s = self.now_us / 1_000_000;
        self.persistence.last_save_s = now_s;
        if self.config.appendonly {
            // It is opened when the server is up: what is wrong with it takes its time to tell.
            self.persistence.loading = Some(self.loading_of_append_only());
            return Ok(());
        }
        let path = self.data_path(&self.config.dbfilename);
        match self.storage.exists(&path) {
            Ok(false) => return Ok(()),
            Ok(true) => {}
            Err(error) => return Err(self.fatal_load(&error.to_string())),
        }
        let opened = self.storage.open(&path).and_then(|file| Ok((file.size()?, file)));
        let (total_bytes, file) = opened.map_err(|error| self.fatal_load(&error.to_string()))?;
        let mut loading = Loading {
            reader: None,
            append_only: None,
            is_append_only: false,
            total_bytes,
            loaded_bytes: 0,
            used_memory: 0,
            started_s: now_s,
            started_us: self.clock.monotonic_us(),
            steps: 0,
            key_delay_us: u64::try_from(self.config.key_load_delay).unwrap_or(0),
            stream_known: false,
        };
        if total_bytes > 0 {
            let input = BufReader::with_capacity(BUFFER_BYTES, file);
            let options = ReadOptions { names_expired: true, ..self.read_options(false) };
            let reader = SnapshotReader::new(input, options);
            loading.reader = Some(reader.map_err(|error| self.unreadable(&error, 0, None))?);
        }
        self.persistence.loading = Some(loading);
        Ok(())
    }

    /// Goes on reading for about `budget_us`, or for `loading-process-events-interval-bytes`. False
    /// when nothing is left to read.
    pub fn load_cycle(&mut self, budget_us: u64) -> Result<bool, String> {
        if self.persistence.loading.as_ref().is_some_and(|loading| loading.is_append_only) {
            return self.load_append_only_cycle(budget_us);
        }
        let Some(mut loading) = self.persistence.loading.take() else { return Ok(false) };
        self.follow_wall_clock();
        let outcome = self.load_slice(&mut loading, budget_us);
        match outcome {
            Ok(Slice::More) => {
                self.persistence.loading = Some(loading);
                Ok(true)
            }
            Ok(Slice::Done) => self.loaded(loading).map(|()| false),
            Err(error) => {
                let reader = loading.reader.as_ref();
                let key = reader.and_then(SnapshotReader::current_key);
                let place = key.map(|(kind, key)| (kind, key.to_vec()));
                let offset = reader.map_or(0, SnapshotReader::bytes_read);
                Err(self.unreadable(&error, offset, place))
            }
        }
    }

    fn loading_of_append_only(&self) -> Loading {
        Loading {
            reader: None,
            append_only: None,
            is_append_only: true,
            total_bytes: 0,
            loaded_bytes: 0,
            used_memory: 0,
            started_s: self.now_us / 1_000_000,
            started_us: self.clock.monotonic_us(),
            steps: 0,
            key_delay_us: u64::try_from(self.config.key_load_delay).unwrap_or(0),
            stream_known: false,
        }
    }

    /// Goes on reading the append-only file for about `budget_us`; at its end it is opened for what
    /// follows. The loading stays known meanwhile, for those who come while a script is slow.
    fn load_append_only_cycle(&mut self, budget_us: u64) -> Result<bool, String> {
        self.follow_wall_clock();
        let more = self.load_append_only_slice(budget_us).map_err(|error| error.to_string())?;
        if !more {
            self.persistence.loading = None;
            self.open_append_only_file().inspect_err(|error| {
                self.env.log(LogLevel::Warning, error);
            })?;
        }
        Ok(more)
    }

    fn load_append_only_slice(&mut self, budget_us: u64) -> Result<bool, LoadFailed> {
        let Some(loading) = &mut self.persistence.loading else { return Ok(false) };
        let (started_us, delay_us) = (loading.started_us, loading.key_delay_us);
        let mut steps = loading.steps;
        let mut loader = match loading.append_only.take() {
            Some(loader) => loader,
            None => Box::new(AofLoader::new(self)?),
        };
        let start_us = self.clock.monotonic_us();
        let mut now_us = start_us;
        let mut more = true;
        while more && now_us.saturating_sub(start_us) <= budget_us {
            let due = now_us.saturating_sub(started_us).checked_div(delay_us);
            if due.is_some_and(|due| steps > due) {
                break;
            }
            let count = if delay_us > 0 { 1 } else { KEYS };
            more = loader.step(self, count)?;
            steps += count as u64;
            now_us = self.clock.monotonic_us();
        }
        if let Some(loading) = &mut self.persistence.loading {
            loading.steps = steps;
            loading.total_bytes = loader.total_bytes();
            loading.loaded_bytes = loader.loaded_bytes();
            loading.append_only = Some(loader);
        }
        Ok(more)
    }

    /// `DEBUG LOADAOF`: forgets all data and reads the append-only file.
    pub(crate) fn reload_append_only(&mut self) -> Result<(), CommandError> {
        if self.persistence.loading.is_some() {
            return Err(errors::LOADAOF_FAILED);
        }
        self.write_aof(true);
        let feed = self.propagation.aof.take();
        self.flush_all(false);
        self.flush_libraries(false);
        self.persistence.loading = Some(self.loading_of_append_only());
        let outcome = loop {
            match self.load_append_only_slice(u64::MAX) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.persistence.loading = None;
        self.propagation.aof = feed;
        self.aof_was_reloaded();
        self.nothing_is_unsaved();
        outcome.map_err(|_| errors::LOADAOF_FAILED)?;
        self.env.log(LogLevel::Notice, "Append Only File loaded by DEBUG LOADAOF");
        Ok(())
    }

    fn load_slice(&mut self, loading: &mut Loading, budget_us: u64) -> Result<Slice, ReadError> {
        // An empty file is an empty snapshot, as Redis takes it.
        let Some(reader) = &mut loading.reader else { return Ok(Slice::Done) };
        let start_us = self.clock.monotonic_us();
        let mut now_us = start_us;
        let mut outcome = Slice::More;
        let mut keys = 0;
        let (started_us, delay_us) = (loading.started_us, loading.key_delay_us);
        let bytes_end = loading.loaded_bytes + self.config.loading_process_events_interval_bytes;
        while outcome == Slice::More
            && now_us.saturating_sub(start_us) <= budget_us
            && reader.bytes_read() < bytes_end
        {
            let due = now_us.saturating_sub(started_us).checked_div(delay_us);
            if due.is_some_and(|due| loading.steps + keys > due) {
                break;
            }
            for _ in 0..if delay_us > 0 { 1 } else { KEYS } {
                keys += 1;
                if !reader.step(&mut self.keyspace)? {
                    outcome = Slice::Done;
                    break;
                }
            }
            now_us = self.clock.monotonic_us();
        }
        loading.steps += keys;
        loading.loaded_bytes = reader.bytes_read();
        loading.used_memory = reader.loaded().writer.used_memory.unwrap_or(0);
        // What is told of the stream stands before the keys.
        if !std::mem::replace(&mut loading.stream_known, true)
            && let Some(point) = reader.loaded().stream()
        {
            let db = reader.loaded().stream_db.unwrap_or(0);
            self.return_to_stream(&point, db);
        }
        let expired = reader.take_expired();
        self.replicate_expired(&expired);
        Ok(outcome)
    }

    /// Takes over what was read besides the keys.
    fn loaded(&mut self, loading: Loading) -> Result<(), String> {
        let took_us = self.clock.monotonic_us().saturating_sub(loading.started_us);
        if let Some(reader) = loading.reader {
            let (loaded, _) = reader.into_parts();
            self.log_writer(&loaded.writer);
            self.adopt_libraries(ClientSlot::SCRIPT, &loaded, RestorePolicy::Append).map_err(
                |error| {
                    let message = format!("Failed loading functions: {}", error.text());
                    self.env.log(LogLevel::Warning, &message);
                    message
                },
            )?;
            self.log_loaded(&loaded);
        }
        let seconds = took_us as f64 / 1e6;
        let message = format!("DB loaded from disk: {seconds:.3} seconds");
        self.env.log(LogLevel::Notice, &message);
        // A master was not to be followed until now.
        self.env.replication_changed();
        Ok(())
    }

    /// How a snapshot file is read.
    pub(crate) fn read_options(&self, merge: bool) -> ReadOptions {
        // Keys of a replica end when its master says so.
        let is_master = self.config.replicaof.is_none() && !self.replication.is_replica();
        ReadOptions {
            limits: self.limits,
            now_s: (self.now_us / 1_000_000) as u32,
            expired_at_ms: is_master.then(|| self.now_ms()),
            merge,
            frequency: self.counter_packing(),
            unverified: !self.config.rdbchecksum || self.persistence.trusts_checksums,
            names_expired: false,
            check: self.check_of_files(),
        }
    }

    /// How much of the values in files, and in a snapshot of the master, is checked.
    pub(crate) fn check_of_files(&self) -> Check {
        match self.config.sanitize_dump_payload {
            SanitizeDumpPayload::Yes => Check::Full,
            SanitizeDumpPayload::No | SanitizeDumpPayload::Clients => Check::Structure,
        }
    }

    /// What makes of an access counter what an entry holds, where such are kept.
    pub(crate) fn counter_packing(&self) -> Option<fn(u8, u32) -> u32> {
        frequency::is_counted(&self.config).then_some(frequency::pack as fn(u8, u32) -> u32)
    }

    fn adopt_libraries(
        &mut self,
        client: ClientSlot,
        loaded: &Loaded,
        policy: RestorePolicy,
    ) -> Result<(), CommandError> {
        if loaded.libraries.is_empty() && policy != RestorePolicy::Flush {
            return Ok(());
        }
        // What was read is no change that anybody would have to hear of.
        let dirty = self.dirty;
        let payload = dump_functions(loaded.libraries.iter().map(Vec::as_slice), false);
        let outcome = self.restore_libraries(client, &[], &payload, policy);
        self.dirty = dirty;
        outcome
    }

    /// Takes over what a base of the append-only file held besides keys.
    pub(crate) fn take_over_loaded(&mut self, loaded: &Loaded) -> Result<(), CommandError> {
        self.log_writer(&loaded.writer);
        self.adopt_libraries(ClientSlot::SCRIPT, loaded, RestorePolicy::Append)?;
        self.log_loaded(loaded);
        Ok(())
    }

    fn log_writer(&mut self, writer: &Writer) {
        if let Some(version) = &writer.redis_version {
            let message = format!("Loading RDB produced by version {version}");
            self.env.log(LogLevel::Notice, &message);
        }
        if let Some(version) = &writer.valkey_version {
            let message = format!("Loading RDB produced by Valkey version {version}");
            self.env.log(LogLevel::Notice, &message);
        }
        if let Some(written_s) = writer.now_s {
            let age_s = (self.now_us / 1_000_000 - written_s).max(0);
            self.env.log(LogLevel::Notice, &format!("RDB age {age_s} seconds"));
        }
        if let Some(bytes) = writer.used_memory {
            let mib = bytes as f64 / f64::from(1 << 20);
            let message = format!("RDB memory usage when created {mib:.2} Mb");
            self.env.log(LogLevel::Notice, &message);
        }
        if writer.aof_base {
            self.env.log(LogLevel::Notice, "RDB is base AOF");
        }
    }

    pub(crate) fn log_loaded(&mut self, loaded: &Loaded) {
        self.persistence.last_load = (loaded.keys, loaded.expired);
        for name in &loaded.empty_names {
            let message = format!("rdbLoadObject skipping empty key: {}", name.escape_ascii());
            self.env.log(LogLevel::Notice, &message);
        }
        let message = format!(
            "Done loading RDB, keys loaded: {}, keys expired: {}, empty keys skipped: {}.",
            loaded.keys, loaded.expired, loaded.empty
        );
        self.env.log(LogLevel::Notice, &message);
    }

    /// Enters into the log why a snapshot cannot be read.
    fn unreadable(&mut self, error: &ReadError, offset: u64, key: Option<(u8, Vec<u8>)>) -> String {
        let mut what = match error {
            ReadError::Version(version) => format!("Can't handle RDB format version {version}"),
            ReadError::Magic => "Wrong signature trying to load DB from file".to_owned(),
            ReadError::Checksum { stored, computed } => {
                let message = format!(
                    "Wrong RDB checksum expected: ({computed:x}) but got ({stored:x}). Aborting now."
                );
                self.env.log(LogLevel::Warning, &message);
                "RDB CRC error".to_owned()
            }
            ReadError::Truncated => {
                let message = "Short read or OOM loading DB. Unrecoverable error, aborting now.";
                self.env.log(LogLevel::Warning, message);
                "Unexpected EOF reading RDB file".to_owned()
            }
            error => error.to_string(),
        };
        let place = match key {
            Some((kind, key)) => {
                if let ReadError::Structure(fault) = error {
                    what = format!("{} integrity check failed: {fault}", structure_name(kind));
                }
                format!(" at key \"{}\"", key.escape_ascii())
            }
            None => String::new(),
        };
        let message = format!("Error reading the RDB file, offset {offset}{place} -> {what}");
        self.env.log(LogLevel::Warning, &message);
        let message = "Terminating server after rdb file reading failure.";
        self.env.log(LogLevel::Warning, message);
        self.fatal_load(&what)
    }

    fn fatal_load(&mut self, reason: &str) -> String {
        let message = format!("Fatal error loading the DB: {reason}. Exiting.");
        self.env.log(LogLevel::Warning, &message);
        message
    }

    /// Keys taken over and keys left out when a snapshot file was read last.
    pub fn last_load(&self) -> (usize, usize) {
        self.persistence.last_load
    }

    /// `DEBUG RELOAD`: reads the snapshot file, in the place of the data or in addition to them. The
    /// data are replaced only if all of the file can be read.
    pub(crate) fn reload(
        &mut self,
        client: ClientSlot,
        flush: bool,
        merge: bool,
    ) -> Result<(), CommandError> {
        let options = self.read_options(merge);
        let path = self.data_path(&self.config.dbfilename);
        let file = self.storage.open(&path).map_err(|error| errors::reload_failed(&error))?;
        let input = BufReader::with_capacity(BUFFER_BYTES, file);
        let mut fresh = Keyspace::new(self.keyspace.count());
        let delay_us = u64::try_from(self.config.key_load_delay).unwrap_or(0);
        let mut place = "offset 0".to_owned();
        let read = || -> Result<Loaded, ReadError> {
            let mut reader = SnapshotReader::new(input, options)?;
            let keyspace = if flush { &mut fresh } else { &mut self.keyspace };
            while reader.step(keyspace).inspect_err(|_| place = reader.place())? {
                if delay_us > 0 {
                    std::thread::sleep(Duration::from_micros(delay_us));
                }
            }
            Ok(reader.into_parts().0)
        };
        let loaded = read().map_err(|error| {
            self.env
                .log(LogLevel::Warning, &format!("Error reading the RDB file, {place}: {error}"));
            errors::reload_failed(&error)
        })?;
        let policy = match (flush, merge) {
            (true, _) => RestorePolicy::Flush,
            (false, true) => RestorePolicy::Replace,
            (false, false) => RestorePolicy::Append,
        };
        self.adopt_libraries(client, &loaded, policy).map_err(|error| {
            self.env.log(LogLevel::Warning, &format!("Failed loading functions: {}", error.text()));
            errors::reload_failed(&error.text())
        })?;
        if flush {
            let old = self.keyspace.replace(fresh);
            self.env.dispose(Box::new(old));
        }
        self.log_loaded(&loaded);
        let watched: Vec<_> = self.watchers.keys().cloned().collect();
        for (db, key) in watched {
            self.touch(db, &key);
        }
        Ok(())
    }
}
