//! Commands on sets: on one set and its members, on several sets, at random.
//!
//! A set that loses its last member is removed with its key, so no handler leaves an empty one
//! behind: those that may create a set always put a member into a fresh one.

pub(crate) mod algebra;
pub(crate) mod members;
pub(crate) mod random;
#[cfg(test)]
mod tests;
