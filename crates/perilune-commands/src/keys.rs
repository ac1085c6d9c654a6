//! Which arguments of a command are keys.
//!
//! Positions derive from the [`KeySpec`]s of a row. Where those cannot describe them (`SORT`,
//! `MIGRATE`), or where what is done to a key depends on the options (`SET`, `BITFIELD`), the row
//! names one of the finders at the end of this file. As in Redis, the specs are asked first unless
//! one of them is marked `variable_flags`; a spec that does not fit the arguments or is marked
//! `incomplete` hands the question to the finder, and where keys are counted, to a reading of the
//! count that is as lenient as C's `atoi`.
//!
//! A position is always inside of the argument vector, whatever the arguments are. Keys a script
//! or module makes up at run time are not found here.

use crate::args::Args;
use crate::errors::{self, CommandError};
use crate::spec::{BeginSearch, CommandFlags, CommandSpec, FindKeys, KeySpec};

/// A key among the arguments of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPosition {
    /// Index in the argument vector.
    pub index: usize,
    /// What the command does to the key, in the words of [`KeySpec::flags`].
    pub flags: &'static str,
}

/// Why there are no keys to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// The command never has keys.
    NoKeys,
    /// The number of arguments does not fit the command.
    Arity,
    /// The command needs keys and these arguments name none.
    Arguments,
}

impl From<KeyError> for CommandError {
    fn from(error: KeyError) -> CommandError {
        match error {
            KeyError::NoKeys => errors::COMMAND_HAS_NO_KEYS,
            KeyError::Arity => errors::COMMAND_ARITY_INVALID,
            KeyError::Arguments => errors::COMMAND_ARGUMENTS_INVALID,
        }
    }
}

/// Finds the keys as `COMMAND GETKEYS` tells them. Empty only for a command that may do without.
pub fn find_keys(spec: &CommandSpec, args: Args<'_>) -> Result<Vec<KeyPosition>, KeyError> {
    if !may_have_keys(spec) {
        return Err(KeyError::NoKeys);
    }
    let (arity, len) = (i64::from(spec.arity), args.len() as i64);
    if (arity > 0 && arity != len) || len < -arity {
        return Err(KeyError::Arity);
    }
    let found = key_positions(spec, args);
    let optional = || {
        CommandFlags::parse(spec.flags)
            .is_ok_and(|flags| flags.contains(CommandFlags::NO_MANDATORY_KEYS))
    };
    if found.is_empty() && !optional() { Err(KeyError::Arguments) } else { Ok(found) }
}

/// Whether a call of the command could name a key.
pub fn may_have_keys(spec: &CommandSpec) -> bool {
    spec.key_finder.is_some() || spec.keys.iter().any(|key| !has_word(key.flags, "not_key"))
}

/// Finds the keys; none where the arguments make no sense.
pub fn key_positions(spec: &CommandSpec, args: Args<'_>) -> Vec<KeyPosition> {
    let described = spec.keys.iter().any(|key| !has_word(key.flags, "not_key"));
    let variable = spec.keys.iter().any(|key| has_word(key.flags, "variable_flags"));
    if described
        && !variable
        && let Some(found) = by_specs(spec.keys, args)
    {
        return found;
    }
    let mut found = match spec.key_finder {
        Some(find) => find(args),
        None => by_lenient_count(spec.keys, args),
    };
    found.retain(|key| key.index < args.len());
    found
}

/// The keys the specs describe, or `None` when one of them does not fit or says that it is not the
/// whole truth.
fn by_specs(specs: &[KeySpec], args: Args<'_>) -> Option<Vec<KeyPosition>> {
    let mut found = Vec::new();
    for spec in specs.iter().filter(|spec| !has_word(spec.flags, "not_key")) {
        let begin = match spec.begin {
            BeginSearch::Index(index) => usize::try_from(index).ok()?,
            BeginSearch::Keyword(word, from) => match find_word(args, word, from, spec.find) {
                Some(at) => at + 1,
                None => continue,
            },
            BeginSearch::Unknown => return None,
        };
        let (first, last, step) = extent(spec.find, begin, args)?;
        if last < first || last >= args.len() {
            return None;
        }
        for index in (first..=last).step_by(step) {
            found.push(KeyPosition { index, flags: spec.flags });
        }
        if has_word(spec.flags, "incomplete") {
            return None;
        }
    }
    Some(found)
}

/// First and last key and the step between them, for keys that begin at `begin`.
fn extent(find: FindKeys, begin: usize, args: Args<'_>) -> Option<(usize, usize, usize)> {
    let len = args.len();
    match find {
        FindKeys::Range { last, step, limit } => {
            let last = if last >= 0 {
                begin.checked_add(usize::try_from(last).ok()?)?
            } else if limit <= 0 {
                len.checked_sub(last.unsigned_abs() as usize)?
            } else {
                let room = len.checked_sub(begin)? / usize::try_from(limit).ok()?;
                (begin + room).checked_sub(last.unsigned_abs() as usize)?
            };
            Some((begin, last, usize::try_from(step).ok().filter(|step| *step > 0)?))
        }
        FindKeys::KeyNum { keynum, first, step } => {
            let at = begin.checked_add(usize::try_from(keynum).ok()?)?;
            let count = args.int(at).ok().filter(|count| *count >= 0)?;
            let first = begin.checked_add(usize::try_from(first).ok()?)?;
            // Redis counts in 32 bits here.
            let last = i32::try_from(first).ok()?.wrapping_add(count as i32).wrapping_sub(1);
            let last = usize::try_from(last).ok()?;
            Some((first, last, usize::try_from(step).ok().filter(|step| *step > 0)?))
        }
        FindKeys::Unknown => None,
    }
}

/// The keys that are counted by an argument, whatever stands behind the digits of the count; a key
/// to store to comes last. Nothing is known of what is done to them.
fn by_lenient_count(specs: &[KeySpec], args: Args<'_>) -> Vec<KeyPosition> {
    let mut stored = None;
    for spec in specs.iter().filter(|spec| !has_word(spec.flags, "not_key")) {
        match (spec.begin, spec.find) {
            (BeginSearch::Index(at), FindKeys::KeyNum { keynum, first, .. }) => {
                let (Ok(count_at), Ok(first)) =
                    (usize::try_from(at + keynum), usize::try_from(at + first))
                else {
                    return Vec::new();
                };
                let count = leading_int(args.get(count_at).unwrap_or_default());
                let count = usize::try_from(count).unwrap_or(0);
                if count == 0 || count > args.len().saturating_sub(first) {
                    return Vec::new();
                }
                return (first..first + count).chain(stored).map(|at| key(at, "")).collect();
            }
            (BeginSearch::Index(at), _) => stored = usize::try_from(at).ok(),
            _ => {}
        }
    }
    Vec::new()
}

/// Reads the number that a text begins with, as C's `atoi` does: zero if there is none, and cut to
/// 32 bits.
fn leading_int(text: &[u8]) -> i32 {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = text.iter().position(|byte| !is_space(byte)).unwrap_or(text.len());
    let (negative, digits) = match &text[start..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    let digits =
        digits.iter().map_while(|byte| byte.is_ascii_digit().then(|| i64::from(byte - b'0')));
    let number = digits.fold(0i64, |number, digit| {
        let digit = if negative { -digit } else { digit };
        number.saturating_mul(10).saturating_add(digit)
    });
    number as i32
}

/// Position of a word, searched forwards from index `from`, or backwards when that is negative and
/// so counts from the end. Like Redis, a backward search does not look at the argument right behind
/// the name, nor a forward one at the last argument: a key must follow.
///
/// Of an option with one key (`STORE key`) that is given twice the last one counts, as it does for
/// the command. Redis looks at the first here, so there a user may store to any key.
fn find_word(args: Args<'_>, word: &str, from: i32, find: FindKeys) -> Option<usize> {
    let len = args.len();
    if from > 0 {
        let from = usize::try_from(from).ok()?;
        let mut places = (from..len.saturating_sub(1)).filter(|at| args.is(*at, word));
        match find {
            FindKeys::Range { last: 0, .. } => places.next_back(),
            _ => places.next(),
        }
    } else {
        let from = len.checked_sub(from.unsigned_abs() as usize)?;
        (2..=from.min(len.saturating_sub(1))).rev().find(|at| args.is(*at, word))
    }
}

fn has_word(words: &str, word: &str) -> bool {
    words.split_whitespace().any(|one| one == word)
}

/// First key, last key and step: how clients older than key specs learn where keys stand. Zeros
/// for a command without such a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LegacyRange {
    /// Index of the first key.
    pub first: i32,
    /// Index of the last key, from the end when negative.
    pub last: i32,
    /// Distance between keys.
    pub step: i32,
}

/// Reduces key specs to one range, and tells whether the range is not the whole truth
/// (`movablekeys`). Only ranges at fixed positions that follow each other closely can be joined.
pub fn legacy_range(specs: &[KeySpec]) -> (LegacyRange, bool) {
    let fixed = |spec: &KeySpec| match (spec.begin, spec.find) {
        (BeginSearch::Index(index), FindKeys::Range { last, step, .. }) => {
            Some((index, if last >= 0 { last + index } else { last }, step))
        }
        _ => None,
    };
    if let [only] = specs
        && let Some((first, last, step)) = fixed(only)
    {
        return (LegacyRange { first, last, step }, has_word(only.flags, "incomplete"));
    }
    let mut movable = false;
    let mut joined: Option<LegacyRange> = None;
    for spec in specs {
        let follows = |first: i32| joined.is_none_or(|before| before.last == first - 1);
        let Some((first, last, _)) =
            fixed(spec).filter(|(first, _, step)| *step == 1 && follows(*first))
        else {
            movable = true;
            continue;
        };
        movable |= has_word(spec.flags, "incomplete");
        let before = joined.unwrap_or(LegacyRange { first, last, step: 1 });
        // Compared as unsigned: "up to the end" is further than any index.
        let furthest = (before.last as u32).max(last as u32) as i32;
        joined = Some(LegacyRange { first: before.first.min(first), last: furthest, step: 1 });
    }
    (joined.unwrap_or_default(), movable)
}

// ---- finders ---------------------------------------------------------------------------------

fn key(index: usize, flags: &'static str) -> KeyPosition {
    KeyPosition { index, flags }
}

/// `SET`: with `GET` the old value is read, too.
pub fn set_keys(args: Args<'_>) -> Vec<KeyPosition> {
    let reads = (3..args.len()).any(|at| args.is(at, "GET"));
    vec![key(1, if reads { "RW access update" } else { "OW update" })]
}

/// `BITFIELD`: reads only, as long as all its operations are `GET`s.
pub fn bitfield_keys(args: Args<'_>) -> Vec<KeyPosition> {
    let (mut at, len) = (2, args.len());
    while at < len {
        let operands = len - at - 1;
        // Anything that is not understood counts as a write, to be safe.
        at += match args.get(at) {
            Some(_) if args.is(at, "GET") && operands >= 2 => 3,
            Some(_) if args.is(at, "OVERFLOW") && operands >= 1 => 2,
            _ => return vec![key(1, "RW access update")],
        };
    }
    vec![key(1, "RO access")]
}

/// `SORT`: the sorted key, and the one behind the last `STORE`.
pub fn sort_keys(args: Args<'_>) -> Vec<KeyPosition> {
    let mut store = None;
    let mut at = 2;
    while at < args.len() {
        if args.is(at, "LIMIT") {
            at += 2;
        } else if args.is(at, "GET") || args.is(at, "BY") {
            at += 1;
        } else if args.is(at, "STORE") && at + 1 < args.len() {
            store = Some(key(at + 1, "OW update"));
        }
        at += 1;
    }
    [Some(key(1, "RO access")), store].into_iter().flatten().collect()
}

/// `SORT_RO`: the sorted key; what patterns lead to is not known before it runs.
pub fn sort_ro_keys(_: Args<'_>) -> Vec<KeyPosition> {
    vec![key(1, "RO access")]
}

/// `MIGRATE`: the third argument, or those behind `KEYS` when it is empty.
pub fn migrate_keys(args: Args<'_>) -> Vec<KeyPosition> {
    const FLAGS: &str = "RW access delete";
    let mut at = 6;
    while at < args.len() {
        if args.is(at, "KEYS") {
            // Both forms at once are a syntax error.
            let single = args.get(3).is_some_and(|key| !key.is_empty());
            let from = if single { args.len() } else { at + 1 };
            return (from..args.len()).map(|index| key(index, FLAGS)).collect();
        }
        at += match args.get(at) {
            Some(_) if args.is(at, "AUTH") => 2,
            Some(_) if args.is(at, "AUTH2") => 3,
            _ => 1,
        };
    }
    vec![key(3, FLAGS)]
}

/// `GEORADIUS` and `GEORADIUSBYMEMBER`: the source, and the key behind the last `STORE` or
/// `STOREDIST`.
pub fn georadius_keys(args: Args<'_>) -> Vec<KeyPosition> {
    let mut stored = None;
    let mut at = 5;
    while at + 1 < args.len() {
        if args.is(at, "STORE") || args.is(at, "STOREDIST") {
            at += 1;
            stored = Some(key(at, ""));
        }
        at += 1;
    }
    [Some(key(1, "")), stored].into_iter().flatten().collect()
}

/// `XREAD` and `XREADGROUP`: the first half of what follows `STREAMS`.
pub fn xread_keys(args: Args<'_>) -> Vec<KeyPosition> {
    let mut at = 1;
    while !args.is(at, "STREAMS") {
        at += match args.get(at) {
            Some(_) if args.is(at, "BLOCK") || args.is(at, "COUNT") => 2,
            Some(_) if args.is(at, "GROUP") => 3,
            Some(_) if args.is(at, "NOACK") => 1,
            _ => return Vec::new(),
        };
    }
    match args.len() - at - 1 {
        following if following % 2 == 0 => {
            (at + 1..at + 1 + following / 2).map(|index| key(index, "")).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
