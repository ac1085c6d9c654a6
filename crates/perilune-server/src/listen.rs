//! Listening sockets: binding them as the configuration says, and accepting clients.

use crate::connection::{self, Bell, State};
use crate::gate::Gate;
use crate::log;
use crate::socket::Socket;
use perilune_commands::config::Config;
use perilune_commands::session::PeerInfo;
use perilune_resp::DecoderLimits;
use perilune_script::LogLevel;
use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, TcpKeepalive, Type};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener as StdTcpListener, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinHandle;

/// Bound sockets that are not served yet.
#[derive(Debug, Default)]
pub(crate) struct ListenerChange {
    tcp: Vec<StdTcpListener>,
}

impl ListenerChange {
    /// Binds every configured address; `Err` says which one failed and why. An address that is
    /// marked optional with `-` may be unavailable.
    pub(crate) fn prepare(config: &Config) -> Result<Self, String> {
        let mut tcp = Vec::new();
        if config.port == 0 {
            return Ok(ListenerChange { tcp });
        }
        for written in &config.bind.0 {
            let (optional, host) = match written.strip_prefix('-') {
                Some(host) => (true, host),
                None => (false, written.as_str()),
            };
            match bind(host, config.port, config.tcp_backlog) {
                Ok(listener) => tcp.push(listener),
                Err(error) if optional && unavailable(&error) => {}
                Err(error) => {
                    let words = crate::config_file::system_words(&error);
                    return Err(format!(
                        "Could not create server TCP listening socket {host}:{port}: bind: {words}\n\
                         Failed listening on port {port} (tcp), aborting.",
                        port = config.port
                    ));
                }
            }
        }
        if tcp.is_empty() && !config.bind.0.is_empty() {
            return Err(format!("Failed listening on port {} (tcp), aborting.", config.port));
        }
        Ok(ListenerChange { tcp })
    }

    /// [`prepare`](Self::prepare) in the place of the sockets in `held`. They stop listening first,
    /// because the new addresses may contain the old ones, and go on when the new ones fail.
    pub(crate) fn prepare_over(held: &Held, config: &Config) -> Result<Self, String> {
        held.pause();
        Self::prepare(config).inspect_err(|_| held.resume())
    }

    /// Gives the sockets up again: those in `held`, which made room for them, go on.
    pub(crate) fn give_up(self, held: &Held) {
        drop(self);
        held.resume();
    }

    /// Handles on the sockets.
    pub(crate) fn held(&self, config: &Config) -> Held {
        let tcp = self.tcp.iter().filter_map(|listener| listener.try_clone().ok()).collect();
        Held { tcp, backlog: config.tcp_backlog }
    }

    /// The addresses bound.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.tcp.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }
}

/// Handles on sockets that somebody else serves.
#[derive(Debug, Default)]
pub(crate) struct Held {
    tcp: Vec<StdTcpListener>,
    backlog: u32,
}

impl Held {
    /// Stops listening. The addresses stay bound, but others may be bound over them.
    fn pause(&self) {
        for listener in &self.tcp {
            // One that cannot be paused may be in the way of the new ones, which then say so.
            let _ = SockRef::from(listener).shutdown(Shutdown::Read);
        }
    }

    /// Listens again.
    fn resume(&self) {
        for listener in &self.tcp {
            if let Err(error) = SockRef::from(listener).listen(backlog(self.backlog)) {
                log::write(LogLevel::Warning, &format!("Failed listening again: {error}"));
            }
        }
    }
}

fn backlog(configured: u32) -> i32 {
    i32::try_from(configured).unwrap_or(i32::MAX)
}

/// Whether an address does not exist on this machine, as opposed to being taken.
fn unavailable(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let unavailable = [Errno::EADDRNOTAVAIL, Errno::EAFNOSUPPORT, Errno::EPROTONOSUPPORT];
    error.raw_os_error().is_some_and(|code| unavailable.contains(&Errno::from_raw(code)))
        || error.kind() == io::ErrorKind::InvalidInput
}

fn bind(host: &str, port: u16, pending_max: u32) -> io::Result<StdTcpListener> {
    let address: SocketAddr = match host {
        "*" => SocketAddr::from(([0, 0, 0, 0], port)),
        "::*" => SocketAddr::from(([0u16; 8], port)),
        host => (host, port)
            .to_socket_addrs()?
            .next()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no such address"))?,
    };
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog(pending_max))?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// The accepting tasks of a server; dropping them stops accepting.
#[derive(Default)]
pub(crate) struct Acceptors {
    tcp: Vec<JoinHandle<()>>,
    unix: Option<JoinHandle<()>>,
}

impl Acceptors {
    /// Serves these TCP sockets instead of the present ones.
    pub(crate) fn listen_tcp(&mut self, change: ListenerChange, gate: &Gate) -> io::Result<()> {
        for task in self.tcp.drain(..) {
            task.abort();
        }
        for listener in change.tcp {
            let listener = TcpListener::from_std(listener)?;
            let gate = gate.clone();
            self.tcp.push(tokio::spawn(async move {
                loop {
                    match listener.accept().await {
                        Ok((stream, peer)) => accept_tcp(stream, peer, &gate),
                        Err(error) => pause_after(&error).await,
                    }
                }
            }));
        }
        Ok(())
    }

    /// Serves the configured Unix socket, if there is one.
    pub(crate) fn listen_unix(&mut self, config: &Config, gate: &Gate) -> Result<(), String> {
        if config.unixsocket.is_empty() {
            return Ok(());
        }
        let path = config.unixsocket.clone();
        let failed = |error: io::Error| {
            let words = crate::config_file::system_words(&error);
            format!("Failed opening Unix socket: bind: {path}: {words}")
        };
        // A socket left by an earlier run would refuse the bind.
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).map_err(failed)?;
        if config.unixsocketperm != 0 {
            let permissions = std::fs::Permissions::from_mode(config.unixsocketperm);
            std::fs::set_permissions(&path, permissions).map_err(failed)?;
        }
        let gate = gate.clone();
        let local = path.clone();
        self.unix = Some(tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let peer = PeerInfo {
                            addr: format!("{local}:0"),
                            laddr: format!("{local}:0"),
                            fd: stream.as_raw_fd(),
                            unix_socket: true,
                            local: true,
                        };
                        start(Socket::Unix(stream), peer, &gate);
                    }
                    Err(error) => pause_after(&error).await,
                }
            }
        }));
        Ok(())
    }
}

/// Longest wait for accepting tasks to end.
const CLOSE_WAIT: Duration = Duration::from_millis(500);

impl Acceptors {
    /// Closes the sockets, so that nobody finds the server who comes after those it lets go.
    pub(crate) async fn close(&mut self) {
        let tasks: Vec<_> = self.tcp.drain(..).chain(self.unix.take()).collect();
        for task in &tasks {
            task.abort();
        }
        for task in tasks {
            // Ends with the cancellation, which is what was asked for.
            let _ = tokio::time::timeout(CLOSE_WAIT, task).await;
        }
    }
}

/// Out of file descriptors, most likely: trying at once again would only burn the processor. A
/// socket that does not listen at the moment is about to be replaced.
async fn pause_after(error: &io::Error) {
    if error.kind() == io::ErrorKind::InvalidInput {
        tokio::time::sleep(Duration::from_millis(10)).await;
        return;
    }
    log::write(LogLevel::Warning, &format!("Error accepting a client connection: {error}"));
    tokio::time::sleep(Duration::from_millis(100)).await;
}

fn accept_tcp(stream: TcpStream, peer: SocketAddr, gate: &Gate) {
    // A socket without this option is slower, not wrong.
    let _ = stream.set_nodelay(true);
    let peer_ip = peer.ip().to_canonical();
    let laddr = stream.local_addr().map(|addr| addr.to_string()).unwrap_or_default();
    let peer = PeerInfo {
        addr: peer.to_string(),
        laddr,
        fd: stream.as_raw_fd(),
        unix_socket: false,
        local: peer_ip.is_loopback(),
    };
    start(Socket::Tcp(stream), peer, gate);
}

/// What stands at the door.
enum Admission {
    Welcome(Box<State>),
    Refused(&'static str),
}

const MAX_CLIENTS: &str = "-ERR max number of clients reached\r\n";

const PROTECTED: &str = "-DENIED Perilune is running in protected mode because protected mode is \
    enabled and no password is set for the default user. In this mode connections are only \
    accepted from the loopback interface. If you want to connect from external computers, you may \
    set a password with CONFIG SET requirepass, or switch protected mode off with CONFIG SET \
    protected-mode no from a local connection, or set one of both in the configuration file, or \
    restart the server with '--protected-mode no'.\r\n";

struct Visitor {
    peer: Option<PeerInfo>,
    bell: Arc<Bell>,
    keepalive: u32,
    admission: Option<Admission>,
}

impl Visitor {
    fn enter(&mut self, engine: &mut perilune_commands::Engine) {
        let peer = self.peer.take().unwrap_or_default();
        self.keepalive = engine.config.tcp_keepalive;
        let refused = if engine.sessions.connected() >= engine.config.maxclients as usize {
            Some(MAX_CLIENTS)
        } else if engine.config.protected_mode
            && engine.acl.default_user().needs_no_password()
            && !peer.local
        {
            Some(PROTECTED)
        } else {
            None
        };
        if let Some(text) = refused {
            engine.stats.connections_rejected += 1;
            self.admission = Some(Admission::Refused(text));
            return;
        }
        let limits = DecoderLimits {
            bulk_bytes_max: engine.config.proto_max_bulk_len as i64,
            auth_required: !engine.acl.default_user().is_open(),
        };
        let query_limit = engine.config.client_query_buffer_limit;
        let slot = engine.connect(peer, Some(Arc::clone(&self.bell) as _));
        self.admission = Some(Admission::Welcome(Box::new(State::new(
            slot,
            Arc::clone(&self.bell),
            limits,
            query_limit,
        ))));
    }
}

fn start(mut socket: Socket, peer: PeerInfo, gate: &Gate) {
    let gate = gate.clone();
    tokio::spawn(async move {
        let bell = Arc::new(Bell::default());
        let visitor = Visitor { peer: Some(peer), bell, keepalive: 0, admission: None };
        let visitor = gate.run(visitor, Visitor::enter).await;
        set_keepalive(&socket, visitor.keepalive);
        match visitor.admission {
            Some(Admission::Welcome(state)) => connection::serve(socket, gate, state).await,
            Some(Admission::Refused(text)) => socket.say_goodbye(text.as_bytes()).await,
            None => {}
        }
    });
}

fn set_keepalive(socket: &Socket, seconds: u32) {
    if let (Socket::Tcp(stream), 1..) = (socket, seconds) {
        let time = Duration::from_secs(u64::from(seconds));
        let interval = Duration::from_secs(u64::from(seconds / 3).max(1));
        let keepalive = TcpKeepalive::new().with_time(time).with_interval(interval).with_retries(3);
        // Without it a dead peer is noticed later.
        let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(bind: &str, port: u16) -> Config {
        let mut config = Config { port, ..Config::default() };
        config.bind.0 = vec![bind.to_owned()];
        config
    }

    #[tokio::test]
    async fn sockets_make_room_for_wider_ones_and_come_back_when_those_fail() {
        let free = StdTcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("bound").port();
        drop(free);
        let first = config("127.0.0.1", port);
        let change = ListenerChange::prepare(&first).expect("free");
        let held = change.held(&first);

        // An address for documentation, which no machine has.
        assert!(ListenerChange::prepare_over(&held, &config("203.0.113.1", port)).is_err());
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        TcpStream::connect(address).await.expect("listens again");

        let wide = ListenerChange::prepare_over(&held, &config("*", port)).expect("makes room");
        wide.give_up(&held);
        TcpStream::connect(address).await.expect("listens again after a change of mind");

        let wide = ListenerChange::prepare_over(&held, &config("*", port)).expect("makes room");
        drop((change, held));
        assert_eq!(wide.addresses(), [SocketAddr::from(([0, 0, 0, 0], port))]);
        TcpStream::connect(address).await.expect("listens everywhere");
    }
}
