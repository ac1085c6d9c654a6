//! The data of a server: the dictionary, every value type with its encodings, and the databases.
//!
//! This crate reads no clock (every operation that depends on time takes it as an argument, in
//! milliseconds since the Unix epoch), does no I/O, writes no log and knows no protocol.

mod bytes;
mod db;
mod deadlines;
mod entry;
mod hash;
mod hashtable;
pub mod hyperloglog;
mod intset;
mod keyspace;
mod limits;
pub mod list;
pub mod listpack;
pub mod lzf;
pub mod pick;
mod preserve;
mod release;
mod rng;
mod set;
mod slim;
pub mod stream;
mod thin;
mod value;
pub mod zset;

pub use bytes::{Bytes, INLINE_MAX};
pub use db::Db;
pub use entry::KeyEntry;
pub use hash::{Hash, HashIter};
pub use hashtable::{ArrayStatistics, Entry, HashTable, hash_bytes};
pub use intset::{Intset, IntsetError};
pub use keyspace::{Keyspace, Step};
pub use limits::EncodingLimits;
pub use list::{End, List};
pub use listpack::{Listpack, LpPos, LpValue};
pub use preserve::{EntrySink, SharedSink};
pub use release::{Release, Whole};
pub use rng::Rng;
pub use set::{Set, SetEncoding, SetIter};
pub use slim::{Pointer, Slim};
pub use stream::{Stream, StreamId};
pub use value::{Value, ValueRef, ValueType, canonical_int};
pub use zset::ZSet;
