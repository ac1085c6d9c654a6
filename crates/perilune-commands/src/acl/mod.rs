//! Access control: who may run which commands, on which keys and channels.
//!
//! - A [`User`] has passwords and [`Selector`]s. A command is allowed when one selector alone
//!   allows the command, all its keys and all its channels.
//! - Users are made and changed by rules (`+get`, `~cache:*`, `>password`), see [`RuleError`] for
//!   what can be wrong with one. [`User::describe`] turns a user back into rules.
//! - [`Acl`] holds all users and the record of refusals.
//! - `enforce` and `clients` are methods of [`Engine`](crate::Engine): the checks on the road of a
//!   command, and what becomes of connections whose user changes.
//!
//! Invariant: users are immutable values behind an [`Arc`](std::sync::Arc). Every session holds the
//! present version of its user, because whoever replaces a version replaces it in all sessions; so
//! a check needs no lookup, and for a user who may do everything it is one branch on a flag that
//! the session keeps.
//!
//! What is absent: files (they are read and written through
//! [`Environment`](crate::environment::Environment)).

mod categories;
mod clients;
mod command_set;
mod description;
mod enforce;
mod file;
mod log;
mod password;
mod registry;
mod rules;
mod selector;
mod user;

#[cfg(test)]
mod tests;

pub use categories::Categories;
pub use command_set::CommandSet;
pub use log::{AclLog, Context, LogEntry};
pub use password::PasswordHash;
pub use registry::{Acl, DeniedCounts};
pub(crate) use rules::has_spaces;
pub use rules::{RuleContext, RuleError, join_selectors};
pub use selector::{Access, Denial, KeyPattern, Reason, Request, Selector};
pub use user::{User, WrongRule};
