//! Reading a snapshot.

use crate::crc64::Crc64;
use crate::decode::{read_array, read_byte, read_length, read_string};
use crate::error::ReadError;
use crate::format::{
    self, MAGIC, STREAM_DB, STREAM_ID, STREAM_OFFSET, VALKEY_MAGIC, VERSION_WITH_CHECKSUM, opcode,
};
use crate::read_value::{Check, read_value};
use crate::snapshot::StreamPoint;
use perilune_keyspace::{EncodingLimits, Keyspace};
use std::io::{self, Read};

/// Most names kept of keys whose values had no elements.
const EMPTY_NAMES_MAX: usize = 10;

/// How a snapshot is to be read.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOptions {
    /// The thresholds that choose encodings.
    pub limits: EncodingLimits,
    /// Unix time in seconds, as of which idle times are counted.
    pub now_s: u32,
    /// Keys whose time was up at this Unix time in milliseconds are left out.
    pub expired_at_ms: Option<i64>,
    /// The names of these keys are kept for [`SnapshotReader::take_expired`].
    pub names_expired: bool,
    /// Keys that are there already are replaced; otherwise they are an error.
    pub merge: bool,
    /// Makes of an access counter what an entry holds. Without it counters are passed over.
    pub frequency: Option<fn(counter: u8, now_s: u32) -> u32>,
    /// A checksum that does not match is no error.
    pub unverified: bool,
    /// How much of each value is checked.
    pub check: Check,
}

/// What a snapshot held besides its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The codes of the function libraries.
    pub libraries: Vec<Vec<u8>>,
    /// Database that the replication stream behind the snapshot has selected.
    pub stream_db: Option<usize>,
    /// The id of that stream, if it is one.
    pub stream_id: Option<[u8; 40]>,
    /// Bytes of that stream that the snapshot contains.
    pub stream_offset: Option<u64>,
    /// Number of keys taken over.
    pub keys: usize,
    /// Number of keys left out because their time was up.
    pub expired: usize,
    /// Number of keys left out because their values had no elements.
    pub empty: usize,
    /// The names of the first of these.
    pub empty_names: Vec<Vec<u8>>,
    /// Number of keys taken over that have a time to live.
    pub volatile: usize,
    /// What the writer told of itself.
    pub writer: Writer,
    /// Whether there was a checksum that was verified.
    pub is_checksummed: bool,
}

/// The facts about the writer of a snapshot, as far as it told them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writer {
    /// Its version of Redis.
    pub redis_version: Option<String>,
    /// Its version of Valkey.
    pub valkey_version: Option<String>,
    /// Unix time of the snapshot in seconds.
    pub now_s: Option<i64>,
    /// Bytes of memory it used.
    pub used_memory: Option<u64>,
    /// Whether the snapshot begins an append-only file.
    pub aof_base: bool,
}

/// Reads a snapshot into a keyspace, to its end and no further. After an error the keyspace holds
/// the keys read until then.
///
/// The input is read in small pieces, so it should be buffered.
pub fn read_snapshot(
    input: &mut impl Read,
    keyspace: &mut Keyspace,
    options: &ReadOptions,
) -> Result<Loaded, ReadError> {
    let mut reader = SnapshotReader::new(input, *options)?;
    while reader.step(keyspace)? {}
    Ok(reader.into_parts().0)
}

/// Reads a snapshot key by key.
#[derive(Debug)]
pub struct SnapshotReader<R> {
    input: Summed<R>,
    options: ReadOptions,
    version: Version,
    /// The database that keys belong to.
    index: usize,
    /// The key whose record is being read, for messages.
    key: Option<(u8, Vec<u8>)>,
    loaded: Loaded,
    /// Keys left out because their time was up, if somebody wants to know them.
    expired: Option<Vec<ExpiredKey>>,
    is_over: bool,
}

/// A key that was left out because its time was up: its database and its name.
pub type ExpiredKey = (usize, Vec<u8>);

/// Version of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Of Redis, and of Valkey before 9.0.
    Redis(u32),
    /// Of Valkey since 9.0.
    Valkey(u32),
}

/// What is told about a key before its name.
#[derive(Default)]
struct KeyHeader {
    kind: u8,
    expire_at_ms: Option<i64>,
    idle_s: u64,
    frequency: Option<u8>,
}

impl<R: Read> SnapshotReader<R> {
    /// Reads the header.
    pub fn new(input: R, options: ReadOptions) -> Result<Self, ReadError> {
        let mut input = Summed { inner: input, sum: Crc64::new(), bytes: 0 };
        let version = read_header(&mut input)?;
        Ok(SnapshotReader {
            input,
            options,
            version,
            index: 0,
            key: None,
            loaded: Loaded::default(),
            expired: options.names_expired.then(Vec::new),
            is_over: false,
        })
    }

    /// Reads on behind the next key, or to the end. False at the end, with the checksum verified.
    pub fn step(&mut self, keyspace: &mut Keyspace) -> Result<bool, ReadError> {
        if self.is_over {
            return Ok(false);
        }
        self.key = None;
        match self.read_until_key(keyspace.count())? {
            Some(header) => self.read_key(&header, keyspace)?,
            None => {
                self.check_sum()?;
                self.is_over = true;
            }
        }
        Ok(!self.is_over)
    }

    /// The version of the format.
    pub fn version(&self) -> Version {
        self.version
    }

    /// What was found so far.
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// The keys left out since the last call because their time was up.
    pub fn take_expired(&mut self) -> Vec<ExpiredKey> {
        self.expired.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Number of bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.input.bytes
    }

    /// The type byte and the name of the key that was being read, if there was one, for messages.
    pub fn current_key(&self) -> Option<(u8, &[u8])> {
        self.key.as_ref().map(|(kind, name)| (*kind, name.as_slice()))
    }

    /// Where the reading is, for messages: the offset, and the key if there is one.
    pub fn place(&self) -> String {
        let offset = self.bytes_read();
        match &self.key {
            Some((_, name)) => format!("offset {offset} at key \"{}\"", name.escape_ascii()),
            None => format!("offset {offset}"),
        }
    }

    /// What was found, and the input, which goes on behind the end.
    pub fn into_parts(self) -> (Loaded, R) {
        (self.loaded, self.input.inner)
    }

    fn check_sum(&mut self) -> Result<(), ReadError> {
        if matches!(self.version, Version::Redis(version) if version < VERSION_WITH_CHECKSUM) {
            return Ok(());
        }
        let computed = self.input.sum.value();
        let stored = u64::from_le_bytes(read_array(&mut self.input)?);
        // Zero is what a writer that was told not to sum up leaves there.
        self.loaded.is_checksummed = stored != 0 && !self.options.unverified;
        if self.loaded.is_checksummed && stored != computed {
            return Err(ReadError::Checksum { stored, computed });
        }
        Ok(())
    }

    /// Reads on to the next key, or to the end.
    fn read_until_key(&mut self, databases: usize) -> Result<Option<KeyHeader>, ReadError> {
        let mut key = KeyHeader::default();
        let input = &mut self.input;
        loop {
            match read_byte(input)? {
                opcode::EOF => return Ok(None),
                opcode::AUX => {
                    let (name, value) = (read_string(input)?, read_string(input)?);
                    if name == STREAM_DB {
                        let db = std::str::from_utf8(&value).ok().and_then(|db| db.parse().ok());
                        self.loaded.stream_db = db.filter(|db| *db < databases);
                    }
                    self.loaded.note_stream(&name, &value);
                    self.loaded.writer.note(&name, &value);
                }
                opcode::FUNCTION2 => self.loaded.libraries.push(read_string(input)?),
                opcode::FUNCTION_PRE_GA => return Err(ReadError::PreGaFunction),
                opcode::MODULE_AUX => return Err(ReadError::Module(read_length(input)?)),
                opcode::SELECT_DB => {
                    let index = read_length(input)?;
                    self.index = usize::try_from(index)
                        .ok()
                        .filter(|index| *index < databases)
                        .ok_or(ReadError::Database(index))?;
                }
                opcode::RESIZE_DB => {
                    read_length(input)?;
                    read_length(input)?;
                }
                opcode::SLOT_INFO => {
                    // The slot, its keys, and those with a time to live: hints for a cluster.
                    read_length(input)?;
                    read_length(input)?;
                    read_length(input)?;
                }
                opcode::SLOT_IMPORT => return Err(ReadError::Unsupported(opcode::SLOT_IMPORT)),
                opcode::EXPIRE_MS => {
                    key.expire_at_ms = Some(i64::from_le_bytes(read_array(input)?));
                }
                opcode::EXPIRE_S => {
                    let seconds = i32::from_le_bytes(read_array(input)?);
                    key.expire_at_ms = Some(i64::from(seconds) * 1000);
                }
                opcode::IDLE => key.idle_s = read_length(input)?,
                opcode::FREQUENCY => key.frequency = Some(read_byte(input)?),
                kind => return Ok(Some(KeyHeader { kind, ..key })),
            }
        }
    }

    fn read_key(&mut self, header: &KeyHeader, keyspace: &mut Keyspace) -> Result<(), ReadError> {
        let name = read_string(&mut self.input)?;
        let ReadOptions { limits, check, .. } = &self.options;
        let value = read_value(header.kind, &mut self.input, limits, *check);
        let name = self.key.insert((header.kind, name)).1.as_slice();
        let value = match value {
            // The input goes on behind it; Redis itself has written such values.
            Err(ReadError::Empty) => {
                self.loaded.empty += 1;
                if self.loaded.empty_names.len() < EMPTY_NAMES_MAX {
                    self.loaded.empty_names.push(name.to_vec());
                }
                return Ok(());
            }
            value => value?,
        };
        if let (Some(at), Some(now)) = (header.expire_at_ms, self.options.expired_at_ms)
            && at < now
        {
            self.loaded.expired += 1;
            if let Some(expired) = &mut self.expired {
                expired.push((self.index, name.to_vec()));
            }
            return Ok(());
        }
        let now_s = self.options.now_s;
        let db = keyspace.db_mut(self.index);
        if db.insert(name, value, now_s).is_some() && !self.options.merge {
            return Err(ReadError::DuplicateKey(name.to_vec()));
        }
        if header.expire_at_ms.is_some() {
            db.set_expire(name, header.expire_at_ms);
            self.loaded.volatile += 1;
        }
        db.get_accessed(name, |entry| match self.options.frequency {
            Some(pack) => {
                entry.set_access(header.frequency.map_or(0, |counter| pack(counter, now_s)));
            }
            None => entry.set_idle(u32::try_from(header.idle_s).unwrap_or(u32::MAX), now_s),
        });
        self.loaded.keys += 1;
        Ok(())
    }
}

impl Loaded {
    /// The moment of the replication stream that the data are of, if the writer told it.
    pub fn stream(&self) -> Option<StreamPoint> {
        Some(StreamPoint { id: self.stream_id?, offset: self.stream_offset? })
    }

    /// Takes a fact about the replication stream.
    fn note_stream(&mut self, name: &[u8], value: &[u8]) {
        if name == STREAM_ID {
            let id: Option<[u8; 40]> = value.try_into().ok();
            self.stream_id = id.filter(|id| id.iter().all(u8::is_ascii_alphanumeric));
        } else if name == STREAM_OFFSET {
            let text = std::str::from_utf8(value).ok();
            // Redis says -1 for none, and counts with a sign.
            let offset = text.and_then(|text| text.parse::<i64>().ok());
            self.stream_offset = offset.and_then(|offset| u64::try_from(offset).ok());
        }
    }
}

impl Writer {
    /// Takes a fact. Those that are not known are of no consequence.
    fn note(&mut self, name: &[u8], value: &[u8]) {
        let text = || String::from_utf8_lossy(value).into_owned();
        match name {
            b"redis-ver" => self.redis_version = Some(text()),
            b"valkey-ver" => self.valkey_version = Some(text()),
            b"ctime" => self.now_s = text().parse().ok(),
            b"used-mem" => self.used_memory = text().parse().ok(),
            b"aof-base" | b"aof-preamble" => self.aof_base = value == b"1",
            _ => {}
        }
    }
}

/// The version: four digits after the name of Redis, three after that of Valkey.
fn read_header(input: &mut impl Read) -> Result<Version, ReadError> {
    let header: [u8; 9] = read_array(input)?;
    let (digits, is_valkey) = match (header.strip_prefix(MAGIC), header.strip_prefix(VALKEY_MAGIC))
    {
        (Some(digits), _) => (digits, false),
        (_, Some(digits)) => (digits, true),
        _ => return Err(ReadError::Magic),
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(ReadError::Magic);
    }
    let version = digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    match is_valkey {
        false if (1..=format::VERSION_READ_MAX).contains(&version) => Ok(Version::Redis(version)),
        true if version == format::VALKEY_VERSION => Ok(Version::Valkey(version)),
        _ => Err(ReadError::Version(version)),
    }
}

/// Sums up and counts what is read.
#[derive(Debug)]
struct Summed<R> {
    inner: R,
    sum: Crc64,
    bytes: u64,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.sum.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}
