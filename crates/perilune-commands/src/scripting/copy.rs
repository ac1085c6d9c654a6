//! A private copy of an engine, for a script whose changes nobody shall see.
//!
//! The data travel as a snapshot in memory, the libraries as their code. Making the snapshot takes
//! the engine; everything else is done by whoever [builds](EngineCopy::build) the copy, on a
//! thread of its own. The copy knows one client and neither replicas nor listeners, and what would
//! reach beyond it is refused by its environment. It follows no master: on a replica, too, a script
//! may write to its copy.

use super::RestorePolicy;
use crate::acl::{Acl, User};
use crate::clock::Clock;
use crate::config::Config;
use crate::engine::{Engine, EngineBuilder};
use crate::environment::Environment;
use crate::errors::{self, CommandError};
use crate::session::{ClientSlot, PeerInfo, Session};
use perilune_keyspace::{EncodingLimits, Keyspace};
use perilune_rdb::{ReadOptions, read_snapshot};
use perilune_resp::Protocol;
use perilune_script::ScriptEngine;
use std::sync::Arc;

/// Most clients that debug on a copy at the same time.
const COPIES_MAX: usize = 4;

/// What a copy is built of.
pub struct EngineCopy {
    config: Config,
    limits: EncodingLimits,
    clock: Arc<dyn Clock>,
    env: Box<dyn Environment>,
    engines: Vec<Box<dyn ScriptEngine>>,
    snapshot: Vec<u8>,
    libraries: Vec<u8>,
    seed: u64,
    scripts_call_anything: bool,
    acl: Acl,
    client: ClientState,
}

/// What a client is in the copy.
struct ClientState {
    peer: PeerInfo,
    db: usize,
    protocol: Protocol,
    authenticated: bool,
    user: Arc<User>,
    no_touch: bool,
}

impl ClientState {
    fn of(session: &Session) -> Self {
        ClientState {
            peer: session.peer.clone(),
            db: session.db,
            protocol: session.protocol,
            authenticated: session.authenticated,
            user: Arc::clone(session.user()),
            no_touch: session.no_touch,
        }
    }
}

impl Engine {
    /// What a client needs to debug on a copy of this engine. It counts as one that does until it
    /// is disconnected.
    pub fn copy_for_debugging(&mut self, client: ClientSlot) -> Result<EngineCopy, CommandError> {
        if self.sessions.iter().filter(|(_, session)| session.has_copy).count() >= COPIES_MAX {
            return Err(errors::TOO_MANY_COPIES);
        }
        if self.config.maxmemory > 0
            && (self.env.memory().allocated as u64).saturating_mul(2) > self.config.maxmemory
        {
            return Err(errors::NO_ROOM_FOR_COPY);
        }
        let env = self.env.detached().ok_or(errors::NO_COPY)?;
        let engines = self.scripting.fresh_engines().ok_or(errors::NO_COPY)?;
        let (snapshot, libraries) = (self.snapshot()?, self.dump_libraries());
        let acl = self.acl.copy_of_users();
        let session = self.sessions.get_mut(client).ok_or(errors::NO_COPY)?;
        session.has_copy = true;
        // Users come as they are now, not as they were configured.
        let (users, aclfile) = (Vec::new(), String::new());
        Ok(EngineCopy {
            config: Config { users, aclfile, replicaof: None, ..self.config.clone() },
            limits: self.limits,
            clock: Arc::clone(&self.clock),
            env,
            engines,
            snapshot,
            libraries,
            seed: self.rng.next_u64(),
            scripts_call_anything: self.scripts_call_anything,
            acl,
            client: ClientState::of(session),
        })
    }
}

impl EngineCopy {
    /// Builds the copy and connects its client. `Err` is what went wrong, without code.
    pub fn build(self) -> Result<(Engine, ClientSlot), String> {
        let databases = self.config.databases as usize;
        let mut builder = EngineBuilder::new(self.config, self.clock, self.env).seed(self.seed);
        for engine in self.engines {
            builder = builder.script_engine(engine);
        }
        let mut engine = builder.build()?;
        engine.limits = self.limits;
        engine.acl = self.acl;
        engine.scripts_call_anything = self.scripts_call_anything;
        let mut keyspace = Keyspace::new(databases);
        let options = ReadOptions {
            limits: self.limits,
            now_s: (engine.now_us / 1_000_000) as u32,
            expired_at_ms: Some(engine.now_ms()),
            ..ReadOptions::default()
        };
        read_snapshot(&mut self.snapshot.as_slice(), &mut keyspace, &options)
            .map_err(|error| error.to_string())?;
        engine.keyspace = keyspace;
        let client = engine.connect(self.client.peer, None);
        if let Some(session) = engine.sessions.get_mut(client) {
            session.db = self.client.db;
            session.protocol = self.client.protocol;
            session.set_user(self.client.user);
            session.authenticated = self.client.authenticated;
            session.no_touch = self.client.no_touch;
        }
        engine
            .restore_libraries(client, &[], &self.libraries, RestorePolicy::Flush)
            .map_err(|error| error.text().to_owned())?;
        Ok((engine, client))
    }
}
