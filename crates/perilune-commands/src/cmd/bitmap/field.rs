//! `BITFIELD`: integers of 1 to 64 bits at any bit of a string.
//!
//! A field is read and written through a window of 16 bytes, so that one at any offset is a shift
//! of one number:
//!
//! ```text
//! byte      n         n+1       n+2            n+15
//!        |00000001|01110000|........|  ...  |........|
//!                ^^ ^^^                                 u5 #1.. = bits 7 to 11: 10111 = 23
//! ```
//!
//! Values are two's complement. All operations of a command are read before any is done.

use super::check_offset;
use crate::args::{Args, parse_int};
use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::Value;
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "bitfield",
        arity: -2,
        flags: "write denyoom",
        acl: "bitmap",
        keys: &[KeySpec {
            notes: "This command allows both access and modification of the key",
            ..KeySpec::one("RW access update variable_flags", 1)
        }],
        key_finder: Some(crate::keys::bitfield_keys),
        since: "3.2.0",
        group: "bitmap",
        complexity: "O(1) for each operation",
        summary: "Reads, sets and increments integers of any width within a string.",
        args: "key:key [operation=(GET get-block={encoding offset:int}|write={[OVERFLOW overflow-block=(WRAP|SAT|FAIL)] write-operation=(SET set-block={encoding offset:int value:int}|INCRBY incrby-block={encoding offset:int increment:int})})...]",
        handler: bitfield,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "bitfield_ro",
        arity: -2,
        flags: "readonly fast",
        acl: "bitmap",
        keys: &[KeySpec::one("RO access", 1)],
        since: "6.0.0",
        group: "bitmap",
        complexity: "O(1) for each operation",
        summary: "Reads integers of any width within a string.",
        args: "key:key [GET get-block={encoding offset:int}]...",
        handler: bitfield_ro,
        ..CommandSpec::EMPTY
    },
];

/// Bytes that a field can touch: 64 bits that do not begin at the first bit of a byte.
const FIELD_BYTES_MAX: usize = 9;

/// Which integers a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FieldType {
    signed: bool,
    /// 1 to 64, and at most 63 without a sign.
    bits: u32,
}

impl FieldType {
    fn parse(word: &[u8]) -> Result<FieldType, CommandError> {
        let (signed, digits) = match word {
            [b'i', digits @ ..] => (true, digits),
            [b'u', digits @ ..] => (false, digits),
            _ => return Err(errors::BITFIELD_TYPE),
        };
        match parse_int(digits) {
            Some(bits) if bits >= 1 && bits <= 63 + i64::from(signed) => {
                Ok(FieldType { signed, bits: bits as u32 })
            }
            _ => Err(errors::BITFIELD_TYPE),
        }
    }

    /// The least and the greatest value.
    fn bounds(self) -> (i128, i128) {
        if self.signed {
            (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1)
        } else {
            (0, (1 << self.bits) - 1)
        }
    }

    /// The value whose lowest bits these are.
    fn value_of(self, bits: u64) -> i64 {
        let unused = 64 - self.bits;
        if self.signed {
            (bits << unused) as i64 >> unused
        } else {
            (bits << unused >> unused) as i64
        }
    }

    /// Reads a field; what is behind the end of `content` is zero.
    fn read(self, content: &[u8], offset: u64) -> i64 {
        let (byte, bit) = ((offset / 8) as usize, (offset % 8) as u32);
        let content = content.get(byte..).unwrap_or_default();
        let mut window = [0; 16];
        for (to, from) in window.iter_mut().zip(content).take(FIELD_BYTES_MAX) {
            *to = *from;
        }
        let aligned = u128::from_be_bytes(window) << bit;
        self.value_of((aligned >> (128 - self.bits)) as u64)
    }

    /// Writes a field into `content`, which must hold it.
    fn write(self, content: &mut [u8], offset: u64, value: i64) {
        let (byte, bit) = ((offset / 8) as usize, (offset % 8) as u32);
        let bytes = (bit + self.bits).div_ceil(8) as usize;
        let Some(content) = content.get_mut(byte..byte + bytes) else { return };
        let mut window = [0; 16];
        window[..bytes].copy_from_slice(content);
        let shift = 128 - self.bits - bit;
        let mask = ((1u128 << self.bits) - 1) << shift;
        let placed = u128::from(value as u64) << shift & mask;
        let changed = u128::from_be_bytes(window) & !mask | placed;
        content.copy_from_slice(&changed.to_be_bytes()[..bytes]);
    }
}

/// What happens to a value that its field cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

impl Overflow {
    /// Makes `value` fit. Nothing where that is not wanted.
    fn fit(self, value: i128, field: FieldType) -> Option<i64> {
        let (least, greatest) = field.bounds();
        if (least..=greatest).contains(&value) {
            return Some(value as i64);
        }
        match self {
            Overflow::Wrap => Some(field.value_of(value as u64)),
            Overflow::Saturate => Some(value.clamp(least, greatest) as i64),
            Overflow::Fail => None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Get,
    Set(i64, Overflow),
    Increment(i64, Overflow),
}

/// One operation on a field.
#[derive(Debug, Clone, Copy)]
struct Operation {
    field: FieldType,
    offset: u64,
    action: Action,
}

impl Operation {
    /// The last bit it writes.
    fn last_written(&self) -> Option<u64> {
        match self.action {
            Action::Get => None,
            _ => Some(self.offset + u64::from(self.field.bits) - 1),
        }
    }

    /// Does it: the reply, which is absent where the value does not fit, and whether the content
    /// changed.
    fn apply(&self, content: &mut [u8]) -> (Option<i64>, bool) {
        let old = self.field.read(content, self.offset);
        let (wish, overflow) = match self.action {
            Action::Get => return (Some(old), false),
            Action::Set(value, overflow) => (self.wish_to_set(value), overflow),
            Action::Increment(by, overflow) => (i128::from(old) + i128::from(by), overflow),
        };
        let Some(new) = overflow.fit(wish, self.field) else { return (None, false) };
        self.field.write(content, self.offset, new);
        let reply = if matches!(self.action, Action::Set(..)) { old } else { new };
        (Some(reply), new != old)
    }

    /// The number that `SET` means. For a field without a sign a negative one is taken for its 64
    /// bits, and so is too large and not too small. Redis does the same to one that is further
    /// below the greatest value of a field with a sign than 64 bits can tell.
    fn wish_to_set(&self, value: i64) -> i128 {
        let (_, greatest) = self.field.bounds();
        let far_below = greatest - i128::from(value) > i128::from(i64::MAX);
        if !self.field.signed || (far_below && self.field.bits < 64) {
            i128::from(value as u64)
        } else {
            i128::from(value)
        }
    }
}

/// The operations of a command.
fn parse_operations(ctx: &Ctx<'_>, args: Args<'_>) -> Result<Vec<Operation>, CommandError> {
    let mut operations = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut at = 2;
    while at < args.len() {
        let operands = args.len() - at - 1;
        if args.is(at, "overflow") && operands >= 1 {
            overflow = parse_overflow(args, at + 1)?;
            at += 2;
            continue;
        }
        let set = args.is(at, "set") && operands >= 3;
        let increment = args.is(at, "incrby") && operands >= 3;
        let get = args.is(at, "get") && operands >= 2;
        if !(set || increment || get) {
            return Err(errors::SYNTAX);
        }
        let field = FieldType::parse(args.get(at + 1).unwrap_or_default())?;
        let offset = parse_offset(ctx, args.get(at + 2).unwrap_or_default(), field.bits)?;
        let action = match (set, increment) {
            (true, _) => Action::Set(args.int(at + 3)?, overflow),
            (_, true) => Action::Increment(args.int(at + 3)?, overflow),
            _ => Action::Get,
        };
        operations.push(Operation { field, offset, action });
        at += if matches!(action, Action::Get) { 3 } else { 4 };
    }
    Ok(operations)
}

fn parse_overflow(args: Args<'_>, index: usize) -> Result<Overflow, CommandError> {
    if args.is(index, "wrap") {
        Ok(Overflow::Wrap)
    } else if args.is(index, "sat") {
        Ok(Overflow::Saturate)
    } else if args.is(index, "fail") {
        Ok(Overflow::Fail)
    } else {
        Err(errors::BITFIELD_OVERFLOW)
    }
}

/// An offset in bits, or after a `#` in fields of `bits`.
fn parse_offset(ctx: &Ctx<'_>, word: &[u8], bits: u32) -> Result<u64, CommandError> {
    let (digits, unit) = match word {
        [b'#', digits @ ..] => (digits, i64::from(bits)),
        digits => (digits, 1),
    };
    let offset = parse_int(digits).ok_or(errors::BIT_OFFSET)?;
    // A product beyond 64 bits wraps around in Redis, too.
    check_offset(ctx, offset.wrapping_mul(unit))
}

fn bitfield(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let operations = parse_operations(ctx, args)?;
    match operations.iter().filter_map(Operation::last_written).max() {
        Some(last) => write_fields(ctx, args[1], &operations, last, out),
        None => read_fields(ctx, args[1], &operations, out),
    }
}

fn bitfield_ro(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let operations = parse_operations(ctx, args)?;
    if operations.iter().any(|operation| operation.last_written().is_some()) {
        return Err(errors::BITFIELD_RO_WRITES);
    }
    read_fields(ctx, args[1], &operations, out)
}

fn read_fields(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    operations: &[Operation],
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let content = match ctx.read(key) {
        None => Default::default(),
        Some(value) => value.as_string().ok_or(errors::WRONG_TYPE)?,
    };
    out.array(operations.len());
    for operation in operations {
        out.int(operation.field.read(&content, operation.offset));
    }
    Ok(())
}

/// Does operations of which some write, up to the bit `last`.
fn write_fields(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    operations: &[Operation],
    last: u64,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let created = ctx.write(key).is_none();
    if created {
        ctx.put(key, Value::Raw(Vec::new()));
    }
    let Some(entry) = ctx.write(key) else { return Err(errors::NO_SUCH_KEY) };
    let content = entry.string_mut().ok_or(errors::WRONG_TYPE)?;
    let len = (last / 8) as usize + 1;
    let grows = content.len() < len;
    if grows {
        content.resize(len, 0);
    }
    let mut changes = 0;
    out.array(operations.len());
    for operation in operations {
        let (reply, changed) = operation.apply(content);
        let writes = operation.last_written().is_some() && reply.is_some();
        // Where the string grew, everything written to it counts as a change.
        changes += u64::from(changed || (grows && writes));
        match reply {
            Some(value) => out.int(value),
            None => out.null(),
        }
    }
    if changes > 0 {
        ctx.modified_times(key, NotifyFlags::STRING, "setbit", changes);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field() -> impl Strategy<Value = FieldType> {
        (any::<bool>(), 1..=63u32).prop_map(|(signed, bits)| FieldType { signed, bits })
    }

    #[test]
    fn types_have_a_letter_and_a_width() {
        for good in ["i1", "i64", "u1", "u63"] {
            assert!(FieldType::parse(good.as_bytes()).is_ok(), "{good}");
        }
        for bad in ["", "i", "8", "i0", "u0", "i65", "u64", "I8", "u 8", "u08", "u-1", "x8"] {
            assert_eq!(FieldType::parse(bad.as_bytes()), Err(errors::BITFIELD_TYPE), "{bad}");
        }
    }

    #[test]
    fn values_that_do_not_fit() {
        let i64_ = FieldType { signed: true, bits: 64 };
        let u2 = FieldType { signed: false, bits: 2 };
        let beyond = i128::from(i64::MAX) + 1;
        assert_eq!(Overflow::Wrap.fit(beyond, i64_), Some(i64::MIN));
        assert_eq!(Overflow::Saturate.fit(beyond, i64_), Some(i64::MAX));
        assert_eq!(Overflow::Fail.fit(beyond, i64_), None);
        assert_eq!(Overflow::Wrap.fit(-1, u2), Some(3));
        assert_eq!(Overflow::Saturate.fit(-1, u2), Some(0));
        assert_eq!(Overflow::Fail.fit(3, u2), Some(3));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_nothing_else_changes(
            field in field(),
            offset in 0..100u64,
            value: i64,
            filler: u8,
        ) {
            let before = vec![filler; 32];
            let mut content = before.clone();
            let value = field.value_of(value as u64);
            field.write(&mut content, offset, value);
            prop_assert_eq!(field.read(&content, offset), value);
            for at in (0..256).filter(|at| !(offset..offset + u64::from(field.bits)).contains(at)) {
                let bit = FieldType { signed: false, bits: 1 };
                prop_assert_eq!(bit.read(&content, at), bit.read(&before, at));
            }
        }
    }
}
