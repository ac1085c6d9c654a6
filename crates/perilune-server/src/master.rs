//! The link to the master that this server follows: one task for as long as the server runs.
//!
//! ```text
//! connect -> handshake, line by line -> snapshot to a loading thread -> the stream, in batches
//! ```
//!
//! What is said and what is done about it is the engine's business (`perilune_commands::replication`);
//! here are the socket, the waiting and the thread that reads a snapshot into a keyspace of its own
//! while the engine goes on with the old one.
//!
//! Whatever goes wrong with a link ends it, and the next one is made: at once after one that was
//! good, after a pause otherwise. When the engine wants another link it rings, and this one is
//! dropped wherever it is.

use crate::gate::Gate;
use crate::input::Input;
use crate::log;
use perilune_commands::owned_args::ArgVec;
use perilune_commands::replication::handshake::{Handshake, Introduction, Progress};
use perilune_commands::replication::payload::Payload;
use perilune_commands::replication::upstream::{LinkOrder, LinkState};
use perilune_commands::session::{ClientSlot, PeerInfo};
use perilune_commands::{Engine, Flow};
use perilune_resp::{Decoder, DecoderLimits};
use perilune_script::LogLevel;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;

use crate::connection::Bell;

/// Pause before a link is made again that was never good.
const RETRY: Duration = Duration::from_secs(1);
/// Time between two looks whether a slow script has ended.
const SCRIPT_WAIT: Duration = Duration::from_millis(10);
/// Room made in the read buffer, at least.
const READ_CHUNK: usize = 64 * 1024;
/// Commands of the master run under one hold of the engine.
const BATCH_COMMANDS_MAX: usize = 512;
/// The longest argument a master may send: it has been let through there.
const BULK_BYTES_MAX: i64 = i64::MAX / 2;

mod transfer;

/// Makes links to the master as the engine wants them. `changed` rings when it wants another.
pub(crate) async fn run(gate: Gate, changed: Arc<Notify>) {
    loop {
        let order = gate.run(None, |order, engine| *order = engine.link_order()).await;
        let Some(order) = order else {
            changed.notified().await;
            continue;
        };
        tokio::select! {
            () = changed.notified() => {}
            () = one_link(&gate, &order) => {}
        }
    }
}

/// Makes a link and keeps it until it ends, and pauses if it was no good.
async fn one_link(gate: &Gate, order: &LinkOrder) {
    let reason = match follow(gate, order).await {
        Ok(()) => "closed".to_owned(),
        Err(error) => error.to_string(),
    };
    let lost = gate
        .run((order.epoch, reason, false), |(epoch, reason, was_good), engine| {
            *was_good = engine.link_lost(*epoch, reason);
        })
        .await;
    if !lost.2 {
        tokio::time::sleep(RETRY).await;
    }
}

/// An end of the link for a reason that the engine has logged.
fn given_up() -> io::Error {
    io::Error::other("given up")
}

async fn follow(gate: &Gate, order: &LinkOrder) -> io::Result<()> {
    let told = gate.run((order.clone(), false), |(order, wanted), engine| {
        *wanted = engine.link_begins(order);
    });
    if !told.await.1 {
        return Err(given_up());
    }
    let stream = connect(order).await.inspect_err(|error| {
        log::write(LogLevel::Warning, &format!("Error condition on socket for SYNC: {error}"));
    })?;
    stream.set_nodelay(true)?;
    log::write(LogLevel::Notice, "Non blocking connect for SYNC fired the event.");
    let mut link = Link { stream, input: Input::default(), gate: gate.clone(), epoch: order.epoch };
    set_state(gate, order.epoch, LinkState::Handshake).await?;
    let slot = match link.shake_hands().await? {
        Agreement::Continue(id) => link.resume(id).await?,
        Agreement::Snapshot(stream, payload) => {
            let loaded = link.receive(payload).await?;
            link.adopt(stream, loaded).await?
        }
    };
    link.stream(slot).await
}

async fn set_state(gate: &Gate, epoch: u64, state: LinkState) -> io::Result<()> {
    let told = gate
        .run((epoch, state, false), |(epoch, state, wanted), engine| {
            *wanted = engine.wants_link(*epoch);
            if *wanted {
                engine.set_link_state(*state);
            }
        })
        .await;
    if told.2 { Ok(()) } else { Err(given_up()) }
}

async fn connect(order: &LinkOrder) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in tokio::net::lookup_host((order.host.as_str(), order.port)).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(from) = &order.from {
            let from = from.parse::<std::net::IpAddr>().map_err(io::Error::other)?;
            socket.bind((from, 0).into())?;
        }
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// What the handshake came to.
enum Agreement {
    Continue(Option<String>),
    Snapshot(Introduction, Payload),
}

/// A connection to the master.
struct Link {
    stream: TcpStream,
    /// What was received and not used yet.
    input: Input,
    gate: Gate,
    epoch: u64,
}

impl Link {
    /// Reads what there is, or waits for it. An end is an error.
    async fn read(&mut self) -> io::Result<usize> {
        let n = self.stream.read(self.input.spare(READ_CHUNK, None)).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.input.advance(n);
        Ok(n)
    }

    /// A line without its end.
    async fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let received = self.input.filled();
            if let Some(end) = received.iter().position(|byte| *byte == b'\n') {
                let line = received[..end].strip_suffix(b"\r").unwrap_or(&received[..end]).to_vec();
                self.input.consume(end + 1);
                return Ok(line);
            }
            if !Handshake::takes_line_of(received.len()) {
                return Err(io::Error::other("the master sends no end of a line"));
            }
            self.read().await?;
        }
    }

    async fn shake_hands(&mut self) -> io::Result<Agreement> {
        let (mut handshake, first) = Handshake::begin();
        self.stream.write_all(&first).await?;
        loop {
            let line = self.line().await?;
            let state = (handshake, line, self.epoch, Progress::Failed);
            let (after, _, _, progress) = self
                .gate
                .run(state, |(handshake, line, epoch, progress), engine| {
                    if engine.wants_link(*epoch) {
                        *progress = handshake.line(engine, line);
                    }
                })
                .await;
            handshake = after;
            match progress {
                Progress::Send(bytes) => self.stream.write_all(&bytes).await?,
                Progress::Snapshot(stream, payload) => {
                    return Ok(Agreement::Snapshot(stream, payload));
                }
                Progress::Continue(id) => return Ok(Agreement::Continue(id)),
                Progress::Failed => return Err(given_up()),
            }
        }
    }

    fn peer(&self) -> PeerInfo {
        let text = |address: io::Result<std::net::SocketAddr>| {
            address.map(|address| address.to_string()).unwrap_or_default()
        };
        PeerInfo {
            addr: text(self.stream.peer_addr()),
            laddr: text(self.stream.local_addr()),
            fd: self.stream.as_raw_fd(),
            unix_socket: false,
            local: false,
        }
    }

    /// The stream goes on where it stopped.
    async fn resume(&mut self, id: Option<String>) -> io::Result<Session> {
        let session = Session::default();
        let state = (self.epoch, id, self.peer(), session);
        let (.., session) = self
            .gate
            .run(state, |(epoch, id, peer, session), engine| {
                let (id, peer, bell) = (id.take(), peer.clone(), Arc::clone(&session.bell));
                session.slot = engine.link_continues(*epoch, id, peer, bell);
            })
            .await;
        Ok(session)
    }

    /// Applies the stream until the link ends.
    async fn stream(mut self, session: Session) -> io::Result<()> {
        let slot = session.slot.ok_or_else(given_up)?;
        let limits = DecoderLimits { bulk_bytes_max: BULK_BYTES_MAX, auth_required: false };
        let mut batch = Batch {
            slot,
            input: std::mem::take(&mut self.input),
            decoder: Decoder::new(limits),
            read: 0,
            output: Vec::new(),
            flow: Flow::Continue,
            wait: false,
            failed: None,
        };
        loop {
            batch = self.gate.run(batch, Batch::run).await;
            if !batch.output.is_empty() {
                self.stream.write_all(&batch.output).await?;
                batch.output.clear();
            }
            if let Some(reason) = batch.failed {
                return Err(io::Error::other(reason));
            }
            if batch.flow == Flow::Close {
                return Ok(());
            }
            if batch.wait {
                // A slow script is running; there is no event for its end.
                tokio::time::sleep(SCRIPT_WAIT).await;
                continue;
            }
            if batch.flow == Flow::Continue && batch.has_more() {
                tokio::task::yield_now().await;
                continue;
            }
            let blocked = batch.flow == Flow::Blocked;
            let room = batch.room();
            tokio::select! {
                () = session.bell.rung() => {}
                read = self.stream.read(batch.input.spare(room, None)), if !blocked => match read? {
                    0 => return Ok(()),
                    n => {
                        batch.input.advance(n);
                        batch.read += n;
                    }
                },
                // A pause ends without an event.
                () = tokio::time::sleep(Duration::from_millis(10)), if blocked => {}
            }
        }
    }
}

/// The session of the master, and what wakes its task.
#[derive(Default)]
struct Session {
    slot: Option<ClientSlot>,
    bell: Arc<Bell>,
}

/// The part of the link that goes to the engine.
struct Batch {
    slot: ClientSlot,
    input: Input,
    decoder: Decoder,
    /// Bytes read since the last batch.
    read: usize,
    output: Vec<u8>,
    flow: Flow,
    /// The engine takes no commands of the master at the moment.
    wait: bool,
    failed: Option<String>,
}

impl Batch {
    /// Runs complete commands, a bounded number.
    fn run(&mut self, engine: &mut Engine) {
        self.wait = engine.link_must_wait();
        if self.wait {
            return;
        }
        let read = std::mem::take(&mut self.read);
        self.flow = engine.begin_master_batch(self.slot, read, &mut self.output);
        let mut used = 0;
        for _ in 0..BATCH_COMMANDS_MAX {
            let rest = &self.input.filled()[used..];
            if self.flow != Flow::Continue || rest.is_empty() {
                break;
            }
            let consumed = match self.decoder.decode(rest) {
                Ok(Some(consumed)) => consumed,
                Ok(None) => break,
                Err(error) => {
                    let reason = error.message();
                    self.failed = Some(String::from_utf8_lossy(&reason).into_owned());
                    break;
                }
            };
            let argv: ArgVec<'_> = self.decoder.args(rest).collect();
            self.flow = engine.run_for_master(self.slot, &argv, &rest[..consumed]);
            used += consumed;
        }
        self.input.consume(used);
        match engine.end_master_batch(self.slot, &mut self.output) {
            Flow::Continue => {}
            flow => self.flow = flow,
        }
    }

    /// Whether there may be another complete command.
    fn has_more(&self) -> bool {
        !self.input.filled().is_empty() && !self.decoder.is_mid_request()
    }

    /// Room to be made for what is to be read next.
    fn room(&self) -> usize {
        match self.decoder.is_mid_request() {
            true => self.decoder.bytes_missing().clamp(READ_CHUNK, 16 * READ_CHUNK),
            false => READ_CHUNK,
        }
    }
}
