//! [`TaskContext`]: what a handler knows about its run.

use std::any::{Any, type_name};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::blocking::BlockingPool;
use super::extensions::Extensions;
use super::interruption::Interruption;
use super::log::{LogBatch, RunLog};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{TaskId, WorkerId};
use crate::payload::{PAYLOAD_LIMIT, Payload};
use crate::task::{LineLevel, LogLine, TaskError, TaskStateRecord};
use crate::timestamp::Timestamp;

/// What all runs of a worker share.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// The shared state of the program.
    pub extensions: Extensions,
    /// Where handlers without `async` run.
    pub blocking: BlockingPool,
    /// The largest result and the largest report of progress, in bytes of JSON; 1 MiB unless given, which stores refuse to
    /// pass.
    pub payload_limit: usize,
}

impl Default for Surroundings {
    /// The clock of this machine, no shared state, and a blocking pool of the default size.
    fn default() -> Self {
        Self {
            clock: SystemClock::shared(),
            extensions: Extensions::default(),
            blocking: BlockingPool::default(),
            payload_limit: PAYLOAD_LIMIT,
        }
    }
}

/// What a handler knows about the run it is in, and how it talks back. Cloning it is cheap; all clones are the same run.
///
/// ```
/// use tlo::prelude::*;
/// async fn import(context: TaskContext, rows: Vec<String>) -> TaskResult<usize> {
///     for (done, _row) in rows.iter().enumerate() {
///         if context.is_cancelled() {
///             return Err(context.interrupted());
///         }
///         context.progress(done)?;
///     }
///     Ok(rows.len())
/// }
/// # let _ = task("import").run(import);
/// ```
#[derive(Clone)]
pub struct TaskContext {
    run: Arc<Run>,
    extensions: Extensions,
}

struct Run {
    record: Arc<TaskStateRecord>,
    worker: WorkerId,
    /// Made when somebody first wants it: most runs end before that.
    cancellation: OnceLock<CancellationToken>,
    interruption: AtomicU8,
    left_behind: AtomicBool,
    /// In microseconds.
    needed_grace: AtomicU64,
    progress: Mutex<Reports>,
    log: RunLog,
    /// Rung when there is something to write of a run that had nothing.
    bell: Option<Arc<Notify>>,
    /// Set when the run begins: one that is leased ahead waits for its place before.
    deadline: OnceLock<Timestamp>,
    /// On the steady clock.
    begun_at: OnceLock<Duration>,
    surroundings: Arc<Surroundings>,
}

/// What a run reported of how far it is.
#[derive(Default)]
struct Reports {
    latest: Option<Payload>,
    /// On its way: whether it was written is not known yet.
    sent: Option<Payload>,
}

impl TaskContext {
    /// The context of a run of `record` by `worker`. The timeout of the record counts from now.
    ///
    /// Workers call this; tests of handlers use [`for_test`](Self::for_test) or
    /// [`TaskContextBuilder`](super::TaskContextBuilder).
    #[must_use]
    pub fn new(
        record: Arc<TaskStateRecord>,
        worker: WorkerId,
        cancellation: CancellationToken,
        surroundings: Arc<Surroundings>,
    ) -> Self {
        let token = OnceLock::from(cancellation);
        let context = Self::with_token(record, worker, token, surroundings, None);
        let _ = context.deadline();
        context
    }

    /// The same with a token of its own, and a bell that is rung when the run has said something.
    pub(crate) fn of_run(
        record: Arc<TaskStateRecord>,
        worker: WorkerId,
        surroundings: Arc<Surroundings>,
        bell: Arc<Notify>,
    ) -> Self {
        Self::with_token(record, worker, OnceLock::new(), surroundings, Some(bell))
    }

    fn with_token(
        record: Arc<TaskStateRecord>,
        worker: WorkerId,
        cancellation: OnceLock<CancellationToken>,
        surroundings: Arc<Surroundings>,
        bell: Option<Arc<Notify>>,
    ) -> Self {
        let extensions = surroundings.extensions.clone();
        Self {
            run: Arc::new(Run {
                record,
                worker,
                cancellation,
                interruption: AtomicU8::new(0),
                left_behind: AtomicBool::new(false),
                needed_grace: AtomicU64::new(0),
                progress: Mutex::default(),
                begun_at: OnceLock::new(),
                log: RunLog::default(),
                bell,
                deadline: OnceLock::new(),
                surroundings,
            }),
            extensions,
        }
    }

    /// A context for calling a handler in a test: the first attempt of a task of this name, on the clock of this
    /// machine, with no shared state. [`TaskContextBuilder`](super::TaskContextBuilder) gives more.
    #[must_use]
    pub fn for_test(name: &str) -> Self {
        super::TaskContextBuilder::new(name).build()
    }

    /// The id of the task: the same in every attempt, so a good key for calls that must have their effect once.
    #[must_use]
    pub fn id(&self) -> &TaskId {
        &self.run.record.id
    }

    /// The name the task was submitted under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.run.record.name
    }

    /// The number of this run, from 1. A run that snoozed or was handed back gave its number to the next one.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.run.record.attempt
    }

    /// The total number of attempts the task has.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.run.record.max_attempts
    }

    /// A number that grows with every lease of the task, in Redis by more than one once another server took over; a system
    /// that remembers the greatest it saw can refuse what a stale run still sends.
    #[must_use]
    pub fn fence(&self) -> u64 {
        let record = &self.run.record;
        record
            .lease
            .as_ref()
            .map_or(record.fence, |lease| lease.fence)
    }

    /// The slot of the schedule that this run is for.
    #[must_use]
    pub fn slot(&self) -> Option<Timestamp> {
        self.run.record.slot
    }

    /// The recurring task that this run is an occurrence of.
    #[must_use]
    pub fn schedule(&self) -> Option<&str> {
        self.run.record.schedule.as_deref()
    }

    /// What the submitter sent along, `traceparent` among it.
    #[must_use]
    pub fn headers(&self) -> &BTreeMap<String, String> {
        &self.run.record.headers
    }

    /// The record as it was claimed.
    #[must_use]
    pub fn record(&self) -> &Arc<TaskStateRecord> {
        &self.run.record
    }

    /// The worker that runs it.
    #[must_use]
    pub fn worker(&self) -> &WorkerId {
        &self.run.worker
    }

    /// The token that is cancelled when the run should end.
    #[must_use]
    pub fn cancellation(&self) -> &CancellationToken {
        self.run.cancellation.get_or_init(CancellationToken::new)
    }

    /// Whether the run should end.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        let token = self.run.cancellation.get();
        token.is_some_and(CancellationToken::is_cancelled)
    }

    /// Notes that the run begins.
    pub(crate) fn begin(&self) {
        let _ = self.run.begun_at.set(self.clock().steady().at);
    }

    /// How long ago the run began.
    pub(crate) fn ran_for(&self) -> Duration {
        let begun_at = self.run.begun_at.get();
        begun_at.map_or(Duration::ZERO, |at| {
            self.clock().steady().at.saturating_sub(*at)
        })
    }

    /// Waits until the run should end.
    pub async fn cancelled(&self) {
        self.cancellation().cancelled().await;
    }

    /// Asks the run to end. The first reason stays.
    pub fn interrupt(&self, why: Interruption) {
        let _ = self.run.interruption.compare_exchange(
            0,
            why.code(),
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        self.cancellation().cancel();
    }

    /// Why the run should end; `None` while it need not.
    #[must_use]
    pub fn interruption(&self) -> Option<Interruption> {
        if !self.is_cancelled() {
            return None;
        }
        let code = self.run.interruption.load(Ordering::Acquire);
        // Whoever cancels the token itself, without a reason, means the plain one.
        Some(Interruption::from_code(code).unwrap_or(Interruption::Cancelled))
    }

    /// Notes that the run ends without its handler, which did not end in its grace.
    pub(crate) fn leave_behind(&self) {
        self.run.left_behind.store(true, Ordering::Release);
    }

    pub(crate) fn is_left_behind(&self) -> bool {
        self.run.left_behind.load(Ordering::Acquire)
    }

    /// The error to return when giving up because the run should end: see [`Interruption::error`].
    #[must_use]
    pub fn interrupted(&self) -> TaskError {
        self.interruption()
            .unwrap_or(Interruption::Cancelled)
            .error()
    }

    /// Says that the run needs this long to clean up after it is asked to end, before it is dropped. It may say so when it
    /// has been asked already; the time counts from when it was asked.
    pub fn need_grace(&self, grace: Duration) {
        let micros = u64::try_from(grace.as_micros()).unwrap_or(u64::MAX);
        self.run.needed_grace.store(micros, Ordering::Release);
    }

    /// How long the run said that it needs to clean up; zero when it said nothing. Who drops a run waits this long.
    #[must_use]
    pub fn needed_grace(&self) -> Duration {
        Duration::from_micros(self.run.needed_grace.load(Ordering::Acquire))
    }

    /// Waits as long as a run that was asked to end may take: so long at least, and longer when it says so, before or
    /// meanwhile. All of it counts from the first call.
    pub(crate) async fn grace_is_over(&self, least: Duration) {
        let mut waited = Duration::ZERO;
        loop {
            let grace = least.max(self.needed_grace());
            if waited >= grace {
                return;
            }
            self.clock().sleep(grace.saturating_sub(waited)).await;
            waited = grace;
        }
    }

    /// The shared value of this type, if the program gave one.
    #[must_use]
    pub fn state<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.extensions.get()
    }

    /// The shared value of this type.
    ///
    /// # Errors
    /// `NotFound`, naming the type, how to give it, and the types that are there.
    pub fn get<T: Any + Send + Sync>(&self) -> Result<Arc<T>> {
        self.state().ok_or_else(|| {
            let known = self.extensions.types().join(", ");
            let known = if known.is_empty() {
                "none".to_owned()
            } else {
                known
            };
            Error::new(
                ErrorKind::NotFound,
                "shared state",
                format!(
                    "no shared state of type {}; give it to the context builder with .state(…) (there is: {known})",
                    type_name::<T>()
                ),
            )
        })
    }

    /// All shared values.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// The same run with one more shared value; for layers that give their handlers something.
    #[must_use]
    pub fn with<T: Any + Send + Sync>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    pub(crate) fn payload_limit(&self) -> usize {
        self.run.surroundings.payload_limit
    }

    /// Reports how far the run is: any JSON. Only the latest report is kept; the worker writes it with its next
    /// heartbeat, so calling this often costs little.
    ///
    /// # Errors
    /// `Invalid` when the value has no JSON form, `TooLarge` when it has more than the limit of payloads, 1 MiB unless set
    /// lower.
    pub fn progress(&self, progress: impl Serialize) -> Result<()> {
        let payload = Payload::of(&progress)?;
        payload.check_size("progress", self.payload_limit())?;
        self.run.progress.lock().latest = Some(payload);
        Ok(())
    }

    /// The latest report that was not taken yet; for workers.
    #[must_use]
    pub fn take_progress(&self) -> Option<Payload> {
        let mut reports = self.run.progress.lock();
        let latest = reports.latest.take();
        if latest.is_some() {
            reports.sent.clone_from(&latest);
        }
        latest
    }

    /// The latest report that is not known to be written, at the end of the run.
    pub(crate) fn last_progress(&self) -> Option<Payload> {
        let mut reports = self.run.progress.lock();
        let sent = reports.sent.take();
        reports.latest.take().or(sent)
    }

    /// Gives back a report that could not be written, unless there is a later one, which may be on its way or written; for
    /// workers.
    pub(crate) fn return_progress(&self, report: Option<Payload>) {
        let mut reports = self.run.progress.lock();
        if reports.latest.is_none() && reports.sent == report {
            reports.latest = report;
        }
    }

    /// What was taken is not on its way any more: it was written, or the store does not take it.
    pub(crate) fn forget_sent(&self, report: Option<&Payload>, log: &[LogBatch]) {
        if report.is_some() {
            let mut reports = self.run.progress.lock();
            if reports.sent.as_ref() == report {
                reports.sent = None;
            }
        }
        if !log.is_empty() {
            self.run.log.forget(log);
        }
    }

    /// Adds a line to the log of the run, which [`Client::log`](crate::Client::log) and `tlo logs` read. The worker writes
    /// lines within about a second, many at once, and the last ones with the end of the run. A run keeps 256 KiB of them, a
    /// line 16 KiB; what was dropped is said at the end.
    ///
    /// A run that lost its lease, or was left behind, writes nothing any more.
    ///
    /// What handlers say with `tracing` goes the same way where the program's subscriber has
    /// `tlo::observe::CaptureLogs` (feature `log-capture`); `tlo run` has it.
    pub fn log(&self, text: impl Into<String>) {
        self.log_at(LineLevel::Info, text);
    }

    /// The same of another level than `info`.
    pub fn log_at(&self, level: LineLevel, text: impl Into<String>) {
        let is_first = self.run.log.push(self.clock().now(), level, text.into());
        if is_first && let Some(bell) = &self.run.bell {
            bell.notify_one();
        }
    }

    /// The lines that wait to be written, for tests of handlers.
    #[must_use]
    pub fn logged(&self) -> Vec<LogLine> {
        self.run.log.lines()
    }

    pub(crate) fn has_log(&self) -> bool {
        self.run.log.is_waiting()
    }

    pub(crate) fn take_log(&self) -> Vec<LogBatch> {
        self.run.log.take()
    }

    pub(crate) fn return_log(&self, batches: Vec<LogBatch>) {
        if !batches.is_empty() {
            self.run.log.give_back(batches);
        }
    }

    /// The last lines of the run; it says nothing any more.
    pub(crate) fn close_log(&self) -> Vec<LogBatch> {
        self.run.log.close(|| self.clock().now())
    }

    /// Where time comes from; handlers that wait should wait on it, so that tests can move time.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.run.surroundings.clock
    }

    /// When the timeout ends the run; `None` without a timeout. It counts from the moment that the handler began, not from
    /// the lease.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let timeout = self.run.record.timeout?;
        let begins = || self.clock().now().saturating_add(timeout);
        Some(*self.run.deadline.get_or_init(begins))
    }

    /// Where handlers without `async` run.
    #[must_use]
    pub fn blocking(&self) -> &BlockingPool {
        &self.run.surroundings.blocking
    }
}

impl fmt::Debug for TaskContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskContext")
            .field("id", self.id())
            .field("name", &self.name())
            .field("attempt", &self.attempt())
            .field("interruption", &self.interruption())
            .finish_non_exhaustive()
    }
}
