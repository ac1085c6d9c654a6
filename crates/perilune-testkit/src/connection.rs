//! A client of a server behind a real socket: blocking, with a time limit on every read.

use crate::transcript::Clients;
use perilune_resp::{Value, encode_request, parse_reply};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a reply may take. Far more than any needs, so that only a reply that never comes fails.
const REPLY_WITHIN: Duration = Duration::from_secs(30);

const READ_CHUNK: usize = 64 * 1024;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_read_timeout(Some(timeout)),
            Stream::Unix(stream) => stream.set_read_timeout(Some(timeout)),
        }
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.shutdown(how),
            Stream::Unix(stream) => stream.shutdown(how),
        }
    }

    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buf),
            Stream::Unix(stream) => stream.read(buf),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
        }
    }
}

/// A connection to a server. Bytes read and not yet taken are `received[taken..]`.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    received: Vec<u8>,
    taken: usize,
}

impl Connection {
    /// Connects.
    pub fn open(address: &Address) -> io::Result<Self> {
        let stream = match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
            Address::Unix(path) => Stream::Unix(UnixStream::connect(path)?),
        };
        stream.set_read_timeout(REPLY_WITHIN)?;
        Ok(Self { stream, received: Vec::new(), taken: 0 })
    }

    /// Sets how long a read may take; a reply that does not come in time is an error after which
    /// it can still be received.
    pub fn reply_within(&self, timeout: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(timeout)
    }

    /// Sends one request.
    pub fn send<W: AsRef<[u8]>>(&mut self, words: &[W]) -> io::Result<()> {
        let mut request = Vec::new();
        encode_request(words, &mut request);
        self.send_raw(&request)
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next reply or push.
    pub fn receive(&mut self) -> io::Result<Value> {
        let (value, length) = self.next_reply()?;
        self.taken += length;
        Ok(value)
    }

    /// The next reply or push, and its bytes.
    pub fn receive_raw(&mut self) -> io::Result<(Value, Vec<u8>)> {
        let (value, length) = self.next_reply()?;
        let bytes = self.received[self.taken..self.taken + length].to_vec();
        self.taken += length;
        Ok((value, bytes))
    }

    /// The next reply, not yet taken, and its length in bytes.
    fn next_reply(&mut self) -> io::Result<(Value, usize)> {
        loop {
            let parsed = parse_reply(&self.received[self.taken..])
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            if let Some(found) = parsed {
                return Ok(found);
            }
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Sends one request and returns the next reply.
    pub fn run<W: AsRef<[u8]>>(&mut self, words: &[W]) -> io::Result<Value> {
        self.send(words)?;
        self.receive()
    }

    /// Says that nothing more will be sent; replies still come.
    pub fn finish_sending(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Everything that still comes until the server closes, as bytes.
    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        while self.fill()? > 0 {}
        let rest = self.received.split_off(self.taken);
        self.received.clear();
        self.taken = 0;
        Ok(rest)
    }

    fn fill(&mut self) -> io::Result<usize> {
        self.received.drain(..self.taken);
        self.taken = 0;
        let filled = self.received.len();
        // A large reply is read in pieces that grow with it.
        self.received.resize(filled + READ_CHUNK.max(filled), 0);
        let read = self.stream.read(&mut self.received[filled..]);
        self.received.truncate(filled + read.as_ref().map_or(0, |n| *n));
        match read {
            // A server that closed on us with our bytes unread resets the connection.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(0),
            read => read,
        }
    }
}

/// How often a server is asked for something to become true.
const ASK_EVERY: Duration = Duration::from_millis(2);

/// Clients by name that connect when they are first named.
#[derive(Debug)]
pub struct SocketClients {
    address: Address,
    connections: BTreeMap<String, Connection>,
    observer: Option<Connection>,
}

impl SocketClients {
    /// No client yet.
    pub fn new(address: Address) -> Self {
        Self { address, connections: BTreeMap::new(), observer: None }
    }

    /// The client of this name.
    pub fn client(&mut self, name: &str) -> io::Result<&mut Connection> {
        if !self.connections.contains_key(name) {
            let connection = Connection::open(&self.address)?;
            self.connections.insert(name.to_owned(), connection);
        }
        self.connections.get_mut(name).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// How many clients wait for keys, as the server says.
    fn waiting(&mut self) -> io::Result<usize> {
        let observer = match &mut self.observer {
            Some(observer) => observer,
            none => none.insert(Connection::open(&self.address)?),
        };
        let info = observer.run(&["INFO", "clients"])?;
        let text = String::from_utf8_lossy(info.as_bytes().unwrap_or_default()).into_owned();
        let field = text.lines().find_map(|line| line.strip_prefix("blocked_clients:"));
        let count = field.and_then(|count| count.trim().parse().ok());
        count.ok_or_else(|| io::Error::other(format!("no number of blocked clients in {text:?}")))
    }
}

impl Clients for SocketClients {
    fn send(&mut self, client: &str, words: &[Vec<u8>]) -> io::Result<()> {
        self.client(client)?.send(words)
    }

    fn receive(&mut self, client: &str) -> io::Result<Value> {
        self.client(client)?.receive()
    }

    fn until_waiting(&mut self, count: usize) -> io::Result<()> {
        let start = Instant::now();
        loop {
            let waiting = self.waiting()?;
            if waiting == count {
                return Ok(());
            }
            if start.elapsed() > REPLY_WITHIN {
                return Err(io::Error::other(format!("{waiting} clients wait, not {count}")));
            }
            std::thread::sleep(ASK_EVERY);
        }
    }

    fn advance_ms(&mut self, _: u64) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "time on a real server is not ours to move"))
    }
}
