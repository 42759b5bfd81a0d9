//! New tasks from a definition.

use std::sync::Arc;

use super::def::TaskDef;
use super::details::TaskDetails;
use super::due::Due;
use super::gate::{Gate, render_template};
use super::new::NewTask;
use super::record::TaskKind;
use super::unique::{Unique, UniqueScope};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{NAME_LIMIT, TaskId};
use crate::payload::{PAYLOAD_LIMIT, Payload};
use crate::schedule::{Overlap, jitter_offset};
use crate::timestamp::Timestamp;

/// Attempts of a submitted task unless its definition says otherwise.
const SUBMITTED_ATTEMPTS: u32 = 5;

/// What the id of a run adds to the name, at most.
const LONGEST_SLOT: &str = "@start:2026-11-20T10:00:00.000001Z";

/// Attempts of an occurrence unless its definition says otherwise: the next slot comes anyway.
const OCCURRENCE_ATTEMPTS: u32 = 1;

impl TaskDef {
    /// A submitted task of this definition.
    ///
    /// # Errors
    /// `Invalid` when the args lack a field that a gate template needs.
    pub fn submission(&self, id: TaskId, args: Payload) -> Result<NewTask> {
        let details = self.details(&args, SUBMITTED_ATTEMPTS)?;
        let mut new = NewTask::new(id, Arc::clone(&self.name), args);
        new.queue = Arc::clone(&self.queue);
        new.priority = self.priority;
        new.details = details.share();
        Ok(new)
    }

    fn details(&self, args: &Payload, max_attempts: u32) -> Result<TaskDetails> {
        let mut gates = Vec::with_capacity(self.gates.len());
        for gate in &self.gates {
            gates.push(Gate {
                key: render_template(&gate.template, args)?,
                limit: gate.limit,
            });
        }
        Ok(TaskDetails {
            version: self.version.clone(),
            max_attempts: self.max_attempts.unwrap_or(max_attempts),
            max_lost: self.max_lost,
            retry: self.retry.clone(),
            timeout: self.timeout,
            gates,
            tags: self.tags.clone(),
            ..TaskDetails::default()
        })
    }

    /// Checks what its schedule will make: name and args are known now, so what a store would refuse at each slot is
    /// found now.
    pub(super) fn check_occurrences(&self) -> Result<()> {
        let room = NAME_LIMIT - LONGEST_SLOT.len();
        if self.name.len() > room {
            let has = self.name.len();
            return Err(Error::new(
                ErrorKind::TooLarge,
                "register task",
                format!(
                    "its name has {has} bytes; with a schedule at most {room}, so that the ids of its runs have room"
                ),
            ));
        }
        self.args.check_size("args", PAYLOAD_LIMIT)?;
        self.scheduled(TaskId::new(format!("{}{LONGEST_SLOT}", self.name))?)?
            .check()
    }

    /// Whether its runs carry a gate besides those of the definition.
    pub(super) fn has_gate_of_its_schedule(&self) -> bool {
        self.schedule.is_some() && matches!(self.policy.overlap, Overlap::Queue | Overlap::Replace)
    }

    /// The occurrence of this definition's schedule at a slot.
    ///
    /// # Errors
    /// `TooLarge` when the name leaves no room for the slot in the id, `Invalid` as for [`submission`](Self::submission).
    pub fn occurrence(&self, slot: Timestamp) -> Result<NewTask> {
        self.occurrence_of(&self.pattern()?, slot)
    }

    /// As [`occurrence`](Self::occurrence), with a pattern that was made before.
    pub(crate) fn occurrence_of(&self, pattern: &Pattern, slot: Timestamp) -> Result<NewTask> {
        let mut new = self.patterned(TaskId::occurrence(&self.name, slot)?, pattern);
        let offset = self
            .policy
            .jitter
            .map(|jitter| jitter_offset(&self.name, slot, jitter));
        new.due = Due::At(slot.saturating_add(offset.unwrap_or_default()));
        new.slot = Some(slot);
        Ok(new)
    }

    /// A run of this definition's schedule that belongs to no slot, such as the one at start.
    ///
    /// # Errors
    /// As for [`occurrence`](Self::occurrence).
    pub fn scheduled(&self, id: TaskId) -> Result<NewTask> {
        Ok(self.patterned(id, &self.pattern()?))
    }

    /// What the runs of its schedule have in common.
    ///
    /// # Errors
    /// `Invalid` as for [`submission`](Self::submission).
    pub(crate) fn pattern(&self) -> Result<Pattern> {
        let mut details = self.details(&self.args, OCCURRENCE_ATTEMPTS)?;
        // The same whichever node makes it, and for each schedule, so that they share it.
        details.created_by = Some("schedule".to_owned());
        let mut unique = None;
        let key = format!("schedule/{}", self.name);
        match self.policy.overlap {
            Overlap::Skip => {
                unique = Some(Arc::new(Unique {
                    key: key.into(),
                    scope: UniqueScope::WhileUnfinished,
                    until: None,
                }));
            }
            Overlap::Queue | Overlap::Replace => details.gates.push(Gate { key, limit: 1 }),
            Overlap::Allow => {}
        }
        Ok(Pattern {
            details: Arc::new(details),
            unique,
        })
    }

    fn patterned(&self, id: TaskId, pattern: &Pattern) -> NewTask {
        let mut new = NewTask::new(id, Arc::clone(&self.name), self.args.clone());
        new.kind = TaskKind::Occurrence;
        new.queue = Arc::clone(&self.queue);
        new.priority = self.priority;
        new.schedule = Some(Arc::clone(&self.name));
        new.unique.clone_from(&pattern.unique);
        new.details = Arc::clone(&pattern.details);
        new
    }
}

/// What the runs of one schedule have in common.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    details: Arc<TaskDetails>,
    unique: Option<Arc<Unique>>,
}

impl Pattern {
    /// Shares the details with another pattern that has the same ones; answers whether it has.
    pub(crate) fn share_with(&mut self, other: &Self) -> bool {
        let same = *self.details == *other.details;
        if same {
            self.details = Arc::clone(&other.details);
        }
        same
    }
}
