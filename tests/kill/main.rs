//! Real processes on one file, killed with kill -9 and stopped with SIGSTOP: nothing that was acknowledged is lost, and
//! nobody gets past a lease, a gate, a key or a slot.
//!
//! - `chaos`: submitters, schedulers and workers, random ones killed again and again;
//! - `points`: one process that dies at a named point of its work;
//! - `makers`: processes that die while they make the file;
//! - `zombies`: a worker that is stopped beyond its lease and comes back when another has its task.
//!
//! What the processes saw is in a journal beside the file. `checker` compares it with the file; `planted` shows that it
//! finds what it looks for, and `faulty` that processes on a store that does not keep its word are found out.
//! `TLO_PROOF=full` runs the full counts, `TLO_TEST_SEED` repeats what was chosen by chance;
//! what the machine makes of it differs all the same.
#![cfg(all(target_os = "linux", feature = "sqlite"))]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise, and its counts are what it is run for"
)]

mod book;
mod chaos;
mod checker;
mod child;
mod crashing;
mod faulty;
mod journal;
mod leftovers;
mod makers;
mod orders;
mod parent;
mod planted;
mod points;
mod trap;
mod watched;
mod zombies;
