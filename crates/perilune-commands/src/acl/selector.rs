//! One set of permissions: commands, keys and channels that are allowed together.

use super::command_set::CommandSet;
use super::rules::{RuleContext, RuleError, has_spaces};
use crate::args::Args;
use crate::glob;
use crate::keys::{self, KeyPosition};
use crate::spec::CommandFlags;
use crate::table::{Command, CommandId, CommandTable};
use perilune_resp::split_args;

bitflags::bitflags! {
    /// What may be done to the keys of a pattern, or what a command does to a key.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Access: u8 {
        /// Values are read.
        const READ = 1;
        /// Values are inserted, changed or deleted.
        const WRITE = 2;
    }
}

impl Access {
    /// What a command does to a key, from the words of its key specification.
    fn needed(words: &str) -> Access {
        words.split_whitespace().fold(Access::empty(), |needed, word| match word {
            "access" => needed | Access::READ,
            "insert" | "delete" | "update" => needed | Access::WRITE,
            _ => needed,
        })
    }
}

/// Keys by pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPattern {
    /// What may be done to them.
    pub access: Access,
    /// A glob pattern.
    pub pattern: Box<[u8]>,
}

/// A set of permissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// All keys; `keys` is empty then.
    pub(super) all_keys: bool,
    pub(super) keys: Vec<KeyPattern>,
    /// All channels; `channels` is empty then.
    pub(super) all_channels: bool,
    pub(super) channels: Vec<Box<[u8]>>,
    pub(super) commands: CommandSet,
}

/// What a refusal is about, the one that is told first at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The command.
    Command,
    /// A key.
    Key,
    /// A login.
    Auth,
    /// A channel.
    Channel,
}

/// Why a command is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial {
    /// What it is about.
    pub reason: Reason,
    /// Index of the argument it is about; 0 for the command.
    pub index: usize,
}

/// A command that somebody wants to run. Its keys are searched for once for all selectors.
pub struct Request<'a> {
    command: &'a Command,
    id: CommandId,
    args: Args<'a>,
    keys: Option<Vec<KeyPosition>>,
}

impl<'a> Request<'a> {
    /// A command with its arguments, as resolved in `commands`.
    pub fn new(commands: &'a CommandTable, id: CommandId, args: Args<'a>) -> Self {
        Request { command: commands.get(id), id, args, keys: None }
    }

    fn keys(&mut self) -> &[KeyPosition] {
        let (spec, args) = (self.command.spec, self.args);
        self.keys.get_or_insert_with(|| keys::key_positions(spec, args))
    }
}

impl Selector {
    /// A selector that allows nothing, but maybe all channels.
    pub fn new(context: &RuleContext<'_>) -> Selector {
        Selector {
            all_keys: false,
            keys: Vec::new(),
            all_channels: context.all_channels_at_first,
            channels: Vec::new(),
            commands: CommandSet::none(context.commands),
        }
    }

    /// Reads a selector: rules in parentheses.
    pub(super) fn parse(text: &[u8], context: &RuleContext<'_>) -> Result<Selector, RuleError> {
        let inner = text.strip_prefix(b"(").and_then(|text| text.strip_suffix(b")"));
        let words = inner.and_then(split_args).ok_or(RuleError::Syntax)?;
        let mut selector = Selector::new(context);
        words.iter().try_for_each(|rule| selector.apply(rule, context))?;
        Ok(selector)
    }

    /// Whether everything is allowed.
    pub fn is_unrestricted(&self) -> bool {
        self.all_keys && self.all_channels && self.commands.is_full()
    }

    /// Applies one rule.
    pub fn apply(&mut self, rule: &[u8], context: &RuleContext<'_>) -> Result<(), RuleError> {
        match rule.to_ascii_lowercase().as_slice() {
            b"allkeys" | b"~*" => self.set_all_keys(true),
            b"resetkeys" => self.set_all_keys(false),
            b"allchannels" | b"&*" => self.set_all_channels(true),
            b"resetchannels" => self.set_all_channels(false),
            b"allcommands" => self.commands.change_all(true),
            b"nocommands" => self.commands.change_all(false),
            _ => {
                return match rule {
                    [b'~', pattern @ ..] => self.add_keys(Access::all(), pattern),
                    [b'%', rest @ ..] => self.add_keys_with_access(rest),
                    [b'&', pattern @ ..] => self.add_channels(pattern),
                    [b'+', name @ ..] => self.commands.change(true, name, context.commands),
                    [b'-', name @ ..] => self.commands.change(false, name, context.commands),
                    _ => Err(RuleError::Syntax),
                };
            }
        }
        Ok(())
    }

    fn set_all_keys(&mut self, all: bool) {
        self.all_keys = all;
        self.keys.clear();
    }

    pub(super) fn set_all_channels(&mut self, all: bool) {
        self.all_channels = all;
        self.channels.clear();
    }

    /// `%RW~pattern`, without the `%`.
    fn add_keys_with_access(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::PatternAfterAllKeys);
        }
        let mut access = Access::empty();
        let mut pattern: &[u8] = &[];
        for (at, byte) in rule.iter().enumerate() {
            let more = match byte.to_ascii_uppercase() {
                b'R' => Access::READ,
                b'W' => Access::WRITE,
                b'~' => {
                    pattern = &rule[at + 1..];
                    break;
                }
                _ => return Err(RuleError::Syntax),
            };
            if access.contains(more) {
                return Err(RuleError::Syntax);
            }
            access |= more;
        }
        if access.is_empty() {
            return Err(RuleError::Syntax);
        }
        self.add_keys(access, pattern)
    }

    fn add_keys(&mut self, access: Access, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::PatternAfterAllKeys);
        }
        if has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        match self.keys.iter_mut().find(|known| *known.pattern == *pattern) {
            Some(known) => known.access |= access,
            None => self.keys.push(KeyPattern { access, pattern: pattern.into() }),
        }
        Ok(())
    }

    fn add_channels(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::PatternAfterAllChannels);
        }
        if has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.iter().any(|known| **known == *pattern) {
            self.channels.push(pattern.into());
        }
        Ok(())
    }

    // ---- checking --------------------------------------------------------------------------

    /// Whether a command may run.
    pub fn check(&self, request: &mut Request<'_>) -> Result<(), Denial> {
        let (command, args) = (request.command, request.args);
        if !self.commands.is_full()
            && !command.flags.contains(CommandFlags::NO_AUTH)
            && !self.commands.contains_with(request.id, args.get(1))
        {
            return Err(Denial { reason: Reason::Command, index: 0 });
        }
        if !self.all_keys && keys::may_have_keys(command.spec) {
            let denied = request.keys().iter().find(|key| {
                !args.get(key.index).is_some_and(|name| self.allows_key(name, key.flags))
            });
            if let Some(key) = denied {
                return Err(Denial { reason: Reason::Key, index: key.index });
            }
        }
        if !self.all_channels
            && let Some(channels) = &command.spec.channels
        {
            let denied = channels.positions(args).find(|at| {
                let allowed = |name| self.allows_channel(name, channels.are_patterns);
                !args.get(*at).is_some_and(allowed)
            });
            if let Some(index) = denied {
                return Err(Denial { reason: Reason::Channel, index });
            }
        }
        Ok(())
    }

    fn allows_key(&self, key: &[u8], flags: &str) -> bool {
        let needed = Access::needed(flags);
        self.keys
            .iter()
            .any(|known| known.access.contains(needed) && glob::matches(&known.pattern, key, false))
    }

    /// Whether every key may be accessed in this way.
    pub fn allows_every_key(&self, access: Access) -> bool {
        let all = |known: &KeyPattern| known.access.contains(access) && *known.pattern == *b"*";
        self.all_keys || self.keys.iter().any(all)
    }

    /// Whether a channel may be used, or a pattern subscribed to. Patterns must be allowed
    /// literally.
    pub fn allows_channel(&self, name: &[u8], is_pattern: bool) -> bool {
        self.all_channels
            || self.channels.iter().any(|known| match is_pattern {
                true => **known == *name,
                false => glob::matches(known, name, false),
            })
    }
}
