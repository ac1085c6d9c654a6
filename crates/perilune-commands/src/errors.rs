//! The error texts of the wire, all in one place.
//!
//! A text starts with its code (`ERR`, `WRONGTYPE`, ...) as clients see it after the `-`. Handlers
//! return these values; dispatch writes them to the reply and counts them by code.

use std::borrow::Cow;
use std::fmt;

/// An error reply: the full text, code first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError(Cow<'static, str>);

impl CommandError {
    /// An error of constant text.
    pub const fn new(text: &'static str) -> Self {
        CommandError(Cow::Borrowed(text))
    }

    /// Stands for an error that its handler has written and counted itself.
    pub const REPLIED: CommandError = CommandError::new("");

    /// Whether this is [`REPLIED`](Self::REPLIED).
    pub fn is_replied(&self) -> bool {
        self.0.is_empty()
    }

    /// An error whose text was built for the occasion.
    pub fn owned(text: String) -> Self {
        CommandError(Cow::Owned(text))
    }

    /// The text, code first.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The text as it goes to the client.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        quoted::bytes(&self.0)
    }

    /// The code: the text up to its first space.
    pub fn code(&self) -> &str {
        self.0.split(' ').next().unwrap_or_default()
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CommandError {}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: CommandError = CommandError::new($text);)*
    };
}

mod access;
mod failover;
mod quoted;
mod streams;

pub use access::*;
pub use failover::*;
pub(crate) use quoted::shown;
pub use streams::*;

// Several groups.
texts! {
    /// The key holds another type than the command works on.
    WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value";
    /// Options that do not go together or do not exist.
    SYNTAX = "ERR syntax error";
    /// An argument should be an integer.
    NOT_AN_INTEGER = "ERR value is not an integer or out of range";
    /// An argument should be a floating point number.
    NOT_A_FLOAT = "ERR value is not a valid float";
    /// An argument should be positive.
    NOT_POSITIVE = "ERR value is out of range, must be positive";
    /// An integer is outside of what the option takes.
    OUT_OF_RANGE = "ERR value is out of range";
    /// An index is outside of the value.
    INDEX_OUT_OF_RANGE = "ERR index out of range";
    /// The key a command insists on does not exist.
    NO_SUCH_KEY = "ERR no such key";
    /// Source and destination are the same key.
    SAME_OBJECT = "ERR source and destination objects are the same";
    /// The timeout of a blocking command is no number.
    TIMEOUT_NOT_A_FLOAT = "ERR timeout is not a float or out of range";
    /// The timeout of a blocking command is negative.
    TIMEOUT_NEGATIVE = "ERR timeout is negative";
    /// A timeout that should be an integer.
    TIMEOUT_NOT_AN_INTEGER = "ERR timeout is not an integer or out of range";
    /// `numkeys` is no positive integer.
    NUMKEYS_NOT_POSITIVE = "ERR numkeys should be greater than 0";
    /// `numkeys` is larger than the rest of the arguments.
    NUMKEYS_TOO_LARGE = "ERR Number of keys can't be greater than number of args";
    /// `numkeys` is negative.
    NUMKEYS_NEGATIVE = "ERR Number of keys can't be negative";
    /// A database index outside of the configured number.
    DB_OUT_OF_RANGE = "ERR DB index is out of range";
    /// A database index that is no integer.
    INVALID_DB_INDEX = "ERR invalid DB index";
    /// An increment leaves the 64-bit integers.
    INCREMENT_OVERFLOW = "ERR increment or decrement would overflow";
    /// The number of random elements that were asked for has no negative.
    RANDOM_COUNT_OUT_OF_RANGE = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
    /// The cursor of a SCAN command is no number.
    INVALID_CURSOR = "ERR invalid cursor";
}

// Dispatch.
texts! {
    /// The connection has not authenticated.
    NOAUTH = "NOAUTH Authentication required.";
    /// The server is over its memory limit.
    OOM = "OOM command not allowed when used memory > 'maxmemory'.";
    /// A script is over its time limit.
    BUSY_SCRIPT = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
    /// A function is over its time limit.
    BUSY_FUNCTION = "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";
    /// A blocking pause over `CLIENT PAUSE`.
    NO_MULTI = "ERR Command not allowed inside a transaction";
    /// `MULTI` inside of `MULTI`.
    NESTED_MULTI = "ERR MULTI calls can not be nested";
    /// `WATCH` inside of `MULTI`.
    WATCH_IN_MULTI = "ERR WATCH inside MULTI is not allowed";
    /// `EXEC` without `MULTI`.
    EXEC_WITHOUT_MULTI = "ERR EXEC without MULTI";
    /// `DISCARD` without `MULTI`.
    DISCARD_WITHOUT_MULTI = "ERR DISCARD without MULTI";
    /// A command of the transaction was refused when it was queued.
    EXECABORT = "EXECABORT Transaction discarded because of previous errors.";
}

// COMMAND.
texts! {
    /// `COMMAND GETKEYS` of an unknown command.
    COMMAND_INVALID = "ERR Invalid command specified";
    /// `COMMAND GETKEYS` of a command that never has keys.
    COMMAND_HAS_NO_KEYS = "ERR The command has no key arguments";
    /// `COMMAND GETKEYS` with a number of arguments that does not fit.
    COMMAND_ARITY_INVALID = "ERR Invalid number of arguments specified for command";
    /// `COMMAND GETKEYS` with arguments that name no key.
    COMMAND_ARGUMENTS_INVALID = "ERR Invalid arguments specified for command";
}

/// The number of arguments does not fit the command. `name` as in the table (`config|get`).
pub fn wrong_arity(name: &[u8]) -> CommandError {
    let name = shown(name).to_ascii_lowercase();
    CommandError::owned(format!("ERR wrong number of arguments for '{name}' command"))
}

/// `EXEC` itself was refused.
pub fn exec_abort(reason: &CommandError) -> CommandError {
    // A number of arguments, and what only subscribers may do, are told without the code.
    let reason = match reason.text().strip_prefix("ERR ") {
        Some(text) if text.starts_with("wrong number") || text.starts_with("Can't execute") => text,
        _ => reason.text(),
    };
    CommandError::owned(format!("EXECABORT Transaction discarded because of: {reason}"))
}

/// A subcommand got more or fewer arguments than it takes, beyond what its arity says.
pub fn wrong_subcommand_arity(container: &str, subcommand: &[u8]) -> CommandError {
    CommandError::owned(format!(
        "ERR unknown subcommand or wrong number of arguments for '{}'. Try {container} HELP.",
        shown(&subcommand[..subcommand.len().min(128)])
    ))
}

/// No such command.
pub fn unknown_command(args: crate::args::Args<'_>) -> CommandError {
    let clip = |text: &[u8], max: usize| shown(&text[..text.len().min(max)]).into_owned();
    let mut listed = String::new();
    for arg in args.iter().skip(1) {
        // What was sent has a character for each byte in here.
        let length = listed.chars().count();
        if length >= 128 {
            break;
        }
        let room = 128 - length;
        listed.push_str(&format!("'{}' ", clip(arg, room)));
    }
    let name = clip(args.name(), 128);
    CommandError::owned(format!("ERR unknown command '{name}', with args beginning with: {listed}"))
}

/// The container has no such subcommand.
pub fn unknown_subcommand(container: &str, subcommand: &[u8]) -> CommandError {
    let clipped = &subcommand[..subcommand.len().min(128)];
    CommandError::owned(format!(
        "ERR unknown subcommand '{}'. Try {} HELP.",
        shown(clipped),
        container.to_ascii_uppercase()
    ))
}

/// `EXPIRE` and the like with a time that cannot be represented.
pub fn invalid_expire_time(command: &[u8]) -> CommandError {
    let name = shown(command).to_ascii_lowercase();
    CommandError::owned(format!("ERR invalid expire time in '{name}' command"))
}

// Lists.
texts! {
    /// The `COUNT` of a command that pops from one of several keys.
    COUNT_NOT_POSITIVE = "ERR count should be greater than 0";
    /// `LPOS ... RANK 0`.
    LPOS_RANK_ZERO = "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list";
    /// `LPOS ... RANK` with the one integer that has no opposite.
    LPOS_RANK_RANGE = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
    /// `LPOS ... COUNT` below zero.
    LPOS_COUNT_NEGATIVE = "ERR COUNT can't be negative";
    /// `LPOS ... MAXLEN` below zero.
    LPOS_MAXLEN_NEGATIVE = "ERR MAXLEN can't be negative";
}

// Strings.
texts! {
    /// A string would become longer than the protocol can carry.
    STRING_TOO_LONG = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    /// `SETRANGE` before the start.
    OFFSET_OUT_OF_RANGE = "ERR offset is out of range";
    /// The amount to subtract has no negative.
    DECREMENT_OVERFLOW = "ERR decrement would overflow";
    /// The sum is no finite number.
    INCREMENT_NOT_FINITE = "ERR increment would produce NaN or Infinity";
    /// `LCS` of other types.
    LCS_NOT_STRINGS = "ERR The specified keys must contain string values";
    /// `LCS` with two ways to answer.
    LCS_LEN_AND_IDX = "ERR If you want both the length and indexes, please just use IDX.";
    /// `LCS` of strings whose positions leave 32 bits.
    LCS_TOO_LONG = "ERR String too long for LCS";
    /// `LCS` of strings whose table is over the limit.
    LCS_MEMORY_LIMIT = "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len";
    /// `LCS` of strings whose table cannot be had.
    LCS_NO_MEMORY = "ERR Insufficient memory, failed allocating transient memory for LCS";
}

// Keys and databases.
texts! {
    /// A number that should fit 32 bits.
    OUTSIDE_32_BITS = "ERR value is out of range, value must between -2147483648 and 2147483647";
    /// A number that should be 0 or 1.
    OUTSIDE_0_1 = "ERR value is out of range, value must between 0 and 1";
    /// `SWAPDB` with something else than a number first.
    INVALID_FIRST_DB_INDEX = "ERR invalid first DB index";
    /// `SWAPDB` with something else than a number second.
    INVALID_SECOND_DB_INDEX = "ERR invalid second DB index";
    /// `EXPIRE ... NX` with another condition.
    NX_WITH_OTHERS = "ERR NX and XX, GT or LT options at the same time are not compatible";
    /// `EXPIRE ... GT LT`.
    GT_WITH_LT = "ERR GT and LT options at the same time are not compatible";
    /// `OBJECT IDLETIME` under a policy that counts accesses.
    IDLE_TIME_NOT_TRACKED = "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.";
    /// `OBJECT FREQ` under a policy that does not count accesses.
    FREQUENCY_NOT_TRACKED = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.";
    /// `RESTORE` of a key that exists.
    BUSY_KEY = "BUSYKEY Target key name already exists.";
    /// `RESTORE` with a negative time to live.
    INVALID_TTL = "ERR Invalid TTL value, must be >= 0";
    /// `RESTORE ... IDLETIME` below zero.
    INVALID_IDLETIME = "ERR Invalid IDLETIME value, must be >= 0";
    /// `RESTORE ... FREQ` that is no byte.
    INVALID_FREQ = "ERR Invalid FREQ value, must be >= 0 and <= 255";
    /// A payload that is too short, too new or damaged.
    PAYLOAD_FOOTER = "ERR DUMP payload version or checksum are wrong";
    /// A payload that is signed, but holds no value.
    PAYLOAD_FORMAT = "ERR Bad data format";
    /// `SORT` by numbers of something that is none.
    SORT_NOT_A_NUMBER = "ERR One or more scores can't be converted into double";
    /// `DEBUG LOADAOF` that failed.
    LOADAOF_FAILED = "ERR Error trying to load the AOF files, check server logs.";
    /// `BGREWRITEAOF` during another one.
    REWRITE_RUNNING = "ERR Background append only file rewriting already in progress";
    /// `WAITAOF` for the file of a server that writes none.
    WAITAOF_WITHOUT_AOF = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
}

/// A script that may write while the append-only file cannot take that.
pub fn script_aof_failed(reason: &str) -> CommandError {
    CommandError::owned(format!(
        "MISCONF Redis is configured to persist data to AOF, but it's currently unable to persist to \
         disk. Writable scripts are blocked. Use 'no-writes' flag for read only scripts. AOF error: \
         {reason}"
    ))
}

/// A write while the append-only file cannot take it.
pub fn aof_write_failed(reason: &str) -> CommandError {
    CommandError::owned(format!("MISCONF Errors writing to the AOF file: {reason}"))
}

/// `EXPIRE` with an option it does not have.
pub fn unsupported_option(option: &[u8]) -> CommandError {
    CommandError::owned(format!("ERR Unsupported option {}", shown(option)))
}

// Clients.
texts! {
    /// `CLIENT UNBLOCK ... ERROR`.
    UNBLOCKED = "UNBLOCKED client unblocked via CLIENT UNBLOCK";
}

/// A RESP2 subscriber sent something else.
pub fn only_subscription_commands(name: &str) -> CommandError {
    CommandError::owned(format!(
        "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET \
         are allowed in this context"
    ))
}

// Features that this server does not have.
texts! {
    /// A command of cluster nodes.
    CLUSTER_DISABLED = "ERR This instance has cluster support disabled";
    /// `MODULE LOAD`.
    MODULE_NOT_LOADED = "ERR Error loading the extension. Please check the server logs.";
    /// `MODULE UNLOAD`.
    MODULE_NOT_FOUND =
        "ERR Error unloading module: no such module with that name";
}

/// A command that a configuration switch keeps closed.
pub fn protected_command(name: &str) -> CommandError {
    let (command, switch) = match name.split('|').next().unwrap_or(name) {
        "module" => ("MODULE", "enable-module-command"),
        _ => ("DEBUG", "enable-debug-command"),
    };
    CommandError::owned(format!(
        "ERR {command} command not allowed. If the {switch} option is set to \"local\", you can \
         run it from a local connection, otherwise you need to set this option in the \
         configuration file, and then restart the server."
    ))
}

// Scripts.
texts! {
    /// A script called a command that does not exist.
    SCRIPT_UNKNOWN_COMMAND = "ERR Unknown Redis command called from script";
    /// A script called a command with the wrong number of arguments.
    SCRIPT_WRONG_ARITY = "ERR Wrong number of args calling Redis command from script";
    /// A script called a command that scripts must not call.
    SCRIPT_NOT_ALLOWED = "ERR This Redis command is not allowed from script";
    /// A read-only script called a write command.
    SCRIPT_READ_ONLY = "ERR Write commands are not allowed from read-only scripts.";
    /// Library code called a command.
    SCRIPT_NO_COMMANDS = "ERR redis.call/pcall can only be called inside a script invocation";
    /// A script asks for an engine that is running one.
    ENGINE_BUSY = "ERR the script engine is already running a script";
    /// `EVALSHA` of a script that is not cached.
    NOSCRIPT = "NOSCRIPT No matching script. Please use EVAL.";
    /// A read-only variant runs a script that may write.
    SCRIPT_WRITES_IN_RO = "ERR Can not execute a script with write flag using *_ro command.";
    /// A script that may write starts over the memory limit.
    SCRIPT_DENIED_OOM = "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'";
    /// `SCRIPT KILL` while nothing runs.
    NOT_BUSY = "NOTBUSY No scripts in execution right now.";
    /// `SCRIPT KILL` of a script that has written.
    UNKILLABLE = "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.";
    /// `SCRIPT FLUSH` with another word.
    SCRIPT_FLUSH_MODE = "ERR SCRIPT FLUSH only support SYNC|ASYNC option";
    /// `SCRIPT DEBUG` with another word.
    DEBUG_MODE = "ERR Use SCRIPT DEBUG YES/SYNC/NO";
    /// `SCRIPT DEBUG` while replies wait to be sent.
    DEBUG_IN_PIPELINE = "ERR SCRIPT DEBUG must be called outside a pipeline";
    /// `EVALSHA` of a client that debugs.
    DEBUG_EVALSHA = "ERR Please use EVAL instead of EVALSHA for debugging";
    /// A script in the transaction of a client that debugs.
    DEBUG_IN_MULTI = "ERR a script inside of a transaction can't be debugged";
    /// Too many clients debug on copies.
    TOO_MANY_COPIES = "ERR too many debugging sessions at the same time";
    /// A second copy of the data does not fit.
    NO_ROOM_FOR_COPY = "OOM a copy of the data for the debugger may exceed 'maxmemory', use SCRIPT DEBUG SYNC";
    /// Engine or process cannot be had twice.
    NO_COPY = "ERR this server can't copy its data for the debugger, use SCRIPT DEBUG SYNC";
    /// `SCRIPT STATS` of something that does not exist.
    NO_SCRIPT_OR_FUNCTION = "ERR No script or function of that name";
    /// `FCALL` of a function that does not exist.
    FUNCTION_NOT_FOUND = "ERR Function not found";
    /// `FCALL` with a number of keys that is none.
    BAD_KEY_COUNT = "ERR Bad number of keys provided";
    /// `FUNCTION DELETE` of a library that does not exist.
    LIBRARY_NOT_FOUND = "ERR Library not found";
    /// `FUNCTION FLUSH` with another word.
    FUNCTION_FLUSH_MODE = "ERR FUNCTION FLUSH only supports SYNC|ASYNC option";
    /// `FUNCTION RESTORE` with another word.
    RESTORE_POLICY = "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.";
    /// `FUNCTION LIST LIBRARYNAME` without a name.
    LIBRARY_NAME_MISSING = "ERR library name argument was not given";
}

// Hashes.
texts! {
    /// `HINCRBY` of a field that is no integer.
    HASH_VALUE_NOT_AN_INTEGER = "ERR hash value is not an integer";
    /// `HINCRBYFLOAT` of a field that is no number.
    HASH_VALUE_NOT_A_FLOAT = "ERR hash value is not a float";
    /// `HINCRBYFLOAT` by infinity.
    INCREMENT_INFINITE = "ERR value is NaN or Infinity";
}

// Sets.
texts! {
    /// `SINTERCARD ... LIMIT` below zero.
    LIMIT_NEGATIVE = "ERR LIMIT can't be negative";
}

// Sorted sets.
texts! {
    /// A score that bounds a range is no number.
    RANGE_NOT_A_FLOAT = "ERR min or max is not a float";
    /// A name that bounds a range has no mark.
    RANGE_NOT_A_STRING = "ERR min or max not valid string range item";
    /// `LIMIT` of a range by rank.
    RANGE_LIMIT_OF_RANKS = "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX";
    /// `WITHSCORES` of a range by name.
    RANGE_SCORES_OF_NAMES = "ERR syntax error, WITHSCORES not supported in combination with BYLEX";
    /// `ZADD` with options of which nothing would be added.
    ZADD_XX_AND_NX = "ERR XX and NX options at the same time are not compatible";
    /// `ZADD` with options that contradict each other.
    ZADD_GT_LT_AND_NX = "ERR GT, LT, and/or NX options at the same time are not compatible";
    /// `ZADD ... INCR` of several members.
    ZADD_INCR_PAIRS = "ERR INCR option supports a single increment-element pair";
    /// An increment by the opposite infinity.
    SCORE_NOT_A_NUMBER = "ERR resulting score is not a number (NaN)";
    /// A weight of a union or intersection is no number.
    WEIGHT_NOT_A_FLOAT = "ERR weight value is not a float";
}

/// A union, intersection or difference of nothing.
pub fn no_input_key(command: &[u8]) -> CommandError {
    let name = shown(command).to_ascii_lowercase();
    CommandError::owned(format!("ERR at least 1 input key is needed for '{name}' command"))
}

/// What a killed script ends with.
pub const SCRIPT_KILLED: &str = "ERR Script killed by user with SCRIPT KILL...";

/// What a debugged script ends with when its client is closed.
pub const DEBUG_CLIENT_KILLED: &str = "ERR script aborted because the debugging client was closed";
/// What library code that runs too long ends with.
pub const LOAD_TIMEOUT: &str = "ERR FUNCTION LOAD timeout";

/// An error of another crate, whose text has no code.
pub fn plain(error: impl fmt::Display) -> CommandError {
    CommandError::owned(format!("ERR {error}"))
}

/// A script that does not compile.
pub fn script_compilation(error: perilune_script::CompileError) -> CommandError {
    CommandError::owned(format!("ERR Error compiling script (new function): {error}"))
}

/// `FUNCTION LOAD` with an option it does not have.
pub fn unknown_load_option(option: &[u8]) -> CommandError {
    let option = shown(option);
    CommandError::owned(format!("ERR Unknown option given: {option}"))
}

/// `FUNCTION LIST` with an argument it does not have.
pub fn unknown_list_argument(argument: &[u8]) -> CommandError {
    let argument = shown(argument);
    CommandError::owned(format!("ERR Unknown argument {argument}"))
}

/// A subcommand with arguments it does not take.
pub fn subcommand_syntax(args: crate::args::Args<'_>) -> CommandError {
    let subcommand = args.get(1).unwrap_or_default();
    CommandError::owned(format!(
        "ERR unknown subcommand or wrong number of arguments for '{}'. Try {} HELP.",
        shown(&subcommand[..subcommand.len().min(128)]),
        shown(args.name()).to_ascii_uppercase(),
    ))
}

// Connections.
texts! {
    /// User or password are wrong.
    WRONGPASS = "WRONGPASS invalid username-password pair or user is disabled.";
    /// `AUTH` with a password where none is set.
    AUTH_NO_PASSWORD = "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?";
    /// `HELLO` with a version that does not exist.
    NOPROTO = "NOPROTO unsupported protocol version";
    /// `HELLO` with a version that is no number.
    PROTOCOL_NOT_AN_INTEGER = "ERR Protocol version is not an integer or out of range";
    /// `HELLO` before authentication.
    HELLO_NOAUTH = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time";
    /// A client name with spaces or the like.
    CLIENT_NAME = "ERR Client names cannot contain spaces, newlines or special characters.";
    /// `CLIENT LIST ID` with something that is no number.
    INVALID_CLIENT_ID = "ERR Invalid client ID";
    /// A write while too few replicas are attached.
    NOREPLICAS = "NOREPLICAS Not enough good replicas to write.";
    /// `CLIENT KILL ID` with a number below 1.
    CLIENT_ID_NOT_POSITIVE = "ERR client-id should be greater than 0";
    /// `CLIENT KILL addr` that matches nobody.
    NO_SUCH_CLIENT = "ERR No such client";
    /// `CLIENT UNBLOCK` with another word.
    UNBLOCK_REASON = "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR";
    /// `CLIENT PAUSE` with another word.
    PAUSE_MODE = "ERR CLIENT PAUSE mode must be WRITE or ALL";
    /// A timeout beyond the end of time.
    TIMEOUT_OUT_OF_RANGE = "ERR timeout is out of range";
}

/// `HELLO` with an option it does not have.
pub fn hello_option(option: &[u8]) -> CommandError {
    let option = shown(option);
    CommandError::owned(format!("ERR Syntax error in HELLO option '{option}'"))
}

// Client-side caching.
texts! {
    /// `REDIRECT` twice.
    TRACKING_ONE_REDIRECT = "ERR A client can only redirect to a single other client";
    /// `REDIRECT` to nobody.
    TRACKING_NO_SUCH_REDIRECT = "ERR The client ID you want redirect to does not exist";
    /// `PREFIX` without `BCAST`.
    TRACKING_PREFIX_WITHOUT_BCAST = "ERR PREFIX option requires BCAST mode to be enabled";
    /// `BCAST` comes or goes while tracking is on.
    TRACKING_BCAST_SWITCH = "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.";
    /// `BCAST` with a mode of reads.
    TRACKING_BCAST_AND_OPT = "ERR OPTIN and OPTOUT are not compatible with BCAST";
    /// `OPTIN` and `OPTOUT`.
    TRACKING_OPTIN_AND_OPTOUT = "ERR You can't specify both OPTIN mode and OPTOUT mode";
    /// From one of `OPTIN` and `OPTOUT` to the other while tracking is on.
    TRACKING_OPT_SWITCH = "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.";
    /// `CLIENT CACHING` without tracking.
    CACHING_WITHOUT_TRACKING = "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled";
    /// `CLIENT CACHING YES` in another mode.
    CACHING_YES_WITHOUT_OPTIN = "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.";
    /// `CLIENT CACHING NO` in another mode.
    CACHING_NO_WITHOUT_OPTOUT = "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.";
}

/// Prefixes of one client of which one begins with the other; `present` when it has the other one.
pub fn tracking_prefixes_overlap(prefix: &[u8], other: &[u8], present: bool) -> CommandError {
    let (prefix, other) = (shown(prefix), shown(other));
    let which = if present { "an existing" } else { "another provided" };
    CommandError::owned(format!(
        "ERR Prefix '{prefix}' overlaps with {which} prefix '{other}'. Prefixes for a single client \
         must not overlap."
    ))
}

/// A client class that does not exist.
pub fn unknown_client_type(name: &[u8]) -> CommandError {
    CommandError::owned(format!("ERR Unknown client type '{}'", shown(name)))
}

/// A user that does not exist.
pub fn no_such_user(name: &[u8]) -> CommandError {
    CommandError::owned(format!("ERR No such user '{}'", shown(name)))
}

/// `CLIENT SETINFO` with an attribute it does not have.
pub fn unknown_client_attribute(name: &[u8]) -> CommandError {
    CommandError::owned(format!("ERR Unrecognized option '{}'", shown(name)))
}

/// `CLIENT SETINFO` with a value that has spaces or the like.
pub fn client_attribute_value(name: &[u8]) -> CommandError {
    CommandError::owned(format!(
        "ERR {} cannot contain spaces, newlines or special characters.",
        shown(name)
    ))
}

// The server.
texts! {
    /// `CONFIG REWRITE` without a file.
    NO_CONFIG_FILE = "ERR The server is running without a config file";
    /// `SLOWLOG GET` with a count below -1.
    SLOWLOG_COUNT = "ERR count should be greater than or equal to -1";
    /// `MEMORY MALLOC-STATS`, which only unchecked calls into the allocator give.
    NO_MALLOC_STATS = "ERR the allocator of this process tells nothing about itself";
    /// `MEMORY PURGE`, likewise.
    PURGE_FAILED = "ERR Error purging dirty pages";
    /// `SSUBSCRIBE` from a script or transaction.
    SSUBSCRIBE_DENIED = "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client";
    /// `MONITOR` from a script or transaction.
    MONITOR_DENIED = "ERR MONITOR isn't allowed for DENY BLOCKING client";
    /// `SHUTDOWN ABORT` while nothing is ending.
    NO_SHUTDOWN = "ERR No shutdown in progress.";
    /// `SHUTDOWN` that failed to make the data safe.
    SHUTDOWN_FAILED = "ERR Errors trying to SHUTDOWN. Check logs.";
    /// An error that tells nothing; the log does.
    UNNAMED = "ERR";
    /// `SAVE` or `BGSAVE` while one of them is at work.
    SAVE_RUNNING = "ERR Background save already in progress";
    /// `BGSAVE` while a snapshot for something else is made.
    SNAPSHOT_RUNNING = "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible.";
    /// A write while snapshots fail.
    SNAPSHOTS_FAIL = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify the data set are disabled, because this instance is configured to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error.";
    /// A script that may write while snapshots fail.
    SCRIPT_SNAPSHOTS_FAIL = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Writable scripts are blocked. Use 'no-writes' flag for read only scripts.";
    /// Anything that needs the data while they are being read.
    LOADING = "LOADING Redis is loading the dataset in memory";
}

/// The configuration file could not be replaced.
pub fn config_rewrite(reason: &str) -> CommandError {
    CommandError::owned(format!("ERR Rewriting config file: {reason}"))
}

// Debugging.
texts! {
    /// `DEBUG PROTOCOL push` in RESP2.
    RESP2_UNSUPPORTED = "ERR RESP2 is not supported by this command";
    /// `DEBUG PROTOCOL` with another word.
    DEBUG_PROTOCOL_TYPE = "ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false";
    /// `DEBUG RELOAD` with options it does not have.
    RELOAD_OPTIONS = "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.";
    /// A size that is no size.
    DEBUG_MEMORY_VALUE = "ERR argument must be a memory value bigger than 1 and smaller than 4gb";
    /// `DEBUG LISTPACK` of a value in another encoding.
    NOT_A_LISTPACK = "ERR Not a listpack encoded object.";
    /// `DEBUG HTSTATS-KEY` of a value in another encoding.
    NOT_A_TABLE = "ERR The value stored at the specified key is not represented using an hash table";
    /// A crash that was asked for, where there is no process of its own.
    NO_CRASH = "ERR there is no process to crash";
}

/// `LATENCY GRAPH` of an event without samples.
pub fn no_latency_samples(event: &[u8]) -> CommandError {
    let event = shown(event);
    CommandError::owned(format!("ERR No samples available for event '{event}'"))
}

// Moving keys.
texts! {
    /// `MIGRATE` with a key, and more behind `KEYS`.
    MIGRATE_KEYS_WITH_KEY = "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string";
    /// The other server is not there.
    MIGRATE_CONNECTING = "IOERR error or timeout connecting to the client";
    /// The other server does not take what it is sent.
    MIGRATE_WRITING = "IOERR error or timeout writing to target instance";
    /// The other server does not answer.
    MIGRATE_READING = "IOERR error or timeout reading to target instance";
}

/// The other server answered with an error.
pub fn migrate_refused(error: &[u8]) -> CommandError {
    let error = shown(error);
    CommandError::owned(format!("ERR Target instance replied with error: {error}"))
}

// Positions.
texts! {
    /// A unit of length that is none.
    GEO_UNIT = "ERR unsupported unit provided. please use M, KM, FT, MI";
    /// A search around a member that is not there.
    GEO_NO_MEMBER = "ERR could not decode requested zset member";
    /// A radius that is no number.
    GEO_RADIUS_NOT_A_FLOAT = "ERR need numeric radius";
    /// A radius below zero.
    GEO_RADIUS_NEGATIVE = "ERR radius cannot be negative";
    /// A width that is no number.
    GEO_WIDTH_NOT_A_FLOAT = "ERR need numeric width";
    /// A height that is no number.
    GEO_HEIGHT_NOT_A_FLOAT = "ERR need numeric height";
    /// A box with a side below zero.
    GEO_BOX_NEGATIVE = "ERR height or width cannot be negative";
    /// A search for no member.
    GEO_COUNT = "ERR COUNT must be > 0";
    /// `ANY` of how many?
    GEO_ANY_WITHOUT_COUNT = "ERR the ANY argument requires COUNT argument";
    /// `GEORADIUS` that stores what only a reply can hold.
    GEORADIUS_STORE_WITH = "ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options";
    /// `GEOSEARCHSTORE` that stores what only a reply can hold.
    GEOSEARCHSTORE_WITH = "ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options";
}

/// A position that is not on the map.
pub fn invalid_position(lon: f64, lat: f64) -> CommandError {
    CommandError::owned(format!("ERR invalid longitude,latitude pair {lon:.6},{lat:.6}"))
}

/// A search without one of two options. `command` as it was sent.
pub fn geo_one_of(options: &str, command: &[u8]) -> CommandError {
    let command = shown(command);
    CommandError::owned(format!("ERR exactly one of {options} can be specified for {command}"))
}

// HyperLogLogs.
texts! {
    /// A string that is none.
    NOT_A_HYPERLOGLOG = "WRONGTYPE Key is not a valid HyperLogLog string value.";
    /// One that does not describe all its registers.
    CORRUPT_HYPERLOGLOG = "INVALIDOBJ Corrupted HLL object detected";
    /// `PFDEBUG DECODE` of the other encoding.
    HYPERLOGLOG_NOT_SPARSE = "ERR HLL encoding is not sparse";
    /// `PFDEBUG` of a key that is not there.
    KEY_DOES_NOT_EXIST = "ERR The specified key does not exist";
}

/// `PFDEBUG` with another word.
pub fn unknown_pfdebug_subcommand(word: &[u8]) -> CommandError {
    let word = shown(word);
    CommandError::owned(format!("ERR Unknown PFDEBUG subcommand '{word}'"))
}

/// `PFSELFTEST` found a mistake.
pub fn self_test_failed(reason: String) -> CommandError {
    CommandError::owned(format!("ERR TESTFAILED {reason}"))
}

// Bits.
texts! {
    /// A bit offset that is no integer or beyond the longest string.
    BIT_OFFSET = "ERR bit offset is not an integer or out of range";
    /// A bit that is neither 0 nor 1.
    BIT_VALUE = "ERR bit is not an integer or out of range";
    /// `BITPOS` of another bit.
    BITPOS_BIT = "ERR The bit argument must be 1 or 0.";
    /// `BITOP NOT` of several strings.
    BITOP_NOT_KEYS = "ERR BITOP NOT must be called with a single source key.";
    /// `BITFIELD` with a type that is none.
    BITFIELD_TYPE = "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.";
    /// `BITFIELD ... OVERFLOW` with another word.
    BITFIELD_OVERFLOW = "ERR Invalid OVERFLOW type specified";
    /// `BITFIELD_RO` that would write.
    BITFIELD_RO_WRITES = "ERR BITFIELD_RO only supports the GET subcommand";
}

// Replication.
texts! {
    /// `SYNC` after commands whose replies are not sent yet.
    SYNC_WITH_OUTPUT = "ERR SYNC and PSYNC are invalid with pending output";
}

/// The snapshot for a replica could not be written.
pub fn snapshot_failed(reason: &std::io::Error) -> CommandError {
    CommandError::owned(format!("ERR Writing the snapshot failed: {reason}"))
}

/// An option `REPLCONF` does not know.
pub fn unknown_replconf_option(name: &[u8]) -> CommandError {
    let name = shown(name);
    CommandError::owned(format!("ERR Unrecognized REPLCONF option: {name}"))
}

/// A part of a snapshot that cannot be asked for.
pub fn unsupported_snapshot_part(name: &[u8]) -> CommandError {
    let name = shown(name);
    CommandError::owned(format!("ERR Unsupported rdb-filter-only option: {name}"))
}

/// An address that is none.
pub fn replconf_address_too_long(address: &[u8]) -> CommandError {
    let bytes = address.len();
    CommandError::owned(format!(
        "ERR REPLCONF ip-address provided by replica instance is too long: {bytes} bytes"
    ))
}

/// `DEBUG RELOAD` could not read what was written.
pub fn reload_failed(error: &dyn fmt::Display) -> CommandError {
    CommandError::owned(format!(
        "ERR Error trying to load the RDB dump, check server logs: {error}"
    ))
}

// Replication.
texts! {
    /// `REPLICAOF` with a port that is none.
    INVALID_MASTER_PORT = "ERR Invalid master port";
    /// `REPLICAOF` from a replica of this server.
    REPLICAOF_BY_REPLICA = "ERR Command is not valid when client is a replica.";
    /// A replica of this server that uses its connection for commands about keys.
    REPLICA_AND_KEYSPACE = "ERR Replica can't interact with the keyspace";
    /// A write on a replica that takes none.
    READONLY = "READONLY You can't write against a read only replica.";
    /// Old data that must not be shown.
    MASTERDOWN = "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
    /// A client that waits when its server begins to follow a master.
    UNBLOCKED_BY_ROLE = "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)";
    /// `SYNC` on a replica without its master.
    NOMASTERLINK = "NOMASTERLINK Can't SYNC while not connected with my master";
    /// A snapshot of parts for one that cannot take a snapshot of unknown length.
    FILTER_NEEDS_EOF = "ERR Filtered replica requires EOF capability";
    /// `WAIT` on a replica.
    WAIT_ON_REPLICA = "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is configured to be writable (which is not the default) writes to replicas are just local and are not propagated.";
    /// `WAITAOF` on a replica.
    WAITAOF_ON_REPLICA = "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local and are not propagated.";
    /// A script that may write, on a replica that takes no writes.
    SCRIPT_READONLY_REPLICA = "READONLY Can not run script with write flag on readonly replica";
    /// A script that does not allow stale data, where the data may be old.
    SCRIPT_MASTERDOWN = "MASTERDOWN Link with MASTER is down, replica-serve-stale-data is set to 'no' and 'allow-stale' flag is not set on the script.";
    /// A command in a script that does not allow stale data.
    SCRIPT_STALE_COMMAND = "ERR Can not execute the command on a stale replica";
}
