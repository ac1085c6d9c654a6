//! Which commands are generated, and from what notation.
//!
//! The list comes from the command table. A row is generated from its own notation of arguments
//! unless it is excluded here with a reason; [`VARIANTS`] adds notations where a random choice of
//! all options would hardly ever make sense.

use super::play::Sides;
use perilune_commands::spec::CommandFlags;
use perilune_commands::syntax::{self, ArgSpec};
use perilune_commands::table::CommandTable;

/// Reasons, and the commands that are not generated for them. A `*` stands for anything.
const EXCLUDED: &[(&str, &[&str])] = &[
    (
        "they end the server, write its files, or give it another role",
        &[
            "shutdown",
            "save",
            "bgsave",
            "bgrewriteaof",
            "lastsave",
            "failover",
            "psync",
            "sync",
            "replconf",
            "replicaof",
            "slaveof",
            "module|load",
            "module|loadex",
            "module|unload",
            "acl|save",
            "acl|load",
        ],
    ),
    (
        "they change the server for everybody, or the clock of the test",
        &[
            "config|rewrite",
            "config|resetstat",
            "client|pause",
            "client|unpause",
            "migrate",
            "script|debug",
        ],
    ),
    (
        "their replies are about the moment, the process or the machine",
        &[
            "info",
            "time",
            "role",
            "lolwut",
            "memory|stats",
            "memory|doctor",
            "memory|malloc-stats",
            "memory|purge",
            "latency|doctor",
            "latency|histogram",
            "client|id",
            "client|info",
            "client|list",
            "acl|log",
            "acl|genpass",
            "pfselftest",
        ],
    ),
    (
        "they are answered by no reply or by many, which the transcripts check",
        &[
            "subscribe",
            "unsubscribe",
            "psubscribe",
            "punsubscribe",
            "ssubscribe",
            "sunsubscribe",
            "monitor",
            "client|reply",
            "client|tracking",
            "quit",
        ],
    ),
    ("within a transaction Redis 7.2.4 does not answer a failed one", &["auth"]),
    ("their texts are our own", &["*|help", "command|docs", "command", "command|count"]),
    ("they are compared with the reference data of Redis", &["command|info", "command|list"]),
];

/// Notations besides a command's own. The flag says whether its own is used, too.
const VARIANTS: &[(&str, bool, &[&str])] = &[
    (
        "zrange",
        true,
        &[
            "key:key start:int stop:int [REV] [WITHSCORES]",
            "key:key min:double max:double BYSCORE [LIMIT limit={offset:int count:int}] [WITHSCORES]",
            "key:key max:double min:double BYSCORE REV [LIMIT limit={offset:int count:int}]",
            "lexkey:key lexmin lexmax BYLEX [LIMIT limit={offset:int count:int}]",
            "lexkey:key lexmax lexmin BYLEX REV",
        ],
    ),
    (
        "zrangestore",
        true,
        &[
            "dst:key src:key#1 start:int stop:int [REV]",
            "dst:key src:key#1 min:double max:double BYSCORE [LIMIT limit={offset:int count:int}]",
            "dst:key lexkey:key#1 lexmin lexmax BYLEX [LIMIT limit={offset:int count:int}]",
        ],
    ),
    ("zlexcount", false, &["lexkey:key lexmin lexmax"]),
    ("zrangebylex", false, &["lexkey:key lexmin lexmax [LIMIT limit={offset:int count:int}]"]),
    ("zrevrangebylex", false, &["lexkey:key lexmax lexmin [LIMIT limit={offset:int count:int}]"]),
    ("zremrangebylex", false, &["lexkey:key lexmin lexmax"]),
    ("zadd", true, &["lexkey:key zero:'0' member"]),
    ("zrem", true, &["lexkey:key member..."]),
    ("zincrby", false, &["key:key score:double member"]),
    // Texts of equal weight come in any order, and which of them a limit leaves in is any. A set
    // that is not sorted lies as it lies.
    (
        "sort",
        false,
        &[
            "sortable:key [LIMIT limit={offset:int count:int}] [GET get-pattern:pattern]... [order=(ASC|DESC)] [sorting:'ALPHA'] [STORE destination:key]",
            "sortable:key BY weight-pattern:pattern [LIMIT limit={offset:int count:int}] [GET get-pattern:pattern]... [order=(ASC|DESC)] [STORE destination:key]",
            "ordered:key BY nosort [LIMIT limit={offset:int count:int}] [GET get-pattern:pattern]... [order=(ASC|DESC)] [STORE destination:key]",
            "sortable:key BY nosort [STORE destination:key]",
        ],
    ),
    (
        "sort_ro",
        false,
        &[
            "sortable:key [LIMIT limit={offset:int count:int}] [GET get-pattern:pattern]... [order=(ASC|DESC)] [sorting:'ALPHA']",
            "sortable:key BY weight-pattern:pattern [LIMIT limit={offset:int count:int}] [GET get-pattern:pattern]... [order=(ASC|DESC)]",
            "ordered:key BY nosort [LIMIT limit={offset:int count:int}] [GET get-pattern:pattern]... [order=(ASC|DESC)]",
        ],
    ),
    (
        "xadd",
        false,
        &[
            "key:key [NOMKSTREAM] new-id data={field value}...",
            "key:key [NOMKSTREAM] MAXLEN [equal:'='] threshold new-id data={field value}...",
            "key:key MAXLEN approximately:'~' threshold [LIMIT count:int] new-id data={field value}...",
            "key:key MINID [operator=(equal:'='|approximately:'~')] id new-id data={field value}...",
        ],
    ),
    (
        "xtrim",
        true,
        &["key:key MINID [operator=(equal:'='|approximately:'~')] id [LIMIT count:int]"],
    ),
    (
        "xgroup|create",
        true,
        &["key:key group id-selector=(id|new-id:'$') MKSTREAM [ENTRIESREAD entries-read:int]"],
    ),
    (
        "xreadgroup",
        true,
        &[
            "GROUP group-block={group consumer} [COUNT count:int] STREAMS key:key new:'>'",
            "GROUP group-block={group consumer} [COUNT count:int] [NOACK] STREAMS streams={key:key... group-id...}",
        ],
    ),
    ("xpending", true, &["key:key group start end count:int [consumer]"]),
    ("setbit", true, &["key:key offset:int bit:int"]),
    ("pfdebug", false, &["ENCODING key:key", "DECODE key:key", "GETREG key:key", "nosuch key:key"]),
    ("function|load", true, &["REPLACE function-code"]),
    ("eval", true, &["script count:'0'", "script one:'1' key:key arg"]),
    ("wait", false, &["none:'0' timeout:int", "wrong:'x' timeout:int"]),
    ("waitaof", false, &["numlocal:int none:'0' timeout:int"]),
    (
        "hello",
        false,
        &[
            "two:'2'",
            "three:'3'",
            "four:'4'",
            "wrong:'x'",
            "two:'2' SETNAME connection-name",
            "three:'3' AUTH nobody:'nobody' wrong:'x'",
        ],
    ),
    ("acl|cat", false, &["nosuch"]),
    // Only what every sequence begins with setting.
    (
        "config|set",
        false,
        &[
            "limit:'hash-max-listpack-entries' count:int",
            "limit:'list-max-listpack-size' count:int",
            "limit:'list-max-ziplist-size' class:'-1' other:'list-compress-depth' count:int",
            "limit:'hash-max-ziplist-value' count:int",
            "limit:'set-max-intset-entries' count:int",
            "limit:'set-max-listpack-entries' count:int",
            "limit:'zset-max-listpack-entries' count:int other:'zset-max-listpack-value' value:int",
            "limit:'stream-node-max-entries' count:int",
            "limit:'hll-sparse-max-bytes' count:int",
            "twice:'hll-sparse-max-bytes' count:int again:'hll-sparse-max-bytes' count:int",
            "nosuch value",
            "choice:'maxmemory-policy' value",
            "truth:'lazyfree-lazy-expire' value",
            "fixed:'daemonize' yes",
        ],
    ),
    (
        "client|kill",
        false,
        &[
            "ID client-id:int",
            "USER nosuch:'nosuch'",
            "ADDR none:'1.2.3.4:5'",
            "TYPE nosuch",
            "addr",
            "USER alice:'alice' SKIPME no:'no'",
        ],
    ),
    (
        "debug",
        false,
        &[
            "PROTOCOL protocol-type",
            "DIGEST-VALUE key:key...",
            "QUICKLIST-PACKED-THRESHOLD threshold-size",
        ],
    ),
];

/// A command that can be generated.
#[derive(Debug)]
pub struct Row {
    /// `get`, `config|get`.
    pub name: &'static str,
    /// Documentation group.
    pub group: &'static str,
    /// Whether scripts may not call it.
    pub noscript: bool,
    /// What its arguments may be, in any of several ways.
    pub forms: Vec<Vec<ArgSpec<'static>>>,
}

/// All commands that can be generated.
#[derive(Debug)]
pub struct Catalogue {
    /// Those about data.
    pub data: Vec<Row>,
    /// The others.
    pub others: Vec<Row>,
    /// Those that are never run. They are asked about (`COMMAND GETKEYS`), and called by scripts
    /// where scripts may not call them.
    pub never_run: Vec<Row>,
}

impl Catalogue {
    /// The rows of a table that can be compared with the other side.
    pub fn for_sides(table: &CommandTable, sides: &mut Sides) -> Self {
        Catalogue::of(table, |name| sides.is_known(name))
    }

    /// The rows of a table that are not excluded and that `is_known` to the other side.
    pub fn of(table: &CommandTable, mut is_known: impl FnMut(&str) -> bool) -> Self {
        let mut catalogue =
            Catalogue { data: Vec::new(), others: Vec::new(), never_run: Vec::new() };
        for (_, command) in table.iter() {
            let name = command.full_name;
            if !command.subcommands.is_empty() || !is_known(name) {
                continue;
            }
            let group = command.spec.group;
            let noscript = command.flags.contains(CommandFlags::NOSCRIPT);
            let row = Row { name, group, noscript, forms: forms(name, command.spec.args) };
            let about_data = !matches!(
                group,
                "server" | "connection" | "cluster" | "pubsub" | "transactions" | "scripting"
            );
            let list = match excluded(name) {
                Some(_) => &mut catalogue.never_run,
                None if about_data => &mut catalogue.data,
                None => &mut catalogue.others,
            };
            list.push(row);
        }
        catalogue
    }

    /// All that are run.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.data.iter().chain(&self.others)
    }

    /// Whether a command of this name is run.
    pub fn has(&self, name: &str) -> bool {
        self.rows().any(|row| row.name == name)
    }

    /// All that are run, and those that never are.
    pub fn all(&self) -> impl Iterator<Item = &Row> {
        self.rows().chain(&self.never_run)
    }
}

/// Why a command is not generated, if it is not.
pub(super) fn excluded(name: &str) -> Option<&'static str> {
    reason(EXCLUDED, name)
}

/// The reason beside which a command is listed.
pub(super) fn reason(
    list: &[(&'static str, &'static [&'static str])],
    name: &str,
) -> Option<&'static str> {
    let found = list.iter().find(|(_, names)| names.iter().any(|it| matches(it, name)));
    found.map(|(reason, _)| *reason)
}

fn matches(listed: &str, name: &str) -> bool {
    match listed.split_once('*') {
        Some((start, end)) => name.starts_with(start) && name.ends_with(end),
        None => listed == name,
    }
}

fn forms(name: &str, own: &'static str) -> Vec<Vec<ArgSpec<'static>>> {
    let variants = VARIANTS.iter().find(|(listed, ..)| *listed == name);
    let (keeps_own, more) = variants.map_or((true, &[][..]), |(_, keeps, more)| (*keeps, *more));
    let notations = keeps_own.then_some(own).into_iter().chain(more.iter().copied());
    notations
        .map(|notation| {
            syntax::parse(notation).unwrap_or_else(|error| panic!("form of {name}: {error}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use perilune_testkit::{FakeEngine, TestServer};

    #[test]
    fn lists_name_commands_that_exist() {
        let server = TestServer::new(vec![Box::new(FakeEngine::new())]);
        let names: Vec<&str> =
            server.engine.commands.iter().map(|(_, command)| command.full_name).collect();
        let lists = EXCLUDED.iter().flat_map(|(_, names)| *names);
        for listed in lists.chain(VARIANTS.iter().map(|(name, ..)| name)) {
            assert!(names.iter().any(|name| matches(listed, name)), "there is no '{listed}'");
        }
    }
}
