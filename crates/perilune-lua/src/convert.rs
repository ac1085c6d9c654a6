//! Replies of commands as Lua values: [`LuaReplyWriter`].
//!
//! Values are pushed straight onto the Lua stack. Each open aggregate has its table on the stack
//! and a [`Frame`]; a value that is complete is stored into the table below it, which may complete
//! that table in turn. Invariant: between two calls the stack holds, above the start, the tables
//! of the open frames in order (two for a map or set, whose wrapper lies below it, and a key where
//! a map waits for a value), and at the end exactly one value. Once anything was refused, none of
//! them is there any more and all open frames only count.
//!
//! The writer runs inside of the server, below frames that own values, so nothing here may raise a
//! Lua error: memory is never refused (host mode), room on the stack is checked, sizes that Lua's
//! tables cannot hold and keys they refuse are dropped. What did not fit is told by
//! [`finish`](LuaReplyWriter::finish).

use std::ffi::{c_char, c_int};

use mlua::ffi::*;
use perilune_resp::{Deferred, DeferredKind, Protocol, ReplyWriter, format_double};
use smallvec::SmallVec;

use crate::errors;
use crate::raise::push_bytes;
use crate::vm::{frame_len, push_number};

/// Most elements that are kept of one aggregate: Lua's tables end at 2^26.
const ELEMENTS_MAX: usize = 1 << 25;
/// Most elements for which room is made ahead.
const PREALLOCATED_MAX: usize = 1 << 16;
/// Slots one value needs while it is built.
const SLOTS: c_int = 6;
/// Slots a C function has whatever Lua's limit says, less some for its own use.
const GUARANTEED_SLOTS: usize = (LUA_MINSTACK - SLOTS) as usize;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// A table with elements 1, 2, 3...
    Array,
    /// `{map = {}}`; elements are keys and values in turn.
    Map,
    /// `{set = {}}`.
    Set,
    /// Elements that are not kept: of an attribute, or of a reply that is refused. Whatever is
    /// opened within is of this shape too.
    Skip,
}

#[derive(Debug)]
struct Frame {
    shape: Shape,
    /// Elements still to come; `None` when only the end will tell.
    left: Option<usize>,
    /// Elements seen.
    seen: usize,
    /// Whether the whole aggregate counts as an element of the frame below.
    is_value: bool,
}

/// What became of a reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A value lies on the stack.
    Value,
    /// An error table lies on the stack.
    Error,
    /// The reply was too large or too deep; nothing lies on the stack.
    Refused,
}

/// Builds one Lua value from one reply.
pub(crate) struct LuaReplyWriter {
    lua: *mut lua_State,
    protocol: Protocol,
    /// Length of the frame before.
    start: usize,
    frames: SmallVec<[Frame; 4]>,
    is_error: bool,
    refused: bool,
}

impl LuaReplyWriter {
    /// A writer that leaves its value on top of the stack.
    ///
    /// # Safety
    /// Until [`finish`](Self::finish), `lua` is in host mode, runs no code, and its stack is only
    /// used by this writer.
    #[inline]
    pub(crate) unsafe fn new(lua: *mut lua_State, protocol: Protocol) -> Self {
        // SAFETY: as promised.
        let start = unsafe { frame_len(lua) };
        LuaReplyWriter {
            lua,
            protocol,
            start,
            frames: SmallVec::new(),
            is_error: false,
            refused: false,
        }
    }

    /// Ends the reply.
    #[inline]
    pub(crate) fn finish(self) -> Outcome {
        // SAFETY: the stack belongs to this writer, see `new`.
        unsafe {
            let one_value = frame_len(self.lua) == self.start + 1 && self.frames.is_empty();
            if self.refused || !one_value {
                lua_settop(self.lua, self.start as c_int);
                return Outcome::Refused;
            }
        }
        if self.is_error { Outcome::Error } else { Outcome::Value }
    }

    fn is_resp3(&self) -> bool {
        self.protocol == Protocol::Resp3
    }

    /// Whether the next value is to be built, and there is room to do it.
    #[inline]
    fn wants_value(&mut self) -> bool {
        if self.refused || self.frames.last().is_some_and(|frame| frame.shape == Shape::Skip) {
            return false;
        }
        // SAFETY: see `new`; making room can fail but not raise.
        let has_room = unsafe {
            frame_len(self.lua) - self.start < GUARANTEED_SLOTS
                || lua_checkstack(self.lua, SLOTS) != 0
        };
        if !has_room {
            self.refuse();
        }
        has_room
    }

    /// Gives up the whole reply. What was built of it goes at once: a table that lacks a value has
    /// another number of slots on the stack than its frame would say.
    #[cold]
    fn refuse(&mut self) {
        self.refused = true;
        for frame in &mut self.frames {
            frame.shape = Shape::Skip;
        }
        // SAFETY: see `new`; all that lies above the start is this writer's.
        unsafe { lua_settop(self.lua, self.start as c_int) };
    }

    /// Pushes one scalar with `push` and stores it.
    #[inline]
    fn scalar(&mut self, push: impl FnOnce(*mut lua_State)) {
        if self.wants_value() {
            push(self.lua);
            self.stored();
        } else {
            self.counted();
        }
    }

    /// Stores the value on top of the stack, and every aggregate which that completes.
    #[inline]
    fn stored(&mut self) {
        if !self.frames.is_empty() {
            self.store_in_frame();
        }
    }

    fn store_in_frame(&mut self) {
        while let Some(frame) = self.frames.last_mut() {
            frame.seen += 1;
            let seen = frame.seen;
            if seen > ELEMENTS_MAX {
                self.refuse();
            } else {
                // SAFETY: the table of the frame lies where its shape says; see the type.
                unsafe {
                    match frame.shape {
                        Shape::Skip => {}
                        Shape::Array => lua_rawseti_(self.lua, -2, seen as c_int),
                        Shape::Map if seen % 2 == 1 => {}
                        Shape::Map => store_pair(self.lua),
                        Shape::Set => {
                            lua_pushboolean(self.lua, 1);
                            store_pair(self.lua);
                        }
                    }
                }
            }
            if !self.one_less() {
                return;
            }
        }
    }

    /// Counts a value that was not built, and every skipped aggregate which that completes. A loop,
    /// because skipped aggregates may nest as deep as the reply does. All frames down to that of
    /// the attribute, or of the whole reply, are skipped ones.
    fn counted(&mut self) {
        while let Some(frame) = self.frames.last_mut() {
            frame.seen += 1;
            let Some(left) = &mut frame.left else { return };
            *left = left.saturating_sub(1);
            if *left > 0 || !frame.is_value {
                if *left == 0 {
                    self.frames.pop();
                }
                return;
            }
            self.frames.pop();
        }
    }

    /// Takes one from the elements to come; whether that closed the frame and left its value on
    /// the stack to be stored.
    fn one_less(&mut self) -> bool {
        let Some(frame) = self.frames.last_mut() else { return false };
        let Some(left) = &mut frame.left else { return false };
        *left = left.saturating_sub(1);
        *left == 0 && self.close()
    }

    /// Closes the innermost frame; whether its value is left on the stack to be stored.
    fn close(&mut self) -> bool {
        let Some(frame) = self.frames.pop() else { return false };
        // SAFETY: a map or set lies on its wrapper.
        unsafe {
            match frame.shape {
                Shape::Array => true,
                Shape::Map => {
                    if frame.seen % 2 == 1 {
                        lua_pop(self.lua, 1);
                    }
                    wrap(self.lua, b"map");
                    true
                }
                Shape::Set => {
                    wrap(self.lua, b"set");
                    true
                }
                Shape::Skip if frame.is_value => {
                    self.counted();
                    false
                }
                Shape::Skip => false,
            }
        }
    }

    /// Opens an aggregate of `len` elements, or of a length that is told later.
    fn open(&mut self, shape: Shape, len: Option<usize>) {
        let shape = if self.wants_value() { shape } else { Shape::Skip };
        let room = len.unwrap_or(0).min(PREALLOCATED_MAX) as c_int;
        // SAFETY: `wants_value` made room for both tables.
        unsafe {
            match shape {
                Shape::Array => lua_createtable(self.lua, room, 0),
                Shape::Map => {
                    lua_createtable(self.lua, 0, 1);
                    lua_createtable(self.lua, 0, room / 2);
                }
                Shape::Set => {
                    lua_createtable(self.lua, 0, 1);
                    lua_createtable(self.lua, 0, room);
                }
                Shape::Skip => {}
            }
        }
        self.frames.push(Frame { shape, left: len, seen: 0, is_value: true });
        if len == Some(0) && self.close() {
            self.stored();
        }
    }

    /// A table with one field.
    fn tagged(&mut self, name: &[u8], push: impl FnOnce(*mut lua_State)) {
        self.scalar(|lua| {
            // SAFETY: `wants_value` made room for three values.
            unsafe {
                lua_createtable(lua, 0, 1);
                push_bytes(lua, name);
                push(lua);
                lua_rawset(lua, -3);
            }
        });
    }
}

/// Sets the field of the wrapper below a finished map or set.
unsafe fn wrap(lua: *mut lua_State, name: &[u8]) {
    // SAFETY: one slot of `SLOTS` is left for the name; the wrapper lies below the table.
    unsafe {
        push_bytes(lua, name);
        lua_insert(lua, -2);
        lua_rawset(lua, -3);
    }
}

/// Stores the key and value on top of the stack into the table below them, unless Lua would
/// refuse the key.
unsafe fn store_pair(lua: *mut lua_State) {
    // SAFETY: table, key and value lie on the stack; a key that raises is not used.
    unsafe {
        let is_nan = lua_type(lua, -2) == LUA_TNUMBER && lua_tonumber(lua, -2).is_nan();
        if !is_nan && lua_type(lua, -2) != LUA_TNIL {
            lua_rawset(lua, -3);
        } else {
            lua_pop(lua, 2);
        }
    }
}

impl ReplyWriter for LuaReplyWriter {
    fn protocol(&self) -> Protocol {
        self.protocol
    }

    fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    fn status(&mut self, text: &[u8]) {
        // SAFETY: `tagged` made room.
        self.tagged(b"ok", |lua| unsafe { push_bytes(lua, text) });
    }

    fn error(&mut self, text: &[u8]) {
        self.is_error |= self.frames.is_empty();
        self.scalar(|lua| {
            // SAFETY: `wants_value` made room for all of it.
            unsafe {
                errors::push_error_table(lua, &[b"-", text].concat());
                push_bytes(lua, b"ignore_error_stats_update");
                lua_pushboolean(lua, 1);
                lua_rawset(lua, -3);
            }
        });
    }

    fn int(&mut self, value: i64) {
        // SAFETY: `scalar` made room, here and below.
        self.scalar(|lua| unsafe { push_number(lua, value as f64) });
    }

    fn bulk(&mut self, value: &[u8]) {
        // SAFETY: see `int`.
        self.scalar(|lua| unsafe { push_bytes(lua, value) });
    }

    fn null(&mut self) {
        let is_resp3 = self.is_resp3();
        // SAFETY: see `int`.
        self.scalar(|lua| unsafe {
            if is_resp3 { lua_pushnil(lua) } else { lua_pushboolean(lua, 0) }
        });
    }

    fn null_array(&mut self) {
        self.null();
    }

    fn double(&mut self, value: f64) {
        if self.is_resp3() {
            // SAFETY: `tagged` made room.
            return self.tagged(b"double", |lua| unsafe { lua_pushnumber(lua, value) });
        }
        let mut text = Vec::with_capacity(32);
        format_double(value, &mut text);
        self.bulk(&text);
    }

    fn bool(&mut self, value: bool) {
        if !self.is_resp3() {
            return self.int(value.into());
        }
        // SAFETY: see `int`.
        self.scalar(|lua| unsafe { lua_pushboolean(lua, value.into()) });
    }

    fn big_number(&mut self, digits: &[u8]) {
        if !self.is_resp3() {
            return self.bulk(digits);
        }
        // SAFETY: `tagged` made room.
        self.tagged(b"big_number", |lua| unsafe { push_bytes(lua, digits) });
    }

    fn verbatim(&mut self, format: &[u8; 3], text: &[u8]) {
        if !self.is_resp3() {
            return self.bulk(text);
        }
        self.tagged(b"verbatim_string", |lua| {
            // SAFETY: with the two values of `tagged` these are at most five of `SLOTS`.
            unsafe {
                lua_createtable(lua, 0, 2);
                lua_pushlstring_(lua, text.as_ptr().cast::<c_char>(), text.len());
                lua_setfield(lua, -2, c"string".as_ptr());
                lua_pushlstring_(lua, format.as_ptr().cast::<c_char>(), format.len());
                lua_setfield(lua, -2, c"format".as_ptr());
            }
        });
    }

    fn array(&mut self, len: usize) {
        self.open(Shape::Array, Some(len));
    }

    fn map(&mut self, pairs: usize) {
        let shape = if self.is_resp3() { Shape::Map } else { Shape::Array };
        self.open(shape, Some(pairs.saturating_mul(2)));
    }

    fn set(&mut self, len: usize) {
        let shape = if self.is_resp3() { Shape::Set } else { Shape::Array };
        self.open(shape, Some(len));
    }

    fn push(&mut self, len: usize) {
        self.open(Shape::Array, Some(len));
    }

    fn attribute(&mut self, pairs: usize) {
        if pairs > 0 {
            let left = Some(pairs.saturating_mul(2));
            self.frames.push(Frame { shape: Shape::Skip, left, seen: 0, is_value: false });
        }
    }

    fn begin_deferred(&mut self, kind: DeferredKind) -> Deferred {
        let shape = match kind {
            DeferredKind::Map if self.is_resp3() => Shape::Map,
            DeferredKind::Set if self.is_resp3() => Shape::Set,
            _ => Shape::Array,
        };
        self.open(shape, None);
        Deferred { kind, position: self.frames.len() }
    }

    fn end_deferred(&mut self, at: Deferred, _len: usize) {
        // A frame that is not open any more or still holds others was not used like a bracket.
        if at.position != self.frames.len() {
            return self.refuse();
        }
        if self.close() {
            self.stored();
        }
    }
}
