//! The suite over a server: several runs side by side share the cases, for it has room for more than one caller.

use std::future::poll_fn;
use std::task::Poll;

use tlo::testing::conformance::{self, Options, Report, StoreFactory};

use crate::table;

/// What the clock of a server cannot do: nobody outside can read its steady one.
const BY_THE_WALL: [&str; 2] = [
    "a_reboot_ends_every_lease",
    "setting_the_wall_clock_does_not_end_a_lease",
];

pub(crate) async fn keeps_the_contract(name: &str, factory: &dyn StoreFactory, sides: usize) {
    let full = std::env::var("TLO_PROOF").is_ok_and(|proof| proof == "full");
    let options = Options {
        only: std::env::var("TLO_TEST_ONLY").ok(),
        ..Options::shrunk(if full { 1 } else { 20 })
    };
    let side = |side| {
        let options = Options {
            part: Some((side, sides)),
            ..options.clone()
        };
        Box::pin(async move { conformance::run(factory, &options).await })
    };
    let mut running: Vec<_> = (0..sides).map(side).collect();
    let mut reports: Vec<Option<Report>> = vec![None; sides];
    poll_fn(|context| {
        for (run, report) in running.iter_mut().zip(&mut reports) {
            if report.is_none()
                && let Poll::Ready(done) = run.as_mut().poll(context)
            {
                *report = Some(done);
            }
        }
        match reports.iter().all(Option::is_some) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    let reports: Vec<Report> = reports.into_iter().flatten().collect();
    let mut skipped = Vec::new();
    let mut passed = 0;
    for report in &reports {
        println!("{report}");
        if !report.lines.is_empty() {
            report.assert_ok();
        }
        passed += report.passed();
        skipped.extend(report.skipped().map(|(name, _)| name));
    }
    println!("{name}: {passed} cases passed");
    if options.only.is_none() {
        skipped.sort_unstable();
        assert_eq!(skipped, BY_THE_WALL);
        table::compare(name, &reports);
    }
}
