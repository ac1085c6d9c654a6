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
use super::pattern::{Captured, Captures, Matcher};
use super::string::{opt_count, push_captured, push_captures};
use crate::interrupt::{Meter, Ticker};
use crate::raise::{LuaError, call_out};

/// What a substitution runs over. Plain data.
#[derive(Clone, Copy)]
struct Job {
    subject: &'static [u8],
    pattern: &'static [u8],
    anchored: bool,
    count_max: i32,
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
    let lead = matcher.lead().filter(|_| !job.anchored);
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

/// Where the next match may begin, `at` included.
unsafe fn next_start(lua: State, job: &Job, at: usize) -> Result<usize, LuaError> {
    match Matcher::new(job.subject, job.pattern).lead().filter(|_| !job.anchored) {
        Some(lead) => lead.find(job.subject, at, &mut Ticker::new(lua)),
        None => Ok(at),
    }
}

/// Finds one match; everything it owns is gone when it returns.
unsafe fn match_once(
    lua: State,
    job: &Job,
    at: usize,
    captures: &mut Captures,
) -> Result<Option<usize>, LuaError> {
    let mut meter = Ticker::new(lua);
    Matcher::new(job.subject, job.pattern).match_at(at, captures, &mut meter)
}

unsafe fn with_calls(lua: State, job: Job) -> Result<c_int, LuaError> {
    lua_settop(lua, 4);
    let mut out = LuaBuffer::push_new(lua);
    let mut captures = Captures::new();
    let mut at = 0;
    let mut count = 0;
    while count < job.count_max {
        crate::interrupt::tick(lua, 1)?;
        let next = next_start(lua, &job, at)?;
        out.extend(lua, &job.subject[at..next])?;
        at = next;
        let end = match_once(lua, &job, at, &mut captures)?;
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
