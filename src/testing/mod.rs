//! Tools for tests: a clock that moves by hand and the conformance suite of stores.
//!
//! Nothing of the library imports this module; it is there with the feature `testing`.

mod clock;
pub mod conformance;
mod harness;

pub use clock::ManualClock;
pub use harness::{Calls, Harness, HarnessBuilder, ProbeStore};
