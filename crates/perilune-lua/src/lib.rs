//! Placeholder.
#![allow(unsafe_code)]

// Opened by the engine; until then only tests do.
#[cfg_attr(not(test), allow(dead_code))]
mod interrupt;
#[cfg_attr(not(test), allow(dead_code))]
mod raise;
#[cfg_attr(not(test), allow(dead_code))]
mod stdlib;
