//! Buffers that library functions build strings in.
//!
//! [`Buffer`] borrows one vector that the state keeps, so that building a string usually costs
//! no allocation. It owns memory, so it must be gone before Lua code is called.
//! [`LuaBuffer`] keeps its bytes in a Lua userdatum instead and owns nothing: it may be abandoned
//! at any moment, which is what functions that call back into Lua need.

use std::ffi::{c_char, c_int};

use mlua::ffi::*;

use super::State;
use crate::interrupt::{context, tick};
use crate::raise::{LuaError, push_bytes};

/// Longer copies are made in pieces of this size,
const PIECE_BYTES: usize = 256 << 10;
/// each of which costs so much work. The pages of a long buffer are made while it is filled.
const PIECE_COST: u64 = PIECE_BYTES as u64 / 16;
/// Longest text that one conversion of `printf` makes: width and precision are below 100 and a
/// double has at most 309 digits before the point.
const PRINTED_BYTES_MAX: usize = 512;
/// A vector larger than this goes back to the system after use.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// Raised when a result would pass the limit.
fn too_large() -> LuaError {
    LuaError::msg("resulting string too large")
}

fn no_memory(_: std::collections::TryReserveError) -> LuaError {
    LuaError::no_memory()
}

/// Growing bytes with a size limit.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    bytes_max: usize,
    lua: State,
}

impl Buffer {
    /// An empty buffer, on the state's spare vector if that is free.
    pub(super) unsafe fn new(lua: State) -> Self {
        let libs = &context(lua).libs;
        let mut bytes = libs.scratch.take();
        bytes.clear();
        Self { bytes, bytes_max: libs.string_bytes_max.get(), lua }
    }

    /// Makes room for `more` bytes, or says that the string gets too large.
    pub(super) fn reserve(&mut self, more: usize) -> Result<(), LuaError> {
        let room = self.bytes_max.saturating_sub(self.bytes.len());
        if more > room {
            return Err(too_large());
        }
        if more <= self.bytes.capacity() - self.bytes.len() {
            return Ok(());
        }
        if self.bytes.len() > PIECE_BYTES {
            return self.grow_slowly(more);
        }
        self.bytes.try_reserve(more).map_err(no_memory)
    }

    /// Moves a long content to a larger vector, in pieces.
    #[cold]
    fn grow_slowly(&mut self, more: usize) -> Result<(), LuaError> {
        let doubled = self.bytes.capacity().saturating_mul(2).min(self.bytes_max);
        let mut larger = Vec::new();
        let wanted = doubled.max(self.bytes.len() + more);
        larger.try_reserve_exact(wanted).map_err(no_memory)?;
        for piece in self.bytes.chunks(PIECE_BYTES) {
            // SAFETY: `new` got a state with a context.
            unsafe { tick(self.lua, PIECE_COST)? };
            larger.extend_from_slice(piece);
        }
        self.bytes = larger;
        Ok(())
    }

    #[inline]
    pub(super) fn extend(&mut self, more: &[u8]) -> Result<(), LuaError> {
        if more.len() > self.bytes.capacity() - self.bytes.len() {
            self.reserve(more.len())?;
        }
        if more.len() > PIECE_BYTES {
            return self.extend_slowly(more);
        }
        self.bytes.extend_from_slice(more);
        Ok(())
    }

    #[cold]
    fn extend_slowly(&mut self, more: &[u8]) -> Result<(), LuaError> {
        for piece in more.chunks(PIECE_BYTES) {
            // SAFETY: `new` got a state with a context.
            unsafe { tick(self.lua, PIECE_COST)? };
            self.bytes.extend_from_slice(piece);
        }
        Ok(())
    }

    /// Adds what C's `snprintf`, given a place and the room there, writes for one conversion; as in C
    /// it ends at the first NUL. The room that is lent may lie beyond the size limit, the text may not.
    ///
    /// # Safety
    /// `print` writes what it says, or less if that is more than the room.
    pub(super) unsafe fn extend_printed(
        &mut self,
        print: impl FnOnce(*mut c_char, usize) -> c_int,
    ) -> Result<(), LuaError> {
        let before = self.bytes.len();
        if before > self.bytes_max {
            return Err(too_large());
        }
        if self.bytes.capacity() - before < PRINTED_BYTES_MAX {
            if before > PIECE_BYTES {
                self.grow_slowly(PRINTED_BYTES_MAX)?;
            } else {
                self.bytes.try_reserve(PRINTED_BYTES_MAX).map_err(no_memory)?;
            }
        }
        let place = self.bytes.as_mut_ptr().add(before);
        let len = print(place.cast(), PRINTED_BYTES_MAX);
        let len = usize::try_from(len).unwrap_or(0).min(PRINTED_BYTES_MAX - 1);
        let text = std::slice::from_raw_parts(place, len);
        let len = memchr::memchr(0, text).unwrap_or(len);
        self.bytes.set_len(before + len);
        match before + len > self.bytes_max {
            true => Err(too_large()),
            false => Ok(()),
        }
    }

    #[inline]
    pub(super) fn push(&mut self, byte: u8) -> Result<(), LuaError> {
        self.extend(&[byte])
    }

    /// Empties the buffer.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends `unit` again and again until that made `total` bytes.
    pub(super) fn extend_repeated(&mut self, unit: &[u8], total: usize) -> Result<(), LuaError> {
        self.reserve(total)?;
        let start = self.bytes.len();
        self.extend(&unit[..unit.len().min(total)])?;
        loop {
            let done = self.bytes.len() - start;
            let more = done.min(total - done).min(PIECE_BYTES.max(unit.len()));
            if more == 0 {
                return Ok(());
            }
            if more >= PIECE_BYTES {
                // SAFETY: as above.
                unsafe { tick(self.lua, (more / PIECE_BYTES) as u64 * PIECE_COST)? };
            }
            // Where the next byte of the unit stands; there are two pieces before it at least,
            // or whole units only.
            let from = start + done % unit.len().max(1);
            self.bytes.extend_from_within(from..from + more);
        }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// Pushes the content as a Lua string.
    pub(super) unsafe fn push_to_lua(&self) -> Result<(), LuaError> {
        if self.bytes.len() > self.bytes_max {
            return Err(too_large());
        }
        push_bytes(self.lua, &self.bytes);
        Ok(())
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.capacity() <= KEPT_BYTES_MAX {
            // SAFETY: `new` got a state with a context, and the state outlives its functions.
            let libs = unsafe { &context(self.lua).libs };
            libs.scratch.set(std::mem::take(&mut self.bytes));
        }
    }
}

/// Copies bytes to a place that has room for them; the work for many of them is paid.
unsafe fn copy_in_pieces(lua: State, bytes: &[u8], mut to: *mut u8) -> Result<(), LuaError> {
    for piece in bytes.chunks(PIECE_BYTES) {
        if piece.len() == PIECE_BYTES {
            tick(lua, PIECE_COST)?;
        }
        std::ptr::copy_nonoverlapping(piece.as_ptr(), to, piece.len());
        to = to.add(piece.len());
    }
    Ok(())
}

/// Growing bytes inside a userdatum at a fixed stack slot.
#[derive(Clone, Copy)]
pub(super) struct LuaBuffer {
    slot: c_int,
    start: *mut u8,
    len: usize,
    capacity: usize,
    bytes_max: usize,
}

impl LuaBuffer {
    const START_BYTES: usize = 512;

    /// Pushes the userdatum; it stays at that slot.
    pub(super) unsafe fn push_new(lua: State) -> Self {
        let start = lua_newuserdata(lua, Self::START_BYTES).cast();
        Self {
            slot: lua_gettop(lua),
            start,
            len: 0,
            capacity: Self::START_BYTES,
            bytes_max: context(lua).libs.string_bytes_max.get(),
        }
    }

    pub(super) unsafe fn extend(&mut self, lua: State, more: &[u8]) -> Result<(), LuaError> {
        if more.len() > self.capacity - self.len {
            self.grow(lua, more.len())?;
        }
        copy_in_pieces(lua, more, self.start.add(self.len))?;
        self.len += more.len();
        Ok(())
    }

    unsafe fn grow(&mut self, lua: State, more: usize) -> Result<(), LuaError> {
        let wanted = self.len.saturating_add(more);
        if wanted > self.bytes_max {
            return Err(too_large());
        }
        let capacity = wanted.max(self.capacity * 2);
        let start = lua_newuserdata(lua, capacity).cast::<u8>();
        copy_in_pieces(lua, std::slice::from_raw_parts(self.start, self.len), start)?;
        lua_replace(lua, self.slot);
        self.start = start;
        self.capacity = capacity;
        Ok(())
    }

    /// Pushes the content as a Lua string.
    pub(super) unsafe fn push_to_lua(&self, lua: State) {
        push_bytes(lua, std::slice::from_raw_parts(self.start, self.len));
    }
}
