//! `table.sort`: quicksort with the median of three as pivot.
//!
//! The order in which elements are compared, and so the place of equal ones, is part of what
//! scripts see; it is that of Lua 5.1. The shorter side is sorted by recursion and the longer one
//! by going on, so the depth is at most the logarithm of the length. A comparator may lie,
//! change the table, raise or yield: nothing is owned here, and every index is only an index.

use std::ffi::c_int;

use mlua::ffi::*;

use super::State;
use super::args::{check_stack, check_type};
use super::table::{check_len, check_writable};
use crate::interrupt::tick;
use crate::raise::{LuaError, call_out};

/// Slots used per level of recursion and for a comparison, times the greatest depth.
const STACK_SLOTS: usize = 40;

/// The entry; entered as a function that calls out.
pub(super) unsafe fn sort(lua: State) -> Result<c_int, LuaError> {
    let len = check_len(lua)?;
    check_stack(lua, STACK_SLOTS, "")?;
    if lua_type(lua, 2) > LUA_TNIL {
        check_type(lua, 2, LUA_TFUNCTION)?;
    }
    lua_settop(lua, 2);
    if len > 1 {
        check_writable(lua)?;
    }
    sort_range(lua, 1, len)?;
    Ok(0)
}

/// Whether the value at stack index `a` belongs before that at `b`; both count from the top.
unsafe fn is_less(lua: State, a: c_int, b: c_int) -> Result<bool, LuaError> {
    tick(lua, 1)?;
    if lua_type(lua, 2) == LUA_TNIL {
        return Ok(call_out(lua, |lua| lua_lessthan(lua, a, b)) != 0);
    }
    lua_pushvalue(lua, 2);
    lua_pushvalue(lua, a - 1);
    lua_pushvalue(lua, b - 2);
    call_out(lua, |lua| lua_call(lua, 2, 1));
    let less = lua_toboolean(lua, -1) != 0;
    lua_settop(lua, -2);
    Ok(less)
}

/// Stores the two values on top: the upper one at `i`, the lower one at `j`.
unsafe fn store_two(lua: State, i: c_int, j: c_int) {
    lua_rawseti_(lua, 1, i);
    lua_rawseti_(lua, 1, j);
}

/// Swaps elements `i < j` of the table when they are in the wrong order.
unsafe fn order_two(lua: State, i: c_int, j: c_int) -> Result<(), LuaError> {
    lua_rawgeti_(lua, 1, i);
    lua_rawgeti_(lua, 1, j);
    match is_less(lua, -1, -2)? {
        true => store_two(lua, i, j),
        false => lua_settop(lua, -3),
    }
    Ok(())
}

unsafe fn sort_range(lua: State, mut low: c_int, mut high: c_int) -> Result<(), LuaError> {
    while low < high {
        order_two(lua, low, high)?;
        if high - low == 1 {
            break;
        }
        let middle = low + (high - low) / 2;
        // Unlike `order_two`, the middle is fetched first: comparators see the same arguments,
        // and the element stays on the stack for the second comparison.
        lua_rawgeti_(lua, 1, middle);
        lua_rawgeti_(lua, 1, low);
        if is_less(lua, -2, -1)? {
            store_two(lua, middle, low);
        } else {
            lua_settop(lua, -2);
            lua_rawgeti_(lua, 1, high);
            match is_less(lua, -1, -2)? {
                true => store_two(lua, middle, high),
                false => lua_settop(lua, -3),
            }
        }
        if high - low == 2 {
            break;
        }
        let split = partition(lua, low, high, middle)?;
        // Recurse into the shorter side.
        if split - low < high - split {
            sort_range(lua, low, split - 1)?;
            low = split + 1;
        } else {
            sort_range(lua, split + 1, high)?;
            high = split - 1;
        }
    }
    Ok(())
}

/// Parts `low..=high` by the element at `middle`; the result is where that element ends up.
unsafe fn partition(lua: State, low: c_int, high: c_int, middle: c_int) -> Result<c_int, LuaError> {
    lua_rawgeti_(lua, 1, middle);
    lua_pushvalue(lua, -1);
    lua_rawgeti_(lua, 1, high - 1);
    store_two(lua, middle, high - 1);
    // The pivot stays on the stack, below the two elements being looked at.
    let (mut i, mut j) = (low, high - 1);
    loop {
        i += 1;
        lua_rawgeti_(lua, 1, i);
        while is_less(lua, -1, -2)? {
            if i > high {
                return Err(invalid_order());
            }
            lua_settop(lua, -2);
            i += 1;
            lua_rawgeti_(lua, 1, i);
        }
        j -= 1;
        lua_rawgeti_(lua, 1, j);
        while is_less(lua, -3, -1)? {
            if j < low {
                return Err(invalid_order());
            }
            lua_settop(lua, -2);
            j -= 1;
            lua_rawgeti_(lua, 1, j);
        }
        if j < i {
            lua_settop(lua, -4);
            break;
        }
        store_two(lua, i, j);
    }
    lua_rawgeti_(lua, 1, high - 1);
    lua_rawgeti_(lua, 1, i);
    store_two(lua, high - 1, i);
    Ok(i)
}

fn invalid_order() -> LuaError {
    LuaError::msg("invalid order function for sorting")
}
