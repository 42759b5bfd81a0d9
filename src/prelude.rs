//! What most programs use: `use tlo::prelude::*;`.

pub use crate::client::{Client, ClientContext, TaskHandle};
pub use crate::context::TloContext;
pub use crate::handler::{
    Handler, Interruption, IntoHandler, IntoOutcome, Layer, Task, TaskContext, hours, millis,
    minutes, secs, task,
};
pub use crate::observe::{Lifecycle, Observer};
pub use crate::runner::Runner;
pub use crate::schedule::{Misfire, Overlap, Schedule};
pub use crate::{Payload, RetryPolicy, TaskError, TaskResult, TaskStatus, Timestamp};
