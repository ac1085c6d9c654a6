//! TCP and Unix sockets as one type.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
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

    /// Lets packets wait for more to come, or does not.
    pub(crate) fn gather_packets(&self, gather: bool) {
        if let Socket::Tcp(stream) = self {
            // A socket that refuses is slower or sends smaller packets, not wrong.
            let _ = stream.set_nodelay(!gather);
        }
    }

    /// Reads once into `buf` and answers the number of bytes; registers the task when there was
    /// nothing after all. A read that does not fill `buf` took everything, and is known to have:
    /// nothing is read again before the system tells of more.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        let read = match self {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, &mut buf),
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, &mut buf),
        };
        read.map_ok(|()| buf.filled().len())
    }

    /// Writes once, if the socket takes something now; [`WouldBlock`](io::ErrorKind::WouldBlock) if
    /// not, and no task is registered.
    pub(crate) fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.try_write(buf),
            Socket::Unix(stream) => stream.try_write(buf),
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

/// A socket that waits for what it is asked, with time limits.
pub(crate) enum BlockingSocket {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl BlockingSocket {
    /// The same socket once more.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            BlockingSocket::Tcp(stream) => BlockingSocket::Tcp(stream.try_clone()?),
            BlockingSocket::Unix(stream) => BlockingSocket::Unix(stream.try_clone()?),
        })
    }

    /// Sets the longest waits of a read and a write.
    pub(crate) fn set_waits(&self, read_wait: Duration, write_wait: Duration) -> io::Result<()> {
        match self {
            BlockingSocket::Tcp(stream) => {
                stream.set_read_timeout(Some(read_wait))?;
                stream.set_write_timeout(Some(write_wait))
            }
            BlockingSocket::Unix(stream) => {
                stream.set_read_timeout(Some(read_wait))?;
                stream.set_write_timeout(Some(write_wait))
            }
        }
    }

    /// Reads what is there; [`WouldBlock`](io::ErrorKind::WouldBlock) when there is nothing.
    pub(crate) fn read_now(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.set_nonblocking(true)?;
        let result = io::Read::read(self, buf);
        self.set_nonblocking(false)?;
        result
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match self {
            BlockingSocket::Tcp(stream) => stream.set_nonblocking(nonblocking),
            BlockingSocket::Unix(stream) => stream.set_nonblocking(nonblocking),
        }
    }

    /// Ends the connection both ways.
    pub(crate) fn shutdown(&self) -> io::Result<()> {
        match self {
            BlockingSocket::Tcp(stream) => stream.shutdown(Shutdown::Both),
            BlockingSocket::Unix(stream) => stream.shutdown(Shutdown::Both),
        }
    }
}

impl io::Read for BlockingSocket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            BlockingSocket::Tcp(stream) => stream.read(buf),
            BlockingSocket::Unix(stream) => stream.read(buf),
        }
    }
}

impl io::Write for BlockingSocket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            BlockingSocket::Tcp(stream) => stream.write(buf),
            BlockingSocket::Unix(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket {
    /// Takes the socket away from the runtime. Longest waits of a read and a write.
    pub(crate) fn into_blocking(
        self,
        read_wait: Duration,
        write_wait: Duration,
    ) -> io::Result<BlockingSocket> {
        let socket = match self {
            Socket::Tcp(stream) => {
                let stream = stream.into_std()?;
                stream.set_nonblocking(false)?;
                BlockingSocket::Tcp(stream)
            }
            Socket::Unix(stream) => {
                let stream = stream.into_std()?;
                stream.set_nonblocking(false)?;
                BlockingSocket::Unix(stream)
            }
        };
        socket.set_waits(read_wait, write_wait)?;
        Ok(socket)
    }

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
