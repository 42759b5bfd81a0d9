//! [`TaskBuilder`]: a task, said step by step.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::SharedHandler;
use super::into::IntoHandler;
use super::layers::{Layer, Panic};
use super::period::{IntoInstant, IntoPeriod};
use super::task::Task;
use super::when::{Source, When};
use crate::error::{Error, ErrorKind, Result};
use crate::payload::{PAYLOAD_LIMIT, Payload};
use crate::schedule::{Dst, Misfire, Overlap, Schedule, SchedulePolicy};
use crate::task::{GateTemplate, RetryPolicy, TaskDef};
use crate::timestamp::Timestamp;

/// Builds a [`Task`]. Nothing here fails: mistakes are collected, all of them, and reported when the task is
/// registered or [`check`](Task::check)ed.
///
/// Durations are a `Duration`, text such as `"5m"`, or a number of seconds.
#[must_use = "a builder does nothing until the task is registered"]
pub struct TaskBuilder {
    def: TaskDef,
    when: When,
    handler: Option<SharedHandler>,
    layers: Vec<Arc<dyn Layer>>,
    faults: Vec<Error>,
}

impl TaskBuilder {
    pub(super) fn named(name: impl Into<String>) -> Self {
        Self {
            def: TaskDef::new(name.into()),
            when: When::default(),
            handler: None,
            layers: Vec::new(),
            faults: Vec::new(),
        }
    }

    pub(super) fn of<M, F: IntoHandler<M>>(function: F) -> Self {
        let path = std::any::type_name::<F>();
        let plain = path.split('<').next().unwrap_or(path);
        let name = plain.rsplit("::").next().unwrap_or(plain);
        let mut builder = Self::named(name);
        if !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
            builder.faults.push(Error::invalid(
                "task name",
                "a closure has no name to register under; use task(\"name\").run(…)",
            ));
        }
        builder.handler = Some(function.into_handler());
        builder
    }

    fn fault(&mut self, option: &str, error: Error) {
        let kind = error.kind();
        let message = format!("{option}: {error}");
        self.faults
            .push(Error::new(kind, "register task", message).with_source(error));
    }

    fn period(&mut self, option: &'static str, period: impl IntoPeriod) -> Option<Duration> {
        period
            .into_period()
            .map_err(|error| self.fault(option, error))
            .ok()
    }

    fn scheduled(mut self, what: &'static str, schedule: Result<Schedule>) -> Self {
        let source = match schedule {
            Ok(schedule) => Source::Made(what, schedule),
            Err(error) => {
                self.fault(what, error);
                Source::Faulty(what)
            }
        };
        self.when.sources.push(source);
        self
    }

    /// Runs it every period of elapsed time, without drift.
    pub fn every(self, period: impl IntoPeriod) -> Self {
        let schedule = period.into_period().and_then(Schedule::every);
        self.scheduled("every", schedule)
    }

    /// Runs it by a cron expression, in UTC unless [`zone`](Self::zone) says otherwise; see [`Schedule::cron`].
    pub fn cron(mut self, expression: impl Into<String>) -> Self {
        self.when.sources.push(Source::Cron(expression.into()));
        self
    }

    /// Runs it by a cron expression on the clocks of a time zone, such as `Europe/Berlin`.
    pub fn cron_in(self, expression: impl Into<String>, zone: impl Into<String>) -> Self {
        self.cron(expression).zone(zone)
    }

    /// Runs it by an expression of the Quartz dialect; see [`Schedule::quartz`].
    pub fn quartz(mut self, expression: impl Into<String>) -> Self {
        self.when.sources.push(Source::Quartz(expression.into()));
        self
    }

    /// The time zone of the cron or Quartz expression.
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.when.zone = Some(zone.into());
        self
    }

    /// What its cron expression does on days when clocks change.
    pub fn dst(mut self, dst: Dst) -> Self {
        self.when.dst = Some(dst);
        self
    }

    /// Runs it once, at an instant.
    pub fn at(self, instant: impl IntoInstant) -> Self {
        let schedule = instant.into_instant().map(Schedule::at);
        self.scheduled("at", schedule)
    }

    /// Runs it once, this long after it was first registered.
    pub fn after(self, delay: impl IntoPeriod) -> Self {
        let schedule = delay.into_period().map(Schedule::after);
        self.scheduled("after", schedule)
    }

    /// Runs it by a schedule made elsewhere.
    pub fn schedule(self, schedule: Schedule) -> Self {
        self.scheduled("schedule", Ok(schedule))
    }

    /// Only slots from the first to the second instant, both included; `None` leaves a side open.
    pub fn between(
        mut self,
        start: impl Into<Option<Timestamp>>,
        end: impl Into<Option<Timestamp>>,
    ) -> Self {
        (self.when.start, self.when.end) = (start.into(), end.into());
        self
    }

    /// What happens to slots that nobody was there to start; by default the newest one runs.
    pub fn misfire(mut self, misfire: Misfire) -> Self {
        self.def.policy.misfire = misfire;
        self
    }

    /// How late a slot may still start.
    pub fn grace(mut self, grace: impl IntoPeriod) -> Self {
        self.def.policy.grace = self.period("grace", grace);
        self
    }

    /// What happens when a slot comes while the previous run is unfinished; by default it is skipped.
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.def.policy.overlap = overlap;
        self
    }

    /// Starts each run up to this long after its slot, spread by name and slot.
    pub fn jitter(mut self, jitter: impl IntoPeriod) -> Self {
        self.def.policy.jitter = self.period("jitter", jitter);
        self
    }

    /// Ends the schedule after this many runs.
    pub fn max_runs(mut self, runs: u64) -> Self {
        self.def.policy.max_runs = Some(runs);
        self
    }

    /// Runs it once at the start, without waiting for a slot.
    pub fn run_at_start(mut self) -> Self {
        self.def.policy.run_at_start = true;
        self
    }

    /// The queue; `default` unless given.
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.def.queue = Arc::from(queue.into());
        self
    }

    /// 0 to 255, larger first; 5 unless given.
    pub fn priority(mut self, priority: u8) -> Self {
        self.def.priority = priority;
        self
    }

    /// Total attempts, at least 1; by default 5 when submitted and 1 for an occurrence of its schedule.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.def.max_attempts = Some(attempts);
        self
    }

    /// Lost leases before it fails, by default 5; 0 means that it runs at most once.
    pub fn max_lost(mut self, losses: u32) -> Self {
        self.def.max_lost = losses;
        self
    }

    /// The back-off between attempts.
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.def.retry = retry;
        self
    }

    /// The longest run; none unless given.
    pub fn timeout(mut self, timeout: impl IntoPeriod) -> Self {
        self.def.timeout = self.period("timeout", timeout);
        self
    }

    /// How long its leases last, when not as the settings say.
    pub fn lease(mut self, lease: impl IntoPeriod) -> Self {
        self.def.lease = self.period("lease", lease);
        self
    }

    /// Runs one at a time of those whose args give the same key, such as `"{user_id}"`. The key is this task's own; use
    /// [`gate`](Self::gate) with limit 1 to exclude runs of other tasks as well.
    pub fn exclusive(self, template: impl AsRef<str>) -> Self {
        let template = GateTemplate::exclusive_key(&self.def.name, template.as_ref());
        self.gate(template, 1)
    }

    /// Runs at most this many of it at once, on all workers together. Its gate is `limit/<name>`.
    pub fn limit(self, limit: u32) -> Self {
        let template = GateTemplate::limit_key(&self.def.name);
        self.gate(template, limit)
    }

    /// Runs at most this many at once of all tasks whose args give the same key, such as `"user/{id}"`.
    pub fn gate(mut self, template: impl Into<String>, limit: u32) -> Self {
        self.def.gates.push(GateTemplate {
            template: template.into(),
            limit,
        });
        self
    }

    /// What occurrences of its schedule are given.
    pub fn args(mut self, args: impl Serialize) -> Self {
        let args = Payload::of(&args).and_then(|args| {
            args.check_size("args", PAYLOAD_LIMIT)?;
            Ok(args)
        });
        match args {
            Ok(args) => self.def.args = args,
            Err(error) => self.fault("args", error),
        }
        self
    }

    /// The version of its handler, when several live side by side: each is a task of its own under the same name. What
    /// is submitted keeps the version it was submitted with, and runs with no other. A submit by name takes the task
    /// without a version, or else the one that was registered last, unless it [names one](crate::client::Submit::version).
    /// At most one of them has a schedule.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.def.version = Some(Arc::from(version.into()));
        self
    }

    /// An older name that this handler also runs.
    pub fn alias(mut self, alias: impl Into<String>) -> Self {
        self.def.aliases.push(Arc::from(alias.into()));
        self
    }

    /// A word that all its records carry.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.def.tags.insert(tag.into());
        self
    }

    /// What it is for, for people.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.def.description = Some(description.into());
        self
    }

    /// Anything its author wants to find again.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Serialize) -> Self {
        let key = key.into();
        match serde_json::to_value(value) {
            Ok(value) => {
                self.def.metadata.insert(key, value);
            }
            Err(source) => {
                let why = format!("the value of \"{key}\" cannot be written as JSON: {source}");
                self.fault("metadata", Error::invalid("metadata", why));
            }
        }
        self
    }

    /// Wraps a layer around the handler; the first one given is the innermost.
    pub fn layer(mut self, layer: impl Layer) -> Self {
        self.layers.push(Arc::new(layer));
        self
    }

    /// What runs it: `async fn(TaskContext, Args) -> impl IntoOutcome`, the same without `async`, a closure of either
    /// shape, or a [`Handler`](super::Handler).
    pub fn run<M>(mut self, handler: impl IntoHandler<M>) -> Task {
        self.handler = Some(handler.into_handler());
        self.build()
    }

    /// Only makes the name known: it can be submitted and scheduled here, and runs elsewhere.
    pub fn declare(mut self) -> Task {
        self.handler = None;
        self.build()
    }

    /// The task as it is; the end of what [`Task::of`] began.
    pub fn build(mut self) -> Task {
        let mut faults = std::mem::take(&mut self.faults);
        if self.when.sources.is_empty() && self.def.policy != SchedulePolicy::default() {
            faults.push(Error::invalid(
                "schedule",
                "misfire, grace, overlap, jitter, max_runs and run_at_start are about a schedule, and there is none; add every, cron or at",
            ));
        }
        self.def.schedule = self.when.build(&self.def.name, &mut faults);
        let handler = self.handler.map(|handler| layered(handler, &self.layers));
        let error = all_in_one(&self.def, faults);
        Task {
            def: self.def,
            handler,
            error,
        }
    }
}

impl From<TaskBuilder> for Task {
    fn from(builder: TaskBuilder) -> Self {
        builder.build()
    }
}

impl fmt::Debug for TaskBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskBuilder")
            .field("def", &self.def)
            .field("when", &self.when)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

/// The handler in its layers. A layer can panic as well, so what has layers is caught once more.
fn layered(handler: SharedHandler, layers: &[Arc<dyn Layer>]) -> SharedHandler {
    if layers.is_empty() {
        return handler;
    }
    let wrapped = layers
        .iter()
        .fold(handler, |inner, layer| layer.wrap(inner));
    Panic.wrap(wrapped)
}

/// All mistakes in one error: the only one as it is, several as a list.
fn all_in_one(def: &TaskDef, mut faults: Vec<Error>) -> Option<Error> {
    let prefix = format!("the task \"{}\": ", def.name);
    faults.extend(def.check().err());
    let lines: Vec<String> = faults
        .iter()
        .map(|fault| {
            let text = fault.to_string();
            text.strip_prefix(&prefix)
                .map_or(text.clone(), str::to_owned)
        })
        .collect();
    let kind = match faults.as_slice() {
        [] => return None,
        [only] => only.kind(),
        _ => ErrorKind::Invalid,
    };
    let message = match lines.as_slice() {
        [only] => format!("{prefix}{only}"),
        several => {
            let mut text = format!("the task \"{}\" has {} mistakes:", def.name, several.len());
            for line in several {
                text.push_str("\n  - ");
                text.push_str(&line.replace('\n', "\n    "));
            }
            text
        }
    };
    Some(Error::new(kind, "register task", message))
}
