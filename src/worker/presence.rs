//! Saying that a worker lives, where others can see it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::WorkerParts;
use crate::client::{Declaration, WORKER_MARK, WorkerInfo};
use crate::error::Result;
use crate::payload::Payload;
use crate::store::{Commit, Lanes, Op, TaskStateStoreExt};

/// How often a worker on a shared store says that it lives, and how long that is believed.
pub(super) const EVERY: Duration = Duration::from_secs(30);
const BELIEVED: Duration = Duration::from_secs(90);

/// How long a worker that stops waits for the store to take its mark away; it goes away by itself as well.
const PARTING: Duration = Duration::from_secs(1);

/// How long until it tries again to declare what it could not.
const PAUSE: Duration = Duration::from_secs(1);

/// When a worker said so last. All times are on the steady clock.
#[derive(Debug)]
pub(super) struct Presence {
    /// Other processes see the store.
    shared: bool,
    said_at: Option<Duration>,
    /// Until when others believe what was said last.
    believed_until: Option<Duration>,
    /// Its limits were put in force, as far as they can be.
    declared: bool,
    /// It was not heard of for longer than it is believed, and has not put back what others took away meanwhile.
    returns: bool,
    /// Until when it leaves alone what others declared: they may not have been able to say that they live, either.
    waits_until: Duration,
    /// It has limits of its own, and not only to look whether others left some behind.
    has_limits: bool,
    /// What it declares, of the targets as their rules are kept, since the registry told.
    resolved: Option<Declaration>,
}

impl Presence {
    pub(super) fn new(shared: bool, declares: &Declaration) -> Self {
        Self {
            shared,
            said_at: None,
            believed_until: None,
            declared: declares.by.is_empty() && declares.limits.is_empty(),
            returns: false,
            waits_until: Duration::ZERO,
            has_limits: !declares.limits.is_empty(),
            resolved: None,
        }
    }

    /// How long until it is time again; `None` when there is nothing to say any more: nobody else sees the store.
    pub(super) fn due_in(&self, now: Duration) -> Option<Duration> {
        let every = match (self.declared, self.shared) {
            (false, _) => PAUSE,
            (true, true) => EVERY,
            (true, false) => return None,
        };
        Some(
            self.said_at
                .map_or(Duration::ZERO, |at| (at + every).saturating_sub(now)),
        )
    }

    /// Whether it may claim: the limits that it declares hold.
    pub(super) fn lets_claim(&self) -> bool {
        self.declared || !self.has_limits
    }

    /// Says that the worker lives, what it knows and what it declares, when it is time.
    pub(super) async fn say(&mut self, parts: &WorkerParts, lanes: &Lanes, now: Duration) {
        if self.due_in(now) != Some(Duration::ZERO) {
            return;
        }
        self.said_at = Some(now);
        match self.try_to_say(parts, lanes, now).await {
            Ok(()) => {}
            Err(error) if self.declared => {
                tracing::debug!(%error, "the worker could not say that it lives");
            }
            Err(error) => {
                tracing::warn!(%error, "the limits that this process declares could not be put in force");
                if !error.is_retryable() {
                    (self.returns, self.declared) = (false, true);
                }
            }
        }
    }

    async fn try_to_say(
        &mut self,
        parts: &WorkerParts,
        lanes: &Lanes,
        now: Duration,
    ) -> Result<()> {
        let resolved = match self.resolved.take() {
            Some(resolved) => Ok(resolved),
            None => {
                let declares = &parts.options.declares;
                parts.client.resolved_declaration(declares).await
            }
        };
        self.resolved = resolved.as_ref().ok().cloned();
        if self.shared {
            // While the registry does not tell, the worker is seen all the same, with what it declares as it is written.
            let declares = resolved.as_ref().unwrap_or(&parts.options.declares);
            let value = Payload::of(&info(parts, lanes, declares))?;
            let ttl = Some(BELIEVED);
            parts.store.put_mark(&key(parts), value, None, ttl).await?;
            // Others may have taken back what one declared that they did not believe in any more.
            if self.believed_until.is_some_and(|until| until < now) {
                self.waits_until = now + EVERY + EVERY;
                self.returns |= self.declared;
                self.declared = false;
            }
            self.believed_until = Some(now + BELIEVED);
        }
        let declares = resolved?;
        if self.returns {
            parts.client.declare_what_is_missing(&declares).await?;
            (self.returns, self.declared) = (false, true);
        }
        if self.declared {
            if now < self.waits_until {
                return Ok(());
            }
            return parts.client.keep_declared(&declares).await;
        }
        for target in parts.client.declare(&declares).await? {
            tracing::warn!(
                "the limits that somebody set for the {target} hold, not those that {} declares; `tlo limit {} {} --clear` \
                 takes them away; start this process again then, for those declared to hold",
                declares.by,
                target.kind(),
                target.name(),
            );
        }
        self.declared = true;
        Ok(())
    }

    /// Takes it back. What it declared stays until somebody lives who says otherwise.
    pub(super) async fn leave(&self, parts: &WorkerParts) {
        if self.believed_until.is_none() {
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

fn info(parts: &WorkerParts, lanes: &Lanes, declares: &Declaration) -> WorkerInfo {
    WorkerInfo {
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
        declares: (!declares.limits.is_empty()).then(|| declares.clone()),
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
