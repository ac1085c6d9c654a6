//! The name of a stream entry: a Unix time in milliseconds and a number within it.
//!
//! Ids are ordered by time, then by number. As sixteen bytes, big endian, they sort as they compare,
//! which is how snapshots hold them.

use std::fmt;

/// Longest text of an id.
pub const ID_TEXT_MAX: usize = 41;

/// The id of a stream entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Milliseconds.
    pub ms: u64,
    /// Number within the millisecond.
    pub seq: u64,
}

impl StreamId {
    /// The least id, which no entry has.
    pub const MIN: StreamId = StreamId { ms: 0, seq: 0 };
    /// The greatest id.
    pub const MAX: StreamId = StreamId { ms: u64::MAX, seq: u64::MAX };

    /// The id of these two parts.
    pub const fn new(ms: u64, seq: u64) -> Self {
        StreamId { ms, seq }
    }

    /// The id after this one; none after the greatest.
    pub fn next(self) -> Option<Self> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(StreamId { seq, ..self }),
            None => Some(StreamId { ms: self.ms.checked_add(1)?, seq: 0 }),
        }
    }

    /// The id before this one; none before the least.
    pub fn prev(self) -> Option<Self> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(StreamId { seq, ..self }),
            None => Some(StreamId { ms: self.ms.checked_sub(1)?, seq: u64::MAX }),
        }
    }

    /// Whether it is the least id.
    pub fn is_zero(self) -> bool {
        self == StreamId::MIN
    }

    /// The sixteen bytes of a snapshot.
    pub fn to_bytes(self) -> [u8; 16] {
        let wide = u128::from(self.ms) << 64 | u128::from(self.seq);
        wide.to_be_bytes()
    }

    /// The id of sixteen bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let wide = u128::from_be_bytes(bytes);
        StreamId { ms: (wide >> 64) as u64, seq: wide as u64 }
    }

    /// The text `ms-seq`, written into `scratch`.
    pub fn as_text(self, scratch: &mut [u8; ID_TEXT_MAX]) -> &[u8] {
        let mut digits = itoa::Buffer::new();
        let ms = digits.format(self.ms).as_bytes();
        scratch[..ms.len()].copy_from_slice(ms);
        scratch[ms.len()] = b'-';
        let start = ms.len() + 1;
        let seq = digits.format(self.seq).as_bytes();
        let end = start + seq.len();
        scratch[start..end].copy_from_slice(seq);
        &scratch[..end]
    }

    /// How far this id is from `master`, part by part, as nodes store it. Parts may be negative.
    pub(super) fn minus(self, master: StreamId) -> (i64, i64) {
        (self.ms.wrapping_sub(master.ms) as i64, self.seq.wrapping_sub(master.seq) as i64)
    }

    /// The opposite of [`minus`](Self::minus).
    pub(super) fn plus(self, (ms, seq): (i64, i64)) -> StreamId {
        StreamId { ms: self.ms.wrapping_add(ms as u64), seq: self.seq.wrapping_add(seq as u64) }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}
