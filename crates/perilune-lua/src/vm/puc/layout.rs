//! How Lua 5.1.5 lays out its objects, as far as this crate looks into them.
//!
//! Two things are made of it: the modules that stand in for object files of Lua's (`strings` and
//! `tables`), and reading a native function's arguments where they lie, without a call into Lua for
//! each.
//!
//! Invariant: the structs begin as those of Lua 5.1.5 do on systems with pointers of eight bytes;
//! sizes and offsets are asserted below, and the tests compare what is read with Lua's own answers.
#![allow(non_snake_case, reason = "Lua's names")]

use std::ffi::{c_int, c_uint, c_void};

use mlua::ffi::{LUA_TBOOLEAN, LUA_TNIL, LUA_TNUMBER, LUA_TSTRING, lua_State};

/// The bits of the two colours that mean "not reached yet".
pub(crate) const WHITE_BITS: u8 = 3;
/// The bit of the colour that means "reached, with all that it refers to".
pub(crate) const BLACK_BIT: u8 = 4;
/// The type of a key whose object may be gone.
pub(crate) const KIND_DEAD_KEY: c_int = 11;

/// What every object begins with.
#[repr(C)]
pub(crate) struct Object {
    pub(crate) next: *mut Object,
    pub(crate) kind: u8,
    pub(crate) marked: u8,
}

/// A string; its bytes and a NUL follow.
#[repr(C)]
pub(crate) struct LuaString {
    // An `Object`, whose padding C puts the next fields into.
    pub(crate) next: *mut Object,
    pub(crate) kind: u8,
    pub(crate) marked: u8,
    pub(crate) reserved: u8,
    pub(crate) hash: c_uint,
    pub(crate) len: usize,
}

#[repr(C)]
pub(crate) struct StringTable {
    pub(crate) chains: *mut *mut Object,
    pub(crate) used: u32,
    pub(crate) size: c_int,
}

/// What the threads of a state share, up to the last field that is used here.
#[repr(C)]
pub(crate) struct Global {
    pub(crate) strings: StringTable,
    pub(crate) allocator: [*mut c_void; 2],
    pub(crate) current_white: u8,
    pub(crate) collector_state: u8,
    pub(crate) sweep_at: c_int,
    pub(crate) lists: [*mut c_void; 6],
    pub(crate) buffer: [usize; 3],
    pub(crate) sizes: [usize; 4],
    pub(crate) pace: [c_int; 2],
    pub(crate) panic: *mut c_void,
    pub(crate) registry: [u64; 2],
    pub(crate) main_thread: *mut Object,
}

/// A value and its type, as they lie on a thread's stack and in tables.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Slot {
    pub(crate) value: SlotValue,
    pub(crate) kind: c_int,
}

/// Which of these it is the type says.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) union SlotValue {
    pub(crate) object: *mut Object,
    pub(crate) number: f64,
    pub(crate) boolean: c_int,
}

impl Slot {
    /// No value.
    pub(crate) const NIL: Slot =
        Slot { value: SlotValue { object: std::ptr::null_mut() }, kind: LUA_TNIL };

    /// A number.
    #[inline]
    pub(crate) fn number(number: f64) -> Self {
        Slot { value: SlotValue { number }, kind: LUA_TNUMBER }
    }

    /// The number here, if there is one.
    #[inline]
    pub(crate) fn as_number(&self) -> Option<f64> {
        match self.kind {
            // SAFETY: the type says which field was written.
            LUA_TNUMBER => Some(unsafe { self.value.number }),
            _ => None,
        }
    }

    /// The boolean here, if there is one.
    #[inline]
    pub(crate) fn as_boolean(&self) -> Option<bool> {
        match self.kind {
            // SAFETY: the type says which field was written.
            LUA_TBOOLEAN => Some(unsafe { self.value.boolean } != 0),
            _ => None,
        }
    }

    /// The bytes of the string here, if there is one.
    ///
    /// # Safety
    /// The value is one of a live state, and stays reachable for as long as the bytes are used.
    #[inline]
    pub(crate) unsafe fn as_bytes<'a>(&self) -> Option<&'a [u8]> {
        if self.kind != LUA_TSTRING {
            return None;
        }
        // SAFETY: the type says what the object is; its bytes follow it.
        unsafe {
            let string = self.value.object.cast::<LuaString>();
            Some(std::slice::from_raw_parts(string.add(1).cast(), (*string).len))
        }
    }
}

/// A table.
#[repr(C)]
pub(crate) struct Table {
    // An `Object`, whose padding C puts the next two fields into.
    pub(crate) next: *mut Object,
    pub(crate) kind: u8,
    pub(crate) marked: u8,
    /// One bit for each event that is known to have no handler in this table.
    pub(crate) absent_events: u8,
    /// The logarithm of the number of nodes.
    pub(crate) node_bits: u8,
    /// Not a field of Lua's: it lies in C's padding.
    pub(crate) is_readonly: bool,
    pub(crate) metatable: *mut Table,
    /// The values of the keys from 1 on.
    pub(crate) array: *mut Slot,
    /// All other keys.
    pub(crate) nodes: *mut Node,
    /// No node from here on is free.
    pub(crate) last_free: *mut Node,
    pub(crate) gray_next: *mut Object,
    pub(crate) array_len: c_int,
}

/// A key of a table and its value.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Node {
    pub(crate) value: Slot,
    pub(crate) key: Slot,
    /// The next node of the chain.
    pub(crate) next: *mut Node,
}

/// A thread, up to the last field that is used here. Its status lies in the padding of `object`.
#[repr(C)]
pub(crate) struct Thread {
    pub(crate) object: Object,
    /// Where the next value is pushed.
    pub(crate) top: *mut Slot,
    /// The first value of the running function's frame.
    pub(crate) base: *mut Slot,
    pub(crate) global: *mut Global,
}

/// A function of Lua code, up to the last field that is used here.
#[repr(C)]
pub(crate) struct Closure {
    // An `Object`, whose padding C puts the next two fields into.
    pub(crate) next: *mut Object,
    pub(crate) kind: u8,
    pub(crate) marked: u8,
    pub(crate) is_native: u8,
    pub(crate) upvalue_count: u8,
    pub(crate) gray_next: *mut Object,
    pub(crate) env: *mut Table,
    pub(crate) prototype: *mut Prototype,
}

/// The compiled code of a function.
#[repr(C)]
pub(crate) struct Prototype {
    pub(crate) object: Object,
    pub(crate) constants: *mut Slot,
    pub(crate) code: *const u32,
    pub(crate) parts: [*mut c_void; 5],
    pub(crate) counts: [c_int; 2],
    pub(crate) code_len: c_int,
    pub(crate) more_counts: [c_int; 5],
    pub(crate) gray_next: *mut Object,
    pub(crate) upvalues: u8,
    pub(crate) params: u8,
    /// Not 0 if there are arguments beyond the parameters.
    pub(crate) varargs: u8,
    pub(crate) registers: u8,
}

unsafe extern "C-unwind" {
    /// Allocates, or raises.
    pub(crate) fn luaM_realloc_(
        lua: *mut lua_State,
        block: *mut c_void,
        old_size: usize,
        new_size: usize,
    ) -> *mut c_void;
    /// Raises.
    pub(crate) fn luaM_toobig(lua: *mut lua_State) -> *mut c_void;
}

/// # Safety
/// `lua` is a live thread.
#[inline]
pub(crate) unsafe fn global(lua: *mut lua_State) -> *mut Global {
    // SAFETY: the layout is that of Lua 5.1.5.
    unsafe { (*lua.cast::<Thread>()).global }
}

/// What was given to `lua_newstate` for the allocator.
///
/// # Safety
/// `lua` is a live thread.
#[inline]
pub(crate) unsafe fn allocator_data(lua: *mut lua_State) -> *mut c_void {
    // SAFETY: as promised.
    unsafe { (*global(lua)).allocator[1] }
}

/// The frame of the running native function: its arguments and what it pushed.
///
/// # Safety
/// `lua` is a live thread. The stack is neither grown nor popped below the frame's length while
/// the values are used.
#[inline]
pub(crate) unsafe fn frame<'a>(lua: *mut lua_State) -> &'a [Slot] {
    // SAFETY: the values between base and top are initialized.
    unsafe { std::slice::from_raw_parts((*lua.cast::<Thread>()).base, frame_len(lua)) }
}

/// Number of values in the running native function's frame, `lua_gettop`.
///
/// # Safety
/// `lua` is a live thread.
#[inline]
pub(crate) unsafe fn frame_len(lua: *mut lua_State) -> usize {
    // SAFETY: as promised; top is never below base.
    unsafe {
        let thread = lua.cast::<Thread>();
        (*thread).top.offset_from((*thread).base) as usize
    }
}

/// Pushes a value that is no object, so that the collector need not know.
///
/// # Safety
/// `lua` is a live thread with room for a value.
#[inline]
pub(crate) unsafe fn push_number(lua: *mut lua_State, number: f64) {
    // SAFETY: as promised.
    unsafe {
        let thread = lua.cast::<Thread>();
        (*thread).top.write(Slot::number(number));
        (*thread).top = (*thread).top.add(1);
    }
}

const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<LuaString>() == 24);
    assert!(offset_of!(LuaString, hash) == 12 && offset_of!(LuaString, len) == 16);
    assert!(size_of::<Slot>() == 16 && offset_of!(Slot, kind) == 8);
    assert!(size_of::<Table>() == 64 && offset_of!(Table, node_bits) == 11);
    assert!(offset_of!(Table, is_readonly) == 12 && offset_of!(Table, metatable) == 16);
    assert!(size_of::<Node>() == 40 && offset_of!(Node, key) == 16);
    assert!(offset_of!(Closure, env) == 24 && offset_of!(Closure, prototype) == 32);
    assert!(offset_of!(Prototype, code) == 24 && offset_of!(Prototype, code_len) == 80);
    assert!(offset_of!(Prototype, params) == 113);
    assert!(offset_of!(Thread, top) == 16 && offset_of!(Global, allocator) == 16);
    assert!(offset_of!(Thread, global) == 32 && offset_of!(Global, main_thread) == 176);
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raise::push_bytes;
    use crate::state::State;
    use mlua::ffi::{lua_getallocf, lua_gettop, lua_pushboolean, lua_settop, lua_tonumber};

    #[test]
    fn values_are_read_where_lua_keeps_them() {
        let state = State::new();
        let lua = state.lua();
        // SAFETY: an idle state with room for a few values.
        unsafe {
            let mut data = std::ptr::null_mut();
            lua_getallocf(lua, &mut data);
            assert_eq!(allocator_data(lua), data);
            push_bytes(lua, b"a\0b");
            push_number(lua, 1.5);
            lua_pushboolean(lua, 1);
            push_bytes(lua, b"");
            assert_eq!((lua_gettop(lua), frame_len(lua)), (4, 4));
            assert_eq!(lua_tonumber(lua, 2), 1.5);
            let values = frame(lua);
            let bytes: Vec<_> = values.iter().map(|value| value.as_bytes()).collect();
            assert_eq!(bytes, [Some(&b"a\0b"[..]), None, None, Some(b"")]);
            let numbers: Vec<_> = values.iter().map(Slot::as_number).collect();
            assert_eq!(numbers, [None, Some(1.5), None, None]);
            lua_settop(lua, 0);
        }
    }
}
