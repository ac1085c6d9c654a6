//! Errors of scripts: their texts, the handler that adds the place, and what the server is told.
//!
//! An error raised by this crate is a table with the field `err`, text with its code first. The
//! error handler, which runs before the stack is unwound, makes such a table of any other error
//! value and adds `source` and `line`.

use std::ffi::{CStr, c_int};

use mlua::ffi::*;
use perilune_script::ScriptError;

use crate::debug::with_debugger;
use crate::raise::{LuaError, push_bytes};
use crate::state::context;

/// The host failed; its panic goes on when the script is gone.
pub(crate) const INTERNAL: &str = "ERR internal error while running a script";
/// A table was raised that has no text.
const UNKNOWN: &[u8] = b"ERR unknown error";
/// The engine was asked for something it does not have.
pub(crate) const NO_SUCH_SCRIPT: &[u8] = b"ERR the script engine does not know this script";
/// Writing to a table that all scripts share.
pub(crate) const READONLY: &CStr = c"Attempt to modify a readonly table";
/// `redis.call()`.
pub(crate) const NO_ARGUMENTS: &[u8] =
    b"Please specify at least one argument for this redis lib call";
/// `redis.call({})`.
pub(crate) const BAD_ARGUMENTS: &[u8] =
    b"Lua redis lib command arguments must be strings or integers";
/// A reply that no Lua value can hold.
pub(crate) const REPLY_TOO_LARGE: &[u8] = b"lua stack limit reach when parsing redis.call reply";
/// A reply that nests deeper than can be sent.
pub(crate) const REPLY_TOO_DEEP: &[u8] = b"ERR reached lua stack limit";

/// What a script returned stands for more than a client could take.
pub(crate) const SCRIPT_REPLY_TOO_LARGE: &str = "ERR the reply of the script is too large";

/// Longest part of a plain message that is shown.
const MESSAGE_BYTES_MAX: usize = 100;

/// Longest part of any error's text that is kept: it is copied several times on its way to the
/// client, and nobody is answered meanwhile.
pub(crate) const ERROR_BYTES_MAX: usize = 1 << 20;

fn cut(text: &[u8]) -> &[u8] {
    &text[..text.len().min(ERROR_BYTES_MAX)]
}

/// Pushes an error table for a text. A text that starts with `-` carries its own code, any other
/// gets `ERR`.
///
/// # Safety
/// `lua` is a state of this crate in host mode; its stack has room for three values.
pub(crate) unsafe fn push_error_table(lua: *mut lua_State, text: &[u8]) {
    let text = cut(text).split(|&byte| byte == 0).next().unwrap_or_default();
    let (code, rest) = match text.strip_prefix(b"-") {
        None => (&b"ERR"[..], text),
        Some(text) => match text.iter().position(|&byte| byte == b' ') {
            None => (&b"ERR"[..], text),
            Some(at) => (&text[..at], &text[at + 1..]),
        },
    };
    let full = [code, b" ", trim_line_ends(rest)].concat();
    // SAFETY: the caller left room for three values.
    unsafe {
        lua_createtable(lua, 0, 4);
        push_bytes(lua, b"err");
        push_bytes(lua, &full);
        lua_rawset(lua, -3);
    }
}

/// [`push_error_table`] as the error of a native function, which uses nothing of its frame
/// afterwards.
///
/// # Safety
/// `lua` is a state of this crate in host mode.
pub(crate) unsafe fn push_error(lua: *mut lua_State, text: &[u8]) -> LuaError {
    // SAFETY: three slots are made sure of; an error takes precedence over what a full frame
    // still holds.
    unsafe {
        if lua_checkstack(lua, 4) == 0 {
            lua_settop(lua, 0);
        }
        with_debugger(lua, |debugger| debugger.on_error(text));
        push_error_table(lua, text);
    }
    LuaError::OnStack
}

/// Pushes the error of a killed run.
///
/// # Safety
/// As [`push_error`].
#[cold]
pub(crate) unsafe fn push_kill(lua: *mut lua_State) -> LuaError {
    // SAFETY: as promised.
    unsafe {
        let text = context(lua).killed.get().unwrap_or(INTERNAL);
        push_error(lua, &[b"-", text.as_bytes()].concat())
    }
}

/// For functions that caught an error: goes on only unless the run must end.
///
/// # Safety
/// As [`push_error`].
#[inline]
pub(crate) unsafe fn check_killed(lua: *mut lua_State) -> Result<(), LuaError> {
    // SAFETY: as promised.
    unsafe {
        match context(lua).killed.get() {
            None => Ok(()),
            Some(_) => Err(push_kill(lua)),
        }
    }
}

fn trim_line_ends(text: &[u8]) -> &[u8] {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let start = text.iter().position(|byte| !is_end(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !is_end(byte)).map_or(start, |at| at + 1);
    &text[start..end]
}

/// Lua's error handler: takes the error value, answers a table with a place.
///
/// Runs as C code without host mode, because it may meet metamethods; it owns nothing.
///
/// # Safety
/// Called by Lua with one argument on a state of this crate.
pub(crate) unsafe extern "C-unwind" fn handle_error(lua: *mut lua_State) -> c_int {
    // SAFETY: the record is plain data, filled for a frame that exists; all values are read
    // where they lie; memory errors leave by `longjmp` with nothing owned.
    unsafe {
        lua_settop(lua, 1);
        if lua_type(lua, 1) != LUA_TTABLE {
            lua_createtable(lua, 0, 3);
            lua_pushstring_(lua, c"ERR ".as_ptr());
            push_as_text(lua);
            lua_concat(lua, 2);
            lua_setfield(lua, 2, c"err".as_ptr());
        }
        let mut record: lua_Debug = std::mem::zeroed();
        let mut found = lua_getstack(lua, 1, &mut record) != 0;
        if found {
            lua_getinfo(lua, c"nSl".as_ptr(), &mut record);
            if CStr::from_ptr(record.what) == c"C" {
                found = lua_getstack(lua, 2, &mut record) != 0;
                if found {
                    lua_getinfo(lua, c"nSl".as_ptr(), &mut record);
                }
            }
        }
        if found {
            lua_pushstring_(lua, record.source);
            lua_setfield(lua, -2, c"source".as_ptr());
            lua_pushinteger(lua, record.currentline.into());
            lua_setfield(lua, -2, c"line".as_ptr());
        }
        1
    }
}

/// Pushes what `tostring` makes of the value at index 1.
unsafe fn push_as_text(lua: *mut lua_State) {
    // SAFETY: as `handle_error`; `__tostring` may be a function of the script.
    unsafe {
        if luaL_callmeta(lua, 1, c"__tostring".as_ptr()) != 0 {
            if lua_isstring(lua, -1) == 0 {
                lua_pop(lua, 1);
                lua_pushstring_(lua, c"?".as_ptr());
            }
            return;
        }
        match lua_type(lua, 1) {
            LUA_TSTRING if lua_objlen(lua, 1) > ERROR_BYTES_MAX => {
                lua_pushlstring_(lua, lua_tostring(lua, 1), ERROR_BYTES_MAX);
            }
            LUA_TSTRING | LUA_TNUMBER => lua_pushvalue(lua, 1),
            LUA_TBOOLEAN if lua_toboolean(lua, 1) != 0 => lua_pushstring_(lua, c"true".as_ptr()),
            LUA_TBOOLEAN => lua_pushstring_(lua, c"false".as_ptr()),
            LUA_TNIL => lua_pushstring_(lua, c"nil".as_ptr()),
            kind => {
                let name = lua_typename(lua, kind);
                lua_pushfstring(lua, c"%s: %p".as_ptr(), name, lua_topointer(lua, 1));
            }
        }
    }
}

/// The error on top of the main stack as the server is told. `name` is what the script is called
/// in messages about errors that are no tables.
///
/// # Safety
/// The main stack of a state of this crate, not running, with an error value on top.
pub(crate) unsafe fn script_error(lua: *mut lua_State, name: &[u8]) -> ScriptError {
    // SAFETY: fields are read without metamethods, so nothing can be raised.
    unsafe {
        let index = lua_gettop(lua);
        if lua_type(lua, index) != LUA_TTABLE {
            if let Some(text) = context(lua).killed.get() {
                let text = text.as_bytes().to_vec();
                return ScriptError { text, place: None, counted: false };
            }
            let message = plain_text(lua, -1);
            let shown = &message[..message.len().min(MESSAGE_BYTES_MAX)];
            let text = [b"ERR Error running script ", name, b", ", shown].concat();
            return ScriptError { text, place: None, counted: false };
        }
        let source = field_text(lua, index, b"source");
        let line = field_text(lua, index, b"line");
        ScriptError { place: source.zip(line), ..table_error(lua, index) }
    }
}

/// The error of library code, which ran without a handler.
///
/// # Safety
/// As [`script_error`].
pub(crate) unsafe fn load_error(lua: *mut lua_State) -> Vec<u8> {
    // SAFETY: as promised.
    unsafe {
        match lua_type(lua, -1) {
            LUA_TTABLE => table_error(lua, lua_gettop(lua)).text,
            LUA_TSTRING | LUA_TNUMBER => [b"ERR ", &plain_text(lua, -1)[..]].concat(),
            _ => UNKNOWN.to_vec(),
        }
    }
}

/// The text of a message that is a string or number.
///
/// # Safety
/// As [`script_error`].
pub(crate) unsafe fn plain_text(lua: *mut lua_State, index: c_int) -> Vec<u8> {
    // SAFETY: as promised.
    unsafe { text_at(lua, index) }.unwrap_or_else(|| b"execution failure".to_vec())
}

/// Text and counting of an error table, without its place.
///
/// # Safety
/// A table lies at the absolute `index` of a stack with room for two values.
pub(crate) unsafe fn table_error(lua: *mut lua_State, index: c_int) -> ScriptError {
    // SAFETY: as `script_error`.
    unsafe {
        let text = field_text(lua, index, b"err");
        push_bytes(lua, b"ignore_error_stats_update");
        lua_rawget_(lua, index);
        let counted = lua_type(lua, -1) == LUA_TBOOLEAN && lua_toboolean(lua, -1) != 0;
        lua_pop(lua, 1);
        ScriptError { text: text.unwrap_or_else(|| UNKNOWN.to_vec()), place: None, counted }
    }
}

/// A field's text up to its first NUL, when it is a string or number.
unsafe fn field_text(lua: *mut lua_State, index: c_int, name: &[u8]) -> Option<Vec<u8>> {
    // SAFETY: as `script_error`.
    unsafe {
        push_bytes(lua, name);
        lua_rawget_(lua, index);
        let text = text_at(lua, -1);
        lua_pop(lua, 1);
        text
    }
}

unsafe fn text_at(lua: *mut lua_State, index: c_int) -> Option<Vec<u8>> {
    // SAFETY: the bytes are copied while the string lies on the stack.
    unsafe {
        let mut len = 0;
        let start = lua_tolstring(lua, index, &mut len);
        if start.is_null() {
            return None;
        }
        let text = cut(std::slice::from_raw_parts(start.cast(), len));
        let end = memchr::memchr(0, text).unwrap_or(text.len());
        Some(trim_line_ends(&text[..end]).to_vec())
    }
}
