//! Commands on streams and consumer groups.
//!
//! - `append`: adding, trimming and deleting entries; `trim` reads the options of trimming.
//! - `range`: reading by id.
//! - `read`: `XREAD` and `XREADGROUP`, which may wait.
//! - `group`: making and removing groups and consumers.
//! - `pending`: what was delivered and not acknowledged; `claim` gives it to somebody else.
//! - `info`: what a stream and its groups look like.
//! - `id` reads ids; `effects` says what reading in groups came to.

pub(crate) mod append;
pub(crate) mod claim;
mod effects;
pub(crate) mod group;
mod id;
pub(crate) mod info;
pub(crate) mod pending;
pub(crate) mod range;
pub(crate) mod read;
#[cfg(test)]
mod tests;
mod trim;

use crate::reply::bulk_value;
use perilune_keyspace::StreamId;
use perilune_keyspace::stream::{ID_TEXT_MAX, StreamEntry};
use perilune_resp::ReplyWriter;

/// Writes an id as a bulk string.
fn write_id(out: &mut dyn ReplyWriter, id: StreamId) {
    out.bulk(id.as_text(&mut [0; ID_TEXT_MAX]));
}

/// Writes an entry: its id, and its fields and values in turn.
fn write_entry(out: &mut dyn ReplyWriter, entry: &StreamEntry<'_>) {
    out.array(2);
    write_id(out, entry.id());
    out.array(2 * entry.field_count());
    for (field, value) in entry.fields() {
        bulk_value(out, field);
        bulk_value(out, value);
    }
}

/// Writes a number, or null where it is not known.
fn write_known(out: &mut dyn ReplyWriter, number: Option<i64>) {
    match number {
        Some(number) => out.int(number),
        None => out.null(),
    }
}
