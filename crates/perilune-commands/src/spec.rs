//! What the server knows about a command besides how to run it.
//!
//! A command exists because one [`CommandSpec`] row exists, standing beside its handler in
//! `cmd/`. Everything else derives from the row: dispatch checks, `COMMAND`, `COMMAND DOCS`,
//! `COMMAND GETKEYS`, access control categories, script permission and statistics. Rows are
//! constants and written for the eye (flags and categories are words); [`CommandTable`] parses
//! them once at start-up and refuses a row that does not make sense.
//!
//! [`CommandTable`]: crate::table::CommandTable

use crate::args::Args;
use crate::ctx::Ctx;
use crate::errors::CommandError;
use crate::keys::KeyPosition;
use perilune_resp::ReplyWriter;

/// Runs a command: reads its arguments, works on the context and writes exactly one reply, or
/// returns an error and has written nothing.
pub type Handler = fn(&mut Ctx<'_>, Args<'_>, &mut dyn ReplyWriter) -> Result<(), CommandError>;

/// Finds the keys of a command whose positions no [`KeySpec`] can describe; none when the
/// arguments make no sense. See [`crate::keys`].
pub type KeyFinder = fn(Args<'_>) -> Vec<KeyPosition>;

/// One command or subcommand.
#[derive(Clone, Copy)]
pub struct CommandSpec {
    /// Lower-case name; for a subcommand its own name only (`get` of `config|get`).
    pub name: &'static str,
    /// Number of arguments including the name (and the container's); negative: at least.
    pub arity: i32,
    /// Words out of [`CommandFlags`]: `"write denyoom fast"`.
    pub flags: &'static str,
    /// Access control categories that do not follow from the flags: `"string"`, `"keyspace"`.
    pub acl: &'static str,
    /// Where the keys stand.
    pub keys: &'static [KeySpec],
    /// Finds keys where `keys` cannot.
    pub key_finder: Option<KeyFinder>,
    /// Where channels stand that it sends to or subscribes to.
    pub channels: Option<ChannelSpec>,
    /// Version of Redis that introduced it.
    pub since: &'static str,
    /// Documentation group: `"string"`, `"generic"`, `"scripting"`.
    pub group: &'static str,
    /// Cost as Redis documents it: `"O(1)"`.
    pub complexity: &'static str,
    /// One sentence for people.
    pub summary: &'static str,
    /// The arguments in the notation of [`crate::syntax`]: `"key:key [condition=(NX|XX)]"`.
    pub args: &'static str,
    /// Hints to clients: `"nondeterministic_output"`.
    pub tips: &'static [&'static str],
    /// What a `HELP` subcommand says: subcommands with their arguments, each followed by indented
    /// lines that explain it.
    pub help: &'static [&'static str],
    /// Version and sentence for every change of behaviour.
    pub history: &'static [(&'static str, &'static str)],
    /// For a command that newer ones replace: the version since when, and what to use instead.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// Runs it. For a container command this is never called unless it has a form without
    /// subcommand (`COMMAND`).
    pub handler: Handler,
    /// Subcommands of a container command.
    pub subcommands: &'static [CommandSpec],
}

impl CommandSpec {
    /// A row to fill the unset fields of others from: `..CommandSpec::EMPTY`.
    pub const EMPTY: CommandSpec = CommandSpec {
        name: "",
        arity: -1,
        flags: "",
        acl: "",
        keys: &[],
        key_finder: None,
        channels: None,
        since: "1.0.0",
        group: "generic",
        complexity: "",
        summary: "",
        args: "",
        tips: &[],
        help: &[],
        history: &[],
        deprecated: None,
        handler: container_only,
        subcommands: &[],
    };
}

/// The handler of a container that has no form of its own. Dispatch reports the missing
/// subcommand as an arity error before this could run.
fn container_only(
    _: &mut Ctx<'_>,
    args: Args<'_>,
    _: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    Err(crate::errors::wrong_arity(args.name()))
}

/// Where the channels of a command stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelSpec {
    /// The first argument is the only one, and not the first of many.
    pub only_first: bool,
    /// They are patterns of channels.
    pub are_patterns: bool,
}

impl ChannelSpec {
    /// The first argument.
    pub const FIRST: ChannelSpec = ChannelSpec { only_first: true, are_patterns: false };
    /// All arguments.
    pub const ALL: ChannelSpec = ChannelSpec { only_first: false, are_patterns: false };
    /// All arguments, as patterns.
    pub const PATTERNS: ChannelSpec = ChannelSpec { only_first: false, are_patterns: true };

    /// Indices of the channels in an argument vector.
    pub fn positions(self, args: Args<'_>) -> std::ops::Range<usize> {
        1..if self.only_first { args.len().min(2) } else { args.len() }
    }
}

/// Where some keys of a command stand, as in `COMMAND INFO`'s key specifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySpec {
    /// Words: `RO`, `RW`, `OW`, `RM`, `access`, `update`, `insert`, `delete`, `not_key`,
    /// `incomplete`, `variable_flags`; in this order, which is that of `COMMAND INFO`.
    pub flags: &'static str,
    /// Where the first key stands.
    pub begin: BeginSearch,
    /// How the others follow.
    pub find: FindKeys,
    /// A remark for `COMMAND INFO`, or empty.
    pub notes: &'static str,
}

/// Position of the first key of a [`KeySpec`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeginSearch {
    /// At this argument index (the name is 0).
    Index(i32),
    /// After this word, searched from the given index (negative: backwards from the end).
    Keyword(&'static str, i32),
    /// Not describable.
    Unknown,
}

/// Position of the further keys of a [`KeySpec`], relative to the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindKeys {
    /// Every `step`-th argument up to `last` (relative to the first key; negative: from the end),
    /// at most the first `1/limit` of the arguments when `limit` is above 1.
    Range {
        /// Last key relative to the first, or from the end when negative.
        last: i32,
        /// Distance between keys.
        step: i32,
        /// Divides the remaining arguments when `last` is -1 and this is above 1.
        limit: i32,
    },
    /// A count at `keynum`, keys from `first`, both relative to the begin of the search.
    KeyNum {
        /// Where the number of keys stands.
        keynum: i32,
        /// Where the first key stands.
        first: i32,
        /// Distance between keys.
        step: i32,
    },
    /// Not describable.
    Unknown,
}

impl KeySpec {
    /// One key at `index`.
    pub const fn one(flags: &'static str, index: i32) -> KeySpec {
        KeySpec::range(flags, index, 0, 1, 0)
    }

    /// Keys from `index` to `last` relative to it, every `step`.
    pub const fn range(
        flags: &'static str,
        index: i32,
        last: i32,
        step: i32,
        limit: i32,
    ) -> KeySpec {
        KeySpec {
            flags,
            begin: BeginSearch::Index(index),
            find: FindKeys::Range { last, step, limit },
            notes: "",
        }
    }

    /// A count at `index` followed by that many keys.
    pub const fn keynum(flags: &'static str, index: i32) -> KeySpec {
        KeySpec {
            flags,
            begin: BeginSearch::Index(index),
            find: FindKeys::KeyNum { keynum: 0, first: 1, step: 1 },
            notes: "",
        }
    }
}

bitflags::bitflags! {
    /// How a command behaves, in Redis' words.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct CommandFlags: u32 {
        /// May change the data set.
        const WRITE = 1 << 0;
        /// Reads keys and never changes them.
        const READONLY = 1 << 1;
        /// May use more memory: refused when over the limit.
        const DENYOOM = 1 << 2;
        /// Administration.
        const ADMIN = 1 << 3;
        /// Publish/subscribe.
        const PUBSUB = 1 << 4;
        /// Not callable from a script.
        const NOSCRIPT = 1 << 5;
        /// May block the client.
        const BLOCKING = 1 << 6;
        /// Allowed while data is loaded.
        const LOADING = 1 << 7;
        /// Allowed on a replica with stale data.
        const STALE = 1 << 8;
        /// Not shown to `MONITOR`.
        const SKIP_MONITOR = 1 << 9;
        /// Not recorded in the slow log.
        const SKIP_SLOWLOG = 1 << 10;
        /// Accepts slots in migration.
        const ASKING = 1 << 11;
        /// Constant or logarithmic time.
        const FAST = 1 << 12;
        /// Allowed without authentication.
        const NO_AUTH = 1 << 13;
        /// May be sent to replicas although it is no write (`PUBLISH`, `EVAL`).
        const MAY_REPLICATE = 1 << 14;
        /// Keys are found by a function.
        const MOVABLEKEYS = 1 << 15;
        /// Runs while a script is over its time limit.
        const ALLOW_BUSY = 1 << 16;
        /// Not allowed inside of a transaction.
        const NO_MULTI = 1 << 17;
        /// Asynchronous loading allows it.
        const NO_ASYNC_LOADING = 1 << 18;
        /// Only in Sentinel mode.
        const SENTINEL = 1 << 19;
        /// Has no mandatory keys.
        const NO_MANDATORY_KEYS = 1 << 20;
        /// Touches arbitrary keys (`SORT` with patterns).
        const TOUCHES_ARBITRARY_KEYS = 1 << 21;
        /// Refused unless the configuration allows it (`DEBUG`, `MODULE`).
        const PROTECTED = 1 << 22;
        /// For servers and tests, not for users.
        const SYSCMD = 1 << 23;
    }
}

impl CommandFlags {
    /// Name of every flag `COMMAND INFO` shows, in its order.
    pub const SHOWN: &'static [(CommandFlags, &'static str)] = &[
        (CommandFlags::WRITE, "write"),
        (CommandFlags::READONLY, "readonly"),
        (CommandFlags::DENYOOM, "denyoom"),
        (CommandFlags::ADMIN, "admin"),
        (CommandFlags::PUBSUB, "pubsub"),
        (CommandFlags::NOSCRIPT, "noscript"),
        (CommandFlags::BLOCKING, "blocking"),
        (CommandFlags::LOADING, "loading"),
        (CommandFlags::STALE, "stale"),
        (CommandFlags::SKIP_MONITOR, "skip_monitor"),
        (CommandFlags::SKIP_SLOWLOG, "skip_slowlog"),
        (CommandFlags::ASKING, "asking"),
        (CommandFlags::FAST, "fast"),
        (CommandFlags::NO_AUTH, "no_auth"),
        (CommandFlags::NO_MANDATORY_KEYS, "no_mandatory_keys"),
        (CommandFlags::NO_ASYNC_LOADING, "no_async_loading"),
        (CommandFlags::NO_MULTI, "no_multi"),
        (CommandFlags::MOVABLEKEYS, "movablekeys"),
        (CommandFlags::ALLOW_BUSY, "allow_busy"),
    ];

    /// Name of every flag that `COMMAND INFO` keeps to itself.
    pub const HIDDEN: &'static [(CommandFlags, &'static str)] = &[
        (CommandFlags::MAY_REPLICATE, "may_replicate"),
        (CommandFlags::SENTINEL, "sentinel"),
        (CommandFlags::TOUCHES_ARBITRARY_KEYS, "touches_arbitrary_keys"),
        (CommandFlags::PROTECTED, "protected"),
        (CommandFlags::SYSCMD, "syscmd"),
    ];

    /// Reads the words of a row; `Err` names the word that is no flag.
    pub fn parse(words: &str) -> Result<CommandFlags, String> {
        let mut flags = CommandFlags::empty();
        for word in words.split_whitespace() {
            let mut known = Self::SHOWN.iter().chain(Self::HIDDEN);
            match known.find(|(_, name)| *name == word) {
                Some((flag, _)) => flags |= *flag,
                None => return Err(format!("unknown command flag '{word}'")),
            }
        }
        Ok(flags)
    }
}
