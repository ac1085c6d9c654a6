//! The functions of Lua's base library that are not used as they are: those that catch errors,
//! load code, or know nothing of read-only tables and refused finalizers.
//!
//! Every function that catches errors looks whether the run was killed before it lets the script
//! go on, so a killed script cannot stay alive by catching its own end.

use std::ffi::{CStr, c_int};

use mlua::ffi::*;

use crate::errors::check_killed;
use crate::interrupt::tick;
use crate::raise::{LuaError, call_out, native, push_bytes};
use crate::state::{collect, context, load_text, may_go_on};
use crate::stdlib::check_writable;

/// What a piece of source counts at least, for its place in the table of pieces.
const PIECE_BYTES_MIN: usize = 16;

type State = *mut lua_State;

/// "X expected, got Y".
pub(crate) unsafe fn type_error(lua: State, index: c_int, expected: &str) -> LuaError {
    // SAFETY: type names are static strings.
    let got = unsafe { CStr::from_ptr(lua_typename(lua, lua_type(lua, index))) };
    LuaError::arg(index, format!("{expected} expected, got {}", got.to_string_lossy()))
}

pub(crate) unsafe fn check_table(lua: State, index: c_int) -> Result<(), LuaError> {
    // SAFETY: reads one value.
    match unsafe { lua_type(lua, index) } {
        LUA_TTABLE => Ok(()),
        // SAFETY: as above.
        _ => Err(unsafe { type_error(lua, index, "table") }),
    }
}

pub(crate) unsafe fn check_any(lua: State, index: c_int) -> Result<(), LuaError> {
    // SAFETY: reads one value.
    match unsafe { lua_type(lua, index) } {
        LUA_TNONE => Err(LuaError::arg(index, "value expected")),
        _ => Ok(()),
    }
}

/// `pcall`. As in Redis, an error table is given to the script as its text.
unsafe fn pcall(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: a C function's own frame; nothing is owned while calling out.
    unsafe {
        check_any(lua, 1)?;
        let args = lua_gettop(lua) - 1;
        lua_pushboolean(lua, 1);
        lua_insert(lua, 1);
        if call_out(lua, |lua| lua_pcall(lua, args, LUA_MULTRET, 0)) == 0 {
            return Ok(lua_gettop(lua));
        }
        check_killed(lua)?;
        if lua_type(lua, -1) == LUA_TTABLE {
            call_out(lua, |lua| lua_getfield_(lua, -1, c"err".as_ptr()));
            if lua_isstring(lua, -1) != 0 {
                lua_replace(lua, -2);
            }
        }
        lua_pushboolean(lua, 0);
        lua_replace(lua, 1);
        Ok(lua_gettop(lua))
    }
}

/// The error handler of `xpcall`: the script's own (the upvalue), unless the run was killed. It
/// would run with the hook switched off then.
unsafe extern "C-unwind" fn call_handler(lua: State) -> c_int {
    // SAFETY: owns nothing; called by Lua with the error value.
    unsafe {
        if context(lua).killed.get().is_none() {
            lua_pushvalue(lua, lua_upvalueindex(1));
            lua_insert(lua, 1);
            lua_call(lua, 1, 1);
        }
        1
    }
}

unsafe fn xpcall(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: as `pcall`.
    unsafe {
        check_any(lua, 2)?;
        lua_settop(lua, 2);
        lua_pushcclosure(lua, call_handler, 1);
        lua_insert(lua, 1);
        let failed = call_out(lua, |lua| lua_pcall(lua, 0, LUA_MULTRET, 1)) != 0;
        if failed {
            check_killed(lua)?;
        }
        lua_pushboolean(lua, (!failed).into());
        lua_replace(lua, 1);
        Ok(lua_gettop(lua))
    }
}

unsafe fn setmetatable(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: a C function's own frame; both values were checked.
    unsafe {
        check_table(lua, 1)?;
        if !matches!(lua_type(lua, 2), LUA_TNIL | LUA_TTABLE) {
            return Err(LuaError::arg(2, "nil or table expected"));
        }
        check_writable(lua)?;
        if lua_getmetatable(lua, 1) != 0 {
            push_bytes(lua, b"__metatable");
            lua_rawget_(lua, -2);
            if lua_type(lua, -1) != LUA_TNIL {
                return Err(LuaError::msg("cannot change a protected metatable"));
            }
        }
        lua_settop(lua, 2);
        lua_setmetatable(lua, 1);
        Ok(1)
    }
}

unsafe fn rawset(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: a C function's own frame; a bad key raises with nothing owned.
    unsafe {
        check_table(lua, 1)?;
        check_any(lua, 2)?;
        check_any(lua, 3)?;
        lua_settop(lua, 3);
        check_writable(lua)?;
        refuse_finalizer(lua)?;
        call_out(lua, |lua| lua_rawset(lua, 1));
        Ok(1)
    }
}

/// Answers what `load` and `loadstring` do once the compiler is done.
unsafe fn loaded(lua: State, status: c_int) -> Result<c_int, LuaError> {
    // SAFETY: the function or message lies on top of the stack.
    unsafe {
        check_killed(lua)?;
        if status == 0 {
            return Ok(1);
        }
        lua_pushnil(lua);
        lua_insert(lua, -2);
        Ok(2)
    }
}

unsafe fn loadstring(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: both strings lie on the stack while the compiler reads them.
    unsafe {
        let mut len = 0;
        let start = lua_tolstring(lua, 1, &mut len);
        if start.is_null() {
            return Err(type_error(lua, 1, "string"));
        }
        let name = match lua_type(lua, 2) {
            LUA_TNONE | LUA_TNIL => start,
            _ => lua_tolstring(lua, 2, std::ptr::null_mut()),
        };
        if name.is_null() {
            return Err(type_error(lua, 2, "string"));
        }
        let source = std::slice::from_raw_parts(start.cast(), len);
        tick(lua, len as u64 / 8)?;
        let status = call_out(lua, |lua| load_text(lua, source, CStr::from_ptr(name)));
        loaded(lua, status)
    }
}

/// Calls the reader function (index 1) until it ends and answers the joined pieces as a userdata.
/// Runs protected.
unsafe extern "C-unwind" fn read_pieces(lua: State) -> c_int {
    // SAFETY: pieces are anchored in a table; the block is filled up to the size it was made
    // for; nothing is owned.
    unsafe {
        lua_settop(lua, 1);
        lua_createtable(lua, 0, 0);
        let (mut pieces, mut total, mut held) = (0, 0usize, 0usize);
        loop {
            lua_pushvalue(lua, 1);
            lua_call(lua, 0, 1);
            let mut len = 0;
            match lua_type(lua, -1) {
                LUA_TNIL => break,
                // A number is converted where it lies.
                LUA_TSTRING | LUA_TNUMBER => lua_tolstring(lua, -1, &mut len),
                _ => luaL_error(lua, c"reader function must return a string".as_ptr()) as _,
            };
            if len == 0 {
                break;
            }
            total = total.saturating_add(len);
            held = held.saturating_add(len.max(PIECE_BYTES_MIN));
            if held > crate::state::SOURCE_BYTES_MAX {
                luaL_error(lua, c"chunk is too long".as_ptr());
            }
            pieces += 1;
            lua_rawseti_(lua, 2, pieces);
        }
        let block: *mut u8 = lua_newuserdata(lua, total.max(1)).cast();
        let mut at = 0;
        for index in 1..=pieces {
            lua_rawgeti_(lua, 2, index);
            let mut len = 0;
            let start = lua_tolstring(lua, -1, &mut len);
            std::ptr::copy_nonoverlapping(start.cast(), block.add(at), len);
            at += len;
            lua_pop(lua, 1);
        }
        lua_pushnumber(lua, total as f64);
        2
    }
}

unsafe fn load(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: the block lies on the stack while the compiler reads it.
    unsafe {
        if lua_type(lua, 1) != LUA_TFUNCTION {
            return Err(type_error(lua, 1, "function"));
        }
        let name = match lua_type(lua, 2) {
            LUA_TNONE | LUA_TNIL => c"=(load)".as_ptr(),
            _ => lua_tolstring(lua, 2, std::ptr::null_mut()),
        };
        if name.is_null() {
            return Err(type_error(lua, 2, "string"));
        }
        lua_pushcclosure(lua, read_pieces, 0);
        lua_pushvalue(lua, 1);
        let status = call_out(lua, |lua| lua_pcall(lua, 1, 2, 0));
        if status != 0 {
            return loaded(lua, status);
        }
        let len = lua_tonumber(lua, -1) as usize;
        let source = std::slice::from_raw_parts(lua_touserdata(lua, -2).cast::<u8>(), len);
        tick(lua, len as u64 / 8)?;
        let status = call_out(lua, |lua| load_text(lua, source, CStr::from_ptr(name)));
        loaded(lua, status)
    }
}

/// `setfenv`, noted so that what it changed is put back after the run.
unsafe extern "C-unwind" fn c_setfenv(lua: State) -> c_int {
    // SAFETY: Lua's own function on its own arguments; nothing is owned.
    unsafe {
        let context = context(lua);
        context.environment_changed.set(true);
        match context.stock_setfenv.get() {
            Some(setfenv) => setfenv(lua),
            None => 0,
        }
    }
}

/// `collectgarbage`. What would outlast the script (stop, restart, pace) changes nothing.
unsafe fn collectgarbage(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: a C function's own frame; no finalizers exist, so a collection runs no code.
    unsafe {
        let mut len = 0;
        let option = match lua_type(lua, 1) {
            LUA_TNONE | LUA_TNIL => b"collect",
            _ => {
                let start = lua_tolstring(lua, 1, &mut len);
                if start.is_null() {
                    return Err(type_error(lua, 1, "string"));
                }
                std::slice::from_raw_parts(start.cast::<u8>(), len)
            }
        };
        match option {
            b"collect" => {
                collect(lua, || may_go_on(lua));
                check_killed(lua)?;
                lua_pushnumber(lua, 0.0);
            }
            b"step" => {
                let size = lua_tonumber(lua, 2).clamp(0.0, 64.0);
                may_go_on(lua);
                check_killed(lua)?;
                lua_pushboolean(lua, lua_gc(lua, LUA_GCSTEP, size as c_int));
            }
            b"count" => {
                let low = lua_gc(lua, LUA_GCCOUNTB, 0);
                lua_pushnumber(
                    lua,
                    f64::from(lua_gc(lua, LUA_GCCOUNT, 0)) + f64::from(low) / 1024.0,
                );
            }
            b"stop" | b"restart" => lua_pushnumber(lua, 0.0),
            b"setpause" | b"setstepmul" => lua_pushnumber(lua, 200.0),
            other => return Err(LuaError::arg_quoting(1, "invalid option '", other, "'")),
        }
        Ok(1)
    }
}

/// `newproxy`; the guard, a metatable of metatables, is the upvalue.
///
/// Finalizers would run at any time and in any later script, so `__gc` must never get into a
/// userdata's metatable: new fields pass the guard, and `rawset` asks it.
unsafe fn newproxy(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: a C function's own frame.
    unsafe {
        lua_settop(lua, 1);
        lua_newuserdata(lua, 0);
        match lua_type(lua, 1) {
            LUA_TBOOLEAN if lua_toboolean(lua, 1) != 0 => {
                lua_createtable(lua, 0, 1);
                lua_pushvalue(lua, lua_upvalueindex(1));
                lua_setmetatable(lua, -2);
            }
            LUA_TNIL | LUA_TNONE | LUA_TBOOLEAN => return Ok(1),
            LUA_TUSERDATA if lua_getmetatable(lua, 1) != 0 => {}
            _ => return Err(LuaError::arg(1, "boolean or proxy expected")),
        }
        lua_setmetatable(lua, 2);
        lua_settop(lua, 2);
        Ok(1)
    }
}

const FINALIZER: &[u8] = b"__gc";

/// For `rawset` with table, key and value on the stack.
unsafe fn refuse_finalizer(lua: State) -> Result<(), LuaError> {
    let mut len = 0;
    // SAFETY: the bytes are compared while the key lies on the stack.
    unsafe {
        if lua_type(lua, 2) != LUA_TSTRING {
            return Ok(());
        }
        let start = lua_tolstring(lua, 2, &mut len);
        if std::slice::from_raw_parts(start.cast::<u8>(), len) != FINALIZER {
            return Ok(());
        }
    }
    Err(LuaError::msg("finalizers are not available"))
}

/// `__newindex` of metatables of userdata.
unsafe fn guarded_newindex(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: a C function's own frame, entered with table, key and value.
    unsafe {
        check_table(lua, 1)?;
        lua_settop(lua, 3);
        refuse_finalizer(lua)?;
        call_out(lua, |lua| lua_rawset(lua, 1));
        Ok(0)
    }
}

native!(always c_pcall, pcall);
native!(always c_xpcall, xpcall);
native!(c_setmetatable, setmetatable);
native!(calling c_rawset, rawset);
native!(calling c_loadstring, loadstring);
native!(calling c_load, load);
native!(always c_collectgarbage, collectgarbage);
native!(c_newproxy, newproxy);
native!(calling c_guarded_newindex, guarded_newindex);

/// Replaces functions of the base library, which is open already, in the current globals.
///
/// # Safety
/// A fresh state of this crate.
pub(crate) unsafe fn open_base(lua: *mut lua_State) {
    let functions: [(&CStr, lua_CFunction); 8] = [
        (c"pcall", c_pcall),
        (c"xpcall", c_xpcall),
        (c"setmetatable", c_setmetatable),
        (c"rawset", c_rawset),
        (c"loadstring", c_loadstring),
        (c"load", c_load),
        (c"setfenv", c_setfenv),
        (c"collectgarbage", c_collectgarbage),
    ];
    // SAFETY: memory is not refused while a state is built.
    unsafe {
        lua_getglobal_(lua, c"setfenv".as_ptr());
        context(lua).stock_setfenv.set(lua_tocfunction(lua, -1));
        lua_pop(lua, 1);
        for (name, function) in functions {
            lua_pushcclosure(lua, function, 0);
            lua_setglobal(lua, name.as_ptr());
        }
        lua_createtable(lua, 0, 2);
        lua_pushcclosure(lua, c_guarded_newindex, 0);
        lua_setfield(lua, -2, c"__newindex".as_ptr());
        lua_pushboolean(lua, 0);
        lua_setfield(lua, -2, c"__metatable".as_ptr());
        lua_pushcclosure(lua, c_newproxy, 1);
        lua_setglobal(lua, c"newproxy".as_ptr());
    }
}
