//! How Lua reads and writes numbers: what `tonumber`, `tostring`, `..` and arithmetic with strings do.
//!
//! Lua has C's `strtod` and `sprintf` for it, which `numbers.h` replaces where its sources are compiled
//! (`build.rs`). Without that file it has them again, and these functions are not called.

use std::ffi::{CStr, c_char, c_int, c_void};

use mlua::ffi::*;

use super::layout::{Slot, frame, push_number};
use crate::numbers::{PlainText, read_plain};

/// Longer texts are left to C: a counter, a limit or a time of day is shorter.
const TEXT_BYTES_MAX: usize = 24;
/// Lua's own format, `LUA_NUMBER_FMT`, and the digits that it asks for.
const FORMAT: &CStr = c"%.14g";
const PRECISION: i32 = 14;

/// Makes the linker look for the functions of this module in this crate.
pub(super) fn claim() {
    std::hint::black_box(perilune_read_number as *const c_void);
    std::hint::black_box(perilune_write_number as *const c_void);
}

/// `strtod`.
///
/// # Safety
/// Called by Lua, with a text that ends with a NUL.
#[unsafe(no_mangle)]
unsafe extern "C" fn perilune_read_number(text: *const c_char, end: *mut *mut c_char) -> f64 {
    // SAFETY: bytes up to the NUL are read.
    unsafe {
        let len = (0..=TEXT_BYTES_MAX).find(|&at| *text.add(at) == 0);
        if let Some(len) = len
            && let Some((number, read)) =
                read_plain(std::slice::from_raw_parts(text.cast::<u8>(), len))
        {
            *end = text.add(read).cast_mut();
            return number;
        }
        libc::strtod(text, end)
    }
}

/// `sprintf` of a `double`.
///
/// # Safety
/// Called by Lua, with a format for a `double` and room for what `sprintf` would write.
#[unsafe(no_mangle)]
unsafe extern "C" fn perilune_write_number(
    text: *mut c_char,
    format: *const c_char,
    number: f64,
) -> c_int {
    // SAFETY: as promised; a plain text is what `sprintf` would write.
    unsafe {
        if CStr::from_ptr(format) == FORMAT
            && let Some(plain) = PlainText::new().write(number, PRECISION)
        {
            text.cast::<u8>().copy_from_nonoverlapping(plain.as_ptr(), plain.len());
            *text.add(plain.len()) = 0;
            return plain.len() as c_int;
        }
        libc::sprintf(text, format, number)
    }
}

/// `tonumber` of one argument that is a number or a short text that reads as a plain one. Everything else is left to Lua's
/// own function, which reads a text twice and is the upvalue.
///
/// # Safety
/// Called by Lua.
unsafe extern "C-unwind" fn tonumber(lua: *mut lua_State) -> c_int {
    // SAFETY: this function's own frame; what is called has it, too.
    unsafe {
        if let [argument] = frame(lua)
            && let Some(number) = plain_number(argument)
        {
            push_number(lua, number);
            return 1;
        }
        match lua_tocfunction(lua, lua_upvalueindex(1)) {
            Some(stock) => stock(lua),
            None => 0,
        }
    }
}

/// # Safety
/// The value is one of a live state.
#[inline]
unsafe fn plain_number(value: &Slot) -> Option<f64> {
    // SAFETY: as promised.
    let Some(text) = (unsafe { value.as_bytes() }) else { return value.as_number() };
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let (number, read) = read_plain(text)?;
    (read == text.len()).then_some(number)
}

/// Puts [`tonumber`] into the place of Lua's.
///
/// # Safety
/// A state that is being built, whose globals have the base library.
pub(super) unsafe fn open(lua: *mut lua_State) {
    // SAFETY: as promised; memory is not refused.
    unsafe {
        lua_getglobal_(lua, c"tonumber".as_ptr());
        lua_pushcclosure(lua, tonumber, 1);
        lua_setglobal(lua, c"tonumber".as_ptr());
    }
}
