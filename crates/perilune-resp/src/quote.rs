//! Printing of binary strings in double quotes, which [`split_args`](crate::split_args) undoes.

/// Appends `text` in double quotes with C-like escapes, as Redis prints strings in `MONITOR` lines,
/// configuration files and manifests.
///
/// ```
/// let mut line = Vec::new();
/// perilune_resp::append_quoted(&mut line, b"a \"b\"\n");
/// assert_eq!(line, br#""a \"b\"\n""#);
/// ```
pub fn append_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for &byte in text {
        match byte {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x07 => out.extend_from_slice(b"\\a"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x20..=0x7e => out.push(byte),
            _ => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_is_not_printable_and_splits_back() {
        let mut out = Vec::new();
        append_quoted(&mut out, b"a\"\\\n\x00\xff");
        assert_eq!(out, br#""a\"\\\n\x00\xff""#);
        let every: Vec<u8> = (0..=255).collect();
        let mut out = Vec::new();
        append_quoted(&mut out, &every);
        assert_eq!(crate::split_args(&out), Some(vec![every]));
    }
}
