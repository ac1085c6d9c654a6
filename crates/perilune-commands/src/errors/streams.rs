//! Error texts of streams and their groups.

use super::{CommandError, shown};

texts! {
    /// An argument should be the id of an entry.
    INVALID_STREAM_ID = "ERR Invalid stream ID specified as stream command argument";
    /// A range that begins after the greatest id.
    INVALID_START_ID = "ERR invalid start ID for the interval";
    /// A range that ends before the least id.
    INVALID_END_ID = "ERR invalid end ID for the interval";
    /// Two ways to trim.
    TRIM_TWICE = "ERR syntax error, MAXLEN and MINID options at the same time are not compatible";
    /// `MAXLEN` below zero.
    MAXLEN_NEGATIVE = "ERR The MAXLEN argument must be >= 0.";
    /// `LIMIT` of a trimming below zero.
    TRIM_LIMIT_NEGATIVE = "ERR The LIMIT argument must be >= 0.";
    /// `LIMIT` of nothing.
    TRIM_LIMIT_ALONE = "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy";
    /// `XTRIM` that does not say how far.
    TRIM_TO_NOTHING = "ERR syntax error, XTRIM must be called with a trimming strategy";
    /// `LIMIT` of an exact trimming.
    TRIM_LIMIT_EXACT = "ERR syntax error, LIMIT cannot be used without the special ~ option";
    /// `XADD` of the least id.
    XADD_ID_ZERO = "ERR The ID specified in XADD must be greater than 0-0";
    /// `XADD` of an id that is not greater than all before.
    XADD_ID_NOT_GREATER = "ERR The ID specified in XADD is equal or smaller than the target stream top item";
    /// `XADD` after the greatest id.
    XADD_IDS_EXHAUSTED = "ERR The stream has exhausted the last possible ID, unable to add more items";
    /// `XADD` of more than a node holds.
    XADD_TOO_LARGE = "ERR Elements are too large to be stored";
    /// `XSETID ... ENTRIESADDED` below zero.
    XSETID_ENTRIES_NEGATIVE = "ERR entries_added must be positive";
    /// `XSETID` below its own greatest deleted id.
    XSETID_BELOW_GIVEN_DELETED = "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id";
    /// `XSETID` below the greatest deleted id.
    XSETID_BELOW_DELETED = "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id";
    /// `XSETID` below the last entry.
    XSETID_BELOW_TOP = "ERR The ID specified in XSETID is smaller than the target stream top item";
    /// `XSETID ... ENTRIESADDED` below the number of entries.
    XSETID_BELOW_LENGTH = "ERR The entries_added specified in XSETID is smaller than the target stream length";
    /// `XREAD ... GROUP`.
    XREAD_GROUP = "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.";
    /// `XREAD ... NOACK`.
    XREAD_NOACK = "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.";
    /// `XREAD` of what no group was given.
    XREAD_UNDELIVERED = "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.";
    /// `XREADGROUP` without a group.
    XREADGROUP_WITHOUT_GROUP = "ERR Missing GROUP option for XREADGROUP";
    /// `XREADGROUP` of what comes from now on.
    XREADGROUP_FROM_NOW = "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.";
    /// `XGROUP` of a key that does not exist.
    XGROUP_NO_KEY = "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.";
    /// `ENTRIESREAD` of less than nothing.
    ENTRIESREAD_NEGATIVE = "ERR value for ENTRIESREAD must be positive or -1";
    /// `XGROUP CREATE` of a group that exists.
    BUSY_GROUP = "BUSYGROUP Consumer Group name already exists";
    /// `XCLAIM` with a minimal idle time that is no integer.
    XCLAIM_MIN_IDLE = "ERR Invalid min-idle-time argument for XCLAIM";
    /// `XCLAIM ... IDLE` of something that is no integer.
    XCLAIM_IDLE = "ERR Invalid IDLE option argument for XCLAIM";
    /// `XCLAIM ... TIME` of something that is no integer.
    XCLAIM_TIME = "ERR Invalid TIME option argument for XCLAIM";
    /// `XCLAIM ... RETRYCOUNT` of something that is no integer.
    XCLAIM_RETRYCOUNT = "ERR Invalid RETRYCOUNT option argument for XCLAIM";
    /// `XAUTOCLAIM` with a minimal idle time that is no integer.
    XAUTOCLAIM_MIN_IDLE = "ERR Invalid min-idle-time argument for XAUTOCLAIM";
    /// `XAUTOCLAIM ... COUNT` of no positive integer.
    XAUTOCLAIM_COUNT = "ERR COUNT must be > 0";
    /// `XAUTOCLAIM ... COUNT` of more than could ever be answered.
    XAUTOCLAIM_COUNT_TOO_HIGH = "ERR Insufficient memory, failed allocating transient memory, COUNT too high.";
}

/// A consumer group, or the key it should be at, does not exist.
pub fn no_key_or_group(key: &[u8], group: &[u8], context: &str) -> CommandError {
    let (key, group) = (shown(key), shown(group));
    CommandError::owned(format!("NOGROUP No such key '{key}' or consumer group '{group}'{context}"))
}

/// A stream has no such consumer group.
pub fn no_group(key: &[u8], group: &[u8]) -> CommandError {
    let (key, group) = (shown(key), shown(group));
    CommandError::owned(format!("NOGROUP No such consumer group '{group}' for key name '{key}'"))
}

/// `XREAD` with another number of ids than of keys.
pub fn unbalanced_streams(command: &str, placeholder: char) -> CommandError {
    CommandError::owned(format!(
        "ERR Unbalanced '{command}' list of streams: for each stream key an ID or '{placeholder}' \
         must be specified."
    ))
}

/// A script called a command in a way that would wait.
pub fn block_in_script(command: &[u8]) -> CommandError {
    let command = shown(command);
    CommandError::owned(format!(
        "ERR {command} command is not allowed with BLOCK option from scripts"
    ))
}

/// `XCLAIM` with an option it does not have.
pub fn unknown_xclaim_option(option: &[u8]) -> CommandError {
    let option = shown(option);
    CommandError::owned(format!("ERR Unrecognized XCLAIM option '{option}'"))
}
