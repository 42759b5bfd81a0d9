//! What threads share and wait for in the stores.
//!
//! Tests that try out interleavings (`--cfg tlo_shuttle`) have the same from a scheduler that decides at each of these
//! places who goes on; everybody else has the plain things.

#[cfg(not(all(test, tlo_shuttle)))]
mod plain {
    pub(in super::super) use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
    pub(in super::super) use std::sync::mpsc as std_mpsc;
    pub(in super::super) use std::thread;

    pub(in super::super) use parking_lot::Mutex;
    pub(in super::super) use tokio::sync::{mpsc, oneshot};
}

#[cfg(not(all(test, tlo_shuttle)))]
pub(super) use plain::*;

#[cfg(all(test, tlo_shuttle))]
#[path = "sync_explored.rs"]
mod explored;

#[cfg(all(test, tlo_shuttle))]
pub(super) use explored::*;
