//! The commands that wait until a list has an element for them.
//!
//! Each one tries, and waits if there is nothing; when one of its keys becomes a list it runs again
//! from the start (see [`crate::blocking`]).

use super::end_at;
use super::ends::{MultiPop, first_list, move_element, pop_many_with_key, pop_name, pop_one};
use crate::args::Args;
use crate::blocking::WaitKind;
use crate::ctx::Ctx;
use crate::errors::CommandError;
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::{End, List};
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "blmove",
        arity: 6,
        flags: "write denyoom blocking",
        acl: "list",
        keys: &[KeySpec::one("RW access delete", 1), KeySpec::one("RW insert", 2)],
        since: "6.2.0",
        group: "list",
        complexity: "O(1)",
        summary: "Moves an element between the ends of two lists, waiting for one to arrive.",
        args: "source:key destination:key#1 wherefrom=(LEFT|RIGHT) whereto=(LEFT|RIGHT) timeout:double",
        handler: blmove,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "blmpop",
        arity: -5,
        flags: "write blocking",
        acl: "list",
        keys: &[KeySpec::keynum("RW access delete", 2)],
        since: "7.0.0",
        group: "list",
        complexity: "O(N+M) with N the number of keys and M the elements returned",
        summary: "Pops elements off the first list that has any, waiting for one to arrive.",
        args: "timeout:double numkeys:int key:key... where=(LEFT|RIGHT) [COUNT count:int]",
        handler: blmpop,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "blpop",
        arity: -3,
        flags: "write blocking",
        acl: "list",
        keys: &[KeySpec::range("RW access delete", 1, -2, 1, 0)],
        since: "2.0.0",
        group: "list",
        complexity: "O(N) with N the number of keys",
        summary: "Pops the head of the first list that has one, waiting for one to arrive.",
        args: "key:key... timeout:double",
        handler: blpop,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "brpop",
        arity: -3,
        flags: "write blocking",
        acl: "list",
        keys: &[KeySpec::range("RW access delete", 1, -2, 1, 0)],
        since: "2.0.0",
        group: "list",
        complexity: "O(N) with N the number of keys",
        summary: "Pops the tail of the first list that has one, waiting for one to arrive.",
        args: "key:key... timeout:double",
        handler: brpop,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "brpoplpush",
        arity: 4,
        flags: "write denyoom blocking",
        acl: "list",
        keys: &[KeySpec::one("RW access delete", 1), KeySpec::one("RW insert", 2)],
        since: "2.2.0",
        group: "list",
        complexity: "O(1)",
        summary: "Moves the tail of a list to the head of another, waiting for one to arrive.",
        args: "source:key destination:key#1 timeout:double",
        deprecated: Some(("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments")),
        handler: brpoplpush,
        ..CommandSpec::EMPTY
    },
];

fn blpop(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    pop_or_wait(ctx, args, End::Head, out)
}

fn brpop(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    pop_or_wait(ctx, args, End::Tail, out)
}

fn pop_or_wait(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    end: End,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let last = args.len() - 1;
    let timeout_ms = args.timeout_ms(last, ctx.now_ms())?;
    let keys = &args.all()[1..last];
    match first_list(ctx, keys)? {
        Some(key) => {
            out.array(2);
            out.bulk(key);
            pop_one(ctx, key, end, out)?;
            ctx.propagate_as(&[pop_name(end), key]);
            Ok(())
        }
        None => ctx.wait_or_null(WaitKind::List, keys, timeout_ms, args, out),
    }
}

fn blmpop(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let MultiPop { keys, end, count } = MultiPop::parse(args, 2)?;
    let timeout_ms = args.timeout_ms(1, ctx.now_ms())?;
    match first_list(ctx, keys)? {
        Some(key) => pop_many_with_key(ctx, key, end, count, out),
        None => ctx.wait_or_null(WaitKind::List, keys, timeout_ms, args, out),
    }
}

fn blmove(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let (from, to) = (end_at(args, 3)?, end_at(args, 4)?);
    move_or_wait(ctx, args, from, to, 5, out)
}

fn brpoplpush(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    move_or_wait(ctx, args, End::Tail, End::Head, 3, out)
}

fn move_or_wait(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    from: End,
    to: End,
    timeout_index: usize,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let timeout_ms = args.timeout_ms(timeout_index, ctx.now_ms())?;
    if ctx.write_as::<List>(args[1])?.is_some() {
        move_element(ctx, args, from, to, out)?;
        match args.len() {
            4 => ctx.propagate_as(&[b"RPOPLPUSH", args[1], args[2]]),
            _ => ctx.propagate_as(&[b"LMOVE", args[1], args[2], args[3], args[4]]),
        }
        return Ok(());
    }
    if ctx.deny_blocking() {
        out.null();
        return Ok(());
    }
    ctx.wait_for_keys(WaitKind::List, &args.all()[1..2], timeout_ms, args.all());
    Ok(())
}
