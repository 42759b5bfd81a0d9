//! The conformance suite over a real PostgreSQL server.
#![cfg(all(feature = "testing", feature = "postgres"))]
#![allow(
    clippy::print_stdout,
    reason = "the table of cases is what the run is for"
)]

mod servers;

use servers::postgres::Postgres;
use tlo::testing::conformance::{self, Options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_the_contract_and_skips_what_a_server_clock_cannot_do() {
    let Some(postgres) = Postgres::start() else {
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
    // Four runs side by side share the cases: the server has room for more than one caller.
    let part = |part| {
        let options = Options {
            part: Some((part, 4)),
            ..options.clone()
        };
        let postgres = &postgres;
        async move { conformance::run(postgres, &options).await }
    };
    let (a, b, c, d) = tokio::join!(part(0), part(1), part(2), part(3));
    let mut skipped = Vec::new();
    let mut passed = 0;
    for report in [a, b, c, d] {
        println!("{report}");
        if !report.lines.is_empty() {
            report.assert_ok();
        }
        passed += report.passed();
        skipped.extend(report.skipped().map(|(name, _)| name));
    }
    println!("{passed} cases passed");
    if options.only.is_none() {
        skipped.sort_unstable();
        let by_the_wall = [
            "a_reboot_ends_every_lease",
            "setting_the_wall_clock_does_not_end_a_lease",
        ];
        assert_eq!(skipped, by_the_wall);
    }
}
