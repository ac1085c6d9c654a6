//! Checks of single text parameters beyond their type.

fn is_base_name(value: &[u8]) -> bool {
    !value.iter().any(|byte| matches!(byte, b'/' | b'\\'))
}

pub(super) fn dbfilename(value: &[u8]) -> Result<(), &'static str> {
    is_base_name(value).then_some(()).ok_or("dbfilename can't be a path, just a filename")
}

pub(super) fn appendfilename(value: &[u8]) -> Result<(), &'static str> {
    if value.is_empty() {
        return Err("appendfilename can't be empty");
    }
    is_base_name(value).then_some(()).ok_or("appendfilename can't be a path, just a filename")
}

pub(super) fn appenddirname(value: &[u8]) -> Result<(), &'static str> {
    if value.is_empty() {
        return Err("appenddirname can't be empty");
    }
    is_base_name(value).then_some(()).ok_or("appenddirname can't be a path, just a dirname")
}

/// Longest host name a node may announce, terminator included.
const HOSTNAME_BYTES_MAX: usize = 256;

pub(super) fn hostname(value: &[u8]) -> Result<(), &'static str> {
    if value.len() >= HOSTNAME_BYTES_MAX {
        return Err("Hostnames must be less than 256 characters");
    }
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let valid = value.iter().all(allowed);
    valid.then_some(()).ok_or("Hostnames may only contain alphanumeric characters, hyphens or dots")
}

/// Bytes that would break the line format of a cluster's node file.
const NODENAME_FORBIDDEN: &[u8] = b"!#$%&()*+:;<>?@[]^{|}~\0";

pub(super) fn nodename(value: &[u8]) -> Result<(), &'static str> {
    let valid = !value.iter().any(|byte| NODENAME_FORBIDDEN.contains(byte));
    valid.then_some(()).ok_or("Announced human node name contained invalid character")
}

/// Variables a process title may use.
const TITLE_VARIABLES: [&str; 7] =
    ["title", "listen-addr", "server-mode", "port", "tls-port", "unixsocket", "config-file"];

pub(super) fn proc_title(value: &[u8]) -> Result<(), &'static str> {
    let text = std::str::from_utf8(value).map_err(|_| super::error::NOT_UTF8)?;
    is_title_template(text)
        .then_some(())
        .ok_or("template format is invalid or contains unknown variables")
}

/// Whether every `{` is doubled or opens a known variable, and something would be printed.
fn is_title_template(text: &str) -> bool {
    let mut rest = text;
    let mut prints = false;
    while let Some((before, after)) = rest.split_once('{') {
        prints |= !before.trim_matches(' ').is_empty();
        if let Some(after_quoted) = after.strip_prefix('{') {
            prints = true;
            rest = after_quoted;
            continue;
        }
        let Some((variable, tail)) = after.split_once('}') else { return false };
        if !TITLE_VARIABLES.contains(&variable) {
            return false;
        }
        // These are never empty; the others depend on how the server runs.
        prints |= matches!(variable, "listen-addr" | "config-file" | "port" | "tls-port");
        rest = tail;
    }
    prints || !rest.trim_matches(' ').is_empty()
}
