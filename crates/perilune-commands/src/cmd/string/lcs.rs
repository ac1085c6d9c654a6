//! The longest common subsequence of two strings.
//!
//! ```text
//! table[i][j]   length of the longest common subsequence of the first i bytes of a and the first
//!               j bytes of b; one allocation of (len(a)+1) * (len(b)+1) numbers
//! ```
//!
//! The table is filled forwards; the subsequence itself and its ranges are then read backwards
//! from its far corner. The table may take no more memory than one string.

use crate::args::Args;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::{CommandSpec, KeySpec};
use perilune_resp::{DeferredKind, ReplyWriter};

pub(crate) const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "lcs",
    arity: -3,
    flags: "readonly",
    acl: "string",
    keys: &[KeySpec::range("RO access", 1, 1, 1, 0)],
    since: "7.0.0",
    group: "string",
    complexity: "O(N*M) with N and M the lengths of the strings",
    summary: "Compares two strings by their longest common subsequence.",
    args: "key1:key key2:key [LEN] [IDX] [MINMATCHLEN min-match-len:int] [WITHMATCHLEN]",
    handler: lcs,
    ..CommandSpec::EMPTY
}];

#[derive(Default)]
struct LcsOptions {
    len: bool,
    idx: bool,
    with_match_len: bool,
    min_match_len: usize,
}

impl LcsOptions {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut options = LcsOptions::default();
        let mut at = 3;
        while at < args.len() {
            if args.is(at, "idx") {
                options.idx = true;
            } else if args.is(at, "len") {
                options.len = true;
            } else if args.is(at, "withmatchlen") {
                options.with_match_len = true;
            } else if args.is(at, "minmatchlen") && at + 1 < args.len() {
                at += 1;
                options.min_match_len = usize::try_from(args.int(at)?).unwrap_or(0);
            } else {
                return Err(errors::SYNTAX);
            }
            at += 1;
        }
        if options.len && options.idx { Err(errors::LCS_LEN_AND_IDX) } else { Ok(options) }
    }
}

fn lcs(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let a = operand(ctx, args[1])?;
    let b = operand(ctx, args[2])?;
    let (Some(a), Some(b)) = (a, b) else { return Err(errors::LCS_NOT_STRINGS) };
    let options = LcsOptions::parse(args)?;
    let table = Table::new(&a, &b, ctx.engine.config.proto_max_bulk_len)?;
    if options.len {
        out.int(table.at(a.len(), b.len()) as i64);
    } else if options.idx {
        reply_ranges(&table, &options, out);
    } else {
        out.bulk(&table.subsequence());
    }
    Ok(())
}

/// The string at a key, empty when missing; `None` for another type, which is reported only after
/// both keys were looked up.
fn operand(ctx: &mut Ctx<'_>, key: &[u8]) -> Result<Option<Vec<u8>>, CommandError> {
    match ctx.read(key) {
        None => Ok(Some(Vec::new())),
        Some(value) => Ok(value.as_string().map(std::borrow::Cow::into_owned)),
    }
}

/// Lengths of common subsequences of all prefixes of two strings.
struct Table<'a> {
    a: &'a [u8],
    b: &'a [u8],
    lengths: Vec<u32>,
}

/// A run of equal bytes: where it ends (exclusive) in both strings, and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Match {
    a_start: usize,
    b_start: usize,
    len: usize,
}

impl<'a> Table<'a> {
    fn new(a: &'a [u8], b: &'a [u8], bytes_max: u64) -> Result<Self, CommandError> {
        let limit = u32::MAX as usize - 1;
        if a.len() >= limit || b.len() >= limit {
            return Err(errors::LCS_TOO_LONG);
        }
        // Both factors are below 2^32, so only the multiplication by four can overflow.
        let cells = (a.len() as u64 + 1) * (b.len() as u64 + 1);
        let bytes = cells.checked_mul(size_of::<u32>() as u64).ok_or(errors::LCS_NO_MEMORY)?;
        if bytes > bytes_max {
            return Err(errors::LCS_MEMORY_LIMIT);
        }
        let mut lengths = Vec::new();
        lengths.try_reserve_exact(cells as usize).map_err(|_| errors::LCS_NO_MEMORY)?;
        lengths.resize(cells as usize, 0);
        let mut table = Table { a, b, lengths };
        table.fill();
        Ok(table)
    }

    fn fill(&mut self) {
        let width = self.b.len() + 1;
        for (i, byte) in self.a.iter().enumerate() {
            let (above, row) = self.lengths[i * width..(i + 2) * width].split_at_mut(width);
            for (j, other) in self.b.iter().enumerate() {
                row[j + 1] = if byte == other { above[j] + 1 } else { above[j + 1].max(row[j]) };
            }
        }
    }

    fn at(&self, i: usize, j: usize) -> usize {
        self.lengths[i * (self.b.len() + 1) + j] as usize
    }

    /// Visits the matched positions from the end of the strings to their start.
    fn walk_back(&self, mut visit: impl FnMut(usize, usize)) {
        let (mut i, mut j) = (self.a.len(), self.b.len());
        while i > 0 && j > 0 {
            if self.a[i - 1] == self.b[j - 1] {
                (i, j) = (i - 1, j - 1);
                visit(i, j);
            } else if self.at(i - 1, j) > self.at(i, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
    }

    fn subsequence(&self) -> Vec<u8> {
        let mut found = Vec::with_capacity(self.at(self.a.len(), self.b.len()));
        self.walk_back(|i, _| found.push(self.a[i]));
        found.reverse();
        found
    }

    /// The runs of matched bytes, last first.
    fn matches(&self) -> Vec<Match> {
        let mut matches: Vec<Match> = Vec::new();
        self.walk_back(|i, j| match matches.last_mut() {
            Some(last) if last.a_start == i + 1 && last.b_start == j + 1 => {
                *last = Match { a_start: i, b_start: j, len: last.len + 1 };
            }
            _ => matches.push(Match { a_start: i, b_start: j, len: 1 }),
        });
        matches
    }
}

fn reply_ranges(table: &Table<'_>, options: &LcsOptions, out: &mut dyn ReplyWriter) {
    let range = |out: &mut dyn ReplyWriter, start: usize, len: usize| {
        out.array(2);
        out.int(start as i64);
        out.int((start + len - 1) as i64);
    };
    out.map(2);
    out.bulk(b"matches");
    let deferred = out.begin_deferred(DeferredKind::Array);
    let mut count = 0;
    for found in table.matches().iter().filter(|found| found.len >= options.min_match_len) {
        out.array(2 + usize::from(options.with_match_len));
        range(out, found.a_start, found.len);
        range(out, found.b_start, found.len);
        if options.with_match_len {
            out.int(found.len as i64);
        }
        count += 1;
    }
    out.end_deferred(deferred, count);
    out.bulk(b"len");
    out.int(table.at(table.a.len(), table.b.len()) as i64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_subsequence_and_its_ranges() {
        let (a, b) = (b"ohmytext".as_slice(), b"mynewtext".as_slice());
        let Ok(table) = Table::new(a, b, 1 << 20) else { unreachable!("fits the limit") };
        assert_eq!(table.subsequence(), b"mytext");
        let expected =
            [Match { a_start: 4, b_start: 5, len: 4 }, Match { a_start: 2, b_start: 0, len: 2 }];
        assert_eq!(table.matches(), expected);
    }

    #[test]
    fn the_table_is_limited() {
        assert!(Table::new(b"aaaa", b"bbbb", 99).is_err());
        assert!(Table::new(b"aaaa", b"bbbb", 100).is_ok());
    }
}
