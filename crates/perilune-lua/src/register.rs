//! `redis.register_function`: what a library declares while it is loaded.

use std::ffi::c_int;

use mlua::ffi::*;
use perilune_script::ScriptFlags;

use crate::errors::push_error;
use crate::interrupt::tick;
use crate::raise::{LuaError, native};
use crate::state::context;

type State = *mut lua_State;

/// Work units of one flag, however often it is listed.
const FLAG_COST: u64 = 16;

/// A function that was registered; its code is anchored in the registry.
pub(crate) struct Registered {
    pub(crate) name: Vec<u8>,
    pub(crate) description: Option<Vec<u8>>,
    pub(crate) flags: ScriptFlags,
    pub(crate) code: c_int,
}

/// The library that is being loaded.
#[derive(Default)]
pub(crate) struct LibraryDraft {
    pub(crate) functions: Vec<Registered>,
}

/// The arguments of one registration. The code lies at the given place of the stack.
#[derive(Default)]
struct Declaration {
    name: Option<Vec<u8>>,
    description: Option<Vec<u8>>,
    flags: ScriptFlags,
    code: Option<c_int>,
}

unsafe fn register_function(lua: State) -> Result<c_int, LuaError> {
    // SAFETY: a C function's own frame.
    unsafe {
        if context(lua).draft.borrow().is_none() {
            let text = b"redis.register_function can only be called on FUNCTION LOAD command";
            return Err(push_error(lua, text));
        }
        let declaration = match lua_gettop(lua) {
            1 => named_arguments(lua),
            2 => positional_arguments(lua),
            _ => Err(Refusal::Text(b"wrong number of arguments to redis.register_function")),
        };
        match declaration.and_then(|declaration| declare(lua, declaration)) {
            Ok(()) => Ok(0),
            Err(Refusal::Text(text)) => Err(push_error(lua, text)),
            Err(Refusal::Ended(error)) => Err(error),
        }
    }
}

/// Why a declaration is not taken.
enum Refusal {
    /// It is not as it must be.
    Text(&'static [u8]),
    /// The run is to end.
    Ended(LuaError),
}

impl From<LuaError> for Refusal {
    fn from(error: LuaError) -> Self {
        Refusal::Ended(error)
    }
}

/// Adds a complete declaration to the draft.
unsafe fn declare(lua: State, declaration: Declaration) -> Result<(), Refusal> {
    let Some(name) = declaration.name else {
        return Err(Refusal::Text(b"redis.register_function must get a function name argument"));
    };
    let Some(code) = declaration.code else {
        return Err(Refusal::Text(b"redis.register_function must get a callback argument"));
    };
    let is_fine = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    if name.is_empty() || !name.iter().all(is_fine) {
        return Err(Refusal::Text(
            b"Library names can only contain letters, numbers, or underscores(_) and must \
                     be at least one character long",
        ));
    }
    // SAFETY: the code lies on the stack; host mode keeps `luaL_ref` from raising.
    unsafe {
        let mut draft = context(lua).draft.borrow_mut();
        let Some(draft) = draft.as_mut() else { return Ok(()) };
        if draft.functions.iter().any(|other| other.name == name) {
            return Err(Refusal::Text(b"Function already exists in the library"));
        }
        lua_pushvalue(lua, code);
        let code = luaL_ref(lua, LUA_REGISTRYINDEX);
        let Declaration { description, flags, .. } = declaration;
        draft.functions.push(Registered { name, description, flags, code });
    }
    Ok(())
}

unsafe fn positional_arguments(lua: State) -> Result<Declaration, Refusal> {
    // SAFETY: a C function's own frame.
    unsafe {
        let Some(name) = text_at(lua, 1) else {
            return Err(Refusal::Text(
                b"first argument to redis.register_function must be a string",
            ));
        };
        if lua_type(lua, 2) != LUA_TFUNCTION {
            return Err(Refusal::Text(
                b"second argument to redis.register_function must be a function",
            ));
        }
        Ok(Declaration { name: Some(name), code: Some(2), ..Declaration::default() })
    }
}

unsafe fn named_arguments(lua: State) -> Result<Declaration, Refusal> {
    // SAFETY: a C function's own frame; the table is walked with the keys it answers and does not
    // change meanwhile.
    unsafe {
        if lua_type(lua, 1) != LUA_TTABLE {
            return Err(Refusal::Text(
                b"calling redis.register_function with a single argument is only \
                         applicable to Lua table (representing named arguments).",
            ));
        }
        let mut declaration = Declaration::default();
        // Index 2 will keep the code while the walk goes on above it.
        lua_pushnil(lua);
        lua_pushnil(lua);
        while lua_next(lua, 1) != 0 {
            if lua_type(lua, -2) != LUA_TSTRING {
                return Err(Refusal::Text(
                    b"named argument key given to redis.register_function is not a string",
                ));
            }
            named_argument(lua, &mut declaration)?;
            lua_settop(lua, 3);
        }
        Ok(declaration)
    }
}

/// Takes one argument: the key at 3, the value at 4.
unsafe fn named_argument(lua: State, declaration: &mut Declaration) -> Result<(), Refusal> {
    // SAFETY: as `named_arguments`.
    unsafe {
        let key = text_at(lua, 3).unwrap_or_default().to_ascii_lowercase();
        match key.as_slice() {
            b"function_name" => {
                declaration.name = Some(text_at(lua, 4).ok_or(Refusal::Text(
                    b"function_name argument given to redis.register_function must be a string",
                ))?);
            }
            b"description" => {
                declaration.description = Some(text_at(lua, 4).ok_or(Refusal::Text(
                    b"description argument given to redis.register_function must be a string",
                ))?);
            }
            b"callback" => {
                if lua_type(lua, 4) != LUA_TFUNCTION {
                    return Err(Refusal::Text(
                        b"callback argument given to redis.register_function must be a \
                                 function",
                    ));
                }
                lua_pushvalue(lua, 4);
                lua_replace(lua, 2);
                declaration.code = Some(2);
            }
            b"flags" => {
                if lua_type(lua, 4) != LUA_TTABLE {
                    return Err(Refusal::Text(
                        b"flags argument to redis.register_function must be a table \
                                 representing function flags",
                    ));
                }
                declaration.flags =
                    flags_at(lua, 4)?.ok_or(Refusal::Text(b"unknown flag given"))?;
            }
            _ => return Err(Refusal::Text(b"unknown argument given to redis.register_function")),
        }
        Ok(())
    }
}

/// The flags listed in the table at `index`; `None` if one is unknown.
unsafe fn flags_at(lua: State, index: c_int) -> Result<Option<ScriptFlags>, LuaError> {
    let mut flags = ScriptFlags::NONE;
    for at in 1.. {
        // SAFETY: as `named_arguments`; elements are read without metamethods.
        unsafe {
            tick(lua, FLAG_COST)?;
            lua_rawgeti_(lua, index, at);
            if lua_type(lua, -1) == LUA_TNIL {
                lua_pop(lua, 1);
                break;
            }
            let name = text_at(lua, -1).map(|name| name.to_ascii_lowercase());
            lua_pop(lua, 1);
            let Some(flag) = name.and_then(|name| ScriptFlags::by_name(&name)) else {
                return Ok(None);
            };
            flags = flags.union(flag);
        }
    }
    Ok(Some(flags))
}

/// The bytes at `index`, when they are a string or number.
unsafe fn text_at(lua: State, index: c_int) -> Option<Vec<u8>> {
    let mut len = 0;
    // SAFETY: the bytes are copied while the value lies on the stack; a number is converted in a
    // copy, for it may be a key of a walk.
    unsafe {
        lua_pushvalue(lua, index);
        let start = lua_tolstring(lua, -1, &mut len);
        let text = match start.is_null() {
            true => None,
            false => Some(std::slice::from_raw_parts(start.cast(), len).to_vec()),
        };
        lua_pop(lua, 1);
        text
    }
}

native!(c_register, register_function);

/// The C function of `redis.register_function`.
///
/// # Safety
/// Called by Lua on a state of this crate.
pub(crate) unsafe extern "C-unwind" fn c_register_function(lua: *mut lua_State) -> c_int {
    // SAFETY: as promised.
    unsafe { c_register(lua) }
}
