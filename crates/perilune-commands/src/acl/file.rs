//! The ACL file: a line `user name rules` per user, as text.

use super::rules::{RuleContext, RuleError, has_spaces, join_selectors};
use super::user::User;
use crate::errors;
use std::sync::Arc;

/// Reads an ACL file. `Err` lists everything that is wrong with it; `path` is how errors name it.
pub(super) fn parse(
    text: &[u8],
    path: &str,
    context: &RuleContext<'_>,
) -> Result<Vec<Arc<User>>, String> {
    let mut users: Vec<Arc<User>> = Vec::new();
    let mut wrong = String::new();
    for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let place = format!("{path}:{}", at + 1);
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let [b"user", name, rules @ ..] = &words[..] else {
            wrong += &format!("{place} should start with user keyword followed by the username. ");
            continue;
        };
        let shown = String::from_utf8_lossy(name);
        if has_spaces(name) {
            wrong += &format!("'{place}: username '{shown}' contains invalid characters. ");
            continue;
        }
        if users.iter().any(|user| user.name() == *name) {
            let line = at + 1;
            wrong += &format!("WARNING: Duplicate user '{shown}' found on line {line}. ");
            continue;
        }
        let mut user = User::new(name, context);
        wrong += &apply(&mut user, rules, &place, context);
        users.push(Arc::new(user));
    }
    match wrong.is_empty() {
        true => Ok(users),
        false => Err(wrong + errors::ACL_FILE_UNCHANGED),
    }
}

/// Applies the rules of a line and tells what is wrong with them: every unknown command, and the
/// first of other errors, without the rule, which may be a password.
fn apply(user: &mut User, words: &[&[u8]], place: &str, context: &RuleContext<'_>) -> String {
    let Ok(rules) = join_selectors(words) else {
        return format!("{place}: Unmatched parenthesis in selector definition.");
    };
    let mut wrong = String::new();
    let mut told = false;
    for rule in rules {
        let rule = trimmed(&rule);
        let Err(error) = user.apply(rule, context) else { continue };
        let reason = errors::acl_rule_reason(error);
        if error == RuleError::UnknownCommand {
            let rule = String::from_utf8_lossy(rule);
            wrong += &format!("{place}: Error in applying operation '{rule}': {reason}. ");
        } else if !std::mem::replace(&mut told, true) {
            wrong += &format!("{place}: {reason}. ");
        }
    }
    wrong
}

fn trimmed(mut rule: &[u8]) -> &[u8] {
    while let [b'\t' | b'\r' | b'\n', rest @ ..] | [rest @ .., b'\t' | b'\r' | b'\n'] = rule {
        rule = rest;
    }
    rule
}
