//! The store on Redis: what it asks of a server, and what becomes of work when the server dies, restarts or refuses.
#![cfg(all(unix, feature = "redis", feature = "testing"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "these are tests")]

mod crash;
mod kit;
mod open;
#[path = "../servers/mod.rs"]
mod servers;
mod speed;
mod trouble;
mod work;
