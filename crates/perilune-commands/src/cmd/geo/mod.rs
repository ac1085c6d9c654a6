//! Geographic positions: sorted sets whose scores are geohashes.
//!
//! A member's score is the 52-bit geohash of its position, so a square of the map is a range of
//! scores, and a search looks at nine such squares and measures what it finds there. `geohash`
//! has the hashes, `shape` the distances and the squares that cover an area, `points` the commands
//! on members, `search` those that look for some, `request` what those are asked for,
//! `partial_sort` puts the nearest first.
//!
//! Every sorted set will do: a score that no position has is read as one somewhere.

mod geohash;
mod partial_sort;
pub(super) mod points;
mod request;
pub(super) mod search;
mod shape;
#[cfg(test)]
mod tests;

use crate::args::Args;
use crate::errors::{self, CommandError};
use geohash::{Cell, Position, WORLD};
use perilune_resp::ReplyWriter;

/// Reads a longitude and a latitude that stand at `index`.
fn parse_position(args: Args<'_>, index: usize) -> Result<Position, CommandError> {
    let (lon, lat) = (args.float(index)?, args.float(index + 1)?);
    let position = Position { lon, lat };
    if WORLD.contains(position) { Ok(position) } else { Err(errors::invalid_position(lon, lat)) }
}

/// The meters of the unit of length at `index`.
fn parse_unit(args: Args<'_>, index: usize) -> Result<f64, CommandError> {
    const UNITS: [(&str, f64); 4] = [("m", 1.0), ("km", 1000.0), ("ft", 0.3048), ("mi", 1609.34)];
    let found = UNITS.iter().find(|(name, _)| args.is(index, name));
    found.map(|(_, meters)| *meters).ok_or(errors::GEO_UNIT)
}

/// The position that a score stands for.
fn position_of(score: f64) -> Position {
    Cell::of_score(score).center()
}

/// Writes a distance: four digits behind the point, half to even.
fn write_distance(out: &mut dyn ReplyWriter, distance: f64) {
    let units = cut_to_int((distance * 10_000.0).round_ties_even());
    let sign = if units < 0 { "-" } else { "" };
    let (whole, rest) = (units.unsigned_abs() / 10_000, units.unsigned_abs() % 10_000);
    out.bulk(format!("{sign}{whole}.{rest:04}").as_bytes());
}

/// Writes a position as two numbers with up to 17 digits behind the point.
fn write_position(out: &mut dyn ReplyWriter, position: Position) {
    out.array(2);
    for degrees in [position.lon, position.lat] {
        let text = format!("{degrees:.17}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        out.double_text(if text == "-0" { b"0" } else { text.as_bytes() });
    }
}

/// A number as x86 converts it: cut to an integer, what does not fit is the smallest one.
fn cut_to_int(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) { number as i64 } else { i64::MIN }
}
