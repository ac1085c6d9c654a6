//! The load generator: one thread, many connections, one pipeline in flight on each.
//!
//! Sockets are watched edge-triggered, so a connection is read until a short read and written until
//! it would block; a connection sends its next pipeline once all replies to the last have come.
//! Nothing is encoded or kept while the clock runs.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::replies::ReplyCounter;
use super::requests::Pool;
use super::server::Server;

const WARM_UP: Duration = Duration::from_millis(200);
const SILENCE_MAX: Duration = Duration::from_secs(10);
const POLL_TIME_MAX: Duration = Duration::from_millis(100);
const READ_BYTES: usize = 64 * 1024;

/// What was measured in the time window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) requests_per_second: f64,
    pub(super) cpu_us_per_request: f64,
    /// The share of the window in which the server ran.
    pub(super) busy: f64,
}

struct Connection {
    stream: TcpStream,
    replies: ReplyCounter,
    pipeline: usize,
    written: usize,
    /// Replies still to come to the pipeline that is sent.
    missing: u64,
}

struct Generator<'a> {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    pool: &'a Pool,
    depth: u64,
    buffer: Vec<u8>,
    replies: u64,
    /// Whether a connection that has all its replies sends on.
    sending: bool,
}

/// Loads the server for `window` and says how fast it was; an error reply is an error.
pub(super) fn measure(
    server: &Server,
    pool: &Pool,
    depth: usize,
    clients: usize,
    window: Duration,
) -> Result<Sample, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut generator = Generator::connect(server.address, pool, depth, clients).map_err(text)?;
    generator.start()?;
    generator.run_until(Instant::now() + WARM_UP)?;

    let cpu = |server: &Server| server.cpu_time().map_err(|error| format!("{error:#}"));
    let (start, cpu_start, replies_start) = (Instant::now(), cpu(server)?, generator.replies);
    generator.run_until(start + window)?;
    let (cpu_used, seconds) =
        (cpu(server)?.saturating_sub(cpu_start), start.elapsed().as_secs_f64());
    let requests = (generator.replies - replies_start) as f64;
    // What is in flight must not burden the next server on the same core.
    generator.drain()?;
    if requests == 0.0 {
        return Err("no reply in the time of a cell".to_owned());
    }
    Ok(Sample {
        requests_per_second: requests / seconds,
        cpu_us_per_request: cpu_used.as_secs_f64() * 1e6 / requests,
        busy: cpu_used.as_secs_f64() / seconds,
    })
}

/// Sends so many requests, or a few more, and waits for all replies. How many there were; an error
/// reply is an error.
pub(super) fn send(
    server: &Server,
    pool: &Pool,
    depth: usize,
    clients: usize,
    requests: u64,
) -> Result<u64, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut generator = Generator::connect(server.address, pool, depth, clients).map_err(text)?;
    generator.start()?;
    while generator.replies < requests {
        generator.turn()?;
    }
    generator.drain()?;
    Ok(generator.replies)
}

impl<'a> Generator<'a> {
    fn connect(
        address: SocketAddr,
        pool: &'a Pool,
        depth: usize,
        clients: usize,
    ) -> std::io::Result<Self> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(clients);
        for index in 0..clients {
            let stream = std::net::TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(index), interest)?;
            let pipeline = index * pool.len() / clients;
            let replies = ReplyCounter::default();
            connections.push(Connection { stream, replies, pipeline, written: 0, missing: 0 });
        }
        Ok(Self {
            poll,
            events: Events::with_capacity(1024),
            connections,
            pool,
            depth: depth as u64,
            buffer: vec![0; READ_BYTES],
            replies: 0,
            sending: true,
        })
    }

    fn start(&mut self) -> Result<(), String> {
        for connection in &mut self.connections {
            connection.send_next(self.pool, self.depth)?;
        }
        Ok(())
    }

    fn run_until(&mut self, deadline: Instant) -> Result<(), String> {
        let (mut last_reply, mut seen) = (Instant::now(), self.replies);
        loop {
            self.turn()?;
            let now = self.check_silence(&mut last_reply, &mut seen)?;
            if now >= deadline {
                return Ok(());
            }
        }
    }

    fn drain(&mut self) -> Result<(), String> {
        self.sending = false;
        let (mut last_reply, mut seen) = (Instant::now(), self.replies);
        while self.connections.iter().any(|connection| connection.missing > 0) {
            self.turn()?;
            self.check_silence(&mut last_reply, &mut seen)?;
        }
        Ok(())
    }

    /// Fails if the server has not answered for too long.
    fn check_silence(&self, last_reply: &mut Instant, seen: &mut u64) -> Result<Instant, String> {
        let now = Instant::now();
        if self.replies != *seen {
            (*last_reply, *seen) = (now, self.replies);
        } else if now - *last_reply > SILENCE_MAX {
            return Err(format!("no reply for {} s", SILENCE_MAX.as_secs()));
        }
        Ok(now)
    }

    /// Waits for events once and handles them.
    fn turn(&mut self) -> Result<(), String> {
        match self.poll.poll(&mut self.events, Some(POLL_TIME_MAX)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.to_string()),
            _ => {}
        }
        for event in &self.events {
            let connection = &mut self.connections[event.token().0];
            if event.is_writable() {
                connection.write(self.pool)?;
            }
            if event.is_readable() {
                self.replies += connection.read(&mut self.buffer)?;
                if connection.missing == 0 && self.sending {
                    connection.send_next(self.pool, self.depth)?;
                }
            }
        }
        Ok(())
    }
}

impl Connection {
    fn send_next(&mut self, pool: &Pool, depth: u64) -> Result<(), String> {
        self.pipeline = (self.pipeline + 1) % pool.len();
        self.written = 0;
        self.missing = depth;
        self.write(pool)
    }

    fn write(&mut self, pool: &Pool) -> Result<(), String> {
        if self.missing == 0 {
            return Ok(());
        }
        let bytes = pool.get(self.pipeline);
        while self.written < bytes.len() {
            match self.stream.write(&bytes[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    /// Reads what is there and says how many replies ended.
    fn read(&mut self, buffer: &mut [u8]) -> Result<u64, String> {
        let mut total = 0;
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => return Err("connection closed".to_owned()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(total),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.to_string()),
            };
            let complete =
                self.replies.feed(&buffer[..read]).map_err(|_| "answer is not RESP2".to_owned())?;
            if let Some(error) = self.replies.first_error() {
                return Err(error.to_owned());
            }
            self.missing =
                self.missing.checked_sub(complete).ok_or("more replies than requests")?;
            total += complete;
            // A short read has emptied the socket; what comes later is a new event.
            if read < buffer.len() {
                return Ok(total);
            }
        }
    }
}
