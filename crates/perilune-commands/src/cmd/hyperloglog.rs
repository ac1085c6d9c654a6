//! HyperLogLogs: strings that count different elements. The structure is that of
//! [`perilune_keyspace::hyperloglog`]; any string may claim to be one.

use crate::args::Args;
use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::hyperloglog::{self, Hll, HllError, HllMut, REGISTERS, Registers};
use perilune_keyspace::{KeyEntry, Value, ValueRef};
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "pfadd",
        arity: -2,
        flags: "write denyoom fast",
        acl: "hyperloglog",
        keys: &[KeySpec::one("RW insert", 1)],
        since: "2.8.9",
        group: "hyperloglog",
        complexity: "O(1) for each element",
        summary: "Adds elements to a HyperLogLog, which is created if needed.",
        args: "key:key [element...]",
        handler: pfadd,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "pfcount",
        arity: -2,
        flags: "readonly may_replicate",
        acl: "hyperloglog",
        keys: &[KeySpec {
            notes: "RW because it may change the internal representation of the key, and propagate to replicas",
            ..KeySpec::range("RW access", 1, -1, 1, 0)
        }],
        since: "2.8.9",
        group: "hyperloglog",
        complexity: "O(1) for one key whose count is known, else O(N) with N the number of keys",
        summary: "Estimates how many different elements were added to HyperLogLogs.",
        args: "key:key...",
        handler: pfcount,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "pfdebug",
        arity: 3,
        flags: "write denyoom admin syscmd",
        acl: "hyperloglog",
        keys: &[KeySpec::one("RW access", 2)],
        since: "2.8.9",
        group: "hyperloglog",
        complexity: "O(N) with N the number of bytes of the HyperLogLog",
        summary: "Shows the inside of a HyperLogLog, for tests.",
        args: "subcommand key:key",
        handler: pfdebug,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "pfmerge",
        arity: -2,
        flags: "write denyoom",
        acl: "hyperloglog",
        keys: &[KeySpec::one("RW access insert", 1), KeySpec::range("RO access", 2, -1, 1, 0)],
        since: "2.8.9",
        group: "hyperloglog",
        complexity: "O(N) with N the number of keys",
        summary: "Adds to a HyperLogLog what was added to others.",
        args: "destkey:key [sourcekey:key#1...]",
        handler: pfmerge,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "pfselftest",
        arity: 1,
        flags: "admin syscmd",
        acl: "hyperloglog",
        since: "2.8.9",
        group: "hyperloglog",
        complexity: "O(1), but a second of work",
        summary: "Checks that HyperLogLogs count as they should.",
        handler: pfselftest,
        ..CommandSpec::EMPTY
    },
];

impl From<HllError> for CommandError {
    fn from(error: HllError) -> CommandError {
        match error {
            HllError::NotHll => errors::NOT_A_HYPERLOGLOG,
            _ => errors::CORRUPT_HYPERLOGLOG,
        }
    }
}

/// A value as the structure it should be.
fn hll_of(value: ValueRef<'_>) -> Result<Hll<'_>, CommandError> {
    let content = match value {
        ValueRef::Str(content) => content,
        ValueRef::Raw(content) => content,
        // A number is no structure, whatever it looks like.
        ValueRef::Int(_) => &[],
        _ => return Err(errors::WRONG_TYPE),
    };
    Ok(Hll::new(content)?)
}

/// A value as the structure it should be, to change.
fn hll_mut_of(entry: &mut KeyEntry) -> Result<HllMut<'_>, CommandError> {
    hll_of(entry.value())?;
    Ok(HllMut::new(entry.string_mut().ok_or(errors::WRONG_TYPE)?)?)
}

/// The structure of a key to change, an empty one if there is none; and whether it is new.
fn find_or_create<'c>(
    ctx: &'c mut Ctx<'_>,
    key: &[u8],
) -> Result<(HllMut<'c>, bool), CommandError> {
    let created = ctx.write(key).is_none();
    if created {
        ctx.put(key, Value::Raw(hyperloglog::empty()));
    }
    let entry = ctx.write(key).ok_or(errors::NO_SUCH_KEY)?;
    Ok((hll_mut_of(entry)?, created))
}

fn pfadd(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let (key, sparse_max) = (args[1], ctx.limits().hll_sparse_max_bytes);
    let (mut hll, created) = find_or_create(ctx, key)?;
    let mut changes = u64::from(created);
    for element in args.from(2) {
        changes += u64::from(hll.add(element, sparse_max)?);
    }
    if changes > 0 {
        hll.mark_changed();
        ctx.modified_times(key, NotifyFlags::STRING, "pfadd", changes);
    }
    out.int(i64::from(changes > 0));
    Ok(())
}

fn pfcount(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let keys = args.from(1);
    let count = match keys {
        [key] => count_one(ctx, key)?,
        keys => merged(ctx, keys)?.registers.count(),
    };
    // Counts beyond the integers, of structures that no elements make, are shown as Redis does.
    out.int(count as i64);
    Ok(())
}

/// The count of one key, which is kept in the value: the one change that a reading command makes.
fn count_one(ctx: &mut Ctx<'_>, key: &[u8]) -> Result<u64, CommandError> {
    let Some(value) = ctx.read(key) else { return Ok(0) };
    let hll = hll_of(value)?;
    if let Some(count) = hll.cached_count() {
        return Ok(count);
    }
    let count = hll.count()?;
    if let Some(entry) = ctx.write(key) {
        hll_mut_of(entry)?.cache_count(count);
    }
    ctx.touch(key);
    ctx.engine.dirty += 1;
    Ok(count)
}

/// Several structures as one.
#[derive(Default)]
struct Merged {
    registers: Registers,
    /// One of them is dense.
    dense: bool,
}

fn merged(ctx: &mut Ctx<'_>, keys: &[&[u8]]) -> Result<Merged, CommandError> {
    let mut merged = Merged::default();
    for key in keys {
        let Some(value) = ctx.read(key) else { continue };
        let hll = hll_of(value)?;
        merged.registers.merge(hll)?;
        merged.dense |= hll.is_dense();
    }
    Ok(merged)
}

fn pfmerge(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let (key, sparse_max) = (args[1], ctx.limits().hll_sparse_max_bytes);
    let Merged { registers, dense } = merged(ctx, args.from(1))?;
    let (mut hll, _) = find_or_create(ctx, key)?;
    if dense {
        hll.make_dense()?;
    }
    hll.raise_all(&registers, sparse_max)?;
    hll.mark_changed();
    ctx.modified(key, NotifyFlags::STRING, "pfadd");
    out.ok();
    Ok(())
}

fn pfdebug(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let entry = ctx.write(args[2]).ok_or(errors::KEY_DOES_NOT_EXIST)?;
    let mut hll = hll_mut_of(entry)?;
    let mut changed = false;
    if args.is(1, "getreg") {
        changed = hll.make_dense()?;
        let mut registers = Registers::default();
        registers.merge(hll.view())?;
        out.array(REGISTERS);
        registers.values().iter().for_each(|value| out.int(i64::from(*value)));
    } else if args.is(1, "decode") {
        if hll.view().is_dense() {
            return Err(errors::HYPERLOGLOG_NOT_SPARSE);
        }
        out.bulk(decoded(hll.view()).as_bytes());
    } else if args.is(1, "encoding") {
        out.status(if hll.view().is_dense() { b"dense" } else { b"sparse" });
    } else if args.is(1, "todense") {
        changed = hll.make_dense()?;
        out.int(i64::from(changed));
    } else {
        return Err(errors::unknown_pfdebug_subcommand(args[1]));
    }
    ctx.engine.dirty += u64::from(changed);
    Ok(())
}

/// The runs of a sparse structure as text.
fn decoded(hll: Hll<'_>) -> String {
    let runs = hll.runs().map(|run| match (run.value, run.is_extended()) {
        (0, true) => format!("Z:{}", run.len),
        (0, false) => format!("z:{}", run.len),
        (value, _) => format!("v:{value},{}", run.len),
    });
    runs.collect::<Vec<_>>().join(" ")
}

fn pfselftest(
    ctx: &mut Ctx<'_>,
    _: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let sparse_max = ctx.limits().hll_sparse_max_bytes;
    hyperloglog::self_test(&mut ctx.fork_rng(), sparse_max).map_err(errors::self_test_failed)?;
    out.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::test_support::TestEngine;

    #[test]
    fn counts_of_one_and_of_several() {
        let mut server = TestEngine::new();
        let client = server.client();
        for (command, reply) in [
            ("PFADD a", ":1\r\n"),
            ("PFADD a", ":0\r\n"),
            ("PFADD a x y z", ":1\r\n"),
            ("PFADD a x", ":0\r\n"),
            ("PFADD b z w", ":1\r\n"),
            ("PFCOUNT a", ":3\r\n"),
            ("PFCOUNT a b missing", ":4\r\n"),
            ("PFMERGE c a b", "+OK\r\n"),
            ("PFCOUNT c", ":4\r\n"),
            ("PFDEBUG ENCODING c", "+sparse\r\n"),
            ("PFDEBUG TODENSE c", ":1\r\n"),
            ("PFDEBUG TODENSE c", ":0\r\n"),
            ("PFMERGE b c", "+OK\r\n"),
            ("PFDEBUG ENCODING b", "+dense\r\n"),
            ("PFDEBUG DECODE b", "-ERR HLL encoding is not sparse\r\n"),
            ("PFCOUNT missing", ":0\r\n"),
        ] {
            assert_eq!(server.run(client, command), reply, "{command}");
        }
    }

    #[test]
    fn strings_that_are_none_are_refused() {
        let mut server = TestEngine::new();
        let client = server.client();
        server.run(client, "SET number 1");
        server.run(client, "SET text HYLL");
        server.run(client, "LPUSH list 1");
        const NONE: &str = "-WRONGTYPE Key is not a valid HyperLogLog string value.\r\n";
        for command in ["PFADD number 1", "PFADD text 1", "PFCOUNT text", "PFCOUNT a number"] {
            assert_eq!(server.run(client, command), NONE, "{command}");
        }
        assert!(server.run(client, "PFMERGE a list").starts_with("-WRONGTYPE Operation"));
        server.run_words(client, &[b"SET", b"cut", b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x7f\xfe"]);
        for command in ["PFCOUNT cut", "PFCOUNT cut a", "PFMERGE a cut", "PFDEBUG GETREG cut"] {
            let reply = server.run(client, command);
            assert_eq!(reply, "-INVALIDOBJ Corrupted HLL object detected\r\n", "{command}");
        }
    }

    #[test]
    fn counting_keeps_the_count_and_is_a_change() {
        let mut server = TestEngine::new();
        let (client, other) = (server.client(), server.client());
        server.run(client, "PFADD k x");
        server.run(other, "WATCH k");
        let dirty = server.engine.dirty;
        server.run(client, "PFCOUNT k");
        assert_eq!(server.engine.dirty, dirty + 1);
        server.run(client, "PFCOUNT k");
        assert_eq!(server.engine.dirty, dirty + 1);
        server.run(other, "MULTI");
        assert_eq!(server.run(other, "EXEC"), "*-1\r\n");
    }
}
