//! `DUMP` and `RESTORE`: values as payloads, to be carried to another key or another server.
//!
//! What a payload looks like and whether it is sound is the business of `perilune-rdb`.

use crate::args::Args;
use crate::config::{NotifyFlags, SanitizeDumpPayload};
use crate::ctx::Ctx;
use crate::errors::{self, CommandError};
use crate::frequency;
use crate::spec::{CommandSpec, KeySpec};
use perilune_keyspace::Value;
use perilune_rdb::{
    Check, ReadError, dump_payload, restore_payload, restore_unsigned_payload, structure_name,
};
use perilune_resp::ReplyWriter;
use perilune_script::LogLevel;

const RESTORE_ARGS: &str = "key:key ttl:int serialized-value [REPLACE@3.0.0] [ABSTTL@5.0.0] [IDLETIME seconds:int@5.0.0] [FREQ frequency:int@5.0.0]";

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "dump",
        arity: 2,
        flags: "readonly",
        acl: "keyspace",
        keys: &[KeySpec::one("RO access", 1)],
        since: "2.6.0",
        complexity: "O(N) with N the size of the value",
        summary: "Serialises the value of a key.",
        args: "key:key",
        tips: &["nondeterministic_output"],
        handler: dump,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "restore",
        arity: -4,
        flags: "write denyoom",
        acl: "keyspace dangerous",
        keys: &[KeySpec::one("OW update", 1)],
        since: "2.6.0",
        complexity: "O(N) with N the size of the value",
        summary: "Creates a key out of a serialised value.",
        args: RESTORE_ARGS,
        handler: restore,
        ..CommandSpec::EMPTY
    },
    CommandSpec {
        name: "restore-asking",
        arity: -4,
        flags: "write denyoom asking",
        acl: "keyspace dangerous",
        keys: &[KeySpec::one("OW update", 1)],
        since: "3.0.0",
        group: "server",
        complexity: "O(N) with N the size of the value",
        summary: "Creates a key out of a serialised value, as nodes of a cluster do among themselves.",
        args: RESTORE_ARGS,
        handler: restore,
        ..CommandSpec::EMPTY
    },
];

fn dump(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Result<(), CommandError> {
    let compress = ctx.engine.config.rdbcompression;
    match ctx.read(args[1]) {
        Some(value) => out.bulk(&dump_payload(value, compress)),
        None => out.null(),
    }
    Ok(())
}

/// The options of `RESTORE`.
#[derive(Default)]
struct Options {
    replace: bool,
    absolute_ttl: bool,
    idle_s: Option<u64>,
    frequency: Option<u8>,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut options = Options::default();
        let mut at = 4;
        while at < args.len() {
            let has_value = at + 1 < args.len();
            if args.is(at, "replace") {
                options.replace = true;
            } else if args.is(at, "absttl") {
                options.absolute_ttl = true;
            } else if args.is(at, "idletime") && has_value && options.frequency.is_none() {
                at += 1;
                let idle_s = u64::try_from(args.int(at)?);
                options.idle_s = Some(idle_s.map_err(|_| errors::INVALID_IDLETIME)?);
            } else if args.is(at, "freq") && has_value && options.idle_s.is_none() {
                at += 1;
                let frequency = u8::try_from(args.int(at)?);
                options.frequency = Some(frequency.map_err(|_| errors::INVALID_FREQ)?);
            } else {
                return Err(errors::SYNTAX);
            }
            at += 1;
        }
        Ok(options)
    }

    /// When the key ends (Unix milliseconds), if `ttl` gives it an end.
    fn deadline(&self, ttl: i64, now_ms: i64) -> Option<i64> {
        match ttl {
            0 => None,
            at if self.absolute_ttl => Some(at),
            ttl => Some(now_ms.saturating_add(ttl)),
        }
    }
}

fn restore(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut dyn ReplyWriter,
) -> Result<(), CommandError> {
    let options = Options::parse(args)?;
    let key = args[1];
    if !options.replace && ctx.exists(key) {
        return Err(errors::BUSY_KEY);
    }
    let ttl = args.int(2)?;
    if ttl < 0 {
        return Err(errors::INVALID_TTL);
    }
    let value = read_payload(ctx, args[3])?;
    let lazy = ctx.engine.config.lazyfree_lazy_server_del;
    let removed = options.replace && ctx.remove(key, lazy);
    let deadline = options.deadline(ttl, ctx.now_ms());
    if deadline.is_some_and(|at| ctx.ends_at_once(at)) {
        if removed {
            ctx.propagate_removal(key, lazy);
            ctx.modified(key, NotifyFlags::GENERIC, "del");
        }
        out.ok();
        return Ok(());
    }
    ctx.put(key, value);
    if deadline.is_some() {
        ctx.set_expire(key, deadline);
    }
    set_access(ctx, key, &options);
    if let (Some(at), false) = (deadline, options.absolute_ttl) {
        propagate_deadline(ctx, args, at);
    }
    ctx.modified(key, NotifyFlags::GENERIC, "restore");
    out.ok();
    Ok(())
}

/// How much of a payload is checked, as `sanitize-dump-payload` says: `clients` trusts the master and
/// users with the flag `skip-sanitize-payload`.
fn check_of_payloads(ctx: &Ctx<'_>) -> Check {
    let trusted = match ctx.engine.config.sanitize_dump_payload {
        SanitizeDumpPayload::No => true,
        SanitizeDumpPayload::Yes => false,
        SanitizeDumpPayload::Clients => ctx
            .engine
            .sessions
            .get(ctx.client)
            .is_none_or(|session| session.is_master || !session.user().sanitizes_payloads()),
    };
    if trusted { Check::Structure } else { Check::Full }
}

/// The value of a payload. What is wrong with a damaged one is in the log.
fn read_payload(ctx: &mut Ctx<'_>, payload: &[u8]) -> Result<Value, CommandError> {
    let limits = ctx.limits();
    let check = check_of_payloads(ctx);
    ctx.engine.stats.payload_checks += u64::from(check == Check::Full);
    let value = match ctx.engine.persistence.trusts_checksums {
        true => restore_unsigned_payload(payload, &limits, check),
        false => restore_payload(payload, &limits, check),
    };
    value.map_err(|error| match error {
        ReadError::Footer => errors::PAYLOAD_FOOTER,
        error => {
            let structure = structure_name(payload.first().copied().unwrap_or(u8::MAX));
            let message = format!("RESTORE: {structure} integrity check failed: {error}.");
            ctx.engine.env.log(LogLevel::Warning, &message);
            errors::PAYLOAD_FORMAT
        }
    })
}

/// Passes the command on with a deadline in the place of a time to live, which would begin anew
/// wherever it is repeated.
fn propagate_deadline(ctx: &mut Ctx<'_>, args: Args<'_>, at_ms: i64) {
    if !ctx.propagates() {
        return;
    }
    let mut digits = itoa::Buffer::new();
    let mut argv = args.all().to_vec();
    argv[2] = digits.format(at_ms).as_bytes();
    argv.push(b"ABSTTL");
    ctx.propagate_as(&argv);
}

/// Gives a new key the idle time or access counter of the options, whichever the eviction policy
/// goes by.
fn set_access(ctx: &mut Ctx<'_>, key: &[u8], options: &Options) {
    let now_s = (ctx.now_ms() / 1000) as u32;
    let counted = frequency::is_counted(&ctx.engine.config);
    let db = ctx.db_index();
    ctx.engine.keyspace.db_mut(db).get_accessed(key, |entry| {
        if let (true, Some(counter)) = (counted, options.frequency) {
            entry.set_access(frequency::pack(counter, now_s));
        }
        if let (false, Some(idle_s)) = (counted, options.idle_s) {
            entry.set_idle(u32::try_from(idle_s).unwrap_or(u32::MAX), now_s);
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::session::ClientSlot;
    use crate::test_support::TestEngine;
    use perilune_keyspace::ValueRef;
    use perilune_rdb::dump_payload;

    /// What `RESTORE key ttl payload options...` answers.
    fn restore(
        test: &mut TestEngine,
        client: ClientSlot,
        start: &str,
        payload: &[u8],
        options: &str,
    ) -> String {
        let mut words: Vec<&[u8]> = start.split(' ').map(str::as_bytes).collect();
        words.push(payload);
        words.extend(options.split_terminator(' ').map(str::as_bytes));
        String::from_utf8_lossy(&test.run_words(client, &words)).into_owned()
    }

    fn dumped(test: &mut TestEngine, client: ClientSlot, key: &str) -> Vec<u8> {
        let reply = test.run_words(client, &[b"DUMP", key.as_bytes()]);
        let start = reply.windows(2).position(|pair| pair == b"\r\n").map_or(0, |at| at + 2);
        reply[start..reply.len() - 2].to_vec()
    }

    #[test]
    fn values_travel_as_payloads() {
        let mut test = TestEngine::new();
        let client = test.client();
        test.run(client, "RPUSH list a 1 xyz");
        let payload = dumped(&mut test, client, "list");
        assert_eq!(restore(&mut test, client, "RESTORE copy 0", &payload, ""), "+OK\r\n");
        assert_eq!(test.run(client, "LRANGE copy 1 2"), "*2\r\n$1\r\n1\r\n$3\r\nxyz\r\n");
        assert_eq!(test.run(client, "TTL copy"), ":-1\r\n");
        assert_eq!(test.run(client, "DUMP nothing"), "$-1\r\n");
    }

    #[test]
    fn a_key_in_the_way_is_replaced_only_if_told_so() {
        let mut test = TestEngine::new();
        let client = test.client();
        let payload = dump_payload(ValueRef::Int(7), true);
        test.run(client, "SET k old");
        assert_eq!(
            restore(&mut test, client, "RESTORE k 0", &payload, ""),
            "-BUSYKEY Target key name already exists.\r\n"
        );
        assert_eq!(restore(&mut test, client, "RESTORE k 5000", &payload, "REPLACE"), "+OK\r\n");
        assert_eq!(test.run(client, "GET k"), "$1\r\n7\r\n");
        assert_eq!(test.run(client, "PTTL k"), ":5000\r\n");
        let end = "RESTORE k 4000000000000";
        assert_eq!(restore(&mut test, client, end, &payload, "absttl replace"), "+OK\r\n");
        assert_eq!(test.run(client, "PEXPIRETIME k"), ":4000000000000\r\n");
        let past = "RESTORE k 1";
        assert_eq!(restore(&mut test, client, past, &payload, "ABSTTL REPLACE"), "+OK\r\n");
        assert_eq!(test.run(client, "EXISTS k"), ":0\r\n");
    }

    #[test]
    fn idle_times_and_counters_are_set_as_the_policy_goes() {
        let mut test = TestEngine::new();
        let client = test.client();
        let payload = dump_payload(ValueRef::Int(7), true);
        restore(&mut test, client, "RESTORE a 0", &payload, "IDLETIME 1000");
        assert_eq!(test.run(client, "OBJECT IDLETIME a"), ":1000\r\n");
        test.run(client, "CONFIG SET maxmemory-policy allkeys-lfu");
        restore(&mut test, client, "RESTORE b 0", &payload, "FREQ 100");
        assert_eq!(test.run(client, "OBJECT FREQ b"), ":100\r\n");
    }

    #[test]
    fn who_is_trusted_may_restore_fields_that_stand_twice() {
        const LISTPACK: u8 = 16;
        let words: perilune_keyspace::Listpack = ["f", "1", "f", "2"].into_iter().collect();
        let words = words.as_bytes();
        let mut payload = [&[LISTPACK, words.len() as u8][..], words, &[11, 0]].concat();
        payload.extend_from_slice(&perilune_rdb::crc64(&payload).to_le_bytes());
        let mut test = TestEngine::new();
        let client = test.client();
        test.run(client, "ACL SETUSER trusted on nopass ~* +@all skip-sanitize-payload");
        let trusted = test.client();
        test.run(trusted, "AUTH trusted any");
        let refused = "-ERR Bad data format\r\n";
        for (mode, to_client, to_trusted) in [
            ("no", "+OK\r\n", "+OK\r\n"),
            ("clients", refused, "+OK\r\n"),
            ("yes", refused, refused),
        ] {
            test.run(client, &format!("CONFIG SET sanitize-dump-payload {mode}"));
            let mut reply = |who| restore(&mut test, who, "RESTORE k 0", &payload, "REPLACE");
            assert_eq!([reply(client), reply(trusted)], [to_client, to_trusted], "{mode}");
        }
        // It counts twice until it is gone or the hash changes its encoding.
        test.run(client, "CONFIG SET sanitize-dump-payload no");
        restore(&mut test, client, "RESTORE k 0", &payload, "REPLACE");
        assert_eq!(test.run(client, "HLEN k"), ":2\r\n");
        assert_eq!(test.run(client, "HGET k f"), "$1\r\n1\r\n");
        test.run(client, "CONFIG SET hash-max-listpack-entries 1");
        test.run(client, "HSET k g 3");
        assert_eq!(test.run(client, "HLEN k"), ":2\r\n");
        assert_eq!(test.run(client, "HGET k f"), "$1\r\n2\r\n");
    }

    #[test]
    fn what_cannot_be_restored_is_refused() {
        let mut test = TestEngine::new();
        let client = test.client();
        let payload = dump_payload(ValueRef::Int(7), true);
        let mut damaged = payload.clone();
        damaged[1] ^= 1;
        for (start, payload, options, error) in [
            ("RESTORE k -1", &payload, "", "ERR Invalid TTL value, must be >= 0"),
            ("RESTORE k x", &payload, "", "ERR value is not an integer or out of range"),
            ("RESTORE k 0", &damaged, "", "ERR DUMP payload version or checksum are wrong"),
            ("RESTORE k 0", &payload, "IDLETIME -1", "ERR Invalid IDLETIME value, must be >= 0"),
            (
                "RESTORE k 0",
                &payload,
                "FREQ 256",
                "ERR Invalid FREQ value, must be >= 0 and <= 255",
            ),
            ("RESTORE k 0", &payload, "FREQ 1 IDLETIME 1", "ERR syntax error"),
            ("RESTORE k 0", &payload, "FREQ", "ERR syntax error"),
        ] {
            let reply = restore(&mut test, client, start, payload, options);
            assert_eq!(reply, format!("-{error}\r\n"), "{start} {options}");
        }
        let module = [&[6, 0, 11, 0][..], &perilune_rdb::crc64(&[6, 0, 11, 0]).to_le_bytes()];
        assert_eq!(
            restore(&mut test, client, "RESTORE k 0", &module.concat(), ""),
            "-ERR Bad data format\r\n"
        );
    }
}
