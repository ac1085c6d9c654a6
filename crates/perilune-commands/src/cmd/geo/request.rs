//! What a search is asked for: one set of options for all the commands that search.
//!
//! The commands differ in where their options begin, in what has been said before them, and in how
//! a result is stored. Errors come in the order in which Redis finds them, which is why the sorted
//! set is needed here: a member that is the center is looked up when its name is read.

use super::shape::{Outline, Shape};
use super::{parse_position, parse_unit, position_of};
use crate::args::Args;
use crate::errors::{self, CommandError};
use perilune_keyspace::ZSet;

/// The commands, without their read-only twins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    /// `GEORADIUS`.
    Radius,
    /// `GEORADIUSBYMEMBER`.
    RadiusByMember,
    /// `GEOSEARCH`.
    Search,
    /// `GEOSEARCHSTORE`.
    SearchStore,
}

impl Command {
    /// Whether center and outline are options.
    pub(super) fn is_search(self) -> bool {
        matches!(self, Command::Search | Command::SearchStore)
    }
}

/// In which order members are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Found,
    Ascending,
    Descending,
}

/// Where the result goes instead of to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Store<'a> {
    pub(super) key: &'a [u8],
    /// With the distances as scores.
    pub(super) distances: bool,
}

/// A search as it was asked for.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) shape: Shape,
    pub(super) order: Order,
    /// How many members at most.
    pub(super) count: Option<usize>,
    /// Whether any members will do, not only the nearest.
    pub(super) any: bool,
    pub(super) with_distance: bool,
    pub(super) with_hash: bool,
    pub(super) with_position: bool,
    pub(super) store: Option<Store<'a>>,
}

/// Reads a request from the front to the back.
struct Parser<'a, 'z> {
    args: Args<'a>,
    command: Command,
    /// Whether `STORE` and `STOREDIST` exist.
    may_store: bool,
    /// The set to search, if there is one.
    zset: Option<&'z ZSet>,
    from_member: bool,
    from_position: bool,
    by_radius: bool,
    by_box: bool,
    request: Request<'a>,
}

impl<'a> Request<'a> {
    /// Reads the arguments of `command`. Without a set the shape may be meaningless.
    pub(super) fn parse(
        args: Args<'a>,
        command: Command,
        may_store: bool,
        zset: Option<&ZSet>,
    ) -> Result<Request<'a>, CommandError> {
        let nowhere = super::Position { lon: 0.0, lat: 0.0 };
        let outline = Outline::Circle { radius: 0.0 };
        let request = Request {
            shape: Shape { center: nowhere, outline, unit_m: 1.0 },
            order: Order::Found,
            count: None,
            any: false,
            with_distance: false,
            with_hash: false,
            with_position: false,
            store: None,
        };
        let mut parser = Parser {
            args,
            command,
            may_store,
            zset,
            from_member: false,
            from_position: false,
            by_radius: false,
            by_box: false,
            request,
        };
        let mut at = parser.positional()?;
        while at < args.len() {
            at += parser.option(at)?;
        }
        parser.finish()
    }
}

impl<'a> Parser<'a, '_> {
    /// Reads what stands at fixed places, and tells where the options begin.
    fn positional(&mut self) -> Result<usize, CommandError> {
        match self.command {
            Command::Radius => {
                self.request.shape.center = parse_position(self.args, 2)?;
                self.radius(4)?;
                Ok(6)
            }
            Command::RadiusByMember => {
                // Without a set nothing of this is looked at, as in Redis.
                if self.zset.is_some() {
                    self.member(2)?;
                    self.radius(3)?;
                }
                Ok(5)
            }
            Command::Search => Ok(2),
            Command::SearchStore => {
                self.request.store = Some(Store { key: self.args[1], distances: false });
                Ok(3)
            }
        }
    }

    /// Reads the option at `at`; how many arguments it takes.
    fn option(&mut self, at: usize) -> Result<usize, CommandError> {
        let args = self.args;
        let operands = args.len() - at - 1;
        let is = |word: &str| args.is(at, word);
        if is("withdist") {
            self.request.with_distance = true;
        } else if is("withhash") {
            self.request.with_hash = true;
        } else if is("withcoord") {
            self.request.with_position = true;
        } else if is("any") {
            self.request.any = true;
        } else if is("asc") {
            self.request.order = Order::Ascending;
        } else if is("desc") {
            self.request.order = Order::Descending;
        } else if is("count") && operands >= 1 {
            let count = usize::try_from(args.int(at + 1)?).ok().filter(|count| *count > 0);
            self.request.count = Some(count.ok_or(errors::GEO_COUNT)?);
            return Ok(2);
        } else if self.command.is_search() {
            return self.search_option(at);
        } else if (is("store") || is("storedist")) && operands >= 1 && self.may_store {
            let key = args.get(at + 1).unwrap_or_default();
            self.request.store = Some(Store { key, distances: is("storedist") });
            return Ok(2);
        } else {
            return Err(errors::SYNTAX);
        }
        Ok(1)
    }

    /// Reads an option that only `GEOSEARCH` and `GEOSEARCHSTORE` have.
    fn search_option(&mut self, at: usize) -> Result<usize, CommandError> {
        let args = self.args;
        let operands = args.len() - at - 1;
        let is = |word: &str| args.is(at, word);
        if is("storedist")
            && let Some(store) = &mut self.request.store
        {
            store.distances = true;
            Ok(1)
        } else if is("frommember") && operands >= 1 && !self.from_position {
            self.from_member = true;
            if self.zset.is_some() {
                self.member(at + 1)?;
            }
            Ok(2)
        } else if is("fromlonlat") && operands >= 2 && !self.from_member {
            self.from_position = true;
            self.request.shape.center = parse_position(args, at + 1)?;
            Ok(3)
        } else if is("byradius") && operands >= 2 && !self.by_box {
            self.by_radius = true;
            self.radius(at + 1)?;
            Ok(3)
        } else if is("bybox") && operands >= 3 && !self.by_radius {
            self.by_box = true;
            self.rectangle(at + 1)?;
            Ok(4)
        } else {
            Err(errors::SYNTAX)
        }
    }

    /// Takes the position of a member for the center.
    fn member(&mut self, index: usize) -> Result<(), CommandError> {
        let member = self.args.get(index).unwrap_or_default();
        let score = self.zset.and_then(|zset| zset.score(member));
        self.request.shape.center = position_of(score.ok_or(errors::GEO_NO_MEMBER)?);
        Ok(())
    }

    /// Reads a radius and its unit.
    fn radius(&mut self, index: usize) -> Result<(), CommandError> {
        let radius = self.args.float(index).map_err(|_| errors::GEO_RADIUS_NOT_A_FLOAT)?;
        if radius < 0.0 {
            return Err(errors::GEO_RADIUS_NEGATIVE);
        }
        self.request.shape.outline = Outline::Circle { radius };
        self.request.shape.unit_m = parse_unit(self.args, index + 1)?;
        Ok(())
    }

    /// Reads width, height and their unit.
    fn rectangle(&mut self, index: usize) -> Result<(), CommandError> {
        let width = self.args.float(index).map_err(|_| errors::GEO_WIDTH_NOT_A_FLOAT)?;
        let height = self.args.float(index + 1).map_err(|_| errors::GEO_HEIGHT_NOT_A_FLOAT)?;
        if width < 0.0 || height < 0.0 {
            return Err(errors::GEO_BOX_NEGATIVE);
        }
        self.request.shape.outline = Outline::Box { width, height };
        self.request.shape.unit_m = parse_unit(self.args, index + 2)?;
        Ok(())
    }

    /// Checks that everything goes together.
    fn finish(self) -> Result<Request<'a>, CommandError> {
        let mut request = self.request;
        let annotated = request.with_distance || request.with_hash || request.with_position;
        if request.store.is_some() && annotated {
            return Err(match self.command {
                Command::SearchStore => errors::GEOSEARCHSTORE_WITH,
                _ => errors::GEORADIUS_STORE_WITH,
            });
        }
        if self.command.is_search() && !(self.from_member || self.from_position) {
            return Err(errors::geo_one_of("FROMMEMBER or FROMLONLAT", self.args.name()));
        }
        if self.command.is_search() && !(self.by_radius || self.by_box) {
            return Err(errors::geo_one_of("BYRADIUS and BYBOX", self.args.name()));
        }
        if request.any && request.count.is_none() {
            return Err(errors::GEO_ANY_WITHOUT_COUNT);
        }
        // The first members mean little without an order, unless any will do.
        if request.count.is_some() && request.order == Order::Found && !request.any {
            request.order = Order::Ascending;
        }
        Ok(request)
    }
}
