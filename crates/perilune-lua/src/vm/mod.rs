//! What depends on which Lua it is: stock Lua 5.1 (`puc`), or LuaJIT (`jit`, the feature `luajit`).
//!
//! Both modules define the same items, and everything else in this crate uses these and Lua's public
//! API, so there is no other choice by feature in it. They are:
//! - what lies on the stack: [`frame`], [`top`], [`plain_list`], [`push_number`] and their kin;
//! - tables that refuse changes: [`freeze`] and what belongs to it;
//! - who asks whether a script may go on: [`set_hook`], and the [`Machine`] of a state.
//!
//! `puc` looks into Lua's structs and replaces two of its modules; `jit` uses the public API alone.
//! What only `puc` can do, such as telling from bytecode that a function keeps no arguments, `jit`
//! answers with the slower way.

#[cfg(feature = "luajit")]
mod jit;
#[cfg(not(feature = "luajit"))]
mod puc;

#[cfg(feature = "luajit")]
pub(crate) use jit::*;
#[cfg(not(feature = "luajit"))]
pub(crate) use puc::*;
