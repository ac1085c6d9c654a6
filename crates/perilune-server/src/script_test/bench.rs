//! A server for one test: [`Bench`], and its clock.

use super::Setup;
use super::coverage::CoveredEngine;
use crate::env::Detached;
use perilune_commands::clock::Clock;
use perilune_commands::config::Config;
use perilune_commands::environment::BusyPort;
use perilune_commands::session::{ClientSlot, PeerInfo};
use perilune_commands::{Engine, EngineBuilder};
use perilune_resp::ReplyWriter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time at which every test begins: 2024-01-01, in microseconds.
const START_US: u64 = 1_704_067_200_000_000;
/// Longest time that a test may really take.
pub(super) const TEST_TIME_MAX: Duration = Duration::from_secs(10);
/// How much faster than the time the clock runs away: any number of scripts, one after the other,
/// are slow at once.
const RUN_AWAY: u64 = 100_000;
/// A command of a test that would wait.
const WAITS: &[u8] = b"ERR the command waits, and in a test nobody would end that";

/// A clock that stands still until it is moved; but when a test takes too long it runs away, so that
/// a script that does not end is slow for its server.
struct TestClock {
    now_us: AtomicU64,
    begun: Instant,
    /// Longest time that the test may really take.
    time_max: Duration,
}

impl Clock for TestClock {
    fn unix_us(&self) -> i64 {
        self.now_us.load(Ordering::Relaxed) as i64
    }

    fn monotonic_us(&self) -> u64 {
        let now_us = self.now_us.load(Ordering::Relaxed);
        match self.begun.elapsed().checked_sub(self.time_max) {
            Some(late) => now_us.saturating_add((late.as_micros() as u64).saturating_mul(RUN_AWAY)),
            None => now_us,
        }
    }
}

/// Ends scripts that are slow.
struct Reaper;

impl BusyPort for Reaper {
    fn script_is_slow(&mut self) {}

    fn serve(&mut self, engine: &mut Engine) {
        if let Some(run) = engine.scripting.running_mut() {
            run.kill = true;
        }
    }

    fn script_ended(&mut self) {}
}

/// The test's own connection, from this machine.
fn connect(engine: &mut Engine) -> ClientSlot {
    engine.connect(PeerInfo { local: true, ..PeerInfo::default() }, None)
}

/// A server with one client.
pub(super) struct Bench {
    engine: Engine,
    client: ClientSlot,
    clock: Arc<TestClock>,
}

impl Bench {
    /// An empty server. `Err` is an engine that could not be built.
    pub(super) fn new(setup: &Setup) -> Result<Self, String> {
        let clock = Arc::new(TestClock {
            now_us: AtomicU64::new(START_US),
            begun: Instant::now(),
            time_max: setup.time_max,
        });
        let config = Config { save: Vec::new(), ..Config::default() };
        let process = Box::new(Detached::with_log(Box::new(|_| {})));
        let mut scripts = (setup.make_engine)();
        if let Some(coverage) = &setup.coverage {
            scripts = Box::new(CoveredEngine::new(scripts, Arc::clone(coverage)));
        }
        let clock_of_engine = Arc::clone(&clock);
        let mut engine = EngineBuilder::new(config, clock_of_engine, process)
            .busy_port(Box::new(Reaper))
            .script_engine(scripts)
            .build()?;
        let client = connect(&mut engine);
        Ok(Bench { engine, client, clock })
    }

    /// Runs a command.
    pub(super) fn run(&mut self, argv: &[&[u8]], out: &mut dyn ReplyWriter) {
        self.engine.refresh_clock();
        self.engine.execute_into(self.client, argv, out);
        let session = self.engine.sessions.get(self.client);
        if session.is_some_and(|session| session.blocked.is_some()) {
            self.engine.disconnect(self.client);
            self.client = connect(&mut self.engine);
            out.error(WAITS);
        }
    }

    /// Lets time pass: keys that are due expire.
    pub(super) fn advance_ms(&mut self, ms: u64) {
        let us = ms.saturating_mul(1000);
        // The clock stops far away instead of starting over.
        let now_us = self.clock.now_us.load(Ordering::Relaxed).saturating_add(us);
        self.clock.now_us.store(now_us.min(i64::MAX as u64 / 2), Ordering::Relaxed);
        self.engine.refresh_clock();
        while self.engine.expire_cycle(u64::MAX) {}
    }
}
