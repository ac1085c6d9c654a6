//! The area of a search, distances, and the cells that cover the area.
//!
//! The earth is a sphere whose radius is the quadratic mean of WGS-84's, and distances follow the
//! haversine formula.
//!
//! A search looks at the cell of its center and the eight around it, of a size such that these hold
//! the whole area. Those that the area cannot reach are left out.

use super::geohash::{Cell, Position, Rectangle, STEP_MAX};

/// Quadratic mean radius of the earth.
const EARTH_RADIUS_M: f64 = 6_372_797.560856;
/// Half the width of the Mercator map.
const MERCATOR_MAX_M: f64 = 20_037_726.37;
/// A degree.
const RADIANS: f64 = std::f64::consts::PI / 180.0;

/// The outline of an area, in units of length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Outline {
    Circle { radius: f64 },
    Box { width: f64, height: f64 },
}

/// The area of a search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    pub(super) center: Position,
    pub(super) outline: Outline,
    /// Meters of the unit of length.
    pub(super) unit_m: f64,
}

impl Shape {
    /// How far a position is from the center, in meters, if it is inside.
    pub(super) fn distance_to(&self, to: Position) -> Option<f64> {
        let center = self.center;
        match self.outline {
            Outline::Circle { radius } => {
                let distance = distance_m(center, to);
                // A distance that rounding has made no number is not outside.
                let outside = distance > radius * self.unit_m;
                (!outside).then_some(distance)
            }
            Outline::Box { width, height } => {
                let (width_m, height_m) = (width * self.unit_m, height * self.unit_m);
                let along = Position { lon: center.lon, lat: to.lat };
                let outside = meridian_distance_m(to.lat, center.lat) > height_m / 2.0
                    || distance_m(to, along) > width_m / 2.0;
                (!outside).then(|| distance_m(center, to))
            }
        }
    }

    /// The cells to search, in order. Those next to each other in the list may be the same.
    pub(super) fn cells(&self) -> impl Iterator<Item = Cell> {
        /// East and north of the center's cell.
        const WAYS: [(i32, i32); 9] =
            [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];
        let bounds = self.bounds();
        let mut step = self.step();
        let mut cell = Cell::at(self.center, step);
        if step > 1 && !neighbours_cover(cell, &bounds) {
            step -= 1;
            cell = Cell::at(self.center, step);
        }
        let Rectangle { min, max } = cell.area();
        // The cells of one step go round the whole map.
        let choose = step >= 2;
        let no_south = choose && min.lat < bounds.min.lat;
        let no_north = choose && max.lat > bounds.max.lat;
        let no_west = choose && min.lon < bounds.min.lon;
        let no_east = choose && max.lon > bounds.max.lon;
        let reaches = move |east: i32, north: i32| {
            !(north < 0 && no_south
                || north > 0 && no_north
                || east < 0 && no_west
                || east > 0 && no_east)
        };
        let ways = WAYS.into_iter().filter(move |(east, north)| reaches(*east, *north));
        ways.map(move |(east, north)| cell.neighbour(east, north))
    }

    /// Half the width and half the height, in meters.
    fn half_extent_m(&self) -> (f64, f64) {
        match self.outline {
            Outline::Circle { radius } => (self.unit_m * radius, self.unit_m * radius),
            Outline::Box { width, height } => {
                (self.unit_m * (width / 2.0), self.unit_m * (height / 2.0))
            }
        }
    }

    /// The part of the map that holds the area. In degrees the area is widest at the edge that is
    /// nearer to a pole.
    fn bounds(&self) -> Rectangle {
        let Position { lon, lat } = self.center;
        let (half_width, half_height) = self.half_extent_m();
        let lat_delta = half_height / EARTH_RADIUS_M / RADIANS;
        let side = if lat < 0.0 { lat - lat_delta } else { lat + lat_delta };
        let lon_delta = half_width / EARTH_RADIUS_M / (side * RADIANS).cos() / RADIANS;
        Rectangle {
            min: Position { lon: lon - lon_delta, lat: lat - lat_delta },
            max: Position { lon: lon + lon_delta, lat: lat + lat_delta },
        }
    }

    /// Bits per axis of cells that are about as large as the area.
    fn step(&self) -> u32 {
        let radius = match self.outline {
            Outline::Circle { radius } => radius,
            Outline::Box { width, height } => {
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt()
            }
        };
        let mut radius_m = radius * self.unit_m;
        if radius_m == 0.0 {
            return STEP_MAX;
        }
        // Two less than would do, so that nine cells hold the area in nearly all cases.
        let mut step: i32 = -1;
        while radius_m < MERCATOR_MAX_M {
            radius_m *= 2.0;
            step += 1;
        }
        // Cells are narrower towards the poles.
        let lat = self.center.lat.abs();
        step -= i32::from(lat > 66.0) + i32::from(lat > 80.0);
        step.clamp(1, STEP_MAX as i32) as u32
    }
}

/// Whether the neighbours of a cell reach beyond `bounds` on all sides.
fn neighbours_cover(cell: Cell, bounds: &Rectangle) -> bool {
    !(cell.neighbour(0, 1).area().max.lat < bounds.max.lat
        || cell.neighbour(0, -1).area().min.lat > bounds.min.lat
        || cell.neighbour(1, 0).area().max.lon < bounds.max.lon
        || cell.neighbour(-1, 0).area().min.lon > bounds.min.lon)
}

/// The distance between two positions, in meters.
pub(super) fn distance_m(from: Position, to: Position) -> f64 {
    let v = ((to.lon * RADIANS - from.lon * RADIANS) / 2.0).sin();
    if v == 0.0 {
        return meridian_distance_m(from.lat, to.lat);
    }
    let (from_lat, to_lat) = (from.lat * RADIANS, to.lat * RADIANS);
    let u = ((to_lat - from_lat) / 2.0).sin();
    let a = u * u + from_lat.cos() * to_lat.cos() * v * v;
    2.0 * EARTH_RADIUS_M * a.sqrt().asin()
}

/// The distance between two latitudes, in meters.
fn meridian_distance_m(from_lat: f64, to_lat: f64) -> f64 {
    EARTH_RADIUS_M * (to_lat * RADIANS - from_lat * RADIANS).abs()
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
    fn a_known_distance() {
        let palermo = Position { lon: 13.361389, lat: 38.115556 };
        let catania = Position { lon: 15.087269, lat: 37.502669 };
        assert!((distance_m(palermo, catania) - 166_274.0).abs() < 1.0);
    }

    proptest! {
        #[test]
        fn the_way_back_is_as_long(from in position(), to in position()) {
            let (there, back) = (distance_m(from, to), distance_m(to, from));
            prop_assert!((there - back).abs() <= there * 1e-9);
        }

        #[test]
        fn what_is_inside_is_in_one_of_the_cells(
            center in position(),
            // The cells of larger areas, or of those near the poles, do not go round the globe.
            radius_km in 0.001..300.0f64,
            (east, north) in (-1.0..1.0f64, -1.0..1.0f64),
        ) {
            prop_assume!(center.lat.abs() < 70.0 && center.lon.abs() < 160.0);
            let shape = Shape { center, outline: Outline::Circle { radius: radius_km }, unit_m: 1e3 };
            let degrees = radius_km / 111.0;
            let lon = center.lon + east * degrees / (center.lat * RADIANS).cos();
            let to = Position { lon, lat: center.lat + north * degrees };
            if shape.distance_to(to).is_some() {
                let score = Cell::at(to, STEP_MAX).score() as f64;
                let holds = |cell: Cell| {
                    let (from, to) = cell.scores();
                    (from..to).contains(&score)
                };
                prop_assert!(shape.cells().any(holds));
            }
        }
    }
}
