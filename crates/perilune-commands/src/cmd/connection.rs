//! Commands about the connection itself.

use crate::args::Args;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::CommandSpec;
use perilune_resp::{Protocol, ReplyWriter};

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "echo",
        arity: 2,
        flags: "loading stale fast",
        acl: "connection",
        group: "connection",
        complexity: "O(1)",
        summary: "Sends its argument back.",
        args: "message",
        handler: echo,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "ping",
        arity: -1,
        flags: "fast",
        acl: "connection",
        group: "connection",
        complexity: "O(1)",
        summary: "Shows that the server is alive, or sends its argument back.",
        args: "[message]",
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        handler: ping,
        ..CommandSpec::EMPTY
    },
];

fn echo(_: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    out.bulk(args[1]);
    Ok(())
}

fn ping(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    if args.len() > 2 {
        return Err(errors::wrong_arity(b"ping"));
    }
    let subscribed = ctx.session().is_some_and(|session| session.subscriber_only());
    if subscribed && out.protocol() == Protocol::Resp2 {
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
