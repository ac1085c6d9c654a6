//! The commands, a file per group: each row of the table beside its handler.

mod acl;
mod aof;
mod bitmap;
pub(crate) mod client;
mod cluster;
mod command;
mod config;
mod connection;
mod debug;
mod expiry;
mod generic;
mod geo;
mod hash;
mod help;
mod hyperloglog;
mod info;
mod info_replication;
mod latency;
mod list;
mod memory;
mod module;
mod persistence;
mod pubsub;
mod random_count;
mod replication;
mod scan;
mod scripting;
mod server;
mod set;
mod slowlog;
mod stream;
mod string;
mod tracking;
mod transactions;
mod zset;

pub(crate) use client::describe as describe_client;

use crate::spec::CommandSpec;

/// All rows. A new group of commands is added here, a new command in its group's file.
pub(crate) const GROUPS: &[&[CommandSpec]] = &[
    acl::COMMANDS,
    bitmap::combine::COMMANDS,
    bitmap::field::COMMANDS,
    bitmap::range::COMMANDS,
    bitmap::single::COMMANDS,
    client::COMMANDS,
    cluster::COMMANDS,
    command::COMMANDS,
    connection::COMMANDS,
    aof::COMMANDS,
    config::COMMANDS,
    geo::points::COMMANDS,
    geo::search::COMMANDS,
    hash::COMMANDS,
    hyperloglog::COMMANDS,
    info::COMMANDS,
    memory::COMMANDS,
    module::COMMANDS,
    latency::COMMANDS,
    debug::COMMANDS,
    list::elements::COMMANDS,
    list::ends::COMMANDS,
    list::waiting::COMMANDS,
    server::COMMANDS,
    set::algebra::COMMANDS,
    set::members::COMMANDS,
    set::random::COMMANDS,
    slowlog::COMMANDS,
    persistence::COMMANDS,
    pubsub::COMMANDS,
    replication::COMMANDS,
    generic::databases::COMMANDS,
    generic::dump::COMMANDS,
    generic::expire::COMMANDS,
    generic::iterate::COMMANDS,
    generic::keys::COMMANDS,
    generic::migrate::COMMANDS,
    generic::object::COMMANDS,
    generic::sort::COMMANDS,
    generic::wait::COMMANDS,
    stream::append::COMMANDS,
    stream::claim::COMMANDS,
    stream::group::COMMANDS,
    stream::info::COMMANDS,
    stream::pending::COMMANDS,
    stream::range::COMMANDS,
    stream::read::COMMANDS,
    string::counters::COMMANDS,
    string::lcs::COMMANDS,
    string::parts::COMMANDS,
    string::whole::COMMANDS,
    scripting::eval::COMMANDS,
    scripting::fcall::COMMANDS,
    scripting::function::COMMANDS,
    scripting::script::COMMANDS,
    transactions::COMMANDS,
    zset::algebra::COMMANDS,
    zset::bounded::COMMANDS,
    zset::members::COMMANDS,
    zset::pop::COMMANDS,
    zset::ranges::COMMANDS,
    zset::visit::COMMANDS,
];
