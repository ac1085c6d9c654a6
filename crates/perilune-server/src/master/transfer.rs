//! Receiving a snapshot: the link's task feeds a thread that reads it into a keyspace, or one that
//! writes it to a file, from which it is read when all of it is there.
//!
//! ```text
//! socket -> Payload (where does it end?) -> channel of bounded length -> thread: read_snapshot
//!                                                                     -> thread: file -> thread
//! ```

use super::{Link, SCRIPT_WAIT, Session, given_up};
use perilune_commands::replication::handshake::Introduction;
use perilune_commands::replication::payload::Payload;
use perilune_commands::replication::transfer::{
    LoadOrder, Received, SnapshotStore, StoredSnapshot,
};
use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Pieces on their way to the thread: when it is slower than the network, the network waits.
const PIECES: usize = 16;
/// How often the engine hears of the progress, and the master that this server lives.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Read from a stored snapshot at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// What a snapshot came to.
type Result<T> = std::result::Result<T, String>;

/// The reading end of the channel, as a reader.
struct Pieces {
    channel: Receiver<Vec<u8>>,
    piece: Vec<u8>,
    used: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.used == self.piece.len() {
            match self.channel.blocking_recv() {
                Some(piece) => (self.piece, self.used) = (piece, 0),
                None => return Ok(0),
            }
        }
        let rest = &self.piece[self.used..];
        let n = rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        self.used += n;
        Ok(n)
    }
}

/// A reader that tells others how far it is.
struct Counted<R> {
    input: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(buffer)?;
        self.bytes.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Reads a snapshot. Runs on a thread of its own.
fn load(channel: Receiver<Vec<u8>>, order: &LoadOrder) -> Result<Received> {
    let mut pieces = Pieces { channel, piece: Vec::new(), used: 0 };
    let received = order.read(&mut pieces)?;
    // Whatever is left, the sender must be able to finish.
    while pieces.channel.blocking_recv().is_some() {}
    Ok(received)
}

/// Writes a snapshot to a file. Runs on a thread of its own.
fn store(channel: Receiver<Vec<u8>>, store: SnapshotStore) -> Result<StoredSnapshot> {
    let mut pieces = Pieces { channel, piece: Vec::new(), used: 0 };
    store.write(&mut pieces).map_err(|error| error.to_string())
}

/// Reads a stored snapshot. Runs on a thread of its own.
fn load_stored(
    stored: StoredSnapshot,
    order: &LoadOrder,
    bytes: Arc<AtomicU64>,
) -> Result<Received> {
    let file = stored.place().map_err(|error| format!("the file has no place: {error}"))?;
    order.read(&mut BufReader::with_capacity(BUFFER_BYTES, Counted { input: file, bytes }))
}

impl Link {
    /// Receives a snapshot and reads it.
    pub(super) async fn receive(&mut self, payload: Payload) -> io::Result<Received> {
        let order = self.gate.run(None, |order, engine| *order = Some(engine.load_order())).await;
        let order = order.ok_or_else(given_up)?;
        let read = Arc::new(AtomicU64::new(0));
        let (sender, receiver) = channel(PIECES);
        let Some(place) = order.store.clone() else {
            let thread = tokio::task::spawn_blocking(move || load(receiver, &order));
            let sent = self.forward(payload, sender).await;
            return outcome(sent, self.finish(thread, &read).await);
        };
        let thread = tokio::task::spawn_blocking(move || store(receiver, place));
        let sent = self.forward(payload, sender).await;
        let stored = outcome(sent, self.finish(thread, &read).await)?;
        self.make_room(&stored).await?;
        let bytes = Arc::clone(&read);
        let thread = tokio::task::spawn_blocking(move || load_stored(stored, &order, bytes));
        outcome(Ok(()), self.finish(thread, &read).await)
    }

    /// Has the engine give the old data up.
    async fn make_room(&self, stored: &StoredSnapshot) -> io::Result<()> {
        let mut state = (self.epoch, stored.bytes(), None);
        loop {
            state = self
                .gate
                .run(state, |(epoch, bytes, wanted), engine| {
                    if !engine.link_must_wait() {
                        *wanted = Some(engine.link_stored(*epoch, *bytes));
                    }
                })
                .await;
            match state.2 {
                Some(true) => return Ok(()),
                Some(false) => return Err(given_up()),
                // A slow script is running; there is no event for its end.
                None => tokio::time::sleep(SCRIPT_WAIT).await,
            }
        }
    }

    /// Sends all of the snapshot to the thread.
    async fn forward(&mut self, mut payload: Payload, to: Sender<Vec<u8>>) -> io::Result<()> {
        let mut reported = Instant::now();
        loop {
            let (used, piece) = payload.take(self.input.filled());
            self.input.consume(used);
            if !piece.is_empty() {
                to.send(piece).await.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            }
            if payload.is_complete() || reported.elapsed() >= REPORT_EVERY {
                reported = Instant::now();
                payload = self.report(payload).await?;
            }
            if payload.is_complete() {
                return Ok(());
            }
            self.read().await?;
        }
    }

    async fn report(&self, payload: Payload) -> io::Result<Payload> {
        let state = (self.epoch, payload, false);
        let (_, payload, wanted) = self
            .gate
            .run(state, |(epoch, payload, wanted), engine| {
                *wanted = engine.wants_link(*epoch);
                if *wanted {
                    engine.link_transfers(payload);
                }
            })
            .await;
        if wanted { Ok(payload) } else { Err(given_up()) }
    }

    /// Waits for the thread. Empty lines tell the master meanwhile that this server lives, and the
    /// engine hears how far the reading of a file is.
    async fn finish<T>(
        &mut self,
        mut thread: JoinHandle<Result<T>>,
        read: &AtomicU64,
    ) -> Result<T> {
        loop {
            tokio::select! {
                result = &mut thread => {
                    return result.unwrap_or_else(|_| Err("reading it failed".to_owned()));
                }
                () = tokio::time::sleep(REPORT_EVERY) => {
                    // A link that is broken shows when the stream begins.
                    let _ = self.stream.write_all(b"\n").await;
                    let progress = (self.epoch, read.load(Ordering::Relaxed));
                    self.gate.run(progress, |(epoch, bytes), engine| {
                        engine.link_reads(*epoch, *bytes);
                    }).await;
                }
            }
        }
    }

    /// Has the engine take the data.
    pub(super) async fn adopt(
        &mut self,
        stream: Introduction,
        received: Received,
    ) -> io::Result<Session> {
        let mut state = (self.epoch, stream, Some(received), self.peer(), Session::default());
        loop {
            state = self
                .gate
                .run(state, |(epoch, stream, received, peer, session), engine| {
                    if engine.link_must_wait() {
                        return;
                    }
                    let Some(received) = received.take() else { return };
                    let (peer, bell) = (peer.clone(), Arc::clone(&session.bell));
                    session.slot = engine.link_loaded(*epoch, stream, received, peer, bell);
                })
                .await;
            if state.2.is_none() {
                return Ok(state.4);
            }
            // A slow script is running; there is no event for its end.
            tokio::time::sleep(SCRIPT_WAIT).await;
        }
    }
}

/// What sending the snapshot to a thread and the thread's work came to.
fn outcome<T>(sent: io::Result<()>, done: Result<T>) -> io::Result<T> {
    match (sent, done) {
        (Ok(()), Ok(done)) => Ok(done),
        // A thread that has failed also breaks the channel.
        (Ok(()), Err(reason)) => Err(io::Error::other(format!("bad snapshot: {reason}"))),
        (Err(error), Err(reason)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Err(io::Error::other(format!("bad snapshot: {reason}")))
        }
        (Err(error), _) => Err(error),
    }
}
