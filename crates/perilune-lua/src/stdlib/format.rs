//! `string.format`.
//!
//! A conversion is checked here for what Lua allows (few flags, two digits of width and of
//! precision) and then printed by the C library, so that numbers look as scripts know them.

use std::ffi::{CStr, c_int};

use mlua::ffi::*;
use smallvec::SmallVec;

use super::State;
use super::args::{check_bytes, check_number};
use super::buffer::Buffer;
use super::convert::{
    f64_to_i32, f64_to_i64, f64_to_u64, printf_char, printf_f64, printf_i64, printf_str,
};
use crate::interrupt::{Meter, Ticker, tick};
use crate::raise::LuaError;

const FLAGS: &[u8] = b"-+ #0";

/// Strings from this length on are taken whole when no precision is given.
const LONG_STRING_BYTES: usize = 100;

/// Bytes that are quoted between two payments.
const QUOTED_BYTES: usize = 64 << 10;

/// One conversion of a format: flags, width and precision, and the letter behind them.
struct Conversion<'a> {
    options: &'a [u8],
    letter: u8,
}

impl Conversion<'_> {
    /// The conversion as C reads it, with a length modifier before the letter.
    fn spec(&self, modifier: &[u8]) -> SmallVec<[u8; 24]> {
        let mut spec = SmallVec::new();
        spec.push(b'%');
        spec.extend_from_slice(self.options);
        spec.extend_from_slice(modifier);
        spec.push(self.letter);
        spec.push(0);
        spec
    }
}

pub(super) unsafe fn format(lua: State) -> Result<c_int, LuaError> {
    let top = lua_gettop(lua);
    let mut rest = check_bytes(lua, 1)?;
    let mut out = Buffer::new(lua);
    let mut meter = Ticker::new(lua);
    let mut arg = 1;
    while let Some(at) = memchr::memchr(b'%', rest) {
        meter.step(8 + at as u64 / 64)?;
        out.extend(&rest[..at])?;
        rest = &rest[at + 1..];
        if let [b'%', tail @ ..] = rest {
            out.push(b'%')?;
            rest = tail;
            continue;
        }
        arg += 1;
        if arg > top {
            return Err(LuaError::arg(arg, "no value"));
        }
        let (conversion, tail) = parse(rest)?;
        rest = tail;
        let before = out.len();
        add(lua, arg, &conversion, &mut out)?;
        meter.step((out.len() - before) as u64 / 16)?;
    }
    out.extend(rest)?;
    out.push_to_lua()?;
    Ok(1)
}

fn digits(text: &[u8], at: usize) -> usize {
    text[at..].iter().take(2).take_while(|b| b.is_ascii_digit()).count()
}

/// Splits a conversion from what follows. At the end of the format the letter is a NUL.
fn parse(text: &[u8]) -> Result<(Conversion<'_>, &[u8]), LuaError> {
    let mut end = text.iter().take_while(|b| FLAGS.contains(b)).count();
    if end > FLAGS.len() {
        return Err(LuaError::msg("invalid format (repeated flags)"));
    }
    end += digits(text, end);
    if text.get(end) == Some(&b'.') {
        end += 1;
        end += digits(text, end);
    }
    if text.get(end).is_some_and(u8::is_ascii_digit) {
        return Err(LuaError::msg("invalid format (width or precision too long)"));
    }
    let conversion =
        Conversion { options: &text[..end], letter: text.get(end).copied().unwrap_or(0) };
    Ok((conversion, text.get(end + 1..).unwrap_or_default()))
}

unsafe fn add(
    lua: State,
    arg: c_int,
    conversion: &Conversion<'_>,
    out: &mut Buffer,
) -> Result<(), LuaError> {
    let modifier: &[u8] = match conversion.letter {
        b'd' | b'i' | b'o' | b'u' | b'x' | b'X' => b"ll",
        _ => b"",
    };
    let spec = conversion.spec(modifier);
    // A NUL as the letter ends in the default arm, where the text is not used.
    let spec = CStr::from_bytes_until_nul(&spec).unwrap_or_default();
    let printed = match conversion.letter {
        b'c' => printf_char(spec, f64_to_i32(check_number(lua, arg)?)),
        b'd' | b'i' => printf_i64(spec, f64_to_i64(check_number(lua, arg)?)),
        b'o' | b'u' | b'x' | b'X' => printf_i64(spec, f64_to_u64(check_number(lua, arg)?) as i64),
        b'e' | b'E' | b'f' | b'g' | b'G' => printf_f64(spec, check_number(lua, arg)?),
        b'q' => return add_quoted(lua, check_bytes(lua, arg)?, out),
        b's' => return add_string(check_bytes(lua, arg)?, conversion, spec, out),
        letter => {
            let mut text = b"invalid option '%".to_vec();
            text.extend((letter != 0).then_some(letter));
            text.extend_from_slice(b"' to 'format'");
            return Err(LuaError::Bytes(text));
        }
    };
    out.extend(printed.as_bytes())
}

/// `text` is followed by a NUL, being a Lua string.
unsafe fn add_string(
    text: &[u8],
    conversion: &Conversion<'_>,
    spec: &CStr,
    out: &mut Buffer,
) -> Result<(), LuaError> {
    if text.len() >= LONG_STRING_BYTES && !conversion.options.contains(&b'.') {
        return out.extend(text);
    }
    if conversion.options.is_empty() {
        let end = memchr::memchr(0, text).unwrap_or(text.len());
        return out.extend(&text[..end]);
    }
    out.extend(printf_str(spec, text.as_ptr()).as_bytes())
}

/// `%q`: a string literal that Lua reads back.
unsafe fn add_quoted(lua: State, text: &[u8], out: &mut Buffer) -> Result<(), LuaError> {
    out.push(b'"')?;
    for piece in text.chunks(QUOTED_BYTES) {
        tick(lua, piece.len() as u64 / 4)?;
        for &byte in piece {
            match byte {
                b'"' | b'\\' | b'\n' => out.extend(&[b'\\', byte])?,
                b'\r' => out.extend(b"\\r")?,
                0 => out.extend(b"\\000")?,
                _ => out.push(byte)?,
            }
        }
    }
    out.push(b'"')
}
