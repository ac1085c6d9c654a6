//! Commands on hashes.
//!
//! A hash that loses its last field is removed with its key, so no handler leaves an empty one
//! behind: those that may create a hash always put a field into a fresh one.

use super::random_count::{RandomCount, bytes_in_reply, pick_in_rounds};
use super::scan;
use crate::args::Args;
use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::long_double::{self, AddError};
use crate::reply::{bulk_value, bulk_value_or_null};
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::{Hash, LpValue};
use perilune_resp::{Protocol, ReplyWriter};

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "hdel",
        arity: -3,
        flags: "write fast",
        acl: "hash",
        keys: &[KeySpec::one("RW delete", 1)],
        since: "2.0.0",
        group: "hash",
        complexity: "O(N) with N the number of fields",
        summary: "Removes fields of a hash.",
        args: "key:key field...",
        handler: hdel,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "hexists",
        arity: 3,
        flags: "readonly fast",
        acl: "hash",
        keys: &[KeySpec::one("RO", 1)],
        since: "2.0.0",
        group: "hash",
        complexity: "O(1)",
        summary: "Tells whether a hash has a field.",
        args: "key:key field",
        handler: hexists,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "hget",
        arity: 3,
        flags: "readonly fast",
        acl: "hash",
        keys: &[KeySpec::one("RO access", 1)],
        since: "2.0.0",
        group: "hash",
        complexity: "O(1)",
        summary: "Reads a field of a hash.",
        args: "key:key field",
        handler: hget,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "hgetall",
        arity: 2,
        flags: "readonly",
        acl: "hash",
        keys: &[KeySpec::one("RO access", 1)],
        since: "2.0.0",
        group: "hash",
        complexity: "O(N) with N the size of the hash",
        summary: "Reads every field and value of a hash.",
        args: "key:key",
        tips: &["nondeterministic_output_order"],
        handler: hgetall,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "hincrby",
        arity: 4,
        flags: "write denyoom fast",
        acl: "hash",
        keys: &[KeySpec::one("RW access update", 1)],
        since: "2.0.0",
        group: "hash",
        complexity: "O(1)",
        summary: "Raises an integer field by the given amount; a missing one counts as 0.",
        args: "key:key field increment:int",
        handler: hincrby,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "hincrbyfloat",
        arity: 4,
        flags: "write denyoom fast",
        acl: "hash",
        keys: &[KeySpec::one("RW access update", 1)],
        since: "2.6.0",
        group: "hash",
        complexity: "O(1)",
        summary: "Raises a floating point field by the given amount; a missing one counts as 0.",
        args: "key:key field increment:double",
        handler: hincrbyfloat,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "hkeys",
        arity: 2,
        flags: "readonly",
        acl: "hash",
        keys: &[KeySpec::one("RO access", 1)],
        since: "2.0.0",
        group: "hash",
        complexity: "O(N) with N the size of the hash",
        summary: "Lists the field names of a hash.",
        args: "key:key",
        tips: &["nondeterministic_output_order"],
        handler: hkeys,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "hlen",
        arity: 2,
        flags: "readonly fast",
        acl: "hash",
        keys: &[KeySpec::one("RO", 1)],
        since: "2.0.0",
        group: "hash",
        complexity: "O(1)",
        summary: "Counts the fields of a hash.",
        args: "key:key",
        handler: hlen,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "hmget",
        arity: -3,
        flags: "readonly fast",
        acl: "hash",
        keys: &[KeySpec::one("RO access", 1)],
        since: "2.0.0",
        group: "hash",
        complexity: "O(N) with N the number of fields",
        summary: "Reads several fields of a hash.",
        args: "key:key field...",
        handler: hmget,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "hmset",
        arity: -4,
        flags: "write denyoom fast",
        acl: "hash",
        keys: &[KeySpec::one("RW update", 1)],
        since: "2.0.0",
        group: "hash",
        complexity: "O(N) with N the number of fields",
        summary: "Writes several fields of a hash.",
        args: "key:key data={field value}...",
        deprecated: Some(("4.0.0", "`HSET` with multiple field-value pairs")),
        handler: hmset,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "hrandfield",
        arity: -2,
        flags: "readonly",
        acl: "hash",
        keys: &[KeySpec::one("RO access", 1)],
        since: "6.2.0",
        group: "hash",
        complexity: "O(N) with N the number of fields returned",
        summary: "Picks fields of a hash at random.",
        args: "key:key [options={count:int [WITHVALUES]}]",
        tips: &["nondeterministic_output"],
        handler: hrandfield,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "hscan",
        arity: -3,
        flags: "readonly",
        acl: "hash",
        keys: &[KeySpec::one("RO access", 1)],
        since: "2.8.0",
        group: "hash",
        complexity: "O(1) a call, O(N) for the whole hash",
        summary: "Walks over a hash a few fields at a time.",
        args: "key:key cursor:int [MATCH pattern:pattern] [COUNT count:int]",
        tips: &["nondeterministic_output"],
        handler: hscan,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "hset",
        arity: -4,
        flags: "write denyoom fast",
        acl: "hash",
        keys: &[KeySpec::one("RW update", 1)],
        since: "2.0.0",
        group: "hash",
        complexity: "O(N) with N the number of fields",
        summary: "Writes fields of a hash.",
        args: "key:key data={field value}...",
        handler: hset,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "hsetnx",
        arity: 4,
        flags: "write denyoom fast",
        acl: "hash",
        keys: &[KeySpec::one("RW insert", 1)],
        since: "2.0.0",
        group: "hash",
        complexity: "O(1)",
        summary: "Writes a field of a hash unless it exists.",
        args: "key:key field value",
        handler: hsetnx,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "hstrlen",
        arity: 3,
        flags: "readonly fast",
        acl: "hash",
        keys: &[KeySpec::one("RO", 1)],
        since: "3.2.0",
        group: "hash",
        complexity: "O(1)",
        summary: "Tells how many bytes the value of a field has.",
        args: "key:key field",
        handler: hstrlen,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "hvals",
        arity: 2,
        flags: "readonly",
        acl: "hash",
        keys: &[KeySpec::one("RO access", 1)],
        since: "2.0.0",
        group: "hash",
        complexity: "O(N) with N the size of the hash",
        summary: "Lists the values of a hash.",
        args: "key:key",
        tips: &["nondeterministic_output_order"],
        handler: hvals,
        ..CommandSpec::EMPTY
    },
];

fn hset(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let created = set_fields(ctx, args, b"hset")?;
    out.int(created as i64);
    Ok(())
}

fn hmset(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    set_fields(ctx, args, b"hmset")?;
    out.ok();
    Ok(())
}

/// Sets the fields of `HSET` and `HMSET`; returns how many are new.
fn set_fields(ctx: &mut Ctx<'_>, args: Args<'_>, name: &[u8]) -> Result<usize, CommandError> {
    let (key, words) = (args[1], args.from(2));
    if words.len() % 2 == 1 {
        return Err(errors::wrong_arity(name));
    }
    let limits = ctx.limits();
    let hash = ctx.write_or_create(key, Hash::new)?;
    hash.expect(words.iter().copied(), &limits);
    let pairs = words.chunks_exact(2);
    let changes = pairs.len() as u64;
    let created = pairs.filter(|pair| hash.set(pair[0], pair[1], &limits)).count();
    ctx.modified_times(key, NotifyFlags::HASH, "hset", changes);
    Ok(created)
}

fn hsetnx(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let (key, field, value) = (args[1], args[2], args[3]);
    let limits = ctx.limits();
    let hash = ctx.write_or_create(key, Hash::new)?;
    let fresh = !hash.contains(field);
    if fresh {
        hash.set(field, value, &limits);
        ctx.modified(key, NotifyFlags::HASH, "hset");
    }
    out.int(fresh.into());
    Ok(())
}

fn hdel(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let key = args[1];
    let Some(hash) = ctx.write_as::<Hash>(key)? else {
        out.int(0);
        return Ok(());
    };
    let removed = args.from(2).iter().filter(|field| hash.remove(field)).count();
    let emptied = hash.is_empty();
    if removed > 0 {
        ctx.modified_times(key, NotifyFlags::HASH, "hdel", removed as u64);
    }
    if emptied {
        ctx.remove_emptied(key);
    }
    out.int(removed as i64);
    Ok(())
}

fn hincrby(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let (key, field) = (args[1], args[2]);
    let increment = args.int(3)?;
    let limits = ctx.limits();
    let hash = ctx.write_or_create(key, Hash::new)?;
    let old = match hash.get(field) {
        Some(value) => value.as_int().ok_or(errors::HASH_VALUE_NOT_AN_INTEGER)?,
        None => 0,
    };
    let new = old.checked_add(increment).ok_or(errors::INCREMENT_OVERFLOW)?;
    hash.set(field, itoa::Buffer::new().format(new).as_bytes(), &limits);
    ctx.modified(key, NotifyFlags::HASH, "hincrby");
    out.int(new);
    Ok(())
}

fn hincrbyfloat(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let (key, field, increment) = (args[1], args[2], args[3]);
    // Before a hash is made: a fresh one must get its field.
    long_double::check_second(increment).map_err(float_error)?;
    let limits = ctx.limits();
    let hash = ctx.write_or_create(key, Hash::new)?;
    let mut digits = itoa::Buffer::new();
    let old = hash.get(field).unwrap_or(LpValue::Int(0));
    let new = long_double::add(old.as_slice(&mut digits), increment).map_err(float_error)?;
    hash.set(field, &new, &limits);
    ctx.modified(key, NotifyFlags::HASH, "hincrbyfloat");
    ctx.propagate_as(&[b"HSET", key, field, &new]);
    out.bulk(&new);
    Ok(())
}

fn float_error(error: AddError) -> CommandError {
    match error {
        AddError::First => errors::HASH_VALUE_NOT_A_FLOAT,
        AddError::Second => errors::NOT_A_FLOAT,
        AddError::SecondInfinite => errors::INCREMENT_INFINITE,
        AddError::NotFinite => errors::INCREMENT_NOT_FINITE,
    }
}

fn hget(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let hash = ctx.read_as::<Hash>(args[1])?;
    bulk_value_or_null(out, hash.and_then(|hash| hash.get(args[2])));
    Ok(())
}

fn hmget(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let hash = ctx.read_as::<Hash>(args[1])?;
    let fields = args.from(2);
    out.array(fields.len());
    for field in fields {
        bulk_value_or_null(out, hash.and_then(|hash| hash.get(field)));
    }
    Ok(())
}

fn hexists(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let hash = ctx.read_as::<Hash>(args[1])?;
    out.int(hash.is_some_and(|hash| hash.contains(args[2])).into());
    Ok(())
}

fn hlen(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let hash = ctx.read_as::<Hash>(args[1])?;
    out.int(hash.map_or(0, Hash::len) as i64);
    Ok(())
}

fn hstrlen(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let hash = ctx.read_as::<Hash>(args[1])?;
    out.int(hash.map_or(0, |hash| hash.value_len(args[2])) as i64);
    Ok(())
}

fn hgetall(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let hash = ctx.read_as::<Hash>(args[1])?;
    out.map(hash.map_or(0, Hash::len));
    for (field, value) in hash.into_iter().flat_map(Hash::iter) {
        bulk_value(out, field);
        bulk_value(out, value);
    }
    Ok(())
}

fn hkeys(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let hash = ctx.read_as::<Hash>(args[1])?;
    out.array(hash.map_or(0, Hash::len));
    hash.into_iter().flat_map(Hash::iter).for_each(|(field, _)| bulk_value(out, field));
    Ok(())
}

fn hvals(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let hash = ctx.read_as::<Hash>(args[1])?;
    out.array(hash.map_or(0, Hash::len));
    hash.into_iter().flat_map(Hash::iter).for_each(|(_, value)| bulk_value(out, value));
    Ok(())
}

fn hrandfield(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let mut rng = ctx.fork_rng();
    if args.len() == 2 {
        let hash = ctx.read_as::<Hash>(args[1])?;
        let picked = hash.and_then(|hash| hash.random(&mut rng));
        bulk_value_or_null(out, picked.map(|(field, _)| field));
        return Ok(());
    }
    let count = RandomCount::parse(args, 2)?;
    let with_values = args.len() == 4 && args.is(3, "withvalues");
    if args.len() > 3 && !with_values {
        return Err(errors::SYNTAX);
    }
    if with_values && !count.may_double() {
        return Err(errors::OUT_OF_RANGE);
    }
    let bytes_max = ctx.engine.reply_bytes_max(ctx.client);
    let Some(hash) = ctx.read_as::<Hash>(args[1])? else {
        out.array(0);
        return Ok(());
    };
    let picks = count.of(hash.len(), bytes_max)?;
    let nested = with_values && out.protocol() == Protocol::Resp3;
    out.array(if with_values && !nested { 2 * picks } else { picks });
    let mut reply = |(field, value): (LpValue<'_>, LpValue<'_>)| {
        if nested {
            out.array(2);
        }
        bulk_value(out, field);
        if with_values {
            bulk_value(out, value);
        }
    };
    if let RandomCount::Distinct(_) = count {
        hash.random_distinct(picks, &mut rng, reply);
        return Ok(());
    }
    let all = pick_in_rounds(picks, bytes_max, |some| {
        let mut bytes = 0;
        hash.random_repeated(some, &mut rng, |(field, value)| {
            bytes += bytes_in_reply(field);
            bytes += if with_values { bytes_in_reply(value) } else { 0 };
            reply((field, value));
        });
        bytes
    });
    if !all {
        ctx.engine.close_for_output(ctx.client);
    }
    Ok(())
}

fn hscan(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let cursor = scan::parse_cursor(args[2])?;
    let Some(hash) = ctx.read_as::<Hash>(args[1])? else {
        scan::begin_reply(out, 0, 0);
        return Ok(());
    };
    let (cursor, found) = scan::elements(args, cursor, |cursor, each| {
        hash.scan(cursor, &mut |field, value| each(field, (field, value)))
    })?;
    scan::begin_reply(out, cursor, 2 * found.len());
    for (field, value) in found {
        bulk_value(out, field);
        bulk_value(out, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::test_support::TestEngine;

    fn check(cases: &[(&str, &str)]) {
        let mut test = TestEngine::new();
        let client = test.client();
        for (command, reply) in cases {
            assert_eq!(test.run(client, command), reply.replace(' ', "\r\n") + "\r\n", "{command}");
        }
    }

    #[test]
    fn a_hash_lives_as_long_as_it_has_fields() {
        check(&[
            ("HSET h a 1 b 2", ":2"),
            ("HSET h a 3 c 4", ":1"),
            ("HSETNX h a 9", ":0"),
            ("HDEL h a b x", ":2"),
            ("HDEL h c c", ":1"),
            ("EXISTS h", ":0"),
            ("HGETALL h", "*0"),
            ("HMGET h a b", "*2 $-1 $-1"),
        ]);
    }

    #[test]
    fn a_refused_increment_makes_no_hash() {
        let mut test = TestEngine::new();
        let client = test.client();
        for (command, error) in [
            ("HINCRBY h f x", "-ERR value is not an integer or out of range\r\n"),
            ("HINCRBYFLOAT h f x", "-ERR value is not a valid float\r\n"),
            ("HINCRBYFLOAT h f inf", "-ERR value is NaN or Infinity\r\n"),
        ] {
            assert_eq!(test.run(client, command), error);
        }
        assert_eq!(test.run(client, "EXISTS h"), ":0\r\n");
        assert_eq!(test.run(client, "HSET h f text"), ":1\r\n");
        for (command, error) in [
            ("HINCRBY h f 1", "-ERR hash value is not an integer\r\n"),
            ("HINCRBYFLOAT h f 1", "-ERR hash value is not a float\r\n"),
            ("HSET h f", "-ERR wrong number of arguments for 'hset' command\r\n"),
            ("HMSET h f 1 g", "-ERR wrong number of arguments for 'hmset' command\r\n"),
        ] {
            assert_eq!(test.run(client, command), error);
        }
    }

    #[test]
    fn random_fields_pair_up_in_resp3_only() {
        check(&[("HSET h f v", ":1"), ("HRANDFIELD h -2 WITHVALUES", "*4 $1 f $1 v $1 f $1 v")]);
        let mut test = TestEngine::new();
        let client = test.client();
        test.run(client, "HELLO 3");
        test.run(client, "HSET h f v");
        let reply = test.run(client, "HRANDFIELD h 5 WITHVALUES");
        assert_eq!(reply, "*1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n");
        assert_eq!(test.run(client, "HRANDFIELD none"), "_\r\n");
    }

    #[test]
    fn a_scan_sees_every_field_of_a_table() {
        let mut test = TestEngine::new();
        let client = test.client();
        for number in 0..600 {
            test.run(client, &format!("HSET h f{number} v"));
        }
        let (mut cursor, mut seen) = ("0".to_owned(), std::collections::BTreeSet::new());
        loop {
            let reply = test.run(client, &format!("HSCAN h {cursor} MATCH f*"));
            let lines: Vec<&str> = reply.split("\r\n").collect();
            seen.extend(lines.iter().filter(|line| line.starts_with('f')).map(|s| s.to_string()));
            cursor = lines[2].to_owned();
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(seen.len(), 600);
    }
}
