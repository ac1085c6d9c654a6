//! The `cmsgpack` library; this file packs, `cmsgpack_unpack` unpacks.
//!
//! A table is an array when its keys are exactly 1 to n, and a map otherwise. Tables nested
//! deeper than [`NESTING_MAX`] are packed as nil, which is also what stops circular references.

use std::ffi::c_int;

use mlua::ffi::*;

use super::args::{check_stack, to_bytes};
use super::buffer::Buffer;
use super::cmsgpack_unpack::{unpack, unpack_limit, unpack_one};
use super::convert::{f64_to_i32, f64_to_i64};
use super::{State, push_library};
use crate::interrupt::{Meter, Ticker};
use crate::raise::{LuaError, native, push_bytes};

/// Levels of tables that are packed.
const NESTING_MAX: usize = 16;

struct Packer {
    lua: State,
    out: Buffer,
    meter: Ticker,
}

unsafe fn pack(lua: State) -> Result<c_int, LuaError> {
    let count = lua_gettop(lua);
    if count == 0 {
        return Err(LuaError::arg(0, "MessagePack pack needs input."));
    }
    let mut packer = Packer { lua, out: Buffer::new(lua), meter: Ticker::new(lua) };
    for index in 1..=count {
        check_stack(lua, 1, "in function mp_check")?;
        lua_pushvalue(lua, index);
        packer.value(0)?;
    }
    packer.out.push_to_lua()?;
    Ok(1)
}

impl Packer {
    /// Packs the value on top and pops it. Recursion ends at [`NESTING_MAX`].
    unsafe fn value(&mut self, level: usize) -> Result<(), LuaError> {
        self.meter.step(1)?;
        match lua_type(self.lua, -1) {
            LUA_TSTRING => {
                let bytes = to_bytes(self.lua, -1).unwrap_or_default();
                self.meter.step(bytes.len() as u64 / 64)?;
                self.string(bytes)?;
            }
            LUA_TBOOLEAN => match lua_toboolean(self.lua, -1) != 0 {
                true => self.out.push(0xc3)?,
                false => self.out.push(0xc2)?,
            },
            LUA_TNUMBER => self.number(lua_tonumber(self.lua, -1))?,
            LUA_TTABLE if level < NESTING_MAX => match self.array_len()? {
                Some(len) => self.array(len, level)?,
                None => self.map(level)?,
            },
            _ => self.out.push(0xc0)?,
        }
        lua_settop(self.lua, -2);
        Ok(())
    }

    fn string(&mut self, bytes: &[u8]) -> Result<(), LuaError> {
        match bytes.len() {
            len @ ..32 => self.out.push(0xa0 | len as u8)?,
            len @ ..=0xff => self.out.extend(&[0xd9, len as u8])?,
            len => self.long_head(0xda, len)?,
        }
        self.out.extend(bytes)
    }

    /// A length of two bytes, or of four with the following tag.
    fn long_head(&mut self, tag: u8, len: usize) -> Result<(), LuaError> {
        match u16::try_from(len) {
            Ok(len) => {
                self.out.push(tag)?;
                self.out.extend(&len.to_be_bytes())
            }
            Err(_) => {
                self.out.push(tag + 1)?;
                self.out.extend(&(len as u32).to_be_bytes())
            }
        }
    }

    fn number(&mut self, number: f64) -> Result<(), LuaError> {
        let integer = f64_to_i64(number);
        if !number.is_infinite() && integer as f64 == number {
            return self.integer(integer);
        }
        let short = number as f32;
        match f64::from(short) == number {
            true => {
                self.out.push(0xca)?;
                self.out.extend(&short.to_be_bytes())
            }
            false => {
                self.out.push(0xcb)?;
                self.out.extend(&number.to_be_bytes())
            }
        }
    }

    /// The shortest form; non-negative numbers are packed as unsigned.
    fn integer(&mut self, number: i64) -> Result<(), LuaError> {
        let bytes = number.to_be_bytes();
        let (tag, size) = match number {
            -32..=127 => return self.out.push(number as u8),
            128..=0xff => (0xcc, 1),
            0x100..=0xffff => (0xcd, 2),
            0x1_0000..=0xffff_ffff => (0xce, 4),
            0x1_0000_0000.. => (0xcf, 8),
            -0x80..=-33 => (0xd0, 1),
            -0x8000..=-0x81 => (0xd1, 2),
            -0x8000_0000..=-0x8001 => (0xd2, 4),
            _ => (0xd3, 8),
        };
        self.out.push(tag)?;
        self.out.extend(&bytes[8 - size..])
    }

    /// The length when the keys are exactly 1 to n.
    unsafe fn array_len(&mut self) -> Result<Option<i32>, LuaError> {
        check_stack(self.lua, 3, "in function table_is_an_array")?;
        let (mut max, mut count) = (0, 0);
        lua_pushnil(self.lua);
        while lua_next(self.lua, -2) != 0 {
            self.meter.step(1)?;
            lua_settop(self.lua, -2);
            let key = match lua_type(self.lua, -1) == LUA_TNUMBER {
                true => lua_tonumber(self.lua, -1),
                false => 0.0,
            };
            let index = f64_to_i32(key);
            if key <= 0.0 || f64::from(index) != key {
                lua_settop(self.lua, -2);
                return Ok(None);
            }
            max = max.max(index);
            count += 1;
        }
        Ok((max == count).then_some(count))
    }

    unsafe fn array(&mut self, len: i32, level: usize) -> Result<(), LuaError> {
        match len {
            ..16 => self.out.push(0x90 | len as u8)?,
            _ => self.long_head(0xdc, len as usize)?,
        }
        check_stack(self.lua, 1, "in function mp_encode_lua_table_as_array")?;
        for index in 1..=len {
            lua_rawgeti_(self.lua, -1, index);
            self.value(level + 1)?;
        }
        Ok(())
    }

    unsafe fn map(&mut self, level: usize) -> Result<(), LuaError> {
        check_stack(self.lua, 3, "in function mp_encode_lua_table_as_map")?;
        let mut len = 0;
        lua_pushnil(self.lua);
        while lua_next(self.lua, -2) != 0 {
            self.meter.step(1)?;
            lua_settop(self.lua, -2);
            len += 1;
        }
        match len {
            ..16 => self.out.push(0x80 | len as u8)?,
            _ => self.long_head(0xde, len)?,
        }
        lua_pushnil(self.lua);
        while lua_next(self.lua, -2) != 0 {
            lua_pushvalue(self.lua, -2);
            self.value(level + 1)?;
            self.value(level + 1)?;
        }
        Ok(())
    }
}

native!(c_pack, pack);
native!(c_unpack, unpack);
native!(c_unpack_one, unpack_one);
native!(c_unpack_limit, unpack_limit);

/// Sets the global `cmsgpack`.
///
/// # Safety
/// As [`super::open_all`].
pub(crate) unsafe fn open_cmsgpack(lua: *mut lua_State) {
    push_library(
        lua,
        &[
            (c"pack", c_pack),
            (c"unpack", c_unpack),
            (c"unpack_one", c_unpack_one),
            (c"unpack_limit", c_unpack_limit),
        ],
    );
    let facts = [
        (c"_NAME", "cmsgpack"),
        (c"_VERSION", "lua-cmsgpack 0.4.0"),
        (c"_COPYRIGHT", "Perilune contributors, MIT License"),
        (c"_DESCRIPTION", "MessagePack for Lua scripts"),
    ];
    for (name, text) in facts {
        push_bytes(lua, text.as_bytes());
        lua_setfield(lua, -2, name.as_ptr());
    }
    lua_setglobal(lua, c"cmsgpack".as_ptr());
}
