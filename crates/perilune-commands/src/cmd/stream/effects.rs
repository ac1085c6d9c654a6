//! What reading in a group came to, as commands that repeat it: `XCLAIM` for every entry that
//! changed hands, `XGROUP` for what no entry tells.

use crate::ctx::Ctx;
use perilune_keyspace::StreamId;
use perilune_keyspace::stream::{Group, ID_TEXT_MAX, Pending};

/// An entry that is pending now as it says here.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    id: StreamId,
    pending: Pending,
    owner: Vec<u8>,
    /// The last id of the group at that moment.
    last_id: StreamId,
}

impl Claim {
    pub(super) fn new(group: &Group, id: StreamId, pending: Pending) -> Self {
        let owner = group.owner_name(&pending).to_vec();
        Claim { id, pending, owner, last_id: group.last_id }
    }
}

/// Records that entries are pending now.
pub(super) fn propagate_claims(ctx: &mut Ctx<'_>, key: &[u8], group: &[u8], claims: &[Claim]) {
    for claim in claims {
        let (mut id, mut last_id) = ([0; ID_TEXT_MAX], [0; ID_TEXT_MAX]);
        let (mut time, mut count) = (itoa::Buffer::new(), itoa::Buffer::new());
        ctx.propagate_as(&[
            b"XCLAIM",
            key,
            group,
            &claim.owner,
            b"0",
            claim.id.as_text(&mut id),
            b"TIME",
            time.format(claim.pending.delivered_ms).as_bytes(),
            b"RETRYCOUNT",
            count.format(claim.pending.deliveries).as_bytes(),
            b"FORCE",
            b"JUSTID",
            b"LASTID",
            claim.last_id.as_text(&mut last_id),
        ]);
    }
}

/// Records how far a group has read.
pub(super) fn propagate_position(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    group: &[u8],
    last_id: StreamId,
    entries_read: Option<i64>,
) {
    let (mut id, mut read) = ([0; ID_TEXT_MAX], itoa::Buffer::new());
    ctx.propagate_as(&[
        b"XGROUP",
        b"SETID",
        key,
        group,
        last_id.as_text(&mut id),
        b"ENTRIESREAD",
        read.format(entries_read.unwrap_or(-1)).as_bytes(),
    ]);
}

/// Records that a consumer was made.
pub(super) fn propagate_consumer(ctx: &mut Ctx<'_>, key: &[u8], group: &[u8], consumer: &[u8]) {
    ctx.propagate_as(&[b"XGROUP", b"CREATECONSUMER", key, group, consumer]);
}
