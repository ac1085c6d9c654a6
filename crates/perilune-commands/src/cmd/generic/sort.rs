//! `SORT` and `SORT_RO`: the elements of a list, set or sorted set in order, or values that other
//! keys hold for them.
//!
//! Elements are copied out of the value first, because `BY` and `GET` look up other keys. Each gets
//! a weight (itself, or what the `BY` pattern leads to); where there is nothing to sort by, the
//! order of the value is kept.
//!
//! As in Redis, a sorted set that was sorted has the encoding "skiplist" afterwards.

use crate::args::Args;
use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::session::ClientSlot;
use crate::spec::{BeginSearch, CommandSpec, FindKeys, KeySpec};
use perilune_keyspace::{Bytes, List, ValueRef, ValueType, ZSet};
use perilune_resp::{ReplyWriter, parse_double};
use std::cmp::Ordering;
use std::ops::{ControlFlow, Range};

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "sort",
        arity: -2,
        flags: "write denyoom",
        acl: "set sortedset list dangerous",
        keys: &[
            KeySpec::one("RO access", 1),
            KeySpec {
                flags: "RO access",
                begin: BeginSearch::Unknown,
                find: FindKeys::Unknown,
                notes: "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content of the key we sort",
            },
            KeySpec {
                flags: "OW update",
                begin: BeginSearch::Unknown,
                find: FindKeys::Unknown,
                notes: "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear anywhere in the argument array",
            },
        ],
        key_finder: Some(crate::keys::sort_keys),
        complexity: "O(N+M*log(M)) with N the elements of the value and M the elements returned",
        summary: "Sorts a list, set or sorted set, and may store the result.",
        args: "key:key [BY by-pattern:pattern#1<pattern>] [LIMIT limit={offset:int count:int}] [GET get-pattern:pattern#1<pattern>]... [order=(ASC|DESC)] [sorting:'ALPHA'] [STORE destination:key#2]",
        handler: sort,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "sort_ro",
        arity: -2,
        flags: "readonly",
        acl: "set sortedset list dangerous",
        keys: &[
            KeySpec::one("RO access", 1),
            KeySpec {
                flags: "RO access",
                begin: BeginSearch::Unknown,
                find: FindKeys::Unknown,
                notes: "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content of the key we sort",
            },
        ],
        key_finder: Some(crate::keys::sort_ro_keys),
        since: "7.0.0",
        complexity: "O(N+M*log(M)) with N the elements of the value and M the elements returned",
        summary: "Sorts a list, set or sorted set without storing anything.",
        args: "key:key [BY by-pattern:pattern#1<pattern>] [LIMIT limit={offset:int count:int}] [GET get-pattern:pattern#1<pattern>]... [order=(ASC|DESC)] [sorting:'ALPHA']",
        handler: sort_ro,
        ..CommandSpec::EMPTY
    },
];

/// Whether a pattern leads nowhere. It is read up to its first zero byte.
fn is_constant(pattern: &[u8]) -> bool {
    !pattern.split(|byte| *byte == 0).next().unwrap_or_default().contains(&b'*')
}

/// What to sort by, to return and to store.
#[derive(Default)]
struct SortOptions<'a> {
    descending: bool,
    alpha: bool,
    by: Option<&'a [u8]>,
    /// A `BY` without star was given: the order of the value is kept.
    unsorted: bool,
    offset: i64,
    count: Option<i64>,
    get: Vec<&'a [u8]>,
    store: Option<&'a [u8]>,
}

impl<'a> SortOptions<'a> {
    /// Reads the options. `any_key` says whether the user may read the keys that patterns lead to,
    /// which can be any.
    fn parse(args: Args<'a>, with_store: bool, any_key: bool) -> Result<Self, CommandError> {
        let mut options = SortOptions::default();
        let mut at = 2;
        while at < args.len() {
            let left = args.len() - at - 1;
            if args.is(at, "asc") {
                options.descending = false;
            } else if args.is(at, "desc") {
                options.descending = true;
            } else if args.is(at, "alpha") {
                options.alpha = true;
            } else if args.is(at, "limit") && left >= 2 {
                options.offset = args.int(at + 1)?;
                options.count = Some(args.int(at + 2)?);
                at += 2;
            } else if args.is(at, "store") && with_store && left >= 1 {
                options.store = args.get(at + 1);
                at += 1;
            } else if args.is(at, "by") && left >= 1 {
                options.by = args.get(at + 1);
                let constant = options.by.is_some_and(is_constant);
                if !constant && !any_key {
                    return Err(errors::SORT_BY_DENIED);
                }
                options.unsorted |= constant;
                at += 1;
            } else if args.is(at, "get") && left >= 1 {
                if !any_key {
                    return Err(errors::SORT_GET_DENIED);
                }
                options.get.extend(args.get(at + 1));
                at += 1;
            } else {
                return Err(errors::SYNTAX);
            }
            at += 1;
        }
        Ok(options)
    }

    /// The part of `len` sorted elements that `LIMIT` asks for.
    fn range(&self, len: usize) -> Range<usize> {
        let start = usize::try_from(self.offset).unwrap_or(0).min(len);
        let count = match self.count {
            Some(count) if count >= 0 => usize::try_from(count).unwrap_or(len),
            _ => len,
        };
        start..start.saturating_add(count).min(len)
    }
}

fn sort(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let any_key = ctx.engine.may_read_every_key(ctx.client, ctx.command, args);
    let options = SortOptions::parse(args, true, any_key)?;
    sort_with(ctx, args, options, out)
}

fn sort_ro(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let any_key = ctx.engine.may_read_every_key(ctx.client, ctx.command, args);
    let options = SortOptions::parse(args, false, any_key)?;
    sort_with(ctx, args, options, out)
}

fn sort_with(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    mut options: SortOptions<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let is_set = matches!(ctx.peek(args[1]).map(|entry| entry.value()), Some(ValueRef::Set(_)));
    if options.unsorted && is_set && (options.store.is_some() || ctx.client == ClientSlot::SCRIPT) {
        // A set has no order of its own, and what is stored or seen by a script must not depend
        // on the layout of a table.
        options = SortOptions { unsorted: false, alpha: true, by: None, ..options };
    }
    let mut elements = load(ctx, args[1], &options)?;
    if let Some(zset) = listpack_zset(ctx, args[1]) {
        zset.index();
    }
    if !options.unsorted {
        elements = sorted(ctx, elements, &options)?;
    }
    let elements = &elements[options.range(elements.len())];
    match options.store {
        Some(destination) => store(ctx, destination, elements, &options, out),
        None => reply(ctx, elements, &options, out),
    }
    Ok(())
}

/// The sorted set at a key, if it is encoded as a listpack.
fn listpack_zset<'a>(ctx: &'a mut Ctx<'_>, key: &[u8]) -> Option<&'a mut ZSet> {
    match ctx.peek(key)?.value() {
        ValueRef::ZSet(zset) if zset.as_listpack().is_some() => ctx.write_as(key).ok().flatten(),
        _ => None,
    }
}

/// The elements of the value at a key, in its order.
fn load(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    options: &SortOptions<'_>,
) -> Result<Vec<Bytes>, CommandError> {
    let mut elements = Vec::new();
    let mut digits = itoa::Buffer::new();
    match ctx.read(key) {
        None => {}
        Some(ValueRef::List(list)) => list.for_each(|item| {
            elements.push(Bytes::new(item.as_slice(&mut digits)));
            ControlFlow::Continue(())
        }),
        Some(ValueRef::Set(set)) => {
            elements.extend(set.iter().map(|item| Bytes::new(item.as_slice(&mut digits))));
            return Ok(elements);
        }
        Some(ValueRef::ZSet(zset)) => {
            elements.extend(zset.iter().map(|item| Bytes::new(item.member.as_slice(&mut digits))))
        }
        Some(_) => return Err(errors::WRONG_TYPE),
    }
    if options.unsorted && options.descending {
        elements.reverse();
    }
    Ok(elements)
}

/// Sorts elements by their weights; a missing weight is zero, or before all others with `ALPHA`.
fn sorted(
    ctx: &mut Ctx<'_>,
    elements: Vec<Bytes>,
    options: &SortOptions<'_>,
) -> Result<Vec<Bytes>, CommandError> {
    let ordered = |ordering: Ordering| {
        if options.descending { ordering.reverse() } else { ordering }
    };
    let mut weight = |element: &Bytes| match options.by {
        Some(pattern) => follow(ctx, pattern, element),
        None => Some(element.clone()),
    };
    if options.alpha {
        let mut weighted: Vec<(Option<Bytes>, Bytes)> =
            elements.into_iter().map(|element| (weight(&element), element)).collect();
        weighted.sort_by(|a, b| ordered(a.0.cmp(&b.0)));
        return Ok(weighted.into_iter().map(|(_, element)| element).collect());
    }
    let mut weighted = Vec::with_capacity(elements.len());
    for element in elements {
        let number = match weight(&element) {
            Some(text) => number_of(&text).ok_or(errors::SORT_NOT_A_NUMBER)?,
            None => 0.0,
        };
        weighted.push((number, element));
    }
    weighted.sort_by(|a, b| {
        let by_number = a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal);
        ordered(by_number.then_with(|| a.1.cmp(&b.1)))
    });
    Ok(weighted.into_iter().map(|(_, element)| element).collect())
}

/// Reads a weight as C's `strtod` does: leading spaces are skipped and an empty text is zero.
fn number_of(text: &[u8]) -> Option<f64> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    parse_double(text.trim_ascii_start()).filter(|number| !number.is_nan())
}

/// The string that a pattern leads to: its first `*` stands for the element, `#` is the element
/// itself, and what stands behind `->` is a field of a hash.
fn follow(ctx: &mut Ctx<'_>, pattern: &[u8], element: &Bytes) -> Option<Bytes> {
    if pattern == b"#" {
        return Some(element.clone());
    }
    let star = pattern.iter().position(|byte| *byte == b'*')?;
    let (prefix, rest) = (&pattern[..star], &pattern[star + 1..]);
    let arrow = rest.windows(2).position(|pair| pair == b"->");
    let (suffix, field) = match arrow {
        Some(at) if at + 2 < rest.len() => (&rest[..at], Some(&rest[at + 2..])),
        _ => (rest, None),
    };
    let key = [prefix, element, suffix].concat();
    match (ctx.read(&key)?, field) {
        (ValueRef::Hash(hash), Some(field)) => {
            hash.get(field).map(|value| Bytes::new(value.as_slice(&mut itoa::Buffer::new())))
        }
        (value, None) => value.as_string().map(|content| Bytes::new(&content)),
        _ => None,
    }
}

fn reply(
    ctx: &mut Ctx<'_>,
    elements: &[Bytes],
    options: &SortOptions<'_>,
    out: &mut dyn ReplyWriter,
) {
    out.array(elements.len() * options.get.len().max(1));
    for element in elements {
        if options.get.is_empty() {
            out.bulk(element);
        }
        for pattern in &options.get {
            match follow(ctx, pattern, element) {
                Some(value) => out.bulk(&value),
                None => out.null(),
            }
        }
    }
}

/// Stores the result as a list; an empty one removes the destination.
fn store(
    ctx: &mut Ctx<'_>,
    destination: &[u8],
    elements: &[Bytes],
    options: &SortOptions<'_>,
    out: &mut dyn ReplyWriter,
) {
    let limits = ctx.limits();
    let mut found = Vec::new();
    for element in elements {
        for pattern in &options.get {
            found.push(follow(ctx, pattern, element).unwrap_or_else(|| Bytes::new(b"")));
        }
    }
    let stored = if options.get.is_empty() { elements } else { &found };
    let list = List::from_elements(stored, &limits);
    let len = list.len();
    ctx.expire_if_needed(destination);
    if len > 0 {
        ctx.put(destination, list.into_value());
        ctx.modified(destination, NotifyFlags::LIST, "sortstore");
        ctx.engine.dirty += len as u64 - 1;
    } else {
        let lazy = ctx.engine.config.lazyfree_lazy_server_del;
        if ctx.remove(destination, lazy) {
            ctx.modified(destination, NotifyFlags::GENERIC, "del");
        }
    }
    out.int(len as i64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_cut_to_the_elements() {
        let range = |offset, count, len| {
            SortOptions { offset, count: Some(count), ..SortOptions::default() }.range(len)
        };
        assert_eq!(range(0, -1, 5), 0..5);
        assert_eq!(range(-3, 2, 5), 0..2);
        assert_eq!(range(3, 10, 5), 3..5);
        assert_eq!(range(9, 2, 5), 5..5);
        assert_eq!(range(0, 0, 5), 0..0);
        assert_eq!(range(i64::MAX, i64::MAX, 5), 5..5);
    }

    #[test]
    fn weights_are_read_leniently_at_their_start_only() {
        assert_eq!(number_of(b""), Some(0.0));
        assert_eq!(number_of(b"  3.5"), Some(3.5));
        assert_eq!(number_of(b"3.5 "), None);
        assert_eq!(number_of(b"nan"), None);
        assert_eq!(number_of(b"-inf"), Some(f64::NEG_INFINITY));
    }
}
