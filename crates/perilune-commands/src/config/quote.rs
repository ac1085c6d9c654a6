//! Quoting of words for a configuration line.

/// The double-quoted form of any bytes; `perilune_resp::split_args` gives them back.
pub fn quoted(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len() + 2);
    perilune_resp::append_quoted(&mut out, bytes);
    // What it writes is ASCII.
    out.into_iter().map(char::from).collect()
}
