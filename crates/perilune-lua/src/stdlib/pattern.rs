//! Lua 5.1 patterns, matched by backtracking without recursion.
//!
//! A pattern is read as it stands, item by item; there is no compiled form, because errors must
//! appear exactly when the reference implementation meets the malformed part. Where more than
//! one way leads on, the other one is kept as a [`Choice`] on a stack. A failure takes the newest
//! choice back, undoing captures on the way. A pattern has no loops over several items, so the
//! stack holds at most one choice per item; [`CHOICES_MAX`] bounds it for patterns of any length.
//!
//! Matching may still take exponential time. Each step pays to the caller's meter, in proportion
//! to the bytes it looked at.
//!
//! A pattern ends at its first NUL, and reading at the end of the subject gives a NUL, as for C
//! strings.

use smallvec::SmallVec;

use crate::interrupt::Meter;
use crate::raise::LuaError;

/// Most captures in one pattern.
pub(super) const CAPTURES_MAX: usize = 32;

/// Most choices open at a time.
const CHOICES_MAX: usize = 200_000;

/// Bytes that are searched for a single one between two payments,
const SEARCHED_BYTES: usize = 1 << 20;
/// and that are looked at by an item that takes little for each,
const PIECE_BYTES: usize = 256;
/// as those do that are no longer than this.
const SHORT_ITEM_BYTES: usize = 32;

/// How far a capture goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// Opened and not yet closed.
    Open,
    /// `()`: captures the position itself.
    Position,
    /// So many bytes.
    Bytes(usize),
}

#[derive(Clone, Copy, Debug)]
struct Capture {
    start: usize,
    extent: Extent,
}

/// What a successful match captured. Plain data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Captures {
    count: usize,
    list: [Capture; CAPTURES_MAX],
}

/// One captured value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Captured<'a> {
    /// Text of the subject.
    Text(&'a [u8]),
    /// A position, counted from one.
    Position(usize),
}

impl Captures {
    /// No captures.
    pub(super) fn new() -> Self {
        let unused = Capture { start: 0, extent: Extent::Open };
        Self { count: 0, list: [unused; CAPTURES_MAX] }
    }

    /// How many captures the pattern made.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The capture at `index`; index 0 of a pattern without captures is the whole match.
    pub(super) fn get<'a>(
        &self,
        index: usize,
        subject: &'a [u8],
        whole: std::ops::Range<usize>,
    ) -> Result<Captured<'a>, LuaError> {
        if index >= self.count {
            return match index {
                0 => Ok(Captured::Text(&subject[whole])),
                _ => Err(LuaError::msg("invalid capture index")),
            };
        }
        let Capture { start, extent } = self.list[index];
        match extent {
            Extent::Open => Err(LuaError::msg("unfinished capture")),
            Extent::Position => Ok(Captured::Position(start + 1)),
            Extent::Bytes(len) => Ok(Captured::Text(&subject[start..start + len])),
        }
    }
}

/// A way to go on after a failure, or something to undo.
#[derive(Clone, Copy)]
enum Choice {
    /// Go on at this place of subject and pattern.
    Resume { s: usize, p: usize },
    /// A greedy repetition: give back one byte while more than `least` is taken.
    Fewer { least: usize, s: usize, p: usize },
    /// A lazy repetition: take one more byte by the item at `p..end`.
    More { s: usize, p: usize, end: usize },
    /// A capture was opened.
    Reopen,
    /// The capture of this index was closed.
    Unclose(usize),
}

/// Outcome of one pattern item.
enum Step {
    Go { s: usize, p: usize },
    Matched(usize),
    Fail,
}

/// A pattern and the subject it is matched against.
pub(super) struct Matcher<'a> {
    subject: &'a [u8],
    pattern: &'a [u8],
}

type Choices = SmallVec<[Choice; 8]>;

impl<'a> Matcher<'a> {
    /// `pattern` is used up to its first NUL.
    pub(super) fn new(subject: &'a [u8], pattern: &'a [u8]) -> Self {
        let end = memchr::memchr(0, pattern).unwrap_or(pattern.len());
        Self { subject, pattern: &pattern[..end] }
    }

    /// Strips a leading anchor and says whether there was one.
    pub(super) fn take_anchor(&mut self) -> bool {
        match self.pattern.split_first() {
            Some((b'^', rest)) => {
                self.pattern = rest;
                true
            }
            _ => false,
        }
    }

    /// The first match that starts at `from` or later.
    pub(super) fn search<M: Meter>(
        &self,
        mut from: usize,
        captures: &mut Captures,
        meter: &mut M,
    ) -> Result<Option<(usize, usize)>, LuaError> {
        let lead = self.lead();
        while from <= self.subject.len() {
            if let Some(lead) = lead {
                from = lead.find(self.subject, from, meter)?;
                if from == self.subject.len() {
                    return Ok(None);
                }
            }
            if let Some(end) = self.match_at(from, captures, meter)? {
                return Ok(Some((from, end)));
            }
            from += 1;
        }
        Ok(None)
    }

    /// What the first byte of every match is like, if the pattern begins with a short item that must
    /// be there. Only at such bytes does it need to be tried: elsewhere the reference implementation
    /// fails at that item, too, before it meets what may be wrong behind it.
    pub(super) fn lead(&self) -> Option<Item<'a>> {
        let p = usize::from(matches!(self.pattern, [b'(', next, ..] if *next != b')'));
        let is_single = !matches!(
            self.pattern[p..],
            [] | [b'(' | b')' | b'.', ..] | [b'$'] | [b'%', b'b' | b'f' | b'0'..=b'9', ..]
        );
        if !is_single {
            return None;
        }
        let end = self.class_end(p).ok().filter(|end| end - p <= SHORT_ITEM_BYTES)?;
        let is_optional = matches!(self.pattern.get(end), Some(b'*' | b'?' | b'-'));
        (!is_optional).then(|| self.item_at(p, end))
    }

    /// Matches the whole pattern at `at`; the result is where the match ends.
    pub(super) fn match_at<M: Meter>(
        &self,
        at: usize,
        captures: &mut Captures,
        meter: &mut M,
    ) -> Result<Option<usize>, LuaError> {
        captures.count = 0;
        let mut choices = Choices::new();
        let (mut s, mut p) = (at, 0);
        loop {
            meter.step(1)?;
            match self.advance(s, p, captures, &mut choices, meter)? {
                Step::Go { s: next_s, p: next_p } => (s, p) = (next_s, next_p),
                Step::Matched(end) => return Ok(Some(end)),
                Step::Fail => match self.back(captures, &mut choices, meter)? {
                    Some(place) => (s, p) = place,
                    None => return Ok(None),
                },
            }
            if choices.len() > CHOICES_MAX {
                return Err(LuaError::msg("pattern too complex"));
            }
        }
    }

    /// Takes the newest choice that leads on.
    fn back<M: Meter>(
        &self,
        captures: &mut Captures,
        choices: &mut Choices,
        meter: &mut M,
    ) -> Result<Option<(usize, usize)>, LuaError> {
        while let Some(choice) = choices.pop() {
            match choice {
                Choice::Resume { s, p } => return Ok(Some((s, p))),
                Choice::Fewer { least, s, p } => {
                    let s = s - 1;
                    if s > least {
                        choices.push(Choice::Fewer { least, s, p });
                    }
                    return Ok(Some((s, p)));
                }
                Choice::More { s, p, end } => {
                    meter.step((end - p) as u64 / 8)?;
                    if self.single(s, p, end) {
                        choices.push(Choice::More { s: s + 1, p, end });
                        return Ok(Some((s + 1, end + 1)));
                    }
                }
                Choice::Reopen => captures.count -= 1,
                Choice::Unclose(index) => captures.list[index].extent = Extent::Open,
            }
        }
        Ok(None)
    }

    /// Matches the item at `p` against the subject at `s`.
    fn advance<M: Meter>(
        &self,
        s: usize,
        p: usize,
        captures: &mut Captures,
        choices: &mut Choices,
        meter: &mut M,
    ) -> Result<Step, LuaError> {
        let Some(&item) = self.pattern.get(p) else {
            return Ok(Step::Matched(s));
        };
        match (item, self.pattern.get(p + 1)) {
            (b'(', Some(b')')) => {
                open_capture(captures, choices, s, Extent::Position)?;
                Ok(Step::Go { s, p: p + 2 })
            }
            (b'(', _) => {
                open_capture(captures, choices, s, Extent::Open)?;
                Ok(Step::Go { s, p: p + 1 })
            }
            (b')', _) => {
                close_capture(captures, choices, s)?;
                Ok(Step::Go { s, p: p + 1 })
            }
            (b'$', None) => Ok(match s == self.subject.len() {
                true => Step::Matched(s),
                false => Step::Fail,
            }),
            (b'%', Some(b'b')) => self.balance(s, p, meter),
            (b'%', Some(b'f')) => self.frontier(s, p + 2, meter),
            (b'%', Some(digit)) if digit.is_ascii_digit() => {
                self.back_reference(s, p, *digit, captures, meter)
            }
            _ => self.item(s, p, choices, meter),
        }
    }

    /// A single-byte item with its repetition mark.
    fn item<M: Meter>(
        &self,
        s: usize,
        p: usize,
        choices: &mut Choices,
        meter: &mut M,
    ) -> Result<Step, LuaError> {
        let end = self.class_end(p)?;
        meter.step((end - p) as u64 / 8)?;
        match self.pattern.get(end) {
            Some(b'?') => {
                if !self.single(s, p, end) {
                    return Ok(Step::Go { s, p: end + 1 });
                }
                choices.push(Choice::Resume { s, p: end + 1 });
                Ok(Step::Go { s: s + 1, p: end + 1 })
            }
            Some(b'*') => self.greedy(s, s, p, end, choices, meter),
            Some(b'+') => match self.single(s, p, end) {
                true => self.greedy(s + 1, s + 1, p, end, choices, meter),
                false => Ok(Step::Fail),
            },
            Some(b'-') => {
                choices.push(Choice::More { s, p, end });
                Ok(Step::Go { s, p: end + 1 })
            }
            _ => Ok(match self.single(s, p, end) {
                true => Step::Go { s: s + 1, p: end },
                false => Step::Fail,
            }),
        }
    }

    /// Takes as many bytes as the item matches.
    fn greedy<M: Meter>(
        &self,
        least: usize,
        mut s: usize,
        p: usize,
        end: usize,
        choices: &mut Choices,
        meter: &mut M,
    ) -> Result<Step, LuaError> {
        let cost = 1 + (end - p) as u64 / 8;
        let piece_bytes = if end - p <= SHORT_ITEM_BYTES { PIECE_BYTES } else { 1 };
        let item = self.item_at(p, end);
        loop {
            let rest = &self.subject[s..];
            let piece = &rest[..piece_bytes.min(rest.len())];
            let taken = piece.iter().position(|&byte| !item.matches(byte)).unwrap_or(piece.len());
            s += taken;
            meter.step(taken as u64 * cost)?;
            if taken < piece_bytes {
                break;
            }
        }
        if s > least {
            choices.push(Choice::Fewer { least, s, p: end + 1 });
        }
        Ok(Step::Go { s, p: end + 1 })
    }

    /// `%bxy`: from an x to the y that balances it.
    fn balance<M: Meter>(&self, s: usize, p: usize, meter: &mut M) -> Result<Step, LuaError> {
        let (Some(&open), Some(&close)) = (self.pattern.get(p + 2), self.pattern.get(p + 3)) else {
            return Err(LuaError::msg("unbalanced pattern"));
        };
        if self.subject.get(s) != Some(&open) {
            return Ok(Step::Fail);
        }
        let mut depth = 1usize;
        for (offset, &byte) in self.subject[s + 1..].iter().enumerate() {
            meter.step(1)?;
            if byte == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(Step::Go { s: s + offset + 2, p: p + 4 });
                }
            } else if byte == open {
                depth += 1;
            }
        }
        Ok(Step::Fail)
    }

    /// `%f[set]`: between a byte outside and a byte inside of the set.
    fn frontier<M: Meter>(&self, s: usize, p: usize, meter: &mut M) -> Result<Step, LuaError> {
        if self.pattern.get(p) != Some(&b'[') {
            return Err(LuaError::msg("missing '[' after '%f' in pattern"));
        }
        let end = self.class_end(p)?;
        meter.step((end - p) as u64 / 4)?;
        let set = &self.pattern[p..end];
        let before = match s {
            0 => 0,
            _ => self.subject[s - 1],
        };
        let after = self.subject.get(s).copied().unwrap_or(0);
        Ok(match !set_matches(before, set) && set_matches(after, set) {
            true => Step::Go { s, p: end },
            false => Step::Fail,
        })
    }

    /// `%1` to `%9`: the text of an earlier capture again.
    fn back_reference<M: Meter>(
        &self,
        s: usize,
        p: usize,
        digit: u8,
        captures: &Captures,
        meter: &mut M,
    ) -> Result<Step, LuaError> {
        let index = usize::from(digit).wrapping_sub(usize::from(b'1'));
        let captured = captures.list.get(index).filter(|_| index < captures.count);
        let (start, len) = match captured {
            Some(Capture { start, extent: Extent::Bytes(len) }) => (*start, *len),
            // The length of a position capture never fits into what is left.
            Some(Capture { extent: Extent::Position, .. }) => return Ok(Step::Fail),
            _ => return Err(LuaError::msg("invalid capture index")),
        };
        meter.step(len as u64 / 16)?;
        Ok(match self.subject[s..].starts_with(&self.subject[start..start + len]) {
            true => Step::Go { s: s + len, p: p + 2 },
            false => Step::Fail,
        })
    }

    /// Where the item that starts at `p` ends, without its repetition mark.
    fn class_end(&self, p: usize) -> Result<usize, LuaError> {
        match self.pattern[p] {
            b'%' if p + 1 == self.pattern.len() => {
                Err(LuaError::msg("malformed pattern (ends with '%')"))
            }
            b'%' => Ok(p + 2),
            b'[' => self.set_end(p),
            _ => Ok(p + 1),
        }
    }

    /// The first member of a set may be a `]`, and escapes hide one.
    fn set_end(&self, p: usize) -> Result<usize, LuaError> {
        let mut at = p + 1;
        if self.pattern.get(at) == Some(&b'^') {
            at += 1;
        }
        loop {
            let Some(&byte) = self.pattern.get(at) else {
                return Err(LuaError::msg("malformed pattern (missing ']')"));
            };
            at += 1;
            if byte == b'%' && at < self.pattern.len() {
                at += 1;
            }
            if self.pattern.get(at) == Some(&b']') {
                return Ok(at + 1);
            }
        }
    }

    /// Whether the subject has a byte at `s` that the item at `p..end` matches.
    #[inline]
    fn single(&self, s: usize, p: usize, end: usize) -> bool {
        self.subject.get(s).is_some_and(|&byte| self.item_at(p, end).matches(byte))
    }

    /// The item at `p..end`, which is not empty.
    #[inline]
    fn item_at(&self, p: usize, end: usize) -> Item<'a> {
        match self.pattern[p] {
            b'.' => Item::Any,
            b'%' => Item::escaped(self.pattern[p + 1]),
            b'[' => Item::Set(&self.pattern[p..end]),
            literal => Item::Byte(literal),
        }
    }
}

/// What matches a single byte.
#[derive(Clone, Copy)]
pub(super) enum Item<'a> {
    Any,
    Byte(u8),
    /// A byte whose bits in [`TRAITS`] have one of `traits` or, if not `wanted`, none of them.
    Class {
        traits: u8,
        wanted: bool,
    },
    /// A set, with its brackets.
    Set(&'a [u8]),
}

impl Item<'_> {
    /// A class by its letter, whose complement has that in upper case, or a byte that is taken as it
    /// is.
    #[inline]
    fn escaped(letter: u8) -> Self {
        let traits = match letter.to_ascii_lowercase() {
            b'a' => LOWER | UPPER,
            b'c' => CONTROL,
            b'd' => DIGIT,
            b'l' => LOWER,
            b'p' => PUNCTUATION,
            b's' => SPACE,
            b'u' => UPPER,
            b'w' => LOWER | UPPER | DIGIT,
            b'x' => HEXADECIMAL,
            b'z' => NUL,
            _ => return Item::Byte(letter),
        };
        Item::Class { traits, wanted: letter.is_ascii_lowercase() }
    }

    #[inline]
    fn matches(self, byte: u8) -> bool {
        match self {
            Item::Any => true,
            Item::Byte(literal) => literal == byte,
            Item::Class { traits, wanted } => (TRAITS[usize::from(byte)] & traits != 0) == wanted,
            Item::Set(set) => set_matches(byte, set),
        }
    }

    /// Where the next byte that matches stands, `from` included, or the end.
    pub(super) fn find<M: Meter>(
        self,
        subject: &[u8],
        mut from: usize,
        meter: &mut M,
    ) -> Result<usize, LuaError> {
        let (piece_bytes, cost) = match self {
            Item::Byte(_) => (SEARCHED_BYTES, 0),
            Item::Set(set) => (PIECE_BYTES, 1 + set.len() as u64 / 8),
            Item::Any | Item::Class { .. } => (PIECE_BYTES, 1),
        };
        for piece in subject[from..].chunks(piece_bytes) {
            let at = match self {
                Item::Byte(byte) => memchr::memchr(byte, piece),
                _ => piece.iter().position(|&byte| self.matches(byte)),
            };
            let skipped = at.unwrap_or(piece.len());
            meter.step(skipped as u64 * cost + skipped as u64 / 64)?;
            from += skipped;
            if at.is_some() {
                break;
            }
        }
        Ok(from)
    }
}

const LOWER: u8 = 1;
const UPPER: u8 = 1 << 1;
const DIGIT: u8 = 1 << 2;
const HEXADECIMAL: u8 = 1 << 3;
const PUNCTUATION: u8 = 1 << 4;
const CONTROL: u8 = 1 << 5;
const SPACE: u8 = 1 << 6;
const NUL: u8 = 1 << 7;

/// What each byte is, as C's `ctype.h` sees it where no locale was chosen.
static TRAITS: [u8; 256] = {
    let mut traits = [0; 256];
    let mut byte = 0u8;
    while byte < 128 {
        let at = byte as usize;
        traits[at] |= if byte.is_ascii_lowercase() { LOWER } else { 0 };
        traits[at] |= if byte.is_ascii_uppercase() { UPPER } else { 0 };
        traits[at] |= if byte.is_ascii_digit() { DIGIT } else { 0 };
        traits[at] |= if byte.is_ascii_hexdigit() { HEXADECIMAL } else { 0 };
        traits[at] |= if byte.is_ascii_punctuation() { PUNCTUATION } else { 0 };
        traits[at] |= if byte.is_ascii_control() { CONTROL } else { 0 };
        traits[at] |= if matches!(byte, b' ' | b'\t'..=b'\r') { SPACE } else { 0 };
        byte += 1;
    }
    traits[0] |= NUL;
    traits
};

fn open_capture(
    captures: &mut Captures,
    choices: &mut Choices,
    start: usize,
    extent: Extent,
) -> Result<(), LuaError> {
    let Some(slot) = captures.list.get_mut(captures.count) else {
        return Err(LuaError::msg("too many captures"));
    };
    *slot = Capture { start, extent };
    captures.count += 1;
    choices.push(Choice::Reopen);
    Ok(())
}

fn close_capture(captures: &mut Captures, choices: &mut Choices, s: usize) -> Result<(), LuaError> {
    let opened =
        captures.list[..captures.count].iter().rposition(|capture| capture.extent == Extent::Open);
    let Some(index) = opened else {
        return Err(LuaError::msg("invalid pattern capture"));
    };
    let capture = &mut captures.list[index];
    capture.extent = Extent::Bytes(s - capture.start);
    choices.push(Choice::Unclose(index));
    Ok(())
}

/// A set with its brackets: members, ranges and classes, perhaps complemented.
fn set_matches(byte: u8, set: &[u8]) -> bool {
    let mut members = &set[1..set.len() - 1];
    let mut found = true;
    if let [b'^', rest @ ..] = members {
        members = rest;
        found = false;
    }
    loop {
        match members {
            [] => return !found,
            [b'%', class, rest @ ..] => {
                if Item::escaped(*class).matches(byte) {
                    return found;
                }
                members = rest;
            }
            [low, b'-', high, rest @ ..] => {
                if (*low..=*high).contains(&byte) {
                    return found;
                }
                members = rest;
            }
            [member, rest @ ..] => {
                if *member == byte {
                    return found;
                }
                members = rest;
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Stops after so many units.
    pub(in crate::stdlib) struct Limited(pub(in crate::stdlib) u64);

    impl Meter for Limited {
        fn step(&mut self, cost: u64) -> Result<(), LuaError> {
            self.0 = self.0.checked_sub(cost).ok_or(LuaError::Bare("stopped".into()))?;
            Ok(())
        }
    }

    fn search(
        subject: &[u8],
        pattern: &[u8],
        units: u64,
    ) -> Result<Option<(usize, usize)>, String> {
        let mut matcher = Matcher::new(subject, pattern);
        let anchored = matcher.take_anchor();
        let mut captures = Captures::new();
        let mut meter = Limited(units);
        let found = match anchored {
            true => {
                matcher.match_at(0, &mut captures, &mut meter).map(|end| end.map(|end| (0, end)))
            }
            false => matcher.search(0, &mut captures, &mut meter),
        };
        let found = found.map_err(|error| format!("{error:?}"))?;
        if let Some((start, end)) = found {
            for index in 0..captures.count() {
                // Must not panic; an unfinished capture is an error.
                let _ = captures.get(index, subject, start..end);
            }
        }
        Ok(found)
    }

    #[test]
    fn a_long_chain_of_optionals_needs_no_stack() {
        let subject = vec![b'a'; 100_000];
        let pattern = b"a?".repeat(100_000);
        assert_eq!(search(&subject, &pattern, u64::MAX), Ok(Some((0, 100_000))));
        let pattern = b"a?".repeat(1_000_000);
        let error = search(&vec![b'a'; 1_000_000], &pattern, u64::MAX).unwrap_err();
        assert!(error.contains("pattern too complex"));
    }

    #[test]
    fn catastrophic_patterns_pay_until_they_are_stopped() {
        let subject = vec![b'a'; 4000];
        let error = search(&subject, b".-.-.-.-.-.-.-.-.-.-b", 1_000_000).unwrap_err();
        assert!(error.contains("stopped"));
    }

    #[test]
    fn reads_a_nul_at_the_end_of_the_subject() {
        assert_eq!(search(b"THE (quick) fox", b"%f[%a]%a+%f[%A]", 1000), Ok(Some((0, 3))));
        assert_eq!(search(b"fox", b"x%f[%z]", 1000), Ok(Some((2, 3))));
    }

    proptest! {
        #[test]
        fn never_panics(
            subject in proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(b')'), any::<u8>()], 0..40),
            pattern in proptest::collection::vec(
                prop_oneof![
                    proptest::sample::select(&b"ab().%[]^$*+-?f1b2dDs]z"[..]),
                    any::<u8>(),
                ],
                0..24,
            ),
        ) {
            if let Ok(Some((start, end))) = search(&subject, &pattern, 200_000) {
                prop_assert!(start <= end && end <= subject.len());
            }
        }

        #[test]
        fn no_place_is_passed_over(
            subject in proptest::collection::vec(proptest::sample::select(&b"ab1 .%-\x00\xE9"[..]), 0..12),
            pattern in proptest::collection::vec(
                proptest::sample::select(&b"ab1().%[]^$*+-?fadwsSz\xE9"[..]),
                0..8,
            ),
        ) {
            let matcher = Matcher::new(&subject, &pattern);
            let mut captures = Captures::new();
            let meter = &mut Limited(u64::MAX);
            let mut expected = Ok(None);
            for from in 0..=subject.len() {
                expected = matcher.match_at(from, &mut captures, meter);
                expected = match expected {
                    Ok(None) => continue,
                    found => found,
                };
                expected = expected.map(|end| end.map(|end| from * 1000 + end));
                break;
            }
            let found = matcher.search(0, &mut captures, meter);
            let found = found.map(|found| found.map(|(from, end)| from * 1000 + end));
            prop_assert_eq!(found.map_err(|_| ()), expected.map_err(|_| ()));
        }

        #[test]
        fn finds_literals_like_a_window_search(subject in "[ab]{0,30}", literal in "[ab]{1,4}") {
            let expected = subject.find(&literal).map(|at| (at, at + literal.len()));
            prop_assert_eq!(search(subject.as_bytes(), literal.as_bytes(), 100_000), Ok(expected));
        }
    }
}
