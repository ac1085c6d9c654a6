//! Placeholder.
pub mod config;
pub mod glob;
