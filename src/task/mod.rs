//! What a task is: its record, the one transition table, and the rules that decide what a run leaves behind.
//!
//! Plain data and total functions: nothing here does I/O or waits.

mod attempt;
mod cursor;
mod decide;
mod def;
mod details;
mod due;
mod gate;
mod group;
mod log;
mod make;
mod new;
mod options;
mod outcome;
mod record;
mod retry;
mod status;
mod stored;
mod trace_parent;
mod unique;

pub(crate) use attempt::push_attempt;
pub use attempt::{ATTEMPTS_KEPT, Attempt, AttemptEnd, ERROR_LIMIT, cut_text};
pub use cursor::Pause;
pub(crate) use cursor::{CURSOR_MARK, Cursor, Overlapped};
pub use decide::{Ended, Settlement, decide};
pub use def::TaskDef;
pub use details::TaskDetails;
pub use due::Due;
pub(crate) use gate::LOCK_NAME;
pub use gate::{GATE_LIMIT, Gate, GateRule, Rate, render_template, template_fields};
pub use group::error_group;
pub(crate) use log::log_stream;
pub use log::{LineLevel, LogLine};
pub(crate) use make::Pattern;
pub use new::NewTask;
pub use options::{GateTemplate, TaskOptions};
#[cfg(feature = "opentelemetry")]
pub(crate) use outcome::Action;
pub use outcome::{Outcome, TaskError, TaskResult};
pub use record::{
    Lease, LeaseRef, Parked, Prefer, SCHEMA_VERSION, TaskKind, TaskStateRecord, TaskSummary,
};
pub use retry::RetryPolicy;
pub use status::{Refused, TaskEvent, TaskStatus, transition};
pub use trace_parent::{TRACEPARENT, TRACESTATE, TraceParent};
pub use unique::{OnConflict, Unique, UniqueScope};
