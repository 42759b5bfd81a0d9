//! Why a task is where it is: the chain of decisions that led there.

mod history;
mod reason;
mod slot;
mod waiting;
mod words;

use serde::Serialize;

pub use self::reason::Reason;
use super::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::id::TaskId;
use crate::page::{PAGE_LIMIT, PageRequest};
use crate::schedule::nearest::nearest;
use crate::store::TaskFilter;
use crate::task::{TaskStateRecord, TaskStatus};
use crate::timestamp::Timestamp;

/// The chain of decisions about a task or a slot of a schedule, the first first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Why {
    /// The id of the task, or `schedule@slot` of a slot that has none.
    pub subject: String,
    /// Where the task stands; `None` for a slot without a task.
    pub status: Option<TaskStatus>,
    /// The links of the chain: what happened in the order of time, then what it waits for or how it ended.
    pub links: Vec<WhyLink>,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WhyLink {
    /// When it was made, or when it will be; `None` when that is not known.
    pub at: Option<Timestamp>,
    /// What was decided. Its `Display` is a line for people.
    #[serde(flatten)]
    pub reason: Reason,
}

impl WhyLink {
    fn new(at: impl Into<Option<Timestamp>>, reason: Reason) -> Self {
        Self {
            at: at.into(),
            reason,
        }
    }
}

impl Client {
    /// Says why a task is where it is: who made it and when it was due, each attempt and its end, who steered it, and what
    /// it waits for, with who is in its way. Of a slot of a schedule, `name@2026-11-20T10:00:00Z`, it says what became of
    /// it; of the name of a schedule alone, what is decided about its next slot. The beginning of an id will do when only
    /// one task has it.
    ///
    /// Nothing is written to answer this later: it is read from the record, its attempts, the notes of the schedule, the
    /// rules of gates, what workers say of themselves and the audit events.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> tlo::Result<()> {
    /// use tlo::client::Reason;
    /// use tlo::prelude::*;
    /// let tlo = TloContext::builder().task(task("greet").declare()).build().await?;
    /// let greet = tlo.client().task("greet").delay(hours(1)).submit().await?;
    /// let why = tlo.client().why(greet.id().as_str()).await?;
    /// assert!(matches!(why.links[0].reason, Reason::Created { .. }));
    /// assert!(matches!(why.links[1].reason, Reason::Delayed));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `NotFound` with the nearest id or schedule, `Conflict` for a beginning that several ids have, and those of the store.
    pub async fn why(&self, subject: &str) -> Result<Why> {
        if let Some(record) = self.exactly(subject).await? {
            return self.why_record(&record).await;
        }
        let schedules = self.schedules().await?;
        if schedules.contains(subject) {
            return self.why_next_slot(subject).await;
        }
        if let Some((name, slot)) = subject.rsplit_once('@')
            && let Ok(slot) = slot.parse::<Timestamp>()
        {
            return self.why_slot(name, slot).await;
        }
        let record = self.beginning_with(subject, &schedules).await?;
        self.why_record(&record).await
    }

    async fn why_record(&self, record: &TaskStateRecord) -> Result<Why> {
        Ok(Why {
            subject: record.id.to_string(),
            status: Some(record.status),
            links: self.chain(record).await?,
        })
    }

    /// The links of a record.
    async fn chain(&self, record: &TaskStateRecord) -> Result<Vec<WhyLink>> {
        let mut links = self.history(record).await?;
        links.extend(self.present(record).await?);
        Ok(links)
    }

    async fn exactly(&self, id: &str) -> Result<Option<TaskStateRecord>> {
        match self.get(&TaskId::new(id)?).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            found => found.map(Some),
        }
    }

    async fn beginning_with(
        &self,
        text: &str,
        schedules: &std::collections::BTreeSet<String>,
    ) -> Result<TaskStateRecord> {
        let filter = TaskFilter {
            id_prefix: Some(text.to_owned()),
            ..TaskFilter::default()
        };
        let found = self.list(&filter, PageRequest::first(4)).await?.items;
        match found.as_slice() {
            [one] => self.get(&one.record.id).await,
            [] => {
                let newest = PageRequest {
                    newest_first: true,
                    ..PageRequest::first(PAGE_LIMIT)
                };
                let lately = self.list(&TaskFilter::default(), newest).await?.items;
                let ids = lately.iter().map(|item| item.record.id.as_str());
                let known = ids.chain(schedules.iter().map(String::as_str));
                let hint = match nearest(text, known, 1).first() {
                    Some(near) => format!("; did you mean \"{near}\"?"),
                    None => "; a slot of a schedule is written as name@2026-11-20T10:00:00Z".into(),
                };
                let message = format!("no task has the id \"{text}\" or one that starts so{hint}");
                Err(Error::new(ErrorKind::NotFound, "why", message))
            }
            several => {
                let ids = several.iter().map(|item| item.record.id.as_str());
                let ids = ids.collect::<Vec<_>>().join(", ");
                let message = format!("several ids start with \"{text}\": {ids}");
                Err(Error::new(ErrorKind::Conflict, "why", message))
            }
        }
    }
}
