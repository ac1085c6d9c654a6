//! The title of the process: what `ps` shows in the place of its arguments.
//!
//! Linux shows the memory in which it put the arguments when the process began, so a title is
//! written there. It is cut off where that memory ends: behind it are the environment variables,
//! which are in use.
//!
//! ```text
//! arguments   | perilune \0 /etc/redis/redis.conf \0 |  HOME=/root \0 ...
//! title       | perilune *:6379 \0 \0 \0 \0 \0 \0 \0 \0 |  HOME=/root \0 ...
//! ```
//!
//! Nothing reads the arguments after a title was set: the options were parsed before, and
//! [`program`] remembers the first one.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;

/// The name that the program was started by.
static PROGRAM: LazyLock<String> = LazyLock::new(|| {
    let first = std::env::args_os().next().unwrap_or_else(|| "perilune".into());
    first.to_string_lossy().into_owned()
});

/// The name that the program was started by.
pub(crate) fn program() -> String {
    PROGRAM.clone()
}

/// Shows `title`, as far as there is room for it.
pub(crate) fn set(title: &str) -> Result<()> {
    LazyLock::force(&PROGRAM);
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (start, end) = room(&stat).ok_or(ErrorKind::Unsupported)?;
    let bytes = filled(title, end.saturating_sub(start) as usize)?;
    let memory: File = OpenOptions::new().write(true).open("/proc/self/mem")?;
    memory.write_all_at(&bytes, start)
}

/// Where the arguments begin and end, from the system's figures of the process.
fn room(stat: &str) -> Option<(u64, u64)> {
    /// Place of the begin of the arguments behind the name of the program, which may have blanks.
    const ARGUMENTS_START: usize = 45;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(ARGUMENTS_START);
    let mut address = || fields.next()?.parse().ok().filter(|address| *address > 0);
    Some((address()?, address()?))
}

/// The title in so many bytes, the last of which stays zero.
fn filled(title: &str, len: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let (_, room) = bytes.split_last_mut().ok_or_else(|| Error::from(ErrorKind::Unsupported))?;
    for (to, from) in room.iter_mut().zip(title.bytes()) {
        *to = from;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_where_the_system_says() {
        let fields: Vec<String> = (3..53).map(|number| number.to_string()).collect();
        let stat = format!("7 (a ) b) {}", fields.join(" "));
        assert_eq!(room(&stat), Some((48, 49)));
        assert_eq!(room("7 (a) S 1"), None);
    }

    #[test]
    fn a_title_is_cut_off_and_ends_in_zero() {
        assert_eq!(filled("moon", 6).ok(), Some(b"moon\0\0".to_vec()));
        assert_eq!(filled("moonlight", 5).ok(), Some(b"moon\0".to_vec()));
        assert!(filled("moon", 0).is_err());
    }
}
