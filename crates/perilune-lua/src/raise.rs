//! Errors of native functions, and the only place where they become Lua errors.
//!
//! `lua_error` leaves by `longjmp`, which runs no destructors. So a native function is written as
//! an inner Rust function returning `Result<c_int, LuaError>`; [`enter`] calls it, and raises
//! only when every Rust value of it, the error included, is gone. Inner functions use nothing of
//! the Lua API that can raise, except through [`call_out`].
//!
//! [`call_out`] is the one door from native code back into Lua. A function that uses it may be
//! left by `longjmp` at that point, so it is entered by [`enter_calling`] and owns no value with
//! a destructor while calling out.

use std::borrow::Cow;
use std::ffi::{CStr, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

use mlua::ffi::{
    lua_Debug, lua_State, lua_checkstack, lua_concat, lua_error, lua_getinfo, lua_getstack,
    lua_pushlstring_, lua_settop, luaL_where,
};

use crate::interrupt::{check_memory, context};
use crate::state::note_panic;

/// Why a native function fails.
#[derive(Debug)]
pub(crate) enum LuaError {
    /// A message that gets the position of the calling Lua code in front.
    Message(Cow<'static, str>),
    /// A message raised as it is.
    Bare(Cow<'static, str>),
    /// "bad argument #n to 'name' (...)", with position.
    Argument(c_int, Cow<'static, [u8]>),
    /// As `Message`, for texts that quote bytes of the script.
    Bytes(Vec<u8>),
    /// The error value already lies on top of the Lua stack.
    #[allow(dead_code, reason = "for an owner that stops scripts with a value of its own")]
    OnStack,
}

impl LuaError {
    /// What Lua says when memory is refused.
    pub(crate) fn no_memory() -> Self {
        Self::Bare("not enough memory".into())
    }

    /// A message with the caller's position.
    pub(crate) fn msg(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Message(text.into())
    }

    /// A complaint about one argument.
    pub(crate) fn arg(index: c_int, text: impl Into<Cow<'static, str>>) -> Self {
        Self::Argument(
            index,
            match text.into() {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            },
        )
    }

    /// As [`LuaError::arg`], for a text that quotes bytes of the script between two parts.
    pub(crate) fn arg_quoting(index: c_int, before: &str, quoted: &[u8], after: &str) -> Self {
        let text = [before.as_bytes(), quoted, after.as_bytes()].concat();
        Self::Argument(index, Cow::Owned(text))
    }

    /// Leaves the error value on top of the stack and drops the error.
    unsafe fn push(self, lua: *mut lua_State) {
        // SAFETY: pushes at most two values after making room; a concatenation of two short
        // strings neither calls metamethods nor raises, and memory is never refused here.
        unsafe {
            if matches!(self, Self::OnStack) {
                return;
            }
            if lua_checkstack(lua, 3) == 0 {
                // A C function may leave its frame full; the error needs none of it.
                lua_settop(lua, 0);
            }
            match self {
                Self::OnStack => {}
                Self::Bare(text) => push_bytes(lua, text.as_bytes()),
                Self::Message(text) => push_with_position(lua, text.as_bytes()),
                Self::Bytes(text) => push_with_position(lua, &text),
                Self::Argument(index, text) => {
                    let text = argument_text(lua, index, &text);
                    push_with_position(lua, &text);
                }
            }
        }
    }
}

unsafe fn push_with_position(lua: *mut lua_State, text: &[u8]) {
    // SAFETY: see `LuaError::push`.
    unsafe {
        luaL_where(lua, 1);
        push_bytes(lua, text);
        lua_concat(lua, 2);
    }
}

/// Pushes a Lua string.
///
/// # Safety
/// The stack has room for one value and memory is not refused.
pub(crate) unsafe fn push_bytes(lua: *mut lua_State, bytes: &[u8]) {
    // SAFETY: pointer and length are those of a live slice, which Lua copies.
    unsafe { lua_pushlstring_(lua, bytes.as_ptr().cast(), bytes.len()) }
}

/// The text of an argument error, which names the function as the calling code named it.
unsafe fn argument_text(lua: *mut lua_State, mut index: c_int, extra: &[u8]) -> Vec<u8> {
    // SAFETY: the record is plain data and filled for the running function; the name it points
    // to is owned by the function's prototype or constants.
    let (name, is_method) = unsafe {
        let mut record: lua_Debug = std::mem::zeroed();
        if lua_getstack(lua, 0, &mut record) == 0 {
            return [format!("bad argument #{index} (").as_bytes(), extra, b")"].concat();
        }
        lua_getinfo(lua, c"n".as_ptr(), &mut record);
        let name = match record.name.is_null() {
            true => b"?".to_vec(),
            false => CStr::from_ptr(record.name).to_bytes().to_vec(),
        };
        let is_method = !record.namewhat.is_null() && CStr::from_ptr(record.namewhat) == c"method";
        (name, is_method)
    };
    if is_method {
        index -= 1;
        if index == 0 {
            return [b"calling '", &name[..], b"' on bad self (", extra, b")"].concat();
        }
    }
    let head = format!("bad argument #{index} to '");
    [head.as_bytes(), &name, b"' (", extra, b")"].concat()
}

/// Runs a native function that never calls back into Lua, and raises its error. A panic, which
/// must not unwind through Lua's frames, becomes an error as well.
///
/// # Safety
/// Called by Lua on a state of this crate; `inner` keeps the rules of this module.
#[inline]
pub(crate) unsafe fn enter(
    lua: *mut lua_State,
    inner: impl FnOnce(*mut lua_State) -> Result<c_int, LuaError>,
) -> c_int {
    // SAFETY: as promised.
    unsafe {
        context(lua).hooks.in_host.set(true);
        let checked = || check_memory(lua).and_then(|()| inner(lua));
        let outcome = catch_unwind(AssertUnwindSafe(checked))
            .unwrap_or_else(|panic| Err(note_panic(lua, panic)));
        leave(lua, outcome)
    }
}

/// Runs a native function that may call back into Lua, and raises its error.
///
/// # Safety
/// As [`enter`]; in addition `inner` does not panic and owns nothing while it calls out.
#[inline]
pub(crate) unsafe fn enter_calling(
    lua: *mut lua_State,
    inner: impl FnOnce(*mut lua_State) -> Result<c_int, LuaError>,
) -> c_int {
    // SAFETY: as promised.
    unsafe { enter_always(lua, |lua| check_memory(lua).and_then(|()| inner(lua))) }
}

/// [`enter_calling`], even if there is no memory left: for the functions with which a script copes
/// with that.
///
/// # Safety
/// As [`enter_calling`].
#[inline]
pub(crate) unsafe fn enter_always(
    lua: *mut lua_State,
    inner: impl FnOnce(*mut lua_State) -> Result<c_int, LuaError>,
) -> c_int {
    // SAFETY: as promised.
    unsafe {
        context(lua).hooks.in_host.set(true);
        let outcome = inner(lua);
        leave(lua, outcome)
    }
}

/// Ends a native function: its results, or its error as one of Lua's.
#[inline]
unsafe fn leave(lua: *mut lua_State, outcome: Result<c_int, LuaError>) -> c_int {
    // SAFETY: `fail` gets all that is left.
    unsafe {
        match outcome {
            Ok(count) => {
                context(lua).hooks.in_host.set(false);
                count
            }
            Err(error) => fail(lua, error),
        }
    }
}

#[cold]
unsafe fn fail(lua: *mut lua_State, error: LuaError) -> c_int {
    // SAFETY: `push` consumes the error, so the jump passes no destructor.
    unsafe {
        error.push(lua);
        context(lua).hooks.in_host.set(false);
        lua_error(lua)
    }
}

/// Runs `action`, which may execute Lua code and leave by `longjmp`, outside of host mode.
///
/// # Safety
/// Only below [`enter_calling`], with nothing owned by any frame up to it.
pub(crate) unsafe fn call_out<T: Copy>(
    lua: *mut lua_State,
    action: impl FnOnce(*mut lua_State) -> T,
) -> T {
    // SAFETY: a jump out of `action` leaves host mode off, as code that catches it expects.
    unsafe {
        context(lua).hooks.in_host.set(false);
        let result = context(lua).machine.nested(lua, || action(lua));
        context(lua).hooks.in_host.set(true);
        result
    }
}

/// Defines the C function of an inner function: `native!(name, inner)`, or
/// `native!(calling name, inner)` when it calls back into Lua, or `native!(always name, inner)` when
/// it must work without memory as well.
macro_rules! native {
    (always $name:ident, $inner:path) => {
        unsafe extern "C-unwind" fn $name(lua: *mut mlua::ffi::lua_State) -> std::ffi::c_int {
            // SAFETY: registered only in states of this crate.
            unsafe { $crate::raise::enter_always(lua, |lua| $inner(lua)) }
        }
    };
    (calling $name:ident, $inner:path) => {
        unsafe extern "C-unwind" fn $name(lua: *mut mlua::ffi::lua_State) -> std::ffi::c_int {
            // SAFETY: registered only in states of this crate.
            unsafe { $crate::raise::enter_calling(lua, |lua| $inner(lua)) }
        }
    };
    ($name:ident, $inner:path) => {
        unsafe extern "C-unwind" fn $name(lua: *mut mlua::ffi::lua_State) -> std::ffi::c_int {
            // SAFETY: registered only in states of this crate.
            unsafe { $crate::raise::enter(lua, |lua| $inner(lua)) }
        }
    };
}
pub(crate) use native;
