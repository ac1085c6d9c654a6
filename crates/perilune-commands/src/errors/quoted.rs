//! Error texts with parts that a peer sent, byte by byte as it sent them.

use std::borrow::Cow;

/// Error texts quote what a peer sent, which may be any bytes. In here those beyond ASCII stand as
/// characters of a private plane from this one on, and [`bytes`] turns them back.
const ESCAPED: u32 = 0x10_FF00;

/// What a peer sent as part of an error text: up to its first NUL byte, which ends it in Redis.
pub(crate) fn shown(sent: &[u8]) -> Cow<'_, str> {
    let end = sent.iter().position(|byte| *byte == 0).unwrap_or(sent.len());
    let sent = &sent[..end];
    if let (true, Ok(text)) = (sent.is_ascii(), std::str::from_utf8(sent)) {
        return Cow::Borrowed(text);
    }
    let escaped = |byte: &u8| match byte {
        0..=0x7F => char::from(*byte),
        _ => char::from_u32(ESCAPED + u32::from(*byte)).unwrap_or(char::REPLACEMENT_CHARACTER),
    };
    Cow::Owned(sent.iter().map(escaped).collect())
}

/// A text with all quoted parts as they were sent.
pub(super) fn bytes(text: &str) -> Cow<'_, [u8]> {
    if text.is_ascii() {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        match u32::from(character).checked_sub(ESCAPED).and_then(|byte| u8::try_from(byte).ok()) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Cow::Owned(bytes)
}

#[cfg(test)]
mod tests {
    use crate::errors::unknown_pfdebug_subcommand;

    #[test]
    fn what_a_peer_sent_is_quoted_byte_by_byte_up_to_a_nul() {
        let error = |sent: &[u8]| unknown_pfdebug_subcommand(sent).bytes().into_owned();
        assert_eq!(error(b"\xff\x80x"), b"ERR Unknown PFDEBUG subcommand '\xff\x80x'");
        assert_eq!(
            error("\u{e9}".as_bytes()),
            "ERR Unknown PFDEBUG subcommand '\u{e9}'".as_bytes()
        );
        assert_eq!(error(b"a\0b"), b"ERR Unknown PFDEBUG subcommand 'a'");
    }
}
