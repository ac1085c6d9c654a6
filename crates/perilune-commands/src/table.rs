//! The command table at run time: every [`CommandSpec`] row with its parsed flags, its id and its
//! statistics, and the lookup by name.
//!
//! Invariants, checked by [`CommandTable::new`]: names are unique, every flag and category word
//! exists, the arguments are valid notation, subcommands hang under a container. Ids are indices and stable for the
//! life of the table.

use crate::acl::Categories;
use crate::args::Args;
use crate::errors::{self, CommandError};
use crate::histogram::Histogram;
use crate::keys::{LegacyRange, legacy_range, may_have_keys};
use crate::names::NameIndex;
use crate::spec::{BeginSearch, CommandFlags, CommandSpec, FindKeys};
use std::num::NonZeroU8;

/// Index of a command in its [`CommandTable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(pub u16);

/// Counters of one command (`INFO commandstats`).
#[derive(Debug, Clone, Copy, Default)]
pub struct CommandStats {
    /// Runs.
    pub calls: u64,
    /// Microseconds spent in them.
    pub usec: u64,
    /// Refused before they ran.
    pub rejected: u64,
    /// Runs that ended with an error.
    pub failed: u64,
}

/// A row of the table with what was derived from it.
pub struct Command {
    /// The row.
    pub spec: &'static CommandSpec,
    /// Name as statistics and errors show it: `get`, `config|get`.
    pub full_name: &'static str,
    /// Parsed [`CommandSpec::flags`].
    pub flags: CommandFlags,
    /// Access control categories, explicit and implied.
    pub categories: Categories,
    /// Where its keys stand, when that is the same in every call.
    pub fixed_keys: Option<LegacyRange>,
    /// Where its first key stands in all but odd calls.
    pub likely_key: Option<NonZeroU8>,
    /// The container of a subcommand.
    pub parent: Option<CommandId>,
    /// Subcommands by name.
    pub subcommands: Vec<(&'static str, CommandId)>,
    /// Counters.
    pub stats: CommandStats,
    /// Run times, nanoseconds (`latency-tracking`).
    pub latency: Histogram,
}

impl Command {
    /// Whether the command takes that many arguments, its name included.
    #[inline]
    pub fn takes(&self, arg_count: usize) -> bool {
        let (arity, count) = (i64::from(self.spec.arity), arg_count as i64);
        if arity > 0 { count == arity } else { count >= -arity }
    }
}

/// All commands.
pub struct CommandTable {
    commands: Vec<Command>,
    by_name: NameIndex,
}

/// Where the first key of a command stands: at a fixed place, or behind the number of keys.
fn likely_key(spec: &CommandSpec) -> Option<NonZeroU8> {
    let first = spec.keys.first()?;
    let BeginSearch::Index(index) = first.begin else { return None };
    let offset = match first.find {
        FindKeys::KeyNum { first, .. } => first,
        FindKeys::Range { .. } => 0,
        FindKeys::Unknown => return None,
    };
    NonZeroU8::new(u8::try_from(index.checked_add(offset)?).ok()?)
}

/// Longest command name of a row. Renamed commands may be longer.
const NAME_MAX: usize = 32;

impl CommandTable {
    /// The table of all commands.
    pub fn builtin() -> Result<Self, String> {
        CommandTable::new(crate::cmd::GROUPS)
    }

    /// Builds the table from groups of rows.
    pub fn new(groups: &[&'static [CommandSpec]]) -> Result<Self, String> {
        let mut table = CommandTable { commands: Vec::new(), by_name: NameIndex::default() };
        for spec in groups.iter().copied().flatten() {
            let id = table.add(spec, spec.name, None)?;
            if table.by_name.insert(spec.name.as_bytes(), id).is_some() {
                return Err(format!("command '{}' has two rows", spec.name));
            }
            for sub in spec.subcommands {
                let full: &'static str = Box::leak(format!("{}|{}", spec.name, sub.name).into());
                let sub_id = table.add(sub, full, Some(id))?;
                table.commands[id.0 as usize].subcommands.push((sub.name, sub_id));
            }
        }
        Ok(table)
    }

    fn add(
        &mut self,
        spec: &'static CommandSpec,
        full_name: &'static str,
        parent: Option<CommandId>,
    ) -> Result<CommandId, String> {
        let invalid = |what: String| format!("command '{full_name}': {what}");
        if spec.name.is_empty() || spec.name.len() > NAME_MAX || spec.arity == 0 {
            return Err(invalid("name or arity".into()));
        }
        let mut flags = CommandFlags::parse(spec.flags).map_err(invalid)?;
        crate::syntax::parse(spec.args).map_err(invalid)?;
        let (range, movable) = legacy_range(spec.keys);
        if movable {
            flags |= CommandFlags::MOVABLEKEYS;
        }
        let categories = Categories::of_command(flags, spec.acl).map_err(invalid)?;
        let id = CommandId(u16::try_from(self.commands.len()).map_err(|_| "too many commands")?);
        self.commands.push(Command {
            spec,
            full_name,
            flags,
            categories,
            fixed_keys: (!movable && range.first > 0 && range.step > 0 && may_have_keys(spec))
                .then_some(range),
            likely_key: likely_key(spec),
            parent,
            subcommands: Vec::new(),
            stats: CommandStats::default(),
            latency: Histogram::default(),
        });
        Ok(id)
    }

    /// The command with this id.
    #[inline]
    pub fn get(&self, id: CommandId) -> &Command {
        &self.commands[id.0 as usize]
    }

    /// The command with this id, to count.
    #[inline]
    pub fn get_mut(&mut self, id: CommandId) -> &mut Command {
        &mut self.commands[id.0 as usize]
    }

    /// Finds a top-level command by name in any letter case.
    #[inline]
    pub fn by_name(&self, name: &[u8]) -> Option<CommandId> {
        self.by_name.get(name)
    }

    /// Makes a command known by another name instead, or by none when `new` is empty
    /// (`rename-command`). It keeps its old name in statistics and in answers about commands.
    pub(crate) fn rename(&mut self, old: &[u8], new: &[u8]) -> Result<(), String> {
        let id = self.by_name(old).ok_or("No such command in rename-command")?;
        self.by_name.remove(old);
        if new.is_empty() {
            return Ok(());
        }
        match self.by_name.insert(new, id) {
            Some(_) => Err("Target command name already exists".into()),
            None => Ok(()),
        }
    }

    /// Finds a command or subcommand by its full name, `config|get`.
    pub fn by_full_name(&self, name: &[u8]) -> Option<CommandId> {
        let mut parts = name.splitn(2, |byte| *byte == b'|');
        let id = self.by_name(parts.next()?)?;
        match parts.next() {
            Some(sub) => self.subcommand(id, sub),
            None => Some(id),
        }
    }

    /// Like [`by_full_name`](Self::by_full_name), by the names of the rows: renamed commands keep
    /// theirs.
    pub fn by_original_name(&self, name: &[u8]) -> Option<CommandId> {
        let mut parts = name.splitn(2, |byte| *byte == b'|');
        let wanted = parts.next()?;
        let (id, _) = self.iter().find(|(_, command)| {
            command.parent.is_none() && command.spec.name.as_bytes().eq_ignore_ascii_case(wanted)
        })?;
        match parts.next() {
            Some(sub) => self.subcommand(id, sub),
            None => Some(id),
        }
    }

    /// Finds a subcommand by name in any letter case.
    pub fn subcommand(&self, container: CommandId, name: &[u8]) -> Option<CommandId> {
        let subs = &self.get(container).subcommands;
        subs.iter().find(|(sub, _)| sub.as_bytes().eq_ignore_ascii_case(name)).map(|(_, id)| *id)
    }

    /// Resolves the command of an argument vector, subcommand included, and checks its arity.
    #[inline]
    pub fn resolve(&self, args: Args<'_>) -> Result<CommandId, CommandError> {
        let id = self.find(args)?;
        let command = self.get(id);
        if command.takes(args.len()) {
            Ok(id)
        } else {
            Err(errors::wrong_arity(command.full_name.as_bytes()))
        }
    }

    /// Resolves the command of an argument vector without looking at the number of arguments.
    #[inline]
    pub fn find(&self, args: Args<'_>) -> Result<CommandId, CommandError> {
        let Some(id) = self.by_name(args.name()) else {
            return Err(errors::unknown_command(args));
        };
        let command = self.get(id);
        if command.subcommands.is_empty() || args.len() == 1 {
            return Ok(id);
        }
        self.subcommand(id, args[1])
            .ok_or_else(|| errors::unknown_subcommand(command.spec.name, args[1]))
    }

    /// All commands with their ids, containers before their subcommands.
    pub fn iter(&self) -> impl Iterator<Item = (CommandId, &Command)> {
        self.commands.iter().enumerate().map(|(at, command)| (CommandId(at as u16), command))
    }

    /// Number of top-level commands.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is no command at all.
    pub fn is_empty(&self) -> bool {
        self.by_name.len() == 0
    }

    /// Forgets all counters.
    pub fn reset_stats(&mut self) {
        for command in &mut self.commands {
            command.stats = CommandStats::default();
            command.latency = Histogram::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renamed_command_has_its_new_name_only() {
        let mut table = CommandTable::new(crate::cmd::GROUPS).unwrap();
        let long = b"A-NAME-THAT-IS-LONGER-THAN-ANY-COMMAND-OF-THE-TABLE";
        let get = table.by_name(b"get");
        table.rename(b"GET", long).unwrap();
        assert_eq!((table.by_name(b"get"), table.by_name(long)), (None, get));
        table.rename(b"set", b"").unwrap();
        assert_eq!(table.by_name(b"set"), None);
        assert!(table.rename(b"set", b"x").is_err());
        assert!(table.rename(b"del", b"ttl").is_err());
    }
}
