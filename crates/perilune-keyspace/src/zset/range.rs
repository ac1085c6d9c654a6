//! Ranges of a sorted set: by score, and by name among members of one score.
//!
//! Each bound is a question whether a member lies before it, which is what a search for a position
//! in the order needs. A range whose bounds are the wrong way round is empty.

/// Scores from `min` to `max`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreRange {
    /// Lowest score.
    pub min: f64,
    /// Highest score.
    pub max: f64,
    /// Whether `min` itself is left out.
    pub min_exclusive: bool,
    /// Whether `max` itself is left out.
    pub max_exclusive: bool,
}

impl ScoreRange {
    /// All scores from `min` to `max`, both included.
    pub fn inclusive(min: f64, max: f64) -> Self {
        ScoreRange { min, max, min_exclusive: false, max_exclusive: false }
    }

    /// Whether a member of this score lies before the range.
    pub(super) fn is_below(&self, score: f64) -> bool {
        if self.min_exclusive { score <= self.min } else { score < self.min }
    }

    /// Whether a member of this score lies before the end of the range.
    pub(super) fn is_below_end(&self, score: f64) -> bool {
        if self.max_exclusive { score < self.max } else { score <= self.max }
    }

    /// Whether the range has this score.
    pub fn contains(&self, score: f64) -> bool {
        !self.is_below(score) && self.is_below_end(score)
    }
}

/// An end of a [`LexRange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// Before every name.
    Min,
    /// After every name.
    Max,
    /// This name and the range beyond it.
    Inclusive(&'a [u8]),
    /// The range beyond this name.
    Exclusive(&'a [u8]),
}

/// Names from `min` to `max` in byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LexRange<'a> {
    /// Where the range starts.
    pub min: LexBound<'a>,
    /// Where the range ends.
    pub max: LexBound<'a>,
}

impl LexRange<'_> {
    /// Whether a member of this name lies before the range.
    pub(super) fn is_below(&self, name: &[u8]) -> bool {
        match self.min {
            LexBound::Min => false,
            LexBound::Max => true,
            LexBound::Inclusive(min) => name < min,
            LexBound::Exclusive(min) => name <= min,
        }
    }

    /// Whether a member of this name lies before the end of the range.
    pub(super) fn is_below_end(&self, name: &[u8]) -> bool {
        match self.max {
            LexBound::Min => false,
            LexBound::Max => true,
            LexBound::Inclusive(max) => name <= max,
            LexBound::Exclusive(max) => name < max,
        }
    }
}
