//! Which functions of libraries cannot keep the tables that they are called with.
//!
//! A function gets its keys and arguments as two tables. They have to be new ones for each call if
//! the function might store one of them, return it or hand it to others. Most only look elements
//! up: then the bytecode reads the registers of the parameters only as the left side of an index
//! or where nothing but a truth value or a length comes of it, and the tables can be those of the
//! last call, which saves a fifth of the instructions of an `FCALL` that does one `GET`.
//!
//! What is not understood counts as escaping: a parameter that is captured by an inner function,
//! passed to a call (as in `ipairs(keys)`), assigned to a variable or changed, and any function
//! with `...`. Values that are written to those registers do not matter.

use mlua::ffi::*;

use crate::vm::puc::layout::{Closure, Prototype};

/// Operations of Lua 5.1, as numbered in its `lopcodes.h`, that read registers.
mod op {
    pub(super) const MOVE: u32 = 0;
    pub(super) const GETTABLE: u32 = 6;
    pub(super) const SETGLOBAL: u32 = 7;
    pub(super) const SETUPVAL: u32 = 8;
    pub(super) const SETTABLE: u32 = 9;
    pub(super) const SELF: u32 = 11;
    pub(super) const ADD: u32 = 12;
    pub(super) const POW: u32 = 17;
    pub(super) const UNM: u32 = 18;
    pub(super) const CONCAT: u32 = 21;
    pub(super) const EQ: u32 = 23;
    pub(super) const LE: u32 = 25;
    pub(super) const TESTSET: u32 = 27;
    pub(super) const CALL: u32 = 28;
    pub(super) const TAILCALL: u32 = 29;
    pub(super) const RETURN: u32 = 30;
    pub(super) const FORLOOP: u32 = 31;
    pub(super) const SETLIST: u32 = 34;
}

/// Whether the function on top of the stack can at most read elements of its arguments.
///
/// # Safety
/// A live thread with a value on its stack.
pub(crate) unsafe fn keeps_no_arguments(lua: *mut lua_State) -> bool {
    // SAFETY: the value is a function of Lua code, whose prototype is alive as long as it is.
    unsafe {
        if lua_isfunction(lua, -1) == 0 || lua_iscfunction(lua, -1) != 0 {
            return false;
        }
        let closure = lua_topointer(lua, -1).cast::<Closure>();
        let prototype: *const Prototype = (*closure).prototype;
        let Prototype { code, code_len, params, varargs, .. } = *prototype;
        let code = std::slice::from_raw_parts(code, usize::try_from(code_len).unwrap_or(0));
        varargs == 0 && !code.iter().any(|&it| lets_out(it, u32::from(params)))
    }
}

/// Whether an instruction may make a value in one of the first `params` registers known elsewhere.
/// An inner function's captures are encoded as moves, and are found as such.
fn lets_out(instruction: u32, params: u32) -> bool {
    let (a, b, c) = (instruction >> 6 & 0xff, instruction >> 23, instruction >> 14 & 0x1ff);
    // Constants have the ninth bit set, and so are no parameters.
    let [a_is_param, b_is_param, c_is_param] = [a, b, c].map(|register| register < params);
    match instruction & 0x3f {
        op::MOVE | op::SELF | op::UNM | op::TESTSET => b_is_param,
        op::GETTABLE => c_is_param,
        op::SETGLOBAL | op::SETUPVAL => a_is_param,
        op::SETTABLE => a_is_param || b_is_param || c_is_param,
        op::ADD..=op::POW | op::CONCAT | op::EQ..=op::LE => b_is_param || c_is_param,
        // These read a range of registers from A on. A return without values names the first one.
        op::RETURN => b != 1 && a_is_param,
        op::CALL | op::TAILCALL | op::FORLOOP..=op::SETLIST => a_is_param,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::State;

    /// Whether a function with this body, called with `keys` and `args`, may keep one of them.
    fn escapes(body: &str) -> bool {
        let source = format!("return function(keys, args) local x {body} end\0");
        let state = State::new();
        let lua = state.lua();
        // SAFETY: an idle state; the source ends with NUL.
        unsafe {
            assert_eq!(luaL_loadstring(lua, source.as_ptr().cast()), LUA_OK, "{body}");
            assert_eq!(lua_pcall(lua, 0, 1, 0), LUA_OK);
            !keeps_no_arguments(lua)
        }
    }

    #[test]
    fn elements_may_be_read() {
        let bodies = [
            "",
            "return redis.call('GET', keys[1])",
            "for i = 1, #keys do x = redis.call('INCRBY', keys[i], args[i] or 1) end return x",
            "if keys and not args then return 1 end",
            "local function f(k) return k end return f(keys[1])",
            "while args[1] == 'a' do args = nil end return {keys[1], keys[2], #keys}",
            "x = keys[#keys] .. args[1] return x, -args[1]",
        ];
        for body in bodies {
            assert!(!escapes(body), "{body}");
        }
    }

    #[test]
    fn tables_that_leave_are_noticed() {
        let bodies = [
            "return keys",
            "return 1, args",
            "x = args",
            "x = x or keys",
            "x = keys or x return x",
            "global = keys",
            "x = {keys}",
            "x = {a = args}",
            "x[keys] = 1",
            "x = x[keys]",
            "keys[1] = 'a'",
            "args.x = keys",
            "return unpack(args)",
            "for _, key in ipairs(keys) do x = key end",
            "for key in keys do x = key end",
            "x = function() return keys[1] end",
            "x = function() return function() return args end end",
            "keys:insert(1)",
            "x:insert(keys)",
            "x = keys .. 'a'",
            "x = keys == args",
            "x = keys < args",
            "x = -keys",
            "x = 1 + args",
            "keys()",
            "local k = keys return k[1]",
        ];
        for body in bodies {
            assert!(escapes(body), "{body}");
        }
    }

    #[test]
    fn varargs_and_native_functions_are_not_understood() {
        let state = State::new();
        let lua = state.lua();
        // SAFETY: an idle state.
        unsafe {
            assert_eq!(luaL_loadstring(lua, c"return 1".as_ptr()), LUA_OK);
            assert!(!keeps_no_arguments(lua), "a chunk takes any number of arguments");
            lua_getglobal(lua, c"print".as_ptr());
            assert!(!keeps_no_arguments(lua));
        }
    }
}
