//! Servers under load: started on a free port of the loopback, pinned to a core, killed when dropped.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::replies::ReplyCounter;
use super::requests::encode;

/// Reading the data may take a while on a busy machine.
const START_TIME_MAX: Duration = Duration::from_secs(60);
/// How often is looked whether the server answers.
const READY_STEP: Duration = Duration::from_millis(5);
const REPLY_TIME_MAX: Duration = Duration::from_secs(30);

/// A running server.
pub(super) struct Server {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    child: Child,
    folder: PathBuf,
    /// The folder goes when the server does.
    owns_folder: bool,
}

/// What a server is started with.
pub(super) struct Setup<'a> {
    pub(super) name: &'a str,
    pub(super) binary: &'a Path,
    /// The cores that its threads run on, as `taskset` takes them; none: those of this process.
    pub(super) cores: Option<&'a str>,
    /// The folder it works in; none: one of its own, which goes with it.
    pub(super) folder: Option<&'a Path>,
    /// Directives besides those that every server gets.
    pub(super) extra: &'a [&'a str],
    /// The program and its arguments that run the server, if it does not run by itself.
    pub(super) under: &'a [&'a str],
}

impl Server {
    /// Starts a server and waits until it answers. `core` is where all its threads run.
    pub(super) fn start(name: &str, binary: &Path, core: Option<usize>) -> Result<Self> {
        let core = core.map(|core| core.to_string());
        let cores = core.as_deref();
        Self::start_with(&Setup { name, binary, cores, folder: None, extra: &[], under: &[] })
    }

    /// Starts a server and waits until it has read its data and answers.
    pub(super) fn start_with(setup: &Setup<'_>) -> Result<Self> {
        let name = setup.name;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let own =
            || std::env::temp_dir().join(format!("xtask-bench-{}-{port}", std::process::id()));
        let folder = setup.folder.map_or_else(own, Path::to_owned);
        std::fs::create_dir_all(&folder)?;
        let log = folder.join("log");
        let binary = setup
            .binary
            .canonicalize()
            .with_context(|| format!("{name}: there is no {}", setup.binary.display()))?;
        // Each of these replaces itself by the next, so the process is the server's.
        let pinned = setup.cores.into_iter().flat_map(|cores| ["taskset", "-c", cores]);
        let mut words: Vec<&OsStr> =
            pinned.chain(setup.under.iter().copied()).map(OsStr::new).collect();
        words.push(binary.as_os_str());
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        command.args(arguments(port)).args(setup.extra).current_dir(&folder).stdin(Stdio::null());
        command.stdout(File::create(&log)?).stderr(File::create(folder.join("errors"))?);
        let child =
            command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
        let owns_folder = setup.folder.is_none();
        let mut server = Self { name: name.to_owned(), address, child, folder, owns_folder };
        server.wait_until_ready(&log)?;
        Ok(server)
    }

    fn wait_until_ready(&mut self, log: &Path) -> Result<()> {
        let deadline = Instant::now() + START_TIME_MAX;
        loop {
            let answered = Client::connect(self.address)
                .and_then(|mut client| client.call(&["PING"]))
                .is_ok_and(|reply| reply == b"+PONG\r\n");
            if answered {
                return Ok(());
            }
            let ended = self.child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(log).unwrap_or_default();
                let errors =
                    std::fs::read_to_string(self.folder.join("errors")).unwrap_or_default();
                let state = ended.map_or("does not answer".to_owned(), |s| format!("ended: {s}"));
                bail!("{} {state}\n{log}{errors}", self.name);
            }
            std::thread::sleep(READY_STEP);
        }
    }

    /// Asks the server to end and waits until it has, so that it can write what it does at its end.
    pub(super) fn shut_down(mut self) -> Result<()> {
        // The answer is the end of the connection.
        let _ = Client::connect(self.address)?.call(&["SHUTDOWN", "NOSAVE"]);
        let deadline = Instant::now() + REPLY_TIME_MAX;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return if status.success() { Ok(()) } else { bail!("{} {status}", self.name) };
            }
            std::thread::sleep(READY_STEP);
        }
        bail!("{} does not end", self.name)
    }

    /// The number of the process.
    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Where it works, and what is measured of it may be kept for as long.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The processor time of all threads of the server so far.
    ///
    /// Read from the scheduler, in nanoseconds: the ticks of `/proc/PID/stat` are too coarse for a
    /// second of load. Threads that have ended are not in the sum.
    pub(super) fn cpu_time(&self) -> Result<Duration> {
        let tasks = format!("/proc/{}/task", self.child.id());
        let mut sum = 0;
        for task in std::fs::read_dir(&tasks).with_context(|| format!("cannot read {tasks}"))? {
            // A thread may end between the listing and the reading.
            let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) else {
                continue;
            };
            sum += text.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(sum))
    }

    /// The memory of the server and of the processes it forked, bytes. What they share is counted
    /// once.
    pub(super) fn memory(&self) -> u64 {
        let own = self.child.id();
        let listed = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
        let forked = listed.unwrap_or_default();
        let forked = forked.split_whitespace().filter_map(|id| id.parse().ok());
        std::iter::once(own).chain(forked).map(proportional_set).sum()
    }

    /// The version fields of `INFO server`.
    pub(super) fn versions(&self) -> Result<String> {
        let info = Client::connect(self.address)?.call(&["INFO", "server"])?;
        match info.starts_with(b"$") {
            true => Ok(version_fields(&String::from_utf8_lossy(&info))),
            false => Ok("answers everything alike".to_owned()),
        }
    }
}

/// The proportional set size of a process, bytes; zero if it is gone.
fn proportional_set(id: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// The command line after the name of the binary.
pub(super) fn arguments(port: u16) -> Vec<String> {
    let line = "--save '' --appendonly no --bind 127.0.0.1 --daemonize no";
    let words = line.split(' ').map(|word| word.trim_matches('\'').to_owned());
    ["--port".to_owned(), port.to_string()].into_iter().chain(words).collect()
}

fn version_fields(info: &str) -> String {
    let fields = info.lines().filter_map(|line| line.trim().split_once(':'));
    let versions = fields.filter(|(name, _)| name.ends_with("_version") && *name != "gcc_version");
    versions.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing is saved and nobody is told: the process may already be gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if self.owns_folder {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// A blocking connection for what is not measured.
pub(super) struct Client {
    stream: TcpStream,
}

impl Client {
    pub(super) fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_TIME_MAX))?;
        stream.set_write_timeout(Some(REPLY_TIME_MAX))?;
        Ok(Self { stream })
    }

    /// Sends one request and returns its reply as it came. An error reply is an error.
    pub(super) fn call<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<Vec<u8>> {
        let mut request = Vec::new();
        encode(words, &mut request);
        self.exchange(&request, 1)
    }

    /// Sends encoded requests and returns their replies as they came.
    pub(super) fn exchange(&mut self, requests: &[u8], count: u64) -> Result<Vec<u8>> {
        self.stream.write_all(requests)?;
        let mut counter = ReplyCounter::default();
        let (mut replies, mut missing) = (Vec::new(), count);
        let mut buffer = [0; 16 * 1024];
        while missing > 0 {
            let read = self.stream.read(&mut buffer)?;
            if read == 0 {
                bail!("connection closed");
            }
            replies.extend_from_slice(&buffer[..read]);
            let complete = counter.feed(&buffer[..read]).ok().context("answer is not RESP2")?;
            missing = missing.checked_sub(complete).context("more replies than requests")?;
        }
        if let Some(error) = counter.first_error() {
            bail!("{error}");
        }
        Ok(replies)
    }
}

/// The body of a bulk string reply.
pub(super) fn bulk_body(reply: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(reply).context("a reply that is not text")?;
    let (_, body) = text
        .strip_prefix('$')
        .and_then(|text| text.split_once("\r\n"))
        .context("not a bulk string")?;
    Ok(body.trim_end_matches("\r\n").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_server() {
        let info =
            "$80\r\n# Server\r\nredis_version:7.2.4\r\ngcc_version:14.2\r\nvalkey_version:9.1\r\n";
        assert_eq!(version_fields(info), "redis_version 7.2.4, valkey_version 9.1");
    }

    #[test]
    fn a_bulk_reply_has_a_body() {
        assert_eq!(bulk_body(b"$4\r\nab12\r\n").unwrap(), "ab12");
        assert!(bulk_body(b"+OK\r\n").is_err());
    }

    #[test]
    fn the_save_points_are_an_empty_word() {
        let words = arguments(1);
        let at = words.iter().position(|word| word == "--save").unwrap();
        assert_eq!(words[at + 1], "");
    }
}
