//! The log, in the line format that tools around Redis expect:
//!
//! ```text
//! 4711:M 21 Nov 2026 04:07:06.123 * Ready to accept connections tcp
//! ```
//!
//! `tracing` carries the lines; its levels map to Redis' four. The level can change at run time.

use perilune_script::LogLevel;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

/// Longest line, bytes; the rest is cut off.
const LINE_MAX: usize = 1024;

/// Verbosity that can be changed while lines are written.
static THRESHOLD: AtomicU8 = AtomicU8::new(LogLevel::Notice as u8);

/// Above every level: nothing is written.
const NOTHING: u8 = u8::MAX;

/// Sets the lowest level that is written; `None` writes nothing.
pub fn set_level(level: Option<LogLevel>) {
    THRESHOLD.store(level.map_or(NOTHING, |level| level as u8), Ordering::Relaxed);
}

/// Writes a line.
pub fn write(level: LogLevel, message: &str) {
    match level {
        LogLevel::Debug => tracing::trace!("{message}"),
        LogLevel::Verbose => tracing::debug!("{message}"),
        LogLevel::Notice => tracing::info!("{message}"),
        LogLevel::Warning => tracing::warn!("{message}"),
    }
}

/// Starts the log: into `path`, or to standard output when it is empty.
pub fn start(path: &str, level: Option<LogLevel>) -> io::Result<()> {
    set_level(level);
    let file = match path {
        "" => None,
        path => Some(OpenOptions::new().create(true).append(true).open(path)?),
    };
    // Only the first server of a process sets the subscriber; further ones share it.
    let _ = tracing::subscriber::set_global_default(Lines { file: file.map(Mutex::new) });
    Ok(())
}

/// Writes every event as a line.
struct Lines {
    file: Option<Mutex<File>>,
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        redis_level(*metadata.level()) as u8 >= THRESHOLD.load(Ordering::Relaxed)
            && metadata.target().starts_with("perilune")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        let line = format_line(redis_level(*event.metadata().level()), &message.0);
        // A log that cannot be written is no reason to fail a command.
        let _ = match &self.file {
            Some(file) => {
                file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())
            }
            None => io::stdout().lock().write_all(line.as_bytes()),
        };
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.0, "{value:?}");
        }
    }
}

fn redis_level(level: Level) -> LogLevel {
    match level {
        Level::TRACE => LogLevel::Debug,
        Level::DEBUG => LogLevel::Verbose,
        Level::INFO => LogLevel::Notice,
        Level::WARN | Level::ERROR => LogLevel::Warning,
    }
}

fn format_line(level: LogLevel, message: &str) -> String {
    let mark = match level {
        LogLevel::Debug => '.',
        LogLevel::Verbose => '-',
        LogLevel::Notice => '*',
        LogLevel::Warning => '#',
    };
    let now = chrono::Local::now().format("%d %b %Y %H:%M:%S%.3f");
    let mut line = format!("{}:M {now} {mark} {message}", std::process::id());
    if line.len() > LINE_MAX {
        let cut = (0..=LINE_MAX).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        line.truncate(cut);
    }
    line.push('\n');
    line
}
