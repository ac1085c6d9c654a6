//! Who interrupts compiled code.
//!
//! One thread of the process, the watch, looks at every state about once a millisecond. Where it sees
//! a run that it saw before, it sends a signal to the thread that runs it; the signal's handler sets
//! the hook, compiled code leaves at its next loop or call, and the hook asks whether the script may go on
//! and is gone again. LuaJIT means its hooks to be set that way: by a handler on the thread that runs
//! the code, as its own command line does, nothing is changed in the middle of an instruction of it.
//! What the handler interrupted may still undo its work (a dispatch table that was being written), so it
//! sets the hook from scratch each time, and the watch sends a signal each time it looks.
//!
//! The watch sleeps while nothing runs. Waking it is a look at a flag for each run.
//!
//! `SIGURG` is the signal: it means nothing to processes that have no handler, and one that comes too
//! late finds that nothing runs.

use std::cell::Cell;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::Thread;
use std::time::Duration;

use mlua::ffi::*;

/// Time between two looks.
const TICK: Duration = Duration::from_millis(1);
/// Looks at nothing new until the watch goes to sleep.
const IDLE_TICKS_MAX: u32 = 100;

/// What the watch knows of a state.
struct Progress {
    /// Grows when a run begins and when it ends, so it is odd while one is going on.
    runs: AtomicU64,
    /// The kernel's name of the thread that runs it.
    thread: AtomicI32,
}

/// What the signal's handler is to do on a thread. Nested runs are of different states.
struct Target {
    /// Any thread of the state.
    lua: *mut lua_State,
    hook: AtomicPtr<()>,
    by_line: AtomicBool,
}

thread_local! {
    /// What runs on this thread.
    static TARGET: Cell<*const Target> = const { Cell::new(std::ptr::null()) };
    static THREAD: Cell<c_int> = const { Cell::new(0) };
}

/// A state as the watch sees it.
pub(super) struct Watched(Arc<Progress>);

impl Watched {
    pub(super) fn new() -> Self {
        let progress = Arc::new(Progress { runs: AtomicU64::new(0), thread: AtomicI32::new(0) });
        if let Some(watch) = watch() {
            let mut states = watch.states.lock().unwrap_or_else(PoisonError::into_inner);
            states.push((Arc::downgrade(&progress), 0));
        }
        Watched(progress)
    }

    /// Has the hook of `lua` called from time to time while `action` runs it.
    pub(super) fn during<T>(&self, lua: *mut lua_State, action: impl FnOnce() -> T) -> T {
        let target = Target {
            lua,
            hook: AtomicPtr::new(std::ptr::null_mut()),
            by_line: AtomicBool::new(false),
        };
        let outer = TARGET.replace(&target);
        self.0.thread.store(this_thread(), Ordering::Relaxed);
        self.0.runs.fetch_add(1, Ordering::SeqCst);
        if let Some(watch) = watch()
            && watch.sleeps.load(Ordering::SeqCst)
        {
            watch.thread.unpark();
        }
        // Code ends by a protected call's return, so this is not left in another way.
        let result = action();
        self.0.runs.fetch_add(1, Ordering::Release);
        TARGET.set(outer);
        result
    }
}

fn this_thread() -> c_int {
    if THREAD.get() == 0 {
        // SAFETY: asks for a number.
        THREAD.set(unsafe { libc::gettid() });
    }
    THREAD.get()
}

/// Has `hook` called when the watch asks for it, and before each line if `by_line`.
///
/// # Safety
/// `lua` is the running thread of a state of this crate.
pub(crate) unsafe fn set_hook(
    lua: *mut lua_State,
    hook: lua_Hook,
    by_line: bool,
    _instructions: c_int,
) {
    // SAFETY: what runs is alive.
    let Some(target) = (unsafe { TARGET.get().as_ref() }) else { return };
    target.by_line.store(by_line, Ordering::Relaxed);
    target.hook.store(hook as *mut (), Ordering::Relaxed);
    let mask = if by_line { LUA_MASKLINE } else { 0 };
    // SAFETY: as promised.
    unsafe { lua_sethook(lua, Some(hook), mask, 0) };
}

/// The handler of the signal.
extern "C" fn on_signal(_signal: c_int) {
    // SAFETY: runs on the thread whose code it interrupts. `lua_sethook` allocates nothing and only
    // sets fields of the state, which LuaJIT allows at any time.
    unsafe {
        let Some(target) = TARGET.get().as_ref() else { return };
        let hook = target.hook.load(Ordering::Relaxed);
        if hook.is_null() {
            return;
        }
        let hook = std::mem::transmute::<*mut (), lua_Hook>(hook);
        let lines = if target.by_line.load(Ordering::Relaxed) { LUA_MASKLINE } else { 0 };
        lua_sethook(target.lua, None, 0, 0);
        lua_sethook(target.lua, Some(hook), LUA_MASKCOUNT | lines, 1);
    }
}

/// The thread that looks, and what it looks at: states with the count of runs it saw last.
struct Watch {
    states: Mutex<Vec<(Weak<Progress>, u64)>>,
    sleeps: AtomicBool,
    thread: Thread,
}

/// The watch of this process, which starts with the first state. `None` if there can be none.
fn watch() -> Option<&'static Watch> {
    static WATCH: OnceLock<Option<Watch>> = OnceLock::new();
    WATCH
        .get_or_init(|| {
            install_handler()?;
            let named = std::thread::Builder::new().name("lua-watch".to_owned());
            let handle = named.spawn(|| WATCH.wait().as_ref().map(keep_watch)).ok()?;
            Some(Watch {
                states: Mutex::new(Vec::new()),
                sleeps: AtomicBool::new(false),
                thread: handle.thread().clone(),
            })
        })
        .as_ref()
}

fn install_handler() -> Option<()> {
    // SAFETY: the handler does only what a handler may.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as extern "C" fn(c_int) as usize;
        action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        (libc::sigaction(libc::SIGURG, &action, std::ptr::null_mut()) == 0).then_some(())
    }
}

/// The watch's own work.
fn keep_watch(watch: &Watch) {
    let mut idle_ticks = 0;
    loop {
        std::thread::sleep(TICK);
        if look(watch) {
            idle_ticks = 0;
            continue;
        }
        idle_ticks += 1;
        if idle_ticks < IDLE_TICKS_MAX {
            continue;
        }
        // A run that begins sees the flag, or is seen by the last look.
        watch.sleeps.store(true, Ordering::SeqCst);
        if !look(watch) {
            std::thread::park();
        }
        watch.sleeps.store(false, Ordering::SeqCst);
        idle_ticks = 0;
    }
}

/// Sends signals to runs that go on for longer than a tick. Whether anything ran since the last look.
fn look(watch: &Watch) -> bool {
    let mut is_busy = false;
    let mut states = watch.states.lock().unwrap_or_else(PoisonError::into_inner);
    states.retain_mut(|(progress, seen)| {
        let Some(progress) = progress.upgrade() else { return false };
        let runs = progress.runs.load(Ordering::SeqCst);
        let is_running = runs % 2 == 1;
        is_busy |= is_running || runs != *seen;
        if is_running && runs == *seen {
            let thread = progress.thread.load(Ordering::Relaxed);
            // SAFETY: a thread that is gone meanwhile is an error, and one that runs something else
            // ignores the signal.
            unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, libc::SIGURG) };
        }
        *seen = runs;
        true
    });
    is_busy
}
