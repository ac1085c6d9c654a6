//! The Perilune server as a library: configuration files, the command line, sockets and timers
//! around an [`Engine`](perilune_commands::Engine).
//!
//! `main.rs` is a thin user of it. To embed a server, build a
//! [`Config`](perilune_commands::config::Config), choose the script engines and run
//! [`server::Server`].

pub mod allocator;
pub mod check_rdb;
pub mod cli;
mod clock;
mod code_pages;
pub mod config_file;
mod connection;
pub mod daemon;
pub mod dap;
mod debugger;
mod env;
pub mod eval;
pub mod files;
mod gate;
mod input;
pub mod lint;
mod listen;
pub mod log;
mod master;
mod memory;
mod oom;
mod peer_link;
pub mod process;
pub mod script_test;
pub mod server;
mod socket;
mod title;
mod turn;

pub use gate::Gate;
