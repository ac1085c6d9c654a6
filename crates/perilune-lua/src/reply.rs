//! The value a script returns, as a reply.
//!
//! A walk without recursion: a script may return tables nested as deep as its memory allows, or a
//! table that contains itself. Tables on the way from the root to the current value lie on the
//! Lua stack, with one [`Level`] each; below [`LEVELS_MAX`] an error stands in for the value, as
//! in Redis. Fields are read raw, so no code of the script runs and nothing can be raised.
//!
//! Tables that share others can stand for a reply exponentially larger than they are. So a reply
//! that is more than a flat table is first [measured](Size), while the script can still be killed
//! and nothing has been written.

use std::ffi::{CStr, c_int};

use mlua::ffi::*;
use perilune_resp::{Deferred, DeferredKind, Protocol, ReplyWriter};
use perilune_script::{Interrupt, ScriptError, ScriptHost};

use crate::errors;
use crate::raise::push_bytes;
use crate::vm::{Value, plain_list, top};

/// Deepest nesting of aggregates that is sent; leaves more than enough of Lua's 8000 slots.
const LEVELS_MAX: usize = 2000;
/// Largest reply, with [`VALUE_BYTES`] for each value of it.
const REPLY_BYTES_MAX: usize = 1 << 30;
/// What a value counts beside its bytes.
const VALUE_BYTES: usize = 8;
/// Elements of a list that is written without measuring it first, at most,
const SHORT_LEN_MAX: usize = 10_000;
/// and bytes of each.
const SHORT_BYTES_MAX: usize = 64 << 10;
/// Values between two questions to the host.
const VALUES_PER_QUESTION: u32 = 10_000;
/// Slots a level of a map uses, and those of the value at hand.
const SLOTS: c_int = 8;

/// An aggregate that is being written.
enum Level {
    /// Elements from the given one to the end; the table is on top of the stack.
    Array { next: c_int, len: c_int },
    /// The map, and its value lie on the stack; the key is written.
    MapValue { deferred: Deferred, pairs: usize },
    /// The map and the key of the pair that was written last (nil at first).
    MapKey { deferred: Deferred, pairs: usize },
    /// The set and the last member (nil at first).
    Set { deferred: Deferred, members: usize },
}

/// Writes the value on top of the stack and removes it. A top-level error table is answered as
/// an error without a place.
///
/// # Safety
/// The main stack of a state that is not running.
pub(crate) unsafe fn write_reply(
    lua: *mut lua_State,
    host: &mut dyn ScriptHost,
    out: &mut dyn ReplyWriter,
) -> Result<(), ScriptError> {
    // SAFETY: as promised; the stack is restored on both paths.
    unsafe {
        let resp3 = host.protocol() == Protocol::Resp3;
        let is_written = match top(lua) {
            Some(value) if value.kind != LUA_TTABLE => {
                write_scalar(value, resp3, out);
                true
            }
            _ => plain_list(lua, -1).is_some_and(|values| write_list(values, resp3, out)),
        };
        if is_written {
            lua_pop(lua, 1);
            return Ok(());
        }
        let index = lua_gettop(lua);
        if lua_type(lua, index) == LUA_TTABLE && has_field(lua, b"err", LUA_TSTRING) {
            let error = errors::table_error(lua, index);
            lua_settop(lua, index - 1);
            return Err(error);
        }
        if lua_type(lua, index) == LUA_TTABLE && !is_flat_and_small(lua) {
            lua_pushvalue(lua, index);
            let measured = measure(lua, resp3, host);
            lua_settop(lua, index);
            if let Err(text) = measured {
                lua_settop(lua, index - 1);
                let text = text.as_bytes().to_vec();
                return Err(ScriptError { text, ..ScriptError::default() });
            }
        }
        // What is being written is no longer ended, but others are to be answered meanwhile.
        let pause = Pause::new(host, false);
        let mut walk = Walk { lua, resp3, levels: Vec::new(), out, pause };
        walk.value();
        while walk.step() {}
        lua_settop(lua, index - 1);
    }
    Ok(())
}

/// Writes what is no table.
///
/// # Safety
/// The value lies on the stack.
#[inline]
unsafe fn write_scalar<W: ReplyWriter + ?Sized>(value: Value<'_>, resp3: bool, out: &mut W) {
    if let Some(number) = value.as_number() {
        return out.int(to_int(number));
    }
    // SAFETY: as promised.
    if let Some(bytes) = unsafe { value.as_bytes() } {
        return out.bulk(bytes);
    }
    match (value.as_boolean(), resp3) {
        (Some(value), true) => out.bool(value),
        (Some(true), false) => out.int(1),
        (Some(false) | None, _) => out.null(),
    }
}

/// Writes a list of few values, none of them a table or a long string, up to the first nil. False
/// for other lists.
///
/// # Safety
/// The values lie in a table on the stack.
unsafe fn write_list<'a>(
    values: impl ExactSizeIterator<Item = Value<'a>> + Clone,
    resp3: bool,
    out: &mut dyn ReplyWriter,
) -> bool {
    let is_nil = |value: Value<'_>| value.kind == LUA_TNIL;
    let len = values.clone().position(is_nil).unwrap_or(values.len());
    let is_short = |value: Value<'_>| {
        // SAFETY: as promised.
        let bytes = unsafe { value.as_bytes() };
        bytes.map_or(value.kind != LUA_TTABLE, |bytes| bytes.len() <= SHORT_BYTES_MAX)
    };
    if len > SHORT_LEN_MAX || !values.clone().take(len).all(is_short) {
        return false;
    }
    out.array(len);
    for value in values.take(len) {
        // SAFETY: as promised.
        unsafe { write_scalar(value, resp3, out) };
    }
    true
}

/// Whether the table on top of the stack is an array of few short scalars.
unsafe fn is_flat_and_small(lua: *mut lua_State) -> bool {
    // SAFETY: as `write_reply`.
    unsafe {
        for at in 1..=SHORT_LEN_MAX as c_int {
            lua_rawgeti_(lua, -1, at);
            let kind = lua_type(lua, -1);
            let is_long = kind == LUA_TSTRING && lua_objlen(lua, -1) > SHORT_BYTES_MAX;
            lua_pop(lua, 1);
            match kind {
                LUA_TNIL => {
                    return !has_field(lua, b"map", LUA_TTABLE)
                        && !has_field(lua, b"set", LUA_TTABLE);
                }
                LUA_TTABLE => return false,
                _ if is_long => return false,
                _ => {}
            }
        }
    }
    false
}

/// Sees that the value on top of the stack makes a reply of bearable size; if not, answers why.
unsafe fn measure(
    lua: *mut lua_State,
    resp3: bool,
    host: &mut dyn ScriptHost,
) -> Result<(), &'static str> {
    let mut size = Size(0);
    let pause = Pause::new(host, true);
    let mut walk = Walk { lua, resp3, levels: Vec::new(), out: &mut size, pause };
    // SAFETY: as `write_reply`.
    unsafe {
        walk.value();
        while walk.pause.killed.is_none() && walk.out.0 <= REPLY_BYTES_MAX && walk.step() {}
    }
    if let Some(text) = walk.pause.killed {
        return Err(text);
    }
    if size.0 > REPLY_BYTES_MAX { Err(errors::SCRIPT_REPLY_TOO_LARGE) } else { Ok(()) }
}

/// Whether the table on top of the stack has a field of this type. Leaves the stack as it was.
unsafe fn has_field(lua: *mut lua_State, name: &[u8], kind: c_int) -> bool {
    // SAFETY: as `write_reply`.
    unsafe {
        let found = push_field(lua, name, kind);
        if found {
            lua_pop(lua, 1);
        }
        found
    }
}

/// Pushes a field of the table on top of the stack, if it has this type.
unsafe fn push_field(lua: *mut lua_State, name: &[u8], kind: c_int) -> bool {
    // SAFETY: as `write_reply`.
    unsafe {
        push_bytes(lua, name);
        lua_rawget_(lua, -2);
        let found = lua_type(lua, -1) == kind;
        if !found {
            lua_pop(lua, 1);
        }
        found
    }
}

/// The bytes of the string at `index`, valid while it lies on the stack.
unsafe fn bytes_at<'a>(lua: *mut lua_State, index: c_int) -> &'a [u8] {
    let mut len = 0;
    // SAFETY: the caller saw that a string lies there, so nothing is converted.
    unsafe {
        let start = lua_tolstring(lua, index, &mut len);
        if start.is_null() { &[] } else { std::slice::from_raw_parts(start.cast(), len) }
    }
}

/// A number as C converts it: cut to an integer, what does not fit is the smallest one.
fn to_int(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) { number as i64 } else { i64::MIN }
}

/// A writer that only adds up what it is given.
struct Size(usize);

impl Size {
    fn add(&mut self, bytes: usize) {
        self.0 = self.0.saturating_add(bytes).saturating_add(VALUE_BYTES);
    }
}

impl ReplyWriter for Size {
    fn protocol(&self) -> Protocol {
        Protocol::Resp3
    }

    fn set_protocol(&mut self, _protocol: Protocol) {}

    fn status(&mut self, text: &[u8]) {
        self.add(text.len());
    }

    fn error(&mut self, text: &[u8]) {
        self.add(text.len());
    }

    fn int(&mut self, _value: i64) {
        self.add(0);
    }

    fn bulk(&mut self, value: &[u8]) {
        self.add(value.len());
    }

    fn null(&mut self) {
        self.add(0);
    }

    fn null_array(&mut self) {
        self.add(0);
    }

    fn double(&mut self, _value: f64) {
        self.add(0);
    }

    fn bool(&mut self, _value: bool) {
        self.add(0);
    }

    fn big_number(&mut self, digits: &[u8]) {
        self.add(digits.len());
    }

    fn verbatim(&mut self, _format: &[u8; 3], text: &[u8]) {
        self.add(text.len());
    }

    fn array(&mut self, _len: usize) {
        self.add(0);
    }

    fn map(&mut self, _pairs: usize) {
        self.add(0);
    }

    fn set(&mut self, _len: usize) {
        self.add(0);
    }

    fn push(&mut self, _len: usize) {
        self.add(0);
    }

    fn attribute(&mut self, _pairs: usize) {}

    fn begin_deferred(&mut self, kind: DeferredKind) -> Deferred {
        self.add(0);
        Deferred { kind, position: 0 }
    }

    fn end_deferred(&mut self, _at: Deferred, _len: usize) {}
}

/// Asks the host every so many values.
struct Pause<'a> {
    host: &'a mut dyn ScriptHost,
    left: u32,
    /// The run can still be ended: nothing was written.
    may_end: bool,
    /// The host said that it must end.
    killed: Option<&'static str>,
}

impl<'a> Pause<'a> {
    fn new(host: &'a mut dyn ScriptHost, may_end: bool) -> Self {
        Pause { host, left: VALUES_PER_QUESTION, may_end, killed: None }
    }

    /// Counts a value.
    #[inline]
    fn count(&mut self) {
        self.left -= 1;
        if self.left == 0 {
            self.left = VALUES_PER_QUESTION;
            if let Interrupt::Kill(text) = self.host.interrupt() {
                self.killed = self.may_end.then_some(text);
            }
        }
    }
}

struct Walk<'a, W: ReplyWriter + ?Sized> {
    lua: *mut lua_State,
    resp3: bool,
    levels: Vec<Level>,
    out: &'a mut W,
    pause: Pause<'a>,
}

impl<W: ReplyWriter + ?Sized> Walk<'_, W> {
    /// Goes on with the innermost aggregate; false when none is left.
    unsafe fn step(&mut self) -> bool {
        let lua = self.lua;
        let Some(level) = self.levels.pop() else { return false };
        self.pause.count();
        // SAFETY: the stack holds what the level says; keys come from `lua_next` itself and the
        // tables do not change meanwhile, so it does not raise.
        unsafe {
            match level {
                Level::Array { next, len } if next > len => lua_pop(lua, 1),
                Level::Array { next, len } => {
                    lua_rawgeti_(lua, -1, next);
                    self.levels.push(Level::Array { next: next + 1, len });
                    self.value();
                }
                Level::MapKey { deferred, pairs } => {
                    if lua_next(lua, -2) == 0 {
                        lua_pop(lua, 1);
                        self.out.end_deferred(deferred, pairs);
                        return true;
                    }
                    // The value waits below a copy of its key.
                    lua_insert(lua, -2);
                    lua_pushvalue(lua, -1);
                    self.levels.push(Level::MapValue { deferred, pairs });
                    self.value();
                }
                Level::MapValue { deferred, pairs } => {
                    lua_insert(lua, -2);
                    self.levels.push(Level::MapKey { deferred, pairs: pairs + 1 });
                    self.value();
                }
                Level::Set { deferred, members } => {
                    if lua_next(lua, -2) == 0 {
                        lua_pop(lua, 1);
                        self.out.end_deferred(deferred, members);
                        return true;
                    }
                    lua_pop(lua, 1);
                    lua_pushvalue(lua, -1);
                    self.levels.push(Level::Set { deferred, members: members + 1 });
                    self.value();
                }
            }
        }
        true
    }

    /// Writes the value on top of the stack and removes it, or opens a level for it.
    unsafe fn value(&mut self) {
        let lua = self.lua;
        // SAFETY: as `write_reply`.
        unsafe {
            match top(lua) {
                Some(value) if value.kind != LUA_TTABLE => {
                    write_scalar(value, self.resp3, self.out);
                }
                _ => return self.table(),
            }
            lua_pop(lua, 1);
        }
    }

    unsafe fn table(&mut self) {
        let lua = self.lua;
        // SAFETY: as `write_reply`.
        unsafe {
            if self.levels.len() >= LEVELS_MAX || lua_checkstack(lua, SLOTS) == 0 {
                self.out.error(errors::REPLY_TOO_DEEP);
                return lua_pop(lua, 1);
            }
            let top = lua_gettop(lua);
            if self.tagged(top) {
                return lua_settop(lua, top - 1);
            }
            if push_field(lua, b"map", LUA_TTABLE) {
                let deferred = self.out.begin_deferred(DeferredKind::Map);
                lua_remove(lua, -2);
                lua_pushnil(lua);
                return self.levels.push(Level::MapKey { deferred, pairs: 0 });
            }
            if push_field(lua, b"set", LUA_TTABLE) {
                let deferred = self.out.begin_deferred(DeferredKind::Set);
                lua_remove(lua, -2);
                lua_pushnil(lua);
                return self.levels.push(Level::Set { deferred, members: 0 });
            }
            let len = self.array_len();
            self.out.array(len as usize);
            self.levels.push(Level::Array { next: 1, len });
        }
    }

    /// Writes a table that stands for one scalar; what is left on the stack is the caller's.
    unsafe fn tagged(&mut self, top: c_int) -> bool {
        let lua = self.lua;
        // SAFETY: as `write_reply`.
        unsafe {
            if push_field(lua, b"err", LUA_TSTRING) {
                lua_settop(lua, top);
                let error = errors::table_error(lua, top);
                if !self.pause.may_end {
                    self.pause.host.note_error(&error.text, error.counted);
                }
                self.out.error(&error.text);
                return true;
            }
            if push_field(lua, b"ok", LUA_TSTRING) {
                // Redis reads a C string here.
                let text = CStr::from_ptr(lua_tolstring(lua, -1, std::ptr::null_mut()));
                self.out.status(text.to_bytes());
                return true;
            }
            if push_field(lua, b"double", LUA_TNUMBER) {
                self.out.double(lua_tonumber(lua, -1));
                return true;
            }
            if push_field(lua, b"big_number", LUA_TSTRING) {
                self.out.big_number(&without_line_ends(bytes_at(lua, -1)));
                return true;
            }
            self.verbatim()
        }
    }

    unsafe fn verbatim(&mut self) -> bool {
        let lua = self.lua;
        // SAFETY: as `write_reply`.
        unsafe {
            if !push_field(lua, b"verbatim_string", LUA_TTABLE) {
                return false;
            }
            if !push_field(lua, b"format", LUA_TSTRING) {
                lua_pop(lua, 1);
                return false;
            }
            let mut format = *b"   ";
            for (to, from) in format.iter_mut().zip(bytes_at(lua, -1)) {
                *to = *from;
            }
            lua_pop(lua, 1);
            let found = push_field(lua, b"string", LUA_TSTRING);
            if found {
                self.out.verbatim(&format, bytes_at(lua, -1));
                lua_pop(lua, 1);
            }
            lua_pop(lua, 1);
            found
        }
    }

    /// Number of elements of the table on top of the stack before the first nil.
    unsafe fn array_len(&mut self) -> c_int {
        let mut len = 0;
        // SAFETY: as `write_reply`.
        unsafe {
            loop {
                lua_rawgeti_(self.lua, -1, len + 1);
                let is_nil = lua_type(self.lua, -1) == LUA_TNIL;
                lua_pop(self.lua, 1);
                if is_nil || len == c_int::MAX - 1 || self.pause.killed.is_some() {
                    return len;
                }
                self.pause.count();
                len += 1;
            }
        }
    }
}

/// `text` on one line.
fn without_line_ends(text: &[u8]) -> Vec<u8> {
    let flat = |&byte: &u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte };
    text.iter().map(flat).collect()
}
