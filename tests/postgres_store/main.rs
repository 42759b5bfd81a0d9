//! The PostgreSQL store: submits inside transactions of the caller, several stores on one database, servers that die.
#![cfg(all(feature = "postgres", feature = "testing"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "these are tests")]

#[path = "../durable/crash.rs"]
mod crash;
mod enlist;
#[cfg(feature = "sqlx")]
mod enlist_sqlx;
mod failover;
mod faults;
mod kit;
mod moved;
mod old_view;
mod open;
mod plain;
mod share;
mod tls;

#[path = "../servers/mod.rs"]
mod servers;

#[path = "../fault_proxy/mod.rs"]
mod fault_proxy;
#[path = "../servers/network.rs"]
mod network;
