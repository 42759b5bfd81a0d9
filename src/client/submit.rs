//! Saying what is submitted.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::signature::Untyped;
use super::{Client, Prepared, TaskHandle};
use crate::error::Result;
use crate::handler::Trace;
use crate::id::TaskId;
use crate::payload::Payload;
use crate::task::{
    Due, Gate, GateTemplate, NewTask, OnConflict, RetryPolicy, TRACEPARENT, TRACESTATE, TaskDef,
    Unique, UniqueScope, render_template,
};
use crate::timestamp::Timestamp;

/// A task about to be submitted. What is not set follows the task's definition. `R` is the type of its result, where that
/// is known: see [`Client::call`].
#[derive(Debug)]
#[must_use = "nothing is submitted before `submit` is called"]
pub struct Submit<R = Untyped> {
    client: Client,
    task: Named,
    version: Option<String>,
    args: Result<Payload>,
    allow_unknown: bool,
    id: Option<TaskId>,
    changes: Vec<Change>,
    result: PhantomData<fn() -> R>,
}

/// What is submitted: a name to look up, or a definition at hand.
#[derive(Debug)]
pub(super) enum Named {
    Name(String),
    Def(Box<TaskDef>),
}

enum Change {
    Queue(String),
    Priority(u8),
    Due(Due),
    Expires(Due),
    MaxAttempts(u32),
    Retry(RetryPolicy),
    Timeout(Duration),
    Unique(Unique, OnConflict),
    Tag(String),
    Header(String, String),
    Parent(TaskId),
    Gate(GateOf, u32),
}

/// Which gate is meant; its key is made when the name and the args are known.
enum GateOf {
    Template(String),
    Exclusive(String),
    Limit,
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Change")
    }
}

impl<R> Submit<R> {
    pub(super) fn new(client: Client, task: Named) -> Self {
        Self {
            client,
            task,
            version: None,
            args: Ok(Payload::null()),
            allow_unknown: false,
            id: None,
            changes: Vec::new(),
            result: PhantomData,
        }
    }

    fn with(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }

    /// What the handler is given; `null` by default.
    pub fn args<T: Serialize + ?Sized>(mut self, args: &T) -> Self {
        self.args = Payload::of(args);
        self
    }

    /// What the handler is given, as JSON that is passed on byte for byte.
    pub fn payload(mut self, args: Payload) -> Self {
        self.args = Ok(args);
        self
    }

    /// The id, when it should not be made here. Submitting the same id twice gives the first task.
    pub fn id(mut self, id: TaskId) -> Self {
        self.id = Some(id);
        self
    }

    /// The version of the task, when several live side by side. Without it the task follows the definition that has no
    /// version, or else the one that was registered last.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// The queue.
    pub fn queue(self, queue: impl Into<String>) -> Self {
        self.with(Change::Queue(queue.into()))
    }

    /// 0 to 255; larger starts first.
    pub fn priority(self, priority: u8) -> Self {
        self.with(Change::Priority(priority))
    }

    /// Not before this instant.
    pub fn at(self, instant: Timestamp) -> Self {
        self.with(Change::Due(Due::At(instant)))
    }

    /// Not before this much time has passed.
    pub fn delay(self, wait: Duration) -> Self {
        self.with(Change::Due(Due::In(wait)))
    }

    /// Cancelled instead of started when it has waited longer than this.
    pub fn expires_in(self, wait: Duration) -> Self {
        self.with(Change::Expires(Due::In(wait)))
    }

    /// Cancelled instead of started after this instant.
    pub fn expires_at(self, instant: Timestamp) -> Self {
        self.with(Change::Expires(Due::At(instant)))
    }

    /// Total attempts; below 1 counts as 1.
    pub fn max_attempts(self, attempts: u32) -> Self {
        self.with(Change::MaxAttempts(attempts))
    }

    /// The back-off between attempts.
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.with(Change::Retry(policy))
    }

    /// The longest run.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(Change::Timeout(timeout))
    }

    /// An idempotency key: while the scope lasts, a submit of the same key gives the first task and keeps its args.
    pub fn unique(self, key: impl Into<Arc<str>>, scope: UniqueScope) -> Self {
        self.unique_or(key, scope, OnConflict::Existing)
    }

    /// An idempotency key, and what to do when another task owns it.
    pub fn unique_or(
        self,
        key: impl Into<Arc<str>>,
        scope: UniqueScope,
        on_conflict: OnConflict,
    ) -> Self {
        self.with(Change::Unique(
            Unique {
                key: key.into(),
                scope,
                until: None,
            },
            on_conflict,
        ))
    }

    /// A word to find it by.
    pub fn tag(self, tag: impl Into<String>) -> Self {
        self.with(Change::Tag(tag.into()))
    }

    /// Something to carry along, such as `traceparent`. One of those that is not valid is left out with a debug line, as the
    /// standard asks.
    pub fn header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(Change::Header(name.into(), value.into()))
    }

    /// The task it is made for.
    pub fn parent(self, parent: TaskId) -> Self {
        self.with(Change::Parent(parent))
    }

    /// Runs one at a time of those of its name whose args give the same key, such as `"{user_id}"`. It is the gate of
    /// [`TaskBuilder::exclusive`](crate::handler::TaskBuilder::exclusive), for this task alone.
    pub fn exclusive(self, template: impl Into<String>) -> Self {
        self.with(Change::Gate(GateOf::Exclusive(template.into()), 1))
    }

    /// Starts it only while fewer than this many of its name run, on all workers together: the gate of
    /// [`TaskBuilder::limit`](crate::handler::TaskBuilder::limit), as this task sees it.
    pub fn limit(self, limit: u32) -> Self {
        self.with(Change::Gate(GateOf::Limit, limit))
    }

    /// Starts it only while fewer than this many tasks of the key run, such as `"user/{id}"`; braces name fields of the
    /// args, and `{{` is a literal one. A limit given here stands above that of the definition for the same key. A task
    /// has at most 4 gates.
    pub fn gate(self, template: impl Into<String>, limit: u32) -> Self {
        self.with(Change::Gate(GateOf::Template(template.into()), limit))
    }

    /// Accepts a name that nobody here knows; the task waits for a worker that does.
    pub fn allow_unknown(mut self) -> Self {
        self.allow_unknown = true;
        self
    }

    /// Submits it. When this returns, the task is durable at the store's level.
    ///
    /// # Errors
    /// `UnknownTask` with the nearest names or the known versions, `Invalid` and `TooLarge` for bad inputs, `Conflict` and `QueueFull` as asked for,
    /// and those of the store.
    pub async fn submit(self) -> Result<TaskHandle<R>> {
        self.prepare().await?.submit().await
    }

    /// Looks the task up and checks everything that can be checked here; nothing is written yet. Submit what comes back, or
    /// make it [a part of a transaction](Prepared::submit_in) of your own.
    ///
    /// # Errors
    /// `UnknownTask` with the nearest names or the known versions, `Invalid` and `TooLarge` for bad inputs.
    pub async fn prepare(self) -> Result<Prepared<R>> {
        let client = self.client;
        let args = self.args?;
        client.check_size(&args)?;
        let def = match self.task {
            Named::Name(name) => {
                let version = self.version.as_deref();
                client
                    .definition(&name, version, self.allow_unknown)
                    .await?
            }
            Named::Def(mut def) => {
                if let Some(version) = self.version {
                    def.version = Some(Arc::from(version));
                }
                Arc::from(def)
            }
        };
        let parts = &client.0;
        let id = self
            .id
            .unwrap_or_else(|| parts.ids.task_id(parts.clock.now()));
        let mut new = def.submission(id, args)?;
        new.created_by.clone_from(&parts.created_by);
        for change in self.changes {
            apply(&mut new, change)?;
        }
        client.carry_trace(&mut new);
        new.check()?;
        Ok(Prepared::new(client, new))
    }
}

impl Client {
    /// The same client, whose submits belong to this trace.
    pub(super) fn in_trace(&self, trace: Option<Trace>) -> Self {
        Self(Arc::clone(&self.0), trace.or_else(|| self.1.clone()))
    }

    /// The trace of a new task: the one it was given, else the span of OpenTelemetry that this code runs in, else the trace of
    /// the run whose client this is, else the one that this code runs in.
    fn carry_trace(&self, new: &mut NewTask) {
        if new.headers.contains_key(TRACEPARENT) {
            if Trace::of(&new.details).is_none() {
                new.headers.remove(TRACEPARENT);
                new.headers.remove(TRACESTATE);
            }
        } else {
            let trace = Trace::of_span().or_else(|| self.1.clone());
            if let Some(trace) = trace.or_else(Trace::current) {
                trace.put(new);
            }
        }
    }
}

fn apply(new: &mut NewTask, change: Change) -> Result<()> {
    match change {
        Change::Queue(queue) => new.queue = queue.into(),
        Change::Priority(priority) => new.priority = priority,
        Change::Due(due) => new.due = due,
        Change::Expires(due) => new.expires = Some(due),
        Change::MaxAttempts(attempts) => new.max_attempts = attempts.max(1),
        Change::Retry(policy) => new.retry = policy,
        Change::Timeout(timeout) => new.timeout = Some(timeout),
        Change::Unique(unique, on_conflict) => {
            new.unique = Some(unique.into());
            new.on_conflict = on_conflict;
        }
        Change::Tag(tag) => {
            new.tags.insert(tag);
        }
        Change::Header(name, value) => {
            new.headers.insert(name, value);
        }
        Change::Parent(parent) => new.parent = Some(parent),
        Change::Gate(of, limit) => add_gate(new, &of, limit)?,
    }
    Ok(())
}

fn add_gate(new: &mut NewTask, of: &GateOf, limit: u32) -> Result<()> {
    let template = match of {
        GateOf::Template(template) => template.clone(),
        GateOf::Exclusive(template) => GateTemplate::exclusive_key(&new.name, template),
        GateOf::Limit => GateTemplate::limit_key(&new.name),
    };
    let key = render_template(&template, &new.args)?;
    match new.gates.iter_mut().find(|gate| gate.key == key) {
        Some(gate) => gate.limit = limit,
        None => new.gates.push(Gate { key, limit }),
    }
    Ok(())
}
