//! Commands about the connection itself: authentication, protocol, database.

use crate::args::Args;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::session::ReplyMode;
use crate::spec::CommandSpec;
use perilune_keyspace::Bytes;
use perilune_resp::{Protocol, ReplyWriter};

/// The version of Redis whose behaviour is followed, as `HELLO` and `INFO` report it: clients
/// choose features by it.
pub(crate) const REDIS_VERSION: &str = "7.2.4";

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "auth",
        arity: -2,
        flags: "noscript loading stale fast no_auth allow_busy",
        acl: "connection",
        group: "connection",
        complexity: "O(N) with N the number of passwords of the user",
        summary: "Proves who the connection is.",
        args: "[username@6.0.0] password",
        handler: auth,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "echo",
        arity: 2,
        flags: "loading stale fast",
        acl: "connection",
        group: "connection",
        complexity: "O(1)",
        summary: "Answers its argument.",
        args: "message",
        handler: echo,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "hello",
        flags: "noscript loading stale fast no_auth allow_busy",
        acl: "connection",
        since: "6.0.0",
        group: "connection",
        complexity: "O(1)",
        summary: "Chooses the protocol version, optionally with login and name.",
        args: "[arguments={protover:int [AUTH auth={username password}] [SETNAME clientname]}]",
        handler: hello,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "ping",
        flags: "fast",
        acl: "connection",
        group: "connection",
        complexity: "O(1)",
        summary: "Answers, to show that the server is alive.",
        args: "[message]",
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        handler: ping,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "quit",
        flags: "noscript loading stale fast no_auth allow_busy",
        acl: "connection",
        group: "connection",
        complexity: "O(1)",
        summary: "Closes the connection.",
        deprecated: Some(("7.2.0", "just closing the connection")),
        handler: quit,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "reset",
        arity: 1,
        flags: "noscript loading stale fast no_auth allow_busy",
        acl: "connection",
        since: "6.2.0",
        group: "connection",
        complexity: "O(1)",
        summary: "Brings the connection back to the state of a new one.",
        handler: reset,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "select",
        arity: 2,
        flags: "loading stale fast",
        acl: "connection",
        group: "connection",
        complexity: "O(1)",
        summary: "Chooses the database of the connection.",
        args: "index:int",
        handler: select,
        ..CommandSpec::EMPTY
    },
];

fn auth(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let (user, password) = match args.len() {
        2 if ctx.engine.acl.default_user().needs_no_password() => {
            return Err(errors::AUTH_NO_PASSWORD);
        }
        2 => (&b"default"[..], args[1]),
        3 => (args[1], args[2]),
        _ => return Err(errors::SYNTAX),
    };
    ctx.engine.authenticate(ctx.client, user, password, args.name())?;
    out.ok();
    Ok(())
}

fn echo(_: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    out.bulk(args[1]);
    Ok(())
}

fn ping(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    if args.len() > 2 {
        return Err(errors::wrong_arity(b"ping"));
    }
    if ctx.session().is_some_and(|session| session.subscriber_only()) {
        out.array(2);
        out.bulk(b"pong");
        out.bulk(args.get(1).unwrap_or_default());
    } else {
        match args.get(1) {
            Some(message) => out.bulk(message),
            None => out.status(b"PONG"),
        }
    }
    Ok(())
}

/// What `HELLO` was asked for.
#[derive(Default)]
struct Hello<'a> {
    protocol: Option<Protocol>,
    auth: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

fn parse_hello<'a>(args: Args<'a>) -> Result<Hello<'a>, CommandError> {
    let mut hello = Hello::default();
    if args.len() > 1 {
        hello.protocol = match args.int(1).map_err(|_| errors::PROTOCOL_NOT_AN_INTEGER)? {
            2 => Some(Protocol::Resp2),
            3 => Some(Protocol::Resp3),
            _ => return Err(errors::NOPROTO),
        };
    }
    let mut at = 2;
    while at < args.len() {
        let more = args.len() - at - 1;
        if args.is(at, "auth") && more >= 2 {
            hello.auth = Some((args[at + 1], args[at + 2]));
            at += 3;
        } else if args.is(at, "setname") && more >= 1 {
            check_client_name(args[at + 1])?;
            hello.name = Some(args[at + 1]);
            at += 2;
        } else {
            return Err(errors::hello_option(args[at]));
        }
    }
    Ok(hello)
}

fn hello(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let hello = parse_hello(args)?;
    if let Some((user, password)) = hello.auth {
        ctx.engine.authenticate(ctx.client, user, password, args.name())?;
    }
    let Some(session) = ctx.session() else { return Err(errors::NOAUTH) };
    if !session.authenticated {
        return Err(errors::HELLO_NOAUTH);
    }
    if let Some(name) = hello.name {
        session.name = Bytes::new(name);
    }
    if let Some(protocol) = hello.protocol {
        session.protocol = protocol;
        out.set_protocol(protocol);
    }
    let (id, protocol) = (session.id, session.protocol);
    out.map(7);
    out.bulk(b"server");
    out.bulk(b"redis");
    out.bulk(b"version");
    out.bulk(REDIS_VERSION.as_bytes());
    out.bulk(b"proto");
    out.int(if protocol == Protocol::Resp3 { 3 } else { 2 });
    out.bulk(b"id");
    out.int(id as i64);
    out.bulk(b"mode");
    out.bulk(b"standalone");
    out.bulk(b"role");
    out.bulk(if ctx.engine.replication.is_replica() { b"replica" } else { b"master" });
    out.bulk(b"modules");
    out.array(0);
    Ok(())
}

/// A name must be printable and without spaces, or `CLIENT LIST` could not be read any more.
pub(crate) fn check_client_name(name: &[u8]) -> Result<(), CommandError> {
    // As in Redis a NUL byte hides the rest from this check.
    match name.iter().take_while(|byte| **byte != 0).all(u8::is_ascii_graphic) {
        true => Ok(()),
        false => Err(errors::CLIENT_NAME),
    }
}

fn quit(ctx: &mut Ctx<'_>, _: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    if let Some(session) = ctx.session() {
        session.close_after_reply = true;
    }
    out.ok();
    Ok(())
}

fn reset(ctx: &mut Ctx<'_>, _: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    ctx.engine.discard_transaction(ctx.client);
    ctx.engine.unsubscribe_all(ctx.client);
    ctx.engine.stop_monitoring(ctx.client);
    ctx.engine.stop_tracking(ctx.client);
    ctx.select(0);
    ctx.engine.forget_login(ctx.client);
    if let Some(session) = ctx.session() {
        session.protocol = Protocol::Resp2;
        session.name = Bytes::new(b"");
        if session.reply_mode != ReplyMode::Skip {
            session.reply_mode = ReplyMode::On;
        }
        session.no_evict = false;
        session.no_touch = false;
    }
    out.set_protocol(Protocol::Resp2);
    out.status(b"RESET");
    Ok(())
}

fn select(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let index = args.int(1).map_err(|_| errors::NOT_AN_INTEGER)?;
    match usize::try_from(index) {
        Ok(index) if index < ctx.engine.keyspace.count() => ctx.select(index),
        _ => return Err(errors::DB_OUT_OF_RANGE),
    }
    out.ok();
    Ok(())
}
