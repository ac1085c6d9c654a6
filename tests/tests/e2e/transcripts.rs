//! The conversations in `transcripts/`, over a real socket and in process.

use perilune_lua::LuaEngine;
use perilune_testkit::{LocalClients, TestServer, Transcript};
use perilune_tests::{Server, repository};
use std::fs;

/// Transcripts in which time passes; only a server without a socket can play them.
const VIRTUAL_TIME: &str = "in_process";

fn transcripts() -> Vec<(String, Transcript)> {
    let folder = repository().join("tests/transcripts");
    let entries = fs::read_dir(&folder).expect("the folder is there");
    let mut found: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).expect("a transcript is text");
            let transcript = Transcript::parse(&name, &text).unwrap_or_else(|e| panic!("{e}"));
            (name, transcript)
        })
        .collect();
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert!(!found.is_empty());
    found
}

#[test]
fn over_a_socket() {
    let server = Server::start();
    let mut failed = Vec::new();
    for (name, transcript) in transcripts() {
        if !name.starts_with(VIRTUAL_TIME) {
            let flushed = server.connect().run(&["FLUSHALL"]);
            flushed.expect("every transcript starts with an empty server");
            failed.extend(transcript.play(&mut server.clients()).err());
        }
    }
    assert!(failed.is_empty(), "{}", listed(&failed));
}

#[test]
fn in_process() {
    let mut failed = Vec::new();
    for (_, transcript) in transcripts() {
        let server = TestServer::new(vec![Box::new(LuaEngine::new())]);
        failed.extend(transcript.play(&mut LocalClients::new(server)).err());
    }
    assert!(failed.is_empty(), "{}", listed(&failed));
}

fn listed(failed: &[perilune_testkit::Mismatch]) -> String {
    failed.iter().map(|mismatch| format!("\n{mismatch}")).collect()
}
