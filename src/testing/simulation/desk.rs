//! The desk: who submits and steers, with a way of its own to the store.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Runtime;

use super::ground::at_once;
use super::node::{Recipe, turn};
use super::program::{Chance, Program};
use super::situations::Situation;
use crate::client::Client;
use crate::context::TloContext;
use crate::error::Result;
use crate::id::TaskId;
use crate::payload::Payload;
use crate::store::{Change, Commit, GATE_MARK, Op, Patch, SharedStore, TaskStateStoreExt};
use crate::task::{Due, GateRule, Rate};
use crate::testing::ProbeStore;

/// Sends of one submit, at most.
const SENDS: usize = 4;

/// What a submit came to.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) id: TaskId,
    /// It was sent before without an answer, and found the task it had made.
    pub(super) found_itself: bool,
}

pub(super) struct Desk {
    runtime: Runtime,
    pub(super) context: TloContext,
    pub(super) link: Arc<ProbeStore>,
    program: Program,
    answered: Arc<Mutex<Vec<Answered>>>,
}

impl Desk {
    pub(super) fn open(recipe: &Recipe<'_>) -> Result<Self> {
        let (runtime, context, link, _) = recipe.context(|builder| builder)?;
        Ok(Self {
            runtime,
            context,
            link,
            program: recipe.program.clone(),
            answered: Arc::default(),
        })
    }

    pub(super) fn turn(&self, rounds: u64) {
        turn(&self.runtime, rounds);
    }

    /// Waits for something that needs nobody else. What was begun here does not go on meanwhile: it would see other
    /// things in each run.
    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let _inside = self.runtime.enter();
        at_once(future)
    }

    pub(super) fn close(self) {
        self.runtime.shutdown_background();
    }

    /// What was answered since this was asked last.
    pub(super) fn answered(&self) -> Vec<Answered> {
        std::mem::take(&mut *self.answered.lock())
    }

    /// Begins a submit; what does not get an answer is sent again, most of the time.
    pub(super) fn submit(&self, chance: &mut Chance) {
        let Some(submits) = self.program.submits.clone() else {
            return;
        };
        let client: Client = self.context.client();
        let id = self.context.ids().task_id(self.context.clock().now());
        let (seed, sends) = (chance.seed(), 1 + chance.number(0..SENDS as u64));
        let pause = chance.up_to(Duration::from_secs(3));
        let clock = Arc::clone(self.context.clock());
        let answered = Arc::clone(&self.answered);
        self.runtime.spawn(async move {
            let mut failed = false;
            for _ in 0..sends {
                // The same choices each time: it is the same submit.
                let submit = submits(&client, &mut Chance::seeded(seed));
                match submit.id(id.clone()).submit().await {
                    Ok(handle) => {
                        let found_itself = failed && !handle.is_new() && *handle.id() == id;
                        answered.lock().push(Answered {
                            id: handle.id().clone(),
                            found_itself,
                        });
                        return;
                    }
                    Err(error) if error.is_retryable() => {
                        failed = true;
                        clock.sleep(pause).await;
                    }
                    Err(_) => return,
                }
            }
        });
    }

    /// Sends a commit without waiting for it; its refusals are part of the game.
    pub(super) fn send(&self, ops: impl IntoIterator<Item = Op>) {
        let store: SharedStore = Arc::clone(self.context.store());
        let commit = Commit::of(ops);
        self.runtime
            .spawn(async move { drop(store.apply(commit).await) });
    }

    /// Something that an operator does to one task, which runs (0 and 1), is parked (2), has failed (3), or whatever.
    pub(super) fn steer(&self, id: &TaskId, sort: u64, queues: &[Arc<str>], chance: &mut Chance) {
        let id = id.clone();
        let patch = |patch: Patch| Op::Patch(id.clone(), Box::new(patch));
        let due = |chance: &mut Chance| Due::In(chance.up_to(Duration::from_secs(30)));
        // Mostly what is possible for this sort of task.
        let choices = match sort {
            0 | 1 if chance.happens(0.8) => 0..13,
            2 if chance.happens(0.7) => 13..17,
            3 if chance.happens(0.7) => 4..8,
            _ => 0..20,
        };
        let op = match chance.number(choices) {
            0..4 => Op::Cancel(id, "the simulation wants it".to_owned()),
            4..8 => Op::Revive(id, due(chance)),
            8..13 => Op::Wake(id),
            13..15 => patch(Patch {
                due: Some(due(chance)),
                ..Patch::default()
            }),
            15..17 => patch(Patch {
                queue: chance.one_of(queues).map(ToString::to_string),
                ..Patch::default()
            }),
            17 => patch(Patch {
                priority: u8::try_from(chance.number(0..256)).ok(),
                phase: Change::Keep,
                ..Patch::default()
            }),
            _ => Op::Delete(id),
        };
        self.send([op]);
    }

    /// A rule for a gate, or its end.
    pub(super) fn rule(&self, gate: &str, chance: &mut Chance) {
        let key: Arc<str> = format!("{GATE_MARK}{gate}").into();
        let mut rule = GateRule::default();
        match chance.number(0..8) {
            0..2 => {
                rule.paused = true;
                rule.reason = Some("the simulation wants it".to_owned());
            }
            2 => rule.max = u32::try_from(chance.number(1..4)).ok(),
            3..5 => {
                rule.rate = Some(Rate {
                    n: 1 + u32::from(chance.happens(0.5)),
                    per: Duration::from_secs(chance.number(2..30)),
                    burst: chance.happens(0.5).then_some(1),
                });
            }
            5 if gate.starts_with("queue/") => rule.max_depth = Some(chance.number(1..4)),
            _ => return self.send([Op::DropMark(key)]),
        }
        let ttl = chance
            .happens(0.7)
            .then(|| chance.up_to(Duration::from_secs(60)) + Duration::from_millis(1));
        let value = Payload::of(&rule).unwrap_or_default();
        self.send([Op::PutMark { key, value, ttl }]);
    }
}

impl Answered {
    pub(super) const fn situation(&self) -> Option<Situation> {
        if self.found_itself {
            Some(Situation::SubmitFoundItself)
        } else {
            None
        }
    }
}
