//! `GETBIT` and `SETBIT`: one bit of a string.

use super::check_offset;
use crate::args::Args;
use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::Value;
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "getbit",
        complexity: "O(1)",
        summary: "Tells a bit of a string.",
        arity: 3,
        flags: "readonly fast",
        acl: "bitmap",
        keys: &[KeySpec::one("RO access", 1)],
        since: "2.2.0",
        group: "bitmap",
        args: "key:key offset:int",
        handler: getbit,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "setbit",
        complexity: "O(1)",
        summary: "Sets or clears a bit of a string, which grows as needed.",
        arity: 4,
        flags: "write denyoom",
        acl: "bitmap",
        keys: &[KeySpec::one("RW access update", 1)],
        since: "2.2.0",
        group: "bitmap",
        args: "key:key offset:int value:int",
        handler: setbit,
        ..CommandSpec::EMPTY
    },
];

/// Byte and bit that an offset argument means, within the longest string allowed.
fn bit_position(ctx: &Ctx<'_>, args: Args<'_>) -> Result<(usize, u8), CommandError> {
    let offset = check_offset(ctx, args.int(2).map_err(|_| errors::BIT_OFFSET)?)?;
    Ok(((offset / 8) as usize, 7 - (offset % 8) as u8))
}

fn getbit(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let (byte, bit) = bit_position(ctx, args)?;
    let content = match ctx.read(args[1]) {
        None => None,
        Some(value) => Some(value.as_string().ok_or(errors::WRONG_TYPE)?),
    };
    let byte = content.as_ref().and_then(|content| content.get(byte)).copied().unwrap_or(0);
    out.int(i64::from(byte >> bit & 1));
    Ok(())
}

fn setbit(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let (byte, bit) = bit_position(ctx, args)?;
    let on = match args.get(3) {
        Some(b"0") => 0,
        Some(b"1") => 1,
        _ => return Err(errors::BIT_VALUE),
    };
    let created = ctx.write(args[1]).is_none();
    if created {
        ctx.put(args[1], Value::Raw(Vec::new()));
    }
    let Some(entry) = ctx.write(args[1]) else { return Err(errors::NO_SUCH_KEY) };
    let content = entry.string_mut().ok_or(errors::WRONG_TYPE)?;
    let grows = content.len() <= byte;
    if grows {
        content.resize(byte + 1, 0);
    }
    let old = content[byte] >> bit & 1;
    content[byte] = content[byte] & !(1 << bit) | on << bit;
    if created || grows || old != on {
        ctx.modified(args[1], NotifyFlags::STRING, "setbit");
    }
    out.int(i64::from(old));
    Ok(())
}
