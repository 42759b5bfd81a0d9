//! Saying that a worker lives, where others can see it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::WorkerParts;
use crate::client::{WORKER_MARK, WorkerInfo};
use crate::payload::Payload;
use crate::store::{Commit, Lanes, Op, TaskStateStoreExt};

/// How often a worker on a shared store says that it lives, and how long that is believed.
pub(super) const EVERY: Duration = Duration::from_secs(30);
const BELIEVED: Duration = Duration::from_secs(90);

/// How long a worker that stops waits for the store to take its mark away; it goes away by itself as well.
const PARTING: Duration = Duration::from_secs(1);

/// When a worker said so last.
#[derive(Debug)]
pub(super) struct Presence {
    /// Other processes see the store.
    shared: bool,
    /// On the steady clock.
    said_at: Option<Duration>,
}

impl Presence {
    pub(super) const fn new(shared: bool) -> Self {
        Self {
            shared,
            said_at: None,
        }
    }

    /// How long until it is time again; `None` on a store that nobody else sees.
    pub(super) fn due_in(&self, now: Duration) -> Option<Duration> {
        if !self.shared {
            return None;
        }
        Some(
            self.said_at
                .map_or(Duration::ZERO, |at| (at + EVERY).saturating_sub(now)),
        )
    }

    /// Says that the worker lives and what it knows, when it is time.
    pub(super) async fn say(&mut self, parts: &WorkerParts, lanes: &Lanes, now: Duration) {
        if self.due_in(now) != Some(Duration::ZERO) {
            return;
        }
        self.said_at = Some(now);
        let info = WorkerInfo {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            queues: parts.options.queues.clone(),
            names: lanes
                .names
                .iter()
                .map(|(name, _)| name.to_string())
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
            versions: Some(versions(lanes)),
            concurrency: parts.options.concurrency,
        };
        let said = match Payload::of(&info) {
            Ok(value) => {
                parts
                    .store
                    .put_mark(&key(parts), value, None, Some(BELIEVED))
                    .await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = said {
            tracing::debug!(%error, "the worker could not say that it lives");
        }
    }

    /// Takes it back.
    pub(super) async fn leave(&self, parts: &WorkerParts) {
        if self.said_at.is_none() {
            return;
        }
        let gone = Commit::of([Op::DropMark(key(parts).into())]);
        tokio::select! {
                biased;
            _ = parts.store.apply(gone) => {}
            () = parts.clock.sleep(PARTING) => {}
        }
    }
}

/// The versions of each name that has any.
fn versions(lanes: &Lanes) -> BTreeMap<String, BTreeSet<String>> {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, version) in lanes.names.iter() {
        if let Some(version) = version {
            versions
                .entry(name.to_string())
                .or_default()
                .insert(version.to_string());
        }
    }
    versions
}

fn key(parts: &WorkerParts) -> String {
    format!("{WORKER_MARK}{}", parts.id)
}
