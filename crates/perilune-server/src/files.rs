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
    if let Err(possible) = raise_limit(config.maxclients) {
        config.maxclients = possible;
        let message =
            format!("The limit of open files is low: maxclients has been reduced to {possible}.");
        log::write(LogLevel::Warning, &message);
    }
}

/// Raises the limit of open files so that so many clients fit. `Err` is how many do, if not all.
pub(crate) fn raise_limit(clients: u32) -> Result<(), u32> {
    let wanted = u64::from(clients) + RESERVED;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(()) };
    if soft >= wanted {
        return Ok(());
    }
    let possible = wanted.min(hard);
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, possible, hard) {
        Ok(()) => possible,
        Err(_) => soft,
    };
    if limit >= wanted {
        return Ok(());
    }
    Err(u32::try_from(limit.saturating_sub(RESERVED).max(1)).unwrap_or(clients))
}
