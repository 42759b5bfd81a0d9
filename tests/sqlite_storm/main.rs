//! Rough times for a SQLite store: many processes, full disks, damaged rows, hostile texts. Errors are typed, neighbours are
//! not touched, and the service goes on.
//!
//! `TLO_PROOF=full` does it at full counts; `TLO_TEST_SEED` repeats what was chosen by chance.
#![cfg(all(unix, feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "these are tests")]

mod busy;
#[cfg(feature = "cli")]
mod command_line;
#[cfg(feature = "testing")]
mod damage;
#[path = "../durable/disk.rs"]
mod disk;
#[path = "../durable/kit.rs"]
#[allow(dead_code, reason = "the kit of several test programs")]
mod durable;
mod hostile;
#[path = "../sqlite_store/kit.rs"]
#[allow(dead_code, unused_imports, reason = "the kit of another test program")]
mod kit;
#[cfg(feature = "cli")]
#[path = "../operator/mod.rs"]
mod operator;

fn seed() -> u64 {
    let given = std::env::var("TLO_TEST_SEED").ok();
    let seed = given.and_then(|seed| seed.parse().ok());
    seed.unwrap_or_else(|| fastrand::u64(..))
}
