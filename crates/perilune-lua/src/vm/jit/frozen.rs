//! Tables that refuse changes.
//!
//! A frozen table is empty and has a metatable that no script gets hold of: reading goes on in the
//! table behind, its contents, and writing raises. `getmetatable` shows a frozen copy of the
//! metatable that the table had before, or `false`. What scripts read raw is read by functions of
//! this module: `next`, `pairs` and `rawget`.

use std::ffi::{CStr, c_int, c_void};

use mlua::ffi::*;

use crate::base::{check_any, check_table};
use crate::errors::READONLY;
use crate::raise::{LuaError, call_out, native};

type State = *mut lua_State;

/// The key of metatables of frozen tables; its address is what counts.
static FROZEN: u8 = 0;

unsafe fn push_frozen_key(lua: State) {
    // SAFETY: pushes a value that is no object.
    unsafe { lua_pushlightuserdata(lua, (&raw const FROZEN).cast_mut().cast::<c_void>()) }
}

/// The place of a value from the bottom.
unsafe fn absolute(lua: State, index: c_int) -> c_int {
    // SAFETY: reads a number.
    if index > 0 { index } else { unsafe { lua_gettop(lua) + 1 + index } }
}

/// Pushes the contents of the table at `index` if it is frozen.
unsafe fn push_contents(lua: State, index: c_int) -> bool {
    // SAFETY: fields are read raw.
    unsafe {
        if lua_type(lua, index) != LUA_TTABLE || lua_getmetatable(lua, index) == 0 {
            return false;
        }
        push_frozen_key(lua);
        lua_rawget_(lua, -2);
        let is_frozen = lua_type(lua, -1) == LUA_TTABLE;
        lua_remove(lua, -2);
        if !is_frozen {
            lua_pop(lua, 1);
        }
        is_frozen
    }
}

/// Whether the value at `index` is a table that refuses changes.
///
/// # Safety
/// `lua` is a state of this crate with room for three values.
pub(crate) unsafe fn is_readonly(lua: State, index: c_int) -> bool {
    // SAFETY: as promised.
    unsafe {
        let is_frozen = push_contents(lua, index);
        if is_frozen {
            lua_pop(lua, 1);
        }
        is_frozen
    }
}

/// `__newindex` of frozen tables.
unsafe extern "C-unwind" fn refuse(lua: State) -> c_int {
    // SAFETY: owns nothing.
    unsafe { luaL_error(lua, READONLY.as_ptr()) }
}

/// Moves all fields of the table at `from` to the one at `to`, or copies them.
unsafe fn transfer(lua: State, from: c_int, to: c_int, copies: bool) {
    // SAFETY: fields are set to nil during the walk, which Lua allows.
    unsafe {
        lua_pushnil(lua);
        while lua_next(lua, from) != 0 {
            lua_pushvalue(lua, -2);
            lua_insert(lua, -2);
            lua_rawset(lua, to);
            if !copies {
                lua_pushvalue(lua, -1);
                lua_pushnil(lua);
                lua_rawset(lua, from);
            }
        }
    }
}

/// Makes the table at `index` refuse changes from now on.
///
/// # Safety
/// `lua` is a state of this crate that is being built.
pub(crate) unsafe fn freeze(lua: State, index: c_int) {
    // SAFETY: memory is not refused while a state is built, and its builder leaves room.
    unsafe {
        if is_readonly(lua, index) {
            return;
        }
        let table = absolute(lua, index);
        lua_createtable(lua, 0, 0);
        let contents = lua_gettop(lua);
        transfer(lua, table, contents, false);
        lua_createtable(lua, 0, 4);
        lua_pushboolean(lua, 0);
        lua_setfield(lua, -2, c"__metatable".as_ptr());
        if lua_getmetatable(lua, table) != 0 {
            lua_getfield_(lua, -1, c"__metatable".as_ptr());
            if lua_type(lua, -1) == LUA_TNIL {
                lua_pop(lua, 1);
            } else {
                lua_setfield(lua, -3, c"__metatable".as_ptr());
            }
            lua_setmetatable(lua, contents);
        }
        push_frozen_key(lua);
        lua_pushvalue(lua, contents);
        lua_rawset(lua, -3);
        lua_pushvalue(lua, contents);
        lua_setfield(lua, -2, c"__index".as_ptr());
        lua_pushcclosure(lua, refuse, 0);
        lua_setfield(lua, -2, c"__newindex".as_ptr());
        lua_setmetatable(lua, table);
        lua_settop(lua, contents - 1);
    }
}

/// Makes a metatable show a frozen copy of itself.
///
/// # Safety
/// As [`freeze`].
pub(crate) unsafe fn freeze_metatable(lua: State, index: c_int) {
    // SAFETY: as promised.
    unsafe {
        let metatable = absolute(lua, index);
        lua_createtable(lua, 0, 1);
        transfer(lua, metatable, lua_gettop(lua), true);
        freeze(lua, -1);
        lua_setfield(lua, metatable, c"__metatable".as_ptr());
    }
}

/// Sets a field of the frozen table at `index`, which is not relative to the top: key and value
/// are popped.
///
/// # Safety
/// `lua` is a state of this crate; nothing runs.
pub(crate) unsafe fn set_in_frozen(lua: State, index: c_int) {
    // SAFETY: as promised; memory is not refused.
    unsafe {
        if push_contents(lua, index) {
            lua_insert(lua, -3);
            lua_rawset(lua, -3);
            lua_pop(lua, 1);
        }
    }
}

/// Exchanges what is in two frozen tables. Everyone who has one of them sees the contents of the
/// other.
///
/// # Safety
/// `lua` is a state of this crate; nothing runs.
pub(crate) unsafe fn exchange(lua: State, a: c_int, b: c_int) {
    // SAFETY: as promised: both have metatables.
    unsafe {
        lua_getmetatable(lua, a);
        lua_getmetatable(lua, b);
        lua_setmetatable(lua, a);
        lua_setmetatable(lua, b);
    }
}

/// Lets the value at `index`, if it is a frozen table, be walked: its contents take its place.
///
/// # Safety
/// A native function's own frame, which keeps the contents to itself.
pub(crate) unsafe fn show_frozen(lua: State, index: c_int) {
    // SAFETY: as promised.
    unsafe {
        if push_contents(lua, index) {
            lua_replace(lua, index);
        }
    }
}

/// `next`.
unsafe fn next(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: a C function's own frame; a bad key raises with nothing owned.
    unsafe {
        check_table(lua, 1)?;
        lua_settop(lua, 2);
        show_frozen(lua, 1);
        if call_out(lua, |lua| lua_next(lua, 1)) != 0 {
            return Ok(2);
        }
        lua_pushnil(lua);
        Ok(1)
    }
}

/// `pairs`: LuaJIT's own `next` (the upvalue), for which it has compiled loops, walks all tables
/// that are not frozen.
unsafe fn pairs(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: a C function's own frame.
    unsafe {
        check_table(lua, 1)?;
        match is_readonly(lua, 1) {
            true => lua_pushcclosure(lua, c_next, 0),
            false => lua_pushvalue(lua, lua_upvalueindex(1)),
        }
        lua_pushvalue(lua, 1);
        lua_pushnil(lua);
        Ok(3)
    }
}

/// `rawget`.
unsafe fn rawget(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: a C function's own frame.
    unsafe {
        check_table(lua, 1)?;
        check_any(lua, 2)?;
        lua_settop(lua, 2);
        show_frozen(lua, 1);
        lua_rawget_(lua, 1);
        Ok(1)
    }
}

native!(calling c_next, next);
native!(c_pairs, pairs);
native!(c_rawget, rawget);

/// Replaces functions of the base library.
///
/// # Safety
/// As [`freeze`], with the base library open.
pub(super) unsafe fn open(lua: *mut lua_State) {
    let functions: [(&CStr, lua_CFunction, c_int); 3] =
        [(c"pairs", c_pairs, 1), (c"next", c_next, 0), (c"rawget", c_rawget, 0)];
    // SAFETY: memory is not refused while a state is built.
    unsafe {
        for (name, function, upvalues) in functions {
            if upvalues == 1 {
                lua_getglobal_(lua, c"next".as_ptr());
            }
            lua_pushcclosure(lua, function, upvalues);
            lua_setglobal(lua, name.as_ptr());
        }
    }
}
