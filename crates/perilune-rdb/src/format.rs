//! The numbers of the format: opcodes, types of values, kinds of strings.

/// Version of the format that is written.
pub const VERSION: u16 = 11;

/// Newest version of Redis' format that is read.
pub(crate) const VERSION_READ_MAX: u32 = 12;

/// Version of Valkey's own format that is read.
pub(crate) const VALKEY_VERSION: u32 = 80;

/// Version of Redis whose format this is, as snapshots tell it.
pub const REDIS_VERSION: &str = "7.2.4";

/// First version that ends in a checksum.
pub(crate) const VERSION_WITH_CHECKSUM: u32 = 5;

/// First bytes of a snapshot, before four digits of version.
pub(crate) const MAGIC: &[u8; 5] = b"REDIS";

/// First bytes of a snapshot in Valkey's own format, before three digits of version.
pub(crate) const VALKEY_MAGIC: &[u8; 6] = b"VALKEY";

/// Whether a file that begins like this is a snapshot.
pub fn begins_snapshot(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC) || bytes.starts_with(VALKEY_MAGIC)
}

/// Name of the fact that tells the database which the replication stream has selected.
pub(crate) const STREAM_DB: &[u8] = b"repl-stream-db";
/// Name of the fact that tells the id of the replication stream.
pub(crate) const STREAM_ID: &[u8] = b"repl-id";
/// Name of the fact that tells how much of the replication stream there was.
pub(crate) const STREAM_OFFSET: &[u8] = b"repl-offset";

/// What follows is not a key but something about the snapshot or the next key.
pub(crate) mod opcode {
    /// A slot that is being imported by a cluster of Valkey since 9.0; not read.
    pub(crate) const SLOT_IMPORT: u8 = 243;
    pub(crate) const SLOT_INFO: u8 = 244;
    pub(crate) const FUNCTION2: u8 = 245;
    pub(crate) const FUNCTION_PRE_GA: u8 = 246;
    pub(crate) const MODULE_AUX: u8 = 247;
    pub(crate) const IDLE: u8 = 248;
    pub(crate) const FREQUENCY: u8 = 249;
    pub(crate) const AUX: u8 = 250;
    pub(crate) const RESIZE_DB: u8 = 251;
    pub(crate) const EXPIRE_MS: u8 = 252;
    pub(crate) const EXPIRE_S: u8 = 253;
    pub(crate) const SELECT_DB: u8 = 254;
    pub(crate) const EOF: u8 = 255;
}

/// Type and encoding of a value.
pub(crate) mod kind {
    pub(crate) const STRING: u8 = 0;
    /// Elements one by one, as early versions of Redis wrote every list.
    pub(crate) const LIST: u8 = 1;
    pub(crate) const SET: u8 = 2;
    /// Scores as text, as early versions of Redis wrote them.
    pub(crate) const ZSET: u8 = 3;
    pub(crate) const HASH: u8 = 4;
    pub(crate) const ZSET_2: u8 = 5;
    pub(crate) const MODULE: u8 = 7;
    /// The small structures of Redis before 7.0, which are not written.
    pub(crate) const HASH_ZIPMAP: u8 = 9;
    pub(crate) const LIST_ZIPLIST: u8 = 10;
    pub(crate) const SET_INTSET: u8 = 11;
    pub(crate) const ZSET_ZIPLIST: u8 = 12;
    pub(crate) const HASH_ZIPLIST: u8 = 13;
    pub(crate) const LIST_QUICKLIST: u8 = 14;
    /// A stream without what it once held, as Redis before 7.0 wrote it.
    pub(crate) const STREAM_LISTPACKS: u8 = 15;
    pub(crate) const HASH_LISTPACK: u8 = 16;
    pub(crate) const ZSET_LISTPACK: u8 = 17;
    pub(crate) const LIST_QUICKLIST_2: u8 = 18;
    /// A stream without the times when its consumers got something, as Redis 7.0 wrote it.
    pub(crate) const STREAM_LISTPACKS_2: u8 = 19;
    pub(crate) const SET_LISTPACK: u8 = 20;
    pub(crate) const STREAM_LISTPACKS_3: u8 = 21;
    /// Hashes whose fields expire, which are not read: of Valkey since 9.0 (the number was used by
    /// releases of Redis that were no final ones), then of Redis since 7.4 to the last.
    pub(crate) const HASH_EXPIRING_FIRST: u8 = 22;
    pub(crate) const HASH_EXPIRING_LAST: u8 = 25;
}

/// What it is that has a number which is not read, for messages.
pub(crate) fn foreign_name(number: u8) -> &'static str {
    match number {
        kind::HASH_EXPIRING_FIRST..=kind::HASH_EXPIRING_LAST => "a hash whose fields expire",
        opcode::SLOT_IMPORT => "the import of a slot",
        _ => "a value or record of unknown kind",
    }
}

/// What a value of the given type is made of, for messages.
pub fn structure_name(type_byte: u8) -> &'static str {
    match type_byte {
        kind::STRING => "String",
        kind::LIST => "List",
        kind::SET => "Set",
        kind::ZSET | kind::ZSET_2 => "Zset",
        kind::HASH => "Hash",
        kind::HASH_ZIPMAP => "Zipmap",
        kind::LIST_ZIPLIST => "Ziplist",
        kind::SET_INTSET => "Intset",
        kind::ZSET_ZIPLIST => "Zset ziplist",
        kind::HASH_ZIPLIST => "Hash ziplist",
        kind::LIST_QUICKLIST | kind::LIST_QUICKLIST_2 => "Quicklist",
        kind::HASH_LISTPACK => "Hash listpack",
        kind::ZSET_LISTPACK => "Zset listpack",
        kind::SET_LISTPACK => "Set listpack",
        kind::STREAM_LISTPACKS | kind::STREAM_LISTPACKS_2 | kind::STREAM_LISTPACKS_3 => {
            "Stream listpack"
        }
        kind::HASH_EXPIRING_FIRST..=kind::HASH_EXPIRING_LAST => "Hash with expiring fields",
        _ => "Value",
    }
}

/// How a node of a list is stored.
pub(crate) mod node {
    pub(crate) const PLAIN: u64 = 1;
    pub(crate) const PACKED: u64 = 2;
}

/// The first byte of a length, or of a string that is not stored as length and bytes.
pub(crate) mod length {
    pub(crate) const BITS_14: u16 = 0x4000;
    pub(crate) const BITS_32: u8 = 0x80;
    pub(crate) const BITS_64: u8 = 0x81;
    pub(crate) const INT8: u8 = 0xC0;
    pub(crate) const INT16: u8 = 0xC1;
    pub(crate) const INT32: u8 = 0xC2;
    pub(crate) const LZF: u8 = 0xC3;
}
