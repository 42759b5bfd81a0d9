//! The client inside a handler.

use super::Client;
use crate::handler::{TaskContext, Trace};

/// Gives handlers the client of the program they run in.
pub trait ClientContext {
    /// The client, to submit or steer other tasks from inside a handler. What it submits carries the `traceparent` of this
    /// task on, unless it is given another.
    ///
    /// # Panics
    /// Never in a runner. In a unit test of a handler, when the test gave the context no client.
    fn client(&self) -> Client;
}

impl ClientContext for TaskContext {
    fn client(&self) -> Client {
        match self.state::<Client>() {
            Some(client) => client.in_trace(Trace::of(&self.record().details)),
            None => panic!(
                "this TaskContext has no client: give the test's context one with `.state(client)`"
            ),
        }
    }
}
