//! The subcommands of `CLIENT` for client-side caching; what they steer is in
//! [`tracking`](crate::tracking).

use crate::args::Args;
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::spec::CommandSpec;
use crate::tracking::{ClientTracking, TrackingMode, TrackingRequest};
use perilune_resp::ReplyWriter;

pub(super) const CACHING: CommandSpec = CommandSpec {
    name: "caching",
    arity: 3,
    flags: "noscript loading stale",
    acl: "connection",
    since: "6.0.0",
    group: "connection",
    complexity: "O(1)",
    summary: "Decides whether the keys of the next command are tracked.",
    args: "mode=(YES|NO)",
    handler: client_caching,
    ..CommandSpec::EMPTY
};

pub(super) const GETREDIR: CommandSpec = CommandSpec {
    name: "getredir",
    arity: 2,
    flags: "noscript loading stale",
    acl: "connection",
    since: "6.0.0",
    group: "connection",
    complexity: "O(1)",
    summary: "Tells which connection receives the invalidation messages of this one.",
    handler: client_getredir,
    ..CommandSpec::EMPTY
};

pub(super) const TRACKING: CommandSpec = CommandSpec {
    name: "tracking",
    arity: -3,
    flags: "noscript loading stale",
    acl: "connection",
    since: "6.0.0",
    group: "connection",
    complexity: "O(N) with N the prefixes of the connection",
    summary: "Turns the tracking of keys for client-side caches on or off.",
    args: "status=(ON|OFF) [REDIRECT client-id:int] [PREFIX prefix]... [BCAST] [OPTIN] [OPTOUT] [NOLOOP]",
    handler: client_tracking,
    ..CommandSpec::EMPTY
};

pub(super) const TRACKINGINFO: CommandSpec = CommandSpec {
    name: "trackinginfo",
    arity: 2,
    flags: "noscript loading stale",
    acl: "connection",
    since: "6.2.0",
    group: "connection",
    complexity: "O(N) with N the prefixes of the connection",
    summary: "Describes the key tracking of the connection.",
    handler: client_trackinginfo,
    ..CommandSpec::EMPTY
};

/// The options of `CLIENT TRACKING` as they were given.
#[derive(Default)]
struct Options<'a> {
    redirect: i64,
    broadcast: bool,
    opt_in: bool,
    opt_out: bool,
    noloop: bool,
    prefixes: Vec<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(ctx: &Ctx<'_>, args: Args<'a>) -> Result<Options<'a>, CommandError> {
        let mut options = Options::default();
        let mut at = 3;
        while at < args.len() {
            let has_value = at + 1 < args.len();
            if args.is(at, "redirect") && has_value {
                at += 1;
                if options.redirect != 0 {
                    return Err(errors::TRACKING_ONE_REDIRECT);
                }
                options.redirect = args.int(at)?;
                if ctx.engine.sessions.by_id(options.redirect as u64).is_none() {
                    return Err(errors::TRACKING_NO_SUCH_REDIRECT);
                }
            } else if args.is(at, "bcast") {
                options.broadcast = true;
            } else if args.is(at, "optin") {
                options.opt_in = true;
            } else if args.is(at, "optout") {
                options.opt_out = true;
            } else if args.is(at, "noloop") {
                options.noloop = true;
            } else if args.is(at, "prefix") && has_value {
                at += 1;
                options.prefixes.push(args[at]);
            } else {
                return Err(errors::SYNTAX);
            }
            at += 1;
        }
        Ok(options)
    }

    /// The mode they ask for, if they go together and with the mode the client is in.
    fn mode(&self, before: Option<TrackingMode>) -> Result<TrackingMode, CommandError> {
        if !self.broadcast && !self.prefixes.is_empty() {
            return Err(errors::TRACKING_PREFIX_WITHOUT_BCAST);
        }
        if before.is_some_and(|mode| (mode == TrackingMode::Broadcast) != self.broadcast) {
            return Err(errors::TRACKING_BCAST_SWITCH);
        }
        if self.broadcast && (self.opt_in || self.opt_out) {
            return Err(errors::TRACKING_BCAST_AND_OPT);
        }
        if self.opt_in && self.opt_out {
            return Err(errors::TRACKING_OPTIN_AND_OPTOUT);
        }
        if (self.opt_in && before == Some(TrackingMode::OptOut))
            || (self.opt_out && before == Some(TrackingMode::OptIn))
        {
            return Err(errors::TRACKING_OPT_SWITCH);
        }
        Ok(match (self.broadcast, self.opt_in, self.opt_out) {
            (true, ..) => TrackingMode::Broadcast,
            (_, true, _) => TrackingMode::OptIn,
            (.., true) => TrackingMode::OptOut,
            _ => TrackingMode::Default,
        })
    }
}

fn client_tracking(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let options = Options::parse(ctx, args)?;
    if args.is(2, "on") {
        let before = ctx.session().and_then(|session| Some(session.tracking.as_ref()?.mode));
        let mode = options.mode(before)?;
        if let Some(found) = ctx.engine.overlapping_prefixes(ctx.client, &options.prefixes) {
            let (prefix, other) = (found.prefix, &found.other);
            return Err(errors::tracking_prefixes_overlap(prefix, other, found.present));
        }
        let request = TrackingRequest {
            mode,
            noloop: options.noloop,
            redirect: options.redirect as u64,
            prefixes: &options.prefixes,
        };
        ctx.engine.start_tracking(ctx.client, request);
    } else if args.is(2, "off") {
        ctx.engine.stop_tracking(ctx.client);
    } else {
        return Err(errors::SYNTAX);
    }
    out.ok();
    Ok(())
}

fn client_caching(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let state = ctx.session().and_then(|session| session.tracking.as_mut());
    let Some(state) = state else { return Err(errors::CACHING_WITHOUT_TRACKING) };
    let (mode, refusal) = if args.is(2, "yes") {
        (TrackingMode::OptIn, errors::CACHING_YES_WITHOUT_OPTIN)
    } else if args.is(2, "no") {
        (TrackingMode::OptOut, errors::CACHING_NO_WITHOUT_OPTOUT)
    } else {
        return Err(errors::SYNTAX);
    };
    if state.mode != mode {
        return Err(refusal);
    }
    state.caching = true;
    out.ok();
    Ok(())
}

fn client_getredir(
    ctx: &mut Ctx<'_>,
    _: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let state = ctx.session().and_then(|session| session.tracking.as_ref());
    out.int(state.map_or(-1, |state| state.redirect as i64));
    Ok(())
}

/// The words of `flags` in `CLIENT TRACKINGINFO`.
fn flag_words(state: Option<&ClientTracking>) -> Vec<&'static str> {
    let Some(state) = state else { return vec!["off"] };
    let mut words = vec!["on"];
    let (mode, caching) = match state.mode {
        TrackingMode::Default => (None, None),
        TrackingMode::Broadcast => (Some("bcast"), None),
        TrackingMode::OptIn => (Some("optin"), Some("caching-yes")),
        TrackingMode::OptOut => (Some("optout"), Some("caching-no")),
    };
    words.extend(mode);
    words.extend(caching.filter(|_| state.caching));
    words.extend(state.noloop.then_some("noloop"));
    words.extend(state.broken.then_some("broken_redirect"));
    words
}

fn client_trackinginfo(
    ctx: &mut Ctx<'_>,
    _: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let state = ctx.session().and_then(|session| session.tracking.as_deref());
    out.map(3);
    out.bulk(b"flags");
    let words = flag_words(state);
    out.set(words.len());
    words.iter().for_each(|word| out.bulk(word.as_bytes()));
    out.bulk(b"redirect");
    out.int(state.map_or(-1, |state| state.redirect as i64));
    out.bulk(b"prefixes");
    let prefixes = state.map(|state| &state.prefixes);
    out.array(prefixes.map_or(0, |prefixes| prefixes.len()));
    prefixes.into_iter().flatten().for_each(|prefix| out.bulk(prefix));
    Ok(())
}
