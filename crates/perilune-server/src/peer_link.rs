//! Blocking connections to other servers, for commands that talk to one while everybody waits.
//!
//! No wait is longer than the time it is given: sockets have deadlines, and since the resolver has
//! none, names are looked up on a thread that is left alone when the time is up.

use perilune_commands::links::{Link, LinkError};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Bytes that are sent within one timeout.
const SEND_CHUNK: usize = 64 * 1024;
/// Longest line of a reply, bytes.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// A connection and what was received and not yet asked for.
struct PeerLink {
    stream: TcpStream,
    received: Vec<u8>,
}

/// Connects to a server.
pub(crate) fn connect(
    host: &str,
    port: u16,
    timeout: Duration,
) -> Result<Box<dyn Link>, LinkError> {
    let (found, result) = mpsc::channel();
    let host = host.to_owned();
    let resolver = move || {
        // Nobody listens any more when the time is up.
        let _ = found.send(connect_any(&host, port, timeout));
    };
    let thread = std::thread::Builder::new().name("connect".into()).spawn(resolver);
    thread.map_err(|_| LinkError::Failed)?;
    let stream = result.recv_timeout(timeout).map_err(|_| LinkError::TimedOut)?;
    Ok(Box::new(PeerLink { stream: stream.map_err(reason)?, received: Vec::new() }))
}

/// Connects to the first address of a name that answers.
fn connect_any(host: &str, port: u16, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::from(ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn reason(error: io::Error) -> LinkError {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => LinkError::TimedOut,
        _ => LinkError::Failed,
    }
}

/// What is left of the time until `end`.
fn left(end: Instant) -> Result<Duration, LinkError> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(LinkError::TimedOut) } else { Ok(left) }
}

impl PeerLink {
    /// Waits for more and keeps it.
    fn receive(&mut self, timeout: Duration) -> Result<(), LinkError> {
        let mut chunk = [0; 4096];
        self.stream.set_read_timeout(Some(timeout)).map_err(reason)?;
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(LinkError::Failed),
            Ok(count) => {
                self.received.extend_from_slice(&chunk[..count]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(reason(error)),
        }
    }
}

/// The moment a timeout ends. One beyond all clocks is a year.
fn end_of(timeout: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    Instant::now() + timeout.min(YEAR)
}

impl Link for PeerLink {
    fn send(&mut self, bytes: &[u8], timeout: Duration) -> Result<(), LinkError> {
        if !self.received.is_empty() {
            // Something nobody asked for would be taken for the answer to this.
            return Err(LinkError::Failed);
        }
        for chunk in bytes.chunks(SEND_CHUNK) {
            let end = end_of(timeout);
            let mut rest = chunk;
            while !rest.is_empty() {
                self.stream.set_write_timeout(Some(left(end)?)).map_err(reason)?;
                match self.stream.write(rest) {
                    Ok(0) => return Err(LinkError::Failed),
                    Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(reason(error)),
                }
            }
        }
        Ok(())
    }

    fn read_line(&mut self, timeout: Duration) -> Result<Vec<u8>, LinkError> {
        let end = end_of(timeout);
        loop {
            if let Some(at) = self.received.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.received.drain(..=at).collect();
                while line.last().is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
                    line.pop();
                }
                return Ok(line);
            }
            if self.received.len() > LINE_BYTES_MAX {
                return Err(LinkError::Failed);
            }
            self.receive(left(end)?)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn an_answer_that_nobody_asked_for_ends_the_link() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let wait = Duration::from_secs(10);
        let mut link = connect("127.0.0.1", port, wait).expect("somebody listens");
        let (mut other, _) = listener.accept().expect("connected");
        link.send(b"PING\r\n", wait).expect("sent");
        other.write_all(b"+PONG\r\n+OK\r\n").expect("sent");
        assert_eq!(link.read_line(wait), Ok(b"+PONG".to_vec()));
        assert_eq!(link.send(b"RESTORE k 0 payload\r\n", wait), Err(LinkError::Failed));
    }
}
