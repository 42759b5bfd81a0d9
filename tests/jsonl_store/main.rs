//! The JSONL store: what it promises about its log, other processes, failures and sudden death.
#![cfg(all(unix, feature = "jsonl"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "these are tests")]

mod compact;
#[path = "../durable/crash.rs"]
mod crash;
mod damage;
#[path = "../durable/disk.rs"]
mod disk;
#[path = "../durable/kit.rs"]
mod durable;
#[path = "../durable/files.rs"]
mod files;
mod kit;
mod open;
mod share;
