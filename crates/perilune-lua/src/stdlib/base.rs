//! `unpack`, the one function of the base library whose argument ranges need care.

use std::ffi::c_int;

use mlua::ffi::*;

use super::State;
use super::args::{check_int, check_type, opt_int};
use crate::interrupt::tick;
use crate::raise::{LuaError, native};

unsafe fn unpack(lua: State) -> Result<c_int, LuaError> {
    check_type(lua, 1, LUA_TTABLE)?;
    let first = opt_int(lua, 2, 1)?;
    let last = match lua_type(lua, 3) <= LUA_TNIL {
        true => lua_objlen(lua, 1) as c_int,
        false => check_int(lua, 3)?,
    };
    if first > last {
        return Ok(0);
    }
    let count = i64::from(last) - i64::from(first) + 1;
    let count = c_int::try_from(count)
        .ok()
        .filter(|&count| lua_checkstack(lua, count) != 0)
        .ok_or(LuaError::msg("too many results to unpack"))?;
    tick(lua, count as u64)?;
    for index in first..=last {
        lua_rawgeti_(lua, 1, index);
    }
    Ok(count)
}

native!(c_unpack, unpack);

/// Sets the global `unpack`.
///
/// # Safety
/// As [`super::open_all`].
pub(crate) unsafe fn open_unpack(lua: *mut lua_State) {
    lua_pushcclosure(lua, c_unpack, 0);
    lua_setglobal(lua, c"unpack".as_ptr());
}
