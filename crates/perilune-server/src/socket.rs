//! TCP and Unix sockets as one type.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use tokio::net::{TcpStream, UnixStream};

/// A client's socket.
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Ready when there is something to read; registers the task otherwise.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Tcp(stream) => stream.poll_read_ready(cx),
            Socket::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Reads once. May turn out to have nothing to read (`WouldBlock`) although it seemed so.
    pub(crate) fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.try_read(buf),
            Socket::Unix(stream) => stream.try_read(buf),
        }
    }

    /// Writes once; registers the task when the socket is full.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Socket::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }
}

impl Socket {
    /// Writes a short text if the socket takes it at once, and closes.
    pub(crate) async fn say_goodbye(&mut self, text: &[u8]) {
        use tokio::io::AsyncWriteExt;
        // The peer is turned away; whether it hears why is up to it.
        let _ = match self {
            Socket::Tcp(stream) => stream.write_all(text).await,
            Socket::Unix(stream) => stream.write_all(text).await,
        };
    }
}
