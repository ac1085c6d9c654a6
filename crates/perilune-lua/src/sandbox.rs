//! What scripts see: three sets of globals, all of them read-only.
//!
//! Stock Lua has no read-only tables. So a shared table is hidden behind a *proxy*: an empty table
//! whose metatable leads reads to the real one (`__index` as a table costs one more lookup and no
//! call) and answers writes with an error. Functions that go past metatables know proxies by a
//! mark in the metatable; scripts never get hold of a real table or of a proxy's metatable.
//! Invariant: nothing reachable from a script is both shared between runs and writable, but the
//! upvalues of library functions, which exist to keep state.
//!
//! - Scripts see `SCRIPT_GLOBALS` with `KEYS` and `ARGV`.
//! - Functions see `FUNCTION_GLOBALS`; while their library is loaded the same `_G` shows
//!   `LIBRARY_GLOBALS`, which has little more than `redis.register_function`.

use std::ffi::{CStr, c_int};

use mlua::ffi::*;

use crate::api;
use crate::base::open_base;
use crate::coroutine::open_coroutine;
use crate::errors::{READONLY, handle_error};
use crate::raise::{LuaError, native, push_bytes};
use crate::state::slot;
use crate::stdlib::{mark_readonly, open_all};

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

/// Field of a proxy's metatable: what `getmetatable` answers for the proxy.
const PUBLIC_METATABLE: &CStr = c"public";

/// `__newindex` of proxies.
unsafe fn refuse_write(_lua: State) -> Result<c_int, LuaError> {
    Err(LuaError::msg(READONLY))
}

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

native!(c_refuse_write, refuse_write);
native!(c_refuse_read, refuse_read);

/// Replaces the table on top of the stack by a proxy of it. Below it lies the metatable that
/// scripts shall see, or nil; it is removed.
unsafe fn protect(lua: State) {
    // SAFETY: memory is not refused while a state is built; room is left by its builder.
    unsafe {
        lua_createtable(lua, 0, 0);
        lua_createtable(lua, 0, 4);
        lua_pushvalue(lua, -3);
        lua_setfield(lua, -2, c"__index".as_ptr());
        lua_pushcclosure(lua, c_refuse_write, 0);
        lua_setfield(lua, -2, c"__newindex".as_ptr());
        lua_pushvalue(lua, -4);
        lua_setfield(lua, -2, PUBLIC_METATABLE.as_ptr());
        mark_readonly(lua);
        lua_setmetatable(lua, -2);
        lua_replace(lua, -3);
        lua_pop(lua, 1);
    }
}

/// [`protect`] for a table that shows no metatable.
unsafe fn protect_plain(lua: State) {
    // SAFETY: as `protect`.
    unsafe {
        lua_pushnil(lua);
        lua_insert(lua, -2);
        protect(lua);
    }
}

/// Gives the table on top of the stack a metatable that raises for missing names. Leaves a
/// protected copy of that metatable below the table.
unsafe fn refuse_missing(lua: State) {
    // SAFETY: as `protect`.
    unsafe {
        lua_createtable(lua, 0, 1);
        lua_pushcclosure(lua, c_refuse_read, 0);
        lua_setfield(lua, -2, c"__index".as_ptr());
        lua_pushvalue(lua, -1);
        lua_setmetatable(lua, -3);
        protect_plain(lua);
        lua_insert(lua, -2);
    }
}

/// Pushes the metatable of a proxy.
unsafe fn push_proxy_metatable(lua: State, index: c_int) -> bool {
    // SAFETY: two slots of the caller's frame; values are read raw.
    unsafe {
        if lua_type(lua, index) != LUA_TTABLE || lua_getmetatable(lua, index) == 0 {
            return false;
        }
        let is_proxy = crate::stdlib::is_marked_readonly(lua);
        if !is_proxy {
            lua_pop(lua, 1);
        }
        is_proxy
    }
}

/// Whether the value at `index` is a shared table.
///
/// # Safety
/// `lua` is a state of this crate; two slots are free.
pub(crate) unsafe fn is_protected(lua: *mut lua_State, index: c_int) -> bool {
    // SAFETY: as promised.
    unsafe {
        let is_proxy = push_proxy_metatable(lua, index);
        if is_proxy {
            lua_pop(lua, 1);
        }
        is_proxy
    }
}

/// Pushes the table behind the proxy at `index`, if that is one. Never to be given to a script.
///
/// # Safety
/// As [`is_protected`].
pub(crate) unsafe fn push_real_table(lua: *mut lua_State, index: c_int) -> bool {
    // SAFETY: as promised.
    unsafe {
        if !push_proxy_metatable(lua, index) {
            return false;
        }
        push_bytes(lua, b"__index");
        lua_rawget_(lua, -2);
        lua_remove(lua, -2);
        true
    }
}

/// Pushes what scripts may see of the metatable of the proxy or string at `index`, if it is one.
///
/// # Safety
/// As [`is_protected`].
pub(crate) unsafe fn push_public_metatable(lua: *mut lua_State, index: c_int) -> bool {
    // SAFETY: as promised.
    unsafe {
        let found = match lua_type(lua, index) {
            LUA_TSTRING => lua_getmetatable(lua, index) != 0,
            _ => push_proxy_metatable(lua, index),
        };
        if found {
            push_bytes(lua, PUBLIC_METATABLE.to_bytes());
            lua_rawget_(lua, -2);
            lua_remove(lua, -2);
        }
        found
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
        build_globals(lua, slot::SCRIPT_ENV, slot::SCRIPT_GLOBALS, api::push_script_api);
        set_argument_tables(lua);
        build_globals(lua, slot::FUNCTION_ENV, slot::FUNCTION_GLOBALS, api::push_function_api);
        lua_getmetatable(lua, slot::FUNCTION_ENV);
        lua_replace(lua, slot::FUNCTION_ENV_META);
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
    // SAFETY: the slots hold tables.
    unsafe {
        for (slot, name) in [(slot::KEYS, &b"KEYS"[..]), (slot::ARGV, &b"ARGV"[..])] {
            push_bytes(lua, name);
            lua_pushvalue(lua, slot);
            lua_rawset(lua, slot::SCRIPT_GLOBALS);
        }
    }
}

/// Lets functions see the globals in a slot.
///
/// # Safety
/// As [`use_globals`].
pub(crate) unsafe fn show_to_functions(lua: *mut lua_State, globals: c_int) {
    // SAFETY: the slots hold tables.
    unsafe {
        push_bytes(lua, b"__index");
        lua_pushvalue(lua, globals);
        lua_rawset(lua, slot::FUNCTION_ENV_META);
    }
}

/// Opens everything in the state's first globals, which scripts never see, and protects each
/// library there.
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
        open_coroutine(lua);
        open_all(lua);
        lua_pushcclosure(lua, handle_error, 0);
        lua_setglobal(lua, c"__redis__err__handler".as_ptr());
        for name in LIBRARIES {
            lua_getglobal_(lua, name.as_ptr());
            protect_plain(lua);
            lua_setglobal(lua, name.as_ptr());
        }
        show_string_metatable(lua);
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

/// Gives the metatable of strings its public face, whose `__index` is the proxy of `string`.
unsafe fn show_string_metatable(lua: State) {
    // SAFETY: as `build`; `open_all` set the metatable.
    unsafe {
        lua_pushstring_(lua, c"".as_ptr());
        if lua_getmetatable(lua, -1) != 0 {
            lua_createtable(lua, 0, 1);
            lua_getglobal_(lua, c"string".as_ptr());
            lua_setfield(lua, -2, c"__index".as_ptr());
            protect_plain(lua);
            lua_setfield(lua, -2, PUBLIC_METATABLE.as_ptr());
        }
        lua_settop(lua, 0);
    }
}

/// Fills the slots of a set of globals and of its proxy.
unsafe fn build_globals(lua: State, env: c_int, globals: c_int, push_api: unsafe fn(State)) {
    // SAFETY: as `build`.
    unsafe {
        lua_createtable(lua, 0, 64);
        for name in BASE_FUNCTIONS.iter().chain(&LIBRARIES) {
            lua_getglobal_(lua, name.as_ptr());
            lua_setfield(lua, -2, name.as_ptr());
        }
        push_api(lua);
        protect_plain(lua);
        set_api(lua);
        lua_pushvalue(lua, -1);
        lua_replace(lua, globals);
        refuse_missing(lua);
        protect(lua);
        lua_pushvalue(lua, -1);
        lua_replace(lua, env);
        push_bytes(lua, b"_G");
        lua_insert(lua, -2);
        lua_rawset(lua, globals);
        lua_settop(lua, slot::TOP);
    }
}

/// Stores the API on top of the stack into the globals below it, under both of its names.
unsafe fn set_api(lua: State) {
    // SAFETY: as `build`.
    unsafe {
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
        protect(lua);
        set_api(lua);
        lua_pushvalue(lua, -1);
        lua_replace(lua, slot::LIBRARY_GLOBALS);
        refuse_missing(lua);
        lua_settop(lua, slot::TOP);
    }
}
