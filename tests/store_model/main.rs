//! Stores against a plain model of what the port promises, and in lockstep with the rows that are its specification.
//!
//! `TLO_PROOF=full` runs 2,000 sequences on each store, otherwise a twentieth. `TLO_SEED` repeats a run; the seed is
//! printed.
#![cfg(all(
    feature = "testing",
    feature = "sqlite",
    feature = "lmdb",
    feature = "jsonl"
))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(
    clippy::print_stdout,
    reason = "counts and seeds are part of the result"
)]

mod bugs;
mod chance;
#[path = "../counted/mod.rs"]
mod counted;
mod driver;
#[path = "../stores/lmdb.rs"]
mod environments;
#[path = "../stores/files.rs"]
mod files;
mod lockstep;
#[path = "../stores/jsonl.rs"]
mod logs;
#[path = "../stores/memory.rs"]
mod memory;
mod model;
#[path = "../planted/mod.rs"]
mod planted;
mod script;
#[cfg(any(feature = "redis", feature = "postgres"))]
#[path = "../servers/mod.rs"]
mod servers;
mod step;
#[path = "../stores/mod.rs"]
mod stores;

use std::sync::atomic::Ordering;

use counted::check;
use driver::{Home, Tally};
use environments::Environments;
use files::Files;
use logs::Logs;
use memory::Memory;
use proptest::test_runner::TestCaseError;
use step::Step;
use stores::Trees;
use tempfile::TempDir;

/// Sequences of a full proof.
const SEQUENCES: u32 = 2_000;

fn sequences(name: &str, home: &Home<'_>, twin: Option<&Home<'_>>) {
    sequences_of(SEQUENCES, name, home, twin, |_| true);
}

/// Sequences of these steps.
fn sequences_of(
    count: u32,
    name: &str,
    home: &Home<'_>,
    twin: Option<&Home<'_>>,
    is_wanted: impl Fn(&Step) -> bool,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let tally = Tally::default();
    check(name, count, &chance::steps(), |mut steps| {
        steps.0.retain(&is_wanted);
        runtime
            .block_on(driver::run(home, twin, &steps.0, &tally))
            .map_err(TestCaseError::fail)
    });
    let all = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{name}: {} steps, {} commits ({} refused), {} tasks claimed, {} reopened or crashed",
        all(&tally.steps),
        all(&tally.commits),
        all(&tally.refused),
        all(&tally.claimed),
        all(&tally.reopened)
    );
    let least = u64::from(count / 20);
    assert!(
        all(&tally.claimed) > least && all(&tally.refused) > least && all(&tally.parked) > least
    );
}

fn on_trees(run: impl FnOnce(&Home<'_>)) {
    let trees = Trees::default();
    let copy = |from: &str, to: &str| {
        let rows = trees.engine(from).tree.read().clone();
        *trees.engine(to).tree.write() = rows;
    };
    run(&Home {
        factory: &trees,
        copy: Some(&copy),
        on_server: false,
    });
}

/// What is tried here is what the store means, not what the disk does: memory will do where there is a folder in it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    folder.unwrap()
}

fn on_files(run: impl FnOnce(&Home<'_>)) {
    let files = Files(folder());
    // What the system has of the files is what the death of the process leaves.
    let copy = |from: &str, to: &str| {
        std::fs::copy(files.path(from), files.path(to)).unwrap();
        let log = |place: &str| files.path(place).with_extension("db-wal");
        std::fs::copy(log(from), log(to)).unwrap();
    };
    run(&Home {
        factory: &files,
        copy: Some(&copy),
        on_server: false,
    });
}

fn on_environments(run: impl FnOnce(&Home<'_>)) {
    let environments = Environments(folder());
    // The lock file goes with its processes.
    let copy = |from: &str, to: &str| {
        let data = |place: &str| environments.path(place).join("data.mdb");
        std::fs::create_dir(environments.path(to)).unwrap();
        std::fs::copy(data(from), data(to)).unwrap();
    };
    run(&Home {
        factory: &environments,
        copy: Some(&copy),
        on_server: false,
    });
}

fn on_logs(run: impl FnOnce(&Home<'_>)) {
    let logs = Logs(folder());
    let copy = |from: &str, to: &str| {
        std::fs::copy(logs.path(from), logs.path(to)).unwrap();
    };
    run(&Home {
        factory: &logs,
        copy: Some(&copy),
        on_server: false,
    });
}

const IN_MEMORY: Home<'_> = Home {
    factory: &Memory,
    copy: None,
    on_server: false,
};

#[test]
fn memory_does_what_the_model_says() {
    sequences("memory and model", &IN_MEMORY, None);
}

#[test]
fn rows_over_a_tree_do_what_the_model_says() {
    on_trees(|trees| sequences("rows and model", trees, None));
}

#[test]
fn sqlite_does_what_the_model_says() {
    on_files(|files| sequences("sqlite and model", files, None));
}

#[test]
fn lmdb_does_what_the_model_says() {
    on_environments(|environments| sequences("lmdb and model", environments, None));
}

#[test]
fn jsonl_does_what_the_model_says() {
    on_logs(|logs| sequences("jsonl and model", logs, None));
}

#[test]
fn memory_answers_as_rows_do() {
    on_trees(|trees| sequences("memory and rows", trees, Some(&IN_MEMORY)));
}

#[test]
fn sqlite_answers_as_rows_do() {
    on_trees(|trees| on_files(|files| sequences("sqlite and rows", trees, Some(files))));
}

#[test]
fn lmdb_answers_as_rows_do() {
    on_trees(|trees| {
        on_environments(|environments| sequences("lmdb and rows", trees, Some(environments)));
    });
}

#[test]
fn jsonl_answers_as_rows_do() {
    on_trees(|trees| on_logs(|logs| sequences("jsonl and rows", trees, Some(logs))));
}

/// What only a clock of this machine can do is left out: the time of a server is never set here, nor does it reboot.
#[cfg(feature = "redis")]
#[test]
fn redis_answers_as_rows_do() {
    let Some(redis) = servers::redis::Redis::start() else {
        return;
    };
    let redis = Home {
        factory: &redis,
        copy: None,
        on_server: false,
    };
    let is_wanted = |step: &Step| !matches!(step, Step::SetWall(_) | Step::Reboot);
    on_trees(|trees| sequences_of(SEQUENCES, "redis and rows", trees, Some(&redis), is_wanted));
}

#[cfg(feature = "postgres")]
#[test]
fn postgres_answers_as_rows_do() {
    let Some(server) = servers::postgres::Postgres::start() else {
        return;
    };
    // The server has one copy of everything: what is written there outlives the process, and is opened again as it is.
    let copy = |from: &str, to: &str| server.rename(from, to);
    let home = Home {
        factory: &server,
        copy: Some(&copy),
        on_server: true,
    };
    // Each step is a round trip or several, and each place a schema: fewer of them than of stores in this process.
    on_trees(|trees| {
        sequences_of(
            SEQUENCES / 4,
            "postgres and rows",
            trees,
            Some(&home),
            |_| true,
        );
    });
}
