//! Bugs that change what a caller asked for.

use tlo::store::{Change, Commit, Create, Guard, Import, NewEvent, Op};
use tlo::task::{Due, OnConflict, Settlement, UniqueScope};
use tlo::{Payload, Result, TaskStatus};

use super::{Bug, Planted};

impl Planted {
    /// Spoils the commits of a call.
    pub(super) async fn spoil(&self, commits: &mut Vec<Commit>) -> Result<()> {
        for commit in commits {
            self.spoil_guards(commit).await?;
            for op in &mut commit.ops {
                self.spoil_op(op).await?;
            }
        }
        Ok(())
    }

    async fn spoil_guards(&self, commit: &mut Commit) -> Result<()> {
        let settles = commit.ops.iter().any(|op| matches!(op, Op::Settle(..)));
        let extends = commit.ops.iter().any(|op| matches!(op, Op::Extend(..)));
        let bug = self.bug;
        commit.guards.retain(|guard| match guard {
            Guard::Held(..) if settles => bug != Bug::SettleIgnoresLease,
            Guard::Held(..) if extends => bug != Bug::ExtendIgnoresLease,
            Guard::Held(..) => bug != Bug::WritesIgnoreLease,
            Guard::Revision(..) => bug != Bug::RevisionIgnored,
            Guard::Length(..) => bug != Bug::LengthIgnored,
            Guard::Mark(..) => bug != Bug::MarksWithoutCompare,
            _ => true,
        });
        let mut kept = Vec::new();
        for guard in commit.guards.drain(..) {
            match guard {
                Guard::Expired(id, fence) if bug == Bug::TakesBackLiveLeases => {
                    let lease = self.record(&id).await?.and_then(|record| record.lease);
                    if lease.is_none_or(|lease| lease.fence != fence) {
                        kept.push(Guard::Expired(id, fence));
                    }
                }
                Guard::Expired(id, _) if bug == Bug::LeasesNeverEnd => {
                    kept.push(Guard::Expired(id, u64::MAX));
                }
                other => kept.push(other),
            }
        }
        commit.guards = kept;
        Ok(())
    }

    /// What is done instead, when that is something else.
    async fn spoil_import(&self, import: &mut Import) -> Result<Option<Op>> {
        match import {
            Import::Record(record) if self.has(Bug::ImportsForgetRuns) => record.attempts.clear(),
            Import::Record(record)
                if self.has(Bug::ImportsOverwrite) && record.status != TaskStatus::Running =>
            {
                let delete = Commit::of([Op::Delete(record.id.clone())]);
                self.inner.commit(vec![delete]).await?;
            }
            Import::Events { stream, events, .. } if self.has(Bug::ImportedEventsAppended) => {
                let new = events.drain(..).map(|event| NewEvent {
                    kind: event.kind,
                    key: event.key,
                    data: event.data,
                });
                return Ok(Some(Op::Append(stream.clone(), new.collect())));
            }
            Import::Mark(mark) if self.has(Bug::ImportedMarksNeverEnd) => mark.until = None,
            Import::Key(key) if self.has(Bug::KeysOfTheGoneFree) => {
                let free = self.record(&key.owner).await?.is_none();
                let prefix = if free { "not " } else { "" };
                key.key = format!("{prefix}{}", key.key).into();
            }
            _ => {}
        }
        Ok(None)
    }

    async fn spoil_op(&self, op: &mut Op) -> Result<()> {
        match op {
            Op::Create(create) => self.spoil_create(create).await?,
            Op::Settle(_, settlement) => self.spoil_settlement(settlement),
            Op::Patch(_, patch) if self.has(Bug::PreferenceIgnored) => {
                patch.prefer = Change::Keep;
            }
            Op::Cancel(id, _) if self.has(Bug::CancelKillsRunning) => {
                let running = self.record(id).await?;
                if running.is_some_and(|record| record.status == TaskStatus::Running) {
                    let mut killed = Settlement::release();
                    killed.status = TaskStatus::Cancelled;
                    *op = Op::Settle(id.clone(), Box::new(killed));
                }
            }
            Op::Delete(id) if self.has(Bug::DeletesRunning) => {
                let end = Op::Settle(id.clone(), Box::new(Settlement::release()));
                self.inner.commit(vec![Commit::of([end])]).await?;
            }
            Op::Append(_, events) if self.has(Bug::EventKeysIgnored) => {
                for event in events {
                    event.key = None;
                }
            }
            Op::Trim(_, before) if self.has(Bug::TrimIgnored) => *before = 0,
            Op::Import(import) => {
                if let Some(other) = self.spoil_import(import).await? {
                    *op = other;
                }
            }
            Op::PutMark { key, value, ttl } => {
                if self.has(Bug::MarksNeverEnd) {
                    *ttl = None;
                }
                let ignored = match self.bug {
                    Bug::PauseIgnored => "paused",
                    Bug::RateIgnored => "rate",
                    Bug::DepthIgnored => "max_depth",
                    _ => return Ok(()),
                };
                if key.starts_with("gate/") {
                    let mut rule: serde_json::Value = value.decode()?;
                    rule.as_object_mut().map(|rule| rule.remove(ignored));
                    *value = rule.into();
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn spoil_create(&self, create: &mut Create) -> Result<()> {
        let task = &mut create.task;
        match self.bug {
            Bug::PriorityIgnored => task.priority = 5,
            Bug::FutureTasksClaimable => task.due = Due::Now,
            Bug::VersionsIgnored => task.version = None,
            Bug::ExpiryIgnored => task.expires = None,
            Bug::LeaseAtCreationIgnored => create.lease_to = None,
            Bug::CreatesTwice => {
                let again = Commit::of([Op::Delete(task.id.clone())]);
                self.inner.commit(vec![again]).await?;
            }
            Bug::KeyTimesIgnored => {
                if let Some(unique) = &mut task.unique
                    && matches!(unique.scope, UniqueScope::For(_))
                {
                    std::sync::Arc::make_mut(unique).scope = UniqueScope::Forever;
                }
            }
            Bug::ReplaceIgnored if task.on_conflict != OnConflict::Fail => {
                task.on_conflict = OnConflict::Existing;
            }
            Bug::GatesOffByOne => {
                for gate in &mut task.gates {
                    gate.limit = gate.limit.saturating_add(1);
                }
            }
            Bug::NamesTrimmed => task.queue = task.queue.trim().into(),
            Bug::NamesFolded => task.queue = task.queue.to_lowercase().into(),
            Bug::NulDropped => {
                task.args = Payload::parse(task.args.as_str().replace("\\u0000", ""))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn spoil_settlement(&self, settlement: &mut Settlement) {
        match self.bug {
            Bug::SnoozeEatsAttempt => settlement.give_back = false,
            Bug::LossEatsAttempt => settlement.lost = false,
            Bug::HistoryDropped => settlement.end = None,
            Bug::ErrorDropped if settlement.status == TaskStatus::Pending => {
                settlement.error = None;
            }
            Bug::BackOffIgnored if settlement.error.is_some() => settlement.due = Due::Now,
            _ => {}
        }
    }
}
