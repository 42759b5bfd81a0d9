//! The store on Redis: what it asks of a server, and what becomes of work when the server dies, restarts or refuses.
#![cfg(all(unix, feature = "redis", feature = "testing"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "these are tests")]

#[path = "../durable/crash.rs"]
mod crash;
mod deaths;
mod faults;
mod kit;
mod many;
mod open;
#[path = "../servers/mod.rs"]
mod servers;
mod tls;
mod trouble;
mod work;

#[path = "../fault_proxy/mod.rs"]
mod fault_proxy;
#[path = "../servers/network.rs"]
mod network;
