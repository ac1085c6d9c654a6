//! Members within an area: `GEOSEARCH`, its storing form, and the older `GEORADIUS` family.

use super::geohash::Position;
use super::partial_sort::sort_first;
use super::request::{Command, Order, Request, Store};
use super::{cut_to_int, position_of, write_distance, write_position};
use crate::args::Args;
use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::{BeginSearch, CommandSpec, FindKeys, KeySpec};
use perilune_keyspace::listpack::LpValue;
use perilune_keyspace::zset::ScoreRange;
use perilune_keyspace::{Bytes, ValueType, ZSet};
use perilune_resp::ReplyWriter;

/// The key behind a word, searched from an index.
const fn key_behind(word: &'static str, from: i32) -> KeySpec {
    KeySpec {
        flags: "OW update",
        begin: BeginSearch::Keyword(word, from),
        find: FindKeys::Range { last: 0, step: 1, limit: 0 },
        notes: "",
    }
}

/// What all searches cost.
const COMPLEXITY: &str =
    "O(N+log(M)) with N the number of members near the area and M the number of all";

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "georadius",
        arity: -6,
        flags: "write denyoom",
        acl: "geo",
        keys: &[KeySpec::one("RO access", 1), key_behind("STORE", 6), key_behind("STOREDIST", 6)],
        key_finder: Some(crate::keys::georadius_keys),
        since: "3.2.0",
        group: "geo",
        complexity: COMPLEXITY,
        summary: "Finds members within a distance of a position, or stores them.",
        args: "key:key longitude:double latitude:double radius:double unit=(M|KM|FT|MI) [WITHCOORD] [WITHDIST] [WITHHASH] [count-block={COUNT count:int [ANY@6.2.0]}] [order=(ASC|DESC)] [store=(STORE storekey:key#1<key>|STOREDIST storedistkey:key#2<key>)]",
        history: &[("6.2.0", "`ANY` after `COUNT`."), ("7.0.0", "Letters of units in any case.")],
        deprecated: Some((
            "6.2.0",
            "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument",
        )),
        handler: georadius,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "georadius_ro",
        arity: -6,
        flags: "readonly",
        acl: "geo",
        keys: &[KeySpec::one("RO access", 1)],
        since: "3.2.10",
        group: "geo",
        complexity: COMPLEXITY,
        summary: "Finds members within a distance of a position.",
        args: "key:key longitude:double latitude:double radius:double unit=(M|KM|FT|MI) [WITHCOORD] [WITHDIST] [WITHHASH] [count-block={COUNT count:int [ANY@6.2.0]}] [order=(ASC|DESC)]",
        deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument")),
        handler: georadius_ro,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "georadiusbymember",
        arity: -5,
        flags: "write denyoom",
        acl: "geo",
        keys: &[KeySpec::one("RO access", 1), key_behind("STORE", 5), key_behind("STOREDIST", 5)],
        key_finder: Some(crate::keys::georadius_keys),
        since: "3.2.0",
        group: "geo",
        complexity: COMPLEXITY,
        summary: "Finds members within a distance of a member, or stores them.",
        args: "key:key member radius:double unit=(M|KM|FT|MI) [WITHCOORD] [WITHDIST] [WITHHASH] [count-block={COUNT count:int [ANY]}] [order=(ASC|DESC)] [store=(STORE storekey:key#1<key>|STOREDIST storedistkey:key#2<key>)]",
        deprecated: Some((
            "6.2.0",
            "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
        )),
        handler: georadiusbymember,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "georadiusbymember_ro",
        arity: -5,
        flags: "readonly",
        acl: "geo",
        keys: &[KeySpec::one("RO access", 1)],
        since: "3.2.10",
        group: "geo",
        complexity: COMPLEXITY,
        summary: "Finds members within a distance of a member.",
        args: "key:key member radius:double unit=(M|KM|FT|MI) [WITHCOORD] [WITHDIST] [WITHHASH] [count-block={COUNT count:int [ANY]}] [order=(ASC|DESC)]",
        deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments")),
        handler: georadiusbymember_ro,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "geosearch",
        arity: -7,
        flags: "readonly",
        acl: "geo",
        keys: &[KeySpec::one("RO access", 1)],
        since: "6.2.0",
        group: "geo",
        complexity: COMPLEXITY,
        summary: "Finds members within a circle or a box.",
        args: "key:key from=(FROMMEMBER member|FROMLONLAT fromlonlat={longitude:double latitude:double}) by=(circle={BYRADIUS radius:double unit=(M|KM|FT|MI)}|box={BYBOX width:double height:double unit=(M|KM|FT|MI)}) [order=(ASC|DESC)] [count-block={COUNT count:int [ANY]}] [WITHCOORD] [WITHDIST] [WITHHASH]",
        handler: geosearch,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "geosearchstore",
        arity: -8,
        flags: "write denyoom",
        acl: "geo",
        keys: &[KeySpec::one("OW update", 1), KeySpec::one("RO access", 2)],
        since: "6.2.0",
        group: "geo",
        complexity: COMPLEXITY,
        summary: "Stores the members within a circle or a box.",
        args: "destination:key source:key#1 from=(FROMMEMBER member|FROMLONLAT fromlonlat={longitude:double latitude:double}) by=(circle={BYRADIUS radius:double unit=(M|KM|FT|MI)}|box={BYBOX width:double height:double unit=(M|KM|FT|MI)}) [order=(ASC|DESC)] [count-block={COUNT count:int [ANY]}] [STOREDIST]",
        handler: geosearchstore,
        ..CommandSpec::EMPTY
    },
];

fn georadius(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    search(ctx, args, Command::Radius, true, out)
}

fn georadius_ro(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    search(ctx, args, Command::Radius, false, out)
}

fn georadiusbymember(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    search(ctx, args, Command::RadiusByMember, true, out)
}

fn georadiusbymember_ro(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    search(ctx, args, Command::RadiusByMember, false, out)
}

fn geosearch(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    search(ctx, args, Command::Search, false, out)
}

fn geosearchstore(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    search(ctx, args, Command::SearchStore, true, out)
}

/// A member within the area.
struct Point<'z> {
    member: LpValue<'z>,
    score: f64,
    position: Position,
    distance_m: f64,
}

fn search(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    command: Command,
    may_store: bool,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let source = if command == Command::SearchStore { args[2] } else { args[1] };
    let limits = ctx.limits();
    let zset = ctx.read_as::<ZSet>(source)?;
    let request = Request::parse(args, command, may_store, zset)?;
    let mut points = zset.map(|zset| find(zset, &request)).unwrap_or_default();
    arrange(&mut points, request.order, request.count);
    let Some(store) = request.store else {
        write_points(out, &points, &request);
        return Ok(());
    };
    let members = members_to_store(&points, &request, store)?;
    let result = ZSet::from_sorted(&members, &limits);
    let event = if command.is_search() { "geosearchstore" } else { "georadiusstore" };
    store_result(ctx, store.key, result, event, out);
    Ok(())
}

/// The members within the area, in the order of the cells they are in.
fn find<'z>(zset: &'z ZSet, request: &Request<'_>) -> Vec<Point<'z>> {
    let wanted = if request.any { request.count.unwrap_or(usize::MAX) } else { usize::MAX };
    let mut points = Vec::new();
    let mut last = None;
    for (number, cell) in request.shape.cells().enumerate() {
        // Around a large area the cells on both sides of the center are the same.
        if last == Some(cell) {
            continue;
        }
        last = (number > 0).then_some(cell);
        let (min, max) = cell.scores();
        let range = ScoreRange { min, max, min_exclusive: false, max_exclusive: true };
        for scored in zset.range_by_score(&range, false, 0, None) {
            if points.len() >= wanted {
                return points;
            }
            let position = position_of(scored.score);
            if let Some(distance_m) = request.shape.distance_to(position) {
                let (member, score) = (scored.member, scored.score);
                points.push(Point { member, score, position, distance_m });
            }
        }
    }
    points
}

/// Puts points in order and leaves out those beyond `count`.
fn arrange(points: &mut Vec<Point<'_>>, order: Order, count: Option<usize>) {
    // Distances are not negative, so this is the order of numbers, and there is one for those that
    // rounding has made no number.
    let nearer = |a: &Point<'_>, b: &Point<'_>| a.distance_m.total_cmp(&b.distance_m);
    let by_distance = |a: &Point<'_>, b: &Point<'_>| match order {
        Order::Descending => nearer(b, a),
        _ => nearer(a, b),
    };
    let wanted = count.unwrap_or(usize::MAX).min(points.len());
    if order != Order::Found && wanted < points.len() {
        sort_first(points, wanted, by_distance);
    } else if order != Order::Found {
        points.sort_by(by_distance);
    }
    points.truncate(wanted);
}

fn write_points(out: &mut dyn ReplyWriter, points: &[Point<'_>], request: &Request<'_>) {
    let options = [request.with_distance, request.with_hash, request.with_position];
    let annotations = options.iter().filter(|option| **option).count();
    let mut digits = itoa::Buffer::new();
    out.array(points.len());
    for point in points {
        if annotations > 0 {
            out.array(1 + annotations);
        }
        out.bulk(point.member.as_slice(&mut digits));
        if request.with_distance {
            write_distance(out, point.distance_m / request.shape.unit_m);
        }
        if request.with_hash {
            out.int(cut_to_int(point.score));
        }
        if request.with_position {
            write_position(out, point.position);
        }
    }
}

/// The members of a result that is stored, in the order of a sorted set.
fn members_to_store(
    points: &[Point<'_>],
    request: &Request<'_>,
    store: Store<'_>,
) -> Result<Vec<(Bytes, f64)>, CommandError> {
    let mut digits = itoa::Buffer::new();
    let mut members = Vec::with_capacity(points.len());
    for point in points {
        let distance = point.distance_m / request.shape.unit_m;
        let score = if store.distances { distance } else { point.score };
        if score.is_nan() {
            return Err(errors::SCORE_NOT_A_NUMBER);
        }
        members.push((Bytes::new(point.member.as_slice(&mut digits)), score));
    }
    members.sort_unstable_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0[..].cmp(&b.0[..])));
    Ok(members)
}

/// Stores a result, or removes the key if it is empty, and replies with its size.
fn store_result(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    result: ZSet,
    event: &str,
    out: &mut dyn ReplyWriter,
) {
    let len = result.len();
    if len > 0 {
        ctx.expire_if_needed(key);
        ctx.put(key, result.into_value());
        ctx.modified_times(key, NotifyFlags::ZSET, event, len as u64);
    } else if ctx.remove(key, ctx.engine.config.lazyfree_lazy_server_del) {
        ctx.modified(key, NotifyFlags::GENERIC, "del");
    }
    out.int(len as i64);
}
