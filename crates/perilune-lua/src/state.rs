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
use std::time::{Duration, Instant};

use mlua::ffi::*;
use perilune_resp::Protocol;
use perilune_script::{Debugger, Interrupt, ScriptHost};

use crate::alloc::{HUGE_BLOCK_BYTES, Heap, allocate};
use crate::debug::on_event;
use crate::errors;
use crate::interrupt::{self, BUDGET_UNITS};
use crate::raise::LuaError;
use crate::register::LibraryDraft;
use crate::vm;

/// Fixed places at the bottom of the main stack.
pub(crate) mod slot {
    use std::ffi::c_int;

    /// The handler that turns errors into tables with a place.
    pub(crate) const ERROR_HANDLER: c_int = 1;
    /// The `KEYS` table of scripts.
    pub(crate) const KEYS: c_int = 2;
    /// The `ARGV` table of scripts.
    pub(crate) const ARGV: c_int = 3;
    /// What scripts see as `_G`.
    pub(crate) const SCRIPT_ENV: c_int = 4;
    /// What functions see as `_G`.
    pub(crate) const FUNCTION_ENV: c_int = 5;
    /// Holds what `FUNCTION_ENV` shows while a library is loaded, and what it hides then.
    pub(crate) const LIBRARY_ENV: c_int = 6;
    /// The height of an idle main stack.
    pub(crate) const TOP: c_int = 6;
}

/// Longest chunk the compiler is given; Lua's lexer counts some things in `int`.
pub(crate) const SOURCE_BYTES_MAX: usize = 512 << 20;

/// Most bytecode instructions between two questions to the host: well under a millisecond.
const HOOK_INSTRUCTIONS_MAX: c_int = 100_000;
/// Instructions before the first question of a run.
const HOOK_INSTRUCTIONS_START: c_int = 256;
/// Instructions before the next question once a large block was made.
const HOOK_INSTRUCTIONS_LARGE: c_int = 4;
/// Bytes that the instructions between two questions may go through. One instruction can compare,
/// join or convert the longest string, or rehash the largest table.
const HOOK_BYTES: usize = 4 << 30;
/// However large a block is, this many instructions may run before it is known that they are slow.
const HOOK_INSTRUCTIONS_UNKNOWN: c_int = 64;
/// A huge block makes even those too slow: many fast instructions, then as many slow ones, would be
/// gone through without a question again and again. So less is allowed then,
const HOOK_BYTES_HUGE: usize = 1 << 30;
/// down to this many, which lets a script go on at all.
const HOOK_INSTRUCTIONS_HUGE: c_int = 2;
/// Questions that lie further apart than this are asked more often,
const HOOK_SLOW: Duration = Duration::from_millis(1);
/// and those that lie closer, less often.
const HOOK_FAST: Duration = Duration::from_micros(250);

/// A heap below this size is collected seldom: a full cycle over the libraries alone costs as much
/// as a hundred short scripts, while its garbage is small change.
const SMALL_HEAP_BYTES: usize = 1 << 20;
/// How far a small heap may grow before the next cycle, percent.
const SMALL_HEAP_PAUSE: c_int = 400;
/// The same for others; Lua's default.
const PAUSE: c_int = 200;

/// How far any heap may grow at least before the next cycle, percent.
const PAUSE_MIN: c_int = 110;

/// Sets the collector's pace by the size of the heap: garbage alone shall not reach the limit.
///
/// # Safety
/// `lua` belongs to a live [`State`].
pub(crate) unsafe fn pace_collector(lua: *mut lua_State) {
    // SAFETY: only a number is set.
    unsafe {
        let heap = &context(lua).heap;
        let used = heap.used_bytes.get().max(1);
        let most = if used < SMALL_HEAP_BYTES { SMALL_HEAP_PAUSE } else { PAUSE };
        let room = heap.limit_bytes.get() / used.div_ceil(100);
        let room = c_int::try_from(room).unwrap_or(c_int::MAX).saturating_sub(PAUSE_MIN - 100);
        lua_gc(lua, LUA_GCSETPAUSE, most.min(room).max(PAUSE_MIN));
    }
}

/// Kilobytes by which the collector is behind that it makes up for between two questions; it goes
/// through twice as much.
const COLLECT_KILOBYTES: c_int = 64;

/// Collects all garbage in small steps, with a question before each; stops early when `goes_on`
/// says no.
///
/// # Safety
/// As [`pace_collector`].
pub(crate) unsafe fn collect(lua: *mut lua_State, mut goes_on: impl FnMut() -> bool) -> bool {
    // The cycle that is under way keeps what died after it began; the next one frees it.
    for _ in 0..2 {
        loop {
            if !goes_on() {
                return false;
            }
            // SAFETY: no finalizers exist, so a collection runs no code.
            if unsafe { lua_gc(lua, LUA_GCSTEP, COLLECT_KILOBYTES) } != 0 {
                break;
            }
        }
    }
    true
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
    /// The thread whose code runs.
    pub(crate) thread: Cell<*mut lua_State>,
    /// Instructions between two questions; see [`on_count`].
    hook_instructions: Cell<c_int>,
    /// When the count hook asked last in this run.
    asked_at: Cell<Option<Instant>>,
    /// The server, for the duration of a run.
    pub(crate) host: Cell<Option<NonNull<dyn ScriptHost>>>,
    /// The host is at work for the script, so it cannot be asked anything.
    pub(crate) host_in_use: Cell<bool>,
    /// What replies of commands are shaped in, `redis.setresp`.
    pub(crate) protocol: Cell<Protocol>,
    /// Room for the text of numbers among a command's arguments.
    pub(crate) number_text: Cell<Vec<u8>>,
    /// Sees every line of the run.
    pub(crate) debugger: Cell<Option<NonNull<dyn Debugger>>>,
    /// The running code is the debugger's, not the program's.
    pub(crate) evaluating: Cell<bool>,
    /// A panic of the host, on its way around Lua's frames.
    pub(crate) panic: Cell<Option<Box<dyn Any + Send>>>,
    /// The script used `setfenv`, so environments must be put back after the run.
    pub(crate) environment_changed: Cell<bool>,
    /// Lua's own `setfenv`.
    pub(crate) stock_setfenv: Cell<Option<lua_CFunction>>,
    /// The library that is being loaded.
    pub(crate) draft: RefCell<Option<LibraryDraft>>,
}

impl EngineContext {
    /// Lets the count hook ask after a few more instructions of the running code.
    #[cold]
    pub(crate) fn ask_soon(&self) {
        // Once only: setting a hook starts its count anew, which must not go on for ever.
        let is_late = self.hook_instructions.get() > HOOK_INSTRUCTIONS_LARGE;
        if vm::COUNTS_INSTRUCTIONS && self.running.get() && is_late {
            self.hook_instructions.set(HOOK_INSTRUCTIONS_LARGE);
            // SAFETY: the running thread is alive. Setting a hook only sets fields of it, which
            // Lua allows at any time.
            unsafe { self.arm(self.thread.get()) };
        }
    }

    /// Makes `lua` count from now on.
    ///
    /// # Safety
    /// `lua` is a live thread of this state.
    pub(crate) unsafe fn arm(&self, lua: *mut lua_State) {
        let debugged = self.debugger.get().is_some() && !self.evaluating.get();
        let hook: lua_Hook = if debugged { on_event } else { on_count };
        // SAFETY: as promised.
        unsafe { vm::set_hook(lua, hook, debugged, self.hook_instructions.get()) };
    }

    /// See [`may_go_on`]. While the host works for the script the answer is yes.
    ///
    /// # Safety
    /// The host, if there is one, is alive, as it is for the whole of a run.
    pub(crate) unsafe fn host_allows(&self) -> bool {
        if self.killed.get().is_some() {
            return false;
        }
        if self.host_in_use.get() {
            return true;
        }
        let Some(mut host) = self.host.get() else { return true };
        self.host_in_use.set(true);
        // SAFETY: as promised, and the mark makes this the only reference to it.
        let answer = catch_unwind(AssertUnwindSafe(|| unsafe { host.as_mut() }.interrupt()));
        self.host_in_use.set(false);
        match answer {
            Ok(Interrupt::Continue) => return true,
            Ok(Interrupt::Kill(text)) => self.killed.set(Some(text)),
            Err(panic) => {
                self.panic.set(Some(panic));
                self.killed.set(Some(errors::INTERNAL));
            }
        }
        false
    }

    /// Lets the host see to others, even if the run is to end.
    ///
    /// # Safety
    /// As [`host_allows`](Self::host_allows).
    pub(crate) unsafe fn serve_others(&self) {
        let killed = self.killed.take();
        // SAFETY: as promised.
        unsafe { self.host_allows() };
        if killed.is_some() {
            self.killed.set(killed);
        }
    }

    /// Finds the number of instructions that take between [`HOOK_FAST`] and [`HOOK_SLOW`].
    fn adapt_hook(&self) {
        let now = Instant::now();
        let before = self.asked_at.replace(Some(now));
        let took = before.map_or(HOOK_FAST, |before| now.duration_since(before));
        let mut wanted = self.hook_instructions.get();
        if took > HOOK_SLOW {
            wanted /= 8;
        } else if took < HOOK_FAST {
            wanted = wanted.saturating_mul(2);
        }
        self.hook_instructions.set(wanted.clamp(1, self.hook_instructions_max()));
    }

    /// How many instructions may run unasked, given the largest block that is known.
    fn hook_instructions_max(&self) -> c_int {
        let largest = self.heap.largest_block_bytes.get().max(1);
        let (bytes, least) = match largest > HUGE_BLOCK_BYTES {
            true => (HOOK_BYTES_HUGE, HOOK_INSTRUCTIONS_HUGE),
            false => (HOOK_BYTES, HOOK_INSTRUCTIONS_UNKNOWN),
        };
        let most = c_int::try_from(bytes / largest).unwrap_or(c_int::MAX);
        most.clamp(least, HOOK_INSTRUCTIONS_MAX)
    }
}

/// The context behind a state.
///
/// # Safety
/// `lua` belongs to a live [`State`].
#[inline]
pub(crate) unsafe fn context<'a>(lua: *mut lua_State) -> &'a EngineContext {
    // SAFETY: the allocator of every state of this crate carries an `EngineContext`.
    unsafe { &*vm::allocator_data(lua).cast::<EngineContext>() }
}

/// Lets `action` use the host of the current run. A panic of the host is caught by
/// [`enter`](crate::raise::enter), which hands it to [`note_panic`].
///
/// # Safety
/// `lua` is the running state of an engine and in host mode, below `enter`; `action` executes no
/// Lua code. On error the error value lies on top of the stack.
#[inline]
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
        context.host_in_use.set(true);
        let value = action(host.as_mut());
        context.host_in_use.set(false);
        Ok(value)
    }
}

/// A native function panicked. Where that was the host's doing, the panic ends the run and goes on
/// when Lua's frames are gone; a mistake of this crate is an error like any other.
///
/// # Safety
/// As [`with_host`].
#[cold]
pub(crate) unsafe fn note_panic(lua: *mut lua_State, panic: Box<dyn Any + Send>) -> LuaError {
    // SAFETY: as promised.
    unsafe {
        let context = context(lua);
        if !context.host_in_use.replace(false) {
            return LuaError::msg("internal error in a library function");
        }
        context.panic.set(Some(panic));
        context.killed.set(Some(errors::INTERNAL));
        errors::push_kill(lua)
    }
}

/// Asks the host whether the script may go on; if not, the run is marked as killed. Leaves the
/// stack alone.
///
/// # Safety
/// `lua` belongs to a live [`State`]; no other reference to the host is in use.
pub(crate) unsafe fn may_go_on(lua: *mut lua_State) -> bool {
    // SAFETY: as promised.
    unsafe { context(lua).host_allows() }
}

/// [`may_go_on`] for native functions: the end of the run is an error, and so is memory that went
/// far beyond its limit meanwhile. Garbage is among that, but nothing is collected in the middle of
/// a function: all of it was before, if there was more of it than the limit allows.
///
/// # Safety
/// As [`with_host`].
unsafe fn ask_host(lua: *mut lua_State) -> Result<(), LuaError> {
    // SAFETY: as promised.
    unsafe {
        if !may_go_on(lua) {
            return Err(errors::push_kill(lua));
        }
        let heap = &context(lua).heap;
        match heap.used_bytes.get() / 2 > heap.limit_bytes.get() {
            true => Err(LuaError::no_memory()),
            false => Ok(()),
        }
    }
}

/// A native function begins while more memory is used than may be. That is an error, unless enough
/// of it was garbage.
///
/// # Safety
/// As [`with_host`]; nothing but the stack is in use.
unsafe fn find_memory(lua: *mut lua_State) -> Result<(), LuaError> {
    // SAFETY: as promised.
    unsafe {
        let context = context(lua);
        if context.heap.is_overfull() {
            collect(lua, || may_go_on(lua));
            errors::check_killed(lua)?;
        }
        let is_short = context.heap.is_overfull();
        context.base.hooks.is_short.set(is_short);
        if is_short { Err(LuaError::no_memory()) } else { Ok(()) }
    }
}

/// Lets the host see to others. A run that must end is only marked, for the next question.
///
/// # Safety
/// As [`may_go_on`], but nothing of the stack is used.
unsafe fn pause(lua: *mut lua_State) {
    // SAFETY: as promised.
    unsafe { context(lua).serve_others() }
}

/// The count hook. How long an instruction takes is the script's choice, so the number of
/// instructions until the next question follows the clock.
unsafe extern "C-unwind" fn on_count(lua: *mut lua_State, _record: *mut lua_Debug) {
    // SAFETY: installed only in states of this crate; nothing is owned when the error is raised.
    unsafe {
        context(lua).base.hooks.in_host.set(true);
        let goes_on = after_count(lua);
        context(lua).base.hooks.in_host.set(false);
        if !goes_on {
            lua_error(lua);
        }
    }
}

/// What is done every so many instructions. False, with the error on the stack, if the run must
/// end.
///
/// # Safety
/// Called by a hook of `lua`, in host mode.
pub(crate) unsafe fn after_count(lua: *mut lua_State) -> bool {
    // SAFETY: as promised.
    unsafe {
        pace_collector(lua);
        let goes_on = may_go_on(lua);
        if !goes_on {
            // The error lies on the stack.
            let _ = errors::push_kill(lua);
        }
        context(lua).adapt_hook();
        context(lua).arm(lua);
        goes_on
    }
}

/// Told of an error that nothing catches, after which Lua would end the process without a word. None
/// is known to be possible: whoever calls into Lua while it may raise does so protected.
unsafe extern "C-unwind" fn on_uncaught(_lua: *mut lua_State) -> c_int {
    eprintln!("Lua raised an error where nothing catches it; the process ends");
    std::process::abort()
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
            thread: Cell::new(std::ptr::null_mut()),
            hook_instructions: Cell::new(HOOK_INSTRUCTIONS_START),
            asked_at: Cell::new(None),
            host: Cell::new(None),
            host_in_use: Cell::new(false),
            protocol: Cell::new(Protocol::Resp2),
            number_text: Cell::new(Vec::new()),
            debugger: Cell::new(None),
            evaluating: Cell::new(false),
            panic: Cell::new(None),
            environment_changed: Cell::new(false),
            stock_setfenv: Cell::new(None),
            draft: RefCell::new(None),
        });
        context.base.hooks.on_exhausted.set(Some(ask_host));
        context.base.hooks.on_pause.set(Some(pause));
        context.base.hooks.on_shortage.set(Some(find_memory));
        vm::claim();
        let data = (&raw const *context).cast_mut().cast();
        // SAFETY: the context is boxed and outlives the state. With
        // `running` unset memory is never refused, so the state is never null.
        let lua = unsafe {
            let lua = lua_newstate(allocate, data);
            lua_atpanic(lua, on_uncaught);
            pace_collector(lua);
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
        context.protocol.set(host.protocol());
        // SAFETY: `lua_pcall` returns on every path, and the caller ends the run.
        unsafe { self.lend(host) };
        context.base.hooks.budget.set(BUDGET_UNITS);
        context.thread.set(self.lua);
        // What an earlier run left, such as a library's variables, may hold the largest block still.
        let heap = &context.heap;
        heap.largest_block_bytes.set(heap.largest_block_bytes.get().min(heap.used_bytes.get()));
        let start = HOOK_INSTRUCTIONS_START.min(context.hook_instructions_max());
        context.hook_instructions.set(start);
        context.asked_at.set(None);
        context.running.set(true);
        let status = context.base.machine.running(self.lua, || {
            // SAFETY: as promised by the caller.
            unsafe {
                context.arm(self.lua);
                lua_pcall(self.lua, args, results, handler)
            }
        });
        context.base.hooks.in_host.set(false);
        context.running.set(false);
        status
    }

    /// Makes `host` reachable for what happens next.
    ///
    /// # Safety
    /// [`end_run`](Self::end_run) is called before the borrow of `host` ends.
    pub(crate) unsafe fn lend(&self, host: &mut dyn ScriptHost) {
        let context = &*self.context;
        // SAFETY: only the lifetime is changed; the pointer is taken back as promised.
        let host = unsafe {
            std::mem::transmute::<NonNull<dyn ScriptHost + '_>, NonNull<dyn ScriptHost>>(
                NonNull::from(host),
            )
        };
        context.host.set(Some(host));
        // A run that was left by a jump past the end of a question could have left the mark.
        context.host_in_use.set(false);
        context.killed.set(None);
    }

    /// Takes host and debugger away again and lets a panic of it go on.
    pub(crate) fn end_run(&self) {
        self.context.host.set(None);
        self.context.debugger.set(None);
        self.context.killed.set(None);
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
    blank: bool,
    rest: &'a [u8],
}

/// Bytes the compiler gets at a time. Some programs take it time that grows with the square of
/// their length, so the host is asked before each piece.
const SOURCE_PIECE_BYTES: usize = 1 << 8;

unsafe extern "C-unwind" fn read_source(
    lua: *mut lua_State,
    data: *mut c_void,
    size: *mut usize,
) -> *const c_char {
    // SAFETY: `data` is the `Source` given to `lua_load` by `load_text`. The stack is the
    // parser's, so a run that must end is only marked; the source ends for it.
    unsafe {
        let source = &mut *data.cast::<Source<'_>>();
        let piece: &[u8] = if source.blank {
            b" "
        } else {
            let (piece, rest) = source.rest.split_at(source.rest.len().min(SOURCE_PIECE_BYTES));
            source.rest = rest;
            if !piece.is_empty() && !may_go_on(lua) { b"" } else { piece }
        };
        source.blank = false;
        *size = piece.len();
        piece.as_ptr().cast()
    }
}

/// Compiles text and leaves the function or the error message on the stack, as `lua_load` does.
/// The collector rests meanwhile, and the chunk's name is kept alive: Lua's parser does not. Of a
/// run that was killed meanwhile any outcome is possible.
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
        let mut reader = Source { blank: true, rest: source };
        lua_gc(lua, LUA_GCSTOP, 0);
        let status = lua_load(lua, read_source, (&raw mut reader).cast(), name.as_ptr());
        lua_gc(lua, LUA_GCRESTART, 0);
        lua_remove(lua, -2);
        status
    }
}
