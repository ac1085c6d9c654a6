//! `CLIENT`: clients look at themselves and at each other.

use crate::acl::Acl;
use crate::args::Args;
use crate::blocking::UnblockReason;
use crate::cmd::connection::check_client_name;
use crate::cmd::help;
use crate::cmd::tracking;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::pause::{Pause, PausePurpose};
use crate::session::{ClientSlot, ReplyMode, Session};
use crate::spec::CommandSpec;
use crate::tracking::TrackingMode;
use ahash::AHashMap;
use perilune_keyspace::Bytes;
use perilune_resp::{ArgRange, Protocol, ReplyWriter};
use std::borrow::Cow;

pub(crate) const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "client",
    arity: -2,
    since: "2.4.0",
    group: "connection",
    complexity: "depends on the subcommand",
    summary: "Inspects and steers connections; see its subcommands.",
    subcommands: &[
        tracking::CACHING,
        tracking::GETREDIR,
        CommandSpec {
            name: "getname",
            arity: 2,
            flags: "noscript loading stale",
            acl: "connection",
            since: "2.6.9",
            group: "connection",
            complexity: "O(1)",
            summary: "Tells the name of the connection.",
            handler: client_getname,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "help",
            arity: 2,
            flags: "loading stale",
            acl: "connection",
            since: "5.0.0",
            group: "connection",
            complexity: "O(1)",
            summary: "Explains the subcommands of CLIENT.",
            help: HELP,
            handler: help::answer,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "id",
            arity: 2,
            flags: "noscript loading stale",
            acl: "connection",
            since: "5.0.0",
            group: "connection",
            complexity: "O(1)",
            summary: "Tells the number of the connection.",
            handler: client_id,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "info",
            arity: 2,
            flags: "noscript loading stale",
            acl: "connection",
            since: "6.2.0",
            group: "connection",
            complexity: "O(1)",
            summary: "Describes the connection.",
            tips: &["nondeterministic_output"],
            handler: client_info,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "kill",
            arity: -3,
            flags: "admin noscript loading stale",
            acl: "connection",
            since: "2.4.0",
            group: "connection",
            complexity: "O(N) with N the number of connections",
            summary: "Closes connections chosen by address or by other properties.",
            args: "filter=(old-format<ip:port>!2.8.12|new-format=([ID client-id:int@2.8.12]|[TYPE client-type@2.8.12=(NORMAL|MASTER@3.2.0|SLAVE|REPLICA@5.0.0|PUBSUB)]|[USER username]|[ADDR addr<ip:port>]|[LADDR laddr<ip:port>@6.2.0]|[SKIPME skipme=(YES|NO)])...)",
            handler: client_kill,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "list",
            arity: -2,
            flags: "admin noscript loading stale",
            acl: "connection",
            since: "2.4.0",
            group: "connection",
            complexity: "O(N) with N the number of connections",
            summary: "Describes the open connections.",
            args: "[TYPE client-type@5.0.0=(NORMAL|MASTER|REPLICA|PUBSUB)] [ID client-id:int@6.2.0...]",
            tips: &["nondeterministic_output"],
            handler: client_list,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "no-evict",
            arity: 3,
            flags: "admin noscript loading stale",
            acl: "connection",
            since: "7.0.0",
            group: "connection",
            complexity: "O(1)",
            summary: "Exempts the connection from eviction when client memory runs short.",
            args: "enabled=(ON|OFF)",
            handler: client_no_evict,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "no-touch",
            arity: 3,
            flags: "noscript loading stale",
            acl: "connection",
            since: "7.2.0",
            group: "connection",
            complexity: "O(1)",
            summary: "Decides whether the connection's reads count as use of a key.",
            args: "enabled=(ON|OFF)",
            handler: client_no_touch,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "pause",
            arity: -3,
            flags: "admin noscript loading stale",
            acl: "connection",
            since: "3.0.0",
            group: "connection",
            complexity: "O(1)",
            summary: "Holds back the commands of all clients for a time.",
            args: "timeout:int [mode@6.2.0=(WRITE|ALL)]",
            handler: client_pause,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "reply",
            arity: 3,
            flags: "noscript loading stale",
            acl: "connection",
            since: "3.2.0",
            group: "connection",
            complexity: "O(1)",
            summary: "Turns replies to the connection off and on.",
            args: "action=(ON|OFF|SKIP)",
            handler: client_reply,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "setinfo",
            arity: 4,
            flags: "noscript loading stale",
            acl: "connection",
            since: "7.2.0",
            group: "connection",
            complexity: "O(1)",
            summary: "Records name or version of the client library.",
            args: "attr=(LIB-NAME libname|LIB-VER libver)",
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            handler: client_setinfo,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "setname",
            arity: 3,
            flags: "noscript loading stale",
            acl: "connection",
            since: "2.6.9",
            group: "connection",
            complexity: "O(1)",
            summary: "Names the connection.",
            args: "connection-name",
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            handler: client_setname,
            ..CommandSpec::EMPTY
        },
        tracking::TRACKING,
        tracking::TRACKINGINFO,
        CommandSpec {
            name: "unblock",
            arity: -3,
            flags: "admin noscript loading stale",
            acl: "connection",
            since: "5.0.0",
            group: "connection",
            complexity: "O(1)",
            summary: "Ends the wait of a blocked connection.",
            args: "client-id:int [unblock-type=(TIMEOUT|ERROR)]",
            handler: client_unblock,
            ..CommandSpec::EMPTY
        },
        CommandSpec {
            name: "unpause",
            arity: 2,
            flags: "admin noscript loading stale",
            acl: "connection",
            since: "6.2.0",
            group: "connection",
            complexity: "O(N) with N the number of paused clients",
            summary: "Lets held back commands go on.",
            handler: client_unpause,
            ..CommandSpec::EMPTY
        },
    ],
    ..CommandSpec::EMPTY
}];

const HELP: &[&str] = &[
    "CACHING (YES|NO)",
    "    Track, or do not track, the keys of the next command.",
    "GETREDIR",
    "    Tell the id of the connection that gets the messages of tracking.",
    "GETNAME",
    "    Tell the name of this connection.",
    "ID",
    "    Tell the number of this connection.",
    "INFO",
    "    Describe this connection.",
    "KILL <ip:port>",
    "    Close the connection from this address.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Close connections and tell how many. Options are:",
    "    * ADDR (<ip:port>|<unixsocket>:0)",
    "      By the address of the peer.",
    "    * LADDR (<ip:port>|<unixsocket>:0)",
    "      By the address of the server's end.",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      By class.",
    "    * USER <username>",
    "      By the user they are logged in as.",
    "    * SKIPME (YES|NO)",
    "      Whether to spare this connection (default: yes).",
    "    * ID <client-id>",
    "      By number.",
    "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID <client-id> [<client-id> ...]]",
    "    Describe connections, all or the chosen ones.",
    "NO-EVICT (ON|OFF)",
    "    Exempt this connection from client eviction.",
    "NO-TOUCH (ON|OFF)",
    "    Keep this connection's reads from refreshing the age of keys.",
    "PAUSE <timeout> [WRITE|ALL]",
    "    Hold back all commands, or only writes, for a number of milliseconds.",
    "REPLY (ON|OFF|SKIP)",
    "    Switch replies to this connection off and on.",
    "SETINFO <option> <value>",
    "    Record LIB-NAME or LIB-VER of the client library.",
    "SETNAME <name>",
    "    Name this connection.",
    "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
    "         [OPTIN] [OPTOUT] [NOLOOP]",
    "    Have this connection told of changes to keys that it may have copies of.",
    "TRACKINGINFO",
    "    Describe the tracking of this connection.",
    "UNBLOCK <client-id> [TIMEOUT|ERROR]",
    "    End the wait of a blocked connection.",
    "UNPAUSE",
    "    End a pause.",
];

/// The classes that `TYPE` filters by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientType {
    Normal,
    PubSub,
    Replica,
    Master,
}

impl ClientType {
    fn parse(name: &[u8]) -> Result<ClientType, CommandError> {
        match name.to_ascii_lowercase().as_slice() {
            b"normal" => Ok(ClientType::Normal),
            b"pubsub" => Ok(ClientType::PubSub),
            b"replica" | b"slave" => Ok(ClientType::Replica),
            b"master" => Ok(ClientType::Master),
            _ => Err(errors::unknown_client_type(name)),
        }
    }

    fn of(session: &Session) -> ClientType {
        match session.subscriptions() {
            _ if session.is_master => ClientType::Master,
            _ if session.is_replica() => ClientType::Replica,
            0 => ClientType::Normal,
            _ => ClientType::PubSub,
        }
    }
}

/// The letters of the `flags` field.
fn flag_letters(session: &Session) -> String {
    let tracking = session.tracking.as_ref();
    let letters = [
        (session.is_master, 'M'),
        (session.is_replica(), 'S'),
        (session.monitor, 'O'),
        (session.subscriptions() > 0, 'P'),
        (session.transaction_len().is_some(), 'x'),
        (session.blocked.is_some(), 'b'),
        (session.tracking.is_some(), 't'),
        (tracking.is_some_and(|state| state.broken), 'R'),
        (tracking.is_some_and(|state| state.mode == TrackingMode::Broadcast), 'B'),
        (session.watch_broken, 'd'),
        (session.close_after_reply, 'c'),
        (session.killed, 'A'),
        (session.peer.unix_socket, 'U'),
        (session.no_evict, 'e'),
        (session.no_touch, 'T'),
    ];
    let set: String = letters.iter().filter(|(on, _)| *on).map(|(_, letter)| letter).collect();
    if set.is_empty() { "N".into() } else { set }
}

/// The user as `CLIENT LIST` tells it.
fn user_name(session: &Session) -> Cow<'_, str> {
    match session.is_master {
        true => Cow::Borrowed("(superuser)"),
        false => String::from_utf8_lossy(session.user().name()),
    }
}

/// One line of `CLIENT LIST`, in the format of Redis 7.2.
pub(crate) fn describe(session: &Session, now_ms: i64) -> Vec<u8> {
    describe_running(session, now_ms, 0)
}

/// [`describe`] for a client whose command of so many arguments is running.
fn describe_running(session: &Session, now_ms: i64, arguments: usize) -> Vec<u8> {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let buffers = session.buffer_figures();
    let outbox = session.pending_output();
    // Arguments lie in the read buffer; what comes in addition is where each of them is.
    let running = arguments * (size_of::<&[u8]>() + size_of::<ArgRange>());
    format!(
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub={} psub={} \
         ssub={} multi={} qbuf={} qbuf-free={} argv-mem={} multi-mem={} rbs={} rbp={} obl={} \
         oll={} omem={} tot-mem={} events={} cmd={} user={} redir={} resp={} lib-name={} \
         lib-ver={}",
        session.id,
        session.peer.addr,
        session.peer.laddr,
        session.peer.fd,
        text(&session.name),
        (now_ms - session.created_ms) / 1000,
        session.idle_ms(now_ms) / 1000,
        flag_letters(session),
        session.db,
        session.channels.len(),
        session.patterns.len(),
        session.shard_channels.len(),
        session.transaction_len().map_or(-1, |len| len as i64),
        buffers.query,
        buffers.query_free,
        session.argument_memory() + running,
        session.transaction_memory(),
        buffers.reply,
        session.reply_peak,
        outbox,
        0,
        outbox,
        session.memory() + running,
        if outbox > 0 { "rw" } else { "r" },
        if session.last_command.is_empty() { "NULL" } else { session.last_command },
        user_name(session),
        session.tracking.as_ref().map_or(-1, |state| state.redirect as i64),
        if session.protocol == Protocol::Resp3 { 3 } else { 2 },
        text(&session.lib_name),
        text(&session.lib_ver),
    )
    .into_bytes()
}

fn client_id(
    ctx: &mut Ctx<'_>,
    _: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    out.int(ctx.session().map_or(0, |session| session.id as i64));
    Ok(())
}

fn client_info(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let now_ms = ctx.now_ms();
    let describe = |session: &mut Session| describe_running(session, now_ms, args.len());
    let mut line = ctx.session().map(describe).unwrap_or_default();
    line.push(b'\n');
    out.verbatim(b"txt", &line);
    Ok(())
}

fn client_list(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let now_ms = ctx.now_ms();
    let own_id = ctx.session().map_or(0, |session| session.id);
    let mut chosen: Vec<&Session> = Vec::new();
    let sessions = || ctx.engine.sessions.iter().map(|(_, s)| s).filter(|s| !s.killed);
    if args.len() == 4 && args.is(2, "type") {
        let wanted = ClientType::parse(args[3])?;
        chosen.extend(sessions().filter(|s| ClientType::of(s) == wanted));
    } else if args.len() > 3 && args.is(2, "id") {
        let by_id: AHashMap<i64, &Session> = sessions().map(|s| (s.id as i64, s)).collect();
        for at in 3..args.len() {
            let id = args.int(at).map_err(|_| errors::INVALID_CLIENT_ID)?;
            chosen.extend(by_id.get(&id).copied());
        }
    } else if args.len() == 2 {
        chosen.extend(sessions());
    } else {
        return Err(errors::SYNTAX);
    }
    if !args.is(2, "id") {
        chosen.sort_by_key(|session| session.id);
    }
    let mut text = Vec::new();
    for session in chosen {
        let arguments = if session.id == own_id { args.len() } else { 0 };
        text.extend(describe_running(session, now_ms, arguments));
        text.push(b'\n');
    }
    out.verbatim(b"txt", &text);
    Ok(())
}

fn client_getname(
    ctx: &mut Ctx<'_>,
    _: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    match ctx.session().map(|session| session.name.clone()) {
        Some(name) if !name.is_empty() => out.bulk(&name),
        _ => out.null(),
    }
    Ok(())
}

fn client_setname(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    check_client_name(args[2])?;
    if let Some(session) = ctx.session() {
        session.name = Bytes::new(args[2]);
    }
    out.ok();
    Ok(())
}

fn client_setinfo(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let attribute = args[2];
    let is_name = args.is(2, "lib-name");
    if !is_name && !args.is(2, "lib-ver") {
        return Err(errors::unknown_client_attribute(attribute));
    }
    if check_client_name(args[3]).is_err() {
        return Err(errors::client_attribute_value(attribute));
    }
    if let Some(session) = ctx.session() {
        let slot = if is_name { &mut session.lib_name } else { &mut session.lib_ver };
        *slot = Bytes::new(args[3]);
    }
    out.ok();
    Ok(())
}

/// What `CLIENT KILL` looks for.
#[derive(Default)]
struct KillFilter<'a> {
    addr: Option<&'a [u8]>,
    laddr: Option<&'a [u8]>,
    user: Option<&'a [u8]>,
    client_type: Option<ClientType>,
    id: Option<i64>,
    skip_me: bool,
}

impl<'a> KillFilter<'a> {
    fn parse(args: Args<'a>, acl: &Acl) -> Result<KillFilter<'a>, CommandError> {
        if args.len() == 3 {
            return Ok(KillFilter { addr: Some(args[2]), ..KillFilter::default() });
        }
        let mut filter = KillFilter { skip_me: true, ..KillFilter::default() };
        let mut at = 2;
        while at < args.len() {
            let Some(value) = args.get(at + 1) else { return Err(errors::SYNTAX) };
            if args.is(at, "id") {
                let id = args.int(at + 1).ok().filter(|id| *id > 0);
                filter.id = Some(id.ok_or(errors::CLIENT_ID_NOT_POSITIVE)?);
            } else if args.is(at, "type") {
                filter.client_type = Some(ClientType::parse(value)?);
            } else if args.is(at, "addr") {
                filter.addr = Some(value);
            } else if args.is(at, "laddr") {
                filter.laddr = Some(value);
            } else if args.is(at, "user") {
                if acl.get(value).is_none() {
                    return Err(errors::no_such_user(value));
                }
                filter.user = Some(value);
            } else if args.is(at, "skipme") && args.is(at + 1, "yes") {
                filter.skip_me = true;
            } else if args.is(at, "skipme") && args.is(at + 1, "no") {
                filter.skip_me = false;
            } else {
                return Err(errors::SYNTAX);
            }
            at += 2;
        }
        Ok(filter)
    }

    fn matches(&self, session: &Session) -> bool {
        self.addr.is_none_or(|addr| session.peer.addr.as_bytes() == addr)
            && self.laddr.is_none_or(|laddr| session.peer.laddr.as_bytes() == laddr)
            && self.user.is_none_or(|name| session.belongs_to(name))
            && self.client_type.is_none_or(|wanted| ClientType::of(session) == wanted)
            && self.id.is_none_or(|id| session.id as i64 == id)
            && !session.killed
    }
}

fn client_kill(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let filter = KillFilter::parse(args, &ctx.engine.acl)?;
    let me = ctx.client;
    let victims: Vec<ClientSlot> = ctx
        .engine
        .sessions
        .iter()
        .filter(|(slot, session)| filter.matches(session) && !(filter.skip_me && *slot == me))
        .map(|(slot, _)| slot)
        .collect();
    let old_form = args.len() == 3;
    if old_form && victims.is_empty() {
        return Err(errors::NO_SUCH_CLIENT);
    }
    for victim in &victims {
        if *victim != me {
            ctx.engine.kill(*victim);
        } else if let Some(session) = ctx.session() {
            session.close_after_reply = true;
        }
    }
    match old_form {
        true => out.ok(),
        false => out.int(victims.len() as i64),
    }
    Ok(())
}

fn client_unblock(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let reason = match args.len() {
        3 => UnblockReason::Timeout,
        4 if args.is(3, "timeout") => UnblockReason::Timeout,
        4 if args.is(3, "error") => UnblockReason::Error,
        4 => return Err(errors::UNBLOCK_REASON),
        _ => return Err(errors::wrong_subcommand_arity("CLIENT", args[1])),
    };
    let id = args.int(2)?;
    let target = u64::try_from(id).ok().and_then(|id| ctx.engine.sessions.by_id(id));
    let unblocked = target.is_some_and(|target| ctx.engine.unblock(target, reason));
    out.int(i64::from(unblocked));
    Ok(())
}

fn client_reply(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let Some(session) = ctx.session() else { return Err(errors::NOAUTH) };
    if args.is(2, "on") {
        session.reply_mode = ReplyMode::On;
        out.ok();
    } else if args.is(2, "off") {
        session.reply_mode = ReplyMode::Off;
    } else if args.is(2, "skip") {
        if session.reply_mode != ReplyMode::Off {
            session.reply_mode = ReplyMode::SkipNext;
        }
    } else {
        return Err(errors::SYNTAX);
    }
    Ok(())
}

fn on_or_off(args: Args<'_>, at: usize) -> Result<bool, CommandError> {
    match (args.is(at, "on"), args.is(at, "off")) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err(errors::SYNTAX),
    }
}

fn client_no_evict(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let on = on_or_off(args, 2)?;
    if let Some(session) = ctx.session() {
        session.no_evict = on;
    }
    ctx.engine.count_client(ctx.client);
    out.ok();
    Ok(())
}

fn client_no_touch(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let on = on_or_off(args, 2)?;
    if let Some(session) = ctx.session() {
        session.no_touch = on;
    }
    out.ok();
    Ok(())
}

fn client_pause(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let all = match args.len() {
        3 => true,
        4 if args.is(3, "all") => true,
        4 if args.is(3, "write") => false,
        4 => return Err(errors::PAUSE_MODE),
        _ => return Err(errors::wrong_subcommand_arity("CLIENT", args[1])),
    };
    let timeout_ms = args.int(2).map_err(|_| errors::TIMEOUT_NOT_AN_INTEGER)?;
    if timeout_ms < 0 {
        return Err(errors::TIMEOUT_NEGATIVE);
    }
    let Some(until_ms) = ctx.now_ms().checked_add(timeout_ms) else {
        return Err(errors::TIMEOUT_OUT_OF_RANGE);
    };
    ctx.engine.begin_pause(PausePurpose::Client, Pause { until_ms, all });
    out.ok();
    Ok(())
}

fn client_unpause(
    ctx: &mut Ctx<'_>,
    _: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    ctx.engine.end_pause(PausePurpose::Client);
    out.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::test_support::TestEngine;

    #[test]
    fn confirmations_of_subscriptions_are_no_replies() {
        let mut test = TestEngine::new();
        let client = test.client();
        assert_eq!(test.run(client, "client reply off"), "");
        let confirmed = "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n";
        assert_eq!(test.run(client, "subscribe c"), confirmed);
    }

    #[test]
    fn a_killed_client_lets_go_at_once() {
        let mut test = TestEngine::new();
        let (client, victim) = (test.client(), test.client());
        test.run(victim, "subscribe c");
        assert_eq!(test.run(client, "client kill id 2"), ":1\r\n");
        assert_eq!(test.run(client, "publish c m"), ":0\r\n");
        assert_eq!(test.run(client, "client kill id 2"), ":0\r\n");
        assert_eq!(test.engine.sessions.connected(), 1);
        test.engine.disconnect(victim);
        assert_eq!(test.engine.sessions.connected(), 1);
    }

    #[test]
    fn a_pause_of_writes_keeps_expired_keys_in_place_and_out_of_sight() {
        let mut test = TestEngine::new();
        let client = test.client();
        test.run(client, "set x 1 px 10");
        test.run(client, "client pause 1000 write");
        test.pass_ms(20);
        assert_eq!(test.run(client, "get x"), "$-1\r\n");
        assert_eq!(test.run(client, "dbsize"), ":1\r\n");
        test.run(client, "randomkey");
        test.run(client, "client unpause");
        assert_eq!(test.run(client, "get x"), "$-1\r\n");
        assert_eq!(test.run(client, "dbsize"), ":0\r\n");
    }
}
