//! A small sorted set in a listpack: member, score, member, score, ... in ascending order.
//!
//! A score that is an integer is stored as one, any other as the shortest text that reads as the
//! same number (Redis now and then writes a longer text of it, which reads the same). Negative
//! zero is stored as zero. Every operation walks.

use std::cmp::Ordering;
use std::collections::HashSet;

use super::tree::order;
use crate::listpack::{Listpack, LpPos, LpValue};

/// Scores up to this magnitude are stored as integers if they are whole.
const WHOLE_MAX: f64 = (1u64 << 62) as f64;
/// Decimal exponents from which a score is written with an exponent, beyond its digits.
const PLAIN_ZEROS_MAX: i32 = 7;

pub(super) fn len(lp: &Listpack) -> usize {
    lp.len() / 2
}

/// The member called `name`, and its score.
pub(super) fn find(lp: &Listpack, name: &[u8]) -> Option<(LpPos, f64)> {
    let pos = lp.find(name, 1)?;
    Some((pos, score_after(lp, pos)))
}

/// The score of the member at `pos`.
pub(super) fn score_after(lp: &Listpack, pos: LpPos) -> f64 {
    lp.next(pos).and_then(|pos| read_score(lp.get(pos))).unwrap_or(0.0)
}

/// The member of a rank.
pub(super) fn at_rank(lp: &Listpack, rank: usize) -> Option<LpPos> {
    lp.seek(i64::try_from(rank).ok()?.checked_mul(2)?)
}

/// Adds a member that is not there yet.
pub(super) fn insert(lp: &mut Listpack, name: &[u8], score: f64) {
    let mut scratch = itoa::Buffer::new();
    let mut next = lp.first();
    while let Some(pos) = next {
        let member = lp.get(pos);
        let other = (score_after(lp, pos), member.as_slice(&mut scratch));
        if order(other, (score, name)) == Ordering::Greater {
            let pos = lp.insert_before(pos, name);
            lp.insert_after(pos, &score_text(score));
            return;
        }
        next = after_pair(lp, pos);
    }
    push(lp, name, score);
}

/// Adds a member that is after all others.
pub(super) fn push(lp: &mut Listpack, name: &[u8], score: f64) {
    lp.push_back(name);
    lp.push_back(&score_text(score));
}

/// How many members `before` holds for; it must hold for a prefix.
pub(super) fn partition(lp: &Listpack, before: impl Fn(f64, &[u8]) -> bool) -> usize {
    let mut scratch = itoa::Buffer::new();
    let (mut rank, mut next) = (0, lp.first());
    while let Some(pos) = next {
        if !before(score_after(lp, pos), lp.get(pos).as_slice(&mut scratch)) {
            break;
        }
        rank += 1;
        next = after_pair(lp, pos);
    }
    rank
}

/// The member after the one at `pos`.
pub(super) fn after_pair(lp: &Listpack, pos: LpPos) -> Option<LpPos> {
    lp.next(pos).and_then(|pos| lp.next(pos))
}

/// The member before the one at `pos`.
pub(super) fn before_pair(lp: &Listpack, pos: LpPos) -> Option<LpPos> {
    lp.prev(pos).and_then(|pos| lp.prev(pos))
}

/// Whether a listpack from outside is one of pairs of a member and a number, in ascending order.
pub(super) fn is_ascending(lp: &Listpack) -> bool {
    let (mut digits, mut last_digits) = (itoa::Buffer::new(), itoa::Buffer::new());
    let mut last: Option<(f64, LpValue<'_>)> = None;
    let mut entries = lp.iter();
    while let Some(name) = entries.next() {
        let score = entries.next().and_then(read_score).filter(|score| !score.is_nan());
        let Some(score) = score else { return false };
        let ascends = last.is_none_or(|(last_score, last)| {
            let last = (last_score, last.as_slice(&mut last_digits));
            order(last, (score, name.as_slice(&mut digits))) == Ordering::Less
        });
        if !ascends {
            return false;
        }
        last = Some((score, name));
    }
    true
}

/// Whether no member is there twice.
pub(super) fn is_distinct(lp: &Listpack) -> bool {
    let mut names = HashSet::new();
    lp.iter().step_by(2).all(|name| names.insert(name.to_vec()))
}

fn read_score(value: LpValue<'_>) -> Option<f64> {
    match value {
        LpValue::Int(whole) => Some(whole as f64),
        LpValue::Str(text) => std::str::from_utf8(text).ok()?.trim().parse().ok(),
    }
}

/// The stored form of a score.
fn score_text(score: f64) -> Vec<u8> {
    if score.abs() <= WHOLE_MAX && score.trunc() == score {
        return itoa::Buffer::new().format(score as i64).as_bytes().to_vec();
    }
    if score.is_infinite() {
        return if score > 0.0 { b"inf".to_vec() } else { b"-inf".to_vec() };
    }
    let scientific = format!("{score:e}");
    let (sign, scientific) = match scientific.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", scientific.as_str()),
    };
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let digits = mantissa.replace('.', "");
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{sign}{}", place_point(&digits, exponent)).into_bytes()
}

/// Writes `d.ddd * 10^exponent` the way Redis does.
fn place_point(digits: &str, exponent: i32) -> String {
    let count = digits.len() as i32;
    // The number is `digits * 10^scale`.
    let scale = exponent + 1 - count;
    if scale >= 0 && exponent.abs() < count + PLAIN_ZEROS_MAX {
        return format!("{digits}{}", "0".repeat(scale as usize));
    }
    if scale < 0 && (scale > -PLAIN_ZEROS_MAX || exponent.abs() < 4) {
        let whole = count + scale;
        if whole <= 0 {
            return format!("0.{}{digits}", "0".repeat(whole.unsigned_abs() as usize));
        }
        let (whole, fraction) = digits.split_at(whole as usize);
        return format!("{whole}.{fraction}");
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{first}{point}{rest}e{sign}{}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_written_as_redis_writes_them() {
        for (score, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (3.0, "3"),
            (-17.5, "-17.5"),
            (0.1, "0.1"),
            (1e-7, "1e-7"),
            (0.000_001, "0.000001"),
            (1.5e-7, "1.5e-7"),
            (123_456.789, "123456.789"),
            (1e18, "1000000000000000000"),
            (5e18, "5e+18"),
            (1e21, "1e+21"),
            (1.797_693_134_862_315_7e308, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (1.0 / 3.0, "0.3333333333333333"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            let written = score_text(score);
            assert_eq!(String::from_utf8_lossy(&written), text);
            let mut lp = Listpack::new();
            lp.push_back(&written);
            assert_eq!(lp.iter().next().and_then(read_score), Some(score));
        }
    }
}
