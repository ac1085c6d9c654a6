//! The seam between long-running native code and whoever may stop a script.
//!
//! Lua's count hook only fires between bytecode instructions, so one call of a library function
//! could otherwise run for minutes unseen. Native loops therefore pay for their work with
//! [`tick`]: the cost is taken from a budget, and when it is used up the state's owner is asked
//! whether to go on.
//!
//! The budget lives in [`Context`], which must be the first field of the user data handed to
//! `lua_newstate`; that makes it reachable from any `lua_State` of the family without a global.

use std::cell::Cell;

use mlua::ffi::lua_State;

use crate::raise::LuaError;
use crate::stdlib::LibState;
use crate::vm::{Machine, allocator_data};

/// Work units between two questions to the owner. One unit is about one loop iteration.
pub(crate) const BUDGET_UNITS: i64 = 100_000;

/// Asked when a budget is used up; an error stops the running native function. It is asked in the
/// middle of that function's work: it runs no Lua code, and makes room for what it pushes.
pub(crate) type OnExhausted = unsafe fn(*mut lua_State) -> Result<(), LuaError>;

/// Told in the middle of a long step that cannot be left; it runs no Lua code and leaves the stack
/// alone.
pub(crate) type OnPause = unsafe fn(*mut lua_State);

/// What native code and the state's owner tell each other while a script runs.
#[repr(C)]
pub(crate) struct Hooks {
    /// Work units left before `on_exhausted` is asked.
    pub(crate) budget: Cell<i64>,
    /// The owner's answer to "may I go on?"; nobody to ask means yes.
    pub(crate) on_exhausted: Cell<Option<OnExhausted>>,
    /// Lets the owner see to others.
    pub(crate) on_pause: Cell<Option<OnPause>>,
    /// Memory that could not be refused was taken beyond the limit; see [`check_memory`].
    pub(crate) is_short: Cell<bool>,
    /// Asked for memory when a native function begins and there is too little.
    pub(crate) on_shortage: Cell<Option<OnExhausted>>,
    /// True while native code of this crate runs. The allocator must not refuse memory then:
    /// Lua would leave by `longjmp` across Rust frames that still own values.
    pub(crate) in_host: Cell<bool>,
}

impl Hooks {
    /// Full budget and nobody to ask.
    pub(crate) fn new() -> Self {
        Self {
            budget: Cell::new(BUDGET_UNITS),
            on_exhausted: Cell::new(None),
            on_pause: Cell::new(None),
            is_short: Cell::new(false),
            on_shortage: Cell::new(None),
            in_host: Cell::new(false),
        }
    }
}

/// What every Lua state of this crate carries; the first field of its allocator's user data.
#[repr(C)]
pub(crate) struct Context {
    /// Budget and host mode; first, so that the allocator finds them at offset zero.
    pub(crate) hooks: Hooks,
    /// State of the library functions.
    pub(crate) libs: LibState,
    /// What the Lua that is used needs.
    pub(crate) machine: Machine,
}

impl Context {
    /// The context of a fresh state.
    pub(crate) fn new() -> Self {
        Self { hooks: Hooks::new(), libs: LibState::new(), machine: Machine::new() }
    }
}

/// The context behind a state.
///
/// # Safety
/// `lua` was created with user data that begins with a [`Context`] and outlives the state.
#[inline]
pub(crate) unsafe fn context<'a>(lua: *mut lua_State) -> &'a Context {
    // SAFETY: the caller vouches for the layout; the context is only ever shared, its fields are
    // cells.
    unsafe { &*allocator_data(lua).cast::<Context>() }
}

/// Pays `cost` work units and asks the owner when the budget is used up.
///
/// # Safety
/// As [`context`].
#[inline]
pub(crate) unsafe fn tick(lua: *mut lua_State, cost: u64) -> Result<(), LuaError> {
    // SAFETY: as promised by the caller.
    let hooks = unsafe { &context(lua).hooks };
    let left = hooks.budget.get().saturating_sub(i64::try_from(cost).unwrap_or(i64::MAX));
    hooks.budget.set(left);
    match left > 0 {
        true => Ok(()),
        // SAFETY: as promised.
        false => unsafe { ask_owner(lua) },
    }
}

/// # Safety
/// As [`context`].
#[cold]
unsafe fn ask_owner(lua: *mut lua_State) -> Result<(), LuaError> {
    // SAFETY: as promised by the caller.
    let hooks = unsafe { &context(lua).hooks };
    hooks.budget.set(BUDGET_UNITS);
    match hooks.on_exhausted.get() {
        // SAFETY: the owner installed the callback for states of this context.
        Some(ask) => unsafe { ask(lua) },
        None => Ok(()),
    }
}

/// For native functions that begin: an error if others took all of the memory that there may be.
/// Memory is not refused to native code, so here is where it ends.
///
/// # Safety
/// As [`context`]; nothing but the stack is in use.
#[inline]
pub(crate) unsafe fn check_memory(lua: *mut lua_State) -> Result<(), LuaError> {
    // SAFETY: as promised by the caller.
    match unsafe { context(lua).hooks.is_short.get() } {
        false => Ok(()),
        // SAFETY: as promised.
        true => unsafe { ask_for_memory(lua) },
    }
}

/// # Safety
/// As [`check_memory`].
#[cold]
unsafe fn ask_for_memory(lua: *mut lua_State) -> Result<(), LuaError> {
    // SAFETY: the owner installed the callback for states of this context.
    unsafe {
        match context(lua).hooks.on_shortage.get() {
            Some(ask) => ask(lua),
            None => Ok(()),
        }
    }
}

/// Lets the owner see to others in the middle of a long step, which is completed even if the run is
/// to end.
///
/// # Safety
/// As [`context`].
#[cold]
#[cfg_attr(feature = "luajit", allow(dead_code, reason = "its steps are not made here"))]
pub(crate) unsafe fn breathe(lua: *mut lua_State) {
    // SAFETY: as promised by the caller.
    unsafe {
        if let Some(pause) = context(lua).hooks.on_pause.get() {
            pause(lua);
        }
    }
}

/// Something that work is paid to; lets algorithms run without a Lua state in tests.
pub(crate) trait Meter {
    /// Pays `cost` units; an error asks the algorithm to stop at once.
    fn step(&mut self, cost: u64) -> Result<(), LuaError>;
}

/// A [`Meter`] that saves up small costs, so that a tight loop seldom reaches for the context.
pub(crate) struct Ticker {
    lua: *mut lua_State,
    unpaid: u64,
}

impl Ticker {
    const UNPAID_MAX: u64 = 512;

    /// A meter paying to the owner of `lua`.
    ///
    /// # Safety
    /// As [`context`], for as long as the ticker is used.
    pub(crate) unsafe fn new(lua: *mut lua_State) -> Self {
        Self { lua, unpaid: 0 }
    }
}

impl Meter for Ticker {
    #[inline]
    fn step(&mut self, cost: u64) -> Result<(), LuaError> {
        self.unpaid = self.unpaid.saturating_add(cost);
        if self.unpaid < Self::UNPAID_MAX {
            return Ok(());
        }
        // SAFETY: `new` was promised a state with a context.
        unsafe { tick(self.lua, std::mem::take(&mut self.unpaid)) }
    }
}

/// A [`Meter`] that pays at once and owns nothing: for work that is left by a jump, or made of many parts so
/// small that a [`Ticker`] for each would never pay.
#[derive(Clone, Copy)]
pub(crate) struct Prompt {
    lua: *mut lua_State,
}

impl Prompt {
    /// A meter paying to the owner of `lua`.
    ///
    /// # Safety
    /// As [`context`], for as long as the meter is used.
    pub(crate) unsafe fn new(lua: *mut lua_State) -> Self {
        Self { lua }
    }
}

impl Meter for Prompt {
    #[inline]
    fn step(&mut self, cost: u64) -> Result<(), LuaError> {
        // SAFETY: `new` was promised a state with a context.
        unsafe { tick(self.lua, cost) }
    }
}
