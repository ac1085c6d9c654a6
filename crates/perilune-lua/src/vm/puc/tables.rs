//! Lua's tables, with a mark for those that may not be changed.
//!
//! The functions of Lua's table module are defined here under their names; the linker takes them
//! instead of the object file in Lua's archive, as it does in `strings`. What scripts can see of
//! tables is that of Lua 5.1: which keys are where, hence the order of `pairs`, and what `#`
//! answers. New is [`set_readonly`].
//!
//! A table has two parts. The *array part* holds the values of the keys `1..=array_len`. All other
//! keys are in the *hash part*, an array of nodes whose length is a power of two. Each key has a
//! *main position*, the node its hash leads to, and keys with the same one form a chain that
//! begins there. A node that is taken although it is nobody's main position is the last free one.
//!
//! Invariants:
//! - a key that is not in its main position shares that with one which is, so chains do not mix
//!   and are found even if all nodes are in use;
//! - an empty hash part is the shared node [`EMPTY`], which is never written to;
//! - a removed key keeps its place, without a value, until the place is needed or the hash part is
//!   built anew (`resize`); the collector makes it a dead key, whose object may go.
//!
//! Memory errors and complaints leave by `longjmp`: nothing here owns anything.
//!
//! The tests of this module fail if the linker did not take these functions.
#![allow(non_snake_case, reason = "Lua's names")]

mod lookup;
mod resize;
#[cfg(test)]
mod tests;

use std::ffi::{CStr, c_char, c_int, c_void};

use mlua::ffi::{
    LUA_TNIL, LUA_TNUMBER, LUA_TSTRING, LUA_TTABLE, lua_State, lua_topointer, lua_type,
};

use crate::errors::READONLY;
use crate::vm::puc::layout::{
    BLACK_BIT, KIND_DEAD_KEY, LuaString, Node, Object, Slot, SlotValue, Table, WHITE_BITS,
    luaM_realloc_,
};
use lookup::{
    absent, empty, find, find_int, find_string, int_key, is_equal, is_nil, main_position,
    node_count, search,
};

/// For shared values that nobody writes to.
#[repr(transparent)]
struct Constant<T>(T);

// SAFETY: what is in it is never written.
unsafe impl<T> Sync for Constant<T> {}

/// The nodes of every table without a hash part.
static EMPTY: Constant<Node> =
    Constant(Node { value: Slot::NIL, key: Slot::NIL, next: std::ptr::null_mut() });

/// The value of every key that a table does not have.
static ABSENT: Constant<Slot> = Constant(Slot::NIL);

unsafe extern "C-unwind" {
    /// Raises.
    fn luaG_runerror(lua: *mut lua_State, format: *const c_char, ...) -> !;
    /// Lists a new object with the collector.
    fn luaC_link(lua: *mut lua_State, object: *mut Object, kind: u8);
    /// Has the collector look at a table once more.
    fn luaC_barrierback(lua: *mut lua_State, table: *mut Table);
}

/// Makes the linker look for the functions of this module in this crate.
pub(crate) fn claim() {
    for function in [
        luaH_getnum as *const c_void,
        luaH_setnum as *const c_void,
        luaH_getstr as *const c_void,
        luaH_setstr as *const c_void,
        luaH_get as *const c_void,
        luaH_set as *const c_void,
        luaH_new as *const c_void,
        luaH_free as *const c_void,
        luaH_next as *const c_void,
        luaH_getn as *const c_void,
        resize::luaH_resizearray as *const c_void,
    ] {
        std::hint::black_box(function);
    }
}

/// The table at `index`, or null.
unsafe fn table_at(lua: *mut lua_State, index: c_int) -> *mut Table {
    // SAFETY: reads one value.
    unsafe {
        match lua_type(lua, index) {
            LUA_TTABLE => lua_topointer(lua, index).cast_mut().cast(),
            _ => std::ptr::null_mut(),
        }
    }
}

/// Lets the table at `index` refuse changes from now on, or no more. Whoever tries raises; only
/// `lua_setmetatable` does not look.
///
/// # Safety
/// `lua` is a state of this crate.
pub(crate) unsafe fn set_readonly(lua: *mut lua_State, index: c_int, is_readonly: bool) {
    // SAFETY: a table that lies on the stack is alive.
    unsafe {
        if let Some(table) = table_at(lua, index).as_mut() {
            table.is_readonly = is_readonly;
        }
    }
}

/// Whether the value at `index` is a table that refuses changes.
///
/// # Safety
/// `lua` is a state of this crate.
pub(crate) unsafe fn is_readonly(lua: *mut lua_State, index: c_int) -> bool {
    // SAFETY: as above.
    unsafe { table_at(lua, index).as_ref().is_some_and(|table| table.is_readonly) }
}

/// The values of the table at `index`, from the key 1 on, if it has no other keys; nils may be
/// among them. `None` also if it has a metatable.
///
/// # Safety
/// `lua` is a state of this crate. The table stays alive and is not changed otherwise while the
/// values are used; what is written to them is no object.
pub(crate) unsafe fn plain_list<'a>(lua: *mut lua_State, index: c_int) -> Option<&'a mut [Slot]> {
    // SAFETY: a table that lies on the stack is alive; its array part has that length.
    unsafe {
        let table = table_at(lua, index).as_mut()?;
        if table.nodes != empty() || !table.metatable.is_null() {
            return None;
        }
        Some(match usize::try_from(table.array_len) {
            Ok(len @ 1..) => std::slice::from_raw_parts_mut(table.array, len),
            _ => &mut [],
        })
    }
}

/// Exchanges what is in two tables, with their metatables but not their marks. Everyone who has
/// one of them sees the contents of the other.
///
/// # Safety
/// `lua` is a state of this crate.
pub(crate) unsafe fn exchange(lua: *mut lua_State, a: c_int, b: c_int) {
    use std::mem::swap;
    // SAFETY: tables on the stack are alive, and these are two. The collector may have been
    // through one and not the other, so it looks again.
    unsafe {
        let (a, b) = (table_at(lua, a), table_at(lua, b));
        if a == b || a.is_null() || b.is_null() {
            return;
        }
        for table in [a, b] {
            if (*table).marked & BLACK_BIT != 0 {
                luaC_barrierback(lua, table);
            }
        }
        let (a, b) = (&mut *a, &mut *b);
        swap(&mut a.absent_events, &mut b.absent_events);
        swap(&mut a.node_bits, &mut b.node_bits);
        swap(&mut a.metatable, &mut b.metatable);
        swap(&mut a.array, &mut b.array);
        swap(&mut a.nodes, &mut b.nodes);
        swap(&mut a.last_free, &mut b.last_free);
        swap(&mut a.array_len, &mut b.array_len);
    }
}

/// Raises if the table has the mark.
#[inline(always)]
unsafe fn check_writable(lua: *mut lua_State, table: *const Table) {
    // SAFETY: owns nothing.
    unsafe {
        if (*table).is_readonly {
            refuse(lua, READONLY);
        }
    }
}

#[cold]
unsafe fn refuse(lua: *mut lua_State, text: &CStr) -> ! {
    // SAFETY: the texts have no directives.
    unsafe { luaG_runerror(lua, text.as_ptr()) }
}

/// Takes a free node from the end, or null if there is none.
unsafe fn take_free(table: *mut Table) -> *mut Node {
    // SAFETY: nodes before the mark are nodes of the table; the mark may end up before them.
    unsafe {
        loop {
            let last = (*table).last_free;
            (*table).last_free = last.wrapping_sub(1);
            if last <= (*table).nodes {
                return std::ptr::null_mut();
            }
            if is_nil(&raw const (*(*table).last_free).key) {
                return (*table).last_free;
            }
        }
    }
}

/// Adds a key that is not in the table and answers the place of its value, which is nil. The key
/// may be moved to the array part. Adds to `steps` how far chains had to be followed.
#[inline(never)]
unsafe fn add(
    lua: *mut lua_State,
    table: *mut Table,
    key: *const Slot,
    steps: &mut usize,
) -> *mut Slot {
    // SAFETY: nodes are moved such that the invariants of chains hold.
    unsafe {
        let mut node = main_position(table, key);
        if !is_nil(&raw const (*node).value) || node == empty() {
            let free = take_free(table);
            if free.is_null() {
                resize::make_room(lua, table, key);
                let place = find(table, key);
                return if place == absent() { add(lua, table, key, steps) } else { place };
            }
            let mut other = main_position(table, &raw const (*node).key);
            if other == node {
                // Both keys have this main position: the new one goes behind the old one.
                (*free).next = (*node).next;
                (*node).next = free;
                node = free;
            } else {
                // The other key is a guest here: it moves on.
                while (*other).next != node {
                    other = (*other).next;
                    *steps += 1;
                }
                (*other).next = free;
                *free = *node;
                (*node).next = std::ptr::null_mut();
                (*node).value.kind = LUA_TNIL;
            }
        }
        set_key(lua, table, node, key);
        &raw mut (*node).value
    }
}

/// Gives a free node a key.
#[inline(always)]
unsafe fn set_key(lua: *mut lua_State, table: *mut Table, node: *mut Node, key: *const Slot) {
    // SAFETY: the collector hears of a new key in a table that it has been through.
    unsafe {
        let Slot { value, kind } = *key;
        (*node).key.value = value;
        (*node).key.kind = kind;
        if kind >= LUA_TSTRING
            && (*table).marked & BLACK_BIT != 0
            && (*value.object).marked & WHITE_BITS != 0
        {
            luaC_barrierback(lua, table);
        }
    }
}

/// The value of an integer key.
///
/// # Safety
/// Called by Lua.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn luaH_getnum(table: *mut Table, key: c_int) -> *const Slot {
    // SAFETY: as promised.
    unsafe { find_int(table, key) }
}

/// The value of a string key.
///
/// # Safety
/// Called by Lua.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn luaH_getstr(table: *mut Table, key: *mut LuaString) -> *const Slot {
    // SAFETY: as promised.
    unsafe { find_string(table, key) }
}

/// The value of a key.
///
/// # Safety
/// Called by Lua.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn luaH_get(table: *mut Table, key: *const Slot) -> *const Slot {
    // SAFETY: as promised.
    unsafe { find(table, key) }
}

/// Where the value of a key is to be written.
///
/// # Safety
/// Called by Lua.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn luaH_set(
    lua: *mut lua_State,
    table: *mut Table,
    key: *const Slot,
) -> *mut Slot {
    // SAFETY: as promised.
    unsafe {
        check_writable(lua, table);
        (*table).absent_events = 0;
        let place = find(table, key);
        if place != absent() {
            return place;
        }
        match (*key).kind {
            LUA_TNIL => refuse(lua, c"table index is nil"),
            LUA_TNUMBER if (*key).value.number.is_nan() => refuse(lua, c"table index is NaN"),
            _ => {}
        }
        add(lua, table, key, &mut 0)
    }
}

/// Where the value of an integer key is to be written.
///
/// # Safety
/// Called by Lua.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn luaH_setnum(
    lua: *mut lua_State,
    table: *mut Table,
    key: c_int,
) -> *mut Slot {
    // SAFETY: as promised.
    unsafe {
        check_writable(lua, table);
        let place = find_int(table, key);
        if place != absent() {
            return place;
        }
        add(lua, table, &Slot::number(key.into()), &mut 0)
    }
}

/// Where the value of a string key is to be written.
///
/// # Safety
/// Called by Lua.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn luaH_setstr(
    lua: *mut lua_State,
    table: *mut Table,
    key: *mut LuaString,
) -> *mut Slot {
    // SAFETY: as promised.
    unsafe {
        check_writable(lua, table);
        let place = find_string(table, key);
        if place != absent() {
            return place;
        }
        let key = Slot { value: SlotValue { object: key.cast() }, kind: LUA_TSTRING };
        add(lua, table, &key, &mut 0)
    }
}

/// A table with room for so many elements and other keys.
///
/// # Safety
/// Called by Lua.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn luaH_new(
    lua: *mut lua_State,
    array_len: c_int,
    hash_len: c_int,
) -> *mut Table {
    // SAFETY: the collector knows the table before more memory is asked for, so it must be whole.
    unsafe {
        let block = luaM_realloc_(lua, std::ptr::null_mut(), 0, size_of::<Table>());
        let table = block.cast::<Table>();
        table.write(Table {
            next: std::ptr::null_mut(),
            kind: LUA_TTABLE as u8,
            marked: 0,
            absent_events: !0,
            node_bits: 0,
            is_readonly: false,
            metatable: std::ptr::null_mut(),
            array: std::ptr::null_mut(),
            nodes: empty(),
            last_free: empty(),
            gray_next: std::ptr::null_mut(),
            array_len: 0,
        });
        luaC_link(lua, table.cast(), LUA_TTABLE as u8);
        if array_len != 0 {
            resize::set_array_len(lua, table, array_len);
        }
        if hash_len != 0 {
            resize::set_nodes(lua, table, hash_len);
        }
        table
    }
}

/// Frees a table.
///
/// # Safety
/// Called by Lua.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn luaH_free(lua: *mut lua_State, table: *mut Table) {
    // SAFETY: nobody refers to the table any more.
    unsafe {
        if (*table).nodes != empty() {
            let bytes = node_count(table) * size_of::<Node>();
            luaM_realloc_(lua, (*table).nodes.cast(), bytes, 0);
        }
        let bytes = (*table).array_len as usize * size_of::<Slot>();
        if bytes != 0 {
            luaM_realloc_(lua, (*table).array.cast(), bytes, 0);
        }
        luaM_realloc_(lua, table.cast(), size_of::<Table>(), 0);
    }
}

/// How many places of a walk lie before the one behind `key`: elements first, then nodes.
unsafe fn walked(lua: *mut lua_State, table: *mut Table, key: *const Slot) -> usize {
    // SAFETY: a removed key may still be walked from, even if its object is dead by now; it is
    // found by its address alone.
    unsafe {
        if is_nil(key) {
            return 0;
        }
        match int_key(key) {
            Some(int) if int > 0 && int <= (*table).array_len => return int as usize,
            _ => {}
        }
        let place = search(main_position(table, key), |found| {
            let is_dead = found.kind == KIND_DEAD_KEY
                && (*key).kind >= LUA_TSTRING
                && found.value.object == (*key).value.object;
            is_dead || is_equal(found, key)
        });
        if place == absent() {
            refuse(lua, c"invalid key to 'next'");
        }
        let at = place.cast::<Node>().offset_from_unsigned((*table).nodes);
        (*table).array_len as usize + at + 1
    }
}

/// Replaces a key by the next one of the table and its value; 0 if there is none.
///
/// # Safety
/// Called by Lua, with room for two values at `key`.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn luaH_next(
    lua: *mut lua_State,
    table: *mut Table,
    key: *mut Slot,
) -> c_int {
    // SAFETY: as promised.
    unsafe {
        let array_len = (*table).array_len as usize;
        let mut at = walked(lua, table, key);
        while at < array_len {
            let value = (*table).array.add(at);
            at += 1;
            if !is_nil(value) {
                *key = Slot::number(at as f64);
                *key.add(1) = *value;
                return 1;
            }
        }
        for at in at - array_len..node_count(table) {
            let node = (*table).nodes.add(at);
            if !is_nil(&raw const (*node).value) {
                *key = (*node).key;
                *key.add(1) = (*node).value;
                return 1;
            }
        }
        0
    }
}

/// A key between `low`, which has a value or is 0, and `high`, which has none, that has a value
/// and whose next has none.
unsafe fn border_between(mut low: u32, mut high: u32, is_free: impl Fn(u32) -> bool) -> u32 {
    while high - low > 1 {
        let middle = (low + high) / 2;
        if is_free(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    low
}

/// An integer key with a value whose next has none, or 0 if 1 has none.
///
/// # Safety
/// Called by Lua.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn luaH_getn(table: *mut Table) -> c_int {
    // SAFETY: as promised.
    unsafe {
        let len = (*table).array_len as u32;
        let is_free_element = |key: u32| is_nil((*table).array.add(key as usize - 1));
        if len > 0 && is_free_element(len) {
            return border_between(0, len, is_free_element) as c_int;
        }
        if (*table).nodes == empty() {
            return len as c_int;
        }
        let is_free = |key: u32| is_nil(find_int(table, key as c_int));
        let (mut low, mut high) = (len, len + 1);
        while !is_free(high) {
            low = high;
            high *= 2;
            if high > c_int::MAX as u32 {
                // Only keys that were chosen for it lead here.
                return ((1..).find(|&key| is_free(key)).unwrap_or(1) - 1) as c_int;
            }
        }
        border_between(low, high, is_free) as c_int
    }
}
