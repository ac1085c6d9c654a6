//! `ACL LOG`: refused commands and logins, newest first.
//!
//! The same thing refused again within a minute counts up the entry it made before, if that is
//! among the newest few.

use super::selector::Reason;
use std::collections::VecDeque;

/// How a refused command was about to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// On its own.
    Toplevel,
    /// In a transaction, or while one was queued.
    Multi,
    /// Called by a script.
    Script,
}

/// One kind of refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Number of the entry since the start of the server.
    pub id: u64,
    /// How often it happened.
    pub count: u64,
    /// What was refused.
    pub reason: Reason,
    /// How it was about to run.
    pub context: Context,
    /// Name of the command, key or channel, or the command that should have logged in.
    pub object: Vec<u8>,
    /// The user.
    pub username: Vec<u8>,
    /// The client of the last time, as in `CLIENT LIST`.
    pub client_info: Vec<u8>,
    /// Unix time of the first time, milliseconds.
    pub created_ms: i64,
    /// Unix time of the last time, milliseconds.
    pub updated_ms: i64,
}

/// The record of refusals.
#[derive(Debug, Default)]
pub struct AclLog {
    entries: VecDeque<LogEntry>,
    next_id: u64,
}

/// Refusals further apart than this make two entries.
const GROUPING_MS_MAX: i64 = 60_000;

/// So many of the newest entries are compared with a new one.
const GROUPING_ENTRIES_MAX: usize = 10;

impl AclLog {
    /// Records a refusal; its id and count are set here.
    pub fn add(&mut self, mut entry: LogEntry, max_len: usize) {
        let same = |known: &LogEntry| {
            known.reason == entry.reason
                && known.context == entry.context
                && (known.updated_ms - entry.updated_ms).abs() <= GROUPING_MS_MAX
                && known.object == entry.object
                && known.username == entry.username
        };
        let known = self.entries.iter().take(GROUPING_ENTRIES_MAX).position(same);
        if let Some(mut known) = known.and_then(|at| self.entries.remove(at)) {
            known.client_info = entry.client_info;
            known.updated_ms = entry.updated_ms;
            known.count += 1;
            self.entries.push_front(known);
            return;
        }
        (entry.id, entry.count) = (self.next_id, 1);
        self.next_id += 1;
        self.entries.push_front(entry);
        self.entries.truncate(max_len);
    }

    /// The entries, newest first.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &LogEntry> {
        self.entries.iter()
    }

    /// Forgets all entries.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(object: &str, at_ms: i64) -> LogEntry {
        LogEntry {
            id: 0,
            count: 0,
            reason: Reason::Key,
            context: Context::Toplevel,
            object: object.into(),
            username: b"alice".to_vec(),
            client_info: Vec::new(),
            created_ms: at_ms,
            updated_ms: at_ms,
        }
    }

    fn shown(log: &AclLog) -> Vec<(u64, u64, &[u8])> {
        log.entries().map(|entry| (entry.id, entry.count, &*entry.object)).collect()
    }

    #[test]
    fn the_same_refusal_counts_up_and_comes_first() {
        let mut log = AclLog::default();
        log.add(entry("a", 0), 10);
        log.add(entry("b", 1), 10);
        log.add(entry("a", 2), 10);
        assert_eq!(shown(&log), [(0, 2, &b"a"[..]), (1, 1, b"b")]);
        log.add(entry("a", 70_000), 10);
        assert_eq!(shown(&log), [(2, 1, &b"a"[..]), (0, 2, b"a"), (1, 1, b"b")]);
        log.clear();
        assert_eq!(log.entries().len(), 0);
    }

    #[test]
    fn only_so_many_are_kept() {
        let mut log = AclLog::default();
        (0..5).for_each(|n| log.add(entry(&n.to_string(), n), 2));
        assert_eq!(shown(&log), [(4, 1, &b"4"[..]), (3, 1, b"3")]);
        log.add(entry("x", 9), 0);
        assert_eq!(log.entries().len(), 0);
    }
}
