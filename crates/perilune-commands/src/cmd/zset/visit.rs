//! Random members, and the scan.

use super::Layout;
use crate::args::Args;
use crate::cmd::random_count::{RandomCount, bytes_in_reply, pick_in_rounds};
use crate::cmd::scan;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::reply::{bulk_value, bulk_value_or_null};
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::ZSet;
use perilune_keyspace::zset::Scored;
use perilune_resp::{ReplyWriter, format_double};

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "zrandmember",
        arity: -2,
        flags: "readonly",
        acl: "sortedset",
        keys: &[KeySpec::one("RO access", 1)],
        since: "6.2.0",
        group: "sorted-set",
        complexity: "O(N) with N the number of members returned",
        summary: "Picks members of a sorted set at random.",
        args: "key:key [options={count:int [WITHSCORES]}]",
        tips: &["nondeterministic_output"],
        handler: zrandmember,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "zscan",
        arity: -3,
        flags: "readonly",
        acl: "sortedset",
        keys: &[KeySpec::one("RO access", 1)],
        since: "2.8.0",
        group: "sorted-set",
        complexity: "O(1) a call, O(N) for the whole sorted set",
        summary: "Walks over a sorted set a few members at a time.",
        args: "key:key cursor:int [MATCH pattern:pattern] [COUNT count:int]",
        tips: &["nondeterministic_output"],
        handler: zscan,
        ..CommandSpec::EMPTY
    },
];

fn zrandmember(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let mut rng = ctx.fork_rng();
    if args.len() == 2 {
        let zset = ctx.read_as::<ZSet>(args[1])?;
        let picked = zset.and_then(|zset| zset.random(&mut rng));
        bulk_value_or_null(out, picked.map(|pair| pair.member));
        return Ok(());
    }
    let count = RandomCount::parse(args, 2)?;
    let with_scores = args.len() == 4 && args.is(3, "withscores");
    if args.len() > 3 && !with_scores {
        return Err(errors::SYNTAX);
    }
    if with_scores && !count.may_double() {
        return Err(errors::OUT_OF_RANGE);
    }
    let bytes_max = ctx.engine.reply_bytes_max(ctx.client);
    let Some(zset) = ctx.read_as::<ZSet>(args[1])? else {
        out.array(0);
        return Ok(());
    };
    let picks = count.of(zset.len(), bytes_max)?;
    let layout = Layout::of(with_scores, out);
    layout.begin(picks, out);
    let mut reply = |pair: Scored<'_>| {
        layout.member(pair.score, out, |out| bulk_value(out, pair.member));
    };
    if let RandomCount::Distinct(_) = count {
        zset.random_distinct(picks, &mut rng, reply);
        return Ok(());
    }
    let all = pick_in_rounds(picks, bytes_max, |some| {
        let mut bytes = 0;
        zset.random_repeated(some, &mut rng, |pair| {
            bytes += bytes_in_reply(pair.member);
            reply(pair);
        });
        bytes
    });
    if !all {
        ctx.engine.close_for_output(ctx.client);
    }
    Ok(())
}

fn zscan(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let cursor = scan::parse_cursor(args[2])?;
    let Some(zset) = ctx.read_as::<ZSet>(args[1])? else {
        scan::begin_reply(out, 0, 0);
        return Ok(());
    };
    let (cursor, found) = scan::elements(args, cursor, |cursor, each| {
        zset.scan(cursor, &mut |pair| each(pair.member, pair))
    })?;
    scan::begin_reply(out, cursor, 2 * found.len());
    let small = zset.as_listpack().is_some();
    let mut text = Vec::new();
    for pair in found {
        text.clear();
        // Redis shows a listpack's own text, and formats the scores of a skiplist with all digits.
        if small {
            format_double(pair.score, &mut text);
        } else {
            format_all_digits(pair.score, &mut text);
        }
        bulk_value(out, pair.member);
        out.bulk(&text);
    }
    Ok(())
}

/// Significant digits that tell every double from all others.
const DIGITS: i32 = 17;

/// Appends a number with 17 significant digits, less zeros at the end: what C formats with
/// `%.17g`.
fn format_all_digits(value: f64, out: &mut Vec<u8>) {
    if value.is_infinite() {
        return out.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
    }
    let scientific = format!("{value:.*e}", DIGITS as usize - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let without_zeros = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    let text = if (-4..DIGITS).contains(&exponent) {
        without_zeros(&format!("{value:.*}", (DIGITS - 1 - exponent) as usize))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", without_zeros(mantissa), exponent.abs())
    };
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_digits_are_those_of_printf() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-17.5, "-17.5"),
            (0.1, "0.10000000000000001"),
            (1.0 / 3.0, "0.33333333333333331"),
            (100_000.0, "100000"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1.5e300, "1.5000000000000001e+300"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            let mut written = Vec::new();
            format_all_digits(value, &mut written);
            assert_eq!(String::from_utf8_lossy(&written), text);
        }
    }
}
