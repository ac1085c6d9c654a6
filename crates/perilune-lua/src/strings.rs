//! Lua's table of strings, with a hash whose collisions a script cannot foresee.
//!
//! Lua 5.1 keeps each string once, in a table of chains. Its own hash has no seed and looks at no
//! more than 32 bytes of a string, so arguments, replies or JSON full of strings that differ
//! elsewhere all share one chain, and each new one costs a walk over all of it. This module defines
//! the three functions of Lua's string module under their names: the linker takes them where it
//! meets them first, which is before Lua's archive, and then has no use for the object file there.
//! The C sources stay as they are.
//!
//! Strings shorter than [`LONG_BYTES`] keep Lua's hash, which looks at all of their bytes: the
//! order in which tables with such keys are walked, seen in every encoded object, stays that of
//! Redis. Their chains can be made long by choosing keys; the questions of the count hook and of
//! the library functions keep a script that does so within reach.
//!
//! The tests of this module fail if the linker did not take these functions.
#![allow(non_snake_case, reason = "Lua's names")]

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use mlua::ffi::{LUA_TSTRING, LUA_TUSERDATA, lua_State};

use crate::layout::{LuaString, Object, StringTable, WHITE_BITS, global, luaM_realloc_};

/// From this length on Lua's own hash skips bytes.
const LONG_BYTES: usize = 32;
/// The collector walks the table of strings.
const STATE_SWEEP_STRINGS: u8 = 2;
/// A table of this many chains does not grow.
const CHAINS_MAX: c_int = (c_int::MAX - 2) / 2;

/// A userdatum; its bytes follow.
#[repr(C)]
struct Userdata {
    object: Object,
    metatable: *mut c_void,
    env: *mut c_void,
    len: usize,
}

unsafe extern "C-unwind" {
    /// Raises.
    fn luaM_toobig(lua: *mut lua_State) -> *mut c_void;
}

/// Makes the linker look for the functions of this module in this crate.
pub(crate) fn claim() {
    std::hint::black_box(luaS_newlstr as *const c_void);
    std::hint::black_box(luaS_newudata as *const c_void);
    std::hint::black_box(luaS_resize as *const c_void);
}

fn seed() -> [u64; 2] {
    static SEED: OnceLock<[u64; 2]> = OnceLock::new();
    *SEED.get_or_init(|| {
        let random = RandomState::new();
        [random.hash_one(0u8), random.hash_one(1u8)]
    })
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// A hash of all bytes, for strings of at least 16.
fn hash_long(bytes: &[u8]) -> c_uint {
    let [mut state, key] = seed();
    state ^= bytes.len() as u64;
    let (pairs, _) = bytes.as_chunks::<16>();
    // What is left behind whole pairs is hashed with what lies before it.
    for pair in pairs.iter().chain(bytes.last_chunk()) {
        let pair = u128::from_le_bytes(*pair);
        state = fold(pair as u64 ^ state, (pair >> 64) as u64 ^ key);
    }
    (state ^ state >> 32) as c_uint
}

/// Lua's own.
fn hash_short(bytes: &[u8]) -> c_uint {
    bytes.iter().rev().fold(bytes.len() as c_uint, |hash, &byte| {
        let mixed = (hash << 5).wrapping_add(hash >> 2).wrapping_add(byte.into());
        hash ^ mixed
    })
}

/// # Safety
/// The table is not being resized.
unsafe fn chain(table: *mut StringTable, hash: c_uint) -> *mut *mut Object {
    // SAFETY: the size is a power of two, so this is one of its chains.
    unsafe { (*table).chains.add((hash & ((*table).size as c_uint).wrapping_sub(1)) as usize) }
}

/// The one string of these bytes.
///
/// # Safety
/// Called by Lua, with `len` bytes at `start`.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn luaS_newlstr(
    lua: *mut lua_State,
    start: *const c_char,
    len: usize,
) -> *mut LuaString {
    // SAFETY: as promised; objects in chains are live strings, whose bytes follow them.
    unsafe {
        let bytes = match len {
            0 => &[],
            _ => std::slice::from_raw_parts(start.cast::<u8>(), len),
        };
        let hash = if len < LONG_BYTES { hash_short(bytes) } else { hash_long(bytes) };
        let global = global(lua);
        let mut object = *chain(&raw mut (*global).strings, hash);
        while !object.is_null() {
            let string = object.cast::<LuaString>();
            let is_equal = (*string).hash == hash
                && (*string).len == len
                && std::slice::from_raw_parts(string.add(1).cast::<u8>(), len) == bytes;
            if is_equal {
                let dead_white = (*global).current_white ^ WHITE_BITS;
                if (*object).marked & dead_white & WHITE_BITS != 0 {
                    (*object).marked ^= WHITE_BITS;
                }
                return string;
            }
            object = (*object).next;
        }
        add(lua, bytes, hash)
    }
}

/// # Safety
/// As [`luaS_newlstr`]; the string is not in the table.
unsafe fn add(lua: *mut lua_State, bytes: &[u8], hash: c_uint) -> *mut LuaString {
    // SAFETY: the block is large enough for the string and its NUL. Allocation may raise, and may
    // not run the collector, so the table is as it was.
    unsafe {
        let global = global(lua);
        let size = size_of::<LuaString>() + bytes.len() + 1;
        let string = luaM_realloc_(lua, std::ptr::null_mut(), 0, size).cast::<LuaString>();
        let table = &raw mut (*global).strings;
        let head = chain(table, hash);
        let marked = (*global).current_white & WHITE_BITS;
        string.write(LuaString {
            next: *head,
            kind: LUA_TSTRING as u8,
            marked,
            reserved: 0,
            hash,
            len: bytes.len(),
        });
        let to = string.add(1).cast::<u8>();
        to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        to.add(bytes.len()).write(0);
        *head = string.cast();
        (*table).used += 1;
        if (*table).used > (*table).size as u32 && (*table).size <= CHAINS_MAX {
            luaS_resize(lua, (*table).size * 2);
        }
        string
    }
}

/// Spreads the strings over `size` chains, a power of two.
///
/// # Safety
/// Called by Lua.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn luaS_resize(lua: *mut lua_State, size: c_int) {
    // SAFETY: every object of the table is moved from a chain of the old array to one of the new.
    unsafe {
        let global = global(lua);
        if (*global).collector_state == STATE_SWEEP_STRINGS {
            return;
        }
        let bytes_of = |size: c_int| size as usize * size_of::<*mut Object>();
        let chains = luaM_realloc_(lua, std::ptr::null_mut(), 0, bytes_of(size));
        let chains = chains.cast::<*mut Object>();
        chains.write_bytes(0, size as usize);
        let table = &raw mut (*global).strings;
        let old = StringTable { chains: (*table).chains, used: 0, size: (*table).size };
        (*table).chains = chains;
        (*table).size = size;
        for at in 0..old.size as usize {
            let mut object = *old.chains.add(at);
            while !object.is_null() {
                let next = (*object).next;
                let head = chain(table, (*object.cast::<LuaString>()).hash);
                (*object).next = *head;
                *head = object;
                object = next;
            }
        }
        luaM_realloc_(lua, old.chains.cast(), bytes_of(old.size), 0);
    }
}

/// A userdatum of `len` bytes.
///
/// # Safety
/// Called by Lua.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn luaS_newudata(
    lua: *mut lua_State,
    len: usize,
    env: *mut c_void,
) -> *mut c_void {
    // SAFETY: the block is large enough; userdata are listed behind the main thread.
    unsafe {
        if len > usize::MAX / 2 {
            return luaM_toobig(lua);
        }
        let size = size_of::<Userdata>() + len;
        let userdata = luaM_realloc_(lua, std::ptr::null_mut(), 0, size).cast::<Userdata>();
        let global = global(lua);
        let main_thread = (*global).main_thread;
        userdata.write(Userdata {
            object: Object {
                next: (*main_thread).next,
                kind: LUA_TUSERDATA as u8,
                marked: (*global).current_white & WHITE_BITS,
            },
            metatable: std::ptr::null_mut(),
            env,
            len,
        });
        (*main_thread).next = userdata.cast();
        userdata.cast()
    }
}

const _: () = assert!(size_of::<Userdata>() == 40);

#[cfg(test)]
mod tests {
    use super::{LuaString, hash_short};
    use crate::raise::push_bytes;
    use crate::state::State;
    use mlua::ffi::{lua_settop, lua_tolstring};
    use std::collections::HashSet;

    fn hash_in_lua(state: &State, bytes: &[u8]) -> u32 {
        let mut len = 0;
        // SAFETY: the state is idle; the string lies on its stack while it is looked at.
        unsafe {
            push_bytes(state.lua(), bytes);
            let start = lua_tolstring(state.lua(), -1, &mut len);
            assert_eq!(len, bytes.len());
            let hash = (*start.cast::<LuaString>().sub(1)).hash;
            lua_settop(state.lua(), 0);
            hash
        }
    }

    #[test]
    fn every_byte_of_a_long_string_counts() {
        let state = State::new();
        for len in [32, 33, 47, 48, 64, 1000] {
            let mut hashes = HashSet::new();
            for at in 0..len {
                let mut bytes = vec![b'x'; len];
                bytes[at] = b'y';
                hashes.insert(hash_in_lua(&state, &bytes));
            }
            assert!(hashes.len() + 3 > len, "{} hashes of {len} strings", hashes.len());
        }
    }

    #[test]
    fn short_strings_have_the_hash_of_lua() {
        let state = State::new();
        assert_eq!(hash_short(b""), 0);
        assert_eq!(hash_short(b"a"), 1 ^ (32 + 97));
        for text in [&b""[..], b"a", b"a longer one of thirty-one byte"] {
            assert_eq!(hash_in_lua(&state, text), hash_short(text));
        }
    }
}
