//! What a replica says to its master before the stream begins.
//!
//! ```text
//! PING -> AUTH -> REPLCONF listening-port, ip-address, capa -> PSYNC -> +CONTINUE, or
//!                                                                      +FULLRESYNC and $snapshot
//! ```
//!
//! The state machine takes lines and gives what to send; it knows no socket. `AUTH` and the address
//! are left out when there is nothing to say.

use super::payload::Payload;
use super::upstream::LinkState;
use super::{ID_LEN, OFFSET_MAX};
use crate::engine::Engine;
use crate::propagation::append_command;

/// The longest line a master may send.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// The command whose answer is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Ping,
    Auth,
    ListeningPort,
    IpAddress,
    Capabilities,
    Psync,
    /// The line in front of a snapshot.
    Announcement,
}

/// A stream as its master introduced it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduction {
    /// Its id.
    pub id: String,
    /// Bytes of it that the snapshot contains.
    pub offset: u64,
}

/// A handshake under way.
#[derive(Debug)]
pub struct Handshake {
    step: Step,
    introduced: Option<Introduction>,
}

/// What follows a line of the master.
#[derive(Debug)]
pub enum Progress {
    /// These bytes are to be sent, if any.
    Send(Vec<u8>),
    /// A snapshot comes.
    Snapshot(Introduction, Payload),
    /// The stream goes on from where this server is, under this id if it is another.
    Continue(Option<String>),
    /// This link will not do. The reason is in the log.
    Failed,
}

fn request(argv: &[&[u8]]) -> Progress {
    let mut bytes = Vec::new();
    append_command(&mut bytes, argv);
    Progress::Send(bytes)
}

impl Handshake {
    /// The first line to send comes with it.
    pub fn begin() -> (Self, Vec<u8>) {
        let mut ping = Vec::new();
        append_command(&mut ping, &[b"PING"]);
        (Handshake { step: Step::Ping, introduced: None }, ping)
    }

    /// Whether a line of so many bytes can still be one that a master sends.
    pub fn takes_line_of(bytes: usize) -> bool {
        bytes <= LINE_BYTES_MAX
    }

    /// Goes on with a line of the master, without its end.
    pub fn line(&mut self, engine: &mut Engine, line: &[u8]) -> Progress {
        engine.link_heard();
        let text = String::from_utf8_lossy(line);
        // Signs of life while the master is busy.
        if line.is_empty() && matches!(self.step, Step::Psync | Step::Announcement) {
            return Progress::Send(Vec::new());
        }
        match self.step {
            Step::Ping => {
                let harmless = ["+", "-NOAUTH", "-NOPERM", "-ERR operation not permitted"];
                if !harmless.iter().any(|start| text.starts_with(start)) {
                    engine.log_warning(&format!("Error reply to PING from master: '{text}'"));
                    return Progress::Failed;
                }
                engine.log_notice("Master replied to PING, replication can continue...");
            }
            Step::Auth if line.starts_with(b"-") => {
                engine.log_warning(&format!("Unable to AUTH to MASTER: {text}"));
                return Progress::Failed;
            }
            Step::ListeningPort | Step::IpAddress | Step::Capabilities
                if line.starts_with(b"-") =>
            {
                engine.log_notice(&format!(
                    "(Non critical) Master does not understand REPLCONF: {text}"
                ));
            }
            Step::Psync => return self.answer_to_psync(engine, &text),
            Step::Announcement => return self.announcement(engine, line),
            _ => {}
        }
        self.next(engine)
    }

    /// The next thing there is to say.
    fn next(&mut self, engine: &mut Engine) -> Progress {
        loop {
            self.step = match self.step {
                Step::Ping => Step::Auth,
                Step::Auth => Step::ListeningPort,
                Step::ListeningPort => Step::IpAddress,
                Step::IpAddress => Step::Capabilities,
                _ => Step::Psync,
            };
            let config = &engine.config;
            match self.step {
                Step::Auth if config.masterauth.is_empty() => {}
                Step::Auth if config.masteruser.is_empty() => {
                    return request(&[b"AUTH", &config.masterauth]);
                }
                Step::Auth => return request(&[b"AUTH", &config.masteruser, &config.masterauth]),
                Step::ListeningPort => {
                    let port = match config.replica_announce_port {
                        0 => config.port,
                        port => port,
                    };
                    let port = port.to_string();
                    return request(&[b"REPLCONF", b"listening-port", port.as_bytes()]);
                }
                Step::IpAddress if config.replica_announce_ip.is_empty() => {}
                Step::IpAddress => {
                    let ip = config.replica_announce_ip.as_bytes();
                    return request(&[b"REPLCONF", b"ip-address", ip]);
                }
                Step::Capabilities => {
                    return request(&[b"REPLCONF", b"capa", b"eof", b"capa", b"psync2"]);
                }
                _ => return self.psync(engine),
            }
        }
    }

    fn psync(&mut self, engine: &mut Engine) -> Progress {
        let stream = &engine.replication;
        if !stream.resumable {
            engine.log_notice("Partial resynchronization not possible (no cached master)");
            return request(&[b"PSYNC", b"?", b"-1"]);
        }
        let hands_over = stream.hands_over();
        let (id, next) = (stream.id.clone(), (stream.offset + 1).to_string());
        let message = format!("Trying a partial resynchronization (request {id}:{next}).");
        engine.log_notice(&message);
        match hands_over {
            true => request(&[b"PSYNC", id.as_bytes(), next.as_bytes(), b"FAILOVER"]),
            false => request(&[b"PSYNC", id.as_bytes(), next.as_bytes()]),
        }
    }

    fn answer_to_psync(&mut self, engine: &mut Engine, text: &str) -> Progress {
        if engine.replication.hands_over() {
            if !text.starts_with("+FULLRESYNC") && !text.starts_with("+CONTINUE") {
                engine.abort_failover("Failover target rejected psync request");
                return Progress::Failed;
            }
            engine.failover_done();
        }
        let mut words = text.split(' ');
        match words.next() {
            Some("+FULLRESYNC") => {
                let id = words.next().filter(|id| is_id(id));
                let offset = words.next().and_then(|offset| offset.parse().ok());
                let offset = offset.filter(|offset| *offset <= OFFSET_MAX);
                let (Some(id), Some(offset)) = (id, offset) else {
                    engine.log_warning("Master replied with wrong +FULLRESYNC syntax.");
                    return Progress::Failed;
                };
                engine.log_notice(&format!("Full resync from master: {id}:{offset}"));
                self.introduced = Some(Introduction { id: id.to_owned(), offset });
                self.step = Step::Announcement;
                engine.set_link_state(LinkState::Sync);
                Progress::Send(Vec::new())
            }
            Some("+CONTINUE") => {
                engine.log_notice("Successful partial resynchronization with master.");
                Progress::Continue(words.next().filter(|id| is_id(id)).map(str::to_owned))
            }
            Some("-NOMASTERLINK" | "-LOADING") => {
                engine.log_notice(&format!(
                    "Master is currently unable to PSYNC but should be in the future: {text}"
                ));
                Progress::Failed
            }
            _ => {
                engine.log_warning(&format!("Unexpected reply to PSYNC from master: {text}"));
                Progress::Failed
            }
        }
    }

    fn announcement(&mut self, engine: &mut Engine, line: &[u8]) -> Progress {
        let introduced = self.introduced.take();
        let (Some(introduced), Some(payload)) = (introduced, Payload::announced(line)) else {
            let text = String::from_utf8_lossy(line);
            engine.log_warning(&match line.first() {
                Some(b'-') => format!("MASTER aborted replication with an error: {text}"),
                _ => format!(
                    "Bad protocol from MASTER, the first byte is not '$' (we received '{text}'), \
                     are you sure the host and port are right?"
                ),
            });
            return Progress::Failed;
        };
        engine.begin_transfer(&introduced, &payload);
        engine.link_heard();
        Progress::Snapshot(introduced, payload)
    }
}

fn is_id(word: &str) -> bool {
    word.len() == ID_LEN && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
