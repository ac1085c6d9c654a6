//! `DEBUG`: tools for tests of the server itself.

use crate::args::Args;
use crate::config::Config;
use crate::cron::REPLY_PEAK_RESET_MS;
use crate::ctx::Ctx;
use crate::digest::Digest;
use crate::errors::{self, CommandError};
use crate::glob;
use crate::spec::CommandSpec;
use perilune_keyspace::{ArrayStatistics, ValueRef};
use perilune_resp::{Protocol, ReplyWriter};
use std::time::Duration;

pub(crate) const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "debug",
    arity: -2,
    flags: "admin noscript loading stale protected syscmd",
    group: "server",
    complexity: "depends on the subcommand",
    summary: "Tools for testing the server itself.",
    handler: debug,
    ..CommandSpec::EMPTY
}];

/// Longest `DEBUG SLEEP`.
const SLEEP_MAX: Duration = Duration::from_secs(3600);

/// Default and largest packed threshold of lists, bytes.
const PACKED_THRESHOLD_MAX: u64 = (1 << 32) - (1 << 20);

type Reply = Result<(), CommandError>;

fn debug(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Reply {
    let word = args[1].to_ascii_lowercase();
    match (word.as_slice(), args.len()) {
        (b"help", 2) => help(args, out),
        (b"sleep", 3) => sleep(args, out),
        (b"object", 3..) => object(ctx, args, out),
        (b"digest", 2) => {
            out.status(Digest::of_keyspace(&ctx.engine.keyspace).hex().as_bytes());
            Ok(())
        }
        (b"digest-value", 3..) => digest_value(ctx, args, out),
        (b"protocol", 3) => protocol(args, out),
        (b"change-repl-id", 2) => {
            ctx.engine.new_stream_id();
            out.ok();
            Ok(())
        }
        (b"replicate", 3..) => {
            ctx.engine.replicate_anything(args.from(2));
            out.ok();
            Ok(())
        }
        (b"pause-cron", 3) => {
            ctx.engine.cron_paused = args.int(2)? != 0;
            out.ok();
            Ok(())
        }
        (b"aof-flush-sleep", 3) => {
            let micros = args.int_in(2, 0..=i64::from(u32::MAX), errors::OUT_OF_RANGE)?;
            ctx.engine.aof.flush_sleep = Duration::from_micros(micros as u64);
            out.ok();
            Ok(())
        }
        (b"loadaof", 2) => {
            ctx.propagate_nothing();
            ctx.engine.reload_append_only()?;
            out.ok();
            Ok(())
        }
        (b"reload", _) => reload(ctx, args, out),
        (b"replybuffer", 4) if args.is(2, "peak-reset-time") => {
            ctx.engine.reply_peak_reset_ms = match args[3].to_ascii_lowercase().as_slice() {
                b"never" => None,
                b"reset" => Some(REPLY_PEAK_RESET_MS),
                _ => Some(args.int(3)?),
            };
            out.ok();
            Ok(())
        }
        (b"replybuffer", 4) if args.is(2, "resizing") => {
            ctx.engine.buffers_fixed = args.int(3)? == 0;
            out.ok();
            Ok(())
        }
        (b"set-active-expire", 3) => {
            ctx.engine.active_expire = args.int(2)? != 0;
            out.ok();
            Ok(())
        }
        (b"set-skip-checksum-validation", 3) => {
            ctx.engine.persistence.trusts_checksums = args.int(2)? != 0;
            out.ok();
            Ok(())
        }
        (b"set-disable-deny-scripts", 3) => {
            ctx.engine.scripts_call_anything = args.int(2)? != 0;
            out.ok();
            Ok(())
        }
        (b"quicklist-packed-threshold", 3) => packed_threshold(ctx, args, out),
        (b"listpack", 3) => listpack(ctx, args, out),
        (b"stringmatch-len", 4) => {
            out.bool(glob::matches(args[3], args[2], false));
            Ok(())
        }
        (b"populate", 3..=5) => populate(ctx, args, out),
        (b"htstats", 3..=4) => table_stats(ctx, args, out),
        (b"htstats-key", 3..=4) => value_table_stats(ctx, args, out),
        (b"segfault" | b"panic" | b"assert", 2) => {
            let why = format!("DEBUG {}", String::from_utf8_lossy(&word));
            ctx.engine.env.crash(&why, word == b"segfault");
            Err(errors::NO_CRASH)
        }
        (b"error", 3) => Err(CommandError::owned(String::from_utf8_lossy(args[2]).into_owned())),
        (b"log", 3) => {
            let message = format!("DEBUG LOG: {}", String::from_utf8_lossy(args[2]));
            ctx.engine.env.log(perilune_script::LogLevel::Warning, &message);
            out.ok();
            Ok(())
        }
        (b"config-rewrite-force-all", 2) => {
            let config: &Config = &ctx.engine.config;
            let users = ctx.engine.acl.config_lines(config);
            let rewritten =
                ctx.engine.env.rewrite_config_file(&|old| config.rewrite_all(old, &users));
            rewritten.map_err(|reason| errors::config_rewrite(&reason))?;
            out.ok();
            Ok(())
        }
        _ => Err(errors::wrong_subcommand_arity("DEBUG", args[1])),
    }
}

/// Holds the engine for a time, as a command that takes long would.
fn sleep(args: Args<'_>, out: &mut dyn ReplyWriter) -> Reply {
    let seconds = args.float(2)?;
    let time = Duration::try_from_secs_f64(seconds).map_err(|_| errors::OUT_OF_RANGE)?;
    std::thread::sleep(time.min(SLEEP_MAX));
    out.ok();
    Ok(())
}

fn object(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Reply {
    let now_s = (ctx.engine.now_us / 1_000_000) as u32;
    let Some(entry) = ctx.engine.keyspace.db(ctx.db_index()).get(args[2]) else {
        return Err(errors::NO_SUCH_KEY);
    };
    let value = entry.value();
    let mut text = format!(
        "Value at:{:p} refcount:1 encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{}",
        entry.name().as_ptr(),
        value.encoding(),
        value.memory_usage(0),
        entry.access(),
        entry.idle_s(now_s),
    );
    if let ValueRef::List(list) = value
        && let Some(info) = list.quicklist_info()
    {
        let average = list.len() as f64 / info.nodes.max(1) as f64;
        text.push_str(&format!(
            " ql_nodes:{} ql_avg_node:{average:.2} ql_listpack_max:{} ql_compressed:{} \
             ql_uncompressed_size:{}",
            info.nodes,
            info.node_size,
            i32::from(info.compress_depth != 0),
            info.expanded_size,
        ));
    }
    out.status(text.as_bytes());
    Ok(())
}

/// Writes the snapshot file unless told otherwise, and continues with what reading it gives.
fn reload(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Reply {
    let (mut save, mut flush, mut merge) = (true, true, false);
    for at in 2..args.len() {
        match args[at].to_ascii_lowercase().as_slice() {
            b"nosave" => save = false,
            b"noflush" => flush = false,
            b"merge" => merge = true,
            _ => return Err(errors::RELOAD_OPTIONS),
        }
    }
    if save {
        // Why it failed is in the log.
        ctx.engine.save_now().map_err(|_| errors::UNNAMED)?;
    }
    ctx.engine.reload(ctx.client, flush, merge)?;
    ctx.propagate_nothing();
    ctx.engine.env.log(perilune_script::LogLevel::Warning, "DB reloaded by DEBUG RELOAD");
    out.ok();
    Ok(())
}

fn digest_value(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Reply {
    let db = ctx.engine.keyspace.db(ctx.db_index());
    out.array(args.len() - 2);
    for key in args.from(2) {
        let mut digest = Digest::default();
        if let Some(entry) = db.get(key) {
            digest.add_entry(entry);
        }
        out.status(digest.hex().as_bytes());
    }
    Ok(())
}

/// One reply of every kind, for tests of clients and of conversions in scripts.
// The number is the one that clients' tests expect, not pi.
#[allow(clippy::approx_constant)]
fn protocol(args: Args<'_>, out: &mut dyn ReplyWriter) -> Reply {
    match args[2].to_ascii_lowercase().as_slice() {
        b"string" => out.bulk(b"Hello World"),
        b"integer" => out.int(12345),
        b"double" => out.double(3.141),
        b"bignum" => out.big_number(b"1234567999999999999999999999999999999"),
        b"null" => out.null(),
        b"array" => {
            out.array(3);
            (0..3).for_each(|n| out.int(n));
        }
        b"set" => {
            out.set(3);
            (0..3).for_each(|n| out.int(n));
        }
        b"map" => {
            out.map(3);
            for n in 0..3 {
                out.int(n);
                out.bool(n == 1);
            }
        }
        b"attrib" => {
            if out.protocol() == Protocol::Resp3 {
                out.attribute(1);
                out.bulk(b"key-popularity");
                out.array(2);
                out.bulk(b"key:123");
                out.int(90);
            }
            out.bulk(b"Some real reply following the attribute");
        }
        b"push" => {
            if out.protocol() == Protocol::Resp2 {
                return Err(errors::RESP2_UNSUPPORTED);
            }
            out.push(2);
            out.bulk(b"server-cpu-usage");
            out.int(42);
            out.bulk(b"Some real reply following the push reply");
        }
        b"true" => out.bool(true),
        b"false" => out.bool(false),
        b"verbatim" => out.verbatim(b"txt", b"This is a verbatim\nstring"),
        _ => return Err(errors::DEBUG_PROTOCOL_TYPE),
    }
    Ok(())
}

fn packed_threshold(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Reply {
    let bytes = crate::config::memory_bytes(args[2])
        .filter(|bytes| *bytes <= PACKED_THRESHOLD_MAX)
        .ok_or(errors::DEBUG_MEMORY_VALUE)?;
    let default = perilune_keyspace::EncodingLimits::default().list_packed_threshold;
    ctx.engine.limits.list_packed_threshold = match bytes {
        0 => default,
        bytes => bytes as usize,
    };
    out.ok();
    Ok(())
}

fn listpack(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Reply {
    let db = ctx.engine.keyspace.db(ctx.db_index());
    let Some(entry) = db.get(args[2]) else { return Err(errors::NO_SUCH_KEY) };
    let found = match entry.value() {
        ValueRef::List(list) => list.as_listpack(),
        ValueRef::Set(set) => set.as_listpack(),
        ValueRef::ZSet(zset) => zset.as_listpack(),
        ValueRef::Hash(hash) => hash.as_listpack(),
        _ => None,
    };
    let Some(listpack) = found else { return Err(errors::NOT_A_LISTPACK) };
    let bytes = listpack.as_bytes();
    out.status(
        format!("{} elements, {} bytes: {}", listpack.len(), bytes.len(), bytes.escape_ascii())
            .as_bytes(),
    );
    Ok(())
}

fn populate(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Reply {
    let count = args.int_in(2, 0..=i64::from(i32::MAX), errors::OUT_OF_RANGE)?;
    let prefix = args.get(3).unwrap_or(b"key");
    let size = match args.len() {
        5 => args.int_in(4, 0..=512 << 20, errors::OUT_OF_RANGE)? as usize,
        _ => 0,
    };
    for n in 0..count {
        let mut key = prefix.to_vec();
        key.extend_from_slice(format!(":{n}").as_bytes());
        if ctx.exists(&key) {
            continue;
        }
        let mut content = format!("value:{n}").into_bytes();
        if size > 0 {
            content.resize(size, 0);
        }
        ctx.put_text(&key, &content);
        ctx.touch(&key);
    }
    out.ok();
    Ok(())
}

fn table_stats(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Reply {
    let count = ctx.engine.keyspace.count() as i64;
    let index = args.int_in(2, 0..=count - 1, errors::DB_OUT_OF_RANGE)? as usize;
    let full = args.is(3, "full");
    let db = ctx.engine.keyspace.db(index);
    let mut text = String::from("[Dictionary HT]\n");
    describe_table(&mut text, &db.table_statistics(), full);
    // Deadlines stand in a tree: there is no second table.
    text.push_str(&format!("[Expires]\n number of elements: {}\n", db.volatile_len()));
    out.verbatim(b"txt", text.as_bytes());
    Ok(())
}

fn value_table_stats(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut dyn ReplyWriter) -> Reply {
    let db = ctx.engine.keyspace.db(ctx.db_index());
    let Some(entry) = db.get(args[2]) else { return Err(errors::NO_SUCH_KEY) };
    let statistics = match entry.value() {
        ValueRef::Hash(hash) => hash.table_statistics(),
        ValueRef::Set(set) => set.table_statistics(),
        ValueRef::ZSet(zset) => zset.table_statistics(),
        _ => None,
    };
    let Some(statistics) = statistics else { return Err(errors::NOT_A_TABLE) };
    let mut text = String::new();
    describe_table(&mut text, &statistics, args.is(3, "full"));
    out.verbatim(b"txt", text.as_bytes());
    Ok(())
}

/// Describes the array of a table, and the one it is being resized to.
fn describe_table(
    text: &mut String,
    (main, target): &(ArrayStatistics, Option<ArrayStatistics>),
    full: bool,
) {
    let arrays = [(Some(main), "main hash table"), (target.as_ref(), "rehashing target")];
    let arrays = arrays.iter().filter_map(|(array, name)| Some(((*array)?, name)));
    for (number, (array, name)) in arrays.enumerate() {
        let (buckets, entries, used) = (array.buckets, array.entries, array.used());
        text.push_str(&format!(
            "Hash table {number} stats ({name}):\n table size: {buckets}\n number of elements: \
             {entries}\n"
        ));
        if !full || entries == 0 {
            continue;
        }
        let average = entries as f64 / used.max(1) as f64;
        text.push_str(&format!(
            " different slots: {used}\n max chain length: {}\n avg chain length: {average:.2}\n \
             Chain length distribution:\n",
            array.longest(),
        ));
        for (length, count) in array.spread.iter().enumerate().filter(|(_, count)| **count > 0) {
            let percent = *count as f64 * 100.0 / buckets.max(1) as f64;
            text.push_str(&format!("   {length}: {count} ({percent:.2}%)\n"));
        }
    }
}

fn help(args: Args<'_>, out: &mut dyn ReplyWriter) -> Reply {
    super::help::write(
        args,
        out,
        &[
            "ASSERT, PANIC, SEGFAULT",
            "    Crash the server, with a report in the log.",
            "AOF-FLUSH-SLEEP <microsec>",
            "    Wait before every write to the append-only file.",
            "CONFIG-REWRITE-FORCE-ALL",
            "    Write every parameter to the configuration file, defaults included.",
            "DIGEST",
            "    Tell a digest of all data.",
            "DIGEST-VALUE <key> [<key> ...]",
            "    Tell a digest of each value.",
            "ERROR <message>",
            "    Answer with this error.",
            "HTSTATS <dbid> [FULL]",
            "    Describe the hash table of a database.",
            "HTSTATS-KEY <key> [FULL]",
            "    Describe the hash table of a hash, set or sorted set.",
            "LOADAOF",
            "    Forget all data and read the append-only file.",
            "LISTPACK <key>",
            "    Show the bytes of a value that is encoded as a listpack.",
            "LOG <message>",
            "    Write a line to the log.",
            "OBJECT <key>",
            "    Describe the value of a key.",
            "PAUSE-CRON <0|1>",
            "    Stop all work that no client asked for.",
            "POPULATE <count> [<prefix>] [<size>]",
            "    Create string keys.",
            "PROTOCOL <type>",
            "    Answer with a reply of this type.",
            "QUICKLIST-PACKED-THRESHOLD <size>",
            "    Set the size above which a list element gets a node of its own.",
            "REPLYBUFFER PEAK-RESET-TIME <NEVER|RESET|milliseconds>",
            "    Forget the longest reply of a client after this time.",
            "REPLYBUFFER RESIZING <0|1>",
            "    Let connections keep buffers that they do not use.",
            "RELOAD [MERGE] [NOFLUSH] [NOSAVE]",
            "    Write the snapshot file and read it back; MERGE keeps the keys that are not in the",
            "    file and replaces the others, NOFLUSH keeps all data and fails if a key is in both,",
            "    NOSAVE reads the file that is there.",
            "SET-ACTIVE-EXPIRE <0|1>",
            "    Switch the removal of expired keys in the background.",
            "SET-DISABLE-DENY-SCRIPTS <0|1>",
            "    Let scripts call commands that are forbidden to them.",
            "SET-SKIP-CHECKSUM-VALIDATION <0|1>",
            "    Do not look at the checksums of payloads and files.",
            "SLEEP <seconds>",
            "    Stop the server for a time.",
            "STRINGMATCH-LEN <string> <pattern>",
            "    Tell whether a glob pattern matches.",
        ],
    );
    Ok(())
}
