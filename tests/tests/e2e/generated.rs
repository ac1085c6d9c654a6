//! Commands generated from every row of the command table, on our server and on Redis 7.2.

use perilune_testkit::{FakeEngine, TestServer};
use perilune_tests::differential::{Campaign, Catalogue, Sides, oracle, regressions};
use perilune_tests::random::Random;
use std::time::Duration;

const COMMANDS: usize = 2500;
/// A slow machine runs fewer commands.
const TIME_MAX: Duration = Duration::from_secs(8);
const SEED: u64 = 1_000_000;

#[test]
fn generated_commands_have_equal_replies() {
    let oracle = match oracle() {
        Ok(oracle) => oracle,
        Err(reason) => {
            println!("nothing to compare with: {reason}");
            return;
        }
    };
    let mut sides = Sides::start(&oracle);
    let server = TestServer::new(vec![Box::new(FakeEngine::new())]);
    let catalogue = Catalogue::of(&server.engine.commands, |name| sides.is_known(name));
    for (style, steps) in regressions() {
        let difference = sides.play(style, &steps).expect("both servers run");
        assert!(difference.is_none(), "a kept sequence: {}", difference.expect("it is there"));
    }
    for seed in [SEED, Random::seed_of_the_moment()] {
        let campaign = Campaign { seed, commands: COMMANDS, time_max: TIME_MAX, survey: false };
        let report = campaign.run(&mut sides, &catalogue).expect("both servers run");
        assert!(report.difference.is_none(), "{}", report.difference.expect("it is there"));
    }
}
