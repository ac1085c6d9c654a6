//! `daemonize yes`: the server goes on in the background.
//!
//! A process with threads must not fork, so the program is started a second time with the same
//! arguments, in a session of its own and without a terminal; the first process then ends. A mark
//! in the environment tells the second that it is the one to serve.

use nix::unistd::setsid;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// Set for the process that serves.
const MARK: &str = "PERILUNE_DAEMON";

/// True in the process that is to serve, false in the one that is to end. `started_in` is the
/// working directory that the arguments are relative to.
pub fn become_daemon(started_in: &Path) -> io::Result<bool> {
    if std::env::var_os(MARK).is_some() {
        // Fails only for a process that leads a group already, which is as detached as can be.
        let _ = setsid();
        return Ok(true);
    }
    Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .current_dir(started_in)
        .env(MARK, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(false)
}
