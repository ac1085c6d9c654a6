//! Unpacking of MessagePack, without recursion.
//!
//! Tables being filled lie on the Lua stack, a map with its current key above it. Lua's stack
//! limit bounds nesting as well as the number of results. Lengths in the data are counts of what
//! must follow, never sizes to allocate.

use std::ffi::c_int;

use mlua::ffi::*;
use smallvec::SmallVec;

use super::State;
use super::args::{check_bytes, check_integer, check_stack, opt_integer};
use super::cjson_decode::TABLE_ENTRIES_MAX;
use crate::interrupt::{Meter, Ticker};
use crate::raise::{LuaError, push_bytes};

/// A table that is being filled.
enum Open {
    /// Elements still to come, and how many are stored.
    Array { left: usize, stored: c_int },
    /// Entries still to come, how many are stored, and whether the key of the current one is on
    /// the stack.
    Map { left: usize, stored: c_int, has_key: bool },
}

/// Data not yet read.
struct Cursor<'a> {
    rest: &'a [u8],
}

fn missing() -> LuaError {
    LuaError::msg("Missing bytes in input.")
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], LuaError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(missing)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], LuaError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(missing)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A length of `size` bytes.
    fn len(&mut self, size: usize) -> Result<usize, LuaError> {
        let bytes = self.take(size)?;
        Ok(bytes.iter().fold(0, |len, &b| len << 8 | usize::from(b)))
    }
}

struct Unpacker<'a> {
    lua: State,
    cursor: Cursor<'a>,
    meter: Ticker,
    open: SmallVec<[Open; 16]>,
}

impl Unpacker<'_> {
    /// Leaves the next complete value on the stack.
    unsafe fn value(&mut self) -> Result<(), LuaError> {
        loop {
            let is_complete = self.piece()?;
            if is_complete && self.store()? {
                return Ok(());
            }
        }
    }

    /// Pushes a scalar or a new table. False when the table still waits for content.
    unsafe fn piece(&mut self) -> Result<bool, LuaError> {
        self.meter.step(1)?;
        let [tag] = self.cursor.array()?;
        check_stack(
            self.lua,
            1,
            "too many return values at once; use unpack_one or unpack_limit instead.",
        )?;
        let lua = self.lua;
        match tag {
            0x00..=0x7f | 0xe0..=0xff => lua_pushinteger(lua, (tag as i8).into()),
            0x80..=0x8f => return Ok(self.open_map(usize::from(tag & 0xf))),
            0x90..=0x9f => return Ok(self.open_array(usize::from(tag & 0xf))),
            0xa0..=0xbf => self.string(usize::from(tag & 0x1f))?,
            0xc0 => lua_pushnil(lua),
            0xc2 | 0xc3 => lua_pushboolean(lua, (tag & 1).into()),
            0xca => lua_pushnumber(lua, f32::from_be_bytes(self.cursor.array()?).into()),
            0xcb => lua_pushnumber(lua, f64::from_be_bytes(self.cursor.array()?)),
            0xcc => lua_pushinteger(lua, u8::from_be_bytes(self.cursor.array()?).into()),
            0xcd => lua_pushinteger(lua, u16::from_be_bytes(self.cursor.array()?).into()),
            0xce => lua_pushinteger(lua, u32::from_be_bytes(self.cursor.array()?).into()),
            // Unsigned numbers above the range of signed ones wrap.
            0xcf | 0xd3 => {
                let number = i64::from_be_bytes(self.cursor.array()?);
                lua_pushnumber(lua, number as f64);
            }
            0xd0 => lua_pushinteger(lua, i8::from_be_bytes(self.cursor.array()?).into()),
            0xd1 => lua_pushinteger(lua, i16::from_be_bytes(self.cursor.array()?).into()),
            0xd2 => lua_pushinteger(lua, i32::from_be_bytes(self.cursor.array()?).into()),
            0xd9..=0xdb => {
                let len = self.cursor.len(1 << (tag - 0xd9))?;
                self.string(len)?;
            }
            0xdc | 0xdd => {
                let len = self.cursor.len(2 << (tag - 0xdc))?;
                return Ok(self.open_array(len));
            }
            0xde | 0xdf => {
                let len = self.cursor.len(2 << (tag - 0xde))?;
                return Ok(self.open_map(len));
            }
            _ => return Err(LuaError::msg("Bad data format in input.")),
        }
        Ok(true)
    }

    unsafe fn string(&mut self, len: usize) -> Result<(), LuaError> {
        let bytes = self.cursor.take(len)?;
        self.meter.step(len as u64 / 64)?;
        push_bytes(self.lua, bytes);
        Ok(())
    }

    unsafe fn open_array(&mut self, len: usize) -> bool {
        lua_createtable(self.lua, 0, 0);
        if len > 0 {
            self.open.push(Open::Array { left: len, stored: 0 });
        }
        len == 0
    }

    unsafe fn open_map(&mut self, len: usize) -> bool {
        lua_createtable(self.lua, 0, 0);
        if len > 0 {
            self.open.push(Open::Map { left: len, stored: 0, has_key: false });
        }
        len == 0
    }

    /// Stores the value on top into the innermost table and closes tables that become full. True
    /// when no table is open.
    unsafe fn store(&mut self) -> Result<bool, LuaError> {
        while let Some(innermost) = self.open.last_mut() {
            if !innermost.store(self.lua)? {
                return Ok(false);
            }
            self.open.pop();
        }
        Ok(true)
    }
}

impl Open {
    /// Takes the value on top; true when the table is full.
    unsafe fn store(&mut self, lua: State) -> Result<bool, LuaError> {
        let (left, stored) = match self {
            Self::Map { has_key: has_key @ false, .. } => {
                *has_key = true;
                return Ok(false);
            }
            Self::Map { left, stored, has_key } => {
                *has_key = false;
                check_key(lua)?;
                lua_rawset(lua, -3);
                (left, stored)
            }
            Self::Array { left, stored } => {
                lua_rawseti_(lua, -2, *stored + 1);
                (left, stored)
            }
        };
        *left -= 1;
        *stored += 1;
        if *stored >= TABLE_ENTRIES_MAX {
            return Err(LuaError::msg("table overflow"));
        }
        Ok(*left == 0)
    }
}

/// Refuses a key, below its value, that a table cannot have; setting it would raise.
unsafe fn check_key(lua: State) -> Result<(), LuaError> {
    match lua_type(lua, -2) {
        LUA_TNIL => Err(LuaError::Bare("table index is nil".into())),
        LUA_TNUMBER if lua_tonumber(lua, -2).is_nan() => {
            Err(LuaError::Bare("table index is NaN".into()))
        }
        _ => Ok(()),
    }
}

/// Unpacks at most `limit` values from `offset` on; with both zero, everything.
unsafe fn unpack_from(lua: State, limit: i64, offset: i64) -> Result<c_int, LuaError> {
    let data = check_bytes(lua, 1)?;
    let all = limit == 0 && offset == 0;
    if offset < 0 || limit < 0 {
        let (offset, len) = (offset as i32, data.len() as i32);
        return Err(LuaError::msg(format!(
            "Invalid request to unpack with offset of {offset} and limit of {len}."
        )));
    }
    let Some(rest) = data.get(offset as usize..) else {
        let (offset, len) = (offset as i32, data.len() as i32);
        return Err(LuaError::msg(format!(
            "Start offset {offset} greater than input length {len}."
        )));
    };
    let limit = if all { i32::MAX.into() } else { limit };
    let mut unpacker =
        Unpacker { lua, cursor: Cursor { rest }, meter: Ticker::new(lua), open: SmallVec::new() };
    let mut count = 0;
    while !unpacker.cursor.rest.is_empty() && i64::from(count) < limit {
        unpacker.value()?;
        count += 1;
    }
    if !all {
        check_stack(lua, 1, "in function mp_unpack_full")?;
        let left = unpacker.cursor.rest.len();
        let next = match left {
            0 => -1,
            _ => (data.len() - left) as lua_Integer,
        };
        lua_pushinteger(lua, next);
        lua_insert(lua, 2);
        count += 1;
    }
    Ok(count)
}

pub(super) unsafe fn unpack(lua: State) -> Result<c_int, LuaError> {
    unpack_from(lua, 0, 0)
}

pub(super) unsafe fn unpack_one(lua: State) -> Result<c_int, LuaError> {
    let offset = opt_integer(lua, 2, 0)?;
    keep_first(lua);
    unpack_from(lua, 1, offset)
}

pub(super) unsafe fn unpack_limit(lua: State) -> Result<c_int, LuaError> {
    let limit = check_integer(lua, 2)?;
    let offset = opt_integer(lua, 3, 0)?;
    keep_first(lua);
    unpack_from(lua, limit, offset)
}

/// Drops all arguments but the first.
unsafe fn keep_first(lua: State) {
    lua_settop(lua, lua_gettop(lua).min(1));
}
