//! Lua's table of strings, with chains that a script cannot make long.
//!
//! Lua keeps each string once, in a table of chains. Its own hash has no seed, so arguments,
//! replies or JSON can be full of strings that share one chain, and each new one costs a walk over
//! all of it. Here a string has one of two hashes:
//!
//! - strings of at most [`FAMILIAR_BYTES`] have Lua's, as Redis builds it, over all bytes: tables
//!   with such keys are walked in the order in which Redis walks them;
//! - longer ones, and those that would make a chain longer than [`CHAIN_MAX`], have a hash with a
//!   seed. Walking a table with such keys follows another order in each process.
//!
//! Invariants: a string is in the chain of either hash and in no other, and never changes its hash,
//! because tables rely on it. A short string has the seeded one only if [`CROWDED`] is set, which
//! stays set for good: chains get shorter again, and what was put elsewhere must still be found.
//!
//! This module defines the functions of Lua's string module under their names: the linker takes
//! them where it meets them first, which is before Lua's archive, and then has no use for the
//! object file there. The C sources stay as they are. Errors leave by `longjmp`, so no frame here
//! owns anything.
//!
//! The tests of this module fail if the linker did not take these functions.
#![allow(non_snake_case, reason = "Lua's names")]

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use mlua::ffi::{LUA_TSTRING, LUA_TUSERDATA, lua_State};

use crate::interrupt::breathe;
use crate::vm::puc::layout::{
    LuaString, Object, StringTable, WHITE_BITS, global, luaM_realloc_, luaM_toobig,
};
use crate::vm::puc::secret::{fold, seed};

/// Up to this length strings have Lua's own hash, which takes a step for each byte.
const FAMILIAR_BYTES: usize = 64;
/// A chain longer than this is not chance: there are at least as many chains as strings.
const CHAIN_MAX: usize = 64;
/// Long strings are hashed and copied in pieces of so many bytes, with a question to the host
/// between two of them,
const PIECE_BYTES: usize = 1 << 20;
const PIECE_PAIRS: usize = PIECE_BYTES / 16;
/// and the table is built anew in pieces of so many chains.
const PIECE_CHAINS: usize = 8 << 10;
/// The collector walks the table of strings.
const STATE_SWEEP_STRINGS: u8 = 2;
/// A table of this many chains does not grow.
const CHAINS_MAX: c_int = (c_int::MAX - 2) / 2;

/// Whether a short string may have the seeded hash, in any state of this process.
static CROWDED: AtomicBool = AtomicBool::new(false);

/// A userdatum; its bytes follow.
#[repr(C)]
struct Userdata {
    object: Object,
    metatable: *mut c_void,
    env: *mut c_void,
    len: usize,
}

/// Makes the linker look for the functions of this module in this crate.
pub(crate) fn claim() {
    std::hint::black_box(luaS_newlstr as *const c_void);
    std::hint::black_box(luaS_newudata as *const c_void);
    std::hint::black_box(luaS_resize as *const c_void);
}

/// A hash that nobody can foresee, of all bytes. `pause` is called between pieces of long strings.
fn hash_seeded(bytes: &[u8], pause: impl Fn()) -> c_uint {
    let [mut state, key] = seed();
    state ^= bytes.len() as u64;
    let (pairs, rest) = bytes.as_chunks::<16>();
    let mut last = [0; 16];
    last[..rest.len()].copy_from_slice(rest);
    let mut add = |pair: &[u8; 16]| {
        let pair = u128::from_le_bytes(*pair);
        state = fold(pair as u64 ^ state, (pair >> 64) as u64 ^ key);
    };
    let (pieces, pairs) = pairs.as_chunks::<PIECE_PAIRS>();
    for piece in pieces {
        piece.iter().for_each(&mut add);
        pause();
    }
    pairs.iter().for_each(&mut add);
    add(&last);
    (state ^ state >> 32) as c_uint
}

/// Lua's own.
fn hash_familiar(bytes: &[u8]) -> c_uint {
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
    // SAFETY: as promised.
    unsafe {
        let bytes = match len {
            0 => &[],
            _ => std::slice::from_raw_parts(start.cast::<u8>(), len),
        };
        let is_familiar = len <= FAMILIAR_BYTES;
        let hash = match is_familiar {
            true => hash_familiar(bytes),
            false => hash_seeded(bytes, || breathe(lua)),
        };
        match find(lua, bytes, hash) {
            Ok(string) => string,
            Err(passed) if is_familiar && (passed > CHAIN_MAX || CROWDED.load(Relaxed)) => {
                find_or_add_crowded(lua, bytes, hash, passed)
            }
            Err(_) => add(lua, bytes, hash),
        }
    }
}

/// The string of these bytes if it is in the chain of `hash`, or how many others are there.
///
/// # Safety
/// As [`luaS_newlstr`].
#[inline]
unsafe fn find(lua: *mut lua_State, bytes: &[u8], hash: c_uint) -> Result<*mut LuaString, usize> {
    // SAFETY: objects in chains are strings, whose bytes follow them.
    unsafe {
        let global = global(lua);
        let mut object = *chain(&raw mut (*global).strings, hash);
        let mut passed = 0;
        while !object.is_null() {
            let string = object.cast::<LuaString>();
            let is_equal = (*string).hash == hash
                && (*string).len == bytes.len()
                && std::slice::from_raw_parts(string.add(1).cast::<u8>(), bytes.len()) == bytes;
            if is_equal {
                // The collector may have given it up already.
                let dead_white = (*global).current_white ^ WHITE_BITS;
                if (*object).marked & dead_white & WHITE_BITS != 0 {
                    (*object).marked ^= WHITE_BITS;
                }
                return Ok(string);
            }
            object = (*object).next;
            passed += 1;
        }
        Err(passed)
    }
}

/// A short string that is not where its own hash says: there, or elsewhere if there are `passed`
/// others.
///
/// # Safety
/// As [`luaS_newlstr`].
#[cold]
unsafe fn find_or_add_crowded(
    lua: *mut lua_State,
    bytes: &[u8],
    hash: c_uint,
    passed: usize,
) -> *mut LuaString {
    let other_hash = hash_seeded(bytes, || {});
    // SAFETY: as promised.
    unsafe {
        if let Ok(string) = find(lua, bytes, other_hash) {
            return string;
        }
        if passed <= CHAIN_MAX {
            return add(lua, bytes, hash);
        }
        CROWDED.store(true, Relaxed);
        add(lua, bytes, other_hash)
    }
}

/// # Safety
/// As [`luaS_newlstr`]; the string is not in the table.
unsafe fn add(lua: *mut lua_State, bytes: &[u8], hash: c_uint) -> *mut LuaString {
    // SAFETY: the block is large enough for the string and its NUL. Allocation may raise, and may
    // not run the collector, so the table is as it was.
    unsafe {
        if bytes.len() > isize::MAX as usize - size_of::<LuaString>() - 1 {
            luaM_toobig(lua);
        }
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
        let (pieces, rest) = bytes.as_chunks::<PIECE_BYTES>();
        for (at, piece) in pieces.iter().enumerate() {
            to.add(at * PIECE_BYTES).copy_from_nonoverlapping(piece.as_ptr(), PIECE_BYTES);
            breathe(lua);
        }
        let done = bytes.len() - rest.len();
        to.add(done).copy_from_nonoverlapping(rest.as_ptr(), rest.len());
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
            if at % PIECE_CHAINS == PIECE_CHAINS - 1 {
                breathe(lua);
            }
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
        if len > isize::MAX as usize - size_of::<Userdata>() {
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

// The size in Lua 5.1.5 on systems with pointers of eight bytes.
const _: () = assert!(size_of::<Userdata>() == 40);

#[cfg(test)]
mod tests;
