//! Which Redis can be the other side, and what is left of the comparison with an older one.
//!
//! Our behaviour is that of Redis 7.2. Many machines have a 7.0, with which most can be compared:
//! not what 7.2 changed on purpose. The commands that are about such a thing are listed here with
//! the reason; numbers are compared as numbers, because 7.0 writes doubles with 17 digits; and of
//! the data sets only what clients can read is compared, because encodings and payloads are others.
//!
//! Before 7.0 a server cannot be told to allow the debugging commands.

use super::catalogue::reason;

/// A version of Redis: major and minor.
pub type Version = [u32; 2];

/// The one whose behaviour is ours.
pub const CURRENT: Version = [7, 2];

/// The first that can be compared with.
pub(super) const OLDEST: Version = [7, 0];

/// Reasons, and the commands that are not compared with 7.0 for them. A `*` stands for anything.
const OTHERS_IN_7_0: &[(&str, &[&str])] = &[
    (
        "since 7.2 short lists and sets are listpacks, and payloads have another version",
        &["object|encoding", "object|refcount", "dump", "restore*", "debug", "memory|usage"],
    ),
    (
        "since 7.2 scripts may call commands that wait, and those do not wait there",
        &["bl*", "br*", "bz*", "xread", "wait"],
    ),
    (
        "since 7.2 a consumer comes into being before there is something to read for it",
        &["xreadgroup", "xclaim", "xautoclaim", "xinfo|*", "xgroup|*", "xpending"],
    ),
    ("since 7.2 a refusal names the user, and rules are told as they were given", &["acl|*"]),
    ("since 7.2 there is an option, which other texts about arguments follow from", &["z*rank"]),
    ("since 7.2 there are limits for sets in listpacks", &["config|*"]),
    ("the payloads for it are those of 7.2", &["function|restore"]),
    ("7.2 refuses a command without keys with another text", &["command|getkeys*"]),
    ("7.2 refuses a name with other characters with another text", &["client|setname"]),
    ("7.0 overflows on the least rank", &["lpos"]),
];

/// Why a command is not compared with a Redis of this version, if it is not.
pub(super) fn left_out(name: &str, version: Version) -> Option<&'static str> {
    reason(OTHERS_IN_7_0, name).filter(|_| version < CURRENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_left_out_against_older_versions_only() {
        for name in ["zrank", "blpop", "config|get", "xinfo|stream"] {
            assert!(left_out(name, OLDEST).is_some(), "{name}");
            assert_eq!(left_out(name, CURRENT), None);
        }
        assert_eq!(left_out("zrange", OLDEST), None);
    }
}
