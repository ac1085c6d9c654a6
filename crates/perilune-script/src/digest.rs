//! The name of a script: [`Digest`].

use sha1::{Digest as _, Sha1};
use std::fmt;

/// The SHA-1 of a script's source as 40 lower-case hexadecimal digits: its name in the cache, in
/// `EVALSHA` and in messages.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; Digest::LEN]);

impl Digest {
    /// Number of digits.
    pub const LEN: usize = 40;

    /// The digest of a source.
    pub fn of(source: &[u8]) -> Digest {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; Digest::LEN];
        for (pair, byte) in text.chunks_exact_mut(2).zip(Sha1::digest(source)) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Digest(text)
    }

    /// Reads a digest in any letter case. `None` for a text of another length; one of other
    /// characters is the digest of no source, and need not be told apart.
    #[inline]
    pub fn parse(text: &[u8]) -> Option<Digest> {
        let mut digits: [u8; Digest::LEN] = text.try_into().ok()?;
        digits.make_ascii_lowercase();
        Some(Digest(digits))
    }

    /// The digits.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        // Empty for what was parsed and is no digest.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_sha1_of_the_source() {
        let digest = Digest::of(b"return 1");
        assert_eq!(digest.as_str(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
        assert_eq!(digest.to_string(), digest.as_str());
        assert_eq!(digest.as_bytes(), digest.as_str().as_bytes());
    }

    #[test]
    fn is_read_in_any_letter_case() {
        let digest = Digest::of(b"return 1");
        let upper = digest.as_str().to_ascii_uppercase();
        assert_eq!(Digest::parse(upper.as_bytes()), Some(digest));
        assert_eq!(Digest::parse(&upper.as_bytes()[1..]), None);
        assert_eq!(Digest::parse(&[0xff; 40]).map(|digest| digest.as_str().len()), Some(0));
        assert_eq!(Digest::parse(b""), None);
    }
}
