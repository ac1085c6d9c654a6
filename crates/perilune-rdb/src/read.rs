//! Reading a snapshot.

use crate::crc64::Crc64;
use crate::decode::{read_array, read_byte, read_length, read_string};
use crate::error::ReadError;
use crate::format::{MAGIC, STREAM_DB, VERSION, VERSION_WITH_CHECKSUM, opcode};
use crate::read_value::read_value;
use perilune_keyspace::{EncodingLimits, Keyspace};
use std::io::{self, Read};

/// How a snapshot is to be read.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions {
    /// The thresholds that choose encodings.
    pub limits: EncodingLimits,
    /// Unix time in seconds, as of which idle times are counted.
    pub now_s: u32,
    /// Keys whose time was up at this Unix time in milliseconds are left out.
    pub expired_at_ms: Option<i64>,
}

/// What a snapshot held besides its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The codes of the function libraries.
    pub libraries: Vec<Vec<u8>>,
    /// Database that the replication stream behind the snapshot has selected.
    pub stream_db: Option<usize>,
    /// Number of keys taken over.
    pub keys: usize,
    /// Number of keys left out because their time was up.
    pub expired: usize,
    /// Number of keys left out because their values had no elements.
    pub empty: usize,
}

/// Reads a snapshot into a keyspace, to its end and no further. After an error the keyspace holds
/// the keys read until then. Access counters of the LFU policies are passed over.
///
/// The input is read in small pieces, so it should be buffered.
pub fn read_snapshot(
    input: &mut impl Read,
    keyspace: &mut Keyspace,
    options: &ReadOptions,
) -> Result<Loaded, ReadError> {
    let mut input = Summed { inner: input, sum: Crc64::new() };
    let version = read_header(&mut input)?;
    let mut reader = Reader { keyspace, options, index: 0, loaded: Loaded::default() };
    while let Some(key) = reader.read_until_key(&mut input)? {
        reader.read_key(&mut input, &key)?;
    }
    if version >= VERSION_WITH_CHECKSUM {
        let sum = input.sum.value();
        let stored = u64::from_le_bytes(read_array(&mut input)?);
        // Zero is what a writer that was told not to sum up leaves there.
        if stored != 0 && stored != sum {
            return Err(ReadError::Checksum);
        }
    }
    Ok(reader.loaded)
}

/// The version.
fn read_header(input: &mut impl Read) -> Result<u32, ReadError> {
    if read_array(input)? != *MAGIC {
        return Err(ReadError::Magic);
    }
    let digits: [u8; 4] = read_array(input)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(ReadError::Magic);
    }
    let version = digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    if (1..=VERSION.into()).contains(&version) {
        Ok(version)
    } else {
        Err(ReadError::Version(version))
    }
}

struct Reader<'a> {
    keyspace: &'a mut Keyspace,
    options: &'a ReadOptions,
    /// The database that keys belong to.
    index: usize,
    loaded: Loaded,
}

/// What is told about a key before its name.
#[derive(Default)]
struct KeyHeader {
    kind: u8,
    expire_at_ms: Option<i64>,
    idle_s: u64,
}

impl Reader<'_> {
    /// Reads on to the next key, or to the end.
    fn read_until_key(&mut self, input: &mut impl Read) -> Result<Option<KeyHeader>, ReadError> {
        let mut key = KeyHeader::default();
        loop {
            match read_byte(input)? {
                opcode::EOF => return Ok(None),
                opcode::AUX => {
                    let (name, value) = (read_string(input)?, read_string(input)?);
                    if name == STREAM_DB {
                        let db = std::str::from_utf8(&value).ok().and_then(|db| db.parse().ok());
                        self.loaded.stream_db = db.filter(|db| *db < self.keyspace.count());
                    }
                }
                opcode::FUNCTION2 => self.loaded.libraries.push(read_string(input)?),
                opcode::SELECT_DB => {
                    let index = read_length(input)?;
                    self.index = usize::try_from(index)
                        .ok()
                        .filter(|index| *index < self.keyspace.count())
                        .ok_or(ReadError::Database(index))?;
                }
                opcode::RESIZE_DB => {
                    read_length(input)?;
                    read_length(input)?;
                }
                opcode::EXPIRE_MS => {
                    key.expire_at_ms = Some(i64::from_le_bytes(read_array(input)?));
                }
                opcode::EXPIRE_S => {
                    let seconds = i32::from_le_bytes(read_array(input)?);
                    key.expire_at_ms = Some(i64::from(seconds) * 1000);
                }
                opcode::IDLE => key.idle_s = read_length(input)?,
                opcode::FREQUENCY => _ = read_byte(input)?,
                kind => return Ok(Some(KeyHeader { kind, ..key })),
            }
        }
    }

    fn read_key(&mut self, input: &mut impl Read, header: &KeyHeader) -> Result<(), ReadError> {
        let name = read_string(input)?;
        let value = match read_value(header.kind, input, &self.options.limits) {
            // The input goes on behind it; Redis itself has written such values.
            Err(ReadError::Empty) => {
                self.loaded.empty += 1;
                return Ok(());
            }
            value => value?,
        };
        if let (Some(at), Some(now)) = (header.expire_at_ms, self.options.expired_at_ms)
            && at < now
        {
            self.loaded.expired += 1;
            return Ok(());
        }
        let idle_s = u32::try_from(header.idle_s).unwrap_or(u32::MAX);
        let last_access_s = self.options.now_s.saturating_sub(idle_s);
        let db = self.keyspace.db_mut(self.index);
        if db.insert(&name, value, last_access_s).is_some() {
            return Err(ReadError::DuplicateKey(name));
        }
        if header.expire_at_ms.is_some() {
            db.set_expire(&name, header.expire_at_ms);
        }
        self.loaded.keys += 1;
        Ok(())
    }
}

/// Sums up what is read.
struct Summed<R> {
    inner: R,
    sum: Crc64,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.sum.update(&buffer[..read]);
        Ok(read)
    }
}
