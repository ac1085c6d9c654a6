//! `string.format`.
//!
//! A conversion is checked here for what Lua allows (few flags, two digits of width and of
//! precision) and then printed by the C library, so that numbers look as scripts know them. What
//! scripts have most, integers, digits behind a point and strings, is written here.

use std::ffi::c_int;

use mlua::ffi::*;
use smallvec::SmallVec;

use super::State;
use super::args::{check_bytes, check_number};
use super::buffer::Buffer;
use super::convert::{f64_to_i32, f64_to_i64, f64_to_u64, hex_digits};
use crate::interrupt::{Meter, Ticker, tick};
use crate::numbers::{FixedText, PlainText};
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
    fn spec(&self) -> SmallVec<[u8; 24]> {
        let modifier: &[u8] = match self.letter {
            b'd' | b'i' | b'o' | b'u' | b'x' | b'X' => b"ll",
            _ => b"",
        };
        let mut spec = SmallVec::new();
        spec.push(b'%');
        spec.extend_from_slice(self.options);
        spec.extend_from_slice(modifier);
        spec.push(self.letter);
        spec.push(0);
        spec
    }

    /// What is filled up with, and the width, if there is nothing but these.
    fn padding(&self) -> Option<(u8, usize)> {
        match self.options {
            [] => Some((b' ', 0)),
            [b'0', width @ ..] => Some((b'0', decimal(width)?)),
            width => Some((b' ', decimal(width)?)),
        }
    }

    /// The precision, if there is nothing else.
    fn precision(&self) -> Option<usize> {
        match self.options {
            [] => Some(6),
            [b'.', digits @ ..] => decimal(digits),
            _ => None,
        }
    }
}

/// An integer of digits only; none are 0.
fn decimal(digits: &[u8]) -> Option<usize> {
    digits.iter().try_fold(0, |value, digit| match digit {
        b'0'..=b'9' => Some(value * 10 + usize::from(digit - b'0')),
        _ => None,
    })
}

/// Adds what C's `snprintf` makes of a value. No function, because `snprintf` takes values of any type; the
/// conversion says of which.
macro_rules! add_printed {
    ($conversion:expr, $value:expr, $out:expr) => {{
        let spec = $conversion.spec();
        $out.extend_printed(|to, room| libc::snprintf(to, room, spec.as_ptr().cast(), $value))
    }};
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
    match conversion.letter {
        b'c' => {
            let byte = f64_to_i32(check_number(lua, arg)?);
            add_printed!(conversion, byte, out)
        }
        b'd' | b'i' => add_signed(f64_to_i64(check_number(lua, arg)?), conversion, out),
        b'o' | b'u' | b'x' | b'X' => {
            add_unsigned(f64_to_u64(check_number(lua, arg)?), conversion, out)
        }
        b'e' | b'E' | b'f' | b'g' | b'G' => add_double(check_number(lua, arg)?, conversion, out),
        b'q' => add_quoted(lua, check_bytes(lua, arg)?, out),
        b's' => add_string(check_bytes(lua, arg)?, conversion, out),
        letter => {
            let mut text = b"invalid option '%".to_vec();
            text.extend((letter != 0).then_some(letter));
            text.extend_from_slice(b"' to 'format'");
            Err(LuaError::Bytes(text))
        }
    }
}

unsafe fn add_signed(
    value: i64,
    conversion: &Conversion<'_>,
    out: &mut Buffer,
) -> Result<(), LuaError> {
    if let Some(padding) = conversion.padding() {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(value.unsigned_abs()).as_bytes();
        return add_padded(value < 0, digits, padding, out);
    }
    add_printed!(conversion, value, out)
}

unsafe fn add_unsigned(
    value: u64,
    conversion: &Conversion<'_>,
    out: &mut Buffer,
) -> Result<(), LuaError> {
    match (conversion.letter, conversion.padding()) {
        (letter @ (b'x' | b'X'), Some(padding)) => {
            let digits = hex_digits(value, letter == b'X');
            let noughts = (value | 1).leading_zeros() as usize / 4;
            add_padded(false, &digits[noughts..], padding, out)
        }
        (b'u', Some(padding)) => {
            add_padded(false, itoa::Buffer::new().format(value).as_bytes(), padding, out)
        }
        _ => {
            add_printed!(conversion, value, out)
        }
    }
}

/// Adds digits, filled up to a width: with noughts behind the sign, or with blanks before it.
fn add_padded(
    is_negative: bool,
    digits: &[u8],
    (fill, width): (u8, usize),
    out: &mut Buffer,
) -> Result<(), LuaError> {
    const WIDTH_MAX: usize = 99;
    let sign: &[u8] = if is_negative { b"-" } else { b"" };
    let missing = width.saturating_sub(sign.len() + digits.len()).min(WIDTH_MAX);
    let filler = &[fill; WIDTH_MAX][..missing];
    let parts = if fill == b'0' { [sign, filler] } else { [filler, sign] };
    parts.into_iter().try_for_each(|part| out.extend(part))?;
    out.extend(digits)
}

unsafe fn add_double(
    number: f64,
    conversion: &Conversion<'_>,
    out: &mut Buffer,
) -> Result<(), LuaError> {
    match (conversion.letter, conversion.precision()) {
        (b'f', Some(places)) => {
            if let Some(text) = FixedText::new(number, places) {
                return out.extend(text.as_bytes());
            }
        }
        (b'g', Some(precision)) => {
            if let Some(text) = PlainText::new().write(number, precision.max(1) as i32) {
                return out.extend(text);
            }
        }
        _ => {}
    }
    add_printed!(conversion, number, out)
}

/// `text` is followed by a NUL, being a Lua string.
unsafe fn add_string(
    text: &[u8],
    conversion: &Conversion<'_>,
    out: &mut Buffer,
) -> Result<(), LuaError> {
    if text.len() >= LONG_STRING_BYTES && !conversion.options.contains(&b'.') {
        return out.extend(text);
    }
    if conversion.options.is_empty() {
        let end = memchr::memchr(0, text).unwrap_or(text.len());
        return out.extend(&text[..end]);
    }
    add_printed!(conversion, text.as_ptr(), out)
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
