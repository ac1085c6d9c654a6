//! The options of `XADD` and `XTRIM` that say how far a stream is trimmed.

use super::id;
use crate::args::Args;
use crate::errors::{self, CommandError};
use perilune_keyspace::stream::{ID_TEXT_MAX, Trim, TrimTo};
use perilune_keyspace::{EncodingLimits, Stream, StreamId};

/// Nodes that an approximate trimming removes at most unless told otherwise.
const NODES_MAX: u64 = 100;

/// Entries that an approximate trimming removes at most where nodes have no limit.
const ENTRIES_DEFAULT: u64 = 10_000;

/// Entries that an approximate trimming removes at most unless told otherwise, whatever a node
/// holds.
const ENTRIES_MAX: u64 = 1_000_000;

/// What an approximate trimming came to: the option that trims just as far, everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TrimOutcome(TrimTo);

/// Room for the text of a [`TrimOutcome`].
pub(super) struct OutcomeText {
    digits: itoa::Buffer,
    id: [u8; ID_TEXT_MAX],
}

impl OutcomeText {
    pub(super) fn new() -> Self {
        OutcomeText { digits: itoa::Buffer::new(), id: [0; ID_TEXT_MAX] }
    }
}

impl TrimOutcome {
    /// None for an exact trimming, which comes to the same wherever it is repeated.
    pub(super) fn of(trim: &Trim, stream: &Stream) -> Option<Self> {
        trim.approximate.then(|| {
            TrimOutcome(match trim.to {
                TrimTo::Length(_) => TrimTo::Length(stream.len()),
                TrimTo::From(_) => TrimTo::From(stream.first_stored_id().unwrap_or(StreamId::MAX)),
            })
        })
    }

    /// The option as arguments.
    pub(super) fn argv<'a>(&self, text: &'a mut OutcomeText) -> [&'a [u8]; 3] {
        match self.0 {
            TrimTo::Length(length) => [b"MAXLEN", b"=", text.digits.format(length).as_bytes()],
            TrimTo::From(id) => [b"MINID", b"=", id.as_text(&mut text.id)],
        }
    }
}

/// Reads the options one by one.
#[derive(Default)]
pub(super) struct TrimParser {
    to: Option<TrimTo>,
    approximate: bool,
    limit: Option<u64>,
}

impl TrimParser {
    /// Reads the option at `at`; tells where the next one is, none if it is not about trimming.
    pub(super) fn option(
        &mut self,
        args: Args<'_>,
        at: usize,
    ) -> Result<Option<usize>, CommandError> {
        let by_length = args.is(at, "maxlen");
        if at + 1 >= args.len() {
            Ok(None)
        } else if by_length || args.is(at, "minid") {
            self.threshold(args, at, by_length).map(Some)
        } else if args.is(at, "limit") {
            let limit = args.int(at + 1)?;
            self.limit = Some(u64::try_from(limit).map_err(|_| errors::TRIM_LIMIT_NEGATIVE)?);
            Ok(Some(at + 2))
        } else {
            Ok(None)
        }
    }

    fn threshold(
        &mut self,
        args: Args<'_>,
        at: usize,
        by_length: bool,
    ) -> Result<usize, CommandError> {
        if self.to.is_some() {
            return Err(errors::TRIM_TWICE);
        }
        let operator = args.get(at + 1).filter(|_| at + 2 < args.len());
        self.approximate = operator == Some(b"~");
        let at = if self.approximate || operator == Some(b"=") { at + 2 } else { at + 1 };
        self.to = Some(if by_length {
            let length = args.int(at)?;
            TrimTo::Length(u64::try_from(length).map_err(|_| errors::MAXLEN_NEGATIVE)?)
        } else {
            TrimTo::From(id::parse(args.get(at).unwrap_or_default(), 0)?)
        });
        Ok(at + 1)
    }

    /// What the options come to. In what is `repeated` from the record of a Redis, an approximate
    /// trimming was made exact and still has its limit, which is ignored.
    pub(super) fn finish(
        self,
        limits: &EncodingLimits,
        repeated: bool,
    ) -> Result<Option<Trim>, CommandError> {
        let Some(to) = self.to else {
            return match self.limit {
                Some(1..) => Err(errors::TRIM_LIMIT_ALONE),
                _ => Ok(None),
            };
        };
        let limit = match self.limit {
            _ if repeated => 0,
            Some(_) if !self.approximate => return Err(errors::TRIM_LIMIT_EXACT),
            Some(limit) => limit,
            None if self.approximate => default_limit(limits),
            None => 0,
        };
        Ok(Some(Trim { to, approximate: self.approximate, limit }))
    }
}

/// How many entries an approximate trimming removes at most.
fn default_limit(limits: &EncodingLimits) -> u64 {
    match (limits.stream_node_max_entries as u64).saturating_mul(NODES_MAX) {
        0 => ENTRIES_DEFAULT,
        entries => entries.min(ENTRIES_MAX),
    }
}
