//! `string.gsub`.
//!
//! With a string as replacement nothing calls back into Lua, and the result grows in the shared
//! buffer. With a function or a table, Lua code may run between two matches and leave by a jump:
//! that variant keeps only plain data across the call, and its result in a userdatum.

use std::ffi::c_int;

use mlua::ffi::*;

use super::State;
use super::args::{check_bytes, type_name};
use super::buffer::{Buffer, LuaBuffer};
use super::pattern::{Captured, Captures, Item, Matcher};
use super::string::{opt_count, push_captured, push_captures};
use crate::interrupt::{Meter, Prompt, Ticker};
use crate::raise::{LuaError, call_out};

/// What a substitution runs over. Plain data.
#[derive(Clone, Copy)]
struct Job {
    subject: &'static [u8],
    pattern: &'static [u8],
    anchored: bool,
    count_max: i32,
}

impl Job {
    /// What a match begins with, where one may begin anywhere.
    fn lead(&self) -> Option<Item<'static>> {
        match self.anchored {
            true => None,
            false => Matcher::new(self.subject, self.pattern).lead(),
        }
    }
}

/// The entry; entered as a function that calls out.
pub(super) unsafe fn gsub(lua: State) -> Result<c_int, LuaError> {
    let subject = check_bytes(lua, 1)?;
    let pattern = check_bytes(lua, 2)?;
    let kind = lua_type(lua, 3);
    let count_max = opt_count(lua, 4, subject.len() + 1)?;
    let (pattern, anchored) = match pattern {
        [b'^', rest @ ..] => (rest, true),
        _ => (pattern, false),
    };
    let job = Job { subject, pattern, anchored, count_max };
    match kind {
        LUA_TNUMBER | LUA_TSTRING => with_string(lua, job),
        LUA_TFUNCTION | LUA_TTABLE => with_calls(lua, job),
        _ => Err(LuaError::arg(3, "string/function/table expected")),
    }
}

unsafe fn with_string(lua: State, job: Job) -> Result<c_int, LuaError> {
    let template = check_bytes(lua, 3)?;
    let matcher = Matcher::new(job.subject, job.pattern);
    let lead = job.lead();
    let mut captures = Captures::new();
    let mut meter = Ticker::new(lua);
    let mut out = Buffer::new(lua);
    let mut at = 0;
    let mut count = 0;
    while count < job.count_max {
        if let Some(lead) = lead {
            let next = lead.find(job.subject, at, &mut meter)?;
            out.extend(&job.subject[at..next])?;
            at = next;
            if at == job.subject.len() {
                break;
            }
        }
        let end = matcher.match_at(at, &mut captures, &mut meter)?;
        if let Some(end) = end {
            count += 1;
            meter.step(template.len() as u64 / 8)?;
            add_template(&mut out, template, &captures, job.subject, at, end, &mut meter)?;
        }
        match end {
            Some(end) if end > at => at = end,
            _ if at < job.subject.len() => {
                out.push(job.subject[at])?;
                at += 1;
            }
            _ => break,
        }
        if job.anchored {
            break;
        }
    }
    out.extend(&job.subject[at..])?;
    out.push_to_lua()?;
    lua_pushinteger(lua, count.into());
    Ok(2)
}

/// Adds the replacement text, with `%0` to `%9` filled in.
fn add_template(
    out: &mut Buffer,
    template: &[u8],
    captures: &Captures,
    subject: &[u8],
    start: usize,
    end: usize,
    meter: &mut Ticker,
) -> Result<(), LuaError> {
    let mut rest = template;
    while let Some(escape) = memchr::memchr(b'%', rest) {
        out.extend(&rest[..escape])?;
        // An escape at the very end reads the NUL behind the string.
        let code = rest.get(escape + 1).copied().unwrap_or(0);
        rest = rest.get(escape + 2..).unwrap_or_default();
        match code {
            b'0' => {
                meter.step((end - start) as u64 / 64)?;
                out.extend(&subject[start..end])?;
            }
            b'1'..=b'9' => {
                let index = usize::from(code - b'1');
                match captures.get(index, subject, start..end)? {
                    Captured::Text(text) => {
                        meter.step(text.len() as u64 / 64)?;
                        out.extend(text)?;
                    }
                    Captured::Position(position) => out.extend(position.to_string().as_bytes())?,
                }
            }
            other => out.push(other)?,
        }
    }
    out.extend(rest)
}

/// Finds one match; everything it owns is gone when it returns.
fn match_once(
    job: &Job,
    at: usize,
    captures: &mut Captures,
    meter: &mut Prompt,
) -> Result<Option<usize>, LuaError> {
    Matcher::new(job.subject, job.pattern).match_at(at, captures, meter)
}

unsafe fn with_calls(lua: State, job: Job) -> Result<c_int, LuaError> {
    lua_settop(lua, 4);
    let lead = job.lead();
    let mut out = LuaBuffer::push_new(lua);
    let mut captures = Captures::new();
    let mut meter = Prompt::new(lua);
    let mut at = 0;
    let mut count = 0;
    while count < job.count_max {
        meter.step(1)?;
        if let Some(lead) = lead {
            let next = lead.find(job.subject, at, &mut meter)?;
            out.extend(lua, &job.subject[at..next])?;
            at = next;
        }
        let end = match_once(&job, at, &mut captures, &mut meter)?;
        if let Some(end) = end {
            count += 1;
            add_called(lua, &mut out, &captures, job.subject, at, end)?;
        }
        match end {
            Some(end) if end > at => at = end,
            _ if at < job.subject.len() => {
                out.extend(lua, &job.subject[at..at + 1])?;
                at += 1;
            }
            _ => break,
        }
        if job.anchored {
            break;
        }
    }
    out.extend(lua, &job.subject[at..])?;
    out.push_to_lua(lua);
    lua_pushinteger(lua, count.into());
    Ok(2)
}

/// Asks the function or table for the replacement and adds it.
unsafe fn add_called(
    lua: State,
    out: &mut LuaBuffer,
    captures: &Captures,
    subject: &[u8],
    start: usize,
    end: usize,
) -> Result<(), LuaError> {
    if lua_type(lua, 3) == LUA_TFUNCTION {
        lua_pushvalue(lua, 3);
        let count = push_captures(lua, captures, subject, start, end)?;
        call_out(lua, |lua| lua_call(lua, count, 1));
    } else {
        push_captured(lua, captures.get(0, subject, start..end)?);
        call_out(lua, |lua| lua_gettable_(lua, 3));
    }
    if lua_toboolean(lua, -1) == 0 {
        out.extend(lua, &subject[start..end])?;
    } else {
        let mut len = 0;
        let text = lua_tolstring(lua, -1, &mut len);
        if text.is_null() {
            let kind = type_name(lua, -1);
            return Err(LuaError::msg(format!("invalid replacement value (a {kind})")));
        }
        out.extend(lua, std::slice::from_raw_parts(text.cast(), len))?;
    }
    lua_settop(lua, -2);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::pattern::tests::Limited;
    use super::super::tests::TestState;
    use super::*;
    use proptest::prelude::*;

    /// What the reference implementation does: a try at every place.
    fn substitute(subject: &[u8], pattern: &[u8], count_max: usize) -> Option<(Vec<u8>, usize)> {
        let mut matcher = Matcher::new(subject, pattern);
        let anchored = matcher.take_anchor();
        let (mut out, mut at, mut count) = (Vec::new(), 0, 0);
        while count < count_max {
            let end = matcher.match_at(at, &mut Captures::new(), &mut Limited(u64::MAX)).ok()?;
            if let Some(end) = end {
                count += 1;
                out.push(b'<');
                out.extend_from_slice(&subject[at..end]);
                out.push(b'>');
            }
            match end {
                Some(end) if end > at => at = end,
                _ if at < subject.len() => {
                    out.push(subject[at]);
                    at += 1;
                }
                _ => break,
            }
            if anchored {
                break;
            }
        }
        out.extend_from_slice(&subject[at..]);
        Some((out, count))
    }

    fn literal(bytes: &[u8]) -> String {
        let escapes = bytes.iter().map(|byte| format!("\\{byte:03}"));
        format!("'{}'", escapes.collect::<String>())
    }

    proptest! {
        #[test]
        fn every_place_is_tried(
            subject in proptest::collection::vec(proptest::sample::select(&b"ab1 .%-"[..]), 0..12),
            pattern in proptest::collection::vec(
                proptest::sample::select(&b"aab1.%[]^$*+-?dwS"[..]),
                1..6,
            ),
            count_max in 0..5_usize,
        ) {
            let state = TestState::new();
            let (subject_text, pattern_text) = (literal(&subject), literal(&pattern));
            let call = |replacement: &str| {
                state.run(&format!(
                    "local ok, text, count = pcall(string.gsub, {subject_text}, {pattern_text},
                                                   {replacement}, {count_max})
                     if ok then return text .. ';' .. count end"
                ))
            };
            match substitute(&subject, &pattern, count_max) {
                Some((text, count)) => {
                    let text = String::from_utf8(text).unwrap();
                    prop_assert_eq!(call("'<%0>'"), format!("{text};{count}"));
                    let unchanged = String::from_utf8(subject.clone()).unwrap();
                    let unchanged = format!("{unchanged};{count}");
                    prop_assert_eq!(call("{}"), unchanged.clone());
                    prop_assert_eq!(call("function() end"), unchanged);
                }
                None => prop_assert_eq!(call("'<%0>'"), ""),
            }
        }
    }
}
