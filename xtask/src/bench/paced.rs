//! The load generator at a fixed rate: one thread, many connections, pipelines sent when they are
//! due, whether replies have come or not.
//!
//! A pipeline is timed from the moment it was due until its last reply has come, so that a server
//! which stops for a while is charged for everything that should have been served meanwhile. The
//! thread does not sleep: a timer's slack would be counted as latency.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::replies::ReplyCounter;

const SILENCE_MAX: Duration = Duration::from_secs(30);
const READ_BYTES: usize = 64 * 1024;
/// Pipelines sent before replies are looked for again, where the generator is behind.
const SENT_AT_ONCE_MAX: u32 = 64;

/// What is sent where.
pub(super) struct Load<'a> {
    pub(super) address: SocketAddr,
    pub(super) clients: usize,
    /// Commands in a pipeline.
    pub(super) depth: u64,
    pub(super) pipelines_per_second: f64,
    /// Appends the pipeline of this number.
    pub(super) write: &'a mut dyn FnMut(u64, &mut Vec<u8>),
    /// Whether this many pipelines are all.
    pub(super) is_over: &'a mut dyn FnMut(u64) -> bool,
}

struct Connection {
    stream: TcpStream,
    replies: ReplyCounter,
    /// Replies that have come to the oldest pipeline.
    answered: u64,
    /// When the pipelines that are not answered were due.
    due: VecDeque<Instant>,
    /// What the socket did not take yet.
    unsent: Vec<u8>,
}

/// Runs the load and says how long each pipeline took; an error reply is an error.
pub(super) fn run(load: &mut Load<'_>) -> Result<Vec<Duration>, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut poll = Poll::new().map_err(text)?;
    let mut connections = connect(load, &poll).map_err(text)?;
    let (mut times, mut buffer) = (Vec::new(), vec![0; READ_BYTES]);
    let mut events = Events::with_capacity(1024);
    let (begin, mut sent) = (Instant::now(), 0_u64);
    let due_at = |number: u64| Duration::from_secs_f64(number as f64 / load.pipelines_per_second);
    let mut last_reply = begin;
    let mut is_over = false;
    while !is_over || (times.len() as u64) < sent {
        for _ in 0..SENT_AT_ONCE_MAX {
            is_over = is_over || (load.is_over)(sent);
            if is_over || begin.elapsed() < due_at(sent) {
                break;
            }
            let connection = &mut connections[sent as usize % load.clients];
            connection.due.push_back(begin + due_at(sent));
            (load.write)(sent, &mut connection.unsent);
            connection.flush()?;
            sent += 1;
        }
        match poll.poll(&mut events, Some(Duration::ZERO)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.to_string()),
            _ => {}
        }
        for event in &events {
            let connection = &mut connections[event.token().0];
            connection.flush()?;
            connection.read(load.depth, &mut buffer, &mut times)?;
            last_reply = Instant::now();
        }
        if (times.len() as u64) < sent && last_reply.elapsed() > SILENCE_MAX {
            return Err(format!("no reply for {} s", SILENCE_MAX.as_secs()));
        }
    }
    Ok(times)
}

fn connect(load: &Load<'_>, poll: &Poll) -> std::io::Result<Vec<Connection>> {
    (0..load.clients)
        .map(|index| {
            let stream = std::net::TcpStream::connect(load.address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(index), interest)?;
            let (replies, due, unsent) = Default::default();
            Ok(Connection { stream, replies, answered: 0, due, unsent })
        })
        .collect()
}

impl Connection {
    /// Writes as much as the socket takes.
    fn flush(&mut self) -> Result<(), String> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(written) => drop(self.unsent.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    /// Reads what is there and adds the times of pipelines that are answered.
    fn read(
        &mut self,
        depth: u64,
        buffer: &mut [u8],
        times: &mut Vec<Duration>,
    ) -> Result<(), String> {
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => return Err("connection closed".to_owned()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.to_string()),
            };
            let complete =
                self.replies.feed(&buffer[..read]).map_err(|_| "answer is not RESP2".to_owned())?;
            if let Some(error) = self.replies.first_error() {
                return Err(error.to_owned());
            }
            self.answered += complete;
            let now = Instant::now();
            while self.answered >= depth {
                let due = self.due.pop_front().ok_or("more replies than requests")?;
                times.push(now.saturating_duration_since(due));
                self.answered -= depth;
            }
            if read < buffer.len() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::requests::encode;

    #[test]
    fn every_pipeline_is_timed_once() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let streams = [listener.accept().unwrap().0, listener.accept().unwrap().0];
            let echo = |mut stream: std::net::TcpStream| {
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    let requests = buffer[..read].iter().filter(|byte| **byte == b'*').count();
                    stream.write_all(&b"+OK\r\n".repeat(requests)).unwrap();
                }
            };
            let threads = streams.map(|stream| std::thread::spawn(move || echo(stream)));
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
        let times = run(&mut Load {
            address,
            clients: 2,
            depth: 3,
            pipelines_per_second: 5000.0,
            write: &mut |_, out| (0..3).for_each(|_| encode(&["PING"], out)),
            is_over: &mut |sent| sent == 100,
        });
        assert_eq!(times.unwrap().len(), 100);
        server.join().unwrap();
    }
}
