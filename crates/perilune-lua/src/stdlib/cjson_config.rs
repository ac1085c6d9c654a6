//! Options of `cjson` and the functions that read and set them.
//!
//! Each module has its own options: those of the global `cjson` belong to the Lua state, those of
//! `cjson.new()` lie in a userdatum which is the first upvalue of the module's functions.

use std::cell::Cell;
use std::ffi::{CStr, c_int};

use mlua::ffi::*;

use super::State;
use super::args::{check_bytes, check_int};
use crate::interrupt::context;
use crate::raise::{LuaError, native, push_bytes};

/// What to do with NaN and infinity.
pub(super) const INVALID_REFUSED: i32 = 0;
/// See [`INVALID_REFUSED`]; written as C does.
pub(super) const INVALID_WRITTEN: i32 = 1;

/// Plain data: a userdatum of it needs no finalizer.
pub(super) struct JsonConfig {
    /// 1 when a sparse array is encoded as an object instead of being refused.
    pub(super) sparse_convert: Cell<i32>,
    /// An array is sparse when its highest index is above this many times its size; 0 for never.
    pub(super) sparse_ratio: Cell<i32>,
    /// Arrays up to this index are never sparse.
    pub(super) sparse_safe: Cell<i32>,
    pub(super) encode_max_depth: Cell<i32>,
    pub(super) decode_max_depth: Cell<i32>,
    /// Off, on, or 2 for writing `null`.
    pub(super) encode_invalid_numbers: Cell<i32>,
    pub(super) decode_invalid_numbers: Cell<i32>,
    pub(super) number_precision: Cell<i32>,
    /// Buffers belong to the state, so this only remembers what was set.
    keep_buffer: Cell<i32>,
}

impl JsonConfig {
    pub(super) fn new() -> Self {
        let config = Self {
            sparse_convert: Cell::default(),
            sparse_ratio: Cell::default(),
            sparse_safe: Cell::default(),
            encode_max_depth: Cell::default(),
            decode_max_depth: Cell::default(),
            encode_invalid_numbers: Cell::default(),
            decode_invalid_numbers: Cell::default(),
            number_precision: Cell::default(),
            keep_buffer: Cell::default(),
        };
        config.reset();
        config
    }

    /// Back to the defaults.
    pub(super) fn reset(&self) {
        self.sparse_convert.set(0);
        self.sparse_ratio.set(2);
        self.sparse_safe.set(10);
        self.encode_max_depth.set(1000);
        self.decode_max_depth.set(1000);
        self.encode_invalid_numbers.set(INVALID_REFUSED);
        self.decode_invalid_numbers.set(INVALID_WRITTEN);
        self.number_precision.set(14);
        self.keep_buffer.set(1);
    }
}

/// The options of the module that the running function belongs to.
pub(super) unsafe fn config<'a>(lua: State) -> &'a JsonConfig {
    let own = lua_touserdata(lua, lua_upvalueindex(1)).cast::<JsonConfig>();
    match own.is_null() {
        // The running closure keeps the userdatum alive.
        false => &*own,
        true => &context(lua).libs.json,
    }
}

/// Demands at most `count` arguments and fills up with nil.
unsafe fn arguments<'a>(lua: State, count: c_int) -> Result<&'a JsonConfig, LuaError> {
    if lua_gettop(lua) > count {
        return Err(LuaError::arg(count + 1, "found too many arguments"));
    }
    lua_settop(lua, count);
    Ok(config(lua))
}

/// Sets an integer option from the argument unless that is nil, and pushes its value.
unsafe fn integer(
    lua: State,
    index: c_int,
    option: &Cell<i32>,
    range: std::ops::RangeInclusive<i32>,
) -> Result<(), LuaError> {
    if lua_type(lua, index) != LUA_TNIL {
        let value = check_int(lua, index)?;
        if !range.contains(&value) {
            let (low, high) = range.into_inner();
            let text = format!("expected integer between {low} and {high}");
            return Err(LuaError::arg(1, text));
        }
        option.set(value);
    }
    lua_pushinteger(lua, option.get().into());
    Ok(())
}

/// Sets an option from a boolean or one of the words, and pushes its value.
unsafe fn choice(
    lua: State,
    index: c_int,
    option: &Cell<i32>,
    words: &[&str],
) -> Result<(), LuaError> {
    match lua_type(lua, index) {
        LUA_TNIL => {}
        LUA_TBOOLEAN => option.set(lua_toboolean(lua, index)),
        _ => {
            let word = check_bytes(lua, index)?;
            let word = &word[..memchr::memchr(0, word).unwrap_or(word.len())];
            let Some(value) = words.iter().position(|known| known.as_bytes() == word) else {
                return Err(LuaError::arg_quoting(index, "invalid option '", word, "'"));
            };
            option.set(value as i32);
        }
    }
    match option.get() {
        value @ (0 | 1) => lua_pushboolean(lua, value),
        value => push_bytes(lua, words[value as usize].as_bytes()),
    }
    Ok(())
}

const SWITCH: &[&str] = &["off", "on"];

unsafe fn encode_sparse_array(lua: State) -> Result<c_int, LuaError> {
    let config = arguments(lua, 3)?;
    choice(lua, 1, &config.sparse_convert, SWITCH)?;
    integer(lua, 2, &config.sparse_ratio, 0..=i32::MAX)?;
    integer(lua, 3, &config.sparse_safe, 0..=i32::MAX)?;
    Ok(3)
}

unsafe fn encode_max_depth(lua: State) -> Result<c_int, LuaError> {
    integer(lua, 1, &arguments(lua, 1)?.encode_max_depth, 1..=i32::MAX)?;
    Ok(1)
}

unsafe fn decode_max_depth(lua: State) -> Result<c_int, LuaError> {
    integer(lua, 1, &arguments(lua, 1)?.decode_max_depth, 1..=i32::MAX)?;
    Ok(1)
}

unsafe fn encode_number_precision(lua: State) -> Result<c_int, LuaError> {
    integer(lua, 1, &arguments(lua, 1)?.number_precision, 1..=14)?;
    Ok(1)
}

unsafe fn encode_keep_buffer(lua: State) -> Result<c_int, LuaError> {
    choice(lua, 1, &arguments(lua, 1)?.keep_buffer, SWITCH)?;
    Ok(1)
}

unsafe fn encode_invalid_numbers(lua: State) -> Result<c_int, LuaError> {
    let words = &["off", "on", "null"];
    choice(lua, 1, &arguments(lua, 1)?.encode_invalid_numbers, words)?;
    Ok(1)
}

unsafe fn decode_invalid_numbers(lua: State) -> Result<c_int, LuaError> {
    choice(lua, 1, &arguments(lua, 1)?.decode_invalid_numbers, SWITCH)?;
    Ok(1)
}

native!(c_encode_sparse_array, encode_sparse_array);
native!(c_encode_max_depth, encode_max_depth);
native!(c_decode_max_depth, decode_max_depth);
native!(c_encode_number_precision, encode_number_precision);
native!(c_encode_keep_buffer, encode_keep_buffer);
native!(c_encode_invalid_numbers, encode_invalid_numbers);
native!(c_decode_invalid_numbers, decode_invalid_numbers);

/// The functions of a module that read and set options.
pub(super) fn option_functions() -> [(&'static CStr, lua_CFunction); 7] {
    [
        (c"encode_sparse_array", c_encode_sparse_array),
        (c"encode_max_depth", c_encode_max_depth),
        (c"decode_max_depth", c_decode_max_depth),
        (c"encode_number_precision", c_encode_number_precision),
        (c"encode_keep_buffer", c_encode_keep_buffer),
        (c"encode_invalid_numbers", c_encode_invalid_numbers),
        (c"decode_invalid_numbers", c_decode_invalid_numbers),
    ]
}
