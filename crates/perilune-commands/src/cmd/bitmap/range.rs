//! `BITCOUNT` and `BITPOS`: counting and finding bits of a stretch of a string.

use super::words;
use super::words::word_of;
use crate::args::Args;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::{CommandSpec, KeySpec};
use perilune_resp::ReplyWriter;
use std::ops::Range;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "bitcount",
        arity: -2,
        flags: "readonly",
        acl: "bitmap",
        keys: &[KeySpec::one("RO access", 1)],
        since: "2.6.0",
        group: "bitmap",
        complexity: "O(N) with N the number of bytes looked at",
        summary: "Counts the bits that are set in a string or a part of it.",
        args: "key:key [range={start:int end:int [unit@7.0.0=(BYTE|BIT)]}]",
        history: &[("7.0.0", "`BYTE` and `BIT`: the unit of the range.")],
        handler: bitcount,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "bitpos",
        arity: -3,
        flags: "readonly",
        acl: "bitmap",
        keys: &[KeySpec::one("RO access", 1)],
        since: "2.8.7",
        group: "bitmap",
        complexity: "O(N) with N the number of bytes looked at",
        summary: "Finds the first bit of a string that is set, or the first that is clear.",
        args: "key:key bit:int [range={start:int [end-unit-block={end:int [unit@7.0.0=(BYTE|BIT)]}]}]",
        history: &[("7.0.0", "`BYTE` and `BIT`: the unit of the range.")],
        handler: bitpos,
        ..CommandSpec::EMPTY
    },
];

fn bitcount(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    // The arguments behind the key of a missing string are not looked at, as in Redis.
    let Some(value) = ctx.read(args[1]) else {
        out.int(0);
        return Ok(());
    };
    let content = value.as_string().ok_or(errors::WRONG_TYPE)?;
    let bits = match args.len() {
        2 => 0..content.len() * 8,
        4 | 5 => {
            let (start, end) = (args.int(2)?, args.int(3)?);
            if start < 0 && end < 0 && start > end {
                0..0
            } else {
                bit_range(start, end, counts_bits(args, 4)?, content.len())
            }
        }
        _ => return Err(errors::SYNTAX),
    };
    out.int(count_ones(&content, bits) as i64);
    Ok(())
}

fn bitpos(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let wanted = match args.int(2)? {
        0 => false,
        1 => true,
        _ => return Err(errors::BITPOS_BIT),
    };
    let Some(value) = ctx.read(args[1]) else {
        out.int(if wanted { -1 } else { 0 });
        return Ok(());
    };
    let content = value.as_string().ok_or(errors::WRONG_TYPE)?;
    let whole = content.len() * 8;
    let bits = match args.len() {
        3 => 0..whole,
        4 => bit_range(args.int(3)?, -1, false, content.len()),
        5 | 6 => {
            let start = args.int(3)?;
            let in_bits = counts_bits(args, 5)?;
            bit_range(start, args.int(4)?, in_bits, content.len())
        }
        _ => return Err(errors::SYNTAX),
    };
    let found = match first_bit(&content, bits.clone(), wanted) {
        Some(at) => at as i64,
        // Behind its end a string goes on with zeros, unless the end was named.
        None if !wanted && args.len() < 5 && !bits.is_empty() => whole as i64,
        None => -1,
    };
    out.int(found);
    Ok(())
}

/// Whether the unit at `index` is the bit; no unit is the byte.
fn counts_bits(args: Args<'_>, index: usize) -> Result<bool, CommandError> {
    if args.get(index).is_none() || args.is(index, "byte") {
        Ok(false)
    } else if args.is(index, "bit") {
        Ok(true)
    } else {
        Err(errors::SYNTAX)
    }
}

/// The bits from `start` to `end`, both included and negative from the end of a string of `len`
/// bytes, counted in bits or in bytes.
fn bit_range(start: i64, end: i64, in_bits: bool, len: usize) -> Range<usize> {
    let (units, bits_per_unit) = if in_bits { (len * 8, 1) } else { (len, 8) };
    let absolute = |at: i64| {
        let at = if at < 0 { at.saturating_add(units as i64).max(0) } else { at };
        usize::try_from(at).unwrap_or(usize::MAX)
    };
    let (start, end) = (absolute(start), absolute(end).saturating_add(1).min(units));
    if start >= end { 0..0 } else { start * bits_per_unit..end * bits_per_unit }
}

/// Counts the bits that are set in a range of bits within `content`.
fn count_ones(content: &[u8], bits: Range<usize>) -> u64 {
    let bytes = &content[bits.start / 8..bits.end.div_ceil(8)];
    let mut ones = words::count_ones(bytes);
    let before = (bits.start % 8) as u32;
    let behind = (bytes.len() * 8 - before as usize - bits.len()) as u32;
    if let (Some(first), true) = (bytes.first(), before > 0) {
        ones -= u64::from((first >> (8 - before)).count_ones());
    }
    if let (Some(last), true) = (bytes.last(), behind > 0) {
        ones -= u64::from((last << (8 - behind)).count_ones());
    }
    ones
}

/// Finds the first bit that is `wanted` in a range of bits within `content`.
fn first_bit(content: &[u8], bits: Range<usize>, wanted: bool) -> Option<usize> {
    let flip = if wanted { 0 } else { u64::MAX };
    let mut at = bits.start;
    let within = |found: usize| (found < bits.end).then_some(found);
    if !at.is_multiple_of(8) {
        let byte = (content.get(at / 8)? ^ flip as u8) & (0xff >> (at % 8));
        if byte != 0 {
            return within(at / 8 * 8 + byte.leading_zeros() as usize);
        }
        at = at.next_multiple_of(8);
    }
    let bytes = content.get(at / 8..bits.end.div_ceil(8))?;
    let skipped = words::skip(bytes, flip as u8);
    at += skipped * 8;
    let words = bytes[skipped..].chunks_exact(8);
    let rest = words.remainder();
    for word in words {
        let word = word_of(word) ^ flip;
        if word != 0 {
            return within(at + word.leading_zeros() as usize);
        }
        at += 64;
    }
    for byte in rest {
        let byte = byte ^ flip as u8;
        if byte != 0 {
            return within(at + byte.leading_zeros() as usize);
        }
        at += 8;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bit(content: &[u8], at: usize) -> bool {
        content[at / 8] >> (7 - at % 8) & 1 == 1
    }

    proptest! {
        #[test]
        fn counting_and_finding_agree_with_looking_at_each_bit(
            content in prop::collection::vec(prop::sample::select(vec![0u8, 0xff, 0x10, 0x7f]), 1..40),
            start in 0..320usize,
            len in 0..320usize,
            wanted: bool,
        ) {
            let end = (start + len).min(content.len() * 8);
            let range = start.min(end)..end;
            let ones = range.clone().filter(|at| bit(&content, *at)).count() as u64;
            prop_assert_eq!(count_ones(&content, range.clone()), ones);
            let first = range.clone().find(|at| bit(&content, *at) == wanted);
            prop_assert_eq!(first_bit(&content, range, wanted), first);
        }

        #[test]
        fn a_range_is_inside_of_the_string(start: i64, end: i64, in_bits: bool, len in 0..100usize) {
            let range = bit_range(start, end, in_bits, len);
            prop_assert!(range.start <= range.end && range.end <= len * 8);
        }
    }
}
