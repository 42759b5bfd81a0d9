//! Steering: tasks one by one and many at once, queues, names, schedules and keys. Every verb writes an audit event.

mod audit;
mod bulk;
mod bulk_run;
mod declare;
mod limit;
mod one;
mod pause;
mod rules;
mod schedule;
mod target;
mod unfinished;

pub(crate) use audit::{AUDIT_KEPT, trim_audit};
pub use audit::{AuditData, AuditEvent};
pub use bulk::{Bulk, BulkRefusal, BulkReport, TaskAction};
pub use declare::{Declaration, DeclaredLimits};
pub use limit::{LimitChange, LimitedTarget, Limits};
pub use pause::Paused;
pub(super) use rules::all_marks;
pub use target::Target;
pub(crate) use unfinished::unfinished_runs;
