//! Our server against a real Redis: commands generated from the rows of the command table, and the
//! order in which scripts walk over tables.

use perilune_resp::{Value, format_cli};
use perilune_testkit::{FakeEngine, TestServer};
use perilune_tests::differential::{CURRENT, Campaign, Catalogue, Sides, oracle, regressions};
use perilune_tests::random::Random;
use perilune_tests::{Server, ServerBuilder, redis_server};
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
    let catalogue = Catalogue::for_sides(&server.engine.commands, &mut sides);
    // Kept sequences ask for encodings, which are those of 7.2.
    let kept = if oracle.version == CURRENT { regressions() } else { Vec::new() };
    for (style, steps) in kept {
        let difference = sides.play(style, &steps).expect("both servers run");
        assert!(difference.is_none(), "a kept sequence: {}", difference.expect("it is there"));
    }
    // What an older server does otherwise should be found by whoever looks for it, not by chance.
    let another = if oracle.version == CURRENT { Random::seed_of_the_moment() } else { 2 * SEED };
    for seed in [SEED, another] {
        let campaign = Campaign { seed, commands: COMMANDS, time_max: TIME_MAX, survey: false };
        let report = campaign.run(&mut sides, &catalogue).expect("both servers run");
        assert!(report.difference.is_none(), "{}", report.difference.expect("it is there"));
    }
}

#[test]
fn tables_of_scripts_are_walked_in_the_same_order() {
    let Some(redis) = redis_server() else {
        println!("no redis-server on the search path: nothing to compare with");
        return;
    };
    let (ours, theirs) = (Server::start(), ServerBuilder::of(&redis).start());
    let (mut ours, mut theirs) = (ours.connect(), theirs.connect());
    let script = include_str!("../../../crates/perilune-lua/src/vm/puc/tables/orders.lua");
    for seed in ["4", "5", "6"] {
        let words = ["EVAL", script, "0", seed];
        let answer = ours.run(&words).expect("a reply");
        assert!(matches!(answer, Value::Bulk(_)), "{}", format_cli(&answer));
        assert_eq!(answer, theirs.run(&words).expect("a reply"), "seed {seed}");
    }
}
