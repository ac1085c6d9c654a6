//! `cjson.decode`: one pass over the text, building values on the Lua stack.
//!
//! Tables being filled lie on the Lua stack, an object with its current key above it; [`Open`]
//! remembers which kind each is. Nesting costs no native stack and is limited by the depth option
//! and by Lua's stack limit.
//!
//! The text ends at its first NUL. Numbers are what `strtod` takes, which is more than JSON has.

use std::ffi::c_int;

use mlua::ffi::*;
use smallvec::SmallVec;

use super::State;
use super::args::check_bytes;
use super::buffer::Buffer;
use super::cjson_config::{JsonConfig, config};
use crate::interrupt::{Meter, Ticker};
use crate::numbers::read_plain;
use crate::raise::{LuaError, push_bytes};

/// Most entries in one table; Lua raises above it, where nothing may raise.
pub(super) const TABLE_ENTRIES_MAX: c_int = 1 << 26;

/// Longest number that is read: reading one is a single step.
const NUMBER_BYTES_MAX: usize = 1 << 20;

/// A table that is being filled.
#[derive(Clone, Copy)]
enum Open {
    /// So many elements are in it.
    Array(c_int),
    /// So many entries are in it; the key of the next is on top of the stack.
    Object(c_int),
}

/// What the next piece of the text is.
#[derive(Clone, Copy)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    /// Left on the Lua stack.
    String,
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    /// Malformed, and why.
    Error(&'static str),
}

impl Token {
    /// As error messages call it.
    fn name(self) -> &'static str {
        match self {
            Self::ObjectBegin => "T_OBJ_BEGIN",
            Self::ObjectEnd => "T_OBJ_END",
            Self::ArrayBegin => "T_ARR_BEGIN",
            Self::ArrayEnd => "T_ARR_END",
            Self::String => "T_STRING",
            Self::Number(_) => "T_NUMBER",
            Self::Boolean(_) => "T_BOOLEAN",
            Self::Null => "T_NULL",
            Self::Colon => "T_COLON",
            Self::Comma => "T_COMMA",
            Self::End => "T_END",
            Self::Error(why) => why,
        }
    }
}

struct Decoder<'a> {
    lua: State,
    config: &'a JsonConfig,
    text: &'a [u8],
    at: usize,
    /// Where the current token starts, or what is wrong with it.
    token_at: usize,
    unescaped: Buffer,
    meter: Ticker,
    open: SmallVec<[Open; 32]>,
}

pub(super) unsafe fn decode(lua: State) -> Result<c_int, LuaError> {
    if lua_gettop(lua) != 1 {
        return Err(LuaError::arg(1, "expected 1 argument"));
    }
    let text = check_bytes(lua, 1)?;
    if text.len() >= 2 && text[..2].contains(&0) {
        return Err(LuaError::msg("JSON parser does not support UTF-16 or UTF-32"));
    }
    let end = memchr::memchr(0, text).unwrap_or(text.len());
    let mut decoder = Decoder {
        lua,
        config: config(lua),
        text: &text[..end],
        at: 0,
        token_at: 0,
        unescaped: Buffer::new(lua),
        meter: Ticker::new(lua),
        open: SmallVec::new(),
    };
    let mut token = decoder.token()?;
    while !decoder.value(token)? {
        token = decoder.token()?;
    }
    match decoder.token()? {
        Token::End => Ok(1),
        other => Err(decoder.unexpected("the end", other)),
    }
}

impl Decoder<'_> {
    /// Takes a token where a value is due. True when the outermost value is complete; otherwise
    /// the next token is the start of a value again.
    unsafe fn value(&mut self, token: Token) -> Result<bool, LuaError> {
        match token {
            Token::String => {}
            Token::Number(number) => lua_pushnumber(self.lua, number),
            Token::Boolean(value) => lua_pushboolean(self.lua, value.into()),
            Token::Null => lua_pushlightuserdata(self.lua, std::ptr::null_mut()),
            Token::ObjectBegin => {
                self.descend(3)?;
                lua_createtable(self.lua, 0, 0);
                match self.token()? {
                    Token::ObjectEnd => {}
                    key => {
                        self.key(key)?;
                        self.open.push(Open::Object(0));
                        return Ok(false);
                    }
                }
            }
            Token::ArrayBegin => {
                self.descend(2)?;
                lua_createtable(self.lua, 0, 0);
                match self.token()? {
                    Token::ArrayEnd => {}
                    first => {
                        self.open.push(Open::Array(0));
                        return self.value_in_array(first);
                    }
                }
            }
            other => return Err(self.unexpected("value", other)),
        }
        self.completed()
    }

    /// The first token of an array is already read; arrays in arrays must not recurse here.
    unsafe fn value_in_array(&mut self, first: Token) -> Result<bool, LuaError> {
        let mut token = first;
        while let Token::ArrayBegin = token {
            self.descend(2)?;
            lua_createtable(self.lua, 0, 0);
            token = self.token()?;
            if let Token::ArrayEnd = token {
                return self.completed();
            }
            self.open.push(Open::Array(0));
        }
        // Not an array, so this does not come back here.
        self.value(token)
    }

    /// A value is complete on top of the stack: stores it, and closes what is closed behind it.
    unsafe fn completed(&mut self) -> Result<bool, LuaError> {
        loop {
            self.meter.step(1)?;
            let Some(&innermost) = self.open.last() else {
                return Ok(true);
            };
            let closed = match innermost {
                Open::Array(count) => {
                    let count = count + 1;
                    self.limit(count)?;
                    lua_rawseti_(self.lua, -2, count);
                    self.after_element(count)?
                }
                Open::Object(count) => {
                    let count = count + 1;
                    self.limit(count)?;
                    lua_rawset(self.lua, -3);
                    self.after_entry(count)?
                }
            };
            if !closed {
                return Ok(false);
            }
            self.open.pop();
        }
    }

    unsafe fn limit(&self, count: c_int) -> Result<(), LuaError> {
        match count > TABLE_ENTRIES_MAX {
            true => Err(LuaError::msg("table overflow")),
            false => Ok(()),
        }
    }

    unsafe fn after_element(&mut self, count: c_int) -> Result<bool, LuaError> {
        match self.token()? {
            Token::ArrayEnd => Ok(true),
            Token::Comma => {
                self.replace_innermost(Open::Array(count));
                Ok(false)
            }
            other => Err(self.unexpected("comma or array end", other)),
        }
    }

    unsafe fn after_entry(&mut self, count: c_int) -> Result<bool, LuaError> {
        match self.token()? {
            Token::ObjectEnd => Ok(true),
            Token::Comma => {
                let key = self.token()?;
                self.key(key)?;
                self.replace_innermost(Open::Object(count));
                Ok(false)
            }
            other => Err(self.unexpected("comma or object end", other)),
        }
    }

    fn replace_innermost(&mut self, by: Open) {
        if let Some(innermost) = self.open.last_mut() {
            *innermost = by;
        }
    }

    /// A key and the colon behind it.
    unsafe fn key(&mut self, token: Token) -> Result<(), LuaError> {
        match token {
            Token::String => {}
            other => return Err(self.unexpected("object key string", other)),
        }
        match self.token()? {
            Token::Colon => Ok(()),
            other => Err(self.unexpected("colon", other)),
        }
    }

    unsafe fn descend(&mut self, slots: c_int) -> Result<(), LuaError> {
        let depth = self.open.len() + 1;
        let allowed = depth as i64 <= i64::from(self.config.decode_max_depth.get());
        if allowed && lua_checkstack(self.lua, slots) != 0 {
            return Ok(());
        }
        Err(LuaError::msg(format!(
            "Found too many nested data structures ({depth}) at character {}",
            self.at
        )))
    }

    fn unexpected(&self, expected: &str, found: Token) -> LuaError {
        LuaError::msg(format!(
            "Expected {expected} but found {} at character {}",
            found.name(),
            self.token_at + 1
        ))
    }

    fn peek(&self, offset: usize) -> u8 {
        self.text.get(self.at + offset).copied().unwrap_or(0)
    }

    /// Reads one token. A string is left on the Lua stack.
    unsafe fn token(&mut self) -> Result<Token, LuaError> {
        while matches!(self.peek(0), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
            self.meter.step(1)?;
        }
        self.token_at = self.at;
        let token = match self.peek(0) {
            0 => return Ok(Token::End),
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b',' => Token::Comma,
            b':' => Token::Colon,
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' => {
                if self.config.decode_invalid_numbers.get() == 0 && self.is_invalid_number() {
                    return Ok(Token::Error("invalid number"));
                }
                return self.number();
            }
            b'f' | b'i' | b'I' | b'n' | b'N' | b't' | b'+' => return self.word(),
            _ => return Ok(Token::Error("invalid token")),
        };
        self.at += 1;
        Ok(token)
    }

    unsafe fn word(&mut self) -> Result<Token, LuaError> {
        let words: [(&[u8], Token); 3] = [
            (b"true", Token::Boolean(true)),
            (b"false", Token::Boolean(false)),
            (b"null", Token::Null),
        ];
        for (word, token) in words {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(token);
            }
        }
        if self.config.decode_invalid_numbers.get() != 0 && self.is_invalid_number() {
            return self.number();
        }
        Ok(Token::Error("invalid token"))
    }

    /// Whether `strtod` may take what JSON does not allow.
    fn is_invalid_number(&self) -> bool {
        if self.peek(0) == b'+' {
            return true;
        }
        let sign = usize::from(self.peek(0) == b'-');
        match self.peek(sign) {
            b'0' => matches!(self.peek(sign + 1), b'x' | b'X' | b'0'..=b'9'),
            // C compares signed characters, so bytes above ASCII count as low ones.
            ..=b'9' | 0x80.. => false,
            _ => {
                let start = (self.at + sign).min(self.text.len());
                let word = self.text[start..].get(..3).unwrap_or_default();
                word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"nan")
            }
        }
    }

    unsafe fn number(&mut self) -> Result<Token, LuaError> {
        let rest = &self.text[self.at..];
        if is_too_long(rest) {
            return Ok(Token::Error("invalid number"));
        }
        let (number, len) = match read_plain(rest) {
            Some(found) => found,
            None => {
                // The text is part of a Lua string, which ends with a NUL.
                let start = rest.as_ptr().cast::<libc::c_char>();
                let mut end = std::ptr::null_mut();
                let number = libc::strtod(start, &mut end);
                (number, (end as usize).wrapping_sub(start as usize))
            }
        };
        if len == 0 {
            return Ok(Token::Error("invalid number"));
        }
        self.meter.step(len as u64 / 16)?;
        self.at += len;
        Ok(Token::Number(number))
    }

    unsafe fn string(&mut self) -> Result<Token, LuaError> {
        self.at += 1;
        let start = self.at;
        match memchr::memchr2(b'"', b'\\', &self.text[start..]) {
            Some(len) if self.text[start + len] == b'"' => {
                self.meter.step(len as u64 / 64)?;
                push_bytes(self.lua, &self.text[start..start + len]);
                self.at = start + len + 1;
                Ok(Token::String)
            }
            Some(_) => self.escaped_string(),
            None => {
                self.at = self.text.len();
                self.token_at = self.at;
                Ok(Token::Error("unexpected end of string"))
            }
        }
    }

    unsafe fn escaped_string(&mut self) -> Result<Token, LuaError> {
        self.unescaped.clear();
        loop {
            let rest = &self.text[self.at..];
            let plain = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
            self.unescaped.extend(&rest[..plain])?;
            self.meter.step(1 + plain as u64 / 64)?;
            self.at += plain;
            let fault = match self.peek(0) {
                b'"' => break,
                b'\\' => self.escape()?,
                _ => Some("unexpected end of string"),
            };
            if let Some(fault) = fault {
                self.token_at = self.at;
                return Ok(Token::Error(fault));
            }
        }
        self.at += 1;
        push_bytes(self.lua, self.unescaped.as_slice());
        Ok(Token::String)
    }

    /// Takes one escape, or says what is wrong with it.
    fn escape(&mut self) -> Result<Option<&'static str>, LuaError> {
        let byte = match self.peek(1) {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => b'\x08',
            b't' => b'\t',
            b'n' => b'\n',
            b'f' => b'\x0C',
            b'r' => b'\r',
            b'u' => return self.unicode_escape(),
            _ => return Ok(Some("invalid escape code")),
        };
        self.unescaped.push(byte)?;
        self.at += 2;
        Ok(None)
    }

    fn unicode_escape(&mut self) -> Result<Option<&'static str>, LuaError> {
        let Some((code, len)) = self.code_point() else {
            return Ok(Some("invalid unicode escape code"));
        };
        self.unescaped.extend(code.encode_utf8(&mut [0; 4]).as_bytes())?;
        self.at += len;
        Ok(None)
    }

    /// The character of `\uXXXX`, or of a pair of surrogates, and the length of its escape.
    fn code_point(&self) -> Option<(char, usize)> {
        let first = self.hex4(2)?;
        if first & 0xF800 != 0xD800 {
            return Some((char::from_u32(first)?, 6));
        }
        if first & 0x400 != 0 || self.peek(6) != b'\\' || self.peek(7) != b'u' {
            return None;
        }
        let second = self.hex4(8)?;
        if second & 0xFC00 != 0xDC00 {
            return None;
        }
        let code = ((first & 0x3FF) << 10 | second & 0x3FF) + 0x1_0000;
        Some((char::from_u32(code)?, 12))
    }

    fn hex4(&self, offset: usize) -> Option<u32> {
        (offset..offset + 4).try_fold(0, |code, offset| {
            Some(code << 4 | char::from(self.peek(offset)).to_digit(16)?)
        })
    }
}

/// Whether the number at the start is longer than [`NUMBER_BYTES_MAX`]. `nan(any_thing)` is one.
fn is_too_long(text: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b".+-(_)".contains(byte);
    text.get(NUMBER_BYTES_MAX).is_some_and(is_part) && text[..NUMBER_BYTES_MAX].iter().all(is_part)
}
