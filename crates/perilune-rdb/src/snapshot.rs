//! Writing a snapshot.

use crate::crc64::Crc64;
use crate::encode::{Output, Target, write_length, write_string};
use crate::format::{MAGIC, REDIS_VERSION, STREAM_DB, STREAM_ID, STREAM_OFFSET, VERSION, opcode};
use crate::value::{type_of, write_value};
use perilune_keyspace::{KeyEntry, Keyspace};
use std::fmt;
use std::io::{self, Write};

/// Facts about the server that go into a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Unix time of the snapshot in seconds.
    pub now_s: i64,
    /// Bytes of memory in use.
    pub used_memory: u64,
    /// Whether it begins an append-only file.
    pub aof_base: bool,
    /// Database that the replication stream behind the snapshot has selected, where a replica could
    /// not know.
    pub stream_db: Option<usize>,
    /// The moment of the replication stream that the data are of, for a server that goes on from
    /// there after a restart.
    pub stream: Option<StreamPoint>,
}

/// A moment of a replication stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamPoint {
    /// The id of the stream, hexadecimal digits.
    pub id: [u8; 40],
    /// Bytes of the stream so far.
    pub offset: u64,
}

impl StreamPoint {
    /// The id as text.
    pub fn id_text(&self) -> String {
        String::from_utf8_lossy(&self.id).into_owned()
    }
}

/// What is told about the use of each key.
#[derive(Default)]
pub enum AccessFacts {
    /// Nothing.
    #[default]
    None,
    /// How long it was idle as of this Unix time in seconds.
    Idle(u32),
    /// The access counter, by this reading of [`KeyEntry::access`].
    Frequency(Box<dyn Fn(u32) -> u8 + Send>),
}

impl fmt::Debug for AccessFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AccessFacts::None => "None",
            AccessFacts::Idle(_) => "Idle",
            AccessFacts::Frequency(_) => "Frequency",
        })
    }
}

/// How a snapshot is to be written.
#[derive(Debug)]
pub struct WriteOptions {
    /// Compress strings where that saves enough.
    pub compress: bool,
    /// What to tell about the use of each key.
    pub access: AccessFacts,
}

impl Default for WriteOptions {
    fn default() -> Self {
        WriteOptions { compress: true, access: AccessFacts::None }
    }
}

/// Writes a snapshot of all databases and of the function libraries with the given codes.
pub fn write_snapshot<'a>(
    keyspace: &Keyspace,
    libraries: impl Iterator<Item = &'a [u8]>,
    meta: &Meta,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut out = Summed { inner: out, sum: Crc64::new() };
    let mut encoder = SnapshotEncoder::new(keyspace, WriteOptions::default());
    encoder.begin(meta, &mut out)?;
    for code in libraries {
        encoder.library(code, &mut out)?;
    }
    for (index, db) in keyspace.iter() {
        for entry in db.iter() {
            encoder.entry(index, entry, &mut out)?;
        }
    }
    encoder.end(&mut out)?;
    let checksum = out.sum.value();
    out.inner.write_all(&checksum.to_le_bytes())?;
    out.inner.flush()
}

/// Makes a snapshot piece by piece: beginning, libraries, keys in any order, end. The eight bytes
/// of the checksum that follow the end, or as many zeros, are up to whoever sees all pieces.
#[derive(Debug)]
pub struct SnapshotEncoder {
    options: WriteOptions,
    /// Keys, and those with a time to live, of each database that was not begun yet.
    sizes: Vec<Option<(usize, usize)>>,
    current: Option<usize>,
}

impl SnapshotEncoder {
    /// An encoder for a keyspace as it is now.
    pub fn new(keyspace: &Keyspace, options: WriteOptions) -> Self {
        let sizes = keyspace.iter().map(|(_, db)| Some((db.len(), db.volatile_len()))).collect();
        SnapshotEncoder { options, sizes, current: None }
    }

    /// Writes header and facts.
    pub fn begin(&mut self, meta: &Meta, out: &mut impl Write) -> io::Result<()> {
        let out = &mut self.target(out);
        out.write_all(MAGIC)?;
        write!(out, "{VERSION:04}")?;
        for (name, value) in [
            (&b"redis-ver"[..], REDIS_VERSION.to_owned()),
            (b"redis-bits", usize::BITS.to_string()),
            (b"ctime", meta.now_s.to_string()),
            (b"used-mem", meta.used_memory.to_string()),
            (b"aof-base", u8::from(meta.aof_base).to_string()),
        ] {
            write_fact(out, name, &value)?;
        }
        if let Some(db) = meta.stream_db {
            write_fact(out, STREAM_DB, &db.to_string())?;
        }
        if let Some(point) = &meta.stream {
            write_fact(out, STREAM_ID, &point.id_text())?;
            write_fact(out, STREAM_OFFSET, &point.offset.to_string())?;
        }
        Ok(())
    }

    /// Writes the code of a function library.
    pub fn library(&mut self, code: &[u8], out: &mut impl Write) -> io::Result<()> {
        let out = &mut self.target(out);
        out.write_all(&[opcode::FUNCTION2])?;
        write_string(out, code)
    }

    /// Writes a key of the database at `index`.
    pub fn entry(
        &mut self,
        index: usize,
        entry: &KeyEntry,
        out: &mut impl Write,
    ) -> io::Result<()> {
        if self.current != Some(index) {
            self.select(index, out)?;
        }
        let out = &mut self.target(out);
        if let Some(at_ms) = entry.expire_at() {
            out.write_all(&[opcode::EXPIRE_MS])?;
            out.write_all(&at_ms.to_le_bytes())?;
        }
        self.write_access(entry, out)?;
        out.write_all(&[type_of(entry.value())])?;
        write_string(out, entry.name())?;
        write_value(entry.value(), out)
    }

    /// Writes the mark of the end. Without it a snapshot is incomplete.
    pub fn end(&mut self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&[opcode::EOF])
    }

    /// Begins a database or goes back to it; when it is begun its sizes are told, which help a
    /// reader to make room.
    fn select(&mut self, index: usize, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&[opcode::SELECT_DB])?;
        write_length(out, index as u64)?;
        if let Some((keys, volatile)) = self.sizes.get_mut(index).and_then(Option::take) {
            out.write_all(&[opcode::RESIZE_DB])?;
            write_length(out, keys as u64)?;
            write_length(out, volatile as u64)?;
        }
        self.current = Some(index);
        Ok(())
    }

    fn write_access(&self, entry: &KeyEntry, out: &mut impl Output) -> io::Result<()> {
        match &self.options.access {
            AccessFacts::None => Ok(()),
            AccessFacts::Idle(now_s) => {
                out.write_all(&[opcode::IDLE])?;
                write_length(out, entry.idle_s(*now_s).into())
            }
            AccessFacts::Frequency(counter) => {
                out.write_all(&[opcode::FREQUENCY, counter(entry.access())])
            }
        }
    }

    fn target<'w, W: Write>(&self, writer: &'w mut W) -> Target<&'w mut W> {
        Target { writer, compress: self.options.compress }
    }
}

fn write_fact(out: &mut impl Output, name: &[u8], value: &str) -> io::Result<()> {
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
