//! Changes of users, and what becomes of the connections that are logged in as them.

use super::file;
use super::rules::RuleContext;
use super::user::{User, WrongRule};
use crate::config::{AclPubsubDefault, Config};
use crate::engine::Engine;
use crate::session::{ClientSlot, Session};
use crate::table::CommandTable;
use perilune_script::LogLevel;
use std::sync::Arc;

impl<'a> RuleContext<'a> {
    /// The context of a server.
    pub fn new(commands: &'a CommandTable, config: &Config) -> Self {
        let all_channels_at_first = config.acl_pubsub_default == AclPubsubDefault::AllChannels;
        RuleContext { commands, all_channels_at_first }
    }
}

impl Engine {
    /// `ACL SETUSER`: makes a user or changes one, by all the rules or by none.
    pub(crate) fn change_user(&mut self, name: &[u8], rules: &[&[u8]]) -> Result<(), WrongRule> {
        let context = RuleContext::new(&self.commands, &self.config);
        let known = self.acl.get(name);
        let mut user = match known {
            Some(known) => User::clone(known),
            None => User::new(name, &context),
        };
        user.apply_all(rules, &context)?;
        if let Some(known) = known.cloned() {
            self.close_unlawful_subscribers(&known, &user);
        }
        self.put_user(user);
        Ok(())
    }

    /// Lets `requirepass` take effect.
    pub(crate) fn change_default_password(&mut self) {
        let mut user = User::clone(self.acl.default_user());
        user.set_only_password(&self.config.requirepass);
        self.put_user(user);
    }

    /// Puts a version of a user in the place of the one before, also in all sessions.
    fn put_user(&mut self, user: User) {
        let user = Arc::new(user);
        for slot in self.clients_of(user.name()) {
            if let Some(session) = self.sessions.get_mut(slot) {
                session.set_user(Arc::clone(&user));
            }
        }
        self.acl.insert(user);
    }

    /// The sessions of a user, that of scripts included.
    fn clients_of(&self, name: &[u8]) -> Vec<ClientSlot> {
        let is_theirs = |session: &Session| session.belongs_to(name);
        let script = self.sessions.get(ClientSlot::SCRIPT).filter(|session| is_theirs(session));
        let clients = self.sessions.iter().filter(|(_, session)| is_theirs(session));
        script
            .map(|_| ClientSlot::SCRIPT)
            .into_iter()
            .chain(clients.map(|(slot, _)| slot))
            .collect()
    }

    /// Removes a user and closes its connections. False when there is none of this name.
    pub(crate) fn remove_user(&mut self, name: &[u8]) -> bool {
        let removed = self.acl.remove(name);
        if removed {
            self.close_clients_of(name);
        }
        removed
    }

    /// Closes the connections of a user. They lose its rights at once, whenever they notice.
    fn close_clients_of(&mut self, name: &[u8]) {
        for client in self.clients_of(name) {
            self.forget_login(client);
            if client == ClientSlot::SCRIPT {
                // It keeps the rights of its last caller until the next one, and is no connection.
                continue;
            }
            if let Some(session) = self.sessions.get_mut(client) {
                session.authenticated = false;
            }
            self.close(client);
        }
    }

    /// Closes a client; the one whose command runs gets its reply first.
    fn close(&mut self, client: ClientSlot) {
        if self.current_client != Some(client) {
            self.kill(client);
        } else if let Some(session) = self.sessions.get_mut(client) {
            session.close_after_reply = true;
        }
    }

    /// Closes the subscribers of a user whose new version may not listen to what they listen to.
    fn close_unlawful_subscribers(&mut self, old: &User, new: &User) {
        if new.all_selectors().any(|selector| selector.all_channels) {
            return;
        }
        let kept = |pattern: &[u8]| {
            new.all_selectors().any(|s| s.channels.iter().any(|known| **known == *pattern))
        };
        let keeps_all = old
            .all_selectors()
            .all(|s| !s.all_channels && s.channels.iter().all(|pattern| kept(pattern)));
        if keeps_all {
            return;
        }
        for client in self.clients_of(old.name()) {
            let unlawful = self.sessions.get(client).is_some_and(|session| {
                let allows = |name: &[u8], is_pattern| {
                    new.all_selectors().any(|s| s.allows_channel(name, is_pattern))
                };
                let channels = session.channels.iter().chain(&session.shard_channels);
                !session.is_replica()
                    && (session.patterns.iter().any(|pattern| !allows(pattern, true))
                        || channels.into_iter().any(|channel| !allows(channel, false)))
            });
            if unlawful {
                self.close(client);
            }
        }
    }

    /// `ACL LOAD`: the users of the ACL file take the place of all others. `Err` lists what is
    /// wrong with the file, and then nothing has changed.
    pub(crate) fn load_acl_file(&mut self) -> Result<(), String> {
        let path = self.config.aclfile.clone();
        let text = self
            .env
            .read_file(&path)
            .map_err(|reason| format!("Error loading ACLs, opening file '{path}': {reason}"))?;
        let context = RuleContext::new(&self.commands, &self.config);
        let mut users = file::parse(&text, &path, &context)?;
        if !users.iter().any(|user| user.name() == self.acl.default_user().name()) {
            users.push(Arc::new(User::all_powerful_default(&context)));
        }
        let gone: Vec<Box<[u8]>> = self.acl.iter().map(|user| user.name().into()).collect();
        self.acl.clear();
        for user in users {
            self.acl.insert(user);
        }
        let default = Arc::clone(self.acl.default_user());
        for name in gone.iter().filter(|name| ***name != *default.name()) {
            self.close_clients_of(name);
        }
        self.put_user(User::clone(&default));
        Ok(())
    }

    /// Tells the log about users that cannot log in, which may be meant or forgotten.
    pub(crate) fn warn_of_disabled_users(&mut self) {
        for user in self.acl.iter().filter(|user| !user.is_enabled()) {
            let name = String::from_utf8_lossy(user.name());
            let message = format!(
                "The user '{name}' is disabled (there is no 'on' modifier in the user \
                 description). Make sure this is not a configuration error."
            );
            self.env.log(LogLevel::Notice, &message);
        }
    }

    /// `ACL SAVE`.
    pub(crate) fn save_acl_file(&mut self) -> Result<(), String> {
        let mut text = Vec::new();
        for user in self.acl.iter() {
            text.extend(user.file_line());
            text.push(b'\n');
        }
        self.env.replace_file(&self.config.aclfile, &text)
    }
}
