//! The LMDB store: what it promises about its directory, other processes, failures and sudden death.
#![cfg(all(unix, feature = "lmdb"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "these are tests")]

#[path = "../durable/crash.rs"]
mod crash;
#[path = "../durable/disk.rs"]
mod disk;
#[path = "../durable/kit.rs"]
mod durable;
mod faults;
#[path = "../durable/files.rs"]
mod files;
mod kit;
mod open;
mod share;
