//! Starting servers for the end-to-end tests, which are in `tests/e2e`; the differential test
//! ([`differential`]); the fuzz targets ([`fuzz`]).
//!
//! A test gets a process of its own ([`Server`]) with a folder of its own, both gone when it ends.
//! Nothing here sleeps for a time that is hoped to suffice: [`eventually`] asks until the answer
//! is right, and gives up after a time that no healthy machine needs.

pub mod differential;
pub mod fuzz;
pub mod hostile;
mod process;
pub mod random;
mod words;

pub use process::{Server, ServerBuilder, redis_server, repository, server_binary};
pub use words::{array, bulks, error, int, ok};

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const POLL_EVERY: Duration = Duration::from_millis(5);

/// Asks until there is an answer.
///
/// # Panics
/// If there is none in time; `what` says what was waited for.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(POLL_EVERY);
    }
}
