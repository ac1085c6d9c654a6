//! The `bit` library: 32 bit operations on Lua numbers.

use std::ffi::c_int;

use mlua::ffi::*;

use super::args::type_error;
use super::convert::hex_digits;
use super::{State, push_library};
use crate::interrupt::tick;
use crate::raise::{LuaError, native, push_bytes};

/// 2^52 + 2^51: adding it leaves the low bits of an integer in the low bits of the double.
const ALIGN_BITS: f64 = 6_755_399_441_055_744.0;

/// An argument modulo 2^32, rounded to the nearest integer.
unsafe fn bits(lua: State, index: c_int) -> Result<u32, LuaError> {
    let bits = (lua_tonumber(lua, index) + ALIGN_BITS).to_bits() as u32;
    if bits == 0 && lua_isnumber(lua, index) == 0 {
        return Err(type_error(lua, index, "number"));
    }
    Ok(bits)
}

unsafe fn give(lua: State, bits: u32) -> Result<c_int, LuaError> {
    lua_pushnumber(lua, f64::from(bits as i32));
    Ok(1)
}

unsafe fn unary(lua: State, operation: fn(u32) -> u32) -> Result<c_int, LuaError> {
    let value = bits(lua, 1)?;
    give(lua, operation(value))
}

unsafe fn fold(lua: State, operation: fn(u32, u32) -> u32) -> Result<c_int, LuaError> {
    let mut value = bits(lua, 1)?;
    let count = lua_gettop(lua);
    tick(lua, count as u64)?;
    for index in (2..=count).rev() {
        value = operation(value, bits(lua, index)?);
    }
    give(lua, value)
}

unsafe fn shift(lua: State, operation: fn(u32, u32) -> u32) -> Result<c_int, LuaError> {
    let value = bits(lua, 1)?;
    let by = bits(lua, 2)? & 31;
    give(lua, operation(value, by))
}

unsafe fn tobit(lua: State) -> Result<c_int, LuaError> {
    unary(lua, |a| a)
}

unsafe fn bnot(lua: State) -> Result<c_int, LuaError> {
    unary(lua, |a| !a)
}

unsafe fn bswap(lua: State) -> Result<c_int, LuaError> {
    unary(lua, u32::swap_bytes)
}

unsafe fn band(lua: State) -> Result<c_int, LuaError> {
    fold(lua, |a, b| a & b)
}

unsafe fn bor(lua: State) -> Result<c_int, LuaError> {
    fold(lua, |a, b| a | b)
}

unsafe fn bxor(lua: State) -> Result<c_int, LuaError> {
    fold(lua, |a, b| a ^ b)
}

unsafe fn lshift(lua: State) -> Result<c_int, LuaError> {
    shift(lua, |a, n| a << n)
}

unsafe fn rshift(lua: State) -> Result<c_int, LuaError> {
    shift(lua, |a, n| a >> n)
}

unsafe fn arshift(lua: State) -> Result<c_int, LuaError> {
    shift(lua, |a, n| (a as i32 >> n) as u32)
}

unsafe fn rol(lua: State) -> Result<c_int, LuaError> {
    shift(lua, u32::rotate_left)
}

unsafe fn ror(lua: State) -> Result<c_int, LuaError> {
    shift(lua, u32::rotate_right)
}

/// The second argument is the number of digits, negative for upper case.
unsafe fn tohex(lua: State) -> Result<c_int, LuaError> {
    let value = bits(lua, 1)?;
    let wanted = match lua_type(lua, 2) == LUA_TNONE {
        true => 8,
        false => bits(lua, 2)? as i32,
    };
    let digits = hex_digits(value.into(), wanted < 0);
    let count = wanted.unsigned_abs().min(8) as usize;
    push_bytes(lua, &digits[digits.len() - count..]);
    Ok(1)
}

native!(c_tobit, tobit);
native!(c_bnot, bnot);
native!(c_band, band);
native!(c_bor, bor);
native!(c_bxor, bxor);
native!(c_lshift, lshift);
native!(c_rshift, rshift);
native!(c_arshift, arshift);
native!(c_rol, rol);
native!(c_ror, ror);
native!(c_bswap, bswap);
native!(c_tohex, tohex);

/// Sets the global `bit`.
///
/// # Safety
/// As [`super::open_all`].
pub(crate) unsafe fn open_bit(lua: *mut lua_State) {
    push_library(
        lua,
        &[
            (c"tobit", c_tobit),
            (c"bnot", c_bnot),
            (c"band", c_band),
            (c"bor", c_bor),
            (c"bxor", c_bxor),
            (c"lshift", c_lshift),
            (c"rshift", c_rshift),
            (c"arshift", c_arshift),
            (c"rol", c_rol),
            (c"ror", c_ror),
            (c"bswap", c_bswap),
            (c"tohex", c_tohex),
        ],
    );
    lua_setglobal(lua, c"bit".as_ptr());
}
