//! The proof of the proof: stores with a bug, each of which the simulation must find.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tlo::store::{
    Capability, ClaimRequest, Claims, Commit, Committed, CountBy, Counts, Effect, Event, Guard,
    HintStream, Holdings, Maintain, Maintained, Mark, Op, Refusal, SharedStore, StreamId,
    TaskFilter, TaskStateStore,
};
use tlo::task::{Lease, TaskSummary};
use tlo::{Page, PageRequest, Result, TaskId, TaskStateRecord, TaskStatus, Timestamp};

macro_rules! bugs {
    ($($(#[doc = $says:literal])* $name:ident,)*) => {
        /// What is wrong with the store.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Bug {
            $($(#[doc = $says])* $name,)*
        }

        impl Bug {
            pub(crate) const ALL: &[(Self, &str)] = &[$((Self::$name, concat!($($says),*).trim_ascii()),)*];
        }
    };
}

bugs! {
    /// a run is settled by its id alone, whoever holds the lease
    SettleWithoutFence,
    /// a lease is extended by its id alone
    ExtendWithoutFence,
    /// progress is written by a holder that lost its lease
    ProgressWithoutFence,
    /// a lease is taken back while it is live
    TakesBackLiveLeases,
    /// a task that runs is given to a second worker
    ClaimsTwice,
    /// the end of a run is answered and not written
    LosesSettle,
    /// a submit is answered and not written
    LosesCreate,
    /// the result of another run is written
    MixesResults,
    /// a late settle is answered as if it had been applied
    LateSettleIsDone,
    /// the holder of a lease is told that it is lost
    HolderIsRefused,
    /// the holder of a gate stays when its run ends
    LeaksGateHolder,
    /// one more than the rule allows passes a gate
    GateTooWide,
    /// a gate that is paused lets tasks in
    PauseIgnored,
    /// rates are not looked at
    RateIgnored,
    /// a unique key is never free again
    KeyNeverFree,
    /// a unique key is looked at by nobody
    KeyIgnored,
    /// a request to cancel is answered and forgotten
    CancelForgotten,
    /// a wake is answered and forgotten
    WakeForgotten,
    /// a revival is answered and forgotten
    ReviveForgotten,
    /// cursors of schedules are set without comparing, and their runs are made under new ids
    CursorsWithoutCompare,
    /// a slot is left out and nobody says so
    SlotLost,
    /// a lost lease uses an attempt up
    LossEatsAttempt,
    /// a task is removed while it waits
    RemovesWaiting,
    /// a task is given before its time
    StartsEarly,
    /// lost leases are never found
    LostNeverFound,
}

/// A store that works, with a bug in front of it.
#[derive(Debug)]
pub(crate) struct Planted {
    inner: SharedStore,
    bug: Bug,
    calls: AtomicU64,
    claimed: Mutex<VecDeque<Arc<TaskStateRecord>>>,
}

impl Planted {
    pub(crate) fn before(inner: SharedStore, bug: Bug) -> SharedStore {
        Arc::new(Self {
            inner,
            bug,
            calls: AtomicU64::new(0),
            claimed: Mutex::default(),
        })
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == bug
    }

    /// True for each so-many-th call: a bug that is always there is found by anybody.
    fn now_and_then(&self, every: u64) -> bool {
        self.calls.fetch_add(1, Ordering::Relaxed) % every == every - 1
    }

    async fn record(&self, id: &TaskId) -> Option<TaskStateRecord> {
        let found = self.inner.get(std::slice::from_ref(id)).await;
        found.ok()?.pop().flatten()
    }

    /// Changes what is asked for. What comes back is answered without asking.
    async fn spoil(&self, commit: &mut Commit) -> Option<Committed> {
        let settles = commit.ops.iter().any(|op| matches!(op, Op::Settle(..)));
        let extends = commit.ops.iter().any(|op| matches!(op, Op::Extend(..)));
        let reports = commit.ops.iter().any(|op| matches!(op, Op::Patch(..)));
        let bug = self.bug;
        let held = |guard: &Guard| matches!(guard, Guard::Held(..));
        match bug {
            Bug::SettleWithoutFence if settles => commit.guards.retain(|guard| !held(guard)),
            Bug::ExtendWithoutFence if extends && !reports => {
                commit.guards.retain(|guard| !held(guard));
            }
            Bug::ProgressWithoutFence if extends && reports => {
                commit.guards.retain(|guard| !held(guard));
                commit.ops.retain(|op| matches!(op, Op::Patch(..)));
                let done = Effect::Status(TaskStatus::Running);
                return self
                    .inner
                    .commit(vec![commit.clone()])
                    .await
                    .ok()?
                    .pop()
                    .map(|answer| answer.map(|_| vec![done.clone(), done]));
            }
            Bug::TakesBackLiveLeases => {
                commit
                    .guards
                    .retain(|guard| !matches!(guard, Guard::Expired(..)));
            }
            Bug::LosesSettle if settles && self.now_and_then(20) => {
                let [Op::Settle(_, settlement)] = &commit.ops[..] else {
                    return None;
                };
                return Some(Ok(vec![Effect::Status(settlement.status)]));
            }
            Bug::LosesCreate => {
                if let [Op::Create(create)] = &commit.ops[..]
                    && create.task.schedule.is_none()
                    && self.now_and_then(20)
                {
                    return Some(Ok(vec![Effect::Created {
                        seq: 1,
                        leased: None,
                    }]));
                }
            }
            Bug::MixesResults => {
                for op in &mut commit.ops {
                    if let Op::Settle(_, settlement) = op
                        && settlement.result.is_some()
                        && self.now_and_then(20)
                    {
                        settlement.result = Some(serde_json::json!("of another").into());
                    }
                }
            }
            Bug::HolderIsRefused if settles && self.now_and_then(30) => {
                if let Some(Guard::Held(id, _)) = commit.guards.first() {
                    return Some(Err(Refusal::LeaseLost(id.clone())));
                }
            }
            Bug::LossEatsAttempt => {
                for op in &mut commit.ops {
                    if let Op::Settle(_, settlement) = op {
                        settlement.lost = false;
                    }
                }
            }
            Bug::CursorsWithoutCompare => {
                let guarded = commit.guards.len();
                commit
                    .guards
                    .retain(|guard| !matches!(guard, Guard::Mark(..)));
                if commit.guards.len() < guarded {
                    self.rename(commit);
                }
            }
            Bug::SlotLost => {
                if let [Op::Create(_), Op::PutMark { .. }] = &commit.ops[..]
                    && self.now_and_then(10)
                {
                    let kept = commit.ops.split_off(1);
                    let answer = self
                        .inner
                        .commit(vec![Commit {
                            ops: kept,
                            guards: commit.guards.clone(),
                        }])
                        .await;
                    return answer.ok()?.pop().map(|answer| {
                        answer.map(|effects| {
                            [
                                vec![Effect::Created {
                                    seq: 1,
                                    leased: None,
                                }],
                                effects,
                            ]
                            .concat()
                        })
                    });
                }
            }
            Bug::CancelForgotten | Bug::WakeForgotten | Bug::ReviveForgotten => {
                return self.forget(commit).await;
            }
            _ => self.spoil_rules(commit),
        }
        None
    }

    /// The runs of slots get ids of their own, as if they were not derived.
    fn rename(&self, commit: &mut Commit) {
        for op in &mut commit.ops {
            if let Op::Create(create) = op
                && create.task.slot.is_some()
            {
                let number = self.calls.fetch_add(1, Ordering::Relaxed);
                create.task.unique = None;
                create.task.id = TaskId::new(format!("run-{number}")).unwrap();
            }
        }
    }

    fn spoil_rules(&self, commit: &mut Commit) {
        for op in &mut commit.ops {
            match op {
                Op::Create(create) if self.has(Bug::KeyIgnored) => create.task.unique = None,
                Op::PutMark { key, value, .. } if key.starts_with("gate/") => {
                    let mut rule: serde_json::Value = value.decode().unwrap();
                    match (self.bug, rule.as_object_mut()) {
                        (Bug::PauseIgnored, Some(rule)) => drop(rule.remove("paused")),
                        (Bug::RateIgnored, Some(rule)) => drop(rule.remove("rate")),
                        (Bug::GateTooWide, Some(rule)) => {
                            if let Some(max) = rule.get_mut("max") {
                                *max = (max.as_u64().unwrap() + 1).into();
                            }
                        }
                        _ => continue,
                    }
                    *value = rule.into();
                }
                _ => {}
            }
        }
    }

    async fn forget(&self, commit: &Commit) -> Option<Committed> {
        let [op] = &commit.ops[..] else { return None };
        match (self.bug, op) {
            (Bug::CancelForgotten, Op::Cancel(id, _)) => {
                let running = self.record(id).await?.status == TaskStatus::Running;
                running.then(|| Ok(vec![Effect::CancelRequested]))
            }
            (Bug::WakeForgotten, Op::Wake(id)) => {
                let status = self.record(id).await?.status;
                (!status.is_terminal()).then(|| Ok(vec![Effect::Status(status)]))
            }
            (Bug::ReviveForgotten, Op::Revive(id, _)) => {
                let status = self.record(id).await?.status;
                let can = matches!(status, TaskStatus::Failed | TaskStatus::Cancelled);
                can.then(|| Ok(vec![Effect::Status(TaskStatus::Pending)]))
            }
            _ => None,
        }
    }

    /// A key of a task that has ended is taken again, by a task that nobody sees.
    async fn keep_key(&self, commit: &Commit) {
        for op in &commit.ops {
            let Op::Settle(id, _) = op else { continue };
            let Some(record) = self.record(id).await else {
                continue;
            };
            let kept = record
                .unique
                .as_ref()
                .filter(|_| record.status.is_terminal());
            if let Some(unique) = kept {
                self.occupy(id, Some(Arc::clone(unique)), Vec::new()).await;
            }
        }
    }

    /// A place of a gate is taken again, by a task that nobody sees and that runs for ever.
    async fn keep_place(&self, commit: &Commit, before: &[Option<TaskStateRecord>]) {
        for (op, before) in commit.ops.iter().zip(before) {
            let (Op::Settle(id, _), Some(before)) = (op, before) else {
                continue;
            };
            let own = before
                .gates
                .iter()
                .filter(|gate| before.holds.contains(&gate.key));
            let gates: Vec<_> = own.cloned().collect();
            if !gates.is_empty() && self.now_and_then(10) {
                self.occupy(id, None, gates).await;
            }
        }
    }

    async fn occupy(
        &self,
        id: &TaskId,
        unique: Option<Arc<tlo::task::Unique>>,
        gates: Vec<tlo::task::Gate>,
    ) {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let leak = TaskId::new(format!("leak-{number}-{id}")).unwrap();
        let mut task = tlo::task::NewTask::new(leak, "leak", tlo::Payload::null());
        task.unique = unique;
        task.gates = gates;
        let lease_to = tlo::store::LeaseTo {
            worker: tlo::WorkerId::new("leak#1").unwrap(),
            ttl: std::time::Duration::from_secs(1_000_000),
        };
        let create = tlo::store::Create {
            task,
            lease_to: Some(lease_to),
        };
        drop(
            self.inner
                .commit(vec![Commit::of([Op::Create(Box::new(create))])])
                .await,
        );
    }

    fn hides(&self, record: &TaskStateRecord) -> bool {
        record.id.as_str().starts_with("leak-")
            || (self.has(Bug::LostNeverFound) && record.status == TaskStatus::Running)
    }
}

#[async_trait::async_trait]
impl TaskStateStore for Planted {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<Committed>> {
        let mut answers = Vec::new();
        for mut commit in commits {
            if let Some(answer) = self.spoil(&mut commit).await {
                answers.push(answer);
                continue;
            }
            let mut before = Vec::new();
            if self.has(Bug::LeaksGateHolder) {
                for op in &commit.ops {
                    before.push(match op {
                        Op::Settle(id, _) => self.record(id).await,
                        _ => None,
                    });
                }
            }
            let mut answer = self.inner.commit(vec![commit.clone()]).await?;
            if answer.iter().any(Result::is_ok) {
                match self.bug {
                    Bug::KeyNeverFree => self.keep_key(&commit).await,
                    Bug::LeaksGateHolder => self.keep_place(&commit, &before).await,
                    _ => {}
                }
            }
            if let (Bug::LateSettleIsDone, Some(late @ Err(Refusal::LeaseLost(_)))) =
                (self.bug, answer.first_mut())
            {
                *late = Ok(vec![
                    Effect::Status(TaskStatus::Succeeded);
                    commit.ops.len()
                ]);
            }
            answers.append(&mut answer);
        }
        Ok(answers)
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claims> {
        let limit = request.limit;
        let mut claims = self.inner.claim(request).await?;
        if self.has(Bug::ClaimsTwice) {
            let again = self.claimed.lock().pop_front();
            if let Some(again) =
                again.filter(|_| claims.tasks.len() < limit && self.now_and_then(5))
            {
                claims.tasks.push(again);
            }
            self.claimed.lock().extend(claims.tasks.iter().cloned());
        }
        if self.has(Bug::StartsEarly) && claims.tasks.len() < limit && self.now_and_then(5) {
            claims.tasks.extend(self.too_early(claims.now).await);
        }
        if self.has(Bug::RemovesWaiting) && self.now_and_then(40) {
            let waiting = TaskFilter::status([TaskStatus::Pending]);
            let page = self.inner.list(&waiting, PageRequest::first(1)).await?;
            if let Some(first) = page.items.first() {
                let delete = Commit::of([Op::Delete(first.record.id.clone())]);
                self.inner.commit(vec![delete]).await?;
            }
        }
        Ok(claims)
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<TaskStateRecord>>> {
        self.inner.get(ids).await
    }

    async fn list(&self, filter: &TaskFilter, page: PageRequest) -> Result<Page<TaskSummary>> {
        let mut filter = filter.clone();
        if filter.lease_expired && self.has(Bug::TakesBackLiveLeases) {
            filter = TaskFilter::status([TaskStatus::Running]);
        }
        let mut found = self.inner.list(&filter, page).await?;
        if filter.lease_expired || self.has(Bug::LeaksGateHolder) || self.has(Bug::KeyNeverFree) {
            found.items.retain(|item| !self.hides(&item.record));
        }
        Ok(found)
    }

    async fn count(&self, filter: &TaskFilter, by: CountBy, limit: usize) -> Result<Counts> {
        self.inner.count(filter, by, limit).await
    }

    async fn events(&self, stream: &StreamId, from: u64, limit: usize) -> Result<Vec<Event>> {
        self.inner.events(stream, from, limit).await
    }

    async fn marks(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Mark>> {
        self.inner.marks(prefix, after, limit).await
    }

    async fn holdings(&self, after: Option<&str>, limit: usize) -> Result<Holdings> {
        self.inner.holdings(after, limit).await
    }

    async fn maintain(&self, request: Maintain) -> Result<Maintained> {
        self.inner.maintain(request).await
    }

    fn hints(&self) -> HintStream {
        self.inner.hints()
    }
}

impl Planted {
    /// A task that is due later, leased now.
    async fn too_early(&self, now: Timestamp) -> Option<Arc<TaskStateRecord>> {
        let waiting = TaskFilter::status([TaskStatus::Pending]);
        let page = self
            .inner
            .list(&waiting, PageRequest::first(50))
            .await
            .ok()?;
        let item = page
            .items
            .into_iter()
            .find(|item| item.record.run_at > now)?;
        let mut early = item.record;
        early.fence += 1;
        early.attempt += 1;
        early.leases += 1;
        early.status = TaskStatus::Running;
        early.lease = Some(Lease {
            worker: tlo::WorkerId::new("early#1").ok()?,
            until: early.run_at,
            fence: early.fence,
            token: tlo::LeaseToken::from_u128(7),
            ends: None,
        });
        Some(Arc::new(early))
    }
}
