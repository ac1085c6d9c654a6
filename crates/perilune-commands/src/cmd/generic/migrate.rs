//! `MIGRATE`: moving keys to another server.
//!
//! ```text
//! AUTH ...   SELECT db   RESTORE key ttl payload   RESTORE ...   ->
//! <-   a line for each of them, in this order
//! ```
//!
//! A key is removed here when the other server has confirmed it, so each is on one of the servers
//! at least, and others see it on one at most: everybody waits meanwhile, for as long as the
//! command's timeout per answer. What is passed on is the removal.

use crate::args::Args;
use crate::config::NotifyFlags;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::links::{KeptLink, LinkError};
use crate::spec::{BeginSearch, CommandSpec, FindKeys, KeySpec};
use perilune_rdb::dump_payload;
use perilune_resp::{ReplyWriter, encode_request};
use std::time::Duration;

pub(crate) const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "migrate",
    arity: -6,
    flags: "write",
    acl: "keyspace dangerous",
    keys: &[
        KeySpec::one("RW access delete", 3),
        KeySpec {
            flags: "RW access delete incomplete",
            begin: BeginSearch::Keyword("KEYS", -2),
            find: FindKeys::Range { last: -1, step: 1, limit: 0 },
            notes: "",
        },
    ],
    key_finder: Some(crate::keys::migrate_keys),
    since: "2.6.0",
    complexity: "O(N) with N the size of the values",
    summary: "Moves keys to another server.",
    args: "host port:int key-selector=(key:key|empty-string:'') destination-db:int timeout:int [COPY@3.0.0] [REPLACE@3.0.0] [authentication=(AUTH auth<password>@4.0.7|AUTH2 auth2@6.0.0={username password})] [KEYS keys:key#1<key>@3.0.6...]",
    tips: &["nondeterministic_output"],
    handler: migrate,
    ..CommandSpec::EMPTY
}];

/// How long to wait when the command does not say, milliseconds.
const TIMEOUT_MS_DEFAULT: i64 = 1000;

/// What is to be moved and where to.
struct Request<'a> {
    host: &'a [u8],
    port: &'a [u8],
    db: i64,
    timeout: Duration,
    copy: bool,
    replace: bool,
    /// The arguments of `AUTH`.
    login: &'a [&'a [u8]],
    keys: &'a [&'a [u8]],
}

impl<'a> Request<'a> {
    fn parse(args: Args<'a>) -> Result<Self, CommandError> {
        let all = args.all();
        let mut request = Request {
            host: args[1],
            port: args[2],
            db: 0,
            timeout: Duration::ZERO,
            copy: false,
            replace: false,
            login: &[],
            keys: &all[3..4],
        };
        let mut at = 6;
        while at < args.len() {
            if args.is(at, "copy") {
                request.copy = true;
            } else if args.is(at, "replace") {
                request.replace = true;
            } else if args.is(at, "auth") || args.is(at, "auth2") {
                let len = if args.is(at, "auth") { 1 } else { 2 };
                request.login = all.get(at + 1..at + 1 + len).ok_or(errors::SYNTAX)?;
                at += len;
            } else if args.is(at, "keys") {
                if !args[3].is_empty() {
                    return Err(errors::MIGRATE_KEYS_WITH_KEY);
                }
                request.keys = args.from(at + 1);
                break;
            } else {
                return Err(errors::SYNTAX);
            }
            at += 1;
        }
        let timeout_ms = args.int(5)?;
        let timeout_ms = if timeout_ms > 0 { timeout_ms } else { TIMEOUT_MS_DEFAULT };
        request.timeout = Duration::from_millis(timeout_ms.unsigned_abs());
        request.db = args.int(4)?;
        Ok(request)
    }
}

/// What became of a conversation in which something was confirmed or refused.
#[derive(Default)]
struct Outcome<'a> {
    /// The keys that the other server has now.
    moved: Vec<&'a [u8]>,
    /// The first error it answered with.
    refusal: Option<Vec<u8>>,
    /// It stopped answering.
    broken: bool,
}

/// Why there was no such conversation.
enum Failure {
    Connecting,
    Writing(LinkError),
    Reading(LinkError),
}

fn migrate(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let request = Request::parse(args)?;
    let mut keys = request.keys.to_vec();
    keys.retain(|key| ctx.read(key).is_some());
    if keys.is_empty() {
        out.status(b"NOKEY");
        return Ok(());
    }
    // A link that was kept may have been closed by the other side: one more try with a new one.
    let mut may_retry = true;
    let outcome = loop {
        match converse(ctx, &request, &keys) {
            Ok(outcome) => break outcome,
            Err(Failure::Connecting) => return Err(errors::MIGRATE_CONNECTING),
            Err(Failure::Writing(LinkError::Failed) | Failure::Reading(LinkError::Failed))
                if may_retry =>
            {
                may_retry = false;
            }
            Err(Failure::Writing(_)) => return Err(errors::MIGRATE_WRITING),
            Err(Failure::Reading(_)) => return Err(errors::MIGRATE_READING),
        }
    };
    if !request.copy {
        remove_moved(ctx, &outcome.moved);
    }
    if let Some(refusal) = outcome.refusal {
        return Err(errors::migrate_refused(&refusal));
    }
    if outcome.broken {
        return Err(errors::MIGRATE_READING);
    }
    out.ok();
    Ok(())
}

/// Sends the keys and hears what the other server says to each.
fn converse<'a>(
    ctx: &mut Ctx<'_>,
    request: &Request<'_>,
    keys: &[&'a [u8]],
) -> Result<Outcome<'a>, Failure> {
    let link = ctx.engine.take_link(request.host, request.port, request.timeout);
    let mut link = link.map_err(|_| Failure::Connecting)?;
    let selects = link.db != Some(request.db);
    let (bytes, sent) = encode(ctx, request, keys, selects);
    link.link.send(&bytes, request.timeout).map_err(Failure::Writing)?;
    // The answers to `AUTH` and `SELECT`: an error there is that of every key.
    let mut refusal = None;
    for _ in 0..usize::from(!request.login.is_empty()) + usize::from(selects) {
        let line = link.link.read_line(request.timeout).map_err(Failure::Reading)?;
        refusal = refusal.or_else(|| error_of(&line));
    }
    let outcome = hear(&mut link, request, &sent, refusal)?;
    if !outcome.broken {
        link.db = outcome.refusal.is_none().then_some(request.db);
        ctx.engine.keep_link(link);
    }
    Ok(outcome)
}

/// Hears the answer to each key that was sent.
fn hear<'a>(
    link: &mut KeptLink,
    request: &Request<'_>,
    sent: &[&'a [u8]],
    refusal: Option<Vec<u8>>,
) -> Result<Outcome<'a>, Failure> {
    let mut outcome = Outcome::default();
    for (index, key) in sent.iter().enumerate() {
        match link.link.read_line(request.timeout) {
            Ok(line) => match refusal.clone().or_else(|| error_of(&line)) {
                Some(error) => {
                    outcome.refusal.get_or_insert(error);
                }
                None => outcome.moved.push(key),
            },
            // As far as is known nothing has happened there.
            Err(error) if index == 0 => return Err(Failure::Reading(error)),
            Err(_) => {
                outcome.broken = true;
                break;
            }
        }
    }
    Ok(outcome)
}

/// The error that a line of the reply is.
fn error_of(line: &[u8]) -> Option<Vec<u8>> {
    line.strip_prefix(b"-").map(<[u8]>::to_vec)
}

/// The requests, and the keys that are in them: those whose time is not up.
fn encode<'a>(
    ctx: &mut Ctx<'_>,
    request: &Request<'_>,
    keys: &[&'a [u8]],
    selects: bool,
) -> (Vec<u8>, Vec<&'a [u8]>) {
    let (mut bytes, mut sent) = (Vec::new(), Vec::new());
    let mut digits = itoa::Buffer::new();
    if !request.login.is_empty() {
        let mut words: Vec<&[u8]> = vec![b"AUTH"];
        words.extend(request.login);
        encode_request(words, &mut bytes);
    }
    if selects {
        encode_request([b"SELECT", digits.format(request.db).as_bytes()], &mut bytes);
    }
    let (now_ms, compress) = (ctx.now_ms(), ctx.engine.config.rdbcompression);
    for key in keys {
        let Some(entry) = ctx.peek(key) else { continue };
        let ttl_ms = entry.expire_at().map_or(0, |at| (at - now_ms).max(1));
        let payload = dump_payload(entry.value(), compress);
        let ttl_ms = digits.format(ttl_ms).as_bytes();
        let words: [&[u8]; 5] = [b"RESTORE", key, ttl_ms, &payload, b"REPLACE"];
        encode_request(&words[..if request.replace { 5 } else { 4 }], &mut bytes);
        sent.push(*key);
    }
    (bytes, sent)
}

/// Removes the keys that are on the other server now.
fn remove_moved(ctx: &mut Ctx<'_>, moved: &[&[u8]]) {
    let lazy = ctx.engine.config.lazyfree_lazy_server_del;
    for key in moved {
        ctx.remove(key, lazy);
        ctx.modified(key, NotifyFlags::GENERIC, "del");
    }
    if !moved.is_empty() {
        let mut removal: Vec<&[u8]> = vec![b"DEL"];
        removal.extend(moved);
        ctx.propagate_as(&removal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::Link;
    use crate::test_support::TestEngine;

    #[test]
    fn arguments_are_checked_before_anything_is_sent() {
        let mut server = TestEngine::new();
        let client = server.client();
        server.run(client, "SET k v");
        for (command, reply) in [
            ("MIGRATE h 1 missing 0 10", "+NOKEY\r\n"),
            ("MIGRATE h 1 k 0 10 KEYS a", {
                "-ERR When using MIGRATE KEYS option, the key argument must be set to the empty string\r\n"
            }),
            ("MIGRATE h 1 k 0 10 AUTH", "-ERR syntax error\r\n"),
            ("MIGRATE h 1 k 0 10 AUTH2 user", "-ERR syntax error\r\n"),
            ("MIGRATE h 1 k x 10", "-ERR value is not an integer or out of range\r\n"),
            ("MIGRATE h 1 k 0 10", "-IOERR error or timeout connecting to the client\r\n"),
        ] {
            assert_eq!(server.run(client, command), reply, "{command}");
        }
        assert_eq!(server.run(client, "EXISTS k"), ":1\r\n");
    }

    /// A server that says what it was told to, and then hangs up.
    struct Script(Vec<&'static str>);

    impl Link for Script {
        fn send(&mut self, _: &[u8], _: Duration) -> Result<(), LinkError> {
            Ok(())
        }

        fn read_line(&mut self, _: Duration) -> Result<Vec<u8>, LinkError> {
            if self.0.is_empty() {
                return Err(LinkError::Failed);
            }
            Ok(self.0.remove(0).as_bytes().to_vec())
        }
    }

    /// What `MIGRATE` of the keys a, b and c says to such a server, and the keys left here.
    fn migrated(lines: &[&'static str]) -> (String, String, usize) {
        let mut server = TestEngine::new();
        let client = server.client();
        server.run(client, "MSET a 1 b 2 c 3");
        server.engine.keep_link_for_test(b"h", b"1", Box::new(Script(lines.to_vec())));
        let reply = server.run_words(
            client,
            &[b"MIGRATE", b"h", b"1", b"", b"0", b"10", b"KEYS", b"a", b"b", b"c"],
        );
        let left = server.run(client, "EXISTS a b c");
        (String::from_utf8_lossy(&reply).into_owned(), left, server.engine.links.len())
    }

    #[test]
    fn only_confirmed_keys_are_removed() {
        let all = migrated(&["+OK", "+OK", "+OK", "+OK"]);
        assert_eq!(all, ("+OK\r\n".into(), ":0\r\n".into(), 1));
        let refused = migrated(&["+OK", "+OK", "-BUSYKEY there", "+OK"]);
        let error = "-ERR Target instance replied with error: BUSYKEY there\r\n";
        assert_eq!(refused, (error.into(), ":1\r\n".into(), 1));
        let cut = migrated(&["+OK", "+OK"]);
        let error = "-IOERR error or timeout reading to target instance\r\n";
        assert_eq!(cut, (error.into(), ":2\r\n".into(), 0));
        // Nothing was confirmed: one more try, with a new link that cannot be had here.
        let silent = migrated(&["+OK"]);
        let error = "-IOERR error or timeout connecting to the client\r\n";
        assert_eq!(silent, (error.into(), ":3\r\n".into(), 0));
    }
}
