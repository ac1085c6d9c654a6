//! `BITOP`: strings combined bit by bit.

use crate::args::Args;
use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::Value;
use perilune_resp::ReplyWriter;

pub(crate) const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "bitop",
    arity: -4,
    flags: "write denyoom",
    acl: "bitmap",
    keys: &[KeySpec::one("OW update", 2), KeySpec::range("RO access", 3, -1, 1, 0)],
    since: "2.6.0",
    group: "bitmap",
    complexity: "O(N) with N the number of bytes of all strings",
    summary: "Combines strings bit by bit and stores the result.",
    args: "operation=(AND|OR|XOR|NOT) destkey:key key:key#1...",
    handler: bitop,
    ..CommandSpec::EMPTY
}];

/// How bits are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
}

impl Operation {
    fn named(word: &[u8]) -> Option<Operation> {
        const NAMES: [(&str, Operation); 4] = [
            ("and", Operation::And),
            ("or", Operation::Or),
            ("xor", Operation::Xor),
            ("not", Operation::Not),
        ];
        let found = NAMES.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, operation)| *operation)
    }
}

fn bitop(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let operation = Operation::named(args[1]).ok_or(errors::SYNTAX)?;
    if operation == Operation::Not && args.len() != 4 {
        return Err(errors::BITOP_NOT_KEYS);
    }
    let (target, sources) = (args[2], args.from(3));
    let mut result = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let content = match ctx.read(source) {
            None => Default::default(),
            Some(value) => value.as_string().ok_or(errors::WRONG_TYPE)?,
        };
        if index == 0 {
            result.extend_from_slice(&content);
        } else {
            combine(operation, &mut result, &content);
        }
    }
    if operation == Operation::Not {
        result.iter_mut().for_each(|byte| *byte = !*byte);
    }
    let len = result.len();
    if len > 0 {
        ctx.expire_if_needed(target);
        ctx.put(target, Value::Raw(result));
        ctx.modified(target, NotifyFlags::STRING, "set");
    } else if ctx.remove(target, ctx.engine.config.lazyfree_lazy_server_del) {
        ctx.modified(target, NotifyFlags::GENERIC, "del");
    }
    out.int(len as i64);
    Ok(())
}

/// Combines `source` into `result`, the shorter one continued with zeros.
fn combine(operation: Operation, result: &mut Vec<u8>, source: &[u8]) {
    if result.len() < source.len() {
        result.resize(source.len(), 0);
    }
    let (common, beyond) = result.split_at_mut(source.len());
    match operation {
        Operation::And => {
            each(common, source, |a, b| a & b);
            beyond.fill(0);
        }
        Operation::Or => each(common, source, |a, b| a | b),
        Operation::Xor => each(common, source, |a, b| a ^ b),
        Operation::Not => {}
    }
}

/// Combines two slices of the same length. A loop as plain as this becomes vector instructions.
fn each(result: &mut [u8], source: &[u8], combine: impl Fn(u8, u8) -> u8) {
    for (to, from) in result.iter_mut().zip(source) {
        *to = combine(*to, *from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn combining_is_done_bit_by_bit(
            a in prop::collection::vec(any::<u8>(), 0..40),
            b in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let byte = |of: &[u8], at: usize| of.get(at).copied().unwrap_or(0);
            for operation in [Operation::And, Operation::Or, Operation::Xor] {
                let mut result = a.clone();
                combine(operation, &mut result, &b);
                let len = a.len().max(b.len());
                let expected: Vec<u8> = (0..len)
                    .map(|at| match operation {
                        Operation::And => byte(&a, at) & byte(&b, at),
                        Operation::Or => byte(&a, at) | byte(&b, at),
                        _ => byte(&a, at) ^ byte(&b, at),
                    })
                    .collect();
                prop_assert_eq!(result, expected);
            }
        }
    }
}
