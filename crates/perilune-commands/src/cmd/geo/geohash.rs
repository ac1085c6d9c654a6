//! Geohashes: positions as integers, such that a common prefix is a common square.
//!
//! ```text
//! longitude  l1 l2 l3 ...       each bit halves the range that the position is in
//! latitude   b1 b2 b3 ...
//! hash       l1 b1 l2 b2 ...    the bits of both in turns (Z-order, Morton code)
//! ```
//!
//! A hash of `step` bits per axis is a [`Cell`] of the map. Scores are hashes of 26 steps: 52 bits,
//! which a double holds exactly. Latitudes end at about 85 degrees, where the Mercator map
//! (EPSG:3857) is a square.
//!
//! Sources: G. Niemeyer's geohash.org for the idea, the "Interleave bits by Binary Magic Numbers" of
//! S. Anderson's "Bit Twiddling Hacks" for the turns, and the geohash-int library of the ardb
//! project, by way of Redis, for the arithmetic. Its order of operations is kept, since the last
//! bits of a result depend on it.

/// Bits per axis of a score.
pub(super) const STEP_MAX: u32 = 26;
/// The bits of the hash that are longitude.
const LON_BITS: u64 = 0xaaaa_aaaa_aaaa_aaaa;
/// The bits of the hash that are latitude.
const LAT_BITS: u64 = 0x5555_5555_5555_5555;

/// A place on earth, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Position {
    pub(super) lon: f64,
    pub(super) lat: f64,
}

/// A part of the map between two corners.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rectangle {
    pub(super) min: Position,
    pub(super) max: Position,
}

/// What scores can tell.
pub(super) const WORLD: Rectangle = Rectangle {
    min: Position { lon: -180.0, lat: -85.05112878 },
    max: Position { lon: 180.0, lat: 85.05112878 },
};

/// What the geohashes of other programs tell.
const GLOBE: Rectangle = Rectangle {
    min: Position { lon: -180.0, lat: -90.0 },
    max: Position { lon: 180.0, lat: 90.0 },
};

impl Rectangle {
    pub(super) fn contains(&self, position: Position) -> bool {
        (self.min.lon..=self.max.lon).contains(&position.lon)
            && (self.min.lat..=self.max.lat).contains(&position.lat)
    }
}

/// A square of the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    /// Longitude in the odd bits, latitude in the even ones.
    bits: u64,
    /// Bits per axis, 1 to [`STEP_MAX`].
    step: u32,
}

impl Cell {
    /// The cell that a position within [`WORLD`] is in.
    pub(super) fn at(position: Position, step: u32) -> Cell {
        Cell::within(&WORLD, position, step)
    }

    fn within(whole: &Rectangle, position: Position, step: u32) -> Cell {
        let cells = (1u64 << step) as f64;
        let index = |at: f64, min: f64, max: f64| ((at - min) / (max - min) * cells) as u32;
        let lat = index(position.lat, whole.min.lat, whole.max.lat);
        let lon = index(position.lon, whole.min.lon, whole.max.lon);
        Cell { bits: spread(lat) | spread(lon) << 1, step }
    }

    /// The smallest cell, of a score. Scores that are none are converted as on x86.
    pub(super) fn of_score(score: f64) -> Cell {
        const HIGH: f64 = 9_223_372_036_854_775_808.0;
        let bits = if score < HIGH {
            super::cut_to_int(score) as u64
        } else {
            super::cut_to_int(score - HIGH) as u64 ^ 1 << 63
        };
        Cell { bits, step: STEP_MAX }
    }

    /// The scores from which on and before which all members in the cell are.
    pub(super) fn scores(self) -> (f64, f64) {
        let shift = 2 * (STEP_MAX - self.step);
        ((self.bits << shift) as f64, (self.bits.wrapping_add(1) << shift) as f64)
    }

    /// The hash as a number, if this is a smallest cell.
    pub(super) fn score(self) -> u64 {
        self.bits
    }

    /// The part of the map that it is.
    pub(super) fn area(self) -> Rectangle {
        let cells = (1u64 << self.step) as f64;
        let edge = |index: u32, min: f64, max: f64| min + f64::from(index) / cells * (max - min);
        let (lat, lon) = (gather(self.bits), gather(self.bits >> 1));
        let corner = |lat: u32, lon: u32| Position {
            lon: edge(lon, WORLD.min.lon, WORLD.max.lon),
            lat: edge(lat, WORLD.min.lat, WORLD.max.lat),
        };
        Rectangle { min: corner(lat, lon), max: corner(lat.wrapping_add(1), lon.wrapping_add(1)) }
    }

    /// The middle of it, within [`WORLD`].
    pub(super) fn center(self) -> Position {
        let Rectangle { min, max } = self.area();
        Position {
            lon: ((min.lon + max.lon) / 2.0).clamp(WORLD.min.lon, WORLD.max.lon),
            lat: ((min.lat + max.lat) / 2.0).clamp(WORLD.min.lat, WORLD.max.lat),
        }
    }

    /// The cell next to it, `east` and `north` being -1, 0 or 1. The map's edges are joined.
    pub(super) fn neighbour(self, east: i32, north: i32) -> Cell {
        let unused = 64 - 2 * self.step;
        let lon = moved(self.bits & LON_BITS, east, LON_BITS >> unused, LAT_BITS >> unused);
        let lat = moved(self.bits & LAT_BITS, north, LAT_BITS >> unused, LON_BITS >> unused);
        Cell { bits: lon | lat, step: self.step }
    }

    /// The eleven letters by which other programs know the position. The last one would need bits
    /// that there are not and is always zero.
    pub(super) fn standard_text(position: Position) -> [u8; 11] {
        const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let Cell { bits, .. } = Cell::within(&GLOBE, position, STEP_MAX);
        let mut text = [ALPHABET[0]; 11];
        for (index, letter) in text.iter_mut().take(10).enumerate() {
            *letter = ALPHABET[(bits >> (52 - 5 * (index + 1)) & 0x1f) as usize];
        }
        text
    }
}

/// Adds to the coordinate in the bits `own`, whose gaps are the bits `other`: filled with ones they
/// hand a carry on, and with zeros a borrow.
fn moved(coordinate: u64, by: i32, own: u64, other: u64) -> u64 {
    match by {
        0 => coordinate,
        1.. => coordinate.wrapping_add(other.wrapping_add(1)) & own,
        _ => (coordinate | other).wrapping_sub(other.wrapping_add(1)) & own,
    }
}

/// Puts a zero ahead of every bit.
fn spread(value: u32) -> u64 {
    let mut bits = u64::from(value);
    bits = (bits | bits << 16) & 0x0000_ffff_0000_ffff;
    bits = (bits | bits << 8) & 0x00ff_00ff_00ff_00ff;
    bits = (bits | bits << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    bits = (bits | bits << 2) & 0x3333_3333_3333_3333;
    (bits | bits << 1) & LAT_BITS
}

/// Takes every other bit, the opposite of [`spread`].
fn gather(bits: u64) -> u32 {
    let mut bits = bits & LAT_BITS;
    bits = (bits | bits >> 1) & 0x3333_3333_3333_3333;
    bits = (bits | bits >> 2) & 0x0f0f_0f0f_0f0f_0f0f;
    bits = (bits | bits >> 4) & 0x00ff_00ff_00ff_00ff;
    bits = (bits | bits >> 8) & 0x0000_ffff_0000_ffff;
    (bits | bits >> 16) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn position() -> impl Strategy<Value = Position> {
        let inside = (-180.0..180.0f64, -85.0..85.0f64);
        inside.prop_map(|(lon, lat)| Position { lon, lat })
    }

    #[test]
    fn known_geohashes() {
        let palermo = Position { lon: 13.361389, lat: 38.115556 };
        assert_eq!(Cell::at(palermo, STEP_MAX).score(), 3_479_099_956_230_698);
        assert_eq!(&Cell::standard_text(palermo), b"sqc8b49rny0");
    }

    proptest! {
        #[test]
        fn spreading_can_be_undone(value: u32, other: u32) {
            prop_assert_eq!(gather(spread(value) | spread(other) << 1), value);
            prop_assert_eq!(gather((spread(value) | spread(other) << 1) >> 1), other);
        }

        #[test]
        fn a_cell_holds_its_position_and_its_scores(position in position(), step in 1..=STEP_MAX) {
            let cell = Cell::at(position, step);
            prop_assert!(cell.area().contains(position));
            let score = Cell::at(position, STEP_MAX).score() as f64;
            let (from, to) = cell.scores();
            prop_assert!((from..to).contains(&score));
            prop_assert_eq!(Cell::of_score(score), Cell::at(position, STEP_MAX));
        }

        #[test]
        fn neighbours_are_mutual(position in position(), step in 1..=STEP_MAX, way in 0..9i32) {
            let (east, north) = (way % 3 - 1, way / 3 - 1);
            let cell = Cell::at(position, step);
            prop_assert_eq!(cell.neighbour(east, north).neighbour(-east, -north), cell);
        }
    }
}
