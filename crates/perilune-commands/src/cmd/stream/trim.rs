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

/// A trimming and where it stands among the arguments.
#[derive(Debug, Clone, Copy)]
pub(super) struct TrimOption {
    pub(super) trim: Trim,
    /// Index of the length or id.
    threshold_at: usize,
}

impl TrimOption {
    /// Says exactly what an approximate trimming came to, as the arguments `=` and a length or id.
    /// None for an exact trimming, which always comes to the same.
    pub(super) fn outcome(&self, stream: &Stream) -> Option<TrimOutcome> {
        let id = match self.trim.to {
            TrimTo::Length(_) => None,
            TrimTo::From(_) => Some(stream.first_stored_id().unwrap_or(StreamId::MAX)),
        };
        let at = self.threshold_at;
        self.trim.approximate.then_some(TrimOutcome { at, len: stream.len(), id })
    }
}

/// What an approximate trimming came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct TrimOutcome {
    at: usize,
    len: u64,
    id: Option<StreamId>,
}

/// Room for the text of a [`TrimOutcome`].
#[derive(Default)]
pub(super) struct OutcomeText {
    digits: itoa::Buffer,
    id: IdText,
}

struct IdText([u8; ID_TEXT_MAX]);

impl Default for IdText {
    fn default() -> Self {
        IdText([0; ID_TEXT_MAX])
    }
}

impl TrimOutcome {
    /// Puts it into the arguments.
    pub(super) fn rewrite<'a>(&self, argv: &mut [&'a [u8]], text: &'a mut OutcomeText) {
        let threshold = match self.id {
            Some(id) => id.as_text(&mut text.id.0),
            None => text.digits.format(self.len).as_bytes(),
        };
        if let Some([operator, place]) = argv.get_mut(self.at - 1..=self.at) {
            (*operator, *place) = (b"=", threshold);
        }
    }
}

/// Reads the options one by one.
#[derive(Default)]
pub(super) struct TrimParser {
    to: Option<TrimTo>,
    approximate: bool,
    limit: Option<u64>,
    threshold_at: usize,
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
        self.threshold_at = at;
        Ok(at + 1)
    }

    /// What the options come to. `trusted` is what is repeated from a record, where an approximate
    /// trimming was replaced by an exact one that still has its limit.
    pub(super) fn finish(
        self,
        limits: &EncodingLimits,
        trusted: bool,
    ) -> Result<Option<TrimOption>, CommandError> {
        let Some(to) = self.to else {
            return match self.limit {
                Some(1..) => Err(errors::TRIM_LIMIT_ALONE),
                _ => Ok(None),
            };
        };
        let limit = match self.limit {
            _ if trusted => 0,
            Some(_) if !self.approximate => return Err(errors::TRIM_LIMIT_EXACT),
            Some(limit) => limit,
            None if self.approximate => default_limit(limits),
            None => 0,
        };
        let trim = Trim { to, approximate: self.approximate, limit };
        Ok(Some(TrimOption { trim, threshold_at: self.threshold_at }))
    }
}

/// How many entries an approximate trimming removes at most.
fn default_limit(limits: &EncodingLimits) -> u64 {
    match (limits.stream_node_max_entries as u64).saturating_mul(NODES_MAX) {
        0 => ENTRIES_DEFAULT,
        entries => entries.min(ENTRIES_MAX),
    }
}
