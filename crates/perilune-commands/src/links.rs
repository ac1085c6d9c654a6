//! Conversations with other servers that a command has while everybody waits: `MIGRATE`.
//!
//! The engine opens no socket; [`Environment::connect`] gives it a [`Link`]. Every wait on one ends
//! after the time the caller names. Links are kept for a while, since whoever moves one key mostly
//! moves more.
//!
//! [`Environment::connect`]: crate::environment::Environment::connect

use crate::engine::Engine;
use std::fmt;
use std::time::Duration;

/// Most links kept.
const KEPT_MAX: usize = 64;
/// How long a link is kept that nobody uses, seconds.
const KEPT_IDLE_S: i64 = 10;

/// Why a conversation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkError {
    /// The time was up.
    TimedOut,
    /// The other side is not there, or no more.
    Failed,
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LinkError::TimedOut => "the other server did not answer in time",
            LinkError::Failed => "no connection to the other server",
        })
    }
}

impl std::error::Error for LinkError {}

/// A connection to another server, used by one command at a time.
pub trait Link: Send {
    /// Sends all of it. The time is for each part that the network takes at once.
    fn send(&mut self, bytes: &[u8], timeout: Duration) -> Result<(), LinkError>;

    /// Receives a line, and returns it without its end.
    fn read_line(&mut self, timeout: Duration) -> Result<Vec<u8>, LinkError>;
}

/// A link to a server and what is known about the other side.
pub(crate) struct KeptLink {
    host: Vec<u8>,
    port: Vec<u8>,
    /// The database that is selected there, if that is known.
    pub(crate) db: Option<i64>,
    pub(crate) link: Box<dyn Link>,
    last_use_s: i64,
}

impl fmt::Debug for KeptLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptLink").field("db", &self.db).finish_non_exhaustive()
    }
}

/// The links that are kept, at most one to each address.
#[derive(Debug, Default)]
pub struct Links {
    kept: Vec<KeptLink>,
}

impl Links {
    /// How many are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

impl Engine {
    /// Takes the link to an address, or makes one. It is gone unless it is
    /// [kept](Self::keep_link).
    pub(crate) fn take_link(
        &mut self,
        host: &[u8],
        port: &[u8],
        timeout: Duration,
    ) -> Result<KeptLink, LinkError> {
        let kept = &mut self.links.kept;
        if let Some(at) = kept.iter().position(|link| link.host == host && link.port == port) {
            return Ok(kept.swap_remove(at));
        }
        let number = std::str::from_utf8(port).ok().and_then(|port| port.parse().ok());
        let name = std::str::from_utf8(host).ok();
        let (Some(name), Some(number)) = (name, number) else { return Err(LinkError::Failed) };
        let link = self.env.connect(name, number, timeout)?;
        Ok(KeptLink { host: host.to_vec(), port: port.to_vec(), db: None, link, last_use_s: 0 })
    }

    /// Keeps a link that is good.
    pub(crate) fn keep_link(&mut self, mut link: KeptLink) {
        link.last_use_s = self.now_us / 1_000_000;
        if self.links.kept.len() >= KEPT_MAX {
            let victim = self.rng.below(self.links.kept.len());
            self.links.kept.swap_remove(victim);
        }
        self.links.kept.push(link);
    }

    /// Keeps a link as if it had been used before.
    #[cfg(test)]
    pub(crate) fn keep_link_for_test(&mut self, host: &[u8], port: &[u8], link: Box<dyn Link>) {
        let (host, port) = (host.to_vec(), port.to_vec());
        self.keep_link(KeptLink { host, port, db: None, link, last_use_s: 0 });
    }

    /// Closes the links that nobody has used for a while.
    pub(crate) fn close_idle_links(&mut self) {
        let now_s = self.now_us / 1_000_000;
        self.links.kept.retain(|link| now_s - link.last_use_s <= KEPT_IDLE_S);
    }
}
