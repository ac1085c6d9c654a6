//! Lua 5.1's `string`, `table`, `math` and `unpack`, and Redis' `cjson`, `cmsgpack`, `struct` and
//! `bit`, safe against hostile scripts.
//!
//! Results and error texts are those of the C libraries bundled with Redis 7.2. What differs is
//! what a script can do to the process:
//! - no function recurses on the C stack by what a script passes; nesting lives on the heap or on
//!   the Lua stack and is limited;
//! - every loop whose length a script chooses pays to the [interrupt budget](crate::interrupt);
//! - sizes and ranges are checked before they are used, and results have a size limit;
//! - functions that change a table ask first whether it is read-only: within them nothing may raise.
//!
//! Not here: the rest of the base library, and `os`. `string.dump` gives no bytecode away.
//!
//! # Safety of the `unsafe` functions
//! All of them take a `lua_State` of this crate, whose allocator data begins with a
//! [`Context`](crate::interrupt::Context), while Lua is running the native function on it.
//! Stack indices are those of the function's own frame; room is made with `lua_checkstack` before
//! more than Lua's guaranteed 20 slots are used. Slices made from Lua strings are used only while
//! the string is referenced from the stack. Errors are returned and raised by
//! [`raise`](crate::raise), never from within.
#![allow(
    unsafe_op_in_unsafe_fn,
    reason = "whole functions are ffi; the discipline is stated once above"
)]

mod args;
mod base;
mod bit;
mod buffer;
mod cjson;
mod cjson_config;
mod cjson_decode;
mod cjson_encode;
mod cmsgpack;
mod cmsgpack_unpack;
mod convert;
mod format;
mod gsub;
mod math;
mod pattern;
mod sort;
mod string;
mod struct_pack;
mod table;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::ffi::{CStr, c_int};

use mlua::ffi::*;

pub(crate) use base::open_unpack;
pub(crate) use bit::open_bit;
pub(crate) use cjson::open_cjson;
pub(crate) use cmsgpack::open_cmsgpack;
pub(crate) use math::open_math;
pub(crate) use string::open_string;
pub(crate) use struct_pack::open_struct;
pub(crate) use table::{check_writable, open_table};

use crate::interrupt::context;
use cjson_config::JsonConfig;

type State = *mut lua_State;

/// Longest string a library function builds unless the owner sets less.
pub(crate) const STRING_BYTES_MAX: usize = 512 << 20;

/// What library functions remember between calls. One per family of Lua states.
pub(crate) struct LibState {
    random: Cell<u64>,
    /// Where the generator was before the script seeded it.
    random_unseeded: Cell<Option<u64>>,
    json: JsonConfig,
    scratch: Cell<Vec<u8>>,
    /// Longest string a library function builds.
    pub(crate) string_bytes_max: Cell<usize>,
}

impl LibState {
    pub(crate) fn new() -> Self {
        Self {
            random: Cell::new(math::random_start()),
            random_unseeded: Cell::new(None),
            json: JsonConfig::new(),
            scratch: Cell::new(Vec::new()),
            string_bytes_max: Cell::new(STRING_BYTES_MAX),
        }
    }
}

/// Takes back what a script set in the libraries: the options of the shared `cjson`, and the seed of
/// `math.random`, whose own sequence goes on where it was.
///
/// # Safety
/// `lua` is a state of this crate.
pub(crate) unsafe fn reset_settings(lua: *mut lua_State) {
    let libs = &context(lua).libs;
    libs.json.reset();
    if let Some(random) = libs.random_unseeded.take() {
        libs.random.set(random);
    }
}

/// Opens every library of this module.
///
/// # Safety
/// `lua` is a fresh state of this crate, called protected or with memory never refused.
pub(crate) unsafe fn open_all(lua: *mut lua_State) {
    open_string(lua);
    open_table(lua);
    open_math(lua);
    open_unpack(lua);
    open_cjson(lua);
    open_cmsgpack(lua);
    open_struct(lua);
    open_bit(lua);
}

type Entry = (&'static CStr, lua_CFunction);

/// Pushes a new table with the given functions.
unsafe fn push_library(lua: State, entries: &[Entry]) {
    lua_createtable(lua, 0, c_int::try_from(entries.len()).unwrap_or(0));
    for (name, function) in entries {
        lua_pushcclosure(lua, *function, 0);
        lua_setfield(lua, -2, name.as_ptr());
    }
}
