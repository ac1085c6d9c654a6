//! Two servers and the same steps on both.

use super::generate::{Step, Words, before_sort, sorts};
use super::normal::Judge;
use super::{Oracle, Version, versions};
use crate::{Server, ServerBuilder};
use perilune_resp::{Value, append_quoted, encode_request, format_cli};
use perilune_testkit::Connection;
use std::fmt;
use std::io;

/// Steps sent before their replies are read.
const BATCH: usize = 64;

/// What both servers are started with: no compression and no slow commands, so that payloads and
/// the slow log depend on nothing but the commands.
const SETTINGS: &[(&str, &str)] = &[
    ("enable-debug-command", "yes"),
    ("lfu-log-factor", "10"),
    ("notify-keyspace-events", "KEA"),
    ("rdbcompression", "no"),
    ("slowlog-log-slower-than", "-1"),
];

/// Sizes at which encodings change, as the configurations that sequences run under.
const LIMITS: [&[(&str, &str)]; 4] = [
    &[
        ("list-max-listpack-size", "-2"),
        ("hash-max-listpack-entries", "512"),
        ("hash-max-listpack-value", "64"),
        ("set-max-intset-entries", "512"),
        ("set-max-listpack-entries", "128"),
        ("set-max-listpack-value", "64"),
        ("zset-max-listpack-entries", "128"),
        ("zset-max-listpack-value", "64"),
        ("stream-node-max-entries", "100"),
        ("stream-node-max-bytes", "4096"),
        ("hll-sparse-max-bytes", "3000"),
        ("list-compress-depth", "0"),
    ],
    &[
        ("list-max-listpack-size", "3"),
        ("hash-max-listpack-entries", "2"),
        ("hash-max-listpack-value", "8"),
        ("set-max-intset-entries", "2"),
        ("set-max-listpack-entries", "2"),
        ("set-max-listpack-value", "64"),
        ("zset-max-listpack-entries", "2"),
        ("zset-max-listpack-value", "64"),
        ("stream-node-max-entries", "3"),
        ("stream-node-max-bytes", "4096"),
        ("hll-sparse-max-bytes", "40"),
        ("list-compress-depth", "1"),
    ],
    &[
        ("list-max-listpack-size", "-1"),
        ("hash-max-listpack-entries", "100"),
        ("hash-max-listpack-value", "300"),
        ("set-max-intset-entries", "16"),
        ("set-max-listpack-entries", "16"),
        ("set-max-listpack-value", "300"),
        ("zset-max-listpack-entries", "32"),
        ("zset-max-listpack-value", "20"),
        ("stream-node-max-entries", "10"),
        ("stream-node-max-bytes", "100"),
        ("hll-sparse-max-bytes", "200"),
        ("list-compress-depth", "2"),
    ],
    // Long elements have nodes of their own.
    &[
        (PACKED_THRESHOLD, "40"),
        ("list-max-listpack-size", "5"),
        ("hash-max-listpack-entries", "20"),
        ("hash-max-listpack-value", "64"),
        ("set-max-intset-entries", "512"),
        ("set-max-listpack-entries", "20"),
        ("set-max-listpack-value", "64"),
        ("zset-max-listpack-entries", "20"),
        ("zset-max-listpack-value", "64"),
        ("stream-node-max-entries", "100"),
        ("stream-node-max-bytes", "300"),
        ("hll-sparse-max-bytes", "3000"),
        ("list-compress-depth", "0"),
    ],
];

/// Not a setting, but what `DEBUG` is told.
const PACKED_THRESHOLD: &str = "QUICKLIST-PACKED-THRESHOLD";

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

/// The channel that tells a listener that a batch is over.
const MARKS: &str = "end-of-batch";

/// Our server and a real Redis.
#[derive(Debug)]
pub struct Sides {
    clients: [Connection; 2],
    /// Hear of every event of the key space.
    listeners: [Connection; 2],
    /// Tell the listeners what they have heard of.
    markers: [Connection; 2],
    marks: u64,
    /// Run as long as this is there.
    _servers: [Server; 2],
    oracle: Oracle,
}

impl Sides {
    /// Combinations of protocols and limits.
    pub const STYLES: usize = 2 * LIMITS.len();

    /// Starts both.
    pub fn start(oracle: &Oracle) -> Self {
        let configured = |mut builder: ServerBuilder| {
            for (name, value) in SETTINGS {
                builder = builder.set(name, value);
            }
            builder.start()
        };
        let servers =
            [configured(Server::builder()), configured(ServerBuilder::of(&oracle.binary))];
        let connect = || [servers[0].connect(), servers[1].connect()];
        let (clients, listeners, markers) = (connect(), connect(), connect());
        let mut sides = Sides {
            clients,
            listeners,
            markers,
            marks: 0,
            _servers: servers,
            oracle: oracle.clone(),
        };
        sides.listen().expect("both servers take subscribers");
        sides
    }

    fn listen(&mut self) -> io::Result<()> {
        for listener in &mut self.listeners {
            listener.run(&["PSUBSCRIBE", "__key*__:*"])?;
            listener.run(&["SUBSCRIBE", MARKS])?;
        }
        Ok(())
    }

    /// The version of the other side.
    pub fn version(&self) -> Version {
        self.oracle.version
    }

    /// Whether the other side has a command of this name and it can be compared.
    pub fn is_known(&mut self, name: &str) -> bool {
        if versions::left_out(name, self.version()).is_some() {
            return false;
        }
        let info = self.clients[1].run(&["COMMAND", "INFO", name]);
        matches!(info, Ok(Value::Array(rows)) if matches!(rows[..], [Value::Array(_)]))
    }

    /// Plays steps on empty servers. `style` chooses protocol and limits; it is part of what has to
    /// be repeated to see the same again.
    pub fn play(&mut self, style: usize, steps: &[Step]) -> io::Result<Option<Difference>> {
        self.prepare(style)?;
        let mut judge = Judge::new(self.version());
        let before_sort = Step::plain(before_sort());
        let sent: Vec<(usize, &Step)> = steps
            .iter()
            .enumerate()
            .flat_map(|(at, step)| {
                let before = sorts(&step.words).then_some((at, &before_sort));
                before.into_iter().chain([(at, step)])
            })
            .collect();
        for batch in sent.chunks(BATCH) {
            for client in &mut self.clients {
                let mut bytes = Vec::new();
                batch.iter().for_each(|(_, it)| encode_request(&it.words, &mut bytes));
                client.send_raw(&bytes)?;
            }
            if let Some(found) = self.compare_replies(&mut judge, batch) {
                return Ok(Some(found));
            }
            let last = batch.last().map_or(0, |(at, _)| *at);
            if let Some(found) = self.compare_events(last)? {
                return Ok(Some(found));
            }
        }
        self.compare_contents(steps.len())
    }

    /// Reads the replies to a batch. A reply that does not come is a difference, too.
    fn compare_replies(
        &mut self,
        judge: &mut Judge,
        batch: &[(usize, &Step)],
    ) -> Option<Difference> {
        let mut found = None;
        for &(at, step) in batch {
            let (ours, theirs) = (self.clients[0].receive_raw(), self.clients[1].receive_raw());
            let differ = |ours: String, theirs: String| {
                Some(Difference { at, asked: one_line(step), ours, theirs })
            };
            let ((our, our_bytes), (their, their_bytes)) = match (ours, theirs) {
                (Ok(ours), Ok(theirs)) => (ours, theirs),
                (ours, theirs) => {
                    self.start_again();
                    let [ours, theirs] = [ours, theirs].map(|reply| match reply {
                        Ok((value, bytes)) => shown((&value, bytes)),
                        Err(error) => format!("{error}\n"),
                    });
                    // Whichever command of the batch is the reason, all of them are needed.
                    let missing = differ(ours, theirs);
                    let at = batch.last().map_or(at, |(last, _)| *last);
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

    /// Compares the events of the key space since the last time, in their order.
    fn compare_events(&mut self, at: usize) -> io::Result<Option<Difference>> {
        let [ours, theirs] = self.events()?;
        let asked = "events of the last commands".to_owned();
        Ok((ours != theirs).then_some(Difference { at, asked, ours, theirs }))
    }

    /// What the listeners have heard of since the last time.
    fn events(&mut self) -> io::Result<[String; 2]> {
        self.marks += 1;
        let mark = self.marks.to_string();
        let mut heard = [String::new(), String::new()];
        let sides = self.listeners.iter_mut().zip(&mut self.markers);
        for ((listener, marker), heard) in sides.zip(&mut heard) {
            marker.run(&["PUBLISH", MARKS, &mark])?;
            loop {
                let message = listener.receive()?;
                let Value::Array(parts) = &message else {
                    return Err(io::Error::other(format!("no message: {message:?}")));
                };
                match &parts[..] {
                    [_, channel, text] if channel.as_bytes() == Some(MARKS.as_bytes()) => {
                        if text.as_bytes() == Some(mark.as_bytes()) {
                            break;
                        }
                    }
                    parts => parts.iter().skip(2).for_each(|it| heard.push_str(&format_cli(it))),
                }
            }
        }
        Ok(heard)
    }

    /// New servers and connections, after one on which replies are missing: a server may be gone.
    fn start_again(&mut self) {
        *self = Sides::start(&self.oracle.clone());
    }

    /// Runs commands on both, and pairs their replies.
    pub(super) fn all(&mut self, commands: &[Words]) -> io::Result<Vec<[Value; 2]>> {
        let [ours, theirs] = self.each([commands, commands])?;
        Ok(ours.into_iter().zip(theirs).map(|(ours, theirs)| [ours, theirs]).collect())
    }

    /// Runs commands on each, not necessarily the same ones.
    pub(super) fn each(&mut self, commands: [&[Words]; 2]) -> io::Result<[Vec<Value>; 2]> {
        for (client, commands) in self.clients.iter_mut().zip(commands) {
            let mut bytes = Vec::new();
            commands.iter().for_each(|words| encode_request(words, &mut bytes));
            client.send_raw(&bytes)?;
        }
        let [ours, theirs] = &mut self.clients;
        let read = |client: &mut Connection, commands: &[Words]| {
            commands.iter().map(|_| client.receive()).collect::<io::Result<_>>()
        };
        Ok([read(ours, commands[0])?, read(theirs, commands[1])?])
    }

    fn prepare(&mut self, style: usize) -> io::Result<()> {
        let protocol = if style.is_multiple_of(2) { "2" } else { "3" };
        let mut lines = vec![
            "RESET".to_owned(),
            format!("HELLO {protocol}"),
            "FLUSHALL".into(),
            "FUNCTION FLUSH".into(),
            "SCRIPT FLUSH".into(),
            "ACL DELUSER alice bob carol".into(),
            format!("DEBUG {PACKED_THRESHOLD} 0"),
        ];
        let limits = LIMITS[style / 2 % LIMITS.len()];
        lines.extend(limits.iter().map(|(name, value)| match *name {
            PACKED_THRESHOLD => format!("DEBUG {name} {value}"),
            _ => format!("CONFIG SET {name} {value}"),
        }));
        let commands: Vec<Words> =
            lines.iter().map(|line| line.split(' ').map(Vec::from).collect()).collect();
        let replies = self.all(&commands)?;
        for (line, [ours, _]) in lines.iter().zip(replies) {
            if let Some(error) = ours.as_error() {
                return Err(io::Error::other(format!("{line}: {}", error.escape_ascii())));
            }
        }
        // Events that nobody asked for: those behind a difference, those of exchanged payloads.
        self.events().map(drop)
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
