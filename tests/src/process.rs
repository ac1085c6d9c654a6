//! Server processes: ours, or a real `redis-server` to compare with.
//!
//! Redis has no way to ask for any free port, so one is looked up and the server is started again
//! with another when somebody was faster. The child is killed by its handle when its [`Server`]
//! goes, and its folder is removed.

use crate::{PATIENCE, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use perilune_testkit::{Address, Clients, Connection, SocketClients};
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// How often a port is tried to be somebody else's before giving up.
const PORT_TRIES: usize = 5;

/// The root of the repository.
pub fn repository() -> &'static Path {
    // The manifest of this package is one folder below it.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Runs the tests on another server when set to its path: what we expect can be held against Redis.
const BINARY_VARIABLE: &str = "PERILUNE_TEST_SERVER";

/// Our server's binary, built on first use with the profile and target folder of this test.
///
/// # Panics
/// If it cannot be built.
pub fn server_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os(BINARY_VARIABLE) {
        Some(other) => other.into(),
        None => build_server(),
    })
}

fn build_server() -> PathBuf {
    // target/PROFILE/{deps/TEST,examples/EXAMPLE,BINARY}
    let program = std::env::current_exe().expect("a program knows its own path");
    let folder = program.parent().expect("a program is in a folder");
    let is_below = folder.ends_with("deps") || folder.ends_with("examples");
    let folder = if is_below { folder.parent().unwrap_or(folder) } else { folder };
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--package", "perilune-server", "--bin", "perilune"]);
    build.args(["--profile", profile]).current_dir(repository());
    if let Some(target) = folder.parent() {
        build.arg("--target-dir").arg(target);
    }
    let status = build.status().expect("cargo starts");
    assert!(status.success(), "the server does not build: {status}");
    let binary = folder.join("perilune");
    assert!(binary.is_file(), "{} was not built", binary.display());
    binary
}

/// A real `redis-server` on the search path.
pub fn redis_server() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("redis-server")).find(|it| it.is_file())
}

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct ServerBuilder {
    binary: PathBuf,
    arguments: Vec<OsString>,
    folder: Option<PathBuf>,
}

impl ServerBuilder {
    /// Another binary than ours.
    pub fn of(binary: &Path) -> Self {
        Self { binary: binary.to_owned(), arguments: Vec::new(), folder: None }
    }

    /// Lets it work in a folder that is there and stays, and not in one of its own.
    #[must_use]
    pub fn within(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Adds a directive, as after `--` on the command line.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.arguments.push(format!("--{name}").into());
        self.arguments.push(value.into());
        self
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Panics
    /// If it does not.
    pub fn start(self) -> Server {
        for _ in 0..PORT_TRIES {
            let mut server = self.spawn(free_port());
            if server.comes_up() {
                return server;
            }
        }
        panic!("no server in {PORT_TRIES} tries; see its log above");
    }

    fn spawn(&self, port: u16) -> Server {
        let folder = self.folder.clone().unwrap_or_else(new_folder);
        let mut command = Command::new(&self.binary);
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.arg("--dir").arg(&folder).args(["--logfile", "server.log"]);
        command.args(["--unixsocket", "server.sock"]);
        command.args(&self.arguments);
        // The path of a Unix socket is short, so it is given relative to the folder.
        command.current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", self.binary.display()));
        Server { child: Some(child), port, folder, owns_folder: self.folder.is_none() }
    }
}

fn free_port() -> u16 {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| it.local_addr());
    probe.expect("there is a free port").port()
}

fn new_folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("perilune-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
    folder
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// `None` once its end was waited for.
    child: Option<Child>,
    port: u16,
    folder: PathBuf,
    owns_folder: bool,
}

impl Server {
    /// Our server, to be configured.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::of(server_binary())
    }

    /// Our server.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Its TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where it listens.
    pub fn address(&self) -> Address {
        Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)))
    }

    /// Where it listens on its Unix socket.
    pub fn unix_address(&self) -> Address {
        Address::Unix(self.folder.join("server.sock"))
    }

    /// A new client.
    ///
    /// # Panics
    /// If it cannot connect.
    pub fn connect(&self) -> Connection {
        Connection::open(&self.address()).expect("the server accepts clients")
    }

    /// Clients by name, for transcripts.
    pub fn clients(&self) -> SocketClients {
        SocketClients::new(self.address())
    }

    /// Waits until so many clients wait for keys.
    ///
    /// # Panics
    /// If that does not happen.
    pub fn until_waiting(&self, count: usize) {
        self.clients().until_waiting(count).expect("clients wait");
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it is gone.
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the server has not ended");
        let pid = i32::try_from(child.id()).expect("process ids fit");
        kill(Pid::from_raw(pid), signal).expect("the server runs");
    }

    /// Stops it until it gets SIGCONT: what is sent meanwhile is there all at once.
    ///
    /// # Panics
    /// If it is gone.
    pub fn halt(&self) {
        self.signal(Signal::SIGSTOP);
        let child = self.child.as_ref().expect("the server has not ended");
        let stat = format!("/proc/{}/stat", child.id());
        eventually("the server to stop", || {
            let stat = std::fs::read_to_string(&stat).expect("the server runs");
            stat.rsplit_once(") ")?.1.starts_with('T').then_some(())
        });
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it does not end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the server has not ended");
        eventually("the end of the server", || child.try_wait().expect("the child is ours"))
    }

    fn comes_up(&mut self) -> bool {
        let start = Instant::now();
        let mut server_runs = true;
        while server_runs && start.elapsed() < PATIENCE {
            // A line of the log tells it apart from somebody else's server on that port.
            let ready = self.log().contains("Ready to accept connections");
            if ready && Connection::open(&self.address()).is_ok() {
                return true;
            }
            std::thread::sleep(crate::POLL_EVERY);
            server_runs = self.is_running();
        }
        eprintln!("the server on port {} did not come up:\n{}", self.port, self.log());
        false
    }

    fn is_running(&mut self) -> bool {
        let child = self.child.as_mut();
        child.is_some_and(|child| child.try_wait().is_ok_and(|status| status.is_none()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        if self.owns_folder {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}
