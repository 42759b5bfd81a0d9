//! The PostgreSQL store: submits inside transactions of the caller, several stores on one database, servers that die.
#![cfg(all(feature = "postgres", feature = "testing"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "these are tests")]

mod enlist;
mod faults;
mod kit;
mod open;
mod share;
mod speed;

#[path = "../servers/mod.rs"]
mod servers;
