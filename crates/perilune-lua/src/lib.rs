//! Lua 5.1 behind the scripting seam: [`LuaEngine`].
//!
//! One Lua state lives as long as its engine. A script is compiled once and called by reference;
//! `redis.call` lends argument bytes straight from the Lua stack to the server and builds the
//! reply as Lua values, without a protocol in between.
//!
//! How a script is kept from harming the server, by module:
//! - `sandbox`: what scripts see, and why they cannot change it for others;
//! - `base`, `coroutine`: functions that catch errors cannot catch the end of a killed run; code is
//!   compiled from text only; there are no finalizers;
//! - `interrupt`, `state`: bytecode by a count hook and library functions by a work budget ask the
//!   server whether to go on;
//! - `vm`: tables can be read-only; a script cannot make strings collide;
//! - `alloc`: memory is counted and may be limited;
//! - `raise`: errors leave native code only when no Rust value is alive;
//! - `stdlib`: the libraries, rewritten without recursion or unchecked sizes;
//! - `debug`: what a debugger has evaluated is a script like any other;
//! - `convert`, `reply`: replies in both directions, of any depth and size.
//!
//! Nearly all `unsafe` code of the project is in this crate. It speaks to Lua through the raw functions
//! of `mlua::ffi`; two rules carry most of the safety arguments. *Host mode*: while native code
//! runs, memory is never refused, so functions of Lua that allocate cannot raise. *Protection*:
//! bytecode and everything that may call a metamethod runs below `lua_pcall`.
//!
//! In a program of its own, with a host whose only command is `PING`:
//!
//! ```
//! use perilune_lua::LuaEngine;
//! use perilune_resp::{Protocol, ReplyWriter, RespWriter};
//! use perilune_script::*;
//!
//! struct Host;
//!
//! impl ScriptHost for Host {
//!     fn call(&mut self, argv: &[&[u8]], out: &mut dyn ReplyWriter) {
//!         match argv {
//!             [name] if name.eq_ignore_ascii_case(b"ping") => out.status(b"PONG"),
//!             _ => out.error(b"ERR unknown command"),
//!         }
//!     }
//!     fn interrupt(&mut self) -> Interrupt {
//!         Interrupt::Continue
//!     }
//!     fn log(&mut self, _: LogLevel, _: &[u8], _: Option<u32>) {}
//!     fn protocol(&self) -> Protocol {
//!         Protocol::Resp2
//!     }
//!     fn set_protocol(&mut self, _: Protocol) {}
//!     fn set_repl(&mut self, _: ReplFlags) {}
//!     fn acl_check(&mut self, _: &[&[u8]]) -> Result<bool, AclCheckError> {
//!         Ok(true)
//!     }
//! }
//!
//! let mut engine = LuaEngine::new();
//! let source = b"return redis.call('PING').ok .. ARGV[1]";
//! let script = engine.compile(source, "greet", &mut Host).unwrap();
//! let mut reply = Vec::new();
//! let mut out = RespWriter::new(&mut reply, Protocol::Resp2);
//! engine.call(script, Invocation { keys: &[], args: &[b"!"] }, &mut Host, &mut out).unwrap();
//! assert_eq!(reply, b"$5\r\nPONG!\r\n");
//! assert!(engine.compile(b"return +", "", &mut Host).is_err());
//! ```
#![allow(unsafe_code)]

mod alloc;
mod api;
mod base;
mod convert;
mod coroutine;
mod debug;
mod engine;
mod errors;
mod interrupt;
mod numbers;
mod raise;
mod register;
mod reply;
mod sandbox;
mod state;
mod stdlib;
#[cfg(test)]
mod tests;
mod vm;

pub use engine::LuaEngine;
