//! How large the two parts of a table are.
//!
//! A table is measured anew when a key is added and no node is free. The array part becomes the
//! largest power of two such that more than half of its elements have a value; all keys that are
//! not in it get exactly as many nodes as the next power of two has. So a table grows only if it
//! is full, and shrinks when a key is added to one that was emptied.

use std::ffi::c_int;

use mlua::ffi::lua_State;

use super::lookup::{empty, int_key, is_nil, node_count};
use super::{add, refuse};
use crate::layout::{Node, Slot, Table, luaM_realloc_, luaM_toobig};

/// The logarithm of the largest number of elements, and of nodes.
const BITS_MAX: usize = 26;

/// The smallest `n` with `2^n >= len`.
fn bits_for(len: c_int) -> usize {
    (u32::BITS - (len as u32).wrapping_sub(1).leading_zeros()) as usize
}

/// How many integer keys with a value lie in `2^(n - 1) + 1 ..= 2^n`, for each `n`.
struct Census([u32; BITS_MAX + 1]);

impl Census {
    /// Counts a key, if it may be in an array part.
    unsafe fn count(&mut self, key: *const Slot) -> bool {
        // SAFETY: as promised by the caller.
        let Some(int) = (unsafe { int_key(key) }) else { return false };
        let fits = int > 0 && int <= 1 << BITS_MAX;
        if fits {
            self.0[bits_for(int)] += 1;
        }
        fits
    }

    /// Counts the elements that have a value.
    unsafe fn count_elements(&mut self, table: *const Table) -> u32 {
        let mut total = 0;
        let mut from = 0;
        // SAFETY: all indices are below the length.
        let len = unsafe { (*table).array_len as usize };
        for (bits, count) in self.0.iter_mut().enumerate() {
            let to = len.min(1 << bits);
            let is_used = |at: &usize| unsafe { !is_nil((*table).array.add(*at)) };
            let used = (from..to).filter(is_used).count() as u32;
            *count += used;
            total += used;
            from = to;
        }
        total
    }

    /// The best length of the array part for `keys` integer keys, and how many of them it holds.
    fn best_array(&self, keys: u32) -> (u32, u32) {
        let (mut best, mut below) = ((0, 0), 0);
        for (bits, count) in self.0.iter().enumerate() {
            let half = (1 << bits) / 2;
            if half >= keys {
                break;
            }
            below += count;
            if *count > 0 && below > half {
                best = (1 << bits, below);
            }
        }
        best
    }
}

/// Measures a table that `key` is about to be added to, and builds it anew.
///
/// # Safety
/// A live table, and a key that is not in it.
#[cold]
pub(super) unsafe fn make_room(lua: *mut lua_State, table: *mut Table, key: *const Slot) {
    let mut census = Census([0; BITS_MAX + 1]);
    // SAFETY: as promised.
    unsafe {
        let elements = census.count_elements(table);
        let (mut ints, mut all) = (elements, elements);
        for at in 0..node_count(table) {
            let node = (*table).nodes.add(at);
            if !is_nil(&raw const (*node).value) {
                ints += u32::from(census.count(&raw const (*node).key));
                all += 1;
            }
        }
        ints += u32::from(census.count(key));
        all += 1;
        let (array_len, elements) = census.best_array(ints);
        resize(lua, table, array_len as c_int, (all - elements) as c_int);
    }
}

/// Makes the array part `len` elements long; new ones are nil, and values beyond are lost.
///
/// # Safety
/// A live table.
pub(super) unsafe fn set_array_len(lua: *mut lua_State, table: *mut Table, len: c_int) {
    // SAFETY: the old block has the old length.
    unsafe {
        let bytes = usize::try_from(len).ok().and_then(|len| len.checked_mul(size_of::<Slot>()));
        let Some(bytes) = bytes else {
            luaM_toobig(lua);
            return;
        };
        let old_len = (*table).array_len;
        let old_bytes = old_len as usize * size_of::<Slot>();
        (*table).array = luaM_realloc_(lua, (*table).array.cast(), old_bytes, bytes).cast();
        for at in old_len..len {
            (*table).array.add(at as usize).write(Slot::NIL);
        }
        (*table).array_len = len;
    }
}

/// Gives the table a new hash part for `len` keys. The old one is the caller's.
///
/// # Safety
/// A live table.
pub(super) unsafe fn set_nodes(lua: *mut lua_State, table: *mut Table, len: c_int) {
    // SAFETY: the block has as many nodes as are written.
    unsafe {
        if len == 0 {
            (*table).nodes = empty();
            (*table).node_bits = 0;
            (*table).last_free = empty();
            return;
        }
        let bits = bits_for(len);
        if bits > BITS_MAX {
            refuse(lua, c"table overflow");
        }
        let count = 1 << bits;
        let block = luaM_realloc_(lua, std::ptr::null_mut(), 0, count * size_of::<Node>());
        let nodes = block.cast::<Node>();
        for at in 0..count {
            nodes.add(at).write(Node {
                value: Slot::NIL,
                key: Slot::NIL,
                next: std::ptr::null_mut(),
            });
        }
        (*table).nodes = nodes;
        (*table).node_bits = bits as u8;
        (*table).last_free = nodes.add(count);
    }
}

/// Where the value of a key that the table does not have is to be written, while it is built anew.
unsafe fn place(lua: *mut lua_State, table: *mut Table, key: *const Slot) -> *mut Slot {
    // SAFETY: the key is within the array part, or among as many as there are nodes.
    unsafe {
        match int_key(key) {
            Some(int) if int > 0 && int <= (*table).array_len => {
                (*table).array.add(int as usize - 1)
            }
            _ => add(lua, table, key),
        }
    }
}

/// Builds a table anew. Keys are moved from the end of each part to its beginning, which decides
/// who of those that collide is first.
unsafe fn resize(lua: *mut lua_State, table: *mut Table, array_len: c_int, hash_len: c_int) {
    // SAFETY: an error of the allocator leaves a table that is whole: the array part only grew, or
    // no node was moved yet. Every key finds a place, as the parts were made for them.
    unsafe {
        let old_array_len = (*table).array_len;
        let (old_nodes, old_count) = ((*table).nodes, node_count(table));
        if array_len > old_array_len {
            set_array_len(lua, table, array_len);
        }
        set_nodes(lua, table, hash_len);
        if array_len < old_array_len {
            (*table).array_len = array_len;
            for at in array_len..old_array_len {
                let value = *(*table).array.add(at as usize);
                if !is_nil(&value) {
                    *place(lua, table, &Slot::number(f64::from(at) + 1.0)) = value;
                }
            }
            (*table).array_len = old_array_len;
            set_array_len(lua, table, array_len);
        }
        for at in (0..old_count).rev() {
            let node = old_nodes.add(at);
            if !is_nil(&raw const (*node).value) {
                *place(lua, table, &raw const (*node).key) = (*node).value;
            }
        }
        if old_nodes != empty() {
            luaM_realloc_(lua, old_nodes.cast(), old_count * size_of::<Node>(), 0);
        }
    }
}

/// Makes the array part `len` elements long.
///
/// # Safety
/// Called by Lua.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C-unwind" fn luaH_resizearray(
    lua: *mut lua_State,
    table: *mut Table,
    len: c_int,
) {
    // SAFETY: as promised.
    unsafe {
        let hash_len = if (*table).nodes == empty() { 0 } else { node_count(table) };
        resize(lua, table, len, hash_len as c_int);
    }
}
