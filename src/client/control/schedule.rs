//! Steering schedules: pausing them, and running one now.

use std::collections::BTreeSet;

use serde::Serialize;

use super::audit::AuditData;
use super::rules::all_marks;
use super::target::Target;
use super::unfinished::unfinished_runs;
use crate::client::{Client, TaskHandle};
use crate::error::{Error, ErrorKind, Result};
use crate::id::TaskId;
use crate::observe::Lifecycle;
use crate::payload::Payload;
use crate::schedule::Overlap;
use crate::schedule::nearest::hint;
use crate::store::{
    Commit, Create, Guard, Mark, MarkExpect, NewEvent, Op, Refusal, StreamId, TaskStateStoreExt,
};
use crate::task::{CURSOR_MARK, Cursor, OnConflict, Pause};
use crate::timestamp::Timestamp;

/// Writes of one change, at most: a schedule of every second moves its cursor all the time.
const ROUNDS: usize = 16;

/// What the decisions of a schedule say of a pause that is over.
#[derive(Serialize)]
struct WasPaused<'a> {
    from: Timestamp,
    to: Timestamp,
    by: Option<&'a str>,
    why: Option<&'a str>,
}

impl Client {
    /// Runs a recurring task once, now, as if a slot had come: with its args, its queue and its rule of overlapping, so
    /// while a run is unfinished that must not overlap, the answer is that run; with `Overlap::Replace` the unfinished ones are
    /// cancelled in the write that makes this one. Its slots go on as before.
    ///
    /// # Errors
    /// `NotFound` when no task of this name has a schedule here, with the nearest; those of a submit.
    pub async fn run_schedule(&self, name: &str, why: Option<&str>) -> Result<TaskHandle> {
        let parts = &self.0;
        let def = parts.registry.get(name).await?;
        let Some(def) = def.filter(|def| def.schedule.is_some()) else {
            return Err(self.no_schedule("run schedule", name).await?);
        };
        let id = TaskId::new(format!("{}@now:{}", def.name, parts.clock.now()))?;
        let mut task = def.scheduled(id.clone())?;
        task.created_by.clone_from(&parts.created_by);
        task.on_conflict = OnConflict::Fail;
        let queue = std::sync::Arc::clone(&task.queue);
        let create = Op::Create(Box::new(Create {
            task,
            lease_to: None,
        }));
        let data = AuditData {
            target: Target::Schedule(def.name.to_string()).to_string(),
            why: why.map(str::to_owned),
            to: Some(id.to_string()),
            ..AuditData::default()
        };
        let note = self.note("trigger", data.clone())?;
        let mut rounds = 0;
        let (id, existing) = loop {
            rounds += 1;
            let mut commit = Commit::of([create.clone()]);
            if def.policy.overlap == Overlap::Replace {
                let reason = format!("replaced by {id}");
                let replaced = unfinished_runs(self.store(), &def.name, |_| true).await?;
                let cancels = replaced.into_iter();
                commit
                    .ops
                    .extend(cancels.map(|run| Op::Cancel(run, reason.clone())));
            }
            let replaces = commit.ops.len() > 1;
            // An unfinished run refuses all of it: then nothing is noted, for nothing was done.
            let answer = self.store().commit(vec![commit.then(note.clone())]);
            match answer.await?.pop() {
                Some(Err(Refusal::KeyTaken { owner, .. } | Refusal::Exists(owner))) => {
                    break (owner, true);
                }
                // One of them may have ended meanwhile.
                Some(Err(_)) if replaces && rounds < ROUNDS => {}
                Some(Err(refusal)) => return Err(refusal.into()),
                Some(Ok(_)) | None => {
                    self.tell_steered("trigger", &data);
                    break (id, false);
                }
            }
        };
        parts.observers.notify(|| Lifecycle::Submitted {
            id: id.clone(),
            name: std::sync::Arc::clone(&def.name),
            queue,
            existing,
        });
        Ok(TaskHandle::new(self.clone(), id, !existing))
    }

    pub(super) async fn pause_schedule(&self, name: &str, reason: Option<&str>) -> Result<bool> {
        let now = self.clock().now();
        let pause = Pause {
            since: now,
            by: self.actor().map(str::to_owned),
            reason: reason.map(str::to_owned),
        };
        let data = AuditData {
            why: reason.map(str::to_owned),
            ..AuditData::default()
        };
        self.change_cursor("pause", name, data, |cursor| {
            let same = cursor
                .paused
                .as_ref()
                .is_some_and(|was| pause.reason.is_none() || was.reason == pause.reason);
            if !same {
                let since = cursor.paused.as_ref().map_or(now, |was| was.since);
                let pause = pause.clone();
                cursor.paused = Some(Box::new(Pause { since, ..pause }));
            }
            Ok(None)
        })
        .await
    }

    pub(super) async fn resume_schedule(&self, name: &str, why: Option<&str>) -> Result<bool> {
        let now = self.clock().now();
        let data = AuditData {
            why: why.map(str::to_owned),
            ..AuditData::default()
        };
        self.change_cursor("resume", name, data, |cursor| {
            let Some(pause) = cursor.paused.take() else {
                return Ok(None);
            };
            cursor.last = cursor.last.max(now);
            let over = WasPaused {
                from: pause.since,
                to: now,
                by: pause.by.as_deref(),
                why: pause.reason.as_deref(),
            };
            let event = NewEvent {
                kind: "paused".to_owned(),
                key: None,
                data: Payload::of(&over)?,
            };
            Ok(Some(Op::Append(
                StreamId::new(name, "decisions")?,
                vec![event],
            )))
        })
        .await
    }

    /// Changes the cursor of a schedule in one commit with its audit event and what else the change asks for. Answers
    /// whether there was something to change.
    async fn change_cursor(
        &self,
        action: &'static str,
        name: &str,
        data: AuditData,
        change: impl Fn(&mut Cursor) -> Result<Option<Op>> + Send + Sync,
    ) -> Result<bool> {
        let def = self.0.registry.get(name).await?;
        // An alias stands for its name.
        let name = def.as_ref().map_or(name, |def| &def.name);
        let key = Cursor::key(name);
        for _ in 0..ROUNDS {
            let mark = self.store().mark(&key).await?;
            let Some(before) = self.cursor(def.as_deref(), mark.as_ref())? else {
                return Err(self.no_schedule(action, name).await?);
            };
            let mut cursor = before.clone();
            let also = change(&mut cursor)?;
            if cursor == before {
                return Ok(false);
            }
            let expected =
                mark.map_or(MarkExpect::Absent, |mark| MarkExpect::Version(mark.version));
            let note = AuditData {
                target: Target::Schedule(name.to_owned()).to_string(),
                ..data.clone()
            };
            let put = Op::PutMark {
                key: key.clone(),
                value: cursor.payload(),
                ttl: None,
            };
            let mut commit = Commit::of([put, self.note(action, note.clone())?])
                .when(Guard::Mark(key.clone(), expected));
            commit.ops.extend(also);
            match self.store().commit(vec![commit]).await?.pop() {
                Some(Err(Refusal::Mark(..))) => {}
                Some(Err(refusal)) => return Err(refusal.into()),
                Some(Ok(_)) | None => {
                    self.tell_steered(action, &note);
                    return Ok(true);
                }
            }
        }
        Err(Error::new(
            ErrorKind::Conflict,
            action,
            format!("the schedule \"{name}\" moves on all the time; try again"),
        ))
    }

    /// The cursor that is stored, or the first one of a schedule that no runner has taken up yet.
    pub(in crate::client) fn cursor(
        &self,
        def: Option<&crate::task::TaskDef>,
        mark: Option<&Mark>,
    ) -> Result<Option<Cursor>> {
        if let Some(stored) = mark.and_then(|mark| Cursor::read(&mark.key, &mark.value)) {
            return Ok(Some(stored));
        }
        let Some((def, schedule)) = def.and_then(|def| Some((def, def.schedule.clone()?))) else {
            return Ok(None);
        };
        let hash = schedule.seeded(&def.name)?.spec_hash();
        Ok(Some(Cursor::first(hash, self.clock().now())))
    }

    /// That a schedule is not there, with the nearest that is.
    pub(in crate::client) async fn no_schedule(
        &self,
        operation: &'static str,
        name: &str,
    ) -> Result<Error> {
        let known = self.schedules().await?;
        let names = known.iter().map(String::as_str);
        let hint = hint(name, names, "there are", "; there are no schedules");
        let message = format!("there is no schedule \"{name}\"{hint}");
        Ok(Error::new(ErrorKind::NotFound, operation, message))
    }

    /// The schedules that are registered here or that some runner took up.
    pub(in crate::client) async fn schedules(&self) -> Result<BTreeSet<String>> {
        let defs = self.0.registry.list().await?;
        let scheduled = defs.iter().filter(|def| def.schedule.is_some());
        let mut known: BTreeSet<String> = scheduled.map(|def| def.name.to_string()).collect();
        let marks = all_marks(self.store(), CURSOR_MARK).await?;
        known.extend(
            marks
                .iter()
                .map(|mark| mark.key[CURSOR_MARK.len()..].to_owned()),
        );
        Ok(known)
    }
}
