//! The SQLite store: what it promises about its file, other processes, failures and sudden death.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "these are tests")]

#[path = "../durable/crash.rs"]
mod crash;
#[path = "../durable/kit.rs"]
mod durable;
mod enlist;
mod faults;
#[path = "../durable/files.rs"]
mod files;
mod kit;
#[cfg(feature = "cli")]
#[path = "../listening/mod.rs"]
mod listening;
#[cfg(feature = "cli")]
mod long_log;
mod open;
mod share;
