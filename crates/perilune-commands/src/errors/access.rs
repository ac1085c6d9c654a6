//! Error texts of access control.

use super::{CommandError, shown};
use crate::acl::{Reason, RuleError, WrongRule};

texts! {
    /// `ACL SETUSER` with a name that could not be written to a file.
    ACL_USERNAME = "ERR Usernames can't contain spaces or null characters";
    /// `ACL DELUSER default`.
    ACL_DEFAULT_STAYS = "ERR The 'default' user cannot be removed";
    /// `ACL LOAD` and `ACL SAVE` without `aclfile`.
    ACL_NO_FILE = "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.";
    /// `ACL SAVE` failed.
    ACL_NOT_SAVED = "ERR There was an error trying to save the ACLs. Please check the server logs for more information";
    /// `ACL GENPASS` with a number that is out of range.
    ACL_GENPASS_BITS = "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096";
    /// `SORT ... BY` by a user who may not read all keys.
    SORT_BY_DENIED = "ERR BY option of SORT denied due to insufficient ACL permissions.";
    /// `SORT ... GET` by a user who may not read all keys.
    SORT_GET_DENIED = "ERR GET option of SORT denied due to insufficient ACL permissions.";
}

/// A user is declared twice in the configuration; without code.
pub const ACL_DUPLICATE_USER: &str =
    "Duplicate user found. A user can only be defined once in config files";
/// A selector of a declared user never ends; without code.
pub const ACL_UNMATCHED: &str = "Unmatched parenthesis in selector definition";
/// Ends the list of what is wrong with an ACL file.
pub const ACL_FILE_UNCHANGED: &str = "WARNING: ACL errors detected, no change to the previously \
                                      active ACL rules was performed";

/// What is wrong with a rule of a user; without code.
pub fn acl_rule_reason(error: RuleError) -> &'static str {
    match error {
        RuleError::Syntax => "Syntax error",
        RuleError::UnknownCommand => "Unknown command or category name in ACL",
        RuleError::PatternAfterAllKeys => {
            "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does \
             not have any effect. Try 'resetkeys' to start with an empty list of patterns"
        }
        RuleError::PatternAfterAllChannels => {
            "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and \
             does not have any effect. Try 'resetchannels' to start with an empty list of channels"
        }
        RuleError::NoSuchPassword => {
            "The password you are trying to remove from the user does not exist"
        }
        RuleError::PasswordHash => {
            "The password hash must be exactly 64 characters and contain only lowercase \
             hexadecimal characters"
        }
        RuleError::FirstArgOfSubcommand => "Allowing first-arg of a subcommand is not supported",
    }
}

/// `ACL SETUSER` with a rule that is wrong.
pub fn acl_wrong_rule(wrong: &WrongRule) -> CommandError {
    let text = match wrong {
        WrongRule::Unmatched(word) => {
            let word = shown(word);
            format!("ERR Unmatched parenthesis in acl selector starting at '{word}'.")
        }
        WrongRule::Refused(rule, error) => {
            let (rule, reason) = (shown(rule), acl_rule_reason(*error));
            format!("ERR Error in ACL SETUSER modifier '{rule}': {reason}")
        }
    };
    CommandError::owned(text)
}

/// Why a user may not run a command, without code and without naming keys and channels.
pub fn acl_denial(reason: Reason, user: &[u8], command: &str) -> String {
    match reason {
        Reason::Key => "No permissions to access a key".into(),
        Reason::Channel => "No permissions to access a channel".into(),
        Reason::Command | Reason::Auth => {
            let user = shown(user);
            format!("User {user} has no permissions to run the '{command}' command")
        }
    }
}

/// A command is refused, for this reason.
pub fn no_permission(reason: &str) -> CommandError {
    CommandError::owned(format!("NOPERM {reason}"))
}

/// A command of a script is refused, for this reason.
pub fn script_acl_failure(reason: &str) -> CommandError {
    CommandError::owned(format!("ERR ACL failure in script: {reason}"))
}

/// A queued command is no longer allowed.
pub fn queued_no_permission(reason: Reason) -> CommandError {
    let reason = match reason {
        Reason::Command => "no permission to execute the command or subcommand",
        Reason::Key => "no permission to touch the specified keys",
        Reason::Channel => "no permission to access one of the channels used as arguments",
        Reason::Auth => "no permission",
    };
    no_permission(&format!(
        "ACLs rules changed between the moment the transaction was accumulated and the EXEC call. \
         This command is no longer allowed for the following reason: {reason}"
    ))
}

/// `ACL CAT` of a category that does not exist.
pub fn acl_unknown_category(name: &[u8]) -> CommandError {
    let clipped = &name[..name.len().min(128)];
    CommandError::owned(format!("ERR Unknown category '{}'", shown(clipped)))
}

/// `ACL DRYRUN` of a user that does not exist.
pub fn acl_user_not_found(name: &[u8]) -> CommandError {
    CommandError::owned(format!("ERR User '{}' not found", shown(name)))
}

/// `ACL DRYRUN` of a command that does not exist.
pub fn acl_command_not_found(name: &[u8]) -> CommandError {
    CommandError::owned(format!("ERR Command '{}' not found", shown(name)))
}
