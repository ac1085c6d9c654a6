//! A user: passwords and selectors.

use super::password::PasswordHash;
use super::rules::{RuleContext, RuleError, join_selectors};
use super::selector::{Access, Denial, Reason, Request, Selector};

/// A user. Changed only by rules, on a copy that then takes the place of the old version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub(super) name: Box<[u8]>,
    pub(super) enabled: bool,
    pub(super) no_password: bool,
    pub(super) sanitize_payload: bool,
    pub(super) passwords: Vec<PasswordHash>,
    /// Permissions that stand outside of parentheses.
    pub(super) root: Selector,
    pub(super) selectors: Vec<Selector>,
}

/// Name of the user that every connection starts with.
pub(super) const DEFAULT: &[u8] = b"default";

impl User {
    /// A user who may do nothing and cannot log in.
    pub fn new(name: &[u8], context: &RuleContext<'_>) -> User {
        User {
            name: name.into(),
            enabled: false,
            no_password: false,
            sanitize_payload: true,
            passwords: Vec::new(),
            root: Selector::new(context),
            selectors: Vec::new(),
        }
    }

    /// The user `default` of a server without configuration: may do everything, has no password.
    pub fn all_powerful_default(context: &RuleContext<'_>) -> User {
        let mut user = User::new(DEFAULT, context);
        (user.enabled, user.no_password) = (true, true);
        user.root.all_keys = true;
        user.root.set_all_channels(true);
        user.root.commands.change_all(true);
        user
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Whether payloads it restores are checked in full where clients' payloads are.
    pub fn sanitizes_payloads(&self) -> bool {
        self.sanitize_payload
    }

    /// Whether one can log in as this user.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether any password logs in.
    pub fn needs_no_password(&self) -> bool {
        self.no_password
    }

    /// Whether a new connection may go on as this user without login.
    pub fn is_open(&self) -> bool {
        self.enabled && self.no_password
    }

    /// Hashes of the passwords.
    pub fn passwords(&self) -> &[PasswordHash] {
        &self.passwords
    }

    /// Permissions that stand outside of parentheses.
    pub fn root(&self) -> &Selector {
        &self.root
    }

    /// Permissions in parentheses.
    pub fn selectors(&self) -> &[Selector] {
        &self.selectors
    }

    pub(super) fn all_selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.selectors)
    }

    // ---- rules -----------------------------------------------------------------------------

    /// Applies rules as words, all of them or up to the first wrong one.
    pub fn apply_all(
        &mut self,
        words: &[&[u8]],
        context: &RuleContext<'_>,
    ) -> Result<(), WrongRule> {
        let rules = join_selectors(words).map_err(|open| WrongRule::Unmatched(open.to_vec()))?;
        for rule in rules {
            self.apply(&rule, context).map_err(|error| WrongRule::Refused(rule.to_vec(), error))?;
        }
        Ok(())
    }

    /// Applies one rule. After an error the user is as before.
    pub fn apply(&mut self, rule: &[u8], context: &RuleContext<'_>) -> Result<(), RuleError> {
        match rule.to_ascii_lowercase().as_slice() {
            b"" => {}
            b"on" => self.enabled = true,
            b"off" => self.enabled = false,
            b"skip-sanitize-payload" => self.sanitize_payload = false,
            b"sanitize-payload" => self.sanitize_payload = true,
            b"nopass" => self.clear_passwords(true),
            b"resetpass" => self.clear_passwords(false),
            b"clearselectors" => self.selectors.clear(),
            b"reset" => *self = User::new(&self.name, context),
            _ => {
                return match rule {
                    [b'>', password @ ..] => self.add_password(PasswordHash::of(password)),
                    [b'#', hash @ ..] => self.add_password(parse_hash(hash)?),
                    [b'<', password @ ..] => self.remove_password(&PasswordHash::of(password)),
                    [b'!', hash @ ..] => self.remove_password(&parse_hash(hash)?),
                    [b'(', .., b')'] => {
                        self.selectors.push(Selector::parse(rule, context)?);
                        Ok(())
                    }
                    _ => self.root.apply(rule, context),
                };
            }
        }
        Ok(())
    }

    fn clear_passwords(&mut self, no_password: bool) {
        self.no_password = no_password;
        self.passwords.clear();
    }

    fn add_password(&mut self, password: PasswordHash) -> Result<(), RuleError> {
        if !self.passwords.contains(&password) {
            self.passwords.push(password);
        }
        self.no_password = false;
        Ok(())
    }

    fn remove_password(&mut self, password: &PasswordHash) -> Result<(), RuleError> {
        let at = self.passwords.iter().position(|known| known == password);
        self.passwords.remove(at.ok_or(RuleError::NoSuchPassword)?);
        Ok(())
    }

    /// Gives the user this one password, or none when it is empty (`requirepass`).
    pub fn set_only_password(&mut self, password: &[u8]) {
        self.clear_passwords(password.is_empty());
        if !password.is_empty() {
            self.passwords.push(PasswordHash::of(password));
        }
    }

    // ---- checks ----------------------------------------------------------------------------

    /// Whether this password logs in. All passwords are compared, whether one fits or not.
    pub fn accepts(&self, password: &[u8]) -> bool {
        let hash = PasswordHash::of(password);
        let fits = self.passwords.iter().fold(false, |fits, known| fits | known.matches(&hash));
        self.enabled && (self.no_password || fits)
    }

    /// Whether every command is allowed and needs no further check.
    pub fn is_unrestricted(&self) -> bool {
        self.root.is_unrestricted()
    }

    /// Whether a command may run. When no selector allows it, the last argument that stopped one
    /// is told; a channel rather than a key, and a key rather than the command.
    pub fn check(&self, request: &mut Request<'_>) -> Result<(), Denial> {
        let mut told = Denial { reason: Reason::Command, index: 0 };
        for selector in self.all_selectors() {
            match selector.check(request) {
                Ok(()) => return Ok(()),
                Err(denial) if (denial.reason, denial.index) > (told.reason, told.index) => {
                    told = denial;
                }
                Err(_) => {}
            }
        }
        Err(told)
    }

    /// Whether a command may run that also accesses keys which its arguments do not name.
    pub fn check_with_every_key(&self, request: &mut Request<'_>, access: Access) -> bool {
        self.all_selectors()
            .any(|selector| selector.check(request).is_ok() && selector.allows_every_key(access))
    }
}

fn parse_hash(hash: &[u8]) -> Result<PasswordHash, RuleError> {
    PasswordHash::parse(hash).ok_or(RuleError::PasswordHash)
}

/// The rule that stopped [`User::apply_all`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WrongRule {
    /// A selector that begins with this word never ends.
    Unmatched(Vec<u8>),
    /// The rule, and what is wrong with it.
    Refused(Vec<u8>, RuleError),
}
