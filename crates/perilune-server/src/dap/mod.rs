//! `perilune dap`: a debug adapter for editors, over stdin and stdout.
//!
//! The adapter translates between two protocols: requests of the Debug Adapter Protocol on one
//! side, commands of the Lua debugger (`SCRIPT DEBUG`) on the other. The program runs on a server
//! that is running, Perilune or Redis, or on an engine of this process; the adapter speaks the same
//! way to both.
//!
//! - `wire`: messages of the editor;
//! - `launch`: what is to be debugged, and where;
//! - `link`: the connection to the session of the Lua debugger;
//! - `adapter`: what each request does; `inspect`: those that look at a program that stands still;
//!   `events`: what the editor is told unasked;
//! - `breakpoints`: where the program stops, and under which conditions;
//! - `values`: variables that can be opened.
//!
//! Servers of ours know commands that Redis does not (`locals`, `inspect`, `assign`, `pause`);
//! which kind it is the adapter finds out at the first stop. On Redis variables of outer functions
//! cannot be seen or changed, expressions do not see any, and a running program cannot be stopped.
//!
//! One thread does the work. It waits on one channel for requests and for what the session says;
//! a thread for each of both feeds it. A program that runs cannot be asked anything: requests that
//! need an answer from it are refused until it stops.

mod adapter;
mod breakpoints;
mod events;
mod inspect;
mod launch;
mod link;
mod values;
mod wire;

use adapter::Adapter;
use perilune_script::ScriptEngine;
use serde_json::Value;
use std::io::{self, BufReader, Read, Write};
use std::sync::mpsc::channel;

/// What the adapter waits for.
enum Input {
    /// A request of the editor.
    Request(Value),
    /// The editor is gone, or what it sends makes no sense.
    EditorGone(Option<io::Error>),
    /// The session said something.
    Session(perilune_resp::Value),
    /// The session is over.
    SessionClosed,
    /// An engine of ours wrote a line to its log.
    Log(String),
}

/// Serves one editor until it disconnects. `engines` makes the script engines of an engine of
/// our own.
pub fn run(
    input: impl Read + Send + 'static,
    output: impl Write,
    engines: fn() -> Vec<Box<dyn ScriptEngine>>,
) -> io::Result<()> {
    let (sender, inputs) = channel();
    let requests = sender.clone();
    std::thread::Builder::new().name("dap-editor".into()).spawn(move || {
        let mut input = BufReader::new(input);
        loop {
            let (input, is_last) = match wire::read(&mut input) {
                Ok(Some(message)) => (Input::Request(message), false),
                Ok(None) => (Input::EditorGone(None), true),
                Err(error) => (Input::EditorGone(Some(error)), true),
            };
            // The adapter is gone only when it has nothing more to do.
            if requests.send(input).is_err() || is_last {
                return;
            }
        }
    })?;
    Adapter::new(output, inputs, sender, engines).serve()
}
