//! The one lock around the engine, and the way around it while a script is slow.
//!
//! Normally a connection takes the mutex for a batch and that is all. A script past
//! `busy-reply-threshold` keeps the mutex, but from its interrupt check it runs the jobs that
//! queue here meanwhile: the same closures that would have run under the lock. So other clients
//! get `-BUSY`, and `SCRIPT KILL` works, on the same road as any command.
//!
//! ```text
//! connection --try_lock--> engine                          (fast path)
//!            --slow?-----> jobs --> script's interrupt check runs them with its &mut Engine
//! ```
//!
//! Invariant: a queued job is run exactly once: by the slow script, or, if that ended first, by
//! whichever waiter gets the lock.
//!
//! All work on the engine passes `guarded`: a panic in it ends that work, not the server.

use crate::turn::{Turn, Turns};
use parking_lot::Mutex;
use perilune_commands::Engine;
use perilune_commands::environment::BusyPort;
use perilune_persist::aof::SyncListener;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// How long to wait for the lock before looking whether a script is slow.
const LOCK_WAIT: Duration = Duration::from_millis(5);

/// Work for the engine that must not borrow anything.
type Job = Box<dyn FnOnce(&mut Engine) + Send>;

/// What waits for a slow script, shared between the gate and the script's host.
#[derive(Default)]
struct Queue {
    /// Holders of the lock that run jobs: a slow script, and work aside, in which one may run.
    slow: AtomicUsize,
    jobs: Mutex<VecDeque<Job>>,
}

impl Queue {
    fn is_served(&self) -> bool {
        self.slow.load(Ordering::Acquire) > 0
    }

    fn begin_serving(&self) {
        self.slow.fetch_add(1, Ordering::Release);
    }

    fn end_serving(&self) {
        self.slow.fetch_sub(1, Ordering::Release);
    }

    fn run_all(&self, engine: &mut Engine) {
        loop {
            let job = self.jobs.lock().pop_front();
            match job {
                Some(job) => job(engine),
                None => return,
            }
        }
    }
}

/// Shared access to the engine.
#[derive(Clone)]
pub struct Gate {
    engine: Arc<Mutex<Engine>>,
    queue: Arc<Queue>,
    synced: watch::Receiver<u64>,
    turns: Arc<Turns>,
}

/// The script's end of the gate, to be given to the engine's builder.
pub(crate) struct Port {
    queue: Arc<Queue>,
}

/// A gate is made in two steps because the engine holds the [`Port`].
pub(crate) struct GateBuilder {
    queue: Arc<Queue>,
    synced: Arc<watch::Sender<u64>>,
}

impl Default for GateBuilder {
    fn default() -> Self {
        let synced = Arc::new(watch::Sender::new(0));
        GateBuilder { queue: Arc::new(Queue::default()), synced }
    }
}

impl GateBuilder {
    /// The end that the engine serves slow scripts' waiters from.
    pub(crate) fn port(&self) -> Port {
        Port { queue: Arc::clone(&self.queue) }
    }

    /// What the engine tells how far its append-only file is safe.
    pub(crate) fn sync_listener(&self) -> SyncListener {
        let synced = Arc::clone(&self.synced);
        Arc::new(move |offset| {
            synced.send_replace(offset);
        })
    }

    /// Puts the engine behind the gate.
    pub(crate) fn build(self, engine: Engine) -> Gate {
        let synced = self.synced.subscribe();
        let (engine, turns) = (Arc::new(Mutex::new(engine)), Arc::default());
        Gate { engine, queue: self.queue, synced, turns }
    }
}

impl Gate {
    /// Runs `work` on the engine with `state`, which comes back afterwards. Waits on the thread
    /// for the lock, and as a task only while a script is slow.
    pub async fn run<S: Send + 'static>(&self, mut state: S, work: fn(&mut S, &mut Engine)) -> S {
        if let Some(mut engine) = self.engine.try_lock() {
            guarded(&mut state, &mut engine, work);
            return state;
        }
        self.run_contended(state, work).await
    }

    async fn run_contended<S: Send + 'static>(
        &self,
        mut state: S,
        work: fn(&mut S, &mut Engine),
    ) -> S {
        while !self.queue.is_served() {
            if let Some(mut engine) = self.engine.try_lock_for(LOCK_WAIT) {
                guarded(&mut state, &mut engine, work);
                return state;
            }
        }
        let (done, mut finished) = tokio::sync::oneshot::channel();
        self.queue.jobs.lock().push_back(Box::new(move |engine| {
            guarded(&mut state, engine, work);
            // The receiver is gone only when its task was dropped at shutdown.
            let _ = done.send(state);
        }));
        loop {
            tokio::select! {
                biased;
                state = &mut finished => {
                    match state {
                        Ok(state) => return state,
                        // The job was dropped with the queue: the server is ending.
                        Err(_) => std::future::pending::<()>().await,
                    }
                }
                () = tokio::time::sleep(LOCK_WAIT) => {
                    // The script may have ended without seeing the job.
                    if let Some(mut engine) = self.engine.try_lock() {
                        self.queue.run_all(&mut engine);
                    }
                }
            }
        }
    }

    /// Runs `work` on the engine, blocking the thread until it has it. Not for tasks. `None` if the
    /// work panicked.
    pub(crate) fn hold<T>(&self, work: impl FnOnce(&mut Engine) -> T) -> Option<T> {
        outlive_panic(&mut self.engine.lock(), work)
    }

    /// Runs `work` on the engine if nobody has it. `None` if not, or if the work panicked.
    pub(crate) fn try_hold<T>(&self, work: impl FnOnce(&mut Engine) -> T) -> Option<T> {
        outlive_panic(&mut *self.engine.try_lock()?, work)
    }

    /// Runs `work`, which may take long, on a thread of its own. Other tasks wait meanwhile without
    /// holding up the runtime, as they do for a slow script.
    pub async fn run_aside<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Engine) -> R + Send + 'static,
    ) -> std::io::Result<R> {
        let gate = self.clone();
        let aside = tokio::task::spawn_blocking(move || {
            let mut engine = gate.engine.lock();
            gate.queue.begin_serving();
            let result = outlive_panic(&mut engine, work);
            gate.queue.end_serving();
            result
        });
        let result = aside.await.map_err(std::io::Error::other)?;
        result.ok_or_else(|| std::io::Error::other("a bug of the server"))
    }

    /// The turns of a connection among all that come here.
    pub(crate) fn turn(&self) -> Turn {
        Turn::new(&self.turns)
    }

    /// Waits until the append-only file is safe up to `offset`.
    pub(crate) async fn until_synced(&self, offset: u64) {
        let mut synced = self.synced.clone();
        if synced.wait_for(|synced| *synced >= offset).await.is_err() {
            // Nobody will say it any more: the server is ending.
            std::future::pending::<()>().await;
        }
    }

    /// Takes the engine for as long as the guard lives, waiting for a slow script to end. For
    /// start-up and tests; tasks use [`run`](Self::run).
    pub fn lock(&self) -> parking_lot::MutexGuard<'_, Engine> {
        self.engine.lock()
    }
}

/// Runs `work` and outlives a panic in it: the data of everybody must not be lost to a bug in one
/// command. What the panic left of `state` is up to its owner.
fn guarded<S>(state: &mut S, engine: &mut Engine, work: fn(&mut S, &mut Engine)) {
    outlive_panic(engine, |engine| work(state, engine));
}

fn outlive_panic<T>(engine: &mut Engine, work: impl FnOnce(&mut Engine) -> T) -> Option<T> {
    let client = engine.current_client;
    let result = catch_unwind(AssertUnwindSafe(|| work(&mut *engine)));
    if result.is_err() {
        engine.recover(client);
    }
    result.ok()
}

impl BusyPort for Port {
    fn script_is_slow(&mut self) {
        self.queue.begin_serving();
        hand_over_worker();
    }

    fn serve(&mut self, engine: &mut Engine) {
        self.queue.run_all(engine);
    }

    fn script_ended(&mut self) {
        self.queue.end_serving();
    }
}

/// Gives the runtime's worker to another thread, because the one it runs on is deep in a script.
///
/// `block_in_place` moves the worker (its task queue and, if it drives I/O, the driver) to a new
/// thread while its closure runs. The closure waits until a task spawned onto the runtime has
/// run, which proves that somebody drives it again; after that this thread is a mere guest.
fn hand_over_worker() {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    if runtime.runtime_flavor() != tokio::runtime::RuntimeFlavor::MultiThread {
        return;
    }
    tokio::task::block_in_place(|| {
        let (alive, seen) = std::sync::mpsc::channel();
        runtime.spawn(async move {
            let _ = alive.send(());
        });
        let _ = seen.recv_timeout(Duration::from_secs(1));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use perilune_commands::EngineBuilder;
    use perilune_commands::clock::SystemClock;
    use perilune_commands::config::Config;
    use perilune_commands::session::PeerInfo;

    fn gate() -> Gate {
        let config = Config::default();
        let (sender, _) = tokio::sync::mpsc::unbounded_channel();
        let process = crate::env::ProcessEnvironment::start(sender, &config, Default::default())
            .expect("a thread");
        let engine = EngineBuilder::new(config, Arc::new(SystemClock), Box::new(process))
            .script_engine(Box::new(perilune_lua::LuaEngine::new()))
            .build()
            .expect("an engine");
        GateBuilder::default().build(engine)
    }

    #[tokio::test]
    async fn a_panic_ends_the_work_and_not_the_engine() {
        let gate = gate();
        let client = gate.lock().connect(PeerInfo::default(), None);
        let client = gate
            .run(client, |client, engine| {
                engine.current_client = Some(*client);
                panic!("a bug");
            })
            .await;
        let (client, reply) = gate
            .run((client, Vec::new()), |(client, out), engine| {
                assert!(engine.sessions.get(*client).is_some_and(|session| session.killed));
                assert_eq!(engine.current_client, None);
                let other = engine.connect(PeerInfo::default(), None);
                engine.execute(other, &[b"EVAL", b"return 7", b"0"], out);
            })
            .await;
        assert_eq!(reply, b":7\r\n");
        gate.lock().disconnect(client);
    }

    #[tokio::test]
    async fn a_panic_aside_leaves_the_way_free() {
        let gate = gate();
        assert!(gate.run_aside(|_| -> () { panic!("a bug") }).await.is_err());
        assert!(!gate.queue.is_served());
        assert!(gate.run_aside(|engine| engine.sessions.connected()).await.is_ok());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_job_that_panics_for_a_slow_script_still_comes_back() {
        let gate = gate();
        let engine = gate.engine.lock();
        gate.queue.begin_serving();
        let waiter = tokio::spawn({
            let gate = gate.clone();
            async move { gate.run(1, |_, _| panic!("a bug")).await }
        });
        while gate.queue.jobs.lock().is_empty() {
            std::thread::yield_now();
        }
        drop(engine);
        assert_eq!(waiter.await.expect("the task goes on"), 1);
    }
}
