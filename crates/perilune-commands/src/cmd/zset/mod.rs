//! Commands on sorted sets.
//!
//! - `members`: adding, removing and asking for single members.
//! - `ranges`: reading and storing ranges by rank, score or name; `bounded` counts and removes
//!   them; `bounds` reads what delimits them.
//! - `algebra`: union, intersection and difference, of plain sets too.
//! - `pop`: taking from either end, waiting for something to take where asked to.
//! - `visit`: random picks and the scan.
//!
//! A sorted set that loses its last member is removed with its key, so no handler leaves an empty
//! one behind.

pub(crate) mod algebra;
pub(crate) mod bounded;
mod bounds;
pub(crate) mod members;
pub(crate) mod pop;
pub(crate) mod ranges;
#[cfg(test)]
mod tests;
pub(crate) mod visit;

use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use perilune_keyspace::{ValueType, ZSet};
use perilune_resp::{Protocol, ReplyWriter};

/// How members stand in a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// Names only.
    Names,
    /// Each name followed by its score.
    Flat,
    /// An array of name and score for each member. Not a map, because the order matters.
    Pairs,
}

impl Layout {
    /// The layout of a reply that may have scores: RESP3 pairs them, RESP2 cannot tell.
    fn of(with_scores: bool, out: &dyn ReplyWriter) -> Layout {
        match out.protocol() {
            _ if !with_scores => Layout::Names,
            Protocol::Resp3 => Layout::Pairs,
            Protocol::Resp2 => Layout::Flat,
        }
    }

    /// Announces an array of so many members.
    fn begin(self, members: usize, out: &mut dyn ReplyWriter) {
        out.array(if self == Layout::Flat { 2 * members } else { members });
    }

    /// Writes a member; `name` writes its name.
    fn member(
        self,
        score: f64,
        out: &mut dyn ReplyWriter,
        name: impl FnOnce(&mut dyn ReplyWriter),
    ) {
        if self == Layout::Pairs {
            out.array(2);
        }
        name(out);
        if self != Layout::Names {
            out.double(score);
        }
    }
}

/// Stores the result of a command at `key`, or removes the key if the result is empty, and replies
/// with its size.
fn store(ctx: &mut Ctx<'_>, key: &[u8], result: ZSet, event: &str, out: &mut dyn ReplyWriter) {
    let len = result.len();
    ctx.expire_if_needed(key);
    if len > 0 {
        ctx.put(key, result.into_value());
        ctx.modified(key, NotifyFlags::ZSET, event);
    } else {
        let lazy = ctx.engine.config.lazyfree_lazy_server_del;
        if ctx.remove(key, lazy) {
            ctx.modified(key, NotifyFlags::GENERIC, "del");
        }
    }
    out.int(len as i64);
}
