//! All users of a server.

use super::log::AclLog;
use super::rules::{RuleContext, has_spaces};
use super::user::{DEFAULT, User, WrongRule};
use crate::config::Config;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How often something was refused, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeniedCounts {
    /// Logins.
    pub auth: u64,
    /// Commands.
    pub command: u64,
    /// Keys.
    pub key: u64,
    /// Channels.
    pub channel: u64,
}

/// The users and the record of refusals. The user `default` always exists.
#[derive(Debug)]
pub struct Acl {
    default: Arc<User>,
    others: BTreeMap<Box<[u8]>, Arc<User>>,
    /// `ACL LOG`.
    pub log: AclLog,
    /// Refusals since the last `CONFIG RESETSTAT`.
    pub denied: DeniedCounts,
}

impl Acl {
    /// A server's users before its configuration declares any.
    pub fn new(context: &RuleContext<'_>) -> Acl {
        Acl {
            default: Arc::new(User::all_powerful_default(context)),
            others: BTreeMap::new(),
            log: AclLog::default(),
            denied: DeniedCounts::default(),
        }
    }

    /// The same users with a record of their own, for a copy of the engine.
    pub(crate) fn copy_of_users(&self) -> Acl {
        Acl {
            default: Arc::clone(&self.default),
            others: self.others.clone(),
            log: AclLog::default(),
            denied: DeniedCounts::default(),
        }
    }

    /// The user that every connection starts with.
    pub fn default_user(&self) -> &Arc<User> {
        &self.default
    }

    /// The user of this name.
    pub fn get(&self, name: &[u8]) -> Option<&Arc<User>> {
        if name == DEFAULT { Some(&self.default) } else { self.others.get(name) }
    }

    /// All users, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<User>> {
        let before = self.others.values().take_while(|user| user.name() < DEFAULT);
        let behind = self.others.values().skip_while(|user| user.name() < DEFAULT);
        before.chain([&self.default]).chain(behind)
    }

    /// Number of users.
    pub fn count(&self) -> usize {
        self.others.len() + 1
    }

    /// Puts a user in, in the place of an earlier version.
    pub(super) fn insert(&mut self, user: Arc<User>) {
        if user.name() == DEFAULT {
            self.default = user;
        } else {
            self.others.insert(user.name().into(), user);
        }
    }

    /// Takes a user out. The user `default` stays.
    pub(super) fn remove(&mut self, name: &[u8]) -> bool {
        self.others.remove(name).is_some()
    }

    /// Takes all users out but the user `default`.
    pub(super) fn clear(&mut self) {
        self.others.clear();
    }

    /// Arguments of the `user` lines of a configuration file; none when users are in an ACL file.
    pub(crate) fn config_lines(&self, config: &Config) -> Vec<String> {
        match config.aclfile.is_empty() {
            true => self.iter().map(|user| user.config_line()).collect(),
            false => Vec::new(),
        }
    }

    /// Lets `requirepass` take effect on a server without clients.
    pub(crate) fn set_default_password(&mut self, password: &[u8]) {
        Arc::make_mut(&mut self.default).set_only_password(password);
    }

    /// Takes in the users that `user` lines of the configuration declare; `Err` says what is wrong
    /// with one of them.
    pub(crate) fn declare(
        &mut self,
        declared: &[Vec<Vec<u8>>],
        context: &RuleContext<'_>,
    ) -> Result<(), String> {
        let wrong = |rule: &[u8], what: &str| {
            let rule = String::from_utf8_lossy(rule);
            Err(format!("Error in user declaration '{rule}': {what}"))
        };
        for (at, words) in declared.iter().enumerate() {
            let Some((name, rules)) = words.split_first() else { continue };
            if declared[..at].iter().any(|earlier| earlier.first() == Some(name)) {
                return wrong(name, crate::errors::ACL_DUPLICATE_USER);
            }
            if has_spaces(name) {
                return Err("Spaces not allowed in ACL usernames".into());
            }
            let mut user = User::new(name, context);
            let rules: Vec<&[u8]> = rules.iter().map(Vec::as_slice).collect();
            match user.apply_all(&rules, context) {
                Ok(()) => self.insert(Arc::new(user)),
                Err(WrongRule::Unmatched(word)) => {
                    return wrong(&word, crate::errors::ACL_UNMATCHED);
                }
                Err(WrongRule::Refused(rule, error)) => {
                    return wrong(&unsecret(&rule), crate::errors::acl_rule_reason(error));
                }
            }
        }
        Ok(())
    }
}

/// A rule as it may appear in a log: without the password it may hold.
fn unsecret(rule: &[u8]) -> Vec<u8> {
    match rule {
        [sign @ (b'>' | b'<' | b'#' | b'!'), _, ..] => [&[*sign][..], b"(redacted)"].concat(),
        rule => rule.to_vec(),
    }
}
