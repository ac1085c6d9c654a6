//! Parts of strings: lengths, ranges, and changes in place.

use super::check_length;
use crate::args::Args;
use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::{KeyEntry, Value};
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "append",
        arity: 3,
        flags: "write denyoom fast",
        acl: "string",
        keys: &[KeySpec::one("RW insert", 1)],
        since: "2.0.0",
        group: "string",
        complexity: "O(1) amortised",
        summary: "Adds bytes to the end of a string, starting from an empty one.",
        args: "key:key value",
        handler: append,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "getrange",
        arity: 4,
        flags: "readonly",
        acl: "string",
        keys: &[KeySpec::one("RO access", 1)],
        since: "2.4.0",
        group: "string",
        complexity: "O(N) with N the number of bytes returned",
        summary: "Reads the bytes of a string between two offsets.",
        args: "key:key start:int end:int",
        handler: getrange,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "setrange",
        arity: 4,
        flags: "write denyoom",
        acl: "string",
        keys: &[KeySpec::one("RW update", 1)],
        since: "2.2.0",
        group: "string",
        complexity: "O(N) with N the number of bytes written",
        summary: "Overwrites bytes of a string from an offset on, padding with zero bytes.",
        args: "key:key offset:int value",
        handler: setrange,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "strlen",
        arity: 2,
        flags: "readonly fast",
        acl: "string",
        keys: &[KeySpec::one("RO", 1)],
        since: "2.2.0",
        group: "string",
        complexity: "O(1)",
        summary: "Tells how many bytes a string has.",
        args: "key:key",
        handler: strlen,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "substr",
        arity: 4,
        flags: "readonly",
        acl: "string",
        keys: &[KeySpec::one("RO access", 1)],
        group: "string",
        complexity: "O(N) with N the number of bytes returned",
        summary: "Reads the bytes of a string between two offsets (older name of GETRANGE).",
        args: "key:key start:int end:int",
        deprecated: Some(("2.0.0", "`GETRANGE`")),
        handler: substr,
        ..CommandSpec::EMPTY
    },
];

fn append(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let (key, tail) = (args[1], args[2]);
    let len = match length_for_change(ctx, key)? {
        None => {
            ctx.put_text(key, tail);
            tail.len()
        }
        Some(len) => {
            check_length(ctx, len, tail.len())?;
            if let Some(content) = ctx.write(key).and_then(KeyEntry::string_mut) {
                content.extend_from_slice(tail);
            }
            len + tail.len()
        }
    };
    ctx.modified(key, NotifyFlags::STRING, "append");
    out.int(len as i64);
    Ok(())
}

fn setrange(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let (key, part) = (args[1], args[3]);
    let offset = usize::try_from(args.int(2)?).map_err(|_| errors::OFFSET_OUT_OF_RANGE)?;
    let len = length_for_change(ctx, key)?;
    if part.is_empty() {
        out.int(len.unwrap_or(0) as i64);
        return Ok(());
    }
    check_length(ctx, offset, part.len())?;
    let end = offset + part.len();
    if len.is_none() {
        ctx.put(key, Value::Raw(Vec::new()));
    }
    let mut new_len = end;
    if let Some(content) = ctx.write(key).and_then(KeyEntry::string_mut) {
        if content.len() < end {
            content.resize(end, 0);
        }
        content[offset..end].copy_from_slice(part);
        new_len = content.len();
    }
    ctx.modified(key, NotifyFlags::STRING, "setrange");
    out.int(new_len as i64);
    Ok(())
}

/// Length of the string at a key that is about to be changed.
fn length_for_change(ctx: &mut Ctx<'_>, key: &[u8]) -> Result<Option<usize>, CommandError> {
    match ctx.write(key) {
        None => Ok(None),
        Some(entry) => entry.value().string_len().map(Some).ok_or(errors::WRONG_TYPE),
    }
}

fn strlen(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let len = match ctx.read(args[1]) {
        None => 0,
        Some(value) => value.string_len().ok_or(errors::WRONG_TYPE)?,
    };
    out.int(len as i64);
    Ok(())
}

fn getrange(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let (start, end) = (args.int(2)?, args.int(3)?);
    match ctx.read(args[1]) {
        None => out.bulk(b""),
        Some(value) => {
            let content = value.as_string().ok_or(errors::WRONG_TYPE)?;
            out.bulk(&content[byte_range(start, end, content.len())]);
        }
    }
    Ok(())
}

fn substr(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    getrange(ctx, args, out)
}

/// The bytes from `start` to `end` inclusive of a string of `len` bytes; negative positions count
/// from its end.
fn byte_range(start: i64, end: i64, len: usize) -> std::ops::Range<usize> {
    if len == 0 || (start < 0 && end < 0 && start > end) {
        return 0..0;
    }
    let absolute = |at: i64| {
        let at = if at < 0 { at.saturating_add(len as i64).max(0) } else { at };
        usize::try_from(at).unwrap_or(usize::MAX)
    };
    let (start, end) = (absolute(start), absolute(end).min(len - 1));
    if start > end { 0..0 } else { start..end + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_outside_of_the_string_are_cut() {
        assert_eq!(byte_range(0, -1, 5), 0..5);
        assert_eq!(byte_range(-3, -2, 5), 2..4);
        assert_eq!(byte_range(-100, 100, 5), 0..5);
        assert_eq!(byte_range(5, 10, 5), 0..0);
        assert_eq!(byte_range(3, 2, 5), 0..0);
        assert_eq!(byte_range(-1, -2, 5), 0..0);
        assert_eq!(byte_range(-100, -90, 5), 0..1);
        assert_eq!(byte_range(i64::MIN, i64::MAX, 0), 0..0);
        assert_eq!(byte_range(i64::MIN, i64::MAX, 5), 0..5);
    }
}
