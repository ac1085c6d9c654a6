//! What rules have in common: what they depend on, what can be wrong with them, and how the words
//! of a selector that was written with spaces come together.

use crate::table::CommandTable;
use std::borrow::Cow;

/// What the meaning of rules depends on besides the user.
#[derive(Clone, Copy)]
pub struct RuleContext<'a> {
    /// The commands that exist.
    pub commands: &'a CommandTable,
    /// `acl-pubsub-default`: new selectors reach all channels.
    pub all_channels_at_first: bool,
}

/// Why a rule was refused. [`crate::errors::acl_rule_reason`] has the texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuleError {
    /// Not understood, or with spaces or null characters in a pattern.
    Syntax,
    /// There is no such command or category.
    UnknownCommand,
    /// A key pattern adds nothing to all keys.
    PatternAfterAllKeys,
    /// A channel pattern adds nothing to all channels.
    PatternAfterAllChannels,
    /// The password to remove is not there.
    NoSuchPassword,
    /// The hash is not one.
    PasswordHash,
    /// `+config|get|x`.
    FirstArgOfSubcommand,
}

/// Joins the words of selectors, `(~a`, `+get)`, to one rule each. `Err` is the word that opens a
/// selector which never ends.
pub fn join_selectors<'a>(words: &[&'a [u8]]) -> Result<Vec<Cow<'a, [u8]>>, &'a [u8]> {
    let mut joined: Vec<Cow<'a, [u8]>> = Vec::with_capacity(words.len());
    let mut open: Option<(&'a [u8], Vec<u8>)> = None;
    for word in words.iter().copied() {
        match &mut open {
            None if word.starts_with(b"(") && !word.ends_with(b")") => {
                open = Some((word, word.to_vec()));
            }
            None => joined.push(Cow::Borrowed(word)),
            Some((_, selector)) => {
                selector.push(b' ');
                selector.extend_from_slice(word);
                if word.ends_with(b")") {
                    joined.push(Cow::Owned(std::mem::take(selector)));
                    open = None;
                }
            }
        }
    }
    match open {
        None => Ok(joined),
        Some((word, _)) => Err(word),
    }
}

/// Whether a name or pattern could not be told from its neighbours in a line of rules.
pub(crate) fn has_spaces(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b'\t'..=b'\r' | b' ' | 0))
}
