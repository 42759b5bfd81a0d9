//! Testing a program that uses TLO, and testing TLO: the guide.
//!
//! Nothing of the library imports this module; it is there with the feature `testing`, which belongs into
//! `[dev-dependencies]`:
//!
//! ```toml
//! [dev-dependencies]
//! tlo = { version = "0.1", features = ["testing"] }
//! ```
//!
//! # A program in a test
//!
//! [`TloContext::for_test()`](crate::TloContext::for_test) gives a [`Harness`]: the real store in memory, the real scheduler
//! and worker, and a [`ManualClock`] that stands still until the test moves it. No thread is started and nothing waits in real
//! time, so a year of schedules takes moments and every run is the same.
//!
//! | | |
//! |---|---|
//! | [`Harness::run_until_idle`] | does all that is due now |
//! | [`Harness::advance`], [`Harness::advance_to`] | moves time from event to event, doing all that is due at each |
//! | [`Harness::run_inline`] | submits one task, runs it, and gives its record |
//! | [`Harness::assert_submitted`], [`Harness::assert_not_submitted`] | what a handler asked for |
//! | [`Harness::fired`], [`Harness::started`], [`Harness::submitted`], [`Harness::events`] | what happened |
//! | [`Harness::restart`] | the process is killed and starts again |
//! | [`Harness::client`], [`Harness::store`], [`Harness::clock`] | everything else |
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> tlo::Result<()> {
//! use tlo::prelude::*;
//!
//! let mut tlo = TloContext::for_test()
//!     .task(task("invoice").cron("0 3 * * *").run(|context: TaskContext, _: ()| async move {
//!         context.client().task("mail").args("ada").submit().await?;
//!         TaskResult::Ok(())
//!     }))
//!     .task(task("mail").run(|_: TaskContext, to: String| async move { TaskResult::Ok(format!("sent to {to}")) }))
//!     .start()
//!     .await?;
//! tlo.advance(hours(24)).await?;
//! tlo.assert_submitted("mail", "ada");
//! assert_eq!(tlo.started("mail"), 1);
//! # Ok(()) }
//! ```
//!
//! A handler that waits does so on [`TaskContext::clock`](crate::TaskContext::clock); then its waits are the test's, too. One
//! handler by itself needs no harness: [`TaskContext::for_test`](crate::TaskContext::for_test) makes what it is given.
//!
//! # What goes wrong
//!
//! [`Harness::store`] is a [`ProbeStore`]: it counts calls and fails on demand. A [`Fault`] names the call and what becomes of
//! it: the third claim fails; the next commit is written and its answer is lost; a read takes five seconds of the manual
//! clock. [`Weather`] does such things by chance, the same for the same seed. A probe can be put around any store:
//! [`ProbeStore::around`].
//!
//! # Everything at once
//!
//! [`simulation`] runs your own handlers on three to seven nodes that are killed, paused and set back, on a store that
//! crashes, through as many seeds as you like, and checks what TLO promises in each.
//!
//! # A store of your own
//!
//! [`conformance`] is the contract of the store as cases: one call runs them all.

mod clock;
pub mod conformance;
mod faults;
mod harness;
mod probe;
pub mod simulation;

pub use clock::ManualClock;
pub use faults::{Fault, Verb, Weather};
pub use harness::{Harness, HarnessBuilder};
pub use probe::{Calls, ProbeStore};
