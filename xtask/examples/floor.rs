//! The floor under every server in `cargo xtask bench`: one thread on epoll that answers `+PONG` as
//! often as it reads a `*`, one read and one write for each turn of a connection. What a real
//! server needs beyond it is what it does itself; the rest is the kernel's.
//!
//! Only the port of the arguments is looked at: `floor --port N ...`.

use std::io::{ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX);
const READ_BYTES: usize = 16 * 1024;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--port");
    let port = arguments.nth(1).and_then(|port| port.parse().ok()).unwrap_or(6379);
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut connections: Vec<Option<TcpStream>> = Vec::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut connections)?;
            } else if let Some(slot) = connections.get_mut(event.token().0)
                && slot.as_mut().is_some_and(|stream| !serve(stream, &mut buffer))
            {
                *slot = None;
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    poll: &Poll,
    connections: &mut Vec<Option<TcpStream>>,
) -> Result<()> {
    while let Ok((mut stream, _)) = listener.accept() {
        stream.set_nodelay(true)?;
        poll.registry().register(&mut stream, Token(connections.len()), Interest::READABLE)?;
        connections.push(Some(stream));
    }
    Ok(())
}

/// Answers what has come. False if the connection is over.
fn serve(stream: &mut TcpStream, buffer: &mut [u8]) -> bool {
    loop {
        match stream.read(buffer) {
            Ok(0) => return false,
            Ok(read) => {
                let requests = buffer[..read].iter().filter(|byte| **byte == b'*').count();
                // The load is read as fast as it is sent: replies never fill the socket.
                if stream.write_all(&b"+PONG\r\n".repeat(requests)).is_err() {
                    return false;
                }
                if read < buffer.len() {
                    return true;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}
