//! `perilune check-rdb`: reads a snapshot file as the server would and tells what is in it, or what
//! is wrong with it and where.
//!
//! Keys are dropped soon after they were read, so the file may be larger than the memory.

use perilune_keyspace::Keyspace;
use perilune_rdb::{ReadError, ReadOptions, SnapshotReader, Version, Writer, structure_name};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Databases that a file may use.
const DATABASES: usize = 1 << 16;

/// Keys kept at once.
const KEYS_MAX: usize = 1 << 14;

/// Reads the file and writes what there is to tell about it. False when something is wrong with it.
pub fn check(path: &Path, out: &mut dyn Write) -> io::Result<bool> {
    writeln!(out, "[offset 0] Checking RDB file {}", path.display())?;
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => {
            writeln!(out, "Cannot open file {}: {error}", path.display())?;
            return Ok(false);
        }
    };
    check_input(BufReader::new(file), out)
}

fn check_input(input: impl Read, out: &mut dyn Write) -> io::Result<bool> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let options = ReadOptions {
        now_s: now.as_secs() as u32,
        expired_at_ms: i64::try_from(now.as_millis()).ok(),
        ..ReadOptions::default()
    };
    let mut reader = match SnapshotReader::new(input, options) {
        Ok(reader) => reader,
        Err(error) => {
            describe(out, 0, &error)?;
            return Ok(false);
        }
    };
    let outcome = read_all(&mut reader, out)?;
    let offset = reader.bytes_read();
    if let Err(error) = &outcome {
        describe(out, offset, error)?;
        if let Some((kind, key)) = reader.current_key() {
            writeln!(out, "[additional info] Reading key '{}'", key.escape_ascii())?;
            writeln!(out, "[additional info] Reading type {kind} ({})", structure_name(kind))?;
        }
    } else {
        writeln!(
            out,
            "[offset {offset}] {}",
            match reader.loaded().is_checksummed {
                true => "Checksum OK",
                false => "RDB file was saved with checksum disabled: no check performed.",
            }
        )?;
        writeln!(out, "[offset {offset}] \\o/ RDB looks OK! \\o/")?;
    }
    let loaded = reader.loaded();
    writeln!(out, "[info] {} keys read", loaded.keys + loaded.expired)?;
    writeln!(out, "[info] {} expires", loaded.volatile + loaded.expired)?;
    writeln!(out, "[info] {} already expired", loaded.expired)?;
    writeln!(out, "[info] {} function libraries", loaded.libraries.len())?;
    Ok(outcome.is_ok())
}

fn read_all<R: Read>(
    reader: &mut SnapshotReader<R>,
    out: &mut dyn Write,
) -> io::Result<Result<(), ReadError>> {
    let version = match reader.version() {
        Version::Redis(version) => format!("version {version}"),
        Version::Valkey(version) => format!("version {version} of Valkey"),
    };
    writeln!(out, "[offset {}] The format is {version}", reader.bytes_read())?;
    let mut keyspace = Keyspace::new(DATABASES);
    let (mut facts_told, mut kept) = (false, 0);
    loop {
        let more = match reader.step(&mut keyspace) {
            Ok(more) => more,
            Err(error) => return Ok(Err(error)),
        };
        if !facts_told {
            tell_facts(&reader.loaded().writer, out)?;
            facts_told = true;
        }
        if !more {
            return Ok(Ok(()));
        }
        kept += 1;
        if kept >= KEYS_MAX {
            keyspace = Keyspace::new(DATABASES);
            kept = 0;
        }
    }
}

/// What the writer told of itself.
fn tell_facts(writer: &Writer, out: &mut dyn Write) -> io::Result<()> {
    let facts = [
        ("redis-ver", writer.redis_version.clone()),
        ("valkey-ver", writer.valkey_version.clone()),
        ("ctime", writer.now_s.map(|number| number.to_string())),
        ("used-mem", writer.used_memory.map(|number| number.to_string())),
        ("aof-base", writer.aof_base.then(|| "1".to_owned())),
    ];
    for (name, value) in facts {
        if let Some(value) = value {
            writeln!(out, "[info] AUX FIELD {name} = '{}'", value.escape_debug())?;
        }
    }
    Ok(())
}

fn describe(out: &mut dyn Write, offset: u64, error: &ReadError) -> io::Result<()> {
    writeln!(out, "--- RDB ERROR DETECTED ---")?;
    let text = match error {
        ReadError::Magic => "Wrong signature trying to load DB from file".to_owned(),
        ReadError::Version(version) => format!("Can't handle RDB format version {version}"),
        ReadError::Checksum { .. } => format!("RDB CRC error: {error}"),
        ReadError::Truncated => "Unexpected EOF reading RDB file".to_owned(),
        error => error.to_string(),
    };
    writeln!(out, "[offset {offset}] {text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use perilune_keyspace::Value;
    use perilune_rdb::{Meta, write_snapshot};

    fn snapshot() -> Vec<u8> {
        let mut keyspace = Keyspace::new(1);
        for (key, at) in [(&b"a"[..], None), (b"b", Some(5)), (b"c", Some(i64::MAX - 1))] {
            keyspace.db_mut(0).insert(key, Value::Int(0), 0);
            keyspace.db_mut(0).set_expire(key, at);
        }
        let mut file = Vec::new();
        let codes = std::iter::once(&b"#!lua name=x"[..]);
        write_snapshot(&keyspace, codes, &Meta::default(), &mut file).expect("written");
        file
    }

    fn checked(bytes: &[u8]) -> (bool, String) {
        let mut out = Vec::new();
        let sound = check_input(bytes, &mut out).expect("written");
        (sound, String::from_utf8(out).expect("text"))
    }

    #[test]
    fn a_sound_file_is_counted() {
        let (sound, text) = checked(&snapshot());
        assert!(sound && text.contains("Checksum OK"), "{text}");
        let counts = "[info] 3 keys read\n[info] 2 expires\n[info] 1 already expired\n[info] 1 fun";
        assert!(text.contains(counts), "{text}");
    }

    #[test]
    fn what_is_wrong_is_told() {
        let mut file = snapshot();
        let last = file.len() - 1;
        file[last] ^= 1;
        let (sound, text) = checked(&file);
        assert!(!sound && text.contains("--- RDB ERROR DETECTED ---"), "{text}");
        assert!(text.contains("RDB CRC error"), "{text}");
        file[last - 7..].fill(0);
        assert!(checked(&file).1.contains("saved with checksum disabled"));
        assert!(checked(&file[..last - 9]).1.contains("Unexpected EOF"));
        assert!(checked(b"nonsense!").1.contains("Wrong signature"));
        assert!(checked(b"REDIS0099").1.contains("Can't handle RDB format version 99"));
    }
}
