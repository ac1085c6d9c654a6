//! Values: a type byte, which also tells the encoding, and what the encoding consists of.
//!
//! ```text
//! string                          the string
//! list                            number of nodes; each: kind, listpack or element as a string
//! intset, listpack                the bytes of the structure as a string
//! set in a table                  number of members, the members
//! hash in a table                 number of fields; each: name, value
//! sorted set with an index        number of members; each: name, score as eight bytes
//! stream                          see `stream`
//! ```

use crate::encode::{
    Output, write_compressed, write_element, write_int, write_length, write_string,
};
use crate::format::{kind, node};
use crate::stream::write_stream;
use perilune_keyspace::list::ListNode;
use perilune_keyspace::{Hash, List, Set, ValueRef, ZSet};
use std::io;

/// Writes a value without the type byte that stands before its key.
pub(crate) fn write_value(value: ValueRef<'_>, out: &mut impl Output) -> io::Result<()> {
    match value {
        ValueRef::Int(int) => write_int(out, int),
        ValueRef::Str(text) => write_string(out, text),
        ValueRef::Raw(text) => write_string(out, text),
        ValueRef::List(list) => write_list(list, out),
        ValueRef::Hash(hash) => write_hash(hash, out),
        ValueRef::Set(set) => write_set(set, out),
        ValueRef::ZSet(zset) => write_zset(zset, out),
        ValueRef::Stream(stream) => write_stream(stream, out),
    }
}

/// The type byte of a value.
pub(crate) fn type_of(value: ValueRef<'_>) -> u8 {
    match value {
        ValueRef::Int(_) | ValueRef::Str(_) | ValueRef::Raw(_) => kind::STRING,
        ValueRef::List(_) => kind::LIST_QUICKLIST_2,
        ValueRef::Hash(hash) if hash.as_listpack().is_some() => kind::HASH_LISTPACK,
        ValueRef::Hash(_) => kind::HASH,
        ValueRef::Set(set) if set.as_intset().is_some() => kind::SET_INTSET,
        ValueRef::Set(set) if set.as_listpack().is_some() => kind::SET_LISTPACK,
        ValueRef::Set(_) => kind::SET,
        ValueRef::ZSet(zset) if zset.as_listpack().is_some() => kind::ZSET_LISTPACK,
        ValueRef::ZSet(_) => kind::ZSET_2,
        ValueRef::Stream(_) => kind::STREAM_LISTPACKS_3,
    }
}

fn write_list(list: &List, out: &mut impl Output) -> io::Result<()> {
    write_length(out, list.nodes().count() as u64)?;
    for list_node in list.nodes() {
        match list_node {
            ListNode::Packed(elements) => {
                write_length(out, node::PACKED)?;
                write_string(out, elements.as_bytes())?;
            }
            ListNode::Lzf { data, size } => {
                write_length(out, node::PACKED)?;
                write_compressed(out, data, size)?;
            }
            ListNode::Plain(element) => {
                write_length(out, node::PLAIN)?;
                write_string(out, element)?;
            }
        }
    }
    Ok(())
}

fn write_hash(hash: &Hash, out: &mut impl Output) -> io::Result<()> {
    if let Some(words) = hash.as_listpack() {
        return write_string(out, words.as_bytes());
    }
    write_length(out, hash.len() as u64)?;
    for (name, value) in hash.iter() {
        write_element(out, name)?;
        write_element(out, value)?;
    }
    Ok(())
}

fn write_set(set: &Set, out: &mut impl Output) -> io::Result<()> {
    if let Some(members) = set.as_intset() {
        return write_string(out, members.as_bytes());
    }
    if let Some(members) = set.as_listpack() {
        return write_string(out, members.as_bytes());
    }
    write_length(out, set.len() as u64)?;
    for member in set.iter() {
        write_element(out, member)?;
    }
    Ok(())
}

fn write_zset(zset: &ZSet, out: &mut impl Output) -> io::Result<()> {
    if let Some(pairs) = zset.as_listpack() {
        return write_string(out, pairs.as_bytes());
    }
    write_length(out, zset.len() as u64)?;
    // Greatest first: a skip list is loaded fastest when each member goes before all others.
    for scored in zset.range(0..zset.len(), true) {
        write_element(out, scored.member)?;
        out.write_all(&scored.score.to_le_bytes())?;
    }
    Ok(())
}
