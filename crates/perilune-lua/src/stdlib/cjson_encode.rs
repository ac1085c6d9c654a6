//! `cjson.encode`.
//!
//! Tables being written lie on the Lua stack, an object with the key reached so far above it;
//! what is known about each is on [`Open`]'s stack. Nesting thus costs no native stack, and Lua's
//! stack limit bounds it even when a script raises the depth option.

use std::ffi::{CStr, c_int};

use mlua::ffi::*;
use smallvec::SmallVec;

use super::State;
use super::args::{to_bytes, type_name};
use super::buffer::Buffer;
use super::cjson_config::{INVALID_REFUSED, INVALID_WRITTEN, JsonConfig, config};
use super::convert::f64_to_i32;
use crate::interrupt::{Meter, Ticker};
use crate::numbers::PlainText;
use crate::raise::LuaError;

/// Bytes of a string that are looked through between two payments.
const PIECE_BYTES: usize = 64 << 10;

/// A table that is being written.
enum Open {
    /// Elements `1..=len`, of which `done` are written.
    Array { done: i32, len: i32 },
    /// Its current key is on the stack above it.
    Object { is_empty: bool },
}

struct Encoder<'a> {
    lua: State,
    config: &'a JsonConfig,
    out: Buffer,
    meter: Ticker,
    open: SmallVec<[Open; 16]>,
}

pub(super) unsafe fn encode(lua: State) -> Result<c_int, LuaError> {
    if lua_gettop(lua) != 1 {
        return Err(LuaError::arg(1, "expected 1 argument"));
    }
    let mut encoder = Encoder {
        lua,
        config: config(lua),
        out: Buffer::new(lua),
        meter: Ticker::new(lua),
        open: SmallVec::new(),
    };
    encoder.value()?;
    while !encoder.open.is_empty() {
        encoder.go_on()?;
    }
    encoder.out.push_to_lua()?;
    Ok(1)
}

impl Encoder<'_> {
    /// Writes the value on top. A table stays there and is opened; anything else stays as well.
    unsafe fn value(&mut self) -> Result<(), LuaError> {
        self.meter.step(1)?;
        match lua_type(self.lua, -1) {
            LUA_TSTRING => self.string(-1),
            LUA_TNUMBER => self.number(-1),
            LUA_TBOOLEAN => match lua_toboolean(self.lua, -1) != 0 {
                true => self.out.extend(b"true"),
                false => self.out.extend(b"false"),
            },
            LUA_TTABLE => self.open_table(),
            LUA_TNIL => self.out.extend(b"null"),
            LUA_TLIGHTUSERDATA if lua_touserdata(self.lua, -1).is_null() => {
                self.out.extend(b"null")
            }
            _ => Err(self.refuse(-1, "type not supported")),
        }
    }

    /// Writes the next element of the innermost table, or closes it.
    unsafe fn go_on(&mut self) -> Result<(), LuaError> {
        let depth = self.open.len();
        let has_value = match self.open.last_mut() {
            Some(Open::Array { done, len }) if *done < *len => {
                if *done > 0 {
                    self.out.push(b',')?;
                }
                *done += 1;
                lua_rawgeti_(self.lua, -1, *done);
                true
            }
            Some(Open::Array { .. }) => {
                self.out.push(b']')?;
                false
            }
            Some(Open::Object { is_empty }) => {
                let is_first = std::mem::replace(is_empty, false);
                let found = lua_next(self.lua, -2) != 0;
                match found {
                    true => self.key(is_first)?,
                    false => self.out.push(b'}')?,
                }
                found
            }
            None => return Ok(()),
        };
        if !has_value {
            self.open.pop();
        } else {
            self.value()?;
            if self.open.len() > depth {
                return Ok(());
            }
        }
        // The value, or the closed table that was one, is done with. The outermost one stays.
        if !self.open.is_empty() {
            lua_settop(self.lua, -2);
        }
        Ok(())
    }

    /// Writes the key below the value on top.
    unsafe fn key(&mut self, is_first: bool) -> Result<(), LuaError> {
        if !is_first {
            self.out.push(b',')?;
        }
        match lua_type(self.lua, -2) {
            LUA_TNUMBER => {
                self.out.push(b'"')?;
                self.number(-2)?;
                self.out.extend(b"\":")
            }
            LUA_TSTRING => {
                self.string(-2)?;
                self.out.push(b':')
            }
            _ => Err(self.refuse(-2, "table key must be a number or string")),
        }
    }

    unsafe fn open_table(&mut self) -> Result<(), LuaError> {
        let depth = self.open.len() + 1;
        let allowed = depth as i64 <= i64::from(self.config.encode_max_depth.get());
        if !allowed || lua_checkstack(self.lua, 3) == 0 {
            return Err(LuaError::msg(format!("Cannot serialise, excessive nesting ({depth})")));
        }
        match self.array_len()? {
            Some(len) => {
                self.out.push(b'[')?;
                self.open.push(Open::Array { done: 0, len });
            }
            None => {
                self.out.push(b'{')?;
                lua_pushnil(self.lua);
                self.open.push(Open::Object { is_empty: true });
            }
        }
        Ok(())
    }

    /// The highest index when all keys are positive integers and there are any.
    unsafe fn array_len(&mut self) -> Result<Option<i32>, LuaError> {
        let (mut max, mut count) = (0, 0i64);
        lua_pushnil(self.lua);
        while lua_next(self.lua, -2) != 0 {
            self.meter.step(1)?;
            let key = match lua_type(self.lua, -2) == LUA_TNUMBER {
                true => lua_tonumber(self.lua, -2),
                false => 0.0,
            };
            if !(key >= 1.0 && key.floor() == key) {
                lua_settop(self.lua, -3);
                return Ok(None);
            }
            if key > f64::from(max) {
                max = f64_to_i32(key);
            }
            count += 1;
            lua_settop(self.lua, -2);
        }
        let ratio = i64::from(self.config.sparse_ratio.get());
        let is_sparse = ratio > 0
            && i64::from(max) > count.saturating_mul(ratio)
            && max > self.config.sparse_safe.get();
        if is_sparse && self.config.sparse_convert.get() == 0 {
            return Err(self.refuse(-1, "excessively sparse array"));
        }
        Ok((!is_sparse && max > 0).then_some(max))
    }

    unsafe fn number(&mut self, index: c_int) -> Result<(), LuaError> {
        let number = lua_tonumber(self.lua, index);
        if !number.is_finite() {
            match self.config.encode_invalid_numbers.get() {
                INVALID_REFUSED => return Err(self.refuse(index, "must not be NaN or Inf")),
                INVALID_WRITTEN if number.is_nan() => return self.out.extend(b"nan"),
                INVALID_WRITTEN => {}
                _ => return self.out.extend(b"null"),
            }
        }
        write_number(&mut self.out, number, self.config.number_precision.get())
    }

    unsafe fn string(&mut self, index: c_int) -> Result<(), LuaError> {
        let bytes = to_bytes(self.lua, index).unwrap_or_default();
        self.out.push(b'"')?;
        for piece in bytes.chunks(PIECE_BYTES) {
            self.meter.step(piece.len() as u64 / 16)?;
            self.escaped(piece)?;
        }
        self.out.push(b'"')
    }

    fn escaped(&mut self, mut rest: &[u8]) -> Result<(), LuaError> {
        while let Some(at) = rest.iter().position(|&b| ESCAPED[usize::from(b)]) {
            self.meter.step(1)?;
            self.out.extend(&rest[..at])?;
            write_escape(&mut self.out, rest[at])?;
            rest = &rest[at + 1..];
        }
        self.out.extend(rest)
    }

    unsafe fn refuse(&self, index: c_int, reason: &str) -> LuaError {
        let kind = type_name(self.lua, index);
        LuaError::msg(format!("Cannot serialise {kind}: {reason}"))
    }
}

/// `%.{precision}g`.
unsafe fn write_number(out: &mut Buffer, number: f64, precision: i32) -> Result<(), LuaError> {
    if let Some(text) = PlainText::new().write(number, precision) {
        return out.extend(text);
    }
    let spec = [b'%', b'.', b'0' + (precision / 10) as u8, b'0' + (precision % 10) as u8, b'g', 0];
    let spec = CStr::from_bytes_until_nul(&spec).unwrap_or(c"%.14g");
    out.extend_printed(|to, room| libc::snprintf(to, room, spec.as_ptr(), number))
}

/// Bytes that are not written as they are.
static ESCAPED: [bool; 256] = {
    let mut escaped = [false; 256];
    let mut byte = 0;
    while byte < 32 {
        escaped[byte] = true;
        byte += 1;
    }
    escaped[b'"' as usize] = true;
    escaped[b'/' as usize] = true;
    escaped[b'\\' as usize] = true;
    escaped[127] = true;
    escaped
};

fn write_escape(out: &mut Buffer, byte: u8) -> Result<(), LuaError> {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'\x08' => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        b'\x0C' => b'f',
        b'\r' => b'r',
        b'"' | b'/' | b'\\' => byte,
        _ => {
            out.extend(b"\\u00")?;
            return out.extend(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    };
    out.extend(&[b'\\', short])
}
