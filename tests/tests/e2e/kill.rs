//! `kill -9` under load: with `appendfsync always` nothing that was acknowledged is lost, and of a
//! transaction or a script all or nothing is there. `PERILUNE_KILL_ROUNDS` sets the number of kills.

use nix::sys::signal::Signal;
use perilune_resp::Value;
use perilune_testkit::Connection;
use perilune_tests::Server;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const ROUNDS: u64 = 10;
const WRITERS: usize = 4;
/// Adds one to both of its keys.
const SCRIPT: &str = "redis.call('INCR', KEYS[1]) redis.call('INCR', KEYS[2]) return 1";

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("perilune-kill-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary folder is writable");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn start(folder: &Path) -> Server {
    let _ = std::fs::remove_file(folder.join("server.log"));
    let builder = Server::builder().within(folder).set("appendonly", "yes");
    builder.set("appendfsync", "always").set("auto-aof-rewrite-percentage", "0").start()
}

/// Writes until the server is gone, by turns with a transaction and a script, and counts what was
/// acknowledged.
fn write(mut client: Connection, writer: usize, acknowledged: &AtomicI64) {
    let (a, b) = (format!("a:{writer}"), format!("b:{writer}"));
    let mut unit = || -> std::io::Result<()> {
        for words in [vec!["MULTI"], vec!["INCR", &a], vec!["INCR", &b]] {
            client.run(&words)?;
        }
        client.run(&["EXEC"])?;
        acknowledged.fetch_add(1, Ordering::Relaxed);
        client.run(&["EVAL", SCRIPT, "2", &a, &b])?;
        acknowledged.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    while unit().is_ok() {}
}

fn number(client: &mut Connection, key: String) -> i64 {
    match client.run(&["INCRBY".to_owned(), key, "0".to_owned()]).expect("a reply") {
        Value::Int(number) => number,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_acknowledged_is_lost() {
    let rounds = std::env::var("PERILUNE_KILL_ROUNDS").ok().and_then(|text| text.parse().ok());
    let folder = Folder::new();
    let acknowledged: Vec<Arc<AtomicI64>> = (0..WRITERS).map(|_| Arc::default()).collect();
    for round in 0..rounds.unwrap_or(ROUNDS) {
        let mut server = start(&folder.0);
        let mut client = server.connect();
        for (writer, acknowledged) in acknowledged.iter().enumerate() {
            let [a, b] = ["a", "b"].map(|name| number(&mut client, format!("{name}:{writer}")));
            let told = acknowledged.load(Ordering::Relaxed);
            assert_eq!(a, b, "half a unit in round {round}");
            // Of each kill at most one unit per writer was on its way.
            assert!((told..=told + 1).contains(&a), "{told} told, {a} there in round {round}");
            acknowledged.store(a, Ordering::Relaxed);
        }
        let writers: Vec<JoinHandle<()>> = acknowledged
            .iter()
            .enumerate()
            .map(|(writer, acknowledged)| {
                let (client, acknowledged) = (server.connect(), Arc::clone(acknowledged));
                std::thread::spawn(move || write(client, writer, &acknowledged))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(20 + round * 37 % 150));
        if round % 2 == 1 {
            client.run(&["BGREWRITEAOF"]).expect("a reply");
            std::thread::sleep(Duration::from_millis(round * 53 % 400));
        }
        server.signal(Signal::SIGKILL);
        server.wait();
        for writer in writers {
            writer.join().expect("writers end with the server");
        }
    }
}
