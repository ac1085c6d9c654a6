//! Data files made by other servers and read here, and the other way round: snapshots, append-only
//! files with a snapshot as their base, and those of commands only.
//!
//! The others are the `redis-server` and `valkey-server` on the search path, and those named in
//! `PERILUNE_RIVALS`, a list of paths separated by colons.

use perilune_resp::Value;
use perilune_testkit::Connection;
use perilune_tests::{Server, ServerBuilder, eventually, int, ok, server_binary};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A deadline far away, Unix milliseconds.
const DEADLINE_MS: i64 = 4_000_000_000_123;
const LIBRARY: &str =
    "#!lua name=answers\nredis.register_function('answer', function() return 42 end)";

/// How the data are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Snapshot,
    AppendOnly,
    AppendOnlyCommands,
}

/// Another server.
struct Rival {
    binary: PathBuf,
    /// It reads snapshots of our version: Redis since 7.2, every Valkey.
    reads_our_snapshots: bool,
}

impl Rival {
    fn new(binary: PathBuf) -> Option<Rival> {
        let output = Command::new(&binary).arg("--version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let mut numbers = text.split_once("v=")?.1.split('.');
        let version: (u32, u32) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
        let known = version >= (7, 0);
        known.then_some(Rival { binary, reads_our_snapshots: version >= (7, 2) })
    }
}

fn rivals() -> Vec<Rival> {
    let named = std::env::var_os("PERILUNE_RIVALS").unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = ["redis-server", "valkey-server"].map(|name| {
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|it| it.is_file())
    });
    let named: Vec<PathBuf> = std::env::split_paths(&named).filter(|it| it.is_file()).collect();
    named.into_iter().chain(on_path.into_iter().flatten()).filter_map(Rival::new).collect()
}

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("perilune-trip-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("the temporary folder is writable");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn start(builder: ServerBuilder, folder: &Path, layout: Layout) -> (Server, Connection) {
    // A line of the log of the server before would be taken for one of this.
    let _ = std::fs::remove_file(folder.join("server.log"));
    let builder = builder.within(folder).set("enable-debug-command", "yes");
    let builder = match layout {
        Layout::Snapshot => builder,
        Layout::AppendOnly => builder.set("appendonly", "yes"),
        Layout::AppendOnlyCommands => {
            builder.set("appendonly", "yes").set("aof-use-rdb-preamble", "no")
        }
    };
    let server = builder.start();
    let client = server.connect();
    (server, client)
}

fn run(client: &mut Connection, words: &[&str]) -> Value {
    client.run(words).expect("a reply")
}

/// Runs a command that is split at its blanks.
fn line(client: &mut Connection, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let reply = run(client, &words);
    assert!(!matches!(reply, Value::Error(_)), "{line}: {reply:?}");
}

/// Keys of every type, in every encoding.
fn fill(client: &mut Connection) {
    assert_eq!(run(client, &["FUNCTION", "LOAD", LIBRARY]), Value::bulk("answers"));
    for db in ["5", "0"] {
        run(client, &["SELECT", db]);
        let texts = ["", "1", "-129", "70000", "9223372036854775807", "short"];
        for (number, text) in texts.iter().enumerate() {
            run(client, &["SET", &format!("string:{number}"), text]);
        }
        run(client, &["SET", "string:long", &"again and ".repeat(5000)]);
        // Of so many bytes an element is a node of its own, between nodes of many.
        line(client, "DEBUG QUICKLIST-PACKED-THRESHOLD 1000b");
        run(client, &["RPUSH", "list:plain", "a", &"x".repeat(20_000), "b", &"y".repeat(1000)]);
        line(client, "DEBUG QUICKLIST-PACKED-THRESHOLD 0");
        line(client, "SETBIT string:bits 1000 1");
        line(client, "PFADD hll a b c");
        line(client, "SADD set:mixed a b 1");
        line(client, "SADD set:wide 1099511627776 -5 7");
        line(client, "ZADD zset:small 1.5 a -3 b inf c");
        line(client, "GEOADD geo 13.361389 38.115556 a 15.087269 37.502669 b");
        for (count, size) in [(5, "few"), (700, "many")] {
            for number in 0..count {
                // The digest of Redis 7.0 holds 17 digits of a score, later ones the fewest that
                // tell it: these scores have one text.
                let score = f64::from(number) / 8.0;
                line(client, &format!("RPUSH list:{size} element:{number} {number}"));
                line(client, &format!("SADD set:{size} member:{number}"));
                line(client, &format!("SADD ints:{size} {number}"));
                line(client, &format!("HSET hash:{size} field:{number} {number}"));
                line(client, &format!("ZADD zset:{size} {score} member:{number}"));
                line(client, &format!("XADD stream:{size} {}-1 f {number}", number + 1));
            }
        }
        for command in [
            "XDEL stream:many 4-1 700-1",
            "XGROUP CREATE stream:many readers 0",
            "XREADGROUP GROUP readers one COUNT 20 STREAMS stream:many >",
            "XREADGROUP GROUP readers two COUNT 5 STREAMS stream:many >",
            "XACK stream:many readers 1-1",
            "XGROUP CREATECONSUMER stream:many readers idle",
            "XGROUP CREATE stream:many others 9-0 ENTRIESREAD 8",
            "XGROUP CREATE stream:empty readers $ MKSTREAM",
        ] {
            line(client, command);
        }
        for key in ["string:1", "hash:many", "stream:many"] {
            line(client, &format!("PEXPIREAT {key} {DEADLINE_MS}"));
        }
    }
}

/// What a server holds, as far as it can be told in short.
fn content(client: &mut Connection) -> Vec<Value> {
    let mut content =
        vec![run(client, &["DEBUG", "DIGEST"]), run(client, &["FCALL", "answer", "0"])];
    for db in ["5", "0"] {
        run(client, &["SELECT", db]);
        content.push(run(client, &["DBSIZE"]));
        for key in ["string:1", "hash:many", "stream:many", "list:many"] {
            content.push(run(client, &["PEXPIRETIME", key]));
        }
        // The digest says nothing of groups.
        content.push(run(client, &["XPENDING", "stream:many", "readers"]));
        content.push(run(client, &["XINFO", "GROUPS", "stream:many"]));
        content.push(run(client, &["XINFO", "GROUPS", "stream:empty"]));
        content.extend(deliveries(client));
        content.push(run(client, &["XLEN", "stream:many"]));
    }
    content
}

/// The pending entries with their consumers and how often they were delivered, without the times
/// since then.
fn deliveries(client: &mut Connection) -> Vec<Value> {
    let words = ["XPENDING", "stream:many", "readers", "-", "+", "100"];
    let Value::Array(entries) = run(client, &words) else { panic!("an array is expected") };
    entries
        .into_iter()
        .map(|entry| match entry {
            Value::Array(mut facts) if facts.len() == 4 => {
                facts.remove(2);
                Value::Array(facts)
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

/// Has everything written, adds to what is rewritten, and ends the server. What it held.
fn keep(mut server: Server, mut client: Connection, layout: Layout) -> Vec<Value> {
    if layout == Layout::Snapshot {
        assert_eq!(run(&mut client, &["SAVE"]), ok());
    } else {
        line(&mut client, "BGREWRITEAOF");
        eventually("the end of the rewrite", || {
            let Value::Bulk(info) = run(&mut client, &["INFO", "persistence"]) else { return None };
            let info = String::from_utf8_lossy(&info).into_owned();
            (info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0"))
                .then_some(())
        });
        line(&mut client, "INCR counter");
        line(&mut client, "XADD stream:many * f more");
    }
    let content = content(&mut client);
    client.send(&["SHUTDOWN", "NOSAVE"]).expect("sent");
    client.read_to_end().expect("closed");
    assert!(server.wait().success(), "{}", server.log());
    content
}

/// There and back.
fn travel(rival: &Rival, layout: Layout) {
    let name = rival.binary.display().to_string();
    let folder = Folder::new(&format!("{layout:?}"));
    let (server, mut client) = start(ServerBuilder::of(&rival.binary), &folder.0, layout);
    fill(&mut client);
    let kept = keep(server, client, layout);

    let (server, mut client) = start(Server::builder(), &folder.0, layout);
    assert_eq!(content(&mut client), kept, "{layout:?} of {name}");
    let kept = keep(server, client, layout);

    if rival.reads_our_snapshots || layout == Layout::AppendOnlyCommands {
        let (_server, mut client) = start(ServerBuilder::of(&rival.binary), &folder.0, layout);
        assert_eq!(content(&mut client), kept, "{layout:?} back to {name}");
        assert_eq!(run(&mut client, &["INCRBY", "string:1", "0"]), int(1));
    }
    let _ = std::fs::remove_dir_all(&folder.0);
}

#[test]
fn data_go_there_and_back() {
    let rivals = rivals();
    if rivals.is_empty() {
        println!("skipped: there is neither a redis-server nor a valkey-server");
    }
    for rival in rivals {
        for layout in [Layout::Snapshot, Layout::AppendOnly, Layout::AppendOnlyCommands] {
            travel(&rival, layout);
        }
    }
}

/// How long a key was idle, seconds, and how often it was used, as the server counts it.
const IDLE_S: i64 = 5000;
const FREQUENCY: i64 = 200;
/// How long the test may take.
const LATE_S: i64 = 600;

/// A server that keeps facts about the use of its keys in its snapshots.
fn start_evicting(builder: ServerBuilder, folder: &Path, policy: &str) -> (Server, Connection) {
    let builder = builder.set("maxmemory-policy", policy).set("lfu-decay-time", "0");
    start(builder, folder, Layout::Snapshot)
}

fn check_access(client: &mut Connection, policy: &str, who: &str) {
    let (what, expected) = match policy {
        "allkeys-lru" => ("IDLETIME", IDLE_S..IDLE_S + LATE_S),
        _ => ("FREQ", FREQUENCY..FREQUENCY + 1),
    };
    let Value::Int(found) = run(client, &["OBJECT", what, "used"]) else { panic!("{who}: {what}") };
    assert!(expected.contains(&found), "{what} {found} at {who}");
}

#[test]
fn what_is_known_of_the_use_of_keys_goes_along() {
    for rival in rivals().iter().filter(|rival| rival.reads_our_snapshots) {
        for policy in ["allkeys-lru", "allkeys-lfu"] {
            let folder = Folder::new(policy);
            let theirs = || ServerBuilder::of(&rival.binary);
            let name = rival.binary.display().to_string();
            let (server, mut client) = start_evicting(theirs(), &folder.0, policy);
            line(&mut client, "SET used value");
            let Value::Bulk(payload) = run(&mut client, &["DUMP", "used"]) else { panic!() };
            let (idle, frequency) = (IDLE_S.to_string(), FREQUENCY.to_string());
            let fact = match policy {
                "allkeys-lru" => ["IDLETIME", &idle],
                _ => ["FREQ", &frequency],
            };
            let words = [b"RESTORE".as_slice(), b"used", b"0", &payload, b"REPLACE"];
            let words: Vec<&[u8]> =
                words.into_iter().chain(fact.iter().map(|word| word.as_bytes())).collect();
            assert_eq!(client.run(&words).expect("a reply"), ok());
            check_access(&mut client, policy, &name);
            save_and_end(server, client);

            let (server, mut client) = start_evicting(Server::builder(), &folder.0, policy);
            check_access(&mut client, policy, "ours");
            save_and_end(server, client);

            let (_server, mut client) = start_evicting(theirs(), &folder.0, policy);
            check_access(&mut client, policy, &name);
        }
    }
}

/// Hashes whose fields expire, of servers that have them, are refused by name, and the file stays.
#[test]
fn data_that_cannot_be_kept_are_refused() {
    for rival in rivals() {
        let folder = Folder::new("refused");
        let (server, mut client) =
            start(ServerBuilder::of(&rival.binary), &folder.0, Layout::Snapshot);
        line(&mut client, "HSET fading a 1 b 2");
        let expire = ["HEXPIRE", "fading", "1000", "FIELDS", "1", "a"];
        if run(&mut client, &expire).as_error().is_some() {
            continue;
        }
        save_and_end(server, client);
        let path = folder.0.join("dump.rdb");
        let before = std::fs::read(&path).expect("there is a snapshot");
        let output = Command::new(server_binary())
            .args(["--port", "0", "--dir"])
            .arg(&folder.0)
            .output()
            .expect("the server's binary starts");
        assert!(!output.status.success());
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(told.contains("at key \"fading\" -> a hash whose fields expire (type 2"), "{told}");
        assert_eq!(std::fs::read(&path).ok(), Some(before));
    }
}

fn save_and_end(mut server: Server, mut client: Connection) {
    assert_eq!(run(&mut client, &["SAVE"]), ok());
    client.send(&["SHUTDOWN", "NOSAVE"]).expect("sent");
    client.read_to_end().expect("closed");
    assert!(server.wait().success(), "{}", server.log());
}
