//! Writing a snapshot.

use crate::crc64::Crc64;
use crate::encode::{write_length, write_string};
use crate::format::{MAGIC, REDIS_VERSION, STREAM_DB, VERSION, opcode};
use crate::value::{type_of, write_value};
use perilune_keyspace::{KeyEntry, Keyspace};
use std::io::{self, Write};

/// Facts about the server that go into a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Unix time of the snapshot in seconds.
    pub now_s: i64,
    /// Bytes of memory in use.
    pub used_memory: u64,
    /// Database that the replication stream behind the snapshot has selected, where a replica could
    /// not know.
    pub stream_db: Option<usize>,
}

/// Writes a snapshot of all databases and of the function libraries with the given codes.
pub fn write_snapshot<'a>(
    keyspace: &Keyspace,
    libraries: impl Iterator<Item = &'a [u8]>,
    meta: &Meta,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut writer = SnapshotWriter::new(out, meta)?;
    for code in libraries {
        writer.library(code)?;
    }
    for (index, db) in keyspace.iter().filter(|(_, db)| !db.is_empty()) {
        writer.database(index, db.len(), db.volatile_len())?;
        for entry in db.iter() {
            writer.entry(entry)?;
        }
    }
    writer.finish()
}

/// Writes a snapshot piece by piece: libraries first, then each database followed by its keys.
#[derive(Debug)]
pub struct SnapshotWriter<W> {
    out: Summed<W>,
}

impl<W: Write> SnapshotWriter<W> {
    /// Writes header and facts.
    pub fn new(out: W, meta: &Meta) -> io::Result<Self> {
        let mut out = Summed { inner: out, sum: Crc64::new() };
        out.write_all(MAGIC)?;
        write!(out, "{VERSION:04}")?;
        for (name, value) in [
            (&b"redis-ver"[..], REDIS_VERSION.to_owned()),
            (b"redis-bits", usize::BITS.to_string()),
            (b"ctime", meta.now_s.to_string()),
            (b"used-mem", meta.used_memory.to_string()),
            (b"aof-base", "0".to_owned()),
        ] {
            write_fact(&mut out, name, &value)?;
        }
        if let Some(db) = meta.stream_db {
            write_fact(&mut out, STREAM_DB, &db.to_string())?;
        }
        Ok(SnapshotWriter { out })
    }

    /// Writes the code of a function library.
    pub fn library(&mut self, code: &[u8]) -> io::Result<()> {
        self.out.write_all(&[opcode::FUNCTION2])?;
        write_string(&mut self.out, code)
    }

    /// Begins the database at `index` with about `keys` keys, `volatile` of them with a time to
    /// live; the numbers only help a reader to make room.
    pub fn database(&mut self, index: usize, keys: usize, volatile: usize) -> io::Result<()> {
        self.out.write_all(&[opcode::SELECT_DB])?;
        write_length(&mut self.out, index as u64)?;
        self.out.write_all(&[opcode::RESIZE_DB])?;
        write_length(&mut self.out, keys as u64)?;
        write_length(&mut self.out, volatile as u64)
    }

    /// Writes a key of the database begun last.
    pub fn entry(&mut self, entry: &KeyEntry) -> io::Result<()> {
        if let Some(at_ms) = entry.expire_at() {
            self.out.write_all(&[opcode::EXPIRE_MS])?;
            self.out.write_all(&at_ms.to_le_bytes())?;
        }
        self.out.write_all(&[type_of(entry.value())])?;
        write_string(&mut self.out, entry.name())?;
        write_value(entry.value(), &mut self.out)
    }

    /// Writes the end and the checksum, and flushes. Without it a snapshot is incomplete.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.write_all(&[opcode::EOF])?;
        let checksum = self.out.sum.value();
        self.out.inner.write_all(&checksum.to_le_bytes())?;
        self.out.inner.flush()
    }
}

fn write_fact(out: &mut impl Write, name: &[u8], value: &str) -> io::Result<()> {
    out.write_all(&[opcode::AUX])?;
    write_string(out, name)?;
    write_string(out, value.as_bytes())
}

/// Sums up what passes through.
#[derive(Debug)]
struct Summed<W> {
    inner: W,
    sum: Crc64,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
