//! The sparse encoding: runs of registers that have the same value.
//!
//! ```text
//! 00llllll             zero    a run of l + 1 zeros, up to 64
//! 01llllll llllllll    xzero   a run of l + 1 zeros, up to 16384
//! 1vvvvvll             value   a run of l + 1 registers, up to 4, that are v + 1, up to 32
//! ```
//!
//! A change replaces one run by up to three and then joins runs of the same value around it. The
//! order in which runs are joined is that of Redis: the bytes are compared by users and replicas.
//! An xzero whose second byte is missing reads as if that were zero.

use super::{HEADER_LEN, HllError, REGISTERS};

/// Longest run that a zero can hold.
const ZERO_LEN_MAX: usize = 64;
/// Longest run that a value can hold.
const VALUE_LEN_MAX: usize = 4;
/// Largest register that a value can hold.
const VALUE_MAX: u8 = 32;
/// How many runs are looked at to join them after a change, from the one before it.
const JOIN_RUNS: usize = 5;

/// What kind of run it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Zero,
    ExtendedZero,
    Value,
}

/// Registers in a row that have the same value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The value.
    pub value: u8,
    /// How many registers.
    pub len: usize,
    kind: Kind,
}

impl Run {
    /// Whether it is a run of zeros in the longer form.
    pub fn is_extended(&self) -> bool {
        self.kind == Kind::ExtendedZero
    }

    /// Bytes it takes.
    fn size(&self) -> usize {
        if self.is_extended() { 2 } else { 1 }
    }

    /// The run at the start of `bytes`.
    fn parse(bytes: &[u8]) -> Option<Run> {
        let first = *bytes.first()?;
        let low = usize::from(first & 0x3f);
        Some(match first >> 6 {
            0 => Run { kind: Kind::Zero, value: 0, len: low + 1 },
            1 => {
                let second = usize::from(bytes.get(1).copied().unwrap_or(0));
                Run { kind: Kind::ExtendedZero, value: 0, len: (low << 8 | second) + 1 }
            }
            _ => {
                let (value, len) = ((first >> 2 & 0x1f) + 1, usize::from(first & 3) + 1);
                Run { kind: Kind::Value, value, len }
            }
        })
    }
}

/// The runs of a sparse structure.
#[derive(Debug, Clone)]
pub struct Runs<'a> {
    bytes: &'a [u8],
}

impl<'a> Runs<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Runs { bytes }
    }

    /// Hands every register that is not zero to `visit`, and checks that the runs cover them all.
    pub(super) fn visit_values(self, mut visit: impl FnMut(usize, u8)) -> Result<(), HllError> {
        let mut register = 0;
        for run in self {
            let end = register + run.len;
            if run.kind == Kind::Value {
                if end > REGISTERS {
                    return Err(HllError::Corrupt);
                }
                (register..end).for_each(|register| visit(register, run.value));
            }
            register = end;
        }
        if register == REGISTERS { Ok(()) } else { Err(HllError::Corrupt) }
    }
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let run = Run::parse(self.bytes)?;
        self.bytes = self.bytes.get(run.size()..).unwrap_or_default();
        Some(run)
    }
}

/// Appends a run of zeros; nothing if it is empty.
pub(super) fn push_zeros(to: &mut Vec<u8>, len: usize) {
    let Some(stored) = len.checked_sub(1) else { return };
    if len > ZERO_LEN_MAX {
        to.push(0x40 | (stored >> 8) as u8);
    }
    to.push(stored as u8);
}

/// The byte of a run of values.
fn value_byte(value: u8, len: usize) -> u8 {
    0x80 | (value - 1) << 2 | (len - 1) as u8
}

/// What [`raise`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Raised {
    /// The register has the value now.
    Yes,
    /// The register had that value or a higher one.
    WasHigher,
    /// The structure must become dense first.
    DoesNotFit,
}

/// Raises a register of the structure `content` to `value`, which is not zero.
pub(super) fn raise(
    content: &mut Vec<u8>,
    register: usize,
    value: u8,
    bytes_max: usize,
) -> Result<Raised, HllError> {
    if value > VALUE_MAX {
        return Ok(Raised::DoesNotFit);
    }
    let found = find(content, register)?;
    let Found { run, at, first, .. } = found;
    if run.value >= value {
        return Ok(Raised::WasHigher);
    }
    let (ahead, behind) = (register - first, first + run.len - 1 - register);
    let mut new = Vec::with_capacity(5);
    let push_rest = |new: &mut Vec<u8>, len: usize| match run.kind {
        Kind::Value if len > 0 => new.push(value_byte(run.value, len)),
        Kind::Value => {}
        _ => push_zeros(new, len),
    };
    push_rest(&mut new, ahead);
    new.push(value_byte(value, 1));
    push_rest(&mut new, behind);
    let grown = content.len() - run.size() + new.len();
    if new.len() > run.size() && grown > bytes_max {
        return Ok(Raised::DoesNotFit);
    }
    content.splice(at..at + run.size(), new);
    join(content, found.previous.unwrap_or(HEADER_LEN));
    Ok(Raised::Yes)
}

/// The run that holds a register.
struct Found {
    run: Run,
    /// Where it stands in the structure.
    at: usize,
    /// Its first register.
    first: usize,
    /// Where the run before it stands.
    previous: Option<usize>,
}

fn find(content: &[u8], register: usize) -> Result<Found, HllError> {
    let (mut at, mut first, mut previous) = (HEADER_LEN, 0, None);
    loop {
        let rest = content.get(at..).unwrap_or_default();
        let run = Run::parse(rest).filter(|run| run.size() <= rest.len());
        let run = run.ok_or(HllError::Corrupt)?;
        if register < first + run.len {
            return Ok(Found { run, at, first, previous });
        }
        previous = Some(at);
        first += run.len;
        at += run.size();
    }
}

/// Joins neighbours of the same value, looking at a few runs from the one at `at`.
fn join(content: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOIN_RUNS {
        let run_at = |at: usize| content.get(at..).and_then(Run::parse);
        let Some(run) = run_at(at) else { return };
        if let (Kind::Value, Some(next)) = (run.kind, run_at(at + 1))
            && next.kind == Kind::Value
            && next.value == run.value
            && run.len + next.len <= VALUE_LEN_MAX
        {
            content[at + 1] = value_byte(run.value, run.len + next.len);
            content.remove(at);
        } else {
            at += run.size();
        }
    }
}
