//! How large the two parts of a table are.
//!
//! A table is measured anew when a key is added and no node is free. The array part becomes the
//! largest power of two such that more than half of its elements have a value; all keys that are
//! not in it get exactly as many nodes as the next power of two has. So a table grows only if it
//! is full, and shrinks when a key is added to one that was emptied.
//!
//! Keys are moved in the order of Lua 5.1, which decides who of those that collide is first, hence
//! the order of `pairs`. Keys can be chosen such that this takes time that grows with the square of
//! their number, all within one instruction. Then the hash part is built in an order that cannot:
//! first the keys that find their main position free, and then the others, behind those.

use std::ffi::c_int;

use mlua::ffi::lua_State;

use super::lookup::{empty, int_key, is_equal, is_nil, main_position, node_count};
use super::{add, refuse, set_key};
use crate::interrupt::breathe;
use crate::vm::puc::layout::{Node, Slot, Table, luaM_realloc_, luaM_toobig};

/// How far chains are followed in the order of Lua for each node. Keys that nobody chose need less
/// than one step.
const STEPS_PER_NODE: usize = 16;
/// And in addition, for small tables.
const STEPS_MIN: usize = 1024;

/// Elements or nodes that are gone through between two questions to the host. What grows is half
/// built then, but only the running thread could see it.
const PIECE_LEN: usize = 32 << 10;

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
            if from >= len {
                break;
            }
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

/// The length of the array part for one more element behind a full one, if there is nothing else: a
/// shorter way to what a census finds.
unsafe fn doubled_array(table: *const Table, key: *const Slot) -> Option<c_int> {
    // SAFETY: all indices are below the length.
    unsafe {
        let len = (*table).array_len;
        let is_power = len & (len - 1).max(0) == 0 && len < 1 << BITS_MAX;
        let is_next = is_power && (*table).nodes == empty() && int_key(key) == Some(len + 1);
        let is_full = || (0..len as usize).all(|at| !is_nil((*table).array.add(at)));
        (is_next && is_full()).then(|| (len * 2).max(1))
    }
}

/// Measures a table that `key` is about to be added to, and builds it anew.
///
/// # Safety
/// A live table, and a key that is not in it.
#[cold]
pub(super) unsafe fn make_room(lua: *mut lua_State, table: *mut Table, key: *const Slot) {
    // SAFETY: as promised.
    unsafe {
        if let Some(len) = doubled_array(table, key) {
            return set_array_len(lua, table, len);
        }
    }
    let mut census = Census([0; BITS_MAX + 1]);
    // SAFETY: as promised.
    unsafe {
        let elements = census.count_elements(table);
        let (mut ints, mut all) = (elements, elements);
        for at in 0..node_count(table) {
            breathe_at(lua, at);
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
        for at in old_len as usize..len.max(0) as usize {
            breathe_at(lua, at);
            (*table).array.add(at).write(Slot::NIL);
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
        (*table).nodes = nodes;
        (*table).node_bits = bits as u8;
        clear_nodes(lua, table);
    }
}

/// Lets the host see to others at every so many steps.
#[inline]
unsafe fn breathe_at(lua: *mut lua_State, at: usize) {
    if at % PIECE_LEN == PIECE_LEN - 1 {
        // SAFETY: as promised by the caller.
        unsafe { breathe(lua) };
    }
}

/// Makes all nodes of a hash part free.
unsafe fn clear_nodes(lua: *mut lua_State, table: *mut Table) {
    // SAFETY: the table has nodes of its own, and so many.
    unsafe {
        for at in 0..node_count(table) {
            breathe_at(lua, at);
            (*table).nodes.add(at).write(Node {
                value: Slot::NIL,
                key: Slot::NIL,
                next: std::ptr::null_mut(),
            });
        }
        (*table).last_free = (*table).nodes.add(node_count(table));
    }
}

/// Where the keys of a table are that is built anew: elements beyond the new array part, which are
/// not given back yet, and the nodes of the old hash part.
struct Old {
    elements: std::ops::Range<c_int>,
    nodes: *mut Node,
    node_count: usize,
}

impl Old {
    /// Hands every key with its value to `each`, from the end of the hash part to its beginning,
    /// until that answers false. Whether it never did.
    unsafe fn each(
        &self,
        lua: *mut lua_State,
        table: *const Table,
        mut each: impl FnMut(*const Slot, Slot) -> bool,
    ) -> bool {
        // SAFETY: elements and nodes are there until all were moved.
        unsafe {
            let is_moved = |at: c_int, each: &mut dyn FnMut(*const Slot, Slot) -> bool| {
                breathe_at(lua, at as usize);
                let value = *(*table).array.add(at as usize);
                is_nil(&value) || each(&Slot::number(f64::from(at) + 1.0), value)
            };
            self.elements.clone().all(|at| is_moved(at, &mut each))
                && (0..self.node_count).rev().all(|at| {
                    breathe_at(lua, at);
                    let node = self.nodes.add(at);
                    is_nil(&raw const (*node).value) || each(&raw const (*node).key, (*node).value)
                })
        }
    }
}

/// The place of a key within the array part, or null.
unsafe fn element(table: *mut Table, key: *const Slot) -> *mut Slot {
    // SAFETY: the index is within the length.
    unsafe {
        match int_key(key) {
            Some(int) if int > 0 && int <= (*table).array_len => {
                (*table).array.add(int as usize - 1)
            }
            _ => std::ptr::null_mut(),
        }
    }
}

/// Moves all keys in the order of Lua. False if chains would have to be followed for too long; then
/// the nodes are to be cleared.
unsafe fn move_in_order(lua: *mut lua_State, table: *mut Table, old: &Old) -> bool {
    // SAFETY: every key finds a place, as the parts were made for them.
    unsafe {
        let (mut steps, most) = (0, node_count(table) * STEPS_PER_NODE + STEPS_MIN);
        old.each(lua, table, |key, value| {
            let mut place = element(table, key);
            if place.is_null() {
                place = add(lua, table, key, &mut steps);
            }
            *place = value;
            steps <= most
        })
    }
}

/// Moves all keys into cleared nodes, those last that find their main position taken: whoever has
/// it is there by right, and need not move on.
unsafe fn move_guests_last(lua: *mut lua_State, table: *mut Table, old: &Old) {
    // SAFETY: as above.
    unsafe {
        old.each(lua, table, |key, value| {
            let mut place = element(table, key);
            if place.is_null() {
                let node = main_position(table, key);
                if !is_nil(&raw const (*node).key) {
                    return true;
                }
                set_key(lua, table, node, key);
                place = &raw mut (*node).value;
            }
            *place = value;
            true
        });
        old.each(lua, table, |key, value| {
            let is_home = is_equal(&raw const (*main_position(table, key)).key, key);
            if !is_home && element(table, key).is_null() {
                *add(lua, table, key, &mut 0) = value;
            }
            true
        });
    }
}

/// Builds a table anew.
unsafe fn resize(lua: *mut lua_State, table: *mut Table, array_len: c_int, hash_len: c_int) {
    // SAFETY: an error of the allocator leaves a table that is whole: the array part only grew, or
    // no node was moved yet. That an array part shrinks is not refused.
    unsafe {
        let old_array_len = (*table).array_len;
        let (nodes, node_count) = ((*table).nodes, node_count(table));
        let old = Old { elements: array_len..old_array_len, nodes, node_count };
        if array_len > old_array_len {
            set_array_len(lua, table, array_len);
        }
        set_nodes(lua, table, hash_len);
        (*table).array_len = array_len;
        if !move_in_order(lua, table, &old) {
            clear_nodes(lua, table);
            move_guests_last(lua, table, &old);
        }
        if array_len < old_array_len {
            (*table).array_len = old_array_len;
            set_array_len(lua, table, array_len);
        }
        if nodes != empty() {
            luaM_realloc_(lua, nodes.cast(), node_count * size_of::<Node>(), 0);
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
