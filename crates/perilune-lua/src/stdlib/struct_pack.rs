//! The `struct` library: C structures in strings.
//!
//! A format is a row of option letters, some with a size behind them. All positions are checked
//! against the data before it is read, and sizes against overflow before they are added.

use std::ffi::c_int;

use mlua::ffi::*;

use super::args::{check_bytes, check_number, check_stack, opt_integer};
use super::buffer::Buffer;
use super::convert::f64_to_u64;
use super::{State, push_library};
use crate::interrupt::{Meter, Ticker};
use crate::raise::{LuaError, native, push_bytes};

/// Largest integer, in bytes.
const INTEGER_BYTES_MAX: i32 = 32;
/// Alignment of `!` without a number.
const ALIGNMENT_DEFAULT: i32 = 8;

/// Most digits of a number in a format, zeros at its front included.
const DIGITS_MAX: usize = 1024;

/// Walks over a format, which ends at its first NUL.
struct Format<'a> {
    rest: &'a [u8],
    big_endian: bool,
    alignment: usize,
}

impl<'a> Format<'a> {
    fn new(text: &'a [u8]) -> Self {
        let end = memchr::memchr(0, text).unwrap_or(text.len());
        Self { rest: &text[..end], big_endian: cfg!(target_endian = "big"), alignment: 1 }
    }

    /// The next option letter and the size that belongs to it.
    fn next(&mut self) -> Result<Option<(u8, usize)>, LuaError> {
        let Some((&option, rest)) = self.rest.split_first() else {
            return Ok(None);
        };
        self.rest = rest;
        let size = match option {
            b'b' | b'B' | b'x' => 1,
            b'h' | b'H' => 2,
            b'f' => 4,
            b'l' | b'L' | b'T' | b'd' => 8,
            b'c' => self.number(1)? as usize,
            b'i' | b'I' => {
                let size = self.number(4)?;
                if size > INTEGER_BYTES_MAX {
                    return Err(LuaError::msg(format!(
                        "integral size {size} is larger than limit of {INTEGER_BYTES_MAX}"
                    )));
                }
                size as usize
            }
            _ => 0,
        };
        Ok(Some((option, size)))
    }

    fn number(&mut self, default: i32) -> Result<i32, LuaError> {
        let near = &self.rest[..self.rest.len().min(DIGITS_MAX + 1)];
        let digits = near.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return Ok(default);
        }
        if digits > DIGITS_MAX {
            return Err(LuaError::msg("integral size overflow"));
        }
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        number.iter().try_fold(0i32, |number, digit| {
            number
                .checked_mul(10)
                .and_then(|number| number.checked_add(i32::from(digit - b'0')))
                .ok_or(LuaError::msg("integral size overflow"))
        })
    }

    /// Bytes of padding before an item of this size at this position.
    fn padding(&self, position: usize, option: u8, size: usize) -> usize {
        if size == 0 || option == b'c' {
            return 0;
        }
        let size = size.min(self.alignment);
        size.wrapping_sub(position & (size - 1)) & (size - 1)
    }

    /// An option that is no item.
    fn control(&mut self, option: u8) -> Result<(), LuaError> {
        match option {
            b' ' => {}
            b'>' => self.big_endian = true,
            b'<' => self.big_endian = false,
            b'!' => {
                let alignment = self.number(ALIGNMENT_DEFAULT)?;
                if alignment.count_ones() != 1 {
                    return Err(LuaError::msg(format!(
                        "alignment {alignment} is not a power of 2"
                    )));
                }
                self.alignment = alignment as usize;
            }
            other => {
                return Err(LuaError::arg_quoting(1, "invalid format option '", &[other], "'"));
            }
        }
        Ok(())
    }
}

/// The bytes of an integer of any size; beyond eight bytes it is filled up with zeros.
fn integer_bytes(number: f64, size: usize, big_endian: bool) -> [u8; INTEGER_BYTES_MAX as usize] {
    let mut bytes = [0; INTEGER_BYTES_MAX as usize];
    bytes[..8].copy_from_slice(&f64_to_u64(number).to_le_bytes());
    if big_endian {
        bytes[..size].reverse();
    }
    bytes
}

/// The reverse of [`integer_bytes`]; only the low eight bytes count.
fn integer_value(bytes: &[u8], big_endian: bool, signed: bool) -> f64 {
    let shift_in = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    let value = match big_endian {
        true => bytes.iter().fold(0, shift_in),
        false => bytes.iter().rev().fold(0, shift_in),
    };
    if !signed {
        return value as f64;
    }
    // Sizes above eight wrap the shift, as the processor does.
    let sign_bits = u64::MAX.wrapping_shl((bytes.len() as u32 * 8).wrapping_sub(1));
    match value & sign_bits != 0 {
        true => (value | sign_bits) as i64 as f64,
        false => value as i64 as f64,
    }
}

/// Puts float bytes into the order the format asks for.
fn in_order<const N: usize>(mut little: [u8; N], big_endian: bool) -> [u8; N] {
    if big_endian {
        little.reverse();
    }
    little
}

unsafe fn pack(lua: State) -> Result<c_int, LuaError> {
    let mut format = Format::new(check_bytes(lua, 1)?);
    // A missing argument reads as nil.
    lua_pushnil(lua);
    let mut out = Buffer::new(lua);
    let mut meter = Ticker::new(lua);
    let mut position = 0usize;
    let mut arg = 2;
    while let Some((option, mut size)) = format.next()? {
        meter.step(1 + size as u64 / 64)?;
        let padding = format.padding(position, option, size);
        for _ in 0..padding {
            out.push(0)?;
        }
        position = position.wrapping_add(padding);
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let bytes = integer_bytes(check_number(lua, arg)?, size, format.big_endian);
                out.extend(&bytes[..size])?;
                arg += 1;
            }
            b'x' => out.push(0)?,
            b'f' => {
                let number = check_number(lua, arg)? as f32;
                out.extend(&in_order(number.to_le_bytes(), format.big_endian))?;
                arg += 1;
            }
            b'd' => {
                let number = check_number(lua, arg)?;
                out.extend(&in_order(number.to_le_bytes(), format.big_endian))?;
                arg += 1;
            }
            b'c' | b's' => {
                let text = check_bytes(lua, arg)?;
                arg += 1;
                if size == 0 {
                    size = text.len();
                }
                let text = text.get(..size).ok_or(LuaError::arg(arg, "string too short"))?;
                out.extend(text)?;
                if option == b's' {
                    out.push(0)?;
                    size += 1;
                }
            }
            other => format.control(other)?,
        }
        position = position.wrapping_add(size);
    }
    out.push_to_lua()?;
    Ok(1)
}

fn too_short() -> LuaError {
    LuaError::arg(2, "data string too short")
}

/// The item of `size` bytes at `position`.
fn slice(data: &[u8], position: usize, size: usize) -> Result<&[u8], LuaError> {
    let end = position.checked_add(size).ok_or_else(too_short)?;
    data.get(position..end).ok_or_else(too_short)
}

unsafe fn unpack(lua: State) -> Result<c_int, LuaError> {
    let mut format = Format::new(check_bytes(lua, 1)?);
    let data = check_bytes(lua, 2)?;
    let mut position = match opt_integer(lua, 3, 1)? {
        0 => return Err(LuaError::arg(3, "offset must be 1 or greater")),
        offset => (offset as usize).wrapping_sub(1),
    };
    let mut meter = Ticker::new(lua);
    let mut count = 0;
    while let Some((option, mut size)) = format.next()? {
        meter.step(1 + size as u64 / 64)?;
        position = position.wrapping_add(format.padding(position, option, size));
        let item = slice(data, position, size)?;
        check_stack(lua, 2, "too many results")?;
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let signed = option.is_ascii_lowercase();
                lua_pushnumber(lua, integer_value(item, format.big_endian, signed));
                count += 1;
            }
            b'x' => {}
            b'f' => {
                let bytes = in_order(item.try_into().unwrap_or_default(), format.big_endian);
                lua_pushnumber(lua, f32::from_le_bytes(bytes).into());
                count += 1;
            }
            b'd' => {
                let bytes = in_order(item.try_into().unwrap_or_default(), format.big_endian);
                lua_pushnumber(lua, f64::from_le_bytes(bytes));
                count += 1;
            }
            b'c' => {
                if size == 0 {
                    size = take_size(lua, &mut count)?;
                }
                push_bytes(lua, slice(data, position, size)?);
                count += 1;
            }
            b's' => {
                let Some(len) = memchr::memchr(0, &data[position..]) else {
                    return Err(LuaError::msg("unfinished string in data"));
                };
                push_bytes(lua, &data[position..position + len]);
                size = len + 1;
                meter.step(size as u64 / 64)?;
                count += 1;
            }
            other => format.control(other)?,
        }
        position += size;
    }
    lua_pushinteger(lua, (position as lua_Integer).wrapping_add(1));
    Ok(count + 1)
}

/// Pops the number read last, which is the length for `c0`.
unsafe fn take_size(lua: State, count: &mut c_int) -> Result<usize, LuaError> {
    if *count == 0 || lua_isnumber(lua, -1) == 0 {
        return Err(LuaError::msg("format 'c0' needs a previous size"));
    }
    let size = f64_to_u64(lua_tonumber(lua, -1));
    lua_settop(lua, -2);
    *count -= 1;
    usize::try_from(size).map_err(|_| too_short())
}

unsafe fn size(lua: State) -> Result<c_int, LuaError> {
    let mut format = Format::new(check_bytes(lua, 1)?);
    let mut meter = Ticker::new(lua);
    let mut position = 0usize;
    while let Some((option, size)) = format.next()? {
        meter.step(1)?;
        position = position.wrapping_add(format.padding(position, option, size));
        match option {
            b's' => return Err(LuaError::arg(1, "option 's' has no fixed size")),
            b'c' if size == 0 => return Err(LuaError::arg(1, "option 'c0' has no fixed size")),
            other if !other.is_ascii_alphanumeric() => format.control(other)?,
            _ => {}
        }
        position = position.wrapping_add(size);
    }
    lua_pushinteger(lua, position as lua_Integer);
    Ok(1)
}

native!(c_pack, pack);
native!(c_unpack, unpack);
native!(c_size, size);

/// Sets the global `struct`.
///
/// # Safety
/// As [`super::open_all`].
pub(crate) unsafe fn open_struct(lua: *mut lua_State) {
    push_library(lua, &[(c"pack", c_pack), (c"unpack", c_unpack), (c"size", c_size)]);
    lua_setglobal(lua, c"struct".as_ptr());
}
