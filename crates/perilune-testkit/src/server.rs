//! An engine with clients and no sockets: [`TestServer`].

use crate::CrashStorage;
use crate::process::{FakeProcess, ManualClock, Observed};
use crate::transcript::Clients;
use perilune_commands::config::Config;
use perilune_commands::environment::BusyPort;
use perilune_commands::session::{ClientSlot, PeerInfo};
use perilune_commands::{Engine, EngineBuilder};
use perilune_persist::Storage;
use perilune_resp::{Value, parse_reply};
use perilune_script::ScriptEngine;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// A client of a [`TestServer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client(ClientSlot);

/// Commands that wait for a script to become slow, with their client; and the replies they got.
type Visits = Arc<Mutex<(Vec<(ClientSlot, Vec<Vec<u8>>)>, Vec<Value>)>>;

/// A server in the test's own thread.
pub struct TestServer {
    /// The engine, to look at.
    pub engine: Engine,
    /// Its time.
    pub clock: Arc<ManualClock>,
    /// The process around it.
    pub observed: Arc<Observed>,
    visits: Visits,
}

impl TestServer {
    /// A server with the default configuration and these script engines.
    ///
    /// # Panics
    /// When the engine refuses to be built of them.
    pub fn new(engines: Vec<Box<dyn ScriptEngine>>) -> TestServer {
        Self::build(engines).unwrap_or_else(|error| panic!("no engine: {error}"))
    }

    /// As [`new`](Self::new), for engines that may not go together.
    pub fn build(engines: Vec<Box<dyn ScriptEngine>>) -> Result<TestServer, String> {
        Self::build_on(engines, Arc::new(CrashStorage::new()), Config::default())
    }

    /// As [`build`](Self::build), with a storage and a configuration.
    pub fn build_on(
        engines: Vec<Box<dyn ScriptEngine>>,
        storage: Arc<dyn Storage>,
        config: Config,
    ) -> Result<TestServer, String> {
        let (clock, observed) = (Arc::new(ManualClock::default()), Arc::new(Observed::default()));
        let process = Box::new(FakeProcess::new(Arc::clone(&observed)));
        let visits = Visits::default();
        let port = Box::new(Port { visits: Arc::clone(&visits) });
        let clock_of_engine = Arc::clone(&clock);
        let builder = EngineBuilder::new(config, clock_of_engine, process).storage(storage);
        let builder = engines
            .into_iter()
            .fold(builder.busy_port(port), |builder, engine| builder.script_engine(engine));
        Ok(TestServer { engine: builder.build()?, clock, observed, visits })
    }

    /// A new client.
    pub fn connect(&mut self) -> Client {
        Client(self.engine.connect(PeerInfo::default(), None))
    }

    /// Runs a command and answers its reply, or `None` when the client waits.
    ///
    /// # Panics
    /// When more or less than one reply comes, or one that breaks the protocol.
    pub fn run<A: AsRef<[u8]>>(&mut self, client: Client, argv: &[A]) -> Option<Value> {
        let argv: Vec<&[u8]> = argv.iter().map(AsRef::as_ref).collect();
        let mut out = Vec::new();
        self.engine.refresh_clock();
        self.engine.execute(client.0, &argv, &mut out);
        one_reply(&out)
    }

    /// [`run`](Self::run) for commands that always reply.
    ///
    /// # Panics
    /// As there, and when the client waits.
    pub fn reply<A: AsRef<[u8]>>(&mut self, client: Client, argv: &[A]) -> Value {
        self.run(client, argv).unwrap_or_else(|| panic!("the client waits"))
    }

    /// The reply that a client got that waited, if it got one since it was last asked.
    ///
    /// # Panics
    /// When more than one came, or one that breaks the protocol.
    pub fn late(&mut self, client: Client) -> Option<Value> {
        let mut out = Vec::new();
        self.engine.visit(client.0, &mut out);
        one_reply(&out)
    }

    /// Lets time pass: waits that are over end, keys that are due expire.
    pub fn advance_ms(&mut self, ms: u64) {
        self.clock.advance_us(ms * 1000);
        self.engine.refresh_clock();
        let clients: Vec<ClientSlot> = self.engine.sessions.iter().map(|(slot, _)| slot).collect();
        for client in clients {
            self.engine.check_deadline(client);
        }
        while self.engine.expire_cycle(u64::MAX) {}
    }

    /// Has a command run as soon as a script is slow, one at each of its interrupt checks.
    pub fn while_slow<A: AsRef<[u8]>>(&mut self, client: Client, argv: &[A]) {
        let argv = argv.iter().map(|arg| arg.as_ref().to_vec()).collect();
        self.visits.lock().unwrap_or_else(PoisonError::into_inner).0.push((client.0, argv));
    }

    /// Replies to the commands of [`while_slow`](Self::while_slow) since last asked.
    pub fn replies_while_slow(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.visits.lock().unwrap_or_else(PoisonError::into_inner).1)
    }
}

/// Clients of a [`TestServer`] by name, each with the bytes that it was sent and did not take yet.
pub struct LocalClients {
    server: TestServer,
    clients: BTreeMap<String, (Client, Vec<u8>)>,
}

impl LocalClients {
    /// No client yet.
    pub fn new(server: TestServer) -> Self {
        LocalClients { server, clients: BTreeMap::new() }
    }

    fn client(&mut self, name: &str) -> Client {
        if let Some((client, _)) = self.clients.get(name) {
            return *client;
        }
        let client = self.server.connect();
        self.clients.insert(name.to_owned(), (client, Vec::new()));
        client
    }
}

impl Clients for LocalClients {
    fn send(&mut self, name: &str, words: &[Vec<u8>]) -> io::Result<()> {
        let client = self.client(name);
        let argv: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let engine = &mut self.server.engine;
        engine.refresh_clock();
        if let Some((_, received)) = self.clients.get_mut(name) {
            engine.execute(client.0, &argv, received);
        }
        Ok(())
    }

    fn receive(&mut self, name: &str) -> io::Result<Value> {
        let client = self.client(name);
        let nothing = || io::Error::other("the client was sent nothing");
        let (_, received) = self.clients.get_mut(name).ok_or_else(nothing)?;
        self.server.engine.visit(client.0, received);
        let reply = parse_reply(received).map_err(|error| io::Error::other(error.to_string()))?;
        let (value, len) = reply.ok_or_else(nothing)?;
        received.drain(..len);
        Ok(value)
    }

    fn until_waiting(&mut self, count: usize) -> io::Result<()> {
        // Nothing happens by itself in here, so it is so now or never.
        let waiting = self.server.engine.waiters.clients();
        if waiting == count {
            return Ok(());
        }
        Err(io::Error::other(format!("{waiting} clients wait, not {count}")))
    }

    fn advance_ms(&mut self, ms: u64) -> io::Result<()> {
        self.server.advance_ms(ms);
        Ok(())
    }
}

fn one_reply(bytes: &[u8]) -> Option<Value> {
    if bytes.is_empty() {
        return None;
    }
    match parse_reply(bytes) {
        Ok(Some((value, len))) if len == bytes.len() => Some(value),
        other => panic!("not one reply but {other:?}: {}", bytes.escape_ascii()),
    }
}

struct Port {
    visits: Visits,
}

impl BusyPort for Port {
    fn script_is_slow(&mut self) {}

    fn serve(&mut self, engine: &mut Engine) {
        let mut visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        if visits.0.is_empty() {
            return;
        }
        let (client, argv) = visits.0.remove(0);
        let argv: Vec<&[u8]> = argv.iter().map(Vec::as_slice).collect();
        let mut out = Vec::new();
        engine.execute(client, &argv, &mut out);
        visits.1.extend(one_reply(&out));
    }

    fn script_ended(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FakeEngine;

    fn server() -> TestServer {
        TestServer::new(vec![Box::new(FakeEngine::new())])
    }

    #[test]
    fn time_ends_keys() {
        let mut server = server();
        let client = server.connect();
        server.reply(client, &["SET", "k", "v", "PX", "100"]);
        server.advance_ms(99);
        assert_eq!(server.reply(client, &["PTTL", "k"]), Value::Int(1));
        server.advance_ms(2);
        assert_eq!(server.reply(client, &["DBSIZE"]), Value::Int(0));
    }

    #[test]
    fn clients_wait_wake_each_other_and_lose_patience() {
        let mut clients = LocalClients::new(server());
        let words = |line: &str| -> Vec<Vec<u8>> {
            line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
        };
        clients.send("first", &words("BLPOP queue 0.1")).expect("sent");
        clients.send("second", &words("BLPOP queue 0")).expect("sent");
        clients.advance_ms(101).expect("time is virtual");
        assert_eq!(clients.receive("first").expect("a reply"), Value::NullArray);
        assert!(clients.receive("second").is_err());
        clients.send("", &words("RPUSH queue job")).expect("sent");
        let popped = Value::Array(vec![Value::bulk("queue"), Value::bulk("job")]);
        assert_eq!(clients.receive("second").expect("a reply"), popped);
    }
}
