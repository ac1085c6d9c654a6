//! The hostile corpus against a real server.

use perilune_tests::Server;
use perilune_tests::hostile::{Outcome, Runner, corpus};
use std::time::Duration;

/// What a machine that does much else may need; the figures are in `docs/security.md`.
const BOUND: Duration = Duration::from_secs(10);

#[test]
fn no_script_harms_the_server() {
    let cases = corpus();
    assert!(cases.len() > 300, "the corpus is complete");
    let mut runner = Runner::new(Server::builder(), BOUND);
    let mut failures = Vec::new();
    for case in &cases {
        let finding = runner.run(case);
        if !matches!(finding.outcome, Outcome::Ended | Outcome::Killed) {
            failures.push(format!("{}/{}: {:?}", case.group, case.name, finding.outcome));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
