//! The conformance suite over a real Redis server.
#![cfg(all(feature = "testing", feature = "redis"))]
#![allow(
    clippy::print_stdout,
    reason = "the table of cases is what the run is for"
)]

mod servers;

use servers::redis::Redis;
use tlo::testing::conformance::{self, Options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_keeps_the_contract_and_skips_what_a_server_clock_cannot_do() {
    let Some(redis) = Redis::start() else {
        return;
    };
    let shrink = if std::env::var("TLO_PROOF").is_ok_and(|proof| proof == "full") {
        1
    } else {
        20
    };
    let options = Options {
        only: std::env::var("TLO_TEST_ONLY").ok(),
        ..Options::shrunk(shrink)
    };
    let report = conformance::run(&redis, &options).await;
    println!("{report}");
    report.assert_ok();
    if options.only.is_none() {
        let skipped: Vec<_> = report.skipped().map(|(name, _)| name).collect();
        let by_the_wall = [
            "setting_the_wall_clock_does_not_end_a_lease",
            "a_reboot_ends_every_lease",
        ];
        assert_eq!(skipped, by_the_wall);
    }
}
