//! The `redis` table, also called `server`: commands, log, replies, and the settings of a run.
//!
//! Three versions of it exist: scripts have all of it, functions lack what only scripts had from
//! old, and a library that is being loaded can register functions and write to the log.

use std::ffi::{CStr, c_int};

use mlua::ffi::*;
use perilune_resp::{Protocol, format_double};
use perilune_script::{DEBUG_VALUES_MAX, LogLevel, ReplFlags};
use sha1::{Digest, Sha1};
use smallvec::SmallVec;

use crate::convert::{LuaReplyWriter, Outcome};
use crate::debug::{copy, with_debugger};
use crate::errors::{self, ERROR_BYTES_MAX, push_error};
use crate::interrupt::{BUDGET_UNITS, tick};
use crate::raise::{LuaError, native, push_bytes};
use crate::register::c_register_function;
use crate::state::{context, with_host};
use crate::vm::frame;

type State = *mut lua_State;

/// The version of Redis whose behaviour scripts get.
const VERSION: &CStr = c"7.2.4";
const VERSION_NUMBER: f64 = 0x0007_0204 as f64;

const LEVELS: [LogLevel; 4] =
    [LogLevel::Debug, LogLevel::Verbose, LogLevel::Notice, LogLevel::Warning];

/// Bytes that go into a digest between two payments.
const DIGESTED_BYTES: usize = 64 << 10;

/// Work units of one command: a thousand of them take about a millisecond.
const COMMAND_COST: u64 = BUDGET_UNITS as u64 / 1000;

/// Hands the arguments on the stack to `action`.
///
/// Strings are not copied and stay on the stack, below whatever `action` pushes; numbers are
/// written into `texts`.
#[inline]
unsafe fn with_arguments<T>(
    lua: State,
    texts: &mut Vec<u8>,
    action: impl FnOnce(&[&[u8]]) -> T,
) -> Result<T, LuaError> {
    // Which arguments are numbers, and where in `texts` they end.
    let mut numbers: SmallVec<[(usize, usize); 8]> = SmallVec::new();
    let mut slices: SmallVec<[&[u8]; 8]> = SmallVec::new();
    // SAFETY: a C function's own frame, which nothing moves before the slices are used up:
    // strings do not move at all.
    unsafe {
        let values = frame(lua);
        if values.is_empty() {
            return Err(push_error(lua, errors::NO_ARGUMENTS));
        }
        for value in values {
            if let Some(bytes) = value.as_bytes() {
                slices.push(bytes);
            } else if let Some(number) = value.as_number() {
                if number.is_nan() && number.is_sign_negative() {
                    // What 0/0 gives is negative, and Redis says so.
                    texts.push(b'-');
                }
                format_double(number, texts);
                numbers.push((slices.len(), texts.len()));
                slices.push(&[]);
            } else {
                return Err(push_error(lua, errors::BAD_ARGUMENTS));
            }
        }
    }
    let mut start = 0;
    // By reference: to take the vector apart costs more than the loop, which seldom has anything to do.
    for &(at, end) in &numbers {
        if let (Some(slice), Some(text)) = (slices.get_mut(at), texts.get(start..end)) {
            *slice = text;
        }
        start = end;
    }
    Ok(action(&slices))
}

/// Runs a command and leaves its reply on the stack.
#[inline]
unsafe fn command(lua: State) -> Result<Outcome, LuaError> {
    // SAFETY: host mode is on and the host runs no Lua code, so the writer has the stack alone.
    unsafe {
        errors::check_killed(lua)?;
        tick(lua, COMMAND_COST)?;
        let context = context(lua);
        let mut texts = context.number_text.take();
        let answer = with_arguments(lua, &mut texts, |argv| {
            with_host(lua, |host| {
                let mut writer = LuaReplyWriter::new(lua, context.protocol.get());
                host.call(argv, &mut writer);
                writer.finish()
            })
        });
        texts.clear();
        context.number_text.set(texts);
        match answer?? {
            Outcome::Refused => Err(push_error(lua, errors::REPLY_TOO_LARGE)),
            answer => Ok(answer),
        }
    }
}

/// `redis.call`: an error reply is raised.
unsafe fn call(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: as `command`.
    match unsafe { command(lua)? } {
        Outcome::Error => Err(LuaError::OnStack),
        _ => Ok(1),
    }
}

/// `redis.pcall`: an error is a value, unless the run was killed or memory is refused.
unsafe fn pcall(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: as `command`.
    unsafe {
        match command(lua) {
            Ok(_) => Ok(1),
            Err(LuaError::OnStack) if context(lua).killed.get().is_none() => Ok(1),
            Err(error) => Err(error),
        }
    }
}

unsafe fn acl_check_cmd(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: as `command`.
    unsafe {
        let mut texts = Vec::new();
        let check = |argv: &[&[u8]]| with_host(lua, |host| host.acl_check(argv));
        let answer = with_arguments(lua, &mut texts, check)??;
        match answer {
            Ok(allowed) => lua_pushboolean(lua, allowed.into()),
            Err(_) => {
                let text = b"Invalid command passed to redis.acl_check_cmd()";
                return Err(push_error(lua, text));
            }
        }
        Ok(1)
    }
}

/// The bytes at `index`, when they are a string or number.
unsafe fn text_at<'a>(lua: State, index: c_int) -> Option<&'a [u8]> {
    let mut len = 0;
    // SAFETY: the value stays in the function's frame.
    unsafe {
        let start = lua_tolstring(lua, index, &mut len);
        if start.is_null() { None } else { Some(std::slice::from_raw_parts(start.cast(), len)) }
    }
}

/// Longest line that a script can have logged; the rest is cut off.
const LOGGED_BYTES_MAX: usize = 1 << 20;

unsafe fn log(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: a C function's own frame.
    unsafe {
        let count = lua_gettop(lua);
        if count < 2 {
            return Err(push_error(lua, b"redis.log() requires two arguments or more."));
        }
        if lua_isnumber(lua, 1) == 0 {
            return Err(push_error(lua, b"First argument must be a number (log level)."));
        }
        let level = lua_tonumber(lua, 1) as i64;
        let Some(level) = usize::try_from(level).ok().and_then(|level| LEVELS.get(level)) else {
            return Err(push_error(lua, b"Invalid debug level."));
        };
        let mut line = Vec::new();
        for index in 2..=count {
            if let Some(text) = text_at(lua, index) {
                if index != 2 {
                    line.push(b' ');
                }
                let room = LOGGED_BYTES_MAX.saturating_sub(line.len());
                line.extend_from_slice(&text[..text.len().min(room)]);
            }
        }
        let place = calling_line(lua);
        with_host(lua, |host| host.log(*level, &line, place))?;
        Ok(0)
    }
}

/// The line that the function which called this one stands at.
unsafe fn calling_line(lua: State) -> Option<u32> {
    // SAFETY: a C function's own frame; the record is filled before it is read.
    unsafe {
        let mut record: lua_Debug = std::mem::zeroed();
        if lua_getstack(lua, 1, &mut record) == 0 {
            return None;
        }
        lua_getinfo(lua, c"l".as_ptr(), &mut record);
        u32::try_from(record.currentline).ok()
    }
}

unsafe fn setresp(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: a C function's own frame.
    unsafe {
        if lua_gettop(lua) != 1 {
            return Err(push_error(lua, b"redis.setresp() requires one argument."));
        }
        let protocol = match lua_tonumber(lua, 1) as i64 {
            2 => Protocol::Resp2,
            3 => Protocol::Resp3,
            _ => return Err(push_error(lua, b"RESP version must be 2 or 3.")),
        };
        with_host(lua, |host| host.set_protocol(protocol))?;
        context(lua).protocol.set(protocol);
        Ok(0)
    }
}

unsafe fn set_repl(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: a C function's own frame.
    unsafe {
        if lua_gettop(lua) != 1 {
            return Err(push_error(lua, b"redis.set_repl() requires one argument."));
        }
        let flags = lua_tonumber(lua, 1) as i64;
        let Some(flags) = u8::try_from(flags).ok().filter(|&flags| flags <= ReplFlags::ALL.0)
        else {
            let text = b"Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or \
                         REPL_NONE.";
            return Err(push_error(lua, text));
        };
        with_host(lua, |host| host.set_repl(ReplFlags(flags)))?;
        Ok(0)
    }
}

unsafe fn sha1hex(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: a C function's own frame.
    unsafe {
        if lua_gettop(lua) != 1 {
            return Err(push_error(lua, b"wrong number of arguments"));
        }
        let text = text_at(lua, 1).unwrap_or_default();
        let mut digest = Sha1::new();
        for piece in text.chunks(DIGESTED_BYTES) {
            tick(lua, piece.len() as u64 / 16)?;
            digest.update(piece);
        }
        let mut hex = [0; 40];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(digest.finalize()) {
            pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
        push_bytes(lua, &hex);
        Ok(1)
    }
}

fn hex_digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

/// Whether the function was called with exactly one string; if not, an error table is pushed.
unsafe fn check_one_string(lua: State) -> bool {
    // SAFETY: a C function's own frame.
    unsafe {
        let fine = lua_gettop(lua) == 1 && lua_type(lua, 1) == LUA_TSTRING;
        if !fine {
            // A value to be returned, not an error to be raised.
            let _ = push_error(lua, b"wrong number or type of arguments");
        }
        fine
    }
}

unsafe fn error_reply(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: a C function's own frame.
    unsafe {
        if check_one_string(lua) {
            let text = text_at(lua, 1).unwrap_or_default();
            let text = &text[..text.len().min(ERROR_BYTES_MAX)];
            let text = [b"-", text.strip_prefix(b"-").unwrap_or(text)].concat();
            with_debugger(lua, |debugger| debugger.on_error(&text));
            errors::push_error_table(lua, &text);
        }
        Ok(1)
    }
}

unsafe fn status_reply(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: a C function's own frame.
    unsafe {
        if check_one_string(lua) {
            lua_createtable(lua, 0, 1);
            push_bytes(lua, b"ok");
            lua_pushvalue(lua, 1);
            lua_rawset(lua, -3);
        }
        Ok(1)
    }
}

/// `redis.replicate_commands`: effects are always what is replicated.
unsafe fn replicate_commands(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: a C function's own frame.
    unsafe { lua_pushboolean(lua, 1) };
    Ok(1)
}

/// `redis.breakpoint`: whether a debugger is attached, which then stops before the next line.
unsafe fn breakpoint(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: a C function's own frame.
    unsafe {
        let attached = with_debugger(lua, |debugger| debugger.on_breakpoint()).is_some();
        lua_pushboolean(lua, attached.into());
    }
    Ok(1)
}

/// `redis.debug`: prints to an attached debugger, so without one it does nothing.
unsafe fn debug(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: a C function's own frame; copies are made in host mode and without running code.
    unsafe {
        with_debugger(lua, |debugger| {
            let mut left = DEBUG_VALUES_MAX;
            let values = (1..=lua_gettop(lua)).map(|index| copy(lua, index, 0, &mut left));
            debugger.on_print(&values.collect::<Vec<_>>());
        });
    }
    Ok(0)
}

native!(c_call, call);
native!(c_pcall, pcall);
native!(c_acl_check_cmd, acl_check_cmd);
native!(c_log, log);
native!(c_setresp, setresp);
native!(c_set_repl, set_repl);
native!(c_sha1hex, sha1hex);
native!(c_error_reply, error_reply);
native!(c_status_reply, status_reply);
native!(c_replicate_commands, replicate_commands);
native!(c_breakpoint, breakpoint);
native!(c_debug, debug);

const LOG_LEVELS: [(&CStr, u8); 4] =
    [(c"LOG_DEBUG", 0), (c"LOG_VERBOSE", 1), (c"LOG_NOTICE", 2), (c"LOG_WARNING", 3)];

const REPL_FLAGS: [(&CStr, u8); 5] = [
    (c"REPL_NONE", ReplFlags::NONE.0),
    (c"REPL_AOF", ReplFlags::AOF.0),
    (c"REPL_SLAVE", ReplFlags::REPLICA.0),
    (c"REPL_REPLICA", ReplFlags::REPLICA.0),
    (c"REPL_ALL", ReplFlags::ALL.0),
];

/// Adds functions to the table on top of the stack.
unsafe fn add_functions(lua: State, functions: &[(&CStr, lua_CFunction)]) {
    // SAFETY: see `push_script_api`.
    unsafe {
        for (name, function) in functions {
            lua_pushcclosure(lua, *function, 0);
            lua_setfield(lua, -2, name.as_ptr());
        }
    }
}

/// Adds numbers to the table on top of the stack.
unsafe fn add_numbers(lua: State, numbers: &[(&CStr, u8)]) {
    // SAFETY: see `push_script_api`.
    unsafe {
        for (name, number) in numbers {
            lua_pushnumber(lua, (*number).into());
            lua_setfield(lua, -2, name.as_ptr());
        }
    }
}

/// A table with what every version has: the log and the version.
unsafe fn push_common(lua: State) {
    // SAFETY: see `push_script_api`.
    unsafe {
        lua_createtable(lua, 0, 32);
        add_functions(lua, &[(c"log", c_log)]);
        add_numbers(lua, &LOG_LEVELS);
        lua_pushstring_(lua, VERSION.as_ptr());
        lua_setfield(lua, -2, c"REDIS_VERSION".as_ptr());
        lua_pushnumber(lua, VERSION_NUMBER);
        lua_setfield(lua, -2, c"REDIS_VERSION_NUM".as_ptr());
    }
}

/// Pushes the API of functions.
///
/// # Safety
/// A state that is being built.
pub(crate) unsafe fn push_function_api(lua: *mut lua_State) {
    // SAFETY: see `push_script_api`.
    unsafe {
        push_common(lua);
        add_functions(
            lua,
            &[
                (c"call", c_call),
                (c"pcall", c_pcall),
                (c"setresp", c_setresp),
                (c"sha1hex", c_sha1hex),
                (c"error_reply", c_error_reply),
                (c"status_reply", c_status_reply),
                (c"set_repl", c_set_repl),
                (c"acl_check_cmd", c_acl_check_cmd),
            ],
        );
        add_numbers(lua, &REPL_FLAGS);
    }
}

/// Pushes the API of scripts.
///
/// # Safety
/// A state that is being built, with room on the stack: nothing here can raise.
pub(crate) unsafe fn push_script_api(lua: *mut lua_State) {
    // SAFETY: as promised.
    unsafe {
        push_function_api(lua);
        add_functions(
            lua,
            &[
                (c"replicate_commands", c_replicate_commands),
                (c"breakpoint", c_breakpoint),
                (c"debug", c_debug),
            ],
        );
    }
}

/// Pushes the API of a library that is being loaded.
///
/// # Safety
/// As [`push_script_api`].
pub(crate) unsafe fn push_library_api(lua: *mut lua_State) {
    // SAFETY: as promised.
    unsafe {
        push_common(lua);
        add_functions(lua, &[(c"register_function", c_register_function)]);
    }
}
