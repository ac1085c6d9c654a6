//! Debugging: the hook that calls a [`Debugger`], and the [`DebugFrame`] it gets.
//!
//! While a debugger is attached, every thread of the state is armed for lines as well as for
//! counts. Lua calls no hook from within a hook, so code that the debugger has evaluated runs on a
//! thread of its own, armed for counts alone: it can be stopped like any script and is not itself
//! debugged.
//!
//! The hook is native code in host mode; it raises when everything it owned is gone.

use std::ffi::{CStr, CString, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use mlua::ffi::*;
use perilune_script::{
    DEBUG_DEPTH_MAX, DEBUG_VALUES_MAX, DebugFrame, DebugValue, Debugger, ScriptHost, StackLevel,
    Verdict,
};

use crate::engine::{LIBRARY_CHUNK, SCRIPT_CHUNK};
use crate::errors;
use crate::state::{State, after_count, context, load_text};
use crate::vm::{outside_of_hook, share_level, show_frozen};

const EVAL_CHUNK: &CStr = c"@ldb_eval";
/// Levels of the stack that are shown.
const LEVELS_MAX: c_int = 200;
/// Bytes of strings that count as one value.
const BYTES_PER_VALUE: usize = 64;
/// Variables that evaluated code sees; a function cannot have more than 200.
const VARIABLES_MAX: usize = 180;
/// Slots that an evaluation needs on the stack of the program.
const FRAME_SLOTS: c_int = 4;
/// Slots that copying needs on each level of nesting.
const COPY_SLOTS: c_int = 6;

/// Attaches a debugger to the next run.
///
/// # Safety
/// It is detached before its borrow ends: by [`State::end_run`], or by the caller.
pub(crate) unsafe fn attach(state: &State, debugger: &dyn Debugger) {
    // SAFETY: only the lifetime is changed, see above.
    let debugger = unsafe {
        std::mem::transmute::<NonNull<dyn Debugger + '_>, NonNull<dyn Debugger>>(NonNull::from(
            debugger,
        ))
    };
    state.context().debugger.set(Some(debugger));
}

/// Tells the attached debugger something. Without one `None`.
///
/// # Safety
/// `lua` is a state of this crate in host mode.
pub(crate) unsafe fn with_debugger<T>(
    lua: *mut lua_State,
    action: impl FnOnce(&dyn Debugger) -> T,
) -> Option<T> {
    // SAFETY: the pointer is set only while the borrow it came from is alive, and it is shared.
    unsafe { context(lua).debugger.get().map(|debugger| action(debugger.as_ref())) }
}

/// The hook of threads that are debugged: before each line, and every so many instructions.
pub(crate) unsafe extern "C-unwind" fn on_event(lua: *mut lua_State, record: *mut lua_Debug) {
    // SAFETY: installed only in states of this crate; nothing is owned when the error is raised.
    unsafe {
        context(lua).base.hooks.in_host.set(true);
        let is_count = (*record).event == LUA_HOOKCOUNT;
        let goes_on = (!is_count || after_count(lua)) && ask_debugger(lua, record, is_count);
        context(lua).base.hooks.in_host.set(false);
        if !goes_on {
            lua_error(lua);
        }
    }
}

/// Lets the debugger see where the program is. False, with the error on the stack, if the run must
/// end.
unsafe fn ask_debugger(lua: *mut lua_State, record: *mut lua_Debug, is_count: bool) -> bool {
    // SAFETY: as `on_event`. A panic of the debugger goes on when Lua's frames are gone.
    unsafe {
        lua_getinfo(lua, c"Sl".as_ptr(), record);
        let Some(line) = program_line(&*record) else { return true };
        let Some(host) = context(lua).host.get() else { return true };
        let asked = catch_unwind(AssertUnwindSafe(|| {
            let mut frame = Frame { lua, line, host };
            with_debugger(lua, |debugger| match is_count {
                true => debugger.on_tick(&mut frame),
                false => debugger.on_line(&mut frame),
            })
        }));
        let context = context(lua);
        match asked {
            Ok(None | Some(Verdict::Continue)) => {}
            Ok(Some(Verdict::Abort(text))) => context.killed.set(Some(text)),
            Err(panic) => {
                context.panic.set(Some(panic));
                context.killed.set(Some(errors::INTERNAL));
            }
        }
        let is_killed = context.killed.get().is_some();
        if is_killed {
            // The error lies on the stack.
            let _ = errors::push_kill(lua);
        }
        !is_killed
    }
}

/// The line of a record that was filled with `Sl`, if it belongs to a script or library.
unsafe fn program_line(record: &lua_Debug) -> Option<u32> {
    if record.source.is_null() {
        return None;
    }
    // SAFETY: the name of a chunk lives as long as its functions, one of which is running.
    let chunk = unsafe { CStr::from_ptr(record.source) };
    match chunk == SCRIPT_CHUNK || chunk == LIBRARY_CHUNK {
        true => u32::try_from(record.currentline).ok(),
        false => None,
    }
}

/// The innermost function of a program that stands still within a hook.
struct Frame {
    lua: *mut lua_State,
    line: u32,
    host: NonNull<dyn ScriptHost>,
}

impl Frame {
    /// Looks for a local variable of a level, last declared first, and pushes its value.
    unsafe fn push_local(&self, record: &lua_Debug, name: &CStr) -> bool {
        let mut found = 0;
        // SAFETY: the record is of a level that exists; names live as long as the function.
        unsafe {
            for index in 1.. {
                let local = lua_getlocal(self.lua, record, index);
                if local.is_null() {
                    break;
                }
                lua_pop(self.lua, 1);
                if CStr::from_ptr(local) == name {
                    found = index;
                }
            }
            found > 0 && !lua_getlocal(self.lua, record, found).is_null()
        }
    }

    /// Looks for a variable that a level's function got from around it, and pushes its value.
    unsafe fn push_upvalue(&self, record: &mut lua_Debug, name: &CStr) -> bool {
        // SAFETY: as `push_local`; the function stays on the stack below its variables.
        unsafe {
            lua_getinfo(self.lua, c"f".as_ptr(), record);
            for index in 1.. {
                let upvalue = lua_getupvalue(self.lua, -1, index);
                if upvalue.is_null() {
                    break;
                }
                if CStr::from_ptr(upvalue) == name {
                    lua_remove(self.lua, -2);
                    return true;
                }
                lua_pop(self.lua, 1);
            }
            lua_pop(self.lua, 1);
            false
        }
    }

    /// The value on top of the stack, which is removed.
    unsafe fn take(&self) -> DebugValue {
        // SAFETY: the caller pushed it.
        unsafe {
            let value = copy(self.lua, lua_gettop(self.lua), 0, &mut { DEBUG_VALUES_MAX });
            lua_pop(self.lua, 1);
            value
        }
    }

    /// The variables that the function of a level sees; of those with one name the last counts.
    unsafe fn visible(&self, record: &mut lua_Debug) -> Vec<Variable> {
        let mut found = Vec::new();
        // SAFETY: as `push_upvalue`.
        unsafe {
            lua_getinfo(self.lua, c"f".as_ptr(), record);
            for index in 1.. {
                let name = lua_getupvalue(self.lua, -1, index);
                if name.is_null() {
                    break;
                }
                lua_pop(self.lua, 1);
                found.push(Variable { name: CStr::from_ptr(name).to_owned(), index, outer: true });
            }
            lua_pop(self.lua, 1);
            for index in 1.. {
                let name = lua_getlocal(self.lua, record, index);
                if name.is_null() {
                    break;
                }
                lua_pop(self.lua, 1);
                found.push(Variable { name: CStr::from_ptr(name).to_owned(), index, outer: false });
            }
        }
        // Those that the compiler made have names that no program can have.
        found.retain(|variable| !variable.name.to_bytes().starts_with(b"("));
        found.split_off(found.len().saturating_sub(VARIABLES_MAX))
    }

    /// Pushes the value of a variable.
    unsafe fn push_variable(&self, record: &mut lua_Debug, variable: &Variable) {
        // SAFETY: as `push_upvalue`; the variable was found at this level.
        unsafe {
            if !variable.outer {
                lua_getlocal(self.lua, record, variable.index);
                return;
            }
            lua_getinfo(self.lua, c"f".as_ptr(), record);
            lua_getupvalue(self.lua, -1, variable.index);
            lua_remove(self.lua, -2);
        }
    }

    /// Gives a variable the value on top of the stack, which is removed.
    unsafe fn set_variable(&self, record: &mut lua_Debug, variable: &Variable) {
        // SAFETY: as `push_variable`.
        unsafe {
            if !variable.outer {
                lua_setlocal(self.lua, record, variable.index);
                return;
            }
            lua_getinfo(self.lua, c"f".as_ptr(), record);
            lua_insert(self.lua, -2);
            lua_setupvalue(self.lua, -2, variable.index);
            lua_pop(self.lua, 1);
        }
    }

    /// Compiles code as an expression, or else as statements, onto the stack of a thread. The
    /// code sees variables of these names, which it gets as arguments.
    unsafe fn compile(&self, thread: *mut lua_State, code: &[u8], visible: &[Variable]) -> bool {
        let names: Vec<&[u8]> = visible.iter().map(|variable| variable.name.to_bytes()).collect();
        let head = match names.is_empty() {
            true => Vec::new(),
            false => [&b"local "[..], &names.join(&b','), b" = ... "].concat(),
        };
        // SAFETY: an empty stack has room for a function or message.
        unsafe {
            if load_text(thread, &[&head, &b"return "[..], code].concat(), EVAL_CHUNK) == LUA_OK {
                return true;
            }
            lua_settop(thread, 0);
            load_text(thread, &[&head, code].concat(), EVAL_CHUNK) == LUA_OK
        }
    }

    /// Runs code with the variables of a level, or with none, and hands on its value, which lies
    /// on top of the thread it ran in.
    unsafe fn run_code<T>(
        &self,
        mut record: Option<&mut lua_Debug>,
        code: &[u8],
        then: impl FnOnce(*mut lua_State) -> T,
    ) -> Result<T, Vec<u8>> {
        let lua = self.lua;
        // SAFETY: host mode is on, so nothing raises but the code, which runs protected. The
        // thread lies on the stack until its result is copied.
        unsafe {
            let context = context(lua);
            if lua_checkstack(lua, FRAME_SLOTS) == 0 {
                return Err(b"stack overflow".to_vec());
            }
            let visible = record.as_mut().map_or(Vec::new(), |record| self.visible(record));
            let thread = lua_newthread(lua);
            let mut fine = lua_checkstack(thread, VARIABLES_MAX as c_int) != 0
                && self.compile(thread, code, &visible);
            if fine {
                for variable in &visible {
                    if let Some(record) = &mut record {
                        self.push_variable(record, variable);
                        lua_xmove(lua, thread, 1);
                    }
                }
                context.evaluating.set(true);
                share_level(lua, thread);
                context.arm(thread);
                context.thread.set(thread);
                context.base.hooks.in_host.set(false);
                let args = visible.len() as c_int;
                fine = outside_of_hook(lua, || lua_pcall(thread, args, 1, 0) == LUA_OK);
                context.base.hooks.in_host.set(true);
                context.thread.set(lua);
                context.evaluating.set(false);
                context.arm(lua);
            }
            let result = if fine { Ok(then(thread)) } else { Err(message(thread)) };
            lua_pop(lua, 1);
            result
        }
    }
}

/// A variable of a function.
struct Variable {
    name: CString,
    index: c_int,
    /// It belongs to a function around this one.
    outer: bool,
}

/// The value on top of a thread.
unsafe fn copy_top(thread: *mut lua_State) -> DebugValue {
    // SAFETY: the caller left it there, in host mode.
    unsafe { copy(thread, lua_gettop(thread), 0, &mut { DEBUG_VALUES_MAX }) }
}

impl DebugFrame for Frame {
    fn line(&self) -> u32 {
        self.line
    }

    fn locals(&mut self, level: usize) -> Vec<(String, DebugValue)> {
        let mut found = Vec::new();
        // SAFETY: a hook has slots to spare; see `push_local`.
        unsafe {
            let Some(record) = program_level(self.lua, level) else { return found };
            for index in 1.. {
                let name = lua_getlocal(self.lua, &record, index);
                if name.is_null() {
                    break;
                }
                let name = CStr::from_ptr(name).to_string_lossy().into_owned();
                let value = self.take();
                if name != "(*temporary)" {
                    found.push((name, value));
                }
            }
        }
        found
    }

    fn variable(&mut self, name: &str) -> Option<DebugValue> {
        let text = CString::new(name).ok()?;
        // SAFETY: as `locals`.
        unsafe {
            for at in 0.. {
                let Some(mut record) = level(self.lua, at) else { break };
                if self.push_local(&record, &text) || self.push_upvalue(&mut record, &text) {
                    return Some(self.take());
                }
            }
        }
        match name {
            "KEYS" | "ARGV" => self.evaluate(name.as_bytes()).ok(),
            _ => None,
        }
    }

    fn stack(&mut self) -> Vec<StackLevel> {
        let mut levels = Vec::new();
        // SAFETY: as `locals`; names live as long as the functions.
        unsafe {
            for at in 0..LEVELS_MAX {
                let Some(mut record) = level(self.lua, at) else { break };
                lua_getinfo(self.lua, c"Snl".as_ptr(), &mut record);
                let Some(line) = program_line(&record) else { continue };
                let name = match record.name.is_null() {
                    true => None,
                    false => Some(CStr::from_ptr(record.name).to_string_lossy().into_owned()),
                };
                levels.push(StackLevel { name, line });
            }
        }
        levels
    }

    fn evaluate(&mut self, code: &[u8]) -> Result<DebugValue, Vec<u8>> {
        // SAFETY: the program stands still within a hook.
        unsafe { self.run_code(None, code, |thread| copy_top(thread)) }
    }

    fn evaluate_in(&mut self, level: usize, code: &[u8]) -> Result<DebugValue, Vec<u8>> {
        // SAFETY: as above; the record is of a level that exists.
        unsafe {
            let mut record = program_level(self.lua, level);
            self.run_code(record.as_mut(), code, |thread| copy_top(thread))
        }
    }

    fn assign(&mut self, level: usize, name: &str, code: &[u8]) -> Result<DebugValue, Vec<u8>> {
        let unknown = || Err(format!("there is no variable '{name}'").into_bytes());
        // SAFETY: as above.
        unsafe {
            let Some(mut record) = program_level(self.lua, level) else { return unknown() };
            let Some(mut place) = program_level(self.lua, level) else { return unknown() };
            let visible = self.visible(&mut record);
            let named = |variable: &&Variable| variable.name.to_bytes() == name.as_bytes();
            let Some(variable) = visible.iter().rfind(named) else { return unknown() };
            self.run_code(Some(&mut record), code, |thread| {
                let value = copy_top(thread);
                lua_xmove(thread, self.lua, 1);
                self.set_variable(&mut place, variable);
                value
            })
        }
    }

    fn host(&mut self) -> &mut dyn ScriptHost {
        // SAFETY: the host outlives the run, and a frame lives within it. The exclusive borrow of
        // the frame keeps code from being evaluated while the host is in use.
        unsafe { self.host.as_mut() }
    }
}

/// The error on top of a stack as text.
unsafe fn message(lua: *mut lua_State) -> Vec<u8> {
    // SAFETY: an error value lies on top; fields are read raw.
    unsafe {
        match lua_type(lua, -1) {
            LUA_TTABLE => errors::table_error(lua, lua_gettop(lua)).text,
            _ => errors::plain_text(lua, -1),
        }
    }
}

/// The record of a level of the stack, if there is one.
unsafe fn level(lua: *mut lua_State, at: c_int) -> Option<lua_Debug> {
    // SAFETY: the record is plain data, filled for a level that exists.
    unsafe {
        let mut record: lua_Debug = std::mem::zeroed();
        (lua_getstack(lua, at, &mut record) != 0).then_some(record)
    }
}

/// The record of a level that runs a line of the program, counted from 0.
unsafe fn program_level(lua: *mut lua_State, wanted: usize) -> Option<lua_Debug> {
    let mut passed = 0;
    for at in 0..LEVELS_MAX {
        // SAFETY: the record is of a level that exists.
        unsafe {
            let mut record = level(lua, at)?;
            lua_getinfo(lua, c"Sl".as_ptr(), &mut record);
            if program_line(&record).is_some() {
                if passed == wanted {
                    return Some(record);
                }
                passed += 1;
            }
        }
    }
    None
}

/// Copies the value at an absolute index. `left` is how many values may still be made.
///
/// # Safety
/// `lua` is in host mode and runs no code meanwhile.
pub(crate) unsafe fn copy(
    lua: *mut lua_State,
    index: c_int,
    depth: usize,
    left: &mut usize,
) -> DebugValue {
    *left = left.saturating_sub(1);
    // SAFETY: as promised; values are looked at where they lie, and strings are not converted.
    unsafe {
        match lua_type(lua, index) {
            LUA_TNIL | LUA_TNONE => DebugValue::Nil,
            LUA_TBOOLEAN => DebugValue::Bool(lua_toboolean(lua, index) != 0),
            LUA_TNUMBER => DebugValue::Number(lua_tonumber(lua, index)),
            LUA_TSTRING => {
                let mut len = 0;
                let start = lua_tolstring(lua, index, &mut len);
                let text = std::slice::from_raw_parts(start.cast::<u8>(), len);
                let shown = len.min((*left + 1) * BYTES_PER_VALUE);
                *left = left.saturating_sub(shown / BYTES_PER_VALUE);
                DebugValue::Text(text[..shown].to_vec())
            }
            LUA_TTABLE if depth == DEBUG_DEPTH_MAX => DebugValue::TooDeep,
            LUA_TTABLE => copy_table(lua, index, depth, left),
            kind => DebugValue::Opaque {
                kind: match kind {
                    LUA_TFUNCTION => "function",
                    LUA_TTHREAD => "thread",
                    LUA_TLIGHTUSERDATA => "light-userdata",
                    _ => "userdata",
                },
                address: lua_topointer(lua, index).addr(),
            },
        }
    }
}

/// Copies a table.
unsafe fn copy_table(
    lua: *mut lua_State,
    index: c_int,
    depth: usize,
    left: &mut usize,
) -> DebugValue {
    let mut pairs = Vec::new();
    // SAFETY: room is made first; a traversal without changes raises nothing.
    unsafe {
        if lua_checkstack(lua, COPY_SLOTS) == 0 {
            return DebugValue::TooDeep;
        }
        let top = lua_gettop(lua);
        lua_pushvalue(lua, index);
        let table = lua_gettop(lua);
        show_frozen(lua, table);
        lua_pushnil(lua);
        while lua_next(lua, table) != 0 {
            if *left < 2 {
                pairs.push((DebugValue::TooMany, DebugValue::TooMany));
                break;
            }
            let at = lua_gettop(lua);
            let key = copy(lua, at - 1, depth + 1, left);
            pairs.push((key, copy(lua, at, depth + 1, left)));
            lua_pop(lua, 1);
        }
        lua_settop(lua, top);
    }
    DebugValue::Table(pairs)
}
