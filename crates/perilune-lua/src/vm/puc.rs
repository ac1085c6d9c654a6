//! Stock Lua 5.1: its structs are read in place, and its strings and tables are this crate's.

use std::ffi::{CStr, c_int};

use mlua::ffi::*;

mod escape;
pub(crate) mod layout;
mod numbers;
mod secret;
mod strings;
mod tables;

pub(crate) use escape::keeps_no_arguments;
pub(crate) use layout::{allocator_data, frame, frame_len, push_number};
pub(crate) use tables::{exchange, is_readonly};

use layout::Slot;

/// A value where it lies.
pub(crate) type Value<'a> = &'a Slot;

/// The count hook fires after so many instructions.
pub(crate) const COUNTS_INSTRUCTIONS: bool = true;

/// Makes the linker look for Lua's functions in this crate.
pub(crate) fn claim() {
    numbers::claim();
    strings::claim();
    tables::claim();
}

/// Errors that Lua makes where nothing may catch another one, such as one of memory: before a
/// coroutine's own protection begins and after it has ended. Lua pins the text of errors of memory
/// itself.
const UNPROTECTED: [&CStr; 3] =
    [c"C stack overflow", c"error in error handling", c"cannot resume non-suspended coroutine"];

/// Opens what Lua needs beside its libraries, of which the base library is open: the texts that it must be
/// able to find, for to make them might fail, and the end of the process would be the answer to that; and
/// its `tonumber`.
///
/// # Safety
/// A state that is being built, with room for a value.
pub(crate) unsafe fn open(lua: *mut lua_State) {
    // SAFETY: as promised; memory is not refused.
    unsafe {
        for text in UNPROTECTED {
            lua_pushstring_(lua, text.as_ptr());
            luaL_ref(lua, LUA_REGISTRYINDEX);
        }
        numbers::open(lua);
    }
}

/// The value on top of the stack.
///
/// # Safety
/// As [`frame`].
#[inline]
pub(crate) unsafe fn top<'a>(lua: *mut lua_State) -> Option<Value<'a>> {
    // SAFETY: as promised.
    unsafe { frame(lua).last() }
}

/// The values of the table at `index`, from the key 1 on, if it has no other keys; nils may be
/// among them. `None` also if it has a metatable.
///
/// # Safety
/// `lua` is a state of this crate. The table stays alive and is not changed while the values are
/// used.
#[inline]
pub(crate) unsafe fn plain_list<'a>(
    lua: *mut lua_State,
    index: c_int,
) -> Option<std::slice::Iter<'a, Slot>> {
    // SAFETY: as promised.
    unsafe { tables::plain_list(lua, index).map(|values| values.iter()) }
}

/// Empties a table that was filled with strings. False if it is to be made anew: it has room for
/// more than `elements_max`, or other keys than elements.
///
/// # Safety
/// Nothing runs.
pub(crate) unsafe fn clear_list(lua: *mut lua_State, index: c_int, elements_max: usize) -> bool {
    // SAFETY: as promised; nils need not be told to the collector.
    match unsafe { tables::plain_list(lua, index) } {
        Some(values) if values.len() <= elements_max => {
            values.fill(Slot::NIL);
            true
        }
        _ => false,
    }
}

/// Makes the table at `index` refuse changes from now on.
///
/// # Safety
/// `lua` is a state of this crate.
pub(crate) unsafe fn freeze(lua: *mut lua_State, index: c_int) {
    // SAFETY: as promised.
    unsafe { tables::set_readonly(lua, index, true) }
}

/// [`freeze`] for a table that is or becomes a metatable.
///
/// # Safety
/// As [`freeze`].
pub(crate) unsafe fn freeze_metatable(lua: *mut lua_State, index: c_int) {
    // SAFETY: as promised.
    unsafe { tables::set_readonly(lua, index, true) }
}

/// Sets a field of the frozen table at `index`, which is not relative to the top: key and value
/// are popped.
///
/// # Safety
/// As [`freeze`]; nothing runs.
pub(crate) unsafe fn set_in_frozen(lua: *mut lua_State, index: c_int) {
    // SAFETY: as promised.
    unsafe {
        tables::set_readonly(lua, index, false);
        lua_rawset(lua, index);
        tables::set_readonly(lua, index, true);
    }
}

/// Lets the value at `index`, if it is a frozen table, be walked.
///
/// # Safety
/// A native function's own frame.
#[inline]
pub(crate) unsafe fn show_frozen(_lua: *mut lua_State, _index: c_int) {}

unsafe extern "C-unwind" {
    /// Exported by Lua 5.1 for its own libraries.
    fn lua_setlevel(from: *mut lua_State, to: *mut lua_State);
}

/// Carries the depth of native calls over to another thread, so that coroutines resuming
/// coroutines meet Lua's limit instead of the end of the C stack.
///
/// # Safety
/// Both are threads of one state.
#[inline]
pub(crate) unsafe fn share_level(from: *mut lua_State, to: *mut lua_State) {
    // SAFETY: as promised.
    unsafe { lua_setlevel(from, to) }
}

/// Has `hook` called after so many instructions of a thread, and before each line if `by_line`.
///
/// # Safety
/// `lua` is a live thread of a state of this crate.
#[inline]
pub(crate) unsafe fn set_hook(
    lua: *mut lua_State,
    hook: lua_Hook,
    by_line: bool,
    instructions: c_int,
) {
    let mask = if by_line { LUA_MASKCOUNT | LUA_MASKLINE } else { LUA_MASKCOUNT };
    // SAFETY: as promised.
    unsafe { lua_sethook(lua, Some(hook), mask, instructions) };
}

/// Lets what a hook calls be interrupted by hooks again: a thread of its own is, in this Lua.
///
/// # Safety
/// Called within a hook.
#[inline]
pub(crate) unsafe fn outside_of_hook<T>(_lua: *mut lua_State, action: impl FnOnce() -> T) -> T {
    action()
}

/// What a state has beside Lua's own fields: nothing.
pub(crate) struct Machine;

impl Machine {
    pub(crate) fn new() -> Self {
        Machine
    }

    /// Brackets a run of code.
    #[inline]
    pub(crate) fn running<T>(&self, _lua: *mut lua_State, action: impl FnOnce() -> T) -> T {
        action()
    }

    /// Brackets a call from native code into Lua.
    ///
    /// # Safety
    /// The running thread of the state; nothing is owned by any frame.
    #[inline]
    pub(crate) unsafe fn nested<T>(&self, _lua: *mut lua_State, action: impl FnOnce() -> T) -> T {
        action()
    }
}
