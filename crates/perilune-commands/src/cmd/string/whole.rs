//! Storing and fetching whole strings.

use super::{reply_key, reply_string};
use crate::args::Args;
use crate::cmd::expiry::{ExpiryUnit, positive_deadline};
use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::owned_args::ArgVec;
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::Value;
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "get",
        arity: 2,
        flags: "readonly fast",
        acl: "string",
        keys: &[KeySpec::one("RO access", 1)],
        group: "string",
        complexity: "O(1)",
        summary: "Reads a string.",
        args: "key:key",
        handler: get,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "getdel",
        arity: 2,
        flags: "write fast",
        acl: "string",
        keys: &[KeySpec::one("RW access delete", 1)],
        since: "6.2.0",
        group: "string",
        complexity: "O(1)",
        summary: "Reads a string and removes its key.",
        args: "key:key",
        handler: getdel,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "getex",
        arity: -2,
        flags: "write fast",
        acl: "string",
        keys: &[KeySpec {
            notes: "RW and UPDATE because it changes the TTL",
            ..KeySpec::one("RW access update", 1)
        }],
        since: "6.2.0",
        group: "string",
        complexity: "O(1)",
        summary: "Reads a string and sets or clears its time to live.",
        args: "key:key [expiration=(EX seconds:int|PX milliseconds:int|EXAT unix-time-seconds:unix-time|PXAT unix-time-milliseconds:unix-time|PERSIST)]",
        handler: getex,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "getset",
        arity: 3,
        flags: "write denyoom fast",
        acl: "string",
        keys: &[KeySpec::one("RW access update", 1)],
        group: "string",
        complexity: "O(1)",
        summary: "Writes a string and answers the one it replaced.",
        args: "key:key value",
        deprecated: Some(("6.2.0", "`SET` with the `!GET` argument")),
        handler: getset,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "mget",
        arity: -2,
        flags: "readonly fast",
        acl: "string",
        keys: &[KeySpec::range("RO access", 1, -1, 1, 0)],
        group: "string",
        complexity: "O(N) with N the number of keys",
        summary: "Reads several strings at once.",
        args: "key:key...",
        tips: &["request_policy:multi_shard"],
        handler: mget,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "mset",
        arity: -3,
        flags: "write denyoom",
        acl: "string",
        keys: &[KeySpec::range("OW update", 1, -1, 2, 0)],
        since: "1.0.1",
        group: "string",
        complexity: "O(N) with N the number of keys",
        summary: "Writes several strings at once.",
        args: "data={key:key value}...",
        tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
        handler: mset,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "msetnx",
        arity: -3,
        flags: "write denyoom",
        acl: "string",
        keys: &[KeySpec::range("OW insert", 1, -1, 2, 0)],
        since: "1.0.1",
        group: "string",
        complexity: "O(N) with N the number of keys",
        summary: "Writes several strings, or none if one of the keys exists.",
        args: "data={key:key value}...",
        handler: msetnx,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "psetex",
        arity: 4,
        flags: "write denyoom",
        acl: "string",
        keys: &[KeySpec::one("OW update", 1)],
        since: "2.6.0",
        group: "string",
        complexity: "O(1)",
        summary: "Writes a string that lives for the given milliseconds.",
        args: "key:key milliseconds:int value",
        deprecated: Some(("2.6.12", "`SET` with the `PX` argument")),
        handler: psetex,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "set",
        arity: -3,
        flags: "write denyoom",
        acl: "string",
        keys: &[KeySpec {
            notes: "RW and ACCESS due to the optional `GET` argument",
            ..KeySpec::one("RW access update variable_flags", 1)
        }],
        key_finder: Some(crate::keys::set_keys),
        group: "string",
        complexity: "O(1)",
        summary: "Writes a string, whatever the key held before, with optional conditions and expiry.",
        args: "key:key value [condition@2.6.12=(NX|XX)] [GET@6.2.0] [expiration=(EX seconds:int@2.6.12|PX milliseconds:int@2.6.12|EXAT unix-time-seconds:unix-time@6.2.0|PXAT unix-time-milliseconds:unix-time@6.2.0|KEEPTTL@6.0.0)]",
        handler: set,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "setex",
        arity: 4,
        flags: "write denyoom",
        acl: "string",
        keys: &[KeySpec::one("OW update", 1)],
        since: "2.0.0",
        group: "string",
        complexity: "O(1)",
        summary: "Writes a string that lives for the given seconds.",
        args: "key:key seconds:int value",
        deprecated: Some(("2.6.12", "`SET` with the `EX` argument")),
        handler: setex,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "setnx",
        arity: 3,
        flags: "write denyoom fast",
        acl: "string",
        keys: &[KeySpec::one("OW insert", 1)],
        group: "string",
        complexity: "O(1)",
        summary: "Writes a string unless the key exists.",
        args: "key:key value",
        deprecated: Some(("2.6.12", "`SET` with the `NX` argument")),
        handler: setnx,
        ..CommandSpec::EMPTY
    },
];

fn get(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    reply_key(ctx, args[1], out).map(drop)
}

fn getdel(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    if reply_key(ctx, args[1], out)? {
        ctx.remove(args[1], false);
        ctx.modified(args[1], NotifyFlags::GENERIC, "del");
        ctx.propagate_removal(args[1], false);
    }
    Ok(())
}

fn getset(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    reply_key(ctx, args[1], out)?;
    store(ctx, args[1], args[2]);
    ctx.propagate_as(&[b"SET", args[1], args[2]]);
    Ok(())
}

fn mget(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let keys = args.from(1);
    out.array(keys.len());
    for key in keys {
        match ctx.read(key) {
            Some(value) if value.is_string() => reply_string(value, out)?,
            _ => out.null(),
        }
    }
    Ok(())
}

fn mset(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    store_pairs(ctx, args)?;
    out.ok();
    Ok(())
}

fn msetnx(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let taken = args.from(1).iter().step_by(2).any(|key| ctx.exists(key));
    if !taken {
        store_pairs(ctx, args)?;
    } else if args.len().is_multiple_of(2) {
        return Err(errors::wrong_arity(args.name()));
    }
    out.int(i64::from(!taken));
    Ok(())
}

/// Stores the pairs of key and value that follow the command name.
fn store_pairs(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    if args.len().is_multiple_of(2) {
        return Err(errors::wrong_arity(args.name()));
    }
    for pair in args.from(1).chunks_exact(2) {
        ctx.expire_if_needed(pair[0]);
        store(ctx, pair[0], pair[1]);
    }
    Ok(())
}

/// Replaces value and time to live of a key.
#[inline]
fn store(ctx: &mut Ctx<'_>, key: &[u8], content: &[u8]) {
    ctx.put_text(key, content);
    ctx.modified(key, NotifyFlags::STRING, "set");
}

/// When a string is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Always,
    Absent,
    Present,
}

/// What happens to the time to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expiration<'a> {
    /// Nothing was said: `SET` clears it, `GETEX` leaves it.
    Unsaid,
    Keep,
    Persist,
    At(ExpiryUnit, &'a [u8]),
}

/// The options of `SET`.
struct SetOptions<'a> {
    condition: Condition,
    expiration: Expiration<'a>,
    get: bool,
}

impl<'a> SetOptions<'a> {
    const NONE: SetOptions<'static> =
        SetOptions { condition: Condition::Always, expiration: Expiration::Unsaid, get: false };

    /// Reads the options behind key and value.
    fn parse(args: Args<'a>) -> Result<Self, CommandError> {
        let mut options = SetOptions::NONE;
        let mut at = 3;
        while let Some(word) = args.get(at) {
            if args.is(at, "nx") && options.condition != Condition::Present {
                options.condition = Condition::Absent;
            } else if args.is(at, "xx") && options.condition != Condition::Absent {
                options.condition = Condition::Present;
            } else if args.is(at, "get") {
                options.get = true;
            } else if args.is(at, "keepttl") && !matches!(options.expiration, Expiration::At(..)) {
                options.expiration = Expiration::Keep;
            } else {
                options.expiration = parse_expiration(args, at, word, options.expiration)?;
                at += 1;
            }
            at += 1;
        }
        Ok(options)
    }
}

/// Reads an expiry option with its number at `at`. An option may be repeated, but not combined
/// with another one.
fn parse_expiration<'a>(
    args: Args<'a>,
    at: usize,
    word: &[u8],
    before: Expiration<'a>,
) -> Result<Expiration<'a>, CommandError> {
    let unit = ExpiryUnit::by_option(word).ok_or(errors::SYNTAX)?;
    let number = args.get(at + 1).ok_or(errors::SYNTAX)?;
    match before {
        Expiration::Unsaid => Ok(Expiration::At(unit, number)),
        Expiration::At(same, _) if same == unit => Ok(Expiration::At(unit, number)),
        _ => Err(errors::SYNTAX),
    }
}

fn set(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let options = if args.len() == 3 { SetOptions::NONE } else { SetOptions::parse(args)? };
    let get = options.get;
    let done = set_with(ctx, args, args[2], &options, out)?;
    match done {
        _ if get => {}
        true => out.ok(),
        false => out.null(),
    }
    Ok(())
}

fn setnx(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let options = SetOptions { condition: Condition::Absent, ..SetOptions::NONE };
    let done = set_with(ctx, args, args[2], &options, out)?;
    out.int(i64::from(done));
    Ok(())
}

fn setex(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    set_for(ctx, args, ExpiryUnit::Seconds, out)
}

fn psetex(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    set_for(ctx, args, ExpiryUnit::Millis, out)
}

/// `SETEX` and `PSETEX`: the time stands between key and value.
fn set_for(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    unit: ExpiryUnit,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let options = SetOptions { expiration: Expiration::At(unit, args[2]), ..SetOptions::NONE };
    set_with(ctx, args, args[3], &options, out)?;
    out.ok();
    Ok(())
}

/// Stores a string as the options say. Answers only for `GET`; tells whether it stored.
fn set_with(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    content: &[u8],
    options: &SetOptions<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<bool, CommandError> {
    let key = args[1];
    let deadline = match options.expiration {
        Expiration::At(unit, number) => Some(positive_deadline(ctx, number, unit, args.name())?),
        _ => None,
    };
    if options.get {
        reply_key(ctx, key, out)?;
    }
    let wanted = match options.condition {
        Condition::Always => {
            ctx.expire_if_needed(key);
            true
        }
        Condition::Absent => !ctx.exists(key),
        Condition::Present => ctx.exists(key),
    };
    if !wanted {
        return Ok(false);
    }
    if options.expiration == Expiration::Keep {
        ctx.put_keeping_ttl(key, Value::string(content));
    } else {
        ctx.put_text(key, content);
    }
    ctx.modified(key, NotifyFlags::STRING, "set");
    if deadline.is_some() {
        ctx.set_expire(key, deadline);
        ctx.notify(NotifyFlags::GENERIC, "expire", key);
    }
    if ctx.propagates() && (deadline.is_some() || options.get) {
        propagate_set(ctx, args, content, options, deadline);
    }
    Ok(true)
}

/// A deadline is recorded as a moment, and `GET` is for the caller only.
fn propagate_set(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    content: &[u8],
    options: &SetOptions<'_>,
    deadline: Option<i64>,
) {
    match (deadline, options.expiration) {
        (_, Expiration::At(ExpiryUnit::UnixMillis, _)) => {}
        (Some(at), _) => {
            let mut digits = itoa::Buffer::new();
            let at = digits.format(at).as_bytes();
            ctx.propagate_as(&[b"SET", args[1], content, b"PXAT", at]);
        }
        (None, _) => {
            let options = args.from(3).iter().filter(|word| !word.eq_ignore_ascii_case(b"get"));
            let argv: ArgVec<'_> = args.all()[..3].iter().chain(options).copied().collect();
            ctx.propagate_as(&argv);
        }
    }
}

fn getex(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let (key, expiration) = (args[1], parse_getex(args)?);
    match ctx.read(key) {
        None => {
            out.null();
            return Ok(());
        }
        Some(value) if !value.is_string() => return Err(errors::WRONG_TYPE),
        Some(_) => {}
    }
    let deadline = match expiration {
        Expiration::At(unit, number) => {
            Some((unit, positive_deadline(ctx, number, unit, args.name())?))
        }
        _ => None,
    };
    if let Some(value) = ctx.peek(key) {
        reply_string(value.value(), out)?;
    }
    match deadline {
        Some((unit, at)) if unit.is_absolute() && ctx.ends_at_once(at) => {
            let lazy = ctx.engine.config.lazyfree_lazy_expire;
            ctx.remove(key, lazy);
            ctx.modified(key, NotifyFlags::GENERIC, "del");
            ctx.propagate_removal(key, lazy);
        }
        Some((_, at)) => {
            ctx.set_expire(key, Some(at));
            ctx.modified(key, NotifyFlags::GENERIC, "expire");
            let mut digits = itoa::Buffer::new();
            ctx.propagate_as(&[b"PEXPIREAT", key, digits.format(at).as_bytes()]);
        }
        None if expiration == Expiration::Persist
            && ctx.peek(key).is_some_and(|entry| entry.expire_at().is_some()) =>
        {
            ctx.set_expire(key, None);
            ctx.modified(key, NotifyFlags::GENERIC, "persist");
            ctx.propagate_as(&[b"PERSIST", key]);
        }
        None => {}
    }
    Ok(())
}

/// Reads the options of `GETEX`.
fn parse_getex(args: Args<'_>) -> Result<Expiration<'_>, CommandError> {
    let mut expiration = Expiration::Unsaid;
    let mut at = 2;
    while let Some(word) = args.get(at) {
        if args.is(at, "persist") && !matches!(expiration, Expiration::At(..)) {
            expiration = Expiration::Persist;
            at += 1;
        } else {
            expiration = parse_expiration(args, at, word, expiration)?;
            at += 2;
        }
    }
    Ok(expiration)
}
