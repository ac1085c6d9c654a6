//! Members and their positions: `GEOADD`, `GEOPOS`, `GEODIST`, `GEOHASH`.

use super::geohash::{Cell, STEP_MAX};
use super::shape::distance_m;
use super::{parse_position, parse_unit, position_of, write_distance, write_position};
use crate::args::Args;
use crate::cmd::zset::members::zadd;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::ZSet;
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "geoadd",
        arity: -5,
        flags: "write denyoom",
        acl: "geo",
        keys: &[KeySpec::one("RW update", 1)],
        since: "3.2.0",
        group: "geo",
        complexity: "O(log(N)) for each member, with N the number of members",
        summary: "Gives members of a sorted set positions, adding them if needed.",
        args: "key:key [condition@6.2.0=(NX|XX)] [change:'CH'@6.2.0] data={longitude:double latitude:double member}...",
        history: &[("6.2.0", "`CH`, `NX` and `XX`.")],
        handler: geoadd,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "geodist",
        arity: -4,
        flags: "readonly",
        acl: "geo",
        keys: &[KeySpec::one("RO access", 1)],
        since: "3.2.0",
        group: "geo",
        complexity: "O(1)",
        summary: "Measures how far two members are from each other.",
        args: "key:key member1 member2 [unit=(M|KM|FT|MI)]",
        handler: geodist,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "geohash",
        arity: -2,
        flags: "readonly",
        acl: "geo",
        keys: &[KeySpec::one("RO access", 1)],
        since: "3.2.0",
        group: "geo",
        complexity: "O(1) for each member",
        summary: "Writes the positions of members as geohashes of eleven letters.",
        args: "key:key [member...]",
        handler: geohash,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "geopos",
        arity: -2,
        flags: "readonly",
        acl: "geo",
        keys: &[KeySpec::one("RO access", 1)],
        since: "3.2.0",
        group: "geo",
        complexity: "O(1) for each member",
        summary: "Reads the positions of members.",
        args: "key:key [member...]",
        handler: geopos,
        ..CommandSpec::EMPTY
    },
];

/// `GEOADD` is `ZADD` with positions in place of scores, and is passed on as that.
fn geoadd(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let mut first = 2;
    let (mut nx, mut xx) = (false, false);
    loop {
        match (args.is(first, "nx"), args.is(first, "xx"), args.is(first, "ch")) {
            (true, _, _) => nx = true,
            (_, true, _) => xx = true,
            (_, _, true) => {}
            _ => break,
        }
        first += 1;
    }
    let points = args.from(first);
    if !points.len().is_multiple_of(3) || (nx && xx) {
        return Err(errors::SYNTAX);
    }
    let positions = (first..args.len()).step_by(3).map(|at| parse_position(args, at));
    let scores = positions.map(|position| {
        let score = Cell::at(position?, STEP_MAX).score();
        Ok(itoa::Buffer::new().format(score).as_bytes().to_vec())
    });
    let scores: Vec<Vec<u8>> = scores.collect::<Result<_, CommandError>>()?;
    let mut argv: Vec<&[u8]> = vec![b"zadd"];
    argv.extend(&args.all()[1..first]);
    for (score, point) in scores.iter().zip(points.chunks_exact(3)) {
        argv.extend([score, point[2]]);
    }
    let dirty = ctx.engine.dirty;
    zadd(ctx, Args::new(&argv), out)?;
    if ctx.engine.dirty != dirty {
        ctx.propagate_as(&argv);
    }
    Ok(())
}

fn geodist(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let unit_m = match args.len() {
        4 => 1.0,
        5 => parse_unit(args, 4)?,
        _ => return Err(errors::SYNTAX),
    };
    let zset = ctx.read_as::<ZSet>(args[1])?;
    let score = |member: &[u8]| zset.and_then(|zset| zset.score(member));
    match (score(args[2]), score(args[3])) {
        (Some(from), Some(to)) => {
            write_distance(out, distance_m(position_of(from), position_of(to)) / unit_m);
        }
        _ => out.null(),
    }
    Ok(())
}

fn geohash(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let zset = ctx.read_as::<ZSet>(args[1])?;
    let members = args.from(2);
    out.array(members.len());
    for member in members {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => out.bulk(&Cell::standard_text(position_of(score))),
            None => out.null(),
        }
    }
    Ok(())
}

fn geopos(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let zset = ctx.read_as::<ZSet>(args[1])?;
    let members = args.from(2);
    out.array(members.len());
    for member in members {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => write_position(out, position_of(score)),
            None => out.null_array(),
        }
    }
    Ok(())
}
