//! One Lua state with everything that belongs to it: [`State`] and [`EngineContext`].
//!
//! The bottom of the main stack is never popped and holds the values every run needs (see
//! [`slot`]); a run starts and ends with the stack at [`slot::TOP`]. Values in slots are found
//! without a lookup and are roots of the garbage collector.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use mlua::ffi::*;
use perilune_script::{Interrupt, ScriptHost};

use crate::alloc::{Heap, allocate};
use crate::errors;
use crate::interrupt::{self, BUDGET_UNITS};
use crate::raise::LuaError;
use crate::register::LibraryDraft;

/// Fixed places at the bottom of the main stack.
pub(crate) mod slot {
    use std::ffi::c_int;

    /// The handler that turns errors into tables with a place.
    pub(crate) const ERROR_HANDLER: c_int = 1;
    /// The `KEYS` table of scripts.
    pub(crate) const KEYS: c_int = 2;
    /// The `ARGV` table of scripts.
    pub(crate) const ARGV: c_int = 3;
    /// What scripts see as `_G`: the proxy of `SCRIPT_GLOBALS`.
    pub(crate) const SCRIPT_ENV: c_int = 4;
    /// The table behind `SCRIPT_ENV`.
    pub(crate) const SCRIPT_GLOBALS: c_int = 5;
    /// What functions see as `_G`.
    pub(crate) const FUNCTION_ENV: c_int = 6;
    /// The metatable of `FUNCTION_ENV`, whose `__index` is one of the next two.
    pub(crate) const FUNCTION_ENV_META: c_int = 7;
    /// The globals while functions run.
    pub(crate) const FUNCTION_GLOBALS: c_int = 8;
    /// The globals while a library is loaded.
    pub(crate) const LIBRARY_GLOBALS: c_int = 9;
    /// The height of an idle main stack.
    pub(crate) const TOP: c_int = 9;
}

/// Longest chunk the compiler is given; Lua's lexer counts some things in `int`.
pub(crate) const SOURCE_BYTES_MAX: usize = 512 << 20;

/// Bytecode instructions between two questions to the host: well under a millisecond.
const HOOK_INSTRUCTIONS: c_int = 100_000;

/// A heap below this size is collected seldom: a full cycle over the libraries alone costs as much
/// as a hundred short scripts, while its garbage is small change.
const SMALL_HEAP_BYTES: usize = 1 << 20;
/// How far a small heap may grow before the next cycle, percent.
const SMALL_HEAP_PAUSE: c_int = 1000;
/// The same for others; Lua's default.
const PAUSE: c_int = 200;

/// Sets the collector's pace by the size of the heap.
///
/// # Safety
/// `lua` belongs to a live [`State`].
pub(crate) unsafe fn pace_collector(lua: *mut lua_State) {
    // SAFETY: only a number is set.
    unsafe {
        let is_small = context(lua).heap.used_bytes.get() < SMALL_HEAP_BYTES;
        lua_gc(lua, LUA_GCSETPAUSE, if is_small { SMALL_HEAP_PAUSE } else { PAUSE });
    }
}

/// What every `lua_State` of an engine can reach: the allocator's user data.
///
/// Only ever shared, through [`context`]; all fields that change are cells.
#[repr(C)]
pub(crate) struct EngineContext {
    /// First, because the library functions know only this part.
    pub(crate) base: interrupt::Context,
    /// The allocator's books.
    pub(crate) heap: Heap,
    /// True while a script runs, that is, below a protected call.
    pub(crate) running: Cell<bool>,
    /// Set once the run must end, with the text of its error. Nothing that a script can do
    /// catches the error then: every function that catches errors looks here first.
    pub(crate) killed: Cell<Option<&'static str>>,
    /// The server, for the duration of a run.
    host: Cell<Option<NonNull<dyn ScriptHost>>>,
    /// A panic of the host, on its way around Lua's frames.
    pub(crate) panic: Cell<Option<Box<dyn Any + Send>>>,
    /// The script used `setfenv`, so environments must be put back after the run.
    pub(crate) environment_changed: Cell<bool>,
    /// Lua's own `setfenv`.
    pub(crate) stock_setfenv: Cell<Option<lua_CFunction>>,
    /// The library that is being loaded.
    pub(crate) draft: RefCell<Option<LibraryDraft>>,
}

/// The context behind a state.
///
/// # Safety
/// `lua` belongs to a live [`State`].
pub(crate) unsafe fn context<'a>(lua: *mut lua_State) -> &'a EngineContext {
    let mut data = std::ptr::null_mut();
    // SAFETY: the allocator of every state of this crate carries an `EngineContext`.
    unsafe {
        lua_getallocf(lua, &mut data);
        &*data.cast::<EngineContext>()
    }
}

/// Lets `action` use the host of the current run. A panic of the host becomes an error that
/// ends the run; it goes on as a panic when Lua's frames are gone.
///
/// # Safety
/// `lua` is the running state of an engine and in host mode; `action` executes no Lua code. On
/// error the error value lies on top of the stack.
pub(crate) unsafe fn with_host<T>(
    lua: *mut lua_State,
    action: impl FnOnce(&mut dyn ScriptHost) -> T,
) -> Result<T, LuaError> {
    // SAFETY: the pointer is set only while the borrow it came from is alive, and no second
    // reference exists: `action` cannot reach this function again without executing Lua code.
    unsafe {
        let context = context(lua);
        let Some(mut host) = context.host.get() else {
            return Err(errors::push_error(lua, b"only available while a script runs"));
        };
        match catch_unwind(AssertUnwindSafe(|| action(host.as_mut()))) {
            Ok(value) => Ok(value),
            Err(panic) => {
                context.panic.set(Some(panic));
                context.killed.set(Some(errors::INTERNAL));
                Err(errors::push_kill(lua))
            }
        }
    }
}

/// Asks the host whether the script may go on.
///
/// # Safety
/// As [`with_host`].
unsafe fn ask_host(lua: *mut lua_State) -> Result<(), LuaError> {
    // SAFETY: as promised.
    unsafe {
        let context = context(lua);
        if context.killed.get().is_some() {
            return Err(errors::push_kill(lua));
        }
        if context.host.get().is_none() {
            return Ok(());
        }
        match with_host(lua, |host| host.interrupt())? {
            Interrupt::Continue => Ok(()),
            Interrupt::Kill(text) => {
                context.killed.set(Some(text));
                Err(errors::push_kill(lua))
            }
        }
    }
}

/// The count hook.
unsafe extern "C-unwind" fn on_count(lua: *mut lua_State, _record: *mut lua_Debug) {
    // SAFETY: installed only in states of this crate; nothing is owned when the error is raised.
    unsafe {
        let hooks = &context(lua).base.hooks;
        hooks.in_host.set(true);
        pace_collector(lua);
        let answer = ask_host(lua).is_ok();
        hooks.in_host.set(false);
        if !answer {
            lua_error(lua);
        }
    }
}

/// A Lua state and its context.
pub(crate) struct State {
    lua: *mut lua_State,
    context: Box<EngineContext>,
}

impl State {
    /// A state with an empty stack, no libraries and the hooks in place.
    pub(crate) fn new() -> Self {
        let context = Box::new(EngineContext {
            base: interrupt::Context::new(),
            heap: Heap::new(),
            running: Cell::new(false),
            killed: Cell::new(None),
            host: Cell::new(None),
            panic: Cell::new(None),
            environment_changed: Cell::new(false),
            stock_setfenv: Cell::new(None),
            draft: RefCell::new(None),
        });
        context.base.hooks.on_exhausted.set(Some(ask_host));
        let data = (&raw const *context).cast_mut().cast();
        // SAFETY: the context is boxed and outlives the state. Coroutines inherit the hook. With
        // `running` unset memory is never refused, so the state is never null.
        let lua = unsafe {
            let lua = lua_newstate(allocate, data);
            pace_collector(lua);
            lua_sethook(lua, Some(on_count), LUA_MASKCOUNT, HOOK_INSTRUCTIONS);
            lua
        };
        State { lua, context }
    }

    /// The main thread.
    #[inline]
    pub(crate) fn lua(&self) -> *mut lua_State {
        self.lua
    }

    /// What all threads share.
    #[inline]
    pub(crate) fn context(&self) -> &EngineContext {
        &self.context
    }

    /// Calls the function below `args` arguments, with `host` reachable, and leaves `results`
    /// results or the error value.
    ///
    /// # Safety
    /// Function and arguments lie on top of the main stack, whose slots are filled.
    pub(crate) unsafe fn run(
        &self,
        host: &mut dyn ScriptHost,
        args: c_int,
        results: c_int,
        handler: c_int,
    ) -> c_int {
        let context = &*self.context;
        // SAFETY: only the lifetime is changed; the pointer is taken back below, before the
        // borrow ends, and `lua_pcall` returns on every path.
        let host = unsafe {
            std::mem::transmute::<NonNull<dyn ScriptHost + '_>, NonNull<dyn ScriptHost>>(
                NonNull::from(host),
            )
        };
        context.host.set(Some(host));
        context.killed.set(None);
        context.base.hooks.budget.set(BUDGET_UNITS);
        context.running.set(true);
        // SAFETY: as promised by the caller.
        let status = unsafe { lua_pcall(self.lua, args, results, handler) };
        context.base.hooks.in_host.set(false);
        context.running.set(false);
        status
    }

    /// Takes the host away again and lets a panic of it go on.
    pub(crate) fn end_run(&self) {
        self.context.host.set(None);
        if let Some(panic) = self.context.panic.take() {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // SAFETY: the state is closed once, before its context goes. No finalizer can run: see
        // `newproxy`.
        unsafe { lua_close(self.lua) }
    }
}

/// A chunk on its way into the compiler. The first piece is a blank: Lua takes a chunk for
/// bytecode by its first byte alone, so no chunk is ever bytecode.
struct Source<'a> {
    pieces: [&'a [u8]; 2],
    next: usize,
}

unsafe extern "C-unwind" fn read_source(
    _lua: *mut lua_State,
    data: *mut c_void,
    size: *mut usize,
) -> *const c_char {
    // SAFETY: `data` is the `Source` given to `lua_load` by `load_text`.
    unsafe {
        let source = &mut *data.cast::<Source<'_>>();
        let piece = source.pieces.get(source.next).copied().unwrap_or_default();
        source.next += 1;
        *size = piece.len();
        piece.as_ptr().cast()
    }
}

/// Compiles text and leaves the function or the error message on the stack, as `lua_load` does.
/// The collector rests meanwhile, and the chunk's name is kept alive: Lua's parser does not.
///
/// # Safety
/// The stack of `lua` has room for two values; `source` outlives the call.
pub(crate) unsafe fn load_text(lua: *mut lua_State, source: &[u8], name: &CStr) -> c_int {
    // SAFETY: the parser runs protected; strings with equal bytes are one object in Lua, so the
    // string pushed here is the one the parser uses.
    unsafe {
        lua_pushstring_(lua, name.as_ptr());
        if source.len() > SOURCE_BYTES_MAX {
            lua_pop(lua, 1);
            lua_pushstring_(lua, c"chunk is too long".as_ptr());
            return LUA_ERRSYNTAX;
        }
        let mut reader = Source { pieces: [b" ", source], next: 0 };
        lua_gc(lua, LUA_GCSTOP, 0);
        let status = lua_load(lua, read_source, (&raw mut reader).cast(), name.as_ptr());
        lua_gc(lua, LUA_GCRESTART, 0);
        lua_remove(lua, -2);
        status
    }
}
