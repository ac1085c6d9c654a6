//! What scripts see: three sets of globals, all of them read-only.
//!
//! Every shared table is [frozen](crate::vm::freeze), metatables included; the host alone can change
//! one. Invariant: nothing reachable from a script is
//! both shared between runs and writable, but the upvalues of library functions, which exist to
//! keep state, and `KEYS` and `ARGV`, which are checked after every run.
//!
//! - Scripts see `SCRIPT_ENV` with `KEYS` and `ARGV`.
//! - Functions see `FUNCTION_ENV`. Code keeps the globals it was compiled with, so while a library
//!   is loaded the contents of that table are exchanged with those of `LIBRARY_ENV`, which has
//!   little more than `redis.register_function`.

use std::ffi::{CStr, c_int};

use mlua::ffi::*;

use crate::api;
use crate::base::open_base;
use crate::coroutine::open_coroutine;
use crate::errors::handle_error;
use crate::raise::{LuaError, native, push_bytes};
use crate::state::slot;
use crate::stdlib::open_all;
use crate::vm::{exchange, freeze, freeze_metatable, open, set_in_frozen};

type State = *mut lua_State;

/// Functions of the base library that scripts may use.
const BASE_FUNCTIONS: [&CStr; 26] = [
    c"xpcall",
    c"tostring",
    c"getfenv",
    c"setmetatable",
    c"next",
    c"assert",
    c"tonumber",
    c"rawequal",
    c"collectgarbage",
    c"getmetatable",
    c"rawset",
    c"pcall",
    c"type",
    c"select",
    c"unpack",
    c"gcinfo",
    c"pairs",
    c"rawget",
    c"loadstring",
    c"ipairs",
    c"_VERSION",
    c"setfenv",
    c"load",
    c"error",
    c"newproxy",
    c"__redis__err__handler",
];

/// Libraries that scripts may use.
const LIBRARIES: [&CStr; 9] =
    [c"string", c"cjson", c"bit", c"cmsgpack", c"math", c"table", c"struct", c"coroutine", c"os"];

/// `__index` of global tables, reached for names that do not exist.
unsafe fn refuse_read(lua: State) -> Result<c_int, LuaError> {
    let mut len = 0;
    // SAFETY: a C function's own frame; the bytes are copied at once.
    unsafe {
        if lua_gettop(lua) != 2 {
            let text = "Wrong number of arguments to luaProtectedTableError";
            return Err(LuaError::msg(text));
        }
        let start = lua_tolstring(lua, 2, &mut len);
        if start.is_null() {
            let text = "Second argument to luaProtectedTableError must be a string or number";
            return Err(LuaError::msg(text));
        }
        let name = CStr::from_ptr(start).to_bytes();
        let before = &b"Script attempted to access nonexistent global variable '"[..];
        Err(LuaError::Bytes([before, name, b"'"].concat()))
    }
}

native!(c_refuse_read, refuse_read);

/// Gives the table on top of the stack a metatable that raises for missing names.
unsafe fn refuse_missing(lua: State) {
    // SAFETY: memory is not refused while a state is built; room is left by its builder.
    unsafe {
        lua_createtable(lua, 0, 1);
        lua_pushcclosure(lua, c_refuse_read, 0);
        lua_setfield(lua, -2, c"__index".as_ptr());
        freeze_metatable(lua, -1);
        lua_setmetatable(lua, -2);
    }
}

/// Fills the slots of a fresh state.
///
/// # Safety
/// `lua` is the main thread of a fresh state with an empty stack.
pub(crate) unsafe fn build(lua: *mut lua_State) {
    // SAFETY: memory is not refused yet, and nothing else here can raise: every table is fresh.
    // The stack never holds more than the slots and a handful of values.
    unsafe {
        lua_checkstack(lua, 100);
        open_libraries(lua);
        lua_pushcclosure(lua, handle_error, 0);
        lua_createtable(lua, 0, 0);
        lua_createtable(lua, 0, 0);
        for _ in slot::SCRIPT_ENV..=slot::TOP {
            lua_pushnil(lua);
        }
        build_globals(lua, slot::SCRIPT_ENV, api::push_script_api);
        set_argument_tables(lua);
        build_globals(lua, slot::FUNCTION_ENV, api::push_function_api);
        build_library_globals(lua);
        use_globals(lua, slot::SCRIPT_ENV);
    }
}

/// Makes `env` the globals of code that is compiled from now on.
///
/// # Safety
/// The main thread of a built state, not running.
pub(crate) unsafe fn use_globals(lua: *mut lua_State, env: c_int) {
    // SAFETY: the slot holds a table.
    unsafe {
        lua_pushvalue(lua, env);
        lua_replace(lua, LUA_GLOBALSINDEX);
    }
}

/// Makes the tables in the slots `KEYS` and `ARGV` the globals of these names.
///
/// # Safety
/// As [`use_globals`].
pub(crate) unsafe fn set_argument_tables(lua: *mut lua_State) {
    // SAFETY: the slots hold tables, and nothing runs while one of them may be changed.
    unsafe {
        for (slot, name) in [(slot::KEYS, &b"KEYS"[..]), (slot::ARGV, &b"ARGV"[..])] {
            push_bytes(lua, name);
            lua_pushvalue(lua, slot);
            set_in_frozen(lua, slot::SCRIPT_ENV);
        }
    }
}

/// Lets code of functions see the globals of libraries that are being loaded, or its own again.
///
/// # Safety
/// As [`use_globals`].
pub(crate) unsafe fn switch_library_globals(lua: *mut lua_State) {
    // SAFETY: the slots hold tables.
    unsafe { exchange(lua, slot::FUNCTION_ENV, slot::LIBRARY_ENV) }
}

/// Opens everything in the state's first globals, which scripts never see, and marks each library
/// there.
unsafe fn open_libraries(lua: State) {
    // SAFETY: as `build`.
    unsafe {
        for open in [luaopen_base as lua_CFunction, luaopen_os] {
            lua_pushcclosure(lua, open, 0);
            lua_pushstring_(lua, c"".as_ptr());
            lua_call(lua, 1, 0);
        }
        keep_only_clock(lua);
        open_base(lua);
        open(lua);
        open_coroutine(lua);
        open_all(lua);
        lua_pushcclosure(lua, handle_error, 0);
        lua_setglobal(lua, c"__redis__err__handler".as_ptr());
        for name in LIBRARIES {
            lua_getglobal_(lua, name.as_ptr());
            freeze(lua, -1);
        }
        lua_pushstring_(lua, c"".as_ptr());
        if lua_getmetatable(lua, -1) != 0 {
            freeze_metatable(lua, -1);
        }
        lua_settop(lua, 0);
    }
}

/// Replaces the global `os` by a table with nothing but `clock`.
unsafe fn keep_only_clock(lua: State) {
    // SAFETY: as `build`.
    unsafe {
        lua_createtable(lua, 0, 1);
        lua_getglobal_(lua, c"os".as_ptr());
        lua_getfield_(lua, -1, c"clock".as_ptr());
        lua_setfield(lua, -3, c"clock".as_ptr());
        lua_pop(lua, 1);
        lua_setglobal(lua, c"os".as_ptr());
    }
}

/// Fills the slot of a set of globals.
unsafe fn build_globals(lua: State, env: c_int, push_api: unsafe fn(State)) {
    // SAFETY: as `build`.
    unsafe {
        lua_createtable(lua, 0, 64);
        for name in BASE_FUNCTIONS.iter().chain(&LIBRARIES) {
            lua_getglobal_(lua, name.as_ptr());
            lua_setfield(lua, -2, name.as_ptr());
        }
        push_api(lua);
        set_api(lua);
        lua_pushvalue(lua, -1);
        lua_setfield(lua, -2, c"_G".as_ptr());
        refuse_missing(lua);
        freeze(lua, -1);
        lua_replace(lua, env);
    }
}

/// Stores the API on top of the stack into the globals below it, under both of its names.
unsafe fn set_api(lua: State) {
    // SAFETY: as `build`.
    unsafe {
        freeze(lua, -1);
        lua_pushvalue(lua, -1);
        lua_setfield(lua, -3, c"redis".as_ptr());
        lua_setfield(lua, -2, c"server".as_ptr());
    }
}

unsafe fn build_library_globals(lua: State) {
    // SAFETY: as `build`.
    unsafe {
        lua_createtable(lua, 0, 2);
        api::push_library_api(lua);
        refuse_missing(lua);
        set_api(lua);
        refuse_missing(lua);
        freeze(lua, -1);
        lua_replace(lua, slot::LIBRARY_ENV);
    }
}
