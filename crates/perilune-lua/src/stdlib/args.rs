//! Arguments of native functions, with the errors of Lua's auxiliary library.

use std::borrow::Cow;
use std::ffi::{CStr, c_int};

use mlua::ffi::*;

use super::State;
use super::convert::{f64_to_i64, i64_to_i32};
use crate::raise::LuaError;

/// The name of an argument's type, "no value" for one that is missing.
pub(super) unsafe fn type_name(lua: State, index: c_int) -> Cow<'static, str> {
    CStr::from_ptr(lua_typename(lua, lua_type(lua, index))).to_string_lossy()
}

/// "X expected, got Y".
pub(super) unsafe fn type_error(lua: State, index: c_int, expected: &str) -> LuaError {
    let got = type_name(lua, index);
    LuaError::arg(index, format!("{expected} expected, got {got}"))
}

/// The bytes of a string or number at `index`; a number becomes a string in place.
pub(super) unsafe fn to_bytes<'a>(lua: State, index: c_int) -> Option<&'a [u8]> {
    let mut len = 0;
    let start = lua_tolstring(lua, index, &mut len);
    if start.is_null() {
        return None;
    }
    Some(std::slice::from_raw_parts(start.cast::<u8>(), len))
}

/// A string argument; its bytes are followed by a NUL in memory, as all Lua strings are.
pub(super) unsafe fn check_bytes<'a>(lua: State, index: c_int) -> Result<&'a [u8], LuaError> {
    match to_bytes(lua, index) {
        Some(bytes) => Ok(bytes),
        None => Err(type_error(lua, index, "string")),
    }
}

/// A number argument, or a string that reads as one.
pub(super) unsafe fn check_number(lua: State, index: c_int) -> Result<f64, LuaError> {
    let number = lua_tonumber(lua, index);
    if number == 0.0 && lua_isnumber(lua, index) == 0 {
        return Err(type_error(lua, index, "number"));
    }
    Ok(number)
}

/// A number argument cut to an integer.
pub(super) unsafe fn check_integer(lua: State, index: c_int) -> Result<i64, LuaError> {
    Ok(f64_to_i64(check_number(lua, index)?))
}

/// A number argument cut to an integer and then to its low 32 bits.
pub(super) unsafe fn check_int(lua: State, index: c_int) -> Result<i32, LuaError> {
    Ok(i64_to_i32(check_integer(lua, index)?))
}

/// As [`check_integer`], with a default for nil and none.
pub(super) unsafe fn opt_integer(lua: State, index: c_int, or: i64) -> Result<i64, LuaError> {
    match lua_isnoneornil(lua, index) != 0 {
        true => Ok(or),
        false => check_integer(lua, index),
    }
}

/// As [`check_int`], with a default for nil and none.
pub(super) unsafe fn opt_int(lua: State, index: c_int, or: i32) -> Result<i32, LuaError> {
    match lua_isnoneornil(lua, index) != 0 {
        true => Ok(or),
        false => check_int(lua, index),
    }
}

/// Demands an argument of the given type.
pub(super) unsafe fn check_type(lua: State, index: c_int, wanted: c_int) -> Result<(), LuaError> {
    if lua_type(lua, index) == wanted {
        return Ok(());
    }
    let name = CStr::from_ptr(lua_typename(lua, wanted)).to_string_lossy();
    Err(type_error(lua, index, &name))
}

/// Makes room for `slots` more values.
pub(super) unsafe fn check_stack(lua: State, slots: usize, what: &str) -> Result<(), LuaError> {
    let enough = c_int::try_from(slots).is_ok_and(|slots| lua_checkstack(lua, slots) != 0);
    match enough {
        true => Ok(()),
        false => Err(LuaError::msg(format!("stack overflow ({what})"))),
    }
}
