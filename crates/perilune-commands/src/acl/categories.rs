//! Access control categories, as they follow from the command table.

use crate::spec::CommandFlags;

/// A set of categories, one bit each in the order of [`Categories::NAMES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Categories(u32);

impl Categories {
    /// Every category, in the order `ACL CAT` and `COMMAND INFO` list them.
    pub const NAMES: [&'static str; 21] = [
        "keyspace",
        "read",
        "write",
        "set",
        "sortedset",
        "list",
        "hash",
        "string",
        "bitmap",
        "hyperloglog",
        "geo",
        "stream",
        "pubsub",
        "admin",
        "fast",
        "slow",
        "blocking",
        "dangerous",
        "connection",
        "transaction",
        "scripting",
    ];

    /// The set of one category.
    pub fn by_name(name: &str) -> Option<Categories> {
        let at = Self::NAMES.iter().position(|known| known.eq_ignore_ascii_case(name))?;
        Some(Categories(1 << at))
    }

    /// The categories of a command: the words of its row and those its flags imply.
    pub(crate) fn of_command(flags: CommandFlags, words: &str) -> Result<Categories, String> {
        let implied = [
            (CommandFlags::WRITE, "write"),
            (CommandFlags::ADMIN, "admin dangerous"),
            (CommandFlags::PUBSUB, "pubsub"),
            (CommandFlags::FAST, "fast"),
            (CommandFlags::BLOCKING, "blocking"),
        ];
        let mut all = words.to_owned();
        for (_, name) in implied.iter().filter(|(flag, _)| flags.contains(*flag)) {
            all.push(' ');
            all.push_str(name);
        }
        if flags.contains(CommandFlags::READONLY) && !words.contains("scripting") {
            all.push_str(" read");
        }
        if !flags.contains(CommandFlags::FAST) {
            all.push_str(" slow");
        }
        let mut set = Categories::default();
        for word in all.split_whitespace() {
            let one = Self::by_name(word).ok_or_else(|| format!("unknown category '{word}'"))?;
            set.0 |= one.0;
        }
        Ok(set)
    }

    /// Whether all categories of `other` are in the set.
    pub fn contains(self, other: Categories) -> bool {
        self.0 & other.0 == other.0
    }

    /// Names of the categories in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .iter()
            .enumerate()
            .filter(move |(at, _)| self.0 & (1 << at) != 0)
            .map(|(_, n)| *n)
    }
}
