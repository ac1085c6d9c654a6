//! The commands, a file per group: each row of the table beside its handler.

mod client;
mod connection;
mod help;
mod pubsub;
mod transactions;

use crate::spec::CommandSpec;

/// All rows. A new group of commands is added here, a new command in its group's file.
pub(crate) const GROUPS: &[&[CommandSpec]] =
    &[client::COMMANDS, connection::COMMANDS, pubsub::COMMANDS, transactions::COMMANDS];
