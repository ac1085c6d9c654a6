//! Reading values, the counterpart of `value`.
//!
//! A value is put into the encoding that the thresholds in force choose for it, not necessarily the
//! one it was written in.

use crate::decode::{read_array, read_byte, read_length, read_string};
use crate::error::ReadError;
use crate::format::{kind, node};
use crate::stream::read_stream;
use crate::ziplist;
use perilune_keyspace::zset::ZAdded;
use perilune_keyspace::{
    Bytes, EncodingLimits, Hash, Intset, List, Listpack, Set, SetEncoding, Value, ValueType, ZSet,
    canonical_int,
};
use std::io::Read;

/// Most elements for which room is made before they have come.
const TRUSTED_ELEMENTS: u64 = 4096;

const TWICE: ReadError = ReadError::Structure("an element is there twice");
const EMPTY_NODE: ReadError = ReadError::Structure("a node of a list is empty");
const NOT_A_ZIPLIST: ReadError = ReadError::Structure("a ziplist is malformed");
const NOT_A_SCORE: ReadError = ReadError::Structure("a score is not a number");

/// How much of a value is checked. Whatever is left out, nothing worse follows from it than wrong
/// answers about the value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// All of it.
    #[default]
    Full,
    /// All but whether the elements of a listpack are distinct.
    Structure,
}

/// Reads a value of the type that `type_byte` tells.
pub(crate) fn read_value(
    type_byte: u8,
    input: &mut impl Read,
    limits: &EncodingLimits,
    check: Check,
) -> Result<Value, ReadError> {
    Ok(match type_byte {
        kind::STRING => read_text(input)?,
        kind::LIST => read_elements(input, limits)?.into_value(),
        kind::LIST_QUICKLIST_2 => read_nodes(input, limits)?.into_value(),
        kind::SET => read_members(input, limits)?.into_value(),
        kind::SET_INTSET => read_intset(input, limits)?.into_value(),
        kind::SET_LISTPACK => read_set_listpack(input, limits, check)?.into_value(),
        kind::HASH => read_fields(input, limits)?.into_value(),
        kind::HASH_LISTPACK => hash_of(read_listpack(input)?, limits, check)?.into_value(),
        kind::ZSET => read_scored(input, limits, read_text_score)?.into_value(),
        kind::ZSET_2 => read_scored(input, limits, read_binary_score)?.into_value(),
        kind::ZSET_LISTPACK => zset_of(read_listpack(input)?, limits, check)?.into_value(),
        kind::HASH_ZIPMAP => read_zipmap_hash(input, limits)?.into_value(),
        kind::HASH_ZIPLIST => hash_of(read_ziplist(input)?, limits, check)?.into_value(),
        kind::LIST_ZIPLIST => {
            let mut list = List::builder(limits);
            read_ziplist(input)?.iter().for_each(|element| list.push(&element.to_vec()));
            list.finish().into_value()
        }
        kind::LIST_QUICKLIST => read_ziplist_nodes(input, limits)?.into_value(),
        kind::ZSET_ZIPLIST => zset_of(read_ziplist(input)?, limits, check)?.into_value(),
        kind::MODULE => return Err(ReadError::Module(read_length(input)?)),
        kind::STREAM_LISTPACKS | kind::STREAM_LISTPACKS_2 | kind::STREAM_LISTPACKS_3 => {
            read_stream(type_byte, input)?.into_value()
        }
        other => return Err(ReadError::Unsupported(other)),
    })
}

fn read_text(input: &mut impl Read) -> Result<Value, ReadError> {
    let text = read_string(input)?;
    Ok(canonical_int(&text).map_or_else(|| Value::Str(Bytes::from(text)), Value::Int))
}

/// A number of elements, of which there must be some.
fn read_count(input: &mut impl Read) -> Result<u64, ReadError> {
    match read_length(input)? {
        0 => Err(ReadError::Empty),
        count => Ok(count),
    }
}

fn room(count: u64) -> usize {
    count.min(TRUSTED_ELEMENTS) as usize
}

/// A listpack that is not empty.
fn read_listpack(input: &mut impl Read) -> Result<Listpack, ReadError> {
    let listpack = Listpack::from_bytes(read_string(input)?)?;
    if listpack.is_empty() { Err(ReadError::Empty) } else { Ok(listpack) }
}

fn read_elements(input: &mut impl Read, limits: &EncodingLimits) -> Result<List, ReadError> {
    let mut list = List::builder(limits);
    for _ in 0..read_count(input)? {
        list.push(&read_string(input)?);
    }
    Ok(list.finish())
}

fn read_nodes(input: &mut impl Read, limits: &EncodingLimits) -> Result<List, ReadError> {
    let mut list = List::builder(limits);
    for _ in 0..read_count(input)? {
        match read_length(input)? {
            node::PLAIN => match read_string(input)? {
                element if element.is_empty() => return Err(EMPTY_NODE),
                element => list.push_plain(element),
            },
            node::PACKED => list.push_listpack(Listpack::from_bytes(read_string(input)?)?),
            _ => return Err(ReadError::Structure("a list has a node of an unknown kind")),
        }
    }
    let list = list.finish();
    if list.is_empty() { Err(ReadError::Empty) } else { Ok(list) }
}

fn read_members(input: &mut impl Read, limits: &EncodingLimits) -> Result<Set, ReadError> {
    let count = read_count(input)?;
    let compact = room(count) <= limits.set_max_intset_entries;
    let mut set = Set::new(if compact { SetEncoding::Intset } else { SetEncoding::Table });
    for _ in 0..count {
        if !set.add(&read_string(input)?, limits) {
            return Err(TWICE);
        }
    }
    Ok(set)
}

fn read_intset(input: &mut impl Read, limits: &EncodingLimits) -> Result<Set, ReadError> {
    let members = Intset::from_bytes(read_string(input)?)?;
    if members.is_empty() {
        return Err(ReadError::Empty);
    }
    let fits = members.len() <= limits.set_max_intset_entries;
    let set = Set::from_intset(members);
    Ok(if fits { set } else { in_table(&set, limits) })
}

fn read_set_listpack(
    input: &mut impl Read,
    limits: &EncodingLimits,
    check: Check,
) -> Result<Set, ReadError> {
    let members = read_listpack(input)?;
    let set = match check {
        Check::Full => Set::from_listpack(members).ok_or(TWICE)?,
        Check::Structure => Set::from_trusted_listpack(members),
    };
    let fits = set.len() <= limits.set_max_listpack_entries;
    Ok(if fits { set } else { in_table(&set, limits) })
}

/// The set in its largest encoding.
fn in_table(set: &Set, limits: &EncodingLimits) -> Set {
    let mut table = Set::new(SetEncoding::Table);
    for member in set.iter() {
        table.add_value(member, limits);
    }
    table
}

fn read_fields(input: &mut impl Read, limits: &EncodingLimits) -> Result<Hash, ReadError> {
    let count = read_count(input)?;
    let mut hash = Hash::with_capacity(room(count), limits);
    for _ in 0..count {
        let (name, value) = (read_string(input)?, read_string(input)?);
        if !hash.set(&name, &value, limits) {
            return Err(TWICE);
        }
    }
    Ok(hash)
}

fn hash_of(words: Listpack, limits: &EncodingLimits, check: Check) -> Result<Hash, ReadError> {
    let hash = match check {
        Check::Full => Hash::from_listpack(words),
        Check::Structure => Hash::from_trusted_listpack(words),
    };
    let hash = hash.ok_or(ReadError::Structure("a hash is malformed"))?;
    if hash.len() <= limits.hash_max_listpack_entries {
        return Ok(hash);
    }
    let mut table = Hash::with_capacity(hash.len(), limits);
    for (name, value) in hash.iter() {
        table.set(&name.to_vec(), &value.to_vec(), limits);
    }
    Ok(table)
}

fn zset_of(pairs: Listpack, limits: &EncodingLimits, check: Check) -> Result<ZSet, ReadError> {
    let zset = match check {
        Check::Full => ZSet::from_listpack(pairs, limits),
        Check::Structure => ZSet::from_trusted_listpack(pairs, limits),
    };
    zset.ok_or(ReadError::Structure("a sorted set is malformed"))
}

/// A ziplist that is not empty, as a listpack.
fn read_ziplist(input: &mut impl Read) -> Result<Listpack, ReadError> {
    let listpack = ziplist::read_ziplist(&read_string(input)?).ok_or(NOT_A_ZIPLIST)?;
    if listpack.is_empty() { Err(ReadError::Empty) } else { Ok(listpack) }
}

/// The nodes of a list as Redis wrote them before 7.0: ziplists, some of which may be empty.
fn read_ziplist_nodes(input: &mut impl Read, limits: &EncodingLimits) -> Result<List, ReadError> {
    let mut list = List::builder(limits);
    for _ in 0..read_count(input)? {
        match read_ziplist(input) {
            Ok(node) => list.push_listpack(node),
            Err(ReadError::Empty) => {}
            Err(error) => return Err(error),
        }
    }
    let list = list.finish();
    if list.is_empty() { Err(ReadError::Empty) } else { Ok(list) }
}

fn read_zipmap_hash(input: &mut impl Read, limits: &EncodingLimits) -> Result<Hash, ReadError> {
    let bytes = read_string(input)?;
    let words =
        ziplist::read_zipmap(&bytes).ok_or(ReadError::Structure("a zipmap is malformed"))?;
    if words.is_empty() {
        return Err(ReadError::Empty);
    }
    let mut hash = Hash::with_capacity(words.len() / 2, limits);
    for pair in words.chunks_exact(2) {
        if !hash.set(pair[0], pair[1], limits) {
            return Err(TWICE);
        }
    }
    Ok(hash)
}

fn read_scored<R: Read>(
    input: &mut R,
    limits: &EncodingLimits,
    read_score: fn(&mut R) -> Result<f64, ReadError>,
) -> Result<ZSet, ReadError> {
    let count = read_count(input)?;
    let mut next = || {
        let (member, score) = (read_string(input)?, read_score(input)?);
        if score.is_nan() { Err(NOT_A_SCORE) } else { Ok((member, score)) }
    };
    let mut zset = ZSet::with_hint(room(count), 0, limits);
    let add = |zset: &mut ZSet, (member, score): (Vec<u8>, f64)| {
        let added = zset.add(&member, score, limits) == ZAdded::Added;
        if added { Ok(()) } else { Err(TWICE) }
    };
    if zset.as_listpack().is_none() {
        (0..count).try_for_each(|_| add(&mut zset, next()?))?;
        return Ok(zset);
    }
    // Few members: the longest decides about the encoding before the first is added, because a
    // listpack does not tell -0 from 0.
    let pairs = (0..count).map(|_| next()).collect::<Result<Vec<_>, ReadError>>()?;
    let longest = pairs.iter().map(|(member, _)| member.len()).max().unwrap_or(0);
    zset = ZSet::with_hint(pairs.len(), longest, limits);
    pairs.into_iter().try_for_each(|pair| add(&mut zset, pair))?;
    Ok(zset)
}

fn read_binary_score<R: Read>(input: &mut R) -> Result<f64, ReadError> {
    read_array(input).map(f64::from_le_bytes)
}

/// A score as text of at most 252 bytes; greater lengths stand for values that have no text.
fn read_text_score<R: Read>(input: &mut R) -> Result<f64, ReadError> {
    match read_byte(input)? {
        255 => Ok(f64::NEG_INFINITY),
        254 => Ok(f64::INFINITY),
        253 => Err(NOT_A_SCORE),
        len => {
            let mut text = [0; 252];
            let text = &mut text[..usize::from(len)];
            input.read_exact(text)?;
            std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(NOT_A_SCORE)
        }
    }
}
