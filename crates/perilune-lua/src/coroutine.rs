//! The `coroutine` library. Lua's own would hand a killed script its error as a value.

use std::ffi::{CStr, c_int};

use mlua::ffi::*;

use crate::base::type_error;
use crate::errors::check_killed;
use crate::interrupt::{BUDGET_UNITS, tick};
use crate::raise::{LuaError, call_out, native, push_bytes};
use crate::state::context;
use crate::vm::share_level;

type State = *mut lua_State;

/// Work units of a resumption. Each thread counts its instructions by itself, and may give control
/// back before its count is full.
const RESUME_COST: u64 = BUDGET_UNITS as u64 / 8;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Running,
    Suspended,
    Normal,
    Dead,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Suspended => "suspended",
            Status::Normal => "normal",
            Status::Dead => "dead",
        }
    }
}

unsafe fn status_of(lua: State, coroutine: State) -> Status {
    if lua == coroutine {
        return Status::Running;
    }
    // SAFETY: both threads are alive: one runs, the other lies on its stack.
    unsafe {
        match lua_status(coroutine) {
            LUA_YIELD => Status::Suspended,
            LUA_OK => {
                let mut record: lua_Debug = std::mem::zeroed();
                if lua_getstack(coroutine, 0, &mut record) > 0 {
                    Status::Normal
                } else if lua_gettop(coroutine) == 0 {
                    Status::Dead
                } else {
                    Status::Suspended
                }
            }
            _ => Status::Dead,
        }
    }
}

unsafe fn check_thread(lua: State) -> Result<State, LuaError> {
    // SAFETY: reads one value.
    let coroutine = unsafe { lua_tothread(lua, 1) };
    if coroutine.is_null() { Err(LuaError::arg(1, "coroutine expected")) } else { Ok(coroutine) }
}

/// Resumes with `args` arguments from the top of the stack. The number of results, or an error
/// value on top.
unsafe fn resume_with(
    lua: State,
    coroutine: State,
    args: c_int,
) -> Result<Option<c_int>, LuaError> {
    // SAFETY: values are moved between threads of one state after making room; `lua_resume`
    // catches errors itself.
    unsafe {
        if lua_checkstack(coroutine, args) == 0 {
            return Err(LuaError::msg("too many arguments to resume"));
        }
        let status = status_of(lua, coroutine);
        if status != Status::Suspended {
            let text = format!("cannot resume {} coroutine", status.name());
            push_bytes(lua, text.as_bytes());
            return Ok(None);
        }
        tick(lua, RESUME_COST)?;
        lua_xmove(lua, coroutine, args);
        share_level(lua, coroutine);
        let context = context(lua);
        context.arm(coroutine);
        context.thread.set(coroutine);
        let status = call_out(lua, |_| lua_resume_(coroutine, args));
        context.thread.set(lua);
        context.arm(lua);
        if status != LUA_OK && status != LUA_YIELD {
            check_killed(lua)?;
            lua_xmove(coroutine, lua, 1);
            return Ok(None);
        }
        let results = lua_gettop(coroutine);
        if lua_checkstack(lua, results + 1) == 0 {
            return Err(LuaError::msg("too many results to resume"));
        }
        lua_xmove(coroutine, lua, results);
        Ok(Some(results))
    }
}

unsafe fn resume(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: a C function's own frame.
    unsafe {
        let coroutine = check_thread(lua)?;
        let results = resume_with(lua, coroutine, lua_gettop(lua) - 1)?;
        lua_pushboolean(lua, results.is_some().into());
        let count = results.unwrap_or(1) + 1;
        lua_insert(lua, -count);
        Ok(count)
    }
}

/// What `wrap` returns; the coroutine is the upvalue.
unsafe fn wrapped(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: a C function's own frame.
    unsafe {
        let coroutine = lua_tothread(lua, lua_upvalueindex(1));
        if let Some(results) = resume_with(lua, coroutine, lua_gettop(lua))? {
            return Ok(results);
        }
        if lua_isstring(lua, -1) != 0 {
            luaL_where(lua, 1);
            lua_insert(lua, -2);
            call_out(lua, |lua| lua_concat(lua, 2));
        }
        Err(LuaError::OnStack)
    }
}

unsafe fn create(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: a C function's own frame.
    unsafe {
        if lua_type(lua, 1) != LUA_TFUNCTION || lua_iscfunction(lua, 1) != 0 {
            return Err(LuaError::arg(1, "Lua function expected"));
        }
        let coroutine = lua_newthread(lua);
        lua_pushvalue(lua, 1);
        lua_xmove(lua, coroutine, 1);
        Ok(1)
    }
}

unsafe fn wrap(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: the coroutine is on top.
    unsafe {
        create(lua)?;
        lua_pushcclosure(lua, c_wrapped, 1);
        Ok(1)
    }
}

unsafe fn status(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: a C function's own frame.
    unsafe {
        if lua_type(lua, 1) == LUA_TNONE {
            return Err(type_error(lua, 1, "coroutine"));
        }
        let name = status_of(lua, check_thread(lua)?).name();
        push_bytes(lua, name.as_bytes());
        Ok(1)
    }
}

unsafe fn running(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: a C function's own frame.
    unsafe {
        if lua_pushthread(lua) != 0 {
            lua_pushnil(lua);
        }
        Ok(1)
    }
}

/// `yield` leaves by its return value, and raises where it is not allowed.
unsafe extern "C-unwind" fn c_yield(lua: State) -> c_int {
    // SAFETY: owns nothing; the result is handed on as Lua asks.
    unsafe { lua_yield(lua, lua_gettop(lua)) }
}

native!(c_create, create);
native!(calling c_resume, resume);
native!(c_running, running);
native!(c_status, status);
native!(c_wrap, wrap);
native!(calling c_wrapped, wrapped);

/// Sets the global `coroutine`.
///
/// # Safety
/// A fresh state of this crate.
pub(crate) unsafe fn open_coroutine(lua: *mut lua_State) {
    let functions: [(&CStr, lua_CFunction); 6] = [
        (c"create", c_create),
        (c"resume", c_resume),
        (c"running", c_running),
        (c"status", c_status),
        (c"wrap", c_wrap),
        (c"yield", c_yield),
    ];
    // SAFETY: memory is not refused while a state is built.
    unsafe {
        lua_createtable(lua, 0, 6);
        for (name, function) in functions {
            lua_pushcclosure(lua, function, 0);
            lua_setfield(lua, -2, name.as_ptr());
        }
        lua_setglobal(lua, c"coroutine".as_ptr());
    }
}
