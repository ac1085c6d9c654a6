//! End-to-end tests: a real server process, real sockets, real clients.

mod blocking;
mod busy_scripts;
mod clients;
mod dap;
mod debugger;
mod differential;
mod examples;
mod hostile;
mod kill;
mod lifecycle;
mod migrate;
mod protocol;
mod published_flaws;
mod replication;
mod round_trips;
mod transcripts;
