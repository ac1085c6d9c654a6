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
use perilune_keyspace::{Hash, List, Set, Value, ZSet};
use std::io;

/// Writes a value without the type byte that stands before its key.
pub(crate) fn write_value(value: &Value, out: &mut impl Output) -> io::Result<()> {
    match value {
        Value::Int(int) => write_int(out, *int),
        Value::Str(text) => write_string(out, text),
        Value::Raw(text) => write_string(out, text),
        Value::List(list) => write_list(list, out),
        Value::Hash(hash) => write_hash(hash, out),
        Value::Set(set) => write_set(set, out),
        Value::ZSet(zset) => write_zset(zset, out),
        Value::Stream(stream) => write_stream(stream, out),
    }
}

/// The type byte of a value.
pub(crate) fn type_of(value: &Value) -> u8 {
    match value {
        Value::Int(_) | Value::Str(_) | Value::Raw(_) => kind::STRING,
        Value::List(_) => kind::LIST_QUICKLIST_2,
        Value::Hash(hash) if hash.as_listpack().is_some() => kind::HASH_LISTPACK,
        Value::Hash(_) => kind::HASH,
        Value::Set(set) if set.as_intset().is_some() => kind::SET_INTSET,
        Value::Set(set) if set.as_listpack().is_some() => kind::SET_LISTPACK,
        Value::Set(_) => kind::SET,
        Value::ZSet(zset) if zset.as_listpack().is_some() => kind::ZSET_LISTPACK,
        Value::ZSet(_) => kind::ZSET_2,
        Value::Stream(_) => kind::STREAM_LISTPACKS_3,
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
