//! The engine: [`LuaEngine`], its scripts and functions, and one run of them.

use std::ffi::CStr;

use mlua::ffi::*;
use perilune_resp::ReplyWriter;
use perilune_script::{
    CompileError, Debugger, FunctionSpec, Handle, Invocation, ScriptEngine, ScriptError, ScriptHost,
};

use crate::debug::attach;
use crate::errors;
use crate::raise::push_bytes;
use crate::register::{LibraryDraft, Registered};
use crate::reply::write_reply;
use crate::sandbox::{build, set_argument_tables, switch_library_globals, use_globals};
use crate::state::{State, collect, load_text, pace_collector, slot};
use crate::stdlib::{STRING_BYTES_MAX, reset_settings};
use crate::vm::{clear_list, keeps_no_arguments};

/// The name of every script's code.
pub(crate) const SCRIPT_CHUNK: &CStr = c"@user_script";
/// The name of every library's code.
pub(crate) const LIBRARY_CHUNK: &CStr = c"@user_function";

/// Longest `KEYS` or `ARGV` whose table is used again.
const REUSED_ELEMENTS_MAX: usize = 16;
/// Runs after which the tables are made anew, should scripts have left them large.
const REUSED_RUNS_MAX: u32 = 64;

/// What a handle stands for.
struct Entry {
    /// The compiled code in Lua's registry.
    code: i32,
    /// What messages call it.
    name: Vec<u8>,
    mode: Mode,
}

/// A place for entries. Its generation grows whenever the entry changes, so that old handles miss.
struct Place {
    generation: u32,
    entry: Option<Entry>,
}

/// Lua 5.1 with the API and the sandbox of Redis.
///
/// ```
/// # use perilune_lua::LuaEngine;
/// # use perilune_script::ScriptEngine;
/// let mut engine = LuaEngine::new();
/// engine.set_memory_limit(Some(64 << 20));
/// assert_eq!(engine.name(), "lua");
/// ```
pub struct LuaEngine {
    pub(crate) state: State,
    places: Vec<Place>,
    free: Vec<usize>,
    /// The slot whose globals are current.
    env: i32,
    runs_until_fresh: u32,
}

// SAFETY: the state is reached through this value alone, nothing in it is bound to a thread, and
// no reference to a host or a Lua value outlives a call.
unsafe impl Send for LuaEngine {}

impl Default for LuaEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl LuaEngine {
    /// An engine with no scripts and no memory limit.
    pub fn new() -> Self {
        let state = State::new();
        // SAFETY: the state is fresh.
        unsafe { build(state.lua()) };
        LuaEngine {
            state,
            places: Vec::new(),
            free: Vec::new(),
            env: slot::SCRIPT_ENV,
            runs_until_fresh: REUSED_RUNS_MAX,
        }
    }

    fn add(&mut self, entry: Entry) -> Handle {
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.places.push(Place { generation: 0, entry: None });
                self.places.len() - 1
            }
        };
        let mut generation = 0;
        if let Some(place) = self.places.get_mut(at) {
            place.entry = Some(entry);
            generation = place.generation;
        }
        Handle(u64::from(generation) << 32 | at as u64)
    }

    fn find(&self, handle: Handle) -> Option<&Entry> {
        let place = self.places.get((handle.0 & u64::from(u32::MAX)) as usize)?;
        if u64::from(place.generation) == handle.0 >> 32 { place.entry.as_ref() } else { None }
    }

    /// Makes the globals in a slot current, if they are not.
    fn switch_env(&mut self, env: i32) {
        if self.env != env {
            // SAFETY: nothing is running.
            unsafe { use_globals(self.state.lua(), env) };
            self.env = env;
        }
    }

    /// Compiles text into a reference.
    fn load(
        &mut self,
        source: &[u8],
        chunk: &CStr,
        host: &mut dyn ScriptHost,
    ) -> Result<i32, CompileError> {
        let lua = self.state.lua();
        let state = &self.state;
        // SAFETY: nothing is running, so memory is not refused; the stack is idle, and the host is
        // taken back below.
        let compiled = unsafe {
            state.lend(host);
            let status = load_text(lua, source, chunk);
            // What came of a killed compiler, even code, is not what was asked for.
            match state.context().killed.get() {
                Some(text) => Err(text.strip_prefix("ERR ").unwrap_or(text).to_owned()),
                None if status == LUA_OK => Ok(luaL_ref(lua, LUA_REGISTRYINDEX)),
                None => Err(String::from_utf8_lossy(&errors::plain_text(lua, -1)).into_owned()),
            }
        };
        // SAFETY: nothing is running.
        unsafe { lua_settop(lua, slot::TOP) };
        state.end_run();
        compiled.map_err(|message| CompileError { message })
    }

    /// Calls the code with its arguments on the stack; the result or error value is left there.
    fn run(
        &mut self,
        code: i32,
        input: Invocation<'_>,
        host: &mut dyn ScriptHost,
        mode: Mode,
    ) -> i32 {
        let lua = self.state.lua();
        // SAFETY: nothing is running yet, so memory is not refused; an idle stack has room for
        // code and two tables, whose values are pushed one by one.
        unsafe {
            match mode {
                Mode::Script => {
                    fill(lua, slot::KEYS, input.keys);
                    fill(lua, slot::ARGV, input.args);
                    lua_rawgeti_(lua, LUA_REGISTRYINDEX, code);
                    self.state.run(host, 0, 1, slot::ERROR_HANDLER)
                }
                Mode::Reader => {
                    fill(lua, slot::KEYS, input.keys);
                    fill(lua, slot::ARGV, input.args);
                    lua_rawgeti_(lua, LUA_REGISTRYINDEX, code);
                    lua_pushvalue(lua, slot::KEYS);
                    lua_pushvalue(lua, slot::ARGV);
                    self.state.run(host, 2, 1, slot::ERROR_HANDLER)
                }
                Mode::Function => {
                    lua_rawgeti_(lua, LUA_REGISTRYINDEX, code);
                    for values in [input.keys, input.args] {
                        lua_createtable(lua, i32::try_from(values.len()).unwrap_or(0), 0);
                        fill(lua, lua_gettop(lua), values);
                    }
                    self.state.run(host, 2, 1, slot::ERROR_HANDLER)
                }
                Mode::Load => {
                    lua_rawgeti_(lua, LUA_REGISTRYINDEX, code);
                    self.state.run(host, 0, 0, 0)
                }
            }
        }
    }

    /// Puts everything a run may have changed back to where the next one expects it.
    fn clean_up(&mut self, code: i32, mode: Mode) {
        let lua = self.state.lua();
        let context = self.state.context();
        // SAFETY: nothing is running.
        unsafe {
            lua_settop(lua, slot::TOP);
            reset_settings(lua);
            // As long as a huge block is there, every run is asked more often than it should be.
            let made_huge = context.heap.made_huge.take();
            if made_huge || context.heap.is_crowded() {
                // There is nothing left to kill, but others are still to be answered.
                collect(lua, || {
                    context.serve_others();
                    true
                });
            }
            if context.environment_changed.take() {
                use_globals(lua, self.env);
                lua_rawgeti_(lua, LUA_REGISTRYINDEX, code);
                lua_pushvalue(lua, self.env);
                lua_setfenv(lua, -2);
                lua_settop(lua, slot::TOP);
            }
            if matches!(mode, Mode::Function | Mode::Load) {
                return;
            }
            self.runs_until_fresh -= 1;
            let expired = self.runs_until_fresh == 0;
            let keys_clean = !expired && clear_list(lua, slot::KEYS, REUSED_ELEMENTS_MAX);
            let args_clean = !expired && clear_list(lua, slot::ARGV, REUSED_ELEMENTS_MAX);
            if keys_clean && args_clean {
                return;
            }
            self.runs_until_fresh = REUSED_RUNS_MAX;
            pace_collector(lua);
            for slot in [slot::KEYS, slot::ARGV] {
                lua_createtable(lua, 0, 0);
                lua_replace(lua, slot);
            }
            set_argument_tables(lua);
        }
    }

    /// Runs library code and takes what it registered out of the context.
    fn run_library(
        &mut self,
        code: i32,
        host: &mut dyn ScriptHost,
    ) -> Result<Vec<Registered>, CompileError> {
        let lua = self.state.lua();
        let nothing = Invocation { keys: &[], args: &[] };
        self.state.context().draft.replace(Some(LibraryDraft::default()));
        // SAFETY: nothing is running.
        unsafe { switch_library_globals(lua) };
        let status = self.run(code, nothing, host, Mode::Load);
        // SAFETY: as above.
        unsafe { switch_library_globals(lua) };
        let draft = self.state.context().draft.take().unwrap_or_default();
        let mut result = Ok(());
        if status != LUA_OK {
            // SAFETY: the error value lies on top.
            let text = unsafe { errors::load_error(lua) };
            let message =
                format!("Error registering functions: {}", String::from_utf8_lossy(&text));
            result = Err(CompileError { message });
        }
        self.clean_up(code, Mode::Load);
        if let Err(error) = result {
            for function in draft.functions {
                self.release(function.code);
            }
            self.state.end_run();
            return Err(error);
        }
        self.state.end_run();
        Ok(draft.functions)
    }

    /// How a function of a library is to be called.
    fn mode_of_function(&self, code: i32) -> Mode {
        let lua = self.state.lua();
        // SAFETY: nothing is running; an idle stack has room.
        unsafe {
            lua_rawgeti_(lua, LUA_REGISTRYINDEX, code);
            let reads_only = keeps_no_arguments(lua);
            lua_pop(lua, 1);
            if reads_only { Mode::Reader } else { Mode::Function }
        }
    }

    fn release(&mut self, code: i32) {
        // SAFETY: the reference was made by `luaL_ref` and is released once; nothing is running.
        unsafe { luaL_unref(self.state.lua(), LUA_REGISTRYINDEX, code) }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// A script, which has `KEYS` and `ARGV`.
    Script,
    /// A function of a library, called with two new tables.
    Function,
    /// A function that gets the tables of scripts, since it can only read them.
    Reader,
    /// The code of a library, without arguments.
    Load,
}

/// Stores strings as elements 1, 2, 3... of the table at the absolute `index`.
unsafe fn fill(lua: *mut lua_State, index: i32, values: &[&[u8]]) {
    for (at, value) in (1..).zip(values) {
        // SAFETY: one slot of room; memory is not refused.
        unsafe {
            push_bytes(lua, value);
            lua_rawseti_(lua, index, at);
        }
    }
}

impl ScriptEngine for LuaEngine {
    fn name(&self) -> &'static str {
        "lua"
    }

    fn compile(
        &mut self,
        source: &[u8],
        id: &str,
        host: &mut dyn ScriptHost,
    ) -> Result<Handle, CompileError> {
        self.switch_env(slot::SCRIPT_ENV);
        let code = self.load(source, SCRIPT_CHUNK, host)?;
        let name = [b"f_", id.as_bytes()].concat();
        Ok(self.add(Entry { code, name, mode: Mode::Script }))
    }

    fn call(
        &mut self,
        handle: Handle,
        input: Invocation<'_>,
        host: &mut dyn ScriptHost,
        out: &mut dyn ReplyWriter,
    ) -> Result<(), ScriptError> {
        let Some(&Entry { code, mut mode, .. }) = self.find(handle) else {
            let text = errors::NO_SUCH_SCRIPT.to_vec();
            return Err(ScriptError { text, ..ScriptError::default() });
        };
        if mode == Mode::Reader && self.state.context().debugger.get().is_some() {
            // What a debugger evaluates may do with them what the function cannot.
            mode = Mode::Function;
        }
        self.switch_env(match mode {
            Mode::Script => slot::SCRIPT_ENV,
            _ => slot::FUNCTION_ENV,
        });
        let heap = &self.state.context().heap;
        heap.begin_bytes.set(heap.used_bytes.get());
        heap.peak_bytes.set(heap.used_bytes.get());
        let status = self.run(code, input, host, mode);
        let lua = self.state.lua();
        // SAFETY: the run is over; its result or error lies on top of the stack.
        let result = unsafe {
            if status == LUA_OK {
                write_reply(lua, host, out)
            } else {
                let name = self.find(handle).map_or(&b""[..], |entry| &entry.name);
                Err(errors::script_error(lua, name))
            }
        };
        self.clean_up(code, mode);
        self.state.end_run();
        result
    }

    fn call_debugged(
        &mut self,
        handle: Handle,
        input: Invocation<'_>,
        host: &mut dyn ScriptHost,
        debugger: &dyn Debugger,
        out: &mut dyn ReplyWriter,
    ) -> Result<(), ScriptError> {
        // SAFETY: a run detaches it, and what never became one is seen to below.
        unsafe { attach(&self.state, debugger) };
        let result = self.call(handle, input, host, out);
        self.state.context().debugger.set(None);
        result
    }

    fn fresh(&self) -> Option<Box<dyn ScriptEngine>> {
        let mut engine = LuaEngine::new();
        engine.set_memory_limit(Some(self.state.context().heap.limit_bytes.get()));
        Some(Box::new(engine))
    }

    fn load_library(
        &mut self,
        code: &[u8],
        host: &mut dyn ScriptHost,
    ) -> Result<Vec<FunctionSpec>, CompileError> {
        self.switch_env(slot::FUNCTION_ENV);
        let code = self.load(code, LIBRARY_CHUNK, host).map_err(|error| CompileError {
            message: format!("Error compiling function: {}", error.message),
        })?;
        let registered = self.run_library(code, host);
        self.release(code);
        let functions = registered?;
        Ok(functions
            .into_iter()
            .map(|Registered { name, description, flags, code }| {
                let mode = self.mode_of_function(code);
                let entry = Entry { code, name: name.clone(), mode };
                FunctionSpec { name, description, flags, handle: self.add(entry) }
            })
            .collect())
    }

    fn set_memory_limit(&mut self, bytes: Option<usize>) {
        let bytes = bytes.unwrap_or(usize::MAX);
        let context = self.state.context();
        context.heap.limit_bytes.set(bytes);
        context.base.libs.string_bytes_max.set(bytes.min(STRING_BYTES_MAX));
    }

    fn forget(&mut self, handle: Handle) {
        let at = (handle.0 & u64::from(u32::MAX)) as usize;
        let Some(code) = self.find(handle).map(|entry| entry.code) else { return };
        self.release(code);
        let Some(place) = self.places.get_mut(at) else { return };
        place.entry = None;
        // A place whose generations are used up stays empty: no handle is ever used twice.
        if let Some(next) = place.generation.checked_add(1) {
            place.generation = next;
            self.free.push(at);
        }
    }

    fn trim(&mut self) {
        // SAFETY: nothing is running, and there are no finalizers that could raise.
        unsafe { lua_gc(self.state.lua(), LUA_GCCOLLECT, 0) };
    }

    fn memory_used(&self) -> usize {
        self.state.context().heap.used_bytes.get()
    }

    fn memory_growth(&self) -> usize {
        let heap = &self.state.context().heap;
        heap.peak_bytes.get().saturating_sub(heap.begin_bytes.get())
    }

    fn overhead(&self) -> usize {
        std::mem::size_of::<Place>() + std::mem::size_of::<Entry>()
    }
}
