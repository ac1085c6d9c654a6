//! What can be wrong with a snapshot or a payload.

use crate::format::foreign_name;
use perilune_keyspace::IntsetError;
use perilune_keyspace::listpack::LpError;
use perilune_keyspace::stream::PartsError;
use std::{fmt, io};

/// Why something could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The reader failed.
    Io(io::Error),
    /// The input ends too early.
    Truncated,
    /// It does not begin like a snapshot.
    Magic,
    /// The version of the format is not one that is read.
    Version(u32),
    /// The checksum does not match.
    Checksum {
        /// The one that is there.
        stored: u64,
        /// The one that should be.
        computed: u64,
    },
    /// The footer of a payload does not fit.
    Footer,
    /// A type of value or a kind of record that is not read, by its number.
    Unsupported(u8),
    /// A function in a format that no release has used.
    PreGaFunction,
    /// Data of the module with this number.
    Module(u64),
    /// A length or a string is malformed.
    Encoding,
    /// A structure is malformed in the way told.
    Structure(&'static str),
    /// A list, hash, set or sorted set without elements, which no key may hold.
    Empty,
    /// A key that is there already.
    DuplicateKey(Vec<u8>),
    /// A database beyond those that exist.
    Database(u64),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Truncated => f.write_str("the input ends too early"),
            Self::Magic => f.write_str("wrong signature"),
            Self::Version(version) => write!(f, "format version {version} cannot be read"),
            Self::Checksum { stored, computed } => {
                write!(f, "wrong checksum: expected {computed:016x} but got {stored:016x}")
            }
            Self::Footer => f.write_str("wrong version or checksum"),
            Self::PreGaFunction => f.write_str("pre-release function format is not supported"),
            Self::Module(id) => {
                write!(f, "data of the module '{}', which is not there", module_name(*id))
            }
            Self::Unsupported(byte) => {
                write!(f, "{} (type {byte}) cannot be read", foreign_name(*byte))
            }
            Self::Encoding => f.write_str("a length or string is malformed"),
            Self::Structure(what) => f.write_str(what),
            Self::Empty => f.write_str("a value has no elements"),
            Self::DuplicateKey(key) => write!(f, "key \"{}\" is there twice", key.escape_ascii()),
            Self::Database(index) => write!(f, "there is no database {index}"),
        }
    }
}

/// The name in a module's number: nine characters of six bits, above ten bits of version.
fn module_name(id: u64) -> String {
    const CHARACTERS: &[u8; 64] =
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..9).map(|place| char::from(CHARACTERS[(id >> (58 - 6 * place)) as usize & 63])).collect()
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Io(error),
        }
    }
}

impl From<LpError> for ReadError {
    fn from(_: LpError) -> Self {
        Self::Structure("a listpack is malformed")
    }
}

impl From<IntsetError> for ReadError {
    fn from(_: IntsetError) -> Self {
        Self::Structure("an intset is malformed")
    }
}

impl From<PartsError> for ReadError {
    fn from(error: PartsError) -> Self {
        Self::Structure(error.text())
    }
}
