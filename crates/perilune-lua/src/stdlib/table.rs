//! The `table` library, except `sort`.

use std::ffi::c_int;

use mlua::ffi::*;

use super::args::{check_bytes, check_int, check_type, opt_int, to_bytes, type_name};
use super::buffer::Buffer;
use super::{State, push_library, sort};
use crate::errors::READONLY;
use crate::interrupt::{Meter, Ticker, tick};
use crate::raise::{LuaError, call_out, native};
use crate::vm::{is_readonly, show_frozen};

/// Demands that argument 1, a table, may be changed.
///
/// # Safety
/// As [`super::open_all`], called within a native function.
pub(crate) unsafe fn check_writable(lua: State) -> Result<(), LuaError> {
    match is_readonly(lua, 1) {
        true => Err(LuaError::Bare(READONLY.to_string_lossy())),
        false => Ok(()),
    }
}

/// The length of argument 1, which must be a table.
pub(super) unsafe fn check_len(lua: State) -> Result<c_int, LuaError> {
    check_type(lua, 1, LUA_TTABLE)?;
    Ok(lua_objlen(lua, 1) as c_int)
}

unsafe fn foreachi(lua: State) -> Result<c_int, LuaError> {
    let len = check_len(lua)?;
    check_type(lua, 2, LUA_TFUNCTION)?;
    for index in 1..=len {
        tick(lua, 1)?;
        lua_pushvalue(lua, 2);
        lua_pushinteger(lua, index.into());
        lua_rawgeti_(lua, 1, index);
        call_out(lua, |lua| lua_call(lua, 2, 1));
        if lua_type(lua, -1) != LUA_TNIL {
            return Ok(1);
        }
        lua_settop(lua, -2);
    }
    Ok(0)
}

unsafe fn foreach(lua: State) -> Result<c_int, LuaError> {
    check_type(lua, 1, LUA_TTABLE)?;
    check_type(lua, 2, LUA_TFUNCTION)?;
    show_frozen(lua, 1);
    lua_pushnil(lua);
    // The callback may have changed the table, so even the step to the next key can raise.
    while call_out(lua, |lua| lua_next(lua, 1)) != 0 {
        tick(lua, 1)?;
        lua_pushvalue(lua, 2);
        lua_pushvalue(lua, -3);
        lua_pushvalue(lua, -3);
        call_out(lua, |lua| lua_call(lua, 2, 1));
        if lua_type(lua, -1) != LUA_TNIL {
            return Ok(1);
        }
        lua_settop(lua, -3);
    }
    Ok(0)
}

unsafe fn maxn(lua: State) -> Result<c_int, LuaError> {
    check_type(lua, 1, LUA_TTABLE)?;
    let mut meter = Ticker::new(lua);
    let mut max = 0.0;
    lua_pushnil(lua);
    while lua_next(lua, 1) != 0 {
        meter.step(1)?;
        lua_settop(lua, -2);
        if lua_type(lua, -1) == LUA_TNUMBER {
            let key = lua_tonumber(lua, -1);
            if key > max {
                max = key;
            }
        }
    }
    lua_pushnumber(lua, max);
    Ok(1)
}

unsafe fn getn(lua: State) -> Result<c_int, LuaError> {
    let len = check_len(lua)?;
    lua_pushinteger(lua, len.into());
    Ok(1)
}

unsafe fn setn(lua: State) -> Result<c_int, LuaError> {
    check_type(lua, 1, LUA_TTABLE)?;
    Err(LuaError::msg("'setn' is obsolete"))
}

unsafe fn insert(lua: State) -> Result<c_int, LuaError> {
    let end = check_len(lua)?.saturating_add(1);
    match lua_gettop(lua) {
        2 => {
            check_writable(lua)?;
            lua_rawseti_(lua, 1, end);
        }
        3 => {
            let at = check_int(lua, 2)?;
            check_writable(lua)?;
            let mut meter = Ticker::new(lua);
            let mut index = end.max(at);
            while index > at {
                meter.step(1)?;
                lua_rawgeti_(lua, 1, index - 1);
                lua_rawseti_(lua, 1, index);
                index -= 1;
            }
            lua_rawseti_(lua, 1, at);
        }
        _ => return Err(LuaError::msg("wrong number of arguments to 'insert'")),
    }
    Ok(0)
}

unsafe fn remove(lua: State) -> Result<c_int, LuaError> {
    let end = check_len(lua)?;
    let at = opt_int(lua, 2, end)?;
    if !(1..=end).contains(&at) {
        return Ok(0);
    }
    check_writable(lua)?;
    let mut meter = Ticker::new(lua);
    lua_rawgeti_(lua, 1, at);
    for index in at..end {
        meter.step(1)?;
        lua_rawgeti_(lua, 1, index + 1);
        lua_rawseti_(lua, 1, index);
    }
    lua_pushnil(lua);
    lua_rawseti_(lua, 1, end);
    Ok(1)
}

unsafe fn add_element(lua: State, out: &mut Buffer, index: c_int) -> Result<(), LuaError> {
    lua_rawgeti_(lua, 1, index);
    let Some(text) = to_bytes(lua, -1) else {
        let kind = type_name(lua, -1);
        return Err(LuaError::msg(format!(
            "invalid value ({kind}) at index {index} in table for 'concat'"
        )));
    };
    out.extend(text)?;
    lua_settop(lua, -2);
    Ok(())
}

unsafe fn concat(lua: State) -> Result<c_int, LuaError> {
    let separator = match lua_type(lua, 2) <= LUA_TNIL {
        true => &b""[..],
        false => check_bytes(lua, 2)?,
    };
    check_type(lua, 1, LUA_TTABLE)?;
    let first = opt_int(lua, 3, 1)?;
    let last = match lua_type(lua, 4) <= LUA_TNIL {
        true => lua_objlen(lua, 1) as c_int,
        false => check_int(lua, 4)?,
    };
    let mut out = Buffer::new(lua);
    let mut meter = Ticker::new(lua);
    if first <= last {
        for index in first..last {
            let before = out.len();
            add_element(lua, &mut out, index)?;
            out.extend(separator)?;
            meter.step(1 + (out.len() - before) as u64 / 64)?;
        }
        add_element(lua, &mut out, last)?;
    }
    out.push_to_lua()?;
    Ok(1)
}

native!(c_concat, concat);
native!(calling c_foreach, foreach);
native!(calling c_foreachi, foreachi);
native!(c_getn, getn);
native!(c_maxn, maxn);
native!(calling c_insert, insert);
native!(c_remove, remove);
native!(c_setn, setn);
native!(calling c_sort, sort::sort);

/// Sets the global `table`.
///
/// # Safety
/// As [`super::open_all`].
pub(crate) unsafe fn open_table(lua: *mut lua_State) {
    push_library(
        lua,
        &[
            (c"concat", c_concat),
            (c"foreach", c_foreach),
            (c"foreachi", c_foreachi),
            (c"getn", c_getn),
            (c"maxn", c_maxn),
            (c"insert", c_insert),
            (c"remove", c_remove),
            (c"setn", c_setn),
            (c"sort", c_sort),
        ],
    );
    lua_setglobal(lua, c"table".as_ptr());
}
