//! `perilune eval`: one script on an engine of this process, without a server.

use crate::env::ProcessEnvironment;
use crate::listen::Held;
use perilune_commands::EngineBuilder;
use perilune_commands::clock::SystemClock;
use perilune_commands::config::Config;
use perilune_commands::session::PeerInfo;
use perilune_resp::{Protocol, Value, ValueWriter};
use perilune_script::ScriptEngine;
use std::sync::Arc;

/// Runs a script and returns its reply. `Err` is an engine that could not be built.
pub fn eval(
    script: &[u8],
    keys: &[Vec<u8>],
    args: &[Vec<u8>],
    engines: Vec<Box<dyn ScriptEngine>>,
) -> Result<Value, String> {
    // Nothing is kept, so nothing is to be saved.
    let config = Config { save: Vec::new(), ..Config::default() };
    // Requests to the process (shutdown, listening) have nobody to serve them here.
    let (requests, _) = tokio::sync::mpsc::unbounded_channel();
    let process = ProcessEnvironment::start(requests, &config, Held::default())
        .map_err(|error| error.to_string())?;
    let clock = Arc::new(SystemClock);
    let mut builder = EngineBuilder::new(config, clock, Box::new(process));
    for engine in engines {
        builder = builder.script_engine(engine);
    }
    let mut engine = builder.build()?;
    let client = engine.connect(PeerInfo { local: true, ..PeerInfo::default() }, None);
    let count = keys.len().to_string();
    let mut argv: Vec<&[u8]> = vec![b"eval", script, count.as_bytes()];
    argv.extend(keys.iter().chain(args).map(Vec::as_slice));
    let mut reply = ValueWriter::new(Protocol::Resp2);
    engine.execute_into(client, &argv, &mut reply);
    reply.into_value().ok_or_else(|| "the script gave no reply".to_owned())
}
