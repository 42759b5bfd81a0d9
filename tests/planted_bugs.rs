//! The proof of the proof: bugs planted in a store that works, each of which the conformance suite must catch.
#![cfg(feature = "testing")]
#![allow(
    clippy::print_stdout,
    reason = "the table of bugs is what the run is for"
)]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod planted;
mod stores;

use std::time::Duration;

use planted::{Bug, PlantedTrees};
use stores::Trees;
use tlo::testing::conformance::{self, Options};

/// A quick run that stops when it has seen enough.
fn options() -> Options {
    Options {
        shrink: 500,
        deadline: Duration::from_secs(3),
        stop_after: Some(2),
        ..Options::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_planted_bug_is_caught() {
    let waiting = std::sync::Arc::new(tokio::sync::Semaphore::new(2));
    let runs: Vec<_> = Bug::ALL
        .iter()
        .map(|(bug, says)| {
            let waiting = waiting.clone();
            let run = tokio::spawn(async move {
                let _turn = waiting.acquire().await.unwrap();
                let trees = Trees::default();
                let factory = PlantedTrees { trees, bug: *bug };
                conformance::run(&factory, &options()).await
            });
            (*says, run)
        })
        .collect();
    let mut missed = Vec::new();
    for (says, run) in runs {
        let report = run.await.unwrap();
        let caught: Vec<_> = report.failed().map(|(case, _)| case).collect();
        println!("{says}\n    -> {}", caught.join("\n    -> "));
        if caught.is_empty() {
            missed.push(says);
        }
    }
    let planted = Bug::ALL.len();
    println!("{planted} bugs planted, {} caught", planted - missed.len());
    assert!(missed.is_empty(), "not caught: {missed:#?}");
    assert!(planted >= 25);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_below_has_no_bug_in_the_same_run() {
    let options = Options {
        stop_after: None,
        ..options()
    };
    conformance::run(&Trees::default(), &options)
        .await
        .assert_ok();
}
