//! The `string` library, except `gsub` and `format`.

use std::ffi::c_int;

use memchr::memmem;
use mlua::ffi::*;

use super::args::{
    check_bytes, check_int, check_integer, check_stack, opt_integer, to_bytes, type_error,
};
use super::buffer::Buffer;
use super::convert::i64_to_i32;
use super::pattern::{Captured, Captures, Matcher};
use super::{State, format, gsub, push_library};
use crate::interrupt::{Meter, Ticker, tick};
use crate::raise::{LuaError, native, push_bytes};

/// Bytes that make a pattern more than plain text.
const SPECIALS: &[u8] = b"^$*+?.([%-";

/// Bytes of a pattern that are looked at between two payments.
const LOOKED_AT_BYTES: usize = 64 << 10;
/// Bytes that are searched for plain text between two payments, unless the text is longer.
const SEARCHED_BYTES: usize = 1 << 20;

/// What bytecode of Lua 5.1 begins with on a 64-bit machine.
const BYTECODE_HEADER: &[u8] = b"\x1bLua\x51\x00\x01\x04\x08\x04\x08\x00";

/// A position counted from the front, where negative ones count from the end.
fn from_front(position: i64, len: usize) -> i64 {
    let position = match position < 0 {
        true => position.wrapping_add(len as i64).wrapping_add(1),
        false => position,
    };
    position.max(0)
}

unsafe fn len(lua: State) -> Result<c_int, LuaError> {
    let bytes = check_bytes(lua, 1)?;
    lua_pushinteger(lua, bytes.len() as lua_Integer);
    Ok(1)
}

unsafe fn sub(lua: State) -> Result<c_int, LuaError> {
    let bytes = check_bytes(lua, 1)?;
    let start = from_front(check_integer(lua, 2)?, bytes.len()).max(1) as usize;
    let end = from_front(opt_integer(lua, 3, -1)?, bytes.len()) as usize;
    let end = end.min(bytes.len());
    let part = bytes.get(start - 1..end).unwrap_or_default();
    push_bytes(lua, part);
    Ok(1)
}

/// Bytes that are changed between two payments.
const CHANGED_BYTES: usize = 256 << 10;

/// Pushes argument 1 after a change to each of its bytes.
unsafe fn changed(lua: State, change: fn(&mut [u8])) -> Result<c_int, LuaError> {
    let bytes = check_bytes(lua, 1)?;
    tick(lua, bytes.len() as u64 / 64)?;
    let mut out = Buffer::new(lua);
    out.extend(bytes)?;
    for piece in out.as_mut_slice().chunks_mut(CHANGED_BYTES) {
        tick(lua, piece.len() as u64 / 16)?;
        change(piece);
    }
    out.push_to_lua()?;
    Ok(1)
}

unsafe fn reverse(lua: State) -> Result<c_int, LuaError> {
    let bytes = check_bytes(lua, 1)?;
    let mut out = Buffer::new(lua);
    out.reserve(bytes.len())?;
    for part in bytes.rchunks(CHANGED_BYTES) {
        tick(lua, part.len() as u64 / 16)?;
        let from = out.len();
        out.extend(part)?;
        out.as_mut_slice()[from..].reverse();
    }
    out.push_to_lua()?;
    Ok(1)
}

unsafe fn lower(lua: State) -> Result<c_int, LuaError> {
    changed(lua, <[u8]>::make_ascii_lowercase)
}

unsafe fn upper(lua: State) -> Result<c_int, LuaError> {
    changed(lua, <[u8]>::make_ascii_uppercase)
}

unsafe fn rep(lua: State) -> Result<c_int, LuaError> {
    let bytes = check_bytes(lua, 1)?;
    let times = usize::try_from(check_int(lua, 2)?).unwrap_or(0);
    let total = bytes.len().saturating_mul(times);
    tick(lua, total as u64 / 64)?;
    let mut out = Buffer::new(lua);
    out.extend_repeated(bytes, total)?;
    out.push_to_lua()?;
    Ok(1)
}

unsafe fn byte(lua: State) -> Result<c_int, LuaError> {
    let bytes = check_bytes(lua, 1)?;
    let start = from_front(opt_integer(lua, 2, 1)?, bytes.len());
    let end = from_front(opt_integer(lua, 3, start)?, bytes.len());
    let start = start.max(1) as usize;
    let end = (end as usize).min(bytes.len());
    let part = bytes.get(start - 1..end).unwrap_or_default();
    tick(lua, part.len() as u64)?;
    if part.len() > i32::MAX as usize {
        return Err(LuaError::msg("string slice too long"));
    }
    check_stack(lua, part.len(), "string slice too long")?;
    for &byte in part {
        lua_pushinteger(lua, byte.into());
    }
    Ok(part.len() as c_int)
}

unsafe fn char(lua: State) -> Result<c_int, LuaError> {
    let mut out = Buffer::new(lua);
    let count = lua_gettop(lua);
    tick(lua, count as u64)?;
    for index in 1..=count {
        let code = check_int(lua, index)?;
        let byte = u8::try_from(code).map_err(|_| LuaError::arg(index, "invalid value"))?;
        out.push(byte)?;
    }
    out.push_to_lua()?;
    Ok(1)
}

/// Pushes one capture.
pub(super) unsafe fn push_captured(lua: State, captured: Captured<'_>) {
    match captured {
        Captured::Text(text) => push_bytes(lua, text),
        Captured::Position(position) => lua_pushinteger(lua, position as lua_Integer),
    }
}

/// Pushes all captures, or the whole match when there are none.
pub(super) unsafe fn push_captures(
    lua: State,
    captures: &Captures,
    subject: &[u8],
    start: usize,
    end: usize,
) -> Result<c_int, LuaError> {
    let count = captures.count().max(1);
    check_stack(lua, count, "too many captures")?;
    for index in 0..count {
        push_captured(lua, captures.get(index, subject, start..end)?);
    }
    Ok(count as c_int)
}

unsafe fn find(lua: State) -> Result<c_int, LuaError> {
    find_or_match(lua, true)
}

unsafe fn match_(lua: State) -> Result<c_int, LuaError> {
    find_or_match(lua, false)
}

unsafe fn find_or_match(lua: State, find: bool) -> Result<c_int, LuaError> {
    let subject = check_bytes(lua, 1)?;
    let pattern = check_bytes(lua, 2)?;
    let from = from_front(opt_integer(lua, 3, 1)?, subject.len()) as usize;
    let from = from.saturating_sub(1).min(subject.len());
    if find && (lua_toboolean(lua, 4) != 0 || is_plain(lua, pattern)?) {
        return find_plain(lua, subject, pattern, from);
    }
    let mut matcher = Matcher::new(subject, pattern);
    let anchored = matcher.take_anchor();
    let mut captures = Captures::new();
    let mut meter = Ticker::new(lua);
    let found = match anchored {
        true => matcher.match_at(from, &mut captures, &mut meter)?.map(|end| (from, end)),
        false => matcher.search(from, &mut captures, &mut meter)?,
    };
    let Some((start, end)) = found else {
        lua_pushnil(lua);
        return Ok(1);
    };
    if !find {
        return push_captures(lua, &captures, subject, start, end);
    }
    lua_pushinteger(lua, start as lua_Integer + 1);
    lua_pushinteger(lua, end as lua_Integer);
    if captures.count() == 0 {
        return Ok(2);
    }
    Ok(2 + push_captures(lua, &captures, subject, start, end)?)
}

/// Only the part before a NUL counts, as C looks at it.
unsafe fn is_plain(lua: State, pattern: &[u8]) -> Result<bool, LuaError> {
    for piece in pattern.chunks(LOOKED_AT_BYTES) {
        tick(lua, piece.len() as u64 / 4)?;
        if let Some(end) = piece.iter().find(|&&b| b == 0 || SPECIALS.contains(&b)) {
            return Ok(*end == 0);
        }
    }
    Ok(true)
}

unsafe fn find_plain(
    lua: State,
    subject: &[u8],
    text: &[u8],
    from: usize,
) -> Result<c_int, LuaError> {
    let found = match subject.len() - from {
        ..=SEARCHED_BYTES => {
            tick(lua, (subject.len() - from) as u64 / 64)?;
            memmem::find(&subject[from..], text).map(|offset| from + offset)
        }
        _ => find_in_pieces(lua, subject, text, from)?,
    };
    let Some(start) = found else {
        lua_pushnil(lua);
        return Ok(1);
    };
    lua_pushinteger(lua, start as lua_Integer + 1);
    lua_pushinteger(lua, (start + text.len()) as lua_Integer);
    Ok(2)
}

/// Where in a long subject the text begins. The pieces overlap by as much as a match may lack at the
/// end of one.
unsafe fn find_in_pieces(
    lua: State,
    subject: &[u8],
    text: &[u8],
    from: usize,
) -> Result<Option<usize>, LuaError> {
    let finder = memmem::Finder::new(text);
    let step = SEARCHED_BYTES.max(text.len());
    for start in (from..subject.len()).step_by(step) {
        let end = subject.len().min(start + step + text.len().saturating_sub(1));
        let piece = &subject[start..end];
        tick(lua, piece.len() as u64 / 64)?;
        if let Some(offset) = finder.find(piece) {
            return Ok(Some(start + offset));
        }
    }
    Ok(None)
}

unsafe fn gmatch(lua: State) -> Result<c_int, LuaError> {
    check_bytes(lua, 1)?;
    check_bytes(lua, 2)?;
    lua_settop(lua, 2);
    lua_pushinteger(lua, 0);
    lua_pushcclosure(lua, c_gmatch_next, 3);
    Ok(1)
}

/// The iterator: subject, pattern and next start are its upvalues.
unsafe fn gmatch_next(lua: State) -> Result<c_int, LuaError> {
    let subject = to_bytes(lua, lua_upvalueindex(1)).unwrap_or_default();
    let pattern = to_bytes(lua, lua_upvalueindex(2)).unwrap_or_default();
    let from = lua_tonumber(lua, lua_upvalueindex(3)) as usize;
    let matcher = Matcher::new(subject, pattern);
    let mut captures = Captures::new();
    let mut meter = Ticker::new(lua);
    meter.step(1)?;
    let Some((start, end)) = matcher.search(from, &mut captures, &mut meter)? else {
        return Ok(0);
    };
    // An empty match must not be found again.
    let next = end + usize::from(start == end);
    lua_pushinteger(lua, next as lua_Integer);
    lua_replace(lua, lua_upvalueindex(3));
    push_captures(lua, &captures, subject, start, end)
}

/// Cuts an optional count the way Lua cuts arguments to `int`.
pub(super) unsafe fn opt_count(lua: State, index: c_int, or: usize) -> Result<i32, LuaError> {
    match lua_isnoneornil(lua, index) != 0 {
        true => Ok(i64_to_i32(or as i64)),
        false => check_int(lua, index),
    }
}

/// `string.dump`: where Lua gives the bytecode of a function, scripts get as much of it as says what
/// it is. They could do nothing with the rest: code is compiled from text only.
unsafe fn dump(lua: State) -> Result<c_int, LuaError> {
    if lua_type(lua, 1) != LUA_TFUNCTION {
        return Err(type_error(lua, 1, "function"));
    }
    if lua_iscfunction(lua, 1) != 0 {
        return Err(LuaError::msg("unable to dump given function"));
    }
    push_bytes(lua, BYTECODE_HEADER);
    Ok(1)
}

native!(c_byte, byte);
native!(c_char, char);
native!(c_dump, dump);
native!(c_find, find);
native!(c_format, format::format);
native!(c_gmatch, gmatch);
native!(c_gmatch_next, gmatch_next);
native!(calling c_gsub, gsub::gsub);
native!(c_len, len);
native!(c_lower, lower);
native!(c_match, match_);
native!(c_rep, rep);
native!(c_reverse, reverse);
native!(c_sub, sub);
native!(c_upper, upper);

/// Sets the global `string`, which is also what strings are indexed by.
///
/// # Safety
/// As [`super::open_all`].
pub(crate) unsafe fn open_string(lua: *mut lua_State) {
    push_library(
        lua,
        &[
            (c"byte", c_byte),
            (c"char", c_char),
            (c"dump", c_dump),
            (c"find", c_find),
            (c"format", c_format),
            (c"gmatch", c_gmatch),
            (c"gsub", c_gsub),
            (c"len", c_len),
            (c"lower", c_lower),
            (c"match", c_match),
            (c"rep", c_rep),
            (c"reverse", c_reverse),
            (c"sub", c_sub),
            (c"upper", c_upper),
        ],
    );
    lua_getfield_(lua, -1, c"gmatch".as_ptr());
    lua_setfield(lua, -2, c"gfind".as_ptr());
    push_bytes(lua, b"");
    lua_createtable(lua, 0, 1);
    lua_pushvalue(lua, -3);
    lua_setfield(lua, -2, c"__index".as_ptr());
    lua_setmetatable(lua, -2);
    lua_settop(lua, -2);
    lua_setglobal(lua, c"string".as_ptr());
}
