//! [`Metrics`]: events as counters and histograms of the `metrics` facade, and gauges of the store on demand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ::metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use parking_lot::Mutex;

use super::lifecycle::Lifecycle;
use super::observers::Observer;
use crate::error::Result;
use crate::page::{PAGE_LIMIT, PageRequest};
use crate::store::{CountBy, SCAN_LIMIT, TaskFilter, TaskStateStore};
use crate::task::{TaskStateRecord, TaskStatus};
use crate::timestamp::Timestamp;

/// Different names, and different queues, that have labels of their own unless chosen otherwise.
const VALUES: usize = 100;

/// The label of those that came after them.
const OTHER: &str = "other";

/// An observer that counts with the [`metrics`](https://docs.rs/metrics) facade: install a recorder of your choice first
/// (Prometheus, StatsD, …), then add this. Without a recorder it does nothing.
///
/// | metric | labels | what |
/// |---|---|---|
/// | `tlo_tasks_submitted_total` | queue, name | tasks made by submits of this process |
/// | `tlo_tasks_deduplicated_total` | queue, name | submits whose id or unique key another task owned |
/// | `tlo_runs_started_total` | queue, name | runs that this process claimed |
/// | `tlo_runs_ended_total` | queue, name, outcome | how they ended: `succeeded`, `retried`, `failed`, `cancelled`, `snoozed`, `released`; `lost` for leases that ended without a word and that this process took back |
/// | `tlo_leases_lost_total` | queue, name | runs of this process that lost their lease: what they reported was refused as stale |
/// | `tlo_runs_left_behind_total` | queue, name | handlers that did not end in their grace |
/// | `tlo_slots_total` | name, outcome | slots of schedules: `fired`, `skipped` by the misfire policy, `overlapped` (slots passed over at once for one unfinished run count once) |
/// | `tlo_schedule_failures_total` | name | schedules that could not be served |
/// | `tlo_store_failures_total` | operation | calls of the store that failed and are tried again |
/// | `tlo_steered_total` | action | acts of somebody who steered through this process: `cancel`, `pause` … |
/// | `tlo_wait_seconds` | queue, name | histogram: from due to claimed |
/// | `tlo_run_seconds` | queue, name, outcome | histogram: from claimed to settled |
/// | `tlo_tasks_waiting` | queue | gauge, [sampled](Self::sample): pending tasks, due or not, of the whole store |
/// | `tlo_tasks_running` | queue | gauge, sampled: running tasks of the whole store |
/// | `tlo_oldest_ready_seconds` | queue | gauge, sampled: how long the task that has been due longest waits; 0 when none is |
///
/// Labels are bounded: the first 100 queues and the first 100 names have their own, the rest is `other`. Ids are never labels.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> tlo::Result<()> {
/// use tlo::prelude::*;
/// let metrics = tlo::observe::Metrics::default();
/// let tlo = TloContext::builder().observer(metrics.clone()).build().await?;
/// // In what answers your scraper:
/// metrics.sample(&**tlo.store(), tlo.clock().now()).await?;
/// # Ok(()) }
/// ```
///
/// Cloning it is cheap; clones count together.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Labels>);

/// What has labels.
#[derive(Debug)]
struct Labels {
    most: usize,
    names: Mutex<BTreeSet<Arc<str>>>,
    queues: Mutex<BTreeSet<Arc<str>>>,
    /// Queues whose gauges were set: those that are empty now are set to 0.
    sampled: Mutex<BTreeSet<Arc<str>>>,
}

impl Default for Metrics {
    /// 100 names and 100 queues have labels of their own.
    fn default() -> Self {
        Self::with_labels(VALUES)
    }
}

impl Metrics {
    /// So many names, and so many queues, have labels of their own. It describes the metrics to the recorder, which should be
    /// installed by then.
    #[must_use]
    pub fn with_labels(most: usize) -> Self {
        describe();
        Self(Arc::new(Labels {
            most,
            names: Mutex::default(),
            queues: Mutex::default(),
            sampled: Mutex::default(),
        }))
    }

    /// Sets the gauges from the store, for all processes on it. `now` is the wall clock. The store counts by queue; for the
    /// oldest ready task, the 1,000 waiting tasks of a queue that were made first are looked at.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn sample(&self, store: &dyn TaskStateStore, now: Timestamp) -> Result<()> {
        let of = |status| TaskFilter::status([status]);
        let waiting = of(TaskStatus::Pending);
        let waiting = store.count(&waiting, CountBy::Queue, SCAN_LIMIT).await?;
        let running = of(TaskStatus::Running);
        let running = store.count(&running, CountBy::Queue, SCAN_LIMIT).await?;
        let mut gauges: BTreeMap<Arc<str>, [f64; 3]> = BTreeMap::new();
        for label in self.0.sampled.lock().iter() {
            gauges.insert(Arc::clone(label), [0.0; 3]);
        }
        for (queue, count) in &waiting.groups {
            let oldest = oldest_ready(store, queue, now).await?;
            let gauge = gauges.entry(self.queue(queue)).or_default();
            gauge[0] += as_number(*count);
            gauge[2] = gauge[2].max(oldest.as_secs_f64());
        }
        for (queue, count) in &running.groups {
            gauges.entry(self.queue(queue)).or_default()[1] += as_number(*count);
        }
        for (queue, [waiting, running, oldest]) in &gauges {
            gauge!("tlo_tasks_waiting", "queue" => Arc::clone(queue)).set(*waiting);
            gauge!("tlo_tasks_running", "queue" => Arc::clone(queue)).set(*running);
            gauge!("tlo_oldest_ready_seconds", "queue" => Arc::clone(queue)).set(*oldest);
        }
        self.0.sampled.lock().extend(gauges.into_keys());
        Ok(())
    }

    fn name(&self, name: &str) -> Arc<str> {
        bounded(&self.0.names, self.0.most, name)
    }

    fn queue(&self, queue: &str) -> Arc<str> {
        bounded(&self.0.queues, self.0.most, queue)
    }

    fn of(&self, record: &TaskStateRecord) -> (Arc<str>, Arc<str>) {
        (self.queue(&record.queue), self.name(&record.name))
    }

    fn ended(&self, record: &TaskStateRecord, outcome: &'static str, took: Option<Duration>) {
        let (queue, name) = self.of(record);
        if let Some(took) = took {
            let (queue, name) = (Arc::clone(&queue), Arc::clone(&name));
            histogram!("tlo_run_seconds", "queue" => queue, "name" => name, "outcome" => outcome)
                .record(took.as_secs_f64());
        }
        counter!("tlo_runs_ended_total", "queue" => queue, "name" => name, "outcome" => outcome)
            .increment(1);
    }

    fn slots(&self, schedule: &str, outcome: &'static str, count: u64) {
        let name = self.name(schedule);
        counter!("tlo_slots_total", "name" => name, "outcome" => outcome).increment(count);
    }

    /// A counter of tasks.
    fn count(&self, metric: &'static str, queue: &str, name: &str) {
        let (queue, name) = (self.queue(queue), self.name(name));
        counter!(metric, "queue" => queue, "name" => name).increment(1);
    }
}

impl Observer for Metrics {
    fn observe(&self, event: &Lifecycle) {
        let one = |metric, record: &TaskStateRecord| {
            self.count(metric, &record.queue, &record.name);
        };
        match event {
            Lifecycle::Submitted {
                name,
                queue,
                existing,
                ..
            } => {
                let metric = match existing {
                    false => "tlo_tasks_submitted_total",
                    true => "tlo_tasks_deduplicated_total",
                };
                self.count(metric, queue, name);
            }
            Lifecycle::Started { record, waited, .. } => {
                one("tlo_runs_started_total", record);
                let (queue, name) = self.of(record);
                histogram!("tlo_wait_seconds", "queue" => queue, "name" => name)
                    .record(waited.as_secs_f64());
            }
            Lifecycle::Succeeded { record, took } => self.ended(record, "succeeded", Some(*took)),
            Lifecycle::Retrying { record, took, .. } => {
                self.ended(record, "retried", Some(*took));
            }
            Lifecycle::Failed { record, took, .. } => self.ended(record, "failed", Some(*took)),
            Lifecycle::Cancelled { record, took, .. } => {
                self.ended(record, "cancelled", Some(*took));
            }
            Lifecycle::Snoozed { record, took, .. } => self.ended(record, "snoozed", Some(*took)),
            Lifecycle::Released { record, took } => self.ended(record, "released", Some(*took)),
            Lifecycle::Lost { record, .. } => self.ended(record, "lost", None),
            Lifecycle::LeaseLost { record } => one("tlo_leases_lost_total", record),
            Lifecycle::LeftBehind { record, .. } => one("tlo_runs_left_behind_total", record),
            Lifecycle::ScheduleFired { schedule, .. } => self.slots(schedule, "fired", 1),
            Lifecycle::SlotsSkipped { schedule, skipped } => {
                self.slots(schedule, "skipped", skipped.count);
            }
            Lifecycle::SlotOverlapped { schedule, .. } => self.slots(schedule, "overlapped", 1),
            Lifecycle::ScheduleFailed { schedule, .. } => {
                let name = self.name(schedule);
                counter!("tlo_schedule_failures_total", "name" => name).increment(1);
            }
            Lifecycle::StoreFailed { operation, .. } => {
                counter!("tlo_store_failures_total", "operation" => *operation).increment(1);
            }
            Lifecycle::Steered { action, .. } => {
                counter!("tlo_steered_total", "action" => action.clone()).increment(1);
            }
            Lifecycle::ScheduleEnded { .. }
            | Lifecycle::WorkerStarted { .. }
            | Lifecycle::WorkerStopped { .. } => {}
        }
    }
}

/// The value itself while few are known, else `other`.
fn bounded(known: &Mutex<BTreeSet<Arc<str>>>, most: usize, value: &str) -> Arc<str> {
    let mut known = known.lock();
    if let Some(known) = known.get(value) {
        return Arc::clone(known);
    }
    if known.len() >= most {
        return Arc::from(OTHER);
    }
    let value: Arc<str> = Arc::from(value);
    known.insert(Arc::clone(&value));
    value
}

async fn oldest_ready(store: &dyn TaskStateStore, queue: &str, now: Timestamp) -> Result<Duration> {
    let filter = TaskFilter {
        queue: Some(queue.to_owned()),
        ..TaskFilter::status([TaskStatus::Pending])
    };
    let first = store.list(&filter, PageRequest::first(PAGE_LIMIT)).await?;
    let records = first.items.iter().map(|item| &item.record);
    let ready = records.filter(|record| record.parked.is_none());
    let waits = ready.map(|record| now.since(record.run_at));
    Ok(waits.max().unwrap_or_default())
}

#[allow(
    clippy::cast_precision_loss,
    reason = "gauges are floating point; counts of tasks are far below 2^53"
)]
fn as_number(count: u64) -> f64 {
    count as f64
}

fn describe() {
    let counters = [
        ("tlo_tasks_submitted_total", "tasks made"),
        (
            "tlo_tasks_deduplicated_total",
            "submits whose id or key another task owned",
        ),
        ("tlo_runs_started_total", "runs claimed"),
        ("tlo_steered_total", "acts of somebody who steered"),
        ("tlo_runs_ended_total", "runs by how they ended"),
        (
            "tlo_leases_lost_total",
            "runs whose lease was lost and whose report was refused",
        ),
        (
            "tlo_runs_left_behind_total",
            "handlers that did not end in their grace",
        ),
        ("tlo_slots_total", "slots of schedules by outcome"),
        (
            "tlo_schedule_failures_total",
            "schedules that could not be served",
        ),
        ("tlo_store_failures_total", "failed calls of the store"),
    ];
    for (name, text) in counters {
        describe_counter!(name, Unit::Count, text);
    }
    describe_histogram!("tlo_wait_seconds", Unit::Seconds, "from due to claimed");
    describe_histogram!("tlo_run_seconds", Unit::Seconds, "from claimed to settled");
    describe_gauge!("tlo_tasks_waiting", Unit::Count, "pending tasks");
    describe_gauge!("tlo_tasks_running", Unit::Count, "running tasks");
    describe_gauge!(
        "tlo_oldest_ready_seconds",
        Unit::Seconds,
        "the wait of the task that has been due longest"
    );
}
