//! Two servers and the same steps on both.

use super::generate::Step;
use super::normal::Judge;
use super::pools;
use crate::{Server, ServerBuilder};
use perilune_resp::{Value, append_quoted, format_cli};
use perilune_testkit::Connection;
use std::fmt;
use std::io;
use std::path::Path;

/// Steps sent before their replies are read.
const BATCH: usize = 16;

/// Sizes at which encodings change, as the configurations that sequences run under.
const LIMITS: &[&[(&str, &str)]] = &[
    &[
        ("list-max-listpack-size", "-2"),
        ("hash-max-listpack-entries", "512"),
        ("hash-max-listpack-value", "64"),
        ("set-max-intset-entries", "512"),
        ("set-max-listpack-entries", "128"),
        ("zset-max-listpack-entries", "128"),
        ("stream-node-max-entries", "100"),
        ("hll-sparse-max-bytes", "3000"),
        ("list-compress-depth", "0"),
    ],
    &[
        ("list-max-listpack-size", "3"),
        ("hash-max-listpack-entries", "2"),
        ("hash-max-listpack-value", "8"),
        ("set-max-intset-entries", "2"),
        ("set-max-listpack-entries", "2"),
        ("zset-max-listpack-entries", "2"),
        ("stream-node-max-entries", "3"),
        ("hll-sparse-max-bytes", "40"),
        ("list-compress-depth", "1"),
    ],
];

/// Where two servers differ.
#[derive(Debug, Clone)]
pub struct Difference {
    /// Number of the step, or of all when the contents differ at the end.
    pub at: usize,
    /// What was asked.
    pub asked: String,
    /// Our reply.
    pub ours: String,
    /// Theirs.
    pub theirs: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { at, asked, ours, theirs } = self;
        write!(f, "step {at}: {asked}\nours:\n{ours}theirs:\n{theirs}")
    }
}

/// Our server and a real Redis.
#[derive(Debug)]
pub struct Sides {
    clients: [Connection; 2],
    servers: [Server; 2],
}

impl Sides {
    /// Starts both.
    pub fn start(oracle: &Path) -> Self {
        let configured = |builder: ServerBuilder| {
            builder.set("enable-debug-command", "yes").set("lfu-log-factor", "10").start()
        };
        let servers = [configured(Server::builder()), configured(ServerBuilder::of(oracle))];
        let clients = [servers[0].connect(), servers[1].connect()];
        Sides { clients, servers }
    }

    /// Whether the other side has a command of this name.
    pub fn is_known(&mut self, name: &str) -> bool {
        let info = self.clients[1].run(&["COMMAND", "INFO", name]);
        matches!(info, Ok(Value::Array(rows)) if matches!(rows[..], [Value::Array(_)]))
    }

    /// Plays steps on empty servers. `style` chooses protocol and limits; it is part of what has to
    /// be repeated to see the same again.
    pub fn play(&mut self, style: usize, steps: &[Step]) -> io::Result<Option<Difference>> {
        self.prepare(style)?;
        let mut judge = Judge::default();
        for (number, batch) in steps.chunks(BATCH).enumerate() {
            for client in &mut self.clients {
                let mut bytes = Vec::new();
                batch.iter().for_each(|it| perilune_resp::encode_request(&it.words, &mut bytes));
                client.send_raw(&bytes)?;
            }
            let found = self.compare_replies(&mut judge, batch, number * BATCH);
            if found.is_some() {
                return Ok(found);
            }
        }
        self.compare_contents(steps.len())
    }

    /// Reads the replies to a batch. A reply that does not come is a difference, too.
    fn compare_replies(
        &mut self,
        judge: &mut Judge,
        batch: &[Step],
        first: usize,
    ) -> Option<Difference> {
        let mut found = None;
        for (at, step) in batch.iter().enumerate() {
            let (ours, theirs) = (self.clients[0].receive_raw(), self.clients[1].receive_raw());
            let differ = |ours: String, theirs: String| {
                Some(Difference { at: first + at, asked: one_line(step), ours, theirs })
            };
            let ((our, our_bytes), (their, their_bytes)) = match (ours, theirs) {
                (Ok(ours), Ok(theirs)) => (ours, theirs),
                (ours, theirs) => {
                    self.reconnect();
                    let [ours, theirs] = [ours, theirs].map(|reply| match reply {
                        Ok((value, bytes)) => shown((&value, bytes)),
                        Err(error) => format!("{error}\n"),
                    });
                    // Whichever command of the batch is the reason, all of them are needed.
                    let missing = differ(ours, theirs);
                    let at = first + batch.len() - 1;
                    return found.or_else(|| missing.map(|it| Difference { at, ..it }));
                }
            };
            // The judge has to see all, to know what is in a transaction.
            let equal = judge.equal(step, &our, &their);
            if our_bytes != their_bytes && !equal && found.is_none() {
                found = differ(shown((&our, our_bytes)), shown((&their, their_bytes)));
            }
        }
        found
    }

    /// New connections, after one on which replies are missing.
    fn reconnect(&mut self) {
        self.clients = [self.servers[0].connect(), self.servers[1].connect()];
    }

    /// Runs a command on both.
    fn both(&mut self, words: &[&[u8]]) -> io::Result<[Value; 2]> {
        for client in &mut self.clients {
            client.send(words)?;
        }
        Ok([self.clients[0].receive()?, self.clients[1].receive()?])
    }

    fn prepare(&mut self, style: usize) -> io::Result<()> {
        let protocol = if style.is_multiple_of(2) { "2" } else { "3" };
        let mut lines = vec![
            "RESET".to_owned(),
            format!("HELLO {protocol}"),
            "FLUSHALL".into(),
            "FUNCTION FLUSH".into(),
            "SCRIPT FLUSH".into(),
            "ACL DELUSER alice bob".into(),
        ];
        let limits = LIMITS[style / 2 % LIMITS.len()];
        lines.extend(limits.iter().map(|(name, value)| format!("CONFIG SET {name} {value}")));
        for line in lines {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            let [ours, _] = self.both(&words)?;
            if let Some(error) = ours.as_error() {
                return Err(io::Error::other(format!("{line}: {}", error.escape_ascii())));
            }
        }
        Ok(())
    }

    fn compare_contents(&mut self, at: usize) -> io::Result<Option<Difference>> {
        self.both(&[b"RESET"])?;
        let digests = self.both(&[b"DEBUG", b"DIGEST"])?;
        if digests[0] != digests[1] {
            for key in pools::keys() {
                let command = [b"DEBUG", &b"DIGEST-VALUE"[..], key.as_bytes()];
                let [ours, theirs] = self.both(&command)?;
                if ours != theirs {
                    let asked = format!("content of {key}");
                    let [ours, theirs] = self.both(&[b"DUMP", key.as_bytes()])?;
                    let (ours, theirs) = (format_cli(&ours), format_cli(&theirs));
                    return Ok(Some(Difference { at, asked, ours, theirs }));
                }
            }
            let [ours, theirs] = digests.map(|digest| format_cli(&digest));
            return Ok(Some(Difference { at, asked: "DEBUG DIGEST".into(), ours, theirs }));
        }
        for key in pools::keys() {
            let difference = self.compare_key(at, key.as_bytes())?;
            if difference.is_some() {
                return Ok(difference);
            }
        }
        Ok(None)
    }

    /// Compares encodings, and gives each the other's payload of the value.
    fn compare_key(&mut self, at: usize, key: &[u8]) -> io::Result<Option<Difference>> {
        let differ = |asked: &str, [ours, theirs]: [Value; 2]| {
            let asked = format!("{asked} {}", key.escape_ascii());
            let [ours, theirs] = [ours, theirs].map(|value| format_cli(&value));
            (ours != theirs).then_some(Difference { at, asked, ours, theirs })
        };
        let encodings = self.both(&[b"OBJECT", b"ENCODING", key])?;
        if encodings[1] == Value::Null {
            return Ok(differ("OBJECT ENCODING", encodings));
        }
        if let Some(difference) = differ("OBJECT ENCODING", encodings) {
            return Ok(Some(difference));
        }
        let [ours, theirs] = self.both(&[b"DUMP", key])?;
        let (Value::Bulk(ours), Value::Bulk(theirs)) = (&ours, &theirs) else {
            return Ok(differ("DUMP", [ours, theirs]));
        };
        for (client, payload) in self.clients.iter_mut().zip([theirs, ours]) {
            client.send(&[b"RESTORE", &b"exchanged"[..], b"0", payload, b"REPLACE"])?;
        }
        let restored = [self.clients[0].receive()?, self.clients[1].receive()?];
        if let Some(difference) = differ("exchange of", restored) {
            return Ok(Some(difference));
        }
        let digests = self.both(&[b"DEBUG", b"DIGEST-VALUE", b"exchanged"])?;
        self.both(&[b"DEL", b"exchanged"])?;
        Ok(differ("what was exchanged of", digests))
    }
}

fn shown((value, bytes): (&Value, Vec<u8>)) -> String {
    let cut = bytes.len().min(2000);
    format!("{}  {}\n", format_cli(value), bytes[..cut].escape_ascii())
}

/// A step as a line that could be typed.
pub(super) fn one_line(step: &Step) -> String {
    let mut line = Vec::new();
    for (at, word) in step.words.iter().enumerate() {
        if at > 0 {
            line.push(b' ');
        }
        let plain =
            !word.is_empty() && word.iter().all(|b| b.is_ascii_graphic() && !b"\"'\\".contains(b));
        if plain { line.extend_from_slice(word) } else { append_quoted(&mut line, word) }
    }
    String::from_utf8_lossy(&line).into_owned()
}
