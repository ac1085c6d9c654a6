//! The limit of open files, which bounds the number of clients.

use crate::log;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use perilune_commands::config::Config;
use perilune_script::LogLevel;

/// Files that are open besides the clients' sockets: listeners, log, the runtime's own.
const RESERVED: u64 = 32;

/// Raises the limit of open files so that `maxclients` fit; where it cannot be raised that far,
/// lowers `maxclients` and says so.
pub fn make_room_for_clients(config: &mut Config) {
    let wanted = u64::from(config.maxclients) + RESERVED;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    if soft >= wanted {
        return;
    }
    let possible = wanted.min(hard);
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, possible, hard) {
        Ok(()) => possible,
        Err(_) => soft,
    };
    if limit < wanted {
        let clients = limit.saturating_sub(RESERVED).max(1);
        config.maxclients = u32::try_from(clients).unwrap_or(config.maxclients);
        let message = format!(
            "The limit of open files is {limit}: maxclients has been reduced to {} to fit.",
            config.maxclients
        );
        log::write(LogLevel::Warning, &message);
    }
}
