//! Finding keys: pointers and no questions, for every step of every script comes here.
//!
//! # Safety of the functions
//! Tables and keys are those of a live state. What a lookup answers may be [`absent`], which is
//! not to be written to.

use std::ffi::c_int;

use mlua::ffi::{LUA_TBOOLEAN, LUA_TNIL, LUA_TNUMBER, LUA_TSTRING};

use super::{ABSENT, EMPTY};
use crate::vm::puc::layout::{LuaString, Node, Slot, Table};

/// What a lookup answers that finds nothing. Never written to.
#[inline(always)]
pub(super) fn absent() -> *mut Slot {
    (&raw const ABSENT).cast_mut().cast()
}

#[inline(always)]
pub(super) fn empty() -> *mut Node {
    (&raw const EMPTY).cast_mut().cast()
}

#[inline(always)]
pub(super) unsafe fn is_nil(slot: *const Slot) -> bool {
    // SAFETY: the caller has a value.
    unsafe { (*slot).kind == LUA_TNIL }
}

/// A number without its fraction; any integer if that is out of range.
#[inline(always)]
fn truncate(number: f64) -> c_int {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_mm_cvttsd_si32, _mm_set_sd};
        // SAFETY: every processor has these.
        unsafe { _mm_cvttsd_si32(_mm_set_sd(number)) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        number as c_int
    }
}

/// The integer that a number is.
#[inline(always)]
fn as_int(number: f64) -> Option<c_int> {
    let int = truncate(number);
    (f64::from(int) == number).then_some(int)
}

/// The integer that a key is.
#[inline(always)]
pub(super) unsafe fn int_key(key: *const Slot) -> Option<c_int> {
    // SAFETY: the type says which value it is.
    unsafe { if (*key).kind == LUA_TNUMBER { as_int((*key).value.number) } else { None } }
}

#[inline(always)]
pub(super) unsafe fn node_count(table: *const Table) -> usize {
    // SAFETY: the caller has a table.
    1 << unsafe { (*table).node_bits }
}

/// The node for a hash whose low bits differ.
#[inline(always)]
unsafe fn node_of_bits(table: *const Table, hash: u32) -> *mut Node {
    // SAFETY: below the number of nodes, which is a power of two.
    unsafe { (*table).nodes.add(hash as usize & (node_count(table) - 1)) }
}

/// The node for a hash whose low bits may all be equal.
#[inline(always)]
unsafe fn node_of_remainder(table: *const Table, hash: u32) -> *mut Node {
    // SAFETY: the divisor is at most the number of nodes.
    unsafe {
        let divisor = (node_count(table) as u32 - 1) | 1;
        (*table).nodes.add((hash % divisor) as usize)
    }
}

#[inline(always)]
unsafe fn node_of_number(table: *const Table, number: f64) -> *mut Node {
    // SAFETY: both zeros are one key.
    unsafe {
        if number == 0.0 {
            return (*table).nodes;
        }
        let bits = number.to_bits();
        node_of_remainder(table, (bits as u32).wrapping_add((bits >> 32) as u32))
    }
}

/// The main position of a key that is not nil.
#[inline]
pub(super) unsafe fn main_position(table: *const Table, key: *const Slot) -> *mut Node {
    // SAFETY: the type says which value it is; a string that is a key is alive.
    unsafe {
        let Slot { value, kind } = *key;
        match kind {
            LUA_TSTRING => node_of_bits(table, (*value.object.cast::<LuaString>()).hash),
            LUA_TNUMBER => node_of_number(table, value.number),
            LUA_TBOOLEAN => node_of_bits(table, value.boolean as u32),
            _ => node_of_remainder(table, value.object.addr() as u32),
        }
    }
}

/// Whether two values are the same key.
#[inline]
pub(super) unsafe fn is_equal(a: *const Slot, b: *const Slot) -> bool {
    // SAFETY: the types say which values they are.
    unsafe {
        (*a).kind == (*b).kind
            && match (*a).kind {
                LUA_TNIL => true,
                LUA_TNUMBER => (*a).value.number == (*b).value.number,
                LUA_TBOOLEAN => (*a).value.boolean == (*b).value.boolean,
                _ => (*a).value.object == (*b).value.object,
            }
    }
}

/// The value of the first key in a chain that `is_key` says yes to.
#[inline(always)]
pub(super) unsafe fn search(mut node: *mut Node, is_key: impl Fn(&Slot) -> bool) -> *mut Slot {
    // SAFETY: chains end with null.
    unsafe {
        loop {
            if is_key(&(*node).key) {
                return &raw mut (*node).value;
            }
            node = (*node).next;
            if node.is_null() {
                return absent();
            }
        }
    }
}

#[inline(always)]
pub(super) unsafe fn find_string(table: *const Table, key: *mut LuaString) -> *mut Slot {
    // SAFETY: a dead key may have the address of a new string, so the type counts as well.
    unsafe {
        search(node_of_bits(table, (*key).hash), |found| {
            found.value.object == key.cast() && found.kind == LUA_TSTRING
        })
    }
}

#[inline(always)]
unsafe fn find_number(table: *const Table, key: f64) -> *mut Slot {
    // SAFETY: the type says which value it is.
    unsafe {
        search(node_of_number(table, key), |found| {
            found.kind == LUA_TNUMBER && found.value.number == key
        })
    }
}

#[inline(always)]
pub(super) unsafe fn find_int(table: *const Table, key: c_int) -> *mut Slot {
    // SAFETY: within the array part.
    unsafe {
        let at = (key as u32).wrapping_sub(1);
        if at < (*table).array_len as u32 {
            return (*table).array.add(at as usize);
        }
        find_number(table, key.into())
    }
}

#[inline(always)]
pub(super) unsafe fn find(table: *const Table, key: *const Slot) -> *mut Slot {
    // SAFETY: the type says which value it is.
    unsafe {
        let Slot { value, kind } = *key;
        if kind == LUA_TSTRING {
            return find_string(table, value.object.cast());
        }
        if kind == LUA_TNUMBER {
            return match as_int(value.number) {
                Some(int) => find_int(table, int),
                None => find_number(table, value.number),
            };
        }
        find_other(table, key)
    }
}

/// Apart, so that strings and numbers are told from others by comparisons and not by a jump table.
#[inline(never)]
unsafe fn find_other(table: *const Table, key: *const Slot) -> *mut Slot {
    // SAFETY: nil has no main position.
    unsafe {
        if is_nil(key) {
            return absent();
        }
        search(main_position(table, key), |found| is_equal(found, key))
    }
}
