//! The `cjson` library: its table of functions and constants.
//!
//! The work is done in `cjson_encode` and `cjson_decode`, the options are in `cjson_config`.

use std::ffi::c_int;

use mlua::ffi::*;

use super::cjson_config::{JsonConfig, option_functions};
use super::{State, cjson_decode, cjson_encode};
use crate::raise::{LuaError, native, push_bytes};

native!(c_encode, cjson_encode::encode);
native!(c_decode, cjson_decode::decode);
native!(c_new, new);

/// A module with options of its own, which live in a userdatum that its functions share.
unsafe fn new(lua: State) -> Result<c_int, LuaError> {
    let size = std::mem::size_of::<JsonConfig>();
    let config = lua_newuserdata(lua, size).cast::<JsonConfig>();
    // Lua aligns userdata for any type; the options have no destructor.
    config.write(JsonConfig::new());
    push_module(lua, true);
    Ok(1)
}

/// Pushes a module. With `own_options` the userdatum on top of the stack is an upvalue of each
/// function.
unsafe fn push_module(lua: State, own_options: bool) {
    lua_createtable(lua, 0, 13);
    let functions =
        [(c"encode", c_encode as lua_CFunction), (c"decode", c_decode), (c"new", c_new)];
    for (name, function) in functions.into_iter().chain(option_functions()) {
        let upvalues = match own_options {
            true => {
                lua_pushvalue(lua, -2);
                1
            }
            false => 0,
        };
        lua_pushcclosure(lua, function, upvalues);
        lua_setfield(lua, -2, name.as_ptr());
    }
    lua_pushlightuserdata(lua, std::ptr::null_mut());
    lua_setfield(lua, -2, c"null".as_ptr());
    push_bytes(lua, b"cjson");
    lua_setfield(lua, -2, c"_NAME".as_ptr());
    push_bytes(lua, b"2.1.0");
    lua_setfield(lua, -2, c"_VERSION".as_ptr());
}

/// Sets the global `cjson`, whose options are those of the state.
///
/// # Safety
/// As [`super::open_all`].
pub(crate) unsafe fn open_cjson(lua: *mut lua_State) {
    push_module(lua, false);
    lua_setglobal(lua, c"cjson".as_ptr());
}
