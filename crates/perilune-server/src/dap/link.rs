//! The adapter's end of a session of the Lua debugger: [`Link`].
//!
//! The session is that of a running server, reached by TCP, or that of an engine of our own on a
//! thread of this process, reached by a socket pair: the same protocol either way. What arrives is
//! read by a thread and handed on in one channel with everything else the adapter waits for.

use super::Input;
use super::launch::{Launch, ServerAddress};
use crate::debugger;
use crate::env::Detached;
use crate::socket::BlockingSocket;
use perilune_commands::clock::SystemClock;
use perilune_commands::config::Config;
use perilune_commands::session::PeerInfo;
use perilune_commands::{Engine, EngineBuilder};
use perilune_resp::{Value, encode_request, parse_reply};
use perilune_script::ScriptEngine;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// How long to wait for a server to accept the connection, and for its answers before the session.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

/// The writing half of the connection to a session.
pub(super) struct Link {
    socket: BlockingSocket,
}

impl Link {
    /// Connects to where the program is to run; it does not run yet. `Err` is for the user.
    pub(super) fn open(
        launch: &Launch,
        engines: Vec<Box<dyn ScriptEngine>>,
        inputs: &Sender<Input>,
    ) -> Result<Link, String> {
        let socket = match &launch.server {
            Some(server) => connect(server)?,
            None => start_engine(launch, engines, inputs.clone())?,
        };
        let reader = socket.try_clone().map_err(|error| error.to_string())?;
        let inputs = inputs.clone();
        spawn("dap-session", move || read_session(reader, &inputs))?;
        Ok(Link { socket })
    }

    /// Sends a command to the session or server.
    pub(super) fn send(&mut self, words: &[Vec<u8>]) -> io::Result<()> {
        let mut request = Vec::new();
        encode_request(words, &mut request);
        self.socket.write_all(&request)
    }

    /// Ends the connection, which ends the program.
    pub(super) fn close(&self) {
        // It may be closed already.
        let _ = self.socket.shutdown();
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), String> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map(|_| ()).map_err(|error| format!("Can't start a thread: {error}"))
}

/// Hands on what the session says until it ends.
fn read_session(mut socket: BlockingSocket, inputs: &Sender<Input>) {
    let mut received = Vec::new();
    while let Some(reply) = read_reply(&mut socket, &mut received) {
        // The adapter is gone only when the process ends.
        if inputs.send(Input::Session(reply)).is_err() {
            return;
        }
    }
    let _ = inputs.send(Input::SessionClosed);
}

/// The next reply; `received` keeps what came after it. `None` when there is none any more.
fn read_reply(socket: &mut BlockingSocket, received: &mut Vec<u8>) -> Option<Value> {
    let mut chunk = [0; READ_BYTES];
    loop {
        if let Some((reply, length)) = parse_reply(received).ok()? {
            received.drain(..length);
            return Some(reply);
        }
        match socket.read(&mut chunk) {
            Ok(0) => return None,
            Ok(n) => received.extend_from_slice(&chunk[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// Connects to a running server and switches its debugger on.
fn connect(server: &ServerAddress) -> Result<BlockingSocket, String> {
    let failed = |error: io::Error| format!("Can't connect to {}: {error}", server.address);
    let addresses = server.address.to_socket_addrs().map_err(failed)?;
    let mut result = Err(failed(io::ErrorKind::NotFound.into()));
    for address in addresses {
        result = TcpStream::connect_timeout(&address, CONNECT_WAIT).map_err(failed);
        if result.is_ok() {
            break;
        }
    }
    let stream = result?;
    stream.set_nodelay(true).map_err(failed)?;
    stream.set_read_timeout(Some(CONNECT_WAIT)).map_err(failed)?;
    let mut socket = BlockingSocket::Tcp(stream.try_clone().map_err(failed)?);
    let mut commands: Vec<Vec<&str>> = Vec::new();
    match (&server.username, &server.password) {
        (Some(username), Some(password)) => commands.push(vec!["AUTH", username, password]),
        (None, Some(password)) => commands.push(vec!["AUTH", password]),
        _ => {}
    }
    let db = server.db.to_string();
    if server.db > 0 {
        commands.push(vec!["SELECT", &db]);
    }
    commands.push(vec!["SCRIPT", "DEBUG", server.mode]);
    for command in commands {
        let mut request = Vec::new();
        encode_request(&command, &mut request);
        socket.write_all(&request).map_err(failed)?;
        match read_reply(&mut socket, &mut Vec::new()) {
            Some(Value::Status(_)) => {}
            Some(Value::Error(text)) => return Err(String::from_utf8_lossy(&text).into_owned()),
            _ => return Err(format!("{} does not answer like Redis", server.address)),
        }
    }
    // From now on the program decides how long an answer takes.
    stream.set_read_timeout(None).map_err(failed)?;
    Ok(socket)
}

/// Starts an engine that waits for the command to debug.
fn start_engine(
    launch: &Launch,
    engines: Vec<Box<dyn ScriptEngine>>,
    inputs: Sender<Input>,
) -> Result<BlockingSocket, String> {
    let log = Box::new(move |line: &str| {
        // Nobody reads the log when the adapter is gone.
        let _ = inputs.send(Input::Log(line.to_owned()));
    });
    let mut builder = EngineBuilder::new(
        Config::default(),
        Arc::new(SystemClock),
        Box::new(Detached::with_log(log)),
    );
    for engine in engines {
        builder = builder.script_engine(engine);
    }
    let mut engine = builder.build()?;
    let client = engine.connect(PeerInfo { local: true, ..PeerInfo::default() }, None);
    if launch.function.is_some() {
        let mut reply = Vec::new();
        engine.execute(client, &[b"FUNCTION", b"LOAD", &launch.source], &mut reply);
        if let Ok(Some((Value::Error(text), _))) = parse_reply(&reply) {
            return Err(String::from_utf8_lossy(&text).into_owned());
        }
    }
    let (ours, theirs) = UnixStream::pair().map_err(|error| error.to_string())?;
    spawn("dap-engine", move || run_engine(engine, client, theirs))?;
    Ok(BlockingSocket::Unix(ours))
}

/// Runs the one command that comes.
fn run_engine(
    mut engine: Engine,
    client: perilune_commands::session::ClientSlot,
    stream: UnixStream,
) {
    let Ok(copy) = stream.try_clone() else { return };
    let mut socket = BlockingSocket::Unix(copy);
    if let Some(Value::Array(words)) = read_reply(&mut socket, &mut Vec::new()) {
        let words: Vec<&[u8]> = words.iter().filter_map(Value::as_bytes).collect();
        let reply = debugger::run_on(&mut engine, client, &words, socket);
        // An adapter that is gone misses the reply.
        let _ = (&stream).write_all(&reply);
    }
    let _ = stream.shutdown(Shutdown::Both);
}
