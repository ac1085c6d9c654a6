//! Times to live: setting, clearing and reading them.

use crate::args::Args;
use crate::cmd::expiry::ExpiryUnit;
use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::owned_args::ArgVec;
use crate::spec::{CommandSpec, KeySpec};
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "expire",
        arity: -3,
        flags: "write fast",
        acl: "keyspace",
        keys: &[KeySpec::one("RW update", 1)],
        complexity: "O(1)",
        summary: "Sets how many seconds a key lives.",
        args: "key:key seconds:int [condition@7.0.0=(NX|XX|GT|LT)]",
        handler: expire,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "expireat",
        arity: -3,
        flags: "write fast",
        acl: "keyspace",
        keys: &[KeySpec::one("RW update", 1)],
        since: "1.2.0",
        complexity: "O(1)",
        summary: "Sets the second at which a key expires.",
        args: "key:key unix-time-seconds:unix-time [condition@7.0.0=(NX|XX|GT|LT)]",
        handler: expireat,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "expiretime",
        arity: 2,
        flags: "readonly fast",
        acl: "keyspace",
        keys: &[KeySpec::one("RO access", 1)],
        since: "7.0.0",
        complexity: "O(1)",
        summary: "Tells the second at which a key expires.",
        args: "key:key",
        handler: expiretime,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "persist",
        arity: 2,
        flags: "write fast",
        acl: "keyspace",
        keys: &[KeySpec::one("RW update", 1)],
        since: "2.2.0",
        complexity: "O(1)",
        summary: "Makes a key live forever.",
        args: "key:key",
        handler: persist,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "pexpire",
        arity: -3,
        flags: "write fast",
        acl: "keyspace",
        keys: &[KeySpec::one("RW update", 1)],
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Sets how many milliseconds a key lives.",
        args: "key:key milliseconds:int [condition@7.0.0=(NX|XX|GT|LT)]",
        handler: pexpire,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "pexpireat",
        arity: -3,
        flags: "write fast",
        acl: "keyspace",
        keys: &[KeySpec::one("RW update", 1)],
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Sets the millisecond at which a key expires.",
        args: "key:key unix-time-milliseconds:unix-time [condition@7.0.0=(NX|XX|GT|LT)]",
        handler: pexpireat,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "pexpiretime",
        arity: 2,
        flags: "readonly fast",
        acl: "keyspace",
        keys: &[KeySpec::one("RO access", 1)],
        since: "7.0.0",
        complexity: "O(1)",
        summary: "Tells the millisecond at which a key expires.",
        args: "key:key",
        handler: pexpiretime,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "pttl",
        arity: 2,
        flags: "readonly fast",
        acl: "keyspace",
        keys: &[KeySpec::one("RO access", 1)],
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Tells how many milliseconds a key has left.",
        args: "key:key",
        tips: &["nondeterministic_output"],
        handler: pttl,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "ttl",
        arity: 2,
        flags: "readonly fast",
        acl: "keyspace",
        keys: &[KeySpec::one("RO access", 1)],
        complexity: "O(1)",
        summary: "Tells how many seconds a key has left.",
        args: "key:key",
        tips: &["nondeterministic_output"],
        handler: ttl,
        ..CommandSpec::EMPTY
    },
];

/// When a deadline is set, by the one that is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Conditions {
    absent: bool,
    present: bool,
    greater: bool,
    less: bool,
}

impl Conditions {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut conditions = Conditions::default();
        for (at, word) in args.iter().enumerate().skip(3) {
            match () {
                () if args.is(at, "nx") => conditions.absent = true,
                () if args.is(at, "xx") => conditions.present = true,
                () if args.is(at, "gt") => conditions.greater = true,
                () if args.is(at, "lt") => conditions.less = true,
                () => return Err(errors::unsupported_option(word)),
            }
        }
        if conditions.absent && (conditions.present || conditions.greater || conditions.less) {
            return Err(errors::NX_WITH_OTHERS);
        }
        if conditions.greater && conditions.less {
            return Err(errors::GT_WITH_LT);
        }
        Ok(conditions)
    }

    /// Whether `new` may replace `current`; no deadline counts as one that never comes.
    fn allow(self, current: Option<i64>, new: i64) -> bool {
        !(self.absent && current.is_some()
            || self.present && current.is_none()
            || self.greater && current.is_none_or(|current| new <= current)
            || self.less && current.is_some_and(|current| new >= current))
    }
}

fn expire(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    set_deadline(ctx, args, ExpiryUnit::Seconds, out)
}

fn pexpire(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    set_deadline(ctx, args, ExpiryUnit::Millis, out)
}

fn expireat(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    set_deadline(ctx, args, ExpiryUnit::UnixSeconds, out)
}

fn pexpireat(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    set_deadline(ctx, args, ExpiryUnit::UnixMillis, out)
}

fn set_deadline(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    unit: ExpiryUnit,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let key = args[1];
    let conditions = Conditions::parse(args)?;
    let now_ms = ctx.now_ms();
    let deadline = unit
        .deadline(args.int(2)?, now_ms)
        .ok_or_else(|| errors::invalid_expire_time(args.name()))?;
    let allowed = ctx.write(key).is_some()
        && ctx.peek(key).is_some_and(|entry| conditions.allow(entry.expire_at(), deadline));
    if allowed && ctx.ends_at_once(deadline) {
        let lazy = ctx.engine.config.lazyfree_lazy_expire;
        ctx.remove(key, lazy);
        ctx.modified(key, NotifyFlags::GENERIC, "del");
        ctx.propagate_removal(key, lazy);
    } else if allowed {
        ctx.set_expire(key, Some(deadline));
        ctx.modified(key, NotifyFlags::GENERIC, "expire");
        propagate_deadline(ctx, args, unit, deadline);
    }
    out.int(i64::from(allowed));
    Ok(())
}

/// A deadline is recorded as a moment, whatever the unit it was given in.
fn propagate_deadline(ctx: &mut Ctx<'_>, args: Args<'_>, unit: ExpiryUnit, deadline: i64) {
    if !ctx.propagates() || unit == ExpiryUnit::UnixMillis {
        return;
    }
    let mut digits = itoa::Buffer::new();
    let mut argv: ArgVec<'_> = args.iter().collect();
    argv[0] = b"PEXPIREAT";
    argv[2] = digits.format(deadline).as_bytes();
    ctx.propagate_as(&argv);
}

fn persist(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let key = args[1];
    let had_deadline =
        ctx.write(key).is_some() && ctx.peek(key).is_some_and(|entry| entry.expire_at().is_some());
    if had_deadline {
        ctx.set_expire(key, None);
        ctx.modified(key, NotifyFlags::GENERIC, "persist");
    }
    out.int(i64::from(had_deadline));
    Ok(())
}

fn ttl(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let now_ms = ctx.now_ms();
    reply_deadline(ctx, args, out, |at| to_seconds((at - now_ms).max(0)));
    Ok(())
}

fn pttl(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let now_ms = ctx.now_ms();
    reply_deadline(ctx, args, out, |at| (at - now_ms).max(0));
    Ok(())
}

fn expiretime(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    reply_deadline(ctx, args, out, to_seconds);
    Ok(())
}

fn pexpiretime(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    reply_deadline(ctx, args, out, |at| at);
    Ok(())
}

/// Milliseconds as seconds, to the nearest.
fn to_seconds(millis: i64) -> i64 {
    millis / 1000 + i64::from(millis % 1000 >= 500)
}

/// Answers with the deadline of a key as `shown`, -1 for none, -2 for no key.
fn reply_deadline(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
    shown: impl FnOnce(i64) -> i64,
) {
    out.int(match ctx.inspect(args[1]) {
        None => -2,
        Some(entry) => entry.expire_at().map_or(-1, shown),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_look_at_the_present_deadline() {
        let parse = |words: &[&[u8]]| Conditions::parse(Args::new(words));
        let words = |option: &'static [u8]| [&b"EXPIRE"[..], b"k", b"1", option];
        let allow = |option, current, new| {
            parse(&words(option)).is_ok_and(|conditions| conditions.allow(current, new))
        };
        assert!(allow(b"nx", None, 5) && !allow(b"nx", Some(1), 5));
        assert!(!allow(b"xx", None, 5) && allow(b"xx", Some(1), 5));
        assert!(!allow(b"gt", None, 5) && allow(b"gt", Some(4), 5) && !allow(b"gt", Some(5), 5));
        assert!(allow(b"lt", None, 5) && allow(b"lt", Some(6), 5) && !allow(b"lt", Some(5), 5));
        assert_eq!(parse(&words(b"xy")), Err(errors::unsupported_option(b"xy")));
        assert_eq!(parse(&[b"EXPIRE", b"k", b"1", b"gt", b"lt"]), Err(errors::GT_WITH_LT));
    }
}
