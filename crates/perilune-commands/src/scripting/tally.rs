//! What a run comes to: a [`Tally`] of its commands and keys while it runs, and its place in the
//! statistics from its end until the command that started it has been timed.
//!
//! The time of a run is the time of its command, which is measured anyway, so no clock is read for
//! the statistics. Keys are looked at where they stand: for most commands at positions known from
//! the table. Whether one was declared is a comparison with each declared key; only a call that
//! declares more than [`LINEAR_MAX`] of them gets a set to look them up in, made when it is first
//! needed.

use crate::args::Args;
use crate::engine::Engine;
use crate::keys::key_positions;
use crate::spec::CommandFlags;
use crate::table::Command;
use ahash::AHashSet;
use perilune_script::{LogLevel, RunFigures, RunPlace};

/// Most declared keys that are compared one by one.
const LINEAR_MAX: usize = 16;
/// What the events of a script in the latency monitor begin with.
const EVENT_PREFIXES: [&str; 2] = ["script ", "function "];
/// Most scripts with an event of their own in the latency monitor.
const EVENTS_MAX: usize = 64;

/// Counts what the commands of a script do.
pub(super) struct Tally<'a> {
    declared: &'a [&'a [u8]],
    declared_set: Option<AHashSet<&'a [u8]>>,
    commands: u64,
    keys_used: u64,
    keys_undeclared: u64,
}

impl<'a> Tally<'a> {
    /// Counts for a script that is called with these keys.
    pub(super) fn new(declared: &'a [&'a [u8]]) -> Self {
        Tally { declared, declared_set: None, commands: 0, keys_used: 0, keys_undeclared: 0 }
    }

    /// Counts a command that is about to run.
    #[inline]
    pub(super) fn count(&mut self, command: &Command, args: Args<'_>) {
        self.commands += 1;
        if let Some(range) = command.fixed_keys {
            if range.first == range.last {
                return self.note_key(args.get(range.first as usize));
            }
            let last = match usize::try_from(range.last) {
                Ok(last) => last,
                Err(_) => args.len().saturating_sub(range.last.unsigned_abs() as usize),
            };
            for index in (range.first as usize..=last).step_by(range.step as usize) {
                self.note_key(args.get(index));
            }
        } else if command.flags.contains(CommandFlags::MOVABLEKEYS) {
            for key in key_positions(command.spec, args) {
                self.note_key(args.get(key.index));
            }
        }
    }

    #[inline]
    fn note_key(&mut self, key: Option<&[u8]>) {
        let Some(key) = key else { return };
        self.keys_used += 1;
        let declared = self.declared;
        let is_declared = match declared.len() {
            0..=LINEAR_MAX => declared.contains(&key),
            _ => {
                let make = || declared.iter().copied().collect();
                self.declared_set.get_or_insert_with(make).contains(key)
            }
        };
        self.keys_undeclared += u64::from(!is_declared);
    }

    /// What was counted.
    #[inline]
    pub(super) fn figures(&self) -> RunFigures<'static> {
        RunFigures {
            commands: self.commands,
            keys_declared: self.declared.len() as u64,
            keys_used: self.keys_used,
            keys_undeclared: self.keys_undeclared,
            ..RunFigures::default()
        }
    }
}

impl super::Scripting {
    /// Enters the run that ended last into the statistics, now that its command took `took_us`,
    /// and answers its place: `None` if no run has ended.
    #[inline]
    pub(crate) fn note_time(&mut self, took_us: u64, ended_us: i64) -> Option<RunPlace> {
        let place = self.ended.take()?;
        self.statistics.record_time(place, took_us, ended_us);
        Some(place)
    }

    /// What a script is called: `script` and its digest, or `function` and its name.
    fn title_of(&self, place: RunPlace) -> Option<String> {
        let script = self.statistics.script_at(place)?;
        let is_it = |engine, handle| (engine, handle) == script;
        let mut cached = self.cache.iter();
        if let Some(one) = cached.find(|one| is_it(one.script.engine, one.script.handle)) {
            return Some(format!("script {}", one.digest));
        }
        self.libraries.iter().find_map(|library| {
            let mut functions = library.functions.iter();
            let found = functions.find(|function| is_it(library.engine, function.handle))?;
            Some(format!("function {}", String::from_utf8_lossy(&found.name)))
        })
    }
}

impl Engine {
    /// Names a slow script where the slow log cannot, and in the latency monitor.
    #[cold]
    pub(crate) fn note_slow_script(
        &mut self,
        place: RunPlace,
        took_us: u64,
        slow: bool,
        spike: bool,
    ) {
        if slow {
            self.scripting.statistics.record_slow(place);
        }
        let Some(title) = self.scripting.title_of(place) else { return };
        if slow {
            let line = format!("Slow {title}: {took_us} microseconds");
            self.env.log(LogLevel::Verbose, &line);
        }
        if spike {
            let is_of_script = |name: &&String| EVENT_PREFIXES.iter().any(|p| name.starts_with(p));
            let events = &self.latency.events;
            let room = events.keys().filter(is_of_script).count() < EVENTS_MAX;
            if room || events.contains_key(&title) {
                self.latency.add(&title, self.now_us / 1_000_000, took_us / 1000);
            }
        }
    }
}
