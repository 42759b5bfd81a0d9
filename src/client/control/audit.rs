//! Who steered what, when and why.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::error::Result;
use crate::id::TaskId;
use crate::observe::Lifecycle;
use crate::payload::Payload;
use crate::store::{Commit, NewEvent, Op, SharedStore, StreamId, TaskStateStoreExt};
use crate::timestamp::Timestamp;

/// How long audit events are kept.
pub(crate) const AUDIT_KEPT: Duration = Duration::from_secs(90 * 86_400);

/// How many of them are kept, the newest.
const AUDIT_EVENTS: u64 = 100_000;

/// One act of somebody who steered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditEvent {
    /// Its number, from 1, without gaps.
    pub number: u64,
    /// When the store recorded it.
    pub at: Timestamp,
    /// What was done, such as `cancel`, `pause` or `limit`.
    pub action: String,
    /// The rest.
    #[serde(flatten)]
    pub data: AuditData,
}

/// What an audit event says besides its time and action.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuditData {
    /// Who did it.
    pub who: Option<String>,
    /// To what: an id, `queue "mail"`, or the filter of a bulk operation.
    pub target: String,
    /// Why, in the words of who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The new value, where there is one: a queue, a priority, a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// How many tasks it changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// How many tasks refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<u64>,
    /// The record of a long bulk operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<TaskId>,
}

impl Client {
    /// The audit events, the newest first; at most `limit`, before the event of this number when one is given. They are
    /// kept for 90 days, and the newest 100,000 of them.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn audit(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditEvent>> {
        let stream = stream()?;
        let end = match before {
            Some(before) => before,
            None => self.next_number(&stream).await?,
        };
        let limit = limit.min(usize::try_from(end).unwrap_or(usize::MAX));
        let from = end.saturating_sub(limit as u64).max(1);
        let events = self.store().events(&stream, from, limit).await?;
        let mut found: Vec<AuditEvent> = events
            .into_iter()
            .filter(|event| event.number < end)
            .map(|event| AuditEvent {
                number: event.number,
                at: event.at,
                data: event.data.decode().unwrap_or_else(|_| AuditData {
                    target: event.data.to_string(),
                    ..AuditData::default()
                }),
                action: event.kind,
            })
            .collect();
        found.reverse();
        Ok(found)
    }

    /// The number that the next event will have. The port reads forward only; numbers have no gaps, so the end is found
    /// by halving.
    async fn next_number(&self, stream: &StreamId) -> Result<u64> {
        let is_there = async |number: u64| -> Result<bool> {
            Ok(!self.store().events(stream, number, 1).await?.is_empty())
        };
        let mut high = 1;
        while is_there(high).await? {
            high *= 2;
        }
        let mut low = high / 2;
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if is_there(middle).await? {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(high)
    }

    /// Tells observers of an act that was recorded.
    pub(super) fn tell_steered(&self, action: &str, data: &AuditData) {
        self.0.observers.notify(|| Lifecycle::Steered {
            action: action.to_owned(),
            target: data.target.clone(),
            who: data.who.clone().or_else(|| self.actor().map(str::to_owned)),
            why: data.why.clone(),
            to: data.to.clone(),
            count: data.count,
            refused: data.refused.unwrap_or(0),
        });
    }

    /// The operation that records an act.
    pub(super) fn note(&self, action: &str, data: AuditData) -> Result<Op> {
        let who = data.who.or_else(|| self.actor().map(str::to_owned));
        Ok(Op::Append(
            stream()?,
            vec![NewEvent {
                kind: action.to_owned(),
                key: None,
                data: Payload::of(&AuditData { who, ..data })?,
            }],
        ))
    }
}

fn stream() -> Result<StreamId> {
    StreamId::new("sys", "audit")
}

/// Removes the audit events from before an instant and those above the number that is kept, at most `limit` of them. Answers
/// whether there may be more.
pub(crate) async fn trim_audit(
    store: &SharedStore,
    before: Timestamp,
    limit: usize,
) -> Result<bool> {
    trim_to(store, before, AUDIT_EVENTS, limit).await
}

async fn trim_to(store: &SharedStore, before: Timestamp, kept: u64, limit: usize) -> Result<bool> {
    let stream = stream()?;
    // Reading begins with the first that is kept; as a rule that one is young, and nothing is to be done.
    let oldest = store.events(&stream, 1, 1).await?;
    let Some(oldest) = oldest.first() else {
        return Ok(false);
    };
    // Numbers have no gaps, so the event of this number is one too many for the oldest.
    let first_beyond = oldest.number.saturating_add(kept);
    let beyond = store.events(&stream, first_beyond, limit).await?.len();
    if beyond > 0 {
        let from = oldest.number.saturating_add(beyond as u64);
        store.apply(Commit::of([Op::Trim(stream, from)])).await?;
        return Ok(true);
    }
    if oldest.at >= before {
        return Ok(false);
    }
    let events = store.events(&stream, 1, limit).await?;
    let old = events.iter().take_while(|event| event.at < before);
    let (count, Some(last)) = (events.len(), old.last().map(|event| event.number)) else {
        return Ok(false);
    };
    let all_are_old = events.last().is_some_and(|event| event.number == last);
    store
        .apply(Commit::of([Op::Trim(stream, last + 1)]))
        .await?;
    Ok(count == limit && all_are_old)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn the_newest_are_kept() {
        let tlo = crate::TloContext::builder().build().await.unwrap();
        let client = tlo.client();
        for number in 0..10 {
            let target = AuditData {
                target: number.to_string(),
                ..AuditData::default()
            };
            let note = client.note("pause", target).unwrap();
            client.store().apply(Commit::of([note])).await.unwrap();
        }
        let store = Arc::clone(client.store());
        let trim = async || trim_to(&store, Timestamp::MIN, 4, 5).await.unwrap();
        let numbers = async || {
            let events = client.audit(None, 100).await.unwrap().into_iter();
            events.map(|event| event.number).collect::<Vec<_>>()
        };
        assert!(trim().await);
        assert_eq!(numbers().await, [10, 9, 8, 7, 6]);
        assert!(trim().await);
        assert!(!trim().await);
        assert_eq!(numbers().await, [10, 9, 8, 7]);
    }
}
