//! The commands that a selector allows, and the rules that led there.
//!
//! Bits answer the question whether a command is allowed; the rules are kept besides, because they
//! are what a user is described with: `+@read -get` would not be read back from bits. Invariant:
//! applying `+@all` or `-@all` and then all rules in their order gives the same set.

use super::categories::Categories;
use super::rules::{RuleError, has_spaces};
use crate::table::{CommandId, CommandTable};
use std::collections::{BTreeMap, BTreeSet};

/// A set of commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandSet {
    /// One bit for every command, at its id.
    allowed: Box<[u64]>,
    /// Number of commands that exist.
    count: usize,
    /// Everything is allowed.
    full: bool,
    /// The rules start with `+@all`.
    starts_full: bool,
    /// Changes since then.
    rules: Vec<CommandRule>,
    /// For commands that are not allowed: first arguments with which they are, in lower case.
    first_args: BTreeMap<CommandId, BTreeSet<Box<[u8]>>>,
}

/// One change: a command, `command|subcommand`, `command|first-argument` or `@category`, in lower
/// case.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CommandRule {
    allow: bool,
    name: Box<[u8]>,
}

impl CommandSet {
    /// The empty set.
    pub fn none(commands: &CommandTable) -> CommandSet {
        let count = commands.iter().count();
        CommandSet {
            allowed: vec![0; count.div_ceil(64)].into(),
            count,
            full: false,
            starts_full: false,
            rules: Vec::new(),
            first_args: BTreeMap::new(),
        }
    }

    /// Whether everything is allowed.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Whether a command is allowed whatever its arguments are.
    pub fn contains(&self, id: CommandId) -> bool {
        let at = usize::from(id.0);
        self.allowed.get(at / 64).is_some_and(|word| word & (1 << (at % 64)) != 0)
    }

    /// Whether a command is allowed with this first argument.
    pub fn contains_with(&self, id: CommandId, first_arg: Option<&[u8]>) -> bool {
        self.contains(id)
            || self.first_args.get(&id).zip(first_arg).is_some_and(|(allowed, arg)| {
                allowed.iter().any(|one| one.eq_ignore_ascii_case(arg))
            })
    }

    /// Allows or forbids everything.
    pub fn change_all(&mut self, allow: bool) {
        self.allowed.fill(if allow { u64::MAX } else { 0 });
        (self.full, self.starts_full) = (allow, allow);
        self.rules.clear();
        self.first_args.clear();
    }

    /// Applies `+name` or `-name`.
    pub fn change(
        &mut self,
        allow: bool,
        name: &[u8],
        commands: &CommandTable,
    ) -> Result<(), RuleError> {
        self.change_bits(allow, name, commands)?;
        self.full = (0..self.count).all(|at| self.contains(CommandId(at as u16)));
        Ok(())
    }

    fn change_bits(
        &mut self,
        allow: bool,
        name: &[u8],
        commands: &CommandTable,
    ) -> Result<(), RuleError> {
        if let Some(category) = name.strip_prefix(b"@") {
            return self.change_category(allow, category, commands);
        }
        if allow && let Some(bar) = name.iter().rposition(|byte| *byte == b'|') {
            return self.allow_part(name, bar, commands);
        }
        let id = commands.by_original_name(name).ok_or(RuleError::UnknownCommand)?;
        self.set_command(id, allow, commands);
        self.remember(allow, commands.get(id).full_name.as_bytes());
        Ok(())
    }

    fn change_category(
        &mut self,
        allow: bool,
        name: &[u8],
        commands: &CommandTable,
    ) -> Result<(), RuleError> {
        if name.eq_ignore_ascii_case(b"all") {
            self.change_all(allow);
            return Ok(());
        }
        let text = std::str::from_utf8(name).map_err(|_| RuleError::UnknownCommand)?;
        let category = Categories::by_name(text).ok_or(RuleError::UnknownCommand)?;
        for (id, _) in commands.iter().filter(|(_, c)| c.categories.contains(category)) {
            self.set_command(id, allow, commands);
        }
        self.remember(allow, &[b"@", name].concat());
        Ok(())
    }

    /// `+command|part`, with the bar at `bar`.
    fn allow_part(
        &mut self,
        name: &[u8],
        bar: usize,
        commands: &CommandTable,
    ) -> Result<(), RuleError> {
        let (container, part) = (&name[..bar], &name[bar + 1..]);
        let id = commands.by_original_name(container).ok_or(RuleError::UnknownCommand)?;
        let command = commands.get(id);
        if command.parent.is_some() {
            return Err(RuleError::FirstArgOfSubcommand);
        }
        if part.is_empty() || has_spaces(part) {
            return Err(RuleError::Syntax);
        }
        if command.subcommands.is_empty() {
            self.first_args.entry(id).or_default().insert(part.to_ascii_lowercase().into());
        } else {
            let sub = commands.subcommand(id, part).ok_or(RuleError::UnknownCommand)?;
            self.set_command(sub, true, commands);
        }
        self.remember(true, name);
        Ok(())
    }

    /// Allows or forbids a command with all its subcommands.
    fn set_command(&mut self, id: CommandId, allow: bool, commands: &CommandTable) {
        self.set_bit(id, allow);
        self.first_args.remove(&id);
        for (_, sub) in &commands.get(id).subcommands {
            self.set_bit(*sub, allow);
        }
    }

    fn set_bit(&mut self, id: CommandId, allow: bool) {
        let at = usize::from(id.0);
        if let Some(word) = self.allowed.get_mut(at / 64) {
            let bit = 1 << (at % 64);
            *word = if allow { *word | bit } else { *word & !bit };
        }
    }

    /// Adds a rule behind all others, which takes the place of an earlier one about the same, or
    /// about a part of the same command.
    fn remember(&mut self, allow: bool, name: &[u8]) {
        let name = name.to_ascii_lowercase();
        self.rules.retain(|rule| {
            let rest = rule.name.strip_prefix(&*name);
            !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"|"))
        });
        self.rules.push(CommandRule { allow, name: name.into() });
    }

    /// The rules that lead to this set, `-@all +get`.
    pub fn words(&self) -> impl Iterator<Item = Vec<u8>> {
        let sign = |allow: bool| if allow { b"+" } else { b"-" };
        let start = [sign(self.starts_full), &b"@all"[..]].concat();
        let changes = self.rules.iter().map(move |rule| [sign(rule.allow), &*rule.name].concat());
        std::iter::once(start).chain(changes)
    }
}
