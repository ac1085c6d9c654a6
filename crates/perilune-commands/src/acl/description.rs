//! Users as rules: `ACL LIST`, the ACL file and `user` lines of a configuration file.
//!
//! Applying the rules of a description to a fresh user gives an equal user. Where the text of
//! Redis would be read back as something else, a word differs from it: a word of a selector that
//! holds quotes or ends in a parenthesis stands in quotes, and a pattern `*` with further ones
//! behind it is written `%RW~*`, because behind `~*` they would be refused.

use super::selector::{Access, KeyPattern, Selector};
use super::user::User;
use crate::config::quoted;

impl KeyPattern {
    fn word(&self) -> Vec<u8> {
        let sign: &[u8] = match self.access {
            Access::READ => b"%R~",
            Access::WRITE => b"%W~",
            _ => b"~",
        };
        [sign, &self.pattern].concat()
    }
}

impl Selector {
    /// The rules about keys.
    pub fn key_words(&self) -> Vec<Vec<u8>> {
        match self.all_keys {
            true => vec![b"~*".to_vec()],
            false => self.keys.iter().map(KeyPattern::word).collect(),
        }
    }

    /// The rules about channels, without the one that clears them.
    pub fn channel_words(&self) -> Vec<Vec<u8>> {
        match self.all_channels {
            true => vec![b"&*".to_vec()],
            false => self.channels.iter().map(|pattern| [b"&", &**pattern].concat()).collect(),
        }
    }

    /// The rules about commands.
    pub fn command_words(&self) -> Vec<Vec<u8>> {
        self.commands.words().collect()
    }

    fn words(&self) -> Vec<Vec<u8>> {
        let mut words = self.key_words();
        if words.len() > 1 {
            // Nothing may stand behind `~*`.
            words
                .iter_mut()
                .filter(|word| **word == b"~*")
                .for_each(|word| *word = b"%RW~*".into());
        }
        if !self.all_channels {
            words.push(b"resetchannels".to_vec());
        }
        words.extend(self.channel_words());
        words.extend(self.command_words());
        words
    }

    /// The selector in parentheses.
    fn word(&self) -> Vec<u8> {
        let words: Vec<Vec<u8>> = self.words().into_iter().map(protected).collect();
        [b"(", &*words.join(&b' '), b")"].concat()
    }
}

/// A word of a selector so that it is read back as it is.
fn protected(word: Vec<u8>) -> Vec<u8> {
    let mistakable = word.ends_with(b")") || word.iter().any(|byte| matches!(byte, b'"' | b'\''));
    if mistakable { quoted(&word).into_bytes() } else { word }
}

impl User {
    /// What is shown as flags.
    pub fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec![if self.enabled { "on" } else { "off" }];
        flags.extend(self.no_password.then_some("nopass"));
        flags.push(match self.sanitize_payload {
            true => "sanitize-payload",
            false => "skip-sanitize-payload",
        });
        flags
    }

    fn words(&self) -> Vec<Vec<u8>> {
        let mut words: Vec<Vec<u8>> =
            self.flags().iter().map(|flag| flag.as_bytes().to_vec()).collect();
        words.extend(self.passwords.iter().map(|hash| format!("#{hash}").into_bytes()));
        words.extend(self.root.words());
        words.extend(self.selectors.iter().map(Selector::word));
        words
    }

    /// The rules that make this user out of a fresh one.
    pub fn describe(&self) -> Vec<u8> {
        self.words().join(&b' ')
    }

    /// The line of an ACL file: `user name rules`.
    pub fn file_line(&self) -> Vec<u8> {
        [b"user ", &*self.name, b" ", &*self.describe()].concat()
    }

    /// The arguments of a `user` line in a configuration file, where words may need quotes.
    pub fn config_line(&self) -> String {
        let plain = |word: &[u8]| {
            let text = std::str::from_utf8(word).ok()?;
            let harmless =
                |byte: u8| (b' '..=b'~').contains(&byte) && !matches!(byte, b'"' | b'\'');
            (!word.is_empty() && word.iter().copied().all(harmless)).then(|| text.to_owned())
        };
        let mut words = vec![self.name.to_vec()];
        words.extend(self.words());
        let words = words.iter().map(|word| plain(word).unwrap_or_else(|| quoted(word)));
        words.collect::<Vec<_>>().join(" ")
    }
}
