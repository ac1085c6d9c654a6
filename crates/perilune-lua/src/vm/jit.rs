//! LuaJIT, by its public API alone.
//!
//! - Compiled code calls no count hook, so nothing is counted: a thread of this crate (`watch`) has a
//!   hook set in runs that take long. LuaJIT is compiled so that compiled loops look for it.
//! - Tables cannot be marked, so a frozen table is an empty one in front of its contents (`frozen`).
//! - LuaJIT does not count native calls that nest, so [`Machine::nested`] does.

mod frozen;
#[cfg(test)]
mod tests;
mod watch;

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU8, Ordering};

use mlua::ffi::*;

use crate::interrupt::context;

pub(crate) use frozen::{
    exchange, freeze, freeze_metatable, is_readonly, set_in_frozen, show_frozen,
};
pub(crate) use watch::set_hook;

#[cfg(not(target_os = "linux"))]
compile_error!("the feature `luajit` needs Linux: scripts are interrupted by a signal to a thread");

/// Questions are asked by the clock.
pub(crate) const COUNTS_INSTRUCTIONS: bool = false;

/// Native calls that may nest; each takes a part of the C stack. As in Lua 5.1.
const NESTED_MAX: u32 = 200;

/// Nothing is replaced.
pub(crate) fn claim() {}

unsafe extern "C-unwind" {
    /// Opens the library `jit`, which switches the compiler on.
    fn luaopen_jit(lua: *mut lua_State) -> c_int;
}

/// Switches the compiler on, and replaces functions that must know of frozen tables. The library
/// `jit` stays in globals that scripts never see.
///
/// # Safety
/// A state that is being built, with the base library open.
pub(crate) unsafe fn open(lua: *mut lua_State) {
    // SAFETY: memory is not refused while a state is built.
    unsafe {
        lua_pushcclosure(lua, luaopen_jit, 0);
        lua_pushstring_(lua, c"jit".as_ptr());
        lua_call(lua, 1, 0);
        frozen::open(lua);
        context(lua).machine.hook_mask.set(find_hook_mask(lua));
    }
}

/// The events that a hook is called for.
const EVENTS: [c_int; 4] = [LUA_MASKCALL, LUA_MASKRET, LUA_MASKLINE, LUA_MASKCOUNT];
/// Their bits in the byte that also tells that a hook is at work.
const EVENT_BITS: u8 = 0x0f;
/// How far behind the start of the main thread that byte is looked for; a part of its block.
const SEARCHED_BYTES: usize = 1024;

/// The byte in which LuaJIT keeps what the hook is called for: the one that follows what it is told.
/// Null if there is not exactly one.
unsafe fn find_hook_mask(lua: *mut lua_State) -> *const AtomicU8 {
    unsafe extern "C-unwind" fn nothing(_lua: *mut lua_State, _record: *mut lua_Debug) {}
    let bytes = lua.cast_const().cast::<u8>();
    let mut found: Vec<usize> = (0..SEARCHED_BYTES).collect();
    // SAFETY: the main thread begins a block of several kilobytes, which holds what all threads
    // share; a byte of it can be read whatever it is for. No code runs meanwhile.
    unsafe {
        for mask in EVENTS {
            lua_sethook(lua, Some(nothing), mask, 1);
            found.retain(|&at| c_int::from(bytes.add(at).read_volatile()) == mask);
        }
        lua_sethook(lua, None, 0, 0);
        match found[..] {
            [at] => bytes.add(at).cast(),
            _ => std::ptr::null(),
        }
    }
}

/// Lets what a hook calls be interrupted by hooks again. LuaJIT calls none within another on any
/// thread, so for as long as `action` takes it is told that no hook is at work.
///
/// # Safety
/// Called within a hook; `action` returns.
pub(crate) unsafe fn outside_of_hook<T>(lua: *mut lua_State, action: impl FnOnce() -> T) -> T {
    // SAFETY: the byte belongs to the state.
    unsafe {
        let Some(mask) = context(lua).machine.hook_mask.get().as_ref() else { return action() };
        let at_work = mask.fetch_and(EVENT_BITS, Ordering::Relaxed) & !EVENT_BITS;
        let result = action();
        mask.fetch_or(at_work, Ordering::Relaxed);
        result
    }
}

/// What was given to `lua_newstate` for the allocator.
///
/// # Safety
/// `lua` is a live thread.
#[inline]
pub(crate) unsafe fn allocator_data(lua: *mut lua_State) -> *mut c_void {
    let mut data = std::ptr::null_mut();
    // SAFETY: as promised.
    unsafe { lua_getallocf(lua, &mut data) };
    data
}

/// A value of the running frame.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    lua: *mut lua_State,
    index: c_int,
    pub(crate) kind: c_int,
    frame: PhantomData<&'a ()>,
}

impl<'a> Value<'a> {
    /// The number here, if there is one.
    #[inline]
    pub(crate) fn as_number(&self) -> Option<f64> {
        match self.kind {
            // SAFETY: the value lies on the stack for as long as this is used, here and below.
            LUA_TNUMBER => Some(unsafe { lua_tonumber(self.lua, self.index) }),
            _ => None,
        }
    }

    /// The boolean here, if there is one.
    #[inline]
    pub(crate) fn as_boolean(&self) -> Option<bool> {
        match self.kind {
            // SAFETY: as above.
            LUA_TBOOLEAN => Some(unsafe { lua_toboolean(self.lua, self.index) } != 0),
            _ => None,
        }
    }

    /// The bytes of the string here, if there is one.
    ///
    /// # Safety
    /// The value stays reachable for as long as the bytes are used.
    #[inline]
    pub(crate) unsafe fn as_bytes(&self) -> Option<&'a [u8]> {
        if self.kind != LUA_TSTRING {
            return None;
        }
        let mut len = 0;
        // SAFETY: a string is not converted, and does not move.
        unsafe {
            let start = lua_tolstring(self.lua, self.index, &mut len);
            Some(std::slice::from_raw_parts(start.cast(), len))
        }
    }
}

/// The values of the running native function's frame.
pub(crate) struct Frame<'a> {
    lua: *mut lua_State,
    next: c_int,
    len: c_int,
    frame: PhantomData<&'a ()>,
}

impl Frame<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.next > self.len
    }
}

impl<'a> Iterator for Frame<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        if self.is_empty() {
            return None;
        }
        let index = self.next;
        self.next += 1;
        // SAFETY: see `frame`.
        let kind = unsafe { lua_type(self.lua, index) };
        Some(Value { lua: self.lua, index, kind, frame: PhantomData })
    }
}

/// The frame of the running native function: its arguments and what it pushed.
///
/// # Safety
/// `lua` is a live thread. The stack is not popped below the frame's length while the values are
/// used.
#[inline]
pub(crate) unsafe fn frame<'a>(lua: *mut lua_State) -> Frame<'a> {
    // SAFETY: as promised.
    Frame { lua, next: 1, len: unsafe { lua_gettop(lua) }, frame: PhantomData }
}

/// The value on top of the stack.
///
/// # Safety
/// As [`frame`].
#[inline]
pub(crate) unsafe fn top<'a>(lua: *mut lua_State) -> Option<Value<'a>> {
    // SAFETY: as promised.
    unsafe {
        let index = lua_gettop(lua);
        (index > 0).then(|| Value { lua, index, kind: lua_type(lua, index), frame: PhantomData })
    }
}

/// Number of values in the running native function's frame.
///
/// # Safety
/// `lua` is a live thread.
#[inline]
pub(crate) unsafe fn frame_len(lua: *mut lua_State) -> usize {
    // SAFETY: as promised.
    unsafe { lua_gettop(lua) as usize }
}

/// Pushes a number.
///
/// # Safety
/// `lua` is a live thread with room for a value.
#[inline]
pub(crate) unsafe fn push_number(lua: *mut lua_State, number: f64) {
    // SAFETY: as promised.
    unsafe { lua_pushnumber(lua, number) }
}

/// The elements of a table cannot be seen in place.
///
/// # Safety
/// None is needed.
#[inline]
pub(crate) unsafe fn plain_list<'a>(
    _lua: *mut lua_State,
    _index: c_int,
) -> Option<std::iter::Empty<Value<'a>>> {
    None
}

/// Empties a table that was filled with strings. False if it is to be made anew: it has more than
/// `elements_max` elements, other keys, or a metatable.
///
/// # Safety
/// Nothing runs.
pub(crate) unsafe fn clear_list(lua: *mut lua_State, index: c_int, elements_max: usize) -> bool {
    // SAFETY: as promised; room for a key and a value is there, and a walk without changes raises
    // nothing.
    unsafe {
        let len = lua_objlen(lua, index);
        if len > elements_max {
            return false;
        }
        if lua_getmetatable(lua, index) != 0 {
            lua_pop(lua, 1);
            return false;
        }
        for at in 1..=len {
            lua_pushnil(lua);
            lua_rawseti_(lua, index, at as c_int);
        }
        lua_pushnil(lua);
        let is_empty = lua_next(lua, index) == 0;
        if !is_empty {
            lua_pop(lua, 2);
        }
        is_empty
    }
}

/// Whether the function on top of the stack can at most read elements of its arguments, which is not
/// known here.
///
/// # Safety
/// None is needed.
#[inline]
pub(crate) unsafe fn keeps_no_arguments(_lua: *mut lua_State) -> bool {
    false
}

/// The depth of native calls is the state's.
///
/// # Safety
/// None is needed.
#[inline]
pub(crate) unsafe fn share_level(_from: *mut lua_State, _to: *mut lua_State) {}

/// What a state has beside LuaJIT's own fields.
pub(crate) struct Machine {
    /// Native calls that nest.
    nested: Cell<u32>,
    /// See [`find_hook_mask`].
    hook_mask: Cell<*const AtomicU8>,
    watched: watch::Watched,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Machine {
            nested: Cell::new(0),
            hook_mask: Cell::new(std::ptr::null()),
            watched: watch::Watched::new(),
        }
    }

    /// Brackets a run of code: in between the watch has the hook called.
    #[inline]
    pub(crate) fn running<T>(&self, lua: *mut lua_State, action: impl FnOnce() -> T) -> T {
        self.nested.set(0);
        self.watched.during(lua, action)
    }

    /// Brackets a call from native code into Lua. Raises where too many nest.
    ///
    /// # Safety
    /// The running thread of the state; nothing is owned by any frame.
    #[inline]
    pub(crate) unsafe fn nested<T>(&self, lua: *mut lua_State, action: impl FnOnce() -> T) -> T {
        let depth = self.nested.get();
        if depth >= NESTED_MAX {
            // SAFETY: as promised.
            unsafe { luaL_error(lua, c"C stack overflow".as_ptr()) };
        }
        self.nested.set(depth + 1);
        // An error passes by here. Whoever catches it was called by a bracket that goes on.
        let result = action();
        self.nested.set(depth);
        result
    }
}
