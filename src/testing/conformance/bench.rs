//! What a case works with: a fresh store, a clock to move, and short words for common steps.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::factory::StoreFactory;
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::id::{IdSource, TaskId, WorkerId};
use crate::page::PageRequest;
use crate::payload::Payload;
use crate::store::{
    ClaimRequest, Claims, Commit, Committed, Create, Effect, Guard, Lanes, Op, Patch, Refusal,
    SharedStore, StreamId, TaskFilter,
};
use crate::task::{
    Ended, LeaseRef, NewTask, Outcome, RetryPolicy, Settlement, TaskError, TaskStateRecord, decide,
};
use crate::testing::ManualClock;
use crate::timestamp::Timestamp;

/// What was seen instead of what the sentence says.
#[derive(Debug)]
pub(super) struct Failed(String);

pub(super) type CaseResult<T = ()> = Result<T, Failed>;

impl Failed {
    pub(super) fn new(seen: impl Into<String>) -> Self {
        Self(seen.into())
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self(format!("error: {error:?}"))
    }
}

/// Fails the case unless the condition holds.
macro_rules! check {
    ($holds:expr, $($seen:tt)+) => {
        if !$holds {
            return Err($crate::testing::conformance::bench::Failed::new(format!(
                "{} ({}:{})", format_args!($($seen)+), file!().rsplit('/').next().unwrap_or_default(), line!()
            )));
        }
    };
}

/// Fails the case unless both sides are equal.
macro_rules! check_eq {
    ($seen:expr, $wanted:expr) => {
        $crate::testing::conformance::bench::check_eq!($seen, $wanted, "{}", stringify!($seen))
    };
    ($seen:expr, $wanted:expr, $($what:tt)+) => {
        match (&$seen, &$wanted) {
            (seen, wanted) => $crate::testing::conformance::bench::check!(*seen == *wanted, "{}: saw {seen:?}, wanted {wanted:?}", format_args!($($what)+)),
        }
    };
}

/// Fails the case unless the value has the shape.
macro_rules! check_matches {
    ($seen:expr, $($shape:tt)+) => {
        match &$seen {
            seen => $crate::testing::conformance::bench::check!(matches!(seen, $($shape)+), "{}: saw {seen:?}, wanted {}", stringify!($seen), stringify!($($shape)+)),
        }
    };
}

pub(super) use {check, check_eq, check_matches};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MICRO: Duration = Duration::from_micros(1);
/// The lease of every claim that does not say otherwise.
pub(super) const TTL: Duration = Duration::from_secs(30);

/// How long a place may be busy after its last handle was dropped, in real time.
const REOPEN_LIMIT: Duration = Duration::from_secs(5);

pub(super) type Record = Arc<TaskStateRecord>;

pub(super) struct Bench<'a> {
    factory: &'a dyn StoreFactory,
    place: String,
    store: Mutex<Option<SharedStore>>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) ids: Arc<IdSource>,
    shrink: usize,
}

impl<'a> Bench<'a> {
    pub(super) async fn open(
        factory: &'a dyn StoreFactory,
        name: &str,
        shrink: usize,
    ) -> CaseResult<Self> {
        let bench = Self {
            factory,
            place: name.to_owned(),
            store: Mutex::new(None),
            clock: ManualClock::shared(),
            ids: Arc::new(IdSource::seeded(crate::id::stable_hash(name.as_bytes()))),
            shrink: shrink.max(1),
        };
        let store = bench.handle().await?;
        *bench.store.lock() = Some(store);
        Ok(bench)
    }

    async fn open_place(&self) -> crate::Result<SharedStore> {
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        let ids = Arc::clone(&self.ids);
        self.factory.open(&self.place, clock, ids).await
    }

    /// Opens the place once more.
    pub(super) async fn handle(&self) -> CaseResult<SharedStore> {
        Ok(self.open_place().await?)
    }

    /// Drops the store and opens its place again. A place may be busy for a moment after its last handle is gone.
    pub(super) async fn reopen(&self) -> CaseResult {
        drop(self.store.lock().take());
        let patience = SystemClock.steady().at + REOPEN_LIMIT;
        loop {
            match self.open_place().await {
                Ok(store) => {
                    *self.store.lock() = Some(store);
                    return Ok(());
                }
                Err(error) if error.is_retryable() && SystemClock.steady().at < patience => {
                    SystemClock.sleep(Duration::from_millis(1)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(super) async fn corrupt(&self, task: &str) -> CaseResult {
        Ok(self.factory.corrupt(&self.place, &id(task)?).await?)
    }

    pub(super) fn close(self) -> String {
        drop(self.store.lock().take());
        self.place
    }

    pub(super) fn store(&self) -> CaseResult<SharedStore> {
        let store = self.store.lock().clone();
        store.ok_or_else(|| Failed::new("the store is closed"))
    }

    /// A number of tasks, smaller in a shrunk run.
    pub(super) fn many(&self, full: usize) -> usize {
        (full / self.shrink).max(20)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) async fn commit(&self, commit: Commit) -> CaseResult<Committed> {
        let mut answers = self.store()?.commit(vec![commit]).await?;
        match (answers.pop(), answers.is_empty()) {
            (Some(answer), true) => Ok(answer),
            _ => Err(Failed::new("one commit did not get one answer")),
        }
    }

    /// Applies a commit that must be accepted.
    pub(super) async fn accept(&self, commit: Commit) -> CaseResult<Vec<Effect>> {
        let shown = format!("{commit:?}");
        let answer = self.commit(commit).await?;
        answer.map_err(|refusal| {
            let shown: String = shown.chars().take(200).collect();
            Failed::new(format!("refused with {refusal:?}: {shown}"))
        })
    }

    /// Applies one operation that must be accepted.
    pub(super) async fn apply(&self, op: Op) -> CaseResult<Effect> {
        let mut effects = self.accept(Commit::of([op])).await?;
        match (effects.pop(), effects.is_empty()) {
            (Some(effect), true) => Ok(effect),
            _ => Err(Failed::new("one operation did not have one effect")),
        }
    }

    /// Applies a commit that must be refused.
    pub(super) async fn refuse(&self, commit: Commit) -> CaseResult<Refusal> {
        let shown = format!("{commit:?}");
        match self.commit(commit).await? {
            Err(refusal) => Ok(refusal),
            Ok(effects) => {
                let shown: String = shown.chars().take(200).collect();
                Err(Failed::new(format!("accepted with {effects:?}: {shown}")))
            }
        }
    }

    /// Creates a task that must be new.
    pub(super) async fn add(&self, task: NewTask) -> CaseResult<u64> {
        match self.apply(create(task)).await? {
            Effect::Created { seq, .. } => Ok(seq),
            other => Err(Failed::new(format!("a create had the effect {other:?}"))),
        }
    }

    /// Creates plain tasks of these ids.
    pub(super) async fn add_all(&self, ids: &[&str]) -> CaseResult {
        for id in ids {
            self.add(task(id)?).await?;
        }
        Ok(())
    }

    /// Creates many tasks in commits of their own.
    pub(super) async fn add_many(&self, tasks: Vec<NewTask>) -> CaseResult {
        let commits = tasks.into_iter().map(|task| Commit::of([create(task)]));
        for chunk in commits.collect::<Vec<_>>().chunks(500) {
            for answer in self.store()?.commit(chunk.to_vec()).await? {
                check_matches!(answer, Ok(_));
            }
        }
        Ok(())
    }

    pub(super) async fn claims(&self, request: ClaimRequest) -> CaseResult<Claims> {
        Ok(self.store()?.claim(request).await?)
    }

    /// Claims plain tasks for a worker.
    pub(super) async fn claim(&self, worker: &str, limit: usize) -> CaseResult<Vec<Record>> {
        Ok(self.claims(request(worker, limit)?).await?.tasks)
    }

    /// Claims again and again until nothing more is to be had now. A lease that ended keeps asking for somebody to take
    /// it back; that is not for a claim to do.
    pub(super) async fn claim_all(&self, request: &ClaimRequest) -> CaseResult<Vec<Record>> {
        let mut all = Vec::new();
        for _ in 0..10_000 {
            let claims = self.claims(request.clone()).await?;
            let again = claims.next_due.is_some_and(|due| due <= claims.now);
            if claims.tasks.is_empty() && (!again || self.has_ended_leases().await?) {
                return Ok(all);
            }
            all.extend(claims.tasks);
        }
        Err(Failed::new("claims never came to an end"))
    }

    async fn has_ended_leases(&self) -> CaseResult<bool> {
        let ended = TaskFilter {
            lease_expired: true,
            ..TaskFilter::default()
        };
        let page = self.store()?.list(&ended, PageRequest::first(1)).await?;
        Ok(!page.items.is_empty())
    }

    /// Claims exactly one plain task, which must be this one.
    pub(super) async fn take(&self, id: &str) -> CaseResult<Record> {
        let mut claimed = self.claim("worker", 1).await?;
        check_eq!(names(&claimed), [id], "claimed");
        claimed.pop().ok_or_else(|| Failed::new("no task"))
    }

    /// That nothing of the plain lane is to be had now.
    pub(super) async fn check_idle(&self) -> CaseResult {
        let claimed = self.claim_all(&request("idle", 10)?).await?;
        check!(claimed.is_empty(), "claimed {:?}", names(&claimed));
        Ok(())
    }

    pub(super) async fn find(&self, task: &str) -> CaseResult<Option<TaskStateRecord>> {
        let mut found = self.store()?.get(&[id(task)?]).await?;
        Ok(found.pop().flatten())
    }

    pub(super) async fn record(&self, task: &str) -> CaseResult<TaskStateRecord> {
        let found = self.find(task).await?;
        found.ok_or_else(|| Failed::new(format!("there is no record {task}")))
    }

    /// Ends a run with `null`.
    pub(super) async fn succeed(&self, record: &TaskStateRecord) -> CaseResult {
        self.accept(settle(record, Settlement::success(Payload::null()))?)
            .await
            .map(drop)
    }

    /// Takes a lost lease back, as a reaper does.
    pub(super) async fn reap(&self, record: &TaskStateRecord) -> CaseResult<Committed> {
        self.commit(reap(record)).await
    }

    pub(super) async fn patch(&self, task: &str, patch: Patch) -> CaseResult<Committed> {
        self.commit(Commit::of([Op::Patch(id(task)?, Box::new(patch))]))
            .await
    }

    /// Sets the rule of a gate.
    pub(super) async fn rule(&self, gate: &str, rule: &str) -> CaseResult {
        let (key, value) = (format!("gate/{gate}"), Payload::parse(rule)?);
        let ttl = None;
        self.apply(Op::PutMark {
            key: key.into(),
            value,
            ttl,
        })
        .await
        .map(drop)
    }
}

pub(super) fn id(text: &str) -> CaseResult<TaskId> {
    Ok(TaskId::new(text)?)
}

pub(super) fn worker(name: &str) -> CaseResult<WorkerId> {
    Ok(WorkerId::new(name)?)
}

pub(super) fn stream(owner: &str, name: &str) -> CaseResult<StreamId> {
    Ok(StreamId::new(owner, name)?)
}

/// A plain task: name `work`, queue `default`, due now, retried after ten seconds.
pub(super) fn task(text: &str) -> CaseResult<NewTask> {
    let mut task = NewTask::new(id(text)?, "work", Payload::parse(r#"{"n":1}"#)?);
    task.retry = RetryPolicy::fixed(SECOND * 10);
    Ok(task)
}

pub(super) fn create(task: NewTask) -> Op {
    Op::Create(Box::new(Create {
        task,
        lease_to: None,
    }))
}

/// A claim of plain tasks.
pub(super) fn request(name: &str, limit: usize) -> CaseResult<ClaimRequest> {
    Ok(ClaimRequest {
        worker: worker(name)?,
        lanes: Lanes::new(["default"], ["work"]),
        limit,
        ttl: TTL,
    })
}

/// The ids of records, as text.
pub(super) fn names(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.id.as_str()).collect()
}

/// What the holder of a claimed record shows.
pub(super) fn lease(record: &TaskStateRecord) -> CaseResult<LeaseRef> {
    let lease = record.lease.as_ref();
    let missing = || Failed::new(format!("{} has no lease", record.id));
    Ok(lease.ok_or_else(missing)?.reference())
}

pub(super) fn held(record: &TaskStateRecord) -> CaseResult<Guard> {
    Ok(Guard::Held(record.id.clone(), lease(record)?))
}

/// The end of a run, under its lease.
pub(super) fn settle(record: &TaskStateRecord, settlement: Settlement) -> CaseResult<Commit> {
    Ok(Commit::of([Op::Settle(record.id.clone(), Box::new(settlement))]).when(held(record)?))
}

/// A longer lease, under the lease.
pub(super) fn extend(record: &TaskStateRecord, ttl: Duration) -> CaseResult<Commit> {
    Ok(Commit::of([Op::Extend(record.id.clone(), ttl)]).when(held(record)?))
}

/// What a reaper writes for a lost lease.
pub(super) fn reap(record: &TaskStateRecord) -> Commit {
    let settlement = decide(Ended::Lost, record, 0.0);
    Commit::of([Op::Settle(record.id.clone(), Box::new(settlement))])
        .when(Guard::Expired(record.id.clone(), record.fence))
}

/// What a run that fails with this error becomes.
pub(super) fn failure(record: &TaskStateRecord, error: &str) -> Settlement {
    let outcome = Outcome::Error(TaskError::retry(error));
    decide(Ended::Returned(outcome), record, 0.0)
}
