//! The port, with a bug.

use std::sync::Arc;
use std::time::Duration;

use tlo::store::{
    Capability, ClaimRequest, Claims, Commit, Committed, CountBy, Counts, Effect, Event,
    HintStream, Holdings, Maintain, Maintained, Mark, Op, Refusal, StreamId, TaskFilter,
    TaskStateStore,
};
use tlo::task::TaskSummary;
use tlo::{
    Cursor, Page, PageRequest, Payload, Result, TaskId, TaskStateRecord, TaskStatus, Timestamp,
};

use super::{Bug, Planted};

#[async_trait::async_trait]
impl TaskStateStore for Planted {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn commit(&self, mut commits: Vec<Commit>) -> Result<Vec<Committed>> {
        self.spoil(&mut commits).await?;
        let before = self.snapshot(&commits).await?;
        let mut answers = match self.bug {
            Bug::CommitNotAtomic => self.piecemeal(&commits).await?,
            Bug::RefusalStopsTheBatch => self.until_refused(&commits).await?,
            Bug::KeysByQuery => self.keys_by_query(&commits).await?,
            Bug::PayloadLimitTooSmall => self.small_payloads(&commits).await?,
            _ => self.inner.commit(commits.clone()).await?,
        };
        self.ruin(&commits, &mut answers, before);
        Ok(answers)
    }

    async fn claim(&self, mut request: ClaimRequest) -> Result<Claims> {
        let limit = request.limit;
        match self.bug {
            Bug::ClaimsBeyondLimit => request.limit += 1,
            Bug::AliasesIgnored => request.lanes.aliases = Arc::default(),
            Bug::QueuesReversed => request.lanes.queues.reverse(),
            Bug::NamesIgnored => {
                let mut names = (*request.lanes.names).clone();
                names.insert((Arc::from("other"), None));
                request.lanes.names = Arc::new(names);
            }
            _ => {}
        }
        let mut claims = self.inner.claim(request).await?;
        let ids: Vec<_> = claims.tasks.iter().map(|task| &task.id).collect();
        self.ruin_claimed(&ids);
        match self.bug {
            Bug::LastInFirstOut => claims.tasks.reverse(),
            Bug::NextDueMissing => claims.next_due = None,
            Bug::NextDueTooLate => {
                let hour = Duration::from_secs(3600);
                claims.next_due = claims.next_due.map(|due| due.saturating_add(hour));
            }
            Bug::Redelivers => {
                let known = std::mem::take(&mut self.memory.lock().claimed);
                for task in &known {
                    let now = self.record(&task.id).await?;
                    let runs = now.is_some_and(|now| now.status == TaskStatus::Running);
                    if runs && claims.tasks.len() < limit {
                        claims.tasks.push(Arc::clone(task));
                    }
                }
                self.memory.lock().claimed.clone_from(&claims.tasks);
            }
            _ => {}
        }
        Ok(claims)
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<TaskStateRecord>>> {
        let mut found = self.inner.get(ids).await?;
        match self.bug {
            Bug::PayloadsTidiedUp => {
                for record in found.iter_mut().flatten() {
                    if let Ok(value) = record.args.decode::<serde_json::Value>() {
                        record.args = value.into();
                    }
                }
            }
            Bug::TimesCut => {
                let cut = |at: Timestamp| Timestamp::from_micros(at.as_millis() * 1_000);
                for record in found.iter_mut().flatten() {
                    record.run_at = cut(record.run_at);
                }
            }
            Bug::StaleReads => {
                let mut memory = self.memory.lock();
                for (id, record) in ids.iter().zip(&mut found) {
                    let first = memory.read.entry(id.clone()).or_insert(record.clone());
                    record.clone_from(first);
                }
            }
            _ => {}
        }
        Ok(found)
    }

    async fn list(&self, filter: &TaskFilter, mut page: PageRequest) -> Result<Page<TaskSummary>> {
        let mut filter = filter.clone();
        match self.bug {
            Bug::TagFilterIgnored => filter.tag = None,
            Bug::TimeFilterIgnored => filter.created_before = None,
            Bug::NewestFirstIgnored => page.newest_first = false,
            Bug::EndedFilterIgnored if filter.lease_expired => {
                filter.lease_expired = false;
                filter.status = vec![TaskStatus::Running];
            }
            _ => {}
        }
        let mut found = self.inner.list(&filter, page).await?;
        let step = if page.newest_first { -1_i64 } else { 1 };
        match self.bug {
            Bug::ListsSkip => {
                found.next = found
                    .next
                    .map(|Cursor(seq)| Cursor(seq.saturating_add_signed(step)));
            }
            Bug::ListsRepeat => {
                found.next = found
                    .next
                    .map(|Cursor(seq)| Cursor(seq.saturating_add_signed(-step)));
            }
            Bug::LeasesNeverEnd if filter.lease_expired => found.items.clear(),
            _ => {}
        }
        Ok(found)
    }

    async fn count(&self, filter: &TaskFilter, by: CountBy, limit: usize) -> Result<Counts> {
        let mut counts = self.inner.count(filter, by, limit).await?;
        let deleted = self.memory.lock().deleted;
        if let Some(n) = counts.groups.values_mut().next() {
            *n += deleted;
        }
        Ok(counts)
    }

    async fn events(&self, stream: &StreamId, from: u64, limit: usize) -> Result<Vec<Event>> {
        let mut events = self.inner.events(stream, from, limit).await?;
        match self.bug {
            Bug::EventsFromZero => events.iter_mut().for_each(|event| event.number -= 1),
            Bug::EventLost => events.retain(|event| event.number != 2),
            _ => {}
        }
        Ok(events)
    }

    async fn marks(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Mark>> {
        let mut marks = self.inner.marks(prefix, after, limit).await?;
        if self.has(Bug::MarksUnordered) && marks.len() > 1 {
            marks.swap(0, 1);
        }
        Ok(marks)
    }

    async fn holdings(&self, after: Option<&str>, limit: usize) -> Result<Holdings> {
        let mut page = self.inner.holdings(after, limit).await?;
        if self.has(Bug::HoldingsIncomplete) && after.is_some() {
            page.items.pop();
        }
        Ok(page)
    }

    async fn maintain(&self, mut request: Maintain) -> Result<Maintained> {
        let remove = match self.bug {
            Bug::RetentionRemovesWaiting => vec![TaskStatus::Pending],
            Bug::RetentionRemovesChildren => vec![TaskStatus::Cancelled],
            _ => Vec::new(),
        };
        if self.has(Bug::UpkeepIgnoresLimit) {
            request.limit = 1_000_000;
        }
        let mut done = self.inner.maintain(request).await?;
        if !remove.is_empty() {
            let page = PageRequest::first(1_000);
            for item in self
                .inner
                .list(&TaskFilter::status(remove), page)
                .await?
                .items
            {
                let delete = Commit::of([Op::Delete(item.record.id)]);
                self.inner.commit(vec![delete]).await?;
                done.removed += 1;
            }
        }
        Ok(done)
    }

    fn hints(&self) -> HintStream {
        if self.has(Bug::HintsNeverSent) {
            self.silent.subscribe()
        } else {
            self.inner.hints()
        }
    }
}

impl Planted {
    /// Each operation in a commit of its own, the guards with the first.
    async fn piecemeal(&self, commits: &[Commit]) -> Result<Vec<Committed>> {
        let mut answers = Vec::new();
        for commit in commits {
            let mut effects = Vec::new();
            let mut refused = None;
            let mut guards = commit.guards.clone();
            for op in &commit.ops {
                let mut one = Commit::of([op.clone()]);
                one.guards = std::mem::take(&mut guards);
                match self.inner.commit(vec![one]).await?.remove(0) {
                    Ok(mut done) => effects.append(&mut done),
                    Err(refusal) => {
                        refused = Some(refusal);
                        break;
                    }
                }
            }
            answers.push(refused.map_or(Ok(effects), Err));
        }
        Ok(answers)
    }

    async fn until_refused(&self, commits: &[Commit]) -> Result<Vec<Committed>> {
        let mut answers: Vec<Committed> = Vec::new();
        for commit in commits {
            let answer = match answers.last() {
                Some(Err(refusal)) => Err(refusal.clone()),
                _ => self.inner.commit(vec![commit.clone()]).await?.remove(0),
            };
            answers.push(answer);
        }
        Ok(answers)
    }

    /// Looks for the owner of a key, and then creates: another caller comes in between.
    async fn keys_by_query(&self, commits: &[Commit]) -> Result<Vec<Committed>> {
        let mut commits = commits.to_vec();
        if let [commit] = &mut commits[..]
            && let [Op::Create(create)] = &mut commit.ops[..]
            && let Some(unique) = create.task.unique.take()
        {
            let owner = self.memory.lock().keys.get(&*unique.key).cloned();
            tokio::task::yield_now().await;
            if let Some(id) = owner
                && let Some(record) = self.record(&id).await?
                && !record.status.is_terminal()
            {
                let status = record.status;
                return Ok(vec![Ok(vec![Effect::Existing { id, status }])]);
            }
            let id = create.task.id.clone();
            self.memory.lock().keys.insert(unique.key.to_string(), id);
        }
        self.inner.commit(commits).await
    }

    async fn small_payloads(&self, commits: &[Commit]) -> Result<Vec<Committed>> {
        let large = |payload: &Payload| payload.as_str().len() > 64 * 1024;
        let mut answers = Vec::new();
        for commit in commits {
            let refused = commit.ops.iter().any(|op| match op {
                Op::Create(create) => large(&create.task.args),
                Op::PutMark { value, .. } => large(value),
                _ => false,
            });
            answers.push(if refused {
                let why = "the limit is 1048576".to_owned();
                Err(Refusal::TooLarge(why))
            } else {
                self.inner.commit(vec![commit.clone()]).await?.remove(0)
            });
        }
        Ok(answers)
    }
}
